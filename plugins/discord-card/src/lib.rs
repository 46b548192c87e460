//! `discord-card`: an embed for a Discord webhook, coloured by severity.
//!
//! Discord refuses a message that passes a limit: 256 characters of title, 25 fields of 256 and 1,024, 6,000 in all
//! (Discord Developer Documentation, "Embed Limits").

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use watchfire_sdk::words::{cut, is_link, span, time};
use watchfire_sdk::{Alert, Descriptor, Error, Formatter, Group, Message, Severity};

const FIELDS_MAX: usize = 25;
/// Of the 6,000 for title, footer and counts there remain some hundred.
const BUDGET: usize = 5_500;

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Alerts to show one by one, at most 24; the others are counted.
    pub max_alerts: usize,
    /// By severity, whom to mention while it fires: `@here`, `<@&role>`.
    pub mention: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Config {
        Config { max_alerts: 10, mention: BTreeMap::new() }
    }
}

/// The formatter, opened for one channel.
#[derive(Debug)]
pub struct DiscordCard(Config);

impl Formatter for DiscordCard {
    type Config = Config;
    const DESCRIPTOR: Descriptor = Descriptor::new("Writes an embed for Discord, coloured by severity.");

    fn open(config: Config) -> Result<DiscordCard, Error> {
        if !(1..FIELDS_MAX).contains(&config.max_alerts) {
            return Err(Error::config("/max_alerts", format!("must be 1 to 24, is {}", config.max_alerts)));
        }
        if let Some(word) = config.mention.keys().find(|word| Severity::ALL.iter().all(|s| s.as_str() != **word)) {
            let message = format!("{word:?} is no severity; use info, warning, error or critical");
            return Err(Error::config(format!("/mention/{word}"), message));
        }
        Ok(DiscordCard(config))
    }

    fn format(&mut self, group: &Group) -> Result<Message, Error> {
        let headline = cut(&group.headline(), 256);
        let (mut fields, mut left) = (Vec::new(), BUDGET);
        for alert in group.alerts.iter().take(self.0.max_alerts) {
            let (name, value) = describe(alert, group.at_ms);
            let Some(rest) = left.checked_sub(name.chars().count() + value.chars().count()) else { break };
            left = rest;
            fields.push(json!({"name": name, "value": value}));
        }
        if fields.len() < group.alerts.len() {
            fields
                .push(json!({"name": format!("and {} more", group.alerts.len() - fields.len()), "value": "\u{200b}"}));
        }
        let mention = self.0.mention.get(group.worst().as_str()).filter(|_| group.firing() > 0);
        let link = [group.annotation("runbook_url").unwrap_or_default(), &group.external_url];
        let link = link.into_iter().find(|address| is_link(address));
        let body = json!({
            "content": mention.map_or("", String::as_str),
            "embeds": [{
                "title": headline,
                "url": link,
                "color": group.colour(),
                "fields": fields,
                "footer": {"text": format!("{}, {}", cut(&group.receiver, 100), time(group.at_ms))},
            }],
            // A label must not wake a server: only what the operator wrote mentions somebody.
            "allowed_mentions": {"parse": if mention.is_some() { json!(["everyone", "roles", "users"]) } else { json!([]) }},
        });
        Ok(Message {
            title: headline,
            content_type: "application/json".into(),
            body: body.to_string(),
            ..Message::default()
        })
    }
}

fn describe(alert: &Alert, at_ms: i64) -> (String, String) {
    let name = format!("{} {}", alert.sign(), if alert.name.is_empty() { "alert" } else { &alert.name });
    let hidden = ["alertname", "severity"];
    let labels = alert.labels.iter().filter(|(name, _)| !hidden.contains(&name.as_str()));
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={}", value.replace('`', "'"))).collect();
    let mut value = cut(&alert.summary, 500);
    if !labels.is_empty() {
        value.push_str(&format!("\n`{}`", cut(&labels.join("  "), 300)));
    }
    value.push_str(&format!("\nsince {}, for {}", time(alert.starts_ms), span(alert.lasted_ms(at_ms))));
    (cut(&name, 256), value)
}

watchfire_sdk::export! { formatter: "discord-card" => DiscordCard }

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use watchfire_sdk::testing::{alert, open_formatter};

    fn format(config: &str, alerts: Vec<Alert>) -> Value {
        let mut card: DiscordCard = open_formatter(config).unwrap();
        let group = Group { alerts, external_url: "https://watchfire".into(), ..Group::default() };
        serde_json::from_str(&card.format(&group).unwrap().body).unwrap()
    }

    #[test]
    fn the_largest_embed_keeps_the_limits() {
        let huge =
            Alert { summary: "ü".repeat(5_000), name: "n".repeat(500), ..alert(&[("pod", &"p".repeat(900))], 0) };
        let embed = &format(r#"{"max_alerts": 24}"#, vec![huge; 40])["embeds"][0];
        let count = |value: &Value| value.as_str().unwrap().chars().count();
        let fields = embed["fields"].as_array().unwrap();
        assert!(
            fields.len() <= FIELDS_MAX
                && fields.iter().all(|field| count(&field["name"]) <= 256 && count(&field["value"]) <= 1_024)
        );
        let all: usize = fields.iter().map(|field| count(&field["name"]) + count(&field["value"])).sum();
        assert!(all + count(&embed["title"]) + count(&embed["footer"]["text"]) <= 6_000, "{all}");
        assert_eq!(fields.last().unwrap()["name"], format!("and {} more", 41 - fields.len()));
    }

    #[test]
    fn only_the_operator_mentions_somebody() {
        let critical = alert(&[("alertname", "@everyone"), ("severity", "critical")], 0);
        let body = format(r#"{"mention": {"critical": "@here"}}"#, vec![critical.clone()]);
        assert_eq!((&body["content"], &body["embeds"][0]["color"]), (&json!("@here"), &json!(0xe0_1e_5a)));
        let resolved = Alert { firing: false, ends_ms: Some(5), ..critical };
        let body = format(r#"{"mention": {"critical": "@here"}}"#, vec![resolved]);
        assert_eq!((&body["content"], &body["allowed_mentions"]["parse"]), (&json!(""), &json!([])));
        assert!(open_formatter::<DiscordCard>(r#"{"mention": {"worst": "@here"}}"#).is_err());
    }
}
