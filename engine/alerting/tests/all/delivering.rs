//! Attempts to deliver, and router plugins.

use watchfire_alerting::{
    AcknowledgeCommand, AcknowledgeWhat, AlertViewState, DeliveryOutcome, Dispatch, Engine, GroupBy, Input,
    NotifyReason, ReceiverSpec, Settings,
};
use watchfire_model::{Alert, Duration};
use watchfire_plugin::{Decision, PluginError};

use crate::world::{START, World, at_once, labels, receiver, route_for};

fn delivered() -> DeliveryOutcome {
    DeliveryOutcome::Delivered { receipt: String::new() }
}

#[test]
fn retries_back_off_and_honour_what_the_receiver_asks() {
    let retry = |after: Option<i64>| {
        let after = after.map(Duration::from_secs);
        Some(DeliveryOutcome::Retry { after, reason: "busy".to_owned() })
    };
    let times = |after: Option<i64>| {
        let mut w = World::new(at_once());
        w.answers.insert("ops".to_owned(), retry(after));
        w.fire(&["A"]);
        w.at("4m");
        w.log.iter().map(|line| line.split(' ').next().unwrap().parse::<Duration>().unwrap()).collect::<Vec<_>>()
    };
    let plain = times(None);
    for (i, pair) in plain.windows(2).enumerate() {
        let (wait, nominal) = ((pair[1] - pair[0]).as_millis(), 1_000 << i);
        assert!((nominal * 8 / 10..=nominal * 12 / 10).contains(&wait), "{plain:?}");
    }
    assert_eq!(plain, times(None), "the jitter is no accident");
    assert_eq!(times(Some(90)).len(), 3, "Retry-After: 90");
    assert_eq!(times(Some(1_000_000)).len(), 1);
}

#[test]
fn newer_content_replaces_what_is_being_retried_and_what_was_never_tried_is_withdrawn() {
    let mut w = World::new(at_once());
    w.reload_dispatch(|dispatch| dispatch.route.group_by = GroupBy::Labels([].into()));
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Retry { after: None, reason: "down".to_owned() }));
    w.fire(&["A"]);
    w.at("6m").fire(&["B"]);
    w.at("15m");
    w.answers.clear();
    w.log.clear();
    w.at("30m");
    assert_eq!(w.log.len(), 1, "{:?}", w.log);
    assert!(w.log[0].ends_with("first_notification +A +B"), "{:?}", w.log);
    assert_eq!(w.engine.counters().notifications_superseded, 1);
}

#[test]
fn what_is_done_of_a_notification_comes_with_its_next_attempts_and_with_no_other() {
    let mut w = World::new(at_once());
    w.reload_dispatch(|dispatch| dispatch.route.group_by = GroupBy::Labels([].into()));
    let partly = |done: &str| DeliveryOutcome::Partly { done: done.to_owned(), reason: "one is away".to_owned() };
    let retry = DeliveryOutcome::Retry { after: None, reason: "down".to_owned() };
    w.answers.insert("ops".to_owned(), Some(partly("ada")));
    w.fire(&["A"]);
    w.answers.insert("ops".to_owned(), Some(retry));
    w.at("5s");
    w.crash("1s");
    w.answers.insert("ops".to_owned(), Some(partly("ada ben")));
    w.at("1m");
    let done = |w: &mut World| w.deliveries.drain(..).map(|delivery| delivery.done.to_string()).collect::<Vec<_>>();
    let until_now = done(&mut w);
    assert_eq!(until_now[..3], ["", "ada", "ada"], "{until_now:?}");
    assert_eq!(until_now.last().map(String::as_str), Some("ada ben"));
    // Newer content is told to everybody.
    w.fire(&["B"]);
    w.at("6m");
    let newer = done(&mut w);
    assert!(newer.contains(&String::new()), "{newer:?}");
    w.answers.clear();
    w.at("1h");
    w.resolve(&["A", "B"]);
    w.at("2h");
    assert_eq!(done(&mut w).last().map(String::as_str), Some(""));
}

