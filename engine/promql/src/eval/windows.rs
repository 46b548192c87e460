//! What functions over ranges have found out about each series, kept between evaluations and shared by all rules.
//!
//! A result depends on the samples in the window, and for `rate` and its relatives on the edges too. What the samples
//! say stays true for as long as the same ones are in the window; that is a comparison of a few times. So a window is
//! read when a sample enters or leaves it, once for all rules that ask, and not once per rule and evaluation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use watchfire_model::Timestamp;
use watchfire_tsdb::{SeriesId, SeriesView, Tsdb};

use super::dense::is_plain;
use super::element::{Element, Metric, NameState};
use super::functions::rate::{Extrapolation, float_difference};
use super::functions::{RangeCall, range_function};
use super::layout::ABSENT;
use super::read::{Range, RangeSamples};
use crate::annotations::Annotations;
use crate::syntax::{FunctionName, Span};

/// Rows lie in pages of this size, each under its own lock: evaluations on several cores rarely meet, and series of one
/// metric, which lie side by side, are read under few locks.
const PAGE: usize = 512;

/// What the rows of a table hold: the function, and the length of the range in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    function: FunctionName,
    length: i64,
}

/// Windows over the series of one store, for all plans that are evaluated over it. What it holds never changes an
/// answer, only its cost; what no plan reads any more is let go.
#[derive(Debug, Default)]
pub struct Windows {
    tables: Mutex<BTreeMap<Content, Weak<Table>>>,
    shared: Mutex<SharedTable>,
}

/// Aggregations by how they are written and how far back they look.
#[derive(Debug, Default)]
struct SharedTable {
    rows: BTreeMap<(String, i64), Weak<SharedRows>>,
    /// At so many those are looked for that no plan has any more.
    prune_at: usize,
}

/// The rows of an aggregation as they were computed last, for all plans that have it. Rules that differ in their
/// thresholds, or take several quantiles of one histogram, are looked at together when their data arrive.
#[derive(Debug, Default)]
pub(crate) struct SharedRows(Mutex<Option<(StoreState, KnownRows)>>);

/// What decides the rows of an aggregation: all that has happened to the store, and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreState {
    pub(crate) changes: u64,
    pub(crate) at: i64,
}

/// The rows of an aggregation, and what computing them counts for the limit of samples.
#[derive(Clone, Debug)]
pub(crate) struct KnownRows {
    pub(crate) rows: Vec<f64>,
    /// Samples of the rows below.
    pub(crate) samples: u64,
    /// Samples in memory at one time, those included.
    pub(crate) peak: u64,
}

impl SharedRows {
    pub(crate) fn get(&self, state: StoreState) -> Option<KnownRows> {
        locked(&self.0).as_ref().filter(|(known, _)| *known == state).map(|(_, rows)| rows.clone())
    }

    pub(crate) fn set(&self, state: StoreState, rows: KnownRows) {
        *locked(&self.0) = Some((state, rows));
    }
}

/// The rows of one function and length, by slot.
#[derive(Debug)]
pub(crate) struct Table {
    content: Content,
    pages: RwLock<Vec<Option<Mutex<Box<[Row]>>>>>,
}

/// What the samples of one window say; as long as a cache line, and nowhere across two.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Row {
    /// That of the series; 0 has none.
    revision: u64,
    /// The last sample before the window.
    before: i64,
    /// The first sample behind the window; if there is none, the newest sample.
    edge: i64,
    first: i64,
    last: i64,
    first_value: f64,
    /// The result; for `rate` and its relatives the difference that is yet to be extrapolated.
    value: f64,
    /// How many samples there are, or [`Row::UNKNOWN`].
    count: u32,
    /// Whether no sample is behind the window.
    open: bool,
}

impl Row {
    /// The count of a window with native histograms, about which nothing is kept.
    const UNKNOWN: u32 = u32::MAX;

    fn holds(&self, revision: u64, newest: i64, start: i64, end: i64) -> bool {
        self.revision == revision
            && self.before <= start
            && start < self.first
            && self.last <= end
            && if self.open { self.edge == newest } else { end < self.edge }
    }
}

/// A lock that a panicking holder left behind guards rows that are each written whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the result depends on nothing but the samples in the window and, through the extrapolation, its edges.
pub(crate) fn is_kept(function: FunctionName) -> bool {
    use FunctionName as F;
    matches!(
        function,
        F::Rate
            | F::Increase
            | F::Delta
            | F::Irate
            | F::Idelta
            | F::Resets
            | F::Changes
            | F::Deriv
            | F::AbsentOverTime
            | F::PresentOverTime
            | F::AvgOverTime
            | F::CountOverTime
            | F::FirstOverTime
            | F::LastOverTime
            | F::MadOverTime
            | F::MaxOverTime
            | F::MinOverTime
            | F::StddevOverTime
            | F::StdvarOverTime
            | F::SumOverTime
            | F::TsOfFirstOverTime
            | F::TsOfLastOverTime
            | F::TsOfMaxOverTime
            | F::TsOfMinOverTime
    )
}

impl Windows {
    /// The rows for a function over ranges of this many milliseconds, with room for these series.
    pub(crate) fn table(&self, function: FunctionName, length: i64, ids: &[SeriesId]) -> Arc<Table> {
        use FunctionName as F;
        let function = match function {
            // What differs is made of the same difference.
            F::Increase => F::Rate,
            F::AbsentOverTime => F::PresentOverTime,
            other => other,
        };
        let content = Content { function, length };
        let mut tables = locked(&self.tables);
        let table = tables.get(&content).and_then(Weak::upgrade).unwrap_or_else(|| {
            tables.retain(|_, table| table.strong_count() > 0);
            let table = Arc::new(Table { content, pages: RwLock::default() });
            tables.insert(content, Arc::downgrade(&table));
            table
        });
        drop(tables);
        table.make_room(ids);
        table
    }

