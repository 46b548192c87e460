//! PagerDuty, Events API v2: trigger, acknowledge, resolve.

mod change;
mod inbound;

use serde_json::{Map, Value, json};
use watchfire_model::{AlertStatus, Severity};
use watchfire_plugin::{AlertView, Message};

pub use change::{build_change, build_v1};
pub use inbound::{Inbound, InboundEvent, is_signed, parse};

use crate::text::{Unit, cut, ellipsis};
use crate::{BuildError, Notification, Request, Topic, webhook};

/// Where events go unless the configuration says otherwise.
pub const EVENTS_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Where PagerDuty itself takes events.
const EVENTS_ORIGIN: &str = "https://events.pagerduty.com/";
/// The same for accounts in Europe.
const EVENTS_EU_ORIGIN: &str = "https://events.eu.pagerduty.com/";
/// The longest summary in characters.
pub const SUMMARY_CHARS_MAX: usize = 1024;
/// The longest deduplication key in characters.
pub const DEDUP_KEY_CHARS_MAX: usize = 255;
/// A routing key of PagerDuty has exactly this many characters.
pub const ROUTING_KEY_CHARS: usize = 32;
/// The largest event in bytes of JSON.
pub const EVENT_BYTES_MAX: usize = 512_000;
/// Room for the list of firing and for the list of resolved alerts in bytes of JSON, so that both fit with the rest.
const ALERT_LIST_BYTES_MAX: usize = 150_000;
/// Room for a short text such as the component. Not documented; generous for what these fields are for.
const SHORT_CHARS_MAX: usize = 1024;
/// Room for a link. Longer ones no browser opens.
const URL_CHARS_MAX: usize = 8_192;
/// The most links and the most images in an event. Not documented; more than a page shows.
const LINKS_MAX: usize = 50;

/// What happens to the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Opens it or adds to it.
    Trigger,
    /// Somebody works on it.
    Acknowledge,
    /// It is over.
    Resolve,
}

impl Action {
    /// The value of `event_action`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Trigger => "trigger",
            Action::Acknowledge => "acknowledge",
            Action::Resolve => "resolve",
        }
    }

    /// What a notification asks for.
    pub fn of(notification: &Notification) -> Action {
        match (notification.status(), notification.topic) {
            (AlertStatus::Resolved, _) => Action::Resolve,
            (AlertStatus::Firing, Topic::Acknowledged) => Action::Acknowledge,
            (AlertStatus::Firing, Topic::Alerts) => Action::Trigger,
        }
    }
}

/// A link below the incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Where to.
    pub href: String,
    /// What it says.
    pub text: String,
}

/// An image in the incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The image; PagerDuty takes `https` only.
    pub src: String,
    /// Where a click leads.
    pub href: String,
    /// What it shows.
    pub alt: String,
}

/// The settings of the receiver with their templates expanded. `None` and empty mean the built-in text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Where to; empty means [`EVENTS_URL`].
    pub url: String,
    /// The integration's key, of whatever version.
    pub routing_key: String,
    /// The incident's title.
    pub description: Option<String>,
    /// The level as a word; anything that [`Severity`] reads.
    pub severity: Option<String>,
    /// What is affected, such as a host.
    pub source: Option<String>,
    /// The part of the source that is responsible.
    pub component: Option<String>,
    /// The cluster of sources.
    pub group: Option<String>,
    /// The kind of event.
    pub class: Option<String>,
    /// Who sends this.
    pub client: Option<String>,
    /// A link to who sends this.
    pub client_url: Option<String>,
    /// Added to the details, replacing built-in ones of the same name.
    pub details: Vec<(String, Value)>,
    /// Links.
    pub links: Vec<Link>,
    /// Images.
    pub images: Vec<Image>,
    /// Replaces the hash of the group key.
    pub dedup_key: Option<String>,
}

