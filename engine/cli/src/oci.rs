//! Fetching a plugin from an OCI registry by its digest.
//!
//! A reference names the digest of a manifest, so that the registry cannot hand out anything else: what comes is
//! compared with it, and the layer with the digest that the manifest names. Tags, which can be moved, are refused.

mod login;

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The media types of a layer that is a component, in the order of preference.
const LAYER_TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];
const MANIFEST_TYPES: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// The largest manifest, and the largest answer with a token.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// How often a registry may send elsewhere, for one request.
const REDIRECTS_MAX: usize = 10;
/// How long one answer of the registry may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

pub(crate) use login::{Credentials, Login};

/// `oci://HOST/REPOSITORY@sha256:DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    host: String,
    repository: String,
    digest: String,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

/// Some registries give it under one name, some under the other, and Docker Hub under both.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl std::str::FromStr for Reference {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Reference> {
        let help = "write oci://HOST/REPOSITORY@sha256:DIGEST; a tag can be moved and is not enough";
        let rest =
            text.strip_prefix("oci://").with_context(|| format!("{text:?} does not begin with oci://; {help}"))?;
        let (name, digest) = rest.split_once('@').with_context(|| format!("{text:?} has no digest; {help}"))?;
        let (host, repository) = name.split_once('/').with_context(|| format!("{text:?} has no repository; {help}"))?;
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        let is_digest = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ensure!(is_digest, "{digest:?} is not a SHA-256 digest; {help}");
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
                && !part.starts_with('.')
        };
        ensure!(repository.split('/').all(is_part), "{repository:?} is not the name of a repository; {help}");
        ensure!(!host.is_empty(), "{text:?} has no host; {help}");
        Ok(Reference { host: host.to_owned(), repository: repository.to_owned(), digest: digest.to_owned() })
    }
}

impl Reference {
    /// The last part of the repository, by which the plugin is called if nobody says otherwise.
    pub(crate) fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }

    fn url(&self, what: &str, digest: &str) -> Result<Url> {
        // Registries on this machine rarely have a certificate; everything else must.
        let secure =
            Url::parse(&format!("https://{}", self.host)).with_context(|| format!("the host {:?}", self.host))?;
        let scheme = if is_loopback(&secure) { "http" } else { "https" };
        Ok(Url::parse(&format!("{scheme}://{}/v2/{}/{what}/{digest}", self.host, self.repository))?)
    }

    /// The component's bytes, at most `bytes_max`. Who asks is said where the registry wants to know it: with `given`, else
    /// with what `docker login` has kept.
    pub(crate) async fn pull(&self, bytes_max: u64, given: Option<Credentials>) -> Result<Vec<u8>> {
        let client = Client::builder().timeout(TIMEOUT).redirect(Policy::custom(follow)).build()?;
        let mut registry = Registry { client, host: &self.host, given, pass: None };
        let manifest = registry.fetch(self.url("manifests", &self.digest)?, MANIFEST_TYPES, MANIFEST_BYTES_MAX).await?;
        check_digest(&manifest, &self.digest).context("the manifest")?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).context("the manifest is not one of an OCI image")?;
        let layer = LAYER_TYPES.iter().find_map(|wanted| manifest.layers.iter().find(|one| one.media_type == *wanted));
        let Some(layer) = layer else {
            let found: Vec<&str> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
            bail!("there is no WebAssembly in it: its layers are {found:?}; push the component as {}", LAYER_TYPES[0]);
        };
        ensure!(layer.size <= bytes_max, "the plugin has {} bytes, the limit is {bytes_max}", layer.size);
        let wasm = registry.fetch(self.url("blobs", &layer.digest)?, "*/*", bytes_max).await?;
        check_digest(&wasm, &layer.digest).context("the plugin")?;
        Ok(wasm)
    }
}

