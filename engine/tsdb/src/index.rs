//! From a label's name and value to the series that carry it.
//!
//! Many values belong to one series alone: an id, an address. Such a value costs an entry in a table and nothing else,
//! its text is that of the series' own labels. So whoever asks the index brings along the labels of the series.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use watchfire_model::{Labels, MatchOp, Matcher, heap_block};

use crate::SeriesId;
use crate::slots::{Slots, Table};

/// Answers the labels of the series that lives in a slot.
pub(crate) trait LabelsBySlot {
    fn labels(&self, slot: u32) -> Option<&Labels>;
}

/// The inverted index. Names are in order, because they are listed to users.
#[derive(Debug, Default)]
pub(crate) struct Index {
    names: BTreeMap<Box<str>, Values>,
    bytes: usize,
}

/// The values of one label.
#[derive(Debug, Default)]
struct Values {
    /// A slot, or [`LIST`] and a position in `lists`.
    table: Table,
    lists: Vec<List>,
    /// Positions in `lists` that are not used.
    free: Vec<u32>,
}

/// A value of more than one series.
#[derive(Debug)]
struct List {
    value: Box<str>,
    slots: Slots,
    /// The sequence of the last series that was created with it, whether or not that still lives.
    newest: u64,
}

/// Set in a number that is no slot; those have 24 bits.
const LIST: u32 = 1 << 31;

/// The series that carry one value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Postings<'a> {
    One(u32),
    Many(&'a Slots),
}

impl Postings<'_> {
    fn len(&self) -> usize {
        match self {
            Postings::One(_) => 1,
            Postings::Many(slots) => slots.len(),
        }
    }

    fn contains(&self, slot: u32) -> bool {
        match self {
            Postings::One(only) => *only == slot,
            Postings::Many(slots) => slots.contains(slot),
        }
    }
}

impl<'a> Postings<'a> {
    /// Ascending.
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> + use<'a> {
        let (one, many) = match self {
            Postings::One(slot) => (Some(slot), None),
            Postings::Many(slots) => (None, Some(slots.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// The newest of the series that carry one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewestOf {
    /// The only one, which lives in this slot.
    Slot(u32),
    /// Its sequence.
    Sequence(u64),
}

/// Which series can match at all, and what is yet to be tested on each of them.
#[derive(Debug)]
pub(crate) struct Candidates<'m> {
    /// Ascending; nothing if it may be any series.
    pub(crate) slots: Option<Vec<u32>>,
    pub(crate) untested: Vec<&'m Matcher>,
}

impl Default for Candidates<'_> {
    fn default() -> Self {
        Candidates { slots: Some(Vec::new()), untested: Vec::new() }
    }
}

/// A pattern is tried on all values of a label rather than on each series if there are so many times fewer values.
const VALUES_PER_SLOT: usize = 8;

/// What a name's entry costs beyond its text, on average.
const NAME_BYTES: usize = size_of::<Values>() + 32;

/// The same in every process, so that everything comes in the same order in each.
pub(crate) fn hash(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(value.as_bytes());
    hasher.finish()
}

impl Values {
    fn list(&self, number: u32) -> Option<&List> {
        if number & LIST == 0 { None } else { self.lists.get((number & !LIST) as usize) }
    }

    fn text<'a>(&'a self, number: u32, name: &str, series: &'a impl LabelsBySlot) -> &'a str {
        match self.list(number) {
            Some(list) => &list.value,
            None => series.labels(number).map_or("", |labels| labels.value_or_empty(name)),
        }
    }

    fn find(&self, name: &str, value: &str, series: &impl LabelsBySlot) -> Option<u32> {
        self.table.find(hash(value), |number| self.text(number, name, series) == value)
    }

    fn postings(&self, number: u32) -> Postings<'_> {
        self.list(number).map_or(Postings::One(number), |list| Postings::Many(&list.slots))
    }

