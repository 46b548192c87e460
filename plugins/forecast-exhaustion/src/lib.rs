//! `forecast-exhaustion`: fires before something is full or empty.
//!
//! It fits a line through the samples of each series by least squares, older samples weighing exponentially less (R. G.
//! Brown, "Smoothing, Forecasting and Prediction of Discrete Time Series", 1963: discounted least squares), and asks when
//! the line reaches the limit. Five sums per series are all it keeps; their origin is moved to each new sample, so that
//! the numbers stay small.

use serde::Deserialize;
use watchfire_sdk::words::span;
use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, SeriesTable, Severity, State};

watchfire_sdk::record! {
    /// Weighted sums over the samples of a series: 1, t, t², x, tx, with t in seconds before the newest.
    struct Line {
        at_ms: i64,
        samples: u32,
        n: f64,
        t: f64,
        tt: f64,
        x: f64,
        tx: f64,
    }
}

/// The configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is reached from below, such as 100 for percent of a disk.
    pub full: Option<f64>,
    /// What is reached from above, such as 0 for bytes left.
    pub empty: Option<f64>,
    /// Fires if it is reached within so many seconds; critical within a quarter of them.
    #[serde(default = "four_hours")]
    pub within: f64,
    /// After so many seconds a sample weighs half as much.
    #[serde(default = "one_hour")]
    pub half_life: f64,
    /// Samples of a series before it can fire.
    #[serde(default = "twenty")]
    pub warmup: u32,
}

fn four_hours() -> f64 {
    14_400.0
}

fn one_hour() -> f64 {
    3_600.0
}

fn twenty() -> u32 {
    20
}

/// The condition, opened for one rule.
#[derive(Debug)]
pub struct ForecastExhaustion {
    limit: f64,
    /// 1 if the limit is reached from below, -1 if from above.
    towards: f64,
    config: Config,
}

impl Condition for ForecastExhaustion {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Fires before something is full or empty.");

