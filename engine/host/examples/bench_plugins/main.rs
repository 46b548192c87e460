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
mod measure;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use measure::{SIZES, cell, measure, measure_each, show, values};
use watchfire_host::{Host, HostSettings, Source};
use watchfire_model::{Alert, Labels, Timestamp};
use watchfire_plugin::{AlertView, Batch, Condition, MessageGroup, Provider, State, StateLimits};
use watchfire_rules::builtin::Builtins;

const JAVASCRIPT: &str = "js-threshold";
/// The template of a condition in Python, which is built for this and lies with what the tests need.
const PYTHON: &str = "python";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
            Some(measure_each(&batches, size, |batch| {
                assert!(condition.evaluate(batch, &mut state).is_ok());
                state.commit();
            }))
        };
        let native = run(Builtins.open_condition("ewma-anomaly", "{}"));
        let plugin = run(host.open_condition("ewma-anomaly", "{}"));
        let javascript = run(host.open_condition(JAVASCRIPT, r#"{"above": 1000}"#));
        let python = run(host.open_condition(PYTHON, r#"{"limit": 1000}"#));
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

/// Several evaluations of the same series, 15 s apart.
fn batches(size: usize) -> Vec<Batch> {
    let labels: Vec<_> = (0..size)
        .map(|i| {
            let pairs =
                [("__name__", "latency".to_owned()), ("instance", format!("host-{i:05}")), ("job", "api".to_owned())];
            Labels::from_pairs(pairs)
        })
        .collect();
    let evaluations = (0..).step_by(15).map(Timestamp::from_secs).zip(values(size));
    let batch = |(at, values): (Timestamp, Vec<f64>)| {
        let mut batch = Batch::new(at);
        for (labels, value) in labels.iter().zip(values) {
            batch.push(labels.clone(), [(at, value)]);
        }
        batch
    };
    evaluations.map(batch).collect()
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
            annotations: annotations.iter().copied().collect(),
            starts_at: Timestamp::from_secs(999_000),
            ends_at: None,
            updated_at: at,
            timeout: false,
            generator_url: "https://watchfire.example/rules".into(),
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
