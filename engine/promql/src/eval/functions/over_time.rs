//! Functions that reduce the samples of a range to one.

use std::sync::Arc;

use watchfire_tsdb::{CounterResetHint, Histogram, HistogramSum, SampleValue};

use super::super::read::Range;
use super::{RangeCall, RangeResult};
use crate::QueryError;
use crate::annotations::Combination;
use crate::numeric::{KahanSum, Mean, linear_regression, quantile};
use crate::syntax::FunctionName;

pub(super) fn over_time(call: &mut RangeCall<'_>, range: &Range<'_, '_>) -> RangeResult {
    let samples = range.samples;
    let floats = &samples.floats;
    let histograms = &samples.histograms;
    let float = |value: f64| Ok(Some(SampleValue::Float(value)));
    let seconds = |time: i64| time as f64 / 1000.0;
    let first_parameter = call.numbers.first().copied().unwrap_or(f64::NAN);
    match call.function {
        FunctionName::CountOverTime => return float(samples.len() as f64),
        FunctionName::PresentOverTime => return float(1.0),
        FunctionName::LastOverTime => {
            return Ok(match (floats.last(), histograms.last()) {
                (Some((t, v)), Some((ht, _))) if ht < t => Some(SampleValue::Float(*v)),
                (_, Some((_, h))) => Some(SampleValue::Histogram(Arc::clone(h))),
                (Some((_, v)), None) => Some(SampleValue::Float(*v)),
                (None, None) => None,
            });
        }
        FunctionName::FirstOverTime => {
            return Ok(match (floats.first(), histograms.first()) {
                (Some((t, v)), Some((ht, _))) if t < ht => Some(SampleValue::Float(*v)),
                (_, Some((_, h))) => Some(SampleValue::Histogram(Arc::clone(h))),
                (Some((_, v)), None) => Some(SampleValue::Float(*v)),
                (None, None) => None,
            });
        }
        FunctionName::TsOfFirstOverTime => {
            let times = [floats.first().map(|s| s.0), histograms.first().map(|s| s.0)];
            return float(seconds(times.into_iter().flatten().min().unwrap_or(0)));
        }
        FunctionName::TsOfLastOverTime => {
            let times = [floats.last().map(|s| s.0), histograms.last().map(|s| s.0)];
            return float(seconds(times.into_iter().flatten().max().unwrap_or(0)));
        }
        FunctionName::SumOverTime | FunctionName::AvgOverTime => return sum_or_mean(call, range),
        _ => {}
    }

    // The rest looks at numbers alone.
    let least = match call.function {
        FunctionName::Deriv | FunctionName::PredictLinear | FunctionName::DoubleExponentialSmoothing => 2,
        _ => 1,
    };
    if call.function == FunctionName::DoubleExponentialSmoothing {
        check_factor("smoothing", first_parameter)?;
        check_factor("trend", call.numbers.get(1).copied().unwrap_or(f64::NAN))?;
    }
    if floats.len() < least {
        if !floats.is_empty() && !histograms.is_empty() {
            call.notes.histogram_ignored_in_range(range.metric_name(), call.first_span);
        }
        return Ok(None);
    }
    if call.function == FunctionName::QuantileOverTime && !(0.0..=1.0).contains(&first_parameter) {
        call.notes.invalid_quantile(first_parameter, call.first_span);
    }
    if !histograms.is_empty() {
        call.notes.histogram_ignored_in_range(range.metric_name(), call.first_span);
    }
    match call.function {
        FunctionName::MaxOverTime => float(extreme(floats, |v, best| v > best).1),
        FunctionName::MinOverTime => float(extreme(floats, |v, best| v < best).1),
        FunctionName::TsOfMaxOverTime => float(seconds(extreme(floats, |v, best| v >= best).0)),
        FunctionName::TsOfMinOverTime => float(seconds(extreme(floats, |v, best| v <= best).0)),
        FunctionName::StddevOverTime => float(variance(floats).sqrt()),
        FunctionName::StdvarOverTime => float(variance(floats)),
        FunctionName::QuantileOverTime => {
            let mut values: Vec<f64> = floats.iter().map(|s| s.1).collect();
            float(quantile(first_parameter, &mut values))
        }
        FunctionName::MadOverTime => float(median_deviation(floats)),
        FunctionName::Deriv => float(linear_regression(floats, floats[0].0).0),
        FunctionName::PredictLinear => {
            let (slope, intercept) = linear_regression(floats, call.at);
            float(slope * first_parameter + intercept)
        }
        FunctionName::DoubleExponentialSmoothing => {
            float(smooth(floats, first_parameter, call.numbers.get(1).copied().unwrap_or(f64::NAN)))
        }
        _ => Err(QueryError::Execution("the function does not take a range vector".to_owned())),
    }
}

