//! The flush of an alert group: who of it may be told, and to whom something is to be told.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_model::{Alert, Duration, Fingerprint, Labels, Timestamp};

use crate::alert_store::StoredAlert;
use crate::group::{Group, Pending};
use crate::id::StableHash;
use crate::notification_log::{Content, Terms, Verdict, decide};
use crate::route_table::Node;
use crate::timers::Timer;
use crate::{
    DeliveryReason, Engine, FingerprintSet, GroupKey, HistoryEntry, NotificationId, Notify, NotifyReason, Reason,
    Record, Repeat, Subject, SuppressReason, TargetKey,
};

/// The alerts of a group at one moment.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Firing and not suppressed.
    firing: FingerprintSet,
    /// Those of them that the route still sends here.
    pub(crate) attached: FingerprintSet,
    /// Those of these that nobody looks after.
    open: FingerprintSet,
    /// Ended.
    resolved: FingerprintSet,
    /// Those of them that are not suppressed.
    resolved_open: FingerprintSet,
}

impl Engine {
    /// A group's timer is due. The next flush follows after `group_interval` whatever this one finds.
    pub(crate) fn flush_due(&mut self, key: &GroupKey) {
        // The group is taken out of the table while it is worked on.
        let Some(mut group) = self.groups.remove(key) else { return };
        self.counters.flushes += 1;
        let keep = !group.flushed || group.changed;
        group.flushed = true;
        group.changed = false;
        self.expire_refusals(&mut group);
        let survey = self.survey(&mut group);
        for target in 0..group.targets.len() {
            self.look_at(&mut group, target, &survey);
        }
        self.review_answer(&mut group);
        let (_, interval) = self.pace(self.routes.find(&group.route), &group.labels);
        group.next_flush = self.now + interval;
        self.timers.set(Timer::flush(key), group.next_flush);
        if keep {
            self.dirty_groups.insert(key.clone());
        }
        self.put_back(group);
    }

    /// An end that a receiver goes on refusing is not owed for ever.
    fn expire_refusals(&mut self, group: &mut Group) {
        for target in &mut group.targets {
            let old = |since| self.now.since(since) > self.settings.log_retention;
            if let Some(refused) = target.entry.refused.take_if(|refused| old(refused.since)) {
                target.entry.owed.remove_all(&refused.resolved);
                let record = target.record();
                self.persist(Record::Target(record));
            }
        }
    }

    /// Lets go of the alerts that were seen to have ended and about which nothing is left to tell, and of the group if it
    /// was the last.
    pub(crate) fn put_back(&mut self, mut group: Box<Group>) {
        let mut done = Vec::new();
        for (fingerprint, member) in &group.members {
            let node = self.routes.find(&group.route);
            let targets = &group.targets;
            let over = |stored: &StoredAlert| {
                member.seen_ended && stored.resolved && stored.damped_end(node, self.now, targets).is_none()
            };
            let resolved = self.alerts.get(*fingerprint).is_none_or(over);
            if resolved && !group.awaits(*fingerprint) {
                done.push((*fingerprint, member.told));
            }
        }
        let key = group.key.clone();
        for (fingerprint, _) in &done {
            group.members.remove(fingerprint);
        }
        let over = group.is_over();
        if !over && !done.is_empty() {
            // Who wants no ends has not been told of these, and must hear of them should they fire again.
            let ended = done.iter().map(|(fingerprint, _)| *fingerprint).collect();
            self.count_as_unknown(&mut group, &ended);
        }
        for (fingerprint, told) in done {
            let Some(stored) = self.alerts.get_mut(fingerprint) else { continue };
            stored.memberships.retain(|membership| membership.group != key);
            // Also where the group is over: else the alert would be in the next one of this name after a restart, and its
            // end would be told again. Times do not say which group it was in, since clocks are set back.
            self.dirty_alerts.insert(fingerprint);
            if !told {
                let reason = Reason::Suppress(SuppressReason::EndedUntold);
                let entry = HistoryEntry { at: self.now, reason, target: None, notification: None };
                self.note(fingerprint, Arc::new(entry));
            }
        }
        self.groups.insert(group);
        if over {
            self.drop_group(&key);
        }
    }

