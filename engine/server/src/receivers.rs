//! Receivers seen by people: what they would get, whether they can be reached, what was sent to them.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use watchfire::DeliveryRecord;
use watchfire::alerting::DeliveryOutcome;
use watchfire::delivery::Request;
use watchfire_model::Alert;

use crate::{App, body};

/// How many attempts an answer lists unless it is asked for another number.
const LISTED: usize = 50;

/// Why an attempt cannot be made once more.
pub(crate) const FORGOTTEN: &str = "that delivery is not remembered any more, or not with all its alerts";

#[derive(Deserialize)]
struct Wanted<'a> {
    receiver: String,
    /// Alerts as `POST /api/v2/alerts` takes them; without any, a test alert.
    #[serde(borrow)]
    alerts: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct Listed {
    receiver: Option<String>,
    limit: Option<usize>,
}

/// `POST /api/watchfire/v1/receivers/preview`: the requests that the receiver would be sent, without secrets.
pub(crate) async fn preview(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let (receiver, alerts) = wanted(&app, &headers, body).await?;
    let integrations = app.engine.preview(&receiver, &alerts).await;
    let integrations = integrations.into_iter().map(|made| match made {
        Ok(requests) => json!({"requests": requests.iter().map(request).collect::<Vec<_>>()}),
        Err(error) => json!({"error": error.to_string()}),
    });
    Ok(Json(json!({"receiver": receiver, "integrations": integrations.collect::<Vec<_>>()})).into_response())
}

/// `POST /api/watchfire/v1/receivers/test`: sends a test alert, or the given ones, and says how it went.
pub(crate) async fn test(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let (receiver, alerts) = wanted(&app, &headers, body).await?;
    let records = app.engine.test_receiver(&receiver, &alerts).await;
    let records: Vec<Value> = records.iter().map(|one| record(one)).collect();
    Ok(Json(json!({"receiver": receiver, "deliveries": records})).into_response())
}

/// `GET /api/watchfire/v1/deliveries`: the last attempts with what was sent and answered, newest first.
pub(crate) async fn deliveries(State(app): State<App>, listed: Result<Query<Listed>, QueryRejection>) -> Response {
    let listed = match listed {
        Ok(Query(listed)) => listed,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let all = app.engine.deliveries();
    let wanted = |one: &&std::sync::Arc<DeliveryRecord>| {
        listed.receiver.as_ref().is_none_or(|receiver| **receiver == *one.delivery.receiver)
    };
    let shown: Vec<Value> =
        all.iter().filter(wanted).take(listed.limit.unwrap_or(LISTED)).map(|one| record(one)).collect();
    Json(json!({"deliveries": shown})).into_response()
}

/// `POST /api/watchfire/v1/deliveries/{number}/redeliver`: sends it once more.
pub(crate) async fn redeliver(State(app): State<App>, Path(number): Path<String>) -> Response {
    // What is no number is that of no delivery.
    let Ok(number) = number.parse() else { return refused(StatusCode::NOT_FOUND, FORGOTTEN) };
    match app.engine.redeliver(number).await {
        Some(again) => Json(record(&again)).into_response(),
        None => refused(StatusCode::NOT_FOUND, FORGOTTEN),
    }
}

/// An error as JSON.
pub(crate) fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}

async fn wanted(app: &App, headers: &HeaderMap, body: Body) -> Result<(String, Vec<Alert>), Response> {
    let bytes = body::read(headers, body, app.body_bytes_max()).await.map_err(IntoResponse::into_response)?;
    let wanted: Wanted<'_> = serde_json::from_slice(&bytes)
        .map_err(|error| refused(StatusCode::BAD_REQUEST, &format!("the body cannot be read: {error}")))?;
    let definitions = app.engine.definitions();
    if !definitions.config.dispatch.receivers.iter().any(|known| *known.name == *wanted.receiver) {
        return Err(refused(StatusCode::NOT_FOUND, &format!("there is no receiver {:?}", wanted.receiver)));
    }
    let Some(alerts) = wanted.alerts else { return Ok((wanted.receiver, Vec::new())) };
    let (text, now) = (alerts.get().as_bytes(), app.engine.now());
    let timeout = definitions.config.dispatch.resolve_timeout;
    let decoded = watchfire_ingest::alerts::decode(text, now, timeout, &app.ingest_limits());
    let decoded = decoded.map_err(|error| refused(StatusCode::BAD_REQUEST, &error.message))?;
    match decoded.error_answer() {
        Some(error) => Err(refused(StatusCode::BAD_REQUEST, &error.message)),
        None => Ok((wanted.receiver, decoded.alerts)),
    }
}

fn request(request: &Request) -> Value {
    json!({
        "method": request.method.as_str(),
        "url": request.url,
        "headers": request.headers,
        "body": String::from_utf8_lossy(&request.body),
        "notes": request.notes,
    })
}

pub(crate) fn record(record: &DeliveryRecord) -> Value {
    let (outcome, said) = match &record.attempt.outcome {
        DeliveryOutcome::Delivered { receipt } => ("delivered", receipt),
        DeliveryOutcome::Retry { reason, .. } | DeliveryOutcome::Partly { reason, .. } => ("retry", reason),
        DeliveryOutcome::Rejected { reason } | DeliveryOutcome::RejectedInPart { reason, .. } => ("rejected", reason),
    };
    let exchanges = record.attempt.exchanges.iter().map(|exchange| {
        let answer = exchange.answer.as_ref().map(|answer| json!({"status": answer.status, "body": answer.body}));
        json!({"request": request(&exchange.request), "answer": answer})
    });
    let delivery = &record.delivery;
    json!({
        "number": record.number,
        "at": record.at.to_rfc3339(),
        "receiver": &*delivery.receiver,
        "integration": delivery.integration.to_string(),
        "notification": delivery.id.to_string(),
        "attempt": delivery.attempt,
        "group": delivery.group_key.as_str(),
        "reason": delivery.reason.as_str(),
        "alerts": record.alerts,
        "outcome": outcome,
        "said": said,
        "notes": record.attempt.notes,
        "exchanges": exchanges.collect::<Vec<_>>(),
    })
}
