//! What a plugin costs, beside the same condition built in: `cargo xtask bench plugins` builds all that is needed and runs it
//! with the folder of built plugins in `WATCHFIRE_PLUGINS`.
//!
//! Prints nanoseconds per series for batches of 1 to 10,000, with everything around the call: deadline, state read,
//! written and committed, metrics, checks of the answer. Each figure is the best of many rounds with the median beside
//! it; the best is what the code costs, the distance between the two is the noise of the machine.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock and the environment")]

#[path = "../../tests/support/fixture.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the tests")]
mod fixture;
mod life;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use watchfire_host::{Host, HostSettings, Source};
use watchfire_model::{Alert, Labels, Timestamp};
use watchfire_plugin::{AlertView, Batch, Condition, MessageGroup, Provider, State, StateLimits};
use watchfire_rules::builtin::Builtins;

const ROUNDS: usize = 61;
const ROUND_NANOSECONDS: u128 = 3_000_000;
const JAVASCRIPT: &str = "js-threshold";
/// The template of a condition in Python, which is built for this and lies with what the tests need.
const PYTHON: &str = "python";
const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::var_os("WATCHFIRE_PLUGINS").map_or_else(|| PathBuf::from("target/plugins"), PathBuf::from);
    let cache = std::env::temp_dir().join(format!("watchfire-bench-{}", std::process::id()));
    let settings = HostSettings { cache_dir: Some(cache.clone()), instances_max: 64, ..HostSettings::default() };
    let host = Host::new(settings.clone())?;

    println!("load, milliseconds (compiled / from cache)");
    for name in ["ewma-anomaly", "slack-card", JAVASCRIPT, PYTHON] {
        let path = if name == PYTHON { folder.join("test") } else { folder.clone() }.join(name).with_extension("wasm");
        if !path.exists() {
            println!("  {name:<14} not built in {}", folder.display());
            continue;
        }
        let compiled = once(|| host.load(name, Source::File(&path)))?;
        let cached = (0..9).map(|_| once(|| host.load(name, Source::File(&path)))).collect::<Result<Vec<_>, _>>()?;
        let best = cached.into_iter().min().unwrap_or_default();
        println!("  {name:<14} {:>9.2} {:>9.2}", compiled as f64 / 1e6, best as f64 / 1e6);
    }
    host.load("empty", Source::Bytes(&fixture::GOOD.build()))?;

    println!("\nfixed costs, nanoseconds (best / median)");
    let mut empty = host.open_condition("empty", "{}")?;
    let nothing = Batch::new(Timestamp::EPOCH);
    let mut state = fresh();
    show("empty call", measure(|| drop(empty.evaluate(&nothing, &mut state))));
    if let Ok(mut condition) = host.open_condition("ewma-anomaly", "{}") {
        show("ewma-anomaly, no series", measure(|| drop(condition.evaluate(&nothing, &mut state))));
        show("ewma-anomaly, fresh instance", measure(|| drop(host.open_condition("ewma-anomaly", "{}"))));
    }
    if let Ok(mut formatter) = host.open_formatter("slack-card", "{}") {
        let group = group(20);
        show("slack-card, 20 alerts", measure(|| drop(formatter.format(&group))));
    }

    println!("\ncondition, nanoseconds per series (best / median)");
    println!(
        "  {:>8} {:>19} {:>19} {:>7} {:>19} {:>19}",
        "series", "native", "Rust plugin", "ratio", "JavaScript plugin", "Python plugin"
    );
    for size in SIZES {
        let batches = batches(size);
        let run = |condition: Result<Box<dyn Condition>, _>| -> Option<(f64, f64)> {
            let mut condition = condition.ok()?;
            let mut state = fresh();
            let mut round = 0;
            let timed = measure(|| {
                let batch = &batches[round % batches.len()];
                round += 1;
                assert!(condition.evaluate(batch, &mut state).is_ok());
                state.commit();
            });
            Some((timed.0 / size as f64, timed.1 / size as f64))
        };
        let native = run(Builtins.open_condition("ewma-anomaly", "{}"));
        let plugin = run(host.open_condition("ewma-anomaly", "{}"));
        let javascript = run(host.open_condition(JAVASCRIPT, r#"{"above": 1000}"#));
        let python = run(host.open_condition(PYTHON, r#"{"limit": 1000}"#));
        let cell =
            |cost: Option<(f64, f64)>| cost.map_or("-".to_owned(), |(best, median)| format!("{best:.1} / {median:.1}"));
        let ratio = native.zip(plugin).map_or("-".to_owned(), |(native, plugin)| format!("{:.2}", plugin.0 / native.0));
        println!(
            "  {size:>8} {:>19} {:>19} {ratio:>7} {:>19} {:>19}",
            cell(native),
            cell(plugin),
            cell(javascript),
            cell(python)
        );
    }
    life::run(&folder, &cache)?;
    std::fs::remove_dir_all(cache)?;
    Ok(())
}

fn fresh() -> State {
    State::new(StateLimits::STANDARD, BTreeMap::new())
}

fn once<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<u128, E> {
    let began = Instant::now();
    run()?;
    Ok(began.elapsed().as_nanos())
}

/// Nanoseconds per run: the best round and the median.
fn measure(mut run: impl FnMut()) -> (f64, f64) {
    let began = Instant::now();
    let mut warm = 0_u32;
    while warm < 20 || began.elapsed().as_nanos() < ROUND_NANOSECONDS {
        run();
        warm += 1;
    }
    let each = began.elapsed().as_nanos() / u128::from(warm);
    let runs = (ROUND_NANOSECONDS / each.max(1)).clamp(1, 100_000);
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..runs {
                run();
            }
            began.elapsed().as_nanos() as f64 / runs as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    (rounds[0], rounds[ROUNDS / 2])
}

fn show(what: &str, (best, median): (f64, f64)) {
    println!("  {what:<30} {best:>10.0} / {median:.0}");
}

/// Several evaluations of the same series, 15 s apart, with values that wander and never jump.
fn batches(size: usize) -> Vec<Batch> {
    let labels: Vec<_> = (0..size)
        .map(|i| {
            let pairs =
                [("__name__", "latency".to_owned()), ("instance", format!("host-{i:05}")), ("job", "api".to_owned())];
            Labels::from_pairs(pairs)
        })
        .collect();
    let mut seed = 1_u64;
    let mut noise = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as f64 / (1_u64 << 31) as f64
    };
    (0..16)
        .map(|round| {
            let at = Timestamp::from_secs(round * 15);
            let mut batch = Batch::new(at);
            for labels in &labels {
                batch.push(labels.clone(), [(at, 100.0 + 5.0 * noise())]);
            }
            batch
        })
        .collect()
}

fn group(alerts: usize) -> MessageGroup {
    let at = Timestamp::from_secs(1_000_000);
    let view = |i: usize| {
        let labels = Labels::from_pairs([
            ("alertname", "HighErrorRate".to_owned()),
            ("instance", format!("host-{i}")),
            ("job", "api".to_owned()),
            ("service", "checkout".to_owned()),
            ("severity", "critical".to_owned()),
        ]);
        let annotations =
            [("summary", "Five percent of requests fail"), ("runbook_url", "https://runbooks.example/errors")];
        let alert = Alert {
            labels,
            annotations: annotations.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect(),
            starts_at: Timestamp::from_secs(999_000),
            ends_at: None,
            updated_at: at,
            timeout: false,
            generator_url: "https://watchfire.example/rules".to_owned(),
            value: Some(0.05),
        };
        AlertView::new(alert, at)
    };
    MessageGroup {
        at,
        key: "bench".to_owned(),
        receiver: "bench".to_owned(),
        group_labels: [("alertname".to_owned(), "HighErrorRate".to_owned())].into(),
        external_url: "https://watchfire.example".to_owned(),
        id: "notification".to_owned(),
        channel: "webhook".to_owned(),
        secrets: BTreeMap::new(),
        alerts: (0..alerts).map(view).collect(),
    }
}