    /// Looks at every alert of the group in Alertmanager's order of suppression: inhibition, intervals, silences.
    pub(crate) fn survey(&mut self, group: &mut Group) -> Survey {
        let mut survey = Survey::default();
        let (mut firing, mut attached, mut resolved, mut told_ends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut open = Vec::new();
        // The group cannot be asked about itself while its members are looked at.
        let held: BTreeMap<Fingerprint, Timestamp> = self.held_back(group);
        let node = self.routes.find(&group.route);
        let muted = node.and_then(|node| self.muted(node, self.now));
        let mut reasons = Vec::new();
        let is_reached = group.targets.iter().any(|target| target.integration.is_some());
        let no_integration = (!is_reached).then(|| SuppressReason::NoIntegration(group.receiver.clone()));
        for (fingerprint, member) in &mut group.members {
            let Some(stored) = self.alerts.get(*fingerprint) else { continue };
            // One that flaps counts as firing until it has made up its mind.
            let damped = stored.damped_end(node, self.now, &group.targets);
            let is_resolved = stored.resolved && damped.is_none();
            member.seen_ended = is_resolved;
            let mut suppressed = self.suppressed(stored, muted.as_ref());
            if let (None, Some(until)) = (&suppressed, held.get(fingerprint)) {
                self.to_fold.push((group.key.clone(), *fingerprint, *until));
                suppressed = Some(SuppressReason::RateLimited { until: *until });
            }
            if is_resolved {
                resolved.push(*fingerprint);
                if suppressed.is_none() {
                    told_ends.push(*fingerprint);
                }
            } else if suppressed.is_none() {
                firing.push(*fingerprint);
                if !member.detached {
                    attached.push(*fingerprint);
                    if !stored.is_acknowledged() {
                        open.push(*fingerprint);
                    }
                }
            }
            let damped = damped.map(|until| SuppressReason::Flapping { until });
            let shown = suppressed.or(damped).or_else(|| no_integration.clone()).map(Box::new);
            if !is_resolved && member.suppressed != shown {
                reasons.extend(shown.clone().map(|reason| (stored.alert.labels.clone(), *reason)));
                member.suppressed = shown;
            }
        }
        let target = group.targets.first().map(|target| target.key.clone());
        for (labels, reason) in reasons {
            self.tell(&labels, None, target.clone(), reason);
        }
        survey.firing = firing.into_iter().collect();
        survey.attached = attached.into_iter().collect();
        survey.resolved = resolved.into_iter().collect();
        survey.resolved_open = told_ends.into_iter().collect();
        survey.open = open.into_iter().collect();
        survey
    }

    /// The firing alerts of a group of which nobody here knows and that a rate limit holds back, each until when.
    fn held_back(&self, group: &Group) -> BTreeMap<Fingerprint, Timestamp> {
        let Some(node) = self.routes.find(&group.route).filter(|node| !node.policy.rate_limits.0.is_empty()) else {
            return BTreeMap::new();
        };
        let reached = || group.targets.iter().filter(|target| target.integration.is_some());
        let known = |f: Fingerprint| group.awaits(f) || reached().any(|target| target.entry.firing.contains(f));
        let news = group.members.iter().filter(|(fingerprint, member)| !member.detached && !known(**fingerprint));
        let held = news.filter_map(|(fingerprint, _)| {
            let stored = self.alerts.get(*fingerprint).filter(|stored| !stored.resolved)?;
            Some((*fingerprint, self.held_until(group, node, &stored.alert.labels)?))
        });
        held.collect()
    }

    /// Why an alert is not to be told now, for a route that is muted or not.
    pub(crate) fn suppressed(&self, stored: &StoredAlert, muted: Option<&SuppressReason>) -> Option<SuppressReason> {
        let labels = &stored.alert.labels;
        if let Some(inhibition) = self.inhibitor.inhibitions(labels, false).pop() {
            return Some(SuppressReason::Inhibited { rule: inhibition.rule, source: inhibition.source });
        }
        if let Some(muted) = muted {
            return Some(muted.clone());
        }
        if let Some(silence) = self.silences.silencing(labels, self.now).into_iter().next() {
            return Some(SuppressReason::Silenced(silence));
        }
        let snooze = stored.acknowledgement().filter(|acknowledgement| acknowledgement.snooze)?;
        Some(SuppressReason::Snoozed { by: snooze.by.as_str().into(), until: snooze.until.unwrap_or(Timestamp::MAX) })
    }

    /// Why a route tells nothing at a time.
    pub(crate) fn muted(&self, node: &Node, at: Timestamp) -> Option<SuppressReason> {
        let holds = |name: &&Arc<str>| self.intervals.get(*name).is_some_and(|interval| interval.contains(at));
        if !node.active_time_intervals.is_empty() && !node.active_time_intervals.iter().any(|name| holds(&name)) {
            return Some(SuppressReason::OutsideActiveIntervals);
        }
        node.mute_time_intervals.iter().find(holds).cloned().map(SuppressReason::Muted)
    }

    /// The intervals because of which a route tells nothing at a time: those outside of which it is, or those that mute it.
    pub(crate) fn muted_by(&self, node: &Node, at: Timestamp) -> Vec<Arc<str>> {
        match self.muted(node, at) {
            None => Vec::new(),
            Some(SuppressReason::OutsideActiveIntervals) => node.active_time_intervals.to_vec(),
            Some(_) => {
                let holds = |name: &&Arc<str>| self.intervals.get(*name).is_some_and(|interval| interval.contains(at));
                node.mute_time_intervals.iter().filter(holds).cloned().collect()
            }
        }
    }

    /// Decides about one target, and starts an attempt if one is due.
    fn look_at(&mut self, group: &mut Group, index: usize, survey: &Survey) {
        let now = self.now;
        let node = self.routes.find(&group.route);
        let repeat_interval = node.map_or(Duration::from_hours(4), |node| node.repeat_interval);
        let repeat = node.map_or(Repeat::Compatible, |node| node.policy.repeat);
        let target = &mut group.targets[index];
        if target.pending.as_ref().is_some_and(|pending| pending.in_flight) {
            // One attempt at a time; the target is looked at again when this one ends.
            target.look_again = true;
            // Should it fire again before then, it is news all the same.
            return self.forget_unwanted_ends(group, index, survey);
        }
        if target.integration.is_none() {
            return;
        }
        target.look_again = false;
        let (entry, send_resolved, current) = (&target.entry, target.send_resolved, target.current);
        // Where the route does not lead any more nothing is news.
        let told = |here: &FingerprintSet, f: Fingerprint| current && here.contains(f) || entry.owed.contains(f);
        let mut content = Content {
            firing: survey.firing.iter().filter(|f| told(&survey.attached, *f)).collect(),
            resolved: survey.resolved.iter().filter(|f| send_resolved && told(&survey.resolved_open, *f)).collect(),
        };
        let open = !survey.open.is_empty();
        let terms = Terms { now, repeat_interval, repeat, open, current };
        let mut verdict = decide(entry, &content, &survey.attached, terms);
        if verdict == Verdict::Nothing && target.waits_to_pass_on() && !open && !content.firing.is_empty() {
            // It is still so, and the receiver does not know it yet.
            content.resolved = FingerprintSet::new();
            verdict = Verdict::Notify(NotifyReason::Acknowledgement);
        }
        self.forget_unwanted_ends(group, index, survey);
        let Verdict::Notify(reason) = verdict else {
            return self.withdraw(group, index, DeliveryReason::Withdrawn);
        };
        let reason = self.refine(group, index, survey, reason);
        let target = &group.targets[index];
        let same = |pending: &Pending| pending.firing == content.firing && pending.resolved == content.resolved;
        let mut next_attempt = now;
        match &target.pending {
            Some(pending) if same(pending) => next_attempt = pending.next_attempt,
            Some(pending) => {
                // The receiver fails; newer content does not make it work sooner.
                next_attempt = pending.next_attempt;
                self.counters.notifications_superseded += 1;
                self.withdraw(group, index, DeliveryReason::Superseded);
                self.create_notification(group, index, content, reason, next_attempt);
            }
            None => self.create_notification(group, index, content, reason, next_attempt),
        }
        if next_attempt <= now {
            self.start_attempt(group, index);
        } else if let Some(target) = group.targets.get(index) {
            self.timers.set(Timer::Attempt(target.key.clone()), next_attempt);
        }
    }

    /// Who wants to know of no ends is told again what fires again; whether an end is muted does not matter to it.
    fn forget_unwanted_ends(&mut self, group: &mut Group, index: usize, survey: &Survey) {
        let target = &mut group.targets[index];
        if target.send_resolved {
            return;
        }
        let ended: Vec<Fingerprint> = survey.resolved.iter().filter(|f| target.entry.firing.contains(*f)).collect();
        if !target.entry.firing.remove_all(&survey.resolved) {
            return;
        }
        let (record, key) = (target.record(), target.key.clone());
        self.persist(Record::Target(record));
        let reason = Reason::Suppress(SuppressReason::SendResolvedOff);
        let entry = Arc::new(HistoryEntry { at: self.now, reason, target: Some(key), notification: None });
        ended.into_iter().for_each(|fingerprint| self.note(fingerprint, entry.clone()));
    }

    pub(crate) fn create_notification(
        &mut self,
        group: &mut Group,
        index: usize,
        content: Content,
        reason: NotifyReason,
        next_attempt: Timestamp,
    ) {
        let now = self.now;
        let unsaid = self.unsaid(group, index, &content, reason);
        let said = Content {
            firing: content.firing.iter().filter(|f| !unsaid.firing.contains(*f)).collect(),
            resolved: content.resolved.iter().filter(|f| !unsaid.resolved.contains(*f)).collect(),
        };
        let alerts = self.told_alerts(&said);
        let news = |f: &Fingerprint| !group.targets[index].knows(*f);
        let new_firing: Vec<Fingerprint> = said.firing.iter().filter(news).collect();
        let folded = if group.is_digest() { new_firing.len() + said.resolved.iter().filter(news).count() } else { 0 };
        for fingerprint in new_firing {
            self.similar_told(group, fingerprint);
        }
        let target = &mut group.targets[index];
        target.entry.sequence += 1;
        let mut identity = StableHash::default();
        identity.part(&target.key).part(now.as_millis()).part(target.entry.sequence);
        // The content is part of it, so that no accident with clocks and restarts gives one id to two contents.
        for fingerprint in content.firing.iter() {
            identity.part(format_args!("+{fingerprint}"));
        }
        for fingerprint in content.resolved.iter() {
            identity.part(format_args!("-{fingerprint}"));
        }
        let id = NotificationId(identity.finish());
        let entry = Arc::new(HistoryEntry {
            at: now,
            reason: Reason::Notify(reason),
            target: Some(target.key.clone()),
            notification: Some(id),
        });
        for fingerprint in said.firing.iter().chain(said.resolved.iter()) {
            if let Some(member) = group.members.get_mut(&fingerprint) {
                member.told = true;
                member.snooze_ended = false;
            }
            self.note(fingerprint, entry.clone());
        }
        target.pending = Some(Box::new(Pending {
            id,
            reason,
            firing: content.firing,
            resolved: content.resolved,
            unsaid,
            folded,
            done: "".into(),
            alerts,
            created_at: now,
            attempt: 0,
            may_be_known: next_attempt <= now,
            in_flight: false,
            next_attempt,
            error: "".into(),
            owed_before: FingerprintSet::new(),
        }));
        let key = target.key.clone();
        self.notifications.insert(id, key.clone());
        self.counters.notifications += 1;
        match reason {
            NotifyReason::PromisedResolve => self.counters.promised_resolves += 1,
            NotifyReason::Flapping => self.counters.alerts_flapping += 1,
            NotifyReason::Digest => self.counters.digests += 1,
            _ => {}
        }
        self.emit(Subject::Notification { id, target: key }, Reason::Notify(reason));
        self.persist_target(group, index);
        self.await_answer(group);
    }

    /// What a receiver knows of the content already and is not told again, where the route wants only changes told.
    fn unsaid(&self, group: &Group, index: usize, content: &Content, reason: NotifyReason) -> Content {
        let changes = self.routes.find(&group.route).is_some_and(|node| node.policy.notify == Notify::Changes);
        if !changes {
            return Content::default();
        }
        let entry = &group.targets[index].entry;
        let repeats = matches!(reason, NotifyReason::RepeatIntervalElapsed | NotifyReason::Acknowledgement);
        let told_end = |f: &Fingerprint| entry.resolved.contains(*f) && !entry.owed.contains(*f);
        Content {
            firing: content.firing.iter().filter(|f| !repeats && entry.firing.contains(*f)).collect(),
            resolved: content.resolved.iter().filter(told_end).collect(),
        }
    }

    /// Says more exactly why something new is told.
    fn refine(&self, group: &Group, index: usize, survey: &Survey, reason: NotifyReason) -> NotifyReason {
        if !matches!(reason, NotifyReason::FirstNotification | NotifyReason::NewAlertsInGroup) {
            return reason;
        }
        let (target, node) = (&group.targets[index], self.routes.find(&group.route));
        if target.key.receiver != group.receiver {
            return NotifyReason::Escalated;
        }
        if group.is_digest() {
            return NotifyReason::Digest;
        }
        let news: Vec<Fingerprint> = survey.attached.iter().filter(|f| !target.entry.firing.contains(*f)).collect();
        let damped = |f: &Fingerprint| self.alerts.get(*f).is_some_and(|stored| stored.is_damped(node, self.now));
        let snoozed = |f: &Fingerprint| group.members.get(f).is_some_and(|member| member.snooze_ended);
        if news.iter().all(damped) {
            NotifyReason::Flapping
        } else if news.iter().all(snoozed) {
            NotifyReason::SnoozeEnded
        } else {
            reason
        }
    }

    /// Firing alerts lose their end, so that they cannot end while they are on their way.
    fn told_alerts(&self, content: &Content) -> Arc<[Alert]> {
        let of = |set: &FingerprintSet| -> Vec<Alert> {
            set.iter().filter_map(|f| self.alerts.get(f)).map(|stored| stored.alert.clone()).collect()
        };
        let mut alerts = of(&content.firing);
        for alert in &mut alerts {
            alert.ends_at = None;
        }
        alerts.extend(of(&content.resolved).into_iter().map(|mut alert| {
            // An end is what tells the two apart.
            alert.ends_at.get_or_insert(self.now);
            alert
        }));
        alerts.sort_by(|a, b| order_of_telling(&a.labels, &b.labels));
        alerts.into()
    }

    /// Takes a notification back that waits for its next attempt. If it was tried, the receiver may know it; what that
    /// means for the future is in the log entry and must survive.
    pub(crate) fn withdraw(&mut self, group: &mut Group, index: usize, reason: DeliveryReason) {
        let target = &mut group.targets[index];
        let Some(pending) = target.pending.take() else { return };
        self.notifications.remove(&pending.id);
        let key = target.key.clone();
        self.timers.cancel(&Timer::Attempt(key.clone()));
        self.persist_target(group, index);
        self.emit(Subject::Notification { id: pending.id, target: key }, Reason::Delivery(reason));
    }

    /// A group is to be told again to the millisecond.
    pub(crate) fn repeat_due(&mut self, key: &Arc<TargetKey>) {
        let Some(mut group) = self.groups.remove(&key.group) else { return };
        if let Some(index) = group.targets.iter().position(|target| target.key == *key) {
            match self.repeat_at(&group, index) {
                Some(at) if at > self.now => self.timers.set(Timer::Repeat(key.clone()), at),
                Some(_) => self.look_at_target(&mut group, index),
                None => {}
            }
        }
        self.put_back(group);
    }

    /// Sets the timer for the next repeat, where the route wants it exact. One that is overdue, because the engine was down
    /// or the route did not want that before, waits for the next look at the group.
    pub(crate) fn arm_repeat(&mut self, group: &Group, index: usize) {
        let timer = Timer::Repeat(group.targets[index].key.clone());
        match self.repeat_at(group, index) {
            Some(at) if at >= self.now => self.timers.set(timer, at),
            Some(_) | None => self.timers.cancel(&timer),
        }
    }

    fn repeat_at(&self, group: &Group, index: usize) -> Option<Timestamp> {
        let node = self.routes.find(&group.route).filter(|node| node.policy.repeat == Repeat::Exact)?;
        let entry = &group.targets[index].entry;
        Some(entry.notified_at? + node.repeat_interval).filter(|_| !entry.firing.is_empty())
    }

    /// Looks at one target outside a flush: a retry is due, or an attempt ended after a flush had come by.
    pub(crate) fn look_at_target(&mut self, group: &mut Group, index: usize) {
        let survey = self.survey(group);
        self.look_at(group, index, &survey);
    }
}

/// The order in which Alertmanager tells alerts (`alert/alert.go`, `AlertSlice.Less`, and Prometheus' `LabelSet.Before`): by
/// `job` and by `instance`, those without one last; then by the number of labels; then by the first label, in the order of
/// the names, that one has not, which then comes first, or of which the values differ.
fn order_of_telling(a: &Labels, b: &Labels) -> Ordering {
    let by = |name: &str| match (a.get(name), b.get(name)) {
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (of_a, of_b) => of_a.cmp(&of_b),
    };
    let by_labels = || {
        let mut labels = a.iter().zip(b.iter());
        let differing = labels.find_map(|(of_a, of_b)| match of_a.name.cmp(of_b.name) {
            Ordering::Equal => Some(of_a.value.cmp(of_b.value)).filter(|order| order.is_ne()),
            // Whoever has the later name in this place has not the earlier one.
            names => Some(names.reverse()),
        });
        differing.unwrap_or(Ordering::Equal)
    };
    by("job").then_with(|| by("instance")).then_with(|| a.len().cmp(&b.len())).then_with(by_labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_in_alertmanagers_order() {
        let sorted: Vec<Labels> = [
            &[("instance", "b"), ("job", "a"), ("z", "1")][..],
            &[("instance", "a"), ("job", "b")],
            &[("job", "b")],
            &[("a", "9"), ("instance", "a")],
            &[("instance", "b")],
            &[("zone", "a")],
            &[("host", "h2"), ("zone", "a")],
            &[("disk", "a"), ("zone", "a")],
            &[("disk", "b"), ("host", "a")],
            &[("disk", "sda"), ("host", "h1"), ("zone", "z")],
        ]
        .map(|pairs| Labels::from_pairs(pairs.iter().copied()))
        .into();
        let mut told = sorted.clone();
        told.reverse();
        told.sort_by(order_of_telling);
        assert_eq!(told, sorted);
    }
}
