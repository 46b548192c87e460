//! What comes in, on every wire: taken, refused with the reason, bounded.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::Case;
use crate::support::{Engine, Sink, Tool, block_on, eventually};

pub(crate) const CASES: &[Case] = &[
    Case { name: "intake::text_exposition", needs: &[Tool::Binary], run: exposition },
    Case { name: "intake::what_no_rule_reads_is_not_stored", needs: &[Tool::Binary], run: unread },
    Case { name: "intake::events_in_every_form", needs: &[Tool::Binary], run: events },
    Case { name: "intake::alerts_from_outside", needs: &[Tool::Binary], run: alerts },
    Case { name: "intake::bad_input_is_told_why_and_the_rest_is_kept", needs: &[Tool::Binary], run: bad_input },
    Case { name: "intake::c7_large_bodies_are_refused_before_they_are_read", needs: &[Tool::Binary], run: large },
    Case { name: "intake::c7_over_the_limit_is_told_to_come_back", needs: &[Tool::Binary], run: busy },
    Case { name: "intake::c7_connections_are_bounded", needs: &[Tool::Binary], run: connections },
    Case { name: "intake::c7_a_query_that_is_not_sent_is_not_waited_for", needs: &[Tool::Binary], run: unsent },
    Case { name: "intake::nobody_comes_in_without_credentials", needs: &[Tool::Binary], run: credentials },
];

const QUIET: &str = "evaluation: {keep_unread: true}\nroute: {receiver: none}\nreceivers: [{name: none}]\n";

async fn quiet() -> Result<Engine> {
    Engine::start(&[("watchfire.yml", QUIET)]).await
}

fn exposition() -> Result<()> {
    block_on(async {
        let engine = quiet().await?;
        engine.push("# TYPE a counter\na_total{path=\"/x\\\"y\"} 3\nb NaN\nc +Inf\n").await?;
        for (query, value) in [("a_total", "3"), ("b", "NaN"), ("c", "+Inf")] {
            let answer = engine.get(&format!("/api/v1/query?query={query}")).await?;
            ensure!(answer["data"]["result"][0]["value"][1] == value, "{query}: {answer}");
        }
        ensure!(engine.get("/api/v1/labels").await?["data"] == json!(["__name__", "path"]), "labels");
        ensure!(engine.get("/api/v1/label/path/values").await?["data"] == json!(["/x\"y"]), "values");
        Ok(())
    })
}

fn unread() -> Result<()> {
    block_on(async {
        let config = "rules: {paths: ['*.rules']}\nroute: {receiver: none}\nreceivers: [{name: none}]\n";
        let reads = |name: &str| format!("groups: [{{name: {name}, rules: [{{alert: A, expr: {name} > 9}}]}}]\n");
        let queried = "groups: [{name: q, rules: [{alert: Q, expr: read > 9, annotations: \
                       {summary: '{{ with query \"asked\" }}{{ . | first | value }}{{ end }}'}}]}]\n";
        let files = [("watchfire.yml", config), ("a.rules", &reads("read")), ("q.rules", queried)];
        let engine = Engine::start(&files).await?;
        let stored = async |name: &str| -> Result<bool> {
            let answer = engine.get(&format!("/api/v1/query?query={name}")).await?;
            Ok(answer["data"]["result"].as_array().is_some_and(|result| !result.is_empty()))
        };
        engine.push("read 1\nasked 1\nunread 1\n").await?;
        ensure!(stored("read").await? && stored("asked").await?, "what a rule and a template read is stored");
        ensure!(!stored("unread").await?, "nobody reads it");
        engine.write("b.rules", &reads("unread"))?;
        eventually("it is stored when a rule reads it", async || {
            engine.push("unread 2\n").await?;
            Ok(stored("unread").await?.then_some(()))
        })
        .await
    })
}

