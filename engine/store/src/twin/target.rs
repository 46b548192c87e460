//! What a receiver knows about a group, and the notification on its way to it. Both had rows of their own before, which
//! are read and become one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use watchfire_alerting::{
    FingerprintSet, GroupKey, IntegrationKey, LogEntry, NotificationId, NotifyReason, OutboxEntry, Refusal, TargetKey,
    TargetRecord,
};
use watchfire_model as model;
use watchfire_model::Fingerprint;

use super::v1::Alert;
use super::values::{Millis, fingerprints, is_default};

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
            ordinal: key.integration.ordinal,
        }
    }
}

impl From<Target> for TargetKey {
    fn from(twin: Target) -> TargetKey {
        let integration = IntegrationKey { kind: twin.kind, ordinal: twin.ordinal };
        TargetKey { group: GroupKey::from_text(twin.group), receiver: twin.receiver, integration }
    }
}

/// The row of a [`TargetRecord`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TargetRow<'a> {
    since: Millis,
    target: Target,
    entry: Entry,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<Pending<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    firing: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resolved: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    owed: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notified_at: Option<Millis>,
    sequence: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    receipt: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<RefusalTwin>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RefusalTwin {
    firing: Vec<u64>,
    resolved: Vec<u64>,
    at: Millis,
    reason: Arc<str>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pending<'a> {
    id: String,
    reason: String,
    alerts: Vec<Alert<'a>>,
    created_at: Millis,
    attempt: u32,
    /// Absent where each attempt was written down.
    #[serde(default)]
    may_be_known: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<Millis>,
    next_attempt: Millis,
    #[serde(default, skip_serializing_if = "is_default")]
    error: Arc<str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unsaid_firing: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unsaid_resolved: Vec<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    folded: usize,
}

impl<'a> From<&'a TargetRecord> for TargetRow<'a> {
    fn from(record: &'a TargetRecord) -> TargetRow<'a> {
        TargetRow {
            since: record.since.into(),
            target: (&record.target).into(),
            entry: (&record.entry).into(),
            pending: record.pending.as_ref().map(Pending::from),
        }
    }
}

impl TryFrom<TargetRow<'_>> for TargetRecord {
    type Error = String;

    fn try_from(twin: TargetRow<'_>) -> Result<TargetRecord, String> {
        let pending = twin.pending.map(OutboxEntry::try_from).transpose()?;
        Ok(TargetRecord { since: twin.since.into(), target: twin.target.into(), entry: twin.entry.into(), pending })
    }
}

impl From<&LogEntry> for Entry {
    fn from(entry: &LogEntry) -> Entry {
        let refusal = |refusal: &Refusal| RefusalTwin {
            firing: fingerprints(refusal.firing.iter()),
            resolved: fingerprints(refusal.resolved.iter()),
            at: refusal.at.into(),
            reason: refusal.reason.clone(),
        };
        Entry {
            firing: fingerprints(entry.firing.iter()),
            resolved: fingerprints(entry.resolved.iter()),
            owed: fingerprints(entry.owed.iter()),
            notified_at: entry.notified_at.map(Millis::from),
            sequence: entry.sequence,
            receipt: entry.receipt.clone(),
            refused: entry.refused.as_ref().map(refusal),
        }
    }
}

impl From<Entry> for LogEntry {
    fn from(twin: Entry) -> LogEntry {
        let refusal = |twin: RefusalTwin| Refusal {
            firing: set(twin.firing),
            resolved: set(twin.resolved),
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
            refused: twin.refused.map(refusal),
        }
    }
}

impl<'a> From<&'a OutboxEntry> for Pending<'a> {
    fn from(entry: &'a OutboxEntry) -> Pending<'a> {
        Pending {
            id: entry.id.to_string(),
            reason: entry.reason.as_str().to_owned(),
            alerts: entry.alerts.iter().map(Alert::from).collect(),
            created_at: entry.created_at.into(),
            attempt: entry.attempt,
            may_be_known: Some(entry.may_be_known),
            failures: entry.failures,
            failing_since: entry.failing_since.map(Millis::from),
            next_attempt: entry.next_attempt.into(),
            error: entry.error.clone(),
            unsaid_firing: fingerprints(entry.unsaid_firing.iter()),
            unsaid_resolved: fingerprints(entry.unsaid_resolved.iter()),
            folded: entry.folded,
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
