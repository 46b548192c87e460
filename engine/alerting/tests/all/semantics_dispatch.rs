//! Dispatch: routing, grouping, deduplication, intake, inhibition, silences, intervals, sending.

use std::collections::BTreeMap;

use watchfire_alerting::{
    AlertViewState, DeliveryOutcome, Dispatch, GroupBy, InhibitRule, InhibitSource, Input, MinuteRange, Route,
    SilenceDraft, SilenceError, SilenceState, TimeInterval, TimeSpec,
};
use watchfire_model::{Alert, AlertStatus, Anchoring, Duration, Labels, MatchOp, Matcher, Timestamp};

use crate::world::{START, World, at_once, external, integration, labels, to_ops};

fn matcher(text: &str) -> Matcher {
    for (sign, op) in
        [("=~", MatchOp::Regex), ("!~", MatchOp::NotRegex), ("!=", MatchOp::NotEqual), ("=", MatchOp::Equal)]
    {
        if let Some((name, value)) = text.split_once(sign) {
            return Matcher::new(name, op, value, Anchoring::Alertmanager).unwrap();
        }
    }
    panic!("not a matcher: {text}")
}

fn matchers(text: &str) -> Vec<Matcher> {
    text.split_whitespace().map(matcher).collect()
}

fn pairs(text: &str) -> Labels {
    text.split_whitespace().map(|pair| pair.split_once('=').unwrap()).collect()
}

fn send(w: &mut World, labels: &str, ends: Option<&str>) {
    let end = ends.map_or(w.now + Duration::from_hours(500), |end| START + end.parse().unwrap());
    let alert = Alert { labels: pairs(labels), ..external("", w.now.min(end), Some(end)) };
    w.input(Input::Alerts(vec![alert]));
}

#[test]
fn semantics_20_the_deepest_match_wins_and_only_continue_goes_on_to_siblings() {
    let child = |parent: &Route, text: &str, receiver: &str, continues: bool, routes: Vec<Route>| Route {
        receiver: receiver.into(),
        continue_matching: continues,
        routes,
        ..parent.child(matchers(text))
    };
    let mut root = Route::root("default");
    root.mute_time_intervals = vec!["night".into()];
    root.routes = vec![
        child(&root, "team=a", "a", true, vec![child(&root, "sev=page", "a-page", false, vec![])]),
        child(
            &root,
            "team=~a|b",
            "ab",
            false,
            vec![child(&root, "x!=", "ab-x", true, vec![]), child(&root, "y!=", "ab-y", false, vec![])],
        ),
        child(&root, "team=b", "b", false, vec![]),
    ];
    let mut dispatch = to_ops();
    dispatch.route = root.clone();
    let table = [
        ("", "default"),
        ("team=c", "default"),
        ("team=a", "a ab"),
        ("team=a sev=page", "a-page ab"),
        ("team=b", "ab"),
        ("team=b x=1", "ab-x"),
        ("team=b x=1 y=1", "ab-x ab-y"),
        ("team=a y=1", "a ab-y"),
    ];
    for (labels, expected) in table {
        let receivers: Vec<&str> = dispatch.route(&pairs(labels)).iter().map(|route| &*route.receiver).collect();
        assert_eq!(receivers.join(" "), expected, "{labels}");
    }
    assert!(root.routes[0].mute_time_intervals.is_empty(), "intervals are not inherited");
}

#[test]
fn semantics_21_groups_are_per_route_node_and_group_labels() {
    let mut dispatch = to_ops();
    dispatch.route.group_by = GroupBy::Labels(["job", "zone"].map(str::to_owned).into());
    let all = Route { group_by: GroupBy::All, continue_matching: true, ..dispatch.route.child(matchers("team=a")) };
    let same = Route { continue_matching: false, ..dispatch.route.child(matchers("team=a")) };
    dispatch.route.routes = vec![all, same];
    let mut w = World::new(dispatch);
    for labels in ["alertname=A job=x", "alertname=B job=x zone=1", "alertname=C job=x", "alertname=D team=a job=x"] {
        send(&mut w, labels, None);
    }
    let mut groups: Vec<String> =
        w.engine.alert_groups(w.now).iter().map(|g| format!("{} {}", g.labels, g.alerts.len())).collect();
    groups.sort();
    assert_eq!(
        groups,
        [
            r#"{alertname="D", job="x", team="a"} 1"#,
            r#"{job="x", zone="1"} 1"#,
            // An absent label is absent from the key; an equal key under another node is another group.
            r#"{job="x"} 1"#,
            r#"{job="x"} 2"#,
        ]
    );
}