/// Whether an address is on this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Registries send to where their blobs lie. The client leaves a login behind where that is another host or port; what was
/// encrypted stays so.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let came_from = attempt.previous().last();
    if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error("it sends from one place to the next")
    } else if attempt.url().scheme() != "https" && came_from.is_some_and(|url| url.scheme() == "https") {
        attempt.error("it sends to an address that is not encrypted")
    } else {
        attempt.follow()
    }
}

fn check_digest(bytes: &[u8], expected: &str) -> Result<()> {
    let came = format!("sha256:{}", hex(&Sha256::digest(bytes)));
    ensure!(came == expected, "the registry sent something with the digest {came} for {expected}");
    Ok(())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A registry, and with what it lets in who asks now.
struct Registry<'a> {
    client: Client,
    host: &'a str,
    given: Option<Credentials>,
    pass: Option<Pass>,
}

/// What goes with a request.
enum Pass {
    Token(String),
    Login(Credentials),
}

/// What a registry asks for with a refusal.
#[derive(Debug, PartialEq, Eq)]
enum Wants {
    /// A token that is given at this address.
    Token(Url),
    Login,
}

impl Registry<'_> {
    /// A GET, a second time with what the registry asks for: public ones give a token to everybody.
    async fn fetch(&mut self, url: Url, accept: &str, bytes_max: u64) -> Result<Vec<u8>> {
        let mut answer = self.get(&url, accept).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.pass.is_none() && answer.url() == &url {
            self.pass = Some(self.let_in(&answer).await?);
            answer = self.get(&url, accept).await?;
        }
        body(answer, bytes_max).await
    }

    async fn get(&self, url: &Url, accept: &str) -> Result<Response> {
        let request = self.client.get(url.clone()).header(ACCEPT, accept);
        let request = match &self.pass {
            Some(Pass::Token(token)) => request.bearer_auth(token),
            Some(Pass::Login(login)) => logged_in(request, login),
            None => request,
        };
        request.send().await.with_context(|| format!("{url} cannot be reached"))
    }

    async fn let_in(&mut self, refusal: &Response) -> Result<Pass> {
        let wants = wants(refusal)?;
        let login = match self.given.take() {
            Some(given) => Some(given),
            None => match login::kept(self.host).await {
                Ok(kept) => kept,
                // Whoever lets everybody in is not to be missed for that.
                Err(error) if matches!(wants, Wants::Token(_)) => {
                    eprintln!("warning: {error:#}; the plugin is pulled without a login");
                    None
                }
                Err(error) => return Err(error),
            },
        };
        match (wants, login) {
            (Wants::Token(url), login) => {
                let request = self.client.get(url.clone());
                let request = match &login {
                    Some(login) => logged_in(request, login),
                    None => request,
                };
                let answer = request.send().await.with_context(|| format!("{url} cannot be reached"))?;
                let answer = body(answer, MANIFEST_BYTES_MAX).await?;
                token(&answer).map(Pass::Token).with_context(|| format!("{url} gives no token"))
            }
            (Wants::Login, Some(login)) => Ok(Pass::Login(login)),
            (Wants::Login, None) => {
                bail!("{0} wants a login: run `docker login {0}`, or give --username and a password", self.host)
            }
        }
    }
}

fn logged_in(request: RequestBuilder, login: &Credentials) -> RequestBuilder {
    request.basic_auth(&login.user, Some(&login.password))
}

/// What a good answer holds, unless it is longer than it may be.
async fn body(mut answer: Response, bytes_max: u64) -> Result<Vec<u8>> {
    let url = answer.url().clone();
    ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
        ensure!(bytes.len() as u64 <= bytes_max, "{url} answers with more than {bytes_max} bytes");
    }
    Ok(bytes)
}

