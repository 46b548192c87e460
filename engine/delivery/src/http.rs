//! The sender of HTTP requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use reqwest::header::{HeaderName, HeaderValue};
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::{Credential, HttpConfig, ProxyConfig, TlsConfig, TlsVersion};
use watchfire_model::Timestamp;

use crate::outcome::{Answer, Dialect, bounded, of_answer};
use crate::{Method, Request};

/// How much of an answer is read. The rest is not worth the memory, and an endless one must not hold the sender.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// How long a connection may take to come up, within the time of the whole attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Redirects that are followed, as in Go.
const REDIRECTS_MAX: usize = 10;

/// What decides whether two integrations can share connections.
#[derive(Clone, Debug, PartialEq)]
struct Transport {
    tls: TlsConfig,
    proxy: ProxyConfig,
    follow_redirects: bool,
    enable_http2: bool,
}

/// Connection pools, one per way to connect.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    clients: Mutex<Vec<(Transport, reqwest::Client)>>,
}

impl Pools {
    /// The client for a configuration, made once and shared from then on.
    ///
    /// # Errors
    /// If the configuration asks for something that cannot be done.
    pub(crate) fn client(&self, config: &HttpConfig) -> Result<reqwest::Client, String> {
        let wanted = Transport {
            tls: config.tls.clone(),
            proxy: config.proxy.clone(),
            follow_redirects: config.follow_redirects,
            enable_http2: config.enable_http2,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(transport, _)| *transport == wanted) {
            return Ok(client.clone());
        }
        let client = build_client(&wanted)?;
        clients.push((wanted, client.clone()));
        Ok(client)
    }
}

fn build_client(transport: &Transport) -> Result<reqwest::Client, String> {
    use reqwest::redirect::Policy;
    let limited = Policy::limited(REDIRECTS_MAX);
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("Watchfire/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(if transport.follow_redirects { limited } else { Policy::none() });
    if !transport.enable_http2 {
        builder = builder.http1_only();
    }
    builder = proxy(builder, &transport.proxy)?;
    builder = tls(builder, &transport.tls)?;
    builder.build().map_err(|error| chain(&error))
}

fn proxy(builder: reqwest::ClientBuilder, config: &ProxyConfig) -> Result<reqwest::ClientBuilder, String> {
    if config.from_environment {
        return Ok(builder);
    }
    let Some(url) = &config.url else {
        return Ok(builder.no_proxy());
    };
    let mut proxy = reqwest::Proxy::all(url.expose()).map_err(|_| "proxy_url is not an address".to_owned())?;
    proxy = proxy.no_proxy(reqwest::NoProxy::from_string(&config.no_proxy));
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, values) in &config.connect_headers {
        for value in values {
            let (name, value) = header(name, value.expose())?;
            headers.append(name, value);
        }
    }
    Ok(builder.proxy(if headers.is_empty() { proxy } else { proxy.headers(headers) }))
}

fn tls(mut builder: reqwest::ClientBuilder, config: &TlsConfig) -> Result<reqwest::ClientBuilder, String> {
    let version = |version: TlsVersion| match version {
        TlsVersion::Tls10 => reqwest::tls::Version::TLS_1_0,
        TlsVersion::Tls11 => reqwest::tls::Version::TLS_1_1,
        TlsVersion::Tls12 => reqwest::tls::Version::TLS_1_2,
        TlsVersion::Tls13 => reqwest::tls::Version::TLS_1_3,
    };
    if !config.server_name.is_empty() {
        return Err("tls_config.server_name is not supported by this version".to_owned());
    }
    if let Some(ca) = &config.ca {
        let certificates = reqwest::Certificate::from_pem_bundle(current(ca).as_bytes());
        let certificates = certificates.map_err(|error| format!("tls_config.ca: {}", chain(&error)))?;
        if certificates.is_empty() {
            return Err("tls_config.ca: there is no PEM certificate in it".to_owned());
        }
        builder = builder.tls_certs_only(certificates);
    }
    if let (Some(certificate), Some(key)) = (&config.cert, &config.key) {
        let pem = format!("{}\n{}\n", current(certificate), current(key));
        let identity = reqwest::Identity::from_pem(pem.as_bytes());
        builder = builder.identity(identity.map_err(|error| format!("tls_config.cert: {}", chain(&error)))?);
    }
    if config.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    // Only 1.2 and 1.3 are spoken, so an older minimum asks for nothing.
    if let Some(min) = config.min_version.filter(|version| *version >= TlsVersion::Tls12) {
        builder = builder.tls_version_min(version(min));
    }
    if let Some(max) = config.max_version {
        builder = builder.tls_version_max(version(max));
    }
    Ok(builder)
}

/// The secret as its file has it now, so that it can be rotated without a reload; as it was at load if it cannot be read.
pub(crate) fn current(credential: &Credential) -> String {
    let fresh = credential.path().and_then(|path| std::fs::read_to_string(path).ok());
    fresh.map_or_else(|| credential.expose().to_owned(), |text| text.trim().to_owned())
}

/// Adds the credentials and headers of the configuration. What the channel set itself stays.
pub(crate) fn authenticate(request: &mut Request, config: &HttpConfig) {
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
pub(crate) fn secrets(config: &HttpConfig) -> Vec<String> {
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

/// Sends a request once.
pub(crate) async fn send(
    client: &reqwest::Client,
    request: &Request,
    dialect: Dialect,
    timeout: Duration,
    at: Timestamp,
) -> Sent {
    let prepared = match prepare(client, request) {
        Ok(prepared) => prepared,
        Err(reason) => return Sent { outcome: DeliveryOutcome::Rejected { reason }, answer: None },
    };
    match tokio::time::timeout(timeout, exchange(client, prepared)).await {
        Ok(Ok(answer)) => Sent { outcome: of_answer(dialect, &answer, at), answer: Some(answer) },
        Ok(Err(error)) => Sent { outcome: of_error(error, timeout), answer: None },
        Err(_) => Sent { outcome: timed_out(timeout), answer: None },
    }
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
