//! What one frame of the log holds: samples or events.
//!
//! Within a segment every text of a label set is written once, every label set once, and a sample then names its series
//! by a small number. A frame brings the texts and label sets that it is the first to use.

use std::collections::{BTreeMap, HashMap};

use watchfire_model::{Event, FieldValue, Labels, Timestamp};
use watchfire_tsdb::{Point, SampleValue};

use super::codec::{Reader, Unreadable, put_f64, put_length, put_signed, put_text, put_varint, unzigzag, zigzag};
use super::numbered::Texts;
use super::points::{WHOLE_MAX, as_whole, put_point, read_point};

/// Accepted input: what an entry of the log holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Label sets and their samples.
    Samples(Vec<(Labels, Vec<Point>)>),
    /// Events.
    Events(Vec<Event>),
}

/// A series as the caller numbers it, such as the series store does: an index for a dense array, and what tells apart
/// the series that had this index one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesNumber {
    /// A small number, unique among the series that live.
    pub slot: u32,
    /// Unique among all series that ever have this slot while a segment is written.
    pub life: u32,
}

/// The stable number of each sort of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Samples = 1,
    Events = 2,
}

impl FrameKind {
    pub(super) const fn from_byte(byte: u8) -> Option<FrameKind> {
        match byte {
            1 => Some(FrameKind::Samples),
            2 => Some(FrameKind::Events),
            _ => None,
        }
    }
}

/// What the segment under way has written already.
#[derive(Debug, Default)]
pub(super) struct WriteDictionary {
    texts: Texts,
    /// Of series that came with their labels only.
    by_labels: HashMap<Labels, u32>,
    /// By the caller's slots: the life of the series, and zero if it was not written yet, else its number in the segment
    /// plus one.
    by_slot: Vec<(u32, u32)>,
    series: u32,
    /// Bytes of dictionary in the segment, which a new segment would have to write again.
    pub(super) bytes: u64,
    // Buffers of the frame being encoded.
    new_texts: Vec<u8>,
    new_text_count: u32,
    new_series: Vec<u8>,
    new_series_count: u32,
    samples: Vec<u8>,
    sample_count: u64,
    last_series: u32,
    last_millis: i64,
}

/// Slots beyond are looked up by label set, so that one stray number does not take gigabytes.
const SLOTS_MAX: usize = 1 << 24;

/// Stands where a sample has its whole number and says that it is more than a number. No whole number of this size is
/// written.
const MORE_FOLLOWS: i64 = WHOLE_MAX.cast_signed();

/// A frame is ended when it is this long, far below what a frame may have.
const FRAME_BYTES: usize = 16 << 20;

impl WriteDictionary {
    fn text(&mut self, text: &str) -> u32 {
        let before = self.texts.len();
        let number = self.texts.number(text);
        if self.texts.len() > before {
            put_text(&mut self.new_texts, text);
            self.new_text_count += 1;
        }
        number
    }

    fn define(&mut self, labels: &Labels) -> u32 {
        put_length(&mut self.new_series, labels.len());
        let mut refs = std::mem::take(&mut self.new_series);
        for label in labels.iter() {
            for part in [label.name, label.value] {
                put_varint(&mut refs, u64::from(self.text(part)));
            }
        }
        self.new_series = refs;
        self.new_series_count += 1;
        let number = self.series;
        self.series += 1;
        number
    }

    #[inline]
    fn sample(&mut self, series: u32, point: &Point) {
        let out = &mut self.samples;
        // Series mostly come in the order in which they came before, so the next number is the expected one.
        let step = i64::from(series) - i64::from(self.last_series) - 1;
        let plain = if point.start.is_none() { point.value.float() } else { None };
        let whole = plain.map_or(Some(MORE_FOLLOWS), as_whole);
        put_varint(out, (zigzag(step) << 1) | u64::from(whole.is_some()));
        let millis = point.timestamp.as_millis();
        put_signed(out, millis.wrapping_sub(self.last_millis));
        match (whole, plain) {
            (Some(whole), _) => put_signed(out, whole),
            (None, Some(number)) => put_f64(out, number),
            (None, None) => {}
        }
        if plain.is_none() {
            put_point(out, point);
        }
        self.last_series = series;
        self.last_millis = millis;
        self.sample_count += 1;
    }

