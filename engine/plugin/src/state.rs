//! What a plugin remembers: a small transactional key-value store, one per rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

/// How much a plugin may remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateLimits {
    /// Longest key in bytes.
    pub key_bytes_max: usize,
    /// Largest value in bytes.
    pub value_bytes_max: usize,
    /// Keys and values together in bytes.
    pub total_bytes_max: usize,
}

impl StateLimits {
    /// 256 B per key, 64 KiB per value, 1 MiB per rule.
    pub const STANDARD: StateLimits =
        StateLimits { key_bytes_max: 256, value_bytes_max: 64 << 10, total_bytes_max: 1 << 20 };
}

/// The key under which stands whose the other values are, and in which version of their layout: four bytes and a name.
/// Before names were noted it was the four bytes alone, then the part's name alone. No plugin may write it.
const VERSION_KEY: &str = "watchfire:state-version";

/// The key under which stands since when no rule needs it: milliseconds since 1970. No plugin may read or write it.
const UNUSED_KEY: &str = "watchfire:unused-since";

/// Whether a key is the host's and not the plugin's.
fn is_hosts(key: &str) -> bool {
    key == VERSION_KEY || key == UNUSED_KEY
}

/// Whose what is remembered is, and in which version of its layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The plugin's name and the part's with a slash between them; the part's alone where the plugin has none.
    name: String,
    part: String,
    version: u32,
}

impl Owner {
    /// A part of a plugin, by the names that the two have for themselves, which stay when a file is renamed. Parts of
    /// different plugins may be called the same.
    pub fn new(plugin: Option<&str>, part: &str, version: u32) -> Owner {
        let name = plugin.map_or_else(|| part.to_owned(), |plugin| format!("{plugin}/{part}"));
        Owner { name, part: part.to_owned(), version }
    }

    /// Whether this is the one that was noted, be it from when only parts were.
    fn is(&self, noted: &[u8]) -> bool {
        noted == self.name.as_bytes() || noted == self.part.as_bytes()
    }
}

/// Why a write was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("state: {what} would take {bytes} bytes, the limit is {limit}")]
pub struct StateError {
    /// What is too large: `key`, `value` or `the whole state`.
    pub what: &'static str,
    /// How large it would be.
    pub bytes: usize,
    /// How large it may be.
    pub limit: usize,
}

/// One committed change, to be made durable: a value, or `None` for a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWrite {
    /// The key.
    pub key: String,
    /// The new value, shared with the state.
    pub value: Option<Arc<Vec<u8>>>,
}

/// The state of one rule's plugin. Writes are staged until [`State::commit`].
///
/// Values are shared, so that whoever hands one on to a plugin copies it once, to where the plugin wants it.
#[derive(Clone, Debug)]
pub struct State {
    committed: BTreeMap<String, Arc<Vec<u8>>>,
    staged: BTreeMap<String, Option<Arc<Vec<u8>>>>,
    /// Bytes of the plugin's keys and values, staged writes included. The host's are not the plugin's to be limited.
    bytes: usize,
    limits: StateLimits,
}

fn bytes_of(entries: &BTreeMap<String, Arc<Vec<u8>>>) -> usize {
    entries.iter().filter(|(key, _)| !is_hosts(key)).map(|(key, value)| key.len() + value.len()).sum()
}

impl State {
    /// With what was remembered before.
    pub fn new(limits: StateLimits, remembered: BTreeMap<String, Vec<u8>>) -> State {
        let committed = remembered.into_iter().map(|(key, value)| (key, Arc::new(value))).collect();
        State { bytes: bytes_of(&committed), committed, staged: BTreeMap::new(), limits }
    }

