//! Escaping for HTML, JavaScript and query strings, as Go's text/template does it.

/// `template.HTMLEscapeString`
pub(crate) fn html_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// `template.JSEscapeString`
pub(crate) fn js_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if c.is_ascii() || crate::go::is_printable(c) => out.push(c),
            c => out.push_str(&format!("\\u{:04X}", c as u32)),
        }
    }
    out
}

/// `url.QueryEscape`
pub(crate) fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `url.QueryUnescape`
pub(crate) fn query_unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let code = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let byte = code.filter(|c| c.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(byte) = byte.and_then(|c| u8::from_str_radix(c, 16).ok()) else {
                    let shown = String::from_utf8_lossy(&rest[..rest.len().min(2)]).into_owned();
                    return Err(format!("invalid URL escape {:?}", format!("%{shown}")));
                };
                bytes.push(byte);
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings_go_there_and_back() {
        assert_eq!(query_escape("rate(x[5m]) > 0 é"), "rate%28x%5B5m%5D%29+%3E+0+%C3%A9");
        assert_eq!(query_unescape("rate%28x%5B5m%5D%29+%3E+0+%C3%A9").unwrap(), "rate(x[5m]) > 0 é");
        assert_eq!(query_unescape("a%zz").unwrap_err(), "invalid URL escape \"%zz\"");
        assert_eq!(query_unescape("a%").unwrap_err(), "invalid URL escape \"%\"");
    }

    #[test]
    fn html_and_javascript() {
        assert_eq!(html_escape("<a href='x'>&\"\0"), "&lt;a href=&#39;x&#39;&gt;&amp;&#34;\u{fffd}");
        assert_eq!(js_escape("a'b</script>\n"), "a\\'b\\u003C/script\\u003E\\u000A");
    }
}
