//! `seasonal-baseline`: fires when a value is unusual for this hour of the week.
//!
//! For each of the 168 hours of a week and each series it keeps mean and variance: exact ones at first (B. P. Welford,
//! "Note on a method for calculating corrected sums of squares and products", Technometrics 4, 1962), then weighted
//! exponentially, so that a habit may change (T. Finch, "Incremental calculation of weighted mean and variance", 2009).

use serde::Deserialize;
use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, SeriesTable, Severity, State};

const HOUR_MS: i64 = 3_600_000;
const HOURS_PER_WEEK: i64 = 168;
/// 1970 began on a Thursday; a week here begins on Monday.
const FIRST_HOUR: i64 = 3 * 24;

watchfire_sdk::record! {
    /// What is usual for a series in one hour of the week.
    struct Usual {
        mean: f64,
        variance: f64,
        samples: u32,
    }
}

/// The configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Fires above so many standard deviations; critical above twice as many.
    pub sigma: f64,
    /// Differences below this part of the mean never fire: 0.1 is a tenth.
    pub tolerance: f64,
    /// Samples in an hour of the week before it can fire; 240 are one week at one each 15 s.
    pub warmup: u32,
    /// Samples in an hour of the week over which it forgets; 960 are four weeks at one each 15 s.
    pub memory: u32,
    /// Minutes that the clock of the users is ahead of UTC.
    pub zone_offset_minutes: i32,
}

impl Default for Config {
    fn default() -> Config {
        Config { sigma: 4.0, tolerance: 0.1, warmup: 480, memory: 960, zone_offset_minutes: 0 }
    }
}

/// The condition, opened for one rule.
#[derive(Debug)]
pub struct SeasonalBaseline(Config);

impl Condition for SeasonalBaseline {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Fires when a value is unusual for this hour of the week.");

    fn open(config: Config) -> Result<SeasonalBaseline, Error> {
        if !(config.sigma > 0.0 && config.sigma.is_finite()) {
            return Err(Error::config("/sigma", format!("must be above 0, is {}", config.sigma)));
        }
        if !(config.tolerance >= 0.0 && config.tolerance.is_finite()) {
            return Err(Error::config("/tolerance", format!("must be 0 or more, is {}", config.tolerance)));
        }
        if config.warmup < 2 || config.memory < config.warmup {
            let message = format!("must be at least `warmup`, which is {} and must be 2 or more", config.warmup);
            return Err(Error::config("/memory", message));
        }
        Ok(SeasonalBaseline(config))
    }

    fn evaluate(&mut self, input: &Input, state: &mut State) -> Result<Outcome, Error> {
        let Config { sigma, tolerance, warmup, memory, zone_offset_minutes } = self.0;
        let at = input.eval_time_ms();
        let local = at + i64::from(zone_offset_minutes) * 60_000;
        let hour = (local.div_euclid(HOUR_MS) + FIRST_HOUR).rem_euclid(HOURS_PER_WEEK);
        // Only this hour is read and written. A series may be away for some weeks.
        let forget_ms = 5 * HOURS_PER_WEEK * HOUR_MS;
        let mut table = SeriesTable::<Usual>::load(state, &format!("seasonal/{hour}/"), at, forget_ms);
        let mut outcome = Outcome::default();
        for ((series, id), x) in (0..).zip(input.series_ids()).zip(input.latest()) {
            if !x.is_finite() {
                outcome.unknown.push(series);
                continue;
            }
            let before = table.update(id, |usual| {
                let before = *usual;
                usual.learn(x, memory);
                before
            });
            // More series than the state can hold.
            let Some(usual) = before else {
                outcome.unknown.push(series);
                continue;
            };
            let distance = (x - usual.mean).abs();
            let score = distance / usual.variance.sqrt();
            if usual.samples >= warmup && score > sigma && distance > tolerance * usual.mean.abs() {
                let severity = if score > 2.0 * sigma { Severity::Critical } else { Severity::Warning };
                let (mean, deviation) = (usual.mean, usual.variance.sqrt());
                let summary = format!(
                    "{x} is {score:.1} standard deviations from what is usual at this hour of the week, {mean:.4} \
                     (one is {deviation:.4})"
                );
                outcome.findings.push(Finding { series, severity, value: score, summary });
            }
        }
        table.save(state)?;
        Ok(outcome)
    }
}

impl Usual {
    fn learn(&mut self, x: f64, memory: u32) {
        self.samples = self.samples.saturating_add(1).min(memory);
        let weight = 1.0 / f64::from(self.samples);
        let delta = x - self.mean;
        self.mean += weight * delta;
        self.variance = (1.0 - weight) * (self.variance + weight * delta * delta);
    }
}

watchfire_sdk::export! { condition: "seasonal-baseline" => SeasonalBaseline }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{InputBuilder, open_condition};

    const CONFIG: &str = r#"{"warmup": 10, "memory": 40}"#;

    #[test]
    fn mean_and_variance_are_exact_until_the_memory_is_full() {
        let mut usual = Usual::default();
        for x in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            usual.learn(x, 100);
        }
        assert!((usual.mean - 5.0).abs() < 1e-12 && (usual.variance - 4.0).abs() < 1e-12, "{usual:?}");
    }

    /// Busy by day, quiet by night, with a little noise.
    fn load(hour: i64, i: i64) -> f64 {
        let noise = [0.0, 0.5, -0.5, 1.0, -1.0][(i % 5) as usize];
        if (8..20).contains(&(hour % 24)) { 100.0 + noise } else { 10.0 + noise }
    }

    #[test]
    fn what_is_usual_by_day_is_unusual_by_night() {
        let mut condition: SeasonalBaseline = open_condition(CONFIG).unwrap();
        let mut state = State::in_memory();
        let mut evaluate = |at: i64, x: f64| {
            let input = InputBuilder::at(at).series(&[("job", "api")], x).build();
            condition.evaluate(&input, &mut state).unwrap().findings
        };
        for hour in 0..2 * HOURS_PER_WEEK {
            for i in 0..12 {
                assert_eq!(evaluate(hour * HOUR_MS + i * 300_000, load(hour, i)), [], "{hour}");
            }
        }
        let third_week = 2 * HOURS_PER_WEEK;
        let night = evaluate((third_week + 3) * HOUR_MS, 100.0);
        assert_eq!(night[0].severity, Severity::Critical);
        assert!(night[0].summary.starts_with("100 is 136.3 standard deviations"), "{}", night[0].summary);
        assert_eq!(evaluate((third_week + 9) * HOUR_MS, 100.0), []);
        // Far by deviations, but less than a tenth of the mean.
        assert_eq!(evaluate((third_week + 10) * HOUR_MS, 107.0), []);
        assert_eq!(evaluate((third_week + 11) * HOUR_MS, 150.0).len(), 1);
    }

    #[test]
    fn the_clock_is_that_of_the_users() {
        // Monday 1970-01-05, 00:30 UTC, is still Sunday in New York.
        let at = 4 * 24 * HOUR_MS + HOUR_MS / 2;
        for (offset, key) in [(0, "seasonal/0/0"), (-300, "seasonal/163/0")] {
            let config = format!(r#"{{"zone_offset_minutes": {offset}}}"#);
            let mut condition: SeasonalBaseline = open_condition(&config).unwrap();
            let mut state = State::in_memory();
            let input = InputBuilder::at(at).series(&[("job", "api")], 1.0).build();
            condition.evaluate(&input, &mut state).unwrap();
            assert!(state.get(key).is_some(), "{offset}");
        }
    }
}
