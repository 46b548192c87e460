//! Reasons as a word and what belongs to it, so that histories can be kept: the texts that [`Reason::parts`] gives are read
//! back by [`Reason::from_parts`].

use std::sync::Arc;

use watchfire_model::{Duration, Fingerprint, Timestamp};

use crate::{
    DeliveryReason, GroupKey, LimitReason, NotifyReason, Reason, RuleReason, SilenceId, StateReason, SuppressReason,
};

impl Reason {
    /// The texts beside [`Reason::word`] from which it is read back; times and spans are in milliseconds.
    pub fn parts(&self) -> Vec<String> {
        let millis = |at: &Timestamp| at.as_millis().to_string();
        match self {
            Reason::State(_) | Reason::Notify(_) | Reason::SilenceSet | Reason::SilenceExpired | Reason::Reloaded => {
                vec![]
            }
            Reason::Rule(rule) => match rule {
                RuleReason::EvaluationFailed(text) | RuleReason::ConditionStoodIn(text) => vec![text.to_string()],
                RuleReason::SlotsMissed(count) => vec![count.to_string()],
                RuleReason::MadeUpFor(due) => vec![millis(due)],
                _ => vec![],
            },
            Reason::Suppress(suppress) => match suppress {
                SuppressReason::Silenced(id) => vec![id.to_string()],
                SuppressReason::Inhibited { rule, source } => vec![rule.to_string(), source.to_string()],
                SuppressReason::Snoozed { by, until } => vec![by.to_string(), millis(until)],
                SuppressReason::RateLimited { until } | SuppressReason::Flapping { until } => vec![millis(until)],
                SuppressReason::Muted(text)
                | SuppressReason::Router(text)
                | SuppressReason::NoIntegration(text)
                | SuppressReason::ReceiverRemoved(text) => vec![text.to_string()],
                _ => vec![],
            },
            Reason::Delivery(delivery) => match delivery {
                DeliveryReason::Started { attempt } => vec![attempt.to_string()],
                DeliveryReason::Delivered { receipt: text }
                | DeliveryReason::StoodIn { why: text }
                | DeliveryReason::Rejected { error: text }
                | DeliveryReason::GivenUp { error: text }
                | DeliveryReason::RouterFailed { error: text } => vec![text.to_string()],
                DeliveryReason::RetryAt { at, error } => vec![millis(at), error.to_string()],
                DeliveryReason::Superseded | DeliveryReason::Withdrawn => vec![],
            },
            Reason::Limit(limit) => match limit {
                LimitReason::Instances { max, dropped } => vec![max.to_string(), dropped.to_string()],
                LimitReason::Alerts { max }
                | LimitReason::AlertsBytes { bytes_max: max }
                | LimitReason::AlertsOfName { max }
                | LimitReason::Groups { max } => vec![max.to_string()],
            },
            Reason::SilenceRefused(text) | Reason::AcknowledgementRefused(text) => vec![text.to_string()],
            Reason::Acknowledged { by, until, .. } => {
                std::iter::once(by.to_string()).chain(until.as_ref().map(millis)).collect()
            }
            Reason::AcknowledgementEnded { snooze } => vec![snooze.to_string()],
            Reason::Escalated { group, receiver } => vec![group.to_string(), receiver.to_string()],
            Reason::ClockSteppedBack { by } => vec![by.as_millis().to_string()],
        }
    }

