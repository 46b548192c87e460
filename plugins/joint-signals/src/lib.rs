//! `joint-signals`: fires when several signals of one thing are bad at once.
//!
//! One bad signal is noise, three of four are an incident: the expression selects them all, a label tells them apart, and
//! other labels say what belongs together.

use std::collections::BTreeMap;

use serde::Deserialize;
use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, Severity, State};

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Labels whose values tell what a signal is about, such as `service`.
    pub by: Vec<String>,
    /// The label that names the signal.
    #[serde(default = "metric_name")]
    pub signal_label: String,
    /// When each signal is bad.
    pub signals: BTreeMap<String, Bad>,
    /// Fires when so many are bad; critical when all are.
    pub at_least: usize,
}

/// Beyond one of its limits a signal is bad.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bad {
    /// Bad above this.
    pub above: Option<f64>,
    /// Bad below this.
    pub below: Option<f64>,
}

fn metric_name() -> String {
    "__name__".to_owned()
}

/// The condition, opened for one rule.
#[derive(Debug)]
pub struct JointSignals(Config);

/// One signal of one thing.
struct Signal {
    series: u32,
    name: String,
    value: f64,
    bad: Bad,
}

impl Condition for JointSignals {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Fires when several signals of one thing are bad at once.");

    fn open(config: Config) -> Result<JointSignals, Error> {
        if !(1..=config.signals.len()).contains(&config.at_least) {
            let message = format!("must be 1 to the number of signals, {}", config.signals.len());
            return Err(Error::config("/at_least", message));
        }
        if let Some(name) = config.signals.iter().find(|(_, bad)| bad.above.is_none() && bad.below.is_none()) {
            return Err(Error::config(format!("/signals/{}", name.0), "say `above`, `below` or both"));
        }
        Ok(JointSignals(config))
    }

    fn evaluate(&mut self, input: &Input, _: &mut State) -> Result<Outcome, Error> {
        let config = &self.0;
        let column = |label: &str| {
            let (values, codes) = input.label_column(label);
            move |series: usize| values.get(codes[series] as usize).cloned()
        };
        let keys: Vec<_> = config.by.iter().map(|label| column(label)).collect();
        let name = column(&config.signal_label);
        let mut things: BTreeMap<Vec<Option<String>>, Vec<Signal>> = BTreeMap::new();
        for (series, value) in input.latest().into_iter().enumerate() {
            let Some(name) = name(series) else { continue };
            let Some(bad) = config.signals.get(&name).copied() else { continue };
            let key = keys.iter().map(|key| key(series)).collect();
            things.entry(key).or_default().push(Signal { series: series as u32, name, value, bad });
        }
        let mut outcome = Outcome::default();
        for signals in things.values_mut() {
            // The alert has the labels of one series: always the same, whichever of them are bad.
            signals.sort_by(|a, b| (&a.name, a.series).cmp(&(&b.name, b.series)));
            let bad: Vec<&Signal> = signals.iter().filter(|signal| signal.is_bad()).collect();
            if bad.len() < config.at_least {
                if signals.iter().any(|signal| signal.value.is_nan()) {
                    outcome.unknown.push(signals[0].series);
                }
                continue;
            }
            let told: Vec<String> = bad.iter().map(|signal| format!("{} is {}", signal.name, signal.value)).collect();
            outcome.findings.push(Finding {
                series: signals[0].series,
                severity: if bad.len() >= config.signals.len() { Severity::Critical } else { Severity::Warning },
                value: bad.len() as f64,
                summary: format!("{} of {} signals are bad: {}", bad.len(), config.signals.len(), told.join(", ")),
            });
        }
        Ok(outcome)
    }
}

impl Signal {
    fn is_bad(&self) -> bool {
        self.bad.above.is_some_and(|limit| self.value > limit) || self.bad.below.is_some_and(|limit| self.value < limit)
    }
}

watchfire_sdk::export! { condition: "joint-signals" => JointSignals }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{InputBuilder, open_condition};

    const CONFIG: &str = r#"{"by": ["service"], "at_least": 2,
        "signals": {"errors": {"above": 0.1}, "latency": {"above": 1}, "traffic": {"below": 5}}}"#;

    fn evaluate(signals: &[(&str, &str, f64)]) -> (Vec<(u32, Severity, String)>, Vec<u32>) {
        let mut condition: JointSignals = open_condition(CONFIG).unwrap();
        let input = signals.iter().fold(InputBuilder::at(0), |input, (name, service, value)| {
            input.series(&[("__name__", name), ("service", service)], *value)
        });
        let outcome = condition.evaluate(&input.build(), &mut State::in_memory()).unwrap();
        let found = outcome.findings.into_iter().map(|finding| (finding.series, finding.severity, finding.summary));
        (found.collect(), outcome.unknown)
    }

    #[test]
    fn signals_of_one_thing_count_together() {
        let told = |text: &str| text.to_owned();
        assert_eq!(
            evaluate(&[("latency", "a", 2.0), ("errors", "a", 0.5), ("traffic", "a", 9.0)]),
            (vec![(1, Severity::Warning, told("2 of 3 signals are bad: errors is 0.5, latency is 2"))], vec![])
        );
        assert_eq!(evaluate(&[("latency", "a", 2.0), ("errors", "b", 0.5)]), (vec![], vec![]));
        let (found, _) = evaluate(&[("latency", "a", 2.0), ("errors", "a", 0.5), ("traffic", "a", 1.0)]);
        assert_eq!(found[0].1, Severity::Critical);
        // What is not known may be bad.
        assert_eq!(evaluate(&[("latency", "a", 2.0), ("errors", "a", f64::NAN)]), (vec![], vec![1]));
    }

    #[test]
    fn a_configuration_that_can_never_fire_is_refused() {
        for (config, path) in [
            (CONFIG.replace("\"at_least\": 2", "\"at_least\": 4"), "/at_least"),
            (CONFIG.replace(r#"{"above": 1}"#, "{}"), "/signals/latency"),
        ] {
            let error = open_condition::<JointSignals>(&config).unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}
