//! The alerts in dispatch, from rules and from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_model::{Alert, AlertStatus, Annotations, Duration, Fingerprint, RuleId, SharedNames, Timestamp};

use crate::{Acknowledgement, AlertRecord, Membership, RouteId};

/// An alert with what dispatch knows about it.
#[derive(Debug)]
pub(crate) struct StoredAlert {
    pub(crate) alert: Alert,
    /// Since when it is kept: a part of its record's key.
    pub(crate) since: Timestamp,
    /// The rules that say that it fires. Two rules may give the same alert; it ends when neither says so any more.
    pub(crate) rules: Vec<RuleId>,
    /// Whether its end was noticed. Not computed from `ends_at`, so that a clock that goes back raises nothing again.
    pub(crate) resolved: bool,
    /// The groups that it belongs to.
    pub(crate) memberships: Vec<Membership>,
    /// The end that was persisted last; far back if none was.
    pub(crate) kept_end: Timestamp,
    /// How many router plugins were asked about it and have not answered.
    pub(crate) routes_pending: u32,
    seldom: Option<Box<Seldom>>,
}

/// What few alerts have, of which there are many.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    /// The routes whose router plugin suppressed it, and why.
    pub(crate) suppressed_by_router: BTreeMap<RouteId, Arc<str>>,
    /// Who looks after it.
    pub(crate) acknowledgement: Option<Acknowledgement>,
    /// When it began to fire lately, oldest first; only where a route damps what flaps.
    pub(crate) begins: Vec<Timestamp>,
    /// When it last began or ended, where that is so.
    pub(crate) changed_at: Timestamp,
}

impl StoredAlert {
    pub(crate) fn new(alert: Alert, since: Timestamp) -> StoredAlert {
        StoredAlert {
            alert,
            since,
            rules: Vec::new(),
            resolved: false,
            memberships: Vec::new(),
            kept_end: Timestamp::MIN,
            routes_pending: 0,
            seldom: None,
        }
    }

    /// The same alert begins anew, in the groups and with the past that it had.
    pub(crate) fn begins_anew(self, alert: Alert) -> StoredAlert {
        let past = self.seldom.map(|seldom| Seldom {
            begins: seldom.begins,
            changed_at: seldom.changed_at,
            ..Seldom::default()
        });
        StoredAlert {
            memberships: self.memberships,
            routes_pending: self.routes_pending,
            seldom: past.filter(|past| !past.begins.is_empty()).map(Box::new),
            ..StoredAlert::new(alert, self.since)
        }
    }

    pub(crate) fn seldom(&self) -> Option<&Seldom> {
        self.seldom.as_deref()
    }

