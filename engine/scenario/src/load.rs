//! Rules and configuration that a test file names or contains.

use watchfire_config::{Allowed, Config, Diagnostic, Source, load_config, load_rules_with};
use watchfire_model::Duration;
use watchfire_rules::RuleFile;

use crate::Tools;

/// A path that stands in `file`, relative to where that file is.
pub(crate) fn relative(file: &str, path: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        _ => path.to_owned(),
    }
}

/// The files that a pattern in `file` stands for; none for one that matches nothing, which is no error.
pub(crate) fn glob(file: &str, pattern: &str, tools: &Tools<'_>) -> Vec<String> {
    tools.files.glob(&relative(file, pattern))
}

/// The rules of a file. One bad rule makes the file bad here, because a test is to find it.
pub(crate) fn rule_file(path: &str, tools: &Tools<'_>) -> Result<RuleFile, Vec<Diagnostic>> {
    match tools.files.read(path) {
        Ok(text) => rule_text(path, &text, tools),
        Err(reason) => Err(vec![unreadable(path, reason)]),
    }
}

pub(crate) fn rule_text(path: &str, text: &str, tools: &Tools<'_>) -> Result<RuleFile, Vec<Diagnostic>> {
    let allowed = Allowed { unknown_keys: tools.ignore_unknown_keys, ..Allowed::default() };
    let loaded = load_rules_with(Source { name: path, text }, allowed);
    let errors: Vec<_> = loaded.diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    if errors.is_empty() { Ok(loaded.file) } else { Err(errors) }
}

pub(crate) fn config_file(path: &str, tools: &Tools<'_>) -> Result<Config, Vec<Diagnostic>> {
    match tools.files.read(path) {
        Ok(text) => config_text(path, &text, tools),
        Err(reason) => Err(vec![unreadable(path, reason)]),
    }
}

pub(crate) fn config_text(path: &str, text: &str, tools: &Tools<'_>) -> Result<Config, Vec<Diagnostic>> {
    let (config, diagnostics) = load_config(Source { name: path, text }, tools.environment);
    config.ok_or_else(|| diagnostics.into_iter().filter(Diagnostic::is_error).collect())
}

/// All groups at the same interval, which is what the test format evaluates them at.
pub(crate) fn with_interval(mut files: Vec<RuleFile>, interval: Duration) -> Vec<RuleFile> {
    for group in files.iter_mut().flat_map(|file| &mut file.groups) {
        group.interval = Some(interval);
    }
    files
}

pub(crate) fn unreadable(path: &str, reason: String) -> Diagnostic {
    Diagnostic {
        file: path.to_owned(),
        line: 1,
        column: 1,
        severity: watchfire_config::Level::Error,
        code: "unreadable-file",
        message: reason,
        help: None,
    }
}
