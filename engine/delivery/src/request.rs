//! Requests as values: built purely, looked at by people and tests, sent by one sender.

use std::{fmt, io};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use thiserror::Error;
pub use watchfire_plugin::Method;

/// A request that a channel's builder made. It may hold secrets: show it through [`crate::Redactor`] only.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// Headers in the order in which they are sent, without those that the connection adds.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What had to be left out or changed so that the service takes the request, one sentence each.
    pub notes: Vec<String>,
}

impl fmt::Debug for Request {
    /// Says how large it is and not what is in it, so that no log shows a key by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "Request({} <secret>, headers {names:?}, {} bytes)", self.method.as_str(), self.body.len())
    }
}

impl Request {
    /// A `POST` of JSON.
    pub fn post_json<T: Serialize + ?Sized>(url: impl Into<String>, body: &T) -> Request {
        Request {
            method: Method::Post,
            url: url.into(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: go_json(body),
            notes: Vec::new(),
        }
    }

    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Sets a header, replacing one of that name.
    pub fn set_header(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.headers.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(header) => header.1 = value,
            None => self.headers.push((name.to_owned(), value)),
        }
    }
}

/// Why a notification cannot become a request. Permanent: another attempt would fail in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// A setting is missing or unusable.
    #[error("{field}: {message}")]
    Setting {
        /// The setting's name in the configuration.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A template failed.
    #[error("the template of {field} failed: {message}")]
    Template {
        /// The setting's name in the configuration.
        field: String,
        /// Why it failed.
        message: String,
    },
}

impl BuildError {
    /// A setting that cannot be used.
    pub fn setting(field: &'static str, message: impl Into<String>) -> BuildError {
        BuildError::Setting { field, message: message.into() }
    }
}

/// Room for the body of most requests.
const BODY_BYTES: usize = 4 << 10;

/// JSON text with the characters `<`, `>`, `&` and the two line separators escaped, as Go's encoder writes it: a
/// receiver that compares bytes or embeds the text in HTML sees what Alertmanager sends.
pub(crate) fn go_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(BODY_BYTES);
    // Writing maps whose keys are texts into memory cannot fail; what were missing would be refused by the service.
    drop(value.serialize(&mut Serializer::with_formatter(&mut out, GoFormatter)));
    out
}

/// Writes as Go's encoder does.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        // Most texts have none of these, which a look at all bytes tells sooner than one that ends at the first: the
        // compiler makes it one over many bytes at once.
        if !fragment.bytes().fold(false, |any, byte| any | matches!(byte, b'<' | b'>' | b'&' | SEPARATORS)) {
            return out.write_all(fragment.as_bytes());
        }
        let mut written = 0;
        for (at, character) in fragment.char_indices() {
            let escaped = match character {
                '<' => b"\\u003c",
                '>' => b"\\u003e",
                '&' => b"\\u0026",
                '\u{2028}' => b"\\u2028",
                '\u{2029}' => b"\\u2029",
                _ => continue,
            };
            out.write_all(&fragment.as_bytes()[written..at])?;
            out.write_all(escaped)?;
            written = at + character.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[written..])
    }
}

/// With what the separators of lines and of paragraphs begin in UTF-8, and few other characters.
const SEPARATORS: u8 = 0xe2;
