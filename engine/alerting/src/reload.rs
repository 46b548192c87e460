//! Starting and reloading: new definitions take the place of old ones and nothing that is unchanged notices (C2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watchfire_model::{ALERT_NAME_LABEL, Duration, Labels, RuleGroupId, RuleId, STALE_NAN, Timestamp};
use watchfire_tsdb::Point;

use crate::alert_store::StoredAlert;
use crate::gone::Gone;
use crate::group::{Group, Target};
use crate::history::ReadBack;
use crate::inhibition::Inhibitor;
use crate::membership::Occasion;
use crate::route_table::{RouteTable, identify};
use crate::rule::RuleState;
use crate::schedule::ScheduledGroup;
use crate::timers::Timer;
use crate::{
    Definitions, Dispatch, Engine, GroupKey, InstanceRecord, InstanceState, Life, Membership, Output, Reason, Record,
    RecordKey, RouteId, RoutesRecord, RuleGroupSpec, RuleKind, RuleReason, RuleSpec, StateReason, Subject,
};

impl Engine {
    /// Takes what was persisted; nothing is due before the first reload has said what is defined.
    ///
    /// What is said to have been later than now was written by a clock that has been set back since. It counts as of now,
    /// so that nobody waits until the clock comes there again.
    pub(crate) fn restore(&mut self, records: Vec<Record>) {
        let (mut targets, mut lines, now) = (Vec::new(), ReadBack::new(), self.now);
        for record in records {
            match record {
                Record::Instance(record) => {
                    self.restored_instances.entry(record.rule).or_default().push(record.instance);
                }
                Record::Alert(record) => {
                    let fingerprint = record.alert.fingerprint();
                    let stored = StoredAlert::restored(record, now, &mut self.alerts.shared);
                    self.restore_alert(fingerprint, stored);
                }
                Record::Group(mut record) => {
                    record.unanswered_since = record.unanswered_since.map(|since| since.min(now));
                    self.groups.insert(Box::new(Group::restored(record)));
                }
                Record::Silence(silence) => {
                    self.timers.set(Timer::silence(&silence.id), silence.ends_at);
                    self.silences.put(silence, self.now);
                }
                Record::Target(record) => targets.push(record),
                Record::Routes(record) => self.route_identities = record.routes,
                Record::Integrations(record) => {
                    (self.receivers, self.gone) = (record.receivers, record.gone);
                    self.gone.values_mut().flatten().for_each(|gone| gone.since = gone.since.min(now));
                }
                Record::History(record) => {
                    self.history.restore(record, &mut lines);
                    self.timers.set_if_unset(Timer::AgeHistory, self.now);
                }
                Record::Schedule(record) => drop(self.restored_schedules.insert(record.rule, record.until)),
                Record::RateLimit(record) => {
                    // How long it holds is known when the routes are; see [`Engine::arm_rate_limits`].
                    self.similar.insert(record.key, record.told_at.min(now));
                }
                Record::PluginState(_) | Record::Deleted(_) => {}
            }
        }
        for record in targets {
            let group = self.groups.get_mut(&record.target.group);
            let Some(target) = group.and_then(|group| group.target_mut(record.target.clone())) else {
                self.delete(RecordKey::target(record.since, &record.target));
                continue;
            };
            target.entry = record.entry.at_latest(now);
            if let Some(mut pending) = record.pending {
                // What was made at a time to come was made by a clock that has been set back since, so that nobody knows
                // how much of its wait is left. A page that comes too soon is the lesser harm.
                let latest = match pending.created_at > now {
                    true => now,
                    false => now + self.settings.retry_after_max,
                };
                pending.failing_since = pending.failing_since.map(|since| since.min(now));
                pending.created_at = pending.created_at.min(now);
                pending.next_attempt = pending.next_attempt.min(latest);
                let (id, due) = (pending.id, pending.next_attempt);
                target.restore_pending(pending);
                self.notifications.insert(id, target.key.clone());
                self.timers.set(Timer::Attempt(target.key.clone()), due);
            }
        }
        for fingerprint in self.alerts.fingerprints() {
            self.rejoin(fingerprint);
        }
    }

