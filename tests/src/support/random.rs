//! Random numbers from a printed seed.

use super::variable;

/// xorshift64*: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    /// From `WATCHFIRE_SEED` if it is set, else from the time; either way the seed is printed.
    pub(crate) fn seeded(what: &str) -> Random {
        let seed = variable("WATCHFIRE_SEED").and_then(|text| text.parse().ok()).unwrap_or_else(Random::fresh);
        println!("{what}: WATCHFIRE_SEED={seed}");
        Random::spread(seed)
    }

    /// From `WATCHFIRE_SEED` if it is set, else always the same: for runs that compare with another program, where a fresh
    /// seed would make a change fail for what it did not do.
    pub(crate) fn repeated(what: &str) -> Random {
        let seed = variable("WATCHFIRE_SEED").and_then(|text| text.parse().ok()).unwrap_or(1);
        println!("{what}: WATCHFIRE_SEED={seed}");
        Random::spread(seed)
    }

    /// Neighbouring seeds differ, and none is zero.
    fn spread(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    #[expect(clippy::disallowed_methods, reason = "a fresh seed must differ from run to run; it is printed")]
    fn fresh() -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos() & u128::from(u64::MAX >> 1)).unwrap_or(1)
    }

    /// A number below `bound`, which must not be zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}