/// Builds the event.
///
/// A `message` replaces the summary by its title and the details by its body: a JSON object is merged into the event's
/// `payload`, anything else becomes the detail `message`.
///
/// # Errors
/// If the routing key cannot be one, so that every event would be refused.
pub fn build(fields: &Fields, notification: &Notification, message: Option<&Message>) -> Result<Request, BuildError> {
    let routing_key = routing_key(fields)?;
    let mut notes = Vec::new();
    let url = if fields.url.is_empty() { EVENTS_URL } else { &fields.url };
    let action = Action::of(notification);
    let mut event = Map::new();
    event.insert("routing_key".to_owned(), routing_key.into());
    event.insert("dedup_key".to_owned(), dedup_key(fields, notification, message).into());
    event.insert("event_action".to_owned(), action.as_str().into());
    event.insert("payload".to_owned(), payload(fields, notification, message, &mut notes));
    let client = filled(&fields.client).unwrap_or("Watchfire");
    event.insert("client".to_owned(), ellipsis(client, SHORT_CHARS_MAX, Unit::Chars).into());
    let client_url = filled(&fields.client_url).map_or_else(|| notification.alerts_url(), str::to_owned);
    if client_url.chars().count() <= URL_CHARS_MAX && !notification.external_url.is_empty()
        || fields.client_url.is_some()
    {
        event.insert("client_url".to_owned(), client_url.into());
    }
    let links = links(fields, notification, &mut notes);
    if !links.is_empty() {
        event.insert("links".to_owned(), links.into());
    }
    let images = images(fields, &mut notes);
    if !images.is_empty() {
        event.insert("images".to_owned(), images.into());
    }
    let mut event = Value::Object(event);
    fit(&mut event, "/payload/custom_details", &mut notes);
    let mut request = Request::post_json(url, &event);
    request.notes = notes;
    Ok(request)
}

/// Services that speak PagerDuty's API have keys of other lengths; what is wrong with those they say themselves.
fn routing_key(fields: &Fields) -> Result<&str, BuildError> {
    let key = fields.routing_key.trim();
    let length = key.chars().count();
    let own =
        fields.url.is_empty() || fields.url.starts_with(EVENTS_ORIGIN) || fields.url.starts_with(EVENTS_EU_ORIGIN);
    if own && length != ROUTING_KEY_CHARS {
        let message = format!("a PagerDuty routing key has {ROUTING_KEY_CHARS} characters, this one has {length}");
        return Err(BuildError::setting("routing_key", message));
    }
    if key.is_empty() {
        return Err(BuildError::setting("routing_key", "it is empty"));
    }
    Ok(key)
}

/// The deduplication key of an alert that has an incident of its own.
pub fn alert_key(alert: &watchfire_model::Alert) -> String {
    format!("alert-{}", alert.fingerprint())
}

fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// The same for every event of the group, so that a resolve finds the incident that the trigger opened.
fn dedup_key(fields: &Fields, notification: &Notification, message: Option<&Message>) -> String {
    let wanted = message.and_then(|m| filled(&m.dedup_key)).or_else(|| filled(&fields.dedup_key));
    match wanted {
        Some(key) if key.chars().count() <= DEDUP_KEY_CHARS_MAX => key.to_owned(),
        // Cutting could make two keys equal; a hash of the whole cannot.
        Some(key) => Notification::new("", key, Default::default(), Vec::new()).group_hash(),
        None => notification.group_hash(),
    }
}

fn payload(fields: &Fields, notification: &Notification, message: Option<&Message>, notes: &mut Vec<String>) -> Value {
    let mut payload = Map::new();
    let summary = message.map(|m| m.title.trim()).filter(|title| !title.is_empty());
    let summary =
        summary.or_else(|| filled(&fields.description)).map_or_else(|| summary_of(notification), str::to_owned);
    let source = filled(&fields.source).map_or_else(|| source_of(notification), str::to_owned);
    payload.insert("summary".to_owned(), summary.into());
    payload.insert("source".to_owned(), source.into());
    payload.insert("severity".to_owned(), severity(fields, notification, notes).as_str().into());
    payload.insert("timestamp".to_owned(), notification.since().to_rfc3339().into());
    for (name, value) in [("component", &fields.component), ("group", &fields.group), ("class", &fields.class)] {
        if let Some(value) = filled(value) {
            payload.insert(name.to_owned(), value.into());
        }
    }
    payload.insert("custom_details".to_owned(), details(fields, notification).into());
    if let Some(message) = message {
        merge_message(&mut payload, message);
    }
    for (name, max) in [
        ("summary", SUMMARY_CHARS_MAX),
        ("source", SHORT_CHARS_MAX),
        ("component", SHORT_CHARS_MAX),
        ("group", SHORT_CHARS_MAX),
        ("class", SHORT_CHARS_MAX),
    ] {
        if let Some(Value::String(text)) = payload.get_mut(name)
            && let std::borrow::Cow::Owned(short) = ellipsis(text, max, Unit::Chars)
        {
            notes.push(format!("{name} is shortened to {max} characters"));
            *text = short;
        }
    }
    Value::Object(payload)
}

