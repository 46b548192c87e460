//! Several engines on one PostgreSQL: one decides, another takes over, and nobody is told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::Case;
use crate::support::{Database, Engine, Locked, Random, Received, Sink, Tool, block_on, eventually};

const NEEDS: &[Tool] = &[Tool::Binary, Tool::Postgres];

pub(crate) const CASES: &[Case] = &[
    Case { name: "pair::each_page_comes_under_one_key_while_engines_are_killed", needs: NEEDS, run: storm },
    Case { name: "pair::what_is_asked_of_one_holds_on_the_other", needs: NEEDS, run: asked },
    Case { name: "pair::to_read_what_is_kept_may_take_longer_than_the_lease_lasts", needs: NEEDS, run: slow_to_read },
    Case { name: "pair::who_cannot_read_what_is_kept_gives_the_lease_back", needs: NEEDS, run: cannot_read },
    Case { name: "pair::who_cannot_ask_says_so_until_it_can", needs: NEEDS, run: cannot_ask },
    Case { name: "pair::an_engine_that_was_stopped_tells_nobody_when_it_wakes_up", needs: NEEDS, run: stopped },
];

const KILLS: usize = 8;

fn config(database: &Database, sink: &Sink) -> String {
    format!(
        "storage: {{url: '{}', lease: 1s}}\n\
         route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}}\n\
         receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
        database.url(),
        sink.url("/webhook")
    )
}

fn alerts(names: &[String]) -> Result<Vec<u8>> {
    let alert = |name: &String| json!({"labels": {"alertname": name, "severity": "critical"}, "endsAt": "2099-01-01T00:00:00Z"});
    Ok(serde_json::to_vec(&names.iter().map(alert).collect::<Vec<_>>())?)
}

async fn post(engine: &Engine, names: &[String]) -> Result<()> {
    engine.post_ok("/api/v2/alerts", "application/json", alerts(names)?).await.map(drop)
}

async fn decides(engine: &Engine) -> Result<bool> {
    Ok(engine.text("/metrics").await?.contains("\nwatchfire_deciding 1"))
}

async fn until_decides(engine: &Engine, decided: bool) -> Result<()> {
    let what = if decided { "the engine decides" } else { "the engine leaves it to the other" };
    eventually(what, async || Ok((decides(engine).await? == decided).then_some(()))).await
}

/// The keys under which each alert was told.
fn keys(received: &[Received]) -> BTreeMap<String, BTreeSet<String>> {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in received {
        let key = one.headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
        for alert in one.json["alerts"].as_array().into_iter().flatten() {
            let name = alert["labels"]["alertname"].as_str().unwrap_or_default();
            keys.entry(name.to_owned()).or_default().insert(key.to_owned());
        }
    }
    keys
}

fn storm() -> Result<()> {
    block_on(async {
        let mut random = Random::seeded("pair::storm");
        let (database, sink) = (Database::make("storm")?, Sink::start().await?);
        let config = config(&database, &sink);
        let mut engines =
            [Engine::start(&[("watchfire.yml", &config)]).await?, Engine::start(&[("watchfire.yml", &config)]).await?];
        let mut accepted = BTreeSet::new();
        let mut number = 0;
        for _ in 0..KILLS {
            let moment = tokio::time::Instant::now() + Duration::from_millis(200 + random.below(1_200));
            while tokio::time::Instant::now() < moment {
                let names: Vec<String> = (number..number + 3).map(|number| format!("storm-{number}")).collect();
                number += names.len();
                let engine = &engines[usize::from(random.below(2) == 1)];
                let body = alerts(&names)?;
                let post = engine.post("/api/v2/alerts", &[("content-type", "application/json")], body);
                // The kill cuts requests off at any point, and a request may meet a change of engines.
                match tokio::time::timeout_at(moment, post).await {
                    Ok(Ok(answer)) if answer.status().is_success() => accepted.extend(names),
                    Ok(_) | Err(_) => {}
                }
            }
            let victim = &mut engines[usize::from(random.below(2) == 1)];
            victim.kill()?;
            if random.below(2) == 1 {
                // The other one takes over before this one is back.
                tokio::time::sleep(Duration::from_millis(random.below(2_000))).await;
            }
            victim.run(&[]).await?;
        }
        ensure!(accepted.len() > KILLS, "only {} alerts were accepted; the storm was none", accepted.len());
        let received = sink
            .until("every accepted alert is told", |received| {
                let told = keys(received);
                accepted.iter().all(|name| told.contains_key(name))
            })
            .await?;
        for (name, keys) in keys(&received) {
            ensure!(keys.len() == 1, "{name} was told under {} keys: {keys:?}", keys.len());
        }
        println!("{} alerts accepted, {} requests received, {KILLS} kills", accepted.len(), received.len());
        Ok(())
    })
}