    /// Adds the samples of a label set to the frame being encoded.
    pub(super) fn add(&mut self, labels: &Labels, samples: &[Point]) {
        let series = match self.by_labels.get(labels) {
            Some(series) => *series,
            None => {
                let series = self.define(labels);
                self.by_labels.insert(labels.clone(), series);
                series
            }
        };
        for sample in samples {
            self.sample(series, sample);
        }
    }

    /// Adds a sample of a series that the caller numbers.
    pub(super) fn add_numbered(&mut self, number: SeriesNumber, sample: &Point, labels: impl FnOnce() -> Labels) {
        let slot = number.slot as usize;
        if slot >= SLOTS_MAX {
            self.add(&labels(), std::slice::from_ref(sample));
            return;
        }
        if self.by_slot.len() <= slot {
            self.by_slot.resize(slot + 1, (0, 0));
        }
        let series = match self.by_slot[slot] {
            (life, known) if life == number.life && known > 0 => known - 1,
            _ => {
                let labels = labels();
                // It came with its labels first, and comes under its number from now on.
                let series = self.by_labels.remove(&labels).unwrap_or_else(|| self.define(&labels));
                self.by_slot[slot] = (number.life, series + 1);
                series
            }
        };
        self.sample(series, sample);
    }

    /// Whether the frame being encoded is long enough; a longer batch goes on in another frame.
    pub(super) fn is_full(&self) -> bool {
        self.samples.len() + self.new_series.len() + self.new_texts.len() >= FRAME_BYTES
    }

    /// Ends the frame: writes its payload and forgets the buffers.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.by_labels.len() < self.by_labels.capacity() / 8 {
            self.by_labels.shrink_to(2 * self.by_labels.len());
        }
        let first_text = self.texts.len() - self.new_text_count as usize;
        put_length(out, first_text);
        put_varint(out, u64::from(self.new_text_count));
        out.extend_from_slice(&self.new_texts);
        put_varint(out, u64::from(self.series - self.new_series_count));
        put_varint(out, u64::from(self.new_series_count));
        out.extend_from_slice(&self.new_series);
        put_varint(out, self.sample_count);
        out.extend_from_slice(&self.samples);
        self.bytes += (self.new_texts.len() + self.new_series.len()) as u64;
        self.new_texts.clear();
        self.new_series.clear();
        self.samples.clear();
        (self.new_text_count, self.new_series_count, self.sample_count) = (0, 0, 0);
        (self.last_series, self.last_millis) = (0, 0);
    }
}

/// What the segment being read has brought so far.
#[derive(Debug, Default)]
pub(super) struct ReadDictionary {
    texts: Vec<Option<Box<str>>>,
    /// A hole where damage took a label set.
    pub(super) series: Vec<Option<Labels>>,
    pub(super) samples: Vec<(u32, Point)>,
    /// Samples whose series was lost with a damaged frame.
    pub(super) orphans: u64,
}

/// No frame that this version writes has more, so a number beyond is not worth the memory of a hole.
const HOLES_MAX: usize = 1 << 26;

impl ReadDictionary {
    /// Reads a frame of samples into `self.samples`.
    pub(super) fn read(&mut self, payload: &[u8]) -> Result<(), Unreadable> {
        let mut reader = Reader::new(payload);
        open_hole(&mut self.texts, reader.varint()?)?;
        for _ in 0..reader.count()? {
            self.texts.push(Some(reader.text()?.into()));
        }
        open_hole(&mut self.series, reader.varint()?)?;
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for _ in 0..reader.count()? {
            pairs.clear();
            let mut whole = true;
            for _ in 0..reader.count()? {
                let text = |number: u64| {
                    usize::try_from(number).ok().and_then(|n| self.texts.get(n)).and_then(|text| text.as_deref())
                };
                let (name, value) = (text(reader.varint()?), text(reader.varint()?));
                match (name, value) {
                    (Some(name), Some(value)) => pairs.push((name, value)),
                    _ => whole = false,
                }
            }
            self.series.push(whole.then(|| Labels::from_pairs(pairs.iter().copied())));
        }
        self.samples.clear();
        let (mut series, mut millis) = (0_i64, 0_i64);
        for _ in 0..reader.count()? {
            let head = reader.varint()?;
            series = series.wrapping_add(unzigzag(head >> 1)).wrapping_add(1);
            millis = millis.wrapping_add(reader.signed()?);
            let timestamp = Timestamp::from_millis(millis);
            let number = if head & 1 == 0 { Ok(reader.f64()?) } else { Err(reader.signed()?) };
            let point = match number {
                Ok(number) => Point { timestamp, start: None, value: SampleValue::Float(number) },
                Err(MORE_FOLLOWS) => read_point(&mut reader, timestamp)?,
                Err(whole) => Point { timestamp, start: None, value: SampleValue::Float(whole as f64) },
            };
            let known = u32::try_from(series).ok().filter(|s| matches!(self.series.get(*s as usize), Some(Some(_))));
            match known {
                Some(series) => self.samples.push((series, point)),
                None => self.orphans += 1,
            }
        }
        if reader.is_empty() { Ok(()) } else { Err(Unreadable("it is longer than it says")) }
    }
}

