//! Rule evaluation: the schedule and the life of an instance.

use std::sync::Arc;

use watchfire_alerting::{
    Cause, EvaluateRequest, Evaluation, EvaluationId, Input, Reason, Record, RuleGroupSpec, RuleHealth, RuleKind,
    RuleReason, RuleSpec, Settings,
};
use watchfire_model::{Duration, RuleGroupId, RuleId, is_stale};
use watchfire_plugin::StateWrite;

use crate::world::{Finding, START, World, alerting, at_once, instance, labels, recording, rule_group, to_ops};

fn world(rules: Vec<RuleSpec>) -> World {
    World::with(Settings::default(), vec![rule_group(rules)], at_once())
}

/// `offset rule cause` of all requests since the last call.
fn requests(world: &mut World) -> Vec<String> {
    let requests = std::mem::take(&mut world.requests);
    requests.iter().map(|r| format!("{} {} {}", r.at.since(START), r.rule.0, r.cause.as_str())).collect()
}

/// The samples since the last call as `series value@offset`, staleness markers as `stale`.
fn samples(world: &mut World) -> Vec<String> {
    let samples = std::mem::take(&mut world.samples);
    let line = |value: f64| if is_stale(value) { "stale".to_owned() } else { value.to_string() };
    let lines = samples
        .iter()
        .map(|(labels, sample)| format!("{labels} {}@{}", line(sample.value), sample.timestamp.since(START)));
    lines.collect()
}

/// Answers the `evaluation`-th request of the engine.
fn answer(world: &mut World, evaluation: u64, rule: u64) {
    let request = EvaluateRequest {
        id: EvaluationId(evaluation),
        group: RuleGroupId(0),
        rule: RuleId(rule),
        at: world.now,
        query_offset: Duration::ZERO,
        cause: Cause::Interval,
        instances: Arc::default(),
        idle: true,
    };
    let answer = world.answer(request);
    world.input(Input::Evaluated(answer));
}

#[test]
fn semantics_01_rules_get_the_slot_and_missed_slots_are_counted_and_not_caught_up() {
    let mut group = rule_group(vec![alerting(1, "0s", "0s")]);
    // The offset within the interval comes from the identity, so that groups are spread.
    group.id = RuleGroupId(7_000);
    let mut w = World::with(Settings::default(), vec![group], at_once());
    w.at("2m");
    assert_eq!(requests(&mut w), ["7s 1 interval", "1m7s 1 interval"]);
    // An evaluation that takes three and a half minutes.
    w.evaluates = false;
    w.at("2m30s");
    assert_eq!(requests(&mut w), ["2m7s 1 interval"]);
    w.at("5m30s");
    assert_eq!(requests(&mut w), [""; 0]);
    w.evaluates = true;
    answer(&mut w, 3, 1);
    // The latest slot is done at once, two are counted as missed.
    assert_eq!(requests(&mut w), ["5m7s 1 interval"]);
    assert_eq!(w.engine.counters().slots_missed, 2);
    w.at("6m10s");
    assert_eq!(requests(&mut w), ["6m7s 1 interval"]);
}

