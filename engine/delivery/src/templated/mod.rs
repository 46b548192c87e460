//! Channels that are data: a notification and a definition become requests, and answers become outcomes.
//!
//! This module is pure; what goes over the wire, one request after the other, is `run`.

mod answer;
mod body;
mod run;
mod setting;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use watchfire_config::{BodyDefinition, RequestDefinition, SettingKind, TemplatedConfig, Tree};
use watchfire_model::{AlertStatus, Timestamp};
use watchfire_plugin::Message;
use watchfire_template::functions::{ALERTMANAGER, Context};
use watchfire_template::go::Template;

pub(crate) use run::{Kept, Run};

use crate::http::current;
use crate::view::{self, value_of};
use crate::words::Renderer;
use crate::{BuildError, Method, Notification, Request, webhook};

/// What in `shorten` stands for fewer alerts.
const ALERTS: &str = "alerts";

/// A receiver of such a channel, with its templates parsed once.
pub(crate) struct Templated {
    pub(crate) config: TemplatedConfig,
    parsed: Mutex<BTreeMap<String, Arc<Template>>>,
}

/// A notification with the settings expanded for it.
#[derive(Clone)]
pub(crate) struct Prepared {
    facts: Map<String, Value>,
    settings: Map<String, Value>,
    /// A formatter's JSON.
    message: Option<Map<String, Value>>,
    /// How many alerts the JSON of the webhook holds; nothing for all.
    alerts_max: usize,
    at: Timestamp,
    external_url: String,
}

impl Templated {
    pub(crate) fn new(config: TemplatedConfig) -> Templated {
        Templated { config, parsed: Mutex::default() }
    }