#[test]
fn a_refusal_is_visible_and_repeated_at_ever_fewer_flushes_until_something_changes() {
    let mut w = World::new(at_once());
    w.reload_dispatch(|dispatch| dispatch.route.group_by = GroupBy::Labels([].into()));
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Rejected { reason: "400".to_owned() }));
    w.fire(&["A"]);
    w.at("1h");
    w.expect(
        &["0s", "5m", "10m", "20m", "40m"]
            .map(|at| format!("{at} ops first_notification +A"))
            .each_ref()
            .map(|line| &**line),
    );
    let log = w.engine.notification_log();
    assert_eq!(log[0].entry.refused.as_ref().map(|refused| &*refused.reason), Some("400"));
    assert_eq!(w.engine.counters().rejections, 5);
    assert!(w.changes.iter().any(|change| change.reason.word() == "rejected"));
    w.fire(&["B"]);
    w.at("1h22m");
    w.expect(&[
        "1h5m ops first_notification +A +B",
        "1h10m ops first_notification +A +B",
        "1h15m ops first_notification +A +B",
    ]);
    // Perhaps repaired by a reload.
    w.answers.clear();
    w.reload_dispatch(|_| {});
    w.at("3h");
    w.expect(&["1h25m ops first_notification +A +B"]);
    // Refused from the start: nothing was promised, so nothing is told at the end.
    let mut w = World::new(at_once());
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Rejected { reason: "400".to_owned() }));
    w.fire(&["A"]);
    w.at("1m").resolve(&["A"]);
    w.at("1h");
    w.expect(&["0s ops first_notification +A"]);
}

/// Everything in one group, to a receiver that is told who looks after it.
fn told_of_acknowledgements() -> World {
    let mut dispatch = at_once();
    dispatch.route.group_by = GroupBy::Labels([].into());
    dispatch.receivers[0].integrations[0].takes_acknowledgements = true;
    World::new(dispatch)
}

fn acknowledge(w: &mut World, name: &str) {
    let (what, by) = (AcknowledgeWhat::Alert(labels(name).fingerprint()), "ada".to_owned());
    let set = AcknowledgeCommand::Set { what, by, comment: String::new(), until: None, snooze: false };
    w.input(Input::Acknowledge(set));
}

#[test]
fn an_acknowledgement_is_passed_on_whatever_the_clock_said_at_the_one_before() {
    for restarts in [false, true] {
        let mut w = told_of_acknowledgements();
        w.at("8h").fire(&["A"]);
        w.answers.insert("ops".to_owned(), None);
        acknowledge(&mut w, "A");
        w.expect(&["8h ops first_notification +A", "8h ops acknowledgement +A"]);
        // It was hours fast.
        let id = w.deliveries[1].id;
        w.answers.clear();
        w.now = w.now - Duration::from_hours(7);
        match restarts {
            true => w.crash("1s"),
            false => w.input(Input::Delivered { id, attempt: 1, outcome: delivered(), stand_in: None }),
        }
        w.at("3h").fire(&["B"]);
        w.at("3h10m");
        acknowledge(&mut w, "B");
        w.at("3h20m");
        let told = w.log.iter().filter(|line| line.ends_with("ops acknowledgement +A +B")).count();
        assert_eq!(told, 1, "{:?}", w.log);
    }
}

#[test]
fn an_acknowledgement_is_passed_on_once() {
    let mut w = told_of_acknowledgements();
    let looked_after = |w: &mut World| w.deliveries.drain(..).map(|one| one.looked_after).collect::<Vec<_>>();
    w.fire(&["A", "B", "C"]);
    for name in ["A", "B", "C"] {
        acknowledge(&mut w, name);
    }
    w.expect(&["0s ops first_notification +A +B +C", "0s ops acknowledgement +A +B +C"]);
    // What is told after that says so itself, and is followed by no second line.
    w.at("1m").resolve(&["C"]);
    w.at("9m").resolve(&["B"]);
    w.at("11m");
    w.expect(&["5m ops new_resolved_alerts +A +B -C", "10m ops new_resolved_alerts +A -B"]);
    assert_eq!(looked_after(&mut w), [false, true, true, true]);
    // Others are another matter, also those that were looked after before the receiver knew them.
    w.fire(&["D"]);
    w.at("16m");
    acknowledge(&mut w, "D");
    w.fire(&["E"]);
    acknowledge(&mut w, "E");
    w.at("21m");
    w.expect(&[
        "15m ops new_alerts_in_group +A +D",
        "16m ops acknowledgement +A +D",
        "20m ops new_alerts_in_group +A +D +E",
        "20m ops acknowledgement +A +D +E",
    ]);
    assert_eq!(looked_after(&mut w), [false, true, true, true]);
    // One that comes while the receiver fails is passed on behind what is told then.
    w.fire(&["F"]);
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Retry { after: None, reason: "down".to_owned() }));
    w.at("25m30s");
    acknowledge(&mut w, "F");
    w.answers.clear();
    w.log.clear();
    w.at("40m");
    let told: Vec<&str> = w.log.iter().map(|line| line.rsplit_once("ops ").unwrap().1).collect();
    assert!(
        told[0].ends_with("new_alerts_in_group +A +D +E +F") && told[1..] == ["acknowledgement +A +D +E +F"],
        "{told:?}"
    );
}

