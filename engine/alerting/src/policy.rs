//! How a route tells, beyond what Alertmanager's routes can say. The default is Alertmanager's way.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_model::{Duration, Labels};

/// The label that says how bad an alert is.
pub(crate) const SEVERITY_LABEL: &str = "severity";

/// What a route and, unless they say otherwise, its children add to Alertmanager's way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How `repeat_interval` is counted.
    pub repeat: Repeat,
    /// What of a group a notification holds.
    pub notify: Notify,
    /// How close together similar alerts may be told.
    pub rate_limits: RateLimits,
    /// Who else is told when nobody acknowledges, in the order of their times.
    pub escalation: Vec<EscalationStep>,
    /// When an alert that comes and goes is told as flapping; absent for never.
    pub flap_damping: Option<FlapDamping>,
}

/// How `repeat_interval` is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Repeat {
    /// As Alertmanager does: at the first look at the group that comes strictly later, so up to a `group_interval` late.
    #[default]
    Compatible,
    /// To the millisecond: four hours mean four hours.
    Exact,
}

/// What of a group a notification holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Notify {
    /// All that fires and all that ended, as Alertmanager does.
    #[default]
    All,
    /// What its receiver does not know yet; a repeat holds all that fires.
    Changes,
}

/// By severity, how long similar alerts (of the same name and severity) are held back after their receiver was told of
/// one. What is held back is told together as a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits(pub BTreeMap<String, Duration>);

/// Another receiver that is told when nobody acknowledges for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationStep {
    /// How long after the first notification.
    pub after: Duration,
    /// Who.
    pub receiver: Arc<str>,
}

/// When an alert flaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlapDamping {
    /// It began to fire so often; at least 2.
    pub times: usize,
    /// Within this time. It is no longer damped when it has neither begun nor ended for as long.
    pub within: Duration,
}

/// Alerts of which a receiver is told no more often than the rate limit of their severity allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimilarKey {
    /// Who is told.
    pub receiver: Arc<str>,
    /// The alerts' name.
    pub name: String,
    /// Their severity.
    pub severity: String,
}

impl Repeat {
    /// All of them.
    pub const ALL: [Repeat; 2] = [Repeat::Compatible, Repeat::Exact];

    /// The word in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Repeat::Compatible => "compatible",
            Repeat::Exact => "exact",
        }
    }
}

impl Notify {
    /// All of them.
    pub const ALL: [Notify; 2] = [Notify::All, Notify::Changes];

    /// The word in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Notify::All => "all",
            Notify::Changes => "changes",
        }
    }
}

impl RateLimits {
    /// What `rate_limit: true` means: critical alerts are told at once, errors every 5 minutes, warnings every 15
    /// minutes, what is only information every hour.
    pub fn standard() -> RateLimits {
        let limits = [
            ("error", Duration::from_mins(5)),
            ("warning", Duration::from_mins(15)),
            ("info", Duration::from_hours(1)),
        ];
        RateLimits(limits.into_iter().map(|(severity, limit)| (severity.to_owned(), limit)).collect())
    }

    /// The limit of a severity; absent if there is none.
    pub(crate) fn of(&self, severity: &str) -> Option<Duration> {
        self.0.get(severity).copied().filter(|limit| *limit > Duration::ZERO)
    }
}

impl SimilarKey {
    /// The similar alerts that one with these labels belongs to, for a receiver.
    pub(crate) fn of(receiver: &Arc<str>, labels: &Labels) -> SimilarKey {
        SimilarKey {
            receiver: receiver.clone(),
            name: labels.value_or_empty(watchfire_model::ALERT_NAME_LABEL).to_owned(),
            severity: labels.value_or_empty(SEVERITY_LABEL).to_owned(),
        }
    }
}
