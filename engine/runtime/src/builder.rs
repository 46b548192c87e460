//! Building and starting an engine: one straight line from what is configured to what runs.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use watchfire_alerting::{Dispatch, Engine, Input, IntegrationSpec, Record, SettingsDigest, Tenure, Wish};
use watchfire_config::{Config, Diagnostic, RuleReader};
use watchfire_delivery::{Channel, Deliverer, NotificationTemplates};
use watchfire_host::{Host, HostSettings};
use watchfire_ingest::LabelNames;
use watchfire_model::Timestamp;
use watchfire_plugin::{Provider, State, StateLimits};
use watchfire_rules::RuleFile;
use watchfire_rules::builtin::Builtins;
use watchfire_store::log::{Log, LogError, LogSettings};
use watchfire_store::{Database, Store, StoreSettings};

use crate::bounds::Bounds;
use crate::clock::{Clock, SystemClock};
use crate::compile::external_url;
use crate::data::Data;
use crate::deliver::Sender;
use crate::deliveries::{self, History};
use crate::evaluate::{Evaluators, RuleSet};
use crate::forward::Forwarder;
use crate::handle::{ALERTS_WAITING_MAX, Inner, Watchfire};
use crate::health::Health;
use crate::intake::Intake;
use crate::last_good::LastGoodFiles;
use crate::metrics::Metrics;
use crate::numbers::Numbers;
use crate::owner::{Owner, Request};
use crate::persist::Persister;
use crate::providers::Providers;
use crate::recovery::{self, Recovered};
use crate::refill::Refill;
use crate::reload::{self, Amendment, Before, ConfigFile, Fresh, Origin, Reloader};
use crate::remembered::{Remembered, States};
use crate::tenure::{self, Standing, Tenant};
use crate::{deadlines, fill};

/// Changes that a slow subscriber may lag behind before it loses the oldest.
const CHANGES_KEPT: usize = 4096;

/// How often the input log is forced to the disk, at most.
const SYNC_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// How often it is looked whether the log has grown so much that a snapshot is due.
const SNAPSHOT_LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// Old data is let go once in so many of these.
const TRUNCATE_EVERY_SYNCS: u64 = 30;

/// Collects what an engine needs, then starts it.
#[derive(Default)]
pub struct Builder {
    config_file: Option<PathBuf>,
    amendment: Option<Amendment>,
    values: Option<(Config, Vec<RuleFile>)>,
    data_dir: Option<PathBuf>,
    providers: Vec<Arc<dyn Provider>>,
    channels: BTreeMap<String, Vec<Arc<dyn Channel>>>,
    clock: Option<Arc<dyn Clock>>,
}

/// Why an engine does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Neither a file nor values were given.
    #[error("there is no configuration: call config_file or config")]
    NoConfiguration,
    /// The configuration is not valid.
    #[error("the configuration is not valid:\n{}", .diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config {
        /// Everything that is wrong.
        diagnostics: Vec<Diagnostic>,
        /// The configuration's text, to show the places.
        text: String,
    },
    /// A folder or file of the data directory cannot be used.
    #[error("the data directory {path} cannot be used: {reason}")]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The plugin host does not start.
    #[error("plugins cannot be run here: {0}")]
    Host(String),
    /// It was stopped while it started.
    #[error("the engine was stopped while it started")]
    Stopped,
    /// The operating system refused a thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// What deliveries need beside the configuration.
#[derive(Clone)]
pub(crate) struct DeliveryParts {
    /// Channels of the embedding program, by the receiver that they belong to.
    pub(crate) channels: BTreeMap<String, Vec<Arc<dyn Channel>>>,
    /// The numbers behind alerts.
    pub(crate) numbers: Numbers,
}

