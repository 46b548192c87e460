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
const ALERTS: [(&str, &str, &str); 10] = [
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
];

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
             {{matchers: ['kind=\"nobody\"'], receiver: nobody}}]}}\n\
             receivers: [{{name: all, webhook_configs: [{{url: '{}'}}]}}, {{name: nobody}},\n\
             {{name: down, webhook_configs: [{{url: '{}'}}]}},\n\
             {{name: refuses, webhook_configs: [{{url: '{}'}}]}}]\n\
             inhibit_rules: [{{source_matchers: ['alertname=\"Source\"'], target_matchers: ['kind=\"inhibited\"']}}]\n\
             time_intervals: [{{name: always, time_intervals: [{{times: [{{start_time: '00:00', end_time: '24:00'}}]}}]}}]\n",
            sink.url("/all"),
            sink.url("/repair-shop"),
            sink.url("/refuses"),
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
        // A similar one after the first was told is held back.
        let told = |name: &str| sink.received().iter().any(|one| one.json["commonLabels"]["alertname"] == name);
        eventually("the first similar alert is told", async || Ok(told("Limited").then_some(()))).await?;
        let similar = json!([alert(ALERTS[5], "b")]);
        engine.post_ok("/api/v2/alerts", "application/json", similar.to_string()).await?;

        let known = engine.get("/api/v2/alerts?filter=alertname%3D%22Acknowledged%22").await?;
        let acknowledge = json!({"fingerprint": known[0]["fingerprint"], "by": "Ada"}).to_string();
        engine.post_ok("/api/watchfire/v1/acknowledgements", "application/json", acknowledge).await?;

        let of = |name: &str, instance: &str| {
            let (_, kind, severity) = ALERTS.iter().find(|(known, ..)| *known == name).copied().unwrap_or_default();
            let labels = [("alertname", name), ("kind", kind), ("severity", severity), ("instance", instance)];
            labels.map(|(name, value)| format!("label={name}%3D{value}")).join("&")
        };
        let rule = |name: &str| format!("label=alertname%3D{name}&label=host%3Da");
        // What is asked, what the sentence says, what the history holds.
        let questions: [(String, &str, &[&str]); 15] = [
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
        ];
        for (question, verdict, history) in questions {
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
            found.map_err(|error| error.context(format!("{last:#}")))?;
        }

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
        Ok(())
    })
}