/// Makes the dictionary as long as the writer's was, where damage took frames that filled it.
fn open_hole<T>(table: &mut Vec<Option<T>>, length: u64) -> Result<(), Unreadable> {
    let length = usize::try_from(length).ok().filter(|length| *length <= table.len() + HOLES_MAX);
    let length = length.ok_or(Unreadable("its numbers do not follow those before"))?;
    table.resize_with(length, || None);
    Ok(())
}

/// Writes events until the frame is long enough, and answers how many: the others go on in another frame.
pub(super) fn put_events(out: &mut Vec<u8>, events: &[Event]) -> usize {
    let (mut payload, mut count) = (Vec::new(), 0);
    for event in events {
        if payload.len() >= FRAME_BYTES {
            break;
        }
        put_text(&mut payload, &event.id);
        put_signed(&mut payload, event.time.as_millis());
        put_text(&mut payload, &event.kind);
        put_length(&mut payload, event.fields.len());
        for (name, value) in &event.fields {
            put_text(&mut payload, name);
            put_field(&mut payload, value);
        }
        put_text(&mut payload, &event.body);
        count += 1;
    }
    put_length(out, count);
    out.append(&mut payload);
    count
}

pub(super) fn read_events(payload: &[u8]) -> Result<Vec<Event>, Unreadable> {
    let mut reader = Reader::new(payload);
    let count = reader.count()?;
    let mut events = Vec::with_capacity(count.min(1 << 16));
    for _ in 0..count {
        let id = reader.text()?.to_owned();
        let time = Timestamp::from_millis(reader.signed()?);
        let kind = reader.text()?.to_owned();
        let mut fields = BTreeMap::new();
        for _ in 0..reader.count()? {
            let name = reader.text()?.to_owned();
            fields.insert(name, read_field(&mut reader, 0)?);
        }
        events.push(Event { id, time, kind, fields, body: reader.text()?.to_owned() });
    }
    if reader.is_empty() { Ok(events) } else { Err(Unreadable("it is longer than it says")) }
}

fn put_field(out: &mut Vec<u8>, value: &FieldValue) {
    match value {
        FieldValue::Null => out.push(0),
        FieldValue::Bool(false) => out.push(1),
        FieldValue::Bool(true) => out.push(2),
        FieldValue::Int(int) => {
            out.push(3);
            put_signed(out, *int);
        }
        FieldValue::Float(float) => {
            out.push(4);
            put_f64(out, *float);
        }
        FieldValue::Text(text) => {
            out.push(5);
            put_text(out, text);
        }
        FieldValue::List(items) => {
            out.push(6);
            put_length(out, items.len());
            items.iter().for_each(|item| put_field(out, item));
        }
    }
}

/// JSON of which events are made is nested at most 128 deep.
const DEPTH_MAX: usize = 200;

fn read_field(reader: &mut Reader<'_>, depth: usize) -> Result<FieldValue, Unreadable> {
    Ok(match reader.byte()? {
        0 => FieldValue::Null,
        1 => FieldValue::Bool(false),
        2 => FieldValue::Bool(true),
        3 => FieldValue::Int(reader.signed()?),
        4 => FieldValue::Float(reader.f64()?),
        5 => FieldValue::Text(reader.text()?.to_owned()),
        6 if depth < DEPTH_MAX => {
            let count = reader.count()?;
            FieldValue::List((0..count).map(|_| read_field(reader, depth + 1)).collect::<Result<_, _>>()?)
        }
        _ => return Err(Unreadable("a field has an unknown type")),
    })
}
