//! Numbers as they are written in a query.

/// A number as Go's `ParseInt` with base 0 and then `ParseFloat` read it: `0x1f`, `0b11`, `017`, `1_000`, `1e3`, `Inf`.
pub(super) fn number(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "inf" => return Some(f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let digits = |text: &str, radix: u32| {
        let grouped = !text.starts_with('_') || radix != 10;
        let clean: String = text.chars().filter(|c| *c != '_').collect();
        (grouped && !text.ends_with('_') && !text.contains("__"))
            .then(|| i64::from_str_radix(&clean, radix).ok())
            .flatten()
    };
    let integer = match lower.as_bytes() {
        [b'0', b'x', ..] => digits(&lower[2..], 16),
        [b'0', b'b', ..] => digits(&lower[2..], 2),
        [b'0', b'o', ..] => digits(&lower[2..], 8),
        [b'0', _, ..] => digits(&lower[1..], 8),
        _ => digits(&lower, 10),
    };
    if let Some(integer) = integer {
        return Some(integer as f64);
    }
    lower
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'))
        .then(|| lower.parse().ok())
        .flatten()
}
