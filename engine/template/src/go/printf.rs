//! Go's formatted printing: `fmt.Sprint`, `fmt.Sprintln`, `fmt.Sprintf`.

use super::float::{Precision, format_float};
use super::quote::{is_printable, quote, quote_char};
use crate::functions::TEXT_BYTES_MAX;
use crate::value::Value;

/// Whether a text need not be printed to its end, because it is refused as it is. A value can hold another one many
/// times, so that what is printed can be far longer than what it was made of.
fn is_too_long(out: &str) -> bool {
    out.len() > TEXT_BYTES_MAX
}

/// `fmt.Sprint`: a space between operands of which neither is a string.
pub(crate) fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    let mut after_text = true;
    for (i, value) in values.iter().enumerate() {
        if is_too_long(&out) {
            break;
        }
        let is_text = value.as_text().is_some();
        if i > 0 && !is_text && !after_text {
            out.push(' ');
        }
        Format::default().value(&mut out, value, 'v', 0);
        after_text = is_text;
    }
    out
}

/// `fmt.Sprintln`: a space between all operands, a line feed after them.
pub(crate) fn sprintln(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        if is_too_long(&out) {
            break;
        }
        if i > 0 {
            out.push(' ');
        }
        Format::default().value(&mut out, value, 'v', 0);
    }
    out.push('\n');
    out
}

/// `fmt.Sprintf`
pub(crate) fn sprintf(format: &str, arguments: &[Value]) -> String {
    Formatter { rest: format, arguments, next: 0, reordered: false, good_index: true, after_index: false }.run()
}

struct Formatter<'f> {
    rest: &'f str,
    arguments: &'f [Value],
    next: usize,
    reordered: bool,
    good_index: bool,
    after_index: bool,
}

/// Widths and precisions past this are refused, as in Go.
const SIZE_MAX: i64 = 1_000_000;
/// And past this they are cut, because a template's output is bounded.
const PADDING_MAX: usize = 10_000;

