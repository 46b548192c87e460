//! The series and rules of the measurements: a fleet of services, and the mix of rules that people write over it.
//!
//! An instance has 100 series: 50 gauges, 3 counters over 3 methods and 4 codes, and a histogram of 12 buckets. A job has
//! 100 instances. Of 100 rules 60 are thresholds, 20 ratios of rates, 10 quantiles of histograms, and 10 ask for absence.

use std::fmt::Write;

use crate::remote_write::Encoded;

const PER_INSTANCE: usize = 100;
const PER_JOB: usize = 100 * PER_INSTANCE;
const GAUGES: usize = 50;
const COUNTERS: [&str; 3] = ["http_requests_total", "rpc_client_calls_total", "db_queries_total"];
const METHODS: [&str; 3] = ["get", "post", "delete"];
const CODES: [(&str, f64); 4] = [("200", 0.88), ("302", 0.06), ("404", 0.04), ("500", 0.02)];
const BUCKETS: [(&str, f64); 12] = [
    ("0.005", 0.30),
    ("0.01", 0.50),
    ("0.025", 0.65),
    ("0.05", 0.75),
    ("0.1", 0.83),
    ("0.25", 0.90),
    ("0.5", 0.94),
    ("1.0", 0.965),
    ("2.5", 0.98),
    ("5.0", 0.99),
    ("10.0", 0.997),
    ("+Inf", 1.0),
];

/// Labels in the order of their names.
pub(crate) type Labels = Vec<(String, String)>;

/// One series of the fleet.
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) encoded: Encoded,
    number: usize,
    /// How much a counter rises in a second; a gauge does not.
    rise: Option<f64>,
}

impl Series {
    /// The value at a time: gauges wander between 20 and 80, one in 2,000 stays at 120, counters rise by whole numbers.
    pub(crate) fn value(&self, millis: i64) -> f64 {
        let seconds = millis as f64 / 1000.0;
        match self.rise {
            Some(rise) => (seconds % 1e7 * rise).floor(),
            None if self.number % 2000 == 7 => 120.0,
            None => 50.0 + 30.0 * (self.number as f64 + seconds / 150.0).sin(),
        }
    }
}

