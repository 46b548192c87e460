//! Samples and the staleness marker.

use crate::Timestamp;

/// The value that ends a series: a NaN with a payload of its own (prometheus `model/value/value.go`).
pub const STALE_NAN: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// One value of a series at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub timestamp: Timestamp,
    /// What; an ordinary NaN is a value, [`STALE_NAN`] is the end of the series.
    pub value: f64,
}

/// Whether `value` is the staleness marker, which compares bits because every NaN is unequal to itself.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN.to_bits()
}

impl PartialEq for Sample {
    /// Bit equality, so that NaN equals NaN and the staleness marker differs from it.
    fn eq(&self, other: &Sample) -> bool {
        self.timestamp == other.timestamp && self.value.to_bits() == other.value.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_nan_is_not_stale() {
        assert!(is_stale(STALE_NAN));
        assert!(STALE_NAN.is_nan());
        assert!(!is_stale(f64::NAN));
    }
}
