//! Notification templates against what Alertmanager 0.25 renders.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use watchfire_model::{AlertStatus, Annotations, Labels, Timestamp};
use watchfire_template::alertmanager::{AlertData, Data, Templates};

/// The public test data, or the line that says why the test is skipped.
#[expect(clippy::disallowed_methods, reason = "where the test data lies is a fact of the environment")]
fn test_data(test: &str, path: &str) -> Option<String> {
    let Ok(folder) = std::env::var("WATCHFIRE_TEST_DATA") else {
        println!("SKIPPED {test}: WATCHFIRE_TEST_DATA is not set");
        return None;
    };
    Some(std::fs::read_to_string(format!("{folder}/{path}")).expect("the test data is readable"))
}

fn texts(json: &Json) -> BTreeMap<String, String> {
    json.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
}

fn status(json: &Json) -> AlertStatus {
    if json == "firing" { AlertStatus::Firing } else { AlertStatus::Resolved }
}

fn text(json: &Json) -> String {
    json.as_str().unwrap().to_owned()
}

fn data(json: &Json) -> Data {
    let alert = |alert: &Json| AlertData {
        status: status(&alert["status"]),
        labels: Labels::from_pairs(texts(&alert["labels"])),
        annotations: texts(&alert["annotations"]).into_iter().collect(),
        starts_at: Timestamp::parse_rfc3339(alert["startsAt"].as_str().unwrap()).unwrap(),
        ends_at: Some(alert["endsAt"].as_str().unwrap())
            .filter(|text| !text.starts_with("0001"))
            .map(|text| Timestamp::parse_rfc3339(text).unwrap()),
        generator_url: text(&alert["generatorURL"]).into(),
        fingerprint: text(&alert["fingerprint"]),
    };
    Data {
        receiver: text(&json["receiver"]),
        status: status(&json["status"]),
        alerts: json["alerts"].as_array().unwrap().iter().map(alert).collect(),
        group_labels: Labels::from_pairs(texts(&json["groupLabels"])),
        common_labels: Labels::from_pairs(texts(&json["commonLabels"])),
        common_annotations: texts(&json["commonAnnotations"]).into_iter().collect(),
        notification_reason: String::new(),
        route_labels: BTreeMap::new(),
        external_url: text(&json["externalURL"]),
    }
}

/// Where Alertmanager itself answers otherwise since 0.25, with a case in [`later_versions_are_followed`].
const CHANGED_SINCE: [&str; 4] =
    ["{{ trimSpace \"  x \" }}", "{{ .CommonLabels }}", "{{ (index .Alerts 0).Labels }}", "{{ .Alerts }}"];

fn render(templates: &Templates, kind: &str, template: &str, data: &Data) -> Result<String, String> {
    let now = Timestamp::parse_rfc3339("2024-01-02T04:00:00Z").unwrap();
    match kind {
        "html" => templates.render_html(template, data, now),
        _ => templates.render_text(template, data, now),
    }
    .map_err(|error| error.to_string())
}

