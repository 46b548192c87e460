//! Go's layouts, which spell a reference time: reading a time.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::layout::{ELEMENTS, is_longer_word};
use super::{DAYS, MONTHS};

/// What was read so far. Go begins at the first of January of the year 0.
struct Read<'a> {
    year: i32,
    month: u32,
    day: u32,
    ordinal: Option<u32>,
    hour: u32,
    /// Of `PM` and `pm`: whether it is the afternoon.
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
    /// East of Greenwich.
    offset_seconds: i64,
    rest: &'a str,
}

/// The time that a text spells as the layout does.
pub(super) fn parse(layout: &str, text: &str) -> Result<DateTime<Utc>, String> {
    let mut read = Read {
        year: 0,
        month: 1,
        day: 1,
        ordinal: None,
        hour: 0,
        afternoon: None,
        minute: 0,
        second: 0,
        nanos: 0,
        offset_seconds: 0,
        rest: text,
    };
    let mut spelled = layout;
    while let Some(first) = spelled.chars().next() {
        let element = ELEMENTS.iter().find(|one| spelled.starts_with(**one) && !is_longer_word(spelled, one));
        let single = spelled.get(..1).filter(|one| matches!(*one, "3" | "4" | "5"));
        let (element, fits) = match element.copied().or(single) {
            Some(element) => (element, read.element(element)),
            None => (&spelled[..first.len_utf8()], read.literal(first)),
        };
        if fits.is_none() {
            return Err(format!("parsing time {text:?} as {layout:?}: cannot parse {:?} as {element:?}", read.rest));
        }
        spelled = &spelled[element.len()..];
    }
    if !read.rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {:?}", read.rest));
    }
    read.finish().map_err(|part| format!("parsing time {text:?}: {part} out of range"))
}

impl Read<'_> {
    /// A character that stands for itself.
    fn literal(&mut self, expected: char) -> Option<()> {
        // A fraction in the layout was read with the seconds.
        if self.nanos_were_read(expected) {
            return Some(());
        }
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// Whether this is part of a fraction such as `.000` that was taken together with the seconds before it.
    fn nanos_were_read(&self, expected: char) -> bool {
        self.nanos > 0 && matches!(expected, '.' | ',' | '0' | '9') && !self.rest.starts_with(expected)
    }

    fn element(&mut self, element: &str) -> Option<()> {
        match element {
            "2006" => self.year = i32::try_from(self.digits(4, 4)?).ok()?,
            "06" => {
                let year = i32::try_from(self.digits(2, 2)?).ok()?;
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            "01" => self.month = self.digits(2, 2)?,
            "1" => self.month = self.digits(1, 2)?,
            "January" => self.month = self.name(&MONTHS, usize::MAX)?,
            "Jan" => self.month = self.name(&MONTHS, 3)?,
            "Monday" => drop(self.name(&DAYS, usize::MAX)?),
            "Mon" => drop(self.name(&DAYS, 3)?),
            "02" => self.day = self.digits(2, 2)?,
            "2" => self.day = self.digits(1, 2)?,
            "_2" => {
                self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                self.day = self.digits(1, 2)?;
            }
            "002" => self.ordinal = Some(self.digits(3, 3)?),
            "__2" => {
                self.rest = self.rest.trim_start_matches(' ');
                self.ordinal = Some(self.digits(1, 3)?);
            }
            "15" => self.hour = self.digits(2, 2)?,
            "03" => self.hour = self.digits(2, 2)?,
            "3" => self.hour = self.digits(1, 2)?,
            "04" => self.minute = self.digits(2, 2)?,
            "4" => self.minute = self.digits(1, 2)?,
            "05" => self.seconds(2)?,
            "5" => self.seconds(1)?,
            "PM" | "pm" => {
                let (am, pm) = if element == "PM" { ("AM", "PM") } else { ("am", "pm") };
                self.afternoon = Some(self.rest.starts_with(pm));
                self.rest = self.rest.strip_prefix(am).or_else(|| self.rest.strip_prefix(pm))?;
            }
            "MST" => {
                // Of the names only that of the zone itself has an offset here; Go gives others an offset of zero too.
                let length = self.rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(self.rest.len());
                self.rest = self.rest.get(length..).filter(|_| (3..=5).contains(&length))?;
            }
            zone => self.zone(zone)?,
        }
        Some(())
    }

    /// Seconds; a fraction may follow although the layout has none.
    fn seconds(&mut self, digits_min: usize) -> Option<()> {
        self.second = self.digits(digits_min, 2)?;
        let Some(fraction) = self.rest.strip_prefix(['.', ',']) else { return Some(()) };
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if length > 0 {
            let digits = format!("{:0<9}", &fraction[..length.min(9)]);
            self.nanos = digits.parse().ok()?;
            self.rest = &fraction[length..];
        }
        Some(())
    }

    fn zone(&mut self, zone: &str) -> Option<()> {
        if zone.starts_with('Z') && self.rest.starts_with('Z') {
            self.rest = &self.rest[1..];
            return Some(());
        }
        let sign = match self.rest.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        self.rest = &self.rest[1..];
        let (colon, parts) = (zone.contains(':'), zone[1..].bytes().filter(u8::is_ascii_digit).count() / 2);
        let mut seconds = 0;
        for part in 0..parts {
            if part > 0 && colon {
                self.rest = self.rest.strip_prefix(':')?;
            }
            seconds += i64::from(self.digits(2, 2)?) * [3_600, 60, 1][part.min(2)];
        }
        self.offset_seconds = sign * seconds;
        Some(())
    }

    /// A number of so many digits.
    fn digits(&mut self, min: usize, max: usize) -> Option<u32> {
        let length = self.rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
        let number = self.rest.get(..length).filter(|_| length >= min)?.parse().ok()?;
        self.rest = &self.rest[length..];
        Some(number)
    }

    /// The number of a name from 1, by its first letters; case does not matter.
    fn name(&mut self, names: &[&str], letters: usize) -> Option<u32> {
        let fits = |name: &&str| {
            let start = self.rest.get(..name.len().min(letters))?;
            start.eq_ignore_ascii_case(&name[..name.len().min(letters)]).then_some(())
        };
        let index = names.iter().position(|name| fits(name).is_some())?;
        self.rest = &self.rest[names[index].len().min(letters)..];
        u32::try_from(index + 1).ok()
    }

    /// The instant, or which part of it does not exist.
    fn finish(mut self) -> Result<DateTime<Utc>, &'static str> {
        match self.afternoon {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        if !(1..=12).contains(&self.month) {
            return Err("month");
        }
        let date = match self.ordinal {
            Some(ordinal) => NaiveDate::from_yo_opt(self.year, ordinal).ok_or("day-of-year")?,
            None => NaiveDate::from_ymd_opt(self.year, self.month, self.day).ok_or("day")?,
        };
        for (part, value, max) in [("hour", self.hour, 23), ("minute", self.minute, 59), ("second", self.second, 59)] {
            if value > max {
                return Err(part);
            }
        }
        let time = date.and_hms_nano_opt(self.hour, self.minute, self.second, self.nanos).ok_or("second")?;
        Ok(time.and_utc() - TimeDelta::seconds(self.offset_seconds))
    }
}
