//! What Handlebars templates see beside the webhook's data: what a message for people needs, ready-made, because a template
//! should lay out and not compute.
//!
//! At the top: `headline`, `subject`, `place`, `state` (`FIRING`, `RESOLVED`, `ACKNOWLEDGED`), `isResolved`,
//! `isAcknowledged`, `severity`, `summary`, `description`, `counts`, `firingCount`, `resolvedCount`, `began`, `lasting`,
//! `at`, `links` (each with `text`, `url`, `first`), `group` (pairs of `name`, `value`), `color`, `colorSoft`,
//! `colorText`, `single`, `more` (alerts that are not among `firing` and `resolved`), `alertsURL`, `groupKey`, `reason`.
//! In each of `firing` and `resolved`, beside what an alert of the webhook has: `name`, `summary`, `severity`, `value`,
//! `chips` (labels worth showing, pairs of `name` and `value`), `moreChips`, `began`, `until`, `lasting`, `color`,
//! `colorText`, and in mails `trend` ([`Trend`](crate::Trend)), how its number came to be what it is.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use watchfire_model::{AlertStatus, Annotations, Labels, Severity, Timestamp};
use watchfire_plugin::AlertView;
use watchfire_template::Value as TemplateValue;
use watchfire_template::alertmanager::{AlertData, Data};
use watchfire_template::value::ANY_LIST;

use crate::text::{Unit, ellipsis, shorten};
use crate::webhook::go_time;
use crate::{Notification, Topic};

/// Room for one value in a message for people; the whole stands in the webhook and behind the links.
const VALUE_CHARS_MAX: usize = 2_000;
/// Room for a name or a label's value.
const SHORT_CHARS_MAX: usize = 300;
/// Labels that are shown per alert.
const LABELS_MAX: usize = 30;

/// The colours of one state, readable with white text on `strong` and dark text on `soft`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Palette {
    strong: &'static str,
    soft: &'static str,
    text: &'static str,
}

const fn palette(status: AlertStatus, severity: Severity) -> Palette {
    match (status, severity) {
        (AlertStatus::Resolved, _) => Palette { strong: "#1f8a4c", soft: "#e5f5ec", text: "#166a3a" },
        (_, Severity::Critical) => Palette { strong: "#cf1f46", soft: "#fde8ed", text: "#a81738" },
        (_, Severity::Error) => Palette { strong: "#d9480f", soft: "#fdebe2", text: "#ad380a" },
        (_, Severity::Warning) => Palette { strong: "#b7791f", soft: "#fbf2dc", text: "#8a5a12" },
        (_, Severity::Info) => Palette { strong: "#2563c9", soft: "#e6effb", text: "#1d4f9f" },
    }
}

/// Why something is told, in the words that Alertmanager has for it; what it does not know keeps its own.
pub(crate) fn reason(word: &str) -> &str {
    match word {
        "first_notification" => "first notification",
        "new_alerts_in_group" => "new alerts added",
        "new_resolved_alerts" => "some alerts resolved",
        "all_alerts_resolved" => "all alerts resolved",
        "repeat_interval_elapsed" => "repeat interval elapsed",
        "" => "unknown",
        other => other,
    }
}

/// The data of the webhook, as templates know it.
pub(crate) fn data(notification: &Notification) -> Data {
    data_of(notification, notification.alerts.len())
}

/// The same with `alerts_max` alerts; if that is fewer than there are, those that fire come first.
pub(crate) fn data_of(notification: &Notification, alerts_max: usize) -> Data {
    let alert = |view: &AlertView| AlertData {
        status: view.status,
        labels: view.alert.labels.clone(),
        annotations: view.alert.annotations.clone(),
        starts_at: view.alert.starts_at,
        ends_at: view.alert.ends_at.filter(|_| view.status == AlertStatus::Resolved),
        generator_url: view.alert.generator_url.clone(),
        fingerprint: view.alert.fingerprint().to_string(),
    };
    let alerts = match notification.alerts.len() > alerts_max {
        true => notification.firing().chain(notification.resolved()).take(alerts_max).map(alert).collect(),
        false => notification.alerts.iter().map(alert).collect(),
    };
    Data {
        receiver: notification.receiver.clone(),
        status: notification.status(),
        alerts,
        notification_reason: reason(&notification.reason).to_owned(),
        group_labels: notification.group_labels.clone(),
        common_labels: notification.common_labels.clone(),
        common_annotations: notification.common_annotations.clone(),
        route_labels: notification.route_labels.clone(),
        external_url: notification.external_url.clone(),
    }
}

/// What is added to it; alerts beyond `alerts_max` are counted and left out of `firing` and `resolved`.
pub(crate) fn extra(notification: &Notification, alerts_max: usize) -> BTreeMap<String, TemplateValue> {
    match facts(notification, alerts_max) {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value_of(value))).collect(),
        _ => BTreeMap::new(),
    }
}

