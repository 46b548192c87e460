//! What becomes of a series that the wire spells in a known way.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use watchfire_ingest::SeriesKey;
use watchfire_model::{Duration, Timestamp};

/// A key is a hash already.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Where the samples of a series go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the series in this slot.
    Slot(usize),
    /// Nowhere: no rule reads the series.
    Unread,
}

/// A table from keys to targets. It is a cache: what it forgets is parsed and looked up once more.
///
/// An entry takes 17 bytes, because this table is all that a series costs which no rule reads: half of a key finds
/// it, a quarter confirms it. That another series has these 96 secretly seeded bits in common is out of the question.
#[derive(Default)]
pub(crate) struct Keys {
    table: HashMap<u64, Entry, BuildHasherDefault<AlreadyHashed>>,
    /// When the keys of unread series were last forgotten.
    swept: Option<Timestamp>,
}

#[derive(Clone, Copy)]
struct Entry {
    check: u32,
    /// A slot, or [`UNREAD`].
    target: u32,
}

/// No slot: those have 24 bits.
const UNREAD: u32 = u32::MAX;

/// At so many keys all are forgotten: a sender that spells its labels in ever new ways must not fill the memory.
pub(crate) const KEYS_MAX: usize = 8 << 20;

/// Keys of unread series are forgotten this often, because nothing else says that such a series has ended.
const UNREAD_SWEEP: Duration = Duration::from_hours(1);

fn split(key: SeriesKey) -> (u64, u32) {
    (key.0 as u64, (key.0 >> 64) as u32)
}

impl Keys {
    /// How many keys are known.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn get(&self, key: SeriesKey) -> Option<Target> {
        let (hash, check) = split(key);
        let entry = self.table.get(&hash).filter(|entry| entry.check == check)?;
        Some(if entry.target == UNREAD { Target::Unread } else { Target::Slot(entry.target as usize) })
    }

    pub(crate) fn insert(&mut self, key: SeriesKey, target: Target) {
        if self.table.len() >= KEYS_MAX {
            self.table = HashMap::default();
        }
        let (hash, check) = split(key);
        let target = match target {
            Target::Slot(slot) => u32::try_from(slot).unwrap_or(UNREAD),
            Target::Unread => UNREAD,
        };
        self.table.insert(hash, Entry { check, target });
    }

    /// Forgets the keys of series in slots of which `lives` says no.
    pub(crate) fn forget_gone(&mut self, lives: impl Fn(usize) -> bool) {
        self.table.retain(|_, entry| entry.target == UNREAD || lives(entry.target as usize));
    }

    /// Forgets the keys of unread series, if it is time for that.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        if self.swept.is_none_or(|swept| now.since(swept) >= UNREAD_SWEEP || now < swept) {
            self.swept = Some(now);
            self.forget_unread();
        }
    }

    /// Forgets the keys of unread series, because a rule may read them now.
    pub(crate) fn forget_unread(&mut self) {
        self.table.retain(|_, entry| entry.target != UNREAD);
    }

    /// Marks the series in slots of which `is_read` says no as unread.
    pub(crate) fn mark_unread(&mut self, is_read: impl Fn(usize) -> bool) {
        for entry in self.table.values_mut() {
            if entry.target != UNREAD && !is_read(entry.target as usize) {
                entry.target = UNREAD;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys with the same half that finds an entry, and another one that does not.
    const A: SeriesKey = SeriesKey(7);
    const LIKE_A: SeriesKey = SeriesKey(7 | 1 << 64);
    const B: SeriesKey = SeriesKey(8);

    #[test]
    fn a_key_leads_to_its_own_series_only() {
        let mut keys = Keys::default();
        keys.insert(A, Target::Slot(3));
        keys.insert(B, Target::Unread);
        assert_eq!([A, LIKE_A, B].map(|key| keys.get(key)), [Some(Target::Slot(3)), None, Some(Target::Unread)]);
        keys.insert(LIKE_A, Target::Slot(4));
        assert_eq!([A, LIKE_A].map(|key| keys.get(key)), [None, Some(Target::Slot(4))]);
    }

    #[test]
    fn what_ends_or_becomes_unread_or_may_be_read_again_is_forgotten_or_marked() {
        let mut keys = Keys::default();
        let fill = |keys: &mut Keys| {
            keys.insert(A, Target::Slot(3));
            keys.insert(B, Target::Unread);
        };
        fill(&mut keys);
        keys.forget_gone(|slot| slot != 3);
        assert_eq!([A, B].map(|key| keys.get(key)), [None, Some(Target::Unread)]);
        fill(&mut keys);
        keys.forget_unread();
        assert_eq!([A, B].map(|key| keys.get(key)), [Some(Target::Slot(3)), None]);
        fill(&mut keys);
        keys.mark_unread(|_| false);
        assert_eq!([A, B].map(|key| keys.get(key)), [Some(Target::Unread); 2]);
    }

    #[test]
    fn keys_of_unread_series_are_forgotten_every_hour() {
        let mut keys = Keys::default();
        let at = |minutes: i64| Timestamp::from_secs(minutes * 60);
        keys.sweep(at(0));
        keys.insert(A, Target::Slot(3));
        keys.insert(B, Target::Unread);
        keys.sweep(at(59));
        assert_eq!(keys.get(B), Some(Target::Unread));
        keys.sweep(at(60));
        assert_eq!([A, B].map(|key| keys.get(key)), [Some(Target::Slot(3)), None]);
    }
}
