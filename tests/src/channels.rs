//! Receivers as people and services see them: previews, tests, history, webhooks that come back, alerts that are sent.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Case;
use watchfire_delivery::double::{Double, Fault};

use crate::support::{Engine, Sink, Tool, block_on, client, eventually, install_plugins};

pub(crate) const CASES: &[Case] = &[
    Case { name: "channels::preview_test_history_and_redelivery", needs: &[Tool::Binary], run: history },
    Case { name: "channels::what_is_sent_without_metrics_is_routed_and_ended", needs: &[Tool::Binary], run: sent },
    Case { name: "channels::a_webhook_of_pagerduty_ends_what_was_sent", needs: &[Tool::Binary], run: pagerduty },
    Case { name: "channels::c7_a_webhook_that_is_not_signed_is_not_read", needs: &[Tool::Binary], run: unsigned },
    Case { name: "channels::a_click_in_slack_silences_the_group", needs: &[Tool::Binary], run: slack },
    Case { name: "channels::pages_test_preview_acknowledge_and_deliver_again", needs: &[Tool::Binary], run: pages },
    Case { name: "channels::c7_a_mail_waits_for_no_drawing", needs: &[Tool::Binary], run: no_trend },
    Case { name: "channels::a_mail_shows_the_number_against_its_threshold", needs: &[Tool::Binary], run: trend },
    Case {
        name: "channels::a_plugin_addresses_its_own_request",
        needs: &[Tool::Binary, Tool::Plugins],
        run: own_request,
    },
    Case { name: "channels::who_does_not_answer_is_escalated", needs: &[Tool::Binary], run: escalation },
];

fn config(sink: &Sink, more: &str) -> String {
    format!(
        "route: {{receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
         receivers:\n- name: hook\n  webhook_configs: [{{url: '{}'}}]\n- name: other\n{more}",
        sink.url("/hook?key=sesame-1234")
    )
}

/// A channel of a plugin's own: tried again under the same key, refused where the host is not granted, without its secret
/// being seen by the plugin or by anybody who looks.
fn own_request() -> Result<()> {
    block_on(async {
        let (matrix, sink) = (Double::channel("matrix").await?, Sink::start().await?);
        let origin = format!("http://{}", matrix.address());
        let config = |granted: &str| {
            let formatter =
                format!("{{plugin: matrix-message, config: {{homeserver: '{origin}', room: '!ops:example'}}}}");
            format!(
                "plugins: {{dir: plugins}}\n\
                 route: {{receiver: room, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
                 receivers:\n- name: room\n  webhook_configs:\n  - url: '{}'\n    formatter: {formatter}\n    \
                 grant: {{hosts: ['{granted}'], secret_files: {{access-token: token}}}}\n",
                sink.url("/built-in")
            )
        };
        let mut engine = Engine::prepare(&[("watchfire.yml", &config(&origin)), ("token", "matrix-token\n")])?;
        install_plugins(&engine.folder().join("plugins"), &["matrix-message"])?;
        engine.run_with_plugins(&[]).await?;
        post(&engine, "/api/watchfire/v1/plugins/matrix-message/calls?calls=1", &Value::Null).await?;
        matrix.fail_next([Fault::status(500)]);
        let alert = |name: &str| json!([{"labels": {"alertname": name}, "annotations": {"summary": "three down"}}]);
        post(&engine, "/api/v2/alerts", &alert("Granted")).await?;
        eventually("the room is told", async || Ok((!matrix.taken().is_empty()).then_some(()))).await?;
        let tries = matrix.received();
        ensure!(tries.len() == 2 && tries[0].answered == 500, "{tries:?}");
        ensure!(tries[0].path == tries[1].path && tries[0].body == tries[1].body, "{tries:?}");
        let key = tries[0].header("idempotency-key");
        ensure!(key.is_some() && key == tries[1].header("idempotency-key"), "{tries:?}");
        ensure!(String::from_utf8_lossy(&tries[1].body).contains("three down"), "{tries:?}");
        ensure!(sink.received().is_empty(), "the built-in message was not needed");

        // Where the host is not granted, the built-in message says what happened.
        engine.write("watchfire.yml", &config("https://matrix.example"))?;
        engine.post("/-/reload", &[], "").await?;
        post(&engine, "/api/v2/alerts", &alert("Refused")).await?;
        let told = sink.until("the built-in message comes", |received| !received.is_empty()).await?;
        ensure!(told[0].json["commonLabels"]["alertname"] == "Refused", "{told:?}");
        let refused =
            format!("its request goes to {origin}, which is not granted: `grant.hosts` has https://matrix.example");
        // The receiver has a message before the engine has its answer.
        let history = eventually("the history says why", async || {
            let history = engine.text("/api/watchfire/v1/deliveries").await?;
            Ok(history.contains(&refused).then_some(history))
        })
        .await?;
        ensure!(matrix.received().len() == 2, "nothing is sent to a host that is not granted");
        let (metrics, noted) = (engine.text("/metrics").await?, "watchfire_notification_notes_total{receiver=\"room\"");
        ensure!(metrics.contains(noted), "{metrics}");

        let calls = engine.text("/api/watchfire/v1/plugins/matrix-message/calls/1").await?;
        ensure!(calls.contains("Bearer secret-"), "the plugin gets a stand-in: {calls}");
        let status = engine.text("/api/v2/status").await?;
        for (what, text) in [("history", history), ("calls", calls), ("status", status), ("log", engine.log()?)] {
            ensure!(!text.contains("matrix-token"), "the {what} shows the secret: {text}");
        }
        Ok(())
    })
}

