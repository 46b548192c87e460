//! The plugin author's tools: start a plugin, build it with its language's own toolchain, look into it, try it, measure it.
//!
//! Everything that is not the toolchain itself is in here: the contract, the SDKs, the templates, the bindings'
//! generators, the adapter that makes a component of a module, and the manifest. So an author needs the binary and
//! a compiler, and nothing has to fit anything else by version. What runs a plugin is the host of the engine, so that
//! a test sees the limits and the messages of a production run. It is no part of a running engine.

mod bench;
mod build;
mod clock;
mod component;
mod doctor;
mod document;
mod error;
mod language;
mod manifest;
mod project;
mod scaffold;
mod sdk;
mod trial;

pub use bench::{BenchLine, bench};
pub use build::{Built, build, build_from};
pub use component::wrap;
pub use doctor::{Check, doctor};
pub use error::AuthorError;
pub use language::Language;
pub use manifest::tested_config;
pub use project::{Project, built, saved};
pub use scaffold::scaffold;
pub use trial::{Replayed, Trial};
