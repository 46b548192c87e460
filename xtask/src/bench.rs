//! `cargo xtask bench`: the figures of the README, measured here and now.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{plugins, step};

/// Everything that can be measured, in this order; the last by the plugin host's own example.
const MEASUREMENTS: [&str; 8] =
    ["detection", "ingest", "rules", "steady", "evaluator", "recovery", "dispatch", PLUGINS];
const PLUGINS: &str = "plugins";
const PLUGINS_EXAMPLE: &str = "bench_plugins";

pub(crate) fn run(options: &[String]) -> Result<()> {
    if let Some(unknown) = options.iter().find(|option| !MEASUREMENTS.contains(&option.as_str())) {
        bail!("{unknown:?} cannot be measured; choose of {}", MEASUREMENTS.join(", "));
    }
    let wanted = |name: &str| options.is_empty() || options.iter().any(|option| option == name);
    let of_engine: Vec<&str> = MEASUREMENTS.into_iter().filter(|name| *name != PLUGINS && wanted(name)).collect();
    step::announce("1/3 Building what is shipped (thin LTO, some minutes)");
    // In one go, so that no library is compiled a second time with other features.
    let mut what = vec!["--package", "watchfire-host", "--example", PLUGINS_EXAMPLE];
    if !of_engine.is_empty() {
        what.extend(["--package", "watchfire-cli", "--package", "watchfire-bench", "--bins"]);
    }
    step::run("building", step::cargo(&["build", "--profile", "dist"]).args(what))?;
    let folder = step::target_dir().join("dist");
    if !of_engine.is_empty() {
        step::announce(&format!(
            "2/3 {}, beside Prometheus and Alertmanager where they are installed",
            of_engine.join(", ")
        ));
        let mut bench = Command::new(folder.join("watchfire-bench"));
        step::run("the measurement", bench.arg(folder.join("watchfire")).args(of_engine))?;
    }
    if wanted(PLUGINS) {
        step::announce("3/3 plugins, beside native code");
        let built = plugins::build()?;
        if let Err(error) = plugins::build_python(&built.folder) {
            eprintln!("The plugin in Python is left out: {error:#}");
        }
        let mut bench = Command::new(folder.join("examples").join(PLUGINS_EXAMPLE));
        step::run("the measurement of plugins", bench.env("WATCHFIRE_PLUGINS", &built.folder))?;
    }
    Ok(())
}
