//! What is remembered of deliveries for people, over restarts too.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Case;
use crate::support::{Database, Engine, Sink, Tool, block_on};

pub(crate) const CASES: &[Case] = &[
    Case { name: "deliveries::history_survives_a_restart_in_a_file", needs: &[Tool::Binary], run: in_a_file },
    Case {
        name: "deliveries::history_survives_a_restart_in_postgresql",
        needs: &[Tool::Binary, Tool::Postgres],
        run: in_postgresql,
    },
];

/// The page of the attempts and its API, without what tells how long ago something was.
async fn remembered(engine: &Engine) -> Result<Vec<Value>> {
    let answer = engine.get("/api/watchfire/v1/deliveries").await?;
    let page = engine.text("/notifications").await?;
    let deliveries = answer["deliveries"].as_array().cloned().context("a list of deliveries")?;
    for delivery in &deliveries {
        let form = format!("/notifications/{}/again", delivery["number"]);
        ensure!(page.contains(&form), "the page does not show {delivery}");
    }
    Ok(deliveries)
}

async fn restart(engine: &mut Engine) -> Result<()> {
    engine.signal("TERM")?;
    ensure!(engine.ended().await?, "the engine did not end well");
    engine.run(&[]).await
}

async fn survives(storage: &str) -> Result<()> {
    let sink = Sink::answering(|one, _| match one.path.as_str() {
        "/refuses" => (axum::http::StatusCode::BAD_REQUEST, "no such channel".to_owned()),
        _ => (axum::http::StatusCode::OK, "welcome".to_owned()),
    })
    .await?;
    let config = format!(
        "{storage}route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1h}}\n\
         receivers: [{{name: all, webhook_configs: [{{url: '{}'}}, {{url: '{}'}}]}}]\n",
        sink.url("/takes"),
        sink.url("/refuses"),
    );
    let mut engine = Engine::start(&[("watchfire.yml", &config)]).await?;
    let alert = json!([{"labels": {"alertname": "Kept"}, "endsAt": "2099-01-01T00:00:00Z"}]);
    engine.post_ok("/api/v2/alerts", "application/json", alert.to_string()).await?;
    sink.until("both are told", |received| received.len() == 2).await?;
    restart(&mut engine).await?;
    let before = remembered(&engine).await?;
    let mut outcomes: Vec<&str> = before.iter().filter_map(|one| one["outcome"].as_str()).collect();
    outcomes.sort_unstable();
    ensure!(outcomes == ["delivered", "rejected"], "{before:#?}");
    let taken = before.iter().find(|one| one["outcome"] == "delivered").context("one was delivered")?;
    let exchange = &taken["exchanges"][0];
    ensure!(exchange["answer"]["body"] == "welcome" && exchange["answer"]["status"] == 200, "{taken:#}");
    ensure!(exchange["request"]["body"].as_str().is_some_and(|body| body.contains("Kept")), "{taken:#}");

    // It is sent again as it was, and the numbers go on.
    let path = format!("/api/watchfire/v1/deliveries/{}/redeliver", taken["number"]);
    let again: Value = serde_json::from_str(&engine.post_ok(&path, "application/json", "").await?)?;
    ensure!(before.iter().all(|one| again["number"].as_u64() > one["number"].as_u64()), "{again:#}");
    let received = sink.until("it is sent again", |received| received.len() == 3).await?;
    let alerts = |path: &str| {
        let to = received.iter().filter(|one| one.path == path);
        to.map(|one| one.json["alerts"][0]["labels"]["alertname"].clone()).collect::<Vec<_>>()
    };
    ensure!(alerts("/takes") == ["Kept", "Kept"], "{received:#?}");
    restart(&mut engine).await?;
    let after = remembered(&engine).await?;
    ensure!(after[0] == again && after[1..] == before[..], "before: {before:#?}, after: {after:#?}");

    // What is forgotten is forgotten for good.
    engine.post_ok("/v1/alerting/clear-history", "application/json", "").await?;
    engine.kill()?;
    engine.run(&[]).await?;
    ensure!(remembered(&engine).await?.is_empty(), "the history is there again");
    Ok(())
}

fn in_a_file() -> Result<()> {
    block_on(survives(""))
}

fn in_postgresql() -> Result<()> {
    block_on(async {
        let database = Database::make("deliveries")?;
        survives(&format!("storage: {{url: '{}', lease: 1s}}\n", database.url())).await
    })
}
