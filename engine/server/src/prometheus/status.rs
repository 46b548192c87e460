//! `/api/v1/status/...`

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};
use watchfire_config::shown;

use super::parameters::Parameters;
use super::{Failed, bad_data, success};
use crate::App;

/// The version of Prometheus whose API this is. Grafana's data source reads it to know which requests it may send, such
/// as selectors for label values from 2.24 on.
const API_VERSION: &str = "3.5.0";

/// `/api/v1/status/buildinfo`
pub(super) async fn build_info() -> Response {
    let mut info = crate::alertmanager::version_info();
    info["revision"] = json!(concat!("watchfire-", env!("CARGO_PKG_VERSION")));
    info["version"] = json!(API_VERSION);
    success(info)
}

/// `/api/v1/status/runtimeinfo`, without what only a program in Go has.
pub(super) async fn runtime_info(State(app): State<App>) -> Response {
    let loaded = app.engine.definitions();
    let stats = app.engine.storage();
    success(json!({
        "startTime": app.started_at.to_rfc3339(),
        "serverTime": app.engine.now().to_rfc3339(),
        "reloadConfigSuccess": loaded.last_reload_ok,
        "lastConfigTime": loaded.loaded_at.to_rfc3339(),
        "storageRetention": stats.retention.to_string(),
    }))
}

/// `/api/v1/status/config`: as it is written, secrets left out.
pub(super) async fn config(State(app): State<App>) -> Response {
    success(json!({ "yaml": shown(&app.engine.definitions().config_text) }))
}

/// `/api/v1/status/flags`: the settings that Prometheus has as flags.
pub(super) async fn flags(State(app): State<App>) -> Response {
    let loaded = app.engine.definitions();
    let (server, evaluation) = (&loaded.config.server, &loaded.config.evaluation);
    success(json!({
        "query.lookback-delta": evaluation.lookback.to_string(),
        "query.max-concurrency": server.limits.queries_max.to_string(),
        "query.max-samples": server.limits.query_samples_max.to_string(),
        "query.timeout": server.limits.query_timeout.to_string(),
        "storage.tsdb.retention.time": app.engine.storage().retention.to_string(),
        "web.listen-address": server.listen.join(","),
    }))
}

/// `/api/v1/status/tsdb`. How many series a label's value has is not among it, because it would have to be counted.
pub(super) async fn tsdb(State(app): State<App>, parameters: Parameters) -> Result<Response, Failed> {
    let limit = match parameters.get("limit").map(str::parse::<usize>) {
        None => 10,
        Some(Ok(limit @ 1..=10_000)) => limit,
        Some(Ok(limit)) if limit > 10_000 => return Err(bad_data("limit must not exceed 10000")),
        Some(_) => return Err(bad_data("limit must be a positive number")),
    };
    let stats = app.engine.storage();
    let labels = app.engine.label_statistics().await?;
    let series = app.engine.series_by_metric().await?;
    let counts = labels.iter().map(|label| (label.name.clone(), label.values));
    let bytes = labels.iter().map(|label| (label.name.clone(), label.bytes));
    Ok(success(json!({
        "headStats": {
            "numSeries": stats.series,
            "numLabelPairs": labels.iter().map(|label| label.values).sum::<usize>(),
            "maxTime": stats.newest.as_millis(),
        },
        "seriesCountByMetricName": top(series, limit),
        "labelValueCountByLabelName": top(counts.collect(), limit),
        "memoryInBytesByLabelName": top(bytes.collect(), limit),
    })))
}

/// The greatest first.
fn top(mut counts: Vec<(String, usize)>, limit: usize) -> Vec<Value> {
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(limit);
    let stat = |(name, value): (String, usize)| {
        Map::from_iter([("name".to_owned(), json!(name)), ("value".to_owned(), json!(value))])
    };
    counts.into_iter().map(|count| Value::Object(stat(count))).collect()
}
