//! Why a decision was taken: one vocabulary for logs, the UI, explanations and tests.

use std::fmt;
use std::sync::Arc;

use watchfire_model::{Duration, Fingerprint, Timestamp};

use crate::{GroupKey, SilenceId};

/// The longest text of somebody else's in a line of a history, in characters.
const TEXT_CHARS_MAX: usize = 500;

/// A text of a plugin's, cut to what a history keeps: every alert that it is about keeps it.
pub(crate) fn shortened(text: &str) -> Arc<str> {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// Why something happened, by family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An alert's state changed.
    State(StateReason),
    /// A rule or rule group did or could not do something.
    Rule(RuleReason),
    /// A notification is sent.
    Notify(NotifyReason),
    /// An alert is not told, or no longer.
    Suppress(SuppressReason),
    /// An attempt to deliver ended.
    Delivery(DeliveryReason),
    /// A bound was met.
    Limit(LimitReason),
    /// A silence was set.
    SilenceSet,
    /// A silence was ended by hand.
    SilenceExpired,
    /// A command about a silence was refused.
    SilenceRefused(Arc<str>),
    /// Somebody looks after the alert, or wants it quiet for a while.
    Acknowledged {
        /// Who.
        by: Arc<str>,
        /// Until when, if not until the alert ends.
        until: Option<Timestamp>,
        /// Whether it is quiet until then and told again after that.
        snooze: bool,
    },
    /// Nobody looks after the alert any more.
    AcknowledgementEnded {
        /// Whether it was quiet, so that it is told again.
        snooze: bool,
    },
    /// An acknowledgement was refused.
    AcknowledgementRefused(Arc<str>),
    /// Nobody acknowledged, so another receiver is told.
    Escalated {
        /// What was not acknowledged.
        group: GroupKey,
        /// Who is told.
        receiver: Arc<str>,
    },
    /// New definitions are in force.
    Reloaded,
    /// The clock went back; timers that lay too far ahead were brought nearer.
    ClockSteppedBack {
        /// By how much.
        by: Duration,
    },
}

/// Why an alert's state changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateReason {
    /// The condition holds, now `for` must pass.
    Pending,
    /// The condition has held for as long as it must.
    Firing,
    /// The condition no longer holds, and the alert never fired.
    PendingEnded,
    /// The condition no longer holds, but `keep_firing_for` has not passed.
    KeptFiring,
    /// The condition no longer holds, but `resolve_when` does not hold yet.
    AwaitsRecovery,
    /// The data that would say whether the condition holds are missing; `ignore_missing`, or a restart not long ago, leaves
    /// it as it is.
    Missing,
    /// The same instance fires with another severity.
    SeverityChanged,
    /// The condition no longer holds.
    Resolved,
    /// The rule's schedule has ended for now.
    ScheduleEnded,
    /// `for` was made longer than the alert is old, so it must wait again.
    ForIncreased,
    /// The rule is no longer defined.
    RuleRemoved,
    /// An alert came from outside.
    Received,
    /// An alert from outside was ended by its sender.
    EndedBySender,
    /// An alert from outside was not sent again in time.
    TimedOut,
    /// The alert is over for long enough and was forgotten.
    Forgotten,
    /// It was read back after a restart.
    Restored,
}

/// What a rule or its group did or could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleReason {
    /// The evaluation failed; nothing was changed.
    EvaluationFailed(Arc<str>),
    /// The evaluation works again.
    EvaluationRecovered,
    /// The condition gave no answer, and something else decided.
    ConditionStoodIn(Arc<str>),
    /// No answer came in time; nothing was changed.
    EvaluationLost,
    /// Evaluations were due while an earlier one was still running.
    SlotsMissed(u64),
    /// It was evaluated for a time of its cron schedule that had passed without an evaluation.
    MadeUpFor(Timestamp),
    /// The rule is new.
    Added,
    /// The rule is no longer defined; its alerts end if it does not come back soon.
    Removed,
    /// The rule came back in time.
    CameBack,
    /// The rule took over what a rule of the same name in a renamed group or file had.
    TookOver,
}

