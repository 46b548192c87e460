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

/// The key under which stands which version of the layout the other values have; no plugin may write it.
const VERSION_KEY: &str = "watchfire:state-version";

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
    /// Bytes of keys and values, staged writes included.
    bytes: usize,
    limits: StateLimits,
}

fn bytes_of(entries: &BTreeMap<String, Arc<Vec<u8>>>) -> usize {
    entries.iter().map(|(key, value)| key.len() + value.len()).sum()
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
        if key == VERSION_KEY { None } else { self.read(key) }
    }

    fn read(&self, key: &str) -> Option<&Arc<Vec<u8>>> {
        match self.staged.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.committed.get(key),
        }
    }

    /// The version of the layout in which what is remembered was written; absent while nothing is.
    pub fn version(&self) -> Option<u32> {
        self.read(VERSION_KEY).and_then(|bytes| bytes.as_slice().try_into().ok()).map(u32::from_le_bytes)
    }

    /// Notes the version of the layout, if anything is remembered.
    pub fn set_version(&mut self, version: u32) {
        let is_empty = self.committed.is_empty() && self.staged.values().all(Option::is_none);
        if !is_empty && self.version() != Some(version) {
            // Four bytes more are not the plugin's, so that its limits do not count.
            let replaced = self.read(VERSION_KEY).map_or(0, |old| VERSION_KEY.len() + old.len());
            self.bytes = self.bytes - replaced + VERSION_KEY.len() + 4;
            self.staged.insert(VERSION_KEY.to_owned(), Some(Arc::new(version.to_le_bytes().to_vec())));
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
        if key == VERSION_KEY {
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
        if key == VERSION_KEY {
            return;
        }
        self.bytes -= self.get(key).map_or(0, |old| key.len() + old.len());
        self.staged.insert(key.to_owned(), None);
    }

    /// Bytes of keys and values, staged writes included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of the plugin's keys with their values, staged writes included; committed ones first, each in the order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let kept = self.committed.iter().filter(|(key, _)| !self.staged.contains_key(*key));
        let staged = self.staged.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let own = kept.chain(staged).filter(|(key, _)| *key != VERSION_KEY);
        own.map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// What was there before anything was staged.
    pub fn committed(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.committed.iter().map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// The plugin's staged writes in the order of the keys.
    pub fn staged(&self) -> Vec<StateWrite> {
        let own = self.staged.iter().filter(|(key, _)| *key != VERSION_KEY);
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

    /// Forgets the staged writes.
    pub fn rollback(&mut self) {
        self.staged.clear();
        self.bytes = bytes_of(&self.committed);
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

    #[test]
    fn the_version_of_the_layout_is_kept_with_what_it_is_about() {
        let mut state = State::new(StateLimits::STANDARD, BTreeMap::new());
        state.set_version(1);
        assert_eq!((state.version(), state.commit()), (None, vec![]));
        state.set("a", vec![1]).unwrap();
        state.set_version(1);
        assert_eq!((state.version(), state.commit().len()), (Some(1), 2));
        state.set_version(2);
        state.rollback();
        assert_eq!(state.version(), Some(1));
        assert!(state.set(VERSION_KEY, vec![0; 4]).is_err());
        state.delete(VERSION_KEY);
        assert_eq!((state.get(VERSION_KEY), state.version(), state.staged()), (None, Some(1), vec![]));
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
