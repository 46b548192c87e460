//! Which integration of a receiver is which: identities that survive edits of the configuration.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use watchfire_model::Timestamp;

use crate::{IntegrationKey, IntegrationSpec, SettingsDigest};

/// An integration of a receiver with its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// The identity.
    pub key: IntegrationKey,
    /// Its settings, by which it is recognised.
    pub settings: SettingsDigest,
    /// Whether it is told about alerts that ended.
    pub send_resolved: bool,
    /// See [`IntegrationSpec::takes_acknowledgements`].
    pub takes_acknowledgements: bool,
}

/// An integration that the configuration does not have any more. Until it is forgotten it is the same if it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoneIntegration {
    /// What it was.
    pub integration: Integration,
    /// Since when it is gone.
    pub since: Timestamp,
}

impl Integration {
    /// The integrations of a receiver, in the order of the configuration, with the identities that they had among the
    /// `known` ones or those that are `gone` since long before; without any, those of a receiver that never was there
    /// before.
    ///
    /// One with the same settings is the same, wherever it stands. What is left over was edited, by a rotated secret for
    /// example, if it stands where one of its kind is gone just now: behind the same one that was recognised, or before
    /// them all. Anything else is new, and takes over nothing from one that is gone.
    pub fn identify(known: &[Integration], gone: &[GoneIntegration], specs: &[IntegrationSpec]) -> Vec<Integration> {
        let gone_before = || gone.iter().map(|gone| &gone.integration);
        let mut recognised = BTreeSet::new();
        let mut numbers: Vec<Option<u32>> = Vec::with_capacity(specs.len());
        for spec in specs {
            let same = known.iter().chain(gone_before()).find(|known| {
                (&known.key.kind, known.settings) == (&spec.kind, spec.settings) && !recognised.contains(&known.key)
            });
            recognised.extend(same.map(|known| &known.key));
            numbers.push(same.map(|known| known.key.number));
        }
        let mut gone: BTreeMap<Place<'_>, VecDeque<u32>> = BTreeMap::new();
        let mut last: BTreeMap<&str, u32> = BTreeMap::new();
        for IntegrationKey { kind, number } in known.iter().map(|known| &known.key) {
            if recognised.contains(&IntegrationKey { kind: Arc::clone(kind), number: *number }) {
                last.insert(kind, *number);
            } else {
                gone.entry((kind, last.get(&**kind).copied())).or_default().push_back(*number);
            }
        }
        last.clear();
        let all = known.iter().chain(gone_before());
        let mut taken: BTreeSet<(&str, u32)> = all.map(|known| (&*known.key.kind, known.key.number)).collect();
        let mut integrations = Vec::with_capacity(specs.len());
        for (spec, number) in specs.iter().zip(numbers) {
            let kind = &*spec.kind;
            if let Some(number) = number {
                last.insert(kind, number);
            }
            let edited = || gone.get_mut(&(kind, last.get(kind).copied())).and_then(VecDeque::pop_front);
            let number = number.or_else(edited);
            let number = number.unwrap_or_else(|| (0..u32::MAX).find(|n| taken.insert((kind, *n))).unwrap_or(u32::MAX));
            let key = IntegrationKey { kind: Arc::clone(&spec.kind), number };
            integrations.push(Integration {
                key,
                settings: spec.settings,
                send_resolved: spec.send_resolved,
                takes_acknowledgements: spec.takes_acknowledgements,
            });
        }
        integrations
    }
}

/// A kind, and the integration of that kind that stands before and was recognised.
type Place<'a> = (&'a str, Option<u32>);

#[cfg(test)]
mod tests {
    use super::*;

    /// `w1 w2 s1`: kinds with their settings.
    fn specs(text: &str) -> Vec<IntegrationSpec> {
        let spec = |word: &str| IntegrationSpec {
            kind: word[..1].into(),
            send_resolved: true,
            takes_acknowledgements: false,
            settings: SettingsDigest(word[1..].parse().unwrap()),
        };
        text.split_whitespace().map(spec).collect()
    }

    #[test]
    fn an_integration_is_known_by_its_settings_and_else_by_its_place() {
        let table = [
            // What there was, what there is, and the numbers within each kind.
            ("", "w1 w2 s1", "w0 w1 s0"),
            ("w1 w2 w3", "w3 w1 w2", "w2 w0 w1"),
            ("w1 w2", "w2", "w1"),
            ("w1 w2", "w3 w1 w2", "w2 w0 w1"),
            ("w1 w2", "w1 w3 w2", "w0 w2 w1"),
            ("w1 s1", "w1 s2", "w0 s0"),
            // A secret is rotated, of one or of all, while others come and go elsewhere.
            ("w1 w2 w3", "w1 w9 w3", "w0 w1 w2"),
            ("w1 w2", "w8 w9", "w0 w1"),
            ("w1 w2 w3", "w9 w2 w3 w4", "w0 w1 w2 w3"),
            ("w1 w2 w3", "w2 w9", "w1 w2"),
            ("w1 w2", "w9", "w0"),
            // What comes elsewhere than where one is gone is another one.
            ("w1 w2", "w2 w9", "w1 w2"),
        ];
        for (before, after, expected) in table {
            let before = Integration::identify(&[], &[], &specs(before));
            let after_all = Integration::identify(&before, &[], &specs(after));
            let shown: Vec<String> =
                after_all.iter().map(|one| format!("{}{}", one.key.kind, one.key.number)).collect();
            assert_eq!(shown.join(" "), expected, "{before:?} {after}");
            assert_eq!(Integration::identify(&after_all, &[], &specs(after)), after_all);
        }
    }

    #[test]
    fn what_is_gone_comes_back_as_what_it_was_and_nothing_else_takes_its_place() {
        let since = Timestamp::from_secs(1);
        let before = Integration::identify(&[], &[], &specs("w1 w2"));
        let gone: Vec<_> = before.into_iter().map(|integration| GoneIntegration { integration, since }).collect();
        for (after, expected) in [("w2", "w1"), ("w9", "w2"), ("w9 w1", "w2 w0"), ("w2 w1", "w1 w0")] {
            let back = Integration::identify(&[], &gone, &specs(after));
            let shown: Vec<String> = back.iter().map(|one| format!("{}{}", one.key.kind, one.key.number)).collect();
            assert_eq!(shown.join(" "), expected, "{after}");
        }
    }

    #[test]
    fn a_number_is_free_again_when_what_had_it_is_forgotten() {
        let mut known = Integration::identify(&[], &[], &specs("w1"));
        for settings in 2..50 {
            // One more stands behind, then the one before it goes.
            known = Integration::identify(&known, &[], &specs(&format!("w{} w{settings}", settings - 1)));
            known = Integration::identify(&known, &[], &specs(&format!("w{settings}")));
        }
        assert!(known[0].key.number < 2, "{known:?}");
    }
}
