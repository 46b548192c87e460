//! Contract C1: a notified firing is always followed by a delivered resolved.
//!
//! Each scenario pages, then something keeps the alert quiet or moves it elsewhere while it ends.

use watchfire_alerting::{
    DeliveryOutcome, Dispatch, GroupBy, InhibitRule, InhibitSource, Input, MinuteRange, Notify, Record, Settings,
    TimeInterval, TimeSpec,
};
use watchfire_model::{Duration, Matcher};

use crate::world::{World, alerting, at_once, labels, receiver, route_for, rule_group};

const PAGE: &str = "0s ops first_notification +A";

fn paged() -> World {
    let mut w = World::new(at_once());
    w.fire(&["A"]);
    w.expect(&[PAGE]);
    w
}

#[track_caller]
fn ends_with_a_resolve(w: &mut World, at: &str) {
    w.at("1m").resolve(&["A"]);
    w.at("30h");
    let resolves: Vec<_> = w.log.iter().filter(|line| line.contains("-A")).collect();
    assert_eq!(resolves.len(), 1, "{:?}", w.log);
    assert!(resolves[0].starts_with(&format!("{at} ops")), "{:?}", w.log);
    assert!(w.engine.alert_groups(w.now).is_empty() && w.engine.outbox().is_empty());
    // And the alert is not thought to be known any more.
    w.log.clear();
    w.fire(&["A"]);
    assert_eq!(w.log.len(), 1);
}

#[test]
fn through_a_silence() {
    let mut w = paged();
    w.silence("A", "100h");
    w.at("1m").resolve(&["A"]);
    w.at("30h");
    w.expect(&["5m ops all_alerts_resolved -A"]);
    // The silence still holds.
    w.fire(&["A"]);
    w.at("40h");
    w.expect(&[]);
}

#[test]
fn through_a_silence_that_began_and_ended_while_the_alert_fired() {
    let mut w = paged();
    w.silence("A", "30s");
    ends_with_a_resolve(&mut w, "5m");
}

#[test]
fn through_an_inhibition() {
    let mut w = paged();
    w.reload_dispatch(|dispatch| {
        let source = InhibitSource { matchers: vec![Matcher::equal("alertname", "B")], equal: vec![] };
        let target_matchers = vec![Matcher::equal("alertname", "A")];
        dispatch.inhibit_rules = vec![InhibitRule { name: None, sources: vec![source], target_matchers }];
    });
    w.fire(&["B"]);
    w.at("1m").resolve(&["A"]);
    w.at("1h");
    w.expect(&["0s ops first_notification +B", "5m ops all_alerts_resolved -A"]);
}

#[test]
fn through_a_mute_interval_and_outside_active_ones() {
    let always = || TimeInterval {
        name: "always".to_owned(),
        specs: vec![TimeSpec { times: vec![MinuteRange { start: 0, end: 1440 }], ..TimeSpec::default() }],
    };
    let mut w = paged();
    w.reload_dispatch(|dispatch| {
        dispatch.time_intervals = vec![always()];
        dispatch.route.mute_time_intervals = vec!["always".into()];
    });
    w.at("1m").resolve(&["A"]);
    w.at("1h");
    w.expect(&["5m ops all_alerts_resolved -A"]);
    let mut w = paged();
    w.reload_dispatch(|dispatch| dispatch.route.active_time_intervals = vec!["never defined".into()]);
    w.at("1m").resolve(&["A"]);
    w.at("1h");
    w.expect(&["5m ops all_alerts_resolved -A"]);
}

#[test]
fn while_others_of_the_group_fire_and_are_silenced() {
    let mut w = World::new(at_once());
    w.reload_dispatch(|dispatch| dispatch.route.group_by = GroupBy::Labels([].into()));
    w.fire(&["A", "B"]);
    w.silence("A", "100h");
    w.silence("B", "100h");
    w.at("1m").fire(&["C"]);
    w.at("6m").resolve(&["A"]);
    w.at("11m").resolve(&["B", "C"]);
    w.at("1h");
    w.expect(&[
        "0s ops first_notification +A +B",
        "5m ops new_alerts_in_group +C",
        "10m ops new_resolved_alerts -A +C",
        "15m ops all_alerts_resolved -B -C",
    ]);
}

