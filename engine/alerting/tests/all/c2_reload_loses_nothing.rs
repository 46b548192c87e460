//! Contract C2: a reload or a restart leaves everything that is unchanged exactly as it was.

use std::sync::Arc;

use watchfire_alerting::{
    AcknowledgeCommand, AcknowledgeWhat, Definitions, DeliveryOutcome, Dispatch, EscalationStep, FlapDamping, GroupBy,
    Input, Notify, Policy, RateLimits, Record, Repeat, RuleGroupSpec, RuleSpec, Settings,
};
use watchfire_model::{Alert, Duration, Labels, Matcher, RuleGroupId};

use crate::world::{START, World, alerting, at_once, integration, receiver, recording, route_for, rule_group, to_ops};

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

/// Three alerts of one name and severity in groups of their own, of which the first is acknowledged for a while and the
/// second flaps; every `disturb` minutes something happens that concerns none of it.
fn play_policies(disturb: impl Fn(&mut World, i64)) -> Vec<String> {
    let mut dispatch = at_once();
    dispatch.receivers.extend([receiver("lead"), receiver("other")]);
    dispatch.route.group_by = GroupBy::All;
    dispatch.route.repeat_interval = Duration::from_mins(47);
    dispatch.route.policy = Policy {
        repeat: Repeat::Exact,
        notify: Notify::Changes,
        rate_limits: RateLimits::standard(),
        escalation: vec![EscalationStep { after: Duration::from_mins(31), receiver: "lead".into() }],
        flap_damping: Some(FlapDamping { times: 3, within: Duration::from_mins(20) }),
    };
    let mut w = World::new(dispatch);
    let alert = |number: i64| {
        let number = number.to_string();
        Labels::from_pairs([("alertname", "A"), ("severity", "warning"), ("n", number.as_str())])
    };
    let send = |w: &mut World, number: i64, lasts: i64| {
        let end = w.now + Duration::from_mins(lasts);
        let sent = crate::world::external("", w.now.min(end), Some(end));
        w.input(Input::Alerts(vec![Alert { labels: alert(number), ..sent }]));
    };
    for minute in 0..240 {
        w.advance_to(Duration::from_mins(minute));
        match minute {
            0 => (1..=3).for_each(|number| send(&mut w, number, 600)),
            5 | 9 | 13 => send(&mut w, 2, 0),
            7 | 11 | 15 => send(&mut w, 2, 600),
            20 => {
                let what = AcknowledgeWhat::Alert(alert(1).fingerprint());
                let until = Some(w.now + Duration::from_mins(70));
                let (by, comment, snooze) = ("Ada".to_owned(), String::new(), true);
                w.input(Input::Acknowledge(AcknowledgeCommand::Set { what, by, comment, until, snooze }));
            }
            150 => send(&mut w, 3, 0),
            200 => (1..=2).for_each(|number| send(&mut w, number, 0)),
            _ => {}
        }
        w.advance_to(Duration::from_secs(minute * 60 + 30));
        disturb(&mut w, minute);
    }
    std::mem::take(&mut w.log)
}

#[test]
fn what_is_held_back_acknowledged_escalated_damped_and_repeated_stands() {
    let undisturbed = play_policies(|_, _| {});
    for reason in ["first_notification", "digest", "snooze_ended", "escalated", "repeat_interval_elapsed"] {
        assert!(undisturbed.iter().any(|line| line.contains(reason)), "{reason} is missing: {undisturbed:#?}");
    }
    assert_eq!(play_policies(|w, _| w.crash("0s")), undisturbed, "restarts");
    let reloads = |w: &mut World, minute: i64| {
        w.reload_dispatch(|dispatch| {
            let unrelated = route_for(&dispatch.route, "unrelated", "other");
            if minute % 2 == 0 { dispatch.route.routes.insert(0, unrelated) } else { dispatch.route.routes.clear() }
        });
    };
    assert_eq!(play_policies(reloads), undisturbed, "reloads");
}

/// Who was told since the last call, by their settings.
fn told(w: &mut World) -> Vec<(u128, &'static str, String)> {
    let told = w.deliveries.drain(..).map(|delivery| {
        let names: Vec<&str> = delivery.alerts.iter().map(Alert::name).collect();
        (delivery.settings.0, delivery.reason.as_str(), names.join(" "))
    });
    told.collect()
}