    /// The rows of an aggregation that is written so, with this lookback in milliseconds.
    pub(crate) fn shared(&self, text: &str, lookback: i64) -> Arc<SharedRows> {
        let key = (text.to_owned(), lookback);
        let mut shared = locked(&self.shared);
        if let Some(rows) = shared.rows.get(&key).and_then(Weak::upgrade) {
            return rows;
        }
        if shared.rows.len() >= shared.prune_at {
            shared.rows.retain(|_, rows| rows.strong_count() > 0);
            shared.prune_at = (2 * shared.rows.len()).max(64);
        }
        let rows = Arc::new(SharedRows::default());
        shared.rows.insert(key, Arc::downgrade(&rows));
        rows
    }
}

impl Table {
    fn make_room(&self, ids: &[SeriesId]) {
        let missing = |pages: &[Option<_>]| ids.iter().any(|id| !matches!(pages.get(id.slot() / PAGE), Some(Some(_))));
        if !missing(&self.pages.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            let page = id.slot() / PAGE;
            if page >= pages.len() {
                pages.resize_with(page + 1, || None);
            }
            pages[page].get_or_insert_with(|| Mutex::new(vec![Row::default(); PAGE].into_boxed_slice()));
        }
    }

    /// The function's result for each series over the range that ends at `end`, [`ABSENT`] where it has none. `None` if
    /// some window holds more than numbers. With it comes how many samples the largest window holds.
    pub(crate) fn values(
        &self,
        db: &Tsdb,
        ids: &[SeriesId],
        end: i64,
        function: FunctionName,
    ) -> Option<(Vec<f64>, usize)> {
        let start = end.saturating_sub(self.content.length);
        let (newest, revisions) = (db.newest_by_slot(), db.revisions());
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let mut samples = RangeSamples::default();
        let mut open: Option<(usize, MutexGuard<'_, Box<[Row]>>)> = None;
        let mut values = Vec::with_capacity(ids.len());
        let mut largest = 0;
        for id in ids {
            let slot = id.slot();
            let number = slot / PAGE;
            let page = match &mut open {
                Some((page, rows)) if *page == number => rows,
                _ => {
                    // One page at a time, so that nobody waits for somebody who waits.
                    drop(open.take());
                    &mut open.insert((number, locked(pages.get(number)?.as_ref()?))).1
                }
            };
            let row = &mut page[slot % PAGE];
            if !row.holds(revisions[slot], newest[slot].time, start, end) {
                *row = self.read(db.series(*id)?, start, end, &mut samples);
                row.revision = revisions[slot];
            }
            if row.count == Row::UNKNOWN {
                return None;
            }
            largest = largest.max(row.count);
            values.push(row.value_at(function, start, end));
        }
        Some((values, largest as usize))
    }

    fn read(&self, view: SeriesView<'_>, start: i64, end: i64, samples: &mut RangeSamples) -> Row {
        let window = view.window(Timestamp::from_millis(start), Timestamp::from_millis(end));
        samples.clear();
        samples.load(window, false);
        let after = window.after();
        let mut row = Row {
            revision: 0,
            before: window.before().map_or(i64::MIN, Timestamp::as_millis),
            edge: after.unwrap_or(view.newest_time()).as_millis(),
            first: i64::MAX,
            last: i64::MIN,
            first_value: 0.0,
            value: ABSENT,
            count: u32::try_from(samples.floats.len()).unwrap_or(Row::UNKNOWN),
            open: after.is_none(),
        };
        if !samples.histograms.is_empty() {
            row.count = Row::UNKNOWN;
            return row;
        }
        let (Some(first), Some(last)) = (samples.floats.first(), samples.floats.last()) else { return row };
        (row.first, row.first_value, row.last) = (first.0, first.1, last.0);
        match self.content.function {
            function @ (FunctionName::Rate | FunctionName::Delta) => {
                row.value = float_difference(&samples.floats, function == FunctionName::Rate, |_| false);
            }
            function => {
                let mut notes = Annotations::default();
                let first_span = Span::default();
                let mut call = RangeCall { function, numbers: Vec::new(), at: end, notes: &mut notes, first_span };
                let owner = Element::new(Metric::Stored(view.labels()), 0.0, NameState::Kept);
                let range = Range { owner, samples, start, end, extension: None };
                match range_function(&mut call, &range) {
                    Ok(value) => row.value = value.and_then(|value| value.float()).unwrap_or(ABSENT),
                    Err(_) => row.count = Row::UNKNOWN,
                }
            }
        }
        if !is_plain(row.value) {
            row.count = Row::UNKNOWN;
        }
        row
    }
}

impl Row {
    #[inline]
    fn value_at(&self, function: FunctionName, start: i64, end: i64) -> f64 {
        if !matches!(function, FunctionName::Rate | FunctionName::Increase | FunctionName::Delta) {
            return self.value;
        }
        if self.count == 0 {
            return ABSENT;
        }
        let is_counter = function != FunctionName::Delta;
        let level = if is_counter { Extrapolation::float_level(self.first_value, self.value) } else { None };
        let extrapolation = Extrapolation {
            start,
            end,
            first: self.first,
            last: self.last,
            count: self.count as usize,
            began: None,
            level,
            per_second: function == FunctionName::Rate,
        };
        extrapolation.factor().map_or(ABSENT, |factor| self.value * factor)
    }
}
