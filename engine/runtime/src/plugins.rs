//! The plugins of the folder: which are trusted, which may take over, and what became of each.

use std::collections::BTreeMap;
use std::path::Path;

use watchfire_alerting::Route;
use watchfire_config::{Config, Diagnostic};
use watchfire_host::{Candidate, Host, Lock, PluginCounters, PluginInfo, PluginPolicy, Policy, Suspension};
use watchfire_plugin::{Kind, PluginUse};
use watchfire_rules::RuleFile;

use crate::Watchfire;
use crate::load::{self, Loaded, PluginStatus};

/// A plugin with everything that an operator may want to know of it.
#[derive(Clone, Debug)]
pub struct PluginReport {
    /// The file and what became of it.
    pub status: PluginStatus,
    /// What is known about the version in force; absent if none is.
    pub info: Option<PluginInfo>,
    /// What it has done since the start.
    pub counters: PluginCounters,
    /// Which parts of it are left alone because they kept failing.
    pub suspensions: Vec<Suspended>,
}

/// A part of a plugin that is left alone because it kept failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// What is left alone, until when and why.
    pub suspension: Suspension,
    /// The rules, receivers and routes that use it.
    pub used_by: Vec<String>,
}

impl Watchfire {
    /// The plugins of the folder, by name.
    pub fn plugins(&self) -> Vec<PluginReport> {
        let host = self.host();
        let definitions = self.definitions();
        let (counters, suspended) = (host.counters(), suspended(&definitions, host));
        let report = |status: &PluginStatus| PluginReport {
            status: status.clone(),
            info: host.info(&status.name),
            counters: counters
                .iter()
                .find(|(name, _)| *name == status.name)
                .map_or_else(Default::default, |c| c.1.clone()),
            suspensions: suspended.iter().filter(|(name, _)| *name == status.name).map(|s| s.1.clone()).collect(),
        };
        definitions.plugins.iter().map(report).collect()
    }

    /// Waits until no plugin is being compiled and each that can be used is in use. The engine itself waits for none.
    pub async fn plugins_compiled(&self) {
        let mut reloaded = self.reloaded();
        while self.definitions().plugins.iter().any(|plugin| plugin.compiling) {
            if reloaded.changed().await.is_err() {
                // It is stopping.
                return;
            }
        }
    }
}

/// What a configuration, whose paths are relative to `folder`, says about trust.
///
/// # Errors
/// If the lock file cannot be used. Then nothing can be trusted, and the policy admits nothing.
pub fn plugin_policy(config: &Config, folder: &Path) -> (Policy, Option<Diagnostic>) {
    let plugins = &config.plugins;
    let mut policy = Policy { signers: plugins.signers.clone(), ..Policy::default() };
    for (name, said) in &plugins.settings {
        let own = PluginPolicy { digest: said.digest.clone(), limits: said.limits, grant: said.grant.clone() };
        policy.plugins.insert(name.clone(), own);
    }
    let Some(lock) = &plugins.lock else { return (policy, None) };
    let path = folder.join(lock);
    let read = load::read(&path).and_then(|text| Lock::parse(&text));
    let wrong = read.as_ref().err().map(|error| {
        let message = format!("the lock file cannot be used, so that no plugin is loaded: {error}");
        let help = Some("run `watchfire plugin lock` to write it from what lies in the folder".to_owned());
        Diagnostic { help, ..load::whole_file(&path.display().to_string(), &message) }
    });
    policy.lock = Some((path, read.unwrap_or_default()));
    (policy, wrong)
}

/// One place where a plugin is used.
struct Use<'a> {
    kind: Kind,
    usage: &'a PluginUse,
    place: String,
}

impl Use<'_> {
    /// The name of the plugin, without that of the part.
    fn plugin(&self) -> &str {
        self.usage.plugin.split('/').next().unwrap_or_default()
    }
}

/// Every place where something of a plugin is used.
fn uses<'a>(config: &'a Config, files: &'a [RuleFile]) -> Vec<Use<'a>> {
    let rules = files.iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules);
    let mut uses: Vec<Use<'a>> = rules
        .filter_map(|rule| {
            let usage = &rule.condition.as_ref()?.usage;
            Some(Use { kind: Kind::Condition, usage, place: format!("the rule {:?}", rule.name) })
        })
        .collect();
    for receiver in &config.receivers {
        let formatters = receiver.integrations.iter().filter_map(|integration| integration.formatter.as_ref());
        let place = format!("the receiver {:?}", receiver.name);
        uses.extend(formatters.map(|usage| Use { kind: Kind::Formatter, usage, place: place.clone() }));
    }
    routers(&config.dispatch.route, &mut uses);
    uses
}