async fn post(engine: &Engine, path: &str, body: &Value) -> Result<(u16, Value)> {
    let answer = engine.post(path, &[("content-type", "application/json")], body.to_string()).await?;
    let (status, text) = (answer.status().as_u16(), answer.text().await?);
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::from(text))))
}

fn history() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let engine = Engine::start(&[("watchfire.yml", &config(&sink, ""))]).await?;
        let alerts = json!([{"labels": {"alertname": "Previewed"}}]);
        let wanted = json!({"receiver": "hook", "alerts": alerts});
        let (status, shown) = post(&engine, "/api/watchfire/v1/receivers/preview", &wanted).await?;
        let request = &shown["integrations"][0]["requests"][0];
        ensure!(status == 200 && request["body"].as_str().is_some_and(|body| body.contains("Previewed")), "{shown}");
        ensure!(sink.received().is_empty(), "a preview sends nothing");
        let (status, unknown) = post(&engine, "/api/watchfire/v1/receivers/preview", &json!({"receiver": "x"})).await?;
        ensure!(status == 404, "{unknown}");

        let (_, tested) = post(&engine, "/api/watchfire/v1/receivers/test", &json!({"receiver": "hook"})).await?;
        ensure!(tested["deliveries"][0]["outcome"] == "delivered", "{tested}");
        let number = tested["deliveries"][0]["number"].as_u64().context("it has a number")?;
        let (_, again) = post(&engine, &format!("/api/watchfire/v1/deliveries/{number}/redeliver"), &json!({})).await?;
        ensure!(again["outcome"] == "delivered" && again["number"].as_u64() > Some(number), "{again}");
        let received = sink.until("both came", |received| received.len() == 2).await?;
        let keys: Vec<_> = received.iter().map(|one| one.headers.get("idempotency-key").cloned()).collect();
        ensure!(keys[0] != keys[1], "a redelivery is a notification of its own: {keys:?}");

        let answer = engine.text("/api/watchfire/v1/deliveries?receiver=hook").await?;
        let listed: Value = serde_json::from_str(&answer)?;
        ensure!(listed["deliveries"][0]["exchanges"][0]["answer"]["status"] == 200, "{listed}");
        for text in [answer, shown.to_string(), tested.to_string(), again.to_string(), engine.log()?] {
            ensure!(!text.contains("sesame-1234"), "{text}");
        }
        Ok(())
    })
}

