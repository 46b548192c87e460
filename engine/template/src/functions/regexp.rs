//! Regular expressions: `match` and `reReplaceAll`.

use regex::Regex;
use watchfire_model::compile_regex;

use super::{Function, Param, TEXT_BYTES_MAX, text, too_long};
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
            replace_all(regex, text(a, 2), text(a, 1)).map(Value::from)
        },
    },
];

/// Puts the replacement in the place of each match; `$1` and the like in it stand for what groups have matched.
fn replace_all(regex: &Regex, text: &str, replacement: &str) -> Result<String, String> {
    let references = replacement.matches('$').count();
    let (mut out, mut end) = (String::with_capacity(text.len()), 0);
    for captures in regex.captures_iter(text) {
        let whole = captures.get_match();
        let longest = replacement.len().saturating_add(references.saturating_mul(whole.len()));
        if out.len().saturating_add(longest) > TEXT_BYTES_MAX {
            return Err(too_long());
        }
        out.push_str(&text[end..whole.start()]);
        captures.expand(replacement, &mut out);
        end = whole.end();
    }
    out.push_str(&text[end..]);
    Ok(out)
}

/// Compiles a pattern that may match anywhere; the error is Go's text.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    compile_regex(pattern).map_err(|error| format!("error parsing regexp: {error}"))
}
