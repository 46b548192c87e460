//! Alert groups: alerts that are told together, and who is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_model::{Alert, Fingerprint, Labels, Timestamp};

use crate::gone::Gone;
use crate::membership::OVERFLOW_LABEL;
use crate::notification_log::Content;
use crate::rate_limit::DIGEST_LABEL;
use crate::{
    FingerprintSet, GroupKey, GroupRecord, Integration, LogEntry, NotificationId, NotifyReason, OutboxEntry, RouteId,
    SuppressReason, TargetKey, TargetRecord,
};

/// Labels by which the engine tells its own groups from those of a route: what a rate limit held back, and what there was
/// no more room for. They are part of the group's key and mean nothing to a reader.
pub const OWN_GROUP_LABELS: [&str; 2] = [DIGEST_LABEL, OVERFLOW_LABEL];

/// An alert group. Its alerts lie in the store; here is who belongs to it and what was told.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: GroupKey,
    /// See [`GroupRecord::since`].
    pub(crate) since: Timestamp,
    pub(crate) route: RouteId,
    pub(crate) receiver: Arc<str>,
    pub(crate) routed_by_plugin: bool,
    pub(crate) labels: Labels,
    pub(crate) members: BTreeMap<Fingerprint, Member>,
    pub(crate) created_at: Timestamp,
    pub(crate) next_flush: Timestamp,
    pub(crate) flushed: bool,
    pub(crate) changed: bool,
    /// See [`GroupRecord::unanswered_since`].
    pub(crate) unanswered_since: Option<Timestamp>,
    /// See [`GroupRecord::escalated`].
    pub(crate) escalated: Vec<Arc<str>>,
    pub(crate) targets: Vec<Target>,
}

/// An alert's place in a group.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// See [`crate::Membership::detached`].
    pub(crate) detached: bool,
    /// Why it was not told at the last flush, so that the history tells each reason once.
    pub(crate) suppressed: Option<Box<SuppressReason>>,
    /// Whether a notification told about it.
    pub(crate) told: bool,
    /// It was snoozed and is not any more, and nobody was told since.
    pub(crate) snooze_ended: bool,
    /// Whether it had ended when the group was looked at last. One that ends and fires again between two looks has fired
    /// all the time, as far as receivers are concerned.
    pub(crate) seen_ended: bool,
}

/// One integration of a receiver, for one group.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) key: Arc<TargetKey>,
    /// See [`GroupRecord::since`].
    pub(crate) since: Timestamp,
    /// Its position in the receiver; absent if it is not defined any more.
    pub(crate) integration: Option<usize>,
    pub(crate) send_resolved: bool,
    /// See [`crate::IntegrationSpec::takes_acknowledgements`].
    pub(crate) takes_acknowledgements: bool,
    /// Whether the group's route sends here; else only promised ends are told.
    pub(crate) current: bool,
    pub(crate) entry: LogEntry,
    /// In a box, because most targets have none.
    pub(crate) pending: Option<Box<Pending>>,
    /// When it was decided to tell it last that somebody looks after what fires; the least time before that. Not kept over
    /// a restart, after which that is told once more with the next notification.
    pub(crate) passed_on: Timestamp,
    /// A flush came by while an attempt was under way, so the target is looked at again when that ends.
    pub(crate) look_again: bool,
    pub(crate) failures: u32,
    pub(crate) failing_since: Option<Timestamp>,
}

/// A notification on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: NotificationId,
    pub(crate) reason: NotifyReason,
    pub(crate) firing: FingerprintSet,
    pub(crate) resolved: FingerprintSet,
    /// Those of these that the receiver knows already and that are not said again.
    pub(crate) unsaid: Content,
    /// How many of its alerts a rate limit had held back.
    pub(crate) folded: usize,
    /// See [`OutboxEntry::done`].
    pub(crate) done: Arc<str>,
    pub(crate) alerts: Arc<[Alert]>,
    pub(crate) created_at: Timestamp,
    pub(crate) attempt: u32,
    /// See [`OutboxEntry::may_be_known`].
    pub(crate) may_be_known: bool,
    pub(crate) in_flight: bool,
    pub(crate) next_attempt: Timestamp,
    pub(crate) error: Arc<str>,
    /// What was owed before its first attempt.
    pub(crate) owed_before: FingerprintSet,
}