#[test]
fn through_a_crash_before_and_after_the_end() {
    let mut w = paged();
    w.crash("10s");
    ends_with_a_resolve(&mut w, "5m");
    let mut w = paged();
    w.at("1m").resolve(&["A"]);
    w.crash("1h");
    w.at("2h");
    w.expect(&["1h1m ops all_alerts_resolved -A"]);
}

#[test]
fn when_the_route_sends_the_alert_elsewhere_by_now() {
    let mut w = paged();
    w.reload_dispatch(|dispatch| {
        dispatch.receivers.push(receiver("other"));
        let elsewhere = route_for(&dispatch.route, "A", "other");
        dispatch.route.routes.push(elsewhere);
    });
    w.crash("1s");
    w.at("1m").resolve(&["A"]);
    w.at("30m");
    // The order of what is due at one time is not promised.
    w.log.sort();
    w.expect(&["0s other first_notification +A", "5m ops all_alerts_resolved -A", "5m other all_alerts_resolved -A"]);
    assert!(w.engine.alert_groups(w.now).is_empty());
}

#[test]
fn when_the_route_is_gone_or_has_another_receiver() {
    for gone in [true, false] {
        let mut dispatch = at_once();
        dispatch.receivers.push(receiver("team"));
        let team = route_for(&dispatch.route, "A", "team");
        dispatch.route.routes.push(team);
        let mut w = World::new(dispatch);
        w.fire(&["A"]);
        w.reload_dispatch(|dispatch| match gone {
            true => dispatch.route.routes.clear(),
            false => dispatch.route.routes[0].receiver = "ops".into(),
        });
        w.at("6m").resolve(&["A"]);
        w.at("30m");
        let mut log = std::mem::take(&mut w.log);
        let told_first = if gone { PAGE } else { "5m ops first_notification +A" };
        let team = if gone { "10m team all_alerts_resolved -A" } else { "10m team promised_resolve -A" };
        let mut expected = vec!["0s team first_notification +A", told_first, "10m ops all_alerts_resolved -A", team];
        log.sort();
        expected.sort_unstable();
        assert_eq!(log, expected, "gone: {gone}");
    }
}

#[test]
fn when_the_receiver_fails_while_the_alert_fires_and_ends() {
    // The page may have got through although the receiver said that it failed, so its end is told.
    let mut w = World::new(at_once());
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Retry { after: None, reason: "timeout".to_owned() }));
    w.fire(&["A"]);
    w.at("7m").resolve(&["A"]);
    w.at("1h");
    w.answers.clear();
    w.log.clear();
    w.at("2h");
    assert_eq!(w.log.len(), 1);
    assert!(w.log[0].contains("promised_resolve -A"), "{:?}", w.log);
}

#[test]
fn when_a_page_whose_fate_is_unknown_is_silenced_or_superseded_over_a_crash() {
    let mut w = World::new(at_once());
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Retry { after: None, reason: "timeout".to_owned() }));
    w.fire(&["A"]);
    w.silence("A", "100h");
    w.at("20m");
    assert!(w.engine.outbox().is_empty(), "what is silenced is not tried any longer");
    w.crash("1s");
    w.answers.clear();
    w.log.clear();
    w.resolve(&["A"]);
    w.at("1h");
    w.expect(&["25m ops promised_resolve -A"]);
}

#[test]
fn when_an_end_whose_fate_is_unknown_is_followed_by_a_refire() {
    let mut w = paged();
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Retry { after: None, reason: "timeout".to_owned() }));
    w.at("1m").resolve(&["A"]);
    w.at("6m").fire(&["A"]);
    w.log.clear();
    w.answers.clear();
    w.at("1h");
    assert_eq!(w.log.len(), 1, "{:?}", w.log);
    assert!(w.log[0].ends_with("+A"), "the receiver may think that it ended, so it is paged: {:?}", w.log);
}

#[test]
fn when_the_rule_is_removed_and_when_it_comes_back_in_time() {
    let groups = vec![rule_group(vec![alerting(1, "0s", "0s")])];
    let mut w = World::with(Settings::default(), groups.clone(), at_once());
    w.find(1, &["A"]);
    w.at("1m");
    w.reload(vec![rule_group(vec![])], at_once());
    w.at("2m");
    w.reload(groups.clone(), at_once());
    w.at("20m");
    w.expect(&["1m ops first_notification +A"]);
    w.reload(vec![], at_once());
    w.crash("1s");
    w.at("1h");
    w.expect(&["26m ops all_alerts_resolved -A"]);
    assert!(w.committed.keys().all(|key| key.kind != "instance"));
}

