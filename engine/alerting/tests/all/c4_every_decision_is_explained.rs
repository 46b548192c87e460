//! Contract C4: what happened to an alert, and why, can be read.

use std::sync::Arc;

use watchfire_alerting::{Change, DeliveryOutcome, GroupBy, Record, Settings, Subject};
use watchfire_model::RuleId;
use watchfire_plugin::{PluginError, PluginUse};

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

#[test]
fn what_stood_in_for_a_plugin_that_failed_is_told_where_it_decided() {
    let mut w = World::with(
        Settings::default(),
        vec![rule_group(vec![alerting(1, "1m", "0s"), alerting(2, "0s", "0s")])],
        at_once(),
    );
    let lines = |w: &World| -> Vec<String> {
        let history = w.engine.history(labels("A").fingerprint());
        let after = |word: &str| !matches!(word, "forgotten" | "resolved");
        history.iter().map(|entry| entry.reason.word()).filter(|word| after(word)).map(str::to_owned).collect()
    };
    w.find(1, &["A"]);
    w.at("1m");
    // From here on the last answer counts, and it lets the alert fire.
    w.stand_in = Some(format!("the plugin failed: {}", "x".repeat(2_000)));
    w.at("3m");
    assert_eq!(
        lines(&w),
        ["pending", "condition_stood_in", "firing", "first_notification", "stood_in", "delivered"],
        "{:?}",
        w.engine.history(labels("A").fingerprint())
    );
    let history = w.engine.history(labels("A").fingerprint());
    let stood_in = history.iter().find(|entry| entry.reason.word() == "stood_in").unwrap();
    assert_eq!(stood_in.notification, Some(w.deliveries[0].id));
    let said = stood_in.reason.to_string();
    assert!(said.starts_with("the plugin failed: xxx") && said.len() < 600, "{said}");
    // The rule says so as long as it is so, and those who watch hear of it once.
    let complaint = |w: &World| w.engine.rule_state(RuleId(1)).unwrap().complaint();
    assert_eq!(complaint(&w).as_deref(), Some(&*said));
    let of_rule = |change: &&Arc<Change>| {
        matches!(change.subject, Subject::Rule(RuleId(1))) && change.reason.word() == "condition_stood_in"
    };
    assert_eq!(w.changes.iter().filter(of_rule).count(), 1);
    w.stand_in = None;
    w.at("5m");
    assert_eq!(complaint(&w), None);
    // Said once, however much one evaluation changes.
    w.stand_in = Some("the plugin failed".to_owned());
    w.finds.clear();
    w.at("2h");
    w.find(2, &["B"]);
    w.at("2h2m");
    let history = w.engine.history(labels("B").fingerprint());
    let words: Vec<&str> = history.iter().map(|entry| entry.reason.word()).collect();
    assert_eq!(words[..3], ["condition_stood_in", "pending", "firing"]);
    // Where nothing arrived, nothing stood in.
    let before = lines(&w).len();
    w.answers.insert("ops".to_owned(), Some(DeliveryOutcome::Rejected { reason: "400".to_owned() }));
    w.find(1, &["A"]);
    w.at("2h10m");
    let since = lines(&w).split_off(before);
    assert!(since.contains(&"rejected".to_owned()) && !since.contains(&"stood_in".to_owned()), "{since:?}");
}

#[test]
fn a_router_that_failed_is_told_of_with_the_way_that_was_taken() {
    let mut dispatch = at_once();
    dispatch.route.router = Some(PluginUse { plugin: "router".to_owned(), config_json: "{}".to_owned() });
    let mut w = World::new(dispatch);
    w.router = Some(|_| Err(PluginError::Trap("unreachable".to_owned())));
    w.fire(&["A"]);
    let history = w.engine.history(labels("A").fingerprint());
    let words: Vec<&str> = history.iter().map(|entry| entry.reason.word()).collect();
    assert_eq!(words, ["received", "router_failed", "first_notification", "delivered"]);
    assert_eq!(
        history[1].reason.to_string(),
        "the router plugin failed, the route's own receiver is told: the plugin trapped: unreachable"
    );
}
