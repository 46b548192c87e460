//! Label sets and their fingerprints.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::packed::{put_length, put_text, take_length, take_text, text_bytes};

/// The label that holds a series' metric name.
pub const METRIC_NAME_LABEL: &str = "__name__";
/// The label that holds an alert's name.
pub const ALERT_NAME_LABEL: &str = "alertname";
/// The upper bound of a classic histogram's bucket.
pub const BUCKET_LABEL: &str = "le";
/// The label that names a scraped target.
pub const INSTANCE_LABEL: &str = "instance";
/// The label that names a scrape job.
pub const JOB_LABEL: &str = "job";

/// One name and its value, borrowed from a [`Labels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label<'a> {
    /// The label's name.
    pub name: &'a str,
    /// The label's value; never empty inside a [`Labels`].
    pub value: &'a str,
}

/// A set of labels: sorted by name, names unique, no empty values (an empty value means that the label is absent).
///
/// Immutable and cheap to clone. Names and values are one text each, because an engine holds millions of these, most of
/// which can [share](SharedNames) their names.
#[derive(Clone)]
pub struct Labels(Arc<Packed>);

struct Packed {
    fingerprint: Fingerprint,
    /// The number of labels, then the length of each name and the name.
    names: Arc<str>,
    /// The length of each value and the value, in the order of the names.
    values: Box<str>,
}

/// The labels of a set, sorted by name.
#[derive(Clone, Debug)]
pub struct LabelsIter<'a> {
    pub(crate) names: &'a str,
    pub(crate) values: &'a str,
    pub(crate) left: usize,
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = Label<'a>;

    fn next(&mut self) -> Option<Label<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(Label { name: take_text(&mut self.names), value: take_text(&mut self.values) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for LabelsIter<'_> {}

/// The names that label sets have in common, once: series of one kind differ in their values only.
///
/// Names of sets that are gone are forgotten when the table has doubled.
#[derive(Debug, Default)]
pub struct SharedNames {
    names: BTreeSet<Arc<str>>,
    /// At so many entries those are looked for that nobody uses any more.
    prune_at: usize,
}

impl SharedNames {
    /// The same labels with names that are shared with all others that went through here.
    pub fn share(&mut self, labels: Labels) -> Labels {
        let names = self.text(Arc::clone(&labels.0.names));
        if Arc::ptr_eq(&names, &labels.0.names) {
            return labels;
        }
        Labels(Arc::new(match Arc::try_unwrap(labels.0) {
            Ok(packed) => Packed { names, ..packed },
            Err(kept) => Packed { fingerprint: kept.fingerprint, names, values: kept.values.clone() },
        }))
    }

    /// The same text, shared with all equal ones that went through here.
    pub fn text(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(shared) = self.names.get(&text) {
            return Arc::clone(shared);
        }
        if self.names.len() >= self.prune_at {
            self.names.retain(|names| Arc::strong_count(names) > 1);
            self.prune_at = (2 * self.names.len()).max(64);
        }
        self.names.insert(Arc::clone(&text));
        text
    }

    /// How many different sets of names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// The stable 64-bit hash of a label set: FNV-1a over name, 0xff, value, 0xff for each label in order.
///
/// The same function as `LabelSet.Fingerprint` of prometheus/common, so that Alertmanager's clients see the same ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Fingerprint {
    /// From the 16 hexadecimal digits that [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        if text.len() != 16 {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Fingerprint)
    }

    fn of<T: AsRef<str>>(labels: &[(T, T)]) -> Fingerprint {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut feed = |bytes: &[u8]| {
            for byte in bytes.iter().chain([&0xff]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for (name, value) in labels {
            feed(name.as_ref().as_bytes());
            feed(value.as_ref().as_bytes());
        }
        Fingerprint(hash)
    }
}

impl Labels {
    /// The empty set.
    pub fn empty() -> Labels {
        Labels::pack::<&str>(&[])
    }

    /// From names and values in any order. Empty values are left out; of equal names the last one wins.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels
    where
        N: Into<String>,
        V: Into<String>,
    {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// The same from pairs that mostly are in order already, as files and senders have them; that is faster.
    pub fn from_ordered(pairs: &[(&str, &str)]) -> Labels {
        let ascending = pairs.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if ascending && pairs.iter().all(|(_, value)| !value.is_empty()) {
            Labels::pack(pairs)
        } else {
            Labels::from_pairs(pairs.iter().copied())
        }
    }

    fn pack<T: AsRef<str>>(sorted: &[(T, T)]) -> Labels {
        let name_bytes: usize = sorted.iter().map(|(name, _)| text_bytes(name.as_ref())).sum();
        let mut names = String::with_capacity(1 + name_bytes);
        let mut values = String::with_capacity(sorted.iter().map(|(_, value)| text_bytes(value.as_ref())).sum());
        put_length(&mut names, sorted.len());
        for (name, value) in sorted {
            put_text(&mut names, name.as_ref());
            put_text(&mut values, value.as_ref());
        }
        let fingerprint = Fingerprint::of(sorted);
        Labels(Arc::new(Packed { fingerprint, names: names.into(), values: values.into_boxed_str() }))
    }

    /// The number of labels.
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `name`, or `None` where the label is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Most labels are passed over; their values are stepped over only if the name is found.
        let mut names = &*self.0.names;
        let position = (0..take_length(&mut names)).position(|_| take_text(&mut names) == name)?;
        let mut values = &*self.0.values;
        (0..=position).map(|_| take_text(&mut values)).last()
    }

    /// The value of `name`, or `""` where the label is absent: the two mean the same to a matcher.
    pub fn value_or_empty(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The value of `__name__`, if there is one.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME_LABEL)
    }

    /// All labels, sorted by name.
    pub fn iter(&self) -> LabelsIter<'_> {
        let mut names = &*self.0.names;
        let left = take_length(&mut names);
        LabelsIter { names, values: &self.0.values, left }
    }

    /// The stable hash of the whole set.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// A builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|l| (l.name.to_owned(), l.value.to_owned())).collect() }
    }

    /// Only the labels for which `keep` answers true.
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        let kept: Vec<_> =
            self.iter().filter(|l| keep(l.name)).map(|l| (Cow::from(l.name), Cow::from(l.value))).collect();
        if kept.len() == self.len() { self.clone() } else { Labels::pack(&kept) }
    }

    /// Without `name`.
    pub fn without(&self, name: &str) -> Labels {
        self.filter(|n| n != name)
    }

    /// Bytes of heap that this set takes, without the reference itself and without its names, which are
    /// [shared](SharedNames) wherever there are many sets.
    pub fn heap_bytes(&self) -> usize {
        heap_block(size_of::<Packed>() + 2 * size_of::<usize>()) + heap_block(self.0.values.len())
    }

    /// Bytes of its names and values with their lengths, as if it shared no names.
    pub fn packed_bytes(&self) -> usize {
        self.0.names.len() + self.0.values.len()
    }
}

