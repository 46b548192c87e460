//! `robust-anomaly`: fires when a value lies far from the median of the last ones, measured by their deviation from it.
//!
//! Median and median deviation stay where they are until half of the window is outliers, so that one incident neither
//! hides the next nor itself. The score is the modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle
//! Outliers" (ASQC, 1993), who suggest 3.5 as its limit: 0.6745 (x - median) / MAD. Where more than half of the values
//! are the same the MAD is 0, and the mean absolute deviation stands in: (x - median) / (1.253314 MeanAD).

use serde::Deserialize;
use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, Record, SeriesTable, Severity, State};

/// The most values to keep per series.
const WINDOW_MAX: usize = 60;
/// Where the state has for how many values its windows are.
const LENGTH_KEY: &str = "robust/window";
/// The 75th percentile of the normal distribution: makes the MAD a standard deviation.
const MAD_SCALE: f64 = 0.674_5;
/// The square root of half of pi: makes the mean absolute deviation a standard deviation.
const MEAN_AD_SCALE: f64 = 1.253_314;

/// The configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Fires above this score; critical above twice as much.
    pub score: f64,
    /// Values to compare with, 5 to 60.
    pub window: usize,
    /// A distance from the median below which nothing fires, in the unit of the series.
    pub ignore_below: f64,
    /// Seconds after which a series that is gone is forgotten.
    pub forget_after: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { score: 3.5, window: WINDOW_MAX, ignore_below: 0.0, forget_after: 24 * 3_600 }
    }
}

/// The last values of a series, the oldest being overwritten next.
#[derive(Clone, Copy, Debug)]
struct Window {
    values: [f64; WINDOW_MAX],
    seen: u32,
}

impl Default for Window {
    fn default() -> Window {
        Window { values: [0.0; WINDOW_MAX], seen: 0 }
    }
}

impl Record for Window {
    const BYTES: usize = WINDOW_MAX * 8 + 4;

