//! Checking files without running their rules; plugins that they name are asked what they offer.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use watchfire_config::document::{Decoder, Kind as NodeKind, Node};
use watchfire_config::{Config, Diagnostic, Environment, Source, load_config, load_rules_with};
use watchfire_host::{Candidate, Host, HostSettings, Policy, Survey};
use watchfire_plugin::{Kind, Limits, Provider};
use watchfire_promql::Features;
use watchfire_rules::RuleFile;
use watchfire_rules::builtin::Builtins;

use crate::data::lock;
use crate::load::{self, ProcessEnvironment};
use crate::plugins::plugin_policy;
use crate::templates;

/// What a check of one file found.
#[derive(Clone, Debug)]
pub struct CheckedFile {
    /// The file as the caller named it.
    pub name: String,
    /// The file's text, to show the places; empty if it cannot be read.
    pub text: String,
    /// Everything that is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// The good rules of a rule file.
    pub rules: Option<RuleFile>,
    /// What a configuration says about the files that it names.
    pub named: Option<NamedFiles>,
}

/// The files that a configuration names, which want to be checked too.
#[derive(Clone, Debug)]
pub struct NamedFiles {
    /// Its rule files.
    pub rules: Vec<PathBuf>,
    /// What rules may use.
    pub usable: Usable,
    /// Its files of templates, which are checked already.
    pub templates: Vec<CheckedFile>,
}

/// What rules may use, as a configuration says. The default is what a rule file may use that no configuration names.
#[derive(Clone, Debug, Default)]
pub struct Usable {
    /// The parts of PromQL.
    pub features: Features,
    /// The plugins; nothing is known of them where there is no folder.
    pub plugins: Option<Arc<PluginFolder>>,
}

/// A folder of plugins.
pub struct PluginFolder {
    name: String,
    policy: Policy,
    limits: Limits,
    found: Survey,
    asked: Mutex<Asked>,
}

/// The plugins that files name, compiled so that they can be asked what they offer: one in Python or JavaScript has exports
/// for every kind, and only `describe` says for which of them there is a part.
#[derive(Default)]
struct Asked {
    host: Option<Host>,
    plugins: BTreeMap<String, Result<Candidate, String>>,
}

impl fmt::Debug for PluginFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginFolder").field("name", &self.name).field("found", &self.found).finish_non_exhaustive()
    }
}

/// Checks a rule file or a configuration; which of them it is, is told by its top-level keys. `usable` is what rules may
/// use. Plugins that are named and trusted are asked what they offer, and nothing else of them is run.
pub fn check_file(path: &Path, usable: &Usable) -> CheckedFile {
    let name = path.display().to_string();
    let mut checked = CheckedFile { name, text: String::new(), diagnostics: Vec::new(), rules: None, named: None };
    let name = checked.name.clone();
    checked.text = match load::read(path) {
        Ok(text) => text,
        Err(error) => {
            checked.diagnostics.push(load::whole_file(&name, &format!("cannot be read: {error}")));
            return checked;
        }
    };
    let source = Source { name: &name, text: &checked.text };
    if is_rule_file(source.text) {
        let loaded = load_rules_with(source, usable.features);
        checked.diagnostics = loaded.diagnostics;
        if let Some(plugins) = &usable.plugins {
            plugins.check(source, &mut checked.diagnostics);
        }
        checked.rules = Some(loaded.file);
        return checked;
    }
    if source.text.lines().any(|line| line.trim_end() == "kind: PrometheusRule") {
        let message = "this is a Kubernetes object; its rules stand under `spec`, which is a rule file of its own";
        checked.diagnostics.push(load::whole_file(&name, message));
        return checked;
    }
    // The configuration's paths come relative to its file already.
    let environment = ProcessEnvironment { folder: PathBuf::new() };
    let (config, mut diagnostics) = load_config(source, &environment);
    checked.named = config.map(|config| {
        let plugins = PluginFolder::of(&config, &mut diagnostics).map(Arc::new);
        if let Some(plugins) = &plugins {
            plugins.check(source, &mut diagnostics);
        }
        NamedFiles {
            rules: load::matching(&config.rules.paths, Path::new(""), &mut diagnostics),
            usable: Usable { features: load::features(&config), plugins },
            templates: check_templates(source, &config, &mut diagnostics),
        }
    });
    checked.diagnostics = diagnostics;
    checked
}

/// Checks the files of templates that a configuration names, and whether they define what its receivers call.
fn check_templates(source: Source<'_>, config: &Config, diagnostics: &mut Vec<Diagnostic>) -> Vec<CheckedFile> {
    let mut loaded = templates::load_templates(config, Path::new(""));
    let mut found = std::mem::take(&mut loaded.diagnostics);
    let checked = std::mem::take(&mut loaded.files).into_iter().map(|(name, text)| {
        let own = found.extract_if(.., |diagnostic| diagnostic.file == name).collect();
        CheckedFile { name, text, diagnostics: own, rules: None, named: None }
    });
    let checked = checked.collect();
    diagnostics.append(&mut found);
    templates::check_names(source, &loaded, diagnostics);
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    checked
}

impl PluginFolder {
    /// The folder of a configuration, whose paths are ready to be opened; nothing where there is none.
    fn of(config: &Config, diagnostics: &mut Vec<Diagnostic>) -> Option<PluginFolder> {
        let dir = config.plugins.dir.as_ref().filter(|dir| Path::new(dir).is_dir())?;
        let (policy, wrong) = plugin_policy(config, Path::new(""));
        diagnostics.extend(wrong);
        let bytes_max = HostSettings::default().file_bytes_max;
        match watchfire_host::survey(Path::new(dir), &policy, config.plugins.limits, bytes_max) {
            Ok(found) => {
                let (name, limits) = (dir.clone(), config.plugins.limits);
                Some(PluginFolder { name, policy, limits, found, asked: Mutex::default() })
            }
            Err(error) => {
                diagnostics.push(load::whole_file(dir, &format!("plugins cannot be read: {error}")));
                None
            }
        }
    }

