//! Histograms, classic and native: quantiles, fractions and what else can be read off them.

use std::sync::{Arc, LazyLock};

use watchfire_model::{BUCKET_LABEL, format_g};
use watchfire_tsdb::{Histogram, SampleValue};

use super::super::element::{Element, Interner, Projection, hash_labels, refuse_equal};
use super::super::{Evaluator, fault};
use super::labels::set;
use crate::QueryError;
use crate::annotations::{Annotations, Monotonicity};
use crate::numeric::{KahanSum, almost_equal};
use crate::plan::{Kind, Node};
use crate::syntax::{FunctionName, Span};

/// Differences between buckets below this part of their counts come from rounding.
const ROUNDING: f64 = 1e-12;

/// All labels of a classic histogram's bucket but its bound.
pub(in crate::eval) static WITHOUT_BOUND: LazyLock<Arc<Projection>> =
    LazyLock::new(|| Arc::new(Projection { names: vec![BUCKET_LABEL.to_owned()], keep: false }));

/// A bucket of a classic histogram; counts are cumulative.
#[derive(Clone, Copy, Debug)]
pub(in crate::eval) struct ClassicBucket {
    pub(in crate::eval) upper: f64,
    pub(in crate::eval) count: f64,
}

/// One histogram of a vector.
pub(in crate::eval) enum Shape {
    Classic(Vec<ClassicBucket>),
    Native(Arc<Histogram>),
}

/// The histograms of a vector with their labels, without `le`.
pub(in crate::eval) fn histograms<'a>(
    vector: &[Element<'a>],
    delayed: bool,
    notes: &mut Annotations,
    span: Span,
) -> Vec<(Element<'a>, Shape)> {
    let mut found: Vec<(Element<'a>, Shape)> = Vec::new();
    let mut classic: Vec<(Element<'a>, Vec<ClassicBucket>)> = Vec::new();
    let mut interner = Interner::with_capacity(vector.len() / 8 + 1);
    let named = |element: &Element<'_>| if delayed { element.metric_name().to_owned() } else { String::new() };
    for element in vector {
        let SampleValue::Float(count) = element.value else { continue };
        let label = element.get(BUCKET_LABEL);
        let Some(upper) = parse_bound(label) else {
            notes.bad_bucket_label(&named(element), label, span);
            continue;
        };
        let rest = |e: &Element<'a>| hash_labels(e.labels().filter(|l| l.name != BUCKET_LABEL));
        let next = classic.len();
        let number = interner.intern(rest(element), next, |i| {
            let other = &classic[i].0;
            other.labels().eq(element.labels().filter(|l| l.name != BUCKET_LABEL))
        });
        if number == next {
            let metric = element.part(&WITHOUT_BOUND);
            classic.push((Element { metric, ..element.clone() }, Vec::new()));
        }
        classic[number].1.push(ClassicBucket { upper, count });
    }
    for element in vector {
        let SampleValue::Histogram(histogram) = &element.value else { continue };
        // Both kinds under the same labels: nobody knows which one is meant.
        let twin = interner.find(element.hash(), |i| classic[i].0.labels().eq(element.labels()));
        match twin {
            Some(twin) => {
                notes.mixed_classic_native(&named(element), span);
                classic[twin].1.clear();
            }
            None => found.push((element.clone(), Shape::Native(Arc::clone(histogram)))),
        }
    }
    let classic = classic.into_iter().filter(|(_, buckets)| !buckets.is_empty());
    found.extend(classic.map(|(element, mut buckets)| {
        buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
        (element, Shape::Classic(buckets))
    }));
    found
}

/// A bound as Go's `ParseFloat` reads it.
fn parse_bound(text: &str) -> Option<f64> {
    let bare = text.trim_start_matches(['+', '-']);
    let letters = bare.starts_with(|c: char| c.is_ascii_alphabetic());
    if letters && !["inf", "infinity", "nan"].contains(&bare.to_ascii_lowercase().as_str()) {
        return None;
    }
    text.parse().ok()
}

/// Buckets with the same bound become one.
fn coalesce(buckets: &[ClassicBucket]) -> Vec<ClassicBucket> {
    let mut out: Vec<ClassicBucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        match out.last_mut() {
            Some(last) if last.upper == bucket.upper => last.count += bucket.count,
            _ => out.push(*bucket),
        }
    }
    out
}

/// Makes cumulative counts ascending; small differences are rounding, others are reported.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<Monotonicity> {
    let mut found: Option<Monotonicity> = None;
    let (first, rest) = buckets.split_first_mut()?;
    let mut previous = first.count;
    for bucket in rest {
        if bucket.count == previous {
            continue;
        }
        if almost_equal(previous, bucket.count, ROUNDING) {
            bucket.count = previous;
        } else if bucket.count < previous {
            let difference = previous - bucket.count;
            let entry = found.get_or_insert(Monotonicity {
                first: 0,
                last: 0,
                lowest_bucket: bucket.upper,
                highest_bucket: bucket.upper,
                difference,
                count: 1,
            });
            entry.lowest_bucket = entry.lowest_bucket.min(bucket.upper);
            entry.highest_bucket = entry.highest_bucket.max(bucket.upper);
            entry.difference = entry.difference.max(difference);
            bucket.count = previous;
        } else {
            previous = bucket.count;
        }
    }
    found
}

