//! Reading what is configured: the configuration, rule files, templates, plugins. Nothing here changes the engine.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use watchfire_config::{Config, Diagnostic, Environment, Level, Quarantined, RuleReader, Source};
use watchfire_model::{Duration, RuleId, Timestamp};
use watchfire_promql::Features;
use watchfire_rules::{EventSource, Rule, RuleFile, RuleGroup};

use crate::last_good::LastGood;

/// How deep below the fixed part of a pattern files are looked for.
const DEPTH_MAX: usize = 16;

/// The largest rule file, configuration or template that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Everything that is configured, as it is in force.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Its text, without the values of secrets only if they are written as `${NAME}` or `*_file`.
    pub config_text: String,
    /// The rule files: of a broken file or rule the last good version.
    pub files: Vec<RuleFile>,
    /// Everything that is wrong with any of them.
    pub diagnostics: Vec<Diagnostic>,
    /// The plugins and what became of them.
    pub plugins: Vec<PluginStatus>,
    /// How long samples are kept, because some rule reaches so far back.
    pub retention: Duration,
    /// When it was read.
    pub loaded_at: Timestamp,
    /// Whether the last attempt to read everything found no error.
    pub last_reload_ok: bool,
}

/// A plugin file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStatus {
    /// The name by which rules refer to it: the file's name without `.wasm`.
    pub name: String,
    /// `sha256:` and the hexadecimal digest of the version in force; empty if none ever was.
    pub digest: String,
    /// Why the newest version is not in force.
    pub error: Option<String>,
    /// Whether the newest version is being compiled; it takes over when that is done.
    pub compiling: bool,
}

impl Loaded {
    /// All rules of all files, in their order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.files.iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules).map(AsRef::as_ref)
    }

    /// The text of each rule's expression or event query.
    pub fn sources(&self) -> HashMap<RuleId, String> {
        self.rules().map(|rule| (rule.id, rule.source.text().to_owned())).collect()
    }
}

/// The process' environment, its time zone, and files relative to the configuration.
pub struct ProcessEnvironment {
    /// What paths of the configuration are relative to.
    pub folder: PathBuf,
}

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "this is the configuration's Environment")]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        read(&self.folder.join(path))
    }

    fn zone(&self) -> Option<String> {
        match self.variable("TZ") {
            Some(text) => Some(zone_of_variable(&text).to_owned()),
            None => iana_time_zone::get_timezone().ok(),
        }
    }
}

/// The time zone that the variable TZ names: `Europe/Berlin`, `:Europe/Berlin`, or the path of its file. An empty one is
/// UTC.
fn zone_of_variable(text: &str) -> &str {
    match text.strip_prefix(':').unwrap_or(text) {
        "" => "UTC",
        text => text.split_once("/zoneinfo/").map_or(text, |(_, name)| name),
    }
}

/// A file's text.
///
/// # Errors
/// Why there is none, in a few words.
pub fn read(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("it has {length} bytes, the limit is {FILE_BYTES_MAX}"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// What reading the rule files found.
pub(crate) struct RuleFiles {
    pub(crate) files: Vec<RuleFile>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Rules, groups and files that are left out as broken.
    pub(crate) quarantined: usize,
}

/// Reads all rule files that the patterns name, relative to `folder`. `before` is what was in force, and `last_good` what
/// was in force before the start: they stand in for what is broken now.
pub(crate) fn rule_files(
    config: &Config,
    folder: &Path,
    reader: &mut RuleReader,
    before: &[RuleFile],
    last_good: &mut LastGood,
) -> RuleFiles {
    let features = features(config);
    let mut found = RuleFiles { files: Vec::new(), diagnostics: Vec::new(), quarantined: 0 };
    let search = Search::new(&config.rules.paths, folder, &mut found.diagnostics);
    found.diagnostics.extend(search.not_there());
    let unseen = search.unseen(before.iter().map(|file| &*file.path).chain(last_good.files()));
    found.diagnostics.extend(search.unlisted("; the rules in it stay as they were"));
    for path in search.files.into_iter().chain(unseen) {
        let name = path.display().to_string();
        let in_force = || {
            let known = before.iter().find(|file| file.path == name).cloned();
            known.or_else(|| last_good.restore(&name, features))
        };
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) => {
                found.diagnostics.push(whole_file(&name, &format!("cannot be read: {error}")));
                found.quarantined += 1;
                found.files.extend(in_force());
                continue;
            }
        };
        let fresh = reader.read(Source { name: &name, text: &text }, features);
        found.diagnostics.extend(fresh.diagnostics);
        found.quarantined += fresh.quarantined.len();
        let is_whole = fresh.quarantined.is_empty();
        let stands_in = if is_whole { None } else { in_force() };
        last_good.note(&name, &text, is_whole);
        found.files.push(match stands_in {
            Some(before) => stand_in(fresh.file, &fresh.quarantined, &before),
            None => fresh.file,
        });
    }
    let is_there = |name: &str| found.files.iter().any(|file| file.path == name);
    last_good.retain(is_there);
    reader.retain(is_there);
    let rules = found.files.iter_mut().flat_map(|file| &mut file.groups).flat_map(|group| &mut group.rules);
    for rule in rules {
        if matches!(rule.source, watchfire_rules::Source::Events(_))
            && let watchfire_rules::Source::Events(source) = &mut Arc::make_mut(rule).source
        {
            bound_events(source, config);
        }
    }
    found
}

