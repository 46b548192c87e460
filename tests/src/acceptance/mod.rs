//! Alertmanager's own acceptance suites, unchanged: they start `../../../alertmanager`, which is a link to this engine.
//!
//! The suites are Go test programs, built from the newest release. They work in real time and say when a notification
//! must come, to 150 ms. So a test that failed while others ran beside it gets further tries alone, and only one that
//! never passes counts: a busy machine is late now and then, a wrong engine always.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::Case;
use crate::support::{Tool, variable};

const ALERTMANAGER: &str = "alertmanager-acceptance";
const AMTOOL: &str = "amtool-acceptance";

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "acceptance::alertmanagers_own_suite_holds",
        needs: &[Tool::Binary, Tool::Program(ALERTMANAGER)],
        run: || suite(ALERTMANAGER, 20),
    },
    Case {
        name: "acceptance::amtools_own_suite_holds",
        needs: &[Tool::Binary, Tool::Amtool, Tool::Program(AMTOOL)],
        run: || suite(AMTOOL, 9),
    },
];

/// How often a test that failed is tried again alone.
const TRIES: usize = 3;

/// Tests at one time; they mostly wait.
const PARALLEL: &str = "8";

/// Runs a suite that has at least so many tests.
fn suite(program: &str, tests_min: usize) -> Result<()> {
    let differences = differences()?;
    let place = Place::new()?;
    let listed = differences.keys().map(|name| format!("^{name}$")).collect::<Vec<_>>().join("|");
    let mut outcomes = place.run(program, &["-test.parallel", PARALLEL, "-test.skip", &listed])?;
    ensure!(outcomes.passed.len() + outcomes.failed.len() >= tests_min, "only {:?} ran", outcomes.passed);
    for _ in 0..TRIES {
        for name in std::mem::take(&mut outcomes.failed).into_keys() {
            let again = place.run(program, &["-test.run", &format!("^{name}$")])?;
            outcomes.failed.extend(again.failed);
        }
    }
    let told: Vec<String> = outcomes.failed.iter().map(|(name, output)| format!("{name}\n{output}")).collect();
    ensure!(told.is_empty(), "these tests never passed:\n{}", told.join("\n"));
    let known = place.run(program, &["-test.run", &listed])?;
    let outdated: Vec<&String> = known.passed.iter().filter(|name| differences.contains_key(*name)).collect();
    ensure!(outdated.is_empty(), "these pass and need not be listed any more: {outdated:?}");
    Ok(())
}

/// What a run said.
struct Outcomes {
    passed: BTreeSet<String>,
    /// With the output of the run.
    failed: BTreeMap<String, String>,
}

/// A folder as the suites expect it: the programs three folders above the tests.
struct Place(TempDir);

impl Place {
    fn new() -> Result<Place> {
        let folder = TempDir::new()?;
        symlink(
            variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY is not set")?,
            folder.path().join("alertmanager"),
        )?;
        let path = variable("PATH").unwrap_or_default();
        let mut programs = std::env::split_paths(&path).map(|folder| folder.join("amtool"));
        if let Some(amtool) = programs.find(|amtool| amtool.is_file()) {
            symlink(amtool, folder.path().join("amtool"))?;
        }
        std::fs::create_dir_all(folder.path().join("test/suite/acceptance"))?;
        Ok(Place(folder))
    }

    fn run(&self, program: &str, options: &[&str]) -> Result<Outcomes> {
        let mut command = Command::new(program);
        command.args(["-test.v", "-test.timeout", "5m"]).args(options);
        command.current_dir(self.0.path().join("test/suite/acceptance")).env("TMPDIR", self.0.path());
        let output = command.output().with_context(|| format!("cannot start {program}"))?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let said = |word: &str| {
            let before = format!("--- {word}: ");
            let names = text.lines().filter_map(|line| line.strip_prefix(&before)?.split_whitespace().next());
            names.map(str::to_owned).collect::<BTreeSet<String>>()
        };
        let failed = said("FAIL");
        ensure!(output.status.success() || !failed.is_empty(), "{program} ended with {}:\n{text}", output.status);
        Ok(Outcomes { passed: said("PASS"), failed: failed.into_iter().map(|name| (name, text.clone())).collect() })
    }
}

/// The tests that cannot hold, with the reasons.
fn differences() -> Result<BTreeMap<String, String>> {
    let lines = include_str!("differences.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, reason) = line.split_once(": ").with_context(|| format!("{line:?} gives no reason"))?;
            Ok((name.to_owned(), reason.to_owned()))
        })
        .collect()
}