impl DeliveryParts {
    /// Sets the receivers of a configuration up. What is broken in an integration is reported; the messages concerned fall
    /// back to the built-in ones.
    pub(crate) fn build(
        &self,
        config: &Config,
        templates: NotificationTemplates,
        providers: &Arc<dyn Provider>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Deliverer {
        let settings = watchfire_delivery::Settings {
            external_url: external_url(config),
            channels: self.channels.clone(),
            trends: Some(Arc::new(self.numbers.within(&config.server.limits))),
            ..watchfire_delivery::Settings::default()
        };
        let deliverer = Deliverer::new(settings, &config.receivers, templates, Arc::clone(providers));
        let known: Vec<&str> = config.receivers.iter().map(|receiver| &*receiver.name).collect();
        for receiver in self.channels.keys().filter(|receiver| !known.contains(&receiver.as_str())) {
            let message = format!(
                "this program has a channel for the receiver {receiver:?}, which the configuration does not have, so that \
                 nothing goes there; its receivers: {}",
                known.join(", ")
            );
            diagnostics.push(crate::load::whole_file(receiver, &message));
        }
        let problems = deliverer.problems().iter();
        diagnostics.extend(problems.map(|problem| crate::load::whole_file(&problem.place, &problem.message)));
        deliverer
    }

    /// Lets the state machine know of the channels: each is one more integration of its receiver.
    pub(crate) fn extend(&self, dispatch: &mut Dispatch) {
        for receiver in &mut dispatch.receivers {
            let own = self.channels.get(&*receiver.name).map_or(0, Vec::len);
            receiver.integrations.extend((0..own).map(|position| IntegrationSpec {
                kind: "custom".into(),
                send_resolved: true,
                takes_acknowledgements: false,
                settings: SettingsDigest(position as u128),
            }));
        }
    }
}

impl Builder {
    /// Reads this file, follows its changes, and those of the rules, templates and plugins that it names.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Builder {
        self.config_file = Some(path.into());
        self
    }

    /// Changes every configuration that is read from the file, at the start and at each reload: what a command line says
    /// over a file.
    pub fn amend(mut self, amendment: impl Fn(&mut Config) + Send + Sync + 'static) -> Builder {
        self.amendment = Some(Amendment(Arc::new(amendment)));
        self
    }

    /// Uses these values; nothing is read or followed.
    pub fn config(mut self, config: Config, rules: Vec<RuleFile>) -> Builder {
        self.values = Some((config, rules));
        self
    }

    /// Keeps state here instead of where the configuration says.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Builder {
        self.data_dir = Some(path.into());
        self
    }

    /// Adds conditions, routers and formatters of the embedding program. They come before plugins of the same name.
    pub fn provider(mut self, provider: Arc<dyn Provider>) -> Builder {
        self.providers.push(provider);
        self
    }

    /// Adds a channel of the embedding program: every notification to the receiver of this name goes to it too. A receiver
    /// that the configuration does not have is told as an error of it, here and after a reload.
    pub fn channel(mut self, receiver: impl Into<String>, channel: Arc<dyn Channel>) -> Builder {
        self.channels.entry(receiver.into()).or_default().push(channel);
        self
    }

    /// Uses this clock instead of the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Builder {
        self.clock = Some(clock);
        self
    }

    /// Reads the configuration and touches nothing else yet, for programs that look at it before they start.
    ///
    /// # Errors
    /// If there is no configuration that can be used.
    pub fn prepare(self) -> Result<Prepared, StartError> {
        let origin = match (self.config_file, self.values) {
            // From here on every path is absolute: the identity of rules must not depend on where the program was started.
            (Some(path), _) => {
                let path = std::path::absolute(&path).unwrap_or(path);
                Origin::File(ConfigFile { path, amendment: self.amendment.unwrap_or_default() })
            }
            (None, Some((config, rules))) => Origin::Values(Box::new(config), rules),
            (None, None) => return Err(StartError::NoConfiguration),
        };
        let (config, text) = peek(&origin)?;
        let Builder { data_dir, providers, channels, clock, .. } = self;
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock));
        Ok(Prepared { origin, config, text, data_dir, providers, channels, clock })
    }

    /// Starts the engine. When this returns, the state is restored and rules are evaluated. Plugins that were not compiled
    /// before are unavailable until they are, for which [`Watchfire::plugins_compiled`] waits.
    ///
    /// Broken rule files and plugins do not keep it from starting: they are quarantined and visible.
    ///
    /// # Errors
    /// If the configuration or the data directory cannot be used.
    pub async fn start(self) -> Result<Watchfire, StartError> {
        self.prepare()?.start().await
    }
}

