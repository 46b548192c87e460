//! Regular expressions: `match` and `reReplaceAll`.

use regex::Regex;
use watchfire_model::compile_regex;

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

/// Compiles a pattern that may match anywhere; the error is Go's text.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    compile_regex(pattern).map_err(|error| format!("error parsing regexp: {error}"))
}
