//! The notation for series in tests: `up{job="x"} 1+1x10 _ stale 0x5 {{schema:1 count:2 sum:3 buckets:[1 1]}}`.
//!
//! It is Prometheus' (`promtool test rules`, promqltest). Each item gives one or more values at equal distances.

use std::sync::Arc;

use watchfire_model::{Labels, STALE_NAN};
use watchfire_tsdb::{CounterResetHint, Histogram, SampleValue};

use crate::syntax::ParseError;
use crate::syntax::parser::parse_label_set;

/// A series as it is written in a test.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesNotation {
    /// Its labels.
    pub labels: Labels,
    /// Its values, one per interval.
    pub values: Vec<NotedValue>,
}

/// One value of a [`SeriesNotation`].
#[derive(Clone, Debug, PartialEq)]
pub struct NotedValue {
    /// The sample, or `None` for `_`: no sample at this time.
    pub value: Option<SampleValue>,
    /// Whether a histogram's counter reset hint was written; only then does a comparison look at it.
    pub hint_given: bool,
}

impl NotedValue {
    fn float(value: f64) -> NotedValue {
        NotedValue { value: Some(SampleValue::Float(value)), hint_given: false }
    }
}

/// Reads a series with its values.
pub fn parse_series(text: &str) -> Result<SeriesNotation, ParseError> {
    let split = selector_end(text);
    let labels = parse_label_set(&text[..split])?;
    let values = parse_values(&text[split..]).map_err(|(at, message)| {
        let start = split + at;
        ParseError::new(text, start..text.len(), message)
    })?;
    Ok(SeriesNotation { labels, values })
}

/// Reads values alone, as they stand in `promtool` files. An error says where and why.
pub fn parse_values(text: &str) -> Result<Vec<NotedValue>, (usize, String)> {
    let mut values = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let end = item_end(rest);
        item(&rest[..end], &mut values).map_err(|message| (at, message))?;
        rest = rest[end..].trim_start();
    }
    Ok(values)
}

/// Where the name and the braces end.
fn selector_end(text: &str) -> usize {
    let mut in_braces = false;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match quote {
            Some(open) => {
                if escaped {
                    escaped = false;
                } else if c == '\\' && open != '`' {
                    escaped = true;
                } else if c == open {
                    quote = None;
                }
            }
            None if in_braces && matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '{' => in_braces = true,
            None if c == '}' => return i + 1,
            None if c.is_whitespace() && !in_braces && !text[i..].trim_start().starts_with('{') => return i,
            None if c.is_whitespace() && !in_braces && text[i..].trim_start().starts_with("{{") => return i,
            None => {}
        }
    }
    text.len()
}

/// Items are separated by spaces, but histograms have spaces inside.
fn item_end(text: &str) -> usize {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            c if c.is_whitespace() && depth == 0 => return i,
            _ => {}
        }
    }
    text.len()
}

fn item(text: &str, out: &mut Vec<NotedValue>) -> Result<(), String> {
    if let Some(rest) = text.strip_prefix("{{") {
        return histogram_item(rest, out);
    }
    if let Some(rest) = text.strip_prefix('_') {
        let missing = NotedValue { value: None, hint_given: false };
        let count = if rest.is_empty() { 1 } else { repetitions(rest)? };
        out.extend(std::iter::repeat_n(missing, count));
        return Ok(());
    }
    let (first, rest) = match text.strip_prefix("stale") {
        Some(rest) => (STALE_NAN, rest),
        None => number(text)?,
    };
    if rest.is_empty() {
        out.push(NotedValue::float(first));
        return Ok(());
    }
    if rest.starts_with('x') {
        let count = repetitions(rest)?;
        out.extend(std::iter::repeat_n(NotedValue::float(first), count + 1));
        return Ok(());
    }
    let (step, rest) = number(rest)?;
    let count = repetitions(rest)?;
    let mut value = first;
    for _ in 0..=count {
        out.push(NotedValue::float(value));
        value += step;
    }
    Ok(())
}

/// More values than this in one item are a mistake.
const REPETITIONS_MAX: usize = 10_000_000;

fn repetitions(text: &str) -> Result<usize, String> {
    let digits = text.strip_prefix('x').ok_or_else(|| format!("expected x and a number instead of {text:?}"))?;
    let count: usize = digits.parse().map_err(|_| format!("invalid repetition in series values: {digits:?}"))?;
    if count > REPETITIONS_MAX { Err(format!("more than {REPETITIONS_MAX} repetitions")) } else { Ok(count) }
}

/// A number with its sign at the start of `text`, and the rest.
fn number(text: &str) -> Result<(f64, &str), String> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let negative = text[..text.len() - unsigned.len()].contains('-');
    let lower = unsigned.get(..3).unwrap_or("").to_ascii_lowercase();
    let (value, rest) = match lower.as_str() {
        "inf" => (f64::INFINITY, &unsigned[3..]),
        "nan" => (f64::NAN, &unsigned[3..]),
        _ => {
            let bytes = unsigned.as_bytes();
            let mut end = 0;
            while end < bytes.len() {
                let sign_of_exponent =
                    end > 0 && matches!(bytes[end - 1], b'e' | b'E') && matches!(bytes[end], b'+' | b'-');
                if !(bytes[end].is_ascii_digit() || matches!(bytes[end], b'.' | b'e' | b'E') || sign_of_exponent) {
                    break;
                }
                end += 1;
            }
            let value =
                unsigned[..end].parse().map_err(|_| format!("expected a number or stale instead of {text:?}"))?;
            (value, &unsigned[end..])
        }
    };
    Ok((if negative { -value } else { value }, rest))
}

