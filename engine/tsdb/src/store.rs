//! The store itself.

use std::ops::Range;

use watchfire_model::{Duration, Labels, METRIC_NAME_LABEL, Matcher, Sample, SharedNames, Timestamp};

use crate::chunk::Raw;
use crate::index::{self, Candidates, Index, LabelsBySlot, NewestOf};
use crate::series::{Place, Series};
use crate::slots::{FreeSlots, Table};
use crate::{AppendError, Assembled, Limit, Point, SampleValue, SeriesId, SeriesView, Settings, Stats, Tenants};

/// Series lie in pages of this size, so that growing never copies those that are there.
const PAGE: usize = 1024;

/// A metric gets as many slots in a row as this share of its series, and at most [`RUN_MAX`].
const RUN_SHARE: usize = 4;
const RUN_MAX: usize = 64;

/// When more slots than this, and than this share of all series, are free, those of other metrics are taken.
const FREE_MIN: usize = 1024;
const FREE_SHARE: usize = 4;

/// The series by slot.
#[derive(Debug, Default)]
struct Pages(Vec<Box<[Option<Series>]>>);

impl Pages {
    fn get(&self, slot: usize) -> Option<&Series> {
        self.0.get(slot / PAGE)?[slot % PAGE].as_ref()
    }

    fn get_mut(&mut self, slot: usize) -> Option<&mut Series> {
        self.0.get_mut(slot / PAGE)?[slot % PAGE].as_mut()
    }
}

impl LabelsBySlot for Pages {
    fn labels(&self, slot: u32) -> Option<&Labels> {
        self.get(slot as usize).map(|series| &series.labels)
    }
}

/// A position in the feed of created series; the default is before the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

impl Cursor {
    /// Right before the series was created.
    pub fn before(series: SeriesId) -> Cursor {
        Cursor(series.sequence())
    }
}

/// Series that came to life after a cursor, and the cursor to ask with next time.
#[derive(Clone, Copy, Debug)]
pub struct Created<'a> {
    /// In the order of creation; those that are gone again are left out.
    pub series: &'a [SeriesId],
    /// Where to go on.
    pub cursor: Cursor,
}

/// What a truncation removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truncated {
    /// Series of which nothing was left.
    pub series: Vec<SeriesId>,
    /// How many samples went, with those of removed series.
    pub samples: u64,
}

/// The newest sample of a series, in an array of its own: who asks many series whether they changed, or how high they
/// are, reads these and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    /// When, in milliseconds.
    pub time: i64,
    /// The number, a staleness marker included; [`Newest::NO_NUMBER`] for a native histogram.
    pub value: f64,
}

impl Newest {
    /// Stands for a native histogram: a signalling NaN, which no computation gives. A sample may still have these bits,
    /// so that they only say that the series itself must be asked.
    pub const NO_NUMBER: f64 = f64::from_bits(0x7ff0_0000_0000_0001);

    fn of(time: i64, value: &SampleValue) -> Newest {
        Newest { time, value: value.float().unwrap_or(Newest::NO_NUMBER) }
    }
}

/// The bounded in-memory store of series.
#[derive(Debug)]
pub struct Tsdb {
    settings: Settings,
    retention: Duration,
    pages: Pages,
    /// Slots below this one have been used.
    slots_used: usize,
    free: FreeSlots,
    /// By slot.
    newest_by_slot: Vec<Newest>,
    /// By slot: see [`Tsdb::revisions`].
    revisions: Vec<u64>,
    next_revision: u64,
    /// Slots by the fingerprint of the series' labels.
    by_labels: Table,
    names: SharedNames,
    index: Index,
    /// Living series in the order of creation.
    created: Vec<SeriesId>,
    next_sequence: u64,
    stats: Stats,
    newest: Timestamp,
}

impl Default for Tsdb {
    fn default() -> Tsdb {
        Tsdb::new(Settings::default())
    }
}

