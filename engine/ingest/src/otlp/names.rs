//! How OpenTelemetry's names become Prometheus' names.
//!
//! The rules are those of Prometheus' default strategy, "UnderscoreEscapingWithSuffixes" (github.com/prometheus/otlptranslator,
//! and the compatibility page of OpenTelemetry's specification).

use watchfire_model::METRIC_NAME_LABEL;

/// What a metric is, as far as its name depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suffix {
    /// A monotonic sum: `_total`.
    Total,
    /// A gauge, which is a ratio if its unit is 1: `_ratio`.
    Gauge,
    /// Anything else.
    None,
}

/// Units as they are written in UCUM, and what Prometheus calls them.
const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// The same after `/`.
const PER_UNITS: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// The words of a text that may stand in a metric's name.
fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !(is_plain(c) || c == ':')).filter(|word| !word.is_empty()).collect()
}

/// The unit before and after the slash in Prometheus' words, empty where it says nothing.
fn unit_parts(unit: &str) -> (String, String) {
    let known = |part: &str, table: &[(&str, &str)]| {
        let part = part.trim();
        if part.contains(['{', '}']) {
            return String::new();
        }
        let name = table.iter().find(|(unit, _)| *unit == part).map_or(part, |(_, name)| *name);
        words(name).join("_")
    };
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    // One is no unit.
    let main = if main.trim() == "1" { String::new() } else { known(main, &UNITS) };
    let per = known(per, &PER_UNITS);
    (main, if per.is_empty() { per } else { format!("per_{per}") })
}

/// The unit as metadata names it.
pub(super) fn unit_name(unit: &str) -> String {
    let (main, per) = unit_parts(unit);
    [main, per].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// The name of a metric's family; `None` if nothing is left of it.
pub(super) fn metric_name(name: &str, unit: &str, suffix: Suffix) -> Option<String> {
    let (main, per) = unit_parts(unit);
    let mut parts = words(name);
    for part in [main.as_str(), per.as_str()] {
        if !part.is_empty() && !parts.contains(&part) {
            parts.push(part);
        }
    }
    let last = match suffix {
        Suffix::Total => Some("total"),
        Suffix::Gauge if unit == "1" => Some("ratio"),
        Suffix::Gauge | Suffix::None => None,
    };
    if let Some(last) = last {
        parts.retain(|part| *part != last);
        parts.push(last);
    }
    let name = parts.join("_");
    match name.bytes().next() {
        None => None,
        Some(b'0'..=b'9') => Some(format!("_{name}")),
        Some(_) => Some(name),
    }
}

/// The name of a label; `None` if it says nothing, or is a metric's name.
pub(super) fn label_name(attribute: &str) -> Option<String> {
    if attribute == METRIC_NAME_LABEL {
        return None;
    }
    let inner = attribute.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let mut name = String::with_capacity(attribute.len());
    for c in inner.unwrap_or(attribute).chars() {
        if is_plain(c) {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    if name.bytes().all(|byte| byte == b'_') {
        return None;
    }
    if inner.is_some() {
        return Some(format!("__{name}__"));
    }
    Some(if name.starts_with(|c: char| c.is_ascii_digit()) { format!("key_{name}") } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_get_their_unit_and_kind_as_suffixes() {
        for (name, unit, suffix, expected) in [
            ("http.server.duration", "s", Suffix::None, "http_server_duration_seconds"),
            ("http.server.duration_seconds", "s", Suffix::None, "http_server_duration_seconds"),
            ("requests", "1", Suffix::Total, "requests_total"),
            ("requests_total_count", "{request}", Suffix::Total, "requests_count_total"),
            ("memory.usage", "By", Suffix::Gauge, "memory_usage_bytes"),
            ("cpu.utilization", "1", Suffix::Gauge, "cpu_utilization_ratio"),
            ("throughput", "By/s", Suffix::Gauge, "throughput_bytes_per_second"),
            ("speed", "m/m", Suffix::Gauge, "speed_meters_per_minute"),
            ("rate", "{x}/s", Suffix::None, "rate_per_second"),
            ("disk", "%", Suffix::Gauge, "disk_percent"),
            ("a__b--c:d", "foo.bar", Suffix::None, "a_b_c:d_foo_bar"),
            ("2xx", "", Suffix::Total, "_2xx_total"),
        ] {
            assert_eq!(metric_name(name, unit, suffix).as_deref(), Some(expected), "{name} {unit}");
        }
        assert_eq!(metric_name("---", "", Suffix::None), None);
        assert_eq!(unit_name("By/s"), "bytes_per_second");
        assert_eq!(unit_name("1"), "");
    }

    #[test]
    fn labels_are_letters_digits_and_underscores() {
        for (attribute, expected) in [
            ("http.method", Some("http_method")),
            ("a..b__c", Some("a_b_c")),
            ("_private", Some("_private")),
            ("123", Some("key_123")),
            ("__reserved.x__", Some("__reserved_x__")),
            ("ä", None),
            ("", None),
            ("__name__", None),
        ] {
            assert_eq!(label_name(attribute).as_deref(), expected, "{attribute}");
        }
    }
}
