//! Reads values out of a YAML tree and collects everything that is wrong on the way.
//!
//! A mapping is read by asking a [`Fields`] for each key it may have. What was never asked for is an unknown key, so
//! that the list of known keys, the nearest one to suggest, and the JSON Schema cannot differ from what is read.

use std::path::Path;
use std::rc::Rc;

use watchfire_rules::Position;

use crate::config::Source;
use crate::diagnostic::{Diagnostic, Level, nearest};
use crate::environment::{self, Environment};
use crate::schema::Shape;
use crate::yaml::{self, Node, Style};

/// A scalar's text, ready to be interpreted.
pub(crate) struct Text {
    /// The text, with placeholders replaced.
    pub(crate) text: String,
    /// Whether it could be something else than a text: plain, or made by replacing placeholders.
    pub(crate) plain: bool,
    /// Whether placeholders were replaced, so that offsets into it mean nothing in the file.
    pub(crate) expanded: bool,
}

/// The state of reading one file.
pub struct Decoder<'s> {
    source: Source<'s>,
    environment: Option<&'s dyn Environment>,
    line_starts: Vec<usize>,
    /// Whether a key that was not asked for is left alone.
    pub(crate) ignore_unknown_keys: bool,
    /// What is wrong so far, in the order in which it was found.
    pub diagnostics: Vec<Diagnostic>,
    /// While the schema is made: the names of the mappings around, and the shape of the last value read.
    recording: Option<Recording>,
}

#[derive(Default)]
struct Recording {
    around: Vec<&'static str>,
    last: Option<Shape>,
}

impl<'s> Decoder<'s> {
    /// For a file; without an environment, placeholders are ordinary text.
    pub fn new(source: Source<'s>, environment: Option<&'s dyn Environment>) -> Decoder<'s> {
        let line_starts = std::iter::once(0).chain(source.text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Decoder {
            source,
            environment,
            line_starts,
            ignore_unknown_keys: false,
            diagnostics: Vec::new(),
            recording: None,
        }
    }

