//! All timers of the engine as one table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watchfire_model::{Fingerprint, RuleGroupId, RuleId, Timestamp};

use crate::{GroupKey, RouteRequestId, SilenceId, SimilarKey, TargetKey};

/// What can be due. Of those due at the same time the earlier variant goes first: an alert ends before its group is
/// looked at, and a group is looked at before an attempt to deliver is made.
///
/// There is one for each alert at least, so that it is no larger than a number and a pointer: what is larger is in a box.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A silence begins to be only kept, or is deleted.
    Silence(Box<SilenceId>),
    /// An alert from outside ends unless it was sent again.
    AlertEnd(Fingerprint),
    /// An acknowledgement ends by itself.
    Acknowledgement(Fingerprint),
    /// Similar alerts need not wait any more.
    RateLimit(Box<SimilarKey>),
    /// A rule stayed away for too long.
    RuleRemoved(RuleId),
    /// A rule group's slot.
    RuleSlot(RuleGroupId),
    /// Rules of the group were touched, and the arrivals were collected for long enough.
    Arrival(RuleGroupId),
    /// The group's evaluation under way should have been answered.
    EvaluationLost(RuleGroupId),
    /// The router should have answered.
    RouteLost(RouteRequestId),
    /// An alert group looks whether there is something to tell.
    Flush(Box<GroupKey>),
    /// A group is told again to the millisecond, where its route wants that.
    Repeat(Arc<TargetKey>),
    /// Nobody has acknowledged for as long as the route waits.
    Escalation(Box<GroupKey>),
    /// A retry is due, or an attempt under way should have been answered.
    Attempt(Arc<TargetKey>),
    /// An alert that ended may be forgotten.
    Forget(Fingerprint),
    /// An integration that is not defined any more may be forgotten.
    GoneIntegrations,
    /// New lines of histories are to be kept.
    KeepHistory,
    /// Histories may be too old.
    AgeHistory,
}

impl Timer {
    pub(crate) fn silence(id: &SilenceId) -> Timer {
        Timer::Silence(Box::new(id.clone()))
    }

    pub(crate) fn flush(group: &GroupKey) -> Timer {
        Timer::Flush(Box::new(group.clone()))
    }

    pub(crate) fn escalation(group: &GroupKey) -> Timer {
        Timer::Escalation(Box::new(group.clone()))
    }
}

/// A timer to be found again, in an order that is quick to compare: keys of groups are long, have much in common and lie
/// apart, so that not even their hashes are looked for there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ToFind {
    hash: u64,
    timer: Timer,
}

impl ToFind {
    fn new(timer: Timer) -> ToFind {
        let hash = match &timer {
            Timer::AlertEnd(alert) | Timer::Acknowledgement(alert) | Timer::Forget(alert) => alert.0,
            Timer::Flush(group) | Timer::Escalation(group) => group.hash(),
            Timer::Repeat(target) | Timer::Attempt(target) => target.group.hash(),
            _ => 0,
        };
        ToFind { hash, timer }
    }
}

/// Each timer is set at most once.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Timestamp, Timer)>,
    by_timer: BTreeMap<ToFind, Timestamp>,
}

impl Timers {
    /// Sets a timer, replacing an earlier setting.
    pub(crate) fn set(&mut self, timer: Timer, at: Timestamp) {
        if let Some(old) = self.by_timer.insert(ToFind::new(timer.clone()), at) {
            if old == at {
                return;
            }
            // The set owns its copy of the key, so the lookup needs one too; the parts are reference counted.
            self.by_time.remove(&(old, timer.clone()));
        }
        self.by_time.insert((at, timer));
    }

    /// Sets a timer only if it is not set.
    pub(crate) fn set_if_unset(&mut self, timer: Timer, at: Timestamp) {
        if self.get(&timer).is_none() {
            self.set(timer, at);
        }
    }

    /// Unsets a timer.
    pub(crate) fn cancel(&mut self, timer: Timer) {
        let timer = ToFind::new(timer);
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer.timer));
        }
    }

    /// When a timer is due.
    pub(crate) fn get(&self, timer: &Timer) -> Option<Timestamp> {
        // What is cloned is a number or reference counted.
        self.by_timer.get(&ToFind::new(timer.clone())).copied()
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The timers that wait for a span of time and not for a time that somebody set, those of alert groups and rule
    /// groups' slots excepted, whose times are also kept elsewhere. In their order.
    pub(crate) fn relative(&self) -> Vec<Timer> {
        let relative = self.by_timer.keys().map(|known| &known.timer).filter(|timer| match timer {
            Timer::Silence(_) | Timer::AlertEnd(_) | Timer::Acknowledgement(_) => false,
            Timer::RuleSlot(_) | Timer::Flush(_) => false,
            Timer::RateLimit(_) | Timer::Repeat(_) | Timer::Escalation(_) => true,
            Timer::KeepHistory | Timer::AgeHistory | Timer::GoneIntegrations => true,
            Timer::RuleRemoved(_) | Timer::Arrival(_) | Timer::EvaluationLost(_) => true,
            Timer::RouteLost(_) | Timer::Attempt(_) | Timer::Forget(_) => true,
        });
        let mut relative: Vec<Timer> = relative.cloned().collect();
        relative.sort();
        relative
    }

    /// Takes the next one that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let timer = ToFind::new(self.by_time.pop_first()?.1);
        self.by_timer.remove(&timer);
        Some(timer.timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_small() {
        assert_eq!(size_of::<Timer>(), 16);
    }

    #[test]
    fn a_timer_is_due_once_at_its_last_setting_and_in_order() {
        let at = Timestamp::from_secs;
        let mut timers = Timers::default();
        timers.set(Timer::Forget(Fingerprint(1)), at(5));
        timers.set(Timer::Forget(Fingerprint(1)), at(3));
        timers.set(Timer::AlertEnd(Fingerprint(2)), at(3));
        timers.set(Timer::AlertEnd(Fingerprint(3)), at(1));
        timers.set_if_unset(Timer::AlertEnd(Fingerprint(3)), at(2));
        timers.set(Timer::RuleSlot(RuleGroupId(7)), at(2));
        timers.cancel(Timer::RuleSlot(RuleGroupId(7)));
        assert_eq!(timers.next(), Some(at(1)));
        let mut due = Vec::new();
        while let Some(timer) = timers.pop_due(at(4)) {
            due.push(timer);
        }
        assert_eq!(
            due,
            [Timer::AlertEnd(Fingerprint(3)), Timer::AlertEnd(Fingerprint(2)), Timer::Forget(Fingerprint(1))]
        );
        assert_eq!(timers.next(), None);
    }
}
