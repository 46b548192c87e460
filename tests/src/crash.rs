//! Contract C5: accepted means durable. The engine is killed at random moments, and nothing may be missing or doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use watchfire_delivery::double::{MailServer, MailSettings};
use watchfire_model::{self as model, Timestamp};

use crate::Case;
use crate::support::{Engine, Random, Received, Sink, Tool, block_on, eventually};

pub(crate) const CASES: &[Case] = &[
    Case { name: "crash::c5_a_storm_survives_fifty_kills", needs: &[Tool::Binary], run: storm },
    Case { name: "crash::c5_pending_alerts_keep_their_age", needs: &[Tool::Binary], run: pending },
    Case { name: "crash::c5_what_is_kept_firing_ends_when_it_would_have", needs: &[Tool::Binary], run: kept },
    Case {
        name: "crash::c5_an_outage_of_hours_ends_and_forgets_nothing",
        needs: &[Tool::Binary, Tool::Faketime],
        run: outage,
    },
    Case { name: "crash::c5_every_retry_carries_the_same_key", needs: &[Tool::Binary], run: retries },
    Case {
        name: "crash::c5_who_has_a_mail_that_others_are_tried_for_gets_it_once",
        needs: &[Tool::Binary, Tool::Aiosmtpd],
        run: mails,
    },
    Case { name: "crash::c5_silences_survive", needs: &[Tool::Binary], run: silences },
    Case { name: "crash::c5_samples_and_events_survive", needs: &[Tool::Binary], run: data },
];

const KILLS: usize = 50;

fn storm() -> Result<()> {
    block_on(async {
        let mut random = Random::seeded("crash::storm");
        // Every seventh request fails once, so that retries are under way when the process dies.
        let sink = Sink::answering(|_, earlier| {
            let status = if earlier % 7 == 3 { 503 } else { 202 };
            (axum::http::StatusCode::from_u16(status).unwrap_or_default(), r#"{"status":"success"}"#.to_owned())
        })
        .await?;
        let config = format!(
            "route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}}\n\
             receivers:\n\
             - name: all\n\
             \x20 webhook_configs: [{{url: '{}'}}]\n\
             \x20 pagerduty_configs: [{{routing_key: 0123456789abcdef0123456789abcdef, url: '{}'}}]\n",
            sink.url("/webhook"),
            sink.url("/v2/enqueue"),
        );
        let mut engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let mut accepted = BTreeSet::new();
        let mut number = 0usize;
        for kill in 0..KILLS {
            if kill > 0 {
                engine.run(&[]).await?;
            }
            let moment = tokio::time::Instant::now() + Duration::from_millis(random.below(120));
            while tokio::time::Instant::now() < moment {
                let names: Vec<String> = (0..5).map(|i| format!("storm-{}", number + i)).collect();
                number += names.len();
                let alerts: Vec<_> = names
                    .iter()
                    .map(|name| json!({"labels": {"alertname": name, "severity": "critical"}, "endsAt": "2099-01-01T00:00:00Z"}))
                    .collect();
                let body = serde_json::to_vec(&alerts)?;
                let post = engine.post("/api/v2/alerts", &[("content-type", "application/json")], body);
                // The kill cuts a request off at any point: while it is read, decided, made durable or answered.
                match tokio::time::timeout_at(moment, post).await {
                    Ok(Ok(answer)) if answer.status().is_success() => accepted.extend(names),
                    Ok(_) | Err(_) => {}
                }
            }
            engine.kill()?;
        }
        engine.run(&[]).await?;
        ensure!(accepted.len() > KILLS, "only {} alerts were accepted; the storm was none", accepted.len());
        let delivered = sink
            .until("every accepted alert reaches both receivers", |received| {
                let (webhook, pagerduty) = (told(received, "/webhook"), told(received, "/v2/enqueue"));
                accepted.iter().all(|name| webhook.contains_key(name) && pagerduty.contains_key(name))
            })
            .await?;
        for (name, keys) in told(&delivered, "/v2/enqueue") {
            ensure!(keys.len() == 1, "{name} was sent to PagerDuty under {} keys: {keys:?}", keys.len());
        }
        println!("{} alerts accepted, {} requests received, {KILLS} kills", accepted.len(), delivered.len());
        Ok(())
    })
}

/// The alerts that were accepted at a path, with the deduplication keys under which they came.
fn told(received: &[Received], path: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in received.iter().filter(|one| one.path == path && one.status.is_success()) {
        match path {
            "/webhook" => {
                for alert in one.json["alerts"].as_array().into_iter().flatten() {
                    let name = alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned();
                    told.entry(name).or_default();
                }
            }
            _ => {
                let text = one.json.to_string();
                let key = one.json["dedup_key"].as_str().unwrap_or_default().to_owned();
                // The names are told apart by the whole word: storm-1 is not storm-11.
                for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
                    if word.starts_with("storm-") {
                        told.entry(word.to_owned()).or_default().insert(key.clone());
                    }
                }
            }
        }
    }
    told
}

