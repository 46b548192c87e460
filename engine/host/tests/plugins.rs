//! The first-party plugins, built by their own toolchains and run by the host.

mod support;

use expect_test::expect;
use support::{batch, built, host, state};
use watchfire_host::Source;
use watchfire_plugin::Provider;

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
        let outcome = condition.evaluate(&batch(round * 15_000, &[10.0 + wave, 100.0 + wave]), &mut state).unwrap();
        assert_eq!((outcome.findings.len(), outcome.unknown.len()), (0, 0), "{round}");
        assert_eq!(state.commit().len(), 1);
    }
    let outcome = condition.evaluate(&batch(300_000, &[30.0, 101.0]), &mut state).unwrap();
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
