//! One series and the views through which it is read.

use std::sync::Arc;

use watchfire_model::{Labels, Timestamp, heap_block};

use crate::chunk::{CHUNK_SAMPLES_MAX, Chunk, Raw};
use crate::{Histogram, Point, SampleValue, SamplesRef};

/// Identifies a series as long as it lives; never used again for another one.
///
/// Ids are ascending in the order of creation, and [`slot`](SeriesId::slot) is a small number that is unique among the
/// living series, made to index dense arrays with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(u64);

const SLOT_BITS: u32 = 24;

impl SeriesId {
    /// As many series can live at once.
    pub(crate) const SLOTS_MAX: usize = 1 << SLOT_BITS;

    pub(crate) fn new(sequence: u64, slot: u32) -> SeriesId {
        SeriesId(sequence << SLOT_BITS | u64::from(slot))
    }

    /// The position in dense arrays; reused after the series is gone.
    pub fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }

    /// The whole id as a number, for logs and tables that outlast the slot.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The id that [`SeriesId::number`] gave.
    pub fn from_number(number: u64) -> SeriesId {
        SeriesId(number)
    }

    /// How many series were created before this one.
    pub fn sequence(self) -> u64 {
        self.0 >> SLOT_BITS
    }
}

#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) id: SeriesId,
    pub(crate) labels: Labels,
    /// Closed chunks, oldest first; empty for the windows that most rules have.
    older: Vec<Chunk>,
    head: Chunk,
}

/// How a sample relates to those that are there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Newest,
    SameAsStored,
    Conflict,
    Older,
}

impl Series {
    pub(crate) fn new(id: SeriesId, labels: Labels, mut first: Raw) -> Series {
        if let SampleValue::Histogram(histogram) = &mut first.value {
            store_hint(histogram, None);
        }
        Series { id, labels, older: Vec::new(), head: Chunk::new(first) }
    }

