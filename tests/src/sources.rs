//! Other sources of truth: rule groups that a real Prometheus answers, and the store filled from one at the start.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::watch;

use crate::Case;
use crate::support::{Engine, Prometheus, Tool, block_on, client, eventually, now};

const NEEDS: &[Tool] = &[Tool::Binary, Tool::Prometheus3, Tool::Promtool];

pub(crate) const CASES: &[Case] = &[
    Case { name: "sources::a_group_is_evaluated_by_query_elsewhere", needs: NEEDS, run: by_query },
    Case { name: "sources::a_fresh_store_is_filled_before_the_first_evaluation", needs: NEEDS, run: filled },
];

const QUIET: &str = "route: {receiver: none}\nreceivers: [{name: none}]\nevaluation: {interval: 1s}\n";

/// Stands before a server and can be told to let nothing through, or to wait.
#[derive(Clone)]
struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    upstream: Mutex<Option<SocketAddr>>,
    paused: watch::Sender<bool>,
    /// The headers of the last request.
    headers: Mutex<HeaderMap>,
}

impl Proxy {
    async fn start() -> Result<Proxy> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (paused, _) = watch::channel(false);
        let shared =
            Arc::new(Shared { http: client()?, upstream: Mutex::default(), paused, headers: Mutex::default() });
        let router = Router::new().fallback(forward).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Proxy { address, shared })
    }

    /// Requests go there from now on, and nowhere without an address.
    fn lead_to(&self, upstream: Option<SocketAddr>) {
        *self.shared.upstream.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = upstream;
    }

    fn pause(&self, paused: bool) {
        self.shared.paused.send_replace(paused);
    }

    fn header(&self, name: &str) -> Option<String> {
        let headers = self.shared.headers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

async fn forward(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, Bytes) {
    let mut paused = shared.paused.subscribe();
    // The sender lives as long as `shared`.
    drop(paused.wait_for(|paused| !paused).await);
    let upstream = *shared.upstream.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let sent = async {
        let upstream = upstream?;
        let mut request = shared.http.post(format!("http://{upstream}{uri}")).body(body);
        for name in ["content-type", "content-encoding"] {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.ok()?;
        let status = StatusCode::from_u16(answer.status().as_u16()).ok()?;
        Some((status, answer.bytes().await.ok()?))
    };
    let answer = sent.await.unwrap_or((StatusCode::BAD_GATEWAY, Bytes::from_static(b"nobody is there")));
    *shared.headers.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = headers;
    answer
}

/// Puts samples into the folder of a Prometheus that is started later: `slope` per 15 seconds, for `minutes` up to now.
fn record(folder: &std::path::Path, minutes: u64, series: &[(&str, f64, f64)]) -> Result<()> {
    let newest = now();
    let mut text = String::new();
    for (labels, first, slope) in series {
        let name = labels.split('{').next().unwrap_or_default();
        text.push_str(&format!("# TYPE {name} gauge\n"));
        for step in 0..=minutes * 4 {
            let at = newest - minutes * 60 + step * 15;
            text.push_str(&format!("{labels} {} {at}\n", first + slope * step as f64));
        }
    }
    text.push_str("# EOF\n");
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("samples.om"), text)?;
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([folder.join("samples.om"), folder.join("tsdb")])
        .output()?;
    ensure!(made.status.success(), "promtool: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

/// The alerts with this name.
async fn alerts(engine: &Engine, name: &str) -> Result<Vec<Value>> {
    let all = engine.get("/api/v1/alerts").await?;
    let alerts = all["data"]["alerts"].as_array().cloned().unwrap_or_default();
    Ok(alerts.into_iter().filter(|alert| alert["labels"]["alertname"] == name).collect())
}

/// Health and error of each rule of the first group.
async fn health(engine: &Engine) -> Result<Vec<(String, String)>> {
    let rules = engine.get("/api/v1/rules?rule_group[]=elsewhere").await?;
    let rules = rules["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(rules.iter().map(|rule| (text(&rule["health"]), text(&rule["lastError"]))).collect())
}

fn by_query() -> Result<()> {
    block_on(async {
        let proxy = Proxy::start().await?;
        let config = format!(
            "{QUIET}rules: {{paths: [rules.yml]}}\nsources:\n  metrics:\n    url: http://{}/\n    timeout: 2s\n    \
             bearer_token: hidden-token\n    http_headers: {{X-Scope-OrgID: {{values: [team-a]}}}}\n",
            proxy.address
        );
        let rules = "groups:\n- name: elsewhere\n  source: {prometheus: metrics}\n  rules:\n  \
             - {record: 'job:load:sum', expr: 'sum by (job) (load)'}\n  \
             - {alert: Loaded, expr: load > 1, labels: {team: x}, annotations: {all: '{{ query \"sum(load)\" | first | value }}'}}\n  \
             - {alert: Waiting, expr: load > 1, for: 1h}\n\
             - name: here\n  rules:\n  - {alert: Recorded, expr: 'job:load:sum > 1'}\n  - {alert: Pushed, expr: pushed > 1}\n";
        let engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", rules)]).await?;
        let folder = engine.folder().join("prometheus");
        record(&folder, 1, &[("load{job=\"a\"}", 5.0, 0.0), ("load{job=\"b\"}", 0.5, 0.0)])?;

        // Before the server is there, every evaluation fails and says so.
        eventually("the failure is told", async || {
            let health = health(&engine).await?;
            Ok((health.len() == 3 && health.iter().all(|(health, _)| health == "err")).then_some(health))
        })
        .await?;
        let prometheus = Prometheus::start(&folder, |_| "{}".to_owned())?;
        proxy.lead_to(Some(prometheus.address()));
        let fires = async |name: &str| {
            eventually(name, async || Ok(alerts(&engine, name).await?.into_iter().find(|a| a["state"] == "firing")))
                .await
        };
        let alert = fires("Loaded").await?;
        ensure!(alert["labels"]["job"] == "a" && alert["labels"]["team"] == "x", "{alert}");
        ensure!(alert["annotations"]["all"] == "5.5" && alert["value"] == "5e+00", "{alert}");
        fires("Recorded").await?;
        // The rules of a group come one after the other.
        let waiting = eventually("the last rule has its alert", async || {
            Ok(Some(alerts(&engine, "Waiting").await?).filter(|waiting| !waiting.is_empty()))
        })
        .await?;
        ensure!(waiting.len() == 1 && waiting[0]["state"] == "pending", "{waiting:?}");
        eventually("the server answers", async || {
            Ok(health(&engine).await?.iter().all(|(health, _)| health == "ok").then_some(()))
        })
        .await?;
        ensure!(proxy.header("authorization").as_deref() == Some("Bearer hidden-token"), "credentials go along");
        ensure!(proxy.header("x-scope-orgid").as_deref() == Some("team-a"), "headers go along");

        // Down: nothing resolves, and the reason is where people look.
        drop(prometheus);
        eventually("the server is missed", async || {
            Ok(health(&engine).await?.iter().all(|(health, _)| health == "err").then_some(()))
        })
        .await?;
        let told = format!("{:?} {}", health(&engine).await?, engine.text("/rules").await?);
        ensure!(told.contains("metrics: HTTP 502: nobody is there") && told.contains("asks metrics"), "{told}");
        ensure!(!told.contains("hidden-token"), "{told}");
        ensure!(alerts(&engine, "Loaded").await?[0]["state"] == "firing", "a failed query resolves nothing");
        ensure!(alerts(&engine, "Waiting").await? == waiting, "and takes no pending alert back");

        // Back, and slow: rules over the engine's own series go on at once.
        let prometheus = Prometheus::start(&folder, |_| "{}".to_owned())?;
        proxy.lead_to(Some(prometheus.address()));
        eventually("the server is back", async || {
            Ok(health(&engine).await?.iter().all(|(health, _)| health == "ok").then_some(()))
        })
        .await?;
        ensure!(alerts(&engine, "Waiting").await? == waiting, "the pending alert kept its age");
        proxy.pause(true);
        engine.push("pushed 5\n").await?;
        fires("Pushed").await?;
        eventually("the timeout is told", async || {
            let health = health(&engine).await?;
            Ok(health.iter().any(|(_, error)| error == "metrics: no answer within 2000 ms").then_some(()))
        })
        .await?;
        ensure!(alerts(&engine, "Loaded").await?[0]["state"] == "firing", "a slow query resolves nothing");
        proxy.pause(false);
        eventually("the server answers again", async || {
            Ok(health(&engine).await?.iter().all(|(health, _)| health == "ok").then_some(()))
        })
        .await?;

        // A configuration that lost the source: the rules go on asking where they asked.
        engine.write("watchfire.yml", &format!("{QUIET}rules: {{paths: [rules.yml]}}\n"))?;
        let page = eventually("the mistake is told", async || {
            Ok(Some(engine.text("/rules").await?).filter(|page| page.contains("there is no source")))
        })
        .await?;
        ensure!(page.contains("rules.yml:3:24"), "{page}");
        ensure!(alerts(&engine, "Loaded").await?[0]["state"] == "firing", "and what fires goes on");
        let metrics = engine.text("/metrics").await?;
        for outcome in ["answered", "failed"] {
            let name = format!("watchfire_source_queries_total{{source=\"metrics\",outcome=\"{outcome}\"}}");
            ensure!(metrics.contains(&name), "{name} in {metrics}");
        }
        Ok(())
    })
}

fn filled() -> Result<()> {
    block_on(async {
        let proxy = Proxy::start().await?;
        let config = format!(
            "{QUIET}rules: {{paths: [rules.yml]}}\nsources: {{history: {{url: 'http://{}'}}}}\n\
             storage: {{fill: {{from: history}}}}\n",
            proxy.address
        );
        // One of two selectors of a metric reaches further back.
        let rules = "groups: [{name: g, rules: [{alert: Growing, expr: 'rate(x[5m]) > 0.5'}, \
                     {alert: Grown, expr: 'max_over_time(x{job=\"a\"}[20m]) - min_over_time(x{job=\"a\"}[20m]) > 1000'}]}]\n";
        let mut engine = Engine::prepare(&[("watchfire.yml", &config), ("rules.yml", rules)])?;
        let folder = engine.folder().join("prometheus");
        // What no rule reads is not asked for.
        record(&folder, 30, &[("x{job=\"a\"}", 0.0, 15.0), ("unread", 1.0, 0.0)])?;
        let prometheus = Prometheus::start(&folder, |_| "{}".to_owned())?;
        proxy.lead_to(Some(prometheus.address()));
        let http = client()?;
        eventually("prometheus is ready", async || {
            let answer = http.get(format!("http://{}/-/ready", prometheus.address())).send().await;
            Ok(answer.is_ok_and(|answer| answer.status() == 200).then_some(()))
        })
        .await?;
        engine.run(&[]).await?;
        for name in ["Growing", "Grown"] {
            let fired = eventually("the alert fires although nothing was pushed", async || {
                Ok(alerts(&engine, name).await?.into_iter().find(|alert| alert["state"] == "firing"))
            })
            .await?;
            ensure!(fired["labels"]["job"] == "a", "{fired}");
        }
        let filled = |samples: u64, log: &str| log.contains(&format!("selectors=2 samples={samples}"));
        // The rules reach 25 minutes back with the lookback; the oldest sample may just be out of it.
        ensure!((99..=101).any(|samples| filled(samples, &engine.log().unwrap_or_default())), "{}", engine.log()?);
        let unread = engine.get("/api/v1/query?query=unread").await?;
        ensure!(unread["data"]["result"] == serde_json::json!([]), "{unread}");

        // What is there already is not taken twice.
        engine.kill()?;
        engine.run(&[]).await?;
        ensure!(filled(0, &engine.log()?), "{}", engine.log()?);

        // Without the server the engine starts all the same, and says what it lacks.
        engine.kill()?;
        drop(prometheus);
        engine.run(&[]).await?;
        ensure!(engine.log()?.contains("the store was not filled"), "{}", engine.log()?);
        let metrics = engine.text("/metrics").await?;
        ensure!(metrics.contains("watchfire_fill_incomplete 2"), "{metrics}");
        Ok(())
    })
}
