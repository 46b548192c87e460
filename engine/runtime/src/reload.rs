//! Hot reload: what changed takes over, what is unchanged keeps its state, what is broken keeps its last good version.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use watchfire_alerting::{Definitions, Input};
use watchfire_config::{Config, Diagnostic, Level, Limits, RuleReader, Source, load_config};
use watchfire_delivery::{Deliverer, NotificationTemplates};
use watchfire_host::Host;
use watchfire_model::{Alert, Timestamp};
use watchfire_plugin::Provider;
use watchfire_rules::RuleFile;

use crate::builder::ingest_limits;
use crate::clock::Clock;
use crate::compile::{self, Compiled};
use crate::data::Data;
use crate::evaluate::RuleSet;
use crate::forward::Forwarder;
use crate::health::Health;
use crate::last_good::LastGoodFiles;
use crate::load::{self, Loaded, ProcessEnvironment};
use crate::metrics::{Metrics, label};
use crate::owner::Request;
use crate::refill::Refill;
use crate::remembered::Remembered;
use crate::templates;
use crate::watch::{Watch, folder_of};
use crate::{plugins, retention, self_alerts};

/// Somebody wants everything to be read again.
pub(crate) struct ReloadRequest {
    pub(crate) reply: oneshot::Sender<Result<ReloadReport, ReloadError>>,
}

/// What a reload found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReport {
    /// Rules in force.
    pub rules: usize,
    /// Errors, each of which keeps one part at its last good version or leaves it out.
    pub errors: usize,
    /// The first of them.
    pub first: Vec<String>,
}

impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rules in force, {} errors", self.rules, self.errors)?;
        for error in &self.first {
            write!(f, "\n{error}")?;
        }
        Ok(())
    }
}

/// Why nothing was reloaded.
#[derive(Clone, Debug, Error)]
pub enum ReloadError {
    /// The configuration is not valid; the one before goes on.
    #[error("{}", texts(.0))]
    Config(Vec<Diagnostic>),
    /// Reading panicked; what was in force goes on.
    #[error("reading it has panicked; this is a defect, which the log tells: please report it")]
    Defect,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Closed,
}

fn texts(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    errors.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A file that is read and watched.
    File(ConfigFile),
    /// Values from an embedding program, which do not change.
    Values(Box<Config>, Vec<RuleFile>),
}

/// A configuration file, and what is changed in it before it is used.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) amendment: Amendment,
}

/// What is said over a configuration from outside of its file.
#[derive(Clone)]
pub(crate) struct Amendment(pub(crate) Arc<dyn Fn(&mut Config) + Send + Sync>);

impl Default for Amendment {
    fn default() -> Amendment {
        Amendment(Arc::new(|_| {}))
    }
}

impl fmt::Debug for Amendment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Amendment")
    }
}

impl ConfigFile {
    /// The configuration, the file's text and what is remarkable about it; or what is wrong, and the text.
    pub(crate) fn read(&self) -> Result<(Config, String, Vec<Diagnostic>), (Vec<Diagnostic>, String)> {
        let name = self.path.display().to_string();
        let text = load::read(&self.path)
            .map_err(|error| (vec![load::whole_file(&name, &format!("cannot be read: {error}"))], String::new()))?;
        let environment = ProcessEnvironment { folder: folder_of_file(&self.path) };
        match load_config(Source { name: &name, text: &text }, &environment) {
            (Some(mut config), diagnostics) => {
                (self.amendment.0)(&mut config);
                Ok((config, text, diagnostics))
            }
            (None, diagnostics) => Err((diagnostics, text)),
        }
    }
}

