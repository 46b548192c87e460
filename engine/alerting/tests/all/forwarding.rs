//! Telling Alertmanagers beside the engine of the alerts of rules, as Prometheus' notifier does.

use watchfire_alerting::Input;
use watchfire_model::{Duration, RuleId};

use crate::world::{Finding, START, World, alerting, at_once, rule_group};

/// A world whose one rule has these times, evaluated every minute.
fn world(for_: &str, keep_firing_for: &str) -> World {
    World::with(
        watchfire_alerting::Settings::default(),
        vec![rule_group(vec![alerting(1, for_, keep_firing_for)])],
        at_once(),
    )
}

/// `when name starts-ends` of what Alertmanagers were told since the last call.
fn told(world: &mut World) -> Vec<String> {
    let told = std::mem::take(&mut world.forwarded);
    let line = |(at, alert): &(watchfire_model::Timestamp, watchfire_model::Alert)| {
        let end = alert.ends_at.expect("Alertmanagers are always told an end");
        format!("{} {} {}-{}", at.since(START), alert.name(), alert.starts_at.since(START), end.since(START))
    };
    told.iter().map(line).collect()
}

#[test]
fn a_firing_alert_is_sent_when_more_than_the_delay_has_passed_and_is_valid_for_four_of_them() {
    let mut w = world("2m", "0s");
    w.find(1, &["A"]);
    w.at("7m");
    // Pending at 1m and 2m. A minute after it was sent is not yet more than a minute.
    assert_eq!(told(&mut w), ["3m A 3m-7m", "5m A 3m-9m", "7m A 3m-11m"]);
}

#[test]
fn an_ended_alert_is_sent_at_once_and_again_for_a_quarter_of_an_hour() {
    let mut w = world("0s", "0s");
    w.find(1, &["A"]);
    w.at("1m30s").find(1, &[]);
    w.at("40m");
    let mut expected = vec!["1m A 1m-5m".to_owned()];
    expected.extend((2..=16).step_by(2).map(|minute| format!("{minute}m A 1m-2m")));
    assert_eq!(told(&mut w), expected);
}

#[test]
fn an_end_found_on_arrival_is_sent_as_long_as_if_it_had_been_found_at_the_next_slot() {
    let settings =
        watchfire_alerting::Settings { arrival_coalesce: Duration::ZERO, ..watchfire_alerting::Settings::default() };
    let mut w = World::with(settings, vec![rule_group(vec![alerting(1, "0s", "0s")])], at_once());
    w.find(1, &["A"]);
    w.at("1m30s").find(1, &[]);
    w.input(Input::Touched(vec![RuleId(1)]));
    w.at("40m");
    let mut expected = vec!["1m A 1m-5m".to_owned(), "1m30s A 1m-1m30s".to_owned()];
    expected.extend((3..=17).step_by(2).map(|minute| format!("{minute}m A 1m-1m30s")));
    assert_eq!(told(&mut w), expected);
}

#[test]
fn an_alert_that_comes_back_is_a_new_one_and_its_end_is_no_longer_told() {
    let mut w = world("1m", "0s");
    w.find(1, &["A"]);
    w.at("2m30s").find(1, &[]);
    w.at("3m30s").find(1, &["A"]);
    w.at("5m30s");
    assert_eq!(told(&mut w), ["2m A 2m-6m", "3m A 2m-3m", "5m A 5m-9m"]);
}

#[test]
fn a_failed_evaluation_sends_nothing_and_a_kept_alert_is_still_sent() {
    let mut w = world("0s", "10m");
    w.find(1, &["A"]);
    w.at("1m30s").finds.insert(RuleId(1), Finding::Error("no".to_owned()));
    w.at("4m30s").find(1, &[]);
    w.at("5m30s");
    assert_eq!(told(&mut w), ["1m A 1m-5m", "5m A 1m-9m"]);
}

#[test]
fn a_restart_tells_again_and_the_interval_counts_where_it_is_longer_than_the_delay() {
    let mut group = rule_group(vec![alerting(1, "0s", "0s")]);
    group.interval = Duration::from_mins(5);
    let mut w = World::with(watchfire_alerting::Settings::default(), vec![group], at_once());
    w.find(1, &["A"]);
    w.at("5m");
    w.crash("5m");
    w.at("15m");
    assert_eq!(told(&mut w), ["5m A 5m-25m", "15m A 5m-35m"]);
}