fn pending() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nevaluation: {{interval: 1s}}\n\
             route: {{receiver: all, group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/webhook")
        );
        let rules = "groups: [{name: g, rules: [{alert: Slow, expr: latency > 1, for: 6s}]}]";
        let mut engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", rules)]).await?;
        let before = durable_records(&engine).await?;
        engine.push("latency 5\n").await?;
        let active_at = eventually("the alert is pending", async || pending_since(&engine).await).await?;
        // What nobody was told of yet may be shown a moment before it is durable.
        let is_durable = async || Ok((durable_records(&engine).await? > before).then_some(()));
        eventually("it is durable that the alert is pending", is_durable).await?;
        engine.kill()?;
        engine.run(&[]).await?;
        let after = eventually("it is pending or firing after the kill", async || {
            engine.push("latency 5\n").await?;
            pending_since(&engine).await
        })
        .await?;
        ensure!(after == active_at, "it was active since {active_at}, after the kill since {after}");
        let received = sink.until("it fires", |received| !received.is_empty()).await?;
        let waited = time(&received[0].json["alerts"][0]["startsAt"])?.since(Timestamp::parse_rfc3339(&active_at)?);
        ensure!(waited >= model::Duration::from_secs(6), "it fired {waited} after it became active");
        Ok(())
    })
}

/// How many records of the state machine have been made durable.
async fn durable_records(engine: &Engine) -> Result<u64> {
    let metrics = engine.text("/metrics").await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("watchfire_store_records_total "));
    Ok(line.context("the metric is there")?.trim().parse()?)
}

/// What followed from the last evaluations is durable when something later is.
async fn make_durable(engine: &Engine) -> Result<()> {
    let silence = json!({
        "matchers": [{"name": "nothing", "value": "has this", "isRegex": false, "isEqual": true}],
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "test", "comment": "c",
    });
    engine.post_ok("/api/v2/silences", "application/json", serde_json::to_vec(&silence)?).await?;
    Ok(())
}

/// When the first alert became active, if there is one.
async fn pending_since(engine: &Engine) -> Result<Option<String>> {
    first_alert(engine, "activeAt").await
}

/// A text of the first alert of the first rule.
async fn first_alert(engine: &Engine, key: &str) -> Result<Option<String>> {
    let rules = engine.get("/api/v1/rules").await?;
    let alert = &rules["data"]["groups"][0]["rules"][0]["alerts"][0];
    Ok(alert[key].as_str().map(str::to_owned))
}

fn time(text: &serde_json::Value) -> Result<Timestamp> {
    Ok(Timestamp::parse_rfc3339(text.as_str().context("a time is a text")?)?)
}

fn kept() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nevaluation: {{interval: 1s}}\n\
             route: {{receiver: all, group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/webhook")
        );
        let rules = "groups: [{name: g, rules: [{alert: Slow, expr: latency > 1, keep_firing_for: 5s}]}]";
        let mut engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", rules)]).await?;
        engine.push("latency 5\n").await?;
        sink.until("it fires", |received| !received.is_empty()).await?;
        engine.push("latency 0\n").await?;
        let since = async || first_alert(&engine, "keepFiringSince").await;
        let before = eventually("it is kept firing", since).await?;
        make_durable(&engine).await?;
        engine.kill()?;
        engine.run(&[]).await?;
        // After a pause that is longer than `keep_firing_for` it may end at the first evaluation.
        if let Some(after) = first_alert(&engine, "keepFiringSince").await? {
            ensure!(after == before, "it was kept since {before}, after the kill since {after}");
        }
        let received =
            sink.until("it ends", |received| received.iter().any(|one| one.json["status"] == "resolved")).await?;
        let told: Vec<&str> = received.iter().filter_map(|one| one.json["status"].as_str()).collect();
        ensure!(told == ["firing", "resolved"], "the kill was told as {told:?}");
        let last = received.last().context("something was told")?;
        let kept = time(&last.json["alerts"][0]["endsAt"])?.since(Timestamp::parse_rfc3339(&before)?);
        ensure!(kept >= model::Duration::from_secs(5), "it was kept for {kept}");
        Ok(())
    })
}

