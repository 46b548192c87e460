//! Quoted texts, as Go writes and reads them.

use std::fmt::Write;

/// The text in double quotes, with the escapes of Go's `strconv.Quote`.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x80 && c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control()
                || (c.is_whitespace() && c != ' ')
                || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}') =>
            {
                let _ = if u32::from(c) > 0xffff {
                    write!(out, "\\U{:08x}", u32::from(c))
                } else {
                    write!(out, "\\u{:04x}", u32::from(c))
                };
            }
            c => match foreign_byte(c) {
                Some(byte) => {
                    let _ = write!(out, "\\x{byte:02x}");
                }
                None => out.push(c),
            },
        }
    }
    out.push('"');
    out
}

/// The content of a quoted text that the lexer accepted; escapes are resolved except between backquotes.
pub(crate) fn unquote(text: &str) -> Result<String, &'static str> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
    if text.starts_with('`') {
        return Ok(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next().ok_or("escape sequence not terminated")?;
        let (first, digits, base) = match escape {
            'a' => (7, 0, 0),
            'b' => (8, 0, 0),
            'f' => (12, 0, 0),
            'n' => (10, 0, 0),
            'r' => (13, 0, 0),
            't' => (9, 0, 0),
            'v' => (11, 0, 0),
            '0'..='7' => (escape.to_digit(8).unwrap_or(0), 2, 8),
            'x' => (0, 2, 16),
            'u' => (0, 4, 16),
            'U' => (0, 8, 16),
            other => (u32::from(other), 0, 0),
        };
        let mut code = first;
        for _ in 0..digits {
            let digit = chars.next().and_then(|c| c.to_digit(base)).ok_or("invalid escape sequence")?;
            code = code * base + digit;
        }
        // Octal and \x escapes name bytes, all others name characters.
        if digits == 2 {
            bytes.push(u8::try_from(code).map_err(|_| "invalid escape sequence")?);
        } else {
            let c = char::from_u32(code).ok_or("escape sequence is an invalid Unicode code point")?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(from_bytes(&bytes))
}

/// A byte that is no UTF-8 is carried as a character of its own, at the very end of the last private area, so that the
/// text can be printed as it was written; [`is_label_name`] refuses it.
const FOREIGN_BYTES: u32 = 0x0010_ff00;

fn from_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(FOREIGN_BYTES + u32::from(*byte))));
    }
    text
}

fn foreign_byte(c: char) -> Option<u32> {
    u32::from(c).checked_sub(FOREIGN_BYTES).filter(|byte| *byte >= 0x80)
}

/// Whether a label may have this name: anything in UTF-8 but nothing at all.
pub(crate) fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| foreign_byte(c).is_some())
}
