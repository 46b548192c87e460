//! Ranges whose edges have values of their own: `anchored` takes the last sample before the edge, `smoothed` a value
//! between the samples on both sides of it.

use std::sync::Arc;

use watchfire_model::{Timestamp, is_stale};
use watchfire_tsdb::{CounterResetHint, Histogram, SampleValue, SeriesView};

use super::super::Evaluator;
use super::super::element::{Element, Metric, NameState};
use super::super::read::Range;
use super::RangeCall;
use crate::QueryError;
use crate::annotations::{Annotations, Combination};
use crate::plan::Node;
use crate::syntax::{FunctionName, RangeExtension, Span};

/// The value at `time` on the line between two samples; a counter that was reset between them began with zero.
fn interpolate(a: (i64, f64), b: (i64, f64), time: i64, is_counter: bool) -> f64 {
    let from = if is_counter && b.1 < a.1 { 0.0 } else { a.1 };
    from + (b.1 - from) * (time - a.0) as f64 / (b.0 - a.0) as f64
}

/// The same for histograms; `None` if they do not fit together, which has then been noted.
fn interpolate_histograms(
    a: &(i64, Arc<Histogram>),
    b: &(i64, Arc<Histogram>),
    time: i64,
    is_counter: bool,
    notes: &mut Notes<'_>,
) -> Option<Histogram> {
    if time == a.0 {
        return Some(Histogram::clone(&a.1));
    }
    if time == b.0 {
        return Some(Histogram::clone(&b.1));
    }
    let fraction = (time - a.0) as f64 / (b.0 - a.0) as f64;
    let mut result = Histogram::clone(&b.1);
    if is_counter && b.1.is_reset_of(&a.1) {
        result.scale(fraction);
        return Some(result);
    }
    notes.combine(&mut result, &a.1, Combination::Subtraction)?;
    result.scale(fraction);
    notes.combine(&mut result, &a.1, Combination::Addition)?;
    Some(result)
}

/// Where notes go, and what they are about.
struct Notes<'n> {
    notes: &'n mut Annotations,
    name: String,
    span: Span,
}

impl Notes<'_> {
    fn combine(&mut self, target: &mut Histogram, other: &Histogram, combination: Combination) -> Option<()> {
        let combined = match combination {
            Combination::Subtraction => target.subtract(other),
            Combination::Addition | Combination::Aggregation => target.add(other),
        };
        match combined {
            Ok(found) => {
                if found.bounds_reconciled {
                    self.notes.bounds_reconciled(combination, self.span);
                }
                Some(())
            }
            Err(_) => {
                self.notes.mixed_exponential_custom(&self.name, self.span);
                None
            }
        }
    }
}

/// The samples that stand for the edges of a range: their positions, if one is not older than the range.
fn edges<T>(samples: &[(i64, T)], range: &Range<'_, '_>, smoothed: bool) -> Option<(usize, usize)> {
    let mut last = samples.len().checked_sub(1)?;
    let before_last = &samples[..last];
    let first = before_last.partition_point(|s| s.0 <= range.start).saturating_sub(1);
    if smoothed {
        last = before_last.partition_point(|s| s.0 < range.end);
    }
    (samples[last].0 > range.start).then_some((first, last))
}

/// The values at both edges.
fn edge_values(
    floats: &[(i64, f64)],
    range: &Range<'_, '_>,
    first: usize,
    last: usize,
    is_counter: bool,
) -> (f64, f64) {
    let smoothed = range.extension == Some(RangeExtension::Smoothed);
    let left = if smoothed && floats[first].0 < range.start {
        interpolate(floats[first], floats[first + 1], range.start, is_counter)
    } else {
        floats[first].1
    };
    let right = if smoothed && last > 0 && floats[last].0 > range.end {
        interpolate(floats[last - 1], floats[last], range.end, is_counter)
    } else {
        floats[last].1
    };
    (left, right)
}

/// The samples strictly inside the range, given those that stand for its edges.
fn inside<'f, T>(samples: &'f [(i64, T)], range: &Range<'_, '_>, first: usize, last: usize) -> &'f [(i64, T)] {
    let from = if samples[first].0 <= range.start { first + 1 } else { first };
    let to = if samples[last].0 >= range.end { last } else { last + 1 };
    samples.get(from..to).unwrap_or(&[])
}

