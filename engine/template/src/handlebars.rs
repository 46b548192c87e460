//! Message templates in Handlebars: Watchfire's own format for messages, with the same functions as Go templates.
//!
//! A template sees the notification data under the names that the webhook's JSON has: `receiver`, `status`, `alerts` (each
//! with `status`, `labels`, `annotations`, `startsAt`, `endsAt`, `generatorURL`, `fingerprint`), `firing` and `resolved`
//! (the alerts of that status), `groupLabels`, `commonLabels`, `commonAnnotations`, `externalURL`, and `now`. Functions
//! are helpers: `{{toUpper status}}`, `{{humanizeDuration (since startsAt)}}`, `{{{json labels}}}`. Comparison and logic
//! (`eq`, `ne`, `gt`, `and`, `not`, `len`, ...) are Handlebars' own. Partials take no block (`{{#> x}}`).

mod bounds;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ::handlebars::{
    Context as Scope, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson,
};
use serde_json::{Map, Value as Json};
use thiserror::Error;
use watchfire_model::{AlertStatus, Annotations, Timestamp};

use crate::alertmanager::{AlertData, Data};
use crate::functions::{
    ALERTMANAGER, Context, Function, Limits, PROMETHEUS, Param, TEXT_BYTES_MAX, html_escape, too_long,
};
use crate::go::bounded;
use crate::time::{GoDuration, GoTime};
use crate::value::{ANY_LIST, TEXT_LIST, Value};

/// How values are written into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// As they are.
    None,
    /// For HTML; `{{{triple}}}` braces write a value as it is.
    Html,
    /// For the inside of a JSON string; `{{{json x}}}` writes a whole JSON value.
    Json,
}

/// Why a message template cannot be read or rendered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name}:{line}:{column}: {message}")]
pub struct MessageError {
    /// The template's name.
    pub name: String,
    /// The line, from 1; 0 if it is not known.
    pub line: usize,
    /// The column, from 1; 0 if it is not known.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Message templates that can include one another as partials.
pub struct Messages {
    registry: Handlebars<'static>,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.registry.get_templates().keys().collect();
        names.sort();
        f.debug_struct("Messages").field("templates", &names).finish()
    }
}

impl Messages {
    /// Without templates yet.
    pub fn new(escaping: Escaping) -> Messages {
        let mut registry = Handlebars::new();
        match escaping {
            Escaping::None => registry.register_escape_fn(::handlebars::no_escape),
            Escaping::Html => registry.register_escape_fn(html_escape),
            Escaping::Json => registry.register_escape_fn(inside_json),
        }
        for name in PROMETHEUS.names().into_iter().chain(ALERTMANAGER.names()) {
            // Notification functions win over rule functions of the same name; queries have no place in messages.
            let function = ALERTMANAGER.find(name).or_else(|| PROMETHEUS.find(name));
            if let Some(function) = function
                && !OWN.contains(&name)
            {
                registry.register_helper(name, Box::new(Call(function)));
            }
        }
        registry.register_helper("json", Box::new(ToJson));
        registry.register_helper("default", Box::new(Default));
        registry.register_helper("truncate", Box::new(Truncate));
        Messages { registry }
    }

    /// Adds a template.
    ///
    /// # Errors
    /// If the text is no template.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), MessageError> {
        let parsed = bounds::parse(name, text).map_err(|refused| {
            let (line, column) = refused.at.unwrap_or((0, 0));
            MessageError { name: name.to_owned(), line, column, message: refused.message }
        })?;
        self.registry.register_template(name, parsed);
        Ok(())
    }

    /// Whether there is a template of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.registry.has_template(name)
    }

    /// Renders a template. `extra` is added to the data at the top level.
    ///
    /// # Errors
    /// If there is no such template or it fails.
    pub fn render(
        &self,
        name: &str,
        data: &Data,
        extra: &BTreeMap<String, Value>,
        now: Timestamp,
    ) -> Result<String, MessageError> {
        let mut root = root(data, now);
        root.extend(extra.iter().map(|(key, value)| (key.clone(), to_json(value))));
        bounds::render(&self.registry, name, Json::Object(root), Limits::STANDARD).map_err(|error| MessageError {
            name: error.template_name.clone().unwrap_or_else(|| name.to_owned()),
            line: error.line_no.unwrap_or(0),
            column: error.column_no.unwrap_or(0),
            message: match error.reason() {
                RenderErrorReason::IOError(stopped) => stopped.to_string(),
                reason => reason.to_string(),
            },
        })
    }
}