#[test]
fn a_receiver_that_never_answers_is_tried_again() {
    let mut w = World::new(at_once());
    w.answers.insert("ops".to_owned(), None);
    w.fire(&["A"]);
    w.at("6m");
    assert_eq!(w.log[0], "0s ops first_notification +A");
    assert!(w.log[1].contains("attempt 2"), "{:?}", w.log);
    assert_eq!(w.engine.counters().attempts_lost, 1);
    // The answer to the first attempt comes late, and counts.
    let id = w.deliveries[0].id;
    w.input(Input::Delivered {
        id,
        attempt: 1,
        outcome: DeliveryOutcome::Delivered { receipt: "late".to_owned() },
        stand_in: None,
    });
    w.log.clear();
    w.at("1h");
    w.expect(&[]);
    assert_eq!(&*w.engine.notification_log()[0].entry.receipt, "late");
    assert_eq!(w.engine.notification_log()[0].entry.notified_at, Some(START + Duration::from_mins(6)));
}

fn with_router() -> Dispatch {
    let mut dispatch = at_once();
    dispatch.receivers.extend([receiver("day"), receiver("night")]);
    let plugin = watchfire_alerting::PluginUse { plugin: "hours".to_owned(), config_json: "{}".to_owned() };
    dispatch.route.router = Some(plugin);
    dispatch
}

#[test]
fn a_router_chooses_receivers_groups_and_silence() {
    let mut w = World::new(with_router());
    w.router = Some(|alert| {
        let to = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Ok(match alert.name() {
            "A" => Decision { receivers: to(&["night", "day", "night"]), ..Decision::default() },
            "B" => Decision { suppress: Some("holiday".to_owned()), ..Decision::default() },
            "C" | "D" => Decision { receivers: to(&["day"]), group_key: Some("db".to_owned()), ..Decision::default() },
            _ => Decision::default(),
        })
    });
    w.fire(&["A", "B", "C", "D", "E"]);
    assert_eq!(w.routes_asked.len(), 1, "one question for all");
    // The order of what is due at one time is not promised.
    w.log.sort();
    w.expect(&[
        "0s day first_notification +A",
        "0s day first_notification +C +D",
        "0s night first_notification +A",
        "0s ops first_notification +E",
    ]);
    let view = w.engine.alert(w.now, labels("B").fingerprint()).unwrap();
    assert_eq!((view.state, view.router_suppressed), (AlertViewState::Suppressed, Some("holiday".into())));
    // What was decided stands, over a restart too; the suppressed one is asked about again.
    w.crash("1s");
    assert_eq!(w.routes_asked.len(), 2);
    assert_eq!(w.routes_asked[1].alerts.len(), 1);
    w.at("1m").resolve(&["A", "C", "E"]);
    w.at("10m");
    let mut log = std::mem::take(&mut w.log);
    log.sort();
    assert_eq!(
        log,
        [
            "5m day all_alerts_resolved -A",
            "5m day new_resolved_alerts -C +D",
            "5m night all_alerts_resolved -A",
            "5m ops all_alerts_resolved -E",
        ]
    );
}

