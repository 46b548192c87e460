//! The JSON Schema of the configuration and of rule files, made by the code that reads them.

use serde_json::{Map, Value, json};

/// What a key can hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// A text.
    Text,
    /// A truth value.
    Boolean,
    /// A whole number from zero.
    Count,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A time such as `5m`.
    Duration,
    /// A size such as `16MiB`.
    Bytes,
    /// One of a few words.
    Words(&'static [&'static str]),
    /// A text, or something with more to say.
    TextOr(Box<Shape>),
    /// A list.
    List(Box<Shape>),
    /// A mapping with free keys.
    Map(Box<Shape>),
    /// A mapping with these keys, by its name.
    Object(&'static str, Vec<(&'static str, Shape)>),
    /// An object that is being described further up.
    Reference(&'static str),
}

impl Shape {
    /// The whole schema.
    pub(crate) fn document(&self, title: &str) -> String {
        let mut definitions = Map::new();
        let root = self.to_value(&mut definitions);
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "$ref": root["$ref"],
            "$defs": definitions,
        });
        format!("{schema:#}")
    }

    fn to_value(&self, definitions: &mut Map<String, Value>) -> Value {
        let nullable = |kind: &str| json!({ "type": [kind, "null"] });
        match self {
            Shape::Any => json!({}),
            // A text may be written like a number.
            Shape::Text => json!({ "type": ["string", "number", "boolean", "null"] }),
            Shape::TextOr(more) => json!({ "anyOf": [Shape::Text.to_value(definitions), more.to_value(definitions)] }),
            // A placeholder such as ${NAME} is a text until it is replaced.
            Shape::Boolean => json!({ "type": ["boolean", "string", "null"] }),
            Shape::Count => json!({ "type": ["integer", "string", "null"], "minimum": 0 }),
            Shape::Integer => json!({ "type": ["integer", "string", "null"] }),
            Shape::Number => json!({ "type": ["number", "string", "null"] }),
            Shape::Duration => json!({ "type": ["string", "integer", "null"], "examples": ["30s", "5m", "1h30m"] }),
            Shape::Bytes => json!({ "type": ["string", "integer", "null"], "examples": ["64KiB", "16MiB"] }),
            Shape::Words(words) => json!({ "anyOf": [{ "enum": words }, nullable("null")] }),
            Shape::List(item) => json!({ "type": ["array", "null"], "items": item.to_value(definitions) }),
            Shape::Map(value) => {
                json!({ "type": ["object", "null"], "additionalProperties": value.to_value(definitions) })
            }
            Shape::Reference(name) => json!({ "$ref": format!("#/$defs/{}", pointer(name)) }),
            Shape::Object(name, fields) => {
                if !definitions.contains_key(&pointer(name)) {
                    // Holds the place, so that definitions stand in the order of first use.
                    definitions.insert(pointer(name), Value::Null);
                    let properties: Map<String, Value> =
                        fields.iter().map(|(key, shape)| ((*key).to_owned(), shape.to_value(definitions))).collect();
                    let object = json!({
                        "type": ["object", "null"],
                        "properties": properties,
                        "additionalProperties": false,
                    });
                    definitions.insert(pointer(name), object);
                }
                json!({ "$ref": format!("#/$defs/{}", pointer(name)) })
            }
        }
    }
}

fn pointer(name: &str) -> String {
    name.replace(' ', "_").replace(['`', '\''], "")
}