/// Helpers that Handlebars brings itself, and functions that make no sense in messages.
const OWN: [&str; 22] = [
    "and",
    "call",
    "eq",
    "ge",
    "gt",
    "le",
    "len",
    "lt",
    "ne",
    "not",
    "or",
    "query",
    "first",
    "label",
    "value",
    "strvalue",
    "sortByLabel",
    "args",
    "index",
    "slice",
    "html",
    "safeHtml",
];

/// The inside of a JSON string.
fn inside_json(text: &str) -> String {
    let quoted = Json::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or("").to_owned()
}

fn root(data: &Data, now: Timestamp) -> Map<String, Json> {
    let texts = |texts: &Annotations| texts.iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    let labels = |labels: &watchfire_model::Labels| -> Json {
        labels.iter().map(|l| (l.name.to_owned(), Json::from(l.value))).collect::<Map<_, _>>().into()
    };
    let alert = |alert: &AlertData| -> Json {
        let ends_at = alert.ends_at.map_or_else(GoTime::zero, GoTime::from_timestamp);
        Map::from_iter([
            ("status".to_owned(), alert.status.as_str().into()),
            ("labels".to_owned(), labels(&alert.labels)),
            ("annotations".to_owned(), Json::Object(texts(&alert.annotations))),
            ("startsAt".to_owned(), rfc3339(GoTime::from_timestamp(alert.starts_at)).into()),
            ("endsAt".to_owned(), rfc3339(ends_at).into()),
            ("generatorURL".to_owned(), (&*alert.generator_url).into()),
            ("fingerprint".to_owned(), alert.fingerprint.as_str().into()),
        ])
        .into()
    };
    let with_status = |status| -> Json { data.alerts.iter().filter(|a| a.status == status).map(alert).collect() };
    Map::from_iter([
        ("receiver".to_owned(), data.receiver.as_str().into()),
        ("status".to_owned(), data.status.as_str().into()),
        ("alerts".to_owned(), data.alerts.iter().map(alert).collect()),
        ("firing".to_owned(), with_status(AlertStatus::Firing)),
        ("resolved".to_owned(), with_status(AlertStatus::Resolved)),
        ("groupLabels".to_owned(), labels(&data.group_labels)),
        ("commonLabels".to_owned(), labels(&data.common_labels)),
        ("commonAnnotations".to_owned(), Json::Object(texts(&data.common_annotations))),
        ("externalURL".to_owned(), data.external_url.as_str().into()),
        ("now".to_owned(), rfc3339(GoTime::from_timestamp(now)).into()),
    ])
}

/// RFC 3339, with the zone's name behind it (RFC 9557) where that is not UTC, so that `tz` and `date` can be nested.
fn rfc3339(time: GoTime) -> String {
    let text = time.format("2006-01-02T15:04:05.999Z07:00");
    match time.zone_name() {
        "UTC" => text,
        zone => format!("{text}[{zone}]"),
    }
}

fn parse_time(text: &str) -> Option<GoTime> {
    let (point, zone) = text.split_once('[').unwrap_or((text, ""));
    GoTime::parse_rfc3339(point)?.in_zone(zone.trim_end_matches(']')).ok()
}

/// A function of Go templates as a helper.
struct Call(&'static Function);

impl HelperDef for Call {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        scope: &'rc Scope,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let function = self.0;
        let given = helper.params().len();
        let fixed = if function.variadic { function.params.len() - 1 } else { function.params.len() };
        if given < fixed || (given > fixed && !function.variadic) {
            let least = if function.variadic { "at least " } else { "" };
            return Err(failed(function.name, &format!("wrong number of arguments: want {least}{fixed}, got {given}")));
        }
        let mut arguments = Vec::with_capacity(given);
        for (index, param) in helper.params().iter().enumerate() {
            let wanted = function.params.get(index).or(function.params.last()).copied().unwrap_or(Param::Any);
            let value = from_json(param.value(), wanted).ok_or_else(|| {
                let got = param.value();
                failed(function.name, &format!("argument {} must be {}, got {got}", index + 1, wanted.type_name()))
            })?;
            arguments.push(value);
        }
        let member = |name: &str| scope.data().get(name).and_then(Json::as_str).unwrap_or("");
        let now = GoTime::parse_rfc3339(member("now")).unwrap_or_else(GoTime::zero).timestamp();
        let mut context = Context::new(now, member("externalURL"));
        let value = (function.call)(&mut context, &arguments).and_then(bounded);
        let value = value.map_err(|message| failed(function.name, &message))?;
        let json = to_json(&value);
        if bounds::is_larger_than(&json, TEXT_BYTES_MAX) {
            return Err(failed(function.name, &too_long()));
        }
        Ok(ScopedJson::Derived(json))
    }
}

