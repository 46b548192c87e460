//! Tokens from an OAuth 2 server: client credentials, or a signed assertion.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{self, RsaEncoding, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use watchfire_config::{OAuth2, Tree};

use super::{Client, End, chain, current, exchange, redirect, wall_clock};
use crate::notification::encode;
use crate::outcome::bounded;

/// The grant in which the client signs who it is.
const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A token is replaced so long before its end, because a request takes time.
const EARLY: Duration = Duration::from_secs(10);
/// How long a token lives whose server does not say.
const LIFETIME: Duration = Duration::from_mins(5);
/// How long a token is used at most, whatever its server says.
const LIFETIME_MAX: Duration = Duration::from_hours(24);
/// How much of the server's answer is read; a token is some kilobytes at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long a signed assertion counts.
const ASSERTION_SECONDS: i64 = 3600;

/// A source of tokens. One request for a token at a time: whoever comes meanwhile waits for it and shares what it gave.
pub(crate) struct Tokens {
    config: OAuth2,
    client: Arc<Client>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<(String, Instant)>,
    /// The server wants the client's secret in the body and not in a header.
    secret_in_body: bool,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({} from {})", self.config.client_id, self.config.token_url)
    }
}

impl Tokens {
    pub(crate) fn new(config: OAuth2, client: Arc<Client>) -> Tokens {
        Tokens { config, client, state: Mutex::default() }
    }

    /// The token, from memory while it counts.
    ///
    /// # Errors
    /// Why the server gave none.
    pub(crate) async fn token(&self) -> Result<String, String> {
        let mut state = self.state.lock().await;
        if let Some((token, until)) = &state.token
            && *until > Instant::now()
        {
            return Ok(token.clone());
        }
        let (status, body) = self.ask(state.secret_in_body).await?;
        // Servers differ in where they read the secret, and none says so before it refuses.
        let (status, body) = if matches!(status, 400 | 401) && self.config.grant_type != JWT_GRANT {
            let second = self.ask(!state.secret_in_body).await?;
            if second.0 / 100 == 2 {
                state.secret_in_body = !state.secret_in_body;
                second
            } else {
                (status, body)
            }
        } else {
            (status, body)
        };
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = answer["access_token"].as_str().filter(|_| status / 100 == 2);
        let Some(token) = token else {
            let said = ["error_description", "error"].iter().find_map(|name| answer[*name].as_str()).unwrap_or("");
            return Err(bounded(&format!("the OAuth 2 server gave no token: HTTP {status} {said}")));
        };
        let lasts = answer["expires_in"].as_u64().map_or(LIFETIME, Duration::from_secs).min(LIFETIME_MAX);
        state.token = Some((token.to_owned(), Instant::now() + lasts.saturating_sub(EARLY)));
        Ok(token.to_owned())
    }

    /// Forgets a token that the receiver does not take.
    pub(crate) async fn forget(&self, token: &str) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|(known, _)| known == token) {
            state.token = None;
        }
    }

    /// What must not be seen; a token only while nobody is asking for a new one.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets: Vec<String> = self.config.client_secret.iter().map(current).collect();
        secrets.extend(self.config.certificate_key.iter().map(current));
        if let Ok(state) = self.state.try_lock() {
            secrets.extend(state.token.iter().map(|(token, _)| token.clone()));
        }
        secrets
    }

    async fn ask(&self, secret_in_body: bool) -> Result<(u16, Vec<u8>), String> {
        let config = &self.config;
        let mut form = vec![("grant_type".to_owned(), config.grant_type.clone())];
        if !config.scopes.is_empty() {
            form.push(("scope".to_owned(), config.scopes.join(" ")));
        }
        let secret = config.client_secret.as_ref().map(current).unwrap_or_default();
        let client = self.client.get();
        let mut request = client.post(&config.token_url).header("Accept", "application/json");
        if config.grant_type == JWT_GRANT {
            form.push(("assertion".to_owned(), self.assertion()?));
        } else if secret_in_body {
            form.push(("client_id".to_owned(), config.client_id.clone()));
            form.push(("client_secret".to_owned(), secret));
        } else {
            let pair = STANDARD.encode(format!("{}:{}", encode(&config.client_id), encode(&secret)));
            request = request.header("Authorization", format!("Basic {pair}"));
        }
        form.extend(config.endpoint_params.iter().map(|(name, value)| (name.clone(), value.clone())));
        let failed = |reason: &dyn Display| format!("the OAuth 2 server cannot be asked: {reason}");
        let request = request.form(&form).build().map_err(|error| failed(&chain(&error.without_url())))?;
        let first = request.try_clone();
        let again = || first.as_ref().and_then(reqwest::Request::try_clone);
        let fetched = exchange(redirect::execute(&client, request, again), ANSWER_BYTES_MAX).await;
        let fetched = fetched.map_err(|error| failed(&error))?;
        match fetched.end {
            End::Whole => Ok((fetched.status, fetched.body)),
            End::TooLong => Err(format!("the OAuth 2 server's answer has more than {ANSWER_BYTES_MAX} bytes")),
            End::BrokenOff(reason) => Err(failed(&reason)),
        }
    }

    /// Who the client is, signed with its key (RFC 7523).
    fn assertion(&self) -> Result<String, String> {
        let config = &self.config;
        let pem = config.certificate_key.as_ref().map(current).unwrap_or_default();
        let key = match PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            Err(_) => match PrivatePkcs1KeyDer::from_pem_slice(pem.as_bytes()) {
                Ok(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                Err(_) => return Err("oauth2.client_certificate_key is not an RSA key in PEM".to_owned()),
            },
        };
        let key = key.map_err(|error| format!("oauth2.client_certificate_key: {error}"))?;
        let now = wall_clock().as_millis() / 1000;
        let or = |own: &str, other: &str| if own.is_empty() { other.to_owned() } else { own.to_owned() };
        let mut header = json!({"alg": config.signature_algorithm, "typ": "JWT"});
        if !config.certificate_key_id.is_empty() {
            header["kid"] = config.certificate_key_id.as_str().into();
        }
        let mut claims = json!({
            "iss": or(&config.issuer, &config.client_id),
            "aud": or(&config.audience, &config.token_url),
            "sub": config.client_id,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        if !config.scopes.is_empty() {
            claims["scope"] = config.scopes.join(" ").into();
        }
        let more = config.claims.as_ref().map(Tree::to_json).and_then(|text| serde_json::from_str(&text).ok());
        if let (Some(Value::Object(more)), Value::Object(claims)) = (more, &mut claims) {
            claims.extend(more);
        }
        let encoding: &dyn RsaEncoding = match config.signature_algorithm.as_str() {
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            _ => &signature::RSA_PKCS1_SHA256,
        };
        let text = [&header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let mut signed = vec![0; key.public().modulus_len()];
        key.sign(encoding, &ring::rand::SystemRandom::new(), text.as_bytes(), &mut signed)
            .map_err(|_| "the OAuth 2 assertion cannot be signed".to_owned())?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signed)))
    }
}