fn events() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nevaluation: {{interval: 1s}}\n\
             route: {{receiver: all, group_wait: 0s, group_interval: 1s, group_by: [via]}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/")
        );
        let rules = "groups: [{name: g, rules: [{alert: Seen, events: {match: {type: com.example.seen}, by: [via], \
                     count: {over: 5m, op: '>=', value: 1}}}]}]";
        let engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", rules)]).await?;
        let send = async |headers: &[(&str, &str)], body: &str| -> Result<()> {
            let answer = engine.post("/api/v1/events", headers, body).await?;
            let (status, text) = (answer.status(), answer.text().await?);
            ensure!(status.is_success(), "{headers:?}: {status}: {text}");
            Ok(())
        };
        let event = |via: &str| format!("{{\"type\":\"com.example.seen\",\"id\":\"{via}\",\"via\":\"{via}\"}}");
        let cloud = |via: &str| {
            format!(
                "{{\"specversion\":\"1.0\",\"type\":\"com.example.seen\",\"source\":\"/t\",\"id\":\"{via}\",\"data\":{{\"via\":\"{via}\"}}}}"
            )
        };
        send(&[("content-type", "application/x-ndjson")], &format!("{}\n{}\n", event("ndjson"), event("ndjson2")))
            .await?;
        send(&[("content-type", "application/json")], &format!("[{}]", event("array"))).await?;
        send(&[("content-type", "application/cloudevents+json")], &cloud("structured")).await?;
        send(&[("content-type", "application/cloudevents-batch+json")], &format!("[{}]", cloud("batch"))).await?;
        let binary = [
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-type", "com.example.seen"),
            ("ce-source", "/t"),
            ("ce-id", "5"),
        ];
        send(&binary, "{\"via\":\"binary\"}").await?;
        let told = |received: &[crate::support::Received], via: &str| {
            received.iter().any(|one| one.json["groupLabels"].to_string().contains(&format!("\"{via}\"")))
        };
        for via in ["ndjson", "ndjson2", "array"] {
            sink.until(&format!("the event sent as {via} raises its alert"), |received| told(received, via)).await?;
        }
        // What CloudEvents carry under `data` is a field of the event, by its own name or below `data`.
        let received = sink.until("the CloudEvents raise theirs", |received| received.len() >= 4).await?;
        ensure!(received.iter().all(|one| one.json["commonLabels"]["alertname"] == "Seen"), "{received:?}");
        Ok(())
    })
}

fn alerts() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "route: {{receiver: all, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/")
        );
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let post = async |body: serde_json::Value| {
            engine.post_ok("/api/v2/alerts", "application/json", serde_json::to_vec(&body)?).await
        };
        post(json!([{"labels": {"alertname": "A", "empty": ""}, "annotations": {"summary": "s"}, "generatorURL": "http://x/"}]))
            .await?;
        let received = sink.until("it is told", |received| !received.is_empty()).await?;
        let webhook = &received[0].json;
        ensure!(webhook["version"] == "4" && webhook["status"] == "firing", "{webhook}");
        ensure!(webhook["alerts"][0]["labels"] == json!({"alertname": "A"}), "{webhook}");
        let listed = engine.get("/api/v2/alerts").await?;
        ensure!(listed[0]["status"]["state"] == "active" && listed[0]["receivers"][0]["name"] == "all", "{listed}");
        post(json!([{"labels": {"alertname": "A"}, "endsAt": "2026-01-02T00:00:00Z", "startsAt": "2026-01-01T00:00:00Z"}]))
            .await?;
        post(json!([{"labels": {"alertname": "A"}, "endsAt": rfc3339_now()}])).await?;
        sink.until("its end is told", |received| received.iter().any(|one| one.json["status"] == "resolved")).await?;
        Ok(())
    })
}

/// The time a moment ago, as senders write it.
#[expect(clippy::disallowed_methods, reason = "the test plays a sender, which has a clock")]
fn rfc3339_now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days, http://howardhinnant.github.io/date_algorithms.html
    let z = days as i64 + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

