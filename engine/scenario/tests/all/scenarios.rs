//! Plays every scenario in `scenarios/`, which are the documentation of what dispatch and rules do.

use std::path::Path;

use super::play;

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
