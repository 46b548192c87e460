//! Mail to a real server.

use std::collections::BTreeSet;

use expect_test::expect;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use watchfire_alerting::DeliveryOutcome;
use watchfire_delivery::double::{MailServer, MailSettings, ReceivedMail};

use super::service::{deliverer, delivery, resolved, said};

/// The server, or a line that says why the test is skipped.
fn server(test: &str, settings: MailSettings) -> Option<MailServer> {
    match MailServer::start(settings) {
        Ok(server) => Some(server),
        Err(missing) => {
            println!("SKIPPED {test}: {missing}");
            None
        }
    }
}

/// An integration for a server. Lines of the certificate are indented to where the key stands.
fn integration(server: &MailServer, to: &str, more: &str) -> String {
    let certificate = server.certificate().replace('\n', "\n        ");
    let tls = match certificate.trim().is_empty() {
        true => String::new(),
        false => format!("    tls_config:\n      ca: |\n        {certificate}\n"),
    };
    format!(
        "  - to: '{to}'\n    from: 'Watchfire <watchfire@example.org>'\n    smarthost: 'localhost:{}'\n    hello: watchfire.example\n{tls}{more}",
        server.port()
    )
}

fn header(mail: &ReceivedMail, name: &str) -> String {
    let found = mail.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_mail_goes_through_starttls_and_login_and_its_resolve_joins_the_thread() {
    let test = "a_mail_goes_through_starttls_and_login_and_its_resolve_joins_the_thread";
    let Some(server) = server(test, MailSettings { login: true, ..MailSettings::default() }) else { return };
    let login = "    auth_username: user\n    auth_password: password\n    headers: {X-Team: '{{ .Receiver }}'}\n";
    let one = integration(&server, "oncall@example.org, Zweite Wächterin <second@example.org>", login);
    let deliverer = deliverer(&format!("  email_configs:\n{one}"));
    assert_eq!(deliverer.problems(), []);
    assert_eq!(said(&deliverer.deliver(&delivery("email[0]")).await), "delivered: SMTP 250: 2.0.0 queued as 42");
    let first = server.next_mail().unwrap();
    assert_eq!(
        (first.hello.as_str(), first.encrypted, first.login.as_str()),
        ("watchfire.example", true, "user by PLAIN")
    );
    assert_eq!(first.from, "watchfire@example.org");
    assert_eq!(first.to, ["oncall@example.org", "second@example.org"]);
    assert_eq!((first.subject.as_str(), header(&first, "X-Team").as_str()), ("[FIRING:2] HighLatency · eu", "r"));
    let kinds: Vec<&str> = first.parts.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["text/plain", "text/html"]);
    assert!(first.parts.iter().all(|(_, text)| text.contains("Latency is high on a:9090")), "{:?}", first.parts);

    // The same attempt again, as after a crash: the same mail.
    deliverer.deliver(&delivery("email[0]")).await;
    let again = server.next_mail().unwrap();
    assert_eq!(header(&again, "Message-ID"), header(&first, "Message-ID"));

    deliverer.deliver(&resolved(delivery("email[0]"))).await;
    let second = server.next_mail().unwrap();
    assert_eq!(second.subject, "[RESOLVED] HighLatency · eu");
    assert_ne!(header(&second, "Message-ID"), header(&first, "Message-ID"));
    assert_eq!(header(&second, "References"), header(&first, "References"));
}

#[tokio::test]
async fn servers_that_want_it_otherwise_are_served() {
    let test = "servers_that_want_it_otherwise_are_served";
    let base = MailSettings::default();
    let login = "    auth_username: user\n    auth_password: password\n";
    let implicit = format!("{login}    force_implicit_tls: true\n");
    let plain = format!("{login}    require_tls: false\n");
    for (settings, more, expected) in [
        (MailSettings { implicit_tls: true, login: true, ..base }, implicit.as_str(), (true, "user by PLAIN")),
        (MailSettings { login: true, login_only: true, ..base }, login, (true, "user by LOGIN")),
        (MailSettings { plain: true, login: true, ..base }, plain.as_str(), (false, "user by PLAIN")),
        (MailSettings { plain: true, ..base }, "    require_tls: false\n", (false, "")),
    ] {
        let Some(server) = server(test, settings) else { return };
        let one = integration(&server, "oncall@example.org", more);
        let deliverer = deliverer(&format!("  email_configs:\n{one}"));
        let outcome = said(&deliverer.deliver(&delivery("email[0]")).await);
        assert_eq!(outcome, "delivered: SMTP 250: 2.0.0 queued as 42", "{settings:?}");
        let mail = server.next_mail().unwrap();
        assert_eq!((mail.encrypted, mail.login.as_str()), expected, "{settings:?}");
    }
}

