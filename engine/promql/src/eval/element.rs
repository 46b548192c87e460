//! One sample of a vector during evaluation, whose labels are built as late as possible.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use watchfire_model::{Label, Labels, METRIC_NAME_LABEL};
use watchfire_tsdb::SampleValue;

use crate::QueryError;

/// Which labels of a set are seen: those with these names, or all others.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    pub(crate) names: Vec<String>,
    pub(crate) keep: bool,
}

impl Projection {
    fn shows(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name) == self.keep
    }
}

/// A label set: that of a stored series, or one that was made; in full, or a part of it that need not be made.
#[derive(Clone, Debug)]
pub(crate) enum Metric<'a> {
    Stored(&'a Labels),
    Made(Labels),
    StoredPart(&'a Labels, Arc<Projection>),
    MadePart(Labels, Arc<Projection>),
}

/// What became of the metric's name, and of `__type__` and `__unit__`, which go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameState {
    Kept,
    /// Still seen by everything in the query, but not in its result.
    DropAtEnd,
    /// Not there any more; only the memory still has it.
    Hidden,
}

#[derive(Clone, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) metric: Metric<'a>,
    pub(crate) value: SampleValue,
    pub(crate) name: NameState,
}

/// Whether the label belongs to the metric's name.
pub(crate) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME_LABEL | "__type__" | "__unit__")
}

impl Metric<'_> {
    /// The whole set, and what of it is seen.
    fn parts(&self) -> (&Labels, Option<&Projection>) {
        match self {
            Metric::Stored(labels) => (labels, None),
            Metric::Made(labels) => (labels, None),
            Metric::StoredPart(labels, projection) => (labels, Some(projection)),
            Metric::MadePart(labels, projection) => (labels, Some(projection)),
        }
    }
}

impl<'a> Element<'a> {
    pub(crate) fn new(metric: Metric<'a>, value: impl Into<SampleValue>, name: NameState) -> Element<'a> {
        Element { metric, value: value.into(), name }
    }

    /// Without any label.
    pub(crate) fn bare(value: f64) -> Element<'a> {
        Element::new(Metric::Made(Labels::empty()), value, NameState::Kept)
    }

    pub(crate) fn drop_name(&mut self, state: NameState) {
        if self.name != NameState::Hidden {
            self.name = state;
        }
    }

    pub(crate) fn negate(&mut self) {
        match &mut self.value {
            SampleValue::Float(value) => *value = -*value,
            SampleValue::Histogram(histogram) => Arc::make_mut(histogram).scale(-1.0),
        }
    }

