//! Reading the engine's state.

use std::collections::BTreeSet;
use std::sync::Arc;

use watchfire_model::{Duration, Fingerprint, RuleId, Timestamp};

use crate::alert_store::StoredAlert;
use crate::group::{Group, Member, Target};
use crate::{
    AlertGroupView, AlertView, AlertViewState, Counters, Definitions, Engine, GroupedAlert, HistoryEntry, Integration,
    LogView, Notify, OutboxView, RuleGroupView, RuleView, Settings, Silence, SilenceId, StandingView, SuppressReason,
    TargetView,
};

/// How often Prometheus sends a firing alert again; what is told to others about an alert's end assumes the same.
const RESEND_DELAY: Duration = Duration::from_mins(1);

impl Engine {
    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The definitions in force; absent before the first reload.
    pub fn definitions(&self) -> Option<&Arc<Definitions>> {
        self.definitions.as_ref()
    }

    /// The numbers of things that are bounded, by name, with their bounds: alerts and the bytes of their texts, alert
    /// groups, silences and those of them that recur, what rate limits remember, histories, attempts to deliver.
    pub fn usage(&self) -> [(&'static str, usize, usize); 9] {
        [
            ("alerts", self.alerts.len(), self.settings.alerts_max),
            ("alerts_bytes", self.alerts.bytes(), self.settings.alerts_bytes_max),
            ("groups", self.groups.len(), self.settings.groups_max),
            ("silences", self.silences.len(), self.settings.silences_max),
            ("silences_recurring", self.silences.recurring(), self.settings.silences_max),
            ("rate_limits", self.similar.len(), self.settings.rate_limits_max),
            ("histories", self.history.len(), self.settings.history_alerts_max),
            ("gone_integrations", self.gone.values().map(Vec::len).sum(), self.settings.gone_integrations_max),
            ("attempts", self.turns.under_way(), self.settings.attempts_max),
        ]
    }

    /// The integrations of a receiver, in the order of the configuration; none if it is not defined.
    pub fn integrations(&self, receiver: &str) -> &[Integration] {
        self.receivers.get(receiver).map_or(&[], Vec::as_slice)
    }

    /// The rule groups with their rules, in the order of the definitions.
    pub fn rule_groups(&self) -> Vec<RuleGroupView> {
        let groups = self.rule_group_order.iter().filter_map(|id| self.rule_groups.get(id));
        let views = groups.map(|group| RuleGroupView {
            id: group.spec.id,
            file: group.spec.file.clone(),
            name: group.spec.name.clone(),
            interval: group.spec.interval,
            query_offset: group.spec.query_offset,
            limit: group.spec.limit,
            last_evaluation: group.last_evaluation,
            evaluation_time: group.evaluation_time,
            next_evaluation: group.next_slot(self.now),
            slots_missed: group.slots_missed,
            rules: group.spec.rules.iter().filter_map(|rule| self.rule_state(rule.id)).collect(),
        });
        views.collect()
    }

    /// All rules, in the order of the definitions.
    pub fn rule_states(&self) -> Vec<RuleView> {
        self.rule_groups().into_iter().flat_map(|group| group.rules).collect()
    }

    /// One rule.
    pub fn rule_state(&self, id: RuleId) -> Option<RuleView> {
        self.rules.get(&id).map(|rule| rule.view())
    }

    /// All alerts in dispatch, by fingerprint, with their standing at `now`.
    pub fn alerts(&self, now: Timestamp) -> Vec<AlertView> {
        self.alerts.iter().map(|(fingerprint, stored)| self.alert_view(now, fingerprint, stored)).collect()
    }

    /// One alert.
    pub fn alert(&self, now: Timestamp, fingerprint: Fingerprint) -> Option<AlertView> {
        self.alerts.get(fingerprint).map(|stored| self.alert_view(now, fingerprint, stored))
    }

    fn alert_view(&self, now: Timestamp, fingerprint: Fingerprint, stored: &StoredAlert) -> AlertView {
        let labels = &stored.alert.labels;
        let silenced_by = self.silences.silencing(labels, now);
        let inhibited_by: BTreeSet<Fingerprint> =
            self.inhibitor.inhibitions(labels, true).into_iter().map(|inhibition| inhibition.source).collect();
        let attached = stored.memberships.iter().filter(|membership| !membership.detached);
        let groups: Vec<&Group> = attached.filter_map(|membership| self.groups.get(&membership.group)).collect();
        let mut receivers: Vec<Arc<str>> = Vec::new();
        let mut muted_by: Vec<Arc<str>> = Vec::new();
        let mut muted_groups = 0;
        for group in &groups {
            if !receivers.contains(&group.receiver) {
                receivers.push(group.receiver.clone());
            }
            let names = self.routes.find(&group.route).map(|node| self.muted_by(node, now)).unwrap_or_default();
            muted_groups += usize::from(!names.is_empty());
            for name in names {
                if !muted_by.contains(&name) {
                    muted_by.push(name);
                }
            }
        }
        receivers.sort();
        let router_suppressed = stored.seldom().and_then(|seldom| seldom.suppressed_by_router.values().next()).cloned();
        let quiet = !silenced_by.is_empty()
            || !inhibited_by.is_empty()
            || stored.acknowledgement().is_some_and(|acknowledgement| acknowledgement.snooze)
            || (muted_groups > 0 && muted_groups == groups.len())
            || (groups.is_empty() && router_suppressed.is_some());
        let state = if quiet {
            AlertViewState::Suppressed
        } else if groups.is_empty() && stored.routes_pending > 0 {
            AlertViewState::Unprocessed
        } else {
            AlertViewState::Active
        };
        let intervals = stored.rules.iter().filter_map(|rule| self.rules.get(rule)).map(|rule| rule.group);
        let interval =
            intervals.filter_map(|group| self.rule_groups.get(&group)).map(|group| group.spec.interval).max();
        let patience = interval.unwrap_or(RESEND_DELAY).max(RESEND_DELAY).times(4);
        AlertView {
            alert: stored.alert.clone(),
            expires_at: stored.alert.ends_at.unwrap_or(stored.alert.updated_at + patience),
            fingerprint,
            status: stored.status(),
            state,
            rules: stored.rules.clone(),
            silenced_by,
            inhibited_by: inhibited_by.into_iter().collect(),
            muted_by,
            router_suppressed,
            acknowledgement: stored.acknowledgement().cloned(),
            receivers,
        }
    }

    /// All alert groups, by receiver and labels.
    pub fn alert_groups(&self, now: Timestamp) -> Vec<AlertGroupView> {
        let mut views: Vec<AlertGroupView> = self
            .groups
            .iter()
            .map(|group| {
                let node = self.routes.find(&group.route);
                let muted = node.and_then(|node| self.muted(node, now));
                let damped = |stored: &StoredAlert| stored.damped_end(node, now, &group.targets);
                let members = group.members.iter().filter_map(|(f, m)| Some((*f, m, self.alerts.get(*f)?)));
                let mut members: Vec<_> = members.collect();
                members.sort_by(|a, b| a.2.alert.labels.cmp(&b.2.alert.labels));
                let alerts = members.into_iter().map(|(fingerprint, member, stored)| GroupedAlert {
                    fingerprint,
                    detached: member.detached,
                    suppressed: self
                        .suppressed(stored, muted.as_ref())
                        .or_else(|| damped(stored).map(|until| SuppressReason::Flapping { until })),
                });
                AlertGroupView {
                    key: group.key.clone(),
                    route: group.route.clone(),
                    receiver: group.receiver.clone(),
                    labels: group.labels.clone(),
                    muted_by: node.map(|node| self.muted_by(node, now)).unwrap_or_default(),
                    route_labels: self.routes.find(&group.route).map(|node| node.labels.clone()).unwrap_or_default(),
                    created_at: group.created_at,
                    next_flush: group.next_flush,
                    unanswered_since: group.unanswered_since,
                    escalated: group.escalated.clone(),
                    alerts: alerts.collect(),
                }
            })
            .collect();
        views.sort_by(|a, b| {
            let (a_key, b_key) = (a.key.as_str(), b.key.as_str());
            (&a.receiver, &a.labels, a_key).cmp(&(&b.receiver, &b.labels, b_key))
        });
        views
    }

    /// All silences, expired ones included, by id.
    pub fn silences(&self) -> Vec<&Silence> {
        self.silences.iter().collect()
    }

    /// One silence.
    pub fn silence(&self, id: &SilenceId) -> Option<&Silence> {
        self.silences.get(id)
    }

    /// What every receiver knows.
    pub fn notification_log(&self) -> Vec<LogView> {
        let targets = self.groups.in_order().into_iter().flat_map(|group| &group.targets);
        let known = targets.filter(|target| target.entry.sequence > 0);
        known.map(|target| LogView { target: (*target.key).clone(), entry: target.entry.clone() }).collect()
    }

    /// How many notifications are not delivered yet.
    pub fn outbox_len(&self) -> usize {
        self.groups.iter().flat_map(|group| &group.targets).filter(|target| target.pending.is_some()).count()
    }

    /// The notifications that are not delivered yet.
    pub fn outbox(&self) -> Vec<OutboxView> {
        let targets = self.groups.in_order().into_iter().flat_map(|group| &group.targets);
        targets.filter_map(Target::outbox_view).collect()
    }

    /// How an alert stands in each of its groups at `now`, by receiver and labels: who was told, who was not, and why.
    pub fn standings(&self, now: Timestamp, fingerprint: Fingerprint) -> Vec<StandingView> {
        let Some(stored) = self.alerts.get(fingerprint) else { return Vec::new() };
        let groups = stored.memberships.iter().filter_map(|membership| {
            let group = self.groups.get(&membership.group)?;
            Some(self.standing(now, stored, group, membership.detached))
        });
        let mut standings: Vec<StandingView> = groups.collect();
        standings.sort_by(|a, b| {
            let (a_key, b_key) = (a.key.as_str(), b.key.as_str());
            (&a.receiver, &a.labels, a_key).cmp(&(&b.receiver, &b.labels, b_key))
        });
        standings
    }

    fn standing(&self, now: Timestamp, stored: &StoredAlert, group: &Group, detached: bool) -> StandingView {
        let node = self.routes.find(&group.route);
        let muted = node.and_then(|node| self.muted(node, now));
        let damped = |stored: &StoredAlert| stored.damped_end(node, now, &group.targets);
        let steps = node.map(|node| node.policy.escalation.as_slice()).unwrap_or_default();
        let step = steps.iter().find(|step| !group.escalated.contains(&step.receiver));
        // As a look at the group decides it. Of a large group seldom more than one alert is asked.
        let is_open = |(fingerprint, member): (&Fingerprint, &Member)| {
            let Some(stored) = self.alerts.get(*fingerprint).filter(|_| !member.detached) else { return false };
            !stored.is_acknowledged()
                && (!stored.resolved || damped(stored).is_some())
                && self.suppressed(stored, muted.as_ref()).is_none()
        };
        StandingView {
            key: group.key.clone(),
            receiver: group.receiver.clone(),
            labels: group.labels.clone(),
            created_at: group.created_at,
            next_flush: group.next_flush,
            repeat_interval: node.map_or(Duration::from_hours(4), |node| node.repeat_interval),
            notify: node.map_or(Notify::All, |node| node.policy.notify),
            detached,
            suppressed: self
                .suppressed(stored, muted.as_ref())
                .or_else(|| damped(stored).map(|until| SuppressReason::Flapping { until })),
            muted_by: node.map(|node| self.muted_by(node, now)).unwrap_or_default(),
            damped_until: stored.damped(node, now),
            open: muted.is_none() && group.members.iter().any(is_open),
            escalates: group
                .unanswered_since
                .zip(step)
                .map(|(since, step)| (step.receiver.clone(), since + step.after)),
            muted,
            targets: group.targets.iter().map(Target::view).collect(),
        }
    }

    /// What happened to an alert, oldest first; also for a while after it was forgotten.
    pub fn history(&self, fingerprint: Fingerprint) -> Vec<Arc<HistoryEntry>> {
        self.history.of(fingerprint)
    }
}

impl Target {
    fn view(&self) -> TargetView {
        TargetView {
            target: (*self.key).clone(),
            current: self.current,
            entry: self.entry.clone(),
            pending: self.outbox_view(),
        }
    }

    fn outbox_view(&self) -> Option<OutboxView> {
        let pending = self.pending.as_ref()?;
        Some(OutboxView {
            id: pending.id,
            target: (*self.key).clone(),
            reason: pending.reason,
            alerts: pending.alerts.len(),
            created_at: pending.created_at,
            attempt: pending.attempt,
            in_flight: pending.in_flight,
            next_attempt: pending.next_attempt,
            error: pending.error.clone(),
        })
    }
}
