//! Acknowledging: somebody says that they look after an alert, or that it shall be quiet until later.

use std::collections::BTreeSet;

use thiserror::Error;
use watchfire_model::{Fingerprint, Timestamp};

use crate::alert_store::StoredAlert;
use crate::group::Group;
use crate::notification_log::Content;
use crate::timers::Timer;
use crate::{Engine, FingerprintSet, GroupKey, NotifyReason, Reason, Record};

/// Who looks after an alert, or why it is quiet. It ends with the alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who said so.
    pub by: String,
    /// What they said.
    pub comment: String,
    /// When.
    pub at: Timestamp,
    /// When it ends by itself; absent for with the alert.
    pub until: Option<Timestamp>,
    /// Whether the alert is not told at all until then, and told again after that. Otherwise it is only not repeated and
    /// nobody else is told because nobody answers.
    pub snooze: bool,
}

/// What is to be done about acknowledgements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcknowledgeCommand {
    /// Acknowledges or snoozes, replacing what was said before.
    Set {
        /// Which alerts.
        what: AcknowledgeWhat,
        /// Who asks.
        by: String,
        /// Why.
        comment: String,
        /// When it ends by itself.
        until: Option<Timestamp>,
        /// See [`Acknowledgement::snooze`].
        snooze: bool,
    },
    /// Takes it back: the alert is looked after by nobody again.
    Withdraw {
        /// Which alerts.
        what: AcknowledgeWhat,
    },
}

/// Which alerts are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcknowledgeWhat {
    /// This one.
    Alert(Fingerprint),
    /// All that fire in an alert group now, as somebody does who answers a notification.
    Group(GroupKey),
}

/// Why an acknowledgement was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AcknowledgeError {
    /// The alert does not fire, or is not known.
    #[error("no alert {0} fires")]
    NoSuchAlert(Fingerprint),
    /// There is no such group, or nothing fires in it.
    #[error("nothing fires in an alert group {0}")]
    NoSuchGroup(GroupKey),
    /// It would be over already.
    #[error("the end must not be in the past")]
    EndsInThePast,
    /// For ever is what silences and mended systems are for.
    #[error("to snooze needs an end")]
    SnoozeWithoutEnd,
    /// Who and why together are longer than may be.
    #[error("who and why have {bytes} bytes together, at most {bytes_max} are allowed")]
    TooLong {
        /// How long they are.
        bytes: usize,
        /// How long they may be.
        bytes_max: usize,
    },
}

impl Engine {
    /// Acknowledges, snoozes or takes it back, as [`Input::Acknowledge`](crate::Input::Acknowledge) does, and gives the
    /// alerts concerned. Outputs are to be drained afterwards as after [`Engine::handle`].
    ///
    /// # Errors
    /// If it is refused; nothing is changed then.
    pub fn acknowledge(
        &mut self,
        now: Timestamp,
        command: AcknowledgeCommand,
    ) -> Result<Vec<Fingerprint>, AcknowledgeError> {
        self.counters.inputs += 1;
        self.advance(now);
        let result = self.acknowledge_command(command);
        self.settle();
        result
    }

    pub(crate) fn acknowledge_command(
        &mut self,
        command: AcknowledgeCommand,
    ) -> Result<Vec<Fingerprint>, AcknowledgeError> {
        let what = match &command {
            AcknowledgeCommand::Set { what, .. } | AcknowledgeCommand::Withdraw { what } => what,
        };
        let alerts = self.acknowledged_alerts(what)?;
        let acknowledgement = match command {
            AcknowledgeCommand::Withdraw { .. } => None,
            AcknowledgeCommand::Set { by, comment, until, snooze, .. } => {
                let (bytes, bytes_max) = (by.len() + comment.len(), self.settings.acknowledgement_bytes_max);
                if bytes > bytes_max {
                    self.counters.acknowledgements_refused += 1;
                    return Err(AcknowledgeError::TooLong { bytes, bytes_max });
                }
                if until.is_some_and(|until| until <= self.now) {
                    return Err(AcknowledgeError::EndsInThePast);
                }
                if snooze && until.is_none() {
                    return Err(AcknowledgeError::SnoozeWithoutEnd);
                }
                Some(Acknowledgement { by, comment, at: self.now, until, snooze })
            }
        };
        let Some(acknowledgement) = acknowledgement else {
            alerts.iter().for_each(|fingerprint| self.end_acknowledgement(*fingerprint));
            return Ok(alerts);
        };
        // Each group is looked at once, however many of its alerts are meant.
        let (mut groups, mut news) = (BTreeSet::new(), BTreeSet::new());
        for fingerprint in &alerts {
            let own = self.groups_of(*fingerprint);
            if self.set_acknowledgement(*fingerprint, acknowledgement.clone()) {
                news.extend(own.iter().cloned());
            }
            groups.extend(own);
        }
        // Before those leave who were told because nobody had answered: theirs is the same incident.
        news.iter().for_each(|key| self.pass_on(key));
        groups.iter().for_each(|key| self.review_group(key));
        Ok(alerts)
    }

    fn acknowledged_alerts(&self, what: &AcknowledgeWhat) -> Result<Vec<Fingerprint>, AcknowledgeError> {
        let fires = |f: &Fingerprint| self.alerts.get(*f).is_some_and(|stored| !stored.resolved);
        match what {
            AcknowledgeWhat::Alert(fingerprint) if fires(fingerprint) => Ok(vec![*fingerprint]),
            AcknowledgeWhat::Alert(fingerprint) => Err(AcknowledgeError::NoSuchAlert(*fingerprint)),
            AcknowledgeWhat::Group(key) => {
                let members = self.groups.get(key).into_iter().flat_map(|group| group.members.keys());
                let firing: Vec<Fingerprint> = members.copied().filter(fires).collect();
                if firing.is_empty() { Err(AcknowledgeError::NoSuchGroup(key.clone())) } else { Ok(firing) }
            }
        }
    }

