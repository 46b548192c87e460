//! What survives a restart.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::{fmt, ptr};

use watchfire_model::{Alert, Fingerprint, Labels, Matcher, RuleId, Timestamp};
use watchfire_plugin::StateWrite;

use crate::{
    Acknowledgement, FingerprintSet, GoneIntegration, GroupKey, HistoryEntry, Instance, Integration, NotificationId,
    NotifyReason, RouteId, Silence, SimilarKey, TargetKey,
};

/// One durable fact: written under its key, replacing what was there.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An instance of an alerting rule.
    Instance(InstanceRecord),
    /// An alert in dispatch.
    Alert(AlertRecord),
    /// An alert group and its timer.
    Group(GroupRecord),
    /// A silence.
    Silence(Silence),
    /// What a receiver knows about a group, and the notification on its way to it.
    Target(TargetRecord),
    /// The identities of the route nodes.
    Routes(RoutesRecord),
    /// The identities of the receivers' integrations.
    Integrations(IntegrationsRecord),
    /// When a receiver was last told of an alert whose severity has a rate limit.
    RateLimit(RateLimitRecord),
    /// What was decided about an alert.
    History(HistoryRecord),
    /// Up to when the times of a rule's cron schedule are done with.
    Schedule(ScheduleRecord),
    /// One key of what a rule's plugin remembers. The engine writes it on behalf of the plugin and ignores it when it
    /// restores; whoever opens the plugin reads it.
    PluginState(PluginStateRecord),
    /// Nothing is kept under this key any more.
    Deleted(RecordKey),
}

/// Under what a record is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordKey {
    /// The kind of the record, a stable word.
    pub kind: &'static str,
    /// The key within the kind. Shared, because the store passes it on.
    pub key: Arc<str>,
}

/// An instance of an alerting rule.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceRecord {
    /// The rule.
    pub rule: RuleId,
    /// Its instance.
    pub instance: Instance,
}

/// An alert in dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    /// Since when it is kept, [`Timestamp::EPOCH`] where that is not known. It is a part of the key, so that what came
    /// together lies together in the store: keys without an order would touch a page for every alert.
    pub since: Timestamp,
    /// The alert; of a rule's alert `ends_at` is absent while it fires.
    pub alert: Alert,
    /// The rules that say that it fires; empty for an alert from outside.
    pub rules: Vec<RuleId>,
    /// Whether its end was noticed.
    pub resolved: bool,
    /// The groups that it belongs to. They are kept here and not with the group, so that an alert that joins a group of
    /// thousands costs one small record.
    pub memberships: Vec<Membership>,
    /// Who looks after it.
    pub acknowledgement: Option<Acknowledgement>,
    /// When it began to fire lately, oldest first; only where a route damps what flaps.
    pub begins: Vec<Timestamp>,
}

/// An alert group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRecord {
    /// Since when it is kept: a part of the key, as that of [`AlertRecord::since`].
    pub since: Timestamp,
    /// The identity.
    pub key: GroupKey,
    /// The route node.
    pub route: RouteId,
    /// The receiver.
    pub receiver: Arc<str>,
    /// Whether a router plugin chose the receiver or the group.
    pub routed_by_plugin: bool,
    /// The labels by which its alerts are grouped.
    pub labels: Labels,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it looks next whether there is something to tell.
    pub next_flush: Timestamp,
    /// Whether it has looked at least once.
    pub flushed: bool,
    /// Whether something changed since it looked last.
    pub changed: bool,
    /// Since when somebody should acknowledge; absent while nothing fires that nobody looks after.
    pub unanswered_since: Option<Timestamp>,
    /// The receivers that are told because nobody acknowledged.
    pub escalated: Vec<Arc<str>>,
}

/// An alert's membership in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: GroupKey,
    /// Whether the alert goes elsewhere by now and only its end is still to be told here.
    pub detached: bool,
}

/// What one integration of a receiver knows about a group, and the notification on its way to it: one record, because
/// whatever ends the notification changes what is known.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetRecord {
    /// Since when the group is kept: a part of the key, as that of [`AlertRecord::since`].
    pub since: Timestamp,
    /// Who knows it about which group.
    pub target: TargetKey,
    /// What it knows.
    pub entry: LogEntry,
    /// What it is told next.
    pub pending: Option<OutboxEntry>,
}

/// An entry of the notification log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogEntry {
    /// The alerts that fired in the last delivered notification.
    pub firing: FingerprintSet,
    /// The alerts that had ended in it.
    pub resolved: FingerprintSet,
    /// The alerts of which the receiver was told, or may have been told, that they fire, and not yet that they ended.
    pub owed: FingerprintSet,
    /// When a notification was last delivered; absent if none was.
    pub notified_at: Option<Timestamp>,
    /// How many notifications were made for this target.
    pub sequence: u64,
    /// What the receiver answered last.
    pub receipt: Arc<str>,
    /// What the receiver refused last, if it accepted nothing since.
    pub refused: Option<Box<Refusal>>,
}

