//! `watchfire plugin dev`: build on every save, try it on data, show what it decides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration as StdDuration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use watchfire_author::{AuthorError, Project, Trial};
use watchfire_host::{Answer, Input, Recording, visible};
use watchfire_model::Timestamp;
use watchfire_plugin::{Kind, Limits};

use super::data::{self, Live};
use super::show::{self, Paint};
use super::{replay, size};
use crate::args::Login;
use crate::client::Client;
use crate::output::{say, visible_lines};

/// How often the folder is looked at.
const LOOK: StdDuration = StdDuration::from_millis(150);

#[derive(Debug, Args)]
pub(super) struct Dev {
    /// The plugin's folder
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Live data: a running engine, or a Prometheus for conditions
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    url: Option<String>,
    #[command(flatten)]
    login: Login,
    /// Recorded data: the data folder of an engine, or OpenMetrics files
    #[arg(long, value_name = "DIR", requires = "expr")]
    data: Option<PathBuf>,
    /// What a condition looks at
    #[arg(long, value_name = "PROMQL")]
    expr: Option<String>,
    /// A recorded call, made again after each build; see `watchfire plugin calls`
    #[arg(long, value_name = "FILE")]
    call: Vec<PathBuf>,
    /// The configuration as JSON [default: that of the plugin's tests]
    #[arg(long, value_name = "JSON", value_parser = super::plugin_config)]
    config: Option<String>,
    /// Which of the things that the plugin offers
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
    /// Seconds between two evaluations over live or recorded data
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Once, without waiting for a save
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(options: &Dev) -> Result<ExitCode> {
    if options.expr.is_some() && options.url.is_none() && options.data.is_none() {
        bail!("--expr needs data: --url of a running engine, or --data with what was recorded");
    }
    let paint = Paint::of_terminal();
    let client = options.url.as_deref().map(|url| Client::new(url, &options.login)).transpose()?;
    let live = client.map(|client| Live { client, expr: options.expr.clone() });
    // What a condition remembers of live data survives a save, as it would in an engine.
    let mut state = BTreeMap::new();
    // Where there never was a plugin, none is awaited. One that is away for a moment, as while a branch is checked out,
    // comes back with a save.
    let mut was_there = false;
    loop {
        let saved = watchfire_author::saved(&options.folder);
        let begun = Round::begin(options, paint);
        let is_there = !matches!(&begun, Err(error) if matches!(error.downcast_ref(), Some(AuthorError::NoProject(_))));
        was_there |= is_there;
        let good = match begun {
            Ok((round, mut good)) => loop {
                if let Some(live) = &live {
                    good &= round.live(live, &mut state).await;
                }
                if options.once || wait(&options.folder, saved, live.as_ref().map(|_| options.every)).await {
                    break good;
                }
            },
            Err(error) if options.once || !was_there => return Err(error),
            Err(error) => {
                if let Some(error) = super::tell_place(error) {
                    say!("  {} {error:#}", paint.bad("failed:"));
                }
                wait(&options.folder, saved, None).await;
                false
            }
        };
        if options.once {
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
}

/// Waits for a save, or so many seconds; answers whether something was saved.
async fn wait(folder: &Path, saved: u64, seconds: Option<u32>) -> bool {
    let begin = now();
    loop {
        tokio::time::sleep(LOOK).await;
        if watchfire_author::saved(folder) != saved {
            return true;
        }
        if seconds.is_some_and(|seconds| begin.elapsed() >= StdDuration::from_secs(seconds.into())) {
            return false;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long it took is shown, and when to look again decides nothing")]
fn now() -> Instant {
    Instant::now()
}

/// A build, and what it is tried on.
struct Round<'d> {
    options: &'d Dev,
    paint: Paint,
    /// What was built.
    file: PathBuf,
    trial: Trial,
}

impl<'d> Round<'d> {
    /// Builds, and tries what is there to be tried without an engine; answers whether all went well.
    fn begin(options: &'d Dev, paint: Paint) -> Result<(Round<'d>, bool)> {
        let project = Project::open(&options.folder)?;
        let began = now();
        let built = watchfire_author::build(&project, None)?;
        let took = began.elapsed();
        let began = now();
        let trial = Trial::load(&built.path, Limits::STANDARD, Some(&project.cache()))?;
        say!(
            "{} {}",
            paint.bold(project.name()),
            paint.faint(&format!(
                "built in {:.1} s, loaded in {} ms, {}",
                took.as_secs_f64(),
                began.elapsed().as_millis(),
                size(built.bytes)
            ))
        );
        let round = Round { options, paint, file: built.path, trial };
        let good = round.cases(&project)? & round.calls()? & round.played()?;
        Ok((round, good))
    }

    /// The plugin's own cases; those that pass are only counted.
    fn cases(&self, project: &Project) -> Result<bool> {
        let (mut passed, mut failed) = (0, 0);
        for file in project.cases()? {
            for case in self.trial.run_cases(&file)? {
                if case.failures.is_empty() {
                    passed += 1;
                    continue;
                }
                failed += 1;
                say!("  {} {}: {}", self.paint.bad("FAIL"), shown(&file), visible(&case.name));
                case.failures.iter().for_each(|failure| say!("       {}", visible_lines(failure)));
                show::log(&case.trace, self.paint);
            }
        }
        match (passed, failed) {
            (0, 0) => {}
            (_, 0) => say!("  {}", self.paint.good(&format!("{passed} cases passed"))),
            _ => say!("  {passed} cases passed, {}", self.paint.bad(&format!("{failed} failed"))),
        }
        Ok(failed == 0)
    }

    /// The recorded calls.
    fn calls(&self) -> Result<bool> {
        let mut answered = true;
        for path in &self.options.call {
            let recorded = replay::read(path)?;
            let replayed = self.trial.replay(&recorded);
            answered &= replayed.recording.answer.is_ok();
            replay::tell(&recorded, &replayed, self.paint);
        }
        Ok(answered)
    }

    /// Recorded data: each evaluation with findings or a failure is shown.
    fn played(&self) -> Result<bool> {
        let (Some(folder), Some(expr)) = (&self.options.data, &self.options.expr) else { return Ok(true) };
        let (_, part) = self.part()?;
        let (mut state, mut evaluations, mut found, mut good) = (BTreeMap::new(), 0_u64, 0_u64, true);
        data::play(folder, expr, self.options.every, &mut |batch| {
            let call = self.call(part, &Input::Condition(batch, std::mem::take(&mut state)))?;
            evaluations += 1;
            state = call.state_after();
            let quiet = match &call.answer {
                Ok(Answer::Condition(outcome, _)) => outcome.findings.is_empty(),
                _ => false,
            };
            if !quiet {
                found += 1;
                self.tell(&call);
            }
            good &= call.answer.is_ok();
            Ok(())
        })?;
        say!("  {expr} over {}: {evaluations} evaluations, {found} with findings", shown(folder));
        Ok(good)
    }

    /// What is so now.
    async fn live(&self, live: &Live, state: &mut BTreeMap<String, Vec<u8>>) -> bool {
        let input = match self.part() {
            Ok((kind, part)) => live.input(kind, state).await.map(|input| (kind, part, input)),
            Err(error) => Err(error),
        };
        match input.and_then(|(kind, part, input)| Ok((kind, self.call(part, &input)?))) {
            Ok((kind, call)) => {
                if kind == Kind::Condition {
                    *state = call.state_after();
                }
                self.tell(&call);
                call.answer.is_ok()
            }
            // The engine may be back when it is asked again.
            Err(error) => {
                say!("  {} {error:#}", self.paint.bad("no data:"));
                false
            }
        }
    }

    /// What of the plugin is tried: what looks at an expression where there is one, and what else was asked for.
    fn part(&self) -> Result<(Kind, &str)> {
        let Dev { part: asked, expr, .. } = self.options;
        let fits = |(kind, name): &&(Kind, String)| {
            (expr.is_none() || *kind == Kind::Condition) && asked.as_ref().is_none_or(|asked| asked == name)
        };
        let parts = self.trial.parts();
        match parts.iter().filter(fits).collect::<Vec<_>>()[..] {
            [(kind, name)] => Ok((*kind, name.as_str())),
            _ => {
                let names: Vec<String> = parts.iter().map(|(kind, name)| format!("{} {name}", kind.as_str())).collect();
                let tried = if expr.is_some() { "condition to try with --expr" } else { "one to try" };
                bail!("say with --part which {tried}; there is {}", names.join(", "))
            }
        }
    }

    fn call(&self, part: &str, input: &Input) -> Result<Recording> {
        let given = self.options.config.clone();
        let config = given.map_or_else(|| watchfire_author::tested_config(&self.file, input.kind()), Ok)?;
        Ok(self.trial.call_or_failure(part, &config, input))
    }

    fn tell(&self, call: &Recording) {
        say!("{} {}", self.paint.bold(&clock(call.input.at())), show::input(&call.input));
        show::log(&call.trace, self.paint);
        show::answer(call, self.paint);
        if let Some(cost) = show::cost(&call.trace) {
            say!("  {}", self.paint.faint(&cost));
        }
    }
}

/// The time of day.
fn clock(at: Timestamp) -> String {
    at.to_rfc3339().get(11..19).unwrap_or_default().to_owned()
}

fn shown(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
