//! The inline driver: the engine and everything around it on one virtual clock.
//!
//! It answers the same outputs that the runtime answers with tasks, and answers them at once: an evaluation asks the
//! store or the windows, a question to a router asks the plugin, a delivery asks whoever plays the receivers. So a
//! scenario, a simulation and a backtest run production code, and the same inputs give the same outputs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use thiserror::Error;
use watchfire_alerting::{
    AcknowledgeCommand, AcknowledgeError, Change, Definitions, Delivery, DeliveryOutcome, Dispatch, Engine,
    EvaluateRequest, Input, NotificationId, Output, Record, RecordKey, RouteRequest, SilenceDraft, SilenceError,
    SilenceId,
};
use watchfire_config::Config;
use watchfire_model::{Alert, Duration, Event, Fingerprint, Labels, RuleId, Sample, Timestamp};
use watchfire_plugin::{AlertView, Decision, PluginError, PluginUse, Provider, Router};
use watchfire_promql::{Answer, Options, QueryError};
use watchfire_rules::RuleFile;
use watchfire_tsdb::{AppendError, Point, Tsdb};

use crate::program::Program;

/// How often the engine may ask to be woken at one instant before that counts as a fault of the engine.
const WAKES_PER_INSTANT_MAX: usize = 10_000;

/// How a world is made.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    /// When it begins. The clock starts a millisecond before, so that what is due at the start can be prepared.
    pub start: Timestamp,
    /// The state machine's bounds and paces.
    pub engine: watchfire_alerting::Settings,
    /// The series store's bounds.
    pub store: watchfire_tsdb::Settings,
    /// How queries are evaluated.
    pub query: Options,
    /// Labels that everything gets that leaves the engine.
    pub external_labels: Labels,
    /// Where a reader would reach the engine.
    pub external_url: String,
    /// How often rule groups are evaluated that do not say.
    pub interval: Duration,
    /// How far in the past queries look whose group does not say.
    pub query_offset: Duration,
    /// Whether rules are also evaluated when something that they read arrives.
    pub on_ingest: bool,
    /// Whether all groups are evaluated at whole intervals after `start`, instead of being spread as in production.
    pub align: bool,
    /// After what time Alertmanagers beside the engine are told again of an alert; absent if there are none.
    pub resend_delay: Option<Duration>,
}

impl WorldSettings {
    /// From the epoch, every minute at whole minutes, not on arrival, with the defaults of each part.
    pub fn new() -> WorldSettings {
        WorldSettings {
            start: Timestamp::EPOCH,
            engine: watchfire_alerting::Settings::default(),
            store: watchfire_tsdb::Settings::default(),
            query: Options::default(),
            external_labels: Labels::empty(),
            external_url: String::new(),
            interval: Duration::from_mins(1),
            query_offset: Duration::ZERO,
            on_ingest: false,
            align: true,
            resend_delay: None,
        }
    }
}

impl WorldSettings {
    /// Takes over what a configuration says about evaluation.
    pub(crate) fn follow(&mut self, config: &Config) {
        let evaluation = &config.evaluation;
        self.interval = evaluation.interval;
        self.query_offset = evaluation.query_offset;
        self.on_ingest = evaluation.on_ingest;
        self.external_labels = evaluation.external_labels.clone();
        self.external_url = config.server.external_url.clone().unwrap_or_default();
        self.query.lookback = evaluation.lookback;
    }
}

impl Default for WorldSettings {
    fn default() -> WorldSettings {
        WorldSettings::new()
    }
}

/// Who plays the receivers.
pub trait Receivers: Send {
    /// Answers an attempt to deliver.
    fn deliver(&mut self, delivery: &Delivery) -> Reply;
}

/// The answer to an attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// At once.
    Now(DeliveryOutcome),
    /// After a time.
    After(Duration, DeliveryOutcome),
    /// Never; the engine will give the attempt up.
    Never,
}

