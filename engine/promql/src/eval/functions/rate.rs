//! What a counter or gauge did between the ends of a range.

use std::sync::Arc;

use watchfire_tsdb::{CounterResetHint, Histogram, HistogramError, SampleValue};

use super::super::read::Range;
use super::RangeCall;
use crate::annotations::Combination;
use crate::syntax::FunctionName;

/// Whether the second sample says that it began to count after the first.
fn start_says_reset(previous_start: i64, previous: i64, start: i64, time: i64) -> bool {
    if start == 0 || start >= time || start < previous {
        return false;
    }
    if start > previous {
        return true;
    }
    // A start at the sample before is a delta, unless that sample's own start is unknown.
    previous_start <= previous && previous_start != 0 && previous_start != previous
}

fn start_overlaps(previous_start: i64, previous: i64, start: i64) -> bool {
    start != 0 && start < previous && start != previous_start
}

fn start_of(starts: &[i64], position: usize) -> i64 {
    starts.get(position).copied().unwrap_or(0)
}

impl RangeCall<'_> {
    fn is_counter(&self) -> bool {
        self.function != FunctionName::Delta && self.function != FunctionName::Idelta
    }

    /// Adds or subtracts, noting what had to be given up; `None` if that is not possible.
    pub(super) fn combine(
        &mut self,
        range: &Range<'_, '_>,
        target: &mut Histogram,
        other: &Histogram,
        combination: Combination,
    ) -> Option<()> {
        let combined = match combination {
            Combination::Subtraction => target.subtract(other),
            Combination::Addition | Combination::Aggregation => target.add(other),
        };
        match combined {
            Ok(notes) => {
                if notes.bounds_reconciled {
                    self.notes.bounds_reconciled(combination, self.first_span);
                }
                Some(())
            }
            Err(HistogramError::IncompatibleSchema) => {
                self.notes.mixed_exponential_custom(range.metric_name(), self.first_span);
                None
            }
            Err(_) => None,
        }
    }
}

/// The difference between the last and the first of some numbers; for a counter with every fall made good, be it seen
/// in the numbers or told of the one behind a position.
pub(in crate::eval) fn float_difference(
    floats: &[(i64, f64)],
    is_counter: bool,
    mut falls_behind: impl FnMut(usize) -> bool,
) -> f64 {
    let mut result = floats[floats.len() - 1].1 - floats[0].1;
    if is_counter {
        for (i, pair) in floats.windows(2).enumerate() {
            if falls_behind(i) | (pair[1].1 < pair[0].1) {
                result += pair[0].1;
            }
        }
    }
    result
}

/// How far a difference between samples reaches beyond them.
#[derive(Clone, Copy, Debug)]
pub(in crate::eval) struct Extrapolation {
    /// The edges of the range in milliseconds.
    pub(in crate::eval) start: i64,
    pub(in crate::eval) end: i64,
    /// The times of the first and the last sample, and how many there are.
    pub(in crate::eval) first: i64,
    pub(in crate::eval) last: i64,
    pub(in crate::eval) count: usize,
    /// When the series began, with zero, if that was inside the range.
    pub(in crate::eval) began: Option<i64>,
    /// For a counter that rose its first value as a part of the rise: it does not begin below zero.
    pub(in crate::eval) level: Option<f64>,
    pub(in crate::eval) per_second: bool,
}

