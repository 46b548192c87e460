//! The second version of the kinds that there are many of: instances, alerts, groups, what receivers know, histories.
//!
//! Each is written and read in one order. What a later version adds comes last and is read where a row is of that version.

use std::sync::Arc;

use watchfire_alerting::{
    Acknowledgement, AlertRecord, GroupRecord, HistoryEntry, HistoryRecord, Instance, InstanceRecord, InstanceState,
    IntegrationKey, LogEntry, Membership, NotifyReason, OutboxEntry, Reason, Refusal, RouteId, TargetKey, TargetRecord,
};
use watchfire_model::Alert;

use super::packed::{PackedError, Reader, Writer};

type Read<T> = Result<T, PackedError>;

/// Reads a whole body.
pub(super) fn read<'b, T>(body: &'b [u8], read: impl FnOnce(&mut Reader<'b>) -> Read<T>) -> Read<T> {
    let mut reader = Reader::new(body);
    let record = read(&mut reader)?;
    reader.finish()?;
    Ok(record)
}

/// Writes a whole body.
pub(super) fn write(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.finish()
}

const STATES: [InstanceState; 3] = [InstanceState::Pending, InstanceState::Firing, InstanceState::Resolved];

pub(super) fn write_instance(w: &mut Writer, record: &InstanceRecord) {
    let instance = &record.instance;
    w.rule(record.rule);
    w.labels(&instance.labels);
    w.annotations(&instance.annotations);
    w.float(instance.value);
    w.number(match instance.state {
        InstanceState::Pending => 0,
        InstanceState::Firing => 1,
        InstanceState::Resolved => 2,
    });
    w.time(instance.active_at);
    for time in [instance.fired_at, instance.resolved_at, instance.keep_firing_since, instance.missing_since] {
        w.option(time, Writer::time);
    }
}

pub(super) fn read_instance(r: &mut Reader<'_>) -> Read<InstanceRecord> {
    Ok(InstanceRecord {
        rule: r.rule()?,
        instance: Instance {
            labels: r.labels()?,
            annotations: r.annotations()?,
            value: r.float()?,
            state: *STATES.get(r.small::<usize>()?).ok_or(PackedError::Word("state"))?,
            active_at: r.time()?,
            fired_at: r.option(Reader::time)?,
            resolved_at: r.option(Reader::time)?,
            keep_firing_since: r.option(Reader::time)?,
            missing_since: r.option(Reader::time)?,
        },
    })
}

fn write_one_alert(w: &mut Writer, alert: &Alert) {
    w.labels(&alert.labels);
    w.annotations(&alert.annotations);
    w.time(alert.starts_at);
    w.option(alert.ends_at, Writer::time);
    w.time(alert.updated_at);
    w.flag(alert.timeout);
    w.text(&alert.generator_url);
    w.option(alert.value, Writer::float);
}

fn read_one_alert(r: &mut Reader<'_>) -> Read<Alert> {
    Ok(Alert {
        labels: r.labels()?,
        annotations: r.annotations()?,
        starts_at: r.time()?,
        ends_at: r.option(Reader::time)?,
        updated_at: r.time()?,
        timeout: r.flag()?,
        generator_url: r.shared()?,
        value: r.option(Reader::float)?,
    })
}

pub(super) fn write_alert(w: &mut Writer, record: &AlertRecord) {
    w.time(record.since);
    write_one_alert(w, &record.alert);
    w.count(record.rules.len());
    record.rules.iter().for_each(|rule| w.rule(*rule));
    w.flag(record.resolved);
    w.count(record.memberships.len());
    for membership in &record.memberships {
        w.group(&membership.group);
        w.flag(membership.detached);
    }
    w.option(record.acknowledgement.as_ref(), |w, acknowledgement| {
        w.text(&acknowledgement.by);
        w.text(&acknowledgement.comment);
        w.time(acknowledgement.at);
        w.option(acknowledgement.until, Writer::time);
        w.flag(acknowledgement.snooze);
    });
    w.count(record.begins.len());
    record.begins.iter().for_each(|begin| w.time(*begin));
}

pub(super) fn read_alert(r: &mut Reader<'_>) -> Read<AlertRecord> {
    Ok(AlertRecord {
        since: r.time()?,
        alert: read_one_alert(r)?,
        rules: r.list(Reader::rule)?,
        resolved: r.flag()?,
        memberships: r.list(|r| Ok(Membership { group: r.group()?, detached: r.flag()? }))?,
        acknowledgement: r.option(|r| {
            Ok(Acknowledgement {
                by: r.text()?.to_owned(),
                comment: r.text()?.to_owned(),
                at: r.time()?,
                until: r.option(Reader::time)?,
                snooze: r.flag()?,
            })
        })?,
        begins: r.list(Reader::time)?,
    })
}

pub(super) fn write_group(w: &mut Writer, record: &GroupRecord) {
    w.time(record.since);
    w.group(&record.key);
    w.text(&record.route.0);
    w.text(&record.receiver);
    w.flag(record.routed_by_plugin);
    w.labels(&record.labels);
    w.time(record.created_at);
    w.time(record.next_flush);
    w.flag(record.flushed);
    w.flag(record.changed);
    w.option(record.unanswered_since, Writer::time);
    w.count(record.escalated.len());
    record.escalated.iter().for_each(|receiver| w.text(receiver));
}