/// Receivers that accept everything at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accepting;

impl Receivers for Accepting {
    fn deliver(&mut self, _: &Delivery) -> Reply {
        Reply::Now(DeliveryOutcome::Delivered { receipt: String::new() })
    }
}

/// One attempt to deliver, as it happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// What was to be delivered.
    pub delivery: Delivery,
    /// What was answered.
    pub reply: Reply,
}

/// An evaluation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The rule's name.
    pub rule: Arc<str>,
    /// The time of the evaluation.
    pub at: Timestamp,
    /// Why.
    pub error: String,
}

/// The engine keeps asking to be woken at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the engine asked to be woken {WAKES_PER_INSTANT_MAX} times at {at}")]
pub struct Stuck {
    /// The instant.
    pub at: Timestamp,
}

/// An engine with all that surrounds it, on a virtual clock.
pub struct World {
    settings: WorldSettings,
    provider: Option<Arc<dyn Provider>>,
    now: Timestamp,
    engine: Engine,
    db: Tsdb,
    program: Program,
    definitions: Option<Arc<Definitions>>,
    routers: BTreeMap<PluginUse, Box<dyn Router>>,
    records: BTreeMap<RecordKey, Record>,
    receivers: Box<dyn Receivers>,
    /// Requests that wait for their turn, by the group's place in the definitions.
    evaluations: BTreeMap<(usize, u64), EvaluateRequest>,
    arrived: u64,
    /// Answers of receivers that take their time.
    replies: BTreeMap<(Timestamp, u64), (NotificationId, u32, DeliveryOutcome)>,
    /// Accepted events with their arrival, for as long as a restart must push them again.
    log: VecDeque<(Timestamp, Event)>,
    /// The rules that read a series.
    readers: HashMap<Labels, Arc<[RuleId]>>,
    attempts: Vec<Attempt>,
    forwarded: Vec<(Timestamp, Alert)>,
    changes: Vec<Arc<Change>>,
    failures: Vec<Failure>,
}

impl World {
    /// A world without rules in which every delivery is accepted.
    pub fn new(settings: WorldSettings, provider: Option<Arc<dyn Provider>>) -> World {
        World {
            now: settings.start - Duration::from_millis(1),
            engine: Engine::new(settings.engine.clone()),
            db: Tsdb::new(settings.store.clone()),
            program: Program::default(),
            definitions: None,
            routers: BTreeMap::new(),
            records: BTreeMap::new(),
            receivers: Box::new(Accepting),
            evaluations: BTreeMap::new(),
            arrived: 0,
            replies: BTreeMap::new(),
            log: VecDeque::new(),
            readers: HashMap::new(),
            attempts: Vec::new(),
            forwarded: Vec::new(),
            changes: Vec::new(),
            failures: Vec::new(),
            settings,
            provider,
        }
    }

    /// Lets somebody else play the receivers from now on.
    pub fn set_receivers(&mut self, receivers: Box<dyn Receivers>) {
        self.receivers = receivers;
    }

    /// Puts rules and dispatch into force, for the first time or instead of earlier ones.
    pub fn reload(&mut self, files: &[RuleFile], dispatch: Dispatch) {
        self.program.replace(files, &self.settings, self.provider.as_deref(), self.now);
        self.readers.clear();
        self.routers.clear();
        let definitions =
            Arc::new(Definitions { groups: self.program.groups(), dispatch, resend_delay: self.settings.resend_delay });
        self.definitions = Some(Arc::clone(&definitions));
        self.handle(Input::Reload(definitions));
    }

    /// Drops the engine as a crash would, lets time pass, and starts another one from what was persisted.
    ///
    /// The series store is kept, because the log of accepted samples would fill it again; events are pushed again from
    /// the log as far back as the rules reach.
    pub fn restart(&mut self, down: Duration) {
        self.engine = Engine::new(self.settings.engine.clone());
        self.evaluations.clear();
        self.replies.clear();
        self.routers.clear();
        self.now += down;
        let records: Vec<Record> = self.records.values().cloned().collect();
        self.program.restart(&self.log, &records, self.provider.as_deref(), self.settings.start, self.now);
        self.handle(Input::Restore(records));
        if let Some(definitions) = self.definitions.clone() {
            self.handle(Input::Reload(definitions));
        }
    }

