//! `ewma-anomaly`: a series that leaves its own recent course.

use serde_json::{Map, Value as Json};
use watchfire_model::{Fingerprint, Severity};
use watchfire_plugin::{Batch, Condition, Finding, Outcome, Owner, PluginError, State};

use super::EWMA_ANOMALY;
use super::series_table::SeriesTable;

/// The JSON Schema of the configuration.
pub(super) const CONFIG_SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "sigma": {"type": "number", "exclusiveMinimum": 0, "default": 4, "description": "Fires above so many standard deviations; critical above twice as many."},
    "alpha": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.1, "description": "Weight of the newest value in mean and variance."},
    "half_life": {"type": "number", "exclusiveMinimum": 0, "description": "Instead of alpha: after so many samples the weight of a value has halved."},
    "warmup": {"type": "integer", "minimum": 0, "default": 30, "description": "Samples of a series before it can fire."},
    "forget_after": {"type": "integer", "minimum": 0, "default": 86400, "description": "Seconds after which a series that is gone is forgotten."}
  },
  "not": {"required": ["alpha", "half_life"]}
}"#;

/// The version of the layout of its state.
pub(super) const STATE_VERSION: u32 = 1;
/// Where the state lies.
const PREFIX: &str = "ewma/";
/// Mean and variance as `f64`, the number of samples as `u32`, little-endian.
const STATS_BYTES: usize = 20;

/// The condition, opened for one rule. Native twin of the shipped plugin of the same name: same configuration, same
/// answers to the bit, same state.
///
/// Per series it keeps a mean `m`, a variance `v` and a count `n`, all 0 at first. For the newest value `x` of the series
/// in the batch:
/// 1. If `x` is NaN or infinite, the series is unknown and nothing is learned; it was in the batch nevertheless.
/// 2. If `n >= warmup`, the score is `s = |x - m| / sqrt(v)`, with `m` and `v` as they were before `x`. The series is
///    in trouble if `s > sigma`; critical if `s > 2 * sigma`, else a warning; the finding's value is `s`. A constant
///    series has `v = 0`: any other value then scores infinity, the same value scores NaN, which is no trouble.
/// 3. The value is learned whether it was in trouble or not: if `n = 0` then `m = x`; else with `d = x - m` first
///    `m += alpha * d`, then `v = (1 - alpha) * (v + alpha * d * d)`. At last `n += 1`.
///
/// With `half_life: h` instead of `alpha`, `alpha = 1 - 2^(-1/h)`. A series that was not in the batch for `forget_after`
/// seconds is forgotten when the state is written; one for which there is no room is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EwmaAnomaly {
    sigma: f64,
    /// See [`Stats::is_near`].
    near: f64,
    alpha: f64,
    warmup: u32,
    forget_after: u32,
}

impl EwmaAnomaly {
    /// Opens it with a configuration in JSON.
    ///
    /// # Errors
    /// [`PluginError::InvalidConfig`] that points at the member that is wrong.
    pub fn open(config: &str) -> Result<EwmaAnomaly, PluginError> {
        let members = match serde_json::from_str::<Json>(config) {
            Ok(Json::Object(members)) => members,
            Ok(_) => return Err(invalid("", "must be an object")),
            Err(error) => return Err(invalid("", &format!("is not JSON: {error}"))),
        };
        const KNOWN: [&str; 5] = ["sigma", "alpha", "half_life", "warmup", "forget_after"];
        if let Some(unknown) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            let message = format!("unknown field `{unknown}`, expected one of `{}`", KNOWN.join("`, `"));
            return Err(invalid(&format!("/{unknown}"), &message));
        }
        let sigma = number(&members, "sigma")?.unwrap_or(4.0);
        if !(sigma > 0.0 && sigma.is_finite()) {
            return Err(invalid("/sigma", &format!("must be above 0, is {sigma}")));
        }
        let alpha = match (number(&members, "alpha")?, number(&members, "half_life")?) {
            (Some(_), Some(_)) => return Err(invalid("/half_life", "is another way to say `alpha`; keep one of them")),
            (None, Some(half_life)) if half_life > 0.0 => 1.0 - (-1.0 / half_life).exp2(),
            (None, Some(half_life)) => return Err(invalid("/half_life", &format!("must be above 0, is {half_life}"))),
            (alpha, None) => alpha.unwrap_or(0.1),
        };
        if !(alpha > 0.0 && alpha <= 1.0) {
            return Err(invalid("/alpha", &format!("must be above 0 and at most 1, is {alpha}")));
        }
        let warmup = integer(&members, "warmup")?.unwrap_or(30);
        let forget_after = integer(&members, "forget_after")?.unwrap_or(24 * 3_600);
        let near = sigma * sigma * (1.0 - 1e-9);
        // A square that has no room in its digits says nothing, and nothing is near then.
        let near = if near.is_normal() { near } else { 0.0 };
        Ok(EwmaAnomaly { sigma, near, alpha, warmup, forget_after })
    }
}

