//! `slack-card`: an incident card in Slack's Block Kit, coloured by severity, with links to act on.
//!
//! See `README.md` for the configuration and for what the card looks like. Slack refuses a message that passes any of
//! its limits, so every text is cut to its own and the sum of all to a budget; a page must not be lost for its length.

mod text;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use watchfire_sdk::words::{cut, span};
use watchfire_sdk::{Alert, Descriptor, Error, Formatter, Group, Message, Severity};

use text::{encode, is_link, mrkdwn};

/// Slack's limits, in characters and counts.
const HEADER_MAX: usize = 150;
const FIELD_MAX: usize = 2_000;
const FIELDS_MAX: usize = 10;
const BUTTON_MAX: usize = 75;
/// Over all blocks Slack gives up at about 12,000, without saying where exactly.
const BUDGET: usize = 9_000;
/// Slack takes 50 blocks; each alert takes one, and five more are around them.
const ALERTS_MAX: usize = 40;

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Alerts to show one by one, at most 40; the others are counted.
    pub max_alerts: usize,
    /// Labels to show as fields, in this order; without any, those by which the alerts are grouped.
    pub fields: Vec<String>,
    /// What to write in front of the text while alerts of a severity fire, such as `<!here>` or `<@U123>`.
    pub mention: BTreeMap<String, String>,
    /// Annotations with a link that become buttons: the annotation's name and the button's text.
    pub buttons: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Config {
        let buttons = [("runbook_url", "Runbook"), ("dashboard_url", "Dashboard")];
        Config {
            max_alerts: 10,
            fields: Vec::new(),
            mention: BTreeMap::new(),
            buttons: buttons.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        }
    }
}

/// The formatter, opened for one channel.
#[derive(Debug)]
pub struct SlackCard {
    config: Config,
}

impl Formatter for SlackCard {
    type Config = Config;
    const DESCRIPTOR: Descriptor =
        Descriptor::new("Writes an incident card in Slack's Block Kit, coloured by severity, with links to act on.")
            .with_schema(include_str!("../config.schema.json"));

    fn open(config: Config) -> Result<SlackCard, Error> {
        if config.max_alerts == 0 || config.max_alerts > ALERTS_MAX {
            let message = format!("must be 1 to {ALERTS_MAX}, is {}", config.max_alerts);
            return Err(Error::config("/max_alerts", message));
        }
        if config.fields.len() > FIELDS_MAX {
            return Err(Error::config("/fields", format!("Slack shows {FIELDS_MAX} fields at most")));
        }
        if let Some(severity) = config.mention.keys().find(|key| !Severity::ALL.iter().any(|s| s.as_str() == **key)) {
            let message = format!("{severity:?} is no severity; use info, warning, error or critical");
            return Err(Error::config(format!("/mention/{severity}"), message));
        }
        Ok(SlackCard { config })
    }

    fn format(&mut self, group: &Group) -> Result<Message, Error> {
        let (firing, worst) = (group.firing(), group.worst());
        let headline = cut(&group.headline(), HEADER_MAX);
        let mut blocks =
            vec![json!({"type": "header", "text": {"type": "plain_text", "text": headline, "emoji": true}})];
        let mut budget = Budget(BUDGET.saturating_sub(HEADER_MAX));
        blocks.extend(self.mention(firing, worst, &mut budget));
        blocks.extend(self.fields(group, &mut budget));
        let mut shown = 0;
        for alert in group.alerts.iter().take(self.config.max_alerts) {
            let Some(text) = budget.take(describe(alert, group.at_ms, &group.external_url)) else { break };
            blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}));
            shown += 1;
        }
        if shown < group.alerts.len() {
            blocks.push(context(&format!("and {} more alerts", group.alerts.len() - shown)));
        }
        blocks.extend(self.buttons(group));
        let body = json!({
            // What a notification on a phone shows, and where blocks are not.
            "text": mrkdwn(&headline, 3_000),
            "attachments": [{"color": format!("#{:06x}", group.colour()), "fallback": mrkdwn(&headline, 3_000), "blocks": blocks}],
        });
        Ok(Message {
            title: headline,
            content_type: "application/json".to_owned(),
            body: body.to_string(),
            ..Message::default()
        })
    }
}

/// What may still be written.
struct Budget(usize);

impl Budget {
    fn take(&mut self, text: String) -> Option<String> {
        self.0 = self.0.checked_sub(text.chars().count())?;
        Some(text)
    }
}

