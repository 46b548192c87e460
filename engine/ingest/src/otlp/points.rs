//! Data points: the numbers of a metric and when they held.

use std::sync::Arc;

use watchfire_model::{STALE_NAN, Timestamp};
use watchfire_tsdb::{BucketCount, EXPONENTIAL_SCHEMA_MAX, Histogram, Point, SampleValue, is_finer_schema};

use super::attributes::{self, Attributes};
use crate::Limits;
use crate::wire::{Reader, Value, WireError, doubles, fixed64s, unzigzag, varints};

/// The flag of a point that says only that its series has ended.
const NO_RECORDED_VALUE: u64 = 1;
/// Half the width of the bucket around zero. What the sender says of it counts no more than in Prometheus
/// (`prometheusremotewrite/histograms.go`), so that both answer the same.
const ZERO_THRESHOLD: f64 = 1e-128;

/// What every data point has.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) attributes: Attributes,
    start: u64,
    time: u64,
    flags: u64,
}

impl Common {
    pub(super) fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.time / 1_000_000).unwrap_or(i64::MAX))
    }

    /// A sample at the point's time, or the marker of its series' end.
    pub(super) fn point(&self, value: f64) -> Point {
        let value = if self.flags & NO_RECORDED_VALUE != 0 { STALE_NAN } else { value };
        self.at_its_time(SampleValue::Float(value))
    }

    fn at_its_time(&self, value: SampleValue) -> Point {
        let start = i64::try_from(self.start / 1_000_000).ok().filter(|millis| *millis != 0);
        Point { timestamp: self.timestamp(), start: start.map(Timestamp::from_millis), value }
    }
}

fn fixed(field: Value<'_>) -> Result<u64, WireError> {
    field.double().map(f64::to_bits)
}

/// A number of a gauge or sum.
pub(super) fn number(bytes: &[u8]) -> Result<(Common, Point), WireError> {
    let (mut common, mut value) = (Common::default(), 0.0);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        match number {
            2 => common.start = fixed(field)?,
            3 => common.time = fixed(field)?,
            4 => value = field.double()?,
            6 => value = fixed(field)?.cast_signed() as f64,
            7 => attributes::read(field.bytes()?, &mut common.attributes)?,
            8 => common.flags = field.varint()?,
            _ => {}
        }
    }
    let point = common.point(value);
    Ok((common, point))
}

/// A histogram with listed bounds, or a summary: what becomes several series.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) common: Common,
    pub(super) count: f64,
    pub(super) sum: Option<f64>,
    /// Upper bounds with the observations up to there, or quantiles with their values.
    pub(super) values: Vec<(f64, f64)>,
}

/// A histogram with listed bounds.
pub(super) fn histogram(bytes: &[u8]) -> Result<Parts, WireError> {
    let (mut parts, mut counts, mut bounds) = (Parts::default(), Vec::new(), Vec::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        match number {
            2 => parts.common.start = fixed(field)?,
            3 => parts.common.time = fixed(field)?,
            4 => parts.count = fixed(field)? as f64,
            5 => parts.sum = Some(field.double()?),
            6 => fixed64s(field, &mut counts)?,
            7 => doubles(field, &mut bounds)?,
            9 => attributes::read(field.bytes()?, &mut parts.common.attributes)?,
            10 => parts.common.flags = field.varint()?,
            _ => {}
        }
    }
    let mut below = 0_u64;
    parts.values = bounds
        .into_iter()
        .zip(counts)
        .map(|(bound, count)| {
            below = below.wrapping_add(count);
            (bound, below as f64)
        })
        .collect();
    Ok(parts)
}

/// A summary.
pub(super) fn summary(bytes: &[u8]) -> Result<Parts, WireError> {
    let mut parts = Parts { sum: Some(0.0), ..Parts::default() };
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        match number {
            2 => parts.common.start = fixed(field)?,
            3 => parts.common.time = fixed(field)?,
            4 => parts.count = fixed(field)? as f64,
            5 => parts.sum = Some(field.double()?),
            6 => {
                let (mut quantile, mut value) = (0.0, 0.0);
                let mut reader = Reader::new(field.bytes()?);
                while let Some((number, field)) = reader.field()? {
                    match number {
                        1 => quantile = field.double()?,
                        2 => value = field.double()?,
                        _ => {}
                    }
                }
                parts.values.push((quantile, value));
            }
            7 => attributes::read(field.bytes()?, &mut parts.common.attributes)?,
            8 => parts.common.flags = field.varint()?,
            _ => {}
        }
    }
    Ok(parts)
}

/// An exponential histogram as a native one. The outer error is a broken message, the inner one why it is refused.
pub(super) fn exponential(bytes: &[u8], limits: &Limits) -> Result<(Common, Result<Point, String>), WireError> {
    let mut common = Common::default();
    let mut histogram = Histogram { zero_threshold: ZERO_THRESHOLD, ..Histogram::default() };
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => attributes::read(field.bytes()?, &mut common.attributes)?,
            2 => common.start = fixed(field)?,
            3 => common.time = fixed(field)?,
            4 => histogram.count = fixed(field)? as f64,
            5 => histogram.sum = field.double()?,
            6 => histogram.schema = unzigzag(field.varint()?) as i32,
            7 => histogram.zero_count = fixed(field)? as f64,
            8 => histogram.positive = buckets(field.bytes()?)?,
            9 => histogram.negative = buckets(field.bytes()?)?,
            10 => common.flags = field.varint()?,
            _ => {}
        }
    }
    if common.flags & NO_RECORDED_VALUE != 0 {
        let end = common.point(0.0);
        return Ok((common, Ok(end)));
    }
    let point =
        checked(histogram, limits).map(|histogram| common.at_its_time(SampleValue::Histogram(Arc::new(histogram))));
    Ok((common, point))
}

fn checked(mut histogram: Histogram, limits: &Limits) -> Result<Histogram, String> {
    if histogram.positive.len().max(histogram.negative.len()) > limits.histogram_buckets_max {
        return Err(format!("a histogram has more than {} buckets", limits.histogram_buckets_max));
    }
    if is_finer_schema(histogram.schema) {
        histogram = histogram.at_schema(EXPONENTIAL_SCHEMA_MAX);
    }
    histogram.validate().map_err(|error| error.to_string())?;
    histogram.compact();
    Ok(histogram)
}

/// One side: the first bucket here lies above a power of the base, in Prometheus below it.
fn buckets(bytes: &[u8]) -> Result<Vec<BucketCount>, WireError> {
    let (mut offset, mut counts) = (0_i64, Vec::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => offset = unzigzag(field.varint()?),
            2 => varints(field, |count| counts.push(count))?,
            _ => {}
        }
    }
    let bucket = |(index, count): (usize, u64)| {
        let index =
            i32::try_from(offset + 1 + index as i64).map_err(|_| WireError("a bucket's index has more than 32 bits"));
        index.map(|index| BucketCount { index, count: count as f64 })
    };
    counts.into_iter().enumerate().filter(|(_, count)| *count > 0).map(bucket).collect()
}
