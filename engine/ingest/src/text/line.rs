//! One line of a text format.

use std::borrow::Cow;

use watchfire_model::{METRIC_NAME_LABEL, Timestamp};

use super::Format;
use crate::MetricKind;
use crate::labels::shorten;

/// A line that is a sample.
#[derive(Debug, PartialEq)]
pub(super) struct SampleLine<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) value: f64,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) exemplar: bool,
}

/// A line that starts with `#`.
#[derive(Debug, PartialEq)]
pub(super) enum Comment<'a> {
    Help(Cow<'a, str>, Cow<'a, str>),
    Type(Cow<'a, str>, MetricKind),
    Unit(Cow<'a, str>, &'a str),
    Eof,
    Other,
}

/// The bits that Prometheus gives to a `NaN` it reads, so that it is never mistaken for the staleness marker.
const NORMAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_blanks(&mut self) -> bool {
        let trimmed = self.rest.trim_start_matches([' ', '\t']);
        let skipped = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        skipped
    }

    fn eat(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !keep(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Up to the next blank.
    fn word(&mut self) -> &'a str {
        self.take_while(|byte| byte != b' ' && byte != b'\t')
    }

    /// What stands between quotes, escapes resolved; the opening quote has been eaten.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let mut owned: Option<String> = None;
        let mut start = 0;
        let mut bytes = self.rest.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    let last = &self.rest[start..at];
                    self.rest = &self.rest[at + 1..];
                    return Ok(match owned {
                        Some(text) => Cow::Owned(text + last),
                        None => Cow::Borrowed(last),
                    });
                }
                b'\\' => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.rest[start..at]);
                    start = at + 2;
                    match bytes.next() {
                        Some((_, b'n')) => text.push('\n'),
                        Some((_, b'\\')) => text.push('\\'),
                        Some((_, b'"')) => text.push('"'),
                        // Any other escape stands for itself, as in Prometheus' parser.
                        _ => {
                            text.push('\\');
                            start = at + 1;
                        }
                    }
                }
                _ => {}
            }
        }
        Err("a quote is not closed".to_owned())
    }

    fn found(&self) -> String {
        match self.rest.chars().next() {
            Some(c) => format!("{c:?}"),
            None => "the end of the line".to_owned(),
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

/// Reads a line that does not start with `#`; blanks around it are gone already.
pub(super) fn sample(line: &str, format: Format) -> Result<SampleLine<'_>, String> {
    let mut cursor = Cursor { rest: line };
    let bare = cursor.take_while(is_name_byte);
    if bare.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("a metric name cannot start with a digit: {:?}", shorten(bare)));
    }
    let mut name = (!bare.is_empty()).then_some(Cow::Borrowed(bare));
    let mut labels = Vec::new();
    cursor.skip_blanks();
    if cursor.eat('{') {
        read_braces(&mut cursor, &mut name, &mut labels)?;
    }
    let Some(name) = name else {
        return Err(format!("expected a metric name, found {}", Cursor { rest: line }.found()));
    };
    cursor.skip_blanks();
    if cursor.rest.is_empty() {
        return Err("it has no value".to_owned());
    }
    let value = read_value(cursor.word())?;
    cursor.skip_blanks();
    let mut timestamp = None;
    if !cursor.rest.is_empty() && !cursor.rest.starts_with('#') {
        timestamp = Some(read_timestamp(cursor.word(), format)?);
        cursor.skip_blanks();
    }
    let exemplar = format == Format::OpenMetrics && cursor.eat('#');
    if exemplar {
        read_exemplar(&mut cursor, format)?;
    }
    if !cursor.rest.is_empty() {
        return Err(format!("expected the end of the line, found {:?}", shorten(cursor.rest)));
    }
    Ok(SampleLine { name, labels, value, timestamp, exemplar })
}

