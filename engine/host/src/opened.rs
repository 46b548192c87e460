//! A condition, router or formatter that is opened: one instance with its own store.
//!
//! Every call into a guest goes through [`Opened::call`] or [`Opened::start`]: that is where deadlines are set,
//! failures are told apart and a broken instance is thrown away. A trap poisons the store, so the next call gets a
//! fresh instance; what has to survive lies in the rule's state and not in the guest's memory.

use std::collections::BTreeMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use wasmtime::Store;
use watchfire_model::Timestamp;
use watchfire_plugin::{Kind, Limits, Owner, PluginError, StandIns, State, StateLimits};

use crate::breaker::SharedBreaker;
use crate::context::{Context, Refused};
use crate::contract::{Answer, Guest};
use crate::failure::{classify, classify_start, from_guest};
use crate::loaded::Loaded;
use crate::recording::{Answer as Recorded, Failure, Input, Recording, Trace};

/// One opened condition, router or formatter.
pub(crate) struct Opened<G> {
    plugin: Arc<Loaded>,
    name: String,
    config: String,
    /// The least of what the plugin may use and what the rule allows.
    limits: Limits,
    /// Absent where the next call has to open it: after a trap, and where opening has failed.
    live: Option<Live<G>>,
    breaker: SharedBreaker,
    /// What the last call did on its way; none where it was refused.
    trace: Option<Trace>,
}

struct Live<G> {
    store: Store<Context>,
    guest: G,
    handle: u32,
}

impl<G: Guest> Opened<G> {
    /// Opens `name` of a plugin, at once, so that a bad configuration is known before it is used.
    ///
    /// What is opened for each message anew and has failed is left to the call, which knows the time and with it whether
    /// the plugin is suspended: one that hangs here would hang for every message. A condition is opened once, for as long
    /// as its rule is in force.
    pub(crate) fn new(plugin: Arc<Loaded>, name: &str, config: &str) -> Result<Opened<G>, PluginError> {
        let limits = plugin.limits;
        let breaker = plugin.breakers.of(G::KIND, name, config);
        let live = if G::KIND != Kind::Condition && breaker.lock().has_failed() {
            None
        } else {
            let started = Opened::start(&plugin, name, config, &limits);
            Some(started.inspect_err(|error| {
                plugin.counters.failed(error);
                if is_its_fault(error) {
                    breaker.lock().failed_to_open(&error.to_string());
                }
            })?)
        };
        let (name, config) = (name.to_owned(), config.to_owned());
        Ok(Opened { plugin, name, config, limits, live, breaker, trace: None })
    }

    /// Allows less. Memory that an instance has cannot be taken from it, so that the next call gets a fresh one.
    pub(crate) fn allow(&mut self, limits: Limits) {
        let least = self.limits.least(limits);
        if least != self.limits {
            self.limits = least;
            self.live = None;
        }
    }

    /// A fresh instance with the handle that it gave.
    fn start(plugin: &Loaded, name: &str, config: &str, limits: &Limits) -> Result<Live<G>, PluginError> {
        let _running = plugin.sandbox.run();
        // Opening is a function of the configuration alone, so it sees no other time.
        let mut store = plugin.store(&format!("{name}\n{config}"), limits);
        let outcome = (|| {
            let instance = plugin.pre.instantiate(&mut store)?;
            let Some(guest) = G::load(&plugin.exports, &mut store, &instance) else { return Ok(None) };
            let guest = guest?;
            let opened = guest.open(&mut store, name, config)?;
            Ok(Some((guest, opened)))
        })();
        store.data_mut().end();
        match outcome {
            Ok(Some((guest, Ok(handle)))) => Ok(Live { store, guest, handle }),
            Ok(Some((_, Err(error)))) => Err(from_guest(error, limits)),
            Ok(None) => Err(PluginError::Unsupported(format!("{} is no {}", plugin.name, G::KIND.as_str()))),
            Err(error) => Err(classify_start(&error, store.data(), limits, plugin.instances_max)),
        }
    }

    /// One call at a time, with the rule's state where there is one. `check` judges the answer. No failure, and nothing that
    /// is told of it, has a stand-in; the answer has.
    pub(crate) fn call<T, R>(
        &mut self,
        at: Timestamp,
        stand_ins: &StandIns,
        state: Option<&mut State>,
        run: impl FnOnce(&mut Store<Context>, &G, u32) -> Answer<T>,
        check: impl FnOnce(T, &Limits) -> Result<R, PluginError>,
    ) -> Result<R, PluginError> {
        let (plugin, kind, name) = (&*self.plugin.name, G::KIND.as_str(), &*self.name);
        let span = tracing::debug_span!("plugin", plugin, kind, name, error = tracing::field::Empty);
        let result = span.in_scope(|| self.call_in_turn(at, stand_ins, state, run, check));
        result.inspect_err(|error| {
            span.record("error", tracing::field::display(error));
        })
    }