impl Extrapolation {
    /// What the difference is to be multiplied with; `None` if there is none.
    #[inline]
    pub(in crate::eval) fn factor(&self) -> Option<f64> {
        let mut to_start = (self.first - self.start) as f64 / 1000.0;
        let mut to_end = (self.end - self.last) as f64 / 1000.0;
        let mut sampled = (self.last - self.first) as f64 / 1000.0;
        let average = if self.count > 1 { sampled / (self.count - 1) as f64 } else { 0.0 };
        // A gap of up to a tenth more than the usual distance is taken to be filled by the series.
        let threshold = average * 1.1;
        if let Some(began) = self.began {
            to_start = 0.0;
            sampled = (self.last - began) as f64 / 1000.0;
        } else if self.count == 1 {
            return None;
        } else {
            if to_start >= threshold {
                to_start = average / 2.0;
            }
            if let Some(level) = self.level {
                let to_zero = sampled * level;
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
        if self.per_second {
            factor /= (self.end - self.start) as f64 / 1000.0;
        }
        Some(factor)
    }

    /// The [level](Extrapolation::level) of a counter with this first value and rise.
    #[inline]
    pub(in crate::eval) fn float_level(first: f64, rise: f64) -> Option<f64> {
        (rise > 0.0 && first >= 0.0).then(|| first / rise)
    }
}

/// `rate`, `increase` and `delta`: the difference between the ends, resets made good, extrapolated to the edges where
/// the samples suggest that the series goes on there.
pub(super) fn extrapolated_rate(call: &mut RangeCall<'_>, range: &Range<'_, '_>) -> Option<SampleValue> {
    let samples = range.samples;
    let span = call.first_span;
    let is_counter = call.is_counter();
    if !samples.histograms.is_empty() && !samples.floats.is_empty() {
        call.notes.mixed_floats_histograms(range.metric_name(), span);
        return None;
    }
    let starts: &[i64] = if samples.floats.is_empty() { &samples.histogram_starts } else { &samples.float_starts };
    let mut result = 0.0;
    let mut native: Option<Histogram> = None;
    let (first, last, count);
    if samples.floats.is_empty() {
        count = samples.histograms.len();
        first = samples.histograms[0].0;
        last = samples.histograms[count - 1].0;
        if count > 1 {
            native = Some(histogram_difference(call, range, is_counter)?);
        }
    } else {
        let floats = &samples.floats;
        count = floats.len();
        first = floats[0].0;
        last = floats[count - 1].0;
        let mut overlap_noted = starts.is_empty();
        result = float_difference(floats, is_counter, |i| {
            if starts.is_empty() {
                return false;
            }
            let (time, next_time) = (floats[i].0, floats[i + 1].0);
            let (start, next_start) = (start_of(starts, i), start_of(starts, i + 1));
            if !overlap_noted && start_overlaps(start, time, next_start) {
                call.notes.start_overlap(range.metric_name(), span);
                overlap_noted = true;
            }
            start_says_reset(start, time, next_start, next_time)
        });
    }

    let first_start = start_of(starts, 0);
    let began = is_counter && first_start != 0 && first_start > range.start && first_start < first;
    if began {
        // The series began inside the range, with zero.
        match (samples.floats.first(), samples.histograms.first()) {
            (Some((_, value)), _) => result += value,
            (None, Some((_, histogram))) => match &mut native {
                Some(native) => call.combine(range, native, histogram, Combination::Addition)?,
                None => native = Some(Histogram::clone(histogram)),
            },
            (None, None) => {}
        }
    }
    let level = match (&native, samples.floats.first(), samples.histograms.first()) {
        _ if !is_counter => None,
        (None, Some((_, value)), _) => Extrapolation::float_level(*value, result),
        (Some(native), _, Some((_, histogram))) if native.count > 0.0 && histogram.count >= 0.0 => {
            Some(histogram.count / native.count)
        }
        _ => None,
    };
    let extrapolation = Extrapolation {
        start: range.start,
        end: range.end,
        first,
        last,
        count,
        began: began.then_some(first_start),
        level,
        per_second: call.function == FunctionName::Rate,
    };
    let factor = extrapolation.factor()?;
    Some(match native {
        Some(mut native) => {
            native.scale(factor);
            SampleValue::Histogram(Arc::new(native))
        }
        None => SampleValue::Float(result * factor),
    })
}

/// The difference between the last and the first histogram, resets made good.
fn histogram_difference(call: &mut RangeCall<'_>, range: &Range<'_, '_>, is_counter: bool) -> Option<Histogram> {
    let points = &range.samples.histograms;
    let starts = &range.samples.histogram_starts;
    let (span, name) = (call.first_span, range.metric_name());
    let is_gauge = |h: &Histogram| h.counter_reset_hint == CounterResetHint::Gauge;
    let last = &points[points.len() - 1].1;
    let mut previous: Arc<Histogram> = Arc::clone(&points[0].1);
    if is_counter && (is_gauge(&previous) || is_gauge(last)) {
        call.notes.histogram_not_counter(name, span);
    }
    let resets = |i: usize, previous: &Histogram| {
        let ((time, _), (next_time, next)) = (&points[i], &points[i + 1]);
        let says =
            !starts.is_empty() && start_says_reset(start_of(starts, i), *time, start_of(starts, i + 1), *next_time);
        says || next.is_reset_of(previous)
    };
    let mut custom = previous.uses_custom_buckets();
    if is_counter && resets(0, &previous) {
        // What was before a reset is not looked at, and its layout need not fit.
        let second = &points[1].1;
        custom = second.uses_custom_buckets();
        previous = Arc::new(Histogram {
            schema: second.schema,
            custom_bounds: second.custom_bounds.clone(),
            ..Histogram::default()
        });
    }
    if last.uses_custom_buckets() != custom {
        call.notes.mixed_exponential_custom(name, span);
        return None;
    }
    let mut schema = last.schema.min(previous.schema);
    if is_counter {
        for (_, between) in &points[1..points.len() - 1] {
            if is_gauge(between) {
                call.notes.histogram_not_counter(name, span);
            }
            schema = schema.min(between.schema);
            if between.uses_custom_buckets() != custom {
                call.notes.mixed_exponential_custom(name, span);
                return None;
            }
        }
    }
    let mut difference = last.at_schema(schema);
    call.combine(range, &mut difference, &previous, Combination::Subtraction)?;
    if is_counter {
        let mut overlap_noted = starts.is_empty();
        for i in 0..points.len() - 1 {
            if !overlap_noted && start_overlaps(start_of(starts, i), points[i].0, start_of(starts, i + 1)) {
                call.notes.start_overlap(name, span);
                overlap_noted = true;
            }
            if resets(i, &previous) {
                call.combine(range, &mut difference, &previous, Combination::Addition)?;
            }
            previous = Arc::clone(&points[i + 1].1);
        }
    } else if !is_gauge(&points[0].1) || !is_gauge(last) {
        call.notes.histogram_not_gauge(name, span);
    }
    difference.counter_reset_hint = CounterResetHint::Gauge;
    difference.compact();
    Some(difference)
}

/// A sample of either kind with its times.
struct Sample {
    time: i64,
    start: i64,
    value: SampleValue,
}

/// All samples of a range in the order of time.
fn in_order(range: &Range<'_, '_>, floats_from: usize, histograms_from: usize) -> Vec<Sample> {
    let samples = range.samples;
    let floats = samples.floats.iter().enumerate().skip(floats_from).map(|(i, (time, value))| Sample {
        time: *time,
        start: start_of(&samples.float_starts, i),
        value: SampleValue::Float(*value),
    });
    let histograms = samples.histograms.iter().enumerate().skip(histograms_from).map(|(i, (time, histogram))| Sample {
        time: *time,
        start: start_of(&samples.histogram_starts, i),
        value: SampleValue::Histogram(Arc::clone(histogram)),
    });
    let mut all: Vec<Sample> = floats.chain(histograms).collect();
    if !samples.floats.is_empty() && !samples.histograms.is_empty() {
        all.sort_by_key(|sample| sample.time);
    }
    all
}

/// `irate` and `idelta`: the difference between the last two samples.
pub(super) fn last_difference(call: &mut RangeCall<'_>, range: &Range<'_, '_>) -> Option<SampleValue> {
    let samples = range.samples;
    if samples.len() < 2 {
        return None;
    }
    let is_rate = call.is_counter();
    let span = call.first_span;
    let from = |length: usize| length.saturating_sub(2);
    let mut last = in_order(range, from(samples.floats.len()), from(samples.histograms.len()));
    let newest = last.pop()?;
    let before = last.pop()?;
    let interval = newest.time - before.time;
    if interval == 0 {
        return None;
    }
    let seconds = interval as f64 / 1000.0;
    let says_reset = start_says_reset(before.start, before.time, newest.start, newest.time);
    match (&before.value, &newest.value) {
        (SampleValue::Float(a), SampleValue::Float(b)) => {
            let reset = is_rate && (b < a || says_reset);
            let difference = if reset { *b } else { b - a };
            Some(SampleValue::Float(if is_rate { difference / seconds } else { difference }))
        }
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            let name = range.metric_name();
            let gauges = [a, b].map(|h| h.counter_reset_hint == CounterResetHint::Gauge);
            if is_rate && gauges.contains(&true) {
                call.notes.histogram_not_counter(name, span);
            }
            if !is_rate && gauges.contains(&false) {
                call.notes.histogram_not_gauge(name, span);
            }
            let mut difference = Histogram::clone(b);
            if !is_rate || !(says_reset || b.is_reset_of(a)) {
                call.combine(range, &mut difference, a, Combination::Subtraction)?;
            }
            difference.counter_reset_hint = CounterResetHint::Gauge;
            difference.compact();
            if is_rate {
                difference.divide(seconds);
            }
            Some(SampleValue::Histogram(Arc::new(difference)))
        }
        _ => {
            call.notes.mixed_floats_histograms(range.metric_name(), span);
            None
        }
    }
}

/// `resets` and `changes`: how often the next sample was smaller, or another one.
pub(super) fn resets_or_changes(call: &mut RangeCall<'_>, range: &Range<'_, '_>) -> Option<SampleValue> {
    let mut all = in_order(range, 0, 0);
    if range.extension.is_some() {
        // The newest sample at the left edge or before it stands in for the edge.
        let anchor = all.iter().rposition(|sample| sample.time <= range.start).unwrap_or(0);
        all.drain(..anchor);
        if all.last().is_none_or(|sample| sample.time <= range.start) {
            return None;
        }
    }
    let resets = call.function == FunctionName::Resets;
    let differs = |pair: &&[Sample]| {
        let (before, after) = (&pair[0], &pair[1]);
        let says_reset = || start_says_reset(before.start, before.time, after.start, after.time);
        match (&before.value, &after.value) {
            (SampleValue::Float(a), SampleValue::Float(b)) if resets => b < a || says_reset(),
            (SampleValue::Float(a), SampleValue::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
            (SampleValue::Histogram(a), SampleValue::Histogram(b)) if resets => says_reset() || b.is_reset_of(a),
            (SampleValue::Histogram(a), SampleValue::Histogram(b)) => !a.same_bits(b),
            _ => true,
        }
    };
    Some(SampleValue::Float(all.windows(2).filter(differs).count() as f64))
}
