//! Rate limits: similar alerts are held back for a while and then told together, as a digest.

use watchfire_model::{ALERT_NAME_LABEL, Duration, Fingerprint, Labels, Timestamp};

use crate::alert_store::StoredAlert;
use crate::group::Group;
use crate::membership::{Occasion, Wanted};
use crate::policy::SEVERITY_LABEL;
use crate::route_table::Node;
use crate::timers::Timer;
use crate::{Engine, GroupKey, RateLimitRecord, Record, RecordKey, SimilarKey};

/// The label by which a digest's group differs from one that the configuration asks for.
pub(crate) const DIGEST_LABEL: &str = "__digest__";

impl Group {
    /// Whether it holds what a rate limit holds back.
    pub(crate) fn is_digest(&self) -> bool {
        self.labels.get(DIGEST_LABEL).is_some()
    }
}

impl Engine {
    /// How long a new group waits and how often it is looked at. A digest keeps the pace of its limit. A group whose route is
    /// gone has only ends to tell, which it does at the pace of the quickest one.
    pub(crate) fn pace(&self, node: Option<&Node>, labels: &Labels) -> (Duration, Duration) {
        let Some(node) = node else {
            return (Duration::ZERO, self.routes.shortest_interval().unwrap_or(Duration::from_mins(5)));
        };
        let limit =
            labels.get(DIGEST_LABEL).and_then(|_| node.policy.rate_limits.of(labels.value_or_empty(SEVERITY_LABEL)));
        limit.map_or((node.group_wait, node.group_interval), |limit| (limit, limit))
    }

    /// Until when an alert is held back that nobody here knows, because its receiver was told of a similar one.
    pub(crate) fn held_until(&self, group: &Group, node: &Node, labels: &Labels) -> Option<Timestamp> {
        if group.is_digest() {
            return None;
        }
        let limit = node.policy.rate_limits.of(labels.value_or_empty(SEVERITY_LABEL))?;
        let told_at = self.similar.get(&SimilarKey::of(&group.receiver, labels))?;
        Some(*told_at + limit).filter(|until| *until > self.now)
    }

    /// A receiver is told of this alert, so similar ones wait.
    pub(crate) fn similar_told(&mut self, group: &Group, fingerprint: Fingerprint) {
        let Some(node) = self.routes.find(&group.route) else { return };
        let Some(labels) = self.alerts.get(fingerprint).map(|stored| &stored.alert.labels) else { return };
        let severity = labels.value_or_empty(SEVERITY_LABEL);
        if node.policy.rate_limits.of(severity).is_none() {
            return;
        }
        // Another route to the same receiver may have a longer limit.
        let Some(limit) = self.routes.rate_limit(severity) else { return };
        let key = SimilarKey::of(&group.receiver, labels);
        let known = self.similar.get(&key);
        if known == Some(&self.now) {
            return;
        }
        if known.is_none() && self.similar.len() >= self.settings.rate_limits_max {
            // Told too often is better than not told.
            self.counters.rate_limits_overflowed += 1;
            return;
        }
        self.similar.insert(key.clone(), self.now);
        self.timers.set(Timer::RateLimit(Box::new(key.clone())), self.now + limit);
        self.persist(Record::RateLimit(RateLimitRecord { key, told_at: self.now }));
    }

    /// Nothing similar has to wait any more.
    pub(crate) fn rate_limit_due(&mut self, key: &SimilarKey) {
        if self.similar.remove(key).is_some() {
            self.delete(RecordKey::rate_limit(key));
        }
    }

    /// Moves what was held back to the digests of its routes.
    pub(crate) fn fold(&mut self) {
        for (group, fingerprint, until) in std::mem::take(&mut self.to_fold) {
            let Some(from) = self.groups.get(&group) else { continue };
            let Some(stored) = self.alerts.get(fingerprint).filter(|stored| !stored.resolved) else { continue };
            if from.awaits(fingerprint) || !from.members.contains_key(&fingerprint) {
                continue;
            }
            let wanted = digest(from, stored);
            self.counters.alerts_held_back += 1;
            self.leave(fingerprint, &group);
            self.join(fingerprint, wanted, Occasion::Held { until });
        }
    }

    /// Where an alert already is that has no group of its own, because it was held back or there was no room.
    pub(crate) fn shared_home(&self, stored: &StoredAlert, wanted: Wanted) -> Wanted {
        let home = stored.memberships.iter().filter(|membership| !membership.detached).find_map(|membership| {
            let group = self.groups.get(&membership.group)?;
            let shared = group.is_digest() || group.is_overflow();
            (shared && group.route == wanted.route && group.receiver == wanted.receiver).then_some(group)
        });
        match home {
            Some(group) => Wanted { key: group.key.clone(), labels: group.labels.clone(), ..wanted },
            None => wanted,
        }
    }
}

/// The digest in which an alert of a group is told that is held back.
fn digest(group: &Group, stored: &StoredAlert) -> Wanted {
    let labels = &stored.alert.labels;
    let labels = Labels::from_pairs([
        (DIGEST_LABEL, "true"),
        (ALERT_NAME_LABEL, labels.value_or_empty(ALERT_NAME_LABEL)),
        (SEVERITY_LABEL, labels.value_or_empty(SEVERITY_LABEL)),
    ]);
    Wanted::new(&group.route, &group.receiver, labels, group.routed_by_plugin)
}

/// What is held back until when, and where it was.
pub(crate) type Held = (GroupKey, Fingerprint, Timestamp);