    /// For making a schema: every list is entered once, every mapping is empty, and nothing is reported.
    pub(crate) fn recorder() -> Decoder<'static> {
        let mut decoder = Decoder::new(Source { name: "", text: "" }, None);
        decoder.recording = Some(Recording::default());
        decoder
    }

    /// The first document; faults of the YAML itself become diagnostics.
    pub fn parse(&mut self) -> Option<Rc<Node>> {
        let parsed = yaml::parse(self.source.text);
        for fault in parsed.faults {
            self.error(fault.at, fault.code, fault.message);
            if let (Some(help), Some(last)) = (fault.help, self.diagnostics.last_mut()) {
                last.help = Some(help);
            }
        }
        if let Some(at) = parsed.second_document {
            self.warning(at, "second-document", "only the first document of a file is read; this one is ignored")
                .help("put it into a file of its own, or remove the `---` line");
        }
        parsed.root
    }

    pub(crate) fn file(&self) -> &'s str {
        self.source.text
    }

    /// Line and column of a byte of the text.
    pub fn position(&self, at: usize) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= at).max(1);
        let start = self.line_starts[line - 1];
        let before = self.source.text.get(start..at).unwrap_or("");
        Position { line, column: before.chars().count() + 1 }
    }

    /// Something is wrong at a byte of the text. Answers the diagnostic, for a remedy to be added.
    pub fn error(&mut self, at: usize, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        self.report(Level::Error, at, code, message.into())
    }

    /// As [`Decoder::error`], but what it is about can be used nevertheless.
    pub fn warning(&mut self, at: usize, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        self.report(Level::Warning, at, code, message.into())
    }

    fn report(&mut self, severity: Level, at: usize, code: &'static str, message: String) -> &mut Diagnostic {
        let Position { line, column } = self.position(at);
        let file = self.source.name.to_owned();
        self.diagnostics.push(Diagnostic { file, line, column, severity, code, message, help: None });
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    /// How many errors there are so far, to see whether a part was read without any.
    pub(crate) fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.is_error()).count()
    }

    /// What was read, unless there was an error; and everything that is wrong, in the order of the text.
    pub(crate) fn finish<T>(mut self, read: Option<T>) -> (Option<T>, Vec<Diagnostic>) {
        let failed = self.errors() > 0;
        self.diagnostics.sort_by_key(|d| (d.line, d.column));
        self.diagnostics.dedup();
        (read.filter(|_| !failed), self.diagnostics)
    }

    /// The text of a node as a file of its own, in which everything stands where it stands in this one.
    pub fn cut_out(&self, node: &Node) -> String {
        let Position { line, column } = self.position(node.start);
        let indent = "\n".repeat(line - 1) + &" ".repeat(column - 1);
        let text = self.source.text.get(node.start..node.end).unwrap_or("").trim_end();
        format!("{indent}{text}\n")
    }

    /// A path of the file, made relative to where the file is.
    pub(crate) fn resolve_path(&self, path: &str) -> String {
        if path.is_empty() || Path::new(path).is_absolute() {
            return path.to_owned();
        }
        match Path::new(self.source.name).parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.join(path).to_string_lossy().into_owned(),
            _ => path.to_owned(),
        }
    }

    /// The content of a file that holds a secret; a file that cannot be read is a warning, since it may come later.
    pub(crate) fn read_secret_file(&mut self, at: usize, path: &str) -> Option<String> {
        match self.environment?.file(path) {
            Ok(content) => Some(content.trim().to_owned()),
            Err(reason) => {
                self.warning(at, "unreadable-file", format!("cannot read {path}: {reason}"))
                    .help("create the file, or correct the path; relative paths start at the configuration's folder");
                None
            }
        }
    }

    /// The value of an environment variable, if it is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.environment?.variable(name).filter(|value| !value.is_empty())
    }

    /// The name of the machine's time zone, if it is known.
    pub(crate) fn zone(&self) -> Option<String> {
        self.environment?.zone()
    }

    /// Whether values are only asked for to learn what may be there.
    pub(crate) fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// Notes that what was just described may be a text as well.
    pub(crate) fn record_text_too(&mut self) {
        if let Some(recording) = &mut self.recording {
            let more = recording.last.take().unwrap_or(Shape::Any);
            recording.last = Some(Shape::TextOr(Box::new(more)));
        }
    }

    fn record(&mut self, shape: Shape) {
        if let Some(recording) = &mut self.recording {
            recording.last = Some(shape);
        }
    }

    pub(crate) fn recorded(&mut self) -> Shape {
        self.recording.as_mut().and_then(|r| r.last.take()).unwrap_or(Shape::Any)
    }

    /// The text of a scalar; null is the empty text, as Go's decoder has it. `what` names it in errors.
    pub(crate) fn scalar(&mut self, node: &Node, what: &str) -> Option<Text> {
        let yaml::Kind::Scalar { text, style } = &node.kind else {
            self.error(node.start, "wrong-type", format!("{what} must be a single value, not {}", node.noun()))
                .help("write one value; quote it if it is meant to begin with [ or {");
            return None;
        };
        if node.is_null() {
            return Some(Text { text: String::new(), plain: true, expanded: false });
        }
        let plain = *style == Style::Plain;
        let Some(expanded) = self.environment.and_then(|env| environment::expand(text, env)) else {
            return Some(Text { text: text.clone(), plain, expanded: false });
        };
        for (at, name) in &expanded.missing {
            self.error(node.locate(self.source.text, *at), "unset-variable", format!("the variable {name} is not set"))
                .help(format!(
                    "set {name}, write ${{{name}:-default}}, or $${{{name}}} if this text is meant literally"
                ));
        }
        // Nothing that is read from half a text would help.
        expanded.missing.is_empty().then_some(Text { text: expanded.text, plain: true, expanded: true })
    }

    /// A text.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        self.record(Shape::Text);
        self.scalar(node, what).map(|scalar| scalar.text)
    }

    /// Reads a mapping. Null is an empty one.
    pub fn mapping<T>(
        &mut self,
        node: &Rc<Node>,
        what: &'static str,
        read: impl FnOnce(&mut Fields<'_, 's>) -> T,
    ) -> Option<T> {
        if !self.is_recording() && !node.is_null() && !matches!(node.kind, yaml::Kind::Mapping(_)) {
            self.error(node.start, "wrong-type", format!("{what} must be a mapping, not {}", node.noun()))
                .help("write it as `key: value` lines, indented");
            return None;
        }
        if let Some(recording) = &mut self.recording {
            if recording.around.contains(&what) {
                recording.last = Some(Shape::Reference(what));
                return None;
            }
            recording.around.push(what);
        }
        let mut fields = Fields { decoder: self, node: Rc::clone(node), what, known: Vec::new(), shapes: Vec::new() };
        let value = read(&mut fields);
        let shapes = fields.finish();
        if let Some(recording) = &mut self.recording {
            recording.around.pop();
            recording.last = Some(Shape::Object(what, shapes));
        }
        Some(value)
    }

    /// Reads a list. Null is an empty one.
    pub fn list<T>(
        &mut self,
        node: &Rc<Node>,
        what: &str,
        mut read: impl FnMut(&mut Decoder<'s>, &Rc<Node>) -> Option<T>,
    ) -> Vec<T> {
        if self.is_recording() {
            read(self, node);
            let item = self.recorded();
            self.record(Shape::List(Box::new(item)));
            return Vec::new();
        }
        match &node.kind {
            yaml::Kind::Sequence(items) => items.iter().filter_map(|item| read(self, item)).collect(),
            _ if node.is_null() => Vec::new(),
            _ => {
                self.error(node.start, "wrong-type", format!("{what} must be a list, not {}", node.noun()))
                    .help("write each item on a line of its own that begins with `- `, or all within [ ]");
                Vec::new()
            }
        }
    }

    /// Reads a mapping whose keys are free.
    pub fn entries<T>(
        &mut self,
        node: &Rc<Node>,
        what: &str,
        mut read: impl FnMut(&mut Decoder<'s>, &yaml::Entry) -> Option<T>,
    ) -> Vec<(String, T)> {
        if self.is_recording() {
            read(self, &yaml::Entry { key: String::new(), key_start: 0, value: Rc::clone(node) });
            let item = self.recorded();
            self.record(Shape::Map(Box::new(item)));
            return Vec::new();
        }
        match &node.kind {
            yaml::Kind::Mapping(entries) => {
                entries.iter().filter_map(|entry| Some((entry.key.clone(), read(self, entry)?))).collect()
            }
            _ if node.is_null() => Vec::new(),
            _ => {
                self.error(node.start, "wrong-type", format!("{what} must be a mapping, not {}", node.noun()))
                    .help("write it as `name: value` lines, indented");
                Vec::new()
            }
        }
    }
}

impl Diagnostic {
    /// Adds what to do about it.
    pub fn help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }
}

