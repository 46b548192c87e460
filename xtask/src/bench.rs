//! `cargo xtask bench`: the figures of the README, measured here and now.

use anyhow::Result;

use crate::step;

pub(crate) fn run(options: &[String]) -> Result<()> {
    step::announce("1/3 Building what is shipped (thin LTO, some minutes)");
    // In one go, so that no library is compiled a second time with other features.
    let packages = ["--package", "watchfire-cli", "--package", "watchfire-bench", "--package", "watchfire-host"];
    let mut build = step::cargo(&["build", "--profile", "dist", "--bins", "--example", "bench_condition"]);
    step::run("building", build.args(packages))?;
    let folder = step::target_dir().join("dist");
    step::announce(
        "2/3 Detection, ingest, rules, the evaluator, recovery and dispatch, beside Prometheus and Alertmanager where they are installed",
    );
    let mut bench = std::process::Command::new(folder.join("watchfire-bench"));
    step::run("the measurement", bench.arg(folder.join("watchfire")).args(options))?;
    if options.is_empty() {
        step::announce("3/3 Plugins");
        let built = crate::plugins::build()?;
        let mut plugins = std::process::Command::new(folder.join("examples/bench_condition"));
        step::run("the measurement of plugins", plugins.env("WATCHFIRE_PLUGINS", &built.folder))?;
    }
    Ok(())
}
