//! What one commit does.

use std::sync::Arc;

use watchfire_alerting::{Record, RecordKey};

use super::StoreError;
use crate::twin;

/// A record as the database holds it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) kind: &'static str,
    pub(super) key: Arc<str>,
    pub(super) version: i32,
    pub(super) body: Vec<u8>,
}

/// The changes of one commit, each key once, sorted as the tables are. They become rows a statement at a time, so that a
/// large commit takes no memory for all of them.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    pub(super) puts: Vec<(&'a RecordKey, &'a Record)>,
    pub(super) deletes: Vec<&'a RecordKey>,
}

impl<'a> Batch<'a> {
    /// From records sorted by their keys, each key once.
    pub(super) fn new(records: impl IntoIterator<Item = (&'a RecordKey, &'a Record)>) -> Batch<'a> {
        let mut batch = Batch::default();
        for (key, record) in records {
            if twin::is_deletion(record) {
                batch.deletes.push(key);
            } else {
                batch.puts.push((key, record));
            }
        }
        batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }
}

impl Row {
    pub(super) fn new(key: &RecordKey, record: &Record) -> Result<Row, StoreError> {
        let wrong =
            |error: serde_json::Error| StoreError::Serialise { key: key.to_string(), reason: error.to_string() };
        let (version, body) = twin::encode(record).map_err(wrong)?;
        Ok(Row { kind: key.kind, key: Arc::clone(&key.key), version, body })
    }
}
