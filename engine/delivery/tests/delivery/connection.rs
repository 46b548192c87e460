//! `http_config` at work: tokens, certificates, names.

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
        assert_eq!(said(&deliverer.deliver(&delivery(0)).await), "delivered: HTTP 200");
    }
    webhook.fail_next([Fault::status(401)]);
    let attempt = deliverer.attempt(&delivery(0)).await;
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
    let outcome = said(&deliverer.deliver(&delivery(0)).await);
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
    assert_eq!(said(&deliverer.deliver(&delivery(0)).await), "delivered: HTTP 200");
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
    assert_eq!(said(&deliverer.deliver(&delivery(0)).await), "delivered: HTTP 200");
    assert_eq!((proxy.received().len(), webhook.received().len()), (1, 0));
    assert_eq!(said(&deliverer.deliver(&delivery(1)).await), "delivered: HTTP 200");
    assert_eq!((proxy.received().len(), webhook.received().len()), (1, 1));
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
    assert_eq!(said(&deliverer.deliver(&delivery(0)).await), "delivered: HTTP 200");
    webhook.fail_next([moved()]);
    assert_eq!(said(&deliverer.deliver(&delivery(1)).await), "rejected: HTTP 307");
}
