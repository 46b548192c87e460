//! What Prometheus tells about scraping and about Alertmanagers. Nothing is scraped here, so that most of it is empty;
//! clients that ask get what a Prometheus without scrape configurations answers.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::parameters::Parameters;
use super::success;
use crate::App;

/// `/api/v1/targets`
pub(super) async fn targets(parameters: Parameters) -> Response {
    let counts = match parameters.text("state").to_lowercase().as_str() {
        "" | "any" | "dropped" => json!({}),
        _ => Value::Null,
    };
    success(json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": counts }))
}

/// `/api/v1/targets/metadata`
pub(super) async fn metadata() -> Response {
    success(json!([]))
}

/// `/api/v1/scrape_pools`
pub(super) async fn scrape_pools() -> Response {
    success(json!({ "scrapePools": [] }))
}

/// `/api/v1/alertmanagers`: those beside the engine that are told.
pub(super) async fn alertmanagers(State(app): State<App>) -> Response {
    let loaded = app.engine.definitions();
    let active = loaded.config.alerting.alertmanagers.iter().map(|one| json!({ "url": one.url }));
    success(json!({ "activeAlertmanagers": active.collect::<Vec<Value>>(), "droppedAlertmanagers": [] }))
}

/// `/api/v1/notifications`: what its page would show in a corner.
pub(super) async fn notifications() -> Response {
    success(json!([]))
}

/// `/api/v1/status/walreplay`: it answers requests only when everything is replayed.
pub(super) async fn wal_replay() -> Response {
    success(json!({ "min": 0, "max": 0, "current": 0 }))
}