#[test]
fn semantics_02_samples_carry_the_query_offset_and_states_do_not() {
    let mut group = rule_group(vec![alerting(1, "0s", "0s")]);
    group.query_offset = Duration::from_secs(10);
    let mut w = World::with(Settings::default(), vec![group], at_once());
    w.find(1, &["A"]);
    w.at("1m");
    assert_eq!(
        samples(&mut w),
        [
            r#"{__name__="ALERTS", alertname="A", alertstate="firing"} 1@50s"#,
            &format!(r#"{{__name__="ALERTS_FOR_STATE", alertname="A"}} {}@50s"#, START.as_secs_f64() + 60.0),
        ]
    );
    let instance = &w.engine.rule_state(RuleId(1)).unwrap().instances[0];
    let minute = START + Duration::from_mins(1);
    assert_eq!((instance.active_at, instance.fired_at), (minute, Some(minute)));
}

#[test]
fn semantics_05_for_counts_from_the_first_hit_and_one_miss_starts_it_again() {
    // `for` and after how many whole minutes of being active the alert fires.
    for (for_, fires_after) in [("0s", 0), ("30s", 1), ("1m", 1), ("61s", 2), ("3m", 3)] {
        let mut w = world(vec![alerting(1, for_, "0s")]);
        w.find(1, &["A"]);
        for minute in 1..=5 {
            w.advance_to(Duration::from_mins(minute));
            let expected = if minute > fires_after { "A=firing" } else { "A=pending" };
            assert_eq!(w.states(1), expected, "for {for_}, minute {minute}");
        }
    }
    let mut w = world(vec![alerting(1, "3m", "0s")]);
    w.find(1, &["A"]);
    w.at("3m");
    assert_eq!(w.states(1), "A=pending");
    w.find(1, &[]);
    w.at("4m");
    assert_eq!(w.states(1), "", "one miss ends a pending instance");
    w.find(1, &["A"]);
    w.at("7m");
    assert_eq!(w.states(1), "A=pending", "and the next hit starts over");
    w.at("8m");
    assert_eq!(w.states(1), "A=firing");
}

#[test]
fn semantics_06_a_longer_for_sends_a_firing_alert_back_to_pending() {
    let mut w = world(vec![alerting(1, "1m", "0s")]);
    w.find(1, &["A"]);
    w.at("3m");
    assert_eq!(w.states(1), "A=firing");
    w.reload(vec![rule_group(vec![alerting(1, "5m", "0s")])], at_once());
    assert_eq!(w.states(1), "A=firing", "a reload alone changes nothing");
    w.at("4m");
    assert_eq!(w.states(1), "A=pending");
    let rule = w.engine.rule_state(RuleId(1)).unwrap();
    assert_eq!(rule.instances[0].fired_at, None);
    w.at("6m");
    assert_eq!(w.states(1), "A=firing");
    w.log.clear();
    // A shorter one takes effect at the next evaluation.
    w.find(1, &["A", "B"]);
    w.at("7m");
    w.reload(vec![rule_group(vec![alerting(1, "1m", "0s")])], at_once());
    w.at("8m");
    assert_eq!(w.states(1), "A=firing B=firing");
}

#[test]
fn semantics_07_keep_firing_for_bridges_misses_of_firing_alerts_only() {
    let mut w = world(vec![alerting(1, "1m", "2m")]);
    w.finds.insert(RuleId(1), Finding::Active(vec![instance("A", 7.0)]));
    w.at("1m").find(1, &[]);
    w.at("2m");
    assert_eq!(w.states(1), "", "a pending instance is not kept");
    w.finds.insert(RuleId(1), Finding::Active(vec![instance("A", 7.0)]));
    w.at("4m").find(1, &[]);
    w.at("5m");
    let kept = w.engine.rule_state(RuleId(1)).unwrap().instances[0].clone();
    assert_eq!((kept.value, kept.keep_firing_since), (7.0, Some(START + Duration::from_mins(5))), "frozen");
    w.at("6m");
    assert_eq!(w.states(1), "A=firing");
    // Unlike in Prometheus the time runs on through a restart.
    w.crash("10s");
    assert_eq!(w.states(1), "A=firing");
    w.at("7m");
    assert_eq!(w.states(1), "A=resolved", "2 minutes after the first miss");
    w.find(1, &["A"]);
    w.at("9m");
    w.find(1, &[]);
    w.at("10m").find(1, &["A"]);
    w.at("11m");
    assert_eq!(w.engine.rule_state(RuleId(1)).unwrap().instances[0].keep_firing_since, None, "a hit clears it");
}

#[test]
fn semantics_08_an_alert_starts_when_it_fired_and_expires_after_four_intervals() {
    let mut group = rule_group(vec![alerting(1, "2m", "0s")]);
    for (interval, patience) in [("1m", "4m"), ("10s", "4m"), ("2m", "8m")] {
        group.interval = interval.parse().unwrap();
        let mut w = World::with(Settings::default(), vec![group.clone()], at_once());
        w.find(1, &["A"]);
        w.at("10m");
        let view = w.engine.alert(w.now, labels("A").fingerprint()).unwrap();
        let rule = w.engine.rule_state(RuleId(1)).unwrap();
        assert_eq!(view.alert.starts_at, rule.instances[0].fired_at.unwrap());
        assert_eq!(view.alert.ends_at, None, "in process it does not end by time");
        assert_eq!(view.expires_at, rule.last_evaluation.unwrap() + patience.parse().unwrap());
        w.find(1, &[]);
        w.at("12m");
        let view = w.engine.alert(w.now, labels("A").fingerprint()).unwrap();
        assert_eq!(view.alert.ends_at, w.engine.rule_state(RuleId(1)).unwrap().instances[0].resolved_at);
    }
}

#[test]
fn semantics_09_a_resolved_instance_is_kept_15_minutes_and_a_refire_is_a_new_alert() {
    let mut w = world(vec![alerting(1, "0s", "0s")]);
    w.find(1, &["A"]);
    w.at("1m").find(1, &[]);
    w.at("17m");
    assert_eq!(w.states(1), "A=resolved");
    w.at("18m");
    assert_eq!(w.states(1), "");
    w.find(1, &["A"]);
    w.at("19m").find(1, &[]);
    w.at("20m").find(1, &["A"]);
    w.at("21m");
    let again = &w.engine.rule_state(RuleId(1)).unwrap().instances[0];
    assert_eq!((again.active_at, again.resolved_at), (START + Duration::from_mins(21), None));
}

#[test]
fn semantics_10_a_limit_keeps_the_first_instances_and_says_so() {
    let mut group = rule_group(vec![alerting(1, "0s", "0s"), recording(2)]);
    group.limit = 2;
    let mut w = World::with(Settings::default(), vec![group], at_once());
    w.find(1, &["C", "B"]);
    w.at("1m");
    w.log.clear();
    // Prometheus would drop all of them without a resolve.
    w.find(1, &["A", "B", "C", "D"]);
    let series = |name: &str| (labels(name), 1.0);
    w.finds.insert(RuleId(2), Finding::Samples(vec![series("x"), series("y"), series("z")]));
    w.at("2m");
    assert_eq!(w.states(1), "B=firing C=firing");
    w.expect(&[]);
    assert_eq!(w.engine.rule_state(RuleId(1)).unwrap().dropped, 2);
    assert_eq!(w.engine.rule_state(RuleId(2)).unwrap().dropped, 1);
    assert_eq!(w.engine.counters().instances_dropped, 3);
    let complaint = w.engine.rule_state(RuleId(1)).unwrap().complaint();
    assert_eq!(complaint.unwrap(), "exceeded the limit: 2 results were left out, those that came first are kept");
    assert!(w.changes.iter().any(|change| change.reason.word() == "instances_limit"));
    w.find(1, &["A", "B", "D"]);
    w.at("3m");
    assert_eq!(w.states(1), "A=firing B=firing C=resolved", "an ended instance makes room");
}

#[test]
fn semantics_11_an_error_leaves_everything_as_it_is() {
    let mut w = world(vec![alerting(1, "0s", "0s"), recording(2)]);
    w.find(1, &["A"]);
    w.finds.insert(RuleId(2), Finding::Samples(vec![(labels("x"), 1.0)]));
    w.at("1m");
    w.samples.clear();
    w.log.clear();
    w.finds.insert(RuleId(1), Finding::Error("query timed out".to_owned()));
    w.finds.insert(RuleId(2), Finding::Error("query timed out".to_owned()));
    w.at("1h");
    assert_eq!(w.states(1), "A=firing");
    assert_eq!(samples(&mut w), [""; 0], "no staleness markers either");
    w.expect(&[]);
    assert_eq!(w.engine.rule_state(RuleId(1)).unwrap().health, RuleHealth::Error("query timed out".into()));
    assert_eq!(w.engine.counters().evaluation_failures, 118);
    let failed = |reason: &Reason| matches!(reason, Reason::Rule(RuleReason::EvaluationFailed(_)));
    assert_eq!(w.changes.iter().filter(|change| failed(&change.reason)).count(), 2, "told once per rule");
    // Two results with the same labels are an error as well.
    w.find(1, &["A", "A"]);
    w.at("1h1m");
    assert_eq!(w.states(1), "A=firing");
}

#[test]
fn semantics_11_an_unknown_instance_stays_as_it_is() {
    let mut w = world(vec![alerting(1, "1m", "0s")]);
    w.find(1, &["A", "B"]);
    w.at("2m").find(1, &["A", "B", "C"]);
    w.at("3m");
    w.finds.insert(RuleId(1), Finding::Unknown(vec![labels("A"), labels("C")]));
    w.at("10m");
    assert_eq!(w.states(1), "A=firing B=resolved C=pending");
}

#[test]
fn semantics_12_for_survives_a_restart_of_any_length_and_series_are_written_at_once() {
    let mut w = world(vec![alerting(1, "5m", "0s")]);
    w.find(1, &["A"]);
    w.at("3m");
    w.samples.clear();
    w.crash("2s");
    w.at("4m");
    assert_eq!(samples(&mut w).len(), 2, "ALERTS and ALERTS_FOR_STATE");
    w.at("6m");
    assert_eq!(w.states(1), "A=firing", "5 minutes after the first hit, less than 10 minutes of `for` or not");
    w.crash("3h");
    assert_eq!(w.states(1), "A=firing");
}

#[test]
fn semantics_13_a_reload_keeps_rules_by_identity_and_a_renamed_file_hands_over() {
    let mut w = world(vec![alerting(1, "5m", "0s"), alerting(2, "5m", "0s")]);
    w.find(1, &["A"]);
    w.find(2, &["B"]);
    w.at("3m");
    // Another order, another group before it, and another rule.
    let mut other = rule_group(vec![alerting(9, "0s", "0s")]);
    other.id = RuleGroupId(60_000);
    let groups =
        vec![other, rule_group(vec![alerting(2, "5m", "0s"), alerting(3, "0s", "0s"), alerting(1, "5m", "0s")])];
    w.reload(groups, at_once());
    w.at("6m");
    assert_eq!((w.states(1), w.states(2)), ("A=firing".to_owned(), "B=firing".to_owned()));
    w.log.clear();
    // The same names in another file: other identities. Prometheus would start over.
    let renamed = |id, like: u64| RuleSpec { name: format!("rule{like}").into(), ..alerting(id, "5m", "0s") };
    let mut group = rule_group(vec![renamed(11, 1), renamed(12, 2)]);
    group.id = RuleGroupId(120_000);
    w.find(11, &["A"]);
    w.find(12, &["B"]);
    w.reload(vec![group], at_once());
    w.at("30m");
    assert_eq!((w.states(11), w.states(12)), ("A=firing".to_owned(), "B=firing".to_owned()));
    w.expect(&[]);
}

#[test]
fn what_a_rule_remembers_goes_where_its_alerts_go() {
    let named = |id, name: &str| RuleSpec { name: name.into(), ..alerting(id, "0s", "0s") };
    let (disk, cpu, twice) = (|id| named(id, "disk"), |id| named(id, "cpu"), |id| named(id, "twice"));
    let mut w = world(vec![disk(1), cpu(2), twice(3), twice(4)]);
    w.find(2, &["B"]);
    w.at("1m");
    let asked = w.requests.iter().find(|request| request.rule == RuleId(1)).unwrap().clone();
    for (what, rules, expected) in [
        ("the labels of one are edited", vec![disk(11), cpu(2), twice(3), twice(4)], vec![(1, 11)]),
        ("two become one, nobody knows which", vec![disk(11), cpu(2), twice(13)], vec![]),
        ("one is cut", vec![disk(11)], vec![]),
        ("and is pasted elsewhere", vec![disk(11), cpu(12)], vec![(2, 12)]),
        ("one becomes another kind", vec![RuleSpec { kind: RuleKind::Recording, ..disk(21) }, cpu(12)], vec![]),
        ("and is another one again", vec![disk(31), cpu(12)], vec![]),
    ] {
        w.reload(vec![rule_group(rules)], at_once());
        assert_eq!(std::mem::take(&mut w.took_over), expected, "{what}");
    }
    // What an evaluation writes that was asked for before the edit is not lost either.
    w.reload(vec![rule_group(vec![disk(41), cpu(12)])], at_once());
    assert_eq!(w.took_over, [(31, 41)]);
    let write = StateWrite { key: "mean".to_owned(), value: Some(Arc::new(vec![7])) };
    let late = Evaluation { state_writes: vec![write], rule: RuleId(31), ..w.answer(asked) };
    w.input(Input::Evaluated(late));
    let kept = w.committed.values().filter_map(|record| match record {
        Record::PluginState(state) => Some(state.rule),
        _ => None,
    });
    assert_eq!(kept.collect::<Vec<_>>(), [RuleId(41)]);
}

#[test]
fn semantics_14_series_that_are_not_written_again_end_with_a_staleness_marker() {
    let mut w = world(vec![alerting(1, "1m", "0s"), recording(2)]);
    w.find(1, &["A"]);
    w.finds.insert(RuleId(2), Finding::Samples(vec![(labels("x"), 1.0), (labels("y"), 2.0)]));
    w.at("1m");
    w.samples.clear();
    w.finds.insert(RuleId(2), Finding::Samples(vec![(labels("y"), f64::NAN)]));
    w.at("2m");
    let since = (START + Duration::from_mins(1)).as_secs_f64();
    assert_eq!(
        samples(&mut w),
        [
            r#"{__name__="ALERTS", alertname="A", alertstate="firing"} 1@2m"#,
            &format!(r#"{{__name__="ALERTS_FOR_STATE", alertname="A"}} {since}@2m"#),
            r#"{__name__="ALERTS", alertname="A", alertstate="pending"} stale@2m"#,
            r#"{alertname="y"} NaN@2m"#,
            r#"{alertname="x"} stale@2m"#,
        ]
    );
    w.find(1, &[]);
    w.at("3m");
    assert!(samples(&mut w).iter().filter(|line| line.contains(" stale@3m")).count() == 2);
    // A rule that is gone leaves two intervals to a successor.
    w.reload(vec![rule_group(vec![alerting(1, "1m", "0s")])], at_once());
    w.at("4m59s");
    assert_eq!(samples(&mut w), [""; 0]);
    w.at("5m");
    assert_eq!(samples(&mut w), [r#"{alertname="y"} stale@5m"#]);
}

#[test]
fn semantics_15_rules_of_a_group_run_one_after_the_other_and_groups_side_by_side() {
    let mut other = rule_group(vec![alerting(9, "0s", "0s")]);
    other.id = RuleGroupId(60_000);
    let group = rule_group(vec![recording(1), alerting(2, "0s", "0s"), alerting(3, "0s", "0s")]);
    let mut w = World::with(Settings::default(), vec![group, other], to_ops());
    w.evaluates = false;
    w.at("1m");
    assert_eq!(requests(&mut w), ["1m 1 interval", "1m 9 interval"]);
    for (evaluation, rule, next) in [(1, 1, "1m 2 interval"), (3, 2, "1m 3 interval")] {
        answer(&mut w, evaluation, rule);
        assert_eq!(requests(&mut w), [next]);
    }
}

#[test]
fn rules_that_read_nothing_of_each_other_are_asked_for_at_once() {
    let rules = vec![alerting(1, "0s", "0s"), alerting(2, "0s", "0s"), alerting(3, "0s", "0s")];
    let group = RuleGroupSpec { in_order: false, ..rule_group(rules) };
    let mut w = World::with(Settings::default(), vec![group], to_ops());
    w.evaluates = false;
    w.at("1m");
    assert_eq!(requests(&mut w), ["1m 1 interval", "1m 2 interval", "1m 3 interval"]);
    // In whatever order the answers come, the run ends with the last of them.
    answer(&mut w, 3, 3);
    answer(&mut w, 1, 1);
    w.at("2m");
    assert_eq!(requests(&mut w), [""; 0]);
    answer(&mut w, 2, 2);
    w.at("2m1s");
    assert_eq!(requests(&mut w), ["2m 1 interval", "2m 2 interval", "2m 3 interval"]);
    // What is not answered is given up, all at once.
    answer(&mut w, 4, 1);
    w.at("8m");
    assert_eq!(w.engine.counters().evaluations_lost, 2);
}

#[test]
fn an_arrival_evaluates_what_it_touches_once_and_disturbs_no_slot() {
    let mut w = world(vec![alerting(1, "0s", "0s"), alerting(2, "0s", "0s")]);
    w.find(1, &["A"]);
    // The first is looked at at once, and what follows it closely together.
    w.at("10s").input(Input::Touched(vec![RuleId(1)]));
    w.at("10s2ms").input(Input::Touched(vec![RuleId(1), RuleId(77)]));
    w.at("10s3ms").input(Input::Touched(vec![RuleId(2)]));
    w.at("10s4ms");
    assert_eq!(requests(&mut w), ["10s 1 arrival"]);
    w.expect(&["10s ops first_notification +A"]);
    w.at("11s");
    assert_eq!(requests(&mut w), ["10s5ms 1 arrival", "10s5ms 2 arrival"]);
    // While a run is under way a touch is remembered; a slot that is due goes before it.
    w.evaluates = false;
    w.input(Input::Touched(vec![RuleId(2)]));
    w.at("20s");
    w.input(Input::Touched(vec![RuleId(1), RuleId(2)]));
    w.at("1m1s");
    assert_eq!(requests(&mut w), ["11s 2 arrival"]);
    w.evaluates = true;
    answer(&mut w, 4, 2);
    w.at("2m");
    let all = ["1m 1 interval", "1m 2 interval", "1m1s 1 arrival", "1m1s 2 arrival", "2m 1 interval", "2m 2 interval"];
    assert_eq!(requests(&mut w), all);
    assert_eq!(w.engine.counters().slots_missed, 0);
}

#[test]
fn an_evaluation_that_is_never_answered_does_not_stop_its_group() {
    let mut w = world(vec![alerting(1, "0s", "0s"), alerting(2, "0s", "0s")]);
    w.find(1, &["A"]);
    w.at("1m");
    requests(&mut w);
    w.evaluates = false;
    w.at("2m");
    w.evaluates = true;
    w.at("7m");
    assert_eq!(w.engine.counters().evaluations_lost, 1);
    assert_eq!(w.states(1), "A=firing");
    assert_eq!(requests(&mut w), ["2m 1 interval", "2m 2 interval", "7m 1 interval", "7m 2 interval"]);
}

#[test]
fn a_clock_that_goes_back_ends_nothing_that_fires() {
    for (began, back_to) in [("2h", "1h"), ("2h", "1h58m"), ("2h", "2h4m")] {
        let mut w = world(vec![alerting(1, "5m", "0s")]);
        w.at(began).find(1, &["A"]);
        w.at("2h10m");
        w.expect(&["2h6m ops first_notification +A"]);
        w.now = START + back_to.parse().expect("a duration");
        w.input(Input::Tick);
        w.advance_to(back_to.parse::<Duration>().expect("a duration") + Duration::from_mins(20));
        assert_eq!(w.states(1), "A=firing", "back to {back_to}");
        w.expect(&[]);
    }
}

#[test]
fn a_clock_that_goes_back_holds_up_no_group() {
    let settings = Settings { start_delay: Duration::from_mins(1), ..Settings::default() };
    let mut w = World::with(settings, vec![rule_group(vec![alerting(1, "0s", "0s")])], at_once());
    // It began with a clock that was an hour fast.
    let hour = Duration::from_mins(60);
    w.now = START - hour;
    w.input(Input::Tick);
    w.find(1, &["A"]);
    w.advance_to(Duration::from_mins(5) - hour);
    w.expect(&["-59m ops first_notification +A"]);
}

#[test]
fn a_clock_that_goes_back_stretches_nothing() {
    let mut w = world(vec![alerting(1, "2m", "0s")]);
    w.at("2h").find(1, &["A"]);
    w.at("2h1m");
    requests(&mut w);
    w.now = START + Duration::from_secs(30);
    w.input(Input::Tick);
    w.at("4m");
    assert_eq!(requests(&mut w), ["1m 1 interval", "2m 1 interval", "3m 1 interval", "4m 1 interval"]);
    assert_eq!(w.states(1), "A=firing");
    w.expect(&["3m ops first_notification +A"]);
    assert_eq!(w.engine.counters().clock_steps_back, 1);
}
