//! Numbers as Go writes them.

use serde_json::{Value, json};
use watchfire_model::Timestamp;

/// Seconds since the epoch, with a fraction only where there is one.
pub(super) fn seconds(time: Timestamp) -> Value {
    let millis = time.as_millis();
    if millis % 1000 == 0 { json!(millis / 1000) } else { json!(time.as_secs_f64()) }
}

/// A float as Prometheus writes it into JSON: a string, shortest form that reads back the same.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        exponent(value)
    } else {
        format!("{value}")
    }
}

/// With an exponent of at least two digits and its sign, as Go's `strconv.FormatFloat(v, 'e', -1, 64)` does; alert
/// values are written like this.
pub(super) fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return float(value);
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => match exponent.strip_prefix('-') {
            Some(digits) => format!("{mantissa}e-{digits:0>2}"),
            None => format!("{mantissa}e+{exponent:0>2}"),
        },
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_prometheus_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (123_456_789.0, "123456789"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value), text);
        }
        assert_eq!(exponent(0.5), "5e-01");
        assert_eq!(exponent(12_000.0), "1.2e+04");
    }
}
