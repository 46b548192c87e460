//! Checking files without running anything.

use std::path::{Path, PathBuf};

use watchfire_config::{Diagnostic, Source, load_config, load_rules_with};
use watchfire_promql::Features;
use watchfire_rules::RuleFile;

use crate::load::{self, ProcessEnvironment};

/// What a check of one file found.
#[derive(Clone, Debug)]
pub struct CheckedFile {
    /// The file as the caller named it.
    pub name: String,
    /// The file's text, to show the places; empty if it cannot be read.
    pub text: String,
    /// Everything that is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// The good rules of a rule file.
    pub rules: Option<RuleFile>,
    /// What a configuration says about the rules that it names.
    pub named: Option<NamedRules>,
}

/// The rules that a configuration names, which want to be checked too.
#[derive(Clone, Debug)]
pub struct NamedRules {
    /// Their files.
    pub files: Vec<PathBuf>,
    /// The parts of PromQL that they may use.
    pub features: Features,
}

/// Checks a rule file or a configuration; which of them it is, is told by its top-level keys. `features` are the parts
/// of PromQL that rules may use.
pub fn check_file(path: &Path, features: Features) -> CheckedFile {
    let name = path.display().to_string();
    let mut checked = CheckedFile { name, text: String::new(), diagnostics: Vec::new(), rules: None, named: None };
    let name = checked.name.clone();
    checked.text = match load::read(path) {
        Ok(text) => text,
        Err(error) => {
            checked.diagnostics.push(load::whole_file(&name, &format!("cannot be read: {error}")));
            return checked;
        }
    };
    let source = Source { name: &name, text: &checked.text };
    if is_rule_file(source.text) {
        let loaded = load_rules_with(source, features);
        checked.diagnostics = loaded.diagnostics;
        checked.rules = Some(loaded.file);
        return checked;
    }
    if source.text.lines().any(|line| line.trim_end() == "kind: PrometheusRule") {
        let message = "this is a Kubernetes object; its rules stand under `spec`, which is a rule file of its own";
        checked.diagnostics.push(load::whole_file(&name, message));
        return checked;
    }
    // The configuration's paths come relative to its file already.
    let environment = ProcessEnvironment { folder: PathBuf::new() };
    let (config, mut diagnostics) = load_config(source, &environment);
    checked.named = config.map(|config| NamedRules {
        files: load::matching(&config.rules.paths, Path::new(""), &mut diagnostics),
        features: load::features(&config),
    });
    checked.diagnostics = diagnostics;
    checked
}

/// Whether a text is meant to be a rule file: these have `groups` at the top, and no configuration has.
pub fn is_rule_file(text: &str) -> bool {
    text.lines()
        .any(|line| line.starts_with("groups:") || line.starts_with("{groups:") || line.starts_with("\"groups\""))
}
