//! The sender of HTTP requests.

mod client;
mod oauth2;
mod redirect;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::{Credential, HttpConfig};
use watchfire_model::Timestamp;

pub(crate) use client::{Client, Pools};
pub(crate) use oauth2::Tokens;

use redirect::ExchangeError;

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
    let credentials = config.basic_auth.is_some() || config.authorization.is_some();
    if !credentials || request.header("Authorization").is_some() || names_login(&request.url) {
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

/// Whether user or password stand in the address. They are stronger than those of the configuration, as with Go's client.
fn names_login(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

/// Takes user and password out of an address, for which the client would make a second `Authorization`. One that cannot have
/// any has none to lose.
fn remove_login(url: &mut Url) {
    let _had_user = url.set_username("");
    let _had_password = url.set_password(None);
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

/// An answer, its body read as far as it was wanted.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    /// The status code.
    pub(crate) status: u16,
    /// The value of `Retry-After`.
    pub(crate) retry_after: Option<String>,
    /// The value of `Date`.
    pub(crate) date: Option<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Why it ends where it ends.
    pub(crate) end: End,
}

/// How a body ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is whole.
    Whole,
    /// There is more of it than was wanted.
    TooLong,
    /// The connection broke.
    BrokenOff(String),
}

/// How one integration reaches its service.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Arc<Client>,
    config: HttpConfig,
    tokens: Option<Tokens>,
    timeout: Duration,
    /// The address that was asked for last, taken apart: most integrations have one, and it costs as much as the rest of
    /// making a request.
    address: Mutex<Option<(String, Url)>>,
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
        let (client, tokens) = (pools.client(config)?, tokens.transpose()?);
        Ok(Connection { client, config: config.clone(), tokens, timeout, address: Mutex::default() })
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
        match self.fetch(request, ANSWER_BYTES_MAX).await {
            Ok(fetched) => {
                // The status says what happened; a body that breaks off takes nothing from it.
                let Fetched { status, retry_after, date, body, .. } = fetched;
                let body = String::from_utf8_lossy(&body).into_owned();
                let answer = Answer { status, retry_after, date, body };
                Sent { outcome: of_answer(dialect, &answer, at), answer: Some(answer) }
            }
            Err(outcome) => Sent { outcome, answer: None },
        }
    }

    /// The same for an answer whose body is wanted: at most `bytes_max` of it is read.
    pub(crate) async fn fetch(&self, request: &mut Request, bytes_max: usize) -> Result<Fetched, DeliveryOutcome> {
        self.complete(request);
        let Some(tokens) = self.tokens.as_ref().filter(|_| request.header("Authorization").is_none()) else {
            return self.once(request, bytes_max).await;
        };
        let mut token = self.token(tokens).await?;
        request.set_header("Authorization", format!("Bearer {token}"));
        let fetched = self.once(request, bytes_max).await?;
        if fetched.status != 401 {
            return Ok(fetched);
        }
        tokens.forget(&token).await;
        token = self.token(tokens).await?;
        request.set_header("Authorization", format!("Bearer {token}"));
        let fetched = self.once(request, bytes_max).await?;
        if fetched.status == 401 {
            tokens.forget(&token).await;
        }
        Ok(fetched)
    }

    async fn token(&self, tokens: &Tokens) -> Result<String, DeliveryOutcome> {
        match tokio::time::timeout(self.timeout, tokens.token()).await {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(reason)) => Err(DeliveryOutcome::Retry { after: None, reason }),
            Err(_) => Err(timed_out(self.timeout)),
        }
    }

    async fn once(&self, request: &Request, bytes_max: usize) -> Result<Fetched, DeliveryOutcome> {
        let client = self.client.get();
        let prepare = || self.prepare(&client, request);
        let prepared = prepare().map_err(|reason| DeliveryOutcome::Rejected { reason })?;
        let response = async {
            match self.config.follow_redirects {
                true => redirect::execute(&client, prepared, || prepare().ok()).await,
                false => Ok(client.execute(prepared).await?),
            }
        };
        match tokio::time::timeout(self.timeout, exchange(response, bytes_max)).await {
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(error)) => Err(of_error(&error, self.timeout)),
            Err(_) => Err(timed_out(self.timeout)),
        }
    }

    fn prepare(&self, client: &reqwest::Client, request: &Request) -> Result<reqwest::Request, String> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let impossible = |why: String| format!("the request cannot be made: {why}");
        let mut address = self.address(&request.url).map_err(impossible)?;
        if request.header("Authorization").is_some() {
            remove_login(&mut address);
        }
        let mut builder = client.request(method, address).body(request.body.clone());
        for (name, value) in &request.headers {
            let (name, value) = header(name, value)?;
            builder = builder.header(name, value);
        }
        builder.build().map_err(|error| impossible(chain(&error.without_url())))
    }

    fn address(&self, text: &str) -> Result<Url, String> {
        let mut last = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, url)) = last.as_ref().filter(|(known, _)| known == text) {
            return Ok(url.clone());
        }
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        *last = Some((text.to_owned(), url.clone()));
        Ok(url)
    }
}

/// The time by the clock on the wall, where a service checks it: a signature made now must say so, and not when the
/// notification was decided.
#[expect(clippy::disallowed_methods, reason = "services refuse signatures whose time is not theirs")]
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A header as it is sent. Its value may have any letters, which go as UTF-8 as Go's client sends them. Line feeds and their
/// like become spaces: none can begin another header, and an alert whose text has one costs no page.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let error = || format!("the header {name:?} cannot be sent");
    let mut line = Cow::Borrowed(value.trim());
    if line.contains(char::is_control) {
        line = line.replace(char::is_control, " ").into();
    }
    let value = HeaderValue::from_bytes(line.as_bytes()).map_err(|_| error())?;
    Ok((name.parse().map_err(|_| error())?, value))
}

/// Waits for an answer and reads at most `bytes_max` of it.
async fn exchange(
    response: impl Future<Output = Result<reqwest::Response, ExchangeError>>,
    bytes_max: usize,
) -> Result<Fetched, ExchangeError> {
    let mut response = response.await?;
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut fetched = Fetched {
        status: response.status().as_u16(),
        retry_after: text("retry-after"),
        date: text("date"),
        body: Vec::new(),
        end: End::Whole,
    };
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = bytes_max - fetched.body.len();
                fetched.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    fetched.end = End::TooLong;
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                fetched.end = End::BrokenOff(chain(&error.without_url()));
                break;
            }
        }
    }
    Ok(fetched)
}

/// Without an answer nothing is known, and everything that can be wrong on the way can be right later.
fn of_error(error: &ExchangeError, timeout: Duration) -> DeliveryOutcome {
    let reason = match error {
        ExchangeError::Http(cause) if cause.is_timeout() && !cause.is_connect() => return timed_out(timeout),
        ExchangeError::Http(cause) if cause.is_connect() => format!("cannot connect: {error}"),
        ExchangeError::Http(_) => format!("no answer: {error}"),
        ExchangeError::TooManyRedirects => error.to_string(),
        ExchangeError::Elsewhere { .. } => return DeliveryOutcome::Rejected { reason: error.to_string() },
    };
    DeliveryOutcome::Retry { after: None, reason: bounded(&reason) }
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
