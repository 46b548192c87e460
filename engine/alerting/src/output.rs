//! Everything that the engine wants done.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_model::{Alert, Duration, Labels, RuleGroupId, RuleId, Timestamp};
use watchfire_plugin::PluginUse;
use watchfire_tsdb::Point;

use crate::{
    Change, EvaluationId, GroupKey, IntegrationKey, NotificationId, NotifyReason, Record, RouteId, RouteRequestId,
    SettingsDigest, TargetKey,
};

/// One thing to do. Outputs are executed in order; what a drain persists about a target is committed before an
/// [`Output::Deliver`] of the same drain to it, as [`Unsaved`](crate::Unsaved) says.
#[derive(Clone, Debug)]
pub enum Output {
    /// Evaluate one rule and answer with [`Input::Evaluated`](crate::Input::Evaluated).
    Evaluate(EvaluateRequest),
    /// Write these samples to the series store before any later evaluation runs.
    Append(Vec<(Labels, Point)>),
    /// Keep this over a restart.
    Persist(Box<Record>),
    /// Answer with [`Input::Confirmed`](crate::Input::Confirmed) once every [`Output::Persist`] before this is durable.
    Confirm,
    /// Try to deliver and answer with [`Input::Delivered`](crate::Input::Delivered).
    Deliver(Box<Delivery>),
    /// Tell the Alertmanagers beside the engine, each as well as it can be reached: what is lost is sent again.
    Forward(Vec<Alert>),
    /// Ask a router plugin and answer with [`Input::Routed`](crate::Input::Routed).
    Route(RouteRequest),
    /// A rule took the place of another one, which is not defined any more, and goes on with its alerts: what the other
    /// one remembers is its from now on, before any later evaluation runs.
    TookOver {
        /// The rule whose place it takes.
        old: RuleId,
        /// The rule that takes it.
        new: RuleId,
    },
    /// Something changed or was decided, for those who watch.
    Changed(Arc<Change>),
}

/// A rule to evaluate. Of one rule group there is at most one such request at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluateRequest {
    /// To be given back.
    pub id: EvaluationId,
    /// The rule's group.
    pub group: RuleGroupId,
    /// The rule.
    pub rule: RuleId,
    /// The time of the evaluation: the slot's, not the clock's.
    pub at: Timestamp,
    /// The query runs at `at - query_offset`.
    pub query_offset: Duration,
    /// Why now.
    pub cause: Cause,
    /// The instances, pending or firing, about which the answer must say whether they are missing or have recovered if
    /// it does not find them; empty for a rule with neither `ignore_missing` nor `resolve_when`, but for a while after a
    /// restart.
    pub instances: Arc<[Labels]>,
    /// Whether the rule has neither instances nor series, so that finding nothing changes nothing.
    pub idle: bool,
}

/// Why a rule is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Its group's interval has passed.
    Interval,
    /// Data that it reads has arrived.
    Arrival,
}

/// A notification, to be tried once.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The notification; the same on every attempt.
    pub id: NotificationId,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The receiver's name.
    pub receiver: Arc<str>,
    /// Which of its integrations.
    pub integration: IntegrationKey,
    /// The settings of that, by which it is found in the configuration: a reload may come in between.
    pub settings: SettingsDigest,
    /// The alert group.
    pub group_key: GroupKey,
    /// The labels by which the alerts are grouped.
    pub group_labels: Labels,
    /// The route's labels for messages; the values may be templates.
    pub route_labels: Arc<BTreeMap<String, String>>,
    /// The route node that the group belongs to.
    pub route_id: RouteId,
    /// Why it is sent.
    pub reason: NotifyReason,
    /// How many of its alerts a rate limit had held back; 0 where it is no digest.
    pub folded: usize,
    /// How many alerts fire that the receiver knows and that are not said again, where only changes are told.
    pub unsaid_firing: usize,
    /// Whether somebody looks after all that fires: a message that is updated shows it.
    pub looked_after: bool,
    /// The alerts, firing ones first and without an end, then resolved ones.
    pub alerts: Arc<[Alert]>,
    /// When it was decided to send it.
    pub at: Timestamp,
    /// What the receiver answered to the last notification about the group that it took; empty if it took none. A
    /// channel finds in it the message that it is to continue.
    pub receipt: Arc<str>,
    /// What earlier attempts have done of it, as the channel said; empty if nothing.
    pub done: Arc<str>,
}

/// A question to a router plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRequest {
    /// To be given back.
    pub id: RouteRequestId,
    /// The plugin and its configuration.
    pub plugin: PluginUse,
    /// The time to pass to it.
    pub at: Timestamp,
    /// The alerts to decide about.
    pub alerts: Vec<Alert>,
}

impl Cause {
    /// The lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Interval => "interval",
            Cause::Arrival => "arrival",
        }
    }
}

impl Delivery {
    /// The hash of its target.
    pub(crate) fn target_hash(&self) -> u64 {
        TargetKey::hash_of(&self.group_key, &self.receiver, &self.integration)
    }

    /// Whether nothing fires any more of what the receiver is told.
    pub fn is_resolved(&self) -> bool {
        self.unsaid_firing == 0 && self.alerts.iter().all(|alert| alert.ends_at.is_some())
    }
}
