//! Records as rows: the serialised twins of what `alerting` keeps.
//!
//! Each kind has a version of its own. A version that was shipped is read for ever; a changed twin gets a new version
//! beside the old one. Kinds of which there are many are packed, because most of what a notification costs is writing
//! them. Bodies of the others are JSON, so that a person can read them and a field can be added with a default, but for
//! plugin state, whose body is the value itself.

mod attempt;
mod history;
mod packed;
mod request;
mod target;
mod v1;
mod v2;
mod values;

use std::sync::Arc;

use watchfire_alerting::{PluginStateRecord, Record, TargetRecord};
use watchfire_model::{RuleId, Timestamp};
use watchfire_plugin::StateWrite;

pub(crate) use attempt::{decode_attempt, encode_attempt};
pub(crate) use request::{decode_request, encode_request};

/// The version of JSON.
const JSON: i32 = 1;
/// The version of packed bodies.
const PACKED: i32 = 2;

/// The version of [`Record::TARGET`] that says what of a notification is done.
const WITH_DONE: i32 = 3;

/// Kinds that are one by now, [`Record::TARGET`].
const LOG: &str = "log";
const OUTBOX: &str = "outbox";

/// A row as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: String,
    pub(crate) key: String,
    pub(crate) version: i32,
    pub(crate) body: Vec<u8>,
}

/// Whether a record says that nothing is kept under its key.
pub(crate) fn is_deletion(record: &Record) -> bool {
    match record {
        Record::Deleted(_) => true,
        Record::PluginState(state) => state.write.value.is_none(),
        _ => false,
    }
}

/// The body of a record, with its version; that of a deletion is empty.
pub(crate) fn encode(record: &Record) -> Result<(i32, Vec<u8>), serde_json::Error> {
    fn json(twin: &impl serde::Serialize) -> Result<(i32, Vec<u8>), serde_json::Error> {
        Ok((JSON, serde_json::to_vec(twin)?))
    }
    match record {
        Record::Instance(r) => Ok((PACKED, v2::write(|w| v2::write_instance(w, r)))),
        Record::Alert(r) => Ok((PACKED, v2::write(|w| v2::write_alert(w, r)))),
        Record::Group(r) => Ok((PACKED, v2::write(|w| v2::write_group(w, r)))),
        Record::Target(r) => Ok((WITH_DONE, v2::write(|w| v2::write_target(w, r)))),
        Record::History(r) => Ok((PACKED, v2::write(|w| v2::write_history(w, r)))),
        Record::Silence(r) => json(&v1::Silence::from(r)),
        Record::Routes(r) => json(&v1::Routes::from(r)),
        Record::Integrations(r) => json(&v1::Integrations::from(r)),
        Record::RateLimit(r) => json(&v1::RateLimit::from(r)),
        Record::Schedule(r) => json(&v1::Schedule::from(r)),
        Record::PluginState(state) => Ok((JSON, state.write.value.as_deref().cloned().unwrap_or_default())),
        Record::Deleted(_) => Ok((JSON, Vec::new())),
    }
}

/// Reads a row; the error is the reason for which it is put into quarantine.
pub(crate) fn decode(row: Found) -> Result<Record, String> {
    fn json<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
    let body = &row.body;
    let packed = match (row.kind.as_str(), row.version) {
        (Record::INSTANCE, PACKED) => Some(v2::read(body, v2::read_instance).map(Record::Instance)),
        (Record::ALERT, PACKED) => Some(v2::read(body, v2::read_alert).map(Record::Alert)),
        (Record::GROUP, PACKED) => Some(v2::read(body, v2::read_group).map(Record::Group)),
        (Record::TARGET, PACKED) => Some(v2::read(body, |r| v2::read_target(r, false)).map(Record::Target)),
        (Record::TARGET, WITH_DONE) => Some(v2::read(body, |r| v2::read_target(r, true)).map(Record::Target)),
        (Record::HISTORY, PACKED) => Some(v2::read(body, v2::read_history).map(Record::History)),
        (_, JSON) => None,
        (kind, version) => {
            return Err(format!("version {version} of {kind:?} is not known; it may come from a newer Watchfire"));
        }
    };
    let record = match (packed, row.kind.as_str()) {
        (Some(record), _) => record.map_err(|error| error.to_string())?,
        (None, Record::INSTANCE) => Record::Instance(json::<v1::Instance>(body)?.try_into()?),
        (None, Record::ALERT) => Record::Alert(json::<v1::AlertRow>(body)?.try_into()?),
        (None, Record::GROUP) => Record::Group(json::<v1::Group>(body)?.into()),
        (None, Record::SILENCE) => Record::Silence(json::<v1::Silence>(body)?.try_into()?),
        (None, Record::TARGET) => Record::Target(json::<target::TargetRow>(body)?.try_into()?),
        (None, LOG) => Record::Target(json::<target::Log>(body)?.into()),
        (None, OUTBOX) => Record::Target(json::<target::Outbox>(body)?.try_into()?),
        (None, Record::ROUTES) => Record::Routes(json::<v1::Routes>(body)?.try_into()?),
        (None, Record::INTEGRATIONS) => Record::Integrations(json::<v1::Integrations>(body)?.try_into()?),
        (None, Record::HISTORY) => Record::History(json::<history::History>(body)?.try_into()?),
        (None, Record::RATE_LIMIT) => Record::RateLimit(json::<v1::RateLimit>(body)?.into()),
        (None, Record::SCHEDULE) => Record::Schedule(json::<v1::Schedule>(body)?.try_into()?),
        (None, Record::PLUGIN_STATE) => {
            let (rule, key) = row.key.split_once('/').ok_or("the key names no rule")?;
            let rule = RuleId::parse(rule).ok_or("the key names no rule")?;
            let write = StateWrite { key: key.to_owned(), value: Some(Arc::new(row.body)) };
            Record::PluginState(PluginStateRecord { rule, write })
        }
        (None, other) => return Err(format!("kind {other:?} is not known; it may come from a newer Watchfire")),
    };
    if is_current(&row.kind, &row.key, &record) || former_key(&row.kind, &record).is_some_and(|key| key == row.key) {
        return Ok(record);
    }
    Err(format!("the body belongs to the key {:?}", record.key().key))
}

/// Whether a record is kept where it was found, and need not be moved.
pub(crate) fn is_current(kind: &str, key: &str, record: &Record) -> bool {
    let current = record.key();
    current.kind == kind && *current.key == *key
}

/// The key of a row that was written when keys held what they name in full.
fn former_key(kind: &str, record: &Record) -> Option<String> {
    let since = |since: Timestamp, what: &dyn std::fmt::Display| match since {
        Timestamp::EPOCH => what.to_string(),
        since => format!("{:012x}/{what}", since.as_millis()),
    };
    match (kind, record) {
        (Record::GROUP, Record::Group(r)) => Some(since(r.since, &r.key)),
        (LOG | OUTBOX, Record::Target(r)) => Some(since(r.since, &r.target)),
        _ => None,
    }
}

/// Makes one record of two rows of former kinds about the same: what a receiver knows, and what is on its way to it.
pub(crate) fn together(a: Record, b: Record) -> Record {
    match (a, b) {
        (Record::Target(log), Record::Target(outbox)) if log.pending.is_none() => {
            let mut entry = log.entry;
            entry.sequence += outbox.entry.sequence;
            Record::Target(TargetRecord { entry, ..outbox })
        }
        (a, _) => a,
    }
}

#[cfg(test)]
pub(crate) mod tests;