impl Formatter<'_> {
    fn run(mut self) -> String {
        let mut out = String::with_capacity(self.rest.len() + 16);
        while let Some(at) = self.rest.find('%') {
            if is_too_long(&out) {
                return out;
            }
            out.push_str(&self.rest[..at]);
            self.rest = &self.rest[at + 1..];
            self.good_index = true;
            self.directive(&mut out);
        }
        out.push_str(self.rest);
        if !self.reordered && self.next < self.arguments.len() {
            out.push_str("%!(EXTRA ");
            for (i, argument) in self.arguments[self.next..].iter().enumerate() {
                if is_too_long(&out) {
                    break;
                }
                if i > 0 {
                    out.push_str(", ");
                }
                if matches!(argument, Value::Nil) {
                    out.push_str("<nil>");
                } else {
                    out.push_str(argument.type_name());
                    out.push('=');
                    Format::default().value(&mut out, argument, 'v', 0);
                }
            }
            out.push(')');
        }
        out
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn directive(&mut self, out: &mut String) {
        let mut format = Format::default();
        while let Some(c) = self.rest.chars().next() {
            match c {
                '#' => format.sharp = true,
                '0' => format.zero = true,
                '+' => format.plus = true,
                '-' => format.minus = true,
                ' ' => format.space = true,
                _ => break,
            }
            self.take();
        }
        self.index();
        if self.rest.starts_with('*') {
            self.take();
            match self.size_argument() {
                Some(width) => {
                    format.minus |= width < 0;
                    format.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
            self.after_index = false;
        } else {
            format.width = self.digits();
            if self.after_index && format.width.is_some() {
                self.good_index = false;
            }
        }
        // At the very end it is a verb, and none that there is.
        if self.rest.starts_with('.') && self.rest.len() > 1 {
            self.take();
            if self.after_index {
                self.good_index = false;
            }
            self.index();
            if self.rest.starts_with('*') {
                self.take();
                match self.size_argument() {
                    Some(precision) if precision >= 0 => format.precision = usize::try_from(precision).ok(),
                    Some(_) => format.precision = None,
                    None => out.push_str("%!(BADPREC)"),
                }
                self.after_index = false;
            } else {
                format.precision = Some(self.digits().unwrap_or(0));
            }
        }
        if !self.after_index {
            self.index();
        }
        self.after_index = false;
        format.width = format.width.map(|width| width.min(PADDING_MAX));
        format.precision = format.precision.map(|precision| precision.min(PADDING_MAX));
        let Some(verb) = self.take() else {
            out.push_str("%!(NOVERB)");
            return;
        };
        if verb == 'v' {
            // These two mean something else to `%v`: Go syntax, and the names of fields.
            format.go_syntax = std::mem::take(&mut format.sharp);
            format.names = std::mem::take(&mut format.plus);
        }
        if verb == '%' {
            out.push('%');
        } else if !self.good_index {
            out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(argument) = self.arguments.get(self.next) {
            self.next += 1;
            format.value(out, argument, verb, 0);
        } else {
            out.push_str(&format!("%!{verb}(MISSING)"));
        }
    }

    fn digits(&mut self) -> Option<usize> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let number = self.rest[..end].parse::<i64>().ok().filter(|n| *n <= SIZE_MAX);
        self.rest = &self.rest[end..];
        number.and_then(|n| usize::try_from(n).ok())
    }

    /// `[n]` before a width, precision or verb.
    fn index(&mut self) {
        if !self.rest.starts_with('[') {
            return;
        }
        self.reordered = true;
        self.after_index = true;
        let Some(close) = self.rest.find(']') else {
            self.good_index = false;
            self.rest = &self.rest[1..];
            return;
        };
        let number = self.rest[1..close].parse::<usize>().ok();
        self.rest = &self.rest[close + 1..];
        match number {
            Some(number) if (1..=self.arguments.len()).contains(&number) => self.next = number - 1,
            _ => self.good_index = false,
        }
    }

    fn size_argument(&mut self) -> Option<i64> {
        let size = self.arguments.get(self.next).and_then(Value::as_int);
        let size = size.filter(|size| (-SIZE_MAX..=SIZE_MAX).contains(size));
        self.next = (self.next + 1).min(self.arguments.len());
        size
    }
}

/// The flags of one directive.
#[derive(Clone, Copy, Debug, Default)]
struct Format {
    sharp: bool,
    zero: bool,
    plus: bool,
    minus: bool,
    space: bool,
    /// `%#v`
    go_syntax: bool,
    /// `%+v`
    names: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Format {
    fn pad(&self, out: &mut String, text: &str) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let fill = if self.zero && !self.minus { "0" } else { " " }.repeat(missing);
        if self.minus {
            out.push_str(text);
            out.push_str(&fill);
        } else {
            out.push_str(&fill);
            out.push_str(text);
        }
    }

    fn value(&self, out: &mut String, value: &Value, verb: char, depth: usize) {
        if verb == 'T' {
            return self.string(out, value.type_name(), 's');
        }
        if let Value::Nil = value {
            return match (verb, depth) {
                _ if self.go_syntax && depth > 0 => out.push_str("interface {}(nil)"),
                (_, 1..) => out.push_str("<nil>"),
                ('v', 0) => self.pad(out, "<nil>"),
                _ => self.bad_verb(out, value, verb),
            };
        }
        if verb == 'p' {
            return self.bad_verb(out, value, verb);
        }
        if matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
            && !self.go_syntax
            && let Some(text) = value.own_text()
        {
            return self.string(out, &text, verb);
        }
        match value {
            Value::Nil => {}
            Value::Bool(truth) => match verb {
                't' | 'v' => self.pad(out, if *truth { "true" } else { "false" }),
                _ => self.bad_verb(out, value, verb),
            },
            Value::Int(_) | Value::Byte(_) | Value::Duration(_) | Value::Named(_) => {
                self.integer(out, value, value.as_int().unwrap_or(0), verb);
            }
            Value::Float(number) => self.float(out, value, *number, verb),
            Value::Text(text) | Value::Safe(_, text) => match verb {
                'v' if self.go_syntax => self.string(out, text, 'q'),
                'v' | 's' | 'x' | 'X' | 'q' => self.string(out, text, verb),
                _ => self.bad_verb(out, value, verb),
            },
            Value::Time(time) if verb == 'v' => self.pad(out, &time.go_syntax()),
            Value::Time(_) => self.bad_verb(out, value, verb),
            Value::List(list) => {
                if self.go_syntax {
                    out.push_str(list.ty.name);
                }
                self.sequence(out, ["[", "{"], list.items.iter().map(|v| (None, v.clone())), ["]", "}"], verb, depth);
            }
            Value::Map(map) => {
                out.push_str(if self.go_syntax { map.ty.name } else { "map" });
                let entries = map.entries().into_iter().map(|(k, v)| (Some(Value::from(k)), v));
                self.sequence(out, ["[", "{"], entries, ["]", "}"], verb, depth);
            }
            Value::Struct(structure) => {
                if structure.is_pointer() {
                    if depth > 0 {
                        // Go prints an address here, which is different each time.
                        return out.push_str("0xc000000000");
                    }
                    out.push('&');
                }
                if self.go_syntax {
                    out.push_str(structure.ty.name.trim_start_matches('*'));
                }
                let named = self.names || self.go_syntax;
                let fields = structure.fields.iter();
                let fields = fields.map(|(name, v)| (named.then(|| Value::from(*name)), v.clone()));
                self.sequence(out, ["{", "{"], fields, ["}", "}"], verb, depth);
            }
        }
    }

    fn sequence(
        &self,
        out: &mut String,
        open: [&str; 2],
        items: impl Iterator<Item = (Option<Value>, Value)>,
        close: [&str; 2],
        verb: char,
        depth: usize,
    ) {
        let sharp = self.go_syntax;
        out.push_str(open[usize::from(sharp)]);
        for (i, (key, value)) in items.enumerate() {
            if is_too_long(out) {
                break;
            }
            if i > 0 {
                out.push_str(if sharp { ", " } else { " " });
            }
            if let Some(key) = key {
                // The names of struct fields are never formatted, keys of maps are.
                if open[0] == "{" {
                    out.push_str(key.as_text().unwrap_or(""));
                } else {
                    self.value(out, &key, verb, depth + 1);
                }
                out.push(':');
            }
            self.value(out, &value, verb, depth + 1);
        }
        out.push_str(close[usize::from(sharp)]);
    }

    fn bad_verb(&self, out: &mut String, value: &Value, verb: char) {
        out.push_str("%!");
        out.push(verb);
        out.push('(');
        if let Value::Nil = value {
            out.push_str("<nil>");
        } else {
            out.push_str(value.type_name());
            out.push('=');
            self.plain(out, value);
        }
        out.push(')');
    }

    /// `%v` inside an error, where `String` methods are not asked.
    fn plain(&self, out: &mut String, value: &Value) {
        match value {
            Value::Duration(_) | Value::Named(_) => self.integer(out, value, value.as_int().unwrap_or(0), 'v'),
            // Go shows the fields of its time here, which are of no use to anybody.
            Value::Time(time) => self.pad(out, &time.to_string()),
            value => self.value(out, value, 'v', 0),
        }
    }

    fn string(&self, out: &mut String, text: &str, verb: char) {
        let cut: String;
        let text = match self.precision {
            Some(precision) if verb != 'x' && verb != 'X' => {
                cut = text.chars().take(precision).collect();
                &cut
            }
            _ => text,
        };
        match verb {
            'q' if self.sharp && !text.contains('`') && !text.chars().any(|c| c.is_control() && c != '\t') => {
                self.pad(out, &format!("`{text}`"));
            }
            'q' => self.pad(out, &quote(text, self.plus)),
            'x' | 'X' => {
                let bytes = &text.as_bytes()[..self.precision.unwrap_or(usize::MAX).min(text.len())];
                let digits = |byte: &u8| if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
                let prefix = match (self.sharp, verb) {
                    (true, 'x') => "0x",
                    (true, _) => "0X",
                    (false, _) => "",
                };
                let parts: Vec<String> = bytes.iter().map(digits).collect();
                let text = if self.space {
                    parts.iter().map(|part| format!("{prefix}{part}")).collect::<Vec<_>>().join(" ")
                } else if parts.is_empty() {
                    String::new()
                } else {
                    format!("{prefix}{}", parts.concat())
                };
                self.pad(out, &text);
            }
            _ => self.pad(out, text),
        }
    }

    fn integer(&self, out: &mut String, value: &Value, number: i64, verb: char) {
        let magnitude = number.unsigned_abs();
        let (digits, prefix) = match verb {
            'v' if self.go_syntax && matches!(value, Value::Byte(_)) => (format!("{magnitude:x}"), "0x"),
            'd' | 'v' => (magnitude.to_string(), ""),
            'b' => (format!("{magnitude:b}"), if self.sharp { "0b" } else { "" }),
            'o' => (format!("{magnitude:o}"), if self.sharp && magnitude != 0 { "0" } else { "" }),
            'O' => (format!("{magnitude:o}"), "0o"),
            'x' => (format!("{magnitude:x}"), if self.sharp { "0x" } else { "" }),
            'X' => (format!("{magnitude:X}"), if self.sharp { "0X" } else { "" }),
            'c' => return self.pad(out, &character(number).to_string()),
            'q' => return self.pad(out, &quote_char(character(number), self.plus)),
            'U' => {
                let digits = self.precision.unwrap_or(0).max(4);
                let mut text = format!("U+{number:0digits$X}");
                if self.sharp && is_printable(character(number)) {
                    text.push_str(&format!(" '{}'", character(number)));
                }
                return Format { zero: false, ..*self }.pad(out, &text);
            }
            _ => return self.bad_verb(out, value, verb),
        };
        let sign = match (number < 0, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        if let Some(precision) = self.precision {
            let digits = if precision == 0 && number == 0 { String::new() } else { digits };
            let zeros = "0".repeat(precision.saturating_sub(digits.len()));
            let text = if digits.is_empty() { String::new() } else { format!("{sign}{prefix}{zeros}{digits}") };
            return Format { zero: false, ..*self }.pad(out, &text);
        }
        if self.zero && !self.minus {
            let zeros = "0".repeat(self.width.unwrap_or(0).saturating_sub(digits.len() + sign.len()));
            out.push_str(&format!("{sign}{prefix}{zeros}{digits}"));
            return;
        }
        self.pad(out, &format!("{sign}{prefix}{digits}"));
    }

    fn float(&self, out: &mut String, value: &Value, number: f64, verb: char) {
        let (kind, default) = match verb {
            'v' => ('g', Precision::Shortest),
            'e' | 'E' | 'f' | 'F' => (verb, Precision::Digits(6)),
            'g' | 'G' | 'x' | 'X' | 'b' => (verb, Precision::Shortest),
            _ => return self.bad_verb(out, value, verb),
        };
        let precision = self.precision.map_or(default, Precision::Digits);
        let text = format_float(number, kind, precision);
        let (negative, digits) = match text.strip_prefix(['-', '+']) {
            Some(rest) => (text.starts_with('-'), rest),
            None => (false, text.as_str()),
        };
        let pointed = self.sharp && kind != 'b' && number.is_finite();
        let digits = if pointed { with_point(digits, kind, precision) } else { digits.into() };
        let sign = match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            // Go always writes the sign of an infinity.
            _ if number == f64::INFINITY => "+",
            _ => "",
        };
        if self.zero && !self.minus && number.is_finite() {
            let zeros = "0".repeat(self.width.unwrap_or(0).saturating_sub(digits.len() + sign.len()));
            out.push_str(&format!("{sign}{zeros}{digits}"));
            return;
        }
        Format { zero: false, ..*self }.pad(out, &format!("{sign}{digits}"));
    }
}

/// `%#g` and the like: always a point, and for `%g` the trailing zeros.
fn with_point(digits: &str, kind: char, precision: Precision) -> String {
    let (mantissa, exponent) = match digits.find(['e', 'E', 'p', 'P']) {
        Some(at) if !matches!(kind, 'x' | 'X') || digits[at..].starts_with(['p', 'P']) => digits.split_at(at),
        _ => (digits, ""),
    };
    let mut mantissa = mantissa.to_owned();
    let digits = mantissa.chars().filter(char::is_ascii_digit);
    let significant = digits.skip_while(|digit| *digit == '0' && mantissa != "0").count();
    if !mantissa.contains('.') {
        mantissa.push('.');
    }
    if matches!(kind, 'g' | 'G') {
        let wanted = match precision {
            Precision::Shortest => 6,
            Precision::Digits(digits) => digits,
        };
        mantissa.push_str(&"0".repeat(wanted.saturating_sub(significant)));
    }
    mantissa + exponent
}

fn character(number: i64) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_print_as_in_go() {
        let text = |t: &str| Value::from(t);
        for (format, arguments, expected) in [
            ("%5.1f|", vec![text("42")], "%!f(string=    4)|"),
            ("%08.3f", vec![text("42")], "%!f(string=00000042)"),
            ("%d", vec![Value::Float(12.5)], "%!d(float64=12.5)"),
            ("%%", vec![Value::Float(12.5)], "%%!(EXTRA float64=12.5)"),
            ("%d %d", vec![Value::Int(1)], "1 %!d(MISSING)"),
            ("%", vec![], "%!(NOVERB)"),
            ("%[3]d", vec![Value::Int(1)], "%!d(BADINDEX)"),
            ("%[2]d %[1]d", vec![Value::Int(1), Value::Int(2)], "2 1"),
            ("%*d|%-*d|", vec![Value::Int(4), Value::Int(7), Value::Int(3), Value::Int(8)], "   7|8  |"),
            ("%.*f", vec![Value::Int(2), Value::Float(1.0)], "1.00"),
            (
                "%+d % d %05d %x %X %o %b %c %q %U",
                vec![Value::Int(65); 10],
                "+65  65 00065 41 41 101 1000001 A 'A' U+0041",
            ),
            ("%#x %#o %#q", vec![Value::Int(255), Value::Int(8), text("a")], "0xff 010 `a`"),
            ("%6.2f%%", vec![Value::Float(12.5)], " 12.50%"),
            ("%-8.2f|%+.1f|%08.3f", vec![Value::Float(12.5); 3], "12.50   |+12.5|0012.500"),
            ("%s %v %d", vec![Value::Nil; 3], "%!s(<nil>) <nil> %!d(<nil>)"),
            ("%t %v", vec![Value::Bool(true), Value::Bool(false)], "true false"),
            ("%q %v", vec![Value::texts(["a", "b"]); 2], "[\"a\" \"b\"] [a b]"),
            ("%T %T", vec![Value::texts(["a"]), Value::Int(1)], "[]string int"),
            ("%x|% x|%.2s", vec![text("hé"), text("ab"), text("héllo")], "68c3a9|61 62|hé"),
            ("%z", vec![Value::Int(3)], "%!z(int=3)"),
            ("%v %.0f", vec![Value::Float(f64::INFINITY), Value::Float(f64::NAN)], "+Inf NaN"),
            ("%08v", vec![Value::Float(f64::NEG_INFINITY)], "    -Inf"),
        ] {
            assert_eq!(sprintf(format, &arguments), expected, "{format}");
        }
    }

    #[test]
    fn print_puts_spaces_between_numbers_only() {
        let values = [Value::Int(1), Value::Int(2), "a".into(), "b".into(), Value::Int(3)];
        assert_eq!(sprint(&values), "1 2a b3".replace("a b", "ab"));
        assert_eq!(sprintln(&values), "1 2 a b 3\n");
    }
}
