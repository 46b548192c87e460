//! Redirects: followed as Go's client follows them, but what is meant for one server goes to no other.

use reqwest::header::LOCATION;
use reqwest::{Client, Method, Request, Response, StatusCode, Url};
use thiserror::Error;

use super::chain;

/// Redirects that are followed, as in Go.
const REDIRECTS_MAX: usize = 10;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    /// The request did not get through.
    #[error("{}", chain(.0))]
    Http(reqwest::Error),
    /// One redirect led to the next.
    #[error("more than {REDIRECTS_MAX} redirects")]
    TooManyRedirects,
    /// Body and credentials would go to a server that the configuration does not name.
    #[error(
        "HTTP {status} redirects to {to}, which is not followed, since the message and its credentials are for \
         another server; if they belong there, write that address into the configuration"
    )]
    Elsewhere {
        /// The status.
        status: u16,
        /// Scheme, host and port alone, because paths hold secrets.
        to: String,
    },
}

impl From<reqwest::Error> for ExchangeError {
    fn from(error: reqwest::Error) -> ExchangeError {
        ExchangeError::Http(error.without_url())
    }
}

/// Sends a request, and once more wherever its answer redirects to.
///
/// 307 and 308 ask for the same request again, which only its own server gets. 301, 302 and 303 ask for another page, which
/// is got from whatever server it is on, though without the headers of the request if that is another one. No request
/// says where it came from (`Referer`), since addresses of receivers are secrets.
///
/// Nearly no request is redirected, so that none is kept: `again` makes the first one once more.
pub(super) async fn execute(
    client: &Client,
    request: Request,
    again: impl Fn() -> Option<Request>,
) -> Result<Response, ExchangeError> {
    let mut response = client.execute(request).await?;
    let mut last = None;
    for followed in 0.. {
        let Some(to) = target(&response) else { return Ok(response) };
        let Some(next) = last.take().or_else(&again) else { return Ok(response) };
        let Some(next) = following(&response, next, to)? else { return Ok(response) };
        if followed == REDIRECTS_MAX {
            break;
        }
        last = next.try_clone();
        response = client.execute(next).await?;
    }
    Err(ExchangeError::TooManyRedirects)
}

/// The request that an answer asks for, made from the one that was answered.
fn following(response: &Response, mut next: Request, to: Url) -> Result<Option<Request>, ExchangeError> {
    let same = is_same_server(next.url(), &to);
    match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
            if !same && *next.method() != Method::GET {
                let (status, to) = (response.status().as_u16(), to.origin().ascii_serialization());
                return Err(ExchangeError::Elsewhere { status, to });
            }
        }
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            *next.method_mut() = Method::GET;
            *next.body_mut() = None;
            next.headers_mut().remove(reqwest::header::CONTENT_TYPE);
        }
        _ => return Ok(None),
    }
    if !same {
        next.headers_mut().clear();
        *next.body_mut() = None;
    }
    *next.url_mut() = to;
    Ok(Some(next))
}

/// Where an answer redirects to, if it names an address.
fn target(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}

/// Whether both are one server: the same origin, or the same host that wants to be asked over TLS.
fn is_same_server(from: &Url, to: &Url) -> bool {
    from.origin() == to.origin() || (from.host() == to.host() && from.scheme() == "http" && to.scheme() == "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_its_origin_or_the_same_host_over_tls() {
        for (from, to, same) in [
            ("http://a/x", "http://a/y", true),
            ("http://a/x", "http://a:80/x", true),
            ("http://a/x", "https://a/x", true),
            ("http://a:8080/x", "https://a:8443/x", true),
            ("https://a/x", "http://a/x", false),
            ("https://a/x", "https://a:8443/x", false),
            ("https://a/x", "https://b.a/x", false),
            ("https://a/x", "https://a@b/x", false),
            ("https://a/x", "file:///x", false),
        ] {
            let parse = |text: &str| Url::parse(text).unwrap();
            assert_eq!(is_same_server(&parse(from), &parse(to)), same, "{from} {to}");
        }
    }
}
