//! Whether a counter began anew between two histograms.

use super::combine::reduce;
use super::{BucketCount, CounterResetHint, Histogram};

impl Histogram {
    /// Whether this histogram cannot be `previous` counted on: something in it is smaller or finer than before.
    pub fn is_reset_of(&self, previous: &Histogram) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if self.custom_bounds != previous.custom_bounds {
                return self.shrank_between_common_bounds(previous);
            }
            return shrank(&self.positive, &previous.positive);
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        // A coarser resolution or a wider bucket around zero may come without a reset: compare at that shape.
        let (zero_count, threshold) = previous.zero_count_at(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let steps = previous.schema - self.schema;
        let outside = |buckets: &[BucketCount], steps: i32| -> Vec<BucketCount> {
            let mut reduced = reduce(buckets, steps);
            reduced.retain(|b| self.positive_bucket(*b).upper > self.zero_threshold);
            reduced
        };
        shrank(&outside(&self.positive, 0), &outside(&previous.positive, steps))
            || shrank(&outside(&self.negative, 0), &outside(&previous.negative, steps))
    }

    /// The hint to store with this histogram when it follows `previous`: found out once here, it need not be found
    /// out by every query. Only what the sender says for sure, a reset or a gauge, is taken over.
    pub(crate) fn hint_after(&self, previous: Option<&Histogram>) -> CounterResetHint {
        let own = self.counter_reset_hint;
        if matches!(own, CounterResetHint::Gauge | CounterResetHint::Reset) {
            return own;
        }
        let Some(previous) = previous.filter(|p| p.counter_reset_hint != CounterResetHint::Gauge) else {
            return CounterResetHint::Unknown;
        };
        let goes_on = self.count >= previous.count
            && self.schema == previous.schema
            && self.zero_threshold == previous.zero_threshold
            && self.custom_bounds == previous.custom_bounds
            && self.zero_count >= previous.zero_count
            && !shrank(&self.positive, &previous.positive)
            && !shrank(&self.negative, &previous.negative);
        // A reset that was only found out is not claimed: a query may read a series from its middle.
        if goes_on { CounterResetHint::NotReset } else { CounterResetHint::Unknown }
    }

    /// Compares what lies between neighbouring bounds that both histograms have.
    fn shrank_between_common_bounds(&self, previous: &Histogram) -> bool {
        let bounds = self.custom_bounds.iter().copied().filter(|b| previous.custom_bounds.contains(b));
        let mut lower = f64::NEG_INFINITY;
        for upper in bounds.chain([f64::INFINITY]) {
            let between = |histogram: &Histogram| -> f64 {
                let buckets = histogram.positive.iter().map(|b| histogram.positive_bucket(*b));
                buckets.filter(|b| b.upper > lower && b.upper <= upper).map(|b| b.count).sum()
            };
            if between(self) < between(previous) {
                return true;
            }
            lower = upper;
        }
        false
    }
}

/// Whether some bucket of `before` holds more than the same one of `now`.
fn shrank(now: &[BucketCount], before: &[BucketCount]) -> bool {
    let mut rest = now;
    before.iter().filter(|b| b.count != 0.0).any(|old| {
        let skip = rest.partition_point(|b| b.index < old.index);
        rest = &rest[skip..];
        match rest.first() {
            Some(same) if same.index == old.index => same.count < old.count,
            _ => true,
        }
    })
}
