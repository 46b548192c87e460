//! Fetching a plugin from an OCI registry by its digest.
//!
//! A reference names the digest of a manifest, so that the registry cannot hand out anything else: what comes is
//! compared with it, and the layer with the digest that the manifest names. Tags, which can be moved, are refused.

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode, Url};
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
/// How long one answer of the registry may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

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
        let host =
            Url::parse(&format!("https://{}", self.host)).with_context(|| format!("the host {:?}", self.host))?;
        let host = host.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let scheme = if is_loopback { "http" } else { "https" };
        Ok(Url::parse(&format!("{scheme}://{}/v2/{}/{what}/{digest}", self.host, self.repository))?)
    }

    /// The component's bytes, at most `bytes_max`.
    pub(crate) async fn pull(&self, bytes_max: u64) -> Result<Vec<u8>> {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        let mut token = None;
        let url = self.url("manifests", &self.digest)?;
        let manifest = fetch(&client, url, MANIFEST_TYPES, &mut token, MANIFEST_BYTES_MAX).await?;
        check_digest(&manifest, &self.digest).context("the manifest")?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).context("the manifest is not one of an OCI image")?;
        let layer = LAYER_TYPES.iter().find_map(|wanted| manifest.layers.iter().find(|one| one.media_type == *wanted));
        let Some(layer) = layer else {
            let found: Vec<&str> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
            bail!("there is no WebAssembly in it: its layers are {found:?}; push the component as {}", LAYER_TYPES[0]);
        };
        ensure!(layer.size <= bytes_max, "the plugin has {} bytes, the limit is {bytes_max}", layer.size);
        let url = self.url("blobs", &layer.digest)?;
        let wasm = fetch(&client, url, "*/*", &mut token, bytes_max).await?;
        check_digest(&wasm, &layer.digest).context("the plugin")?;
        Ok(wasm)
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

/// A GET, a second time with a token where the registry asks for one: public registries give it to everybody.
async fn fetch(client: &Client, url: Url, accept: &str, token: &mut Option<String>, bytes_max: u64) -> Result<Vec<u8>> {
    let mut answer = get(client, &url, accept, token.as_deref()).await?;
    if answer.status() == StatusCode::UNAUTHORIZED && token.is_none() {
        *token = Some(anonymous_token(client, &answer).await?);
        answer = get(client, &url, accept, token.as_deref()).await?;
    }
    body(answer, bytes_max).await
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

async fn get(client: &Client, url: &Url, accept: &str, token: Option<&str>) -> Result<Response> {
    let request = client.get(url.clone()).header(ACCEPT, accept);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.with_context(|| format!("{url} cannot be reached"))
}

/// Asks for the token where the refusal says: `Bearer realm="...",service="...",scope="..."`.
async fn anonymous_token(client: &Client, refusal: &Response) -> Result<String> {
    let header = refusal.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, parts) = header.split_once(' ').unwrap_or_default();
    ensure!(scheme.eq_ignore_ascii_case("bearer"), "{} wants a login", refusal.url());
    let part = |name: &str| {
        let (_, rest) = parts.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let mut url = Url::parse(&part("realm").context("the registry does not say where tokens are given")?)?;
    ensure!(url.scheme() == "https", "the registry sends to {url} for a token, which is not encrypted");
    for name in ["service", "scope"] {
        if let Some(value) = part(name) {
            url.query_pairs_mut().append_pair(name, &value);
        }
    }
    let answer = client.get(url.clone()).send().await.with_context(|| format!("{url} cannot be reached"))?;
    token(&body(answer, MANIFEST_BYTES_MAX).await?).with_context(|| format!("{url} gives no token"))
}

fn token(answer: &[u8]) -> Result<String> {
    let Token { token, access_token } = serde_json::from_slice(answer)?;
    token.or(access_token).context("its answer has neither `token` nor `access_token`")
}

#[cfg(test)]
mod tests {
    use super::*;

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