    /// The texts that must not be seen.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for definition in &self.config.definition.settings {
            let hidden = matches!(definition.kind, SettingKind::Secret | SettingKind::SecretUrl);
            match self.config.settings.get(&definition.name) {
                Some(watchfire_config::Setting::Credential(credential)) if hidden => secrets.push(current(credential)),
                Some(watchfire_config::Setting::Value(Tree::Map(entries))) => {
                    let named = entries.iter().filter(|(name, _)| definition.secrets.contains(name));
                    secrets.extend(named.filter_map(|(_, value)| match value {
                        Tree::Text(text) => Some(text.clone()),
                        _ => None,
                    }));
                }
                _ => {}
            }
        }
        secrets
    }

    /// Expands the settings.
    ///
    /// # Errors
    /// If one fails that is needed.
    pub(crate) fn prepare(
        &self,
        notification: &Notification,
        message: Option<&Message>,
        renderer: &mut Renderer<'_>,
    ) -> Result<Prepared, BuildError> {
        let definition = &self.config.definition;
        let mut settings = Map::new();
        let mut alerts_max = 0;
        for setting in &definition.settings {
            let value = self.expand(setting, &settings, notification, renderer)?;
            if setting.name == "max_alerts" {
                alerts_max = value.as_u64().and_then(|max| usize::try_from(max).ok()).unwrap_or(0);
            }
            settings.insert(setting.name.clone(), value);
        }
        let object = message.and_then(|message| match serde_json::from_str(&message.body) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        });
        if let (Some(message), None) = (message, &object) {
            for (name, text) in [(&definition.title, &message.title), (&definition.body, &message.body)] {
                if let (Some(name), false) = (name, text.trim().is_empty()) {
                    let setting = definition.settings.iter().find(|setting| setting.name == *name);
                    let text = setting.map_or_else(|| text.clone(), |setting| setting::fit(setting, text, false));
                    settings.insert(name.clone(), text.into());
                }
            }
        }
        Ok(Prepared {
            facts: facts(notification, &settings, &self.config, alerts_max),
            settings,
            message: object,
            alerts_max,
            at: notification.at,
            external_url: notification.external_url.clone(),
        })
    }

    /// One request; nothing if it is not to be made.
    ///
    /// # Errors
    /// If a template of the definition fails, or what it makes is no request.
    pub(crate) fn request(
        &self,
        definition: &RequestDefinition,
        prepared: &Prepared,
        notification: &Notification,
        kept: &Map<String, Value>,
    ) -> Result<Option<Request>, BuildError> {
        let whole_settings = &prepared.settings;
        let mut prepared = prepared.clone();
        let mut notes = Vec::new();
        let mut scope = self.scope(&prepared, kept);
        if let Some(when) = &definition.when
            && scope.text("when", when)?.trim() != "true"
        {
            return Ok(None);
        }
        let mut built = self.built(definition, &mut scope, prepared.message.as_ref());
        // What is said of all alerts of a storm may be more than a template can say.
        let fewer = definition.shorten.iter().any(|name| name == ALERTS);
        while built.is_err() && fewer && prepared.fewer_alerts(notification) {
            built = self.built(definition, &mut self.scope(&prepared, kept), prepared.message.as_ref());
        }
        let mut request = built?;
        let Some(max) = definition.bytes_max else { return Ok(Some(request)) };
        let whole = request.body.len();
        for name in &definition.shorten {
            let text = whole_settings.get(name).and_then(Value::as_str).unwrap_or_default();
            while request.body.len() > max && prepared.smaller(name, text, max, request.body.len(), notification) {
                request = self.built(definition, &mut self.scope(&prepared, kept), prepared.message.as_ref())?;
            }
        }
        if whole > max {
            notes.push(format!(
                "the message is shortened from {whole} to {} bytes, the limit is {max}",
                request.body.len()
            ));
        }
        request.notes = notes;
        Ok(Some(request))
    }

    fn built(
        &self,
        definition: &RequestDefinition,
        scope: &mut Scope<'_>,
        message: Option<&Map<String, Value>>,
    ) -> Result<Request, BuildError> {
        let mut request = Request {
            method: Method::from_name(definition.method).unwrap_or(Method::Post),
            url: scope.text("url", &definition.url)?.trim().to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            notes: Vec::new(),
        };
        match &definition.body {
            BodyDefinition::Empty => {}
            BodyDefinition::Json(tree) => {
                let mut body = body::json(scope, tree)?;
                if let (true, Some(message), Value::Object(body)) = (definition.takes_message, message, &mut body) {
                    body.extend(message.clone());
                }
                request.set_header("Content-Type", "application/json");
                request.body = crate::go_json(&body);
            }
            BodyDefinition::Form(tree) => {
                request.set_header("Content-Type", "application/x-www-form-urlencoded");
                request.body = body::form(&body::json(scope, tree)?).into_bytes();
            }
            BodyDefinition::Text { text, content_type } => {
                request.set_header("Content-Type", content_type);
                request.body = scope.text("text", text)?.into_bytes();
            }
        }
        for (name, value) in &definition.headers {
            let value = scope.text("headers", value)?;
            match name.strip_suffix('?') {
                Some(_) if value.trim().is_empty() => {}
                Some(name) => request.set_header(name, value),
                None => request.set_header(name, value),
            }
        }
        Ok(request)
    }

    fn scope(&self, prepared: &Prepared, kept: &Map<String, Value>) -> Scope<'_> {
        let mut all = prepared.facts.clone();
        all.extend(prepared.settings.clone());
        all.insert("kept".to_owned(), kept.clone().into());
        self.scope_of(all, prepared)
    }

    fn scope_of(&self, all: Map<String, Value>, prepared: &Prepared) -> Scope<'_> {
        Scope {
            parsed: &self.parsed,
            data: value_of(&Value::Object(all)),
            at: prepared.at,
            external_url: prepared.external_url.clone(),
        }
    }
}

impl Prepared {
    /// Shows half of the alerts; says whether there was more than one.
    fn fewer_alerts(&mut self, notification: &Notification) -> bool {
        let shown = if self.alerts_max == 0 { notification.alerts.len() } else { self.alerts_max };
        if shown <= 1 {
            return false;
        }
        self.alerts_max = shown / 2;
        self.facts.insert("webhook".to_owned(), webhook::payload(notification, self.alerts_max));
        true
    }

