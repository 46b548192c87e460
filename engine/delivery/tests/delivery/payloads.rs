//! Goldens: whole payloads as they are sent, each judged by the published schema as well.

use expect_test::{Expect, expect};
use serde_json::Value;
use watchfire_delivery::double;
use watchfire_delivery::{Notification, Request, Topic, pagerduty, slack, webhook};
use watchfire_plugin::Message;

use super::samples::{alert, notification, pair, resolved, single};

const KEY: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn pagerduty_fields() -> pagerduty::Fields {
    pagerduty::Fields { routing_key: KEY.to_owned(), ..Default::default() }
}

pub(crate) fn slack_fields() -> slack::Fields {
    slack::Fields {
        url: "https://hooks.slack.example/services/T/B/x".to_owned(),
        channel: "#alerts".to_owned(),
        ..Default::default()
    }
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// What the strict double and, where it is at hand, the published schema say against a body.
pub(crate) fn verdict(schema: &'static str, body: &Value) -> Vec<String> {
    let mut problems = match schema {
        PAGERDUTY_SCHEMA => double::check_pagerduty(body),
        _ => double::check_slack(body).err().map(str::to_owned).into_iter().collect(),
    };
    problems.extend(super::data::schema(schema).map(|schema| super::schema::errors(&schema, body)).unwrap_or_default());
    problems
}

pub(crate) const PAGERDUTY_SCHEMA: &str = "pagerduty/events-v2.strict.schema.json";
pub(crate) const SLACK_SCHEMA: &str = "slack/slack-message.schema.json";

fn golden(schema: &'static str, request: &Request, expected: &Expect) {
    let body = body(request);
    expected.assert_eq(&serde_json::to_string_pretty(&body).unwrap());
    assert_eq!(verdict(schema, &body), Vec::<String>::new());
}

fn over(mut notification: Notification) -> Notification {
    let alerts: Vec<_> = notification.alerts.drain(..).map(|view| resolved(view.alert)).collect();
    super::samples::notification(alerts)
}

#[test]
fn the_published_examples_fit_their_schemas() {
    let test = "the_published_examples_fit_their_schemas";
    for (schema, example) in [
        (PAGERDUTY_SCHEMA, "pagerduty/examples/enqueue.event.json"),
        (SLACK_SCHEMA, "slack/examples/notification-alert.json"),
        (SLACK_SCHEMA, "slack/examples/approval-message.json"),
    ] {
        let Some(example) = super::data::json(test, &format!("notify-schemas/{example}")) else { return };
        assert_eq!(super::schema::errors(&super::data::schema(schema).unwrap(), &example), Vec::<String>::new());
    }
}

#[test]
fn pagerduty_triggers() {
    let request = pagerduty::build(&pagerduty_fields(), &pair(), None).unwrap();
    assert_eq!(request.url, pagerduty::EVENTS_URL);
    golden(
        PAGERDUTY_SCHEMA,
        &request,
        &expect![[r#"
        {
          "routing_key": "0123456789abcdef0123456789abcdef",
          "dedup_key": "2cc6e9e0e3d5a0a9176143f75478b6ea142d2582e815165c8d08e4f566d2e18c",
          "event_action": "trigger",
          "payload": {
            "summary": "p99 > 1s & \"rising\" <b>ü\nline2",
            "source": "Watchfire",
            "severity": "critical",
            "timestamp": "2026-11-20T21:08:00.000Z",
            "custom_details": {
              "firing": [
                {
                  "status": "firing",
                  "labels": {
                    "alertname": "HighLatency",
                    "cluster": "eu",
                    "instance": "a:9090",
                    "severity": "critical"
                  },
                  "annotations": {
                    "description": "p99 > 1s & \"rising\" <b>ü\nline2",
                    "runbook_url": "https://runbooks.example/latency",
                    "summary": "Latency is high on a:9090"
                  },
                  "startsAt": "2026-11-20T21:08:00Z",
                  "endsAt": "0001-01-01T00:00:00Z",
                  "generatorURL": "http://prom.example/graph?g0.expr=up%3E0&g0.tab=1",
                  "fingerprint": "79fc4e413085a1cc"
                },
                {
                  "status": "firing",
                  "labels": {
                    "alertname": "HighLatency",
                    "cluster": "eu",
                    "instance": "b:9090",
                    "severity": "warning"
                  },
                  "annotations": {
                    "description": "p99 > 1s & \"rising\" <b>ü\nline2",
                    "runbook_url": "https://runbooks.example/latency",
                    "summary": "Latency is high on b:9090"
                  },
                  "startsAt": "2026-11-20T21:15:00Z",
                  "endsAt": "0001-01-01T00:00:00Z",
                  "generatorURL": "http://prom.example/graph?g0.expr=up%3E0&g0.tab=1",
                  "fingerprint": "0c0ca70dd38ea13c"
                }
              ],
              "num_firing": 2,
              "num_resolved": 0,
              "resolved": []
            }
          },
          "client": "Watchfire",
          "client_url": "https://watchfire.example/#/alerts?receiver=on-call",
          "links": [
            {
              "href": "https://runbooks.example/latency",
              "text": "Runbook"
            },
            {
              "href": "https://watchfire.example/#/silences/new?filter=%7Balertname%3D%22HighLatency%22%2C%20cluster%3D%22eu%22%7D",
              "text": "Silence"
            }
          ]
        }"#]],
    );
}

#[test]
fn pagerduty_acknowledges_and_resolves_the_incident_that_it_opened() {
    let mut acknowledged = pair();
    acknowledged.topic = Topic::Acknowledged;
    let events: Vec<Value> = [pair(), acknowledged, over(pair())]
        .iter()
        .map(|notification| body(&pagerduty::build(&pagerduty_fields(), notification, None).unwrap()))
        .collect();
    let actions: Vec<&Value> = events.iter().map(|event| &event["event_action"]).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    assert!(events.iter().all(|event| event["dedup_key"] == events[0]["dedup_key"]));
    for event in &events {
        assert_eq!(verdict(PAGERDUTY_SCHEMA, event), Vec::<String>::new());
    }
}

#[test]
fn pagerduty_takes_severity_from_the_setting_or_the_worst_firing_alert() {
    let mut half = pair();
    half.alerts[0] = watchfire_plugin::AlertView::new(resolved(half.alerts[0].alert.clone()), half.at);
    for (setting, notification, expected, notes) in [
        (None, &pair(), "critical", 0),
        (None, &half, "warning", 0),
        (Some("page"), &half, "critical", 0),
        (Some(" Error "), &pair(), "error", 0),
        (Some("sev-1"), &pair(), "critical", 1),
    ] {
        let fields = pagerduty::Fields { severity: setting.map(str::to_owned), ..pagerduty_fields() };
        let request = pagerduty::build(&fields, notification, None).unwrap();
        assert_eq!(body(&request)["payload"]["severity"], expected, "{setting:?}");
        assert_eq!(request.notes.len(), notes, "{:?}", request.notes);
    }
}

#[test]
fn a_routing_key_that_pagerduty_would_refuse_is_refused_and_that_of_another_service_is_sent() {
    let result = |url: &str, key: &str| {
        let fields = pagerduty::Fields { url: url.to_owned(), routing_key: key.to_owned(), ..Default::default() };
        match pagerduty::build(&fields, &pair(), None) {
            Ok(request) => format!("{} to {}", body(&request)["routing_key"], request.url),
            Err(error) => error.to_string(),
        }
    };
    let table = [
        ("", "short", "routing_key: a PagerDuty routing key has 32 characters, this one has 5"),
        (pagerduty::EVENTS_URL, "short", "routing_key: a PagerDuty routing key has 32 characters, this one has 5"),
        ("https://oncall.example/v2/enqueue", " short ", "\"short\" to https://oncall.example/v2/enqueue"),
        ("https://oncall.example/v2/enqueue", " ", "routing_key: it is empty"),
    ];
    for (url, key, expected) in table {
        assert_eq!(result(url, key), expected, "{url} {key:?}");
    }
}

#[test]
fn a_formatters_words_replace_the_built_in_event() {
    let message = Message {
        title: "Checkout is slow".to_owned(),
        content_type: "application/json".to_owned(),
        body: r#"{"severity": "error", "component": "checkout", "custom_details": {"p99": 1.7}, "odd": 1}"#.to_owned(),
        headers: Vec::new(),
        dedup_key: Some("checkout".to_owned()),
        target: None,
    };
    let request = pagerduty::build(&pagerduty_fields(), &pair(), Some(&message)).unwrap();
    let event = body(&request);
    assert_eq!(verdict(PAGERDUTY_SCHEMA, &event), Vec::<String>::new());
    let payload = event["payload"].as_object().unwrap();
    let told = ["summary", "severity", "component", "custom_details"].map(|name| payload[name].to_string());
    assert_eq!(told, ["\"Checkout is slow\"", "\"error\"", "\"checkout\"", r#"{"p99":1.7}"#]);
    assert_eq!(event["dedup_key"], "checkout");
}

#[test]
fn slack_shows_a_group_of_alerts() {
    let request = slack::build(&slack_fields(), &pair(), None).unwrap();
    golden(
        SLACK_SCHEMA,
        &request,
        &expect![[r##"
            {
              "channel": "#alerts",
              "attachments": [
                {
                  "color": "#e01e5a",
                  "fallback": "[FIRING:2] HighLatency: p99 &gt; 1s &amp; \"rising\" &lt;b&gt;ü\nline2",
                  "blocks": [
                    {
                      "type": "header",
                      "text": {
                        "type": "plain_text",
                        "text": "🔥 HighLatency · eu",
                        "emoji": true
                      }
                    },
                    {
                      "type": "section",
                      "text": {
                        "type": "mrkdwn",
                        "text": "p99 &gt; 1s &amp; \"rising\" &lt;b&gt;ü\nline2"
                      }
                    },
                    {
                      "type": "context",
                      "elements": [
                        {
                          "type": "mrkdwn",
                          "text": "*critical*  ·  2 firing  ·  since <!date^1795208880^{date_short_pretty} {time}|2026-11-20 21:08 UTC>"
                        }
                      ]
                    },
                    {
                      "type": "section",
                      "text": {
                        "type": "mrkdwn",
                        "text": "🔴 *a:9090*  Latency is high on a:9090"
                      }
                    },
                    {
                      "type": "section",
                      "text": {
                        "type": "mrkdwn",
                        "text": "🟡 *b:9090*  Latency is high on b:9090"
                      }
                    },
                    {
                      "type": "actions",
                      "elements": [
                        {
                          "type": "button",
                          "text": {
                            "type": "plain_text",
                            "text": "Runbook"
                          },
                          "url": "https://runbooks.example/latency",
                          "action_id": "runbook"
                        },
                        {
                          "type": "button",
                          "text": {
                            "type": "plain_text",
                            "text": "Source"
                          },
                          "url": "http://prom.example/graph?g0.expr=up%3E0&g0.tab=1",
                          "action_id": "source"
                        },
                        {
                          "type": "button",
                          "text": {
                            "type": "plain_text",
                            "text": "Silence"
                          },
                          "url": "https://watchfire.example/#/silences/new?filter=%7Balertname%3D%22HighLatency%22%2C%20cluster%3D%22eu%22%7D",
                          "action_id": "silence"
                        },
                        {
                          "type": "button",
                          "text": {
                            "type": "plain_text",
                            "text": "Open in Watchfire"
                          },
                          "url": "https://watchfire.example/#/alerts?receiver=on-call",
                          "action_id": "open_in_watchfire"
                        }
                      ]
                    },
                    {
                      "type": "context",
                      "elements": [
                        {
                          "type": "mrkdwn",
                          "text": "Watchfire · on-call · <!date^1795209600^{date_short_pretty} {time}|2026-11-20 21:20 UTC>"
                        }
                      ]
                    }
                  ]
                }
              ]
            }"##]],
    );
}

#[test]
fn slack_shows_a_single_alert() {
    let request = slack::build(&slack_fields(), &single(), None).unwrap();
    golden(
        SLACK_SCHEMA,
        &request,
        &expect![[r##"
        {
          "channel": "#alerts",
          "attachments": [
            {
              "color": "#ecb22e",
              "fallback": "[FIRING:1] DiskWillFillIn4Hours: The disk of db-1.eu.example will be full at 16:40",
              "blocks": [
                {
                  "type": "header",
                  "text": {
                    "type": "plain_text",
                    "text": "⚠️ DiskWillFillIn4Hours · eu",
                    "emoji": true
                  }
                },
                {
                  "type": "section",
                  "text": {
                    "type": "mrkdwn",
                    "text": "*The disk of db-1.eu.example will be full at 16:40*\nIt has 12.3 GiB left and loses 52 MiB a minute."
                  }
                },
                {
                  "type": "context",
                  "elements": [
                    {
                      "type": "mrkdwn",
                      "text": "*warning*  ·  1 firing  ·  since <!date^1795209420^{date_short_pretty} {time}|2026-11-20 21:17 UTC>"
                    }
                  ]
                },
                {
                  "type": "section",
                  "fields": [
                    {
                      "type": "mrkdwn",
                      "text": "*cluster*\neu"
                    },
                    {
                      "type": "mrkdwn",
                      "text": "*device*\n/dev/sda1"
                    },
                    {
                      "type": "mrkdwn",
                      "text": "*instance*\ndb-1.eu.example:9100"
                    },
                    {
                      "type": "mrkdwn",
                      "text": "*value*\n0.0714"
                    }
                  ]
                },
                {
                  "type": "actions",
                  "elements": [
                    {
                      "type": "button",
                      "text": {
                        "type": "plain_text",
                        "text": "Dashboard"
                      },
                      "url": "https://grafana.example/d/disk?var-host=db-1",
                      "action_id": "dashboard"
                    },
                    {
                      "type": "button",
                      "text": {
                        "type": "plain_text",
                        "text": "Source"
                      },
                      "url": "http://prom.example/graph?g0.expr=up%3E0&g0.tab=1",
                      "action_id": "source"
                    },
                    {
                      "type": "button",
                      "text": {
                        "type": "plain_text",
                        "text": "Silence"
                      },
                      "url": "https://watchfire.example/#/silences/new?filter=%7Balertname%3D%22DiskWillFillIn4Hours%22%2C%20cluster%3D%22eu%22%7D",
                      "action_id": "silence"
                    },
                    {
                      "type": "button",
                      "text": {
                        "type": "plain_text",
                        "text": "Open in Watchfire"
                      },
                      "url": "https://watchfire.example/#/alerts?receiver=on-call",
                      "action_id": "open_in_watchfire"
                    }
                  ]
                },
                {
                  "type": "context",
                  "elements": [
                    {
                      "type": "mrkdwn",
                      "text": "Watchfire · on-call · <!date^1795209600^{date_short_pretty} {time}|2026-11-20 21:20 UTC>"
                    }
                  ]
                }
              ]
            }
          ]
        }"##]],
    );
}

#[test]
fn slack_shows_that_it_is_over() {
    let request = slack::build(&slack_fields(), &over(single()), None).unwrap();
    golden(
        SLACK_SCHEMA,
        &request,
        &expect![[r##"
        {
          "channel": "#alerts",
          "attachments": [
            {
              "color": "#2eb67d",
              "fallback": "[RESOLVED] DiskWillFillIn4Hours: The disk of db-1.eu.example will be full at 16:40",
              "blocks": [
                {
                  "type": "header",
                  "text": {
                    "type": "plain_text",
                    "text": "✅ DiskWillFillIn4Hours · eu",
                    "emoji": true
                  }
                },
                {
                  "type": "section",
                  "text": {
                    "type": "mrkdwn",
                    "text": "*The disk of db-1.eu.example will be full at 16:40*\nIt has 12.3 GiB left and loses 52 MiB a minute."
                  }
                },
                {
                  "type": "context",
                  "elements": [
                    {
                      "type": "mrkdwn",
                      "text": "1 resolved  ·  after 2 min 30 s"
                    }
                  ]
                },
                {
                  "type": "section",
                  "fields": [
                    {
                      "type": "mrkdwn",
                      "text": "*cluster*\neu"
                    },
                    {
                      "type": "mrkdwn",
                      "text": "*device*\n/dev/sda1"
                    },
                    {
                      "type": "mrkdwn",
                      "text": "*instance*\ndb-1.eu.example:9100"
                    },
                    {
                      "type": "mrkdwn",
                      "text": "*value*\n0.0714"
                    }
                  ]
                },
                {
                  "type": "actions",
                  "elements": [
                    {
                      "type": "button",
                      "text": {
                        "type": "plain_text",
                        "text": "Dashboard"
                      },
                      "url": "https://grafana.example/d/disk?var-host=db-1",
                      "action_id": "dashboard"
                    },
                    {
                      "type": "button",
                      "text": {
                        "type": "plain_text",
                        "text": "Source"
                      },
                      "url": "http://prom.example/graph?g0.expr=up%3E0&g0.tab=1",
                      "action_id": "source"
                    },
                    {
                      "type": "button",
                      "text": {
                        "type": "plain_text",
                        "text": "Open in Watchfire"
                      },
                      "url": "https://watchfire.example/#/alerts?receiver=on-call",
                      "action_id": "open_in_watchfire"
                    }
                  ]
                },
                {
                  "type": "context",
                  "elements": [
                    {
                      "type": "mrkdwn",
                      "text": "Watchfire · on-call · <!date^1795209600^{date_short_pretty} {time}|2026-11-20 21:20 UTC>"
                    }
                  ]
                }
              ]
            }
          ]
        }"##]],
    );
}

#[test]
fn slack_with_a_token_posts_through_the_api() {
    let fields = slack::Fields { url: String::new(), token: "xoxb-1".to_owned(), ..slack_fields() };
    let request = slack::build(&fields, &single(), None).unwrap();
    assert_eq!(
        (request.url.as_str(), request.header("authorization")),
        (slack::POST_MESSAGE_URL, Some("Bearer xoxb-1"))
    );
    let without = slack::Fields { channel: String::new(), ..fields };
    assert!(slack::build(&without, &single(), None).is_err());
    assert!(slack::build(&slack::Fields::default(), &single(), None).is_err());
}

#[test]
fn slack_text_is_escaped_so_that_a_label_cannot_call_everybody() {
    let labels = [("alertname", "<!channel>"), ("pod", "<@U1> & `x`"), ("severity", "info")];
    let notification = notification(vec![alert(&labels, &[("summary", "<!here> look")], 1)]);
    let text = String::from_utf8(slack::build(&slack_fields(), &notification, None).unwrap().body).unwrap();
    let text: Value = serde_json::from_str(&text).unwrap();
    // The header is plain text, in which nothing is a mention.
    let blocks = text["attachments"][0]["blocks"].as_array().unwrap()[1..].to_vec();
    let rest = serde_json::to_string(&blocks).unwrap();
    for mention in ["<!channel>", "<!here>", "<@U1>"] {
        assert!(!rest.contains(mention), "{rest}");
    }
}

#[test]
fn a_webhook_sends_its_first_alerts_and_counts_the_rest() {
    let fields = webhook::Fields { url: "http://x/".to_owned(), max_alerts: 1, ..Default::default() };
    let request = webhook::build(&fields, &pair(), None).unwrap();
    let body = body(&request);
    assert_eq!((body["alerts"].as_array().unwrap().len(), &body["truncatedAlerts"]), (1, &Value::from(1)));
    assert_eq!(request.header("idempotency-key"), Some("6f1c2a"));
    assert_eq!(request.notes, ["1 alerts are left out because of max_alerts"]);
}
