//! What came out of a test file.

use std::fmt;

use watchfire_config::Diagnostic;

use crate::diff::{Line, Mark};
use crate::load::unreadable;

/// The verdict on one test file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The file, as the caller named it.
    pub file: String,
    /// What is to be told about the file itself and about the rules and configuration that it names.
    pub diagnostics: Vec<Diagnostic>,
    /// Its tests in order.
    pub cases: Vec<Case>,
}

/// The verdict on one test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Its name, or `unnamed#2` for the third test if it has none.
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
    /// What was looked at, or what went wrong.
    pub title: String,
    /// What was expected beside what was there.
    pub comparison: Vec<Line>,
}

impl Mismatch {
    pub(crate) fn new(line: usize, title: impl Into<String>) -> Mismatch {
        Mismatch { line, title: title.into(), comparison: Vec::new() }
    }
}

/// How a report is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// With the colours of a terminal.
    pub colours: bool,
    /// With what is as expected beside what differs.
    pub whole: bool,
}

const PLAIN: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const REVERSED: &str = "\x1b[7m";

impl Report {
    /// For a test file that cannot be read.
    pub fn unreadable(file: &str, reason: &str) -> Report {
        let diagnostics = vec![unreadable(file, reason.to_owned())];
        Report { file: file.to_owned(), diagnostics, cases: Vec::new() }
    }

    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        !self.diagnostics.iter().any(Diagnostic::is_error) && self.cases.iter().all(|case| case.failures.is_empty())
    }

    /// As text: one line if it passed; otherwise every error and every mismatch with its place. What was expected has a
    /// `-` before it, what was there a `+`.
    pub fn show(&self, style: Style) -> impl fmt::Display {
        fmt::from_fn(move |f| self.write(style, f))
    }

    fn write(&self, style: Style, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paint = |colour, text: &str| if style.colours { format!("{colour}{text}{PLAIN}") } else { text.to_owned() };
        let checks: usize = self.cases.iter().map(|case| case.checks).sum();
        let tests = count(self.cases.len(), "test");
        if self.passed() {
            let word = paint(GREEN, "ok");
            write!(f, "{word}      {} ({tests}, {})", self.file, count(checks, "check"))?;
        } else {
            write!(f, "{}  {} (", paint(RED, "FAILED"), self.file)?;
            let failed = self.cases.iter().filter(|case| !case.failures.is_empty()).count();
            match self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count() {
                0 => write!(f, "{failed} of {tests})")?,
                errors => write!(f, "{})", count(errors, "error"))?,
            }
        }
        for diagnostic in &self.diagnostics {
            for line in diagnostic.to_string().lines() {
                write!(f, "\n  {line}")?;
            }
        }
        for case in &self.cases {
            for Mismatch { line, title, comparison } in &case.failures {
                let (place, name) = (format!("{}:{line}", self.file), &case.name);
                let mut title = title.lines();
                write!(f, "\n  {}: {name}: {}", paint(BOLD, &place), title.next().unwrap_or_default())?;
                for more in title {
                    write!(f, "\n      {more}")?;
                }
                for line in comparison.iter().filter(|line| style.whole || !line.is_context) {
                    line.write(style, f)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Mismatch {
    /// `line: what`, and the comparison below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.title)?;
        self.comparison.iter().filter(|line| !line.is_context).try_for_each(|line| line.write(Style::default(), f))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(Style::default(), f)
    }
}

impl Line {
    fn write(&self, style: Style, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, colour) = match self.mark {
            Mark::Both => (' ', ""),
            Mark::Expected => ('-', RED),
            Mark::Got => ('+', GREEN),
        };
        let (start, end) = (self.differs.start, self.differs.end);
        let (before, part, behind) = (&self.text[..start], &self.text[start..end], &self.text[end..]);
        if style.colours && self.mark != Mark::Both {
            let part = if part.is_empty() { String::new() } else { format!("{REVERSED}{part}{PLAIN}{colour}") };
            return write!(f, "\n    {colour}{mark} {before}{part}{behind}{PLAIN}");
        }
        write!(f, "\n    {mark} {}", self.text)?;
        // Without colours, arrows show the place in a long text; in a short one it is plain to see.
        let is_long = before.trim_start().chars().count() + behind.chars().count() > 24;
        if self.mark == Mark::Got && is_long && start < end {
            let blanks = before.chars().count() + 6;
            write!(f, "\n{:blanks$}{}", "", "^".repeat(part.chars().count()))?;
        }
        Ok(())
    }
}

/// `1 test`, `2 tests`.
fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
