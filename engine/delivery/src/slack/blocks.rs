//! The built-in message in Block Kit, inside an attachment because only attachments have a coloured bar.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use watchfire_model::{AlertStatus, Labels, Severity, Timestamp};
use watchfire_plugin::{AlertView, Message};

use super::interactive::{ACKNOWLEDGE, SILENCE};
use super::{HEADER_CHARS_MAX, SECTION_CHARS_MAX, UNIT, escape, shorten_markup};
use crate::Notification;
use crate::text::ellipsis;
use crate::view::{display_name, is_link, number, span};

/// Alerts that are shown one by one; the rest is a number. Slack folds long messages and nobody scrolls through them.
const ALERTS_SHOWN_MAX: usize = 10;
/// Room for one alert's text.
const ALERT_CHARS_MAX: usize = 700;
/// Room for what all alerts say.
const COMMON_CHARS_MAX: usize = 2_400;
/// Room for one label's value.
const LABEL_CHARS_MAX: usize = 120;
/// Labels that are shown as fields of a single alert; Slack takes ten.
const FIELDS_MAX: usize = 10;

/// The whole message.
pub(super) fn attachment(
    notification: &Notification,
    color: &str,
    interactive: bool,
    notes: &mut Vec<String>,
) -> Value {
    let mut blocks = vec![header(&headline(notification))];
    let said = said_by_all(notification);
    if !said.is_empty() {
        blocks.push(section(&said, COMMON_CHARS_MAX));
    }
    blocks.push(context(&state_line(notification)));
    match notification.alerts.as_slice() {
        [only] => blocks.extend(label_fields(&only.alert.labels, notification)),
        alerts => {
            let ordered: Vec<&AlertView> = notification.firing().chain(notification.resolved()).collect();
            for view in ordered.iter().take(ALERTS_SHOWN_MAX) {
                blocks.push(section(&alert_text(view, notification), ALERT_CHARS_MAX));
            }
            let left = alerts.len().saturating_sub(ALERTS_SHOWN_MAX);
            if left > 0 {
                notes.push(format!("{left} alerts are not shown one by one"));
                blocks.push(context(&left_line(&ordered[ALERTS_SHOWN_MAX..])));
            }
        }
    }
    let buttons = buttons(notification, interactive);
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    blocks.push(context(&format!("Watchfire · {} · {}", escape(&notification.receiver), date(notification.at))));
    json!({"color": color, "fallback": fallback(notification), "blocks": blocks})
}

/// A text in Slack's markup with a headline, as a template or a formatter gave it.
pub(super) fn from_text(message: &Message, notification: &Notification, color: &str, interactive: bool) -> Value {
    let (title, body) = (&message.title, &message.body);
    let headline = if title.trim().is_empty() { headline(notification) } else { title.trim().to_owned() };
    let mut blocks = vec![header(&headline)];
    if !body.trim().is_empty() {
        blocks.push(section(body.trim_end(), SECTION_CHARS_MAX));
    }
    let buttons = buttons(notification, interactive);
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    json!({"color": color, "fallback": ellipsis(&headline, HEADER_CHARS_MAX, UNIT), "blocks": blocks})
}

fn header(text: &str) -> Value {
    let text = ellipsis(text, HEADER_CHARS_MAX, UNIT);
    json!({"type": "header", "text": {"type": "plain_text", "text": text, "emoji": true}})
}

fn section(text: &str, max: usize) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": shorten_markup(text, max)}})
}

fn context(text: &str) -> Value {
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": shorten_markup(text, SECTION_CHARS_MAX)}]})
}

fn headline(notification: &Notification) -> String {
    let sign = match (notification.status(), notification.looked_after, notification.severity()) {
        (AlertStatus::Resolved, _, _) => "✅",
        (_, true, _) => "👀",
        (_, _, Severity::Critical | Severity::Error) => "🔥",
        (_, _, Severity::Warning) => "⚠️",
        (_, _, Severity::Info) => "ℹ️",
    };
    let place = notification.place();
    let place = if place.is_empty() { place } else { format!(" · {place}") };
    format!("{sign} {}{place}", notification.subject())
}

