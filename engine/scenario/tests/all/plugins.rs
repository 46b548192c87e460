//! Plugins in scenarios: native ones stand in for components, which are the same to everybody here.

use std::sync::Arc;

use watchfire_alerting::Delivery;
use watchfire_config::{Config, FixedEnvironment};
use watchfire_model::{Severity, Timestamp};
use watchfire_plugin::{
    AlertView, Batch, Condition, Decision, Descriptor, Finding, Formatter, Outcome, Owner, PluginError, Provider,
    Router, State,
};
use watchfire_scenario::{Renderer, Tools, run_file};

use super::NoFiles;

struct Native;

/// In trouble when a value comes a third time; counts in its state.
struct ThirdTime;

impl Condition for ThirdTime {
    fn evaluate(&mut self, batch: &Batch, state: &mut State) -> Result<Outcome, PluginError> {
        let mut outcome = Outcome::default();
        for (series, labels) in (0u32..).zip(&batch.series) {
            let key = labels.fingerprint().to_string();
            let seen = state.get(&key).map_or(0, |bytes| bytes[0]) + 1;
            state.set(&key, vec![seen]).map_err(|error| PluginError::Internal(error.to_string()))?;
            if seen >= 3 {
                let (severity, summary) = (Severity::Critical, format!("seen {seen} times"));
                outcome.findings.push(Finding { series, severity, value: f64::from(seen), summary });
            }
        }
        Ok(outcome)
    }

    fn owner(&self) -> Owner {
        Owner::new(None, "third-time", 1)
    }
}

/// In trouble above 10; fails where a value is negative.
struct Fragile;

impl Condition for Fragile {
    fn evaluate(&mut self, batch: &Batch, _: &mut State) -> Result<Outcome, PluginError> {
        let mut outcome = Outcome::default();
        for (series, value) in (0u32..).zip(batch.values.iter()) {
            if *value < 0.0 {
                return Err(PluginError::Trap("integer divide by zero".to_owned()));
            }
            if *value > 10.0 {
                let (severity, summary) = (Severity::Critical, "above 10".to_owned());
                outcome.findings.push(Finding { series, severity, value: *value, summary });
            }
        }
        Ok(outcome)
    }

    fn owner(&self) -> Owner {
        Owner::new(None, "fragile", 1)
    }
}

/// To the receiver that the label `team` names.
struct ByTeam;

impl Router for ByTeam {
    fn route(&mut self, _: Timestamp, alerts: &[AlertView]) -> Result<Vec<Decision>, PluginError> {
        let receivers = |view: &AlertView| view.alert.labels.get("team").map(str::to_owned).into_iter().collect();
        Ok(alerts.iter().map(|view| Decision { receivers: receivers(view), ..Decision::default() }).collect())
    }
}

impl Provider for Native {
    fn descriptors(&self) -> Vec<Descriptor> {
        Vec::new()
    }

    fn open_condition(&self, name: &str, _: &str) -> Result<Box<dyn Condition>, PluginError> {
        match name {
            "third-time" => Ok(Box::new(ThirdTime)),
            "fragile" => Ok(Box::new(Fragile)),
            _ => Err(PluginError::Unsupported(format!("there is no condition {name}"))),
        }
    }

    fn open_router(&self, _: &str, _: &str) -> Result<Box<dyn Router>, PluginError> {
        Ok(Box::new(ByTeam))
    }

    fn open_formatter(&self, name: &str, _: &str) -> Result<Box<dyn Formatter>, PluginError> {
        Err(PluginError::Unsupported(format!("there is no formatter {name}")))
    }
}

/// Says what a receiver would be told, in a few words.
struct Words;

impl Renderer for Words {
    fn render(&self, config: &Config, delivery: &Delivery) -> Result<String, String> {
        let alerts: Vec<_> =
            delivery.alerts.iter().map(|alert| format!("{} {:?}", alert.name(), alert.annotations)).collect();
        Ok(format!("one of {} receivers: {}", config.receivers.len(), alerts.join(", ")))
    }
}