/// Time and value of the most extreme sample; NaN only if there is nothing else.
fn extreme(floats: &[(i64, f64)], beats: impl Fn(f64, f64) -> bool) -> (i64, f64) {
    let mut best = floats[0];
    for sample in floats {
        if beats(sample.1, best.1) || best.1.is_nan() {
            best = *sample;
        }
    }
    best
}

fn variance(floats: &[(i64, f64)]) -> f64 {
    let (mut mean, mut squares) = (KahanSum::default(), KahanSum::default());
    let mut count = 0.0;
    for (_, value) in floats {
        count += 1.0;
        let delta = value - mean.value();
        mean.add(delta / count);
        squares.add(delta * (value - mean.value()));
    }
    squares.value() / count
}

fn median_deviation(floats: &[(i64, f64)]) -> f64 {
    let mut values: Vec<f64> = floats.iter().map(|s| s.1).collect();
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    quantile(0.5, &mut values)
}

fn check_factor(name: &str, value: f64) -> Result<(), QueryError> {
    if value <= 0.0 || value >= 1.0 {
        let letter = &name[..1];
        let message = format!("invalid {name} factor. Expected: 0 < {letter}f < 1, got: {value:.6}");
        return Err(QueryError::Execution(message));
    }
    Ok(())
}

/// Holt's linear method.
fn smooth(floats: &[(i64, f64)], smoothing: f64, trend_factor: f64) -> f64 {
    let mut before = 0.0;
    let mut level = floats[0].1;
    let mut trend = floats[1].1 - floats[0].1;
    for (i, (_, value)) in floats.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        before = level;
        level = next;
    }
    level
}

fn sum_or_mean(call: &mut RangeCall<'_>, range: &Range<'_, '_>) -> RangeResult {
    let samples = range.samples;
    let mean = call.function == FunctionName::AvgOverTime;
    if !samples.floats.is_empty() && !samples.histograms.is_empty() {
        call.notes.mixed_floats_histograms(range.metric_name(), call.first_span);
        return Ok(None);
    }
    if let Some(((_, first), rest)) = samples.histograms.split_first() {
        return Ok(histogram_sum(call, range, first, rest, mean).map(|h| SampleValue::Histogram(Arc::new(h))));
    }
    let Some(((_, first), rest)) = samples.floats.split_first() else { return Ok(None) };
    Ok(Some(SampleValue::Float(if mean {
        let mut mean = Mean::new(*first);
        rest.iter().for_each(|(_, value)| mean.add(*value));
        mean.value()
    } else {
        let mut sum = KahanSum::default();
        samples.floats.iter().for_each(|(_, value)| sum.add(*value));
        if sum.sum.is_infinite() { sum.sum } else { sum.value() }
    })))
}

fn histogram_sum(
    call: &mut RangeCall<'_>,
    range: &Range<'_, '_>,
    first: &Histogram,
    rest: &[(i64, Arc<Histogram>)],
    mean: bool,
) -> Option<Histogram> {
    let mut sum = HistogramSum::new(first.clone());
    let mut count = 1.0;
    let mut stepwise = false;
    let mut reconciled = false;
    let mut fits = true;
    for (_, histogram) in rest {
        count += 1.0;
        let added = if !mean {
            sum.add(histogram)
        } else if stepwise {
            add_step(&mut sum, histogram, count)
        } else {
            let mut next = sum.clone();
            match next.add(histogram) {
                Ok(_) if next.has_overflow() => {
                    stepwise = true;
                    sum.scale(1.0 / (count - 1.0));
                    add_step(&mut sum, histogram, count)
                }
                added => {
                    sum = next;
                    added
                }
            }
        };
        match added {
            Ok(notes) => reconciled |= notes.bounds_reconciled,
            Err(_) => {
                fits = false;
                break;
            }
        }
    }
    if !fits {
        call.notes.mixed_exponential_custom(range.metric_name(), call.first_span);
        return None;
    }
    let hint = |wanted| range.samples.histograms.iter().any(|(_, h)| h.counter_reset_hint == wanted);
    if hint(CounterResetHint::Reset) && hint(CounterResetHint::NotReset) {
        call.notes.reset_collision(Combination::Aggregation, call.first_span);
    }
    if reconciled {
        call.notes.bounds_reconciled(Combination::Aggregation, call.first_span);
    }
    let mut total = sum.finish();
    if mean && !stepwise {
        total.divide(count);
    }
    Some(total)
}

fn add_step(
    sum: &mut HistogramSum,
    histogram: &Histogram,
    count: f64,
) -> Result<watchfire_tsdb::CombineNotes, watchfire_tsdb::HistogramError> {
    sum.scale((count - 1.0) / count);
    let mut part = histogram.clone();
    part.divide(count);
    sum.add(&part)
}
