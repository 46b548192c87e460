//! Requests as values: built purely, looked at by people and tests, sent by one sender.

use std::fmt;

use thiserror::Error;

/// The HTTP method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 5] = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    /// The upper-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

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
    pub fn post_json(url: impl Into<String>, body: &serde_json::Value) -> Request {
        Request {
            method: Method::Post,
            url: url.into(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: go_json(body).into_bytes(),
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
pub fn go_json(value: &serde_json::Value) -> String {
    let plain = value.to_string();
    let mut out = String::with_capacity(plain.len() + plain.len() / 16);
    let mut rest = plain.as_str();
    // Most texts have none of these, so that they are looked for as bytes and what lies between is copied at once.
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xe2)) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut chars = from.chars();
        match chars.next() {
            Some('<') => out.push_str("\\u003c"),
            Some('>') => out.push_str("\\u003e"),
            Some('&') => out.push_str("\\u0026"),
            Some('\u{2028}') => out.push_str("\\u2028"),
            Some('\u{2029}') => out.push_str("\\u2029"),
            other => out.extend(other),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}