    /// A series that is in no store yet; nothing if there is no sample, or one is not newer than that before it.
    fn assemble(labels: Labels, samples: SamplesRef<'_>) -> Option<Series> {
        let id = SeriesId(0);
        match samples {
            SamplesRef::Plain(samples) => {
                if !samples.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
                    return None;
                }
                let numbers: Vec<(i64, f64)> = samples.iter().map(|s| (s.timestamp.as_millis(), s.value)).collect();
                let mut chunks: Vec<Chunk> = numbers.chunks(CHUNK_SAMPLES_MAX).filter_map(Chunk::of).collect();
                let head = chunks.pop()?;
                chunks.shrink_to_fit();
                Some(Series { id, labels, older: chunks, head })
            }
            SamplesRef::Rich(points) => {
                let (first, rest) = points.split_first()?;
                let mut series = Series::new(id, labels, first.clone().into());
                for point in rest {
                    let raw = Raw::from(point.clone());
                    if series.place(&raw) != Place::Newest {
                        return None;
                    }
                    series.push(raw);
                }
                Some(series)
            }
        }
    }

    /// All samples, oldest first.
    pub(crate) fn raws(&self) -> impl Iterator<Item = Raw> {
        self.chunks().flat_map(|chunk| (0..chunk.len()).map(|position| chunk.raw(position)))
    }

    pub(crate) fn newest_time(&self) -> i64 {
        self.head.last_time()
    }

    pub(crate) fn newest(&self) -> SampleValue {
        self.head.newest()
    }

    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.older.iter().map(Chunk::len).sum::<usize>()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let chunks: usize = self.older.iter().map(Chunk::heap_bytes).sum();
        heap_block(self.older.capacity() * size_of::<Chunk>()) + chunks + self.head.heap_bytes()
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.older.iter().chain([&self.head])
    }

    fn chunk(&self, index: usize) -> &Chunk {
        self.older.get(index).unwrap_or(&self.head)
    }

    pub(crate) fn place(&self, raw: &Raw) -> Place {
        let newest = self.head.last_time();
        if raw.time > newest {
            Place::Newest
        } else if raw.time < newest {
            Place::Older
        } else if self.head.newest() == raw.value {
            Place::SameAsStored
        } else {
            Place::Conflict
        }
    }

    /// Whether appending this will take more memory.
    pub(crate) fn will_grow(&self, raw: &Raw) -> bool {
        self.head.is_full() || raw.start.is_some() || !self.head.accepts(&raw.value) || self.head.holds_histograms()
    }

    pub(crate) fn push(&mut self, mut raw: Raw) {
        if let SampleValue::Histogram(histogram) = &mut raw.value {
            let newest = self.head.newest();
            store_hint(histogram, newest.histogram().map(|previous| &**previous));
        }
        if self.head.accepts(&raw.value) {
            self.head.push(raw);
        } else {
            let closed = std::mem::replace(&mut self.head, Chunk::new(raw));
            self.older.reserve_exact(1);
            self.older.push(closed);
        }
    }

    /// Puts a sample between older ones, by rebuilding the series: that is rare, and the common case stays simple.
    /// Answers what lies at that time already, if something does.
    pub(crate) fn insert(&mut self, raw: Raw) -> Option<SampleValue> {
        let mut all: Vec<Raw> = self.raws().collect();
        let at = all.partition_point(|r| r.time < raw.time);
        if let Some(same) = all.get(at).filter(|r| r.time == raw.time) {
            return Some(same.value.clone());
        }
        all.insert(at, raw);
        let mut rest = all.into_iter();
        if let Some(first) = rest.next() {
            self.older = Vec::new();
            self.head = Chunk::new(first);
            rest.for_each(|raw| self.push(raw));
        }
        None
    }

    /// Removes samples before `cutoff`, but never the newest one; says how many.
    pub(crate) fn drop_before(&mut self, cutoff: i64) -> usize {
        let whole = self.older.iter().take_while(|chunk| chunk.last_time() < cutoff).count();
        let mut dropped: usize = self.older.drain(..whole).map(|chunk| chunk.len()).sum();
        if whole > 0 {
            self.older.shrink_to_fit();
        }
        let first = self.older.first_mut().unwrap_or(&mut self.head);
        if first.first_time() < cutoff {
            let count = first.count_through(cutoff - 1).min(first.len() - 1);
            if count > 0 {
                first.drop_front(count);
                dropped += count;
            }
        }
        dropped
    }

    /// Removes the oldest samples so that at most `keep` are left.
    pub(crate) fn shed(&mut self, keep: usize) -> usize {
        let mut surplus = self.len().saturating_sub(keep.max(1));
        let dropped = surplus;
        while surplus > 0 {
            let first = self.older.first_mut().unwrap_or(&mut self.head);
            if first.len() <= surplus {
                surplus -= first.len();
                self.older.remove(0);
            } else {
                first.drop_front(surplus);
                surplus = 0;
            }
        }
        dropped
    }

    /// The position behind the last sample at `time` or before it: a chunk and how many of its samples belong.
    fn position_after(&self, time: i64) -> (usize, usize) {
        // Queries read the newest end nearly always, and the head is the only chunk of most series.
        if time >= self.head.first_time() {
            return (self.older.len(), self.head.count_through(time));
        }
        let index = self.older.partition_point(|chunk| chunk.first_time() <= time);
        if index == 0 {
            return (0, 0);
        }
        (index - 1, self.older[index - 1].count_through(time))
    }
}

/// A series with its samples, put together apart from any store, such as by several threads at once;
/// [`Tsdb::adopt`](crate::Tsdb::adopt) takes it in.
#[derive(Debug)]
pub struct Assembled(pub(crate) Series);

impl Assembled {
    /// From labels and samples; nothing if there is no sample, or one is not newer than that before it.
    pub fn new(labels: Labels, samples: SamplesRef<'_>) -> Option<Assembled> {
        Series::assemble(labels, samples).map(Assembled)
    }

    /// The series, to be read.
    pub fn view(&self) -> SeriesView<'_> {
        SeriesView { series: &self.0 }
    }

    /// Bytes that it takes, without its labels, which it shares with the series that it was copied from.
    pub fn bytes(&self) -> usize {
        size_of::<Series>() + self.0.heap_bytes()
    }
}

fn store_hint(histogram: &mut Arc<Histogram>, previous: Option<&Histogram>) {
    let hint = histogram.hint_after(previous);
    if histogram.counter_reset_hint != hint {
        Arc::make_mut(histogram).counter_reset_hint = hint;
    }
}

/// A series, borrowed from the store.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    pub(crate) series: &'a Series,
}

impl<'a> SeriesView<'a> {
    /// The series' id.
    pub fn id(&self) -> SeriesId {
        self.series.id
    }