#[test]
fn an_edited_file_at_a_restart_leaves_each_integration_what_it_knows() {
    let with = |settings: &[u128]| {
        let mut dispatch = at_once();
        dispatch.receivers[0].integrations = settings.iter().map(|own| integration("webhook", *own)).collect();
        dispatch
    };
    let edits: [(&[u128], &[u128], &[u128]); 5] = [
        // Before, after, and who is new.
        (&[1, 2], &[2], &[]),
        (&[1, 2], &[3, 1, 2], &[3]),
        (&[1, 2, 3], &[3, 1, 2], &[]),
        (&[1], &[9], &[]),
        (&[1, 2], &[2, 4], &[4]),
    ];
    for (before, after, new) in edits {
        let mut w = World::new(with(before));
        w.fire(&["A"]);
        assert_eq!(told(&mut w).len(), before.len());
        w.definitions = Arc::new(Definitions { dispatch: with(after), ..(*w.definitions).clone() });
        w.crash("1m");
        w.at("1h");
        let first: Vec<_> = new.iter().map(|own| (*own, "first_notification", "A".to_owned())).collect();
        assert_eq!(told(&mut w), first, "{before:?} {after:?}");
        w.resolve(&["A"]);
        w.at("2h");
        let ended: Vec<_> = after.iter().map(|own| (*own, "all_alerts_resolved", "A".to_owned())).collect();
        assert_eq!(told(&mut w), ended, "{before:?} {after:?}");
    }
    // What was kept before integrations were known by their settings is theirs by their order.
    let mut w = World::new(with(&[1, 2]));
    w.fire(&["A"]);
    w.committed.retain(|key, _| key.kind != Record::INTEGRATIONS);
    told(&mut w);
    w.crash("1m");
    w.at("1h");
    assert_eq!(told(&mut w), []);
}

#[test]
fn a_rule_that_an_editor_moves_in_two_steps_is_the_same_rule() {
    let mut w = World::with(Settings::default(), vec![rule_group(vec![alerting(1, "10m", "0s")])], at_once());
    w.find(1, &["A"]);
    w.find(2, &["A"]);
    w.at("8m10s");
    w.reload(vec![], at_once());
    w.at("8m20s");
    let moved = RuleSpec { name: "rule1".into(), ..alerting(2, "10m", "0s") };
    w.reload(
        vec![RuleGroupSpec { id: RuleGroupId(60_000), file: "b.yml".into(), ..rule_group(vec![moved]) }],
        at_once(),
    );
    w.at("1h");
    w.expect(&["11m ops first_notification +A"]);
    w.crash("1s");
    w.at("2h").expect(&[]);
}

#[test]
fn a_restart_tells_no_end_again() {
    let mut dispatch = at_once();
    dispatch.route.group_by = GroupBy::Labels([].into());
    let mut w = World::new(dispatch);
    w.fire(&["A", "B"]);
    w.at("1m").resolve(&["A"]);
    w.at("6m").fire(&["C"]);
    w.at("10m").fire(&["D"]);
    w.silence("D", "100h");
    w.expect(&[
        "0s ops first_notification +A +B",
        "5m ops new_resolved_alerts -A +B",
        "10m ops new_alerts_in_group +B +C",
    ]);
    w.crash("1s");
    w.at("30m").expect(&[]);
    // Nor in a group that is there again after it was over.
    w.resolve(&["B", "C", "D"]);
    w.at("36m").fire(&["E"]);
    w.expect(&["35m ops all_alerts_resolved -B -C", "36m ops first_notification +E"]);
    w.crash("1s");
    w.at("1h").expect(&[]);
    // However the clock was set in between.
    w.resolve(&["E"]);
    w.at("1h2m").expect(&["1h1m ops all_alerts_resolved -E"]);
    w.now = START + Duration::from_mins(50);
    w.fire(&["F"]);
    w.expect(&["50m ops first_notification +F"]);
    w.crash("1s");
    w.at("2h").expect(&[]);
}

#[test]
fn a_clock_that_was_set_back_while_the_engine_was_down_makes_nobody_wait() {
    let mut dispatch = at_once();
    dispatch.receivers.push(receiver("fails"));
    let fails = route_for(&dispatch.route, "B", "fails");
    dispatch.route.routes = vec![fails];
    dispatch.route.policy.flap_damping = Some(FlapDamping { times: 2, within: Duration::from_mins(10) });
    let mut w = World::new(dispatch);
    let retry = DeliveryOutcome::Retry { after: None, reason: "down".to_owned() };
    w.answers.insert("fails".to_owned(), Some(retry));
    w.fire(&["A", "B"]);
    // It flaps, and nobody is told of its end for a while.
    w.at("1m").resolve(&["A"]);
    w.at("2m").fire(&["A"]);
    w.at("20s");
    w.resolve(&["A"]);
    w.answers.clear();
    w.log.clear();
    w.now = w.now - Duration::from_hours(48);
    let restarted = w.now.since(START);
    w.crash("1s");
    let ended = |w: &World, line: &str| w.log.iter().filter(|told| told.ends_with(line)).count();
    w.advance_to(restarted + Duration::from_mins(2));
    assert_eq!(ended(&w, "+B"), 1, "an attempt that was to be made two days from now is made at once: {:?}", w.log);
    w.advance_to(restarted + Duration::from_mins(70));
    assert_eq!((ended(&w, "+B"), ended(&w, "-A")), (1, 1), "{:?}", w.log);
    // What is repeated is repeated as if it had been told just then.
    w.log.clear();
    w.advance_to(restarted + Duration::from_hours(6));
    assert_eq!(ended(&w, "repeat_interval_elapsed +B"), 1, "{:?}", w.log);
}
