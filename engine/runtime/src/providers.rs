//! Several sources of plugins as one: the embedding program's, the WebAssembly host's, the built-ins.

use std::path::Path;
use std::sync::Arc;

use watchfire_host::{Host, HostSettings, Policy};
use watchfire_plugin::{Condition, Descriptor, Formatter, PluginError, Provider, Router};
use watchfire_rules::builtin::Builtins;

/// Asks each source in turn; the first that has the plugin answers.
pub(crate) struct Providers(pub(crate) Vec<Arc<dyn Provider>>);

/// The built-in plugins and those of a folder, for tools that run rules without an engine.
///
/// # Errors
/// If the folder cannot be read or one of its plugins is refused; names the plugin and the reason.
pub fn open_plugins(folder: Option<&Path>) -> Result<Arc<dyn Provider>, String> {
    let mut sources: Vec<Arc<dyn Provider>> = Vec::new();
    if let Some(folder) = folder {
        let host = Host::new(HostSettings::default()).map_err(|error| error.to_string())?;
        for (name, result) in
            host.load_dir(folder, &Policy::default(), &|_, _| Ok(())).map_err(|error| error.to_string())?
        {
            result.map_err(|error| format!("plugin {name}: {error}"))?;
        }
        sources.push(Arc::new(host));
    }
    sources.push(Arc::new(Builtins));
    Ok(Arc::new(Providers(sources)))
}

impl Providers {
    fn first<T>(&self, open: impl Fn(&dyn Provider) -> Result<T, PluginError>) -> Result<T, PluginError> {
        // What the first says is mostly what the user wants to know: which plugins are loaded.
        let mut reasons = Vec::new();
        for provider in &self.0 {
            match open(provider.as_ref()) {
                Err(PluginError::Unsupported(reason)) => reasons.push(reason),
                answer => return answer,
            }
        }
        Err(PluginError::Unsupported(if reasons.is_empty() {
            "there are no plugins".to_owned()
        } else {
            reasons.join("; ")
        }))
    }
}

impl Provider for Providers {
    fn descriptors(&self) -> Vec<Descriptor> {
        let mut all: Vec<Descriptor> = self.0.iter().flat_map(|provider| provider.descriptors()).collect();
        all.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        all
    }

    fn open_condition(&self, name: &str, config: &str) -> Result<Box<dyn Condition>, PluginError> {
        self.first(|provider| provider.open_condition(name, config))
    }

    fn open_router(&self, name: &str, config: &str) -> Result<Box<dyn Router>, PluginError> {
        self.first(|provider| provider.open_router(name, config))
    }

    fn open_formatter(&self, name: &str, config: &str) -> Result<Box<dyn Formatter>, PluginError> {
        self.first(|provider| provider.open_formatter(name, config))
    }
}
