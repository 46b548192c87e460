//! Alertmanager's `POST /api/v2/alerts`.
//!
//! Valid alerts of a batch are kept although others are refused, and refusals read as Alertmanager's own do, so that
//! its clients show what their users know. Texts that are only checked by its OpenAPI layer refuse the whole body there
//! and do so here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use watchfire_model::{Alert, Duration, Labels, Timestamp, is_legacy_label_name};

use crate::labels::shorten;
use crate::time::parse_time;
use crate::{Item, LabelNames, Limits, Rejections};

/// The alerts of one body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodedAlerts {
    /// The valid ones, in the order of the body.
    pub alerts: Vec<Alert>,
    /// The others.
    pub rejections: Rejections,
}

/// An answer other than 200, as Alertmanager writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// 400, 413 or 422.
    pub status: u16,
    /// The JSON text of the response.
    pub body: String,
}

impl DecodedAlerts {
    /// The answer if some alerts were refused: 400 and the reasons as one JSON text, although the others are kept.
    pub fn error_answer(&self) -> Option<ErrorAnswer> {
        if self.rejections.is_empty() {
            return None;
        }
        let mut reasons: Vec<_> = self.rejections.first.iter().map(|rejection| rejection.reason.clone()).collect();
        let more = self.rejections.count - reasons.len();
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        Some(ErrorAnswer { status: 400, body: Value::from(reasons.join("; ")).to_string() })
    }
}

impl ErrorAnswer {
    fn coded(status: u16, code: u16, message: impl Into<String>) -> ErrorAnswer {
        let message: String = message.into();
        ErrorAnswer { status, body: json!({"code": code, "message": message}).to_string() }
    }

    fn unparsable(why: impl std::fmt::Display) -> ErrorAnswer {
        ErrorAnswer::coded(400, 400, format!("parsing alerts body from \"\" failed, because {why}"))
    }
}

/// Decodes one body. An alert without `startsAt` starts now, or at its end if it has one; an alert without `endsAt` ends
/// after `resolve_timeout` unless it is sent again.
///
/// # Errors
/// If the body as a whole is refused; the error is the answer to give.
pub fn decode(
    body: &[u8],
    now: Timestamp,
    resolve_timeout: Duration,
    limits: &Limits,
) -> Result<DecodedAlerts, ErrorAnswer> {
    if body.len() > limits.body_bytes_max {
        let (length, max) = (body.len(), limits.body_bytes_max);
        return Err(ErrorAnswer::coded(413, 413, format!("the body has {length} bytes, the limit is {max}")));
    }
    if body.trim_ascii().is_empty() {
        return Err(ErrorAnswer::coded(422, 602, "alerts in body is required"));
    }
    let elements = match serde_json::from_slice(body).map_err(ErrorAnswer::unparsable)? {
        Value::Array(elements) => elements,
        Value::Null => Vec::new(),
        other => {
            let why = format!("json: cannot unmarshal {} into Go value of type models.PostableAlerts", go_kind(&other));
            return Err(ErrorAnswer::unparsable(why));
        }
    };
    if elements.len() > limits.alerts_max {
        let (count, max) = (elements.len(), limits.alerts_max);
        return Err(ErrorAnswer::coded(413, 413, format!("the body has {count} alerts, the limit is {max}")));
    }
    // All are read before one is checked: a body that the OpenAPI layer refuses leaves nothing behind.
    let posted: Vec<Posted> = elements.into_iter().enumerate().map(|(i, e)| read(i, e)).collect::<Result<_, _>>()?;
    let mut decoded = DecodedAlerts::default();
    for (index, posted) in posted.into_iter().enumerate() {
        match check(posted, now, resolve_timeout, limits) {
            Ok(alert) => decoded.alerts.push(alert),
            Err(reason) => decoded.rejections.add(limits.rejections_max, Item::Element(index), || reason),
        }
    }
    Ok(decoded)
}

/// One element, typed but not checked.
struct Posted {
    labels: Vec<(String, String)>,
    annotations: BTreeMap<String, String>,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    generator_url: String,
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn read(index: usize, element: Value) -> Result<Posted, ErrorAnswer> {
    let mut object = match element {
        Value::Object(object) => object,
        // Alertmanager crashes on a null; like everything else that is no object it has no labels.
        Value::Null => return Err(ErrorAnswer::coded(422, 602, format!("{index}.labels in body is required"))),
        other => {
            let why = format!("json: cannot unmarshal {} into Go value of type models.PostableAlert", go_kind(&other));
            return Err(ErrorAnswer::unparsable(why));
        }
    };
    let Some(labels) = read_texts(&mut object, "labels")? else {
        return Err(ErrorAnswer::coded(422, 602, format!("{index}.labels in body is required")));
    };
    let annotations = read_texts(&mut object, "annotations")?.unwrap_or_default();
    let starts_at = read_time(&mut object, "startsAt")?;
    let ends_at = read_time(&mut object, "endsAt")?;
    let generator_url = match object.remove("generatorURL") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if text.is_empty() || is_request_uri(&text) => text,
        Some(Value::String(text)) => {
            let message = format!("{index}.generatorURL in body must be of type uri: {:?}", shorten(&text));
            return Err(ErrorAnswer::coded(422, 601, message));
        }
        Some(other) => {
            let kind = go_kind(&other);
            let why = format!("json: cannot unmarshal {kind} into Go struct field .generatorURL of type strfmt.URI");
            return Err(ErrorAnswer::unparsable(why));
        }
    };
    Ok(Posted { labels, annotations: annotations.into_iter().collect(), starts_at, ends_at, generator_url })
}