/// `name="value", "quoted name"="value", "the metric's name"}`; the opening brace has been eaten.
fn read_braces<'a>(
    cursor: &mut Cursor<'a>,
    name: &mut Option<Cow<'a, str>>,
    labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
) -> Result<(), String> {
    loop {
        cursor.skip_blanks();
        if cursor.eat('}') {
            return Ok(());
        }
        let quoted = cursor.eat('"');
        let label = if quoted { cursor.quoted()? } else { Cow::Borrowed(cursor.take_while(is_name_byte)) };
        if label.is_empty() && !quoted {
            return Err(format!("expected a label name, found {}", cursor.found()));
        }
        cursor.skip_blanks();
        if cursor.eat('=') {
            cursor.skip_blanks();
            if !cursor.eat('"') {
                let (label, found) = (shorten(&label), cursor.found());
                return Err(format!("expected a quoted value of label {label:?}, found {found}"));
            }
            let value = cursor.quoted()?;
            if label == METRIC_NAME_LABEL {
                set_name(name, value)?;
            } else {
                labels.push((label, value));
            }
        } else if quoted {
            set_name(name, label)?;
        } else {
            return Err(format!("expected = after label name {:?}, found {}", shorten(&label), cursor.found()));
        }
        cursor.skip_blanks();
        if !cursor.eat(',') && !cursor.rest.starts_with('}') {
            return Err(format!("expected a comma or a closing brace, found {}", cursor.found()));
        }
    }
}

fn set_name<'a>(name: &mut Option<Cow<'a, str>>, new: Cow<'a, str>) -> Result<(), String> {
    match name {
        Some(old) => Err(format!("the metric's name is given twice: {:?} and {:?}", shorten(old), shorten(&new))),
        None => {
            *name = Some(new);
            Ok(())
        }
    }
}

fn read_value(word: &str) -> Result<f64, String> {
    match word.parse::<f64>() {
        Ok(value) if value.is_nan() => Ok(NORMAL_NAN),
        Ok(value) => Ok(value),
        Err(_) => Err(format!("{:?} is not a number", shorten(word))),
    }
}

fn read_timestamp(word: &str, format: Format) -> Result<Timestamp, String> {
    let time = match format {
        Format::Prometheus => word.parse().ok().map(Timestamp::from_millis),
        Format::OpenMetrics => word.parse().ok().filter(|secs: &f64| secs.is_finite()).map(Timestamp::from_secs_f64),
    };
    let unit = if format == Format::Prometheus { "milliseconds" } else { "seconds" };
    time.ok_or_else(|| format!("{:?} is not a timestamp in {unit}", shorten(word)))
}

/// `{labels} value [timestamp]`; checked so that a broken line is not half accepted, then dropped.
fn read_exemplar(cursor: &mut Cursor<'_>, format: Format) -> Result<(), String> {
    cursor.skip_blanks();
    if !cursor.eat('{') {
        return Err(format!("expected the labels of an exemplar, found {}", cursor.found()));
    }
    // An exemplar has no metric name: a bare quoted text would be one, so a name is put in its place.
    let mut name = Some(Cow::Borrowed(""));
    read_braces(cursor, &mut name, &mut Vec::new())?;
    cursor.skip_blanks();
    read_value(cursor.word())?;
    cursor.skip_blanks();
    if !cursor.rest.is_empty() {
        read_timestamp(cursor.word(), format)?;
        cursor.skip_blanks();
    }
    Ok(())
}

/// Reads a line that starts with `#`.
pub(super) fn comment(line: &str) -> Result<Comment<'_>, String> {
    let mut cursor = Cursor { rest: &line[1..] };
    if !cursor.skip_blanks() {
        return Ok(Comment::Other);
    }
    let keyword = cursor.word();
    if keyword == "EOF" && cursor.rest.is_empty() {
        return Ok(Comment::Eof);
    }
    if !matches!(keyword, "HELP" | "TYPE" | "UNIT") {
        return Ok(Comment::Other);
    }
    cursor.skip_blanks();
    let name = if cursor.eat('"') { cursor.quoted()? } else { Cow::Borrowed(cursor.word()) };
    if name.is_empty() {
        return Err(format!("# {keyword} has no metric name"));
    }
    cursor.skip_blanks();
    let text = cursor.rest;
    match keyword {
        "HELP" => Ok(Comment::Help(name, unescape_help(text))),
        "UNIT" => Ok(Comment::Unit(name, text)),
        _ => match MetricKind::from_word(text) {
            Some(kind) => Ok(Comment::Type(name, kind)),
            None => Err(format!("unknown metric type {:?}", shorten(text))),
        },
    }
}

fn unescape_help(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            unescaped.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => unescaped.push('\n'),
            Some(escaped @ ('\\' | '"')) => unescaped.push(escaped),
            Some(other) => unescaped.extend(['\\', other]),
            None => unescaped.push('\\'),
        }
    }
    Cow::Owned(unescaped)
}
