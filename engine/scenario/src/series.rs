//! The shorthand for series: `up{job="a"}` and `0+10x10 _ stale {{schema:1 ...}}x3`.

use std::sync::Arc;

use watchfire_model::{Labels, MatchOp, Matcher, STALE_NAN};
use watchfire_promql::parse_selector;
use watchfire_tsdb::{BucketCount, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Histogram, SampleValue};

/// Values that one series may have, so that `0x1000000000` is an error and not the end of the memory.
const VALUES_MAX: usize = 10_000_000;

/// The labels of a series as it is written: `name`, `name{label="value"}`, `{label="value"}`, or nothing.
///
/// # Errors
/// What is wrong, in one line.
pub fn parse_series(text: &str) -> Result<Labels, String> {
    let text = text.trim();
    // A selector must not be empty, but a set of labels may.
    if text.is_empty() || text.strip_prefix('{').is_some_and(|rest| rest.trim() == "}") {
        return Ok(Labels::empty());
    }
    let matchers = parse_selector(text).map_err(|error| format!("{text}: {error}"))?;
    labels_of(&matchers).ok_or_else(|| format!("{text}: a series is written with = only"))
}

fn labels_of(matchers: &[Matcher]) -> Option<Labels> {
    let pairs = matchers.iter().map(|m| (m.op() == MatchOp::Equal).then(|| (m.name().to_owned(), m.value().to_owned())));
    pairs.collect::<Option<Vec<_>>>().map(Labels::from_pairs)
}

/// The values of a series in the shorthand, one per interval; `None` where there is no sample.
///
/// # Errors
/// What is wrong, in one line.
pub fn parse_values(text: &str) -> Result<Vec<Option<SampleValue>>, String> {
    let mut values = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = item_end(rest).ok_or_else(|| format!("{rest:?}: a histogram is not closed with }}}}"))?;
        item(&rest[..end], &mut values)?;
        rest = rest[end..].trim_start();
    }
    Ok(values)
}

/// Where the first item ends: at a space that is not inside `{{ }}`.
fn item_end(text: &str) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("{{") {
            at += rest.find("}}")? + 2;
        } else if rest.starts_with(char::is_whitespace) {
            break;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(at)
}

fn item(text: &str, values: &mut Vec<Option<SampleValue>>) -> Result<(), String> {
    let wrong = || format!("{text:?} is no series value; write it like 1, 0+10x5, 3x4, _, _x2, stale or {{{{sum:1}}}}x2");
    let repeat = |times: &str| -> Result<usize, String> {
        times.parse::<usize>().ok().filter(|n| *n <= VALUES_MAX).ok_or_else(wrong)
    };
    if let Some(rest) = text.strip_prefix('_') {
        let times = match rest.strip_prefix('x') {
            Some(times) => repeat(times)?,
            None if rest.is_empty() => 1,
            None => return Err(wrong()),
        };
        values.extend(std::iter::repeat_n(None, times));
    } else if text.starts_with("{{") {
        histograms(text, &repeat, values).map_err(|reason| format!("{text:?}: {reason}"))?;
    } else {
        let (first, rest) = match text.strip_prefix("stale") {
            Some(rest) => (STALE_NAN, rest),
            None => number(text).ok_or_else(wrong)?,
        };
        let (step, rest) = if rest.starts_with(['+', '-']) { number(rest).ok_or_else(wrong)? } else { (0.0, rest) };
        let times = match rest.strip_prefix('x') {
            Some(times) => repeat(times)?,
            None if rest.is_empty() && step == 0.0 => 0,
            None => return Err(wrong()),
        };
        // Repeatedly added and not multiplied, so that the rounding is Prometheus'.
        let mut value = first;
        for _ in 0..=times {
            values.push(Some(SampleValue::Float(value)));
            if step != 0.0 {
                value += step;
            }
        }
    }
    if values.len() > VALUES_MAX {
        return Err(format!("a series may have {VALUES_MAX} values"));
    }
    Ok(())
}

/// A number at the beginning of a text, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let sign_length = text.len() - unsigned.len();
    if sign_length > 1 {
        return None;
    }
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if unsigned.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(word)) {
            return Some((sign * value, &unsigned[3..]));
        }
    }
    let mut end = 0;
    let bytes = unsigned.as_bytes();
    let digits = |at: usize| bytes[at..].iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    end += digits(end);
    if bytes.get(end) == Some(&b'.') {
        end += 1;
        end += digits(end);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + signed);
        if exponent > 0 {
            end += 1 + signed + exponent;
        }
    }
    let value: f64 = unsigned[..end].replace('_', "").parse().ok()?;
    Some((sign * value, &unsigned[end..]))
}

