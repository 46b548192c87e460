//! Names and texts in few allocations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::labels::{LabelsIter, SharedNames};

/// Appends a number as text that is also bytes: six bits a character, all but the last with the seventh set.
pub(crate) fn put_length(out: &mut String, mut length: usize) {
    while length >= 64 {
        out.push(char::from(64 | (length & 63) as u8));
        length >>= 6;
    }
    out.push(char::from(length as u8));
}

/// Takes a number off the front of what [`put_length`] wrote.
pub(crate) fn take_length(text: &mut &str) -> usize {
    let (mut length, mut shift, mut read) = (0, 0, 0);
    for byte in text.bytes() {
        read += 1;
        length |= usize::from(byte & 63) << shift;
        shift += 6;
        if byte & 64 == 0 {
            break;
        }
    }
    *text = &text[read..];
    length
}

/// Takes a text with its length before it off the front.
pub(crate) fn take_text<'a>(text: &mut &'a str) -> &'a str {
    let length = take_length(text);
    let (taken, rest) = text.split_at(length);
    *text = rest;
    taken
}

pub(crate) fn put_text(out: &mut String, text: &str) {
    put_length(out, text.len());
    out.push_str(text);
}

/// Names with texts, such as annotations: a map that is not changed and of which there are many.
///
/// Other than in a [`Labels`](crate::Labels), a text may be empty.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedMap {
    names: Arc<str>,
    values: Box<str>,
}

impl PackedMap {
    /// Packs a map; the names are shared with all others that went through `shared`.
    pub fn new(map: &BTreeMap<String, String>, shared: &mut SharedNames) -> PackedMap {
        let (mut names, mut values) = (String::new(), String::new());
        put_length(&mut names, map.len());
        for (name, value) in map {
            put_text(&mut names, name);
            put_text(&mut values, value);
        }
        PackedMap { names: shared.text(names.into()), values: values.into_boxed_str() }
    }

    /// The map again.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|entry| (entry.name.to_owned(), entry.value.to_owned())).collect()
    }

    /// Whether it is the packed form of this map.
    pub fn is_of(&self, map: &BTreeMap<String, String>) -> bool {
        self.iter().map(|entry| (entry.name, entry.value)).eq(map.iter().map(|(name, value)| (&**name, &**value)))
    }

    fn iter(&self) -> LabelsIter<'_> {
        let mut names = &*self.names;
        let left = take_length(&mut names);
        LabelsIter { names, values: &self.values, left }
    }
}

impl fmt::Debug for PackedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_map().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_comes_out_as_it_went_in_and_names_are_held_once() {
        let mut shared = SharedNames::default();
        let long = "x".repeat(5_000);
        for value in ["", "5 % of the users", "µs", long.as_str()] {
            let map = BTreeMap::from([("description".to_owned(), value.to_owned()), (String::new(), "é".to_owned())]);
            let packed = PackedMap::new(&map, &mut shared);
            assert_eq!(packed.to_map(), map);
            assert!(packed.is_of(&map) && !packed.is_of(&BTreeMap::new()));
        }
        assert_eq!(PackedMap::new(&BTreeMap::new(), &mut shared).to_map(), BTreeMap::new());
        assert_eq!(shared.len(), 2);
    }
}
