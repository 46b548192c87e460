//! `slack-card`: an incident card in Slack's Block Kit, coloured by severity, with links to act on.
//!
//! See `README.md` for the configuration and for what the card looks like. Slack refuses a message that passes any of
//! its limits, so every text is cut to its own and the sum of all to a budget; a page must not be lost for its length.

mod blocks;
mod text;

use std::collections::BTreeMap;

use serde::Deserialize;
use watchfire_sdk::words::{cut, span, time};
use watchfire_sdk::{Alert, Descriptor, Error, Formatter, Group, Message, Severity};

use blocks::{Block, Button, Card, Text};
use text::{encode, is_link, mrkdwn, push_mrkdwn};

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
        let mut blocks = vec![Block::header(headline.as_str())];
        let mut budget = Budget(BUDGET.saturating_sub(HEADER_MAX));
        blocks.extend(self.mention(firing, worst, &mut budget));
        blocks.extend(self.fields(group, &mut budget));
        let named = group.values("alertname");
        let mut shown = 0;
        for alert in group.alerts.iter().take(self.config.max_alerts) {
            let Some(text) = budget.take(describe(alert, &named, group)) else { break };
            blocks.push(Block::text(text));
            shown += 1;
        }
        if shown < group.alerts.len() {
            blocks.push(Block::context(format!("and {} more alerts", group.alerts.len() - shown)));
        }
        blocks.extend(self.buttons(group));
        let body = Card::new(&mrkdwn(&headline, 3_000), group.colour(), blocks).to_json();
        Ok(Message { title: headline, content_type: "application/json".to_owned(), body, ..Message::default() })
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
    fn mention(&self, firing: usize, worst: Severity, budget: &mut Budget) -> Option<Block<'_>> {
        let who = self.config.mention.get(worst.as_str()).filter(|who| firing > 0 && !who.is_empty())?;
        // The operator's own mark-up: it must stay as it is to work.
        let text = budget.take(cut(who, 200))?;
        Some(Block::text(text))
    }

    /// The labels that matter, two to a line.
    fn fields(&self, group: &Group, budget: &mut Budget) -> Option<Block<'_>> {
        let chosen: Vec<(&str, String)> = if self.config.fields.is_empty() {
            group.group_labels.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
        } else {
            self.config.fields.iter().map(|name| (name.as_str(), group.values(name))).collect()
        };
        let fields: Vec<Text<'_>> = chosen
            .into_iter()
            .filter(|(name, value)| *name != "alertname" && !value.is_empty())
            .take(FIELDS_MAX)
            .filter_map(|(name, value)| {
                let text = format!("*{}*\n{}", mrkdwn(name, 100), mrkdwn(&value, (FIELD_MAX - 110).min(200)));
                budget.take(text).map(Text::mrkdwn)
            })
            .collect();
        (!fields.is_empty()).then_some(Block::fields(fields))
    }

    fn buttons(&self, group: &Group) -> Option<Block<'_>> {
        let annotations = self.config.buttons.iter().filter_map(|(annotation, text)| {
            let address = group.alerts.iter().find_map(|alert| alert.annotation(annotation))?;
            Some((text.as_str(), address.to_owned()))
        });
        let base = group.external_url.trim_end_matches('/');
        // Where Alertmanager has the form, whose links Watchfire knows too.
        let silence = || format!("{base}/#/silences/new?filter={}", encode(&matchers(group)));
        let silence = (!base.is_empty() && group.firing() > 0).then(|| ("Silence", silence()));
        let open = (!base.is_empty()).then(|| ("Open in Watchfire", base.to_owned()));
        let buttons: Vec<Button<'_>> = annotations
            .chain(silence)
            .chain(open)
            .filter(|(_, address)| is_link(address))
            .take(5)
            .enumerate()
            .map(|(number, (text, address))| Button::new(number, cut(text, BUTTON_MAX), address))
            .collect();
        (!buttons.is_empty()).then_some(Block::actions(buttons))
    }
}

