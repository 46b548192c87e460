//! One fixed-size record per series, packed into few values of a rule's state.
//!
//! The layout is that of the Rust SDK's `SeriesTable`, so that a native condition and its WebAssembly twin can take over
//! each other's state: chunks `<prefix>0`, `<prefix>1`, ... of at most 64 KiB, each a run of records; a record is the
//! series' fingerprint (8 bytes), the second in which it was seen last (4), and the condition's own bytes, all
//! little-endian.

use std::collections::BTreeMap;

use watchfire_model::{Fingerprint, Timestamp};
use watchfire_plugin::{PluginError, State};

const CHUNK_BYTES: usize = 64 << 10;
/// The rest of a rule's mebibyte is for the keys.
const CHUNKS_MAX: usize = 15;
const HEAD_BYTES: usize = 12;

/// The records of all series of a rule, while one evaluation works on them.
#[derive(Debug)]
pub(super) struct SeriesTable<const BYTES: usize> {
    prefix: &'static str,
    /// All records one after the other, in the order in which the series came first.
    records: Vec<u8>,
    chunks_before: usize,
    /// The record that is expected next: series usually come in the same order.
    cursor: usize,
    /// Where each series' record lies; made when the cursor does not help.
    index: Option<BTreeMap<u64, usize>>,
    now: u32,
    touched: usize,
}

impl<const BYTES: usize> SeriesTable<BYTES> {
    const RECORD: usize = HEAD_BYTES + BYTES;
    const CHUNK: usize = CHUNK_BYTES / Self::RECORD * Self::RECORD;
    const RECORDS_MAX: usize = CHUNKS_MAX * (Self::CHUNK / Self::RECORD);

    /// Reads what [`SeriesTable::save`] wrote under `prefix`.
    pub(super) fn load(state: &State, prefix: &'static str, at: Timestamp) -> SeriesTable<BYTES> {
        // One after the other has room for, so that they are copied once.
        let mut records = Vec::with_capacity(state.bytes());
        let mut chunks_before = 0;
        while chunks_before < CHUNKS_MAX
            && let Some(chunk) = state.get(&format!("{prefix}{chunks_before}"))
        {
            // A value of another layout is cut to whole records; it says nothing, but harms nothing either.
            let whole = chunk.len().min(Self::CHUNK) / Self::RECORD * Self::RECORD;
            records.extend_from_slice(&chunk[..whole]);
            chunks_before += 1;
        }
        let now = u32::try_from(at.as_millis().max(0) / 1_000).unwrap_or(u32::MAX);
        SeriesTable { prefix, records, chunks_before, cursor: 0, index: None, now, touched: 0 }
    }

    fn count(&self) -> usize {
        self.records.len() / Self::RECORD
    }

    fn id_at(&self, record: usize) -> Option<u64> {
        let id = self.records.get(record * Self::RECORD..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*id))
    }

    fn seen_at(&self, record: usize) -> u32 {
        let seen = self.records.get(record * Self::RECORD + 8..).and_then(<[u8]>::first_chunk::<4>);
        seen.map_or(0, |seen| u32::from_le_bytes(*seen))
    }

    /// The bytes of a series, zero for a new one. `None` if the table is full.
    #[inline]
    pub(super) fn bytes(&mut self, series: Fingerprint) -> Option<&mut [u8; BYTES]> {
        let id = series.0;
        let record = if self.id_at(self.cursor) == Some(id) { self.cursor } else { self.find_or_insert(id)? };
        self.cursor = record + 1;
        self.touched += 1;
        let now = self.now.to_le_bytes();
        let bytes = self.records.get_mut(record * Self::RECORD..(record + 1) * Self::RECORD)?;
        bytes[8..HEAD_BYTES].copy_from_slice(&now);
        bytes[HEAD_BYTES..].first_chunk_mut::<BYTES>()
    }

    #[cold]
    fn find_or_insert(&mut self, id: u64) -> Option<usize> {
        if self.index.is_none() {
            self.index = Some((0..self.count()).filter_map(|record| Some((self.id_at(record)?, record))).collect());
        }
        if let Some(record) = self.index.as_ref().and_then(|index| index.get(&id)) {
            return Some(*record);
        }
        let record = self.count();
        if record == Self::RECORDS_MAX {
            return None;
        }
        self.records.extend_from_slice(&id.to_le_bytes());
        self.records.resize((record + 1) * Self::RECORD, 0);
        self.index.get_or_insert_default().insert(id, record);
        Some(record)
    }

    /// Drops series that were not seen for `forget_after` seconds and stages the rest.
    pub(super) fn save(mut self, state: &mut State, forget_after: u32) -> Result<(), PluginError> {
        let oldest = self.now.saturating_sub(forget_after);
        if self.count() > self.touched && (0..self.count()).any(|record| self.seen_at(record) < oldest) {
            let kept: Vec<usize> = (0..self.count()).filter(|record| self.seen_at(*record) >= oldest).collect();
            let bytes = kept.iter().flat_map(|r| &self.records[r * Self::RECORD..(r + 1) * Self::RECORD]);
            self.records = bytes.copied().collect();
        }
        let mut chunks = 0;
        for chunk in self.records.chunks(Self::CHUNK) {
            let key = format!("{}{chunks}", self.prefix);
            state.set(&key, chunk.to_vec()).map_err(|error| PluginError::Internal(error.to_string()))?;
            chunks += 1;
        }
        for gone in chunks..self.chunks_before {
            state.delete(&format!("{}{gone}", self.prefix));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_plugin::StateLimits;

    fn touch(state: &mut State, at: i64, ids: impl IntoIterator<Item = u64>) -> Vec<Option<u8>> {
        let mut table = SeriesTable::<4>::load(state, "t/", Timestamp::from_secs(at));
        let mut count = |id| {
            table.bytes(Fingerprint(id)).map(|bytes| {
                bytes[0] += 1;
                bytes[0]
            })
        };
        let counts = ids.into_iter().map(&mut count).collect();
        table.save(state, 3_600).unwrap();
        counts
    }

    #[test]
    fn records_are_found_whatever_the_order_and_forgotten_after_their_time() {
        let mut state = State::new(StateLimits::STANDARD, BTreeMap::new());
        assert_eq!(touch(&mut state, 0, [1, 2, 3]), [Some(1); 3]);
        assert_eq!(touch(&mut state, 10, [3, 1, 2, 4]), [Some(2), Some(2), Some(2), Some(1)]);
        // An hour after they were last seen all but one are gone.
        assert_eq!(touch(&mut state, 4_000, [4]), [Some(2)]);
        assert_eq!(touch(&mut state, 4_001, [1, 4]), [Some(1), Some(3)]);
        assert_eq!(state.get("t/0").map(<[u8]>::len), Some(2 * 16));
    }

    #[test]
    fn a_table_spans_chunks_and_ends_at_its_capacity() {
        let mut state = State::new(StateLimits::STANDARD, BTreeMap::new());
        let most = SeriesTable::<4>::RECORDS_MAX as u64;
        let counts = touch(&mut state, 0, 0..=most);
        assert_eq!((counts[most as usize - 1], counts[most as usize]), (Some(1), None));
        assert_eq!(touch(&mut state, 1, [most - 1]), [Some(2)]);
        // With one series left the other chunks are deleted.
        assert_eq!(touch(&mut state, 10_000, [most - 1]), [Some(3)]);
        assert!(state.get("t/1").is_none());
    }
}
