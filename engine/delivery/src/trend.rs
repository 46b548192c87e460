//! How the number behind an alert came to be what it is: the last half hour, beside the threshold.
//!
//! It is drawn with table cells and with block characters, because mail readers show those everywhere: no picture that
//! is blocked, attached or lost when the mail is forwarded.

use serde_json::{Value, json};
use watchfire_events::Threshold;
use watchfire_model::{Alert, AlertStatus, Duration, Timestamp};

use crate::view::{clock, number};

/// How the numbers behind alerts are known. The engine knows them from its series.
pub trait Trends: Send + Sync {
    /// For each alert its trend up to a time, where there is one. May look at many samples: not to be called where
    /// others wait.
    fn trends(&self, alerts: &[&Alert], until: Timestamp) -> Vec<Option<Trend>>;
}

/// The number behind an alert over [`Trend::SPAN`].
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// The newest of the columns.
    pub until: Timestamp,
    /// [`Trend::COLUMNS`] numbers, the oldest first, [`Trend::STEP`] apart; nothing where there was none.
    pub values: Vec<Option<f64>>,
    /// When it is trouble, if the rule says so by a constant.
    pub threshold: Option<Threshold>,
}

/// The height of a drawing in pixels.
const HEIGHT: f64 = 64.0;
/// The least height of a column, so that a zero is seen too.
const HEIGHT_MIN: f64 = 2.0;
/// What was no trouble, readable on light and dark.
const CALM: &str = "#9aa5b4";
/// Block characters of growing height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Trend {
    /// How many numbers are drawn.
    pub const COLUMNS: i64 = 40;
    /// The time between two of them.
    pub const STEP: Duration = Duration::from_secs(45);
    /// From the oldest to the newest.
    pub const SPAN: Duration = Duration::from_secs(45 * (Trend::COLUMNS - 1));

    /// What templates draw it from; nothing if there is no number to draw.
    ///
    /// `columns` (each with `above` and `below`, pixels above and below the threshold, and `color`) and their `count`,
    /// `upper` and `lower` (pixels of the two parts, `lower` without a threshold being all), `threshold` (such as
    /// `> 0.05`), `from` and `until`, `low`, `high`, and `blocks`, the same as a line of text.
    pub(crate) fn drawn(&self, color: &str, status: AlertStatus) -> Option<Value> {
        let finite = |value: &Option<f64>| value.filter(|value| value.is_finite());
        let known: Vec<f64> = self.values.iter().filter_map(finite).collect();
        let low = known.iter().copied().reduce(f64::min)?;
        let high = known.iter().copied().reduce(f64::max)?;
        let line = self.threshold.map(|threshold| threshold.value).filter(|value| value.is_finite());
        let (floor, ceiling) = scale(line.map_or(low, |line| low.min(line)), line.map_or(high, |line| high.max(line)));
        let height = |value: f64| ((value - floor) / (ceiling - floor) * HEIGHT).round();
        let lower = line.map_or(HEIGHT, height).clamp(0.0, HEIGHT);
        let trouble = |value: f64| match self.threshold {
            Some(threshold) => threshold.holds(value),
            // A rule without a threshold gives values only while there is trouble.
            None => status == AlertStatus::Firing,
        };
        let columns = self.values.iter().map(|value| match finite(value) {
            None => json!({"above": 0, "below": 0}),
            Some(value) => {
                let height = height(value).max(HEIGHT_MIN);
                let color = if trouble(value) { color } else { CALM };
                json!({"above": (height - lower).max(0.0) as i64, "below": height.min(lower) as i64, "color": color})
            }
        });
        let block = |value: &Option<f64>| match finite(value) {
            None => ' ',
            Some(value) => BLOCKS[((value - floor) / (ceiling - floor) * 7.0).round().clamp(0.0, 7.0) as usize],
        };
        Some(json!({
            "columns": columns.collect::<Vec<_>>(),
            "count": self.values.len(),
            "upper": (HEIGHT - lower) as i64,
            "lower": lower as i64,
            "threshold": self.threshold.map(|threshold| format!("{} {}", threshold.op, number(threshold.value))),
            "from": clock(self.until - Trend::SPAN, self.until),
            "until": clock(self.until, self.until),
            "low": number(low),
            "high": number(high),
            "blocks": self.values.iter().map(block).collect::<String>(),
        }))
    }
}

/// What the bottom and the top of a drawing stand for: zero is the bottom unless everything is far from it.
fn scale(low: f64, high: f64) -> (f64, f64) {
    let floor = if low >= 0.0 && low <= high * 0.5 { 0.0 } else { low - (high - low) * 0.1 };
    if high > floor { (floor, high) } else { (floor - 1.0, floor) }
}

#[cfg(test)]
mod tests {
    use watchfire_events::CompareOp;

    use super::*;

    #[test]
    fn columns_end_at_the_threshold_or_go_beyond_it() {
        let over = |value: f64| Some(Threshold { op: CompareOp::Greater, value });
        let under = |value: f64| Some(Threshold { op: CompareOp::Less, value });
        let is = |value: f64| Some(Threshold { op: CompareOp::Equal, value });
        let n = f64::NAN;
        // Per column: pixels below and above the line, and whether it is trouble.
        for (values, threshold, expected, blocks) in [
            (&[0.0, 25.0, 50.0, 100.0][..], over(50.0), "2+0 16+0 32+0 32+32!", "▁▃▅█"),
            (&[100.0, 25.0], under(50.0), "32+32 16+0!", "█▃"),
            (&[1.0, n, 0.0], is(0.0), "0+64 0+0 0+2!", "█ ▁"),
            (&[99.9, 99.8], under(99.85), "35+29 6+0!", "█▂"),
            (&[-10.0, -5.0], over(-7.5), "6+0 35+29!", "▂█"),
            (&[3.0, 3.0], None, "64+0! 64+0!", "██"),
            (&[7.0], over(7.0), "64+0", "█"),
        ] {
            let values = values.iter().map(|value| Some(*value)).collect();
            let trend = Trend { until: Timestamp::EPOCH, values, threshold };
            let drawn = trend.drawn("#f00", AlertStatus::Firing).unwrap();
            let column =
                |c: &Value| format!("{}+{}{}", c["below"], c["above"], if c["color"] == "#f00" { "!" } else { "" });
            let columns: Vec<String> = drawn["columns"].as_array().unwrap().iter().map(column).collect();
            assert_eq!((columns.join(" ").as_str(), drawn["blocks"].as_str().unwrap()), (expected, blocks));
        }
        let nothing = Trend { until: Timestamp::EPOCH, values: vec![None, Some(n)], threshold: None };
        assert_eq!(nothing.drawn("#f00", AlertStatus::Firing), None);
    }
}
