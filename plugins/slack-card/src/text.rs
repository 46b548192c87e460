//! Text for Slack: escaped, and cut to a number of characters.

/// Escapes what Slack's mark-up treats as control characters.
fn escape(character: char, into: &mut String) {
    match character {
        '&' => into.push_str("&amp;"),
        '<' => into.push_str("&lt;"),
        '>' => into.push_str("&gt;"),
        other => into.push(other),
    }
}

/// `text` escaped, in at most `characters` characters. A cut shows as an ellipsis and never splits an escape.
pub(crate) fn mrkdwn(text: &str, characters: usize) -> String {
    let mut out = String::with_capacity(text.len());
    push_mrkdwn(&mut out, text, characters);
    out
}

/// As [`mrkdwn`], at the end of another text.
pub(crate) fn push_mrkdwn(out: &mut String, text: &str, characters: usize) {
    // Most texts are short and plain; a text has at most as many characters as bytes.
    if text.len() <= characters && !text.bytes().any(|byte| matches!(byte, b'&' | b'<' | b'>')) {
        out.push_str(text);
        return;
    }
    let mut used = 0;
    let mut piece = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        piece.clear();
        escape(character, &mut piece);
        let left_for_ellipsis = usize::from(rest.peek().is_some());
        if used + piece.len().min(piece.chars().count()) + left_for_ellipsis > characters {
            if used < characters {
                out.push('…');
            }
            return;
        }
        used += piece.chars().count();
        out.push_str(&piece);
    }
}

/// A link, if the address is one that Slack opens; Slack refuses the whole message for one that is too long.
pub(crate) fn is_link(address: &str) -> bool {
    watchfire_sdk::words::is_link(address) && address.chars().count() <= 3_000
}

/// Text for a part of an address, percent-encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_an_escape() {
        for (text, characters, expected) in [
            ("a<b", 10, "a&lt;b"),
            ("a<b", 6, "a&lt;b"),
            ("a<b", 5, "a…"),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("&&", 9, "&amp;…"),
            ("äöü", 3, "äöü"),
        ] {
            assert_eq!(mrkdwn(text, characters), expected, "{text} {characters}");
            assert!(mrkdwn(text, characters).chars().count() <= characters);
        }
    }

    #[test]
    fn only_web_addresses_are_links() {
        for (address, expected) in [
            ("https://example.org/a?b=c", true),
            ("javascript:alert(1)", false),
            ("http://a|b", false),
            ("", false),
            (&format!("https://{}", "x".repeat(3_000)), false),
        ] {
            assert_eq!(is_link(address), expected, "{address}");
        }
    }
}
