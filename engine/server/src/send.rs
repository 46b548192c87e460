//! Sending an alert without metrics: a program says what happened, and routes, limits and history apply as for any
//! other alert.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use watchfire::alerting::DeliveryOutcome;
use watchfire::delivery::pagerduty::alert_key;
use watchfire_model::{AlertStatus, Duration, Severity};

use crate::alertmanager::{ALERTS_FULL_RETRY, alerts_refused};
use crate::body::BodyError;
use crate::named::{end, firing};
use crate::receivers::{record, refused};
use crate::{App, body, push_refused};

/// The kinds of event that everybody has; programs may send others.
const EVENT_TYPES: [(&str, &str); 7] = [
    ("high_error_rate", "more requests fail than should"),
    ("high_latency", "requests take longer than they should"),
    ("system_down", "a system does not answer"),
    ("deployment_status", "a deployment began, ended or failed"),
    ("model_failure", "a model cannot be loaded or gives no answer"),
    ("security_breach", "somebody did what they must not"),
    ("high_risk_prediction", "a model predicts something that somebody should see"),
];
/// The levels, the worst first.
const SEVERITIES: [Severity; 4] = [Severity::Critical, Severity::Error, Severity::Warning, Severity::Info];
/// The longest title in characters.
const TITLE_CHARS_MAX: usize = 1_024;
/// The largest body: an alert may have 64 KiB, and values take many times the memory of their text.
const SENT_BYTES_MAX: usize = 256 << 10;
/// The longest name of an event type.
const EVENT_TYPE_BYTES_MAX: usize = 64;

