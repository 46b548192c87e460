//! Parts of dates and times of samples.

use chrono::{DateTime, Datelike, Timelike, Utc};
use watchfire_tsdb::SampleValue;

use super::super::Evaluator;
use super::super::element::Element;
use crate::QueryError;
use crate::plan::{Kind, Node};
use crate::syntax::FunctionName;

/// The function that takes a part of a date, if it is one of these.
pub(super) fn part(function: FunctionName) -> Option<fn(DateTime<Utc>) -> u32> {
    Some(match function {
        FunctionName::DaysInMonth => |t| {
            let (year, month) = if t.month() == 12 { (t.year() + 1, 1) } else { (t.year(), t.month() + 1) };
            let next = chrono::NaiveDate::from_ymd_opt(year, month, 1);
            next.and_then(|d| d.pred_opt()).map_or(0, |d| d.day())
        },
        FunctionName::DayOfMonth => |t| t.day(),
        FunctionName::DayOfWeek => |t| t.weekday().num_days_from_sunday(),
        FunctionName::DayOfYear => |t| t.ordinal(),
        FunctionName::Hour => |t| t.hour(),
        FunctionName::Minute => |t| t.minute(),
        FunctionName::Month => |t| t.month(),
        FunctionName::Year => |t| u32::try_from(t.year()).unwrap_or(0),
        _ => return None,
    })
}

fn date(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

impl<'s, 'a> Evaluator<'s, 'a> {
    pub(super) fn time_part(
        &mut self,
        args: &'s [Node],
        at: i64,
        part: fn(DateTime<Utc>) -> u32,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        match args.first() {
            None => Ok(vec![Element::bare(f64::from(part(date(at / 1000))))]),
            Some(arg) => self.map_floats(arg, at, |v| Some(f64::from(part(date(v as i64))))),
        }
    }

    pub(super) fn timestamps(
        &mut self,
        function: FunctionName,
        args: &'s [Node],
        at: i64,
    ) -> Result<Vec<Element<'a>>, QueryError> {
        let arg = &args[0];
        let dropped = self.dropped();
        let wants_start = function == FunctionName::StartTimestamp;
        let mut out = Vec::new();
        if let Kind::Instant(reading) = &arg.kind {
            for (mut element, time, start) in self.instant_times(reading, at)? {
                if wants_start && !self.options.start_timestamps {
                    continue;
                }
                let millis = if wants_start { start } else { time };
                element.value = SampleValue::Float(millis as f64 / 1000.0);
                element.drop_name(dropped);
                out.push(element);
            }
        } else if !wants_start {
            // What was computed has the time of its computation.
            out = self.vector(arg, at)?;
            for element in &mut out {
                element.value = SampleValue::Float(at as f64 / 1000.0);
                element.drop_name(dropped);
            }
        } else {
            self.vector(arg, at)?;
        }
        self.refuse_equal_if_renamed(arg, &out)?;
        Ok(out)
    }
}
