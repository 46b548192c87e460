//! What outlives the process: the [`log`] of accepted input, and the [`Store`] of what the engine decided.
//!
//! The log holds what was acknowledged and is read again after a crash; the store holds the records of `alerting`,
//! committed before anything that follows from them leaves the process. This is the only crate that knows a database
//! and the only one that knows how a record is serialised. It decides nothing: it has no opinion on what a record means.

mod database;
pub mod log;
mod texts;
mod twin;

pub use database::{Database, Durability, Quarantined, Requests, Restored, Store, StoreError, StoreSettings, Watch};
pub use texts::{Texts, Versions};
