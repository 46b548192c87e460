use expect_test::{Expect, expect};
use proptest::prelude::*;
use watchfire_model::FieldValue;

use super::*;
use crate::test_data;

const RECEIVED: Timestamp = Timestamp::from_secs(1_700_000_000);
const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson; charset=utf-8")];
const CLOUD: &[(&str, &str)] = &[("Content-Type", "application/cloudevents+json; charset=UTF-8")];
const BATCH: &[(&str, &str)] = &[("Content-Type", "application/cloudevents-batch+json")];

fn read(headers: &[(&str, &str)], body: &str) -> DecodedEvents {
    decode(headers, body.as_bytes(), RECEIVED, &Limits::STANDARD).unwrap()
}

fn shown(decoded: &DecodedEvents) -> String {
    let mut lines = Vec::new();
    for event in &decoded.events {
        let at = event.time.since(RECEIVED).as_millis();
        let fields: Vec<_> = event.fields.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        lines.push(format!("{} {:?} @{at} {:?} [{}]", event.kind, event.id, event.body, fields.join(" ")));
    }
    lines.extend(decoded.rejections.first.iter().map(|rejection| format!("! {rejection}")));
    lines.join("\n")
}

#[test]
fn every_shape_of_json_is_events() {
    let a = r#"{"type":"a"}"#;
    let b = r#"{"type":"b"}"#;
    let table = [
        (JSON, a.to_owned(), vec!["a"]),
        (JSON, format!("[{a},{b}]"), vec!["a", "b"]),
        (JSON, format!("{a}\n{b}\n"), vec!["a", "b"]),
        (JSON, format!(" [ {a} ] "), vec!["a"]),
        (NDJSON, format!("{a}\r\n\n{b}"), vec!["a", "b"]),
        (&[], format!("{a}\n\n{b}"), vec!["a", "b"]),
        (JSON, "[]".to_owned(), vec![]),
        (NDJSON, String::new(), vec![]),
        (JSON, "{\n \"type\":\n \"a\"\n}".to_owned(), vec!["a"]),
    ];
    for (headers, body, kinds) in table {
        let decoded = read(headers, &body);
        assert_eq!(decoded.events.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(), kinds, "{body}");
        assert!(decoded.rejections.is_empty(), "{body}");
    }
}

fn check(headers: &[(&str, &str)], body: &str, expected: Expect) {
    expected.assert_eq(&shown(&read(headers, body)));
}

#[test]
fn what_flattening_repeats_is_counted() {
    let outer = "x".repeat(1_000);
    let event = |inner: &str| format!("{{\"{outer}\":{{{inner}}}}}");
    let read = |body: &str, limits: &Limits| {
        decode(&[], body.as_bytes(), Timestamp::EPOCH, limits).map_err(|error| error.to_string())
    };
    let fields: Vec<String> = (0..100).map(|n| format!("\"f{n}\":1")).collect();
    let body = format!("[{}]", vec![event(&fields.join(",")); 10].join(","));
    assert_eq!(read(&body, &Limits::STANDARD).unwrap().events.len(), 10);
    let few = Limits { events_bytes_max: 500_000, ..Limits::STANDARD };
    let refused = read(&body, &few).unwrap_err();
    assert!(refused.contains("more than 500000 bytes when their nested fields are named"), "{refused}");
    // Objects that hold nothing repeat the name just as well.
    let empty: Vec<String> = (0..300).map(|n| format!("\"f{n}\":{{}}")).collect();
    let refused = read(&event(&empty.join(",")), &Limits::STANDARD).unwrap_err();
    assert!(refused.contains("the event has more than 262144 bytes"), "{refused}");
}