    /// What Alertmanagers beside the engine were told so far, and when.
    pub fn forwarded(&self) -> &[(Timestamp, Alert)] {
        &self.forwarded
    }

    /// Stores samples as if they had just arrived; answers which were refused, by position.
    pub fn push_samples(&mut self, samples: &[(Labels, Sample)]) -> Vec<(usize, AppendError)> {
        let points: Vec<_> = samples.iter().map(|(labels, sample)| (labels.clone(), Point::from(*sample))).collect();
        self.push_points(points)
    }

    /// Like [`World::push_samples`], for native histograms too.
    pub fn push_points(&mut self, points: Vec<(Labels, Point)>) -> Vec<(usize, AppendError)> {
        let mut refused = Vec::new();
        let mut touched = Vec::new();
        for (position, (labels, point)) in points.into_iter().enumerate() {
            match self.db.append_point(&labels, point) {
                Ok(_) if self.settings.on_ingest => touched.extend(self.readers_of(&labels).iter().copied()),
                Ok(_) => {}
                Err(error) => refused.push((position, error)),
            }
        }
        self.touch(touched);
        refused
    }

    /// Stores samples that arrived before the start, so that windows are filled; no rule is evaluated for it. Answers as
    /// [`World::push_samples`].
    pub fn fill(&mut self, samples: &[(Labels, Point)]) -> Vec<(usize, AppendError)> {
        let stored = samples.iter().map(|(labels, sample)| self.db.append_point(labels, sample.clone()));
        stored.enumerate().filter_map(|(position, stored)| Some((position, stored.err()?))).collect()
    }

    /// Lets go of samples that are older than `retention`.
    pub fn truncate(&mut self, retention: Duration) {
        self.db.set_retention(retention);
        self.db.truncate(self.now);
    }

    /// Takes events as if they had just arrived.
    pub fn push_events(&mut self, events: Vec<Event>) {
        let mut touched = Vec::new();
        for event in events {
            touched.extend(self.program.push_event(&event, self.now));
            self.log.push_back((self.now, event));
        }
        let oldest = self.now - self.program.reach();
        while self.log.front().is_some_and(|(arrival, _)| *arrival < oldest) {
            self.log.pop_front();
        }
        if self.settings.on_ingest {
            self.touch(touched);
        }
    }

    /// Takes alerts from outside, as the API does.
    pub fn push_alerts(&mut self, alerts: Vec<Alert>) {
        self.handle(Input::Alerts(alerts));
    }

    /// Sets or changes a silence.
    ///
    /// # Errors
    /// If the engine refuses it.
    pub fn set_silence(&mut self, draft: SilenceDraft) -> Result<SilenceId, SilenceError> {
        let result = self.engine.set_silence(self.now, draft);
        self.settle();
        result
    }