/// What an allocator takes for a block of so many bytes: most of them give out multiples of 16 bytes and need 8 for
/// themselves, or lose as much by rounding to their classes of sizes. Nothing is allocated for nothing.
pub const fn heap_block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16) }
}

impl Default for Labels {
    fn default() -> Labels {
        Labels::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.fingerprint == other.0.fingerprint
                && (Arc::ptr_eq(&self.0.names, &other.0.names) || self.0.names == other.0.names)
                && self.0.values == other.0.values)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.fingerprint.0);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    /// By name and value, label for label, as Prometheus orders series.
    fn cmp(&self, other: &Labels) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl fmt::Display for Labels {
    /// `{a="1", b="2"}`, with `__name__` as one of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, label) in self.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(label.name)?;
            // Most values need no escapes, and keys of groups are made of them for every alert.
            if label.value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
                f.write_str("=\"")?;
                f.write_str(label.value)?;
                f.write_str("\"")?;
            } else {
                write!(f, "={:?}", label.value)?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Labels {
        Labels::from_pairs(pairs)
    }
}

/// Collects labels, then builds a [`Labels`].
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    /// In no particular order, names unique.
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// With no label yet.
    pub fn new() -> LabelsBuilder {
        LabelsBuilder::default()
    }

    /// Sets `name`, replacing an earlier value; an empty value removes the label.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut LabelsBuilder {
        let (name, value) = (name.into(), value.into());
        match self.pairs.iter_mut().find(|(n, _)| *n == name) {
            Some(pair) => pair.1 = value,
            None => self.pairs.push((name, value)),
        }
        self
    }

    /// Removes `name`, if it is there.
    pub fn remove(&mut self, name: &str) -> &mut LabelsBuilder {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// The value that `name` has so far.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The finished set.
    pub fn build(&self) -> Labels {
        let mut sorted: Vec<_> = self
            .pairs
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (Cow::from(name), Cow::from(value)))
            .collect();
        sorted.sort_unstable();
        Labels::pack(&sorted)
    }
}

