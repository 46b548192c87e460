//! Checking files without running anything.

use std::path::{Path, PathBuf};

use watchfire_config::{Diagnostic, Source, load_config, load_rules};

use crate::load::{self, ProcessEnvironment};

/// What a check of one file found.
#[derive(Clone, Debug)]
pub struct CheckedFile {
    /// The file's text, to show the places; empty if it cannot be read.
    pub text: String,
    /// Everything that is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// Files that a configuration names and that want to be checked too.
    pub names: Vec<PathBuf>,
}

/// Checks a rule file or a configuration; which of them it is, is told by its top-level keys.
pub fn check_file(path: &Path) -> CheckedFile {
    let name = path.display().to_string();
    let text = match load::read(path) {
        Ok(text) => text,
        Err(error) => {
            let diagnostics = vec![load::whole_file(&name, &format!("cannot be read: {error}"))];
            return CheckedFile { text: String::new(), diagnostics, names: Vec::new() };
        }
    };
    let source = Source { name: &name, text: &text };
    if is_rule_file(&text) {
        let diagnostics = load_rules(source).diagnostics;
        return CheckedFile { diagnostics, names: Vec::new(), text };
    }
    // The configuration's paths come relative to its file already.
    let environment = ProcessEnvironment { folder: PathBuf::new() };
    let (config, mut diagnostics) = load_config(source, &environment);
    let patterns = config.map(|config| config.rules.paths).unwrap_or_default();
    let names = load::matching(&patterns, Path::new(""), &mut diagnostics);
    CheckedFile { text, diagnostics, names }
}

/// Rule files have `groups` at the top and no configuration has.
fn is_rule_file(text: &str) -> bool {
    text.lines()
        .any(|line| line.starts_with("groups:") || line.starts_with("{groups:") || line.starts_with("\"groups\""))
}
