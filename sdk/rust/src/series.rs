//! One fixed-size record per series, packed into few values of the state.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use crate::{Error, State};

/// The largest value that the state takes by default.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks of one table; the rest of a rule's mebibyte is for other keys.
const CHUNKS_MAX: usize = 15;
/// The id of the series and the second in which it was seen last.
const HEAD_BYTES: usize = 12;
/// Records to look at before all are indexed: a few series that are away for a while should cost nothing.
const PROBES: usize = 8;

/// What is remembered about one series, as bytes of a fixed number. [`record!`](crate::record!) writes the implementation.
pub trait Record: Copy + Default {
    /// How many bytes.
    const BYTES: usize;
    /// From exactly so many bytes.
    fn read(bytes: &[u8]) -> Self;
    /// Into exactly so many bytes.
    fn write(&self, bytes: &mut [u8]);
}

/// Declares a struct of numbers that can be kept in a [`SeriesTable`].
///
/// ```
/// watchfire_sdk::record! {
///     /// What is remembered about a series.
///     pub struct Stats {
///         /// The mean so far.
///         pub mean: f64,
///         /// How many samples.
///         pub count: u32,
///     }
/// }
/// ```
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        $vis struct $name { $($(#[$field_meta])* $field_vis $field: $type),+ }

        impl $crate::Record for $name {
            const BYTES: usize = 0 $(+ ::core::mem::size_of::<$type>())+;

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                let mut rest = bytes;
                $(
                    let (head, tail) = rest.split_at(::core::mem::size_of::<$type>());
                    rest = tail;
                    let mut number = [0; ::core::mem::size_of::<$type>()];
                    number.copy_from_slice(head);
                    let $field = <$type>::from_le_bytes(number);
                )+
                let _ = rest;
                $name { $($field),+ }
            }

            #[inline]
            fn write(&self, bytes: &mut [u8]) {
                let mut rest = bytes;
                $(
                    let (head, tail) = rest.split_at_mut(::core::mem::size_of::<$type>());
                    rest = tail;
                    head.copy_from_slice(&self.$field.to_le_bytes());
                )+
                let _ = rest;
            }
        }
    };
}

/// Records of all series of a rule.
///
/// Made for the usual case, in which the same series come in the same order each time: then a record is found by where
/// it lies. Series that were not seen for the time to forget are dropped when room is made.
#[derive(Debug)]
pub struct SeriesTable<R> {
    prefix: String,
    chunks: Vec<Vec<u8>>,
    /// How many of them the state has.
    stored: usize,
    /// Where the next record is expected.
    cursor: Place,
    /// Where each record lies; made when the cursor does not help.
    index: Option<BTreeMap<u64, Place>>,
    records: usize,
    touched: usize,
    now_s: u32,
    forget_s: u32,
    record: PhantomData<R>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    chunk: usize,
    offset: usize,
}

impl<R: Record> SeriesTable<R> {
    const SIZE: usize = HEAD_BYTES + R::BYTES;
    const CHUNK: usize = CHUNK_BYTES / Self::SIZE * Self::SIZE;

    /// How many series one rule can have.
    pub const CAPACITY: usize = CHUNKS_MAX * (Self::CHUNK / Self::SIZE);

    /// Reads the table that [`SeriesTable::save`] wrote under `prefix`. `now_ms` is the time of the evaluation, and
    /// series that were not seen for `forget_ms` may be forgotten.
    pub fn load(state: &State, prefix: &str, now_ms: i64, forget_ms: i64) -> SeriesTable<R> {
        let mut chunks: Vec<Vec<u8>> = Vec::new();
        while chunks.len() < CHUNKS_MAX
            && let Some(mut chunk) = state.get(&key(prefix, chunks.len()))
        {
            // A value of another layout is cut to whole records; it says nothing, but harms nothing either.
            chunk.truncate(chunk.len().min(Self::CHUNK) / Self::SIZE * Self::SIZE);
            // All chunks but the last are full, so one that is not spares the question for the next.
            let last = chunk.len() < Self::CHUNK;
            chunks.push(chunk);
            if last {
                break;
            }
        }
        let records = chunks.iter().map(|chunk| chunk.len() / Self::SIZE).sum();
        let seconds = |ms: i64| u32::try_from(ms.max(0) / 1_000).unwrap_or(u32::MAX);
        SeriesTable {
            prefix: prefix.to_owned(),
            stored: chunks.len(),
            chunks,
            cursor: Place::default(),
            index: None,
            records,
            touched: 0,
            now_s: seconds(now_ms),
            forget_s: seconds(forget_ms),
            record: PhantomData,
        }
    }

