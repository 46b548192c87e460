//! YAML test files as a tree that knows where everything stands.
//!
//! A mapping is read by asking for the keys that it may have; what was never asked for is an unknown key.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use watchfire_config::{Diagnostic, Level};
use watchfire_model::{Duration, Labels, Timestamp};

/// Nodes of one document, those that aliases stand for included, so that a few lines cannot fill the memory.
const NODES_MAX: usize = 1_000_000;
/// How deep a document may be nested.
const DEPTH_MAX: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

/// Where something stands: line and column from 1, and its bytes in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) start: usize,
    end: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar { text: String, plain: bool },
    List(Vec<Rc<Node>>),
    Map(Vec<(String, Place, Rc<Node>)>),
}

/// Reads one file and collects what is wrong with it.
pub(crate) struct Reader<'t> {
    file: &'t str,
    text: Cow<'t, str>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(file: &'t str, text: &'t str) -> Reader<'t> {
        Reader { file, text: Cow::Borrowed(text), diagnostics: Vec::new() }
    }

    /// The first document of the text; `None` if there is none or it is no YAML.
    pub(crate) fn parse(&mut self) -> Option<Rc<Node>> {
        for _ in 0..FORGIVEN_MAX {
            match Builder::new(&self.text).document() {
                Ok(root) => return root,
                Err((place, message)) => match indent_quoted(&self.text, place.start, &message) {
                    Some(text) => self.text = Cow::Owned(text),
                    None => {
                        self.report(place, "yaml-syntax", message);
                        return None;
                    }
                },
            }
        }
        None
    }

    pub(crate) fn error(&mut self, node: &Node, message: impl Into<String>) {
        self.report(node.place, "test-file", message.into());
    }

    fn report(&mut self, place: Place, code: &'static str, message: String) {
        self.diagnostics.push(Diagnostic {
            file: self.file.to_owned(),
            line: place.line.max(1),
            column: place.column.max(1),
            severity: Level::Error,
            code,
            message,
            help: None,
        });
    }

    /// Reads a mapping with `read`, then complains about keys that were not asked for. Nothing counts as empty.
    pub(crate) fn map<T>(
        &mut self,
        node: &Node,
        what: &str,
        read: impl FnOnce(&mut Reader<'t>, &Fields<'_>) -> T,
    ) -> Option<T> {
        let entries = match &node.kind {
            Kind::Map(entries) => entries.as_slice(),
            Kind::Scalar { .. } if node.is_null() => &[],
            _ => {
                self.error(node, format!("{what} must be a mapping"));
                return None;
            }
        };
        let fields = Fields { entries, node, asked: RefCell::default() };
        let value = read(self, &fields);
        let mut asked = fields.asked.into_inner();
        asked.sort_unstable();
        asked.dedup();
        for (key, place, _) in entries {
            if !asked.contains(&key.as_str()) {
                self.report(*place, "unknown-key", format!("{what} has no {key:?}; it may have {}", asked.join(", ")));
            }
        }
        Some(value)
    }

    /// Each element of a list; nothing counts as an empty one.
    pub(crate) fn list<T>(
        &mut self,
        node: Option<&Rc<Node>>,
        what: &str,
        mut read: impl FnMut(&mut Reader<'t>, &Rc<Node>) -> Option<T>,
    ) -> Vec<T> {
        match node.map(|node| (&node.kind, node)) {
            None => Vec::new(),
            Some((Kind::List(items), _)) => items.iter().filter_map(|item| read(self, item)).collect(),
            Some((_, node)) if node.is_null() => Vec::new(),
            Some((_, node)) => {
                self.error(node, format!("{what} must be a list"));
                Vec::new()
            }
        }
    }

    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.kind {
            Kind::Scalar { .. } if node.is_null() => Some(String::new()),
            Kind::Scalar { text, .. } => Some(text.clone()),
            _ => {
                self.error(node, format!("{what} must be a text"));
                None
            }
        }
    }

    /// A text, or a list of texts.
    pub(crate) fn texts(&mut self, node: Option<&Rc<Node>>, what: &str) -> Vec<String> {
        match node.map(|node| (&node.kind, node)) {
            Some((Kind::Scalar { text, .. }, node)) if !node.is_null() => vec![text.clone()],
            _ => self.list(node, what, |reader, item| reader.text(item, what)),
        }
    }

    pub(crate) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let text = self.text(node, what)?;
        let (text, sign) = text.strip_prefix('-').map_or((text.as_str(), 1), |rest| (rest, -1));
        match text.parse::<Duration>() {
            Ok(duration) => Some(duration.times(sign)),
            Err(error) => {
                self.error(node, format!("{what}: {error}"));
                None
            }
        }
    }

    pub(crate) fn number(&mut self, node: &Node, what: &str) -> Option<f64> {
        let text = self.text(node, what)?;
        let number = parse_float(&text);
        if number.is_none() {
            self.error(node, format!("{what} must be a number, not {text:?}"));
        }
        number
    }

    pub(crate) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match self.text(node, what)?.as_str() {
            "true" | "True" | "yes" | "on" => Some(true),
            "false" | "False" | "no" | "off" => Some(false),
            other => {
                self.error(node, format!("{what} must be true or false, not {other:?}"));
                None
            }
        }
    }

    /// RFC 3339, or seconds since the epoch.
    pub(crate) fn timestamp(&mut self, node: &Node, what: &str) -> Option<Timestamp> {
        let text = self.text(node, what)?;
        let time = text.parse().ok().map(Timestamp::from_secs_f64).or_else(|| Timestamp::parse_rfc3339(&text).ok());
        if time.is_none() {
            self.error(node, format!("{what} must be a time like 2026-01-05T09:00:00Z or seconds since the epoch"));
        }
        time
    }

    pub(crate) fn text_map(&mut self, node: &Node, what: &str) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        match &node.kind {
            Kind::Map(entries) => {
                for (key, _, value) in entries {
                    if let Some(text) = self.text(value, what) {
                        map.insert(key.clone(), text);
                    }
                }
            }
            _ if node.is_null() => {}
            _ => self.error(node, format!("{what} must be a mapping of names to texts")),
        }
        map
    }

    pub(crate) fn labels(&mut self, node: &Node, what: &str) -> Labels {
        Labels::from_pairs(self.text_map(node, what))
    }

    /// The text of a node as a file of its own in which everything stands where it stands here.
    pub(crate) fn cut_out(&self, node: &Node) -> String {
        let Place { line, column, start, end } = node.place;
        let mut text = "\n".repeat(line.saturating_sub(1));
        text.push_str(&" ".repeat(column.saturating_sub(1)));
        text.push_str(self.text.get(start..end).unwrap_or("").trim_end());
        text.push('\n');
        text
    }
}

