//! Pages of other sites: what a browser may do in their name.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::App;

/// Refuses what a page of another site makes a reader's browser send, because it could silence alerts in the reader's
/// name, and tells browsers which sites may read (`server.cors_origins`).
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let (origin, host) = (header_text(&request, header::ORIGIN), header_text(&request, header::HOST));
    if is_from_browser(request.headers()) && !may_be_called(&app, &host) {
        let text = format!(
            "this engine asks for no credentials and is not known as {host}, so that this may be a page of another site\n\
             that had its name point here. Use an address or localhost, name this one in server.external_url, or\n\
             configure server.auth\n"
        );
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    if origin.is_empty() {
        return next.run(request).await;
    }
    let loaded = app.engine.definitions();
    let server = &loaded.config.server;
    let known = server.cors_origins.contains(&origin);
    // Behind a proxy readers see another name than the one that arrives here.
    let external = server.external_url.as_deref().is_some_and(|url| url_origin(url).eq_ignore_ascii_case(&origin));
    let own = external || origin.split_once("://").map_or(origin.as_str(), |(_, host)| host) == host;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && !own && !known {
        return (StatusCode::FORBIDDEN, "this request comes from a page of another site\n").into_response();
    }
    if !known {
        return next.run(request).await;
    }
    // Browsers ask before they send what is more than a form, and without credentials.
    let mut response = if *request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    if let Ok(origin) = HeaderValue::try_from(origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        (header::VARY, "Origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a browser sends a request, by what no page can keep its browser from sending. What other programs send is not
/// made by pages, and reaches engines under names that these do not know.
fn is_from_browser(headers: &HeaderMap) -> bool {
    let always = ["accept-language", "sec-fetch-site", "origin", "cookie"];
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    always.iter().any(|name| headers.contains_key(*name)) || agent.starts_with("Mozilla/")
}

/// Whether an engine may have this name. While everybody may come in, a site could have a name of its own point to this
/// machine and then ask in its readers' browsers as if it were this engine; credentials of the engine it would not have.
fn may_be_called(app: &App, host: &str) -> bool {
    let loaded = app.engine.definitions();
    let server = &loaded.config.server;
    let external = server.external_url.as_deref().and_then(|url| url.split_once("://"));
    let external = external.map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    let named =
        || external.into_iter().chain(server.listen.iter().map(String::as_str)).any(|own| name(own) == name(host));
    !server.auth.is_open() || is_private(&name(host)) || named()
}

/// The part of an address before its path, as browsers send it in `Origin`.
fn url_origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |path| &url[..host + path])
}

/// Whether nobody can have a name in the public DNS: addresses, names of one word, and those under ends that are kept for
/// private networks.
fn is_private(name: &str) -> bool {
    const ENDS: [&str; 6] = [".localhost", ".local", ".internal", ".svc", ".lan", ".home.arpa"];
    !name.contains('.') || name.parse::<IpAddr>().is_ok() || ENDS.iter().any(|end| name.ends_with(end))
}

/// The name in `name:port`, or the address in `[address]:port`.
fn name(host: &str) -> String {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn header_text(request: &Request, name: HeaderName) -> String {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_an_address_without_its_path() {
        for (url, origin) in [
            ("https://alerts.example.org", "https://alerts.example.org"),
            ("https://alerts.example.org:8443/watch/fire", "https://alerts.example.org:8443"),
            ("http://a/", "http://a"),
        ] {
            assert_eq!(url_origin(url), origin);
        }
    }

    #[test]
    fn what_nobody_can_register_is_private() {
        for (host, private) in [
            ("localhost:9494", true),
            ("127.0.0.1:9494", true),
            ("[::1]:9494", true),
            ("192.168.0.7", true),
            ("watchfire:9494", true),
            ("watchfire.monitoring.svc.cluster.local:9494", true),
            ("Watchfire.LOCAL.", true),
            ("watchfire.example.org", false),
            ("evil.example:9494", false),
            ("127.0.0.1.evil.example", false),
            ("evillocal.example", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(is_private(&name(host)), private, "{host}");
        }
    }
}