impl Tsdb {
    /// An empty store that keeps everything until it is told a retention.
    pub fn new(settings: Settings) -> Tsdb {
        Tsdb {
            settings,
            retention: Duration::MAX,
            pages: Pages::default(),
            slots_used: 0,
            free: FreeSlots::default(),
            newest_by_slot: Vec::new(),
            revisions: Vec::new(),
            next_revision: 1,
            by_labels: Table::default(),
            names: SharedNames::default(),
            index: Index::default(),
            created: Vec::new(),
            next_sequence: 1,
            stats: Stats::default(),
            newest: Timestamp::MIN,
        }
    }

    /// The series with exactly these labels.
    pub fn resolve(&self, labels: &Labels) -> Option<SeriesId> {
        let is_right = |slot| self.pages.labels(slot) == Some(labels);
        self.by_labels.find(labels.fingerprint().0, is_right).and_then(|slot| self.id_at(slot as usize))
    }

    /// Appends a number to the series with these labels, which is created if need be.
    pub fn append(&mut self, labels: &Labels, sample: Sample) -> Result<SeriesId, AppendError> {
        self.append_raw(labels, sample.into())
    }

    /// Appends a sample of any kind to the series with these labels, which is created if need be.
    pub fn append_point(&mut self, labels: &Labels, point: Point) -> Result<SeriesId, AppendError> {
        self.append_raw(labels, point.into())
    }

    /// Appends a number to a known series, which saves the look-up.
    pub fn append_to(&mut self, id: SeriesId, sample: Sample) -> Result<(), AppendError> {
        self.append_at(id, sample.into())
    }

    /// Appends a sample of any kind to a known series, which saves the look-up.
    pub fn append_point_to(&mut self, id: SeriesId, point: Point) -> Result<(), AppendError> {
        self.append_at(id, point.into())
    }

    /// Takes in a series that was put together elsewhere. What does not fit is counted as everywhere.
    pub fn adopt(&mut self, Assembled(mut series): Assembled) {
        if let Some(id) = self.resolve(&series.labels) {
            for raw in series.raws() {
                let _counted = self.append_at(id, raw);
            }
            return;
        }
        self.stats.samples_shed += series.shed(self.settings.samples_per_series_max) as u64;
        if self.limit(&series.labels, 0).is_some() {
            self.stats.samples_over_limit += series.len() as u64;
            return;
        }
        self.admit(series);
    }

    fn append_raw(&mut self, labels: &Labels, raw: Raw) -> Result<SeriesId, AppendError> {
        match self.resolve(labels) {
            Some(id) => self.append_at(id, raw).map(|()| id),
            None => self.create(labels, raw),
        }
    }

    fn create(&mut self, labels: &Labels, raw: Raw) -> Result<SeriesId, AppendError> {
        if let Some(limit) = self.limit(labels, 0) {
            self.stats.samples_over_limit += 1;
            return Err(AppendError::Limit { limit });
        }
        Ok(self.admit(Series::new(SeriesId::from_number(0), labels.clone(), raw)))
    }

    /// Which limit forbids a series with these labels, which is not there yet, if so many more were there already.
    pub fn limit(&self, labels: &Labels, more: usize) -> Option<Limit> {
        let series_max = self.settings.series_max.min(SeriesId::SLOTS_MAX);
        if self.stats.series.saturating_add(more) >= series_max {
            Some(Limit::Series(series_max))
        } else if self.bytes() >= self.settings.bytes_max {
            Some(Limit::Bytes(self.settings.bytes_max))
        } else {
            let Tenants { label, series_max } = self.settings.tenants.as_ref()?;
            let theirs = self.series_with(label, labels.get(label)?);
            (theirs >= *series_max).then_some(Limit::Tenant(*series_max))
        }
    }

    /// Gives a new series its place.
    fn admit(&mut self, mut series: Series) -> SeriesId {
        let slot = self.slot_for(series.labels.value_or_empty(METRIC_NAME_LABEL));
        let id = SeriesId::new(self.next_sequence, slot);
        self.next_sequence += 1;
        let labels = self.names.share(series.labels);
        (series.id, series.labels) = (id, labels.clone());
        let (time, samples) = (series.newest_time(), series.len());
        self.newest = self.newest.max(Timestamp::from_millis(time));
        self.newest_by_slot[slot as usize] = Newest::of(time, &series.newest());
        self.revise(slot as usize);
        self.stats.bytes += series.heap_bytes() + labels.heap_bytes();
        self.pages.0[slot as usize / PAGE][slot as usize % PAGE] = Some(series);
        self.by_labels.insert(labels.fingerprint().0, slot);
        self.index.insert(&labels, id, &self.pages);
        self.created.push(id);
        self.stats.series += 1;
        self.stats.series_created += 1;
        self.stats.samples += samples;
        self.stats.samples_appended += samples as u64;
        id
    }