    pub(crate) fn seldom_mut(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    /// Who looks after it.
    pub(crate) fn acknowledgement(&self) -> Option<&Acknowledgement> {
        self.seldom()?.acknowledgement.as_ref()
    }

    /// Takes from it who looks after it.
    pub(crate) fn take_acknowledgement(&mut self) -> Option<Acknowledgement> {
        self.seldom.as_mut()?.acknowledgement.take()
    }

    /// Why the router plugin of a route suppressed it, if it did.
    pub(crate) fn suppressed_by_router(&self, route: &RouteId) -> Option<&Arc<str>> {
        self.seldom()?.suppressed_by_router.get(route)
    }

    pub(crate) fn status(&self) -> AlertStatus {
        if self.resolved { AlertStatus::Resolved } else { AlertStatus::Firing }
    }

    pub(crate) fn record(&self) -> AlertRecord {
        AlertRecord {
            since: self.since,
            alert: self.alert.clone(),
            rules: self.rules.clone(),
            resolved: self.resolved,
            memberships: self.memberships.clone(),
            acknowledgement: self.acknowledgement().cloned(),
            begins: self.seldom().map_or_else(Vec::new, |seldom| seldom.begins.clone()),
        }
    }

    pub(crate) fn restored(mut record: AlertRecord, now: Timestamp, shared: &mut SharedNames) -> StoredAlert {
        let ended = record.alert.ends_at.filter(|_| record.resolved);
        let said = record.acknowledgement.as_mut().map(|acknowledgement| &mut acknowledgement.at);
        record.begins.iter_mut().chain(said).for_each(|at| *at = now.min(*at));
        // A sender may say of an alert that began just now that it ended long ago.
        let changed_at = ended.max(record.begins.last().copied()).map_or(Timestamp::MIN, |at| at.min(now));
        record.memberships.shrink_to_fit();
        let has_seldom = record.acknowledgement.is_some() || !record.begins.is_empty();
        let seldom = Seldom {
            suppressed_by_router: BTreeMap::new(),
            acknowledgement: record.acknowledgement,
            begins: record.begins,
            changed_at,
        };
        StoredAlert {
            rules: record.rules,
            resolved: record.resolved,
            memberships: record.memberships,
            kept_end: record.alert.ends_at.unwrap_or(Timestamp::MIN),
            seldom: has_seldom.then(|| Box::new(seldom)),
            ..StoredAlert::new(record.alert.share(shared), record.since)
        }
    }
}

/// Fills in what a sender left out (alertmanager `api/v2/api.go`, `postAlertsHandler`); `None` if it cannot be an alert.
pub(crate) fn complete(mut alert: Alert, now: Timestamp, resolve_timeout: Duration) -> Option<Alert> {
    alert.updated_at = now;
    // Who decoded it may have set the end that follows from the timeout already.
    alert.timeout |= alert.ends_at.is_none();
    if alert.starts_at == Timestamp::MIN {
        alert.starts_at = alert.ends_at.unwrap_or(now);
    }
    let ends_at = *alert.ends_at.get_or_insert(now + resolve_timeout);
    (alert.starts_at <= ends_at && !alert.labels.is_empty()).then_some(alert)
}

/// Merges what is known about an alert from outside with what its sender says now (alertmanager `alert/alert.go`,
/// `Merge`, and `provider/mem`, `Put`). `old_resolved` is whether its end was noticed.
pub(crate) fn merge(old: &Alert, old_resolved: bool, mut new: Alert, now: Timestamp) -> Alert {
    // The same labels are held once.
    new.labels = old.labels.clone();
    let (Some(old_end), Some(new_end)) = (old.ends_at, new.ends_at) else { return new };
    let inside = |t: Timestamp| t > old.starts_at && t < old_end;
    if !inside(new_end) && !inside(new.starts_at) {
        return new;
    }
    new.starts_at = new.starts_at.min(old.starts_at);
    if new_end <= now {
        // Both are over: the later end is the truth.
        if old_resolved && old_end > new_end {
            new.ends_at = Some(old_end);
        }
    } else if old_end > new_end && !old.timeout {
        // An end that a sender gave rules over one that was made up, and over an earlier one.
        new.ends_at = Some(old_end);
    }
    new
}

/// All alerts in dispatch.
#[derive(Debug, Default)]
pub(crate) struct AlertStore {
    /// In boxes, because a tree's nodes are partly empty.
    alerts: BTreeMap<Fingerprint, Box<StoredAlert>>,
    /// The sum of [`Alert::text_bytes`].
    bytes: usize,
    /// What alerts have in common.
    pub(crate) shared: SharedNames,
}

impl AlertStore {
    pub(crate) fn len(&self) -> usize {
        self.alerts.len()
    }

    /// Bytes of the texts of all alerts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, fingerprint: Fingerprint) -> Option<&StoredAlert> {
        self.alerts.get(&fingerprint).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, fingerprint: Fingerprint) -> Option<&mut StoredAlert> {
        self.alerts.get_mut(&fingerprint).map(Box::as_mut)
    }

    /// An alert if it fires, with annotations as its rule gives them now.
    pub(crate) fn annotate_firing(
        &mut self,
        fingerprint: Fingerprint,
        annotations: &Annotations,
    ) -> Option<&mut StoredAlert> {
        let stored = self.alerts.get_mut(&fingerprint).filter(|stored| !stored.resolved)?;
        if stored.alert.annotations != *annotations {
            self.bytes -= stored.alert.text_bytes();
            stored.alert.annotations = annotations.clone();
            self.bytes += stored.alert.text_bytes();
        }
        Some(stored)
    }

    /// Puts what an alert is now into the place of what it was.
    pub(crate) fn replace(&mut self, fingerprint: Fingerprint, alert: Alert) -> Option<&mut StoredAlert> {
        let stored = self.alerts.get_mut(&fingerprint)?;
        self.bytes = self.bytes - stored.alert.text_bytes() + alert.text_bytes();
        stored.alert = alert;
        Some(stored)
    }

    pub(crate) fn insert(&mut self, fingerprint: Fingerprint, stored: StoredAlert) {
        self.bytes += stored.alert.text_bytes();
        if let Some(old) = self.alerts.insert(fingerprint, Box::new(stored)) {
            self.bytes -= old.alert.text_bytes();
        }
    }

    pub(crate) fn remove(&mut self, fingerprint: Fingerprint) -> Option<Box<StoredAlert>> {
        let removed = self.alerts.remove(&fingerprint)?;
        self.bytes -= removed.alert.text_bytes();
        Some(removed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fingerprint, &StoredAlert)> {
        self.alerts.iter().map(|(fingerprint, stored)| (*fingerprint, stored.as_ref()))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut StoredAlert> {
        self.alerts.values_mut().map(Box::as_mut)
    }

    pub(crate) fn fingerprints(&self) -> Vec<Fingerprint> {
        self.alerts.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Target;

    #[test]
    fn what_there_is_much_of_is_small() {
        assert!(size_of::<StoredAlert>() <= 192, "{}", size_of::<StoredAlert>());
        assert!(size_of::<Target>() <= 192, "{}", size_of::<Target>());
    }
}
