//! Finds the series above a limit, and says for how many evaluations in a row there have been any.

use serde::Deserialize;
use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, Severity, State};

/// The configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    limit: Option<f64>,
}

/// The condition, opened for one rule.
pub struct Above {
    limit: f64,
}

impl Condition for Above {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Finds the series above a limit.")
        .with_schema(r#"{"type":"object","required":["limit"],"properties":{"limit":{"type":"number"}}}"#);

    fn open(config: Config) -> Result<Above, Error> {
        let limit = config.limit.ok_or_else(|| Error::config("/limit", "must be a number"))?;
        Ok(Above { limit })
    }

    fn evaluate(&mut self, input: &Input, state: &mut State) -> Result<Outcome, Error> {
        let before = state.get("streak").and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        let streak = before.unwrap_or(0_u64) + 1;
        let mut outcome = Outcome::default();
        for (series, value) in (0..).zip(input.latest()) {
            if value.is_nan() {
                outcome.unknown.push(series);
            } else if value > self.limit {
                // Labels are asked for where they are needed, not for every series.
                let host = input.label(series, "host").unwrap_or_default();
                let summary = format!("{host} is above the limit, {streak} in a row");
                outcome.findings.push(Finding { series, severity: Severity::Warning, value, summary });
            }
        }
        let kept = if outcome.findings.is_empty() { 0 } else { streak };
        state.set("streak", kept.to_string().as_bytes())?;
        Ok(outcome)
    }
}

watchfire_sdk::export! { condition: "above" => Above }