fn sent() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let engine = Engine::start(&[("watchfire.yml", &config(&sink, ""))]).await?;
        let event =
            json!({"event_type": "model_failure", "severity": "critical", "title": "No answer", "source": "ranker"});
        let (status, accepted) = post(&engine, "/v1/alerting/send", &event).await?;
        ensure!(status == 200 && accepted["receivers"] == json!(["hook"]), "{accepted}");
        let received = sink.until("it was told", |received| !received.is_empty()).await?;
        let told = &received[0].json;
        ensure!(told["alerts"][0]["labels"]["severity"] == "critical", "{told}");
        ensure!(told["commonAnnotations"]["summary"] == "No answer", "{told}");

        let stats = engine.get("/v1/alerting/stats").await?;
        ensure!(stats["firing"]["critical"] == 1, "{stats}");
        let types = engine.text("/v1/alerting/event-types").await?;
        ensure!(types.contains("security_breach"), "{types}");
        let (status, refused) =
            post(&engine, "/v1/alerting/send", &json!({"event_type": "x", "title": "t", "severity": "s"})).await?;
        ensure!(status == 400 && refused["error"].as_str().is_some_and(|e| e.contains("severity")), "{refused}");

        let key = json!({"dedup_key": accepted["dedup_key"]});
        let (status, resolved) = post(&engine, "/v1/alerting/pagerduty/resolve", &key).await?;
        ensure!(status == 200 && resolved["resolved"] == 1, "{resolved}");
        sink.until("its end was told", |received| received.iter().any(|one| one.json["status"] == "resolved")).await?;
        // The receiver has a message before the engine has its answer.
        eventually("both are in the history", async || {
            let history = engine.get("/api/watchfire/v1/deliveries").await?;
            Ok(history["deliveries"].as_array().is_some_and(|all| all.len() >= 2).then_some(()))
        })
        .await?;
        let (_, cleared) = post(&engine, "/v1/alerting/clear-history", &json!({})).await?;
        ensure!(cleared["forgotten"].as_u64().is_some_and(|count| count >= 2), "{cleared}");
        Ok(())
    })
}

fn hmac(secret: &str, text: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    ring::hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of a group as PagerDuty and Slack know it.
async fn group_key(engine: &Engine, sink: &Sink) -> Result<String> {
    let (status, answer) =
        post(engine, "/v1/alerting/send", &json!({"event_type": "system_down", "title": "Down"})).await?;
    ensure!(status == 200, "{answer}");
    let received = sink.until("it was told", |received| !received.is_empty()).await?;
    let told = &received[0].json;
    let key = told["groupKey"].as_str().context("it has a key")?;
    let hash = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    Ok(hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn pagerduty() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let more = "  pagerduty_configs: [{routing_key: k, webhook_secret: whsec-1234}]\n";
        let engine = Engine::start(&[("watchfire.yml", &config(&sink, more))]).await?;
        let key = group_key(&engine, &sink).await?;
        let event = |kind: &str, key: &str, at: &str| {
            json!({"event": {"event_type": kind, "occurred_at": at, "agent": {"summary": "Ada"},
                "data": {"incident_key": key}}})
            .to_string()
        };
        let (before, after) = ("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
        let path = "/api/watchfire/v1/pagerduty/webhook";
        let body = event("incident.resolved", &key, after);
        let forged = engine.post(path, &[("x-pagerduty-signature", "v1=00")], body.clone()).await?;
        ensure!(forged.status() == 401, "{}", forged.status());
        let signed = |body: &str| format!("v1={}", hmac("whsec-1234", body));
        let alerts = engine.get("/api/v2/alerts").await?;
        let acknowledgement = json!({"fingerprint": alerts[0]["fingerprint"], "by": "Bo", "until": after});
        // What PagerDuty tells of other incidents, of one before this, and of what it was told by the engine changes nothing.
        for (told, acknowledged) in [
            (event("incident.resolved", "0000", after), false),
            (event("incident.acknowledged", &key, before), false),
            (event("incident.resolved", &key, before), false),
            (event("incident.acknowledged", &key, after), true),
        ] {
            if acknowledged {
                post(&engine, "/api/watchfire/v1/acknowledgements", &acknowledgement).await?;
            }
            let signature = signed(&told);
            let answer = engine.post(path, &[("x-pagerduty-signature", &signature)], told.clone()).await?;
            ensure!(answer.status() == 204, "{told}: {}", answer.status());
            let shown = engine.text("/").await?;
            ensure!(shown.contains("acknowledged by Bo until 2099") == acknowledged, "{told}: {shown}");
            ensure!(!shown.contains("(PagerDuty)"), "{told}: {shown}");
            ensure!(engine.get("/api/v2/alerts").await?[0]["status"]["state"] == "active", "{told}: it fires");
        }
        let signature = signed(&body);
        let answer = engine.post(path, &[("x-pagerduty-signature", &signature)], body).await?;
        ensure!(answer.status() == 204, "{}", answer.status());
        sink.until("its end was told", |received| received.iter().any(|one| one.json["status"] == "resolved")).await?;
        Ok(())
    })
}

#[expect(clippy::disallowed_methods, reason = "a click carries the time at which it was made")]
fn slack() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let more = "  slack_configs: [{api_url: 'http://127.0.0.1:1/x', signing_secret: shh-1234}]\n";
        let engine = Engine::start(&[("watchfire.yml", &config(&sink, more))]).await?;
        let key = group_key(&engine, &sink).await?;
        let payload = json!({
            "type": "block_actions", "user": {"name": "ada"},
            "actions": [{"action_id": "watchfire_silence", "value": key}],
        });
        let encoded: String = payload.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let body = format!("payload={encoded}");
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs().to_string();
        let path = "/api/watchfire/v1/slack/interactive";
        for (secret, time, expected) in
            // The last one is sent again.
            [
                ("wrong", time.as_str(), 401),
                ("shh-1234", "1", 401),
                ("shh-1234", &time, 200),
                ("shh-1234", &time, 200),
            ]
        {
            let signature = format!("v0={}", hmac(secret, &format!("v0:{time}:{body}")));
            let headers = [("x-slack-request-timestamp", time), ("x-slack-signature", &signature)];
            let answer = engine.post(path, &headers, body.clone()).await?;
            ensure!(answer.status() == expected, "{secret} {time}: {}", answer.status());
        }
        let silences = engine.get("/api/v2/silences").await?;
        ensure!(silences.as_array().is_some_and(|silences| silences.len() == 1), "{silences}");
        ensure!(silences[0]["createdBy"] == "ada (Slack)", "{silences}");
        ensure!(silences[0]["matchers"][0]["value"] == "system_down", "{silences}");
        Ok(())
    })
}

