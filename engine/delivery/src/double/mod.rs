//! Strict doubles of the services: they take what the published schemas and limits allow, answer in the services' own words
//! and refuse the rest. For tests here and end to end; behind the feature `double`.

mod channels;
mod mail;
mod pagerduty;
mod slack;

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::watch;

pub use mail::{MailServer, MailSettings, ReceivedMail};
pub use pagerduty::check as check_pagerduty;
pub use slack::check as check_slack;

/// A service that listens on this machine.
pub struct Double {
    address: SocketAddr,
    shared: Arc<Shared>,
    count: watch::Receiver<usize>,
    server: tokio::task::JoinHandle<()>,
}

/// What goes wrong with the next request instead of it being answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This answer, whatever was sent.
    Answer {
        /// The status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// The connection is closed without an answer.
    Reset,
    /// No answer ever comes.
    Hang,
}

impl Fault {
    /// An answer with this status and no more.
    pub fn status(status: u16) -> Fault {
        Fault::Answer { status, headers: Vec::new(), body: String::new() }
    }

    /// Too fast: 429 with `Retry-After`.
    pub fn too_fast(retry_after: &str) -> Fault {
        let headers = vec![("retry-after".to_owned(), retry_after.to_owned())];
        Fault::Answer { status: 429, headers, body: String::new() }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The status of the answer; 0 if there was none.
    pub answered: u16,
}

impl Received {
    /// The value of a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    PagerDuty,
    Slack,
    Webhook,
    Tokens,
    Echo,
    /// A channel that is data, by its name.
    Channel(&'static str),
}

struct Shared {
    service: Service,
    faults: Mutex<VecDeque<Fault>>,
    received: Mutex<Vec<Received>>,
    /// Channels that Slack knows; empty means all.
    channels: Mutex<Vec<String>>,
    count: watch::Sender<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Double {
    /// PagerDuty's Events API v2 at `/v2/enqueue`.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn pagerduty() -> std::io::Result<Double> {
        Double::start(Service::PagerDuty).await
    }

    /// Slack: incoming webhooks at `/services/...`, the Web API at `/api/chat.postMessage`.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn slack() -> std::io::Result<Double> {
        Double::start(Service::Slack).await
    }

    /// A receiver of webhooks that takes Alertmanager's JSON, version 4, and nothing else.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn webhook() -> std::io::Result<Double> {
        Double::start(Service::Webhook).await
    }

