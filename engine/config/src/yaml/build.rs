//! From the parser's events to the tree.

use std::borrow::Cow;
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

/// How many times a text is read again with one more scalar indented.
const INDENTED_MAX: usize = 256;

/// Reads the first document of `text`.
pub(crate) fn parse(text: &str) -> Parsed {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the file has {} bytes; at most {TEXT_BYTES_MAX} are read", text.len());
        let fault = Fault { at: 0, code: "too-large", message, help: Some("split it".to_owned()) };
        return Parsed { root: None, second_document: None, faults: vec![fault] };
    }
    let mut indented = Indented::default();
    loop {
        let patched = indented.apply(text);
        let mut builder = Builder::new(&patched, &indented);
        let root = match builder.document() {
            Ok(root) => root,
            Err(fault) => {
                if let Some(lines) = builder.unindented_scalar()
                    && indented.scalars < INDENTED_MAX
                {
                    indented.add(lines);
                    continue;
                }
                builder.faults.push(fault);
                None
            }
        };
        let second_document = if root.is_some() { builder.second_document() } else { None };
        return Parsed { root, second_document, faults: builder.faults };
    }
}

/// Spaces put in front of the continuation lines of quoted scalars.
///
/// YAML wants those lines indented more than the key; the parser that Prometheus and Alertmanager use does not insist,
/// and such files are common. Indentation within quotes is folded away, so it does not change the value.
#[derive(Default)]
struct Indented {
    /// Where a line begins in the text as it was given, and how many spaces are put there; sorted.
    lines: Vec<(usize, usize)>,
    scalars: usize,
}

impl Indented {
    fn add(&mut self, lines: Vec<(usize, usize)>) {
        self.lines.extend(lines);
        self.lines.sort_unstable();
        self.scalars += 1;
    }

    fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.lines.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len() + self.lines.iter().map(|(_, count)| count).sum::<usize>());
        let mut from = 0;
        for (at, count) in &self.lines {
            out.push_str(&text[from..*at]);
            out.extend(std::iter::repeat_n(' ', *count));
            from = *at;
        }
        out.push_str(&text[from..]);
        Cow::Owned(out)
    }

    /// Where a byte of the patched text stands in the text as it was given.
    fn original(&self, patched: usize) -> usize {
        let mut inserted = 0;
        for (at, count) in &self.lines {
            if at + inserted > patched {
                break;
            }
            // Within the spaces themselves: the line's beginning.
            inserted += (*count).min(patched - at - inserted);
        }
        patched - inserted
    }
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
    indented: &'t Indented,
    /// Where the last event ended, and where a quoted scalar was refused for its indentation; in the patched text.
    last_end: usize,
    refused: Option<usize>,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str, indented: &'t Indented) -> Builder<'t> {
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
            indented,
            last_end: 0,
            refused: None,
        }
    }

    /// Where a character of the patched text stands in the text as it was given, in bytes.
    fn byte(&self, character: usize) -> usize {
        self.indented.original(self.patched_byte(character))
    }

    fn patched_byte(&self, character: usize) -> usize {
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
            Some(Ok((event, span))) => {
                self.last_end = self.patched_byte(span.end.index());
                Ok(Some((event, span)))
            }
            Some(Err(error)) => {
                if error.info().contains("invalid indentation in quoted scalar") {
                    self.refused = Some(self.patched_byte(error.marker().index()));
                }
                Err(self.syntax(&error))
            }
        }
    }

    /// The continuation lines of the quoted scalar that was refused for its indentation, with the spaces they need.
    fn unindented_scalar(&self) -> Option<Vec<(usize, usize)>> {
        let refused = self.refused?;
        let mut at = self.last_end;
        // Between the last event and the refused place only keys, indicators, comments and this scalar can stand.
        loop {
            let open = at + self.text.get(at..)?.find(['"', '\'', '#'])?;
            if self.text[open..].starts_with('#') {
                at = open + self.text[open..].find('\n')?;
                continue;
            }
            let close = quoted_end(self.text, open)?;
            if (open..=close).contains(&refused) {
                let column = open - self.text[..open].rfind('\n').map_or(0, |at| at + 1) + 1;
                let breaks = self.text[open..close].match_indices('\n');
                return Some(breaks.map(|(at, _)| (self.indented.original(open + at + 1), column)).collect());
            }
            at = close;
        }
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let mut patched = self.patched_byte(error.marker().index());
        if error.info().contains("tab")
            && let Some(tab) = self.text[patched..].find('\t')
        {
            // The parser names the beginning of the scalar that the tab cut short.
            patched += tab;
        }
        let at = self.indented.original(patched);
        let (message, help) = explain(error.info(), &self.text[patched..]);
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
        // The line of each key; 0 for merged ones, about which nothing is told.
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut merges: Vec<(usize, Rc<Node>)> = Vec::new();
        let mut weight = 1u64;
        let end = loop {
            let (event, span) = self.expect(start)?;
            if event == Event::MappingEnd {
                break self.byte(span.end.index());
            }
            let (key_start, line) = (self.byte(span.start.index()), span.start.line());
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
                self.faults.push(Fault {
                    at: key_start,
                    code: "duplicate-key",
                    message: format!("the key {name:?} is already set at line {first}"),
                    help: Some("remove one of the two".to_owned()),
                });
                continue;
            }
            seen.insert(name.clone(), line);
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
                        seen.insert(entry.key.clone(), 0);
                        entries.push(entry.clone());
                    }
                }
            }
        }
        Ok((entries, end, weight))
    }
}

/// Where the quoted scalar ends that begins at `open`, behind its closing quote.
fn quoted_end(text: &str, open: usize) -> Option<usize> {
    let quote = text[open..].chars().next()?;
    let mut characters = text[open + 1..].char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' if quote == '"' => {
                characters.next();
            }
            c if c == quote && quote == '\'' && characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
            }
            c if c == quote => return Some(open + 1 + at + 1),
            _ => {}
        }
    }
    None
}

/// Says what the parser says in words for people who do not know its inside, with the usual fix.
fn explain(info: &str, rest: &str) -> (String, Option<String>) {
    let help = if info.contains("tab") || rest.starts_with('\t') {
        Some("indent with spaces; YAML allows no tabs there")
    } else if info.contains("mapping values are not allowed") {
        Some("a text that contains `: ` needs quotes; otherwise check the indentation of this line and the one before")
    } else if info.contains("undefined anchor") || info.contains("unknown anchor") {
        Some("define it with &name before its first use, or quote the text if no alias is meant")
    } else if info.contains("illegal placement") {
        Some("look above for a [ or { that is not closed; otherwise quote the text that contains the colon")
    } else if rest.starts_with(['{', '[', '*', '&', '!', '%', '@', '`']) {
        Some("quote a text that begins with this character")
    } else {
        None
    };
    (format!("not valid YAML: {info}"), help.map(str::to_owned))
}
