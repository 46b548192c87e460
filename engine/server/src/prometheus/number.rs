//! Numbers as Go writes them.

use serde_json::{Value, json};
use watchfire_model::{Timestamp, format_e, format_f};

/// Seconds since the epoch, with a fraction only where there is one.
pub(super) fn seconds(time: Timestamp) -> Value {
    let millis = time.as_millis();
    if millis % 1000 == 0 { json!(millis / 1000) } else { json!(time.as_secs_f64()) }
}

/// A float as Prometheus writes it into JSON: a string, with an exponent where it would have many zeros.
pub(crate) fn float(value: f64) -> String {
    let has_exponent = value != 0.0 && value.is_finite() && !(1e-6..1e21).contains(&value.abs());
    if has_exponent { format_e(value) } else { format_f(value) }
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
    }
}
