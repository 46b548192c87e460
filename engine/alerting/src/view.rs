//! What can be read: the state as APIs and the UI show it.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_model::{Alert, AlertStatus, Annotations, Duration, Fingerprint, Labels, RuleGroupId, RuleId, Timestamp};

use crate::{
    Acknowledgement, GroupKey, LogEntry, NotificationId, Notify, NotifyReason, RouteId, RuleKind, SilenceId,
    SuppressReason, TargetKey,
};

/// Where an instance of an alerting rule is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceState {
    /// The condition holds, `for` has not passed.
    Pending,
    /// The alert fires.
    Firing,
    /// The alert fired and is over.
    Resolved,
}

/// One instance of an alerting rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The labels.
    pub labels: Labels,
    /// The annotations at the last evaluation that found it.
    pub annotations: Annotations,
    /// The value at that evaluation.
    pub value: f64,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Since when the condition holds.
    pub active_at: Timestamp,
    /// When it began to fire.
    pub fired_at: Option<Timestamp>,
    /// When it ended.
    pub resolved_at: Option<Timestamp>,
    /// Since when only `keep_firing_for` keeps it firing, or firing as badly as it does.
    pub keep_firing_since: Option<Timestamp>,
    /// Since when its data are missing and `ignore_missing`, or a restart not long ago, keeps it as it is.
    pub missing_since: Option<Timestamp>,
}

/// How the last evaluation of a rule went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleHealth {
    /// There was none yet.
    Unknown,
    /// Well.
    Ok,
    /// It failed, with this message.
    Error(Arc<str>),
}

/// A rule group and how it does.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleGroupView {
    /// The identity.
    pub id: RuleGroupId,
    /// The file.
    pub file: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// Time between evaluations.
    pub interval: Duration,
    /// How far in the past the queries look.
    pub query_offset: Duration,
    /// Its limit of instances per rule, 0 for none.
    pub limit: usize,
    /// The time of the last complete evaluation; absent if there was none.
    pub last_evaluation: Option<Timestamp>,
    /// How long its rules took together in that evaluation.
    pub evaluation_time: Duration,
    /// When the next slot is due.
    pub next_evaluation: Timestamp,
    /// How many slots were missed.
    pub slots_missed: u64,
    /// Its rules in order.
    pub rules: Vec<RuleView>,
}

/// A rule and how it does.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleView {
    /// The identity.
    pub id: RuleId,
    /// Its group.
    pub group: RuleGroupId,
    /// The name.
    pub name: Arc<str>,
    /// What becomes of its result.
    pub kind: RuleKind,
    /// The worst state of its instances; absent if it has none that is pending or firing.
    pub state: Option<InstanceState>,
    /// How the last evaluation went.
    pub health: RuleHealth,
    /// What decided in the last evaluation in place of the rule's condition, and why, if that gave no answer.
    pub stand_in: Option<Arc<str>>,
    /// The time of the last evaluation; absent if there was none.
    pub last_evaluation: Option<Timestamp>,
    /// How long it took.
    pub evaluation_time: Duration,
    /// How many instances or series the last evaluation left out because of a limit.
    pub dropped: usize,
    /// The time of its cron schedule for which it was evaluated last, if that was later than usual because the engine was
    /// down or the evaluation failed.
    pub made_up_for: Option<Timestamp>,
    /// Its instances, by labels.
    pub instances: Vec<Instance>,
}

impl RuleView {
    /// What was wrong with the last evaluation: why it failed, that the condition gave no answer, or that a limit left
    /// something out.
    pub fn complaint(&self) -> Option<String> {
        match &self.health {
            RuleHealth::Error(error) => Some(error.to_string()),
            RuleHealth::Ok | RuleHealth::Unknown if self.stand_in.is_some() => {
                self.stand_in.as_deref().map(str::to_owned)
            }
            RuleHealth::Ok | RuleHealth::Unknown if self.dropped > 0 => {
                let results =
                    if self.dropped == 1 { "1 result was" } else { &format!("{} results were", self.dropped) };
                Some(format!("exceeded the limit: {results} left out, those that came first are kept"))
            }
            RuleHealth::Ok | RuleHealth::Unknown => None,
        }
    }
}

/// Whether somebody may be told about an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertViewState {
    /// It was not looked at yet: a router plugin was asked and has not answered.
    Unprocessed,
    /// It is told.
    Active,
    /// It is not told, for the reasons given beside it.
    Suppressed,
}

