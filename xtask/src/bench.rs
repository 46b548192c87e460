//! `cargo xtask bench`: the figures of the README, measured here and now.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{dist, plugins, step};

/// Everything that can be measured, in this order; the last by the plugin host's own example.
const MEASUREMENTS: [&str; 8] = ["detection", "ingest", "rules", "steady", "evaluator", "recovery", DISPATCH, PLUGINS];
const DISPATCH: &str = "dispatch";
/// What `dispatch` consists of.
const DISPATCH_PARTS: [&str; 4] = ["accept", "notify", "hold", "faults"];
const PLUGINS: &str = "plugins";
const PLUGINS_EXAMPLE: &str = "bench_plugins";

pub(crate) fn run(options: &[String]) -> Result<()> {
    let known = || MEASUREMENTS.into_iter().chain(DISPATCH_PARTS);
    if let Some(unknown) = options.iter().find(|option| !known().any(|name| name == option.as_str())) {
        let (all, parts) = (MEASUREMENTS.join(", "), DISPATCH_PARTS.join(", "));
        bail!("{unknown:?} cannot be measured; choose of {all}, or of the parts of {DISPATCH}: {parts}");
    }
    let asked = |name: &str| options.iter().any(|option| option == name);
    let wanted = |name: &str| asked(name) || options.is_empty() && MEASUREMENTS.contains(&name);
    if wanted(PLUGINS) {
        require_languages()?;
    }
    let of_engine: Vec<&str> = known().filter(|name| *name != PLUGINS && wanted(name)).collect();
    if !of_engine.is_empty() {
        let shipped = dist::build()?;
        let what = of_engine.join(", ");
        step::announce(&format!("{what}, beside Prometheus and Alertmanager where they are installed"));
        // Its own part is measured, too: the evaluator beside others.
        step::run("building", &mut step::cargo(&["build", "--profile", "dist", "--package", "watchfire-bench"]))?;
        let mut bench = Command::new(step::target_dir().join("dist/watchfire-bench"));
        step::run("the measurement", bench.arg(shipped).args(of_engine))?;
    }
    if wanted(PLUGINS) {
        step::announce("plugins, beside native code and Extism (building, some minutes)");
        // Without a profile, which the peer and the native code have neither. In one go, so that no library is compiled a
        // second time with other features.
        let what =
            ["--package", "watchfire-host", "--example", PLUGINS_EXAMPLE, "--package", "watchfire-cli", "--bins"];
        step::run("building", step::cargo(&["build", "--profile", "dist"]).args(what))?;
        let folder = step::target_dir().join("dist");
        let built = plugins::build(&folder.join("watchfire"))?;
        plugins::build_python(&built.folder)?;
        // Everything is built before the first figure, so that all are measured one after the other.
        let [peer, guest] = build_extism(&step::root().join("bench/extism"))?;
        let mut bench = Command::new(folder.join("examples").join(PLUGINS_EXAMPLE));
        step::run("the measurement of plugins", bench.args([built.folder, peer, guest]))?;
    }
    Ok(())
}

/// Says before anything is built what is missing, since a table without some of its rows compares nothing.
fn require_languages() -> Result<()> {
    for (program, remedy) in [
        ("npm", "install Node.js, which brings it: the plugin in JavaScript is built with it"),
        ("componentize-py", "run `pip install componentize-py==0.25.1`: the plugin in Python is built with it"),
    ] {
        if !step::installed(program) {
            bail!("{program} is not installed; {remedy}");
        }
    }
    Ok(())
}

/// Builds the peer, a workspace of its own; answers what measures it, and its guest.
fn build_extism(source: &Path) -> Result<[PathBuf; 2]> {
    const GUEST: &str = "wasm32-unknown-unknown";
    plugins::add_target(GUEST)?;
    let target = step::target_dir().join("extism");
    let build = |what: &[&str]| {
        let mut cargo = step::cargo(&["build", "--release", "--locked", "--package"]);
        step::run("building Extism", cargo.args(what).current_dir(source).env("CARGO_TARGET_DIR", &target))
    };
    build(&["bench-extism"])?;
    build(&["bench-extism-guest", "--target", GUEST])?;
    Ok([target.join("release/bench-extism"), target.join(GUEST).join("release/bench_extism_guest.wasm")])
}