fn bad_input() -> Result<()> {
    block_on(async {
        let engine = quiet().await?;
        let refused = async |path: &str, content_type: &str, body: &str, status: u16, why: &str| -> Result<()> {
            let answer = engine.post(path, &[("content-type", content_type)], body).await?;
            let (got, text) = (answer.status().as_u16(), answer.text().await?);
            ensure!(
                got == status && text.contains(why),
                "{path} {body:?}: {got} {text:?}, expected {status} with {why:?}"
            );
            Ok(())
        };
        refused("/api/v1/write", "application/x-protobuf", "not snappy", 400, "snappy").await?;
        refused("/api/v1/write", "text/plain", "", 415, "").await?;
        refused("/api/v1/import/prometheus", "text/plain", "good 1\nbad{ 2\n", 400, "2").await?;
        refused("/api/v1/events", "application/x-ndjson", "{\"type\":\"a\"}\n{not json}\n", 400, "2").await?;
        refused("/api/v2/alerts", "application/json", "{}", 400, "").await?;
        refused(
            "/api/v2/alerts",
            "application/json",
            "[{\"labels\":{}},{\"labels\":{\"alertname\":\"kept\"}}]",
            400,
            "",
        )
        .await?;
        refused("/api/v2/silences", "application/json", "{\"matchers\":[]}", 422, "comment in body is required")
            .await?;
        let answer = engine.get("/api/v1/query?query=good").await?;
        ensure!(answer["data"]["result"][0]["value"][1] == "1", "the good line is kept: {answer}");
        let listed = engine.get("/api/v2/alerts").await?;
        ensure!(listed[0]["labels"]["alertname"] == "kept", "the good alert is kept: {listed}");
        let answer = engine
            .post("/api/v1/query", &[("content-type", "application/x-www-form-urlencoded")], "query=sum(")
            .await?;
        ensure!(answer.status().as_u16() == 400, "{}", answer.status());
        let error: serde_json::Value = serde_json::from_str(&answer.text().await?)?;
        ensure!(
            error["errorType"] == "bad_data" && error["error"].as_str().is_some_and(|e| e.contains("1:5")),
            "{error}"
        );
        Ok(())
    })
}

fn large() -> Result<()> {
    block_on(async {
        let config = format!("{QUIET}server: {{limits: {{body_bytes_max: 1024}}}}\n");
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        for path in ["/api/v1/write", "/api/v1/import/prometheus", "/api/v1/events", "/api/v2/alerts"] {
            let content_type = if path == "/api/v1/write" { "application/x-protobuf" } else { "application/json" };
            let answer = engine.post(path, &[("content-type", content_type)], vec![b'x'; 4096]).await?;
            ensure!(answer.status().as_u16() == 413, "{path}: {}", answer.status());
        }
        // A length that is only announced is refused without waiting for the body.
        let head = "POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 999999999\r\n\r\n";
        let status = engine.status_of(head).await?;
        ensure!(status == 413, "{status}");
        let metrics = engine.text("/metrics").await?;
        ensure!(metrics.contains("\nwatchfire_requests_too_large_total 5\n"), "{metrics}");
        Ok(())
    })
}

fn busy() -> Result<()> {
    block_on(async {
        use tokio::io::AsyncWriteExt;
        let config = format!("{QUIET}server: {{limits: {{requests_max: 1}}}}\n");
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let address = engine.url("").trim_start_matches("http://").to_owned();
        let head =
            "POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n[";
        let stream = eventually("the second request is told to come back", async || {
            // The one place is taken by a request whose body does not end; it is sent anew for each try, because the
            // try before may have had the place when it came.
            let mut stream = tokio::net::TcpStream::connect(&address).await?;
            stream.write_all(head.as_bytes()).await?;
            let answer = engine.post("/api/v1/events", &[("content-type", "application/json")], "[]").await?;
            let retry_after = answer.headers().get("retry-after").is_some();
            Ok((answer.status().as_u16() == 429 && retry_after).then_some(stream))
        })
        .await?;
        ensure!(engine.text("/-/healthy").await?.contains("healthy"), "supervisors are always answered");
        drop(stream);
        eventually("the place is free again", async || {
            let answer = engine.post("/api/v1/events", &[("content-type", "application/json")], "[]").await?;
            Ok(answer.status().is_success().then_some(()))
        })
        .await
    })
}

