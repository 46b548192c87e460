//! `watchfire plugin lock`, `verify` and `pull`: what an operator says about plugins that others built.

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use watchfire::{plugin_policy, read};
use watchfire_config::Config;
use watchfire_host::{Host, HostSettings, LoadError, Lock, is_plugin_name, visible};

use crate::configuration::configuration;
use crate::oci::{Login, Reference, hex};
use crate::output::{say, visible_lines};

fn plugin_folder<'c>(config: &'c Config, path: &Path) -> Result<&'c Path> {
    config
        .plugins
        .dir
        .as_deref()
        .map(Path::new)
        .with_context(|| format!("{} names no folder under `plugins.dir`", path.display()))
}

/// Writes the digests of what lies in the plugin folder into the lock file, of all that can be loaded or of none.
pub(crate) fn lock(config_path: &Path) -> Result<ExitCode> {
    let config = configuration(config_path)?;
    let dir = plugin_folder(&config, config_path)?;
    let Some(lock) = &config.plugins.lock else {
        bail!("{} names no file under `plugins.lock`, such as `lock: plugins.lock`", config_path.display());
    };
    let path = Path::new(lock);
    // A lock file that cannot be read is not overwritten: what it pinned would be forgotten without a word.
    let before = if path.exists() {
        let text = read(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        Lock::parse(&text)
            .map_err(|error| anyhow::anyhow!("{}: {error}; mend it, or delete it to lock anew", path.display()))?
    } else {
        Lock::default()
    };
    let (mut after, mut left_out, mut unread) = (Lock::default(), Vec::new(), Vec::new());
    for (name, digest) in watchfire_host::digests(dir, HostSettings::default().file_bytes_max)? {
        let file = dir.join(format!("{name}.wasm"));
        match digest {
            Ok(digest) => drop(after.digests.insert(name, digest)),
            Err(error @ LoadError::Name { .. }) => left_out.push(format!("{} is not locked: {error}", file.display())),
            Err(error) => unread.push(visible(&error.at(&file))),
        }
    }
    // To leave out what cannot be read for a moment would forget what was pinned of it.
    ensure!(
        unread.is_empty(),
        "nothing is locked, mend these or take them out of {}:\n{}",
        dir.display(),
        unread.join("\n")
    );
    put(path, after.text(&from_beside(path, dir)?).as_bytes())?;
    for line in left_out {
        eprintln!("warning: {}", visible(&line));
    }
    for (name, digest) in &after.digests {
        match before.digests.get(name) {
            None => say!("new      {name:<24} sha256:{digest}"),
            Some(old) if old == digest => say!("same     {name:<24} sha256:{digest}"),
            Some(old) => say!("changed  {name:<24} sha256:{digest}, was sha256:{old}"),
        }
    }
    for name in before.digests.keys().filter(|name| !after.digests.contains_key(*name)) {
        say!("gone     {}", visible(name));
    }
    say!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// The way to a folder from where a file lies, wherever the command runs: `sha256sum --check` is run beside the file.
fn from_beside(file: &Path, folder: &Path) -> Result<PathBuf> {
    let (file, folder) = (std::path::absolute(file)?, std::path::absolute(folder)?);
    let beside = file.parent().unwrap_or(&file);
    // As it is called, be it a link, where no way up is needed: that leads elsewhere from behind a link.
    if let Ok(below) = folder.strip_prefix(beside) {
        return Ok(below.to_owned());
    }
    let real = |path: &Path| path.canonicalize().with_context(|| path.display().to_string());
    let (beside, folder) = (real(beside)?, real(&folder)?);
    let shared = beside.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = beside.components().skip(shared).map(|_| Component::ParentDir);
    Ok(up.chain(folder.components().skip(shared)).collect())
}

/// Puts a file in its place at once, since an engine may be reading it. A link stays one, and who may read the file may
/// go on doing so.
fn put(path: &Path, content: &[u8]) -> Result<()> {
    let before = std::fs::metadata(path).ok();
    let path = &if before.is_some() { path.canonicalize()? } else { path.to_owned() };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.partial"));
    std::fs::write(&partial, content).with_context(|| partial.display().to_string())?;
    if let Some(before) = before {
        std::fs::set_permissions(&partial, before.permissions()).with_context(|| partial.display().to_string())?;
    }
    std::fs::rename(&partial, path).with_context(|| path.display().to_string())
}

/// Says of every plugin in the folder whether it would be loaded, and why not.
pub(crate) fn verify(config_path: &Path) -> Result<ExitCode> {
    let config = configuration(config_path)?;
    let dir = plugin_folder(&config, config_path)?;
    let (policy, wrong) = plugin_policy(&config, Path::new(""));
    if let Some(diagnostic) = &wrong {
        eprintln!("{diagnostic}");
    }
    let host = Host::new(HostSettings { limits: config.plugins.limits, instances_max: 16, ..HostSettings::default() })?;
    let mut refused = usize::from(wrong.is_some());
    let loaded = host.load_dir(dir, &policy, &|_, _| Ok(()))?;
    // What was meant to restrict a plugin restricts nothing under a name that is misspelt.
    for name in policy.plugins.keys().filter(|name| !loaded.iter().any(|(found, _)| found == *name)) {
        refused += 1;
        say!("absent   {name:<24} `plugins.settings.{name}` is about no plugin in {}; is it misspelt?", dir.display());
    }
    for (name, result) in loaded {
        match result {
            Ok(info) => say!("ok       {name:<24} sha256:{}", info.digest),
            Err(error) => {
                refused += 1;
                say!("refused  {name:<24} {}", visible_lines(&error.to_string()));
            }
        }
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fetches a plugin by the digest of its manifest and puts it into a folder.
pub(crate) fn pull(reference: &Reference, into: &Path, name: Option<&str>, login: &Login) -> Result<ExitCode> {
    let settings = HostSettings { instances_max: 16, ..HostSettings::default() };
    let name = name.unwrap_or_else(|| reference.name());
    if !is_plugin_name(name) {
        bail!("{}; choose another with --name", LoadError::Name { name: name.to_owned() });
    }
    // Before the download, which may be long.
    std::fs::create_dir_all(into)
        .with_context(|| format!("cannot make the folder {}; name another with --into", into.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wasm = runtime.block_on(reference.pull(settings.file_bytes_max, login.given()?))?;
    // A file that cannot be a plugin here must not replace one that can.
    Host::new(settings)?.load(name, watchfire_host::Source::Bytes(&wasm))?;
    let path = into.join(format!("{name}.wasm"));
    put(&path, &wasm)?;
    say!("{}\nsha256:{}", path.display(), hex(&Sha256::digest(&wasm)));
    say!("\nNext: `watchfire plugin lock`, if the configuration has a lock file.");
    Ok(ExitCode::SUCCESS)
}
