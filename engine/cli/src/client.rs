//! Asking a running server.

use anyhow::{Context, Result, anyhow, bail};
use reqwest::Url;
use serde_json::Value;
use watchfire::config::{HttpConfig, ProxyConfig};
use watchfire::delivery::{Method, Request, Said, Server, ServerError};

use crate::args::{self, Login};
use crate::configuration::http_config;

/// How long an answer may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// How long an answer may be.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// A server by its address. User and password may stand in the address, as in `http://user:password@host:9494`.
pub(crate) struct Client {
    base: Url,
    server: Server,
}

impl Client {
    pub(crate) fn of(server: &args::Server) -> Result<Client> {
        Client::new(&server.url, &server.login)
    }

    pub(crate) fn new(url: &str, login: &Login) -> Result<Client> {
        let text = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let mut base = Url::parse(&text).with_context(|| format!("{url:?} is no address of a server"))?;
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let http = match &login.http_config {
            Some(path) => http_config(path)?,
            // A command goes through the proxy of the shell around it, unless a file says otherwise.
            None => HttpConfig {
                proxy: ProxyConfig { from_environment: true, ..ProxyConfig::default() },
                ..HttpConfig::default()
            },
        };
        let server = Server::new(&http, TIMEOUT).map_err(|error| anyhow!(error))?;
        Ok(Client { base, server })
    }

    /// The address of a path below the server's.
    fn address(&self, path: &str, query: &[(&str, &str)]) -> Result<String> {
        let mut url = self.base.join(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url.into())
    }

    /// The JSON that a GET answers.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        self.send(Request::empty(Method::Get, self.address(path, query)?)).await
    }

    /// The same with parameters that are too long for an address.
    pub(crate) async fn form(&self, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        self.send(Request::post_form(self.address(path, &[])?, form.iter().copied())).await
    }

    /// Sends JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Request::post_json(self.address(path, &[])?, body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.send(Request::empty(Method::Delete, self.address(path, &[])?)).await
    }

    async fn send(&self, request: Request) -> Result<Value> {
        let said = self.server.ask(request, ANSWER_BYTES_MAX).await;
        let Said { status, body } = said.map_err(|error| match error {
            ServerError::Unreachable(reason) => anyhow!("{} cannot be reached: {reason}", self.shown()),
            error => anyhow!("{}: {error}", self.shown()),
        })?;
        let text = String::from_utf8_lossy(&body);
        if !matches!(status, 200..=299) {
            let status = reqwest::StatusCode::from_u16(status)?;
            bail!("{} answers {status}: {}", self.shown(), reason(&text));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{} does not answer with JSON", self.shown()))
    }

    /// The address without the password.
    fn shown(&self) -> String {
        let mut url = self.base.clone();
        hide_credentials(&mut url);
        url.to_string().trim_end_matches('/').to_owned()
    }
}

/// Takes user and password out of an address. One that cannot have any has none to hide.
fn hide_credentials(url: &mut Url) {
    let _had_user = url.set_username("");
    let _had_password = url.set_password(None);
}

/// What went wrong, without the JSON around it: Prometheus' errors are objects, Alertmanager's are texts.
fn reason(body: &str) -> String {
    match serde_json::from_str(body) {
        Ok(Value::String(text)) => text,
        Ok(object) => object["error"].as_str().or(object["message"].as_str()).unwrap_or(body).to_owned(),
        Err(_) => body.trim().to_owned(),
    }
}
