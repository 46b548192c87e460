//! Who may come in: bearer tokens and basic authentication, both from the configuration.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use watchfire::config::AuthConfig;

use crate::App;

/// Whether the configuration lets in who shows this.
fn accepts(auth: &AuthConfig, authorization: &str) -> bool {
    let Some((scheme, credentials)) = authorization.split_once(' ') else { return false };
    let credentials = credentials.trim();
    if credentials.is_empty() {
        return false;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        // Every entry is compared whole, so that the time taken says nothing about which one came close.
        return auth.bearer_tokens.iter().fold(false, |found, token| found | equal(token.expose(), credentials));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let Ok(decoded) = STANDARD.decode(credentials) else { return false };
        let Ok(decoded) = String::from_utf8(decoded) else { return false };
        return auth
            .basic
            .iter()
            .fold(false, |found, (user, password)| found | equal(&format!("{user}:{}", password.expose()), &decoded));
    }
    false
}

/// Compares without stopping at the first difference.
fn equal(expected: &str, given: &str) -> bool {
    let (expected, given) = (expected.as_bytes(), given.as_bytes());
    let difference = expected.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b));
    expected.len() == given.len() && difference == 0
}

/// Lets a request through, or answers 401. Probes of supervisors carry no credentials and reveal nothing.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let loaded = app.engine.definitions();
    let auth = &loaded.config.server.auth;
    let everybody = auth.is_open() && !app.settings.credentials_required;
    let path = request.uri().path();
    // What its sender signs is checked where it is read.
    let open = everybody || matches!(path, "/-/healthy" | "/-/ready") || crate::inbound::SIGNED.contains(&path);
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if open || shown.is_some_and(|shown| accepts(auth, shown)) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"watchfire\", Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "credentials are missing or wrong\n").into_response()
}

#[cfg(test)]
mod tests {
    use watchfire::config::{Credential, Secret};

    use super::*;

    #[test]
    fn only_the_configured_credentials_are_accepted() {
        let inline = |text: &str| Credential::Inline(Secret::new(text));
        let auth = AuthConfig {
            bearer_tokens: vec![inline("t0ken")],
            basic: [("ops".to_owned(), inline("pass:word"))].into(),
        };
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
            assert_eq!(accepts(&auth, shown), accepted, "{shown}");
        }
    }
}
