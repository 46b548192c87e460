//! Times as senders write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use watchfire_model::Timestamp;

/// RFC 3339, also with a blank for the `T`, without seconds, without the colon in the offset, or without an offset at
/// all, which then means UTC; a date alone is its beginning. These are the forms that Alertmanager's API and most loggers
/// know.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    const WITH_OFFSET: [&str; 3] = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"];
    const UTC: [&str; 3] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    let text = text.trim();
    if let Ok(time) = Timestamp::parse_rfc3339(text) {
        return Some(time);
    }
    let with_offset = || {
        let time = WITH_OFFSET.iter().find_map(|form| DateTime::parse_from_str(text, form).ok())?;
        Some(Timestamp::from_millis(time.timestamp_millis()))
    };
    let utc = || {
        let bare = text.strip_suffix(['Z', 'z']).unwrap_or(text);
        // A date has all its digits, unlike what the crate reads.
        let date = (text.len() == 10).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
        let date = || date.map(|date| date.and_time(NaiveTime::MIN));
        let time = UTC.iter().find_map(|form| NaiveDateTime::parse_from_str(bare, form).ok()).or_else(date)?;
        Some(Timestamp::from_millis(time.and_utc().timestamp_millis()))
    };
    with_offset().or_else(utc)
}

/// A number since the epoch in seconds, milliseconds, microseconds or nanoseconds, told apart by its size: as seconds,
/// 10^11 is in the year 5138, so larger numbers are of the next finer unit, and so on.
pub(crate) fn from_epoch(number: f64) -> Option<Timestamp> {
    let millis = match number.abs() {
        n if n < 1e11 => number * 1e3,
        n if n < 1e14 => number,
        n if n < 1e17 => number / 1e3,
        n if n < 1e20 => number / 1e6,
        // NaN and infinities end here as well.
        _ => return None,
    };
    Some(Timestamp::from_millis(millis.round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_spellings_are_the_same_point() {
        let expected = Timestamp::parse_rfc3339("2026-11-20T03:04:05.678Z").unwrap();
        for text in [
            "2026-11-20T03:04:05.678Z",
            "2026-11-20T05:04:05.678901+02:00",
            "2026-11-20T05:04:05.678+0200",
            "2026-11-20 03:04:05.678",
            "2026-11-20 03:04:05.678Z",
            "2026-11-20T03:04:05.678",
            " 2026-11-20t03:04:05.678z ",
        ] {
            assert_eq!(parse_time(text), Some(expected), "{text}");
        }
        let minute = Timestamp::parse_rfc3339("2026-11-20T03:04:00Z").unwrap();
        for text in ["2026-11-20T03:04Z", "2026-11-20T03:04", "2026-11-20T04:04+01:00"] {
            assert_eq!(parse_time(text), Some(minute), "{text}");
        }
        let day = Timestamp::parse_rfc3339("2026-11-20T00:00:00Z").unwrap();
        assert_eq!(parse_time("2026-11-20"), Some(day));
        for text in [
            "",
            "yesterday",
            "2026-11-20Z",
            "2026-02-30",
            "2026-11",
            "2026-1-2",
            "20261120",
            "2026-13-20T00:00:00Z",
            "03:04:05",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_told_apart_by_size() {
        let expected = Timestamp::from_millis(1_700_000_000_123);
        for number in [1_700_000_000.123, 1_700_000_000_123.0, 1_700_000_000_123_456.0, 1_700_000_000_123_456_789.0] {
            assert_eq!(from_epoch(number), Some(expected), "{number}");
        }
        assert_eq!(from_epoch(0.0), Some(Timestamp::EPOCH));
        assert_eq!(from_epoch(-1.0), Some(Timestamp::from_millis(-1000)));
        for number in [f64::NAN, f64::INFINITY, 1e21] {
            assert_eq!(from_epoch(number), None, "{number}");
        }
    }
}
