//! Numbers for people: the `humanize` family.

use watchfire_model::format_g;

use super::{Function, Param, text};
use crate::go::{Precision, format_float, quote};
use crate::time::GoTime;
use crate::value::Value;

const ANY: &[Param] = &[Param::Any];

/// What both Prometheus and Alertmanager have.
pub(super) const DURATION: &[Function] = &[Function {
    name: "humanizeDuration",
    params: ANY,
    variadic: false,
    call: |_, a| number(a).map(|n| humanize_duration(n).into()),
}];

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "humanize", params: ANY, variadic: false, call: |_, a| number(a).map(|n| humanize(n).into()) },
    Function {
        name: "humanize1024",
        params: ANY,
        variadic: false,
        call: |_, a| number(a).map(|n| humanize_1024(n).into()),
    },
    Function {
        name: "humanizePercentage",
        params: ANY,
        variadic: false,
        call: |_, a| number(a).map(|n| humanize_percentage(n).into()),
    },
    Function {
        name: "humanizeTimestamp",
        params: ANY,
        variadic: false,
        call: |_, a| {
            let seconds = number(a)?;
            if !seconds.is_finite() {
                return Ok(four_digits(seconds).into());
            }
            to_time(seconds).map(|time| time.to_string().into())
        },
    },
    Function {
        name: "parseDuration",
        params: &[Param::Text],
        variadic: false,
        call: |_, a| parse_duration(text(a, 0)).map(Value::Float),
    },
];

/// The number of an argument of any type, as prometheus/common converts it.
pub(super) fn number(arguments: &[Value]) -> Result<f64, String> {
    match arguments.first() {
        Some(Value::Float(number)) => Ok(*number),
        Some(Value::Int(number)) => Ok(*number as f64),
        Some(Value::Text(text)) => parse_number(text),
        Some(Value::Duration(duration)) => Ok(duration.seconds()),
        Some(other) => Err(format!("can't convert {} to float", other.type_name())),
        None => Err("can't convert <nil> to float".to_owned()),
    }
}

/// `strconv.ParseFloat`
fn parse_number(text: &str) -> Result<f64, String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let magnitude = match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(f64::INFINITY),
        "nan" if unsigned.len() == text.len() => Some(f64::NAN),
        lower if lower.starts_with("0x") => crate::go::parse_float(unsigned),
        lower if lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') => lower.parse().ok(),
        _ => None,
    };
    let quoted = quote(text, false);
    match magnitude {
        Some(m) if m.is_infinite() && unsigned.starts_with(|c: char| c.is_ascii_digit()) => {
            Err(format!("strconv.ParseFloat: parsing {quoted}: value out of range"))
        }
        Some(m) => Ok(if text.starts_with('-') { -m } else { m }),
        None => Err(format!("strconv.ParseFloat: parsing {quoted}: invalid syntax")),
    }
}

fn four_digits(number: f64) -> String {
    format_float(number, 'g', Precision::Digits(4))
}

/// `1234567` as `1.235M`.
pub(crate) fn humanize(mut number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return four_digits(number);
    }
    let mut prefix = "";
    if number.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if number.abs() < 1000.0 {
                break;
            }
            prefix = next;
            number /= 1000.0;
        }
        return four_digits(number) + prefix;
    }
    small(&mut number, &mut prefix);
    four_digits(number) + prefix
}

fn small(number: &mut f64, prefix: &mut &'static str) {
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if number.abs() >= 1.0 {
            break;
        }
        *prefix = next;
        *number *= 1000.0;
    }
}

/// `1048576` as `1Mi`.
pub(crate) fn humanize_1024(mut number: f64) -> String {
    if number.abs() <= 1.0 || !number.is_finite() {
        return four_digits(number);
    }
    let mut prefix = "";
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if number.abs() < 1024.0 {
            break;
        }
        prefix = next;
        number /= 1024.0;
    }
    four_digits(number) + prefix
}

/// `0.1234` as `12.34%`.
pub(crate) fn humanize_percentage(number: f64) -> String {
    four_digits(number * 100.0) + "%"
}

