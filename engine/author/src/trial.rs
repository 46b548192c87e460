//! A plugin in the metered engine, tried call by call: for cases, for recorded calls, for what is under development.

use std::path::Path;

use watchfire_host::{CaseReport, Cases, Failure, Host, HostSettings, Input, Recording, Source, Trace};
use watchfire_plugin::{Kind, Limits, PluginError, Provider, State, StateLimits};

use crate::AuthorError;
use crate::document::{Document, SUBJECT_HELP};

/// The name under which the plugin is loaded.
const PLUGIN: &str = "plugin";

/// A plugin that is loaded to be tried. Each call gets a fresh instance and what it is given, nothing else, so that the
/// same call gives the same answer.
#[derive(Debug)]
pub struct Trial {
    host: Host,
    offers: Vec<Offer>,
    digest: String,
    limits: Limits,
}

/// Something that a plugin offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it is.
    pub kind: Kind,
    /// Its name within the plugin; `None` where it is the only one of its kind.
    pub part: Option<String>,
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
            ..HostSettings::default()
        };
        let host = Host::new(HostSettings { limits, ..settings })?;
        let info = host.load(PLUGIN, Source::File(plugin))?;
        let part = |name: &str| name.split_once('/').map(|(_, part)| part.to_owned());
        let offers = info.descriptors.iter().map(|offer| Offer { kind: offer.kind, part: part(&offer.name) });
        Ok(Trial { host, offers: offers.collect(), digest: info.digest, limits })
    }

    /// What the plugin offers.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// Makes one call of what the plugin offers under the name `part`, or as the only one of its kind.
    ///
    /// # Errors
    /// If it cannot be opened; a call that fails is an answer.
    pub fn call(&self, part: Option<&str>, config: &str, input: &Input) -> Result<Recording, PluginError> {
        let address = part.map_or_else(|| PLUGIN.to_owned(), |part| format!("{PLUGIN}/{part}"));
        // The answer is part of what is recorded.
        match input {
            Input::Condition(batch, state) => {
                let mut condition = self.host.open_condition(&address, config)?;
                self.host.record(PLUGIN, 1);
                let mut state =
                    State::new(StateLimits { total_bytes_max: usize::MAX, ..StateLimits::STANDARD }, state.clone());
                drop(condition.evaluate(batch, &mut state));
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
    pub fn call_or_failure(&self, part: Option<&str>, config: &str, input: &Input) -> Recording {
        self.call(part, config, input).unwrap_or_else(|error| Recording {
            plugin: PLUGIN.to_owned(),
            number: 0,
            digest: self.digest.clone(),
            part: part.unwrap_or(PLUGIN).to_owned(),
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
        let document = Document::open(file)?;
        let cases: Cases = document.read()?;
        let reports = cases.run(|part, config, input| {
            let Recording { answer, trace, .. } = self.call_or_failure(Some(part), config, input);
            (answer, trace)
        });
        reports.map_err(|message| document.wrong(&[], message, SUBJECT_HELP))
    }

    /// Makes a recorded call again and compares the answers.
    pub fn replay(&self, recorded: &Recording) -> Replayed {
        let recording = self.call_or_failure(Some(&recorded.part), &recorded.config, &recorded.input);
        Replayed {
            same_plugin: self.digest == recorded.digest,
            same_answer: recording.answer_json() == recorded.answer_json(),
            recording,
        }
    }
}
