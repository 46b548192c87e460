//! Where buckets begin and end.

use std::fmt;

use watchfire_model::format_g;

use super::{BucketCount, Histogram};

/// The schema number of histograms whose bounds are listed.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// Whether the schema's bounds are powers of two and roots of them.
pub fn is_exponential_schema(schema: i32) -> bool {
    (-4..=EXPONENTIAL_SCHEMA_MAX).contains(&schema)
}

/// The finest exponential schema that is stored.
pub const EXPONENTIAL_SCHEMA_MAX: i32 = 8;

/// Whether the schema is one of the exponential ones that are finer than what is stored: senders may use them, and
/// whoever takes them reduces their resolution (prometheus `model/histogram/generic.go`).
pub fn is_finer_schema(schema: i32) -> bool {
    (EXPONENTIAL_SCHEMA_MAX + 1..=52).contains(&schema)
}

/// Whether the schema's bounds are listed.
pub fn is_custom_schema(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA
}

/// A bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether an observation of exactly `lower` counts here.
    pub lower_inclusive: bool,
    /// Whether an observation of exactly `upper` counts here.
    pub upper_inclusive: bool,
    /// The number of observations.
    pub count: f64,
}

impl Bucket {
    /// The part of the bucket's width that lies below `value`, which must be strictly inside finite bounds.
    ///
    /// Exponential buckets are interpolated on a logarithmic scale; custom ones and the one around zero are linear.
    pub fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, value_log) = (self.lower.abs().log2(), self.upper.abs().log2(), value.abs().log2());
        if value > 0.0 { (value_log - lower) / (upper - lower) } else { 1.0 - (value_log - upper) / (lower - upper) }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) =
            (if self.lower_inclusive { '[' } else { '(' }, if self.upper_inclusive { ']' } else { ')' });
        let [lower, upper, count] = [self.lower, self.upper, self.count].map(format_g);
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

/// The upper bound of the exponential bucket `index`.
pub(super) fn exponential_bound(index: i32, schema: i32) -> f64 {
    let (whole, fraction) = if schema < 0 {
        (i64::from(index) << -schema, 0.0)
    } else {
        let size = 1i32 << schema;
        (i64::from(index >> schema), f64::from(index & (size - 1)) / f64::from(size))
    };
    // The largest double is no bound of any schema; observations of infinity have a bucket of their own behind it.
    if whole == 1024 && fraction == 0.0 {
        return f64::MAX;
    }
    let whole = i32::try_from(whole.clamp(-2000, 2000)).unwrap_or(0);
    // Two steps, because the power alone underflows where the product is still a denormal number.
    fraction.exp2() * f64::from(whole / 2).exp2() * f64::from(whole - whole / 2).exp2()
}

impl Histogram {
    fn bound(&self, index: i32) -> f64 {
        if self.uses_custom_buckets() {
            return match usize::try_from(index) {
                Err(_) => f64::NEG_INFINITY,
                Ok(i) => self.custom_bounds.get(i).copied().unwrap_or(f64::INFINITY),
            };
        }
        exponential_bound(index, self.schema)
    }

    pub(super) fn positive_bucket(&self, bucket: BucketCount) -> Bucket {
        let (lower, upper) = (self.bound(bucket.index - 1), self.bound(bucket.index));
        let custom = self.uses_custom_buckets();
        let lower_inclusive = if custom { bucket.index == 0 } else { lower < 0.0 };
        let upper_inclusive = custom || upper > 0.0;
        Bucket { lower, upper, lower_inclusive, upper_inclusive, count: bucket.count }
    }

    pub(super) fn negative_bucket(&self, bucket: BucketCount) -> Bucket {
        let (lower, upper) = (-self.bound(bucket.index), -self.bound(bucket.index - 1));
        Bucket { lower, upper, lower_inclusive: lower < 0.0, upper_inclusive: upper > 0.0, count: bucket.count }
    }

    /// The bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All buckets from the lowest to the highest; one that overlaps the bucket around zero ends where that begins.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let threshold = self.zero_threshold;
        let cut = move |mut bucket: Bucket| {
            if bucket.upper < 0.0 && bucket.upper > -threshold {
                bucket.upper = -threshold;
            } else if bucket.lower > 0.0 && bucket.lower < threshold {
                bucket.lower = threshold;
            }
            bucket
        };
        let negative = self.negative.iter().rev().map(move |b| cut(self.negative_bucket(*b)));
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        let positive = self.positive.iter().map(move |b| cut(self.positive_bucket(*b)));
        negative.chain(zero).chain(positive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_from_the_schema() {
        for (index, schema, expected) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (-1074, 0, 4.9e-324),
            (1024, 0, f64::MAX),
            (1025, 0, f64::INFINITY),
            (1, 1, std::f64::consts::SQRT_2),
            (2, 1, 2.0),
            (-1, 1, std::f64::consts::FRAC_1_SQRT_2),
            (1, -1, 4.0),
            (256, -2, f64::MAX),
        ] {
            let bound = exponential_bound(index, schema);
            assert!(bound == expected || (bound / expected - 1.0).abs() < 1e-15, "{index} {schema}: {bound}");
        }
    }
}
