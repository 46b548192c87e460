//! The words of a receiver: its settings' templates, its template file, its formatter. Whatever of them fails, the built-in
//! words take its place and the failure is noted: a broken text never costs a page.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use watchfire_config::{PluginUse, Tree};
use watchfire_plugin::{Message, PluginError, Provider};
use watchfire_template::alertmanager::{Data, MessageTemplate, Templates};
use watchfire_template::go::Escape;
use watchfire_template::handlebars::{Escaping, MessageError, Messages};

use crate::outcome::bounded;
use crate::{BuildError, Notification, view, yaml};

/// Alerts that a template file sees in `firing` and `resolved`; `alerts` has all.
const ALERTS_SHOWN_MAX: usize = 100;
/// A text that fails with all alerts of a group is tried with so many times fewer.
const FEWER: usize = 16;
/// The largest message that a template or a formatter may make.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The user's Go templates, and the settings' texts parsed once.
#[derive(Debug)]
pub(crate) struct Library {
    templates: Templates,
    parsed: Mutex<BTreeMap<String, Arc<MessageTemplate>>>,
}

impl Library {
    pub(crate) fn new(templates: Templates) -> Library {
        Library { templates, parsed: Mutex::default() }
    }

    /// The templates themselves.
    pub(crate) fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Whether a user's file gives this name a meaning of its own.
    pub(crate) fn redefines(&self, name: &str) -> bool {
        self.templates.redefines(name)
    }

    fn parse(&self, text: &str) -> Result<Arc<MessageTemplate>, String> {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parsed.get(text) {
            return Ok(known.clone());
        }
        let template = Arc::new(self.templates.parse(text).map_err(|error| error.message)?);
        parsed.insert(text.to_owned(), template.clone());
        Ok(template)
    }
}

/// Renders the texts of one notification.
pub(crate) struct Renderer<'a> {
    library: &'a Library,
    notification: &'a Notification,
    /// What templates see, made for the first that asks.
    data: OnceCell<Data>,
    /// What failed and was replaced.
    pub(crate) notes: Vec<String>,
    /// What templates made of secrets.
    pub(crate) secrets: Vec<String>,
}