    fn open(config: Config) -> Result<ForecastExhaustion, Error> {
        let (limit, towards) = match (config.full, config.empty) {
            (Some(full), None) => (full, 1.0),
            (None, Some(empty)) => (empty, -1.0),
            _ => return Err(Error::config("", "say either `full` or `empty`: what is not to be reached")),
        };
        for (path, value) in [("/within", config.within), ("/half_life", config.half_life)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::config(path, format!("must be above 0, is {value}")));
            }
        }
        Ok(ForecastExhaustion { limit, towards, config })
    }

    fn evaluate(&mut self, input: &Input, state: &mut State) -> Result<Outcome, Error> {
        let at = input.eval_time_ms();
        let forget_ms = (8.0 * self.config.half_life * 1_000.0) as i64;
        let mut table = SeriesTable::<Line>::load(state, "forecast/", at, forget_ms);
        let mut outcome = Outcome::default();
        for ((series, id), x) in (0..).zip(input.series_ids()).zip(input.latest()) {
            let line = if x.is_finite() {
                table.update(id, |line| {
                    line.learn(at, x, self.config.half_life);
                    *line
                })
            } else {
                None
            };
            match line {
                Some(line) if line.samples >= self.config.warmup => {
                    outcome.findings.extend(self.judge(series, x, &line))
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

impl ForecastExhaustion {
    fn judge(&self, series: u32, x: f64, line: &Line) -> Option<Finding> {
        let (now, per_second) = line.fit()?;
        let left = self.towards * (self.limit - now);
        let seconds = if left <= 0.0 { 0.0 } else { left / (self.towards * per_second) };
        // A line that leads away never reaches it: negative, or no number where it is level.
        if !(0.0..=self.config.within).contains(&seconds) {
            return None;
        }
        let severity = if seconds <= self.config.within / 4.0 { Severity::Critical } else { Severity::Warning };
        let summary = format!(
            "{x} reaches {} in {} at {:+.4} per hour",
            self.limit,
            span((seconds * 1_000.0) as i64),
            per_second * 3_600.0
        );
        Some(Finding { series, severity, value: seconds, summary })
    }
}

impl Line {
    fn learn(&mut self, at_ms: i64, x: f64, half_life: f64) {
        let dt = if self.samples == 0 { 0.0 } else { (at_ms - self.at_ms) as f64 / 1_000.0 };
        let fade = (-dt / half_life).exp2();
        // Each t becomes t - dt.
        let (n, t, tt, sum, tx) = (self.n, self.t, self.tt, self.x, self.tx);
        self.n = fade * n + 1.0;
        self.t = fade * (t - dt * n);
        self.tt = fade * (tt - 2.0 * dt * t + dt * dt * n);
        self.x = fade * sum + x;
        self.tx = fade * (tx - dt * sum);
        self.at_ms = at_ms;
        self.samples = self.samples.saturating_add(1);
    }

    /// Where the line is now, and how much it rises per second; `None` while all samples are of one time.
    fn fit(&self) -> Option<(f64, f64)> {
        let spread = self.n * self.tt - self.t * self.t;
        let slope = (self.n * self.tx - self.t * self.x) / spread;
        (spread > 0.0).then(|| ((self.x - slope * self.t) / self.n, slope))
    }
}

watchfire_sdk::export! { condition: "forecast-exhaustion" => ForecastExhaustion }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{InputBuilder, open_condition};

    /// The finding after samples each minute.
    fn after(config: &str, values: impl Iterator<Item = f64>) -> Option<Finding> {
        let mut condition: ForecastExhaustion = open_condition(config).unwrap();
        let mut state = State::in_memory();
        let mut last = None;
        for (i, value) in (0..).zip(values) {
            let input = InputBuilder::at(1_700_000_000_000 + i * 60_000).series(&[("disk", "a")], value).build();
            last = condition.evaluate(&input, &mut state).unwrap().findings.pop();
        }
        last
    }

    #[test]
    fn a_line_is_followed_exactly() {
        // One percent per minute from 0: at 59 there are 41 minutes left.
        let found = after(r#"{"full": 100}"#, (0..60).map(f64::from)).unwrap();
        assert!((found.value - 41.0 * 60.0).abs() < 1e-3, "{found:?}");
        assert_eq!(
            (found.severity, found.summary.as_str()),
            (Severity::Critical, "59 reaches 100 in 41m 0s at +60.0000 per hour")
        );
        let falling = after(r#"{"empty": 0, "within": 3600}"#, (0..60).map(|i| f64::from(100 - i))).unwrap();
        assert_eq!((falling.severity, (falling.value / 60.0).round()), (Severity::Warning, 41.0));
    }

    #[test]
    fn noise_a_level_and_the_other_way_do_not_fire() {
        let noise = |i: i32| [0.0, 3.0, -3.0, 1.0][(i % 4) as usize];
        assert_eq!(after(r#"{"full": 100}"#, (0..200).map(|i| 60.0 + noise(i))), None);
        assert_eq!(after(r#"{"full": 100}"#, (0..200).map(|_| 60.0)), None);
        assert_eq!(after(r#"{"full": 100}"#, (0..60).map(|i| f64::from(99 - i))), None);
        assert_eq!(after(r#"{"full": 100}"#, (0..10).map(f64::from)), None);
        // What is beyond the limit is reached.
        assert_eq!(after(r#"{"full": 50}"#, (0..60).map(|_| 60.0)).map(|found| found.value), Some(0.0));
    }

    #[test]
    fn a_limit_is_needed() {
        for config in ["{}", r#"{"full": 1, "empty": 0}"#] {
            let error = open_condition::<ForecastExhaustion>(config).unwrap_err().to_string();
            assert!(error.ends_with("say either `full` or `empty`: what is not to be reached"), "{error}");
        }
    }
}