fn unsigned() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let more = "  pagerduty_configs: [{routing_key: k, webhook_secret: whsec-1234}]\n";
        let engine = Engine::start(&[("watchfire.yml", &config(&sink, more))]).await?;
        // None of these bodies is ever sent.
        for (what, path, headers, length, expected) in [
            ("without a signature", "pagerduty/webhook", "", 9, 401),
            ("larger than any", "pagerduty/webhook", "x-pagerduty-signature: v1=00\r\n", 300_000, 413),
            ("without a secret", "slack/interactive", "x-slack-signature: v0=00\r\n", 9, 401),
        ] {
            let head = format!(
                "POST /api/watchfire/v1/{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n"
            );
            let status = engine.status_of(&head).await?;
            ensure!(status == expected, "{what}: {status}");
        }
        Ok(())
    })
}

/// A form as a browser sends it.
async fn submit(engine: &Engine, path: &str, fields: &[(&str, &str)]) -> Result<String> {
    let request = client()?.post(engine.url(path)).form(fields);
    let answer = request.send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status.is_success(), "{path}: {status}: {text}");
    Ok(text)
}

fn pages() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let engine = Engine::start(&[("watchfire.yml", &config(&sink, ""))]).await?;
        let shown = engine.text("/receivers").await?;
        ensure!(shown.contains("not tried") && shown.contains("no integrations"), "{shown}");
        let shown = engine.text("/receivers/preview?receiver=hook").await?;
        ensure!(shown.contains("What hook would get") && shown.contains("WatchfireTest"), "{shown}");
        ensure!(sink.received().is_empty(), "a preview sends nothing");
        let shown = submit(&engine, "/receivers/test", &[("receiver", "hook")]).await?;
        ensure!(shown.contains("A test of hook") && shown.contains("Answer: 200 ok"), "{shown}");
        ensure!(sink.received().len() == 1, "it was sent");
        let listed = engine.get("/api/watchfire/v1/deliveries").await?;
        let number = listed["deliveries"][0]["number"].as_u64().context("it has a number")?;
        let shown = submit(&engine, &format!("/notifications/{number}/again"), &[]).await?;
        ensure!(sink.received().len() == 2 && shown.contains("/again\""), "{shown}");
        ensure!(!shown.contains("sesame-1234"), "{shown}");

        let (_, sent) =
            post(&engine, "/v1/alerting/send", &json!({"event_type": "system_down", "title": "Down"})).await?;
        eventually("the page says what was sent", async || {
            let shown = engine.text("/notifications").await?;
            Ok((shown.matches("system_down").count() > 2 && shown.contains(", 1 firing")).then_some(()))
        })
        .await?;
        let path = format!("/alerts/{}", sent["fingerprint"].as_str().context("a fingerprint")?);
        let shown = submit(&engine, &path, &[("action", "acknowledge"), ("by", "Ada"), ("comment", "on it")]).await?;
        ensure!(shown.contains("acknowledged by Ada: on it") && shown.contains("Take back"), "{shown}");
        let shown = submit(&engine, &path, &[("action", "snooze"), ("by", "Ada"), ("duration", "2h")]).await?;
        ensure!(shown.contains("snoozed by Ada until "), "{shown}");
        let shown = submit(&engine, &path, &[("action", "snooze"), ("by", "Ada"), ("duration", "soon")]).await?;
        ensure!(shown.contains("role=\"alert\""), "a mistake is told: {shown}");
        let shown = submit(&engine, &path, &[("action", "withdraw")]).await?;
        ensure!(!shown.contains("Take back") && shown.contains("/silences?matchers="), "{shown}");
        Ok(())
    })
}

