//! Adding and subtracting histograms of different resolution, zero bucket and bounds.

use super::{BucketCount, CounterResetHint, Histogram, HistogramError};

/// What had to be given up to combine two histograms; a query says so in its annotations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CombineNotes {
    /// One said that there was a counter reset and the other that there was none.
    pub counter_reset_collision: bool,
    /// The custom bounds differed and were reduced to those that both have.
    pub bounds_reconciled: bool,
}

impl CombineNotes {
    /// Both notes together.
    pub fn merge(&mut self, other: CombineNotes) {
        self.counter_reset_collision |= other.counter_reset_collision;
        self.bounds_reconciled |= other.bounds_reconciled;
    }
}

/// A sum of histograms with the error of every addition carried along (Neumaier's form of Kahan's sum).
#[derive(Clone, Debug)]
pub struct HistogramSum {
    total: Histogram,
    /// The same shape as `total`, buckets with the same indexes, holding what rounding took away.
    lost: Histogram,
}

/// One step of a compensated sum: adds `value` to `sum`, and what rounding lost to `lost`.
fn kahan(value: f64, sum: &mut f64, lost: &mut f64) {
    let total = *sum + value;
    if total.is_infinite() {
        *lost = 0.0;
    } else if sum.abs() >= value.abs() {
        *lost += (*sum - total) + value;
    } else {
        *lost += (value - total) + *sum;
    }
    *sum = total;
}

/// The index at a lower resolution.
fn coarser(index: i32, steps: i32) -> i32 {
    // Schemas that senders may use lie further apart than the index has bits.
    ((index - 1) >> steps.min(31)) + 1
}

/// Buckets at a lower resolution.
pub(super) fn reduce(buckets: &[BucketCount], steps: i32) -> Vec<BucketCount> {
    let mut reduced: Vec<BucketCount> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        let index = coarser(bucket.index, steps);
        match reduced.last_mut() {
            Some(last) if last.index == index => last.count += bucket.count,
            _ => reduced.push(BucketCount { index, count: bucket.count }),
        }
    }
    reduced
}

/// Adds `sign` times the buckets of `b` to `a`, inserting what is missing, in one merge; `lost` is aligned with `a`.
fn merge(a: &mut Vec<BucketCount>, lost: &mut Vec<BucketCount>, b: &[BucketCount], sign: f64) {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let mut out_lost = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let take_a = j >= b.len() || (i < a.len() && a[i].index <= b[j].index);
        let take_b = i >= a.len() || (j < b.len() && b[j].index <= a[i].index);
        let mut bucket = if take_a { a[i] } else { BucketCount { index: b[j].index, count: 0.0 } };
        let mut missing = if take_a { lost[i] } else { bucket };
        if take_b {
            kahan(sign * b[j].count, &mut bucket.count, &mut missing.count);
            j += 1;
        }
        i += usize::from(take_a);
        out.push(bucket);
        out_lost.push(missing);
    }
    (*a, *lost) = (out, out_lost);
}

/// The bounds that both lists have.
fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().copied().filter(|bound| b.contains(bound)).collect()
}

/// Buckets of `bounds` counted into those of `common`, which are some of them.
fn rebucket(buckets: &[BucketCount], bounds: &[f64], common: &[f64]) -> Vec<BucketCount> {
    let mut out: Vec<BucketCount> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        let bound = usize::try_from(bucket.index).ok().and_then(|i| bounds.get(i));
        let target = bound.and_then(|bound| common.iter().position(|c| c >= bound)).unwrap_or(common.len());
        let index = i32::try_from(target).unwrap_or(i32::MAX);
        match out.last_mut() {
            Some(last) if last.index == index => last.count += bucket.count,
            _ => out.push(BucketCount { index, count: bucket.count }),
        }
    }
    out
}

impl Histogram {
    /// Adds another histogram, at the lower of the two resolutions.
    pub fn add(&mut self, other: &Histogram) -> Result<CombineNotes, HistogramError> {
        self.combine(other, 1.0)
    }

    /// Subtracts another histogram, at the lower of the two resolutions.
    pub fn subtract(&mut self, other: &Histogram) -> Result<CombineNotes, HistogramError> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Histogram, sign: f64) -> Result<CombineNotes, HistogramError> {
        let mut sum = HistogramSum::new(std::mem::take(self));
        let notes = sum.combine(other, sign);
        *self = sum.total;
        notes
    }

    /// A copy at a lower resolution.
    pub fn at_schema(&self, schema: i32) -> Histogram {
        let mut copy = self.clone();
        if !self.uses_custom_buckets() && schema < self.schema {
            copy.positive = reduce(&self.positive, self.schema - schema);
            copy.negative = reduce(&self.negative, self.schema - schema);
            copy.schema = schema;
            copy.counter_reset_hint = CounterResetHint::Unknown;
        }
        copy
    }

    /// What the bucket around zero would hold if it were as wide as `threshold`, and how wide it has to be so that it
    /// ends on no populated bucket.
    pub(super) fn zero_count_at(&self, mut threshold: f64) -> (f64, f64) {
        if threshold == self.zero_threshold {
            return (self.zero_count, threshold);
        }
        'widened: loop {
            let mut count = self.zero_count;
            for bucket in self.positive.iter().map(|b| self.positive_bucket(*b)) {
                if bucket.lower >= threshold {
                    break;
                }
                count += bucket.count;
                if bucket.upper > threshold {
                    if bucket.count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            for bucket in self.negative.iter().map(|b| self.negative_bucket(*b)) {
                if bucket.upper <= -threshold {
                    break;
                }
                count += bucket.count;
                if bucket.lower < -threshold {
                    if bucket.count != 0.0 {
                        // The positive side was counted for a narrower bucket and has to be counted again.
                        threshold = -bucket.lower;
                        continue 'widened;
                    }
                    break;
                }
            }
            return (count, threshold);
        }
    }

    /// Combines the hints; true if they contradict each other.
    fn adjust_hint(&mut self, other: &Histogram) -> bool {
        use CounterResetHint::{Gauge, Unknown};
        let (own, others) = (self.counter_reset_hint, other.counter_reset_hint);
        let collision = own != others && !matches!(own, Gauge | Unknown) && !matches!(others, Gauge | Unknown);
        self.counter_reset_hint = match (own, others) {
            (a, b) if a == b => a,
            (Gauge, _) | (_, Gauge) => Gauge,
            _ => Unknown,
        };
        collision
    }
}