/// Takes from a formatter's JSON object what an event's payload knows, with the types that it must have.
fn merge_message(payload: &mut Map<String, Value>, message: &Message) {
    let parsed = serde_json::from_str::<Value>(&message.body).ok();
    let Some(Value::Object(mut object)) = parsed else {
        if !message.body.trim().is_empty() {
            payload.insert("custom_details".to_owned(), json!({"message": message.body}));
        }
        return;
    };
    // A formatter may write a whole event; the addressing around its payload is the engine's.
    if let Some(Value::Object(inner)) = object.remove("payload") {
        object = inner;
    }
    for name in ["summary", "source", "component", "group", "class"] {
        if let Some(Value::String(text)) = object.remove(name)
            && !text.trim().is_empty()
        {
            payload.insert(name.to_owned(), text.into());
        }
    }
    if let Some(level) = object.remove("severity").and_then(|v| v.as_str().and_then(|t| t.parse::<Severity>().ok())) {
        payload.insert("severity".to_owned(), level.as_str().into());
    }
    match object.remove("custom_details") {
        Some(Value::Object(details)) => drop(payload.insert("custom_details".to_owned(), details.into())),
        Some(other) => drop(payload.insert("custom_details".to_owned(), json!({"message": other}))),
        None => {
            object.remove("timestamp");
            if !object.is_empty() {
                payload.insert("custom_details".to_owned(), object.into());
            }
        }
    }
}

/// The incident's title: what the alerts say if they all say the same, else what fires, where and how often.
fn summary_of(notification: &Notification) -> String {
    let shared = AlertView {
        alert: watchfire_model::Alert {
            labels: notification.common_labels.clone(),
            annotations: notification.common_annotations.clone(),
            starts_at: notification.at,
            ends_at: None,
            updated_at: notification.at,
            timeout: false,
            generator_url: "".into(),
            value: None,
        },
        status: notification.status(),
        severity: notification.severity(),
    };
    let said = shared.summary().trim();
    let count = notification.alerts.len();
    let place = notification.place();
    let place = if place.is_empty() { place } else { format!(" · {place}") };
    match (said.is_empty(), count) {
        (false, _) => said.to_owned(),
        (true, 0 | 1) => format!("{}{place}", notification.subject()),
        (true, _) => format!("{}{place} ({count} alerts)", notification.subject()),
    }
}

/// What is affected: the one instance, service or job that all alerts share, else the subject.
fn source_of(notification: &Notification) -> String {
    let shared = ["instance", "host", "node", "pod", "service", "job"];
    let found = shared.iter().find_map(|name| notification.common_labels.get(name));
    found.map_or_else(|| "Watchfire".to_owned(), str::to_owned)
}

fn severity(fields: &Fields, notification: &Notification, notes: &mut Vec<String>) -> Severity {
    let Some(text) = filled(&fields.severity) else {
        return notification.severity();
    };
    text.parse().unwrap_or_else(|error| {
        let severity = notification.severity();
        notes.push(format!("{error}; the alerts' own severity {severity} is sent"));
        severity
    })
}

/// Alertmanager's details, then the receiver's own.
fn details(fields: &Fields, notification: &Notification) -> Map<String, Value> {
    let firing: Vec<_> = notification.firing().collect();
    let resolved: Vec<_> = notification.resolved().collect();
    let (told_firing, told_resolved) = (alert_list(&firing), alert_list(&resolved));
    let left_out = (firing.len() - told_firing.len(), resolved.len() - told_resolved.len());
    let mut details = Map::new();
    details.insert("firing".to_owned(), told_firing.into());
    details.insert("num_firing".to_owned(), firing.len().into());
    details.insert("num_resolved".to_owned(), resolved.len().into());
    details.insert("resolved".to_owned(), told_resolved.into());
    if left_out != (0, 0) {
        let (firing, resolved) = left_out;
        details.insert("left_out".to_owned(), format!("{firing} more firing alerts, {resolved} more resolved").into());
    }
    details.extend(fields.details.iter().cloned());
    details
}

/// Alerts as a webhook gets them, as many as there is room for.
fn alert_list(views: &[&AlertView]) -> Vec<Value> {
    let (mut list, mut bytes) = (Vec::new(), 0);
    for view in views {
        let alert = webhook::alert_value(view);
        bytes += crate::go_json(&alert).len();
        // The first alert is always told, however long it is; `fit` shortens it if it must.
        if !list.is_empty() && bytes > ALERT_LIST_BYTES_MAX {
            break;
        }
        list.push(alert);
    }
    list
}

