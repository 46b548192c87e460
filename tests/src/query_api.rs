//! Prometheus' query API: the same answers as a real Prometheus that was fed the same, and its bounds.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::Case;
use crate::support::{Engine, Prometheus, Tool, block_on, client, eventually, now};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "query_api::answers_as_a_real_prometheus",
        needs: &[Tool::Binary, Tool::Prometheus3, Tool::Promtool],
        run: like_prometheus,
    },
    Case { name: "query_api::c7_queries_are_bounded", needs: &[Tool::Binary], run: bounded },
    Case { name: "query_api::samples_do_not_wait_for_a_query_that_takes_long", needs: &[Tool::Binary], run: long },
    Case { name: "query_api::c7_open_pages_are_bounded_and_a_reload_counts", needs: &[Tool::Binary], run: streams },
    Case { name: "query_api::pages_of_other_sites_read_only_if_configured", needs: &[Tool::Binary], run: origins },
    Case { name: "query_api::what_is_shown_of_the_configuration_has_no_secrets", needs: &[Tool::Binary], run: secrets },
];

const QUIET: &str = "route: {receiver: none}\nreceivers: [{name: none}]\nevaluation: {keep_unread: true}\n";

const RULES: &str = "groups:\n\
    - name: b\n  interval: 1s\n  rules:\n  - record: job:load:sum\n    expr: sum by (job) (load)\n    labels: {team: x}\n\
    - name: a\n  interval: 1s\n  limit: 10\n  rules:\n  - alert: Loaded\n    expr: load > 1\n    for: 1h\n    \
    labels: {severity: page}\n    annotations: {summary: '{{ $value }}'}\n  - alert: Quiet\n    expr: load > 1000\n";

/// Requests whose whole answer must be the same; `T` is the time of the newest sample.
const SAME: &[&str] = &[
    "query?query=load&time=T",
    "query?query=sum(load)&time=T",
    "query?query=load[2m]&time=T",
    "query?query=load*1e30&time=T",
    "query?query=scalar(sum(load))&time=T",
    "query?query=%22text%22&time=T",
    "query?query=load&time=T&limit=1",
    "query?query=rate(load[5m])&time=T",
    "query?query=histogram_quantile(0.9,load)&time=T",
    "query?query=load%20offset%204m&time=T&lookback_delta=1s",
    "query_range?query=load&start=T-120&end=T&step=30",
    "query_range?query=sum(load)&start=T-120&end=T&step=1m&limit=1",
    "query_range?query=gone&start=T-120&end=T&step=1m",
    "series?match[]=load",
    "series?match[]=load&match[]=load{job=%22b%22}&limit=1",
    "series?match[]=gone",
    "labels?match[]=load",
    "labels?match[]=load&limit=1",
    "label/job/values?match[]=load",
    "label/job/values?limit=1&match[]=load",
    "label/gone/values?match[]=load",
    "label/U__odd_2e_name/values?match[]=load",
    "query_exemplars?query=load&start=T-60&end=T",
    "metadata",
    "format_query?query=sum(load)by(job)",
    "targets",
    "targets?state=active",
    "targets/metadata",
    "scrape_pools",
    "alertmanagers",
    "notifications",
    "status/walreplay",
];

/// Requests that both refuse, with the same status and kind of error, and the same text unless it is a parser's.
const REFUSED: &[&str] = &[
    "query",
    "query?query=sum(",
    "query?query=load&time=x",
    "query?query=load&timeout=x",
    "query?query=load&limit=-1",
    "query?query=load&limit=x",
    "query?query=load&lookback_delta=x",
    "query?query=load%20%2B%20on%20()%20load&time=T",
    "query_range?query=load",
    "query_range?query=load&start=T",
    "query_range?query=load&start=T&end=T-1&step=1",
    "query_range?query=load&start=T&end=T&step=0",
    "query_range?query=load&start=T&end=T&step=x",
    "query_range?query=load&start=0&end=11001&step=1",
    "query_range?query=load[1m]&start=T&end=T&step=1",
    "series",
    "series?match[]={}",
    "series?match[]=sum(load)",
    "series?match[]=load&start=x",
    "labels?match[]={a=~%22.*%22}",
    "labels?end=x",
    "label/job/values?match[]={}",
    "rules?type=x",
    "rules?exclude_alerts=x",
    "rules?group_limit=0",
    "rules?group_limit=x",
    "rules?group_next_token=abc",
    "rules?group_limit=1&group_next_token=abc",
    "rules?match[]={",
    "query_exemplars?query=load&start=T&end=T-1",
    "query_exemplars?query=load(",
    "format_query?query=load(",
    "metadata?limit=x",
    "status/tsdb?limit=0",
    "status/tsdb?limit=x",
];

