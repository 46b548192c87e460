//! The sections that Watchfire adds to Alertmanager's configuration.

use std::collections::BTreeMap;
use std::rc::Rc;

use globset::Glob;
use watchfire_model::{Duration, Labels};

use crate::auth::{self, AuthConfig};
use crate::decode::{Decoder, Fields};
use crate::diagnostic::nearest;
use crate::prometheus::PrometheusConfig;
use crate::secret::Credential;
use crate::yaml::{Kind, Node};

/// `server`: where and to whom the engine answers.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// The addresses to listen on, at least one.
    pub listen: Vec<String>,
    /// Where a reader reaches this engine, without a slash at the end; made from the first of `listen` by the caller if
    /// absent.
    pub external_url: Option<String>,
    /// What stands before every path: empty, or a slash and what follows it, without a slash at the end.
    pub route_prefix: String,
    /// Who may come in.
    pub auth: AuthConfig,
    /// Origins of other sites whose pages may ask, as browsers name them, such as `https://grafana.example.org`.
    pub cors_origins: Vec<String>,
    /// Bounds.
    pub limits: ServerLimits,
}

impl ServerConfig {
    /// A path for `route_prefix` as people write it, brought to the form with one slash before and none behind.
    ///
    /// # Errors
    /// What is wrong with it, after the words "route_prefix".
    pub fn clean_route_prefix(path: &str) -> Result<String, String> {
        let path = path.trim_matches('/');
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '/');
        match path.chars().find(|c| !fits(*c)) {
            Some(odd) => Err(format!("may have letters, digits, -, _, ., ~ and /, not {odd:?}")),
            None if path.contains("//") => Err("has two slashes in a row".to_owned()),
            None if path.is_empty() => Ok(String::new()),
            None => Ok(format!("/{path}")),
        }
    }
}

/// Bounds of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// The largest body as it is sent, in bytes.
    pub body_bytes_max: u64,
    /// Open connections; further ones get 429 and are closed.
    pub connections_max: u64,
    /// Requests at one time; further ones get 429.
    pub requests_max: u64,
    /// Pages that stay open for changes; further ones get 429.
    pub streams_max: u64,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long a query may take.
    pub query_timeout: Duration,
    /// Samples that a query may touch.
    pub query_samples_max: u64,
    /// Queries at one time.
    pub queries_max: u64,
}

/// `storage`: where state is kept. Neither given: a SQLite file in the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// A folder for everything.
    pub path: Option<String>,
    /// A database, such as `postgres://...`; hidden, since it may contain a password.
    pub url: Option<Credential>,
    /// How long history is kept.
    pub history: Duration,
    /// How long an engine that shares its database may be silent before another takes over.
    pub lease: Duration,
    /// From where the store is filled at the start.
    pub fill: Option<FillConfig>,
}

/// `storage.fill`: a server that has the samples already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillConfig {
    /// Which of `sources`.
    pub from: String,
    /// How long the start may wait for it.
    pub timeout: Duration,
}

/// `rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesConfig {
    /// Globs of rule files.
    pub paths: Vec<String>,
}

/// `evaluation`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationConfig {
    /// How often rules are evaluated whose group does not say.
    pub interval: Duration,
    /// Whether a rule is also evaluated as soon as something that it reads has arrived.
    pub on_ingest: bool,
    /// How far in the past queries look whose group does not say.
    pub query_offset: Duration,
    /// Labels that everything gets that leaves the engine.
    pub external_labels: Labels,
    /// Whether series are stored that no rule reads. They are not unless this says so: a sender writes all that it has,
    /// rules read a small part of it, and whoever runs a rules engine pays for the rules and not for a second copy of
    /// the metrics. What the engine itself writes, recorded series and `ALERTS`, is always stored.
    pub keep_unread: bool,
    /// How long a sample counts.
    pub lookback: Duration,
    /// Whether experimental functions may be used.
    pub experimental: bool,
}

/// `limits.tenant`: what one of several teams may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantLimits {
    /// The label that tells whose a series is.
    pub label: String,
    /// Series with one value of it.
    pub series_max: u64,
}

