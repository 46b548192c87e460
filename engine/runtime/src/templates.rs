//! Notification templates of both languages: their files, of a broken one the last good version, and the names that nothing defines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use watchfire_config::document::{Decoder, Kind, Node};
use watchfire_config::{Config, Diagnostic, Level, Source};
use watchfire_delivery::{NotificationTemplates, TemplateFiles};
use watchfire_template::alertmanager::Templates;

use crate::last_good::LastGood;
use crate::load::{self, Search};

/// What reading the template files of a configuration found.
#[derive(Clone, Debug)]
pub struct LoadedTemplates {
    /// What receivers can use.
    pub templates: NotificationTemplates,
    /// The files that could be read, as names and texts.
    pub files: Vec<(String, String)>,
    /// Everything that is wrong with them.
    pub diagnostics: Vec<Diagnostic>,
    /// The entries of `templates` without wildcards that are no file, by their position.
    absent: BTreeMap<usize, PathBuf>,
    /// How many of them are left out as broken, or are in force in an older version.
    pub(crate) quarantined: usize,
}

/// Reads the files of notification templates, whose paths are relative to `folder`. A broken one is left out.
pub fn load_templates(config: &Config, folder: &Path) -> LoadedTemplates {
    load_with(config, folder, None)
}

/// The same; in the place of a broken file stands its last good version.
pub(crate) fn load_with(config: &Config, folder: &Path, last_good: Option<&mut LastGood>) -> LoadedTemplates {
    let mut diagnostics = Vec::new();
    let (mut templates, mut handlebars) = (Templates::new(), TemplateFiles::default());
    let own = message_files(config, folder);
    let search = Search::new(&config.templates, folder, &mut diagnostics);
    let known = last_good.iter().flat_map(|last_good| last_good.files());
    let unseen = search.unseen(known.filter(|known| own.values().all(|own| own.as_path() != Path::new(known))));
    diagnostics.extend(search.unlisted("; the templates in it stay as they were"));
    let absent = search.absent;
    let mut reading =
        Reading { files: Vec::new(), diagnostics, names: BTreeSet::new(), broken: BTreeSet::new(), last_good };
    for path in search.files.into_iter().chain(unseen) {
        reading.read(&path, |name, text| {
            templates.add(name, text).map_err(|error| {
                let place = (error.line, error.column);
                found(name, text, place, Level::Error, &error.message)
            })
        });
    }
    for (key, path) in own {
        reading.read(&path, |name, text| {
            handlebars.add(&key, text).map_err(|error| {
                let (line, column) = (error.line.max(1), error.column.max(1));
                Diagnostic { line, column, ..load::whole_file(name, &error.message) }
            })
        });
    }
    let Reading { files, mut diagnostics, names, broken, last_good } = reading;
    if let Some(last_good) = last_good {
        last_good.retain(|file| names.contains(file));
    }
    // What stands in for a file was told of when it was read, and its places are none of the file's now.
    for undefined in templates.undefined().iter().filter(|undefined| !broken.contains(&undefined.source)) {
        let Some((name, text)) = files.iter().find(|(name, _)| *name == undefined.source) else { continue };
        let place = (undefined.line, undefined.column);
        let found = found(name, text, place, Level::Warning, &not_defined(&undefined.name));
        diagnostics.push(Diagnostic { code: "unknown-template", help: Some(DEFINE.to_owned()), ..found });
    }
    let templates = NotificationTemplates { go: templates, handlebars };
    LoadedTemplates { templates, files, diagnostics, absent, quarantined: broken.len() }
}

/// The Handlebars files that integrations name, as they name them and where they are.
pub(crate) fn message_files(config: &Config, folder: &Path) -> BTreeMap<String, PathBuf> {
    let integrations = config.receivers.iter().flat_map(|receiver| &receiver.integrations);
    let named = integrations.filter_map(|integration| integration.template.as_ref());
    named.map(|path| (path.clone(), folder.join(path))).collect()
}

/// What is known of template files while they are read.
struct Reading<'a> {
    files: Vec<(String, String)>,
    diagnostics: Vec<Diagnostic>,
    names: BTreeSet<String>,
    broken: BTreeSet<String>,
    last_good: Option<&'a mut LastGood>,
}

