//! `burn-rate`: fires when an error budget burns too fast in a long and in a short window.
//!
//! The long window tells that it matters, the short one that it still goes on ("The Site Reliability Workbook", chapter 5,
//! "Alerting on SLOs": multiwindow, multi-burn-rate alerts). The defaults are that chapter's: a page for 2 % of a month's
//! budget in one hour or 5 % in six, a ticket for 10 % in three days. The error ratios are series that recording rules
//! make, told apart by a label with the window's length.

use std::collections::BTreeMap;

use serde::Deserialize;
use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, Severity, State};

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The part of requests that must be good, such as 0.999.
    pub objective: f64,
    /// The label that names the window of an error ratio: `5m`, `1h`.
    #[serde(default = "window_label")]
    pub window_label: String,
    /// What fires; the first that does tells how bad it is.
    #[serde(default = "workbook")]
    pub windows: Vec<Windows>,
}

/// A long and a short window.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// The long one, as the label names it.
    pub long: String,
    /// The short one.
    pub short: String,
    /// The budget burns so many times as fast as it may.
    pub factor: f64,
    /// Whether somebody is to be woken.
    #[serde(default)]
    pub page: bool,
}

fn window_label() -> String {
    "window".to_owned()
}

fn workbook() -> Vec<Windows> {
    let windows =
        |long: &str, short: &str, factor, page| Windows { long: long.into(), short: short.into(), factor, page };
    vec![windows("1h", "5m", 14.4, true), windows("6h", "30m", 6.0, true), windows("3d", "6h", 1.0, false)]
}

/// The condition, opened for one rule.
#[derive(Debug)]
pub struct BurnRate(Config);

impl Condition for BurnRate {
    type Config = Config;
    const DESCRIPTOR: Descriptor =
        Descriptor::new("Fires when an error budget burns too fast in a long and in a short window.");

    fn open(config: Config) -> Result<BurnRate, Error> {
        if !(config.objective > 0.0 && config.objective < 1.0) {
            let message = format!("must be between 0 and 1, such as 0.999; is {}", config.objective);
            return Err(Error::config("/objective", message));
        }
        if let Some(at) = config.windows.iter().position(|windows| windows.factor.is_nan() || windows.factor <= 0.0) {
            return Err(Error::config(format!("/windows/{at}/factor"), "must be above 0"));
        }
        Ok(BurnRate(config))
    }

    fn evaluate(&mut self, input: &Input, _: &mut State) -> Result<Outcome, Error> {
        let latest = input.latest();
        // What is measured, without its name and window, and its ratio by window.
        let mut measured: BTreeMap<Vec<(String, String)>, BTreeMap<String, u32>> = BTreeMap::new();
        for series in 0..input.series_count() {
            let mut labels = input.labels(series);
            let Some(at) = labels.iter().position(|(name, _)| *name == self.0.window_label) else {
                return Err(Error::BadInput(format!(
                    "series {series} has no label {:?}; give each error ratio the length of its window there",
                    self.0.window_label
                )));
            };
            let (_, window) = labels.remove(at);
            labels.retain(|(name, _)| name != "__name__");
            measured.entry(labels).or_default().insert(window, series);
        }
        let mut outcome = Outcome::default();
        for ratios in measured.values() {
            let mut judged: BTreeMap<u32, Option<Finding>> = BTreeMap::new();
            for windows in &self.0.windows {
                let Some(&long) = ratios.get(&windows.long) else { continue };
                let short = ratios.get(&windows.short).map_or(f64::NAN, |&short| latest[short as usize]);
                if let Some(found) = self.judge(windows, long, latest[long as usize], short) {
                    // One window may be the long one of two pairs; the first that fires counts.
                    let known = judged.entry(long).or_default();
                    *known = known.take().or(found);
                } else {
                    outcome.unknown.push(long);
                }
            }
            outcome.findings.extend(judged.into_values().flatten());
        }
        outcome.unknown.retain(|series| outcome.findings.iter().all(|finding| finding.series != *series));
        outcome.unknown.sort_unstable();
        outcome.unknown.dedup();
        Ok(outcome)
    }
}

impl BurnRate {
    /// What a pair of windows says; `None` where one of them is not known.
    fn judge(&self, windows: &Windows, series: u32, long: f64, short: f64) -> Option<Option<Finding>> {
        if long.is_nan() || short.is_nan() {
            return None;
        }
        let budget = 1.0 - self.0.objective;
        let (long, short) = (long / budget, short / budget);
        if long <= windows.factor || short <= windows.factor {
            return Some(None);
        }
        let severity = if windows.page { Severity::Critical } else { Severity::Warning };
        let summary = format!(
            "the error budget burns {long:.1} times as fast as it may over {}, {short:.1} times over {}",
            windows.long, windows.short
        );
        Some(Some(Finding { series, severity, value: long, summary }))
    }
}

watchfire_sdk::export! { condition: "burn-rate" => BurnRate }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{InputBuilder, open_condition};

    fn evaluate(ratios: &[(&str, &str, f64)]) -> (Vec<(u32, Severity, String)>, Vec<u32>) {
        let mut condition: BurnRate = open_condition(r#"{"objective": 0.999}"#).unwrap();
        let input = ratios.iter().fold(InputBuilder::at(0), |input, (service, window, ratio)| {
            input.series(&[("service", service), ("window", window), ("__name__", window)], *ratio)
        });
        let outcome = condition.evaluate(&input.build(), &mut State::in_memory()).unwrap();
        let found = outcome.findings.into_iter().map(|finding| (finding.series, finding.severity, finding.summary));
        (found.collect(), outcome.unknown)
    }

    #[test]
    fn both_windows_must_burn() {
        let burning = "the error budget burns 20.0 times as fast as it may over 1h, 15.0 times over 5m";
        assert_eq!(
            evaluate(&[("a", "1h", 0.020), ("a", "5m", 0.015)]),
            (vec![(0, Severity::Critical, burning.to_owned())], vec![])
        );
        // It is over already, or has only begun.
        assert_eq!(evaluate(&[("a", "1h", 0.020), ("a", "5m", 0.001)]), (vec![], vec![]));
        assert_eq!(evaluate(&[("a", "1h", 0.001), ("a", "5m", 0.020)]), (vec![], vec![]));
        // Of another service.
        assert_eq!(evaluate(&[("a", "1h", 0.020), ("b", "5m", 0.020)]), (vec![], vec![0]));
        assert_eq!(evaluate(&[("a", "1h", 0.020), ("a", "5m", f64::NAN)]), (vec![], vec![0]));
    }

    #[test]
    fn a_slow_burn_is_a_ticket() {
        let (found, _) = evaluate(&[("a", "3d", 0.0015), ("a", "6h", 0.002), ("a", "30m", 0.0)]);
        assert_eq!(found.iter().map(|found| (found.0, found.1)).collect::<Vec<_>>(), [(0, Severity::Warning)]);
    }

    #[test]
    fn a_series_without_a_window_is_told() {
        let mut condition: BurnRate = open_condition(r#"{"objective": 0.99}"#).unwrap();
        let input = InputBuilder::at(0).series(&[("service", "a")], 0.5).build();
        let error = condition.evaluate(&input, &mut State::in_memory()).unwrap_err().to_string();
        assert!(error.contains(r#"series 0 has no label "window""#), "{error}");
        assert!(open_condition::<BurnRate>(r#"{"objective": 99.9}"#).is_err());
    }
}
