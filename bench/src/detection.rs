//! From a sample that crosses its threshold, pushed, to the webhook, received.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::mix;
use crate::peer::{self, Peer};
use crate::process::Subject;
use crate::quantile;
use crate::remote_write::{Encoded, Sample, post, request};
use crate::sink::Sink;

pub(crate) async fn run(subject: &Subject) -> Result<()> {
    println!("\nDetection: sample pushed to webhook received, group_wait 0s (milliseconds)");
    println!("{:<14}{:>8}{:>10}{:>10}{:>10}{:>10}", "", "trials", "p50", "p90", "p99", "max");
    let (sink, address) = Sink::start().await?;
    let folder = tempfile::tempdir()?;
    let own = peer::watchfire(&subject.binary, folder.path(), peer::probe_rule(), address, "").await?;
    let own = measure(&own, "idle", &sink, 300).await?;
    under_load(&subject.binary, &sink, address).await?;
    if !subject.meets(&peer::PROGRAMS) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let prometheus = peer::prometheus(folder.path(), peer::probe_rule(), address).await?;
    let theirs = measure(&prometheus, "idle", &sink, 60).await?;
    println!("ratio at p50: 1 to {:.0}, at p99: 1 to {:.0}", theirs.0 / own.0, theirs.1 / own.1);
    Ok(())
}

const SERIES: usize = 100_000;
const PER_REQUEST: usize = 2_000;
/// With [`PER_REQUEST`] samples each, 100,000 samples in a second.
const REQUEST_GAP: Duration = Duration::from_millis(20);

/// The same while 10,000 rules stand and 100,000 samples that they read come in every second.
async fn under_load(binary: &str, sink: &Sink, address: std::net::SocketAddr) -> Result<()> {
    println!("with 10,000 rules over {SERIES} series and 100,000 samples a second:");
    let folder = tempfile::tempdir()?;
    let mix = mix::rule_file(&mix::rules(10_000, SERIES), "15s");
    let probe = "- {name: probe, interval: 1s, rules: [{alert: Probe, expr: probe_value > 5}]}\n";
    let peer = peer::watchfire(binary, folder.path(), &(mix + probe), address, "").await?;
    let series = mix::series(SERIES);
    let url = peer.write_url.clone();
    let load = tokio::spawn(async move {
        let client = reqwest::Client::new();
        let mut due = tokio::time::interval(REQUEST_GAP);
        loop {
            for part in series.chunks(PER_REQUEST) {
                due.tick().await;
                let millis = millis()?;
                let samples = part.iter().map(|one| Sample { labels: &one.encoded, value: one.value(millis), millis });
                post(&client, &url, request(samples)?).await?;
            }
        }
        #[expect(unreachable_code, reason = "gives the loop its type")]
        anyhow::Ok(())
    });
    // Series are new for a moment only.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (cpu, samples, begin) = (peer.server.cpu_seconds()?, peer.counter("samples_accepted_total").await?, now());
    measure(&peer, "loaded", sink, 100).await?;
    let (cpu, wall) = (peer.server.cpu_seconds()? - cpu, begin.elapsed().as_secs_f64());
    let samples = peer.counter("samples_accepted_total").await? - samples;
    println!(
        "{:<14}{:.2} cores meanwhile, at {:.0} samples/s: {:.2} µs CPU/sample",
        peer.name,
        cpu / wall,
        samples / wall,
        cpu / samples * 1e6
    );
    if load.is_finished() {
        load.await??;
    } else {
        load.abort();
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn millis() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?)
}

/// The name tells the trials of one measurement from those of others at the same sink.
async fn measure(peer: &Peer, name: &str, sink: &Sink, trials: usize) -> Result<(f64, f64)> {
    let client = reqwest::Client::new();
    let mut times = Vec::with_capacity(trials);
    for trial in 0..trials {
        let name = format!("{}-{name}-{trial}", peer.name);
        let labels = [("__name__", "probe_value"), ("trial", name.as_str())].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let labels = Encoded::new(&labels);
        let sample = Sample { labels: &labels, value: 10.0, millis: millis()? };
        let body = request([sample].into_iter())?;
        let begin = now();
        post(&client, &peer.write_url, body).await?;
        let arrival = sink.arrival(&name).await;
        times.push(arrival.duration_since(begin).as_secs_f64() * 1000.0);
        // Spread over an interval of a second, so that every phase of it is met.
        tokio::time::sleep(Duration::from_millis(trial as u64 * 137 % 500)).await;
    }
    times.sort_by(f64::total_cmp);
    let at = |share| quantile(&times, share);
    println!("{:<14}{trials:>8}{:>10.1}{:>10.1}{:>10.1}{:>10.1}", peer.name, at(0.5), at(0.9), at(0.99), at(1.0));
    Ok((at(0.5), at(0.99)))
}
