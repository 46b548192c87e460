//! OpenTelemetry's own SDK as a sender: the same series as in a real Prometheus.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::Case;
use crate::support::{Engine, Prometheus, Proto, Tool, block_on, client, eventually, now, root};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "otlp::a_real_sdk_gives_the_series_that_prometheus_gets",
        needs: &[Tool::Binary, Tool::Prometheus3, Tool::OpenTelemetry],
        run: like_prometheus,
    },
    Case {
        name: "otlp::a_delta_whose_sender_goes_away_counts_wholly_or_not_at_all",
        needs: &[Tool::Binary],
        run: gone_away,
    },
];

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

/// A request that adds one to a counter.
fn delta(at_millis: u64) -> Vec<u8> {
    let point = Proto::default().fixed(3, at_millis * 1_000_000).double(4, 1.0);
    let sum = Proto::default().message(1, &point).varint(2, 1).varint(3, 1);
    let metric = Proto::default().bytes(1, b"visits").message(7, &sum);
    let scope = Proto::default().message(2, &metric);
    Proto::default().message(1, &Proto::default().message(2, &scope)).0
}

/// A total and the sample with it belong together: if one is kept without the other, a later total tells of it.
fn gone_away() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", QUIET)]).await?;
        let address = engine.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
        let begin = now() * 1_000 - 300_000;
        let totals = async || -> Result<Vec<String>> {
            let answer = engine.get("/api/v1/query?query=visits_total%5B1h%5D").await?;
            let values = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
            Ok(values.iter().filter_map(|value| value[1].as_str().map(str::to_owned)).collect())
        };
        let mut number = 0;
        eventually("several deltas count whose senders are gone", async || {
            let body = delta(begin + number * 50);
            let head = format!(
                "POST /v1/metrics HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            // Every other one goes in the middle of its body, the rest some time behind its end.
            let sent = if number % 2 == 0 { body.len() } else { body.len() / 2 };
            let mut connection = TcpStream::connect(&address).await?;
            connection.write_all(&[head.as_bytes(), &body[..sent]].concat()).await?;
            for _ in 0..number * 7 % 50 {
                tokio::task::yield_now().await;
            }
            drop(connection);
            number += 1;
            Ok((totals().await?.len() >= 5).then_some(()))
        })
        .await?;
        let headers = [("content-type", "application/x-protobuf")];
        let answer = engine.post("/v1/metrics", &headers, delta(begin + 299_000)).await?;
        ensure!(answer.status() == 200, "{}", answer.text().await?);
        let totals = totals().await?;
        let expected: Vec<String> = (1..=totals.len()).map(|total| total.to_string()).collect();
        ensure!(totals == expected, "after {number} requests: {totals:?}");
        let metrics = engine.text("/metrics").await?;
        for line in ["used{bound=\"delta_series\"} 1\n", "max{bound=\"delta_series\"} 100000\n"] {
            ensure!(metrics.contains(&format!("watchfire_engine_bound_{line}")), "{line}: {metrics}");
        }
        Ok(())
    })
}
