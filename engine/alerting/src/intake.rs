//! How alerts begin, go on and end, whether they come from a rule or from outside.

use std::sync::Arc;

use watchfire_model::{Alert, Fingerprint, Labels, RuleId, Timestamp};

use crate::alert_store::{StoredAlert, complete, merge};
use crate::membership::Occasion;
use crate::timers::Timer;
use crate::{Engine, Instance, LimitReason, RecordKey, RuleSpec, StateReason, Subject};

impl Engine {
    /// A rule says that an instance fires; it says so at every evaluation.
    pub(crate) fn rule_alert_fires(&mut self, rule: &RuleSpec, instance: &Instance, at: Timestamp) {
        let fingerprint = instance.labels.fingerprint();
        let starts_at = instance.fired_at.unwrap_or(at);
        if let Some(stored) = self.alerts.annotate_firing(fingerprint, &instance.annotations) {
            let alert = &mut stored.alert;
            alert.updated_at = at;
            alert.value = Some(instance.value);
            if !stored.rules.contains(&rule.id) {
                // It came from outside or from a rule with the same labels; this rule vouches for it too.
                stored.rules.push(rule.id);
                stored.rules.sort_unstable();
                alert.ends_at = None;
                alert.timeout = false;
                self.timers.cancel(&Timer::AlertEnd(fingerprint));
                self.dirty_alerts.insert(fingerprint);
            }
            return;
        }
        let alert = Alert {
            labels: instance.labels.clone(),
            annotations: instance.annotations.clone(),
            starts_at,
            ends_at: None,
            updated_at: at,
            timeout: false,
            generator_url: Arc::clone(&rule.generator_url),
            value: Some(instance.value),
        };
        self.alert_begins(alert, Some(rule.id));
    }

    /// A rule no longer says that an alert fires.
    pub(crate) fn rule_alert_ends(&mut self, rule: RuleId, fingerprint: Fingerprint, at: Timestamp) {
        let Some(stored) = self.alerts.get_mut(fingerprint) else { return };
        let vouched = stored.rules.len();
        stored.rules.retain(|other| *other != rule);
        if stored.rules.len() == vouched {
            return;
        }
        self.dirty_alerts.insert(fingerprint);
        if stored.rules.is_empty() && !stored.resolved {
            stored.alert.ends_at = Some(at.max(stored.alert.starts_at));
            stored.alert.updated_at = at;
            self.alert_ended(fingerprint);
        }
    }

    /// Alerts from outside.
    pub(crate) fn receive(&mut self, alerts: Vec<Alert>) {
        let resolve_timeout = self.definitions.as_ref().map(|definitions| definitions.dispatch.resolve_timeout);
        let resolve_timeout = resolve_timeout.unwrap_or(watchfire_model::Duration::from_mins(5));
        for alert in alerts {
            self.counters.alerts_received += 1;
            if let Some(alert) = complete(alert, self.now, resolve_timeout) {
                self.receive_one(alert);
            } else {
                self.counters.alerts_invalid += 1;
            }
        }
    }

    fn receive_one(&mut self, alert: Alert) {
        let now = self.now;
        let fingerprint = alert.fingerprint();
        let over = |alert: &Alert| alert.ends_at.is_some_and(|end| end <= now);
        let Some(stored) = self.alerts.get_mut(fingerprint) else {
            // The end of something that was never known is no news.
            if !over(&alert) {
                let alert = alert.share(&mut self.alerts.shared);
                self.alert_begins(alert, None);
            }
            return;
        };
        if !stored.resolved && !stored.rules.is_empty() {
            self.counters.alerts_owned_by_rule += 1;
            return;
        }
        // Decided before merging: the end that was noted before may lie ahead if the clock went back.
        let ends = over(&alert);
        let resolved = stored.resolved;
        let merged = merge(&stored.alert, resolved, alert, now).share(&mut self.alerts.shared);
        if resolved {
            if ends {
                self.alerts.replace(fingerprint, merged);
            } else {
                self.alert_begins(merged, None);
            }
            return;
        }
        // A sender that refreshes its alerts often sends them again in the time that they are given after a restart, so
        // their ends need not be kept. An end that is further away must be.
        let Some(stored) = self.alerts.get(fingerprint) else { return };
        let (grace, merged_end) = (self.settings.restart_grace, merged.ends_at.unwrap_or(Timestamp::MAX));
        let kept_end = stored.kept_end;
        let moved = merged_end > kept_end + grace || kept_end > merged_end + grace;
        let far = moved && merged_end.max(kept_end) > now + grace;
        let old = &stored.alert;
        let same = (old.starts_at, old.timeout) == (merged.starts_at, merged.timeout);
        if far || !same || old.generator_url != merged.generator_url || old.annotations != merged.annotations {
            self.dirty_alerts.insert(fingerprint);
        }
        let ends = ends || merged.ends_at.is_some_and(|end| end <= now);
        let Some(stored) = self.alerts.replace(fingerprint, merged) else { return };
        if ends {
            let labels = stored.alert.labels.clone();
            self.tell(&labels, None, None, StateReason::EndedBySender);
            self.alert_ended(fingerprint);
            return;
        }
        // The timer stays where it was and looks at the end again when it is due, so that a refresh costs nothing; only
        // an earlier end needs an earlier timer.
        let Some(end) = self.alerts.get(fingerprint).and_then(|stored| stored.alert.ends_at) else { return };
        if self.timers.get(&Timer::AlertEnd(fingerprint)).is_none_or(|due| end < due) {
            self.timers.set(Timer::AlertEnd(fingerprint), end);
        }
    }

