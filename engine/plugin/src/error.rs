//! How a plugin fails.

use thiserror::Error;

/// Why a plugin could not be opened or gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PluginError {
    /// The configuration is wrong; permanent until it is changed.
    #[error("invalid configuration at {path:?}: {message}")]
    InvalidConfig {
        /// JSON pointer into the configuration, `""` for the whole.
        path: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// This input cannot be handled; the next may be.
    #[error("cannot handle this input: {0}")]
    BadInput(String),
    /// There is no such plugin, or it has no such condition, router or formatter.
    #[error("{0}")]
    Unsupported(String),
    /// It was not asked, because it is being compiled for the first time. Nothing has failed.
    #[error("{0}")]
    Compiling(String),
    /// It was not asked, because it kept failing and is left alone for a while, which is told elsewhere.
    #[error("{0}")]
    Suspended(String),
    /// The plugin says that it failed.
    #[error("the plugin failed: {0}")]
    Internal(String),
    /// The plugin trapped; the text has the reason and the guest's stack.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// The plugin took longer than it may.
    #[error("the plugin was stopped after {limit_ms} ms")]
    Timeout {
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// The plugin wanted more of something than it may have.
    #[error("the plugin passed its limit of {limit} {unit} of {resource}")]
    LimitExceeded {
        /// What was limited: `memory`, `output`, `state`, ...
        resource: &'static str,
        /// How much it may have.
        limit: u64,
        /// The unit of `limit`: `bytes`, `findings`, ...
        unit: &'static str,
    },
    /// The plugin answered with something that contradicts the contract, such as an index that does not exist.
    #[error("the plugin broke the contract: {0}")]
    InvalidOutput(String),
}

impl PluginError {
    /// A short stable word for metrics and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            PluginError::InvalidConfig { .. } => "invalid_config",
            PluginError::BadInput(_) => "bad_input",
            PluginError::Unsupported(_) => "unsupported",
            PluginError::Compiling(_) => "compiling",
            PluginError::Suspended(_) => "suspended",
            PluginError::Internal(_) => "internal",
            PluginError::Trap(_) => "trap",
            PluginError::Timeout { .. } => "timeout",
            PluginError::LimitExceeded { .. } => "limit",
            PluginError::InvalidOutput(_) => "invalid_output",
        }
    }
}
