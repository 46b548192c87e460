//! `http_config` at work: tokens, certificates, names.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchfire_delivery::double::{Double, Fault};

use super::service::{deliverer, delivery, said};

#[tokio::test]
async fn a_token_is_fetched_once_shared_and_replaced_when_it_is_refused() {
    let webhook = Double::webhook().await.unwrap();
    let server = Double::tokens().await.unwrap();
    let (url, tokens) = (webhook.url(), server.url());
    let deliverer = deliverer(&format!(
        "
  webhook_configs:
  - url: '{url}'
    http_config:
      oauth2:
        client_id: watchfire
        client_secret: client-secret
        token_url: '{tokens}'
        scopes: [alerts, write]
        endpoint_params: {{audience: ops}}
"
    ));
    assert_eq!(deliverer.problems(), []);
    for _ in 0..2 {
        assert_eq!(said(&deliverer.deliver(&delivery("webhook[0]")).await), "delivered: HTTP 200");
    }
    webhook.fail_next([Fault::status(401)]);
    let attempt = deliverer.attempt(&delivery("webhook[0]")).await;
    assert_eq!(said(&attempt.outcome), "delivered: HTTP 200");
    let shown = format!("{:?}{:?}", attempt.exchanges[0].request.headers, attempt.notes);
    assert!(!shown.contains("access-"), "{shown}");
    let sent: Vec<String> =
        webhook.received().iter().map(|r| r.header("authorization").unwrap_or("none").to_owned()).collect();
    assert_eq!(sent, ["Bearer access-1", "Bearer access-1", "Bearer access-1", "Bearer access-2"]);
    let asked = server.received();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        String::from_utf8_lossy(&asked[0].body),
        "grant_type=client_credentials&scope=alerts+write&audience=ops"
    );
    assert_eq!(asked[0].header("authorization"), Some("Basic d2F0Y2hmaXJlOmNsaWVudC1zZWNyZXQ="));

    // Nothing is sent without a token; the page waits for the server that makes them.
    webhook.fail_next([Fault::status(401)]);
    server.fail_next([Fault::status(503)]);
    let outcome = said(&deliverer.deliver(&delivery("webhook[0]")).await);
    assert_eq!(outcome, "retry: the OAuth 2 server gave no token: HTTP 503");
}

#[tokio::test]
async fn a_server_that_wants_the_secret_in_the_body_gets_it_there() {
    let webhook = Double::webhook().await.unwrap();
    let server = Double::tokens().await.unwrap();
    server.fail_next([Fault::status(401)]);
    let (url, tokens) = (webhook.url(), server.url());
    let oauth2 = format!("{{client_id: w, client_secret: client-secret, token_url: '{tokens}'}}");
    let deliverer = deliverer(&format!("  webhook_configs: [{{url: '{url}', http_config: {{oauth2: {oauth2}}}}}]"));
    assert_eq!(said(&deliverer.deliver(&delivery("webhook[0]")).await), "delivered: HTTP 200");
    let asked = server.received();
    assert_eq!(
        String::from_utf8_lossy(&asked[1].body),
        "grant_type=client_credentials&client_id=w&client_secret=client-secret"
    );
}

#[tokio::test]
async fn a_proxy_is_used_unless_the_host_is_excepted() {
    let proxy = Double::webhook().await.unwrap();
    let webhook = Double::webhook().await.unwrap();
    let (through, url) = (format!("http://{}", proxy.address()), webhook.url());
    let one = |more: &str| format!("  - {{url: '{url}', http_config: {{proxy_url: '{through}'{more}}}}}\n");
    let deliverer = deliverer(&format!("  webhook_configs:\n{}{}", one(""), one(", no_proxy: '127.0.0.1'")));
    assert_eq!(said(&deliverer.deliver(&delivery("webhook[0]")).await), "delivered: HTTP 200");
    assert_eq!((proxy.received().len(), webhook.received().len()), (1, 0));
    assert_eq!(said(&deliverer.deliver(&delivery("webhook[1]")).await), "delivered: HTTP 200");
    assert_eq!((proxy.received().len(), webhook.received().len()), (1, 1));
}

#[tokio::test]
async fn a_socks_proxy_is_used_too_and_nothing_goes_past_one_that_cannot_be() {
    let webhook = Double::webhook().await.unwrap();
    let (url, to) = (webhook.url(), webhook.address());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let through = listener.local_addr().unwrap();
    let proxy = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // RFC 1928: version 5 without authentication, then to connect to an IPv4 address and a port.
        let (mut greeting, mut request) = ([0; 3], [0; 10]);
        stream.read_exact(&mut greeting).await.unwrap();
        stream.write_all(&[5, 0]).await.unwrap();
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        let mut target = tokio::net::TcpStream::connect(to).await.unwrap();
        // It ends when the test does.
        drop(tokio::io::copy_bidirectional(&mut stream, &mut target).await);
    });
    let one = |proxy: &str| format!("  - {{url: '{url}', http_config: {{proxy_url: '{proxy}'}}}}\n");
    let (socks, odd) = (one(&format!("socks5://{through}")), one(&format!("gopher://{through}")));
    let deliverer = deliverer(&format!("  webhook_configs:\n{socks}{odd}"));
    assert_eq!(said(&deliverer.deliver(&delivery("webhook[0]")).await), "delivered: HTTP 200");
    assert!(!proxy.is_finished(), "it went through");
    let outcome = said(&deliverer.deliver(&delivery("webhook[1]")).await);
    assert_eq!(outcome, "rejected: receiver: proxy_url is not the address of a proxy");
    assert_eq!(webhook.received().len(), 1);
    proxy.abort();
}

