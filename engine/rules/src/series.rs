//! The series that an evaluation reads.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use watchfire_tsdb::Tsdb;

/// The series, held for the whole evaluation or for each query alone.
#[derive(Clone, Copy)]
pub enum Series<'a> {
    /// Nothing is written while the evaluation runs.
    Held(&'a Tsdb),
    /// Locked for each query, so that a condition that computes in between holds up nobody who writes.
    Shared(&'a RwLock<Tsdb>),
}

impl Series<'_> {
    /// Lets `look` see the series; nothing is written meanwhile.
    pub(crate) fn read<R>(self, look: impl FnOnce(&Tsdb) -> R) -> R {
        match self {
            Series::Held(db) => look(db),
            Series::Shared(lock) => look(&lock.read().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl<'a> From<&'a Tsdb> for Series<'a> {
    fn from(db: &'a Tsdb) -> Series<'a> {
        Series::Held(db)
    }
}

impl fmt::Debug for Series<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Series")
    }
}
