//! Events: NDJSON, JSON arrays, and CloudEvents 1.0 in structured, batched and binary mode.
//!
//! A bad event costs that event only. What has no time of its own has the time at which it was received.

mod cloud;
mod flatten;
mod plain;

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
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
            is_json(body)?;
            let event = batch.event(body, true).map_err(DecodeError::invalid)?;
            batch.decoded.events.push(event);
        }
        Format::CloudEventBatch if !is_array(body) => {
            is_json(body)?;
            return Err(DecodeError::invalid("a batch of CloudEvents must be a JSON array"));
        }
        Format::CloudEventBatch => batch.elements(body, true)?,
        Format::Json => batch.json(body)?,
    }
    Ok(batch.decoded)
}

fn malformed(error: serde_json::Error) -> DecodeError {
    DecodeError::malformed(format!("not valid JSON: {error}"))
}

/// Reads past a body, which takes no memory.
fn is_json(body: &[u8]) -> Result<(), DecodeError> {
    serde_json::from_slice(body).map(|_: IgnoredAny| ()).map_err(malformed)
}

fn is_array(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"[")
}

/// Hands the elements of an array on as they stand in the body, one after another: all of them as values would take many
/// times the memory of their text.
struct Elements<F>(F);

impl<'de, F: FnMut(usize, &'de RawValue) -> Result<(), DecodeError>> Visitor<'de> for Elements<F> {
    type Value = Result<(), DecodeError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut outcome = Ok(());
        let mut index = 0;
        // What follows a refusal is read past, since a body that is no JSON is told as that.
        while let Some(element) = array.next_element()? {
            outcome = outcome.and_then(|()| (self.0)(index, element));
            index += 1;
        }
        Ok(outcome)
    }
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
        if is_array(body) {
            return self.elements(body, false);
        }
        let Err(error) = is_json(body) else {
            let event = self.event(body, false).map_err(DecodeError::invalid)?;
            self.decoded.events.push(event);
            return Ok(());
        };
        // Several lines that are objects of their own are NDJSON under another name.
        let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let is_object = |line: &[u8]| line.starts_with(b"{") && is_json(line).is_ok();
        if lines.next().is_some_and(is_object) && lines.next().is_some() { self.lines(body) } else { Err(error) }
    }

    fn lines(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
        let mut filled = lines.filter(|(_, line)| !line.is_empty());
        filled.try_for_each(|(index, line)| self.take(Item::Line(index + 1), line, false))
    }

    fn elements(&mut self, body: &[u8], cloud: bool) -> Result<(), DecodeError> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let take = |index, element: &RawValue| self.take(Item::Element(index), element.get().as_bytes(), cloud);
        let outcome = reader.deserialize_seq(Elements(take)).map_err(malformed)?;
        reader.end().map_err(malformed)?;
        outcome
    }

    fn take(&mut self, item: Item, text: &[u8], cloud: bool) -> Result<(), DecodeError> {
        if self.decoded.events.len() >= self.limits.events_max {
            let message = format!("the body has more than {} events", self.limits.events_max);
            return Err(DecodeError::too_large(message).at(item));
        }
        match self.event(text, cloud) {
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

    /// One event; an object with `specversion` is a CloudEvent even where none was announced.
    fn event(&self, text: &[u8], cloud: bool) -> Result<Event, String> {
        // Before it becomes a value, which may take seventy times the memory.
        if text.len() > self.limits.event_bytes_max {
            return Err(format!("the event has {} bytes, the limit is {}", text.len(), self.limits.event_bytes_max));
        }
        let value: Value = serde_json::from_slice(text).map_err(|error| format!("not valid JSON: {error}"))?;
        if cloud || value.get("specversion").is_some() {
            cloud::structured(value, self.received_at, self.limits)
        } else {
            plain::event(value, self.received_at, self.limits)
        }
    }
}

#[cfg(test)]
mod tests;
