//! Channels that are data, sending to strict doubles of their services.

use expect_test::expect;
use serde_json::Value;
use watchfire_alerting::Delivery;
use watchfire_delivery::double::{Double, Fault};

use super::samples;
use super::service::{configured, deliverer, delivery, resolved, said};

/// Each channel with the settings that its double wants; `URL` stands for the double's address.
const CHANNELS: [(&str, &str); 14] = [
    (
        "opsgenie",
        "{api_url: 'URL', api_key: opsgenie-key, update_alerts: true, tags: 'a, b,', priority: P2, details: {team: '{{ .Receiver }}'}, \
         responders: [{type: teams, name: 'ops,db'}, {type: user, username: '{{ .CommonLabels.nobody }}'}, {type: user, username: x@example.org}]}",
    ),
    ("wechat", "{api_url: 'URL', api_secret: wechat-secret, corp_id: corp, to_user: '@all', send_resolved: true}"),
    (
        "victorops",
        "{api_url: 'URL', api_key: victorops-key, routing_key: ops, custom_fields: {team: '{{ .GroupLabels.cluster }}'}}",
    ),
    ("pushover", "{user_key: pushover-user, token: pushover-token, html: true}"),
    (
        "sns",
        "{api_url: 'URL', topic_arn: 'arn:aws:sns:eu-west-1:123456789012:alerts', attributes: {a: '1', b: '{{ .Status }}'}, \
         sigv4: {region: eu-west-1, access_key: AKIDEXAMPLE, secret_key: sns-secret-key}}",
    ),
    ("telegram", "{api_url: 'URL', bot_token: telegram-token, chat_id: -100123, message_thread_id: 7}"),
    ("discord", "{webhook_url: 'URL/discord-hook', username: Watchfire}"),
    ("webex", "{api_url: 'URL', room_id: r, http_config: {authorization: {credentials: webex-token}}}"),
    ("msteams", "{webhook_url: 'URL'}"),
    ("msteamsv2", "{webhook_url: 'URL'}"),
    (
        "jira",
        "{api_url: 'URL', project: KNOWN, issue_type: Bug, labels: [ops], resolve_transition: Done, fields: {customfield_1: {id: '{{ .Receiver }}'}}}",
    ),
    ("incidentio", "{url: 'URL', alert_source_token: incident-token}"),
    (
        "rocketchat",
        "{api_url: 'URL', token: rocket-token, token_id: rocket-id, channel: '#a', send_resolved: true, fields: [{title: a, value: b}], \
         actions: [{type: button, text: Open, url: 'https://example.org'}]}",
    ),
    (
        "mattermost",
        "{webhook_url: 'URL', fields: [{title: a, value: b, short: true}], priority: {priority: Urgent, requested_ack: true}}",
    ),
];

/// A notification that is larger than any of them takes, of as many sentences for each alert.
fn storm(integration: &str, sentences: usize) -> Delivery {
    let mut storm = delivery(integration);
    let one = storm.alerts[0].clone();
    storm.alerts = (0..450)
        .map(|number| {
            let mut alert = one.clone();
            let host = format!("host-{number}<&>\"é");
            let labels =
                alert.labels.iter().map(|label| (label.name, label.value)).filter(|(name, _)| *name != "instance");
            alert.labels = watchfire_model::Labels::from_pairs(labels.chain([("instance", host.as_str())]));
            let description = format!("<b>very</b> long & \"quoted\" text {number} ").repeat(sentences);
            let annotations = alert.annotations.iter().chain([("description", description.as_str())]);
            alert.annotations = annotations.collect();
            alert
        })
        .collect();
    storm
}

