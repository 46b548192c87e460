//! A plugin in the metered engine, tried call by call: for cases, for recorded calls, for what is under development.

use std::path::Path;

use watchfire_host::{BreakerSettings, CaseReport, Failure, Host, HostSettings, Input, Recording, Source, Trace};
use watchfire_plugin::{Kind, Limits, PluginError, Provider, State, ask};

use crate::AuthorError;
use crate::document::Document;

/// The name under which the plugin is loaded.
const PLUGIN: &str = "plugin";

/// A plugin that is loaded to be tried. Each call gets a fresh instance and what it is given, nothing else, so that the
/// same call gives the same answer.
#[derive(Debug)]
pub struct Trial {
    host: Host,
    parts: Vec<(Kind, String)>,
    digest: String,
    limits: Limits,
}

/// A recorded call that was made again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// What came of it.
    pub recording: Recording,
    /// Whether it was made by the same build of the plugin.
    pub same_plugin: bool,
    /// Whether the answer is the same, byte by byte.
    pub same_answer: bool,
}

impl Trial {
    /// Loads a plugin's file under these limits. `cache` keeps the compiled code; it must be this user's alone.
    ///
    /// # Errors
    /// If the engine does not start or the plugin cannot be loaded.
    pub fn load(plugin: &Path, limits: Limits, cache: Option<&Path>) -> Result<Trial, AuthorError> {
        let settings = HostSettings {
            metered: true,
            cache_dir: cache.map(Path::to_owned),
            instances_max: 16,
            breaker: BreakerSettings::NEVER,
            ..HostSettings::default()
        };
        let host = Host::new(HostSettings { limits, ..settings })?;
        let info = host.load(PLUGIN, Source::File(plugin)).map_err(AuthorError::load(plugin))?;
        Ok(Trial { host, parts: info.parts, digest: info.digest, limits })
    }

    /// What the plugin offers, by its own names.
    pub fn parts(&self) -> &[(Kind, String)] {
        &self.parts
    }

    /// Makes one call of what the plugin offers under the name `part`.
    ///
    /// # Errors
    /// If it cannot be opened; a call that fails is an answer.
    pub fn call(&self, part: &str, config: &str, input: &Input) -> Result<Recording, PluginError> {
        let address = format!("{PLUGIN}/{part}");
        // The answer is part of what is recorded.
        match input {
            Input::Condition(batch, state) => {
                let mut condition = self.host.open_condition(&address, config)?;
                self.host.record(PLUGIN, 1);
                let limits = self.host.limits(PLUGIN).unwrap_or(self.limits);
                let mut state = State::new(limits.state(), state.clone());
                drop(ask(condition.as_mut(), batch, &mut state));
            }
            Input::Router(at, alerts) => {
                let mut router = self.host.open_router(&address, config)?;
                self.host.record(PLUGIN, 1);
                drop(router.route(*at, alerts));
            }
            Input::Formatter(group) => {
                let mut formatter = self.host.open_formatter(&address, config)?;
                self.host.record(PLUGIN, 1);
                drop(formatter.format(group));
            }
        }
        let newest = self.host.recordings(PLUGIN).and_then(|mut recordings| recordings.pop());
        newest.ok_or_else(|| PluginError::Internal("the call is larger than what can be recorded".to_owned()))
    }

    /// As [`Trial::call`]; not to be opened is one more way to fail.
    pub fn call_or_failure(&self, part: &str, config: &str, input: &Input) -> Recording {
        self.call(part, config, input).unwrap_or_else(|error| Recording {
            plugin: PLUGIN.to_owned(),
            number: 0,
            digest: self.digest.clone(),
            part: part.to_owned(),
            config: config.to_owned(),
            limits: self.limits,
            input: input.clone(),
            answer: Err(Failure::from(&error)),
            trace: Trace::default(),
        })
    }

    /// Runs a file of cases, read from YAML.
    ///
    /// # Errors
    /// If the file cannot be used; a case that fails is in its report.
    pub fn run_cases(&self, file: &Path) -> Result<Vec<CaseReport>, AuthorError> {
        let cases = Document::open(file)?.cases()?;
        let reports = cases.run(|part, config, input| {
            let Recording { answer, trace, .. } = self.call_or_failure(part, config, input);
            (answer, trace)
        });
        // What they are about was looked at when they were read.
        let place = || file.display().to_string();
        let reports =
            reports.map_err(|message| AuthorError::Content { place: place(), message: message.to_owned() })?;
        Ok(reports.collect())
    }

    /// Makes a recorded call again and compares the answers.
    pub fn replay(&self, recorded: &Recording) -> Replayed {
        let recording = self.call_or_failure(&recorded.part, &recorded.config, &recorded.input);
        Replayed {
            same_plugin: self.digest == recorded.digest,
            same_answer: recording.answer_json() == recorded.answer_json(),
            recording,
        }
    }
}
