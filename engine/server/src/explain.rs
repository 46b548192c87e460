//! `GET /api/watchfire/v1/explain`: why an alert was told, or why not (contract C4).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use watchfire_alerting::{
    Acknowledgement, AlertView, DeliveryReason, Engine, HistoryEntry, Instance, InstanceState, OutboxView, Reason,
    RuleHealth, RuleView, Silence, SilenceId, SilenceState, SuppressReason,
};
use watchfire_model::{ALERT_NAME_LABEL, AlertStatus, Fingerprint, Labels, Timestamp};

use crate::App;
use crate::alertmanager::pairs;

/// Alerts with the same name that are offered where the wanted one is not there.
const SIMILAR_MAX: usize = 5;

/// The words of history that say what became of an alert with a receiver.
const OUTCOMES: [&str; 9] = [
    "delivered",
    "retry",
    "rejected",
    "given_up",
    "no_integration",
    "attempt_started",
    "rate_limited",
    "snooze",
    "flaps",
];

/// What is asked about.
enum Wanted {
    Fingerprint(Fingerprint),
    Labels(Labels),
}

impl Wanted {
    /// `fingerprint=` or any number of `label=name=value`.
    fn read(query: &str) -> Result<Wanted, String> {
        let mut labels: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs(query) {
            match name.as_str() {
                "fingerprint" => {
                    let fingerprint = Fingerprint::parse(&value);
                    let wrong = || format!("{value:?} is no fingerprint; it has 16 hexadecimal digits");
                    return fingerprint.map(Wanted::Fingerprint).ok_or_else(wrong);
                }
                "label" => {
                    let wrong = || format!("label={value}: write it as label=NAME=VALUE");
                    let (name, value) = value.split_once('=').ok_or_else(wrong)?;
                    labels.push((name.to_owned(), value.to_owned()));
                }
                other => return Err(format!("there is no parameter {other:?}; give fingerprint or label")),
            }
        }
        if labels.is_empty() {
            return Err("say which alert: fingerprint=... or label=NAME=VALUE, as often as it has labels".to_owned());
        }
        Ok(Wanted::Labels(Labels::from_pairs(labels)))
    }
}

