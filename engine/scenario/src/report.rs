//! What came out of a test file.

use std::fmt;

use watchfire_config::Diagnostic;

/// The verdict on one test file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The file, as the caller named it.
    pub file: String,
    /// What is wrong with the file itself or with the rules and configuration that it names.
    pub errors: Vec<Diagnostic>,
    /// Its tests in order.
    pub cases: Vec<Case>,
}

/// The verdict on one test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Its name, or `test 3` where it has none.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// How many expectations were looked at.
    pub checks: usize,
    /// What was not as expected.
    pub failures: Vec<Mismatch>,
}

/// One expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The line of the expectation.
    pub line: usize,
    /// What was expected and what was there, on several lines.
    pub message: String,
}

impl Report {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.errors.is_empty() && self.cases.iter().all(|case| case.failures.is_empty())
    }
}

impl fmt::Display for Report {
    /// One line if it passed; otherwise every error and every mismatch with its place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks: usize = self.cases.iter().map(|case| case.checks).sum();
        let failed = self.cases.iter().filter(|case| !case.failures.is_empty()).count();
        if self.passed() {
            return write!(f, "ok      {} ({} tests, {checks} checks)", self.file, self.cases.len());
        }
        write!(f, "FAILED  {} ({failed} of {} tests, {} errors)", self.file, self.cases.len(), self.errors.len())?;
        for error in &self.errors {
            for line in error.to_string().lines() {
                write!(f, "\n  {line}")?;
            }
        }
        for case in &self.cases {
            for mismatch in &case.failures {
                write!(f, "\n  {}:{}: {}", self.file, mismatch.line, case.name)?;
                for line in mismatch.message.lines() {
                    write!(f, "\n      {line}")?;
                }
            }
        }
        Ok(())
    }
}