/// The keys of one mapping.
pub(crate) struct Fields<'n> {
    entries: &'n [(String, Place, Rc<Node>)],
    pub(crate) node: &'n Node,
    asked: RefCell<Vec<&'static str>>,
}

impl<'n> Fields<'n> {
    /// The value of a key; `None` if it is absent or null.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'n Rc<Node>> {
        self.asked.borrow_mut().push(key);
        let entry = self.entries.iter().find(|(name, _, _)| name == key);
        entry.map(|(_, _, node)| node).filter(|node| !node.is_null())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _, _)| name == key)
    }
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The keys and values of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[(String, Place, Rc<Node>)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }
}

/// A number as YAML and Prometheus write it.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().trim_start_matches('+') {
        "inf" | ".inf" => Some(f64::INFINITY),
        "-inf" | "-.inf" => Some(f64::NEG_INFINITY),
        "nan" | ".nan" => Some(f64::NAN),
        _ => text.parse().ok(),
    }
}

/// How often a text is repaired by [`indent_quoted`].
const FORGIVEN_MAX: usize = 1_000;

/// Go's YAML lets the lines of a quoted text begin anywhere, YAML wants them further right than what is around. Test
/// files in the wild use that for long series, so such lines are moved right; the text itself does not change, because
/// spaces at the beginning of its lines mean nothing. `None` where the fault is another one.
fn indent_quoted(text: &str, start: usize, fault: &str) -> Option<String> {
    if !fault.contains("invalid indentation in quoted scalar") {
        return None;
    }
    let quoted = text.get(start..)?;
    let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let length = quoted_length(quoted, quote)?;
    let moved = quoted[..length].replace('\n', &format!("\n{}", " ".repeat(DEPTH_MAX)));
    // What was moved before and is still at fault cannot be repaired.
    let lines = || quoted[..length].lines().skip(1);
    if lines().next().is_none() || lines().all(|line| line.starts_with(&" ".repeat(DEPTH_MAX))) {
        return None;
    }
    Some(format!("{}{moved}{}", &text[..start], &quoted[length..]))
}

/// The length of a quoted text with its quotes.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' if quote == '"' => drop(characters.next()),
            // A doubled apostrophe is one that belongs to the text.
            '\'' if quote == '\'' && characters.next_if(|(_, next)| *next == '\'').is_some() => {}
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

type Fault = (Place, String);

