//! What the user defined: rules as far as their alerts' life is concerned, and dispatch.

use std::sync::Arc;

use watchfire_model::{Duration, Labels, RuleGroupId, RuleId};

use crate::{InhibitRule, Route, RuleSchedule, SettingsDigest, TimeInterval};

/// Everything that a reload replaces at once.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// The rule groups, in the order in which they are shown.
    pub groups: Vec<RuleGroupSpec>,
    /// Who is told what.
    pub dispatch: Dispatch,
    /// After what time Alertmanagers beside the engine are told again of a rule's alert; absent if there are none.
    pub resend_delay: Option<Duration>,
}

/// Rules that are evaluated together, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleGroupSpec {
    /// The identity, from file and name.
    pub id: RuleGroupId,
    /// The file that it stands in.
    pub file: Arc<str>,
    /// Its name, unique within the file.
    pub name: Arc<str>,
    /// Time between two evaluations; defaults are already applied. At least a millisecond.
    pub interval: Duration,
    /// How far in the past the queries look; samples that the group writes are stamped as much earlier.
    pub query_offset: Duration,
    /// How many instances (or recorded series) a rule may have; 0 for no limit but that of the settings.
    pub limit: usize,
    /// Whether a rule may read what one before it writes, so that each waits for the one before it. Otherwise all of
    /// them are asked for at once.
    pub in_order: bool,
    /// The rules in order.
    pub rules: Vec<RuleSpec>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSpec {
    /// The identity, stable across reloads.
    pub id: RuleId,
    /// The alert's name or the recorded metric's.
    pub name: Arc<str>,
    /// What becomes of a result.
    pub kind: RuleKind,
    /// Where the rule can be looked at, for its alerts; may be empty.
    pub generator_url: Arc<str>,
}

/// What becomes of a rule's result.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// Each element is an instance of an alert.
    Alerting(Life),
    /// Each element is a sample of a new series.
    Recording,
}

/// How the instances of an alerting rule live. The default is a rule that says nothing of this.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Life {
    /// How long the condition must hold before the alert fires.
    pub for_: Duration,
    /// How long the alert keeps firing after the condition, or with severities the present severity, is gone.
    pub keep_firing_for: Duration,
    /// How long an instance stays as it is while the data are missing that would say whether its condition holds.
    pub ignore_missing: Duration,
    /// Whether an alert that fires ends only when evaluations say that it has recovered.
    pub resolve_when: bool,
    /// The values that the label `severity` can have, from the mildest to the worst. Where there are any, that label is
    /// no part of an instance's identity: the instance changes its severity and goes on.
    pub severities: Arc<[Arc<str>]>,
    /// When the rule looks at all; always if it does not say.
    pub schedule: Option<RuleSchedule>,
}

impl Life {
    /// Whether an evaluation has to say more about the instances that it does not find.
    pub(crate) fn asks_about_instances(&self) -> bool {
        self.resolve_when || !self.ignore_missing.is_zero()
    }

    /// How bad a severity is; one that is not known is the mildest.
    pub(crate) fn rank(&self, severity: &str) -> usize {
        self.severities.iter().position(|known| **known == *severity).map_or(0, |position| position + 1)
    }
}

/// Who is told what: the route tree with everything that it refers to by name.
///
/// The names must be resolvable; the configuration's validation sees to it. A receiver that is not there is treated as
/// one without integrations, and an interval that is not there as one that contains no time.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The root of the tree; matches every alert, whatever its matchers.
    pub route: Route,
    /// The receivers.
    pub receivers: Vec<ReceiverSpec>,
    /// When an alert is not told because another one fires.
    pub inhibit_rules: Vec<InhibitRule>,
    /// The intervals that routes name.
    pub time_intervals: Vec<TimeInterval>,
    /// When an alert from outside ends that came without an end and is not sent again; 5 minutes by default.
    pub resolve_timeout: Duration,
}

/// A receiver, as far as deciding goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its integrations, in the order of the configuration.
    pub integrations: Vec<IntegrationSpec>,
}

/// One integration of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationSpec {
    /// The channel, such as `slack`.
    pub kind: Arc<str>,
    /// Whether it is told about alerts that ended.
    pub send_resolved: bool,
    /// Whether it shows that somebody looks after what fires, so that it is told of it.
    pub takes_acknowledgements: bool,
    /// Its settings, by which it is found again when the configuration is edited. No two of one kind may have the same.
    pub settings: SettingsDigest,
}

impl Dispatch {
    /// One receiver for everything and nothing else: a start for tests and embedders.
    pub fn to(receiver: ReceiverSpec) -> Dispatch {
        Dispatch {
            route: Route::root(&receiver.name),
            receivers: vec![receiver],
            inhibit_rules: Vec::new(),
            time_intervals: Vec::new(),
            resolve_timeout: Duration::from_mins(5),
        }
    }

    /// The route nodes that an alert with these labels ends at, in order.
    pub fn route(&self, labels: &Labels) -> Vec<&Route> {
        self.route.match_labels(labels)
    }
}