/// Requests whose answers must have the same shape.
const ALIKE: &[&str] = &[
    "rules",
    "rules?type=alert",
    "rules?type=record",
    "rules?exclude_alerts=true",
    "rules?rule_name[]=Loaded",
    "rules?rule_group[]=b",
    "rules?rule_group[]=gone",
    "rules?match[]={severity=%22page%22}",
    "rules?group_limit=1",
    "alerts",
    "status/buildinfo",
    "status/config",
    "query?query=load&time=T&timeout=1m",
];

/// The types of a value: of an object by key, of a list those of its first element.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => Value::Array(items.first().map(shape).into_iter().collect()),
        Value::Object(map) => {
            // Which labels there are depends on the alert that happens to be the first.
            let of = |key: &str, value: &Value| if key == "labels" { json!("labels") } else { shape(value) };
            Value::Object(map.iter().map(|(key, value)| (key.clone(), of(key, value))).collect::<Map<_, _>>())
        }
    }
}

/// Both servers.
struct Pair {
    http: reqwest::Client,
    prometheus: String,
    engine: String,
    newest: u64,
}

impl Pair {
    /// A request with `T` as the time of the newest sample.
    fn request(&self, request: &str) -> String {
        let mut out = String::new();
        let mut rest = request;
        while let Some((before, after)) = rest.split_once("=T") {
            let digits =
                after.strip_prefix('-').map_or(0, |after| after.bytes().take_while(u8::is_ascii_digit).count());
            let back: u64 = after.get(1..=digits).and_then(|digits| digits.parse().ok()).unwrap_or(0);
            out.push_str(&format!("{before}={}", self.newest - back));
            rest = if digits > 0 { &after[1 + digits..] } else { after };
        }
        out + rest
    }

    /// What both answer, as status and body: the real one first.
    async fn ask(&self, request: &str, post: bool) -> Result<[(u16, Value); 2]> {
        let request = self.request(request);
        let one = async |base: &str| -> Result<(u16, Value)> {
            let answer = match request.split_once('?') {
                Some((path, form)) if post => {
                    let media = "application/x-www-form-urlencoded";
                    let post = self.http.post(format!("{base}/api/v1/{path}")).header("content-type", media);
                    post.body(form.to_owned()).send().await?
                }
                _ => self.http.get(format!("{base}/api/v1/{request}")).send().await?,
            };
            let (status, text) = (answer.status().as_u16(), answer.text().await?);
            Ok((status, serde_json::from_str(&text).with_context(|| format!("{base} {request}: {text}"))?))
        };
        Ok([one(&self.prometheus).await?, one(&self.engine).await?])
    }
}

