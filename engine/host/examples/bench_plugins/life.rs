//! What the life of a plugin costs: from a file to its first answer, compiled and from the cache; from a trap to the next
//! answer; the memory of an instance that only waits; and of a thousand rules over one plugin.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use watchfire_host::{Host, HostSettings, Source};
use watchfire_model::{Labels, Timestamp};
use watchfire_plugin::{Batch, Condition, Provider, State, StateLimits};

use crate::fixture::{Fixture, GOOD};

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

/// Measures with the plugins of a folder; the machine code goes into a new folder within `cache`.
pub(crate) fn run(folder: &Path, cache: &Path) -> Result<(), Box<dyn Error>> {
    println!("\nlife");
    let file = folder.join("ewma-anomaly.wasm");
    let cache = cache.join("life");
    let settings = || HostSettings { cache_dir: Some(cache.clone()), ..HostSettings::default() };
    for what in ["compiled fresh", "from the cache"] {
        let host = Host::new(settings())?;
        let began = Instant::now();
        host.load("ewma-anomaly", Source::File(&file))?;
        answer(host.open_condition("ewma-anomaly", "{}")?.as_mut(), 1.0)?;
        line(&format!("from a file to its first answer, {what}"), format!("{:.1} ms", ms(began.elapsed())));
    }
    let host = Host::new(settings())?;
    host.load("ewma-anomaly", Source::File(&file))?;
    // Every second call of this one traps, which costs the instance; what is measured ends with the answer of a fresh one.
    let trapping = Fixture {
        extra: "(global $called (mut i32) (i32.const 0))",
        evaluate: "(if (global.get $called) (then unreachable)) (global.set $called (i32.const 1)) (i32.const 512)",
        ..GOOD
    };
    host.load("trapping", Source::Bytes(&trapping.build()))?;
    let mut trapping = host.open_condition("trapping", "{}")?;
    answer(trapping.as_mut(), 1.0)?;
    let mut after_trap = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        assert!(answer(trapping.as_mut(), 1.0).is_err(), "it traps");
        answer(trapping.as_mut(), 1.0)?;
        after_trap.push(began.elapsed());
    }
    after_trap.sort();
    line("from a trap to the next answer, median", format!("{:.3} ms", ms(after_trap[100])));
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
    line("an instance that waits", format!("{} KiB", (idle / RULES as u64) >> 10));
    line("an instance that has answered", format!("{} KiB", (used / RULES as u64) >> 10));
    let info = host.info("ewma-anomaly").ok_or("it is loaded")?;
    line(&format!("machine code, once for {RULES} rules"), format!("{} KiB", info.code_bytes >> 10));
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn line(what: &str, figure: String) {
    println!("  {what:<48}{figure:>12}");
}