/// Two alerts of which one is acknowledged in PagerDuty: only the other is told to the next receiver.
fn escalation() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "route: {{receiver: oncall, group_by: [alertname], group_wait: 0s, group_interval: 1s,\n  \
             escalation: [{{after: 3s, receiver: lead}}]}}\n\
             receivers:\n- name: oncall\n  webhook_configs: [{{url: '{0}/oncall'}}]\n  \
             pagerduty_configs: [{{url: '{0}/pagerduty', routing_key: {1}, webhook_secret: whsec-1234}}]\n\
             - {{name: lead, webhook_configs: [{{url: '{0}/lead'}}]}}\n",
            sink.url(""),
            "k".repeat(32)
        );
        let engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let told = |path: &str, name: &str| {
            let (path, name) = (path.to_owned(), name.to_owned());
            move |received: &[crate::support::Received]| {
                let one =
                    |one: &crate::support::Received| one.path == path && one.json["groupLabels"]["alertname"] == *name;
                received.iter().any(one)
            }
        };
        post(&engine, "/v1/alerting/send", &json!({"event_type": "system_down", "title": "Down"})).await?;
        let received =
            sink.until("PagerDuty is told", |received| received.iter().any(|one| one.path == "/pagerduty")).await?;
        let incident = received.iter().find(|one| one.path == "/pagerduty").context("it was told")?;
        let key = incident.json["dedup_key"].as_str().context("an incident has a key")?;
        let event = json!({"event": {"event_type": "incident.acknowledged", "agent": {"summary": "Ada"},
            "data": {"incident_key": key}}});
        let signature = format!("v1={}", hmac("whsec-1234", &event.to_string()));
        let path = "/api/watchfire/v1/pagerduty/webhook";
        let answer = engine.post(path, &[("x-pagerduty-signature", &signature)], event.to_string()).await?;
        ensure!(answer.status() == 204, "{}", answer.status());
        let shown = engine.text("/").await?;
        ensure!(shown.contains("acknowledged by Ada (PagerDuty)"), "{shown}");
        post(&engine, "/v1/alerting/send", &json!({"event_type": "high_latency", "title": "Slow"})).await?;
        let received = sink.until("the lead is told of the other", told("/lead", "high_latency")).await?;
        ensure!(!told("/lead", "system_down")(&received), "somebody looks after the first: {received:#?}");
        Ok(())
    })
}

/// The server cannot be reached, and the history shows what it would have got.
const MAIL: &str = "rules: {paths: [rules.yml]}\n\
                    route: {receiver: mail, group_by: [alertname], group_wait: 0s}\n\
                    receivers:\n- name: mail\n  email_configs:\n  - {to: a@example.org, from: w@example.org, \
                    smarthost: '127.0.0.1:9', require_tls: false}\n";

/// The engine's time in seconds.
async fn seconds(engine: &Engine) -> Result<i64> {
    let time = engine.get("/api/v1/query?query=time()").await?["data"]["result"][1].take();
    let seconds = time.as_str().and_then(|time| time.parse::<f64>().ok()).context("the time")?;
    Ok(seconds as i64)
}

