use proptest::prelude::*;

use super::*;
use crate::test_data;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const TIMEOUT: Duration = Duration::from_mins(5);

fn read(body: &str) -> DecodedAlerts {
    decode(body.as_bytes(), NOW, TIMEOUT, &Limits::STANDARD).unwrap()
}

#[test]
fn times_that_are_not_given_are_made_up_as_in_alertmanager() {
    let start = Timestamp::parse_rfc3339("2023-11-14T22:00:00Z").unwrap();
    let end = Timestamp::parse_rfc3339("2023-11-14T22:30:00Z").unwrap();
    let table = [
        ("", NOW, NOW + TIMEOUT, true),
        (r#","startsAt":"2023-11-14T22:00:00Z""#, start, NOW + TIMEOUT, true),
        (r#","endsAt":"2023-11-14T22:30:00Z""#, end, end, false),
        (r#","startsAt":"2023-11-14T22:00:00Z","endsAt":"2023-11-14T22:30:00Z""#, start, end, false),
        (r#","startsAt":"0001-01-01T00:00:00.000Z","endsAt":"0001-01-01T00:00:00Z""#, NOW, NOW + TIMEOUT, true),
        (r#","startsAt":null,"endsAt":"""#, NOW, NOW + TIMEOUT, true),
        (r#","startsAt":"2023-11-14 22:00:00","endsAt":"2023-11-14T23:30:00+0100""#, start, end, false),
    ];
    for (times, starts_at, ends_at, timeout) in table {
        let decoded = read(&format!(r#"[{{"labels":{{"alertname":"x"}}{times}}}]"#));
        let [alert] = &decoded.alerts[..] else { panic!("{times}") };
        assert_eq!((alert.starts_at, alert.ends_at, alert.timeout), (starts_at, Some(ends_at), timeout), "{times}");
        assert_eq!(alert.updated_at, NOW);
    }
}

#[test]
fn an_end_in_the_past_without_a_start_is_resolved_and_one_before_the_start_is_refused() {
    let decoded = read(r#"[{"labels":{"alertname":"x"},"startsAt":"2024-01-01T00:00:00Z"}]"#);
    // It starts after its made-up end: Alertmanager refuses that too.
    assert_eq!(decoded.error_answer().unwrap().body(), r#""start time must be before end time""#);
}

#[test]
fn an_alert_is_bounded_as_a_whole() {
    let limits = Limits { alert_bytes_max: 40, ..Limits::STANDARD };
    for (labels, annotations, url, taken) in [
        (r#""alertname":"x""#, r#""summary":"sssssssssssssssssss""#, "/x/y", true),
        (r#""alertname":"x""#, r#""summary":"sssssssssssssssssss""#, "/x/yz", false),
        (r#""alertname":"x","a":"0123456789""#, r#""summary":"0123456789""#, "/x/", false),
    ] {
        let body = format!(r#"[{{"labels":{{{labels}}},"annotations":{{{annotations}}},"generatorURL":"{url}"}}]"#);
        let decoded = decode(body.as_bytes(), NOW, TIMEOUT, &limits).unwrap();
        let answer = decoded.error_answer();
        assert_eq!(decoded.alerts.len() == 1, taken, "{body}");
        assert_eq!(answer.is_none_or(|answer| !answer.message.contains("ingest.alert_bytes_max")), taken, "{body}");
    }
}

/// JavaScript writes half of a character where it has cut one; what else is not UTF-8 comes from a cut too.
#[test]
fn of_a_character_that_was_cut_only_that_character_is_lost() {
    let table: [(&[u8], &str); 9] = [
        (br"cut \ud83d", "cut \u{fffd}"),
        (br"\ude00 cut", "\u{fffd} cut"),
        (br"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (br"\ud83d\n\uD83D\uDE00", "\u{fffd}\n\u{1f600}"),
        (br"\\ud83d \ud83d", "\\ud83d \u{fffd}"),
        (br"\ufffd \ud83d", "\u{fffd} \u{fffd}"),
        (b"cut \xf0\x9f\x98", "cut \u{fffd}"),
        (b"\xff \\ud83d", "\u{fffd} \u{fffd}"),
        ("\u{1f600} \\ud83d".as_bytes(), "\u{1f600} \u{fffd}"),
    ];
    for (cut, expected) in table {
        let body =
            [br#"[{"labels":{"a":"b"}},{"labels":{"a":"c"},"annotations":{"x":""#, cut, br#""}}]"#.as_slice()].concat();
        let decoded = decode(&body, NOW, TIMEOUT, &Limits::STANDARD).unwrap();
        assert_eq!(decoded.alerts.len(), 2, "{expected}");
        assert_eq!(decoded.alerts[1].annotations.get("x"), Some(expected));
    }
    for broken in [r"\ud83", r"\u", r"\ud83d\x", "\\ud83d\\\u{1f600}"] {
        let body = format!(r#"[{{"labels":{{"a":"{broken}"}}}}]"#);
        assert!(decode(body.as_bytes(), NOW, TIMEOUT, &Limits::STANDARD).is_err(), "{broken}");
    }
}

#[test]
fn the_good_part_of_a_batch_is_kept_and_the_answer_is_400() {
    let decoded = read(
        r#"[{"labels":{"alertname":"a","empty":""},"annotations":{"summary":"s","note":null},"generatorURL":"http://x/"},
            {"labels":{}}, {"labels":{"e":""}}, {"labels":{"":"x"}}, {"labels":{"alertname":"b"},"annotations":{"":"x"}},
            {"labels":{"a-b":"c"}}]"#,
    );
    assert_eq!(decoded.alerts.len(), 2);
    assert_eq!(decoded.alerts[0].labels.to_string(), r#"{alertname="a"}"#);
    assert_eq!(decoded.alerts[0].annotations.get("note"), Some(""));
    assert_eq!(&*decoded.alerts[0].generator_url, "http://x/");
    let items: Vec<_> = decoded.rejections.first.iter().map(|rejection| rejection.item.number()).collect();
    assert_eq!(items, [1, 2, 3, 4]);
    let answer = decoded.error_answer().unwrap();
    let reasons = "at least one label pair required; at least one label pair required; invalid label set: invalid name \"\"; invalid annotations: invalid name \"\"";
    assert_eq!((answer.status, answer.message.as_str()), (400, reasons));
    assert_eq!(answer.body(), Value::from(reasons).to_string());
    let legacy = Limits { label_names: LabelNames::Legacy, ..Limits::STANDARD };
    let decoded = decode(br#"[{"labels":{"a-b":"c","alertname":"x"}}]"#, NOW, TIMEOUT, &legacy).unwrap();
    assert_eq!(decoded.error_answer().unwrap().body(), r#""invalid label set: invalid name \"a-b\"""#);
}

#[test]
fn what_refuses_the_whole_body() {
    let table = [
        ("", 422, r#"{"code":602,"message":"alerts in body is required"}"#),
        (
            "{}",
            400,
            r#"{"code":400,"message":"parsing alerts body from \"\" failed, because json: cannot unmarshal object into Go value of type models.PostableAlerts"}"#,
        ),
        (
            "[1]",
            400,
            r#"{"code":400,"message":"parsing alerts body from \"\" failed, because json: cannot unmarshal number into Go value of type models.PostableAlert"}"#,
        ),
        (
            r#"[{"labels":{"a":1}}]"#,
            400,
            r#"{"code":400,"message":"parsing alerts body from \"\" failed, because json: cannot unmarshal number into Go struct field .labels of type string"}"#,
        ),
        (r#"[{"labels":{"a":"1"}},{}]"#, 422, r#"{"code":602,"message":"1.labels in body is required"}"#),
        (
            r#"[{"labels":{"a":"1"},"generatorURL":"not a url"}]"#,
            422,
            r#"{"code":601,"message":"0.generatorURL in body must be of type uri: \"not a url\""}"#,
        ),
        (
            "[",
            400,
            r#"{"code":400,"message":"parsing alerts body from \"\" failed, because EOF while parsing a list at line 1 column 1"}"#,
        ),
    ];
    for (body, status, answer) in table {
        let error = decode(body.as_bytes(), NOW, TIMEOUT, &Limits::STANDARD).unwrap_err();
        assert_eq!((error.status, error.body().as_str()), (status, answer), "{body}");
    }
    let limits = Limits { alerts_max: 1, body_bytes_max: 40, ..Limits::STANDARD };
    assert_eq!(decode(b"[{},{}]", NOW, TIMEOUT, &limits).unwrap_err().status, 413);
    assert_eq!(decode(&[b' '; 41], NOW, TIMEOUT, &limits).unwrap_err().status, 413);
    assert_eq!(read("[]"), DecodedAlerts::default());
    assert_eq!(read("null"), DecodedAlerts::default());
}

#[test]
fn answers_are_those_that_alertmanager_gave() {
    let Some(data) = test_data::folder("answers_are_those_that_alertmanager_gave") else { return };
    let text = std::fs::read_to_string(data.join("wire-captures/alertmanager-0.25.json")).unwrap();
    let captures: Value = serde_json::from_str(&text).unwrap();
    // The captured version knows only the old label names.
    let limits = Limits { label_names: LabelNames::Legacy, ..Limits::STANDARD };
    let mut compared = 0;
    for case in captures["api_requests"].as_array().unwrap() {
        let name = case["case"].as_str().unwrap();
        let request = &case["request"];
        if name.starts_with("silence") || name.starts_with("GET") || request.is_null() {
            continue;
        }
        let (status, body) = match decode(request.to_string().as_bytes(), NOW, TIMEOUT, &limits) {
            Ok(decoded) => decoded.error_answer().map_or((200, String::new()), |answer| (answer.status, answer.body())),
            Err(answer) => (answer.status, answer.body()),
        };
        assert_eq!(u64::from(status), case["status"].as_u64().unwrap(), "{name}: {body}");
        // Versions since then try a date without a time last, and say so.
        let expected = case["body"].as_str().unwrap().trim_end().replace("2006-01-02 15:04:05", "2006-01-02");
        assert_eq!(body, expected, "{name}");
        compared += 1;
    }
    assert!(compared >= 8, "{compared}");
}

#[test]
fn what_prometheus_posts_is_read() {
    let Some(data) = test_data::folder("what_prometheus_posts_is_read") else { return };
    let text = std::fs::read_to_string(data.join("wire-captures/prometheus-2.42.json")).unwrap();
    let captures: Value = serde_json::from_str(&text).unwrap();
    let mut alerts = 0;
    for capture in captures["captures"].as_array().unwrap() {
        if capture["path"] == "/api/v2/alerts" {
            let decoded = read(capture["body"].as_str().unwrap());
            assert!(decoded.rejections.is_empty(), "{}", decoded.rejections);
            assert!(decoded.alerts.iter().all(|alert| !alert.timeout && !alert.name().is_empty()));
            alerts += decoded.alerts.len();
        }
    }
    assert!(alerts > 10, "{alerts}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"(\[|\]|\{|\}|"labels":|"startsAt":|"annotations":|"a"|,|:|null|1|"2023-11-14T22:00:00Z"){0,20}"#) {
        let _ = decode(text.as_bytes(), NOW, TIMEOUT, &Limits::STANDARD);
    }

    #[test]
    fn labels_and_annotations_come_back_as_they_were(
        labels in proptest::collection::btree_map(".{1,4}", ".{1,4}", 1..5),
        annotations in proptest::collection::btree_map(".{1,4}", ".{0,4}", 0..5),
    ) {
        let body = json!([{"labels": labels, "annotations": annotations}]).to_string();
        let decoded = read(&body);
        prop_assert_eq!(&decoded.alerts[0].labels, &Labels::from_pairs(labels));
        prop_assert_eq!(&decoded.alerts[0].annotations, &annotations.iter().collect());
    }
}