    /// Lets `change` work on the record of a series, a new one having the default. `None` if the table is full.
    ///
    /// Ask for each series once, in the order of the batch.
    #[inline]
    pub fn update<T>(&mut self, id: u64, change: impl FnOnce(&mut R) -> T) -> Option<T> {
        let place = if self.id_at(self.cursor) == Some(id) { self.cursor } else { self.find_or_insert(id)? };
        self.cursor = self.after(place, 1);
        self.touched += 1;
        let bytes = self.chunks.get_mut(place.chunk)?.get_mut(place.offset..place.offset + Self::SIZE)?;
        Some(Self::change(bytes, self.now_s, change))
    }

    /// The same for all series of a batch, by their ids and what else there is of each, such as its value: two columns of
    /// one length. `change` gets the series' number, what there is of it, and its record, or `None` where the table is
    /// full; what it answers goes to `tell`.
    ///
    /// Mostly it should answer nothing: then it works on one record after the other without looking for them. It costs
    /// the least if it takes what it needs by `move` and calls nothing; `tell` is for filling vectors and writing texts.
    ///
    /// # Panics
    /// If the columns differ in length.
    pub fn update_each<X: Copy, T>(
        &mut self,
        ids: &[u64],
        column: &[X],
        mut change: impl FnMut(u32, X, Option<&mut R>) -> Option<T>,
        mut tell: impl FnMut(T),
    ) {
        assert_eq!(ids.len(), column.len(), "each series has an id and an entry of the column");
        let mut done = 0;
        while done < ids.len() {
            let start = self.cursor;
            let rest = self.chunks.get_mut(start.chunk).and_then(|chunk| chunk.get_mut(start.offset..));
            let rows = (&ids[done..], &column[done..]);
            let (passed, told) = Self::pass(rows, done as u32, rest.unwrap_or_default(), self.now_s, &mut change);
            self.cursor = self.after(start, passed);
            self.touched += passed;
            done += passed;
            if let Some(told) = told {
                tell(told);
            } else if let (Some(id), Some(x)) = (ids.get(done), column.get(done)) {
                // Its record is not the next one.
                let series = done as u32;
                let told = self.update(*id, |record| change(series, *x, Some(record)));
                told.unwrap_or_else(|| change(series, *x, None)).into_iter().for_each(&mut tell);
                done += 1;
            }
        }
    }

    /// Changes records that lie as the rows come, up to the first one about which there is something to tell; answers
    /// how many it has changed. A function of its own without calls, so that what it works with stays in registers.
    #[inline(never)]
    fn pass<X: Copy, T>(
        (ids, column): (&[u64], &[X]),
        first: u32,
        records: &mut [u8],
        now_s: u32,
        change: &mut impl FnMut(u32, X, Option<&mut R>) -> Option<T>,
    ) -> (usize, Option<T>) {
        let mut passed = 0;
        for ((id, x), bytes) in ids.iter().zip(column).zip(records.chunks_exact_mut(Self::SIZE)) {
            if id_of(bytes) != Some(*id) {
                break;
            }
            let series = first + passed as u32;
            passed += 1;
            let told = Self::change(bytes, now_s, |record| change(series, *x, Some(record)));
            if told.is_some() {
                return (passed, told);
            }
        }
        (passed, None)
    }

    #[inline]
    fn change<T>(bytes: &mut [u8], now_s: u32, change: impl FnOnce(&mut R) -> T) -> T {
        let (head, body) = bytes.split_at_mut(HEAD_BYTES);
        head[8..].copy_from_slice(&now_s.to_le_bytes());
        let mut record = R::read(body);
        let answer = change(&mut record);
        record.write(body);
        answer
    }

    /// Writes the table back.
    ///
    /// # Errors
    /// [`Error::Internal`] where a limit of the state would be passed.
    pub fn save(mut self, state: &mut State) -> Result<(), Error> {
        let stored = self.stored.max(self.chunks.len());
        if self.records > self.touched {
            self.forget();
        }
        for (number, chunk) in self.chunks.iter().enumerate() {
            state.set(&key(&self.prefix, number), chunk)?;
        }
        for number in self.chunks.len()..stored {
            state.delete(&key(&self.prefix, number));
        }
        Ok(())
    }

