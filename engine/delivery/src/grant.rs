//! Requests of a plugin's own: they go where the receiver grants it, and carry secrets that the plugin never sees.
//!
//! The plugin gets a stand-in for each secret, a word that nobody can guess, so that no text of an alert can ask for a
//! secret. Where a stand-in is found in a request, the secret takes its place, escaped as the place wants it.

use std::collections::BTreeMap;

use reqwest::Url;
use ring::rand::SystemRandom;
use watchfire_config::{Credential, Grant as Granted};
use watchfire_plugin::{Message, Target};

use crate::Request;
use crate::http::{Connection, current};
use crate::notification::hex;

/// What a receiver grants its formatter.
pub(crate) struct Grant {
    hosts: Vec<String>,
    secrets: Vec<Secret>,
    pub(crate) connection: Connection,
}

struct Secret {
    name: String,
    stand_in: String,
    credential: Credential,
}

/// Stand-ins with their secrets as they are now.
type Values<'g> = Vec<(&'g str, String)>;

impl Grant {
    /// For a configuration, with a connection made for it.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub(crate) fn new(config: &Granted, connection: Connection) -> Result<Grant, String> {
        let secrets = config.secrets.iter().map(|(name, credential)| {
            Ok(Secret { name: name.clone(), stand_in: stand_in()?, credential: credential.clone() })
        });
        Ok(Grant { hosts: config.hosts.clone(), secrets: secrets.collect::<Result<_, String>>()?, connection })
    }

    /// What the plugin gets: stand-ins by the secrets' names.
    pub(crate) fn stand_ins(&self) -> BTreeMap<String, String> {
        self.secrets.iter().map(|secret| (secret.name.clone(), secret.stand_in.clone())).collect()
    }

    /// What must not be seen: the secrets as they are now, in every spelling in which they are sent.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let spelled = |secret: &Secret| {
            let value = current(&secret.credential);
            [in_address(&value), in_markup(&value), value]
        };
        self.secrets.iter().flat_map(spelled).chain(self.connection.secrets()).collect()
    }

    /// The request that a message of the plugin's is, with the secrets. `id` is the notification's.
    ///
    /// # Errors
    /// Why it is not sent; the text has no secrets.
    pub(crate) fn request(&self, message: &Message, target: &Target, id: &str) -> Result<Request, String> {
        let asked = |text: &str| self.secrets.iter().any(|secret| text.contains(&secret.stand_in));
        let texts = message.headers.iter().map(|(_, value)| value).chain([&message.body, &target.url]);
        let mut values = Values::new();
        if texts.into_iter().any(|text| asked(text)) {
            for secret in &self.secrets {
                let value = current(&secret.credential);
                if value.is_empty() {
                    return Err(format!("the secret {:?} of the receiver's grant is empty", secret.name));
                }
                values.push((&secret.stand_in, value));
            }
        }
        let url = self.address(&target.url, &values)?;
        let mut request = Request {
            method: target.method,
            url,
            headers: Vec::new(),
            body: fill(&message.body, &values, escaping(&message.content_type)).into_bytes(),
            notes: Vec::new(),
        };
        if !message.content_type.is_empty() {
            request.set_header("Content-Type", &message.content_type);
        }
        for (name, value) in &message.headers {
            request.set_header(name, fill(value, &values, str::to_owned));
        }
        request.set_header("Idempotency-Key", id);
        Ok(request)
    }

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

/// A word that no text has by accident and nobody can guess.
fn stand_in() -> Result<String, String> {
    let random = ring::rand::generate::<[u8; 16]>(&SystemRandom::new());
    let bytes = random.map_err(|_| "the operating system has no random numbers for stand-ins".to_owned())?;
    Ok(format!("secret-{}", hex(&bytes.expose())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use watchfire_config::{HttpConfig, Secret as Hidden};
    use watchfire_plugin::Method;

    use super::*;
    use crate::http::Pools;

    fn grant(hosts: &[&str], secrets: &[(&str, &str)]) -> Grant {
        crate::http::install_crypto();
        let http = HttpConfig::default();
        let connection = Connection::new(&Pools::default(), &http, Duration::from_secs(1)).unwrap();
        let secret = |(name, value): &(&str, &str)| ((*name).to_owned(), Credential::Inline(Hidden::new(*value)));
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Grant::new(&Granted { hosts, secrets: secrets.iter().map(secret).collect(), http }, connection).unwrap()
    }

    #[test]
    fn a_request_goes_to_granted_hosts_only() {
        let grant = grant(
            &["https://desk.example", "http://10.0.0.7:8080"],
            &[("hook", "https://desk.example/hooks/T0"), ("elsewhere", "https://evil.example/x"), ("token", "a/b c")],
        );
        let names = grant.stand_ins();
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
            let made = grant.request(&Message::default(), &target, "n-1");
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
        let word = &grant.stand_ins()["token"];
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
            let request = grant.request(&message, &target, "n-1").unwrap();
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
        assert!(grant.request(&Message::default(), &target, "n-1").is_ok());
        let body = grant.stand_ins()["token"].clone();
        let refused = grant.request(&Message { body, ..Message::default() }, &target, "n-1").unwrap_err();
        assert_eq!(refused, "the secret \"token\" of the receiver's grant is empty");
    }
}
