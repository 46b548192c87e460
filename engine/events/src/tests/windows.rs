//! Scripts: what is pushed when, and what the windows answer when they are asked.

use std::sync::Arc;

use watchfire_model::{Labels, Timestamp};

use super::*;
use crate::group::event_bytes;
use crate::{
    Aggregation, Direction, EventCounters, EventLimits, EventQuery, EventWindows, FieldMatcher, Step, Touched, Window,
};

/// Runs lines like `5s push user=a` and `9s ask => {user="a"}=2 next 15s`. A push may end in `=> changed` (or `late`,
/// ...) to say what must become of the event; `next` is the deadline.
fn run(query: EventQuery, script: &str) -> EventWindows {
    let query = Arc::new(query.compile().unwrap());
    let mut windows = EventWindows::new(query, Timestamp::EPOCH);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once("=>").unwrap_or((line, ""));
        let (time, rest) = command.trim().split_once(' ').unwrap();
        let now = Timestamp::EPOCH + time.parse::<Duration>().unwrap();
        let (verb, words) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
        let answer = match verb {
            "back" => {
                windows.clock_set_back(now);
                String::new()
            }
            "push" => format!("{:?}", windows.push(&event(words, now), now)).to_lowercase(),
            "ask" => {
                let hits = windows.evaluate(now);
                let mut answer: Vec<_> = hits.iter().map(|hit| format!("{}={}", hit.labels, hit.value)).collect();
                if let Some(at) = windows.next_deadline() {
                    answer.push(format!("next {}", at.since(Timestamp::EPOCH)));
                }
                answer.join(" ")
            }
            _ => panic!("unknown verb in {line:?}"),
        };
        if verb == "ask" || !expected.is_empty() {
            assert_eq!(answer, expected.trim(), "{line}");
        }
    }
    windows
}

fn by(window: Window, fields: &[&str]) -> EventQuery {
    EventQuery { by: fields.iter().map(|f| (*f).to_owned()).collect(), ..EventQuery::new(window) }
}

