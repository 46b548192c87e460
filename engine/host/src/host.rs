//! The host: the set of loaded plugins, and the provider of what they offer.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use wasmtime::component::Linker;
use watchfire_model::Duration;
use watchfire_plugin::{Condition, Descriptor, Formatter, Kind, Limits, PluginError, Provider, Router, State, ask};

use crate::cache::{Cache, sha256};
use crate::cases::CaseReport;
use crate::compilations::{Progress, Turn};
use crate::compiler::{self, Compiler, Version};
use crate::context::Context;
use crate::counters::Counters;
use crate::engine::Sandbox;
use crate::imports;
use crate::loaded::{Loaded, Surroundings};
use crate::recording::{Answer, Failure, Input, Recorder, Recording, Trace};
use crate::survey;
use crate::{HostError, HostSettings, LoadError, PluginCounters, PluginInfo, PluginPolicy, Policy, Suspension};

/// Loads plugins and opens what they offer. Cheap to clone; clones share everything.
///
/// Loading, replacing and unloading happen at once for everybody who opens afterwards. What was opened before keeps the
/// version that it was opened with until it is dropped; [`Host::generation`] tells that there is a newer one.
///
/// A condition is addressed by the plugin's name, or as `name/part` where a component offers several.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    settings: HostSettings,
    sandbox: Arc<Sandbox>,
    linker: Linker<Context>,
    cache: Option<Cache>,
    compiling: Mutex<()>,
    /// Where what is in no cache may be left to a thread aside.
    compiler: Option<Compiler>,
    plugins: RwLock<Plugins>,
}

#[derive(Default)]
struct Plugins {
    generation: u64,
    loaded: BTreeMap<String, Entry>,
    /// By name. Kept across reloads and unloads, since a metric must not run backwards.
    counters: BTreeMap<String, Arc<Counters>>,
    /// Kept likewise: a call that failed in one version is tried with the next.
    recorders: BTreeMap<String, Arc<Recorder>>,
}

/// Names whose counters and recordings are kept. A folder whose files have another name with each release has no end of
/// them.
const NAMES_MAX: usize = 1_000;

impl Plugins {
    /// What is kept of the plugins of a name, whatever became of them.
    fn remembered(&mut self, name: &str) -> (Arc<Counters>, Arc<Recorder>) {
        (self.counters_of(name), self.recorders.entry(name.to_owned()).or_default().clone())
    }

    fn counters_of(&mut self, name: &str) -> Arc<Counters> {
        if self.counters.len() >= NAMES_MAX {
            let loaded = &self.loaded;
            self.counters.retain(|known, _| known == name || loaded.contains_key(known));
            self.recorders.retain(|known, _| known == name || loaded.contains_key(known));
        }
        self.counters.entry(name.to_owned()).or_default().clone()
    }
}

struct Entry {
    plugin: Arc<Loaded>,
    path: Option<PathBuf>,
    policy: PluginPolicy,
    generation: u64,
}

impl Entry {
    fn info(&self) -> PluginInfo {
        PluginInfo { generation: self.generation, ..self.plugin.info.clone() }
    }
}