/// Content that a receiver refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The firing alerts of the refused notification.
    pub firing: FingerprintSet,
    /// The ended ones.
    pub resolved: FingerprintSet,
    /// When it was refused first. Not kept, since a start forgets refusals as every reload does.
    pub since: Timestamp,
    /// When it was refused last.
    pub at: Timestamp,
    /// What the receiver said then.
    pub reason: Arc<str>,
}

/// A notification that is not delivered yet.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEntry {
    /// The notification.
    pub id: NotificationId,
    /// Why it is sent.
    pub reason: NotifyReason,
    /// The alerts as they are to be told.
    pub alerts: Arc<[Alert]>,
    /// When it was decided to send it.
    pub created_at: Timestamp,
    /// The number of the last attempt that was started, as far as it is written down, 0 if none was.
    pub attempt: u32,
    /// Whether the receiver may have been told: it was tried, or nothing but its turn kept it from being tried. That its
    /// turn came is not written down, because many wait for theirs only in a storm, which is when writing costs most.
    pub may_be_known: bool,
    /// How often delivery to this target failed in a row, including superseded notifications.
    pub failures: u32,
    /// When delivery to this target began to fail, for giving up.
    pub failing_since: Option<Timestamp>,
    /// When it is to be tried next, or when the attempt under way was started.
    pub next_attempt: Timestamp,
    /// What went wrong last; empty if nothing did.
    pub error: Arc<str>,
    /// Firing alerts that the receiver knows and that are not said again.
    pub unsaid_firing: FingerprintSet,
    /// Ended alerts that the receiver knows and that are not said again.
    pub unsaid_resolved: FingerprintSet,
    /// How many of its alerts a rate limit had held back.
    pub folded: usize,
    /// What of it is done, in the channel's own words; empty if nothing is.
    pub done: Arc<str>,
}

/// The identities of the route nodes, so that they are found again in an edited configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutesRecord {
    /// The nodes, depth first.
    pub routes: Vec<RouteIdentity>,
}

/// What a route node is recognised by.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteIdentity {
    /// The identity.
    pub id: RouteId,
    /// The identity of its parent; absent for the root.
    pub parent: Option<RouteId>,
    /// The name that the user gave it.
    pub name: Option<String>,
    /// Its matchers, sorted.
    pub matchers: Vec<Matcher>,
    /// Its receiver.
    pub receiver: Arc<str>,
}

/// The identities of the receivers' integrations, so that they are found again in an edited configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntegrationsRecord {
    /// By receiver, in the order of the configuration.
    pub receivers: BTreeMap<Arc<str>, Vec<Integration>>,
    /// By receiver, those that are gone and still know something.
    pub gone: BTreeMap<Arc<str>, Vec<GoneIntegration>>,
}

/// What was decided about an alert, also for a while after it was forgotten.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRecord {
    /// Since when it is kept: a part of the key, as that of [`AlertRecord::since`].
    pub since: Timestamp,
    /// The alert.
    pub fingerprint: Fingerprint,
    /// The lines, oldest first.
    pub entries: Vec<Arc<HistoryEntry>>,
}

/// When a receiver was last told of an alert whose severity has a rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitRecord {
    /// Who was told of what.
    pub key: SimilarKey,
    /// When.
    pub told_at: Timestamp,
}

/// Up to when the times of a rule's cron schedule are done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRecord {
    /// The rule.
    pub rule: RuleId,
    /// The time of an evaluation: its last one for a time of its schedule, or the first while there was none.
    pub until: Timestamp,
}

/// One key of what a rule's plugin remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginStateRecord {
    /// The rule.
    pub rule: RuleId,
    /// The key and its value, or its deletion.
    pub write: StateWrite,
}

impl Record {
    /// The kind of [`Record::Instance`].
    pub const INSTANCE: &'static str = "instance";
    /// The kind of [`Record::Alert`].
    pub const ALERT: &'static str = "alert";
    /// The kind of [`Record::Group`].
    pub const GROUP: &'static str = "group";
    /// The kind of [`Record::Silence`].
    pub const SILENCE: &'static str = "silence";
    /// The kind of [`Record::Target`].
    pub const TARGET: &'static str = "target";
    /// The kind of [`Record::Routes`].
    pub const ROUTES: &'static str = "routes";
    /// The kind of [`Record::Integrations`].
    pub const INTEGRATIONS: &'static str = "integrations";
    /// The kind of [`Record::History`].
    pub const HISTORY: &'static str = "history";
    /// The kind of [`Record::RateLimit`].
    pub const RATE_LIMIT: &'static str = "rate_limit";
    /// The kind of [`Record::Schedule`].
    pub const SCHEDULE: &'static str = "schedule";
    /// The kind of [`Record::PluginState`].
    pub const PLUGIN_STATE: &'static str = "plugin_state";