/// What Go's `url.ParseRequestURI` accepts, nearly: an absolute path, or a scheme and something after it.
fn is_request_uri(text: &str) -> bool {
    let clean = !text.chars().any(|c| c.is_control() || c == ' ');
    let scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
        let mut bytes = scheme.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
            && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            && rest.starts_with('/')
    });
    clean && (scheme || text.starts_with('/'))
}

fn read_texts(object: &mut Map<String, Value>, name: &str) -> Result<Option<Vec<(String, String)>>, ErrorAnswer> {
    let refuse = |value: &Value, into: &str| {
        let kind = go_kind(value);
        let why = format!("json: cannot unmarshal {kind} into Go struct field .{name} of type {into}");
        ErrorAnswer::unparsable(why)
    };
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => {
            let texts = members.into_iter().map(|(name, value)| match value {
                Value::String(text) => Ok((name, text)),
                Value::Null => Ok((name, String::new())),
                other => Err(refuse(&other, "string")),
            });
            texts.collect::<Result<_, _>>().map(Some)
        }
        Some(other) => Err(refuse(&other, "models.LabelSet")),
    }
}

/// A time, where Go's zero time and the empty text mean that there is none.
fn read_time(object: &mut Map<String, Value>, name: &str) -> Result<Option<Timestamp>, ErrorAnswer> {
    const GO_ZERO: Timestamp = Timestamp::from_secs(-62_135_596_800);
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => match parse_time(&text) {
            Some(GO_ZERO) => Ok(None),
            Some(time) => Ok(Some(time)),
            None => {
                // The last of the layouts that Alertmanager tries is the one that its message names.
                let text = shorten(&text);
                let year: String = "2006".to_owned();
                Err(ErrorAnswer::unparsable(format!(
                    "parsing time {text:?} as \"2006-01-02 15:04:05\": cannot parse {text:?} as {year:?}"
                )))
            }
        },
        Some(other) => {
            let kind = go_kind(&other);
            let why = format!("json: cannot unmarshal {kind} into Go struct field .{name} of type strfmt.DateTime");
            Err(ErrorAnswer::unparsable(why))
        }
    }
}

fn check(posted: Posted, now: Timestamp, resolve_timeout: Duration, limits: &Limits) -> Result<Alert, String> {
    let starts_at = posted.starts_at.or(posted.ends_at).unwrap_or(now);
    let timeout = posted.ends_at.is_none();
    let ends_at = posted.ends_at.unwrap_or(now + resolve_timeout);
    if ends_at < starts_at {
        return Err("start time must be before end time".to_owned());
    }
    let labels: Vec<_> = posted.labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    if labels.is_empty() {
        return Err("at least one label pair required".to_owned());
    }
    if labels.len() > limits.labels_max || posted.annotations.len() > limits.labels_max {
        return Err(format!("more than {} labels or annotations", limits.labels_max));
    }
    let pairs = labels.iter().map(|(name, value)| (name, value)).chain(&posted.annotations);
    let bytes = pairs.map(|(name, value)| name.len() + value.len()).sum::<usize>() + posted.generator_url.len();
    if bytes > limits.alert_bytes_max {
        let max = limits.alert_bytes_max;
        return Err(format!(
            "labels, annotations and generatorURL have {bytes} bytes together, at most {max} are allowed \
             (ingest.alert_bytes_max)"
        ));
    }
    for (name, value) in &labels {
        check_pair(name, value, limits).map_err(|reason| format!("invalid label set: {reason}"))?;
    }
    for (name, value) in &posted.annotations {
        check_pair(name, value, limits).map_err(|reason| format!("invalid annotations: {reason}"))?;
    }
    Ok(Alert {
        labels: Labels::from_pairs(labels),
        annotations: posted.annotations,
        starts_at,
        ends_at: Some(ends_at),
        updated_at: now,
        timeout,
        generator_url: posted.generator_url,
        value: None,
    })
}

fn check_pair(name: &str, value: &str, limits: &Limits) -> Result<(), String> {
    let bad = name.is_empty() || (limits.label_names == LabelNames::Legacy && !is_legacy_label_name(name));
    if bad {
        return Err(format!("invalid name {:?}", shorten(name)));
    }
    if name.len() > limits.label_name_bytes_max {
        return Err(format!("name {:?} has more than {} bytes", shorten(name), limits.label_name_bytes_max));
    }
    if value.len() > limits.label_value_bytes_max {
        return Err(format!("the value of {:?} has more than {} bytes", shorten(name), limits.label_value_bytes_max));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