/// The engine is killed, and when it starts again its clock says that five hours have passed.
fn outage() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nevaluation: {{interval: 1s}}\n\
             route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1w}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/webhook")
        );
        let rules = "groups: [{name: g, rules: [{alert: Waits, expr: waits > 1, for: 4h}, \
                     {alert: Fires, expr: fires > 1}, {alert: Kept, expr: kept > 1, keep_firing_for: 4h}]}]";
        let mut engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", rules)]).await?;
        engine.push("waits 5\nfires 5\nkept 5\n").await?;
        let told = |received: &[Received], status: &str| {
            let with = received.iter().filter(|one| one.json["status"] == status);
            let names = with.filter_map(|one| one.json["alerts"][0]["labels"]["alertname"].as_str().map(str::to_owned));
            names.collect::<BTreeSet<String>>()
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
        sink.until("two fire", |received| told(received, "firing") == names(&["Fires", "Kept"])).await?;
        engine.push("kept 0\n").await?;
        let states = async || -> Result<BTreeMap<String, String>> {
            let alerts = engine.get("/api/v1/alerts").await?;
            let alerts = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            Ok(alerts.iter().map(|alert| (text(&alert["labels"]["alertname"]), text(&alert["state"]))).collect())
        };
        eventually("one waits and one is kept", async || {
            let rules = engine.get("/api/v1/rules").await?.to_string();
            Ok((states().await?.len() == 3 && rules.contains("keepFiringSince")).then_some(()))
        })
        .await?;
        let records = durable_records(&engine).await?;
        // Whatever followed from the last evaluations is durable when something later is.
        engine.post_ok("/api/v2/alerts", "application/json", r#"[{"labels": {"alertname": "Later"}}]"#).await?;
        ensure!(durable_records(&engine).await? > records, "what is accepted is durable");
        engine.kill()?;
        engine.set_clock_ahead("+5h");
        engine.run(&[]).await?;
        // The data come back later than the first evaluations, which end nothing.
        let rules = eventually("all rules are evaluated", async || {
            let rules = engine.get("/api/v1/rules").await?["data"]["groups"][0]["rules"].clone();
            let evaluated = |rule: &serde_json::Value| rule["lastEvaluation"] != "0001-01-01T00:00:00Z";
            Ok(rules.as_array().is_some_and(|rules| rules.iter().all(evaluated)).then_some(rules))
        })
        .await?;
        let states: Vec<_> = (0..3).map(|rule| rules[rule]["state"].clone()).collect();
        // What was kept was over before the outage, and has been for longer than it was to be kept.
        ensure!(states == ["pending", "firing", "inactive"], "the outage ended something: {rules:#}");
        engine.push("waits 5\nfires 5\nkept 0\n").await?;
        sink.until("what was kept for long enough ends", |received| told(received, "resolved").contains("Kept"))
            .await?;
        let received = sink.until("what waits fires", |received| told(received, "firing").contains("Waits")).await?;
        ensure!(!told(&received, "resolved").contains("Fires"), "the outage resolved what fires: {received:#?}");
        let times = received.iter().filter(|one| one.json["alerts"][0]["labels"]["alertname"] == "Fires").count();
        ensure!(times == 1, "what fires was told {times} times");
        Ok(())
    })
}

fn retries() -> Result<()> {
    block_on(async {
        // Two failures, a kill between them, then success: four attempts at most, one key.
        let sink = Sink::answering(|_, earlier| {
            let status = if earlier < 2 { 503 } else { 200 };
            (axum::http::StatusCode::from_u16(status).unwrap_or_default(), "later".to_owned())
        })
        .await?;
        let config = format!(
            "route: {{receiver: all, group_wait: 0s, group_interval: 1h}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/webhook")
        );
        let mut engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let alert = json!([{"labels": {"alertname": "A"}, "endsAt": "2099-01-01T00:00:00Z"}]);
        engine.post_ok("/api/v2/alerts", "application/json", serde_json::to_vec(&alert)?).await?;
        sink.until("the first attempt fails", |received| !received.is_empty()).await?;
        engine.kill()?;
        engine.run(&[]).await?;
        let received = sink.until("it is delivered", |received| received.iter().any(|one| one.status == 200)).await?;
        let key = |one: &Received| one.headers.get("idempotency-key")?.to_str().ok().map(str::to_owned);
        let keys: BTreeSet<Option<String>> = received.iter().map(key).collect();
        ensure!(keys.len() == 1 && !keys.contains(&None), "{keys:?}");
        Ok(())
    })
}

