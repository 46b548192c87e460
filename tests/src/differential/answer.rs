//! What a query answers, in one form for both sides, and where two answers differ.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value as Json;
use watchfire_promql::{Answer as Own, Value};
use watchfire_tsdb::SampleValue;

/// By how much two numbers may differ in relation to the larger one: sums over series have an order that Prometheus
/// does not specify, and Go's functions of the standard library are not the ones of the C library to the last bit.
const TOLERANCE: f64 = 1e-11;

/// A number or a histogram.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Point {
    Float(f64),
    /// Count, sum, and for each bucket its bounds' rule, its bounds and its count.
    Histogram(f64, f64, Vec<(u64, f64, f64, f64)>),
}

/// An answer, or why there is none.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Failed(String),
    Text(String),
    Series { kind: String, series: BTreeMap<BTreeMap<String, String>, BTreeMap<i64, Point>>, notes: BTreeSet<String> },
}

fn number(json: &Json) -> Result<f64> {
    let text = json.as_str().context("a number is written as text")?;
    text.parse().with_context(|| format!("{text:?} is no number"))
}

fn time(json: &Json) -> Result<i64> {
    Ok((json.as_f64().context("a time is a number")? * 1000.0).round() as i64)
}

fn float(json: &Json) -> Result<(i64, Point)> {
    Ok((time(&json[0])?, Point::Float(number(&json[1])?)))
}

fn histogram(json: &Json) -> Result<(i64, Point)> {
    let bucket = |json: &Json| -> Result<_> {
        Ok((json[0].as_u64().context("a rule")?, number(&json[1])?, number(&json[2])?, number(&json[3])?))
    };
    let buckets = json[1]["buckets"].as_array().into_iter().flatten().map(bucket).collect::<Result<_>>()?;
    Ok((time(&json[0])?, Point::Histogram(number(&json[1]["count"])?, number(&json[1]["sum"])?, buckets)))
}

fn metric(json: &Json) -> BTreeMap<String, String> {
    let pairs = json["metric"].as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), label_value(value.as_str().unwrap_or_default()))).collect()
}

/// A label's value as far as it is compared. The buckets of a histogram as text are cut off, for the sake of their bounds' last digit.
pub(crate) fn label_value(value: &str) -> String {
    let end = if value.starts_with("{count:") { value.find(", [").or(value.find(", (")) } else { None };
    match value.parse::<f64>() {
        // A computed number, whose last digits may differ.
        Ok(number) if value.len() > 12 => format!("{number:.10e}"),
        _ => value[..end.unwrap_or(value.len())].to_owned(),
    }
}

/// A remark. Its place is cut off where Prometheus counts bytes instead of characters, where it has none because the
/// remark is about a subquery, and where a plus may be taken for a part of its operand.
fn note(text: &str, query: &str) -> Option<String> {
    // What is known of resets of histograms is a hint in Prometheus' chunks.
    let hints = text.contains("conflicting counter resets");
    // Where a side is filled in, the two count different pairs.
    if hints || (query.contains("fill") && text.contains("binary operator")) {
        return None;
    }
    let subquery = ["s:", "m:", ":]"].iter().any(|part| query.contains(part));
    let end = if subquery || query.contains('+') || !query.is_ascii() { text.rfind(" (") } else { None };
    // The last digit of a computed number may differ, and Prometheus doubles the count of samples with every merge.
    // So may those of the bounds of a histogram as text.
    let end = text.find(", got ").or(text.find(", over ")).or(text.find("value of \"{count:")).or(end);
    Some(text[..end.unwrap_or(text.len())].to_owned())
}

impl Answer {
    /// Leaves the result alone: older servers make no remarks.
    pub(crate) fn forget_remarks(&mut self) {
        if let Answer::Series { notes, .. } = self {
            notes.clear();
        }
    }

    /// Reads the API's JSON.
    pub(crate) fn of_json(json: &Json, query: &str) -> Result<Answer> {
        if json["status"] != "success" {
            return Ok(Answer::Failed(json["error"].as_str().unwrap_or_default().to_owned()));
        }
        let kind = json["data"]["resultType"].as_str().context("there is no type")?.to_owned();
        let result = &json["data"]["result"];
        if kind == "string" {
            return Ok(Answer::Text(result[1].as_str().unwrap_or_default().to_owned()));
        }
        let mut series = BTreeMap::new();
        if kind == "scalar" {
            series.insert(BTreeMap::new(), BTreeMap::from([float(result)?]));
        } else {
            for one in result.as_array().context("the result is no list")? {
                let mut points = BTreeMap::new();
                for value in one.get("value").into_iter().chain(one["values"].as_array().into_iter().flatten()) {
                    points.extend([float(value)?]);
                }
                for value in one.get("histogram").into_iter().chain(one["histograms"].as_array().into_iter().flatten())
                {
                    points.extend([histogram(value)?]);
                }
                series.insert(metric(one), points);
            }
        }
        let texts = ["warnings", "infos"].into_iter().flat_map(|key| json[key].as_array().into_iter().flatten());
        let notes = texts.filter_map(Json::as_str).filter_map(|text| note(text, query)).collect();
        Ok(Answer::Series { kind, series, notes })
    }