#[test]
fn semantics_22_group_wait_group_interval_and_repeat_at_the_tick_after_repeat_interval() {
    let mut w = World::new(to_ops());
    w.fire(&["A"]);
    w.at("29s").fire(&["B"]);
    w.expect(&[]);
    w.at("40s");
    w.expect(&["30s ops first_notification +A +B"]);
    w.fire(&["C"]);
    w.at("5m29s");
    w.expect(&[]);
    w.at("4h");
    w.expect(&["5m30s ops new_alerts_in_group +A +B +C"]);
    // The tick at 4h5m30s is exactly repeat_interval later and not later than that.
    w.at("4h10m29s");
    w.expect(&[]);
    w.at("4h20m");
    w.expect(&["4h10m30s ops repeat_interval_elapsed +A +B +C"]);

    // Equal intervals repeat at every second tick.
    let mut dispatch = to_ops();
    dispatch.route.repeat_interval = Duration::from_mins(5);
    let mut w = World::new(dispatch);
    w.fire(&["A"]);
    w.at("21m");
    w.expect(&[
        "30s ops first_notification +A",
        "10m30s ops repeat_interval_elapsed +A",
        "20m30s ops repeat_interval_elapsed +A",
    ]);

    // An alert that is older than group_wait does not wait.
    let mut w = World::new(to_ops());
    w.at("1m");
    w.input(Input::Alerts(vec![external("A", START, None)]));
    w.expect(&["1m ops first_notification +A"]);
}

#[test]
fn semantics_22_a_restart_flushes_nothing_early_and_keeps_the_pace() {
    let mut w = World::new(to_ops());
    w.at("10s").fire(&["A"]);
    w.crash("10s");
    w.at("39s");
    w.expect(&[]);
    w.at("41s");
    w.expect(&["40s ops first_notification +A"]);
    // Nothing to tell: the pace goes on, 5 minutes from 40 s.
    w.at("13m").crash("1s");
    w.at("13m10s").fire(&["B"]);
    w.at("15m39s");
    w.expect(&[]);
    w.at("15m41s");
    w.expect(&["15m40s ops new_alerts_in_group +A +B"]);
    // Something to tell, and the tick comes while the engine is down: no delay beyond the restart.
    w.fire(&["C"]);
    w.at("20m").crash("2m");
    w.expect(&["22m ops new_alerts_in_group +A +B +C"]);
    // An alert that is sent again after the restart is known, however old it is.
    w.fire(&["A", "B", "C"]);
    w.at("26m");
    w.expect(&[]);
}

#[test]
fn semantics_23_a_firing_alert_has_no_end_on_its_way_and_an_ended_one_stays_until_it_is_told() {
    let mut w = World::new(to_ops());
    w.answers.insert("ops".to_owned(), None);
    send(&mut w, "alertname=A", Some("35s"));
    w.at("31s");
    assert_eq!(w.deliveries[0].alerts[0].ends_at, None);
    w.at("50s");
    // It ended while the attempt was under way, and fires again before it is told to have ended.
    assert_eq!(w.engine.alerts(w.now)[0].status, AlertStatus::Resolved);
    send(&mut w, "alertname=A", Some("8m"));
    let delivered = DeliveryOutcome::Delivered { receipt: "ok".to_owned() };
    let id = w.deliveries[0].id;
    w.input(Input::Delivered { id, attempt: 1, outcome: delivered, stand_in: None });
    w.answers.clear();
    w.log.clear();
    w.at("7m");
    w.expect(&[]);
    w.at("11m");
    w.expect(&["10m30s ops all_alerts_resolved -A"]);
    assert!(w.engine.alert_groups(w.now).is_empty(), "told, so the group is over");
}

