//! Office hours: times of day, days of the week and holidays on a clock that is a fixed time ahead of UTC.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::Error;

const MINUTES_PER_DAY: i64 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Office hours as users write them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfficeHours {
    /// `HH:MM-HH:MM`; the end is not part of them, and they may pass midnight.
    pub hours: String,
    /// Days on which the hours begin, `mon` to `sun`; every day if there are none.
    pub days: Vec<String>,
    /// Minutes that the clock is ahead of UTC.
    pub zone_offset_minutes: i32,
    /// Days without office hours: `2026-12-31`, or `12-25` for every year.
    pub holidays: Vec<String>,
}

/// Office hours that were understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Minutes since midnight.
    begin: i64,
    end: i64,
    /// Bit 0 is Monday.
    days: u8,
    zone_offset: i64,
    holidays: BTreeSet<String>,
}

impl OfficeHours {
    /// Checks them. `path` is the JSON pointer to where they stand.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] with the place of the mistake.
    pub fn calendar(&self, path: &str) -> Result<Calendar, Error> {
        let at = |field: &str| format!("{path}/{field}");
        let (begin, end) = hours(&self.hours).map_err(|message| Error::config(at("hours"), message))?;
        let mut days = if self.days.is_empty() { 0x7f } else { 0 };
        for (number, day) in self.days.iter().enumerate() {
            let Some(bit) = DAYS.iter().position(|name| name == day) else {
                let message = format!("{day:?} is no day; use {}", DAYS.join(", "));
                return Err(Error::config(at(&format!("days/{number}")), message));
            };
            days |= 1 << bit;
        }
        if !(-14 * 60..=14 * 60).contains(&self.zone_offset_minutes) {
            let message = format!("no zone is {} minutes from UTC; use -840 to 840", self.zone_offset_minutes);
            return Err(Error::config(at("zone_offset_minutes"), message));
        }
        for (number, day) in self.holidays.iter().enumerate() {
            if !is_date(day) {
                let message = format!("{day:?} is no date; use 2026-12-31, or 12-25 for every year");
                return Err(Error::config(at(&format!("holidays/{number}")), message));
            }
        }
        let holidays = self.holidays.iter().cloned().collect();
        Ok(Calendar { begin, end, days, zone_offset: i64::from(self.zone_offset_minutes), holidays })
    }
}

impl Calendar {
    /// Whether a time in milliseconds since 1970 is in office hours.
    pub fn is_open(&self, at_ms: i64) -> bool {
        let local = at_ms.div_euclid(60_000) + self.zone_offset;
        let (day, minute) = (local.div_euclid(MINUTES_PER_DAY), local.rem_euclid(MINUTES_PER_DAY));
        if self.begin < self.end {
            self.opens_on(day) && (self.begin..self.end).contains(&minute)
        } else {
            // Past midnight the hours belong to the day on which they began.
            (self.opens_on(day) && minute >= self.begin) || (self.opens_on(day - 1) && minute < self.end)
        }
    }

    /// Whether hours begin on a day, counted from 1970, which began on a Thursday.
    fn opens_on(&self, day: i64) -> bool {
        let (year, month, of_month) = date(day);
        let every_year = format!("{month:02}-{of_month:02}");
        self.days & (1 << (day + 3).rem_euclid(7)) != 0
            && !self.holidays.contains(&format!("{year:04}-{every_year}"))
            && !self.holidays.contains(&every_year)
    }
}

/// Year, month and day of a day counted from 1970-01-01: Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
pub fn date(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted_month + 2) / 5 + 1)
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |text: &str, length: usize| (text.len() == length).then(|| text.parse::<u32>().ok()).flatten();
    let (year, month, day) = match parts[..] {
        [year, month, day] => (number(year, 4), month, day),
        [month, day] => (Some(0), month, day),
        _ => return false,
    };
    let within = |text: &str, most: u32| number(text, 2).is_some_and(|value| (1..=most).contains(&value));
    year.is_some() && within(month, 12) && within(day, 31)
}

fn hours(text: &str) -> Result<(i64, i64), String> {
    let wrong = || format!("{text:?} is not of the form \"09:00-18:00\"");
    let minutes = |clock: &str| {
        let (hour, minute) = clock.trim().split_once(':')?;
        let two_digits = |text: &str| (text.len() == 2).then(|| text.parse::<i64>().ok()).flatten();
        let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
        let total = hour * 60 + minute;
        (minute < 60 && (0..=MINUTES_PER_DAY).contains(&total)).then_some(total)
    };
    let (begin, end) = text.split_once('-').ok_or_else(wrong)?;
    let (begin, end) = (minutes(begin).ok_or_else(wrong)?, minutes(end).ok_or_else(wrong)?);
    if begin == end || begin == MINUTES_PER_DAY {
        return Err(format!("{text:?} is no time at all; for the whole day write \"00:00-24:00\""));
    }
    Ok((begin, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        for (day, expected) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (20_777, (2026, 11, 20)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(day), expected, "{day}");
        }
    }

    #[test]
    fn holidays_are_closed_once_or_every_year() {
        let hours = |holidays: &[&str]| OfficeHours {
            hours: "22:00-06:00".into(),
            holidays: holidays.iter().map(|day| (*day).to_owned()).collect(),
            ..OfficeHours::default()
        };
        let open = |holidays: &[&str], day: i64, hour: i64| {
            hours(holidays).calendar("").unwrap().is_open((day * 24 + hour) * 3_600_000)
        };
        // 2026-11-20; what began the evening before goes on until morning.
        for (holidays, hour, expected) in [
            (&[][..], 23, true),
            (&["2026-11-20"], 23, false),
            (&["2026-11-20"], 5, true),
            (&["2026-11-20"], 24 + 5, false),
            (&["11-20"], 23, false),
            (&["2025-11-20"], 23, true),
        ] {
            assert_eq!(open(holidays, 20_777, hour), expected, "{holidays:?} {hour}");
        }
        for wrong in ["2026-13-01", "26-12-01", "12-32", "christmas", "1-2", ""] {
            let error = hours(&[wrong]).calendar("/office").unwrap_err().to_string();
            assert!(error.starts_with(r#"invalid configuration at "/office/holidays/0":"#), "{wrong}: {error}");
        }
    }
}
