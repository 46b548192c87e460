//! Wire formats in, values of the model out: remote-write, OTLP, text exposition, answers to queries, events, alerts.
//!
//! Every decoder is a pure function from bytes to values: no clock, no I/O, no state that one request leaves to the
//! next. Each is bounded by [`Limits`], keeps the good part of a batch where the protocol allows it, and names the
//! offending item and the reason for the rest. The crate is not an HTTP server: whoever has one passes headers as
//! texts and turns a [`DecodeError`] into a status with [`DecodeError::status`].

mod error;
mod json;
mod key;
mod labels;
mod limits;
mod series;
#[cfg(test)]
mod test_data;
mod time;
mod wire;

pub mod alerts;
pub mod events;
pub mod otlp;
pub mod query;
pub mod remote_read;
pub mod remote_write;
pub mod text;

pub use error::{DecodeError, DecodeErrorKind, Item, Rejection, Rejections};
pub use key::{KeySeed, SeriesKey};
pub use limits::{LabelNames, Limits, UnsortedLabels};
pub use series::{Decoded, Metadata, MetadataRef, MetricKind, SeriesRef, Sink};
pub use time::parse_time;