fn like_prometheus() -> Result<()> {
    block_on(async {
        let config = format!("{QUIET}rules: {{paths: [rules.yml]}}\n")
            .replace("keep_unread: true", "keep_unread: true, on_ingest: false");
        let engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", RULES)]).await?;
        let newest = now();
        let mut openmetrics = String::from("# TYPE load gauge\n");
        let mut plain = String::new();
        for (labels, slope) in [("job=\"a\",instance=\"1\"", 1), ("job=\"a\",instance=\"2\"", 2), ("job=\"b\"", 3)] {
            for step in 0..21 {
                let (at, value) = (newest - 300 + step * 15, f64::from(u32::try_from(step)? * slope) + 0.5);
                openmetrics.push_str(&format!("load{{{labels}}} {value} {at}\n"));
                plain.push_str(&format!("load{{{labels}}} {value} {at}000\n"));
            }
        }
        openmetrics.push_str("# EOF\n");
        engine.push(&plain).await?;
        let folder = engine.folder().join("prometheus");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("samples.om"), openmetrics)?;
        std::fs::write(folder.join("rules.yml"), RULES)?;
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([folder.join("samples.om"), folder.join("tsdb")])
            .output()?;
        ensure!(made.status.success(), "promtool: {}", String::from_utf8_lossy(&made.stderr));
        let prometheus = Prometheus::start(&folder, |_| "rule_files: [rules.yml]\n".to_owned())?;
        let pair = Pair {
            http: client()?,
            prometheus: format!("http://{}", prometheus.address()),
            engine: engine.url("").trim_end_matches('/').to_owned(),
            newest,
        };
        // Both have an alert that waits, so that there is something to compare.
        eventually("both evaluate their rules", async || {
            let Ok(answers) = pair.ask("alerts", false).await else { return Ok(None) };
            Ok(answers.iter().all(|(_, body)| body["data"]["alerts"][0].is_object()).then_some(()))
        })
        .await?;
        let mut differences = Vec::new();
        for request in SAME {
            let can_post = ["query", "series", "labels", "format"].iter().any(|path| request.starts_with(path));
            for post in [false, true].into_iter().filter(|post| can_post || !post) {
                let [real, ours] = pair.ask(request, post).await?;
                if real != ours {
                    differences.push(format!("{request} post={post}\n  {real:?}\n  {ours:?}"));
                }
            }
        }
        for request in REFUSED {
            let [(status, real), (our_status, ours)] = pair.ask(request, false).await?;
            // What a parser says of a text it does not understand is its own.
            let parsed =
                ["parse error", "strconv", "match"].iter().any(|words| real["error"].to_string().contains(words));
            let same = status == our_status
                && real["errorType"] == ours["errorType"]
                && (parsed || real["error"] == ours["error"])
                && status >= 400;
            if !same {
                differences.push(format!("{request}\n  {status} {real}\n  {our_status} {ours}"));
            }
        }
        for request in ALIKE {
            let [(status, real), (our_status, ours)] = pair.ask(request, false).await?;
            if status != our_status || shape(&real) != shape(&ours) {
                differences.push(format!("{request}\n  {status} {real}\n  {our_status} {ours}"));
            }
        }
        let long = format!("{}/api/v1/query_range?query=load&start={}&end={newest}&step=1", pair.engine, newest - 300);
        let answer = pair.http.get(long).header("accept-encoding", "gzip").send().await?;
        let encoding =
            answer.headers().get("content-encoding").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = answer.bytes().await?;
        ensure!(encoding.as_deref() == Some("gzip") && body.starts_with(&[0x1f, 0x8b]), "{encoding:?}");
        ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
        Ok(())
    })
}

fn bounded() -> Result<()> {
    block_on(async {
        let config = format!("{QUIET}server: {{limits: {{query_samples_max: 5, query_timeout: 1s}}}}\n");
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        engine.push(&(0..10).map(|i| format!("many{{i=\"{i}\"}} 1\n")).collect::<String>()).await?;
        let ask = async |query: &str| -> Result<(u16, Value)> {
            let answer = client()?.get(engine.url(&format!("/api/v1/query?query={query}"))).send().await?;
            Ok((answer.status().as_u16(), answer.json().await?))
        };
        let (status, body) = ask("many").await?;
        ensure!(status == 422 && body["errorType"] == "execution", "{status} {body}");
        ensure!(body["error"].to_string().contains("too many samples"), "{body}");
        let (status, body) = ask("many{i=%221%22}&timeout=0.0000001").await?;
        ensure!(status == 503 && body["errorType"] == "timeout", "{status} {body}");
        let (status, body) = ask("many{i=%221%22}&stats=true").await?;
        ensure!(status == 200 && body["data"]["stats"]["timings"]["evalTotalTime"].is_number(), "{status} {body}");
        let metrics = engine.text("/metrics").await?;
        ensure!(metrics.contains("watchfire_engine_bound_max{bound=\"queries\"} 20"), "{metrics}");
        Ok(())
    })
}

