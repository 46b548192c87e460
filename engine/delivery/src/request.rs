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

/// JSON text with the characters `<`, `>`, `&` and the two line separators escaped, as Go's encoder writes it: a
/// receiver that compares bytes or embeds the text in HTML sees what Alertmanager sends.
pub(crate) fn go_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 10);
    // Writing maps whose keys are texts into memory cannot fail; what were missing would be refused by the service.
    drop(value.serialize(&mut Serializer::with_formatter(&mut out, GoFormatter)));
    out
}

/// Writes as Go's encoder does.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        // Most texts have none of these, so that they are looked for as bytes and what lies between is copied at once.
        let mut rest = fragment;
        while let Some(at) = memchr::memchr3(b'<', b'>', b'&', rest.as_bytes()) {
            write_separators(out, &rest[..at])?;
            out.write_all(match rest.as_bytes()[at] {
                b'<' => b"\\u003c",
                b'>' => b"\\u003e",
                _ => b"\\u0026",
            })?;
            rest = &rest[at + 1..];
        }
        write_separators(out, rest)
    }
}

/// Writes a text without those three, with the separators of lines and of paragraphs escaped.
fn write_separators<W: io::Write + ?Sized>(out: &mut W, text: &str) -> io::Result<()> {
    let mut written = 0;
    // All that begin with the byte with which these begin.
    for at in memchr::memchr_iter(0xe2, text.as_bytes()) {
        let escaped = match text[at..].chars().next() {
            Some('\u{2028}') => b"\\u2028",
            Some('\u{2029}') => b"\\u2029",
            _ => continue,
        };
        out.write_all(&text.as_bytes()[written..at])?;
        out.write_all(escaped)?;
        written = at + '\u{2028}'.len_utf8();
    }
    out.write_all(&text.as_bytes()[written..])
}
