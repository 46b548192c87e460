//! Events: records of a stream.

use std::collections::BTreeMap;

use crate::Timestamp;

/// One record of a stream. Logs, messages and spans become events on the way in.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Identifies the event at its source, for deduplication; empty if the source gives none.
    pub id: String,
    /// When it happened, by the source's clock.
    pub time: Timestamp,
    /// What kind of event it is, such as `login_failed` or a CloudEvents type.
    pub kind: String,
    /// Everything structured. Nested objects are flattened with dots: `user.name`.
    pub fields: BTreeMap<String, FieldValue>,
    /// The unstructured part, such as a log line; empty if there is none.
    pub body: String,
}

/// The value of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<FieldValue>),
}

impl FieldValue {
    /// The text form that label values and matchers see: texts as they are, numbers and truth values printed,
    /// lists joined with commas, null as the empty text.
    pub fn to_text(&self) -> String {
        match self {
            FieldValue::Null => String::new(),
            FieldValue::Bool(b) => b.to_string(),
            FieldValue::Int(i) => i.to_string(),
            FieldValue::Float(f) => f.to_string(),
            FieldValue::Text(s) => s.clone(),
            FieldValue::List(items) => items.iter().map(FieldValue::to_text).collect::<Vec<_>>().join(","),
        }
    }

    /// The number that it is or spells, if any.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            FieldValue::Int(i) => Some(*i as f64),
            FieldValue::Float(f) => Some(*f),
            FieldValue::Text(s) => s.parse().ok(),
            FieldValue::Null | FieldValue::Bool(_) | FieldValue::List(_) => None,
        }
    }
}
