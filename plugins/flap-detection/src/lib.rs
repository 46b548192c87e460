//! `flap-detection`: fires while something changes its state again and again.
//!
//! Nagios' way ("Detection and Handling of State Flapping", Nagios Core documentation): of the last 21 states it counts
//! the changes in percent, the newest weighing 1.25 and the oldest 0.75, and has a limit to begin and a lower one to end.

use serde::Deserialize;
use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, SeriesTable, Severity, State};

const STATES: u32 = 21;
const CHANGES: u32 = STATES - 1;
const OLDEST_WEIGHS: f64 = 0.75;
const NEWEST_WEIGHS: f64 = 1.25;

watchfire_sdk::record! {
    /// The last states of a series, the newest in the lowest bit.
    struct History {
        states: u32,
        seen: u32,
        flapping: u32,
    }
}

/// The configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A series is in one state above this value, and in the other up to it.
    pub above: f64,
    /// Percent of changes from which on it flaps.
    pub begin: f64,
    /// Percent of changes below which it does not any more.
    pub end: f64,
    /// What such an alert is.
    pub critical: bool,
    /// Seconds after which a series that is gone is forgotten.
    pub forget_after: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { above: 0.0, begin: 20.0, end: 5.0, critical: false, forget_after: 3_600 }
    }
}

/// The condition, opened for one rule.
#[derive(Debug)]
pub struct FlapDetection(Config);

impl Condition for FlapDetection {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Fires while something changes its state again and again.");

    fn open(config: Config) -> Result<FlapDetection, Error> {
        if !(config.begin > 0.0 && config.begin <= 100.0) {
            return Err(Error::config("/begin", format!("must be above 0 and at most 100, is {}", config.begin)));
        }
        if !(config.end >= 0.0 && config.end <= config.begin) {
            return Err(Error::config("/end", format!("must be 0 to `begin`, is {}", config.end)));
        }
        Ok(FlapDetection(config))
    }

    fn evaluate(&mut self, input: &Input, state: &mut State) -> Result<Outcome, Error> {
        let Config { above, begin, end, critical, forget_after } = self.0;
        let severity = if critical { Severity::Critical } else { Severity::Warning };
        let forget_ms = i64::from(forget_after) * 1_000;
        let mut table = SeriesTable::<History>::load(state, "flap/", input.eval_time_ms(), forget_ms);
        let mut outcome = Outcome::default();
        for ((series, id), x) in (0..).zip(input.series_ids()).zip(input.latest()) {
            let history = if x.is_nan() {
                None
            } else {
                table.update(id, |history| {
                    history.learn(x > above, begin, end);
                    *history
                })
            };
            match history {
                Some(history) if history.flapping != 0 => {
                    let (percent, changes) = (history.percent(), history.changes().count());
                    let summary = format!("changed {changes} times in {CHANGES} evaluations ({percent:.0} %)");
                    outcome.findings.push(Finding { series, severity, value: percent, summary });
                }
                Some(_) => {}
                // No number, or more series than the state can hold.
                None => outcome.unknown.push(series),
            }
        }
        table.save(state)?;
        Ok(outcome)
    }
}

impl History {
    fn learn(&mut self, up: bool, begin: f64, end: f64) {
        if self.seen == 0 {
            // Before the first state there was no other.
            self.states = if up { u32::MAX } else { 0 };
        }
        self.states = self.states << 1 | u32::from(up);
        self.seen = self.seen.saturating_add(1);
        let limit = if self.flapping == 0 { begin } else { end };
        self.flapping = u32::from(self.percent() >= limit && self.seen > 1);
    }

    /// How long ago each change was: 0 for the newest.
    fn changes(&self) -> impl Iterator<Item = u32> {
        let changed = self.states ^ self.states >> 1;
        (0..CHANGES).filter(move |age| changed >> age & 1 == 1)
    }

    fn percent(&self) -> f64 {
        let step = (NEWEST_WEIGHS - OLDEST_WEIGHS) / f64::from(CHANGES - 1);
        let weight: f64 = self.changes().map(|age| NEWEST_WEIGHS - step * f64::from(age)).sum();
        weight * 100.0 / f64::from(CHANGES)
    }
}

watchfire_sdk::export! { condition: "flap-detection" => FlapDetection }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{InputBuilder, open_condition};

    /// Whether it fires after each of these states.
    fn fires(states: &str) -> String {
        let mut condition: FlapDetection = open_condition("{}").unwrap();
        let mut state = State::in_memory();
        let evaluations = (0..).zip(states.chars()).map(|(i, up)| {
            let value = match up {
                '1' => 1.0,
                '0' => 0.0,
                _ => f64::NAN,
            };
            let input = InputBuilder::at(i * 15_000).series(&[("job", "api")], value).build();
            let outcome = condition.evaluate(&input, &mut state).unwrap();
            if !outcome.unknown.is_empty() { '?' } else { char::from(b'0' + outcome.findings.len() as u8) }
        });
        evaluations.collect()
    }

    #[test]
    fn all_changes_are_a_hundred_percent() {
        let mut history = History::default();
        for i in 0..STATES {
            history.learn(i % 2 == 0, 20.0, 5.0);
        }
        assert!((history.percent() - 100.0).abs() < 1e-9, "{}", history.percent());
    }

    #[test]
    fn four_changes_begin_it_and_it_ends_when_one_is_left() {
        assert_eq!(fires("1111100000"), "0000000000");
        assert_eq!(fires("101011"), "000011");
        // When but the last change is left, 19 evaluations old, it weighs 0.75 of 20: below 5 %.
        let quiet = fires(&format!("10101{}", "1".repeat(30)));
        assert_eq!(quiet.trim_end_matches('0').len(), 23, "{quiet}");
        assert_eq!(fires("1?0"), "0?0");
    }
}