    /// The labels that the rest of the query sees.
    pub(crate) fn labels(&self) -> impl Iterator<Item = Label<'_>> + Clone {
        let (labels, projection) = self.metric.parts();
        let hidden = self.name == NameState::Hidden;
        labels.iter().filter(move |label| {
            !(hidden && is_metadata(label.name)) && projection.is_none_or(|projection| projection.shows(label.name))
        })
    }

    pub(crate) fn get(&self, label: &str) -> &str {
        let (labels, projection) = self.metric.parts();
        let hidden = self.name == NameState::Hidden && is_metadata(label);
        if hidden || projection.is_some_and(|projection| !projection.shows(label)) {
            return "";
        }
        labels.value_or_empty(label)
    }

    pub(crate) fn metric_name(&self) -> &str {
        self.get(METRIC_NAME_LABEL)
    }

    /// The visible labels for which `keep` answers true, as a set of their own.
    pub(crate) fn kept_labels(&self, keep: impl Fn(&str) -> bool) -> Labels {
        let (labels, projection) = self.metric.parts();
        let hidden = self.name == NameState::Hidden;
        let keep = |name: &str| {
            !(hidden && is_metadata(name)) && projection.is_none_or(|projection| projection.shows(name)) && keep(name)
        };
        if labels.iter().all(|label| keep(label.name)) { labels.clone() } else { labels.filter(keep) }
    }

    /// The visible labels as a set of their own.
    pub(crate) fn visible_labels(&self) -> Labels {
        self.kept_labels(|_| true)
    }

    /// A part of the visible labels, which is made only if the result needs it. The name's state stays the element's.
    pub(crate) fn part(&self, projection: &Arc<Projection>) -> Metric<'a> {
        match &self.metric {
            Metric::Stored(labels) => Metric::StoredPart(labels, Arc::clone(projection)),
            Metric::Made(labels) => Metric::MadePart(labels.clone(), Arc::clone(projection)),
            Metric::StoredPart(..) | Metric::MadePart(..) => {
                Metric::MadePart(self.visible_labels(), Arc::clone(projection))
            }
        }
    }

    /// The labels as they stand in the result.
    pub(crate) fn final_labels(&self) -> Labels {
        match self.name {
            NameState::Kept | NameState::Hidden => self.visible_labels(),
            NameState::DropAtEnd => self.kept_labels(|name| !is_metadata(name)),
        }
    }

    /// A hash of the visible labels.
    pub(crate) fn hash(&self) -> u64 {
        hash_labels(self.labels())
    }

    pub(crate) fn same_labels(&self, other: &Element<'_>) -> bool {
        if self.name == other.name
            && self.name != NameState::Hidden
            && let ((a, None), (b, None)) = (self.metric.parts(), other.metric.parts())
        {
            return a == b;
        }
        self.labels().eq(other.labels())
    }
}

/// Mixes a text into a hash: fast, and good enough where equality is tested afterwards.
pub(crate) fn mix(mut hash: u64, text: &str) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut chunks = text.as_bytes().chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.iter().rev().fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
        hash = (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }
    let rest = chunks.remainder().iter().fold(text.len() as u64, |word, byte| word << 8 | u64::from(*byte));
    (hash.rotate_left(23) ^ rest).wrapping_mul(FACTOR)
}

pub(crate) fn hash_labels<'l>(labels: impl Iterator<Item = Label<'l>>) -> u64 {
    labels.fold(0, |hash, label| mix(mix(hash, label.name), label.value))
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        // The table takes its position from the low bits and a tag from the high ones.
        self.0 = value ^ (value >> 32);
    }
}

/// Numbers things that are equal; what equality is, is said at each look-up.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    numbers: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
}

impl Interner {
    pub(crate) fn with_capacity(capacity: usize) -> Interner {
        Interner { numbers: HashMap::with_capacity_and_hasher(capacity, BuildHasherDefault::default()) }
    }

    /// The number of what has this hash and for which `same` answers true.
    pub(crate) fn find(&self, mut hash: u64, same: impl Fn(usize) -> bool) -> Option<usize> {
        loop {
            match self.numbers.get(&hash) {
                None => return None,
                Some(number) if same(*number) => return Some(*number),
                // Another thing has this hash: it went to the next free one.
                Some(_) => hash = hash.wrapping_add(1),
            }
        }
    }

    /// The same, giving it the number `next` if it is new.
    pub(crate) fn intern(&mut self, mut hash: u64, next: usize, same: impl Fn(usize) -> bool) -> usize {
        loop {
            match self.numbers.get(&hash) {
                None => {
                    self.numbers.insert(hash, next);
                    return next;
                }
                Some(number) if same(*number) => return *number,
                Some(_) => hash = hash.wrapping_add(1),
            }
        }
    }
}

/// Two series with the same labels cannot both be in a result.
pub(crate) fn refuse_equal(vector: &[Element<'_>]) -> Result<(), QueryError> {
    let mut seen = Interner::with_capacity(vector.len());
    for (i, element) in vector.iter().enumerate() {
        if seen.intern(element.hash(), i, |other| vector[other].same_labels(element)) != i {
            return Err(equal_labels());
        }
    }
    Ok(())
}

pub(crate) fn equal_labels() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}
