//! Recorded calls: what went into a plugin and what came out, so that an author can run the call again.
//!
//! A call is a function of what is recorded here: the plugin, its configuration, its input, the state before. What a plugin
//! gets in the place of a secret has another word here, in what went in, what came out and what was said on the way. Failed
//! calls are kept without being asked for, others on demand; per plugin the newest few, bounded in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use watchfire_model::Timestamp;
use watchfire_plugin::{
    AlertView, Batch, Decision, Kind, Limits, Message, MessageGroup, Outcome, PluginError, State, StateWrite,
};

use crate::PluginCounters;

/// Recorded calls that are kept per plugin.
const CALLS_MAX: usize = 8;
/// Bytes that they may take together, as [`Recording::bytes`] reckons.
const BYTES_MAX: usize = 16 << 20;
/// Numbers, pointers and lengths beside a text.
const BESIDES: usize = 48;

/// One call of `evaluate`, `route` or `format`.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The plugin's name.
    pub plugin: String,
    /// Counts the recorded calls of this plugin, from 1.
    pub number: u64,
    /// SHA-256 of the `.wasm` file as hexadecimal digits.
    pub digest: String,
    /// What of the plugin was called, as the plugin names it.
    pub part: String,
    /// Its configuration as JSON text.
    pub config: String,
    /// What the call might use.
    pub limits: Limits,
    /// What went in.
    pub input: Input,
    /// What came out.
    pub answer: Result<Answer, Failure>,
    /// What it cost.
    pub trace: Trace,
}

/// What a plugin was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// To `evaluate`: the series or events, and what the rule's state was before.
    Condition(Batch, BTreeMap<String, Vec<u8>>),
    /// To `route`.
    Router(Timestamp, Vec<AlertView>),
    /// To `format`.
    Formatter(MessageGroup),
}

/// What a plugin answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The findings, and what it wrote into its state.
    Condition(Outcome, Vec<StateWrite>),
    /// One decision per alert.
    Router(Vec<Decision>),
    /// The message.
    Formatter(Message),
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The word of [`PluginError::kind`].
    pub kind: String,
    /// What the user was told.
    pub message: String,
}

/// What a call did on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// What it logged, as far as its limits let it.
    pub log: Vec<LogLine>,
    /// Linear memory of the instance after the call.
    pub memory_bytes: u64,
    /// How long it took.
    pub nanoseconds: u64,
    /// The instructions that it took; 0 where the host does not count them.
    pub instructions: u64,
}

/// A line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How bad it is.
    pub level: tracing::Level,
    /// The text.
    pub message: String,
}

impl Input {
    /// What the plugin was asked for.
    pub const fn kind(&self) -> Kind {
        match self {
            Input::Condition(..) => Kind::Condition,
            Input::Router(..) => Kind::Router,
            Input::Formatter(_) => Kind::Formatter,
        }
    }

    /// The time that the plugin saw.
    pub const fn at(&self) -> Timestamp {
        match self {
            Input::Condition(batch, _) => batch.at,
            Input::Router(at, _) => *at,
            Input::Formatter(group) => group.at,
        }
    }

    /// For `evaluate`: with the state as it was before the call, whether its writes are staged still or gone.
    pub(crate) fn of_condition(batch: &Batch, state: &State) -> Input {
        let committed = state.committed().map(|(key, value)| (key.to_owned(), value.to_vec()));
        Input::Condition(batch.clone(), committed.collect())
    }

    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let alerts = |alerts: &[AlertView]| -> usize {
            let texts = alerts.iter().map(|view| {
                let annotations = view.alert.annotations.iter().map(|(name, value)| name.len() + value.len() + BESIDES);
                view.alert.labels.heap_bytes() + view.alert.generator_url.len() + annotations.sum::<usize>()
            });
            texts.map(|bytes| bytes + 4 * BESIDES).sum()
        };
        match self {
            Input::Condition(batch, state) => {
                let labels: usize = batch.series.iter().map(|labels| labels.heap_bytes() + BESIDES).sum();
                let events: usize = batch
                    .events
                    .iter()
                    .map(|event| {
                        let fields =
                            event.fields.iter().map(|(name, value)| name.len() + value.to_text().len() + BESIDES);
                        event.id.len() + event.kind.len() + event.body.len() + fields.sum::<usize>() + 2 * BESIDES
                    })
                    .sum();
                let state: usize = state.iter().map(|(key, value)| key.len() + value.len() + BESIDES).sum();
                labels + events + state + batch.values.len() * 16
            }
            Input::Router(_, views) => alerts(views),
            Input::Formatter(group) => alerts(&group.alerts),
        }
    }
}

