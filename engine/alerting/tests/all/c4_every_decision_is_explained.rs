//! Contract C4: what happened to an alert, and why, can be read.

use std::sync::Arc;

use watchfire_alerting::{GroupBy, Record, Settings};

use crate::world::{World, alerting, at_once, labels, rule_group};

#[test]
fn the_history_of_an_alert_tells_the_whole_chain() {
    let mut w = World::with(Settings::default(), vec![rule_group(vec![alerting(1, "1m", "1m")])], at_once());
    w.find(1, &["A"]);
    let id = w.silence("A", "100h");
    w.at("3m1s");
    w.engine.expire_silence(w.now, &id).unwrap();
    w.drain();
    w.at("8m").find(1, &[]);
    w.at("2h");
    let history = w.engine.history(labels("A").fingerprint());
    let lines: Vec<String> = history
        .iter()
        .map(|entry| format!("{} {}", entry.at.since(crate::world::START), entry.reason.word()))
        .collect();
    assert_eq!(
        lines,
        [
            "1m pending",
            "2m firing",
            "2m silenced",
            "7m first_notification",
            "7m delivered",
            "9m kept_firing",
            "10m resolved",
            "12m all_alerts_resolved",
            "12m delivered",
            "26m forgotten",
        ]
    );
    let delivered = history.iter().find(|entry| entry.reason.word() == "delivered").unwrap();
    assert_eq!(delivered.notification, Some(w.deliveries[0].id));
    assert_eq!(&*delivered.target.as_ref().unwrap().receiver, "ops");
    // The alert itself is forgotten, its history is not.
    assert!(w.engine.alert(w.now, labels("A").fingerprint()).is_none());
    assert!(history.iter().all(|entry| !entry.reason.to_string().is_empty()));
}

#[test]
fn a_history_survives_a_restart_and_is_kept_for_as_long_as_is_said() {
    let settings = Settings { history_retention: watchfire_model::Duration::from_hours(48), ..Settings::default() };
    let mut w = World::with(settings, vec![], at_once());
    w.fire(&["A"]);
    w.at("1m").resolve(&["A"]);
    w.at("10m");
    let lines = |w: &World| w.engine.history(labels("A").fingerprint());
    let before = lines(&w);
    assert!(before.len() >= 5, "{before:?}");
    w.crash("1s");
    assert_eq!(lines(&w), before);
    w.at("47h");
    w.crash("1s");
    assert!(lines(&w).starts_with(&before));
    w.at("50h");
    assert!(lines(&w).is_empty());
    assert!(w.committed.keys().all(|key| key.kind != Record::HISTORY));
}

#[test]
fn what_happens_within_seconds_is_written_once() {
    let mut w = World::new(at_once());
    w.fire(&["A"]);
    w.at("1s");
    let of_histories = |w: &World| w.committed.keys().filter(|key| key.kind == Record::HISTORY).count();
    assert_eq!(of_histories(&w), 0);
    let persisted = w.persisted;
    w.at("6s");
    assert_eq!((of_histories(&w), w.persisted - persisted), (1, 1));
}

#[test]
fn subscribers_hear_of_state_changes_and_attempts_in_order() {
    let mut w = World::new(at_once());
    w.changes.clear();
    w.fire(&["A"]);
    let words: Vec<&str> = w.changes.iter().map(|change| change.reason.word()).collect();
    assert_eq!(words, ["received", "first_notification", "attempt_started", "delivered"]);
}

#[test]
fn alerts_share_what_was_decided_about_them_together_after_a_restart_too() {
    let mut dispatch = at_once();
    dispatch.route.group_by = GroupBy::Labels([].into());
    let mut w = World::new(dispatch);
    w.fire(&["A", "B"]);
    w.at("1m");
    for restarted in [false, true] {
        if restarted {
            // What is read back has been bytes.
            for record in w.committed.values_mut() {
                if let Record::History(record) = record {
                    record.entries.iter_mut().for_each(|line| *line = Arc::new((**line).clone()));
                }
            }
            w.crash("1s");
        }
        let [a, b] = ["A", "B"].map(|name| w.engine.history(labels(name).fingerprint()));
        let shared = a.iter().filter(|line| b.iter().any(|other| Arc::ptr_eq(line, other)));
        let words: Vec<&str> = shared.map(|line| line.reason.word()).collect();
        assert!(words.starts_with(&["received", "first_notification", "delivered"]), "{restarted}: {words:?}");
    }
}
