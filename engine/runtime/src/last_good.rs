//! The last good version of every rule file and every file of templates, over a restart too.
//!
//! What is kept are texts: the last version without an error, and behind it those later ones of a rule file that are broken
//! in part and whose other rules are in force. Read in this order, each standing in for what is broken in the next, they
//! give what was in force.

use std::path::{Path, PathBuf};

use watchfire_config::{Source, load_rules_with};
use watchfire_promql::Features;
use watchfire_rules::RuleFile;
use watchfire_store::{Texts, Versions};

use crate::load::stand_in;

/// Versions of one file that are kept; of more the second oldest goes, which costs at most a rule that was mended and
/// broken again meanwhile.
const VERSIONS_MAX: usize = 8;

/// The last good versions of all files, by what they are read as.
#[derive(Clone, Debug)]
pub(crate) struct LastGoodFiles {
    pub(crate) rules: LastGood,
    pub(crate) templates: LastGood,
}

impl LastGoodFiles {
    /// What the process before kept in this folder.
    pub(crate) fn open(folder: &Path) -> LastGoodFiles {
        LastGoodFiles {
            rules: LastGood::open(folder.join("rules.json")),
            templates: LastGood::open(folder.join("templates.json")),
        }
    }

    /// Whether all of it is durable.
    pub(crate) fn is_kept(&self) -> bool {
        self.rules.is_kept() && self.templates.is_kept()
    }

    /// Makes it durable, if something has changed.
    pub(crate) fn keep(&mut self) {
        self.rules.keep();
        self.templates.keep();
    }
}

/// The texts as they are in force, and as they are on disk.
#[derive(Clone, Debug)]
pub(crate) struct LastGood {
    texts: Texts,
    versions: Versions,
    kept: Versions,
}

impl LastGood {
    /// What the process before kept. What cannot be read is told and is as if it were not there.
    pub(crate) fn open(path: PathBuf) -> LastGood {
        let texts = Texts::new(path);
        let kept = texts.read().unwrap_or_else(|error| {
            let path = texts.path().display().to_string();
            tracing::error!(path, %error, "the last good versions of files cannot be read");
            Versions::new()
        });
        LastGood { texts, versions: kept.clone(), kept }
    }

    /// Takes note of a version of a file that was read.
    pub(crate) fn note(&mut self, file: &str, text: &str, is_whole: bool) {
        let versions = self.versions.entry(file.to_owned()).or_default();
        if is_whole {
            versions.clear();
        }
        if versions.last().is_none_or(|last| last != text) {
            versions.push(text.to_owned());
        }
        if versions.len() > VERSIONS_MAX {
            versions.remove(1);
        }
    }

    /// The files of which a version is kept.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.versions.keys().map(String::as_str)
    }

    /// Forgets the files that are no longer there.
    pub(crate) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.versions.retain(|file, _| is_there(file));
    }

    /// The version of a file that was noted last.
    pub(crate) fn latest(&self, file: &str) -> Option<&str> {
        self.versions.get(file)?.last().map(String::as_str)
    }

    /// The rule file as it was in force last, if it was.
    pub(crate) fn restore(&self, file: &str, features: Features) -> Option<RuleFile> {
        let mut restored: Option<RuleFile> = None;
        for text in self.versions.get(file)? {
            let fresh = load_rules_with(Source { name: file, text }, features);
            restored = Some(match restored {
                Some(before) => stand_in(fresh.file, &fresh.quarantined, &before),
                None => fresh.file,
            });
        }
        restored
    }

    /// Whether it is durable.
    pub(crate) fn is_kept(&self) -> bool {
        self.versions == self.kept
    }

    /// Makes it durable, if something has changed.
    pub(crate) fn keep(&mut self) {
        if self.is_kept() {
            return;
        }
        match self.texts.keep(&self.versions) {
            Ok(()) => self.kept = self.versions.clone(),
            Err(error) => {
                let path = self.texts.path().display().to_string();
                tracing::error!(path, %error, "the last good versions of files cannot be kept over a restart");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(a: &str, b: &str) -> String {
        format!("groups:\n- name: g\n  rules:\n  - {{alert: A, expr: '{a}'}}\n  - {{alert: B, expr: '{b}'}}\n")
    }

    fn in_force(last_good: &LastGood) -> Vec<String> {
        let file = last_good.restore("f.yml", Features::default());
        let rules = file.iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules);
        rules.map(|rule| rule.source.text().to_owned()).collect()
    }

    #[test]
    fn every_rule_comes_back_in_its_own_last_good_version() {
        let dir = tempfile::tempdir().unwrap();
        let open = || LastGood::open(dir.path().join("rules.json"));
        let mut last_good = open();
        let versions = [("a > 1", "b > 1"), ("a > ", "b > 2"), ("a > ", "b > "), ("a > 4", "b > ")];
        let expected = [["a > 1", "b > 1"], ["a > 1", "b > 2"], ["a > 1", "b > 2"], ["a > 4", "b > 2"]];
        for ((a, b), expected) in versions.into_iter().zip(expected) {
            let text = text(a, b);
            let fresh = load_rules_with(Source { name: "f.yml", text: &text }, Features::default());
            last_good.note("f.yml", &text, fresh.quarantined.is_empty());
            last_good.keep();
            // As after a restart.
            last_good = open();
            assert_eq!(in_force(&last_good), expected);
        }
        for n in 0..20 {
            last_good.note("f.yml", &text("a >", &format!("b > {n}")), false);
        }
        assert_eq!(last_good.versions["f.yml"].len(), VERSIONS_MAX);
        // The second oldest went, the first, which was whole, is still there; `a > 4` is what the bound cost.
        assert_eq!(in_force(&last_good), ["a > 1", "b > 19"]);
        last_good.note("f.yml", &text("a > 3", "b > 3"), true);
        assert_eq!(last_good.versions["f.yml"].len(), 1);
        last_good.retain(|_| false);
        assert_eq!(in_force(&last_good), [""; 0]);
    }

    #[test]
    fn texts_that_cannot_be_read_are_as_if_they_were_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rules.json");
        std::fs::write(&path, "{").unwrap();
        let mut last_good = LastGood::open(path.clone());
        assert_eq!(in_force(&last_good), [""; 0]);
        last_good.note("f.yml", &text("a", "b"), true);
        last_good.keep();
        assert_eq!(in_force(&LastGood::open(path)), ["a", "b"]);
    }
}
