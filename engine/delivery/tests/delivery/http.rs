//! Requests over real connections to strict doubles.

use std::sync::Arc;

use expect_test::expect;
use serde_json::Value;
use watchfire_alerting::{Delivery, DeliveryOutcome};
use watchfire_delivery::double::{Double, Fault};
use watchfire_delivery::{Channel, Deliverer, Notification, Sending, Settings};
use watchfire_plugin::Provider;
use watchfire_template::alertmanager::Templates;

use super::service::{deliverer, delivery, resolved, said, with_templates};

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn an_incident_opens_and_resolves() {
    let pagerduty = Double::pagerduty().await.unwrap();
    let url = pagerduty.url();
    let deliverer = deliverer(&format!("  pagerduty_configs: [{{url: '{url}', routing_key: {KEY}}}]"));
    for delivery in [delivery("pagerduty[0]"), resolved(delivery("pagerduty[0]"))] {
        assert_eq!(said(&deliverer.deliver(&delivery).await), "delivered: HTTP 202: Event processed");
    }
    let events: Vec<Value> = pagerduty.taken().iter().map(|received| received.json()).collect();
    assert_eq!([&events[0]["event_action"], &events[1]["event_action"]], ["trigger", "resolve"]);
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
}

#[tokio::test]
async fn templates_of_alertmanager_fill_the_fields() {
    let pagerduty = Double::pagerduty().await.unwrap();
    let slack = Double::slack().await.unwrap();
    let (events, hook) = (pagerduty.url(), slack.url());
    let deliverer = with_templates(
        &format!(
            r#"
  pagerduty_configs:
  - url: '{events}'
    routing_key: {KEY}
    severity: '{{{{ .CommonLabels.nothing }}}}warning'
    component: '{{{{ .GroupLabels.cluster }}}}'
    details: {{team: '{{{{ .Receiver }}}}', nested: {{n: 1}}, names: '{{{{ .GroupLabels.Names | toJson }}}}'}}
    links: [{{href: 'http://rb/{{{{ .GroupLabels.alertname }}}}', text: rb}}]
  slack_configs:
  - api_url: '{hook}'
    channel: '#{{{{ .GroupLabels.cluster }}}}'
    title: '{{{{ .Nonsense.x }}}}'
    text: '{{{{ range .Alerts }}}}{{{{ .Labels.instance }}}} {{{{ end }}}}'
    fields: [{{title: n, value: '{{{{ .Alerts | len }}}}'}}]
    send_resolved: true
"#
        ),
        &[("own.tmpl".to_owned(), r#"{{ define "slack.default.footer" }}by {{ .Receiver }}{{ end }}"#.to_owned())],
    );
    assert_eq!(deliverer.problems(), []);
    assert_eq!(said(&deliverer.deliver(&delivery("pagerduty[0]")).await), "delivered: HTTP 202: Event processed");
    let payload = pagerduty.taken()[0].json()["payload"].clone();
    assert_eq!([&payload["severity"], &payload["component"]], ["warning", "eu"]);
    let details = &payload["custom_details"];
    assert_eq!((&details["team"], &details["nested"]["n"]), (&"r".into(), &1.into()));
    assert_eq!(details["names"], serde_json::json!(["alertname", "cluster"]));

    let attempt = deliverer.attempt(&delivery("slack[0]")).await;
    assert_eq!(said(&attempt.outcome), "delivered: ok");
    // The broken title is replaced and reported; the page goes out.
    assert!(attempt.notes.iter().any(|note| note.contains("the template of title failed")), "{:?}", attempt.notes);
    let message = slack.taken()[0].json();
    let attachment = &message["attachments"][0];
    assert_eq!(message["channel"], "#eu");
    assert_eq!([&attachment["text"], &attachment["footer"]], ["a:9090 b:9090 ", "by r"]);
    assert!(attachment["title"].as_str().is_some_and(|title| title.starts_with("[FIRING:2] ")), "{attachment}");
    assert_eq!(attachment["fields"][0]["value"], "2");
}

/// A broken text never costs a page: what is sent in its place says what fires.
#[tokio::test]
async fn what_stands_in_place_of_a_broken_text_says_what_fires() {
    let (pagerduty, slack, hook) =
        (Double::pagerduty().await.unwrap(), Double::slack().await.unwrap(), Double::webhook().await.unwrap());
    let broken = "'{{ .Nonsense.x }}'";
    let deliverer = deliverer(&format!(
        "  pagerduty_configs: [{{url: '{}', routing_key: {KEY}, details: {{firing: {broken}, own: [{broken}]}}}}]\n  \
         slack_configs: [{{api_url: '{}', channel: '#a', title: Trouble, text: {broken}, send_resolved: true}}]\n  \
         webhook_configs: [{{url: '{}', payload: {{what: {broken}, kind: alert}}}}]",
        pagerduty.url(),
        slack.url(),
        hook.url(),
    ));
    for integration in ["pagerduty[0]", "slack[0]", "webhook[0]"] {
        let attempt = deliverer.attempt(&delivery(integration)).await;
        // This double takes Alertmanager's JSON only.
        let is_taken = integration != "webhook[0]";
        assert_eq!(said(&attempt.outcome).starts_with("delivered"), is_taken, "{integration}: {:?}", attempt.outcome);
        assert!(attempt.notes.iter().all(|note| note.contains("failed")), "{integration}: {:?}", attempt.notes);
        assert!(!attempt.notes.is_empty(), "{integration}");
    }
    let details = pagerduty.taken()[0].json()["payload"]["custom_details"].clone();
    assert_eq!(details["firing"][0]["labels"]["instance"], "a:9090", "{details}");
    assert!(details["own"].is_null(), "{details}");
    let message = slack.taken()[0].json();
    assert!(message["attachments"][0]["blocks"].is_array(), "the built-in message: {message}");
    let payload = hook.received()[0].json();
    assert_eq!(payload["kind"], "alert");
    assert!(payload["what"].as_str().is_some_and(|text| text.starts_with("[FIRING:2] ")), "{payload}");
}

#[test]
fn a_payload_is_what_its_texts_spell() {
    let deliverer = deliverer(
        r#"
  webhook_configs:
  - url: http://127.0.0.1:1/
    payload:
      '{{ .GroupLabels.cluster }}': x
      colon: 'a: {{ .Alerts | len }}'
      list: '[1, {{ .Status }}]'
      number: "5"
      alerts: '{{ .Alerts.Resolved | toJson }}'
      nested: [{'{{ .Status }}': 'yes'}]
      title: '[{{ .Status }}] Disk'
      '{{ .Nonsense.x }}': kept
"#,
    );
    let request = deliverer.preview(&delivery("webhook[0]")).unwrap().remove(0);
    expect![[r#"
        {
          "eu": "x",
          "colon": {
            "a": 2
          },
          "list": [
            1,
            "firing"
          ],
          "number": 5,
          "alerts": [],
          "nested": [
            {
              "firing": true
            }
          ],
          "title": "[firing] Disk",
          "{{ .Nonsense.x }}": "kept"
        }"#]]
    .assert_eq(&format!("{:#}", serde_json::from_slice::<Value>(&request.body).unwrap()));
    assert_eq!(request.notes.len(), 1, "{:?}", request.notes);
}

#[test]
fn the_engines_own_labels_are_not_told_and_a_digest_says_how_many_it_holds() {
    let deliverer = deliverer(
        "  webhook_configs: [{url: 'http://127.0.0.1:1/'}]\n  slack_configs: [{api_url: 'http://127.0.0.1:1/', title: \
         '{{ template \"slack.default.title\" . }}'}]\n  discord_configs: [{webhook_url: 'http://127.0.0.1:1/'}]\n",
    );
    for own in ["__digest__", "__overflow__"] {
        let labels = [(own, "true"), ("alertname", "HighLatency"), ("__mine__", "shown")];
        let digest = |integration: &str| Delivery {
            group_labels: watchfire_model::Labels::from_pairs(labels),
            folded: 17,
            ..delivery(integration)
        };
        for integration in ["webhook[0]", "slack[0]", "discord[0]"] {
            let request = deliverer.preview(&digest(integration)).unwrap().remove(0);
            let body = String::from_utf8(request.body).unwrap();
            assert!(!body.contains(own) && !body.contains("true "), "{integration}: {body}");
            assert!(body.contains("shown"), "{integration}: {body}");
            // Alertmanager's own texts have no place for it.
            assert_eq!(body.contains(r#""folded":17"#), integration == "webhook[0]", "{integration}: {body}");
        }
    }
}

#[tokio::test]
async fn every_answer_is_told_apart_and_the_key_stays_the_same() {
    let webhook = Double::webhook().await.unwrap();
    let url = webhook.url();
    let deliverer = deliverer(&format!("  webhook_configs: [{{url: '{url}', timeout: 200ms}}]"));
    let answer = |status, body: &str| Fault::Answer { status, headers: Vec::new(), body: body.to_owned() };
    let date = ("retry-after".to_owned(), "Fri, 20 Nov 2026 21:20:30 GMT".to_owned());
    let clock = ("date".to_owned(), "Fri, 20 Nov 2026 21:20:10 GMT".to_owned());
    let table = [
        (Fault::status(500), "retry: HTTP 500"),
        (Fault::too_fast("2"), "retry after 2s: HTTP 429"),
        (Fault::Answer { status: 503, headers: vec![date, clock], body: String::new() }, "retry after 20s: HTTP 503"),
        (answer(403, r#"{"error":"no way"}"#), "retry: HTTP 403: no way"),
        (answer(422, r#"{"error":"no sense"}"#), "rejected: HTTP 422: no sense"),
        (Fault::Hang, "retry: no answer within 200 ms"),
    ];
    for (fault, expected) in table {
        webhook.fail_next([fault]);
        assert_eq!(said(&deliverer.deliver(&delivery("webhook[0]")).await), expected);
    }
    webhook.fail_next([Fault::Reset]);
    let reset = said(&deliverer.deliver(&delivery("webhook[0]")).await);
    assert!(reset.starts_with("retry: no answer: "), "{reset}");
    assert_eq!(said(&deliverer.deliver(&delivery("webhook[0]")).await), "delivered: HTTP 200");
    let keys: Vec<_> = webhook.received().iter().map(|r| r.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys.len(), 8);
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 32), "{keys:?}");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_tried_again() {
    let url = Double::webhook().await.unwrap().url();
    let deliverer = deliverer(&format!("  webhook_configs: [{{url: '{url}?token=sesame'}}]"));
    // The double was dropped above; its port may take a moment to refuse, in which it does not answer either.
    let outcome = said(&deliverer.deliver(&delivery("webhook[0]")).await);
    assert!(outcome.starts_with("retry: "), "{outcome}");
    assert!(!outcome.contains("sesame"), "{outcome}");
}

#[tokio::test]
async fn slack_says_no_in_its_own_words() {
    let slack = Double::slack().await.unwrap();
    slack.know_channels(["#alerts"]);
    let (hook, api) = (slack.url(), format!("http://{}/api/chat.postMessage", slack.address()));
    let deliverer = deliverer(&format!(
        "
  slack_configs:
  - {{api_url: '{hook}', channel: '#alerts'}}
  - {{api_url: '{hook}', channel: '#nowhere'}}
  - {{app_url: '{api}', app_token: xoxb-1234, channel: '#alerts'}}
  - {{app_url: '{api}', app_token: xoxb-1234, channel: '#nowhere'}}
  - {{app_url: '{api}', app_token: wrong-5678, channel: '#alerts'}}
"
    ));
    let mut outcomes = Vec::new();
    for integration in 0..5 {
        outcomes.push(said(&deliverer.deliver(&delivery(&format!("slack[{integration}]"))).await));
    }
    expect![[r#"
        [
            "delivered: ok",
            "retry: HTTP 404: channel_not_found",
            "delivered: channel C00000001, ts 1795209600.000100",
            "retry: Slack: channel_not_found",
            "retry: Slack: invalid_auth",
        ]
    "#]]
    .assert_debug_eq(&outcomes);
}

#[tokio::test]
async fn what_a_template_makes_of_a_secret_is_not_shown_either() {
    let echo = Double::echo().await.unwrap();
    let url = echo.url();
    let deliverer = deliverer(&format!(
        "  webhook_configs: [{{url: '{url}/{{{{ .GroupLabels.cluster }}}}/t0ken-in-path'}}]\n  \
         pagerduty_configs: [{{url: '{url}', routing_key: '{{{{ .GroupLabels.cluster }}}}-key-of-the-team'}}]\n  \
         opsgenie_configs: [{{api_url: '{url}', api_key: '{{{{ .GroupLabels.cluster }}}}-key-of-the-team'}}]",
    ));
    for integration in ["webhook[0]", "pagerduty[0]", "opsgenie[0]"] {
        let attempt = deliverer.attempt(&delivery(integration)).await;
        let preview = deliverer.preview(&delivery(integration)).unwrap();
        let mut shown = format!("{attempt:?}");
        for request in attempt.exchanges.into_iter().map(|exchange| exchange.request).chain(preview) {
            shown += &format!("{} {:?} {}", request.url, request.headers, String::from_utf8_lossy(&request.body));
        }
        assert!(!shown.contains("eu/t0ken-in-path") && !shown.contains("eu-key-of-the-team"), "{shown}");
        assert!(shown.contains("<secret>"), "{shown}");
    }
    let sent = format!("{:?}", echo.received());
    assert!(sent.contains("eu/t0ken-in-path") && sent.contains("eu-key-of-the-team"), "{sent}");
}

#[tokio::test]
async fn http_config_is_honoured_and_nothing_of_it_is_shown() {
    let webhook = Double::webhook().await.unwrap();
    let url = webhook.url();
    let deliverer = deliverer(&format!(
        "
  webhook_configs:
  - url: '{url}/t0ken-in-path'
    http_config:
      basic_auth: {{username: bob, password: open-sesame}}
      http_headers: {{X-Team: {{values: [ops]}}, X-Place: {{values: [\"Straße\\nX-Key: 2\"]}}, X-Key: {{secrets: [key-5678]}}}}
  - url: '{url}'
    http_config: {{authorization: {{type: Token, credentials: tok-1234}}}}
"
    ));
    let first = deliverer.attempt(&delivery("webhook[0]")).await;
    deliverer.deliver(&delivery("webhook[1]")).await;
    let received = webhook.taken();
    let header = |i: usize, name: &str| received[i].header(name).unwrap().to_owned();
    assert_eq!(header(0, "authorization"), "Basic Ym9iOm9wZW4tc2VzYW1l");
    assert_eq!((header(0, "x-team"), header(0, "x-key")), ("ops".to_owned(), "key-5678".to_owned()));
    assert_eq!(header(0, "x-place"), "Straße X-Key: 2");
    assert_eq!(header(1, "authorization"), "Token tok-1234");
    let preview = deliverer.preview(&delivery("webhook[0]")).unwrap().remove(0);
    for shown in [preview, first.exchanges[0].request.clone()] {
        let text = format!("{} {:?} {}", shown.url, shown.headers, String::from_utf8_lossy(&shown.body));
        for secret in ["t0ken-in-path", "open-sesame", "Ym9iOm9wZW4tc2VzYW1l", "key-5678"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.contains("\"X-Team\", \"ops\"") && text.contains("HighLatency"), "{text}");
    }
}

#[tokio::test]
async fn one_login_goes_with_a_request_and_that_of_the_address_before_that_of_the_configuration() {
    let webhook = Double::webhook().await.unwrap();
    let url = webhook.url().replace("http://", "http://bob:open-sesame@");
    let other = "basic_auth: {username: eve, password: another}";
    let token = "authorization: {credentials: tok-1234}";
    let deliverer = deliverer(&format!(
        "
  webhook_configs:
  - url: '{url}'
  - {{url: '{url}', http_config: {{{other}}}}}
  - {{url: '{url}', http_config: {{{token}}}}}
"
    ));
    for integration in 0..3 {
        deliverer.deliver(&delivery(&format!("webhook[{integration}]"))).await;
    }
    for received in webhook.taken() {
        let logins = received.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let logins: Vec<&str> = logins.map(|(_, value)| value.as_str()).collect();
        assert_eq!(logins, ["Basic Ym9iOm9wZW4tc2VzYW1l"]);
    }
}

#[tokio::test]
async fn a_refusal_that_repeats_the_secret_is_not_shown_with_it() {
    let webhook = Double::webhook().await.unwrap();
    let url = format!("{}/t0ken-in-path", webhook.url());
    webhook.fail_next([Fault::Answer { status: 404, headers: Vec::new(), body: format!("no route for {url}") }]);
    let deliverer = deliverer(&format!("  webhook_configs: [{{url: '{url}'}}]"));
    let attempt = deliverer.attempt(&delivery("webhook[0]")).await;
    assert_eq!(said(&attempt.outcome), "retry: HTTP 404: no route for <secret>");
    assert_eq!(attempt.exchanges[0].answer.clone().unwrap().body, "no route for <secret>");
}

#[tokio::test]
async fn a_formatter_is_asked_and_a_broken_one_costs_no_page() {
    let slack = Double::slack().await.unwrap();
    let url = slack.url();
    let one =
        |formatter: &str| format!("  - {{api_url: '{url}', formatter: {{plugin: {formatter}, config: {{a: 1}}}}}}\n");
    let names = ["echo", "traps", "garbage", "empty", "panics", "missing"];
    let deliverer = deliverer(&format!("  slack_configs:\n{}", names.map(one).concat()));
    let mut notes = Vec::new();
    for integration in 0..names.len() {
        let attempt = deliverer.attempt(&delivery(&format!("slack[{integration}]"))).await;
        assert_eq!(said(&attempt.outcome), "delivered: ok");
        assert_eq!(attempt.stand_in.iter().collect::<Vec<_>>(), attempt.notes.iter().collect::<Vec<_>>());
        notes.extend(attempt.notes);
    }
    expect![[r#"
        [
            "the formatter traps failed, the built-in message is sent: trap: the plugin trapped: unreachable",
            "the formatter garbage failed, the built-in message is sent: the message is not JSON: key must be a string at line 1 column 2",
            "the formatter empty failed, the built-in message is sent: the message is empty",
            "the formatter panicked, the built-in message is sent",
            "the formatter missing failed, the built-in message is sent: unsupported: there is no formatter missing",
        ]
    "#]]
    .assert_debug_eq(&notes);
    let sent: Vec<String> = slack.taken().iter().map(|r| String::from_utf8(r.body.clone()).unwrap()).collect();
    // What reads as a JSON object is a payload of its own.
    assert!(sent[0].contains("\"a\":1"), "{}", sent[0]);
    assert!(sent[1..].iter().all(|body| body.contains("HighLatency")));
}

#[tokio::test]
async fn a_formatter_addresses_its_own_request_where_that_is_granted() {
    let (matrix, hook) = (Double::channel("matrix").await.unwrap(), Double::webhook().await.unwrap());
    let origin = format!("http://{}", matrix.address());
    let one = |hosts: &str, token: &str| {
        let (url, formatter) = (hook.url(), format!("{{plugin: matrix, config: {{url: '{origin}'}}}}"));
        format!("  - {{url: '{url}', formatter: {formatter}, grant: {{hosts: [{hosts}], secrets: {token}}}}}\n")
    };
    let integrations = [
        one(&format!("'{origin}'"), "{token: matrix-token}"),
        one("matrix.example", "{token: matrix-token}"),
        one(&format!("'{origin}'"), "{token: matrix-stale}"),
        one(&format!("'{origin}'"), "{}"),
        format!("  - {{url: '{}', formatter: {{plugin: matrix, config: {{url: '{origin}'}}}}}}\n", hook.url()),
    ];
    let deliverer = deliverer(&format!("  webhook_configs:\n{}", integrations.concat()));
    assert_eq!(deliverer.problems(), []);
    matrix.fail_next([Fault::status(500)]);
    let mut told = String::new();
    for integration in [0, 0, 1, 2, 3, 4] {
        let attempt = deliverer.attempt(&delivery(&format!("webhook[{integration}]"))).await;
        told.push_str(&format!("{}\n", said(&attempt.outcome)));
        let urls = attempt.exchanges.iter().map(|exchange| exchange.request.url.as_str());
        urls.chain(attempt.notes.iter().map(String::as_str)).for_each(|line| told.push_str(&format!("  {line}\n")));
        assert!(!format!("{attempt:?}").contains("matrix-"), "{attempt:?}");
        let shown = deliverer.preview(&delivery(&format!("webhook[{integration}]"))).unwrap();
        assert!(!format!("{:?} {:?}", shown[0].headers, shown[0].url).contains("matrix-"));
    }
    let told = told.replace(&matrix.address().to_string(), "MATRIX").replace(&hook.address().to_string(), "HOOK");
    expect![[r#"
        retry: HTTP 500
          http://MATRIX/_matrix/client/v3/rooms/!ops:example/send/m.room.message/00000000000000000000000000000007
        delivered: HTTP 200: {"event_id":"$00000000000000000000000000000007"}
          http://MATRIX/_matrix/client/v3/rooms/!ops:example/send/m.room.message/00000000000000000000000000000007
        delivered: HTTP 200
          <secret>
          the formatter matrix failed, the built-in message is sent: its request goes to http://MATRIX, which is not granted: `grant.hosts` has https://matrix.example
        delivered: HTTP 200
          http://MATRIX/_matrix/client/v3/rooms/!ops:example/send/m.room.message/00000000000000000000000000000007
          <secret>
          the formatter's request is refused, the built-in message is sent: HTTP 401: Unrecognised access token
        delivered: HTTP 200
          <secret>
          the formatter matrix failed, the built-in message is sent: bad_input: cannot handle this input: no token
        delivered: HTTP 200
          <secret>
          the formatter matrix failed, the built-in message is sent: bad_input: cannot handle this input: no token
    "#]].assert_eq(&told);
    let tries = matrix.received();
    assert_eq!(tries.iter().map(|one| one.answered).collect::<Vec<_>>(), [500, 200, 401]);
    let keys: Vec<_> = tries.iter().map(|one| one.header("idempotency-key")).collect();
    assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
    assert_eq!(tries[0].path, tries[1].path);
    assert_eq!(hook.taken().len(), 4);
}

#[tokio::test]
async fn a_template_file_makes_the_message_and_a_broken_one_costs_no_page() {
    let webhook = Double::webhook().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good =
        write("good.json.hbs", r#"{"head": "{{headline}}", "n": {{len alerts}}, "labels": {{{json groupLabels}}}}"#);
    let broken = write("broken.hbs", "{{#if x}}");
    let fails = write("fails.hbs", "{{toUpper}}");
    let url = webhook.url();
    let one = |path: &str| format!("  - {{url: '{url}', template: '{path}'}}\n");
    let paths = [good.as_str(), &broken, &fails, "/nowhere/x.hbs"];
    let deliverer = deliverer(&format!("  webhook_configs:\n{}", paths.map(one).concat()));
    let own = deliverer.preview(&delivery("webhook[0]")).unwrap().remove(0);
    let body: Value = serde_json::from_slice(&own.body).unwrap();
    assert_eq!(body["head"], "[FIRING:2] HighLatency · eu");
    assert_eq!((&body["n"], &body["labels"]["cluster"]), (&2.into(), &"eu".into()));
    for integration in 1..4 {
        assert_eq!(
            said(&deliverer.deliver(&delivery(&format!("webhook[{integration}]"))).await),
            "delivered: HTTP 200",
            "{integration}"
        );
    }
}

#[tokio::test]
async fn the_shipped_templates_make_messages_that_are_taken() {
    let (pagerduty, slack) = (Double::pagerduty().await.unwrap(), Double::slack().await.unwrap());
    let webhook = Double::webhook().await.unwrap();
    let shipped = |name: &str| format!("template: '{}/templates/{name}'", env!("CARGO_MANIFEST_DIR"));
    let deliverer = deliverer(&format!(
        "
  webhook_configs: [{{url: '{}', {}}}]
  email_configs: [{{to: a@example.org, from: b@example.org, smarthost: 'mail.example:25', {}}}]
  pagerduty_configs: [{{url: '{}', routing_key: {KEY}, {}}}]
  slack_configs: [{{api_url: '{}', {}}}]
",
        webhook.url(),
        shipped("webhook.json.hbs"),
        shipped("email.html.hbs"),
        pagerduty.url(),
        shipped("pagerduty.json.hbs"),
        slack.url(),
        shipped("slack.json.hbs"),
    ));
    assert_eq!(deliverer.problems(), []);
    for (integration, expected) in
        [("pagerduty[0]", "delivered: HTTP 202: Event processed"), ("slack[0]", "delivered: ok")]
    {
        for delivery in [delivery(integration), resolved(delivery(integration))] {
            let attempt = deliverer.attempt(&delivery).await;
            assert_eq!((said(&attempt.outcome).as_str(), attempt.notes), (expected, Vec::new()));
        }
    }
    let event = pagerduty.taken()[0].json();
    assert_eq!(event["payload"]["summary"], "HighLatency · eu");
    assert_eq!(event["payload"]["custom_details"]["firing"]["a:9090"], "Latency is high on a:9090");
    let own = deliverer.preview(&delivery("webhook[0]")).unwrap().remove(0);
    assert_eq!(serde_json::from_slice::<Value>(&own.body).unwrap()["labels"]["cluster"], "eu");
    let mail = deliverer.preview(&delivery("email[0]")).unwrap().remove(0);
    assert_eq!(mail.notes, Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_used_is_named_and_the_rest_works() {
    let webhook = Double::webhook().await.unwrap();
    let url = webhook.url();
    let deliverer = deliverer(&format!(
        "
  webhook_configs:
  - {{url: '{url}'}}
  - {{url: '{url}', http_config: {{tls_config: {{ca: nonsense}}}}}}
  pagerduty_configs: [{{routing_key: abc, http_config: {{tls_config: {{ca: nonsense}}}}}}]
"
    ));
    let problems: Vec<String> = deliverer.problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("r/webhook[1]: tls_config.ca"), "{problems:?}");
    assert!(problems[1].starts_with("r/pagerduty[0]: tls_config.ca"), "{problems:?}");
    assert_eq!(said(&deliverer.deliver(&delivery("webhook[0]")).await), "delivered: HTTP 200");
    assert!(said(&deliverer.deliver(&delivery("webhook[1]")).await).starts_with("rejected: receiver: tls_config.ca"));
    // A reload took it away, and the state machine is about to hear of that.
    let gone = said(&deliverer.deliver(&delivery("webhook[9]")).await);
    assert_eq!(gone, "retry: receiver \"r\" has no integration webhook[9]");
}

#[tokio::test]
async fn what_was_decided_before_a_reload_goes_to_its_own_integration_or_nowhere() {
    let (slack, webhook) = (Double::slack().await.unwrap(), Double::webhook().await.unwrap());
    let hook = format!("  slack_configs: [{{api_url: '{}', channel: '#alerts'}}]\n", slack.url());
    let web = format!("  webhook_configs: [{{url: '{}'}}]\n", webhook.url());
    for (left, gone) in [(&hook, "webhook[0]"), (&web, "slack[0]")] {
        let outcome = said(&deliverer(left).deliver(&delivery(gone)).await);
        assert_eq!(outcome, format!("retry: receiver \"r\" has no integration {gone}"));
    }
    assert_eq!((slack.received().len(), webhook.received().len()), (0, 0));
    // One that a reload edited is told as it was when that was decided.
    let edited = deliverer(&web).continuing(&deliverer(&hook));
    assert!(said(&edited.deliver(&delivery("slack[0]")).await).starts_with("delivered"));
    assert_eq!((slack.received().len(), webhook.received().len()), (1, 0));
    for left in ["webhook[0]", "slack[0]"] {
        let both = deliverer(&format!("{hook}{web}"));
        assert!(said(&both.deliver(&delivery(left)).await).starts_with("delivered"));
    }
    assert_eq!((slack.taken().len(), webhook.taken().len()), (2, 1));
}

/// A channel that remembers what it was told.
#[derive(Default)]
struct Memory(std::sync::Mutex<Vec<String>>);

impl Channel for Memory {
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        Box::pin(async move {
            self.0.lock().unwrap().push(format!("{} {}", notification.status().as_str(), notification.subject()));
            DeliveryOutcome::Delivered { receipt: "remembered".to_owned() }
        })
    }
}

/// A channel that gets on by a step with each attempt, but not with the second.
struct Steps;

impl Channel for Steps {
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        Box::pin(async move {
            let reason = "the next one is away".to_owned();
            match (notification.attempt, &*notification.done) {
                (2, _) => DeliveryOutcome::Retry { after: None, reason },
                (_, "") => DeliveryOutcome::Partly { done: "the first".to_owned(), reason },
                (_, done) => DeliveryOutcome::Delivered { receipt: format!("{done} and the second") },
            }
        })
    }
}

/// A channel with a fault.
struct Faulty;

impl Channel for Faulty {
    fn send<'a>(&'a self, _: &'a Notification) -> Sending<'a> {
        Box::pin(async { std::panic::resume_unwind(Box::new("a channel of the embedding program")) })
    }
}

struct NoPlugins;

impl Provider for NoPlugins {
    fn descriptors(&self) -> Vec<watchfire_plugin::Descriptor> {
        Vec::new()
    }
    fn open_condition(
        &self,
        _: &str,
        _: &str,
    ) -> Result<Box<dyn watchfire_plugin::Condition>, watchfire_plugin::PluginError> {
        Err(watchfire_plugin::PluginError::Unsupported("none".to_owned()))
    }
    fn open_router(
        &self,
        _: &str,
        _: &str,
    ) -> Result<Box<dyn watchfire_plugin::Router>, watchfire_plugin::PluginError> {
        Err(watchfire_plugin::PluginError::Unsupported("none".to_owned()))
    }
    fn open_formatter(
        &self,
        _: &str,
        _: &str,
    ) -> Result<Box<dyn watchfire_plugin::Formatter>, watchfire_plugin::PluginError> {
        Err(watchfire_plugin::PluginError::Unsupported("none".to_owned()))
    }
}

#[tokio::test]
async fn an_embedding_program_brings_its_own_channel() {
    let memory = Arc::new(Memory::default());
    let channels = [("r".to_owned(), vec![memory.clone() as Arc<dyn Channel>])].into();
    let settings = Settings { channels, ..Settings::default() };
    let deliverer = Deliverer::new(settings, &[], Templates::new(), Arc::new(NoPlugins));
    assert_eq!(said(&deliverer.deliver(&delivery("custom[0]")).await), "delivered: remembered");
    assert_eq!(*memory.0.lock().unwrap(), ["firing HighLatency"]);
}

#[tokio::test]
async fn what_a_channel_has_done_of_a_notification_comes_with_its_next_attempt() {
    let channels = [("r".to_owned(), vec![Arc::new(Steps) as Arc<dyn Channel>])].into();
    let settings = Settings { channels, ..Settings::default() };
    let deliverer = Deliverer::new(settings, &[], Templates::new(), Arc::new(NoPlugins));
    let mut delivery = delivery("custom[0]");
    assert_eq!(said(&deliverer.deliver(&delivery).await), "partly, the first is done: the next one is away");
    delivery.done = "the first".into();
    for (attempt, expected) in [(2, "retry: the next one is away"), (3, "delivered: the first and the second")] {
        delivery.attempt = attempt;
        assert_eq!(said(&deliverer.deliver(&delivery).await), expected);
    }
}

#[tokio::test]
async fn an_attempt_that_panics_is_tried_again() {
    let channels = [("r".to_owned(), vec![Arc::new(Faulty) as Arc<dyn Channel>])].into();
    let settings = Settings { channels, ..Settings::default() };
    let deliverer = Deliverer::new(settings, &[], Templates::new(), Arc::new(NoPlugins));
    let outcome = said(&deliverer.deliver(&delivery("custom[0]")).await);
    assert_eq!(outcome, "retry: sending panicked, which is a bug: a channel of the embedding program");
}
