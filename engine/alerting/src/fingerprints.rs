//! Small sets of fingerprints.

use watchfire_model::Fingerprint;

/// So many are looked for one by one, which spares a look at each member.
const FEW: usize = 8;

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

    /// Adds all of `others`: however many they are, what is behind them moves once.
    pub fn insert_all(&mut self, others: &FingerprintSet) {
        if !others.is_subset(self) {
            self.0.extend_from_slice(&others.0);
            // Two runs in order, which are merged.
            self.0.sort();
            self.0.dedup();
        }
    }

    /// Removes all of `others`, whether any was a member: however many they are, what is behind them moves a few times.
    pub fn remove_all(&mut self, others: &FingerprintSet) -> bool {
        if others.len() <= FEW {
            return others.iter().filter(|item| self.remove(*item)).count() > 0;
        }
        let before = self.0.len();
        let mut others = others.0.iter().peekable();
        self.0.retain(|item| {
            while others.next_if(|other| *other < item).is_some() {}
            others.peek() != Some(&item)
        });
        self.0.len() < before
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A set for each of 32 numbers: four members for each of its bits.
    fn set(bits: u64) -> FingerprintSet {
        (0..20).filter(|member| bits >> (member / 4) & 1 == 1).map(Fingerprint).collect()
    }

    #[test]
    fn many_at_once_are_as_one_after_the_other() {
        for (own, others) in (0..32).flat_map(|own| (0..32).map(move |others| (own, others))) {
            let (mut more, mut fewer) = (set(own), set(own));
            more.insert_all(&set(others));
            let removed = fewer.remove_all(&set(others));
            assert_eq!(
                (more, fewer, removed),
                (set(own | others), set(own & !others), own & others != 0),
                "{own} {others}"
            );
        }
    }
}