    /// A slot beside those of the metric's other series, as rules read them one after the other.
    fn slot_for(&mut self, metric: &str) -> u32 {
        let group = index::hash(metric);
        if let Some(slot) = self.free.take(group) {
            return slot;
        }
        let left = SeriesId::SLOTS_MAX - self.slots_used;
        if (left == 0 || self.free.len() > FREE_MIN.max(self.stats.series / FREE_SHARE))
            && let Some(slot) = self.free.take_any()
        {
            return slot;
        }
        let others = self.index.count(METRIC_NAME_LABEL, metric, &self.pages);
        let size = (others / RUN_SHARE).clamp(1, RUN_MAX).min(left);
        let first = self.slots_used;
        self.slots_used += size;
        while self.slots_used > self.pages.0.len() * PAGE {
            self.pages.0.push((0..PAGE).map(|_| None).collect());
        }
        self.newest_by_slot.resize(self.slots_used, Newest { time: i64::MIN, value: Newest::NO_NUMBER });
        self.revisions.resize(self.slots_used, 0);
        let mut run = (first..self.slots_used).map(|slot| u32::try_from(slot).unwrap_or(u32::MAX));
        let slot = run.next().unwrap_or(u32::MAX);
        run.for_each(|slot| self.free.give(group, slot));
        slot
    }

    /// Notes that a series is not what it was, other than by a newer sample.
    fn revise(&mut self, slot: usize) {
        self.revisions[slot] = self.next_revision;
        self.next_revision += 1;
    }

    fn append_at(&mut self, id: SeriesId, raw: Raw) -> Result<(), AppendError> {
        let Settings { samples_per_series_max, bytes_max, out_of_order_window, .. } = self.settings;
        let cutoff = self.cutoff(Timestamp::from_millis(raw.time));
        let bytes = self.bytes();
        let series = self.pages.get_mut(id.slot()).filter(|series| series.id == id);
        let Some(series) = series else { return Err(AppendError::UnknownSeries) };
        let timestamp = Timestamp::from_millis(raw.time);
        let newest = Newest::of(raw.time, &raw.value);
        let mut revised = false;
        match series.place(&raw) {
            Place::SameAsStored => return Ok(()),
            Place::Conflict => {
                self.stats.samples_duplicate += 1;
                return Err(AppendError::DuplicateTimestamp { timestamp });
            }
            Place::Older => {
                let newest = Timestamp::from_millis(series.newest_time());
                if newest.since(timestamp) > out_of_order_window {
                    self.stats.samples_out_of_order += 1;
                    return Err(AppendError::OutOfOrder { timestamp, newest });
                }
                let before = series.heap_bytes();
                let value = raw.value.clone();
                if let Some(stored) = series.insert(raw) {
                    if stored == value {
                        return Ok(());
                    }
                    self.stats.samples_duplicate += 1;
                    return Err(AppendError::DuplicateTimestamp { timestamp });
                }
                self.stats.bytes = (self.stats.bytes + series.heap_bytes()).saturating_sub(before);
                revised = true;
            }
            Place::Newest if series.will_grow(&raw) => {
                // Before a series takes more memory it gives up what has expired; this spares a separate pass.
                let before = series.heap_bytes();
                let expired = series.drop_before(cutoff);
                let shed = series.shed(samples_per_series_max.saturating_sub(1));
                if expired + shed > 0 {
                    self.revisions[id.slot()] = self.next_revision;
                    self.next_revision += 1;
                }
                self.stats.samples_shed += shed as u64;
                self.stats.samples -= expired + shed;
                let given_up = before.saturating_sub(series.heap_bytes());
                let is_full = bytes.saturating_sub(given_up) >= bytes_max && series.will_grow(&raw);
                if !is_full {
                    series.push(raw);
                }
                self.stats.bytes = (self.stats.bytes + series.heap_bytes()).saturating_sub(before);
                if is_full {
                    self.stats.samples_over_limit += 1;
                    return Err(AppendError::Limit { limit: Limit::Bytes(bytes_max) });
                }
            }
            Place::Newest => series.push(raw),
        }
        if revised {
            self.revise(id.slot());
        } else {
            self.newest_by_slot[id.slot()] = newest;
        }
        self.newest = self.newest.max(timestamp);
        self.stats.samples += 1;
        self.stats.samples_appended += 1;
        Ok(())
    }

