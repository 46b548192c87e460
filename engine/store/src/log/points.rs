//! Samples that are more than a time and a number: native histograms, and the time since which a sample counts.

use std::sync::Arc;

use watchfire_model::Timestamp;
use watchfire_tsdb::{BucketCount, CounterResetHint, Histogram, Point, SampleValue};

use super::codec::{Reader, Unreadable, put_f64, put_length, put_signed, put_varint, unzigzag, zigzag};

const HAS_START: u8 = 1;
const IS_HISTOGRAM: u8 = 2;

/// Writes everything of a point but its time.
pub(super) fn put_point(out: &mut Vec<u8>, point: &Point) {
    let histogram = point.value.histogram();
    let start = if point.start.is_some() { HAS_START } else { 0 };
    out.push(start | if histogram.is_some() { IS_HISTOGRAM } else { 0 });
    if let Some(start) = point.start {
        put_signed(out, point.timestamp.as_millis().wrapping_sub(start.as_millis()));
    }
    match &point.value {
        SampleValue::Float(value) => put_f64(out, *value),
        SampleValue::Histogram(histogram) => put_histogram(out, histogram),
    }
}

/// Reads what [`put_point`] wrote.
pub(super) fn read_point(reader: &mut Reader<'_>, timestamp: Timestamp) -> Result<Point, Unreadable> {
    let flags = reader.byte()?;
    if flags & !(HAS_START | IS_HISTOGRAM) != 0 {
        return Err(Unreadable("a sample is of a kind that is not known"));
    }
    let start = if flags & HAS_START == 0 {
        None
    } else {
        Some(Timestamp::from_millis(timestamp.as_millis().wrapping_sub(reader.signed()?)))
    };
    let value = if flags & IS_HISTOGRAM == 0 {
        SampleValue::Float(reader.f64()?)
    } else {
        SampleValue::Histogram(Arc::new(read_histogram(reader)?))
    };
    Ok(Point { timestamp, start, value })
}

/// Counts are whole numbers nearly always, and small ones mostly.
fn put_count(out: &mut Vec<u8>, count: f64) {
    match as_whole(count) {
        Some(whole) => put_varint(out, (zigzag(whole) << 1) | 1),
        None => {
            out.push(0);
            put_f64(out, count);
        }
    }
}

fn read_count(reader: &mut Reader<'_>) -> Result<f64, Unreadable> {
    match reader.varint()? {
        0 => reader.f64(),
        whole if whole & 1 == 1 => Ok(unzigzag(whole >> 1) as f64),
        _ => Err(Unreadable("a count is of a kind that is not known")),
    }
}

/// Whole numbers below this are written as such; what is said with one of at least this size is something else.
pub(super) const WHOLE_MAX: u64 = 1 << 48;

/// The number as an integer, if it is one and not too large to be written as one.
pub(super) fn as_whole(value: f64) -> Option<i64> {
    let whole = value as i64;
    ((whole as f64).to_bits() == value.to_bits() && whole.unsigned_abs() < WHOLE_MAX).then_some(whole)
}

fn put_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    out.push(match histogram.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    });
    put_signed(out, i64::from(histogram.schema));
    put_f64(out, histogram.zero_threshold);
    put_f64(out, histogram.sum);
    put_count(out, histogram.count);
    put_count(out, histogram.zero_count);
    for buckets in [&histogram.positive, &histogram.negative] {
        put_length(out, buckets.len());
        let mut last = 0;
        for bucket in buckets {
            put_signed(out, i64::from(bucket.index) - last);
            put_count(out, bucket.count);
            last = i64::from(bucket.index);
        }
    }
    put_length(out, histogram.custom_bounds.len());
    histogram.custom_bounds.iter().for_each(|bound| put_f64(out, *bound));
}

fn read_histogram(reader: &mut Reader<'_>) -> Result<Histogram, Unreadable> {
    let counter_reset_hint = match reader.byte()? {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => return Err(Unreadable("a histogram has an unknown hint")),
    };
    let narrow = |number: i64| i32::try_from(number).map_err(|_| Unreadable("a histogram's number is too large"));
    let schema = narrow(reader.signed()?)?;
    let (zero_threshold, sum) = (reader.f64()?, reader.f64()?);
    let (count, zero_count) = (read_count(reader)?, read_count(reader)?);
    let mut sides = [Vec::new(), Vec::new()];
    for buckets in &mut sides {
        let mut last = 0_i64;
        for _ in 0..reader.count()? {
            last = last.wrapping_add(reader.signed()?);
            buckets.push(BucketCount { index: narrow(last)?, count: read_count(reader)? });
        }
        buckets.shrink_to_fit();
    }
    let [positive, negative] = sides;
    let custom_bounds = (0..reader.count()?).map(|_| reader.f64()).collect::<Result<_, _>>()?;
    Ok(Histogram {
        counter_reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive,
        negative,
        custom_bounds,
    })
}
