//! Notification templates: Alertmanager's data, functions and default template names.

mod data;

pub use data::{AlertData, Data};

use watchfire_model::Timestamp;

use crate::functions::{ALERTMANAGER, Context};
use crate::go::{Escape, Set, TemplateError};

/// The definitions that are always there, under Alertmanager's names.
const DEFAULTS: &str = include_str!("defaults.tmpl");
const DEFAULT_MAIL: &str = include_str!("mail.tmpl");

/// All templates that a configuration knows: the defaults and the user's files.
#[derive(Clone, Debug)]
pub struct Templates {
    set: Set,
}

impl Templates {
    /// Only the defaults.
    pub fn new() -> Templates {
        let mut set = Set::new(ALERTMANAGER);
        for (name, text) in [("default.tmpl", DEFAULTS), ("email.tmpl", DEFAULT_MAIL)] {
            let added = set.add(name, text);
            debug_assert_eq!(added, Ok(()), "the defaults are templates");
        }
        Templates { set }
    }

    /// Adds a file; its definitions replace those of the same name.
    ///
    /// # Errors
    /// If the file is no template; nothing of it is added.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), TemplateError> {
        self.set.add(file, text)
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
        if !text.contains("{{") {
            return Ok(MessageTemplate { form: Form::Plain(text.to_owned()) });
        }
        let mut set = self.set.clone();
        set.add("", text)?;
        Ok(MessageTemplate { form: Form::Template(set) })
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
    /// The text for a notification.
    ///
    /// # Errors
    /// If the template fails.
    pub fn render(&self, data: &Data, escape: Escape, now: Timestamp) -> Result<String, TemplateError> {
        match &self.form {
            Form::Plain(text) => Ok(text.clone()),
            Form::Template(set) => {
                let mut context = Context::new(now, &data.external_url);
                set.execute("", &data.to_value(), escape, &mut context)
            }
        }
    }
}