/// The second of two engines, whose first one has told something and is dead, and what keeps it from reading that.
async fn left_alone(database: &Database, sink: &Sink, config: &str) -> Result<(Engine, Locked)> {
    let mut first = Engine::start(&[("watchfire.yml", config)]).await?;
    let second = Engine::start(&[("watchfire.yml", config)]).await?;
    post(&first, &["Before".to_owned()]).await?;
    sink.until("the first engine tells", |received| keys(received).contains_key("Before")).await?;
    let locked = database.lock_records()?;
    first.kill()?;
    Ok((second, locked))
}

async fn takes_over(second: &Engine, sink: &Sink) -> Result<()> {
    until_decides(second, true).await?;
    post(second, &["After".to_owned()]).await?;
    sink.until("the second engine tells", |received| keys(received).contains_key("After")).await?;
    Ok(())
}

fn slow_to_read() -> Result<()> {
    block_on(async {
        let (database, sink) = (Database::make("slow")?, Sink::start().await?);
        let config = config(&database, &sink);
        let (second, locked) = left_alone(&database, &sink, &config).await?;
        let lease = || database.value("SELECT term || ' ' || until FROM lease");
        let before = lease()?;
        let term = |lease: &str| lease.split(' ').next().unwrap_or_default().to_owned();
        let taken = eventually("the second engine has the lease", async || {
            Ok(Some(lease()?).filter(|now| term(now) != term(&before)))
        })
        .await?;
        // It cannot read what it is to decide about, and does not lose the lease over it.
        let mut renewed = BTreeSet::from([taken.clone()]);
        eventually("the lease is renewed", async || {
            renewed.insert(lease()?);
            Ok((renewed.len() > 8).then_some(()))
        })
        .await?;
        ensure!(renewed.iter().all(|now| term(now) == term(&taken)), "it was lost in between: {renewed:?}");
        drop(locked);
        takes_over(&second, &sink).await
    })
}

fn cannot_read() -> Result<()> {
    block_on(async {
        let (database, sink) = (Database::make("cannot_read")?, Sink::start().await?);
        // Who finds something locked is told so at once.
        database.value(&format!("ALTER DATABASE {} SET lock_timeout = '20ms'", database.name()))?;
        let config = config(&database, &sink).replace("lease: 1s", "lease: 4s");
        let (second, locked) = left_alone(&database, &sink, &config).await?;
        eventually("the second engine leaves the lease to whoever can read", async || {
            Ok((database.value("SELECT until FROM lease")? == "-infinity").then_some(()))
        })
        .await?;
        drop(locked);
        takes_over(&second, &sink).await
    })
}

