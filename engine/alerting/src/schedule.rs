//! When which rule is evaluated, and what its answer leads to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use watchfire_model::{Duration, RuleGroupId, RuleId, Timestamp};

use crate::forward::Forwarding;
use crate::reason::shortened;
use crate::rule::{Applied, Circumstances, RuleState, Step, Transition, Turn};
use crate::timers::Timer;
use crate::{
    Cause, Engine, EvaluateRequest, Evaluation, EvaluationId, InstanceRecord, InstanceState, LimitReason, Output,
    PluginStateRecord, Reason, Record, RecordKey, RuleGroupSpec, RuleHealth, RuleReason, Subject,
};

/// A rule group and where it is in its schedule.
#[derive(Debug)]
pub(crate) struct ScheduledGroup {
    pub(crate) spec: RuleGroupSpec,
    last_slot: Option<Timestamp>,
    /// The time of the last run, so that samples never go back in time.
    last_at: Option<Timestamp>,
    run: Option<Run>,
    touched: BTreeSet<RuleId>,
    pub(crate) last_evaluation: Option<Timestamp>,
    pub(crate) evaluation_time: Duration,
    pub(crate) slots_missed: u64,
}

/// An evaluation of a group under way: one rule after the other where a rule may read what one before it wrote.
#[derive(Debug)]
struct Run {
    at: Timestamp,
    cause: Cause,
    left: VecDeque<RuleId>,
    /// The requests that are under way.
    asked: BTreeMap<EvaluationId, Asked>,
    took: Duration,
}

/// A rule whose answer is awaited.
#[derive(Debug)]
struct Asked {
    rule: RuleId,
    /// Whether what it finds anew may begin.
    opens: bool,
    /// The time of its cron schedule for which it was asked.
    due: Option<Timestamp>,
}

impl ScheduledGroup {
    pub(crate) fn new(spec: RuleGroupSpec) -> ScheduledGroup {
        ScheduledGroup {
            spec,
            last_slot: None,
            last_at: None,
            run: None,
            touched: BTreeSet::new(),
            last_evaluation: None,
            evaluation_time: Duration::ZERO,
            slots_missed: 0,
        }
    }

    pub(crate) fn respec(&mut self, spec: RuleGroupSpec) {
        if spec.interval != self.spec.interval {
            self.last_slot = None;
        }
        self.spec = spec;
    }

    /// After the clock went back, the slots of the past say nothing about those to come.
    pub(crate) fn forget_time(&mut self) {
        self.last_slot = None;
        self.last_at = None;
    }

    fn interval_millis(&self) -> i64 {
        self.spec.interval.as_millis().max(1)
    }

    /// Slots lie at multiples of the interval plus an offset from the group's identity, which spreads the groups and
    /// is the same after every restart (prometheus `rules/group.go`, `EvalTimestamp`).
    fn slot_at_or_before(&self, time: Timestamp) -> Timestamp {
        let interval = self.interval_millis();
        let offset = i64::try_from(self.spec.id.0 % interval.unsigned_abs()).unwrap_or(0);
        let slot = (time.as_millis().saturating_sub(offset)).div_euclid(interval);
        Timestamp::from_millis(slot.saturating_mul(interval).saturating_add(offset))
    }

    /// The next slot; in the past if it was missed so far.
    pub(crate) fn next_slot(&self, now: Timestamp) -> Timestamp {
        let last = self.last_slot.unwrap_or_else(|| self.slot_at_or_before(now));
        last + Duration::from_millis(self.interval_millis())
    }
}

impl Engine {
    pub(crate) fn arm_slot(&mut self, id: RuleGroupId) {
        if let Some(group) = self.rule_groups.get_mut(&id) {
            // A new group begins with the slot after now, and from now on none is missed unnoticed.
            let current = group.slot_at_or_before(self.now);
            group.last_slot.get_or_insert(current);
            self.timers.set(Timer::RuleSlot(id), group.next_slot(self.now));
        }
    }

