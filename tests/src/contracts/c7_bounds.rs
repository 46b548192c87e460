//! Contract C7: each bound is driven to its limit; what comes is the answer, and the metric, that `engine/README.md`
//! promises. Bodies, requests and open pages at one time are in `intake.rs`, queries in `query_api.rs`, plugins in
//! `hostile.rs`, and those that only the state machine knows in `engine/alerting/tests/all/c7_everything_is_bounded.rs`.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Case;
use crate::support::{Engine, Sink, Tool, block_on, client, eventually};

pub(crate) const CASES: &[Case] = &[
    Case { name: "contracts::c7_series_and_samples", needs: &[Tool::Binary], run: series },
    Case { name: "contracts::c7_alerts_groups_silences_and_instances", needs: &[Tool::Binary], run: dispatch },
    Case { name: "contracts::c7_bounds_of_alertmanagers_flags", needs: &[Tool::Binary], run: flags },
    Case { name: "contracts::c7_what_one_request_may_hold", needs: &[Tool::Binary], run: requests },
    Case { name: "contracts::c7_matchers_of_a_request", needs: &[Tool::Binary], run: matchers },
    Case { name: "contracts::c7_attempts_at_one_time", needs: &[Tool::Binary], run: at_one_time },
    Case { name: "contracts::c7_attempts_and_their_bodies", needs: &[Tool::Binary], run: attempts },
];

const NOBODY: &str = "route: {receiver: none}\nreceivers: [{name: none}]\nevaluation: {keep_unread: true}\n";

/// Waits until a metric has this value.
async fn counted(engine: &Engine, name: &str, expected: f64) -> Result<()> {
    eventually(&format!("{name} is {expected}"), async || Ok((engine.metric(name).await? == expected).then_some(())))
        .await
}

fn series() -> Result<()> {
    block_on(async {
        let config = format!("{NOBODY}limits: {{series_max: 5, samples_per_series_max: 120}}\n");
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let many: String = (0..8).map(|i| format!("many{{i=\"{i}\"}} 1\n")).collect();
        let answer = engine.post("/api/v1/import/prometheus", &[("content-type", "text/plain")], many).await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        ensure!(status == 400 && text.contains('5'), "{status}: {text}");
        counted(&engine, "watchfire_samples_rejected_total{reason=\"limit\"}", 3.0).await?;
        counted(&engine, "watchfire_engine_bound_max{bound=\"series\"}", 5.0).await?;
        counted(&engine, "watchfire_engine_bound_used{bound=\"series\"}", 5.0).await?;
        let now = engine.metric("watchfire_config_last_reload_success_timestamp_seconds").await?;
        let long: String =
            (0..1_000).map(|i| format!("many{{i=\"0\"}} {i} {}\n", (now as i64 + 10) * 1_000 + i)).collect();
        engine.push(&long).await?;
        let shed = engine.metric("watchfire_engine_samples_shed_total").await?;
        ensure!(shed > 500.0, "the oldest make room: {shed}");

        let config = format!("{NOBODY}limits: {{tenant: {{label: team, series_max: 2}}}}\n");
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let one = "up{team=\"a\",i=\"1\"} 1\nup{team=\"a\",i=\"2\"} 1\n";
        let others = "up{team=\"b\"} 1\nup{i=\"1\"} 1\nup{i=\"2\"} 1\nup{i=\"3\"} 1\n";
        engine.push(&format!("{one}{others}")).await?;
        let more = engine.post("/api/v1/import/prometheus", &[("content-type", "text/plain")], "up{team=\"a\"} 1\n");
        let text = more.await?.text().await?;
        ensure!(text.contains("team=\"a\"") && text.contains("tenant.series_max = 2"), "{text}");
        engine.push(others).await
    })
}

