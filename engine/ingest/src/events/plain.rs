//! Events that follow no standard but have the usual fields.

use serde_json::Value;
use watchfire_model::{Event, FieldValue, Timestamp};

use super::flatten::{Fields, kind_of};
use crate::Limits;
use crate::labels::shorten;
use crate::time::{from_epoch, parse_time};

/// Where the parts of an event are looked for, best first. The first name of each is the event's own part and leaves
/// the fields; the others stay there as well, because rules may name them.
const KIND_NAMES: [&str; 8] =
    ["type", "event_type", "eventType", "event.type", "event", "kind", "event.action", "event.name"];
const TIME_NAMES: [&str; 7] = ["time", "timestamp", "@timestamp", "ts", "datetime", "date", "event_time"];
const ID_NAMES: [&str; 6] = ["id", "event_id", "eventId", "event.id", "_id", "uuid"];
const BODY_NAMES: [&str; 4] = ["body", "message", "msg", "log"];

/// Reads one event.
pub(super) fn event(value: Value, received_at: Timestamp, limits: &Limits) -> Result<Event, String> {
    let Value::Object(object) = value else {
        return Err(format!("an event must be a JSON object, this is {}", kind_of(&value)));
    };
    let mut fields = Fields::new(limits);
    fields.add_object(object)?;
    let mut take = |names: &[&str], accept: fn(&FieldValue) -> bool| {
        let name = names.iter().find(|name| fields.map.get(**name).is_some_and(accept))?;
        if *name == names[0] { fields.map.remove(*name) } else { fields.map.get(*name).cloned() }
    };
    let scalar = |value: &FieldValue| !matches!(value, FieldValue::Null | FieldValue::List(_));
    let kind = take(&KIND_NAMES, scalar).map_or(String::new(), |value| value.to_text());
    let id = take(&ID_NAMES, scalar).map_or(String::new(), |value| value.to_text());
    let body = take(&BODY_NAMES, |value| matches!(value, FieldValue::Text(_))).map(|value| value.to_text());
    let time = match take(&TIME_NAMES, |value| !matches!(value, FieldValue::Null)) {
        Some(value) => time(&value)?,
        None => received_at,
    };
    Ok(Event { id, time, kind, fields: fields.map, body: body.unwrap_or_default() })
}

/// A time as a text or as a number since the epoch, which may itself be spelled as a text.
pub(super) fn time(value: &FieldValue) -> Result<Timestamp, String> {
    let time = match value {
        FieldValue::Text(text) => parse_time(text).or_else(|| text.trim().parse().ok().and_then(from_epoch)),
        FieldValue::Int(int) => from_epoch(*int as f64),
        FieldValue::Float(float) => from_epoch(*float),
        FieldValue::Null | FieldValue::Bool(_) | FieldValue::List(_) => None,
    };
    time.ok_or_else(|| {
        let text = shorten(&value.to_text());
        format!("the time {text:?} is neither RFC 3339 like 2026-11-20T03:00:00Z nor a number since the epoch")
    })
}
