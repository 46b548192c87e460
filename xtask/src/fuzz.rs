//! Tests that go on for as long as one likes: generated input, and replacing under load.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step;

/// `cargo xtask fuzz promql|templates|plugins --minutes N [--seed S]`.
pub(crate) fn run(options: &[String]) -> Result<()> {
    const USAGE: &str = "usage: cargo xtask fuzz promql|templates|plugins --minutes N [--seed S]";
    let (what, minutes, seed) = read(options, USAGE)?;
    let mut command = match what {
        "promql" => end_to_end("differential::promql"),
        "templates" => end_to_end("templates::"),
        "plugins" => step::cargo(&["test", "--package", "watchfire-host", "--test", "fuzz", "--", "--nocapture"]),
        _ => bail!(USAGE),
    };
    command.env("WATCHFIRE_FUZZ_MINUTES", minutes.to_string());
    if let Some(seed) = seed {
        command.env("WATCHFIRE_SEED", seed.to_string());
    }
    step::run("the fuzzer", &mut command)
}

fn end_to_end(tests: &str) -> Command {
    step::cargo(&["test", "--package", "watchfire-tests", "--test", "all", "--", tests, "--nocapture"])
}

/// `cargo xtask soak plugins --minutes N`.
pub(crate) fn soak(options: &[String]) -> Result<()> {
    const USAGE: &str = "usage: cargo xtask soak plugins --minutes N";
    let ("plugins", minutes, None) = read(options, USAGE)? else { bail!(USAGE) };
    step::run("the engine", step::cargo(&["build"]).args(["--package", "watchfire-cli"]))?;
    let binary = step::target_dir().join("debug/watchfire");
    let mut command = end_to_end("soak::");
    command.env("WATCHFIRE_SOAK_MINUTES", minutes.to_string()).env("WATCHFIRE_BINARY", binary);
    step::run("the soak", &mut command)
}

/// What to do, for how many minutes, and from which seed.
fn read<'o>(options: &'o [String], usage: &'static str) -> Result<(&'o str, u64, Option<u64>)> {
    let (mut minutes, mut seed) = (None, None);
    let mut rest = options.iter();
    let what = rest.next().context(usage)?;
    while let Some(option) = rest.next() {
        let value: u64 = rest.next().context(usage)?.parse().context(usage)?;
        match option.as_str() {
            "--minutes" => minutes = Some(value),
            "--seed" => seed = Some(value),
            _ => bail!(usage),
        }
    }
    Ok((what, minutes.context(usage)?, seed))
}