fn count(op: &str, value: f64) -> Window {
    Window::Count { over: secs(10), threshold: threshold(op, value) }
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_late_and_keeps_nothing_for_ever() {
    run(
        by(count(">=", 2.0), &["user"]),
        r#"
        95s   push user=a => stored
        100s  push user=a => changed
        5000s push user=b => stored
        5001s push user=b => changed
        5001s ask => {user="b"}=2 next 1h23m30s
        98s   back
        99s   push user=c => stored
        100s  ask => {user="b"}=2 next 1m48s
        104s  push user=b => changed
        108s  ask =>
        "#,
    );
}

#[test]
fn a_silence_is_counted_from_where_the_clock_was_set_back_to() {
    run(
        by(Window::Absent { duration: secs(10), expected: Vec::new() }, &["user"]),
        r#"
        5000s push user=a => stored
        100s  back
        105s  ask => next 1m50s
        110s  ask => {user="a"}=10 next 2m50s
        "#,
    );
}

#[test]
fn a_count_holds_while_enough_events_lie_in_the_window() {
    run(
        by(count(">=", 3.0), &["user"]),
        r#"
        1s  push user=a => stored
        2s  push user=b => stored
        3s  push user=a => stored
        4s  push user=a => changed
        4s  ask => {user="a"}=3 next 11s
        5s  push user=a => changed
        5s  ask => {user="a"}=4 next 13s
        11s ask => {user="a"}=3 next 13s
        13s ask =>
        15s ask =>
        "#,
    );
}

#[test]
fn the_left_edge_of_a_window_is_open() {
    run(
        by(count(">", 0.0), &[]),
        "
        5s push x=1 => changed
        14s ask => {}=1 next 15s
        15s ask =>
        ",
    );
}

#[test]
fn too_few_events_are_reported_also_when_there_are_none() {
    run(
        by(count("<", 2.0), &[]),
        "
        0s  ask => {}=0
        1s  push x=1 => changed
        2s  push x=1 => changed
        2s  ask => next 11s
        11s ask => {}=1
        12s ask => {}=0
        1h  ask => {}=0
        ",
    );
    // A group that falls silent stays known for seven windows after its last event.
    run(
        by(count("<", 1.0), &["host"]),
        r#"
        0s  ask =>
        1s  push host=a => stored
        10s ask => next 11s
        11s ask => {host="a"}=0 next 1m11s
        70s ask => {host="a"}=0 next 1m11s
        71s ask =>
        "#,
    );
}

#[test]
fn rates_and_aggregates() {
    run(
        by(Window::Rate { over: secs(10), threshold: threshold(">", 0.2) }, &[]),
        "
        1s push x=1 => stored
        2s push x=1 => stored
        3s push x=1 => changed
        3s ask => {}=0.3 next 11s
        ",
    );
    let table = [
        (Aggregation::Sum, ">", 9.0, "{}=10 next 11s"),
        (Aggregation::Sum, ">", 10.0, "next 11s"),
        (Aggregation::Avg, "==", 2.5, "{}=2.5 next 11s"),
        (Aggregation::Min, "<", 2.0, "{}=1 next 11s"),
        (Aggregation::Max, ">=", 4.0, "{}=4 next 11s"),
        (Aggregation::Quantile(0.5), ">", 0.0, "{}=2.5 next 11s"),
        (Aggregation::Quantile(1.0), ">", 0.0, "{}=4 next 11s"),
    ];
    for (aggregation, op, value, expected) in table {
        let threshold = threshold(op, value);
        let window = Window::Aggregate { aggregation, field: "n".to_owned(), over: secs(10), threshold };
        let script = format!(
            "
            1s push n=4
            2s push n=1
            3s push n=2
            3s push other=1 => withoutvalue
            3s push n=many => withoutvalue
            4s push n=3
            4s ask => {expected}
            14s ask =>
            "
        );
        run(by(window, &[]), &script);
    }
}

#[test]
fn distinct_values_are_counted_once() {
    let window = Window::Distinct { field: "host".to_owned(), over: secs(10), threshold: threshold(">", 1.0) };
    run(
        by(window, &["user"]),
        r#"
        1s push user=a host=x => stored
        2s push user=a host=x => stored
        3s push user=b host=y => stored
        4s push user=a host=z => changed
        5s ask => {user="a"}=2 next 11s
        11s ask => {user="a"}=2 next 12s
        12s ask =>
        "#,
    );
}

#[test]
fn absence_counts_per_known_group_and_from_the_start_without_groups() {
    let window = Window::Absent { duration: secs(10), expected: vec![] };
    run(
        by(window.clone(), &[]),
        "
        0s  ask => next 10s
        10s ask => {}=10
        12s push x=1 => changed
        12s ask => next 22s
        25s push x=1 t=20s => changed
        25s ask => next 30s
        ",
    );
    run(
        by(window, &["db"]),
        r#"
        10s ask =>
        11s push db=a => stored
        15s push db=b => stored
        21s ask => {db="a"}=10 next 25s
        22s push db=a => changed
        25s ask => {db="b"}=10 next 32s
        85s ask => {db="a"}=63 next 1m32s
        92s ask =>
        "#,
    );
    let expected = vec![Labels::from_pairs([("db", "orders")])];
    run(
        by(Window::Absent { duration: secs(10), expected }, &["db"]),
        r#"
        10s ask => {db="orders"}=10
        11s push db=orders => changed
        500s ask => {db="orders"}=489
        "#,
    );
}

#[test]
fn a_sequence_is_ordered_within_a_time_and_a_group() {
    let step = |kind: &str| Step { matchers: vec![FieldMatcher::equal("type", text(kind))], condition: None };
    let steps = vec![step("fail"), step("fail"), step("login")];
    let window = Window::Sequence { steps, within: secs(10), hold: secs(5) };
    run(
        by(window.clone(), &["user"]),
        r#"
        1s  push type=login user=a => stored
        2s  push type=fail user=a => stored
        3s  push type=fail user=b => stored
        4s  push type=login user=a => stored
        6s  push type=other user=a => unmatched
        8s  push type=fail user=a => stored
        9s  push type=login user=a => changed
        9s  ask => {user="a"}=7 next 14s
        14s ask =>
        19s push type=login user=a => stored
        "#,
    );
    // An event that arrives late still takes its place in the order.
    run(
        by(window, &[]),
        "
        1s  push type=fail => stored
        5s  push type=login => stored
        6s  push type=fail t=3s => changed
        6s  ask => {}=4 next 10s
        ",
    );
}

#[test]
fn a_sequence_takes_longer_than_its_time_only_in_vain() {
    let step = |kind: &str| Step { matchers: vec![FieldMatcher::equal("type", text(kind))], condition: None };
    let window = Window::Sequence { steps: vec![step("a"), step("b")], within: secs(10), hold: secs(10) };
    run(
        by(window, &[]),
        "
        1s  push type=a
        12s push type=b => stored
        13s push type=a
        23s push type=b => changed
        23s ask => {}=10 next 33s
        ",
    );
}

#[test]
fn changes_remember_the_value_before_the_window() {
    let window = Window::Change { field: "version".to_owned(), over: secs(10), threshold: threshold(">=", 1.0) };
    run(
        by(window, &["app"]),
        r#"
        1s  push app=a version=1 => stored
        2s  push app=a version=1 => stored
        30s push app=a version=2 => changed
        35s push app=a version=3 => changed
        35s ask => {app="a"}=2 next 40s
        40s ask => {app="a"}=1 next 45s
        45s ask =>
        "#,
    );
}

#[test]
fn new_values_are_reported_once_learning_is_over() {
    let window = Window::NewValue { field: "country".to_owned(), over: secs(10), memory: secs(100), learn: secs(20) };
    run(
        by(window, &["user"]),
        r#"
        1s  push user=a country=DE => stored
        5s  push user=a country=FR => stored
        21s push user=a country=DE => stored
        22s push user=a country=US => changed
        25s push user=a country=IT => changed
        25s ask => {user="a"}=2 next 35s
        32s ask => {user="a"}=1 next 35s
        35s ask =>
        40s push user=a country=US => stored
        121s push user=a country=DE => changed
        "#,
    );
}

#[test]
fn spikes_compare_with_the_time_before() {
    let spike = |direction| Window::Spike { over: secs(10), baseline: secs(20), factor: 3.0, minimum: 2.0, direction };
    run(
        by(spike(Direction::Up), &[]),
        "
        1s  push x=1 => stored
        5s  push x=1 => stored
        12s push x=1 => stored
        30s push x=1 => stored
        31s push x=1 => stored
        32s push x=1 => changed
        32s ask => {}=3 next 35s
        35s ask => {}=6 next 40s
        40s ask => next 41s
        ",
    );
    run(
        by(spike(Direction::Down), &[]),
        "
        1s  push x=1
        3s  push x=1
        5s  push x=1
        12s push x=1
        14s push x=1
        16s push x=1
        25s push x=1 => stored
        30s ask => {}=0.3333333333333333 next 31s
        31s ask => next 33s
        ",
    );
}

#[test]
fn all_reports_each_group_with_its_events() {
    let mut windows = run(
        by(Window::All { over: secs(10), field: Some("n".to_owned()) }, &["user"]),
        r#"
        1s push user=a n=1 => changed
        2s push user=b => changed
        4s push user=a n=5 t=3s => changed
        4s ask => {user="a"}=2 {user="b"}=1 next 11s
        "#,
    );
    let hits = windows.evaluate(Timestamp::from_secs(4));
    let query = Arc::clone(windows.query());
    let rows: Vec<_> = hits[0].events.iter().map(|e| (e.time.as_millis(), query.row_value(e))).collect();
    assert_eq!(rows, [(1000, 1.0), (3000, 5.0)]);
}

#[test]
fn lateness_duplicates_and_clocks_that_are_ahead() {
    let query = EventQuery { lateness: secs(3), ..by(count(">=", 2.0), &[]) };
    let windows = run(
        query,
        "
        10s push id=a => stored
        10s push id=a => duplicate
        12s push id=a t=10s => duplicate
        13s push id=b t=9s => late
        13s push id=c t=1h => changed
        13s ask => {}=2 next 20s
        20s push id=a t=17s => changed
        ",
    );
    let expected = EventCounters { matched: 6, late: 1, duplicates: 2, ahead: 1, ..EventCounters::default() };
    assert_eq!(windows.counters(), EventCounters { matched: 6, ..expected });
}

#[test]
fn an_event_older_than_the_window_is_late_however_patient_the_rule_is() {
    run(
        by(count(">=", 1.0), &[]),
        "
        60s push t=50s => late
        60s push t=51s => changed
        ",
    );
}

#[test]
fn every_limit_holds_and_is_counted() {
    let limits = EventLimits {
        groups_max: 2,
        group_events_max: 3,
        events_max: 4,
        sample_max: 2,
        sample_bytes_max: 1 << 20,
        ids_max: 2,
        label_bytes_max: 4,
    };
    let mut windows = run(
        EventQuery { limits, ..by(count(">=", 1.0), &["user"]) },
        r#"
        1s push user=anna-maria id=1 => changed
        2s push user=b id=2 => changed
        3s push user=c id=3 => shed
        4s push user=b id=4 => changed
        5s push user=b id=5 => changed
        6s push user=b id=6 => shed
        6s ask => {user="anna"}=1 {user="b"}=3 next 11s
        11s push user=b id=7 => changed
        11s ask => {user="b"}=3 next 21s
        "#,
    );
    let counters = windows.counters();
    assert_eq!((counters.groups_refused, counters.shed, counters.ids_forgotten), (1, 2, 5));
    let hits = windows.evaluate(Timestamp::from_secs(11));
    assert_eq!(hits[0].events.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["5", "7"]);
    assert_eq!(windows.evaluate(Timestamp::from_secs(1000)), []);
    assert_eq!((windows.group_count(), windows.event_count()), (0, 0));
}

#[test]
fn whole_events_are_bounded_in_bytes() {
    let bytes = event_bytes(&event("user=a", Timestamp::EPOCH));
    let limits = EventLimits { sample_bytes_max: 2 * bytes - 1, ..EventLimits::STANDARD };
    let mut windows = run(
        EventQuery { limits, ..by(count(">=", 3.0), &[]) },
        "
        1s push user=a
        1s push user=b
        1s push user=c => changed
        ",
    );
    assert_eq!(windows.counters().samples_shed, 2);
    assert_eq!(windows.evaluate(Timestamp::from_secs(1))[0].events.len(), 1);
}

#[test]
fn an_expression_that_fails_on_an_event_is_counted_and_shown() {
    let query = EventQuery { condition: Some("event.n > 2".to_owned()), ..by(count(">=", 1.0), &[]) };
    let windows = run(
        query,
        "
        1s push n=3 => changed
        1s push n=1 => unmatched
        1s push m=3 => unmatched
        ",
    );
    assert_eq!((windows.counters().condition_failures, windows.last_error()), (1, Some("No such key: n")));
}

#[test]
fn time_never_goes_back() {
    let mut windows = run(by(count(">=", 1.0), &[]), "20s push x=1 => changed");
    assert_eq!(windows.evaluate(Timestamp::from_secs(5)).len(), 1);
    assert_eq!(windows.push(&event("x=1", Timestamp::from_secs(19)), Timestamp::from_secs(5)), Touched::Changed);
}

#[test]
fn a_deadline_that_has_passed_is_told_once() {
    let mut windows = run(by(count(">=", 1.0), &[]), "1s push x=1 => changed");
    assert!(!windows.advance(Timestamp::from_secs(10)));
    assert!(windows.advance(Timestamp::from_secs(11)));
    assert!(!windows.advance(Timestamp::from_secs(11)));
    assert_eq!((windows.next_deadline(), windows.evaluate(Timestamp::from_secs(11)).len()), (None, 0));
}

#[test]
fn labels_come_from_dotted_fields() {
    run(
        by(count(">=", 1.0), &["user.name", "type"]),
        r#"
        1s push type=login user.name=anna
        2s push user.name=
        2s ask => {}=1 {type="login", user_name="anna"}=1 next 11s
        "#,
    );
}

#[test]
fn what_cannot_work_is_refused_with_the_place() {
    let sequence = |steps: usize| Window::Sequence {
        steps: vec![Step { matchers: vec![], condition: Some("event.x".to_owned()) }; steps],
        within: secs(1),
        hold: secs(1),
    };
    let table = [
        (by(Window::All { over: secs(0), field: None }, &[]), "all.over: must be longer than 0s, such as 5m"),
        (by(count(">", f64::NAN), &[]), "count.value: must be a number"),
        (by(count(">", 1e6), &[]), "count.value: is more than the events that are kept of a group (group_events_max)"),
        (by(count(">", 1.0), &["a.b", "a_b"]), "by: a.b and a_b would both become the label a_b"),
        (by(sequence(1), &[]), "sequence.steps: must be between 2 and 32 steps"),
        (EventQuery { condition: Some("event.".to_owned()), ..by(count(">", 1.0), &[]) }, "where: line 1, column 7: "),
        (
            EventQuery {
                forget_after: Some(secs(5)),
                ..by(Window::Absent { duration: secs(9), expected: vec![] }, &[])
            },
            "absent.forget_after: must be longer than the absence itself",
        ),
        (
            by(Window::Absent { duration: secs(9), expected: vec![Labels::from_pairs([("x", "1")])] }, &["y"]),
            "absent.expected: has a label that is not in by",
        ),
    ];
    for (query, expected) in table {
        let errors = query.validate();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().starts_with(expected), "{} is not {expected}", errors[0]);
    }
    let mut bad_step = by(sequence(2), &[]);
    if let Window::Sequence { steps, .. } = &mut bad_step.window {
        steps[1].condition = Some("(".to_owned());
    }
    assert_eq!(bad_step.validate()[0].what, "sequence.steps[1].where");
}

#[test]
fn the_reach_covers_what_an_answer_depends_on() {
    let minutes = |n: i64| Duration::from_mins(n);
    let table = [
        (count(">=", 1.0), secs(10) + minutes(5)),
        (count("<", 1.0), secs(70) + minutes(5)),
        (Window::Absent { duration: minutes(10), expected: vec![] }, minutes(75)),
    ];
    for (window, reach) in table {
        assert_eq!(EventQuery::new(window).compile().unwrap().reach(), reach);
    }
}
