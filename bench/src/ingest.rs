//! Samples by remote-write: CPU per sample and memory per series, of series that a rule reads and of such that none does.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::peer::{self, Peer};
use crate::process::Subject;
use crate::remote_write::{Encoded, Sample, post, request};
use crate::sink::Sink;

const PER_REQUEST: usize = 2_000;

/// A rule that reads every series, so that none of them may be left out, and that never fires.
const READING: &str = "groups: [{name: all, interval: 15s, rules: [{alert: Never, expr: 'bench_metric > 1e300'}]}]\n";
/// A rule that reads none of them.
const NOT_READING: &str = "groups: [{name: none, interval: 15s, rules: [{alert: Never, expr: 'other > 1e300'}]}]\n";

/// How many series, and how many samples each of them gets. Ten times the series get few, so that it ends in a minute.
const LOADS: [(usize, usize); 2] = [(100_000, 12), (1_000_000, 3)];

/// What one engine took.
struct Cost {
    cpu_micros: f64,
    bytes: f64,
}

pub(crate) async fn run(subject: &Subject) -> Result<()> {
    println!("\nIngest: remote-write 1.0, {PER_REQUEST} samples a request, ten labels a series");
    let columns = ["µs CPU/sample", "first sample, µs", "samples/s", "bytes/series"];
    println!("{:<46}{:>15}{:>18}{:>12}{:>14}", "", columns[0], columns[1], columns[2], columns[3]);
    let (_, address) = Sink::start().await?;
    for (series, rounds) in LOADS {
        let mut costs = Vec::new();
        for (rules, what) in [(READING, "read by a rule"), (NOT_READING, "read by no rule")] {
            let folder = tempfile::tempdir()?;
            let own = peer::watchfire(&subject.binary, folder.path(), rules, address, "").await?;
            let what = format!("{series} series with {rounds} samples {what}");
            costs.push((what.clone(), measure(&own, series, rounds, &what).await?));
        }
        if !subject.meets(&peer::PROGRAMS) {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let prometheus = peer::prometheus(folder.path(), READING, address).await?;
        let theirs = measure(&prometheus, series, rounds, &format!("{series} series, Prometheus")).await?;
        for (what, own) in costs {
            let (cpu, bytes) = (theirs.cpu_micros / own.cpu_micros, theirs.bytes / own.bytes);
            println!("{what}: ratio of CPU 1 to {cpu:.1}, of memory 1 to {bytes:.1}");
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
async fn measure(peer: &Peer, series: usize, rounds: usize, what: &str) -> Result<Cost> {
    let client = reqwest::Client::new();
    let encoded: Vec<Encoded> = (0..series).map(|n| Encoded::new(&labels(n))).collect();
    let now = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?;
    let empty = peer.server.memory_bytes()?;
    let (mut first, mut cpu, mut wall) = (0.0, 0.0, Duration::ZERO);
    for round in 0..rounds {
        let millis = now - 15_000 * (rounds - round) as i64;
        let before = peer.server.cpu_seconds()?;
        for start in (0..series).step_by(PER_REQUEST) {
            // The generator works while the server has nothing to do, and not while the clock runs.
            let part = start..(start + PER_REQUEST).min(series);
            let samples = part.map(|n| Sample { labels: &encoded[n], value: value(n, round), millis });
            let body = request(samples)?;
            let begin = Instant::now();
            post(&client, &peer.write_url, body).await?;
            if round > 0 {
                wall += begin.elapsed();
            }
        }
        let spent = peer.server.cpu_seconds()? - before;
        if round == 0 {
            first = spent;
        } else {
            cpu += spent;
        }
    }
    let samples = (series * (rounds - 1)) as f64;
    let cpu_micros = cpu * 1e6 / samples;
    let bytes = (peer.server.memory_bytes()? - empty) / series as f64;
    let (first, rate) = (first * 1e6 / series as f64, samples / wall.as_secs_f64());
    println!("{what:<46}{cpu_micros:>15.2}{first:>18.2}{rate:>12.0}{bytes:>14.0}");
    Ok(Cost { cpu_micros, bytes })
}

/// What a host's exporter has: events counted, memory in pages, time in hundredths of a second, and ratios with all
/// their digits.
pub(crate) fn value(number: usize, round: usize) -> f64 {
    match number % 4 {
        0 => (number * 31 + round * (100 + number % 900)) as f64,
        1 => ((number * 7_919 + round * 104_729) % 1_000_000 * 4_096) as f64,
        2 => (number * 13 + round * (number % 1_500)) as f64 / 100.0,
        _ => ((number + 7 * round) as f64).sin(),
    }
}

/// Ten labels, as a host's exporter has them.
pub(crate) fn labels(number: usize) -> Vec<(String, String)> {
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
