//! Why a tool stopped.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use watchfire_host::{HostError, LoadError};

/// Why a tool stopped: what happened, where, and what to do.
#[derive(Debug, Error)]
pub enum AuthorError {
    /// A file or folder cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file says something that cannot be.
    #[error("{place}: {message}")]
    Content {
        /// The file, and where in it.
        place: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A file is not the YAML that it should be: the places, what is wrong there, and what to do.
    #[error("{0}")]
    Yaml(String),
    /// A folder is not one of a plugin.
    #[error(
        "{} is no plugin's folder, it has no plugin.yml; name the folder of one, or make one with `watchfire plugin new`",
        .0.display()
    )]
    NoProject(PathBuf),
    /// A plugin is to be used before it was built.
    #[error("{} is not there; `watchfire plugin build` makes it", .0.display())]
    NotBuilt(PathBuf),
    /// There is something where a new plugin is to be.
    #[error("{} exists already; choose another name or another folder", .0.display())]
    Exists(PathBuf),
    /// A program that is needed is not installed.
    #[error("`{program}` is not installed; {remedy}")]
    Missing {
        /// The program.
        program: String,
        /// How to get it.
        remedy: &'static str,
    },
    /// The toolchain refused the source; its own words are on the terminal.
    #[error("{what} failed; the lines above say why")]
    Toolchain {
        /// What was run.
        what: String,
    },
    /// What the toolchain made cannot be made a plugin.
    #[error("cannot make a component of what was built: {0}")]
    Component(String),
    /// The engine does not start.
    #[error("{0}")]
    Host(HostError),
    /// The plugin cannot be loaded.
    #[error("the plugin cannot be loaded: {}", error.at(path))]
    Load {
        /// Its file.
        path: PathBuf,
        /// Why.
        error: LoadError,
    },
    /// The plugin fails where it must not.
    #[error("{what}: {error}")]
    Plugin {
        /// What it was asked to do.
        what: String,
        /// How it failed.
        error: watchfire_plugin::PluginError,
    },
}

// Not as sources: their words are in the message already, and a chain of causes would say them twice.
impl From<HostError> for AuthorError {
    fn from(error: HostError) -> AuthorError {
        AuthorError::Host(error)
    }
}

impl AuthorError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> AuthorError {
        let path = path.into();
        move |error| AuthorError::File { path, error }
    }

    pub(crate) fn load(path: impl Into<PathBuf>) -> impl FnOnce(LoadError) -> AuthorError {
        let path = path.into();
        move |error| AuthorError::Load { path, error }
    }
}
