//! What is to be compiled aside, in which order, and what takes over when it is done.
//!
//! Of each name there is one version, the newest that is wanted: whatever comes for the same name later takes its place,
//! and what was begun for another version is not looked at any more. Nothing here compiles or waits.

use std::collections::BTreeMap;

/// Versions (`V`) that are wanted, by name, with what became of each (`T`).
#[derive(Debug)]
pub(crate) struct Compilations<V, T> {
    wanted: BTreeMap<String, Compilation<V, T>>,
    /// Versions that were looked at and refused.
    refused: BTreeMap<String, V>,
}

#[derive(Debug)]
struct Compilation<V, T> {
    wanted: V,
    turn: Turn,
    stage: Stage<T>,
}

#[derive(Debug)]
enum Stage<T> {
    Waiting,
    Running,
    Done(T),
    /// Somebody has what came of it and is about to put it in use.
    Taken,
}

/// Who is compiled first: what is in use, and among these what is done soonest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) is_unused: bool,
    pub(crate) bytes: u64,
}

/// How far a version is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress<T> {
    /// Nobody has asked for it.
    Unknown,
    Underway,
    Done(T),
}

impl<V, T> Default for Compilations<V, T> {
    fn default() -> Compilations<V, T> {
        Compilations { wanted: BTreeMap::new(), refused: BTreeMap::new() }
    }
}

impl<V: Clone + PartialEq, T> Compilations<V, T> {
    /// How far a version is. What came of it is given away.
    pub(crate) fn take(&mut self, name: &str, version: &V) -> Progress<T> {
        let Some(known) = self.wanted.get_mut(name).filter(|known| known.wanted == *version) else {
            return Progress::Unknown;
        };
        match std::mem::replace(&mut known.stage, Stage::Taken) {
            Stage::Done(done) => Progress::Done(done),
            Stage::Taken => Progress::Unknown,
            stage => {
                known.stage = stage;
                Progress::Underway
            }
        }
    }

    /// Wants a version, and no other of that name any more.
    pub(crate) fn want(&mut self, name: &str, version: V, turn: Turn) {
        self.wanted.insert(name.to_owned(), Compilation { wanted: version, turn, stage: Stage::Waiting });
    }

    /// What is to be compiled now.
    pub(crate) fn begin(&mut self) -> Option<(String, V)> {
        let waiting = self.wanted.iter_mut().filter(|(_, known)| matches!(known.stage, Stage::Waiting));
        let (name, next) = waiting.min_by_key(|(_, known)| known.turn)?;
        next.stage = Stage::Running;
        Some((name.clone(), next.wanted.clone()))
    }

    /// What came of a version. Answers whether it is wanted still.
    pub(crate) fn finish(&mut self, name: &str, version: &V, done: T) -> bool {
        let wanted = self.wanted.get_mut(name).filter(|known| known.wanted == *version);
        wanted.map(|known| known.stage = Stage::Done(done)).is_some()
    }

    /// Remembers that a version was refused: who wants it again must expect that to look at it takes as long as before.
    pub(crate) fn refuse(&mut self, name: &str, version: &V) {
        self.refused.insert(name.to_owned(), version.clone());
    }

    /// Whether this version was refused.
    pub(crate) fn is_refused(&self, name: &str, version: &V) -> bool {
        self.refused.get(name) == Some(version)
    }