impl Answer {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Answer::Condition(outcome, writes) => {
                let findings = outcome.findings.iter().map(|finding| finding.summary.len() + BESIDES);
                let writes = writes
                    .iter()
                    .map(|write| write.key.len() + write.value.as_ref().map_or(0, |value| value.len()) + BESIDES);
                findings.sum::<usize>() + outcome.unknown.len() * 4 + writes.sum::<usize>()
            }
            Answer::Router(decisions) => {
                let decisions = decisions.iter().map(|decision| {
                    let receivers = decision.receivers.iter().map(|name| name.len() + BESIDES);
                    receivers.sum::<usize>() + text(&decision.suppress) + text(&decision.group_key) + 2 * BESIDES
                });
                decisions.sum()
            }
            Answer::Formatter(message) => {
                let headers = message.headers.iter().map(|(name, value)| name.len() + value.len() + BESIDES);
                message.title.len() + message.body.len() + headers.sum::<usize>() + 4 * BESIDES
            }
        }
    }
}

impl Recording {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let log = self.trace.log.iter().map(|line| line.message.len() + BESIDES);
        let answer = self.answer.as_ref().map_or(0, Answer::bytes);
        self.config.len() + self.input.bytes() + answer + log.sum::<usize>()
    }

    /// What a rule's state is after the call.
    pub fn state_after(&self) -> BTreeMap<String, Vec<u8>> {
        let Input::Condition(_, state) = &self.input else { return BTreeMap::new() };
        let mut state = state.clone();
        if let Ok(Answer::Condition(_, writes)) = &self.answer {
            apply(writes, &mut state);
        }
        state
    }
}

/// Makes writes part of a state.
pub(crate) fn apply(writes: &[StateWrite], state: &mut BTreeMap<String, Vec<u8>>) {
    for write in writes {
        match &write.value {
            Some(value) => drop(state.insert(write.key.clone(), value.to_vec())),
            None => drop(state.remove(&write.key)),
        }
    }
}

impl From<&PluginError> for Failure {
    fn from(error: &PluginError) -> Failure {
        Failure { kind: error.kind().to_owned(), message: error.to_string() }
    }
}

/// Keeps the recorded calls of one plugin, across its reloads.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// Calls that are still to be recorded because somebody asked.
    wanted: AtomicU32,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    recordings: VecDeque<(usize, Recording)>,
    /// The sum of what stands beside the recordings.
    bytes: usize,
    count: u64,
}

impl Recorder {
    /// Records the next calls, whatever becomes of them.
    pub(crate) fn want(&self, calls: u32) {
        self.wanted.store(calls, Ordering::Relaxed);
    }

    /// Whether to keep a call that just ended.
    pub(crate) fn wants(&self, failed: bool) -> bool {
        let one_less = |wanted: u32| wanted.checked_sub(1);
        let wanted = self.wanted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        failed || wanted
    }

    /// Keeps a recording under the next number; the oldest make room.
    pub(crate) fn keep(&self, recording: Recording) {
        let mut kept = self.lock();
        kept.count += 1;
        let bytes = recording.bytes();
        let number = kept.count;
        kept.bytes += bytes;
        kept.recordings.push_back((bytes, Recording { number, ..recording }));
        while kept.recordings.len() > CALLS_MAX || kept.bytes > BYTES_MAX {
            let Some((bytes, _)) = kept.recordings.pop_front() else { break };
            kept.bytes -= bytes;
        }
    }

    /// Says what is kept, and how much was kept and forgotten.
    pub(crate) fn count(&self, counters: &mut PluginCounters) {
        let kept = self.lock();
        counters.recorded_calls = kept.recordings.len() as u64;
        counters.recorded_bytes = kept.bytes as u64;
        counters.recorded_calls_forgotten = kept.count - counters.recorded_calls;
    }

    /// What is kept, the oldest first.
    pub(crate) fn recordings(&self) -> Vec<Recording> {
        self.lock().recordings.iter().map(|(_, recording)| recording.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
