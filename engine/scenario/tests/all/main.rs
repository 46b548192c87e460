//! Scenarios, test files of others, and what is said about those that fail.

mod plugins;
mod reports;
mod scenarios;
mod upstream;

use watchfire_config::FixedEnvironment;
use watchfire_scenario::{Files, Report, Tools, run_file};

/// A test that stands for itself: there is nothing else to read.
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
    let tools = Tools {
        files: &NoFiles,
        environment: &environment,
        provider: None,
        renderer: None,
        only: None,
        ignore_unknown_keys: false,
    };
    run_file(name, text, &tools)
}
