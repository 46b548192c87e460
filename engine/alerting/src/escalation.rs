//! Escalation: if nobody acknowledges, others are told too.

use watchfire_model::Fingerprint;

use crate::group::Group;
use crate::timers::Timer;
use crate::{Engine, GroupKey, Reason, Subject};

impl Engine {
    /// A notification with alerts that nobody looks after is made: from now on somebody should answer.
    pub(crate) fn await_answer(&mut self, group: &mut Group) {
        if group.unanswered_since.is_none() && self.is_open(group) {
            group.unanswered_since = Some(self.now);
            self.dirty_groups.insert(group.key.clone());
        }
        self.arm_escalation(group);
    }

    /// Sets the timer for the next receiver to be told if nobody answers.
    pub(crate) fn arm_escalation(&mut self, group: &Group) {
        let timer = Timer::escalation(&group.key);
        let steps = self.routes.find(&group.route).map(|node| node.policy.escalation.as_slice()).unwrap_or_default();
        let next = steps.iter().find(|step| !group.escalated.contains(&step.receiver));
        match (group.unanswered_since, next) {
            (Some(since), Some(step)) => self.timers.set_if_unset(timer, since + step.after),
            _ => self.timers.cancel(&timer),
        }
    }

    /// Whether something fires here that a receiver was told of or is about to be, and that nobody looks after.
    fn is_open(&self, group: &Group) -> bool {
        let open = |fingerprint: Fingerprint| {
            self.alerts.get(fingerprint).is_some_and(|stored| !stored.resolved && !stored.is_acknowledged())
        };
        let told = |fingerprint: Fingerprint| {
            group.targets.iter().any(|target| {
                target.entry.firing.contains(fingerprint)
                    || target.pending.as_ref().is_some_and(|pending| pending.firing.contains(fingerprint))
            })
        };
        group.members.iter().any(|(fingerprint, member)| !member.detached && open(*fingerprint) && told(*fingerprint))
    }

    /// Ends the wait for an answer if there is nothing left to answer: those who were told because nobody answered are
    /// told the ends of what they know and nothing else.
    pub(crate) fn review_answer(&mut self, group: &mut Group) {
        if group.unanswered_since.is_none() || self.is_open(group) {
            return;
        }
        group.unanswered_since = None;
        group.escalated.clear();
        self.timers.cancel(&Timer::escalation(&group.key));
        self.dirty_groups.insert(group.key.clone());
        for dropped in group.sync_targets(&self.receivers, &self.gone) {
            self.drop_target(dropped);
        }
    }

    pub(crate) fn review_groups_of(&mut self, fingerprint: Fingerprint) {
        self.groups_of(fingerprint).iter().for_each(|key| self.review_group(key));
    }

    /// Somebody said that they look after something here, or do not any more.
    pub(crate) fn review_group(&mut self, key: &GroupKey) {
        let Some(mut group) = self.groups.remove(key) else { return };
        self.review_answer(&mut group);
        self.await_answer(&mut group);
        self.put_back(group);
    }

    /// Nobody has answered for as long as a step waits.
    pub(crate) fn escalation_due(&mut self, key: &GroupKey) {
        let Some(mut group) = self.groups.remove(key) else { return };
        self.review_answer(&mut group);
        let steps = self.routes.find(&group.route).map(|node| node.policy.escalation.clone()).unwrap_or_default();
        let mut told = Vec::new();
        if let Some(since) = group.unanswered_since {
            for step in steps.iter().filter(|step| since + step.after <= self.now) {
                if !group.escalated.contains(&step.receiver) {
                    group.escalated.push(step.receiver.clone());
                    told.push(step.receiver.clone());
                }
            }
        }
        if !told.is_empty() {
            self.counters.escalations += 1;
            self.dirty_groups.insert(key.clone());
            let dropped = group.sync_targets(&self.receivers, &self.gone);
            dropped.into_iter().for_each(|target| self.drop_target(target));
            for index in 0..group.targets.len() {
                if told.contains(&group.targets[index].key.receiver) {
                    self.look_at_target(&mut group, index);
                }
            }
            for receiver in told {
                self.emit(Subject::Engine, Reason::Escalated { group: key.clone(), receiver });
            }
        }
        self.arm_escalation(&group);
        self.put_back(group);
    }
}
