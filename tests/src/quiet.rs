//! What keeps an alert quiet although it changes: snoozing and flap damping, over restarts too.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use watchfire_model::Timestamp;

use crate::Case;
use crate::support::{Engine, Received, Sink, Tool, block_on, eventually, now};

pub(crate) const CASES: &[Case] = &[
    Case { name: "quiet::what_flaps_is_told_once_more_and_then_its_end", needs: &[Tool::Binary], run: flapping },
    Case { name: "quiet::what_is_snoozed_is_told_when_that_ends", needs: &[Tool::Binary], run: snoozed },
    Case { name: "quiet::the_end_of_what_is_snoozed_is_told", needs: &[Tool::Binary], run: ended },
];

/// A far end: it fires.
const FIRES: &str = "2099-01-01T00:00:00Z";
/// When a snooze ends that is not to end within the test.
const FAR: &str = "2098-01-01T00:00:00Z";

fn config(sink: &Sink, policy: &str) -> String {
    format!(
        "route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 4h{policy}}}\n\
         receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
        sink.url("/webhook")
    )
}

async fn tell(engine: &Engine, ends_at: &str) -> Result<()> {
    let alert = json!([{"labels": {"alertname": "A"}, "startsAt": "2026-01-01T00:00:00Z", "endsAt": ends_at}]);
    engine.post_ok("/api/v2/alerts", "application/json", alert.to_string()).await.map(drop)
}

async fn fires(engine: &Engine) -> Result<()> {
    tell(engine, FIRES).await
}

async fn ends(engine: &Engine) -> Result<()> {
    tell(engine, "2026-01-02T00:00:00Z").await
}

fn told(received: &[Received]) -> Vec<&str> {
    received.iter().filter_map(|one| one.json["status"].as_str()).collect()
}

async fn until_told(sink: &Sink, expected: &[&str]) -> Result<()> {
    sink.until(&format!("told {expected:?}"), |received| told(received).len() >= expected.len()).await?;
    let received = sink.received();
    ensure!(told(&received) == expected, "told {:?} in place of {expected:?}", told(&received));
    Ok(())
}

async fn explained(engine: &Engine) -> Result<Value> {
    engine.get("/api/watchfire/v1/explain?label=alertname%3DA").await
}

async fn until_explained(engine: &Engine, verdict: &str) -> Result<()> {
    let mut last = Value::Null;
    let found = eventually(verdict, async || {
        last = explained(engine).await?;
        Ok(last["verdict"].as_str().is_some_and(|text| text.contains(verdict)).then_some(()))
    });
    found.await.map_err(|error| error.context(format!("{last:#}")))
}

/// Waits until the last attempt but the repetitions was made for this reason.
async fn until_remembered(engine: &Engine, reason: &str) -> Result<()> {
    eventually(&format!("told because of {reason}"), async || {
        let answer = engine.get("/api/watchfire/v1/deliveries").await?;
        let reasons = answer["deliveries"].as_array().into_iter().flatten().map(|one| &one["reason"]);
        let last = reasons.into_iter().find(|one| *one != "repeat_interval_elapsed");
        Ok(last.is_some_and(|last| last == reason).then_some(()))
    })
    .await
}

/// Waits until the engine has said in the alert's history that it keeps it quiet for this reason.
async fn until_noted(engine: &Engine, word: &str) -> Result<()> {
    eventually(&format!("{word} in the history"), async || {
        let history = explained(engine).await?;
        let mut lines = history["history"].as_array().into_iter().flatten();
        Ok(lines.any(|line| line["what"] == word).then_some(()))
    })
    .await
}

async fn restart(engine: &mut Engine) -> Result<()> {
    engine.kill()?;
    engine.run(&[]).await
}

fn flapping() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let damping = config(&sink, ", flap_damping: {times: 3, within: 1h}");
        let mut engine = Engine::start(&[("watchfire.yml", &damping)]).await?;
        let told = ["firing", "resolved", "firing", "resolved", "firing"];
        for (index, status) in told.iter().enumerate() {
            if *status == "firing" {
                fires(&engine).await?
            } else {
                ends(&engine).await?
            }
            until_told(&sink, &told[..=index]).await?;
        }
        until_remembered(&engine, "flapping").await?;
        // From now on it counts as firing, whatever it does and whatever happens to the engine.
        ends(&engine).await?;
        until_explained(&engine, "it comes and goes").await?;
        restart(&mut engine).await?;
        until_explained(&engine, "it comes and goes").await?;
        fires(&engine).await?;
        ends(&engine).await?;
        until_noted(&engine, "flaps").await?;
        until_told(&sink, &told).await?;
        // Where nothing is damped any more, its end is owed.
        engine.write("watchfire.yml", &config(&sink, ""))?;
        let all: Vec<&str> = told.iter().copied().chain(["resolved"]).collect();
        until_told(&sink, &all).await
    })
}

async fn snooze(engine: &Engine, until: Timestamp) -> Result<()> {
    let alerts = engine.get("/api/v2/alerts").await?;
    let fingerprint = alerts[0]["fingerprint"].as_str().context("the alert is known")?;
    let command = json!({"fingerprint": fingerprint, "by": "Ada", "snooze": true, "until": until.to_rfc3339()});
    let path = "/api/watchfire/v1/acknowledgements";
    engine.post_ok(path, "application/json", command.to_string()).await.map(drop)
}

fn snoozed() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        // It would be repeated every second.
        let config = config(&sink, "").replace("repeat_interval: 4h", "repeat_interval: 1s, repeat: exact");
        let mut engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        fires(&engine).await?;
        until_told(&sink, &["firing"]).await?;
        snooze(&engine, Timestamp::parse_rfc3339(FAR)?).await?;
        until_explained(&engine, "snoozed by Ada until 2098-01-01").await?;
        restart(&mut engine).await?;
        until_explained(&engine, "snoozed by Ada until 2098-01-01").await?;
        let quiet = sink.received().len();
        fires(&engine).await?;
        let group = engine.get("/api/v2/alerts/groups").await?;
        ensure!(group[0]["alerts"][0]["status"]["state"] == "suppressed", "{group:#}");
        ensure!(sink.received().len() == quiet, "it was repeated: {:?}", told(&sink.received()));
        // A snooze that ends soon is told of when it has ended, and not by a repetition before.
        snooze(&engine, Timestamp::from_secs(i64::try_from(now())? + 2)).await?;
        sink.until("it is told again", |received| received.len() > quiet).await?;
        let deliveries = engine.get("/api/watchfire/v1/deliveries").await?;
        let reasons: Vec<&str> = deliveries["deliveries"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["reason"].as_str())
            .collect();
        ensure!(reasons.contains(&"snooze_ended"), "{reasons:?}");
        Ok(())
    })
}

fn ended() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let mut engine = Engine::start(&[("watchfire.yml", &config(&sink, ""))]).await?;
        fires(&engine).await?;
        until_told(&sink, &["firing"]).await?;
        snooze(&engine, Timestamp::parse_rfc3339(FAR)?).await?;
        until_explained(&engine, "snoozed by Ada").await?;
        restart(&mut engine).await?;
        ends(&engine).await?;
        until_told(&sink, &["firing", "resolved"]).await?;
        // The snooze ended with the alert.
        fires(&engine).await?;
        until_told(&sink, &["firing", "resolved", "firing"]).await
    })
}
