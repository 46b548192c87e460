//! Who may come in and what they may do: bearer tokens and basic authentication, both from the configuration.

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use watchfire::config::{AuthConfig, Login, Role};

use crate::App;

/// What the configuration lets do who shows this; `None` if it does not let them in.
fn role(auth: &AuthConfig, authorization: &str) -> Option<Role> {
    let (scheme, credentials) = authorization.split_once(' ')?;
    let credentials = credentials.trim();
    if credentials.is_empty() {
        return None;
    }
    // Every entry is compared whole, so that the time taken says nothing about which one came close.
    let best = |found: Option<Role>, role: Role, fits: bool| if fits { found.max(Some(role)) } else { found };
    if scheme.eq_ignore_ascii_case("bearer") {
        let fits = |login: &Login| equal(login.credential.expose(), credentials);
        return auth.bearer_tokens.iter().fold(None, |found, login| best(found, login.role, fits(login)));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
        let fits = |user: &str, login: &Login| equal(&format!("{user}:{}", login.credential.expose()), &decoded);
        return auth.basic.iter().fold(None, |found, (user, login)| best(found, login.role, fits(user, login)));
    }
    None
}

/// What only answers although it is sent by POST: queries as forms, and a preview, which sends nothing.
const ASKING: [&str; 7] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_exemplars",
    "/api/v1/format_query",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/watchfire/v1/receivers/preview",
];

/// The role without which a request is refused.
pub(crate) fn needed(method: &Method, path: &str) -> Role {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match path {
        "/-/reload" | "/v1/alerting/clear-history" => Role::Administrator,
        _ if reads || ASKING.contains(&path) => Role::Viewer,
        _ => Role::Operator,
    }
}

/// Compares without stopping at the first difference.
fn equal(expected: &str, given: &str) -> bool {
    let (expected, given) = (expected.as_bytes(), given.as_bytes());
    let difference = expected.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b));
    expected.len() == given.len() && difference == 0
}

/// Lets a request through, or answers 401 or 403. Probes of supervisors carry no credentials and reveal nothing.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let loaded = app.engine.definitions();
    let auth = &loaded.config.server.auth;
    let everybody = auth.is_open() && !app.settings.credentials_required;
    let path = request.uri().path();
    // What its sender signs is checked where it is read.
    let open = everybody || matches!(path, "/-/healthy" | "/-/ready") || crate::inbound::SIGNED.contains(&path);
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let role = if open { Some(Role::Administrator) } else { shown.and_then(|shown| role(auth, shown)) };
    if let Some(role) = role {
        let needed = needed(request.method(), path);
        if role >= needed {
            return next.run(request).await;
        }
        let text = format!("this needs the role {}, and these credentials have {}\n", needed.as_str(), role.as_str());
        return (StatusCode::FORBIDDEN, text).into_response();
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
        let login = |text: &str, role| Login { credential: Credential::Inline(Secret::new(text)), role };
        let auth = AuthConfig {
            bearer_tokens: vec![login("t0ken", Role::Administrator), login("look", Role::Viewer)],
            basic: [("ops".to_owned(), login("pass:word", Role::Operator))].into(),
        };
        for (shown, expected) in [
            ("Bearer t0ken", Some(Role::Administrator)),
            ("bearer t0ken", Some(Role::Administrator)),
            ("Bearer look", Some(Role::Viewer)),
            ("Bearer t0ke", None),
            ("Bearer ", None),
            ("Basic b3BzOnBhc3M6d29yZA==", Some(Role::Operator)),
            ("Basic b3BzOnBhc3M=", None),
            ("Basic ???", None),
            ("t0ken", None),
        ] {
            assert_eq!(role(&auth, shown), expected, "{shown}");
        }
    }

    #[test]
    fn who_reads_needs_less_than_who_acts() {
        for (method, path, role) in [
            (Method::GET, "/", Role::Viewer),
            (Method::GET, "/api/v2/alerts", Role::Viewer),
            (Method::POST, "/api/v1/query_range", Role::Viewer),
            (Method::POST, "/api/watchfire/v1/receivers/preview", Role::Viewer),
            (Method::POST, "/api/v1/write", Role::Operator),
            (Method::POST, "/api/v2/silences", Role::Operator),
            (Method::DELETE, "/api/v2/silence/x", Role::Operator),
            (Method::POST, "/v1/alerting/send", Role::Operator),
            (Method::POST, "/v1/alerting/clear-history", Role::Administrator),
            (Method::PUT, "/-/reload", Role::Administrator),
        ] {
            assert_eq!(needed(&method, path), role, "{method} {path}");
        }
    }
}