    /// The ids of all series that every matcher accepts, in a fixed order.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<SeriesId> {
        let Candidates { slots, untested } = self.index.candidates(matchers, &self.pages);
        let accepted = |slot: usize| {
            let series = self.pages.get(slot)?;
            untested.iter().all(|m| m.matches_labels(&series.labels)).then_some(series.id)
        };
        match slots {
            None => (0..self.slots_used).filter_map(accepted).collect(),
            Some(slots) => slots.into_iter().filter_map(|slot| accepted(slot as usize)).collect(),
        }
    }

    /// The series with this id, unless it is gone.
    pub fn series(&self, id: SeriesId) -> Option<SeriesView<'_>> {
        self.pages.get(id.slot()).filter(|series| series.id == id).map(|series| SeriesView { series })
    }

    /// The id of the series that lives in a slot.
    pub fn id_at(&self, slot: usize) -> Option<SeriesId> {
        self.pages.get(slot).map(|series| series.id)
    }

    /// All living series, in the order of creation.
    pub fn all_series(&self) -> impl Iterator<Item = SeriesView<'_>> {
        self.created.iter().filter_map(|id| self.series(*id))
    }

    /// The series that were created since the cursor, for whoever keeps an index over them.
    pub fn new_series_since(&self, cursor: Cursor) -> Created<'_> {
        let from = self.created.partition_point(|id| id.sequence() < cursor.0);
        Created { series: &self.created[from..], cursor: Cursor(self.next_sequence) }
    }

    /// Whether a series with this label may have been created since the cursor. The answer costs one look-up, however
    /// many series were.
    pub fn may_have_new(&self, cursor: Cursor, name: &str, value: &str) -> bool {
        let newest = match self.index.newest(name, value, &self.pages) {
            Some(NewestOf::Slot(slot)) => self.pages.get(slot as usize).map(|series| series.id.sequence()),
            Some(NewestOf::Sequence(sequence)) => Some(sequence),
            None => None,
        };
        newest.is_some_and(|sequence| sequence >= cursor.0)
    }

    /// Whether the cursor has seen all series that were created.
    pub fn is_newest_cursor(&self, cursor: Cursor) -> bool {
        cursor.0 == self.next_sequence
    }

    /// How many series have been removed so far: while it stays the same, ids that were alive are alive.
    pub fn removed_series(&self) -> u64 {
        self.stats.series_removed
    }

    /// A number that grows with everything that happens to the store: while it stays the same, so does every answer.
    pub fn changes(&self) -> u64 {
        self.stats.samples_appended + self.stats.series_removed + self.next_revision
    }

    /// The newest sample of each series, by [slot](SeriesId::slot); what stands at the slot of no living series means
    /// nothing.
    pub fn newest_by_slot(&self) -> &[Newest] {
        &self.newest_by_slot
    }

    /// For each slot a number that changes, and never comes again, when a series takes the slot, when a sample is put
    /// between older ones, and when old samples are dropped. Together with the newest time it tells whether anything
    /// about the series has changed.
    pub fn revisions(&self) -> &[u64] {
        &self.revisions
    }

    /// Keeps samples for this long before the newest time; rules' longest reach decides it.
    pub fn set_retention(&mut self, retention: Duration) {
        self.retention = retention;
    }

    fn cutoff(&self, now: Timestamp) -> i64 {
        if self.retention == Duration::MAX { i64::MIN } else { (now - self.retention).as_millis() }
    }

    /// Removes samples older than the retention, and series of which nothing is left.
    pub fn truncate(&mut self, now: Timestamp) -> Truncated {
        let (samples, old) = self.drop_old(now, 0..self.slots_used);
        let mut truncated = self.remove_old(now, &old);
        truncated.samples += samples;
        truncated
    }

    /// The first half of [`truncate`](Tsdb::truncate), for the series in some [slots](SeriesId::slot) at a time, so that
    /// a large store is never blocked for long: how many samples went, and the series that are all old, which stay.
    pub fn drop_old(&mut self, now: Timestamp, slots: Range<usize>) -> (u64, Vec<SeriesId>) {
        let cutoff = self.cutoff(now);
        let (mut samples, mut old) = (0, Vec::new());
        for slot in slots.start..slots.end.min(self.slots_used) {
            let Some(series) = self.pages.get_mut(slot) else { continue };
            if series.newest_time() < cutoff {
                old.push(series.id);
                continue;
            }
            let before = series.heap_bytes();
            let dropped = series.drop_before(cutoff);
            let after = series.heap_bytes();
            self.stats.bytes = (self.stats.bytes + after).saturating_sub(before);
            self.stats.samples -= dropped;
            samples += dropped as u64;
            if dropped > 0 {
                self.revise(slot);
            }
        }
        (samples, old)
    }

    /// The second half: removes those of these series that are all old still.
    pub fn remove_old(&mut self, now: Timestamp, old: &[SeriesId]) -> Truncated {
        let cutoff = self.cutoff(now);
        let mut truncated = Truncated::default();
        for id in old {
            let series = self.pages.get(id.slot()).filter(|series| series.id == *id && series.newest_time() < cutoff);
            if let Some(series) = series {
                truncated.samples += series.len() as u64;
                truncated.series.push(*id);
                self.remove(id.slot());
            }
        }
        if !truncated.series.is_empty() {
            let pages = &self.pages;
            self.created.retain(|id| pages.get(id.slot()).is_some_and(|series| series.id == *id));
        }
        truncated
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots_used
    }

    fn remove(&mut self, slot: usize) {
        let Some(series) = self.pages.get(slot) else { return };
        let key = u32::try_from(slot).unwrap_or(u32::MAX);
        let labels = series.labels.clone();
        self.stats.bytes = self.stats.bytes.saturating_sub(series.heap_bytes() + labels.heap_bytes());
        self.stats.samples -= series.len();
        self.stats.series -= 1;
        self.stats.series_removed += 1;
        self.index.remove(&labels, key, &self.pages);
        self.by_labels.remove(labels.fingerprint().0, key);
        self.pages.0[slot / PAGE][slot % PAGE] = None;
        self.free.give(index::hash(labels.value_or_empty(METRIC_NAME_LABEL)), key);
    }

    /// The names of all labels that some series has, in order.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.index.names()
    }

    /// The values that a label has in some series, each once, in no order that means anything.
    pub fn label_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.index.values(name, &self.pages)
    }

    /// How many series carry a label with this value. The answer costs one look-up.
    pub fn series_with(&self, name: &str, value: &str) -> usize {
        self.index.count(name, value, &self.pages)
    }

    /// The newest sample's time over all series, [`Timestamp::MIN`] in an empty store.
    pub fn newest_time(&self) -> Timestamp {
        self.newest
    }

    /// What is counted series by series, the index, and what all series lie in.
    fn bytes(&self) -> usize {
        let arrays = self.pages.0.len() * PAGE * size_of::<Option<Series>>()
            + self.newest_by_slot.capacity() * size_of::<Newest>()
            + self.revisions.capacity() * size_of::<u64>()
            + self.created.capacity() * size_of::<SeriesId>()
            + self.free.len() * FreeSlots::BYTES;
        self.stats.bytes + self.index.bytes() + self.by_labels.heap_bytes() + arrays
    }

    /// The limits that it was given.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the store holds and what has happened to it.
    pub fn stats(&self) -> Stats {
        Stats { bytes: self.bytes(), ..self.stats }
    }
}