/// Whether `name` fits Prometheus' classic rule for label names, `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fingerprints_are_those_of_prometheus_common() {
        // The empty set hashes to FNV-1a's offset basis; the second value is what Alertmanager's API shows for it.
        assert_eq!(Labels::empty().fingerprint().to_string(), "cbf29ce484222325");
        let labels = Labels::from_pairs([("alertname", "test")]);
        let again = Labels::from_pairs([("alertname", "test"), ("gone", "")]);
        assert_eq!(labels.fingerprint(), again.fingerprint());
        assert_eq!(Fingerprint::parse(&labels.fingerprint().to_string()), Some(labels.fingerprint()));
    }

    #[test]
    fn the_last_value_of_a_name_wins_and_an_empty_one_removes_it() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="1", b="3"}"#);
        let odd = Labels::from_pairs([("a", "\"é\\\n'~"), ("b", "\u{7f}")]);
        assert_eq!(odd.to_string(), r#"{a="\"é\\\n'~", b="\u{7f}"}"#);
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels.without("a").to_string(), r#"{b="3"}"#);
        for pairs in [&[("a", "1"), ("b", "3")][..], &[("b", "3"), ("a", "1")], &[("a", "1"), ("b", "3"), ("c", "")]] {
            let ordered = Labels::from_ordered(pairs);
            assert_eq!((&ordered, ordered.fingerprint()), (&labels, labels.fingerprint()));
        }
    }

    #[test]
    fn texts_of_every_length_come_back() {
        let lengths = [0, 1, 63, 64, 65, 127, 4_095, 4_096, 300_000];
        let pairs: Vec<(String, String)> =
            lengths.iter().map(|n| (format!("{n:06}{}", "n".repeat(*n)), "é".repeat(n + 1))).collect();
        let labels = Labels::from_pairs(pairs.clone());
        let back: Vec<_> = labels.iter().map(|label| (label.name.to_owned(), label.value.to_owned())).collect();
        assert_eq!(back, pairs);
        assert_eq!((labels.len(), Labels::empty().len()), (lengths.len(), 0));
    }

    #[test]
    fn names_are_shared_and_those_of_nobody_forgotten() {
        let mut shared = SharedNames::default();
        let of = |name: &str, value: &str| Labels::from_pairs([(name, value), ("job", "x")]);
        let first = shared.share(of("a", "1"));
        let held = of("a", "2");
        let second = shared.share(held.clone());
        assert!(Arc::ptr_eq(&first.0.names, &second.0.names));
        assert_eq!(second, held);
        assert_eq!(shared.share(second.clone()), second);
        for number in 0..1_000 {
            shared.share(of(&format!("l{number}"), "1"));
        }
        assert!(shared.len() < 70, "{}", shared.len());
        assert!(Arc::ptr_eq(&first.0.names, &shared.share(of("a", "3")).0.names));
    }

    proptest! {
        #[test]
        fn order_of_insertion_never_matters(mut pairs in proptest::collection::btree_map("[a-z]{1,3}", "[a-zé]{0,3}", 0..6)
            .prop_map(|m| m.into_iter().collect::<Vec<_>>())) {
            let forward = Labels::from_pairs(pairs.clone());
            pairs.reverse();
            let backward = Labels::from_pairs(pairs.clone());
            prop_assert_eq!(&forward, &backward);
            prop_assert_eq!(forward.fingerprint(), backward.fingerprint());
            for (name, value) in &pairs {
                prop_assert_eq!(forward.value_or_empty(name), value.as_str());
            }
            prop_assert_eq!(forward.to_builder().build(), forward);
        }
    }
}
