//! Requests as values: built purely, looked at by people and tests, sent by one sender.

use std::{fmt, io};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use thiserror::Error;
pub use watchfire_plugin::Method;

use crate::notification::encode;

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
    /// One without headers and body.
    pub fn empty(method: Method, url: impl Into<String>) -> Request {
        Request { method, url: url.into(), headers: Vec::new(), body: Vec::new(), notes: Vec::new() }
    }

    /// A `POST` of JSON.
    pub fn post_json<T: Serialize + ?Sized>(url: impl Into<String>, body: &T) -> Request {
        Request::post(url, go_json(body))
    }

    /// A `POST` of JSON that is text already.
    pub(crate) fn post(url: impl Into<String>, body: Vec<u8>) -> Request {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Request { method: Method::Post, url: url.into(), headers, body, notes: Vec::new() }
    }

    /// A `POST` of a form.
    pub fn post_form<'a>(
        url: impl Into<String>,
        pairs: impl IntoIterator<Item = (&'a str, impl AsRef<str>)>,
    ) -> Request {
        let headers = vec![("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
        let body = form_text(pairs).into_bytes();
        Request { method: Method::Post, url: url.into(), headers, body, notes: Vec::new() }
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

/// Names and values as a form and the query of an address write them.
pub(crate) fn form_text<'a>(pairs: impl IntoIterator<Item = (&'a str, impl AsRef<str>)>) -> String {
    let pairs = pairs.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value.as_ref())));
    pairs.collect::<Vec<_>>().join("&")
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

/// JSON as [`go_json`] writes it, for what there is most of: a member at a time, and texts that need no escapes as they are.
pub(crate) struct JsonWriter {
    out: Vec<u8>,
}

impl JsonWriter {
    pub(crate) fn new() -> JsonWriter {
        JsonWriter { out: Vec::with_capacity(BODY_BYTES) }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Members between braces.
    pub(crate) fn object(&mut self, members: impl FnOnce(&mut JsonWriter)) {
        self.out.push(b'{');
        members(self);
        self.out.push(b'}');
    }

    /// The name of the next member, whose value is to follow.
    pub(crate) fn name(&mut self, name: &str) -> &mut JsonWriter {
        self.separate(b'{');
        self.text(name);
        self.out.push(b':');
        self
    }

    /// An array.
    pub(crate) fn array<T>(&mut self, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut JsonWriter, T)) {
        self.out.push(b'[');
        items.for_each(|item| {
            self.separate(b'[');
            write(self, item);
        });
        self.out.push(b']');
    }

    /// An object whose values are texts.
    pub(crate) fn texts<'a>(&mut self, texts: impl Iterator<Item = (&'a str, &'a str)>) {
        self.object(|json| texts.for_each(|(name, text)| json.name(name).text(text)));
    }

    pub(crate) fn text(&mut self, text: &str) {
        if is_plain(text) {
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
        } else {
            // As in `go_json`.
            drop(text.serialize(&mut Serializer::with_formatter(&mut self.out, GoFormatter)));
        }
    }

    pub(crate) fn number(&mut self, number: usize) {
        self.out.extend_from_slice(number.to_string().as_bytes());
    }

    /// A comma, unless nothing stands between it and what opened.
    fn separate(&mut self, opening: u8) {
        if self.out.last() != Some(&opening) {
            self.out.push(b',');
        }
    }
}

/// Writes as Go's encoder does.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if is_plain(fragment) {
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

/// Whether a text stands in JSON as it is.
pub(crate) fn is_plain(text: &str) -> bool {
    // Most texts are, which a look at all bytes tells sooner than one that ends at the first that is not: the compiler
    // makes it one over many bytes at once.
    let (chunks, rest) = text.as_bytes().as_chunks::<16>();
    chunks.iter().all(|chunk| !chunk.iter().fold(false, |any, byte| any | is_escaped(*byte)))
        && rest.iter().fold(0, |any, byte| any | ESCAPED[usize::from(*byte)]) == 0
}

/// Whether a byte may begin something that Go's encoder escapes.
const fn is_escaped(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | SEPARATORS)
}

/// The same for all bytes, for texts that are too short to be looked at many bytes at once.
const ESCAPED: [u8; 256] = {
    let (mut escaped, mut byte) = ([0; 256], 0);
    while byte < 256 {
        escaped[byte] = is_escaped(byte as u8) as u8;
        byte += 1;
    }
    escaped
};

/// With what the separators of lines and of paragraphs begin in UTF-8, and few other characters.
const SEPARATORS: u8 = 0xe2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a text is: with what needs escapes anywhere in it, and of any length.
        #[test]
        fn texts_are_written_alike_in_both_ways(
            texts in prop::collection::vec(r#"[ -~]{0,40}[\x00-\x7f\u{80}-\u{2fff}]{0,3}[ -~]{0,20}"#, 0..4),
        ) {
            let mut json = JsonWriter::new();
            json.array(texts.iter(), |json, text| json.texts([(text.as_str(), text.as_str())].into_iter()));
            let objects = texts.iter().map(|text| serde_json::json!({text: text}));
            let expected = go_json(&serde_json::Value::from_iter(objects));
            prop_assert_eq!(String::from_utf8(json.finish()).unwrap(), String::from_utf8(expected).unwrap());
        }
    }
}
