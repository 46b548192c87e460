//! What the life of a plugin costs: from a file to its first answer, compiled and from the cache; from a trap to the next
//! answer; the memory of an instance that only waits; and of a thousand rules over one plugin.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use watchfire_host::{Host, HostSettings, Source};
use watchfire_model::{Labels, Timestamp};
use watchfire_plugin::{Batch, Condition, Provider, State, StateLimits, ask};

use crate::fixture::{Fixture, GOOD};
use crate::report::Figure;

const RULES: usize = 1_000;

fn resident() -> Result<u64, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    Ok(statm.split_whitespace().nth(1).ok_or("statm has more fields")?.parse::<u64>()? * 4_096)
}

fn answer(condition: &mut dyn Condition, value: f64) -> Result<(), Box<dyn Error>> {
    let at = Timestamp::from_secs(60);
    let batch = Batch::new(at, [(Labels::from_pairs([("host", "a")]), [(at, value)])]);
    let mut state = State::new(StateLimits::STANDARD, std::collections::BTreeMap::new());
    ask(condition, &batch, &mut state)?;
    Ok(())
}

/// Measures with the plugins of a folder; the machine code goes into a new folder within `cache`.
pub(crate) fn measure(folder: &Path, cache: &Path) -> Result<Vec<Figure>, Box<dyn Error>> {
    let mut figures = Vec::new();
    let file = folder.join("ewma-anomaly.wasm");
    let cache = cache.join("life");
    let settings = || HostSettings { cache_dir: Some(cache.clone()), ..HostSettings::default() };
    for (what, goal) in [("compiled", 300.0), ("from the cache", 30.0)] {
        let host = Host::new(settings())?;
        let began = Instant::now();
        host.load("ewma-anomaly", Source::File(&file))?;
        answer(host.open_condition("ewma-anomaly", "{}")?.as_mut(), 1.0)?;
        let took = ms(began.elapsed());
        figures.push(Figure::new(format!("from a saved file to its first answer, {what}"), took, "ms").at_most(goal));
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
    figures.push(Figure::new("from a trap to the next answer, median", ms(after_trap[100]), "ms").at_most(1.0));
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
    let kib = |bytes: u64| bytes as f64 / 1_024.0;
    figures.push(Figure::new("an instance that waits", kib(idle / RULES as u64), "KiB").at_most(300.0));
    figures.push(Figure::new("an instance that has answered", kib(used / RULES as u64), "KiB"));
    let info = host.info("ewma-anomaly").ok_or("it is loaded")?;
    figures.push(Figure::new(format!("machine code, once for {RULES} rules"), kib(info.code_bytes), "KiB"));
    Ok(figures)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