/// `limits`: how much the engine keeps. Each is an upper bound; what happens at it is counted and visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series.
    pub series_max: u64,
    /// Samples of one series.
    pub samples_per_series_max: u64,
    /// Memory for samples in bytes.
    pub samples_bytes_max: u64,
    /// How late a sample may come.
    pub out_of_order_window: Duration,
    /// What one of several teams may take.
    pub tenant: Option<TenantLimits>,
    /// Alerts, ended ones included.
    pub alerts_max: u64,
    /// Bytes of the labels, annotations and links of all alerts.
    pub alerts_bytes_max: u64,
    /// Alerts of one name that fire; `None` for no such bound.
    pub alerts_per_name_max: Option<u64>,
    /// Alert groups.
    pub alert_groups_max: u64,
    /// Instances of one rule.
    pub rule_instances_max: u64,
    /// Silences, expired ones included.
    pub silences_max: u64,
    /// Bytes of one silence: its matchers, who and why, and annotations.
    pub silence_bytes_max: u64,
    /// Groups of one event rule.
    pub event_groups_max: u64,
    /// Events of one event rule.
    pub events_max: u64,
}

/// `ingest`: what one body may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestConfig {
    /// Bytes after decompression.
    pub body_bytes_max: u64,
    /// Samples.
    pub samples_max: u64,
    /// Labels of one series or alert.
    pub labels_max: u64,
    /// Bytes of a label's name.
    pub label_name_bytes_max: u64,
    /// Bytes of a label's value.
    pub label_value_bytes_max: u64,
    /// Events.
    pub events_max: u64,
    /// Bytes of an event.
    pub event_bytes_max: u64,
    /// Alerts.
    pub alerts_max: u64,
    /// Bytes of an alert.
    pub alert_bytes_max: u64,
    /// Whether label names are letters, digits and `_` only, as before Prometheus 3.
    pub legacy_names: bool,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            listen: vec!["127.0.0.1:9494".to_owned()],
            external_url: None,
            route_prefix: String::new(),
            auth: AuthConfig::default(),
            cors_origins: Vec::new(),
            limits: ServerLimits {
                body_bytes_max: 16 << 20,
                connections_max: 2_000,
                requests_max: 1_000,
                streams_max: 200,
                request_timeout: Duration::from_secs(60),
                query_timeout: Duration::from_mins(2),
                query_samples_max: 50_000_000,
                queries_max: 20,
            },
        }
    }
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig {
            path: None,
            url: None,
            history: Duration::from_hours(30 * 24),
            lease: Duration::from_secs(10),
            fill: None,
        }
    }
}

impl Default for EvaluationConfig {
    fn default() -> EvaluationConfig {
        EvaluationConfig {
            interval: Duration::from_mins(1),
            on_ingest: true,
            query_offset: Duration::ZERO,
            external_labels: Labels::empty(),
            keep_unread: false,
            lookback: Duration::from_mins(5),
            experimental: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            series_max: 2_000_000,
            samples_per_series_max: 100_000,
            samples_bytes_max: 2 << 30,
            out_of_order_window: Duration::ZERO,
            tenant: None,
            alerts_max: 200_000,
            alerts_bytes_max: 512 << 20,
            alerts_per_name_max: None,
            alert_groups_max: 50_000,
            rule_instances_max: 10_000,
            silences_max: 10_000,
            silence_bytes_max: 64 << 10,
            event_groups_max: 10_000,
            events_max: 1_000_000,
        }
    }
}

impl Default for IngestConfig {
    fn default() -> IngestConfig {
        IngestConfig {
            body_bytes_max: 32 << 20,
            samples_max: 1_000_000,
            labels_max: 128,
            label_name_bytes_max: 1 << 10,
            label_value_bytes_max: 16 << 10,
            events_max: 100_000,
            event_bytes_max: 256 << 10,
            alerts_max: 100_000,
            alert_bytes_max: 64 << 10,
            legacy_names: false,
        }
    }
}

/// A count of at least one.
pub(crate) fn at_least_one(f: &mut Fields<'_, '_>, key: &'static str, default: u64) -> u64 {
    let given = f.count(key);
    not_zero(f, key, given, default)
}

fn not_zero(f: &mut Fields<'_, '_>, key: &'static str, given: Option<u64>, default: u64) -> u64 {
    match given {
        Some(0) => {
            f.error(key, "bad-value", format!("{key} cannot be 0")).help("give at least 1, or leave it out");
            default
        }
        Some(count) => count,
        None => default,
    }
}

fn some_bytes(f: &mut Fields<'_, '_>, key: &'static str, default: u64) -> u64 {
    let given = f.bytes(key);
    not_zero(f, key, given, default)
}

