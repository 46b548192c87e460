//! The first version of what a receiver knows about a group, and of the notification on its way to it. Both had rows of
//! their own before, which are read and become one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use watchfire_alerting::{
    FingerprintSet, GroupKey, IntegrationKey, LogEntry, NotificationId, NotifyReason, OutboxEntry, Refusal, TargetKey,
    TargetRecord,
};
use watchfire_model as model;
use watchfire_model::Fingerprint;

use super::v1::Alert;
use super::values::Millis;

fn set(numbers: Vec<u64>) -> FingerprintSet {
    numbers.into_iter().map(Fingerprint).collect()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Target {
    group: Arc<str>,
    receiver: Arc<str>,
    kind: Arc<str>,
    ordinal: u32,
}

impl From<&TargetKey> for Target {
    fn from(key: &TargetKey) -> Target {
        Target {
            group: key.group.text(),
            receiver: key.receiver.clone(),
            kind: key.integration.kind.clone(),
            ordinal: key.integration.number,
        }
    }
}

impl From<Target> for TargetKey {
    fn from(twin: Target) -> TargetKey {
        let integration = IntegrationKey { kind: twin.kind, number: twin.ordinal };
        TargetKey { group: GroupKey::from_text(twin.group), receiver: twin.receiver, integration }
    }
}

/// The row of a [`TargetRecord`].
#[derive(Debug, Deserialize)]
pub(super) struct TargetRow<'a> {
    since: Millis,
    target: Target,
    entry: Entry,
    #[serde(default)]
    pending: Option<Pending<'a>>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    firing: Vec<u64>,
    #[serde(default)]
    resolved: Vec<u64>,
    #[serde(default)]
    owed: Vec<u64>,
    #[serde(default)]
    notified_at: Option<Millis>,
    sequence: u64,
    #[serde(default)]
    receipt: Arc<str>,
    #[serde(default)]
    refused: Option<RefusalTwin>,
}

#[derive(Debug, Deserialize)]
struct RefusalTwin {
    firing: Vec<u64>,
    resolved: Vec<u64>,
    at: Millis,
    reason: Arc<str>,
}

#[derive(Debug, Deserialize)]
struct Pending<'a> {
    id: String,
    reason: String,
    alerts: Vec<Alert<'a>>,
    created_at: Millis,
    attempt: u32,
    /// Absent where each attempt was written down.
    #[serde(default)]
    may_be_known: Option<bool>,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    failing_since: Option<Millis>,
    next_attempt: Millis,
    #[serde(default)]
    error: Arc<str>,
    #[serde(default)]
    unsaid_firing: Vec<u64>,
    #[serde(default)]
    unsaid_resolved: Vec<u64>,
    #[serde(default)]
    folded: usize,
}

impl TryFrom<TargetRow<'_>> for TargetRecord {
    type Error = String;

    fn try_from(twin: TargetRow<'_>) -> Result<TargetRecord, String> {
        let pending = twin.pending.map(OutboxEntry::try_from).transpose()?;
        Ok(TargetRecord { since: twin.since.into(), target: twin.target.into(), entry: twin.entry.into(), pending })
    }
}

impl From<Entry> for LogEntry {
    fn from(twin: Entry) -> LogEntry {
        let refusal = |twin: RefusalTwin| Refusal {
            firing: set(twin.firing),
            resolved: set(twin.resolved),
            since: twin.at.into(),
            at: twin.at.into(),
            reason: twin.reason,
        };
        LogEntry {
            firing: set(twin.firing),
            resolved: set(twin.resolved),
            owed: set(twin.owed),
            notified_at: twin.notified_at.map(Into::into),
            sequence: twin.sequence,
            receipt: twin.receipt,
            refused: twin.refused.map(refusal).map(Box::new),
        }
    }
}

impl TryFrom<Pending<'_>> for OutboxEntry {
    type Error = String;

    fn try_from(twin: Pending<'_>) -> Result<OutboxEntry, String> {
        let id = NotificationId::parse(&twin.id).ok_or_else(|| format!("{:?} is no notification id", twin.id))?;
        let reason = NotifyReason::parse(&twin.reason).ok_or_else(|| format!("{:?} is no reason", twin.reason))?;
        Ok(OutboxEntry {
            id,
            reason,
            alerts: twin.alerts.into_iter().map(model::Alert::from).collect(),
            created_at: twin.created_at.into(),
            attempt: twin.attempt,
            may_be_known: twin.may_be_known.unwrap_or(twin.attempt > 0),
            failures: twin.failures,
            failing_since: twin.failing_since.map(Into::into),
            next_attempt: twin.next_attempt.into(),
            error: twin.error,
            unsaid_firing: set(twin.unsaid_firing),
            unsaid_resolved: set(twin.unsaid_resolved),
            folded: twin.folded,
            done: "".into(),
        })
    }
}

/// What a receiver knows, in a row of its own.
#[derive(Debug, Deserialize)]
pub(super) struct Log {
    #[serde(default)]
    since: Millis,
    target: Target,
    #[serde(flatten)]
    entry: Entry,
}

/// A notification on its way, in a row of its own.
#[derive(Debug, Deserialize)]
pub(super) struct Outbox {
    #[serde(default)]
    since: Millis,
    target: Target,
    #[serde(flatten)]
    pending: Pending<'static>,
}

impl From<Log> for TargetRecord {
    fn from(twin: Log) -> TargetRecord {
        TargetRecord { since: twin.since.into(), target: twin.target.into(), entry: twin.entry.into(), pending: None }
    }
}

impl TryFrom<Outbox> for TargetRecord {
    type Error = String;

    fn try_from(twin: Outbox) -> Result<TargetRecord, String> {
        // What the receiver knew was written when a notification had ended, so it did not count this one.
        let entry = LogEntry { sequence: 1, ..LogEntry::default() };
        let pending = Some(OutboxEntry::try_from(twin.pending)?);
        Ok(TargetRecord { since: twin.since.into(), target: twin.target.into(), entry, pending })
    }
}
