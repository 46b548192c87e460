//! All timers of the engine as one table.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{Hash, Hasher};
use std::mem::discriminant;
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

impl Hash for Timer {
    /// By what is hashed already, and that is enough: keys of groups are long, have much in common and lie apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        discriminant(self).hash(state);
        match self {
            Timer::AlertEnd(alert) | Timer::Acknowledgement(alert) | Timer::Forget(alert) => alert.hash(state),
            Timer::Flush(group) | Timer::Escalation(group) => group.hash(state),
            Timer::Repeat(target) | Timer::Attempt(target) => state.write_u64(target.group.hash()),
            Timer::RuleSlot(rules) | Timer::Arrival(rules) | Timer::EvaluationLost(rules) => rules.hash(state),
            Timer::Silence(id) => id.hash(state),
            Timer::RateLimit(key) => key.hash(state),
            Timer::RuleRemoved(rule) => rule.hash(state),
            Timer::RouteLost(request) => request.hash(state),
            Timer::GoneIntegrations | Timer::KeepHistory | Timer::AgeHistory => {}
        }
    }
}

/// Settings that do not hold any more and may stay in the queue, beside as many as hold.
const STALE_MIN: usize = 64;

/// Each timer is set at most once.
///
/// Most timers are put off or cancelled and never due, such as the time by which an attempt under way should have been
/// answered. So a setting that does not hold any more stays in the queue until its turn comes or until there are too many
/// of them, which costs far less than to look for it there.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    settings: HashMap<Timer, Timestamp>,
    /// The settings, the next one first, and some that were. The first one always holds.
    queue: BinaryHeap<Reverse<(Timestamp, Timer)>>,
}

impl Timers {
    /// Sets a timer, replacing an earlier setting.
    pub(crate) fn set(&mut self, timer: Timer, at: Timestamp) {
        // What is cloned is a number or reference counted.
        let before = self.settings.insert(timer.clone(), at);
        if before == Some(at) {
            return;
        }
        self.queue.push(Reverse((at, timer)));
        // Where nothing was set before, nothing has ceased to hold.
        if before.is_some() {
            self.tidy();
        }
    }

    /// Sets a timer only if it is not set.
    pub(crate) fn set_if_unset(&mut self, timer: Timer, at: Timestamp) {
        if let Entry::Vacant(free) = self.settings.entry(timer) {
            self.queue.push(Reverse((at, free.key().clone())));
            free.insert(at);
        }
    }

    /// Unsets a timer.
    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if self.settings.remove(timer).is_some() {
            self.tidy();
        }
    }

    /// When a timer is due.
    pub(crate) fn get(&self, timer: &Timer) -> Option<Timestamp> {
        self.settings.get(timer).copied()
    }

    /// Takes settings that do not hold any more out of the queue: those that come first, and all if they are too many.
    fn tidy(&mut self) {
        if self.queue.len() > 2 * self.settings.len() + STALE_MIN {
            // Not by taking some out: a timer that was put off and back again would be there twice for ever.
            let settings = self.settings.iter().map(|(timer, at)| Reverse((*at, timer.clone())));
            self.queue = settings.collect();
        }
        while let Some(Reverse((at, timer))) = self.queue.peek()
            && self.settings.get(timer) != Some(at)
        {
            self.queue.pop();
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// The timers that wait for a span of time and not for a time that somebody set, those of alert groups and rule
    /// groups' slots excepted, whose times are also kept elsewhere. In their order.
    pub(crate) fn relative(&self) -> Vec<Timer> {
        let relative = self.settings.keys().filter(|timer| match timer {
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
        let Reverse((_, timer)) = self.queue.pop()?;
        self.settings.remove(&timer);
        self.tidy();
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        timers.cancel(&Timer::RuleSlot(RuleGroupId(7)));
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

    #[test]
    fn timers_that_are_put_off_again_and_again_take_no_more_room_than_those_that_are_set() {
        let mut timers = Timers::default();
        for round in 0..1_000 {
            for alert in 0..100 {
                timers.set(Timer::AlertEnd(Fingerprint(alert)), Timestamp::from_secs(1_000 + round % 7));
            }
            assert!(timers.queue.len() <= 2 * 100 + STALE_MIN + 1, "{} after round {round}", timers.queue.len());
        }
        (1..100).for_each(|alert| timers.cancel(&Timer::AlertEnd(Fingerprint(alert))));
        assert!(timers.queue.len() <= 2 + STALE_MIN);
        assert_eq!(timers.pop_due(Timestamp::from_secs(2_000)), Some(Timer::AlertEnd(Fingerprint(0))));
        assert_eq!(timers.pop_due(Timestamp::from_secs(2_000)), None);
    }

    proptest! {
        /// Whatever is set, put off, cancelled and taken, in whatever order: as in a list that is looked through.
        #[test]
        fn timers_are_due_as_in_a_list(steps in prop::collection::vec((0_u8..4, 0_u64..6, 0_i64..9), 0..400)) {
            let mut timers = Timers::default();
            let mut list: Vec<(Timestamp, Timer)> = Vec::new();
            for (what, which, at) in steps {
                let at = Timestamp::from_secs(at);
                let timer = if which < 3 { Timer::Forget(Fingerprint(which)) } else { Timer::AlertEnd(Fingerprint(which)) };
                let set = list.iter().position(|(_, known)| *known == timer);
                match what {
                    0 => {
                        set.map(|set| list.remove(set));
                        list.push((at, timer.clone()));
                        timers.set(timer, at);
                    }
                    1 => {
                        if set.is_none() {
                            list.push((at, timer.clone()));
                        }
                        timers.set_if_unset(timer, at);
                    }
                    2 => {
                        set.map(|set| list.remove(set));
                        timers.cancel(&timer);
                    }
                    _ => {
                        list.sort();
                        let due = list.first().is_some_and(|(first, _)| *first <= at).then(|| list.remove(0).1);
                        prop_assert_eq!(timers.pop_due(at), due);
                    }
                }
                prop_assert_eq!(timers.next(), list.iter().map(|(at, _)| *at).min());
            }
        }
    }
}
