//! `GET /api/watchfire/v1/routes`: the route tree as it is in force.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use watchfire_alerting::{GroupBy, Route};

use crate::App;

pub(crate) async fn routes(State(app): State<App>) -> Response {
    Json(route_json(&app.engine.definitions().config.dispatch.route)).into_response()
}

fn route_json(route: &Route) -> Value {
    json!({
        "receiver": route.receiver.as_ref(),
        "matchers": route.matchers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        // Absent where alerts are grouped by all their labels.
        "groupBy": match &route.group_by {
            GroupBy::All => Value::Null,
            GroupBy::Labels(labels) => json!(labels),
        },
        "groupWait": route.group_wait.to_string(),
        "groupInterval": route.group_interval.to_string(),
        "repeatInterval": route.repeat_interval.to_string(),
        "continue": route.continue_matching,
        "router": route.router.as_ref().map(|router| &router.plugin),
        "routes": route.routes.iter().map(route_json).collect::<Vec<_>>(),
    })
}
