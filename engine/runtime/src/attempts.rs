//! Attempts to deliver, counted once and told under two names: the engine's own, and those of Alertmanager.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use watchfire_alerting::DeliveryOutcome;
use watchfire_delivery::Attempt;

/// Bounds of the buckets of their durations, in seconds; Alertmanager's are among them.
const BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 15.0, 20.0];
/// Those of Alertmanager.
const ALERTMANAGERS_BUCKETS: [f64; 5] = [1.0, 5.0, 10.0, 15.0, 20.0];

/// What is counted of attempts.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    counts: BTreeMap<Kind, u64>,
    seconds: BTreeMap<String, Seconds>,
}

/// By what attempts are told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    /// This and the integration stand here as they stand in labels.
    receiver: String,
    integration: String,
    outcome: &'static str,
    /// In Alertmanager's words; empty where nothing failed.
    reason: &'static str,
}

/// How long the attempts of an integration took.
#[derive(Debug, Default)]
struct Seconds {
    /// How many ended within each bound.
    within: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

impl Attempts {
    pub(crate) fn count(&self, receiver: &str, attempt: &Attempt, seconds: f64) {
        let (outcome, failed) = match &attempt.outcome {
            DeliveryOutcome::Delivered { .. } => ("delivered", false),
            DeliveryOutcome::Retry { .. } | DeliveryOutcome::Partly { .. } => ("retry", true),
            DeliveryOutcome::Rejected { .. } | DeliveryOutcome::RejectedInPart { .. } => ("rejected", true),
        };
        let status = attempt.exchanges.last().and_then(|exchange| exchange.answer.as_ref()).map(|answer| answer.status);
        let (integration, reason) = (escaped(&attempt.kind), if failed { reason(status) } else { "" });
        let mut counted = self.counted();
        let took = counted.seconds.entry(integration.clone()).or_default();
        for (within, bound) in took.within.iter_mut().zip(BUCKETS) {
            *within += u64::from(seconds <= bound);
        }
        took.sum += seconds;
        took.count += 1;
        *counted.counts.entry(Kind { receiver: escaped(receiver), integration, outcome, reason }).or_default() += 1;
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines of OpenMetrics text under the engine's own names.
    pub(crate) fn own(&self, lines: &mut Vec<String>) {
        let counted = self.counted();
        let name = "watchfire_notification_attempts";
        head(lines, name, "Attempts to deliver, by receiver, integration, outcome and reason", "counter");
        for (kind, count) in &counted.counts {
            let Kind { receiver, integration, outcome, reason } = kind;
            let because = if reason.is_empty() { String::new() } else { format!(",reason=\"{reason}\"") };
            lines.push(format!(
                "{name}_total{{receiver=\"{receiver}\",integration=\"{integration}\",outcome=\"{outcome}\"{because}}} {count}"
            ));
        }
        counted.histogram(lines, "watchfire_notification_attempt_duration_seconds", "Time of an attempt", &BUCKETS);
    }

    /// The same under the names of Alertmanager, which does not tell receivers apart.
    pub(crate) fn alertmanagers(&self, lines: &mut Vec<String>) {
        let counted = self.counted();
        let mut tried: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
        let mut reasons: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (kind, count) in &counted.counts {
            let [all, failed] = tried.entry(&kind.integration).or_default();
            *all += count;
            if !kind.reason.is_empty() {
                *failed += count;
                *reasons.entry((&kind.integration, kind.reason)).or_default() += count;
            }
        }
        for (name, help, pick) in [
            ("notifications", "Attempts to notify", 0),
            ("notification_requests", "Attempts to notify", 0),
            ("notification_requests_failed", "Attempts to notify that failed", 1),
        ] {
            let name = format!("alertmanager_{name}");
            head(lines, &name, help, "counter");
            for (integration, counts) in &tried {
                lines.push(format!("{name}_total{{integration=\"{integration}\"}} {}", counts[pick]));
            }
        }
        let name = "alertmanager_notifications_failed";
        head(lines, name, "Attempts to notify that failed, by reason", "counter");
        for ((integration, reason), count) in &reasons {
            lines.push(format!("{name}_total{{integration=\"{integration}\",reason=\"{reason}\"}} {count}"));
        }
        let name = "alertmanager_notification_latency_seconds";
        counted.histogram(lines, name, "Time of an attempt to notify", &ALERTMANAGERS_BUCKETS);
    }
}

impl Counted {
    fn histogram(&self, lines: &mut Vec<String>, name: &str, help: &str, bounds: &[f64]) {
        head(lines, name, help, "histogram");
        for (integration, took) in &self.seconds {
            for (bound, within) in BUCKETS.iter().zip(took.within).filter(|(bound, _)| bounds.contains(bound)) {
                lines.push(format!("{name}_bucket{{integration=\"{integration}\",le=\"{bound:?}\"}} {within}"));
            }
            lines.push(format!("{name}_bucket{{integration=\"{integration}\",le=\"+Inf\"}} {}", took.count));
            lines.push(format!("{name}_sum{{integration=\"{integration}\"}} {:?}", took.sum));
            lines.push(format!("{name}_count{{integration=\"{integration}\"}} {}", took.count));
        }
    }
}

/// Alertmanager's word for why an attempt failed that was answered with this status, if it was answered.
fn reason(status: Option<u16>) -> &'static str {
    match status {
        Some(401 | 403) => "authError",
        Some(429) => "rateLimited",
        Some(400..=499) => "clientError",
        Some(500..=599) => "serverError",
        _ => "other",
    }
}

/// What stands before the lines of a metric.
pub(crate) fn head(lines: &mut Vec<String>, name: &str, help: &str, kind: &str) {
    lines.push(format!("# HELP {name} {help}.\n# TYPE {name} {kind}"));
}

/// The value of a label as it stands between quotes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use watchfire_alerting::DeliveryOutcome;