    /// From the word and the parts of a reason; nothing if they are those of none.
    pub fn from_parts(word: &str, parts: &[String]) -> Option<Reason> {
        if let Some(state) = StateReason::ALL.into_iter().map(Reason::State).find(|reason| reason.word() == word) {
            return Some(state);
        }
        if let Some(notify) = NotifyReason::parse(word) {
            return Some(Reason::Notify(notify));
        }
        let part = |i: usize| parts.get(i).map(String::as_str);
        let text = |i| part(i).map(Arc::<str>::from);
        let number = |i| part(i)?.parse::<i64>().ok();
        let count = |i| part(i)?.parse::<usize>().ok();
        let time = |i| number(i).map(Timestamp::from_millis);
        let until = || if parts.len() < 2 { Some(None) } else { time(1).map(Some) };
        Some(match word {
            "evaluation_failed" => RuleReason::EvaluationFailed(text(0)?).into(),
            "evaluation_recovered" => RuleReason::EvaluationRecovered.into(),
            "condition_stood_in" => RuleReason::ConditionStoodIn(text(0)?).into(),
            "evaluation_lost" => RuleReason::EvaluationLost.into(),
            "made_up_for" => RuleReason::MadeUpFor(time(0)?).into(),
            "slots_missed" => RuleReason::SlotsMissed(part(0)?.parse().ok()?).into(),
            "rule_added" => RuleReason::Added.into(),
            "rule_gone" => RuleReason::Removed.into(),
            "rule_came_back" => RuleReason::CameBack.into(),
            "rule_took_over" => RuleReason::TookOver.into(),
            "silenced" => SuppressReason::Silenced(SilenceId(text(0)?)).into(),
            "inhibited" => SuppressReason::Inhibited { rule: text(0)?, source: Fingerprint::parse(part(1)?)? }.into(),
            "muted" => SuppressReason::Muted(text(0)?).into(),
            "outside_active_intervals" => SuppressReason::OutsideActiveIntervals.into(),
            "snoozed" => SuppressReason::Snoozed { by: text(0)?, until: time(1)? }.into(),
            "rate_limited" => SuppressReason::RateLimited { until: time(0)? }.into(),
            "flaps" => SuppressReason::Flapping { until: time(0)? }.into(),
            "suppressed_by_router" => SuppressReason::Router(text(0)?).into(),
            "already_notified" => SuppressReason::AlreadyNotified.into(),
            "no_integration" => SuppressReason::NoIntegration(text(0)?).into(),
            "ended_untold" => SuppressReason::EndedUntold.into(),
            "send_resolved_off" => SuppressReason::SendResolvedOff.into(),
            "refused_before" => SuppressReason::RefusedBefore.into(),
            "receiver_removed" => SuppressReason::ReceiverRemoved(text(0)?).into(),
            "attempt_started" => DeliveryReason::Started { attempt: part(0)?.parse().ok()? }.into(),
            "delivered" => DeliveryReason::Delivered { receipt: text(0)? }.into(),
            "stood_in" => DeliveryReason::StoodIn { why: text(0)? }.into(),
            "retry" => DeliveryReason::RetryAt { at: time(0)?, error: text(1)? }.into(),
            "rejected" => DeliveryReason::Rejected { error: text(0)? }.into(),
            "superseded" => DeliveryReason::Superseded.into(),
            "withdrawn" => DeliveryReason::Withdrawn.into(),
            "given_up" => DeliveryReason::GivenUp { error: text(0)? }.into(),
            "router_failed" => DeliveryReason::RouterFailed { error: text(0)? }.into(),
            "instances_limit" => LimitReason::Instances { max: count(0)?, dropped: count(1)? }.into(),
            "alerts_limit" => LimitReason::Alerts { max: count(0)? }.into(),
            "alerts_bytes_limit" => LimitReason::AlertsBytes { bytes_max: count(0)? }.into(),
            "alerts_of_name_limit" => LimitReason::AlertsOfName { max: count(0)? }.into(),
            "groups_limit" => LimitReason::Groups { max: count(0)? }.into(),
            "silence_set" => Reason::SilenceSet,
            "silence_expired" => Reason::SilenceExpired,
            "silence_refused" => Reason::SilenceRefused(text(0)?),
            "acknowledged" => Reason::Acknowledged { by: text(0)?, until: until()?, snooze: false },
            "snooze" => Reason::Acknowledged { by: text(0)?, until: until()?, snooze: true },
            "acknowledgement_ended" => Reason::AcknowledgementEnded { snooze: part(0)?.parse().ok()? },
            "acknowledgement_refused" => Reason::AcknowledgementRefused(text(0)?),
            "escalation" => Reason::Escalated { group: GroupKey::from_text(text(0)?), receiver: text(1)? },
            "reloaded" => Reason::Reloaded,
            "clock_stepped_back" => Reason::ClockSteppedBack { by: Duration::from_millis(number(0)?) },
            _ => return None,
        })
    }
}