/// An alert in dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertView {
    /// The alert. Of a rule's alert that fires, `ends_at` is absent.
    pub alert: Alert,
    /// When it ended or, while it fires, when it is to be taken as ended by somebody who hears nothing more about it:
    /// for a rule's alert four times the longer of its group's interval and a minute after the last evaluation.
    pub expires_at: Timestamp,
    /// Its id.
    pub fingerprint: Fingerprint,
    /// Firing or resolved.
    pub status: AlertStatus,
    /// Whether somebody may be told.
    pub state: AlertViewState,
    /// The rules that say that it fires.
    pub rules: Vec<RuleId>,
    /// The silences that match it.
    pub silenced_by: Vec<SilenceId>,
    /// The firing alerts that inhibit it.
    pub inhibited_by: Vec<Fingerprint>,
    /// The mute intervals of its routes that hold now, and the active ones where none of a route's holds.
    pub muted_by: Vec<Arc<str>>,
    /// Why a router plugin suppressed it.
    pub router_suppressed: Option<Arc<str>>,
    /// Who looks after it, or wants it quiet.
    pub acknowledgement: Option<Acknowledgement>,
    /// The receivers of its groups, each once, in order.
    pub receivers: Vec<Arc<str>>,
}

/// An alert group.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertGroupView {
    /// The identity.
    pub key: GroupKey,
    /// The route node.
    pub route: RouteId,
    /// The receiver.
    pub receiver: Arc<str>,
    /// The labels by which its alerts are grouped.
    pub labels: Labels,
    /// The labels of its route, templates as they are configured.
    pub route_labels: Arc<BTreeMap<String, String>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it looks next whether there is something to tell.
    pub next_flush: Timestamp,
    /// Since when somebody should acknowledge; absent if there is nothing to acknowledge.
    pub unanswered_since: Option<Timestamp>,
    /// The receivers that are told because nobody acknowledged.
    pub escalated: Vec<Arc<str>>,
    /// The intervals because of which its route tells nothing now.
    pub muted_by: Vec<Arc<str>>,
    /// Its alerts, by labels.
    pub alerts: Vec<GroupedAlert>,
}

/// An alert in a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupedAlert {
    /// The alert's id.
    pub fingerprint: Fingerprint,
    /// Whether only its end is still to be told here.
    pub detached: bool,
    /// Why it is not told here now, if so.
    pub suppressed: Option<SuppressReason>,
}

/// How an alert stands in one of its groups.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingView {
    /// The group.
    pub key: GroupKey,
    /// Its receiver.
    pub receiver: Arc<str>,
    /// The labels by which its alerts are grouped.
    pub labels: Labels,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it looks next whether there is something to tell.
    pub next_flush: Timestamp,
    /// After how long without a change it tells again.
    pub repeat_interval: Duration,
    /// What of the group a notification holds.
    pub notify: Notify,
    /// Whether only the alert's end is still to be told here.
    pub detached: bool,
    /// Why the alert is not told here now, if so.
    pub suppressed: Option<SuppressReason>,
    /// Why the group's route tells nothing at this time, if so.
    pub muted: Option<SuppressReason>,
    /// The intervals because of which that is so: those that mute it, or those outside of which it is.
    pub muted_by: Vec<Arc<str>>,
    /// Until when the alert counts as coming and going, so that its changes are not told.
    pub damped_until: Option<Timestamp>,
    /// Whether something is told here that nobody looks after; else nothing is repeated.
    pub open: bool,
    /// The receiver that is told next if nobody acknowledges, and when.
    pub escalates: Option<(Arc<str>, Timestamp)>,
    /// What each integration knows.
    pub targets: Vec<TargetView>,
}

/// What an integration knows about an alert group, and what it is told next.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetView {
    /// Who.
    pub target: TargetKey,
    /// Whether the group's route sends here; else only promised ends are told.
    pub current: bool,
    /// What it knows.
    pub entry: LogEntry,
    /// The notification that is not delivered yet.
    pub pending: Option<OutboxView>,
}

/// An entry of the notification log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogView {
    /// Who knows it about which group.
    pub target: TargetKey,
    /// What it knows.
    pub entry: LogEntry,
}

/// A notification that is not delivered yet.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxView {
    /// The notification.
    pub id: NotificationId,
    /// Who is to be told about which group.
    pub target: TargetKey,
    /// Why.
    pub reason: NotifyReason,
    /// How many alerts it tells.
    pub alerts: usize,
    /// When it was decided to send it.
    pub created_at: Timestamp,
    /// The number of the last attempt.
    pub attempt: u32,
    /// Whether an attempt is under way.
    pub in_flight: bool,
    /// When it is tried next; in the past if an attempt is under way, or if it waits for its turn.
    pub next_attempt: Timestamp,
    /// What went wrong last; empty if nothing did.
    pub error: Arc<str>,
}

impl InstanceState {
    /// The lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            InstanceState::Pending => "pending",
            InstanceState::Firing => "firing",
            InstanceState::Resolved => "resolved",
        }
    }
}

impl AlertViewState {
    /// The lower-case name, as in Alertmanager's API.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertViewState::Unprocessed => "unprocessed",
            AlertViewState::Active => "active",
            AlertViewState::Suppressed => "suppressed",
        }
    }
}