impl<'a> Renderer<'a> {
    pub(crate) fn new(library: &'a Library, notification: &'a Notification) -> Renderer<'a> {
        Renderer { library, notification, data: OnceCell::new(), notes: Vec::new(), secrets: Vec::new() }
    }

    /// A text, made of all alerts. Where that fails, because a storm makes more than a template may say, it is made of the
    /// first of them, which is noted: the channel cuts long texts anyway.
    fn render(&mut self, field: &str, text: &str, escape: Escape) -> Result<String, String> {
        // Most settings are no templates.
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let template = self.library.parse(text)?;
        let (notification, at) = (self.notification, self.notification.at);
        let data = self.data.get_or_init(|| view::data(notification));
        let failed = match template.render(data, escape, at) {
            Ok(text) => return Ok(text),
            Err(error) => error.message,
        };
        let all = notification.alerts.len();
        let mut fewer = std::iter::successors(Some(all / FEWER), |shown| Some(shown / FEWER)).take_while(|n| *n > 0);
        let made = fewer.find_map(|shown| {
            let text = template.render(&view::data_of(notification, shown), escape, at).ok()?;
            Some((shown, text))
        });
        let Some((shown, text)) = made else { return Err(failed) };
        self.failed(field, &format!("it is made of the first {shown} of {all} alerts"), &failed);
        Ok(text)
    }

    /// The text of a setting that is needed: an address or a key, for which there is no other.
    pub(crate) fn needed(&mut self, field: &str, text: &str) -> Result<String, BuildError> {
        let rendered = self.render(field, text, Escape::None);
        rendered.map_err(|message| BuildError::Template { field: field.to_owned(), message })
    }

    /// The same for a secret, such as an address that holds a key: what a template makes of it is one too.
    pub(crate) fn secret(&mut self, field: &str, text: &str) -> Result<String, BuildError> {
        let rendered = self.needed(field, text)?;
        if rendered != text {
            self.secrets.push(rendered.clone());
        }
        Ok(rendered)
    }

    /// The text of a setting; nothing if it is not set or fails.
    pub(crate) fn text(&mut self, field: &str, text: Option<&str>) -> Option<String> {
        self.escaped(field, text, Escape::None)
    }

    /// The same, with values escaped for HTML.
    pub(crate) fn html(&mut self, field: &str, text: Option<&str>) -> Option<String> {
        self.escaped(field, text, Escape::Html)
    }

    fn escaped(&mut self, field: &str, text: Option<&str>, escape: Escape) -> Option<String> {
        self.render(field, text?, escape)
            .map_err(|message| self.failed(field, "the built-in text is sent", &message))
            .ok()
    }

    fn failed(&mut self, field: &str, instead: &str, message: &str) {
        self.notes.push(bounded(&format!("the template of {field} failed, {instead}: {message}")));
    }

    /// The text of a setting, or of the definition by which Alertmanager's users replace its default.
    pub(crate) fn text_or_definition(&mut self, field: &str, text: Option<&str>, definition: &str) -> Option<String> {
        match text {
            Some(text) => self.text(field, Some(text)),
            None if self.library.redefines(definition) => self.defined(field, definition),
            None => None,
        }
    }

    /// The text of a definition.
    pub(crate) fn defined(&mut self, field: &str, definition: &str) -> Option<String> {
        self.text(field, Some(&format!("{{{{ template {definition:?} . }}}}")))
    }

    /// Whether a user's file gives this name a meaning of its own.
    pub(crate) fn redefines(&self, definition: &str) -> bool {
        self.library.redefines(definition)
    }

    /// A list, an address or a word that may be empty.
    pub(crate) fn plain(&mut self, field: &str, text: &str) -> String {
        self.render(field, text, Escape::None).unwrap_or_else(|message| {
            self.failed(field, "it is left out", &message);
            String::new()
        })
    }

    /// What is made of several texts, unless one of them fails: half of a message may say nothing.
    pub(crate) fn whole<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let before = self.notes.len();
        let made = make(self);
        (self.notes.len() == before).then_some(made)
    }

    /// A value of any shape with the texts in it rendered.
    pub(crate) fn tree(&mut self, field: &str, tree: &Tree) -> Value {
        match tree {
            Tree::Null => Value::Null,
            Tree::Bool(truth) => (*truth).into(),
            Tree::Int(number) => (*number).into(),
            Tree::Float(number) => (*number).into(),
            Tree::Text(text) => self.plain(field, text).into(),
            Tree::List(items) => items.iter().map(|item| self.tree(field, item)).collect(),
            Tree::Map(entries) => {
                let entries = entries.iter().map(|(name, value)| (name.clone(), self.tree(field, value)));
                Value::Object(entries.collect())
            }
        }
    }

    /// The same as Alertmanager does it: names are rendered too, and a text becomes what it spells in YAML, so that templates
    /// can make lists and numbers.
    pub(crate) fn structured(&mut self, field: &str, tree: &Tree) -> Value {
        self.spelled(field, tree, &|renderer, text| Ok(renderer.plain(field, text)))
    }

    /// The same for a payload: a text that fails says what fires, since nothing else of the payload may say so.
    pub(crate) fn payload(&mut self, tree: &Tree) -> Value {
        self.spelled("payload", tree, &|renderer, text| {
            renderer.render("payload", text, Escape::None).map_err(|message| {
                renderer.failed("payload", "what fires stands in its place", &message);
                view::title(renderer.notification)
            })
        })
    }

    /// `make` renders a text, or fails with the words that stand in its place.
    fn spelled(
        &mut self,
        field: &str,
        tree: &Tree,
        make: &impl Fn(&mut Self, &str) -> Result<String, String>,
    ) -> Value {
        match tree {
            Tree::Text(text) => make(self, text).map_or_else(Value::String, yaml::value),
            Tree::List(items) => items.iter().map(|item| self.spelled(field, item, make)).collect(),
            Tree::Map(entries) => {
                let entries = entries.iter();
                let entries = entries.map(|(name, value)| (self.name(field, name), self.spelled(field, value, make)));
                Value::Object(entries.collect())
            }
            other => self.tree(field, other),
        }
    }

    /// The name of a value; where it fails, it stays as it is written.
    fn name(&mut self, field: &str, name: &str) -> String {
        self.render(field, name, Escape::None).unwrap_or_else(|message| {
            self.failed(field, "the name stays as it is written", &message);
            name.to_owned()
        })
    }
}

/// A Handlebars file, parsed.
#[derive(Debug)]
pub(crate) struct TemplateFile {
    messages: Messages,
    content_type: &'static str,
}

/// What receivers' messages are made of.
#[derive(Clone, Debug)]
pub struct NotificationTemplates {
    /// The templates of Go's language that texts of receivers call.
    pub go: Templates,
    /// The Handlebars files that make whole messages.
    pub handlebars: TemplateFiles,
}

