//! The demo's page, and the ends of PagerDuty's and Slack's APIs that the engine delivers to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{ConnectInfo, Extension, Json, Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event as ServerEvent, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;
use watchfire::Watchfire;
use watchfire::alerting::{InstanceState, RuleKind, RuleView};
use watchfire::model::{Event, FieldValue, Timestamp};
use watchfire_server::Stopping;

use super::breaker::{Breaker, FAULT_LASTS, Fault};
use super::inbox::{Inbox, Incident, Kept, SlackMessage};

/// What the demo's handlers get.
#[derive(Clone)]
pub(crate) struct Demo {
    pub(crate) engine: Watchfire,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) breaker: Arc<Breaker>,
    /// Where the demo itself is reached.
    pub(crate) address: SocketAddr,
    /// Logins that failed so far.
    pub(crate) attempts: Arc<AtomicI64>,
}

/// The demo's own routes.
pub(crate) fn router(demo: Demo) -> Router {
    Router::new()
        .route("/demo", get(page))
        .route("/demo/stream", get(stream))
        .route("/demo/break/{what}", post(break_something))
        .route("/demo/login", post(login))
        .route("/demo/pagerduty/v2/enqueue", post(pagerduty))
        .route("/demo/slack", post(slack))
        .with_state(demo)
}

#[derive(Template)]
#[template(path = "demo.html")]
struct Page {
    host: String,
    seconds: u64,
    rules: Vec<RuleRow>,
    kept: Kept,
}

struct RuleRow {
    state: &'static str,
    tone: &'static str,
    name: String,
    summary: String,
    since: String,
}

impl Page {
    fn incident_tone(&self, incident: &Incident) -> &'static str {
        match incident.status {
            "resolved" => "resolved",
            "acknowledged" => "pending",
            _ => "firing",
        }
    }

    /// A colour that came from outside is used only if it is one.
    fn color(&self, message: &SlackMessage) -> String {
        match message.color.as_str() {
            "good" => "#2e7d4f".to_owned(),
            "warning" => "#d9a400".to_owned(),
            "danger" => "#b3261e".to_owned(),
            other if other.starts_with('#') && other[1..].chars().all(|c| c.is_ascii_hexdigit()) => other.to_owned(),
            _ => "var(--line)".to_owned(),
        }
    }

    fn clock(&self, at: &Timestamp) -> String {
        at.to_rfc3339().get(11..19).unwrap_or_default().to_owned()
    }
}

async fn page(State(demo): State<Demo>) -> Response {
    let now = demo.engine.now();
    let Some(rules) = demo.engine.view(|engine| engine.rule_states()).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping\n").into_response();
    };
    let alerting = rules.iter().filter(|rule| matches!(rule.kind, RuleKind::Alerting { .. }));
    let page = Page {
        host: super::sensors::host_name(),
        seconds: FAULT_LASTS.as_secs(),
        rules: alerting.map(|rule| rule_row(rule, now)).collect(),
        kept: demo.inbox.kept(),
    };
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "the demo's page cannot be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be shown; the log says why\n").into_response()
        }
    }
}

fn rule_row(rule: &RuleView, now: Timestamp) -> RuleRow {
    let worst = rule.instances.iter().max_by_key(|instance| match instance.state {
        InstanceState::Firing => 2,
        InstanceState::Pending => 1,
        InstanceState::Resolved => 0,
    });
    let (state, tone, since) = match worst.map(|instance| (instance.state, instance)) {
        Some((InstanceState::Firing, instance)) => {
            ("firing", "firing", watchfire_server::ago(now, instance.fired_at.unwrap_or(now)))
        }
        Some((InstanceState::Pending, instance)) => {
            ("pending", "pending", watchfire_server::ago(now, instance.active_at))
        }
        Some((InstanceState::Resolved, instance)) => {
            ("resolved", "resolved", watchfire_server::ago(now, instance.resolved_at.unwrap_or(now)))
        }
        None => ("inactive", "inactive", String::new()),
    };
    let summary = worst.and_then(|instance| instance.annotations.get("summary")).unwrap_or_default().to_owned();
    RuleRow { state, tone, name: rule.name.to_string(), summary, since }
}

