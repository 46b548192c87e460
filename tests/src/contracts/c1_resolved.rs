//! Contract C1: who was told that an alert fires is told that it ended, through everything that lies between.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Case;
use crate::support::{Engine, Received, Sink, Tool, block_on};

pub(crate) const CASES: &[Case] = &[
    Case { name: "contracts::c1_through_a_silence_a_reload_and_kills", needs: &[Tool::Binary], run: through },
    Case { name: "contracts::c1_through_an_outage_of_the_receiver", needs: &[Tool::Binary], run: outage },
];

fn config(sink: &Sink, more: &str) -> String {
    format!(
        "route: {{receiver: all, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}}\n\
         receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n{more}",
        sink.url("/")
    )
}

async fn send(engine: &Engine, resolved: bool) -> Result<Value> {
    let event = json!({"event_type": "system_down", "title": "Down", "lasts": "1h", "resolved": resolved});
    Ok(serde_json::from_str(&engine.post_ok("/v1/alerting/send", "application/json", event.to_string()).await?)?)
}

fn with<'a>(received: &'a [Received], status: &str) -> Vec<&'a Received> {
    received.iter().filter(|one| one.json["status"] == status && one.status.is_success()).collect()
}

/// Told firing, then: silenced, reloaded with another configuration, killed, ended while it is silenced, killed again.
/// After that it fires again, and pages again.
fn through() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let mut engine = Engine::start(&[("watchfire.yml", &config(&sink, ""))]).await?;
        send(&engine, false).await?;
        sink.until("it is told to fire", |received| with(received, "firing").len() == 1).await?;
        let silence = json!({
            "matchers": [{"name": "alertname", "value": "system_down", "isRegex": false}],
            "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "Ada", "comment": "c1",
        });
        let set = engine.post_ok("/api/v2/silences", "application/json", silence.to_string()).await?;
        let id = serde_json::from_str::<Value>(&set)?["silenceID"].as_str().unwrap_or_default().to_owned();
        engine.write("watchfire.yml", &config(&sink, "time_intervals: [{name: other, time_intervals: []}]\n"))?;
        engine.post_ok("/-/reload", "text/plain", "").await?;
        engine.kill()?;
        engine.run(&[]).await?;
        send(&engine, true).await?;
        engine.kill()?;
        engine.run(&[]).await?;
        sink.until("its end is told", |received| with(received, "resolved").len() == 1).await?;
        // The silence is still there: a new beginning is not told before it ends.
        send(&engine, false).await?;
        let url = engine.url(&format!("/api/v2/silence/{id}"));
        crate::support::client()?.delete(url).send().await?.error_for_status()?;
        let received = sink.until("it pages again", |received| with(received, "firing").len() == 2).await?;
        ensure!(with(&received, "resolved").len() == 1, "the end is told once: {received:#?}");
        Ok(())
    })
}

/// The receiver fails from after the page until the alert has ended.
fn outage() -> Result<()> {
    block_on(async {
        let sink = Sink::answering(|one, before| match (one.json["status"] == "resolved", before) {
            (true, 0..4) => (axum::http::StatusCode::BAD_GATEWAY, "down".to_owned()),
            _ => (axum::http::StatusCode::OK, "ok".to_owned()),
        })
        .await?;
        let mut engine = Engine::start(&[("watchfire.yml", &config(&sink, ""))]).await?;
        send(&engine, false).await?;
        sink.until("it is told to fire", |received| with(received, "firing").len() == 1).await?;
        send(&engine, true).await?;
        sink.until("the receiver fails", |received| received.len() >= 2).await?;
        engine.kill()?;
        engine.run(&[]).await?;
        let received = sink.until("its end is told", |received| !with(received, "resolved").is_empty()).await?;
        let keys: Vec<_> = received[1..].iter().map(|one| one.headers.get("idempotency-key").cloned()).collect();
        ensure!(keys.windows(2).all(|pair| pair[0] == pair[1]), "every attempt has the same key: {keys:?}");
        Ok(())
    })
}
