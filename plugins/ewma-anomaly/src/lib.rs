//! `ewma-anomaly`: fires when a series leaves its own recent course.
//!
//! Per series it keeps an exponentially weighted mean and variance and scores each new value by its distance from the
//! mean in standard deviations, before the value itself moves the mean. See `README.md` for the configuration.

use serde::Deserialize;
use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, SeriesTable, Severity, State};

watchfire_sdk::record! {
    /// What is remembered about a series.
    struct Stats {
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
    /// Weight of the newest value in mean and variance, above 0 and up to 1; 0.1 if neither this nor `half_life` is
    /// given.
    pub alpha: Option<f64>,
    /// Instead of `alpha`: after so many samples the weight of a value has halved.
    pub half_life: Option<f64>,
    /// Samples of a series before it can fire.
    pub warmup: u32,
    /// Seconds after which a series that is gone is forgotten.
    pub forget_after: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { sigma: 4.0, alpha: None, half_life: None, warmup: 30, forget_after: 24 * 3_600 }
    }
}

/// The condition, opened for one rule.
#[derive(Debug)]
pub struct EwmaAnomaly {
    sigma: f64,
    /// See [`Stats::is_near`].
    near: f64,
    alpha: f64,
    warmup: u32,
    forget_ms: i64,
}

impl Condition for EwmaAnomaly {
    type Config = Config;
    const DESCRIPTOR: Descriptor =
        Descriptor::new("Fires when a series leaves its own exponentially weighted mean by many standard deviations.")
            .with_schema(include_str!("../config.schema.json"));

    fn open(config: Config) -> Result<EwmaAnomaly, Error> {
        // Written so that NaN is refused as well.
        if !(config.sigma > 0.0 && config.sigma.is_finite()) {
            return Err(Error::config("/sigma", format!("must be above 0, is {}", config.sigma)));
        }
        let alpha = match (config.alpha, config.half_life) {
            (Some(_), Some(_)) => {
                return Err(Error::config("/half_life", "is another way to say `alpha`; keep one of them"));
            }
            (None, Some(half_life)) if half_life > 0.0 => 1.0 - (-1.0 / half_life).exp2(),
            (None, Some(half_life)) => {
                return Err(Error::config("/half_life", format!("must be above 0, is {half_life}")));
            }
            (alpha, None) => alpha.unwrap_or(0.1),
        };
        if !(alpha > 0.0 && alpha <= 1.0) {
            return Err(Error::config("/alpha", format!("must be above 0 and at most 1, is {alpha}")));
        }
        let forget_ms = i64::from(config.forget_after) * 1_000;
        let near = config.sigma * config.sigma * (1.0 - 1e-9);
        // A square that has no room in its digits says nothing, and nothing is near then.
        let near = if near.is_normal() { near } else { 0.0 };
        Ok(EwmaAnomaly { sigma: config.sigma, near, alpha, warmup: config.warmup, forget_ms })
    }

    fn evaluate(&mut self, input: &Input, state: &mut State) -> Result<Outcome, Error> {
        let EwmaAnomaly { sigma, near, alpha, warmup, forget_ms } = *self;
        let weights = (alpha, 1.0 - alpha);
        let mut table = SeriesTable::<Stats>::load(state, "ewma/", input.eval_time_ms(), forget_ms);
        let (mut findings, mut unknown) = (Vec::new(), Vec::new());
        let change = move |series, x: f64, stats: Option<&mut Stats>| {
            // Without a record there are more series than the state can hold.
            let Some(stats) = stats.filter(|_| x.is_finite()) else { return Some((series, x, None)) };
            let before = *stats;
            stats.learn(x, weights);
            let calm = before.samples < warmup || before.is_near(x, near);
            (!calm).then_some((series, x, Some(before)))
        };
        table.update_each(&input.series_ids(), &input.latest(), change, |(series, x, before)| {
            let Some(before) = before else { return unknown.push(series) };
            let score = before.score(x);
            if score > sigma {
                let severity = if score > 2.0 * sigma { Severity::Critical } else { Severity::Warning };
                findings.push(Finding { series, severity, value: score, summary: before.describe(x, score) });
            }
        });
        table.save(state)?;
        Ok(Outcome { findings, unknown })
    }
}

impl Stats {
    #[inline]
    fn score(&self, x: f64) -> f64 {
        (x - self.mean).abs() / self.variance.sqrt()
    }

    /// Whether the score of `x` is certainly not above sigma, without the root and the division that take longer than
    /// all the rest: `(x - mean)² < sigma² * variance`. `near` is a billionth less than the square of sigma and the
    /// smallest number makes up for what is lost below it, so that rounding on either side cannot decide.
    #[inline]
    fn is_near(&self, x: f64, near: f64) -> bool {
        let delta = x - self.mean;
        delta * delta + f64::MIN_POSITIVE < near * self.variance
    }

    /// With the weights of the new value and of what was before.
    #[inline]
    fn learn(&mut self, x: f64, (alpha, rest): (f64, f64)) {
        let delta = x - self.mean;
        if self.samples == 0 {
            self.mean = x;
        } else {
            self.mean += alpha * delta;
            self.variance = rest * (self.variance + alpha * delta * delta);
        }
        self.samples = self.samples.saturating_add(1);
    }

