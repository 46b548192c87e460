//! `watchfire backtest`: recorded input through other rules.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};
use watchfire::config::{Diagnostic, EvaluationConfig, Source, load_rules_with};
use watchfire::promql::Features;
use watchfire::{is_rule_file, open_plugins, read, retention_of};
use watchfire_model::{Labels, Timestamp};
use watchfire_rules::RuleFile;
use watchfire_scenario::{Backtest, Findings, Summary};

use crate::args;
use crate::configuration::configuration;
use crate::files::named;
use crate::output::say;
use crate::recording::{Arrival, Recording};
use crate::table::Table;

/// Messages that are listed with `--messages`; the rest is counted.
const MESSAGES_SHOWN_MAX: usize = 1_000;

pub(crate) fn run(options: &args::Backtest) -> Result<ExitCode> {
    let config = options.config.as_deref().map(configuration).transpose()?;
    let experimental = config.as_ref().is_some_and(|config| config.evaluation.experimental);
    let features = if experimental { Features::ALL } else { Features::default() };
    let paths = named(&options.rules, "rule file", is_rule_file)?;
    let files = paths.iter().map(|path| rules(path, features)).collect::<Result<Vec<_>>>()?;
    let provider = open_plugins(options.plugins.as_deref()).map_err(|error| anyhow!(error))?;
    let recording = Recording::open(&options.data)?;
    for complaint in &recording.complaints {
        eprintln!("warning: {complaint}");
    }
    let (from, to) = (options.from.unwrap_or(Timestamp::MIN), options.to.unwrap_or(Timestamp::MAX));
    if to <= from {
        bail!("--to must be after --from");
    }
    let defaults = EvaluationConfig::default();
    let evaluation = config.as_ref().map_or(&defaults, |config| &config.evaluation);
    let kept = retention_of(&files, evaluation.lookback, evaluation.query_offset);
    let mut progress = Progress::new(recording.size());
    let mut backtest: Option<Backtest> = None;
    let mut last = from;
    recording.play(&mut |at, arrival, read| {
        progress.show(read);
        if at > to {
            return Ok(());
        }
        // Without a beginning it begins with the first that has arrived.
        let backtest = backtest.get_or_insert_with(|| {
            Backtest::new(&files, config.as_ref(), Some(provider.clone()), options.from.unwrap_or(at), kept)
        });
        last = last.max(at);
        match arrival {
            Arrival::Samples(samples) => backtest.samples(at, samples)?,
            Arrival::Events(events) => backtest.events(at, events)?,
        }
        Ok(())
    })?;
    let seconds = progress.finish();
    let Some(backtest) = backtest else { bail!("nothing was recorded between --from and --to") };
    let findings = backtest.finish(options.to.unwrap_or(last))?;
    if options.json {
        print_json(&findings)
    } else {
        print_tables(&findings, seconds, options.messages)
    }
    Ok(if findings.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The rules of a file, which must all be good: leaving one out would answer another question.
fn rules(path: &Path, features: Features) -> Result<RuleFile> {
    let (name, text) =
        (path.display().to_string(), read(path).map_err(|error| anyhow!("{}: {error}", path.display()))?);
    let loaded = load_rules_with(Source { name: &name, text: &text }, features);
    if !loaded.quarantined.is_empty() {
        bail!("{name} is not valid:\n{}", errors(&loaded.diagnostics, &text));
    }
    Ok(loaded.file)
}

fn errors(diagnostics: &[Diagnostic], text: &str) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    errors.map(|diagnostic| diagnostic.render(text)).collect::<Vec<_>>().join("\n")
}

fn print_tables(findings: &Findings, seconds: f64, messages: bool) {
    if messages {
        for message in findings.messages.iter().take(MESSAGES_SHOWN_MAX) {
            let names: Vec<String> =
                message.alerts.iter().map(|(labels, status)| format!("{} {labels}", status.as_str())).collect();
            say!("{}  {}  ({})", message.at.to_rfc3339(), message.receiver, message.reason.as_str());
            for name in names {
                say!("    {name}");
            }
        }
        match findings.messages.len().saturating_sub(MESSAGES_SHOWN_MAX) {
            0 => say!(),
            more => say!("and {more} more; --json has them all\n"),
        }
    }
    let mut table = Table::new(["ALERT", "FIRED", "LABEL SETS", "FIRING FOR", "FIRST", "LAST", "FLAPS", "MESSAGES"]);
    for (name, summary) in findings.summaries() {
        let Summary { fired, instances, firing, first_and_last, flaps, messages, waited } = summary;
        let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), Timestamp::to_rfc3339);
        let messages: Vec<String> = messages.iter().map(|(receiver, count)| format!("{receiver} {count}")).collect();
        table.row([
            name,
            if fired == 0 { format!("0 (waited {waited})") } else { fired.to_string() },
            instances.to_string(),
            firing.to_string(),
            time(first_and_last.map(|(first, _)| first)),
            time(first_and_last.map(|(_, last)| last)),
            flaps.to_string(),
            if messages.is_empty() { "-".to_owned() } else { messages.join(", ") },
        ]);
    }
    if table.is_empty() {
        say!("No alert would have fired.");
    } else {
        crate::output::write(format_args!("{table}"));
    }
    for (rule, (count, error)) in &findings.failures {
        say!("{rule}: {count} evaluations failed, the first with: {error}");
    }
    let Findings { samples, events, refused, .. } = findings;
    let receivers: BTreeSet<&str> = findings.messages.iter().map(|message| message.receiver.as_str()).collect();
    say!(
        "\n{} to {}: {samples} samples, {events} events, {refused} refused; {} messages to {} receivers",
        findings.start.to_rfc3339(),
        findings.end.to_rfc3339(),
        findings.messages.len(),
        receivers.len(),
    );
    // Of a moment there is no rate.
    if seconds > 0.01 {
        say!("read in {seconds:.1} s, {:.0} samples per second", *samples as f64 / seconds);
    }
}

