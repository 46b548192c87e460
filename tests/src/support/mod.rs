//! What the tests stand on: tools, processes, ports.

mod database;
mod engine;
mod fuzz;
mod mailbox;
mod openapi;
mod prometheus;
mod proto;
mod random;
mod sink;
mod tool;

pub(crate) use database::{Database, Locked};
pub(crate) use engine::{Engine, OWN_DOCUMENT, client};
pub(crate) use fuzz::Fuzz;
pub(crate) use mailbox::Mailbox;
pub(crate) use openapi::OpenApi;
pub(crate) use prometheus::Prometheus;
pub(crate) use proto::Proto;
pub(crate) use random::Random;
pub(crate) use sink::{Received, Sink};
pub(crate) use tool::{Tool, faketime};

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// A variable of the environment, `None` if unset or empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the task that runs the tests says through the environment what it built"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The time now in seconds.
#[expect(clippy::disallowed_methods, reason = "a real Prometheus runs beside the engine and has a clock")]
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Runs an asynchronous test to its end.
pub(crate) fn block_on(test: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(test)
}

/// Asks again until there is an answer. What is waited for comes from other processes, which cannot be told to call
/// back; the limit is far beyond what any of them needs and only turns a hang into a failure.
pub(crate) async fn eventually<T>(
    what: &str,
    mut answer: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = answer().await? {
            return Ok(answer);
        }
        anyhow::ensure!(tokio::time::Instant::now() < limit, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Puts some of the built plugins into a folder: compiling all of them would take longer than most tests.
pub(crate) fn install_plugins(folder: &Path, names: &[&str]) -> anyhow::Result<()> {
    let built = variable("WATCHFIRE_PLUGINS").context("WATCHFIRE_PLUGINS")?;
    std::fs::create_dir_all(folder)?;
    for name in names {
        let file = format!("{name}.wasm");
        std::fs::copy(Path::new(&built).join(&file), folder.join(&file)).with_context(|| file)?;
    }
    Ok(())
}
