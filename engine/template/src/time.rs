//! Go's `time.Time` and `time.Duration` as values of templates: their text forms, layouts and methods.

mod layout;
mod parse;

use std::fmt;

use chrono::{DateTime, Datelike, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{OffsetName, Tz};
use watchfire_model::Timestamp;

use crate::functions::Param;
use crate::value::{Method, Named, Value};

/// A point in time with the zone in which it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoTime(DateTime<Tz>);

/// A span in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

impl GoTime {
    /// In UTC.
    pub fn from_timestamp(at: Timestamp) -> GoTime {
        GoTime(at.to_chrono().with_timezone(&Tz::UTC))
    }

    /// Go's zero time, 0001-01-01T00:00:00Z, which Alertmanager shows as the end of an alert that fires.
    pub fn zero() -> GoTime {
        // Seconds from the first day of year one to the epoch; chrono's range includes it.
        GoTime(DateTime::from_timestamp(-62_135_596_800, 0).unwrap_or_default().with_timezone(&Tz::UTC))
    }

    /// From RFC 3339.
    pub fn parse_rfc3339(text: &str) -> Option<GoTime> {
        DateTime::parse_from_rfc3339(text).ok().map(|time| GoTime(time.with_timezone(&Tz::UTC)))
    }

    /// The point itself, cut to milliseconds.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(self.0.timestamp_millis())
    }

    /// The IANA name of the zone in which it is shown.
    pub fn zone_name(self) -> &'static str {
        self.0.timezone().name()
    }

    /// The same point in another zone, by its IANA name.
    ///
    /// # Errors
    /// If there is no such zone; the text is Go's.
    pub fn in_zone(self, name: &str) -> Result<GoTime, String> {
        if name.is_empty() || name == "UTC" {
            return Ok(GoTime(self.0.with_timezone(&Tz::UTC)));
        }
        let zone: Tz = name.parse().map_err(|_| format!("unknown time zone {name}"))?;
        Ok(GoTime(self.0.with_timezone(&zone)))
    }

    /// Reads a time as Go's layout spells it (`time.ParseInLocation` in UTC). An offset in the text counts; the time is
    /// shown in UTC all the same.
    ///
    /// # Errors
    /// Go's words for what does not fit.
    pub fn parse(layout: &str, text: &str) -> Result<GoTime, String> {
        parse::parse(layout, text).map(|time| GoTime(time.with_timezone(&Tz::UTC)))
    }

    /// `time.Time.Format`
    pub fn format(self, layout: &str) -> String {
        layout::format(self.0, layout)
    }

    /// As Go source code, which is what `%#v` prints.
    pub(crate) fn go_syntax(self) -> String {
        let (date, time) = (self.0.date_naive(), self.0.time());
        let month = MONTHS[date.month0() as usize % 12];
        let zone = match self.zone_name() {
            "UTC" => "time.UTC".to_owned(),
            zone => format!("time.Location({zone:?})"),
        };
        format!(
            "time.Date({}, time.{month}, {}, {}, {}, {}, {}, {zone})",
            date.year(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.nanosecond()
        )
    }

    /// The span from `earlier` to `self`.
    pub fn since(self, earlier: GoTime) -> GoDuration {
        let span = self.0.signed_duration_since(earlier.0);
        GoDuration(span.num_nanoseconds().unwrap_or(if span < TimeDelta::zero() { i64::MIN } else { i64::MAX }))
    }

    fn plus(self, span: GoDuration) -> GoTime {
        GoTime(self.0.checked_add_signed(TimeDelta::nanoseconds(span.0)).unwrap_or(self.0))
    }

    fn truncated(self, span: GoDuration) -> GoTime {
        if span.0 <= 0 {
            return self;
        }
        let since_zero = i128::from(self.0.timestamp()) + 62_135_596_800;
        let nanos = since_zero * 1_000_000_000 + i128::from(self.0.nanosecond());
        let rest = nanos.rem_euclid(i128::from(span.0));
        self.plus(GoDuration(-i64::try_from(rest).unwrap_or(0)))
    }
}

impl fmt::Display for GoTime {
    /// `2024-01-02 03:04:05.678 +0000 UTC`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

impl GoDuration {
    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> GoDuration {
        GoDuration(nanos)
    }

