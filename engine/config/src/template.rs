//! Templates of notifications. Each is parsed when the file is read, so that a broken one is told then and not at the first
//! alert.

use std::collections::BTreeMap;

use watchfire_template::functions::ALERTMANAGER;
use watchfire_template::go::{Template, TemplateError};

use crate::decode::{Decoder, Fields};
use crate::diagnostic::names_secret;
use crate::secret::{Credential, Secret};
use crate::yaml::{Kind, Node};

/// What hangs on a template.
#[derive(Clone, Copy)]
pub(crate) enum Weight {
    /// The channel's own words, or nothing, stand in for a broken one. Alertmanager takes it, so that it is a warning.
    Text,
    /// A notification with a broken one fails. Alertmanager takes it nevertheless.
    Needed,
    /// Alertmanager refuses a broken one, or nothing can be told without it.
    Refused,
}

impl Decoder<'_> {
    /// Looks at the template that `node` holds and that was read as `text`. What is `hidden` is not quoted.
    pub(crate) fn check_template(&mut self, node: &Node, text: &str, what: &str, weight: Weight, hidden: bool) {
        let Some((message, offset)) = fault(text, hidden) else { return };
        // Behind a placeholder nothing stands in the file where it stands in the text.
        let at = if node.text() == Some(text) { node.locate(self.file(), offset) } else { node.start };
        let message = format!("the template of {what} cannot be parsed{message}");
        match weight {
            Weight::Text => {
                self.warning(at, "bad-template", message).help("correct it, or notifications go out without it")
            }
            Weight::Needed => self.warning(at, "bad-template", message).help("correct it, or nothing is delivered"),
            Weight::Refused => self.error(at, "bad-template", message).help(
                "correct it; a value is written like {{ .CommonLabels.job }}, and two literal braces like {{ \"{{\" }}",
            ),
        }
    }

    /// A text that is a template.
    pub(crate) fn template(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?;
        self.check_template(node, &text, what, Weight::Text, names_secret(what));
        Some(text)
    }

    /// Looks at all templates in a value of any shape; the keys are templates too if `keys` says so.
    pub(crate) fn check_templates(&mut self, node: &Node, what: &str, keys: bool, weight: Weight, hidden: bool) {
        match &node.kind {
            Kind::Scalar { text, .. } if text.contains("{{") => {
                if let Some(scalar) = self.scalar(node, what) {
                    self.check_template(node, &scalar.text, what, weight, hidden || names_secret(what));
                }
            }
            Kind::Scalar { .. } => {}
            Kind::Sequence(items) => {
                items.iter().for_each(|item| self.check_templates(item, what, keys, weight, hidden));
            }
            Kind::Mapping(entries) => {
                for entry in entries {
                    if keys {
                        self.check_key(entry.key_start, &entry.key, what, hidden);
                    }
                    let named = if entry.key.contains("{{") { what } else { &*entry.key };
                    self.check_templates(&entry.value, named, keys, weight, hidden);
                }
            }
        }
    }

    /// Looks at the template in a file with a text to hide, which `node` names.
    pub(crate) fn check_file(&mut self, node: &Node, path: &str, content: Option<&Secret>) {
        if let Some((message, _)) = content.and_then(|content| fault(content.expose(), true)) {
            self.warning(node.start, "bad-template", format!("the template in {path} cannot be parsed{message}"))
                .help("correct the file, or nothing is delivered");
        }
    }

    /// A broken key stays as it is written.
    fn check_key(&mut self, at: usize, key: &str, what: &str, hidden: bool) {
        if let Some((message, _)) = fault(key, hidden) {
            self.warning(at, "bad-template", format!("the template in a key of {what} cannot be parsed{message}"))
                .help("correct it, or the key is sent as it is written");
        }
    }
}

impl Fields<'_, '_> {
    /// Looks at the template that was read from `key` as `text`.
    pub(crate) fn check_template(&mut self, key: &str, text: &str, weight: Weight) {
        if let Some(node) = self.peek(key).cloned() {
            self.decoder().check_template(&node, text, key, weight, names_secret(key));
        }
    }

    /// Looks at the template in a text to hide that was read from `key`, or from the file that `file_key` names.
    pub(crate) fn check_credential(&mut self, key: &str, file_key: &str, credential: &Credential, weight: Weight) {
        match credential {
            Credential::Inline(text) => self.check_template(key, text.expose(), weight),
            Credential::File { path, content } => {
                if let Some(node) = self.peek(file_key).cloned() {
                    self.decoder().check_file(&node, path, content.as_ref());
                }
            }
        }
    }

    /// A text that is a template.
    pub(crate) fn template(&mut self, key: &'static str) -> Option<String> {
        let text = self.text(key)?;
        self.check_template(key, &text, Weight::Text);
        Some(text)
    }

    /// A template that is not empty and must be there; `weight` says what hangs on it.
    pub(crate) fn required_template(&mut self, key: &'static str, help: &str, weight: Weight) -> String {
        let text = self.required(key, help).unwrap_or_default();
        self.check_template(key, &text, weight);
        text
    }

    /// A text to hide that is a template.
    pub(crate) fn template_credential(&mut self, key: &'static str, file_key: &'static str) -> Option<Credential> {
        let credential = self.credential(key, file_key)?;
        self.check_credential(key, file_key, &credential, Weight::Needed);
        Some(credential)
    }

    /// Names and templates.
    pub(crate) fn template_map(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let pairs = self.read(key, |decoder, node| {
            Some(decoder.entries(node, key, |decoder, entry| decoder.template(&entry.value, &entry.key)))
        });
        pairs.unwrap_or_default().into_iter().collect()
    }

    /// Looks at all templates in the value of `key`.
    pub(crate) fn check_templates(&mut self, key: &'static str, keys: bool, weight: Weight) {
        if let Some(node) = self.peek(key).cloned() {
            self.decoder().check_templates(&node, key, keys, weight, false);
        }
    }
}

/// Why a text is no template, as the end of a sentence, and the byte at which it is none. Of what is `hidden` the reason is
/// told only where it quotes nothing of the text.
fn fault(text: &str, hidden: bool) -> Option<(String, usize)> {
    // Most settings are no templates.
    if !text.contains("{{") {
        return None;
    }
    let error = Template::parse("", text, ALERTMANAGER).err()?;
    let (words, line) = words_and_line(&error);
    let start = line_start(text, line);
    let offset = if line == error.line { start + error.column } else { start };
    let quotes_nothing = words.split('"').enumerate().all(|(at, part)| match at % 2 {
        0 => part.chars().all(|c| c.is_ascii_alphabetic() || c == ' '),
        _ => !part.contains(char::is_alphanumeric),
    });
    Some((if hidden && !quotes_nothing { String::new() } else { format!(": {words}") }, offset))
}

/// The words of an error and the line that it is about. An action that is never closed is found at the end; where it began
/// is in the words.
pub(crate) fn words_and_line(error: &TemplateError) -> (&str, usize) {
    match error.message.split_once(" started at ") {
        Some((words, begin)) => {
            (words, begin.rsplit(':').next().and_then(|line| line.parse().ok()).unwrap_or(error.line))
        }
        None => (&error.message, error.line),
    }
}

/// Where a line of a text begins, in bytes.
pub(crate) fn line_start(text: &str, line: usize) -> usize {
    match line.checked_sub(2) {
        None => 0,
        Some(breaks) => text.match_indices('\n').nth(breaks).map_or(0, |(at, _)| at + 1),
    }
}
