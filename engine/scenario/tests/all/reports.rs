//! What is said about a test file that fails: a test that cannot fail proves nothing.

use expect_test::expect;

use super::play;

#[test]
fn each_wrong_expectation_of_a_scenario_is_told_with_its_line() {
    let report = play(
        "wrong.yml",
        r#"
scenario: everything here is expected wrongly
config:
  route: {receiver: ops, group_by: [host], group_wait: 10s}
  receivers: [{name: ops, webhook_configs: [{url: http://ops.example}]}]
steps:
  - at: 0s
    alerts: ['Down{host="a"}', 'Down{host="b"}']
    expect:
      firing: ['Down{host="a"}']
      silenced: ['Down{host="a"}']
      groups: [{receiver: ops, labels: {host: a}}]
      query: {'1 + 1': 3, 'up': 1, '1 +': 1}
  - at: 10s
    expect:
      notifications:
        - {receiver: ops, at: 9s, firing: ['Down{host="a"}']}
        - {receiver: pager, reason: repeat_interval_elapsed}
        - {message: hello}
  - at: 20s
    unsilence: nothing
    alerts: ['Down{host="c"}']
  - at: 40s
    samples: {up: 1}
"#,
    );
    expect![[r#"
        FAILED  wrong.yml (1 of 1 test)
          wrong.yml:10: everything here is expected wrongly: at 0s: firing
            + Down{host="b"}
          wrong.yml:11: everything here is expected wrongly: at 0s: silenced
            - Down{host="a"}
          wrong.yml:12: everything here is expected wrongly: at 0s: groups
            + ops {host="b"} with Down{host="b"}
          wrong.yml:13: everything here is expected wrongly: at 0s: 1 + 1
              {}
            -   value: 3
            +   value: 2
          wrong.yml:13: everything here is expected wrongly: at 0s: up
            - {}
            -   value: 1
          wrong.yml:13: everything here is expected wrongly: at 0s: 1 +
            + error: 1:4: parse error: unexpected end of input
          wrong.yml:17: everything here is expected wrongly: at 10s: another notification: at 10s ops (first_notification): firing Down{host="a"}
            - at: 9s
            + at: 10s
          wrong.yml:18: everything here is expected wrongly: at 10s: another notification: at 10s ops (first_notification): firing Down{host="b"}
            - receiver: pager
            + receiver: ops
            - reason: repeat_interval_elapsed
            + reason: first_notification
          wrong.yml:19: everything here is expected wrongly: at 10s: nobody was told: any receiver
          wrong.yml:20: everything here is expected wrongly: there is no silence "nothing"
          wrong.yml:23: everything here is expected wrongly: a notification that no step expects: at 30s ops (first_notification): firing Down{host="c"}"#]]
    .assert_eq(&report.to_string());
}

#[test]
fn each_fault_of_a_scenario_is_told_with_its_place() {
    let report = play(
        "broken.yml",
        r#"
scenario: nothing here can be read
steps:
  - {at: 1m, sample: {up: 1}}
  - {at: 30s, samples: {'up{': 1}}
  - {at: soon}
  - {at: 40s, expect: {firing: 'A{', notifications: [{reciever: x}]}}
"#,
    );
    expect![[r#"
        FAILED  broken.yml (6 errors)
          broken.yml:4:14: error: unknown key "sample" in a step [unknown-key]
            help: did you mean `samples`?
          broken.yml:5:25: error: up{: 1:4: parse error: unexpected end of input inside braces [test-file]
          broken.yml:5:5: error: this step is at 30s, after one at 1m [test-file]
            help: write the steps in the order of time
          broken.yml:6:10: error: at is not a duration: "soon" [bad-duration]
            help: write a number with a unit: 30s, 5m, 1h30m, 1d; units are ms, s, m, h, d, w, y
          broken.yml:7:32: error: A{: 1:3: parse error: unexpected end of input inside braces [test-file]
          broken.yml:7:55: error: unknown key "reciever" in an expected notification [unknown-key]
            help: did you mean `receiver`?"#]]
    .assert_eq(&report.to_string());
}

#[test]
fn faults_of_rules_and_configuration_are_told_where_they_stand_in_the_scenario() {
    let report = play(
        "inline.yml",
        r#"
scenario: rules and configuration stand inside this file
rules:
  groups:
    - name: g
      rules: [{alert: A, expr: up ==}]
config:
  route: {reciever: ops}
"#,
    );
    let places: Vec<_> = report.diagnostics.iter().map(|error| (error.file.as_str(), error.line)).collect();
    assert!(places.contains(&("inline.yml", 6)) && places.contains(&("inline.yml", 8)), "{report}");
}

#[test]
fn a_unit_test_that_fails_shows_what_differs() {
    let report = play(
        "tests.yml",
        r#"
tests:
  - name: alerts
    input_series: [{series: 'up{job="a"}', values: 0x3}]
    alert_rule_test:
      - {eval_time: 1m, alertname: Down, exp_alerts: [{exp_labels: {job: a}}]}
    promql_expr_test:
      - {expr: up, eval_time: 2m, exp_samples: [{labels: 'up{job="a"}', value: 1}, {labels: up, value: 2}]}
      - {expr: 'up + on (', eval_time: 2m}
"#,
    );
    expect![[r#"
        FAILED  tests.yml (1 of 1 test)
          tests.yml:6: alerts: alert Down at 1m
            - Down{job="a"}
          tests.yml:8: alerts: up at 2m
            - up
            -   value: 2
              up{job="a"}
            -   value: 1
            +   value: 0
          tests.yml:9: alerts: up + on ( at 2m
            + error: 1:10: parse error: unclosed left parenthesis"#]]
    .assert_eq(&report.to_string());
    let unknown = play("tests.yml", "tests: [{name: x, alert_rules_test: []}]");
    assert!(unknown.to_string().contains("unknown key \"alert_rules_test\" in a test"), "{unknown}");
}