    /// Looks for the plugins that a file names.
    fn check(&self, source: Source<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let mut decoder = Decoder::new(source, None);
        let Some(root) = decoder.parse() else { return };
        // What is wrong with the YAML itself was told before.
        decoder.diagnostics.clear();
        self.check_node(&root, &mut decoder);
        diagnostics.append(&mut decoder.diagnostics);
        diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    }

    fn check_node(&self, node: &Node, decoder: &mut Decoder<'_>) {
        match &node.kind {
            NodeKind::Scalar { .. } => {}
            NodeKind::Sequence(items) => items.iter().for_each(|item| self.check_node(item, decoder)),
            NodeKind::Mapping(entries) => {
                for entry in entries {
                    let kind = [Kind::Condition, Kind::Router, Kind::Formatter];
                    let kind = kind.into_iter().find(|kind| kind.as_str() == entry.key);
                    match kind.zip(entry.value.get("plugin")) {
                        // What stands beside the name is the plugin's.
                        Some((kind, name)) => self.check_use(kind, name, decoder),
                        None => self.check_node(&entry.value, decoder),
                    }
                }
            }
        }
    }

    fn check_use(&self, kind: Kind, node: &Node, decoder: &mut Decoder<'_>) {
        let NodeKind::Scalar { text: name, .. } = &node.kind else { return };
        // A name from the environment is another one elsewhere.
        if name.is_empty() || name.contains("${") {
            return;
        }
        let word = kind.as_str();
        let (plugin, part) = name.split_once('/').map_or((&**name, None), |(plugin, part)| (plugin, Some(part)));
        let wrong_kind = |decoder: &mut Decoder<'_>, kinds: &mut dyn Iterator<Item = &Kind>| {
            let offered: Vec<&str> = kinds.map(|kind| kind.as_str()).collect();
            decoder
                .error(node.start, "wrong-kind", format!("the plugin {name:?} offers no {word}"))
                .help(format!("it offers {}; name a plugin that offers a {word}", offered.join(" and ")));
        };
        let refused = |decoder: &mut Decoder<'_>, error: String| {
            decoder.error(node.start, "plugin-refused", format!("the plugin {name:?} will not be loaded")).help(error);
        };
        match self.found.get(plugin) {
            Some(Ok(kinds)) if kinds.contains(&kind) => {
                let mut asked = lock(&self.asked);
                match asked.plugin(plugin, self) {
                    Ok(asked) if asked.offers(kind, name).is_ok() => {}
                    Ok(asked) if asked.info().kinds.contains(&kind) => {
                        let parts = asked.info().parts.iter().filter(|(of, _)| *of == kind);
                        let parts: Vec<String> = parts.map(|(_, part)| format!("{plugin}/{part}")).collect();
                        let what = match part {
                            Some(part) => format!("the plugin {plugin:?} has no {word} {part:?}"),
                            None => format!("the plugin {plugin:?} has more than one {word}"),
                        };
                        decoder.error(node.start, "unknown-part", what).help(format!("write {}", parts.join(" or ")));
                    }
                    Ok(asked) => wrong_kind(decoder, &mut asked.info().kinds.iter()),
                    Err(error) => refused(decoder, error.clone()),
                }
            }
            Some(Ok(kinds)) => wrong_kind(decoder, &mut kinds.iter()),
            Some(Err(error)) => refused(decoder, error.to_string()),
            None if Builtins.descriptors().iter().any(|own| own.kind == kind && own.name == *name) => {}
            None => {
                let there: Vec<&str> = self.found.keys().map(String::as_str).collect();
                let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
                decoder
                    .error(node.start, "unknown-plugin", format!("there is no plugin {name:?} in {}", self.name))
                    .help(format!("correct the name, or put the plugin there; the folder has {there}"));
            }
        }
    }
}

impl Asked {
    /// A plugin of the folder, compiled when it is named first.
    fn plugin(&mut self, name: &str, folder: &PluginFolder) -> &Result<Candidate, String> {
        let host = &mut self.host;
        self.plugins.entry(name.to_owned()).or_insert_with(|| {
            let host = match host {
                Some(host) => host,
                None => host.insert(folder.host()?),
            };
            let path = Path::new(&folder.name).join(format!("{name}.wasm"));
            host.prepare(name, watchfire_host::Source::File(&path), folder.policy.of(name))
                .map_err(|error| error.to_string())
        })
    }
}

impl PluginFolder {
    /// A host that keeps what it compiles, if this user has a place for that: interpreters take seconds.
    fn host(&self) -> Result<Host, String> {
        let settings =
            |cache_dir| HostSettings { cache_dir, limits: self.limits, instances_max: 16, ..HostSettings::default() };
        let kept = cache_folder().and_then(|folder| Host::new(settings(Some(folder))).ok());
        kept.map_or_else(|| Host::new(settings(None)), Ok).map_err(|error| error.to_string())
    }
}

/// Where this user's programs keep what they can make again.
fn cache_folder() -> Option<PathBuf> {
    let environment = ProcessEnvironment { folder: PathBuf::new() };
    let named = |name| environment.variable(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    let folder = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    let folder = folder.join("watchfire");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("plugins"))
}

/// Whether a text is meant to be a rule file: these have `groups` at the top, and no configuration has.
pub fn is_rule_file(text: &str) -> bool {
    text.lines()
        .any(|line| line.starts_with("groups:") || line.starts_with("{groups:") || line.starts_with("\"groups\""))
}