/// JSON as templates see it.
pub(crate) fn value_of(json: &Value) -> TemplateValue {
    match json {
        Value::Null => TemplateValue::Nil,
        Value::Bool(truth) => TemplateValue::Bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => TemplateValue::Int(whole),
            None => TemplateValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => TemplateValue::list(&ANY_LIST, items.iter().map(value_of).collect()),
        Value::Object(members) => {
            TemplateValue::map(members.iter().map(|(name, value)| (name.clone(), value_of(value))))
        }
    }
}

fn facts(notification: &Notification, alerts_max: usize) -> Value {
    let status = notification.status();
    let severity = notification.severity();
    let (firing, resolved) = (notification.firing().count(), notification.resolved().count());
    let shown: Vec<&AlertView> = notification.firing().chain(notification.resolved()).take(alerts_max).collect();
    let colors = palette(status, severity);
    let annotation = |name: &str| notification.common_annotations.get(name).map_or("", str::trim);
    let summary = ["summary", "message"].iter().map(|name| annotation(name)).find(|text| !text.is_empty());
    let summary = summary.unwrap_or("");
    let description = Some(annotation("description")).filter(|text| *text != summary).unwrap_or("");
    let views = |wanted: AlertStatus| -> Vec<Value> {
        shown.iter().filter(|view| view.status == wanted).map(|view| alert(view, notification)).collect()
    };
    json!({
        "groupKey": notification.group_key,
        "reason": notification.reason,
        "firing": views(AlertStatus::Firing),
        "resolved": views(AlertStatus::Resolved),
        "firingCount": firing,
        "resolvedCount": resolved,
        "more": notification.alerts.len() - shown.len(),
        "single": notification.alerts.len() == 1,
        "isResolved": status == AlertStatus::Resolved,
        "isAcknowledged": notification.topic == Topic::Acknowledged,
        "state": state(notification),
        "severity": severity.as_str(),
        "color": colors.strong,
        "colorSoft": colors.soft,
        "colorText": colors.text,
        "subject": ellipsis(&notification.subject(), SHORT_CHARS_MAX, Unit::Chars),
        "place": ellipsis(&notification.place(), SHORT_CHARS_MAX, Unit::Chars),
        "headline": title(notification),
        "counts": counts(firing, resolved),
        "folded": notification.folded,
        "summary": shorten(summary, VALUE_CHARS_MAX, Unit::Chars),
        "description": shorten(description, VALUE_CHARS_MAX, Unit::Chars),
        "began": clock(notification.since(), notification.at),
        "lasting": lasting(notification),
        "at": minute(notification.at),
        "links": links(notification),
        "group": labels(&notification.group_labels),
        "alertsURL": if notification.external_url.is_empty() { String::new() } else { notification.alerts_url() },
    })
}

/// `FIRING`, `RESOLVED` or `ACKNOWLEDGED`.
fn state(notification: &Notification) -> &'static str {
    match (notification.status(), notification.topic) {
        (AlertStatus::Resolved, _) => "RESOLVED",
        (_, Topic::Acknowledged) => "ACKNOWLEDGED",
        _ => "FIRING",
    }
}

/// A line for subjects and lists: `[FIRING:2] HighLatency · eu`.
pub(crate) fn title(notification: &Notification) -> String {
    let firing = notification.firing().count();
    let state = match state(notification) {
        "FIRING" => format!("FIRING:{firing}"),
        other => other.to_owned(),
    };
    let place = notification.place();
    let place = if place.is_empty() { place } else { format!(" · {place}") };
    let line = format!("[{state}] {}{place}", notification.subject());
    ellipsis(&line.split_whitespace().collect::<Vec<_>>().join(" "), SHORT_CHARS_MAX, Unit::Chars).into_owned()
}

fn counts(firing: usize, resolved: usize) -> String {
    let mut parts = Vec::new();
    if firing > 0 {
        parts.push(format!("{firing} firing"));
    }
    if resolved > 0 {
        parts.push(format!("{resolved} resolved"));
    }
    parts.join(", ")
}

fn lasting(notification: &Notification) -> String {
    let end = match notification.status() {
        AlertStatus::Firing => notification.at,
        AlertStatus::Resolved => {
            notification.alerts.iter().filter_map(|v| v.alert.ends_at).max().unwrap_or(notification.at)
        }
    };
    span(notification.since(), end)
}

