//! Integrations that went from the configuration: what they know is kept for a while, should they come back.
//!
//! A configuration that is rolled back, or an edit that is undone, must neither page again for what its receivers know nor
//! leave them with incidents that never end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::group::{Group, Target};
use crate::timers::Timer;
use crate::{
    DeliveryReason, Engine, GoneIntegration, GroupKey, Integration, IntegrationKey, IntegrationsRecord, ReceiverSpec,
    Record,
};

/// By receiver.
pub(crate) type Gone = BTreeMap<Arc<str>, Vec<GoneIntegration>>;

impl Engine {
    /// Finds out which integration is which, and which ones are gone.
    pub(crate) fn identify_integrations(&mut self, receivers: &[ReceiverSpec]) {
        let gone = |name: &str| self.gone.get(name).map_or(&[][..], Vec::as_slice);
        let own = |spec: &ReceiverSpec| {
            let known = self.integrations(&spec.name);
            (spec.name.clone(), Integration::identify(known, gone(&spec.name), &spec.integrations))
        };
        let receivers: BTreeMap<Arc<str>, Vec<Integration>> = receivers.iter().map(own).collect();
        let mut gone: Vec<(Arc<str>, GoneIntegration)> = Vec::new();
        let just_now = |integration| GoneIntegration { integration, since: self.now };
        let before = self.gone.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one.clone())));
        let were_there = self.receivers.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one.clone())));
        for (name, one) in before.chain(were_there.map(|(name, one)| (name, just_now(one)))) {
            let key = &one.integration.key;
            let is_there = receivers.get(name).is_some_and(|own| own.iter().any(|own| own.key == *key));
            if !is_there && one.since > self.now - self.settings.gone_integration_retention {
                gone.push((name.clone(), one));
            }
        }
        if gone.len() > self.settings.gone_integrations_max {
            let knowing = self.knowing_integrations();
            gone.retain(|(name, one)| knowing.contains(&(name.clone(), one.integration.key.clone())));
        }
        // Whoever went last is the likeliest to come back.
        gone.sort_by_key(|(_, one)| std::cmp::Reverse(one.since));
        gone.truncate(self.settings.gone_integrations_max);
        (self.receivers, self.gone) = (receivers, BTreeMap::new());
        gone.into_iter().for_each(|(name, one)| self.gone.entry(name).or_default().push(one));
    }

    /// Those of which a group knows that they know something.
    fn knowing_integrations(&self) -> BTreeSet<(Arc<str>, IntegrationKey)> {
        let targets =
            self.groups.iter().flat_map(|group| group.targets.iter().filter(|target| target.knows_something()));
        targets.map(|target| (target.key.receiver.clone(), target.key.integration.clone())).collect()
    }

    /// Takes back what is on its way to an integration that is gone, and says what it is owed unless it had gone before.
    pub(crate) fn set_aside_if_gone(&mut self, group: &mut Group, index: usize, gone_before: &Gone) {
        let target = &group.targets[index];
        if target.integration.is_some() {
            return;
        }
        let (key, owed) = (target.key.clone(), target.entry.owed.clone());
        if !target.is_one_of(gone_before) {
            owed.iter().for_each(|fingerprint| self.promise_lost(fingerprint, &key.receiver));
        }
        if group.targets[index].pending.as_ref().is_some_and(|pending| pending.in_flight) {
            self.turns.give_back(&key);
        }
        self.withdraw(group, index, DeliveryReason::Withdrawn);
    }

    /// Keeps only those of which a group knows that they know something, so that edits do not add up.
    pub(crate) fn forget_gone_of_no_use(&mut self) {
        let gone = |target: &&Target| target.integration.is_none();
        let known: BTreeSet<(Arc<str>, IntegrationKey)> = (self.groups.iter())
            .flat_map(|group| group.targets.iter().filter(gone))
            .map(|target| (target.key.receiver.clone(), target.key.integration.clone()))
            .collect();
        for (name, all) in &mut self.gone {
            all.retain(|one| known.contains(&(name.clone(), one.integration.key.clone())));
        }
        self.gone.retain(|_, all| !all.is_empty());
        match self.gone.values().flatten().map(|one| one.since).min() {
            Some(since) => {
                self.timers.set(Timer::GoneIntegrations, since + self.settings.gone_integration_retention);
            }
            None => self.timers.cancel(&Timer::GoneIntegrations),
        }
    }

    pub(crate) fn keep_integrations(&mut self) {
        let (receivers, gone) = (self.receivers.clone(), self.gone.clone());
        self.persist(Record::Integrations(IntegrationsRecord { receivers, gone }));
    }

    /// Some have been gone for so long that they are new if they come back.
    pub(crate) fn gone_integrations_due(&mut self) {
        let oldest = self.now - self.settings.gone_integration_retention;
        self.gone.values_mut().for_each(|all| all.retain(|one| one.since > oldest));
        let waits = |group: &&Group| group.targets.iter().any(|target| target.integration.is_none());
        let groups: Vec<GroupKey> = self.groups.iter().filter(waits).map(|group| group.key.clone()).collect();
        for key in groups {
            let Some(mut group) = self.groups.remove(&key) else { continue };
            let dropped = group.sync_targets(&self.receivers, &self.gone);
            dropped.into_iter().for_each(|target| self.forget_target(target));
            self.put_back(group);
        }
        self.forget_gone_of_no_use();
        self.keep_integrations();
    }
}
