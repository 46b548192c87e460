//! Time intervals in which routes are muted or active.

use chrono_tz::Tz;
use thiserror::Error;

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
