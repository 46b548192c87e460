//! `watchfire.yml`: Alertmanager's configuration and what Watchfire adds.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use watchfire_alerting::{Dispatch, IntegrationSpec, ReceiverSpec, TimeInterval};

use crate::alerting::{AlertingConfig, alerting};
use crate::channel;
use crate::decode::{Decoder, Fields};
use crate::diagnostic::Diagnostic;
use crate::environment::Environment;
use crate::global::{self, GlobalConfig};
use crate::http::{self, HttpConfig, http_config, tls_config};
use crate::interval::time_interval;
use crate::plugins::PluginsConfig;
use crate::prometheus::{PrometheusConfig, sources};
use crate::receiver::{Receiver, receiver};
use crate::route::{self, Names, Route};
use crate::sections::{self, EvaluationConfig, IngestConfig, Limits, RulesConfig, ServerConfig, StorageConfig};
use crate::tracing::{TracingConfig, tracing};
use crate::yaml::Node;

/// A file's name and content.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its path, as diagnostics shall name it; relative paths within it start at its folder.
    pub name: &'a str,
    /// Its content.
    pub text: &'a str,
}

/// Everything that `watchfire.yml` says, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where and to whom the engine answers.
    pub server: ServerConfig,
    /// Where state is kept.
    pub storage: StorageConfig,
    /// Where rules are.
    pub rules: RulesConfig,
    /// Servers that rule groups may name, and from which the store can be filled.
    pub sources: BTreeMap<String, PrometheusConfig>,
    /// Where plugins are, and what they may use.
    pub plugins: PluginsConfig,
    /// How rules are evaluated.
    pub evaluation: EvaluationConfig,
    /// Alertmanagers beside the engine.
    pub alerting: AlertingConfig,
    /// How much is kept.
    pub limits: Limits,
    /// What one body may hold.
    pub ingest: IngestConfig,
    /// The defaults of all receivers, already applied to them.
    pub global: GlobalConfig,
    /// Globs of notification templates.
    pub templates: Vec<String>,
    /// Who gets the engine's traces, if anybody does.
    pub tracing: Option<TracingConfig>,
    /// Who is told what, as the state machine wants it.
    pub dispatch: Dispatch,
    /// The route tree as it was written, with positions and labels.
    pub route: Route,
    /// The receivers with all that delivery needs; in the order of `dispatch.receivers`.
    pub receivers: Vec<Receiver>,
}

/// Reads the configuration. Every fault is told at once; there is a configuration only if none is an error.
pub fn load_config(source: Source<'_>, environment: &dyn Environment) -> (Option<Config>, Vec<Diagnostic>) {
    let mut decoder = Decoder::new(source, Some(environment));
    let config = match decoder.parse() {
        Some(root) => decoder.mapping(&root, "the configuration", read).flatten(),
        None => {
            if decoder.errors() == 0 {
                decoder
                    .error(0, "missing-key", "the configuration is empty")
                    .help("it needs at least a `route` with a `receiver`, and that receiver under `receivers`");
            }
            None
        }
    };
    decoder.finish(config)
}

/// Reads the file that says how a command asks a server, as `amtool --http.config.file` takes it: an `http_config` of its
/// own. An empty one says nothing.
pub fn load_http_config(source: Source<'_>, environment: &dyn Environment) -> (Option<HttpConfig>, Vec<Diagnostic>) {
    let mut decoder = Decoder::new(source, Some(environment));
    let config = match decoder.parse() {
        Some(root) => decoder.mapping(&root, "http_config", http::read),
        None => Some(HttpConfig::default()),
    };
    decoder.finish(config)
}

/// The JSON Schema of `watchfire.yml`, for editors; made by the code that reads it.
pub fn config_schema() -> String {
    let mut decoder = Decoder::recorder();
    let empty = Rc::new(Node::null());
    decoder.mapping(&empty, "the configuration", read);
    decoder.recorded().document("Watchfire configuration")
}

