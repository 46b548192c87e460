//! Contract C4: "why was I paged, why wasn't I" is answered by one call, in one sentence and with the chain behind it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Case;
use crate::support::{Engine, Sink, Tool, block_on, eventually};

pub(crate) const CASES: &[Case] =
    &[Case { name: "contracts::c4_every_reason_why_not_is_told", needs: &[Tool::Binary], run: reasons }];

const RULES: &str = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {alert: Waits, expr: load > 10, for: 1h}\n  \
                     - {alert: Never, expr: load > 1000}\n  - {alert: Broken, expr: load > on (x) group_left load}\n";

/// Alerts from outside by name; `kind` is what happens to them.
const ALERTS: [(&str, &str, &str); 14] = [
    ("Source", "plain", "critical"),
    ("Told", "plain", "critical"),
    ("Inhibited", "inhibited", "critical"),
    ("Silenced", "plain", "critical"),
    ("Muted", "muted", "critical"),
    ("Limited", "limited", "warning"),
    ("Down", "down", "critical"),
    ("Nobody", "nobody", "critical"),
    ("Refused", "refused", "critical"),
    ("Acknowledged", "plain", "critical"),
    ("Two", "two", "critical"),
    ("Outside", "outside", "critical"),
    ("Pair", "pair", "critical"),
    ("Shared", "shared", "critical"),
];

/// Those that another one of the same name joins later; the first of each is told before.
const JOINED: [&str; 2] = ["Limited", "Shared"];

