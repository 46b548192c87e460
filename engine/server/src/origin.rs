//! Pages of other sites: what a browser may do in their name.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::App;

/// Refuses what a page of another site makes a reader's browser send, because it could silence alerts in the reader's
/// name, and tells browsers which sites may read (`server.cors_origins`).
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let (origin, host) = (header_text(&request, header::ORIGIN), header_text(&request, header::HOST));
    if origin.is_empty() {
        return next.run(request).await;
    }
    let known = app.engine.definitions().config.server.cors_origins.contains(&origin);
    let own = origin.split_once("://").map_or(origin.as_str(), |(_, host)| host) == host;
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

fn header_text(request: &Request, name: HeaderName) -> String {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
