//! The files that a command line means.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use watchfire::{matching, read};

/// A file is itself, a folder those of its YAML files whose text is `meant`, and anything else a pattern. Each once, in
/// the order in which they were named; `what` is what they are called in errors.
pub(crate) fn named(arguments: &[PathBuf], what: &str, meant: fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for argument in arguments {
        if argument.is_file() {
            files.push(argument.clone());
        } else if argument.is_dir() {
            let patterns = ["**/*.yml", "**/*.yaml"].map(|pattern| argument.join(pattern).display().to_string());
            let mut found = matching(&patterns, Path::new(""), &mut Vec::new());
            // Rules, their tests and other files often stand beside each other.
            found.retain(|path| read(path).is_ok_and(|text| meant(&text)));
            ensure!(!found.is_empty(), "there is no {what} in {}", argument.display());
            files.extend(found);
        } else {
            // A pattern that finds nothing is reported here.
            let found = matching(&[argument.display().to_string()], Path::new(""), &mut Vec::new());
            ensure!(!found.is_empty(), "{}: no such file", argument.display());
            files.extend(found);
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}