    fn restore_alert(&mut self, fingerprint: watchfire_model::Fingerprint, mut stored: StoredAlert) {
        let labels = stored.alert.labels.clone();
        if stored.resolved {
            self.timers.set(Timer::Forget(fingerprint), self.now + self.settings.alert_retention);
        } else if let (Some(end), true) = (stored.alert.ends_at, stored.rules.is_empty()) {
            // Its sender could not reach the engine while it was down, and refreshed ends are not kept. Whoever keeps an
            // alert alive sends it again within the time that it gives it.
            let given = end.since(stored.alert.updated_at);
            let end = end.max(self.now + given.min(self.settings.restart_grace));
            stored.alert.ends_at = Some(end);
            self.timers.set(Timer::AlertEnd(fingerprint), end);
        }
        if let Some(until) = stored.acknowledgement().and_then(|acknowledgement| acknowledgement.until) {
            self.timers.set(Timer::Acknowledgement(fingerprint), until);
        }
        let (resolved, from_outside, since) = (stored.resolved, stored.rules.is_empty(), stored.since);
        self.alerts.insert(fingerprint, stored);
        if resolved {
            return;
        }
        if self.settings.alerts_per_name_max.is_some() {
            self.firing_names.add(&labels);
        }
        // A time that is not known lies far back too.
        if from_outside && since >= self.now - self.settings.history_retention {
            // What is kept of its history, if anything is, takes the place of this.
            self.history.restore_received(fingerprint, since);
            self.timers.set_if_unset(Timer::AgeHistory, self.now);
            let subject = Subject::Alert { fingerprint, labels, rule: None, target: None };
            self.emit(subject, StateReason::Restored.into());
        } else {
            self.tell(&labels, None, None, StateReason::Restored);
        }
    }

    /// Puts new definitions into force.
    pub(crate) fn reload(&mut self, definitions: Arc<Definitions>) {
        let first = self.definitions.is_none();
        self.counters.reloads += 1;
        self.definitions = Some(definitions.clone());
        self.reload_rules(&definitions.groups);
        if first {
            self.dispatch_from = self.now + self.settings.start_delay;
            self.check_restored_alerts();
        }
        self.reload_dispatch(&definitions.dispatch, first);
        self.emit(Subject::Engine, Reason::Reloaded);
    }

    fn reload_rules(&mut self, groups: &[RuleGroupSpec]) {
        let mut before = std::mem::take(&mut self.rules);
        let mut old_groups = std::mem::take(&mut self.rule_groups);
        self.rule_group_order = groups.iter().map(|group| group.id).collect();
        let intervals: BTreeMap<RuleGroupId, Duration> =
            old_groups.iter().map(|(id, group)| (*id, group.spec.interval)).collect();
        let mut added: Vec<RuleId> = Vec::new();
        let mut position = 0;
        for group in groups {
            let scheduled = match old_groups.remove(&group.id) {
                Some(mut scheduled) => {
                    scheduled.respec(group.clone());
                    scheduled
                }
                None => ScheduledGroup::new(group.clone()),
            };
            self.rule_groups.insert(group.id, scheduled);
            self.arm_slot(group.id);
            for spec in &group.rules {
                position += 1;
                let known = before.remove(&spec.id).or_else(|| self.come_back(spec.id));
                // What was recorded is no alert and the other way round, whatever the name says.
                let known = match known {
                    Some(state) if !same_kind(&state.spec.kind, &spec.kind) => {
                        self.end_rule(state);
                        None
                    }
                    known => known,
                };
                let mut state = match known {
                    Some(mut state) => {
                        state.spec = spec.clone();
                        state.group = group.id;
                        state.group_name = group.name.clone();
                        state.position = position;
                        state
                    }
                    None => {
                        let instances = self.restored_instances.remove(&spec.id);
                        if instances.is_none() {
                            added.push(spec.id);
                        }
                        let name = group.name.clone();
                        let known = instances.unwrap_or_default();
                        let is_restored = !known.is_empty();
                        let mut state = RuleState::new(spec.clone(), group.id, name, position, known);
                        if is_restored {
                            state.wait_for_data(self.now + self.settings.restart_grace);
                        }
                        state
                    }
                };
                if let Some(until) = self.restored_schedules.remove(&spec.id) {
                    state.restore_schedule(until);
                }
                self.rules.insert(spec.id, state);
            }
        }
        for id in old_groups.into_keys() {
            for timer in [Timer::RuleSlot(id), Timer::Arrival(id), Timer::EvaluationLost(id)] {
                self.timers.cancel(&timer);
            }
        }
        let rule_groups = &self.rule_groups;
        self.evaluations.retain(|_, group| rule_groups.contains_key(group));
        for (id, instances) in std::mem::take(&mut self.restored_instances) {
            before.insert(id, restored_orphan(id, instances));
        }
        for (id, until) in std::mem::take(&mut self.restored_schedules) {
            before.entry(id).or_insert_with(|| restored_orphan(id, Vec::new())).restore_schedule(until);
        }
        self.heirs.clear();
        self.hand_over(&mut before, &mut added);
        // What an editor removed a moment ago may be what it has put elsewhere now.
        let mut removed = std::mem::take(&mut self.removed_rules);
        self.hand_over(&mut removed, &mut added);
        self.removed_rules = removed;
        for (id, state) in before {
            let interval = intervals.get(&state.group).copied().unwrap_or(Duration::from_mins(1));
            self.remove_rule(id, state, interval);
        }
    }

