//! Events: NDJSON, JSON arrays, and CloudEvents 1.0 in structured, batched and binary mode.
//!
//! A bad event costs that event only. What has no time of its own has the time at which it was received.

mod cloud;
mod flatten;
mod plain;

use serde_json::Value;
use watchfire_model::{Event, Timestamp};

use crate::{DecodeError, Item, Limits, Rejections};

/// How a body carries events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object, an array of them, or one per line, told apart by the text.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// One CloudEvent as JSON.
    CloudEvent,
    /// An array of CloudEvents as JSON.
    CloudEventBatch,
    /// One CloudEvent whose attributes are `ce-` headers and whose data is the body.
    CloudEventBinary,
}

/// The events of one body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodedEvents {
    /// In the order of the body.
    pub events: Vec<Event>,
    /// What was left out.
    pub rejections: Rejections,
}

/// The value of the first header with this name.
fn header<'a>(headers: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

impl Format {
    /// By the headers, as the CloudEvents HTTP binding says: the media type first, then whether there are `ce-` headers.
    ///
    /// # Errors
    /// If a CloudEvent is announced in a format other than JSON; the status is 415.
    pub fn from_headers(headers: &[(&str, &str)]) -> Result<Format, DecodeError> {
        let media = header(headers, "content-type").unwrap_or("").split(';').next().unwrap_or("").trim();
        let media = media.to_ascii_lowercase();
        match media.as_str() {
            "application/cloudevents-batch+json" => Ok(Format::CloudEventBatch),
            "application/cloudevents+json" | "application/cloudevents" => Ok(Format::CloudEvent),
            _ if media.starts_with("application/cloudevents") => {
                Err(DecodeError::unsupported(format!("{media} is not accepted here; send CloudEvents as JSON")))
            }
            _ if header(headers, "ce-specversion").is_some() => Ok(Format::CloudEventBinary),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/jsonlines" => Ok(Format::Ndjson),
            _ => Ok(Format::Json),
        }
    }
}

/// Decodes one body; the headers matter for the choice of the format and for CloudEvents in binary mode.
///
/// # Errors
/// If the body as a whole is not valid or passes a limit.
pub fn decode(
    headers: &[(&str, &str)],
    body: &[u8],
    received_at: Timestamp,
    limits: &Limits,
) -> Result<DecodedEvents, DecodeError> {
    if body.len() > limits.body_bytes_max {
        let (length, max) = (body.len(), limits.body_bytes_max);
        return Err(DecodeError::too_large(format!("the body has {length} bytes, the limit is {max}")));
    }
    let mut batch = Batch { decoded: DecodedEvents::default(), bytes: 0, received_at, limits };
    match Format::from_headers(headers)? {
        Format::CloudEventBinary => {
            let event = cloud::binary(headers, body, received_at, limits).map_err(DecodeError::invalid)?;
            batch.decoded.events.push(event);
        }
        Format::Ndjson => batch.lines(body)?,
        Format::CloudEvent => {
            let value = parse(body)?;
            let event = cloud::structured(value, received_at, limits).map_err(DecodeError::invalid)?;
            batch.decoded.events.push(event);
        }
        Format::CloudEventBatch => match parse(body)? {
            Value::Array(elements) => batch.elements(elements, true)?,
            _ => return Err(DecodeError::invalid("a batch of CloudEvents must be a JSON array")),
        },
        Format::Json => batch.json(body)?,
    }
    Ok(batch.decoded)
}

fn parse(text: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(text).map_err(|error| DecodeError::malformed(format!("not valid JSON: {error}")))
}

struct Batch<'a> {
    decoded: DecodedEvents,
    /// The bytes of all events, flattened.
    bytes: usize,
    received_at: Timestamp,
    limits: &'a Limits,
}

impl Batch<'_> {
    fn json(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        match parse(body) {
            Ok(Value::Array(elements)) => self.elements(elements, false),
            Ok(value) => {
                let event = one(value, false, self.received_at, self.limits).map_err(DecodeError::invalid)?;
                self.decoded.events.push(event);
                Ok(())
            }
            Err(error) => {
                // Several lines that are objects of their own are NDJSON under another name.
                let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
                let first = lines.next().map(serde_json::from_slice::<Value>);
                if matches!(first, Some(Ok(Value::Object(_)))) && lines.next().is_some() {
                    self.lines(body)
                } else {
                    Err(error)
                }
            }
        }
    }

    fn lines(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let item = Item::Line(index + 1);
            if line.len() > self.limits.event_bytes_max {
                let (length, max) = (line.len(), self.limits.event_bytes_max);
                let reason = || format!("the event has {length} bytes, the limit is {max}");
                self.decoded.rejections.add(self.limits.rejections_max, item, reason);
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(value) => self.take(item, value, false)?,
                Err(error) => {
                    let reason = || format!("not valid JSON: {error}");
                    self.decoded.rejections.add(self.limits.rejections_max, item, reason);
                }
            }
        }
        Ok(())
    }

    fn elements(&mut self, elements: Vec<Value>, cloud: bool) -> Result<(), DecodeError> {
        elements.into_iter().enumerate().try_for_each(|(index, value)| self.take(Item::Element(index), value, cloud))
    }

    fn take(&mut self, item: Item, value: Value, cloud: bool) -> Result<(), DecodeError> {
        if self.decoded.events.len() >= self.limits.events_max {
            let message = format!("the body has more than {} events", self.limits.events_max);
            return Err(DecodeError::too_large(message).at(item));
        }
        match one(value, cloud, self.received_at, self.limits) {
            Ok(event) => {
                self.bytes += flatten::event_bytes(&event);
                if self.bytes > self.limits.events_bytes_max {
                    let max = self.limits.events_bytes_max;
                    let message = format!("the events have more than {max} bytes when their nested fields are named");
                    return Err(DecodeError::too_large(message).at(item));
                }
                self.decoded.events.push(event);
            }
            Err(reason) => self.decoded.rejections.add(self.limits.rejections_max, item, || reason),
        }
        Ok(())
    }
}

/// One event; an object with `specversion` is a CloudEvent even where none was announced.
fn one(value: Value, cloud: bool, received_at: Timestamp, limits: &Limits) -> Result<Event, String> {
    if cloud || value.get("specversion").is_some() {
        cloud::structured(value, received_at, limits)
    } else {
        plain::event(value, received_at, limits)
    }
}

#[cfg(test)]
mod tests;
