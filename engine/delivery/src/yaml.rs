//! The value that a rendered text spells. Alertmanager reads what templates make of payloads, details and fields as YAML 1.1,
//! so that they can make lists, mappings and numbers; a text that is none of these, or no YAML, stays as it is.

use serde_json::{Map, Number, Value};
use watchfire_config::Source;
use watchfire_config::document::{Decoder, Kind, Node, Style};

/// What a text spells; an empty one is nothing.
///
/// Alertmanager loses what this keeps as text: a text like `#alerts`, which is but a comment, what follows a list as in
/// `[FIRING:2] Disk`, and all but the last of a key's values in a text that names it again, as its lists of alerts do.
pub(crate) fn value(text: String) -> Value {
    if text.trim().is_empty() {
        return Value::Null;
    }
    // A tag or an anchor, which are lost when it is read: `!!str 5` is a text.
    if text.trim_start().starts_with(['!', '&']) {
        return text.into();
    }
    // Most of what templates make is JSON.
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(&text)
    {
        return value;
    }
    match spelled(&text) {
        Some(Value::String(_)) | None => text.into(),
        Some(value) => value,
    }
}

fn spelled(text: &str) -> Option<Value> {
    let mut decoder = Decoder::new(Source { name: "", text }, None);
    let root = decoder.parse()?;
    let is_yaml = !decoder.diagnostics.iter().any(|diagnostic| diagnostic.is_error());
    let rest = text.get(root.end..).unwrap_or_default().trim();
    (is_yaml && (rest.is_empty() || rest.starts_with('#'))).then(|| of_node(text, &root))
}

fn of_node(text: &str, node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar { text, style: Style::Plain } => of_plain(text),
        Kind::Scalar { text, .. } => text.as_str().into(),
        Kind::Sequence(items) => items.iter().map(|item| of_node(text, item)).collect(),
        Kind::Mapping(entries) => {
            // JSON knows no other keys than texts; Alertmanager leaves the others out.
            let is_text = |key: &str, at: usize| text[at..].starts_with(['"', '\'']) || of_plain(key).is_string();
            let entries = entries.iter().filter(|entry| is_text(&entry.key, entry.key_start));
            Value::Object(entries.map(|entry| (entry.key.clone(), of_node(text, &entry.value))).collect::<Map<_, _>>())
        }
    }
}

/// What a word without quotes means.
fn of_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return false.into(),
        _ => {}
    }
    let number = match text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')) {
        true => {
            let digits = text.replace('_', "");
            whole(&digits).or_else(|| fraction(&digits))
        }
        false if text.starts_with('.') => fraction(text),
        false => None,
    };
    number.map_or_else(|| text.into(), Value::Number)
}

/// A whole number: decimal, or with the prefixes of Go for another base, of which a leading zero is one.
fn whole(text: &str) -> Option<Number> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixes = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8), ("0", 8)];
    let prefixed = prefixes.into_iter().find_map(|(prefix, base)| {
        let digits = rest.strip_prefix(prefix).filter(|digits| !digits.is_empty())?;
        Some((digits, base))
    });
    let (digits, base) = prefixed.unwrap_or((rest, 10));
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let amount = u64::from_str_radix(digits, base).ok()?;
    match (negative, i64::try_from(amount)) {
        (false, _) => Some(amount.into()),
        (true, Ok(amount)) => Some((-amount).into()),
        (true, Err(_)) if amount == i64::MIN.unsigned_abs() => Some(i64::MIN.into()),
        (true, Err(_)) => None,
    }
}

/// Any other number. One without a fraction is written without a point, as Go writes it.
fn fraction(text: &str) -> Option<Number> {
    // What Rust reads beside these are words such as `infinity`.
    let is_spelled = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number: f64 = text.parse().ok().filter(|_| is_spelled)?;
    let is_whole = number.fract() == 0.0 && number.abs() < 9e15;
    if is_whole { Some((number as i64).into()) } else { Number::from_f64(number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What Alertmanager 0.34 makes of the same texts, but for the last ones.
    #[test]
    fn a_text_is_what_it_spells() {
        for (text, expected) in [
            ("", json!(null)),
            (" \n", json!(null)),
            ("~", json!(null)),
            ("null", json!(null)),
            ("yes", json!(true)),
            ("off", json!(false)),
            ("True", json!(true)),
            ("5", json!(5)),
            ("+5", json!(5)),
            ("-7", json!(-7)),
            ("1_000", json!(1000)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("010", json!(8)),
            ("08", json!(8)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000)),
            ("2.0", json!(2)),
            ("1.2.3", json!("1.2.3")),
            ("-", json!([null])),
            ("2026-01-01", json!("2026-01-01")),
            ("disk is full", json!("disk is full")),
            ("'quoted'", json!("'quoted'")),
            ("http://a:9090/x", json!("http://a:9090/x")),
            ("[1, two, 'three']", json!([1, "two", "three"])),
            ("[\"1\",\"a:\"]", json!(["1", "a:"])),
            ("a: 123", json!({"a": 123})),
            ("a: {b: [yes]}", json!({"a": {"b": [true]}})),
            ("1: dropped\n'2': kept\nyes: dropped\na:", json!({"2": "kept", "a": null})),
            ("- a\n- b: c", json!(["a", {"b": "c"}])),
            ("a: b: c", json!("a: b: c")),
            ("{not json", json!("{not json")),
            ("*nobody", json!("*nobody")),
            ("100%", json!("100%")),
            ("!!str 5", json!("!!str 5")),
            ("x # y", json!("x # y")),
            ("5 # y", json!(5)),
            ("[a] # y", json!(["a"])),
            ("---\na: b\n", json!({"a": "b"})),
            ("a:b", json!("a:b")),
            ("0o17", json!(15)),
            ("-0x10", json!(-16)),
            ("1.", json!(1)),
            ("--1", json!("--1")),
            ("5:30", json!("5:30")),
            ("key: |\n  x\n  y\n", json!({"key": "x\ny\n"})),
            ("@all", json!("@all")),
            // These it would lose, or could not send.
            ("#alerts", json!("#alerts")),
            ("[FIRING:2] Disk", json!("[FIRING:2] Disk")),
            ("a: 1\n---\nb: 2\n", json!("a: 1\n---\nb: 2\n")),
            ("Labels:\n - a = 1\nLabels:\n - a = 2\n", json!("Labels:\n - a = 1\nLabels:\n - a = 2\n")),
            (".inf", json!(".inf")),
        ] {
            assert_eq!(value(text.to_owned()), expected, "{text:?}");
        }
    }
}
