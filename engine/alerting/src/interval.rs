//! Time intervals in which routes are muted or active.

use std::str::FromStr;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use chrono_tz::Tz;
use thiserror::Error;
use watchfire_model::Timestamp;

/// A named set of times; a time is in it if any of the specifications contains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeInterval {
    /// The name by which routes refer to it.
    pub name: String,
    /// Any of them suffices.
    pub specs: Vec<TimeSpec>,
}

/// One specification: a time must satisfy each field, and of a field any range. An empty field is satisfied always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeSpec {
    /// Times of the day.
    pub times: Vec<MinuteRange>,
    /// Days of the week.
    pub weekdays: Vec<WeekdayRange>,
    /// Days of the month.
    pub days_of_month: Vec<DayRange>,
    /// Months of the year.
    pub months: Vec<MonthRange>,
    /// Years.
    pub years: Vec<YearRange>,
    /// Where the clock hangs; UTC if it is not said.
    pub location: Option<Tz>,
}

/// Minutes of the day, the end not included; 1440 is the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinuteRange {
    /// The first minute.
    pub start: u16,
    /// The minute after the last.
    pub end: u16,
}

/// Days of the week, 0 being Sunday, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeekdayRange {
    /// The first day.
    pub start: u8,
    /// The last day.
    pub end: u8,
}

/// Days of the month from 1, or from the end of the month with -1 the last, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayRange {
    /// The first day.
    pub start: i8,
    /// The last day.
    pub end: i8,
}

/// Months from 1 to 12, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthRange {
    /// The first month.
    pub start: u8,
    /// The last month.
    pub end: u8,
}

/// Years, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YearRange {
    /// The first year.
    pub start: i32,
    /// The last year.
    pub end: i32,
}

/// Why a text is not a range of times.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IntervalError {
    /// Not of the expected form.
    #[error("{text:?} is not {expected}")]
    Malformed {
        /// The text as it was given.
        text: String,
        /// What was expected, with an example.
        expected: &'static str,
    },
    /// The end comes before the start.
    #[error("the start of {text:?} must not be after its end; a range cannot wrap, write two of them")]
    Reversed {
        /// The text as it was given.
        text: String,
    },
}

impl TimeInterval {
    /// Whether a point in time is in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.specs.iter().any(|spec| spec.contains(at))
    }
}

impl TimeSpec {
    /// Whether a point in time satisfies it. Each instant has exactly one local time, so nothing happens twice or never
    /// where clocks are changed.
    pub fn contains(&self, at: Timestamp) -> bool {
        let utc = at.to_chrono();
        match self.location {
            Some(zone) => self.contains_local(utc.with_timezone(&zone).naive_local()),
            None => self.contains_local(utc.naive_utc()),
        }
    }

    fn contains_local(&self, local: NaiveDateTime) -> bool {
        let minute = local.hour() * 60 + local.minute();
        let weekday = local.weekday().num_days_from_sunday();
        let (day, month, year) = (local.day(), local.month(), local.year());
        let last_day = i64::from(days_in_month(year, month));
        any(&self.times, |r| (u32::from(r.start)..u32::from(r.end)).contains(&minute))
            && any(&self.weekdays, |r| (u32::from(r.start)..=u32::from(r.end)).contains(&weekday))
            && any(&self.days_of_month, |r| r.contains(i64::from(day), last_day))
            && any(&self.months, |r| (u32::from(r.start)..=u32::from(r.end)).contains(&month))
            && any(&self.years, |r| (r.start..=r.end).contains(&year))
    }
}

fn any<T>(ranges: &[T], contains: impl FnMut(&T) -> bool) -> bool {
    ranges.is_empty() || ranges.iter().any(contains)
}

fn days_in_month(year: i32, month: u32) -> u32 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let first_of_next = NaiveDate::from_ymd_opt(next_year, next_month, 1);
    first_of_next.and_then(|date| date.pred_opt()).map_or(31, |date| date.day())
}