/// What the refusal asks for: `Bearer realm="...",service="...",scope="..."` or `Basic realm="..."`.
fn wants(refusal: &Response) -> Result<Wants> {
    let headers = refusal.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let challenges: Vec<(&str, &str)> = headers.filter_map(|value| value.split_once(' ')).collect();
    let of =
        |scheme: &str| challenges.iter().find(|(one, _)| one.eq_ignore_ascii_case(scheme)).map(|(_, parts)| *parts);
    match (of("bearer"), of("basic")) {
        (Some(parts), _) => realm(refusal.url(), parts).map(Wants::Token),
        (None, Some(_)) => Ok(Wants::Login),
        (None, None) => bail!("{} wants a login of a kind that is not known here", refusal.url()),
    }
}

/// Where tokens are given. A login goes there, so that it is encrypted unless it stays on this machine.
fn realm(registry: &Url, parts: &str) -> Result<Url> {
    let part = |name: &str| {
        let (_, rest) = parts.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let mut url = Url::parse(&part("realm").context("the registry does not say where tokens are given")?)?;
    let stays_here = url.scheme() == "http" && is_loopback(&url) && is_loopback(registry);
    ensure!(url.scheme() == "https" || stays_here, "the registry sends to {url} for a token, which is not encrypted");
    for name in ["service", "scope"] {
        if let Some(value) = part(name) {
            url.query_pairs_mut().append_pair(name, &value);
        }
    }
    Ok(url)
}

fn token(answer: &[u8]) -> Result<String> {
    let Token { token, access_token } = serde_json::from_slice(answer)?;
    token.or(access_token).context("its answer has neither `token` nor `access_token`")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::{Request, State};
    use axum::response::{IntoResponse, Response};

    use super::*;

    /// What a server was asked: its place, and whether somebody logged in there.
    type Asked = Arc<Mutex<Vec<String>>>;

    /// Registry, token realm and store of blobs on ports of their own.
    #[derive(Clone)]
    struct Double {
        role: &'static str,
        next: String,
        asked: Asked,
        wasm: &'static [u8],
        manifest: String,
    }

    async fn answer(State(double): State<Double>, request: Request) -> Response {
        let login = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("nobody");
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        let path = path.split_once("sha256:").map_or(path, |(path, _)| path);
        double.asked.lock().unwrap().push(format!("{} {path} {login}", double.role));
        let refused = |wants: String| (StatusCode::UNAUTHORIZED, [("www-authenticate", wants)]).into_response();
        let next = &double.next;
        match (double.role, login) {
            ("realm", "Basic YW5uOm9wZW4=") => r#"{"token": "t-1"}"#.into_response(),
            ("realm", _) => refused("Basic realm=\"r\"".to_owned()),
            ("registry", "Bearer t-1") if path.contains("/blobs/") => {
                (StatusCode::TEMPORARY_REDIRECT, [("location", format!("{next}/blob"))]).into_response()
            }
            ("registry", "Bearer t-1") => double.manifest.into_response(),
            ("registry", _) => {
                refused(format!("Bearer realm=\"{next}/token\",service=\"s\",scope=\"repository:x:pull\""))
            }
            _ => double.wasm.into_response(),
        }
    }

    async fn serve(double: Double) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(double);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    #[tokio::test]
    async fn a_login_goes_to_the_realm_and_nobody_else() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let (asked, wasm) = (Asked::default(), b"wasm".as_slice());
        let digest = |bytes: &[u8]| format!("sha256:{}", hex(&Sha256::digest(bytes)));
        let layer = serde_json::json!({"mediaType": LAYER_TYPES[0], "digest": digest(wasm), "size": wasm.len()});
        let manifest = serde_json::json!({"layers": [layer]}).to_string();
        let double = |role, next: &str| {
            let (next, asked, manifest) = (next.to_owned(), Arc::clone(&asked), manifest.clone());
            Double { role, next, asked, wasm, manifest }
        };
        // The registry sends to one address for tokens and for blobs; who stands there tells them apart by the path.
        let store = serve(double("store", "")).await;
        let realm = serve(double("realm", "")).await;
        let front = serve(double("registry", &realm)).await;
        let behind = serve(double("registry", &store)).await;
        let ann = || Some(Credentials { user: "ann".to_owned(), password: "open".to_owned() });
        let reference = |url: &str| -> Reference {
            format!("oci://{}/x@{}", url.trim_start_matches("http://"), digest(manifest.as_bytes())).parse().unwrap()
        };
        let client = || Client::builder().redirect(Policy::custom(follow)).build().unwrap();
        let front = reference(&front);
        let mut registry = Registry { client: client(), host: &front.host, given: ann(), pass: None };
        let url = front.url("manifests", &front.digest).unwrap();
        assert_eq!(registry.fetch(url, "*/*", 1_000).await.unwrap(), manifest.as_bytes());
        // With the token that it has now, and a redirect to another port.
        let behind = reference(&behind);
        let url = behind.url("blobs", &digest(wasm)).unwrap();
        assert_eq!(registry.fetch(url, "*/*", 1_000).await.unwrap(), wasm);
        assert_eq!(
            *asked.lock().unwrap(),
            [
                "registry /v2/x/manifests/ nobody",
                "realm /token?service=s&scope=repository%3Ax%3Apull Basic YW5uOm9wZW4=",
                "registry /v2/x/manifests/ Bearer t-1",
                "registry /v2/x/blobs/ Bearer t-1",
                "store /blob nobody",
            ]
        );
        let wrong = Some(Credentials { user: "ann".to_owned(), password: "shut".to_owned() });
        let refused = front.pull(1_000, wrong).await.unwrap_err().to_string();
        assert!(refused.contains("/token?") && refused.ends_with("answers 401 Unauthorized"), "{refused}");
    }

    #[test]
    fn tokens_are_fetched_encrypted_or_on_this_machine() {
        for (registry, asks, expected) in [
            ("https://a.example", "http://a.example/t", None),
            ("https://a.example", "http://127.0.0.1/t", None),
            ("http://127.0.0.1:5000", "http://a.example/t", None),
            ("http://127.0.0.1:5000", "http://localhost:5001/t", Some("http://localhost:5001/t?service=s")),
            ("https://a.example", "https://b.example/t", Some("https://b.example/t?service=s")),
        ] {
            let found = realm(&Url::parse(registry).unwrap(), &format!("realm=\"{asks}\",service=\"s\""));
            assert_eq!(found.ok().map(String::from).as_deref(), expected, "{registry} {asks}");
        }
    }

    #[test]
    fn a_token_is_taken_under_either_name() {
        for (answer, expected) in [
            (r#"{"token": "a"}"#, Some("a")),
            (r#"{"access_token": "a", "expires_in": 300}"#, Some("a")),
            (r#"{"token": "a", "access_token": "a"}"#, Some("a")),
            (r#"{"expires_in": 300}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(token(answer.as_bytes()).ok().as_deref(), expected, "{answer}");
        }
    }

    #[test]
    fn only_a_digest_is_a_reference() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let reference: Reference = format!("oci://ghcr.io/a/b/oncall@{digest}").parse().unwrap();
        assert_eq!(
            (reference.name(), reference.host.as_str(), reference.repository.as_str()),
            ("oncall", "ghcr.io", "a/b/oncall")
        );
        assert_eq!(reference.url("blobs", &digest).unwrap().scheme(), "https");
        for host in ["127.0.0.1:5000", "localhost", "[::1]:5000", "[::1]"] {
            let local: Reference = format!("oci://{host}/x@{digest}").parse().unwrap();
            assert_eq!(local.url("blobs", &digest).unwrap().scheme(), "http", "{host}");
        }
        for (text, part) in [
            ("ghcr.io/a/b".to_owned(), "does not begin with oci://"),
            ("oci://ghcr.io/a/b:latest".to_owned(), "has no digest"),
            (format!("oci://ghcr.io@{digest}"), "has no repository"),
            ("oci://ghcr.io/a@sha256:zz".to_owned(), "is not a SHA-256 digest"),
            (format!("oci://ghcr.io/../a@{digest}"), "is not the name of a repository"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
