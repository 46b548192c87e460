//! Cutting texts to a channel's limits, with a count of what is left out and never inside a character.

use std::borrow::Cow;

/// In what a channel counts the length of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Unicode code points.
    Chars,
    /// UTF-16 code units. Where it is not documented whether a service counts these or code points, this is the safe one.
    Utf16,
    /// UTF-8 bytes.
    Bytes,
}

impl Unit {
    /// The length of `text`.
    pub fn length(self, text: &str) -> usize {
        match self {
            Unit::Chars => text.chars().count(),
            Unit::Utf16 => text.chars().map(char::len_utf16).sum(),
            Unit::Bytes => text.len(),
        }
    }

    fn of(self, c: char) -> usize {
        match self {
            Unit::Chars => 1,
            Unit::Utf16 => c.len_utf16(),
            Unit::Bytes => c.len_utf8(),
        }
    }
}

/// At most `max` long, ending in `…` where something is left out. For headlines, where a count would be noise.
pub fn ellipsis(text: &str, max: usize, unit: Unit) -> Cow<'_, str> {
    if unit.length(text) <= max {
        return Cow::Borrowed(text);
    }
    let mark = unit.of('…');
    if max < mark {
        return Cow::Borrowed("");
    }
    Cow::Owned(format!("{}…", &text[..cut(text, max - mark, unit)]))
}

/// At most `max` long, ending in `… (N more characters)` where something is left out.
pub fn shorten(text: &str, max: usize, unit: Unit) -> Cow<'_, str> {
    let whole = unit.length(text);
    if whole <= max {
        return Cow::Borrowed(text);
    }
    // The count cannot have more digits than the whole text's length has, so room for that many is always enough.
    let widest = unit.length(&more_characters(text.chars().count()));
    if max < widest {
        return ellipsis(text, max, unit);
    }
    let kept = &text[..cut(text, max - widest, unit)];
    Cow::Owned(format!("{kept}{}", more_characters(text.chars().count() - kept.chars().count())))
}

/// HTML at most `max` long: cut outside of tags and entities, with the open elements closed behind the count.
pub fn shorten_html(text: &str, max: usize, unit: Unit) -> String {
    if unit.length(text) <= max {
        return text.to_owned();
    }
    let mut room = max;
    // Closing what is open takes room of its own, which is known only after the cut; two rounds are enough in practice,
    // and a text that needs more is sent without its markup.
    for _ in 0..8 {
        let mut kept = &text[..cut(text, room.saturating_sub(unit.length(&more_characters(text.len()))), unit)];
        for (open, close) in [('<', '>'), ('&', ';')] {
            if let Some(at) = kept.rfind(open)
                && !kept[at..].contains(close)
            {
                kept = &kept[..at];
            }
        }
        let left = text[kept.len()..].chars().count();
        let whole = format!("{kept}{}{}", more_characters(left), closing_tags(kept));
        let length = unit.length(&whole);
        if length <= max {
            return whole;
        }
        room = room.saturating_sub(length - max);
    }
    ellipsis(&text.replace(['<', '>', '&'], " "), max, unit).into_owned()
}

/// The tags that close what `html` leaves open, innermost first.
fn closing_tags(html: &str) -> String {
    let mut open: Vec<&str> = Vec::new();
    for (at, _) in html.match_indices('<') {
        let tag = html[at + 1..].split('>').next().unwrap_or("");
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or("");
        match (tag.starts_with('/'), tag.ends_with('/') || matches!(name, "br" | "hr" | "img" | "")) {
            (true, _) => {
                if let Some(last) = open.iter().rposition(|known| *known == name) {
                    open.truncate(last);
                }
            }
            (false, false) => open.push(name),
            (false, true) => {}
        }
    }
    open.iter().rev().map(|name| format!("</{name}>")).collect()
}

fn more_characters(count: usize) -> String {
    format!("… ({count} more characters)")
}