#[test]
fn when_for_is_made_longer() {
    let mut w = World::with(Settings::default(), vec![rule_group(vec![alerting(1, "0s", "0s")])], at_once());
    w.find(1, &["A"]);
    w.at("1m");
    w.reload(vec![rule_group(vec![alerting(1, "30m", "0s")])], at_once());
    w.at("1h");
    w.expect(&["1m ops first_notification +A", "6m ops all_alerts_resolved -A", "31m ops first_notification +A"]);
}

#[test]
fn two_rules_with_the_same_alert_resolve_it_once_when_neither_fires() {
    let groups = vec![rule_group(vec![alerting(1, "0s", "0s"), alerting(2, "0s", "0s")])];
    let mut w = World::with(Settings::default(), groups, at_once());
    w.find(1, &["A"]);
    w.find(2, &["A"]);
    w.at("1m").find(1, &[]);
    w.at("10m").find(2, &[]);
    w.at("1h");
    w.expect(&["1m ops first_notification +A", "16m ops all_alerts_resolved -A"]);
}

#[test]
fn a_refused_end_is_told_after_a_reload_that_may_have_repaired_the_receiver() {
    let mut w = paged();
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Rejected { reason: "400".to_owned() }));
    w.at("1m").resolve(&["A"]);
    w.at("1h26m");
    w.log.clear();
    w.answers.clear();
    w.crash("1s");
    w.at("21h");
    w.expect(&["1h30m ops promised_resolve -A"]);
}

#[test]
fn a_refused_end_is_told_when_the_receiver_takes_it_again_and_is_owed_for_days_only() {
    let refuses = |reason: &str| Some(DeliveryOutcome::Rejected { reason: reason.to_owned() });
    let mut w = paged();
    w.answers.insert("ops".to_owned(), refuses("400"));
    w.at("1m").resolve(&["A"]);
    w.at("3h");
    w.expect(&[
        "5m ops all_alerts_resolved -A",
        "10m ops promised_resolve -A",
        "15m ops promised_resolve -A",
        "25m ops promised_resolve -A",
        "45m ops promised_resolve -A",
        "1h25m ops promised_resolve -A",
        "2h25m ops promised_resolve -A",
    ]);
    w.answers.clear();
    w.at("30h");
    w.expect(&["3h25m ops promised_resolve -A"]);
    let mut w = paged();
    w.answers.insert("ops".to_owned(), refuses("400"));
    w.at("1m").resolve(&["A"]);
    w.at("130h");
    w.log.clear();
    w.answers.clear();
    w.at("300h");
    w.expect(&[]);
    assert!(w.engine.notification_log().is_empty());
}

#[test]
fn what_is_refused_of_a_notification_is_told_no_less_than_if_it_had_been_alone() {
    let mut dispatch = at_once();
    dispatch.route.group_by = GroupBy::Labels([].into());
    let mut w = World::new(dispatch);
    let refuses = |w: &mut World, name: &str| {
        let (alerts, reason) = (vec![labels(name).fingerprint()], "400".to_owned());
        let outcome = DeliveryOutcome::RejectedInPart { alerts, receipt: "202".to_owned(), reason };
        w.answers.insert("ops".to_owned(), Some(outcome));
    };
    // Of what was refused at once the receiver knows nothing, so that no end of it is owed; of the other it does.
    refuses(&mut w, "B");
    w.fire(&["A", "B"]);
    let owed = |w: &World| w.engine.notification_log()[0].entry.owed.clone();
    assert_eq!(owed(&w).iter().collect::<Vec<_>>(), [labels("A").fingerprint()]);
    w.answers.clear();
    w.at("1h");
    w.expect(&["0s ops first_notification +A +B", "5m ops new_alerts_in_group +A +B"]);
    w.fire(&["C"]);
    w.at("2h");
    w.expect(&["1h5m ops new_alerts_in_group +A +B +C"]);
    // An end that is refused among others is owed as before.
    refuses(&mut w, "A");
    w.resolve(&["A", "B", "C"]);
    w.at("2h6m");
    w.expect(&["2h5m ops all_alerts_resolved -A -B -C"]);
    w.answers.clear();
    w.crash("1s");
    w.at("5h");
    w.expect(&["2h10m ops promised_resolve -A"]);
    assert!(w.engine.notification_log().iter().all(|one| one.entry.owed.is_empty()));
    let counters = w.engine.counters();
    assert_eq!((counters.deliveries, counters.rejections), (1, 0), "since the restart");
}

