//! The first-party plugins, built by their own toolchains and run by the host.

mod support;

use std::collections::BTreeMap;

use expect_test::expect;
use support::{batch, built, host, state};
use watchfire_host::{Host, Source};
use watchfire_model::{Alert, Labels, Timestamp};
use watchfire_plugin::{AlertView, MessageGroup, Provider, ask};

#[test]
fn the_anomaly_condition_learns_and_fires() {
    let Some(path) = built("the_anomaly_condition_learns_and_fires", "ewma-anomaly") else { return };
    let host = host();
    let info = host.load("ewma-anomaly", Source::File(&path)).unwrap();
    expect![[r#"ewma-anomaly [Condition]"#]].assert_eq(&format!("{} {:?}", info.descriptors[0].name, info.kinds));
    let mut condition = host.open_condition("ewma-anomaly", r#"{"warmup": 8}"#).unwrap();
    let mut state = state();
    for round in 0..20_i64 {
        let wave = [0.0, 0.5, 1.0, 0.5, 0.0, -0.5, -1.0, -0.5][round as usize % 8];
        let outcome = ask(&mut *condition, &batch(round * 15_000, &[10.0 + wave, 100.0 + wave]), &mut state).unwrap();
        assert_eq!((outcome.findings.len(), outcome.unknown.len()), (0, 0), "{round}");
        // The first time it is noted whose the state is and in which layout.
        assert_eq!(state.commit().len(), if round == 0 { 2 } else { 1 });
    }
    let outcome = ask(&mut *condition, &batch(300_000, &[30.0, 101.0]), &mut state).unwrap();
    expect![[r#"
        Outcome {
            findings: [
                Finding {
                    series: 0,
                    severity: Critical,
                    value: 34.57519855800081,
                    summary: "30 is 34.6 standard deviations from its mean 10.1222 (one is 0.5749)",
                },
            ],
            unknown: [],
        }
    "#]]
    .assert_debug_eq(&outcome);
}

#[test]
fn a_wrong_configuration_is_told_with_its_place() {
    let Some(path) = built("a_wrong_configuration_is_told_with_its_place", "ewma-anomaly") else { return };
    let host = host();
    host.load("ewma-anomaly", Source::File(&path)).unwrap();
    let error = host.open_condition("ewma-anomaly", r#"{"sigma": -1}"#).err().unwrap();
    expect![[r#"invalid configuration at "/sigma": must be above 0, is -1"#]].assert_eq(&error.to_string());
}

fn alerts(labels: &[(&str, &str)], annotations: &[(&str, &str)], at: Timestamp) -> Vec<AlertView> {
    let alert = Alert {
        labels: Labels::from_pairs(labels.iter().copied()),
        annotations: annotations.iter().copied().collect(),
        starts_at: Timestamp::from_millis(at.as_millis() - 60_000),
        ends_at: None,
        updated_at: at,
        timeout: false,
        generator_url: "https://watchfire.example/rules".into(),
        value: Some(1.5),
    };
    vec![AlertView::new(alert, at)]
}

#[test]
fn the_router_decides_by_team_and_hour() {
    let Some(path) = built("the_router_decides_by_team_and_hour", "team-router") else { return };
    let host = host();
    host.load("team-router", Source::File(&path)).unwrap();
    let config = r#"{"teams": {"payments": {"hours": "09:00-18:00", "in_hours": "chat", "off_hours": "pager"}}}"#;
    let mut router = host.open_router("team-router", config).unwrap();
    for (hour, team, expected) in [(10, "payments", vec!["chat"]), (20, "payments", vec!["pager"]), (10, "x", vec![])] {
        let at = Timestamp::from_secs(hour * 3_600);
        let decisions = router.route(at, &alerts(&[("alertname", "A"), ("team", team)], &[], at)).unwrap();
        assert_eq!(decisions[0].receivers, expected);
    }
    let error = host.open_router("team-router", &config.replace("18:00", "6pm")).err().unwrap();
    expect![[r#"invalid configuration at "/teams/payments/hours": "09:00-6pm" is not of the form "09:00-18:00""#]]
        .assert_eq(&error.to_string());
}

#[test]
fn the_formatter_writes_a_card() {
    let Some(path) = built("the_formatter_writes_a_card", "slack-card") else { return };
    let host = host();
    host.load("slack-card", Source::File(&path)).unwrap();
    let mut formatter = host.open_formatter("slack-card", "{}").unwrap();
    let at = Timestamp::from_secs(1_000_000);
    let labels = [("alertname", "DiskFull"), ("severity", "critical"), ("host", "a")];
    let message = formatter
        .format(&MessageGroup {
            at,
            key: "k".to_owned(),
            receiver: "r".to_owned(),
            group_labels: [("alertname".to_owned(), "DiskFull".to_owned())].into(),
            external_url: "https://watchfire.example".to_owned(),
            id: "notification".to_owned(),
            channel: "webhook".to_owned(),
            secrets: BTreeMap::new(),
            alerts: alerts(&labels, &[("summary", "97 % used")], at),
        })
        .unwrap();
    assert_eq!((message.title.as_str(), message.content_type.as_str()), ("🔴 DiskFull", "application/json"));
    for part in [r##""color":"#e01e5a""##, "97 % used", "`host=a`", "since <!date^999940^"] {
        assert!(message.body.contains(part), "{part} in {}", message.body);
    }
}

#[test]
fn a_condition_in_javascript_fires_and_remembers() {
    let Some(path) = built("a_condition_in_javascript_fires_and_remembers", "js-threshold") else { return };
    if !path.exists() {
        println!("SKIPPED a_condition_in_javascript_fires_and_remembers: js-threshold.wasm is not built");
        return;
    }
    let host = host();
    host.load("js-threshold", Source::File(&path)).unwrap();
    let mut state = state();
    let config = r#"{"above": 10, "recover": 8, "severity": "critical"}"#;
    let mut told = String::new();
    for (round, values) in [[1.0, 11.0], [1.0, 9.0], [f64::NAN, 7.0]].iter().enumerate() {
        // Opened anew each time: what fires is remembered by the state and not by the instance.
        let mut condition = host.open_condition("js-threshold", config).unwrap();
        let outcome = condition.evaluate(&batch(round as i64 * 1_000, values), &mut state).unwrap();
        state.commit();
        told += &format!("{outcome:?}\n");
    }
    expect![[r#"
        Outcome { findings: [Finding { series: 1, severity: Critical, value: 11.0, summary: "11 is above 10" }], unknown: [] }
        Outcome { findings: [Finding { series: 1, severity: Critical, value: 9.0, summary: "9 is above 8" }], unknown: [] }
        Outcome { findings: [], unknown: [0] }
    "#]].assert_eq(&told);
    let error = host.open_condition("js-threshold", r#"{"abov": 1}"#).err().unwrap();
    expect![[r#"invalid configuration at "/abov": unknown field; use above, below, recover, severity"#]]
        .assert_eq(&error.to_string());
}

#[test]
fn the_anomaly_condition_and_its_native_twin_agree_to_the_bit() {
    let test = "the_anomaly_condition_and_its_native_twin_agree_to_the_bit";
    let Some(path) = built(test, "ewma-anomaly") else { return };
    let host = host();
    host.load("ewma-anomaly", Source::File(&path)).unwrap();
    let config = r#"{"warmup": 5, "sigma": 3, "alpha": 0.3, "forget_after": 60}"#;
    let mut plugin = host.open_condition("ewma-anomaly", config).unwrap();
    let mut twin = watchfire_rules::builtin::Builtins.open_condition("ewma-anomaly", config).unwrap();
    let (mut plugin_state, mut twin_state) = (state(), state());
    let mut seed = 7_u64;
    let mut findings = 0;
    for round in 0..200_i64 {
        // Series come and go, jump, and are sometimes no number.
        let values: Vec<f64> = (0..(20 + round % 7))
            .map(|series| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                match seed >> 57 {
                    0 => f64::NAN,
                    1 => f64::INFINITY,
                    2 => 1e9,
                    small => small as f64 / 7.0 + series as f64,
                }
            })
            .collect();
        let batch = batch(round * 15_000, &values);
        let answer = plugin.evaluate(&batch, &mut plugin_state).unwrap();
        assert_eq!(answer, twin.evaluate(&batch, &mut twin_state).unwrap(), "{round}");
        let mut writes = plugin_state.commit();
        writes.retain(|write| !write.key.starts_with("watchfire:"));
        assert_eq!(writes, twin_state.commit(), "{round}");
        findings += answer.findings.len();
    }
    assert!(findings > 50, "{findings}");
}

/// The SDK's example `probe`, which tries what a plugin must not be able to do.
fn probe(test: &str) -> Option<Host> {
    let path = built(test, "test/probe")?;
    if !path.exists() {
        println!("SKIPPED {test}: test/probe.wasm is not built");
        return None;
    }
    let host = host();
    host.load("probe", Source::File(&path)).unwrap();
    Some(host)
}

#[test]
fn a_guest_sees_nothing_of_the_outside_and_always_the_same() {
    let Some(host) = probe("a_guest_sees_nothing_of_the_outside_and_always_the_same") else { return };
    let mut told = String::new();
    for attempt in [
        "clock",
        "sleep",
        "random",
        "print",
        "environment",
        "file",
        "network",
        "input",
        "thread",
        "exit",
        "panic",
        "error",
    ] {
        let config = format!(r#"{{"attempt": "{attempt}"}}"#);
        let answer = || {
            let mut condition = host.open_condition("probe", &config).unwrap();
            match condition.evaluate(&batch(1_795_132_800_123, &[1.0]), &mut state()) {
                Ok(outcome) => outcome.findings[0].summary.clone(),
                Err(error) => error.to_string(),
            }
        };
        let first = answer();
        assert_eq!(first, answer(), "{attempt}");
        // Where a panic happened is told, but the place moves with every change of the example.
        let first = first.split(" (in ").next().unwrap_or_default().to_owned();
        let first = match first.split_once("probe.rs:") {
            Some((before, after)) => format!("{before}probe.rs{}", &after[after.find(": |").unwrap_or(0)..]),
            None => first,
        };
        told += &format!("{attempt}: {first}\n");
    }
    expect![[r#"
        clock: 1795132800.123s 0ns
        sleep: slept
        random: [2, 7, 3, 0, 4, 5, 6, 1]
        print: printed
        environment: 0 variables, 0 arguments
        file: Err(NotFound)
        network: Err(PermissionDenied)
        input: Ok(0)
        thread: Some(Unsupported)
        exit: the plugin trapped: the plugin called exit; return an error instead
        panic: the plugin trapped: wasm `unreachable` instruction executed: thread '<unnamed>' (1) panicked at examples/probe.rs: | index out of bounds: the len is 3 but the index is 4
        error: cannot handle this input: not today
    "#]]
    .assert_eq(&told);
}

#[test]
fn one_component_may_offer_all_three_kinds() {
    let Some(host) = probe("one_component_may_offer_all_three_kinds") else { return };
    let kinds: Vec<_> = host.descriptors().into_iter().map(|d| format!("{} {}", d.kind.as_str(), d.name)).collect();
    assert_eq!(kinds, ["condition probe", "router probe", "formatter probe"]);
    let at = Timestamp::EPOCH;
    let alerts = alerts(&[("alertname", "A")], &[], at);
    let config = r#"{"attempt": "print"}"#;
    let decided = host.open_router("probe", config).unwrap().route(at, &alerts).unwrap();
    assert_eq!(decided[0].receivers, ["A printed"]);
    let group = MessageGroup {
        at,
        key: String::new(),
        receiver: "r".to_owned(),
        group_labels: [].into(),
        external_url: String::new(),
        id: "notification".to_owned(),
        channel: "webhook".to_owned(),
        secrets: BTreeMap::new(),
        alerts,
    };
    assert_eq!(host.open_formatter("probe", config).unwrap().format(&group).unwrap().body, "r printed");
}