/// The quantile of a classic histogram, spread evenly within its bucket.
pub(in crate::eval) fn classic_quantile(q: f64, buckets: &[ClassicBucket]) -> (f64, Option<Monotonicity>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    let mut buckets = coalesce(buckets);
    let forced = make_monotonic(&mut buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    // A rank that is not a number is in no bucket but the last.
    let found = buckets[..last].iter().position(|b| b.count >= rank).unwrap_or(last);
    if found == last {
        return (buckets[last - 1].upper, forced);
    }
    if found == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, forced);
    }
    let (mut start, end, mut count) = (0.0, buckets[found].upper, buckets[found].count);
    if found > 0 {
        start = buckets[found - 1].upper;
        count -= buckets[found - 1].count;
        rank -= buckets[found - 1].count;
    }
    (start + (end - start) * (rank / count), forced)
}

/// The part of a classic histogram's observations between two values.
fn classic_fraction(lower: f64, upper: f64, buckets: &[ClassicBucket]) -> f64 {
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return f64::NAN;
    }
    let buckets = coalesce(buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_of = |value: f64| {
        let mut rank = 0.0;
        // With a positive first bound nothing is taken to lie below zero.
        let mut start = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
        for bucket in &buckets {
            if start >= value {
                return rank;
            }
            if bucket.upper > value {
                if start == f64::NEG_INFINITY {
                    return bucket.count;
                }
                return rank + (bucket.count - rank) * (value - start) / (bucket.upper - start);
            }
            rank = bucket.count;
            start = bucket.upper;
        }
        count
    };
    (rank_of(upper).min(count) - rank_of(lower).min(count)) / count
}

/// The bounds of the bucket around zero, of which one side is empty if all observations lie on the other.
fn natural_zero(histogram: &Histogram, bucket: &mut watchfire_tsdb::Bucket) {
    if histogram.negative.is_empty() && !histogram.positive.is_empty() {
        bucket.lower = 0.0;
    } else if histogram.positive.is_empty() && !histogram.negative.is_empty() {
        bucket.upper = 0.0;
    }
}

/// The quantile of a native histogram, on a logarithmic scale within exponential buckets.
fn native_quantile(q: f64, histogram: &Histogram, name: &str, notes: &mut Annotations, span: Span) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if histogram.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    // Observations of NaN are in the count and in no bucket: then only counting from below is right.
    let has_nan = histogram.sum.is_nan();
    let forward = has_nan || q < 0.5;
    let mut rank = if forward { q * histogram.count } else { (1.0 - q) * histogram.count };
    let mut all: Vec<watchfire_tsdb::Bucket> = histogram.buckets().collect();
    if !forward {
        all.reverse();
    }
    let mut count = 0.0;
    let mut bucket =
        watchfire_tsdb::Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0 };
    let mut rest = all.len();
    for (i, candidate) in all.iter().enumerate() {
        bucket = *candidate;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            rest = i + 1;
            break;
        }
    }
    let custom = histogram.uses_custom_buckets();
    if !custom && bucket.lower < 0.0 && bucket.upper > 0.0 {
        natural_zero(histogram, &mut bucket);
    } else if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    }
    count = count.min(histogram.count);
    if count < rank {
        if has_nan {
            notes.quantile_is_nan(name, span);
            return f64::NAN;
        }
        return bucket.upper;
    }
    rank = if forward { rank - (count - bucket.count) } else { count - rank };
    if has_nan {
        let total = count + all[rest..].iter().map(|b| b.count).sum::<f64>();
        if total < histogram.count {
            notes.quantile_is_skewed(name, span);
        }
    }
    let fraction = rank / bucket.count;
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (lower + (upper - lower) * fraction).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - fraction)).exp2()
    }
}

/// The part of a native histogram's observations between two values.
fn native_fraction(
    lower: f64,
    upper: f64,
    histogram: &Histogram,
    name: &str,
    notes: &mut Annotations,
    span: Span,
) -> f64 {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let custom = histogram.uses_custom_buckets();
    let rank_of = |value: f64| {
        let mut rank = 0.0;
        for mut bucket in histogram.buckets() {
            let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            if zero {
                natural_zero(histogram, &mut bucket);
            }
            if bucket.lower >= value {
                return Some(rank);
            }
            if bucket.upper > value {
                if (custom || zero) && bucket.lower == f64::NEG_INFINITY {
                    return Some(bucket.count);
                }
                return Some(rank + bucket.count * bucket.fraction_below(value, custom || zero));
            }
            rank += bucket.count;
        }
        None
    };
    let mut count = histogram.count;
    if histogram.sum.is_nan() {
        count = histogram.buckets().map(|b| b.count).sum();
        if count < histogram.count {
            notes.fraction_without_nan(name, span);
        }
    }
    let rank = |value| rank_of(value).map_or(count, |rank: f64| rank.min(count));
    (rank(upper) - rank(lower)) / histogram.count
}

fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = KahanSum::default();
    for bucket in histogram.buckets().filter(|b| b.count != 0.0) {
        let value = if histogram.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = value - mean;
        squares.add(bucket.count * delta * delta);
    }
    squares.value() / histogram.count
}

/// A number as OpenMetrics writes it, always with a point or an exponent.
fn open_metrics(value: f64) -> String {
    let text = format_g(value);
    if value.is_finite() && !text.contains(['.', 'e']) { format!("{text}.0") } else { text }
}

impl<'s, 'a> Evaluator<'s, 'a> {
    /// Functions that read one number off every native histogram.
    pub(super) fn histogram_number(
        &mut self,
        function: FunctionName,
        arg: &'s Node,
        at: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let mut vector = self.vector(arg, at)?;
        let dropped = self.dropped();
        vector.retain_mut(|element| {
            let SampleValue::Histogram(histogram) = &element.value else { return false };
            let value = match function {
                FunctionName::HistogramCount => histogram.count,
                FunctionName::HistogramSum => histogram.sum,
                FunctionName::HistogramAvg => histogram.sum / histogram.count,
                FunctionName::HistogramStdvar => variance(histogram),
                _ => variance(histogram).sqrt(),
            };
            element.value = SampleValue::Float(value);
            element.drop_name(dropped);
            true
        });
        self.refuse_equal_if_renamed(arg, &vector)?;
        Ok(vector)
    }

    pub(super) fn histogram_quantile(
        &mut self,
        function: FunctionName,
        args: &'s [Node],
        at: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let several = function == FunctionName::HistogramQuantiles;
        let (quantile_args, vector_arg) = if several { (&args[2..], &args[0]) } else { (&args[..1], &args[1]) };
        let mut quantiles = Vec::with_capacity(quantile_args.len());
        for arg in quantile_args {
            let q = self.scalar(arg, at)?;
            if !(0.0..=1.0).contains(&q) {
                self.notes.invalid_quantile(q, arg.span);
            }
            quantiles.push(q);
        }
        let label = match (several, &args[1].kind) {
            (true, Kind::String(label)) => Some(label),
            (true, _) => return Err(fault("histogram_quantiles needs a label")),
            (false, _) => None,
        };
        let vector = self.vector(vector_arg, at)?;
        let delayed = self.options.delayed_name_removal;
        let dropped = self.dropped();
        let span = vector_arg.span;
        let found = histograms(&vector, delayed, &mut self.notes, span);
        let mut out = Vec::with_capacity(found.len() * quantiles.len());
        for q in &quantiles {
            for (element, shape) in &found {
                let mut result = element.clone();
                let value = match shape {
                    Shape::Native(histogram) => {
                        let mut named = element.clone();
                        named.drop_name(dropped);
                        native_quantile(*q, histogram, named.metric_name(), &mut self.notes, span)
                    }
                    Shape::Classic(buckets) => {
                        let (value, forced) = classic_quantile(*q, buckets);
                        if let Some(forced) = forced {
                            let name = if delayed { element.metric_name() } else { "" };
                            self.notes.forced_monotonicity(name, Monotonicity { first: at, last: at, ..forced }, span);
                        }
                        value
                    }
                };
                result.value = SampleValue::Float(value);
                result.drop_name(dropped);
                if let Some(label) = label {
                    result = set(result, label, open_metrics(*q));
                }
                out.push(result);
            }
        }
        if several && !delayed {
            // The same quantile may have been asked for twice.
            refuse_equal(&out)?;
        } else {
            self.refuse_equal_if_renamed(vector_arg, &out)?;
        }
        Ok(out)
    }

    pub(super) fn histogram_fraction(&mut self, args: &'s [Node], at: i64) -> Result<Vec<Element<'a>>, QueryError> {
        let lower = self.scalar(&args[0], at)?;
        let upper = self.scalar(&args[1], at)?;
        let vector = self.vector(&args[2], at)?;
        let dropped = self.dropped();
        let span = args[2].span;
        let found = histograms(&vector, self.options.delayed_name_removal, &mut self.notes, span);
        let mut out = Vec::with_capacity(found.len());
        for (mut element, shape) in found {
            element.drop_name(dropped);
            let value = match &shape {
                Shape::Native(histogram) => {
                    native_fraction(lower, upper, histogram, element.metric_name(), &mut self.notes, span)
                }
                Shape::Classic(buckets) => classic_fraction(lower, upper, buckets),
            };
            element.value = SampleValue::Float(value);
            out.push(element);
        }
        self.refuse_equal_if_renamed(&args[2], &out)?;
        Ok(out)
    }
}
