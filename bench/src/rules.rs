//! Rules at their interval: CPU per series and rule, and whether evaluations that are due happen.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use crate::mix::{self, Series};
use crate::peer::{self, Peer};
use crate::process::Subject;
use crate::remote_write::{Sample, post, request};
use crate::sink::Sink;

const SERIES: usize = 100_000;
const PER_REQUEST: usize = 5_000;
/// Rounds of samples, 15 seconds apart, that fill the windows before anything is measured.
const ROUNDS: i64 = 21;
const GAP: i64 = 15_000;
/// How many rules, how often, in seconds.
const CASES: [(usize, u64); 4] = [(1_000, 15), (10_000, 15), (1_000, 1), (10_000, 1)];
/// How long each case is measured; a multiple of the intervals.
const MEASURED: Duration = Duration::from_secs(15);
/// How long new rules have at most to be evaluated for the first time.
const SETTLING_MAX: Duration = Duration::from_secs(60);

/// What one case cost.
struct Cost {
    /// Nanoseconds of CPU.
    per_series_and_rule: f64,
}

pub(crate) async fn run(subject: &Subject) -> Result<()> {
    println!("\nRules: thresholds, rate ratios, quantiles and absence over {SERIES} series");
    println!(
        "{:<14}{:>8}{:>10}{:>14}{:>14}{:>18}{:>22}{:>18}",
        "", "rules", "interval", "due done", "cores", "µs CPU/rule", "ns CPU/series, rule", "first time, ns"
    );
    let (_, address) = Sink::start().await?;
    let folder = tempfile::tempdir()?;
    // Arrival is another measurement's matter: here every evaluation is one that is due.
    let config = "evaluation: {on_ingest: false}\n";
    let begin = now();
    let own = peer::watchfire(&subject.binary, folder.path(), &file(10_000, "1h"), address, config).await?;
    let started = begin.elapsed();
    let own_costs = measure(&own, folder.path()).await?;
    println!("watchfire: start with 10,000 rules {:.2} s", started.as_secs_f64());
    reload_one(&own, folder.path()).await?;
    drop(own);
    if !subject.meets(&peer::PROGRAMS) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let prometheus = peer::prometheus(folder.path(), &file(10_000, "1h"), address).await?;
    let costs = measure(&prometheus, folder.path()).await?;
    for ((rules, interval), (own, theirs)) in CASES.iter().zip(own_costs.iter().zip(&costs)) {
        let ratio = theirs.per_series_and_rule / own.per_series_and_rule;
        println!("ratio of CPU per series and rule, {rules} rules every {interval} s: 1 to {ratio:.0}");
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn now() -> Instant {
    Instant::now()
}

fn file(rules: usize, interval: &str) -> String {
    mix::rule_file(&mix::rules(rules, SERIES), interval)
}

/// Sends one sample of each series.
async fn round(peer: &Peer, series: &[Series], millis: i64) -> Result<()> {
    let client = reqwest::Client::new();
    for part in series.chunks(PER_REQUEST) {
        let samples = part.iter().map(|one| Sample { labels: &one.encoded, value: one.value(millis), millis });
        post(&client, &peer.write_url, request(samples)?).await?;
    }
    Ok(())
}

async fn reload(peer: &Peer) -> Result<Duration> {
    let begin = now();
    reqwest::Client::new().post(format!("{}/-/reload", peer.url)).send().await?.error_for_status()?;
    Ok(begin.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
async fn measure(peer: &Peer, folder: &Path) -> Result<Vec<Cost>> {
    let series = mix::series(SERIES);
    let clock =
        || -> Result<i64> { Ok(i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?) };
    let mut last = clock()?;
    for back in (0..ROUNDS).rev() {
        round(peer, &series, last - back * GAP).await?;
    }
    let mut costs = Vec::new();
    for (rules, interval) in CASES {
        std::fs::write(folder.join("rules.yml"), file(rules, &format!("{interval}s")))?;
        reload(peer).await?;
        let reads: usize = mix::rules(rules, SERIES).iter().map(|rule| rule.reads).sum();
        // What the first evaluation of a rule finds out, the later ones know.
        let (cpu, before, begin) = (peer.server.cpu_seconds()?, peer.evaluated().await?, now());
        let mut first = 0.0;
        while first < rules as f64 && begin.elapsed() < SETTLING_MAX {
            tokio::time::sleep(Duration::from_millis(500)).await;
            first = peer.evaluated().await?.done - before.done;
        }
        let first = (peer.server.cpu_seconds()? - cpu) / first * rules as f64 / reads as f64 * 1e9;
        // From here on each series has a sample in each 15 seconds; taking it is another measurement's matter.
        last = clock()?.max(last + 1);
        round(peer, &series, last).await?;
        let (cpu, before, begin) = (peer.server.cpu_seconds()?, peer.evaluated().await?, now());
        tokio::time::sleep(MEASURED).await;
        let (cpu, after, wall) =
            (peer.server.cpu_seconds()? - cpu, peer.evaluated().await?, begin.elapsed().as_secs_f64());
        let per_rule = cpu / (after.done - before.done);
        let per_series_and_rule = per_rule / (reads as f64 / rules as f64) * 1e9;
        println!(
            "{:<14}{rules:>8}{:>8} s{:>12.0} %{:>14.2}{:>18.1}{per_series_and_rule:>22.1}{first:>18.1}",
            peer.name,
            interval,
            100.0 * after.share_since(&before),
            cpu / wall,
            per_rule * 1e6,
        );
        costs.push(Cost { per_series_and_rule });
    }
    Ok(costs)
}

/// Changes one rule of 10,000.
async fn reload_one(peer: &Peer, folder: &Path) -> Result<()> {
    let path = folder.join("rules.yml");
    let text = std::fs::read_to_string(&path)?;
    let line = text.lines().find(|line| line.contains("expr: gauge")).context("there is a threshold")?;
    std::fs::write(&path, text.replacen(line, &format!("{line} + 1"), 1))?;
    println!(
        "{}: reload of 10,000 rules with one changed {:.0} ms",
        peer.name,
        reload(peer).await?.as_secs_f64() * 1e3
    );
    Ok(())
}
