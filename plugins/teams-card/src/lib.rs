//! `teams-card`: an adaptive card for Microsoft Teams, for `msteamsv2_configs`.
//!
//! The card's format is Microsoft's Adaptive Cards 1.4; a workflow takes 28 KB, so that texts and alerts are bounded.

use serde::Deserialize;
use serde_json::{Value, json};
use watchfire_sdk::words::{cut, is_link, span, time};
use watchfire_sdk::{Alert, Descriptor, Error, Formatter, Group, Message, Severity};

/// What all alerts together may take of a workflow's 28 KB; the rest is headline and links.
const ALERTS_BYTES: usize = 20_000;

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Alerts to show one by one, at most 20; the others are counted.
    pub max_alerts: usize,
    /// Labels to show as facts of each alert; without any, all but name and severity.
    pub facts: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config { max_alerts: 10, facts: Vec::new() }
    }
}

/// The formatter, opened for one channel.
#[derive(Debug)]
pub struct TeamsCard(Config);

impl Formatter for TeamsCard {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Writes an adaptive card for Microsoft Teams.");

    fn open(config: Config) -> Result<TeamsCard, Error> {
        if !(1..=20).contains(&config.max_alerts) {
            return Err(Error::config("/max_alerts", format!("must be 1 to 20, is {}", config.max_alerts)));
        }
        Ok(TeamsCard(config))
    }

    fn format(&mut self, group: &Group) -> Result<Message, Error> {
        let headline = cut(&group.headline(), 250);
        let mut body = vec![json!({
            "type": "Container", "style": style(group), "bleed": true,
            "items": [{"type": "TextBlock", "text": headline, "size": "Large", "weight": "Bolder", "wrap": true}],
        })];
        let (mut left, mut shown) = (ALERTS_BYTES, 0);
        for alert in group.alerts.iter().take(self.0.max_alerts) {
            let section = self.section(alert, group.at_ms);
            let Some(rest) = left.checked_sub(section.to_string().len()) else { break };
            (left, shown) = (rest, shown + 1);
            body.push(section);
        }
        if shown < group.alerts.len() {
            let more = format!("and {} more alerts", group.alerts.len() - shown);
            body.push(json!({"type": "TextBlock", "text": more, "isSubtle": true}));
        }
        let links = [
            ("Runbook", group.annotation("runbook_url").unwrap_or_default()),
            ("Dashboard", group.annotation("dashboard_url").unwrap_or_default()),
            ("Open in Watchfire", &group.external_url),
        ];
        let links = links.into_iter().filter(|(_, address)| is_link(address) && address.len() < 2_000);
        let actions: Vec<Value> =
            links.map(|(title, url)| json!({"type": "Action.OpenUrl", "title": title, "url": url})).collect();
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard", "version": "1.4", "msteams": {"width": "Full"}, "body": body, "actions": actions,
        });
        let attachment = json!({"contentType": "application/vnd.microsoft.card.adaptive", "content": card});
        Ok(Message {
            title: headline,
            content_type: "application/json".into(),
            body: json!({"type": "message", "attachments": [attachment]}).to_string(),
            ..Message::default()
        })
    }
}

impl TeamsCard {
    fn section(&self, alert: &Alert, at_ms: i64) -> Value {
        let text = if alert.summary.is_empty() { &alert.name } else { &alert.summary };
        let hidden = ["alertname", "severity"];
        let shown = |name: &str| {
            if self.0.facts.is_empty() { !hidden.contains(&name) } else { self.0.facts.iter().any(|f| f == name) }
        };
        let facts: Vec<Value> = alert
            .labels
            .iter()
            .filter(|(name, _)| shown(name))
            .take(8)
            .map(|(name, value)| json!({"title": cut(name, 60), "value": cut(value, 120)}))
            .collect();
        let since = format!("since {}, for {}", time(alert.starts_ms), span(alert.lasted_ms(at_ms)));
        json!({
            "type": "Container", "separator": true, "items": [
                {"type": "TextBlock", "text": format!("{} {}", alert.sign(), cut(text, 300)), "wrap": true, "weight": "Bolder"},
                {"type": "FactSet", "facts": facts},
                {"type": "TextBlock", "text": since, "isSubtle": true, "size": "Small"},
            ],
        })
    }
}

/// The colour of the headline, of which Teams has five.
fn style(group: &Group) -> &'static str {
    match group.worst() {
        _ if group.firing() == 0 => "good",
        Severity::Info => "accent",
        Severity::Warning => "warning",
        Severity::Error | Severity::Critical => "attention",
    }
}

watchfire_sdk::export! { formatter: "teams-card" => TeamsCard }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{alert, open_formatter};

    #[test]
    fn the_largest_card_is_smaller_than_teams_takes() {
        let labels: Vec<(String, String)> = (0..30).map(|i| (format!("label_{i}"), "ü".repeat(500))).collect();
        let huge = Alert { labels, summary: "ü".repeat(5_000), ..alert(&[], 0) };
        let mut card: TeamsCard = open_formatter(r#"{"max_alerts": 20}"#).unwrap();
        let message = card.format(&Group { alerts: vec![huge; 30], ..Group::default() }).unwrap();
        assert!(message.body.len() < 28_000, "{}", message.body.len());
        assert!(message.body.contains(" more alerts"));
    }

    #[test]
    fn facts_and_links_are_those_that_were_asked_for() {
        let one = Alert {
            annotations: vec![
                ("runbook_url".into(), "https://wiki/a".into()),
                ("dashboard_url".into(), "javascript:".into()),
            ],
            ..alert(&[("alertname", "A"), ("zone", "eu"), ("pod", "p")], 0)
        };
        let mut card: TeamsCard = open_formatter(r#"{"facts": ["zone"]}"#).unwrap();
        let message = card.format(&Group { alerts: vec![one], ..Group::default() }).unwrap();
        let body: Value = serde_json::from_str(&message.body).unwrap();
        let content = &body["attachments"][0]["content"];
        assert_eq!(
            content["actions"],
            json!([{"type": "Action.OpenUrl", "title": "Runbook", "url": "https://wiki/a"}])
        );
        assert_eq!(content["body"][1]["items"][1]["facts"], json!([{"title": "zone", "value": "eu"}]));
        assert_eq!(content["body"][0]["style"], "warning");
    }
}
