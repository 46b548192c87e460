//! Regular expressions in RE2's syntax, as Prometheus, Alertmanager and Go's templates take them.
//!
//! A pattern is read by the rules of Go's `regexp/syntax` (<https://github.com/google/re2/wiki/Syntax>) and written down
//! again for the library that runs it. The two syntaxes look alike and differ in much: here `\d`, `\w`, `\s` and `\b`
//! know ASCII only, `{` is a character where it repeats nothing, classes have no operators, and what RE2 refuses is
//! refused with Go's words. One thing is not the same: `\B` sees letters outside ASCII as letters.

mod class;
mod parse;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// The largest compiled pattern in bytes, because patterns come from users.
const COMPILED_BYTES_MAX: usize = 32 << 20;
/// How deep groups may be nested, as in Go.
const DEPTH_MAX: usize = 1_000;

/// Why a pattern is refused, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem}: `{fragment}`")]
pub struct RegexError {
    /// What is wrong.
    pub problem: &'static str,
    /// The part of the pattern that is.
    pub fragment: String,
}

impl RegexError {
    fn new(problem: &'static str, fragment: &str) -> RegexError {
        RegexError { problem, fragment: fragment.to_owned() }
    }
}

/// Compiles a pattern that may match anywhere in a text.
///
/// # Errors
/// If it is not valid in RE2's syntax, or too large.
pub fn compile_regex(pattern: &str) -> Result<Regex, RegexError> {
    build(&parse::translate(pattern)?, pattern)
}

/// Compiles a pattern that has to match a whole text in which a dot matches everything, as PromQL's matchers do
/// (prometheus `model/labels/regexp.go`: the pattern is read by itself and anchored afterwards).
pub(crate) fn compile_anchored(pattern: &str) -> Result<Regex, RegexError> {
    build(&format!("^(?s:{})$", parse::translate(pattern)?), pattern)
}

fn build(translated: &str, pattern: &str) -> Result<Regex, RegexError> {
    RegexBuilder::new(translated)
        .size_limit(COMPILED_BYTES_MAX)
        .nest_limit(u32::try_from(2 * DEPTH_MAX).unwrap_or(u32::MAX))
        .build()
        .map_err(|_| RegexError::new("expression too large", pattern))
}

#[cfg(test)]
mod tests;
