//! Where plugins come from.

use crate::{Condition, Formatter, PluginError, Router};

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Decides which series are in trouble.
    Condition,
    /// Decides who is told.
    Router,
    /// Decides what is said.
    Formatter,
}

impl Kind {
    /// The lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Condition => "condition",
            Kind::Router => "router",
            Kind::Formatter => "formatter",
        }
    }
}

/// One thing that a plugin offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is for.
    pub kind: Kind,
    /// The name by which rules, routes and receivers refer to it.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// The JSON Schema of its configuration, as JSON text; may be empty.
    pub config_schema: String,
    /// Changes when the layout of its state changes.
    pub state_version: u32,
}

/// A source of conditions, routers and formatters: the WebAssembly host, the built-ins, or an embedding program.
///
/// `config` is JSON text, `{}` where the user gave none.
pub trait Provider: Send + Sync {
    /// Everything on offer, sorted by kind and name.
    fn descriptors(&self) -> Vec<Descriptor>;

    /// Opens a condition for a rule.
    ///
    /// # Errors
    /// [`PluginError::Unsupported`] if there is none of that name; [`PluginError::InvalidConfig`] if it refuses the
    /// configuration; else whatever made it fail.
    fn open_condition(&self, name: &str, config: &str) -> Result<Box<dyn Condition>, PluginError>;

    /// Opens a router for a route; errors as for conditions.
    ///
    /// # Errors
    /// As for [`Provider::open_condition`].
    fn open_router(&self, name: &str, config: &str) -> Result<Box<dyn Router>, PluginError>;

    /// Opens a formatter for an integration; errors as for conditions.
    ///
    /// # Errors
    /// As for [`Provider::open_condition`].
    fn open_formatter(&self, name: &str, config: &str) -> Result<Box<dyn Formatter>, PluginError>;
}