pub(super) fn read_group(r: &mut Reader<'_>) -> Read<GroupRecord> {
    Ok(GroupRecord {
        since: r.time()?,
        key: r.group()?,
        route: RouteId(r.shared()?),
        receiver: r.shared()?,
        routed_by_plugin: r.flag()?,
        labels: r.labels()?,
        created_at: r.time()?,
        next_flush: r.time()?,
        flushed: r.flag()?,
        changed: r.flag()?,
        unanswered_since: r.option(Reader::time)?,
        escalated: r.list(Reader::shared)?,
    })
}

fn write_target_key(w: &mut Writer, key: &TargetKey) {
    w.group(&key.group);
    w.text(&key.receiver);
    w.text(&key.integration.kind);
    w.number(key.integration.number.into());
}

fn read_target_key(r: &mut Reader<'_>) -> Read<TargetKey> {
    Ok(TargetKey {
        group: r.group()?,
        receiver: r.shared()?,
        integration: IntegrationKey { kind: r.shared()?, number: r.small()? },
    })
}

pub(super) fn write_target(w: &mut Writer, record: &TargetRecord) {
    w.time(record.since);
    write_target_key(w, &record.target);
    let entry = &record.entry;
    w.fingerprints(&entry.firing);
    w.fingerprints(&entry.resolved);
    w.fingerprints(&entry.owed);
    w.option(entry.notified_at, Writer::time);
    w.number(entry.sequence);
    w.text(&entry.receipt);
    w.option(entry.refused.as_ref(), |w, refused| {
        w.fingerprints(&refused.firing);
        w.fingerprints(&refused.resolved);
        w.time(refused.at);
        w.text(&refused.reason);
    });
    w.option(record.pending.as_ref(), write_pending);
}

/// Reads a row; whether it says what is done of a notification, which came in the third version.
pub(super) fn read_target(r: &mut Reader<'_>, knows_done: bool) -> Read<TargetRecord> {
    Ok(TargetRecord {
        since: r.time()?,
        target: read_target_key(r)?,
        entry: LogEntry {
            firing: r.fingerprints()?,
            resolved: r.fingerprints()?,
            owed: r.fingerprints()?,
            notified_at: r.option(Reader::time)?,
            sequence: r.number()?,
            receipt: r.shared()?,
            refused: r.option(|r| {
                let (firing, resolved, at) = (r.fingerprints()?, r.fingerprints()?, r.time()?);
                Ok(Box::new(Refusal { firing, resolved, since: at, at, reason: r.shared()? }))
            })?,
        },
        pending: r.option(|r| read_pending(r, knows_done))?,
    })
}

fn write_pending(w: &mut Writer, entry: &OutboxEntry) {
    w.notification(entry.id);
    w.text(entry.reason.as_str());
    w.count(entry.alerts.len());
    entry.alerts.iter().for_each(|alert| write_one_alert(w, alert));
    w.time(entry.created_at);
    w.number(entry.attempt.into());
    w.flag(entry.may_be_known);
    w.number(entry.failures.into());
    w.option(entry.failing_since, Writer::time);
    w.time(entry.next_attempt);
    w.text(&entry.error);
    w.fingerprints(&entry.unsaid_firing);
    w.fingerprints(&entry.unsaid_resolved);
    w.count(entry.folded);
    w.text(&entry.done);
}

fn read_pending(r: &mut Reader<'_>, knows_done: bool) -> Read<OutboxEntry> {
    Ok(OutboxEntry {
        id: r.notification()?,
        reason: NotifyReason::parse(r.text()?).ok_or(PackedError::Word("reason of a notification"))?,
        alerts: r.list(read_one_alert)?,
        created_at: r.time()?,
        attempt: r.small()?,
        may_be_known: r.flag()?,
        failures: r.small()?,
        failing_since: r.option(Reader::time)?,
        next_attempt: r.time()?,
        error: r.shared()?,
        unsaid_firing: r.fingerprints()?,
        unsaid_resolved: r.fingerprints()?,
        folded: r.small()?,
        done: if knows_done { r.shared()? } else { "".into() },
    })
}

/// Target and notification of a line are those of the line before, as those of a decision and its outcome are.
const AS_BEFORE: u64 = 0;
/// They follow, each where it is.
const OWN: u64 = 1;

pub(super) fn write_history(w: &mut Writer, record: &HistoryRecord) {
    w.time(record.since);
    w.fingerprint(record.fingerprint);
    w.count(record.entries.len());
    let mut before = (None, None);
    for entry in &record.entries {
        w.time(entry.at);
        w.text(entry.reason.word());
        let parts = entry.reason.parts();
        w.count(parts.len());
        parts.iter().for_each(|part| w.text(part));
        let about = (entry.target.as_deref(), entry.notification);
        if about == before {
            w.number(AS_BEFORE);
        } else {
            w.number(OWN);
            w.option(about.0, write_target_key);
            w.option(about.1, Writer::notification);
        }
        before = about;
    }
}

pub(super) fn read_history(r: &mut Reader<'_>) -> Read<HistoryRecord> {
    let (since, fingerprint) = (r.time()?, r.fingerprint()?);
    let mut before = (None, None);
    let entries = r.list(|r| {
        let (at, word) = (r.time()?, r.text()?);
        let parts: Vec<String> = r.list(|r| r.text().map(str::to_owned))?;
        let reason = Reason::from_parts(word, &parts).ok_or(PackedError::Word("line of a history"))?;
        match r.number()? {
            AS_BEFORE => {}
            OWN => before = (r.option(read_target_key)?.map(Arc::new), r.option(Reader::notification)?),
            _ => return Err(PackedError::Word("mark in a line of a history")),
        }
        let (target, notification) = before.clone();
        Ok(Arc::new(HistoryEntry { at, reason, target, notification }))
    })?;
    Ok(HistoryRecord { since, fingerprint, entries })
}