fn histogram_item(text: &str, out: &mut Vec<NotedValue>) -> Result<(), String> {
    let (first, mut hint_given, rest) = histogram(text)?;
    let noted =
        |h: &Histogram, hint_given| NotedValue { value: Some(SampleValue::Histogram(Arc::new(h.clone()))), hint_given };
    if rest.is_empty() {
        out.push(noted(&first, hint_given));
        return Ok(());
    }
    if rest.starts_with('x') {
        out.extend(std::iter::repeat_n(noted(&first, hint_given), repetitions(rest)? + 1));
        return Ok(());
    }
    let subtract = rest.starts_with('-');
    let open = rest[1..].strip_prefix("{{").ok_or_else(|| format!("expected a histogram instead of {rest:?}"))?;
    let (step, step_hint, rest) = histogram(open)?;
    hint_given = step_hint;
    let count = repetitions(rest)?;
    let mut current = first;
    for i in 0..=count {
        out.push(noted(&current, hint_given));
        if i == count {
            break;
        }
        if current.schema > step.schema {
            let (from, to) = (step.schema, current.schema);
            return Err(format!("error combining histograms: cannot merge from schema {from} to {to}"));
        }
        let combined = if subtract { current.subtract(&step) } else { current.add(&step) };
        combined.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A histogram whose opening braces have been read; whether its hint was written; what follows it.
fn histogram(text: &str) -> Result<(Histogram, bool, &str), String> {
    let end = text.find("}}").ok_or("expected }} at the end of the histogram")?;
    let mut histogram = Histogram::default();
    let mut hint_given = false;
    let (mut counts, mut negative_counts): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let (mut offset, mut negative_offset) = (0, 0);
    let mut rest = text[..end].trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| format!("missing `:` in histogram: {rest:?}"))?;
        let list_end = after.starts_with('[').then(|| after.find(']').map(|i| i + 1)).flatten();
        let value_end = list_end.or_else(|| after.find(char::is_whitespace)).unwrap_or(after.len());
        let value = &after[..value_end];
        rest = after[value_end..].trim_start();
        let float = || number(value).map(|(v, _)| v);
        let integer = || value.parse::<i32>().map_err(|_| format!("expected an integer for {key}: {value:?}"));
        match key.trim() {
            "schema" => histogram.schema = integer()?,
            "sum" => histogram.sum = float()?,
            "count" => histogram.count = float()?,
            "z_bucket" => histogram.zero_count = float()?,
            "z_bucket_w" => histogram.zero_threshold = float()?,
            "custom_values" => histogram.custom_bounds = list(value)?,
            "buckets" => counts = list(value)?,
            "offset" => offset = integer()?,
            "n_buckets" => negative_counts = list(value)?,
            "n_offset" => negative_offset = integer()?,
            "counter_reset_hint" => {
                hint_given = true;
                histogram.counter_reset_hint = match value {
                    "unknown" => CounterResetHint::Unknown,
                    "reset" => CounterResetHint::Reset,
                    "not_reset" => CounterResetHint::NotReset,
                    "gauge" => CounterResetHint::Gauge,
                    _ => return Err(format!("unknown counter reset hint {value:?}")),
                };
            }
            other => return Err(format!("bad histogram descriptor found: {other:?}")),
        }
    }
    let buckets = |offset: i32, counts: &[f64]| {
        let length = u32::try_from(counts.len()).unwrap_or(u32::MAX);
        Histogram::buckets_from_spans([(offset, length)], counts).map_err(|error| error.to_string())
    };
    histogram.positive = buckets(offset, &counts)?;
    histogram.negative = buckets(negative_offset, &negative_counts)?;
    Ok((histogram, hint_given, &text[end + 2..]))
}

fn list(text: &str) -> Result<Vec<f64>, String> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("expected a list such as [1 2] instead of {text:?}"))?;
    inner.split_whitespace().map(|item| number(item).map(|(v, _)| v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Vec<String> {
        let shown =
            |v: NotedValue| v.value.map_or("_".to_owned(), |v| v.float().map_or("h".to_owned(), |f| f.to_string()));
        parse_values(text).unwrap().into_iter().map(shown).collect()
    }

    #[test]
    fn items_expand_as_in_promtool() {
        assert_eq!(floats("1 2+3x2 _ _x2 -1-2x1 5x1"), ["1", "2", "5", "8", "_", "_", "_", "-1", "-3", "5", "5"]);
        assert_eq!(floats("1e3+1e-1x1 Inf -Infx1"), ["1000", "1000.1", "inf", "-inf", "-inf"]);
        assert_eq!(floats("{{count:1}}x1 {{}}"), ["h", "h", "h"]);
        assert!(parse_values("1 stale").unwrap()[1].value.as_ref().is_some_and(SampleValue::is_stale));
        for bad in ["abc", "1x", "1+x3", "{{schema:x}}", "{{nonsense:1}}", "1+1"] {
            assert!(parse_values(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_series_may_have_spaces_and_braces_in_its_labels() {
        let series = parse_series("a{b=\"c } d\", e='f'} 1 2").unwrap();
        assert_eq!(series.labels.to_string(), "{__name__=\"a\", b=\"c } d\", e=\"f\"}");
        assert_eq!(series.values.len(), 2);
        assert_eq!(parse_series("{} 1").unwrap().labels, Labels::empty());
        assert_eq!(parse_series("a {{count:3}}").unwrap().values.len(), 1);
    }
}
