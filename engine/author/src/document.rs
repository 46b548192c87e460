//! An author's YAML files: read into a known shape, and what is wrong with them told with its place and a remedy.

use std::path::Path;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use watchfire_config::document::{Decoder, Kind, Node};
use watchfire_config::{Source, Tree};
use watchfire_host::{Cases, Misplaced};

use crate::AuthorError;

/// What to do about a file of cases that does not say what it is about.
const SUBJECT_HELP: &str = "write `condition: NAME`, with the name under which the plugin offers it";

/// How the reader of JSON begins to say that there is no such key.
const UNKNOWN_KEY: &str = "unknown field ";

/// A file as it was read.
pub(crate) struct Document {
    name: String,
    text: String,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Document, AuthorError> {
        let text = std::fs::read_to_string(path).map_err(AuthorError::file(path))?;
        Ok(Document { name: path.display().to_string(), text })
    }

    /// What it says.
    ///
    /// # Errors
    /// If it is no YAML, or not of this shape.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, AuthorError> {
        let tree = Tree::parse(self.source()).map_err(|diagnostics| {
            let texts: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.render(&self.text)).collect();
            AuthorError::Yaml(texts.join("\n\n"))
        })?;
        let json = tree.to_json();
        let mut reader = serde_json::Deserializer::from_str(&json);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path: Vec<Step> = error.path().iter().filter_map(Step::of).collect();
            // The place in the JSON that the YAML became means nothing to whoever wrote the YAML.
            let said = error.inner().to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            let (message, help) = explain(said);
            self.tell(&path, said.starts_with(UNKNOWN_KEY), &message, &help)
        })
    }

    /// The cases that it holds.
    ///
    /// # Errors
    /// If it holds none, or one that cannot fail: it expects nothing, or says something that nobody would look at.
    pub(crate) fn cases(&self) -> Result<Cases, AuthorError> {
        let cases: Cases = self.read()?;
        cases.subject().map_err(|message| self.wrong(&[], message, SUBJECT_HELP))?;
        match cases.misplaced() {
            None => Ok(cases),
            Some(Misplaced { case, key, within, message, help }) => {
                let mut place = vec![Step::Key("cases".to_owned()), Step::Item(case), Step::Key(key.to_owned())];
                place.extend(within.into_iter().flat_map(|(item, key)| [Step::Item(item), Step::Key(key.to_owned())]));
                Err(self.tell(&place, true, &message, help))
            }
        }
    }

    /// That something is wrong with the value at the end of a path; the nearest one that is there says the place.
    pub(crate) fn wrong(&self, path: &[Step], message: &str, help: &str) -> AuthorError {
        self.tell(path, false, message, help)
    }

    fn tell(&self, path: &[Step], is_about_key: bool, message: &str, help: &str) -> AuthorError {
        let mut decoder = Decoder::new(self.source(), None);
        let at = decoder.parse().map_or(0, |root| place(&root, path, is_about_key));
        let before = decoder.diagnostics.len();
        decoder.error(at, "bad-value", message).help(help);
        AuthorError::Yaml(decoder.diagnostics[before..].iter().map(|found| found.render(&self.text)).collect())
    }

    fn source(&self) -> Source<'_> {
        Source { name: &self.name, text: &self.text }
    }
}

/// One step on the way to a value.
pub(crate) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an item of a list.
    Item(usize),
}

