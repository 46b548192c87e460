//! Finds a place inside a scalar's text again in the file it was read from.

use super::Style;

/// Where the byte `offset` of `text` stands in `file`, given that the scalar is written in `file[start..end]`.
///
/// Folding, indentation and chomping change white space only, so the n-th character that is no white space is the
/// same one in both; a place within white space is counted from the character before it.
pub(super) fn locate(file: &str, start: usize, end: usize, text: &str, style: Style, offset: usize) -> usize {
    let offset = offset.min(text.len());
    let raw = &file[start.min(file.len())..end.clamp(start.min(file.len()), file.len())];
    let solid_before = text[..floor(text, offset)].chars().filter(|c| !c.is_whitespace()).count();
    let next_is_solid = text[floor(text, offset)..].chars().next().is_some_and(|c| !c.is_whitespace());
    let mut written = Written { raw, at: body_start(raw, style), style }.filter(|(_, _, c)| !c.is_whitespace());
    if next_is_solid {
        return written.nth(solid_before).map_or(start, |(from, _, _)| start + from);
    }
    if solid_before == 0 {
        return start + body_start(raw, style);
    }
    let Some((_, after, _)) = written.nth(solid_before - 1) else { return start };
    let blanks = text[..floor(text, offset)].chars().rev().take_while(|c| c.is_whitespace()).count();
    // Only as far as the white space is really there on the same line; what folding removed has no place.
    let there = raw[after..].chars().take(blanks).take_while(|c| *c == ' ' || *c == '\t').count();
    start + after + there
}

fn floor(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// Where the content begins: behind the opening quote, or on the line after a block scalar's header.
fn body_start(raw: &str, style: Style) -> usize {
    match style {
        Style::Plain => 0,
        Style::SingleQuoted | Style::DoubleQuoted => usize::from(raw.starts_with(['\'', '"'])),
        Style::Block if raw.starts_with(['|', '>']) => raw.find('\n').map_or(raw.len(), |at| at + 1),
        Style::Block => 0,
    }
}

/// The characters that a scalar's source stands for, with where each is written: `(from, after, character)`.
struct Written<'a> {
    raw: &'a str,
    at: usize,
    style: Style,
}

impl Iterator for Written<'_> {
    type Item = (usize, usize, char);

    fn next(&mut self) -> Option<(usize, usize, char)> {
        let from = self.at;
        let mut rest = self.raw[from..].chars();
        let first = rest.next()?;
        let (length, character) = match (self.style, first) {
            (Style::SingleQuoted, '\'') => match rest.next() {
                Some('\'') => (2, '\''),
                _ => return None,
            },
            (Style::DoubleQuoted, '"') => return None,
            (Style::DoubleQuoted, '\\') => escape(rest.as_str()),
            _ => (first.len_utf8(), first),
        };
        self.at = from + length;
        Some((from, self.at, character))
    }
}

/// The length of an escape with its backslash, and what it stands for; `rest` begins behind the backslash.
fn escape(rest: &str) -> (usize, char) {
    let hexadecimal = |digits: usize| {
        let number = rest.get(1..=digits).and_then(|text| u32::from_str_radix(text, 16).ok());
        (2 + digits, number.and_then(char::from_u32).unwrap_or('\u{fffd}'))
    };
    match rest.chars().next() {
        Some('x') => hexadecimal(2),
        Some('u') => hexadecimal(4),
        Some('U') => hexadecimal(8),
        Some('n' | 't' | '\t' | 'r' | 'v' | 'f' | ' ' | 'N' | '_' | 'L' | 'P' | '\n') => (2, ' '),
        Some('0') => (2, '\0'),
        Some('a') => (2, '\u{7}'),
        Some('b') => (2, '\u{8}'),
        Some('e') => (2, '\u{1b}'),
        Some(other) => (1 + other.len_utf8(), other),
        None => (1, '\\'),
    }
}
