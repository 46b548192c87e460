//! What alerts tell people.

use std::fmt;
use std::sync::Arc;

use crate::labels::{LabelsIter, SharedNames};
use crate::packed::{put_length, put_text, take_length, text_bytes};

/// Texts by name that come with an alert and have no part in its identity, sorted by name, names unique.
///
/// Immutable and cheap to clone, because an alert is passed to everybody who looks at it or tells of it. Other than in a
/// [`Labels`](crate::Labels), a text may be empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// The number of names, then the length of each and the name; nothing at all if there is none.
    names: Arc<str>,
    /// The length of each text and the text, in the order of the names.
    texts: Arc<str>,
}

impl Annotations {
    /// The text of `name`, or `None` where there is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, text)| text)
    }

    /// Names and texts, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let mut names = &*self.names;
        let left = take_length(&mut names);
        LabelsIter { names, values: &self.texts, left }.map(|pair| (pair.name, pair.value))
    }

    /// Bytes of its names and texts with their lengths, as if it shared no names.
    pub fn packed_bytes(&self) -> usize {
        self.names.len() + self.texts.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Only those for which `keep` answers true of name and text.
    pub fn filter(&self, mut keep: impl FnMut(&str, &str) -> bool) -> Annotations {
        let kept: Vec<_> = self.iter().filter(|(name, text)| keep(name, text)).collect();
        if kept.len() == self.len() { self.clone() } else { Annotations::pack(&kept) }
    }

    /// The same with no text longer than so many bytes; what is cut off is said at its end, beyond them.
    pub fn shorten(&self, text_bytes_max: usize) -> Annotations {
        let shorten = |(name, text): (&str, &str)| {
            let kept = &text[..text.floor_char_boundary(text_bytes_max)];
            let left_out = text.len() - kept.len();
            let text = if left_out == 0 { text.to_owned() } else { format!("{kept}… ({left_out} bytes left out)") };
            (name.to_owned(), text)
        };
        self.iter().map(shorten).collect()
    }

    /// The same with names that are held once for all that went through `shared`.
    pub fn share(self, shared: &mut SharedNames) -> Annotations {
        Annotations { names: shared.text(self.names), texts: self.texts }
    }

    fn pack<N: AsRef<str>, T: AsRef<str>>(sorted: &[(N, T)]) -> Annotations {
        if sorted.is_empty() {
            return Annotations::default();
        }
        let name_bytes: usize = sorted.iter().map(|(name, _)| text_bytes(name.as_ref())).sum();
        let mut names = String::with_capacity(1 + name_bytes);
        let mut texts = String::with_capacity(sorted.iter().map(|(_, text)| text_bytes(text.as_ref())).sum());
        put_length(&mut names, sorted.len());
        for (name, text) in sorted {
            put_text(&mut names, name.as_ref());
            put_text(&mut texts, text.as_ref());
        }
        Annotations { names: names.into(), texts: texts.into() }
    }
}

impl<N: AsRef<str>, T: AsRef<str>> FromIterator<(N, T)> for Annotations {
    /// From names and texts in any order. Of equal names the last one wins.
    fn from_iter<I: IntoIterator<Item = (N, T)>>(pairs: I) -> Annotations {
        let mut pairs: Vec<(N, T)> = pairs.into_iter().collect();
        pairs.reverse();
        pairs.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
        pairs.dedup_by(|(earlier, _), (last, _)| (*earlier).as_ref() == (*last).as_ref());
        Annotations::pack(&pairs)
    }
}

impl<N: AsRef<str>, T: AsRef<str>, const COUNT: usize> From<[(N, T); COUNT]> for Annotations {
    fn from(pairs: [(N, T); COUNT]) -> Annotations {
        pairs.into_iter().collect()
    }
}

impl fmt::Debug for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_what_a_map_of_the_same_pairs_is(
            pairs in proptest::collection::vec(("[a-dé]{0,2}", ".{0,3}|x{60,5000}"), 0..6),
        ) {
            let map: BTreeMap<&str, &str> = pairs.iter().map(|(name, text)| (&**name, &**text)).collect();
            let annotations: Annotations = pairs.iter().map(|(name, text)| (name, text)).collect();
            prop_assert_eq!(annotations.iter().collect::<BTreeMap<_, _>>(), map.clone());
            prop_assert!(annotations.iter().map(|(name, _)| name).is_sorted());
            prop_assert_eq!((annotations.len(), annotations.is_empty()), (map.len(), map.is_empty()));
            for name in ["", "a", "b", "cd", "é"] {
                prop_assert_eq!(annotations.get(name), map.get(name).copied());
            }
            let kept = annotations.filter(|name, _| name < "b");
            prop_assert_eq!(kept, map.iter().filter(|(name, _)| **name < "b").collect());
            prop_assert_eq!(format!("{annotations:?}"), format!("{map:?}"));
            prop_assert_eq!(annotations.clone().share(&mut SharedNames::default()), annotations);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let annotations = Annotations::from([("a", "short"), ("b", "µµµµµ")]);
        let shortened = Annotations::from([("a", "short"), ("b", "µµ… (6 bytes left out)")]);
        assert_eq!((annotations.shorten(5), annotations.shorten(10)), (shortened, annotations.clone()));
    }

    #[test]
    fn names_are_held_once() {
        let mut shared = SharedNames::default();
        let texts = ["5 % of the users", "", "µs"];
        let annotations = texts.map(|text| Annotations::from([("description", text)]).share(&mut shared));
        assert!(annotations.iter().all(|other| Arc::ptr_eq(&other.names, &annotations[0].names)));
    }
}