fn dispatch() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\n\
             route: {{receiver: all, group_by: [alertname], group_wait: 0s}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n\
             limits: {{alerts_max: 5, alerts_bytes_max: 2KiB, alert_groups_max: 2, silences_max: 1, rule_instances_max: 2}}\n",
            sink.url("/")
        );
        let rules = "groups: [{name: g, interval: 1s, rules: [{alert: Many, expr: many > 0}]}]\n";
        let engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", rules)]).await?;
        let send = async |names: &[&str]| {
            let alerts: Vec<Value> = names.iter().map(|name| json!({"labels": {"alertname": name}})).collect();
            engine.post("/api/v2/alerts", &[("content-type", "application/json")], json!(alerts).to_string()).await
        };
        // Each has a group of its own until there is no room; then they share one, and are told all the same.
        ensure!(send(&["A", "B", "C", "D"]).await?.status() == 200, "four have room");
        counted(&engine, "watchfire_engine_groups_overflowed_total", 2.0).await?;
        sink.until("all are told", |received| {
            ["A", "B", "C", "D"].iter().all(|name| {
                let told = |alert: &Value| alert["labels"]["alertname"] == *name;
                received.iter().any(|one| one.json["alerts"].as_array().is_some_and(|alerts| alerts.iter().any(told)))
            })
        })
        .await?;
        // What is known may grow beyond the bytes of all alerts, and leaves no room for others then.
        let json = [("content-type", "application/json")];
        let long = json!([{"labels": {"alertname": "A"}, "annotations": {"summary": "x".repeat(2_048)}}]);
        ensure!(engine.post("/api/v2/alerts", &json, long.to_string()).await?.status() == 200, "a known one grows");
        let happened = json!({"event_type": "system_down", "title": "E"}).to_string();
        let refused =
            [send(&["B", "E"]).await?, engine.post("/v1/alerting/send", &json, happened).await?, send(&["A"]).await?];
        for (answer, expected) in refused.into_iter().zip([429, 429, 200]) {
            let retry_after = answer.headers().contains_key("retry-after");
            let (status, text) = (answer.status().as_u16(), answer.text().await?);
            let told = retry_after && text.contains("1 because limits.alerts_bytes_max is reached");
            ensure!(status == expected && (told || status == 200), "{status}: {text}");
        }
        counted(&engine, "watchfire_engine_alerts_refused_for_bytes_total", 2.0).await?;
        let answer = send(&["A", "E", "F"]).await?;
        let retry_after = answer.headers().contains_key("retry-after");
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        ensure!(status == 429 && retry_after && text.contains("limits.alerts_max"), "{status}: {text}");
        counted(&engine, "watchfire_engine_alerts_refused_total", 1.0).await?;
        ensure!(send(&["A"]).await?.status() == 200, "what is known always comes in");

        let silence = json!({
            "matchers": [{"name": "alertname", "value": "A", "isRegex": false}],
            "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "Ada", "comment": "c7",
        });
        ensure!(engine.post("/api/v2/silences", &json, silence.to_string()).await?.status() == 200, "one has room");
        let answer = engine.post("/api/v2/silences", &json, silence.to_string()).await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        ensure!(status == 400 && text.contains("maximum number of silences: 1"), "{status}: {text}");
        counted(&engine, "watchfire_engine_silences_refused_total", 1.0).await?;

        let fingerprint = engine.get("/api/v2/alerts").await?[0]["fingerprint"].clone();
        let long = json!({"fingerprint": fingerprint, "by": "Ada", "comment": "x".repeat(5_000)});
        let answer = engine.post("/api/watchfire/v1/acknowledgements", &json, long.to_string()).await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        ensure!(status == 400 && text.contains("4096"), "{status}: {text}");
        counted(&engine, "watchfire_engine_acknowledgements_refused_total", 1.0).await?;

        engine.push(&(0..5).map(|i| format!("many{{i=\"{i}\"}} 1\n")).collect::<String>()).await?;
        eventually("instances of the rule are left out", async || {
            Ok((engine.metric("watchfire_engine_instances_dropped_total").await? >= 3.0).then_some(()))
        })
        .await?;
        let rules = engine.get("/api/v1/rules").await?;
        let rule = &rules["data"]["groups"][0]["rules"][0];
        let told = "exceeded the limit: 3 results were left out, those that came first are kept";
        ensure!(rule["health"] == "err" && rule["lastError"] == told, "{rule}");
        ensure!(rule["alerts"].as_array().is_some_and(|alerts| alerts.len() == 2), "the first are kept: {rule}");
        ensure!(engine.text("/rules").await?.contains(told), "the page says it, too");
        Ok(())
    })
}

