//! Whatever the alerts hold, no channel's limit is passed.

use proptest::prelude::*;
use serde_json::Value;
use watchfire_delivery::{pagerduty, slack};
use watchfire_plugin::Message;

use super::payloads::{PAGERDUTY_SCHEMA, SLACK_SCHEMA, pagerduty_fields, slack_fields};
use super::samples::{alert, notification, resolved};

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("x".repeat(10_000)),
        Just("🎉👩‍👩‍👧🇩🇪👍🏽".repeat(400)),
        Just("<&>\"'`*_~|".repeat(300)),
        Just("```code\n".repeat(200)),
        Just("<https://example.org/a?b=c|a link> ".repeat(100)),
        Just("\u{1}\u{7f}\n\r\t".repeat(50)),
        "(?s).{0,40}",
        "[a-z]{0,3}",
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

prop_compose! {
    fn alerts()(
        count in prop_oneof![Just(1usize), 2usize..30, Just(1000)],
        texts in prop::collection::vec(text(), 8),
        over in any::<bool>(),
    ) -> Vec<watchfire_model::Alert> {
        // A thousand alerts of this size are enough: the whole is far beyond every limit.
        let texts: Vec<String> = match count {
            1000 => texts.iter().map(|text| text.chars().take(1_500).collect()).collect(),
            _ => texts,
        };
        (0..count).map(|i| {
            let instance = format!("i-{i}");
            let labels = [
                ("alertname", texts[0].as_str()), ("cluster", &texts[1]), ("instance", &instance), ("big", &texts[2]),
                ("severity", ["info", "warning", "error", "critical"][i % 4]),
            ];
            let annotations = [
                ("summary", texts[3].as_str()), ("description", &texts[4]), ("runbook_url", &texts[5]),
                ("dashboard_url", "https://example.org/"),
            ];
            let mut one = alert(&labels, &annotations, i as i64);
            one.generator_url = texts[6].as_str().into();
            if over || i % 3 == 2 { resolved(one) } else { one }
        }).collect()
    }
}

fn pagerduty_problems(body: &[u8]) -> Vec<String> {
    let event: Value = serde_json::from_slice(body).unwrap();
    let mut problems = super::payloads::verdict(PAGERDUTY_SCHEMA, &event);
    if body.len() > pagerduty::EVENT_BYTES_MAX {
        problems.push(format!("{} bytes", body.len()));
    }
    problems
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_event_passes_a_limit_of_pagerduty(alerts in alerts(), words in prop::collection::vec(text(), 6)) {
        let filled = |i: usize| Some(words[i].clone());
        let own = pagerduty::Fields {
            description: filled(0), source: filled(1), component: filled(2), severity: filled(3), client: filled(4),
            details: (0..40).map(|i| (format!("d{i}"), words[i % 6].repeat(3).into())).collect(),
            links: vec![pagerduty::Link { href: words[5].clone(), text: words[0].clone() }],
            images: vec![pagerduty::Image { src: words[5].clone(), ..Default::default() }],
            dedup_key: filled(1),
            ..pagerduty_fields()
        };
        let message = Message { title: words[0].clone(), body: words[1].clone(), ..Message::default() };
        let notification = notification(alerts);
        for (fields, message) in [(&pagerduty_fields(), None), (&own, None), (&own, Some(&message))] {
            let request = pagerduty::build(fields, &notification, message).unwrap();
            prop_assert_eq!(pagerduty_problems(&request.body), Vec::<String>::new());
        }
    }

    #[test]
    fn no_message_passes_a_limit_of_slack(alerts in alerts(), words in prop::collection::vec(text(), 6)) {
        let classic = slack::Fields {
            text: words[0].clone(),
            classic: Some(slack::Classic {
                title: words[1].clone(), text: words[2].clone(), pretext: words[3].clone(), footer: words[4].clone(),
                fields: (0..60).map(|i| slack::Field { title: words[i % 6].clone(), value: words[5].clone(), short: true }).collect(),
                ..Default::default()
            }),
            ..slack_fields()
        };
        let plain = Message { title: words[0].clone(), body: words[1].clone(), ..Message::default() };
        let section = |text: &String| serde_json::json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "emoji": true}});
        let blocks = serde_json::json!({"blocks": words.iter().cycle().take(70).map(section).collect::<Vec<_>>()});
        let json = Message { body: blocks.to_string(), ..Message::default() };
        let notification = notification(alerts);
        for (fields, message) in [
            (&slack_fields(), None), (&classic, None), (&slack_fields(), Some(&plain)), (&slack_fields(), Some(&json)),
        ] {
            let request = slack::build(fields, &notification, message).unwrap();
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let problems = super::payloads::verdict(SLACK_SCHEMA, &body);
            prop_assert_eq!(problems, Vec::<String>::new());
        }
    }
}

#[test]
fn what_is_left_out_is_counted() {
    let annotation = "y".repeat(2_000);
    let alerts: Vec<_> = (0..1000)
        .map(|i| alert(&[("alertname", "A"), ("instance", &format!("i-{i}"))], &[("description", &annotation)], 1))
        .collect();
    let notification = notification(alerts);
    let request = pagerduty::build(&pagerduty_fields(), &notification, None).unwrap();
    let event: Value = serde_json::from_slice(&request.body).unwrap();
    let details = &event["payload"]["custom_details"];
    let told = details["firing"].as_array().unwrap().len();
    assert!(told > 10, "{told}");
    assert_eq!(details["num_firing"], 1000);
    assert_eq!(details["left_out"], format!("{} more firing alerts, 0 more resolved", 1000 - told));
    let request = slack::build(&slack_fields(), &notification, None).unwrap();
    assert!(String::from_utf8(request.body).unwrap().contains("… and 990 more firing alerts"));
}