impl Reading<'_> {
    /// Adds a file, or else its last good version.
    fn read(&mut self, path: &Path, mut add: impl FnMut(&str, &str) -> Result<(), Diagnostic>) {
        let name = path.display().to_string();
        let added = match load::read(path) {
            Ok(text) => {
                let added = add(&name, &text);
                if let (Ok(()), Some(last_good)) = (&added, &mut self.last_good) {
                    last_good.note(&name, &text, true);
                }
                self.files.push((name.clone(), text));
                added.map_err(|found| {
                    let help = "correct it; a running engine goes on with the last good version of the file";
                    Diagnostic { code: "bad-template", help: Some(help.to_owned()), ..found }
                })
            }
            Err(error) => Err(load::whole_file(&name, &format!("cannot be read: {error}"))),
        };
        if let Err(diagnostic) = added {
            self.diagnostics.push(diagnostic);
            self.broken.insert(name.clone());
            if let Some(text) = self.last_good.as_ref().and_then(|last_good| last_good.latest(&name)) {
                // It was a template when it was noted; where it is none to a newer engine, the file is left out.
                drop(add(&name, text));
            }
        }
        self.names.insert(name);
    }
}

/// What to do about a name that nothing defines.
const DEFINE: &str =
    "correct the name, or define it in a file under `templates`; what needs it is sent in built-in words";

fn not_defined(name: &str) -> String {
    format!("there is no template {name:?}")
}

/// A diagnostic at a line of a file and so many bytes behind its beginning.
fn found(name: &str, text: &str, (line, bytes): (usize, usize), severity: Level, message: &str) -> Diagnostic {
    let before = text.lines().nth(line.saturating_sub(1)).and_then(|line| line.get(..bytes)).unwrap_or("");
    Diagnostic { line, column: 1 + before.chars().count(), severity, ..load::whole_file(name, message) }
}

/// Looks for files of templates that are not there, which Alertmanager takes too, and for names in the texts of receivers and
/// routes that nothing defines. What is wrong with a text itself is told by whoever reads the configuration.
pub(crate) fn check_names(source: Source<'_>, loaded: &LoadedTemplates, diagnostics: &mut Vec<Diagnostic>) {
    let mut decoder = Decoder::new(source, None);
    let Some(root) = decoder.parse() else { return };
    decoder.diagnostics.clear();
    if let Some(Kind::Sequence(entries)) = root.get("templates").map(|node| &node.kind) {
        for (at, path) in &loaded.absent {
            let Some(entry) = entries.get(*at) else { continue };
            decoder
                .warning(entry.start, "missing-file", format!("there is no file {}", path.display()))
                .help("create it, or correct the path; relative paths start at the configuration's folder");
        }
    }
    for part in ["receivers", "route"].into_iter().filter_map(|key| root.get(key)) {
        check_node(part, &loaded.templates.go, &mut decoder);
    }
    diagnostics.append(&mut decoder.diagnostics);
}

