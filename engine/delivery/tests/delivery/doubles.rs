//! The doubles themselves: what they refuse, so that passing them means something.

use serde_json::{Value, json};
use watchfire_delivery::double::{Double, Fault, check_pagerduty, check_slack};

fn event() -> Value {
    json!({
        "routing_key": "0123456789abcdef0123456789abcdef", "event_action": "trigger", "dedup_key": "k",
        "payload": {"summary": "s", "source": "h", "severity": "error", "timestamp": "2026-11-20T21:20:00Z"},
        "links": [{"href": "http://x"}], "images": [{"src": "https://x"}],
    })
}

#[test]
fn pagerduty_refuses_every_field_that_is_wrong() {
    assert_eq!(check_pagerduty(&event()), Vec::<String>::new());
    let long = |count: usize| Value::from("x".repeat(count));
    let table = [
        ("/routing_key", json!("short")),
        ("/routing_key", Value::Null),
        ("/event_action", json!("open")),
        ("/dedup_key", long(256)),
        ("/dedup_key", json!("")),
        ("/dedup_key", json!(1)),
        ("/payload", json!("text")),
        ("/payload/summary", long(1025)),
        ("/payload/summary", json!("")),
        ("/payload/source", Value::Null),
        ("/payload/severity", json!("page")),
        ("/payload/timestamp", json!("yesterday")),
        ("/links/0", json!({"text": "no href"})),
        ("/links/0", json!({"href": "x", "title": "unknown"})),
        ("/images/0/src", json!("http://not.secure")),
        ("/client_url", json!(1)),
        ("/surprise", json!(1)),
        ("/payload/surprise", json!(1)),
        ("/payload/custom_details", json!([1])),
    ];
    for (path, value) in table {
        let mut wrong = event();
        set(&mut wrong, path, value.clone());
        assert!(!check_pagerduty(&wrong).is_empty(), "{path} = {value}");
    }
    let mut resolve = json!({"routing_key": event()["routing_key"], "event_action": "resolve", "dedup_key": "k"});
    assert_eq!(check_pagerduty(&resolve), Vec::<String>::new());
    resolve.as_object_mut().unwrap().remove("dedup_key");
    assert!(!check_pagerduty(&resolve).is_empty());
}

fn set(value: &mut Value, path: &str, new: Value) {
    let (parent, name) = path.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = new,
        Value::Object(map) => drop(map.insert(name.to_owned(), new)),
        other => panic!("{other} has no {name}"),
    }
}

#[test]
fn slack_refuses_what_its_reference_forbids() {
    let section = |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let header = |text: &str| json!({"type": "header", "text": {"type": "plain_text", "text": text}});
    let button = |url: &str| {
        json!({"type": "actions", "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": "t"}, "url": url}
        ]})
    };
    let blocks = |blocks: Vec<Value>| json!({"blocks": blocks});
    let table = [
        (json!({"text": "x"}), Ok(())),
        (blocks(vec![header(&"x".repeat(150)), section(&"x".repeat(3000)), button("https://x")]), Ok(())),
        (json!([]), Err("invalid_payload")),
        (json!({}), Err("no_text")),
        (json!({"text": ""}), Err("no_text")),
        (json!({"text": "x".repeat(40_001)}), Err("msg_too_long")),
        (json!({"text": 1}), Err("invalid_payload")),
        (json!({"attachments": vec![json!({"text": "x"}); 101]}), Err("too_many_attachments")),
        (json!({"attachments": [{"colour": "red"}]}), Err("invalid_attachments")),
        (json!({"attachments": [{"footer": "x".repeat(301)}]}), Err("invalid_attachments")),
        (json!({"attachments": [{"fields": [{"title": "no value"}]}]}), Err("invalid_attachments")),
        (blocks(vec![]), Err("invalid_blocks")),
        (blocks(vec![section("x"); 51]), Err("invalid_blocks")),
        (blocks(vec![section("")]), Err("invalid_blocks")),
        (blocks(vec![section(&"x".repeat(3001))]), Err("invalid_blocks")),
        (blocks(vec![section(&"🎉".repeat(1501))]), Err("invalid_blocks")),
        (blocks(vec![section(&"x".repeat(2900)); 5]), Err("msg_blocks_too_long")),
        (blocks(vec![header(&"x".repeat(151))]), Err("invalid_blocks")),
        (blocks(vec![json!({"type": "header", "text": {"type": "mrkdwn", "text": "x"}})]), Err("invalid_blocks")),
        (
            blocks(vec![json!({"type": "section", "text": {"type": "mrkdwn", "text": "x", "emoji": true}})]),
            Err("invalid_blocks"),
        ),
        (blocks(vec![json!({"type": "section"})]), Err("invalid_blocks")),
        (blocks(vec![json!({"type": "surprise"})]), Err("invalid_blocks")),
        (blocks(vec![button("javascript:alert(1)")]), Err("invalid_blocks")),
        (blocks(vec![button(&format!("https://x/{}", "x".repeat(3000)))]), Err("invalid_blocks")),
        (blocks(vec![json!({"type": "context", "elements": []})]), Err("invalid_blocks")),
    ];
    for (message, expected) in table {
        assert_eq!(check_slack(&message), expected, "{}", message.to_string().chars().take(200).collect::<String>());
    }
}

#[tokio::test]
async fn they_answer_as_the_services_do() {
    let (pagerduty, slack, webhook) =
        (Double::pagerduty().await.unwrap(), Double::slack().await.unwrap(), Double::webhook().await.unwrap());
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |url: String, body: String| {
        let request = client.post(url).header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let said = post(pagerduty.url(), "{}".to_owned()).await;
    assert_eq!(said.0, 400);
    let body: Value = serde_json::from_str(&said.1).unwrap();
    assert_eq!((&body["status"], &body["message"]), (&"invalid event".into(), &"Event object is invalid".into()));
    assert_eq!(body["errors"][0], "'routing_key' is missing or blank");
    let mut big = event();
    big["payload"]["custom_details"] = json!({"x": "x".repeat(512_000)});
    assert_eq!(post(pagerduty.url(), big.to_string()).await.0, 413);
    let taken = post(pagerduty.url(), event().to_string()).await;
    assert_eq!(taken, (202, r#"{"status":"success","message":"Event processed","dedup_key":"k"}"#.to_owned()));
    pagerduty.fail_next([Fault::too_fast("1")]);
    assert_eq!(post(pagerduty.url(), event().to_string()).await.0, 429);
    assert_eq!(post(slack.url(), "{".to_owned()).await, (400, "invalid_payload".to_owned()));
    assert_eq!(post(slack.url(), r#"{"text":"x"}"#.to_owned()).await, (200, "ok".to_owned()));
    let api = format!("http://{}/api/chat.postMessage", slack.address());
    assert_eq!(post(api, r#"{"text":"x"}"#.to_owned()).await, (200, r#"{"ok":false,"error":"not_authed"}"#.to_owned()));
    assert_eq!(post(webhook.url(), r#"{"version":"4"}"#.to_owned()).await.0, 400);
    assert_eq!([pagerduty.taken().len(), slack.taken().len(), webhook.taken().len()], [1, 2, 0]);
}
