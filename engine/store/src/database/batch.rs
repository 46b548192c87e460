//! What one commit does.

use watchfire_alerting::{Record, RecordKey};

use super::StoreError;
use crate::twin::{self, Change};

/// A record as the database holds it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: RecordKey,
    pub(super) version: i32,
    pub(super) body: Vec<u8>,
}

/// The changes of one commit, each key once, sorted as the tables are.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) puts: Vec<Row>,
    pub(super) deletes: Vec<RecordKey>,
}

impl Batch {
    /// From records sorted by their keys, each key once.
    pub(super) fn new<'a>(records: impl IntoIterator<Item = (&'a RecordKey, &'a Record)>) -> Result<Batch, StoreError> {
        let mut batch = Batch::default();
        for (key, record) in records {
            match twin::encode(record) {
                Ok(Change::Put { version, body }) => batch.puts.push(Row { key: key.clone(), version, body }),
                Ok(Change::Delete) => batch.deletes.push(key.clone()),
                Err(error) => {
                    return Err(StoreError::Serialise { key: key.to_string(), reason: error.to_string() });
                }
            }
        }
        Ok(batch)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }
}
