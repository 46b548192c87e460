//! Keeping secrets out of everything that is shown.

use std::borrow::Cow;

use memchr::memmem::Finder;

use crate::Request;

/// What stands where a secret stood.
pub(crate) const MARK: &str = "<secret>";

/// Shorter texts than this are words: replacing each `a` because a password is `a` would hide nothing and garble all.
const SECRET_CHARS_MIN: usize = 4;
/// What stands behind the host of an address and is shorter than this is hidden with the address alone: it is a word such
/// as `alerts`, which bodies have too.
const PATH_CHARS_MIN: usize = 12;

/// The secrets of one integration, to be replaced in any text that leaves it.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret that contains another goes as a whole.
    secrets: Vec<Secret>,
}

/// A secret, and the way to find it: many texts are looked through for the same few.
#[derive(Clone)]
struct Secret {
    text: String,
    finder: Finder<'static>,
}

impl Secret {
    fn new(text: String) -> Secret {
        Secret { finder: Finder::new(&text).into_owned(), text }
    }

    /// A text without it, if it is in it.
    fn hidden(&self, text: &str) -> Option<String> {
        let mut found = self.finder.find_iter(text.as_bytes()).peekable();
        found.peek()?;
        let (mut shown, mut from) = (String::with_capacity(text.len()), 0);
        for at in found {
            shown.extend([&text[from..at], MARK]);
            from = at + self.text.len();
        }
        shown.push_str(&text[from..]);
        Some(shown)
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

impl Redactor {
    /// For these secrets. Of an address what is behind the host counts as secret too, because errors show it alone.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Redactor {
        Redactor::default().and(secrets)
    }

    /// The same with more secrets.
    pub(crate) fn and<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) -> Redactor {
        let mut all: Vec<String> = self.secrets().map(str::to_owned).collect();
        for secret in secrets {
            let secret = secret.trim();
            all.push(secret.to_owned());
            let path = split_address(secret).map_or("", |(_, path)| path.trim_start_matches('/'));
            if path.chars().count() >= PATH_CHARS_MIN {
                all.push(path.to_owned());
            }
            // As it stands inside JSON and inside a URL.
            let json = serde_json::Value::from(secret).to_string();
            all.push(json.trim_matches('"').to_owned());
            all.push(crate::notification::encode(secret));
        }
        all.retain(|secret| secret.chars().count() >= SECRET_CHARS_MIN);
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Redactor { secrets: all.into_iter().map(Secret::new).collect() }
    }

    /// The secrets, as they are looked for.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|secret| secret.text.as_str())
    }

    /// `text` without the secrets. Most texts hold none and come back as they are.
    pub fn text<'a>(&self, text: impl Into<Cow<'a, str>>) -> String {
        let hide = |text: Cow<'a, str>, secret: &Secret| secret.hidden(&text).map_or(text, Cow::Owned);
        self.secrets.iter().fold(text.into(), hide).into_owned()
    }

    /// The request as it may be shown.
    pub fn request(&self, request: Request) -> Request {
        let hidden = ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-amz-security-token"];
        let header = |(name, value): (String, String)| {
            let hide = hidden.iter().any(|known| name.eq_ignore_ascii_case(known));
            let value = if hide { MARK.to_owned() } else { self.text(value) };
            (name, value)
        };
        let body = String::from_utf8(request.body);
        let body = body.unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned());
        Request {
            method: request.method,
            url: self.text(request.url),
            headers: request.headers.into_iter().map(header).collect(),
            body: self.text(body).into_bytes(),
            notes: request.notes.into_iter().map(|note| self.text(note)).collect(),
        }
    }
}

/// Scheme and host, and what follows them, if that is more than a slash.
fn split_address(text: &str) -> Option<(&str, &str)> {
    let host = text.find("://")? + 3;
    let path = host + text[host..].find(['/', '?'])?;
    (path + 1 < text.len()).then(|| text.split_at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_wherever_they_stand() {
        let addresses = ["https://hooks.example/services/T0/B0/xyz", "http://desk.example/alerts"];
        let redactor = Redactor::new(addresses.into_iter().chain(["pa\"ss", "key-1234", "a", ""]));
        for (text, expected) in [
            ("POST https://hooks.example/services/T0/B0/xyz failed", "POST <secret> failed"),
            ("services/T0/B0/xyz", "<secret>"),
            (r#"{"password":"pa\"ss"}"#, r#"{"password":"<secret>"}"#),
            ("k=key-1234&a=b", "k=<secret>&a=b"),
            ("https://hooks.example/ is down", "https://hooks.example/ is down"),
            (r#"http://desk.example/alerts {"alerts":[]}"#, r#"<secret> {"alerts":[]}"#),
        ] {
            assert_eq!(redactor.text(text), expected);
        }
        assert!(!format!("{redactor:?}").contains("1234"));
    }
}