fn mails() -> Result<()> {
    block_on(async {
        let server = MailServer::start(MailSettings { plain: true, ..MailSettings::default() });
        let server = server.map_err(anyhow::Error::msg)?;
        let config = format!(
            "global: {{smtp_smarthost: '127.0.0.1:{}', smtp_from: watchfire@example.org, smtp_require_tls: false}}\n\
             route: {{receiver: all, group_wait: 0s, group_interval: 1s}}\n\
             receivers:\n\
             - name: all\n\
             \x20 email_configs: [{{to: 'first@example.org, later@example.org', send_resolved: true}}]\n",
            server.port()
        );
        let mut engine = Engine::start(&[("watchfire.yml", &config)]).await?;
        let alert = |ends: &str| {
            let starts = "2019-01-01T00:00:00Z";
            json!([{"labels": {"alertname": "A"}, "startsAt": starts, "endsAt": ends}]).to_string()
        };
        engine.post_ok("/api/v2/alerts", "application/json", alert("2099-01-01T00:00:00Z")).await?;
        let first = server.next_mail().map_err(anyhow::Error::msg)?;
        ensure!(first.to == ["first@example.org"] && first.subject.contains("FIRING"), "{first:?}");
        let tried = async |engine: &Engine, times: f64| {
            eventually("the other is tried again", async || {
                let name =
                    "watchfire_notification_attempts_total{receiver=\"all\",integration=\"email\",outcome=\"retry\",reason=\"other\"}";
                Ok((engine.metric(name).await.unwrap_or_default() >= times).then_some(()))
            })
            .await
        };
        // The second attempt follows what the first one led to, which is durable then.
        tried(&engine, 2.0).await?;
        engine.kill()?;
        engine.run(&[]).await?;
        tried(&engine, 1.0).await?;
        engine.post_ok("/api/v2/alerts", "application/json", alert("2020-01-01T00:00:00Z")).await?;
        let next = server.next_mail().map_err(anyhow::Error::msg)?;
        ensure!(next.to == ["first@example.org"] && next.subject.contains("RESOLVED"), "and no mail between: {next:?}");
        Ok(())
    })
}

fn silences() -> Result<()> {
    block_on(async {
        let config = "route: {receiver: none}\nreceivers: [{name: none}]\n";
        let mut engine = Engine::start(&[("watchfire.yml", config)]).await?;
        for round in 0..10 {
            let silence = json!({
                "matchers": [{"name": "round", "value": round.to_string(), "isRegex": false, "isEqual": true}],
                "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "test", "comment": "c",
            });
            engine.post_ok("/api/v2/silences", "application/json", serde_json::to_vec(&silence)?).await?;
            engine.kill()?;
            engine.run(&[]).await?;
            let silences = engine.get("/api/v2/silences").await?;
            let count = silences.as_array().map_or(0, Vec::len);
            ensure!(count == round + 1, "after {} kills there are {count} silences", round + 1);
        }
        Ok(())
    })
}

fn data() -> Result<()> {
    block_on(async {
        let sink = Sink::start().await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\nevaluation: {{interval: 1s, keep_unread: true}}\n\
             route: {{receiver: all, group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/webhook")
        );
        let rules = "groups: [{name: g, rules: [{alert: Guessing, events: {match: {type: login_failed}, by: [user], \
                     count: {over: 5m, op: '>=', value: 3}}}]}]";
        let mut engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", rules)]).await?;
        engine.push("kept{a=\"b\"} 42\n").await?;
        let event = |n: usize| format!("{{\"type\":\"login_failed\",\"id\":\"{n}\",\"user\":\"root\"}}\n");
        engine.post_ok("/api/v1/events", "application/x-ndjson", event(1) + &event(2)).await?;
        engine.kill()?;
        engine.run(&[]).await?;
        let answer = engine.get("/api/v1/query?query=kept").await?;
        ensure!(answer["data"]["result"][0]["value"][1] == "42", "the sample is gone: {answer}");
        ensure!(sink.received().is_empty(), "two events must not raise the alert");
        // The third event completes the count only if the first two were kept.
        engine.post_ok("/api/v1/events", "application/x-ndjson", event(3)).await?;
        let received = sink.until("the count is complete", |received| !received.is_empty()).await?;
        ensure!(received[0].json["alerts"][0]["labels"]["user"] == "root", "{:?}", received[0].json);
        Ok(())
    })
}