#[test]
fn semantics_24_inhibition_intervals_and_silences_come_before_deduplication() {
    let night = || TimeInterval {
        name: "always".to_owned(),
        specs: vec![TimeSpec { times: vec![MinuteRange { start: 0, end: 1440 }], ..TimeSpec::default() }],
    };
    let mut w = World::new(to_ops());
    w.fire(&["A"]);
    let id = w.silence("A", "1h");
    w.at("1m");
    w.expect(&[]);
    let view = &w.engine.alerts(w.now)[0];
    assert_eq!((view.state, &view.silenced_by[..]), (AlertViewState::Suppressed, &[id.clone()][..]));
    assert!(w.engine.notification_log().is_empty(), "what is muted is not known to anybody");
    w.engine.expire_silence(w.now, &id).unwrap();
    w.drain();
    w.at("6m");
    w.expect(&["5m30s ops first_notification +A"]);
    // A muted route tells nothing new.
    w.reload_dispatch(|dispatch| {
        dispatch.time_intervals = vec![night()];
        dispatch.route.mute_time_intervals = vec!["always".into()];
    });
    w.fire(&["B"]);
    w.at("20m");
    w.expect(&[]);
    let muted = &w.engine.alert(w.now, labels("B").fingerprint()).unwrap().muted_by;
    assert_eq!(muted[..], ["always".into()]);
    w.reload_dispatch(|dispatch| dispatch.route.mute_time_intervals.clear());
    w.at("21m");
    w.expect(&["20m30s ops new_alerts_in_group +A +B"]);
    w.reload_dispatch(|dispatch| {
        dispatch.time_intervals[0].specs.clear();
        dispatch.route.active_time_intervals = vec!["always".into()];
    });
    w.fire(&["C"]);
    w.at("30m");
    w.expect(&[]);
    let view = w.engine.alert(w.now, labels("C").fingerprint()).unwrap();
    assert_eq!((view.state, &view.muted_by[..]), (AlertViewState::Suppressed, &["always".into()][..]));
}

#[test]
fn semantics_24_a_refire_after_a_muted_resolve_pages_again() {
    let mut w = World::new(at_once());
    w.fire(&["A"]);
    w.expect(&["0s ops first_notification +A"]);
    w.silence("A", "20m");
    w.at("1m").resolve(&["A"]);
    w.at("19m");
    w.expect(&["5m ops all_alerts_resolved -A"]);
    w.at("21m").fire(&["A"]);
    w.expect(&["21m ops first_notification +A"]);
}

#[test]
fn semantics_25_send_resolved_false_clears_the_log_without_sending() {
    let mut dispatch = at_once();
    dispatch.receivers[0].integrations[0].send_resolved = false;
    dispatch.route.group_by = GroupBy::Labels([].into());
    let mut w = World::new(dispatch);
    w.fire(&["A", "B"]);
    w.expect(&["0s ops first_notification +A +B"]);
    w.at("1m").resolve(&["B"]);
    w.at("6m").fire(&["B"]);
    w.at("7m").resolve(&["A"]);
    w.at("11m").resolve(&["B"]);
    w.at("20m");
    w.expect(&["10m ops new_alerts_in_group +B"]);
    w.fire(&["A"]);
    w.expect(&["20m ops first_notification +A"]);
}

#[test]
fn semantics_26_reordering_the_integrations_of_a_receiver_forgets_nothing() {
    let mut dispatch = at_once();
    dispatch.receivers[0].integrations =
        vec![integration("slack", 0), integration("webhook", 0), integration("webhook", 1)];
    let mut w = World::new(dispatch);
    w.fire(&["A"]);
    w.expect(&["0s ops first_notification +A", "0s ops[1] first_notification +A", "0s ops[2] first_notification +A"]);
    w.reload_dispatch(|dispatch| dispatch.receivers[0].integrations.rotate_right(1));
    w.at("1h");
    w.expect(&[]);
    // A new integration is told at the next flush, the others know.
    w.reload_dispatch(|dispatch| dispatch.receivers[0].integrations.insert(0, integration("email", 0)));
    w.at("2h").resolve(&["A"]);
    w.at("3h");
    w.expect(&[
        "1h5m ops first_notification +A",
        "2h5m ops all_alerts_resolved -A",
        "2h5m ops[1] all_alerts_resolved -A",
        "2h5m ops[2] all_alerts_resolved -A",
        "2h5m ops[3] all_alerts_resolved -A",
    ]);
    // Alertmanager forgets after 120 hours and repeats as if it were new.
    let mut dispatch = at_once();
    dispatch.route.repeat_interval = Duration::from_hours(1_000);
    let mut w = World::new(dispatch);
    w.fire(&["A"]);
    w.at("500h");
    w.expect(&["0s ops first_notification +A"]);
}

