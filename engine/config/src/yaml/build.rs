//! From the parser's events to the tree.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::{ALIASED_NODES_MAX, DEPTH_MAX, Entry, Kind, Node, Style, TEXT_BYTES_MAX};

/// What was read.
pub(crate) struct Parsed {
    /// The first document; nothing if the text is empty or cannot be read.
    pub(crate) root: Option<Rc<Node>>,
    /// Where a second document begins.
    pub(crate) second_document: Option<usize>,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
}

/// Something wrong with the YAML itself.
pub(crate) struct Fault {
    /// Where, in bytes of the text.
    pub(crate) at: usize,
    /// A short stable name.
    pub(crate) code: &'static str,
    /// What.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
}

/// Reads the first document of `text`.
pub(crate) fn parse(text: &str) -> Parsed {
    let mut builder = Builder::new(text);
    if text.len() > TEXT_BYTES_MAX {
        builder.fault(0, "too-large", format!("the file has {} bytes; at most {TEXT_BYTES_MAX} are read", text.len()));
        return Parsed { root: None, second_document: None, faults: builder.faults };
    }
    let root = builder.document().unwrap_or_else(|fault| {
        builder.faults.push(fault);
        None
    });
    let second_document = if root.is_some() { builder.second_document() } else { None };
    Parsed { root, second_document, faults: builder.faults }
}

