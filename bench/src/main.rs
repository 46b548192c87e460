//! Measures the engine beside its peers in one run, so that the ratios hold on a noisy machine.
//!
//! CPU is that of the server process alone, user and system, from `/proc`; it stays comparable when the machine is busy.
//! Prometheus and Alertmanager take part where they are installed, unless it is called with `--alone`. Nothing here is a
//! test: no figure makes it fail.

mod detection;
mod dispatch;
mod evaluator;
mod ingest;
mod mix;
mod peer;
mod process;
mod recovery;
mod remote_write;
mod rules;
mod sink;
mod steady;

use anyhow::Result;
use process::Subject;

fn main() -> Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let binary = std::env::args().nth(1).unwrap_or_else(|| "target/release/watchfire".to_owned());
    let (options, only): (Vec<String>, Vec<String>) = std::env::args().skip(2).partition(|word| word == "--alone");
    let subject = Subject { binary, alone: !options.is_empty() };
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let wanted_part = |part: &str| wanted("dispatch") || wanted(part);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        if wanted("detection") {
            detection::run(&subject).await?;
        }
        if wanted("ingest") {
            ingest::run(&subject).await?;
        }
        if wanted("rules") {
            rules::run(&subject).await?;
        }
        if wanted("steady") {
            steady::run(&subject).await?;
        }
        if wanted("evaluator") {
            evaluator::run()?;
        }
        if wanted("recovery") {
            recovery::run(&subject.binary).await?;
        }
        if dispatch::PARTS.iter().any(|part| wanted_part(part)) {
            dispatch::run(&subject, wanted_part).await?;
        }
        Ok(())
    })
}

/// The value below which `share` of the sorted values lie.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let position = (share * last as f64).round() as usize;
    sorted.get(position).copied().unwrap_or(f64::NAN)
}