/// `GET /api/watchfire/v1/explain`
pub(crate) async fn explain(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let wanted = match Wanted::read(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(error) => return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    };
    let now = app.engine.now();
    match app.engine.view(move |engine| explained(engine, &wanted, now)).await {
        Some(Some(explanation)) => Json(explanation).into_response(),
        Some(None) => {
            let error = "no alert has this fingerprint; ask with its labels to learn why not";
            (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
        }
        None => crate::push_refused(watchfire::PushError::Closed),
    }
}

/// Everything that is known, or `None` if a fingerprint says nothing.
fn explained(engine: &Engine, wanted: &Wanted, now: Timestamp) -> Option<Value> {
    let groups = engine.rule_groups();
    let rules: Vec<&RuleView> = groups.iter().flat_map(|group| &group.rules).collect();
    let instances = || rules.iter().flat_map(|rule| rule.instances.iter().map(|instance| (*rule, instance)));
    let labels = match wanted {
        Wanted::Labels(labels) => only_one(engine, &rules, labels, now).unwrap_or_else(|| labels.clone()),
        Wanted::Fingerprint(fingerprint) => {
            let of_rule = instances().map(|(_, instance)| &instance.labels).find(|l| l.fingerprint() == *fingerprint);
            let labels = engine.alert(now, *fingerprint).map(|view| view.alert.labels).or_else(|| of_rule.cloned());
            match labels {
                Some(labels) => labels,
                // Of an alert that is over nothing is left but its history, which is what is asked for.
                None if !engine.history(*fingerprint).is_empty() => Labels::default(),
                None => return None,
            }
        }
    };
    let fingerprint = match wanted {
        Wanted::Fingerprint(fingerprint) => *fingerprint,
        Wanted::Labels(_) => labels.fingerprint(),
    };
    let view = engine.alert(now, fingerprint);
    let name = labels.value_or_empty(ALERT_NAME_LABEL);
    let evaluated: Vec<(&RuleView, Option<&Instance>)> = rules
        .iter()
        .map(|rule| (*rule, rule.instances.iter().find(|instance| instance.labels == labels)))
        .filter(|(rule, instance)| instance.is_some() || *rule.name == *name)
        .collect();
    let history = engine.history(fingerprint);
    let are_known = !labels.is_empty();
    let silences = if are_known { silences(engine, &labels, now) } else { Vec::new() };
    let told: Vec<_> =
        engine.notification_log().into_iter().filter(|row| row.entry.firing.contains(fingerprint)).collect();
    let alert_groups = engine.alert_groups(now);
    let in_groups: Vec<_> = alert_groups
        .iter()
        .filter_map(|group| Some((group, group.alerts.iter().find(|member| member.fingerprint == fingerprint)?)))
        .collect();
    let keys: BTreeSet<_> = in_groups.iter().map(|(group, _)| &group.key).collect();
    let waiting: Vec<_> = engine.outbox().into_iter().filter(|row| keys.contains(&row.target.group)).collect();
    let routes: Vec<Value> = engine.definitions().filter(|_| are_known).map_or_else(Vec::new, |definitions| {
        let matched = definitions.dispatch.route.match_labels(&labels);
        matched
            .iter()
            .map(|route| {
                json!({
                    "receiver": route.receiver.as_ref(),
                    "matchers": route.matchers.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "groupLabels": labels_json(&route.group_by.group_labels(&labels)),
                    "groupWait": route.group_wait.to_string(),
                    "groupInterval": route.group_interval.to_string(),
                    "repeatInterval": route.repeat_interval.to_string(),
                })
            })
            .collect()
    });
    let similar: Vec<Labels> =
        if !are_known || view.is_some() || evaluated.iter().any(|(_, instance)| instance.is_some()) {
            Vec::new()
        } else {
            let mut similar = known(engine, &rules, now);
            similar.retain(|other| other.value_or_empty(ALERT_NAME_LABEL) == name);
            // Those that were asked for by some of their labels come first.
            similar.sort_by_key(|other| !labels.iter().all(|label| other.get(label.name) == Some(label.value)));
            similar.truncate(SIMILAR_MAX);
            similar
        };
    let verdict = match &view {
        Some(view) => {
            let next_flush = in_groups.iter().map(|(group, _)| group.next_flush).min();
            let in_group = in_groups.iter().filter_map(|(_, member)| member.suppressed.as_ref());
            of_alert(
                view,
                held_back(engine, view, now),
                in_group.collect(),
                &history,
                waiting.iter().find(|row| !row.error.is_empty()),
                next_flush,
                evaluated.iter().find_map(|(rule, instance)| instance.and_then(|_| undecided(rule))),
            )
        }
        None => of_past(&history, name, &evaluated, &similar),
    };
    Some(json!({
        "verdict": verdict,
        "labels": labels_json(&labels),
        "fingerprint": fingerprint.to_string(),
        "rules": evaluated.iter().map(|(rule, instance)| rule_json(rule, *instance)).collect::<Vec<_>>(),
        "alert": view.as_ref().map(alert_json),
        "silences": silences.iter().map(|silence| silence_json(silence, now)).collect::<Vec<_>>(),
        "routes": routes,
        "groups": in_groups.iter().map(|(group, member)| json!({
            "receiver": group.receiver.as_ref(),
            "labels": labels_json(&group.labels),
            "since": group.created_at.to_rfc3339(),
            "nextFlush": group.next_flush.to_rfc3339(),
            "notToldBecause": member.suppressed.as_ref().map(said),
        })).collect::<Vec<_>>(),
        "told": told.iter().map(|row| json!({
            "receiver": row.target.receiver.as_ref(),
            "integration": row.target.integration.to_string(),
            "at": row.entry.notified_at.map(Timestamp::to_rfc3339),
            "receipt": row.entry.receipt.as_ref(),
        })).collect::<Vec<_>>(),
        "waiting": waiting.iter().map(|row| json!({
            "receiver": row.target.receiver.as_ref(),
            "integration": row.target.integration.to_string(),
            "reason": row.reason.as_str(),
            "since": row.created_at.to_rfc3339(),
            "attempt": row.attempt,
            "nextAttempt": row.next_attempt.to_rfc3339(),
            "error": row.error.as_ref(),
        })).collect::<Vec<_>>(),
        "similar": similar.iter().map(labels_json).collect::<Vec<_>>(),
        "history": history.iter().map(|entry| history_json(entry)).collect::<Vec<_>>(),
    }))
}

/// The labels of everything that is an alert or may become one.
fn known(engine: &Engine, rules: &[&RuleView], now: Timestamp) -> Vec<Labels> {
    let instances = rules.iter().flat_map(|rule| &rule.instances).map(|instance| instance.labels.clone());
    let mut all: Vec<Labels> = engine.alerts(now).into_iter().map(|view| view.alert.labels).chain(instances).collect();
    all.sort();
    all.dedup();
    all
}

/// The labels of the alert that is meant where only some of them are said and no other alert has those.
fn only_one(engine: &Engine, rules: &[&RuleView], some: &Labels, now: Timestamp) -> Option<Labels> {
    let exact = |rule: &&RuleView| rule.instances.iter().any(|instance| instance.labels == *some);
    if engine.alert(now, some.fingerprint()).is_some() || rules.iter().any(exact) {
        return None;
    }
    let has_them = |labels: &Labels| some.iter().all(|label| labels.get(label.name) == Some(label.value));
    let mut meant = known(engine, rules, now).into_iter().filter(has_them);
    meant.next().filter(|_| meant.next().is_none())
}

/// The silences that match, now or soon.
fn silences<'e>(engine: &'e Engine, labels: &Labels, now: Timestamp) -> Vec<&'e Silence> {
    let matches = |silence: &&Silence| {
        silence.matcher_sets.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)))
    };
    let lives = |silence: &&Silence| silence.state(now) != SilenceState::Expired;
    engine.silences().into_iter().filter(lives).filter(matches).collect()
}

