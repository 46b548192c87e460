//! A run of samples in columns of fixed width.
//!
//! Times are kept as deviations from a straight line (`first + position * step`): a series that arrives regularly
//! needs no byte for them. Values are kept as the narrowest of: nothing (all equal), a distance of one, two or four bytes
//! from a base, counted in units of some power of ten (`12.75` is 1275 hundredths), a 32-bit float, a 64-bit float; all
//! of them lossless. Fixed width costs a little more than bit packing on noisy floats and nothing on counters, states
//! and measurements that were written as decimals, and it buys what an alert engine does most: any sample and any window
//! is addressed by arithmetic, old samples fall off the front without re-encoding, and nothing has to be decoded in
//! sequence.

use std::sync::Arc;

use watchfire_model::{Sample, Timestamp, heap_block};

use crate::{Histogram, Point, SampleValue};

/// A chunk is closed at this size, which bounds what a change of encoding has to rewrite.
pub(crate) const CHUNK_SAMPLES_MAX: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeCode {
    Regular,
    I16,
    I32,
    I64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueCode {
    Constant,
    I8,
    I16,
    I32,
    F32,
    F64,
    Histogram,
}

/// What few samples have: when counting began, and native histograms. One entry per sample in each used column.
#[derive(Clone, Debug, Default)]
struct Side {
    starts: Vec<Option<i64>>,
    histograms: Vec<Arc<Histogram>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    first: i64,
    last: i64,
    /// What distances are counted from, in units; the number itself where all are equal.
    base: f64,
    /// `count` records of the time's and the value's width.
    data: Vec<u8>,
    side: Option<Box<Side>>,
    step: u32,
    count: u8,
    times: TimeCode,
    values: ValueCode,
    /// Distances are counted in units of ten to the power of minus this.
    decimals: u8,
}

/// What one sample needs to be written.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) time: i64,
    pub(crate) start: Option<i64>,
    pub(crate) value: SampleValue,
}

impl From<Sample> for Raw {
    fn from(sample: Sample) -> Raw {
        Raw { time: sample.timestamp.as_millis(), start: None, value: SampleValue::Float(sample.value) }
    }
}

impl From<Point> for Raw {
    fn from(point: Point) -> Raw {
        let start = point.start.map(Timestamp::as_millis);
        Raw { time: point.timestamp.as_millis(), start, value: point.value }
    }
}

impl TimeCode {
    fn width(self) -> usize {
        match self {
            TimeCode::Regular => 0,
            TimeCode::I16 => 2,
            TimeCode::I32 => 4,
            TimeCode::I64 => 8,
        }
    }

    fn for_deviation(deviation: i64) -> TimeCode {
        if deviation == 0 {
            TimeCode::Regular
        } else if i16::try_from(deviation).is_ok() {
            TimeCode::I16
        } else if i32::try_from(deviation).is_ok() {
            TimeCode::I32
        } else {
            TimeCode::I64
        }
    }
}

impl ValueCode {
    fn width(self) -> usize {
        match self {
            ValueCode::Constant | ValueCode::Histogram => 0,
            ValueCode::I8 => 1,
            ValueCode::I16 => 2,
            ValueCode::I32 | ValueCode::F32 => 4,
            ValueCode::F64 => 8,
        }
    }
}

/// Integers up to here are exact in a double, and so are their differences.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The units that distances may be counted in. A power of ten is exact in a double up to 22, and so is a quotient of two
/// exact numbers the nearest double to it: what a decimal text is read as.
const UNITS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// `value` as a count of units if nothing is lost by that, not even the sign of zero.
fn in_units(value: f64, decimals: u8) -> Option<i64> {
    let unit = UNITS[usize::from(decimals)];
    let whole = (value * unit).round();
    let count = whole as i64;
    (whole.abs() <= EXACT && (count as f64 / unit).to_bits() == value.to_bits()).then_some(count)
}

/// The fewest decimals with which all numbers are counts of units.
fn common_decimals(all: &[(i64, f64)]) -> Option<u8> {
    let mut decimals = 0;
    for (_, value) in all {
        while in_units(*value, decimals).is_none() {
            decimals += 1;
            if usize::from(decimals) == UNITS.len() {
                return None;
            }
        }
    }
    // Large numbers may be counted in coarse units only.
    all.iter().all(|(_, value)| in_units(*value, decimals).is_some()).then_some(decimals)
}