fn routers<'a>(route: &'a Route, uses: &mut Vec<Use<'a>>) {
    if let Some(usage) = &route.router {
        uses.push(Use { kind: Kind::Router, usage, place: format!("a route to {:?}", &*route.receiver) });
    }
    route.routes.iter().for_each(|child| routers(child, uses));
}

/// What is suspended and in use, by plugin.
pub(crate) fn suspended(loaded: &Loaded, host: &Host) -> Vec<(String, Suspended)> {
    let suspensions = host.suspensions();
    if suspensions.is_empty() {
        return Vec::new();
    }
    let uses = uses(&loaded.config, &loaded.files);
    let with_users = |(plugin, suspension): (String, Suspension)| {
        let is_of = |used: &&Use<'_>| {
            (used.kind, used.plugin(), &used.usage.config_json) == (suspension.kind, &plugin, &suspension.config)
                && host.part(used.kind, &used.usage.plugin).as_ref() == Some(&suspension.name)
        };
        let used_by: Vec<String> = uses.iter().filter(is_of).map(|used| used.place.clone()).collect();
        (!used_by.is_empty()).then_some((plugin, Suspended { suspension, used_by }))
    };
    suspensions.into_iter().filter_map(with_users).collect()
}

/// Forgets failures of what nobody uses any more, so that none of them is told for ever.
pub(crate) fn forget_unused(loaded: &Loaded, host: &Host) {
    let uses = uses(&loaded.config, &loaded.files);
    let uses: Vec<_> = uses.iter().map(|used| (used.kind, &*used.usage.plugin, &*used.usage.config_json)).collect();
    host.forget_unused(&uses);
}

/// Whether a new version may take over: it must open wherever the old one does.
fn approve(uses: &[Use<'_>], host: &Host, name: &str, candidate: &Candidate) -> Result<(), String> {
    let concerned = uses.iter().filter(|used| used.plugin() == name);
    for Use { kind, usage, place } in concerned {
        let opened = candidate.opens_as_before(host, *kind, &usage.plugin, &usage.config_json);
        opened.map_err(|error| format!("the new version cannot be opened as {place} has it configured: {error}"))?;
    }
    Ok(())
}

/// Loads what is new in the plugin folder, as far as it is compiled. Answers what became of each plugin.
pub(crate) fn load(
    config: &Config,
    files: &[RuleFile],
    folder: &Path,
    host: &Host,
    before: Option<&Loaded>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<PluginStatus> {
    let Some(dir) = &config.plugins.dir else { return Vec::new() };
    let (policy, wrong) = plugin_policy(config, folder);
    diagnostics.extend(wrong);
    let uses = uses(config, files);
    let in_use = uses.iter().map(Use::plugin).collect();
    let mut errors: BTreeMap<String, String> = BTreeMap::new();
    let approve = |name: &str, candidate: &Candidate| approve(&uses, host, name, candidate);
    match host.follow_dir(&folder.join(dir), &policy, &in_use, &approve) {
        Ok(changes) => {
            for (name, result) in changes {
                match result {
                    Ok(info) => tracing::info!(plugin = %name, digest = %info.digest, "plugin loaded"),
                    Err(error) => {
                        tracing::error!(plugin = %name, %error, "plugin refused");
                        errors.insert(name, error.to_string());
                    }
                }
            }
        }
        Err(error) => diagnostics.push(load::whole_file(dir, &format!("plugins cannot be read: {error}"))),
    }
    let known = before.map_or(&[][..], |before| &before.plugins);
    let error_before = |name: &str| known.iter().find(|old| old.name == name).and_then(|old| old.error.clone());
    let mut digests: BTreeMap<String, String> =
        host.plugins().into_iter().map(|info| (info.name, info.digest)).collect();
    let compiling = host.compiling();
    for name in errors.keys().chain(&compiling) {
        digests.entry(name.clone()).or_default();
    }
    let status = |(name, digest): (String, String)| {
        let compiling = compiling.contains(&name);
        // What was wrong is wrong until it is known that something else is not.
        let error = errors.remove(&name).or_else(|| compiling.then(|| error_before(&name)).flatten());
        PluginStatus { name, digest, error, compiling }
    };
    let mut found: Vec<PluginStatus> = digests.into_iter().map(status).collect();
    // A file that is still broken is reported as long as it is there.
    for old in known.iter().filter(|old| old.error.is_some()) {
        let there = folder.join(dir).join(format!("{}.wasm", old.name)).is_file();
        if there && found.iter().all(|plugin| plugin.name != old.name) {
            found.push(old.clone());
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