/// Everything that a reload touches.
pub(crate) struct Reloader {
    pub(crate) origin: Origin,
    pub(crate) host: Host,
    pub(crate) providers: Arc<dyn Provider>,
    pub(crate) deliverer: Arc<ArcSwap<Deliverer>>,
    pub(crate) delivery: crate::builder::DeliveryParts,
    pub(crate) forwarder: Forwarder,
    pub(crate) rules: Arc<ArcSwap<RuleSet>>,
    pub(crate) remembered: Arc<Remembered>,
    pub(crate) reader: RuleReader,
    pub(crate) last_good: LastGoodFiles,
    pub(crate) store_health: Arc<Health>,
    pub(crate) data: Arc<Data>,
    pub(crate) loaded: Arc<ArcSwap<Loaded>>,
    /// Told after each reload.
    pub(crate) reloaded: watch::Sender<()>,
    pub(crate) owner: mpsc::UnboundedSender<Request>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    /// Told when a plugin was compiled aside, so that it can take over.
    pub(crate) plugin_compiled: Arc<Notify>,
    /// What the engine says about itself at the moment.
    pub(crate) raised: Vec<Alert>,
    /// The files as they were when they were read last.
    pub(crate) seen: Inputs,
    /// The configuration at the start, of which some parts stay in force until the next start.
    pub(crate) started_with: Config,
}

/// Files with their time of change and length.
pub(crate) type Inputs = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// Every file that a configuration makes the engine read.
pub(crate) fn inputs(config_file: &Path, config: &Config) -> Inputs {
    let absolute = std::path::absolute(config_file).unwrap_or_else(|_| config_file.to_owned());
    let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    // What is wrong with a pattern is reported by the reading itself.
    let mut unreported = Vec::new();
    let mut files = load::matching(&config.rules.paths, &folder, &mut unreported);
    files.extend(load::matching(&config.templates, &folder, &mut unreported));
    let components =
        config.plugins.dir.iter().flat_map(|dir| [format!("{dir}/*.wasm"), format!("{dir}/*.wasm.minisig")]);
    files.extend(load::matching(&components.collect::<Vec<_>>(), &folder, &mut unreported));
    files.extend(config.plugins.lock.iter().map(|lock| folder.join(lock)));
    files.extend(templates::message_files(config, &folder).into_values());
    files.push(absolute);
    let state = |path: PathBuf| {
        let metadata = std::fs::metadata(&path).ok()?;
        Some((path, (metadata.modified().ok(), metadata.len())))
    };
    files.into_iter().filter_map(state).collect()
}

/// What was read, before anything is changed.
pub(crate) struct Fresh {
    pub(crate) loaded: Loaded,
    pub(crate) compiled: Compiled,
    pub(crate) templates: NotificationTemplates,
}

/// What stands in for what is broken.
pub(crate) struct Before<'a> {
    /// What is in force in this process.
    pub(crate) loaded: Option<&'a Loaded>,
    /// What it was read from.
    pub(crate) reader: &'a mut RuleReader,
    /// What was in force, over a restart too.
    pub(crate) last_good: &'a mut LastGoodFiles,
}

/// Reads configuration, rules and plugins and makes them ready; changes nothing but the host's plugins.
pub(crate) fn read(
    origin: &Origin,
    host: &Host,
    providers: &dyn Provider,
    before: Before<'_>,
    running: &RuleSet,
    remembered: &Remembered,
    now: Timestamp,
) -> Result<Fresh, (Vec<Diagnostic>, String)> {
    let folder = folder(origin);
    let (name, (config, config_text, mut diagnostics)) = match origin {
        Origin::Values(config, _) => (String::new(), (config.as_ref().clone(), String::new(), Vec::new())),
        Origin::File(file) => (file.path.display().to_string(), file.read()?),
    };
    let in_force = before.loaded.map_or(&[][..], |before| &before.files);
    let mut quarantined = 0;
    let files = match origin {
        Origin::Values(_, files) => files.clone(),
        Origin::File(_) => {
            let found = load::rule_files(&config, &folder, before.reader, in_force, &mut before.last_good.rules);
            diagnostics.extend(found.diagnostics);
            quarantined += found.quarantined;
            found.files
        }
    };
    let source = Source { name: &name, text: &config_text };
    let mut loaded = templates::load_with(&config, &folder, Some(&mut before.last_good.templates));
    diagnostics.append(&mut loaded.diagnostics);
    quarantined += loaded.quarantined;
    templates::check_names(source, &loaded, &mut diagnostics);
    let templates = loaded.templates;
    let plugins = plugins::load(&config, &files, &folder, host, before.loaded, &mut diagnostics);
    let mut compiled = compile::compile(&config, &files, running, providers, host, remembered);
    diagnostics.append(&mut compiled.diagnostics);
    compiled.quarantined += quarantined;
    let ok = !diagnostics.iter().any(Diagnostic::is_error) && plugins.iter().all(|plugin| plugin.error.is_none());
    let retention = retention::of(&files, config.evaluation.lookback, config.evaluation.query_offset);
    let last_reload_ok = ok;
    let loaded = Loaded { config, config_text, files, diagnostics, plugins, retention, loaded_at: now, last_reload_ok };
    Ok(Fresh { loaded, compiled, templates })
}