    /// An alert that nobody sent again ends.
    pub(crate) fn alert_end_due(&mut self, fingerprint: Fingerprint) {
        let Some(stored) = self.alerts.get(fingerprint) else { return };
        let (Some(end), false, true) = (stored.alert.ends_at, stored.resolved, stored.rules.is_empty()) else { return };
        if end > self.now {
            return self.timers.set(Timer::AlertEnd(fingerprint), end);
        }
        let labels = stored.alert.labels.clone();
        self.tell(&labels, None, None, StateReason::TimedOut);
        self.alert_ended(fingerprint);
    }

    /// A new alert, or one that had ended and fires again.
    fn alert_begins(&mut self, alert: Alert, rule: Option<RuleId>) {
        let fingerprint = alert.fingerprint();
        let labels = alert.labels.clone();
        // What is known always comes in, whatever it grew by: an end must never be refused, nor what fires again.
        if self.alerts.get(fingerprint).is_none()
            && let Some(limit) = self.no_room(&alert)
        {
            return self.refuse_alert(limit, labels, rule);
        }
        if rule.is_none() {
            if let Some(end) = alert.ends_at {
                self.timers.set(Timer::AlertEnd(fingerprint), end);
            }
            self.tell(&labels, None, None, StateReason::Received);
        }
        self.timers.cancel(&Timer::Forget(fingerprint));
        let mut stored = match self.alerts.remove(fingerprint) {
            Some(old) => old.begins_anew(alert),
            None => StoredAlert::new(alert, self.now),
        };
        stored.rules.extend(rule);
        self.alerts.insert(fingerprint, stored);
        self.dirty_alerts.insert(fingerprint);
        self.inhibitor.add(&labels);
        if self.settings.alerts_per_name_max.is_some() {
            self.firing_names.add(&labels);
        }
        self.remember_beginning(fingerprint);
        // Groups that still hold it from before must look again.
        self.mark_groups_changed(fingerprint);
        self.route_alert(fingerprint, Occasion::Begins);
    }

    /// Why a new alert cannot be taken, if it cannot.
    fn no_room(&mut self, alert: &Alert) -> Option<LimitReason> {
        let (max, bytes_max) = (self.settings.alerts_max, self.settings.alerts_bytes_max);
        if self.alerts.len() >= max {
            self.counters.alerts_refused += 1;
            return Some(LimitReason::Alerts { max });
        }
        if self.alerts.bytes() + alert.text_bytes() > bytes_max {
            self.counters.alerts_refused_for_bytes += 1;
            return Some(LimitReason::AlertsBytes { bytes_max });
        }
        if let Some(max) = self.settings.alerts_per_name_max
            && self.firing_names.count(&alert.labels) >= max
        {
            self.counters.alerts_refused_for_name += 1;
            return Some(LimitReason::AlertsOfName { max });
        }
        None
    }

    /// A rule says every time that its alert fires, so it comes in when there is room again.
    fn refuse_alert(&mut self, limit: LimitReason, labels: Labels, rule: Option<RuleId>) {
        let subject = Subject::Alert { fingerprint: labels.fingerprint(), labels, rule, target: None };
        self.emit(subject, limit.into());
    }

    /// An alert has ended, for whatever reason; its end is in `ends_at`.
    pub(crate) fn alert_ended(&mut self, fingerprint: Fingerprint) {
        let Some(stored) = self.alerts.get_mut(fingerprint) else { return };
        stored.resolved = true;
        if stored.seldom().is_some() {
            stored.seldom_mut().changed_at = self.now;
        }
        if stored.take_acknowledgement().is_some() {
            self.timers.cancel(&Timer::Acknowledgement(fingerprint));
        }
        let labels = stored.alert.labels.clone();
        self.inhibitor.remove(&labels);
        self.firing_names.remove(&labels);
        self.timers.cancel(&Timer::AlertEnd(fingerprint));
        self.timers.set(Timer::Forget(fingerprint), self.now + self.settings.alert_retention);
        self.dirty_alerts.insert(fingerprint);
        self.mark_groups_changed(fingerprint);
    }

    /// An alert that ended is forgotten when no group needs it any more.
    pub(crate) fn forget_due(&mut self, fingerprint: Fingerprint) {
        let Some(stored) = self.alerts.get(fingerprint).filter(|stored| stored.resolved) else { return };
        if !stored.memberships.is_empty() || stored.routes_pending > 0 {
            let later = self.now + self.settings.alert_retention.max(watchfire_model::Duration::from_secs(1));
            return self.timers.set(Timer::Forget(fingerprint), later);
        }
        let since = stored.since;
        self.alerts.remove(fingerprint);
        self.dirty_alerts.remove(&fingerprint);
        self.delete(RecordKey::alert(since, fingerprint));
    }
}