    fn read(bytes: &[u8]) -> Window {
        let mut window = Window::default();
        let (values, seen) = bytes.split_at(WINDOW_MAX * 8);
        for (value, bytes) in window.values.iter_mut().zip(values.chunks_exact(8)) {
            *value = f64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        window.seen = u32::from_le_bytes(seen.try_into().unwrap_or_default());
        window
    }

    fn write(&self, bytes: &mut [u8]) {
        for (value, bytes) in self.values.iter().zip(bytes.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        bytes[WINDOW_MAX * 8..].copy_from_slice(&self.seen.to_le_bytes());
    }
}

/// The condition, opened for one rule.
#[derive(Debug)]
pub struct RobustAnomaly(Config);

impl Condition for RobustAnomaly {
    type Config = Config;
    const DESCRIPTOR: Descriptor =
        Descriptor::new("Fires when a value lies far from the median of the last ones, whatever their outliers.");

    fn open(config: Config) -> Result<RobustAnomaly, Error> {
        if !(config.score > 0.0 && config.score.is_finite()) {
            return Err(Error::config("/score", format!("must be above 0, is {}", config.score)));
        }
        if !(5..=WINDOW_MAX).contains(&config.window) {
            return Err(Error::config("/window", format!("must be 5 to {WINDOW_MAX}, is {}", config.window)));
        }
        Ok(RobustAnomaly(config))
    }

    fn evaluate(&mut self, input: &Input, state: &mut State) -> Result<Outcome, Error> {
        let config = self.0;
        let forget_ms = i64::from(config.forget_after) * 1_000;
        let mut table = SeriesTable::<Window>::load(state, "robust/", input.eval_time_ms(), forget_ms);
        // In a window that was edited to be longer there would be places that nothing was ever written to.
        let length = config.window as u8;
        if state.get(LENGTH_KEY).is_some_and(|kept| kept != [length]) {
            table.clear();
        }
        let mut outcome = Outcome::default();
        for ((series, id), x) in (0..).zip(input.series_ids()).zip(input.latest()) {
            if !x.is_finite() {
                outcome.unknown.push(series);
                continue;
            }
            let compared = table.update(id, |window| {
                let full = window.seen as usize >= config.window;
                let compared = full.then(|| Compared::new(x, &window.values[..config.window]));
                window.values[window.seen as usize % config.window] = x;
                window.seen = window.seen.saturating_add(1);
                compared
            });
            match compared {
                Some(Some(found)) if found.score > config.score && found.distance > config.ignore_below => {
                    let severity =
                        if found.score > 2.0 * config.score { Severity::Critical } else { Severity::Warning };
                    let Compared { median, score, .. } = found;
                    let summary =
                        format!("{x} scores {score:.1} against the median {median} of {} values", config.window);
                    outcome.findings.push(Finding { series, severity, value: score, summary });
                }
                Some(_) => {}
                // More series than the state can hold.
                None => outcome.unknown.push(series),
            }
        }
        table.save(state)?;
        state.set(LENGTH_KEY, &[length])?;
        Ok(outcome)
    }
}

/// A value beside a window of others.
#[derive(Clone, Copy, Debug)]
struct Compared {
    median: f64,
    distance: f64,
    score: f64,
}

impl Compared {
    fn new(x: f64, window: &[f64]) -> Compared {
        let mut values = [0.0; WINDOW_MAX];
        let values = &mut values[..window.len()];
        values.copy_from_slice(window);
        let middle = median(values);
        for value in values.iter_mut() {
            *value = (*value - middle).abs();
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let deviation = match median(values) {
            0.0 => MEAN_AD_SCALE * mean,
            mad => mad / MAD_SCALE,
        };
        let distance = (x - middle).abs();
        // Where nothing ever moved, whatever moves is infinitely far.
        let score = if distance == 0.0 { 0.0 } else { distance / deviation };
        Compared { median: middle, distance, score }
    }
}

/// The middle one, or between the two middle ones. Reorders.
fn median(values: &mut [f64]) -> f64 {
    let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, middle, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let middle = *middle;
    if odd {
        return middle;
    }
    let below = below.iter().copied().max_by(f64::total_cmp).unwrap_or(middle);
    below + (middle - below) / 2.0
}

watchfire_sdk::export! { condition: "robust-anomaly" => RobustAnomaly }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{InputBuilder, open_condition};

    fn scores(config: &str, values: &[f64]) -> Vec<Option<String>> {
        let mut condition: RobustAnomaly = open_condition(config).unwrap();
        let mut state = State::in_memory();
        let evaluations = (0..).zip(values).map(|(i, value)| {
            let input = InputBuilder::at(i * 15_000).series(&[("job", "api")], *value).build();
            let outcome = condition.evaluate(&input, &mut state).unwrap();
            outcome.findings.first().map(|finding| format!("{:.4}", finding.value))
        });
        evaluations.collect()
    }

    #[test]
    fn the_score_is_that_of_the_book() {
        // Median 3, absolute deviations 0 1 1 2 2 with the median 1: 0.6745 (13 - 3) / 1.
        let found = scores(r#"{"window": 5}"#, &[1.0, 2.0, 3.0, 4.0, 5.0, 13.0]);
        assert_eq!(found, [None, None, None, None, None, Some("6.7450".to_owned())]);
        // MAD 0, mean absolute deviation 0.2: 2 / (1.253314 * 0.2).
        let found = scores(r#"{"window": 5}"#, &[3.0, 3.0, 3.0, 3.0, 4.0, 5.0]);
        assert_eq!(found[5].as_deref(), Some("7.9788"));
    }

    #[test]
    fn an_incident_does_not_hide_the_next() {
        let mut values: Vec<f64> = (0..60).map(|i| f64::from(i % 4)).collect();
        values.extend([1_000.0, 1.0, 2.0, 30.0, 1.0]);
        let found = scores("{}", &values);
        let fired: Vec<usize> = (0..found.len()).filter(|i| found[*i].is_some()).collect();
        assert_eq!(fired, [60, 63]);
        assert!(scores(r#"{"ignore_below": 2000}"#, &values).iter().all(Option::is_none));
    }

    #[test]
    fn a_window_that_was_edited_is_filled_anew() {
        let mut state = State::in_memory();
        let mut fired = Vec::new();
        for (round, window) in (0..).zip([vec![5; 8], vec![30; 40], vec![5; 8]].concat()) {
            let mut condition: RobustAnomaly = open_condition(&format!(r#"{{"window": {window}}}"#)).unwrap();
            let input = InputBuilder::at(round * 15_000).series(&[], 100.0 + (round % 3) as f64).build();
            fired.extend(condition.evaluate(&input, &mut state).unwrap().findings);
        }
        assert_eq!(fired, []);
    }
}