#[test]
fn semantics_27_what_a_sender_leaves_out_is_filled_in() {
    let mut w = World::new(to_ops());
    w.at("1m");
    let (none, now) = (Timestamp::MIN, w.now);
    let start = START + Duration::from_secs(5);
    let end = now + Duration::from_mins(3);
    let resolve = now + Duration::from_mins(5);
    let table = [
        ("A", none, None, Some((now, resolve, true))),
        ("B", start, None, Some((start, resolve, true))),
        ("C", none, Some(end), Some((end, end, false))),
        ("D", start, Some(end), Some((start, end, false))),
        ("E", end, Some(now), None),
        // The end of what was never known is no news.
        ("F", none, Some(start), None),
    ];
    for (name, starts_at, ends_at, expected) in table {
        w.input(Input::Alerts(vec![external(name, starts_at, ends_at)]));
        let view = w.engine.alert(w.now, labels(name).fingerprint());
        let got = view.map(|view| (view.alert.starts_at, view.alert.ends_at.unwrap(), view.alert.timeout));
        assert_eq!(got, expected, "{name}");
    }
    assert_eq!(w.engine.counters().alerts_invalid, 1);
    // Not sent again within resolve_timeout: over. Sent again: not.
    w.at("4m").input(Input::Alerts(vec![external("A", none, None)]));
    w.at("6m");
    let status = |w: &World, name: &str| w.engine.alert(w.now, labels(name).fingerprint()).map(|view| view.status);
    assert_eq!(status(&w, "A"), Some(AlertStatus::Firing));
    assert_eq!(status(&w, "B"), Some(AlertStatus::Resolved));
    w.at("9m");
    assert_eq!(status(&w, "A"), Some(AlertStatus::Resolved));
    w.at("1h");
    assert_eq!(w.engine.alerts(w.now).len(), 0, "told and forgotten");
}

#[test]
fn semantics_28_overlapping_reports_of_an_alert_are_merged() {
    let secs = |s: i64| START + Duration::from_secs(s);
    // Old start, end and whether it is made up; new start and end; the result.
    let table = [
        ((0, Some(300)), (100, Some(600)), (0, 600)),
        ((100, Some(300)), (0, Some(280)), (0, 300)),
        // No overlap: what came later is the truth.
        ((100, Some(300)), (400, Some(600)), (400, 600)),
        // An end made up for the old one does not rule, one that was given does.
        ((0, None), (100, Some(250)), (0, 250)),
        ((0, Some(500)), (100, Some(250)), (0, 500)),
        ((0, Some(500)), (100, None), (0, 520)),
    ];
    for ((start, end), (new_start, new_end), (expected_start, expected_end)) in table {
        let mut w = World::new(to_ops());
        w.at("200s");
        w.input(Input::Alerts(vec![external("A", secs(start), end.map(secs))]));
        w.at("220s");
        let mut newer = external("A", secs(new_start), new_end.map(secs));
        newer.annotations = [("summary", "newer")].into();
        w.input(Input::Alerts(vec![newer]));
        let alert = w.engine.alerts(w.now)[0].alert.clone();
        let got = (alert.starts_at, alert.ends_at);
        assert_eq!(got, (secs(expected_start), Some(secs(expected_end))), "{start} {end:?} {new_start} {new_end:?}");
        assert_eq!(alert.annotations.get("summary"), Some("newer"));
    }
    // Of two ends the later one is the truth.
    let mut w = World::new(to_ops());
    w.fire(&["A"]);
    w.at("100s").resolve(&["A"]);
    w.input(Input::Alerts(vec![external("A", secs(50), Some(secs(80)))]));
    assert_eq!(w.engine.alerts(w.now)[0].alert.ends_at, Some(secs(100)));
}

#[test]
fn semantics_29_ended_alerts_are_forgotten_and_alerts_survive_a_restart() {
    let mut w = World::new(to_ops());
    w.fire(&["A", "B"]);
    w.at("10s").resolve(&["A"]);
    w.crash("1s");
    assert_eq!(w.engine.alerts(w.now).len(), 2);
    w.at("20m");
    assert_eq!(w.engine.alerts(w.now).len(), 1);
    w.expect(&["30s ops first_notification -A +B"]);
}

