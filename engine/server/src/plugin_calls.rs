//! `/api/watchfire/v1/plugins/{plugin}/calls`: recorded calls of plugins, for `watchfire plugin replay`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use watchfire::Recording;

use crate::App;
use crate::receivers::refused;

/// Calls that may be asked for at once; no more are kept.
const CALLS_MAX: u32 = 8;

/// `GET`: the recorded calls, the oldest first, without what went in.
pub(crate) async fn calls(State(app): State<App>, Path(plugin): Path<String>) -> Response {
    match app.engine.plugin_calls(&plugin) {
        Some(calls) => Json(json!({"calls": calls.iter().map(outline).collect::<Vec<_>>()})).into_response(),
        None => unknown(&app, &plugin),
    }
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    calls: u32,
}

/// `POST ?calls=N`: records the next calls, whatever becomes of them.
pub(crate) async fn record(
    State(app): State<App>,
    Path(plugin): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let wanted = match wanted {
        Ok(Query(wanted)) => wanted,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    if !(1..=CALLS_MAX).contains(&wanted.calls) {
        return refused(StatusCode::BAD_REQUEST, &format!("calls must be from 1 to {CALLS_MAX}"));
    }
    if !app.engine.record_plugin_calls(&plugin, wanted.calls) {
        return unknown(&app, &plugin);
    }
    (StatusCode::ACCEPTED, Json(json!({"calls": wanted.calls}))).into_response()
}

/// `GET .../{number}`: one recorded call with everything that is needed to make it again.
pub(crate) async fn call(State(app): State<App>, Path((plugin, number)): Path<(String, String)>) -> Response {
    let Some(calls) = app.engine.plugin_calls(&plugin) else {
        return unknown(&app, &plugin);
    };
    match calls.iter().find(|call| call.number.to_string() == number) {
        Some(call) => ([(header::CONTENT_TYPE, "application/json")], call.to_json()).into_response(),
        None => refused(StatusCode::NOT_FOUND, "that call is not remembered any more"),
    }
}

fn unknown(app: &App, plugin: &str) -> Response {
    let known: Vec<String> = app.engine.plugins().into_iter().map(|plugin| plugin.status.name).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    refused(StatusCode::NOT_FOUND, &format!("there is no plugin {plugin:?}; in the folder of plugins there is {known}"))
}

fn outline(call: &Recording) -> Value {
    json!({
        "number": call.number,
        "kind": call.input.kind().as_str(),
        "part": call.part,
        "at": call.input.at().to_rfc3339(),
        "digest": call.digest,
        // Absent where the call succeeded.
        "failure": call.answer.as_ref().err().map(|failure| json!({"kind": failure.kind, "message": failure.message})),
        "nanoseconds": call.trace.nanoseconds,
    })
}
