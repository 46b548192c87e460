//! Alertmanager's `POST /api/v2/alerts`.
//!
//! Valid alerts of a batch are kept although others are refused, and refusals read as Alertmanager's own do, so that
//! its clients show what their users know. Texts that are only checked by its OpenAPI layer refuse the whole body there
//! and do so here.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use serde_json::{Value, json};
use watchfire_model::{Alert, Duration, Labels, Timestamp, is_legacy_label_name};

use crate::json::{Json, Shape};
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
    /// The number that Alertmanager gives to what is wrong with a body, where it gives one.
    code: Option<u16>,
    /// What is wrong.
    pub message: String,
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
        Some(ErrorAnswer { status: 400, code: None, message: reasons.join("; ") })
    }
}

impl ErrorAnswer {
    fn coded(status: u16, code: u16, message: impl Into<String>) -> ErrorAnswer {
        ErrorAnswer { status, code: Some(code), message: message.into() }
    }

    /// The JSON text of the response.
    pub fn body(&self) -> String {
        match self.code {
            Some(code) => json!({"code": code, "message": self.message}).to_string(),
            None => Value::from(self.message.as_str()).to_string(),
        }
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
    // Whether all of it is UTF-8 is found sooner than whether each text is. What is not, such as half of a character that
    // was cut, is no reason to lose the page: as for Go's decoder it is the sign for what is unknown.
    let (text, whole) = (String::from_utf8_lossy(body), OnceCell::new());
    let shaped = serde_json::from_str(&text).or_else(|error| match whole_characters(&text) {
        Some(text) => serde_json::from_str(whole.get_or_init(|| text)),
        None => Err(error),
    });
    let elements = match shaped.map_err(ErrorAnswer::unparsable)? {
        Json::Is(Elements(elements)) => elements,
        Json::Null => Vec::new(),
        Json::Other(kind) => {
            let why = format!("json: cannot unmarshal {kind} into Go value of type models.PostableAlerts");
            return Err(ErrorAnswer::unparsable(why));
        }
    };
    if elements.len() > limits.alerts_max {
        let (count, max) = (elements.len(), limits.alerts_max);
        return Err(ErrorAnswer::coded(413, 413, format!("the body has {count} alerts, the limit is {max}")));
    }
    // All are read before one is checked: a body that the OpenAPI layer refuses leaves nothing behind.
    let posted: Vec<Posted<'_>> =
        elements.into_iter().enumerate().map(|(i, e)| read(i, e)).collect::<Result<_, _>>()?;
    let mut decoded = DecodedAlerts::default();
    for (index, posted) in posted.into_iter().enumerate() {
        match check(posted, now, resolve_timeout, limits) {
            Ok(alert) => decoded.alerts.push(alert),
            Err(reason) => decoded.rejections.add(limits.rejections_max, Item::Element(index), || reason),
        }
    }
    Ok(decoded)
}

/// JSON with the sign for what is unknown in the place of every escape of one half of a character whose other half is not
/// there; nothing if there is none.
fn whole_characters(json: &str) -> Option<String> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let (mut whole, mut rest, mut halves) = (String::with_capacity(json.len()), json, 0);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        whole += before;
        let follows = || escape.get(6..).and_then(unit).is_some_and(|next| (0xDC00..0xE000).contains(&next));
        let (read, length) = match unit(escape) {
            Some(0xD800..0xDC00) if follows() => (&escape[..12], 12),
            Some(0xD800..0xE000) => ("\\ufffd", 6),
            // What follows a backslash may be another one, which begins nothing then.
            _ => {
                let length = escape.chars().take(2).map(char::len_utf8).sum();
                (&escape[..length], length)
            }
        };
        halves += usize::from(read == "\\ufffd");
        whole += read;
        rest = &escape[length..];
    }
    (halves > 0).then(|| whole + rest)
}

/// The elements of a body.
struct Elements<'a>(Vec<Json<Element<'a>>>);

/// One element as it was sent.
#[derive(Default)]
struct Element<'a> {
    labels: Json<Texts<'a>>,
    annotations: Json<Texts<'a>>,
    starts_at: Json<Cow<'a, str>>,
    ends_at: Json<Cow<'a, str>>,
    generator_url: Json<Cow<'a, str>>,
}

/// The members of an object. Of those with the same name the last one counts.
struct Texts<'a>(Vec<(Cow<'a, str>, Json<Cow<'a, str>>)>);

impl<'de> Shape<'de> for Elements<'de> {
    fn of_array<A: SeqAccess<'de>>(mut array: A) -> Result<Json<Elements<'de>>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = array.next_element()? {
            elements.push(element);
        }
        Ok(Json::Is(Elements(elements)))
    }
}

impl<'de> Shape<'de> for Element<'de> {
    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Json<Element<'de>>, A::Error> {
        let mut element = Element::default();
        while let Some(Json::Is(name)) = object.next_key::<Json<Cow<'de, str>>>()? {
            match &*name {
                "labels" => element.labels = object.next_value()?,
                "annotations" => element.annotations = object.next_value()?,
                "startsAt" => element.starts_at = object.next_value()?,
                "endsAt" => element.ends_at = object.next_value()?,
                "generatorURL" => element.generator_url = object.next_value()?,
                _ => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Json::Is(element))
    }
}

