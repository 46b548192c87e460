//! Asking a running server.

use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;

/// How long an answer may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// A server by its address. User and password may stand in the address, as in `http://user:password@host:9494`.
#[derive(Clone)]
pub(crate) struct Client {
    base: Url,
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(url: &str) -> Result<Client> {
        let text = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let mut base = Url::parse(&text).with_context(|| format!("{url:?} is no address of a server"))?;
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Ok(Client { base, http: reqwest::Client::builder().timeout(TIMEOUT).build()? })
    }

    /// A request to a path below the server's address.
    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Result<RequestBuilder> {
        let mut url = self.base.join(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let (user, password) = (url.username().to_owned(), url.password().map(str::to_owned));
        hide_credentials(&mut url);
        let request = self.http.request(method, url);
        Ok(if user.is_empty() { request } else { request.basic_auth(user, password) })
    }

    /// The JSON that a GET answers.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        self.send(self.request(Method::GET, path, query)?).await
    }

    /// The same with parameters that are too long for an address.
    pub(crate) async fn form(&self, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        self.send(self.request(Method::POST, path, &[])?.form(form)).await
    }

    /// Sends JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(self.request(Method::POST, path, &[])?.json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.send(self.request(Method::DELETE, path, &[])?).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value> {
        let answer = request.send().await.with_context(|| format!("{} cannot be reached", self.shown()))?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
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