/// `{{a}}`, `{{a}}x2`, `{{a}}+{{b}}x2`, `{{a}}-{{b}}x2`.
fn histograms(
    text: &str,
    repeat: &dyn Fn(&str) -> Result<usize, String>,
    values: &mut Vec<Option<SampleValue>>,
) -> Result<(), String> {
    let close = |text: &str| text.find("}}").map(|at| at + 2).ok_or("it is not closed");
    let end = close(text)?;
    let (first, _) = histogram(&text[2..end - 2])?;
    let rest = &text[end..];
    let sign = rest.chars().next().filter(|c| matches!(c, '+' | '-'));
    let (step, times) = match sign {
        Some(_) => {
            let rest = rest[1..].strip_prefix("{{").ok_or("a histogram follows + or -")?;
            let end = close(rest)?;
            let (step, hint_given) = histogram(&rest[..end - 2])?;
            let times = rest[end..].strip_prefix('x').ok_or("it must end with a number of repetitions, like x10")?;
            (Some((step, hint_given)), repeat(times)?)
        }
        None => match rest.strip_prefix('x') {
            Some(times) => (None, repeat(times)?),
            None if rest.is_empty() => (None, 0),
            None => return Err("it may be followed by x10 or +{{...}}x10".to_owned()),
        },
    };
    let mut current = first;
    for i in 0..=times {
        values.push(Some(SampleValue::Histogram(Arc::new(current.clone()))));
        if i == times {
            break;
        }
        if let Some((step, hint_given)) = &step {
            let mut next = current.clone();
            if sign == Some('-') {
                next.subtract(step).map_err(|error| error.to_string())?;
            } else {
                next.add(step).map_err(|error| error.to_string())?;
            }
            if *hint_given {
                next.counter_reset_hint = step.counter_reset_hint;
            }
            current = next;
        }
    }
    Ok(())
}

/// The inside of `{{ }}`, and whether it named a counter reset hint.
fn histogram(text: &str) -> Result<(Histogram, bool), String> {
    let mut histogram = Histogram::default();
    let (mut offset, mut n_offset) = (0i32, 0i32);
    let (mut buckets, mut n_buckets) = (Vec::new(), Vec::new());
    let mut hint_given = false;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| format!("{rest:?} is not of the form key:value"))?;
        let (value, next) = match after.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or_else(|| format!("the list of {key} is not closed"))?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        rest = next.trim_start();
        let float = || number(value).filter(|(_, rest)| rest.is_empty()).map(|(n, _)| n).ok_or_else(|| bad(key, value));
        let int = || value.parse::<i32>().map_err(|_| bad(key, value));
        let floats = || -> Result<Vec<f64>, String> {
            let one = |item: &str| number(item).filter(|(_, rest)| rest.is_empty()).map(|(n, _)| n);
            value.split_whitespace().map(|item| one(item).ok_or_else(|| bad(key, item))).collect()
        };
        match key {
            "schema" => histogram.schema = int()?,
            "sum" => histogram.sum = float()?,
            "count" => histogram.count = float()?,
            "z_bucket" => histogram.zero_count = float()?,
            "z_bucket_w" => histogram.zero_threshold = float()?,
            "custom_values" => histogram.custom_bounds = floats()?,
            "buckets" => buckets = floats()?,
            "n_buckets" => n_buckets = floats()?,
            "offset" => offset = int()?,
            "n_offset" => n_offset = int()?,
            "counter_reset_hint" => {
                hint_given = true;
                histogram.counter_reset_hint = match value {
                    "unknown" => CounterResetHint::Unknown,
                    "reset" => CounterResetHint::Reset,
                    "not_reset" => CounterResetHint::NotReset,
                    "gauge" => CounterResetHint::Gauge,
                    _ => return Err(bad(key, value)),
                };
            }
            _ => return Err(format!("a histogram has no {key:?}")),
        }
    }
    let place = |counts: Vec<f64>, offset: i32| -> Vec<BucketCount> {
        (offset..).zip(counts).map(|(index, count)| BucketCount { index, count }).collect()
    };
    histogram.positive = place(buckets, offset);
    histogram.negative = place(n_buckets, n_offset);
    Ok((histogram, hint_given))
}

