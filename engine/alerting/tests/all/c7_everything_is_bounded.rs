//! Contract C7: every bound, what happens at it, and its counter.

use std::collections::{BTreeMap, BTreeSet};

use watchfire_alerting::{ActiveInstance, Input, Record, Recurrence, Route, Settings, SilenceDraft, SilenceError};
use watchfire_model::{Alert, Anchoring, Duration, Labels, MatchOp, Matcher, RuleId};

use crate::world::{Finding, World, alerting, at_once, external, instance, labels, receiver, route_for, rule_group};

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("N{i:03}")).collect()
}

/// How much of a bound is used, and the bound.
fn used(w: &World, bound: &str) -> (usize, usize) {
    w.engine.usage().into_iter().find(|(name, ..)| *name == bound).map(|(_, used, max)| (used, max)).unwrap()
}

fn fire(w: &mut World, names: &[String]) {
    w.fire(&names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn alerts_beyond_the_limit_are_refused_and_come_in_when_there_is_room() {
    let settings = Settings { alerts_max: 3, ..Settings::default() };
    let groups = vec![rule_group(vec![alerting(1, "0s", "0s")])];
    let mut w = World::with(settings, groups, at_once());
    fire(&mut w, &names(0..5));
    assert_eq!(w.log.len(), 3);
    assert_eq!(w.engine.counters().alerts_refused, 2);
    assert!(w.changes.iter().any(|change| change.reason.word() == "alerts_limit"));
    // A known alert is not refused.
    fire(&mut w, &names(0..3));
    assert_eq!(w.engine.counters().alerts_refused, 2);
    w.find(1, &["A"]);
    w.log.clear();
    w.at("2m");
    w.expect(&[]);
    w.resolve(&["N000"]);
    w.at("30m");
    assert!(w.log.iter().any(|line| line.ends_with("first_notification +A")), "{:?}", w.log);
    assert_eq!(used(&w, "alerts"), (3, 3));
}

#[test]
fn one_noisy_name_leaves_room_for_others() {
    let settings = Settings { alerts_per_name_max: Some(2), ..Settings::default() };
    let mut w = World::with(settings, vec![], at_once());
    let send = |w: &mut World, name: &str, instance: usize, lasts: i64| {
        let mut alert = external(name, w.now, Some(w.now + Duration::from_mins(lasts)));
        alert.labels = Labels::from_pairs([("alertname", name), ("instance", &instance.to_string())]);
        w.input(Input::Alerts(vec![alert]));
    };
    let refused = |w: &World| w.engine.counters().alerts_refused_for_name;
    for instance in 0..3 {
        send(&mut w, "Noisy", instance, 60);
    }
    assert_eq!(refused(&w), 1);
    assert!(w.changes.iter().any(|change| change.reason.word() == "alerts_of_name_limit"));
    // Others have room, and what is known comes in again and ends.
    send(&mut w, "Quiet", 0, 60);
    send(&mut w, "Noisy", 0, 60);
    assert_eq!(refused(&w), 1);
    send(&mut w, "Noisy", 0, 0);
    // One that ended makes room, before and after a restart.
    send(&mut w, "Noisy", 3, 60);
    send(&mut w, "Noisy", 4, 60);
    assert_eq!(refused(&w), 2);
    w.crash("1s");
    send(&mut w, "Noisy", 5, 60);
    assert_eq!(refused(&w), 1);
    // What fires again although there is no room is known.
    send(&mut w, "Noisy", 0, 60);
    assert_eq!(refused(&w), 1);
}

#[test]
fn bytes_of_all_alerts_are_bounded_for_new_ones_and_known_ones_come_in_and_end() {
    let settings = Settings { alerts_bytes_max: 500, ..Settings::default() };
    let groups = vec![rule_group(vec![alerting(1, "0s", "0s")])];
    let mut w = World::with(settings, groups, at_once());
    let send = |w: &mut World, name: &str, link: usize| {
        let end = Some(w.now + Duration::from_hours(1_000));
        let alert = Alert { generator_url: "x".repeat(link).into(), ..external(name, w.now, end) };
        w.input(Input::Alerts(vec![alert]));
    };
    let refused = |w: &World| (w.engine.counters().alerts_refused, w.engine.counters().alerts_refused_for_bytes);
    fire(&mut w, &["A".to_owned()]);
    let bare = used(&w, "alerts_bytes").0;
    assert!((10..30).contains(&bare), "{bare}");
    send(&mut w, "B", 300);
    send(&mut w, "C", 300);
    assert_eq!((used(&w, "alerts_bytes"), refused(&w)), ((2 * bare + 300, 500), (0, 1)));
    assert!(w.changes.iter().any(|change| change.reason.word() == "alerts_bytes_limit"));
    // What is known grows beyond it, and leaves no room for a rule's alert.
    send(&mut w, "A", 400);
    w.find(1, &["D"]);
    w.log.clear();
    w.at("2m").expect(&[]);
    assert_eq!((used(&w, "alerts_bytes").0, refused(&w)), (2 * bare + 700, (0, 3)));
    // Its end comes in and makes room; it may fire again and grow again.
    w.resolve(&["A"]);
    w.at("10m");
    send(&mut w, "A", 450);
    w.at("11m");
    let told = ["3m ops first_notification +D", "5m ops all_alerts_resolved -A", "10m ops first_notification +A"];
    w.expect(&told);
    let held = used(&w, "alerts_bytes").0;
    assert!(held >= 3 * bare + 750, "{held}");
    w.crash("1s");
    assert_eq!(used(&w, "alerts_bytes").0, held, "what was kept counts the same");
    w.resolve(&["A", "B"]);
    w.find(1, &[]);
    w.at("3h");
    assert_eq!((used(&w, "alerts").0, used(&w, "alerts_bytes").0), (0, 0));
    send(&mut w, "C", 300);
    assert_eq!(used(&w, "alerts").0, 1);
}

#[test]
fn groups_beyond_the_limit_share_one_per_route() {
    let settings = Settings { groups_max: 3, ..Settings::default() };
    let mut w = World::with(settings, vec![], at_once());
    fire(&mut w, &names(0..10));
    assert_eq!(w.log.len(), 4);
    assert_eq!(w.engine.counters().groups_overflowed, 7);
    w.log.clear();
    // Nothing moves on a reload or a restart, and the ends are told.
    w.reload_dispatch(|_| {});
    w.crash("1s");
    w.at("1m");
    w.expect(&[]);
    w.resolve(&names(0..10).iter().map(String::as_str).collect::<Vec<_>>());
    w.at("10m");
    assert_eq!(w.log.len(), 4, "{:?}", w.log);
    assert!(w.engine.alert_groups(w.now).is_empty());
}

#[test]
fn a_receiver_that_never_answers_leaves_turns_to_others_and_hears_everything_once() {
    let mut dispatch = at_once();
    dispatch.receivers.push(receiver("dead"));
    let matchers = vec![Matcher::new("alertname", MatchOp::Regex, "N.*", Anchoring::Alertmanager).unwrap()];
    dispatch.route.routes = vec![Route { receiver: "dead".into(), ..dispatch.route.child(matchers) }];
    let mut w = World::new(dispatch);
    w.answers.insert("dead".to_owned(), None);
    fire(&mut w, &names(0..300));
    assert_eq!((w.log.len(), used(&w, "attempts")), (128, (128, 256)));
    w.log.clear();
    w.fire(&["A"]);
    w.expect(&["0s ops first_notification +A"]);
    // Who waits for a turn has lost nothing by then, and survives.
    w.at("4m");
    w.expect(&[]);
    assert_eq!((w.engine.counters().attempts, w.engine.counters().attempts_lost), (129, 0));
    w.answers.clear();
    w.crash("1s");
    w.at("30m");
    // That a turn came is not written down, so that after a crash everybody may have been told.
    let again: Vec<u32> = w.deliveries[129..].iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(again, [2; 300]);
    let ids: BTreeSet<_> = w.deliveries.iter().map(|delivery| delivery.id).collect();
    assert_eq!((ids.len(), used(&w, "attempts")), (301, (0, 256)));
}

#[test]
fn silences_beyond_the_limit_are_refused_and_expired_ones_count() {
    let settings = Settings { silences_max: 2, silence_matchers_max: 3, silence_bytes_max: 20, ..Settings::default() };
    let mut w = World::with(settings, vec![], at_once());
    w.silence("A", "1m");
    w.silence("B", "1h");
    w.at("10m");
    let now = w.now;
    let draft = |matchers: usize| SilenceDraft {
        annotations: BTreeMap::new(),
        id: None,
        matcher_sets: vec![(0..matchers).map(|i| Matcher::equal(format!("l{i}"), "x")).collect()],
        starts_at: now,
        ends_at: now + Duration::from_mins(1),
        recurrence: None,
        created_by: String::new(),
        comment: String::new(),
    };
    let (one, many) = (draft(1), draft(4));
    assert_eq!(w.engine.set_silence(w.now, one.clone()), Err(SilenceError::Limit { silences_max: 2 }));
    let too_many = SilenceError::TooManyMatchers { matchers: 4, matchers_max: 3 };
    assert_eq!(w.engine.set_silence(w.now, many), Err(too_many));
    let text = |comment: &str| SilenceDraft { comment: comment.to_owned(), created_by: "Ada".to_owned(), ..draft(3) };
    assert_eq!(w.engine.set_silence(w.now, text("mending")), Err(SilenceError::Limit { silences_max: 2 }));
    let too_long = SilenceError::TooLong { bytes: 22, bytes_max: 20 };
    assert_eq!(w.engine.set_silence(w.now, text("mending it")), Err(too_long));
    assert_eq!(w.engine.counters().silences_refused, 4);
    w.at("121h");
    assert!(w.engine.set_silence(w.now, SilenceDraft { ends_at: w.now + Duration::from_mins(1), ..one }).is_ok());
    assert_eq!((used(&w, "silences"), used(&w, "silences_recurring")), ((1, 2), (0, 2)));
    let recurring = |hours| {
        let recurrence = Recurrence::parse("0 22 * * Mon-Fri", "", Duration::from_hours(hours)).ok();
        SilenceDraft { starts_at: w.now, ends_at: w.now + Duration::from_hours(1_000), recurrence, ..draft(1) }
    };
    let (month, longer) = (recurring(31 * 24), recurring(31 * 24 + 1));
    assert!(matches!(w.engine.set_silence(w.now, longer), Err(SilenceError::LastsTooLong { .. })));
    assert_eq!(w.engine.counters().silences_refused, 5);
    assert!(w.engine.set_silence(w.now, month).is_ok());
    assert_eq!(used(&w, "silences_recurring"), (1, 2));
}

#[test]
fn instances_of_one_rule_are_bounded_without_a_limit_of_its_group() {
    let settings = Settings { rule_instances_max: 2, ..Settings::default() };
    let mut w = World::with(settings, vec![rule_group(vec![alerting(1, "0s", "0s")])], at_once());
    w.find(1, &["A", "B", "C"]);
    w.at("1m");
    assert_eq!(w.states(1), "A=firing B=firing");
    assert_eq!(w.engine.counters().instances_dropped, 1);
}

#[test]
fn annotations_of_a_rule_that_grow_are_cut_whether_the_alert_is_known_or_new() {
    let settings = Settings { annotations_bytes_max: 1_000, ..Settings::default() };
    let mut w = World::with(settings, vec![rule_group(vec![alerting(1, "0s", "0s")])], at_once());
    let find = |w: &mut World, names: &[&str], bytes: usize| {
        let annotations = || [("summary", "short".to_owned()), ("description", "x".repeat(bytes))].into();
        let active = names.iter().map(|name| ActiveInstance { annotations: annotations(), ..instance(name, 1.0) });
        w.finds.insert(RuleId(1), Finding::Active(active.collect()));
    };
    find(&mut w, &["A"], 900);
    w.at("1m");
    assert_eq!(w.engine.counters().annotations_cut, 0);
    find(&mut w, &["A", "B"], 100_000);
    w.at("2m");
    assert_eq!(w.engine.counters().annotations_cut, 2);
    for alert in w.engine.alerts(w.now) {
        let annotations = &alert.alert.annotations;
        assert_eq!(annotations.get("summary"), Some("short"));
        assert!(annotations.get("description").unwrap().ends_with("xx… (99500 bytes left out)"));
    }
    assert!(used(&w, "alerts_bytes").0 < 2_000);
}

#[test]
fn histories_are_bounded_in_length_and_number() {
    let settings = Settings { history_per_alert_max: 4, history_alerts_max: 2, ..Settings::default() };
    let mut w = World::with(settings, vec![], at_once());
    for i in 0..20 {
        w.advance_to(Duration::from_mins(30 * i));
        w.fire(&["A"]);
        w.advance_to(Duration::from_mins(30 * i + 10));
        w.resolve(&["A"]);
    }
    assert_eq!(w.engine.history(labels("A").fingerprint()).len(), 4);
    w.at("20h");
    fire(&mut w, &names(0..2));
    assert!(w.engine.history(labels("A").fingerprint()).is_empty(), "a forgotten alert goes first");
    assert!(!w.engine.history(labels("N000").fingerprint()).is_empty());
}

#[test]
fn a_storm_of_histories_waits_for_the_store() {
    let mut w = World::new(at_once());
    w.confirms = false;
    let durable = |w: &World| w.committed.keys().filter(|key| key.kind == Record::HISTORY).count();
    let mut waves = Vec::new();
    fire(&mut w, &names(0..2_500));
    for hour in 1..4 {
        // However long the store takes, and whatever else happens.
        w.advance_to(Duration::from_hours(hour));
        w.fire(&["A"]);
        waves.push(durable(&w));
        w.input(Input::Confirmed);
    }
    assert_eq!(waves, [1_000, 2_000, 2_500]);
    w.confirms = true;
    w.at("4h");
    assert_eq!(durable(&w), 2_501);
}

#[test]
fn kinds_of_alerts_beyond_the_limit_of_what_is_remembered_are_told_without_a_rate_limit() {
    let settings = Settings { rate_limits_max: 1, ..Settings::default() };
    let mut dispatch = at_once();
    dispatch.route.group_by = watchfire_alerting::GroupBy::All;
    dispatch.route.policy.rate_limits = watchfire_alerting::RateLimits::standard();
    let mut w = World::with(settings, vec![], dispatch);
    let fire = |w: &mut World, name: &str, number: u64| {
        let end = Some(w.now + Duration::from_hours(9));
        let mut alert = external(name, w.now, end);
        let number = number.to_string();
        alert.labels = Labels::from_pairs([("alertname", name), ("severity", "info"), ("n", number.as_str())]);
        w.input(Input::Alerts(vec![alert]));
    };
    for number in 0..3 {
        fire(&mut w, "A", number);
        fire(&mut w, "B", number);
    }
    let told = |w: &World, name: &str| w.log.iter().filter(|line| line.ends_with(name)).count();
    assert_eq!((told(&w, "+A"), told(&w, "+B")), (1, 3), "{:?}", w.log);
    let counters = w.engine.counters();
    assert_eq!((counters.alerts_held_back, counters.rate_limits_overflowed), (2, 3));
    assert_eq!(used(&w, "rate_limits"), (1, 1));
    w.log.clear();
    w.at("1h");
    w.expect(&["1h ops digest +A +A"]);
    assert_eq!((w.engine.counters().digests, w.deliveries.last().map(|delivery| delivery.folded)), (1, Some(2)));
}

#[test]
fn who_and_why_of_an_acknowledgement_are_bounded_and_it_must_make_sense() {
    use watchfire_alerting::{AcknowledgeCommand, AcknowledgeError, AcknowledgeWhat, GroupKey};
    let mut w = World::with(Settings { acknowledgement_bytes_max: 8, ..Settings::default() }, vec![], at_once());
    w.fire(&["A"]);
    let (alert, unknown) = (labels("A").fingerprint(), labels("B").fingerprint());
    let group = GroupKey::from_text("none");
    let set = |what: &AcknowledgeWhat, comment: &str, until, snooze| AcknowledgeCommand::Set {
        what: what.clone(),
        by: "Ada".to_owned(),
        comment: comment.to_owned(),
        until,
        snooze,
    };
    let known = AcknowledgeWhat::Alert(alert);
    let table = [
        (set(&known, "mending", None, false), Err(AcknowledgeError::TooLong { bytes: 10, bytes_max: 8 })),
        (set(&known, "", Some(w.now), false), Err(AcknowledgeError::EndsInThePast)),
        (set(&known, "", None, true), Err(AcknowledgeError::SnoozeWithoutEnd)),
        (set(&AcknowledgeWhat::Alert(unknown), "", None, false), Err(AcknowledgeError::NoSuchAlert(unknown))),
        (set(&AcknowledgeWhat::Group(group.clone()), "", None, false), Err(AcknowledgeError::NoSuchGroup(group))),
        (set(&known, "soon", None, false), Ok(vec![alert])),
    ];
    for (command, expected) in table {
        assert_eq!(w.engine.acknowledge(w.now, command), expected);
        w.drain();
    }
    assert_eq!(w.engine.counters().acknowledgements, 1);
}

#[test]
fn counters_have_names_and_meanings() {
    let w = World::new(at_once());
    for (name, meaning, _) in w.engine.counters().list() {
        assert!(!name.is_empty() && !meaning.trim().is_empty(), "{name}");
    }
}

#[test]
fn an_idle_engine_writes_nothing() {
    let groups = vec![rule_group(vec![alerting(1, "0s", "0s")])];
    let mut w = World::with(Settings::default(), groups, at_once());
    w.find(1, &["A", "B"]);
    let many = names(0..50);
    fire(&mut w, &many);
    w.at("10m");
    let (persisted, attempts) = (w.persisted, w.engine.counters().attempts);
    w.at("3h");
    assert_eq!((w.persisted, w.engine.counters().attempts), (persisted, attempts));
    let labels = Labels::from_pairs([("alertname", "A")]);
    assert!(w.engine.alert(w.now, labels.fingerprint()).is_some());
}

#[test]
fn of_integrations_that_went_only_the_last_are_remembered() {
    let settings = Settings { gone_integrations_max: 2, ..Settings::default() };
    let mut w = World::with(settings, vec![], at_once());
    fire(&mut w, &names(0..1));
    for (turn, name) in ["second", "third", "fourth", "ops"].into_iter().enumerate() {
        w.at(&format!("{}m", 10 * turn + 1));
        w.reload_dispatch(|dispatch| {
            dispatch.receivers = vec![receiver(name)];
            dispatch.route.receiver = name.into();
        });
        w.at(&format!("{}m", 10 * turn + 10));
        assert_eq!(used(&w, "gone_integrations"), ((turn + 1).min(2), 2));
    }
    // The first one is not known any more.
    let told = w.log.iter().filter(|line| line.ends_with("ops first_notification +N000")).count();
    assert_eq!(told, 2, "{:?}", w.log);
}

#[test]
fn what_an_integration_is_owed_that_went_is_said_once() {
    let settings = Settings { gone_integrations_max: 1, ..Settings::default() };
    let mut w = World::with(settings, vec![], at_once());
    fire(&mut w, &names(0..1));
    let lost = |w: &World| w.engine.counters().resolves_lost_to_removed_receivers;
    for (at, name, expected) in [("10m", "second", 1), ("20m", "third", 2), ("30m", "fourth", 3)] {
        w.at(at).reload_dispatch(|dispatch| {
            dispatch.receivers = vec![receiver(name)];
            dispatch.route.receiver = name.into();
        });
        assert_eq!(
            lost(&w),
            expected,
            "{name} takes the place of the one before, which takes that of what went earlier"
        );
    }
    // Nor is it news at a start with a clock that was set back.
    w.at("40m");
    w.now = w.now - Duration::from_hours(1);
    w.crash("1s");
    assert_eq!(lost(&w), 0);
}

#[test]
fn integrations_that_know_nothing_take_no_room_of_those_that_do() {
    let mut dispatch = at_once();
    dispatch.receivers.extend(["a", "b", "z"].map(receiver));
    dispatch.route.routes = vec![route_for(&dispatch.route, "N000", "z")];
    let settings = Settings { gone_integrations_max: 2, ..Settings::default() };
    let mut w = World::with(settings, vec![], dispatch.clone());
    fire(&mut w, &names(0..1));
    w.reload_dispatch(|dispatch| {
        dispatch.receivers.retain(|receiver| &*receiver.name == "ops");
        dispatch.route.routes = vec![];
    });
    assert_eq!(used(&w, "gone_integrations"), (1, 2));
    w.at("10m").reload_dispatch(|now| *now = dispatch);
    w.at("1h");
    w.expect(&["0s z first_notification +N000", "0s ops first_notification +N000"]);
}
