//! The kinds of value that a key can have: texts, numbers, durations, addresses, secrets.

use std::collections::BTreeMap;

use watchfire_model::Duration;

use crate::decode::{Decoder, Fields};
use crate::diagnostic::nearest;
use crate::schema::Shape;
use crate::secret::{Credential, Secret};
use crate::tree::Tree;
use crate::url;
use crate::yaml::Node;

const DURATION_HELP: &str = "write a number with a unit: 30s, 5m, 1h30m, 1d; units are ms, s, m, h, d, w, y";
const GO_DURATION_HELP: &str = "write a number with a unit: 500ms, 10s, 1m30s, 1.5h; units are ms, s, m, h";

impl Decoder<'_> {
    /// A duration as Prometheus writes it.
    pub fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let text = self.scalar(node, what)?.text;
        match text.parse() {
            Ok(duration) => Some(duration),
            Err(_) => {
                self.error(node.start, "bad-duration", format!("{what} is not a duration: {text:?}"))
                    .help(DURATION_HELP);
                None
            }
        }
    }

    fn number<N: std::str::FromStr>(&mut self, node: &Node, what: &str, kind: &str) -> Option<N> {
        let scalar = self.scalar(node, what)?;
        let text = scalar.text.replace('_', "");
        match text.parse().ok().filter(|_| scalar.plain) {
            Some(number) => Some(number),
            None => {
                let help = if scalar.plain { format!("write {kind}") } else { "remove the quotes".to_owned() };
                self.error(node.start, "wrong-type", format!("{what} must be {kind}, not {:?}", scalar.text))
                    .help(help);
                None
            }
        }
    }

    /// A truth value, in all the words that YAML 1.1 has for it.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        let scalar = self.scalar(node, what)?;
        let value = match scalar.text.as_str() {
            "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        };
        if let Some(value) = value.filter(|_| scalar.plain) {
            return Some(value);
        }
        let help = if value.is_some() { "remove the quotes" } else { "write true or false" };
        self.error(node.start, "wrong-type", format!("{what} must be true or false, not {:?}", scalar.text)).help(help);
        None
    }
}