#[test]
fn what_would_take_much_memory_is_never_a_value() {
    // Each of these objects takes seventy times the memory of its text.
    let list = format!("[{}]", vec![r#"{"a":0}"#; 100_000].join(","));
    let event = format!(r#"{{"type":"a","list":{list}}}"#);
    let limit = "bytes, the limit is 262144";
    for (headers, body) in [
        (JSON, event.clone()),
        (CLOUD, event.clone()),
        (&[("ce-specversion", "1.0"), ("content-type", "application/json")], list),
    ] {
        let refused = decode(headers, body.as_bytes(), RECEIVED, &Limits::STANDARD).unwrap_err().to_string();
        assert!(refused.contains(limit), "{headers:?}: {refused}");
    }
    for (headers, body) in [
        (JSON, format!(r#"[{event},{{"type":"b"}}]"#)),
        (NDJSON, format!("{event}\n{{\"type\":\"b\"}}")),
        (BATCH, format!(r#"[{event},{{"specversion":"1.0","id":"1","source":"s","type":"b"}}]"#)),
    ] {
        let decoded = read(headers, &body);
        assert_eq!(decoded.events.iter().map(|event| &*event.kind).collect::<Vec<_>>(), ["b"], "{headers:?}");
        assert!(decoded.rejections.first[0].reason.contains(limit), "{headers:?}");
    }
    // Nor is what stands deeper than anything that is meant.
    let deep = format!("[{}{},{{\"type\":\"b\"}}]", "[".repeat(10_000), "]".repeat(10_000));
    let decoded = read(JSON, &deep);
    assert_eq!((decoded.events.len(), decoded.rejections.count), (1, 1));
}

#[test]
fn parts_are_found_by_their_usual_names_and_the_rest_is_flattened() {
    check(
        NDJSON,
        r#"{"type":"login_failed","time":"2023-11-14T22:13:21Z","id":"e1","body":"b","user":{"name":"eve","uid":7},"tags":["x",{"y":1}],"ok":false,"none":null,"ratio":0.5,"big":18446744073709551615}
{"event_type":"deploy","ts":1700000002.5,"message":"done","event_id":42}
{"event":{"action":"deny","kind":"alert"},"@timestamp":"1700000003000","type":null}
{"event":"x","timestamp":1700000004000000,"type":{"a":1}}
{}"#,
        expect![[r#"
            login_failed "e1" @1000 "b" [big=Float(1.8446744073709552e19) none=Null ok=Bool(false) ratio=Float(0.5) tags=List([Text("x"), Text("{\"y\":1}")]) user.name=Text("eve") user.uid=Int(7)]
            deploy "42" @2500 "done" [event_id=Int(42) event_type=Text("deploy") message=Text("done") ts=Float(1700000002.5)]
            deny "" @3000 "" [@timestamp=Text("1700000003000") event.action=Text("deny") event.kind=Text("alert") type=Null]
            x "" @4000 "" [event=Text("x") timestamp=Int(1700000004000000) type.a=Int(1)]
             "" @0 "" []"#]],
    );
}

#[test]
fn a_bad_event_costs_that_event() {
    check(
        NDJSON,
        "{\"type\":\"a\"}\n{\"type\":\n7\n{\"time\":\"soon\"}\n{\"time\":[1]}\n{\"type\":\"z\"}",
        expect![[r#"
            a "" @0 "" []
            z "" @0 "" []
            ! line 2: not valid JSON: EOF while parsing a value at line 1 column 8
            ! line 3: an event must be a JSON object, this is a number
            ! line 4: the time "soon" is neither RFC 3339 like 2026-11-20T03:00:00Z nor a number since the epoch
            ! line 5: the time "1" is neither RFC 3339 like 2026-11-20T03:00:00Z nor a number since the epoch"#]],
    );
    check(
        JSON,
        r#"[{"type":"a"}, "text", {"specversion":"0.3"}, {"specversion":"1.0","id":"1","source":"s"}]"#,
        expect![[r#"
            a "" @0 "" []
            ! element 1: an event must be a JSON object, this is a text
            ! element 2: specversion "0.3" is not known; 1.0 is
            ! element 3: the required attribute "type" is missing or empty"#]],
    );
}

#[test]
fn cloud_events_in_structured_and_batch_mode() {
    let event = r#"{"specversion":"1.0","type":"com.example.login","source":"/auth","id":"A1","time":"2023-11-14T22:13:25Z",
        "subject":"eve","comexampleext":3,"datacontenttype":"application/json","data":{"user":"eve","source":"10.0.0.1","n":{"m":1}}}"#;
    check(
        CLOUD,
        event,
        expect![[
            r#"com.example.login "A1" @5000 "" [comexampleext=Int(3) data.source=Text("10.0.0.1") n.m=Int(1) source=Text("/auth") subject=Text("eve") user=Text("eve")]"#
        ]],
    );
    assert_eq!(read(JSON, event), read(CLOUD, event), "a CloudEvent is known by its specversion");
    check(
        BATCH,
        r#"[{"specversion":"1.0","type":"t","source":"s","id":"1","data":"a line"},
            {"specversion":"1.0","type":"t","source":"s","id":"2","data":[1,2],"time":null},
            {"specversion":"1.0","type":"t","source":"s","id":"3","data_base64":"eyJhIjoxfQ==","datacontenttype":"application/vnd.x+json"},
            {"specversion":"1.0","type":"t","source":"s","id":"4","data_base64":"aGVsbG8=","datacontenttype":"text/plain"},
            {"specversion":"1.0","type":"t","source":"s","id":"5","data_base64":"/w==","datacontenttype":"application/octet-stream"},
            {"specversion":"1.0","type":"t","source":"s","id":""},
            {"specversion":"1.0","type":"t","source":"s","id":7},
            {"specversion":"1.0","type":"t","source":"s","id":"8","time":"now"},
            {"specversion":"1.0","type":"t","source":"s","id":"9","data":1,"data_base64":"AA=="},
            {"specversion":"1.0","type":"t","source":"s","id":"10","data_base64":"%"},
            {"type":"t"}, 3]"#,
        expect![[r#"
            t "1" @0 "a line" [source=Text("s")]
            t "2" @0 "" [data=List([Int(1), Int(2)]) source=Text("s")]
            t "3" @0 "" [a=Int(1) source=Text("s")]
            t "4" @0 "hello" [source=Text("s")]
            t "5" @0 "/w==" [source=Text("s")]
            ! element 5: the required attribute "id" is missing or empty
            ! element 6: the attribute "id" must be a text, this is a number
            ! element 7: the time "now" is not RFC 3339 like 2026-11-20T03:00:00Z
            ! element 8: it has both data and data_base64
            ! element 9: data_base64 is not valid: Invalid symbol 37, offset 0.
            ! element 10: the required attribute "specversion" is missing or empty
            ! element 11: a CloudEvent must be a JSON object, this is a number"#]],
    );
}

#[test]
fn cloud_events_in_binary_mode() {
    let mut headers = vec![
        ("CE-SpecVersion", "1.0"),
        ("ce-type", "com.example.someevent"),
        ("ce-time", "2023-11-14T22:13:25Z"),
        ("ce-id", "1234-1234-1234"),
        ("ce-source", "/mycontext/subcontext"),
        ("ce-comment", "Euro%20%E2%82%AC%20%F0%9F%98%80 100%"),
        ("Host", "example.org"),
        ("Content-Type", "application/json; charset=utf-8"),
    ];
    check(
        &headers,
        r#"{"user":"eve"}"#,
        expect![[
            r#"com.example.someevent "1234-1234-1234" @5000 "" [comment=Text("Euro € 😀 100%") source=Text("/mycontext/subcontext") user=Text("eve")]"#
        ]],
    );
    let broken = decode(&headers, b"{", RECEIVED, &Limits::STANDARD).unwrap_err();
    assert_eq!(broken.status(), 400);
    headers.pop();
    let decoded = read(&headers, "plain text");
    assert_eq!(decoded.events[0].body, "plain text");
    headers.retain(|(name, _)| *name != "ce-id");
    let missing = decode(&headers, b"{}", RECEIVED, &Limits::STANDARD).unwrap_err();
    assert_eq!(missing.to_string(), r#"the required attribute "id" is missing or empty"#);
}

#[test]
fn what_refuses_the_whole_body() {
    let limits = Limits { events_max: 2, body_bytes_max: 100, ..Limits::STANDARD };
    let long = "x".repeat(101);
    let table: &[(&[(&str, &str)], &str, u16, &str)] = &[
        (JSON, "", 400, "not valid JSON: EOF while parsing a value at line 1 column 0"),
        (JSON, "[{}", 400, "not valid JSON: EOF while parsing a list at line 1 column 3"),
        (JSON, "3", 400, "an event must be a JSON object, this is a number"),
        (JSON, "{\"a\":\n", 400, "not valid JSON: EOF while parsing a value at line 2 column 0"),
        (JSON, "[{},{},{}]", 413, "element 2: the body has more than 2 events"),
        (NDJSON, "{}\n{}\n{}", 413, "line 3: the body has more than 2 events"),
        (JSON, &long, 413, "the body has 101 bytes, the limit is 100"),
        (BATCH, "{}", 400, "a batch of CloudEvents must be a JSON array"),
        (CLOUD, "{}", 400, r#"the required attribute "specversion" is missing or empty"#),
        (
            &[("content-type", "application/cloudevents+avro")],
            "",
            415,
            "application/cloudevents+avro is not accepted here; send CloudEvents as JSON",
        ),
    ];
    for (headers, body, status, message) in table {
        let error = decode(headers, body.as_bytes(), RECEIVED, &limits).unwrap_err();
        assert_eq!((error.status(), error.to_string().as_str()), (*status, *message), "{body}");
    }
}

#[test]
fn limits_of_one_event_cost_that_event() {
    let limits = Limits { event_fields_max: 2, event_bytes_max: 40, ..Limits::STANDARD };
    let body = format!(
        "{}\n{}\n{}\n{}",
        r#"{"a":1,"b":2}"#,
        r#"{"a":1,"b":2,"c":3}"#,
        format_args!(r#"{{"a":"{}"}}"#, "x".repeat(60)),
        r#"{"a":[0,0,0,0,0,0]}"#,
    );
    let decoded = decode(NDJSON, body.as_bytes(), RECEIVED, &limits).unwrap();
    assert_eq!(decoded.events.len(), 1);
    let reasons: Vec<_> = decoded.rejections.first.iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "line 2: the event has more than 2 fields",
            "line 3: the event has 68 bytes, the limit is 40",
            "line 4: the event has more than 40 bytes",
        ]
    );
}

#[test]
fn the_ecs_example_is_an_event() {
    let Some(data) = test_data::folder("the_ecs_example_is_an_event") else { return };
    let body = std::fs::read(data.join("ingest/ecs/examples/0031-example-alert.json")).unwrap();
    let decoded = decode(JSON, &body, RECEIVED, &Limits::STANDARD).unwrap();
    assert_eq!((decoded.events.len(), decoded.rejections.count), (1, 0), "{}", decoded.rejections);
    let event = &decoded.events[0];
    assert!(event.fields.len() > 20);
    assert!(!event.kind.is_empty());
    assert_ne!(event.time, RECEIVED);
}

#[test]
fn the_specifications_examples_are_events() {
    let Some(data) = test_data::folder("the_specifications_examples_are_events") else { return };
    let text = std::fs::read_to_string(data.join("ingest/cloudevents/cloudevents/formats/json-format.md")).unwrap();
    let mut read_examples = 0;
    for block in text.split("```").skip(1).step_by(2) {
        let Some(json) = block.strip_prefix("JSON").or_else(|| block.strip_prefix("json")) else { continue };
        // Three dots stand for something left out, which is no base64.
        let Some(value) = serde_json::from_str::<Value>(json).ok().filter(|_| !json.contains("...")) else { continue };
        let (headers, expected) = match &value {
            Value::Array(elements) => (BATCH, elements.len()),
            Value::Object(object) if object.contains_key("specversion") => (CLOUD, 1),
            _ => continue,
        };
        let decoded = read(headers, json);
        assert_eq!((decoded.events.len(), decoded.rejections.count), (expected, 0), "{json}{}", decoded.rejections);
        read_examples += 1;
    }
    assert!(read_examples >= 4, "{read_examples}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("(type|time|id|data|specversion|[a-z]{1,3})", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        let text = value.to_string();
        for headers in [JSON, NDJSON, CLOUD, BATCH, &[("ce-specversion", "1.0"), ("ce-type", "%e2%82%ac%f"), ("ce-id", "%"), ("ce-source", "s")]] {
            let _ = decode(headers, text.as_bytes(), RECEIVED, &Limits::STANDARD);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        for headers in [JSON, NDJSON, CLOUD, BATCH] {
            let _ = decode(headers, &bytes, RECEIVED, &Limits::STANDARD);
        }
    }

    #[test]
    fn flat_fields_come_back_as_they_were(fields in proptest::collection::btree_map("[f-h]{1,4}", any::<i64>(), 0..8)) {
        let text = serde_json::to_string(&fields).unwrap();
        let decoded = read(JSON, &text);
        let expected: std::collections::BTreeMap<_, _> =
            fields.into_iter().map(|(name, int)| (name, FieldValue::Int(int))).collect();
        prop_assert_eq!(&decoded.events[0].fields, &expected);
    }
}