    /// Acknowledges or snoozes alerts, or takes it back.
    ///
    /// # Errors
    /// If it is refused.
    pub fn acknowledge(&mut self, command: AcknowledgeCommand) -> Result<Vec<Fingerprint>, AcknowledgeError> {
        let result = self.engine.acknowledge(self.now, command);
        self.settle();
        result
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// If the engine refuses it.
    pub fn expire_silence(&mut self, id: &SilenceId) -> Result<(), SilenceError> {
        let result = self.engine.expire_silence(self.now, id);
        self.settle();
        result
    }

    /// Passes any other input to the engine and does what it then wants done.
    pub fn handle(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.settle();
    }

    /// Lets time pass, and everything happen that is due until and at `target`. A time in the past changes nothing.
    ///
    /// # Errors
    /// If the engine asks to be woken again and again at one instant.
    pub fn advance_to(&mut self, target: Timestamp) -> Result<(), Stuck> {
        self.run_until(target, true)?;
        if target > self.now {
            self.now = target;
            self.handle(Input::Tick);
        }
        Ok(())
    }

    /// Lets time pass up to `target`, but nothing happen yet that is due at `target` itself: what arrives now arrives
    /// just before it.
    ///
    /// # Errors
    /// As for [`World::advance_to`].
    pub fn advance_before(&mut self, target: Timestamp) -> Result<(), Stuck> {
        self.run_until(target, false)?;
        self.now = self.now.max(target);
        Ok(())
    }

    fn run_until(&mut self, target: Timestamp, inclusive: bool) -> Result<(), Stuck> {
        let is_due = |next: &Timestamp| *next < target || inclusive && *next == target;
        let mut wakes = 0;
        while let Some(next) = self.next_deadline().filter(is_due) {
            if next > self.now {
                wakes = 0;
                self.now = next;
            }
            wakes += 1;
            if wakes > WAKES_PER_INSTANT_MAX {
                return Err(Stuck { at: self.now });
            }
            self.wake();
        }
        Ok(())
    }

    /// When something happens next by time alone.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let reply = self.replies.keys().next().map(|(at, _)| *at);
        let windows = if self.settings.on_ingest { self.program.next_deadline() } else { None };
        [self.engine.next_deadline(), reply, windows].into_iter().flatten().min()
    }

    /// The virtual clock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The series store, to look at.
    pub fn db(&self) -> &Tsdb {
        &self.db
    }

    /// What would be there after a restart, by key.
    pub fn records(&self) -> &BTreeMap<RecordKey, Record> {
        &self.records
    }

    /// Asks the series store.
    ///
    /// # Errors
    /// If the text is no expression, or its evaluation fails.
    pub fn query(&self, text: &str, at: Timestamp) -> Result<Answer, String> {
        let expr = watchfire_promql::parse(text).map_err(|error| error.to_string())?;
        let answer: Result<Answer, QueryError> = watchfire_promql::instant(&self.db, &expr, at, &self.settings.query);
        answer.map_err(|error| error.to_string())
    }

    /// The attempts to deliver since this was last asked.
    pub fn take_attempts(&mut self) -> Vec<Attempt> {
        std::mem::take(&mut self.attempts)
    }

    /// The changes and decisions since this was last asked.
    pub fn take_changes(&mut self) -> Vec<Arc<Change>> {
        std::mem::take(&mut self.changes)
    }