struct Builder<'t> {
    text: &'t str,
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// Byte offsets of the characters, because the parser counts in characters.
    offsets: Vec<usize>,
    /// Looked up, never iterated.
    anchors: HashMap<usize, (Rc<Node>, usize)>,
    nodes: usize,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Builder<'t> {
        let offsets = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Builder { text, parser: Parser::new_from_str(text), offsets, anchors: HashMap::new(), nodes: 0 }
    }

    fn byte(&self, character: usize) -> usize {
        self.offsets.get(character).copied().unwrap_or(self.text.len())
    }

    fn place(&self, span: Span) -> Place {
        Place {
            line: span.start.line(),
            column: span.start.col() + 1,
            start: self.byte(span.start.index()),
            end: self.byte(span.end.index()),
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Fault> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let marker = error.marker();
                let start = self.byte(marker.index());
                let place = Place { line: marker.line(), column: marker.col() + 1, start, end: start };
                Err((place, error.info().to_owned()))
            }
        }
    }

    fn document(&mut self) -> Result<Option<Rc<Node>>, Fault> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(_) => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok(None),
                event => return self.node(event, span, 0).map(Some),
            }
        }
        Ok(None)
    }

    fn count(&mut self, place: Place, depth: usize, nodes: usize) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX || depth > DEPTH_MAX {
            return Err((place, format!("the file has more than {NODES_MAX} values or {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Rc<Node>, Fault> {
        let mut place = self.place(span);
        let before = self.nodes;
        self.count(place, depth, 1)?;
        let (anchor, kind) = match event {
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let (node, nodes) = known.ok_or((place, "this alias has no anchor".to_owned()))?;
                self.count(place, depth, nodes)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, _) => {
                (anchor, Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        None => break,
                        Some((Event::SequenceEnd, span)) => {
                            place.end = self.place(span).end;
                            break;
                        }
                        Some((event, span)) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (anchor, Kind::List(items))
            }
            Event::MappingStart(anchor, _) => (anchor, self.mapping(&mut place, depth)?),
            _ => return Err((place, "a value is missing here".to_owned())),
        };
        let node = Rc::new(Node { kind, place });
        if anchor > 0 {
            self.anchors.insert(anchor, (Rc::clone(&node), self.nodes - before));
        }
        Ok(node)
    }

    fn mapping(&mut self, place: &mut Place, depth: usize) -> Result<Kind, Fault> {
        let mut entries: Vec<(String, Place, Rc<Node>)> = Vec::new();
        let mut merged: Vec<(String, Place, Rc<Node>)> = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                place.end = self.place(span).end;
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?.ok_or((*place, "a value is missing here".to_owned()))?;
            let value = self.node(event, span, depth + 1)?;
            match &key.kind {
                Kind::Scalar { text, plain: true } if text == "<<" => {
                    let sources = match &value.kind {
                        Kind::List(items) => items.clone(),
                        _ => vec![value],
                    };
                    merged.extend(sources.iter().flat_map(|source| source.entries().to_vec()));
                }
                Kind::Scalar { text, .. } if entries.iter().any(|(other, _, _)| other == text) => {
                    return Err((key.place, format!("the key {text:?} is there twice")));
                }
                Kind::Scalar { text, .. } => entries.push((text.clone(), key.place, value)),
                _ => return Err((key.place, "a key must be a text".to_owned())),
            }
        }
        for entry in merged {
            if !entries.iter().any(|(key, _, _)| *key == entry.0) {
                entries.push(entry);
            }
        }
        Ok(Kind::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_reported_where_they_stand_with_those_that_are_known() {
        let text = "a: 1\nsteps:\n  - bb: 2\n";
        let mut reader = Reader::new("x.yml", text);
        let root = reader.parse().unwrap();
        reader.map(&root, "the file", |reader, fields| {
            fields.get("a");
            reader.list(fields.get("steps"), "steps", |reader, item| {
                reader.map(item, "a step", |_, fields| fields.get("b").is_some())
            });
        });
        let told: Vec<_> = reader.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["x.yml:3:5: error: a step has no \"bb\"; it may have b [unknown-key]"]);
    }

    #[test]
    fn a_part_that_is_cut_out_stands_where_it_stood() {
        let text = "é: x\nrules:\n  groups:\n    - name: ä\nnext: {a: [1]}\n";
        let mut reader = Reader::new("x.yml", text);
        let root = reader.parse().unwrap();
        let entries = root.entries();
        assert_eq!(reader.cut_out(&entries[1].2), "\n\n  groups:\n    - name: ä\n");
        assert_eq!(reader.cut_out(&entries[2].2), "\n\n\n\n      {a: [1]}\n");
    }

    #[test]
    fn quoted_lines_may_begin_anywhere_as_in_go() {
        let text = "a:\n  - b: \"x{\n  y=\\\"1\\\",\n}\"\n    c: 'it''s\nfine'\n";
        let mut reader = Reader::new("x.yml", text);
        let root = reader.parse().unwrap();
        let item = match &root.entries()[0].2.kind {
            Kind::List(items) => items[0].clone(),
            other => panic!("{other:?}"),
        };
        let texts = reader.text_map(&item, "it");
        assert_eq!((texts["b"].as_str(), texts["c"].as_str()), ("x{ y=\"1\", }", "it's fine"));
    }

    #[test]
    fn anchors_and_merges_are_resolved() {
        let text = "base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  y: 3\n";
        let mut reader = Reader::new("x.yml", text);
        let root = reader.parse().unwrap();
        let other = root.entries()[1].2.clone();
        let texts = reader.text_map(&other, "it");
        assert_eq!((texts["x"].as_str(), texts["y"].as_str()), ("1", "3"));
        assert!(Reader::new("x.yml", "a: 1\na: 2").parse().is_none());
    }
}