impl From<Templates> for NotificationTemplates {
    fn from(go: Templates) -> NotificationTemplates {
        NotificationTemplates { go, handlebars: TemplateFiles::default() }
    }
}

/// Handlebars files by path.
#[derive(Clone, Debug, Default)]
pub struct TemplateFiles(BTreeMap<String, Arc<TemplateFile>>);

impl TemplateFiles {
    /// Adds a file.
    ///
    /// # Errors
    /// Where and why the text is no template.
    pub fn add(&mut self, path: &str, text: &str) -> Result<(), MessageError> {
        self.0.insert(path.to_owned(), Arc::new(TemplateFile::parse(path, text)?));
        Ok(())
    }

    /// Whether there is such a file.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    pub(crate) fn get(&self, path: &str) -> Option<Arc<TemplateFile>> {
        self.0.get(path).cloned()
    }
}

const FILE: &str = "message";

impl TemplateFile {
    /// Parses a text. What it makes follows from the file's name (`x.html.hbs`, `x.json.hbs`), else from how it begins.
    pub(crate) fn parse(path: &str, text: &str) -> Result<TemplateFile, MessageError> {
        let begin = text.trim_start();
        let (escaping, content_type) =
            if path.contains(".html") || begin.starts_with("<!") || begin.starts_with("<html") {
                (Escaping::Html, "text/html; charset=utf-8")
            } else if path.contains(".json") || (begin.starts_with(['{', '[']) && !begin.starts_with("{{")) {
                (Escaping::Json, "application/json")
            } else {
                (Escaping::None, "text/plain; charset=utf-8")
            };
        let mut messages = Messages::new(escaping);
        messages.add(FILE, text)?;
        Ok(TemplateFile { messages, content_type })
    }

    /// The message for a notification.
    pub(crate) fn message(&self, notification: &Notification) -> Result<Message, String> {
        let (data, extra) = (view::data(notification), view::extra(notification, ALERTS_SHOWN_MAX));
        let body = self.messages.render(FILE, &data, &extra, notification.at).map_err(|error| error.to_string())?;
        checked(Message { content_type: self.content_type.to_owned(), body, ..Message::default() })
    }
}

/// Asks a formatter plugin. It is opened for each message, so that a plugin that was replaced is used at once; the host
/// keeps what is expensive.
pub(crate) fn format(
    provider: &dyn Provider,
    usage: &PluginUse,
    notification: &Notification,
    channel: &str,
    stand_ins: BTreeMap<String, String>,
) -> Result<Message, String> {
    let ask = || -> Result<Message, PluginError> {
        let group = notification.message_group(channel, stand_ins);
        provider.open_formatter(&usage.plugin, &usage.config_json)?.format(&group)
    };
    let mut message = ask().map_err(|error| format!("{}: {error}", error.kind()))?;
    let own = message.target.is_some();
    message.headers.retain(|(name, _)| !is_reserved(name) && (own || !is_credential(name)));
    checked(message)
}

/// Who sends: for a formatter to say only where the request is its own.
fn is_credential(name: &str) -> bool {
    ["authorization", "cookie"].iter().any(|credential| name.eq_ignore_ascii_case(credential))
}

/// What a formatter may not say: to whom, and how long it is.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 10] = [
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

fn checked(message: Message) -> Result<Message, String> {
    let bytes = message.body.len() + message.title.len();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(format!("the message has {bytes} bytes, the limit is {MESSAGE_BYTES_MAX}"));
    }
    if message.target.is_some() && message.body.is_empty() {
        return Ok(message);
    }
    if message.content_type.starts_with("application/json")
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&message.body)
    {
        return Err(format!("the message is not JSON: {error}"));
    }
    if message.body.trim().is_empty() && message.title.trim().is_empty() {
        return Err("the message is empty".to_owned());
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_no_channel_could_send_are_refused() {
        let message = |content_type: &str, body: &str| Message {
            content_type: content_type.to_owned(),
            body: body.to_owned(),
            ..Message::default()
        };
        for (made, refused) in [
            (message("application/json", "{"), true),
            (message("application/json", "{}"), false),
            (message("text/plain", " \n"), true),
            (message("text/plain", "x"), false),
            (message("text/plain", &"x".repeat(MESSAGE_BYTES_MAX + 1)), true),
        ] {
            assert_eq!(checked(made).is_err(), refused);
        }
    }
}
