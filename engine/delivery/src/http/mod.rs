//! The sender of HTTP requests.

mod client;
mod oauth2;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use reqwest::header::{HeaderName, HeaderValue};
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::{Credential, HttpConfig};
use watchfire_model::Timestamp;

pub(crate) use client::Pools;
pub(crate) use oauth2::Tokens;

use crate::outcome::{Answer, Dialect, bounded, of_answer};
use crate::{Method, Request};

/// How much of an answer is read. The rest is not worth the memory, and an endless one must not hold the sender.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// The secret as its file has it now, so that it can be rotated without a reload; as it was at load if it cannot be read.
pub(crate) fn current(credential: &Credential) -> String {
    let fresh = credential.path().and_then(|path| std::fs::read_to_string(path).ok());
    fresh.map_or_else(|| credential.expose().to_owned(), |text| text.trim().to_owned())
}

/// Adds the credentials and headers of the configuration. What the channel set itself stays.
fn authenticate(request: &mut Request, config: &HttpConfig) {
    for (name, values) in &config.headers {
        let secrets = values.secrets.iter().map(current);
        for value in values.values.iter().cloned().chain(secrets) {
            if request.header(name).is_none() {
                request.set_header(name, value);
            } else {
                request.headers.push((name.clone(), value));
            }
        }
    }
    if request.header("Authorization").is_some() {
        return;
    }
    if let Some(basic) = &config.basic_auth {
        let part = |credential: &Option<Credential>| credential.as_ref().map(current).unwrap_or_default();
        let pair = format!("{}:{}", part(&basic.username), part(&basic.password));
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        request.set_header("Authorization", format!("Basic {encoded}"));
    } else if let Some(authorization) = &config.authorization
        && let Some(credentials) = &authorization.credentials
    {
        request.set_header("Authorization", format!("{} {}", authorization.kind, current(credentials)));
    }
}

/// The secrets of a configuration, for the redactor.
fn secrets(config: &HttpConfig) -> Vec<String> {
    let mut secrets = Vec::new();
    if let Some(basic) = &config.basic_auth {
        let part = |credential: &Option<Credential>| credential.as_ref().map(current).unwrap_or_default();
        let password = part(&basic.password);
        let pair = format!("{}:{password}", part(&basic.username));
        secrets.push(base64::engine::general_purpose::STANDARD.encode(pair));
        secrets.push(password);
    }
    let authorization = config.authorization.as_ref().and_then(|a| a.credentials.as_ref());
    let headers = config.headers.values().flat_map(|values| &values.secrets);
    secrets.extend(authorization.into_iter().chain(headers).map(current));
    secrets.extend(config.proxy.url.iter().map(|url| url.expose().to_owned()));
    secrets.extend(config.proxy.connect_headers.values().flatten().map(|value| value.expose().to_owned()));
    secrets
}

/// What happened to a request.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// What it means.
    pub(crate) outcome: DeliveryOutcome,
    /// What was answered, if anything was.
    pub(crate) answer: Option<Answer>,
}

/// How one integration reaches its service.
#[derive(Debug)]
pub(crate) struct Connection {
    client: reqwest::Client,
    config: HttpConfig,
    tokens: Option<Tokens>,
    timeout: Duration,
}

impl Connection {
    /// For a configuration; connections are shared with others that connect in the same way.
    ///
    /// # Errors
    /// If the configuration asks for something that cannot be done.
    pub(crate) fn new(pools: &Pools, config: &HttpConfig, timeout: Duration) -> Result<Connection, String> {
        let tokens = config.oauth2.as_ref().map(|oauth2| {
            let client = pools.token_client(&oauth2.tls, &oauth2.proxy)?;
            Ok::<_, String>(Tokens::new((**oauth2).clone(), client))
        });
        Ok(Connection { client: pools.client(config)?, config: config.clone(), tokens: tokens.transpose()?, timeout })
    }