fn invalid(path: &str, message: &str) -> PluginError {
    PluginError::InvalidConfig { path: path.to_owned(), message: message.to_owned() }
}

fn number(members: &Map<String, Json>, name: &str) -> Result<Option<f64>, PluginError> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(&format!("/{name}"), &format!("must be a number, is {value}"))),
        },
    }
}

fn integer(members: &Map<String, Json>, name: &str) -> Result<Option<u32>, PluginError> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(integer) => Ok(Some(integer)),
            None => Err(invalid(&format!("/{name}"), &format!("must be a whole number from 0, is {value}"))),
        },
    }
}

/// What is remembered about a series.
#[derive(Clone, Copy, Debug, Default)]
struct Stats {
    mean: f64,
    variance: f64,
    samples: u32,
}

impl Stats {
    fn read(bytes: &[u8; STATS_BYTES]) -> Stats {
        let [mean, variance] = [0, 8].map(|at| bytes[at..].first_chunk().map_or(0.0, |b| f64::from_le_bytes(*b)));
        let samples = bytes[16..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        Stats { mean, variance, samples }
    }

    fn write(self, bytes: &mut [u8; STATS_BYTES]) {
        bytes[..8].copy_from_slice(&self.mean.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.variance.to_le_bytes());
        bytes[16..].copy_from_slice(&self.samples.to_le_bytes());
    }

    fn score(self, x: f64) -> f64 {
        (x - self.mean).abs() / self.variance.sqrt()
    }

    /// Whether the score of `x` is certainly not above sigma, without the root and the division that take longer than
    /// all the rest: `(x - mean)² < sigma² * variance`. `near` is a billionth less than the square of sigma and the
    /// smallest number makes up for what is lost below it, so that rounding on either side cannot decide.
    fn is_near(self, x: f64, near: f64) -> bool {
        let delta = x - self.mean;
        delta * delta + f64::MIN_POSITIVE < near * self.variance
    }

    fn learn(&mut self, x: f64, alpha: f64) {
        let delta = x - self.mean;
        if self.samples == 0 {
            self.mean = x;
        } else {
            self.mean += alpha * delta;
            self.variance = (1.0 - alpha) * (self.variance + alpha * delta * delta);
        }
        self.samples = self.samples.saturating_add(1);
    }

    fn describe(self, x: f64, score: f64) -> String {
        let deviation = self.variance.sqrt();
        format!("{x} is {score:.1} standard deviations from its mean {:.4} (one is {deviation:.4})", self.mean)
    }
}

impl Condition for EwmaAnomaly {
    fn evaluate(&mut self, batch: &Batch, state: &mut State) -> Result<Outcome, PluginError> {
        let mut table = SeriesTable::<STATS_BYTES>::load(state, PREFIX, batch.at);
        let mut outcome = Outcome::default();
        for (index, id) in batch.ids.iter().enumerate() {
            let series = u32::try_from(index).map_err(|_| PluginError::BadInput("too many series".to_owned()))?;
            let x = batch.last(index).filter(|x| x.is_finite());
            let (Some(bytes), Some(x)) = (table.bytes(Fingerprint(*id)), x) else {
                outcome.unknown.push(series);
                continue;
            };
            let before = Stats::read(bytes);
            let mut after = before;
            after.learn(x, self.alpha);
            after.write(bytes);
            if before.samples < self.warmup || before.is_near(x, self.near) {
                continue;
            }
            let score = before.score(x);
            if score > self.sigma {
                let severity = if score > 2.0 * self.sigma { Severity::Critical } else { Severity::Warning };
                outcome.findings.push(Finding { series, severity, value: score, summary: before.describe(x, score) });
            }
        }
        table.save(state, self.forget_after)?;
        Ok(outcome)
    }