    fn come_back(&mut self, id: RuleId) -> Option<RuleState> {
        let state = self.removed_rules.remove(&id)?;
        self.timers.cancel(&Timer::RuleRemoved(id));
        self.emit(Subject::Rule(id), RuleReason::CameBack.into());
        Some(state)
    }

    /// A rule of the same name in a group of the same name is the same rule in a renamed file, or with edited labels. If
    /// there are several, they are paired in order, provided there are as many new ones as old ones. What has found its
    /// place is taken out of both.
    fn hand_over(&mut self, before: &mut BTreeMap<RuleId, RuleState>, added: &mut Vec<RuleId>) {
        type Names = (Arc<str>, Arc<str>, bool);
        let names = |state: &RuleState| -> Names {
            let recording = matches!(state.spec.kind, RuleKind::Recording);
            (state.group_name.clone(), state.spec.name.clone(), recording)
        };
        let mut old: BTreeMap<Names, Vec<(usize, RuleId)>> = BTreeMap::new();
        for (id, state) in before.iter() {
            old.entry(names(state)).or_default().push((state.position, *id));
        }
        let mut new: BTreeMap<Names, Vec<RuleId>> = BTreeMap::new();
        for id in &*added {
            if let Some(state) = self.rules.get(id) {
                new.entry(names(state)).or_default().push(*id);
            }
        }
        let mut placed = BTreeSet::new();
        for (names, new) in new {
            let Some(mut old) = old.remove(&names).filter(|old| old.len() == new.len()) else { continue };
            old.sort_unstable();
            for ((_, old), new) in old.into_iter().zip(new) {
                if let Some(state) = before.remove(&old) {
                    self.timers.cancel(&Timer::RuleRemoved(old));
                    self.take_over(old, state, new);
                    placed.insert(new);
                }
            }
        }
        added.retain(|id| !placed.contains(id));
    }

    fn take_over(&mut self, old: RuleId, state: RuleState, new: RuleId) {
        self.forget_schedule(&state);
        let Some(rule) = self.rules.get_mut(&new) else { return };
        rule.take_over(state);
        let mut records = Vec::new();
        for (fingerprint, live) in &rule.instances {
            records.push(Record::Deleted(RecordKey::instance(old, *fingerprint)));
            records.push(Record::Instance(InstanceRecord { rule: new, instance: live.instance.clone() }));
            let Some(stored) = self.alerts.get_mut(*fingerprint) else { continue };
            if let Some(vouching) = stored.rules.iter_mut().find(|rule| **rule == old) {
                *vouching = new;
                stored.rules.sort_unstable();
                self.dirty_alerts.insert(*fingerprint);
            }
        }
        self.outputs.extend(records.into_iter().map(|record| Output::Persist(Box::new(record))));
        self.heirs.insert(old, new);
        self.outputs.push_back(Output::TookOver { old, new });
        self.emit(Subject::Rule(new), RuleReason::TookOver.into());
    }

    /// A rule that is no longer defined keeps its alerts for a while: an editor that saves in two steps, or a file that
    /// is moved, must not resolve and page again.
    fn remove_rule(&mut self, id: RuleId, state: RuleState, interval: Duration) {
        if state.is_idle() {
            self.forget_schedule(&state);
            return;
        }
        let wait = interval.times(i64::from(self.settings.removed_rule_intervals));
        self.timers.set(Timer::RuleRemoved(id), self.now + wait);
        self.removed_rules.insert(id, state);
        self.emit(Subject::Rule(id), RuleReason::Removed.into());
    }

    pub(crate) fn removed_rule_due(&mut self, id: RuleId) {
        if let Some(state) = self.removed_rules.remove(&id) {
            self.end_rule(state);
        }
    }

    fn forget_schedule(&mut self, state: &RuleState) {
        if state.keeps_schedule() {
            self.delete(RecordKey::schedule(state.id()));
        }
    }

