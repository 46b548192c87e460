//! Alertmanager's API v2: the same paths, shapes and filters, so that its clients keep working.
//!
//! Shapes follow `api/v2/openapi.yaml` of Alertmanager; errors are JSON strings, as its generated server sends them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use watchfire::config::{Receiver, shown_to_alertmanagers_clients};
use watchfire::{ALERTMANAGER_VERSION, PushedAlerts, Watchfire};
use watchfire_alerting::{AlertGroupView, AlertView, AlertViewState, SilenceId};
use watchfire_model::{Labels, Timestamp};

use crate::App;
use crate::body;

mod filter;
mod silences;

use filter::Filter;
pub(crate) use silences::{delete_silence, post_silence, silence, silences};

/// When a sender should try again whose new alerts found no room.
pub(crate) const ALERTS_FULL_RETRY: [(HeaderName, &str); 1] = [(RETRY_AFTER, "30")];

/// An answer other than success, as Alertmanager words it: a status and a JSON string.
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Value::String(self.1))).into_response()
    }
}

pub(crate) fn bad_request(message: impl ToString) -> Refused {
    Refused(StatusCode::BAD_REQUEST, message.to_string())
}

fn gone() -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping".to_owned())
}

/// What the framework of Alertmanager's server refuses before anything is looked for or at, by its numbers.
struct Invalid {
    code: u16,
    message: String,
}

impl IntoResponse for Invalid {
    fn into_response(self) -> Response {
        // Its numbers beyond those of HTTP say what is wrong with a body.
        let status = match self.code {
            600.. => StatusCode::UNPROCESSABLE_ENTITY,
            code => StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST),
        };
        (status, Json(json!({"code": self.code, "message": self.message}))).into_response()
    }
}

/// Refuses a body that its sender does not call JSON. Where there is none, what is missing is worth more words than its type.
fn json_alone(headers: &HeaderMap, body: &[u8]) -> Result<(), Invalid> {
    const JSON: &str = "application/json";
    if body.is_empty() {
        return Ok(());
    }
    let header = headers.get(CONTENT_TYPE).map_or(Ok(""), |value| value.to_str()).unwrap_or("?");
    // What has no type is bytes to HTTP.
    let header = if header.is_empty() { "application/octet-stream" } else { header };
    match media_type(header) {
        Some(media) if media == JSON => Ok(()),
        Some(media) => {
            let message = format!("unsupported media type {media:?}, only [{JSON}] are allowed");
            Err(Invalid { code: 415, message })
        }
        None => {
            let message =
                format!("parsing Content-Type header from {header:?} failed, because it is none like {JSON:?}");
            Err(Invalid { code: 400, message })
        }
    }
}

/// The type that a header names, without its parameters, if both are well-formed.
fn media_type(header: &str) -> Option<String> {
    let mut parts = header.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    let is_token =
        |text: &str| !text.is_empty() && !text.contains(|c: char| !c.is_ascii_graphic() || c == ',' || c == '/');
    let (kind, subtype) = media.split_once('/')?;
    let whole =
        |parameter: &str| parameter.split_once('=').is_some_and(|(name, value)| is_token(name) && !value.is_empty());
    (is_token(kind) && is_token(subtype) && parts.all(|part| part.is_empty() || whole(part))).then_some(media)
}

/// The decoded pairs of a query string, in order.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableAlert {
    annotations: Value,
    ends_at: String,
    fingerprint: String,
    receivers: Vec<Value>,
    starts_at: String,
    status: Value,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
    labels: Value,
}

fn labels_json(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|l| (l.name.to_owned(), Value::String(l.value.to_owned()))).collect())
}

/// An alert as it stands in a group that these intervals mute; outside of a group there are none.
fn gettable(view: &AlertView, resolve_at: Timestamp, muted_by: &[Arc<str>]) -> GettableAlert {
    let alert = &view.alert;
    let state = if muted_by.is_empty() { filter::state_unmuted(view) } else { AlertViewState::Suppressed };
    GettableAlert {
        annotations: json!(alert.annotations.iter().collect::<BTreeMap<_, _>>()),
        ends_at: alert.ends_at.unwrap_or(resolve_at).to_rfc3339(),
        fingerprint: view.fingerprint.to_string(),
        receivers: view.receivers.iter().map(|name| json!({ "name": name.as_ref() })).collect(),
        starts_at: alert.starts_at.to_rfc3339(),
        status: json!({
            "inhibitedBy": view.inhibited_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "mutedBy": muted_by.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
            "silencedBy": view.silenced_by.iter().map(SilenceId::as_str).collect::<Vec<_>>(),
            "state": state.as_str(),
        }),
        updated_at: alert.updated_at.to_rfc3339(),
        generator_url: alert.generator_url.to_string(),
        labels: labels_json(&alert.labels),
    }
}