fn failed(name: &str, message: &str) -> RenderError {
    RenderErrorReason::Other(format!("{name}: {message}")).into()
}

/// `{{{json x}}}`: the value as JSON.
struct ToJson;

impl HelperDef for ToJson {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Scope,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let value = helper.param(0).ok_or_else(|| failed("json", "wrong number of arguments: want 1, got 0"))?;
        Ok(ScopedJson::Derived(value.value().to_string().into()))
    }
}

/// `{{default x "otherwise"}}`: the first argument that is not empty.
struct Default;

impl HelperDef for Default {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Scope,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let empty = |json: &Json| match json {
            Json::Null => true,
            Json::String(text) => text.is_empty(),
            Json::Array(items) => items.is_empty(),
            Json::Object(members) => members.is_empty(),
            _ => false,
        };
        let value = helper.params().iter().map(|param| param.value()).find(|value| !empty(value));
        Ok(ScopedJson::Derived(value.cloned().unwrap_or(Json::Null)))
    }
}

/// `{{truncate x 150}}`: at most that many characters, the last of them an ellipsis if something is cut.
struct Truncate;

impl HelperDef for Truncate {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Scope,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let text = helper.param(0).map(|param| param.value().as_str().unwrap_or(""));
        let most = helper.param(1).and_then(|param| param.value().as_u64());
        let (Some(text), Some(most)) = (text, most) else {
            return Err(failed("truncate", "want a text and a number"));
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if text.chars().count() <= most {
            return Ok(ScopedJson::Derived(text.into()));
        }
        let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
        cut.push('…');
        Ok(ScopedJson::Derived(cut.into()))
    }
}

/// An argument as the function wants it; `None` if it cannot be that.
fn from_json(json: &Json, wanted: Param) -> Option<Value> {
    let value = match (wanted, json) {
        (Param::Time, Json::String(text)) => Value::Time(parse_time(text)?),
        (Param::Text, Json::Number(number)) => number.to_string().into(),
        (Param::Text, Json::Null) => "".into(),
        (Param::TextList, Json::Array(items)) => {
            let texts = items.iter().map(|item| from_json(item, Param::Text)).collect::<Option<Vec<_>>>()?;
            Value::list(&TEXT_LIST, texts)
        }
        (Param::Int, Json::Number(number)) => Value::Int(number.as_i64()?),
        (Param::Duration, Json::Number(number)) => Value::Duration(GoDuration::from_nanos(number.as_i64()?)),
        (_, json) => any(json),
    };
    (wanted.accepts(&value) || (matches!(value, Value::Nil) && wanted.takes_nil())).then_some(value)
}

fn any(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Int(integer),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::list(&ANY_LIST, items.iter().map(any).collect()),
        Json::Object(members) => Value::map(members.iter().map(|(key, value)| (key.clone(), any(value)))),
    }
}

