//! The card as a reader gets it, and Slack's limits against groups that try to pass them.

use serde_json::{Value, json};

use super::*;
use watchfire_sdk::testing::{alert, open_formatter};

const AT: i64 = 1_795_176_000_000;

fn group(alerts: Vec<Alert>) -> Group {
    Group {
        at_ms: AT,
        key: "{}:{alertname=\"HighErrorRate\"}".into(),
        receiver: "payments".into(),
        group_labels: vec![("alertname".into(), "HighErrorRate".into()), ("service".into(), "checkout".into())],
        external_url: "https://watchfire.example".into(),
        alerts,
        ..Group::default()
    }
}

fn firing() -> Alert {
    let labels = [("alertname", "HighErrorRate"), ("service", "checkout"), ("severity", "critical"), ("zone", "a<b")];
    Alert {
        summary: "5 % of requests fail & rising".into(),
        generator_url: "https://watchfire.example/rules?rule=1&x=2".into(),
        annotations: vec![("runbook_url".into(), "https://runbooks.example/errors".into())],
        ..alert(&labels, AT - 125_000)
    }
}

fn card(config: &str, group: &Group) -> (Message, Value) {
    let mut formatter: SlackCard = open_formatter(config).unwrap();
    let message = formatter.format(group).unwrap();
    let body = serde_json::from_str(&message.body).unwrap();
    (message, body)
}

