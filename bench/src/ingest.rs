//! Samples by remote-write: CPU per sample and memory per series.

use std::time::SystemTime;

use anyhow::Result;

use crate::peer::{self, Peer};
use crate::process::installed;
use crate::remote_write::{Sample, post, request};
use crate::sink::Sink;

const SERIES: usize = 100_000;
const PER_REQUEST: usize = 2_000;
const ROUNDS: usize = 12;

/// A rule that reads every series, so that none of them may be left out, and that never fires.
const RULES: &str = "groups: [{name: all, interval: 15s, rules: [{alert: Never, expr: 'bench_metric > 1e300'}]}]\n";

pub(crate) async fn run(binary: &str) -> Result<()> {
    println!("\nIngest: remote-write 1.0, {SERIES} series, {PER_REQUEST} samples a request, all read by a rule");
    println!("{:<14}{:>16}{:>20}{:>16}{:>18}", "", "µs CPU/sample", "first sample, µs", "samples/s", "bytes/series");
    let (_, address) = Sink::start().await?;
    let folder = tempfile::tempdir()?;
    let own = peer::watchfire(binary, folder.path(), RULES, address).await?;
    let own = measure(&own).await?;
    if !installed("prometheus") || !installed("prometheus-alertmanager") {
        println!("prometheus: not installed, no ratio");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let prometheus = peer::prometheus(folder.path(), RULES, address).await?;
    let theirs = measure(&prometheus).await?;
    println!("ratio of CPU: 1 to {:.1}, of memory: 1 to {:.1}", theirs.0 / own.0, theirs.1 / own.1);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
async fn measure(peer: &Peer) -> Result<(f64, f64)> {
    let client = reqwest::Client::new();
    let series: Vec<Vec<(String, String)>> = (0..SERIES).map(labels).collect();
    let start =
        i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())? - 15_000 * ROUNDS as i64;
    let empty = peer.server.memory_bytes()?;
    let (mut first, mut cpu, mut wall) = (0.0, 0.0, 0.0);
    for round in 0..ROUNDS {
        let millis = start + 15_000 * round as i64;
        // The generator's own work is done before the clock runs.
        let mut bodies = Vec::with_capacity(SERIES / PER_REQUEST);
        for part in series.chunks(PER_REQUEST) {
            let samples = part.iter().enumerate();
            let samples =
                samples.map(|(n, labels)| Sample { labels, value: (n * 7 + round * 13) as f64 * 0.1, millis });
            bodies.push(request(samples)?);
        }
        let (before, begin) = (peer.server.cpu_seconds()?, std::time::Instant::now());
        for body in bodies {
            post(&client, &peer.write_url, body).await?;
        }
        let spent = peer.server.cpu_seconds()? - before;
        if round == 0 {
            first = spent;
        } else {
            cpu += spent;
            wall += begin.elapsed().as_secs_f64();
        }
    }
    let samples = (SERIES * (ROUNDS - 1)) as f64;
    let per_sample = cpu * 1e6 / samples;
    let bytes = (peer.server.memory_bytes()? - empty) / SERIES as f64;
    println!(
        "{:<14}{per_sample:>16.2}{:>20.2}{:>16.0}{bytes:>18.0}",
        peer.name,
        first * 1e6 / SERIES as f64,
        samples / wall
    );
    Ok((per_sample, bytes))
}

/// Ten labels, as a host's exporter has them.
fn labels(number: usize) -> Vec<(String, String)> {
    [
        ("__name__", "bench_metric".to_owned()),
        ("cluster", "eu-central-1".to_owned()),
        ("device", format!("dev{}", number % 10)),
        ("env", "production".to_owned()),
        ("instance", format!("10.0.{}.{}:9100", number / 2550 % 256, number / 10 % 255)),
        ("job", "node".to_owned()),
        ("mode", "user".to_owned()),
        ("rack", format!("r{}", number % 37)),
        ("series", number.to_string()),
        ("zone", "b".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
