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

use crate::Anchoring;

/// The largest compiled pattern in bytes. What anybody may send has narrower bounds: [`crate::MatcherBudget`].
pub(crate) const COMPILED_BYTES_MAX: usize = 32 << 20;
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
    build(&parse::translate(pattern)?, pattern, COMPILED_BYTES_MAX)
}

/// Writes a pattern down for the library, so that it has to match a whole text: of PromQL's matchers, where the pattern
/// is read by itself and a dot matches everything (prometheus `model/labels/regexp.go`), or of Alertmanager's.
pub(crate) fn translate_anchored(pattern: &str, anchoring: Anchoring) -> Result<String, RegexError> {
    match anchoring {
        Anchoring::Prometheus => Ok(format!("^(?s:{})$", parse::translate(pattern)?)),
        Anchoring::Alertmanager => parse::translate(&format!("^(?:{pattern})$")),
    }
}

/// Compiles what was written down for the library, where that takes no more than so many bytes.
pub(crate) fn build(translated: &str, pattern: &str, compiled_bytes_max: usize) -> Result<Regex, RegexError> {
    RegexBuilder::new(translated)
        .size_limit(compiled_bytes_max)
        .nest_limit(u32::try_from(2 * DEPTH_MAX).unwrap_or(u32::MAX))
        .build()
        .map_err(|_| RegexError::new("expression too large", pattern))
}

#[cfg(test)]
mod tests;
