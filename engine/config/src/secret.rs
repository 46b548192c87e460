//! Texts that must not be seen.

use std::fmt;

/// A text that prints as `<secret>`, so that it cannot reach a log, a page or an error by accident.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A secret that stands in the configuration or in a file of its own.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Stands in the configuration.
    Inline(Secret),
    /// Stands in a file, so that it can be rotated without touching the configuration.
    File {
        /// Where, absolute or relative to the working directory.
        path: String,
        /// What it held when the configuration was loaded, without white space around it; nothing if it could not be
        /// read. Whoever uses it may read the file again.
        content: Option<Secret>,
    },
}

impl Credential {
    /// The secret as it was at load, if it could be read.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Credential::Inline(secret) => Some(secret),
            Credential::File { content, .. } => content.as_ref(),
        }
    }

    /// The text itself as it was at load; empty if it could not be read.
    pub fn expose(&self) -> &str {
        self.secret().map_or("", Secret::expose)
    }

    /// The file that holds it, if it is not in the configuration.
    pub fn path(&self) -> Option<&str> {
        match self {
            Credential::Inline(_) => None,
            Credential::File { path, .. } => Some(path),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Inline(_) => f.write_str("<secret>"),
            Credential::File { path, .. } => write!(f, "<secret in {path}>"),
        }
    }
}