#[tokio::test]
async fn secrets_and_tokens_log_in_too() {
    let test = "secrets_and_tokens_log_in_too";
    let tokens = watchfire_delivery::double::Double::tokens().await.unwrap();
    let Some(server) = server(test, MailSettings { login: true, ..MailSettings::default() }) else { return };
    let oauth2 = format!("oauth2: {{client_id: w, client_secret: client-secret, token_url: '{}'}}", tokens.url());
    for (more, expected) in [
        ("    auth_username: user\n    auth_secret: secret\n".to_owned(), "user by CRAM-MD5"),
        (
            "    auth_username: user\n    auth_secret: wrong-secret\n    auth_password: password\n".to_owned(),
            "user by PLAIN",
        ),
        (format!("    auth_username: user\n    {oauth2}\n"), "user by XOAUTH2"),
        (
            "    auth_username: user\n    auth_password: password\n    auth_identity: team\n".to_owned(),
            "user by PLAIN as team",
        ),
    ] {
        let one = integration(&server, "oncall@example.org", &more);
        let deliverer = deliverer(&format!("  email_configs:\n{one}"));
        assert_eq!(deliverer.problems(), []);
        assert_eq!(said(&deliverer.deliver(&delivery("email[0]")).await), "delivered: SMTP 250: 2.0.0 queued as 42");
        assert_eq!(server.next_mail().unwrap().login, expected);
    }
}

/// A relay within the own network knows no login, and `global` names a user for all servers.
#[tokio::test]
async fn a_server_that_knows_no_login_gets_the_mail_without_one() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let relay = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.into_split();
        let (mut lines, mut said) = (BufReader::new(reader).lines(), Vec::new());
        writer.write_all(b"220 relay\r\n").await.unwrap();
        let mut in_data = false;
        while let Some(line) = lines.next_line().await.unwrap() {
            let answer = match line.split([' ', ':']).next().unwrap_or_default() {
                "." => "250 queued",
                _ if in_data => continue,
                "EHLO" => "250-relay\r\n250 8BITMIME",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 well",
            };
            in_data = answer.starts_with("354");
            said.push(line);
            writer.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
        said
    });
    let deliverer = deliverer(&format!(
        "  email_configs: [{{to: a@example.org, from: b@example.org, smarthost: '127.0.0.1:{port}', require_tls: false, \
         auth_username: user, auth_password: password}}]"
    ));
    assert_eq!(said(&deliverer.deliver(&delivery("email[0]")).await), "delivered: SMTP 250: queued");
    let said = relay.await.unwrap();
    assert!(said.iter().any(|line| line.starts_with("MAIL FROM")), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("AUTH")), "{said:?}");
}

#[tokio::test]
async fn one_addressee_who_is_refused_costs_the_others_nothing() {
    let test = "one_addressee_who_is_refused_costs_the_others_nothing";
    let Some(server) = server(test, MailSettings::default()) else { return };
    let to = "first@example.org, reject@example.org, second@example.org";
    let one = integration(&server, to, "");
    let each = integration(&server, to, "    per_recipient: true\n");
    let late = integration(&server, "first@example.org, later@example.org", "");
    let each_late =
        integration(&server, "first@example.org, later@example.org, second@example.org", "    per_recipient: true\n");
    let all = "first@example.org, reject@example.org, later@example.org";
    let (bounced, each_bounced) =
        (integration(&server, all, ""), integration(&server, all, "    per_recipient: true\n"));
    let deliverer = deliverer(&format!("  email_configs:\n{one}{each}{late}{each_late}{bounced}{each_bounced}"));
    let attempt = deliverer.attempt(&delivery("email[0]")).await;
    let outcome = said(&attempt.outcome);
    assert!(outcome.starts_with("delivered: SMTP 250: 2.0.0 queued as 42; refused: reject@example.org"), "{outcome}");
    assert!(attempt.notes.iter().any(|note| note.starts_with("reject@example.org was refused")), "{:?}", attempt.notes);
    assert_eq!(server.next_mail().unwrap().to, ["first@example.org", "second@example.org"]);

    let attempt = deliverer.attempt(&delivery("email[1]")).await;
    let outcome = said(&attempt.outcome);
    assert!(outcome.starts_with("delivered: SMTP 250: 2.0.0 queued as 42; refused: reject@example.org: "), "{outcome}");
    let note = "a mail was refused: reject@example.org: ";
    assert!(attempt.notes.iter().any(|said| said.starts_with(note)), "{:?}", attempt.notes);
    let mut ids = BTreeSet::new();
    for expected in ["first@example.org", "second@example.org"] {
        let mail = server.next_mail().unwrap();
        assert!(ids.insert(header(&mail, "Message-ID")), "a mailbox of both would drop the second");
        assert_eq!((mail.to.as_slice(), header(&mail, "To").as_str()), (&[expected.to_owned()][..], expected));
    }

    // Who is to be tried again is tried alone.
    for (integration, have_it) in
        [("email[2]", "first@example.org"), ("email[3]", "first@example.org\nsecond@example.org")]
    {
        let mut late = delivery(integration);
        let DeliveryOutcome::Partly { done, reason } = deliverer.deliver(&late).await else { panic!("some have it") };
        assert!(reason.starts_with("later@example.org: SMTP transient error (451)"), "{reason}");
        assert_eq!(done, have_it);
        late.done = done.into();
        let outcome = said(&deliverer.deliver(&late).await);
        assert!(outcome.starts_with("retry: later@example.org: SMTP transient error (451)"), "{outcome}");
    }
    for _ in 0..2 {
        assert_eq!(server.next_mail().unwrap().to, ["first@example.org"]);
    }
    assert_eq!(server.next_mail().unwrap().to, ["second@example.org"]);

    // Who is refused for good is not asked again. Here it is one whom the server would put off, so that it would show.
    for integration in ["email[4]", "email[5]"] {
        let mut some = delivery(integration);
        let attempt = deliverer.attempt(&some).await;
        let DeliveryOutcome::Partly { done, .. } = &attempt.outcome else { panic!("{attempt:?}") };
        let bounced = "refused reject@example.org: SMTP permanent error (550): 5.1.1 no such user here";
        assert_eq!(*done, format!("first@example.org\n{bounced}"));
        let refusal = |note: &String| note.contains("reject@example.org") && note.contains("no such user");
        assert!(attempt.notes.iter().any(refusal), "{:?}", attempt.notes);
        some.done = done.replace("reject@", "later@").into();
        let attempt = deliverer.attempt(&some).await;
        let outcome = said(&attempt.outcome);
        assert!(!outcome.starts_with("retry") && !outcome.contains("greylisted"), "{outcome}");
        assert!(outcome.contains("reject@") || attempt.notes.iter().any(refusal), "{attempt:?}");
        assert_eq!(server.next_mail().unwrap().to, ["first@example.org"]);
    }
    assert!(said(&deliverer.deliver(&resolved(delivery("email[0]"))).await).starts_with("delivered"));
    assert_eq!(server.next_mail().unwrap().to, ["first@example.org", "second@example.org"], "and no mail in between");
}