    fn call_in_turn<T, R>(
        &mut self,
        at: Timestamp,
        stand_ins: &StandIns,
        state: Option<&mut State>,
        run: impl FnOnce(&mut Store<Context>, &G, u32) -> Answer<T>,
        check: impl FnOnce(T, &Limits) -> Result<R, PluginError>,
    ) -> Result<R, PluginError> {
        self.trace = None;
        if let Some(refusal) = self.breaker.lock().refusal(at) {
            self.plugin.counters.refused();
            return Err(PluginError::Suspended(refusal));
        }
        let plugin = Arc::clone(&self.plugin);
        let Some(_pass) = plugin.gate.enter(self.limits.call_time) else {
            // That others are in the way is no fault of this one, so the breaker does not hear of it.
            let limit = plugin.limits.calls as u64;
            let error = PluginError::LimitExceeded { resource: "calls at once", limit, unit: "calls" };
            plugin.counters.failed(&error);
            return Err(error);
        };
        self.trace = Some(Trace::default());
        let result = match self.started() {
            Ok(live) => {
                let answer = self.call_guarded(live, at, stand_ins, state, run);
                let result = answer.and_then(|answer| check(answer, &self.limits));
                let result = result.map_err(|error| stand_ins.error(error));
                match &result {
                    Ok(_) | Err(PluginError::BadInput(_)) => self.breaker.lock().succeeded(),
                    Err(error) => self.note_failure(at, error),
                }
                result
            }
            Err(error) => {
                if is_its_fault(&error) {
                    self.note_failure(at, &error);
                }
                Err(error)
            }
        };
        result.inspect_err(|error| self.plugin.counters.failed(error))
    }

    /// The instance; a fresh one where there is none.
    fn started(&mut self) -> Result<Live<G>, PluginError> {
        let started = |_| Opened::start(&self.plugin, &self.name, &self.config, &self.limits);
        self.live.take().ok_or(()).or_else(started)
    }

    fn note_failure(&self, at: Timestamp, error: &PluginError) {
        if self.breaker.lock().failed(at, &error.to_string()) {
            tracing::warn!(plugin = &*self.plugin.name, name = self.name, %error, "plugin suspended");
        }
    }

    /// Whose what it remembers is.
    pub(crate) fn owner(&self) -> Owner {
        let manifest = self.plugin.info.manifest.as_ref();
        let version = self.plugin.state_version(G::KIND, &self.name);
        Owner::new(manifest.map(|manifest| manifest.name.as_str()), &self.name, version)
    }

    /// Keeps the last call if it failed or somebody wants to see it. `input` and `answer` are asked for only then.
    pub(crate) fn record<R>(
        &mut self,
        result: &Result<R, PluginError>,
        input: impl FnOnce() -> Input,
        answer: impl FnOnce(&R) -> Recorded,
    ) {
        let Some(trace) = self.trace.take() else { return };
        let plugin = &self.plugin;
        if !plugin.recorder.wants(result.is_err()) {
            return;
        }
        plugin.recorder.keep(Recording {
            plugin: plugin.name.to_string(),
            number: 0,
            digest: plugin.info.digest.clone(),
            part: self.name.clone(),
            config: self.config.clone(),
            limits: self.limits,
            input: input(),
            answer: result.as_ref().map(answer).map_err(Failure::from),
            trace,
        });
    }

    /// Keeps the instance for the next call unless it trapped.
    fn call_guarded<T>(
        &mut self,
        mut live: Live<G>,
        at: Timestamp,
        stand_ins: &StandIns,
        state: Option<&mut State>,
        run: impl FnOnce(&mut Store<Context>, &G, u32) -> Answer<T>,
    ) -> Result<T, PluginError> {
        let Opened { plugin, name, limits, .. } = self;
        let _running = plugin.sandbox.run();
        let Live { store, guest, handle } = &mut live;
        store.data_mut().begin(at, stand_ins.clone());
        store.set_epoch_deadline(plugin.sandbox.ticks(limits.call_time));
        plugin.refuel(store);
        let began = now();
        // A panic in the host, which is a defect, costs the call: what the plugin remembers is lent and must come back.
        let run = |store: &mut Store<Context>| {
            catch_unwind(AssertUnwindSafe(|| run(store, guest, *handle))).unwrap_or_else(|_| {
                Err(Refused("the host panicked; this is a defect, please report it".to_owned()).into())
            })
        };
        let outcome = match state {
            Some(lent) => {
                let empty = State::new(StateLimits::STANDARD, BTreeMap::new());
                store.data_mut().state = Some(mem::replace(lent, empty));
                store.data_mut().state_version = plugin.state_version(G::KIND, name);
                let outcome = run(store);
                if let Some(returned) = store.data_mut().state.take() {
                    *lent = returned;
                }
                outcome
            }
            None => run(store),
        };
        let nanoseconds = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let instructions = plugin.instructions(store);
        plugin.counters.called(nanoseconds);
        plugin.counters.spent(instructions);
        let context = store.data_mut();
        context.end();
        // What it logged may be what it says of its end.
        let outcome = outcome.map_err(|error| classify(&error, context, &self.limits, self.limits.call_time));
        let log = mem::take(&mut context.log.lines);
        let memory_bytes = context.limiter.memory_bytes as u64;
        self.trace = Some(Trace { log, memory_bytes, nanoseconds, instructions });
        let answer = outcome?;
        self.live = Some(live);
        answer.map_err(|error| from_guest(error, &self.limits))
    }
}

/// Whether a plugin that cannot be opened is broken: not where its configuration is, or where others take all the room.
fn is_its_fault(error: &PluginError) -> bool {
    match error {
        PluginError::InvalidConfig { .. } | PluginError::BadInput(_) | PluginError::Unsupported(_) => false,
        PluginError::LimitExceeded { resource, .. } => *resource != "instances",
        _ => true,
    }
}

#[expect(clippy::disallowed_methods, reason = "how long calls take is a metric and decides nothing")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
