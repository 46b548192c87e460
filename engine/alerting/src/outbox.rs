//! Attempts to deliver, and what their outcomes lead to.

use std::sync::Arc;

use watchfire_model::{Duration, Fingerprint};

use crate::alert_store::StoredAlert;
use crate::group::Group;
use crate::id::StableHash;
use crate::reason::shortened;
use crate::timers::Timer;
use crate::{
    Delivery, DeliveryOutcome, DeliveryReason, Engine, FingerprintSet, HistoryEntry, NotificationId, NotifyReason,
    Output, Reason, Record, Subject, TargetKey,
};

impl Engine {
    /// Starts an attempt if it is its turn. That it is tried, or may be, was persisted before or is in the same drain,
    /// before the delivery is executed.
    pub(crate) fn start_attempt(&mut self, group: &mut Group, index: usize) {
        let now = self.now;
        let target = &mut group.targets[index];
        let own = self.integrations(&target.key.receiver);
        let Some(settings) = target.integration.and_then(|position| own.get(position)).map(|own| own.settings) else {
            return;
        };
        let Some(pending) = target.pending.as_mut() else { return };
        if !self.turns.take(&target.key, self.settings.attempts_max) {
            return;
        }
        let is_news = !std::mem::replace(&mut pending.may_be_known, true);
        pending.attempt += 1;
        pending.in_flight = true;
        pending.next_attempt = now;
        if pending.attempt == 1 {
            pending.owed_before = target.entry.owed.clone();
            target.entry.attempted(&pending.firing, &pending.resolved, target.send_resolved);
        }
        let (id, attempt) = (pending.id, pending.attempt);
        let looked_after = !pending.firing.is_empty() && pending.firing.iter().all(|f| self.is_looked_after(f));
        let delivery = Delivery {
            id,
            attempt,
            receiver: target.key.receiver.clone(),
            integration: target.key.integration.clone(),
            settings,
            group_key: group.key.clone(),
            group_labels: group.labels.clone(),
            route_labels: self.routes.find(&group.route).map(|node| node.labels.clone()).unwrap_or_default(),
            route_id: group.route.clone(),
            reason: pending.reason,
            folded: pending.folded,
            unsaid_firing: pending.unsaid.firing.len(),
            looked_after,
            alerts: pending.alerts.clone(),
            at: pending.created_at,
            receipt: target.entry.receipt.clone(),
            done: pending.done.clone(),
        };
        let key = target.key.clone();
        if is_news {
            self.persist_target(group, index);
        }
        self.counters.attempts += 1;
        self.timers.set(Timer::Attempt(key.clone()), now + self.settings.attempt_deadline);
        let started = Reason::Delivery(DeliveryReason::Started { attempt });
        self.emit(Subject::Notification { id, target: key }, started);
        self.outputs.push_back(Output::Deliver(Box::new(delivery)));
    }

    pub(crate) fn persist_target(&mut self, group: &Group, index: usize) {
        self.persist(Record::Target(group.targets[index].record()));
    }

    /// Lets those try who waited for a turn that is free by now. What they have to tell may have changed meanwhile.
    pub(crate) fn give_turns(&mut self) {
        while let Some(key) = self.turns.next(self.settings.attempts_max) {
            if let Some(mut group) = self.groups.remove(&key.group) {
                if let Some(index) = group.targets.iter().position(|target| target.key == key) {
                    self.look_at_target(&mut group, index);
                }
                self.put_back(group);
            }
            self.turns.pass(&key);
        }
    }

    /// A retry is due, or an attempt was not answered.
    pub(crate) fn attempt_due(&mut self, key: &TargetKey) {
        let Some(mut group) = self.groups.remove(&key.group) else { return };
        if let Some(index) = group.targets.iter().position(|target| *target.key == *key) {
            let pending = group.targets[index].pending.as_ref();
            if pending.is_some_and(|pending| pending.in_flight) {
                self.counters.attempts_lost += 1;
                let reason = format!("no answer within {}", self.settings.attempt_deadline);
                self.attempt_failed(&mut group, index, None, reason.into());
            } else {
                self.look_at_target(&mut group, index);
            }
        }
        self.put_back(group);
    }