/// The parts of PromQL that a configuration allows.
pub(crate) fn features(config: &Config) -> Features {
    if config.evaluation.experimental { Features::ALL } else { Features::default() }
}

/// Gives an event rule the configured bounds; which of them a query has changes nothing about whether it compiles.
fn bound_events(source: &mut EventSource, config: &Config) {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut query = source.query.query().clone();
    query.limits.groups_max = size(config.limits.event_groups_max);
    query.limits.events_max = size(config.limits.events_max);
    if let Ok(bounded) = query.compile() {
        source.query = Arc::new(bounded);
    }
}

/// Puts the last good version of what is quarantined into a file, at its old place.
pub(crate) fn stand_in(mut fresh: RuleFile, quarantined: &[Quarantined], last_good: &RuleFile) -> RuleFile {
    for broken in quarantined {
        let Some(name) = &broken.rule else {
            // A whole group, or with an empty name the whole file.
            let groups = last_good.groups.iter().filter(|group| broken.group.is_empty() || group.name == broken.group);
            for group in groups {
                if fresh.groups.iter().all(|present| present.id != group.id) {
                    fresh.groups.push(group.clone());
                }
            }
            continue;
        };
        let Some(old) = last_good.groups.iter().find(|group| group.name == broken.group) else { continue };
        let same = |rule: &&Arc<Rule>| broken.id.map_or(rule.name == *name, |id| rule.id == id);
        let by_name = || old.rules.iter().find(|rule| rule.name == *name);
        let Some(rule) = old.rules.iter().find(same).or_else(by_name) else { continue };
        let position = old.rules.iter().position(|other| other.id == rule.id).unwrap_or(0);
        match fresh.groups.iter_mut().find(|group| group.id == old.id) {
            Some(group) if group.rules.iter().any(|present| present.id == rule.id) => {}
            Some(group) => group.rules.insert(position.min(group.rules.len()), rule.clone()),
            None => fresh.groups.push(RuleGroup { rules: vec![rule.clone()], ..old.clone() }),
        }
    }
    fresh
}

/// An error about a file as a whole.
pub(crate) fn whole_file(file: &str, message: &str) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        line: 1,
        column: 1,
        severity: Level::Error,
        code: "file",
        message: message.to_owned(),
        help: None,
    }
}

/// The files that match one of the patterns, which are relative to `folder`, sorted by path. A name without wildcards
/// that is no file is reported, and so is a folder that cannot be listed.
pub fn matching(patterns: &[String], folder: &Path, diagnostics: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let search = Search::new(patterns, folder, diagnostics);
    diagnostics.extend(search.not_there());
    diagnostics.extend(search.unlisted(""));
    search.files
}

/// What patterns find.
pub(crate) struct Search {
    /// The files that match, sorted by path.
    pub(crate) files: Vec<PathBuf>,
    /// The patterns without wildcards that are no file, by their position.
    pub(crate) absent: BTreeMap<usize, PathBuf>,
    /// The folders below which there may be more: they are there and cannot be listed.
    hidden: BTreeMap<PathBuf, io::Error>,
}

