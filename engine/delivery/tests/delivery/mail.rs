//! Mails as they are sent.

use expect_test::{expect, expect_file};
use watchfire_delivery::{Notification, Trend, email};
use watchfire_events::{CompareOp, Threshold};
use watchfire_plugin::{AlertView, Message};

use super::samples::{NOW, alert, notification, pair, resolved, single};

pub(crate) fn fields() -> email::Fields {
    email::Fields {
        from: "Watchfire <watchfire@example.org>".to_owned(),
        to: "On Call <oncall@example.org>, second@example.org".to_owned(),
        ..Default::default()
    }
}

/// A group with everything: firing and resolved alerts, more than are shown.
fn crowd() -> Notification {
    let mut views = pair().alerts;
    let labels = [("alertname", "HighLatency"), ("cluster", "eu"), ("instance", "c:9090"), ("severity", "warning")];
    let annotations = [("description", "p99 > 1s & \"rising\" <b>ü\nline2")];
    views.push(AlertView::new(resolved(alert(&labels, &annotations, 95)), NOW));
    for i in 0..60 {
        let instance = format!("d-{i}:9090");
        let labels = [("alertname", "HighLatency"), ("cluster", "eu"), ("instance", instance.as_str())];
        views.push(AlertView::new(resolved(alert(&labels, &annotations, 20)), NOW));
    }
    notification(views.into_iter().map(|view| view.alert).collect())
}

/// The number behind the alert fell, then rose above its threshold.
fn with_trend(mut notification: Notification) -> Notification {
    let value = |column: i64| (column > 2).then(|| 0.02 + 0.05 * (f64::from(column as i32 - 12) / 27.0).powi(2));
    let values = (0..Trend::COLUMNS).map(value).collect();
    let threshold = Some(Threshold { op: CompareOp::Greater, value: 0.05 });
    let fingerprint = notification.alerts[0].alert.fingerprint();
    notification.trends.insert(fingerprint, Trend { until: NOW, values, threshold });
    notification
}

fn over(notification: &Notification) -> Notification {
    super::samples::notification(notification.alerts.iter().map(|view| resolved(view.alert.clone())).collect())
}

fn headers(mail: &email::Mail) -> String {
    let whole = String::from_utf8(mail.bytes.clone()).unwrap();
    whole.split("\r\n\r\n").next().unwrap().replace("\r\n", "\n")
}

#[test]
fn the_look() {
    let single = email::build(&fields(), &single(), None).unwrap();
    let pair = email::build(&fields(), &pair(), None).unwrap();
    let trend = email::build(&fields(), &with_trend(super::samples::single()), None).unwrap();
    expect_file!["golden/trend.html"].assert_eq(&trend.html);
    expect_file!["golden/trend.txt"].assert_eq(&trend.text);
    expect_file!["golden/single.html"].assert_eq(&single.html);
    expect_file!["golden/single.txt"].assert_eq(&single.text);
    expect_file!["golden/pair.html"].assert_eq(&pair.html);
    expect_file!["golden/pair.txt"].assert_eq(&pair.text);
}

#[test]
fn the_look_when_it_is_over() {
    let mail = email::build(&fields(), &over(&single()), None).unwrap();
    expect_file!["golden/over.html"].assert_eq(&mail.html);
    expect_file!["golden/over.txt"].assert_eq(&mail.text);
}

#[test]
fn a_crowd_is_cut_with_a_count_and_stays_below_what_readers_cut() {
    let mail = email::build(&fields(), &crowd(), None).unwrap();
    assert!(mail.html.contains("… and 23 more alerts"));
    assert!(mail.text.contains("... and 23 more alerts"));
    assert!(mail.html.len() < 100_000, "{} bytes", mail.html.len());
}