fn reasons() -> Result<()> {
    block_on(async {
        let sink = Sink::answering(|one, _| match one.path.as_str() {
            "/refuses" => (axum::http::StatusCode::BAD_REQUEST, "no such channel".to_owned()),
            "/repair-shop" => (axum::http::StatusCode::SERVICE_UNAVAILABLE, "closed".to_owned()),
            _ => (axum::http::StatusCode::OK, "ok".to_owned()),
        })
        .await?;
        let config = format!(
            "rules: {{paths: [rules.yml]}}\n\
             route: {{receiver: all, group_by: [alertname, instance], group_wait: 0s, group_interval: 1s, routes: [\n\
             {{matchers: ['kind=\"muted\"'], receiver: all, mute_time_intervals: [always]}},\n\
             {{matchers: ['kind=\"limited\"'], receiver: all, rate_limit: {{warning: 1h}}}},\n\
             {{matchers: ['kind=\"down\"'], receiver: down}},\n\
             {{matchers: ['kind=\"refused\"'], receiver: refuses}},\n\
             {{matchers: ['kind=\"two\"'], receiver: nights, mute_time_intervals: [always], continue: true}},\n\
             {{matchers: ['kind=\"two\"'], receiver: all}},\n\
             {{matchers: ['kind=\"outside\"'], receiver: all, active_time_intervals: [never]}},\n\
             {{matchers: ['kind=\"pair\"'], receiver: pair}},\n\
             {{matchers: ['kind=\"shared\"'], receiver: all, group_by: [alertname], escalation: [{{after: 1h, receiver: lead}}]}},\n\
             {{matchers: ['kind=\"nobody\"'], receiver: nobody}}]}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{all}'}}]}}, {{name: nobody}},\n\
             {{name: nights, webhook_configs: [{{url: '{all}'}}]}}, {{name: lead, webhook_configs: [{{url: '{all}'}}]}},\n\
             {{name: down, webhook_configs: [{{url: '{down}'}}]}},\n\
             {{name: pair, webhook_configs: [{{url: '{all}'}}, {{url: '{down}'}}]}},\n\
             {{name: refuses, webhook_configs: [{{url: '{refuses}'}}]}}]\n\
             inhibit_rules: [{{source_matchers: ['alertname=\"Source\"'], target_matchers: ['kind=\"inhibited\"']}}]\n\
             time_intervals: [{{name: always, time_intervals: [{{times: [{{start_time: '00:00', end_time: '24:00'}}]}}]}},\n\
             {{name: never, time_intervals: [{{years: ['2000']}}]}}]\n",
            all = sink.url("/all"),
            down = sink.url("/repair-shop"),
            refuses = sink.url("/refuses"),
        );
        let mut engine = Engine::start(&[("watchfire.yml", &config), ("rules.yml", RULES)]).await?;
        engine.push("load{host=\"a\"} 50\nload{host=\"b\"} 50\n").await?;
        let silence = json!({
            "matchers": [{"name": "alertname", "value": "Silenced", "isRegex": false}],
            "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "Ada", "comment": "c4",
        });
        engine.post_ok("/api/v2/silences", "application/json", silence.to_string()).await?;
        let alert = |(name, kind, severity): (&str, &str, &str), instance: &str| json!({"labels": {"alertname": name, "kind": kind, "severity": severity, "instance": instance}});
        let alerts: Vec<Value> = ALERTS.iter().map(|one| alert(*one, "a")).collect();
        engine.post_ok("/api/v2/alerts", "application/json", json!(alerts).to_string()).await?;
        // Somebody looks after these; the group of the second is joined by one that nobody looks after.
        for name in ["Acknowledged", "Shared"] {
            let known = engine.get(&format!("/api/v2/alerts?filter=alertname%3D%22{name}%22")).await?;
            let acknowledge = json!({"fingerprint": known[0]["fingerprint"], "by": "Ada"}).to_string();
            engine.post_ok("/api/watchfire/v1/acknowledgements", "application/json", acknowledge).await?;
        }
        // A similar one after the first was told is held back.
        let told = |name: &str| sink.received().iter().any(|one| one.json["commonLabels"]["alertname"] == name);
        eventually("the first of each is told", async || Ok(JOINED.iter().all(|name| told(name)).then_some(())))
            .await?;
        let joined = ALERTS.iter().filter(|(name, ..)| JOINED.contains(name)).map(|one| alert(*one, "b"));
        let joined = json!(joined.collect::<Vec<_>>()).to_string();
        engine.post_ok("/api/v2/alerts", "application/json", joined).await?;

        let of = |name: &str, instance: &str| {
            let (_, kind, severity) = ALERTS.iter().find(|(known, ..)| *known == name).copied().unwrap_or_default();
            let labels = [("alertname", name), ("kind", kind), ("severity", severity), ("instance", instance)];
            labels.map(|(name, value)| format!("label={name}%3D{value}")).join("&")
        };
        let rule = |name: &str| format!("label=alertname%3D{name}&label=host%3Da");
        // What is asked, what the sentence says, what the history holds.
        let questions: [(String, &str, &[&str]); 22] = [
            (of("Told", "a"), "it fires; all: ", &["received", "first_notification", "delivered"]),
            // Some of the labels are enough where only one alert has them.
            ("label=alertname%3DTold".to_owned(), "it fires; all: ", &["delivered"]),
            ("label=alertname%3DLimited".to_owned(), "with just these labels; 2 of that name are known", &[]),
            (rule("Unheard"), "no rule raises an alert named \"Unheard\"", &[]),
            (rule("Never"), "the expression of its rule had no result", &[]),
            (rule("Broken"), "the evaluation of its rule failed", &[]),
            (rule("Waits"), "not yet for as long as `for` says", &["pending"]),
            (of("Silenced", "a"), " (c4, Ada)", &["silenced"]),
            (of("Inhibited", "a"), " (Source)", &["inhibited"]),
            (of("Muted", "a"), "not told: muted by the interval always", &["muted"]),
            (of("Limited", "b"), "told of a similar alert, so it is held back until", &["rate_limited"]),
            (of("Down", "a"), "it fires; down: attempt ", &["first_notification"]),
            (of("Refused", "a"), "no such channel", &["rejected"]),
            (of("Nobody", "a"), "has no integrations", &["no_integration"]),
            (of("Acknowledged", "a"), "; Ada looks after it, so it is not repeated", &["delivered", "acknowledged"]),
            (of("Two", "a"), "it fires; all: delivered", &["delivered", "muted"]),
            (of("Two", "a"), "; nights: not told, muted by the interval always", &["delivered", "muted"]),
            (of("Outside", "a"), "not told: outside the interval never", &["outside_active_intervals"]),
            (of("Pair", "a"), "it fires; pair/webhook[0]: delivered", &["delivered"]),
            (of("Pair", "a"), "; pair/webhook[1]: attempt ", &["delivered"]),
            (
                of("Shared", "a"),
                "nobody after all of its group, so all is told of it again with the others",
                &["delivered"],
            ),
            (of("Shared", "a"), ", and lead is told too at ", &[]),
        ];
        for (question, verdict, history) in &questions {
            answered(&engine, question, verdict, history).await?;
        }
        let pair = engine.get(&format!("/api/watchfire/v1/explain?{}", of("Pair", "a"))).await?;
        let mut lines = pair["history"].as_array().into_iter().flatten();
        ensure!(lines.any(|line| line["what"] == "delivered" && line["to"] == "pair/webhook[0]"), "{pair:#}");

        // What was decided a moment before a restart is told after it.
        let refused = format!("/api/watchfire/v1/explain?{}", of("Refused", "a"));
        let before = engine.get(&refused).await?["history"].take();
        engine.signal("TERM")?;
        ensure!(engine.ended().await?, "the engine did not end well");
        engine.run(&[]).await?;
        let after = engine.get(&refused).await?["history"].take();
        let (before, after) = (before.as_array().cloned(), after.as_array().cloned());
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        ensure!(!before.is_empty() && after.starts_with(&before), "{before:#?}\n{after:#?}");

        // Of what was told a moment before it is killed the history may be lost, and is not needed for the answer.
        let late = json!([{"labels": {"alertname": "Late"}}]).to_string();
        engine.post_ok("/api/v2/alerts", "application/json", late).await?;
        let (question, delivered) = ("label=alertname%3DLate", "it fires; all: delivered");
        answered(&engine, question, delivered, &["delivered"]).await?;
        engine.kill()?;
        engine.run(&[]).await?;
        answered(&engine, question, delivered, &[]).await?;
        answered(&engine, question, "; if nothing changes it is repeated at ", &[]).await
    })
}

/// Waits until a question is answered by a sentence and a history that hold these words.
async fn answered(engine: &Engine, question: &str, verdict: &str, history: &[&str]) -> Result<()> {
    let mut last = Value::Null;
    let what = format!("{question}: {verdict}, {history:?}");
    let found = eventually(&what, async || {
        last = engine.get(&format!("/api/watchfire/v1/explain?{question}")).await?;
        let lines = last["history"].as_array().into_iter().flatten();
        let words: Vec<&str> = lines.filter_map(|line| line["what"].as_str()).collect();
        let whole = history.iter().all(|word| words.contains(word));
        let said = last["verdict"].as_str().is_some_and(|text| text.contains(verdict));
        Ok((whole && said).then_some(()))
    });
    let found = found.await;
    found.map_err(|error| error.context(format!("{last:#}")))
}