/// What keeps an alert quiet, by its id and in people's words.
fn held_back(engine: &Engine, view: &AlertView, now: Timestamp) -> Vec<String> {
    let comment = |id: &SilenceId| {
        let silence = engine.silences().into_iter().find(|silence| silence.id == *id);
        silence.map_or_else(String::new, |silence| format!(" ({}, {})", silence.comment, silence.created_by))
    };
    let name = |source: Fingerprint| {
        let source = engine.alert(now, source);
        source.map_or_else(String::new, |source| format!(" ({})", source.alert.name()))
    };
    let mut reasons: Vec<String> =
        view.silenced_by.iter().map(|id| format!("silenced by {id}{}", comment(id))).collect();
    let inhibited = view.inhibited_by.iter().map(|it| format!("inhibited by the alert {it}{}", name(*it)));
    reasons.extend(inhibited);
    reasons.extend(view.muted_by.iter().map(|interval| format!("muted by the interval {interval}")));
    reasons.extend(view.router_suppressed.iter().map(|why| format!("held back by the router: {why}")));
    reasons
}

fn said(reason: &SuppressReason) -> String {
    Reason::from(reason.clone()).to_string()
}

/// One sentence about an alert in dispatch.
fn of_alert(
    view: &AlertView,
    held_back: Vec<String>,
    in_groups: Vec<&SuppressReason>,
    history: &[Arc<HistoryEntry>],
    failing: Option<&OutboxView>,
    next_flush: Option<Timestamp>,
    undecided: Option<String>,
) -> String {
    let sentence = of_telling(view, held_back, in_groups, history, failing, next_flush);
    undecided.into_iter().fold(sentence, |sentence, why| format!("{sentence}; {why}"))
}

/// What is said of a rule whose last evaluation did not come to an answer of its own.
fn undecided(rule: &RuleView) -> Option<String> {
    let at = rule.last_evaluation.map_or_else(String::new, |at| format!(" at {}", at.to_rfc3339()));
    match &rule.health {
        RuleHealth::Error(error) => {
            Some(format!("the evaluation of its rule failed{at}, which leaves the alert as it was: {error}"))
        }
        RuleHealth::Ok | RuleHealth::Unknown => rule.stand_in.as_ref().map(|why| format!("its rule{at}: {why}")),
    }
}