/// Durations become seconds, so that `humanizeDuration` and arithmetic see them as Prometheus' functions do.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Float(number) => Json::from(*number),
        Value::Text(text) | Value::Safe(_, text) => Json::from(&**text),
        Value::Time(time) => Json::from(rfc3339(*time)),
        Value::Duration(duration) => Json::from(duration.seconds()),
        Value::Int(_) | Value::Byte(_) => Json::from(value.as_int().unwrap_or(0)),
        Value::Named(named) => Json::from(named.word),
        Value::List(list) => list.items.iter().map(to_json).collect(),
        Value::Map(map) => map.entries().iter().map(|(k, v)| (k.clone(), to_json(v))).collect::<Map<_, _>>().into(),
        Value::Struct(structure) => {
            let fields: Arc<_> = structure.clone();
            fields.fields.iter().map(|(k, v)| ((*k).to_owned(), to_json(v))).collect::<Map<_, _>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::Labels;

    fn data() -> Data {
        let labels = Labels::from_pairs([("alertname", "Disk \"full\""), ("severity", "critical")]);
        let alert = |status, ends_at| AlertData {
            status,
            labels: labels.clone(),
            annotations: [("summary", "a <b> & c\nd")].into(),
            starts_at: Timestamp::parse_rfc3339("2024-01-02T03:00:00Z").unwrap(),
            ends_at,
            generator_url: "".into(),
            fingerprint: "f".to_owned(),
        };
        Data {
            receiver: "r".to_owned(),
            status: AlertStatus::Firing,
            alerts: vec![
                alert(AlertStatus::Firing, None),
                alert(AlertStatus::Resolved, Some(Timestamp::parse_rfc3339("2024-01-02T03:30:00Z").unwrap())),
            ],
            group_labels: labels.filter(|name| name == "alertname"),
            common_labels: labels.clone(),
            common_annotations: Annotations::default(),
            notification_reason: String::new(),
            route_labels: BTreeMap::new(),
            external_url: "http://w.example".to_owned(),
        }
    }

    pub(super) fn render(escaping: Escaping, text: &str) -> Result<String, String> {
        let mut messages = Messages::new(escaping);
        messages.add("t", text).map_err(|error| error.to_string())?;
        let extra = [("team".to_owned(), Value::from("sre"))].into();
        let now = Timestamp::parse_rfc3339("2024-01-02T04:00:00Z").unwrap();
        messages.render("t", &data(), &extra, now).map_err(|error| error.to_string())
    }

    #[test]
    fn helpers_are_the_functions_of_go_templates() {
        for (template, expected) in [
            ("{{toUpper status}}:{{len firing}} {{groupLabels.alertname}}", "FIRING:1 Disk \"full\""),
            ("{{#each alerts}}{{humanizeDuration (since startsAt)}} {{/each}}", "1h 0m 0s 1h 0m 0s "),
            ("{{date \"15:04 MST\" (tz \"Asia/Tokyo\" alerts.[0].startsAt)}}", "12:00 JST"),
            ("{{humanize 1234567}} {{humanizePercentage 0.5}} {{printf \"%05.1f\" 2.5}}", "1.235M 50% 002.5"),
            ("{{join \", \" (stringSlice \"a\" \"b\")}}", "a, b"),
            ("{{#if (eq commonLabels.severity \"critical\")}}!{{/if}}{{default commonLabels.x \"none\"}}", "!none"),
            ("{{truncate \"abcdef\" 4}} {{team}} {{reReplaceAll \"b.\" \"${0}x\" \"abcd\"}}", "abc… sre abcxd"),
            ("{{urlquery \"a b\"}}", "a+b"),
        ] {
            assert_eq!(render(Escaping::None, template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn values_are_escaped_for_the_format() {
        let template = "{{alerts.[0].annotations.summary}}";
        assert_eq!(render(Escaping::Html, template).as_deref(), Ok("a &lt;b&gt; &amp; c\nd"));
        let json =
            render(Escaping::Json, "{\"a\":\"{{alerts.[0].annotations.summary}}\",\"l\":{{{json groupLabels}}}}");
        let json: Json = serde_json::from_str(&json.unwrap()).unwrap();
        assert_eq!(json["a"], "a <b> & c\nd");
        assert_eq!(json["l"]["alertname"], "Disk \"full\"");
    }

    #[test]
    fn mistakes_are_errors_with_a_place() {
        assert_eq!(
            render(Escaping::None, "a\n{{#if x}}").unwrap_err().split(':').take(2).collect::<Vec<_>>(),
            ["t", "2"]
        );
        let error = render(Escaping::None, "{{toUpper}}").unwrap_err();
        assert!(error.contains("toUpper: wrong number of arguments: want 1, got 0"), "{error}");
        let error = render(Escaping::None, "{{join \",\" 3}}").unwrap_err();
        assert!(error.contains("argument 2 must be []string, got 3"), "{error}");
        assert!(render(Escaping::None, "{{nosuch 1}}").is_err());
    }
}
