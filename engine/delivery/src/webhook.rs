//! Webhooks: Alertmanager's JSON, version 4, or the user's own payload.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;
use watchfire_model::{AlertStatus, Annotations, Labels, Timestamp};
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
            let mut request = Request::post_json(&fields.url, &Payload::new(notification, fields.max_alerts));
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
    // Maps in it have texts as keys, so that it always has a value.
    serde_json::to_value(Payload::new(notification, max_alerts)).unwrap_or_default()
}

/// The fields in Alertmanager's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<PayloadAlert<'a>>,
    #[serde(rename = "notification_reason")]
    notification_reason: &'a str,
    #[serde(serialize_with = "labels")]
    group_labels: &'a Labels,
    #[serde(serialize_with = "labels")]
    common_labels: &'a Labels,
    #[serde(serialize_with = "texts")]
    common_annotations: &'a Annotations,
    route_labels: &'a BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PayloadAlert<'a> {
    status: &'static str,
    #[serde(serialize_with = "labels")]
    labels: &'a Labels,
    #[serde(serialize_with = "texts")]
    annotations: &'a Annotations,
    starts_at: String,
    ends_at: Cow<'static, str>,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

impl<'a> Payload<'a> {
    fn new(notification: &'a Notification, max_alerts: usize) -> Payload<'a> {
        let truncated = truncated(notification, max_alerts);
        let sent = &notification.alerts[..notification.alerts.len() - truncated];
        Payload {
            receiver: &notification.receiver,
            status: notification.status().as_str(),
            alerts: sent.iter().map(PayloadAlert::new).collect(),
            notification_reason: crate::view::reason(&notification.reason),
            group_labels: &notification.group_labels,
            common_labels: &notification.common_labels,
            common_annotations: &notification.common_annotations,
            route_labels: &notification.route_labels,
            external_url: &notification.external_url,
            version: "4",
            group_key: &notification.group_key,
            truncated_alerts: truncated,
        }
    }
}

impl<'a> PayloadAlert<'a> {
    fn new(view: &'a AlertView) -> PayloadAlert<'a> {
        let alert = &view.alert;
        let end = alert.ends_at.filter(|_| view.status == AlertStatus::Resolved);
        PayloadAlert {
            status: view.status.as_str(),
            labels: &alert.labels,
            annotations: &alert.annotations,
            starts_at: go_time(alert.starts_at),
            ends_at: end.map_or(Cow::Borrowed(ZERO_TIME), |end| go_time(end).into()),
            generator_url: &alert.generator_url,
            fingerprint: alert.fingerprint().to_string(),
        }
    }
}

fn labels<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().map(|label| (label.name, label.value)))
}

fn texts<S: Serializer>(annotations: &Annotations, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(annotations.iter())
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
