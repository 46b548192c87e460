//! Calls of plugins on the terminal: what went in, what came out, what it took.

use std::io::IsTerminal;

use watchfire_host::{Answer, Failure, Input, Recording, Trace, visible};
use watchfire_model::Severity;

use super::size;
use crate::output::{say, visible_lines};
use crate::table::Table;

/// Findings, decisions, unknown series that are listed; the rest is counted.
const SHOWN_MAX: usize = 20;

/// Colours where somebody looks.
#[derive(Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    #[expect(clippy::disallowed_methods, reason = "https://no-color.org: how text looks is not a decision")]
    pub(super) fn of_terminal() -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint(std::io::stdout().is_terminal() && !refused)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }
}

/// What went in, in a few words.
pub(super) fn input(input: &Input) -> String {
    let at = input.at().to_rfc3339();
    match input {
        Input::Condition(batch, state) => {
            let bytes: usize = state.iter().map(|(key, value)| key.len() + value.len()).sum();
            let rows = if batch.events.is_empty() { String::new() } else { format!(", {} events", batch.events.len()) };
            let state = if bytes == 0 { "no state".to_owned() } else { format!("{} of state", size(bytes as u64)) };
            format!("{} series{rows}, {state}, at {at}", batch.series.len())
        }
        Input::Router(_, alerts) => format!("{} alerts, at {at}", alerts.len()),
        Input::Formatter(group) => format!("a group of {} alerts for {}, at {at}", group.alerts.len(), group.receiver),
    }
}

/// What it took; nothing where there was no call, since the plugin could not be opened.
pub(super) fn cost(trace: &Trace) -> Option<String> {
    let Trace { instructions, memory_bytes, .. } = *trace;
    let was_called = (instructions, memory_bytes) != (0, 0);
    was_called.then(|| format!("{} instructions, {} of memory", grouped(instructions), size(memory_bytes)))
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The lines that the plugin logged.
pub(super) fn log(trace: &Trace, paint: Paint) {
    for line in &trace.log {
        let level = format!("{:<5}", line.level.to_string().to_lowercase());
        let level = if line.level <= tracing::Level::WARN { paint.bad(&level) } else { paint.faint(&level) };
        say!("  log {level} {}", visible(&line.message));
    }
}

/// What came out.
pub(super) fn answer(recording: &Recording, paint: Paint) {
    match (&recording.answer, &recording.input) {
        (Err(failure), _) => fail(failure, paint),
        (Ok(Answer::Condition(outcome, _)), Input::Condition(batch, _)) => {
            let mut table = Table::new(["  SERIES", "SAMPLE", "FOUND", "VALUE", "SUMMARY"]);
            for finding in outcome.findings.iter().take(SHOWN_MAX) {
                let index = finding.series as usize;
                let sample = batch.last(index).map_or_else(|| "-".to_owned(), |value| value.to_string());
                table.row([
                    format!("  {}", batch.series[index]),
                    sample,
                    finding.severity.to_string(),
                    finding.value.to_string(),
                    finding.summary.clone(),
                ]);
            }
            if !table.is_empty() {
                crate::output::write(format_args!("{}", coloured(&table.to_string(), paint)));
            }
            more(outcome.findings.len());
            let unknown = outcome.unknown.len();
            let fine = batch.series.len() - outcome.findings.len() - unknown;
            say!("  {} found, {unknown} unknown, {fine} fine", outcome.findings.len());
        }
        (Ok(Answer::Router(decisions)), Input::Router(_, alerts)) => {
            let mut table = Table::new(["  ALERT", "RECEIVERS", "GROUP", "HELD BACK BECAUSE"]);
            for (decision, view) in decisions.iter().zip(alerts).take(SHOWN_MAX) {
                let receivers = decision.receivers.join(", ");
                table.row([
                    format!("  {}", view.alert.labels),
                    if receivers.is_empty() { "the route's own".to_owned() } else { receivers },
                    decision.group_key.clone().unwrap_or_else(|| "-".to_owned()),
                    decision.suppress.clone().unwrap_or_else(|| "-".to_owned()),
                ]);
            }
            crate::output::write(format_args!("{table}"));
            more(decisions.len());
        }
        (Ok(Answer::Formatter(message)), _) => {
            if let Some(target) = &message.target {
                say!("  {} {} {}", paint.faint("to   "), target.method.as_str(), visible(&target.url));
            }
            say!("  {} {}", paint.faint("title"), visible(&message.title));
            say!("  {} {}", paint.faint("type "), visible(&message.content_type));
            for (name, value) in &message.headers {
                say!("  {} {}", paint.faint("head "), visible(&format!("{name}: {value}")));
            }
            if let Some(key) = &message.dedup_key {
                say!("  {} {}", paint.faint("key  "), visible(key));
            }
            pretty(&message.body).lines().for_each(|line| say!("    {}", visible(line)));
        }
        // An answer is of the kind of what was asked.
        (Ok(Answer::Condition(..) | Answer::Router(_)), _) => {}
    }
}

fn fail(failure: &Failure, paint: Paint) {
    say!("  {} {}", paint.bad("failed:"), visible_lines(&failure.message).replace('\n', "\n    "));
}

fn more(all: usize) {
    if all > SHOWN_MAX {
        say!("  and {} more", all - SHOWN_MAX);
    }
}

/// The heading faint, the words for severities as bad as they are.
fn coloured(table: &str, paint: Paint) -> String {
    let mut lines = table.lines();
    let mut out = lines.next().map_or_else(String::new, |heading| format!("{}\n", paint.faint(heading)));
    for line in lines {
        let worst = [Severity::Critical, Severity::Error].map(|severity| format!("  {severity}  "));
        let line = worst.iter().fold(line.to_owned(), |line, word| line.replacen(word, &paint.bad(word), 1));
        out.push_str(&format!("{line}\n"));
    }
    out
}

/// JSON with line breaks, everything else as it is.
fn pretty(body: &str) -> String {
    serde_json::from_str::<serde_json::Value>(body).map_or_else(|_| body.to_owned(), |value| format!("{value:#}"))
}

#[cfg(test)]
mod tests {
    use watchfire_host::Trace;

    #[test]
    fn what_was_not_called_took_nothing_that_is_shown() {
        assert_eq!(super::cost(&Trace::default()), None);
        let trace = Trace { instructions: 1_234, memory_bytes: 2_048, ..Trace::default() };
        assert_eq!(super::cost(&trace).as_deref(), Some("1,234 instructions, 2 KiB of memory"));
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(super::grouped(number), shown);
        }
    }
}
