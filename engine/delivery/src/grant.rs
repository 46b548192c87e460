//! Requests of a plugin's own: they go where the receiver grants it, and carry secrets that the plugin never sees.
//!
//! The plugin gets a stand-in for each secret, a word made for this one call that nobody can guess, so that no text of an
//! alert can ask for a secret. Where a stand-in is found in a request, the secret takes its place, escaped as the place
//! wants it. A plugin may tell its stand-ins to whoever listens: they are worth nothing in the next call, and the request
//! of this one is made.

use std::collections::BTreeMap;

use reqwest::Url;
use ring::rand::SystemRandom;
use watchfire_config::{Credential, Grant as Granted};
use watchfire_plugin::{Message, StandIns, Target, stand_in};

use crate::http::{Connection, current};
use crate::{Notification, Request};

/// What a receiver grants its formatter.
pub(crate) struct Grant {
    hosts: Vec<String>,
    secrets: BTreeMap<String, Credential>,
    pub(crate) connection: Connection,
}

/// What it grants for one call of the formatter.
pub(crate) struct Call<'g> {
    grant: &'g Grant,
    /// What the plugin gets: stand-ins by the secrets' names.
    pub(crate) stand_ins: BTreeMap<String, String>,
    unseen: StandIns,
}

/// Stand-ins with their secrets as they are now.
type Values<'g> = Vec<(&'g str, String)>;

impl Grant {
    /// For a configuration, with a connection made for it.
    pub(crate) fn new(config: &Granted, connection: Connection) -> Grant {
        Grant { hosts: config.hosts.clone(), secrets: config.secrets.clone(), connection }
    }

    /// For the next call, even if it is another attempt of the same notification.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub(crate) fn call(&self) -> Result<Call<'_>, String> {
        let random = SystemRandom::new();
        let word = |name: &String| {
            let bytes = ring::rand::generate::<[u8; 16]>(&random);
            let bytes = bytes.map_err(|_| "the operating system has no random numbers for stand-ins".to_owned())?;
            Ok((name.clone(), stand_in(bytes.expose())))
        };
        let stand_ins = self.secrets.keys().map(word).collect::<Result<BTreeMap<_, _>, String>>()?;
        Ok(Call { grant: self, unseen: StandIns::of(&stand_ins), stand_ins })
    }

    /// What must not be seen: the secrets as they are now, in every spelling in which they are sent.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let spelled = |credential: &Credential| {
            let value = current(credential);
            [in_address(&value), in_markup(&value), value]
        };
        self.secrets.values().flat_map(spelled).chain(self.connection.secrets()).collect()
    }
}

