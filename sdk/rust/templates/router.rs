//! Tells the receiver that a label names, with a prefix.

use serde::Deserialize;
use watchfire_sdk::{Alert, Decision, Descriptor, Error, Router};

/// The configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default = "team")]
    label: String,
    #[serde(default)]
    prefix: String,
}

fn team() -> String {
    "team".to_owned()
}

/// The router, opened for one route.
pub struct ByLabel(Config);

impl Router for ByLabel {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Tells the receiver that a label names.")
        .with_schema(r#"{"type":"object","properties":{"label":{"type":"string"},"prefix":{"type":"string"}}}"#);

    fn open(config: Config) -> Result<ByLabel, Error> {
        Ok(ByLabel(config))
    }

    fn decide(&mut self, _at_ms: i64, alert: &Alert) -> Result<Decision, Error> {
        let label = |name: &str| alert.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let mut decision = Decision::default();
        if label("mute") == Some("true") {
            decision.suppress = Some("muted by its label".to_owned());
        } else if let Some(value) = label(&self.0.label) {
            decision.receivers.push(format!("{}{value}", self.0.prefix));
        }
        // Neither: the route's own receiver is told.
        Ok(decision)
    }
}

watchfire_sdk::export! { router: "by-label" => ByLabel }
