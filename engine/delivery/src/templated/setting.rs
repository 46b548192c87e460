//! Settings: templates expanded for a notification and cut to what the service takes.

use serde_json::{Map, Value};
use watchfire_config::{LengthUnit, Setting, SettingDefinition, SettingKind, Tree};

use super::Templated;
use crate::http::current;
use crate::text::{self, Unit};
use crate::view::value_of;
use crate::words::Renderer;
use crate::{BuildError, Notification};

/// Texts up to this long are headlines, where a count of what is left out would be noise.
const HEADLINE_MAX: usize = 300;

impl Templated {
    pub(super) fn expand(
        &self,
        definition: &SettingDefinition,
        earlier: &Map<String, Value>,
        notification: &Notification,
        renderer: &mut Renderer<'_>,
    ) -> Result<Value, BuildError> {
        let text = match self.config.settings.get(&definition.name) {
            Some(Setting::Credential(credential)) => current(credential),
            Some(Setting::Value(Tree::Text(text))) if definition.kind != SettingKind::Tree => text.clone(),
            Some(Setting::Value(tree)) => {
                let mut value = match definition.json {
                    true => renderer.structured(&definition.name, tree),
                    false => renderer.tree(&definition.name, tree),
                };
                if definition.kind == SettingKind::Tree {
                    fit_tree(definition, &mut value);
                }
                return Ok(value);
            }
            None if definition.kind == SettingKind::Tree => return Ok(Map::new().into()),
            None if definition.kind == SettingKind::List => return Ok(Vec::<Value>::new().into()),
            None if matches!(definition.kind, SettingKind::Boolean) => return Ok(false.into()),
            None => String::new(),
        };
        let html = match &definition.html {
            Some(html) => {
                let mut scope = super::Scope {
                    parsed: &self.parsed,
                    data: value_of(&Value::Object(earlier.clone())),
                    at: notification.at,
                    external_url: notification.external_url.clone(),
                };
                scope.text("html", html)?.trim() == "true"
            }
            None => false,
        };
        let hidden = matches!(definition.kind, SettingKind::Secret | SettingKind::SecretUrl);
        let rendered = match (hidden, definition.required) {
            (true, _) => Some(renderer.secret(&definition.name, &text)?),
            (false, true) => Some(renderer.needed(&definition.name, &text)?),
            (false, false) => None,
        };
        let rendered = rendered.or_else(|| match html {
            true => renderer.html(&definition.name, Some(&text)),
            false => renderer.text(&definition.name, Some(&text)),
        });
        // A text that fails is replaced by the channel's own.
        let rendered = rendered.or_else(|| match &definition.default {
            Some(Tree::Text(default)) if html => renderer.html(&definition.name, Some(default)),
            Some(Tree::Text(default)) => renderer.text(&definition.name, Some(default)),
            _ => None,
        });
        let rendered = rendered.unwrap_or_default();
        if definition.kind == SettingKind::List {
            let items = rendered.split(',').map(str::trim).filter(|item| !item.is_empty());
            return Ok(items.map(Value::from).collect());
        }
        Ok(fit(definition, &rendered, html).into())
    }
}

fn fit_tree(definition: &SettingDefinition, value: &mut Value) {
    match value {
        Value::String(text) => *text = fit(definition, text, false),
        Value::Array(items) => items.iter_mut().for_each(|item| fit_tree(definition, item)),
        Value::Object(map) => map.values_mut().for_each(|item| fit_tree(definition, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text as long as the service takes it.
pub(super) fn fit(definition: &SettingDefinition, text: &str, html: bool) -> String {
    let Some(max) = definition.max else { return text.to_owned() };
    let unit = match definition.unit {
        LengthUnit::Characters => Unit::Chars,
        LengthUnit::Utf16 => Unit::Utf16,
        LengthUnit::Bytes => Unit::Bytes,
    };
    if html {
        text::shorten_html(text, max, unit)
    } else if max <= HEADLINE_MAX {
        text::ellipsis(text, max, unit).into_owned()
    } else {
        text::shorten(text, max, unit).into_owned()
    }
}
