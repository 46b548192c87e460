//! The query parameters of Alertmanager's API v2, read by hand because some may stand several times.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire::config::Receiver;
use watchfire_alerting::{AlertView, AlertViewState, Silence, SilenceState};
use watchfire_model::{AlertStatus, Anchoring, Labels, MatchOp, Matcher, MatcherBudget, Timestamp};

use super::{Refused, bad_request, gone, pairs};
use crate::App;

/// What a list is to hold. Each endpoint reads of this what its parameters are in Alertmanager, and no more.
pub(super) struct Filter {
    active: bool,
    silenced: bool,
    inhibited: bool,
    unprocessed: bool,
    muted: bool,
    pending: bool,
    expired: bool,
    matchers: Vec<Matcher>,
    receiver: Option<Matcher>,
    receiver_matchers: Vec<Matcher>,
}

impl Filter {
    pub(super) async fn read(app: &App, query: Option<String>) -> Result<Filter, Refused> {
        let read = move |budget: &mut MatcherBudget| Filter::parse(query.as_deref().unwrap_or_default(), budget);
        app.read_matchers(MatcherBudget::of_request(), read).await.ok_or_else(gone)?
    }

    fn parse(query: &str, budget: &mut MatcherBudget) -> Result<Filter, Refused> {
        let mut filter = Filter {
            active: true,
            silenced: true,
            inhibited: true,
            unprocessed: true,
            muted: true,
            pending: true,
            expired: true,
            matchers: Vec::new(),
            receiver: None,
            receiver_matchers: Vec::new(),
        };
        for (name, value) in pairs(query) {
            let one = |value: &str, budget: &mut MatcherBudget| watchfire_config::parse_matcher_within(value, budget);
            match name.as_str() {
                // What takes one value has none then, as forms send what nobody has filled in.
                one if value.is_empty() && !matches!(one, "filter" | "receiver_matchers") => {}
                "active" => filter.active = flag(&value),
                "silenced" => filter.silenced = flag(&value),
                "inhibited" => filter.inhibited = flag(&value),
                "unprocessed" => filter.unprocessed = flag(&value),
                "muted" => filter.muted = flag(&value),
                "pending" => filter.pending = flag(&value),
                "expired" => filter.expired = flag(&value),
                "filter" => {
                    let matcher = one(&value, budget);
                    filter.matchers.push(matcher.map_err(|error| bad_request(format!("bad matcher format: {error}")))?);
                }
                "receiver" => {
                    let (op, anchoring) = (MatchOp::Regex, Anchoring::Alertmanager);
                    let receiver = Matcher::new_within("receiver", op, value, anchoring, budget)
                        .map_err(|error| bad_request(format!("failed to parse receiver param: {error}")))?;
                    filter.receiver = Some(receiver);
                }
                "receiver_matchers" => {
                    let wrong = |error| bad_request(format!("failed to parse receiver_matchers param: {error}"));
                    filter.receiver_matchers.push(one(&value, budget).map_err(wrong)?);
                }
                _ => {}
            }
        }
        Ok(filter)
    }