/// One address to listen on, or a list of them.
fn addresses(decoder: &mut Decoder<'_>, node: &Rc<Node>) -> Option<Vec<String>> {
    let address = |decoder: &mut Decoder<'_>, node: &Rc<Node>| {
        let listen = decoder.text(node, "an address").filter(|listen| !listen.is_empty())?;
        if let Err(reason) = crate::global::split_host_port(&listen)
            && !decoder.is_recording()
        {
            decoder
                .error(node.start, "bad-address", format!("listen is not host:port: {reason}"))
                .help("write it like 127.0.0.1:9494, or :9494 for all addresses");
            return None;
        }
        Some(listen)
    };
    let several = decoder.is_recording() || matches!(node.kind, Kind::Sequence(_));
    let listen = match several {
        true => decoder.list(node, "listen", address),
        false => address(decoder, node).into_iter().collect(),
    };
    decoder.record_text_too();
    Some(listen)
}

pub(crate) fn server(f: &mut Fields<'_, '_>) -> ServerConfig {
    let defaults = ServerConfig::default();
    let listen = f.read("listen", addresses).filter(|listen| !listen.is_empty());
    let listen = listen.unwrap_or_else(|| defaults.listen.clone());
    let external_url = f.url("external_url").map(|url| url.trim_end_matches('/').to_owned());
    let route_prefix = f.text_or("route_prefix", "");
    let route_prefix = ServerConfig::clean_route_prefix(&route_prefix).unwrap_or_else(|reason| {
        f.error("route_prefix", "bad-path", format!("route_prefix {reason}")).help("write it like /watchfire");
        String::new()
    });
    let auth = f.object("auth", "auth", auth::read).unwrap_or_default();
    let limits = f.object("limits", "server limits", |f| ServerLimits {
        body_bytes_max: f.bytes("body_bytes_max").unwrap_or(defaults.limits.body_bytes_max),
        connections_max: at_least_one(f, "connections_max", defaults.limits.connections_max),
        requests_max: at_least_one(f, "requests_max", defaults.limits.requests_max),
        streams_max: at_least_one(f, "streams_max", defaults.limits.streams_max),
        request_timeout: f.positive_duration("request_timeout").unwrap_or(defaults.limits.request_timeout),
        query_timeout: f.positive_duration("query_timeout").unwrap_or(defaults.limits.query_timeout),
        query_samples_max: at_least_one(f, "query_samples_max", defaults.limits.query_samples_max),
        queries_max: at_least_one(f, "queries_max", defaults.limits.queries_max),
    });
    let cors_origins = f.list("cors_origins", |decoder, node| {
        let origin = decoder.text(node, "an origin")?;
        let parts = origin.split_once("://").filter(|(_, host)| !host.is_empty() && !host.contains(['/', '*']));
        if parts.is_none() && !decoder.is_recording() {
            decoder
                .error(node.start, "bad-origin", format!("{origin:?} is not an origin"))
                .help("write it as browsers do: https://grafana.example.org, with the port if it is not the usual one");
            return None;
        }
        Some(origin)
    });
    ServerConfig { listen, external_url, route_prefix, auth, cors_origins, limits: limits.unwrap_or(defaults.limits) }
}

pub(crate) fn storage(f: &mut Fields<'_, '_>, sources: &BTreeMap<String, PrometheusConfig>) -> StorageConfig {
    let defaults = StorageConfig::default();
    let config = StorageConfig {
        path: f.path("path"),
        url: f.credential("url", "url_file"),
        history: f.positive_duration("history").unwrap_or(defaults.history),
        lease: f.positive_duration("lease").unwrap_or(defaults.lease),
        fill: f.object("fill", "storage.fill", |f| fill(f, sources)).flatten(),
    };
    if let Some(Credential::Inline(url)) = &config.url {
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if !known.iter().any(|scheme| url.expose().starts_with(scheme)) {
            f.error("url", "bad-url", "storage.url is not the address of a database that is known here")
                .help("write it like postgres://user:password@host/database or sqlite:///path/to/file");
        }
    }
    config
}

fn fill(f: &mut Fields<'_, '_>, sources: &BTreeMap<String, PrometheusConfig>) -> Option<FillConfig> {
    let from = f.required("from", "name one of `sources`");
    let timeout = f.positive_duration("timeout").unwrap_or(Duration::from_secs(30));
    let from = from?;
    if !sources.contains_key(&from) {
        let near = nearest(&from, sources.keys().map(String::as_str)).map(|near| format!("did you mean {near:?}?"));
        f.error("from", "unknown-source", format!("there is no source {from:?}"))
            .help(near.unwrap_or_else(|| "add it to `sources`, with the `url` of the server".to_owned()));
    }
    Some(FillConfig { from, timeout })
}

pub(crate) fn rules(f: &mut Fields<'_, '_>) -> RulesConfig {
    RulesConfig { paths: globs(f, "paths") }
}