fn connections() -> Result<()> {
    block_on(async {
        let config = format!("{QUIET}server: {{limits: {{connections_max: 4}}}}\n");
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let address = engine.url("").trim_start_matches("http://").to_owned();
        let mut silent = Vec::new();
        eventually("a connection too many is told so", async || {
            silent.push(tokio::net::TcpStream::connect(&address).await?);
            // What is closed at once may be closed before all of the request is written.
            let status = engine.status_of("GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n").await;
            Ok(status.is_ok_and(|status| status == 429).then_some(()))
        })
        .await?;
        let metrics = engine.text("/metrics").await?;
        ensure!(metrics.contains("watchfire_overloaded_total{queue=\"connections\"} "), "{metrics}");
        ensure!(metrics.contains("watchfire_engine_bound_max{bound=\"connections\"} 4"), "{metrics}");
        drop(silent);
        eventually("there is a place again", async || {
            let status = engine.status_of("GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n").await;
            Ok(status.is_ok_and(|status| status == 200).then_some(()))
        })
        .await
    })
}

fn unsent() -> Result<()> {
    block_on(async {
        let config = format!("{QUIET}server: {{limits: {{request_timeout: 200ms}}}}\n");
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let form = "content-type: application/x-www-form-urlencoded\r\ncontent-length: 9";
        let head = format!("POST /api/v1/query HTTP/1.1\r\nhost: x\r\n{form}\r\n\r\n");
        let status = engine.status_of(&head).await?;
        ensure!(status == 408, "{status}");
        Ok(())
    })
}

fn credentials() -> Result<()> {
    block_on(async {
        let config = format!("{QUIET}server: {{auth: {{bearer_tokens: ['s3cret-token']}}}}\n");
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let answer = engine.post("/api/v1/events", &[("content-type", "application/json")], "[]").await?;
        ensure!(answer.status().as_u16() == 401, "{}", answer.status());
        let headers = [("content-type", "application/json"), ("authorization", "Bearer s3cret-token")];
        let answer = engine.post("/api/v1/events", &headers, "[]").await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        ensure!(!engine.log()?.contains("s3cret-token"), "the log shows a secret");
        let foreign = [headers[0], headers[1], ("origin", "https://evil.example")];
        let answer = engine.post("/api/v1/events", &foreign, "[]").await?;
        ensure!(answer.status().as_u16() == 403, "a page of another site got {}", answer.status());
        let own = engine.url("");
        let answer = engine.post("/api/v1/events", &[headers[0], headers[1], ("origin", own.as_str())], "[]").await?;
        ensure!(answer.status().is_success(), "the engine's own page got {}", answer.status());
        rebound().await?;
        let open = Engine::prepare(&[("watchfire.yml", QUIET)])?;
        let binary = crate::support::variable("WATCHFIRE_BINARY").context("WATCHFIRE_BINARY")?;
        let output = std::process::Command::new(binary)
            .args(["serve", "--config", "watchfire.yml", "--listen", "0.0.0.0:0"])
            .current_dir(open.folder())
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && text.contains("--insecure"), "{text}");
        Ok(())
    })
}

/// What a page gets whose site had its name point to an engine that asks for no credentials.
async fn rebound() -> Result<()> {
    let config = format!("{QUIET}server: {{external_url: 'https://watchfire.example.org/'}}\n");
    let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
    for (headers, expected) in [
        ("host: evil.example\r\norigin: http://evil.example", 421),
        ("host: evil.example:9494\r\naccept-language: en", 421),
        ("host: evil.example\r\nuser-agent: Mozilla/5.0", 421),
        ("host: evil.example\r\nuser-agent: Prometheus/3.5.0", 200),
        ("host: watchfire.example.org\r\naccept-language: en", 200),
        ("host: watchfire:9494\r\naccept-language: en", 200),
        ("host: 127.0.0.1\r\naccept-language: en", 200),
    ] {
        let status = engine.status_of(&format!("GET /api/v2/alerts HTTP/1.1\r\n{headers}\r\n\r\n")).await?;
        ensure!(status == expected, "{headers:?}: {status}");
    }
    Ok(())
}
