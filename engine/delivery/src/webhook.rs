//! Webhooks: Alertmanager's JSON, version 4, or the user's own payload.

use serde_json::{Map, Value, json};
use watchfire_model::{AlertStatus, Labels, Timestamp};
use watchfire_plugin::{AlertView, Message};

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
            let mut request = Request::post_json(&fields.url, &payload(notification, fields.max_alerts));
            // Go's encoder ends its output with a line feed.
            request.body.push(b'\n');
            request
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
    let truncated = truncated(notification, max_alerts);
    let sent = &notification.alerts[..notification.alerts.len() - truncated];
    json!({
        "receiver": notification.receiver,
        "status": notification.status().as_str(),
        "alerts": sent.iter().map(alert).collect::<Vec<_>>(),
        "notification_reason": crate::view::reason(&notification.reason),
        "groupLabels": labels(&notification.group_labels),
        "commonLabels": labels(&notification.common_labels),
        "commonAnnotations": notification.common_annotations,
        "routeLabels": notification.route_labels,
        "externalURL": notification.external_url,
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": truncated,
    })
}

fn truncated(notification: &Notification, max_alerts: usize) -> usize {
    if max_alerts == 0 { 0 } else { notification.alerts.len().saturating_sub(max_alerts) }
}

fn alert(view: &AlertView) -> Value {
    let alert = &view.alert;
    let ends_at = match view.status {
        AlertStatus::Firing => ZERO_TIME.to_owned(),
        AlertStatus::Resolved => alert.ends_at.map_or_else(|| ZERO_TIME.to_owned(), go_time),
    };
    json!({
        "status": view.status.as_str(),
        "labels": labels(&alert.labels),
        "annotations": alert.annotations,
        "startsAt": go_time(alert.starts_at),
        "endsAt": ends_at,
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint().to_string(),
    })
}

fn labels(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|l| (l.name.to_owned(), Value::from(l.value))).collect::<Map<_, _>>())
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