/// One sentence about whether an alert is told.
fn of_telling(
    view: &AlertView,
    mut held_back: Vec<String>,
    in_groups: Vec<&SuppressReason>,
    history: &[Arc<HistoryEntry>],
    failing: Option<&OutboxView>,
    next_flush: Option<Timestamp>,
) -> String {
    if view.status == AlertStatus::Resolved {
        let ended = view.alert.ends_at.map_or_else(String::new, |at| format!(" at {}", at.to_rfc3339()));
        let flaps = in_groups.into_iter().find(|reason| matches!(reason, SuppressReason::Flapping { .. }));
        let untold = flaps.map_or_else(String::new, |reason| format!(", which is not told: {}", said(reason)));
        return format!("it has ended{ended}{untold}");
    }
    let snoozed = in_groups.into_iter().find(|reason| matches!(reason, SuppressReason::Snoozed { .. }));
    held_back.extend(snoozed.map(said));
    if !held_back.is_empty() {
        return format!("it fires and is not told: {}", held_back.join(", "));
    }
    let last = |words: &[&str]| history.iter().rev().find(|entry| words.contains(&entry.reason.word()));
    if let Some(OutboxView { target, attempt, next_attempt, error, .. }) = failing {
        let next = next_attempt.to_rfc3339();
        return format!(
            "it fires; {}: attempt {attempt} is next, at {next}, because the one before failed: {error}",
            target.receiver
        );
    }
    match last(&OUTCOMES) {
        Some(entry) => {
            let receiver = entry.target.as_ref().map_or_else(String::new, |target| format!("{}: ", target.receiver));
            let instead = stood_in(history, entry);
            let told = format!("it fires; {receiver}{} ({}){instead}", entry.reason, entry.at.to_rfc3339());
            match &view.acknowledgement {
                Some(Acknowledgement { by, .. }) => format!("{told}; {by} looks after it, so it is not repeated"),
                None => told,
            }
        }
        None => match next_flush {
            Some(at) => format!("it fires and is told when its group is looked at next, at {}", at.to_rfc3339()),
            None => "it fires, and no route has taken it yet".to_owned(),
        },
    }
}

/// One sentence about an alert that is not in dispatch, and perhaps was.
fn of_past(
    history: &[Arc<HistoryEntry>],
    name: &str,
    evaluated: &[(&RuleView, Option<&Instance>)],
    similar: &[Labels],
) -> String {
    let is_over = evaluated.iter().all(|(_, instance)| instance.is_none());
    let Some(last) = history.last().filter(|_| is_over) else { return of_rules(name, evaluated, similar) };
    let why = if evaluated.is_empty() { String::new() } else { format!(": {}", of_rules(name, evaluated, similar)) };
    let receiver = last.target.as_ref().map_or_else(String::new, |target| format!("{}: ", target.receiver));
    let (told, at, instead) = (&last.reason, last.at.to_rfc3339(), stood_in(history, last));
    format!("it is over{why}; its history ends with: {receiver}{told} ({at}){instead}")
}

/// That the built-in message went in place of the receiver's own words, if it did.
fn stood_in(history: &[Arc<HistoryEntry>], delivered: &HistoryEntry) -> String {
    let of_it = history.iter().rev().filter(|entry| entry.notification == delivered.notification);
    let mut reasons = of_it.map(|entry| &entry.reason);
    let why = reasons.find(|reason| matches!(reason, Reason::Delivery(DeliveryReason::StoodIn { .. })));
    why.map_or_else(String::new, |why| format!("; {why}"))
}

