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
use watchfire_config::{Config, Environment};
use watchfire_plugin::Provider;

use document::Reader;

pub use backtest::{Backtest, Episode, Findings, Message, Summary};
pub use report::{Case, Mismatch, Report};
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
    /// Only tests whose name matches are run.
    pub only: Option<Regex>,
}

/// Runs one test file; `name` is its path.
pub fn run_file(name: &str, text: &str, tools: &Tools<'_>) -> Report {
    let mut reader = Reader::new(name, text);
    let root = reader.parse();
    let Some(root) = root else {
        let mut report = Report { file: name.to_owned(), errors: reader.diagnostics, cases: Vec::new() };
        if report.errors.is_empty() {
            report.errors.push(reader_is_empty(name));
        }
        return report;
    };
    let is_script = root.entries().iter().any(|(key, _, _)| key == "scenario" || key == "steps");
    if !is_script {
        return unit_test::run(name, &mut reader, &root, tools);
    }
    let script = script::read(name, &mut reader, &root, tools);
    let mut report = Report { file: name.to_owned(), errors: reader.diagnostics, cases: Vec::new() };
    if let Some(script) = script.filter(|_| report.errors.is_empty()) {
        report.cases.push(script.run(tools));
    }
    report
}

fn reader_is_empty(name: &str) -> watchfire_config::Diagnostic {
    watchfire_config::Diagnostic {
        file: name.to_owned(),
        line: 1,
        column: 1,
        severity: watchfire_config::Level::Error,
        code: "test-file",
        message: "the file is empty".to_owned(),
        help: Some("a test file has `tests`, a scenario has `steps`".to_owned()),
    }
}