    /// Slots that passed during a run or while the machine slept are counted and not caught up.
    pub(crate) fn slot_due(&mut self, id: RuleGroupId) {
        let now = self.now;
        let Some(group) = self.rule_groups.get_mut(&id) else { return };
        if group.run.is_some() {
            // The end of the run looks for the slot.
            return;
        }
        let slot = group.slot_at_or_before(now);
        if group.last_slot.is_some_and(|last| slot <= last) {
            return self.arm_slot(id);
        }
        let interval = group.interval_millis();
        let missed = group.last_slot.map_or(0, |last| slot.since(last).as_millis() / interval - 1);
        let missed = u64::try_from(missed).unwrap_or(0);
        group.slots_missed += missed;
        group.last_slot = Some(slot);
        let rules = group.spec.rules.iter().map(|rule| rule.id).collect();
        if missed > 0 {
            self.counters.slots_missed += missed;
            self.emit(Subject::RuleGroup(id), Reason::Rule(RuleReason::SlotsMissed(missed)));
        }
        self.start_run(id, slot, Cause::Interval, rules);
    }

    pub(crate) fn touched(&mut self, rules: &[RuleId]) {
        let (now, coalesce) = (self.now, self.settings.arrival_coalesce);
        for rule in rules {
            let Some(state) = self.rules.get(rule) else { continue };
            let id = state.group;
            let Some(group) = self.rule_groups.get_mut(&id) else { continue };
            if !group.touched.insert(*rule) {
                self.counters.touches_coalesced += 1;
            }
            if group.run.is_none() {
                // What comes first is looked at first; what follows closely waits for more of its kind.
                let due = group.last_at.map_or(now, |last| now.max(last + coalesce));
                self.timers.set_if_unset(Timer::Arrival(id), due);
            }
        }
    }

    pub(crate) fn arrival_due(&mut self, id: RuleGroupId) {
        let now = self.now;
        let Some(group) = self.rule_groups.get(&id) else { return };
        if group.run.is_some() || group.touched.is_empty() {
            return;
        }
        if group.next_slot(now) <= now {
            // A slot that is due lies in the past, so it goes first; its end looks for what was touched.
            return self.slot_due(id);
        }
        if let Some(last) = group.last_at.filter(|last| now <= *last) {
            // Two runs at one time would write two values at one time.
            return self.timers.set(Timer::Arrival(id), last + Duration::from_millis(1));
        }
        let Some(group) = self.rule_groups.get_mut(&id) else { return };
        let touched = std::mem::take(&mut group.touched);
        let rules = group.spec.rules.iter().map(|rule| rule.id).filter(|rule| touched.contains(rule)).collect();
        self.start_run(id, now, Cause::Arrival, rules);
    }

    fn start_run(&mut self, id: RuleGroupId, at: Timestamp, cause: Cause, rules: VecDeque<RuleId>) {
        if let Some(group) = self.rule_groups.get_mut(&id) {
            group.last_at = Some(at);
            group.run = Some(Run { at, cause, left: rules, asked: BTreeMap::new(), took: Duration::ZERO });
            self.evaluate_next(id);
        }
    }

    /// Asks for the rules that need wait for none, and ends the run when there is nothing left to wait for.
    fn evaluate_next(&mut self, id: RuleGroupId) {
        while self.ask_next(id) {}
        let deadline = self.now + self.settings.evaluation_deadline;
        match self.rule_groups.get(&id).and_then(|group| group.run.as_ref()) {
            Some(run) if run.asked.is_empty() => self.finish_run(id),
            // An answer shows that the others are being worked on.
            Some(_) => self.timers.set(Timer::EvaluationLost(id), deadline),
            None => {}
        }
    }

    /// Asks for the next rule. False if there is none, or it has to wait for an answer.
    fn ask_next(&mut self, id: RuleGroupId) -> bool {
        let Some(group) = self.rule_groups.get_mut(&id) else { return false };
        let Some(run) = &mut group.run else { return false };
        if group.spec.in_order && !run.asked.is_empty() {
            return false;
        }
        let Some(rule) = run.left.pop_front() else { return false };
        let (at, interval) = (run.at, group.spec.interval);
        // A reload may have taken rules away since the run began.
        let Some(state) = self.rules.get_mut(&rule).filter(|state| state.group == id) else { return true };
        let turn = state.turn(at, interval, self.settings.schedule_catch_up);
        if let Some(record) = state.keep_schedule(None) {
            self.outputs.push_back(Output::Persist(Box::new(Record::Schedule(record))));
        }
        let (opens, due) = match turn {
            Turn::Skip => return true,
            Turn::Close => {
                self.close_rule(id, rule, at);
                return true;
            }
            Turn::Follow => (false, None),
            Turn::Evaluate(due) => (true, due),
        };
        self.last_evaluation_id += 1;
        let evaluation = EvaluationId(self.last_evaluation_id);
        run.asked.insert(evaluation, Asked { rule, opens, due });
        match run.cause {
            Cause::Interval => self.counters.evaluations_interval += 1,
            Cause::Arrival => self.counters.evaluations_arrival += 1,
        }
        let request = EvaluateRequest {
            id: evaluation,
            group: id,
            rule,
            at,
            query_offset: group.spec.query_offset,
            cause: run.cause,
            instances: state.asked_about(at),
            idle: state.is_idle(),
        };
        self.outputs.push_back(Output::Evaluate(request));
        self.evaluations.insert(evaluation, id);
        if let Some(due) = due.filter(|due| at.since(*due) > interval) {
            self.emit(Subject::Rule(rule), RuleReason::MadeUpFor(due).into());
        }
        true
    }