/// Why a notification is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotifyReason {
    /// The receiver was not told about this group yet.
    FirstNotification,
    /// Alerts fire of which the receiver does not know.
    NewAlertsInGroup,
    /// All alerts that the receiver knows have ended.
    AllAlertsResolved,
    /// Some alerts have ended.
    NewResolvedAlerts,
    /// An alert ended that the receiver had been told of, so it is told although it would be quiet now.
    PromisedResolve,
    /// Nothing changed for as long as `repeat_interval`.
    RepeatIntervalElapsed,
    /// What a rate limit held back is told together.
    Digest,
    /// Nobody acknowledged for too long, so this receiver is told too.
    Escalated,
    /// The alert comes and goes; its further changes are not told until it is steady.
    Flapping,
    /// The alert was snoozed and still fires.
    SnoozeEnded,
    /// Somebody looks after all that the receiver knows to fire.
    Acknowledgement,
}

/// Why an alert is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuppressReason {
    /// By a silence.
    Silenced(SilenceId),
    /// By an inhibition rule, because this alert fires.
    Inhibited {
        /// The rule, by its position or name.
        rule: Arc<str>,
        /// The alert that fires.
        source: Fingerprint,
    },
    /// The route is muted in this interval.
    Muted(Arc<str>),
    /// The route is active only in other intervals.
    OutsideActiveIntervals,
    /// Somebody wants it quiet for a while.
    Snoozed {
        /// Who.
        by: Arc<str>,
        /// Until when.
        until: Timestamp,
    },
    /// The receiver was told of a similar alert not long ago; it will be told in a digest.
    RateLimited {
        /// When.
        until: Timestamp,
    },
    /// It comes and goes, so that its changes are not told until it is steady.
    Flapping {
        /// When it is taken as steady if nothing more happens.
        until: Timestamp,
    },
    /// A router plugin said so, and why.
    Router(Arc<str>),
    /// The receiver knows it already and it is too soon to repeat.
    AlreadyNotified,
    /// Its receiver is not defined or has no integrations.
    NoIntegration(Arc<str>),
    /// It ended before anybody was told.
    EndedUntold,
    /// The receiver does not want to be told about ends.
    SendResolvedOff,
    /// The receiver refused the same content.
    RefusedBefore,
    /// The definitions changed and nobody can be told any more.
    ReceiverRemoved(Arc<str>),
}

/// How an attempt to deliver ended, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryReason {
    /// An attempt was started.
    Started {
        /// Its number.
        attempt: u32,
    },
    /// The receiver has it.
    Delivered {
        /// What it answered.
        receipt: Arc<str>,
    },
    /// The receiver's own words could not be had, so it has the built-in message.
    StoodIn {
        /// Whose words, and what went wrong.
        why: Arc<str>,
    },
    /// It failed and is tried again.
    RetryAt {
        /// When.
        at: Timestamp,
        /// What went wrong.
        error: Arc<str>,
    },
    /// The receiver refused it; the same is sent again at a later flush.
    Rejected {
        /// What it said.
        error: Arc<str>,
    },
    /// What is to be told changed before it was delivered; the newer content takes its place.
    Superseded,
    /// It is no longer worth telling, and was never tried.
    Withdrawn,
    /// It was tried for as long as it may be.
    GivenUp {
        /// What went wrong last.
        error: Arc<str>,
    },
    /// The router plugin failed, so the route's own receiver is told.
    RouterFailed {
        /// What went wrong.
        error: Arc<str>,
    },
}

/// Which bound was met and what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitReason {
    /// A rule has more instances than it may; the first ones are kept.
    Instances {
        /// How many it may have.
        max: usize,
        /// How many were left out.
        dropped: usize,
    },
    /// There are as many alerts as may be; a new one was refused.
    Alerts {
        /// The limit.
        max: usize,
    },
    /// The alerts that are held take as many bytes as they may; a new one was refused.
    AlertsBytes {
        /// The limit.
        bytes_max: usize,
    },
    /// As many alerts of one name fire as may; a new one was refused.
    AlertsOfName {
        /// The limit.
        max: usize,
    },
    /// There are as many alert groups as may be; alerts of a route that would need a new one share one.
    Groups {
        /// The limit.
        max: usize,
    },
}

macro_rules! reason_from {
    ($($family:ident: $inner:ident),*) => {$(
        impl From<$inner> for Reason {
            fn from(reason: $inner) -> Reason {
                Reason::$family(reason)
            }
        }
    )*};
}
reason_from!(
    State: StateReason,
    Rule: RuleReason,
    Notify: NotifyReason,
    Suppress: SuppressReason,
    Delivery: DeliveryReason,
    Limit: LimitReason
);

