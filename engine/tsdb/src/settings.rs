//! Limits of a store and what it counts.

use watchfire_model::Duration;

/// The limits of a store. Every one of them has a counter in [`Stats`] that says how often it was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many series may live at once; a sample of a further one is refused.
    pub series_max: usize,
    /// How many samples one series keeps; the oldest ones make room, because an alert is decided by the newest.
    pub samples_per_series_max: usize,
    /// How many bytes all series with their index may take, by the store's own account; growth past it is refused.
    pub bytes_max: usize,
    /// How far behind a series' newest sample another one may arrive; zero refuses every sample that is out of order.
    pub out_of_order_window: Duration,
    /// What one of several users may take.
    pub tenants: Option<Tenants>,
}

/// What one of several users of a store may take; whose a series is, a label of it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants {
    /// The label's name. Series without it have no limit of their own.
    pub label: String,
    /// How many series with one value of the label may live at once.
    pub series_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            series_max: 10_000_000,
            samples_per_series_max: 1_000_000,
            bytes_max: usize::MAX,
            out_of_order_window: Duration::ZERO,
            tenants: None,
        }
    }
}

/// What a store holds and what has happened to it; the counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series that live now.
    pub series: usize,
    /// Samples that are held now, staleness markers included.
    pub samples: usize,
    /// Bytes that series, samples and index take now, by the store's own account.
    pub bytes: usize,
    /// Series that were created.
    pub series_created: u64,
    /// Series that were removed because no sample of theirs was left.
    pub series_removed: u64,
    /// Samples that were accepted.
    pub samples_appended: u64,
    /// Samples that were refused because a newer one was there.
    pub samples_out_of_order: u64,
    /// Samples that were refused because another value was there at the same time.
    pub samples_duplicate: u64,
    /// Samples that were refused by a limit.
    pub samples_over_limit: u64,
    /// Old samples that were given up early because their series was full.
    pub samples_shed: u64,
}