impl<'de> Shape<'de> for Texts<'de> {
    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Json<Texts<'de>>, A::Error> {
        let mut texts = Vec::new();
        while let Some((Json::Is(name), text)) = object.next_entry::<Json<Cow<'de, str>>, _>()? {
            texts.push((name, text));
        }
        Ok(Json::Is(Texts(texts)))
    }
}

/// One element, typed but not checked.
struct Posted<'a> {
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    annotations: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    generator_url: Cow<'a, str>,
}

fn read(index: usize, element: Json<Element<'_>>) -> Result<Posted<'_>, ErrorAnswer> {
    let element = match element {
        Json::Is(element) => element,
        // Alertmanager crashes on a null; like everything else that is no object it has no labels.
        Json::Null => return Err(ErrorAnswer::coded(422, 602, format!("{index}.labels in body is required"))),
        Json::Other(kind) => {
            let why = format!("json: cannot unmarshal {kind} into Go value of type models.PostableAlert");
            return Err(ErrorAnswer::unparsable(why));
        }
    };
    let Some(labels) = read_texts(element.labels, "labels")? else {
        return Err(ErrorAnswer::coded(422, 602, format!("{index}.labels in body is required")));
    };
    let annotations = read_texts(element.annotations, "annotations")?.unwrap_or_default();
    let starts_at = read_time(element.starts_at, "startsAt")?;
    let ends_at = read_time(element.ends_at, "endsAt")?;
    let generator_url = match element.generator_url {
        Json::Null => Cow::default(),
        Json::Is(text) if text.is_empty() || is_request_uri(&text) => text,
        Json::Is(text) => {
            let message = format!("{index}.generatorURL in body must be of type uri: {:?}", shorten(&text));
            return Err(ErrorAnswer::coded(422, 601, message));
        }
        Json::Other(kind) => {
            let why = format!("json: cannot unmarshal {kind} into Go struct field .generatorURL of type strfmt.URI");
            return Err(ErrorAnswer::unparsable(why));
        }
    };
    Ok(Posted { labels, annotations, starts_at, ends_at, generator_url })
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

fn read_texts<'a>(
    texts: Json<Texts<'a>>,
    name: &str,
) -> Result<Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>, ErrorAnswer> {
    let refuse = |kind: &str, into: &str| {
        let why = format!("json: cannot unmarshal {kind} into Go struct field .{name} of type {into}");
        ErrorAnswer::unparsable(why)
    };
    match texts {
        Json::Null => Ok(None),
        Json::Is(Texts(members)) => {
            let texts = members.into_iter().map(|(name, value)| match value {
                Json::Is(text) => Ok((name, text)),
                Json::Null => Ok((name, Cow::default())),
                Json::Other(kind) => Err(refuse(kind, "string")),
            });
            texts.collect::<Result<_, _>>().map(Some)
        }
        Json::Other(kind) => Err(refuse(kind, "models.LabelSet")),
    }
}

/// A time, where Go's zero time and the empty text mean that there is none.
fn read_time(text: Json<Cow<'_, str>>, name: &str) -> Result<Option<Timestamp>, ErrorAnswer> {
    const GO_ZERO: Timestamp = Timestamp::from_secs(-62_135_596_800);
    match text {
        Json::Null => Ok(None),
        Json::Is(text) if text.is_empty() => Ok(None),
        Json::Is(text) => match parse_time(&text) {
            Some(GO_ZERO) => Ok(None),
            Some(time) => Ok(Some(time)),
            None => {
                // The last of the layouts that Alertmanager tries is the one that its message names.
                let text = shorten(&text);
                let why = format!("parsing time {text:?} as \"2006-01-02\": cannot parse {text:?} as \"2006\"");
                Err(ErrorAnswer::unparsable(why))
            }
        },
        Json::Other(kind) => {
            let why = format!("json: cannot unmarshal {kind} into Go struct field .{name} of type strfmt.DateTime");
            Err(ErrorAnswer::unparsable(why))
        }
    }
}

fn check(posted: Posted<'_>, now: Timestamp, resolve_timeout: Duration, limits: &Limits) -> Result<Alert, String> {
    let starts_at = posted.starts_at.or(posted.ends_at).unwrap_or(now);
    let timeout = posted.ends_at.is_none();
    let ends_at = posted.ends_at.unwrap_or(now + resolve_timeout);
    if ends_at < starts_at {
        return Err("start time must be before end time".to_owned());
    }
    let labels = posted.labels.iter().map(|(name, value)| (&**name, &**value)).filter(|(_, value)| !value.is_empty());
    let labels: Vec<(&str, &str)> = labels.collect();
    if labels.is_empty() {
        return Err("at least one label pair required".to_owned());
    }
    if labels.len() > limits.labels_max || posted.annotations.len() > limits.labels_max {
        return Err(format!("more than {} labels or annotations", limits.labels_max));
    }
    let annotations = posted.annotations.iter().map(|(name, value)| (&**name, &**value));
    let pairs = labels.iter().copied().chain(annotations.clone());
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
    for (name, value) in annotations {
        check_pair(name, value, limits).map_err(|reason| format!("invalid annotations: {reason}"))?;
    }
    Ok(Alert {
        labels: Labels::from_ordered(&labels),
        annotations: posted.annotations.into_iter().collect(),
        starts_at,
        ends_at: Some(ends_at),
        updated_at: now,
        timeout,
        generator_url: posted.generator_url.into(),
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
