//! Secrets stay where they are: no text that leaves a delivery has one, whatever a service answers.

use std::io::Write;
use std::sync::{Arc, Mutex};

use expect_test::expect;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use regex::Regex;
use watchfire_alerting::NotificationId;
use watchfire_delivery::double::{Double, Fault};

use super::service::{configured, deliverer, delivery};

/// Every setting of every channel that holds a secret; `URL` is a service that answers with what it was sent.
const RECEIVERS: [&str; 20] = [
    "pagerduty_configs: [{url: 'URL/v2/enqueue', routing_key: SECRET}]",
    "pagerduty_configs: [{url: 'URL', service_key: SECRET, webhook_secret: SECRET}]",
    "slack_configs: [{api_url: 'URL/services/SECRET', signing_secret: SECRET}]",
    "slack_configs: [{app_url: 'URL/api/chat.postMessage', app_token: SECRET, channel: '#a'}]",
    "webhook_configs: [{url: 'URL/SECRET'}]",
    "webhook_configs: [{url: 'URL', http_config: {basic_auth: {username: u, password: SECRET}}}]",
    "webhook_configs: [{url: 'URL', http_config: {authorization: {credentials: SECRET}}}]",
    "webhook_configs: [{url: 'URL', http_config: {http_headers: {X-Key: {secrets: [SECRET]}}}}]",
    "webhook_configs: [{url: 'URL', http_config: {oauth2: {client_id: c, client_secret: SECRET, token_url: 'URL'}}}]",
    "email_configs: [{to: a@example.org, from: b@example.org, smarthost: '127.0.0.1:1', auth_username: u, auth_password: SECRET, auth_secret: SECRET}]",
    "opsgenie_configs: [{api_url: 'URL', api_key: SECRET}]",
    "wechat_configs: [{api_url: 'URL', api_secret: SECRET, corp_id: c}]",
    "victorops_configs: [{api_url: 'URL', api_key: SECRET, routing_key: r}]",
    "sns_configs: [{api_url: 'URL', phone_number: '1', sigv4: {region: r, access_key: a, secret_key: SECRET}}]",
    "telegram_configs: [{api_url: 'URL', bot_token: SECRET, chat_id: 1}]",
    "discord_configs: [{webhook_url: 'URL/SECRET'}]",
    "msteamsv2_configs: [{webhook_url: 'URL/SECRET'}]",
    "incidentio_configs: [{url: 'URL/SECRET', alert_source_token: SECRET}]",
    "rocketchat_configs: [{api_url: 'URL', token: SECRET, token_id: SECRET}]",
    "channel_configs: [{channel: own, settings: {url: 'URL', token: SECRET}}]",
];

const OWN: &str = "channels: [{name: own, settings: {url: {}, token: {kind: secret}}, \
                   requests: [{url: '{{ .url }}/{{ .token }}', json: {token: '{{ .token }}'}}]}]\n";

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_secret_of_a_configuration_leaves_a_delivery() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_writer(move || writer.clone()).with_max_level(tracing::Level::TRACE).finish();
    let mut runner = TestRunner::new(Config { cases: 6, failure_persistence: None, ..Config::default() });
    let secrets = proptest::string::string_regex("[A-Za-z0-9][A-Za-z0-9_.-]{10,30}[A-Za-z0-9]").unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let outcome = runner.run(&secrets, |secret| {
            let secret = format!("s{secret}");
            let shown = runtime.block_on(everything_shown(&secret));
            prop_assert!(!shown.contains(&secret), "{}", around(&shown, &secret));
            let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
            prop_assert!(!logged.contains(&secret), "logged: {}", around(&logged, &secret));
            prop_assert!(logged.contains("rejected"), "something was logged");
            Ok(())
        });
        outcome.unwrap();
    });
}

/// Requests that fetch a token, and one that uses it.
const FETCHES: &str = "channels: [{name: own, settings: {url: {}}, requests: [\
    {url: '{{ .url }}', json: {fetch: token}, keep: {token: /token}KEPT},\
    {url: '{{ .url }}/{{ .kept.token }}', headers: {X-Amz-Security-Token: 'amz-{{ .kept.token }}'}, \
     json: {token: '{{ .kept.token }}'}}]}]\n";

