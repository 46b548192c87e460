//! The engine's own metrics, as OpenMetrics text.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use watchfire_host::PluginCounters;

use crate::attempts::{Attempts, escaped, head};
use crate::plugins::PluginReport;

/// The release of Alertmanager whose API and metrics these are.
pub const ALERTMANAGER_VERSION: &str = "0.34.2";

/// Label sets of one label are plain pairs.
type Label = Vec<(&'static str, String)>;

/// Bounds of the buckets of all times, in seconds.
const BUCKETS: [f64; 11] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Every metric of the runtime. Names follow Prometheus' conventions: base units, `_total` for counters.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) samples_accepted: Counter,
    pub(crate) samples_unread: Counter,
    pub(crate) samples_rejected: Family<Label, Counter>,
    pub(crate) events_accepted: Counter,
    pub(crate) alerts_received: Family<Label, Counter>,
    pub(crate) alerts_invalid: Counter,
    pub(crate) overloaded: Family<Label, Counter>,
    pub(crate) too_large: Counter,
    pub(crate) matchers_refused: Counter,
    pub(crate) evaluations: Family<Label, Counter>,
    pub(crate) evaluation_failures: Counter,
    pub(crate) evaluation_seconds: Histogram,
    pub(crate) source_queries: Family<Label, Counter>,
    pub(crate) source_seconds: Family<Label, Histogram, fn() -> Histogram>,
    pub(crate) attempts: Attempts,
    pub(crate) notes: Family<Label, Counter>,
    pub(crate) trends_missing: Counter,
    pub(crate) forwarded: Family<Label, Counter>,
    pub(crate) records_committed: Counter,
    pub(crate) records_pending: Gauge,
    pub(crate) commit_failures: Counter,
    pub(crate) store_failing: Gauge,
    pub(crate) deciding: Gauge,
    pub(crate) log_failures: Counter,
    pub(crate) log_failing: Gauge,
    pub(crate) snapshots: Counter,
    pub(crate) snapshot_failures: Counter,
    pub(crate) snapshot_bytes: Gauge,
    pub(crate) filled: Counter,
    pub(crate) fill_failures: Gauge,
    pub(crate) reloads: Family<Label, Counter>,
    pub(crate) last_reload_successful: Gauge,
    pub(crate) last_reload_seconds: Gauge<f64, AtomicU64>,
    pub(crate) quarantined: Gauge,
    pub(crate) series: Gauge,
    pub(crate) series_bytes: Gauge,
    pub(crate) outbox: Gauge,
    pub(crate) spans_dropped: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("watchfire");
        macro_rules! metric {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, metric.clone());
                metric
            }};
        }
        let samples_accepted = metric!("samples_accepted", "Samples that were logged and stored", Counter::default());
        let samples_unread =
            metric!("samples_unread", "Samples that were not stored because no rule reads them", Counter::default());
        let samples_rejected = metric!("samples_rejected", "Samples refused, by reason", Family::default());
        let events_accepted = metric!("events_accepted", "Events that were logged", Counter::default());
        let alerts_received = metric!("alerts_received", "Alerts posted from outside, by status", Family::default());
        let alerts_invalid = metric!("alerts_invalid", "Posted alerts that cannot be alerts", Counter::default());
        let overloaded = metric!("overloaded", "Requests answered with 429, by queue", Family::default());
        let too_large = metric!(
            "requests_too_large",
            "Requests answered with 413 because of the size of their body or of what it holds",
            Counter::default()
        );
        let matchers_refused = metric!(
            "matchers_refused",
            "Requests refused because of the number or the size of their matchers",
            Counter::default()
        );
        let evaluations = metric!("rule_evaluations", "Evaluations of rules, by cause", Family::default());
        let evaluation_failures = metric!("rule_evaluation_failures", "Evaluations that failed", Counter::default());
        let evaluation_seconds =
            metric!("rule_evaluation_duration_seconds", "Time of an evaluation", Histogram::new(BUCKETS));
        let source_queries = metric!(
            "source_queries",
            "Queries of rules that a server elsewhere answers, by source and outcome",
            Family::default()
        );
        let source_seconds = metric!(
            "source_query_duration_seconds",
            "Time until a server elsewhere has answered a query, waiting for its turn included",
            Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram)
        );
        let notes = metric!(
            "notification_notes",
            "What attempts to deliver left out or said otherwise than configured, such as a template that failed",
            Family::default()
        );
        let trends_missing =
            metric!("trends_missing", "Rules whose numbers a message went without", Counter::default());
        let forwarded =
            metric!("alertmanager_alerts", "Alerts for Alertmanagers beside the engine, by outcome", Family::default());
        let records_committed = metric!("store_records", "Records made durable", Counter::default());
        let records_pending = metric!("store_records_pending", "Records not yet durable", Gauge::default());
        let commit_failures = metric!("store_commit_failures", "Commits that failed", Counter::default());
        let store_failing = metric!("store_failing", "Whether the last commit failed", Gauge::default());
        let deciding =
            metric!("deciding", "Whether this engine decides, and no other on its database", Gauge::default());
        let log_failures = metric!("log_write_failures", "Writes of the input log that failed", Counter::default());
        let log_failing = metric!("log_failing", "Whether the last write of the input log failed", Gauge::default());
        let snapshots = metric!("snapshots", "Snapshots of the series that were written", Counter::default());
        let snapshot_failures =
            metric!("snapshot_failures", "Snapshots of the series that could not be written", Counter::default());
        let snapshot_bytes = metric!("snapshot_bytes", "Size of the newest snapshot", Gauge::default());
        let filled = metric!("fill_samples", "Samples that the start took from `storage.fill`", Counter::default());
        let fill_failures = metric!(
            "fill_incomplete",
            "Selectors of rules whose series the last start could not fill",
            Gauge::default()
        );
        let reloads = metric!("reloads", "Reloads, by outcome", Family::default());
        let last_reload_successful =
            metric!("config_last_reload_successful", "Whether the last reload found no error", Gauge::default());
        let last_reload_seconds = metric!(
            "config_last_reload_success_timestamp_seconds",
            "When the last reload without an error was",
            Gauge::<f64, AtomicU64>::default()
        );
        let quarantined =
            metric!("quarantined", "Rules, files and plugins that are left out as broken", Gauge::default());
        let series = metric!("series", "Series in memory", Gauge::default());
        let series_bytes = metric!("series_bytes", "Memory of series and samples in bytes", Gauge::default());
        let outbox = metric!("outbox_notifications", "Notifications not delivered yet", Gauge::default());
        let spans_dropped =
            metric!("trace_spans_dropped", "Spans that the collector of traces did not get", Counter::default());
        Metrics {
            registry,
            samples_accepted,
            samples_unread,
            samples_rejected,
            events_accepted,
            alerts_received,
            alerts_invalid,
            overloaded,
            too_large,
            matchers_refused,
            evaluations,
            evaluation_failures,
            evaluation_seconds,
            source_queries,
            source_seconds,
            attempts: Attempts::default(),
            notes,
            trends_missing,
            forwarded,
            records_committed,
            records_pending,
            commit_failures,
            store_failing,
            deciding,
            log_failures,
            log_failing,
            snapshots,
            snapshot_failures,
            snapshot_bytes,
            filled,
            fill_failures,
            reloads,
            last_reload_successful,
            last_reload_seconds,
            quarantined,
            series,
            series_bytes,
            outbox,
            spans_dropped,
        }
    }

    /// What Alertmanager's users watch, under its names; what means something else here has no such name.
    pub(crate) fn alertmanagers(&self, shown: &Shown) -> Vec<String> {
        let mut lines = Vec::new();
        self.attempts.alertmanagers(&mut lines);
        let received = "alertmanager_alerts_received";
        head(&mut lines, received, "Alerts posted from outside", "counter");
        lines.extend(STATUSES.map(|status| {
            let count = self.alerts_received.get_or_create(&label("status", status)).get();
            format!("{received}_total{{status=\"{status}\",version=\"v2\"}} {count}")
        }));
        let invalid = "alertmanager_alerts_invalid";
        head(&mut lines, invalid, "Posted alerts that cannot be alerts", "counter");
        lines.push(format!("{invalid}_total{{version=\"v2\"}} {}", self.alerts_invalid.get()));
        let mut gauge = |name: &str, help: &str, values: &[(&str, f64)]| {
            let name = format!("alertmanager_{name}");
            head(&mut lines, &name, help, "gauge");
            lines.extend(values.iter().map(|(labels, value)| format!("{name}{labels} {value:?}")));
        };
        let build = format!(
            "{{version=\"{}\",revision=\"watchfire {}\",branch=\"\",goversion=\"\",goos=\"\",goarch=\"\",tags=\"\"}}",
            ALERTMANAGER_VERSION,
            env!("CARGO_PKG_VERSION")
        );
        gauge("build_info", "The release of Alertmanager whose API this is", &[(build.as_str(), 1.0)]);
        let reloaded = self.last_reload_successful.get() as f64;
        gauge("config_last_reload_successful", "Whether the last reload found no error", &[("", reloaded)]);
        let (name, help) =
            ("config_last_reload_success_timestamp_seconds", "When the last reload without an error was");
        gauge(name, help, &[("", self.last_reload_seconds.get())]);
        gauge("config_hash", "A hash of the configuration in force", &[("", shown.config_hash)]);
        let [active, pending, expired] = shown.silences.map(|count| count as f64);
        let states =
            [("{state=\"active\"}", active), ("{state=\"expired\"}", expired), ("{state=\"pending\"}", pending)];
        gauge("silences", "How many silences by state", &states);
        gauge("dispatcher_aggregation_groups", "Number of alert groups", &[("", shown.groups as f64)]);
        gauge("receivers", "Number of configured receivers", &[("", shown.receivers as f64)]);
        gauge("integrations", "Number of configured integrations", &[("", shown.integrations as f64)]);
        gauge("inhibition_rules", "Number of configured inhibition rules", &[("", shown.inhibition_rules as f64)]);
        lines
    }

    /// OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        encode(&mut text, &self.registry).map_or_else(|_| String::new(), |()| text)
    }
}

