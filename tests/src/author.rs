//! The author's way, once per language: `watchfire plugin new`, `build`, `test`, with the language's real toolchain.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Case;
use crate::support::{Tool, variable};

const BUILT: Tool = Tool::Binary;

pub(crate) const CASES: &[Case] = &[
    Case { name: "author::rust", needs: &[BUILT, Tool::Program("cargo")], run: || three("rust") },
    Case { name: "author::python", needs: &[BUILT, Tool::Program("componentize-py")], run: || three("python") },
    Case { name: "author::javascript", needs: &[BUILT, Tool::Program("npm")], run: || three("javascript") },
    Case { name: "author::typescript", needs: &[BUILT, Tool::Program("npm")], run: || three("typescript") },
    Case { name: "author::go", needs: &[BUILT, Tool::Program("go")], run: || three("go") },
    Case { name: "author::c", needs: &[BUILT, Tool::Program("clang")], run: || three("c") },
    Case { name: "author::cpp", needs: &[BUILT, Tool::Program("clang++")], run: || three("cpp") },
    Case { name: "author::wat", needs: &[BUILT], run: || tour("wat", "condition", None) },
    Case { name: "author::mistakes_are_told", needs: &[BUILT], run: mistakes },
];

/// All three kinds, one after the other; what they download is shared.
fn three(language: &str) -> Result<()> {
    let shared = tempfile::tempdir()?;
    for kind in ["condition", "router", "formatter"] {
        tour(language, kind, Some(shared.path()))?;
    }
    Ok(())
}

/// What an author does first, up to the plugin that passes its tests.
fn tour(language: &str, kind: &str, shared: Option<&Path>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[&str]| watchfire(folder.path(), shared, arguments);
    let (code, told) = run(&["plugin", "new", "first", "--lang", language, "--kind", kind])?;
    ensure!(code == Some(0), "new: {told}");
    if let (Some(shared), "javascript" | "typescript") = (shared, language) {
        // One download serves the three kinds.
        let modules = shared.join("node_modules");
        if modules.is_dir() {
            std::os::unix::fs::symlink(&modules, folder.path().join("first/node_modules"))?;
        }
    }
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(0), "{language} {kind}: build: {told}");
    let (code, told) = run(&["plugin", "test", "first"])?;
    ensure!(code == Some(0) && told.contains(" passed, 0 failed"), "{language} {kind}: test: {told}");
    let (code, told) = run(&["plugin", "inspect", "first/build/first.wasm"])?;
    ensure!(code == Some(0) && told.contains(&format!("written in {language}")), "{language} {kind}: inspect: {told}");
    ensure!(told.contains(kind), "{language} {kind}: inspect: {told}");
    let modules = folder.path().join("first/node_modules");
    if let Some(shared) = shared
        && modules.is_dir()
        && !modules.is_symlink()
    {
        std::fs::rename(modules, shared.join("node_modules"))?;
    }
    Ok(())
}

fn watchfire(folder: &Path, shared: Option<&Path>, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let binary = variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?;
    let mut command = Command::new(binary);
    if let Some(shared) = shared {
        command.env("CARGO_TARGET_DIR", shared.join("target"));
    }
    let output = command.args(arguments).current_dir(folder).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

fn mistakes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[&str]| watchfire(folder.path(), None, arguments);
    let (code, told) = run(&["plugin", "new", "First", "--lang", "c"])?;
    ensure!(code == Some(1) && told.contains("lower-case letters"), "{told}");
    let (code, told) = run(&["plugin", "new", "first", "--lang", "cobol"])?;
    ensure!(code == Some(2) && told.contains("use rust, python"), "{told}");
    let (code, told) = run(&["plugin", "new", "first", "--lang", "wat"])?;
    ensure!(code == Some(0), "{told}");
    let (code, told) = run(&["plugin", "new", "first", "--lang", "wat"])?;
    ensure!(code == Some(1) && told.contains("exists already"), "{told}");
    std::fs::write(folder.path().join("first/plugin.wat"), "(module (func (export \"nothing\")))")?;
    let (code, told) = run(&["plugin", "build", "first"])?;
    ensure!(code == Some(1) && told.contains("cannot make a component"), "{told}");
    let (code, told) = run(&["plugin", "inspect", "first/plugin.yml"])?;
    ensure!(code == Some(1) && told.contains("this is not WebAssembly"), "{told}");
    Ok(())
}
