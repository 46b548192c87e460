//! Label matchers, as in selectors, routes, silences and inhibition rules.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::Regex;
use thiserror::Error;

use crate::budget::CompileError;
use crate::{Labels, MatcherBudget, MatcherBudgetError, re2};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// Whose anchoring a regular expression gets; the two differ in whether a dot matches a line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anchoring {
    /// `^(?s:...)$`, as in PromQL selectors (prometheus `model/labels/regexp.go`).
    Prometheus,
    /// `^(?:...)$`, as in Alertmanager's routes and silences (alertmanager `pkg/labels/matcher.go`).
    Alertmanager,
}

/// One condition on one label. A label that is absent is compared as the empty string.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    /// Shared, because a copy would have its own scratch memory.
    regex: Option<Arc<Regex>>,
}

/// Why a matcher cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MatcherError {
    /// Its pattern is not valid.
    #[error("invalid regular expression {value:?} for label {name:?}: {reason}")]
    Pattern {
        /// The label's name.
        name: String,
        /// The pattern as it was given.
        value: String,
        /// What is wrong with it, in Go's words.
        reason: String,
    },
    /// The request asks for too much.
    #[error(transparent)]
    Budget(#[from] MatcherBudgetError),
}

impl Matcher {
    /// Compiles the pattern where `op` needs one.
    pub fn new(
        name: impl Into<String>,
        op: MatchOp,
        value: impl Into<String>,
        anchoring: Anchoring,
    ) -> Result<Matcher, MatcherError> {
        Matcher::compiled(name.into(), op, value.into(), |pattern| {
            Ok(re2::build(&re2::translate_anchored(pattern, anchoring)?, pattern, re2::COMPILED_BYTES_MAX)?)
        })
    }

    /// The same of what a request says, which has a budget for all its matchers.
    pub fn new_within(
        name: impl Into<String>,
        op: MatchOp,
        value: impl Into<String>,
        anchoring: Anchoring,
        budget: &mut MatcherBudget,
    ) -> Result<Matcher, MatcherError> {
        budget.spend_matcher()?;
        Matcher::compiled(name.into(), op, value.into(), |pattern| {
            budget.compile(pattern, |pattern| re2::translate_anchored(pattern, anchoring))
        })
    }

    fn compiled(
        name: String,
        op: MatchOp,
        value: String,
        compile: impl FnOnce(&str) -> Result<Regex, CompileError>,
    ) -> Result<Matcher, MatcherError> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => match compile(&value) {
                Ok(regex) => Some(Arc::new(regex)),
                Err(CompileError::Budget(error)) => return Err(error.into()),
                Err(CompileError::Pattern(error)) => {
                    return Err(MatcherError::Pattern { name, value, reason: error.to_string() });
                }
            },
        };
        Ok(Matcher { name, op, value, regex })
    }

    /// `name = value`, which cannot fail.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Matcher {
        Matcher { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern as it was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label with this value (`""` for an absent one) passes.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            // Only `new` builds the last two operators, and it always compiles their pattern.
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }

    /// Whether it demands nothing of an alert: it is positive, and the empty text matches. A silence of such matchers
    /// alone would be one of everything (Alertmanager's `matchesEmpty`, which counts no negative matcher).
    pub fn demands_nothing(&self) -> bool {
        matches!(self.op, MatchOp::Equal | MatchOp::Regex) && self.matches("")
    }

    /// Whether the label of that name in `labels` passes.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.value_or_empty(&self.name))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl PartialOrd for Matcher {
    fn partial_cmp(&self, other: &Matcher) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Matcher {
    fn cmp(&self, other: &Matcher) -> std::cmp::Ordering {
        (&self.name, &self.value, self.op).cmp(&(&other.name, &other.value, other.op))
    }
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        })
    }
}

/// Whether a character can stand in a matcher between quotes alone.
pub fn is_reserved_in_matchers(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

/// As it is written in Alertmanager's syntax, so that reading it gives the same matcher.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() || self.name.contains(is_reserved_in_matchers) {
            write_quoted(f, &self.name)?;
        } else {
            f.write_str(&self.name)?;
        }
        write!(f, "{}", self.op)?;
        write_quoted(f, &self.value)
    }
}

/// In double quotes. Only what would end or change the text is escaped: readers know few escapes, and not all the same.
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_matches_a_line_feed_only_in_prometheus() {
        for (anchoring, expected) in [(Anchoring::Prometheus, true), (Anchoring::Alertmanager, false)] {
            let matcher = Matcher::new("a", MatchOp::Regex, "x.y", anchoring).unwrap();
            assert_eq!(matcher.matches("x\ny"), expected);
            assert!(!matcher.matches("xxyy"));
        }
    }

    #[test]
    fn an_absent_label_is_the_empty_string() {
        let labels = Labels::from_pairs([("a", "1")]);
        for (op, value, expected) in [
            (MatchOp::Equal, "", true),
            (MatchOp::NotEqual, "x", true),
            (MatchOp::Regex, ".*", true),
            (MatchOp::Regex, ".+", false),
            (MatchOp::NotRegex, ".+", true),
        ] {
            let matcher = Matcher::new("b", op, value, Anchoring::Prometheus).unwrap();
            assert_eq!(matcher.matches_labels(&labels), expected, "{matcher}");
        }
    }

    #[test]
    fn a_bad_pattern_is_an_error_that_names_the_label() {
        let error = Matcher::new("job", MatchOp::Regex, "(", Anchoring::Alertmanager).unwrap_err();
        assert!(error.to_string().starts_with("invalid regular expression \"(\" for label \"job\""), "{error}");
    }
}
