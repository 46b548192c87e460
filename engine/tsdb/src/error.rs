//! Why a sample is refused.

use thiserror::Error;
use watchfire_model::Timestamp;

/// A limit of [`Settings`](crate::Settings).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Limit {
    /// `series_max`
    #[error("the store is full (series_max = {0})")]
    Series(usize),
    /// `bytes_max`
    #[error("the store is full (bytes_max = {0})")]
    Bytes(usize),
    /// `tenants.series_max`
    #[error("its tenant has no room for another series (tenant.series_max = {0})")]
    Tenant(usize),
}

/// Why a sample is refused. The texts of the first two are Prometheus', because senders' dashboards know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The series has a newer sample, and this one is older than the out-of-order window allows.
    #[error("out of order sample: {timestamp} is before the series' newest sample at {newest}")]
    OutOfOrder {
        /// The refused sample's time.
        timestamp: Timestamp,
        /// The time of the series' newest sample.
        newest: Timestamp,
    },
    /// The series has a sample with another value at this time.
    #[error("duplicate sample for timestamp: another value is stored at {timestamp}")]
    DuplicateTimestamp {
        /// The time of both.
        timestamp: Timestamp,
    },
    /// There is no room.
    #[error("{limit}; raise the limit or send fewer series")]
    Limit {
        /// Which limit was reached.
        limit: Limit,
    },
    /// The id names a series that was removed.
    #[error("the series was removed; append by its labels")]
    UnknownSeries,
}