/// Some services refuse a message without a text, and an alert source without its alerts.
#[tokio::test]
async fn a_storm_of_which_no_template_can_tell_all_is_told_in_part() {
    for (name, settings) in CHANNELS.into_iter().filter(|(name, _)| ["sns", "webex", "incidentio"].contains(name)) {
        let double = Double::channel(name).await.unwrap();
        let deliverer = deliverer(&format!("  {name}_configs: [{}]", settings.replace("URL", &double.url())));
        let attempt = deliverer.attempt(&storm(&format!("{name}[0]"), 300)).await;
        let shown = said(&attempt.outcome);
        assert!(shown.starts_with("delivered"), "{name}: {shown} {:?}", attempt.notes);
        let short =
            |note: &String| note.contains("of the first 28 of 450 alerts") || note.contains("is shortened from");
        assert!(attempt.notes.iter().any(short), "{name}: {:?}", attempt.notes);
        let body = String::from_utf8_lossy(&double.taken()[0].body).into_owned();
        assert!(body.contains("host-0"), "{name}: {body}");
    }
}

/// A page of a proxy, or nothing at all, with the status of success is none, where a service would say more.
#[tokio::test]
async fn an_answer_that_is_not_the_services_is_shown_as_it_is() {
    for name in ["wechat", "telegram", "rocketchat"] {
        let (_, settings) = CHANNELS.into_iter().find(|(known, _)| *known == name).unwrap();
        for (body, shown) in [("<p>sign in</p>", "<p>sign in</p>"), ("{}", "{}"), ("", "the answer is empty")] {
            let double = Double::channel(name).await.unwrap();
            let deliverer = deliverer(&format!("  {name}_configs: [{}]", settings.replace("URL", &double.url())));
            double.fail_next([Fault::Answer { status: 200, headers: Vec::new(), body: body.to_owned() }]);
            let outcome = said(&deliverer.deliver(&delivery(&format!("{name}[0]"))).await);
            let expected = if name == "wechat" { format!("no token: {shown}") } else { shown.to_owned() };
            assert_eq!(outcome, format!("rejected: {expected}"), "{name}");
        }
    }
}

