//! From a label's name and value to the series that carry it.

use std::collections::BTreeMap;

use watchfire_model::{Labels, MatchOp, Matcher};

/// Slots of series, ascending. Many values belong to one series alone, and that one needs no allocation.
#[derive(Debug)]
enum Postings {
    One(u32),
    Many(Vec<u32>),
}

impl Postings {
    fn slots(&self) -> &[u32] {
        match self {
            Postings::One(slot) => std::slice::from_ref(slot),
            Postings::Many(slots) => slots,
        }
    }

    fn insert(&mut self, slot: u32) {
        match self {
            Postings::One(first) if *first == slot => {}
            Postings::One(first) => *self = Postings::Many(vec![(*first).min(slot), (*first).max(slot)]),
            // Slots are handed out in ascending order until one is reused.
            Postings::Many(slots) => match slots.last() {
                Some(last) if *last >= slot => {
                    if let Err(at) = slots.binary_search(&slot) {
                        slots.insert(at, slot);
                    }
                }
                _ => slots.push(slot),
            },
        }
    }

    /// Removes a slot; whether none is left.
    fn remove(&mut self, slot: u32) -> bool {
        match self {
            Postings::One(only) => *only == slot,
            Postings::Many(slots) => {
                if let Ok(at) = slots.binary_search(&slot) {
                    slots.remove(at);
                }
                slots.is_empty()
            }
        }
    }
}

/// The inverted index. Ordered maps, because names and values are listed to users in order.
#[derive(Debug, Default)]
pub(crate) struct Index {
    names: BTreeMap<Box<str>, BTreeMap<Box<str>, Postings>>,
    bytes: usize,
}

/// Which series can match at all; the rest of the matchers is then tested on each.
#[derive(Debug)]
pub(crate) enum Candidates<'a> {
    Everything,
    Lists(Vec<&'a [u32]>),
}

/// What a map's entry costs beyond its text, on average.
const ENTRY_BYTES: usize = 56;

impl Index {
    pub(crate) fn insert(&mut self, labels: &Labels, slot: u32) {
        for label in labels.iter() {
            if !self.names.contains_key(label.name) {
                self.bytes += ENTRY_BYTES + label.name.len();
                self.names.insert(label.name.into(), BTreeMap::new());
            }
            let Some(values) = self.names.get_mut(label.name) else { continue };
            match values.get_mut(label.value) {
                Some(postings) => postings.insert(slot),
                None => {
                    self.bytes += ENTRY_BYTES + label.value.len();
                    values.insert(label.value.into(), Postings::One(slot));
                }
            }
            self.bytes += size_of::<u32>();
        }
    }

    pub(crate) fn remove(&mut self, labels: &Labels, slot: u32) {
        for label in labels.iter() {
            let Some(values) = self.names.get_mut(label.name) else { continue };
            let Some(postings) = values.get_mut(label.value) else { continue };
            self.bytes = self.bytes.saturating_sub(size_of::<u32>());
            if postings.remove(slot) {
                values.remove(label.value);
                self.bytes = self.bytes.saturating_sub(ENTRY_BYTES + label.value.len());
            }
            if values.is_empty() {
                self.names.remove(label.name);
                self.bytes = self.bytes.saturating_sub(ENTRY_BYTES + label.name.len());
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.names.get(name).into_iter().flat_map(|values| values.keys().map(|value| &**value))
    }

    /// The shortest set of lists that together hold every series that all matchers accept.
    pub(crate) fn candidates(&self, matchers: &[Matcher]) -> Candidates<'_> {
        let mut best: Option<(usize, Vec<&[u32]>)> = None;
        // Equality first: it is one look-up, and a short list makes it pointless to run a pattern over all values.
        let (equal, others): (Vec<_>, Vec<_>) =
            matchers.iter().filter(|m| !m.matches("")).partition(|m| m.op() == MatchOp::Equal);
        for matcher in equal.into_iter().chain(others) {
            let values = self.names.get(matcher.name());
            if best.as_ref().is_some_and(|(size, _)| {
                *size == 0 || (matcher.op() != MatchOp::Equal && *size < 8 * values.map_or(0, BTreeMap::len))
            }) {
                continue;
            }
            let lists: Vec<&[u32]> = match (values, matcher.op()) {
                (None, _) => Vec::new(),
                (Some(values), MatchOp::Equal) => {
                    values.get(matcher.value()).map(Postings::slots).into_iter().collect()
                }
                (Some(values), _) => {
                    values.iter().filter(|(value, _)| matcher.matches(value)).map(|(_, p)| p.slots()).collect()
                }
            };
            let size = lists.iter().map(|list| list.len()).sum();
            if best.as_ref().is_none_or(|(smallest, _)| size < *smallest) {
                best = Some((size, lists));
            }
        }
        best.map_or(Candidates::Everything, |(_, lists)| Candidates::Lists(lists))
    }
}