/// Whoever keeps an alert alive could not do so while the engine was down, and has the time again that it gave.
#[test]
fn semantics_29_an_end_from_outside_is_moved_by_a_restart_as_far_as_its_sender_needs() {
    // The end that was given at 0 s, when the engine crashes, for how long it is down, and the end after that.
    for (given, crash, down, expected) in [
        (Some("6s"), "3s", "1m", "69s"),
        (Some("60s"), "10s", "5s", "75s"),
        (Some("4h"), "10s", "5s", "4h"),
        (Some("4h"), "3h59m", "10m", "4h14m"),
        (None, "10s", "5s", "5m15s"),
    ] {
        let mut w = World::new(to_ops());
        let begin = w.now;
        let end = |text: &str| begin + text.parse::<Duration>().unwrap();
        w.input(Input::Alerts(vec![external("A", begin, given.map(end))]));
        w.at(crash);
        w.crash(down);
        assert_eq!(w.engine.alerts(w.now)[0].alert.ends_at, Some(end(expected)), "{given:?} {crash} {down}");
    }
}

fn inhibiting(rules: &[(&str, &str, &[&str])]) -> Dispatch {
    let mut dispatch = at_once();
    dispatch.route.group_by = GroupBy::All;
    let rule = |(source, target, equal): &(&str, &str, &[&str])| InhibitRule {
        name: None,
        sources: source
            .split('|')
            .map(|source| InhibitSource {
                matchers: matchers(source),
                equal: equal.iter().map(|name| (*name).to_owned()).collect(),
            })
            .collect(),
        target_matchers: matchers(target),
    };
    dispatch.inhibit_rules = rules.iter().map(rule).collect();
    dispatch
}

#[test]
fn semantics_30_inhibition() {
    let critical: &[(&str, &str, &[&str])] = &[("sev=critical", "sev=warning", &["node", "zone"])];
    let two_sided: &[(&str, &str, &[&str])] = &[("x=~.+", "y=~.+", &["node"])];
    let both: &[(&str, &str, &[&str])] = &[("a=1 | b=1", "t=1", &["node"])];
    // Rules, what fires already, what comes, and whether it is told.
    let table: [(&[(&str, &str, &[&str])], &[&str], &str, bool); 14] = [
        (critical, &["sev=critical node=1"], "sev=warning node=1", false),
        (critical, &["sev=critical node=1"], "sev=warning node=2", true),
        (critical, &["sev=critical node=1 zone=a"], "sev=warning node=1", true),
        // Absent on both sides is equal.
        (critical, &["sev=critical"], "sev=warning other=1", false),
        (critical, &["sev=info node=1"], "sev=warning node=1", true),
        // What matches both sides is not inhibited by another that does, nor by itself.
        (two_sided, &["x=1 y=1 node=1"], "x=2 y=2 node=1", true),
        (two_sided, &[], "x=2 y=2 node=1", true),
        (two_sided, &["x=1 node=1"], "x=2 y=2 node=1", false),
        (two_sided, &["x=1 y=1 node=1"], "y=2 node=1", false),
        // One two-sided source does not hide a one-sided one.
        (two_sided, &["x=1 y=1 node=1", "x=3 node=1"], "x=2 y=2 node=1", false),
        // Several sources must all fire.
        (both, &["a=1 node=1"], "t=1 node=1", true),
        (both, &["a=1 node=1", "b=1 node=2"], "t=1 node=1", true),
        (both, &["a=1 node=1", "b=1 node=1"], "t=1 node=1", false),
        (&[], &["sev=critical node=1"], "sev=warning node=1", true),
    ];
    for (rules, sources, target, told) in table {
        let mut w = World::new(inhibiting(rules));
        for source in sources {
            send(&mut w, source, None);
        }
        w.deliveries.clear();
        send(&mut w, target, None);
        assert_eq!(!w.deliveries.is_empty(), told, "{rules:?} {sources:?} {target}");
        let view = w.engine.alert(w.now, pairs(target).fingerprint()).unwrap();
        assert_eq!(view.inhibited_by.is_empty(), told);
    }
    // A silenced source inhibits; one that ended does not any more, while another still does.
    let mut w = World::new(inhibiting(critical));
    w.engine
        .set_silence(
            w.now,
            SilenceDraft {
                annotations: BTreeMap::new(),
                id: None,
                matcher_sets: vec![matchers("sev=critical")],
                starts_at: w.now,
                ends_at: w.now + Duration::from_hours(1),
                recurrence: None,
                created_by: String::new(),
                comment: String::new(),
            },
        )
        .unwrap();
    send(&mut w, "sev=critical node=1 n=1", None);
    send(&mut w, "sev=critical node=1 n=2", None);
    send(&mut w, "sev=warning node=1", None);
    send(&mut w, "sev=critical node=1 n=1", Some("0s"));
    w.at("6m");
    assert_eq!(w.deliveries.len(), 0);
    send(&mut w, "sev=critical node=1 n=2", Some("6m"));
    w.at("11m");
    assert_eq!(w.deliveries.len(), 1);
    assert_eq!(w.deliveries[0].alerts[0].labels, pairs("sev=warning node=1"));
}