fn flags() -> Result<()> {
    block_on(async {
        let mut engine = Engine::prepare(&[("watchfire.yml", NOBODY)])?;
        let limits = ["--alerts.per-alertname-limit=2", "--silences.max-silence-size-bytes=40"];
        engine.run_as_alertmanager(&[&["--storage.path=data"][..], &limits].concat()).await?;
        let json = [("content-type", "application/json")];
        let noisy = [1, 2, 3].map(|i| json!({"labels": {"alertname": "Noisy", "i": i.to_string()}}));
        let answer = engine.post("/api/v2/alerts", &json, json!(noisy).to_string()).await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        ensure!(status == 429 && text.contains("1 because limits.alerts_per_name_max is reached"), "{status}: {text}");
        counted(&engine, "watchfire_engine_alerts_refused_for_name_total", 1.0).await?;
        let others = json!([{"labels": {"alertname": "Quiet"}}, noisy[0]]).to_string();
        ensure!(engine.post("/api/v2/alerts", &json, others).await?.status() == 200, "others have room");
        for (comment, expected) in [("short", 200), ("longer than the forty bytes that there are", 400)] {
            let silence = json!({
                "matchers": [{"name": "alertname", "value": "Noisy", "isRegex": false}],
                "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "Ada", "comment": comment,
            });
            let answer = engine.post("/api/v2/silences", &json, silence.to_string()).await?;
            let (status, text) = (answer.status().as_u16(), answer.text().await?);
            ensure!(status == expected && (status == 200 || text.contains("40")), "{comment}: {status}: {text}");
        }
        Ok(())
    })
}

fn requests() -> Result<()> {
    block_on(async {
        let config = format!(
            "{NOBODY}ingest: {{alerts_max: 2, events_max: 2, samples_max: 2, labels_max: 3, label_value_bytes_max: 16, \
             event_bytes_max: 128}}\n"
        );
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let alert = |value: &str| json!({"labels": {"alertname": value}});
        let wide = json!({"labels": {"a": "1", "b": "1", "c": "1", "d": "1"}});
        let event = |text: &str| json!({"type": "t", "text": text});
        for (path, media, body, part) in [
            ("/api/v2/alerts", "application/json", json!([alert("a"), alert("b"), alert("c")]).to_string(), "2"),
            ("/api/v2/alerts", "application/json", json!([alert(&"x".repeat(40))]).to_string(), "16 bytes"),
            ("/api/v2/alerts", "application/json", json!([wide]).to_string(), "3"),
            ("/api/v1/events", "application/json", json!([event("a"), event("b"), event("c")]).to_string(), "2"),
            ("/api/v1/events", "application/json", json!([event(&"x".repeat(200))]).to_string(), "128"),
            ("/api/v1/import/prometheus", "text/plain", "a 1\nb 1\nc 1\n".to_owned(), "2"),
            ("/api/v1/import/prometheus", "text/plain", format!("a{{l=\"{}\"}} 1\n", "x".repeat(40)), "16"),
        ] {
            let answer = engine.post(path, &[("content-type", media)], body.clone()).await?;
            let (status, text) = (answer.status().as_u16(), answer.text().await?);
            ensure!(matches!(status, 400 | 413) && text.contains(part), "{path} {body}: {status}: {text}");
        }
        Ok(())
    })
}

