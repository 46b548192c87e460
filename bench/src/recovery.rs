//! The time from a start after `kill -9` until the engine is ready with all series that it had.

use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};

use crate::ingest::{labels, value};
use crate::peer::{self, Peer};
use crate::remote_write::{Encoded, Sample, post, request};
use crate::sink::Sink;

const SERIES: usize = 1_000_000;
const ROUNDS: usize = 26;
const PER_REQUEST: usize = 2_000;

/// Every series is read, so that none may be left out, and every sample is in reach.
const RULES: &str =
    "groups: [{name: all, interval: 1h, rules: [{alert: Never, expr: 'max_over_time(bench_metric[30m]) > 1e300'}]}]\n";

#[expect(clippy::disallowed_methods, reason = "a measurement")]
pub(crate) async fn run(binary: &str) -> Result<()> {
    println!("\nRecovery: {SERIES} series with {ROUNDS} samples each, kill -9, start");
    let (_, address) = Sink::start().await?;
    let folder = tempfile::tempdir()?;
    let client = reqwest::Client::new();
    let encoded: Vec<Encoded> = (0..SERIES).map(|number| Encoded::new(&labels(number))).collect();
    let engine = peer::watchfire(binary, folder.path(), RULES, address, "").await?;
    let now = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?;
    for round in 0..ROUNDS {
        let millis = now - 15_000 * (ROUNDS - round) as i64;
        for start in (0..SERIES).step_by(PER_REQUEST) {
            let part = start..start + PER_REQUEST;
            let samples = part.map(|n| Sample { labels: &encoded[n], value: value(n, round), millis });
            post(&client, &engine.write_url, request(samples)?).await?;
        }
    }
    let held = engine.server.memory_bytes()?;
    engine.server.kill()?;
    drop(encoded);
    println!("{:<40}{:>10.0} MB", "data directory", size(&folder.path().join("data"))? / 1e6);
    let start = Instant::now();
    let engine = peer::watchfire(binary, folder.path(), RULES, address, "").await?;
    let ready = start.elapsed().as_secs_f64();
    let (series, samples) = (ask(&client, &engine, "count(bench_metric)").await?, {
        ask(&client, &engine, "sum(count_over_time(bench_metric[30m]))").await?
    });
    ensure!(series == SERIES as f64, "{series} of {SERIES} series came back");
    ensure!(samples == (SERIES * ROUNDS) as f64, "{samples} of {} samples came back", SERIES * ROUNDS);
    println!("{:<40}{ready:>10.1} s", "ready with all series and samples after");
    println!("{:<40}{:>10.1} s", "CPU until then", engine.server.cpu_seconds()?);
    println!("{:<40}{:>10.0} MB", "memory before the end", held / 1e6);
    println!("{:<40}{:>10.0} MB", "memory after the start", engine.server.memory_bytes()? / 1e6);
    Ok(())
}

/// Bytes of all files of a folder.
fn size(folder: &std::path::Path) -> Result<f64> {
    let mut bytes = 0.0;
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        let metadata = item.metadata()?;
        bytes += if metadata.is_dir() { size(&item.path())? } else { metadata.len() as f64 };
    }
    Ok(bytes)
}

/// The one number that a query answers.
async fn ask(client: &reqwest::Client, engine: &Peer, query: &str) -> Result<f64> {
    let url = engine.write_url.replace("/api/v1/write", "/api/v1/query");
    let text = client.post(url).form(&[("query", query)]).send().await?.text().await?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let number = value["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse().ok());
    number.with_context(|| format!("{query}: {text}"))
}
