//! Compares what a query answered with what the script expects.

use watchfire_model::{Duration, Labels, Timestamp, is_stale};
use watchfire_promql::{Answer, NotedValue, Value};
use watchfire_tsdb::{BucketCount, Histogram, SampleValue};

use super::{Expected, Text};

/// The relative difference that is allowed.
const TOLERANCE: f64 = 1e-6;

pub(crate) fn almost_equal(a: f64, b: f64, tolerance: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < tolerance
}

fn same_histogram(expected: &Histogram, found: &Histogram, hint_given: bool) -> bool {
    let same_buckets = |a: &[BucketCount], b: &[BucketCount]| {
        let filled = |list: &[BucketCount]| list.iter().filter(|b| b.count != 0.0).copied().collect::<Vec<_>>();
        let (a, b) = (filled(a), filled(b));
        a.len() == b.len()
            && a.iter().zip(&b).all(|(a, b)| a.index == b.index && almost_equal(a.count, b.count, TOLERANCE))
    };
    expected.schema == found.schema
        && almost_equal(expected.count, found.count, TOLERANCE)
        && almost_equal(expected.sum, found.sum, TOLERANCE)
        && expected.custom_bounds == found.custom_bounds
        && expected.zero_threshold == found.zero_threshold
        && almost_equal(expected.zero_count, found.zero_count, TOLERANCE)
        && same_buckets(&expected.positive, &found.positive)
        && same_buckets(&expected.negative, &found.negative)
        && (!hint_given || expected.counter_reset_hint == found.counter_reset_hint)
}

fn same_value(expected: &NotedValue, found: &SampleValue) -> bool {
    match (&expected.value, found) {
        (Some(SampleValue::Float(a)), SampleValue::Float(b)) => almost_equal(*a, *b, TOLERANCE),
        (Some(SampleValue::Histogram(a)), SampleValue::Histogram(b)) => same_histogram(a, b, expected.hint_given),
        _ => false,
    }
}

fn messages(kind: &str, expected: &[Text], none: bool, found: &[String]) -> Result<(), String> {
    if none && !found.is_empty() {
        return Err(format!("unexpected {kind} {found:?}"));
    }
    if expected.is_empty() {
        return Ok(());
    }
    if let Some(missing) = expected.iter().find(|e| !found.iter().any(|f| e.matches(f))) {
        return Err(format!("expected {kind} {missing}, found {found:?}"));
    }
    match found.iter().find(|f| !expected.iter().any(|e| e.matches(f))) {
        Some(surplus) => Err(format!("unexpected {kind} {surplus}")),
        None => Ok(()),
    }
}

pub(crate) fn annotations(expected: &Expected, answer: &Answer) -> Result<(), String> {
    messages("warning", &expected.warnings, expected.no_warnings, &answer.warnings)?;
    messages("info", &expected.infos, expected.no_infos, &answer.infos)
}

pub(crate) fn value(expected: &Expected, found: &Value, points: Option<(Timestamp, Duration)>) -> Result<(), String> {
    match found {
        Value::Scalar(found) => match expected.scalar {
            Some(expected) if almost_equal(expected, *found, TOLERANCE) => Ok(()),
            Some(expected) => Err(format!("expected scalar {expected}, got {found}")),
            None => Err(format!("expected a vector, got scalar {found}")),
        },
        Value::String(found) => match &expected.string {
            Some(expected) if expected == found => Ok(()),
            expected => Err(format!("expected string {expected:?}, got {found:?}")),
        },
        Value::Vector(found) => {
            if let Some(scalar) = expected.scalar {
                return Err(format!("expected scalar {scalar}, got a vector"));
            }
            for (position, sample) in found.iter().enumerate() {
                let index = find(expected, &sample.labels, &sample.value)?;
                if expected.ordered && index != position {
                    return Err(format!("expected {} at {index}, but it is at {position}", sample.labels));
                }
                let wanted = expected.series[index].1.first();
                if !wanted.is_some_and(|wanted| same_value(wanted, &sample.value)) {
                    return Err(format!("expected {wanted:?} for {}, got {:?}", sample.labels, sample.value));
                }
            }
            all_found(expected, found.iter().map(|s| &s.labels))
        }
        Value::Matrix(found) => {
            if expected.scalar.is_some() || expected.ordered {
                return Err("expected something else than a matrix".to_owned());
            }
            let Some((start, step)) = points else { return Err("a matrix needs expected times".to_owned()) };
            for series in found {
                let first = series.samples.first().map_or(SampleValue::Float(0.0), |s| s.1.clone());
                let index = find(expected, &series.labels, &first)?;
                let times = expected.series[index].1.iter().enumerate();
                let wanted: Vec<(Timestamp, &NotedValue)> = times
                    .filter(|(_, noted)| noted.value.is_some())
                    .map(|(i, noted)| (start + step.times(i as i64), noted))
                    .collect();
                let same = wanted.len() == series.samples.len()
                    && wanted
                        .iter()
                        .zip(&series.samples)
                        .all(|((time, wanted), (found_time, found))| time == found_time && same_value(wanted, found));
                if !same {
                    let labels = &series.labels;
                    return Err(format!("for {labels} expected {wanted:?}\n      got {:?}", series.samples));
                }
            }
            all_found(expected, found.iter().map(|s| &s.labels))
        }
    }
}

fn find(expected: &Expected, labels: &Labels, value: &SampleValue) -> Result<usize, String> {
    let position = expected.series.iter().rposition(|(wanted, _)| wanted == labels);
    position.ok_or_else(|| format!("unexpected series {labels} with {value:?}"))
}

fn all_found<'l>(expected: &Expected, found: impl Iterator<Item = &'l Labels>) -> Result<(), String> {
    let found: Vec<&Labels> = found.collect();
    match expected.series.iter().find(|(labels, _)| !found.contains(&labels)) {
        Some((labels, _)) => Err(format!("expected series {labels} is missing")),
        None => Ok(()),
    }
}
