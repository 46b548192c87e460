//! Why a plugin cannot be loaded, and why a recorded call cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why the host itself cannot be set up.
#[derive(Debug, Error)]
pub enum HostError {
    /// wasmtime does not run on this machine or in this configuration.
    #[error("cannot start the WebAssembly engine: {0}")]
    Engine(String),
    /// The directory for compiled code cannot be used.
    #[error("cannot use {} for compiled plugins: {reason}", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The thread that watches deadlines cannot be started.
    #[error("cannot start the thread that watches plugins' deadlines: {0}")]
    Thread(io::Error),
}

/// Why a recorded call cannot be read.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// It is not written as recorded calls are.
    #[error("this is no recorded call of a plugin: {0}")]
    Json(serde_json::Error),
    /// It says what cannot be.
    #[error("this is no recorded call of a plugin: {0}")]
    Content(String),
}

/// Why a plugin cannot be loaded. Whatever was loaded under its name before stays.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The name cannot be used in rules.
    #[error(
        "{name:?} is no name for a plugin: use letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit"
    )]
    Name {
        /// The name as it was given.
        name: String,
    },
    /// The file cannot be read.
    // Not as a source: a chain of causes would say it twice.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is too large to be compiled.
    #[error("the plugin has {bytes} bytes, the limit is {limit}; strip debug information")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// It begins with more memory, larger tables or longer functions than it may have.
    #[error("the plugin begins with {wanted} {unit} of {resource}, the limit is {limit}")]
    Limit {
        /// `memory`, `tables`, ...
        resource: &'static str,
        /// How much it wants.
        wanted: u64,
        /// How much it may have.
        limit: u64,
        /// The unit of both.
        unit: &'static str,
    },
    /// It is something else than a component.
    #[error("{0}")]
    NotAComponent(String),
    /// It is a component, but not a valid one, or it uses a WebAssembly feature that is not enabled.
    #[error("the component is broken: {0}")]
    Malformed(String),
    /// It asks for what plugins do not get.
    #[error("{0}")]
    Import(String),
    /// It does not offer what the contract asks for.
    #[error("{0}")]
    Contract(String),
    /// The operator did not say that it may be loaded.
    #[error("{0}")]
    Untrusted(String),
    /// It was refused for what it does with what is configured.
    #[error("{0}")]
    Unfit(String),
    /// It failed when it was asked what it offers.
    #[error("`describe` failed: {0}")]
    Describe(watchfire_plugin::PluginError),
    /// Nothing of that name is loaded, or it was not loaded from a file.
    #[error("{0}")]
    Unknown(String),
}

impl LoadError {
    /// What is told with the file that it is about, which some know already.
    pub fn at(&self, path: &Path) -> String {
        match self {
            LoadError::Read { .. } => self.to_string(),
            _ => format!("{}: {self}", path.display()),
        }
    }
}