/// What a phone shows: plain text, so nothing is escaped twice.
fn fallback(notification: &Notification) -> String {
    let firing = notification.firing().count();
    let state = match (notification.status(), notification.looked_after) {
        (AlertStatus::Resolved, _) => "RESOLVED".to_owned(),
        (_, true) => "ACKNOWLEDGED".to_owned(),
        _ => format!("FIRING:{firing}"),
    };
    let common = ["summary", "message", "description"].iter().find_map(|k| notification.common_annotations.get(k));
    let said = common.map_or_else(String::new, |text| format!(": {text}"));
    escape(&ellipsis(&format!("[{state}] {}{said}", notification.subject()), 500, UNIT))
}

/// The summary and, if it says something else, the description that all alerts share.
fn said_by_all(notification: &Notification) -> String {
    let annotation = |name: &str| notification.common_annotations.get(name).map(str::trim);
    let summary = annotation("summary").or_else(|| annotation("message")).unwrap_or("");
    let description = annotation("description").filter(|text| *text != summary).unwrap_or("");
    match (summary.is_empty(), description.is_empty()) {
        (false, false) => format!("*{}*\n{}", escape(&one_line(summary)), escape(description)),
        (false, true) => format!("*{}*", escape(&one_line(summary))),
        (true, _) => escape(description),
    }
}

/// Bold text must not go over the end of a line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn state_line(notification: &Notification) -> String {
    let (firing, resolved) = (notification.firing().count(), notification.resolved().count());
    let mut parts = Vec::new();
    if notification.looked_after && notification.status() == AlertStatus::Firing {
        parts.push("*acknowledged*".to_owned());
    }
    if firing > 0 {
        parts.push(format!("*{}*", notification.severity()));
        parts.push(format!("{firing} firing"));
    }
    if resolved > 0 {
        parts.push(format!("{resolved} resolved"));
    }
    parts.push(match notification.status() {
        AlertStatus::Firing => format!("since {}", date(notification.since())),
        AlertStatus::Resolved => format!("after {}", span(notification.since(), end(notification))),
    });
    parts.join("  ·  ")
}

fn end(notification: &Notification) -> Timestamp {
    notification.alerts.iter().filter_map(|view| view.alert.ends_at).max().unwrap_or(notification.at)
}

/// A time that Slack shows in the reader's own zone.
fn date(time: Timestamp) -> String {
    let seconds = time.as_millis().div_euclid(1000);
    format!("<!date^{seconds}^{{date_short_pretty}} {{time}}|{}>", time.to_chrono().format("%Y-%m-%d %H:%M UTC"))
}

/// The labels of a single alert in two columns.
fn label_fields(labels: &Labels, notification: &Notification) -> Option<Value> {
    let hidden: BTreeSet<&str> = ["alertname", "severity"].into_iter().collect();
    let shown: Vec<_> = labels.iter().filter(|l| !hidden.contains(l.name)).collect();
    let mut fields: Vec<Value> = Vec::new();
    let room = if shown.len() > FIELDS_MAX { FIELDS_MAX - 1 } else { FIELDS_MAX };
    for label in shown.iter().take(room) {
        let value = ellipsis(label.value, LABEL_CHARS_MAX, UNIT);
        let name = ellipsis(label.name, LABEL_CHARS_MAX, UNIT);
        fields.push(json!({"type": "mrkdwn", "text": format!("*{}*\n{}", escape(&name), escape(&one_line(&value)))}));
    }
    if shown.len() > room {
        let left = shown.len() - room;
        fields.push(json!({"type": "mrkdwn", "text": format!("_and {left} more labels_")}));
    }
    let value = notification.alerts.first().and_then(|view| view.alert.value);
    if let Some(value) = value
        && fields.len() < FIELDS_MAX
    {
        fields.push(json!({"type": "mrkdwn", "text": format!("*value*\n{}", number(value))}));
    }
    if fields.is_empty() { None } else { Some(json!({"type": "section", "fields": fields})) }
}

