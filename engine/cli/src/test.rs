//! `watchfire test`: test files on a virtual clock.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use watchfire::alerting::Delivery;
use watchfire::config::Config;
use watchfire::delivery::{Deliverer, Settings};
use watchfire::plugin::Provider;
use watchfire::{ProcessEnvironment, load_templates, matching, open_plugins, read};
use watchfire_scenario::{Files, Renderer, Report, Style, Tools, is_test_file, run_file};

use crate::args::Test;
use crate::files::named;
use crate::junit;
use crate::output::say;
use crate::table::counted;

pub(crate) fn run(options: &Test) -> Result<ExitCode> {
    let provider = open_plugins(options.plugins.as_deref()).map_err(|error| anyhow!(error))?;
    let environment = ProcessEnvironment { folder: PathBuf::from(".") };
    let renderer = Messages { provider: Arc::clone(&provider) };
    let only: Vec<&str> = options.run.iter().map(regex::Regex::as_str).collect();
    let tools = Tools {
        files: &Disk,
        environment: &environment,
        provider: Some(provider),
        renderer: Some(&renderer),
        only: (!only.is_empty()).then(|| regex::Regex::new(&only.join("|"))).transpose()?,
        ignore_unknown_keys: options.ignore_unknown_fields,
    };
    // Before the tests run, so that minutes later nothing is lost for a folder that does not exist.
    let junit = options
        .junit
        .as_ref()
        .map(|path| std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display())));
    let junit = junit.transpose()?;
    let style = Style { colours: std::io::stdout().is_terminal(), whole: options.diff };
    let mut reports = Vec::new();
    for file in named(&options.files, "test file", is_test_file)? {
        let report = verdict(&file, &tools);
        say!("{}", report.show(style));
        reports.push(report);
    }
    if let Some(file) = junit {
        junit::write(file, &reports, chrono::Utc::now()).context("cannot write the verdicts")?;
    }
    let failed = reports.iter().filter(|report| !report.passed()).count();
    let tests: usize = reports.iter().map(|report| report.cases.len()).sum();
    let (files, tests) = (counted(reports.len(), "file"), counted(tests, "test"));
    say!("\n{files} with {tests}: {} passed, {failed} failed", reports.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(file: &Path, tools: &Tools<'_>) -> Report {
    let name = file.display().to_string();
    match read(file) {
        Ok(text) => run_file(&name, &text, tools),
        Err(error) => Report::unreadable(&name, &error),
    }
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
        let loaded = load_templates(config, Path::new(""));
        if let Some(error) = loaded.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
            return Err(error.to_string());
        }
        let provider = Arc::clone(&self.provider);
        let deliverer = Deliverer::new(Settings::default(), &config.receivers, loaded.templates, provider);
        let requests = deliverer.preview(delivery).map_err(|error| error.to_string())?;
        Ok(requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect::<Vec<_>>().join("\n"))
    }
}
