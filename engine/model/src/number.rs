//! Numbers as Go writes them, because Prometheus' answers, texts and label values are made of such.

/// A number in the middle between two shortest ones has sixteen digits at least, and a point.
const TIE_LENGTH_MIN: usize = 17;

/// A number as Go's `FormatFloat(value, 'f', -1, 64)` writes it: with as few digits as read back the same, of several
/// such the nearest, of two that are equally near the even one, and without an exponent.
pub fn format_f(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value).to_owned();
    }
    let text = value.to_string();
    if text.len() >= TIE_LENGTH_MIN {
        let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if is_tie(value, decimals as i32) {
            return even(value, format!("{value:.decimals$}"), text);
        }
    }
    text
}

/// A number as Go's `FormatFloat(value, 'e', -1, 64)` writes it: the same digits, with an exponent of two digits at
/// least.
pub fn format_e(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value).to_owned();
    }
    let (digits, exponent) = scientific(value);
    with_exponent(&digits, exponent)
}

/// A number as Go's `FormatFloat(value, 'g', -1, 64)` writes it: the same digits, with an exponent below 1e-4 and from
/// 1e6 on.
pub fn format_g(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value).to_owned();
    }
    if value == 0.0 || (1e-4..1e6).contains(&value.abs()) {
        return format_f(value);
    }
    let (digits, exponent) = scientific(value);
    with_exponent(&digits, exponent)
}

/// A finite number as Go writes it into JSON: with an exponent only where it would have many zeros, and none in that.
pub fn format_json(value: f64) -> String {
    if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
        format_f(value)
    } else {
        format_e(value).replace("e-0", "e-")
    }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

/// The shortest digits of a finite number with a point behind the first one, and the power of ten.
fn scientific(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return (text, 0) };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if digits.len() >= TIE_LENGTH_MIN {
        let decimals = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if is_tie(value, decimals as i32 - exponent) {
            let exact = format!("{value:.decimals$e}");
            let text = even(value, exact, text);
            return (text.split_once('e').map_or(&*text, |(digits, _)| digits).to_owned(), exponent);
        }
    }
    (digits.to_owned(), exponent)
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Whether a number lies in the middle between two numbers of so many decimals: if the least of its bits that are set
/// stands for half of the last of two to the power of the decimals. (Times ten to the decimals it is then an odd
/// number of halves, as powers of five are odd.)
fn is_tie(value: f64, decimals: i32) -> bool {
    let exponent = (value.to_bits() >> 52 & 0x7ff) as i32;
    let fraction = value.to_bits() & ((1 << 52) - 1);
    let lowest_bit = if exponent == 0 {
        fraction.trailing_zeros() as i32 - 1074
    } else {
        (fraction | 1 << 52).trailing_zeros() as i32 + exponent - 1075
    };
    lowest_bit == -decimals - 1
}

/// Of two texts that are equally near the one that was rounded to even, provided that it reads back: numbers below a
/// power of two lie closer to each other than those above it.
fn even(value: f64, even: String, other: String) -> String {
    if even.parse() == Ok(value) { even } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::excessive_precision, reason = "what lies in the middle between two numbers is written out")]
    fn numbers_are_written_as_go_writes_them() {
        // What Go 1.26 writes; the second half lies in the middle between two shortest numbers.
        for (value, f, e, g) in [
            (0.0, "0", "0e+00", "0"),
            (-0.0, "-0", "-0e+00", "-0"),
            (0.1, "0.1", "1e-01", "0.1"),
            (-2.5, "-2.5", "-2.5e+00", "-2.5"),
            (12_000.0, "12000", "1.2e+04", "12000"),
            (100_000.0, "100000", "1e+05", "100000"),
            (1e6, "1000000", "1e+06", "1e+06"),
            (123_456_789.0, "123456789", "1.23456789e+08", "1.23456789e+08"),
            (0.000_1, "0.0001", "1e-04", "0.0001"),
            (1.5e-7, "0.00000015", "1.5e-07", "1.5e-07"),
            (1.0 / 3.0, "0.3333333333333333", "3.333333333333333e-01", "0.3333333333333333"),
            (1e23, "100000000000000000000000", "1e+23", "1e+23"),
            (f64::NAN, "NaN", "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf"),
            (101_390_447_851_464.125, "101390447851464.12", "1.0139044785146412e+14", "1.0139044785146412e+14"),
            (1_125_899_906_842_624.75, "1125899906842624.8", "1.1258999068426248e+15", "1.1258999068426248e+15"),
            (669_515_006_841_119.25, "669515006841119.2", "6.695150068411192e+14", "6.695150068411192e+14"),
            (-11_736_765.352_539_062_5, "-11736765.352539062", "-1.1736765352539062e+07", "-1.1736765352539062e+07"),
            (648_773.824_707_031_25, "648773.8247070312", "6.487738247070312e+05", "648773.8247070312"),
            (71.993_438_720_703_125, "71.99343872070312", "7.199343872070312e+01", "71.99343872070312"),
            (0.003_190_040_588_378_906_25, "0.0031900405883789062", "3.1900405883789062e-03", "0.0031900405883789062"),
            // Here the even one would read back as the number below, which is nearer than the one above.
            (2f64.powi(-24), "0.00000005960464477539063", "5.960464477539063e-08", "5.960464477539063e-08"),
            (2f64.powi(-25), "0.000000029802322387695312", "2.9802322387695312e-08", "2.9802322387695312e-08"),
        ] {
            assert_eq!((&*format_f(value), &*format_e(value), &*format_g(value)), (f, e, g));
        }
        let in_json = [0.0, 0.000_01, 1.5e-7, 1e-10, 1e18, 1e21].map(format_json);
        assert_eq!(in_json, ["0", "0.00001", "1.5e-7", "1e-10", "1000000000000000000", "1e+21"]);
    }
}
