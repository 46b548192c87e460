//! Compiled code, kept between starts.
//!
//! A file is named by the SHA-256 of the plugin and by everything of the engine that the machine code depends on, so it
//! never has to be invalidated. Machine code is trusted when it is loaded, hence the care about whose directory it is.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::HostError;

const EXTENSION: &str = "cwasm";

/// A directory that only this user can write.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    engine: String,
    bytes_max: u64,
}

impl Cache {
    /// Creates the directory, or checks that nobody else could have put code into it.
    pub(crate) fn open(directory: &Path, engine: &Engine, bytes_max: u64) -> Result<Cache, HostError> {
        let refusal = |reason: String| HostError::Cache { path: directory.to_owned(), reason };
        create_private(directory).map_err(|error| refusal(error.to_string()))?;
        check_private(directory).map_err(refusal)?;
        let mut hasher = Fingerprint(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = hex(&hasher.0.finalize()[..8]);
        Ok(Cache { directory: directory.to_owned(), engine, bytes_max })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}-{}.{EXTENSION}", self.engine))
    }

    /// The compiled plugin of a digest, if it is there and usable.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let metadata = fs::symlink_metadata(&path).ok()?;
        if !metadata.is_file() {
            return None;
        }
        match deserialize(engine, &path) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled plugin cannot be used, it is compiled anew");
                drop(fs::remove_file(&path));
                None
            }
        }
    }

    /// Keeps a compiled plugin. A failure costs the next start some time and nothing else.
    pub(crate) fn store(&self, digest: &str, component: &Component) {
        let kept = component.serialize().map_err(io::Error::other).and_then(|code| {
            let partial = self.directory.join(format!("{digest}-{}.{}.partial", self.engine, std::process::id()));
            let mut file = File::create(&partial)?;
            file.write_all(&code)?;
            // A torn file must never get the final name, not even by a power failure.
            file.sync_all()?;
            fs::rename(&partial, self.path(digest))
        });
        if let Err(error) = kept {
            tracing::warn!(directory = %self.directory.display(), %error, "compiled plugin is not kept");
        }
        self.prune(&self.path(digest));
    }

    /// Removes the oldest files until the rest fits, but never `kept`.
    fn prune(&self, kept: &Path) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let mut files: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == EXTENSION))
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= self.bytes_max {
                return;
            }
            if path != kept && fs::remove_file(&path).is_ok() {
                bytes -= length;
            }
        }
    }
}

/// Loads machine code that this program wrote.
#[expect(unsafe_code, reason = "the only way to load compiled code; see SAFETY")]
fn deserialize(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file must be what `Component::serialize` wrote, unmodified. It lies in a directory that
    // `check_private` found to be owned by this user with no access for others, under a name that only `Cache::store`
    // gives and only after everything was written and synced; wasmtime itself checks version and settings in its header.
    // Whoever can write there as this user can as well replace the program.
    unsafe { Component::deserialize_file(engine, path) }
}

#[cfg(unix)]
fn create_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(unix)]
fn check_private(directory: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(directory).map_err(|error| error.to_string())?;
    if !metadata.is_dir() {
        return Err("it is not a directory".to_owned());
    }
    // A file of one's own tells who one is without a system call that the standard library does not have.
    let probe = directory.join(format!(".owner-{}", std::process::id()));
    let own = File::create(&probe).and_then(|file| file.metadata()).map(|metadata| metadata.uid());
    drop(fs::remove_file(&probe));
    let own = own.map_err(|error| format!("it cannot be written: {error}"))?;
    if metadata.uid() != own {
        return Err(format!("it belongs to user {} and this is user {own}", metadata.uid()));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("others have access to it (mode {mode:o}); run `chmod 700` on it"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn create_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

#[cfg(not(unix))]
fn check_private(directory: &Path) -> Result<(), String> {
    if directory.is_dir() { Ok(()) } else { Err("it is not a directory".to_owned()) }
}

/// SHA-256 as lower-case hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes with SHA-256 whatever can be hashed, so that the answer is the same in the next process.
struct Fingerprint(Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