#[test]
fn semantics_30_sources_and_targets_of_one_batch_do_not_race() {
    let mut w = World::new(inhibiting(&[("sev=critical", "sev=warning", &[])]));
    let alert =
        |labels: &str| Alert { labels: pairs(labels), ..external("", w.now, Some(w.now + Duration::from_hours(9))) };
    let batch = vec![alert("sev=warning"), alert("sev=critical")];
    w.input(Input::Alerts(batch));
    assert_eq!(w.deliveries.len(), 1, "only the critical one, although the warning came first");
    // After a restart and a reload as well.
    w.crash("1s");
    w.reload_dispatch(|_| {});
    w.at("30m");
    assert_eq!(w.deliveries.len(), 1);
}

fn draft(sets: &[&str], starts: &str, ends: &str) -> SilenceDraft {
    let offset = |text: &str| START + text.parse().unwrap();
    SilenceDraft {
        annotations: BTreeMap::new(),
        id: None,
        matcher_sets: sets.iter().map(|set| matchers(set)).collect(),
        starts_at: offset(starts),
        ends_at: offset(ends),
        recurrence: None,
        created_by: "me".to_owned(),
        comment: "why".to_owned(),
    }
}

#[test]
fn semantics_31_which_silences_are_refused() {
    let mut w = World::new(to_ops());
    w.at("10m");
    let table: [(&[&str], &str, &str, Option<SilenceError>); 9] = [
        (&["a=1"], "0s", "1h", None),
        (&[], "0s", "1h", Some(SilenceError::MatchesEverything)),
        (&["a="], "0s", "1h", Some(SilenceError::MatchesEverything)),
        (&["a=1", "b=~.*"], "0s", "1h", Some(SilenceError::MatchesEverything)),
        (&["a=1 b=~.*"], "0s", "1h", None),
        // A negative matcher demands something, as Alertmanager counts it.
        (&["a!=1"], "0s", "1h", None),
        (&["a!~1|2 b="], "0s", "1h", None),
        (&["a=1"], "1h", "30m", Some(SilenceError::EndsBeforeStart)),
        (&["a=1"], "0s", "10m", Some(SilenceError::EndsInThePast)),
    ];
    for (sets, starts, ends, expected) in table {
        let draft = draft(sets, starts, ends);
        let result = w.engine.set_silence(w.now, draft);
        assert_eq!(result.as_ref().err(), expected.as_ref(), "{sets:?} {starts} {ends}");
        if let Ok(id) = result {
            let silence = w.engine.silence(&id).unwrap();
            assert_eq!(silence.starts_at, w.now, "a start in the past means now");
        }
    }
    w.drain();
}

#[test]
fn semantics_31_editing_a_silence_keeps_its_id_only_if_it_stays_the_same() {
    // The silence: from, to. Edited at a time to: matchers, from, to. Whether the id stays.
    let table = [
        (("10m", "1h"), "20m", ("a=1", "10m", "2h"), true),
        (("10m", "1h"), "20m", ("a=1", "10m", "30m"), true),
        (("10m", "1h"), "20m", ("a=1", "15m", "2h"), false),
        (("10m", "1h"), "20m", ("a=2", "10m", "2h"), false),
        (("30m", "1h"), "20m", ("a=1", "40m", "2h"), true),
        (("30m", "1h"), "20m", ("a=1", "10m", "2h"), false),
        (("10m", "15m"), "20m", ("a=1", "10m", "2h"), false),
    ];
    for ((from, to), at, (set, new_from, new_to), keeps) in table {
        let mut w = World::new(to_ops());
        let first = draft(&["a=1"], from, to);
        let id = w.engine.set_silence(w.now, first).unwrap();
        w.drain();
        w.at(at);
        let edit = SilenceDraft { id: Some(id.clone()), ..draft(&[set], new_from, new_to) };
        let new = w.engine.set_silence(w.now, edit).unwrap();
        w.drain();
        assert_eq!(new == id, keeps, "{from} {to} {at} {set} {new_from} {new_to}");
        let old = w.engine.silence(&id).unwrap();
        assert_eq!(old.state(w.now) == SilenceState::Expired, !keeps);
    }
}

