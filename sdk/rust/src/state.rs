//! What a condition remembers.

use crate::Error;
#[cfg(target_family = "wasm")]
use crate::guest::state as host;

/// Keys and bytes, one store per rule, durable across restarts, reloads and new versions of the plugin.
///
/// Writes count only if `evaluate` returns `Ok`. Bounded: 256 B per key, 64 KiB per value, 1 MiB per rule unless the
/// operator says otherwise. Few large values are much faster than many small ones; [`SeriesTable`](crate::SeriesTable)
/// packs one record per series.
#[derive(Debug, Default)]
pub struct State {
    #[cfg(not(target_family = "wasm"))]
    memory: std::collections::BTreeMap<String, Vec<u8>>,
    #[cfg(not(target_family = "wasm"))]
    version: u32,
}

impl State {
    /// An empty one, for tests. In a guest there is but the host's.
    pub fn in_memory() -> State {
        State::default()
    }

    /// One that another version of the plugin wrote, for tests.
    #[cfg(not(target_family = "wasm"))]
    pub fn in_memory_of_version(version: u32) -> State {
        State { version, ..State::default() }
    }

    /// The state version of whichever version of the plugin wrote what is remembered; this one's own where nothing is.
    pub fn version(&self) -> u32 {
        #[cfg(target_family = "wasm")]
        return host::version();
        #[cfg(not(target_family = "wasm"))]
        self.version
    }

    /// The value of a key, including what this call has written.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        #[cfg(target_family = "wasm")]
        return host::get(key);
        #[cfg(not(target_family = "wasm"))]
        self.memory.get(key).cloned()
    }

    /// Writes a value.
    ///
    /// # Errors
    /// [`Error::Internal`] where a limit would be passed.
    pub fn set(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        #[cfg(target_family = "wasm")]
        return host::set(key, value).map_err(Error::Internal);
        #[cfg(not(target_family = "wasm"))]
        {
            self.memory.insert(key.to_owned(), value.to_vec());
            Ok(())
        }
    }

    /// Removes a key; one that is not there is no mistake.
    pub fn delete(&mut self, key: &str) {
        #[cfg(target_family = "wasm")]
        host::delete(key);
        #[cfg(not(target_family = "wasm"))]
        self.memory.remove(key);
    }
}
