//! Conditions that need no plugin file: native twins of shipped plugins, interchangeable with them.

mod ewma;
mod series_table;

use watchfire_plugin::{Condition, Descriptor, Formatter, Kind, PluginError, Provider, Router};

pub use ewma::EwmaAnomaly;

/// The name of [`EwmaAnomaly`] in rules.
pub const EWMA_ANOMALY: &str = "ewma-anomaly";

/// Offers everything in this module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builtins;

impl Provider for Builtins {
    fn descriptors(&self) -> Vec<Descriptor> {
        vec![Descriptor {
            kind: Kind::Condition,
            name: EWMA_ANOMALY.to_owned(),
            summary: "Fires when a series leaves its own exponentially weighted mean by many standard deviations."
                .to_owned(),
            config_schema: ewma::CONFIG_SCHEMA.to_owned(),
            state_version: ewma::STATE_VERSION,
        }]
    }

    fn open_condition(&self, name: &str, config: &str) -> Result<Box<dyn Condition>, PluginError> {
        match name {
            EWMA_ANOMALY => Ok(Box::new(EwmaAnomaly::open(config)?)),
            _ => Err(unsupported(Kind::Condition, name)),
        }
    }

    fn open_router(&self, name: &str, _config: &str) -> Result<Box<dyn Router>, PluginError> {
        Err(unsupported(Kind::Router, name))
    }

    fn open_formatter(&self, name: &str, _config: &str) -> Result<Box<dyn Formatter>, PluginError> {
        Err(unsupported(Kind::Formatter, name))
    }
}

fn unsupported(kind: Kind, name: &str) -> PluginError {
    PluginError::Unsupported(format!("there is no built-in {} {name:?}", kind.as_str()))
}
