//! Which alert belongs to which group: routing, router plugins, joining and leaving.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watchfire_model::{Alert, Fingerprint, Labels, Timestamp};
use watchfire_plugin::{Decision, PluginError};

use crate::group::{Group, Member, Target};
use crate::reason::shortened;
use crate::timers::Timer;
use crate::{
    DeliveryReason, Engine, GroupKey, LimitReason, Membership, Output, Reason, Record, RecordKey, RouteId,
    RouteRequest, RouteRequestId, Subject, SuppressReason,
};

/// The label by which the group of alerts that found no room differs from one that the configuration asks for.
pub(crate) const OVERFLOW_LABEL: &str = "__overflow__";

/// A question to a router plugin that is not answered yet.
#[derive(Debug)]
pub(crate) struct AskedRoute {
    route: RouteId,
    alerts: Vec<Fingerprint>,
}

/// Why an alert is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// It began to fire.
    Begins,
    /// The definitions changed, or the engine started.
    Reload,
    /// A rate limit holds it back.
    Held {
        /// Until then.
        until: Timestamp,
    },
}

/// A group that an alert is to belong to.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) key: GroupKey,
    pub(crate) route: RouteId,
    pub(crate) receiver: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) by_plugin: bool,
}

impl Wanted {
    pub(crate) fn new(route: &RouteId, receiver: &Arc<str>, labels: Labels, by_plugin: bool) -> Wanted {
        let key = GroupKey::new(route, by_plugin.then_some(receiver), &labels);
        Wanted { key, route: route.clone(), receiver: receiver.clone(), labels, by_plugin }
    }
}

impl Group {
    /// Whether it holds the alerts of a route that found no room for groups of their own.
    pub(crate) fn is_overflow(&self) -> bool {
        self.labels.get(OVERFLOW_LABEL).is_some()
    }
}

impl Engine {
    /// Finds the groups that a firing alert belongs to and takes it out of those that it no longer belongs to. Where a
    /// router plugin decides, it is asked first, and until it answers nothing changes.
    pub(crate) fn route_alert(&mut self, fingerprint: Fingerprint, occasion: Occasion) {
        let Some(stored) = self.alerts.get(fingerprint) else { return };
        let labels = stored.alert.labels.clone();
        let mut wanted = Vec::new();
        // The routes whose groups stay as they are for now.
        let mut undecided = Vec::new();
        for node in self.routes.match_labels(&labels) {
            if node.router.is_none() {
                let own = Wanted::new(&node.id, &node.receiver, node.group_by.group_labels(&labels), false);
                wanted.push(self.shared_home(stored, own));
                continue;
            }
            undecided.push(node.id.clone());
            let decided = stored.suppressed_by_router(&node.id).is_some()
                || stored.memberships.iter().any(|membership| {
                    let group = self.groups.get(&membership.group).filter(|group| group.route == node.id);
                    // Where the receiver that it chose is gone, nobody is told.
                    let is_told = group.is_some_and(|group| self.receivers.contains_key(&group.receiver));
                    !membership.detached && is_told
                });
            if occasion == Occasion::Begins || !decided {
                self.to_route.entry(node.id.clone()).or_default().push(fingerprint);
            }
        }
        self.leave_others(fingerprint, &wanted, |route| !undecided.contains(route));
        for wanted in wanted {
            self.join(fingerprint, wanted, occasion);
        }
    }

    /// Emits one question per router for all alerts that came up during this input.
    pub(crate) fn ask_routers(&mut self) {
        for (route, alerts) in std::mem::take(&mut self.to_route) {
            let Some(plugin) = self.routes.find(&route).and_then(|node| node.router.clone()) else { continue };
            let (mut asked, mut seen) = (Vec::new(), BTreeSet::new());
            let mut shown: Vec<Alert> = Vec::new();
            for fingerprint in alerts {
                let Some(stored) = self.alerts.get_mut(fingerprint) else { continue };
                if !seen.insert(fingerprint) {
                    continue;
                }
                stored.routes_pending += 1;
                asked.push(fingerprint);
                shown.push(stored.alert.clone());
            }
            if asked.is_empty() {
                continue;
            }
            self.last_route_request_id += 1;
            let id = RouteRequestId(self.last_route_request_id);
            self.counters.router_requests += 1;
            self.asked_routes.insert(id, AskedRoute { route, alerts: asked });
            self.timers.set(Timer::RouteLost(id), self.now + self.settings.router_deadline);
            self.outputs.push_back(Output::Route(RouteRequest { id, plugin, at: self.now, alerts: shown }));
        }
    }