/// One alert among several: what tells it apart, what it says, where it comes from.
fn alert_text(view: &AlertView, notification: &Notification) -> String {
    let alert = &view.alert;
    let own = alert.labels.filter(|name| notification.common_labels.get(name).is_none());
    let name = display_name(&alert.labels, &own);
    let sign = match (view.status, view.severity) {
        (AlertStatus::Resolved, _) => "✅",
        (_, Severity::Critical | Severity::Error) => "🔴",
        (_, Severity::Warning) => "🟡",
        (_, Severity::Info) => "🔵",
    };
    let mut text = format!("{sign} *{}*", escape(&one_line(&ellipsis(name, LABEL_CHARS_MAX, UNIT))));
    let said = ["summary", "message", "description"]
        .iter()
        .find_map(|key| alert.annotations.get(key).filter(|_| notification.common_annotations.get(key).is_none()));
    if let Some(said) = said {
        text.push_str(&format!("  {}", escape(&ellipsis(said.trim(), 280, UNIT))));
    }
    let mut tail: Vec<String> = own
        .iter()
        .filter(|l| l.value != name && l.name != "severity" && l.name != "alertname")
        .take(6)
        .map(|l| format!("`{}`", escape(&ellipsis(&format!("{}={}", l.name, l.value), 60, UNIT)).replace('`', "ˋ")))
        .collect();
    if view.status == AlertStatus::Resolved {
        let over = alert.ends_at.unwrap_or(notification.at);
        tail.push(format!("after {}", span(alert.starts_at, over)));
    }
    let shared = notification.alerts.iter().all(|other| other.alert.generator_url == alert.generator_url);
    // A source that all alerts share has a button of its own.
    if !shared && is_link(&alert.generator_url) && alert.generator_url.len() < 300 {
        tail.push(format!("<{}|source>", escape(&alert.generator_url).replace('|', "%7C")));
    }
    if !tail.is_empty() {
        text.push('\n');
        text.push_str(&tail.join("  "));
    }
    text
}

fn left_line(views: &[&AlertView]) -> String {
    let firing = views.iter().filter(|view| view.status == AlertStatus::Firing).count();
    match (firing, views.len() - firing) {
        (firing, 0) => format!("… and {firing} more firing alerts"),
        (0, resolved) => format!("… and {resolved} more resolved alerts"),
        (firing, resolved) => format!("… and {firing} more firing and {resolved} more resolved alerts"),
    }
}

fn buttons(notification: &Notification, interactive: bool) -> Vec<Value> {
    let annotation = |name: &str| notification.common_annotations.get(name).unwrap_or("");
    let mut urls = vec![("Runbook", annotation("runbook_url").to_owned())];
    urls.push(("Dashboard", annotation("dashboard_url").to_owned()));
    if let Some(first) = notification.alerts.first()
        && notification.alerts.iter().all(|view| view.alert.generator_url == first.alert.generator_url)
    {
        urls.push(("Source", first.alert.generator_url.to_string()));
    }
    if !notification.external_url.is_empty() {
        if notification.status() == AlertStatus::Firing {
            urls.push(("Silence", notification.silence_url()));
        }
        urls.push(("Open in Watchfire", notification.alerts_url()));
    }
    let usable = urls.into_iter().filter(|(_, url)| is_link(url));
    let links = usable.map(|(text, url)| {
        let id = text.to_ascii_lowercase().replace(' ', "_");
        json!({"type": "button", "text": {"type": "plain_text", "text": text}, "url": url, "action_id": id})
    });
    let acts = if interactive { acts(notification) } else { Vec::new() };
    acts.into_iter().chain(links).collect()
}

/// The buttons that act, alone: below an attachment that is the receiver's own.
pub(super) fn acting(notification: &Notification, color: &str) -> Option<Value> {
    let acts = acts(notification);
    (!acts.is_empty()).then(|| json!({"color": color, "blocks": [{"type": "actions", "elements": acts}]}))
}

fn acts(notification: &Notification) -> Vec<Value> {
    let acts: &[(&str, &str)] = match notification.status() {
        AlertStatus::Firing => &[("Acknowledge", ACKNOWLEDGE), ("Silence for 1 h", SILENCE)],
        AlertStatus::Resolved => &[],
    };
    let acts = acts.iter().filter(|(_, id)| *id != ACKNOWLEDGE || !notification.looked_after);
    let button = |(text, id): &(&str, &str)| {
        let value = notification.group_hash();
        json!({"type": "button", "text": {"type": "plain_text", "text": text}, "action_id": id, "value": value})
    };
    acts.map(button).collect()
}
