//! Records as rows: the serialised twins of what `alerting` keeps.
//!
//! Each kind has a version of its own. A version that was shipped is read for ever; a changed twin gets a new version
//! beside the old one. Bodies are JSON, so that a person can read them and a field can be added with a default, but for
//! plugin state, whose body is the value itself.

mod attempt;
mod history;
mod request;
mod target;
mod v1;
mod values;

use watchfire_alerting::{PluginStateRecord, Record, TargetRecord};
use watchfire_model::{RuleId, Timestamp};
use watchfire_plugin::StateWrite;

pub(crate) use attempt::{decode_attempt, encode_attempt};
pub(crate) use request::{decode_request, encode_request};

/// The version in which this Watchfire writes every kind.
pub(crate) const VERSION: i32 = 1;

/// Kinds that are one by now, [`Record::TARGET`].
const LOG: &str = "log";
const OUTBOX: &str = "outbox";

/// Room for the body of most records.
const BODY_BYTES: usize = 1 << 10;

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

/// The body of a record in [`VERSION`]; that of a deletion is empty.
pub(crate) fn encode(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    fn write(twin: &impl serde::Serialize) -> Result<Vec<u8>, serde_json::Error> {
        let mut body = Vec::with_capacity(BODY_BYTES);
        serde_json::to_writer(&mut body, twin)?;
        Ok(body)
    }
    match record {
        Record::Instance(r) => write(&v1::Instance::from(r)),
        Record::Alert(r) => write(&v1::AlertRow::from(r)),
        Record::Group(r) => write(&v1::Group::from(r)),
        Record::Silence(r) => write(&v1::Silence::from(r)),
        Record::Target(r) => write(&target::TargetRow::from(r)),
        Record::Routes(r) => write(&v1::Routes::from(r)),
        Record::History(r) => write(&history::History::from(r)),
        Record::RateLimit(r) => write(&v1::RateLimit::from(r)),
        Record::Schedule(r) => write(&v1::Schedule::from(r)),
        Record::PluginState(state) => Ok(state.write.value.clone().unwrap_or_default()),
        Record::Deleted(_) => Ok(Vec::new()),
    }
}

/// Reads a row; the error is the reason for which it is put into quarantine.
pub(crate) fn decode(row: Found) -> Result<Record, String> {
    fn read<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
    if row.version != VERSION {
        return Err(format!(
            "version {} of {:?} is not known; it may come from a newer Watchfire",
            row.version, row.kind
        ));
    }
    let record = match row.kind.as_str() {
        Record::INSTANCE => Record::Instance(read::<v1::Instance>(&row.body)?.try_into()?),
        Record::ALERT => Record::Alert(read::<v1::AlertRow>(&row.body)?.try_into()?),
        Record::GROUP => Record::Group(read::<v1::Group>(&row.body)?.into()),
        Record::SILENCE => Record::Silence(read::<v1::Silence>(&row.body)?.try_into()?),
        Record::TARGET => Record::Target(read::<target::TargetRow>(&row.body)?.try_into()?),
        LOG => Record::Target(read::<target::Log>(&row.body)?.into()),
        OUTBOX => Record::Target(read::<target::Outbox>(&row.body)?.try_into()?),
        Record::ROUTES => Record::Routes(read::<v1::Routes>(&row.body)?.try_into()?),
        Record::HISTORY => Record::History(read::<history::History>(&row.body)?.try_into()?),
        Record::RATE_LIMIT => Record::RateLimit(read::<v1::RateLimit>(&row.body)?.into()),
        Record::SCHEDULE => Record::Schedule(read::<v1::Schedule>(&row.body)?.try_into()?),
        Record::PLUGIN_STATE => {
            let (rule, key) = row.key.split_once('/').ok_or("the key names no rule")?;
            let rule = RuleId::parse(rule).ok_or("the key names no rule")?;
            let write = StateWrite { key: key.to_owned(), value: Some(row.body) };
            Record::PluginState(PluginStateRecord { rule, write })
        }
        other => return Err(format!("kind {other:?} is not known; it may come from a newer Watchfire")),
    };
    if is_current(&row.kind, &row.key, &record) || former_key(&row.kind, &record).is_some_and(|key| key == row.key) {
        return Ok(record);
    }
    Err(format!("the body belongs to the key {:?}", record.key().key))
}

/// Whether a record is kept where it was found, and need not be moved.
pub(crate) fn is_current(kind: &str, key: &str, record: &Record) -> bool {
    let current = record.key();
    current.kind == kind && current.key == key
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