    /// An OAuth 2 server that gives `access-1`, `access-2`, ... to whoever knows `client-secret`.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn tokens() -> std::io::Result<Double> {
        Double::start(Service::Tokens).await
    }

    /// A service that refuses everything and says what it was sent.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn echo() -> std::io::Result<Double> {
        Double::start(Service::Echo).await
    }

    /// The service of a channel that is data, such as `discord`; any other name is a service that takes a topic and a
    /// message.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn channel(name: &'static str) -> std::io::Result<Double> {
        Double::start(Service::Channel(name)).await
    }

    async fn start(service: Service) -> std::io::Result<Double> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (sender, count) = watch::channel(0);
        let shared = Arc::new(Shared {
            service,
            faults: Mutex::default(),
            received: Mutex::default(),
            channels: Mutex::default(),
            count: sender,
        });
        let router = Router::new().fallback(handle).with_state(shared.clone());
        let server = tokio::spawn(async move {
            // It ends with the test; an error would be seen as requests that fail.
            let _: std::io::Result<()> = axum::serve(listener, router).await;
        });
        Ok(Double { address, shared, count, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address to put into a configuration.
    pub fn url(&self) -> String {
        let path = match self.shared.service {
            Service::PagerDuty => "/v2/enqueue",
            Service::Slack => "/services/T00000000/B00000000/secretsecretsecret",
            Service::Webhook => "/hook",
            Service::Tokens => "/token",
            Service::Echo => "",
            Service::Channel("wechat") => "/cgi-bin/",
            Service::Channel("jira") => "/rest/api/2",
            Service::Channel(_) => "/",
        };
        format!("http://{}{path}", self.address)
    }

    /// What goes wrong next, one request each, in this order.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared.faults).extend(faults);
    }

    /// The channels that Slack knows from now on.
    pub fn know_channels(&self, channels: impl IntoIterator<Item = &'static str>) {
        *lock(&self.shared.channels) = channels.into_iter().map(str::to_owned).collect();
    }

    /// Everything that came so far, the refused and the failed too.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// What came and was taken.
    pub fn taken(&self) -> Vec<Received> {
        self.received().into_iter().filter(|received| (200..300).contains(&received.answered)).collect()
    }

    /// Waits until so many requests have come.
    pub async fn wait_for(&mut self, count: usize) {
        // The sender lives in `shared`, which this holds.
        let _: Result<_, watch::error::RecvError> = self.count.wait_for(|n| *n >= count).await.map(|n| *n);
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = lock(&shared.faults).pop_front();
    let (status, extra, text) = match &fault {
        Some(Fault::Answer { status, headers, body }) => (*status, headers.clone(), body.clone()),
        Some(Fault::Reset | Fault::Hang) => (0, Vec::new(), String::new()),
        None => {
            let (status, text) = answer(&shared, &method, &uri, &headers, &body);
            (status, Vec::new(), text)
        }
    };
    let pair = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    lock(&shared.received).push(Received {
        method: method.to_string(),
        path: uri.to_string(),
        headers: headers.iter().map(pair).collect(),
        body: body.to_vec(),
        answered: status,
    });
    shared.count.send_modify(|count| *count += 1);
    match fault {
        Some(Fault::Hang) => pending().await,
        // Unwinding ends the connection's task, and with it the connection; nothing is printed.
        Some(Fault::Reset) => std::panic::resume_unwind(Box::new("reset")),
        _ => {}
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, text).into_response();
    for (name, value) in extra {
        if let (Ok(name), Ok(value)) = (name.parse::<axum::http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn answer(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> (u16, String) {
    if let Service::Channel(name) = shared.service {
        let header =
            |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let asked = channels::Asked {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or(""),
            header: &header,
            body,
        };
        return channels::answer(name, &asked);
    }
    if shared.service == Service::Echo {
        return (400, format!("{method} {uri} {headers:?} {}", String::from_utf8_lossy(body)));
    }
    if shared.service == Service::Tokens {
        let given = lock(&shared.received).iter().filter(|received| received.answered == 200).count();
        let text = String::from_utf8_lossy(body);
        let known = headers.contains_key("authorization") != text.contains("client_secret=client-secret");
        return match known && method == Method::POST && uri.path() == "/token" {
            true => {
                (200, format!(r#"{{"access_token":"access-{}","token_type":"Bearer","expires_in":3600}}"#, given + 1))
            }
            false => (401, r#"{"error":"invalid_client"}"#.to_owned()),
        };
    }
    if method != Method::POST {
        return (405, "method not allowed".to_owned());
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !header("content-type").starts_with("application/json") {
        return (415, "unsupported media type".to_owned());
    }
    match shared.service {
        Service::PagerDuty => pagerduty::answer(uri.path(), body),
        Service::Slack => slack::answer(uri.path(), header("authorization"), body, &lock(&shared.channels)),
        Service::Webhook | Service::Tokens | Service::Echo | Service::Channel(_) => {
            webhook(header("idempotency-key"), body)
        }
    }
}

/// Alertmanager's JSON, version 4, with every field of the right type and none besides.
fn webhook(idempotency_key: &str, body: &[u8]) -> (u16, String) {
    const FIELDS: [(&str, fn(&Value) -> bool); 12] = [
        ("receiver", Value::is_string),
        ("status", is_status),
        ("alerts", Value::is_array),
        ("notification_reason", Value::is_string),
        ("routeLabels", is_texts),
        ("groupLabels", is_texts),
        ("commonLabels", is_texts),
        ("commonAnnotations", is_texts),
        ("externalURL", Value::is_string),
        ("version", |value| value == "4"),
        ("groupKey", |value| value.as_str().is_some_and(|key| !key.is_empty())),
        ("truncatedAlerts", Value::is_u64),
    ];
    const ALERT_FIELDS: [(&str, fn(&Value) -> bool); 7] = [
        ("status", is_status),
        ("labels", is_texts),
        ("annotations", is_texts),
        ("startsAt", is_time),
        ("endsAt", is_time),
        ("generatorURL", Value::is_string),
        ("fingerprint", |value| value.as_str().is_some_and(|text| text.len() == 16)),
    ];
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return (400, "not JSON".to_owned());
    };
    let mut errors = wrong_fields("", &value, &FIELDS);
    for (index, alert) in value["alerts"].as_array().into_iter().flatten().enumerate() {
        errors.extend(wrong_fields(&format!("alerts[{index}]."), alert, &ALERT_FIELDS));
    }
    if idempotency_key.is_empty() {
        errors.push("there is no Idempotency-Key".to_owned());
    }
    if errors.is_empty() { (200, String::new()) } else { (400, errors.join("; ")) }
}

fn wrong_fields(path: &str, value: &Value, fields: &[(&str, fn(&Value) -> bool)]) -> Vec<String> {
    let wrong = fields.iter().filter(|(name, fits)| !value.get(name).is_some_and(fits));
    let mut errors: Vec<String> = wrong.map(|(name, _)| format!("{path}{name} is missing or wrong")).collect();
    let names = value.as_object().into_iter().flat_map(|object| object.keys());
    let unknown = names.filter(|name| !fields.iter().any(|(known, _)| known == name));
    errors.extend(unknown.map(|name| format!("{path}{name} is unknown")));
    errors
}

fn is_status(value: &Value) -> bool {
    matches!(value.as_str(), Some("firing" | "resolved"))
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok())
}

fn is_texts(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.values().all(Value::is_string))
}