/// An engine that can be started: its configuration is read.
pub struct Prepared {
    origin: Origin,
    config: Config,
    /// The configuration as it is written.
    text: String,
    data_dir: Option<PathBuf>,
    providers: Vec<Arc<dyn Provider>>,
    channels: BTreeMap<String, Vec<Arc<dyn Channel>>>,
    clock: Arc<dyn Clock>,
}

impl Prepared {
    /// What it will start with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// As [`Builder::start`].
    ///
    /// # Errors
    /// If the data directory cannot be used, or the configuration any more.
    pub async fn start(self) -> Result<Watchfire, StartError> {
        let Prepared { origin, config, text, data_dir, providers, channels, clock } = self;
        let metrics = Arc::new(Metrics::new());
        let folder = reload::folder(&origin);
        let data_dir = data_dir.unwrap_or_else(|| folder.join(config.storage.path.as_deref().unwrap_or("data")));
        let unusable = |reason: String| StartError::Data { path: data_dir.clone(), reason };
        std::fs::create_dir_all(&data_dir).map_err(|error| unusable(error.to_string()))?;

        // What was known before.
        let log = open_log(data_dir.join("log")).map_err(|error| unusable(error.to_string()))?;
        let events = open_log(data_dir.join("events")).map_err(|error| unusable(error.to_string()))?;
        let settings = match &config.storage.url {
            Some(url) => StoreSettings::parse(url.expose()).map_err(|error| unusable(error.to_string()))?,
            None => StoreSettings::new(Database::File(data_dir.join("state.db"))),
        };
        let store = Arc::new(Store::open(settings).await.map_err(|error| unusable(error.to_string()))?);
        let shares = store.can_be_shared();
        let tenure = if shares { Tenure::sharing(config.storage.lease.max(tenure::SPAN_MIN)) } else { Tenure::alone() };
        let (standing, changes_of_tenure) = Standing::new(tenure.clone());
        let name = tenure::name(&data_dir).map_err(|error| unusable(error.to_string()))?;
        if shares {
            let asked_at = standing.now();
            let claim = store.claim(&name, Wish::Start, tenure.span()).await;
            let claim = claim.map_err(|error| unusable(error.to_string()))?;
            changes_of_tenure.send_modify(|tenure| {
                // What is kept is read next in any case.
                let _turn = tenure.answered(asked_at, claim);
            });
        }
        let term = changes_of_tenure.borrow().term();
        let records = if term.is_some() { store.restore().await } else { store.look().await };
        let records = records.map_err(|error| unusable(error.to_string()))?;
        for aside in &records.quarantined {
            let (kind, key, reason) = (&aside.kind, &aside.key, &aside.reason);
            tracing::error!(kind, key, reason, "a stored record cannot be read and is put aside");
        }
        let (states, records) = plugin_states(records.records, config.plugins.limits.state());
        let remembered = Arc::new(Remembered::new(states));

        // Plugins and rules.
        let cache_dir = Some(data_dir.join("plugin-cache"));
        let plugin_compiled = Arc::new(Notify::new());
        let finished = Arc::clone(&plugin_compiled);
        let settings = HostSettings { cache_dir, limits: config.plugins.limits, ..HostSettings::default() };
        let host = Host::with_compiler(settings, move || finished.notify_one())
            .map_err(|error| StartError::Host(error.to_string()))?;
        let mut sources = providers;
        sources.push(Arc::new(host.clone()));
        sources.push(Arc::new(Builtins));
        let providers: Arc<dyn Provider> = Arc::new(Providers(sources));
        let now = clock.now();
        let running = RuleSet::default();
        let seen = match &origin {
            Origin::File(file) => reload::inputs(&file.path, &config),
            Origin::Values(..) => reload::Inputs::new(),
        };
        let mut last_good = LastGoodFiles::open(&data_dir);
        let mut reader = RuleReader::default();
        let before = Before { loaded: None, reader: &mut reader, last_good: &mut last_good };
        let fresh = reload::read(&origin, &host, providers.as_ref(), before, &running, &remembered, now);
        let Fresh { mut loaded, mut compiled, templates } =
            fresh.map_err(|(diagnostics, _)| StartError::Config { diagnostics, text })?;
        last_good.keep();

        // Data: what snapshot and logs remember is read back before anything is evaluated.
        let (settings, limits) = (tsdb_settings(&loaded.config), ingest_limits(&loaded.config));
        let recovered =
            recovery::recover(log, events, settings, limits, &compiled.queries, now - loaded.retention..now, &metrics);
        let (data, recovered) = recovered.map_err(|error| unusable(error.to_string()))?;
        let Recovered { from_snapshot, samples, events, warnings } = recovered;
        for warning in warnings {
            tracing::error!("{warning}");
        }
        tracing::info!(from_snapshot, samples, events, records = records.len(), "state restored");

        // Receivers, which show the numbers behind alerts.
        let rules = Arc::new(ArcSwap::from_pointee(running));
        let bounds = Arc::new(Bounds::default());
        let numbers = Numbers::new(Arc::clone(&rules), Arc::clone(&data), Arc::clone(&bounds));
        let delivery = DeliveryParts { channels, numbers };
        delivery.extend(&mut compiled.definitions.dispatch);
        let deliverer = delivery.build(&loaded.config, templates, &providers, &mut loaded.diagnostics);
        let deliverer = Arc::new(ArcSwap::from_pointee(deliverer));
        let forwarder = Forwarder::new(Arc::clone(&clock), Arc::clone(&metrics));
        forwarder.configure(&loaded.config, &mut loaded.diagnostics);
        for diagnostic in &loaded.diagnostics {
            if diagnostic.is_error() {
                tracing::error!("{diagnostic}");
            } else {
                tracing::warn!("{diagnostic}");
            }
        }
        fill_from_source(&data, &loaded, now).await;
        let now = clock.now();

        // The loop.
        let (owner, requests) = mpsc::unbounded_channel();
        let (decided, decisions) = mpsc::unbounded_channel();
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let evaluators = Evaluators::start(
            Arc::clone(&rules),
            Arc::clone(&providers),
            host.clone(),
            Arc::clone(&data),
            owner.clone(),
            Arc::clone(&metrics),
            Arc::clone(&clock),
        )?;
        let working = evaluators.working();
        let arrivals = loaded.config.evaluation.on_ingest.then(|| evaluators.clone());
        let history = History::open(Arc::clone(&store)).await.map_err(|error| unusable(error.to_string()))?;
        let history = Arc::new(history);
        let sender = Sender {
            deliverer: Arc::clone(&deliverer),
            owner: owner.clone(),
            metrics: Arc::clone(&metrics),
            history: Arc::clone(&history),
            clock: Arc::clone(&clock),
            standing: standing.clone(),
        };
        let (refused, store_health) = (Arc::new(Notify::new()), Arc::new(Health::default()));
        let persister = Persister {
            store: Arc::clone(&store),
            deliver: move |term, delivery| sender.send(term, delivery),
            owner: owner.clone(),
            refused: Arc::clone(&refused),
            health: Arc::clone(&store_health),
            metrics: Arc::clone(&metrics),
        };
        let persisting = tokio::spawn(persister.run(decisions));
        let settings = engine_settings(&loaded.config);
        let mut engine = if term.is_some() { Engine::new(settings) } else { Engine::watching(settings) };
        engine.handle(now, Input::Restore(records));
        let on_ingest = loaded.config.evaluation.on_ingest;
        let machine = Owner {
            engine,
            term,
            clock: Arc::clone(&clock),
            data: Arc::clone(&data),
            evaluators,
            forwarder: forwarder.clone(),
            decided,
            changes: changes.clone(),
            remembered: Arc::clone(&remembered),
            on_ingest,
        };
        tokio::spawn(machine.run(requests));
        let ok = loaded.last_reload_ok;
        metrics.last_reload_successful.set(i64::from(ok));
        metrics.last_reload_seconds.set(now.as_secs_f64());
        let loaded = Arc::new(ArcSwap::from_pointee(loaded));
        reload::apply(&data, &rules, &remembered, compiled, Refill::default(), &owner, &metrics, now)
            .await
            .map_err(|_| StartError::Stopped)?;
        metrics.deciding.set(i64::from(term.is_some()));
        if shares {
            let tenant = Tenant {
                store,
                engine: name,
                standing,
                tenure: changes_of_tenure,
                refused,
                owner: owner.clone(),
                rules: Arc::clone(&rules),
                history: Arc::clone(&history),
                metrics: Arc::clone(&metrics),
            };
            tokio::spawn(tenant.run());
        }

        // What goes on beside it.
        let (reloads, reload_requests) = mpsc::channel(16);
        let (reloaded_sender, reloaded) = watch::channel(());
        let reloader = Reloader {
            origin,
            host: host.clone(),
            providers,
            deliverer: Arc::clone(&deliverer),
            delivery,
            forwarder,
            store_health,
            rules,
            remembered,
            reader,
            last_good,
            data: Arc::clone(&data),
            loaded: Arc::clone(&loaded),
            reloaded: reloaded_sender,
            owner: owner.clone(),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            plugin_compiled,
            raised: Vec::new(),
            seen,
            started_with: config,
        };
        tokio::spawn(reloader.run(reload_requests));
        if on_ingest {
            tokio::spawn(deadlines::follow(Arc::clone(&data), Arc::clone(&clock), owner.clone()));
        }
        tokio::spawn(truncate(Arc::clone(&data), Arc::clone(&loaded), Arc::clone(&clock), owner.clone()));
        tokio::spawn(keep_snapshots(Arc::clone(&data), Arc::clone(&clock), owner.clone()));
        let keeping = (Arc::clone(&history), Arc::clone(&loaded), Arc::clone(&clock), Arc::clone(&metrics));
        tokio::spawn(deliveries::keep(keeping.0, keeping.1, keeping.2, keeping.3, owner.clone()));
        let intake = Intake::start(Arc::clone(&data), Arc::clone(&clock), arrivals, Arc::clone(&metrics))?;
        let inner = Inner {
            deliverer,
            history,
            owner,
            intake,
            working,
            host,
            data,
            loaded,
            reloads,
            reloaded,
            changes,
            clock,
            metrics,
            ready: AtomicBool::new(false),
            alerts_waiting: Arc::new(Semaphore::new(ALERTS_WAITING_MAX)),
            bounds,
            shares,
            persisting: tokio::sync::Mutex::new(Some(persisting)),
        };
        inner.ready.store(true, Ordering::Release);
        Ok(Watchfire { inner: Arc::new(inner) })
    }
}

