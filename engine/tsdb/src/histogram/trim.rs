//! Cutting off what was observed above or below a value (PromQL's `</` and `>/`).

use super::{Bucket, Histogram};

/// Which side of the value is kept.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Below,
    Above,
}

impl Histogram {
    /// Removes observations above `value`; what shares a bucket with it is estimated.
    pub fn keep_below(&mut self, value: f64) {
        self.trim(value, Keep::Below);
    }

    /// Removes observations below `value`; what shares a bucket with it is estimated.
    pub fn keep_above(&mut self, value: f64) {
        self.trim(value, Keep::Above);
    }

    fn trim(&mut self, value: f64, keep: Keep) {
        let linear = self.uses_custom_buckets();
        let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
        let mut trimmed = [self.positive.clone(), self.negative.clone()];
        for (side, positive) in trimmed.iter_mut().zip([true, false]) {
            for entry in side.iter_mut().filter(|b| b.count != 0.0) {
                let bucket = if positive { self.positive_bucket(*entry) } else { self.negative_bucket(*entry) };
                let (all, some) = match keep {
                    Keep::Below => (bucket.upper <= value, bucket.lower < value),
                    Keep::Above => (bucket.lower >= value, bucket.upper > value),
                };
                let (kept, middle) = if all {
                    (bucket.count, midpoint(bucket.lower, bucket.upper, positive, linear))
                } else if some {
                    split(&bucket, value, keep, positive, linear)
                } else {
                    (0.0, 0.0)
                };
                changed |= kept != entry.count;
                entry.count = kept;
                count += kept;
                sum += middle * kept;
            }
        }
        let filled = |buckets: &[super::BucketCount]| buckets.iter().any(|b| b.count != 0.0);
        let (has_positive, has_negative) = (filled(&self.positive), filled(&self.negative));
        if self.zero_count > 0.0 {
            let mut zero = self.zero_bucket();
            if has_negative && !has_positive {
                zero.upper = 0.0;
            }
            if has_positive && !has_negative {
                zero.lower = 0.0;
            }
            let (kept, middle) = split_zero(&zero, value, keep);
            changed |= kept != self.zero_count;
            self.zero_count = kept;
            count += kept;
            sum += middle * kept;
        }
        // An untouched histogram keeps its true sum instead of an estimated one.
        if changed {
            [self.positive, self.negative] = trimmed;
            self.count = count;
            self.sum = sum;
            self.compact();
        }
    }
}

/// What is kept of the bucket around zero, and the middle of that.
fn split_zero(zero: &Bucket, value: f64, keep: Keep) -> (f64, f64) {
    let (lower, upper) = (zero.lower, zero.upper);
    let whole = (zero.count, (lower + upper) / 2.0);
    match keep {
        Keep::Below if value <= lower => (0.0, 0.0),
        Keep::Below if value >= upper => whole,
        Keep::Below => (zero.count * ((value - lower) / (upper - lower)), (lower + value) / 2.0),
        Keep::Above if value <= lower => whole,
        Keep::Above if value >= upper => (0.0, 0.0),
        Keep::Above => (zero.count * ((upper - value) / (upper - lower)), (value + upper) / 2.0),
    }
}

/// What is kept of a bucket that holds `value`, and the middle of that.
fn split(bucket: &Bucket, value: f64, keep: Keep, positive: bool, linear: bool) -> (f64, f64) {
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return split_open(bucket, value, keep);
    }
    let below = if value <= bucket.lower {
        0.0
    } else if value >= bucket.upper {
        bucket.count
    } else {
        bucket.count * bucket.fraction_below(value, linear)
    };
    match keep {
        Keep::Below => (below, midpoint(bucket.lower, value, positive, linear)),
        Keep::Above => (bucket.count - below, midpoint(value, bucket.upper, positive, linear)),
    }
}

/// The same for a bucket without end on one side, where nothing is known about how observations are spread.
fn split_open(bucket: &Bucket, value: f64, keep: Keep) -> (f64, f64) {
    let finite = |x: f64| if x.is_infinite() { 0.0 } else { x };
    if bucket.lower == f64::NEG_INFINITY {
        // The first custom bucket with a positive bound is taken to begin at zero.
        let from_zero = bucket.upper > 0.0 && bucket.upper != f64::INFINITY;
        return match keep {
            Keep::Below if value >= bucket.upper => (bucket.count, 0.0),
            Keep::Below if value > 0.0 && from_zero => (bucket.count * value / bucket.upper, value / 2.0),
            Keep::Below if bucket.upper <= 0.0 => (bucket.count, value),
            Keep::Above if value <= bucket.lower => (bucket.count, 0.0),
            Keep::Above if value >= 0.0 && bucket.upper > value && bucket.upper != f64::INFINITY => {
                (bucket.count * (1.0 - value / bucket.upper), (value + bucket.upper) / 2.0)
            }
            _ => (0.0, finite(bucket.upper)),
        };
    }
    match keep {
        Keep::Above if value >= bucket.lower => (bucket.count, value),
        _ => (0.0, finite(bucket.lower)),
    }
}

/// The value that stands for all observations between two bounds.
fn midpoint(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    if lower.is_infinite() {
        return match upper {
            _ if upper.is_infinite() => 0.0,
            _ if upper > 0.0 => upper / 2.0,
            _ => upper,
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    if linear {
        return (lower + upper) / 2.0;
    }
    let mean = (lower * upper).abs().sqrt();
    if positive { mean } else { -mean }
}