    fn finish_run(&mut self, id: RuleGroupId) {
        let now = self.now;
        let coalesce = self.settings.arrival_coalesce;
        let Some(group) = self.rule_groups.get_mut(&id) else { return };
        let Some(run) = group.run.take() else { return };
        if run.cause == Cause::Interval {
            group.last_evaluation = Some(run.at);
            group.evaluation_time = run.took;
        }
        if !group.touched.is_empty() {
            self.timers.set(Timer::Arrival(id), now.max(run.at + coalesce));
        }
        self.timers.cancel(&Timer::EvaluationLost(id));
        self.arm_slot(id);
    }

    pub(crate) fn evaluation_lost(&mut self, id: RuleGroupId) {
        let run = self.rule_groups.get_mut(&id).and_then(|group| group.run.as_mut());
        let asked = run.map(|run| std::mem::take(&mut run.asked)).unwrap_or_default();
        for (evaluation, Asked { rule, due, .. }) in asked {
            self.evaluations.remove(&evaluation);
            self.counters.evaluations_lost += 1;
            self.emit(Subject::Rule(rule), Reason::Rule(RuleReason::EvaluationLost));
            if let Some(state) = self.rules.get_mut(&rule) {
                state.health = RuleHealth::Error("the evaluation gave no answer in time".into());
                due.into_iter().for_each(|due| state.put_off(due));
            }
        }
        self.evaluate_next(id);
    }

    pub(crate) fn evaluated(&mut self, evaluation: Evaluation) {
        // Whoever evaluated goes on with what it wrote, whatever becomes of the answer: what is not kept now is never told
        // again. What a rule wrote whose place another one has taken meanwhile is that one's.
        let rule = self.heirs.get(&evaluation.rule).copied().unwrap_or(evaluation.rule);
        for write in evaluation.state_writes {
            self.persist(Record::PluginState(PluginStateRecord { rule, write }));
        }
        let Some(id) = self.evaluations.remove(&evaluation.id) else {
            self.counters.stale_answers += 1;
            return;
        };
        let run = self.rule_groups.get_mut(&id).and_then(|group| group.run.as_mut());
        let Some((run, asked)) = run.and_then(|run| run.asked.remove(&evaluation.id).map(|asked| (run, asked))) else {
            self.counters.stale_answers += 1;
            return;
        };
        run.took = run.took + evaluation.took;
        let (at, Asked { opens, due, .. }) = (run.at, asked);
        // The rule is taken out of the table while its answer is worked on.
        if let Some(mut rule) = self.rules.remove(&evaluation.rule) {
            rule.last_evaluation = Some(at);
            rule.evaluation_time = evaluation.took;
            let circumstances = self.circumstances(id, at, opens);
            let applied = evaluation.result.and_then(|result| rule.apply(result, circumstances).map_err(str::to_owned));
            match applied {
                Ok(applied) => {
                    if matches!(rule.health, RuleHealth::Error(_)) {
                        self.emit(Subject::Rule(rule.id()), Reason::Rule(RuleReason::EvaluationRecovered));
                    }
                    rule.health = RuleHealth::Ok;
                    let stand_in = evaluation.stand_in.as_deref().map(shortened);
                    if let Some(why) = stand_in.clone().filter(|_| rule.stand_in != stand_in) {
                        self.emit(Subject::Rule(rule.id()), Reason::Rule(RuleReason::ConditionStoodIn(why)));
                    }
                    rule.stand_in = stand_in;
                    if let Some(record) = due.and_then(|due| rule.keep_schedule(Some(due))) {
                        self.persist(Record::Schedule(record));
                    }
                    self.rule_applied(&rule, applied, circumstances);
                }
                Err(error) => {
                    self.counters.evaluation_failures += 1;
                    if rule.health != RuleHealth::Error(error.as_str().into()) {
                        let reason = RuleReason::EvaluationFailed(error.as_str().into());
                        self.emit(Subject::Rule(rule.id()), Reason::Rule(reason));
                    }
                    rule.health = RuleHealth::Error(error.into());
                    rule.stand_in = None;
                    due.into_iter().for_each(|due| rule.put_off(due));
                }
            }
            self.rules.insert(evaluation.rule, rule);
        }
        self.evaluate_next(id);
    }