impl StateReason {
    /// All of them.
    pub const ALL: [StateReason; 12] = [
        StateReason::Pending,
        StateReason::Firing,
        StateReason::PendingEnded,
        StateReason::KeptFiring,
        StateReason::Resolved,
        StateReason::ForIncreased,
        StateReason::RuleRemoved,
        StateReason::Received,
        StateReason::EndedBySender,
        StateReason::TimedOut,
        StateReason::Forgotten,
        StateReason::Restored,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_back() {
        let (text, at, key) =
            (|| Arc::<str>::from("a \"text\""), Timestamp::from_secs(7), GroupKey::from_text("root:{}"));
        let mut reasons: Vec<Reason> = StateReason::ALL.into_iter().map(Reason::State).collect();
        reasons.extend(NotifyReason::ALL.into_iter().map(Reason::Notify));
        reasons.extend([
            RuleReason::EvaluationFailed(text()).into(),
            RuleReason::EvaluationRecovered.into(),
            RuleReason::ConditionStoodIn(text()).into(),
            RuleReason::EvaluationLost.into(),
            RuleReason::SlotsMissed(3).into(),
            RuleReason::MadeUpFor(at).into(),
            RuleReason::Added.into(),
            RuleReason::Removed.into(),
            RuleReason::CameBack.into(),
            RuleReason::TookOver.into(),
            SuppressReason::Silenced(SilenceId(text())).into(),
            SuppressReason::Inhibited { rule: text(), source: Fingerprint(5) }.into(),
            SuppressReason::Muted(text()).into(),
            SuppressReason::OutsideActiveIntervals.into(),
            SuppressReason::Snoozed { by: text(), until: at }.into(),
            SuppressReason::RateLimited { until: at }.into(),
            SuppressReason::Flapping { until: at }.into(),
            SuppressReason::Router(text()).into(),
            SuppressReason::AlreadyNotified.into(),
            SuppressReason::NoIntegration(text()).into(),
            SuppressReason::EndedUntold.into(),
            SuppressReason::SendResolvedOff.into(),
            SuppressReason::RefusedBefore.into(),
            SuppressReason::ReceiverRemoved(text()).into(),
            DeliveryReason::Started { attempt: 2 }.into(),
            DeliveryReason::Delivered { receipt: text() }.into(),
            DeliveryReason::StoodIn { why: text() }.into(),
            DeliveryReason::RetryAt { at, error: text() }.into(),
            DeliveryReason::Rejected { error: text() }.into(),
            DeliveryReason::Superseded.into(),
            DeliveryReason::Withdrawn.into(),
            DeliveryReason::GivenUp { error: text() }.into(),
            DeliveryReason::RouterFailed { error: text() }.into(),
            LimitReason::Instances { max: 3, dropped: 2 }.into(),
            LimitReason::Alerts { max: 3 }.into(),
            LimitReason::AlertsBytes { bytes_max: 3 }.into(),
            LimitReason::AlertsOfName { max: 3 }.into(),
            LimitReason::Groups { max: 3 }.into(),
            Reason::SilenceSet,
            Reason::SilenceExpired,
            Reason::SilenceRefused(text()),
            Reason::Acknowledged { by: text(), until: None, snooze: false },
            Reason::Acknowledged { by: text(), until: Some(at), snooze: true },
            Reason::AcknowledgementEnded { snooze: true },
            Reason::AcknowledgementRefused(text()),
            Reason::Escalated { group: key, receiver: text() },
            Reason::Reloaded,
            Reason::ClockSteppedBack { by: Duration::from_secs(3) },
        ]);
        for reason in reasons {
            assert_eq!(Reason::from_parts(reason.word(), &reason.parts()), Some(reason));
        }
        assert_eq!(Reason::from_parts("retry", &["x".to_owned()]), None);
        assert_eq!(Reason::from_parts("of a later version", &[]), None);
    }
}