#[test]
fn a_receiver_that_is_removed_is_said_to_have_been_owed() {
    let mut w = paged();
    w.reload_dispatch(|dispatch| {
        dispatch.receivers = vec![receiver("other")];
        dispatch.route.receiver = "other".into();
    });
    assert_eq!(w.engine.counters().resolves_lost_to_removed_receivers, 1);
    assert!(w.changes.iter().any(|change| change.reason.word() == "receiver_removed"));
    w.resolve(&["A"]);
    w.advance_to(Duration::from_hours(1));
    w.expect(&[]);
}

/// Everything in one group, to a receiver that wants no ends.
fn without_ends() -> World {
    let mut dispatch = at_once();
    dispatch.route.group_by = GroupBy::Labels([].into());
    dispatch.receivers[0].integrations[0].send_resolved = false;
    World::new(dispatch)
}

#[test]
fn a_refire_after_a_muted_end_pages_again_where_ends_are_not_wanted() {
    let mut w = without_ends();
    w.fire(&["A", "B"]);
    w.silence("A", "30m");
    w.at("1m").resolve(&["A"]);
    w.at("33m").fire(&["A"]);
    w.at("1h");
    w.expect(&["0s ops first_notification +A +B", "35m ops new_alerts_in_group +A +B"]);
}

#[test]
fn an_end_that_no_flush_has_seen_changes_nothing_where_ends_are_not_wanted() {
    let mut w = without_ends();
    w.answers.insert("ops".to_owned(), None);
    w.fire(&["A", "B"]);
    // The attempt takes longer than the alert is over.
    w.at("1s").resolve(&["A"]);
    let id = w.deliveries[0].id;
    w.at("2s").input(Input::Delivered {
        id,
        attempt: 1,
        outcome: DeliveryOutcome::Delivered { receipt: String::new() },
        stand_in: None,
    });
    w.answers.clear();
    w.at("3s").fire(&["A"]);
    w.at("1h");
    w.expect(&["0s ops first_notification +A +B"]);
    // One that is still over at the flush is news when it fires again.
    w.resolve(&["A"]);
    w.at("1h6m").fire(&["A"]);
    w.at("2h");
    w.expect(&["1h10m ops new_alerts_in_group +A +B"]);
}

#[test]
fn a_refire_after_an_end_that_came_during_an_attempt_is_news_where_ends_are_not_wanted() {
    let mut dispatch = at_once();
    dispatch.route.group_by = GroupBy::Labels([].into());
    dispatch.route.group_interval = Duration::from_mins(1);
    dispatch.route.policy.notify = Notify::Changes;
    dispatch.receivers[0].integrations[0].send_resolved = false;
    let mut w = World::new(dispatch);
    w.fire(&["A", "B"]);
    w.answers.insert("ops".to_owned(), None);
    w.at("30s").fire(&["C"]);
    w.at("70s").resolve(&["A"]);
    // The flush in between has seen the end, while the attempt was under way.
    w.at("130s").fire(&["A", "D"]);
    w.expect(&["0s ops first_notification +A +B", "1m ops new_alerts_in_group +C"]);
    w.answers.clear();
    let (id, attempt) = (w.deliveries[1].id, w.deliveries[1].attempt);
    w.input(Input::Delivered {
        id,
        attempt,
        outcome: DeliveryOutcome::Retry { after: None, reason: "503".to_owned() },
        stand_in: None,
    });
    w.at("1h");
    let told: Vec<_> = w.log.iter().map(|line| line.split_once(' ').map_or("", |(_, what)| what)).collect();
    assert_eq!(told, ["ops new_alerts_in_group +A +C +D"]);
}