    /// Says whether it is news that somebody looks after it. Only that is passed on, so that services that say so here when
    /// they are told do not keep the engine telling them.
    fn set_acknowledgement(&mut self, fingerprint: Fingerprint, acknowledgement: Acknowledgement) -> bool {
        let is_news = !acknowledgement.snooze && !self.is_looked_after(fingerprint);
        let Some(stored) = self.alerts.get_mut(fingerprint) else { return false };
        let labels = stored.alert.labels.clone();
        let reason = Reason::Acknowledged {
            by: acknowledgement.by.as_str().into(),
            until: acknowledgement.until,
            snooze: acknowledgement.snooze,
        };
        match acknowledgement.until {
            Some(until) => self.timers.set(Timer::Acknowledgement(fingerprint), until),
            None => self.timers.cancel(&Timer::Acknowledgement(fingerprint)),
        }
        stored.seldom_mut().acknowledgement = Some(acknowledgement);
        self.dirty_alerts.insert(fingerprint);
        self.counters.acknowledgements += 1;
        self.tell(&labels, None, None, reason);
        is_news
    }

    /// Tells those of it who can show it.
    fn pass_on(&mut self, key: &GroupKey) {
        let Some(mut group) = self.groups.remove(key) else { return };
        for index in 0..group.targets.len() {
            let target = &group.targets[index];
            // It may be about what the receiver does not know yet.
            if target.entry.firing.iter().any(|f| self.is_acknowledged_after(f, target.passed_on)) {
                self.pass_on_acknowledgement(&mut group, index);
            }
        }
        self.put_back(group);
    }

    /// Tells a receiver that somebody looks after all that it knows to fire, if it can show that and nothing else is on
    /// its way; after that it is looked at again.
    pub(crate) fn pass_on_acknowledgement(&mut self, group: &mut Group, index: usize) {
        let target = &group.targets[index];
        let can = target.takes_acknowledgements && target.current && target.pending.is_none();
        // Nearly always nobody has said anything, and the group need not be looked at.
        if !can || !target.entry.firing.iter().any(|f| self.is_looked_after(f)) {
            return;
        }
        let told = self.survey(group).attached;
        let known = &group.targets[index].entry.firing;
        let firing: FingerprintSet = told.iter().filter(|f| known.contains(*f)).collect();
        if firing.is_empty() || !firing.iter().all(|f| self.is_looked_after(f)) {
            return;
        }
        let content = Content { firing, resolved: FingerprintSet::new() };
        self.create_notification(group, index, content, NotifyReason::Acknowledgement, self.now);
        self.start_attempt(group, index);
    }

    /// Whether somebody looks after an alert now, and not only later.
    pub(crate) fn is_looked_after(&self, fingerprint: Fingerprint) -> bool {
        self.looked_after_since(fingerprint).is_some()
    }

    /// Whether somebody said after a time that they look after an alert.
    pub(crate) fn is_acknowledged_after(&self, fingerprint: Fingerprint, time: Timestamp) -> bool {
        self.looked_after_since(fingerprint).is_some_and(|at| at > time)
    }

    fn looked_after_since(&self, fingerprint: Fingerprint) -> Option<Timestamp> {
        let acknowledgement = self.alerts.get(fingerprint).and_then(StoredAlert::acknowledgement);
        acknowledgement.filter(|acknowledgement| !acknowledgement.snooze).map(|acknowledgement| acknowledgement.at)
    }

    /// Its time is over, or it was taken back: the alert is open again, and told again if it was quiet.
    pub(crate) fn end_acknowledgement(&mut self, fingerprint: Fingerprint) {
        let Some(stored) = self.alerts.get_mut(fingerprint) else { return };
        let Some(ended) = stored.take_acknowledgement() else { return };
        let labels = stored.alert.labels.clone();
        self.timers.cancel(&Timer::Acknowledgement(fingerprint));
        self.dirty_alerts.insert(fingerprint);
        self.tell(&labels, None, None, Reason::AcknowledgementEnded { snooze: ended.snooze });
        if ended.snooze {
            self.tell_again(fingerprint, |member| member.snooze_ended = true);
        }
        self.review_groups_of(fingerprint);
    }

    /// Makes the receivers of an alert count as not knowing that it fires, and looks at its groups at once.
    fn tell_again(&mut self, fingerprint: Fingerprint, mark: impl Fn(&mut crate::group::Member)) {
        for key in self.groups_of(fingerprint) {
            let Some(mut group) = self.groups.remove(&key) else { continue };
            if let Some(member) = group.members.get_mut(&fingerprint) {
                mark(member);
            }
            self.count_as_unknown(&mut group, &std::iter::once(fingerprint).collect());
            for index in 0..group.targets.len() {
                self.look_at_target(&mut group, index);
            }
            self.put_back(group);
        }
    }

    /// Makes the receivers of a group count as not knowing that alerts fire.
    pub(crate) fn count_as_unknown(&mut self, group: &mut Group, alerts: &FingerprintSet) {
        for record in group.count_as_unknown(alerts) {
            self.persist(Record::Target(record));
        }
    }

    pub(crate) fn groups_of(&self, fingerprint: Fingerprint) -> Vec<GroupKey> {
        let memberships = self.alerts.get(fingerprint).into_iter().flat_map(|stored| &stored.memberships);
        memberships.map(|membership| membership.group.clone()).collect()
    }
}

impl StoredAlert {
    /// Whether somebody looks after it, or wants it quiet.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.acknowledgement().is_some()
    }
}
