//! Classes: `[a-z]`, `[[:alpha:]]`, `\d`, `\p{Greek}`.

use std::fmt::Write;

use super::RegexError;
use super::parse::escape;

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// The general categories that have names.
const CATEGORIES: [&str; 37] = [
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P",
    "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "Any",
];

/// Scripts whose names have four letters; other names of that length are abbreviations, which Go does not know.
const SHORT_SCRIPTS: [&str; 9] = ["Ahom", "Cham", "Kawi", "Lisu", "Miao", "Modi", "Newa", "Thai", "Toto"];

/// `[...]` in the library's syntax, and what follows.
pub(super) fn bracketed(rest: &str) -> Result<(String, &str), RegexError> {
    let mut class = "[".to_owned();
    let mut left = &rest[1..];
    if let Some(after) = left.strip_prefix('^') {
        class.push('^');
        left = after;
    }
    let mut first = true;
    while first || !left.starts_with(']') {
        first = false;
        if let Some((set, after)) = posix(left)? {
            class.push_str(&set);
            left = after;
            continue;
        }
        if let Some((set, after)) = named(left)? {
            class.push_str(&set);
            left = after;
            continue;
        }
        let begin = left;
        let (low, after) = character(left, rest)?;
        let (mut high, mut after) = (low, after);
        if let Some(range) = after.strip_prefix('-').filter(|range| !range.starts_with(']') && !range.is_empty()) {
            (high, after) = character(range, rest)?;
            if high < low {
                let fragment = &begin[..begin.len() - after.len()];
                return Err(RegexError::new("invalid character class range", fragment));
            }
        }
        range(&mut class, low, high);
        left = after;
    }
    class.push(']');
    Ok((class, &left[1..]))
}

/// Adds a range to a class, without the surrogates, which no text contains.
fn range(class: &mut String, low: u32, high: u32) {
    let low = if (0xd800..0xe000).contains(&low) { 0xe000 } else { low };
    let high = if (0xd800..0xe000).contains(&high) { 0xd7ff } else { high };
    if low <= high {
        // Writing to a string does not fail.
        let _ = write!(class, r"\x{{{low:x}}}-\x{{{high:x}}}");
    }
}

/// One character of a class.
fn character<'p>(left: &'p str, whole: &str) -> Result<(u32, &'p str), RegexError> {
    match left.chars().next() {
        None => Err(RegexError::new("missing closing ]", whole)),
        Some('\\') => escape(left),
        Some(c) => Ok((u32::from(c), &left[c.len_utf8()..])),
    }
}

/// `[:name:]` inside of a class.
fn posix(left: &str) -> Result<Option<(String, &str)>, RegexError> {
    let Some(inside) = left.strip_prefix("[:") else { return Ok(None) };
    let Some((name, after)) = inside.split_once(":]") else { return Ok(None) };
    if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(RegexError::new("invalid character class range", &left[..left.len() - after.len()]));
    }
    Ok(Some((format!("[[:{name}:]]"), after)))
}

/// `\d`, `\pL` and their like, as an element of a class.
pub(super) fn named(left: &str) -> Result<Option<(String, &str)>, RegexError> {
    let perl = match left.as_bytes() {
        [b'\\', b'd', ..] => "0-9",
        [b'\\', b's', ..] => r"\t\n\x0c\r\x20",
        [b'\\', b'w', ..] => "0-9A-Za-z_",
        [b'\\', b'D', ..] => "[^0-9]",
        [b'\\', b'S', ..] => r"[^\t\n\x0c\r\x20]",
        [b'\\', b'W', ..] => "[^0-9A-Za-z_]",
        [b'\\', b'p' | b'P', ..] => return unicode(left).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((perl.to_owned(), &left[2..])))
}

fn unicode(left: &str) -> Result<(String, &str), RegexError> {
    let mut negative = left.starts_with(r"\P");
    let body = &left[2..];
    let (name, after) = match body.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or_else(|| RegexError::new("invalid character class range", left))?,
        None => {
            let length = body.chars().next().map_or(0, char::len_utf8);
            body.split_at(length)
        }
    };
    let unknown = || RegexError::new("invalid character class range", &left[..left.len() - after.len()]);
    let plain = name.strip_prefix('^').unwrap_or(name);
    negative ^= plain.len() < name.len();
    let class = match plain {
        "Any" => r"\x00-\x{10ffff}".to_owned(),
        script if is_script(script) => format!(r"\p{{Script={script}}}"),
        category if is_category(category) => format!(r"\p{{{category}}}"),
        _ => return Err(unknown()),
    };
    Ok((if negative { format!("[^{class}]") } else { class }, after))
}

/// Whether this is the name of a general category, such as `L` or, in newer versions of Go, `Letter`.
fn is_category(name: &str) -> bool {
    CATEGORIES.contains(&name) || regex::Regex::new(&format!(r"\p{{General_Category={name}}}")).is_ok()
}

/// Whether this is the name of a script as Unicode writes it, such as `Greek` or `Old_Italic`.
fn is_script(name: &str) -> bool {
    let word = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase());
    let shape = name.split('_').all(word) && name.bytes().all(|b| b == b'_' || b.is_ascii_alphabetic());
    let long = name.len() != 4 || SHORT_SCRIPTS.contains(&name);
    shape && long && regex::Regex::new(&format!(r"\p{{Script={name}}}")).is_ok()
}
