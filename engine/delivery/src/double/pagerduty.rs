//! PagerDuty's Events API v2: what the published schema and the documented limits say.

use serde_json::{Map, Value, json};

const EVENT_BYTES_MAX: usize = 512_000;

pub(super) fn answer(path: &str, body: &[u8]) -> (u16, String) {
    if path == "/v2/change/enqueue" {
        return change(body);
    }
    if path != "/v2/enqueue" {
        return (404, String::new());
    }
    if body.len() > EVENT_BYTES_MAX {
        return (413, String::new());
    }
    let refuse = |errors: &[String]| {
        let body = json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors});
        (400, body.to_string())
    };
    let Ok(event) = serde_json::from_slice::<Value>(body) else {
        return refuse(&["Unrecognized object".to_owned()]);
    };
    let errors = check(&event);
    if !errors.is_empty() {
        return refuse(&errors);
    }
    let key = event["dedup_key"].as_str().unwrap_or("a-key-of-pagerduty's-own");
    (202, json!({"status": "success", "message": "Event processed", "dedup_key": key}).to_string())
}

fn change(body: &[u8]) -> (u16, String) {
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut errors = Vec::new();
    if let Some(event) = event.as_object() {
        known(event, "", &["routing_key", "payload", "links", "images"], &mut errors);
        list(event, "links", "href", &["href", "text"], &mut errors);
    }
    match event["payload"].as_object() {
        Some(payload) => {
            known(payload, "payload.", &["summary", "source", "timestamp", "custom_details"], &mut errors);
            text(payload, "summary", 1, 1024, &mut errors);
        }
        None => errors.push("'payload' is missing".to_owned()),
    }
    match errors.is_empty() {
        true => (202, json!({"status": "success", "message": "Change event processed"}).to_string()),
        false => (
            400,
            json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors}).to_string(),
        ),
    }
}

/// Everything that is wrong with an event.
pub fn check(event: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let Some(event) = event.as_object() else {
        return vec!["Event is not an object".to_owned()];
    };
    known(
        event,
        "",
        &["routing_key", "event_action", "dedup_key", "client", "client_url", "payload", "links", "images"],
        &mut errors,
    );
    match event.get("routing_key").and_then(Value::as_str) {
        None => errors.push("'routing_key' is missing or blank".to_owned()),
        Some(key) if key.chars().count() != 32 => {
            errors.push("Length of 'routing_key' is incorrect (should be 32 characters)".to_owned());
        }
        Some(_) => {}
    }
    text(event, "dedup_key", 1, 255, &mut errors);
    text(event, "client", 0, usize::MAX, &mut errors);
    text(event, "client_url", 0, usize::MAX, &mut errors);
    match event.get("event_action").and_then(Value::as_str) {
        Some("trigger") if !event.contains_key("payload") => errors.push("'payload' is missing".to_owned()),
        Some("trigger") => {}
        Some("acknowledge" | "resolve") if !event.contains_key("dedup_key") => {
            errors.push("'dedup_key' is missing or blank".to_owned());
        }
        Some("acknowledge" | "resolve") => {}
        _ => errors.push("'event_action' is missing or invalid".to_owned()),
    }
    if let Some(payload) = event.get("payload") {
        match payload.as_object() {
            Some(payload) => check_payload(payload, &mut errors),
            None => errors.push("'payload' is not an object".to_owned()),
        }
    }
    for (name, needed, fields) in [("links", "href", &["href", "text"][..]), ("images", "src", &["src", "href", "alt"])]
    {
        list(event, name, needed, fields, &mut errors);
    }
    for image in event.get("images").and_then(Value::as_array).into_iter().flatten() {
        if !image["src"].as_str().is_some_and(|src| src.starts_with("https://")) {
            errors.push("'src' of an image is not https".to_owned());
        }
    }
    errors
}

fn check_payload(payload: &Map<String, Value>, errors: &mut Vec<String>) {
    let fields = ["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"];
    known(payload, "payload.", &fields, errors);
    for (name, max) in [("summary", 1024), ("source", usize::MAX)] {
        if payload.get(name).and_then(Value::as_str).unwrap_or("").is_empty() {
            errors.push(format!("'{name}' is missing or blank"));
        }
        text(payload, name, 0, max, errors);
    }
    for name in ["component", "group", "class"] {
        text(payload, name, 0, usize::MAX, errors);
    }
    if !matches!(payload.get("severity").and_then(Value::as_str), Some("critical" | "error" | "warning" | "info")) {
        errors.push(
            "'severity' is invalid (must be one of the following: 'critical', 'error', 'warning', 'info')".into(),
        );
    }
    if let Some(time) = payload.get("timestamp")
        && chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap_or("")).is_err()
    {
        errors.push("'timestamp' is invalid".to_owned());
    }
    if payload.get("custom_details").is_some_and(|details| !details.is_object()) {
        errors.push("'custom_details' is not an object".to_owned());
    }
}

fn known(object: &Map<String, Value>, path: &str, fields: &[&str], errors: &mut Vec<String>) {
    let unknown = object.keys().filter(|name| !fields.contains(&name.as_str()));
    errors.extend(unknown.map(|name| format!("'{path}{name}' is not a known field")));
}

fn text(object: &Map<String, Value>, name: &str, min: usize, max: usize, errors: &mut Vec<String>) {
    let Some(value) = object.get(name) else { return };
    match value.as_str().map(|text| text.chars().count()) {
        None => errors.push(format!("'{name}' is not a string")),
        Some(length) if length < min => errors.push(format!("'{name}' is blank")),
        Some(length) if length > max => errors.push(format!("'{name}' is too long (maximum is {max} characters)")),
        Some(_) => {}
    }
}

fn list(event: &Map<String, Value>, name: &str, needed: &str, fields: &[&str], errors: &mut Vec<String>) {
    let Some(value) = event.get(name) else { return };
    let Some(items) = value.as_array() else {
        return errors.push(format!("'{name}' is not a list"));
    };
    for item in items {
        let Some(item) = item.as_object() else {
            errors.push(format!("'{name}' holds something that is not an object"));
            continue;
        };
        known(item, &format!("{name}."), fields, errors);
        if !item.contains_key(needed) {
            errors.push(format!("'{needed}' is missing in '{name}'"));
        }
        fields.iter().for_each(|field| text(item, field, 0, usize::MAX, errors));
    }
}
