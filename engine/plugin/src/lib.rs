//! The three kinds of plugin as Rust traits: condition, router, formatter.
//!
//! This is the plugin contract of `sdk/wit` said in Rust. The host implements these traits for WebAssembly components,
//! built-ins and embedders implement them natively, and nobody who calls them can tell which it is. The crate holds no
//! host: it knows neither WebAssembly nor where state is kept, and does no I/O.

mod batch;
mod condition;
mod error;
mod formatter;
mod limits;
mod provider;
mod router;
mod stand_in;
mod state;
mod usage;

pub use batch::Batch;
pub use condition::{Condition, Failing, Finding, Outcome, ask};
pub use error::PluginError;
pub use formatter::{Formatter, Message, MessageGroup, Method, Target};
pub use limits::Limits;
pub use provider::{Descriptor, Kind, Provider};
pub use router::{AlertView, Decision, Router};
pub use stand_in::{StandIns, stand_in};
pub use state::{Owner, State, StateError, StateLimits, StateWrite};
pub use usage::PluginUse;