pub(crate) fn series(count: usize) -> Vec<Series> {
    let mut all = Vec::with_capacity(count + PER_INSTANCE);
    for instance in 0..count.div_ceil(PER_INSTANCE) {
        let job = instance * PER_INSTANCE / PER_JOB;
        let mut add = |name: &str, extra: &[(&str, &str)], rise: Option<f64>| {
            let mut labels: Labels = [
                ("__name__", name.to_owned()),
                ("cluster", "prod-eu-west-1".to_owned()),
                ("env", "production".to_owned()),
                ("instance", format!("10.0.{}.{}:9100", instance / 256, instance % 256)),
                ("job", job_name(job)),
                ("namespace", format!("team-{:02}", job % 20)),
                ("pod", format!("{}-{instance:08x}", job_name(job))),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec();
            labels.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            labels.sort();
            all.push(Series { encoded: Encoded::new(&labels), labels, number: all.len(), rise });
        };
        (0..GAUGES).for_each(|gauge| add(&gauge_name(gauge), &[], None));
        for (counter, method) in COUNTERS.iter().flat_map(|c| METHODS.map(|m| (*c, m))) {
            for (code, share) in CODES {
                add(counter, &[("method", method), ("code", code)], Some(40.0 * share));
            }
        }
        for (bound, share) in BUCKETS {
            add("http_request_duration_seconds_bucket", &[("le", bound)], Some(40.0 * share));
        }
        add("http_request_duration_seconds_sum", &[], Some(3.0));
        add("http_request_duration_seconds_count", &[], Some(40.0));
    }
    all.truncate(count);
    all
}

fn job_name(job: usize) -> String {
    format!("svc-{job:04}")
}

fn gauge_name(gauge: usize) -> String {
    format!("gauge_{gauge:02}_percent")
}

/// The kinds of rules with their share in percent.
pub(crate) const KINDS: [(&str, usize); 4] = [("threshold", 60), ("rate ratio", 20), ("quantile", 10), ("absent", 10)];

/// A rule's expression, which of the [`KINDS`] it is, and how many series it reads.
pub(crate) struct Rule {
    pub(crate) kind: usize,
    pub(crate) expr: String,
    pub(crate) reads: usize,
}

/// The first `count` rules of the mix over so many series.
pub(crate) fn rules(count: usize, series: usize) -> Vec<Rule> {
    let jobs = series.div_ceil(PER_JOB).max(1);
    let mut made = [0; KINDS.len()];
    (0..count)
        .map(|i| {
            // The kind that is furthest behind its share.
            let behind = |kind: &usize| ((i + 1) * KINDS[*kind].1) as i64 - made[*kind] as i64 * 100;
            let kind = (0..KINDS.len()).max_by_key(behind).unwrap_or(0);
            let number = made[kind];
            made[kind] += 1;
            rule(kind, number, number / jobs, &job_name(number % jobs))
        })
        .collect()
}

fn rule(kind: usize, number: usize, variant: usize, job: &str) -> Rule {
    let instances = PER_JOB / PER_INSTANCE;
    let (expr, reads) = match kind {
        0 => {
            let threshold = 100.0 + (number % 10_000) as f64 / 1000.0;
            (format!("{}{{job=\"{job}\"}} > {threshold:.3}", gauge_name(variant % GAUGES)), instances)
        }
        1 => {
            let counter = COUNTERS[variant % 3];
            let (method, reads) = match variant / 3 % 4 {
                0 => (String::new(), 15),
                method => (format!(",method=\"{}\"", METHODS[method - 1]), 5),
            };
            let rate = |code: &str| format!("sum by (job) (rate({counter}{{job=\"{job}\"{method}{code}}}[5m]))");
            let threshold = 0.05 + (number % 1000) as f64 / 1e5;
            (format!("{} / {} > {threshold:.5}", rate(",code=~\"5..\""), rate("")), reads * instances)
        }
        2 => {
            let (quantile, threshold) = ([50, 90, 95, 99][variant % 4], 20.0 + (number % 1000) as f64 / 1e4);
            let rate = format!("rate(http_request_duration_seconds_bucket{{job=\"{job}\"}}[5m])");
            let sum = format!("sum by (le, job) ({rate})");
            (format!("histogram_quantile(0.{quantile}, {sum}) > {threshold:.4}"), BUCKETS.len() * instances)
        }
        _ if variant % 20 == 19 => (format!("absent(missing_{variant}{{job=\"{job}\"}})"), 0),
        _ => (format!("absent({}{{job=\"{job}\"}})", gauge_name(variant % GAUGES)), instances),
    };
    Rule { kind, expr, reads }
}

/// Groups of this size.
pub(crate) const RULES_PER_GROUP: usize = 20;

/// A rule file in groups.
pub(crate) fn rule_file(rules: &[Rule], interval: &str) -> String {
    let mut text = String::from("groups:\n");
    for (i, rule) in rules.iter().enumerate() {
        // Writing to a text cannot fail.
        if i % RULES_PER_GROUP == 0 {
            let group = i / RULES_PER_GROUP;
            let _ = write!(text, "- name: group-{group:05}\n  interval: {interval}\n  rules:\n");
        }
        let hold = if i % 2 == 0 { "    for: 1m\n" } else { "" };
        let severity = ["critical", "warning", "info"][i % 3];
        let _ = write!(
            text,
            "  - alert: Rule{i:05}\n    expr: {}\n{hold}    labels: {{severity: {severity}, team: team-{:02}}}\n    \
             annotations:\n      summary: \"Rule {i}: {{{{ $labels.job }}}} {{{{ $labels.instance }}}} is at {{{{ $value }}}}\"\n",
            rule.expr,
            i % 20,
        );
    }
    text
}