fn check_node(node: &Node, templates: &Templates, decoder: &mut Decoder<'_>) {
    match &node.kind {
        Kind::Scalar { text, .. } if text.contains("{{") => {
            let undefined = templates.parse(text).map(|template| template.undefined()).unwrap_or_default();
            for undefined in undefined {
                decoder.warning(node.start, "unknown-template", not_defined(&undefined.name)).help(DEFINE);
            }
        }
        Kind::Scalar { .. } => {}
        Kind::Sequence(items) => items.iter().for_each(|item| check_node(item, templates, decoder)),
        // What stands beside the name of a plugin is the plugin's.
        Kind::Mapping(_) if node.get("plugin").is_some() => {}
        Kind::Mapping(entries) => entries.iter().for_each(|entry| check_node(&entry.value, templates, decoder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_config::{FixedEnvironment, load_config};

    const CONFIG: &str = "templates: ['*.tmpl']\nroute: {receiver: r}\nreceivers:\n- name: r\n  slack_configs:\n  \
                          - api_url: http://s/\n    channel: '#c'\n    title: '{{ template \"mine\" . }}'\n";

    fn config() -> Config {
        load_config(Source { name: "watchfire.yml", text: CONFIG }, &FixedEnvironment::default()).0.unwrap()
    }

    /// What is told of these versions of `a.tmpl`, and whether the receiver's title can be made.
    #[test]
    fn of_a_broken_file_the_last_good_version_is_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tmpl");
        let kept = folder.path().join("templates.json");
        let good = "{{ define \"mine\" }}one{{ end }}";
        let calls = "\n{{ define \"mine\" }}é {{ template \"yours\" . }}{{ end }}";
        let warned = "2:34: warning: there is no template \"yours\" [unknown-template]";
        let title = "watchfire.yml:8:12: warning: there is no template \"mine\" [unknown-template]";
        let mut last_good = LastGood::open(kept.clone());
        for (text, quarantined, told) in [
            // Nothing is known of it yet.
            ("{{ define \"mine\" }}{{ end", 1, vec!["1:26: error: unclosed action [bad-template]", title]),
            (good, 0, vec![]),
            ("{{ define \"mine\" }}\né {{ .Com", 1, vec!["2:10: error: unclosed action [bad-template]"]),
            (calls, 0, vec![warned]),
            ("{{ define \"mine\" }}", 1, vec!["1:20: error: unexpected EOF [bad-template]"]),
            ("", 0, vec![title]),
        ] {
            std::fs::write(&file, text).unwrap();
            let mut loaded = load_with(&config(), folder.path(), Some(&mut last_good));
            let (mut diagnostics, found) = (std::mem::take(&mut loaded.diagnostics), loaded.quarantined);
            check_names(Source { name: "watchfire.yml", text: CONFIG }, &loaded, &mut diagnostics);
            let of_file = format!("{}:", file.display());
            let lines = diagnostics.iter().map(|diagnostic| diagnostic.to_string().replace(&of_file, ""));
            let lines: Vec<String> = lines.map(|text| text.lines().next().unwrap_or_default().to_owned()).collect();
            assert_eq!((lines, found), (told.iter().map(|line| (*line).to_owned()).collect(), quarantined), "{text}");
            // As after a restart.
            last_good.keep();
            last_good = LastGood::open(kept.clone());
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_told_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = "route: {receiver: r}\nreceivers: [{name: r}]\ntemplates:\n- '*.tmpl'\n- gone.tmpl\n";
        let source = Source { name: "watchfire.yml", text };
        let config = load_config(source, &FixedEnvironment::default()).0.unwrap();
        let loaded = load_templates(&config, folder.path());
        let mut diagnostics = loaded.diagnostics.clone();
        check_names(source, &loaded, &mut diagnostics);
        let [told] = &diagnostics[..] else { panic!("{diagnostics:?}") };
        assert_eq!((&*told.file, told.line, told.column, told.is_error()), ("watchfire.yml", 5, 3, false));
        assert!(told.message.ends_with("/gone.tmpl"), "{told}");
    }

    /// What is told of these versions of a file that makes whole messages, and whether there is one to send.
    #[test]
    fn of_a_broken_file_of_messages_the_last_good_version_is_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("templates.json");
        // Its folder holds files of the other language too, which it is none of.
        let text = "templates: ['*.tmpl']\nroute: {receiver: r}\nreceivers:\n- name: r\n  slack_configs:\n  \
                    - {api_url: http://s/, channel: '#c', template: a.hbs}\n";
        let (config, _) = load_config(Source { name: "watchfire.yml", text }, &FixedEnvironment::default());
        let config = config.unwrap();
        let mut last_good = LastGood::open(kept.clone());
        for (text, told, sent) in [
            (Some("one\n  {{#if x}}"), Some("a.hbs:2:"), None),
            (Some("good {{headline}}"), None, Some("good {{headline}}")),
            (Some("\n\n{{#if x}}"), Some("a.hbs:3:"), Some("good {{headline}}")),
            (None, Some("cannot be read"), Some("good {{headline}}")),
            (Some("better"), None, Some("better")),
        ] {
            let file = folder.path().join("a.hbs");
            match text {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            let loaded = load_with(&config, folder.path(), Some(&mut last_good));
            let found: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
            assert_eq!((found.len(), loaded.quarantined), (told.iter().count(), told.iter().count()), "{found:?}");
            for (found, told) in found.iter().zip(told) {
                assert!(found.contains(told), "{found}");
            }
            assert_eq!(last_good.latest(&file.display().to_string()), sent, "{text:?}");
            assert_eq!(loaded.templates.handlebars.has("a.hbs"), sent.is_some(), "{text:?}");
            // As after a restart.
            last_good.keep();
            last_good = LastGood::open(kept.clone());
        }
    }
}