/// `rate`, `increase` and `delta` over an extended range: the exact difference between its edges.
pub(super) fn extended_rate(call: &mut RangeCall<'_>, range: &Range<'_, '_>) -> Option<SampleValue> {
    let samples = range.samples;
    if !samples.floats.is_empty() && !samples.histograms.is_empty() {
        call.notes.mixed_floats_histograms(range.metric_name(), call.first_span);
        return None;
    }
    if !samples.histograms.is_empty() {
        return extended_histogram_rate(call, range);
    }
    let smoothed = range.extension == Some(RangeExtension::Smoothed);
    let is_counter = call.function != FunctionName::Delta;
    let floats = &samples.floats;
    let (first, last) = edges(floats, range, smoothed)?;
    if smoothed && floats[first].0 > range.end {
        return None;
    }
    let (left, right) = edge_values(floats, range, first, last, is_counter);
    let mut result = right - left;
    if is_counter {
        let mut previous = left;
        for value in inside(floats, range, first, last).iter().map(|s| s.1).chain([right]) {
            if value < previous {
                result += previous;
            }
            previous = value;
        }
    }
    if call.function == FunctionName::Rate {
        result /= range.seconds();
    }
    Some(SampleValue::Float(result))
}

fn extended_histogram_rate(call: &mut RangeCall<'_>, range: &Range<'_, '_>) -> Option<SampleValue> {
    let smoothed = range.extension == Some(RangeExtension::Smoothed);
    let is_counter = call.function != FunctionName::Delta;
    let points = &range.samples.histograms;
    let (first, last) = edges(points, range, smoothed)?;
    if smoothed && points[first].0 > range.end {
        return None;
    }
    let name = range.metric_name().to_owned();
    let is_gauge = |h: &Histogram| h.counter_reset_hint == CounterResetHint::Gauge;
    let custom = points[first].1.uses_custom_buckets();
    for (_, histogram) in &points[first..=last] {
        if histogram.uses_custom_buckets() != custom {
            call.notes.mixed_exponential_custom(&name, call.first_span);
            return None;
        }
        if is_counter && is_gauge(histogram) {
            call.notes.histogram_not_counter(&name, call.first_span);
        }
    }
    let mut notes = Notes { notes: call.notes, name, span: call.first_span };
    let spans_left = smoothed && points[first].0 < range.start;
    let left = if spans_left {
        interpolate_histograms(&points[first], &points[first + 1], range.start, is_counter, &mut notes)?
    } else {
        Histogram::clone(&points[first].1)
    };
    let right = if smoothed && last > 0 && points[last].0 > range.end {
        interpolate_histograms(&points[last - 1], &points[last], range.end, is_counter, &mut notes)?
    } else {
        Histogram::clone(&points[last].1)
    };
    if !(is_counter || is_gauge(&left) && is_gauge(&right)) {
        notes.notes.histogram_not_gauge(&notes.name, notes.span);
    }
    let mut result = right.clone();
    notes.combine(&mut result, &left, Combination::Subtraction)?;
    if is_counter {
        // The edges stand for the first and the last sample; a reset that the left edge spans is in its value already.
        let mut previous = left;
        let mut from = first + 1;
        if spans_left && points[first + 1].1.is_reset_of(&points[first].1) {
            previous = Histogram::clone(&points[first + 1].1);
            from += 1;
        }
        if from <= last {
            for (_, histogram) in &points[from..last] {
                if histogram.is_reset_of(&previous) {
                    notes.combine(&mut result, &previous, Combination::Addition)?;
                }
                previous = Histogram::clone(histogram);
            }
            if right.is_reset_of(&previous) {
                notes.combine(&mut result, &previous, Combination::Addition)?;
            }
        }
    }
    if call.function == FunctionName::Rate {
        result.divide(range.seconds());
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact();
    Some(SampleValue::Histogram(Arc::new(result)))
}

/// An extended range as a result of its own: the samples inside, and one at each edge.
pub(in super::super) fn extended_output(
    range: &Range<'_, '_>,
    extension: RangeExtension,
) -> Result<Vec<(Timestamp, SampleValue)>, QueryError> {
    let smoothed = extension == RangeExtension::Smoothed;
    let name = if smoothed { "smoothed" } else { "anchored" };
    if !range.samples.histograms.is_empty() {
        return Err(QueryError::Execution(format!("{name} modifier is not supported with histograms")));
    }
    let floats = &range.samples.floats;
    let Some((first, last)) = edges(floats, range, smoothed) else { return Ok(Vec::new()) };
    let (left, right) = edge_values(floats, range, first, last, false);
    let between = inside(floats, range, first, last).iter().copied();
    let all = [(range.start, left)].into_iter().chain(between).chain([(range.end, right)]);
    Ok(all.map(|(time, value)| (Timestamp::from_millis(time), SampleValue::Float(value))).collect())
}

impl<'s, 'a> Evaluator<'s, 'a> {
    /// An instant vector of values between the samples on both sides of the instant.
    pub(in super::super) fn smoothed_instant(
        &mut self,
        node: &'s Node,
        views: &[SeriesView<'a>],
        time: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let lookback = self.options.lookback.as_millis();
        let (after, through) = (time.saturating_sub(lookback), time.saturating_add(lookback));
        let mut out = Vec::new();
        for view in views {
            self.check(out.len())?;
            let window = view.window(Timestamp::from_millis(after), Timestamp::from_millis(through));
            let (mut floats, mut histograms) = (Vec::new(), Vec::new());
            for point in window.iter() {
                let at = point.timestamp.as_millis();
                match point.value {
                    SampleValue::Float(value) if !is_stale(value) => floats.push((at, value)),
                    SampleValue::Float(_) => {}
                    SampleValue::Histogram(histogram) => histograms.push((at, histogram)),
                }
            }
            let name = view.labels().metric_name().unwrap_or("").to_owned();
            let value = if !floats.is_empty() && !histograms.is_empty() {
                self.notes.mixed_floats_histograms(&name, node.span);
                None
            } else if histograms.is_empty() {
                smoothed_float(&floats, time).map(SampleValue::Float)
            } else {
                let mut notes = Notes { notes: &mut self.notes, name, span: node.span };
                smoothed_histogram(&histograms, time, &mut notes).map(|h| SampleValue::Histogram(Arc::new(h)))
            };
            if let Some(value) = value {
                out.push(Element::new(Metric::Stored(view.labels()), value, NameState::Kept));
            }
        }
        Ok(out)
    }
}

fn smoothed_float(floats: &[(i64, f64)], time: i64) -> Option<f64> {
    let next = floats.partition_point(|s| s.0 < time);
    match (next.checked_sub(1).map(|i| floats[i]), floats.get(next)) {
        (_, Some(exact)) if exact.0 == time => Some(exact.1),
        (Some(before), Some(after)) => Some(interpolate(before, *after, time, false)),
        (Some(before), None) => Some(before.1),
        (None, _) => None,
    }
}

fn smoothed_histogram(points: &[(i64, Arc<Histogram>)], time: i64, notes: &mut Notes<'_>) -> Option<Histogram> {
    let next = points.partition_point(|s| s.0 < time);
    match (next.checked_sub(1).map(|i| &points[i]), points.get(next)) {
        (_, Some(exact)) if exact.0 == time => Some(Histogram::clone(&exact.1)),
        (Some(before), Some(after)) => {
            if before.1.uses_custom_buckets() != after.1.uses_custom_buckets() {
                notes.notes.mixed_exponential_custom(&notes.name, notes.span);
                return None;
            }
            let gauge = [before, after].iter().all(|p| p.1.counter_reset_hint == CounterResetHint::Gauge);
            interpolate_histograms(before, after, time, !gauge, notes)
        }
        (Some(before), None) => {
            let mut copy = Histogram::clone(&before.1);
            // The hint is about two samples that follow each other, and this one is carried forward.
            copy.counter_reset_hint = CounterResetHint::Unknown;
            Some(copy)
        }
        (None, _) => None,
    }
}