fn asked() -> Result<()> {
    block_on(async {
        let (database, sink) = (Database::make("asked")?, Sink::start().await?);
        let config = config(&database, &sink);
        let mut first = Engine::start(&[("watchfire.yml", &config)]).await?;
        let second = Engine::start(&[("watchfire.yml", &config)]).await?;
        ensure!(decides(&first).await? && !decides(&second).await?, "the one that starts first decides");
        let silence = json!({
            "matchers": [{"name": "alertname", "value": "Quiet.*", "isRegex": true, "isEqual": true}],
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "test", "comment": "c",
        });
        let made = second.post_ok("/api/v2/silences", "application/json", serde_json::to_vec(&silence)?).await?;
        let id = serde_json::from_str::<serde_json::Value>(&made)?["silenceID"].as_str().unwrap_or_default().to_owned();
        let path = format!("/api/v2/silence/{id}");
        eventually("the silence holds on the first engine", async || Ok(first.get(&path).await.ok())).await?;
        post(&second, &["Quiet1".to_owned(), "Loud1".to_owned()]).await?;
        sink.until("the alert that is not silenced is told", |received| keys(received).contains_key("Loud1")).await?;
        eventually("what the first engine decided is seen on the second", async || {
            let groups = second.get("/api/v2/alerts").await?;
            let quiet = groups.as_array().into_iter().flatten().find(|one| one["labels"]["alertname"] == "Quiet1");
            Ok(quiet.is_some_and(|one| one["status"]["silencedBy"][0] == id.as_str()).then_some(()))
        })
        .await?;
        first.kill()?;
        // Nobody decides for a moment; what is accepted then is told by whoever does next.
        post(&second, &["Quiet2".to_owned(), "Loud2".to_owned()]).await?;
        sink.until("the second engine tells", |received| keys(received).contains_key("Loud2")).await?;
        ensure!(decides(&second).await?, "the second engine decides");
        let told: Vec<String> = keys(&sink.received()).into_keys().collect();
        ensure!(told == ["Loud1", "Loud2"], "{told:?} were told");
        Ok(())
    })
}

fn cannot_ask() -> Result<()> {
    block_on(async {
        let (database, sink) = (Database::make("cannot_ask")?, Sink::start().await?);
        // Who finds something locked is told so at once.
        database.value(&format!("ALTER DATABASE {} SET lock_timeout = '20ms'", database.name()))?;
        let config = config(&database, &sink);
        let _first = Engine::start(&[("watchfire.yml", &config)]).await?;
        let second = Engine::start(&[("watchfire.yml", &config)]).await?;
        let locked = database.lock_requests()?;
        let refused =
            second.post("/api/v2/alerts", &[("content-type", "application/json")], alerts(&["A".to_owned()])?);
        ensure!(refused.await?.status() == 503, "what cannot be asked for is refused");
        // Nobody waits for anything any more, and still it is tried again and fails.
        let value = |metrics: &str, name: &str| {
            let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
            found.unwrap_or_default()
        };
        eventually("it has failed four times", async || {
            let metrics = second.text("/metrics").await?;
            let failed = value(&metrics, "watchfire_store_commit_failures_total ") >= 4;
            ensure!(value(&metrics, "watchfire_store_failing ") == 1, "it fails until it is taken again: {metrics}");
            Ok(failed.then_some(()))
        })
        .await?;
        drop(locked);
        eventually("it works again", async || {
            Ok((value(&second.text("/metrics").await?, "watchfire_store_failing ") == 0).then_some(()))
        })
        .await?;
        post(&second, &["B".to_owned()]).await?;
        sink.until("what is asked for then is told", |received| keys(received).contains_key("B")).await.map(drop)
    })
}

fn stopped() -> Result<()> {
    block_on(async {
        let (database, sink) = (Database::make("stopped")?, Sink::start().await?);
        let config = config(&database, &sink);
        let first = Engine::start(&[("watchfire.yml", &config)]).await?;
        let second = Engine::start(&[("watchfire.yml", &config)]).await?;
        post(&first, &["Before".to_owned()]).await?;
        sink.until("the first engine tells", |received| keys(received).contains_key("Before")).await?;
        first.signal("STOP")?;
        post(&second, &["While".to_owned()]).await?;
        sink.until("the second engine takes over", |received| keys(received).contains_key("While")).await?;
        first.signal("CONT")?;
        until_decides(&first, false).await?;
        post(&first, &["After".to_owned()]).await?;
        let received = sink.until("the second engine tells", |received| keys(received).contains_key("After")).await?;
        // The page before may have been cut off from its answer, and goes out again under its key then. An engine whose
        // connections were closed meanwhile says so in an alert of its own.
        let keys: BTreeMap<String, usize> =
            keys(&received).into_iter().map(|(name, keys)| (name, keys.len())).collect();
        let own: Vec<_> = keys.iter().filter(|(name, _)| !name.starts_with("Watchfire")).collect();
        let once = [("After", 1), ("Before", 1), ("While", 1)];
        ensure!(own.iter().map(|(name, keys)| (name.as_str(), **keys)).eq(once), "keys by alert: {keys:?}");
        Ok(())
    })
}