/// `GET /api/v2/status`. There is no gossip, so that an engine is a cluster of itself, as an Alertmanager without peers.
pub(crate) async fn status(State(app): State<App>) -> Response {
    let loaded = app.engine.definitions();
    let url = watchfire::external_url(&loaded.config);
    let own = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).split('/').next().unwrap_or_default();
    Json(json!({
        "cluster": { "name": own, "peers": [{ "name": own, "address": own }], "status": "ready" },
        "config": { "original": shown_to_alertmanagers_clients(&loaded.config_text) },
        "uptime": app.started_at.to_rfc3339(),
        // Clients compare this with their own version and warn: it is that of the API. Who answers stands beside it.
        "versionInfo": {
            "branch": "watchfire",
            "revision": env!("CARGO_PKG_VERSION"),
            "version": ALERTMANAGER_VERSION,
            "buildDate": "",
            "buildUser": "",
            "goVersion": "",
        },
    }))
    .into_response()
}

/// What Prometheus' API says about the build.
pub(crate) fn version_info() -> Value {
    json!({
        "branch": "",
        "buildDate": "",
        "buildUser": "",
        "goVersion": "",
        "revision": "",
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// `GET /api/v2/receivers`
pub(crate) async fn receivers(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let filter = Filter::read(&app, query).await?;
    let loaded = app.engine.definitions();
    let kept = loaded.config.receivers.iter().filter(|receiver| filter.keeps_receiver_labels(&receiver.labels));
    let shown = |receiver: &Receiver| json!({ "name": receiver.name, "labels": receiver.labels });
    Ok(Json(kept.map(shown).collect::<Vec<_>>()).into_response())
}

/// `GET /api/v2/alerts`
pub(crate) async fn alerts(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let filter = Filter::read(&app, query).await?;
    let now = app.engine.now();
    let loaded = app.engine.definitions();
    let mut views = app.engine.view(move |engine| engine.alerts(now)).await.ok_or_else(gone)?;
    let answer = move || {
        let resolve_at = now + loaded.config.dispatch.resolve_timeout;
        let receivers = filter.receivers(&loaded.config.receivers);
        views.retain(|view| filter.keeps_alert(view) && receivers.has_among(&view.receivers));
        views.sort_by_key(|view| view.fingerprint);
        Json(views.iter().map(|view| gettable(view, resolve_at, &[])).collect::<Vec<_>>()).into_response()
    };
    app.aside(answer).await.ok_or_else(gone)
}

/// `GET /api/v2/alerts/groups`
pub(crate) async fn alert_groups(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let filter = Filter::read(&app, query).await?;
    let now = app.engine.now();
    let (groups, views) =
        app.engine.view(move |engine| (engine.alert_groups(now), engine.alerts(now))).await.ok_or_else(gone)?;
    let engine = app.engine.clone();
    let answer = move || groups_json(&engine, &groups, views, &filter, now).into_response();
    app.aside(answer).await.ok_or_else(gone)
}

fn groups_json(
    engine: &Watchfire,
    groups: &[AlertGroupView],
    views: Vec<AlertView>,
    filter: &Filter,
    now: Timestamp,
) -> Json<Vec<Value>> {
    let loaded = engine.definitions();
    let resolve_at = now + loaded.config.dispatch.resolve_timeout;
    let receivers = filter.receivers(&loaded.config.receivers);
    // An alert has here the receivers that are asked for alone.
    let kept = |mut view: AlertView| {
        view.receivers.retain(|receiver| receivers.has(receiver));
        (view.fingerprint, view)
    };
    let views: BTreeMap<_, _> = views.into_iter().map(kept).collect();
    let mut answer = Vec::new();
    for group in groups.iter().filter(|group| receivers.has(&group.receiver) && filter.keeps_group(&group.muted_by)) {
        let members = group.alerts.iter().filter(|member| !member.detached);
        let kept = members.filter_map(|member| views.get(&member.fingerprint)).filter(|view| filter.keeps_alert(view));
        let kept: Vec<&AlertView> = kept.collect();
        if !kept.is_empty() {
            let alerts = kept.iter().map(|view| view.alert.clone()).collect();
            answer.push(json!({
                "alerts": kept.iter().map(|view| gettable(view, resolve_at, &group.muted_by)).collect::<Vec<_>>(),
                "routeLabels": engine.route_labels(group, alerts),
                "labels": labels_json(&group.labels),
                "receiver": { "name": group.receiver.as_ref() },
            }));
        }
    }
    Json(answer)
}

/// `POST /api/v2/alerts`: the valid ones are taken even if others are not.
pub(crate) async fn post_alerts(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let bytes = body::read(&headers, body, app.body_bytes_max()).await.map_err(IntoResponse::into_response)?;
    json_alone(&headers, &bytes).map_err(IntoResponse::into_response)?;
    let now = app.engine.now();
    let resolve_timeout = app.engine.definitions().config.dispatch.resolve_timeout;
    let limits = app.ingest_limits();
    let decode = move |bytes: &[u8]| watchfire_ingest::alerts::decode(bytes, now, resolve_timeout, &limits);
    let decoded = app.read_body(bytes, decode).await.ok_or_else(|| gone().into_response())?;
    let decoded = decoded.map_err(|refused| answer(&refused))?;
    app.engine.count_alerts_invalid(decoded.rejections.count);
    let error = decoded.error_answer();
    if !decoded.alerts.is_empty() {
        let pushed = app.engine.push_alerts(decoded.alerts).await.map_err(crate::push_refused)?;
        if let Some(reason) = alerts_refused(pushed) {
            return Err((ALERTS_FULL_RETRY, Refused(StatusCode::TOO_MANY_REQUESTS, reason)).into_response());
        }
    }
    match error {
        None => Ok(StatusCode::OK.into_response()),
        Some(error) => Err(answer(&error)),
    }
}

/// Why new alerts were refused and how many of them, if any were.
pub(crate) fn alerts_refused(pushed: PushedAlerts) -> Option<String> {
    let of = [
        (pushed.refused, "limits.alerts_max"),
        (pushed.refused_for_bytes, "limits.alerts_bytes_max"),
        (pushed.refused_for_name, "limits.alerts_per_name_max"),
    ];
    let refused: Vec<String> = (of.iter().filter(|(count, _)| *count > 0))
        .map(|(count, bound)| format!("{count} because {bound} is reached"))
        .collect();
    let accepted = pushed.accepted;
    (!refused.is_empty())
        .then(|| format!("new alerts were refused, {}; {accepted} alerts were taken", refused.join(" and ")))
}

/// An answer whose body the decoder has worded already.
fn answer(error: &watchfire_ingest::alerts::ErrorAnswer) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [(CONTENT_TYPE, "application/json")], error.body()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_body_is_json_or_refused_by_what_it_is_called() {
        let table = [
            ("application/json", None),
            ("application/json; charset=utf-8", None),
            ("APPLICATION/JSON;", None),
            ("", Some(415)),
            ("text/plain", Some(415)),
            ("application/vnd.api+json", Some(415)),
            ("*/*", Some(415)),
            ("json", Some(400)),
            ("application/json; charset", Some(400)),
            ("application/json, text/plain", Some(400)),
        ];
        for (header, expected) in table {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(header))]);
            assert_eq!(json_alone(&headers, b"[]").err().map(|invalid| invalid.code), expected, "{header}");
            assert!(json_alone(&headers, b"").is_ok(), "{header}");
        }
        assert_eq!(json_alone(&HeaderMap::new(), b"[]").err().map(|invalid| invalid.code), Some(415));
    }

    #[test]
    fn query_strings_are_decoded_and_may_repeat_a_name() {
        assert_eq!(
            pairs("filter=a%3D%22b%22&filter=c%2Bd&e+f=%zz&flag"),
            [("filter", "a=\"b\""), ("filter", "c+d"), ("e f", "%zz"), ("flag", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
