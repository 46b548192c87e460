//! What guests wrote, for terminals and logs.

/// A text on one line, with everything written out that a terminal would obey or that would reorder what stands beside it.
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_separator(character) || is_bidirectional(character) {
            visible.extend(character.escape_default());
        } else {
            visible.push(character);
        }
    }
    visible
}

fn is_separator(character: char) -> bool {
    matches!(character, '\u{2028}' | '\u{2029}')
}

fn is_bidirectional(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_or_begins_a_line() {
        for (text, shown) in [
            ("über 5 %", "über 5 %"),
            ("a\nERROR b\r\tc", r"a\nERROR b\r\tc"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m", r"\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m"),
            ("a\u{2028}b\u{202e}c\u{2066}d", r"a\u{2028}b\u{202e}c\u{2066}d"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }
}
