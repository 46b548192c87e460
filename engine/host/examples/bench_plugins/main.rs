//! What a plugin costs, beside the same condition built in and under Extism: `cargo xtask bench plugins` builds all that is
//! needed and runs it with the folder of built plugins, the program that measures Extism, and that one's guest.
//!
//! Prints nanoseconds per series for batches of 1 to 10,000, with everything around the call: deadline, state read,
//! written and committed, metrics, checks of the answer.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

#[path = "../../tests/support/fixture.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the tests")]
mod fixture;
mod life;
mod measure;
mod report;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use measure::{Cost, SIZES, measure, measure_each, values};
use report::{Figure, Row};
use watchfire_host::{Host, HostSettings, Source};
use watchfire_model::{Alert, Labels, Timestamp};
use watchfire_plugin::{AlertView, Batch, MessageGroup, Provider, State, StateLimits, ask};
use watchfire_rules::builtin::Builtins;

const RUST: &str = "ewma-anomaly";
const FORMATTER: &str = "slack-card";
const JAVASCRIPT: &str = "js-threshold";
/// The template of a condition in Python, which is built for this and lies with what the tests need.
const PYTHON: &str = "python";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [folder, peer, guest] = &arguments[..] else {
        return Err("give the folder of plugins, the program that measures Extism, and its guest".into());
    };
    let cache = std::env::temp_dir().join(format!("watchfire-bench-{}", std::process::id()));
    let measured = measure_all(folder, peer, guest, &cache);
    let removed = std::fs::remove_dir_all(&cache);
    let (rows, figures) = measured?;
    removed?;
    report::print(&rows, &figures);
    Ok(())
}