/// What an alert is when it is posted.
pub(crate) const STATUSES: [&str; 2] = ["firing", "resolved"];

/// What is told under Alertmanager's names beside what is counted.
pub(crate) struct Shown {
    pub(crate) config_hash: f64,
    /// Active, pending, expired.
    pub(crate) silences: [usize; 3],
    pub(crate) groups: usize,
    pub(crate) receivers: usize,
    pub(crate) integrations: usize,
    pub(crate) inhibition_rules: usize,
}

/// Adds to OpenMetrics text what other parts count themselves: the state machine's counters and bounds with how much of
/// them is used, and each plugin's calls.
pub(crate) fn append(
    text: &mut String,
    counters: &[(&str, &str, u64)],
    usage: &[(&str, usize, usize)],
    plugins: &[PluginReport],
    counted: &[(String, PluginCounters)],
    mut lines: Vec<String>,
) {
    for (name, help, value) in counters {
        lines.push(format!(
            "# HELP watchfire_engine_{name} {}.\n# TYPE watchfire_engine_{name} counter",
            help.trim().trim_end_matches('.')
        ));
        lines.push(format!("watchfire_engine_{name}_total {value}"));
    }
    for (name, help, pick) in [("used", "How much of a bound is used", 0), ("max", "The bound", 1)] {
        lines.push(format!("# HELP watchfire_engine_bound_{name} {help}.\n# TYPE watchfire_engine_bound_{name} gauge"));
        for (bound, used, max) in usage {
            let value = if pick == 0 { used } else { max };
            lines.push(format!("watchfire_engine_bound_{name}{{bound=\"{bound}\"}} {value}"));
        }
    }
    plugin_lines(&mut lines, plugins, counted);
    let end = text.rfind("# EOF").unwrap_or(text.len());
    text.insert_str(end, &(lines.join("\n") + "\n"));
}