/// Opens a log and tells what had to be repaired.
fn open_log(dir: PathBuf) -> Result<Log, LogError> {
    let name = dir.display().to_string();
    let (log, opened) = Log::open(LogSettings::new(dir))?;
    if opened.cut_bytes > 0 || !opened.put_aside.is_empty() {
        tracing::warn!(name, cut_bytes = opened.cut_bytes, put_aside = ?opened.put_aside, "a log was repaired");
    }
    Ok(log)
}

/// The configuration alone, to know where state is kept.
fn peek(origin: &Origin) -> Result<(Config, String), StartError> {
    match origin {
        Origin::Values(config, _) => Ok((config.as_ref().clone(), String::new())),
        Origin::File(file) => {
            let (config, text, _) =
                file.read().map_err(|(diagnostics, text)| StartError::Config { diagnostics, text })?;
            Ok((config, text))
        }
    }
}

/// Takes from `storage.fill` what the rules read and the store lacks. Rules are evaluated whatever comes of it.
async fn fill_from_source(data: &Data, loaded: &crate::Loaded, now: Timestamp) {
    let config = &loaded.config;
    let Some(wanted) = &config.storage.fill else { return };
    let Some(server) = config.sources.get(&wanted.from) else { return };
    let (files, limits) = (&loaded.files, ingest_limits(config));
    let filled = fill::fill(data, server, wanted.timeout, files, &config.evaluation, &limits, now).await;
    let (source, selectors, samples) = (&wanted.from, filled.selectors, filled.samples);
    data.metrics.filled.inc_by(samples);
    data.metrics.fill_failures.set(i64::try_from(selectors - filled.done).unwrap_or(i64::MAX));
    if filled.failures.is_empty() {
        tracing::info!(source, selectors, samples, "the store was filled");
        return;
    }
    let (done, reason) = (filled.done, filled.failures.join("; "));
    tracing::error!(
        source,
        selectors,
        done,
        samples,
        reason,
        "the store was not filled; windows fill as samples arrive"
    );
}

