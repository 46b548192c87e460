//! `cargo xtask demo`: from a fresh checkout to a page that shows alerts being delivered.

use anyhow::Result;

use crate::{plugins, step};

pub(crate) fn run(options: &[String]) -> Result<()> {
    step::announce("1/3 Building the engine (the first time takes some minutes)");
    step::run("building the engine", &mut step::cargo(&["build", "--release", "--package", "watchfire-cli"]))?;
    let binary = step::target_dir().join("release/watchfire");
    step::announce("2/3 Building the plugins (WebAssembly)");
    let built = plugins::build(&binary)?;
    step::announce("3/3 Starting");
    let mut demo = std::process::Command::new(binary);
    demo.current_dir(step::root()).arg("demo").arg("--plugins").arg(&built.folder).args(options);
    step::run("the demo", &mut demo)
}