    fn circumstances(&self, group: RuleGroupId, at: Timestamp, opens: bool) -> Circumstances {
        let settings = &self.settings;
        // An end counts from the slot that it belongs to, so that one found on arrival is told again as often as one
        // found at a slot.
        let expired = at - settings.resolved_retention - Duration::from_millis(1);
        let (limit, query_offset, interval, forgets_until) = match self.rule_groups.get(&group) {
            Some(group) => {
                let RuleGroupSpec { limit, query_offset, interval, .. } = group.spec;
                (limit, query_offset, interval, group.slot_at_or_before(expired))
            }
            None => (0, Duration::ZERO, Duration::ZERO, expired),
        };
        let delay = self.definitions.as_ref().and_then(|definitions| definitions.resend_delay);
        let instances_max =
            if limit == 0 { settings.rule_instances_max } else { limit.min(settings.rule_instances_max) };
        Circumstances {
            at,
            query_offset,
            instances_max,
            annotations_bytes_max: settings.annotations_bytes_max,
            forgets_until,
            alerts_series: settings.alerts_series,
            opens,
            forwarding: delay.map(|delay| Forwarding { delay, interval }),
        }
    }

    /// A rule's schedule has ended for now.
    fn close_rule(&mut self, group: RuleGroupId, id: RuleId, at: Timestamp) {
        let circumstances = self.circumstances(group, at, false);
        if let Some(mut rule) = self.rules.remove(&id) {
            let applied = rule.close(circumstances);
            self.rule_applied(&rule, applied, circumstances);
            self.rules.insert(id, rule);
        }
    }

    /// Does what follows from what a rule found.
    fn rule_applied(&mut self, rule: &RuleState, applied: Applied, c: Circumstances) {
        if applied.dropped > 0 {
            self.counters.instances_dropped += u64::try_from(applied.dropped).unwrap_or(u64::MAX);
            let reason = LimitReason::Instances { max: c.instances_max, dropped: applied.dropped };
            self.emit(Subject::Rule(rule.id()), Reason::Limit(reason));
        }
        self.counters.annotations_cut += applied.cut;
        if !applied.samples.is_empty() {
            self.outputs.push_back(Output::Append(applied.samples));
        }
        if !applied.alerts.is_empty() {
            self.outputs.push_back(Output::Forward(applied.alerts));
        }
        let mut told = BTreeSet::new();
        for transition in applied.transitions {
            // Once before all that this evaluation changes about an alert.
            if let Some(why) = rule.stand_in.clone().filter(|_| told.insert(transition.fingerprint)) {
                self.tell(&transition.labels, Some(rule.id()), None, RuleReason::ConditionStoodIn(why));
            }
            self.instance_changed(rule, transition, c.at);
        }
        self.refresh_rule_alerts(rule, c.at);
    }

    /// Keeps an instance's new state, tells those who watch, and lets dispatch know where the alert ends. Where it
    /// begins, [`Engine::refresh_rule_alerts`] does.
    fn instance_changed(&mut self, rule: &RuleState, transition: Transition, at: Timestamp) {
        let Transition { fingerprint, labels, step, ends, reason } = transition;
        match step {
            Step::Gone => self.delete(RecordKey::instance(rule.id(), fingerprint)),
            Step::Changed => {
                if let Some(live) = rule.instances.get(&fingerprint) {
                    let record = InstanceRecord { rule: rule.id(), instance: live.instance.clone() };
                    self.persist(Record::Instance(record));
                }
            }
        }
        self.tell(&labels, Some(rule.id()), None, reason);
        if ends {
            self.rule_alert_ends(rule.id(), fingerprint, at);
        }
    }

    fn refresh_rule_alerts(&mut self, rule: &RuleState, at: Timestamp) {
        for live in rule.instances.values() {
            if live.instance.state == InstanceState::Firing {
                self.rule_alert_fires(&rule.spec, &live.instance, at);
            }
        }
    }
}