impl Group {
    pub(crate) fn record(&self) -> GroupRecord {
        GroupRecord {
            since: self.since,
            key: self.key.clone(),
            route: self.route.clone(),
            receiver: self.receiver.clone(),
            routed_by_plugin: self.routed_by_plugin,
            labels: self.labels.clone(),
            created_at: self.created_at,
            next_flush: self.next_flush,
            flushed: self.flushed,
            changed: self.changed,
            unanswered_since: self.unanswered_since,
            escalated: self.escalated.clone(),
        }
    }

    pub(crate) fn restored(record: GroupRecord) -> Group {
        Group {
            since: record.since,
            key: record.key,
            route: record.route,
            receiver: record.receiver,
            routed_by_plugin: record.routed_by_plugin,
            labels: record.labels,
            members: BTreeMap::new(),
            created_at: record.created_at,
            next_flush: record.next_flush,
            flushed: record.flushed,
            changed: record.changed,
            unanswered_since: record.unanswered_since,
            escalated: record.escalated,
            targets: Vec::new(),
        }
    }

    /// Whether something is still to be told about an alert, or an attempt to tell it is under way.
    pub(crate) fn awaits(&self, fingerprint: Fingerprint) -> bool {
        self.targets.iter().any(|target| target.awaits(fingerprint))
    }

    /// Makes the receivers count as not knowing that alerts fire. What is to be kept is returned.
    pub(crate) fn count_as_unknown(&mut self, alerts: &FingerprintSet) -> Vec<TargetRecord> {
        let knew = |target: &mut Target| target.entry.firing.remove_all(alerts).then(|| target.record());
        self.targets.iter_mut().filter_map(knew).collect()
    }

    /// Whether nothing is left to be done here.
    pub(crate) fn is_over(&self) -> bool {
        self.members.is_empty() && self.targets.iter().all(|target| target.pending.is_none())
    }

    /// The target of this identity; a new one, of which nothing is known, if there is none.
    pub(crate) fn target_mut(&mut self, key: TargetKey) -> Option<&mut Target> {
        if !self.targets.iter().any(|target| *target.key == key) {
            self.targets.reserve_exact(1);
            self.targets.push(Target::new(Arc::new(key), self.since));
            return self.targets.last_mut();
        }
        self.targets.iter_mut().find(|target| *target.key == key)
    }

    /// Brings the targets in line with the receivers as they are defined now.
    ///
    /// A target that is no longer current stays for as long as it has a promise to keep and can be reached, or may come
    /// back. Those that are dropped are returned.
    pub(crate) fn sync_targets(
        &mut self,
        receivers: &BTreeMap<Arc<str>, Vec<Integration>>,
        gone: &Gone,
    ) -> Vec<Target> {
        let integrations = |receiver: &str| receivers.get(receiver).map_or(&[][..], Vec::as_slice);
        for target in &mut self.targets {
            target.current = false;
            let own = integrations(&target.key.receiver);
            target.integration = own.iter().position(|own| own.key == target.key.integration);
            if let Some(integration) = target.integration.and_then(|position| own.get(position)) {
                target.send_resolved = integration.send_resolved;
                target.takes_acknowledgements = integration.takes_acknowledgements;
                if !integration.send_resolved {
                    target.entry.owed = FingerprintSet::new();
                }
                target.current = target.key.receiver == self.receiver || self.escalated.contains(&target.key.receiver);
            }
        }
        for receiver in std::iter::once(&self.receiver).chain(&self.escalated) {
            for (position, integration) in integrations(receiver).iter().enumerate() {
                let known = |t: &Target| t.key.receiver == *receiver && t.key.integration == integration.key;
                if !self.targets.iter().any(known) {
                    let (group, receiver) = (self.key.clone(), receiver.clone());
                    let key = TargetKey { group, receiver, integration: integration.key.clone() };
                    let mut target = Target::new(Arc::new(key), self.since);
                    target.integration = Some(position);
                    target.send_resolved = integration.send_resolved;
                    target.takes_acknowledgements = integration.takes_acknowledgements;
                    target.current = true;
                    // Most groups tell one integration, and a target is large.
                    self.targets.reserve_exact(1);
                    self.targets.push(target);
                }
            }
        }
        let is_kept = |target: &Target| {
            let promises = !target.entry.owed.is_empty() || target.pending.is_some();
            target.current || (target.integration.is_some() && promises) || target.is_one_of(gone)
        };
        let dropped = self.targets.extract_if(.., |target| !is_kept(target)).collect();
        // The same order after a restart, in which they are found by their records.
        let own = &self.receiver;
        self.targets.sort_by(|a, b| {
            let place =
                |t: &Target| (t.integration.is_none(), t.key.receiver != *own, t.key.receiver.clone(), t.integration);
            place(a).cmp(&place(b))
        });
        dropped
    }
}

