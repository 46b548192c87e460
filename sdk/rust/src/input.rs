//! What a condition looks at.

#[cfg(target_family = "wasm")]
use crate::guest::input as host;
use crate::testing::Batch;

/// The code of a series without the label, in [`Input::label_column`].
pub const ABSENT: u32 = u32::MAX;

/// The batch of one evaluation: series with rows, in columns.
///
/// Series are numbered from 0; series `i` owns the rows `offsets[i]..offsets[i + 1]`. Over an expression every series
/// has exactly one row, so that [`Input::latest`] is all there is. Every method asks the host: keep what it gives.
#[derive(Debug)]
pub struct Input(Source);

#[derive(Debug)]
enum Source {
    #[cfg(target_family = "wasm")]
    Host,
    Test(Batch),
}

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The id at its source; may be empty.
    pub id: String,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: i64,
    /// What kind of event it is.
    pub kind: String,
    /// The unstructured part; may be empty.
    pub body: String,
    /// Everything structured, as text, sorted by name.
    pub fields: Vec<(String, String)>,
}

/// Asks the host in a guest, the test's batch elsewhere.
macro_rules! ask {
    ($self:ident, $host:expr, $batch:ident => $test:expr) => {
        match &$self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host => $host,
            Source::Test($batch) => $test,
        }
    };
}

impl Input {
    #[cfg(target_family = "wasm")]
    pub(crate) fn from_host() -> Input {
        Input(Source::Host)
    }

    pub(crate) fn from_test(batch: Batch) -> Input {
        Input(Source::Test(batch))
    }

    /// The time of the evaluation in milliseconds since 1970. There is no other clock.
    pub fn eval_time_ms(&self) -> i64 {
        ask!(self, host::eval_time_ms(), batch => batch.at_ms)
    }

    /// The number of series.
    pub fn series_count(&self) -> u32 {
        ask!(self, host::series_count(), batch => batch.count())
    }

    /// The newest value of each series; NaN where a series has no row.
    pub fn latest(&self) -> Vec<f64> {
        ask!(self, host::latest(), batch => batch.latest())
    }

    /// The stable id of each series, a hash of its labels: the key for what is remembered per series.
    pub fn series_ids(&self) -> Vec<u64> {
        ask!(self, host::series_ids(), batch => batch.ids())
    }

    /// Where each series' rows begin, and at last the number of rows.
    pub fn offsets(&self) -> Vec<u32> {
        ask!(self, host::offsets(), batch => batch.offsets.clone())
    }

    /// The time of each row in milliseconds since 1970.
    pub fn timestamps(&self) -> Vec<i64> {
        ask!(self, host::timestamps(), batch => batch.timestamps.clone())
    }

    /// The value of each row.
    pub fn values(&self) -> Vec<f64> {
        ask!(self, host::values(), batch => batch.values.clone())
    }

    /// The value of one label of one series.
    pub fn label(&self, series: u32, name: &str) -> Option<String> {
        ask!(self, host::label(series, name), batch => batch.label(series, name).map(str::to_owned))
    }

    /// All labels of one series, sorted by name.
    pub fn labels(&self, series: u32) -> Vec<(String, String)> {
        ask!(self, host::labels(series), batch => batch.labels(series).to_vec())
    }

    /// One label of all series: the distinct values, and for each series the index of its value or [`ABSENT`].
    pub fn label_column(&self, name: &str) -> (Vec<String>, Vec<u32>) {
        ask!(self, host::label_column(name), batch => batch.label_column(name))
    }

    /// The event of one row, or `None` over an expression.
    pub fn event_at(&self, row: u32) -> Option<Event> {
        ask!(self, host::event_at(row).map(crate::guest::event), batch => batch.events.get(row as usize).cloned())
    }

    /// One field of all events, as [`Input::label_column`].
    pub fn event_column(&self, name: &str) -> (Vec<String>, Vec<u32>) {
        ask!(self, host::event_column(name), batch => batch.event_column(name))
    }

    /// The bodies of all events.
    pub fn event_bodies(&self) -> Vec<String> {
        ask!(
            self,
            {
                let (offsets, bytes) = host::event_bodies();
                let text = |range: &[u32]| String::from_utf8_lossy(&bytes[range[0] as usize..range[1] as usize]).into_owned();
                offsets.windows(2).map(text).collect()
            },
            batch => batch.events.iter().map(|event| event.body.clone()).collect()
        )
    }
}
