//! What one commit does.

use std::collections::BTreeMap;

use watchfire_alerting::{Record, RecordKey};

use super::StoreError;
use crate::twin::{self, Change, Row};

/// The changes of one commit, each key once, sorted as the tables are.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) puts: Vec<Row>,
    pub(super) deletes: Vec<RecordKey>,
}

impl Batch {
    pub(super) fn new(records: &[Record]) -> Result<Batch, StoreError> {
        let mut last: BTreeMap<RecordKey, &Record> = BTreeMap::new();
        for record in records {
            last.insert(record.key(), record);
        }
        let mut batch = Batch::default();
        for (key, record) in last {
            match twin::encode(record) {
                Ok(Change::Put(row)) => batch.puts.push(row),
                Ok(Change::Delete(key)) => batch.deletes.push(key),
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
