//! How much may go on at once, and for how long (contract C7).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

/// Shared by all requests.
pub(crate) struct Bounds {
    places: Semaphore,
    timeout: Duration,
}

impl Bounds {
    pub(crate) fn new(requests_max: usize, timeout: Duration) -> Bounds {
        Bounds { places: Semaphore::new(requests_max.clamp(1, Semaphore::MAX_PERMITS)), timeout }
    }
}

/// Lets a request through while there is a place, and for as long as it may take. What supervisors ask is always
/// answered, and pages that stay open for changes take no place.
pub(crate) async fn hold(State(bounds): State<Arc<Bounds>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/-/") || path == "/metrics" || path.ends_with("/stream") {
        return next.run(request).await;
    }
    let Ok(_place) = bounds.places.try_acquire() else {
        let text = "too many requests are under way; try again in a moment\n";
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], text).into_response();
    };
    match tokio::time::timeout(bounds.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let text = format!("the request took longer than {} s\n", bounds.timeout.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}