    pub(crate) fn route_lost(&mut self, id: RouteRequestId) {
        let limit = self.settings.router_deadline.as_millis().unsigned_abs();
        self.routed(id, Err(PluginError::Timeout { limit_ms: limit }));
    }

    /// A router plugin answered. If it failed, the route's own receiver is told, so that a broken router costs no page.
    pub(crate) fn routed(&mut self, id: RouteRequestId, result: Result<Vec<Decision>, PluginError>) {
        let Some(asked) = self.asked_routes.remove(&id) else {
            self.counters.stale_answers += 1;
            return;
        };
        self.timers.cancel(&Timer::RouteLost(id));
        let result = result.and_then(|decisions| {
            if decisions.len() == asked.alerts.len() {
                return Ok(decisions);
            }
            let what = format!("{} decisions for {} alerts", decisions.len(), asked.alerts.len());
            Err(PluginError::InvalidOutput(what))
        });
        let failure: Option<Arc<str>> = result.as_ref().err().map(|error| shortened(&error.to_string()));
        if failure.is_some() {
            self.counters.router_failures += 1;
        }
        let decisions = result.unwrap_or_else(|_| vec![Decision::default(); asked.alerts.len()]);
        for (fingerprint, decision) in asked.alerts.into_iter().zip(decisions) {
            let Some(stored) = self.alerts.get_mut(fingerprint) else { continue };
            stored.routes_pending = stored.routes_pending.saturating_sub(1);
            let labels = stored.alert.labels.clone();
            if let Some(error) = &failure {
                self.tell(&labels, None, None, DeliveryReason::RouterFailed { error: error.clone() });
            }
            self.follow_router(fingerprint, &labels, &asked.route, decision, failure.is_some());
        }
    }

    fn follow_router(
        &mut self,
        fingerprint: Fingerprint,
        labels: &Labels,
        route: &RouteId,
        decision: Decision,
        failed: bool,
    ) {
        // A reload may have taken the route or its router away, or have put another route before it; the alert was routed
        // anew then.
        let matched = self.routes.match_labels(labels).into_iter().find(|node| node.id == *route);
        let Some(node) = matched.filter(|node| node.router.is_some()) else { return };
        let Some(stored) = self.alerts.get_mut(fingerprint) else { return };
        let resolved = stored.resolved;
        let mut wanted = Vec::new();
        let mut unknown: Vec<String> = Vec::new();
        if stored.suppressed_by_router(route).is_some() {
            stored.seldom_mut().suppressed_by_router.remove(route);
        }
        match decision.suppress {
            Some(why) => {
                let why: Arc<str> = why.into();
                stored.seldom_mut().suppressed_by_router.insert(route.clone(), why.clone());
                self.tell(labels, None, None, SuppressReason::Router(why));
            }
            None => {
                let group_labels = match decision.group_key {
                    Some(key) => Labels::from_pairs([("group_key", key)]),
                    None => node.group_by.group_labels(labels),
                };
                let mut receivers: Vec<Arc<str>> = Vec::new();
                for name in decision.receivers {
                    match self.receivers.get_key_value(name.as_str()) {
                        Some((receiver, _)) if !receivers.contains(receiver) => receivers.push(receiver.clone()),
                        Some(_) => {}
                        None => unknown.push(name),
                    }
                }
                if receivers.is_empty() {
                    receivers.push(node.receiver.clone());
                }
                let group = |receiver| Wanted::new(route, receiver, group_labels.clone(), true);
                wanted = receivers.iter().map(group).collect();
                if let Some(stored) = self.alerts.get(fingerprint) {
                    wanted = wanted.into_iter().map(|wanted| self.shared_home(stored, wanted)).collect();
                }
            }
        }
        if !failed && !unknown.is_empty() {
            let error = format!("it named receivers that are not defined: {}", unknown.join(", "));
            self.tell(labels, None, None, DeliveryReason::RouterFailed { error: shortened(&error) });
            self.counters.router_failures += 1;
        }
        self.leave_others(fingerprint, &wanted, |other| other == route);
        if resolved {
            // It ended while the router thought; nobody was told, so there is nothing to tell.
            return;
        }
        for wanted in wanted {
            self.join(fingerprint, wanted, Occasion::Begins);
        }
    }

