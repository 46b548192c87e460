//! Which plugin a rule, route or receiver uses, and how.

/// A plugin and its configuration, as a rule, a route or a receiver names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginUse {
    /// The plugin's name.
    pub plugin: String,
    /// Its configuration as JSON text, `{}` if there is none.
    pub config_json: String,
}