/// One sentence about an alert that rules say something about, or nothing.
fn of_rules(name: &str, evaluated: &[(&RuleView, Option<&Instance>)], similar: &[Labels]) -> String {
    if let Some(instance) = evaluated.iter().find_map(|(_, instance)| *instance) {
        return match instance.state {
            InstanceState::Pending => {
                format!(
                    "its condition holds since {}, but not yet for as long as `for` says",
                    instance.active_at.to_rfc3339()
                )
            }
            InstanceState::Firing => "it fires and is about to be told".to_owned(),
            InstanceState::Resolved => "it has ended".to_owned(),
        };
    }
    let Some((rule, _)) = evaluated.first() else {
        if !similar.is_empty() {
            return format!("nobody sent an alert with just these labels; {} of that name are known", similar.len());
        }
        return format!("no rule raises an alert named {name:?}, and nobody sent one with these labels");
    };
    let mut last = rule.last_evaluation.map_or_else(String::new, |at| format!(" at {}", at.to_rfc3339()));
    if let Some(due) = rule.made_up_for {
        last += &format!(", which stood in for {}, when it could not be evaluated", due.to_rfc3339());
    }
    if let (RuleHealth::Ok, Some(why)) = (&rule.health, &rule.stand_in) {
        return format!("its rule has no result with these labels{last}: {why}");
    }
    if let (RuleHealth::Ok, Some(complaint)) = (&rule.health, rule.complaint()) {
        return format!("its rule has no result with these labels, or it was left out{last}: {complaint}");
    }
    match (&rule.health, similar.is_empty()) {
        (RuleHealth::Unknown, _) => "its rule was not evaluated yet".to_owned(),
        (RuleHealth::Error(error), _) => format!("the evaluation of its rule failed{last}: {error}"),
        (RuleHealth::Ok, true) => format!("the expression of its rule had no result{last}"),
        (RuleHealth::Ok, false) => format!("the expression of its rule had results{last}, but none with these labels"),
    }
}

fn labels_json(labels: &Labels) -> Value {
    labels.iter().map(|label| (label.name, label.value)).collect()
}

fn rule_json(rule: &RuleView, instance: Option<&Instance>) -> Value {
    let error = rule.complaint();
    json!({
        "name": rule.name.as_ref(),
        "id": rule.id.to_string(),
        "lastEvaluation": rule.last_evaluation.map(Timestamp::to_rfc3339),
        "madeUpFor": rule.made_up_for.map(Timestamp::to_rfc3339),
        "error": error,
        "instance": instance.map(|instance| json!({
            "state": instance.state.as_str(),
            "value": instance.value.to_string(),
            "activeSince": instance.active_at.to_rfc3339(),
            "firedAt": instance.fired_at.map(Timestamp::to_rfc3339),
            "resolvedAt": instance.resolved_at.map(Timestamp::to_rfc3339),
        })),
    })
}

fn alert_json(view: &AlertView) -> Value {
    json!({
        "status": view.status.as_str(),
        "state": view.state.as_str(),
        "startsAt": view.alert.starts_at.to_rfc3339(),
        "endsAt": view.alert.ends_at.map(Timestamp::to_rfc3339),
        "receivers": view.receivers.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
        "inhibitedBy": view.inhibited_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "mutedBy": view.muted_by.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
    })
}

fn silence_json(silence: &Silence, now: Timestamp) -> Value {
    json!({
        "id": silence.id.as_str(),
        "state": silence.state(now).as_str(),
        "createdBy": silence.created_by,
        "comment": silence.comment,
        "endsAt": silence.ends_at.to_rfc3339(),
    })
}

fn history_json(entry: &HistoryEntry) -> Value {
    json!({
        "at": entry.at.to_rfc3339(),
        "what": entry.reason.word(),
        "why": entry.reason.to_string(),
        "receiver": entry.target.as_ref().map(|target| target.receiver.as_ref()),
        "integration": entry.target.as_ref().map(|target| target.integration.to_string()),
        "notification": entry.notification.map(|id| id.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_is_over_is_explained_by_its_history() {
        let reason = Reason::from(SuppressReason::Muted("night".into()));
        let last = Arc::new(HistoryEntry { at: Timestamp::EPOCH, reason, target: None, notification: None });
        let said = of_past(&[last], "Gone", &[], &[]);
        assert!(said.starts_with("it is over; its history ends with: "), "{said}");
        assert!(said.ends_with("night (1970-01-01T00:00:00.000Z)"), "{said}");
        let unheard = of_past(&[], "Gone", &[], &[]);
        assert!(unheard.starts_with("no rule raises an alert named \"Gone\""), "{unheard}");
    }
}
