//! Watchfire's own test language: rules, configuration and what happens when, on virtual time.

mod expect;
mod pattern;
mod read;
mod run;

pub(crate) use read::read;
pub(crate) use run::default_receiver;

use watchfire_alerting::{DeliveryOutcome, Dispatch, Recurrence};
use watchfire_config::Config;
use watchfire_model::{Alert, Duration, Event, Labels, Matcher, Timestamp};
use watchfire_rules::RuleFile;
use watchfire_tsdb::SampleValue;

use expect::Expect;

/// A scenario, ready to be played.
pub(crate) struct Script {
    name: String,
    line: usize,
    start: Timestamp,
    definitions: Definitions,
    on_ingest: Option<bool>,
    interval: Duration,
    series: Vec<(Labels, Vec<Option<SampleValue>>)>,
    steps: Vec<Step>,
}

/// Rules and configuration that are in force together. What a reload does not mention stays as it was.
#[derive(Clone, Default)]
pub(crate) struct Definitions {
    rules: Option<Vec<RuleFile>>,
    config: Option<Config>,
}

/// What happens at one time, and what is then expected.
struct Step {
    line: usize,
    at: Duration,
    actions: Vec<Action>,
    expect: Option<Expect>,
}

enum Action {
    Samples(Vec<(Labels, SampleValue)>),
    Events(Vec<(Duration, Event)>),
    Alerts(Vec<SentAlert>),
    Silence(Box<SilenceStep>),
    Unsilence(String),
    /// Somebody looks after an alert, or wants it quiet.
    Acknowledge {
        labels: Labels,
        by: String,
        lasts: Option<Duration>,
        snooze: bool,
    },
    /// Nobody looks after an alert any more.
    Unacknowledge(Labels),
    Reload(Definitions),
    Deliver {
        receiver: Option<String>,
        plan: Plan,
    },
    Restart(Duration),
}

/// A silence; times are relative to the step.
struct SilenceStep {
    name: String,
    matchers: Vec<Vec<Matcher>>,
    starts: Duration,
    lasts: Duration,
    recurrence: Option<Recurrence>,
    comment: String,
}

/// An alert from outside; times are relative to the step.
struct SentAlert {
    alert: Alert,
    starts: Option<Duration>,
    ends: Option<Duration>,
}

/// How a receiver answers from now on.
#[derive(Clone)]
struct Plan {
    outcome: Option<DeliveryOutcome>,
    after: Duration,
    /// For how many attempts; `None` for all.
    times: Option<u32>,
}

impl Definitions {
    /// What is in force after a reload with `newer`.
    fn merged(&self, newer: &Definitions) -> Definitions {
        Definitions {
            rules: newer.rules.clone().or_else(|| self.rules.clone()),
            config: newer.config.clone().or_else(|| self.config.clone()),
        }
    }

    fn dispatch(&self) -> Dispatch {
        match &self.config {
            Some(config) => config.dispatch.clone(),
            None => Dispatch::to(default_receiver()),
        }
    }
}
