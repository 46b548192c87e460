//! Templates in rules: labels and annotations.

use watchfire_model::{Labels, Timestamp, format_g};

use crate::functions::{Context, PROMETHEUS, Query};
use crate::go::{Template, TemplateError};
use crate::value::{Type, Value};

/// The definitions that every rule template starts with; positions in error messages count them.
const PREFIX: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}\
                      {{$value := .Value}}";

static DATA: Type = Type::plain(
    "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
);

/// What a rule template sees.
#[derive(Clone, Copy, Debug)]
pub struct RuleData<'a> {
    /// The labels of the result, with `__name__`.
    pub labels: &'a Labels,
    /// The value of the result.
    pub value: f64,
    /// The engine's external labels.
    pub external_labels: &'a Labels,
    /// Where readers reach the engine.
    pub external_url: &'a str,
    /// The time of the evaluation.
    pub at: Timestamp,
}

/// Why a template gave no text. Its text goes into the place of the template's: the alert is sent all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("<error expanding template: error executing template {name}: {error}>")]
pub struct ExpandError {
    name: String,
    /// What went wrong.
    pub error: TemplateError,
}

/// A label or annotation of a rule, parsed once and expanded often.
#[derive(Clone, Debug)]
pub struct RuleTemplate {
    text: String,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// No action in it.
    Plain,
    /// Only texts, labels and the value: nothing that could fail.
    Simple(Vec<Part>),
    Full {
        name: String,
        template: Box<Template>,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Label(String),
    Value,
}

impl RuleTemplate {
    /// Parses a template; `rule` is the rule's name, which error messages show as `__alert_<rule>`.
    ///
    /// # Errors
    /// If it is not a template; the text is Prometheus'.
    pub fn parse(rule: &str, text: &str) -> Result<RuleTemplate, TemplateError> {
        let text = text.to_owned();
        if !text.contains("{{") {
            return Ok(RuleTemplate { text, form: Form::Plain });
        }
        if let Some(parts) = simple_parts(&text) {
            return Ok(RuleTemplate { text, form: Form::Simple(parts) });
        }
        let name = format!("__alert_{rule}");
        let template = Template::parse(&name, &format!("{PREFIX}{text}"), PROMETHEUS)?;
        Ok(RuleTemplate { text, form: Form::Full { name, template: Box::new(template) } })
    }

    /// A text that is not looked into, such as a label of a recording rule.
    pub fn verbatim(text: impl Into<String>) -> RuleTemplate {
        RuleTemplate { text: text.into(), form: Form::Plain }
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether every expansion gives the text itself.
    pub fn is_constant(&self) -> bool {
        matches!(self.form, Form::Plain)
    }

    /// The labels that the template reads by name, sorted.
    pub fn label_names(&self) -> Vec<String> {
        let mut names: Vec<String> = match &self.form {
            Form::Plain => Vec::new(),
            Form::Simple(parts) => parts
                .iter()
                .filter_map(|part| if let Part::Label(name) = part { Some(name.clone()) } else { None })
                .collect(),
            Form::Full { template, .. } => template
                .paths()
                .into_iter()
                .filter(|path| path.len() > 1 && (path[0] == "$labels" || path[0] == ".Labels"))
                .map(|path| path[1].clone())
                .collect(),
        };
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The text for a result. `query` answers queries that the template makes.
    ///
    /// # Errors
    /// If the template fails; the error's text is to be shown in its place.
    pub fn expand(&self, data: &RuleData<'_>, query: &mut Query<'_>) -> Result<String, ExpandError> {
        match &self.form {
            Form::Plain => Ok(self.text.clone()),
            Form::Simple(parts) => {
                let mut out = String::with_capacity(self.text.len() + 16);
                for part in parts {
                    match part {
                        Part::Text(text) => out.push_str(text),
                        Part::Label(name) => out.push_str(data.labels.value_or_empty(name)),
                        Part::Value => out.push_str(&format_g(data.value)),
                    }
                }
                Ok(out)
            }
            Form::Full { name, template } => {
                let value = Value::structure(
                    &DATA,
                    vec![
                        ("Labels", Value::from(data.labels)),
                        ("ExternalLabels", Value::from(data.external_labels)),
                        ("ExternalURL", data.external_url.into()),
                        ("Value", Value::Float(data.value)),
                    ],
                );
                let mut query = |text: &str| query(text);
                let mut context = Context::new(data.at, data.external_url).with_query(&mut query);
                template.execute(&value, &mut context).map_err(|error| ExpandError { name: name.clone(), error })
            }
        }
    }
}

/// Parses and expands at once.
///
/// # Errors
/// As [`RuleTemplate::expand`]; what is no template is an error of the same kind.
pub fn expand(text: &str, data: &RuleData<'_>, query: &mut Query<'_>) -> Result<String, ExpandError> {
    let parsed = RuleTemplate::parse("", text).map_err(|error| ExpandError { name: "__alert_".to_owned(), error })?;
    parsed.expand(data, query)
}

/// The parts of a template whose every action is `{{ $labels.x }}` or `{{ $value }}`, the form of most annotations.
fn simple_parts(text: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        rest = &rest[open + 2..];
        let close = rest.find("}}")?;
        let action = &rest[..close];
        // Trim markers are left to the full parser.
        if action.starts_with('-') || action.ends_with('-') {
            return None;
        }
        let action = action.trim_matches([' ', '\t', '\r', '\n']);
        if action == "$value" || action == ".Value" {
            parts.push(Part::Value);
        } else {
            let name = action.strip_prefix("$labels.").or_else(|| action.strip_prefix(".Labels."))?;
            if !watchfire_model::is_legacy_label_name(name) {
                return None;
            }
            parts.push(Part::Label(name.to_owned()));
        }
        rest = &rest[close + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Some(parts)
}