impl Call<'_> {
    /// A text of the call as others may see it.
    pub(crate) fn shown(&self, text: &str) -> String {
        self.unseen.text(text).into_owned()
    }

    /// The message of the plugin's for the receiver's own channel, which carries no secrets.
    ///
    /// # Errors
    /// If it asks for one: what reads it would get a word that says nothing.
    pub(crate) fn message(&self, message: Message) -> Result<Message, String> {
        let headers = message.headers.iter().flat_map(|(name, value)| [name, value]);
        let texts = [&message.title, &message.content_type, &message.body].into_iter().chain(&message.dedup_key);
        let asked = texts.chain(headers).find_map(|text| self.unseen.find(text));
        match asked {
            None => Ok(message),
            Some(name) => Err(format!(
                "its message has the stand-in for the secret {name:?}, and only a request of its own carries secrets; it \
                 has to leave that out, or to say in `target` where the request goes"
            )),
        }
    }

    /// The request that a message of the plugin's about a notification is, with the secrets.
    ///
    /// # Errors
    /// Why it is not sent; the text has no secrets.
    pub(crate) fn request(
        &self,
        message: &Message,
        target: &Target,
        notification: &Notification,
    ) -> Result<Request, String> {
        if let Some(name) = message.headers.iter().find_map(|(header, _)| self.unseen.find(header)) {
            return Err(format!(
                "the name of a header of its request has the stand-in for the secret {name:?}; it has to stand in the value"
            ));
        }
        let texts = message.headers.iter().map(|(_, value)| value);
        let texts = texts.chain([&message.content_type, &message.body, &target.url]);
        let values = match texts.into_iter().any(|text| self.unseen.find(text).is_some()) {
            true => self.values(notification)?,
            false => Values::new(),
        };
        let url = self.grant.address(&target.url, &values)?;
        let mut request = Request {
            method: target.method,
            url,
            headers: Vec::new(),
            body: fill(&message.body, &values, escaping(&message.content_type)).into_bytes(),
            notes: Vec::new(),
        };
        if !message.content_type.is_empty() {
            request.set_header("Content-Type", fill(&message.content_type, &values, str::to_owned));
        }
        for (name, value) in &message.headers {
            request.set_header(name, fill(value, &values, str::to_owned));
        }
        request.set_header("Idempotency-Key", notification.id.as_str());
        Ok(request)
    }

    /// The secrets, unless somebody asks for them who is not the plugin: then nobody gets any.
    fn values(&self, notification: &Notification) -> Result<Values<'_>, String> {
        if let Some(name) = texts(notification).find_map(|text| self.unseen.find(text)) {
            return Err(format!(
                "the alerts have the stand-in for the secret {name:?} in their texts, which nobody can know, so that no \
                 secret is sent; look at where these alerts come from"
            ));
        }
        let secrets = self.grant.secrets.iter().zip(self.stand_ins.values());
        let value = |((name, credential), word): ((&String, &Credential), _)| match current(credential) {
            empty if empty.is_empty() => Err(format!("the secret {name:?} of the receiver's grant is empty")),
            value => Ok((String::as_str(word), value)),
        };
        secrets.map(value).collect()
    }
}

/// Every text that the plugin gets of a notification, which others have written.
fn texts(notification: &Notification) -> impl Iterator<Item = &str> {
    let Notification { id, receiver, group_key, group_labels, external_url, alerts, .. } = notification;
    let alerts = alerts.iter().flat_map(|view| {
        let (labels, annotations) = (view.alert.labels.iter(), view.alert.annotations.iter());
        let labels = labels.flat_map(|label| [label.name, label.value]);
        let annotations = annotations.flat_map(|(name, text)| [name, text]);
        labels.chain(annotations).chain([&*view.alert.generator_url])
    });
    let labels = group_labels.iter().flat_map(|label| [label.name, label.value]);
    [id, receiver, group_key, external_url].into_iter().map(String::as_str).chain(labels).chain(alerts)
}

impl Grant {
    /// Where it goes, if that is granted.
    fn address(&self, asked: &str, values: &Values<'_>) -> Result<String, String> {
        let whole = values.iter().find_map(|(stand_in, value)| Some((value, asked.strip_prefix(stand_in)?)));
        let url = match whole {
            // The secret is an address or its beginning.
            Some((address, rest)) => format!("{address}{}", fill(rest, values, in_address)),
            None => {
                // Judged before there is a secret in it, so that none can be part of a host, or of what is told.
                self.admit(asked)?;
                fill(asked, values, in_address)
            }
        };
        self.admit(&url).map(|()| url)
    }

    fn admit(&self, url: &str) -> Result<(), String> {
        let Ok(parsed) = Url::parse(url) else {
            return Err("its request goes to what is no address; write it like https://desk.example/tickets".to_owned());
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err("the address of its request has credentials; a header is the place for them".to_owned());
        }
        let origin = parsed.origin().ascii_serialization();
        if self.hosts.contains(&origin) {
            return Ok(());
        }
        Err(format!("its request goes to {origin}, which is not granted: `grant.hosts` has {}", self.hosts.join(", ")))
    }
}