impl NotifyReason {
    /// A stable word, for metrics and storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            NotifyReason::FirstNotification => "first_notification",
            NotifyReason::NewAlertsInGroup => "new_alerts_in_group",
            NotifyReason::AllAlertsResolved => "all_alerts_resolved",
            NotifyReason::NewResolvedAlerts => "new_resolved_alerts",
            NotifyReason::PromisedResolve => "promised_resolve",
            NotifyReason::RepeatIntervalElapsed => "repeat_interval_elapsed",
            NotifyReason::Digest => "digest",
            NotifyReason::Escalated => "escalated",
            NotifyReason::Flapping => "flapping",
            NotifyReason::SnoozeEnded => "snooze_ended",
            NotifyReason::Acknowledgement => "acknowledgement",
        }
    }

    /// From the word that [`NotifyReason::as_str`] gives.
    pub fn parse(text: &str) -> Option<NotifyReason> {
        NotifyReason::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// All of them.
    pub const ALL: [NotifyReason; 11] = [
        NotifyReason::FirstNotification,
        NotifyReason::NewAlertsInGroup,
        NotifyReason::AllAlertsResolved,
        NotifyReason::NewResolvedAlerts,
        NotifyReason::PromisedResolve,
        NotifyReason::RepeatIntervalElapsed,
        NotifyReason::Digest,
        NotifyReason::Escalated,
        NotifyReason::Flapping,
        NotifyReason::SnoozeEnded,
        NotifyReason::Acknowledgement,
    ];
}

impl Reason {
    /// A stable word for metrics, tests and filters.
    pub const fn word(&self) -> &'static str {
        match self {
            Reason::State(state) => match state {
                StateReason::Pending => "pending",
                StateReason::Firing => "firing",
                StateReason::PendingEnded => "pending_ended",
                StateReason::KeptFiring => "kept_firing",
                StateReason::AwaitsRecovery => "awaits_recovery",
                StateReason::Missing => "missing",
                StateReason::SeverityChanged => "severity_changed",
                StateReason::Resolved => "resolved",
                StateReason::ScheduleEnded => "schedule_ended",
                StateReason::ForIncreased => "for_increased",
                StateReason::RuleRemoved => "rule_removed",
                StateReason::Received => "received",
                StateReason::EndedBySender => "ended_by_sender",
                StateReason::TimedOut => "timed_out",
                StateReason::Forgotten => "forgotten",
                StateReason::Restored => "restored",
            },
            Reason::Rule(rule) => match rule {
                RuleReason::EvaluationFailed(_) => "evaluation_failed",
                RuleReason::EvaluationRecovered => "evaluation_recovered",
                RuleReason::ConditionStoodIn(_) => "condition_stood_in",
                RuleReason::EvaluationLost => "evaluation_lost",
                RuleReason::SlotsMissed(_) => "slots_missed",
                RuleReason::MadeUpFor(_) => "made_up_for",
                RuleReason::Added => "rule_added",
                RuleReason::Removed => "rule_gone",
                RuleReason::CameBack => "rule_came_back",
                RuleReason::TookOver => "rule_took_over",
            },
            Reason::Notify(notify) => notify.as_str(),
            Reason::Suppress(suppress) => match suppress {
                SuppressReason::Silenced(_) => "silenced",
                SuppressReason::Inhibited { .. } => "inhibited",
                SuppressReason::Muted(_) => "muted",
                SuppressReason::OutsideActiveIntervals => "outside_active_intervals",
                SuppressReason::Snoozed { .. } => "snoozed",
                SuppressReason::RateLimited { .. } => "rate_limited",
                SuppressReason::Flapping { .. } => "flaps",
                SuppressReason::Router(_) => "suppressed_by_router",
                SuppressReason::AlreadyNotified => "already_notified",
                SuppressReason::NoIntegration(_) => "no_integration",
                SuppressReason::EndedUntold => "ended_untold",
                SuppressReason::SendResolvedOff => "send_resolved_off",
                SuppressReason::RefusedBefore => "refused_before",
                SuppressReason::ReceiverRemoved(_) => "receiver_removed",
            },
            Reason::Delivery(delivery) => match delivery {
                DeliveryReason::Started { .. } => "attempt_started",
                DeliveryReason::Delivered { .. } => "delivered",
                DeliveryReason::StoodIn { .. } => "stood_in",
                DeliveryReason::RetryAt { .. } => "retry",
                DeliveryReason::Rejected { .. } => "rejected",
                DeliveryReason::Superseded => "superseded",
                DeliveryReason::Withdrawn => "withdrawn",
                DeliveryReason::GivenUp { .. } => "given_up",
                DeliveryReason::RouterFailed { .. } => "router_failed",
            },
            Reason::Limit(limit) => match limit {
                LimitReason::Instances { .. } => "instances_limit",
                LimitReason::Alerts { .. } => "alerts_limit",
                LimitReason::AlertsBytes { .. } => "alerts_bytes_limit",
                LimitReason::AlertsOfName { .. } => "alerts_of_name_limit",
                LimitReason::Groups { .. } => "groups_limit",
            },
            Reason::SilenceSet => "silence_set",
            Reason::SilenceExpired => "silence_expired",
            Reason::SilenceRefused(_) => "silence_refused",
            Reason::Acknowledged { snooze: false, .. } => "acknowledged",
            Reason::Acknowledged { snooze: true, .. } => "snooze",
            Reason::AcknowledgementEnded { .. } => "acknowledgement_ended",
            Reason::AcknowledgementRefused(_) => "acknowledgement_refused",
            Reason::Escalated { .. } => "escalation",
            Reason::Reloaded => "reloaded",
            Reason::ClockSteppedBack { .. } => "clock_stepped_back",
        }
    }
}