impl SlackCard {
    fn mention(&self, firing: usize, worst: Severity, budget: &mut Budget) -> Option<Value> {
        let who = self.config.mention.get(worst.as_str()).filter(|who| firing > 0 && !who.is_empty())?;
        // The operator's own mark-up: it must stay as it is to work.
        let text = budget.take(cut(who, 200))?;
        Some(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}))
    }

    /// The labels that matter, two to a line.
    fn fields(&self, group: &Group, budget: &mut Budget) -> Option<Value> {
        let chosen: Vec<(&str, String)> = if self.config.fields.is_empty() {
            group.group_labels.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
        } else {
            self.config.fields.iter().map(|name| (name.as_str(), group.values(name))).collect()
        };
        let fields: Vec<Value> = chosen
            .into_iter()
            .filter(|(name, value)| *name != "alertname" && !value.is_empty())
            .take(FIELDS_MAX)
            .filter_map(|(name, value)| {
                let text = format!("*{}*\n{}", mrkdwn(name, 100), mrkdwn(&value, (FIELD_MAX - 110).min(200)));
                budget.take(text).map(|text| json!({"type": "mrkdwn", "text": text}))
            })
            .collect();
        (!fields.is_empty()).then(|| json!({"type": "section", "fields": fields}))
    }

    fn buttons(&self, group: &Group) -> Option<Value> {
        let annotations = self.config.buttons.iter().filter_map(|(annotation, text)| {
            let address = group.alerts.iter().find_map(|alert| alert.annotation(annotation))?;
            Some((text.as_str(), address.to_owned()))
        });
        let base = group.external_url.trim_end_matches('/');
        let own = (!base.is_empty()).then(|| {
            [("Silence", format!("{base}/silences/new?{}", matchers(group))), ("Open in Watchfire", base.to_owned())]
        });
        let buttons: Vec<Value> = annotations
            .chain(own.into_iter().flatten())
            .filter(|(_, address)| is_link(address))
            .take(5)
            .enumerate()
            .map(|(number, (text, address))| {
                json!({
                    "type": "button",
                    "action_id": format!("open-{number}"),
                    "text": {"type": "plain_text", "text": cut(text, BUTTON_MAX)},
                    "url": address,
                })
            })
            .collect();
        (!buttons.is_empty()).then(|| json!({"type": "actions", "elements": buttons}))
    }
}

/// One alert in a few lines. Every part is bounded, the sum stays far below the 3,000 characters of a section.
fn describe(alert: &Alert, at_ms: i64, external_url: &str) -> String {
    let name = mrkdwn(if alert.name.is_empty() { "alert" } else { &alert.name }, 150);
    let link = [alert.generator_url.as_str(), external_url].into_iter().find(|address| is_link(address));
    // A label may name the link, but what is shown of it must not end it early.
    let name = match link.filter(|address| address.len() < 300) {
        Some(address) => format!("<{}|{}>", address.replace('&', "&amp;"), name.replace('|', "¦")),
        None => name,
    };
    let mut text = format!("{} *{name}*", alert.sign());
    if !alert.summary.is_empty() {
        text.push_str(&format!("\n{}", mrkdwn(&alert.summary, 300)));
    }
    let hidden = ["alertname", "severity"];
    let labels = alert.labels.iter().filter(|(name, _)| !hidden.contains(&name.as_str()));
    let labels: Vec<_> = labels.take(12).map(|(name, value)| format!("{name}={}", value.replace('`', "'"))).collect();
    if !labels.is_empty() {
        text.push_str(&format!("\n`{}`", mrkdwn(&labels.join("  "), 200)));
    }
    let since = |ms: i64| format!("<!date^{0}^{{date_short_pretty}} {{time_secs}}|{0}>", ms.div_euclid(1_000));
    match alert.ends_ms {
        Some(ends) if !alert.firing => {
            text.push_str(&format!("\nresolved {} after {}", since(ends), span(ends - alert.starts_ms)));
        }
        _ => text.push_str(&format!("\nsince {}, for {}", since(alert.starts_ms), span(at_ms - alert.starts_ms))),
    }
    text
}

/// The group's labels as the query of a link that begins a silence.
fn matchers(group: &Group) -> String {
    let pairs = group.group_labels.iter().map(|(name, value)| format!("{name}={}", serde_json::json!(value)));
    pairs.map(|matcher| format!("matcher={}", encode(&matcher))).collect::<Vec<_>>().join("&")
}

fn context(text: &str) -> Value {
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": mrkdwn(text, 300)}]})
}

watchfire_sdk::export! { formatter: "slack-card" => SlackCard }

#[cfg(test)]
mod tests;
