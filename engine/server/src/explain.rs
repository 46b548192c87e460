//! `GET /api/watchfire/v1/explain`: why an alert was told, or why not (contract C4).

mod verdict;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use watchfire_alerting::{
    AlertView, Engine, HistoryEntry, Instance, Reason, RuleView, Silence, SilenceId, SilenceState, SuppressReason,
};
use watchfire_model::{ALERT_NAME_LABEL, Fingerprint, Labels, Timestamp};

use crate::App;
use crate::alertmanager::pairs;
pub(crate) use verdict::muted;
use verdict::{Asked, said};

/// Alerts with the same name that are offered where the wanted one is not there.
const SIMILAR_MAX: usize = 5;

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
    let standings = engine.standings(now, fingerprint);
    let targets = || standings.iter().flat_map(|standing| &standing.targets);
    let told = targets().filter(|target| target.entry.firing.contains(fingerprint));
    let waiting = targets().filter_map(|target| target.pending.as_ref());
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
            let undecided =
                evaluated.iter().find_map(|(rule, instance)| instance.and_then(|_| verdict::undecided(rule)));
            let asked = Asked { view, standings: &standings, history: &history, now };
            verdict::of_alert(&asked, held_back(engine, view, now), undecided)
        }
        None => {
            let last = history.last().and_then(|entry| to(engine, entry));
            verdict::of_past(&history, last, name, &evaluated, &similar)
        }
    };
    Some(json!({
        "verdict": verdict,
        "labels": labels_json(&labels),
        "fingerprint": fingerprint.to_string(),
        "rules": evaluated.iter().map(|(rule, instance)| rule_json(rule, *instance)).collect::<Vec<_>>(),
        "alert": view.as_ref().map(alert_json),
        "silences": silences.iter().map(|silence| silence_json(silence, now)).collect::<Vec<_>>(),
        "routes": routes,
        "groups": standings.iter().map(|group| json!({
            "receiver": group.receiver.as_ref(),
            "labels": labels_json(&group.labels),
            "since": group.created_at.to_rfc3339(),
            "nextFlush": group.next_flush.to_rfc3339(),
            "notToldBecause": group.suppressed.as_ref().map(said),
        })).collect::<Vec<_>>(),
        "told": told.map(|row| json!({
            "receiver": row.target.receiver.as_ref(),
            "integration": row.target.integration.to_string(),
            "at": row.entry.notified_at.map(Timestamp::to_rfc3339),
            "receipt": row.entry.receipt.as_ref(),
        })).collect::<Vec<_>>(),
        "waiting": waiting.map(|row| json!({
            "receiver": row.target.receiver.as_ref(),
            "integration": row.target.integration.to_string(),
            "reason": row.reason.as_str(),
            "since": row.created_at.to_rfc3339(),
            "attempt": row.attempt,
            "nextAttempt": row.next_attempt.to_rfc3339(),
            "error": row.error.as_ref(),
        })).collect::<Vec<_>>(),
        "similar": similar.iter().map(labels_json).collect::<Vec<_>>(),
        "history": history.iter().map(|entry| history_json(engine, entry)).collect::<Vec<_>>(),
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

/// What keeps an alert quiet wherever it is routed, by its id and in people's words.
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
    let snooze = view.acknowledgement.as_ref().filter(|acknowledgement| acknowledgement.snooze);
    reasons.extend(snooze.map(|snooze| {
        let until = snooze.until.unwrap_or(Timestamp::MAX);
        said(&SuppressReason::Snoozed { by: snooze.by.as_str().into(), until })
    }));
    reasons
}

/// Whom a line of a history is about: a receiver, and which of its integrations where it has several and the line is not
/// about all of them.
pub(crate) fn to(engine: &Engine, entry: &HistoryEntry) -> Option<String> {
    let target = entry.target.as_ref()?;
    let is_only = match engine.integrations(&target.receiver) {
        [own] => own.key == target.integration,
        _ => false,
    };
    // A look at a group decides for all whom it tells, and is written down with the first of them.
    let of_group = matches!(
        &entry.reason,
        Reason::Suppress(
            SuppressReason::Silenced(_)
                | SuppressReason::Inhibited { .. }
                | SuppressReason::Muted(_)
                | SuppressReason::OutsideActiveIntervals
                | SuppressReason::Snoozed { .. }
                | SuppressReason::RateLimited { .. }
                | SuppressReason::Flapping { .. }
                | SuppressReason::NoIntegration(_)
        )
    );
    Some(verdict::name(target, !is_only && !of_group))
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

fn history_json(engine: &Engine, entry: &HistoryEntry) -> Value {
    json!({
        "at": entry.at.to_rfc3339(),
        "what": entry.reason.word(),
        "why": entry.reason.to_string(),
        "to": to(engine, entry),
        "receiver": entry.target.as_ref().map(|target| target.receiver.as_ref()),
        "integration": entry.target.as_ref().map(|target| target.integration.to_string()),
        "notification": entry.notification.map(|id| id.to_string()),
    })
}