/// The narrowest code for a distance.
fn distance_code(distance: i64) -> Option<ValueCode> {
    if i8::try_from(distance).is_ok() {
        Some(ValueCode::I8)
    } else if i16::try_from(distance).is_ok() {
        Some(ValueCode::I16)
    } else if i32::try_from(distance).is_ok() {
        Some(ValueCode::I32)
    } else {
        None
    }
}

fn fits_f32(value: f64) -> bool {
    f64::from(value as f32).to_bits() == value.to_bits()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl Chunk {
    pub(crate) fn new(raw: Raw) -> Chunk {
        let mut chunk = Chunk {
            first: raw.time,
            last: raw.time,
            base: 0.0,
            data: Vec::new(),
            side: None,
            step: 0,
            count: 1,
            times: TimeCode::Regular,
            values: ValueCode::Constant,
            decimals: 0,
        };
        match raw.value {
            SampleValue::Float(value) => chunk.base = value,
            SampleValue::Histogram(histogram) => {
                chunk.values = ValueCode::Histogram;
                chunk.side.get_or_insert_default().histograms.push(histogram);
            }
        }
        if raw.start.is_some() {
            chunk.side.get_or_insert_default().starts.push(raw.start);
        }
        chunk
    }

    /// Numbers in one go, in the order of their times; at least one, and at most [`CHUNK_SAMPLES_MAX`].
    pub(crate) fn of(all: &[(i64, f64)]) -> Option<Chunk> {
        let (time, number) = *all.first()?;
        let mut chunk = Chunk::new(Raw { time, start: None, value: SampleValue::Float(number) });
        if let Some((second, _)) = all.get(1) {
            chunk.step = second.checked_sub(time).and_then(|step| u32::try_from(step).ok()).unwrap_or(0);
            chunk.encode(all);
        }
        Some(chunk)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.count)
    }

    pub(crate) fn first_time(&self) -> i64 {
        self.first
    }

    pub(crate) fn last_time(&self) -> i64 {
        self.last
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let side = self.side.as_ref().map_or(0, |side| {
            let histograms: usize = side.histograms.iter().map(|h| h.heap_bytes() + 24).sum();
            heap_block(size_of::<Side>()) + heap_block(side.starts.capacity() * 16) + histograms
        });
        heap_block(self.data.capacity()) + side
    }

    /// Whether a sample of this kind may be appended here, or needs a chunk of its own.
    pub(crate) fn accepts(&self, value: &SampleValue) -> bool {
        let histograms = self.values == ValueCode::Histogram;
        self.len() < CHUNK_SAMPLES_MAX && histograms == matches!(value, SampleValue::Histogram(_))
    }

    /// Whether the next record needs more memory.
    pub(crate) fn is_full(&self) -> bool {
        self.data.len() + self.record() > self.data.capacity()
    }

    fn record(&self) -> usize {
        self.times.width() + self.values.width()
    }

    fn line(&self, position: usize) -> i64 {
        self.first.wrapping_add((position as i64).wrapping_mul(i64::from(self.step)))
    }

    pub(crate) fn time(&self, position: usize) -> i64 {
        let at = position * self.record();
        let deviation = match self.times {
            TimeCode::Regular => 0,
            TimeCode::I16 => i64::from(i16::from_le_bytes(array(&self.data, at))),
            TimeCode::I32 => i64::from(i32::from_le_bytes(array(&self.data, at))),
            TimeCode::I64 => i64::from_le_bytes(array(&self.data, at)),
        };
        self.line(position).wrapping_add(deviation)
    }

    /// The number that lies `distance` units from the base.
    fn number(&self, distance: impl Into<f64>) -> f64 {
        (self.base + distance.into()) / UNITS[usize::from(self.decimals)]
    }

    /// The distance of `number` from the base in units, if there is one without loss.
    fn distance(&self, number: f64) -> Option<i64> {
        in_units(number, self.decimals)?.checked_sub(self.base as i64)
    }

    /// The number at `position`; meaningless in a chunk of histograms.
    pub(crate) fn float(&self, position: usize) -> f64 {
        let at = position * self.record() + self.times.width();
        match self.values {
            ValueCode::Constant | ValueCode::Histogram => self.base,
            ValueCode::I8 => self.number(i8::from_le_bytes(array(&self.data, at))),
            ValueCode::I16 => self.number(i16::from_le_bytes(array(&self.data, at))),
            ValueCode::I32 => self.number(i32::from_le_bytes(array(&self.data, at))),
            ValueCode::F32 => f64::from(f32::from_le_bytes(array(&self.data, at))),
            ValueCode::F64 => f64::from_le_bytes(array(&self.data, at)),
        }
    }

    /// The last sample's value.
    pub(crate) fn newest(&self) -> SampleValue {
        self.value(self.len() - 1)
    }

    pub(crate) fn holds_histograms(&self) -> bool {
        self.values == ValueCode::Histogram
    }

    /// Whether some sample says since when it counts.
    pub(crate) fn has_starts(&self) -> bool {
        self.side.as_ref().is_some_and(|side| !side.starts.is_empty())
    }

    pub(crate) fn value(&self, position: usize) -> SampleValue {
        match &self.side {
            Some(side) if self.holds_histograms() => SampleValue::Histogram(Arc::clone(&side.histograms[position])),
            _ => SampleValue::Float(self.float(position)),
        }
    }

    pub(crate) fn start(&self, position: usize) -> Option<i64> {
        self.side.as_ref().and_then(|side| side.starts.get(position).copied().flatten())
    }

    pub(crate) fn raw(&self, position: usize) -> Raw {
        Raw { time: self.time(position), start: self.start(position), value: self.value(position) }
    }

    /// How many samples are at `time` or before it.
    pub(crate) fn count_through(&self, time: i64) -> usize {
        if time < self.first {
            return 0;
        }
        if time >= self.last {
            return self.len();
        }
        if self.times == TimeCode::Regular && self.step > 0 {
            return usize::try_from(time.wrapping_sub(self.first) / i64::from(self.step)).map_or(0, |n| n + 1);
        }
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.time(middle) <= time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Appends the times and numbers of `from..to`, in one tight loop for each of both.
    pub(crate) fn floats_into(&self, from: usize, to: usize, out: &mut Vec<(i64, f64)>) {
        let (width, record) = (self.times.width(), self.record());
        let records = || self.data[from * record..to * record].chunks_exact(record.max(1));
        let step = i64::from(self.step);
        let first = self.line(from);
        let line = (0..).map(|i: i64| first.wrapping_add(i.wrapping_mul(step))).take(to - from);
        let before = out.len();
        match self.times {
            TimeCode::Regular => out.extend(line.map(|t| (t, 0.0))),
            TimeCode::I16 => out.extend(
                line.zip(records()).map(|(t, r)| (t.wrapping_add(i64::from(i16::from_le_bytes(array(r, 0)))), 0.0)),
            ),
            TimeCode::I32 => out.extend(
                line.zip(records()).map(|(t, r)| (t.wrapping_add(i64::from(i32::from_le_bytes(array(r, 0)))), 0.0)),
            ),
            TimeCode::I64 => {
                out.extend(line.zip(records()).map(|(t, r)| (t.wrapping_add(i64::from_le_bytes(array(r, 0))), 0.0)));
            }
        }
        let (base, unit) = (self.base, UNITS[usize::from(self.decimals)]);
        let values = out[before..].iter_mut().map(|(_, value)| value);
        match self.values {
            ValueCode::Constant | ValueCode::Histogram => values.for_each(|v| *v = base),
            ValueCode::I8 => values.zip(records()).for_each(|(v, r)| *v = (base + f64::from(r[width] as i8)) / unit),
            ValueCode::I16 => values
                .zip(records())
                .for_each(|(v, r)| *v = (base + f64::from(i16::from_le_bytes(array(r, width)))) / unit),
            ValueCode::I32 => values
                .zip(records())
                .for_each(|(v, r)| *v = (base + f64::from(i32::from_le_bytes(array(r, width)))) / unit),
            ValueCode::F32 => {
                values.zip(records()).for_each(|(v, r)| *v = f64::from(f32::from_le_bytes(array(r, width))));
            }
            ValueCode::F64 => values.zip(records()).for_each(|(v, r)| *v = f64::from_le_bytes(array(r, width))),
        }
    }

    /// Appends a sample that is newer than all others and that the chunk [accepts](Chunk::accepts).
    pub(crate) fn push(&mut self, raw: Raw) {
        let Raw { time, start, value } = raw;
        if self.count == 1 && self.times == TimeCode::Regular {
            self.step = time.checked_sub(self.first).and_then(|d| u32::try_from(d).ok()).unwrap_or(0);
        }
        let deviation = time.wrapping_sub(self.line(self.len()));
        let time_fits = match self.times {
            TimeCode::Regular => deviation == 0,
            TimeCode::I16 => i16::try_from(deviation).is_ok(),
            TimeCode::I32 => i32::try_from(deviation).is_ok(),
            TimeCode::I64 => true,
        };
        let number = value.float().unwrap_or(0.0);
        let value_fits = match self.values {
            ValueCode::Constant => number.to_bits() == self.base.to_bits(),
            ValueCode::I8 | ValueCode::I16 | ValueCode::I32 => {
                let code = self.distance(number).and_then(distance_code);
                code.is_some_and(|code| code.width() <= self.values.width())
            }
            ValueCode::F32 => fits_f32(number),
            ValueCode::F64 | ValueCode::Histogram => true,
        };
        if start.is_some() || self.has_starts() {
            let before = self.len();
            let side = self.side.get_or_insert_default();
            side.starts.resize(before, None);
            side.starts.push(start);
        }
        if let SampleValue::Histogram(histogram) = value {
            self.side.get_or_insert_default().histograms.push(histogram);
        }
        if time_fits && value_fits {
            self.reserve();
            self.write(deviation, number);
            self.count += 1;
            self.last = time;
        } else {
            self.rewrite(time, number);
        }
    }

    /// Grows by a quarter at a time: doubling would waste more than the samples of a short window take.
    fn reserve(&mut self) {
        if self.is_full() {
            let records = (self.len() / 4).max(4);
            self.data.reserve_exact(records * self.record());
        }
    }

    fn write(&mut self, deviation: i64, number: f64) {
        match self.times {
            TimeCode::Regular => {}
            TimeCode::I16 => self.data.extend_from_slice(&(deviation as i16).to_le_bytes()),
            TimeCode::I32 => self.data.extend_from_slice(&(deviation as i32).to_le_bytes()),
            TimeCode::I64 => self.data.extend_from_slice(&deviation.to_le_bytes()),
        }
        match self.values {
            ValueCode::Constant | ValueCode::Histogram => {}
            // Only numbers come here of which the distance is known to be exact and to fit.
            ValueCode::I8 | ValueCode::I16 | ValueCode::I32 => {
                let distance = self.distance(number).unwrap_or_default().to_le_bytes();
                self.data.extend_from_slice(&distance[..self.values.width()]);
            }
            ValueCode::F32 => self.data.extend_from_slice(&(number as f32).to_le_bytes()),
            ValueCode::F64 => self.data.extend_from_slice(&number.to_le_bytes()),
        }
    }

    /// Encodes everything anew, with one more sample, in the narrowest codes that hold all of it.
    fn rewrite(&mut self, time: i64, number: f64) {
        let mut all = Vec::with_capacity(self.len() + 1);
        self.floats_into(0, self.len(), &mut all);
        all.push((time, number));
        self.encode(&all);
    }

    /// Encodes these samples in the narrowest codes that hold all of them. The first one and the step are known.
    fn encode(&mut self, all: &[(i64, f64)]) {
        let Some((time, _)) = all.last().copied() else { return };
        let gaps = (all.len() - 1) as i64;
        if let Some(span) = time.checked_sub(self.first) {
            // The mean gap keeps the line close to jittered times; an exact first gap is kept where it fits most of them.
            let exact = all.iter().zip(&all[1..]).filter(|(a, b)| b.0 - a.0 == i64::from(self.step)).count() as i64;
            if exact * 2 < gaps {
                self.step = u32::try_from((span + gaps / 2) / gaps).unwrap_or(0);
            }
        }
        let widest = (0..all.len()).map(|i| TimeCode::for_deviation(all[i].0.wrapping_sub(self.line(i))));
        self.times = widest.max_by_key(|code| code.width()).unwrap_or(TimeCode::I64);
        if !self.holds_histograms() {
            self.choose_value_code(all);
        }
        self.data = Vec::new();
        self.data.reserve_exact((all.len() + all.len().max(16) / 4) * self.record());
        for (i, (time, number)) in all.iter().enumerate() {
            self.write(time.wrapping_sub(self.line(i)), *number);
        }
        self.count = u8::try_from(all.len()).unwrap_or(u8::MAX);
        self.last = time;
    }

    /// Sets the narrowest code that holds all numbers without loss.
    fn choose_value_code(&mut self, all: &[(i64, f64)]) {
        let first = all[0].1;
        self.base = first;
        self.values = if all.iter().all(|(_, v)| v.to_bits() == first.to_bits()) {
            ValueCode::Constant
        } else if let Some((decimals, base, code)) = counted(all) {
            (self.decimals, self.base) = (decimals, base as f64);
            code
        } else if all.iter().all(|(_, v)| fits_f32(*v)) {
            ValueCode::F32
        } else {
            ValueCode::F64
        };
    }

    /// Removes the oldest `count` samples; at least one must be left.
    pub(crate) fn drop_front(&mut self, count: usize) {
        let first = self.time(count);
        let shift = first.wrapping_sub(self.line(count));
        let line = self.line(count);
        self.data.drain(..count * self.record());
        self.count -= u8::try_from(count).unwrap_or(0);
        if let Some(side) = &mut self.side {
            let starts = count.min(side.starts.len());
            side.starts.drain(..starts);
            let histograms = count.min(side.histograms.len());
            side.histograms.drain(..histograms);
        }
        self.first = first;
        if shift != 0 {
            // The line has to start at the first sample; all deviations shift by what the first one deviated.
            self.first = line;
            self.realign(shift);
        }
    }

    fn realign(&mut self, shift: i64) {
        let all: Vec<(i64, f64)> = (0..self.len()).map(|i| (self.time(i), self.float(i))).collect();
        self.first = self.first.wrapping_add(shift);
        let widest = (0..all.len()).map(|i| TimeCode::for_deviation(all[i].0.wrapping_sub(self.line(i))));
        self.times = widest.max_by_key(|code| code.width()).unwrap_or(TimeCode::I64);
        self.data.clear();
        for (i, (time, number)) in all.iter().enumerate() {
            self.write(time.wrapping_sub(self.line(i)), *number);
        }
    }
}

/// All numbers as distances from the first one: the decimals, the first one in units, and the code of the widest.
fn counted(all: &[(i64, f64)]) -> Option<(u8, i64, ValueCode)> {
    let decimals = common_decimals(all)?;
    let base = in_units(all[0].1, decimals)?;
    let mut widest = ValueCode::I8;
    for (_, value) in all {
        let code = distance_code(in_units(*value, decimals)?.checked_sub(base)?)?;
        if code.width() > widest.width() {
            widest = code;
        }
    }
    Some((decimals, base, widest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(samples: &[(i64, f64)]) -> Chunk {
        let raw = |(time, value): (i64, f64)| Raw { time, start: None, value: SampleValue::Float(value) };
        let mut chunk = Chunk::new(raw(samples[0]));
        samples[1..].iter().for_each(|s| chunk.push(raw(*s)));
        chunk
    }

    fn read(chunk: &Chunk) -> Vec<(i64, u64)> {
        let mut out = Vec::new();
        chunk.floats_into(0, chunk.len(), &mut out);
        out.into_iter().map(|(t, v)| (t, v.to_bits())).collect()
    }

    #[test]
    fn every_encoding_gives_back_what_was_put_in() {
        let stale = watchfire_model::STALE_NAN;
        let tables: [&[f64]; 11] = [
            &[0.1, 0.25, -3.75, 1e6],
            &[0.1 + 0.2, 0.3, 0.0001, 1e-9],
            &[9_007_199_254_740_992.0, 0.5, 4.0, -0.1],
            &[1.0, 1.0, 1.0, 1.0],
            &[0.0, 1.0, 0.0, -1.0],
            &[1000.0, 1300.0, 900.0, 40_000.0],
            &[1e9, 1e9 + 1.0, 2e9, 3e9],
            &[0.5, 0.25, 1.0, 0.125],
            &[0.1, 0.2, 0.3, f64::NAN],
            &[-0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY],
            &[7.0, 8.0, stale, 9e300],
        ];
        let times: [&[i64]; 4] = [
            &[0, 15_000, 30_000, 45_000],
            &[0, 15_001, 29_999, 45_000],
            &[0, 1, 15_000, 86_400_000],
            &[i64::MIN, -5, 0, i64::MAX],
        ];
        for values in tables {
            for times in times {
                let samples: Vec<_> = times.iter().copied().zip(values.iter().copied()).collect();
                let mut chunk = chunk(&samples);
                let expected: Vec<_> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
                assert_eq!(read(&chunk), expected);
                for (i, (time, _)) in samples.iter().enumerate() {
                    assert_eq!(chunk.count_through(*time), i + 1, "{times:?}");
                }
                chunk.drop_front(2);
                assert_eq!(read(&chunk), expected[2..]);
            }
        }
    }

    #[test]
    fn a_regular_counter_takes_no_byte_for_times_and_two_for_values() {
        let samples: Vec<_> = (0..26).map(|i| (i * 15_000, 1e6 + 100.0 * i as f64)).collect();
        let chunk = chunk(&samples);
        assert_eq!(chunk.record(), 2);
        assert!(chunk.data.capacity() <= 2 * 40, "{}", chunk.data.capacity());
    }

    #[test]
    fn what_was_written_with_few_decimals_is_counted_in_units() {
        for (unit, width) in [(10.0, 2), (1_000.0, 2), (1e9, 2), (1e10, 8)] {
            let samples: Vec<_> = (0..26).map(|i| (i * 15_000, (123_457 + 1_003 * i) as f64 / unit)).collect();
            assert_eq!(chunk(&samples).record(), width, "{unit}");
        }
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            // Any bits at all: payloads of NaN, subnormals, infinities.
            2 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(watchfire_model::STALE_NAN),
            1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0), Just(f64::MAX), Just(5e-324)],
            3 => (-1_000i32..1_000).prop_map(f64::from),
            3 => (any::<i32>(), 0usize..12).prop_map(|(n, decimals)| f64::from(n) / 10f64.powi(decimals as i32)),
            1 => any::<i64>().prop_map(|n| n as f64),
        ]
    }

    /// Mostly one kind of numbers, as series have them, so that every code is reached.
    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        let of_one_kind = (any::<i32>(), 0i32..11, proptest::collection::vec(-70_000i64..70_000, 1..CHUNK_SAMPLES_MAX))
            .prop_map(|(start, decimals, steps)| {
                let number = |step: i64| (i64::from(start) + step) as f64 / 10f64.powi(decimals);
                steps.into_iter().map(number).collect()
            });
        prop_oneof![of_one_kind, proptest::collection::vec(number(), 1..CHUNK_SAMPLES_MAX)]
    }

    fn gaps() -> impl Strategy<Value = Vec<u64>> {
        let gap = prop_oneof![20 => Just(15_000u64), 5 => 14_900u64..15_100, 1 => 1u64..10_000_000, 1 => 1u64..1 << 57];
        prop_oneof![
            Just(vec![15_000; CHUNK_SAMPLES_MAX]),
            proptest::collection::vec(gap, CHUNK_SAMPLES_MAX..CHUNK_SAMPLES_MAX + 1)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_samples_come_back_bit_for_bit(
            start in prop_oneof![Just(1_700_000_000_000i64), any::<i64>().prop_map(|t| t / 2)],
            gaps in gaps(),
            numbers in numbers(),
            dropped in 0..CHUNK_SAMPLES_MAX,
        ) {
            let mut time = start;
            let mut samples = Vec::new();
            for (number, gap) in numbers.into_iter().zip(gaps) {
                samples.push((time, number));
                let Some(next) = time.checked_add_unsigned(gap) else { break };
                time = next;
            }
            let mut chunk = chunk(&samples);
            let mut expected: Vec<_> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
            prop_assert_eq!(&read(&chunk), &expected);
            for (i, (time, bits)) in expected.iter().enumerate() {
                prop_assert_eq!((chunk.time(i), chunk.float(i).to_bits()), (*time, *bits));
                prop_assert_eq!(chunk.count_through(*time), i + 1);
                prop_assert_eq!(chunk.count_through(time - 1), i);
            }
            let dropped = dropped.min(samples.len() - 1);
            if dropped > 0 {
                chunk.drop_front(dropped);
                expected.drain(..dropped);
                prop_assert_eq!(&read(&chunk), &expected);
                prop_assert_eq!(chunk.first_time(), expected[0].0);
            }
        }
    }
}
