//! Everything that can happen to the engine.

use std::sync::Arc;

use watchfire_model::{Alert, Annotations, Duration, Fingerprint, Labels, RuleId, Timestamp};
use watchfire_plugin::{Decision, PluginError, StateWrite};
use watchfire_tsdb::SampleValue;

use crate::{
    AcknowledgeCommand, Definitions, EvaluationId, NotificationId, PluginStateRecord, Record, RouteRequestId, Silence,
    SilenceDraft, SilenceId,
};

/// One thing that happened. The list is closed: nothing else can wake the engine.
#[derive(Clone, Debug)]
pub enum Input {
    /// What was persisted before; once, before the first [`Input::Reload`].
    Restore(Vec<Record>),
    /// New definitions replace the old ones; what is unchanged goes on undisturbed (contract C2).
    Reload(Arc<Definitions>),
    /// What rules remember was changed without an evaluation: it went to another rule, or nobody needs it.
    Remembered(Vec<PluginStateRecord>),
    /// Data that these rules read has arrived.
    Touched(Vec<RuleId>),
    /// An [`Output::Evaluate`](crate::Output::Evaluate) was carried out.
    Evaluated(Evaluation),
    /// Alerts from outside, with the fields as the sender gave them: a missing end is `None`, a missing start is
    /// [`Timestamp::MIN`]. `updated_at` and `timeout` are set here.
    Alerts(Vec<Alert>),
    /// An [`Output::Route`](crate::Output::Route) was answered.
    Routed {
        /// Which one.
        id: RouteRequestId,
        /// A decision for each alert, in order.
        result: Result<Vec<Decision>, PluginError>,
    },
    /// An [`Output::Deliver`](crate::Output::Deliver) came to an end.
    Delivered {
        /// Which one.
        id: NotificationId,
        /// The attempt's number.
        attempt: u32,
        /// How it ended.
        outcome: DeliveryOutcome,
        /// Why the built-in message went in place of the receiver's own words, if it did.
        stand_in: Option<String>,
    },
    /// What an [`Output::Confirm`](crate::Output::Confirm) asked about is durable.
    Confirmed,
    /// Somebody sets or ends a silence. [`Engine::set_silence`](crate::Engine::set_silence) does the same and answers.
    Silence(SilenceCommand),
    /// Somebody looks after alerts, or no longer. [`Engine::acknowledge`](crate::Engine::acknowledge) does the same and
    /// answers.
    Acknowledge(AcknowledgeCommand),
    /// Only time has passed.
    Tick,
}

/// What is to be done about a silence.
#[derive(Clone, Debug)]
pub enum SilenceCommand {
    /// Makes or changes one.
    Set(SilenceDraft),
    /// Ends one.
    Expire(SilenceId),
    /// Takes these as they are: another engine on the same store made, changed or ended them.
    Adopt(Vec<Silence>),
}

/// The answer to an evaluation request.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The request's id.
    pub id: EvaluationId,
    /// The rule.
    pub rule: RuleId,
    /// The request's time.
    pub at: Timestamp,
    /// How long it took, to be shown.
    pub took: Duration,
    /// What came out, or why nothing did. An error leaves every alert of the rule as it is.
    pub result: Result<EvaluationResult, String>,
    /// What decided in place of the rule's condition, and why, if the condition gave no answer and something came out
    /// nevertheless.
    pub stand_in: Option<String>,
    /// What the rule's plugin remembers from now on.
    pub state_writes: Vec<StateWrite>,
}

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub enum EvaluationResult {
    /// The instances of an alerting rule.
    Instances {
        /// Those whose condition holds, label sets being unique.
        active: Vec<ActiveInstance>,
        /// Those about which nothing can be said; they stay as they are.
        unknown: Vec<Labels>,
        /// Of the instances that the request named, those whose data are missing.
        missing: Vec<Labels>,
        /// Of the instances that the request named, those whose recovery condition holds.
        recovered: Vec<Labels>,
    },
    /// Of an alerting rule nothing new can be said: what the last evaluation found is found again.
    LastAnswer,
    /// The series of a recording rule, with final labels, label sets being unique.
    Samples(Vec<(Labels, SampleValue)>),
}

/// An instance whose condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveInstance {
    /// The alert's final labels, `alertname` among them, `__name__` not.
    pub labels: Labels,
    /// The expanded annotations.
    pub annotations: Annotations,
    /// The value.
    pub value: f64,
}

/// How an attempt to deliver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver has it.
    Delivered {
        /// What it answered, for people.
        receipt: String,
    },
    /// It may work later.
    Retry {
        /// Not before this time has passed, if the receiver said so.
        after: Option<Duration>,
        /// What went wrong.
        reason: String,
    },
    /// A part of it is done; the rest is to be tried again.
    Partly {
        /// What is done, in the channel's own words: they come with the next attempt.
        done: String,
        /// What is wrong with the rest.
        reason: String,
    },
    /// The receiver does not want it and never will.
    Rejected {
        /// What it said.
        reason: String,
    },
    /// Of several messages, of which each tells of one alert, it has some and does not want the others and never will.
    RejectedInPart {
        /// The alerts of those that it does not want.
        alerts: Vec<Fingerprint>,
        /// What it answered to the others, for people.
        receipt: String,
        /// What it said to these.
        reason: String,
    },
}