    /// What must not be seen.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets = secrets(&self.config);
        secrets.extend(self.tokens.iter().flat_map(Tokens::secrets));
        secrets
    }

    /// Adds what the configuration adds to every request, but a token, which only a server can give.
    pub(crate) fn complete(&self, request: &mut Request) {
        authenticate(request, &self.config);
    }

    /// Sends a request once, with what the configuration adds to it. A token that is refused is replaced once.
    pub(crate) async fn send(&self, request: &mut Request, dialect: Dialect, at: Timestamp) -> Sent {
        self.complete(request);
        let Some(tokens) = self.tokens.as_ref().filter(|_| request.header("Authorization").is_none()) else {
            return self.once(request, dialect, at).await;
        };
        let mut sent = None;
        for _ in 0..2 {
            let token = match tokio::time::timeout(self.timeout, tokens.token()).await {
                Ok(Ok(token)) => token,
                Ok(Err(reason)) => {
                    return Sent { outcome: DeliveryOutcome::Retry { after: None, reason }, answer: None };
                }
                Err(_) => return Sent { outcome: timed_out(self.timeout), answer: None },
            };
            request.set_header("Authorization", format!("Bearer {token}"));
            let one = self.once(request, dialect, at).await;
            let refused = one.answer.as_ref().is_some_and(|answer| answer.status == 401);
            sent = Some(one);
            if !refused {
                break;
            }
            tokens.forget(&token).await;
        }
        sent.unwrap_or_else(|| Sent { outcome: timed_out(self.timeout), answer: None })
    }

    async fn once(&self, request: &Request, dialect: Dialect, at: Timestamp) -> Sent {
        let prepared = match prepare(&self.client, request) {
            Ok(prepared) => prepared,
            Err(reason) => return Sent { outcome: DeliveryOutcome::Rejected { reason }, answer: None },
        };
        match tokio::time::timeout(self.timeout, exchange(&self.client, prepared)).await {
            Ok(Ok(answer)) => Sent { outcome: of_answer(dialect, &answer, at), answer: Some(answer) },
            Ok(Err(error)) => Sent { outcome: of_error(error, self.timeout), answer: None },
            Err(_) => Sent { outcome: timed_out(self.timeout), answer: None },
        }
    }
}

/// The time by the clock on the wall, where a service checks it: a signature made now must say so, and not when the
/// notification was decided.
#[expect(clippy::disallowed_methods, reason = "services refuse signatures whose time is not theirs")]
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn prepare(client: &reqwest::Client, request: &Request) -> Result<reqwest::Request, String> {
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    };
    let mut builder = client.request(method, &request.url).body(request.body.clone());
    for (name, value) in &request.headers {
        let (name, value) = header(name, value)?;
        builder = builder.header(name, value);
    }
    builder.build().map_err(|error| format!("the request cannot be made: {}", chain(&error.without_url())))
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let error = || format!("the header {name:?} cannot be sent");
    Ok((name.parse().map_err(|_| error())?, HeaderValue::from_str(value.trim()).map_err(|_| error())?))
}

async fn exchange(client: &reqwest::Client, request: reqwest::Request) -> reqwest::Result<Answer> {
    let mut response = client.execute(request).await?;
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut answer = Answer {
        status: response.status().as_u16(),
        retry_after: text("retry-after"),
        date: text("date"),
        body: String::new(),
    };
    let mut bytes = Vec::new();
    // The status says what happened; a body that breaks off takes nothing from it.
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - bytes.len())]);
        if bytes.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    answer.body = String::from_utf8_lossy(&bytes).into_owned();
    Ok(answer)
}

/// Without an answer nothing is known, and everything that can be wrong on the way can be right later.
fn of_error(error: reqwest::Error, timeout: Duration) -> DeliveryOutcome {
    if error.is_timeout() && !error.is_connect() {
        return timed_out(timeout);
    }
    let what = if error.is_connect() { "cannot connect" } else { "no answer" };
    DeliveryOutcome::Retry { after: None, reason: bounded(&format!("{what}: {}", chain(&error.without_url()))) }
}

fn timed_out(timeout: Duration) -> DeliveryOutcome {
    DeliveryOutcome::Retry { after: None, reason: format!("no answer within {} ms", timeout.as_millis()) }
}

/// An error with its causes, each said once. Some libraries' errors repeat their causes, some do not.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    let mut parts: Vec<&str> = text.split(": ").collect();
    parts.dedup();
    parts.join(": ")
}

/// Makes ring the process' provider of cryptography unless the program has chosen one.
pub(crate) fn install_crypto() {
    // An error says that somebody else was first, which is what is wanted.
    let _: Result<(), Arc<rustls::crypto::CryptoProvider>> = rustls::crypto::ring::default_provider().install_default();
}