    /// In nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// In seconds with a fraction.
    pub fn seconds(self) -> f64 {
        let whole = self.0 / 1_000_000_000;
        whole as f64 + (self.0 % 1_000_000_000) as f64 / 1e9
    }
}

impl fmt::Display for GoDuration {
    /// `72h3m0.5s`, below a second `1.5ms`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let fraction = |value: u64, unit: u64| {
            let (whole, rest) = (value / unit, value % unit);
            let width = unit.ilog10() as usize;
            let digits = format!("{rest:0width$}");
            let digits = digits.trim_end_matches('0');
            if rest == 0 { whole.to_string() } else { format!("{whole}.{digits}") }
        };
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{sign}{nanos}ns"),
            1_000..1_000_000 => write!(f, "{sign}{}µs", fraction(nanos, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{sign}{}ms", fraction(nanos, 1_000_000)),
            _ => {
                let minutes = nanos / 60_000_000_000;
                let seconds = fraction(nanos % 60_000_000_000, 1_000_000_000);
                match (minutes / 60, minutes % 60) {
                    (0, 0) => write!(f, "{sign}{seconds}s"),
                    (0, minutes) => write!(f, "{sign}{minutes}m{seconds}s"),
                    (hours, minutes) => write!(f, "{sign}{hours}h{minutes}m{seconds}s"),
                }
            }
        }
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn month(time: GoTime) -> Value {
    let number = i64::from(time.0.month());
    let word = MONTHS[time.0.month0() as usize % 12];
    Value::Named(Named { type_name: "time.Month", number, word })
}

fn weekday(time: GoTime) -> Value {
    let index = time.0.weekday().num_days_from_sunday();
    Value::Named(Named { type_name: "time.Weekday", number: i64::from(index), word: DAYS[index as usize % 7] })
}

fn receiver(value: &Value) -> GoTime {
    if let Value::Time(time) = value { *time } else { GoTime::zero() }
}

fn time_argument(arguments: &[Value], index: usize) -> GoTime {
    arguments.get(index).map_or_else(GoTime::zero, receiver)
}

fn duration(value: Option<&Value>) -> GoDuration {
    if let Some(Value::Duration(span)) = value { *span } else { GoDuration(0) }
}

fn integer(arguments: &[Value], index: usize) -> i64 {
    arguments.get(index).and_then(Value::as_int).unwrap_or(0)
}

const fn method(name: &'static str, call: fn(&Value, &[Value]) -> Result<Value, String>) -> Method {
    Method { name, params: &[], variadic: false, call }
}

const fn method_of(
    name: &'static str,
    params: &'static [Param],
    call: fn(&Value, &[Value]) -> Result<Value, String>,
) -> Method {
    Method { name, params, variadic: false, call }
}

/// What templates may call on a `time.Time`.
pub(crate) static TIME_METHODS: &[Method] = &[
    method_of("Format", &[Param::Text], |t, a| Ok(receiver(t).format(a[0].as_text().unwrap_or("")).into())),
    method("String", |t, _| Ok(receiver(t).to_string().into())),
    method("GoString", |t, _| Ok(receiver(t).go_syntax().into())),
    method("Unix", |t, _| Ok(Value::Int(receiver(t).0.timestamp()))),
    method("UnixMilli", |t, _| Ok(Value::Int(receiver(t).0.timestamp_millis()))),
    method("UnixMicro", |t, _| Ok(Value::Int(receiver(t).0.timestamp_micros()))),
    method("UnixNano", |t, _| Ok(Value::Int(receiver(t).0.timestamp_nanos_opt().unwrap_or(0)))),
    method("Year", |t, _| Ok(Value::Int(i64::from(receiver(t).0.year())))),
    method("Month", |t, _| Ok(month(receiver(t)))),
    method("Day", |t, _| Ok(Value::Int(i64::from(receiver(t).0.day())))),
    method("YearDay", |t, _| Ok(Value::Int(i64::from(receiver(t).0.ordinal())))),
    method("Weekday", |t, _| Ok(weekday(receiver(t)))),
    method("Hour", |t, _| Ok(Value::Int(i64::from(receiver(t).0.hour())))),
    method("Minute", |t, _| Ok(Value::Int(i64::from(receiver(t).0.minute())))),
    method("Second", |t, _| Ok(Value::Int(i64::from(receiver(t).0.second())))),
    method("Nanosecond", |t, _| Ok(Value::Int(i64::from(receiver(t).0.nanosecond() % 1_000_000_000)))),
    method("IsZero", |t, _| Ok(Value::Bool(receiver(t).0 == GoTime::zero().0))),
    method("UTC", |t, _| Ok(Value::Time(GoTime(receiver(t).0.with_timezone(&Tz::UTC))))),
    // The shell's own zone is not known here; the engine works in UTC.
    method("Local", |t, _| Ok(Value::Time(GoTime(receiver(t).0.with_timezone(&Tz::UTC))))),
    method("Location", |t, _| Ok(receiver(t).zone_name().into())),
    method_of("Add", &[Param::Duration], |t, a| Ok(Value::Time(receiver(t).plus(duration(a.first()))))),
    method_of("Sub", &[Param::Time], |t, a| Ok(Value::Duration(receiver(t).since(time_argument(a, 0))))),
    method_of("After", &[Param::Time], |t, a| Ok(Value::Bool(receiver(t).0 > time_argument(a, 0).0))),
    method_of("Before", &[Param::Time], |t, a| Ok(Value::Bool(receiver(t).0 < time_argument(a, 0).0))),
    method_of("Equal", &[Param::Time], |t, a| Ok(Value::Bool(receiver(t).0 == time_argument(a, 0).0))),
    method_of("Truncate", &[Param::Duration], |t, a| Ok(Value::Time(receiver(t).truncated(duration(a.first()))))),
    method_of("AddDate", &[Param::Int, Param::Int, Param::Int], |t, a| {
        add_date(receiver(t), integer(a, 0), integer(a, 1), integer(a, 2)).map(Value::Time)
    }),
];

/// Years and months first, overflowing days into the next month, then days, as Go does it.
fn add_date(time: GoTime, years: i64, months: i64, days: i64) -> Result<GoTime, String> {
    let out_of_range = || "time: date out of range".to_owned();
    let months_in_all = (i64::from(time.0.year()) + years) * 12 + i64::from(time.0.month0()) + months;
    let year = i32::try_from(months_in_all.div_euclid(12)).map_err(|_| out_of_range())?;
    let month = u32::try_from(months_in_all.rem_euclid(12)).map_err(|_| out_of_range())? + 1;
    let first = chrono::NaiveDate::from_ymd_opt(year, month, 1).ok_or_else(out_of_range)?;
    let days = TimeDelta::try_days(days + i64::from(time.0.day0())).ok_or_else(out_of_range)?;
    let date = first.checked_add_signed(days).ok_or_else(out_of_range)?;
    let local = date.and_time(time.0.time());
    let zone = time.0.timezone();
    let resolved = zone.from_local_datetime(&local).earliest();
    Ok(GoTime(resolved.unwrap_or_else(|| Utc.from_utc_datetime(&local).with_timezone(&zone))))
}

fn span(value: &Value) -> GoDuration {
    duration(Some(value))
}

/// What templates may call on a `time.Duration`.
pub(crate) static DURATION_METHODS: &[Method] = &[
    method("String", |d, _| Ok(span(d).to_string().into())),
    method("Hours", |d, _| Ok(Value::Float(span(d).0 as f64 / 3.6e12))),
    method("Minutes", |d, _| Ok(Value::Float(span(d).0 as f64 / 6e10))),
    method("Seconds", |d, _| Ok(Value::Float(span(d).seconds()))),
    method("Milliseconds", |d, _| Ok(Value::Int(span(d).0 / 1_000_000))),
    method("Microseconds", |d, _| Ok(Value::Int(span(d).0 / 1_000))),
    method("Nanoseconds", |d, _| Ok(Value::Int(span(d).0))),
    method("Abs", |d, _| Ok(Value::Duration(GoDuration(span(d).0.saturating_abs())))),
    method_of("Truncate", &[Param::Duration], |d, a| {
        let unit = duration(a.first()).0;
        let nanos = span(d).0;
        Ok(Value::Duration(GoDuration(if unit <= 0 { nanos } else { nanos - nanos % unit })))
    }),
    method_of("Round", &[Param::Duration], |d, a| {
        let (unit, nanos) = (i128::from(duration(a.first()).0), i128::from(span(d).0));
        if unit <= 0 {
            return Ok(d.clone());
        }
        let rest = nanos % unit;
        let up = if rest.abs() * 2 >= unit { unit * rest.signum() } else { 0 };
        Ok(Value::Duration(GoDuration(i64::try_from(nanos - rest + up).unwrap_or(i64::MAX))))
    }),
];

/// What templates may call on months and weekdays.
pub(crate) static NAMED_METHODS: &[Method] = &[method("String", |n, _| Ok(n.own_text().unwrap_or_default().into()))];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_write_what_they_spell() {
        let time = GoTime::parse_rfc3339("2024-01-02T03:04:05.678Z").unwrap();
        for (layout, text) in [
            ("2006-01-02 15:04:05 MST", "2024-01-02 03:04:05 UTC"),
            ("Mon Jan _2 15:04:05 2006", "Tue Jan  2 03:04:05 2024"),
            ("Monday, 02-Jan-06 15:04:05 MST", "Tuesday, 02-Jan-24 03:04:05 UTC"),
            ("2006-01-02T15:04:05.999999999Z07:00", "2024-01-02T03:04:05.678Z"),
            ("2006-01-02T15:04:05.000000-07:00", "2024-01-02T03:04:05.678000+00:00"),
            ("3:04PM", "3:04AM"),
            ("1/2/06 3:4:5 pm", "1/2/24 3:4:5 am"),
            ("002 Month", "002 1onth".replace("1onth", "Month").as_str()),
        ] {
            assert_eq!(time.format(layout), text, "{layout}");
        }
        let berlin = time.in_zone("Europe/Berlin").unwrap();
        assert_eq!(berlin.to_string(), "2024-01-02 04:04:05.678 +0100 CET");
        assert_eq!(time.in_zone("Mars/Base").unwrap_err(), "unknown time zone Mars/Base");
        assert_eq!(GoTime::zero().to_string(), "0001-01-01 00:00:00 +0000 UTC");
    }

    #[test]
    fn layouts_read_what_they_spell() {
        for (layout, text, expected) in [
            ("2006-01-02T15:04:05Z07:00", "2026-03-01T09:08:07+02:00", "2026-03-01 07:08:07 +0000 UTC"),
            ("2006-01-02T15:04:05Z07:00", "2026-03-01T09:08:07.25Z", "2026-03-01 09:08:07.25 +0000 UTC"),
            ("Jan _2, 2006 at 3:04pm", "Feb  9, 2026 at 12:30am", "2026-02-09 00:30:00 +0000 UTC"),
            ("Monday, 02-January-06", "Friday, 13-february-70", "1970-02-13 00:00:00 +0000 UTC"),
            ("15:04", "07:30", "0000-01-01 07:30:00 +0000 UTC"),
            ("2006 002", "2024 366", "2024-12-31 00:00:00 +0000 UTC"),
        ] {
            assert_eq!(GoTime::parse(layout, text).map(|time| time.to_string()), Ok(expected.to_owned()), "{layout}");
        }
        for (layout, text, error) in [
            ("2006-01-02", "2026-13-01", "parsing time \"2026-13-01\": month out of range"),
            ("2006-01-02", "2026-02-30", "parsing time \"2026-02-30\": day out of range"),
            ("2006-01-02", "x", "parsing time \"x\" as \"2006-01-02\": cannot parse \"x\" as \"2006\""),
            ("2006", "2026!", "parsing time \"2026!\": extra text: \"!\""),
        ] {
            assert_eq!(GoTime::parse(layout, text), Err(error.to_owned()), "{layout}");
        }
    }

    #[test]
    fn durations_print_as_in_go() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (-1_500_000_000, "-1.5s"),
        ] {
            assert_eq!(GoDuration::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn dates_overflow_into_the_next_month() {
        let time = GoTime::parse_rfc3339("2024-01-31T00:00:00Z").unwrap();
        assert_eq!(add_date(time, 0, 1, 0).unwrap().to_string(), "2024-03-02 00:00:00 +0000 UTC");
        assert_eq!(add_date(time, -1, 0, 1).unwrap().to_string(), "2023-02-01 00:00:00 +0000 UTC");
    }
}