struct Builder<'t> {
    text: &'t str,
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// Byte offsets of all characters, unless every character is one byte.
    offsets: Option<Vec<usize>>,
    /// Anchored nodes with the number of nodes that each stands for.
    anchors: HashMap<usize, (Rc<Node>, u64)>,
    aliased: u64,
    faults: Vec<Fault>,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Builder<'t> {
        let offsets = if text.is_ascii() {
            None
        } else {
            Some(text.char_indices().map(|(at, _)| at).chain([text.len()]).collect())
        };
        Builder {
            text,
            parser: Parser::new_from_str(text),
            offsets,
            anchors: HashMap::new(),
            aliased: 0,
            faults: Vec::new(),
        }
    }

    fn byte(&self, character: usize) -> usize {
        match &self.offsets {
            Some(offsets) => offsets.get(character).copied().unwrap_or(self.text.len()),
            None => character.min(self.text.len()),
        }
    }

    fn fault(&mut self, at: usize, code: &'static str, message: String) {
        self.faults.push(Fault { at, code, message, help: None });
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Fault> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(self.syntax(&error)),
        }
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let at = self.byte(error.marker().index());
        let (message, help) = explain(error.info(), &self.text[at..]);
        Fault { at, code: "yaml-syntax", message, help }
    }

    /// The first document's root; `None` for an empty text.
    fn document(&mut self) -> Result<Option<Rc<Node>>, Fault> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(_) => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok(None),
                event => return self.node(event, span, 0).map(|(node, _)| Some(node)),
            }
        }
        Ok(None)
    }

    fn second_document(&mut self) -> Option<usize> {
        loop {
            match self.next().ok()?? {
                (Event::DocumentStart(_), span) => return Some(self.byte(span.start.index())),
                (Event::StreamEnd, _) => return None,
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<(Rc<Node>, u64), Fault> {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index());
        if depth > DEPTH_MAX {
            return Err(Fault {
                at: start,
                code: "too-deep",
                message: format!("nested more than {DEPTH_MAX} levels deep"),
                help: Some("flatten it".to_owned()),
            });
        }
        let (anchor, kind, end, weight) = match event {
            Event::Alias(anchor) => return self.alias(anchor, start),
            Event::Scalar(text, style, anchor, _) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                (anchor, Kind::Scalar { text: text.into_owned(), style }, end, 1)
            }
            Event::SequenceStart(anchor, _) => {
                let (mut items, mut weight) = (Vec::new(), 1);
                let end = loop {
                    match self.expect(start)? {
                        (Event::SequenceEnd, span) => break self.byte(span.end.index()),
                        (event, span) => {
                            let (item, more) = self.node(event, span, depth + 1)?;
                            items.push(item);
                            weight += more;
                        }
                    }
                };
                (anchor, Kind::Sequence(items), end, weight)
            }
            Event::MappingStart(anchor, _) => {
                let (entries, end, weight) = self.mapping(start, depth)?;
                (anchor, Kind::Mapping(entries), end, weight)
            }
            other => {
                let message = format!("unexpected {other:?}");
                return Err(Fault { at: start, code: "yaml-syntax", message, help: None });
            }
        };
        let node = Rc::new(Node { kind, start, end });
        if anchor != 0 {
            self.anchors.insert(anchor, (Rc::clone(&node), weight));
        }
        Ok((node, weight))
    }

    fn expect(&mut self, at: usize) -> Result<(Event<'t>, Span), Fault> {
        let message = "the file ends in the middle of a value".to_owned();
        self.next()?.ok_or(Fault { at, code: "yaml-syntax", message, help: None })
    }

    fn alias(&mut self, anchor: usize, at: usize) -> Result<(Rc<Node>, u64), Fault> {
        let Some((node, weight)) = self.anchors.get(&anchor).cloned() else {
            return Err(Fault {
                at,
                code: "yaml-syntax",
                message: "this alias names an anchor that is not complete here".to_owned(),
                help: Some("an anchor can be used only after the value that it names".to_owned()),
            });
        };
        self.aliased = self.aliased.saturating_add(weight);
        if self.aliased > ALIASED_NODES_MAX {
            return Err(Fault {
                at,
                code: "too-many-aliases",
                message: format!("aliases blow this file up to more than {ALIASED_NODES_MAX} values"),
                help: Some("write the values out, or split the file".to_owned()),
            });
        }
        Ok((node, weight))
    }

    fn mapping(&mut self, start: usize, depth: usize) -> Result<(Vec<Entry>, usize, u64), Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut merges: Vec<(usize, Rc<Node>)> = Vec::new();
        let mut weight = 1u64;
        let end = loop {
            let (event, span) = self.expect(start)?;
            if event == Event::MappingEnd {
                break self.byte(span.end.index());
            }
            let key_start = self.byte(span.start.index());
            let (key, key_weight) = self.node(event, span, depth + 1)?;
            let (event, span) = self.expect(start)?;
            let (value, value_weight) = self.node(event, span, depth + 1)?;
            weight = weight.saturating_add(key_weight).saturating_add(value_weight);
            let Kind::Scalar { text: name, style } = &key.kind else {
                self.fault(key_start, "yaml-syntax", format!("a key must be a text, not {}", key.noun()));
                continue;
            };
            if name == "<<" && *style == Style::Plain {
                merges.push((key_start, value));
                continue;
            }
            if let Some(first) = seen.get(name) {
                let line = super::super::diagnostic::Position::of(self.text, *first).line;
                self.faults.push(Fault {
                    at: key_start,
                    code: "duplicate-key",
                    message: format!("the key {name:?} is already set at line {line}"),
                    help: Some("remove one of the two".to_owned()),
                });
                continue;
            }
            seen.insert(name.clone(), key_start);
            entries.push(Entry { key: name.clone(), key_start, value });
        };
        for (at, value) in merges {
            let sources = match &value.kind {
                Kind::Sequence(items) => items.clone(),
                Kind::Mapping(_) | Kind::Scalar { .. } => vec![Rc::clone(&value)],
            };
            for source in sources {
                let Kind::Mapping(merged) = &source.kind else {
                    self.fault(
                        at,
                        "yaml-syntax",
                        format!("only mappings can be merged with <<, not {}", source.noun()),
                    );
                    continue;
                };
                // What is written here, or merged earlier, wins.
                for entry in merged {
                    if !seen.contains_key(&entry.key) {
                        seen.insert(entry.key.clone(), entry.key_start);
                        entries.push(entry.clone());
                    }
                }
            }
        }
        Ok((entries, end, weight))
    }
}

/// Says what the parser says in words for people who do not know its inside, with the usual fix.
fn explain(info: &str, rest: &str) -> (String, Option<String>) {
    let help = if info.contains("tab") || rest.starts_with('\t') {
        Some("indent with spaces; YAML allows no tabs there")
    } else if info.contains("mapping values are not allowed") {
        Some("a text that contains `: ` needs quotes; otherwise check the indentation of this line and the one before")
    } else if info.contains("undefined anchor") || info.contains("unknown anchor") {
        Some("define it with &name before its first use, or quote the text if no alias is meant")
    } else if rest.starts_with(['{', '[', '*', '&', '!', '%', '@', '`']) {
        Some("quote a text that begins with this character")
    } else {
        None
    };
    (format!("not valid YAML: {info}"), help.map(str::to_owned))
}