    /// The same from the library.
    pub(crate) fn of_own(own: Own, at: i64, query: &str) -> Answer {
        let notes = own.warnings.iter().chain(&own.infos).filter_map(|text| note(text, query)).collect();
        let mut series: BTreeMap<_, BTreeMap<i64, Point>> = BTreeMap::new();
        let names = |labels: &watchfire_model::Labels| -> BTreeMap<String, String> {
            labels.iter().map(|label| (label.name.to_owned(), label_value(label.value))).collect()
        };
        let kind = match own.value {
            Value::String(text) => return Answer::Text(text),
            Value::Scalar(value) => {
                series.insert(BTreeMap::new(), BTreeMap::from([(at, Point::Float(value))]));
                "scalar"
            }
            Value::Vector(samples) => {
                for sample in samples {
                    let points = series.entry(names(&sample.labels)).or_default();
                    points.insert(sample.timestamp.as_millis(), point(&sample.value));
                }
                "vector"
            }
            Value::Matrix(all) => {
                for one in all {
                    let points = one.samples.iter().map(|(at, value)| (at.as_millis(), point(value))).collect();
                    series.insert(names(&one.labels), points);
                }
                "matrix"
            }
        };
        Answer::Series { kind: kind.to_owned(), series, notes }
    }
}

fn point(value: &SampleValue) -> Point {
    match value {
        SampleValue::Float(value) => Point::Float(*value),
        SampleValue::Histogram(histogram) => {
            let rule = |bucket: &watchfire_tsdb::Bucket| match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            let filled = histogram.buckets().filter(|bucket| bucket.count != 0.0);
            let buckets = filled.map(|b| (rule(&b), b.lower, b.upper, b.count)).collect();
            Point::Histogram(histogram.count, histogram.sum, buckets)
        }
    }
}

/// Whether two numbers are the same as far as can be asked.
pub(crate) fn near(a: f64, b: f64) -> bool {
    // What is left where everything else cancels out is rounding.
    const SMALLEST: f64 = 1e-15;
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= SMALLEST.max(TOLERANCE * a.abs().max(b.abs()))
}

fn same(a: &Point, b: &Point) -> bool {
    match (a, b) {
        (Point::Float(a), Point::Float(b)) => near(*a, *b),
        (Point::Histogram(c1, s1, b1), Point::Histogram(c2, s2, b2)) => {
            let bucket = |(a, b): (&(u64, f64, f64, f64), &(u64, f64, f64, f64))| {
                a.0 == b.0 && near(a.1, b.1) && near(a.2, b.2) && near(a.3, b.3)
            };
            near(*c1, *c2) && near(*s1, *s2) && b1.len() == b2.len() && b1.iter().zip(b2).all(bucket)
        }
        _ => false,
    }
}

/// The first difference, `None` if there is none.
pub(crate) fn difference(theirs: &Answer, own: &Answer, is_range: bool) -> Option<String> {
    match (theirs, own) {
        (Answer::Failed(_), Answer::Failed(_)) => None,
        (Answer::Failed(error), _) => Some(format!("Prometheus fails with {error:?}, Watchfire answers")),
        (_, Answer::Failed(error)) => Some(format!("Watchfire fails with {error:?}, Prometheus answers")),
        (Answer::Text(a), Answer::Text(b)) => (a != b).then(|| format!("{a:?}, Watchfire {b:?}")),
        (Answer::Series { kind: k1, series: s1, notes: n1 }, Answer::Series { kind: k2, series: s2, notes: n2 }) => {
            if k1 != k2 {
                return Some(format!("a {k1}, Watchfire a {k2}"));
            }
            for (labels, points) in s1 {
                let Some(other) = s2.get(labels) else { return Some(format!("{labels:?} only in Prometheus")) };
                for (at, point) in points {
                    match other.get(at) {
                        None => return Some(format!("{labels:?} at {at}: {point:?}, Watchfire has nothing")),
                        Some(own) if !same(point, own) => {
                            return Some(format!("{labels:?} at {at}: {point:?}, Watchfire {own:?}"));
                        }
                        Some(_) => {}
                    }
                }
                if let Some((at, point)) = other.iter().find(|(at, _)| !points.contains_key(at)) {
                    return Some(format!("{labels:?} at {at}: nothing, Watchfire {point:?}"));
                }
            }
            if let Some((labels, _)) = s2.iter().find(|(labels, _)| !s1.contains_key(*labels)) {
                return Some(format!("{labels:?} only in Watchfire"));
            }
            // Prometheus tells ten of each at most, in no order. Of equal remarks in several places it tells the last
            // one, and finds them in another order when there are several steps. Of an operator it tells the last.
            let placeless = |notes: &BTreeSet<String>| -> BTreeSet<String> {
                notes
                    .iter()
                    .map(|note| note.rsplit_once(" (").map_or(note.as_str(), |(text, _)| text).to_owned())
                    .collect()
            };
            let told = |note: &&String| n1.contains(*note) || !note.contains("encountered for binary operator");
            let n2: BTreeSet<String> = n2.iter().filter(told).cloned().collect();
            let same = if is_range { placeless(n1) == placeless(&n2) } else { *n1 == n2 };
            (!same && n1.len() < 10).then(|| format!("it remarks {n1:?}, Watchfire {n2:?}"))
        }
        _ => Some("the answers have different types".to_owned()),
    }
}
