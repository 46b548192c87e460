//! From nested JSON to flat fields.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use watchfire_model::{Event, FieldValue};

use crate::Limits;

/// Flat fields, with the room that one event has left.
pub(super) struct Fields<'a> {
    pub(super) map: BTreeMap<String, FieldValue>,
    bytes: usize,
    limits: &'a Limits,
}

impl<'a> Fields<'a> {
    pub(super) fn new(limits: &'a Limits) -> Fields<'a> {
        Fields { map: BTreeMap::new(), bytes: 0, limits }
    }

    /// Adds all members of an object, nested ones as `outer.inner`.
    pub(super) fn add_object(&mut self, object: Map<String, Value>) -> Result<(), String> {
        object.into_iter().try_for_each(|(name, value)| self.add(name, value))
    }

    /// Adds one member; of equal names the last one wins.
    pub(super) fn add(&mut self, name: String, value: Value) -> Result<(), String> {
        if let Value::Object(object) = value {
            // The name is repeated for each member, so that it counts even where nothing comes of it.
            self.spend(name.len())?;
            for (inner, value) in object {
                self.add(format!("{name}.{inner}"), value)?;
            }
            return Ok(());
        }
        self.insert(name, field_value(value))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes > self.limits.event_bytes_max {
            return Err(format!("the event has more than {} bytes", self.limits.event_bytes_max));
        }
        Ok(())
    }

    /// Adds one flat field.
    pub(super) fn insert(&mut self, name: String, value: FieldValue) -> Result<(), String> {
        self.spend(name.len() + text_bytes(&value))?;
        self.map.insert(name, value);
        if self.map.len() > self.limits.event_fields_max {
            return Err(format!("the event has more than {} fields", self.limits.event_fields_max));
        }
        Ok(())
    }
}

/// The bytes of the fields and the body of an event.
pub(super) fn event_bytes(event: &Event) -> usize {
    event.body.len() + event.fields.iter().map(|(name, value)| name.len() + text_bytes(value)).sum::<usize>()
}

fn text_bytes(value: &FieldValue) -> usize {
    match value {
        FieldValue::Text(text) => text.len(),
        FieldValue::List(items) => items.iter().map(|item| 8 + text_bytes(item)).sum(),
        FieldValue::Null | FieldValue::Bool(_) | FieldValue::Int(_) | FieldValue::Float(_) => 8,
    }
}

/// Any JSON value as the value of one field; an object, which only a list can still hold, becomes its JSON text.
pub(super) fn field_value(value: Value) -> FieldValue {
    match value {
        Value::Null => FieldValue::Null,
        Value::Bool(b) => FieldValue::Bool(b),
        Value::Number(number) => match number.as_i64() {
            Some(int) => FieldValue::Int(int),
            // Beyond 64 bits a number keeps its size but not its last digits.
            None => FieldValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => FieldValue::Text(text),
        Value::Array(items) => FieldValue::List(items.into_iter().map(field_value).collect()),
        Value::Object(object) => FieldValue::Text(Value::Object(object).to_string()),
    }
}

/// What kind of JSON value it is, for messages.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
