//! Inhibition: an alert is not told because another one fires.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watchfire_model::{Fingerprint, Labels, Matcher};

use crate::match_index::{MatchIndex, all_match};

/// A rule that keeps alerts quiet while others fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InhibitRule {
    /// A name for people; usually none.
    pub name: Option<String>,
    /// For each of these an alert must fire. Usually one.
    pub sources: Vec<InhibitSource>,
    /// The alerts that are kept quiet match all of these.
    pub target_matchers: Vec<Matcher>,
}

/// One of the alerts that must fire for an inhibition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InhibitSource {
    /// The alert matches all of these.
    pub matchers: Vec<Matcher>,
    /// It has the same values as the target for these labels; absent is equal to absent.
    pub equal: Vec<String>,
}

/// The inhibition rules and the firing alerts that are sources of them, indexed so that neither the number of rules
/// nor the number of alerts matters to one check: looked at are only rules of which every source fires, and of these
/// only those whose targets have a label of the alert in question.
#[derive(Debug)]
pub(crate) struct Inhibitor {
    rules: Vec<CompiledRule>,
    /// Rule and source.
    by_source: MatchIndex<(u32, u32)>,
    /// The rules of which every source fires.
    by_target: MatchIndex<u32>,
}

#[derive(Debug)]
struct CompiledRule {
    name: Arc<str>,
    rule: InhibitRule,
    /// For each source of the rule the firing alerts that match it, by their labels in `equal`.
    firing: Vec<BTreeMap<Labels, Sources>>,
}

impl CompiledRule {
    /// Whether every source fires somewhere, without which nothing is inhibited.
    fn is_complete(&self) -> bool {
        !self.firing.is_empty() && self.firing.iter().all(|firing| !firing.is_empty())
    }
}

/// Alerts that match a source, kept apart by whether they match the target too: such a one cannot inhibit another that
/// also matches both. All are kept, because one of them alone may be the wrong one (alertmanager #5162).
#[derive(Debug, Default)]
struct Sources {
    one_sided: BTreeSet<Fingerprint>,
    two_sided: BTreeSet<Fingerprint>,
}

/// Through which rule and by which alert an alert is inhibited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inhibition {
    pub(crate) rule: Arc<str>,
    pub(crate) source: Fingerprint,
}

impl Inhibitor {
    pub(crate) fn new(rules: &[InhibitRule]) -> Inhibitor {
        let sources = rules.iter().enumerate().flat_map(|(rule, spec)| {
            spec.sources
                .iter()
                .enumerate()
                .map(move |(source, s)| ((index(rule), index(source)), s.matchers.as_slice()))
        });
        let compiled = rules.iter().enumerate().map(|(i, rule)| CompiledRule {
            name: rule.name.as_deref().map_or_else(|| i.to_string().into(), Arc::from),
            rule: rule.clone(),
            firing: rule.sources.iter().map(|_| BTreeMap::new()).collect(),
        });
        Inhibitor { by_source: MatchIndex::build(sources), by_target: MatchIndex::new(), rules: compiled.collect() }
    }

    /// An alert fires from now on.
    pub(crate) fn add(&mut self, labels: &Labels) {
        for (rule, source) in self.by_source.candidates(labels) {
            let compiled = &mut self.rules[rule as usize];
            let spec = &compiled.rule.sources[source as usize];
            if !all_match(&spec.matchers, labels) {
                continue;
            }
            let was_complete = compiled.is_complete();
            let sources = compiled.firing[source as usize].entry(equal_labels(spec, labels)).or_default();
            let side = if all_match(&compiled.rule.target_matchers, labels) {
                &mut sources.two_sided
            } else {
                &mut sources.one_sided
            };
            side.insert(labels.fingerprint());
            if !was_complete && compiled.is_complete() {
                self.by_target.insert(&compiled.rule.target_matchers, rule);
            }
        }
    }

    /// An alert does not fire any more.
    pub(crate) fn remove(&mut self, labels: &Labels) {
        for (rule, source) in self.by_source.candidates(labels) {
            let compiled = &mut self.rules[rule as usize];
            let spec = &compiled.rule.sources[source as usize];
            if !all_match(&spec.matchers, labels) {
                continue;
            }
            let was_complete = compiled.is_complete();
            let key = equal_labels(spec, labels);
            let by_equal = &mut compiled.firing[source as usize];
            if let Some(sources) = by_equal.get_mut(&key) {
                sources.one_sided.remove(&labels.fingerprint());
                sources.two_sided.remove(&labels.fingerprint());
                if sources.one_sided.is_empty() && sources.two_sided.is_empty() {
                    by_equal.remove(&key);
                }
            }
            if was_complete && !compiled.is_complete() {
                self.by_target.remove(&compiled.rule.target_matchers, &rule);
            }
        }
    }