#[test]
fn a_router_that_fails_or_does_not_answer_costs_no_page() {
    let answers: [Option<fn(&Alert) -> Result<Decision, PluginError>>; 4] = [
        None,
        Some(|_| Err(PluginError::Trap("unreachable".to_owned()))),
        Some(|_| Ok(Decision { receivers: vec!["nobody".to_owned()], ..Decision::default() })),
        Some(|_| Ok(Decision { suppress: None, ..Decision::default() })),
    ];
    for (i, answer) in answers.into_iter().enumerate() {
        let mut w = World::new(with_router());
        w.router = answer;
        w.fire(&["A"]);
        if i == 0 {
            assert_eq!(w.engine.alerts(w.now)[0].state, AlertViewState::Unprocessed);
        }
        w.at("3s");
        let at = if i == 0 { "2s" } else { "0s" };
        w.expect(&[&format!("{at} ops first_notification +A")]);
        assert_eq!(w.engine.counters().router_failures, u64::from(i < 3));
    }
}

#[test]
fn a_receiver_without_integrations_swallows_in_the_open() {
    let mut dispatch = at_once();
    dispatch.receivers.push(ReceiverSpec { name: "null".into(), integrations: vec![] });
    let quiet = route_for(&dispatch.route, "A", "null");
    dispatch.route.routes.push(quiet);
    let mut w = World::with(Settings::default(), vec![], dispatch);
    w.fire(&["A"]);
    w.at("1h");
    w.expect(&[]);
    let history = w.engine.history(labels("A").fingerprint());
    assert!(history.iter().any(|entry| entry.reason.word() == "no_integration"), "{history:?}");
    w.resolve(&["A"]);
    w.at("2h");
    assert!(w.engine.alerts(w.now).is_empty() && w.engine.alert_groups(w.now).is_empty());
}

#[test]
fn reasons_have_words_that_can_be_read_back() {
    for reason in NotifyReason::ALL {
        assert_eq!(NotifyReason::parse(reason.as_str()), Some(reason));
    }
}

#[test]
fn a_router_answers_for_its_own_route_only_and_chooses_again_when_its_choice_is_gone() {
    let to_night = |_: &Alert| Ok(Decision { receivers: vec!["night".to_owned()], ..Decision::default() });
    // While it thinks, a reload takes the router away, or puts a route before it.
    for taken_away in [true, false] {
        let mut w = World::new(with_router());
        w.fire(&["A"]);
        let question = w.routes_asked[0].clone();
        w.reload_dispatch(|dispatch| match taken_away {
            true => dispatch.route.router = None,
            false => dispatch.route.routes = vec![route_for(&dispatch.route, "A", "day")],
        });
        let result = question.alerts.iter().map(to_night).collect();
        w.input(Input::Routed { id: question.id, result });
        w.at("1h");
        w.expect(&[if taken_away { "0s ops first_notification +A" } else { "0s day first_notification +A" }]);
    }
    // The receiver that it chose goes before anybody was told.
    let mut dispatch = with_router();
    dispatch.route.group_wait = Duration::from_mins(1);
    let mut w = World::new(dispatch);
    w.router = Some(to_night);
    w.fire(&["A"]);
    w.reload_dispatch(|dispatch| dispatch.receivers.retain(|receiver| &*receiver.name != "night"));
    w.at("1h");
    w.expect(&["1m ops first_notification +A"]);
}

#[test]
fn an_engine_takes_no_answer_for_its_own_that_the_one_before_it_asked_for() {
    let mut w = World::new(with_router());
    w.fire(&["A"]);
    let before = w.routes_asked[0].clone();
    let mut next = Engine::new(w.settings.clone());
    next.takes_the_place_of(&w.engine);
    w.engine = next;
    w.input(Input::Restore(w.committed.values().cloned().collect()));
    w.input(Input::Reload(w.definitions.clone()));
    let asked = w.routes_asked[1].clone();
    let answer = |name: &str| Ok(vec![Decision { receivers: vec![name.to_owned()], ..Decision::default() }]);
    w.input(Input::Routed { id: before.id, result: answer("night") });
    w.input(Input::Routed { id: asked.id, result: answer("day") });
    w.expect(&["0s day first_notification +A"]);
}
