//! Bodies: a definition's tree becomes JSON or a form.

use serde_json::{Map, Value};
use watchfire_config::Tree;

use super::Scope;
use crate::BuildError;
use crate::notification::encode;

/// The JSON that a tree describes.
pub(super) fn json(scope: &mut Scope<'_>, tree: &Tree) -> Result<Value, BuildError> {
    Ok(match tree {
        Tree::Null => Value::Null,
        Tree::Bool(truth) => (*truth).into(),
        Tree::Int(number) => (*number).into(),
        Tree::Float(number) => (*number).into(),
        Tree::Text(text) => scope.text("body", text)?.into(),
        Tree::List(items) => items.iter().map(|item| json(scope, item)).collect::<Result<_, _>>()?,
        Tree::Map(entries) => match entries.as_slice() {
            [(key, Tree::Text(text))] if key == "$json" => {
                let text = scope.text("body", text)?;
                match text.trim() {
                    "" => Value::Null,
                    text => serde_json::from_str(text).map_err(|error| BuildError::Template {
                        field: "requests.body".to_owned(),
                        message: format!("a template made no JSON: {error}: {}", crate::outcome::bounded(text)),
                    })?,
                }
            }
            [(key, Tree::List(parts))] if key == "$merge" => {
                let mut all = Map::new();
                for part in parts {
                    if let Value::Object(part) = json(scope, part)? {
                        all.extend(part);
                    }
                }
                all.into()
            }
            entries => {
                let mut map = Map::new();
                for (key, value) in entries {
                    let value = json(scope, value)?;
                    match key.strip_suffix('?') {
                        Some(_) if is_empty(&value) => {}
                        Some(key) => drop(map.insert(key.to_owned(), value)),
                        None => drop(map.insert(key.clone(), value)),
                    }
                }
                map.into()
            }
        },
    })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// `application/x-www-form-urlencoded`, with `%20` for a space, which signatures need.
pub(super) fn form(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}={}", encode(name), encode(&text))
    });
    pairs.collect::<Vec<_>>().join("&")
}
