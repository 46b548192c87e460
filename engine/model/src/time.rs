//! Points in time and spans between them, in whole milliseconds as Prometheus counts them.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use thiserror::Error;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, negative before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A signed span of time in milliseconds.
///
/// Text form is Prometheus': `1h30m`, `15s`, `250ms`, `1d`, `1w`, `1y` (days of 24 h, weeks of 7 d, years of 365 d).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a valid duration string: {text:?}; write it like 30s, 5m or 1h30m")]
pub struct ParseDurationError {
    /// The text as it was given.
    pub text: String,
}

/// Why a text is not a point in time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a valid timestamp: {text:?}; write RFC 3339 like 2026-11-20T03:00:00Z")]
pub struct ParseTimestampError {
    /// The text as it was given.
    pub text: String,
}

impl Timestamp {
    /// The earliest representable point.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest representable point.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// From whole seconds since the epoch, saturating at the ends of the range.
    pub const fn from_secs(secs: i64) -> Timestamp {
        Timestamp(secs.saturating_mul(1000))
    }

    /// From seconds since the epoch with a fraction, rounded to the millisecond; NaN becomes the epoch.
    pub fn from_secs_f64(secs: f64) -> Timestamp {
        Timestamp((secs * 1000.0).round() as i64)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch with the milliseconds as fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The span from `earlier` to `self`, negative if `earlier` is later; saturates.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with milliseconds, `2026-11-20T03:00:00.000Z`; out-of-range years clamp to chrono's range.
    pub fn to_rfc3339(self) -> String {
        self.to_chrono().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The same point as chrono's type, for calendars and time zones; out-of-range values clamp.
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(if self.0 < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }

    /// From RFC 3339 with any offset; parts below a millisecond are cut off.
    pub fn parse_rfc3339(text: &str) -> Result<Timestamp, ParseTimestampError> {
        DateTime::parse_from_rfc3339(text)
            .map(|t| Timestamp(t.timestamp_millis()))
            .map_err(|_| ParseTimestampError { text: text.to_owned() })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }
}

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);
    /// The longest span.
    pub const MAX: Duration = Duration(i64::MAX);

    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Duration {
        Duration(millis)
    }

    /// From seconds, saturating.
    pub const fn from_secs(secs: i64) -> Duration {
        Duration(secs.saturating_mul(1_000))
    }

    /// From minutes, saturating.
    pub const fn from_mins(mins: i64) -> Duration {
        Duration(mins.saturating_mul(60_000))
    }

    /// From hours, saturating.
    pub const fn from_hours(hours: i64) -> Duration {
        Duration(hours.saturating_mul(3_600_000))
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds with a fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Whether it is exactly zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `self` times `factor`, saturating.
    pub const fn times(self, factor: i64) -> Duration {
        Duration(self.0.saturating_mul(factor))
    }

    /// The standard library's type; a negative span becomes zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
}

impl Sub for Duration {
    type Output = Duration;
    fn sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }
}

impl Neg for Duration {
    type Output = Duration;
    fn neg(self) -> Duration {
        Duration(self.0.saturating_neg())
    }
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    /// Units must come from the largest to the smallest, each at most once, as in Prometheus' `model.ParseDuration`;
    /// a bare `0` is allowed, any other bare number is not.
    fn from_str(text: &str) -> Result<Duration, ParseDurationError> {
        let error = || ParseDurationError { text: text.to_owned() };
        if text == "0" {
            return Ok(Duration::ZERO);
        }
        let mut rest = text;
        let mut allowed = &UNITS[..];
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: i64 = rest[..digits].parse().map_err(|_| error())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let position = allowed.iter().position(|(unit, _)| *unit == &rest[..letters]).ok_or_else(error)?;
            total =
                number.checked_mul(allowed[position].1).and_then(|part| total.checked_add(part)).ok_or_else(error)?;
            allowed = &allowed[position + 1..];
            rest = &rest[letters..];
        }
        if text.is_empty() { Err(error()) } else { Ok(Duration(total)) }
    }
}

impl fmt::Display for Duration {
    /// Prometheus' canonical form: years, weeks and days only where they leave no rest, then hours, minutes, seconds, ms.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (unit, size) in UNITS {
            let size = size.unsigned_abs();
            let exact_only = matches!(unit, "y" | "w" | "d");
            if rest < size || (exact_only && !rest.is_multiple_of(size)) {
                continue;
            }
            write!(f, "{}{unit}", rest / size)?;
            rest %= size;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_prometheus_does() {
        let table = [
            ("0", "0s", 0),
            ("0s", "0s", 0),
            ("324ms", "324ms", 324),
            ("3s", "3s", 3_000),
            ("5m", "5m", 300_000),
            ("1h", "1h", 3_600_000),
            ("90m", "1h30m", 5_400_000),
            ("4d", "4d", 345_600_000),
            ("25h", "25h", 90_000_000),
            ("4d1h", "97h", 349_200_000),
            ("14d", "2w", 1_209_600_000),
            ("3w2d1h", "553h", 1_990_800_000),
            ("10y", "10y", 315_360_000_000),
            ("3w2d1h4m31s259ms", "553h4m31s259ms", 1_991_071_259),
        ];
        for (text, printed, millis) in table {
            let parsed: Duration = text.parse().unwrap();
            assert_eq!(parsed.as_millis(), millis, "{text}");
            assert_eq!(parsed.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_durations_are_refused() {
        for text in ["", "1", "1y1m1d", "-1w", "1.5d", "d", "294y", "200y10400w", "107675d", "2584200h", "5 m", "1s1s"]
        {
            let parsed = text.parse::<Duration>();
            // Prometheus counts nanoseconds and overflows at 292 years; milliseconds reach further.
            if matches!(text, "294y" | "200y10400w" | "107675d" | "2584200h") {
                assert!(parsed.is_ok(), "{text}");
            } else {
                assert!(parsed.is_err(), "{text}");
            }
        }
    }

    #[test]
    fn timestamps_round_trip_through_rfc3339() {
        let t = Timestamp::parse_rfc3339("2026-11-20T05:00:00.25+02:00").unwrap();
        assert_eq!(t.to_string(), "2026-11-20T03:00:00.250Z");
        assert_eq!(Timestamp::parse_rfc3339(&t.to_string()), Ok(t));
        assert!(Timestamp::parse_rfc3339("yesterday").is_err());
    }
}