/// Paths of a configuration are relative to its file.
pub(crate) fn folder(origin: &Origin) -> PathBuf {
    match origin {
        Origin::File(file) => folder_of_file(&file.path),
        Origin::Values(..) => PathBuf::from("."),
    }
}

fn folder_of_file(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().unwrap_or(Path::new("/")).to_owned()
}

impl Reloader {
    /// Follows files and requests until the engine stops.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<ReloadRequest>) {
        let mut watch = Watch::new();
        watch.set_folders(self.folders());
        // A change between the first reading and the watch must not be missed.
        if self.inputs() != self.seen
            && let Err(error) = self.reload().await
        {
            tracing::error!(%error, "not reloaded; what was in force goes on");
        }
        let mut again = tokio::time::interval(self_alerts::REPEAT);
        let (data, store_health) = (Arc::clone(&self.data), Arc::clone(&self.store_health));
        let plugin_compiled = Arc::clone(&self.plugin_compiled);
        loop {
            let mut is_compiled = false;
            let asked = tokio::select! {
                request = requests.recv() => Some(request),
                () = watch.changed() => tokio::select! {
                    // Whoever asks has finished writing.
                    request = requests.recv() => Some(request),
                    () = watch.settled() => None,
                },
                () = plugin_compiled.notified() => {
                    is_compiled = true;
                    None
                }
                () = data.health.changed() => None,
                () = store_health.changed() => None,
                _ = again.tick() => None,
                () = self.owner.closed() => return,
            };
            if let Some(request) = asked {
                let Some(request) = request else { return };
                let result = self.reload().await;
                // A caller that has gone away needs no answer.
                drop(request.reply.send(result));
            }
            // Watched before it is looked at, so that no change falls between. Logs, databases and editors write into
            // the same folders, and only what is read counts; what no watch told of, the next look finds.
            watch.set_folders(self.folders());
            if is_compiled || self.inputs() != self.seen {
                match self.reload().await {
                    Ok(report) => tracing::info!(%report, "reloaded"),
                    Err(error) => tracing::error!(%error, "not reloaded; what was in force goes on"),
                }
                watch.set_folders(self.folders());
            }
            self.raise();
            self.keep_last_good().await;
        }
    }

    /// Makes durable which versions are in force. Nobody waits for the disk: until then a restart finds those before.
    async fn keep_last_good(&mut self) {
        if self.last_good.is_kept() {
            return;
        }
        let mut last_good = self.last_good.clone();
        let kept = tokio::task::spawn_blocking(move || {
            last_good.keep();
            last_good
        });
        if let Ok(kept) = kept.await {
            self.last_good = kept;
        }
    }

    /// The folders in which something that is read may change.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let Origin::File(file) = &self.origin else { return BTreeSet::new() };
        let folder = folder(&self.origin);
        let loaded = self.loaded.load();
        let config = &loaded.config;
        let patterns = config.rules.paths.iter().chain(&config.templates);
        let mut folders: BTreeSet<PathBuf> = patterns.map(|pattern| folder_of(&folder.join(pattern))).collect();
        folders.extend(loaded.files.iter().map(|file| folder_of(Path::new(&file.path))));
        folders.extend(templates::message_files(config, &folder).values().map(|file| folder_of(file)));
        folders.extend(config.plugins.dir.iter().map(|dir| folder.join(dir)));
        folders.extend(config.plugins.lock.iter().map(|lock| folder_of(&folder.join(lock))));
        folders.insert(folder_of(&file.path));
        folders.retain(|folder| folder.is_dir());
        folders
    }

    /// Every file that is read, with its time and length.
    fn inputs(&self) -> Inputs {
        let Origin::File(file) = &self.origin else { return Inputs::new() };
        inputs(&file.path, &self.loaded.load().config)
    }

    async fn reload(&mut self) -> Result<ReloadReport, ReloadError> {
        self.seen = self.inputs();
        let result = self.try_reload().await;
        let ok = matches!(&result, Ok(report) if report.errors == 0);
        self.metrics.last_reload_successful.set(i64::from(ok));
        self.metrics.reloads.get_or_create(&label("outcome", if ok { "ok" } else { "error" })).inc();
        if ok {
            self.metrics.last_reload_seconds.set(self.clock.now().as_secs_f64());
        }
        if let Err(ReloadError::Config(diagnostics)) = &result {
            // What goes on is unchanged, but that it is not what stands in the file must be seen.
            let mut loaded = Loaded::clone(&self.loaded.load());
            loaded.diagnostics = diagnostics.clone();
            loaded.last_reload_ok = false;
            self.loaded.store(Arc::new(loaded));
        }
        result
    }

    /// What was changed without effect: what is made once, at the start.
    fn waits_for_restart(&self, config: &Config) -> Vec<Diagnostic> {
        let Origin::File(file) = &self.origin else { return Vec::new() };
        let before = &self.started_with;
        // Bounds of event rules belong to the rules.
        let bounds = |config: &Config| Limits { event_groups_max: 0, events_max: 0, ..config.limits.clone() };
        let changed = [
            ("server.listen", before.server.listen != config.server.listen),
            ("server.route_prefix", before.server.route_prefix != config.server.route_prefix),
            ("alerting.start_delay", before.alerting.start_delay != config.alerting.start_delay),
            ("storage", before.storage != config.storage),
            ("plugins.limits", before.plugins.limits != config.plugins.limits),
            ("evaluation.on_ingest", before.evaluation.on_ingest != config.evaluation.on_ingest),
            ("limits", bounds(before) != bounds(config)),
        ];
        let waiting = changed.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| Diagnostic {
            severity: Level::Warning,
            code: "needs-restart",
            help: Some("restart the engine; nothing that it has accepted is lost".to_owned()),
            ..load::whole_file(
                &file.path.display().to_string(),
                &format!("`{section}` was changed, which has no effect before the next start"),
            )
        });
        waiting.inspect(|diagnostic| tracing::warn!("{diagnostic}")).collect()
    }

    async fn try_reload(&mut self) -> Result<ReloadReport, ReloadError> {
        let now = self.clock.now();
        let before = self.loaded.load_full();
        let (running, retention) = (self.rules.load_full(), before.retention);
        // Reading and compiling takes a while, which must not hold up what runs on this thread.
        let (origin, host, providers) = (self.origin.clone(), self.host.clone(), Arc::clone(&self.providers));
        let (remembered, mut reader) = (Arc::clone(&self.remembered), std::mem::take(&mut self.reader));
        let mut last_good = self.last_good.clone();
        let work = tokio::task::spawn_blocking(move || {
            let known = Before { loaded: Some(&before), reader: &mut reader, last_good: &mut last_good };
            let fresh = read(&origin, &host, providers.as_ref(), known, &running, &remembered, now);
            (fresh, reader, last_good)
        });
        let (fresh, reader, last_good) = work.await.map_err(|_| ReloadError::Defect)?;
        (self.reader, self.last_good) = (reader, last_good);
        let Fresh { mut loaded, mut compiled, templates } =
            fresh.map_err(|(diagnostics, _)| ReloadError::Config(diagnostics))?;
        loaded.diagnostics.extend(self.waits_for_restart(&loaded.config));
        let refill = self.refill(&compiled, now - loaded.retention.min(retention), now).await?;
        self.data.set_ingest_limits(ingest_limits(&loaded.config));
        self.delivery.extend(&mut compiled.definitions.dispatch);
        let deliverer = self.delivery.build(&loaded.config, templates, &self.providers, &mut loaded.diagnostics);
        self.deliverer.store(Arc::new(deliverer.continuing(&self.deliverer.load())));
        self.forwarder.configure(&loaded.config, &mut loaded.diagnostics);
        apply(&self.data, &self.rules, &self.remembered, compiled, refill, &self.owner, &self.metrics, now).await?;
        let errors: Vec<&Diagnostic> = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
        let broken = loaded.plugins.iter().filter_map(|plugin| plugin.error.as_ref());
        let mut first: Vec<String> = errors.iter().map(ToString::to_string).collect();
        first.extend(broken.cloned());
        let report = ReloadReport {
            rules: loaded.rules().count(),
            errors: first.len(),
            first: first.into_iter().take(20).collect(),
        };
        plugins::forget_unused(&loaded, &self.host);
        let retention = loaded.retention;
        self.loaded.store(Arc::new(loaded));
        self.reloaded.send_replace(());
        let data = Arc::clone(&self.data);
        tokio::task::spawn_blocking(move || data.truncate(now, retention)).await.map_err(|_| ReloadError::Closed)?;
        Ok(report)
    }

    /// Fills windows that new and edited event rules need from the log.
    async fn refill(&self, compiled: &Compiled, since: Timestamp, now: Timestamp) -> Result<Refill, ReloadError> {
        let (data, queries) = (Arc::clone(&self.data), compiled.queries.clone());
        let refilled = tokio::task::spawn_blocking(move || data.refill(&queries, since, now)).await;
        Ok(refilled.map_err(|_| ReloadError::Closed)?.unwrap_or_else(|error| {
            tracing::error!(%error, "windows of new event rules are not filled from the log");
            Refill::default()
        }))
    }

    /// Raises what the engine has to say about itself, and ends what is over.
    pub(crate) fn raise(&mut self) {
        let now = self.clock.now();
        let loaded = self.loaded.load();
        let firing = self_alerts::firing(
            &loaded.diagnostics,
            &loaded.plugins,
            &plugins::suspended(&loaded, &self.host),
            self.data.health.failure(),
            self.store_health.failure(),
            now,
        );
        let mut alerts = self_alerts::ended(&self.raised, &firing, now);
        alerts.extend(firing.iter().cloned());
        self.raised = firing;
        if !alerts.is_empty() {
            // Without an owner the process is ending.
            drop(self.owner.send(Request::Inputs(vec![Input::Alerts(alerts)])));
        }
    }
}