fn read(f: &mut Fields<'_, '_>) -> Option<Config> {
    let global = f.object("global", "global", global::global).unwrap_or_default();
    let channels =
        f.list("channels", |decoder, node| decoder.mapping(node, "a channel", channel::definition).map(Arc::new));
    for (at, definition) in channels.iter().enumerate() {
        let shipped = channel::all_shipped().iter().any(|known| known.name == definition.name);
        if shipped || channels[..at].iter().any(|earlier| earlier.name == definition.name) {
            f.error("channels", "duplicate-channel", format!("there are two channels {:?}", definition.name))
                .help("rename one of them; the names of the shipped channels are taken");
        }
    }
    let mut receiver_names = BTreeSet::new();
    let receivers = f.list("receivers", |decoder, node| {
        let receiver = decoder.mapping(node, "a receiver", |f| receiver(f, &global, &channels))?;
        let fresh = receiver_names.insert(receiver.name.clone());
        if !fresh && !receiver.name.is_empty() {
            decoder
                .error(node.start, "duplicate-receiver", format!("there are two receivers {:?}", receiver.name))
                .help("rename one of them, or put the integrations of both into one");
        }
        Some(receiver)
    });
    let mut interval_names = BTreeSet::new();
    let mut time_intervals: Vec<TimeInterval> = Vec::new();
    for key in ["mute_time_intervals", "time_intervals"] {
        time_intervals.extend(f.list(key, |decoder, node| {
            let interval = decoder.mapping(node, "a named time interval", time_interval)?;
            if !interval_names.insert(interval.name.clone()) && !interval.name.is_empty() {
                decoder
                    .error(
                        node.start,
                        "duplicate-interval",
                        format!("there are two time intervals {:?}", interval.name),
                    )
                    .help("rename one of them");
            }
            Some(interval)
        }));
    }
    let inhibit_rules =
        f.list("inhibit_rules", |decoder, node| decoder.mapping(node, "an inhibition rule", route::inhibit_rule));
    let names = Names { receivers: &receiver_names, intervals: &interval_names };
    let has_route = f.peek("route").is_some_and(|node| !node.is_null());
    let route = f.read("route", |decoder, node| route::root(decoder, node, &names));
    if !has_route {
        f.missing("route").help("write `route: {receiver: NAME}`: the receiver that gets what no other route takes");
    }
    let templates = sections::globs(f, "templates");
    let tracing = f.object("tracing", "tracing", tracing).flatten();
    f.object("event_recorder", "event_recorder", event_recorder);
    let server = f.object("server", "server", sections::server).unwrap_or_default();
    let sources = sources(f);
    let storage = f.object("storage", "storage", |f| sections::storage(f, &sources)).unwrap_or_default();
    let rules = f.object("rules", "rules", sections::rules).unwrap_or_default();
    let plugins = f.object("plugins", "plugins", crate::plugins::plugins).unwrap_or_default();
    let evaluation = f.object("evaluation", "evaluation", sections::evaluation).unwrap_or_default();
    let alerting = f.object("alerting", "alerting", alerting).unwrap_or_default();
    let limits = f.object("limits", "limits", sections::limits).unwrap_or_default();
    let ingest = f.object("ingest", "ingest", sections::ingest).unwrap_or_default();
    let route = route?;
    let dispatch = Dispatch {
        route: route.to_alerting(),
        receivers: receivers.iter().map(spec).collect(),
        inhibit_rules,
        time_intervals,
        resolve_timeout: global.resolve_timeout,
    };
    Some(Config {
        server,
        storage,
        rules,
        sources,
        plugins,
        evaluation,
        alerting,
        limits,
        ingest,
        global,
        templates,
        tracing,
        dispatch,
        route,
        receivers,
    })
}

fn spec(receiver: &Receiver) -> ReceiverSpec {
    let integrations = receiver.integrations.iter().map(|integration| IntegrationSpec {
        kind: integration.channel.kind().into(),
        send_resolved: integration.send_resolved,
        takes_acknowledgements: integration.channel.takes_acknowledgements(),
        settings: integration.settings,
    });
    ReceiverSpec { name: receiver.name.as_str().into(), integrations: integrations.collect() }
}

/// Checked, but without effect here.
fn event_recorder(f: &mut Fields<'_, '_>) {
    f.list("file_outputs", |decoder, node| {
        decoder.mapping(node, "a file output", |f| f.required("path", "name the file"))
    });
    f.list("webhook_outputs", |decoder, node| {
        decoder.mapping(node, "a webhook output", |f| {
            f.required("url", "give the address");
            f.url("url");
            http_config(f);
            f.duration("timeout");
            f.integer("workers");
            f.integer("max_retries");
            f.duration("retry_backoff");
            let batch = f.boolean("batch").unwrap_or(false);
            let settings = [
                f.count("batch_max_events").is_some_and(|n| n > 0),
                f.count("batch_max_bytes").is_some_and(|n| n > 0),
                f.duration("batch_flush_interval").is_some_and(|d| !d.is_zero()),
            ];
            if !batch && settings.contains(&true) {
                f.missing("batch").help("the batch settings mean something only with `batch: true`");
            }
        })
    });
    f.list("kafka_outputs", |decoder, node| {
        decoder.mapping(node, "a Kafka output", |f| {
            if f.texts("brokers").is_none_or(|brokers| brokers.is_empty()) {
                f.missing("brokers").help("name at least one broker as host:port");
            }
            f.required("topic", "name the topic");
            f.text("client_id");
            f.word("format", &["json", "protobuf", ""]);
            f.text("acks");
            f.text("compression");
            f.integer("buffer_size");
            tls_config(f, "tls_config");
        })
    });
    f.list("stdout_outputs", |decoder, node| {
        decoder.tree(node);
        Some(())
    });
    let start = f.start();
    f.decoder()
        .warning(start, "ignored-section", "`event_recorder` is accepted, but has no effect here")
        .help("remove it unless Alertmanager reads this file too");
}
