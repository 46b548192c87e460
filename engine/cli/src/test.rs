//! `watchfire test`: test files on a virtual clock.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use watchfire::alerting::Delivery;
use watchfire::config::Config;
use watchfire::delivery::{Deliverer, Settings};
use watchfire::plugin::Provider;
use watchfire::{ProcessEnvironment, matching, open_plugins, read};
use watchfire_scenario::{Files, Renderer, Tools, run_file};

use crate::args::Test;

pub(crate) fn run(options: &Test) -> Result<ExitCode> {
    let provider = open_plugins(options.plugins.as_deref()).map_err(|error| anyhow!(error))?;
    let environment = ProcessEnvironment { folder: PathBuf::from(".") };
    let renderer = Messages { provider: Arc::clone(&provider) };
    let tools = Tools {
        files: &Disk,
        environment: &environment,
        provider: Some(provider),
        renderer: Some(&renderer),
        only: None,
    };
    let (mut passed, mut failed) = (0, 0);
    for file in &options.files {
        let name = file.display().to_string();
        let report = match read(file) {
            Ok(text) => run_file(&name, &text, &tools),
            Err(error) => {
                println!("FAILED  {name}: cannot be read: {error}");
                failed += 1;
                continue;
            }
        };
        println!("{report}");
        if report.passed() {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    println!("\n{passed} files passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Files as they are on the disk.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        read(Path::new(path))
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        // A pattern that finds nothing is reported by whoever asked.
        let found = matching(&[pattern.to_owned()], Path::new(""), &mut Vec::new());
        found.into_iter().map(|path| path.display().to_string()).collect()
    }
}

/// Messages as the configured receivers would get them.
struct Messages {
    provider: Arc<dyn Provider>,
}

impl Renderer for Messages {
    fn render(&self, config: &Config, delivery: &Delivery) -> Result<String, String> {
        let mut templates = Vec::new();
        for path in matching(&config.templates, Path::new(""), &mut Vec::new()) {
            templates.push((path.display().to_string(), read(&path)?));
        }
        let deliverer = Deliverer::new(Settings::default(), &config.receivers, &templates, Arc::clone(&self.provider));
        let requests = deliverer.preview(delivery).map_err(|error| error.to_string())?;
        Ok(requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect::<Vec<_>>().join("\n"))
    }
}
