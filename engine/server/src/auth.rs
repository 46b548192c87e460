//! Who may come in: bearer tokens and basic authentication, both from the configuration.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a caller may show. Without any entry everybody may come in, which is only safe on the loopback interface.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Tokens for `Authorization: Bearer`.
    pub bearer_tokens: Vec<String>,
    /// Users and passwords for `Authorization: Basic`.
    pub basic: Vec<(String, String)>,
}

impl Credentials {
    /// Whether nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.bearer_tokens.is_empty() && self.basic.is_empty()
    }

    fn accept(&self, authorization: &str) -> bool {
        let Some((scheme, credentials)) = authorization.split_once(' ') else { return false };
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            // Every entry is compared whole, so that the time taken says nothing about which one came close.
            return self.bearer_tokens.iter().fold(false, |found, token| found | equal(token, credentials));
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let Ok(decoded) = STANDARD.decode(credentials) else { return false };
            let Ok(decoded) = String::from_utf8(decoded) else { return false };
            return self
                .basic
                .iter()
                .fold(false, |found, (user, password)| found | equal(&format!("{user}:{password}"), &decoded));
        }
        false
    }
}

/// Compares without stopping at the first difference.
fn equal(expected: &str, given: &str) -> bool {
    let (expected, given) = (expected.as_bytes(), given.as_bytes());
    let difference = expected.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b));
    expected.len() == given.len() && difference == 0
}

/// Refuses what a page of another site makes a reader's browser send: it could silence alerts in the reader's name.
pub(crate) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if comes_from_another_site(&request) {
        return (StatusCode::FORBIDDEN, "this request comes from a page of another site\n").into_response();
    }
    next.run(request).await
}

/// Browsers name the origin of a request that changes something; programs send none.
fn comes_from_another_site(request: &Request) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    changes && origin.is_some_and(|origin| text(header::HOST) != Some(origin))
}

/// Lets a request through, or answers 401. Probes of supervisors carry no credentials and reveal nothing.
pub(crate) async fn check(State(credentials): State<Arc<Credentials>>, request: Request, next: Next) -> Response {
    let open = credentials.is_empty() || matches!(request.uri().path(), "/-/healthy" | "/-/ready");
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if open || shown.is_some_and(|shown| credentials.accept(shown)) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"watchfire\", Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "credentials are missing or wrong\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_configured_credentials_are_accepted() {
        let credentials =
            Credentials { bearer_tokens: vec!["t0ken".into()], basic: vec![("ops".into(), "pass:word".into())] };
        for (shown, accepted) in [
            ("Bearer t0ken", true),
            ("bearer t0ken", true),
            ("Bearer t0ke", false),
            ("Bearer ", false),
            ("Basic b3BzOnBhc3M6d29yZA==", true),
            ("Basic b3BzOnBhc3M=", false),
            ("Basic ???", false),
            ("t0ken", false),
        ] {
            assert_eq!(credentials.accept(shown), accepted, "{shown}");
        }
    }
}
