//! OpenTelemetry's own SDK as a sender: the same series as in a real Prometheus.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::Case;
use crate::support::{Engine, Prometheus, Tool, block_on, client, eventually, root};

pub(crate) const CASES: &[Case] = &[Case {
    name: "otlp::a_real_sdk_gives_the_series_that_prometheus_gets",
    needs: &[Tool::Binary, Tool::Prometheus3, Tool::OpenTelemetry],
    run: like_prometheus,
}];

const QUIET: &str = "route: {receiver: none}\nreceivers: [{name: none}]\nevaluation: {keep_unread: true}\n";

/// Labels and value of every series, without those that Prometheus makes of itself.
async fn series(base: &str) -> Result<BTreeMap<String, Value>> {
    let url = format!("{base}/api/v1/query?query=%7Bjob%3D%22eu%2Fshop%22%7D");
    let answer: Value = serde_json::from_str(&client()?.get(url).send().await?.text().await?)?;
    let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let one = |series: &Value| {
        // The order of labels within a series is not the API's business.
        let labels: BTreeMap<String, Value> = serde_json::from_value(series["metric"].clone()).unwrap_or_default();
        let value = if series["value"].is_null() { &series["histogram"][1] } else { &series["value"][1] };
        (format!("{labels:?}"), rounded(value))
    };
    Ok(result.iter().map(one).collect())
}

/// Numbers with twelve digits: the last of a bucket's bound depends on whose powers of two these are.
fn rounded(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            text.parse().map_or_else(|_| value.clone(), |number: f64| format!("{number:.11e}").into())
        }
        Value::Array(items) => items.iter().map(rounded).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), rounded(value))).collect(),
        other => other.clone(),
    }
}

fn like_prometheus() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", QUIET)]).await?;
        let folder = engine.folder().join("prometheus");
        let prometheus = Prometheus::start_with(&folder, &["--web.enable-otlp-receiver"], |_| "{}".to_owned())?;
        let real = format!("http://{}", prometheus.address());
        let http = client()?;
        eventually("prometheus is ready", async || {
            let answer = http.get(format!("{real}/-/ready")).send().await;
            Ok(answer.is_ok_and(|answer| answer.status() == 200).then_some(()))
        })
        .await?;
        let sent = Command::new("python3")
            .arg(root().join("tests/src/otlp.py"))
            .args([engine.url("/v1/metrics"), format!("{real}/api/v1/otlp/v1/metrics")])
            .output()?;
        ensure!(sent.status.success(), "the SDK: {}", String::from_utf8_lossy(&sent.stderr));
        let theirs = eventually("prometheus has the series", async || {
            Ok(Some(series(&real).await?).filter(|series| !series.is_empty()))
        })
        .await?;
        let ours = series(engine.url("").trim_end_matches('/')).await?;
        ensure!(theirs.len() >= 13, "{theirs:#?}");
        ensure!(ours == theirs, "ours: {ours:#?}\ntheirs: {theirs:#?}");
        let metadata = engine.get("/api/v1/metadata?metric=http_server_requests_total").await?;
        let said = &metadata["data"]["http_server_requests_total"][0];
        ensure!(said["type"] == "counter" && said["help"] == "Requests served", "{metadata}");
        Ok(())
    })
}
