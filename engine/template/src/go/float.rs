//! Go's formatting of floating-point numbers: `strconv.FormatFloat`.

use watchfire_model::{format_e, format_f, format_g};

/// How many digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// As few as identify the number.
    Shortest,
    /// This many after the point, or in all for `%g`.
    Digits(usize),
}

/// Formats as `strconv.FormatFloat(value, verb, precision, 64)` does, without a plus sign.
pub(crate) fn format_float(value: f64, verb: char, precision: Precision) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = match verb {
        'e' | 'E' => exponent_form(value, precision),
        'f' | 'F' => match precision {
            Precision::Shortest => format_f(value),
            Precision::Digits(digits) => format!("{value:.digits$}"),
        },
        'x' | 'X' => hexadecimal_form(value, precision),
        'b' => binary_form(value),
        _ => general_form(value, precision),
    };
    if verb.is_uppercase() { text.to_uppercase() } else { text }
}

fn exponent_form(value: f64, precision: Precision) -> String {
    let Precision::Digits(digits) = precision else { return format_e(value) };
    let text = format!("{value:.digits$e}");
    // Rust writes `1e6`, Go `1e+06`.
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// `%g`: the shorter of `%e` and `%f`, without trailing zeros.
fn general_form(value: f64, precision: Precision) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let Precision::Digits(given) = precision else { return format_g(value) };
    let given = given.max(1);
    let text = format!("{value:.*e}", given - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let mut digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    while digits.len() > 1 && digits.ends_with('0') {
        digits.pop();
    }
    let significant = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let given = i32::try_from(given).unwrap_or(i32::MAX);
    // A number that has all its digits before the point is written out in them.
    let threshold = if given > significant && significant > exponent { significant } else { given };
    if exponent < -4 || exponent >= threshold {
        let rest = if digits.len() > 1 { format!(".{}", &digits[1..]) } else { String::new() };
        return format!("{sign}{}{rest}e{}{:02}", &digits[..1], if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

/// `%x`: `0x1.9p+03`.
fn hexadecimal_form(value: f64, precision: Precision) -> String {
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let (mut mantissa, mut exponent) = normalized(value);
    let mut digits = match precision {
        Precision::Shortest => 13,
        Precision::Digits(digits) => digits.min(13),
    };
    if let Precision::Digits(wanted) = precision
        && wanted < 13
    {
        // Round half to even at the wanted hexadecimal digit.
        let drop = (13 - wanted) * 4;
        let half = 1_u64 << (drop - 1);
        let rest = mantissa & ((1_u64 << drop) - 1);
        mantissa >>= drop;
        if rest > half || (rest == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= drop;
        if mantissa >= 1 << 53 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut fraction = format!("{:013x}", mantissa & ((1 << 52) - 1));
    if precision == Precision::Shortest {
        fraction.truncate(fraction.trim_end_matches('0').len());
        digits = fraction.len();
    }
    fraction.truncate(digits);
    if let Precision::Digits(wanted) = precision {
        fraction.push_str(&"0".repeat(wanted.saturating_sub(13)));
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let lead = u64::from(value != 0.0);
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}0x{lead}{point}{fraction}p{exponent_sign}{:02}", exponent.abs())
}

/// `%b`: mantissa and binary exponent, `4503599627370496p-52`.
fn binary_form(value: f64) -> String {
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let bits = value.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | (1 << 52), exponent - 1023 - 52) };
    format!("{sign}{mantissa}p{exponent:+}")
}

/// Mantissa with its leading one at bit 52, and the exponent of two.
fn normalized(value: f64) -> (u64, i32) {
    if value == 0.0 {
        return (0, 0);
    }
    let bits = value.to_bits();
    let exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 {
        let shift = fraction.leading_zeros() - 11;
        return (fraction << shift, -1022 - i32::try_from(shift).unwrap_or(0));
    }
    (fraction | (1 << 52), exponent - 1023)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_go() {
        use Precision::{Digits, Shortest};
        for (value, verb, precision, text) in [
            (12.5, 'g', Shortest, "12.5"),
            (1e6, 'g', Shortest, "1e+06"),
            (100_000.0, 'g', Shortest, "100000"),
            (123_456_789.0, 'g', Shortest, "1.23456789e+08"),
            (1e-5, 'g', Shortest, "1e-05"),
            (0.0001, 'g', Shortest, "0.0001"),
            (-0.0, 'g', Shortest, "-0"),
            (1234.567, 'g', Digits(4), "1235"),
            (12345.6, 'g', Digits(4), "1.235e+04"),
            (1000.0, 'g', Digits(4), "1000"),
            (0.5, 'f', Digits(0), "0"),
            (1.5, 'f', Digits(0), "2"),
            (2.5, 'f', Digits(0), "2"),
            (12.5, 'f', Digits(0), "12"),
            (0.125, 'f', Digits(2), "0.12"),
            (12.5, 'e', Digits(6), "1.250000e+01"),
            (12.5, 'x', Shortest, "0x1.9p+03"),
            (1.0, 'x', Digits(2), "0x1.00p+00"),
            (1.0, 'b', Shortest, "4503599627370496p-52"),
            (f64::NEG_INFINITY, 'g', Shortest, "-Inf"),
            (1e21, 'f', Shortest, "1000000000000000000000"),
        ] {
            assert_eq!(format_float(value, verb, precision), text, "{value:?} {verb} {precision:?}");
        }
    }
}