#[test]
fn plugins_decide_and_messages_are_rendered() {
    let text = r#"
scenario: a condition plugin remembers over a restart, a router plugin chooses the receiver
rules:
  groups:
    - name: g
      interval: 1h
      rules:
        - {alert: Thrice, expr: up, condition: {plugin: third-time}}
        - {alert: Unknown, expr: up, condition: {plugin: not-there}}
config:
  route: {receiver: ops, group_wait: 0s, router: {plugin: by-team}}
  receivers:
    - {name: ops, webhook_configs: [{url: http://ops.example}]}
    - {name: db, webhook_configs: [{url: http://db.example}]}
  evaluation: {on_ingest: true}
steps:
  - {at: 1m, samples: {'up{team="db"}': 1}}
  - {at: 2m, samples: {'up{team="db"}': 1}, expect: {none: true, failing_rules: [Unknown]}}
  - {at: 2m30s, restart: true}
  - at: 3m
    samples: {'up{team="db"}': 1}
    expect:
      firing: [{labels: {alertname: Thrice}, annotations: {finding: seen 3 times}, value: 3}]
      notifications: [{receiver: db, firing: [Thrice], message: [one of 2 receivers, seen 3 times]}]
"#;
    let environment = FixedEnvironment::default();
    let tools = Tools {
        files: &NoFiles,
        environment: &environment,
        provider: Some(Arc::new(Native)),
        renderer: Some(&Words),
        only: None,
        ignore_unknown_keys: false,
    };
    let report = run_file("plugins.yml", text, &tools);
    assert!(report.passed(), "{report}");
}

#[test]
fn a_failing_condition_comes_to_what_its_rule_says() {
    let text = r#"
scenario: the condition fails for two minutes over one series; another series was in trouble when it began
rules:
  groups:
    - name: g
      interval: 1m
      rules:
        - {alert: Unknown, expr: m, for: 2m, condition: {plugin: fragile}}
        - {alert: Keep, expr: m, for: 2m, condition: {plugin: fragile, on_error: keep}}
        - {alert: Fire, expr: m, for: 2m, condition: {plugin: fragile, on_error: fire}}
        - {alert: Absent, expr: m, condition: {plugin: not-there, on_error: fire}}
config:
  route: {receiver: ops}
  receivers: [{name: ops}]
  evaluation: {on_ingest: false}
steps:
  - at: 59s
    samples: {'m{s="bad"}': 50, 'm{s="good"}': 1}
  - at: 60s
    expect:
      pending:
        - 'Unknown{s="bad"}'
        - 'Keep{s="bad"}'
        - 'Fire{s="bad"}'
      firing: ['Absent{s="bad"}', 'Absent{s="good"}']
  - {at: 90s, samples: {'m{s="good"}': -1}}
  - at: 3m
    expect:
      # Nothing is known, so that nothing begins to fire; the last answer makes it fire; everything is in trouble.
      pending: ['Unknown{s="bad"}', 'Fire{s="good"}']
      firing:
        - 'Keep{s="bad"}'
        - 'Fire{s="bad"}'
        - 'Absent{s="bad"}'
        - 'Absent{s="good"}'
      failing_rules: [Unknown]
  - {at: 3m30s, samples: {'m{s="good"}': 1}}
  - at: 4m
    expect:
      firing:
        - 'Unknown{s="bad"}'
        - 'Keep{s="bad"}'
        - 'Fire{s="bad"}'
        - 'Absent{s="bad"}'
        - 'Absent{s="good"}'
"#;
    let environment = FixedEnvironment::default();
    let tools = Tools {
        files: &NoFiles,
        environment: &environment,
        provider: Some(Arc::new(Native)),
        renderer: None,
        only: None,
        ignore_unknown_keys: false,
    };
    let report = run_file("on_error.yml", text, &tools);
    assert!(report.passed(), "{report}");
}