fn long() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", QUIET)]).await?;
        engine.push("load 1\n").await?;
        // More than a million points, each of them over a day of seconds.
        let url = engine.url("/api/v1/query?query=max_over_time(max_over_time(load[1d:1s])[150y:1h])");
        let query = tokio::spawn(client()?.get(url).timeout(Duration::from_secs(120)).send());
        let running = "watchfire_engine_bound_used{bound=\"queries\"} 1";
        eventually("the query runs", async || Ok(engine.text("/metrics").await?.contains(running).then_some(())))
            .await?;
        for value in 2..10 {
            engine.push(&format!("load{{n=\"{value}\"}} {value}\n")).await?;
        }
        let series = engine.get("/api/v1/series?match[]=load").await?;
        ensure!(series["data"].as_array().is_some_and(|series| series.len() == 9), "{series}");
        ensure!(!query.is_finished(), "the query goes on meanwhile");
        query.abort();
        let ended = "watchfire_engine_bound_used{bound=\"queries\"} 0";
        let gives_up = async || Ok(engine.text("/metrics").await?.contains(ended).then_some(()));
        eventually("a query that nobody waits for ends", gives_up).await
    })
}

fn streams() -> Result<()> {
    block_on(async {
        let with = |max: usize, more: &str| format!("{QUIET}server: {{limits: {{streams_max: {max}}}}}\n{more}");
        let engine = Engine::start(&[("watchfire.yml", &with(1, ""))]).await?;
        let http = client()?;
        let open = async || Ok::<_, anyhow::Error>(http.get(engine.url("/api/watchfire/v1/stream")).send().await?);
        let first = open().await?;
        ensure!(first.status() == 200, "{first:?}");
        let second = open().await?;
        ensure!(second.status() == 429 && second.headers().contains_key("retry-after"), "{second:?}");
        ensure!(second.text().await?.contains("server.limits.streams_max"), "the bound is named");
        ensure!(
            engine.text("/metrics").await?.contains("watchfire_overloaded_total{queue=\"streams\"} 1"),
            "it is counted"
        );
        engine.write("watchfire.yml", &with(2, "limits: {series_max: 5}\n"))?;
        engine.post_ok("/-/reload", "text/plain", "").await?;
        let second = open().await?;
        ensure!(second.status() == 200, "a reload gives more places: {second:?}");
        ensure!(open().await?.status() == 429, "and no more than configured");
        let rules = engine.text("/rules").await?;
        ensure!(rules.contains("no effect before the next start"), "what waits for a restart is told: {rules}");
        drop(first);
        eventually("a page that is closed gives its place back", async || {
            Ok((open().await?.status() == 200).then_some(()))
        })
        .await
    })
}

fn origins() -> Result<()> {
    block_on(async {
        let config = format!("{QUIET}server: {{cors_origins: ['https://grafana.example.org']}}\n");
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let ask = async |origin: &str| -> Result<(u16, Option<String>)> {
            let request = client()?.post(engine.url("/api/v1/query")).header("origin", origin);
            let media = "application/x-www-form-urlencoded";
            let answer = request.header("content-type", media).body("query=1").send().await?;
            let allowed =
                answer.headers().get("access-control-allow-origin").map(|value| value.to_str().map(str::to_owned));
            Ok((answer.status().as_u16(), allowed.transpose()?))
        };
        ensure!(
            ask("https://grafana.example.org").await? == (200, Some("https://grafana.example.org".to_owned())),
            "known"
        );
        ensure!(ask("https://elsewhere.example.org").await? == (403, None), "unknown");
        Ok(())
    })
}

fn secrets() -> Result<()> {
    block_on(async {
        let config =
            "route: {receiver: a}\nreceivers:\n- name: a\n  webhook_configs:\n  - url: http://127.0.0.1:1/t0ken\n";
        let engine = Engine::start(&[("watchfire.yml", config)]).await?;
        for (path, place) in [("/api/v1/status/config", "/data/yaml"), ("/api/v2/status", "/config/original")] {
            let answer = engine.get(path).await?;
            let shown = answer.pointer(place).and_then(Value::as_str).unwrap_or_default();
            ensure!(shown.contains("receiver: a") && shown.contains("<secret>"), "{path}: {shown}");
            ensure!(!shown.contains("t0ken"), "{path}: {shown}");
        }
        Ok(())
    })
}
