//! Prometheus' HTTP API: queries, series, labels, rules, alerts; the shapes that its clients and Grafana expect.
//!
//! Parameters, texts of errors and status codes are those of Prometheus' `web/api/v1/api.go`.

mod number;
mod parameters;
mod query;
mod rules;
mod series;
mod status;
mod targets;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use serde_json::{Value, json};
use watchfire::QueryFailure;
use watchfire::promql::QueryError;
use watchfire_model::Labels;

use crate::App;

/// What Prometheus says when a client is gone, which has no name in HTTP.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The routes below `/api/v1` that read.
pub(crate) fn router() -> Router<App> {
    let both = MethodFilter::GET.or(MethodFilter::POST);
    Router::new()
        .route("/query", on(both, query::instant))
        .route("/query_range", on(both, query::range))
        .route("/query_exemplars", on(both, query::exemplars))
        .route("/format_query", on(both, query::format))
        .route("/series", on(both, series::series))
        .route("/labels", on(both, series::labels))
        .route("/label/{name}/values", get(series::label_values))
        .route("/metadata", get(series::metadata))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/targets", get(targets::targets))
        .route("/targets/metadata", get(targets::metadata))
        .route("/scrape_pools", get(targets::scrape_pools))
        .route("/alertmanagers", get(targets::alertmanagers))
        .route("/notifications", get(targets::notifications))
        .route("/status/walreplay", get(targets::wal_replay))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/runtimeinfo", get(status::runtime_info))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/tsdb", get(status::tsdb))
}

/// An error in Prometheus' shape.
pub(crate) struct Failed {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let body = json!({ "status": "error", "errorType": self.kind, "error": self.message });
        (self.status, Json(body)).into_response()
    }
}

fn bad_data(message: impl ToString) -> Failed {
    Failed { status: StatusCode::BAD_REQUEST, kind: "bad_data", message: message.to_string() }
}

fn invalid(parameter: &str, why: impl std::fmt::Display) -> Failed {
    bad_data(format!("invalid parameter {parameter:?}: {why}"))
}

fn unavailable() -> Failed {
    let message = "the engine is stopping".to_owned();
    Failed { status: StatusCode::SERVICE_UNAVAILABLE, kind: "unavailable", message }
}

impl From<QueryFailure> for Failed {
    fn from(failure: QueryFailure) -> Failed {
        let (status, kind) = match &failure {
            QueryFailure::Parse(_) | QueryFailure::NoRange(_) => return bad_data(failure),
            QueryFailure::Closed => return unavailable(),
            QueryFailure::NoPlace | QueryFailure::Execution(QueryError::TimedOut) => {
                (StatusCode::SERVICE_UNAVAILABLE, "timeout")
            }
            QueryFailure::Execution(QueryError::Canceled) => {
                (StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST), "canceled")
            }
            QueryFailure::Execution(_) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
        };
        Failed { status, kind, message: failure.to_string() }
    }
}

fn success(data: Value) -> Response {
    success_with(data, &[], &[])
}

/// Data, and what is to be said about them.
fn success_with(data: Value, warnings: &[String], infos: &[String]) -> Response {
    let mut body = json!({ "status": "success", "data": data });
    for (name, texts) in [("warnings", warnings), ("infos", infos)] {
        if !texts.is_empty() {
            body[name] = json!(texts);
        }
    }
    Json(body).into_response()
}

/// The first so many of a list, and a warning if these are not all.
fn first<T>(mut list: Vec<T>, limit: usize) -> (Vec<T>, Vec<String>) {
    let more = limit > 0 && list.len() > limit;
    if more {
        list.truncate(limit);
    }
    (list, if more { vec!["results truncated due to limit".to_owned()] } else { Vec::new() })
}

fn labels_json(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|l| (l.name.to_owned(), Value::String(l.value.to_owned()))).collect())
}
