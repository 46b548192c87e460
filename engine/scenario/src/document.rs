//! What test files hold beyond the kinds of value that configurations have.

use watchfire_config::document::{Decoder, Fields, Kind, Node};
use watchfire_model::{Duration, Labels, Timestamp};

/// The code of what is wrong with a test file beyond its form.
pub(crate) const CODE: &str = "test-file";

/// A duration that may lie in the past: `-5m`.
pub(crate) fn signed_duration(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Duration> {
    let text = fields.text(key)?;
    let (text, sign) = text.strip_prefix('-').map_or((text.as_str(), 1), |rest| (rest, -1));
    match text.parse::<Duration>() {
        Ok(duration) => Some(duration.times(sign)),
        Err(error) => {
            fields.error(key, CODE, format!("{key}: {error}"));
            None
        }
    }
}

/// RFC 3339, or seconds since the epoch.
pub(crate) fn timestamp(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Timestamp> {
    let text = fields.text(key)?;
    let time = text.parse().ok().map(Timestamp::from_secs_f64).or_else(|| Timestamp::parse_rfc3339(&text).ok());
    if time.is_none() {
        fields
            .error(key, CODE, format!("{key} is not a time: {text:?}"))
            .help("write it like 2026-01-05T09:00:00Z, or as seconds since the epoch");
    }
    time
}

/// A number as Prometheus writes it, `NaN`, `+Inf` and YAML's `.inf` too.
pub(crate) fn float(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<f64> {
    let text = decoder.text(node, what)?;
    let number = match text.to_ascii_lowercase().trim_start_matches('+') {
        ".inf" => Some(f64::INFINITY),
        "-.inf" => Some(f64::NEG_INFINITY),
        ".nan" => Some(f64::NAN),
        plain => plain.replace('_', "").parse().ok(),
    };
    if number.is_none() {
        decoder.error(node.start, CODE, format!("{what} must be a number, not {text:?}"));
    }
    number
}

/// The value; if there is none, the reason is what is wrong with `key`.
pub(crate) fn good<T>(fields: &mut Fields<'_, '_>, key: &'static str, result: Result<T, String>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(reason) => {
            fields.error(key, CODE, reason);
            None
        }
    }
}

/// The labels that a mapping of names to texts stands for.
pub(crate) fn labels(fields: &mut Fields<'_, '_>, key: &'static str) -> Labels {
    Labels::from_pairs(fields.text_map(key))
}

/// A text, or a list of texts.
pub(crate) fn texts(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<String> {
    match fields.peek(key).map(|node| &node.kind) {
        Some(Kind::Scalar { .. }) => fields.text(key).into_iter().collect(),
        _ => fields.list(key, |decoder, node| decoder.text(node, key)),
    }
}