/// Says `changed` when the engine or the inbox changed, and every second, because ages are shown.
async fn stream(
    State(demo): State<Demo>,
    Extension(mut stopping): Extension<Stopping>,
) -> Sse<impl Stream<Item = Result<ServerEvent, Infallible>>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let mut inbox = BroadcastStream::new(demo.inbox.subscribe());
        let mut engine = BroadcastStream::new(demo.engine.subscribe());
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = stopping.stopped() => return,
                _ = inbox.next() => {}
                _ = engine.next() => {}
                _ = ticks.tick() => {}
            }
            if sender.send(Ok(ServerEvent::default().event("changed").data("1"))).await.is_err() {
                return;
            }
            // A burst of changes becomes one.
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    });
    Sse::new(tokio_stream::wrappers::ReceiverStream::new(receiver)).keep_alive(KeepAlive::default())
}

async fn break_something(State(demo): State<Demo>, Path(what): Path<String>) -> Response {
    match what.as_str() {
        "cpu" => started(demo.breaker.start(Fault::BurnCpu)),
        "file" => started(demo.breaker.start(Fault::FillFile)),
        "logins" => fail_logins(&demo).await,
        _ => (StatusCode::NOT_FOUND, "there is nothing of that name to break\n").into_response(),
    }
}

fn started(fresh: bool) -> Response {
    let text = if fresh { "broken\n" } else { "it is broken already\n" };
    (StatusCode::ACCEPTED, text).into_response()
}

/// How often the button logs in with a wrong password.
const LOGINS: usize = 8;

/// Logs in over HTTP with wrong passwords, as somebody who guesses one would.
async fn fail_logins(demo: &Demo) -> Response {
    let client = reqwest::Client::new();
    for guess in 0..LOGINS {
        let body = json!({ "user": "admin", "password": format!("guess-{guess}") });
        let sent = client.post(format!("http://{}/demo/login", demo.address)).json(&body).send().await;
        if let Err(error) = sent {
            return (StatusCode::BAD_GATEWAY, format!("the login cannot be reached: {error}\n")).into_response();
        }
    }
    started(true)
}

/// What somebody who logs in sends.
#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

/// A login that nobody passes: each failure is an event, as a login service would send it.
async fn login(
    State(demo): State<Demo>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Json(login): Json<Login>,
) -> Response {
    let now = demo.engine.now();
    let attempts = demo.attempts.fetch_add(1, Ordering::Relaxed) + 1;
    let event = Event {
        id: format!("login-{}-{attempts}", now.as_millis()),
        time: now,
        kind: "login_failed".to_owned(),
        fields: BTreeMap::from([
            ("user".to_owned(), FieldValue::Text(login.user)),
            ("source_ip".to_owned(), FieldValue::Text(client.ip().to_string())),
            ("attempts".to_owned(), FieldValue::Int(attempts)),
            ("password_length".to_owned(), FieldValue::Int(i64::try_from(login.password.len()).unwrap_or(i64::MAX))),
        ]),
        body: "access denied".to_owned(),
    };
    match demo.engine.push_events(vec![event]).await {
        Ok(_) => (StatusCode::UNAUTHORIZED, "access denied\n").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// PagerDuty's `POST /v2/enqueue`.
async fn pagerduty(State(demo): State<Demo>, Json(event): Json<Value>) -> Response {
    match demo.inbox.add_event(&event) {
        Some(key) => {
            let answer = json!({ "status": "success", "message": "Event processed", "dedup_key": key });
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        }
        None => {
            let answer = json!({ "status": "invalid event", "errors": ["'event_action' is missing or blank"] });
            (StatusCode::BAD_REQUEST, Json(answer)).into_response()
        }
    }
}

/// An incoming webhook of Slack.
async fn slack(State(demo): State<Demo>, Json(message): Json<Value>) -> Response {
    demo.inbox.add_slack(&message);
    "ok".into_response()
}