/// The largest byte index at which `text` can be cut so that no more than `max` remains and no visible character is
/// torn apart.
pub fn cut(text: &str, max: usize, unit: Unit) -> usize {
    let mut length = 0;
    let mut end = text.len();
    for (index, c) in text.char_indices() {
        length += unit.of(c);
        if length > max {
            end = index;
            break;
        }
    }
    // A cluster longer than this is not a character that anybody reads; cutting it is better than dropping everything.
    const CLUSTER_MAX: usize = 16;
    let mut candidate = end;
    for _ in 0..CLUSTER_MAX {
        if !inside_cluster(text, candidate) {
            return candidate;
        }
        match text[..candidate].char_indices().next_back() {
            Some((previous, _)) => candidate = previous,
            None => break,
        }
    }
    if inside_cluster(text, candidate) { end } else { candidate }
}

/// Whether the characters on both sides of `index` are shown as one: emoji sequences, accents, flags.
fn inside_cluster(text: &str, index: usize) -> bool {
    const JOINER: char = '\u{200d}';
    let (Some(before), Some(after)) = (text[..index].chars().next_back(), text[index..].chars().next()) else {
        return false;
    };
    let flag = |c: char| ('\u{1f1e6}'..='\u{1f1ff}').contains(&c);
    let extends = matches!(after, JOINER | '\u{300}'..='\u{36f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}');
    let odd_flags =
        flag(before) && flag(after) && text[..index].chars().rev().take_while(|c| flag(*c)).count() % 2 == 1;
    extends || before == JOINER || odd_flags || (before == '\r' && after == '\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fits_stays_and_what_does_not_says_how_much_is_missing() {
        let table = [
            ("abc", 3, Unit::Chars, "abc"),
            ("abcd", 3, Unit::Chars, "ab…"),
            ("abcd", 0, Unit::Chars, ""),
            ("👩‍👩‍👧 and more", 4, Unit::Chars, "…"),
            ("a👍🏽bcd", 3, Unit::Chars, "a…"),
            ("a👍🏽bcd", 4, Unit::Chars, "a👍🏽…"),
            ("🇩🇪🇫🇷x", 4, Unit::Chars, "🇩🇪…"),
            ("é́é́é́", 3, Unit::Chars, "é́…"),
            ("🎉🎉🎉", 4, Unit::Utf16, "🎉…"),
            ("🎉🎉🎉", 7, Unit::Bytes, "🎉…"),
        ];
        for (text, max, unit, expected) in table {
            assert_eq!(ellipsis(text, max, unit), expected, "{text} to {max} {unit:?}");
        }
        let long = "x".repeat(100);
        assert_eq!(shorten(&long, 40, Unit::Chars), format!("{}… (83 more characters)", "x".repeat(17)));
        assert_eq!(shorten(&long, 100, Unit::Chars), long);
    }

    #[test]
    fn html_is_cut_between_its_parts_and_closed() {
        let long = format!("<b>one &amp; <i>two</i> {}</b>", "x &lt; y ".repeat(20));
        for max in 30..long.len() {
            let cut = shorten_html(&long, max, Unit::Chars);
            assert!(cut.chars().count() <= max, "{max}: {cut}");
            assert_eq!(cut.matches("<b>").count(), cut.matches("</b>").count(), "{max}: {cut}");
            assert_eq!(cut.matches("<i>").count(), cut.matches("</i>").count(), "{max}: {cut}");
            assert_eq!(cut.matches('&').count(), cut.matches(';').count(), "{max}: {cut}");
        }
    }

    proptest! {
        #[test]
        fn no_text_passes_its_limit(text in "(?s)[a-z🎉👩‍👧🇩🇪é́]{0,80}", max in 0usize..120, which in 0usize..3) {
            let unit = [Unit::Chars, Unit::Utf16, Unit::Bytes][which];
            for cut in [ellipsis(&text, max, unit), shorten(&text, max, unit)] {
                prop_assert!(unit.length(&cut) <= max);
                if unit.length(&text) <= max {
                    prop_assert_eq!(&*cut, &*text);
                }
            }
        }
    }
}