    #[cold]
    fn describe(&self, x: f64, score: f64) -> String {
        let deviation = self.variance.sqrt();
        format!("{x} is {score:.1} standard deviations from its mean {:.4} (one is {deviation:.4})", self.mean)
    }
}

watchfire_sdk::export! { condition: "ewma-anomaly" => EwmaAnomaly }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{InputBuilder, open_condition};

    /// Evaluates one value per call, 15 s apart.
    fn run(condition: &mut EwmaAnomaly, state: &mut State, values: &[f64]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (i, value) in (0..).zip(values) {
            let input = InputBuilder::at(i * 15_000).series(&[("job", "api")], *value).build();
            outcomes.push(condition.evaluate(&input, state).unwrap());
        }
        outcomes
    }

    /// A wave around 10 that never goes far.
    fn calm(samples: usize) -> Vec<f64> {
        (0..samples).map(|i| 10.0 + [0.0, 0.5, 1.0, 0.5, 0.0, -0.5, -1.0, -0.5][i % 8]).collect()
    }

    #[test]
    fn a_jump_fires_and_calm_does_not() {
        let mut condition: EwmaAnomaly = open_condition("{}").unwrap();
        let mut state = State::in_memory();
        assert!(run(&mut condition, &mut state, &calm(60)).iter().all(|outcome| *outcome == Outcome::default()));
        for (value, expected) in [
            (13.2, Some((Severity::Warning, "13.2 is 5.0 standard deviations from its mean 10.1092 (one is 0.6170)"))),
            (30.0, Some((Severity::Critical, "30 is 17.9 standard deviations from its mean 10.4183 (one is 1.0965)"))),
            (12.0, None),
        ] {
            let outcome = run(&mut condition, &mut state, &[value]).remove(0);
            let found = outcome.findings.first().map(|finding| (finding.severity, finding.summary.as_str()));
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn nothing_fires_before_the_warmup_is_over() {
        for (samples, fires) in [(29, false), (30, true)] {
            let mut condition: EwmaAnomaly = open_condition("{}").unwrap();
            let mut state = State::in_memory();
            run(&mut condition, &mut state, &calm(samples));
            let outcome = run(&mut condition, &mut state, &[1_000.0]).remove(0);
            assert_eq!(outcome.findings.len(), usize::from(fires), "{samples}");
        }
    }

    #[test]
    fn a_value_that_is_no_number_is_unknown_and_teaches_nothing() {
        let mut condition: EwmaAnomaly = open_condition("{}").unwrap();
        let (mut state, mut spoiled) = (State::in_memory(), State::in_memory());
        run(&mut condition, &mut state, &calm(40));
        run(&mut condition, &mut spoiled, &calm(40));
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(run(&mut condition, &mut spoiled, &[value])[0].unknown, [0]);
        }
        assert_eq!(run(&mut condition, &mut state, &[20.0]), run(&mut condition, &mut spoiled, &[20.0]));
    }

    #[test]
    fn what_it_learned_survives_in_the_state() {
        let mut state = State::in_memory();
        let mut before: EwmaAnomaly = open_condition("{}").unwrap();
        run(&mut before, &mut state, &calm(40));
        let mut after: EwmaAnomaly = open_condition("{}").unwrap();
        assert_eq!(run(&mut after, &mut state, &[20.0])[0].findings.len(), 1);
    }

    #[test]
    fn series_learn_apart() {
        let mut condition: EwmaAnomaly = open_condition(r#"{"warmup": 5}"#).unwrap();
        let mut state = State::in_memory();
        let mut last = Outcome::default();
        for (i, value) in (0..).zip(calm(20).into_iter().chain([50.0])) {
            let input = InputBuilder::at(i * 15_000)
                .series(&[("host", "a")], 1_000.0 + value / 10.0)
                .series(&[("host", "b")], value)
                .build();
            last = condition.evaluate(&input, &mut state).unwrap();
        }
        assert_eq!(last.findings.iter().map(|finding| finding.series).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_configuration_that_makes_no_sense_is_refused() {
        for (config, expected) in [
            (r#"{"sigma": 0}"#, r#"invalid configuration at "/sigma": must be above 0, is 0"#),
            (r#"{"alpha": 1.5}"#, r#"invalid configuration at "/alpha": must be above 0 and at most 1, is 1.5"#),
            (
                r#"{"alpha": 0.5, "half_life": 3}"#,
                r#"invalid configuration at "/half_life": is another way to say `alpha`; keep one of them"#,
            ),
            (r#"{"half_life": 0}"#, r#"invalid configuration at "/half_life": must be above 0, is 0"#),
            (r#"{"warmup": -1}"#, r#"invalid configuration at "/warmup": invalid value: integer `-1`, expected u32"#),
            (
                r#"{"sigmas": 3}"#,
                r#"invalid configuration at "/sigmas": unknown field `sigmas`, expected one of `sigma`, `alpha`, `half_life`, `warmup`, `forget_after`"#,
            ),
        ] {
            assert_eq!(open_condition::<EwmaAnomaly>(config).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_schema_is_json_and_has_every_field() {
        for field in ["sigma", "alpha", "half_life", "warmup", "forget_after"] {
            assert!(EwmaAnomaly::DESCRIPTOR.config_schema.contains(&format!("\"{field}\"")), "{field}");
        }
    }
}
