//! The program that renders with Go.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};

use super::data::{Answer, Kind};

/// Built from `peer.go`.
pub(super) const PROGRAM: &str = "watchfire-template-peer";

pub(super) struct Peer {
    program: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    pub(super) fn start() -> Result<Peer> {
        let mut program = Command::new(PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = program.stdin.take().context("the program has no input")?;
        let answers = BufReader::new(program.stdout.take().context("the program has no output")?);
        Ok(Peer { program, requests, answers })
    }

    pub(super) fn render(&mut self, kind: Kind, value: &str, template: &str) -> Result<Answer> {
        let request = json!({"Kind": kind.name(), "Value": value, "Template": template});
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "the program ended at {template:?}");
        let answer: Json = serde_json::from_str(&line)?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        Ok(match text("error") {
            error if error.is_empty() => Ok(text("text")),
            error => {
                // What Prometheus says before the error itself.
                let prefixes = ["error parsing template __alert_A: ", "error executing template __alert_A: "];
                let bare = prefixes.iter().find_map(|prefix| error.strip_prefix(prefix)).map(str::to_owned);
                Err(bare.unwrap_or(error))
            }
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It is idle, or the test has failed already.
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
