//! A usual day: every series has a sample every 15 seconds, spread over them, and every rule is evaluated every 15
//! seconds. What both together cost, where arrivals start evaluations too and where they do not.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::mix::{self, Series};
use crate::peer::{self, Peer};
use crate::process::Subject;
use crate::remote_write::{Sample, post, request};
use crate::sink::Sink;

const SERIES: usize = 100_000;
const RULES: usize = 10_000;
const PER_REQUEST: usize = 500;
const INTERVAL: Duration = Duration::from_secs(15);
/// Rounds before anything is measured: series are new, and rules find their series.
const ROUNDS_BEFORE: usize = 2;
const ROUNDS_MEASURED: usize = 2;

pub(crate) async fn run(subject: &Subject) -> Result<()> {
    println!("\nA usual day: {SERIES} series and {RULES} rules, samples and evaluations every 15 s");
    println!("{:<46}{:>10}{:>14}", "", "cores", "due done");
    let (_, address) = Sink::start().await?;
    let rules = mix::rule_file(&mix::rules(RULES, SERIES), "15s");
    let folder = tempfile::tempdir()?;
    let own = peer::watchfire(&subject.binary, folder.path(), &rules, address, "").await?;
    let own = measure(&own, "Watchfire, evaluating on arrival too").await?;
    let folder = tempfile::tempdir()?;
    let plain =
        peer::watchfire(&subject.binary, folder.path(), &rules, address, "evaluation: {on_ingest: false}\n").await?;
    let plain = measure(&plain, "Watchfire, at the interval only").await?;
    if !subject.meets(&peer::PROGRAMS) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let theirs = peer::prometheus(folder.path(), &rules, address).await?;
    let theirs = measure(&theirs, "Prometheus").await?;
    println!("ratio of CPU for each evaluation that is due: 1 to {:.0}, 1 to {:.0}", theirs / own, theirs / plain);
    Ok(())
}

/// Answers the cores that it would take to do all that is due.
async fn measure(peer: &Peer, what: &str) -> Result<f64> {
    let series = mix::series(SERIES);
    for _ in 0..ROUNDS_BEFORE {
        round(peer, &series).await?;
    }
    let (cpu, before) = (peer.server.cpu_seconds()?, peer.evaluated().await?);
    for _ in 0..ROUNDS_MEASURED {
        round(peer, &series).await?;
    }
    let cores = (peer.server.cpu_seconds()? - cpu) / (INTERVAL.as_secs_f64() * ROUNDS_MEASURED as f64);
    let share = peer.evaluated().await?.share_since(&before);
    println!("{what:<46}{cores:>10.2}{:>12.0} %", 100.0 * share);
    Ok(cores / share)
}

/// Sends a sample of each series, spread over the interval.
async fn round(peer: &Peer, series: &[Series]) -> Result<()> {
    let client = reqwest::Client::new();
    let requests = u32::try_from(series.len().div_ceil(PER_REQUEST))?;
    let mut due = tokio::time::interval(INTERVAL / requests);
    for part in series.chunks(PER_REQUEST) {
        due.tick().await;
        let millis = i64::try_from(now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?;
        let samples = part.iter().map(|one| Sample { labels: &one.encoded, value: one.value(millis), millis });
        post(&client, &peer.write_url, request(samples)?).await?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn now() -> SystemTime {
    SystemTime::now()
}