    /// Takes an alert out of the groups of the routes in question that it is not wanted in.
    fn leave_others(&mut self, fingerprint: Fingerprint, wanted: &[Wanted], in_question: impl Fn(&RouteId) -> bool) {
        let Some(stored) = self.alerts.get(fingerprint) else { return };
        let leaving = stored.memberships.iter().map(|membership| &membership.group).filter(|key| {
            let route = self.groups.get(key).map(|group| &group.route);
            route.is_none_or(&in_question) && !wanted.iter().any(|wanted| wanted.key == **key)
        });
        for key in leaving.cloned().collect::<Vec<_>>() {
            self.leave(fingerprint, &key);
        }
    }

    pub(crate) fn join(&mut self, fingerprint: Fingerprint, mut wanted: Wanted, occasion: Occasion) {
        if !self.groups.contains(&wanted.key) && self.groups.len() >= self.settings.groups_max {
            // Sharing a group is worse than having one's own and better than not being told.
            self.counters.groups_overflowed += 1;
            let max = self.settings.groups_max;
            if let Some(stored) = self.alerts.get(fingerprint) {
                let labels = stored.alert.labels.clone();
                self.tell(&labels, None, None, LimitReason::Groups { max });
            }
            wanted = wanted_overflow(&wanted);
        }
        if !self.groups.contains(&wanted.key) {
            self.create_group(fingerprint, &wanted, occasion);
        }
        if occasion == Occasion::Begins && self.waits_for_gone_integrations_only(&wanted.key, fingerprint) {
            let next_flush = self.first_flush(fingerprint, &wanted, occasion);
            if let Some(group) = self.groups.get_mut(&wanted.key) {
                (group.flushed, group.changed, group.next_flush) = (false, true, next_flush);
            }
            self.timers.set(Timer::flush(&wanted.key), next_flush);
            self.dirty_groups.insert(wanted.key.clone());
        }
        let (Some(group), Some(stored)) = (self.groups.get_mut(&wanted.key), self.alerts.get_mut(fingerprint)) else {
            return;
        };
        let member = group.members.entry(fingerprint).or_default();
        let known = stored.memberships.iter_mut().find(|membership| membership.group == wanted.key);
        match known {
            Some(membership) if !membership.detached && !member.detached => return,
            Some(membership) => membership.detached = false,
            None => {
                // Most alerts belong to one group, whose key is held once.
                stored.memberships.reserve_exact(1);
                stored.memberships.push(Membership { group: group.key.clone(), detached: false });
            }
        }
        member.detached = false;
        self.dirty_alerts.insert(fingerprint);
        self.mark_changed(&wanted.key);
    }

    /// Whether all that a group still has to tell is for integrations that went, so that what begins now begins it anew.
    fn waits_for_gone_integrations_only(&self, key: &GroupKey, fingerprint: Fingerprint) -> bool {
        let Some(group) = self.groups.get(key).filter(|group| group.flushed) else { return false };
        let (gone, there): (Vec<&Target>, Vec<&Target>) =
            group.targets.iter().partition(|target| target.integration.is_none());
        let is_over = |f: Fingerprint| {
            self.alerts.get(f).is_none_or(|stored| stored.resolved) && !there.iter().any(|target| target.awaits(f))
        };
        !gone.is_empty()
            && there.iter().all(|target| target.pending.is_none())
            && group.members.keys().all(|f| *f == fingerprint || is_over(*f))
    }

    /// A new group waits for `group_wait`, or not at all if its first alert is older than that (alertmanager
    /// `dispatch/dispatch.go`). That exception is not for a reload: there it would send everything at once, before the
    /// alerts that inhibit have found their way.
    fn first_flush(&self, fingerprint: Fingerprint, wanted: &Wanted, occasion: Occasion) -> Timestamp {
        let (wait, _) = self.pace(self.routes.find(&wanted.route), &wanted.labels);
        let starts_at = self.alerts.get(fingerprint).map_or(self.now, |stored| stored.alert.starts_at);
        let next_flush = match occasion {
            Occasion::Begins if starts_at + wait < self.now => self.now,
            Occasion::Begins | Occasion::Reload => self.now + wait,
            Occasion::Held { until } => until,
        };
        next_flush.max(self.dispatch_from)
    }

    fn create_group(&mut self, fingerprint: Fingerprint, wanted: &Wanted, occasion: Occasion) {
        let next_flush = self.first_flush(fingerprint, wanted, occasion);
        let mut group = Group {
            key: wanted.key.clone(),
            since: self.now,
            route: wanted.route.clone(),
            receiver: wanted.receiver.clone(),
            routed_by_plugin: wanted.by_plugin,
            labels: wanted.labels.clone(),
            members: BTreeMap::new(),
            created_at: self.now,
            next_flush,
            flushed: false,
            changed: true,
            unanswered_since: None,
            escalated: Vec::new(),
            targets: Vec::new(),
        };
        group.sync_targets(&self.receivers, &self.gone);
        self.timers.set(Timer::flush(&group.key), next_flush);
        self.dirty_groups.insert(group.key.clone());
        self.groups.insert(Box::new(group));
    }

