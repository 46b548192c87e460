//! `watchfire check`: every mistake at once, where it is and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use watchfire::config::lint::{Knowledge, Question, lint};
use watchfire::config::{Diagnostic, Level, Source};
use watchfire::{CheckedFile, Usable, check_file, is_rule_file};
use watchfire_model::{Labels, METRIC_NAME_LABEL};

use crate::args::Check;
use crate::client::Client;
use crate::files::named;
use crate::output::say;
use crate::recording::{Arrival, Recording};
use crate::table::counted;

/// Questions to a server at one time.
const QUESTIONS_AT_ONCE: usize = 8;

pub(crate) async fn run(options: Check) -> Result<ExitCode> {
    let mut checked = check_files(&named(&options.files, "rule file", is_rule_file)?);
    let mut knowledge = Knowledge::new(Some(options.scrape_interval));
    for file in checked.iter().filter_map(|file| file.rules.as_ref()) {
        knowledge.add_rules(file);
    }
    let rules = checked.iter().filter_map(|file| file.rules.as_ref());
    let questions: BTreeSet<Question> = rules.flat_map(|file| knowledge.questions(file)).collect();
    if let Some(server) = &options.server {
        ask_server(&Client::new(server, &options.login)?, questions, &mut knowledge).await?;
    } else if let Some(data) = &options.data {
        look_up(data, questions, &mut knowledge)?;
    }
    for file in &mut checked {
        if let Some(rules) = &file.rules {
            let source = Source { name: &file.name, text: &file.text };
            file.diagnostics.extend(lint(source, rules, &knowledge));
            file.diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        }
    }
    let mut report = Report { json: options.json, colours: std::io::stdout().is_terminal(), errors: 0, warnings: 0 };
    for file in &checked {
        for diagnostic in &file.diagnostics {
            // What a configuration names and is not there, or cannot be read, has no lines to show.
            report.show(diagnostic, if diagnostic.file == file.name { &file.text } else { "" });
        }
    }
    report.conclude(checked.len());
    let failed = report.errors > 0 || options.strict && report.warnings > 0;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The files, and the rules and templates that they name, each once.
fn check_files(files: &[PathBuf]) -> Vec<CheckedFile> {
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    let mut open: Vec<(PathBuf, Usable)> = files.iter().rev().map(|path| (path.clone(), Usable::default())).collect();
    let mut checked = Vec::new();
    while let Some((path, usable)) = open.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let mut file = check_file(&path, &usable);
        if let Some(named) = &file.named {
            open.extend(named.rules.iter().rev().map(|path| (path.clone(), named.usable.clone())));
        }
        let templates = file.named.as_mut().map(|named| std::mem::take(&mut named.templates));
        checked.push(file);
        checked.extend(templates.unwrap_or_default());
    }
    checked
}

/// Asks a server for each series, and for the kinds of all metrics.
async fn ask_server(client: &Client, questions: BTreeSet<Question>, knowledge: &mut Knowledge) -> Result<()> {
    let ask = async |question: Question| {
        let selector = question.to_string();
        let answer = client.form("api/v1/series", &[("match[]", &selector), ("limit", "1")]).await?;
        anyhow::Ok((question, answer["data"].as_array().is_some_and(|found| !found.is_empty())))
    };
    let answers: Vec<(Question, bool)> =
        futures::stream::iter(questions).map(ask).buffer_unordered(QUESTIONS_AT_ONCE).try_collect().await?;
    for (question, exists) in answers {
        knowledge.answer(question, exists);
    }
    let metadata = client.get("api/v1/metadata", &[]).await?;
    for (name, kinds) in metadata["data"].as_object().into_iter().flatten() {
        let mut kinds = kinds.as_array().into_iter().flatten().peekable();
        if kinds.peek().is_some() && kinds.all(|kind| kind["type"] == "gauge") {
            knowledge.gauges.insert(name.clone());
        }
    }
    Ok(())
}

/// Looks for each series in what was recorded.
fn look_up(folder: &Path, questions: BTreeSet<Question>, knowledge: &mut Knowledge) -> Result<()> {
    let mut series: BTreeSet<Labels> = BTreeSet::new();
    Recording::open(folder)?.play(&mut |_, arrival, _| {
        if let Arrival::Samples(samples) = arrival {
            for (labels, _) in samples {
                if !series.contains(labels) {
                    series.insert(labels.clone());
                }
            }
        }
        Ok(())
    })?;
    let mut by_name: BTreeMap<&str, Vec<&Labels>> = BTreeMap::new();
    for labels in &series {
        by_name.entry(labels.value_or_empty(METRIC_NAME_LABEL)).or_default().push(labels);
    }
    for question in questions {
        let candidates = by_name.get(question.metric.as_str());
        let exists = candidates.is_some_and(|series| series.iter().any(|labels| question.is_met_by(labels)));
        knowledge.answer(question, exists);
    }
    Ok(())
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
            say!("{line}");
            return;
        }
        let shown = diagnostic.render(text);
        let word = diagnostic.severity.as_str();
        let colour = if diagnostic.is_error() { "31" } else { "33" };
        let coloured = shown.replacen(&format!(": {word}: "), &format!(": \x1b[1;{colour}m{word}\x1b[0m: "), 1);
        say!("{}\n", if self.colours { coloured } else { shown });
    }

    fn conclude(&self, files: usize) {
        if self.json {
            return;
        }
        let (files, errors, warnings) =
            (counted(files, "file"), counted(self.errors, "error"), counted(self.warnings, "warning"));
        say!("{files} checked, {errors}, {warnings}");
    }
}
