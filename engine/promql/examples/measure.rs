//! Prints what the store and the evaluator cost on this machine: bytes per series, nanoseconds per appended sample and
//! per series and rule. Run it with `cargo run --release --example measure [series]`.

use watchfire_model::{Labels, METRIC_NAME_LABEL, Sample, SharedNames, Timestamp};
use watchfire_promql::{Options, Plan, Tracked, parse};
use watchfire_tsdb::{SeriesId, Tsdb};

const SAMPLES: i64 = 26;

/// A cheap source of numbers that look random and are the same in every run.
fn noise(seed: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x >> 11) as f64 / (1u64 << 53) as f64
}

fn labels(series: u64) -> Labels {
    Labels::from_pairs([
        (METRIC_NAME_LABEL, format!("http_server_request_duration_seconds_{}", series % 50)),
        ("job", "checkout-service".to_owned()),
        ("instance", format!("10.{}.{}.{}:9100", series / 62_500, series / 250 % 250, series / 50 % 250)),
        ("method", ["GET", "POST", "PUT"][(series % 3) as usize].to_owned()),
        ("code", ["200", "404", "500"][(series / 3 % 3) as usize].to_owned()),
        ("cluster", "production-eu-1".to_owned()),
        ("namespace", format!("team-{}", series % 20)),
        ("pod", format!("checkout-{}-{}", series / 1000, series)),
    ])
}

/// A third are counters, a third states, a third noisy gauges.
fn value(series: u64, step: i64) -> f64 {
    match series % 3 {
        0 => (step * 17) as f64 + (series % 1000) as f64 * 1e3 + (noise(series ^ step as u64) * 10.0).floor(),
        1 => 1.0,
        _ => noise(series.wrapping_add(step as u64 * 7919)) * 100.0,
    }
}

/// Nanoseconds that this thread has had a processor: other programs on the machine do not count.
fn processor_time() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = processor_time();
    let result = work();
    (result, processor_time() - start)
}

fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = status.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0.0);
    pages * 4096.0
}

fn main() {
    let count: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let before = resident_bytes();
    let mut db = Tsdb::default();
    // Label sets share their names before they come to the store, as in the engine.
    let mut names = SharedNames::default();
    let all: Vec<Labels> = (0..count).map(|number| names.share(labels(number))).collect();
    let sample =
        |series: u64, step: i64| Sample { timestamp: Timestamp::from_secs(step * 15), value: value(series, step) };
    let (ids, first) = timed(|| -> Vec<SeriesId> {
        all.iter().enumerate().filter_map(|(i, l)| db.append(l, sample(i as u64, 0)).ok()).collect()
    });
    let half = SAMPLES / 2;
    let ((), by_labels) = timed(|| {
        for step in 1..half {
            for (i, l) in all.iter().enumerate() {
                let _ = db.append(l, sample(i as u64, step));
            }
        }
    });
    let ((), by_id) = timed(|| {
        for step in half..SAMPLES {
            for (i, id) in ids.iter().enumerate() {
                let _ = db.append_to(*id, sample(i as u64, step));
            }
        }
    });
    let per = |nanos: f64, steps: i64| nanos / count as f64 / steps as f64;
    println!("{count} series with {SAMPLES} samples");
    println!(
        "  create: {:.0} ns, append by labels: {:.0} ns, append by id: {:.0} ns",
        per(first, 1),
        per(by_labels, half - 1),
        per(by_id, SAMPLES - half)
    );
    drop(all);
    let own = db.stats().bytes as f64 / count as f64;
    println!(
        "  memory per series: {:.0} B resident, {own:.0} B by the store's account",
        (resident_bytes() - before) / count as f64
    );

    let at = Timestamp::from_secs((SAMPLES - 1) * 15);
    for text in [
        "http_server_request_duration_seconds_7 > 90",
        "rate(http_server_request_duration_seconds_7[5m]) > 1e9",
        "sum by (namespace, code) (rate(http_server_request_duration_seconds_7[5m]))",
        "sum by (pod) (rate(http_server_request_duration_seconds_7{code=\"500\"}[5m])) / sum by (pod) (rate(http_server_request_duration_seconds_7[5m])) > 2",
        "avg_over_time(http_server_request_duration_seconds_7[5m]) > 1e9",
        "absent(http_server_request_duration_seconds_7{code=\"999\"})",
    ] {
        let plan = Plan::new(&parse(text).unwrap_or_else(|error| panic!("{error}")), &Options::default());
        let touched = (count / 50).max(1) as f64;
        let rounds = (2_000_000.0 / touched).ceil();
        let ((), plain) = timed(|| (0..rounds as usize).for_each(|_| drop(plan.instant(&db, at, &|| None))));
        let mut tracked = Tracked::default();
        let ((), kept) = timed(|| {
            (0..rounds as usize).for_each(|_| drop(plan.instant_tracked(&db, &mut tracked, at, &|| None)));
        });
        let per_series = |nanos: f64| nanos / rounds / touched;
        println!("  {:6.0} ns/series, {:6.0} with kept series: {text}", per_series(plain), per_series(kept));
    }
}
