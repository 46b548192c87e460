//! Regular expressions: `match` and `reReplaceAll`.

use regex::{Regex, RegexBuilder};

use super::{Function, Param, text};
use crate::value::Value;

const TWO: &[Param] = &[Param::Text, Param::Text];
const THREE: &[Param] = &[Param::Text, Param::Text, Param::Text];

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "match",
        params: TWO,
        variadic: false,
        call: |context, a| Ok(Value::Bool(context.regex(text(a, 0))?.is_match(text(a, 1)))),
    },
    Function {
        name: "reReplaceAll",
        params: THREE,
        variadic: false,
        call: |context, a| {
            let pattern = text(a, 0);
            // Go panics here and the panic's text names the pattern.
            let regex = context.regex(pattern).map_err(|error| format!("regexp: Compile(`{pattern}`): {error}"))?;
            Ok(regex.replace_all(text(a, 2), text(a, 1)).into_owned().into())
        },
    },
];

/// Largest compiled pattern, because patterns come from users.
const SIZE_MAX: usize = 1 << 20;

/// Compiles a pattern; the error is Go's text where the same mistake is known.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(SIZE_MAX).build().map_err(|error| explain(pattern, &error.to_string()))
}

fn explain(pattern: &str, error: &str) -> String {
    let reason = error.lines().last().unwrap_or(error).trim_start_matches("error: ");
    let known = if reason.starts_with("unclosed character class") {
        let open = pattern.rfind('[').unwrap_or(0);
        format!("missing closing ]: `{}`", &pattern[open..])
    } else if reason.starts_with("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if reason.starts_with("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if reason.starts_with("repetition operator missing expression") {
        let operator: String = pattern.chars().filter(|c| "*+?".contains(*c)).take(1).collect();
        format!("missing argument to repetition operator: `{operator}`")
    } else if reason.starts_with("look-around") {
        "invalid or unsupported Perl syntax: `(?`".to_owned()
    } else {
        format!("{reason}: `{pattern}`")
    };
    format!("error parsing regexp: {known}")
}
