//! Incidents of PagerDuty by alert and as changes, and Slack's messages that are continued.

use expect_test::expect;
use serde_json::Value;
use watchfire_alerting::{Delivery, DeliveryOutcome, NotifyReason};
use watchfire_delivery::Deliverer;
use watchfire_delivery::double::{Double, Fault};

use super::service::{deliverer, delivery, resolved, said};

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn each_alert_can_have_an_incident_of_its_own() {
    let pagerduty = Double::pagerduty().await.unwrap();
    let url = pagerduty.url();
    let deliverer = deliverer(&format!(
        "
  pagerduty_configs:
  - {{url: '{url}', routing_key: {KEY}, dedup_key: alert}}
  - {{url: '{url}', routing_key: {KEY}, dedup_key: 'service-{{{{ .GroupLabels.cluster }}}}'}}
"
    ));
    let mut half = delivery("pagerduty[0]");
    half.alerts = [half.alerts[0].clone(), resolved(delivery("pagerduty[0]")).alerts[1].clone()].into();
    for delivery in [delivery("pagerduty[0]"), half, resolved(delivery("pagerduty[0]")), delivery("pagerduty[1]")] {
        assert_eq!(said(&deliverer.deliver(&delivery).await), "delivered: HTTP 202: Event processed");
    }
    let events: Vec<Value> = pagerduty.taken().iter().map(|received| received.json()).collect();
    let shown: Vec<String> = events
        .iter()
        .map(|event| format!("{} {} {}", event["event_action"], event["dedup_key"], event["payload"]["summary"]))
        .collect();
    expect![[r#"
        [
            "\"trigger\" \"alert-79fc4e413085a1cc\" \"Latency is high on a:9090\"",
            "\"trigger\" \"alert-0c0ca70dd38ea13c\" \"Latency is high on b:9090\"",
            "\"trigger\" \"alert-79fc4e413085a1cc\" \"Latency is high on a:9090\"",
            "\"resolve\" \"alert-0c0ca70dd38ea13c\" \"Latency is high on b:9090\"",
            "\"resolve\" \"alert-79fc4e413085a1cc\" \"Latency is high on a:9090\"",
            "\"resolve\" \"alert-0c0ca70dd38ea13c\" \"Latency is high on b:9090\"",
            "\"trigger\" \"service-eu\" \"p99 > 1s & \\\"rising\\\" <b>ü\\nline2\"",
        ]
    "#]]
    .assert_debug_eq(&shown);
}

#[tokio::test]
async fn a_failure_among_several_events_repeats_them_under_the_same_keys() {
    let pagerduty = Double::pagerduty().await.unwrap();
    let url = pagerduty.url();
    let deliverer =
        deliverer(&format!("  pagerduty_configs: [{{url: '{url}', routing_key: {KEY}, dedup_key: alert}}]"));
    let ended = resolved(delivery("pagerduty[0]"));
    assert!(matches!(deliverer.deliver(&ended).await, DeliveryOutcome::Delivered { .. }));
    pagerduty.fail_next([Fault::status(202), Fault::too_fast("3")]);
    assert_eq!(said(&deliverer.deliver(&ended).await), "retry after 3s: HTTP 429");
    // The resolve that did not get in is sent again until it is.
    assert!(matches!(deliverer.deliver(&ended).await, DeliveryOutcome::Delivered { .. }));
    let keys: Vec<Value> = pagerduty.received().iter().map(|received| received.json()["dedup_key"].clone()).collect();
    assert_eq!(keys.len(), 6);
    assert!(keys.chunks(2).all(|pair| pair == &keys[..2]), "{keys:?}");
}

#[tokio::test]
async fn an_event_that_is_refused_costs_the_others_nothing_and_is_said_to_be() {
    let pagerduty = Double::pagerduty().await.unwrap();
    let url = pagerduty.url();
    let deliverer =
        deliverer(&format!("  pagerduty_configs: [{{url: '{url}', routing_key: {KEY}, dedup_key: alert}}]"));
    let (fires, ended) = (delivery("pagerduty[0]"), resolved(delivery("pagerduty[0]")));
    let first = fires.alerts[0].fingerprint();
    for told in [&fires, &ended] {
        pagerduty.fail_next([Fault::status(400)]);
        let DeliveryOutcome::RejectedInPart { alerts, receipt, reason } = deliverer.deliver(told).await else {
            panic!()
        };
        assert_eq!((alerts, receipt.as_str()), (vec![first], "HTTP 202: Event processed"));
        assert_eq!(reason, "1 of 2 alerts are refused: HTTP 400");
    }
    assert_eq!((pagerduty.received().len(), pagerduty.taken().len()), (4, 2));
    // All that were refused are told; what is to be sent again is, whatever was refused before it.
    for (faults, expected) in [
        ([Fault::status(400), Fault::status(413)], "rejected: HTTP 400; HTTP 413"),
        ([Fault::status(400), Fault::too_fast("3")], "retry after 3s: HTTP 429"),
    ] {
        pagerduty.fail_next(faults);
        assert_eq!(said(&deliverer.deliver(&fires).await), expected);
    }
}

/// What is acknowledged here is acknowledged where it can be seen.
#[tokio::test]
async fn an_acknowledgement_is_shown_by_incidents_and_messages() {
    let (pagerduty, slack) = (Double::pagerduty().await.unwrap(), Double::slack().await.unwrap());
    let deliverer = deliverer(&format!(
        "  pagerduty_configs: [{{url: '{}', routing_key: {KEY}}}]\n  \
         slack_configs: [{{app_token: xoxb-1234, app_url: '{}', channel: '#alerts'}}]",
        pagerduty.url(),
        format_args!("http://{}/api/chat.postMessage", slack.address()),
    ));
    for integration in ["pagerduty[0]", "slack[0]"] {
        let first = delivery(integration);
        let DeliveryOutcome::Delivered { receipt } = deliverer.deliver(&first).await else { panic!("{integration}") };
        let reason = NotifyReason::Acknowledgement;
        let acknowledged = Delivery { reason, receipt: receipt.into(), ..delivery(integration) };
        assert!(said(&deliverer.deliver(&acknowledged).await).starts_with("delivered"), "{integration}");
    }
    let events: Vec<Value> = pagerduty.taken().iter().map(|received| received.json()).collect();
    assert_eq!([&events[0]["event_action"], &events[1]["event_action"]], ["trigger", "acknowledge"]);
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    let messages = slack.taken();
    assert_eq!(messages.len(), 3, "posted, updated, answered in the thread");
    assert!(messages[1].path.ends_with("chat.update"), "{}", messages[1].path);
    assert!(messages[1].json()["attachments"][0]["fallback"].as_str().unwrap().starts_with("[ACKNOWLEDGED] "));
    assert_eq!(messages[2].json()["text"], "👀 acknowledged: a:9090, b:9090");
}

#[tokio::test]
async fn changes_open_no_incident_and_have_no_end() {
    let pagerduty = Double::pagerduty().await.unwrap();
    let url = pagerduty.url();
    let deliverer = deliverer(&format!("  pagerduty_configs: [{{url: '{url}', routing_key: {KEY}, event: change}}]"));
    assert_eq!(
        said(&deliverer.deliver(&delivery("pagerduty[0]")).await),
        "delivered: HTTP 202: Change event processed"
    );
    assert_eq!(
        said(&deliverer.deliver(&resolved(delivery("pagerduty[0]"))).await),
        "delivered: there was nothing to send"
    );
    let taken = pagerduty.taken();
    assert_eq!((taken.len(), taken[0].path.as_str()), (1, "/v2/change/enqueue"));
}

#[tokio::test]
async fn old_integrations_are_told_in_their_own_version() {
    let service = Double::echo().await.unwrap();
    let europe = "https://events.eu.pagerduty.com/v2/enqueue";
    let templated = "{{ .GroupLabels.cluster }}-service-key";
    let deliverer = deliverer(&format!(
        "
  pagerduty_configs:
  - {{service_key: old-service-key}}
  - {{service_key: old-service-key, routing_key: {KEY}, url: '{europe}'}}
  - {{service_key: '{templated}', url: '{}', details: {{all: '{{{{ range .Alerts }}}}{{{{ .Annotations }}}}{{{{ end }}}}'}}}}
",
        service.url(),
    ));
    for (integration, host) in [("pagerduty[0]", "events.pagerduty.com"), ("pagerduty[1]", "events.eu.pagerduty.com")] {
        let request = deliverer.preview(&delivery(integration)).unwrap().remove(0);
        assert_eq!(request.url, format!("https://{host}/generic/2010-04-15/create_event.json"));
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!([&event["event_type"], &event["service_key"]], ["trigger", "<secret>"]);
    }
    let mut large = delivery("pagerduty[2]");
    let mut alert = large.alerts[0].clone();
    alert.annotations = [("description", "y".repeat(300_000).as_str())].into();
    large.alerts = [alert.clone(), alert].into();
    deliverer.deliver(&large).await;
    let received = service.received().remove(0);
    assert_eq!(received.json()["service_key"], "eu-service-key");
    let details = received.json()["details"].to_string();
    assert!(received.body.len() <= 512_000 && details.contains("more characters"), "{} bytes", received.body.len());
}

/// Delivers as the state machine does: with what the receiver answered last.
async fn tell(deliverer: &Deliverer, receipt: &mut String, mut delivery: Delivery) -> String {
    delivery.receipt = receipt.as_str().into();
    let outcome = deliverer.deliver(&delivery).await;
    if let DeliveryOutcome::Delivered { receipt: new } = &outcome {
        receipt.clone_from(new);
    }
    said(&outcome)
}

#[tokio::test]
async fn a_bot_updates_its_message_and_continues_in_the_thread() {
    let slack = Double::slack().await.unwrap();
    let api = format!("http://{}/api/chat.postMessage", slack.address());
    let deliverer = deliverer(&format!(
        "  slack_configs: [{{app_url: '{api}', app_token: xoxb-1234, channel: '#alerts', username: W, signing_secret: shh-secret}}]"
    ));
    let mut receipt = String::new();
    let mut told = Vec::new();
    let [mut more, mut repeated, mut fewer] = [(); 3].map(|()| delivery("slack[0]"));
    more.reason = NotifyReason::NewAlertsInGroup;
    repeated.reason = NotifyReason::RepeatIntervalElapsed;
    // Somebody looks after the one that still fires.
    fewer.alerts = [fewer.alerts[0].clone(), resolved(delivery("slack[0]")).alerts[1].clone()].into();
    (fewer.reason, fewer.looked_after) = (NotifyReason::NewResolvedAlerts, true);
    let over = resolved(delivery("slack[0]"));
    for delivery in [delivery("slack[0]"), more, repeated, fewer, over, delivery("slack[0]")] {
        told.push(tell(&deliverer, &mut receipt, delivery).await);
    }
    // The message was deleted meanwhile: a new one takes its place.
    receipt = "channel C00000001, ts 1.5".to_owned();
    told.push(tell(&deliverer, &mut receipt, delivery("slack[0]")).await);
    let sent: Vec<String> = slack
        .received()
        .iter()
        .map(|received| {
            let message = received.json();
            let attachment = &message["attachments"][0];
            let acts = attachment.to_string().matches("watchfire_").count();
            format!(
                "{} {} {} {} broadcast {} acts {acts} {}",
                received.path,
                message["channel"],
                message["thread_ts"],
                attachment["color"],
                message["reply_broadcast"],
                message["text"],
            )
        })
        .collect();
    expect![[r##"
        (
            [
                "delivered: channel C00000001, ts 1795209600.000100",
                "delivered: channel C00000001, ts 1795209600.000100",
                "delivered: channel C00000001, ts 1795209600.000100",
                "delivered: channel C00000001, ts 1795209600.000100",
                "delivered: channel C00000001, ts 1795209600.000100, over",
                "delivered: channel C00000001, ts 1795209600.000100",
                "delivered: channel C00000001, ts 1795209600.000100",
            ],
            [
                "/api/chat.postMessage \"#alerts\" null \"#e01e5a\" broadcast null acts 2 null",
                "/api/chat.update \"C00000001\" null \"#e01e5a\" broadcast null acts 2 null",
                "/api/chat.postMessage \"C00000001\" \"1795209600.000100\" null broadcast true acts 0 \"🔥 2 firing: a:9090, b:9090\"",
                "/api/chat.update \"C00000001\" null \"#e01e5a\" broadcast null acts 2 null",
                "/api/chat.postMessage \"C00000001\" \"1795209600.000100\" null broadcast true acts 0 \"🔥 2 firing: a:9090, b:9090\"",
                "/api/chat.update \"C00000001\" null \"#7c5cff\" broadcast null acts 1 null",
                "/api/chat.postMessage \"C00000001\" \"1795209600.000100\" null broadcast null acts 0 \"🔥 1 firing: a:9090  ·  ✅ resolved: b:9090\"",
                "/api/chat.update \"C00000001\" null \"#2eb67d\" broadcast null acts 0 null",
                "/api/chat.postMessage \"C00000001\" \"1795209600.000100\" null broadcast null acts 0 \"✅ resolved: a:9090, b:9090\"",
                "/api/chat.postMessage \"#alerts\" null \"#e01e5a\" broadcast null acts 2 null",
                "/api/chat.update \"C00000001\" null \"#e01e5a\" broadcast null acts 2 null",
                "/api/chat.postMessage \"#alerts\" null \"#e01e5a\" broadcast null acts 2 null",
            ],
        )
    "##]]
    .assert_debug_eq(&(told, sent));
}

#[tokio::test]
async fn messages_of_ones_own_have_the_buttons_too() {
    let slack = Double::slack().await.unwrap();
    let deliverer = deliverer(&format!(
        "  slack_configs: [{{api_url: '{}', signing_secret: shh-secret, text: mine}}]",
        slack.url()
    ));
    let looked_after = Delivery { looked_after: true, ..delivery("slack[0]") };
    for delivery in [delivery("slack[0]"), looked_after, resolved(delivery("slack[0]"))] {
        assert_eq!(said(&deliverer.deliver(&delivery).await), "delivered: ok");
    }
    let acts: Vec<String> = slack
        .taken()
        .iter()
        .map(|received| {
            let attachments = received.json()["attachments"].take();
            assert_eq!(attachments[0]["text"], "mine");
            let elements = attachments[1]["blocks"][0]["elements"].as_array().cloned().unwrap_or_default();
            elements.iter().map(|element| element["action_id"].to_string()).collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(acts, ["\"watchfire_acknowledge\" \"watchfire_silence\"", "\"watchfire_silence\"", ""]);
}

#[tokio::test]
async fn an_update_that_is_cut_short_is_told_again_as_the_same_message() {
    let slack = Double::slack().await.unwrap();
    let api = format!("http://{}/api/chat.postMessage", slack.address());
    let deliverer =
        deliverer(&format!("  slack_configs: [{{app_url: '{api}', app_token: xoxb-1234, channel: '#alerts'}}]"));
    let mut receipt = String::new();
    tell(&deliverer, &mut receipt, delivery("slack[0]")).await;
    slack.fail_next([Fault::too_fast("4")]);
    assert_eq!(tell(&deliverer, &mut receipt, delivery("slack[0]")).await, "retry after 4s: HTTP 429");
    tell(&deliverer, &mut receipt, delivery("slack[0]")).await;
    let paths: Vec<String> = slack.received().iter().map(|received| received.path.clone()).collect();
    assert_eq!(
        paths,
        ["/api/chat.postMessage", "/api/chat.update", "/api/chat.update", "/api/chat.postMessage"],
        "one message, one reply"
    );
}

#[tokio::test]
async fn a_thread_that_takes_no_reply_holds_nothing_up_unless_that_passes() {
    let slack = Double::slack().await.unwrap();
    let api = format!("http://{}/api/chat.postMessage", slack.address());
    let deliverer =
        deliverer(&format!("  slack_configs: [{{app_url: '{api}', app_token: xoxb-1234, channel: '#alerts'}}]"));
    let answers = |status: u16, body: &str| Fault::Answer { status, headers: Vec::new(), body: body.to_owned() };
    let known = "channel C00000001, ts 1795209600.000100";
    let updated = |reason: &str| {
        let note = format!("the message is updated, but its thread takes no reply: {reason}");
        (format!("delivered: {known}"), vec![note])
    };
    let again = |reason: &str| (format!("retry: {reason}"), vec![]);
    for (status, body, (outcome, notes)) in [
        (200, r#"{"ok":false,"error":"restricted_action"}"#, updated("Slack: restricted_action")),
        (200, r#"{"ok":false,"error":"not_in_channel"}"#, updated("Slack: not_in_channel")),
        (200, r#"{"ok":false,"error":"missing_scope"}"#, updated("Slack: missing_scope")),
        (403, "", updated("HTTP 403")),
        (200, r#"{"ok":false,"error":"ratelimited"}"#, again("Slack: ratelimited")),
        (503, "", again("HTTP 503")),
    ] {
        slack.fail_next([answers(200, r#"{"ok":true}"#), answers(status, body)]);
        let attempt = deliverer.attempt(&Delivery { receipt: known.into(), ..delivery("slack[0]") }).await;
        assert_eq!((said(&attempt.outcome), attempt.notes), (outcome, notes), "{status} {body}");
        assert_eq!(attempt.exchanges.len(), 2);
    }
}

#[tokio::test]
async fn without_a_token_or_when_switched_off_every_message_is_new() {
    let slack = Double::slack().await.unwrap();
    let (hook, api) = (slack.url(), format!("http://{}/api/chat.postMessage", slack.address()));
    let deliverer = deliverer(&format!(
        "
  slack_configs:
  - {{api_url: '{hook}'}}
  - {{app_url: '{api}', app_token: xoxb-1234, channel: '#alerts', update_message: false}}
"
    ));
    for integration in [0, 1] {
        let mut receipt = String::new();
        for _ in 0..2 {
            tell(&deliverer, &mut receipt, delivery(&format!("slack[{integration}]"))).await;
        }
    }
    assert!(slack.received().iter().all(|received| !received.path.contains("update")));
    assert_eq!(slack.taken().len(), 4);
}
