//! When a silence holds that comes again: from each time of a cron schedule for some while.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use cron::Schedule;
use thiserror::Error;
use watchfire_model::{Duration, Timestamp};

/// The windows of a recurring silence.
#[derive(Clone, Debug)]
pub struct Recurrence {
    text: String,
    schedule: Schedule,
    location: Tz,
    lasts: Duration,
}

/// Why there is no such recurrence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecurrenceError {
    /// Not a cron expression.
    #[error(
        "{text:?} is not a cron expression: {reason}; \
         write minute, hour, day of month, month and weekday, such as \"0 22 * * Mon-Fri\""
    )]
    Cron {
        /// The text as it was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A cron expression of times that no calendar has.
    #[error("{0:?} never comes: no year has such a day; correct the day of month or the month")]
    Never(String),
    /// Not a time zone.
    #[error("unknown time zone {0:?}; use a name of the time zone database, such as Europe/Berlin")]
    Location(String),
    /// It lasts no time.
    #[error("an occurrence must last more than nothing, not {0}")]
    Lasts(Duration),
}

impl Recurrence {
    /// From a cron expression of five fields, the time zone that it is meant in (empty for UTC), and how long each
    /// occurrence lasts.
    ///
    /// Weekdays are written as names: crontab counts them from 0 and others from 1, so a number would be ambiguous.
    /// Where clocks go forward an occurrence that begins in the hour that is left out does not happen; where they go
    /// back one that begins in the hour that comes twice begins at the first.
    ///
    /// # Errors
    /// If one of them is not what it should be.
    pub fn parse(cron: &str, location: &str, lasts: Duration) -> Result<Recurrence, RecurrenceError> {
        let recurrence = Recurrence::kept(cron, location, lasts)?;
        if ever_comes(&recurrence.schedule) { Ok(recurrence) } else { Err(RecurrenceError::Never(recurrence.text)) }
    }

    /// The same of a silence that was taken: that one never comes was not always an error.
    ///
    /// # Errors
    /// As [`parse`](Recurrence::parse).
    pub fn kept(cron: &str, location: &str, lasts: Duration) -> Result<Recurrence, RecurrenceError> {
        let wrong = |reason: String| RecurrenceError::Cron { text: cron.to_owned(), reason };
        let fields: Vec<&str> = cron.split_whitespace().collect();
        let [_, _, _, _, weekdays] = fields[..] else {
            return Err(wrong(format!("it has {} fields and not five", fields.len())));
        };
        if weekdays.contains(|c: char| c.is_ascii_digit()) {
            return Err(wrong("weekdays are written as names, such as Mon-Fri".to_owned()));
        }
        let text = fields.join(" ");
        let schedule = Schedule::from_str(&format!("0 {text}")).map_err(|error| wrong(error.to_string()))?;
        let location = match location {
            "" => Tz::UTC,
            name => name.parse().map_err(|_| RecurrenceError::Location(name.to_owned()))?,
        };
        if lasts <= Duration::ZERO {
            return Err(RecurrenceError::Lasts(lasts));
        }
        Ok(Recurrence { text, schedule, location, lasts })
    }

    /// The cron expression.
    pub fn cron(&self) -> &str {
        &self.text
    }

    /// The time zone's name.
    pub fn location(&self) -> &str {
        self.location.name()
    }

    /// How long each occurrence lasts.
    pub fn lasts(&self) -> Duration {
        self.lasts
    }

    /// Whether an occurrence has begun and is not over.
    pub fn contains(&self, at: Timestamp) -> bool {
        let since = (at - self.lasts).to_chrono().with_timezone(&self.location);
        self.schedule.after(&since).next().is_some_and(|begin| begin.timestamp_millis() <= at.as_millis())
    }
}

/// Whether a schedule names a time at all, which the 31st of February is not.
pub(crate) fn ever_comes(schedule: &Schedule) -> bool {
    schedule.after(&DateTime::<Utc>::UNIX_EPOCH).next().is_some()
}

impl PartialEq for Recurrence {
    fn eq(&self, other: &Recurrence) -> bool {
        let key = |r: &Recurrence| (r.text.clone(), r.location, r.lasts);
        key(self) == key(other)
    }
}

impl Eq for Recurrence {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time = DateTime::parse_from_rfc3339(text).unwrap();
        Timestamp::from_millis(time.timestamp_millis())
    }

    #[test]
    fn occurrences_are_in_local_time_with_their_beginning_and_without_their_end() {
        let table = [
            ("0 22 * * *", "", "2h", "2026-01-05T22:00:00Z", true),
            ("0 22 * * *", "", "2h", "2026-01-05T21:59:59Z", false),
            ("0 22 * * *", "", "2h", "2026-01-05T23:59:59Z", true),
            ("0 22 * * *", "", "2h", "2026-01-06T00:00:00Z", false),
            ("0 22 * * *", "Europe/Berlin", "2h", "2026-01-05T21:00:00Z", true),
            ("0 22 * * *", "Europe/Berlin", "2h", "2026-07-05T20:00:00Z", true),
            ("0 22 * * *", "Europe/Berlin", "2h", "2026-07-05T22:00:00Z", false),
            // Monday is 2026-01-05.
            ("0 9 * * Mon-Fri", "UTC", "8h", "2026-01-05T12:00:00Z", true),
            ("0 9 * * Mon-Fri", "UTC", "8h", "2026-01-04T12:00:00Z", false),
            // Clocks go from 02:00 to 03:00 on 2026-03-29: what would begin at 02:30 does not happen.
            ("30 2 * * *", "Europe/Berlin", "30m", "2026-03-29T01:30:00Z", false),
            ("30 2 * * *", "Europe/Berlin", "30m", "2026-03-30T00:30:00Z", true),
            // Over midnight and over the end of a month.
            ("0 23 31 * *", "", "3h", "2026-02-01T01:00:00Z", true),
            ("0 0 29 2 Tue", "", "3h", "2028-02-29T01:00:00Z", true),
        ];
        for (cron, location, lasts, time, expected) in table {
            let recurrence = Recurrence::parse(cron, location, lasts.parse().unwrap()).unwrap();
            assert_eq!(recurrence.contains(at(time)), expected, "{cron} {location} {lasts} at {time}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let hour = Duration::from_hours(1);
        let table = [
            ("0 0 22 * * *", "", hour, "6 fields and not five"),
            ("0 22 * * 1-5", "", hour, "weekdays are written as names"),
            ("0 99 * * *", "", hour, "is not a cron expression"),
            ("0 0 31 2 *", "", hour, "\"0 0 31 2 *\" never comes"),
            ("0 22 * * *", "Europe/Bärlin", hour, "unknown time zone"),
            ("0 22 * * *", "", Duration::ZERO, "more than nothing"),
        ];
        for (cron, location, lasts, expected) in table {
            let error = Recurrence::parse(cron, location, lasts).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        // Who has kept one can be started.
        assert!(Recurrence::kept("0 0 31 2 *", "", hour).is_ok());
    }
}
