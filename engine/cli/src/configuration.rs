//! The configuration that a command line names.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use watchfire::config::{Config, Source, load_config};
use watchfire::{ProcessEnvironment, read};

/// Reads a configuration. Its paths come out relative to where the command runs, ready to be opened.
pub(crate) fn configuration(path: &Path) -> Result<Config> {
    let name = path.display().to_string();
    let text = read(path).map_err(|error| anyhow!("{name}: {error}"))?;
    let environment = ProcessEnvironment { folder: PathBuf::new() };
    let (config, diagnostics) = load_config(Source { name: &name, text: &text }, &environment);
    config.ok_or_else(|| {
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
        let errors: Vec<String> = errors.map(|diagnostic| diagnostic.render(&text)).collect();
        anyhow!("{name} is not valid:\n{}", errors.join("\n"))
    })
}