#[test]
fn semantics_31_any_set_silences_deleting_expires_and_expired_ones_are_kept_120_hours() {
    let mut w = World::new(at_once());
    let silence = draft(&["alertname=A", "alertname=B x="], "0s", "1h");
    let id = w.engine.set_silence(w.now, silence).unwrap();
    w.drain();
    w.fire(&["A", "B", "C"]);
    w.expect(&["0s ops first_notification +C"]);
    w.at("10m");
    w.engine.expire_silence(w.now, &id).unwrap();
    w.drain();
    let ended = w.engine.silence(&id).unwrap().clone();
    w.now += Duration::from_mins(1);
    assert_eq!(w.engine.expire_silence(w.now, &id), Ok(()));
    assert_eq!(*w.engine.silence(&id).unwrap(), ended, "to end it again changes nothing");
    w.crash("1s");
    w.at("15m");
    w.expect(&["15m ops first_notification +A", "15m ops first_notification +B"]);
    w.at("120h9m");
    assert_eq!(w.engine.silences().len(), 1);
    w.at("120h10m");
    assert_eq!(w.engine.silences().len(), 0);
    assert!(w.committed.keys().all(|key| key.kind != "silence"));
    assert_eq!(w.engine.expire_silence(w.now, &id), Err(SilenceError::NotFound(id)));
}

fn spec(times: &str, weekdays: &str, days: &str, months: &str, years: &str, location: &str) -> TimeSpec {
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let time = |text: String| {
        let (start, end) = text.split_once('-').unwrap();
        MinuteRange::parse(start, end).unwrap()
    };
    TimeSpec {
        times: list(times).into_iter().map(time).collect(),
        weekdays: list(weekdays).iter().map(|text| text.parse().unwrap()).collect(),
        days_of_month: list(days).iter().map(|text| text.parse().unwrap()).collect(),
        months: list(months).iter().map(|text| text.parse().unwrap()).collect(),
        years: list(years).iter().map(|text| text.parse().unwrap()).collect(),
        location: (!location.is_empty()).then(|| location.parse().unwrap()),
    }
}

#[test]
fn semantics_32_time_intervals() {
    let table = [
        // The end is not in it.
        (spec("09:00-17:00", "", "", "", "", ""), "2026-01-05T09:00:00Z", true),
        (spec("09:00-17:00", "", "", "", "", ""), "2026-01-05T16:59:59Z", true),
        (spec("09:00-17:00", "", "", "", "", ""), "2026-01-05T17:00:00Z", false),
        (spec("23:00-24:00", "", "", "", "", ""), "2026-01-05T23:59:59Z", true),
        // UTC unless a location is given.
        (spec("09:00-17:00", "", "", "", "", "Europe/Berlin"), "2026-01-05T08:30:00Z", true),
        (spec("09:00-17:00", "", "", "", "", "Australia/Sydney"), "2026-01-05T22:30:00Z", true),
        (spec("", "monday:friday", "", "", "", ""), "2026-01-05T00:00:00Z", true),
        (spec("", "saturday sunday", "", "", "", ""), "2026-01-05T00:00:00Z", false),
        (spec("", "sunday", "", "", "", "America/New_York"), "2026-01-05T04:59:00Z", true),
        // From the end of the month, clamped.
        (spec("", "", "-1", "", "", ""), "2026-02-28T12:00:00Z", true),
        (spec("", "", "-1", "", "", ""), "2024-02-28T12:00:00Z", false),
        (spec("", "", "-3:-1", "", "", ""), "2026-01-29T12:00:00Z", true),
        (spec("", "", "31", "", "", ""), "2026-02-28T12:00:00Z", false),
        (spec("", "", "29:31", "", "", ""), "2024-02-29T12:00:00Z", true),
        (spec("", "", "1:-2", "", "", ""), "2026-04-29T12:00:00Z", true),
        (spec("", "", "1:-2", "", "", ""), "2026-04-30T12:00:00Z", false),
        (spec("", "", "-31:-30", "", "", ""), "2026-02-01T12:00:00Z", false),
        (spec("", "", "", "may:august 12", "", ""), "2026-08-31T12:00:00Z", true),
        (spec("", "", "", "may:august 12", "", ""), "2026-09-01T12:00:00Z", false),
        (spec("", "", "", "", "2020:2026", ""), "2026-12-31T23:59:59Z", true),
        (spec("", "", "", "", "2027", ""), "2026-12-31T23:59:59Z", false),
        // All fields must hold.
        (spec("09:00-17:00", "monday", "5", "january", "2026", ""), "2026-01-05T12:00:00Z", true),
        (spec("09:00-17:00", "monday", "6", "january", "2026", ""), "2026-01-05T12:00:00Z", false),
    ];
    for (spec, at, expected) in table {
        let interval = TimeInterval { name: "i".to_owned(), specs: vec![spec.clone()] };
        assert_eq!(interval.contains(Timestamp::parse_rfc3339(at).unwrap()), expected, "{spec:?} {at}");
    }
    let any = TimeInterval {
        name: "any".to_owned(),
        specs: vec![spec("", "tuesday", "", "", "", ""), spec("", "monday", "", "", "", "")],
    };
    assert!(any.contains(START), "several specifications are alternatives");

    for bad in ["17:00-09:00", "09:00-09:00", "9:00-10:00", "24:01-24:02", "00:60-01:00"] {
        let (start, end) = bad.split_once('-').unwrap();
        assert!(MinuteRange::parse(start, end).is_err(), "{bad}");
    }
    for bad in ["friday:monday", "someday", "monday:"] {
        assert!(bad.parse::<watchfire_alerting::WeekdayRange>().is_err(), "{bad}");
    }
    for bad in ["0", "32", "-32", "5:1", "-1:1", "-1:-3", "31:-5"] {
        assert!(bad.parse::<watchfire_alerting::DayRange>().is_err(), "{bad}");
    }
    for bad in ["0", "13", "august:may", "x"] {
        assert!(bad.parse::<watchfire_alerting::MonthRange>().is_err(), "{bad}");
    }
    assert!("2027:2026".parse::<watchfire_alerting::YearRange>().is_err());
}