/// The receiver's links, then those that the alerts bring along.
fn links(fields: &Fields, notification: &Notification, notes: &mut Vec<String>) -> Vec<Value> {
    let own = fields.links.iter().map(|link| (link.href.clone(), link.text.clone()));
    let annotation = |name: &str| notification.common_annotations.get(name).map(str::to_owned);
    let known = [("runbook_url", "Runbook"), ("dashboard_url", "Dashboard")];
    let known = known.into_iter().filter_map(|(name, text)| Some((annotation(name)?, text.to_owned())));
    let silence = (!notification.external_url.is_empty() && notification.status() == AlertStatus::Firing)
        .then(|| (notification.silence_url(), "Silence".to_owned()));
    let mut seen = std::collections::BTreeSet::new();
    let mut links = Vec::new();
    let mut dropped = 0;
    for (href, text) in own.chain(known).chain(silence) {
        let href = href.trim();
        if href.is_empty() || !seen.insert(href.to_owned()) {
            continue;
        }
        if href.chars().count() > URL_CHARS_MAX || links.len() == LINKS_MAX {
            dropped += 1;
            continue;
        }
        let mut link = json!({"href": href});
        if !text.is_empty() {
            link["text"] = ellipsis(&text, SHORT_CHARS_MAX, Unit::Chars).into();
        }
        links.push(link);
    }
    if dropped > 0 {
        notes.push(format!("{dropped} links are left out because they are too long or too many"));
    }
    links
}

fn images(fields: &Fields, notes: &mut Vec<String>) -> Vec<Value> {
    let usable = |image: &&Image| image.src.starts_with("https://") && image.src.chars().count() <= URL_CHARS_MAX;
    let images: Vec<Value> = fields
        .images
        .iter()
        .filter(usable)
        .take(LINKS_MAX)
        .map(|image| {
            let mut value = json!({"src": image.src});
            for (name, text) in [("href", &image.href), ("alt", &image.alt)] {
                if !text.is_empty() {
                    value[name] = ellipsis(text, URL_CHARS_MAX, Unit::Chars).into();
                }
            }
            value
        })
        .collect();
    let dropped = fields.images.iter().filter(|image| !image.src.is_empty()).count() - images.len();
    if dropped > 0 {
        notes.push(format!("{dropped} images are left out: PagerDuty takes https only, at most {LINKS_MAX}"));
    }
    images
}

/// Shortens the details, which stand at a JSON pointer, so that the event fits: all texts longer than some length are cut
/// to it, and that length is the largest that makes the event fit, so that short texts stay whole and the bulk pays.
fn fit(event: &mut Value, details_at: &str, notes: &mut Vec<String>) {
    let size = |event: &Value| crate::go_json(event).len();
    let bytes = size(event);
    if bytes <= EVENT_BYTES_MAX {
        return;
    }
    notes.push(format!("the details are shortened: the event had {bytes} bytes, the limit is {EVENT_BYTES_MAX}"));
    let Some(details) = event.pointer_mut(details_at) else { return };
    let mut lengths = Vec::new();
    each_text(details, &mut |text| lengths.push(encoded_bytes(text)));
    let fixed = bytes - lengths.iter().sum::<usize>();
    match EVENT_BYTES_MAX.checked_sub(fixed).and_then(|room| longest_allowed(lengths, room)) {
        Some(max) => each_text(details, &mut |text| shorten_encoded(text, max)),
        // Very many small values: nothing of them can be kept in a way that makes sense.
        None => *details = json!({"left_out": format!("the details, because the event had {bytes} bytes")}),
    }
    if size(event) > EVENT_BYTES_MAX
        && let Some(event) = event.as_object_mut()
    {
        event.remove("images");
        event.remove("links");
    }
}

/// Room for the words that say how much of a text is missing.
const COUNT_BYTES: usize = 48;

/// The largest length such that texts cut to it fit into `room` together; `None` if nothing worth reading would be left.
fn longest_allowed(mut lengths: Vec<usize>, mut room: usize) -> Option<usize> {
    lengths.sort_unstable();
    let mut rest = lengths.len();
    for length in lengths {
        let share = room / rest;
        if length > share {
            return (share > 4 * COUNT_BYTES).then_some(share);
        }
        room -= length;
        rest -= 1;
    }
    Some(usize::MAX)
}

fn each_text(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, visit)),
        Value::Object(map) => map.values_mut().for_each(|item| each_text(item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The bytes that a character takes in the JSON that is sent.
fn encoded_char(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}

fn encoded_bytes(text: &str) -> usize {
    text.chars().map(encoded_char).sum()
}

fn shorten_encoded(text: &mut String, max: usize) {
    let mut encoded = 0;
    let mut fits = 0;
    for (index, c) in text.char_indices() {
        if encoded <= max.saturating_sub(COUNT_BYTES) {
            fits = index;
        }
        encoded += encoded_char(c);
    }
    if encoded > max {
        let kept = cut(text, fits, Unit::Bytes);
        let left = text[kept..].chars().count();
        text.truncate(kept);
        text.push_str(&format!("… ({left} more characters)"));
    }
}
