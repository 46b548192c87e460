//! Native histograms: both versions of the protocol have the same message.

use std::sync::Arc;

use watchfire_model::Timestamp;
use watchfire_tsdb::{
    BucketCount, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, EXPONENTIAL_SCHEMA_MAX, Histogram, Point, SampleValue,
    is_finer_schema,
};

use crate::Limits;
use crate::wire::{Reader, WireError, doubles, unzigzag, varints};

/// The buckets of one side as the wire has them.
#[derive(Default)]
struct Side {
    /// Gap before and length of each run.
    spans: Vec<(i32, u32)>,
    /// Of an integer histogram: how much more each bucket holds than the one before.
    deltas: Vec<i64>,
    /// Of a float histogram: what each bucket holds.
    counts: Vec<f64>,
}

fn read_span(bytes: &[u8]) -> Result<(i32, u32), WireError> {
    let (mut gap, mut length) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        match number {
            // Both have 32 bits; what a longer number has beyond is cut off, as protobuf wants it.
            1 => gap = unzigzag(field.varint()?) as i32,
            2 => length = field.varint()? as u32,
            _ => {}
        }
    }
    Ok((gap, length))
}

/// Reads a histogram with its time. The outer error is a broken message, the inner one the reason why the histogram is
/// refused.
pub(super) fn read_histogram(
    bytes: &[u8],
    with_start: bool,
    limits: &Limits,
) -> Result<Result<Point, String>, WireError> {
    let mut histogram = Histogram::default();
    let (mut negative, mut positive) = (Side::default(), Side::default());
    let (mut millis, mut start, mut is_float) = (0, 0, false);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => (histogram.count, is_float) = (field.varint()? as f64, false),
            2 => (histogram.count, is_float) = (field.double()?, true),
            3 => histogram.sum = field.double()?,
            4 => histogram.schema = unzigzag(field.varint()?) as i32,
            5 => histogram.zero_threshold = field.double()?,
            6 => histogram.zero_count = field.varint()? as f64,
            7 => histogram.zero_count = field.double()?,
            8 => negative.spans.push(read_span(field.bytes()?)?),
            9 => varints(field, |delta| negative.deltas.push(unzigzag(delta)))?,
            10 => doubles(field, &mut negative.counts)?,
            11 => positive.spans.push(read_span(field.bytes()?)?),
            12 => varints(field, |delta| positive.deltas.push(unzigzag(delta)))?,
            13 => doubles(field, &mut positive.counts)?,
            14 => {
                histogram.counter_reset_hint = match field.varint()? {
                    1 => CounterResetHint::Reset,
                    2 => CounterResetHint::NotReset,
                    3 => CounterResetHint::Gauge,
                    _ => CounterResetHint::Unknown,
                }
            }
            15 => millis = field.varint()?.cast_signed(),
            16 => doubles(field, &mut histogram.custom_bounds)?,
            17 if with_start => start = field.varint()?.cast_signed(),
            _ => {}
        }
    }
    if histogram.schema != CUSTOM_BUCKETS_SCHEMA {
        // Bounds mean nothing in the other schemas.
        histogram.custom_bounds = Vec::new();
    }
    Ok(checked(histogram, is_float, negative, positive, limits).map(|histogram| Point {
        timestamp: Timestamp::from_millis(millis),
        // Zero is how the wire says nothing.
        start: (start != 0).then(|| Timestamp::from_millis(start)),
        value: SampleValue::Histogram(Arc::new(histogram)),
    }))
}

fn checked(
    mut histogram: Histogram,
    is_float: bool,
    negative: Side,
    positive: Side,
    limits: &Limits,
) -> Result<Histogram, String> {
    histogram.negative = buckets(negative, is_float, limits)?;
    histogram.positive = buckets(positive, is_float, limits)?;
    if histogram.custom_bounds.len() > limits.histogram_buckets_max {
        return Err(too_many(limits));
    }
    if is_finer_schema(histogram.schema) {
        // Which reset it tells of is the same at every resolution.
        let counter_reset_hint = histogram.counter_reset_hint;
        histogram = Histogram { counter_reset_hint, ..histogram.at_schema(EXPONENTIAL_SCHEMA_MAX) };
    }
    histogram.validate().map_err(|error| error.to_string())?;
    if !is_float {
        check_count(&histogram)?;
    }
    histogram.compact();
    histogram.positive.shrink_to_fit();
    histogram.negative.shrink_to_fit();
    Ok(histogram)
}

fn too_many(limits: &Limits) -> String {
    format!("a histogram has more than {} buckets", limits.histogram_buckets_max)
}

fn buckets(side: Side, is_float: bool, limits: &Limits) -> Result<Vec<BucketCount>, String> {
    let Side { spans, deltas, mut counts } = side;
    if !is_float {
        let mut count = 0_i64;
        counts = deltas
            .iter()
            .map(|delta| {
                count = count.wrapping_add(*delta);
                count as f64
            })
            .collect();
    }
    if counts.len() > limits.histogram_buckets_max {
        return Err(too_many(limits));
    }
    Histogram::buckets_from_spans(spans, &counts).map_err(|error| error.to_string())
}

/// The buckets of an integer histogram hold all observations but those that are no number (prometheus
/// `model/histogram/histogram.go`, `Validate`).
fn check_count(histogram: &Histogram) -> Result<(), String> {
    let buckets = histogram.positive.iter().chain(&histogram.negative).map(|bucket| bucket.count);
    let total = buckets.sum::<f64>() + histogram.zero_count;
    let fits = if histogram.sum.is_nan() { total <= histogram.count } else { total == histogram.count };
    if fits {
        return Ok(());
    }
    let count = histogram.count;
    Err(format!("{total} observations found in buckets, but the count field of the histogram is {count}"))
}
