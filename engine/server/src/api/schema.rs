//! JSON Schemas, as OpenAPI 3.1 has them, in few words.

use serde_json::{Map, Value, json};

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

/// An instant as RFC 3339 writes it.
pub(super) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(super) fn integer() -> Value {
    json!({"type": "integer"})
}

pub(super) fn number() -> Value {
    json!({"type": "number"})
}

pub(super) fn boolean() -> Value {
    json!({"type": "boolean"})
}

/// One of these words.
pub(super) fn word(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

pub(super) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// Values of one kind by names that are not known ahead.
pub(super) fn map(values: Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

/// The value, or null.
pub(super) fn nullable(value: Value) -> Value {
    json!({"anyOf": [value, {"type": "null"}]})
}

/// A schema of [`components`](super::components) by its name.
pub(super) fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object with these keys and no others.
pub(super) fn object(required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let all = required.iter().chain(optional).map(|(name, schema)| ((*name).to_owned(), schema.clone()));
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    let mut schema = json!({
        "type": "object",
        "properties": all.collect::<Map<String, Value>>(),
        "additionalProperties": false,
    });
    if !names.is_empty() {
        schema["required"] = json!(names);
    }
    schema
}

/// The same with what it means.
pub(super) fn described(mut schema: Value, what: &str) -> Value {
    schema["description"] = what.into();
    schema
}