impl fmt::Display for Reason {
    /// One sentence for people, without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::State(state) => f.write_str(match state {
                StateReason::Pending => "the condition holds, waiting for `for` to pass",
                StateReason::Firing => "the condition has held for as long as it must",
                StateReason::PendingEnded => "the condition stopped holding before the alert fired",
                StateReason::KeptFiring => "the condition stopped holding, `keep_firing_for` keeps the alert firing",
                StateReason::AwaitsRecovery => "the condition stopped holding, `resolve_when` does not hold yet",
                StateReason::Missing => "its data are missing, which leaves the alert as it is for a while",
                StateReason::SeverityChanged => "the same problem has another severity now",
                StateReason::Resolved => "the condition no longer holds",
                StateReason::ScheduleEnded => "the rule's schedule has ended for now",
                StateReason::ForIncreased => "`for` was made longer than the alert is old, so it waits again",
                StateReason::RuleRemoved => "the rule is no longer defined",
                StateReason::Received => "received from outside",
                StateReason::EndedBySender => "ended by its sender",
                StateReason::TimedOut => "not sent again before its end",
                StateReason::Forgotten => "over for long enough, forgotten",
                StateReason::Restored => "read back after a restart",
            }),
            Reason::Rule(rule) => match rule {
                RuleReason::EvaluationFailed(error) => write!(f, "the evaluation failed, nothing was changed: {error}"),
                RuleReason::EvaluationRecovered => f.write_str("the evaluation works again"),
                RuleReason::ConditionStoodIn(why) => f.write_str(why),
                RuleReason::EvaluationLost => f.write_str("the evaluation gave no answer in time, nothing was changed"),
                RuleReason::SlotsMissed(n) => {
                    write!(f, "{n} evaluations were missed because earlier ones took too long")
                }
                RuleReason::MadeUpFor(due) => write!(f, "evaluated in place of {due}, when it could not be"),
                RuleReason::Added => f.write_str("the rule is new"),
                RuleReason::Removed => f.write_str(
                    "the rule is no longer defined; its alerts end unless it comes back within two intervals",
                ),
                RuleReason::CameBack => f.write_str("the rule came back before its alerts ended"),
                RuleReason::TookOver => f.write_str("the rule took over the alerts of its namesake in a renamed group"),
            },
            Reason::Notify(notify) => f.write_str(match notify {
                NotifyReason::FirstNotification => "the receiver was not told about this group yet",
                NotifyReason::NewAlertsInGroup => "alerts fire of which the receiver does not know",
                NotifyReason::AllAlertsResolved => "all alerts that the receiver knows have ended",
                NotifyReason::NewResolvedAlerts => "some alerts have ended",
                NotifyReason::PromisedResolve => "the receiver was told that it fires, so it is told that it ended",
                NotifyReason::RepeatIntervalElapsed => "nothing changed for as long as repeat_interval",
                NotifyReason::Digest => "what a rate limit held back is told together",
                NotifyReason::Escalated => "nobody acknowledged for too long, so this receiver is told too",
                NotifyReason::Flapping => {
                    "the alert comes and goes, its further changes are not told until it is steady"
                }
                NotifyReason::SnoozeEnded => "the alert was snoozed and still fires",
                NotifyReason::Acknowledgement => "somebody looks after all that the receiver knows to fire",
            }),
            Reason::Suppress(suppress) => match suppress {
                SuppressReason::Silenced(id) => write!(f, "silenced by {id}"),
                SuppressReason::Inhibited { rule, source } => {
                    write!(f, "inhibited by the firing alert {source} through inhibition rule {rule}")
                }
                SuppressReason::Muted(name) => write!(f, "the route is muted in {name}"),
                SuppressReason::OutsideActiveIntervals => f.write_str("outside the route's active intervals"),
                SuppressReason::Snoozed { by, until } => write!(f, "snoozed by {by} until {until}"),
                SuppressReason::RateLimited { until } => {
                    write!(f, "the receiver was told of a similar alert, so it is held back until {until}")
                }
                SuppressReason::Flapping { until } => {
                    write!(f, "it comes and goes, its changes are not told before {until} at the earliest")
                }
                SuppressReason::Router(why) => write!(f, "the router plugin suppressed it: {why}"),
                SuppressReason::AlreadyNotified => {
                    f.write_str("the receiver knows already and repeat_interval has not passed")
                }
                SuppressReason::NoIntegration(receiver) => write!(f, "receiver {receiver:?} has no integrations"),
                SuppressReason::EndedUntold => f.write_str("it ended before anybody was told"),
                SuppressReason::SendResolvedOff => f.write_str("the receiver has send_resolved: false"),
                SuppressReason::RefusedBefore => f.write_str("the receiver refused the same content"),
                SuppressReason::ReceiverRemoved(receiver) => {
                    write!(f, "receiver {receiver:?} or its integration is no longer defined")
                }
            },
            Reason::Delivery(delivery) => match delivery {
                DeliveryReason::Started { attempt } => write!(f, "attempt {attempt} started"),
                DeliveryReason::Delivered { receipt } if receipt.is_empty() => f.write_str("delivered"),
                DeliveryReason::Delivered { receipt } => write!(f, "delivered: {receipt}"),
                DeliveryReason::StoodIn { why } => f.write_str(why),
                DeliveryReason::RetryAt { at, error } => write!(f, "failed, next attempt at {at}: {error}"),
                DeliveryReason::Rejected { error } => write!(f, "refused: {error}"),
                DeliveryReason::Superseded => f.write_str("newer content took its place"),
                DeliveryReason::Withdrawn => f.write_str("no longer worth telling and never tried"),
                DeliveryReason::GivenUp { error } => write!(f, "given up after too long a time: {error}"),
                DeliveryReason::RouterFailed { error } => {
                    write!(f, "the router plugin failed, the route's own receiver is told: {error}")
                }
            },
            Reason::Limit(limit) => match limit {
                LimitReason::Instances { max, dropped } => {
                    write!(f, "the limit of {max} instances was reached, {dropped} were left out")
                }
                LimitReason::Alerts { max } => write!(f, "the limit of {max} alerts was reached"),
                LimitReason::AlertsBytes { bytes_max } => {
                    write!(f, "the limit of {bytes_max} bytes of all alerts was reached")
                }
                LimitReason::AlertsOfName { max } => write!(f, "the limit of {max} alerts of one name was reached"),
                LimitReason::Groups { max } => {
                    write!(f, "the limit of {max} alert groups was reached, the route's further alerts share one")
                }
            },
            Reason::SilenceSet => f.write_str("the silence was set"),
            Reason::SilenceExpired => f.write_str("the silence was ended"),
            Reason::SilenceRefused(error) => write!(f, "the silence was refused: {error}"),
            Reason::Acknowledged { by, until, snooze } => {
                let what = if *snooze { "snoozed" } else { "acknowledged" };
                match until {
                    Some(until) => write!(f, "{what} by {by} until {until}"),
                    None => write!(f, "{what} by {by}"),
                }
            }
            Reason::AcknowledgementEnded { snooze: true } => f.write_str("no longer snoozed"),
            Reason::AcknowledgementEnded { snooze: false } => f.write_str("no longer acknowledged"),
            Reason::AcknowledgementRefused(error) => write!(f, "the acknowledgement was refused: {error}"),
            Reason::Escalated { group, receiver } => {
                write!(f, "nobody acknowledged {group}, so {receiver} is told")
            }
            Reason::Reloaded => f.write_str("new definitions are in force"),
            Reason::ClockSteppedBack { by } => write!(f, "the clock went back by {by}"),
        }
    }
}