/// Measures one after the other; the machine code goes into the folder `cache`.
fn measure_all(
    folder: &Path,
    peer: &Path,
    guest: &Path,
    cache: &Path,
) -> Result<(Vec<Row>, Vec<Figure>), Box<dyn Error>> {
    let settings = HostSettings { cache_dir: Some(cache.to_owned()), instances_max: 64, ..HostSettings::default() };
    let host = Host::new(settings)?;
    let mut figures = Vec::new();

    eprintln!("loading");
    for (name, language) in [(RUST, "Rust"), (JAVASCRIPT, "JavaScript"), (PYTHON, "Python"), (FORMATTER, "")] {
        let path =
            if name == PYTHON { folder.join("test") } else { folder.to_owned() }.join(name).with_extension("wasm");
        let compiled = milliseconds(|| host.load(name, Source::File(&path)))?;
        let cached =
            (0..9).map(|_| milliseconds(|| host.load(name, Source::File(&path)))).collect::<Result<Vec<_>, _>>()?;
        if !language.is_empty() {
            figures.push(Figure::new(format!("compiled: {language}"), compiled, "ms"));
            let best = cached.into_iter().min_by(f64::total_cmp).unwrap_or_default();
            figures.push(Figure::new(format!("loaded from the cache: {language}"), best, "ms").at_most(20.0));
        }
    }
    host.load("empty", Source::Bytes(&fixture::GOOD.build()))?;

    eprintln!("Extism");
    let peer = Peer::measure(Command::new(peer).arg(guest))?;
    eprintln!("calls");
    let mut empty = host.open_condition("empty", "{}")?;
    let nothing = Batch::empty(Timestamp::EPOCH);
    let mut state = fresh();
    let call = measure(|| assert!(empty.evaluate(&nothing, &mut state).is_ok())).best;
    let peer_call = peer.cost("nothing", 0)?.best;
    figures.push(Figure::new("a call that does nothing", call / 1e3, "µs"));
    figures.push(Figure::new("the same under Extism", peer_call / 1e3, "µs"));
    figures.push(Figure::new("the first, times the second", call / peer_call, "").at_most(0.1));
    let mut condition = host.open_condition(RUST, "{}")?;
    let call = measure(|| assert!(ask(&mut *condition, &nothing, &mut state).is_ok())).best;
    figures.push(Figure::new("a call with state, without series", call / 1e3, "µs").at_most(1.0));
    let opened = measure(|| assert!(host.open_condition(RUST, "{}").is_ok())).best;
    figures.push(Figure::new("a fresh instance", opened / 1e3, "µs"));
    let mut formatter = host.open_formatter(FORMATTER, "{}")?;
    let group = group(20);
    let message = measure(|| assert!(formatter.format(&group).is_ok())).best;
    figures.push(Figure::new("a message about 20 alerts", message / 1e3, "µs").at_most(50.0));

    eprintln!("conditions");
    let run = |what, provider: &dyn Provider, name, config| -> Result<Row, Box<dyn Error>> {
        let mut costs = Vec::new();
        for size in SIZES {
            let batches = batches(size);
            let mut condition = provider.open_condition(name, config)?;
            let mut state = fresh();
            costs.push(measure_each(&batches, size, |batch| {
                assert!(ask(&mut *condition, batch, &mut state).is_ok());
                state.commit();
            }));
        }
        Ok(Row { what, costs })
    };
    let extism = |what, function| -> Result<Row, Box<dyn Error>> {
        let costs = SIZES.iter().map(|size| peer.cost(function, *size)).collect::<Result<_, _>>()?;
        Ok(Row { what, costs })
    };
    let native = run("built in", &Builtins, RUST, "{}")?;
    let rust = run("plugin in Rust", &host, RUST, "{}")?;
    let kept = extism("under Extism, state kept by the host", "evaluate_and_keep")?;
    let forgotten = extism("under Extism, state that ends with the instance", "evaluate")?;
    let javascript = run("a limit in JavaScript", &host, JAVASCRIPT, r#"{"above": 1000}"#)?;
    let python = run("a limit in Python", &host, PYTHON, r#"{"limit": 1000}"#)?;
    for (number, size, goal) in [(2, "1,000", 1.7), (3, "10,000", 1.3)] {
        let ratio = rust.costs[number].best / native.costs[number].best;
        figures.push(Figure::new(format!("Rust over {size} series, times built in"), ratio, "").at_most(goal));
        let ratio = rust.costs[number].best / kept.costs[number].best;
        figures.push(Figure::new("the same, times Extism with the state kept", ratio, "").at_most(0.2));
    }
    for (row, language) in [(&javascript, "JavaScript"), (&python, "Python")] {
        figures.push(
            Figure::new(format!("{language} over 10,000 series, per series"), row.costs[3].best, "ns").at_most(100.0),
        );
    }
    eprintln!("life");
    figures.extend(life::measure(folder, cache)?);
    Ok((vec![native, rust, kept, forgotten, javascript, python], figures))
}

/// What the peer has measured: function, series, cost.
struct Peer(Vec<(String, usize, Cost)>);

impl Peer {
    fn measure(command: &mut Command) -> Result<Peer, Box<dyn Error>> {
        let output = command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        if !output.status.success() {
            return Err(format!("the measurement of Extism failed ({})", output.status).into());
        }
        let parse = |line: &str| {
            let mut words = line.split_whitespace();
            let (function, series) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            let mut number = || words.next()?.parse().ok();
            Some((function, series, Cost { best: number()?, median: number()? }))
        };
        let text = String::from_utf8(output.stdout)?;
        let costs = text.lines().map(|line| parse(line).ok_or_else(|| format!("Extism's measurement said {line:?}")));
        Ok(Peer(costs.collect::<Result<_, _>>()?))
    }

    fn cost(&self, function: &str, series: usize) -> Result<Cost, String> {
        let found = self.0.iter().find(|(name, size, _)| name == function && *size == series);
        found.map(|(_, _, cost)| *cost).ok_or_else(|| format!("Extism's measurement lacks {function} over {series}"))
    }
}

fn fresh() -> State {
    State::new(StateLimits::STANDARD, BTreeMap::new())
}

fn milliseconds<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<f64, E> {
    let began = Instant::now();
    run()?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
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
        Batch::new(at, labels.iter().cloned().zip(values.into_iter().map(|value| [(at, value)])))
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
