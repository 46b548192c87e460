//! Building the plugins of `plugins/`, each with its own language's toolchain.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::step;

const TARGET: &str = "wasm32-wasip2";

/// What was built.
pub(crate) struct Built {
    /// Holds one `.wasm` file per plugin.
    pub(crate) folder: PathBuf,
    /// Plugins that were left out, with the reason.
    pub(crate) skipped: Vec<String>,
}

/// Builds everything whose toolchain is here. The engine's binary puts in what each says of itself, and its tests.
pub(crate) fn build(binary: &Path) -> Result<Built> {
    add_target(TARGET)?;
    let folder = step::target_dir().join("plugins");
    std::fs::create_dir_all(&folder)?;
    let target_dir = step::target_dir().join("guest");
    let mut cargo = step::cargo(&["build", "--release", "--target", TARGET, "--manifest-path", "plugins/Cargo.toml"]);
    step::run("building the Rust plugins", cargo.env("CARGO_TARGET_DIR", &target_dir))?;
    let artefacts = target_dir.join(TARGET).join("release");
    for entry in std::fs::read_dir(&artefacts).with_context(|| artefacts.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
            complete(binary, &name, &path, &folder)?;
        }
    }
    let mut skipped = Vec::new();
    if step::installed("npm") {
        javascript(binary, &folder)?;
    } else {
        skipped.push("the JavaScript plugin: npm is not installed".to_owned());
    }
    Ok(Built { folder, skipped })
}

/// Builds the SDK's example `probe`, a plugin that tries what none may, for the host's tests. It lies apart, so that
/// nobody loads it with the rest.
pub(crate) fn build_probe(folder: &Path) -> Result<()> {
    let target_dir = step::target_dir().join("guest");
    let arguments =
        ["build", "--release", "--target", TARGET, "--example", "probe", "--manifest-path", "sdk/rust/Cargo.toml"];
    step::run("building the probe", step::cargo(&arguments).env("CARGO_TARGET_DIR", &target_dir))?;
    let apart = folder.join("test");
    std::fs::create_dir_all(&apart)?;
    let built = target_dir.join(TARGET).join("release/examples/probe.wasm");
    std::fs::copy(&built, apart.join("probe.wasm")).with_context(|| built.display().to_string())?;
    Ok(())
}

/// Builds the template of a condition in Python, to be measured. It lies apart, as the probe does.
pub(crate) fn build_python(folder: &Path) -> Result<()> {
    let sdk = step::root().join("sdk");
    let source = step::target_dir().join("guest/python");
    std::fs::create_dir_all(&source)?;
    std::fs::copy(sdk.join("python/templates/condition.py"), source.join("plugin.py"))?;
    let apart = folder.join("test");
    std::fs::create_dir_all(&apart)?;
    let mut command = Command::new("componentize-py");
    command.arg("-d").arg(sdk.join("wit")).args(["-w", "all-plugin", "componentize", "-p"]).arg(source);
    command.arg("-p").arg(sdk.join("python")).args(["watchfire_exports", "-o"]).arg(apart.join("python.wasm"));
    step::run("building the Python plugin", &mut command)
}

/// Adds manifest and tests to a component.
fn complete(binary: &Path, name: &str, component: &Path, folder: &Path) -> Result<()> {
    let mut build = Command::new(binary);
    build.args(["plugin", "build"]).arg(step::root().join("plugins").join(name)).arg("--from").arg(component);
    build.arg("--output").arg(folder.join(name).with_extension("wasm"));
    step::run(&format!("completing {name}"), &mut build)
}

/// Adds the compiler's target if it is missing; without rustup the compiler says itself what is missing.
pub(crate) fn add_target(target: &str) -> Result<()> {
    if !step::installed("rustup") {
        return Ok(());
    }
    let listed = Command::new("rustup").args(["target", "list", "--installed"]).output()?;
    if String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == target) {
        return Ok(());
    }
    step::run(&format!("adding the target {target}"), Command::new("rustup").args(["target", "add", target]))
}

/// Where the plugin in JavaScript is, and what it is called when built.
pub(crate) const JAVASCRIPT: &str = "js-threshold";

/// Installs the toolchain of the lock file beside the plugin and builds with it.
fn javascript(binary: &Path, folder: &Path) -> Result<()> {
    let source = step::root().join("plugins").join(JAVASCRIPT);
    let installed = source.join("node_modules/.package-lock.json");
    if !installed.is_file() {
        let mut install = Command::new("npm");
        install.args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&source);
        step::run("installing the JavaScript toolchain", &mut install)?;
    }
    let component = step::target_dir().join("guest").join(JAVASCRIPT).with_extension("wasm");
    let mut build = Command::new("npm");
    build.args(["run", "--silent", "build", "--"]).arg(&component).current_dir(&source);
    step::run("building the JavaScript plugin", &mut build)?;
    complete(binary, JAVASCRIPT, &component, folder)
}