/// Puts secrets in the places of their stand-ins.
fn fill(text: &str, values: &Values<'_>, escape: impl Fn(&str) -> String) -> String {
    values.iter().fold(text.to_owned(), |text, (stand_in, value)| match text.contains(stand_in) {
        true => text.replace(stand_in, &escape(value)),
        false => text,
    })
}

/// How a secret is written into a body of a media type.
fn escaping(content_type: &str) -> fn(&str) -> String {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-www-form-urlencoded" => crate::notification::encode,
        json if json.ends_with("json") => in_json,
        markup if markup.ends_with("xml") || markup == "text/html" => in_markup,
        _ => str::to_owned,
    }
}

/// Within the quotes of a JSON text.
fn in_json(secret: &str) -> String {
    let quoted = serde_json::Value::from(secret).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn in_markup(secret: &str) -> String {
    secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Within a path or a query. Tokens with slashes and colons are parts of paths.
fn in_address(secret: &str) -> String {
    crate::notification::encode(secret).replace("%2F", "/").replace("%3A", ":")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use watchfire_config::{HttpConfig, Secret as Hidden};
    use watchfire_model::{Alert, Annotations, Labels, Timestamp};
    use watchfire_plugin::{AlertView, Method};

    use super::*;
    use crate::http::Pools;

    fn grant(hosts: &[&str], secrets: &[(&str, &str)]) -> Grant {
        crate::http::install_crypto();
        let http = HttpConfig::default();
        let connection = Connection::new(&Pools::default(), &http, Duration::from_secs(1)).unwrap();
        let secret = |(name, value): &(&str, &str)| ((*name).to_owned(), Credential::Inline(Hidden::new(*value)));
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Grant::new(&Granted { hosts, secrets: secrets.iter().map(secret).collect(), http }, connection)
    }

    /// A notification `n-1` about an alert with these labels.
    fn about(labels: &[(&str, &str)]) -> Notification {
        let alert = Alert {
            labels: Labels::from_pairs(labels.iter().copied()),
            annotations: Annotations::default(),
            starts_at: Timestamp::EPOCH,
            ends_at: None,
            updated_at: Timestamp::EPOCH,
            timeout: false,
            generator_url: "".into(),
            value: None,
        };
        let alerts = vec![AlertView::new(alert, Timestamp::EPOCH)];
        Notification { id: "n-1".to_owned(), ..Notification::new("r", "{}", Labels::empty(), alerts) }
    }

    #[test]
    fn a_request_goes_to_granted_hosts_only() {
        let grant = grant(
            &["https://desk.example", "http://10.0.0.7:8080"],
            &[("hook", "https://desk.example/hooks/T0"), ("elsewhere", "https://evil.example/x"), ("token", "a/b c")],
        );
        let (call, about) = (grant.call().unwrap(), about(&[]));
        let names = &call.stand_ins;
        let mut told = String::new();
        for url in [
            "https://desk.example/tickets?q=1",
            "HTTPS://DESK.example:443/",
            "http://10.0.0.7:8080/x",
            "http://desk.example/",
            "https://desk.example:8443/",
            "https://desk.example.evil.example/",
            "https://user:pw@desk.example/",
            "https://desk.example@evil.example/",
            "https://evil.example\\@desk.example/",
            "desk.example/tickets",
            "file:///etc/passwd",
            "{hook}/extra",
            "{elsewhere}",
            "{token}",
            "https://desk.example/bot{token}/send",
            "https://{token}.example/",
        ] {
            let asked =
                names.iter().fold(url.to_owned(), |url, (name, word)| url.replace(&format!("{{{name}}}"), word));
            let target = Target { method: Method::Post, url: asked };
            let made = call.request(&Message::default(), &target, &about);
            let shown = made.map_or_else(|reason| format!("refused: {reason}"), |request| request.url);
            let shown = names.iter().fold(shown, |shown, (name, word)| shown.replace(word, &format!("{{{name}}}")));
            told.push_str(&format!("{url} -> {shown}\n"));
        }
        expect_test::expect![[r#"
            https://desk.example/tickets?q=1 -> https://desk.example/tickets?q=1
            HTTPS://DESK.example:443/ -> HTTPS://DESK.example:443/
            http://10.0.0.7:8080/x -> http://10.0.0.7:8080/x
            http://desk.example/ -> refused: its request goes to http://desk.example, which is not granted: `grant.hosts` has https://desk.example, http://10.0.0.7:8080
            https://desk.example:8443/ -> refused: its request goes to https://desk.example:8443, which is not granted: `grant.hosts` has https://desk.example, http://10.0.0.7:8080
            https://desk.example.evil.example/ -> refused: its request goes to https://desk.example.evil.example, which is not granted: `grant.hosts` has https://desk.example, http://10.0.0.7:8080
            https://user:pw@desk.example/ -> refused: the address of its request has credentials; a header is the place for them
            https://desk.example@evil.example/ -> refused: the address of its request has credentials; a header is the place for them
            https://evil.example\@desk.example/ -> refused: its request goes to https://evil.example, which is not granted: `grant.hosts` has https://desk.example, http://10.0.0.7:8080
            desk.example/tickets -> refused: its request goes to what is no address; write it like https://desk.example/tickets
            file:///etc/passwd -> refused: its request goes to null, which is not granted: `grant.hosts` has https://desk.example, http://10.0.0.7:8080
            {hook}/extra -> https://desk.example/hooks/T0/extra
            {elsewhere} -> refused: its request goes to https://evil.example, which is not granted: `grant.hosts` has https://desk.example, http://10.0.0.7:8080
            {token} -> refused: its request goes to what is no address; write it like https://desk.example/tickets
            https://desk.example/bot{token}/send -> https://desk.example/bota/b%20c/send
            https://{token}.example/ -> refused: its request goes to https://{token}.example, which is not granted: `grant.hosts` has https://desk.example, http://10.0.0.7:8080
        "#]].assert_eq(&told);
    }

    #[test]
    fn a_secret_is_escaped_as_its_place_wants_it() {
        let grant = grant(&["https://desk.example"], &[("token", "p\"w<&>/x")]);
        let (call, about) = (grant.call().unwrap(), about(&[]));
        let word = &call.stand_ins["token"];
        let target = Target { method: Method::Put, url: format!("https://desk.example/{word}?t={word}") };
        for (content_type, body) in [
            ("application/json; charset=utf-8", r#"{"t":"p\"w<&>/x"}"#),
            ("application/problem+json", r#"{"t":"p\"w<&>/x"}"#),
            ("application/x-www-form-urlencoded", r#"{"t":"p%22w%3C%26%3E%2Fx"}"#),
            ("text/xml", r#"{"t":"p&quot;w&lt;&amp;&gt;/x"}"#),
            ("text/plain", r#"{"t":"p"w<&>/x"}"#),
        ] {
            let message = Message {
                content_type: content_type.to_owned(),
                body: format!(r#"{{"t":"{word}"}}"#),
                headers: vec![("Authorization".to_owned(), format!("Bearer {word}"))],
                ..Message::default()
            };
            let request = call.request(&message, &target, &about).unwrap();
            assert_eq!(String::from_utf8(request.body.clone()).unwrap(), body, "{content_type}");
            assert_eq!(request.header("Authorization"), Some("Bearer p\"w<&>/x"));
            assert_eq!(request.header("Idempotency-Key"), Some("n-1"));
            assert_eq!(request.url, "https://desk.example/p%22w%3C%26%3E/x?t=p%22w%3C%26%3E/x");
            let secrets = grant.secrets();
            let shown = crate::Redactor::new(secrets.iter().map(String::as_str)).request(request.clone());
            let all = format!("{} {:?} {}", shown.url, shown.headers, String::from_utf8_lossy(&shown.body));
            assert!(!all.contains("p\"w") && !all.contains("p%22w") && !all.contains("p&quot;w"), "{all}");
        }
    }

    #[test]
    fn an_empty_secret_sends_nothing() {
        let grant = grant(&["https://desk.example"], &[("token", "")]);
        let target = Target { method: Method::Get, url: "https://desk.example/".to_owned() };
        let (call, about) = (grant.call().unwrap(), about(&[]));
        assert!(call.request(&Message::default(), &target, &about).is_ok());
        let body = call.stand_ins["token"].clone();
        let refused = call.request(&Message { body, ..Message::default() }, &target, &about).unwrap_err();
        assert_eq!(refused, "the secret \"token\" of the receiver's grant is empty");
    }

    #[test]
    fn a_stand_in_is_the_plugins_alone_and_for_one_call() {
        let grant = grant(&["https://desk.example"], &[("token", "desk-token")]);
        let (earlier, call) = (grant.call().unwrap(), grant.call().unwrap());
        let (known, word) = (&earlier.stand_ins["token"], &call.stand_ins["token"]);
        assert_ne!(known, word);
        let own = Target { method: Method::Post, url: "https://desk.example/".to_owned() };
        let nothing = Message { content_type: "text/plain".to_owned(), ..Message::default() };
        let body = |word: &str| Message { body: format!("three down {word}"), ..nothing.clone() };
        let header = |name: &str| Message { headers: vec![(name.to_owned(), String::new())], ..nothing.clone() };
        let typed = Message { content_type: format!("text/plain; for={word}"), ..Message::default() };
        let keyed = Message { dedup_key: Some(word.clone()), ..nothing.clone() };
        let mut told = String::new();
        for (case, message, target, label) in [
            ("its own", body(word), Some(&own), ""),
            ("of an earlier call", body(known), Some(&own), known.as_str()),
            ("of an alert", body(word), Some(&own), word),
            ("not asked for", body("again"), Some(&own), word),
            ("content type", typed.clone(), Some(&own), ""),
            ("name of a header", header(word), Some(&own), ""),
            ("message", body(word), None, ""),
            ("message with a content type", typed, None, ""),
            ("message with a header", header(word), None, ""),
            ("message with a key", keyed, None, ""),
            ("message of an earlier call", body(known), None, known),
        ] {
            let about = about(&[("alertname", "A"), ("host", label)]);
            let made = match target {
                Some(target) => call.request(&message, target, &about).map(|request| {
                    let body = String::from_utf8(request.body.clone()).unwrap();
                    format!("{}: {body}", request.header("Content-Type").unwrap())
                }),
                None => call.message(message).map(|message| format!("{}: {}", message.content_type, message.body)),
            };
            let made = made.unwrap_or_else(|why| format!("refused: {why}")).replace(known, "{known}");
            assert!(!made.contains(word), "{case}: {made}");
            told.push_str(&format!("{case} -> {made}\n"));
        }
        expect_test::expect![[r#"
            its own -> text/plain: three down desk-token
            of an earlier call -> text/plain: three down {known}
            of an alert -> refused: the alerts have the stand-in for the secret "token" in their texts, which nobody can know, so that no secret is sent; look at where these alerts come from
            not asked for -> text/plain: three down again
            content type -> text/plain; for=desk-token: 
            name of a header -> refused: the name of a header of its request has the stand-in for the secret "token"; it has to stand in the value
            message -> refused: its message has the stand-in for the secret "token", and only a request of its own carries secrets; it has to leave that out, or to say in `target` where the request goes
            message with a content type -> refused: its message has the stand-in for the secret "token", and only a request of its own carries secrets; it has to leave that out, or to say in `target` where the request goes
            message with a header -> refused: its message has the stand-in for the secret "token", and only a request of its own carries secrets; it has to leave that out, or to say in `target` where the request goes
            message with a key -> refused: its message has the stand-in for the secret "token", and only a request of its own carries secrets; it has to leave that out, or to say in `target` where the request goes
            message of an earlier call -> text/plain: three down {known}
        "#]].assert_eq(&told);
    }
}
