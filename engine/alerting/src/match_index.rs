//! Finding the matcher sets that may match a label set without trying all of them.

use std::collections::BTreeMap;

use watchfire_model::{Labels, MatchOp, Matcher};

/// Items filed under one `name="value"` that their matchers demand; those that demand none are tried always.
#[derive(Debug)]
pub(crate) struct MatchIndex<T> {
    filed: BTreeMap<String, BTreeMap<String, Vec<T>>>,
    rest: Vec<T>,
}

impl<T: Clone + Ord> MatchIndex<T> {
    pub(crate) fn new() -> MatchIndex<T> {
        MatchIndex { filed: BTreeMap::new(), rest: Vec::new() }
    }

    /// Files all sets at once, each under the demand that the fewest sets share.
    pub(crate) fn build<'a>(sets: impl Iterator<Item = (T, &'a [Matcher])> + Clone) -> MatchIndex<T> {
        let mut shared: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (_, matchers) in sets.clone() {
            for matcher in matchers.iter().filter(|m| demands(m)) {
                *shared.entry((matcher.name(), matcher.value())).or_default() += 1;
            }
        }
        let mut index = MatchIndex::new();
        for (item, matchers) in sets {
            let rarest = matchers
                .iter()
                .filter(|m| demands(m))
                .min_by_key(|m| shared.get(&(m.name(), m.value())).copied().unwrap_or(0));
            index.file(rarest, item);
        }
        index
    }

    /// Files one more set.
    pub(crate) fn insert(&mut self, matchers: &[Matcher], item: T) {
        self.file(matchers.iter().find(|m| demands(m)), item);
    }

    /// Removes a set that was filed with [`MatchIndex::insert`].
    pub(crate) fn remove(&mut self, matchers: &[Matcher], item: &T) {
        match matchers.iter().find(|m| demands(m)) {
            None => self.rest.retain(|other| other != item),
            Some(matcher) => {
                let Some(values) = self.filed.get_mut(matcher.name()) else { return };
                let Some(items) = values.get_mut(matcher.value()) else { return };
                items.retain(|other| other != item);
                if items.is_empty() {
                    values.remove(matcher.value());
                }
                if values.is_empty() {
                    self.filed.remove(matcher.name());
                }
            }
        }
    }

    fn file(&mut self, matcher: Option<&Matcher>, item: T) {
        let items = match matcher {
            None => &mut self.rest,
            Some(matcher) => {
                let values = self.filed.entry(matcher.name().to_owned()).or_default();
                values.entry(matcher.value().to_owned()).or_default()
            }
        };
        items.push(item);
    }

    /// The items whose sets may match, in order; each is to be checked still.
    pub(crate) fn candidates(&self, labels: &Labels) -> Vec<T> {
        let mut found = self.rest.clone();
        if !self.filed.is_empty() {
            for label in labels.iter() {
                if let Some(items) = self.filed.get(label.name).and_then(|values| values.get(label.value)) {
                    found.extend_from_slice(items);
                }
            }
        }
        found.sort_unstable();
        found
    }
}

/// Whether a matcher passes for exactly one value of a label that is there.
fn demands(matcher: &Matcher) -> bool {
    matcher.op() == MatchOp::Equal && !matcher.value().is_empty()
}

/// Whether all matchers pass.
pub(crate) fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::Anchoring;

    #[test]
    fn candidates_are_a_superset_of_the_matches_and_removal_undoes_insertion() {
        let regex = |n: &str, v: &str| Matcher::new(n, MatchOp::Regex, v, Anchoring::Alertmanager).unwrap();
        let sets = [
            vec![Matcher::equal("a", "1")],
            vec![Matcher::equal("a", "1"), Matcher::equal("b", "2")],
            vec![regex("a", ".*")],
            vec![Matcher::equal("c", "")],
            vec![Matcher::equal("a", "2")],
        ];
        let mut inserted = MatchIndex::new();
        for (i, set) in sets.iter().enumerate() {
            inserted.insert(set, i);
        }
        let built = MatchIndex::build(sets.iter().enumerate().map(|(i, set)| (i, set.as_slice())));
        for pairs in [vec![], vec![("a", "1")], vec![("a", "1"), ("b", "2")], vec![("a", "2"), ("c", "x")]] {
            let labels = Labels::from_pairs(pairs);
            for index in [&inserted, &built] {
                let candidates = index.candidates(&labels);
                for (i, set) in sets.iter().enumerate() {
                    assert!(!all_match(set, &labels) || candidates.contains(&i), "{labels} {i}");
                }
            }
        }
        assert_eq!(built.candidates(&Labels::from_pairs([("a", "1")])), [0, 2, 3], "the rarer demand is the key");
        for (i, set) in sets.iter().enumerate() {
            inserted.remove(set, &i);
        }
        assert_eq!(inserted.candidates(&Labels::from_pairs([("a", "1")])), Vec::<usize>::new());
    }
}
