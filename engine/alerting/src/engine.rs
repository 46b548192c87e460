//! The engine: one input at a time, outputs in order, one deadline.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use watchfire_model::{Duration, Fingerprint, Labels, RuleGroupId, RuleId, Timestamp};

use crate::alert_store::AlertStore;
use crate::firing_names::FiringNames;
use crate::gone::Gone;
use crate::groups::Groups;
use crate::history::History;
use crate::inhibition::Inhibitor;
use crate::membership::AskedRoute;
use crate::rate_limit::Held;
use crate::route_table::RouteTable;
use crate::rule::RuleState;
use crate::schedule::ScheduledGroup;
use crate::silence::Silences;
use crate::timers::{Timer, Timers};
use crate::turns::Turns;
use crate::{
    Change, Counters, Definitions, EvaluationId, GroupKey, HistoryEntry, Input, Instance, Integration, NotificationId,
    Output, Reason, Record, RecordKey, RouteId, RouteIdentity, RouteRequestId, Settings, SimilarKey, Subject,
    TargetKey, TimeInterval,
};

/// A clock that goes back by less than this is taken to stand still.
pub const CLOCK_JITTER: Duration = Duration::from_secs(1);

/// So many outputs always have room.
const OUTPUTS_ROOM: usize = 1_024;

