//! Go's layouts, which spell a reference time: writing a time.

use super::{DAYS, DateTime, Datelike, MONTHS, Offset, OffsetName, Timelike, Tz};

/// The elements of a layout, the longer before what they begin with.
pub(super) const ELEMENTS: [&str; 30] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "-07:00:00",
    "-070000",
    "-07:00",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z070000",
    "Z07:00",
    "Z0700",
    "Z07",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "__2",
    "_2",
    "15",
    "PM",
    "pm",
    "1",
    "2",
];

/// Writes a time as the layout spells it.
pub(super) fn format(time: DateTime<Tz>, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        if let Some((written, taken)) = fraction(rest, time.nanosecond() % 1_000_000_000) {
            out.push_str(&written);
            rest = &rest[taken..];
            continue;
        }
        let element = ELEMENTS.iter().find(|element| rest.starts_with(**element) && !is_longer_word(rest, element));
        if let Some(element) = element {
            write_element(&mut out, time, element);
            rest = &rest[element.len()..];
        } else if let Some(digit @ ('3' | '4' | '5')) = rest.chars().next() {
            let number = match digit {
                '3' => time.hour12().1,
                '4' => time.minute(),
                _ => time.second(),
            };
            out.push_str(&number.to_string());
            rest = &rest[1..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// `Jan` in `January`-like words such as `Janet` is text, as is `_2` before `006`.
pub(super) fn is_longer_word(rest: &str, element: &str) -> bool {
    let after = &rest[element.len()..];
    match element {
        "Jan" | "Mon" => after.starts_with(|c: char| c.is_ascii_lowercase()),
        "_2" => after.starts_with("006"),
        _ => false,
    }
}

/// `.000`, `,999`: fractions of a second.
fn fraction(rest: &str, nanos: u32) -> Option<(String, usize)> {
    let separator = rest.chars().next().filter(|c| *c == '.' || *c == ',')?;
    let digit = rest[1..].chars().next().filter(|c| *c == '0' || *c == '9')?;
    let length = rest[1..].chars().take_while(|c| *c == digit).count();
    if rest[1 + length..].starts_with(|c: char| c.is_ascii_digit()) || length > 9 {
        return None;
    }
    let digits = &format!("{nanos:09}")[..length];
    let text = if digit == '0' {
        format!("{separator}{digits}")
    } else {
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() { String::new() } else { format!("{separator}{digits}") }
    };
    Some((text, 1 + length))
}

fn write_element(out: &mut String, time: DateTime<Tz>, element: &str) {
    let month = MONTHS[time.month0() as usize % 12];
    let day = DAYS[time.weekday().num_days_from_sunday() as usize % 7];
    let text = match element {
        "January" => month.to_owned(),
        "Jan" => month[..3].to_owned(),
        "Monday" => day.to_owned(),
        "Mon" => day[..3].to_owned(),
        "MST" => zone_name(time),
        "2006" => format!("{:04}", time.year()),
        "06" => format!("{:02}", time.year().rem_euclid(100)),
        "01" => format!("{:02}", time.month()),
        "1" => time.month().to_string(),
        "02" => format!("{:02}", time.day()),
        "_2" => format!("{:2}", time.day()),
        "2" => time.day().to_string(),
        "002" => format!("{:03}", time.ordinal()),
        "__2" => format!("{:3}", time.ordinal()),
        "15" => format!("{:02}", time.hour()),
        "03" => format!("{:02}", time.hour12().1),
        "04" => format!("{:02}", time.minute()),
        "05" => format!("{:02}", time.second()),
        "PM" => if time.hour12().0 { "PM" } else { "AM" }.to_owned(),
        "pm" => if time.hour12().0 { "pm" } else { "am" }.to_owned(),
        zone => offset(time, zone),
    };
    out.push_str(&text);
}

fn zone_name(time: DateTime<Tz>) -> String {
    match time.offset().abbreviation() {
        Some(name) => name.to_owned(),
        None => offset(time, "-07"),
    }
}

fn offset(time: DateTime<Tz>, form: &str) -> String {
    let seconds = time.offset().fix().local_minus_utc();
    if seconds == 0 && form.starts_with('Z') {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match &form[1..] {
        "07" => format!("{sign}{h:02}"),
        "0700" => format!("{sign}{h:02}{m:02}"),
        "07:00" => format!("{sign}{h:02}:{m:02}"),
        "070000" => format!("{sign}{h:02}{m:02}{s:02}"),
        _ => format!("{sign}{h:02}:{m:02}:{s:02}"),
    }
}
