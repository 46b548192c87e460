//! `cargo xtask fuzz promql --minutes N [--seed S]`: generated queries to a real Prometheus and to the engine.

use anyhow::{Context, Result, bail};

use crate::step;

pub(crate) fn run(options: &[String]) -> Result<()> {
    const USAGE: &str = "usage: cargo xtask fuzz promql --minutes N [--seed S]";
    let (mut minutes, mut seed) = (None, None);
    let mut rest = options.iter();
    if rest.next().map(String::as_str) != Some("promql") {
        bail!(USAGE);
    }
    while let Some(option) = rest.next() {
        let value: u64 = rest.next().context(USAGE)?.parse().context(USAGE)?;
        match option.as_str() {
            "--minutes" => minutes = Some(value),
            "--seed" => seed = Some(value),
            _ => bail!(USAGE),
        }
    }
    let filter = ["test", "--package", "watchfire-tests", "--test", "all", "--", "differential::promql", "--nocapture"];
    let mut command = step::cargo(&filter);
    command.env("WATCHFIRE_FUZZ_MINUTES", minutes.context(USAGE)?.to_string());
    if let Some(seed) = seed {
        command.env("WATCHFIRE_SEED", seed.to_string());
    }
    step::run("the comparison", &mut command)
}
