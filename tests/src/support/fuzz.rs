//! How long a run over generated input lasts: a fixed number of pieces, or `WATCHFIRE_FUZZ_MINUTES`.

use std::time::{Duration, Instant};

use super::{Random, variable};

/// A run that has begun.
pub(crate) struct Fuzz {
    minutes: Option<u64>,
    begin: Instant,
}

impl Fuzz {
    /// Begins, with random numbers that are new for a run that lasts minutes, and else always the same.
    #[expect(clippy::disallowed_methods, reason = "a run that lasts minutes has to know how many have passed")]
    pub(crate) fn begin(what: &str) -> (Fuzz, Random) {
        let minutes = variable("WATCHFIRE_FUZZ_MINUTES").and_then(|text| text.parse().ok());
        let random = if minutes.is_some() { Random::seeded(what) } else { Random::repeated(what) };
        (Fuzz { minutes, begin: Instant::now() }, random)
    }

    /// Whether it has done enough; `bounded` pieces are, unless it was asked to last.
    pub(crate) fn is_over(&self, done: u64, bounded: u64) -> bool {
        match self.minutes {
            Some(minutes) => self.begin.elapsed() > Duration::from_secs(60 * minutes),
            None => done >= bounded,
        }
    }
}