impl Search {
    /// Looks for files; patterns that are wrong are reported.
    pub(crate) fn new(patterns: &[String], folder: &Path, diagnostics: &mut Vec<Diagnostic>) -> Search {
        let (mut found, mut absent, mut hidden) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        for (at, pattern) in patterns.iter().enumerate() {
            let absolute = without_dot(&folder.join(pattern));
            let text = absolute.display().to_string();
            let glob = GlobBuilder::new(&text).literal_separator(true).build();
            let set = glob.and_then(|glob| GlobSetBuilder::new().add(glob).build());
            let set = match set {
                Ok(set) => set,
                Err(error) => {
                    diagnostics.push(whole_file(pattern, &format!("is not a valid pattern: {error}")));
                    continue;
                }
            };
            let before = found.len();
            collect(&crate::watch::folder_of(&absolute), &set, DEPTH_MAX, &mut found, &mut hidden);
            let literal = !text.contains(['*', '?', '[', '{']);
            if literal && found.len() == before && !absolute.is_file() {
                absent.insert(at, absolute);
            }
        }
        Search { files: found.into_iter().collect(), absent, hidden }
    }

    /// Errors about names that are no file.
    pub(crate) fn not_there(&self) -> impl Iterator<Item = Diagnostic> {
        self.absent.values().map(|path| whole_file(&path.display().to_string(), "there is no such file"))
    }

    /// Those of the files that were known before which lie in a folder that cannot be listed: they are not gone.
    pub(crate) fn unseen<'a>(&self, known: impl Iterator<Item = &'a str>) -> BTreeSet<PathBuf> {
        let is_hidden = |file: &PathBuf| self.hidden.keys().any(|folder| file.starts_with(folder));
        known.map(PathBuf::from).filter(|file| is_hidden(file) && !self.files.contains(file)).collect()
    }

    /// Errors about folders that cannot be listed, and what that means.
    pub(crate) fn unlisted(&self, meaning: &str) -> Vec<Diagnostic> {
        let told = self.hidden.iter().map(|(folder, error)| {
            whole_file(&folder.display().to_string(), &format!("cannot be listed: {error}{meaning}"))
        });
        told.collect()
    }
}

/// `./a` is `a`, so that both spellings of a path match.
fn without_dot(path: &Path) -> PathBuf {
    path.strip_prefix(".").unwrap_or(path).to_owned()
}

fn collect(
    folder: &Path,
    set: &GlobSet,
    depth: usize,
    found: &mut BTreeSet<PathBuf>,
    hidden: &mut BTreeMap<PathBuf, io::Error>,
) {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = match entries {
        Ok(entries) => entries,
        // A folder that does not exist yet matches nothing; it is watched for as soon as it is there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            hidden.insert(folder.to_owned(), error);
            return;
        }
    };
    for entry in entries {
        let path = without_dot(&entry.path());
        // Links are followed; one that leads nowhere is what editors lock a file with.
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && depth > 0 => collect(&path, set, depth - 1, found, hidden),
            Ok(metadata) if metadata.is_dir() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if !set.is_match(&path) => drop(hidden.insert(path, error)),
            // A file that matches and cannot be read is told of by who reads it.
            Ok(_) | Err(_) if set.is_match(&path) => drop(found.insert(path)),
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_tz_names_a_zone_in_several_ways() {
        for (text, zone) in [
            ("Europe/Berlin", "Europe/Berlin"),
            (":Europe/Berlin", "Europe/Berlin"),
            ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
            ("", "UTC"),
            ("CET-1CEST", "CET-1CEST"),
        ] {
            assert_eq!(zone_of_variable(text), zone, "{text:?}");
        }
    }

    #[test]
    fn patterns_find_files_in_order_and_a_missing_one_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["rules/b.yml", "rules/a.yml", "rules/deep/c.yml", "rules/a.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let find = |patterns: &[&str]| {
            let mut diagnostics = Vec::new();
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            let found = matching(&patterns, folder.path(), &mut diagnostics);
            let names = found.iter().map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string());
            (names.collect::<Vec<_>>(), diagnostics.len())
        };
        assert_eq!(find(&["rules/*.yml"]), (vec!["rules/a.yml".into(), "rules/b.yml".into()], 0));
        assert_eq!(find(&["rules/**/*.yml"]).0.len(), 3);
        assert_eq!(find(&["rules/a.yml", "rules/*.yml"]).0.len(), 2);
        assert_eq!(find(&["gone.yml"]), (vec![], 1));
        assert_eq!(find(&["gone/*.yml"]), (vec![], 0));
    }
}
