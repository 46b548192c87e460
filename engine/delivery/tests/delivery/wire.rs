//! The same bytes as Alertmanager's, judged by captures of it.

use serde_json::Value;
use watchfire_delivery::{Notification, pagerduty, slack, webhook};
use watchfire_model::{Alert, AlertStatus, Labels, Timestamp};
use watchfire_plugin::AlertView;

/// The notification that a captured webhook body is about.
fn notification(body: &Value) -> Notification {
    let labels = |value: &Value| -> Labels {
        value.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let views = body["alerts"].as_array().unwrap().iter().map(|alert| {
        let firing = alert["status"] == "firing";
        let ends_at = (!firing).then(|| Timestamp::parse_rfc3339(alert["endsAt"].as_str().unwrap()).unwrap());
        let annotations = alert["annotations"].as_object().unwrap().iter();
        let alert = Alert {
            labels: labels(&alert["labels"]),
            annotations: annotations.map(|(k, v)| (k.clone(), text(v))).collect(),
            starts_at: Timestamp::parse_rfc3339(alert["startsAt"].as_str().unwrap()).unwrap(),
            ends_at,
            updated_at: Timestamp::EPOCH,
            timeout: false,
            generator_url: text(&alert["generatorURL"]).into(),
            value: None,
        };
        let severity = alert.labels.get("severity").and_then(|text| text.parse().ok()).unwrap_or_default();
        AlertView { alert, status: if firing { AlertStatus::Firing } else { AlertStatus::Resolved }, severity }
    });
    let (receiver, key) = (text(&body["receiver"]), text(&body["groupKey"]));
    let mut notification = Notification::new(&receiver, &key, labels(&body["groupLabels"]), views.collect());
    notification.external_url = text(&body["externalURL"]);
    notification
}

fn captures(test: &str, path: &str) -> Vec<(f64, String)> {
    let Some(data) = super::data::json(test, "wire-captures/alertmanager-0.25.json") else {
        return Vec::new();
    };
    let captures = data["captures"].as_array().unwrap().iter().filter(|capture| capture["path"] == path);
    captures.map(|c| (c["t"].as_f64().unwrap(), c["body"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_webhook_gets_the_bytes_that_alertmanager_sends() {
    let captures = captures("a_webhook_gets_the_bytes_that_alertmanager_sends", "/hook");
    // Watchfire counts milliseconds; Alertmanager's own clock, where it made up a start, nanoseconds.
    let nanos = regex::Regex::new(r"(\.\d{3})\d+Z").unwrap();
    // These two came with 0.34.
    let newer = regex::Regex::new(r#""(notification_reason":"[^"]*"|routeLabels":\{\}),"#).unwrap();
    for (_, body) in &captures {
        let notification = notification(&serde_json::from_str(body).unwrap());
        let fields = webhook::Fields { url: "http://127.0.0.1/hook".to_owned(), ..Default::default() };
        let request = webhook::build(&fields, &notification, None).unwrap();
        let sent = String::from_utf8(request.body).unwrap();
        assert_eq!(newer.find_iter(&sent).count(), 2, "{sent}");
        assert_eq!(newer.replace_all(&sent, ""), nanos.replace_all(body, "${1}Z"));
    }
}

#[test]
fn pagerduty_gets_the_event_that_alertmanager_sends_and_more_links() {
    let test = "pagerduty_gets_the_event_that_alertmanager_sends_and_more_links";
    let hooks = captures(test, "/hook");
    for (time, body) in if hooks.is_empty() { Vec::new() } else { captures(test, "/pd") } {
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        // The group's newest webhook so far says what the alerts were.
        let earlier = hooks.iter().rev().filter(|(t, _)| *t < time + 0.5);
        let mut candidates = earlier.map(|(_, hook)| notification(&serde_json::from_str(hook).unwrap()));
        let notification = candidates.find(|n| n.group_hash() == expected["dedup_key"]).unwrap();
        let text = |pointer: &str| Some(expected.pointer(pointer).unwrap().as_str().unwrap().to_owned());
        let fields = pagerduty::Fields {
            routing_key: "0123456789abcdef0123456789abcdef".to_owned(),
            // Alertmanager's own template picked one alert's summary; here it is what the template gave, uncut.
            description: notification.alerts.iter().find_map(|view| {
                let summary = view.alert.annotations.get("summary")?;
                let cut: String = summary.chars().take(1000).collect();
                text("/payload/summary")?.starts_with(&cut).then(|| summary.to_owned())
            }),
            severity: text("/payload/severity"),
            source: text("/payload/source"),
            client: text("/client"),
            details: vec![("extra".to_owned(), expected["payload"]["custom_details"]["extra"].clone())],
            links: vec![pagerduty::Link { href: "http://rb/x".to_owned(), text: "runbook".to_owned() }],
            ..Default::default()
        };
        let request = pagerduty::build(&fields, &notification, None).unwrap();
        let mut event: Value = serde_json::from_slice(&request.body).unwrap();
        event["payload"].as_object_mut().unwrap().remove("timestamp");
        // Alertmanager sends an empty summary where its template gives one, and PagerDuty refuses the event.
        if expected["payload"]["summary"] == "" {
            event["payload"]["summary"] = "".into();
        }
        event["links"].as_array_mut().unwrap().truncate(1);
        // Alertmanager 0.34 sends lists and numbers where this one sent texts.
        let mut take = |name: &str| {
            let details = |event: &mut Value| event["payload"]["custom_details"].as_object_mut().unwrap().remove(name);
            (details(&mut event).unwrap(), details(&mut expected).unwrap().as_str().unwrap().to_owned())
        };
        for name in ["firing", "resolved"] {
            let (sent, text) = take(name);
            assert_eq!(sent.as_array().unwrap().len(), text.matches("Labels:").count(), "{name} at {time} s");
        }
        for name in ["num_firing", "num_resolved"] {
            let (sent, text) = take(name);
            assert_eq!(sent.to_string(), text, "{name} at {time} s");
        }
        assert_eq!(event, expected, "at {time} s");
    }
}

#[test]
fn slack_gets_the_attachment_that_alertmanager_sends() {
    for (_, body) in captures("slack_gets_the_attachment_that_alertmanager_sends", "/slack") {
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        let attachment = &mut expected["attachments"][0];
        // Alertmanager leaves an empty value out, which Slack's reference does not allow.
        attachment["fields"][0].as_object_mut().unwrap().entry("value").or_insert("".into());
        let text = |name: &str| attachment[name].as_str().unwrap().to_owned();
        let inner = |object: &Value, name: &str| object[name].as_str().unwrap().to_owned();
        let (field, action) = (&attachment["fields"][0], &attachment["actions"][0]);
        let fields = slack::Fields {
            url: "http://127.0.0.1/slack".to_owned(),
            channel: "#alerts".to_owned(),
            username: "Alertmanager".to_owned(),
            color: text("color"),
            classic: Some(slack::Classic {
                title: text("title"),
                title_link: text("title_link"),
                text: text("text"),
                fallback: text("fallback"),
                fields: vec![slack::Field { title: inner(field, "title"), value: inner(field, "value"), short: true }],
                actions: vec![slack::Action {
                    kind: inner(action, "type"),
                    text: inner(action, "text"),
                    url: inner(action, "url"),
                    ..Default::default()
                }],
                mrkdwn_in: ["fallback", "pretext", "text"].map(str::to_owned).to_vec(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = slack::build(&fields, &super::samples::pair(), None).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
    }
}