/// Where a plugin comes from.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// The bytes of a `.wasm` file.
    Bytes(&'a [u8]),
    /// A `.wasm` file, which [`Host::reload`] reads again.
    File(&'a Path),
}

/// A plugin that is compiled and checked, but not yet in use.
pub struct Candidate {
    plugin: Arc<Loaded>,
    path: Option<PathBuf>,
    policy: PluginPolicy,
}

impl Host {
    /// Sets up the engine. Happens once per process in the normal case; it reserves much address space.
    ///
    /// # Errors
    /// If the engine does not start or the cache directory is not private.
    pub fn new(settings: HostSettings) -> Result<Host, HostError> {
        Host::set_up(settings, None)
    }

    /// As [`Host::new`], with a thread that compiles for [`Host::follow_dir`]. `finished` is called on it whenever
    /// another [`Host::follow_dir`] would find something compiled, or refused.
    ///
    /// # Errors
    /// As for [`Host::new`], and if the thread cannot be started.
    pub fn with_compiler(settings: HostSettings, finished: impl Fn() + Send + 'static) -> Result<Host, HostError> {
        let (compiler, rings) = Compiler::new();
        let host = Host::set_up(settings, Some(compiler))?;
        compiler::start(WeakHost(Arc::downgrade(&host.0)), rings, finished).map_err(HostError::Thread)?;
        Ok(host)
    }

    fn set_up(settings: HostSettings, compiler: Option<Compiler>) -> Result<Host, HostError> {
        let sandbox = Sandbox::new(&settings)?;
        let cache = settings
            .cache_dir
            .as_deref()
            .map(|directory| Cache::open(directory, &sandbox.engine, settings.cache_bytes_max))
            .transpose()?;
        let linker = imports::linker(&sandbox.engine).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        Ok(Host(Arc::new(Inner {
            settings,
            sandbox: Arc::new(sandbox),
            linker,
            cache,
            compiling: Mutex::default(),
            compiler,
            plugins: RwLock::default(),
        })))
    }

    /// Checks, compiles and installs a plugin, replacing the one of that name. Takes up to seconds: an interpreter is
    /// compiled for as long, everything else for tens of milliseconds, and what is in the cache for one.
    ///
    /// # Errors
    /// What is wrong with the plugin and what to do; the one that was loaded before stays in use.
    pub fn load(&self, name: &str, source: Source<'_>) -> Result<PluginInfo, LoadError> {
        Ok(self.install(self.prepare(name, source, PluginPolicy::default())?))
    }

    /// As [`Host::load`], with limits that this plugin gets where they are lower than the host's.
    ///
    /// # Errors
    /// As for [`Host::load`].
    pub fn load_limited(&self, name: &str, source: Source<'_>, limits: Limits) -> Result<PluginInfo, LoadError> {
        Ok(self.install(self.prepare(name, source, PluginPolicy { limits, ..PluginPolicy::default() })?))
    }

    /// Does everything of [`Host::load`] but the last step, so that it can be seen whether the new version opens as the
    /// rules have it configured before it takes over.
    ///
    /// # Errors
    /// As for [`Host::load`].
    pub fn prepare(&self, name: &str, source: Source<'_>, policy: PluginPolicy) -> Result<Candidate, LoadError> {
        if !is_plugin_name(name) {
            return Err(LoadError::Name { name: name.to_owned() });
        }
        let (bytes, path);
        let wasm = match source {
            Source::Bytes(wasm) => {
                path = None;
                survey::check_size(wasm.len() as u64, self.0.settings.file_bytes_max)?;
                wasm
            }
            Source::File(file) => {
                path = Some(file.to_owned());
                bytes = survey::read(file, self.0.settings.file_bytes_max)?;
                &bytes
            }
        };
        let plugin = Arc::new(Loaded::new(name, wasm, self.surroundings(name, &policy))?);
        Ok(Candidate { plugin, path, policy })
    }

    /// What a plugin of this name is loaded with.
    fn surroundings(&self, name: &str, policy: &PluginPolicy) -> Surroundings<'_> {
        let (counters, recorder) = self.write().remembered(name);
        Surroundings {
            sandbox: &self.0.sandbox,
            linker: &self.0.linker,
            cache: self.0.cache.as_ref(),
            compiling: &self.0.compiling,
            limits: policy.limits.least(self.0.settings.limits),
            grant: policy.grant.clone(),
            breaker: self.0.settings.breaker,
            instances_max: self.0.settings.instances_max,
            counters,
            recorder,
        }
    }

    /// Puts a prepared plugin in use.
    pub fn install(&self, candidate: Candidate) -> PluginInfo {
        let Candidate { plugin, path, policy } = candidate;
        let mut plugins = self.write();
        plugins.generation += 1;
        let entry = Entry { plugin, path, policy, generation: plugins.generation };
        let info = entry.info();
        let replaced = plugins.loaded.insert(info.name.clone(), entry);
        drop(plugins);
        // Dropping a plugin unmaps its code, which nobody should wait for.
        drop(replaced);
        info
    }

    /// Reads a plugin's file again. If it has not changed nothing happens and its information is given back.
    ///
    /// # Errors
    /// [`LoadError::Unknown`] if nothing of that name was loaded from a file, else as for [`Host::load`].
    pub fn reload(&self, name: &str) -> Result<PluginInfo, LoadError> {
        let (path, policy, digest) = {
            let plugins = self.read_plugins();
            let entry = plugins.loaded.get(name);
            let Some((entry, path)) = entry.and_then(|entry| Some((entry, entry.path.clone()?))) else {
                return Err(LoadError::Unknown(format!("no plugin {name:?} was loaded from a file")));
            };
            (path, entry.policy.clone(), entry.plugin.info.digest.clone())
        };
        let candidate = self.prepare(name, Source::File(&path), policy)?;
        if candidate.plugin.info.digest == digest
            && let Some(info) = self.info(name)
        {
            return Ok(info);
        }
        Ok(self.install(candidate))
    }

    /// Forgets a plugin; answers whether there was one. What is opened stays usable.
    pub fn unload(&self, name: &str) -> bool {
        let mut plugins = self.write();
        plugins.generation += 1;
        let removed = plugins.loaded.remove(name);
        drop(plugins);
        removed.is_some()
    }

    /// Makes the set of loaded plugins what lies as `*.wasm` in a directory and is trusted: loads what is new, has changed
    /// or is to be treated differently, and unloads what is gone. A plugin that cannot be loaded keeps its last good
    /// version. `approve` has the last word over each version before it takes over. Waits for the compiler.
    ///
    /// # Errors
    /// If the directory cannot be read. What happened to each changed plugin is in the list.
    pub fn load_dir(
        &self,
        directory: &Path,
        policy: &Policy,
        approve: &dyn Fn(&str, &Candidate) -> Result<(), String>,
    ) -> Result<Vec<(String, Result<PluginInfo, LoadError>)>, LoadError> {
        self.load_files(directory, policy, approve, &|name, wasm, version| self.tested(name, wasm, version).map(Some))
    }

    /// As [`Host::load_dir`], but waits for no compiler: what no cache holds is left to the thread aside, those `in_use`
    /// first, and is in the list of the call that finds it finished. Until then it is among [`Host::compiling`], its last
    /// version stays in use, and without one it is unavailable. Without [`Host::with_compiler`] there is no such thread.
    ///
    /// # Errors
    /// As for [`Host::load_dir`].
    pub fn follow_dir(
        &self,
        directory: &Path,
        policy: &Policy,
        in_use: &BTreeSet<&str>,
        approve: &dyn Fn(&str, &Candidate) -> Result<(), String>,
    ) -> Result<Vec<(String, Result<PluginInfo, LoadError>)>, LoadError> {
        let Some(compiler) = self.compiler() else { return self.load_dir(directory, policy, approve) };
        let (underway, looked_at) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
        let candidate = |name: &str, wasm: &[u8], version: &Version| {
            looked_at.borrow_mut().insert(name.to_owned());
            match compiler.take(name, version) {
                Progress::Done(done) => return done.map(Some),
                Progress::Underway => {}
                Progress::Unknown => {
                    let is_refused = compiler.line().is_refused(name, version);
                    // What was refused may take its time to be so again, such as with tests of its own that hang.
                    if !is_refused && let Some(candidate) = self.cached(name, wasm, version)? {
                        return Ok(Some(candidate));
                    }
                    let turn = Turn { is_unused: !in_use.contains(name), bytes: wasm.len() as u64 };
                    compiler.want(name, version.clone(), turn);
                }
            }
            underway.borrow_mut().insert(name.to_owned());
            Ok(None)
        };
        let changes = self.load_files(directory, policy, approve, &|name, wasm, version| {
            candidate(name, wasm, version).inspect_err(|error| {
                // Everything else is found without running it.
                if matches!(error, LoadError::Describe(_) | LoadError::Unfit(_)) {
                    compiler.line().refuse(name, version);
                }
            })
        })?;
        let (underway, looked_at) = (underway.into_inner(), looked_at.into_inner());
        compiler.line().retain(|name| underway.contains(name), |name| looked_at.contains(name));
        Ok(changes)
    }

    /// Loads the files of a directory that are not loaded already, each as `candidate` makes it or does not make it yet.
    fn load_files(
        &self,
        directory: &Path,
        policy: &Policy,
        approve: &dyn Fn(&str, &Candidate) -> Result<(), String>,
        candidate: &dyn Fn(&str, &[u8], &Version) -> Result<Option<Candidate>, LoadError>,
    ) -> Result<Vec<(String, Result<PluginInfo, LoadError>)>, LoadError> {
        let files = survey::files(directory)?;
        let gone: Vec<_> =
            self.plugins().into_iter().map(|info| info.name).filter(|n| !files.contains_key(n)).collect();
        for name in gone {
            self.unload(&name);
        }
        let load = |name: &str, path: PathBuf| -> Result<Option<PluginInfo>, LoadError> {
            let (wasm, version) = self.admitted(name, path, policy)?;
            let is_same = |entry: &Entry| entry.plugin.info.digest == version.digest && entry.policy == version.policy;
            if self.read_plugins().loaded.get(name).is_some_and(is_same) {
                return Ok(None);
            }
            let Some(candidate) = candidate(name, &wasm, &version)? else { return Ok(None) };
            approve(name, &candidate).map_err(LoadError::Unfit)?;
            Ok(Some(self.install(candidate)))
        };
        let changes = files.into_iter().filter_map(|(name, path)| {
            let result = load(&name, path).transpose()?;
            Some((name, result))
        });
        Ok(changes.collect())
    }

    /// A file that may be loaded, and which version it is.
    fn admitted(&self, name: &str, path: PathBuf, policy: &Policy) -> Result<(Vec<u8>, Version), LoadError> {
        if !is_plugin_name(name) {
            return Err(LoadError::Name { name: name.to_owned() });
        }
        let wasm = survey::read(&path, self.0.settings.file_bytes_max)?;
        let digest = sha256(&wasm);
        policy.admit(name, &digest, &path, &wasm)?;
        Ok((wasm, Version { path, digest, policy: policy.of(name) }))
    }

    fn tested(&self, name: &str, wasm: &[u8], version: &Version) -> Result<Candidate, LoadError> {
        Candidate::tested(Loaded::new(name, wasm, self.surroundings(name, &version.policy))?, version)
    }

    /// As [`Host::tested`], but nothing where the cache does not hold the machine code.
    fn cached(&self, name: &str, wasm: &[u8], version: &Version) -> Result<Option<Candidate>, LoadError> {
        let plugin = Loaded::from_cache(name, wasm, self.surroundings(name, &version.policy))?;
        plugin.map(|plugin| Candidate::tested(plugin, version)).transpose()
    }

    /// Compiles what was admitted before and makes it ready to take over.
    pub(crate) fn compile(&self, name: &str, version: &Version) -> Result<Candidate, LoadError> {
        let wasm = survey::read(&version.path, self.0.settings.file_bytes_max)?;
        if sha256(&wasm) != version.digest {
            // Whoever changed it has asked for the new version, or does with the next look at the folder.
            return Err(LoadError::Unfit(
                "the file was changed before it was compiled; reload to read it again".to_owned(),
            ));
        }
        self.tested(name, &wasm, version)
    }

    pub(crate) fn compiler(&self) -> Option<&Compiler> {
        self.0.compiler.as_ref()
    }

    /// The names of plugins of which a version is compiled aside and has not taken over yet.
    pub fn compiling(&self) -> BTreeSet<String> {
        self.compiler().map(|compiler| compiler.line().names().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// What is loaded, sorted by name.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.read_plugins().loaded.values().map(Entry::info).collect()
    }

    /// What is known about one plugin.
    pub fn info(&self, name: &str) -> Option<PluginInfo> {
        self.read_plugins().loaded.get(name).map(Entry::info)
    }

    /// The generation of what an address (`name` or `name/part`) would open now; grows with each change.
    pub fn generation(&self, address: &str) -> Option<u64> {
        let (name, _) = split(address);
        self.read_plugins().loaded.get(name).map(|entry| entry.generation)
    }

    /// What an address (`name` or `name/part`) may use at most.
    pub fn limits(&self, address: &str) -> Option<Limits> {
        self.read_plugins().loaded.get(split(address).0).map(|entry| entry.plugin.limits)
    }

    /// What is suspended, by plugin.
    pub fn suspensions(&self) -> Vec<(String, Suspension)> {
        let plugins = self.read_plugins();
        let by_name = plugins.loaded.iter().flat_map(|(name, entry)| {
            entry.plugin.breakers.suspensions().into_iter().map(|suspension| (name.clone(), suspension))
        });
        by_name.collect()
    }

    /// The plugin's own name for what is addressed, if it has it.
    pub fn part(&self, kind: Kind, address: &str) -> Option<String> {
        let plugin = self.find(address).ok()?;
        plugin.resolve(kind, split(address).1).ok().map(str::to_owned)
    }

    /// Forgets the failures of everything that is not used any more: each use is a kind, an address and a configuration.
    /// What is used again begins with none.
    pub fn forget_unused(&self, uses: &[(Kind, &str, &str)]) {
        let plugins = self.read_plugins();
        for (name, entry) in &plugins.loaded {
            let parts = uses.iter().filter_map(|(kind, address, config)| {
                let (plugin, part) = split(address);
                let part = entry.plugin.resolve(*kind, part).ok().filter(|_| plugin == name)?;
                Some((*kind, part, *config))
            });
            let used: BTreeSet<_> = parts.collect();
            entry.plugin.breakers.retain(|kind, part, config| used.contains(&(kind, part, config)));
        }
    }

    /// What each plugin has done since the host was made, by name. Plugins that are gone are still there.
    pub fn counters(&self) -> Vec<(String, PluginCounters)> {
        let plugins = self.read_plugins();
        let of = |(name, counters): (&String, &Arc<Counters>)| {
            let mut counted = counters.snapshot();
            if let Some(recorder) = plugins.recorders.get(name) {
                recorder.count(&mut counted);
            }
            (name.clone(), counted)
        };
        plugins.counters.iter().map(of).collect()
    }

    /// Counts a failure that only whoever asked can know of: of a plugin that is not there or that is another provider's,
    /// or an answer that is wrong by what the host does not know.
    pub fn count_failure(&self, address: &str, error: &PluginError) {
        self.write().counters_of(split(address).0).failed(error);
    }

    /// Records the next calls of a plugin, whatever becomes of them; those that fail are recorded anyway. Answers
    /// whether there is such a plugin.
    pub fn record(&self, plugin: &str, calls: u32) -> bool {
        let recorder = self.read_plugins().recorders.get(plugin).cloned();
        recorder.map(|recorder| recorder.want(calls)).is_some()
    }

    /// The recorded calls of a plugin, the oldest first: the newest few that failed or were asked for. `None` where no
    /// plugin of that name was ever loaded.
    pub fn recordings(&self, plugin: &str) -> Option<Vec<Recording>> {
        let recorder = self.read_plugins().recorders.get(plugin).cloned();
        recorder.map(|recorder| recorder.recordings())
    }

    fn find(&self, address: &str) -> Result<Arc<Loaded>, PluginError> {
        let (name, _) = split(address);
        let plugins = self.read_plugins();
        if let Some(entry) = plugins.loaded.get(name) {
            return Ok(entry.plugin.clone());
        }
        if self.compiler().is_some_and(|compiler| compiler.line().contains(name)) {
            return Err(PluginError::Compiling(format!(
                "the plugin {name:?} is being compiled; it takes over when that is done"
            )));
        }
        let names: Vec<_> = plugins.loaded.keys().map(String::as_str).collect();
        let loaded =
            if names.is_empty() { "none is loaded".to_owned() } else { format!("loaded are {}", names.join(", ")) };
        Err(PluginError::Unsupported(format!("there is no plugin {name:?}; {loaded}")))
    }

    fn read_plugins(&self) -> std::sync::RwLockReadGuard<'_, Plugins> {
        self.0.plugins.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Plugins> {
        self.0.plugins.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A host that lives as long as others hold it.
pub(crate) struct WeakHost(Weak<Inner>);

impl WeakHost {
    pub(crate) fn upgrade(&self) -> Option<Host> {
        self.0.upgrade().map(Host)
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("plugins", &self.plugins()).finish_non_exhaustive()
    }
}

impl Provider for Host {
    fn descriptors(&self) -> Vec<Descriptor> {
        let plugins = self.read_plugins();
        let mut all: Vec<_> =
            plugins.loaded.values().flat_map(|entry| entry.plugin.info.descriptors.iter().cloned()).collect();
        all.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        all
    }

    fn open_condition(&self, name: &str, config: &str) -> Result<Box<dyn Condition>, PluginError> {
        open_condition(&self.find(name)?, name, config)
    }

    fn open_router(&self, name: &str, config: &str) -> Result<Box<dyn Router>, PluginError> {
        open_router(&self.find(name)?, name, config)
    }

    fn open_formatter(&self, name: &str, config: &str) -> Result<Box<dyn Formatter>, PluginError> {
        open_formatter(&self.find(name)?, name, config)
    }
}

impl Candidate {
    /// One that passes the tests that it carries.
    fn tested(plugin: Loaded, version: &Version) -> Result<Candidate, LoadError> {
        let (path, policy) = (Some(version.path.clone()), version.policy.clone());
        let candidate = Candidate { plugin: Arc::new(plugin), path, policy };
        candidate.pass_own_cases()?;
        Ok(candidate)
    }

    /// Whether it has what is addressed.
    ///
    /// # Errors
    /// What there is instead.
    pub fn offers(&self, kind: Kind, address: &str) -> Result<(), PluginError> {
        self.plugin.resolve(kind, split(address).1).map(drop)
    }

    /// What is known about it; the generation is given when it is installed.
    pub fn info(&self) -> &PluginInfo {
        &self.plugin.info
    }

    /// Runs the tests that the plugin carries, in the engine and with the memory that it gets here.
    ///
    /// # Errors
    /// [`LoadError::Unfit`] with the first that fails.
    pub fn pass_own_cases(&self) -> Result<(), LoadError> {
        /// How much longer than in production a call may take: at a start everything happens at once.
        const PATIENCE: i64 = 4;
        let patient = |time: Duration| Duration::from_millis(time.as_millis().saturating_mul(PATIENCE));
        let limits = self.plugin.limits;
        let (call_time, open_time) = (patient(limits.call_time), patient(limits.open_time));
        let limits = Limits { call_time, open_time, ..limits };
        // What the tests provoke is neither counted nor kept.
        let apart = Arc::new(self.plugin.apart(limits));
        for cases in &*apart.cases {
            let ran = cases.run(|part, config, input| (answer(&apart, part, config, input), Trace::default()));
            let reports = ran.map_err(|error| LoadError::Malformed(error.to_owned()))?;
            for CaseReport { name, failures, .. } in reports {
                if let Some(failure) = failures.into_iter().next() {
                    return Err(LoadError::Unfit(format!(
                        "it fails a test that it carries (`watchfire plugin test` shows all where it was built), {name:?}: {}",
                        failure.trim_end()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether it opens with a configuration with which the version in use opens. Both are opened apart from all work:
    /// failures before do not put it off, and one here counts for nothing.
    ///
    /// # Errors
    /// Why it cannot be opened, where the version in use can.
    pub fn opens_as_before(&self, host: &Host, kind: Kind, address: &str, config: &str) -> Result<(), PluginError> {
        let error = match opens(&self.plugin, kind, address, config) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let before = host.find(address).and_then(|plugin| opens(&plugin, kind, address, config));
        if before.is_ok() { Err(error) } else { Ok(()) }
    }
}

fn opens(plugin: &Loaded, kind: Kind, address: &str, config: &str) -> Result<(), PluginError> {
    let apart = Arc::new(plugin.apart(plugin.limits));
    match kind {
        Kind::Condition => open_condition(&apart, address, config).map(drop),
        Kind::Router => open_router(&apart, address, config).map(drop),
        Kind::Formatter => open_formatter(&apart, address, config).map(drop),
    }
}

/// One call of what a plugin offers under its own name, in a fresh instance.
fn answer(plugin: &Arc<Loaded>, part: &str, config: &str, input: &Input) -> Result<Answer, Failure> {
    let called = match input {
        Input::Condition(batch, remembered) => {
            let mut state = State::new(plugin.limits.state(), remembered.clone());
            plugin
                .open_condition(part, config)
                .and_then(|mut opened| ask(opened.as_mut(), batch, &mut state))
                .map(|outcome| Answer::Condition(outcome, state.staged()))
        }
        Input::Router(at, alerts) => {
            plugin.open_router(part, config).and_then(|mut opened| opened.route(*at, alerts)).map(Answer::Router)
        }
        Input::Formatter(group) => {
            plugin.open_formatter(part, config).and_then(|mut opened| opened.format(group)).map(Answer::Formatter)
        }
    };
    called.map_err(|error| Failure::from(&error))
}

fn open_condition(plugin: &Arc<Loaded>, address: &str, config: &str) -> Result<Box<dyn Condition>, PluginError> {
    let part = addressed(plugin, Kind::Condition, address)?;
    plugin.open_condition(part, config)
}

fn open_router(plugin: &Arc<Loaded>, address: &str, config: &str) -> Result<Box<dyn Router>, PluginError> {
    let part = addressed(plugin, Kind::Router, address)?;
    plugin.open_router(part, config)
}

fn open_formatter(plugin: &Arc<Loaded>, address: &str, config: &str) -> Result<Box<dyn Formatter>, PluginError> {
    let part = addressed(plugin, Kind::Formatter, address)?;
    plugin.open_formatter(part, config)
}

/// The plugin's own name for what is addressed. To address what it does not have is counted as its failure.
fn addressed<'p>(plugin: &'p Loaded, kind: Kind, address: &str) -> Result<&'p str, PluginError> {
    plugin.resolve(kind, split(address).1).inspect_err(|error| plugin.counters.failed(error))
}

/// The plugin's name and what is addressed within it.
fn split(address: &str) -> (&str, Option<&str>) {
    match address.split_once('/') {
        Some((name, part)) => (name, Some(part)),
        None => (address, None),
    }
}

/// Whether a plugin can have this name: it stands in rules, in addresses and as the name of a file.
pub fn is_plugin_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}
