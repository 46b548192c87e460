//! Contract C2: a reload or a restart leaves everything that is unchanged exactly as it was.

use std::sync::Arc;

use watchfire_alerting::{Definitions, Dispatch, Input, RuleGroupSpec, Settings};
use watchfire_model::{Duration, Matcher, RuleGroupId};

use crate::world::{World, alerting, receiver, recording, route_for, rule_group, to_ops};

fn groups() -> Vec<RuleGroupSpec> {
    vec![rule_group(vec![alerting(1, "5m", "10m"), alerting(2, "0s", "0s")])]
}

fn dispatch() -> Dispatch {
    let mut dispatch = to_ops();
    dispatch.receivers.extend([receiver("team"), receiver("mail")]);
    dispatch.route.routes = vec![route_for(&dispatch.route, "A", "team"), route_for(&dispatch.route, "M", "mail")];
    dispatch
}

/// An hour and a half in which rule 1 finds A, rule 2 finds M and X, and things come and go.
fn play(mut disturb: impl FnMut(&mut World, i64)) -> Vec<String> {
    let mut w = World::with(Settings::default(), groups(), dispatch());
    w.silence("X", "50m");
    w.find(1, &["A"]);
    w.find(2, &["M", "X"]);
    for minute in 1..=90 {
        w.advance_to(Duration::from_mins(minute) + Duration::from_secs(7));
        match minute {
            20 => w.find(1, &[]),
            40 => w.find(2, &["X"]),
            70 => w.find(2, &[]),
            _ => {}
        }
        disturb(&mut w, minute);
    }
    w.log
}

#[test]
fn edits_of_other_things_and_restarts_at_any_minute_change_no_notification() {
    let undisturbed = play(|_, _| {});
    assert_eq!(
        undisturbed,
        [
            "1m30s mail first_notification +M",
            "6m30s team first_notification +A",
            "31m30s team all_alerts_resolved -A",
            "41m30s mail all_alerts_resolved -M",
            "51m30s ops first_notification +X",
            "71m30s ops all_alerts_resolved -X",
        ]
        .map(|line| line.replace("71m30s", "1h11m30s"))
    );

    // Rules and groups that come, go and move.
    let other_rules = |w: &mut World, minute: i64| {
        let mut other = rule_group(vec![alerting(9, "0s", "0s")]);
        other.id = RuleGroupId(60_000);
        let mut group = rule_group(vec![recording(8), alerting(2, "0s", "0s"), alerting(1, "5m", "10m")]);
        let groups = match minute % 3 {
            0 => groups(),
            1 => vec![other, group],
            _ => {
                group.rules.reverse();
                vec![group, other]
            }
        };
        w.reload(groups, w.definitions.dispatch.clone());
    };
    // Routes, receivers and matchers that have nothing to do with what fires, and those that have but still match.
    let other_routes = |w: &mut World, minute: i64| {
        w.reload_dispatch(|d| {
            *d = dispatch();
            if minute % 2 == 0 {
                d.receivers.insert(0, receiver("new"));
                let unrelated = route_for(&d.route, "unrelated", "new");
                d.route.routes.insert(0, unrelated);
            }
            if minute % 3 == 0 {
                let team = d.route.routes.iter_mut().find(|route| &*route.receiver == "team").unwrap();
                team.matchers.push(Matcher::equal("absent", ""));
            }
            if minute % 5 == 0 {
                d.route.routes.reverse();
            }
        });
    };
    assert_eq!(play(other_rules), undisturbed, "other rules");
    assert_eq!(play(other_routes), undisturbed, "other routes");
    assert_eq!(play(|w, _| w.crash("0s")), undisturbed, "restarts");
    assert_eq!(play(|w, minute| w.crash(["1s", "20s"][usize::from(minute % 2 == 0)])), undisturbed, "restarts");
    let everything = |w: &mut World, minute: i64| {
        other_rules(w, minute);
        other_routes(w, minute);
        w.crash("2s");
    };
    assert_eq!(play(everything), undisturbed, "everything at once");
}

#[test]
fn a_reload_of_the_same_definitions_writes_nothing_and_changes_no_deadline() {
    let mut w = World::with(Settings::default(), groups(), dispatch());
    w.find(1, &["A"]);
    w.find(2, &["M"]);
    w.at("10m10s");
    let (persisted, deadline) = (w.persisted, w.engine.next_deadline());
    let again = Arc::new(Definitions { groups: groups(), dispatch: dispatch(), resend_delay: None });
    w.input(Input::Reload(again));
    assert_eq!((w.persisted, w.engine.next_deadline()), (persisted, deadline));
}

#[test]
fn a_shorter_group_interval_holds_at_once_and_a_longer_one_from_the_next_flush() {
    let mut w = World::new(to_ops());
    w.fire(&["A"]);
    w.at("1m");
    w.reload_dispatch(|dispatch| dispatch.route.group_interval = Duration::from_mins(1));
    w.fire(&["B"]);
    w.at("2m");
    w.expect(&["30s ops first_notification +A", "2m ops new_alerts_in_group +A +B"]);
    w.reload_dispatch(|dispatch| dispatch.route.group_interval = Duration::from_mins(30));
    w.fire(&["C"]);
    w.at("20m").fire(&["D"]);
    w.at("40m");
    w.expect(&["3m ops new_alerts_in_group +A +B +C", "33m ops new_alerts_in_group +A +B +C +D"]);
}

#[test]
fn an_alert_that_moves_to_a_new_route_waits_for_its_companions() {
    let mut w = World::new(to_ops());
    w.fire(&["A", "B"]);
    w.at("1h");
    w.log.clear();
    w.reload_dispatch(|dispatch| {
        dispatch.receivers.push(receiver("team"));
        let route = route_for(&dispatch.route, "A", "team");
        dispatch.route.routes.push(route);
    });
    w.at("1h10m");
    w.expect(&["1h30s team first_notification +A"]);
}