    /// The evaluations that failed since this was last asked.
    pub fn take_failures(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.failures)
    }

    fn wake(&mut self) {
        while let Some(((at, order), _)) = self.replies.first_key_value() {
            let key = (*at, *order);
            if key.0 > self.now {
                break;
            }
            if let Some((id, attempt, outcome)) = self.replies.remove(&key) {
                self.handle(Input::Delivered { id, attempt, outcome, stand_in: None });
            }
        }
        if self.settings.on_ingest {
            let due = self.program.due(self.now);
            self.touch(due);
        }
        self.handle(Input::Tick);
    }

    fn touch(&mut self, mut rules: Vec<RuleId>) {
        rules.sort_unstable();
        rules.dedup();
        if self.settings.on_ingest && !rules.is_empty() {
            self.handle(Input::Touched(rules));
        }
    }

    /// Stores what rules wrote, and answers who reads it.
    fn append_derived(&mut self, points: Vec<(Labels, Point)>) -> Vec<RuleId> {
        let mut touched = BTreeSet::new();
        for (labels, point) in points {
            // The engine writes what it computed; a refusal is the store's and is counted there.
            let stored = self.db.append_point(&labels, point).is_ok();
            if stored && self.settings.on_ingest && self.program.may_propagate(&labels) {
                touched.extend(self.readers_of(&labels).iter().copied());
            }
        }
        touched.into_iter().collect()
    }

    fn readers_of(&mut self, labels: &Labels) -> Arc<[RuleId]> {
        if let Some(readers) = self.readers.get(labels) {
            return Arc::clone(readers);
        }
        let readers: Arc<[RuleId]> = self.program.readers_of(labels).into();
        self.readers.insert(labels.clone(), Arc::clone(&readers));
        readers
    }

    /// Does what the engine wants done until it wants nothing more: of all that waits, evaluations first and in the
    /// order of the definitions, then questions to routers, then deliveries.
    fn settle(&mut self) {
        let mut deliveries = VecDeque::new();
        let mut questions = VecDeque::new();
        loop {
            while let Some(output) = self.engine.poll_output() {
                match output {
                    Output::Evaluate(request) => {
                        let key = (self.program.group_order(request.group), self.arrived);
                        self.arrived += 1;
                        self.evaluations.insert(key, request);
                    }
                    Output::Append(points) => {
                        let touched = self.append_derived(points);
                        if !touched.is_empty() {
                            self.engine.handle(self.now, Input::Touched(touched));
                        }
                    }
                    Output::Persist(record) => match *record {
                        Record::Deleted(key) => drop(self.records.remove(&key)),
                        record => drop(self.records.insert(record.key(), record)),
                    },
                    Output::Confirm => self.engine.handle(self.now, Input::Confirmed),
                    Output::Deliver(delivery) => deliveries.push_back(*delivery),
                    Output::Route(request) => questions.push_back(request),
                    Output::Forward(alerts) => self.forwarded.extend(alerts.into_iter().map(|alert| (self.now, alert))),
                    Output::TookOver { old, new } => {
                        let records = self.program.hand_over(old, new);
                        self.records.extend(records.into_iter().map(|record| (record.key(), record)));
                    }
                    Output::Changed(change) => self.changes.push(change),
                }
            }
            if let Some((_, request)) = self.evaluations.pop_first() {
                let evaluation = self.program.evaluate(&request, &self.db, &self.settings);
                if let Err(error) = &evaluation.result {
                    let rule = self.program.name(request.rule);
                    self.failures.push(Failure { rule, at: request.at, error: error.clone() });
                }
                self.engine.handle(self.now, Input::Evaluated(evaluation));
            } else if let Some(request) = questions.pop_front() {
                let result = self.ask_router(&request);
                self.engine.handle(self.now, Input::Routed { id: request.id, result });
            } else if let Some(delivery) = deliveries.pop_front() {
                self.deliver(delivery);
            } else {
                return;
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let reply = self.receivers.deliver(&delivery);
        let (id, attempt) = (delivery.id, delivery.attempt);
        self.attempts.push(Attempt { at: self.now, delivery, reply: reply.clone() });
        match reply {
            Reply::Now(outcome) => {
                self.engine.handle(self.now, Input::Delivered { id, attempt, outcome, stand_in: None })
            }
            Reply::After(delay, outcome) => {
                self.replies.insert((self.now + delay, self.arrived), (id, attempt, outcome));
                self.arrived += 1;
            }
            Reply::Never => {}
        }
    }

    fn ask_router(&mut self, request: &RouteRequest) -> Result<Vec<Decision>, PluginError> {
        if !self.routers.contains_key(&request.plugin) {
            let provider = self.provider.as_ref();
            let provider = provider.ok_or_else(|| PluginError::Unsupported("there are no plugins here".to_owned()))?;
            let router = provider.open_router(&request.plugin.plugin, &request.plugin.config_json)?;
            self.routers.insert(request.plugin.clone(), router);
        }
        let views: Vec<_> = request.alerts.iter().map(|alert| AlertView::new(alert.clone(), request.at)).collect();
        match self.routers.get_mut(&request.plugin) {
            Some(router) => router.route(request.at, &views),
            None => Ok(Vec::new()),
        }
    }
}
