//! How a plugin says that it has no answer.

use std::fmt;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The configuration cannot be used; permanent until it is changed.
    InvalidConfig {
        /// JSON pointer into the configuration, `""` for the whole.
        path: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// This input cannot be handled; the next one may be.
    BadInput(String),
    /// The plugin has nothing of that name.
    Unsupported(String),
    /// Anything else. Many of these in a row suspend the plugin for a while.
    Internal(String),
}

impl Error {
    /// A configuration error at a JSON pointer such as `/teams/payments/hours`.
    pub fn config(path: impl Into<String>, message: impl Into<String>) -> Error {
        Error::InvalidConfig { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidConfig { path, message } => write!(f, "invalid configuration at {path:?}: {message}"),
            Error::BadInput(text) => write!(f, "cannot handle this input: {text}"),
            Error::Unsupported(text) => write!(f, "unsupported: {text}"),
            Error::Internal(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
