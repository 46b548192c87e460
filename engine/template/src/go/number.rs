//! Reads the number constants of templates: Go's literals in all their forms.

use super::lexer::Kind;
use super::node::Number;
use super::quote::{quote, unquote_char_constant};

/// The number that a token spells, under every type that can hold it; the text is left to the caller.
pub(crate) fn parse_number(text: &str, kind: Kind) -> Result<Number, String> {
    if kind == Kind::CharConstant {
        let code = unquote_char_constant(text)?;
        return Ok(Number { int: Some(code), unsigned: true, float: Some(code as f64), ..Number::default() });
    }
    if kind == Kind::Complex || text.ends_with('i') {
        // Complex constants are of no use to any function here; only a zero imaginary part makes a number.
        return Ok(Number { complex: true, ..Number::default() });
    }
    let mut number = Number::default();
    let integer = parse_integer(text);
    if let Some(value) = integer {
        number.int = i64::try_from(value).ok();
        number.unsigned = u64::try_from(value).is_ok();
        if number.int.is_some() || number.unsigned {
            number.float = Some(value as f64);
        }
    }
    if number.float.is_none() {
        if let Some(value) = parse_float(text) {
            // What reads as a float but looks like an integer is too large for an integer.
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote(text, false)));
            }
            number.float = Some(value);
            if value == value.trunc() && (-9.3e18..9.2e18).contains(&value) {
                number.int = Some(value as i64);
            }
            number.unsigned = value == value.trunc() && (0.0..1.8e19).contains(&value);
        } else {
            return Err(format!("illegal number syntax: {}", quote(text, false)));
        }
    }
    Ok(number)
}

/// An integer literal with its base prefix, sign and underscores.
fn parse_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.starts_with('+') || digits.starts_with('-') || digits.contains("__") || digits.ends_with('_') {
        return None;
    }
    let value = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -value } else { value })
}

/// A float literal, also in hexadecimal form with a binary exponent.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = unsigned.to_ascii_lowercase();
    if let Some(hexadecimal) = lower.strip_prefix("0x") {
        let (mantissa, exponent) = hexadecimal.split_once('p')?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}").replace('_', "");
        let value = u64::from_str_radix(&digits, 16).ok()? as f64;
        let exponent: i32 = exponent.parse().ok()?;
        let places = i32::try_from(fraction.len()).ok()?;
        return Some(sign * value * 2f64.powi(exponent - 4 * places));
    }
    // Rust reads `inf`, `nan` and `1.` too; the lexer lets only digits through.
    if !lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') || lower.ends_with('_') || lower.contains("__") {
        return None;
    }
    lower.replace('_', "").parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_every_base_read_as_in_go() {
        for (text, int, float) in [
            ("1", Some(1), Some(1.0)),
            ("-7", Some(-7), Some(-7.0)),
            ("0x10", Some(16), Some(16.0)),
            ("0b101", Some(5), Some(5.0)),
            ("0o17", Some(15), Some(15.0)),
            ("017", Some(15), Some(15.0)),
            ("1_000", Some(1000), Some(1000.0)),
            ("1e3", Some(1000), Some(1000.0)),
            ("1.5", None, Some(1.5)),
            ("0x1p4", Some(16), Some(16.0)),
            ("1e21", None, Some(1e21)),
        ] {
            let number = parse_number(text, Kind::Number).unwrap();
            assert_eq!((number.int, number.float), (int, float), "{text}");
        }
        for text in ["0x", "1__0", "0b2", "99999999999999999999"] {
            assert!(parse_number(text, Kind::Number).is_err(), "{text}");
        }
    }
}
