//! Attributes: what describes a resource or a data point.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use watchfire_model::format_json;

use super::names::label_name;
use crate::wire::{Reader, Value, WireError};

const KEY: u32 = 1;
const VALUE: u32 = 2;
/// How deep lists and maps may lie within one another.
const DEPTH_MAX: usize = 16;

/// Attributes by name, values as texts.
pub(super) type Attributes = BTreeMap<String, String>;

/// Reads one `KeyValue` into `attributes`.
pub(super) fn read(bytes: &[u8], attributes: &mut Attributes) -> Result<(), WireError> {
    let (key, value) = pair(bytes, 0)?;
    let text = match value {
        Json::Null => String::new(),
        Json::String(text) => text,
        Json::Number(number) if number.is_f64() => number.as_f64().map(format_json).unwrap_or_default(),
        other => other.to_string(),
    };
    attributes.insert(key, text);
    Ok(())
}

/// Attributes as labels. Where two names come to the same one, so do their values, in the order of the names.
pub(super) fn labels(attributes: &Attributes) -> Attributes {
    let mut labels = Attributes::new();
    for (name, value) in attributes {
        let Some(name) = label_name(name) else { continue };
        match labels.entry(name) {
            Entry::Occupied(mut known) => {
                known.get_mut().push(';');
                known.get_mut().push_str(value);
            }
            Entry::Vacant(free) => {
                free.insert(value.clone());
            }
        }
    }
    labels
}

/// The bytes of names and values.
pub(super) fn bytes(attributes: &Attributes) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn text(bytes: &[u8]) -> Result<String, WireError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| WireError("a text is not UTF-8"))
}

fn pair(bytes: &[u8], depth: usize) -> Result<(String, Json), WireError> {
    let (mut key, mut value) = (String::new(), Json::Null);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        match number {
            KEY => key = text(field.bytes()?)?,
            VALUE => value = any_value(field.bytes()?, depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn any_value(bytes: &[u8], depth: usize) -> Result<Json, WireError> {
    if depth > DEPTH_MAX {
        return Err(WireError("an attribute is nested too deeply"));
    }
    let mut value = Json::Null;
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        value = match (number, field) {
            (1, field) => Json::String(text(field.bytes()?)?),
            (2, field) => Json::Bool(field.varint()? != 0),
            (3, field) => Json::from(field.varint()?.cast_signed()),
            // Whole numbers have no fraction, as Go writes them.
            (4, field) => match field.double()? {
                whole if whole.fract() == 0.0 && whole.abs() < 1e15 => Json::from(whole as i64),
                other if other.is_nan() => Json::from("NaN"),
                other if other.is_infinite() => Json::from(if other > 0.0 { "Infinity" } else { "-Infinity" }),
                other => Json::from(other),
            },
            (5, field) => {
                Json::Array(list(field)?.into_iter().map(|one| any_value(one, depth + 1)).collect::<Result<_, _>>()?)
            }
            (6, field) => {
                Json::Object(list(field)?.into_iter().map(|one| pair(one, depth + 1)).collect::<Result<_, _>>()?)
            }
            (7, field) => Json::String(STANDARD.encode(field.bytes()?)),
            _ => continue,
        };
    }
    Ok(value)
}

/// The elements of a message whose field 1 is a list.
fn list(field: Value<'_>) -> Result<Vec<&[u8]>, WireError> {
    let mut reader = Reader::new(field.bytes()?);
    let mut list = Vec::new();
    while let Some((number, field)) = reader.field()? {
        if number == 1 {
            list.push(field.bytes()?);
        }
    }
    Ok(list)
}
