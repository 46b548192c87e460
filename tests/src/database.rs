//! The database locked or gone for a while: what is decided goes out from memory, it is alarmed, and nothing is lost.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::Case;
use crate::support::{Database, Engine, Received, Sink, Tool, block_on, eventually};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "database::a_locked_file_holds_up_no_page_and_nothing_is_lost",
        needs: &[Tool::Binary, Tool::Program("python3")],
        run: locked,
    },
    Case {
        name: "database::a_server_that_is_gone_holds_up_no_page_and_nothing_is_lost",
        needs: &[Tool::Binary, Tool::Postgres],
        run: gone,
    },
];

/// Holds the write lock of an SQLite file until its input ends.
const LOCK: &str = "import sqlite3, sys\n\
    connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
    connection.execute('BEGIN IMMEDIATE')\n\
    print('locked', flush=True)\n\
    sys.stdin.read()\n\
    connection.execute('ROLLBACK')\n";

/// Ends the lock with the value.
struct Lock(Child);

impl Lock {
    fn take(path: &std::path::Path) -> Result<Lock> {
        let mut child = Command::new("python3");
        let child = child.arg("-c").arg(LOCK).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut lock = Lock(child);
        let mut line = String::new();
        BufReader::new(lock.0.stdout.take().context("it has an output")?).read_line(&mut line)?;
        ensure!(line.trim() == "locked", "the file could not be locked");
        Ok(lock)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends by itself; the test fails elsewhere if it does not.
        drop(self.0.wait());
    }
}

fn config(storage: &str, sink: &Sink) -> String {
    format!(
        "{storage}route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}}\n\
         receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
        sink.url("/webhook")
    )
}

fn alert(name: &str) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&json!([{"labels": {"alertname": name}, "endsAt": "2099-01-01T00:00:00Z"}]))?)
}

fn told(received: &[Received], name: &str) -> usize {
    let alerts = |one: &Received| one.json["alerts"].as_array().cloned().unwrap_or_default();
    received.iter().flat_map(alerts).filter(|alert| alert["labels"]["alertname"] == name).count()
}

async fn failing(engine: &Engine, failing: bool) -> Result<()> {
    let line = format!("\nwatchfire_store_failing {}", u8::from(failing));
    let what = if failing { "the store fails" } else { "the store works" };
    eventually(what, async || Ok(engine.text("/metrics").await?.contains(&line).then_some(()))).await
}

/// Goes through an outage that `begin` begins and `end` ends. Where a try `hangs`, no page waits for it.
async fn outage<L>(
    mut engine: Engine,
    sink: &Sink,
    hangs: bool,
    begin: impl FnOnce(&Engine) -> Result<L>,
    end: impl FnOnce(L) -> Result<()>,
) -> Result<()> {
    engine.post_ok("/api/v2/alerts", "application/json", alert("Before")?).await?;
    sink.until("the page before", |received| told(received, "Before") == 1).await?;
    let begun = begin(&engine)?;
    let answer = engine.post("/api/v2/alerts", &[("content-type", "application/json")], alert("During")?).await?;
    ensure!(answer.status().is_server_error(), "what is not durable was accepted: {}", answer.status());
    // Its sender will come again, and nobody waits for that.
    sink.until("the page from memory", |received| told(received, "During") == 1).await?;
    failing(&engine, true).await?;
    sink.until("the alarm", |received| told(received, "WatchfireStoreFailing") > 0).await?;
    let mut expected = vec!["Before", "During"];
    if hangs {
        expected.push("Meanwhile");
        let accepted = engine.post("/api/v2/alerts", &[("content-type", "application/json")], alert("Meanwhile")?);
        let page = sink.until("a page while a try hangs", |received| told(received, "Meanwhile") == 1);
        tokio::select! {
            answer = accepted => bail!("the page waited for the store, which was tried for {}", answer?.status()),
            received = page => drop(received?),
        }
    }
    end(begun)?;
    failing(&engine, false).await?;
    engine.post_ok("/api/v2/alerts", "application/json", alert("During")?).await?;
    engine.kill()?;
    engine.run(&[]).await?;
    engine.post_ok("/api/v2/alerts", "application/json", alert("After")?).await?;
    let received = sink.until("the page after", |received| told(received, "After") == 1).await?;
    for name in &expected {
        ensure!(told(&received, name) == 1, "{name} was told {} times", told(&received, name));
    }
    let known = engine.get("/api/v2/alerts").await?;
    let names: Vec<&str> =
        known.as_array().into_iter().flatten().filter_map(|one| one["labels"]["alertname"].as_str()).collect();
    expected.push("After");
    ensure!(expected.iter().all(|name| names.contains(name)), "known after all: {names:?}");
    Ok(())
}

fn locked() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let engine = Engine::start(&[("watchfire.yml", &config("", &sink))]).await?;
        outage(
            engine,
            &sink,
            true,
            |engine| Lock::take(&engine.folder().join("data/state.db")),
            |lock| {
                drop(lock);
                Ok(())
            },
        )
        .await
    })
}

fn gone() -> Result<()> {
    block_on(async {
        let (database, sink) = (Database::make("gone")?, Sink::start().await?);
        let storage = format!("storage: {{url: '{}', lease: 1s}}\n", database.url());
        let engine = Engine::start(&[("watchfire.yml", &config(&storage, &sink))]).await?;
        outage(engine, &sink, false, |_| database.gone(), |()| database.back()).await
    })
}
