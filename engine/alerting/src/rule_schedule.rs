//! When a rule looks at all.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use thiserror::Error;
use watchfire_model::Timestamp;

use crate::TimeSpec;
use crate::recurrence::ever_comes;

/// When a rule looks at all.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleSchedule {
    /// While any of the specifications contains the time. When none does any more, what the rule had found ends.
    Within(Vec<TimeSpec>),
    /// It begins to look at certain times, and goes on only until what it then found is over.
    At(CronTimes),
}

/// The times that a cron expression names in a time zone.
#[derive(Clone, PartialEq)]
pub struct CronTimes {
    text: String,
    schedule: cron::Schedule,
    zone: Tz,
}

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CronError {
    /// There are too few or too many fields.
    #[error(
        "a cron expression has five fields (minute hour day month weekday) or six with the second before them, not {0}"
    )]
    Fields(usize),
    /// The weekday is given by a number, which means different days to different programs.
    #[error("the weekday {0:?} is a number, and Sunday is 0 in some crons and 1 in others")]
    NumberedWeekday(String),
    /// A field is not valid.
    #[error("{0}")]
    Invalid(String),
    /// No calendar has such a time.
    #[error("it never comes, since no year has such a day")]
    Never,
}

/// Clocks are set by less than this, so that a local time and its instant are never further apart than usual.
const SHIFT_MAX: TimeDelta = TimeDelta::hours(3);

impl CronTimes {
    /// From `minute hour day month weekday`, or the same with `second` before it; weekdays by their names.
    ///
    /// # Errors
    /// If it is no such expression.
    pub fn new(text: &str, zone: Tz) -> Result<CronTimes, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (five, weekday) = match fields[..] {
            [_, _, _, _, weekday] => (true, weekday),
            [_, _, _, _, _, weekday] => (false, weekday),
            _ => return Err(CronError::Fields(fields.len())),
        };
        // What follows a slash is a distance.
        let days = weekday.split(',').map(|part| part.split('/').next().unwrap_or(part));
        if days.into_iter().any(|days| days.contains(|c: char| c.is_ascii_digit())) {
            return Err(CronError::NumberedWeekday(weekday.to_owned()));
        }
        let full = if five { format!("0 {}", fields.join(" ")) } else { fields.join(" ") };
        let schedule = cron::Schedule::from_str(&full).map_err(|error| CronError::Invalid(error.to_string()))?;
        if !ever_comes(&schedule) {
            return Err(CronError::Never);
        }
        Ok(CronTimes { text: text.to_owned(), schedule, zone })
    }

    /// The last of the times that lies after `after` and not after `until`.
    ///
    /// A local time that clocks skip happens as much later as they are set forward, and one that they show twice happens
    /// the first time.
    pub fn last_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let (first, last) = (after.to_chrono(), until.to_chrono());
        // Near a change of the clock a wider range of local times has to be looked at.
        let margin = if self.offset(first - TimeDelta::days(1)) == self.offset(last + TimeDelta::days(1)) {
            TimeDelta::zero()
        } else {
            SHIFT_MAX
        };
        let local = |at: DateTime<Utc>| at.with_timezone(&self.zone).naive_local();
        // The crate reckons in the zone of what it is given; local times are given as if they were UTC.
        let from = (local(first) - margin).and_utc();
        let to = local(last) + margin;
        let candidates = self.schedule.after(&from).map(|at| at.naive_utc()).take_while(|at| *at <= to);
        let instants = candidates.map(|at| self.instant(at)).filter(|at| first < *at && *at <= last);
        instants.max().map(|at| Timestamp::from_millis(at.timestamp_millis()))
    }

    fn offset(&self, at: DateTime<Utc>) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()))
    }

    fn instant(&self, local: NaiveDateTime) -> DateTime<Utc> {
        match self.zone.from_local_datetime(&local) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
            LocalResult::None => {
                let before = local.and_utc() - SHIFT_MAX;
                local.and_utc() - self.offset(before - self.offset(before))
            }
        }
    }
}

impl fmt::Display for CronTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text, self.zone.name())
    }
}

impl fmt::Debug for CronTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronTimes({:?}, {})", self.text, self.zone.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of a cron expression within whole minutes of a span, in UTC.
    fn times(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let cron = CronTimes::new(cron, zone.parse().unwrap()).unwrap();
        let parse = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let (mut at, to) = (parse(from), parse(to));
        let mut found = Vec::new();
        while at < to {
            let next = at + watchfire_model::Duration::from_mins(1);
            let time = cron.last_between(at, next);
            found.extend(time.map(|time| time.to_rfc3339().replace(".000Z", "Z")));
            at = next;
        }
        found
    }

    #[test]
    fn times_follow_the_zone_and_happen_once_where_clocks_change() {
        // The cron expression, the zone, the span, the times.
        type Case = (&'static str, &'static str, [&'static str; 2], &'static [&'static str]);
        let cases: [Case; 6] = [
            ("0 0 7 * * *", "UTC", ["2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"], &["2026-01-05T07:00:00Z"]),
            ("0 7 * * *", "Europe/Berlin", ["2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"], &["2026-01-05T06:00:00Z"]),
            ("0 7 * * *", "Europe/Berlin", ["2026-07-05T00:00:00Z", "2026-07-06T00:00:00Z"], &["2026-07-05T05:00:00Z"]),
            // 02:30 is skipped on this day, and is 03:30 then.
            (
                "30 2 * * *",
                "Europe/Berlin",
                ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"],
                &["2026-03-29T01:30:00Z"],
            ),
            // 02:30 is shown twice on this day.
            (
                "30 2 * * *",
                "Europe/Berlin",
                ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
                &["2026-10-25T00:30:00Z"],
            ),
            (
                "0 9 * * Mon-Wed",
                "UTC",
                ["2026-01-03T00:00:00Z", "2026-01-10T00:00:00Z"],
                &["2026-01-05T09:00:00Z", "2026-01-06T09:00:00Z", "2026-01-07T09:00:00Z"],
            ),
        ];
        for (cron, zone, [from, to], expected) in cases {
            assert_eq!(times(cron, zone, from, to), expected, "{cron} in {zone}");
        }
    }

    #[test]
    fn of_several_times_the_last_counts() {
        let cron = CronTimes::new("0 7 * * *", Tz::UTC).unwrap();
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let last = |after: &str, until: &str| cron.last_between(at(after), at(until));
        let morning = at("2026-01-08T07:00:00Z");
        assert_eq!(last("2026-01-05T00:00:00Z", "2026-01-09T06:59:59Z"), Some(morning));
        assert_eq!(last("2026-01-08T06:59:59Z", "2026-01-08T07:00:00Z"), Some(morning));
        assert_eq!(last("2026-01-08T07:00:00Z", "2026-01-09T06:59:59Z"), None);
    }

    #[test]
    fn what_is_no_cron_expression_is_refused() {
        let error = |text: &str| CronTimes::new(text, Tz::UTC).unwrap_err();
        assert_eq!(error("0 7"), CronError::Fields(2));
        assert_eq!(error("0 7 * * 1-5"), CronError::NumberedWeekday("1-5".into()));
        assert!(matches!(error("0 25 * * *"), CronError::Invalid(_)));
        assert_eq!(error("0 0 31 2 *"), CronError::Never);
        assert!(CronTimes::new("0 0 29 2 *", Tz::UTC).is_ok());
        assert!(CronTimes::new("*/5 9-17 * * Mon-Fri", Tz::UTC).is_ok());
    }
}