    /// An attempt ended. That a notification is delivered counts whichever attempt says so; that one failed counts only
    /// for the attempt that is under way.
    pub(crate) fn delivered(
        &mut self,
        id: NotificationId,
        attempt: u32,
        outcome: DeliveryOutcome,
        stand_in: Option<String>,
    ) {
        let group = self.notifications.get(&id).cloned().and_then(|key| {
            let group = self.groups.remove(&key.group)?;
            Some((key, group))
        });
        let Some((key, mut group)) = group else {
            self.counters.stale_answers += 1;
            return;
        };
        let found = group.targets.iter().position(|target| target.key == key);
        let Some((index, pending)) = found.and_then(|i| Some((i, group.targets[i].pending.as_ref()?))) else {
            self.groups.insert(group);
            self.counters.stale_answers += 1;
            return;
        };
        let current = pending.in_flight && pending.attempt == attempt;
        let has_arrived = match outcome {
            DeliveryOutcome::Delivered { .. } => true,
            DeliveryOutcome::RejectedInPart { .. } => current,
            DeliveryOutcome::Retry { .. } | DeliveryOutcome::Partly { .. } | DeliveryOutcome::Rejected { .. } => false,
        };
        if let Some(why) = stand_in.filter(|_| has_arrived) {
            let told = pending.firing.iter().chain(pending.resolved.iter()).collect();
            self.say(Arc::clone(&key), id, told, DeliveryReason::StoodIn { why: shortened(&why) });
        }
        match outcome {
            DeliveryOutcome::Delivered { receipt } => {
                self.attempt_delivered(&mut group, index, receipt.into(), None);
            }
            DeliveryOutcome::RejectedInPart { alerts, receipt, reason } if current => {
                let rejected = Some((alerts.into_iter().collect(), reason.into()));
                self.attempt_delivered(&mut group, index, receipt.into(), rejected);
            }
            DeliveryOutcome::Retry { after, reason } if current => {
                self.attempt_failed(&mut group, index, after, reason.into());
            }
            DeliveryOutcome::Partly { done, reason } if current => {
                if let Some(pending) = &mut group.targets[index].pending {
                    pending.done = done.into();
                }
                self.attempt_failed(&mut group, index, None, reason.into());
            }
            DeliveryOutcome::Rejected { reason } if current => {
                self.attempt_rejected(&mut group, index, reason.into());
            }
            DeliveryOutcome::Retry { .. }
            | DeliveryOutcome::Partly { .. }
            | DeliveryOutcome::Rejected { .. }
            | DeliveryOutcome::RejectedInPart { .. } => self.counters.stale_answers += 1,
        }
        if group.targets[index].look_again && !group.targets[index].pending.as_ref().is_some_and(|p| p.in_flight) {
            self.look_at_target(&mut group, index);
        }
        self.put_back(group);
    }

    /// The receiver has all of it, or all but some alerts, of which it did not want to be told.
    fn attempt_delivered(
        &mut self,
        group: &mut Group,
        index: usize,
        receipt: Arc<str>,
        rejected: Option<(FingerprintSet, Arc<str>)>,
    ) {
        let target = &mut group.targets[index];
        let Some(pending) = target.pending.take() else { return };
        if pending.in_flight {
            self.turns.give_back(&target.key);
        }
        // What the receiver has just learnt of may be looked after already, and others since it was told so last.
        let known = &target.entry.firing;
        let is_news = |f| !known.contains(f) || self.is_acknowledged_after(f, target.passed_on);
        let pass_on = pending.firing.iter().any(is_news);
        target.failures = 0;
        target.failing_since = None;
        let (id, passed_on) = (pending.id, pending.reason == NotifyReason::Acknowledgement);
        let all = pending.firing.iter().chain(pending.resolved.iter());
        let is_refused = |f: &Fingerprint| rejected.as_ref().is_some_and(|(alerts, _)| alerts.contains(*f));
        let (refused, told): (Vec<_>, Vec<_>) = all.partition(is_refused);
        match (passed_on, &rejected) {
            (true, _) => target.passed_on = pending.created_at,
            (false, None) => target.entry.delivered(pending.firing, pending.resolved, self.now),
            (false, Some((_, reason))) => {
                let knew = |f: &Fingerprint| target.entry.firing.contains(*f);
                let firing = pending.firing.iter().filter(|f| !is_refused(f) || knew(f)).collect();
                let resolved = pending.resolved.iter().filter(|f| !is_refused(f)).collect();
                let before = target.entry.refused.take();
                target.entry.delivered(firing, resolved, self.now);
                if pending.attempt == 1 && target.send_resolved {
                    // They were refused at once, so the receiver knows no more of them than before.
                    let news = refused.iter().copied().filter(|f| !pending.owed_before.contains(*f));
                    target.entry.owed.remove_all(&news.collect());
                }
                target.entry.refused = before;
                target.entry.refused(pending.firing, pending.resolved, self.now, reason.clone());
            }
        }
        target.entry.receipt = receipt.clone();
        self.counters.deliveries += 1;
        self.arm_repeat(group, index);
        self.finish(group, index, id, told, DeliveryReason::Delivered { receipt });
        if let Some((_, error)) = rejected {
            self.counters.rejections += 1;
            self.say(group.targets[index].key.clone(), id, refused, DeliveryReason::Rejected { error });
        }
        if !passed_on && pass_on {
            self.pass_on_acknowledgement(group, index);
        }
    }