#[test]
fn a_card_says_what_happens_and_where_to_act() {
    let (message, body) = card(r#"{"mention": {"critical": "<!here>"}}"#, &group(vec![firing()]));
    assert_eq!(message.title, "🔴 HighErrorRate");
    assert_eq!(message.content_type, "application/json");
    let attachment = &body["attachments"][0];
    assert_eq!(attachment["color"], "#e01e5a");
    let expected = json!([
        {"type": "header", "text": {"type": "plain_text", "text": "🔴 HighErrorRate", "emoji": true}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "<!here>"}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*service*\ncheckout"}]},
        {"type": "section", "text": {"type": "mrkdwn", "text":
            "🔴 *<https://watchfire.example/rules?rule=1&amp;x=2|5 % of requests fail &amp; rising>*\n`service=checkout  zone=a&lt;b`\nsince <!date^1795175875^{date_short_pretty} {time_secs}|2026-11-20 11:57 UTC>, for 2m 5s"}},
        {"type": "actions", "elements": [
            {"type": "button", "action_id": "open-0", "text": {"type": "plain_text", "text": "Runbook"}, "url": "https://runbooks.example/errors"},
            {"type": "button", "action_id": "open-1", "text": {"type": "plain_text", "text": "Silence"}, "url": "https://watchfire.example/#/silences/new?filter=%7Balertname%3D%22HighErrorRate%22%2C%20service%3D%22checkout%22%7D"},
            {"type": "button", "action_id": "open-2", "text": {"type": "plain_text", "text": "Open in Watchfire"}, "url": "https://watchfire.example"},
        ]},
    ]);
    assert_eq!(attachment["blocks"], expected, "{:#}", attachment["blocks"]);
}

#[test]
fn alerts_of_one_name_are_told_by_what_they_say_and_others_by_name() {
    let other = Alert { name: "Other".into(), ..firing() };
    let silent = Alert { summary: String::new(), ..firing() };
    let link = "<https://watchfire.example/rules?rule=1&amp;x=2|";
    for (alerts, told) in [
        (vec![firing()], vec![format!("🔴 *{link}5 % of requests fail &amp; rising>*\n`")]),
        (vec![silent], vec![format!("🔴 *{link}HighErrorRate>*\n`")]),
        (
            vec![firing(), Alert { labels: vec![("alertname".into(), "Other".into())], ..other }],
            vec![
                format!("🔴 *{link}HighErrorRate>*\n5 % of requests fail &amp; rising\n`"),
                format!("🔴 *{link}Other>*\n5 % of requests fail &amp; rising\n"),
            ],
        ),
    ] {
        let (_, body) = card("{}", &Group { group_labels: vec![], ..group(alerts) });
        let texts =
            body["attachments"][0]["blocks"].as_array().unwrap().iter().filter(|block| block["type"] == "section");
        let texts: Vec<&str> = texts.filter_map(|block| block["text"]["text"].as_str()).collect();
        assert_eq!(texts.len(), told.len(), "{body:#}");
        assert!(
            texts.iter().zip(&told).all(|(text, start)| text.starts_with(start)),
            "{texts:#?} in place of {told:#?}"
        );
    }
}

#[test]
fn a_silence_takes_what_all_alerts_share_where_nothing_groups_them() {
    let labels = |instance| [("alertname", "A"), ("instance", instance), ("server.zone", "\"b\"")];
    let alerts = ["a", "b"].map(|instance| alert(&labels(instance), AT)).to_vec();
    let (message, _) = card("{}", &Group { group_labels: vec![], ..group(alerts) });
    let filter = encode(r#"{alertname="A", "server.zone"="\"b\""}"#);
    assert!(message.body.contains(&format!("/#/silences/new?filter={filter}\"")), "{}", message.body);
}

#[test]
fn a_resolved_group_is_green_and_mentions_nobody() {
    let resolved = Alert { firing: false, ends_ms: Some(AT - 5_000), ..firing() };
    let (message, body) = card(r#"{"mention": {"critical": "<!here>"}}"#, &group(vec![resolved]));
    assert_eq!(message.title, "✅ Resolved: HighErrorRate");
    assert_eq!(body["attachments"][0]["color"], "#2eb67d");
    assert!(!message.body.contains("<!here>") && !message.body.contains("Silence"));
    assert!(message.body.contains("after 2m 0s"));
}

#[test]
fn the_worst_that_fires_gives_the_colour() {
    let warning = alert(&[("alertname", "A"), ("severity", "warning")], AT);
    let resolved = Alert { firing: false, ends_ms: Some(AT), ..firing() };
    let (message, body) = card("{}", &group(vec![warning.clone(), warning, resolved]));
    assert_eq!(message.title, "🟡 HighErrorRate (2 firing)");
    assert_eq!(body["attachments"][0]["color"], "#ecb22e");
}

/// Walks a card and holds every text to Slack's limits; answers the characters of all texts.
fn check(value: &Value, path: &str) -> usize {
    let length = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
    match value {
        Value::Array(items) => {
            let limit = match path.rsplit('.').next().unwrap() {
                "blocks" => 50,
                "fields" => 10,
                "elements" => 25,
                _ => usize::MAX,
            };
            assert!(items.len() <= limit, "{path} has {}", items.len());
            items.iter().map(|item| check(item, path)).sum()
        }
        Value::Object(map) => {
            let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
            let text = &value["text"];
            match kind {
                "header" => assert!((1..=150).contains(&length(&text["text"])), "{path}: {text}"),
                "section" if text.is_object() => {
                    assert!((1..=3_000).contains(&length(&text["text"])), "{path}: {text}")
                }
                "button" => {
                    assert!((1..=75).contains(&length(&text["text"])), "{path}: {text}");
                    assert!(length(&value["url"]) <= 3_000);
                }
                "mrkdwn" if path.ends_with("fields") => assert!((1..=2_000).contains(&length(text)), "{path}: {text}"),
                _ => {}
            }
            let own = if matches!(kind, "mrkdwn" | "plain_text") { length(text) } else { 0 };
            own + map.iter().map(|(key, value)| check(value, &format!("{path}.{key}"))).sum::<usize>()
        }
        _ => 0,
    }
}

#[test]
fn no_group_passes_a_limit_of_slack() {
    let long = "<&>ä`|*".repeat(2_000);
    let labels: Vec<(String, String)> = (0..50).map(|i| (format!("label{i:02}"), long.clone())).collect();
    let monster = Alert {
        name: long.clone(),
        summary: long.clone(),
        generator_url: format!("https://{}", "x".repeat(2_900)),
        labels: labels.clone(),
        annotations: (0..50).map(|i| (format!("a{i}"), format!("https://{}", "y".repeat(2_000)))).collect(),
        ..firing()
    };
    let buttons: BTreeMap<String, String> = (0..50).map(|i| (format!("a{i}"), long.clone())).collect();
    let config = json!({"max_alerts": 40, "buttons": buttons}).to_string();
    for (count, config) in [(1, "{}"), (40, config.as_str()), (60, r#"{"fields": ["label01", "label02"]}"#)] {
        let group = Group { group_labels: labels.clone(), ..group(vec![monster.clone(); count]) };
        let (message, body) = card(config, &group);
        assert!(message.title.chars().count() <= 150);
        let characters = check(&body, "");
        assert!((100..=11_000).contains(&characters), "{characters}");
        assert!(count < 41 || message.body.contains("more alerts"));
    }
}

#[test]
fn a_group_without_anything_is_still_a_message() {
    let group = Group { group_labels: vec![], external_url: String::new(), ..group(vec![]) };
    let (message, body) = card("{}", &group);
    assert_eq!(message.title, "✅ Resolved: Alerts");
    assert_eq!(body["attachments"][0]["blocks"].as_array().unwrap().len(), 1);
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (config, expected) in [
        (r#"{"max_alerts": 0}"#, r#"invalid configuration at "/max_alerts": must be 1 to 40, is 0"#),
        (
            r#"{"mention": {"bad": "x"}}"#,
            r#"invalid configuration at "/mention/bad": "bad" is no severity; use info, warning, error or critical"#,
        ),
        (
            r#"{"buttons": {"runbook_url": 7}}"#,
            r#"invalid configuration at "/buttons/runbook_url": invalid type: integer `7`, expected a string"#,
        ),
    ] {
        assert_eq!(open_formatter::<SlackCard>(config).unwrap_err().to_string(), expected);
    }
}