    /// Takes an alert out of a group, or leaves it there detached while the end of it, or of an attempt, is to be told.
    pub(crate) fn leave(&mut self, fingerprint: Fingerprint, key: &GroupKey) {
        let Some(stored) = self.alerts.get_mut(fingerprint) else { return };
        let Some(group) = self.groups.get_mut(key) else {
            stored.memberships.retain(|membership| membership.group != *key);
            return;
        };
        if group.awaits(fingerprint) {
            if let Some(member) = group.members.get_mut(&fingerprint) {
                member.detached = true;
            }
            for membership in stored.memberships.iter_mut().filter(|membership| membership.group == *key) {
                membership.detached = true;
            }
        } else {
            group.members.remove(&fingerprint);
            stored.memberships.retain(|membership| membership.group != *key);
            let is_over = group.is_over();
            let unknown =
                if is_over { Vec::new() } else { group.count_as_unknown(&std::iter::once(fingerprint).collect()) };
            unknown.into_iter().for_each(|record| self.persist(Record::Target(record)));
            if is_over {
                self.drop_group(key);
            }
        }
        self.dirty_alerts.insert(fingerprint);
    }

    /// Forgets a group and what its receivers knew.
    pub(crate) fn drop_group(&mut self, key: &GroupKey) {
        let Some(group) = self.groups.remove(key) else { return };
        self.timers.cancel(&Timer::flush(key));
        self.timers.cancel(&Timer::escalation(key));
        self.dirty_groups.remove(key);
        self.delete(RecordKey::group(group.since, key));
        for target in group.targets {
            self.timers.cancel(&Timer::Attempt(target.key.clone()));
            self.timers.cancel(&Timer::Repeat(target.key.clone()));
            if let Some(pending) = target.pending {
                if pending.in_flight {
                    self.turns.give_back(&target.key);
                }
                self.notifications.remove(&pending.id);
            }
            if target.entry.sequence > 0 {
                self.delete(RecordKey::target(target.since, &target.key));
            }
        }
    }

    /// Something happened to an alert that its groups must look at.
    pub(crate) fn mark_groups_changed(&mut self, fingerprint: Fingerprint) {
        let Some(stored) = self.alerts.get(fingerprint) else { return };
        let keys: Vec<GroupKey> = stored.memberships.iter().map(|membership| membership.group.clone()).collect();
        for key in keys {
            self.mark_changed(&key);
        }
    }

    /// A group that has something to look at keeps its timer over a restart to the millisecond; one that has not need
    /// only keep its pace, so that an idle engine writes nothing.
    pub(crate) fn mark_changed(&mut self, key: &GroupKey) {
        if let Some(group) = self.groups.get_mut(key).filter(|group| !group.changed) {
            group.changed = true;
            self.dirty_groups.insert(key.clone());
        }
    }

    /// Puts a restored alert back into its groups.
    pub(crate) fn rejoin(&mut self, fingerprint: Fingerprint) {
        let Some(stored) = self.alerts.get_mut(fingerprint) else { return };
        let groups = &mut self.groups;
        stored.memberships.retain_mut(|membership| {
            let Some(group) = groups.get_mut(&membership.group) else { return false };
            let member = Member { detached: membership.detached, told: true, ..Member::default() };
            group.members.insert(fingerprint, member);
            membership.group = group.key.clone();
            true
        });
    }

    /// Says that a promise to tell an alert's end cannot be kept because the receiver is gone.
    pub(crate) fn promise_lost(&mut self, fingerprint: Fingerprint, receiver: &Arc<str>) {
        self.counters.resolves_lost_to_removed_receivers += 1;
        let reason = Reason::Suppress(SuppressReason::ReceiverRemoved(receiver.clone()));
        match self.alerts.get(fingerprint).map(|stored| stored.alert.labels.clone()) {
            Some(labels) => self.tell(&labels, None, None, reason),
            None => self.emit(Subject::Engine, reason),
        }
    }
}

/// The group that a route's alerts share when there is no room for more groups.
fn wanted_overflow(wanted: &Wanted) -> Wanted {
    let labels = Labels::from_pairs([(OVERFLOW_LABEL, "true")]);
    Wanted::new(&wanted.route, &wanted.receiver, labels, wanted.by_plugin)
}