    /// Under what it is kept.
    pub fn key(&self) -> RecordKey {
        match self {
            Record::Instance(r) => RecordKey::instance(r.rule, r.instance.labels.fingerprint()),
            Record::Alert(r) => RecordKey::alert(r.since, r.alert.fingerprint()),
            Record::Group(r) => RecordKey::group(r.since, &r.key),
            Record::Silence(r) => RecordKey { kind: Record::SILENCE, key: r.id.as_str().into() },
            Record::Target(r) => RecordKey::target(r.since, &r.target),
            Record::Routes(_) => RecordKey { kind: Record::ROUTES, key: "".into() },
            Record::Integrations(_) => RecordKey { kind: Record::INTEGRATIONS, key: "".into() },
            Record::History(r) => RecordKey::history(r.since, r.fingerprint),
            Record::RateLimit(r) => RecordKey::rate_limit(&r.key),
            Record::Schedule(r) => RecordKey::schedule(r.rule),
            Record::PluginState(r) => {
                RecordKey { kind: Record::PLUGIN_STATE, key: format!("{}/{}", r.rule, r.write.key).into() }
            }
            Record::Deleted(key) => key.clone(),
        }
    }
}

impl RecordKey {
    pub(crate) fn instance(rule: RuleId, fingerprint: Fingerprint) -> RecordKey {
        RecordKey { kind: Record::INSTANCE, key: format!("{rule}/{fingerprint}").into() }
    }

    /// Of a time and identities as hexadecimal digits. Several keys are made for each notification, so that it matters how.
    fn since<const N: usize>(kind: &'static str, since: Timestamp, identity: [u64; N]) -> RecordKey {
        let mut key = Digits { text: [0; KEY_BYTES], length: 0 };
        // Keys did not always begin with a time.
        if since != Timestamp::EPOCH {
            key.number(since.as_millis().cast_unsigned(), 12);
            key.put(b"/");
        }
        identity.iter().for_each(|part| key.number(*part, 16));
        RecordKey { kind, key: key.as_str().into() }
    }

    pub(crate) fn alert(since: Timestamp, fingerprint: Fingerprint) -> RecordKey {
        RecordKey::since(Record::ALERT, since, [fingerprint.0])
    }

    pub(crate) fn group(since: Timestamp, key: &GroupKey) -> RecordKey {
        RecordKey::since(Record::GROUP, since, [key.hash()])
    }

    pub(crate) fn target(since: Timestamp, target: &TargetKey) -> RecordKey {
        RecordKey::since(Record::TARGET, since, [target.group.hash(), target.hash()])
    }

    pub(crate) fn history(since: Timestamp, fingerprint: Fingerprint) -> RecordKey {
        RecordKey::since(Record::HISTORY, since, [fingerprint.0])
    }

    pub(crate) fn rate_limit(key: &SimilarKey) -> RecordKey {
        let key = format!("{:?} {:?} {:?}", key.receiver, key.name, key.severity);
        RecordKey { kind: Record::RATE_LIMIT, key: key.into() }
    }

    pub(crate) fn schedule(rule: RuleId) -> RecordKey {
        RecordKey { kind: Record::SCHEDULE, key: rule.to_string().into() }
    }
}

impl PartialOrd for RecordKey {
    fn partial_cmp(&self, other: &RecordKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RecordKey {
    /// By kind and by key. What is decided at one time is sorted by them for each commit, so that it matters that most
    /// kinds are the same word at the same place.
    fn cmp(&self, other: &RecordKey) -> Ordering {
        let kind = if ptr::eq(self.kind, other.kind) { Ordering::Equal } else { self.kind.cmp(other.kind) };
        kind.then_with(|| self.key.cmp(&other.key))
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// The longest key: a time, a slash and two identities.
const KEY_BYTES: usize = 16 + 1 + 2 * 16;

/// A key as it is written: a time, a slash and at most two identities, in a place of its own, so that the key itself is all
/// that takes memory.
struct Digits {
    text: [u8; KEY_BYTES],
    length: usize,
}

impl Digits {
    fn put(&mut self, text: &[u8]) {
        self.text[self.length..][..text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    /// A number in at least so many hexadecimal digits.
    fn number(&mut self, number: u64, digits_min: u32) {
        let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(digits_min) as usize;
        let mut text = [0; 16];
        for (place, digit) in text.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * place) & 15) as usize];
        }
        self.put(&text[text.len() - digits..]);
    }

    fn as_str(&self) -> &str {
        // All of them are ASCII.
        str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_time_and_an_identity_in_digits() {
        for millis in [0, 1, 0x0001_a1fe_ab33_2100, i64::MAX, i64::MIN, -1] {
            for fingerprint in [0, 0x0394_2301_1c57_6f91, u64::MAX] {
                let (since, fingerprint) = (Timestamp::from_millis(millis), Fingerprint(fingerprint));
                let time = if millis == 0 { String::new() } else { format!("{millis:012x}/") };
                assert_eq!(*RecordKey::alert(since, fingerprint).key, *format!("{time}{fingerprint}"));
            }
        }
    }
}