impl Step {
    fn of(segment: &Segment) -> Option<Step> {
        match segment {
            Segment::Seq { index } => Some(Step::Item(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        }
    }
}

/// Where the value at the end of a path begins, or its key. What is missing is where it should be.
fn place(root: &Rc<Node>, path: &[Step], is_about_key: bool) -> usize {
    let (mut node, mut at) = (Rc::clone(root), root.start);
    for step in path {
        let next = match (&node.kind, step) {
            (Kind::Sequence(items), Step::Item(index)) => items.get(*index).map(|item| (Rc::clone(item), item.start)),
            (Kind::Mapping(entries), Step::Key(key)) => entries.iter().find(|entry| entry.key == *key).map(|entry| {
                // What is not there, as after `name:`, has no place of its own.
                let is_there = entry.value.end > entry.value.start;
                let start = if is_there && !is_about_key { entry.value.start } else { entry.key_start };
                (Rc::clone(&entry.value), start)
            }),
            _ => None,
        };
        let Some(next) = next else { break };
        (node, at) = next;
    }
    at
}

/// What is wrong and what to do about it, from the words of the reader of JSON.
fn explain(said: &str) -> (String, String) {
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    let words = |text: &str| {
        let types = [
            ("f64", "a number"),
            ("i64", "a whole number"),
            ("u64", "a whole number from 0"),
            ("u32", "a whole number from 0"),
            ("a string", "a text"),
            ("a boolean", "true or false"),
            ("a sequence", "a list"),
            ("a map", "names and values"),
        ];
        let known = types.iter().find(|(name, _)| *name == text);
        let shape = text.starts_with("struct ").then_some("names and values");
        known.map(|(_, words)| *words).or(shape).unwrap_or(text).to_owned()
    };
    if let Some(rest) = said.strip_prefix(UNKNOWN_KEY) {
        let known = rest.split_once(", expected ").map_or("", |(_, known)| known);
        let known = known.trim_start_matches("one of ");
        return (format!("unknown key {:?}", quoted(rest).unwrap_or_default()), format!("known here: {known}"));
    }
    if let Some(rest) = said.strip_prefix("missing field ") {
        let name = quoted(rest).unwrap_or_default();
        return (format!("`{name}` is missing"), format!("add `{name}: ...`"));
    }
    if let Some((found, expected)) = said.split_once(", expected ") {
        let found = ["invalid type: ", "invalid value: ", "unknown variant "]
            .iter()
            .fold(found, |found, words| found.trim_start_matches(words));
        return (format!("this cannot be {found}"), format!("write {}", words(expected)));
    }
    ("this cannot be read".to_owned(), said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_in_cases_have_a_place_and_a_remedy() {
        for (text, expected) in [
            (
                "condition: above\ncases:\n  - name: one\n    series:\n      - {labels: {host: a}, valeu: 12}\n",
                "t.yml:5:29: error: unknown key \"valeu\" [bad-value]\n  5 |       - {labels: {host: a}, valeu: 12}\n    |                             ^\n  help: known here: `labels`, `value`, `values`, `events`",
            ),
            (
                "condition: above\ncases:\n  - name: one\n    series:\n      - {labels: {host: a}, value: twelve}\n",
                "t.yml:5:36: error: this cannot be read [bad-value]\n  5 |       - {labels: {host: a}, value: twelve}\n    |                                    ^\n  help: write a number, NaN, Inf or -Inf",
            ),
            (
                "condition: above\ncases:\n  - series: []\n",
                "t.yml:3:5: error: `name` is missing [bad-value]\n  3 |   - series: []\n    |     ^\n  help: add `name: ...`",
            ),
            (
                "condition: above\ncases:\n  - name: one\n    findings: 3\n",
                "t.yml:4:15: error: this cannot be integer `3` [bad-value]\n  4 |     findings: 3\n    |               ^\n  help: write a list",
            ),
            (
                "condition: above\ncases:\n  - name: one\n    findings: [{labels: {}, severity: warnin}]\n",
                "t.yml:4:39: error: this cannot be `warnin` [bad-value]\n  4 |     findings: [{labels: {}, severity: warnin}]\n    |                                       ^\n  help: write one of `info`, `warning`, `error`, `critical`",
            ),
            (
                "condition: above\n",
                "t.yml:1:1: error: `cases` is missing [bad-value]\n  1 | condition: above\n    | ^\n  help: add `cases: ...`",
            ),
            (
                "cases: []\n",
                "t.yml:1:1: error: name one of `condition`, `router` and `formatter` that the cases are for [bad-value]\n  1 | cases: []\n    | ^\n  help: write `condition: NAME`, with the name under which the plugin offers it",
            ),
            (
                "router: by-label\ncases:\n  - {name: one, decisions: []}\n  - name: two\n    findings: []\n",
                "t.yml:5:5: error: a router has no `findings` [bad-value]\n  5 |     findings: []\n    |     ^\n  help: remove it, or what it contradicts",
            ),
            (
                "condition: above\ncases:\n  - name: one\n    series: [{labels: {}, value: 1}, {labels: {}, events: [{kind: x}]}]\n",
                "t.yml:4:5: error: a condition looks at values or at events, not at both [bad-value]\n  4 |     series: [{labels: {}, value: 1}, {labels: {}, events: [{kind: x}]}]\n    |     ^\n  help: remove it, or what it contradicts",
            ),
            (
                "condition: above\ncases:\n  - name: one\n    alerts: []\n    findings: []\n",
                "t.yml:4:5: error: a condition has no `alerts` [bad-value]\n  4 |     alerts: []\n    |     ^\n  help: remove it, or what it contradicts",
            ),
            (
                "router: by-label\ncases:\n  - name: one\n    group_labels: {}\n    decisions: []\n",
                "t.yml:4:5: error: a router has no `group_labels` [bad-value]\n  4 |     group_labels: {}\n    |     ^\n  help: remove it, or what it contradicts",
            ),
            (
                "formatter: lines\ncases:\n  - name: one\n    series: []\n    message: {title: a}\n",
                "t.yml:4:5: error: a formatter has no `series` [bad-value]\n  4 |     series: []\n    |     ^\n  help: remove it, or what it contradicts",
            ),
            (
                "condition: above\ncases:\n  - name: one\n    alerts:\n    findings: []\n",
                "t.yml:4:5: error: this cannot be null [bad-value]\n  4 |     alerts:\n    |     ^\n  help: write a list",
            ),
            (
                "condition: above\ncases:\n  - name: one\n    findings: []\n    series:\n      - {labels: {}, value: 1}\n      - {labels: {}, value: 1, values: [2, 3]}\n",
                "t.yml:7:22: error: a series has a `value` or `values`, not both [bad-value]\n  7 |       - {labels: {}, value: 1, values: [2, 3]}\n    |                      ^\n  help: remove it; the last of the `values` is the newest",
            ),
            (
                "condition: above\ncases:\n  - name: one\n    error: limit\n    unknown: []\n",
                "t.yml:5:5: error: where an `error` is expected there is no answer [bad-value]\n  5 |     unknown: []\n    |     ^\n  help: remove it, or what it contradicts",
            ),
            (
                "condition: above\ncases:\n  - {name: one, findings: []}\n  - name: two\n    series: []\n",
                "t.yml:4:5: error: the case expects nothing, so that it cannot fail [bad-value]\n  4 |   - name: two\n    |     ^\n  help: say which `findings` or `unknown` come, `findings: []` for none, or which `error`",
            ),
            (
                "formatter: lines\ncases:\n  - name: one\n    message: {}\n",
                "t.yml:4:5: error: the case expects nothing, so that it cannot fail [bad-value]\n  4 |     message: {}\n    |     ^\n  help: say what of the `message` comes, such as its `title`, `body` or `body_contains`, or which `error`",
            ),
        ] {
            let document = Document { name: "t.yml".to_owned(), text: text.to_owned() };
            let error = document.cases().map(drop).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
    }
}
