//! Write Watchfire plugins in Rust.
//!
//! A plugin is a type that implements [`Condition`], [`Router`] or [`Formatter`], and one [`export!`]:
//!
//! ```
//! use serde::Deserialize;
//! use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, Severity, State};
//!
//! /// Fires for every series above a limit.
//! struct Above {
//!     limit: f64,
//! }
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     limit: f64,
//! }
//!
//! impl Condition for Above {
//!     type Config = Config;
//!     const DESCRIPTOR: Descriptor = Descriptor::new("Fires for every series above a limit.");
//!
//!     fn open(config: Config) -> Result<Above, Error> {
//!         Ok(Above { limit: config.limit })
//!     }
//!
//!     fn evaluate(&mut self, input: &Input, _state: &mut State) -> Result<Outcome, Error> {
//!         let mut outcome = Outcome::default();
//!         for (series, value) in (0..).zip(input.latest()) {
//!             if value > self.limit {
//!                 let summary = format!("{value} is above {}", self.limit);
//!                 outcome.findings.push(Finding { series, severity: Severity::Warning, value, summary });
//!             }
//!         }
//!         Ok(outcome)
//!     }
//! }
//!
//! watchfire_sdk::export! { condition: "above" => Above }
//!
//! // And a test, which needs neither WebAssembly nor a host:
//! # fn main() {
//! let input = watchfire_sdk::testing::InputBuilder::at(0).series(&[("job", "api")], 7.0).build();
//! let mut above: Above = watchfire_sdk::testing::open_condition(r#"{"limit": 5}"#).unwrap();
//! let outcome = above.evaluate(&input, &mut State::in_memory()).unwrap();
//! assert_eq!(outcome.findings[0].summary, "7 is above 5");
//! # }
//! ```
//!
//! Build it as a `cdylib` for the target `wasm32-wasip2`; the file that comes out is the plugin.
//!
//! What a plugin answers must be a function of what it is given: there is no clock but the input's time, no file, no
//! network. Memory is a cache and may vanish between two calls; what has to be remembered belongs into [`State`].
//! A panic costs the instance and is reported with its message, an [`Error`] costs nothing and reads better.

pub mod calendar;
mod config;
mod error;
mod export;
mod input;
mod kinds;
mod series;
mod state;
pub mod testing;
pub mod words;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;

pub use error::Error;
pub use input::{ABSENT, Event, Input};
pub use kinds::{
    Alert, Condition, Decision, Descriptor, Finding, Formatter, Group, Message, Method, Outcome, Router, Severity,
    Target,
};
pub use series::{Record, SeriesTable};
pub use state::State;

/// Writes a line into the host's log, under the plugin's name.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    guest::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?}: {message}");
}

/// How important a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever develops the plugin.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
}