#[test]
fn an_end_is_owed_through_an_outage_that_outlasts_several_notifications_of_what_else_fires() {
    let mut dispatch = at_once();
    dispatch.route.group_by = GroupBy::Labels([].into());
    let mut w = World::new(dispatch);
    w.fire(&["A", "B"]);
    w.at("1m").resolve(&["A"]);
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Retry { after: None, reason: "down".to_owned() }));
    w.at("60h");
    assert_eq!(w.engine.counters().given_up, 2);
    w.answers.clear();
    w.log.clear();
    w.at("61h");
    let ends: Vec<_> = w.log.iter().filter(|line| line.ends_with("-A +B")).collect();
    assert_eq!((w.log.len(), ends.len()), (1, 1), "{:?}", w.log);
    // Not for ever: what nobody could be told of for days keeps no room.
    w.at("62h").fire(&["C"]);
    w.at("63h");
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Retry { after: None, reason: "down".to_owned() }));
    w.resolve(&["C"]);
    w.at("250h");
    let known: Vec<_> = w.engine.alerts(w.now).iter().map(|view| view.alert.name().to_owned()).collect();
    assert_eq!(known, ["B"]);
}

#[test]
fn a_receiver_that_wants_no_ends_any_more_is_owed_none_by_what_it_refuses() {
    let mut dispatch = at_once();
    dispatch.route.group_by = GroupBy::Labels([].into());
    let mut w = World::new(dispatch);
    w.fire(&["A"]);
    w.answers.insert("ops".to_owned(), None);
    w.at("1m").fire(&["B"]);
    w.at("6m");
    w.expect(&["0s ops first_notification +A", "5m ops new_alerts_in_group +A +B"]);
    w.reload_dispatch(|dispatch| dispatch.receivers[0].integrations[0].send_resolved = false);
    let (id, attempt) = (w.deliveries[1].id, w.deliveries[1].attempt);
    w.input(Input::Delivered {
        id,
        attempt,
        outcome: DeliveryOutcome::Rejected { reason: "400".to_owned() },
        stand_in: None,
    });
    w.resolve(&["A", "B"]);
    w.at("1h");
    assert!(w.engine.alert_groups(w.now).is_empty() && w.engine.alerts(w.now).is_empty());
}

#[test]
fn when_its_receiver_is_gone_for_a_while() {
    let gone = |dispatch: &mut Dispatch| {
        dispatch.receivers = vec![receiver("other")];
        dispatch.route.receiver = "other".into();
    };
    let back = |dispatch: &mut Dispatch| {
        dispatch.receivers.push(receiver("ops"));
        dispatch.route.receiver = "ops".into();
    };
    // An end comes while it is gone, and it comes back over a restart, or nothing happens to the alert.
    for ends in [true, false] {
        let mut w = paged();
        w.reload_dispatch(gone);
        if ends {
            w.at("1m").resolve(&["A"]);
        }
        w.at("40m");
        w.crash("1s");
        w.log.clear();
        w.reload_dispatch(back);
        w.at("55m");
        w.expect(if ends { &["45m ops all_alerts_resolved -A"] } else { &[] });
        w.resolve(&["A"]);
        w.at("2h");
        assert_eq!(w.log.iter().filter(|line| line.contains("ops ")).count(), usize::from(!ends), "{:?}", w.log);
        assert!(w.engine.alert_groups(w.now).is_empty() && w.engine.alerts(w.now).is_empty());
        let kept = w.committed.values().find_map(|record| match record {
            Record::Integrations(record) => Some(record.gone.len()),
            _ => None,
        });
        assert_eq!(kept, Some(0), "nothing is remembered of it that is of no use");
    }
    // After an hour it is a new one.
    let mut w = paged();
    w.reload_dispatch(gone);
    w.at("1m").resolve(&["A"]);
    w.at("62m");
    assert!(w.engine.alert_groups(w.now).is_empty() && w.engine.alerts(w.now).is_empty());
    w.reload_dispatch(back);
    w.at("2h");
    w.expect(&[]);
}

#[test]
fn while_its_receiver_is_gone_a_new_alert_waits_no_longer_than_in_a_new_group() {
    let mut w = paged();
    w.reload_dispatch(|dispatch| {
        dispatch.receivers = vec![receiver("other")];
        dispatch.route.receiver = "other".into();
    });
    w.at("10m").resolve(&["A"]);
    w.at("20m");
    w.log.clear();
    w.at("21m").fire(&["B"]);
    w.at("25m");
    w.expect(&["21m other first_notification +B"]);
}
