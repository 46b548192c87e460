//! A plugin's folder, as `plugin.yml` describes it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use watchfire_host::{LoadError, Manifest, ManifestLimits};
use watchfire_plugin::Kind;

use crate::document::{Document, Step};
use crate::{AuthorError, Language};

/// The file that describes a plugin.
const FILE: &str = "plugin.yml";

/// A plugin's folder.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder.
    pub folder: PathBuf,
    /// The language that it is written in.
    pub language: Language,
    /// What it offers.
    pub kinds: Vec<Kind>,
    /// What it says of itself.
    pub manifest: Manifest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    name: String,
    version: String,
    language: String,
    kinds: Vec<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    authors: Vec<String>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    license: String,
    #[serde(default)]
    limits: ManifestLimits,
}

impl Project {
    /// Reads the folder's `plugin.yml`.
    ///
    /// # Errors
    /// If it is not there or says what cannot be.
    pub fn open(folder: &Path) -> Result<Project, AuthorError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(AuthorError::NoProject(folder.to_owned()));
        }
        let document = Document::open(&path)?;
        let described: Described = document.read()?;
        let wrong = |key: &str, message: &str, help: &str| document.wrong(&[Step::Key(key.to_owned())], message, help);
        if !watchfire_host::is_plugin_name(&described.name) {
            let help = "take lower-case letters, digits and dashes, such as `disk-forecast`";
            return Err(wrong("name", &LoadError::Name { name: described.name }.to_string(), help));
        }
        let language: Language = described
            .language
            .parse()
            .map_err(|error: String| wrong("language", &error, "`watchfire plugin new --help` lists the languages"))?;
        const KINDS: [Kind; 3] = [Kind::Condition, Kind::Router, Kind::Formatter];
        const KINDS_HELP: &str = "write one or more of condition, router and formatter";
        let mut kinds = Vec::new();
        for (index, word) in described.kinds.iter().enumerate() {
            let found = KINDS.into_iter().find(|kind| kind.as_str() == word);
            let place = [Step::Key("kinds".to_owned()), Step::Item(index)];
            let kind = found.ok_or_else(|| document.wrong(&place, &format!("{word:?} is no kind"), KINDS_HELP))?;
            if kinds.contains(&kind) {
                let help = "write each kind once; `describe` may offer several of one";
                return Err(document.wrong(&place, &format!("{word:?} stands there twice"), help));
            }
            kinds.push(kind);
        }
        if kinds.is_empty() {
            return Err(wrong("kinds", "it is of no kind", KINDS_HELP));
        }
        let manifest = Manifest {
            name: described.name,
            version: described.version,
            summary: described.summary,
            contract: watchfire_host::CONTRACT_VERSION.to_owned(),
            language: language.to_string(),
            authors: described.authors,
            source: described.source,
            license: described.license,
            limits: described.limits,
        };
        Ok(Project { folder: folder.to_owned(), language, kinds, manifest })
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Where a build puts the plugin unless it is told otherwise.
    pub fn output(&self) -> PathBuf {
        self.folder.join("build").join(format!("{}.wasm", self.name()))
    }

    /// Where compiled code is kept between runs of the author's tools.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("build").join("compiled")
    }

    /// The files with cases, sorted.
    ///
    /// # Errors
    /// If the folder `tests` cannot be read; where there is none there are no cases.
    pub fn cases(&self) -> Result<Vec<PathBuf>, AuthorError> {
        let tests = self.folder.join("tests");
        if !tests.is_dir() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(&tests).map_err(AuthorError::file(&tests))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(AuthorError::file(&tests)));
        let mut files: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml"));
        files.sort();
        Ok(files)
    }

    /// The world of the contract that a plugin in a language without an SDK of all kinds is built for.
    pub(crate) fn world(&self) -> String {
        match self.kinds.as_slice() {
            [kind] => format!("{}-plugin", kind.as_str()),
            _ => "all-plugin".to_owned(),
        }
    }
}

/// A number that changes whenever a file is saved that the plugin of a folder may be made of. What is built, installed or
/// downloaded does not count.
pub fn saved(folder: &Path) -> u64 {
    const NOT_WRITTEN_BY_HAND: [&str; 4] = ["build", "node_modules", "target", "watchfire"];
    let mut hasher = DefaultHasher::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // What is gone between two looks is a change that the next look finds.
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with('.') || name == "__pycache__" || NOT_WRITTEN_BY_HAND.contains(&name) {
                continue;
            }
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if metadata.is_dir() {
                folders.push(path);
            } else {
                (path, metadata.len(), metadata.modified().ok()).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}

/// The plugin that a path names: a file, or a plugin's folder with what was built there.
///
/// # Errors
/// If there is no such file, or the folder is not one of a plugin.
pub fn built(path: &Path) -> Result<PathBuf, AuthorError> {
    let file = if path.is_dir() { Project::open(path)?.output() } else { path.to_owned() };
    if file.exists() { Ok(file) } else { Err(AuthorError::NotBuilt(file)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_once_in_the_description() {
        let folder = tempfile::tempdir().unwrap();
        for (kinds, expected) in [
            ("[router, condition]", None),
            ("[condition, router, condition]", Some(":4:28: error: \"condition\" stands there twice [bad-value]")),
            ("[conditon]", Some(":4:9: error: \"conditon\" is no kind [bad-value]")),
            ("[]", Some(":4:8: error: it is of no kind [bad-value]")),
        ] {
            let text = format!("name: a\nversion: 0.1.0\nlanguage: c\nkinds: {kinds}\n");
            std::fs::write(folder.path().join(FILE), text).unwrap();
            let told = Project::open(folder.path()).map(drop).map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(told, Ok(())),
                Some(part) => assert!(told.as_ref().is_err_and(|told| told.contains(part)), "{kinds}: {told:?}"),
            }
        }
    }
}