/// A mail waits for no drawing: where its query fails, or while queries take all places, it goes without, and that is
/// counted.
fn no_trend() -> Result<()> {
    block_on(async {
        // Nobody is told, so that nothing but the previews draws, takes the one place and is counted.
        let untold = MAIL.replace("{receiver: mail,", "{receiver: nobody,");
        let config = format!("{untold}- name: nobody\nserver: {{limits: {{queries_max: 1}}}}\n");
        // Ten minutes ago the second one had no answer, since a factor was there twice.
        let rules = "groups: [{name: g, interval: 1s, rules: [{alert: Hot, expr: celsius > 70}, \
                     {alert: Scaled, expr: celsius * on () factor > 70}]}]\n";
        let engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", rules)]).await?;
        let now = seconds(&engine).await?;
        let before = (now - 600) * 1_000;
        let twice = format!("factor{{v=\"1\"}} 1 {before}\nfactor{{v=\"2\"}} 1 {before}\n");
        engine.push(&format!("celsius 80 {before}\n{twice}celsius 80\nfactor{{v=\"1\"}} 1\n")).await?;
        let alerts = eventually("the alerts are there", async || {
            let alerts = engine.get("/api/v2/alerts").await?;
            Ok(alerts.as_array().filter(|alerts| alerts.len() == 2).cloned())
        })
        .await?;
        let draws = async |name: &str| {
            let alert = alerts.iter().find(|alert| alert["labels"]["alertname"] == name).context("it fires")?;
            let alert = json!({"labels": alert["labels"], "generatorURL": alert["generatorURL"]});
            let wanted = json!({"receiver": "mail", "alerts": [alert]});
            let (status, shown) = post(&engine, "/api/watchfire/v1/receivers/preview", &wanted).await?;
            let body = shown["integrations"][0]["requests"][0]["body"].as_str().unwrap_or_default();
            ensure!(status == 200 && body.contains(name), "{status}: {shown}");
            Ok(body.contains("trouble > 70"))
        };
        let is_drawn = async || draws("Hot").await;
        ensure!(is_drawn().await?, "a place is free");
        let missing = async || engine.metric("watchfire_trends_missing_total").await;
        let before = missing().await?;
        ensure!(!draws("Scaled").await?, "its query fails");
        ensure!(missing().await? == before + 1.0, "what cannot be drawn is counted");
        let before = missing().await?;
        // More than a million points, each of them over a day of seconds.
        let url = engine.url("/api/v1/query?query=max_over_time(max_over_time(celsius[1d:1s])[150y:1h])");
        let query = tokio::spawn(client()?.get(url).timeout(Duration::from_secs(120)).send());
        let used = async || engine.metric("watchfire_engine_bound_used{bound=\"queries\"}").await;
        eventually("the query takes the place", async || Ok((used().await? == 1.0).then_some(()))).await?;
        ensure!(!is_drawn().await?, "there is no place");
        ensure!(missing().await? == before + 1.0, "what finds no place is counted");
        query.abort();
        eventually("the place is free again", async || Ok((used().await? == 0.0).then_some(()))).await?;
        ensure!(is_drawn().await?, "there is a place again");
        Ok(())
    })
}

fn trend() -> Result<()> {
    block_on(async {
        let rules = "groups: [{name: g, interval: 1s, rules: [{alert: Hot, expr: celsius > 70 and on () watched, \
                     labels: {severity: critical}}]}]\n";
        let engine = Engine::start(&[("watchfire.yml", MAIL), ("rules.yml", rules)]).await?;
        let now = seconds(&engine).await?;
        let sample = |minute: i64| {
            let at = (now - (20 - minute) * 60) * 1_000;
            format!("celsius{{room=\"1\"}} {} {at}\ncelsius{{room=\"2\"}} 20 {at}\n", 60 + minute)
        };
        engine.push(&((0..=20).map(sample).collect::<String>() + "watched 1\n")).await?;
        let body = eventually("a mail is tried", async || {
            let listed = engine.get("/api/watchfire/v1/deliveries").await?;
            let body = listed["deliveries"][0]["exchanges"][0]["request"]["body"].as_str().map(str::to_owned);
            Ok(body)
        })
        .await?;
        let body = body.replace("=\r\n", "").replace("=3D", "=");
        for part in ["60 to 80 \u{b7} the line: &gt; 70", "#cf1f46", "60 to 80, trouble > 70"] {
            let encoded = part.replace('\u{b7}', "=C2=B7");
            ensure!(body.contains(part) || body.contains(&encoded), "{part} is not in {body}");
        }
        Ok(())
    })
}