#[tokio::test]
async fn every_channel_is_told_in_its_services_own_terms() {
    let mut told = String::new();
    for (name, settings) in CHANNELS {
        // Its address is not a setting of Alertmanager's, so that there is nothing to point at the double.
        if name == "pushover" {
            continue;
        }
        let double = Double::channel(name).await.unwrap();
        let settings = settings.replace("URL", &double.url());
        let deliverer = deliverer(&format!("  {name}_configs: [{settings}]"));
        assert_eq!(deliverer.problems(), [], "{name}");
        told.push_str(&format!("## {name}\n"));
        let first = format!("{name}[0]");
        for delivery in [delivery(&first), resolved(delivery(&first)), storm(&first, 20)] {
            let attempt = deliverer.attempt(&delivery).await;
            let shown = said(&attempt.outcome);
            assert!(shown.starts_with("delivered"), "{name}: {shown}\n{:?}", attempt.exchanges);
            told.push_str(&format!("{shown}\n"));
        }
        // What the storm is cut to is judged by the double; what is said is judged here, without the storm.
        let storm_began = double.received().len() / 3;
        for received in double.received().iter().take(storm_began.max(1)) {
            let body = String::from_utf8_lossy(&received.body).into_owned();
            assert!(!body.contains("<no value>") && !body.contains("\"{{"), "{name}: {body}");
        }
    }
    expect![[r###"
        ## opsgenie
        delivered: HTTP 202: {"result":"Request will be processed","took":0.1,"requestId":"r-1"}
        delivered: HTTP 202: {"result":"Request will be processed","took":0.1,"requestId":"r-1"}
        delivered: HTTP 202: {"result":"Request will be processed","took":0.1,"requestId":"r-1"}
        ## wechat
        delivered: HTTP 200: {"errcode":0,"errmsg":"ok"}
        delivered: HTTP 200: {"errcode":0,"errmsg":"ok"}
        delivered: HTTP 200: {"errcode":0,"errmsg":"ok"}
        ## victorops
        delivered: HTTP 200: {"result":"success","entity_id":"d4061866bc333de2350285b0452a21f78349e3d63b4f06b6c956f64f95d7be36"}
        delivered: HTTP 200: {"result":"success","entity_id":"d4061866bc333de2350285b0452a21f78349e3d63b4f06b6c956f64f95d7be36"}
        delivered: HTTP 200: {"result":"success","entity_id":"d4061866bc333de2350285b0452a21f78349e3d63b4f06b6c956f64f95d7be36"}
        ## sns
        delivered: m-1
        delivered: m-1
        delivered: m-1
        ## telegram
        delivered: 42
        delivered: 42
        delivered: 42
        ## discord
        delivered: HTTP 204
        delivered: HTTP 204
        delivered: HTTP 204
        ## webex
        delivered: w-1
        delivered: w-1
        delivered: w-1
        ## msteams
        delivered: HTTP 200: 1
        delivered: HTTP 200: 1
        delivered: HTTP 200: 1
        ## msteamsv2
        delivered: HTTP 202
        delivered: HTTP 202
        delivered: HTTP 202
        ## jira
        delivered: HTTP 204
        delivered: HTTP 204
        delivered: HTTP 204
        ## incidentio
        delivered: HTTP 202: {"status":"success"}
        delivered: HTTP 202: {"status":"success"}
        delivered: HTTP 202: {"status":"success"}
        ## rocketchat
        delivered: rc-1
        delivered: rc-1
        delivered: rc-1
        ## mattermost
        delivered: HTTP 200: ok
        delivered: HTTP 200: ok
        delivered: HTTP 200: ok
    "###]]
    .assert_eq(&told);
}

#[tokio::test]
async fn an_issue_is_made_once_updated_and_closed() {
    let jira = Double::channel("jira").await.unwrap();
    let url = jira.url();
    let deliverer = deliverer(&format!(
        "
  jira_configs:
  - {{api_url: '{url}', project: NEW, issue_type: Bug, resolve_transition: Done}}
  - {{api_url: '{url}', project: KNOWN, issue_type: Bug, resolve_transition: Done, summary: {{template: s, enable_update: false}}}}
  - {{api_url: '{url}', project: KNOWN, issue_type: Bug, resolve_transition: Nowhere}}
"
    ));
    let mut told = String::new();
    for delivery in [
        delivery("jira[0]"),
        resolved(delivery("jira[0]")),
        delivery("jira[1]"),
        resolved(delivery("jira[1]")),
        resolved(delivery("jira[2]")),
    ] {
        let attempt = deliverer.attempt(&delivery).await;
        told.push_str(&format!("{}\n", said(&attempt.outcome)));
        for exchange in &attempt.exchanges {
            let path = exchange.request.url.strip_prefix(&url).unwrap_or("elsewhere");
            let body: Value = serde_json::from_slice(&exchange.request.body).unwrap_or_default();
            let summary = body["fields"].get("summary").is_some();
            told.push_str(&format!(
                "  {} {path}{}\n",
                exchange.request.method.as_str(),
                if summary { " with a summary" } else { "" }
            ));
        }
    }
    expect![[r#"
        delivered: OPS-2
          POST /search
          POST /issue with a summary
        delivered: HTTP 200: {"issues":[]}
          POST /search
        delivered: HTTP 204
          POST /search
          PUT /issue/OPS-1
        delivered: HTTP 204
          POST /search
          PUT /issue/OPS-1
          GET /issue/OPS-1/transitions
          POST /issue/OPS-1/transitions
        rejected: the issue has no transition "Nowhere"
          POST /search
          PUT /issue/OPS-1 with a summary
          GET /issue/OPS-1/transitions
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn what_goes_wrong_at_a_service_is_told_apart() {
    let telegram = Double::channel("telegram").await.unwrap();
    let url = telegram.url();
    let one = format!("{{api_url: '{url}', bot_token: telegram-token, chat_id: 5, http_config: {{}}}}");
    let deliverer = deliverer(&format!("  telegram_configs: [{one}]"));
    let answer = |status, body: &str| Fault::Answer { status, headers: Vec::new(), body: body.to_owned() };
    let flood = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#;
    let mut told = Vec::new();
    for fault in [
        answer(429, flood),
        Fault::status(500),
        answer(403, r#"{"ok":false,"description":"Forbidden: bot was blocked by the user"}"#),
        answer(200, r#"{"ok":false,"description":"chat not found"}"#),
    ] {
        telegram.fail_next([fault]);
        told.push(said(&deliverer.deliver(&delivery("telegram[0]")).await));
    }
    telegram.fail_next([Fault::Reset]);
    let reset = said(&deliverer.deliver(&delivery("telegram[0]")).await);
    assert!(reset.starts_with("retry: no answer"), "{reset}");
    assert!(!reset.contains("telegram-token"), "{reset}");
    expect![[r#"
        [
            "retry after 7s: HTTP 429: {\"ok\":false,\"error_code\":429,\"description\":\"Too Many Requests: retry after 7\",\"parameters\":{\"retry_after\":7}}",
            "retry: HTTP 500",
            "retry: HTTP 403: {\"ok\":false,\"description\":\"Forbidden: bot was blocked by the user\"}",
            "rejected: chat not found",
        ]
    "#]]
    .assert_debug_eq(&told);
}

/// Each `<` takes six bytes of JSON, so that the text is shortened several times.
#[tokio::test]
async fn what_is_left_out_is_counted_from_the_whole_text() {
    let double = Double::echo().await.unwrap();
    let own = "channels: [{name: own, settings: {url: {}, text: {}}, requests: [{url: '{{ .url }}', bytes_max: 1000, \
               shorten: [text], json: {text: '{{ .text }}'}}]}]\n";
    let settings = format!("{{url: '{}', text: '{}'}}", double.url(), "<".repeat(2_000));
    let deliverer = configured(own, &format!("  channel_configs: [{{channel: own, settings: {settings}}}]\n"), &[]);
    deliverer.deliver(&delivery("own[0]")).await;
    let received = double.received().remove(0);
    let text = received.json()["text"].as_str().unwrap().to_owned();
    let kept = text.matches('<').count();
    assert!(received.body.len() <= 1_000 && kept > 100, "{text}");
    assert!(text.ends_with(&format!("… ({} more characters)", 2_000 - kept)), "{text}");
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_again_when_it_is_refused() {
    let wechat = Double::channel("wechat").await.unwrap();
    let url = wechat.url();
    let deliverer =
        deliverer(&format!("  wechat_configs: [{{api_url: '{url}', api_secret: wechat-secret, corp_id: corp}}]"));
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(said(&deliverer.deliver(&delivery("wechat[0]")).await));
    }
    let expired = r#"{"errcode":42001,"errmsg":"access_token expired"}"#.to_owned();
    wechat.fail_next([Fault::Answer { status: 200, headers: Vec::new(), body: expired }]);
    for _ in 0..2 {
        told.push(said(&deliverer.deliver(&delivery("wechat[0]")).await));
    }
    let paths: Vec<String> =
        wechat.received().iter().map(|r| r.path.split('?').next().unwrap_or("").to_owned()).collect();
    expect![[r#"
        (
            [
                "delivered: HTTP 200: {\"errcode\":0,\"errmsg\":\"ok\"}",
                "delivered: HTTP 200: {\"errcode\":0,\"errmsg\":\"ok\"}",
                "retry: 42001: access_token expired",
                "delivered: HTTP 200: {\"errcode\":0,\"errmsg\":\"ok\"}",
            ],
            [
                "/cgi-bin/gettoken",
                "/cgi-bin/message/send",
                "/cgi-bin/message/send",
                "/cgi-bin/message/send",
                "/cgi-bin/gettoken",
                "/cgi-bin/message/send",
            ],
        )
    "#]]
    .assert_debug_eq(&(told, paths));
}

/// A channel of the user's own, in the configuration.
const NTFY: &str = "
channels:
- name: ntfy
  settings:
    url: {required: true}
    topic: {required: true}
    token: {kind: secret}
    title: {default: '{{ .Status }}: {{ .GroupLabels.alertname }}', max: 40}
    text: {default: '{{ range .Alerts }}{{ .Annotations.summary }}. {{ end }}', max: 80}
  message: {title: title, body: text}
  requests:
  - url: '{{ .url }}'
    headers: {Authorization: 'Bearer {{ .token }}'}
    takes_message: true
    json:
      topic: '{{ .topic }}'
      title: '{{ .title }}'
      message: '{{ .text }}'
      priority: {$json: '{{ if eq .severity \"critical\" }}5{{ else }}3{{ end }}'}
    answer: {retried: [409], receipt: /id}
";

#[tokio::test]
async fn users_bring_their_own_channels_in_the_configuration() {
    let ntfy = Double::channel("ntfy").await.unwrap();
    let url = ntfy.url();
    let receiver = format!(
        "  channel_configs:
  - {{channel: ntfy, settings: {{url: '{url}', topic: '{{{{ .GroupLabels.cluster }}}}', token: ntfy-token}}}}
  - {{channel: ntfy, settings: {{url: '{url}', topic: b, token: ntfy-token}}, formatter: {{plugin: echo, config: {{message: in my words}}}}}}
"
    );
    let deliverer = configured(NTFY, &receiver, &[]);
    assert_eq!(deliverer.problems(), []);
    ntfy.fail_next([Fault::status(409)]);
    let mut told = Vec::new();
    for integration in [0, 0, 1] {
        told.push(said(&deliverer.deliver(&delivery(&format!("ntfy[{integration}]"))).await));
    }
    let bodies: Vec<Value> = ntfy.taken().iter().map(|received| received.json()).collect();
    expect![[r#"
        (
            [
                "retry: HTTP 409",
                "delivered: n-1",
                "delivered: n-1",
            ],
            [
                "{\"topic\":\"eu\",\"title\":\"firing: HighLatency\",\"message\":\"Latency is high on a:9090. Latency is high on b:9090. \",\"priority\":5}",
                "{\"topic\":\"b\",\"title\":\"firing: HighLatency\",\"message\":\"in my words\",\"priority\":5}",
            ],
        )
    "#]]
    .assert_debug_eq(&(told, bodies.iter().map(Value::to_string).collect::<Vec<_>>()));
    let shown = format!("{:?}", deliverer.preview(&delivery("ntfy[0]")).unwrap().remove(0).headers);
    assert!(!shown.contains("ntfy-token"), "{shown}");
}

#[test]
fn a_preview_of_every_channel_is_without_its_secrets() {
    let secrets = [
        "opsgenie-key",
        "wechat-secret",
        "victorops-key",
        "pushover-user",
        "pushover-token",
        "sns-secret-key",
        "telegram-token",
        "discord-hook",
        "webex-token",
        "incident-token",
        "rocket-token",
        "rocket-id",
    ];
    for (name, settings) in CHANNELS {
        let settings = settings.replace("URL", "https://service.example/x");
        let deliverer = deliverer(&format!("  {name}_configs: [{settings}]"));
        let requests = deliverer.preview(&delivery(&format!("{name}[0]"))).unwrap();
        assert!(!requests.is_empty(), "{name}");
        for request in requests {
            let shown = format!("{} {:?} {}", request.url, request.headers, String::from_utf8_lossy(&request.body));
            for secret in secrets {
                assert!(!shown.contains(secret), "{name}: {shown}");
            }
        }
    }
    assert_eq!(samples::pair().alerts.len(), 2);
}