    /// Forgets all series, such as where the configuration has changed what a record means.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.cursor = Place::default();
        self.index = None;
        self.records = 0;
        self.touched = 0;
    }

    /// How many series are remembered.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    #[inline]
    fn id_at(&self, place: Place) -> Option<u64> {
        id_of(self.chunks.get(place.chunk)?.get(place.offset..)?)
    }

    /// The place so many records further on, which are not beyond its chunk.
    #[inline]
    fn after(&self, place: Place, records: usize) -> Place {
        let offset = place.offset + records * Self::SIZE;
        if offset < Self::CHUNK { Place { offset, ..place } } else { Place { chunk: place.chunk + 1, offset: 0 } }
    }

    #[cold]
    fn find_or_insert(&mut self, id: u64) -> Option<Place> {
        let mut place = self.cursor;
        for _ in 0..PROBES {
            match self.id_at(place) {
                Some(found) if found == id => return Some(place),
                Some(_) => place = self.after(place, 1),
                None => break,
            }
        }
        if self.index.is_none() {
            self.index = Some(self.places().collect());
        }
        if let Some(place) = self.index.as_ref().and_then(|index| index.get(&id)) {
            return Some(*place);
        }
        let place = self.append(id)?;
        self.index.get_or_insert_default().insert(id, place);
        Some(place)
    }

    fn places(&self) -> impl Iterator<Item = (u64, Place)> + '_ {
        self.chunks.iter().enumerate().flat_map(|(chunk, bytes)| {
            let ids = bytes.chunks_exact(Self::SIZE).filter_map(id_of);
            ids.enumerate().map(move |(i, id)| (id, Place { chunk, offset: i * Self::SIZE }))
        })
    }

    fn append(&mut self, id: u64) -> Option<Place> {
        if self.chunks.last().is_none_or(|chunk| chunk.len() + Self::SIZE > Self::CHUNK) {
            if self.chunks.len() == CHUNKS_MAX {
                return None;
            }
            self.chunks.push(Vec::new());
        }
        let chunk = self.chunks.len() - 1;
        let bytes = self.chunks.last_mut()?;
        let offset = bytes.len();
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&self.now_s.to_le_bytes());
        bytes.resize(offset + Self::SIZE, 0);
        R::default().write(&mut bytes[offset + HEAD_BYTES..]);
        self.records += 1;
        Some(Place { chunk, offset })
    }

    /// Drops what was not seen for long, keeping the order.
    fn forget(&mut self) {
        let oldest = self.now_s.saturating_sub(self.forget_s);
        let seen = |record: &[u8]| {
            record.get(8..HEAD_BYTES).and_then(|seen| seen.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        let stale = |chunk: &Vec<u8>| chunk.chunks_exact(Self::SIZE).any(|record| seen(record) < oldest);
        if !self.chunks.iter().any(stale) {
            return;
        }
        let kept: Vec<u8> = self
            .chunks
            .iter()
            .flat_map(|chunk| chunk.chunks_exact(Self::SIZE))
            .filter(|record| seen(record) >= oldest)
            .flatten()
            .copied()
            .collect();
        self.records = kept.len() / Self::SIZE;
        self.chunks = kept.chunks(Self::CHUNK).map(<[u8]>::to_vec).collect();
        self.index = None;
    }
}

/// The id at the head of a record.
#[inline]
fn id_of(record: &[u8]) -> Option<u64> {
    record.first_chunk().map(|id| u64::from_le_bytes(*id))
}

/// The prefix and the number; written by hand, since formatting costs as much as the call that takes the key.
fn key(prefix: &str, number: usize) -> String {
    let mut key = String::with_capacity(prefix.len() + 2);
    key.push_str(prefix);
    if number >= 10 {
        key.extend(char::from_digit((number / 10) as u32, 10));
    }
    key.extend(char::from_digit((number % 10) as u32, 10));
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::record! {
        struct Count {
            count: u32,
            sum: f64,
        }
    }

    const HOUR: i64 = 3_600_000;

    /// One evaluation that adds 1 to each of `ids`; answers the counts. One after the other and all at once are the same.
    fn evaluate(state: &mut State, now_ms: i64, ids: impl IntoIterator<Item = u64>) -> Vec<Option<u32>> {
        let ids: Vec<u64> = ids.into_iter().collect();
        let count = |record: &mut Count| {
            record.count += 1;
            record.sum += 0.5;
            record.count
        };
        let mut at_once = SeriesTable::<Count>::load(state, "t", now_ms, HOUR);
        let mut counts = Vec::new();
        let change = |_, _, record: Option<&mut Count>| Some(record.map(count));
        at_once.update_each(&ids, &ids, change, |told| counts.push(told));
        let mut table = SeriesTable::<Count>::load(state, "t", now_ms, HOUR);
        assert_eq!(ids.iter().map(|id| table.update(*id, count)).collect::<Vec<_>>(), counts);
        assert!((&table.chunks, table.touched) == (&at_once.chunks, at_once.touched));
        at_once.save(state).unwrap();
        counts
    }

    #[test]
    fn records_are_found_whatever_the_order() {
        let mut state = State::in_memory();
        for (round, ids) in [(0..50).collect(), (0..50).rev().collect(), (20..50).chain(0..20).collect::<Vec<u64>>()]
            .into_iter()
            .enumerate()
        {
            let counts = evaluate(&mut state, 0, ids);
            assert_eq!(counts, vec![Some(round as u32 + 1); 50]);
        }
    }

    #[test]
    fn series_come_and_go_and_are_forgotten_after_their_time() {
        let mut state = State::in_memory();
        evaluate(&mut state, 0, 0..100);
        // A gap within reach of a probe, a gap beyond it, and a newcomer.
        assert_eq!(evaluate(&mut state, 1_000, (0..100).filter(|id| *id != 50)), vec![Some(2); 99]);
        assert_eq!(evaluate(&mut state, 2_000, (30..100).filter(|id| *id != 50).chain([1_000]))[69], Some(1));
        assert_eq!(evaluate(&mut state, 3_000, [50]), [Some(2)]);
        // All but one are dropped once an hour has passed without them.
        assert_eq!(evaluate(&mut state, 3_000 + HOUR + 1_000, [50, 7]), [Some(3), Some(3)]);
        assert_eq!(SeriesTable::<Count>::load(&state, "t", 0, HOUR).len(), 2);
        assert_eq!(evaluate(&mut state, 4_000 + HOUR, [0]), [Some(1)]);
    }

    #[test]
    fn a_table_spans_chunks_and_ends_at_its_capacity() {
        let mut state = State::in_memory();
        let capacity = SeriesTable::<Count>::CAPACITY as u64;
        let counts = evaluate(&mut state, 0, 0..capacity + 1);
        assert_eq!((counts[capacity as usize - 1], counts[capacity as usize]), (Some(1), None));
        assert!((0..CHUNKS_MAX).all(|number| state.get(&key("t", number)).unwrap().len() <= CHUNK_BYTES));
        assert_eq!(evaluate(&mut state, 0, 0..capacity), vec![Some(2); capacity as usize]);
    }

    #[test]
    fn what_is_cleared_leaves_nothing_behind() {
        let mut state = State::in_memory();
        let full = SeriesTable::<Count>::CHUNK / SeriesTable::<Count>::SIZE;
        evaluate(&mut state, 0, 0..full as u64 + 1);
        let mut table = SeriesTable::<Count>::load(&state, "t", 0, HOUR);
        table.clear();
        assert_eq!(table.update(0, |record| record.count), Some(0));
        table.save(&mut state).unwrap();
        assert_eq!(
            (state.get("t0").map(|chunk| chunk.len()), state.get("t1")),
            (Some(SeriesTable::<Count>::SIZE), None)
        );
    }

    #[test]
    fn keys_are_the_prefix_and_the_number() {
        let keys: Vec<_> = [0, 1, 9, 10, 14].map(|number| key("t/", number)).into();
        assert_eq!(keys, ["t/0", "t/1", "t/9", "t/10", "t/14"]);
        const { assert!(CHUNKS_MAX <= 100, "keys have two digits") };
    }

    #[test]
    fn a_value_of_another_layout_is_no_panic() {
        for length in [1, 11, 23, 25, 70_000] {
            let mut state = State::in_memory();
            state.set("t0", &vec![7; length]).unwrap();
            assert_eq!(evaluate(&mut state, 0, [1, 2]), [Some(1), Some(1)], "{length}");
        }
    }
}