fn alert(view: &AlertView, notification: &Notification) -> Value {
    let alert = &view.alert;
    let colors = palette(view.status, view.severity);
    let own = alert.labels.filter(|name| notification.common_labels.get(name).is_none());
    let name = display_name(&alert.labels, &own);
    let annotation = |name: &str| alert.annotations.get(name).map_or("", str::trim);
    let said_by_all = |name: &str| notification.alerts.len() > 1 && notification.common_annotations.get(name).is_some();
    let said =
        ["summary", "message", "description"].iter().find(|name| !annotation(name).is_empty() && !said_by_all(name));
    let end = alert.ends_at.unwrap_or(notification.at);
    // What the name says already is not said again.
    let named = own.iter().find(|label| label.value == name).map_or("", |label| label.name);
    let shown = if notification.alerts.len() == 1 { alert.labels.without("alertname") } else { own.without(named) };
    let chips = shown.without("severity");
    json!({
        "status": view.status.as_str(),
        "labels": object(&alert.labels),
        "annotations": texts(&alert.annotations),
        "startsAt": go_time(alert.starts_at),
        "endsAt": alert.ends_at.map(go_time),
        "generatorURL": if is_link(&alert.generator_url) { &*alert.generator_url } else { "" },
        "fingerprint": alert.fingerprint().to_string(),
        "value": alert.value.map(number),
        "trend": notification.trends.get(&alert.fingerprint()).and_then(|trend| trend.drawn(colors.strong, view.status)),
        "name": ellipsis(name, SHORT_CHARS_MAX, Unit::Chars),
        "summary": said.map(|name| shorten(annotation(name), VALUE_CHARS_MAX, Unit::Chars)),
        "severity": view.severity.as_str(),
        "color": colors.strong,
        "colorText": colors.text,
        "chips": labels(&chips),
        "moreChips": chips.len().saturating_sub(LABELS_MAX),
        "began": clock(alert.starts_at, notification.at),
        "until": alert.ends_at.map(|end| clock(end, notification.at)),
        "lasting": span(alert.starts_at, if view.status == AlertStatus::Resolved { end } else { notification.at }),
    })
}

/// What tells an alert from its siblings: the label by which people know a thing, among those that are its own.
pub(crate) fn display_name<'a>(all: &'a Labels, own: &'a Labels) -> &'a str {
    let known = ["instance", "host", "node", "pod", "service", "job"];
    let of = |labels: &'a Labels| known.iter().find_map(|name| labels.get(name));
    let first = own.iter().find(|label| label.name != "severity" && label.name != "alertname").map(|label| label.value);
    of(own).or(first).or_else(|| of(all)).unwrap_or_else(|| all.value_or_empty("alertname"))
}

fn object(labels: &Labels) -> Value {
    labels.iter().map(|l| (l.name.to_owned(), Value::from(l.value))).collect::<Map<_, _>>().into()
}

pub(crate) fn texts(annotations: &Annotations) -> Value {
    annotations.iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect::<Map<_, _>>().into()
}

fn labels(labels: &Labels) -> Vec<Value> {
    let short = |text: &str| ellipsis(text, SHORT_CHARS_MAX, Unit::Chars).into_owned();
    labels.iter().take(LABELS_MAX).map(|l| json!({"name": short(l.name), "value": short(l.value)})).collect()
}

/// Buttons, the most useful first.
fn links(notification: &Notification) -> Vec<Value> {
    let annotation = |name: &str| notification.common_annotations.get(name).unwrap_or_default().to_owned();
    let mut links = vec![("Runbook", annotation("runbook_url")), ("Dashboard", annotation("dashboard_url"))];
    if !notification.external_url.is_empty() {
        if notification.status() == AlertStatus::Firing {
            links.push(("Silence", notification.silence_url()));
        }
        links.push(("Open in Watchfire", notification.alerts_url()));
    }
    let usable = links.into_iter().filter(|(_, url)| is_link(url)).enumerate();
    usable.map(|(i, (text, url))| json!({"text": text, "url": url, "first": i == 0})).collect()
}

/// Whether a text is an address that may stand behind a link: nothing that a reader's click would execute.
pub(crate) fn is_link(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && url.len() <= 3_000
        && !url.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"'))
}

/// The time alone on the day of the message, else with its date.
pub(crate) fn clock(time: Timestamp, now: Timestamp) -> String {
    let (time, now) = (time.to_chrono(), now.to_chrono());
    let form = if time.date_naive() == now.date_naive() { "%H:%M UTC" } else { "%-d %b, %H:%M UTC" };
    time.format(form).to_string()
}

fn minute(time: Timestamp) -> String {
    time.to_chrono().format("%a %-d %b %Y, %H:%M UTC").to_string()
}

/// A span in the two largest units, for people.
pub(crate) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.since(from).as_millis().max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let seconds = seconds % 60;
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) if minutes < 10 && seconds > 0 => format!("{minutes} min {seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, 0) => format!("{hours} h"),
        (0, ..) => format!("{hours} h {minutes} min"),
        (_, 0, _) => format!("{days} d"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A number with as many digits as help a reader.
pub(crate) fn number(value: f64) -> String {
    if value.is_finite() && value != 0.0 && !(1e-4..1e15).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let decimals = if value.abs() >= 100.0 { 1 } else { 4 };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_numbers_read_well() {
        let at = |seconds: i64| span(Timestamp::EPOCH, Timestamp::from_secs(seconds));
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (720, "12 min"),
            (725, "12 min"),
            (3_600, "1 h"),
            (5_400, "1 h 30 min"),
            (86_400, "1 d"),
            (90_000, "1 d 1 h"),
            (-5, "0 s"),
        ] {
            assert_eq!(at(seconds), expected);
        }
        for (value, expected) in [
            (0.0, "0"),
            (0.0714, "0.0714"),
            (99.123456, "99.1235"),
            (1234.56, "1234.6"),
            (1.0, "1"),
            (1e-7, "1.000e-7"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