#[test]
fn headers_make_a_thread_and_say_that_nobody_wrote_this() {
    let mail = email::build(&fields(), &single(), None).unwrap();
    expect![[r#"
        Subject: [FIRING:1] DiskWillFillIn4Hours =?utf-8?b?wrc=?= eu
        Message-ID: <14ad2804033b2d3d7c3f218326d4ae4d@example.org>
        Date: Fri, 20 Nov 2026 21:20:00 +0000
        From: Watchfire <watchfire@example.org>
        To: "On Call" <oncall@example.org>, second@example.org
        In-Reply-To: <fc318e2f53040d9de1e76fea65c20f10@example.org>
        References: <fc318e2f53040d9de1e76fea65c20f10@example.org>
        Auto-Submitted: auto-generated
        MIME-Version: 1.0
        Content-Type: multipart/alternative;
         boundary="9052cb3e141204527a4f5d68d5a92c9c""#]]
    .assert_eq(&headers(&mail));
}

#[test]
fn every_mail_of_a_group_is_in_one_thread_and_every_attempt_is_the_same_mail() {
    let thread = |notification: &Notification, fields: &email::Fields| {
        let mail = email::build(fields, notification, None).unwrap();
        let header = |name: &str| headers(&mail).lines().find(|l| l.starts_with(name)).unwrap().to_owned();
        (header("References"), header("In-Reply-To"), mail.message_id)
    };
    let first = single();
    let mut second = over(&single());
    second.id = "another".to_owned();
    let mut again = single();
    again.attempt = 2;
    again.at += watchfire_model::Duration::from_mins(1);
    let [a, b, c] = [&first, &second, &again].map(|notification| thread(notification, &fields()));
    assert_eq!((&a.0, &a.1), (&b.0, &b.1));
    assert_ne!(a.2, b.2);
    assert_eq!(a, c);
    let daily = email::Fields { thread: email::Thread::Daily, ..fields() };
    again.at += watchfire_model::Duration::from_hours(24);
    assert_ne!(thread(&first, &daily).0, thread(&again, &daily).0);
}

#[test]
fn nothing_in_an_alert_starts_a_header() {
    let labels = [("alertname", "a\r\nBcc: everybody@example.org\r\n\r\n<script>")];
    let notification = notification(vec![alert(&labels, &[("summary", "<script>alert(1)</script>")], 1)]);
    let own =
        email::Fields { headers: vec![("X-Team".to_owned(), "ops\r\nBcc: x@example.org".to_owned())], ..fields() };
    let mail = email::build(&own, &notification, None).unwrap();
    assert!(!headers(&mail).contains("\nBcc"), "{}", headers(&mail));
    assert!(!mail.html.contains("<script>"));
}

#[test]
fn own_texts_and_headers_replace_the_built_in_ones() {
    let own = email::Fields {
        headers: vec![("Subject".to_owned(), "Disk Späcial".to_owned()), ("X-Team".to_owned(), "ops".to_owned())],
        html: Some("<p>own</p>".to_owned()),
        text: Some("own".to_owned()),
        ..fields()
    };
    let mail = email::build(&own, &single(), None).unwrap();
    assert_eq!((mail.subject.as_str(), mail.html.as_str(), mail.text.as_str()), ("Disk Späcial", "<p>own</p>", "own"));
    assert!(headers(&mail).contains("X-Team: ops"));
    let message = Message { title: "T".to_owned(), body: "a < b".to_owned(), ..Message::default() };
    let mail = email::build(&own, &single(), Some(&message)).unwrap();
    assert_eq!((mail.subject.as_str(), mail.text.as_str()), ("T", "a < b"));
    assert!(mail.html.contains("a &lt; b"));
    let message =
        Message { content_type: "text/html; charset=utf-8".to_owned(), body: "<b>x</b>".to_owned(), ..message };
    let mail = email::build(&own, &single(), Some(&message)).unwrap();
    assert_eq!((mail.html.as_str(), mail.text.as_str()), ("<b>x</b>", "own"));
}

#[test]
fn the_headers_may_show_others_than_those_who_get_the_mail() {
    for (name, value, shown) in [
        ("To", "Everybody <all@example.org>", "To: Everybody <all@example.org>"),
        ("To", "undisclosed-recipients:;", "To: undisclosed-recipients:;"),
        ("From", "Alerts <alerts@example.org>", "From: Alerts <alerts@example.org>"),
        ("From", "the engine", "From: Watchfire <watchfire@example.org>"),
    ] {
        let own = email::Fields { headers: vec![(name.to_owned(), value.to_owned())], ..fields() };
        let mail = email::build(&own, &single(), None).unwrap();
        assert!(headers(&mail).lines().any(|line| line == shown), "{}", headers(&mail));
        let to: Vec<String> = mail.envelope.to().iter().map(ToString::to_string).collect();
        assert_eq!(to, ["oncall@example.org", "second@example.org"]);
    }
}

#[test]
fn settings_that_cannot_be_used_are_refused_by_name() {
    let table = [
        (email::Fields { to: String::new(), ..fields() }, "to: "),
        (email::Fields { to: "nobody".to_owned(), ..fields() }, "to: "),
        (email::Fields { from: "a b c".to_owned(), ..fields() }, "from: "),
        (email::Fields { headers: vec![("X Y".to_owned(), "z".to_owned())], ..fields() }, "headers: "),
    ];
    for (fields, expected) in table {
        let error = email::build(&fields, &single(), None).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
