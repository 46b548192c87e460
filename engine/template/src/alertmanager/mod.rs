//! Notification templates: Alertmanager's data, functions and default template names.

mod data;

pub use data::{AlertData, Data};

use std::collections::{BTreeMap, BTreeSet};

use data::UNKNOWN_REASON;
use watchfire_model::Timestamp;

use crate::functions::{ALERTMANAGER, Context};
use crate::go::{Escape, Set, TemplateError, Undefined};

/// The definitions that are always there, under Alertmanager's names.
const DEFAULTS: &str = include_str!("defaults.tmpl");
const DEFAULT_MAIL: &str = include_str!("mail.tmpl");

/// All templates that a configuration knows: the defaults and the user's files.
#[derive(Clone, Debug)]
pub struct Templates {
    set: Set,
    /// What the user's files define.
    redefined: BTreeSet<String>,
}

impl Templates {
    /// Only the defaults.
    pub fn new() -> Templates {
        let mut set = Set::new(ALERTMANAGER);
        for (name, text) in [("default.tmpl", DEFAULTS), ("email.tmpl", DEFAULT_MAIL)] {
            let added = set.add(name, text);
            debug_assert!(added.is_ok(), "the defaults are templates: {added:?}");
        }
        Templates { set, redefined: BTreeSet::new() }
    }

    /// Adds a file; its definitions replace those of the same name.
    ///
    /// # Errors
    /// If the file is no template; nothing of it is added.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), TemplateError> {
        self.redefined.extend(self.set.add(file, text)?);
        Ok(())
    }

    /// Whether a file that was added gives this name a meaning of its own.
    pub fn redefines(&self, name: &str) -> bool {
        self.redefined.contains(name)
    }

    /// The names that files call and that nothing defines.
    pub fn undefined(&self) -> Vec<Undefined> {
        self.set.undefined()
    }

    /// The names of all definitions, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.set.names()
    }

    /// Parses a text of the configuration, such as Slack's `title`, so that it can be rendered often.
    ///
    /// # Errors
    /// If the text is no template.
    pub fn parse(&self, text: &str) -> Result<MessageTemplate, TemplateError> {
        // Markup is looked at even without an action: as HTML, comments are left away.
        if !text.contains("{{") && !text.contains('<') {
            return Ok(MessageTemplate { form: Form::Plain(text.to_owned()) });
        }
        let mut set = self.set.clone();
        set.add("", text)?;
        Ok(MessageTemplate { form: Form::Template(set) })
    }

    /// The labels of a route for a notification. Their values are templates, which may name each other with
    /// `routeLabels`; the data's own route labels are these texts. What fails is left out and returned beside them, by name.
    pub fn route_labels(
        &self,
        texts: &BTreeMap<String, String>,
        data: &Data,
        now: Timestamp,
    ) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let reason = UNKNOWN_REASON.to_owned();
        let data = Data { route_labels: texts.clone(), notification_reason: reason, ..data.clone() };
        let mut labels =
            RouteLabels { templates: self, texts, data: &data, now, done: BTreeMap::new(), path: Vec::new() };
        let (mut rendered, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for name in texts.keys() {
            match labels.value(name) {
                Ok(text) => drop(rendered.insert(name.clone(), text)),
                Err(error) => drop(failed.insert(name.clone(), error)),
            }
        }
        (rendered, failed)
    }

    /// Parses and renders as text.
    ///
    /// # Errors
    /// If the text is no template, or fails.
    pub fn render_text(&self, text: &str, data: &Data, now: Timestamp) -> Result<String, TemplateError> {
        self.parse(text)?.render(data, Escape::None, now)
    }

    /// Parses and renders as HTML, with every value escaped for its place.
    ///
    /// # Errors
    /// If the text is no template, or fails.
    pub fn render_html(&self, text: &str, data: &Data, now: Timestamp) -> Result<String, TemplateError> {
        self.parse(text)?.render(data, Escape::Html, now)
    }
}

impl Default for Templates {
    fn default() -> Templates {
        Templates::new()
    }
}

/// The labels of a route while they are rendered.
struct RouteLabels<'a> {
    templates: &'a Templates,
    texts: &'a BTreeMap<String, String>,
    data: &'a Data,
    now: Timestamp,
    /// Those that are known already.
    done: BTreeMap<String, String>,
    /// Those that are being rendered, each because the one before names it.
    path: Vec<String>,
}

impl RouteLabels<'_> {
    fn value(&mut self, name: &str) -> Result<String, String> {
        let Some(text) = self.texts.get(name) else { return Ok(String::new()) };
        if let Some(done) = self.done.get(name) {
            return Ok(done.clone());
        }
        if self.path.iter().any(|earlier| earlier == name) {
            return Err(format!("route label cycle detected: {} -> {name}", self.path.join(" -> ")));
        }
        self.path.push(name.to_owned());
        let rendered = self.render(text);
        self.path.pop();
        let rendered = rendered?;
        self.done.insert(name.to_owned(), rendered.clone());
        Ok(rendered)
    }

    fn render(&mut self, text: &str) -> Result<String, String> {
        let template = self.templates.parse(text).map_err(|error| error.to_string())?;
        let set = match template.form {
            Form::Plain(text) => return Ok(text),
            Form::Template(set) => set,
        };
        let (data, now) = (self.data, self.now);
        let mut other = |name: &str| self.value(name);
        let mut context = Context::new(now, &data.external_url).with_route_labels(&mut other);
        set.execute("", &data.to_value(), Escape::None, &mut context).map_err(|error| error.to_string())
    }
}

/// A text of the configuration, parsed.
#[derive(Clone, Debug)]
pub struct MessageTemplate {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Plain(String),
    Template(Set),
}

impl MessageTemplate {
    /// The names that the text itself calls and that nothing defines.
    pub fn undefined(&self) -> Vec<Undefined> {
        let Form::Template(set) = &self.form else { return Vec::new() };
        set.undefined().into_iter().filter(|undefined| undefined.source.is_empty()).collect()
    }

    /// The text for a notification.
    ///
    /// # Errors
    /// If the template fails.
    pub fn render(&self, data: &Data, escape: Escape, now: Timestamp) -> Result<String, TemplateError> {
        match &self.form {
            Form::Plain(text) => Ok(text.clone()),
            Form::Template(set) => {
                let mut known = |name: &str| Ok(data.route_labels.get(name).cloned().unwrap_or_default());
                let mut context = Context::new(now, &data.external_url).with_route_labels(&mut known);
                set.execute("", &data.to_value(), escape, &mut context)
            }
        }
    }
}