    /// Ends a rule's alerts (C1) and the series that it wrote, unless another rule writes them by now.
    fn end_rule(&mut self, state: RuleState) {
        let id = state.id();
        self.forget_schedule(&state);
        for (fingerprint, live) in &state.instances {
            self.delete(RecordKey::instance(id, *fingerprint));
            if live.instance.state == InstanceState::Firing {
                self.tell(&live.instance.labels, Some(id), None, StateReason::RuleRemoved);
                self.rule_alert_ends(id, *fingerprint, self.now);
            }
        }
        let stale = Point { timestamp: self.now, start: None, value: STALE_NAN.into() };
        let ended = state.emitted().filter(|series| !self.rules.values().any(|rule| rule.emits(series)));
        let samples: Vec<(Labels, Point)> = ended.map(|series| (series.clone(), stale.clone())).collect();
        if !samples.is_empty() {
            self.outputs.push_back(Output::Append(samples));
        }
    }

    /// An alert whose rule has no such instance any more would fire for ever.
    fn check_restored_alerts(&mut self) {
        for fingerprint in self.alerts.fingerprints() {
            let Some(stored) = self.alerts.get(fingerprint).filter(|stored| !stored.resolved) else { continue };
            let fires = |rule: &RuleId| {
                let state = self.rules.get(rule).or_else(|| self.removed_rules.get(rule));
                let live = state.and_then(|state| state.instances.get(&fingerprint));
                live.is_some_and(|live| live.instance.state == InstanceState::Firing)
            };
            let idle: Vec<RuleId> = stored.rules.iter().copied().filter(|rule| !fires(rule)).collect();
            let labels = stored.alert.labels.clone();
            for rule in idle {
                self.tell(&labels, Some(rule), None, StateReason::RuleRemoved);
                self.rule_alert_ends(rule, fingerprint, self.now);
            }
        }
    }

    fn reload_dispatch(&mut self, dispatch: &Dispatch, first: bool) {
        self.intervals = dispatch.time_intervals.iter().map(|i| (i.name.as_str().into(), i.clone())).collect();
        let integrations_before = (self.receivers.clone(), self.gone.clone());
        self.identify_integrations(&dispatch.receivers);
        let routers_before: Vec<_> = self.routes.routers();
        let identities = identify(&self.route_identities, &dispatch.route);
        self.routes = RouteTable::new(&dispatch.route, &identities);
        if identities != self.route_identities {
            self.persist(Record::Routes(RoutesRecord { routes: identities.clone() }));
            self.route_identities = identities;
        }
        self.arm_rate_limits();
        self.inhibitor = Inhibitor::new(&dispatch.inhibit_rules);
        for (_, stored) in self.alerts.iter().filter(|(_, stored)| !stored.resolved) {
            self.inhibitor.add(&stored.alert.labels);
        }
        let keys: Vec<GroupKey> = self.groups.in_order().into_iter().map(|group| group.key.clone()).collect();
        for key in keys {
            self.reload_group(&key, first, &integrations_before.1);
        }
        self.forget_gone_of_no_use();
        if integrations_before != (self.receivers.clone(), self.gone.clone()) {
            self.keep_integrations();
        }
        // A router that is new or has another configuration is asked about everything; what was decided before holds
        // until it has answered. After a restart what was decided before it still holds.
        let routers = if first { Vec::new() } else { self.routes.routers() };
        let edited = routers.into_iter().filter(|router| !routers_before.contains(router));
        let edited: Vec<_> = edited.map(|(route, _)| route).collect();
        for fingerprint in self.alerts.fingerprints() {
            let Some(stored) = self.alerts.get(fingerprint).filter(|stored| !stored.resolved) else { continue };
            let here = |membership: &Membership, route: &RouteId| {
                self.groups.get(&membership.group).is_some_and(|group| group.route == *route)
            };
            let decided = |route: &&RouteId| {
                stored.suppressed_by_router(route).is_some()
                    || stored.memberships.iter().any(|membership| !membership.detached && here(membership, route))
            };
            let asked_again: Vec<RouteId> = edited.iter().filter(decided).cloned().collect();
            self.route_alert(fingerprint, Occasion::Reload);
            for route in asked_again {
                self.to_route.entry(route).or_default().push(fingerprint);
            }
        }
        let over = self.groups.in_order().into_iter().filter(|group| group.is_over());
        let over: Vec<GroupKey> = over.map(|group| group.key.clone()).collect();
        for key in over {
            self.drop_group(&key);
        }
    }

