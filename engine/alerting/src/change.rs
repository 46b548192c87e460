//! What changed or was decided, for subscribers, the UI and explanations.

use std::sync::Arc;

use watchfire_model::{Fingerprint, Labels, RuleGroupId, RuleId, Timestamp};

use crate::{NotificationId, Reason, SilenceId, TargetKey};

/// One change or decision and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// About what.
    pub subject: Subject,
    /// What happened, and why.
    pub reason: Reason,
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// The engine as a whole, such as a reload.
    Engine,
    /// A rule group.
    RuleGroup(RuleGroupId),
    /// A rule.
    Rule(RuleId),
    /// An alert, of a rule or from outside.
    Alert {
        /// Its id.
        fingerprint: Fingerprint,
        /// Its labels.
        labels: Labels,
        /// The rule that it is an instance of.
        rule: Option<RuleId>,
        /// The alert group and receiver that the decision is for, where it is for one.
        target: Option<Arc<TargetKey>>,
    },
    /// A notification.
    Notification {
        /// Its id.
        id: NotificationId,
        /// Who is told.
        target: Arc<TargetKey>,
    },
    /// A silence.
    Silence(SilenceId),
}

/// One line of an alert's history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// What happened, and why.
    pub reason: Reason,
    /// The group and receiver that the decision was for, where it was for one.
    pub target: Option<Arc<TargetKey>>,
    /// The notification, where there is one.
    pub notification: Option<NotificationId>,
}
