//! Webhooks: Alertmanager's JSON, version 4, or the user's own payload.

use std::borrow::Cow;

use serde_json::Value;
use watchfire_model::{AlertStatus, Labels, Timestamp};
use watchfire_plugin::{AlertView, Message};

use crate::request::JsonWriter;
use crate::{BuildError, Notification, Request};

/// The time that Go's zero `time.Time` prints: the end of an alert that still fires.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// What a webhook needs to know beside the notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Where to.
    pub url: String,
    /// The most alerts to send; 0 means all.
    pub max_alerts: usize,
    /// Replaces the JSON.
    pub payload: Option<Value>,
}

/// Builds the request.
///
/// # Errors
/// If there is no URL.
pub fn build(fields: &Fields, notification: &Notification, message: Option<&Message>) -> Result<Request, BuildError> {
    if fields.url.is_empty() {
        return Err(BuildError::setting("url", "is empty"));
    }
    let mut request = match (message, &fields.payload) {
        (Some(message), _) => custom(&fields.url, message),
        (None, Some(payload)) => Request::post_json(&fields.url, payload),
        (None, None) => {
            let mut body = body(notification, fields.max_alerts);
            // Go's encoder ends its output with a line feed.
            body.push(b'\n');
            Request::post(&fields.url, body)
        }
    };
    request.set_header("Idempotency-Key", &notification.id);
    let dropped = truncated(notification, fields.max_alerts);
    if dropped > 0 && message.is_none() && fields.payload.is_none() {
        request.notes.push(format!("{dropped} alerts are left out because of max_alerts"));
    }
    Ok(request)
}

/// A body that a template or a formatter wrote.
fn custom(url: &str, message: &Message) -> Request {
    let mut request = Request::post_json(url, &Value::Null);
    request.body = message.body.clone().into_bytes();
    if !message.content_type.is_empty() {
        request.set_header("Content-Type", &message.content_type);
    }
    for (name, value) in &message.headers {
        request.set_header(name, value);
    }
    request
}

/// The body of the request as JSON, as Alertmanager's `webhook.Message` is encoded.
pub fn payload(notification: &Notification, max_alerts: usize) -> Value {
    // What was just written can be read.
    serde_json::from_slice(&body(notification, max_alerts)).unwrap_or_default()
}

/// The same as text, its fields in Alertmanager's order; a digest has one more, how many alerts were held back.
fn body(notification: &Notification, max_alerts: usize) -> Vec<u8> {
    let truncated = truncated(notification, max_alerts);
    let sent = &notification.alerts[..notification.alerts.len() - truncated];
    let mut json = JsonWriter::new();
    json.object(|json| {
        json.name("receiver").text(&notification.receiver);
        json.name("status").text(notification.status().as_str());
        json.name("alerts").array(sent.iter(), alert);
        json.name("notification_reason").text(crate::view::reason(&notification.reason));
        json.name("groupLabels").texts(pairs(&notification.group_labels));
        json.name("commonLabels").texts(pairs(&notification.common_labels));
        json.name("commonAnnotations").texts(notification.common_annotations.iter());
        json.name("routeLabels").texts(notification.route_labels.iter().map(|(name, text)| (&**name, &**text)));
        json.name("externalURL").text(&notification.external_url);
        json.name("version").text("4");
        json.name("groupKey").text(&notification.group_key);
        json.name("truncatedAlerts").number(truncated);
        // Of what Alertmanager does not send, this alone: what is in a digest is for nobody to guess.
        if notification.folded > 0 {
            json.name("folded").number(notification.folded);
        }
    });
    json.finish()
}

/// One alert of the body.
pub(crate) fn alert_value(view: &AlertView) -> Value {
    let mut json = JsonWriter::new();
    alert(&mut json, view);
    // What was just written can be read.
    serde_json::from_slice(&json.finish()).unwrap_or_default()
}

fn alert(json: &mut JsonWriter, view: &AlertView) {
    let alert = &view.alert;
    let end = alert.ends_at.filter(|_| view.status == AlertStatus::Resolved);
    json.object(|json| {
        json.name("status").text(view.status.as_str());
        json.name("labels").texts(pairs(&alert.labels));
        json.name("annotations").texts(alert.annotations.iter());
        json.name("startsAt").text(&go_time(alert.starts_at));
        json.name("endsAt").text(&end.map_or(Cow::Borrowed(ZERO_TIME), |end| go_time(end).into()));
        json.name("generatorURL").text(&alert.generator_url);
        json.name("fingerprint").text(&alert.fingerprint().to_string());
    });
}

fn pairs(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|label| (label.name, label.value))
}

fn truncated(notification: &Notification, max_alerts: usize) -> usize {
    if max_alerts == 0 { 0 } else { notification.alerts.len().saturating_sub(max_alerts) }
}

/// RFC 3339 as Go prints it: no fraction if it is zero, no zeros at its end.
pub(crate) fn go_time(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    match text.strip_suffix('Z').and_then(|t| t.split_once('.')) {
        Some((seconds, fraction)) => match fraction.trim_end_matches('0') {
            "" => format!("{seconds}Z"),
            rest => format!("{seconds}.{rest}Z"),
        },
        None => text,
    }
}