/// What happened.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with event_type and title")]
struct Happened {
    event_type: String,
    #[serde(default)]
    severity: Option<String>,
    title: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    details: BTreeMap<String, Value>,
    /// How long it holds unless it is sent again; `resolve_timeout` by default.
    #[serde(default)]
    lasts: Option<String>,
    /// Whether it is over.
    #[serde(default)]
    resolved: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tested {
    receiver: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolved {
    dedup_key: String,
}

/// `POST /v1/alerting/send`
pub(crate) async fn send(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let happened: Happened = read(&app, &headers, body).await?;
    let alert = happened.alert(app.engine.now()).map_err(|error| refused(StatusCode::BAD_REQUEST, &error))?;
    let definitions = app.engine.definitions();
    let dispatch = &definitions.config.dispatch;
    let (text, now) = (json!([alert]).to_string(), app.engine.now());
    let decoded =
        watchfire_ingest::alerts::decode(text.as_bytes(), now, dispatch.resolve_timeout, &app.ingest_limits());
    let decoded = decoded.map_err(|error| refused(StatusCode::BAD_REQUEST, &error.message))?;
    let Some(alert) = decoded.alerts.first().cloned() else {
        let reason = decoded.rejections.first.first().map_or("the alert was refused", |one| one.reason.as_str());
        return Err(refused(StatusCode::BAD_REQUEST, reason));
    };
    let receivers: Vec<String> = dispatch.route(&alert.labels).iter().map(|route| route.receiver.to_string()).collect();
    let answer = json!({
        "status": "accepted",
        "fingerprint": alert.fingerprint().to_string(),
        "dedup_key": alert_key(&alert),
        "receivers": receivers,
    });
    let pushed = app.engine.push_alerts(decoded.alerts).await.map_err(push_refused)?;
    match alerts_refused(pushed) {
        None => Ok(Json(answer).into_response()),
        Some(reason) => Err((ALERTS_FULL_RETRY, refused(StatusCode::TOO_MANY_REQUESTS, &reason)).into_response()),
    }
}

impl Happened {
    /// The same as Alertmanager's API takes it.
    fn alert(self, now: watchfire_model::Timestamp) -> Result<Value, String> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.event_type.is_empty()
            || self.event_type.len() > EVENT_TYPE_BYTES_MAX
            || !self.event_type.chars().all(word)
        {
            return Err(format!(
                "event_type must be a word of up to {EVENT_TYPE_BYTES_MAX} lower-case letters, digits and _"
            ));
        }
        let severity = match self.severity.as_deref() {
            None => Severity::Warning,
            Some(text) => SEVERITIES
                .into_iter()
                .find(|known| known.as_str() == text)
                .ok_or_else(|| format!("severity cannot be {text:?}: it is one of critical, error, warning, info"))?,
        };
        let length = self.title.chars().count();
        if self.title.trim().is_empty() || length > TITLE_CHARS_MAX {
            return Err(format!("title must have 1 to {TITLE_CHARS_MAX} characters, this one has {length}"));
        }
        let mut labels = self.labels;
        for name in ["alertname", "severity", "event_type", "source"] {
            if labels.contains_key(name) {
                return Err(format!("the label {name} is set from the event itself"));
            }
        }
        labels.insert("alertname".to_owned(), self.event_type.clone());
        labels.insert("event_type".to_owned(), self.event_type);
        labels.insert("severity".to_owned(), severity.as_str().to_owned());
        if !self.source.is_empty() {
            labels.insert("source".to_owned(), self.source);
        }
        let plain = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut annotations: BTreeMap<String, String> =
            self.details.into_iter().map(|(name, value)| (name, plain(value))).collect();
        annotations.insert("summary".to_owned(), self.title);
        if !self.message.is_empty() {
            annotations.insert("description".to_owned(), self.message);
        }
        let lasts = self.lasts.map(|text| match text.parse::<Duration>() {
            Ok(lasts) if !lasts.is_zero() => Ok(lasts),
            _ => Err(format!("lasts must be a duration above 0, such as 30m, not {text:?}")),
        });
        let lasts = lasts.transpose()?;
        let mut alert = json!({"labels": labels, "annotations": annotations});
        let end = if self.resolved { Some(now) } else { lasts.map(|lasts| now + lasts) };
        if let Some(end) = end {
            alert["endsAt"] = end.to_rfc3339().into();
        }
        if !self.resolved {
            // Of an alert with an end alone that is the beginning too.
            alert["startsAt"] = now.to_rfc3339().into();
        }
        Ok(alert)
    }
}

/// `POST /v1/alerting/test`: a test alert to a receiver, past all routes.
pub(crate) async fn test(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let tested: Tested = read(&app, &headers, body).await?;
    let records = app.engine.test_receiver(&tested.receiver, &[]).await;
    if records.is_empty() {
        return Err(refused(StatusCode::NOT_FOUND, &format!("there is no receiver {:?}", tested.receiver)));
    }
    let records: Vec<Value> = records.iter().map(|one| record(one)).collect();
    Ok(Json(json!({"deliveries": records})).into_response())
}

/// `GET /v1/alerting/stats`
pub(crate) async fn stats(State(app): State<App>) -> Response {
    let now = app.engine.now();
    let seen = app.engine.view(move |engine| {
        let mut firing: BTreeMap<String, usize> = BTreeMap::new();
        for view in engine.alerts(now).iter().filter(|view| view.status == AlertStatus::Firing) {
            *firing.entry(view.alert.labels.value_or_empty("severity").to_owned()).or_default() += 1;
        }
        let counters = engine.counters();
        let counted = json!({
            "notifications": counters.notifications,
            "delivered": counters.deliveries,
            "retried": counters.retries,
            "rejected": counters.rejections,
            "given_up": counters.given_up,
        });
        (firing, counted, engine.outbox().len())
    });
    let Some((firing, counted, waiting)) = seen.await else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping");
    };
    let history = app.engine.deliveries();
    let failed = history.iter().filter(|one| !matches!(one.attempt.outcome, DeliveryOutcome::Delivered { .. })).count();
    let history = json!({"attempts": history.len(), "failed": failed});
    Json(json!({"firing": firing, "since_start": counted, "waiting": waiting, "history": history})).into_response()
}

