//! The test language on a virtual clock, and the inline driver under it.
//!
//! [`run_file`] runs a test file: one in the format of `promtool test rules`, with its verdicts, or a scenario in
//! Watchfire's own language, which can also say what that format cannot: pending and resolved states, routes, groups,
//! inhibitions, silences, restarts, reloads, receivers that fail, rendered messages, events and plugins. [`World`] is
//! what both drive: the very crates that the runtime drives, with every output answered inline. [`Backtest`] plays recorded
//! input through it; simulations and embedders' tests use it directly.
//!
//! What this crate is not: it reads no files, clocks or environment (they are lent through [`Tools`]), it runs no
//! plugins itself, and it prints nothing.

mod backtest;
mod diff;
mod document;
mod load;
mod program;
mod report;
mod script;
mod series;
mod unit_test;
mod world;

use std::sync::Arc;

use regex::Regex;
use watchfire_alerting::Delivery;
use watchfire_config::document::Decoder;
use watchfire_config::{Config, Diagnostic, Environment, Source};
use watchfire_plugin::Provider;

pub use backtest::{Backtest, Episode, Findings, Message, Summary};
pub use diff::{Line, Mark};
pub use report::{Case, Mismatch, Report, Style};
pub use world::{Accepting, Attempt, Failure, Receivers, Reply, Stuck, World, WorldSettings};

/// Where the files are that a test file names.
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// Why it cannot be read, in a few words.
    fn read(&self, path: &str) -> Result<String, String>;

    /// The files that a pattern with `*`, `?` and `[...]` stands for, sorted. A path without these is itself, if it
    /// exists.
    fn glob(&self, pattern: &str) -> Vec<String>;
}

/// Says what a receiver would get.
pub trait Renderer {
    /// The message for an attempt as text, with the receivers and templates of `config`.
    ///
    /// # Errors
    /// Why there is none.
    fn render(&self, config: &Config, delivery: &Delivery) -> Result<String, String>;
}

/// What running test files needs from outside.
pub struct Tools<'a> {
    /// Where files are read.
    pub files: &'a dyn Files,
    /// What configurations may ask of the machine.
    pub environment: &'a dyn Environment,
    /// Where plugins come from; without it a rule with a plugin fails.
    pub provider: Option<Arc<dyn Provider>>,
    /// Who renders messages; without it an expectation about a message fails.
    pub renderer: Option<&'a dyn Renderer>,
    /// Only tests are run whose name has a match of it; those without a name have the empty one.
    pub only: Option<Regex>,
    /// Whether rule files may have keys that nobody knows.
    pub ignore_unknown_keys: bool,
}

impl Tools<'_> {
    fn runs(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.is_match(name))
    }
}

/// Whether a text is meant to be a test file, by the keys that its lines begin with.
pub fn is_test_file(text: &str) -> bool {
    text.lines().any(|line| ["tests:", "steps:", "scenario:"].iter().any(|key| line.starts_with(key)))
}

/// Runs one test file; `name` is its path.
pub fn run_file(name: &str, text: &str, tools: &Tools<'_>) -> Report {
    let mut report = Report { file: name.to_owned(), ..Report::default() };
    let mut decoder = Decoder::new(Source { name, text }, None);
    match decoder.parse() {
        Some(root) if root.get("scenario").or_else(|| root.get("steps")).is_none() => {
            unit_test::run(&mut decoder, &root, &mut report, tools);
        }
        Some(root) => {
            let script = script::read(&mut decoder, &root, name, tools);
            report.diagnostics.append(&mut decoder.diagnostics);
            let is_sound = !report.diagnostics.iter().any(Diagnostic::is_error);
            let script = script.filter(|script| is_sound && tools.runs(script.name()));
            report.cases.extend(script.map(|script| script.run(tools)));
        }
        None => {
            report.diagnostics.append(&mut decoder.diagnostics);
            if report.diagnostics.is_empty() {
                decoder
                    .error(0, document::CODE, "the file is empty")
                    .help("a test file has `tests`, a scenario has `steps`");
                report.diagnostics.append(&mut decoder.diagnostics);
            }
        }
    }
    report
}
