//! All alert groups.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::GroupKey;
use crate::group::Group;

/// The alert groups by their keys. They are found by the keys' hashes: the keys are long, have much in common and lie
/// apart, and a notification looks for its group several times.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// In boxes, because a tree's nodes are partly empty and groups are taken out and put back.
    by_hash: BTreeMap<ByHash, Box<Group>>,
}

/// A key in the order of the hashes.
#[derive(Debug, PartialEq, Eq)]
struct ByHash(GroupKey);

impl PartialOrd for ByHash {
    fn partial_cmp(&self, other: &ByHash) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByHash {
    fn cmp(&self, other: &ByHash) -> Ordering {
        self.0.hash().cmp(&other.0.hash()).then_with(|| self.0.cmp(&other.0))
    }
}

impl Groups {
    pub(crate) fn len(&self) -> usize {
        self.by_hash.len()
    }

    pub(crate) fn contains(&self, key: &GroupKey) -> bool {
        self.get(key).is_some()
    }

    // What is cloned to look for a group is reference counted.

    pub(crate) fn get(&self, key: &GroupKey) -> Option<&Group> {
        self.by_hash.get(&ByHash(key.clone())).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, key: &GroupKey) -> Option<&mut Group> {
        self.by_hash.get_mut(&ByHash(key.clone())).map(Box::as_mut)
    }

    pub(crate) fn remove(&mut self, key: &GroupKey) -> Option<Box<Group>> {
        self.by_hash.remove(&ByHash(key.clone()))
    }

    pub(crate) fn insert(&mut self, group: Box<Group>) {
        self.by_hash.insert(ByHash(group.key.clone()), group);
    }

    /// In no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.by_hash.values().map(Box::as_ref)
    }

    /// In no order that means anything.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.by_hash.values_mut().map(Box::as_mut)
    }

    /// By name.
    pub(crate) fn in_order(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.iter().collect();
        groups.sort_by(|a, b| a.key.cmp(&b.key));
        groups
    }
}
