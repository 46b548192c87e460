//! Series as test files write them, with errors in one line.

use watchfire_model::Labels;
use watchfire_tsdb::{CounterResetHint, Histogram, SampleValue};

/// The labels of a series: `name`, `name{label="value"}`, `{label="value"}`, or nothing.
pub(crate) fn parse_series(text: &str) -> Result<Labels, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Labels::empty());
    }
    let series = watchfire_promql::parse_series(text).map_err(|error| format!("{text}: {error}"))?;
    if !series.values.is_empty() {
        return Err(format!("{text}: a series without values is expected here"));
    }
    Ok(series.labels)
}

/// Values in the shorthand `0+10x10 _ stale {{sum:1}}x3`, one per interval; `None` where there is no sample.
pub(crate) fn parse_values(text: &str) -> Result<Vec<Option<SampleValue>>, String> {
    let values = watchfire_promql::parse_values(text).map_err(|(_, message)| format!("{text}: {message}"))?;
    Ok(values.into_iter().map(|noted| noted.value).collect())
}

/// A value as it is shown and, for histograms, compared: in the notation of tests, buckets without gaps.
pub(crate) fn show_value(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => value.to_string(),
        SampleValue::Histogram(histogram) => notation(histogram),
    }
}

fn notation(histogram: &Histogram) -> String {
    let mut compact = histogram.clone();
    compact.compact();
    let mut parts = Vec::new();
    for (name, value) in [
        ("schema", f64::from(compact.schema)),
        ("count", compact.count),
        ("sum", compact.sum),
        ("z_bucket", compact.zero_count),
        ("z_bucket_w", compact.zero_threshold),
    ] {
        if value != 0.0 {
            parts.push(format!("{name}:{value}"));
        }
    }
    let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    if compact.uses_custom_buckets() {
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
        let count = |index: i32| buckets.iter().find(|bucket| bucket.index == index).map_or(0.0, |bucket| bucket.count);
        let counts: Vec<f64> = (first.index..=last.index).map(count).collect();
        parts.push(format!("{prefix}buckets:[{}]", list(&counts)));
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_shown_as_they_are_written() {
        for text in [
            "{{}}",
            "{{schema:1 count:32.1 sum:-0.3 z_bucket:7.1 z_bucket_w:0.05 offset:-3 buckets:[5.1 10 7]}}",
            "{{schema:-53 count:5 custom_values:[5 10] counter_reset_hint:gauge buckets:[1 4]}}",
            "{{count:4 n_offset:2 n_buckets:[1 0 3]}}",
        ] {
            let values = parse_values(text).unwrap();
            assert_eq!(show_value(values[0].as_ref().unwrap()), text);
        }
    }

    #[test]
    fn labels_alone_are_a_series() {
        assert_eq!(parse_series("").unwrap(), Labels::empty());
        assert_eq!(parse_series(r#"up{a="b"}"#).unwrap().to_string(), r#"{__name__="up", a="b"}"#);
        assert!(parse_series("up 1").is_err());
    }
}