/// `counted` are those too that lie in no folder: the embedding program's, and what is named and not there.
fn plugin_lines(lines: &mut Vec<String>, plugins: &[PluginReport], counted: &[(String, PluginCounters)]) {
    let plugin_head = |lines: &mut Vec<String>, name: &str, help: &str, kind: &str| {
        head(lines, &format!("watchfire_plugin_{name}"), help, kind);
    };
    for (name, help, kind, read) in [
        (
            "instantiations",
            "Instances of plugins made",
            "counter",
            (|c| c.instantiations) as fn(&PluginCounters) -> u64,
        ),
        ("suspended_calls", "Calls refused because the plugin is suspended", "counter", |c| c.suspended),
        ("log_lines", "Lines that plugins logged", "counter", |c| c.log_lines),
        ("log_lines_dropped", "Lines not logged because a call wrote too many", "counter", |c| c.log_lines_dropped),
        ("instances", "Instances that live", "gauge", |c| c.instances),
        ("memory_bytes", "Linear memory of the instances that live", "gauge", |c| c.memory_bytes),
        ("memory_bytes_peak", "The most linear memory that an instance had", "gauge", |c| c.memory_bytes_peak),
        ("recorded_calls", "Recorded calls that are kept", "gauge", |c| c.recorded_calls),
        ("recorded_bytes", "About how many bytes recorded calls take", "gauge", |c| c.recorded_bytes),
        ("recorded_calls_forgotten", "Recorded calls that made room for newer ones", "counter", |c| {
            c.recorded_calls_forgotten
        }),
    ] {
        plugin_head(lines, name, help, kind);
        let suffix = if kind == "counter" { "_total" } else { "" };
        for plugin in plugins {
            let value = read(&plugin.counters);
            lines.push(format!(
                "watchfire_plugin_{name}{suffix}{{plugin=\"{}\"}} {value}",
                escaped(&plugin.status.name)
            ));
        }
    }
    plugin_head(lines, "failures", "Failed plugin calls, opens included, by plugin and kind", "counter");
    for (name, counters) in counted {
        let name = escaped(name);
        for (kind, count) in &counters.failures {
            lines.push(format!("watchfire_plugin_failures_total{{plugin=\"{name}\",kind=\"{kind}\"}} {count}"));
        }
    }
    plugin_head(lines, "suspended", "Parts of plugins that are suspended because they kept failing", "gauge");
    for plugin in plugins {
        let (name, suspended) = (escaped(&plugin.status.name), plugin.suspensions.len());
        lines.push(format!("watchfire_plugin_suspended{{plugin=\"{name}\"}} {suspended}"));
    }
    plugin_head(lines, "compiling", "Plugins whose newest version is being compiled", "gauge");
    for plugin in plugins {
        let (name, compiling) = (escaped(&plugin.status.name), u8::from(plugin.status.compiling));
        lines.push(format!("watchfire_plugin_compiling{{plugin=\"{name}\"}} {compiling}"));
    }
    plugin_head(lines, "limit_hits", "How often plugins passed a limit, by what is limited", "counter");
    for plugin in plugins {
        let name = escaped(&plugin.status.name);
        for (resource, count) in &plugin.counters.limits {
            lines.push(format!("watchfire_plugin_limit_hits_total{{plugin=\"{name}\",limit=\"{resource}\"}} {count}"));
        }
    }
    plugin_head(lines, "version", "The version in force, as its author counts and by its digest", "gauge");
    for (plugin, info) in plugins.iter().filter_map(|plugin| Some((plugin, plugin.info.as_ref()?))) {
        let version = info.manifest.as_ref().map_or("", |manifest| &manifest.version);
        let (name, version, digest) = (escaped(&plugin.status.name), escaped(version), &info.digest);
        lines.push(format!(
            "watchfire_plugin_version{{plugin=\"{name}\",version=\"{version}\",digest=\"sha256:{digest}\"}} 1"
        ));
    }
    plugin_head(lines, "call_duration_seconds", "Time of a call", "histogram");
    for plugin in plugins {
        let (name, counters) = (escaped(&plugin.status.name), &plugin.counters);
        let metric = "watchfire_plugin_call_duration_seconds";
        for (nanoseconds, count) in &counters.buckets {
            let bound = *nanoseconds as f64 / 1e9;
            lines.push(format!("{metric}_bucket{{plugin=\"{name}\",le=\"{bound:?}\"}} {count}"));
        }
        lines.push(format!("{metric}_bucket{{plugin=\"{name}\",le=\"+Inf\"}} {}", counters.calls));
        lines.push(format!("{metric}_sum{{plugin=\"{name}\"}} {}", counters.nanoseconds as f64 / 1e9));
        lines.push(format!("{metric}_count{{plugin=\"{name}\"}} {}", counters.calls));
    }
}

/// One label as the families take it.
pub(crate) fn label(name: &'static str, value: impl Into<String>) -> Label {
    vec![(name, value.into())]
}