/// Takes what plugins remember out of the records: it belongs to the evaluations, not to the state machine.
pub(crate) fn plugin_states(records: Vec<Record>, limits: StateLimits) -> (States, Vec<Record>) {
    let mut remembered: HashMap<_, BTreeMap<String, Vec<u8>>> = HashMap::new();
    let mut rest = Vec::with_capacity(records.len());
    for record in records {
        match record {
            Record::PluginState(state) => {
                if let Some(value) = state.write.value {
                    remembered.entry(state.rule).or_default().insert(state.write.key, Arc::unwrap_or_clone(value));
                }
            }
            other => rest.push(other),
        }
    }
    (remembered.into_iter().map(|(rule, values)| (rule, State::new(limits, values))).collect(), rest)
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The bounds of what a request may hold, as they are configured.
pub fn ingest_limits(config: &Config) -> watchfire_ingest::Limits {
    let ingest = &config.ingest;
    watchfire_ingest::Limits {
        body_bytes_max: size(ingest.body_bytes_max),
        samples_max: size(ingest.samples_max),
        labels_max: size(ingest.labels_max),
        label_name_bytes_max: size(ingest.label_name_bytes_max),
        label_value_bytes_max: size(ingest.label_value_bytes_max),
        events_max: size(ingest.events_max),
        event_bytes_max: size(ingest.event_bytes_max),
        alerts_max: size(ingest.alerts_max),
        alert_bytes_max: size(ingest.alert_bytes_max),
        label_names: if ingest.legacy_names { LabelNames::Legacy } else { LabelNames::Utf8 },
        ..watchfire_ingest::Limits::STANDARD
    }
}

fn tsdb_settings(config: &Config) -> watchfire_tsdb::Settings {
    watchfire_tsdb::Settings {
        series_max: size(config.limits.series_max),
        samples_per_series_max: size(config.limits.samples_per_series_max),
        bytes_max: size(config.limits.samples_bytes_max),
        out_of_order_window: config.limits.out_of_order_window,
        tenants: config
            .limits
            .tenant
            .as_ref()
            .map(|tenant| watchfire_tsdb::Tenants { label: tenant.label.clone(), series_max: size(tenant.series_max) }),
    }
}

fn engine_settings(config: &Config) -> watchfire_alerting::Settings {
    watchfire_alerting::Settings {
        alerts_max: size(config.limits.alerts_max),
        alerts_bytes_max: size(config.limits.alerts_bytes_max),
        alerts_per_name_max: config.limits.alerts_per_name_max.map(size),
        groups_max: size(config.limits.alert_groups_max),
        silences_max: size(config.limits.silences_max),
        silence_bytes_max: size(config.limits.silence_bytes_max),
        rule_instances_max: size(config.limits.rule_instances_max),
        history_retention: config.storage.history,
        start_delay: config.alerting.start_delay,
        ..watchfire_alerting::Settings::default()
    }
}

/// Writes snapshots as the log grows, until the engine stops.
async fn keep_snapshots(data: Arc<Data>, clock: Arc<dyn Clock>, owner: mpsc::UnboundedSender<Request>) {
    let mut ticks = tokio::time::interval(SNAPSHOT_LOOK_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = owner.closed() => return,
        }
        let (data, now) = (Arc::clone(&data), clock.now());
        if tokio::task::spawn_blocking(move || data.snapshot_if_due(now)).await.is_err() {
            tracing::error!("writing a snapshot failed");
        }
    }
}

/// Lets go of old data now and then, until the engine stops.
async fn truncate(
    data: Arc<Data>,
    loaded: Arc<ArcSwap<crate::Loaded>>,
    clock: Arc<dyn Clock>,
    owner: mpsc::UnboundedSender<Request>,
) {
    let mut ticks = tokio::time::interval(SYNC_EVERY);
    for tick in 0u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            () = owner.closed() => return,
        }
        let (loaded, now, data) = (loaded.load_full(), clock.now(), Arc::clone(&data));
        let lets_go = tick.is_multiple_of(TRUNCATE_EVERY_SYNCS);
        if !lets_go && !data.is_sync_due(now) {
            // An idle engine wakes no other thread for nothing.
            continue;
        }
        let work = tokio::task::spawn_blocking(move || {
            data.sync_if_due(now);
            if lets_go {
                data.truncate(now, loaded.retention);
            }
        });
        if work.await.is_err() {
            tracing::error!("letting go of old data failed");
        }
    }
}

#[cfg(test)]
mod tests;
