//! What a folder of plugins holds, as far as it can be known without compiling or running one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use watchfire_plugin::{Kind, Limits};

use crate::host::is_plugin_name;
use crate::inspect::{check_grant, outline};
use crate::{LoadError, Policy};

/// The plugins of a folder by name: the kinds of what each offers, or why it would not be loaded.
pub type Survey = BTreeMap<String, Result<BTreeSet<Kind>, LoadError>>;

/// Looks at every file of a folder that would be loaded under a policy. `limits` and `bytes_max` are those of the host.
///
/// # Errors
/// If the directory cannot be read.
pub fn survey(directory: &Path, policy: &Policy, limits: Limits, bytes_max: u64) -> Result<Survey, LoadError> {
    let files = files(directory)?;
    Ok(files.into_iter().map(|(name, path)| (name.clone(), examine(&name, &path, policy, limits, bytes_max))).collect())
}

fn examine(
    name: &str,
    path: &Path,
    policy: &Policy,
    limits: Limits,
    bytes_max: u64,
) -> Result<BTreeSet<Kind>, LoadError> {
    if !is_plugin_name(name) {
        return Err(LoadError::Name { name: name.to_owned() });
    }
    let wasm = read(path, bytes_max)?;
    policy.admit(name, &crate::cache::sha256(&wasm), path, &wasm)?;
    let own = policy.of(name);
    let outline = outline(&wasm, &own.limits.least(limits))?;
    if let Some(grant) = &own.grant {
        check_grant(name, &outline.imports, grant)?;
    }
    Ok(outline.kinds)
}

/// The files of a folder that are plugins, by name.
pub(crate) fn files(directory: &Path) -> Result<BTreeMap<String, PathBuf>, LoadError> {
    let failed = |error| LoadError::Read { path: directory.to_owned(), error };
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_some_and(|extension| extension == "wasm") {
            files.insert(stem.to_owned(), path);
        }
    }
    Ok(files)
}

/// A plugin's file, unless it is larger than any may be. What is no file, such as a pipe, could be without an end.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, LoadError> {
    let failed = |error| LoadError::Read { path: path.to_owned(), error };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    check_size(metadata.len(), bytes_max)?;
    let mut wasm = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // It may grow while it is read.
    let mut file = fs::File::open(path).map_err(failed)?.take(bytes_max.saturating_add(1));
    file.read_to_end(&mut wasm).map_err(failed)?;
    check_size(wasm.len() as u64, bytes_max)?;
    Ok(wasm)
}

pub(crate) fn check_size(bytes: u64, limit: u64) -> Result<(), LoadError> {
    if bytes > limit { Err(LoadError::TooLarge { bytes, limit }) } else { Ok(()) }
}