/// The keys of one mapping while it is read.
pub struct Fields<'d, 's> {
    decoder: &'d mut Decoder<'s>,
    node: Rc<Node>,
    what: &'static str,
    known: Vec<&'static str>,
    shapes: Vec<(&'static str, Shape)>,
}

impl<'s> Fields<'_, 's> {
    /// The reader behind it.
    pub fn decoder(&mut self) -> &mut Decoder<'s> {
        self.decoder
    }

    /// What the mapping is, for messages.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Where the mapping begins.
    pub fn start(&self) -> usize {
        self.node.start
    }

    /// Line and column of the mapping.
    pub fn position(&self) -> Position {
        self.decoder.position(self.node.start)
    }

    /// Where the value of `key` begins; where the mapping begins if there is none.
    pub fn at(&self, key: &str) -> usize {
        self.node.get(key).map_or(self.node.start, |node| node.start)
    }

    /// Where `key` itself stands; where the mapping begins if there is none.
    pub(crate) fn key_at(&self, key: &str) -> usize {
        match &self.node.kind {
            yaml::Kind::Mapping(entries) => {
                entries.iter().find(|entry| entry.key == key).map_or(self.node.start, |entry| entry.key_start)
            }
            _ => self.node.start,
        }
    }

    /// Whether the key is there, even if it has no value.
    pub fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    /// Whether there is no value for `key`, or an empty one.
    pub(crate) fn lacks(&self, key: &str) -> bool {
        self.peek(key).is_none_or(|node| node.is_empty())
    }

    /// The value of `key` without making the key known.
    pub fn peek(&self, key: &str) -> Option<&Rc<Node>> {
        self.node.get(key)
    }

    /// Something is wrong with `key` itself.
    pub(crate) fn key_error(&mut self, key: &str, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.key_at(key);
        self.decoder.error(at, code, message)
    }

    /// Something is wrong with the value of `key`, or with the mapping if it has no such key.
    pub fn error(&mut self, key: &str, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.at(key);
        self.decoder.error(at, code, message)
    }

    /// As [`Fields::error`], but it can be used nevertheless.
    pub(crate) fn warning(&mut self, key: &str, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.at(key);
        self.decoder.warning(at, code, message)
    }

    /// The mapping lacks `key`.
    pub(crate) fn missing(&mut self, key: &str) -> &mut Diagnostic {
        let (at, message) = (self.node.start, format!("{} needs `{key}`", self.what));
        self.decoder.error(at, "missing-key", message)
    }

    /// The value of `key`, unless it is absent or null; makes the key known.
    pub fn node(&mut self, key: &'static str) -> Option<Rc<Node>> {
        self.known.push(key);
        self.node.get(key).filter(|node| !node.is_null()).cloned()
    }

    /// Makes a key known that is read elsewhere, with its shape for the schema.
    pub(crate) fn shape(&mut self, key: &'static str, shape: Shape) {
        if self.decoder.is_recording() {
            self.shapes.push((key, shape));
        }
    }

    /// Reads the value of `key` with `read`, which is also called while a schema is made.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Decoder<'s>, &Rc<Node>) -> Option<T>,
    ) -> Option<T> {
        let node = self.node(key);
        if self.decoder.is_recording() {
            let node = Rc::clone(&self.node);
            read(self.decoder, &node);
            let shape = self.decoder.recorded();
            self.shapes.push((key, shape));
            return None;
        }
        read(self.decoder, &node?)
    }

    /// A mapping with known keys.
    pub fn object<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        read: impl FnOnce(&mut Fields<'_, 's>) -> T,
    ) -> Option<T> {
        self.read(key, |decoder, node| decoder.mapping(node, what, read))
    }

    /// A list.
    pub fn list<T>(&mut self, key: &'static str, read: impl FnMut(&mut Decoder<'s>, &Rc<Node>) -> Option<T>) -> Vec<T> {
        self.read(key, |decoder, node| Some(decoder.list(node, key, read))).unwrap_or_default()
    }

    /// Reports what was not asked for.
    fn finish(self) -> Vec<(&'static str, Shape)> {
        if let yaml::Kind::Mapping(entries) = &self.node.kind {
            for entry in entries {
                if self.known.contains(&entry.key.as_str()) || self.decoder.ignore_unknown_keys {
                    continue;
                }
                let message = format!("unknown key {:?} in {}", entry.key, self.what);
                let mut known = self.known.clone();
                known.sort_unstable();
                // A channel may look again at what it has read as one of its settings.
                known.dedup();
                let help = match nearest(&entry.key, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.len() <= 24 => format!("known keys: {}", known.join(", ")),
                    None => "remove it, or check the indentation: it may belong one level higher or lower".to_owned(),
                };
                self.decoder.error(entry.key_start, "unknown-key", message).help(help);
            }
        }
        self.shapes
    }
}
