//! Numbers of series: a table that finds them by a hash, sets of them, and those that are free.

use std::collections::BTreeSet;

use hashbrown::HashTable;
use roaring::RoaringBitmap;
use watchfire_model::heap_block;

/// Numbers, found by the hash of what they stand for, which is looked at where they stand. An entry takes nine bytes.
#[derive(Debug, Default)]
pub(crate) struct Table(HashTable<Entry>);

#[derive(Debug)]
struct Entry {
    hash: u32,
    number: u32,
}

/// Half of a hash is kept, so that the table can grow without asking for the other half; this spreads it again.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn half(hash: u64) -> u32 {
    (hash >> 32) as u32 ^ hash as u32
}

impl Table {
    /// The number under this hash that is the right one.
    pub(crate) fn find(&self, hash: u64, mut is_right: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = half(hash);
        let found = self.0.find(spread(hash), |entry| entry.hash == hash && is_right(entry.number));
        found.map(|entry| entry.number)
    }

    /// Adds a number; the caller knows that it is not there.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        let hash = half(hash);
        self.0.insert_unique(spread(hash), Entry { hash, number }, |entry| spread(entry.hash));
    }

    /// Puts another number in the place of one.
    pub(crate) fn replace(&mut self, hash: u64, number: u32, by: u32) {
        let hash = half(hash);
        if let Some(entry) = self.0.find_mut(spread(hash), |entry| entry.hash == hash && entry.number == number) {
            entry.number = by;
        }
    }

    /// Removes a number.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let hash = half(hash);
        if let Ok(entry) = self.0.find_entry(spread(hash), |entry| entry.hash == hash && entry.number == number) {
            entry.remove();
        }
    }

    /// All numbers, in no order that means anything; the same for the same history.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|entry| entry.number)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        heap_block(self.0.allocation_size())
    }
}

/// Slots without a series, by the group whose series lie or shall lie beside them.
#[derive(Debug, Default)]
pub(crate) struct FreeSlots(BTreeSet<(u64, u32)>);

impl FreeSlots {
    /// What one takes, on average.
    pub(crate) const BYTES: usize = 24;

    pub(crate) fn give(&mut self, group: u64, slot: u32) {
        self.0.insert((group, slot));
    }

    /// The first slot of the group.
    pub(crate) fn take(&mut self, group: u64) -> Option<u32> {
        let first = *self.0.range((group, 0)..=(group, u32::MAX)).next()?;
        self.0.remove(&first);
        Some(first.1)
    }

    pub(crate) fn take_any(&mut self) -> Option<u32> {
        self.0.pop_first().map(|(_, slot)| slot)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A set of at least one slot; most have few.
#[derive(Debug)]
pub(crate) enum Slots {
    /// Ascending.
    Few(Vec<u32>),
    Many(RoaringBitmap),
}

/// A list is shorter than a bitmap up to about here, and quick enough to change in the middle.
const FEW_MAX: usize = 128;

impl Slots {
    pub(crate) fn of(a: u32, b: u32) -> Slots {
        Slots::Few(vec![a.min(b), a.max(b)])
    }

    pub(crate) fn insert(&mut self, slot: u32) {
        match self {
            Slots::Few(list) => {
                if let Err(at) = list.binary_search(&slot) {
                    if list.len() == FEW_MAX {
                        let mut bitmap: RoaringBitmap = list.iter().copied().collect();
                        bitmap.insert(slot);
                        *self = Slots::Many(bitmap);
                    } else {
                        // By half at a time: doubling wastes more than it saves in lists as short as these.
                        if list.len() == list.capacity() {
                            list.reserve_exact((list.len() / 2).max(2));
                        }
                        list.insert(at, slot);
                    }
                }
            }
            Slots::Many(bitmap) => drop(bitmap.insert(slot)),
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        match self {
            Slots::Few(list) => {
                if let Ok(at) = list.binary_search(&slot) {
                    list.remove(at);
                }
            }
            Slots::Many(bitmap) => drop(bitmap.remove(slot)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Slots::Few(list) => list.len(),
            Slots::Many(bitmap) => usize::try_from(bitmap.len()).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        match self {
            Slots::Few(list) => list.binary_search(&slot).is_ok(),
            Slots::Many(bitmap) => bitmap.contains(slot),
        }
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let (few, many) = match self {
            Slots::Few(list) => (Some(list.iter().copied()), None),
            Slots::Many(bitmap) => (None, Some(bitmap.iter())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Slots::Few(list) => heap_block(list.capacity() * size_of::<u32>()),
            // What it would take on a disk is what it takes here, but for the spare room of its lists.
            Slots::Many(bitmap) => heap_block(bitmap.serialized_size()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_are_a_set_in_ascending_order(
            changes in proptest::collection::vec((0u32..600, prop::bool::weighted(0.7)), 0..900),
        ) {
            let mut slots = Slots::of(1_000, 999);
            let mut model = BTreeSet::from([999, 1_000]);
            for (slot, add) in changes {
                if add {
                    slots.insert(slot);
                    model.insert(slot);
                } else {
                    slots.remove(slot);
                    model.remove(&slot);
                }
            }
            prop_assert_eq!(slots.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(slots.len(), model.len());
            prop_assert!((0..1_001).all(|slot| slots.contains(slot) == model.contains(&slot)));
        }
    }

    #[test]
    fn numbers_of_equal_hash_are_told_apart_by_what_they_stand_for() {
        let mut table = Table::default();
        for number in 0..1_000 {
            table.insert(u64::from(number % 7), number);
        }
        let find = |table: &Table, number: u32| table.find(u64::from(number % 7), |found| found == number);
        assert!((0..1_000).all(|number| find(&table, number) == Some(number)));
        table.remove(3, 3);
        table.replace(4, 4, 2_000);
        assert_eq!([3, 4].map(|number| find(&table, number)), [None, None]);
        assert_eq!(table.find(4, |found| found == 2_000), Some(2_000));
        assert_eq!((table.len(), table.iter().count()), (999, 999));
    }
}