impl DayRange {
    /// Negative days count from the end of the month; both ends are clamped to the month
    /// (alertmanager `timeinterval/timeinterval.go`, `ContainsTime`).
    fn contains(self, day: i64, last_day: i64) -> bool {
        let resolve = |bound: i8| if bound < 0 { last_day + i64::from(bound) + 1 } else { i64::from(bound) };
        let (start, end) = (resolve(self.start), resolve(self.end));
        // A range that lies wholly beyond this month contains no day of it.
        if start > last_day || end < 1 {
            return false;
        }
        (start.max(1)..=end.min(last_day)).contains(&day)
    }
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// `a:b`, or `a` alone for both.
fn ends(text: &str) -> (&str, &str) {
    let (start, end) = text.split_once(':').unwrap_or((text, text));
    (start.trim(), end.trim())
}

fn range<T: PartialOrd>(
    text: &str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<(T, T), IntervalError> {
    let malformed = || IntervalError::Malformed { text: text.to_owned(), expected };
    let (start, end) = ends(text);
    let (start, end) = (parse(start).ok_or_else(malformed)?, parse(end).ok_or_else(malformed)?);
    if start > end { Err(IntervalError::Reversed { text: text.to_owned() }) } else { Ok((start, end)) }
}

impl MinuteRange {
    /// From two times of the day such as `09:00` and `17:00`; `24:00` is the end of the day.
    ///
    /// # Errors
    /// If one is no time, or the start is not before the end.
    pub fn parse(start: &str, end: &str) -> Result<MinuteRange, IntervalError> {
        let expected = "a time of the day from 00:00 to 24:00";
        let minute = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            if hours.len() != 2 || minutes.len() != 2 {
                return None;
            }
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            let total = hours * 60 + minutes;
            (minutes < 60 && total <= 1440).then_some(total)
        };
        let malformed = |text: &str| IntervalError::Malformed { text: text.to_owned(), expected };
        let range = MinuteRange {
            start: minute(start).ok_or_else(|| malformed(start))?,
            end: minute(end).ok_or_else(|| malformed(end))?,
        };
        if range.start >= range.end {
            return Err(IntervalError::Reversed { text: format!("{start}-{end}") });
        }
        Ok(range)
    }
}

impl FromStr for WeekdayRange {
    type Err = IntervalError;

    /// `monday`, `monday:friday`; the week begins on Sunday.
    fn from_str(text: &str) -> Result<WeekdayRange, IntervalError> {
        let day = |name: &str| {
            let name = name.to_ascii_lowercase();
            WEEKDAYS.iter().position(|day| *day == name).and_then(|i| u8::try_from(i).ok())
        };
        let (start, end) = range(text, "a day of the week or a range like monday:friday", day)?;
        Ok(WeekdayRange { start, end })
    }
}

impl FromStr for DayRange {
    type Err = IntervalError;

    /// `1`, `1:5`, `-3:-1`, `1:-1`.
    fn from_str(text: &str) -> Result<DayRange, IntervalError> {
        let expected = "a day of the month from 1 to 31 or -31 to -1, or a range like 1:5 or -3:-1";
        let malformed = || IntervalError::Malformed { text: text.to_owned(), expected };
        let day = |text: &str| text.parse::<i8>().ok().filter(|d| (1..=31).contains(&d.abs()));
        let (start, end) = ends(text);
        let (start, end) = (day(start).ok_or_else(malformed)?, day(end).ok_or_else(malformed)?);
        // From the end of the month to a day counted from its start is never what is meant, and a range that is reversed
        // in the longest month is reversed in every other.
        let in_longest_month = |day: i8| if day < 0 { 32 + i16::from(day) } else { i16::from(day) };
        if (start < 0 && end > 0) || in_longest_month(start) > in_longest_month(end) {
            return Err(IntervalError::Reversed { text: text.to_owned() });
        }
        Ok(DayRange { start, end })
    }
}

impl FromStr for MonthRange {
    type Err = IntervalError;

    /// `january`, `1:3`, `may:august`.
    fn from_str(text: &str) -> Result<MonthRange, IntervalError> {
        let month = |name: &str| {
            let lower = name.to_ascii_lowercase();
            let named = MONTHS.iter().position(|month| *month == lower).and_then(|i| u8::try_from(i + 1).ok());
            named.or_else(|| name.parse().ok()).filter(|month| (1..=12).contains(month))
        };
        let (start, end) = range(text, "a month, its number, or a range like may:august", month)?;
        Ok(MonthRange { start, end })
    }
}

impl FromStr for YearRange {
    type Err = IntervalError;

    /// `2026`, `2026:2030`.
    fn from_str(text: &str) -> Result<YearRange, IntervalError> {
        let (start, end) = range(text, "a year or a range like 2026:2030", |year| year.parse().ok())?;
        Ok(YearRange { start, end })
    }
}