    /// The series of each value that is accepted.
    fn accepted(&self, name: &str, series: &impl LabelsBySlot, accepts: impl Fn(&str) -> bool) -> Vec<Postings<'_>> {
        let numbers = self.table.iter().filter(|number| accepts(self.text(*number, name, series)));
        numbers.map(|number| self.postings(number)).collect()
    }

    /// Without the lists' own content.
    fn heap_bytes(&self) -> usize {
        self.table.heap_bytes() + self.lists.capacity() * size_of::<List>() + self.free.capacity() * size_of::<u32>()
    }

    /// Adds a slot under a value. Answers by how many bytes the list's content has grown.
    fn insert(&mut self, name: &str, value: &str, id: SeriesId, series: &impl LabelsBySlot) -> usize {
        let slot = u32::try_from(id.slot()).unwrap_or(u32::MAX);
        let Some(number) = self.find(name, value, series) else {
            self.table.insert(hash(value), slot);
            return 0;
        };
        if number & LIST != 0 {
            let Some(list) = self.lists.get_mut((number & !LIST) as usize) else { return 0 };
            let before = list.slots.heap_bytes();
            list.slots.insert(slot);
            list.newest = id.sequence();
            return list.slots.heap_bytes().saturating_sub(before);
        }
        let list = List { value: value.into(), slots: Slots::of(number, slot), newest: id.sequence() };
        let bytes = list.heap_bytes();
        let position = match self.free.pop() {
            Some(position) => {
                self.lists[position as usize] = list;
                position
            }
            None => {
                self.lists.push(list);
                u32::try_from(self.lists.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.table.replace(hash(value), number, LIST | position);
        bytes
    }

    /// Removes a slot from a value. Answers by how many bytes the list's content has shrunk.
    fn remove(&mut self, name: &str, value: &str, slot: u32, series: &impl LabelsBySlot) -> usize {
        let Some(number) = self.find(name, value, series) else { return 0 };
        if number & LIST == 0 {
            self.table.remove(hash(value), number);
            return 0;
        }
        let position = number & !LIST;
        let Some(list) = self.lists.get_mut(position as usize) else { return 0 };
        let before = list.heap_bytes();
        list.slots.remove(slot);
        if list.slots.len() > 0 {
            return before.saturating_sub(list.heap_bytes());
        }
        *list = List { value: Box::default(), slots: Slots::Few(Vec::new()), newest: 0 };
        self.free.push(position);
        self.table.remove(hash(value), number);
        before
    }
}

impl List {
    fn heap_bytes(&self) -> usize {
        heap_block(self.value.len()) + self.slots.heap_bytes()
    }
}

impl Index {
    /// Adds a series, whose labels `series` has already.
    pub(crate) fn insert(&mut self, labels: &Labels, id: SeriesId, series: &impl LabelsBySlot) {
        for label in labels.iter() {
            if !self.names.contains_key(label.name) {
                self.bytes += NAME_BYTES + heap_block(label.name.len());
                self.names.insert(label.name.into(), Values::default());
            }
            let Some(values) = self.names.get_mut(label.name) else { continue };
            let before = values.heap_bytes();
            let grown = values.insert(label.name, label.value, id, series);
            self.bytes += grown + values.heap_bytes() - before;
        }
    }

    /// Removes a series, whose labels `series` still has.
    pub(crate) fn remove(&mut self, labels: &Labels, slot: u32, series: &impl LabelsBySlot) {
        for label in labels.iter() {
            let Some(values) = self.names.get_mut(label.name) else { continue };
            let before = values.heap_bytes();
            let shrunk = values.remove(label.name, label.value, slot, series);
            self.bytes = (self.bytes + values.heap_bytes()).saturating_sub(before + shrunk);
            if values.table.is_empty() {
                let rest = values.heap_bytes() + NAME_BYTES + heap_block(label.name.len());
                self.names.remove(label.name);
                self.bytes = self.bytes.saturating_sub(rest);
            }
        }
    }

    /// The newest of the series that carry a value, or at least none that is older than it.
    pub(crate) fn newest(&self, name: &str, value: &str, series: &impl LabelsBySlot) -> Option<NewestOf> {
        let values = self.names.get(name)?;
        let number = values.find(name, value, series)?;
        Some(values.list(number).map_or(NewestOf::Slot(number), |list| NewestOf::Sequence(list.newest)))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// The values of a label, in no order that means anything.
    pub(crate) fn values<'a>(&'a self, name: &'a str, series: &'a impl LabelsBySlot) -> impl Iterator<Item = &'a str> {
        let values = self.names.get(name).into_iter();
        values.flat_map(move |values| values.table.iter().map(move |number| values.text(number, name, series)))
    }

    /// How many series carry a value.
    pub(crate) fn count(&self, name: &str, value: &str, series: &impl LabelsBySlot) -> usize {
        let Some(values) = self.names.get(name) else { return 0 };
        values.find(name, value, series).map_or(0, |number| values.postings(number).len())
    }

    /// The series that can match, and the matchers that are to be tested on each of them.
    ///
    /// Lists are compared with lists as far as they decide; texts of labels are looked at only where a label has so many
    /// values that trying a pattern on each of them would cost more.
    pub(crate) fn candidates<'m>(&self, matchers: &'m [Matcher], series: &impl LabelsBySlot) -> Candidates<'m> {
        let is_list = |matcher: &&Matcher| matcher.op() == MatchOp::Equal && !matcher.value().is_empty();
        let (equal, mut others): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(is_list);
        let mut lists = Vec::with_capacity(equal.len());
        for matcher in equal {
            let values = self.names.get(matcher.name());
            let number =
                values.and_then(|values| Some((values, values.find(matcher.name(), matcher.value(), series)?)));
            let Some((values, number)) = number else { return Candidates::default() };
            lists.push(values.postings(number));
        }
        let mut slots = if lists.is_empty() {
            let Some(narrowest) = self.narrowest(&others, series) else {
                return Candidates { slots: None, untested: others };
            };
            others.remove(narrowest.0);
            narrowest.1
        } else {
            common(lists)
        };
        others.retain(|matcher| {
            let name = matcher.name();
            let absent_passes = matcher.matches("");
            let Some(values) = self.names.get(name) else {
                if !absent_passes {
                    slots.clear();
                }
                return false;
            };
            if VALUES_PER_SLOT * values.table.len() > slots.len() {
                return true;
            }
            // An absent label decides as the empty text does, so that the values of interest are those that differ.
            let lists = values.accepted(name, series, |text| matcher.matches(text) != absent_passes);
            slots.retain(|slot| lists.iter().any(|list| list.contains(*slot)) != absent_passes);
            false
        });
        Candidates { slots: Some(slots), untested: others }
    }

    /// Which of these matchers accepts the fewest series, and those, if one of them demands that its label is there.
    fn narrowest(&self, matchers: &[&Matcher], series: &impl LabelsBySlot) -> Option<(usize, Vec<u32>)> {
        let mut best: Option<(usize, usize, Vec<Postings<'_>>)> = None;
        for (position, matcher) in matchers.iter().enumerate().filter(|(_, matcher)| !matcher.matches("")) {
            let values = self.names.get(matcher.name());
            let count = values.map_or(0, |values| values.table.len());
            if best.as_ref().is_some_and(|(_, size, _)| *size < VALUES_PER_SLOT * count) {
                continue;
            }
            let lists = match values {
                Some(values) => values.accepted(matcher.name(), series, |text| matcher.matches(text)),
                None => Vec::new(),
            };
            let size = lists.iter().map(Postings::len).sum();
            if best.as_ref().is_none_or(|(_, smallest, _)| size < *smallest) {
                best = Some((position, size, lists));
            }
        }
        best.map(|(position, _, lists)| {
            let mut slots: Vec<u32> = lists.iter().flat_map(|list| list.iter()).collect();
            if lists.len() > 1 {
                slots.sort_unstable();
            }
            (position, slots)
        })
    }
}

/// What all these lists have in common, ascending.
fn common(mut lists: Vec<Postings<'_>>) -> Vec<u32> {
    lists.sort_unstable_by_key(Postings::len);
    match &lists[..] {
        [] => Vec::new(),
        [Postings::Many(Slots::Many(first)), Postings::Many(Slots::Many(second)), rest @ ..] => {
            (first & second).iter().filter(|slot| rest.iter().all(|list| list.contains(*slot))).collect()
        }
        [first, rest @ ..] => first.iter().filter(|slot| rest.iter().all(|list| list.contains(*slot))).collect(),
    }
}
