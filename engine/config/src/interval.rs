//! Time intervals: when something is muted or active.

use chrono_tz::Tz;
use watchfire_alerting::{DayRange, MinuteRange, MonthRange, TimeInterval, TimeSpec, WeekdayRange, YearRange};

use crate::decode::{Decoder, Fields};
use crate::diagnostic::nearest;
use crate::yaml::Node;

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

/// One entry of `time_intervals` or `mute_time_intervals`.
pub(crate) fn time_interval(fields: &mut Fields<'_, '_>) -> TimeInterval {
    let name = fields.required("name", "give the interval the name by which routes refer to it").unwrap_or_default();
    let specs = fields.list("time_intervals", |decoder, node| decoder.mapping(node, "a time interval", time_spec));
    TimeInterval { name, specs }
}

/// One of its specifications.
pub(crate) fn time_spec(fields: &mut Fields<'_, '_>) -> TimeSpec {
    let times = fields.list("times", |decoder, node| decoder.mapping(node, "a time range", minutes));
    TimeSpec {
        times: times.into_iter().flatten().collect(),
        weekdays: ranges_of(fields, "weekdays", weekday),
        days_of_month: ranges_of(fields, "days_of_month", days_of_month),
        months: ranges_of(fields, "months", months),
        years: ranges_of(fields, "years", years),
        location: location(fields),
    }
}

fn ranges_of<R>(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    parse: impl Fn(&str) -> Result<R, (String, String)>,
) -> Vec<R> {
    fields.list(key, |decoder, node| {
        let text = decoder.text(node, key)?;
        checked(decoder, node, parse(&text))
    })
}

/// Reports what is wrong with a range, given with what would be right.
fn checked<T>(decoder: &mut Decoder<'_>, node: &Node, parsed: Result<T, (String, String)>) -> Option<T> {
    match parsed {
        Ok(value) => Some(value),
        Err((message, help)) => {
            if !decoder.is_recording() {
                decoder.error(node.start, "bad-interval", message).help(help);
            }
            None
        }
    }
}

fn minutes(fields: &mut Fields<'_, '_>) -> Option<MinuteRange> {
    let mut end = |key| {
        let help = "write it in 24 hours like 09:00; the end of the day is 24:00";
        let text = fields.required(key, help)?;
        let minute = minute_of_day(&text);
        if minute.is_none() {
            fields.error(key, "bad-interval", format!("{key} is not a time of day: {text:?}")).help(help);
        }
        minute
    };
    let (start, end) = (end("start_time"), end("end_time"));
    let (start, end) = (start?, end?);
    if start >= end {
        fields
            .error("end_time", "bad-interval", "end_time must be later than start_time")
            .help("for a range over midnight write two: one until 24:00, one from 00:00");
        return None;
    }
    Some(MinuteRange { start, end })
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !two(hour) || !two(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60 || hour == 24 && minute == 0).then_some(hour * 60 + minute)
}

fn ends<N: Copy>(text: &str, member: impl Fn(&str) -> Result<N, (String, String)>) -> Result<(N, N), (String, String)> {
    let lower = text.to_lowercase();
    let mut parts = lower.split(':');
    let first = member(parts.next().unwrap_or(""))?;
    let last = parts.next().map_or(Ok(first), &member)?;
    if parts.next().is_some() {
        return Err((format!("{text:?} is not a range"), "write a range as first:last".to_owned()));
    }
    Ok((first, last))
}

fn named(word: &str, names: &[&'static str], noun: &str) -> Result<usize, (String, String)> {
    names.iter().position(|name| *name == word).ok_or_else(|| {
        let help = match nearest(word, names.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write it out like {:?}, or a range like {}:{}", names[1], names[1], names[5]),
        };
        (format!("{word:?} is not a {noun}"), help)
    })
}

fn weekday(text: &str) -> Result<WeekdayRange, (String, String)> {
    let (first, last) = ends(text, |word| named(word, &WEEKDAYS, "weekday").map(|day| day as u8))?;
    if first > last {
        let help = "the week begins on sunday; split the range, as in [friday:saturday, sunday:monday]";
        return Err((format!("the range {text:?} runs over the end of the week"), help.to_owned()));
    }
    Ok(WeekdayRange { start: first, end: last })
}

fn whole(word: &str, noun: &str) -> Result<i32, (String, String)> {
    word.parse().map_err(|_| (format!("{word:?} is not a {noun}"), "write a number or a range like 1:5".to_owned()))
}

fn days_of_month(text: &str) -> Result<DayRange, (String, String)> {
    let (first, last) = ends(text, |word| {
        let day = whole(word, "day of the month")?;
        if day == 0 || !(-31..=31).contains(&day) {
            let help = "days run from 1 to 31, or from -31 to -1 counted from the end of the month";
            return Err((format!("{day} is not a day of the month"), help.to_owned()));
        }
        Ok(day as i8)
    })?;
    if first < 0 && last > 0 {
        let help = "a range that begins at a negative day must end at one";
        return Err((format!("the range {text:?} ends before it begins in some months"), help.to_owned()));
    }
    let from_start = |day: i8| if day < 0 { 28 + day } else { day };
    if from_start(first) > from_start(last) {
        return Err((format!("the range {text:?} ends before it begins"), "swap the two days".to_owned()));
    }
    Ok(DayRange { start: first, end: last })
}

fn months(text: &str) -> Result<MonthRange, (String, String)> {
    let (first, last) = ends(text, |word| match word.parse::<i64>() {
        // Alertmanager takes any number; one that is no month never matches.
        Ok(number) => Ok(number.clamp(0, 13) as u8),
        Err(_) => named(word, &MONTHS, "month").map(|month| month as u8 + 1),
    })?;
    if first > last {
        let help = "split the range at the end of the year, as in [november:december, january:february]";
        return Err((format!("the range {text:?} runs over the end of the year"), help.to_owned()));
    }
    Ok(MonthRange { start: first, end: last })
}

fn years(text: &str) -> Result<YearRange, (String, String)> {
    let (first, last) = ends(text, |word| whole(word, "year"))?;
    if first > last {
        return Err((format!("the range {text:?} ends before it begins"), "swap the two years".to_owned()));
    }
    Ok(YearRange { start: first, end: last })
}

/// The time zone under `location`.
pub(crate) fn location(fields: &mut Fields<'_, '_>) -> Option<Tz> {
    let text = fields.text("location")?;
    match text.as_str() {
        "" | "UTC" => return Some(Tz::UTC),
        // Go's name for the zone of the machine.
        "Local" => return Some(local(fields)),
        _ => {}
    }
    match text.parse() {
        Ok(zone) => Some(zone),
        Err(_) => {
            let help = match nearest(&text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "use a name of the time zone database, such as Europe/Berlin or America/New_York".to_owned(),
            };
            fields.error("location", "bad-interval", format!("unknown time zone {text:?}")).help(help);
            None
        }
    }
}

/// The zone of the machine, and UTC where it is not known.
fn local(fields: &mut Fields<'_, '_>) -> Tz {
    let name = fields.decoder().zone();
    if let Some(zone) = name.as_deref().and_then(|name| name.parse().ok()) {
        return zone;
    }
    let reason = match name {
        Some(name) => format!("the zone of the machine, {name:?}, is not known"),
        None => "it is not known in which zone the machine is".to_owned(),
    };
    fields
        .warning("location", "local-time-zone", format!("`Local` means UTC here: {reason}"))
        .help("name the zone, such as Europe/Berlin, here or in the environment variable TZ");
    Tz::UTC
}