    use super::*;

    fn attempt(outcome: DeliveryOutcome) -> Attempt {
        Attempt { outcome, kind: "slack".into(), exchanges: Vec::new(), stand_in: None, notes: Vec::new() }
    }

    #[test]
    fn attempts_are_told_under_both_names() {
        let attempts = Attempts::default();
        let delivered = || attempt(DeliveryOutcome::Delivered { receipt: "ok".to_owned() });
        attempts.count("a", &delivered(), 0.25);
        attempts.count("b \"quoted\"", &delivered(), 7.0);
        attempts.count("a", &attempt(DeliveryOutcome::Retry { after: None, reason: "no answer".to_owned() }), 30.0);
        let (mut own, mut alertmanagers) = (Vec::new(), Vec::new());
        attempts.own(&mut own);
        attempts.alertmanagers(&mut alertmanagers);
        let has = |lines: &[String], line: &str| lines.iter().any(|found| found == line);
        for line in [
            r#"watchfire_notification_attempts_total{receiver="a",integration="slack",outcome="delivered"} 1"#,
            r#"watchfire_notification_attempts_total{receiver="b \"quoted\"",integration="slack",outcome="delivered"} 1"#,
            r#"watchfire_notification_attempts_total{receiver="a",integration="slack",outcome="retry",reason="other"} 1"#,
            r#"watchfire_notification_attempt_duration_seconds_bucket{integration="slack",le="0.5"} 1"#,
        ] {
            assert!(has(&own, line), "{line}: {own:#?}");
        }
        for line in [
            r#"alertmanager_notifications_total{integration="slack"} 3"#,
            r#"alertmanager_notification_requests_total{integration="slack"} 3"#,
            r#"alertmanager_notification_requests_failed_total{integration="slack"} 1"#,
            r#"alertmanager_notifications_failed_total{integration="slack",reason="other"} 1"#,
            r#"alertmanager_notification_latency_seconds_bucket{integration="slack",le="1.0"} 1"#,
            r#"alertmanager_notification_latency_seconds_bucket{integration="slack",le="10.0"} 2"#,
            r#"alertmanager_notification_latency_seconds_bucket{integration="slack",le="+Inf"} 3"#,
            r#"alertmanager_notification_latency_seconds_sum{integration="slack"} 37.25"#,
        ] {
            assert!(has(&alertmanagers, line), "{line}: {alertmanagers:#?}");
        }
    }

    #[test]
    fn reasons_are_alertmanagers_words() {
        for (status, expected) in
            [(Some(403), "authError"), (Some(404), "clientError"), (Some(502), "serverError"), (None, "other")]
        {
            assert_eq!(reason(status), expected, "{status:?}");
        }
    }
}