    /// The value of a key of the plugin's, staged writes included.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.shared(key).map(|value| value.as_slice())
    }

    /// As [`State::get`], to be kept without a copy.
    pub fn shared(&self, key: &str) -> Option<&Arc<Vec<u8>>> {
        if is_hosts(key) { None } else { self.read(key) }
    }

    fn read(&self, key: &str) -> Option<&Arc<Vec<u8>>> {
        match self.staged.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.committed.get(key),
        }
    }

    /// The version of the layout in which what is remembered was written; absent while nothing is.
    pub fn version(&self) -> Option<u32> {
        self.read(VERSION_KEY).and_then(|noted| noted.first_chunk().copied()).map(u32::from_le_bytes)
    }

    /// Lends it for one call. What another owner remembered is no use to this one and would take its room: it is staged to
    /// be deleted. What is remembered after the call is signed; a call that fails leaves everything as it was.
    ///
    /// # Errors
    /// Those of the call.
    pub fn lend<T, E>(&mut self, owner: &Owner, call: impl FnOnce(&mut State) -> Result<T, E>) -> Result<T, E> {
        self.hand_to(owner);
        let result = call(self);
        match result {
            Ok(_) => self.sign(owner),
            Err(_) => self.rollback(),
        }
        result
    }

    fn hand_to(&mut self, owner: &Owner) {
        let noted = self.read(VERSION_KEY).and_then(|noted| noted.get(4..)).unwrap_or_default();
        if noted.is_empty() || owner.is(noted) {
            return;
        }
        self.staged = self.committed.keys().map(|key| (key.clone(), None)).collect();
        self.bytes = 0;
    }

    /// Notes the owner, if anything is remembered.
    fn sign(&mut self, owner: &Owner) {
        let signature = [&owner.version.to_le_bytes()[..], owner.name.as_bytes()].concat();
        let is_signed = self.read(VERSION_KEY).is_some_and(|noted| **noted == signature);
        if !is_signed && self.entries().next().is_some() {
            self.staged.insert(VERSION_KEY.to_owned(), Some(Arc::new(signature)));
        }
    }

    /// How much may be remembered.
    pub fn limits(&self) -> StateLimits {
        self.limits
    }

    /// Replaces the limits. What is remembered beyond them stays, and only what does not add to it is written.
    pub fn set_limits(&mut self, limits: StateLimits) {
        self.limits = limits;
    }

    /// Stages a write.
    ///
    /// # Errors
    /// If a limit would be passed; the state stays as it was.
    pub fn set(&mut self, key: &str, value: Vec<u8>) -> Result<(), StateError> {
        let check = |what, bytes, limit| if bytes > limit { Err(StateError { what, bytes, limit }) } else { Ok(()) };
        if is_hosts(key) {
            return Err(StateError { what: "this key, which is the host's,", bytes: key.len(), limit: 0 });
        }
        check("key", key.len(), self.limits.key_bytes_max)?;
        check("value", value.len(), self.limits.value_bytes_max)?;
        let replaced = self.get(key).map_or(0, |old| key.len() + old.len());
        let total = self.bytes - replaced + key.len() + value.len();
        // A state that is already larger than a limit that was lowered may shrink.
        check("the whole state", total, self.limits.total_bytes_max.max(self.bytes))?;
        self.bytes = total;
        self.staged.insert(key.to_owned(), Some(Arc::new(value)));
        Ok(())
    }

    /// Stages a deletion.
    pub fn delete(&mut self, key: &str) {
        if is_hosts(key) {
            return;
        }
        self.bytes -= self.get(key).map_or(0, |old| key.len() + old.len());
        // A key that is not kept is not noted either: a plugin may name as many of them as it likes, and as long ones.
        if self.committed.contains_key(key) {
            self.staged.insert(key.to_owned(), None);
        } else {
            self.staged.remove(key);
        }
    }

    /// Bytes of the plugin's keys and values, staged writes included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of the plugin's keys with their values, staged writes included; committed ones first, each in the order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let kept = self.committed.iter().filter(|(key, _)| !self.staged.contains_key(*key));
        let staged = self.staged.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let own = kept.chain(staged).filter(|(key, _)| !is_hosts(key));
        own.map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// What was there before anything was staged.
    pub fn committed(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.committed.iter().map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// The plugin's staged writes in the order of the keys.
    pub fn staged(&self) -> Vec<StateWrite> {
        let own = self.staged.iter().filter(|(key, _)| !is_hosts(key));
        own.map(|(key, value)| StateWrite { key: key.clone(), value: value.clone() }).collect()
    }

    /// Makes the staged writes part of the state and returns them, so that they can be made durable.
    pub fn commit(&mut self) -> Vec<StateWrite> {
        let staged = std::mem::take(&mut self.staged);
        let mut writes = Vec::with_capacity(staged.len());
        for (key, value) in staged {
            let value = match value {
                Some(value) => {
                    match self.committed.get_mut(&key) {
                        Some(kept) if *kept == value => continue,
                        Some(kept) => *kept = Arc::clone(&value),
                        None => drop(self.committed.insert(key.clone(), Arc::clone(&value))),
                    }
                    Some(value)
                }
                None if self.committed.remove(&key).is_none() => continue,
                None => None,
            };
            writes.push(StateWrite { key, value });
        }
        writes
    }

    /// Whether nothing is remembered and nothing staged.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.staged.is_empty()
    }

    /// Since when no rule needs it, in milliseconds since 1970; absent while one does.
    pub fn unused_since(&self) -> Option<i64> {
        self.committed.get(UNUSED_KEY).and_then(|bytes| bytes.as_slice().try_into().ok()).map(i64::from_le_bytes)
    }

    /// Notes since when no rule needs it, or that one does; answers what is to be made durable.
    pub fn set_unused_since(&mut self, since: Option<i64>) -> Vec<StateWrite> {
        self.rollback();
        if self.unused_since() == since {
            return Vec::new();
        }
        let value = since.map(|since| Arc::new(since.to_le_bytes().to_vec()));
        match &value {
            Some(value) => drop(self.committed.insert(UNUSED_KEY.to_owned(), Arc::clone(value))),
            None => drop(self.committed.remove(UNUSED_KEY)),
        }
        vec![StateWrite { key: UNUSED_KEY.to_owned(), value }]
    }

    /// All that is remembered but for what is staged, to be made durable in another place.
    pub fn writes(&self) -> Vec<StateWrite> {
        let write =
            |(key, value): (&String, &Arc<Vec<u8>>)| StateWrite { key: key.clone(), value: Some(value.clone()) };
        self.committed.iter().map(write).collect()
    }

    /// Forgets everything; answers what is to be made durable.
    pub fn clear(&mut self) -> Vec<StateWrite> {
        self.staged.clear();
        self.bytes = 0;
        std::mem::take(&mut self.committed).into_keys().map(|key| StateWrite { key, value: None }).collect()
    }

    /// Forgets the staged writes.
    pub fn rollback(&mut self) {
        if !self.staged.is_empty() {
            self.staged.clear();
            self.bytes = bytes_of(&self.committed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> State {
        let limits = StateLimits { key_bytes_max: 4, value_bytes_max: 8, total_bytes_max: 20 };
        State::new(limits, BTreeMap::new())
    }

    #[test]
    fn writes_count_only_after_a_commit() {
        let mut state = small();
        state.set("a", vec![1]).unwrap();
        assert_eq!(state.get("a"), Some(&[1][..]));
        state.rollback();
        assert_eq!(state.get("a"), None);
        state.set("a", vec![2]).unwrap();
        assert_eq!(state.commit(), [StateWrite { key: "a".into(), value: Some(Arc::new(vec![2])) }]);
        state.delete("a");
        assert_eq!(state.get("a"), None);
        state.rollback();
        assert_eq!(state.get("a"), Some(&[2][..]));
    }

    #[test]
    fn every_limit_holds_and_a_refused_write_changes_nothing() {
        let mut state = small();
        assert_eq!(state.set("abcde", vec![]).unwrap_err().what, "key");
        assert_eq!(state.set("a", vec![0; 9]).unwrap_err().what, "value");
        state.set("a", vec![0; 8]).unwrap();
        state.set("b", vec![0; 8]).unwrap();
        assert_eq!(state.set("c", vec![0; 8]).unwrap_err().what, "the whole state");
        state.set("a", vec![]).unwrap();
        state.set("c", vec![0; 8]).unwrap();
        assert_eq!(state.bytes(), 1 + 9 + 9);
    }

    /// What the host notes in it takes none of the plugin's room, neither in this call nor in the next.
    #[test]
    fn a_full_state_can_be_rewritten_in_every_call() {
        let mut state = small();
        for call in 0..3 {
            let rewrite = |state: &mut State| {
                for key in ["a", "b"] {
                    state.delete(key);
                    state.set(key, vec![call; 8])?;
                }
                state.set("c", vec![call; 1])
            };
            state.lend(&Owner::new(None, "p", u32::from(call)), rewrite).unwrap();
            state.commit();
            state.set_unused_since(Some(1));
            state.set_unused_since(None);
            assert_eq!(state.bytes(), 20, "{call}");
        }
    }

    /// What a call does that stages what it is told to.
    fn writing(key: &'static str, value: Option<u8>) -> impl FnOnce(&mut State) -> Result<(), StateError> {
        move |state| value.map_or(Ok(()), |value| state.set(key, vec![value]))
    }

    #[test]
    fn the_version_of_the_layout_is_kept_with_what_it_is_about() {
        let mut state = State::new(StateLimits::STANDARD, BTreeMap::new());
        let owner = |version| Owner::new(None, "p", version);
        state.lend(&owner(1), writing("a", None)).unwrap();
        assert_eq!((state.version(), state.commit()), (None, vec![]));
        state.lend(&owner(1), writing("a", Some(1))).unwrap();
        assert_eq!((state.version(), state.commit().len()), (Some(1), 2));
        state.lend(&owner(2), writing("a", None)).unwrap();
        state.rollback();
        assert_eq!(state.version(), Some(1));
        assert!(state.set(VERSION_KEY, vec![0; 4]).is_err());
        state.delete(VERSION_KEY);
        assert_eq!((state.get(VERSION_KEY), state.version(), state.staged()), (None, Some(1), vec![]));
    }

    #[test]
    fn another_plugin_begins_with_nothing() {
        // As it was written before names were noted: whose it is is not known, and it stays.
        let old = BTreeMap::from([("a".to_owned(), vec![1]), (VERSION_KEY.to_owned(), vec![1, 0, 0, 0])]);
        let mut state = State::new(StateLimits::STANDARD, old);
        for (number, (plugin, part, finds, noted)) in (2_u8..).zip([
            (None, "above", Some(1), "above"),
            // The name of a part alone was noted before the plugin's was: it is taken once.
            (Some("p"), "above", Some(2), "p/above"),
            (Some("p"), "above", Some(3), "p/above"),
            (Some("q"), "above", None, "q/above"),
            (Some("q"), "below", None, "q/below"),
            (None, "below", None, "below"),
            (Some("below"), "below", Some(7), "below/below"),
            (Some("q"), "below", None, "q/below"),
        ]) {
            let owner = Owner::new(plugin, part, 1);
            let before: Vec<_> = state.committed().map(|(key, value)| (key.to_owned(), value.to_vec())).collect();
            let failed = state.lend(&owner, |state| {
                let found = state.get("a").map(|value| value[0]);
                assert_eq!((found, state.bytes()), (finds, finds.map_or(0, |_| 2)), "{owner:?}");
                state.set("b", vec![])?;
                state.set("", vec![0; 1 << 20])
            });
            assert!(failed.is_err());
            // A call that fails leaves everything as it was.
            let after: Vec<_> = state.committed().map(|(key, value)| (key.to_owned(), value.to_vec())).collect();
            assert_eq!((after, state.commit()), (before, vec![]));
            state.lend(&owner, writing("a", Some(number))).unwrap();
            state.commit();
            // What is durable is what is in force.
            let signature = [&[1, 0, 0, 0], noted.as_bytes()].concat();
            let kept: Vec<_> = state.committed().collect();
            assert_eq!(kept, [("a", &[number][..]), (VERSION_KEY, &signature)]);
        }
        // One that remembers nothing leaves nothing.
        state.lend(&Owner::new(Some("r"), "above", 1), writing("a", None)).unwrap();
        assert_eq!((state.commit().len(), state.is_empty()), (2, true));
    }

    #[test]
    fn what_is_not_there_is_not_deleted() {
        let mut state = small();
        state.delete(&"x".repeat(1_000));
        state.set("a", vec![1]).unwrap();
        state.delete("a");
        assert_eq!((state.staged(), state.bytes()), (vec![], 0));
    }

    #[test]
    fn a_write_that_changes_nothing_is_not_reported() {
        let mut state = small();
        state.set("a", vec![1]).unwrap();
        state.commit();
        state.set("a", vec![1]).unwrap();
        state.delete("zz");
        assert_eq!(state.commit(), []);
        state.set("b", vec![]).unwrap();
        assert_eq!(state.commit(), [StateWrite { key: "b".into(), value: Some(Arc::default()) }]);
    }
}