#[test]
fn semantics_32_changing_clocks_neither_repeats_nor_skips() {
    // Berlin, 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
    let muted = |from: &str, to: &str| {
        let interval = TimeInterval { name: "i".to_owned(), specs: vec![spec(from, "", "", "", "", "Europe/Berlin")] };
        let start = Timestamp::parse_rfc3339(to).unwrap();
        (0..240).filter(|minute| interval.contains(start + Duration::from_mins(*minute))).count()
    };
    assert_eq!(muted("01:30-03:30", "2026-03-29T00:00:00Z"), 60, "an hour of it does not exist");
    assert_eq!(muted("02:10-02:50", "2026-03-29T00:00:00Z"), 0);
    assert_eq!(muted("01:30-03:30", "2026-10-24T23:00:00Z"), 180, "an hour of it happens twice");
    // A group whose route is muted around the change is told once, when it is over.
    let mut dispatch = to_ops();
    dispatch.time_intervals = vec![TimeInterval {
        name: "night".to_owned(),
        specs: vec![spec("01:30-03:30", "", "", "", "", "Europe/Berlin")],
    }];
    dispatch.route.mute_time_intervals = vec!["night".into()];
    let mut w = World::new(dispatch);
    let change = Timestamp::parse_rfc3339("2026-03-29T00:40:00Z").unwrap();
    w.advance_to(change.since(START));
    w.fire(&["A"]);
    w.advance_to(change.since(START) + Duration::from_hours(3));
    assert_eq!(w.deliveries.len(), 1);
    assert!(w.deliveries[0].at >= Timestamp::parse_rfc3339("2026-03-29T01:30:00Z").unwrap());
}

#[test]
fn semantics_33_an_outage_of_a_receiver_loses_neither_page_nor_resolve() {
    let mut w = World::new(at_once());
    let down = DeliveryOutcome::Retry { after: None, reason: "connection refused".to_owned() };
    w.fire(&["A"]);
    w.expect(&["0s ops first_notification +A"]);
    w.answers.insert("ops".to_owned(), Some(down));
    w.at("1m").resolve(&["A"]);
    w.at("2h");
    assert!(w.log.len() > 20 && w.log.len() < 200, "{}", w.log.len());
    assert!(w.deliveries[1..].iter().all(|delivery| delivery.id == w.deliveries[1].id), "one idempotency key");
    assert_eq!(w.engine.outbox()[0].error, "connection refused".into());
    w.log.clear();
    w.answers.clear();
    w.at("2h10m");
    assert_eq!(w.log.len(), 1);
    assert!(w.log[0].ends_with("all_alerts_resolved -A"), "{:?}", w.log);
    w.at("10h");
    assert_eq!(w.log.len(), 1);
}