#[tokio::test]
async fn what_a_service_gives_to_one_delivery_is_not_shown_either() {
    for kept in ["", ", keep_for: 1h"] {
        let service = Double::echo().await.unwrap();
        let given = r#"{"token": "given-1234", "more": "given-too"}"#.to_owned();
        let answer = |body: &str| Fault::Answer { status: 200, headers: Vec::new(), body: body.to_owned() };
        let fetches = FETCHES.replace("KEPT", kept);
        let receiver = format!("  channel_configs: [{{channel: own, settings: {{url: '{}'}}}}]\n", service.url());
        let deliverer = configured(&fetches, &receiver, &[]);
        // One that succeeds, one with what was kept if something is, and one whose refusal repeats the token.
        service.fail_next([answer(&given), answer("given-1234 is taken")]);
        for round in 0..3 {
            if kept.is_empty() && round > 0 {
                service.fail_next([answer(&given)]);
            }
            let attempt = deliverer.attempt(&delivery("own[0]")).await;
            let mut shown = format!("{attempt:?}");
            for exchange in &attempt.exchanges {
                shown.push_str(&String::from_utf8_lossy(&exchange.request.body));
            }
            assert!(!shown.contains("given-"), "{shown}");
            assert!(shown.contains("<secret>"), "{shown}");
        }
    }
    let open = FETCHES.replace("KEPT", ", keep_shown: true");
    let service = Double::echo().await.unwrap();
    let answer = Fault::Answer { status: 200, headers: Vec::new(), body: r#"{"token": "OPS-1"}"#.to_owned() };
    service.fail_next([answer]);
    let receiver = format!("  channel_configs: [{{channel: own, settings: {{url: '{}'}}}}]\n", service.url());
    let attempt = configured(&open, &receiver, &[]).attempt(&delivery("own[0]")).await;
    assert!(attempt.exchanges[1].request.url.ends_with("/OPS-1"), "{attempt:?}");
}

/// Everything that a caller can see of deliveries through all receivers.
async fn everything_shown(secret: &str) -> String {
    let echo = Double::echo().await.unwrap();
    let url = echo.url();
    let mut shown = String::new();
    for receiver in RECEIVERS {
        let receiver = receiver.replace("SECRET", secret).replace("URL", &url);
        let deliverer = configured(OWN, &format!("  {receiver}\n"), &[]);
        shown.push_str(&format!("{:?}", deliverer.problems()));
        let kind = receiver.split_once("_configs").map_or("", |(kind, _)| kind).replace("channel", "own");
        let first = delivery(&format!("{kind}[0]"));
        let attempt = deliverer.attempt(&first).await;
        shown.push_str(&format!("{attempt:?}"));
        let previewed = deliverer.preview(&first);
        shown.push_str(&format!("{:?}", previewed.as_ref().err()));
        let sent = attempt.exchanges.into_iter().map(|exchange| exchange.request);
        for request in sent.chain(previewed.into_iter().flatten()) {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            shown.push_str(&format!("{} {:?} {body} {:?}", request.url, request.headers, request.notes));
        }
    }
    shown
}

/// A formatter copies what alerts say into its request, so whoever writes to them must not know what asks for a secret.
#[tokio::test]
async fn a_stand_in_that_became_known_asks_for_nothing() {
    let desk = Double::echo().await.unwrap();
    let url = desk.url();
    let deliverer = deliverer(&format!(
        "  webhook_configs:\n  - url: '{url}'\n    formatter: {{plugin: telltale, config: {{url: '{url}'}}}}\n    \
         grant: {{hosts: ['{url}'], secrets: {{token: desk-1234}}}}\n"
    ));
    assert_eq!(deliverer.problems(), []);
    let about = |id: u128, summary: &str| {
        let mut delivery = delivery("webhook[0]");
        let mut alert = delivery.alerts[0].clone();
        alert.annotations = [("summary", summary)].into_iter().collect();
        (delivery.id, delivery.alerts) = (NotificationId(id), vec![alert].into());
        delivery
    };
    let live = Regex::new("secret-[0-9a-f]{32}").unwrap();
    let mut known = "three down".to_owned();
    // The second time it is the next attempt of the first, then it is another notification.
    for id in [7, 7, 8] {
        let attempt = deliverer.attempt(&about(id, &known)).await;
        let received = desk.received();
        let own = received.iter().rfind(|received| received.path == "/own").unwrap();
        let body = String::from_utf8(own.body.clone()).unwrap();
        let (summary, told) = body.split_once('\n').unwrap();
        assert_eq!(summary, known);
        let headers = ["authorization", "content-type"].map(|name| own.header(name).unwrap());
        assert_eq!(headers, ["Bearer desk-1234", "text/plain; for=desk-1234"]);
        let shown = format!("{attempt:?} {:?}", attempt.exchanges[0].request.headers);
        assert!(!shown.contains("desk-1234") && shown.contains("<secret>"), "{shown}");
        known = told.replace('.', "");
        assert!(live.is_match(&known) && !shown.contains(&known), "{known} {shown}");
    }
    let mut notes = String::new();
    for summary in ["fails", "names a header", "goes elsewhere", "has no target"] {
        let attempt = deliverer.attempt(&about(9, summary)).await;
        assert_eq!(attempt.exchanges.len(), 1, "the built-in message alone");
        let previewed = deliverer.preview(&about(9, summary)).unwrap();
        assert!(!live.is_match(&format!("{attempt:?} {:?}", previewed[0].notes)), "{attempt:?}");
        notes.push_str(&format!("{summary}: {}\n", attempt.notes.concat()));
    }
    expect![[r#"
        fails: the formatter telltale failed, the built-in message is sent: internal: the plugin failed: no room for secret-of-token-00000000000000000000000
        names a header: the formatter telltale failed, the built-in message is sent: the name of a header of its request has the stand-in for the secret "token"; it has to stand in the value
        goes elsewhere: the formatter telltale failed, the built-in message is sent: its request goes to http://secret-of-token-00000000000000000000000.example, which is not granted: `grant.hosts` has <secret>
        has no target: the formatter telltale failed, the built-in message is sent: its message has the stand-in for the secret "token", and only a request of its own carries secrets; it has to leave that out, or to say in `target` where the request goes
    "#]].assert_eq(&notes);
}

fn around(text: &str, secret: &str) -> String {
    let at = text.find(secret).unwrap_or(0);
    text.chars().skip(text[..at].chars().count().saturating_sub(200)).take(400).collect()
}