    fn attempt_rejected(&mut self, group: &mut Group, index: usize, reason: Arc<str>) {
        let target = &mut group.targets[index];
        let Some(pending) = target.pending.take() else { return };
        self.turns.give_back(&target.key);
        target.failures = 0;
        target.failing_since = None;
        let told = pending.firing.iter().chain(pending.resolved.iter()).collect::<Vec<_>>();
        if pending.attempt == 1 && target.send_resolved {
            // It was refused at once, so the receiver knows no more than before.
            target.entry.owed = pending.owed_before;
        }
        let id = pending.id;
        if pending.reason != NotifyReason::Acknowledgement {
            target.entry.refused(pending.firing, pending.resolved, self.now, reason.clone());
        }
        self.counters.rejections += 1;
        self.finish(group, index, id, told, DeliveryReason::Rejected { error: reason });
    }

    fn attempt_failed(&mut self, group: &mut Group, index: usize, after: Option<Duration>, error: Arc<str>) {
        let now = self.now;
        let settings = self.settings.clone();
        let target = &mut group.targets[index];
        let Some(pending) = &mut target.pending else { return };
        self.turns.give_back(&target.key);
        let id = pending.id;
        target.failures = target.failures.saturating_add(1);
        let since = *target.failing_since.get_or_insert(now);
        let give_up = if pending.firing.is_empty() { settings.resolved_give_up } else { settings.firing_give_up };
        if now.since(since) > give_up {
            let told: Vec<_> = pending.firing.iter().chain(pending.resolved.iter()).collect();
            // What still fires is told again at the next flush, and with it the ends that are not that old.
            let is_old = |stored: &StoredAlert| {
                let ended = stored.alert.ends_at.map_or(stored.alert.updated_at, |at| at.max(stored.alert.updated_at));
                now.since(ended) > settings.resolved_give_up
            };
            let over = |f: &_| pending.firing.is_empty() || self.alerts.get(*f).is_none_or(is_old);
            target.entry.owed.remove_all(&pending.resolved.iter().filter(over).collect());
            target.pending = None;
            target.failures = 0;
            target.failing_since = None;
            self.counters.given_up += 1;
            return self.finish(group, index, id, told, DeliveryReason::GivenUp { error });
        }
        let seed = StableHash::default().part(id).part(target.failures).finish();
        let backoff = settings.retry.wait(target.failures, seed);
        let asked = after.unwrap_or(Duration::ZERO).min(settings.retry_after_max);
        pending.in_flight = false;
        pending.next_attempt = now + backoff.max(asked).max(Duration::from_millis(1));
        pending.error = error.clone();
        let at = pending.next_attempt;
        let key = target.key.clone();
        self.timers.set(Timer::Attempt(key.clone()), at);
        self.counters.retries += 1;
        self.persist_target(group, index);
        self.emit(Subject::Notification { id, target: key }, Reason::Delivery(DeliveryReason::RetryAt { at, error }));
    }

    /// Writes down how a notification ended.
    fn finish(
        &mut self,
        group: &Group,
        index: usize,
        id: NotificationId,
        told: Vec<Fingerprint>,
        reason: DeliveryReason,
    ) {
        let key = group.targets[index].key.clone();
        self.notifications.remove(&id);
        self.timers.cancel(&Timer::Attempt(key.clone()));
        self.persist_target(group, index);
        self.say(key, id, told, reason);
    }

    /// Says in the histories of alerts what became of telling them.
    fn say(&mut self, key: Arc<TargetKey>, id: NotificationId, alerts: Vec<Fingerprint>, reason: DeliveryReason) {
        let reason = Reason::Delivery(reason);
        let (target, notification) = (Some(key.clone()), Some(id));
        let entry = Arc::new(HistoryEntry { at: self.now, reason: reason.clone(), target, notification });
        for fingerprint in alerts {
            self.note(fingerprint, entry.clone());
        }
        self.emit(Subject::Notification { id, target: key }, reason);
    }
}
