//! CloudEvents 1.0.
//!
//! `type`, `id` and `time` become the event's own parts; `source`, `subject`, `dataschema` and extensions become fields.
//! Members of JSON data become fields under their own names, so that a rule reads the same for a plain event and for a
//! CloudEvent; where an attribute has that name already, the member is found under `data.` and its name. Data that is
//! text becomes the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use watchfire_model::{Event, FieldValue, Timestamp};

use super::flatten::{Fields, kind_of};
use super::header;
use crate::Limits;
use crate::labels::shorten;

/// The attributes every CloudEvent has, and what is to be kept of the others.
struct Attributes<'a> {
    id: String,
    kind: String,
    time: Timestamp,
    fields: Fields<'a>,
}

fn check_version(version: &str) -> Result<(), String> {
    if version == "1.0" { Ok(()) } else { Err(format!("specversion {:?} is not known; 1.0 is", shorten(version))) }
}

fn required(name: &str, value: Option<String>) -> Result<String, String> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("the required attribute {name:?} is missing or empty"))
}

fn read_time(text: Option<&str>, received_at: Timestamp) -> Result<Timestamp, String> {
    match text {
        None => Ok(received_at),
        Some(text) => Timestamp::parse_rfc3339(text)
            .map_err(|_| format!("the time {:?} is not RFC 3339 like 2026-11-20T03:00:00Z", shorten(text))),
    }
}

impl Attributes<'_> {
    fn with_data(mut self, data: Data) -> Result<Event, String> {
        let mut body = String::new();
        match data {
            Data::None => {}
            Data::Text(text) => body = text,
            Data::Json(Value::String(text)) => body = text,
            Data::Json(Value::Object(object)) => {
                for (name, value) in object {
                    let name = if self.fields.map.contains_key(&name) { format!("data.{name}") } else { name };
                    self.fields.add(name, value)?;
                }
            }
            Data::Json(other) => self.fields.add("data".to_owned(), other)?,
        }
        Ok(Event { id: self.id, time: self.time, kind: self.kind, fields: self.fields.map, body })
    }
}

enum Data {
    None,
    Text(String),
    Json(Value),
}

impl Data {
    /// By its media type; bytes that are no text come in base64.
    fn from_bytes(bytes: Vec<u8>, media: Option<&str>) -> Result<Data, String> {
        let media = media.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if bytes.is_empty() {
            return Ok(Data::None);
        }
        if media == "application/json" || media == "text/json" || media.ends_with("+json") {
            let value = serde_json::from_slice(&bytes);
            return value.map(Data::Json).map_err(|error| format!("the data is not valid JSON: {error}"));
        }
        Ok(Data::Text(String::from_utf8(bytes).unwrap_or_else(|error| STANDARD.encode(error.as_bytes()))))
    }
}

/// Reads an event in structured mode.
pub(super) fn structured(value: Value, received_at: Timestamp, limits: &Limits) -> Result<Event, String> {
    let Value::Object(mut object) = value else {
        return Err(format!("a CloudEvent must be a JSON object, this is {}", kind_of(&value)));
    };
    check_version(&required("specversion", take_text(&mut object, "specversion")?)?)?;
    let id = required("id", take_text(&mut object, "id")?)?;
    let kind = required("type", take_text(&mut object, "type")?)?;
    let source = required("source", take_text(&mut object, "source")?)?;
    let time = read_time(take_text(&mut object, "time")?.as_deref(), received_at)?;
    let media = take_text(&mut object, "datacontenttype")?;
    let encoded = take_text(&mut object, "data_base64")?;
    let data = match (object.remove("data").filter(|data| !data.is_null()), encoded) {
        (Some(_), Some(_)) => return Err("it has both data and data_base64".to_owned()),
        (Some(data), None) => Data::Json(data),
        (None, Some(encoded)) => {
            let bytes = STANDARD.decode(encoded).map_err(|error| format!("data_base64 is not valid: {error}"))?;
            Data::from_bytes(bytes, media.as_deref())?
        }
        (None, None) => Data::None,
    };
    let mut fields = Fields::new(limits);
    fields.insert("source".to_owned(), FieldValue::Text(source))?;
    object.retain(|_, value| !value.is_null());
    fields.add_object(object)?;
    Attributes { id, kind, time, fields }.with_data(data)
}

/// An attribute that must be a text where it is given; `null` means not given.
fn take_text(object: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("the attribute {name:?} must be a text, this is {}", kind_of(&other))),
    }
}

/// Reads an event in binary mode.
pub(super) fn binary(
    headers: &[(&str, &str)],
    body: &[u8],
    received_at: Timestamp,
    limits: &Limits,
) -> Result<Event, String> {
    if body.len() > limits.event_bytes_max {
        return Err(format!("the event has {} bytes, the limit is {}", body.len(), limits.event_bytes_max));
    }
    let attribute = |name: &str| header(headers, &format!("ce-{name}")).map(percent_decoded).transpose();
    check_version(&required("specversion", attribute("specversion")?)?)?;
    let id = required("id", attribute("id")?)?;
    let kind = required("type", attribute("type")?)?;
    let source = required("source", attribute("source")?)?;
    let time = read_time(attribute("time")?.as_deref(), received_at)?;
    let mut fields = Fields::new(limits);
    fields.insert("source".to_owned(), FieldValue::Text(source))?;
    for (name, value) in headers {
        let Some((prefix, name)) = name.split_at_checked(3) else { continue };
        let name = name.to_ascii_lowercase();
        let taken = ["specversion", "id", "type", "source", "time"].contains(&name.as_str());
        if prefix.eq_ignore_ascii_case("ce-") && !name.is_empty() && !taken {
            fields.insert(name, FieldValue::Text(percent_decoded(value)?))?;
        }
    }
    let data = Data::from_bytes(body.to_vec(), header(headers, "content-type"))?;
    Attributes { id, kind, time, fields }.with_data(data)
}

/// Header values are percent-encoded UTF-8, section 3.1.3.2 of the HTTP binding.
fn percent_decoded(value: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) if digit(*high).is_some() && digit(*low).is_some() => {
                let byte = digit(*high).unwrap_or(0) * 16 + digit(*low).unwrap_or(0);
                bytes.push(u8::try_from(byte).unwrap_or(0));
                tail
            }
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    String::from_utf8(bytes).map_err(|_| format!("the header value {:?} is not valid UTF-8", shorten(value)))
}
