//! The project's own scripts, and the public ones where they are at hand.

use std::collections::BTreeMap;
use std::path::Path;

use crate::public_data;
use crate::script::{Outcome, parse_script, run};

fn run_folder(folder: &Path) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder of scripts must be readable") {
        let path = entry.expect("an entry of the folder must be readable").path();
        if path.extension().is_some_and(|e| e == "test") {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let text = std::fs::read_to_string(&path).expect("a script must be readable");
            let script = parse_script(&text).unwrap_or_else(|reason| panic!("{name}: {reason}"));
            outcomes.insert(name, run(&script));
        }
    }
    outcomes
}

fn report(name: &str, outcome: &Outcome) {
    println!("{name}: {} of {} evals hold", outcome.evals - outcome.failures.len().min(outcome.evals), outcome.evals);
    for failure in &outcome.failures {
        println!("  {name}:{}: {}\n      {}", failure.line, failure.expr, failure.reason);
    }
}

#[test]
fn own_scripts_hold() {
    let outcomes = run_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts"));
    assert!(!outcomes.is_empty());
    for (name, outcome) in &outcomes {
        report(name, outcome);
        assert!(outcome.evals > 0, "{name} tests nothing");
        assert!(outcome.failures.is_empty(), "{name} has failures");
    }
}

/// The file may only shrink: a script that fails more often, or less often without being listed so, is an error.
#[test]
fn public_scripts_fail_only_where_it_is_known() {
    let Some(data) = public_data("public_scripts_fail_only_where_it_is_known") else { return };
    let known_path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/known_failures.txt");
    let known_text = std::fs::read_to_string(&known_path).expect("the list of known failures must be readable");
    let known: BTreeMap<&str, usize> = known_text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, count) = line.split_once(' ').expect("a line has a script and a count");
            (name, count.parse().expect("a count is a number"))
        })
        .collect();
    let outcomes = run_folder(&data.join("promqltest/head"));
    let found: BTreeMap<&str, usize> =
        outcomes.iter().map(|(name, o)| (name.as_str(), o.failures.len())).filter(|(_, count)| *count > 0).collect();
    let evals: usize = outcomes.values().map(|o| o.evals).sum();
    for (name, outcome) in &outcomes {
        report(name, outcome);
    }
    println!("{evals} evals in {} scripts", outcomes.len());
    assert!(evals >= 2_214, "the public scripts are not complete");
    assert_eq!(found, known, "update tests/known_failures.txt if this is better than it was");
}
