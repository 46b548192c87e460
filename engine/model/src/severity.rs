//! How bad an alert is.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Severity as PagerDuty names it, from the least to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Will become a problem.
    #[default]
    Warning,
    /// Is a problem.
    Error,
    /// Wakes somebody.
    Critical,
}

/// A text that names no severity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown severity {text:?}; use info, warning, error or critical")]
pub struct ParseSeverityError {
    /// The text as it was given.
    pub text: String,
}

impl Severity {
    /// The lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = ParseSeverityError;

    /// Case does not matter; the words that rule files in the wild use for the same thing (`page`, `warn`, ...) are known.
    fn from_str(text: &str) -> Result<Severity, ParseSeverityError> {
        match text.to_ascii_lowercase().as_str() {
            "info" | "information" | "informational" | "notice" | "none" | "debug" | "low" => Ok(Severity::Info),
            "warning" | "warn" | "minor" | "medium" | "moderate" => Ok(Severity::Warning),
            "error" | "err" | "major" | "high" | "ticket" => Ok(Severity::Error),
            "critical" | "crit" | "page" | "emergency" | "fatal" | "disaster" => Ok(Severity::Critical),
            _ => Err(ParseSeverityError { text: text.to_owned() }),
        }
    }
}