    /// The series' labels, `__name__` among them.
    pub fn labels(&self) -> &'a Labels {
        &self.series.labels
    }

    /// The newest sample.
    pub fn newest(&self) -> Point {
        let chunk = &self.series.head;
        point(chunk, chunk.len() - 1)
    }

    /// The newest sample's time.
    pub fn newest_time(&self) -> Timestamp {
        Timestamp::from_millis(self.series.newest_time())
    }

    /// The newest sample at `time` or before it.
    pub fn at(&self, time: Timestamp) -> Option<Point> {
        let time = time.as_millis();
        let head = &self.series.head;
        if time >= head.last_time() {
            let start = if head.has_starts() { head.start(head.len() - 1) } else { None };
            return Some(Point {
                timestamp: Timestamp::from_millis(head.last_time()),
                start: start.map(Timestamp::from_millis),
                value: head.newest(),
            });
        }
        let (chunk, count) = self.series.position_after(time);
        (count > 0).then(|| point(self.series.chunk(chunk), count - 1))
    }

    /// The samples after `after` up to and including `through`, oldest first.
    pub fn window(&self, after: Timestamp, through: Timestamp) -> Window<'a> {
        let from = self.series.position_after(after.as_millis());
        let to = self.series.position_after(through.as_millis());
        Window { series: self.series, from, to: to.max(from) }
    }

    /// A copy with all samples after `after`, and some of those before; nothing if there is none after it.
    pub fn copy_after(&self, after: Timestamp) -> Option<Assembled> {
        let Series { id, labels, older, head } = self.series;
        let after = after.as_millis();
        if head.last_time() <= after {
            return None;
        }
        let older = older[older.partition_point(|chunk| chunk.last_time() <= after)..].to_vec();
        Some(Assembled(Series { id: *id, labels: labels.clone(), older, head: head.clone() }))
    }

    /// All samples, oldest first.
    pub fn samples(&self) -> Window<'a> {
        let last = self.series.older.len();
        Window { series: self.series, from: (0, 0), to: (last, self.series.head.len()) }
    }
}

fn point(chunk: &Chunk, position: usize) -> Point {
    let Raw { time, start, value } = chunk.raw(position);
    Point { timestamp: Timestamp::from_millis(time), start: start.map(Timestamp::from_millis), value }
}

/// Consecutive samples of one series.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    series: &'a Series,
    from: (usize, usize),
    to: (usize, usize),
}

impl<'a> Window<'a> {
    /// Each chunk with the range of its samples that belong to the window.
    fn parts(&self) -> impl DoubleEndedIterator<Item = (&'a Chunk, usize, usize)> + use<'a> {
        let Window { series, from, to } = *self;
        (from.0..=to.0).map(move |index| {
            let chunk = series.chunk(index);
            let start = if index == from.0 { from.1 } else { 0 };
            let end = if index == to.0 { to.1 } else { chunk.len() };
            (chunk, start, end.max(start))
        })
    }

    /// When the last sample before the window was.
    pub fn before(&self) -> Option<Timestamp> {
        let (index, count) = self.from;
        let time = match (count, index) {
            (0, 0) => return None,
            (0, _) => self.series.chunk(index - 1).last_time(),
            _ => self.series.chunk(index).time(count - 1),
        };
        Some(Timestamp::from_millis(time))
    }

    /// When the first sample behind the window is.
    pub fn after(&self) -> Option<Timestamp> {
        let (index, count) = self.to;
        let chunk = self.series.chunk(index);
        let time = if count < chunk.len() {
            chunk.time(count)
        } else if index < self.series.older.len() {
            self.series.chunk(index + 1).first_time()
        } else {
            return None;
        };
        Some(Timestamp::from_millis(time))
    }

    /// How many samples there are, staleness markers included.
    pub fn len(&self) -> usize {
        self.parts().map(|(_, start, end)| end - start).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every sample, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Point> + use<'a> {
        self.parts().flat_map(|(chunk, start, end)| (start..end).map(move |i| point(chunk, i)))
    }

    /// Whether the window holds numbers alone, so that [`floats_into`](Window::floats_into) tells all about it.
    pub fn is_plain(&self) -> bool {
        self.parts().all(|(chunk, start, end)| start == end || !(chunk.holds_histograms() || chunk.has_starts()))
    }

    /// Appends times in milliseconds and numbers, staleness markers included; native histograms are left out.
    pub fn floats_into(&self, out: &mut Vec<(i64, f64)>) {
        for (chunk, start, end) in self.parts() {
            if start < end && !chunk.holds_histograms() {
                chunk.floats_into(start, end, out);
            }
        }
    }
}