#[test]
fn messages_are_those_of_alertmanager() {
    let path = "alertmanager/oracle-0.25/notification-templates.json";
    let Some(file) = test_data("messages_are_those_of_alertmanager", path) else {
        return;
    };
    let file: Json = serde_json::from_str(&file).unwrap();
    let templates = Templates::new();
    let (mut failures, mut count, mut changed) = (Vec::new(), 0, 0);
    for case in file["cases"].as_array().unwrap() {
        count += 1;
        let template = case["template"].as_str().unwrap();
        if CHANGED_SINCE.contains(&template) {
            changed += 1;
            continue;
        }
        let data = data(&file["data"][case["data"].as_str().unwrap()]);
        let got = render(&templates, case["type"].as_str().unwrap(), template, &data);
        let expected = match case["error"].as_str() {
            Some(error) => Err(error.trim_start_matches("amtool: error: ").to_owned()),
            None => Ok(case["result"].as_str().unwrap().to_owned()),
        };
        // The cases were recorded from a terminal, which lost one line feed at the end.
        let same = got == expected || got.as_ref().ok().and_then(|g| g.strip_suffix('\n')) == expected.as_deref().ok();
        if !same {
            failures.push(format!("{template}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 296, "only {count} cases");
    assert!(changed <= 5 * 4, "{changed} cases are left out");
}

fn one_alert() -> Data {
    let labels = Labels::from_pairs([("alertname", "A"), ("b", "x+y <z>")]);
    Data {
        receiver: "team-X".to_owned(),
        status: AlertStatus::Firing,
        alerts: vec![AlertData {
            status: AlertStatus::Firing,
            labels: labels.clone(),
            annotations: [("summary", "it's \"bad\"")].into(),
            starts_at: Timestamp::parse_rfc3339("2024-01-02T03:00:00Z").unwrap(),
            ends_at: None,
            generator_url: "http://p/graph?a=1&b=2".into(),
            fingerprint: "f00d".to_owned(),
        }],
        group_labels: labels.filter(|name| name == "alertname"),
        common_labels: labels,
        common_annotations: Annotations::default(),
        notification_reason: "first notification".to_owned(),
        route_labels: [("team".to_owned(), "search".to_owned())].into(),
        external_url: "http://w.example".to_owned(),
    }
}

#[test]
fn later_versions_are_followed() {
    let (templates, data) = (Templates::new(), one_alert());
    for (template, expected) in [
        ("{{ trimSpace \"  x \" }}", "x"),
        ("{{ .CommonLabels }}", "alertname=A, b=x+y <z>"),
        (
            "{{ .Alerts }}",
            "[{firing alertname=A, b=x+y <z> summary=it's \"bad\" 2024-01-02 03:00:00 +0000 UTC 0001-01-01 00:00:00 +0000 UTC http://p/graph?a=1&b=2 f00d}]",
        ),
        ("{{ (index .Alerts 0).StartsAt | tz \"Asia/Tokyo\" | date \"15:04 MST\" }}", "12:00 JST"),
        ("{{ since (index .Alerts 0).StartsAt }}", "1h0m0s"),
        ("{{ (index .Alerts 0).StartsAt | since | humanizeDuration }}", "1h 0m 0s"),
        ("{{ toJson .CommonLabels }}", "{\"alertname\":\"A\",\"b\":\"x+y \\u003cz\\u003e\"}"),
        ("{{ $l := list 1 2 }}{{ range append $l 3 }}{{ . }},{{ end }}", "1,2,3,"),
        ("{{ $d := dict \"a\" 1 \"b\" \"two\" }}{{ $d.a }}{{ $d.b }}", "1two"),
        ("{{ urlUnescape \"a%20b+c\" }}", "a b c"),
        ("{{ title \"hELLO wORLD\" }}", "Hello World"),
        ("{{ toDate \"2006-01-02\" \"2026-03-01\" | date \"Jan 2\" }}", "Mar 1"),
        ("{{ (toDate \"2006-01-02\" \"soon\").IsZero }}", "true"),
        ("{{ base64encode \"a?b>\" }}", "YT9iPg=="),
        ("{{ base64decode \"YT9iPg==\" }}", "a?b>"),
        ("{{ .NotificationReason }}", "first notification"),
        ("{{ .GroupLabels.Values.Join \":\" }} {{ join \"/\" .GroupLabels.Names }}", "A alertname"),
        ("{{ routeLabels \"team\" }} {{ .RouteLabels.team }}{{ routeLabels \"none\" }}", "search search"),
    ] {
        assert_eq!(render(&templates, "text", template, &data).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn labels_of_a_route_may_name_each_other_but_not_in_a_circle() {
    let texts = [
        ("plain", "x"),
        ("group", "{{ .GroupLabels.alertname }} for {{ .NotificationReason }}"),
        ("both", "{{ routeLabels \"group\" }} and {{ .RouteLabels.plain }}"),
        ("a", "{{ routeLabels \"b\" }}"),
        ("b", "{{ routeLabels \"a\" }}"),
        ("broken", "{{ nothing }}"),
    ];
    let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let (labels, failed) = Templates::new().route_labels(&texts, &one_alert(), Timestamp::EPOCH);
    let labels: Vec<String> = labels.iter().map(|(name, text)| format!("{name}={text}")).collect();
    assert_eq!(labels, ["both=A for unknown and x", "group=A for unknown", "plain=x"]);
    assert_eq!(failed.keys().collect::<Vec<_>>(), ["a", "b", "broken"]);
    assert!(failed["a"].contains("route label cycle detected: a -> b -> a"), "{}", failed["a"]);
}

#[test]
fn values_are_escaped_for_their_place_in_html() {
    let (templates, data) = (Templates::new(), one_alert());
    for (template, expected) in [
        ("<b>{{ .CommonLabels.b }}</b>", "<b>x&#43;y &lt;z&gt;</b>"),
        ("<a title=\"{{ (index .Alerts 0).Annotations.summary }}\">", "<a title=\"it&#39;s &#34;bad&#34;\">"),
        ("<a href=\"{{ (index .Alerts 0).GeneratorURL }}\">", "<a href=\"http://p/graph?a=1&amp;b=2\">"),
        ("<a href=\"/?q={{ .CommonLabels.b }}\">", "<a href=\"/?q=x%2by%20%3cz%3e\">"),
        ("<a href=\"{{ \"javascript:alert(1)\" }}\">", "<a href=\"#ZgotmplZ\">"),
        (
            "<a href=\"{{ template \"__alertmanagerURL\" . }}\">",
            "<a href=\"http://w.example/#/alerts?receiver=team-X\">",
        ),
        ("<a href={{ .CommonLabels.b }}>", "<a href=x&#43;y%20%3cz%3e>"),
        (
            "<script>var a = {{ .CommonLabels.b }};</script>{{ .CommonLabels.b }}",
            "<script>var a = \"x+y \\u003Cz\\u003E\";</script>x&#43;y &lt;z&gt;",
        ),
        ("<!-- {{ .CommonLabels.b }} -->{{ .Status }}", "firing"),
        ("<p style=\"color: red\">{{ .Status }}</p>", "<p style=\"color: red\">firing</p>"),
        ("<style>p { color: {{ \"red\" }} }</style>", "<style>p { color: red }</style>"),
        ("<style>p { color: {{ \"</style>\" }} }</style>", "<style>p { color: ZgotmplZ }</style>"),
        ("{{ safeHtml \"<i>\" }}{{ .CommonLabels.nothing }}", "<i>"),
        ("a < 5 <b>{{ .Status }}</b>", "a &lt; 5 <b>firing</b>"),
        ("<title>{{ .CommonLabels.b }}</title>", "<title>x&#43;y &lt;z&gt;</title>"),
    ] {
        assert_eq!(render(&templates, "html", template, &data).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn every_default_renders_and_a_file_may_replace_it() {
    let mut templates = Templates::new();
    let data = one_alert();
    let names: Vec<String> = templates.names().filter(|name| name.contains(".default.")).map(str::to_owned).collect();
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        let dot = if name == "pagerduty.default.instances" { ".Alerts" } else { "." };
        let rendered = render(&templates, "text", &format!("{{{{ template \"{name}\" {dot} }}}}"), &data);
        assert!(rendered.is_ok(), "{name}: {rendered:?}");
    }
    let mail = render(&templates, "html", "{{ template \"email.default.html\" . }}", &data).unwrap();
    assert!(mail.contains("it&#39;s &#34;bad&#34;") && !mail.contains("<z>") && !mail.contains("ZgotmplZ"), "{mail}");
    templates
        .add("own.tmpl", "{{ define \"slack.default.text\" }}{{ range .Alerts }}{{ .Labels.b }}{{ end }}{{ end }}")
        .unwrap();
    let text = render(&templates, "text", "{{ template \"slack.default.text\" . }}", &data);
    assert_eq!(text.as_deref(), Ok("x+y <z>"));
    let error = templates.add("bad.tmpl", "ok\n{{ define \"x\" }}{{ nosuch }}{{ end }}").unwrap_err();
    assert_eq!(error.to_string(), "template: bad.tmpl:2: function \"nosuch\" not defined");
}