    /// Forgets every name that is not wanted any more, and what was refused of those that are not there.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(&str) -> bool, is_there: impl Fn(&str) -> bool) {
        self.wanted.retain(|name, _| is_wanted(name));
        self.refused.retain(|name, _| is_there(name));
    }

    /// The names of which a version has not taken over yet, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.wanted.keys().map(String::as_str)
    }

    /// Whether a version of this name has not taken over yet.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.wanted.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: Turn = Turn { is_unused: false, bytes: 10 };

    fn wanting(names: &[(&str, Turn)]) -> Compilations<u32, &'static str> {
        let mut compilations = Compilations::default();
        names.iter().for_each(|(name, turn)| compilations.want(name, 1, *turn));
        compilations
    }

    #[test]
    fn what_is_in_use_comes_first_and_what_is_small_before_what_is_large() {
        let unused = Turn { is_unused: true, ..USED };
        let mut compilations = wanting(&[
            ("a", Turn { bytes: 1, ..unused }),
            ("b", Turn { bytes: 9, ..USED }),
            ("c", Turn { bytes: 5, ..USED }),
            ("d", Turn { bytes: 5, ..USED }),
        ]);
        let order: Vec<_> = std::iter::from_fn(|| compilations.begin()).map(|(name, _)| name).collect();
        assert_eq!(order, ["c", "d", "b", "a"]);
        assert_eq!(compilations.names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_came_of_a_version_is_given_once_and_counts_as_compiling_until_it_is_in_use() {
        let mut compilations = wanting(&[("a", USED)]);
        assert_eq!(compilations.take("a", &1), Progress::Underway);
        assert_eq!(compilations.begin(), Some(("a".to_owned(), 1)));
        assert_eq!(compilations.take("a", &1), Progress::Underway);
        assert!(compilations.finish("a", &1, "code"));
        assert_eq!(compilations.take("a", &1), Progress::Done("code"));
        assert!(compilations.contains("a"));
        assert_eq!(compilations.take("a", &1), Progress::Unknown);
        compilations.retain(|_| false, |_| false);
        assert!(!compilations.contains("a"));
    }

    #[test]
    fn of_a_name_only_the_newest_version_is_compiled_and_only_it_takes_over() {
        let mut compilations = wanting(&[("a", USED)]);
        compilations.want("a", 2, USED);
        assert_eq!(compilations.begin(), Some(("a".to_owned(), 2)), "the first never gets its turn");
        compilations.want("a", 3, USED);
        assert!(!compilations.finish("a", &2, "two"), "nobody wants it any more");
        assert_eq!(compilations.take("a", &2), Progress::Unknown);
        assert_eq!(compilations.begin(), Some(("a".to_owned(), 3)));
        assert!(compilations.finish("a", &3, "three"));
        assert_eq!(compilations.take("a", &3), Progress::Done("three"));
    }

    #[test]
    fn a_version_that_is_wanted_again_while_it_is_compiled_is_not_compiled_twice() {
        let mut compilations = wanting(&[("a", USED)]);
        assert_eq!(compilations.begin(), Some(("a".to_owned(), 1)));
        compilations.want("a", 2, USED);
        compilations.want("a", 1, USED);
        assert!(compilations.finish("a", &1, "one"));
        assert_eq!((compilations.begin(), compilations.take("a", &1)), (None, Progress::Done("one")));
    }

    #[test]
    fn a_file_that_is_gone_is_forgotten_at_every_stage() {
        let mut compilations = wanting(&[("done", USED), ("runs", USED), ("waits", USED)]);
        compilations.begin();
        assert!(compilations.finish("done", &1, "code"));
        compilations.begin();
        compilations.retain(|_| false, |_| false);
        assert_eq!(compilations.begin(), None);
        assert!(!compilations.finish("runs", &1, "code"));
        assert_eq!(compilations.take("done", &1), Progress::Unknown);
    }

    #[test]
    fn what_was_refused_is_remembered_by_its_version_as_long_as_it_is_there() {
        let mut compilations = wanting(&[]);
        compilations.refuse("a", &1);
        assert_eq!((compilations.is_refused("a", &1), compilations.is_refused("a", &2)), (true, false));
        compilations.retain(|_| false, |_| true);
        assert!(compilations.is_refused("a", &1));
        compilations.refuse("a", &2);
        assert_eq!((compilations.is_refused("a", &1), compilations.is_refused("a", &2)), (false, true));
        compilations.retain(|_| true, |_| false);
        assert!(!compilations.is_refused("a", &2));
    }
}
