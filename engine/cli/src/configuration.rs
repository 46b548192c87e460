//! The configuration that a command line names.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use watchfire::config::{Config, Diagnostic, Environment, HttpConfig, Source, load_config, load_http_config};
use watchfire::{ProcessEnvironment, read};

/// Reads an `http_config` that stands in a file of its own. Its paths come out as those of a configuration.
pub(crate) fn http_config(path: &Path) -> Result<HttpConfig> {
    read_with(path, load_http_config)
}

/// Reads a configuration. Its paths come out relative to where the command runs, ready to be opened.
pub(crate) fn configuration(path: &Path) -> Result<Config> {
    read_with(path, load_config)
}

fn read_with<T>(
    path: &Path,
    load: impl FnOnce(Source<'_>, &dyn Environment) -> (Option<T>, Vec<Diagnostic>),
) -> Result<T> {
    let name = path.display().to_string();
    let text = read(path).map_err(|error| anyhow!("{name}: {error}"))?;
    let environment = ProcessEnvironment { folder: PathBuf::new() };
    let (loaded, diagnostics) = load(Source { name: &name, text: &text }, &environment);
    loaded.ok_or_else(|| {
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
        let errors: Vec<String> = errors.map(|diagnostic| diagnostic.render(&text)).collect();
        anyhow!("{name} is not valid:\n{}", errors.join("\n"))
    })
}