impl HistogramSum {
    /// A sum that starts with one histogram.
    pub fn new(first: Histogram) -> HistogramSum {
        let zeroed = |buckets: &[BucketCount]| buckets.iter().map(|b| BucketCount { count: 0.0, ..*b }).collect();
        let lost =
            Histogram { positive: zeroed(&first.positive), negative: zeroed(&first.negative), ..Histogram::default() };
        HistogramSum { total: first, lost }
    }

    /// Adds another one; on error the sum is unchanged.
    pub fn add(&mut self, other: &Histogram) -> Result<CombineNotes, HistogramError> {
        self.combine(other, 1.0)
    }

    /// Whether some number has become infinite, so that a mean has to be computed another way.
    pub fn has_overflow(&self) -> bool {
        self.total.has_overflow()
    }

    /// Multiplies what was summed up so far.
    pub fn scale(&mut self, factor: f64) {
        self.total.scale(factor);
        self.lost.scale(factor);
    }

    /// The compensated sum.
    pub fn finish(self) -> Histogram {
        let HistogramSum { mut total, lost } = self;
        total.zero_count += lost.zero_count;
        total.count += lost.count;
        total.sum += lost.sum;
        let both = |a: &mut [BucketCount], b: &[BucketCount]| {
            a.iter_mut().zip(b).for_each(|(a, b)| a.count += b.count);
        };
        both(&mut total.positive, &lost.positive);
        both(&mut total.negative, &lost.negative);
        total
    }

    fn combine(&mut self, other: &Histogram, sign: f64) -> Result<CombineNotes, HistogramError> {
        if self.total.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(HistogramError::IncompatibleSchema);
        }
        let mut notes =
            CombineNotes { counter_reset_collision: self.total.adjust_hint(other), ..CombineNotes::default() };
        let HistogramSum { total, lost } = self;
        kahan(sign * other.count, &mut total.count, &mut lost.count);
        kahan(sign * other.sum, &mut total.sum, &mut lost.sum);
        if total.uses_custom_buckets() {
            if total.custom_bounds == other.custom_bounds {
                merge(&mut total.positive, &mut lost.positive, &other.positive, sign);
            } else {
                notes.bounds_reconciled = true;
                let common = common_bounds(&total.custom_bounds, &other.custom_bounds);
                total.positive = rebucket(&total.positive, &total.custom_bounds, &common);
                lost.positive = rebucket(&lost.positive, &total.custom_bounds, &common);
                let theirs = rebucket(&other.positive, &other.custom_bounds, &common);
                merge(&mut total.positive, &mut lost.positive, &theirs, sign);
                total.custom_bounds = common;
            }
            return Ok(notes);
        }
        let zero_count = self.reconcile_zero(other);
        let HistogramSum { total, lost } = self;
        kahan(sign * zero_count, &mut total.zero_count, &mut lost.zero_count);
        let steps = total.schema - other.schema;
        if steps > 0 {
            for side in [&mut total.positive, &mut total.negative, &mut lost.positive, &mut lost.negative] {
                *side = reduce(side, steps);
            }
            total.schema = other.schema;
        }
        let shape = Histogram { schema: total.schema, ..Histogram::default() };
        for (a, missing, b) in [
            (&mut total.positive, &mut lost.positive, &other.positive),
            (&mut total.negative, &mut lost.negative, &other.negative),
        ] {
            let mut theirs = reduce(b, (-steps).max(0));
            // What lies within the bucket around zero has been counted there.
            theirs.retain(|bucket| shape.positive_bucket(*bucket).upper > total.zero_threshold);
            merge(a, missing, &theirs, sign);
        }
        Ok(notes)
    }

    /// Widens the own bucket around zero until both fit into one, and says what the other one's would then hold.
    fn reconcile_zero(&mut self, other: &Histogram) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        while threshold != self.total.zero_threshold {
            if self.total.zero_threshold > threshold {
                (count, threshold) = other.zero_count_at(self.total.zero_threshold);
            }
            if threshold > self.total.zero_threshold {
                let (own, widened) = self.total.zero_count_at(threshold);
                self.total.zero_count = own;
                self.total.zero_threshold = widened;
                let HistogramSum { total, lost } = self;
                let shape = Histogram { schema: total.schema, ..Histogram::default() };
                for (buckets, missing) in
                    [(&mut total.positive, &mut lost.positive), (&mut total.negative, &mut lost.negative)]
                {
                    let inside = |b: &BucketCount| shape.positive_bucket(*b).lower < widened;
                    lost.zero_count += missing.iter().filter(|b| inside(b)).map(|b| b.count).sum::<f64>();
                    buckets.retain(|b| !inside(b));
                    missing.retain(|b| !inside(b));
                }
            }
        }
        count
    }
}
