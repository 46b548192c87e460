//! Traces, taken by OpenTelemetry's own messages.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::Case;
use crate::support::{Engine, Sink, Tool, block_on, eventually, install_plugins, root};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "traces::an_evaluation_its_plugin_and_the_delivery_are_spans",
        needs: &[Tool::Binary, Tool::Plugins, Tool::OpenTelemetry],
        run: spans,
    },
    Case {
        name: "traces::credentials_of_the_collector_go_to_it_alone",
        needs: &[Tool::Binary, Tool::OpenTelemetry],
        run: credentials,
    },
    Case {
        name: "traces::the_configuration_says_where_they_go_and_the_command_line_has_the_last_word",
        needs: &[Tool::Binary, Tool::OpenTelemetry],
        run: configured,
    },
    Case { name: "traces::a_collector_that_is_away_costs_spans_alone", needs: &[Tool::Binary], run: away },
];

/// A collector in a process of its own; ends with the value.
struct Collector {
    process: Child,
    port: u16,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start() -> Result<Collector> {
        let script = root().join("tests/src/traces.py");
        let mut process = Command::new("python3").arg(script).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("it has an output")?).lines();
        let port = lines.next().context("the collector ended")??.parse()?;
        let spans = Arc::default();
        let shared = Arc::clone(&spans);
        std::thread::spawn(move || collect(lines, &shared));
        Ok(Collector { process, port, spans })
    }

    fn spans(&self) -> Vec<Value> {
        self.spans.lock().map(|spans| spans.clone()).unwrap_or_default()
    }

    async fn until(&self, what: &str, mut found: impl FnMut(&[Value]) -> Option<Value>) -> Result<Value> {
        let span = eventually(what, async || Ok(found(&self.spans()))).await;
        span.with_context(|| format!("spans: {:#?}", self.spans()))
    }
}