impl Fields<'_, '_> {
    /// A text; the empty one where it is absent.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.shape(key, Shape::Text);
        let node = self.node(key)?;
        self.decoder().scalar(&node, key).map(|scalar| scalar.text)
    }

    /// A text, or `default` where it is absent.
    pub(crate) fn text_or(&mut self, key: &'static str, default: &str) -> String {
        self.text(key).unwrap_or_else(|| default.to_owned())
    }

    /// A text that is not empty.
    pub(crate) fn filled(&mut self, key: &'static str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A text that must be there.
    pub(crate) fn required(&mut self, key: &'static str, help: &str) -> Option<String> {
        let text = self.filled(key);
        if self.lacks(key) {
            self.missing(key).help(help);
        }
        text
    }

    /// A truth value.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.shape(key, Shape::Boolean);
        let node = self.node(key)?;
        self.decoder().boolean(&node, key)
    }

    /// A whole number from zero.
    pub fn count(&mut self, key: &'static str) -> Option<u64> {
        self.shape(key, Shape::Count);
        let node = self.node(key)?;
        self.decoder().number(&node, key, "a whole number from 0")
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, key: &'static str) -> Option<i64> {
        self.shape(key, Shape::Integer);
        let node = self.node(key)?;
        self.decoder().number(&node, key, "a whole number")
    }

    /// Any number.
    pub fn number(&mut self, key: &'static str) -> Option<f64> {
        self.shape(key, Shape::Number);
        let node = self.node(key)?;
        self.decoder().number(&node, key, "a number")
    }

    /// A duration as Prometheus writes it.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.shape(key, Shape::Duration);
        let node = self.node(key)?;
        self.decoder().duration(&node, key)
    }

    /// A duration as Prometheus writes it, longer than nothing.
    pub(crate) fn positive_duration(&mut self, key: &'static str) -> Option<Duration> {
        let duration = self.duration(key)?;
        if duration.is_zero() {
            self.error(key, "bad-duration", format!("{key} cannot be zero")).help("give it a time such as 5m");
            return None;
        }
        Some(duration)
    }

    /// A duration as Go writes it, which Alertmanager uses for timeouts; a bare number counts nanoseconds there.
    pub(crate) fn go_duration(&mut self, key: &'static str) -> Option<Duration> {
        self.shape(key, Shape::Duration);
        let node = self.node(key)?;
        let text = self.decoder().scalar(&node, key)?.text;
        let parsed = go_duration(&text).or_else(|| text.parse().ok());
        if parsed.is_none() {
            self.error(key, "bad-duration", format!("{key} is not a duration: {text:?}")).help(GO_DURATION_HELP);
        }
        parsed
    }

    /// A size in bytes, with or without a unit.
    pub(crate) fn bytes(&mut self, key: &'static str) -> Option<u64> {
        self.shape(key, Shape::Bytes);
        let node = self.node(key)?;
        let text = self.decoder().scalar(&node, key)?.text;
        let parsed = bytes(&text);
        if parsed.is_none() {
            self.error(key, "bad-size", format!("{key} is not a size: {text:?}"))
                .help("write bytes with a unit: 64KiB, 16MiB, 1GiB (1024) or 64kB, 16MB, 1GB (1000)");
        }
        parsed
    }

    /// One of a few words.
    pub(crate) fn word(&mut self, key: &'static str, words: &'static [&'static str]) -> Option<&'static str> {
        self.shape(key, Shape::Words(words));
        let node = self.node(key)?;
        let text = self.decoder().scalar(&node, key)?.text;
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(word);
        }
        let possible: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
        let help = match nearest(&text, possible.iter().copied()) {
            Some(near) => format!("did you mean {near:?}? Possible: {}", possible.join(", ")),
            None => format!("possible: {}", possible.join(", ")),
        };
        self.error(key, "bad-value", format!("{key} cannot be {text:?}")).help(help);
        None
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let present = self.has(key);
        let texts = self.list(key, |decoder, node| decoder.text(node, key));
        present.then_some(texts)
    }

    /// Names and texts.
    pub fn text_map(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let pairs = self.read(key, |decoder, node| {
            Some(decoder.entries(node, key, |decoder, entry| decoder.text(&entry.value, &entry.key)))
        });
        pairs.unwrap_or_default().into_iter().collect()
    }

    /// Anything.
    pub(crate) fn tree(&mut self, key: &'static str) -> Option<Tree> {
        self.shape(key, Shape::Any);
        let node = self.node(key)?;
        Some(self.decoder().tree(&node))
    }

    /// A path, made relative to the file.
    pub(crate) fn path(&mut self, key: &'static str) -> Option<String> {
        let path = self.filled(key)?;
        Some(self.decoder().resolve_path(&path))
    }

    /// An `http` or `https` address.
    pub(crate) fn url(&mut self, key: &'static str) -> Option<String> {
        let text = self.text(key)?;
        match url::check(&text) {
            Ok(()) => Some(text),
            Err(reason) => {
                self.error(key, "bad-url", format!("{key} is not an address: {reason}"))
                    .help("write it like https://example.com/path");
                None
            }
        }
    }

    /// A text to hide, from `key` or from the file that `file_key` names.
    pub(crate) fn credential(&mut self, key: &'static str, file_key: &'static str) -> Option<Credential> {
        let inline = self.filled(key);
        let file = self.credential_file(file_key);
        self.either(key, file_key, inline.map(|text| Credential::Inline(Secret::new(text))), file)
    }

    /// An address to hide, from `key` or from the file that `file_key` names.
    pub(crate) fn secret_url(&mut self, key: &'static str, file_key: &'static str) -> Option<Credential> {
        let inline = self.text(key).and_then(|text| match url::check(&text) {
            // What a printed configuration has in place of a secret must stay readable.
            _ if text == "<secret>" => Some(text),
            Ok(()) => Some(text),
            Err(reason) => {
                self.error(key, "bad-url", format!("{key} is not an address: {reason}"))
                    .help("write it like https://example.com/path");
                None
            }
        });
        let file = self.credential_file(file_key);
        self.either(key, file_key, inline.map(|text| Credential::Inline(Secret::new(text))), file)
    }

    fn credential_file(&mut self, file_key: &'static str) -> Option<Credential> {
        let path = self.path(file_key)?;
        let at = self.at(file_key);
        let content = self.decoder().read_secret_file(at, &path).map(Secret::new);
        Some(Credential::File { path, content })
    }

    fn either(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        inline: Option<Credential>,
        file: Option<Credential>,
    ) -> Option<Credential> {
        if inline.is_some() && file.is_some() {
            let what = self.what();
            self.error(file_key, "conflict", format!("{what} has both `{key}` and `{file_key}`"))
                .help(format!("keep one of the two; `{file_key}` keeps the secret out of this file"));
        }
        inline.or(file)
    }
}

/// A duration as Go's `time.ParseDuration` reads it, rounded to the millisecond.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    if let Ok(nanoseconds) = text.parse::<i64>() {
        return Some(Duration::from_millis(nanoseconds / 1_000_000));
    }
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut millis = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        millis += number
            * match &rest[..letters] {
                "ns" => 1e-6,
                "us" | "µs" | "μs" => 1e-3,
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 60e3,
                "h" => 3600e3,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    let total = sign * millis;
    (!text.is_empty() && total.abs() < 9.2e12).then(|| Duration::from_millis(total.round() as i64))
}

/// A number of bytes with an optional unit.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let number: u64 = text[..digits].replace('_', "").parse().ok()?;
    let factor: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        "TiB" | "Ti" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_and_sizes() {
        for (text, expected) in [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("-1s", Some(-1_000)),
            ("5000000000", Some(5_000)),
            ("0", Some(0)),
            ("", None),
            ("1d", None),
            ("s", None),
            ("1", Some(0)),
        ] {
            assert_eq!(go_duration(text).map(Duration::as_millis), expected, "{text}");
        }
        for (text, expected) in [("16MiB", Some(16 << 20)), ("1_000", Some(1000)), ("2 kB", Some(2000)), ("x", None)] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