/// `POST /v1/alerting/clear-history`: forgets the attempts that are remembered.
pub(crate) async fn clear_history(State(app): State<App>) -> Response {
    match app.engine.forget_deliveries().await {
        Ok(forgotten) => Json(json!({"forgotten": forgotten})).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// `GET /v1/alerting/event-types`: those that everybody has, and those that programs have sent.
pub(crate) async fn event_types(State(app): State<App>) -> Response {
    let now = app.engine.now();
    let sent = app.engine.view(move |engine| {
        let alerts = engine.alerts(now);
        let types = alerts.iter().map(|view| view.alert.labels.value_or_empty("event_type").to_owned());
        types.filter(|name| !name.is_empty()).collect::<std::collections::BTreeSet<_>>()
    });
    let Some(sent) = sent.await else { return refused(StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping") };
    let known = EVENT_TYPES.iter().map(|(name, what)| json!({"event_type": name, "description": what}));
    let own = sent.iter().filter(|name| !EVENT_TYPES.iter().any(|(known, _)| known == name));
    let own = own.map(|name| json!({"event_type": name}));
    Json(json!({"event_types": known.chain(own).collect::<Vec<_>>()})).into_response()
}

/// `GET /v1/alerting/severities`: the levels, with how far apart the root route tells similar alerts of each.
pub(crate) async fn severities(State(app): State<App>) -> Response {
    let definitions = app.engine.definitions();
    let limits = &definitions.config.route.policy.rate_limits.0;
    let severities = SEVERITIES.map(|severity| {
        let limit = limits.get(severity.as_str()).map(ToString::to_string);
        json!({"severity": severity.as_str(), "rate_limit": limit})
    });
    Json(json!({"severities": severities})).into_response()
}

/// `POST /v1/alerting/pagerduty/resolve`: ends what was sent under a deduplication key, and PagerDuty is told as of any
/// other end.
pub(crate) async fn resolve(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let resolved: Resolved = read(&app, &headers, body).await?;
    let named = firing(&app, &resolved.dedup_key).await?;
    let sent = named.sent();
    if sent.is_empty() {
        let message = "a rule says that this fires; it ends when the rule says so";
        return Err(refused(StatusCode::CONFLICT, message));
    }
    let ended = end(&app, sent).await?;
    Ok(Json(json!({"resolved": ended})).into_response())
}

async fn read<T: serde::de::DeserializeOwned>(app: &App, headers: &HeaderMap, body: Body) -> Result<T, Response> {
    let bytes = body::read(headers, body, SENT_BYTES_MAX.min(app.body_bytes_max())).await;
    let bytes = bytes.map_err(|error| match error {
        BodyError::TooLarge { limit } => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("what is sent here has at most {limit} bytes\n")).into_response()
        }
        broken @ BodyError::Broken(_) => broken.into_response(),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| refused(StatusCode::BAD_REQUEST, &format!("the body cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use watchfire_model::Timestamp;

    use super::*;

    #[test]
    fn what_happened_becomes_an_alert_or_is_refused_with_the_reason() {
        let alert = |text: &str| {
            let happened: Happened = serde_json::from_str(text).map_err(|error| error.to_string())?;
            happened.alert(Timestamp::EPOCH)
        };
        let whole = alert(
            r#"{"event_type": "model_failure", "severity": "critical", "title": "No answer", "message": "since 10:00",
                "source": "ranker", "labels": {"region": "eu"}, "details": {"tries": 3}, "lasts": "1h"}"#,
        );
        let labels = json!({"alertname": "model_failure", "event_type": "model_failure", "region": "eu",
            "severity": "critical", "source": "ranker"});
        let annotations = json!({"description": "since 10:00", "summary": "No answer", "tries": "3"});
        let (begin, end) = ("1970-01-01T00:00:00.000Z", "1970-01-01T01:00:00.000Z");
        let expected = json!({"labels": labels, "annotations": annotations, "startsAt": begin, "endsAt": end});
        assert_eq!(whole.unwrap(), expected);
        let over = alert(r#"{"event_type": "x", "title": "t", "resolved": true}"#).unwrap();
        assert_eq!((&over["startsAt"], &over["endsAt"]), (&Value::Null, &json!(begin)));
        for (text, reason) in [
            (r#"{"event_type": "x", "title": ""}"#, "title must have"),
            (r#"{"event_type": "No Word", "title": "t"}"#, "event_type must be a word"),
            (r#"{"event_type": "x", "title": "t", "severity": "fatal"}"#, "severity cannot be"),
            (r#"{"event_type": "x", "title": "t", "labels": {"severity": "info"}}"#, "the label severity"),
            (r#"{"event_type": "x", "title": "t", "lasts": "soon"}"#, "lasts must be a duration above 0"),
            (r#"{"event_type": "x", "title": "t", "lasts": "soon", "resolved": true}"#, "lasts must be a duration"),
            (r#"{"event_type": "x", "title": "t", "lasts": "0s"}"#, "such as 30m, not \"0s\""),
            (r#"{"event_type": "x", "title": "t", "sevrity": "info"}"#, "unknown field"),
        ] {
            let error = alert(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