    fn reload_group(&mut self, key: &GroupKey, first: bool, gone_before: &Gone) {
        let now = self.now;
        let Some(pace) = self.groups.get(key).map(|group| self.pace(self.routes.find(&group.route), &group.labels))
        else {
            return;
        };
        let Some(group) = self.groups.get_mut(key) else { return };
        let node = self.routes.find(&group.route);
        let mut changed = false;
        if let Some(node) = node.filter(|node| !group.routed_by_plugin && node.receiver != group.receiver) {
            group.receiver = node.receiver.clone();
            changed = true;
        }
        // Who was told because nobody answered is told no more than the ends once the route does not ask for it.
        let steps = node.map(|node| node.policy.escalation.as_slice()).unwrap_or_default();
        let before = group.escalated.len();
        group.escalated.retain(|receiver| steps.iter().any(|step| step.receiver == *receiver));
        changed |= group.escalated.len() < before;
        let dropped = group.sync_targets(&self.receivers, &self.gone);
        for target in &mut group.targets {
            // A reload may have repaired what made the receiver refuse.
            target.entry.refused = None;
        }
        let (wait, interval) = pace;
        if first && group.flushed && !group.changed {
            group.next_flush = next_in_pace(group.next_flush, interval, now);
        }
        // A shorter interval holds at once; a longer one from the next flush on.
        let latest = now + if group.flushed { interval } else { wait };
        group.next_flush = group.next_flush.min(latest);
        self.timers.set(Timer::flush(key), group.next_flush);
        if changed {
            self.dirty_groups.insert(key.clone());
        }
        for target in dropped {
            // What is owed was said when its integration went.
            match target.is_one_of(gone_before) {
                true => self.forget_target(target),
                false => self.drop_target(target),
            }
        }
        let Some(mut group) = self.groups.remove(key) else { return };
        for index in 0..group.targets.len() {
            self.set_aside_if_gone(&mut group, index, gone_before);
        }
        self.timers.cancel(&Timer::escalation(key));
        self.arm_escalation(&group);
        for index in 0..group.targets.len() {
            self.arm_repeat(&group, index);
        }
        self.groups.insert(group);
    }

    /// What was told last is remembered for as long as the longest limit that may ask for it.
    fn arm_rate_limits(&mut self) {
        for (key, told_at) in &self.similar {
            let limit = self.routes.rate_limit(&key.severity).unwrap_or(Duration::ZERO);
            self.timers.set(Timer::RateLimit(Box::new(key.clone())), *told_at + limit);
        }
    }

    pub(crate) fn drop_target(&mut self, target: Target) {
        for fingerprint in target.entry.owed.iter() {
            self.promise_lost(fingerprint, &target.key.receiver);
        }
        self.forget_target(target);
    }

    pub(crate) fn forget_target(&mut self, target: Target) {
        self.timers.cancel(&Timer::Attempt(target.key.clone()));
        self.timers.cancel(&Timer::Repeat(target.key.clone()));
        if let Some(pending) = target.pending {
            if pending.in_flight {
                self.turns.give_back(&target.key);
            }
            self.notifications.remove(&pending.id);
        }
        if target.entry.sequence > 0 {
            self.delete(RecordKey::target(target.since, &target.key));
        }
    }
}

/// The next time in the pace that a group kept before a restart. A tick that found nothing to do leaves no trace, so one
/// that was missed is not caught up, and none comes early.
fn next_in_pace(last_known: Timestamp, interval: Duration, now: Timestamp) -> Timestamp {
    let behind = now.since(last_known).as_millis();
    if behind < 0 {
        return last_known;
    }
    let interval_millis = interval.as_millis().max(1);
    last_known + Duration::from_millis((behind / interval_millis + 1).saturating_mul(interval_millis))
}

fn same_kind(a: &RuleKind, b: &RuleKind) -> bool {
    matches!(a, RuleKind::Recording) == matches!(b, RuleKind::Recording)
}

/// A rule of which only the instances are known, because it was removed while the engine was down.
fn restored_orphan(id: RuleId, instances: Vec<crate::Instance>) -> RuleState {
    let name = instances.first().map(|i| i.labels.value_or_empty(ALERT_NAME_LABEL)).unwrap_or_default();
    let kind = RuleKind::Alerting(Life::default());
    let spec = RuleSpec { id, name: name.into(), kind, generator_url: "".into() };
    RuleState::new(spec, RuleGroupId(0), "".into(), 0, instances)
}