fn bad(key: &str, value: &str) -> String {
    format!("{value:?} is not a value for {key}")
}

/// A histogram in the shorthand, in a fixed order and form, so that two can be compared and shown.
pub fn format_histogram(histogram: &Histogram) -> String {
    let mut compact = histogram.clone();
    compact.compact();
    let mut parts = Vec::new();
    let mut number = |name: &str, value: f64| {
        if value != 0.0 {
            parts.push(format!("{name}:{value}"));
        }
    };
    number("schema", f64::from(compact.schema));
    number("count", compact.count);
    number("sum", compact.sum);
    number("z_bucket", compact.zero_count);
    number("z_bucket_w", compact.zero_threshold);
    let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    if compact.schema == CUSTOM_BUCKETS_SCHEMA {
        parts.push(format!("custom_values:[{}]", list(&compact.custom_bounds)));
    }
    match compact.counter_reset_hint {
        CounterResetHint::Unknown => {}
        CounterResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        CounterResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    for (prefix, buckets) in [("", &compact.positive), ("n_", &compact.negative)] {
        let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else { continue };
        if first.index != 0 {
            parts.push(format!("{prefix}offset:{}", first.index));
        }
        let count = |index: i32| buckets.iter().find(|b| b.index == index).map_or(0.0, |b| b.count);
        let counts: Vec<f64> = (first.index..=last.index).map(count).collect();
        parts.push(format!("{prefix}buckets:[{}]", list(&counts)));
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use watchfire_model::is_stale;

    use super::*;

    fn show(text: &str) -> Result<String, String> {
        let show = |value: &Option<SampleValue>| match value {
            None => "_".to_owned(),
            Some(SampleValue::Float(value)) if is_stale(*value) => "stale".to_owned(),
            Some(SampleValue::Float(value)) => value.to_string(),
            Some(SampleValue::Histogram(histogram)) => format_histogram(histogram),
        };
        Ok(parse_values(text)?.iter().map(show).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_shorthand_is_spelled_out() {
        let table = [
            ("", ""),
            ("1", "1"),
            ("0+10x3", "0 10 20 30"),
            ("-2+4x3", "-2 2 6 10"),
            ("1-2x4", "1 -1 -3 -5 -7"),
            ("1x4", "1 1 1 1 1"),
            ("4x", "!"),
            ("1 _x3 stale", "1 _ _ _ stale"),
            ("stalex1 _", "stale stale _"),
            ("1e3 -1.5 .5 +7", "1000 -1.5 0.5 7"),
            ("Inf -inf NaN", "inf -inf NaN"),
            ("1e+3x1", "1000 1000"),
            ("0x2  5", "0 0 0 5"),
            ("1+", "!"),
            ("1+1", "!"),
            ("a", "!"),
            ("{{sum:1 count:2 buckets:[1 1] offset:-3}}", "{{count:2 sum:1 offset:-3 buckets:[1 1]}}"),
            (
                "{{sum:3 count:2 buckets:[2]}}+{{sum:1.5 count:1 buckets:[1]}}x2",
                "{{count:2 sum:3 buckets:[2]}} {{count:3 sum:4.5 buckets:[3]}} {{count:4 sum:6 buckets:[4]}}",
            ),
            ("{{schema:-53 custom_values:[5 10] buckets:[1 4]}}", "{{schema:-53 custom_values:[5 10] buckets:[1 4]}}"),
            ("{{counter_reset_hint:gauge}}x1", "{{counter_reset_hint:gauge}} {{counter_reset_hint:gauge}}"),
            ("{{oops:1}}", "!"),
            ("{{sum:1", "!"),
        ];
        for (text, expected) in table {
            assert_eq!(show(text).unwrap_or("!".to_owned()), expected, "{text}");
        }
    }

    #[test]
    fn series_are_written_as_selectors_with_equalities() {
        let table = [
            ("up", r#"{__name__="up"}"#),
            (r#"up{job="a", b='c'}"#, r#"{__name__="up", b="c", job="a"}"#),
            (r#"{job="a"}"#, r#"{job="a"}"#),
            ("", "{}"),
            ("{ }", "{}"),
        ];
        for (text, expected) in table {
            assert_eq!(parse_series(text).unwrap().to_string(), expected, "{text}");
        }
        assert!(parse_series(r#"up{job=~"a"}"#).is_err());
        assert!(parse_series(r#"up{job="a""#).is_err());
    }
}