fn collect(lines: Lines<BufReader<ChildStdout>>, spans: &Mutex<Vec<Value>>) {
    for line in lines.map_while(Result::ok) {
        if let (Ok(span), Ok(mut spans)) = (serde_json::from_str(&line), spans.lock()) {
            spans.push(span);
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn config(sink: &Sink) -> String {
    format!(
        "rules: {{paths: [rules.yml]}}\n\
         route: {{receiver: team, group_by: ['...'], group_wait: 0s}}\n\
         receivers: [{{name: team, webhook_configs: [{{url: '{}'}}]}}]\n",
        sink.url("/team")
    )
}

fn spans() -> Result<()> {
    block_on(async {
        let collector = Collector::start()?;
        // Never, so that the attempt fails and its span says why.
        let sink = Sink::answering(|_, _| (StatusCode::NOT_FOUND, "nobody".to_owned())).await?;
        // At the first value the deviation is zero, so that every value is beyond it.
        let rules = "groups: [{name: g, rules: [{alert: Odd, expr: latency, \
                     condition: {plugin: ewma-anomaly, config: {warmup: 0}}}]}]";
        let config = config(&sink) + "plugins: {dir: plugins}\n";
        let mut engine = Engine::prepare(&[("watchfire.yml", &config), ("rules.yml", rules)])?;
        install_plugins(&engine.folder().join("plugins"), &["ewma-anomaly"])?;
        let url = format!("http://127.0.0.1:{}/v1/traces", collector.port);
        engine.run_with_plugins(&["--traces", &url]).await?;
        engine.push("latency 500\n").await?;
        let find = |spans: &[Value], is: &dyn Fn(&Value) -> bool| spans.iter().find(|span| is(span)).cloned();
        // The tests that it carries call it too, at the start and outside of any evaluation.
        let is_call = |span: &Value| span["name"] == "plugin" && span["parent"] != "";
        let call = collector.until("the plugin's call", |spans| find(spans, &is_call)).await?;
        let is_around = |span: &Value| span["span"] == call["parent"];
        let evaluation = collector.until("the evaluation around it", |spans| find(spans, &is_around)).await?;
        let delivery = collector.until("the delivery", |spans| find(spans, &|span| span["name"] == "deliver")).await?;
        ensure!(evaluation["name"] == "evaluate" && evaluation["trace"] == call["trace"], "{evaluation} {call}");
        ensure!(evaluation["attributes"]["name"] == "Odd" && evaluation["parent"] == "", "{evaluation}");
        ensure!(evaluation["nanoseconds"].as_u64() >= call["nanoseconds"].as_u64(), "{evaluation} {call}");
        ensure!(call["attributes"]["plugin"] == "ewma-anomaly" && call["failed"] == false, "{call}");
        ensure!(delivery["attributes"]["receiver"] == "team" && delivery["attributes"]["alerts"] == 1, "{delivery}");
        let error = delivery["error"].as_str().unwrap_or_default();
        ensure!(delivery["failed"] == true && error.contains("404"), "{delivery}");
        for span in [&evaluation, &call, &delivery] {
            ensure!(span["service"] == "watchfire" && span["path"] == "/v1/traces", "{span}");
            ensure!(span["type"] == "application/x-protobuf", "{span}");
        }
        // What is under way at the end is sent before the process is gone.
        engine.signal("TERM")?;
        ensure!(engine.ended().await?, "it ends well");
        Ok(())
    })
}

fn credentials() -> Result<()> {
    block_on(async {
        let collector = Collector::start()?;
        let sink = Sink::start().await?;
        let mut engine = Engine::prepare(&[("watchfire.yml", &config(&sink)), ("rules.yml", "groups: []\n")])?;
        engine.write("headers", "Authorization: Bearer first-secret\n\n")?;
        let url = format!("http://127.0.0.1:{}/v1/traces", collector.port);
        let options = ["--traces", &url, "--traces-header", "X-Scope-OrgID: ops", "--traces-headers-file", "headers"];
        let told = async |engine: &Engine, name: &str, secret: &str| {
            let alert = json!([{"labels": {"alertname": name}, "endsAt": "2099-01-01T00:00:00Z"}]).to_string();
            engine.post_ok("/api/v2/alerts", "application/json", alert).await?;
            let is_delivery = |span: &&Value| {
                span["name"] == "deliver" && span["headers"]["authorization"] == format!("Bearer {secret}")
            };
            let span = collector.until("the delivery", |spans| spans.iter().find(is_delivery).cloned()).await?;
            ensure!(span["headers"]["x-scope-orgid"] == "ops", "{span}");
            ensure!(!engine.log()?.contains("-secret"), "{}", engine.log()?);
            Ok(())
        };
        // In Alertmanager's place too, and with a secret that is rotated meanwhile.
        engine.run_as_alertmanager(&options).await?;
        told(&engine, "First", "first-secret").await?;
        engine.write("headers", "Authorization: Bearer second-secret")?;
        told(&engine, "Second", "second-secret").await?;
        engine.signal("TERM")?;
        ensure!(engine.ended().await?, "it ends well");
        engine.run(&options).await?;
        told(&engine, "Third", "second-secret").await?;
        // What cannot be read costs spans and is told without what it says.
        engine.write("headers", "Bearer third-secret")?;
        let alert = json!([{"labels": {"alertname": "Fourth"}, "endsAt": "2099-01-01T00:00:00Z"}]).to_string();
        engine.post_ok("/api/v2/alerts", "application/json", alert).await?;
        let log = eventually("it is told", async || {
            Ok(Some(engine.log()?).filter(|log| log.contains("traces cannot be sent")))
        })
        .await?;
        ensure!(log.contains("headers: header 1 cannot be read") && !log.contains("-secret"), "{log}");
        Ok(())
    })
}

fn configured() -> Result<()> {
    block_on(async {
        let (first, second) = (Collector::start()?, Collector::start()?);
        let sink = Sink::start().await?;
        let plain = config(&sink);
        let tracing = |collector: &Collector, fraction: f64| {
            format!(
                "{plain}tracing:\n  client_type: http\n  endpoint: 127.0.0.1:{}\n  insecure: true\n  compression: gzip\n  \
                 sampling_fraction: {fraction}\n  headers: {{Authorization: {{secrets: [Bearer file-secret]}}}}\n",
                collector.port
            )
        };
        let reload = async |engine: &Engine, config: &str| {
            engine.write("watchfire.yml", config)?;
            engine.post_ok("/-/reload", "text/plain", "").await
        };
        let tell = async |engine: &Engine, name: &str| {
            let alert = json!([{"labels": {"alertname": name}, "endsAt": "2099-01-01T00:00:00Z"}]).to_string();
            engine.post_ok("/api/v2/alerts", "application/json", alert).await?;
            sink.until("it is told", |received| received.iter().any(|request| request.json.to_string().contains(name)))
                .await
        };
        let says = async |engine: &Engine, what: &str, times: usize| {
            let log = async || Ok(Some(engine.log()?).filter(|log| log.matches(what).count() == times));
            eventually(what, log).await.map(drop)
        };
        let delivery = async |collector: &Collector| {
            let is_delivery = |span: &&Value| span["name"] == "deliver";
            collector.until("the delivery", |spans| spans.iter().find(is_delivery).cloned()).await
        };
        let mut engine = Engine::prepare(&[("watchfire.yml", &plain), ("rules.yml", "groups: []\n")])?;
        engine.run(&[]).await?;
        tell(&engine, "Before").await?;
        // From nobody to one collector, to another one, and to nobody.
        reload(&engine, &tracing(&first, 1.0)).await?;
        says(&engine, "traces are sent collector=", 1).await?;
        tell(&engine, "Told").await?;
        let span = delivery(&first).await?;
        ensure!(span["path"] == "/v1/traces" && span["headers"]["content-encoding"] == "gzip", "{span}");
        ensure!(span["headers"]["authorization"] == "Bearer file-secret", "{span}");
        let deliveries = first.spans().iter().filter(|span| span["name"] == "deliver").count();
        ensure!(deliveries == 1, "what nobody takes is not noted: {:#?}", first.spans());
        reload(&engine, &tracing(&second, 1.0)).await?;
        says(&engine, "traces are sent collector=", 2).await?;
        tell(&engine, "Elsewhere").await?;
        delivery(&second).await?;
        reload(&engine, &plain).await?;
        says(&engine, "no traces are sent any more", 1).await?;
        // Next to nothing of all traces is nothing of a few.
        reload(&engine, &tracing(&second, 1e-18)).await?;
        says(&engine, "traces are sent collector=", 3).await?;
        tell(&engine, "Rare").await?;
        engine.signal("TERM")?;
        ensure!(engine.ended().await?, "it ends well");
        let deliveries = second.spans().iter().filter(|span| span["name"] == "deliver").count();
        ensure!(deliveries == 1, "{:#?}", second.spans());
        ensure!(!engine.log()?.contains("file-secret"), "{}", engine.log()?);
        // The command line has the last word, and says so.
        engine.write("watchfire.yml", &tracing(&second, 1.0))?;
        let third = Collector::start()?;
        engine.run(&["--traces", &format!("http://127.0.0.1:{}/v1/traces", third.port)]).await?;
        says(&engine, "`tracing` of the configuration has no effect", 1).await?;
        tell(&engine, "Over").await?;
        let span = delivery(&third).await?;
        ensure!(span["headers"]["authorization"] == Value::Null, "{span}");
        Ok(())
    })
}

fn away() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let rules = "groups: [{name: g, interval: 1s, rules: [{alert: Odd, expr: latency > 1}]}]";
        let mut engine = Engine::prepare(&[("watchfire.yml", &config(&sink)), ("rules.yml", rules)])?;
        // Nobody listens at the port that tcpmux had.
        engine.run(&["--traces", "http://127.0.0.1:1/v1/traces"]).await?;
        engine.push("latency 500\n").await?;
        sink.until("the alert is told", |received| !received.is_empty()).await?;
        eventually("what is lost is counted", async || {
            let metrics = engine.text("/metrics").await?;
            let count = metrics.lines().find_map(|line| line.strip_prefix("watchfire_trace_spans_dropped_total "));
            Ok(count.filter(|count| *count != "0").map(drop))
        })
        .await?;
        ensure!(engine.log()?.matches("traces cannot be sent").count() == 1, "{}", engine.log()?);
        Ok(())
    })
}
