//! Native histograms: buckets whose bounds follow from a schema, or are listed ("custom buckets").
//!
//! Buckets are kept as sorted pairs of index and count instead of Prometheus' spans: adding, comparing and trimming
//! become merges of two sorted lists, and empty buckets need no rules of their own. The wire's spans are read by
//! [`Histogram::buckets_from_spans`].

mod bounds;
mod combine;
mod reset;
mod trim;

use std::fmt;

use thiserror::Error;
use watchfire_model::format_g;

pub use bounds::{
    Bucket, CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, is_custom_schema, is_exponential_schema, is_finer_schema,
};
pub use combine::{CombineNotes, HistogramSum};

/// What is known about a counter reset between this histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterResetHint {
    /// Nothing: it has to be found out by comparing.
    #[default]
    Unknown,
    /// There was a reset.
    Reset,
    /// There was none.
    NotReset,
    /// The histogram is a gauge, resets have no meaning.
    Gauge,
}

/// How many observations fell into the bucket with this index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BucketCount {
    /// The bucket's position in its schema.
    pub index: i32,
    /// The number of observations; a fraction after a rate.
    pub count: f64,
}

/// A native histogram with float counts.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// What is known about a counter reset.
    pub counter_reset_hint: CounterResetHint,
    /// The resolution: -4 to 8 for exponential buckets, [`CUSTOM_BUCKETS_SCHEMA`] for listed bounds.
    pub schema: i32,
    /// Half the width of the bucket around zero.
    pub zero_threshold: f64,
    /// Observations in the bucket around zero.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// The sum of all observations.
    pub sum: f64,
    /// Buckets above zero, by ascending index.
    pub positive: Vec<BucketCount>,
    /// Buckets below zero, by ascending index, that is by descending value.
    pub negative: Vec<BucketCount>,
    /// Upper bounds in ascending order, for the custom schema only.
    pub custom_bounds: Vec<f64>,
}

/// Why an operation on histograms is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HistogramError {
    /// One has exponential and the other custom buckets.
    #[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
    IncompatibleSchema,
    /// Spans and counts do not fit together.
    #[error("histogram spans specify different number of buckets than provided")]
    SpansMismatch,
    /// The schema is unknown.
    #[error(
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets"
    )]
    InvalidSchema,
    /// The custom bounds are not ascending finite numbers.
    #[error("histogram custom bounds must be finite and in strictly increasing order")]
    InvalidBounds,
    /// Custom buckets begin at minus infinity, so that nothing is left for other buckets.
    #[error("histogram with custom buckets must not have negative or zero buckets")]
    CustomBucketsOnly,
    /// The bucket around zero has a width below zero, or none that can be known.
    #[error("histogram has a zero threshold that is negative, infinite or not a number")]
    InvalidZeroThreshold,
    /// A count is below zero.
    #[error("histogram has a negative observation count")]
    NegativeCount,
}

impl Histogram {
    /// Pairs of index and count from the wire's form: runs of (gap before, length) and one count per bucket.
    pub fn buckets_from_spans(
        spans: impl IntoIterator<Item = (i32, u32)>,
        counts: &[f64],
    ) -> Result<Vec<BucketCount>, HistogramError> {
        let mut buckets = Vec::with_capacity(counts.len());
        let mut index: i32 = 0;
        for (gap, length) in spans {
            index = index.checked_add(gap).ok_or(HistogramError::SpansMismatch)?;
            for _ in 0..length {
                let count = *counts.get(buckets.len()).ok_or(HistogramError::SpansMismatch)?;
                buckets.push(BucketCount { index, count });
                index = index.checked_add(1).ok_or(HistogramError::SpansMismatch)?;
            }
        }
        let ascending = buckets.windows(2).all(|pair| pair[0].index < pair[1].index);
        if buckets.len() == counts.len() && ascending { Ok(buckets) } else { Err(HistogramError::SpansMismatch) }
    }