/// A short request may ask for large patterns, or for many: each API refuses them in its own shape.
fn matchers() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", NOBODY)]).await?;
        engine.push("load 1\n").await?;
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let json = [("content-type", "application/json")];
        let (large, many) = (r"(\\pL{50}){20}", "x=~\"a.*\",".repeat(1_001));
        let pair = |name: &str, value: &str| {
            let url = reqwest::Url::parse_with_params("http://form/", [(name, value)]);
            url.map(|url| url.query().unwrap_or_default().to_owned())
        };
        let silence = |matchers: Vec<Value>| {
            json!({
                "matchers": matchers, "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
                "createdBy": "Ada", "comment": "c7",
            })
            .to_string()
        };
        let matcher = |value: &str| json!({"name": "x", "value": value, "isRegex": true});
        let (memory, count) = ("take too much memory", "more than 1,000 matchers");
        let paths = [
            ("/api/v1/query", "query"),
            ("/api/v1/series", "match[]"),
            ("/api/v1/labels", "match[]"),
            ("/api/v1/format_query", "query"),
        ];
        let (large_selector, many_selector) = (format!("load{{x=~\"{large}\"}}"), format!("load{{{many}}}"));
        // It takes a while until something is too large.
        for (selector, why, paths) in [(large_selector, memory, &paths[..2]), (many_selector, count, &paths)] {
            for (path, name) in paths {
                let answer = engine.post(path, &form, pair(name, &selector)?).await?;
                let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await?);
                let told = body["error"].as_str().is_some_and(|error| error.contains(why));
                ensure!(status == 400 && body["errorType"] == "bad_data" && told, "{path}: {status}: {body}");
            }
        }
        // What fits one by one may be too much together.
        let together: Vec<(&str, String)> =
            (0..20).map(|i| ("match[]", format!("load{{x!~\"\\\\pL{{20}}{i}\"}}"))).collect();
        let one = reqwest::Url::parse_with_params("http://form/", &together[..1])?;
        let all = reqwest::Url::parse_with_params("http://form/", &together)?;
        for (url, expected) in [(one, 200), (all, 400)] {
            let answer = engine.post("/api/v1/series", &form, url.query().unwrap_or_default()).await?;
            ensure!(answer.status() == expected, "{}: {}", answer.status(), answer.text().await?);
        }
        let paths = ["/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences"];
        // One filter is one matcher.
        let (large_filter, many_filters) = (pair("filter", &format!("x=~\"{large}\""))?, "filter=x%3Da&".repeat(1_001));
        for (filters, why, paths) in [(large_filter, memory, &paths[..1]), (many_filters, count, &paths)] {
            for path in paths {
                let url = engine.url(&format!("{path}?{filters}"));
                let answer = client()?.get(url).send().await?;
                let (status, text) = (answer.status().as_u16(), answer.text().await?);
                ensure!(status == 400 && text.contains(why), "{path}: {status}: {text}");
            }
        }
        for (matchers, why) in [
            (vec![matcher(r"(\pL{50}){20}")], memory),
            (vec![json!({"name": "x", "value": "a", "isRegex": false}); 1_001], count),
        ] {
            let answer = engine.post("/api/v2/silences", &json, silence(matchers)).await?;
            let (status, text) = (answer.status().as_u16(), answer.text().await?);
            ensure!(status == 400 && text.contains(why), "{status}: {text}");
        }
        counted(&engine, "watchfire_matchers_refused_total", 13.0).await?;
        let pods: Vec<String> = (0..1_000).map(|pod| format!("checkout-{pod}")).collect();
        let answer = engine.post("/api/v2/silences", &json, silence(vec![matcher(&pods.join("|"))])).await?;
        ensure!(answer.status() == 200, "an ordinary silence: {}", answer.text().await?);
        Ok(())
    })
}

/// More than may wait is told to come back; while a receiver does not answer, what it will be told waits.
fn at_one_time() -> Result<()> {
    block_on(async {
        // It takes connections and says nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let config = format!(
            "route: {{receiver: hook, group_by: ['...'], group_wait: 0s}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: 'http://{}/', timeout: 1m}}]}}]\n",
            silent.local_addr()?
        );
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let json = [("content-type", "application/json")];
        let alerts: Vec<Value> = (0..300).map(|i| json!({"labels": {"a": i.to_string()}})).collect();
        ensure!(
            engine.post("/api/v2/alerts", &json, json!(alerts).to_string()).await?.status() == 200,
            "they have room"
        );
        // One integration leaves as many places free as it takes.
        counted(&engine, "watchfire_engine_bound_used{bound=\"attempts\"}", 128.0).await?;
        counted(&engine, "watchfire_outbox_notifications", 300.0).await
    })
}

fn attempts() -> Result<()> {
    block_on(async {
        let sink = Sink::answering(|_, _| (axum::http::StatusCode::OK, "y".repeat(100_000))).await?;
        let config = format!(
            "route: {{receiver: hook}}\nreceivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/")
        );
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let texts: std::collections::BTreeMap<String, String> =
            (0..6).map(|i| (format!("text{i}"), "x".repeat(10_000))).collect();
        let long = json!({"labels": {"alertname": "Long"}, "annotations": texts});
        let body = json!({"receiver": "hook", "alerts": [long]}).to_string();
        engine.post_ok("/api/watchfire/v1/receivers/test", "application/json", body).await?;
        let listed = engine.get("/api/watchfire/v1/deliveries?limit=1").await?;
        let exchange = &listed["deliveries"][0]["exchanges"][0];
        for text in [&exchange["request"]["body"], &exchange["answer"]["body"]] {
            let length = text.as_str().map_or(0, str::len);
            ensure!((1_000..17_000).contains(&length), "16 KiB are kept of each, here {length}: {listed}");
        }
        ensure!(sink.received()[0].json["alerts"][0]["labels"]["alertname"] == "Long", "it was sent whole");
        Ok(())
    })
}
