//! How much one body may hold.

/// Which label names are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelNames {
    /// Any text that is not empty, as Prometheus 3 does by default.
    #[default]
    Utf8,
    /// `[a-zA-Z_][a-zA-Z0-9_]*`, and `[a-zA-Z_:][a-zA-Z0-9_:]*` for metrics, as before.
    Legacy,
}

/// What happens to a series whose labels are not sorted, which the remote-write specification forbids to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnsortedLabels {
    /// The series is rejected with a reason.
    #[default]
    Reject,
    /// The labels are sorted here, as Prometheus' own receiver does.
    Sort,
}

/// Bounds of one body. The server's limit on the compressed bytes comes before these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression.
    pub body_bytes_max: usize,
    /// Samples (and native histograms) in one body.
    pub samples_max: usize,
    /// Buckets of one native histogram.
    pub histogram_buckets_max: usize,
    /// Labels of one series or alert.
    pub labels_max: usize,
    /// Bytes of the labels of one body, once for each series that has them: what one text stands for in many series.
    pub labels_bytes_max: usize,
    /// Bytes of one label name.
    pub label_name_bytes_max: usize,
    /// Bytes of one label value, or of one annotation.
    pub label_value_bytes_max: usize,
    /// Entries of a remote-write 2.0 symbols table.
    pub symbols_max: usize,
    /// Metadata entries in one body.
    pub metadata_max: usize,
    /// Events in one body.
    pub events_max: usize,
    /// Flattened fields of one event.
    pub event_fields_max: usize,
    /// Bytes of one event as it was sent.
    pub event_bytes_max: usize,
    /// Bytes of all events of one body, each field with its whole name.
    pub events_bytes_max: usize,
    /// Alerts in one body.
    pub alerts_max: usize,
    /// Bytes of one alert: labels, annotations and the address of what raised it.
    pub alert_bytes_max: usize,
    /// Rejected items that are described; the others are only counted.
    pub rejections_max: usize,
    /// Which label names are accepted.
    pub label_names: LabelNames,
    /// What happens to a series whose labels are not sorted.
    pub unsorted_labels: UnsortedLabels,
}

impl Limits {
    /// 32 MiB, a million samples, 10,000 buckets, 128 labels of 1 KiB and 16 KiB, 256 MiB of labels, 100,000 events of
    /// 256 fields and 256 KiB, 128 MiB of them, 100,000 alerts of 64 KiB.
    pub const STANDARD: Limits = Limits {
        body_bytes_max: 32 << 20,
        samples_max: 1_000_000,
        histogram_buckets_max: 10_000,
        labels_max: 128,
        labels_bytes_max: 256 << 20,
        label_name_bytes_max: 1 << 10,
        label_value_bytes_max: 16 << 10,
        symbols_max: 1_000_000,
        metadata_max: 100_000,
        events_max: 100_000,
        event_fields_max: 256,
        event_bytes_max: 256 << 10,
        events_bytes_max: 128 << 20,
        alerts_max: 100_000,
        alert_bytes_max: 64 << 10,
        rejections_max: 20,
        label_names: LabelNames::Utf8,
        unsorted_labels: UnsortedLabels::Reject,
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::STANDARD
    }
}