#[tokio::test]
async fn a_server_of_tokens_may_say_anything() {
    let webhook = Double::webhook().await.unwrap();
    let server = Double::tokens().await.unwrap();
    let (url, tokens) = (webhook.url(), server.url());
    let oauth2 = format!("{{client_id: w, client_secret: client-secret, token_url: '{tokens}'}}");
    let receiver = format!("  webhook_configs: [{{url: '{url}', http_config: {{oauth2: {oauth2}}}}}]");
    let answer = |body: String| Fault::Answer { status: 200, headers: Vec::new(), body };

    let forever = deliverer(&receiver);
    server.fail_next([answer(format!(r#"{{"access_token": "forever", "expires_in": {}}}"#, u64::MAX))]);
    for _ in 0..2 {
        assert_eq!(said(&forever.deliver(&delivery("webhook[0]")).await), "delivered: HTTP 200");
    }
    assert_eq!(webhook.received()[1].header("authorization"), Some("Bearer forever"));

    server.fail_next([answer(format!(r#"{{"access_token": "{}"}}"#, "x".repeat(1 << 20)))]);
    let outcome = said(&deliverer(&receiver).deliver(&delivery("webhook[0]")).await);
    assert_eq!(outcome, "retry: the OAuth 2 server's answer has more than 65536 bytes");
    let moved = ("location".to_owned(), url.clone());
    server.fail_next([Fault::Answer { status: 308, headers: vec![moved], body: String::new() }]);
    let outcome = said(&deliverer(&receiver).deliver(&delivery("webhook[0]")).await);
    let host = format!("http://{}", webhook.address());
    assert!(outcome.starts_with("retry: the OAuth 2 server cannot be asked: HTTP 308"), "{outcome}");
    assert!(outcome.contains(&host), "{outcome}");
    assert_eq!(webhook.received().len(), 2, "the client's secret stays with the server it is for");
}

#[tokio::test]
async fn a_redirect_is_followed_unless_that_is_switched_off() {
    let webhook = Double::webhook().await.unwrap();
    let url = webhook.url();
    let moved =
        || Fault::Answer { status: 307, headers: vec![("location".to_owned(), url.clone())], body: String::new() };
    let deliverer = deliverer(&format!(
        "  webhook_configs: [{{url: '{url}'}}, {{url: '{url}', http_config: {{follow_redirects: false, enable_http2: false}}}}]"
    ));
    webhook.fail_next([moved()]);
    assert_eq!(said(&deliverer.deliver(&delivery("webhook[0]")).await), "delivered: HTTP 200");
    webhook.fail_next([moved()]);
    assert_eq!(said(&deliverer.deliver(&delivery("webhook[1]")).await), "rejected: HTTP 307");
}

#[tokio::test]
async fn what_is_meant_for_one_host_does_not_go_to_another() {
    let webhook = Double::webhook().await.unwrap();
    let other = Double::echo().await.unwrap();
    let (url, elsewhere) = (webhook.url(), format!("http://{}/taken", other.address()));
    let moved = |status: u16, to: &str| {
        let headers = vec![("location".to_owned(), to.to_owned())];
        webhook.fail_next([Fault::Answer { status, headers, body: String::new() }]);
    };
    let deliverer = deliverer(&format!(
        "
  webhook_configs:
  - url: '{url}?key=in-the-address'
    http_config: {{authorization: {{credentials: token}}, http_headers: {{X-Key: {{secrets: [key]}}}}}}
"
    ));
    let deliver = async || said(&deliverer.deliver(&delivery("webhook[0]")).await);
    for status in [307, 308] {
        moved(status, &elsewhere);
        let outcome = deliver().await;
        let expected = format!("rejected: HTTP {status} redirects to http://{}", other.address());
        assert!(outcome.starts_with(&expected), "{outcome}");
        assert!(outcome.contains("follow"), "{outcome}");
        assert_eq!(other.received().len(), 0);
    }
    // What makes a request for a page of it may ask for that page, and tells nothing.
    for (number, status) in (1..).zip([301, 302, 303]) {
        moved(status, &elsewhere);
        deliver().await;
        let asked = other.received();
        assert_eq!(asked.len(), number);
        let asked = &asked[number - 1];
        assert_eq!((asked.method.as_str(), asked.path.as_str(), asked.body.len()), ("GET", "/taken", 0));
        for name in ["authorization", "x-key", "referer", "content-type"] {
            assert_eq!(asked.header(name), None, "{name}");
        }
    }
    let before = webhook.received().len();
    moved(308, "/hook?moved");
    assert_eq!(deliver().await, "delivered: HTTP 200");
    let again = &webhook.received()[before + 1];
    assert_eq!((again.method.as_str(), again.path.as_str()), ("POST", "/hook?moved"));
    assert_eq!(again.header("authorization"), Some("Bearer token"));
    assert_eq!((again.header("x-key"), again.header("referer")), (Some("key"), None));

    for _ in 0..11 {
        moved(307, &url);
    }
    assert_eq!(deliver().await, "retry: more than 10 redirects");
}
