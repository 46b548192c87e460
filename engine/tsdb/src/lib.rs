//! The bounded in-memory store of series: append, select by matchers, read windows.
//!
//! A series' samples lie in columns of fixed width (see `chunk`), so that the sample at a position and the window
//! between two times are found by arithmetic, and a typical series costs a few hundred bytes. Reading takes `&Tsdb` and
//! may happen from many threads at once; writing takes `&mut Tsdb`.
//!
//! It has no clock, no files and no locks: what survives a restart is the log's business, what is kept how long is said
//! by whoever knows the rules.

mod chunk;
mod error;
mod histogram;
mod index;
mod point;
mod series;
mod settings;
mod slots;
mod store;

pub use error::{AppendError, Limit};
pub use histogram::{
    Bucket, BucketCount, CUSTOM_BUCKETS_SCHEMA, CombineNotes, CounterResetHint, EXPONENTIAL_SCHEMA_MAX, Histogram,
    HistogramError, HistogramSum, is_custom_schema, is_exponential_schema, is_finer_schema,
};
pub use point::{Point, SampleValue, SamplesRef};
pub use series::{Assembled, SeriesId, SeriesView, Window};
pub use settings::{Settings, Stats, Tenants};
pub use store::{Created, Cursor, Newest, Truncated, Tsdb};
