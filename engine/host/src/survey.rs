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

/// The SHA-256 of every file of a folder that may be a plugin, by name, or why it can be none. `bytes_max` is that of the
/// host.
///
/// # Errors
/// If the directory cannot be read.
pub fn digests(directory: &Path, bytes_max: u64) -> Result<BTreeMap<String, Result<String, LoadError>>, LoadError> {
    let digest = |(name, path): (String, PathBuf)| {
        let digest = match is_plugin_name(&name) {
            true => read(&path, bytes_max).map(|wasm| crate::cache::sha256(&wasm)),
            false => Err(LoadError::Name { name: name.clone() }),
        };
        (name, digest)
    };
    Ok(files(directory)?.into_iter().map(digest).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_plugin_has_no_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["good.wasm", "Bad Name.wasm", ".hidden.wasm", "note.txt"] {
            fs::write(path(name), "").unwrap();
        }
        fs::write(path("large.wasm"), "12345").unwrap();
        fs::create_dir(path("folder.wasm")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero.wasm")).unwrap();
        let told = |result: Result<String, LoadError>| match result {
            Ok(digest) => digest[..8].to_owned(),
            Err(error) => error.at(Path::new("FILE")).replace(&folder.path().display().to_string(), "DIR"),
        };
        let found = digests(folder.path(), 4).unwrap().into_iter().map(|(name, result)| (name, told(result)));
        let name = |name: &str| format!("FILE: {}", LoadError::Name { name: name.to_owned() });
        let expected = [
            (".hidden", name(".hidden")),
            ("Bad Name", name("Bad Name")),
            ("folder", "cannot read DIR/folder.wasm: it is no file".to_owned()),
            ("good", "e3b0c442".to_owned()),
            ("large", "FILE: the plugin has 5 bytes, the limit is 4; strip debug information".to_owned()),
            ("zero", "cannot read DIR/zero.wasm: it is no file".to_owned()),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected.map(|(name, told)| (name.to_owned(), told)));
    }
}
