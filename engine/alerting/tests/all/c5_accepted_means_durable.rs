//! Contract C5: what was accepted survives a kill at any moment; at least once, under the same idempotency key.

use std::collections::BTreeSet;

use watchfire_alerting::{DeliveryOutcome, Engine, Input, Output, Record, Settings};
use watchfire_model::Duration;

use crate::world::{START, World, alerting, at_once, rule_group};

#[test]
fn the_record_of_a_notification_is_written_in_the_drain_that_delivers_it() {
    let w = World::new(at_once());
    let mut engine = w.engine;
    let alert = crate::world::external("A", START, None);
    engine.handle(START, Input::Alerts(vec![alert]));
    let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
    let kinds: BTreeSet<&str> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Persist(record) => Some(record.key().kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, BTreeSet::from(["alert", "group", "target"]));
    assert!(outputs.iter().any(|output| matches!(output, Output::Deliver(_))));
}

#[test]
fn a_kill_before_the_answer_delivers_again_under_the_same_key() {
    let mut w = World::new(at_once());
    w.answers.insert("ops".to_owned(), None);
    w.fire(&["A"]);
    let first = w.deliveries[0].clone();
    for _ in 0..3 {
        w.crash("1s");
    }
    w.answers.clear();
    w.crash("1s");
    w.at("4h");
    assert_eq!(w.deliveries.len(), 5);
    for again in &w.deliveries {
        assert_eq!((again.id, &again.group_key, &again.alerts), (first.id, &first.group_key, &first.alerts));
    }
}

#[test]
fn a_kill_after_the_answer_delivers_nothing_again() {
    let mut w = World::new(at_once());
    w.fire(&["A"]);
    w.crash("1s");
    w.at("4h");
    w.expect(&["0s ops first_notification +A"]);
    w.resolve(&["A"]);
    w.crash("1h");
    w.at("6h");
    assert_eq!(w.log.len(), 1, "{:?}", w.log);
}

#[test]
fn backoff_goes_on_over_a_restart() {
    let mut w = World::new(at_once());
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Retry { after: None, reason: "down".to_owned() }));
    w.fire(&["A"]);
    w.at("20m");
    let next = w.engine.outbox()[0].next_attempt;
    w.crash("0s");
    assert_eq!(w.engine.outbox()[0].next_attempt, next);
    assert_eq!(w.engine.outbox()[0].error, "down".into());
}

#[test]
fn silences_instances_and_alerts_survive() {
    let mut w = World::with(Settings::default(), vec![rule_group(vec![alerting(1, "5m", "0s")])], at_once());
    w.find(1, &["A", "B"]);
    w.silence("B", "2h");
    w.at("3m").fire(&["C"]);
    let seen = |w: &World| {
        let silences: Vec<_> = w.engine.silences().into_iter().cloned().collect();
        (silences, w.states(1), w.engine.alerts(w.now), w.engine.alert_groups(w.now), w.engine.notification_log())
    };
    let before = seen(&w);
    w.crash("0s");
    assert_eq!(seen(&w), before);
}

#[test]
fn an_alert_that_could_not_be_refreshed_while_the_engine_was_down_is_given_time() {
    let mut w = World::new(at_once());
    let refresh = |w: &mut World| {
        let alert = crate::world::external("A", START, Some(w.now + Duration::from_mins(4)));
        w.input(Input::Alerts(vec![alert]));
    };
    for _ in 0..30 {
        refresh(&mut w);
        w.advance_to(w.now.since(START) + Duration::from_mins(1));
    }
    w.crash("20m");
    w.at("54m");
    refresh(&mut w);
    w.at("57m");
    w.expect(&["0s ops first_notification +A"]);
    w.at("2h");
    assert_eq!(w.log.len(), 1, "not sent again after that, so it ended");
}

#[test]
fn an_end_that_is_far_away_survives_and_refreshing_a_near_one_writes_nothing() {
    let mut w = World::new(at_once());
    let ends_in = |w: &mut World, minutes: i64| {
        let alert = crate::world::external("A", START, Some(w.now + Duration::from_mins(minutes)));
        w.input(Input::Alerts(vec![alert]));
    };
    ends_in(&mut w, 4);
    // The history of it is written a moment later.
    w.at("10s");
    let persisted = w.persisted;
    for minute in 1..60 {
        w.advance_to(Duration::from_mins(minute));
        ends_in(&mut w, 4);
    }
    assert_eq!(w.persisted, persisted);
    ends_in(&mut w, 600);
    w.crash("1m");
    w.at("3h");
    w.expect(&["0s ops first_notification +A"]);
}

#[test]
fn plugin_state_is_persisted_with_what_it_led_to() {
    let mut w = World::with(Settings::default(), vec![rule_group(vec![alerting(1, "0s", "0s")])], at_once());
    w.evaluates = false;
    w.at("1m");
    let mut answer = w.answer(w.requests[0].clone());
    answer.state_writes = vec![watchfire_plugin::StateWrite { key: "mean".to_owned(), value: Some(vec![1, 2].into()) }];
    w.input(Input::Evaluated(answer));
    assert!(w.committed.values().any(|record| matches!(record, Record::PluginState(_))));
}

/// Who evaluated goes on with what it wrote, so that nobody may take an answer that comes too late for never written.
#[test]
fn what_a_plugin_wrote_is_persisted_however_late_it_comes() {
    let mut w = World::with(Settings::default(), vec![rule_group(vec![alerting(1, "0s", "0s")])], at_once());
    w.evaluates = false;
    w.at("1m");
    let mut late = w.answer(w.requests[0].clone());
    late.state_writes = vec![watchfire_plugin::StateWrite { key: "mean".to_owned(), value: Some(vec![1, 2].into()) }];
    w.at("1h");
    assert!(w.engine.counters().evaluations_lost > 0);
    w.input(Input::Evaluated(late));
    assert_eq!(w.engine.counters().stale_answers, 1);
    assert!(w.committed.values().any(|record| matches!(record, Record::PluginState(_))));
}

#[test]
fn records_have_unique_keys_and_nothing_is_left_when_all_is_over() {
    let settings = Settings { history_retention: Duration::from_hours(100), ..Settings::default() };
    let mut w = World::with(settings, vec![rule_group(vec![alerting(1, "0s", "0s")])], at_once());
    w.find(1, &["A", "B"]);
    w.at("10m").find(1, &[]);
    let id = w.silence("B", "1m");
    w.at("20m");
    assert!(w.engine.silence(&id).is_some());
    w.at("130h");
    let left: Vec<String> = w.committed.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["integrations ", "routes "]);
    let fresh = Engine::new(Settings::default());
    assert_eq!(fresh.next_deadline(), None);
}
