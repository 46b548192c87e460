//! `cargo xtask bench`: the figures of the README, measured here and now.

use anyhow::{Result, bail};

use crate::step;

/// Everything that can be measured, in this order; the last by the plugin host's own example.
const MEASUREMENTS: [&str; 8] =
    ["detection", "ingest", "rules", "steady", "evaluator", "recovery", "dispatch", PLUGINS];
const PLUGINS: &str = "plugins";

pub(crate) fn run(options: &[String]) -> Result<()> {
    if let Some(unknown) = options.iter().find(|option| !MEASUREMENTS.contains(&option.as_str())) {
        bail!("{unknown:?} cannot be measured; choose of {}", MEASUREMENTS.join(", "));
    }
    let wanted = |name: &str| options.is_empty() || options.iter().any(|option| option == name);
    step::announce("1/3 Building what is shipped (thin LTO, some minutes)");
    // In one go, so that no library is compiled a second time with other features.
    let packages = ["--package", "watchfire-cli", "--package", "watchfire-bench", "--package", "watchfire-host"];
    let mut build = step::cargo(&["build", "--profile", "dist", "--bins", "--example", "bench_condition"]);
    step::run("building", build.args(packages))?;
    let folder = step::target_dir().join("dist");
    let of_engine: Vec<&str> = MEASUREMENTS.into_iter().filter(|name| *name != PLUGINS && wanted(name)).collect();
    if !of_engine.is_empty() {
        step::announce(&format!(
            "2/3 {}, beside Prometheus and Alertmanager where they are installed",
            of_engine.join(", ")
        ));
        let mut bench = std::process::Command::new(folder.join("watchfire-bench"));
        step::run("the measurement", bench.arg(folder.join("watchfire")).args(of_engine))?;
    }
    if wanted(PLUGINS) {
        step::announce("3/3 plugins");
        let built = crate::plugins::build()?;
        let mut plugins = std::process::Command::new(folder.join("examples/bench_condition"));
        step::run("the measurement of plugins", plugins.env("WATCHFIRE_PLUGINS", &built.folder))?;
    }
    Ok(())
}