#[tokio::test]
async fn refusals_are_told_apart_and_no_password_is_shown() {
    let test = "refusals_are_told_apart_and_no_password_is_shown";
    let Some(server) = server(test, MailSettings { login: true, ..MailSettings::default() }) else { return };
    let login = "    auth_username: user\n    auth_password: password\n";
    let wrong = "    auth_username: user\n    auth_password: pass-w0rd\n";
    let stranger = format!("    tls_config: {{}}\n{login}");
    let mut untrusted = integration(&server, "a@example.org", "");
    untrusted.truncate(untrusted.find("    tls_config").unwrap());
    let integrations = [
        integration(&server, "reject@example.org", login),
        integration(&server, "later@example.org", login),
        integration(&server, "oncall@example.org", wrong),
        untrusted + &stranger,
    ];
    let deliverer = deliverer(&format!("  email_configs:\n{}", integrations.concat()));
    let mut outcomes = Vec::new();
    for integration in 0..integrations.len() {
        let attempt = deliverer.attempt(&delivery(&format!("email[{integration}]"))).await;
        let shown = format!("{attempt:?}");
        assert!(!shown.contains("pass-w0rd"), "{shown}");
        outcomes.push(said(&attempt.outcome));
    }
    // How a stranger's certificate is refused depends on whom this machine trusts.
    let untrusted = outcomes.pop().unwrap();
    assert!(untrusted.starts_with("retry: SMTP: Connection error: invalid peer certificate"), "{untrusted}");
    expect![[r#"
        [
            "rejected: reject@example.org: SMTP permanent error (550): 5.1.1 no such user here",
            "retry: later@example.org: SMTP transient error (451): 4.7.1 greylisted, come back later",
            "retry: SMTP permanent error (535): 5.7.8 Authentication credentials invalid",
        ]
    "#]]
    .assert_debug_eq(&outcomes);
}

#[tokio::test]
async fn a_server_that_is_gone_or_offers_no_encryption_is_tried_again() {
    let test = "a_server_that_is_gone_or_offers_no_encryption_is_tried_again";
    let Some(server) = server(test, MailSettings { plain: true, ..MailSettings::default() }) else { return };
    let one = integration(&server, "oncall@example.org", "");
    let deliverer = deliverer(&format!("  email_configs:\n{one}"));
    let open = said(&deliverer.deliver(&delivery("email[0]")).await);
    assert!(open.starts_with("retry: SMTP: ") && open.contains("STARTTLS"), "{open}");
    drop(server);
    let gone = said(&deliverer.deliver(&delivery("email[0]")).await);
    assert!(gone.starts_with("retry: SMTP: "), "{gone}");
}

#[tokio::test]
async fn a_preview_of_a_mail_shows_it_whole() {
    let one = "  - {to: a@example.org, from: b@example.org, smarthost: 'mail.example:587'}";
    let deliverer = deliverer(&format!("  email_configs:\n{one}"));
    let shown = deliverer.preview(&delivery("email[0]")).unwrap().remove(0);
    assert_eq!(shown.url, "smtp://mail.example:587");
    assert_eq!(shown.header("subject"), Some("[FIRING:2] HighLatency · eu"));
    assert!(String::from_utf8(shown.body).unwrap().contains("multipart/alternative"));
}
