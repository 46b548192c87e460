//! Running other programs, with the reader told which step runs and how to go on if it fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root of the checkout: as cargo says now, because checkouts that share a target folder share this program, too.
pub(crate) fn root() -> PathBuf {
    let told = variable("CARGO_MANIFEST_DIR");
    let xtask = Path::new(told.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR")));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Cargo's target folder: where the caller says, else `target` in the checkout.
pub(crate) fn target_dir() -> PathBuf {
    match variable("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// A variable of the environment, `None` if unset or empty.
#[expect(clippy::disallowed_methods, reason = "tasks are told by the environment what CI they run in")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `cargo` in the checkout's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}

/// The engine's binary, as developers build it.
pub(crate) fn binary() -> Result<PathBuf> {
    run("building the engine", &mut cargo(&["build", "--package", "watchfire-cli"]))?;
    Ok(target_dir().join("debug/watchfire"))
}

/// Says what begins.
pub(crate) fn announce(what: &str) {
    eprintln!("\n\x1b[1m==> {what}\x1b[0m");
}

/// Runs to the end and fails if the program does.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{what}: cannot start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// Whether a program can be started; looks for it as the shell would.
pub(crate) fn installed(program: &str) -> bool {
    variable("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
