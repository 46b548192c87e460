//! Keys by which a series that was seen before is recognised without reading its labels.

use std::hash::{Hash, Hasher};

/// A 128-bit hash of a label set as one wire format spells it.
///
/// Equal keys mean equal labels: the hash has 128 bits and a secret seed. The reverse does not hold; the same labels
/// have different keys in remote-write 1.0 and 2.0, or with labels in another order. A table from keys to series is
/// therefore a cache in front of the lookup by labels, and every key of a series leads to that series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey(pub u128);

impl Hash for SeriesKey {
    /// The low half: the key is a hash already, so a table may use a hasher that hands this through.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0 as u64);
    }
}

/// The secret of [`SeriesKey`]s. With the same secret come the same keys, in every process.
///
/// Senders who do not know it cannot make two label sets with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySeed([u64; 4]);

impl KeySeed {
    /// From any number; the runtime draws one per process, tests pass a constant.
    pub fn new(seed: u64) -> KeySeed {
        let mut state = seed;
        // SplitMix64, the usual way to stretch one word into several independent ones.
        KeySeed([(); 4].map(|()| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    /// Two independent lanes of multiply-and-fold over 16 bytes at a time.
    #[inline]
    pub(crate) fn hash(&self, bytes: &[u8]) -> SeriesKey {
        let [s0, s1, s2, s3] = self.0;
        let (mut a, mut b) = (s0, s1);
        let mut chunks = bytes.chunks_exact(16);
        for chunk in &mut chunks {
            let (x, y) = halves(chunk);
            a = fold(x ^ a, y ^ s2);
            b = fold(y ^ b, x ^ s3);
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut padded = [0; 16];
            padded[..rest.len()].copy_from_slice(rest);
            let (x, y) = halves(&padded);
            a = fold(x ^ a, y ^ s2);
            b = fold(y ^ b, x ^ s3);
        }
        let length = bytes.len() as u64;
        join(fold(a ^ s1, length ^ s3), fold(b ^ s0, length ^ s2))
    }

    /// The key of what had the keys `so_far` and `next` after one another; not commutative.
    #[inline]
    pub(crate) fn chain(&self, so_far: SeriesKey, next: SeriesKey) -> SeriesKey {
        let [s0, s1, s2, s3] = self.0;
        let (a, b) = (so_far.0 as u64, (so_far.0 >> 64) as u64);
        let (x, y) = (next.0 as u64, (next.0 >> 64) as u64);
        join(fold(a.rotate_left(23) ^ x ^ s0, y ^ s2), fold(b.rotate_left(41) ^ y ^ s1, x ^ s3))
    }

    /// Where a [`chain`](KeySeed::chain) starts; unlike every hash of bytes.
    #[inline]
    pub(crate) fn chain_start(&self) -> SeriesKey {
        join(self.0[2], self.0[3])
    }
}

#[inline]
fn halves(chunk: &[u8]) -> (u64, u64) {
    let word = |part: &[u8]| part.try_into().map(u64::from_le_bytes).unwrap_or_default();
    (word(&chunk[..8]), word(&chunk[8..16]))
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn join(low: u64, high: u64) -> SeriesKey {
    SeriesKey(u128::from(low) | (u128::from(high) << 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn different_texts_have_different_keys_in_both_halves() {
        let seed = KeySeed::new(7);
        let mut low = BTreeSet::new();
        let mut high = BTreeSet::new();
        let mut count = 0;
        for length in [0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 64] {
            for i in 0..2_000_u32 {
                let mut bytes = vec![b'a'; length];
                for (byte, digit) in bytes.iter_mut().rev().zip(i.to_string().bytes()) {
                    *byte = digit;
                }
                let SeriesKey(key) = seed.hash(&bytes);
                low.insert(key as u64);
                high.insert((key >> 64) as u64);
                count += 1;
            }
        }
        // Short texts cannot hold all numbers, so equal texts are counted once by building the same set of texts.
        assert!(count > low.len());
        assert_eq!(low.len(), high.len());
        let texts: BTreeSet<Vec<u8>> = [0_usize, 1, 7, 8, 15, 16, 17, 31, 32, 33, 64]
            .into_iter()
            .flat_map(|length| {
                (0..2_000_u32).map(move |i| {
                    let mut bytes = vec![b'a'; length];
                    for (byte, digit) in bytes.iter_mut().rev().zip(i.to_string().bytes()) {
                        *byte = digit;
                    }
                    bytes
                })
            })
            .collect();
        assert_eq!(low.len(), texts.len());
    }

    #[test]
    fn zero_bytes_at_the_end_count() {
        let seed = KeySeed::new(0);
        let keys: BTreeSet<SeriesKey> = (0..100).map(|n| seed.hash(&vec![0; n])).collect();
        assert_eq!(keys.len(), 100);
    }

    #[test]
    fn a_chain_depends_on_order_and_seed() {
        let (seed, other) = (KeySeed::new(1), KeySeed::new(2));
        let (a, b) = (seed.hash(b"a"), seed.hash(b"b"));
        let chain = |x, y| seed.chain(seed.chain(seed.chain_start(), x), y);
        assert_ne!(chain(a, b), chain(b, a));
        assert_ne!(chain(a, a), chain(b, b));
        assert_ne!(seed.hash(b"a"), other.hash(b"a"));
    }
}