/// Puts compiled rules in force, in an order in which no evaluation sees half of them: data first, then the rules, then
/// the state machine that asks for evaluations. Which rule took whose place is known after that.
#[expect(clippy::too_many_arguments, reason = "the wiring of a reload, called from two places")]
pub(crate) async fn apply(
    data: &Data,
    rules: &ArcSwap<RuleSet>,
    remembered: &Arc<Remembered>,
    compiled: Compiled,
    refill: Refill,
    owner: &mpsc::UnboundedSender<Request>,
    metrics: &Metrics,
    now: Timestamp,
) -> Result<(), ReloadError> {
    let Compiled { rules: fresh, readers, keep_unread, queries, definitions, defined, quarantined, .. } = compiled;
    metrics.quarantined.set(i64::try_from(quarantined).unwrap_or(i64::MAX));
    data.set_rules(&readers, queries, refill, keep_unread, now);
    rules.store(Arc::new(fresh));
    let (reply, answer) = oneshot::channel();
    let input = Input::Reload(Arc::new(definitions) as Arc<Definitions>);
    owner.send(Request::Durable(input, reply)).map_err(|_| ReloadError::Closed)?;
    // A store that fails is alarmed elsewhere; the rules are in force all the same.
    let _durable = answer.await.map_err(|_| ReloadError::Closed)?;
    let (remembered, owner) = (Arc::clone(remembered), owner.clone());
    let tell = move |records| {
        // Without an owner the process is ending.
        drop(owner.send(Request::Inputs(vec![Input::Remembered(records)])));
    };
    // It waits for evaluations that remember something.
    let followed = tokio::task::spawn_blocking(move || remembered.follow(&defined, now, tell));
    followed.await.map_err(|_| ReloadError::Closed)
}

#[cfg(test)]
mod tests;
