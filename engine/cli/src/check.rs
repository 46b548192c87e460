//! `watchfire check`: every mistake at once, where it is and what to do.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use watchfire::config::{Diagnostic, Level};
use watchfire::{CheckedFile, check_file};

use crate::args::Check;

pub(crate) fn run(options: &Check) -> ExitCode {
    let mut report = Report { json: options.json, colours: std::io::stdout().is_terminal(), errors: 0, warnings: 0 };
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut open: Vec<PathBuf> = options.files.iter().rev().cloned().collect();
    let mut files = 0;
    while let Some(path) = open.pop() {
        if seen.contains(&path) {
            continue;
        }
        let CheckedFile { text, diagnostics, names } = check_file(&path);
        files += 1;
        for diagnostic in &diagnostics {
            report.show(diagnostic, &text);
        }
        // Rules that a configuration names are checked too.
        open.extend(names.into_iter().rev());
        seen.push(path);
    }
    report.conclude(files);
    if report.errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Report {
    json: bool,
    colours: bool,
    errors: usize,
    warnings: usize,
}

impl Report {
    fn show(&mut self, diagnostic: &Diagnostic, text: &str) {
        match diagnostic.severity {
            Level::Error => self.errors += 1,
            Level::Warning => self.warnings += 1,
        }
        if self.json {
            let line = json!({
                "file": diagnostic.file,
                "line": diagnostic.line,
                "column": diagnostic.column,
                "severity": diagnostic.severity.as_str(),
                "code": diagnostic.code,
                "message": diagnostic.message,
                "help": diagnostic.help,
            });
            println!("{line}");
            return;
        }
        let shown = diagnostic.render(text);
        let word = diagnostic.severity.as_str();
        let colour = if diagnostic.is_error() { "31" } else { "33" };
        let coloured = shown.replacen(&format!(": {word}: "), &format!(": \x1b[1;{colour}m{word}\x1b[0m: "), 1);
        println!("{}\n", if self.colours { coloured } else { shown });
    }

    fn conclude(&self, files: usize) {
        if self.json {
            return;
        }
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        println!(
            "{} checked, {}, {}",
            plural(files, "file"),
            plural(self.errors, "error"),
            plural(self.warnings, "warning")
        );
    }
}