    /// Why an alert with these labels is inhibited; the first rule that does it, if `all` is not asked for.
    pub(crate) fn inhibitions(&self, labels: &Labels, all: bool) -> Vec<Inhibition> {
        let mut found = Vec::new();
        for rule in self.by_target.candidates(labels) {
            let compiled = &self.rules[rule as usize];
            if !all_match(&compiled.rule.target_matchers, labels) {
                continue;
            }
            let mut by_source = Vec::new();
            for (spec, firing) in compiled.rule.sources.iter().zip(&compiled.firing) {
                let Some(sources) = firing.get(&equal_labels(spec, labels)) else { break };
                let two_sided = !all_match(&spec.matchers, labels);
                let two_sided = two_sided.then_some(&sources.two_sided).into_iter().flatten();
                let own = labels.fingerprint();
                let mut inhibiting = sources.one_sided.iter().chain(two_sided).copied().filter(|f| *f != own);
                let taken: Vec<_> = if all { inhibiting.collect() } else { inhibiting.next().into_iter().collect() };
                if taken.is_empty() {
                    break;
                }
                by_source.push(taken);
            }
            if by_source.is_empty() || by_source.len() < compiled.rule.sources.len() {
                continue;
            }
            let sources = by_source.into_iter().flatten();
            found.extend(sources.map(|source| Inhibition { rule: compiled.name.clone(), source }));
            if !all {
                break;
            }
        }
        found
    }
}

fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// The labels that must be equal; an absent one is left out on both sides, so absent equals absent (and empty).
fn equal_labels(source: &InhibitSource, labels: &Labels) -> Labels {
    labels.filter(|name| source.equal.iter().any(|equal| equal == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(number: usize) -> InhibitRule {
        let source = InhibitSource {
            matchers: vec![Matcher::equal("alertname", format!("Down{number}"))],
            equal: vec!["cluster".to_owned()],
        };
        InhibitRule { name: None, sources: vec![source], target_matchers: vec![Matcher::equal("severity", "warning")] }
    }

    /// How many rules and sources are looked at to say whether an alert is inhibited and to note that one fires, among
    /// so many rules whose targets are all the same and of which three have a source that fires.
    fn work(rules: usize) -> (usize, usize) {
        let rules: Vec<InhibitRule> = (0..rules).map(rule).collect();
        let mut inhibitor = Inhibitor::new(&rules);
        for number in [0, 1, rules.len() - 1] {
            let name = format!("Down{number}");
            inhibitor.add(&Labels::from_pairs([("alertname", name.as_str()), ("cluster", "a")]));
        }
        let target = Labels::from_pairs([("alertname", "Slow"), ("severity", "warning"), ("cluster", "a")]);
        assert_eq!(inhibitor.inhibitions(&target, true).len(), 3);
        let source = Labels::from_pairs([("alertname", "Down1"), ("cluster", "b")]);
        (inhibitor.by_target.candidates(&target).len(), inhibitor.by_source.candidates(&source).len())
    }

    #[test]
    fn the_work_of_a_check_does_not_grow_with_the_number_of_rules() {
        for rules in [10, 1_000, 20_000] {
            assert_eq!(work(rules), (3, 1), "{rules} rules");
        }
    }

    #[test]
    fn a_rule_is_looked_at_only_while_all_of_its_sources_fire() {
        let source = |name: &str| InhibitSource { matchers: vec![Matcher::equal("alertname", name)], equal: vec![] };
        let rule = InhibitRule {
            name: None,
            sources: vec![source("A"), source("B")],
            target_matchers: vec![Matcher::equal("alertname", "C")],
        };
        let mut inhibitor = Inhibitor::new(&[rule]);
        let labels = |name: &str| Labels::from_pairs([("alertname", name)]);
        let mut seen = Vec::new();
        for (fires, name) in [(true, "A"), (true, "B"), (true, "B"), (false, "A"), (true, "A"), (false, "B")] {
            if fires {
                inhibitor.add(&labels(name));
            } else {
                inhibitor.remove(&labels(name));
            }
            let candidates = inhibitor.by_target.candidates(&labels("C")).len();
            seen.push((candidates, inhibitor.inhibitions(&labels("C"), true).len()));
        }
        assert_eq!(seen, [(0, 0), (1, 2), (1, 2), (0, 0), (1, 2), (0, 0)]);
    }
}
