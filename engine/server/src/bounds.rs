//! How much may go on at once, and for how long (contract C7).

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use watchfire::Bound;

use crate::App;

/// Lets a request through while there is a place, and for as long as it may take. What supervisors ask is always
/// answered; pages that stay open for changes and what services sign have places of their own; queries end themselves, with an answer in the
/// shape that their clients know.
pub(crate) async fn hold(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/-/") || path == "/metrics" || path == crate::STREAM {
        return next.run(request).await;
    }
    let is_query = matches!(path, "/api/v1/query" | "/api/v1/query_range");
    let bound = if crate::inbound::SIGNED.contains(&path) { Bound::Webhooks } else { Bound::Requests };
    let Some(_place) = app.engine.enter(bound) else {
        return full("too many requests are under way; try again in a moment\n");
    };
    if is_query {
        return next.run(request).await;
    }
    let timeout = app.limits().request_timeout.to_std();
    let Ok(response) = tokio::time::timeout(timeout, next.run(request)).await else {
        let text = format!("the request took longer than {} s\n", timeout.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        app.engine.count_too_large();
    }
    response
}

/// The answer to whoever finds no place.
pub(crate) fn full(text: &'static str) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], text).into_response()
}
