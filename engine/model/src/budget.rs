//! What the matchers of a request may take.

use regex::Regex;
use thiserror::Error;

use crate::re2::{self, RegexError};

/// What a pattern takes at least, in bytes and for each of its own bytes. It is compiled with this bound first, then with
/// eight times as much, until it fits: what it takes is known only to this degree.
const LEAST: usize = 32 << 10;
const LEAST_PER_BYTE: usize = 64;
const STEP: usize = 8;

/// What is left for the matchers of one request or one silence. Anybody may send such, and a short pattern can become
/// large: `(\pL{50}){20}` is some megabytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatcherBudget {
    matchers: usize,
    pattern_bytes: usize,
    compiled_bytes: usize,
    exceeded: bool,
}

/// What of a budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MatcherBudgetError {
    /// Too many matchers.
    #[error("more than 1,000 matchers in one request")]
    Matchers,
    /// Too much text of patterns.
    #[error("the regular expressions of one request are longer than 1 MiB")]
    Length,
    /// They become too large.
    #[error("the regular expressions of one request take too much memory; write fewer repetitions and classes")]
    Memory,
}

impl MatcherBudget {
    /// Of a request: 1,000 matchers, whose patterns are 1 MiB long and take 32 MiB while it runs.
    pub const fn of_request() -> MatcherBudget {
        MatcherBudget { matchers: 1_000, pattern_bytes: 1 << 20, compiled_bytes: 32 << 20, exceeded: false }
    }

    /// Of a silence, which is kept: its patterns take 2 MiB.
    pub const fn of_silence() -> MatcherBudget {
        MatcherBudget { compiled_bytes: 2 << 20, ..MatcherBudget::of_request() }
    }

    /// Whether more was asked for than there was.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    fn exceeded(&mut self, error: MatcherBudgetError) -> MatcherBudgetError {
        self.exceeded = true;
        error
    }

    /// Takes one matcher off it.
    pub(crate) fn spend_matcher(&mut self) -> Result<(), MatcherBudgetError> {
        let left = self.matchers.checked_sub(1);
        self.matchers = left.ok_or_else(|| self.exceeded(MatcherBudgetError::Matchers))?;
        Ok(())
    }

    /// Compiles a pattern, of which nothing is done before its length is paid for.
    pub(crate) fn compile(
        &mut self,
        pattern: &str,
        translate: impl FnOnce(&str) -> Result<String, RegexError>,
    ) -> Result<Regex, CompileError> {
        let left = self.pattern_bytes.checked_sub(pattern.len());
        self.pattern_bytes = left.ok_or_else(|| self.exceeded(MatcherBudgetError::Length))?;
        let translated = translate(pattern)?;
        let mut bytes_max = LEAST.max(LEAST_PER_BYTE * pattern.len());
        loop {
            let bytes = bytes_max.min(self.compiled_bytes);
            if let Ok(regex) = re2::build(&translated, pattern, bytes) {
                self.compiled_bytes -= bytes;
                return Ok(regex);
            }
            if bytes < bytes_max {
                return Err(self.exceeded(MatcherBudgetError::Memory).into());
            }
            bytes_max *= STEP;
        }
    }
}

/// Why a pattern is not compiled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CompileError {
    #[error(transparent)]
    Pattern(#[from] RegexError),
    #[error(transparent)]
    Budget(#[from] MatcherBudgetError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Anchoring, MatchOp, Matcher, MatcherError};

    /// How many matchers of one pattern a budget pays for, and what is used up then.
    fn paid(mut budget: MatcherBudget, op: MatchOp, pattern: &str) -> (usize, MatcherBudgetError) {
        let mut matchers = Vec::new();
        loop {
            match Matcher::new_within("a", op, pattern, Anchoring::Alertmanager, &mut budget) {
                Ok(matcher) => matchers.push(matcher),
                Err(MatcherError::Budget(error)) => return (matchers.len(), error),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn what_a_request_may_ask_for_is_bounded_in_each_way() {
        use MatcherBudgetError::{Length, Matchers, Memory};
        let request = MatcherBudget::of_request;
        let pods = (0..500).map(|n| format!("checkout-{n:x}-7d9f")).collect::<Vec<_>>().join("|");
        for (op, pattern, expected) in [
            (MatchOp::Equal, "x", (1_000, Matchers)),
            (MatchOp::Regex, "api|db", (1_000, Matchers)),
            (MatchOp::Regex, &pods, (60, Memory)),
            (MatchOp::NotRegex, &"a{0}".repeat(300_000), (0, Length)),
            (MatchOp::Regex, "(\\pL{50}){20}", (0, Memory)),
            (MatchOp::Regex, "\\pL{20}", (16, Memory)),
        ] {
            let shown = &pattern[..pattern.len().min(30)];
            assert_eq!(paid(request(), op, pattern), expected, "{shown}");
        }
        assert_eq!(paid(MatcherBudget::of_silence(), MatchOp::Regex, "\\pL{20}"), (1, Memory));
    }
}