    /// The twin's, so that each goes on with what the other one remembers.
    fn owner(&self) -> Owner {
        Owner::new(Some(EWMA_ANOMALY), EWMA_ANOMALY, STATE_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use watchfire_model::{Labels, Timestamp};
    use watchfire_plugin::StateLimits;

    fn state() -> State {
        State::new(StateLimits::STANDARD, BTreeMap::new())
    }

    fn run(condition: &mut EwmaAnomaly, state: &mut State, values: &[f64]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (i, value) in (0..).zip(values) {
            let at = Timestamp::from_secs(i * 15);
            let batch = Batch::new(at, [(Labels::from_pairs([("job", "api")]), [(at, *value)])]);
            outcomes.push(condition.evaluate(&batch, state).unwrap());
            state.commit();
        }
        outcomes
    }

    fn calm(samples: usize) -> Vec<f64> {
        (0..samples).map(|i| 10.0 + [0.0, 0.5, 1.0, 0.5, 0.0, -0.5, -1.0, -0.5][i % 8]).collect()
    }

    #[test]
    fn a_jump_fires_and_calm_does_not() {
        let (mut condition, mut state) = (EwmaAnomaly::open("{}").unwrap(), state());
        assert!(run(&mut condition, &mut state, &calm(60)).iter().all(|outcome| *outcome == Outcome::default()));
        // The sentences are those of the WebAssembly twin.
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
    fn what_is_near_never_scores_above_sigma() {
        // Numbers of all sizes, down to where digits are lost and up to where squares are infinite.
        let mut seed = 1_u64;
        let mut number = |exponents: i32| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let exponent = ((seed >> 33) as i32).rem_euclid(2 * exponents) - exponents;
            (1.0 + (seed >> 44) as f64 / 1_048_576.0) * 2.0_f64.powi(exponent)
        };
        let (mut near, mut beyond) = (0, 0);
        for round in 0..200_000 {
            let (sigma, mean) = (number(if round % 2 == 0 { 4 } else { 600 }), number(1_000));
            let variance = if round % 5 == 0 { 0.0 } else { number(if round % 3 == 0 { 1_070 } else { 20 }) };
            let stats = Stats { mean, variance, samples: 1 };
            // Around the bound as well as anywhere.
            let x = if round % 7 == 0 { number(1_000) } else { mean + sigma * variance.sqrt() * number(1) };
            let config = serde_json::json!({ "sigma": sigma }).to_string();
            let condition = EwmaAnomaly::open(&config).unwrap();
            let scores_above = stats.score(x) > condition.sigma;
            let is_near = stats.is_near(x, condition.near);
            assert!(!(is_near && scores_above), "{x} {stats:?} {condition:?}");
            near += u32::from(is_near);
            beyond += u32::from(scores_above);
        }
        assert!(near > 20_000 && beyond > 20_000, "{near} {beyond}");
    }

    #[test]
    fn warmup_unknown_values_and_constant_series() {
        for (samples, fires) in [(29, 0), (30, 1)] {
            let (mut condition, mut state) = (EwmaAnomaly::open("{}").unwrap(), state());
            run(&mut condition, &mut state, &calm(samples));
            assert_eq!(run(&mut condition, &mut state, &[1_000.0])[0].findings.len(), fires, "{samples}");
        }
        let (mut condition, mut spoiled) = (EwmaAnomaly::open(r#"{"warmup": 3}"#).unwrap(), state());
        run(&mut condition, &mut spoiled, &[5.0; 5]);
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(run(&mut condition, &mut spoiled, &[value])[0].unknown, [0]);
        }
        assert_eq!(run(&mut condition, &mut spoiled, &[5.0])[0], Outcome::default());
        assert_eq!(run(&mut condition, &mut spoiled, &[5.1])[0].findings[0].value, f64::INFINITY);
    }

    #[test]
    fn a_configuration_that_makes_no_sense_is_refused() {
        for (config, expected) in [
            (r#"{"sigma": 0}"#, r#"invalid configuration at "/sigma": must be above 0, is 0"#),
            (r#"{"alpha": 1.5}"#, r#"invalid configuration at "/alpha": must be above 0 and at most 1, is 1.5"#),
            (r#"{"half_life": -1}"#, r#"invalid configuration at "/half_life": must be above 0, is -1"#),
            (r#"{"warmup": -1}"#, r#"invalid configuration at "/warmup": must be a whole number from 0, is -1"#),
            (r#"{"sigma": "4"}"#, r#"invalid configuration at "/sigma": must be a number, is "4""#),
            ("[]", r#"invalid configuration at "": must be an object"#),
        ] {
            assert_eq!(EwmaAnomaly::open(config).unwrap_err().to_string(), expected);
        }
        assert!(EwmaAnomaly::open(r#"{"alpha": 0.5, "half_life": 1}"#).is_err());
        assert!(EwmaAnomaly::open(r#"{"sigmas": 1}"#).unwrap_err().to_string().contains("unknown field `sigmas`"));
        let half = EwmaAnomaly::open(r#"{"half_life": 1}"#).unwrap();
        assert_eq!(half, EwmaAnomaly::open(r#"{"alpha": 0.5}"#).unwrap());
        assert!(serde_json::from_str::<Json>(CONFIG_SCHEMA).is_ok());
    }
}
