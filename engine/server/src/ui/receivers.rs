//! The page of receivers: what each would get, whether it can be reached, and how it went last.

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::response::Response;
use serde::Deserialize;
use watchfire::DeliveryRecord;
use watchfire::alerting::DeliveryOutcome;
use watchfire::delivery::Request;
use watchfire_model::Timestamp;

use super::{Navigation, ago, page};
use crate::App;

#[derive(Template)]
#[template(path = "receivers.html")]
struct ReceiversPage {
    nav: Navigation,
    /// What somebody just asked for.
    asked: Option<Asked>,
    receivers: Vec<ReceiverRow>,
}

struct Asked {
    title: String,
    error: String,
    attempts: Vec<AttemptRow>,
    requests: Vec<RequestRow>,
}

struct ReceiverRow {
    name: String,
    integrations: Vec<String>,
    state: &'static str,
    tone: &'static str,
    last: String,
}

/// One attempt to deliver.
pub(super) struct AttemptRow {
    pub(super) number: u64,
    pub(super) receiver: String,
    pub(super) integration: String,
    /// What it is about: the labels of its group, and how many alerts fire and have ended.
    pub(super) about: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) said: String,
    /// What failed or was left out on the way.
    pub(super) notes: Vec<String>,
    pub(super) when: String,
    pub(super) requests: Vec<RequestRow>,
}

/// One request of it.
pub(super) struct RequestRow {
    pub(super) line: String,
    pub(super) body: String,
    pub(super) answer: String,
}

impl RequestRow {
    fn new(request: &Request, answer: String) -> RequestRow {
        let text = String::from_utf8_lossy(&request.body);
        let body = match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(value) => format!("{value:#}"),
            Err(_) => text.into_owned(),
        };
        RequestRow { line: format!("{} {}", request.method.as_str(), request.url), body, answer }
    }
}

impl AttemptRow {
    pub(super) fn new(record: &DeliveryRecord, now: Timestamp) -> AttemptRow {
        let (state, tone, said) = match &record.attempt.outcome {
            DeliveryOutcome::Delivered { receipt } => ("delivered", "ok", receipt),
            DeliveryOutcome::Retry { reason, .. } | DeliveryOutcome::Partly { reason, .. } => {
                ("to retry", "warning", reason)
            }
            DeliveryOutcome::Rejected { reason } | DeliveryOutcome::RejectedInPart { reason, .. } => {
                ("refused", "critical", reason)
            }
        };
        let requests = record.attempt.exchanges.iter().map(|exchange| {
            let answer = exchange.answer.as_ref();
            RequestRow::new(
                &exchange.request,
                answer.map_or_else(|| "no answer".to_owned(), |answer| format!("{} {}", answer.status, answer.body)),
            )
        });
        let firing = record.delivery.alerts.iter().filter(|alert| alert.ends_at.is_none()).count();
        let counts = [(firing, "firing"), (record.delivery.alerts.len() - firing, "ended")];
        let counted = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        AttemptRow {
            about: std::iter::once(record.delivery.group_labels.to_string())
                .chain(counted)
                .collect::<Vec<_>>()
                .join(", "),
            number: record.number,
            receiver: record.delivery.receiver.to_string(),
            integration: record.delivery.integration.to_string(),
            state,
            tone,
            said: said.to_string(),
            notes: record.attempt.notes.clone(),
            when: format!("{} ago", ago(now, record.at)),
            requests: requests.collect(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Chosen {
    receiver: String,
}

/// `GET /receivers`
pub(crate) async fn receivers(State(app): State<App>) -> Response {
    show(&app, None)
}

/// `GET /receivers/preview?receiver=NAME`
pub(crate) async fn preview(State(app): State<App>, Query(chosen): Query<Chosen>) -> Response {
    let made = app.engine.preview(&chosen.receiver, &[]).await;
    let errors: Vec<String> = made.iter().filter_map(|one| one.as_ref().err().map(ToString::to_string)).collect();
    let requests = made.iter().filter_map(|one| one.as_ref().ok()).flatten();
    let asked = Asked {
        title: format!("What {} would get", chosen.receiver),
        error: if made.is_empty() { NOTHING.to_owned() } else { errors.join("; ") },
        attempts: Vec::new(),
        requests: requests.map(|request| RequestRow::new(request, String::new())).collect(),
    };
    show(&app, Some(asked))
}

/// `POST /receivers/test`
pub(crate) async fn test(State(app): State<App>, Form(chosen): Form<Chosen>) -> Response {
    let records = app.engine.test_receiver(&chosen.receiver, &[]).await;
    let now = app.engine.now();
    let asked = Asked {
        title: format!("A test of {}", chosen.receiver),
        error: if records.is_empty() { NOTHING.to_owned() } else { String::new() },
        attempts: records.iter().map(|record| AttemptRow::new(record, now)).collect(),
        requests: Vec::new(),
    };
    show(&app, Some(asked))
}

/// What is said of a receiver without integrations.
const NOTHING: &str = "It has no integrations, so that nothing is sent.";

fn show(app: &App, asked: Option<Asked>) -> Response {
    let (definitions, attempts, now) = (app.engine.definitions(), app.engine.deliveries(), app.engine.now());
    let row = |receiver: &watchfire::config::Receiver| {
        let last = attempts.iter().find(|one| *one.delivery.receiver == *receiver.name);
        let last = last.map(|one| AttemptRow::new(one, now));
        let (state, tone) = match &last {
            Some(last) => (last.state, last.tone),
            None if receiver.integrations.is_empty() => ("silent", ""),
            None => ("not tried", ""),
        };
        ReceiverRow {
            name: receiver.name.to_string(),
            integrations: receiver.integrations.iter().map(|one| one.channel.kind().to_string()).collect(),
            state,
            tone,
            last: last.map(|last| format!("{}: {}", last.when, last.said)).unwrap_or_default(),
        }
    };
    page(&ReceiversPage {
        nav: Navigation::new(app, "/receivers"),
        asked,
        receivers: definitions.config.receivers.iter().map(row).collect(),
    })
}
