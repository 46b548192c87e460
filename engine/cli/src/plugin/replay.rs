//! `watchfire plugin calls` and `watchfire plugin replay`: what went wrong in an engine, again, here.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde_json::Value;
use watchfire_author::{Project, Replayed, Trial};
use watchfire_host::{Input, Recording, visible};

use super::show::{self, Paint};
use crate::args::Server;
use crate::client::Client;
use crate::output::say;
use crate::table::{Table, counted};

#[derive(Debug, Args)]
pub(super) struct Calls {
    /// The plugin's name in the engine
    plugin: String,
    /// Record the next calls as well, whatever becomes of them; those that fail are recorded anyway
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=8))]
    record: Option<u32>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// A file with a recorded call, or PLUGIN/NUMBER for one of a running engine
    #[arg(value_name = "CALL")]
    call: String,
    /// The plugin's file [default: what was built in the folder]
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// The plugin's folder
    #[arg(long, default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Keep the call in this file, to replay it without the engine
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn calls(options: &Calls) -> Result<ExitCode> {
    let client = Client::of(&options.server)?;
    let path = format!("api/watchfire/v1/plugins/{}/calls", options.plugin);
    if let Some(calls) = options.record {
        client.form(&format!("{path}?calls={calls}"), &[]).await?;
        say!("The next {} of {} will be recorded.", counted(calls as usize, "call"), options.plugin);
        return Ok(ExitCode::SUCCESS);
    }
    let answer = client.get(&path, &[]).await?;
    let mut table = Table::new(["CALL", "AT", "KIND", "BUILD", "MS", "OUTCOME"]);
    for call in answer["calls"].as_array().into_iter().flatten() {
        let text = |member: &str| call[member].as_str().unwrap_or_default().to_owned();
        table.row([
            format!("{}/{}", options.plugin, call["number"]),
            text("at"),
            text("kind"),
            short(&text("digest")),
            format!("{:.2}", call["nanoseconds"].as_f64().unwrap_or_default() / 1e6),
            match &call["failure"] {
                Value::Null => "answered".to_owned(),
                failure => failure["message"].as_str().unwrap_or_default().to_owned(),
            },
        ]);
    }
    if table.is_empty() {
        say!(
            "No call of {} is recorded: none has failed. `--record 1` records the next whatever becomes of it.",
            options.plugin
        );
    } else {
        crate::output::write(format_args!("{table}"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn replay(options: &Replay) -> Result<ExitCode> {
    let json = fetch(&options.call, &options.server).await?;
    let recorded = Recording::from_json(&json).with_context(|| options.call.clone())?;
    if let Some(path) = &options.save {
        std::fs::write(path, &json).with_context(|| path.display().to_string())?;
    }
    let (plugin, cache) = match &options.plugin {
        Some(plugin) => (plugin.clone(), None),
        None => {
            let project = Project::open(&options.folder)
                .context("say with --plugin which file to use, or with --folder where the plugin is")?;
            (project.output(), Some(project.cache()))
        }
    };
    let trial = Trial::load(&plugin, recorded.limits, cache.as_deref())?;
    let replayed = trial.replay(&recorded);
    tell(&recorded, &replayed, Paint::of_terminal());
    Ok(if replayed.same_answer { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The text of a recorded call.
async fn fetch(call: &str, server: &Server) -> Result<String> {
    if Path::new(call).is_file() {
        return std::fs::read_to_string(call).with_context(|| call.to_owned());
    }
    match call.rsplit_once('/') {
        Some((plugin, number)) if !plugin.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            let path = format!("api/watchfire/v1/plugins/{plugin}/calls/{number}");
            Ok(Client::of(server)?.get(&path, &[]).await?.to_string())
        }
        _ => bail!("{call}: neither a file nor PLUGIN/NUMBER, as `watchfire plugin calls PLUGIN` lists them"),
    }
}

/// As much of a digest as tells builds apart.
fn short(digest: &str) -> String {
    visible(digest).chars().take(12).collect()
}

/// Reads a recorded call from a file.
pub(super) fn read(path: &Path) -> Result<Recording> {
    let json = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Recording::from_json(&json).map_err(|error| anyhow!("{}: {error}", path.display()))
}

pub(super) fn tell(recorded: &Recording, replayed: &Replayed, paint: Paint) {
    let Recording { plugin, number, input, .. } = recorded;
    say!(
        "{} {} {}",
        paint.bold(&visible(&format!("{plugin}/{number}"))),
        input.kind().as_str(),
        visible(&recorded.part)
    );
    say!("  {}", show::input(input));
    say!("  {} {}", paint.faint("config"), visible(&recorded.config));
    say!("\n{}", paint.bold("recorded"));
    show::log(&recorded.trace, paint);
    show::answer(recorded, paint);
    let cost = show::cost(&replayed.recording.trace).map(|cost| format!(" {}", paint.faint(&cost))).unwrap_or_default();
    say!("\n{}{cost}", paint.bold("replayed"));
    show::log(&replayed.recording.trace, paint);
    let builds = || {
        let [before, now] = [&recorded.digest, &replayed.recording.digest].map(|digest| short(digest));
        format!("from another build of the plugin: {before} when it was recorded, {now} now")
    };
    if replayed.same_answer {
        let builds = if replayed.same_plugin { String::new() } else { format!(", {}", builds()) };
        say!("  {}", paint.good(&format!("the same answer, byte by byte{builds}")));
        return;
    }
    show::answer(&replayed.recording, paint);
    let why: &str = match (replayed.same_plugin, input) {
        (false, _) => &format!("another answer, {}", builds()),
        (true, Input::Condition(..)) => {
            "another answer from the same build: it depends on more than series, configuration and state, such as what \
             its memory held from earlier calls"
        }
        (true, _) => {
            "another answer from the same build: it depends on more than its input and configuration, such as what its \
             memory held from earlier calls"
        }
    };
    say!("  {}", paint.bad(why));
}
