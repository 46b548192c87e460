//! The section `plugins`, and how rules, routes and receivers name a plugin.

use std::collections::{BTreeMap, BTreeSet};

use watchfire_plugin::{Limits, PluginUse};
use watchfire_rules::{ConditionUse, OnError};

use crate::Tree;
use crate::decode::Fields;

/// What a plugin may import, by the names that `grant` has for it.
pub const GRANTS: [&str; 4] = ["input", "log", "state", "wasi"];

/// `plugins`.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginsConfig {
    /// The folder with components.
    pub dir: Option<String>,
    /// The file that names every plugin with its digest; without it those in the folder are taken as they are.
    pub lock: Option<String>,
    /// Minisign public keys; where there is one, every plugin needs a signature by one of them.
    pub signers: Vec<String>,
    /// What every plugin may use.
    pub limits: Limits,
    /// What is said about single plugins, by name.
    pub settings: BTreeMap<String, PluginConfig>,
}

/// What an operator says about one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// The only version that is loaded: the SHA-256 of its file as 64 lower-case hexadecimal digits.
    pub digest: Option<String>,
    /// What it may use at most.
    pub limits: Limits,
    /// What it may import, of [`GRANTS`]; everything that the contract has where this is absent.
    pub grant: Option<BTreeSet<String>>,
}

impl Default for PluginsConfig {
    fn default() -> PluginsConfig {
        PluginsConfig {
            dir: None,
            lock: None,
            signers: Vec::new(),
            limits: Limits::STANDARD,
            settings: BTreeMap::new(),
        }
    }
}

pub(crate) fn plugins(f: &mut Fields<'_, '_>) -> PluginsConfig {
    let dir = f.path("dir");
    let lock = f.path("lock");
    let signers = f.list("signers", |decoder, node| {
        let key = decoder.text(node, "a public key")?;
        let plausible = key.len() == 56 && key.starts_with("RW");
        if !plausible && !decoder.is_recording() {
            decoder
                .error(node.start, "bad-key", format!("{key:?} is not a minisign public key"))
                .help("copy the second line of minisign.pub, 56 characters that begin with RW");
            return None;
        }
        Some(key)
    });
    let limits = limits(f, true).map_or(Limits::STANDARD, |own| stated(own, Limits::STANDARD));
    let settings = f.read("settings", |decoder, node| {
        Some(decoder.entries(node, "settings", |decoder, entry| {
            decoder.mapping(&entry.value, "plugin settings", |f| PluginConfig {
                digest: digest(f),
                limits: self::limits(f, true).unwrap_or(Limits::UNLIMITED),
                grant: grant(f),
            })
        }))
    });
    PluginsConfig { dir, lock, signers, limits, settings: settings.unwrap_or_default().into_iter().collect() }
}

/// What is said, else the default: for the server's own limits, which may be more than the default.
fn stated(said: Limits, default: Limits) -> Limits {
    let unsaid = Limits::UNLIMITED;
    macro_rules! each {
        ($($field:ident),*) => { Limits { $($field: if said.$field == unsaid.$field { default.$field } else { said.$field }),* } };
    }
    each!(
        call_time,
        open_time,
        memory_bytes,
        table_elements,
        output_bytes,
        body_bytes,
        text_bytes,
        log_bytes,
        log_lines,
        state_bytes,
        calls
    )
}

/// `limits` of the server, of a plugin or, without those that concern all rules together, of a rule. What is not said is
/// unlimited.
fn limits(f: &mut Fields<'_, '_>, for_all_rules: bool) -> Option<Limits> {
    let what = if for_all_rules { "plugin limits" } else { "condition limits" };
    f.object("limits", what, |f| {
        let none = Limits::UNLIMITED;
        let mut size = |key| f.bytes(key).map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let (memory_bytes, output_bytes) = (size("memory_bytes_max"), size("output_bytes_max"));
        let (log_bytes, state_bytes) = (size("log_bytes_max"), size("state_bytes_max"));
        let mut count = |key| match f.count(key) {
            Some(0) => {
                f.error(key, "bad-value", format!("{key} cannot be 0")).help("give at least 1, or leave it out");
                usize::MAX
            }
            count => count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX)),
        };
        let table_elements = count("table_elements_max");
        let calls = if for_all_rules { count("calls_max") } else { usize::MAX };
        Limits {
            call_time: f.positive_duration("call_timeout").unwrap_or(none.call_time),
            open_time: f.positive_duration("open_timeout").unwrap_or(none.open_time),
            memory_bytes,
            table_elements,
            output_bytes,
            log_bytes,
            state_bytes,
            calls,
            ..none
        }
    })
}

fn digest(f: &mut Fields<'_, '_>) -> Option<String> {
    let text = f.filled("digest")?;
    let hex = text.strip_prefix("sha256:").filter(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    });
    if hex.is_none() {
        f.error("digest", "bad-digest", format!("{text:?} is not the digest of a plugin"))
            .help("write sha256: and 64 hexadecimal digits, as `watchfire plugin inspect` shows them");
    }
    hex.map(str::to_owned)
}

fn grant(f: &mut Fields<'_, '_>) -> Option<BTreeSet<String>> {
    let names = f.list("grant", |decoder, node| {
        let name = decoder.text(node, "a grant")?;
        if !GRANTS.contains(&name.as_str()) && !decoder.is_recording() {
            decoder
                .error(node.start, "bad-grant", format!("there is nothing called {name:?} to be granted"))
                .help(format!("there are {}", GRANTS.join(", ")));
            return None;
        }
        Some(name)
    });
    f.has("grant").then(|| names.into_iter().collect())
}

/// `plugin` and `config`, for a route or a receiver.
pub(crate) fn plugin_use(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<PluginUse> {
    fields.object(key, "a plugin reference", usage).flatten()
}

/// `plugin`, `config`, `on_error` and `limits`, for a rule.
pub(crate) fn condition_use(fields: &mut Fields<'_, '_>) -> Option<ConditionUse> {
    let read = fields.object("condition", "a condition", |f| {
        let usage = usage(f);
        let on_error = match f.word("on_error", &["unknown", "keep", "fire"]) {
            Some("keep") => OnError::Keep,
            Some("fire") => OnError::Fire,
            _ => OnError::Unknown,
        };
        let limits = limits(f, false).unwrap_or(Limits::UNLIMITED);
        Some(ConditionUse { usage: usage?, on_error, limits })
    });
    read.flatten()
}

fn usage(f: &mut Fields<'_, '_>) -> Option<PluginUse> {
    let plugin = f.required("plugin", "name a plugin of the plugin folder, such as `plugin: oncall`");
    let config = f.tree("config");
    if config.as_ref().is_some_and(|tree| !matches!(tree, Tree::Map(_))) {
        f.error("config", "wrong-type", "a plugin's config must be a mapping")
            .help("write its settings as `key: value` lines below `config:`");
    }
    Some(PluginUse { plugin: plugin?, config_json: config.map_or_else(|| "{}".to_owned(), |tree| tree.to_json()) })
}