    /// Whether the histogram may be stored: a known schema, ascending bounds, no negative count, no buckets that its
    /// schema does not have.
    pub fn validate(&self) -> Result<(), HistogramError> {
        if self.uses_custom_buckets() {
            let ascending = self.custom_bounds.windows(2).all(|pair| pair[0] < pair[1]);
            let fits = self.positive.last().is_none_or(|b| b.index <= self.custom_bounds.len() as i32);
            if !ascending || self.custom_bounds.iter().any(|b| !b.is_finite()) || !fits {
                return Err(HistogramError::InvalidBounds);
            }
            if !self.negative.is_empty() || self.zero_count != 0.0 || self.zero_threshold != 0.0 {
                return Err(HistogramError::CustomBucketsOnly);
            }
            if self.positive.first().is_some_and(|bucket| bucket.index < 0) {
                return Err(HistogramError::SpansMismatch);
            }
        } else if !is_exponential_schema(self.schema) {
            return Err(HistogramError::InvalidSchema);
        }
        if !self.zero_threshold.is_finite() || self.zero_threshold < 0.0 {
            return Err(HistogramError::InvalidZeroThreshold);
        }
        let negative = |buckets: &[BucketCount]| buckets.iter().any(|b| b.count < 0.0);
        if self.count < 0.0 || self.zero_count < 0.0 || negative(&self.positive) || negative(&self.negative) {
            return Err(HistogramError::NegativeCount);
        }
        Ok(())
    }

    /// Whether the bounds are listed instead of following from the schema.
    pub fn uses_custom_buckets(&self) -> bool {
        is_custom_schema(self.schema)
    }

    /// Removes empty buckets.
    pub fn compact(&mut self) {
        self.positive.retain(|b| b.count != 0.0);
        self.negative.retain(|b| b.count != 0.0);
    }

    /// Multiplies all counts and the sum; a negative factor makes a gauge of it.
    pub fn scale(&mut self, factor: f64) {
        self.for_each_number(|n| *n *= factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum; division by zero leaves no buckets.
    pub fn divide(&mut self, divisor: f64) {
        self.for_each_number(|n| *n /= divisor);
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        } else if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    fn for_each_number(&mut self, mut apply: impl FnMut(&mut f64)) {
        apply(&mut self.zero_count);
        apply(&mut self.count);
        apply(&mut self.sum);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|b| apply(&mut b.count));
    }

    /// Whether some number has become infinite.
    pub fn has_overflow(&self) -> bool {
        let buckets = self.positive.iter().chain(&self.negative).map(|b| b.count);
        [self.zero_count, self.count, self.sum].into_iter().chain(buckets).any(f64::is_infinite)
    }

    /// Equal bit for bit, apart from empty buckets and from the hint.
    pub fn same_bits(&self, other: &Histogram) -> bool {
        fn same(a: &[BucketCount], b: &[BucketCount]) -> bool {
            let filled = |list: &'_ [BucketCount]| -> Vec<(i32, u64)> {
                list.iter().filter(|b| b.count != 0.0).map(|b| (b.index, b.count.to_bits())).collect()
            };
            filled(a) == filled(b)
        }
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && self.custom_bounds == other.custom_bounds
            && same(&self.positive, &other.positive)
            && same(&self.negative, &other.negative)
    }

    /// Bytes of heap that this histogram takes.
    pub fn heap_bytes(&self) -> usize {
        (self.positive.capacity() + self.negative.capacity()) * size_of::<BucketCount>()
            + self.custom_bounds.capacity() * size_of::<f64>()
            + size_of::<Histogram>()
    }
}

impl fmt::Display for Histogram {
    /// `{count:12, sum:18.4, [-0.001,0.001]:2, (0.5,1]:10}`, as Prometheus prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_g(self.count), format_g(self.sum))?;
        for bucket in self.buckets() {
            if bucket.count != 0.0 {
                write!(f, ", {bucket}")?;
            }
        }
        f.write_str("}")
    }
}
