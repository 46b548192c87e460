//! `pagerduty-runbook`: a PagerDuty event with the first steps of the runbook in it.
//!
//! Whoever is woken reads what to do before they reach a computer. The steps come from an annotation or from the
//! configuration; their list marks stay, everything that is only layout goes. PagerDuty takes 1,024 characters of summary
//! and 512 KiB of event.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use watchfire_sdk::words::{cut, is_link, span, time};
use watchfire_sdk::{Alert, Descriptor, Error, Formatter, Group, Message};

const SUMMARY_MAX: usize = 1_024;
/// Alerts to list; the others are counted.
const ALERTS_MAX: usize = 20;

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The annotation with the runbook's text, in Markdown.
    pub annotation: String,
    /// Runbooks by the alert's name, for alerts without the annotation.
    pub runbooks: BTreeMap<String, String>,
    /// Steps of a runbook to show.
    pub steps: usize,
    /// The label that becomes the event's source, and the one that becomes its component.
    pub source: String,
    /// See `source`.
    pub component: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            annotation: "runbook".into(),
            runbooks: BTreeMap::new(),
            steps: 5,
            source: "instance".into(),
            component: "service".into(),
        }
    }
}

/// The formatter, opened for one channel.
#[derive(Debug)]
pub struct PagerDutyRunbook(Config);

impl Formatter for PagerDutyRunbook {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Writes a PagerDuty event with the first steps of the runbook.");

    fn open(config: Config) -> Result<PagerDutyRunbook, Error> {
        if config.steps == 0 {
            return Err(Error::config("/steps", "must be 1 or more"));
        }
        Ok(PagerDutyRunbook(config))
    }

    fn format(&mut self, group: &Group) -> Result<Message, Error> {
        let mut details = Map::new();
        let steps = self.steps(group);
        if !steps.is_empty() {
            details.insert("what to do".into(), json!(steps));
        }
        for (title, annotation) in [("runbook", "runbook_url"), ("dashboard", "dashboard_url")] {
            if let Some(address) = group.annotation(annotation).filter(|address| is_link(address)) {
                details.insert(title.into(), json!(address));
            }
        }
        let alerts: Vec<Value> =
            group.alerts.iter().take(ALERTS_MAX).map(|alert| describe(alert, group.at_ms)).collect();
        details.insert("alerts".into(), json!(alerts));
        if group.alerts.len() > ALERTS_MAX {
            details.insert("not shown".into(), json!(group.alerts.len() - ALERTS_MAX));
        }
        let summary = match group.alerts.iter().find(|alert| !alert.summary.is_empty()) {
            Some(alert) => format!("{}: {}", group.headline(), alert.summary),
            None => group.headline(),
        };
        let label = |name: &str| Some(group.values(name)).filter(|value| !value.is_empty());
        let body = json!({
            "summary": cut(&summary, SUMMARY_MAX),
            "severity": group.worst().as_str(),
            "source": label(&self.0.source).unwrap_or_else(|| group.receiver.clone()),
            "component": label(&self.0.component),
            "class": label("alertname"),
            "custom_details": details,
        });
        Ok(Message {
            title: summary,
            content_type: "application/json".into(),
            body: body.to_string(),
            ..Message::default()
        })
    }
}

impl PagerDutyRunbook {
    fn steps(&self, group: &Group) -> Vec<String> {
        let named = || group.alerts.iter().find_map(|alert| self.0.runbooks.get(&alert.name)).map(String::as_str);
        let text = group.annotation(&self.0.annotation).or_else(named).unwrap_or_default();
        // Headings, rules and fences say how a text looks and not what to do.
        let is_layout = |line: &&str| line.starts_with('#') || line.starts_with("---") || line.starts_with("```");
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_layout(line));
        lines.take(self.0.steps).map(|line| cut(line, 300)).collect()
    }
}

fn describe(alert: &Alert, at_ms: i64) -> Value {
    let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "what": format!("{} {}", alert.sign(), if alert.summary.is_empty() { &alert.name } else { &alert.summary }),
        "labels": cut(&labels.join(" "), 500),
        "since": format!("{}, for {}", time(alert.starts_ms), span(alert.lasted_ms(at_ms))),
    })
}

watchfire_sdk::export! { formatter: "pagerduty-runbook" => PagerDutyRunbook }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{alert, open_formatter};

    fn format(config: &str, alerts: Vec<Alert>) -> Value {
        let mut formatter: PagerDutyRunbook = open_formatter(config).unwrap();
        let group = Group { at_ms: 125_000, receiver: "oncall".into(), alerts, ..Group::default() };
        serde_json::from_str(&formatter.format(&group).unwrap().body).unwrap()
    }

    #[test]
    fn the_steps_come_from_the_annotation_or_the_configuration() {
        let runbook = "# Disk full\n\n1. Look at `df -h`.\n2. Rotate the logs.\n---\n3. Call Ada.";
        let full = |annotations: &[(&str, &str)]| Alert {
            annotations: annotations.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
            summary: "96 % used".into(),
            ..alert(&[("alertname", "DiskFull"), ("instance", "db-1"), ("severity", "critical")], 0)
        };
        let body = format(r#"{"steps": 2}"#, vec![full(&[("runbook", runbook), ("runbook_url", "https://wiki/disk")])]);
        assert_eq!(body["custom_details"]["what to do"], json!(["1. Look at `df -h`.", "2. Rotate the logs."]));
        assert_eq!(body["custom_details"]["runbook"], "https://wiki/disk");
        assert_eq!((&body["summary"], &body["severity"]), (&json!("🔴 DiskFull: 96 % used"), &json!("critical")));
        assert_eq!((&body["source"], &body["class"]), (&json!("db-1"), &json!("DiskFull")));
        assert_eq!(body["custom_details"]["alerts"][0]["since"], "1970-01-01 00:00 UTC, for 2m 5s");
        let body = format(r#"{"runbooks": {"DiskFull": "Rotate the logs."}}"#, vec![full(&[])]);
        assert_eq!(body["custom_details"]["what to do"], json!(["Rotate the logs."]));
        let body = format("{}", vec![full(&[])]);
        assert_eq!(body["custom_details"].get("what to do"), None);
    }

    #[test]
    fn many_alerts_are_counted_and_long_texts_cut() {
        let long = Alert { summary: "x".repeat(5_000), ..alert(&[("alertname", "A")], 0) };
        let body = format("{}", vec![long; 25]);
        assert_eq!(body["summary"].as_str().unwrap().chars().count(), SUMMARY_MAX);
        assert_eq!(body["custom_details"]["not shown"], 5);
        assert_eq!(body["source"], "oncall");
    }
}