impl Target {
    pub(crate) fn new(key: Arc<TargetKey>, since: Timestamp) -> Target {
        Target {
            key,
            since,
            integration: None,
            send_resolved: false,
            takes_acknowledgements: false,
            current: false,
            entry: LogEntry::default(),
            pending: None,
            passed_on: Timestamp::MIN,
            look_again: false,
            failures: 0,
            failing_since: None,
        }
    }

    /// Whether it was told that something fires, or may have been, and not yet that this has ended.
    pub(crate) fn knows_something(&self) -> bool {
        !self.entry.owed.is_empty() || !self.entry.firing.is_empty()
    }

    /// Whether it knows something, and its integration is one of those that may come back.
    pub(crate) fn is_one_of(&self, gone: &Gone) -> bool {
        let own = gone.get(&self.key.receiver).into_iter().flatten();
        self.knows_something() && own.into_iter().any(|gone| gone.integration.key == self.key.integration)
    }

    /// Whether the receiver was told that the alert fires or ended, or may have been.
    pub(crate) fn knows(&self, fingerprint: Fingerprint) -> bool {
        let entry = &self.entry;
        entry.firing.contains(fingerprint) || entry.resolved.contains(fingerprint) || entry.owed.contains(fingerprint)
    }

    /// Whether a notification waits that says nothing but that somebody looks after what fires.
    pub(crate) fn waits_to_pass_on(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.reason == NotifyReason::Acknowledgement)
    }

    /// Whether something is still to be told to it about an alert, or an attempt to tell it is under way.
    pub(crate) fn awaits(&self, fingerprint: Fingerprint) -> bool {
        let told = |pending: &Pending| pending.firing.contains(fingerprint) || pending.resolved.contains(fingerprint);
        self.entry.owed.contains(fingerprint) || self.pending.as_deref().is_some_and(told)
    }

    /// What is to be kept about it.
    pub(crate) fn record(&self) -> TargetRecord {
        let pending = self.pending.as_ref().map(|pending| OutboxEntry {
            id: pending.id,
            reason: pending.reason,
            alerts: pending.alerts.clone(),
            created_at: pending.created_at,
            attempt: pending.attempt,
            may_be_known: pending.may_be_known,
            failures: self.failures,
            failing_since: self.failing_since,
            next_attempt: pending.next_attempt,
            error: pending.error.clone(),
            unsaid_firing: pending.unsaid.firing.clone(),
            unsaid_resolved: pending.unsaid.resolved.clone(),
            folded: pending.folded,
            done: pending.done.clone(),
        });
        TargetRecord { since: self.since, target: (*self.key).clone(), entry: self.entry.clone(), pending }
    }

    /// Takes up a notification again after a restart. Whether its attempt got through is not known, so the receiver may
    /// know it.
    pub(crate) fn restore_pending(&mut self, pending: OutboxEntry) {
        let unsaid = Content { firing: pending.unsaid_firing, resolved: pending.unsaid_resolved };
        let of = |firing: bool, unsaid: &FingerprintSet| {
            let alerts = pending.alerts.iter().filter(|alert| alert.ends_at.is_none() == firing);
            alerts.map(Alert::fingerprint).chain(unsaid.iter()).collect::<FingerprintSet>()
        };
        let (firing, resolved) = (of(true, &unsaid.firing), of(false, &unsaid.resolved));
        if pending.may_be_known {
            self.entry.attempted(&firing, &resolved, true);
        }
        self.failures = pending.failures;
        self.failing_since = pending.failing_since;
        self.pending = Some(Box::new(Pending {
            id: pending.id,
            reason: pending.reason,
            firing,
            resolved,
            unsaid,
            folded: pending.folded,
            done: pending.done,
            alerts: pending.alerts,
            created_at: pending.created_at,
            attempt: pending.attempt.max(u32::from(pending.may_be_known)),
            may_be_known: pending.may_be_known,
            in_flight: false,
            next_attempt: pending.next_attempt,
            error: pending.error,
            owed_before: FingerprintSet::new(),
        }));
    }
}