/// The state machine. It has one owner and no locks.
#[derive(Debug)]
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) counters: Counters,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) now: Timestamp,
    pub(crate) timers: Timers,
    /// No new group is told about before this.
    pub(crate) dispatch_from: Timestamp,
    /// Absent until the first reload; until then nothing is due.
    pub(crate) definitions: Option<Arc<Definitions>>,

    pub(crate) rule_groups: BTreeMap<RuleGroupId, ScheduledGroup>,
    pub(crate) rule_group_order: Vec<RuleGroupId>,
    pub(crate) rules: BTreeMap<RuleId, RuleState>,
    /// Rules that are no longer defined, whose alerts end unless they come back soon.
    pub(crate) removed_rules: BTreeMap<RuleId, RuleState>,
    /// The rules whose places others took at the last reload, with these.
    pub(crate) heirs: BTreeMap<RuleId, RuleId>,
    /// What was read back, until the first reload says what the rules are.
    pub(crate) restored_instances: BTreeMap<RuleId, Vec<Instance>>,
    /// Up to when the times of rules' cron schedules were done with, until then.
    pub(crate) restored_schedules: BTreeMap<RuleId, Timestamp>,
    pub(crate) evaluations: BTreeMap<EvaluationId, RuleGroupId>,
    pub(crate) last_evaluation_id: u64,

    pub(crate) alerts: AlertStore,
    /// In boxes, because a group is taken out of the tree while it is worked on.
    pub(crate) groups: Groups,
    /// The notifications on their way.
    pub(crate) notifications: BTreeMap<NotificationId, Arc<TargetKey>>,
    pub(crate) turns: Turns,
    pub(crate) silences: Silences,
    pub(crate) inhibitor: Inhibitor,
    /// Counted only where their number is bounded.
    pub(crate) firing_names: FiringNames,
    pub(crate) routes: RouteTable,
    pub(crate) route_identities: Vec<RouteIdentity>,
    pub(crate) receivers: BTreeMap<Arc<str>, Vec<Integration>>,
    /// Integrations that are not defined any more and know something of groups, by receiver.
    pub(crate) gone: Gone,
    pub(crate) intervals: BTreeMap<Arc<str>, TimeInterval>,
    pub(crate) asked_routes: BTreeMap<RouteRequestId, AskedRoute>,
    pub(crate) last_route_request_id: u64,
    /// Alerts that router plugins are to be asked about when the input is done with.
    pub(crate) to_route: BTreeMap<RouteId, Vec<Fingerprint>>,
    /// When receivers were last told of alerts whose severity has a rate limit.
    pub(crate) similar: BTreeMap<SimilarKey, Timestamp>,
    /// What is to be held back when the input is done with.
    pub(crate) to_fold: Vec<Held>,

    pub(crate) history: History,
    /// What is to be persisted when the input is done with, each once however often it changed.
    pub(crate) dirty_alerts: BTreeSet<Fingerprint>,
    pub(crate) dirty_groups: BTreeSet<GroupKey>,
    /// It only shows what another engine decides.
    watches: bool,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(settings: Settings) -> Engine {
        Engine {
            settings,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            now: Timestamp::MIN,
            timers: Timers::default(),
            dispatch_from: Timestamp::from_secs(0),
            definitions: None,
            rule_groups: BTreeMap::new(),
            rule_group_order: Vec::new(),
            rules: BTreeMap::new(),
            removed_rules: BTreeMap::new(),
            heirs: BTreeMap::new(),
            restored_instances: BTreeMap::new(),
            restored_schedules: BTreeMap::new(),
            evaluations: BTreeMap::new(),
            last_evaluation_id: 0,
            alerts: AlertStore::default(),
            groups: Groups::default(),
            notifications: BTreeMap::new(),
            turns: Turns::default(),
            silences: Silences::new(),
            inhibitor: Inhibitor::new(&[]),
            firing_names: FiringNames::default(),
            routes: RouteTable::default(),
            route_identities: Vec::new(),
            receivers: BTreeMap::new(),
            gone: BTreeMap::new(),
            intervals: BTreeMap::new(),
            asked_routes: BTreeMap::new(),
            last_route_request_id: 0,
            to_route: BTreeMap::new(),
            similar: BTreeMap::new(),
            to_fold: Vec::new(),
            history: History::default(),
            dirty_alerts: BTreeSet::new(),
            dirty_groups: BTreeSet::new(),
            watches: false,
        }
    }

    /// An engine that shows what another one on the same store decides: no time passes for it, and of its outputs only
    /// the silences that it was asked for mean anything.
    pub fn watching(settings: Settings) -> Engine {
        Engine { watches: true, ..Engine::new(settings) }
    }

    /// Takes the place of an engine of the same process. What that one asked for may still be answered, which must not be
    /// taken for an answer to what this one asks.
    pub fn takes_the_place_of(&mut self, before: &Engine) {
        self.last_evaluation_id = self.last_evaluation_id.max(before.last_evaluation_id);
        self.last_route_request_id = self.last_route_request_id.max(before.last_route_request_id);
    }

    /// Takes one input, then lets everything happen that is due. Afterwards all outputs are to be drained with
    /// [`Engine::poll_output`].
    ///
    /// A `now` before that of an earlier call means that the clock was set back; what waits goes on waiting for as long
    /// as it would have.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.counters.inputs += 1;
        self.advance(now);
        // What should have happened before the input happens before it.
        self.run_timers(self.now - Duration::from_millis(1));
        match input {
            Input::Restore(records) => self.restore(records),
            Input::Reload(definitions) => self.reload(definitions),
            Input::Remembered(records) => {
                records.into_iter().for_each(|record| self.persist(Record::PluginState(record)));
            }
            Input::Touched(rules) => self.touched(&rules),
            Input::Evaluated(evaluation) => self.evaluated(evaluation),
            Input::Alerts(alerts) => self.receive(alerts),
            Input::Routed { id, result } => self.routed(id, result),
            Input::Delivered { id, attempt, outcome, stand_in } => self.delivered(id, attempt, outcome, stand_in),
            Input::Confirmed => self.histories_are_durable(),
            Input::Silence(command) => self.silence_command(command),
            Input::Acknowledge(command) => {
                if let Err(error) = self.acknowledge_command(command) {
                    self.emit(Subject::Engine, Reason::AcknowledgementRefused(error.to_string().into()));
                }
            }
            Input::Tick => {}
        }
        self.settle();
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // A storm leaves room behind that is not needed again soon.
            self.outputs.shrink_to(OUTPUTS_ROOM);
        }
        output
    }

    /// When to call [`Engine::handle`] with [`Input::Tick`] if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.definitions.as_ref().filter(|_| !self.watches).and_then(|_| self.timers.next())
    }

    /// Everything that follows from an input: what is due now, questions to routers, and what must be kept.
    pub(crate) fn settle(&mut self) {
        self.run_timers(self.now);
        self.give_turns();
        self.fold();
        self.ask_routers();
        for fingerprint in std::mem::take(&mut self.dirty_alerts) {
            if let Some(stored) = self.alerts.get_mut(fingerprint) {
                stored.kept_end = stored.alert.ends_at.unwrap_or(Timestamp::MIN);
                self.outputs.push_back(Output::Persist(Box::new(Record::Alert(stored.record()))));
            }
        }
        for key in std::mem::take(&mut self.dirty_groups) {
            if let Some(group) = self.groups.get(&key) {
                self.outputs.push_back(Output::Persist(Box::new(Record::Group(group.record()))));
            }
        }
    }

    fn run_timers(&mut self, until: Timestamp) {
        if self.definitions.is_none() || self.watches {
            return;
        }
        while let Some(timer) = self.timers.pop_due(until) {
            match timer {
                Timer::Silence(id) => self.silence_due(&id),
                Timer::AlertEnd(fingerprint) => self.alert_end_due(fingerprint),
                Timer::RuleRemoved(rule) => self.removed_rule_due(rule),
                Timer::RuleSlot(group) => self.slot_due(group),
                Timer::Arrival(group) => self.arrival_due(group),
                Timer::EvaluationLost(group) => self.evaluation_lost(group),
                Timer::RouteLost(id) => self.route_lost(id),
                Timer::Flush(group) => self.flush_due(&group),
                Timer::Attempt(target) => self.attempt_due(&target),
                Timer::Repeat(target) => self.repeat_due(&target),
                Timer::Escalation(group) => self.escalation_due(&group),
                Timer::Acknowledgement(fingerprint) => self.end_acknowledgement(fingerprint),
                Timer::KeepHistory => self.keep_history_due(),
                Timer::AgeHistory => self.age_history_due(),
                Timer::RateLimit(key) => self.rate_limit_due(&key),
                Timer::Forget(fingerprint) => self.forget_due(fingerprint),
                Timer::GoneIntegrations => self.gone_integrations_due(),
            }
        }
    }

    pub(crate) fn advance(&mut self, now: Timestamp) {
        if now >= self.now {
            self.now = now;
            return;
        }
        let by = self.now.since(now);
        if by < CLOCK_JITTER {
            return;
        }
        self.counters.clock_steps_back += 1;
        self.now = now;
        self.emit(Subject::Engine, Reason::ClockSteppedBack { by });
        self.clock_stepped_back(by);
    }

    /// What waits goes on waiting for as long as it would have; what somebody else set by the clock (ends of alerts from
    /// outside, silences) stays.
    fn clock_stepped_back(&mut self, by: Duration) {
        for id in self.rule_group_order.clone() {
            if let Some(group) = self.rule_groups.get_mut(&id) {
                group.forget_time();
            }
            self.arm_slot(id);
        }
        let now = self.now;
        self.dispatch_from = self.dispatch_from - by;
        for silence in self.silences.clock_stepped_back(now + by, now) {
            self.timers.set(Timer::silence(&silence.id), now + self.settings.silence_retention);
            self.persist(Record::Silence(silence));
        }
        for gone in self.gone.values_mut().flatten() {
            gone.since = gone.since.min(now);
        }
        let mut timers = Vec::new();
        for group in self.groups.iter_mut() {
            group.next_flush = group.next_flush - by;
            group.unanswered_since = group.unanswered_since.map(|since| since - by);
            timers.push((Timer::flush(&group.key), group.next_flush));
            for target in &mut group.targets {
                target.entry = std::mem::take(&mut target.entry).at_latest(now);
                target.failing_since = target.failing_since.map(|at| at.min(now));
                target.passed_on = target.passed_on - by;
                if let Some(pending) = &mut target.pending {
                    pending.next_attempt = pending.next_attempt - by;
                    pending.created_at = pending.created_at - by;
                }
            }
        }
        for told_at in self.similar.values_mut() {
            *told_at = *told_at - by;
        }
        self.alerts.iter_mut().for_each(|stored| stored.clock_stepped_back(by));
        for timer in self.timers.relative() {
            if let Some(at) = self.timers.get(&timer) {
                timers.push((timer, at - by));
            }
        }
        for (timer, at) in timers {
            if self.timers.get(&timer).is_some() {
                self.timers.set(timer, at);
            }
        }
    }

    pub(crate) fn emit(&mut self, subject: Subject, reason: Reason) {
        self.outputs.push_back(Output::Changed(Arc::new(Change { at: self.now, subject, reason })));
    }

    pub(crate) fn persist(&mut self, record: Record) {
        self.outputs.push_back(Output::Persist(Box::new(record)));
    }

    pub(crate) fn delete(&mut self, key: RecordKey) {
        self.persist(Record::Deleted(key));
    }

    /// Tells those who watch about an alert, and writes it into its history.
    pub(crate) fn tell(
        &mut self,
        labels: &Labels,
        rule: Option<RuleId>,
        target: Option<Arc<TargetKey>>,
        reason: impl Into<Reason>,
    ) {
        let (fingerprint, reason) = (labels.fingerprint(), reason.into());
        let entry = HistoryEntry { at: self.now, reason: reason.clone(), target: target.clone(), notification: None };
        let entry = self.history.share(entry);
        self.note(fingerprint, entry);
        self.emit(Subject::Alert { fingerprint, labels: labels.clone(), rule, target }, reason);
    }
}
