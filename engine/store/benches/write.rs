//! What it costs to make things durable: `cargo bench -p watchfire-store`.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::time::Instant;

use watchfire_alerting::{AlertRecord, GroupKey, Membership, Record};
use watchfire_model::{Alert, Labels, RuleId, Sample, Timestamp};
use watchfire_store::log::{Log, LogSettings, ReplayFrom, Replayed, SeriesNumber, SyncPolicy};
use watchfire_store::{Database, Durability, Store, StoreSettings};

fn labels(series: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "http_server_requests_seconds_count".to_owned()),
        ("cluster", "eu-west-1-production".to_owned()),
        ("container", "checkout".to_owned()),
        ("endpoint", "metrics".to_owned()),
        ("instance", format!("10.{}.{}.{}:8080", series % 7, series % 251, series % 13)),
        ("job", "kubernetes-pods".to_owned()),
        ("method", "GET".to_owned()),
        ("namespace", format!("team-{}", series % 20)),
        ("pod", format!("checkout-7d9f{series:06}-x2x4z")),
        ("status", format!("{}", 200 + series % 5)),
    ])
}

fn record(number: usize, at: i64) -> Record {
    let annotations = [("summary", "the checkout fails for 12.5% of its users"), ("runbook_url", "https://runbooks/x")];
    let alert = Alert {
        labels: Labels::from_pairs([
            ("alertname", "HighErrorRate".to_owned()),
            ("instance", format!("10.0.{}.{}", number / 250, number % 250)),
            ("service", format!("service-{}", number % 500)),
            ("severity", "critical".to_owned()),
        ]),
        annotations: annotations.into(),
        starts_at: Timestamp::from_secs(at),
        ends_at: None,
        updated_at: Timestamp::from_secs(at),
        timeout: false,
        generator_url: "http://watchfire/graph?g0.expr=up".into(),
        value: Some(0.125),
    };
    let memberships = vec![Membership { group: GroupKey::from_text(format!("r1:{}", number % 500)), detached: false }];
    Record::Alert(AlertRecord {
        since: Timestamp::from_secs(number as i64 / 100),
        alert,
        rules: vec![RuleId(1)],
        resolved: false,
        memberships,
        acknowledgement: None,
        begins: vec![],
    })
}

async fn store(name: &str, settings: StoreSettings) {
    const COUNT: usize = 50_000;
    let store = Store::open(settings).await.unwrap();
    for (what, batch) in [("insert", 1_000), ("update", 1_000), ("update", 10)] {
        let count = if batch < 100 { 5_000 } else { COUNT };
        let records: Vec<_> = (0..count).map(|number| record(number, batch as i64)).collect();
        let start = Instant::now();
        for batch in records.chunks(batch) {
            store.commit(batch).await.unwrap();
        }
        let rate = count as f64 / start.elapsed().as_secs_f64();
        println!("{name:<28} {what} in commits of {batch:<6} {rate:>10.0} records/s");
    }
    let start = Instant::now();
    let restored = store.restore().await.unwrap();
    println!(
        "{name:<28} restore of {}          {:>10.0} records/s",
        restored.records.len(),
        COUNT as f64 / start.elapsed().as_secs_f64()
    );
    let deletes: Vec<_> = (0..COUNT).map(|number| Record::Deleted(record(number, 0).key())).collect();
    let start = Instant::now();
    for batch in deletes.chunks(1_000) {
        store.commit(batch).await.unwrap();
    }
    println!("{name:<28} delete in commits of 1000   {:>10.0} records/s", COUNT as f64 / start.elapsed().as_secs_f64());
    store.close().await;
}

fn log() {
    const SERIES: u32 = 100_000;
    const ROUNDS: i64 = 26;
    let all: Vec<Labels> = (0..SERIES as usize).map(labels).collect();
    let dir = tempfile::tempdir().unwrap();
    let settings = LogSettings { sync: SyncPolicy::Never, ..LogSettings::new(dir.path()) };
    let (mut log, _) = Log::open(settings.clone()).unwrap();
    let start = Instant::now();
    let mut best = f64::MAX;
    for round in 0..ROUNDS {
        for first in (0..SERIES).step_by(2_000) {
            // A third of the values are whole numbers, as counters are; timestamps differ between targets.
            let batch = Instant::now();
            let samples = (first..first + 2_000).map(|series| {
                let millis = 1_700_000_000_000 + round * 15_000 + i64::from(series % 97) * 7;
                let whole = f64::from(series) * 10.0 + round as f64;
                let value = if series % 3 == 0 { whole } else { whole / 7.0 };
                (SeriesNumber { slot: series, life: 0 }, Sample { timestamp: Timestamp::from_millis(millis), value })
            });
            log.stage_samples(Timestamp::from_millis(round), samples, |series| all[series.slot as usize].clone())
                .unwrap();
            log.commit().unwrap();
            best = best.min(batch.elapsed().as_secs_f64() / 2_000.0);
        }
    }
    let (elapsed, samples) = (start.elapsed().as_secs_f64(), f64::from(SERIES) * ROUNDS as f64);
    let stats = log.stats();
    println!(
        "log: append {:.0} ns/sample (best batch {:.0}), {:.1} bytes/sample with the dictionary, {} segments",
        elapsed / samples * 1e9,
        best * 1e9,
        stats.bytes as f64 / samples,
        stats.segments
    );
    drop(log);
    let start = Instant::now();
    let (log, opened) = Log::open(settings).unwrap();
    println!("log: open {:.0} ms for {} MiB", start.elapsed().as_secs_f64() * 1e3, opened.bytes >> 20);
    let start = Instant::now();
    let mut replay = log.replay(ReplayFrom::Start);
    let mut count = 0;
    while let Some(entry) = replay.next().unwrap() {
        if let Replayed::Samples { samples, .. } = entry {
            count += samples.len();
        }
    }
    println!("log: replay {:.0} ns/sample", start.elapsed().as_secs_f64() / count as f64 * 1e9);
}

fn main() {
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, durability) in [("SQLite, process", Durability::Process), ("SQLite, machine", Durability::Machine)] {
        let file = Database::File(dir.path().join(name));
        runtime.block_on(store(name, StoreSettings { durability, ..StoreSettings::new(file) }));
    }
    if let Ok(url) = std::env::var("WATCHFIRE_TEST_POSTGRES") {
        runtime.block_on(store("PostgreSQL", StoreSettings::new(Database::Postgres(url))));
    }
}
