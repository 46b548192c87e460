//! Flapping: an alert that comes and goes is told once and then left alone until it has made up its mind.

use watchfire_model::{Duration, Fingerprint, Timestamp};

use crate::Engine;
use crate::alert_store::{Seldom, StoredAlert};
use crate::group::Target;
use crate::policy::FlapDamping;
use crate::route_table::Node;

impl FlapDamping {
    /// The most times that may be asked for, since as many are remembered for each alert.
    pub const TIMES_MAX: usize = 32;
}

impl StoredAlert {
    /// Until when its changes are not told, if it came and went too often; in the past if it has been steady for long
    /// enough.
    fn damped_until(&self, damping: FlapDamping) -> Option<Timestamp> {
        let Seldom { begins, changed_at, .. } = self.seldom()?;
        let (times, last) = (damping.times.max(2), *begins.last()?);
        let first = begins.len().checked_sub(times).and_then(|first| begins.get(first))?;
        (last.since(*first) < damping.within).then_some(*changed_at + damping.within)
    }

    /// Until when its changes are not told by a route, if they are not told now.
    pub(crate) fn damped(&self, node: Option<&Node>, now: Timestamp) -> Option<Timestamp> {
        let damping = node.and_then(|node| node.policy.flap_damping)?;
        self.damped_until(damping).filter(|until| *until > now)
    }

    /// Until when its end is not told to a group's targets, if it has ended and comes and goes. Once it was told it stays
    /// told, also where a clock that is set back brings the time back in which it was not.
    pub(crate) fn damped_end(&self, node: Option<&Node>, now: Timestamp, targets: &[Target]) -> Option<Timestamp> {
        let until = self.damped(node, now).filter(|_| self.resolved)?;
        let fingerprint = self.alert.fingerprint();
        let began = self.seldom().and_then(|seldom| seldom.begins.last().copied());
        let told = |t: &Target| t.entry.resolved.contains(fingerprint) && t.entry.notified_at >= began;
        (!targets.iter().any(told)).then_some(until)
    }

    /// The clock went back: it is damped for no longer than it would have been, and what was said of it was said before
    /// what will be.
    pub(crate) fn clock_stepped_back(&mut self, by: Duration) {
        if self.seldom().is_some() {
            let Seldom { begins, changed_at, acknowledgement, .. } = self.seldom_mut();
            let said = acknowledgement.as_mut().map(|acknowledgement| &mut acknowledgement.at);
            begins.iter_mut().chain([changed_at]).chain(said).for_each(|at| *at = *at - by);
        }
    }

    /// Whether its changes are not told by a route now.
    pub(crate) fn is_damped(&self, node: Option<&Node>, now: Timestamp) -> bool {
        self.damped(node, now).is_some()
    }
}

impl Engine {
    /// An alert begins to fire: remembers it and, where that makes it flap, sees to it that its receivers are told so.
    pub(crate) fn remember_beginning(&mut self, fingerprint: Fingerprint) {
        let Some(longest) = self.routes.flap_damping() else { return };
        let now = self.now;
        let groups = self.groups_of(fingerprint);
        let Some(stored) = self.alerts.get_mut(fingerprint) else { return };
        let before: Vec<bool> = (groups.iter())
            .map(|key| self.groups.get(key).and_then(|group| self.routes.find(&group.route)))
            .map(|node| stored.is_damped(node, now))
            .collect();
        let Seldom { begins, changed_at, .. } = stored.seldom_mut();
        begins.retain(|begin| now.since(*begin) < longest.within && *begin <= now);
        begins.push(now);
        *changed_at = now;
        let surplus = begins.len().saturating_sub(longest.times);
        begins.drain(..surplus);
        for (key, before) in groups.iter().zip(before) {
            let Some(mut group) = self.groups.remove(key) else { continue };
            let node = self.routes.find(&group.route);
            if !before && self.alerts.get(fingerprint).is_some_and(|stored| stored.is_damped(node, now)) {
                self.count_as_unknown(&mut group, &std::iter::once(fingerprint).collect());
            }
            self.groups.insert(group);
        }
    }
}
