//! `cargo xtask test`: every suite, one count at the end.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::postgres::Postgres;
use crate::{plugins, step};

/// What the suites said.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// `name: reason`, one per test that could not run here.
    skipped: Vec<String>,
    /// Suites that did not even give a result, or failed.
    broken: Vec<String>,
}

pub(crate) fn run(options: &[String]) -> Result<()> {
    let mut tally = Tally::default();
    // Everything of the workspace is built in one go: a package built alone may get other features of a shared library,
    // and then half of the libraries are compiled a second time.
    step::announce("Building the engine and its tests");
    step::run("building", &mut step::cargo(&["build", "--workspace", "--all-targets"]))?;
    let binary = step::target_dir().join("debug/watchfire");
    step::announce("Building the plugins");
    let built = plugins::build(&binary)?;
    tally.skipped.extend(built.skipped);
    plugins::build_probe(&built.folder)?;
    let postgres = Postgres::start()?;
    if postgres.is_none() {
        tally.skipped.push("the store on PostgreSQL: PostgreSQL is not installed".to_owned());
    }
    let data = step::root().join("../shared/data");
    let suite = |arguments: &[&str]| {
        let mut command = step::cargo(arguments);
        command.args(options).env("WATCHFIRE_PLUGINS", &built.folder);
        if let Some(postgres) = &postgres {
            command.env("WATCHFIRE_TEST_POSTGRES", &postgres.url);
        }
        if data.is_dir() {
            command.env("WATCHFIRE_TEST_DATA", &data);
        }
        command
    };

    step::announce("The engine");
    let mut workspace = suite(&["test", "--workspace", "--no-fail-fast"]);
    tally.add("the engine", workspace.env("WATCHFIRE_BINARY", &binary).args(["--", "--show-output"]))?;

    let guest = step::target_dir().join("guest-native");
    for (what, manifest) in [("the Rust SDK", "sdk/rust/Cargo.toml"), ("the plugins", "plugins/Cargo.toml")] {
        if !step::root().join(manifest).is_file() {
            continue;
        }
        step::announce(what);
        let mut command = suite(&["test", "--manifest-path", manifest, "--no-fail-fast"]);
        tally.add(what, command.env("CARGO_TARGET_DIR", &guest).args(["--", "--show-output"]))?;
    }
    if step::installed("npm") {
        step::announce("the JavaScript plugin");
        let source = step::root().join("plugins").join(plugins::JAVASCRIPT);
        let mut node = Command::new("node");
        tally.add("the JavaScript plugin", node.args(["--test", "--test-reporter=tap"]).current_dir(source))?;
    }
    tally.conclude(step::variable("CI").is_some_and(|ci| ci == "true"))
}

impl Tally {
    /// Runs a suite, passes its output on, and counts what it says.
    fn add(&mut self, what: &str, command: &mut Command) -> Result<()> {
        let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {what}"))?;
        let output = child.stdout.take().context("the suite has no output")?;
        let mut results = 0;
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            println!("{line}");
            results += usize::from(self.count(&line));
        }
        let status = child.wait()?;
        if results == 0 || (!status.success() && self.failed == 0) {
            self.broken.push(format!("{what} ({status})"));
        }
        Ok(())
    }

    /// Reads one line of a suite's output; true if it is a suite's result.
    fn count(&mut self, line: &str) -> bool {
        if let Some(skipped) = line.trim_start().strip_prefix("SKIPPED ") {
            self.skipped.push(skipped.to_owned());
            return false;
        }
        if let Some(passed) = line.strip_prefix("# pass ") {
            self.passed += passed.trim().parse().unwrap_or(0);
            return true;
        }
        if let Some(failed) = line.strip_prefix("# fail ") {
            self.failed += failed.trim().parse().unwrap_or(0);
            return true;
        }
        let Some(result) = line.strip_prefix("test result: ") else { return false };
        let number = |word: &str| {
            let before = result.split(word).next().unwrap_or_default();
            before.rsplit([' ', ';']).find(|part| !part.is_empty()).and_then(|n| n.parse().ok()).unwrap_or(0usize)
        };
        self.passed += number(" passed");
        self.failed += number(" failed");
        true
    }

    fn conclude(self, every_skip_fails: bool) -> Result<()> {
        for suite in &self.broken {
            println!("BROKEN {suite}: it ended without success and without naming a failed test");
        }
        if !self.skipped.is_empty() {
            println!("\nSkipped:");
            for skipped in &self.skipped {
                println!("  {skipped}");
            }
        }
        let failed = self.failed + self.broken.len();
        // A test that skips itself is reported by its harness as passed.
        let passed = self.passed.saturating_sub(self.skipped.len());
        println!("\n{passed} passed, {failed} failed, {} skipped", self.skipped.len());
        if failed > 0 {
            bail!("{failed} failed");
        }
        if every_skip_fails && !self.skipped.is_empty() {
            bail!("CI=true: whatever a test needs must be installed, so that nothing is skipped");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn results_and_skips_are_counted() {
        let mut tally = Tally::default();
        let lines = [
            "running 3 tests",
            "test result: ok. 11 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.06s",
            "SKIPPED browser: chromium is not installed",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ];
        assert_eq!(lines.iter().filter(|line| tally.count(line)).count(), 2);
        assert_eq!((tally.passed, tally.failed), (13, 3));
        // The summary of Node's test runner, in the Test Anything Protocol.
        assert!(tally.count("# pass 4") && tally.count("# fail 1"));
        assert_eq!((tally.passed, tally.failed), (17, 4));
        assert_eq!(tally.skipped, ["browser: chromium is not installed"]);
    }
}
