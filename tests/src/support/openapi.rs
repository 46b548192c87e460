//! OpenAPI documents as judges of answers: each must fit the schema that its document gives for it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use watchfire_model::Timestamp;

/// A document in OpenAPI 2 or 3.
pub(crate) struct OpenApi(pub(crate) Value);

impl OpenApi {
    /// Checks an answer.
    ///
    /// # Errors
    /// If the document does not know the operation or the status, or the body does not fit.
    pub(crate) fn check(&self, method: &str, path: &str, status: u16, body: &str) -> Result<()> {
        let place = format!("{method} {path}: {status}");
        let base = self.0["basePath"].as_str().unwrap_or("").trim_end_matches('/');
        let path = path.split('?').next().unwrap_or(path);
        let path = path.strip_prefix(base).with_context(|| format!("{place}: the path is not below {base}"))?;
        let paths = self.0["paths"].as_object().context("a document has paths")?;
        let item = paths.iter().find(|(template, _)| fits(template, path)).map(|(_, item)| item);
        let item = item.with_context(|| format!("{place}: the document does not know this path"))?;
        let responses = &item[method.to_ascii_lowercase()]["responses"];
        ensure!(responses.is_object(), "{place}: the document does not know this method");
        let response = self.resolved(&responses[status.to_string()]);
        ensure!(response.is_object(), "{place}: the document does not know this status\n{body}");
        let schema = match &response["content"] {
            Value::Null => &response["schema"],
            content => &content["application/json"]["schema"],
        };
        if schema.is_null() {
            return Ok(());
        }
        let value: Value = serde_json::from_str(body).with_context(|| format!("{place}: no JSON: {body}"))?;
        self.fits(schema, &value, "$").with_context(|| format!("{place}\n{value:#}"))
    }

    /// What a reference stands for.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let pointer = value["$ref"].as_str().and_then(|text| text.strip_prefix('#'));
        pointer.map_or(value, |pointer| self.0.pointer(pointer).unwrap_or(&Value::Null))
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<()> {
        let schema = self.resolved(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.fits(part, value, at)?;
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(parts) = schema[key].as_array() {
                let errors: Vec<String> =
                    parts.iter().filter_map(|part| self.fits(part, value, at).err()).map(|e| e.to_string()).collect();
                ensure!(errors.len() < parts.len(), "{at} fits none of {key}: {errors:?}");
            }
        }
        if let Some(words) = schema["enum"].as_array() {
            ensure!(words.contains(value), "{at} is {value} and not one of {words:?}");
        }
        match schema["type"].as_str() {
            Some("string") => {
                let text = value.as_str().with_context(|| format!("{at} is no text: {value}"))?;
                if schema["format"] == "date-time" {
                    ensure!(Timestamp::parse_rfc3339(text).is_ok(), "{at} is no time: {text}");
                }
                let length = text.chars().count() as u64;
                ensure!(schema["minLength"].as_u64().is_none_or(|min| length >= min), "{at} is too short: {text:?}");
            }
            Some("integer") => ensure!(value.is_i64() || value.is_u64(), "{at} is no whole number: {value}"),
            Some("number") => ensure!(value.is_number(), "{at} is no number: {value}"),
            Some("boolean") => ensure!(value.is_boolean(), "{at} is no truth value: {value}"),
            Some("null") => ensure!(value.is_null(), "{at} is not null: {value}"),
            Some("array") => {
                let items = value.as_array().with_context(|| format!("{at} is no list: {value}"))?;
                for (index, item) in items.iter().enumerate() {
                    self.fits(&schema["items"], item, &format!("{at}[{index}]"))?;
                }
            }
            Some("object") => self.fits_object(schema, value, at)?,
            Some(other) => bail!("{at}: the type {other:?} is not known here"),
            None => {}
        }
        Ok(())
    }

    fn fits_object(&self, schema: &Value, value: &Value, at: &str) -> Result<()> {
        let fields = value.as_object().with_context(|| format!("{at} is no object: {value}"))?;
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            ensure!(fields.contains_key(name), "{at} has no {name}");
        }
        for (name, field) in fields {
            let known = &schema["properties"][name];
            match (known.is_null(), &schema["additionalProperties"]) {
                (false, _) => self.fits(known, field, &format!("{at}.{name}"))?,
                (true, Value::Bool(false)) => bail!("{at}.{name} is not in the document"),
                (true, rest) => self.fits(rest, field, &format!("{at}.{name}"))?,
            }
        }
        Ok(())
    }
}

/// Whether a path is one of a template's, such as `/silence/{id}`.
fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(part)) if wanted == part || (wanted.starts_with('{') && !part.is_empty()) => {}
            _ => return false,
        }
    }
}
