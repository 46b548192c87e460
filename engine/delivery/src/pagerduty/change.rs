//! PagerDuty's other requests: change events, and the Events API v1 that old integrations have.

use serde_json::{Map, Value, json};
use watchfire_plugin::Message;

use super::{
    Action, EVENTS_URL, Fields, SUMMARY_CHARS_MAX, dedup_key, details, filled, fit, links, routing_key, source_of,
    summary_of,
};
use crate::text::{Unit, ellipsis};
use crate::view::texts;
use crate::{BuildError, Notification, Request};

/// Where events of the first version go, on the same hosts.
const EVENTS_V1_PATH: &str = "/generic/2010-04-15/create_event.json";

/// Builds a change event: something happened that opens no incident and stands beside those that do, such as a
/// deployment.
///
/// # Errors
/// If the routing key cannot be one.
pub fn build_change(
    fields: &Fields,
    notification: &Notification,
    message: Option<&Message>,
) -> Result<Request, BuildError> {
    let mut notes = Vec::new();
    let url = if fields.url.is_empty() { EVENTS_URL } else { &fields.url };
    let title = message.map(|message| message.title.trim()).filter(|title| !title.is_empty());
    let summary = title.or_else(|| filled(&fields.description)).map_or_else(|| summary_of(notification), str::to_owned);
    let mut custom: Map<String, Value> =
        [("labels", &notification.common_labels), ("group", &notification.group_labels)]
            .into_iter()
            .map(|(name, labels)| {
                let labels = labels.iter().map(|label| (label.name.to_owned(), label.value.into()));
                (name.to_owned(), Value::Object(labels.collect()))
            })
            .collect();
    custom.insert("annotations".to_owned(), texts(&notification.common_annotations));
    custom.extend(fields.details.iter().cloned());
    let mut event = json!({
        "routing_key": routing_key(fields)?,
        "payload": {
            "summary": ellipsis(&summary, SUMMARY_CHARS_MAX, Unit::Chars),
            "source": filled(&fields.source).map_or_else(|| source_of(notification), str::to_owned),
            "timestamp": notification.since().to_rfc3339(),
            "custom_details": custom,
        },
    });
    let links = links(fields, notification, &mut notes);
    if !links.is_empty() {
        event["links"] = links.into();
    }
    fit(&mut event, "/payload/custom_details", &mut notes);
    let mut request = Request::post_json(url.replace("/v2/enqueue", "/v2/change/enqueue"), &event);
    request.notes = notes;
    Ok(request)
}

/// Builds an event of the first version, for an integration with a service key.
///
/// # Errors
/// If there is no key.
pub fn build_v1(
    fields: &Fields,
    notification: &Notification,
    message: Option<&Message>,
) -> Result<Request, BuildError> {
    let service_key = fields.routing_key.trim();
    if service_key.is_empty() {
        return Err(BuildError::setting("service_key", "it is empty"));
    }
    let mut notes = Vec::new();
    let url = if fields.url.is_empty() { EVENTS_URL } else { &fields.url };
    let url = url.replace("/v2/enqueue", EVENTS_V1_PATH);
    let title = message.map(|message| message.title.trim()).filter(|title| !title.is_empty());
    let summary = title.or_else(|| filled(&fields.description)).map_or_else(|| summary_of(notification), str::to_owned);
    let mut event = json!({
        "service_key": service_key,
        "incident_key": dedup_key(fields, notification, message),
        "event_type": Action::of(notification).as_str(),
        "description": ellipsis(&summary, SUMMARY_CHARS_MAX, Unit::Chars),
        "details": details(fields, notification),
        "client": filled(&fields.client).unwrap_or("Watchfire"),
    });
    if !notification.external_url.is_empty() || fields.client_url.is_some() {
        event["client_url"] =
            filled(&fields.client_url).map_or_else(|| notification.alerts_url(), str::to_owned).into();
    }
    fit(&mut event, "/details", &mut notes);
    let mut request = Request::post_json(url, &event);
    request.notes = notes;
    Ok(request)
}
