//! Small sets of fingerprints.

use watchfire_model::Fingerprint;

/// A set of fingerprints as a sorted vector: most have a few members and there are many of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FingerprintSet(Vec<Fingerprint>);

impl FingerprintSet {
    /// The empty set.
    pub const fn new() -> FingerprintSet {
        FingerprintSet(Vec::new())
    }

    /// Whether it has no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `item` is a member.
    pub fn contains(&self, item: Fingerprint) -> bool {
        self.0.binary_search(&item).is_ok()
    }

    /// Adds `item`; whether it was new.
    pub fn insert(&mut self, item: Fingerprint) -> bool {
        match self.0.binary_search(&item) {
            Ok(_) => false,
            Err(position) => {
                self.0.insert(position, item);
                true
            }
        }
    }

    /// Removes `item`; whether it was a member.
    pub fn remove(&mut self, item: Fingerprint) -> bool {
        self.0.binary_search(&item).map(|position| self.0.remove(position)).is_ok()
    }

    /// Whether every member is also one of `other`.
    pub fn is_subset(&self, other: &FingerprintSet) -> bool {
        self.0.iter().all(|item| other.contains(*item))
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = Fingerprint> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Fingerprint> for FingerprintSet {
    fn from_iter<I: IntoIterator<Item = Fingerprint>>(items: I) -> FingerprintSet {
        let mut items: Vec<_> = items.into_iter().collect();
        items.sort_unstable();
        items.dedup();
        FingerprintSet(items)
    }
}