/// Globs of files, made relative to the configuration.
pub(crate) fn globs(f: &mut Fields<'_, '_>, key: &'static str) -> Vec<String> {
    f.list(key, |decoder, node| {
        let glob = decoder.text(node, "a path")?;
        if decoder.is_recording() {
            return None;
        }
        if let Err(error) = Glob::new(&glob) {
            decoder
                .error(node.start, "bad-glob", format!("{glob:?} is not a pattern of paths: {}", error.kind()))
                .help("* stands for anything but /, ** for any number of folders, ? for one character, [ab] for one of two");
            return None;
        }
        Some(decoder.resolve_path(&glob))
    })
}

pub(crate) fn evaluation(f: &mut Fields<'_, '_>) -> EvaluationConfig {
    let defaults = EvaluationConfig::default();
    let external = f.text_map("external_labels");
    for name in external.keys().filter(|name| name.is_empty() || *name == "__name__") {
        f.error("external_labels", "bad-label", format!("{name:?} cannot be an external label")).help("rename it");
    }
    EvaluationConfig {
        interval: f.positive_duration("interval").unwrap_or(defaults.interval),
        on_ingest: f.boolean("on_ingest").unwrap_or(defaults.on_ingest),
        query_offset: f.duration("query_offset").unwrap_or(defaults.query_offset),
        external_labels: Labels::from_pairs(external),
        keep_unread: f.boolean("keep_unread").unwrap_or(defaults.keep_unread),
        lookback: f.positive_duration("lookback").unwrap_or(defaults.lookback),
        experimental: f.boolean("experimental").unwrap_or(defaults.experimental),
    }
}

pub(crate) fn limits(f: &mut Fields<'_, '_>) -> Limits {
    let defaults = Limits::default();
    Limits {
        series_max: at_least_one(f, "series_max", defaults.series_max),
        samples_per_series_max: at_least_one(f, "samples_per_series_max", defaults.samples_per_series_max),
        samples_bytes_max: some_bytes(f, "samples_bytes_max", defaults.samples_bytes_max),
        out_of_order_window: f.duration("out_of_order_window").unwrap_or(defaults.out_of_order_window),
        tenant: f
            .object("tenant", "limits.tenant", |f| {
                let label = f.required("label", "name the label that tells whose a series is, such as `team`");
                if f.lacks("series_max") {
                    f.missing("series_max").help("say how many series with one value of the label there may be");
                }
                let series_max = at_least_one(f, "series_max", defaults.series_max);
                Some(TenantLimits { label: label?, series_max })
            })
            .flatten(),
        alerts_max: at_least_one(f, "alerts_max", defaults.alerts_max),
        alerts_bytes_max: some_bytes(f, "alerts_bytes_max", defaults.alerts_bytes_max),
        alerts_per_name_max: f
            .count("alerts_per_name_max")
            .map(|max| not_zero(f, "alerts_per_name_max", Some(max), max)),
        alert_groups_max: at_least_one(f, "alert_groups_max", defaults.alert_groups_max),
        rule_instances_max: at_least_one(f, "rule_instances_max", defaults.rule_instances_max),
        silences_max: at_least_one(f, "silences_max", defaults.silences_max),
        silence_bytes_max: some_bytes(f, "silence_bytes_max", defaults.silence_bytes_max),
        event_groups_max: at_least_one(f, "event_groups_max", defaults.event_groups_max),
        events_max: at_least_one(f, "events_max", defaults.events_max),
    }
}

pub(crate) fn ingest(f: &mut Fields<'_, '_>) -> IngestConfig {
    let defaults = IngestConfig::default();
    IngestConfig {
        body_bytes_max: f.bytes("body_bytes_max").unwrap_or(defaults.body_bytes_max),
        samples_max: at_least_one(f, "samples_max", defaults.samples_max),
        labels_max: at_least_one(f, "labels_max", defaults.labels_max),
        label_name_bytes_max: f.bytes("label_name_bytes_max").unwrap_or(defaults.label_name_bytes_max),
        label_value_bytes_max: f.bytes("label_value_bytes_max").unwrap_or(defaults.label_value_bytes_max),
        events_max: at_least_one(f, "events_max", defaults.events_max),
        event_bytes_max: f.bytes("event_bytes_max").unwrap_or(defaults.event_bytes_max),
        alerts_max: at_least_one(f, "alerts_max", defaults.alerts_max),
        alert_bytes_max: f.bytes("alert_bytes_max").unwrap_or(defaults.alert_bytes_max),
        legacy_names: f.boolean("legacy_names").unwrap_or(defaults.legacy_names),
    }
}
