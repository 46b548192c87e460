//! Go's quoting of strings: `strconv.Quote`, `strconv.Unquote` and their rules of what is printable.

/// Reads a quoted string, raw string or character, as `strconv.Unquote` does; `None` if the syntax is wrong.
pub(crate) fn unquote(quoted: &str) -> Option<String> {
    let mut chars = quoted.chars();
    let quote = chars.next()?;
    let inner = quoted.get(quote.len_utf8()..quoted.len().checked_sub(1)?)?;
    if !quoted.ends_with(quote) {
        return None;
    }
    match quote {
        '`' => (!inner.contains('`')).then(|| inner.replace('\r', "")),
        '"' => {
            let mut bytes = Vec::with_capacity(inner.len());
            let mut rest = inner;
            while !rest.is_empty() {
                if rest.starts_with(['"', '\n']) {
                    return None;
                }
                let (unit, tail) = unquote_unit(rest, '"')?;
                unit.push_to(&mut bytes);
                rest = tail;
            }
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => None,
    }
}

/// Reads a character constant with its quotes; the error is Go's text.
pub(crate) fn unquote_char_constant(text: &str) -> Result<i64, String> {
    let (unit, tail) = unquote_unit(&text[1..], '\'').ok_or("invalid syntax")?;
    if tail != "'" {
        return Err(format!("malformed character constant: {text}"));
    }
    Ok(match unit {
        Unit::Byte(byte) => i64::from(byte),
        Unit::Char(c) => i64::from(u32::from(c)),
    })
}

enum Unit {
    Byte(u8),
    Char(char),
}

impl Unit {
    fn push_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Unit::Byte(byte) => bytes.push(*byte),
            Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// One character or escape at the start of `text`, and what follows it.
fn unquote_unit(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == quote {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Char(first), chars.as_str()));
    }
    let kind = chars.next()?;
    let rest = chars.as_str();
    let hex = |digits: usize| {
        let number = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
        Some((number, &rest[digits..]))
    };
    let simple = match kind {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        '\'' | '"' if kind == quote => kind,
        'x' => return hex(2).map(|(number, tail)| (Unit::Byte(number as u8), tail)),
        'u' => return hex(4).and_then(|(number, tail)| Some((Unit::Char(char::from_u32(number)?), tail))),
        'U' => return hex(8).and_then(|(number, tail)| Some((Unit::Char(char::from_u32(number)?), tail))),
        '0'..='7' => {
            let digits = text.get(1..4)?;
            let number = u32::from_str_radix(digits, 8).ok().filter(|n| *n <= 255)?;
            return Some((Unit::Byte(number as u8), &text[4..]));
        }
        _ => return None,
    };
    Some((Unit::Char(simple), rest))
}

/// `strconv.Quote`, or `strconv.QuoteToASCII` if `ascii`.
pub(crate) fn quote(text: &str, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        push_escaped(&mut out, c, '"', ascii);
    }
    out.push('"');
    out
}

/// `strconv.QuoteRune`.
pub(crate) fn quote_char(c: char, ascii: bool) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c, '\'', ascii);
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, c: char, quote: char, ascii: bool) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if is_printable(c) && (!ascii || c.is_ascii()) => out.push(c),
        c if (c as u32) < 0x80 => out.push_str(&format!("\\x{:02x}", c as u32)),
        c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
        c => out.push_str(&format!("\\U{:08x}", c as u32)),
    }
}

/// Close to Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(crate) fn is_printable(c: char) -> bool {
    if c == ' ' {
        return true;
    }
    // What Rust's `Debug` escapes is what is unassigned, private, a control or a separator.
    !c.is_control() && !c.is_whitespace() && (c == '\'' || c == '"' || c == '\\' || c.escape_debug().count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_read_as_in_go() {
        for (quoted, text) in [
            (r#""a""#, Some("a")),
            (r#""a\n\t\"\\""#, Some("a\n\t\"\\")),
            (r#""\u00e9\x41\101""#, Some("éAA")),
            ("`raw\\n`", Some("raw\\n")),
            (r#""\q""#, None),
            (r#""\'""#, None),
            (r#""\400""#, None),
        ] {
            assert_eq!(unquote(quoted).as_deref(), text, "{quoted}");
        }
        assert_eq!(unquote_char_constant("'a'"), Ok(97));
        assert_eq!(unquote_char_constant(r"'\n'"), Ok(10));
        assert!(unquote_char_constant("'ab'").is_err());
    }

    #[test]
    fn quoting_escapes_what_go_escapes() {
        assert_eq!(quote("a\"b\\\n\u{1}é\u{200b}", false), "\"a\\\"b\\\\\\n\\x01é\\u200b\"");
        assert_eq!(quote("é", true), "\"\\u00e9\"");
        assert_eq!(quote_char('\'', false), "'\\''");
    }
}