/// `3725` seconds as `1h 2m 5s`.
pub(crate) fn humanize_duration(mut number: f64) -> String {
    if !number.is_finite() {
        return four_digits(number);
    }
    if number == 0.0 {
        return four_digits(number) + "s";
    }
    if number.abs() >= 1.0 {
        let sign = if number < 0.0 { "-" } else { "" };
        number = number.abs();
        let whole = to_int(number);
        let (seconds, minutes, hours) = (whole % 60, whole / 60 % 60, whole / 60 / 60 % 24);
        let days = whole / 60 / 60 / 24;
        return match (days, hours, minutes) {
            (0, 0, 0) => format!("{sign}{}s", four_digits(number)),
            (0, 0, minutes) => format!("{sign}{minutes}m {seconds}s"),
            (0, hours, minutes) => format!("{sign}{hours}h {minutes}m {seconds}s"),
            (days, hours, minutes) => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
        };
    }
    let mut prefix = "";
    small(&mut number, &mut prefix);
    four_digits(number) + prefix + "s"
}

/// A number as an integer; what does not fit becomes the smallest one, as it does on the machines Prometheus runs on.
fn to_int(number: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) { number as i64 } else { i64::MIN }
}

/// Seconds since the epoch as a point in time, cut to milliseconds.
pub(super) fn to_time(seconds: f64) -> Result<GoTime, String> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let nanos = seconds * 1e9;
    if !(i64::MIN as f64..=i64::MAX as f64).contains(&nanos) {
        let shown = format_g(seconds);
        return Err(format!("{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"));
    }
    let millis = (nanos as i64) / 1_000_000;
    Ok(GoTime::from_timestamp(watchfire_model::Timestamp::from_millis(millis)))
}

/// Seconds of a duration in Prometheus' notation.
fn parse_duration(text: &str) -> Result<f64, String> {
    if let Some(text) = text.strip_prefix('-') {
        return parse_duration(text).map(|seconds| -seconds);
    }
    match text.parse::<watchfire_model::Duration>() {
        Ok(duration) => Ok(duration.as_secs_f64()),
        Err(_) if text.is_empty() => Err("empty duration string".to_owned()),
        Err(_) => Err(match unknown_unit(text) {
            Some(unit) => format!("unknown unit {} in duration {}", quote(unit, false), quote(text, false)),
            None => format!("not a valid duration string: {}", quote(text, false)),
        }),
    }
}

/// What stands after the first number that no unit follows.
fn unknown_unit(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        if after.len() == rest.len() || end == 0 {
            return None;
        }
        if !["ms", "s", "m", "h", "d", "w", "y"].contains(&&after[..end]) {
            return Some(&after[..end]);
        }
        rest = &after[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (number, plain, binary, duration, percentage) in [
            (0.0, "0", "0", "0s", "0%"),
            (1234.567, "1.235k", "1.206ki", "20m 34s", "1.235e+05%"),
            (-98765.0, "-98.77k", "-96.45ki", "-1d 3h 26m 5s", "-9.876e+06%"),
            (0.0095, "9.5m", "0.0095", "9.5ms", "0.95%"),
            (1e27, "1000Y", "827.2Yi", "-106751991167300d -15h -30m -8s", "1e+29%"),
            (f64::NAN, "NaN", "NaN", "NaN", "NaN%"),
        ] {
            assert_eq!(humanize(number), plain);
            assert_eq!(humanize_1024(number), binary);
            assert_eq!(humanize_duration(number), duration);
            assert_eq!(humanize_percentage(number), percentage);
        }
    }

    #[test]
    fn texts_become_numbers_as_in_go() {
        assert_eq!(parse_number("-1.5e3"), Ok(-1500.0));
        assert_eq!(parse_number("+Inf"), Ok(f64::INFINITY));
        assert_eq!(parse_number(""), Err("strconv.ParseFloat: parsing \"\": invalid syntax".to_owned()));
        assert_eq!(parse_number("1e999"), Err("strconv.ParseFloat: parsing \"1e999\": value out of range".to_owned()));
        assert!(parse_number(" 1").is_err());
        assert!(parse_number("infinit").is_err());
    }
}
