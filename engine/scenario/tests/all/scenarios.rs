//! Plays every scenario in `scenarios/`, which are the documentation of what dispatch and rules do.

use std::path::Path;

use watchfire_config::FixedEnvironment;
use watchfire_scenario::{Files, Report, Tools, run_file};

/// Scenarios stand for themselves: there is nothing else to read.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, path: &str) -> Result<String, String> {
        Err(format!("{path} is not to be read"))
    }

    fn glob(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fn play(name: &str, text: &str) -> Report {
    let environment = FixedEnvironment::default();
    let tools = Tools { files: &NoFiles, environment: &environment, provider: None, renderer: None, only: None };
    run_file(name, text, &tools)
}

#[test]
fn every_scenario_goes_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 40, "only {} scenarios were found", files.len());
    let mut failed = Vec::new();
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = play(&name, &std::fs::read_to_string(path).unwrap());
        let checks: usize = report.cases.iter().map(|case| case.checks).sum();
        if !report.passed() || checks == 0 {
            failed.push(report.to_string());
        }
    }
    assert!(failed.is_empty(), "{} of {} scenarios failed:\n{}", failed.len(), files.len(), failed.join("\n"));
}