fn print_json(findings: &Findings) {
    let labels = |labels: &Labels| -> Value { labels.iter().map(|label| (label.name, label.value)).collect() };
    let alerts = findings.summaries().into_iter().map(|(name, summary)| {
        json!({
            "alert": name,
            "fired": summary.fired,
            "instances": summary.instances,
            "waited": summary.waited,
            "firingSeconds": summary.firing.as_secs_f64(),
            "first": summary.first_and_last.map(|(first, _)| first.to_rfc3339()),
            "last": summary.first_and_last.map(|(_, last)| last.to_rfc3339()),
            "flaps": summary.flaps,
            "messages": summary.messages,
        })
    });
    let episodes = findings.episodes.iter().map(|episode| {
        json!({
            "labels": labels(&episode.labels),
            "from": episode.from.to_rfc3339(),
            "to": episode.to.map(Timestamp::to_rfc3339),
        })
    });
    let messages = findings.messages.iter().map(|message| {
        let alerts = message.alerts.iter().map(|(l, status)| json!({ "labels": labels(l), "status": status.as_str() }));
        json!({
            "at": message.at.to_rfc3339(),
            "receiver": message.receiver,
            "reason": message.reason.as_str(),
            "groupLabels": labels(&message.group),
            "alerts": alerts.collect::<Vec<_>>(),
        })
    });
    let failures = findings.failures.iter();
    let failures = failures.map(|(rule, (count, error))| json!({ "rule": rule, "count": count, "error": error }));
    let all = json!({
        "start": findings.start.to_rfc3339(),
        "end": findings.end.to_rfc3339(),
        "samples": findings.samples,
        "refused": findings.refused,
        "events": findings.events,
        "alerts": alerts.collect::<Vec<_>>(),
        "episodes": episodes.collect::<Vec<_>>(),
        "messages": messages.collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
    });
    say!("{all}");
}

/// How far it is, on a terminal only.
struct Progress {
    size: u64,
    shown: Option<u64>,
    terminal: bool,
    began: std::time::Instant,
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "a measurement for the reader, not a decision")]
    fn new(size: u64) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { size: size.max(1), shown: None, terminal, began: std::time::Instant::now() }
    }

    fn show(&mut self, read: u64) {
        let percent = (read.min(self.size) * 100) / self.size;
        if !self.terminal || self.shown == Some(percent) {
            return;
        }
        self.shown = Some(percent);
        let done = usize::try_from(percent / 4).unwrap_or(0);
        // A terminal that is gone is no reason to stop.
        let _shown = write!(std::io::stderr(), "\r[{:25}] {percent:3} %", "=".repeat(done));
    }

    /// The seconds that it took.
    fn finish(self) -> f64 {
        if self.terminal {
            let _cleared = write!(std::io::stderr(), "\r{:34}\r", "");
        }
        self.began.elapsed().as_secs_f64()
    }
}
