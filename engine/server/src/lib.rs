//! The HTTP surface over the library: what comes in, Prometheus' and Alertmanager's APIs, the pages.
//!
//! It decides nothing: every answer is a look at the engine, every command an input to it. Wire shapes live here and in
//! `ingest`; the binary and embedding programs mount [`router`] where they like.

mod admin;
mod alertmanager;
mod auth;
mod body;
mod bounds;
mod prometheus;
mod receive;
mod ui;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use watchfire::{PushError, Watchfire};
use watchfire_model::Timestamp;

pub use auth::Credentials;
pub use ui::{SCRIPT, STYLE, ago};

/// How the surface behaves.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who may come in; empty lets everybody in.
    pub credentials: Credentials,
    /// Bounds of what is taken.
    pub limits: Limits,
    /// Further pages for the bar at the top: path and title.
    pub more_pages: Vec<(String, String)>,
}

/// Bounds of what is taken.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest body in bytes.
    pub body_bytes: usize,
    /// Bounds of what a body may hold.
    pub ingest: watchfire_ingest::Limits,
    /// Requests at one time; one more is answered with 429.
    pub requests_max: usize,
    /// How long a request may take before it is answered with 503.
    pub request_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 32 << 20,
            ingest: watchfire_ingest::Limits::STANDARD,
            requests_max: 1_000,
            request_timeout: Duration::from_secs(60),
        }
    }
}

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct App {
    engine: Watchfire,
    limits: Arc<Limits>,
    more_pages: Arc<Vec<(String, String)>>,
    started_at: Timestamp,
}

/// All routes over a running engine.
pub fn router(engine: Watchfire, settings: Settings) -> Router {
    let started_at = engine.now();
    let app = App { engine, limits: Arc::new(settings.limits), more_pages: Arc::new(settings.more_pages), started_at };
    let credentials = Arc::new(settings.credentials);
    let bounds = Arc::new(bounds::Bounds::new(app.limits.requests_max, app.limits.request_timeout));
    Router::new()
        .route("/-/healthy", get(admin::healthy))
        .route("/-/ready", get(admin::ready))
        .route("/-/reload", post(admin::reload).put(admin::reload))
        .route("/metrics", get(admin::metrics))
        .route("/api/watchfire/v1/stream", get(admin::stream))
        .route("/api/v1/write", post(receive::write))
        .route("/api/v1/import/prometheus", post(receive::import))
        .route("/api/v1/events", post(receive::events))
        .route("/api/v1/query", get(prometheus::query).post(prometheus::query))
        .route("/api/v1/query_range", get(prometheus::query_range).post(prometheus::query_range))
        .route("/api/v1/series", get(prometheus::series).post(prometheus::series))
        .route("/api/v1/labels", get(prometheus::labels).post(prometheus::labels))
        .route("/api/v1/label/{name}/values", get(prometheus::label_values))
        .route("/api/v1/rules", get(prometheus::rules))
        .route("/api/v1/alerts", get(prometheus::alerts))
        .route("/api/v1/metadata", get(prometheus::metadata))
        .route("/api/v1/status/buildinfo", get(prometheus::build_info))
        .route("/api/v2/status", get(alertmanager::status))
        .route("/api/v2/receivers", get(alertmanager::receivers))
        .route("/api/v2/alerts", get(alertmanager::alerts).post(alertmanager::post_alerts))
        .route("/api/v2/alerts/groups", get(alertmanager::alert_groups))
        .route("/api/v2/silences", get(alertmanager::silences).post(alertmanager::post_silence))
        .route("/api/v2/silence/{id}", delete(alertmanager::delete_silence).get(alertmanager::silence))
        .route("/", get(ui::alerts))
        .route("/rules", get(ui::rules))
        .route("/silences", get(ui::silences).post(ui::post_silence))
        .route("/silences/{id}/end", post(ui::end_silence))
        .route("/notifications", get(ui::notifications))
        .route("/assets/watchfire.css", get(ui::style))
        .route("/assets/watchfire.js", get(ui::script))
        .with_state(app)
        .layer(middleware::from_fn_with_state(bounds, bounds::hold))
        .layer(middleware::from_fn(auth::refuse_other_sites))
        .layer(middleware::from_fn_with_state(credentials, auth::check))
}

/// The answer to something that the engine did not take.
pub(crate) fn push_refused(error: PushError) -> Response {
    let text = format!("{error}\n");
    match error {
        PushError::Overloaded { retry_after } => {
            let seconds = retry_after.as_secs().max(1).to_string();
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)], text).into_response()
        }
        PushError::Closed | PushError::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
    }
}
