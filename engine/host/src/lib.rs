//! The WebAssembly host: loads plugins, bounds what they may use, and answers with the traits of `watchfire-plugin`.
//!
//! A plugin is a component built against `sdk/wit`. The host compiles it once, keeps the machine code in a private
//! cache, and gives every rule, route or channel that uses it an instance of its own. A call into a guest ends in time,
//! within its memory and with an answer that was checked, or with a [`PluginError`](watchfire_plugin::PluginError) that
//! says what went wrong; whatever a guest does costs that call and nothing else.
//!
//! Everything is synchronous: no import of a plugin waits, so calls belong on worker threads and not on an async
//! runtime's own. Compiling alone may be left to a thread aside ([`Host::with_compiler`]). The crate watches no directory and keeps no state of plugins: the runtime does the one, the store the
//! other. wasmtime is linked here and nowhere else.

mod bindings;
mod breaker;
mod cache;
mod cases;
mod compilations;
mod compiler;
mod context;
mod contract;
mod counters;
mod engine;
mod error;
mod failure;
mod gate;
mod host;
mod imports;
mod inspect;
mod kinds;
mod loaded;
mod manifest;
mod opened;
mod policy;
mod recording;
mod recording_json;
mod settings;
mod survey;
mod visible;
mod wasi;

pub use breaker::Suspension;
pub use cases::{CaseReport, Cases, Misplaced, values};
pub use counters::PluginCounters;
pub use error::{HostError, LoadError, RecordingError};
pub use host::{Candidate, Host, Source, is_plugin_name};
pub use inspect::CONTRACT_VERSION;
pub use loaded::PluginInfo;
pub use manifest::{Manifest, ManifestLimits, sections};
pub use policy::{Lock, PluginPolicy, Policy};
pub use recording::{Answer, Failure, Input, LogLine, Recording, Trace};
pub use settings::{BreakerSettings, HostSettings};
pub use survey::{Survey, digests, survey};
pub use visible::visible;
