//! Texts under numbers, in the order in which they came.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// A set of texts, numbered from zero. They lie one behind the other, because most are short and there may be as many as
/// series.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: String,
    /// Where each text ends in `all`.
    ends: Vec<usize>,
    /// The numbers, by the hash of their text.
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Texts {
    /// The number of a text, which is a new one if the text was not there.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        let Texts { all, ends, numbers, hasher } = self;
        let of = |number: u32| text_of(all, ends, number);
        if let Some(known) = numbers.find(hasher.hash_one(text), |number| of(*number) == text) {
            return *known;
        }
        // A segment is far smaller than four billion texts.
        let number = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        numbers.insert_unique(hasher.hash_one(text), number, |number| hasher.hash_one(of(*number)));
        all.push_str(text);
        ends.push(all.len());
        number
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

fn text_of<'a>(all: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    &all[start..ends[number]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_one_number() {
        let mut texts = Texts::default();
        let numbers: Vec<u32> = ["a", "", "\u{e4}b", "a", "b", "", "ab"].map(|text| texts.number(text)).to_vec();
        assert_eq!((numbers, texts.len()), (vec![0, 1, 2, 0, 3, 1, 4], 5));
        let many: Vec<u32> = (0..10_000).map(|n| texts.number(&n.to_string())).collect();
        assert!((0..10_000).all(|n: usize| texts.number(&n.to_string()) == many[n]));
        assert_eq!(texts.len(), 10_005);
    }
}