    /// Makes a setting shorter, or shows fewer alerts, because a body of `bytes` is to have `max`; says whether it could.
    /// What is left out is counted from the `whole` text, however often it is shortened.
    fn smaller(&mut self, name: &str, whole: &str, max: usize, bytes: usize, notification: &Notification) -> bool {
        /// Below this nothing worth reading is left.
        const BYTES_MIN: usize = 64;
        if name == ALERTS {
            return self.fewer_alerts(notification);
        }
        let Some(Value::String(text)) = self.settings.get_mut(name) else { return false };
        // In proportion, since what is around the text and how it is escaped takes its share; then in small steps.
        let target = (text.len() / 16 * 15).min(text.len().saturating_mul(max) / bytes);
        if target < BYTES_MIN {
            return false;
        }
        *text = crate::text::shorten(whole, target, crate::text::Unit::Bytes).into_owned();
        true
    }
}

/// Executes the texts of a definition over the expanded settings.
struct Scope<'a> {
    parsed: &'a Mutex<BTreeMap<String, Arc<Template>>>,
    data: watchfire_template::Value,
    at: Timestamp,
    external_url: String,
}

impl Scope<'_> {
    fn text(&mut self, field: &str, text: &str) -> Result<String, BuildError> {
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let failed = |message: String| BuildError::Template { field: format!("requests.{field}"), message };
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        let template = match parsed.get(text) {
            Some(known) => known.clone(),
            None => {
                let template = Template::parse(field, text, ALERTMANAGER).map_err(|error| failed(error.message))?;
                let template = Arc::new(template);
                parsed.insert(text.to_owned(), template.clone());
                template
            }
        };
        drop(parsed);
        let mut context = Context::new(self.at, &self.external_url);
        template.execute(&self.data, &mut context).map_err(|error| failed(error.message))
    }
}

/// What the requests' templates see beside the settings.
fn facts(
    notification: &Notification,
    settings: &Map<String, Value>,
    config: &TemplatedConfig,
    alerts_max: usize,
) -> Map<String, Value> {
    let firing = notification.status() == AlertStatus::Firing;
    let labels = |labels: &watchfire_model::Labels| -> Map<String, Value> {
        labels.iter().map(|label| (label.name.to_owned(), label.value.into())).collect()
    };
    let maps = settings.iter().filter_map(|(name, value)| Some((name, value.as_object()?)));
    let pairs: Map<String, Value> = maps
        .map(|(name, map)| {
            let numbered = map
                .iter()
                .zip(1..)
                .map(|((name, value), number)| json!({"number": number, "name": name, "value": value}));
            (name.clone(), numbered.collect())
        })
        .collect();
    let durations = config.definition.settings.iter().filter(|setting| setting.kind == SettingKind::Duration);
    let minutes: Map<String, Value> = durations
        .map(|setting| {
            let seconds = settings.get(&setting.name).and_then(Value::as_i64).unwrap_or(0);
            (setting.name.clone(), (seconds / 60).into())
        })
        .collect();
    let Value::Object(facts) = json!({
        "firing": firing,
        "resolved": !firing,
        "status": notification.status().as_str(),
        "severity": notification.severity().as_str(),
        "headline": view::title(notification),
        "reason": notification.reason,
        "id": notification.id,
        "attempt": notification.attempt,
        "receiver": notification.receiver,
        "external_url": notification.external_url,
        "alerts_url": notification.alerts_url(),
        "silence_url": notification.silence_url(),
        "group": {
            "key": notification.group_key,
            "hash": notification.group_hash(),
            "labels": labels(&notification.group_labels),
            "common_labels": labels(&notification.common_labels),
            "common_annotations": view::texts(&notification.common_annotations),
        },
        "webhook": webhook::payload(notification, alerts_max),
        "pairs": pairs,
        "minutes": minutes,
    }) else {
        return Map::new();
    };
    facts
}
