//! What a condition looks at, in columns.

use std::sync::Arc;

use watchfire_model::{Event, Labels, Timestamp};

/// The series of one evaluation: labels by series, samples in columns.
///
/// Series `i` owns the rows `offsets[i]..offsets[i + 1]` of `timestamps` and `values`; `offsets` has one entry more
/// than `series`. For an expression each series has one row; for event windows the rows are the events of the group,
/// oldest first, and `events` holds them in the same order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The time of the evaluation.
    pub at: Timestamp,
    /// Label sets, one per series.
    pub series: Vec<Labels>,
    /// Their fingerprints, in a column of their own: label sets lie all over the memory. Shared, as the values are, so
    /// that whoever hands a column on to a plugin copies it once, to where the plugin wants it.
    pub ids: Arc<Vec<u64>>,
    /// Row offsets, `series.len() + 1` of them, the first being 0.
    pub offsets: Vec<u32>,
    /// Milliseconds since the epoch, one per row.
    pub timestamps: Vec<i64>,
    /// Values, one per row; for events the number of the row's field that the rule names, else 1.
    pub values: Arc<Vec<f64>>,
    /// The events of the rows; empty where the batch comes from an expression.
    pub events: Vec<Event>,
}

impl Batch {
    /// Series with their rows, at a time. Of events only the rows are there; the events are for the caller to add.
    pub fn new<R>(at: Timestamp, series: impl IntoIterator<Item = (Labels, R)>) -> Batch
    where
        R: IntoIterator<Item = (Timestamp, f64)>,
    {
        let mut batch = Batch::empty(at);
        let (mut ids, mut values) = (Vec::new(), Vec::new());
        for (labels, rows) in series {
            ids.push(labels.fingerprint().0);
            batch.series.push(labels);
            for (timestamp, value) in rows {
                batch.timestamps.push(timestamp.as_millis());
                values.push(value);
            }
            batch.offsets.push(u32::try_from(values.len()).unwrap_or(u32::MAX));
        }
        (batch.ids, batch.values) = (Arc::new(ids), Arc::new(values));
        batch
    }

    /// Without series.
    pub fn empty(at: Timestamp) -> Batch {
        Batch { at, offsets: vec![0], ..Batch::default() }
    }

    /// The rows of series `index` as a range into the columns.
    #[inline]
    pub fn rows(&self, index: usize) -> std::ops::Range<usize> {
        self.offsets[index] as usize..self.offsets[index + 1] as usize
    }

    /// The newest value of series `index`, if it has a row.
    #[inline]
    pub fn last(&self, index: usize) -> Option<f64> {
        self.values[self.rows(index)].last().copied()
    }
}
