//! What the life of a plugin costs: `cargo run -p watchfire-host --example life`, with the folder of built plugins in
//! `WATCHFIRE_PLUGINS`. From a file to an open condition, compiled and from the cache; from a trap to the next answer; the
//! memory of an instance that only waits; and of a thousand rules over one plugin.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use watchfire_host::{Host, HostSettings, Source};
use watchfire_model::{Labels, Timestamp};
use watchfire_plugin::{Batch, Condition, Provider, State, StateLimits};

const RULES: usize = 1_000;

fn resident() -> Result<u64, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    Ok(statm.split_whitespace().nth(1).ok_or("statm has more fields")?.parse::<u64>()? * 4_096)
}

fn answer(condition: &mut dyn Condition, value: f64) -> Result<(), Box<dyn Error>> {
    let mut batch = Batch::new(Timestamp::from_secs(60));
    batch.push(Labels::from_pairs([("host", "a")]), [(Timestamp::from_secs(60), value)]);
    let mut state = State::new(StateLimits::STANDARD, std::collections::BTreeMap::new());
    condition.evaluate(&batch, &mut state)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::var("WATCHFIRE_PLUGINS")?);
    let file = folder.join("ewma-anomaly.wasm");
    let cache = std::env::temp_dir().join(format!("watchfire-life-{}", std::process::id()));
    let settings = || HostSettings { cache_dir: Some(cache.clone()), ..HostSettings::default() };
    for what in ["compiled fresh", "from the cache"] {
        let host = Host::new(settings())?;
        let began = Instant::now();
        host.load("ewma-anomaly", Source::File(&file))?;
        answer(host.open_condition("ewma-anomaly", "{}")?.as_mut(), 1.0)?;
        println!("{:<44}{:>10.1} ms", format!("from a file to its first answer, {what}"), ms(began.elapsed()));
    }
    let host = Host::new(settings())?;
    host.load("ewma-anomaly", Source::File(&file))?;
    let mut condition = host.open_condition("ewma-anomaly", "{}")?;
    answer(condition.as_mut(), 1.0)?;
    let mut after_trap = Vec::new();
    for _ in 0..200 {
        // A trap costs the instance; what is measured is a fresh one and its first answer.
        drop(condition);
        let began = Instant::now();
        condition = host.open_condition("ewma-anomaly", "{}")?;
        answer(condition.as_mut(), 1.0)?;
        after_trap.push(began.elapsed());
    }
    after_trap.sort();
    println!("{:<44}{:>10.3} ms", "fresh instance and its first answer, median", ms(after_trap[100]));
    let before = resident()?;
    let mut rules: Vec<Box<dyn Condition>> = Vec::with_capacity(RULES);
    for _ in 0..RULES {
        rules.push(host.open_condition("ewma-anomaly", "{}")?);
    }
    let idle = resident()? - before;
    for rule in &mut rules {
        answer(rule.as_mut(), 1.0)?;
    }
    let used = resident()? - before;
    println!("{:<44}{:>10} KiB", "an instance that waits", (idle / RULES as u64) >> 10);
    println!("{:<44}{:>10} KiB", "an instance that has answered", (used / RULES as u64) >> 10);
    let info = host.info("ewma-anomaly").ok_or("it is loaded")?;
    println!("{:<44}{:>10} KiB", format!("machine code, once for {RULES} rules"), info.code_bytes >> 10);
    std::fs::remove_dir_all(&cache)?;
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