/// One alert in a few lines, below a headline that names `named`. Every part is bounded, the sum stays far below the
/// 3,000 characters of a section.
fn describe(alert: &Alert, named: &str, group: &Group) -> String {
    // Written piece by piece into one text: what is built first and copied then would cost more than all the rest.
    let mut text = String::with_capacity(512);
    text.push_str(alert.sign());
    text.push_str(" *");
    // A name that all alerts share stands in the headline; what tells them apart is what they say, if one line says it.
    let says = Some(alert.summary.as_str()).filter(|summary| alert.name == named && !summary.contains('\n'));
    let title =
        says.into_iter().chain([alert.name.as_str(), "alert"]).find(|title| !title.is_empty()).unwrap_or_default();
    let shown_title = mrkdwn(title, 300);
    let link = [alert.generator_url.as_str(), &group.external_url].into_iter().find(|address| is_link(address));
    // A label may name the link, but what is shown of it must not end it early.
    match link.filter(|address| address.len() < 300) {
        Some(address) => {
            text.push('<');
            push_replaced(&mut text, address, '&', "&amp;");
            text.push('|');
            push_replaced(&mut text, &shown_title, '|', "¦");
            text.push('>');
        }
        None => text.push_str(&shown_title),
    }
    text.push('*');
    if !alert.summary.is_empty() && title != alert.summary {
        text.push('\n');
        push_mrkdwn(&mut text, &alert.summary, 300);
    }
    let shown = alert.labels.iter().filter(|(name, _)| !matches!(name.as_str(), "alertname" | "severity")).take(12);
    let mut labels = String::with_capacity(256);
    for (name, value) in shown {
        labels.push_str(if labels.is_empty() { "" } else { "  " });
        labels.push_str(name);
        labels.push('=');
        push_replaced(&mut labels, value, '`', "'");
    }
    if !labels.is_empty() {
        text.push_str("\n`");
        push_mrkdwn(&mut text, &labels, 200);
        text.push('`');
    }
    text.push_str(&match alert.ends_ms {
        Some(ends) if !alert.firing => {
            format!("\nresolved {} after {}", Since(ends), span(ends - alert.starts_ms))
        }
        _ => format!("\nsince {}, for {}", Since(alert.starts_ms), span(group.at_ms - alert.starts_ms)),
    });
    text
}

/// A time as Slack shows it in the reader's own zone, or in UTC where a client knows no dates.
struct Since(i64);

impl std::fmt::Display for Since {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, plain) = (self.0.div_euclid(1_000), time(self.0));
        write!(f, "<!date^{seconds}^{{date_short_pretty}} {{time_secs}}|{plain}>")
    }
}

/// `text` with every `from` as `to`.
fn push_replaced(into: &mut String, text: &str, from: char, to: &str) {
    for (number, piece) in text.split(from).enumerate() {
        if number > 0 {
            into.push_str(to);
        }
        into.push_str(piece);
    }
}

/// What silences the group: its labels, or those that all of its alerts share where it is grouped by none.
fn matchers(group: &Group) -> String {
    let mut labels: Vec<&(String, String)> = group.group_labels.iter().collect();
    if let ([], Some((first, others))) = (labels.as_slice(), group.alerts.split_first()) {
        let shared = |(name, value): &&(String, String)| others.iter().all(|alert| alert.label(name) == Some(value));
        labels = first.labels.iter().filter(shared).collect();
    }
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':');
    let quoted = |text: &str| serde_json::json!(text).to_string();
    let matcher = |(name, value): &(String, String)| {
        format!("{}={}", if is_plain(name) { name.clone() } else { quoted(name) }, quoted(value))
    };
    format!("{{{}}}", labels.into_iter().map(matcher).collect::<Vec<_>>().join(", "))
}

watchfire_sdk::export! { formatter: "slack-card" => SlackCard }

#[cfg(test)]
mod tests;
