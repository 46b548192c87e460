//! The HTTP surface over the library: what comes in, Prometheus' and Alertmanager's APIs, the pages.
//!
//! It decides nothing: every answer is a look at the engine, every command an input to it. Wire shapes live here and in
//! `ingest`; the binary and embedding programs serve [`router`], at the root or below `server.route_prefix`.

mod acknowledgement;
mod admin;
mod alertmanager;
mod api;
mod auth;
mod body;
mod bounds;
mod compress;
mod explain;
mod inbound;
mod named;
mod origin;
mod plugin_calls;
mod plugins;
mod prometheus;
mod receive;
mod receivers;
mod routes;
mod send;
mod serve;
mod ui;

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use bytes::Bytes;
use watchfire::config::ServerLimits;
use watchfire::{PushError, Watchfire};
use watchfire_ingest::otlp::Deltas;
use watchfire_model::{MatcherBudget, Timestamp};

pub use serve::{Stopping, answer_while_starting, serve};
pub use ui::{PAGES, SCRIPT, STYLE, ago};

/// The stream of changes.
pub(crate) const STREAM: &str = "/api/watchfire/v1/stream";

/// How the surface behaves. Who may come in and how much is taken, the engine's configuration says, anew at each reload.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Nobody may come in while the configuration names nobody who may. Without this everybody may then, which is only
    /// safe on the loopback interface.
    pub credentials_required: bool,
    /// Further pages for the bar at the top: path and title.
    pub more_pages: Vec<(String, String)>,
}

/// Shorter bodies are read in less than a millisecond.
const READ_AT_ONCE_BYTES: usize = 64 << 10;

/// Series of OTLP deltas whose totals are remembered.
const DELTA_SERIES_MAX: usize = 100_000;

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct App {
    engine: Watchfire,
    settings: Arc<Settings>,
    /// What stands before every path; it does not change while the engine runs.
    prefix: Arc<str>,
    started_at: Timestamp,
    /// What series of OTLP deltas have come to.
    deltas: Arc<tokio::sync::Mutex<Deltas>>,
}

impl App {
    /// The bounds in force.
    fn limits(&self) -> ServerLimits {
        self.engine.definitions().config.server.limits.clone()
    }

    /// Does what takes a while, such as to read or write megabytes, on a thread that serves nobody else meanwhile: those
    /// that answer requests also run the engine. `None` if the engine is stopping.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Reads a body: aside where it is long, and at once where that costs less than to wake another thread. `None` if the
    /// engine is stopping.
    async fn read_body<T: Send + 'static>(
        &self,
        bytes: Bytes,
        read: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Option<T> {
        if bytes.len() < READ_AT_ONCE_BYTES { Some(read(&bytes)) } else { self.aside(move || read(&bytes)).await }
    }

    /// Reads what a request says with matchers, aside, because their patterns take a while; a request that asks for too
    /// much is counted. `None` if the engine is stopping.
    async fn read_matchers<T: Send + 'static>(
        &self,
        mut budget: MatcherBudget,
        read: impl FnOnce(&mut MatcherBudget) -> T + Send + 'static,
    ) -> Option<T> {
        let work = move || {
            let read = read(&mut budget);
            (read, budget.is_exceeded())
        };
        let (read, is_exceeded) = self.aside(work).await?;
        if is_exceeded {
            self.engine.count_matchers_refused();
        }
        Some(read)
    }

    /// The largest body in bytes.
    fn body_bytes_max(&self) -> usize {
        usize::try_from(self.limits().body_bytes_max).unwrap_or(usize::MAX)
    }

    /// The bounds of what a body may hold.
    fn ingest_limits(&self) -> watchfire_ingest::Limits {
        watchfire::ingest_limits(&self.engine.definitions().config)
    }
}

/// All routes over a running engine.
///
/// A program with routes of its own merges them. For a place below a path of that program, its configuration says
/// `server: {route_prefix: /alerting}`, and the routes are still merged: axum's `nest` would hide the path from the pages,
/// whose links would lead elsewhere. [`serve`] bounds the connections and ends open pages' streams when it stops; whoever
/// serves the routes otherwise does that, the latter by [`Stopping`].
pub fn router(engine: Watchfire, settings: Settings) -> Router {
    let started_at = engine.now();
    let deltas = Arc::new(tokio::sync::Mutex::new(Deltas::new(DELTA_SERIES_MAX)));
    let prefix = engine.definitions().config.server.route_prefix.clone();
    let app = App { engine, settings: Arc::new(settings), prefix: prefix.as_str().into(), started_at, deltas };
    let routes = Router::new()
        .route("/-/healthy", get(admin::healthy))
        .route("/-/ready", get(admin::ready))
        .route("/-/reload", post(admin::reload).put(admin::reload))
        .route("/metrics", get(admin::metrics))
        .route("/api/v1/write", post(receive::write))
        .route("/v1/metrics", post(receive::otlp_metrics))
        .route("/api/v1/otlp/v1/metrics", post(receive::otlp_metrics))
        .route("/api/v1/import/prometheus", post(receive::import))
        .route("/api/v1/events", post(receive::events))
        .nest("/api/v1", prometheus::router().layer(middleware::from_fn(compress::gzip)))
        .merge(api::router())
        .route("/api/v2/status", get(alertmanager::status))
        .route("/api/v2/receivers", get(alertmanager::receivers))
        .route("/api/v2/alerts", get(alertmanager::alerts).post(alertmanager::post_alerts))
        .route("/api/v2/alerts/groups", get(alertmanager::alert_groups))
        .route("/api/v2/silences", get(alertmanager::silences).post(alertmanager::post_silence))
        .route("/api/v2/silence/{id}", delete(alertmanager::delete_silence).get(alertmanager::silence))
        .route("/", get(ui::alerts))
        // Where Prometheus has them.
        .route("/alerts", get(ui::alerts))
        .route("/rules", get(ui::rules))
        .route("/alerts/{fingerprint}", post(ui::act))
        .route("/receivers", get(ui::receivers))
        .route("/receivers/preview", get(ui::preview))
        .route("/receivers/test", post(ui::test))
        .route("/notifications/{number}/again", post(ui::redeliver))
        .route("/silences", get(ui::silences).post(ui::post_silence))
        .route("/silences/{id}/end", post(ui::end_silence))
        .route("/notifications", get(ui::notifications))
        .route("/plugins", get(plugins::page))
        .route("/assets/watchfire.css", get(ui::style))
        .route("/assets/watchfire.js", get(ui::script))
        .with_state(app.clone())
        .layer(middleware::from_fn_with_state(app.clone(), bounds::hold))
        .layer(middleware::from_fn_with_state(app.clone(), auth::check))
        .layer(middleware::from_fn_with_state(app, origin::check));
    if prefix.is_empty() {
        return routes;
    }
    let home = format!("{prefix}/");
    let to_home = get(move || async move { Redirect::temporary(&prefix) });
    Router::new().route("/", to_home.clone()).route(&home, to_home).nest(home.trim_end_matches('/'), routes)
}

/// The answer to something that the engine did not take.
pub(crate) fn push_refused(error: PushError) -> Response {
    let text = format!("{error}\n");
    match error {
        PushError::Overloaded { retry_after } => {
            let seconds = retry_after.as_secs().max(1).to_string();
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)], text).into_response()
        }
        PushError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, text).into_response(),
        PushError::Closed | PushError::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
    }
}