    /// Whether a receiver with these labels is asked for by `receiver_matchers`.
    pub(super) fn keeps_receiver_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = |matcher: &Matcher| labels.get(matcher.name()).map(String::as_str).unwrap_or_default();
        self.receiver_matchers.iter().all(|matcher| matcher.matches(value(matcher)))
    }

    /// Those of the configured receivers that are asked for, by name.
    pub(super) fn receivers<'a>(&'a self, receivers: &'a [Receiver]) -> KeptReceivers<'a> {
        let labels = receivers.iter().map(|receiver| (receiver.name.as_str(), &receiver.labels)).collect();
        KeptReceivers { filter: self, labels }
    }

    pub(super) fn keeps_group(&self, muted_by: &[Arc<str>]) -> bool {
        self.muted || muted_by.is_empty()
    }

    pub(super) fn keeps_alert(&self, alert: &AlertView) -> bool {
        let state = match state_unmuted(alert) {
            AlertViewState::Active => self.active,
            AlertViewState::Unprocessed => self.unprocessed,
            AlertViewState::Suppressed => true,
        };
        state
            && (self.silenced || alert.silenced_by.is_empty())
            && (self.inhibited || alert.inhibited_by.is_empty())
            && alert.status == AlertStatus::Firing
            && self.keeps_labels(&alert.alert.labels)
    }

    fn keeps_labels(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// Whether a silence is in a wanted state and one of its sets has all the wanted matchers: of the same name, operator
    /// and value, whatever they match.
    pub(super) fn keeps_silence(&self, silence: &Silence, now: Timestamp) -> bool {
        let state = match silence.state(now) {
            SilenceState::Active => self.active,
            SilenceState::Pending => self.pending,
            SilenceState::Expired => self.expired,
        };
        state && silence.matcher_sets.iter().any(|set| self.matchers.iter().all(|wanted| set.contains(wanted)))
    }
}

/// The receivers of a configuration, of which a filter keeps some.
pub(super) struct KeptReceivers<'a> {
    filter: &'a Filter,
    labels: BTreeMap<&'a str, &'a BTreeMap<String, String>>,
}

impl KeptReceivers<'_> {
    fn has_by_name(&self, receiver: &str) -> bool {
        self.filter.receiver.as_ref().is_none_or(|wanted| wanted.matches(receiver))
    }

    fn has_by_labels(&self, receiver: &str) -> bool {
        let known = || self.labels.get(receiver).is_some_and(|labels| self.filter.keeps_receiver_labels(labels));
        self.filter.receiver_matchers.is_empty() || known()
    }

    pub(super) fn has(&self, receiver: &str) -> bool {
        self.has_by_name(receiver) && self.has_by_labels(receiver)
    }

    /// Whether one of these has the name and one, perhaps another, the labels: as Alertmanager asks of an alert.
    pub(super) fn has_among(&self, receivers: &[Arc<str>]) -> bool {
        receivers.iter().any(|receiver| self.has_by_name(receiver))
            && receivers.iter().any(|receiver| self.has_by_labels(receiver))
    }
}

/// An alert's state but for the intervals that mute its groups, since in Alertmanager these are the groups' alone.
pub(super) fn state_unmuted(alert: &AlertView) -> AlertViewState {
    let snoozed = alert.acknowledgement.as_ref().is_some_and(|acknowledgement| acknowledgement.snooze);
    let quiet = snoozed
        || !alert.silenced_by.is_empty()
        || !alert.inhibited_by.is_empty()
        || alert.receivers.is_empty() && alert.router_suppressed.is_some();
    match alert.state {
        AlertViewState::Suppressed if !quiet => AlertViewState::Active,
        state => state,
    }
}

/// A flag as the framework of Alertmanager's server reads it: these words are true and any other text is false.
fn flag(value: &str) -> bool {
    const TRUE: [&str; 10] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"];
    TRUE.iter().any(|word| value.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_true_for_some_words_and_false_for_others() {
        for (text, expected) in
            [("TRUE", true), ("t", true), ("1", true), ("false", false), ("foo", false), ("", false)]
        {
            assert_eq!(flag(text), expected, "{text}");
        }
    }

    #[test]
    fn a_matcher_of_a_filter_is_one_and_has_no_braces() {
        for (query, fits) in [
            ("filter=a%3D%22b%22&filter=c!%3Dd", true),
            ("receiver_matchers=owner%3Dops", true),
            ("filter=", false),
            ("filter=a%3Db,c%3Dd", true),
            ("filter=%22a.b%22%3Db,c%3Dd", false),
            ("filter=%7Ba%3D%22b%22%7D", false),
            ("receiver_matchers=x", false),
        ] {
            assert_eq!(Filter::parse(query, &mut MatcherBudget::of_request()).is_ok(), fits, "{query}");
        }
    }
}
