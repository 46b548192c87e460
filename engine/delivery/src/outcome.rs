//! What an answer means: delivered, try again, or never.

use chrono::DateTime;
use serde_json::Value;
use watchfire_alerting::DeliveryOutcome;
use watchfire_model::{Duration, Timestamp};

use crate::text::{Unit, shorten};

/// The longest reason or receipt in characters.
const REASON_CHARS_MAX: usize = 500;
/// The longest wait that a receiver may ask for; what it wants beyond that is asked again then.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// An HTTP answer, its body cut to what is worth reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The value of `Retry-After`.
    pub retry_after: Option<String>,
    /// The value of `Date`: the server's clock, against which its dates count.
    pub date: Option<String>,
    /// The beginning of the body.
    pub body: String,
}

/// How a service words its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Status codes say it all.
    Plain,
    /// Errors as a list in JSON.
    PagerDuty,
    /// Errors as a word, with a token inside an answer whose status is 200.
    Slack,
}

/// What `answer` means. `at` is the time of the attempt.
///
/// | answer | outcome |
/// |---|---|
/// | 2xx | delivered |
/// | 429 | retry, not before `Retry-After` |
/// | 408, 425, 5xx | retry, not before `Retry-After` if it is there |
/// | 401, 403, 404, 405, 407 | retry: the way there is not open, which says nothing about the message |
/// | everything else | rejected |
///
/// A credential, an address or a proxy in between can be mended where nobody here sees it, and what stands before a service
/// says 404 or 403 while the service is being replaced: a message that counted as refused then would wait for a flush.
pub fn of_answer(dialect: Dialect, answer: &Answer, at: Timestamp) -> DeliveryOutcome {
    let said = said(&answer.body);
    let with_status = |said: &str| match said {
        "" => format!("HTTP {}", answer.status),
        said => format!("HTTP {}: {said}", answer.status),
    };
    let retry = || DeliveryOutcome::Retry { after: retry_after(answer, at), reason: with_status(&said) };
    match answer.status {
        200..=299 if dialect == Dialect::Slack => of_slack(answer, &said, at),
        200..=299 => DeliveryOutcome::Delivered { receipt: with_status(&said) },
        408 | 425 | 429 | 500..=599 => retry(),
        status if is_no_entry(status) => retry(),
        _ => DeliveryOutcome::Rejected { reason: with_status(&said) },
    }
}

/// Whether a status says that the way to the service is not open, and nothing about the message.
pub(crate) fn is_no_entry(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 405 | 407)
}

/// The words in which Slack says what passes by itself.
const SLACK_PASSING: [&str; 7] = [
    "fatal_error",
    "internal_error",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
];
/// And those about the token or the channel, which somebody can mend.
const SLACK_NO_ENTRY: [&str; 10] = [
    "access_denied",
    "account_inactive",
    "channel_not_found",
    "invalid_auth",
    "is_archived",
    "missing_scope",
    "not_authed",
    "not_in_channel",
    "token_expired",
    "token_revoked",
];

/// Whether Slack, or what stands before it, lets nobody in: as [`is_no_entry`] with its own words.
pub(crate) fn is_no_entry_at_slack(answer: &Answer) -> bool {
    is_no_entry(answer.status) || slack_error(answer).is_some_and(|error| SLACK_NO_ENTRY.contains(&error.as_str()))
}

/// The word for what is wrong, if something is.
fn slack_error(answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    (body.get("ok").and_then(Value::as_bool) == Some(false))
        .then(|| body.get("error").and_then(Value::as_str).unwrap_or("unknown error").to_owned())
}

/// Slack's Web API answers 200 whatever happened, and says in the body what did. What is about the message is final; what
/// passes, and what is about the token or the channel, is not.
fn of_slack(answer: &Answer, said: &str, at: Timestamp) -> DeliveryOutcome {
    let parsed: Option<Value> = serde_json::from_str(&answer.body).ok();
    // A webhook says `ok` and nothing else. Any other text is an error of its own, or the page of something in between.
    if parsed.is_none() && !matches!(answer.body.trim(), "ok" | "") {
        let reason = bounded(&format!("HTTP {}, but Slack's answer is not `ok`: {said}", answer.status));
        return match answer.body.trim_start().starts_with('<') {
            true => DeliveryOutcome::Retry { after: retry_after(answer, at), reason },
            false => DeliveryOutcome::Rejected { reason },
        };
    }
    let Some(error) = slack_error(answer) else {
        return DeliveryOutcome::Delivered { receipt: receipt_of_slack(parsed.as_ref(), said) };
    };
    let reason = bounded(&format!("Slack: {error}"));
    match SLACK_PASSING.iter().chain(&SLACK_NO_ENTRY).any(|word| *word == error) {
        true => DeliveryOutcome::Retry { after: retry_after(answer, at), reason },
        false => DeliveryOutcome::Rejected { reason },
    }
}

/// Channel and time of the message are what a later update of it needs.
fn receipt_of_slack(body: Option<&Value>, said: &str) -> String {
    let field = |name: &str| body.and_then(|body| body.get(name)).and_then(Value::as_str);
    match (field("channel"), field("ts")) {
        (Some(channel), Some(ts)) => bounded(&format!("channel {channel}, ts {ts}")),
        _ => bounded(said),
    }
}

/// When the receiver wants to be asked again: seconds, or an HTTP date by its own clock.
fn retry_after(answer: &Answer, at: Timestamp) -> Option<Duration> {
    let text = answer.retry_after.as_deref()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Duration::from_millis((seconds * 1000.0).ceil() as i64),
        Ok(_) => return None,
        Err(_) => {
            let now = answer.date.as_deref().and_then(http_date).unwrap_or(at);
            http_date(text)?.since(now)
        }
    };
    Some(wait.clamp(Duration::ZERO, RETRY_AFTER_MAX))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some(Timestamp::from_millis(date.timestamp_millis()))
}

/// The readable part of a body: messages and errors of JSON, the text of anything else, never a page of HTML.
fn said(body: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let text = match &parsed {
        Some(Value::Object(object)) => {
            let mut parts = Vec::new();
            for name in ["message", "error", "detail", "title", "errors"] {
                match object.get(name) {
                    Some(Value::String(text)) => parts.push(text.clone()),
                    Some(Value::Array(items)) => {
                        parts.extend(
                            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)),
                        );
                    }
                    Some(Value::Null) | None => {}
                    Some(other) => parts.push(other.to_string()),
                }
            }
            if parts.is_empty() { body.to_owned() } else { parts.join(": ") }
        }
        _ if body.trim_start().starts_with('<') => strip_tags(body),
        _ => body.to_owned(),
    };
    bounded(&text)
}

fn strip_tags(html: &str) -> String {
    let mut inside = false;
    let visible = html.chars().filter(|c| {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            _ => return !inside,
        }
        false
    });
    visible.collect()
}

/// One line of at most [`REASON_CHARS_MAX`].
pub(crate) fn bounded(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let visible: String = line.chars().filter(|c| !c.is_control()).collect();
    shorten(&visible, REASON_CHARS_MAX, Unit::Chars).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_one_meaning() {
        use Dialect::{PagerDuty, Plain, Slack};
        let at = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap();
        let date = |time: &str| format!("Fri, 20 Nov 2026 {time} GMT");
        let invalid =
            r#"{"status":"invalid event","message":"Event object is invalid","errors":["'summary' is missing","x"]}"#;
        let html = "<html><head></head><body><h1>502  Bad\nGateway</h1></body></html>";
        let table: Vec<(Dialect, u16, Option<String>, Option<String>, &str, &str)> = vec![
            (Plain, 200, None, None, "", "delivered HTTP 200"),
            (Plain, 204, None, None, "", "delivered HTTP 204"),
            (
                PagerDuty,
                202,
                None,
                None,
                r#"{"status":"success","message":"Event processed","dedup_key":"k"}"#,
                "delivered HTTP 202: Event processed",
            ),
            (
                PagerDuty,
                400,
                None,
                None,
                invalid,
                "rejected HTTP 400: Event object is invalid: 'summary' is missing: x",
            ),
            (PagerDuty, 429, None, None, "", "retry None HTTP 429"),
            (Plain, 429, Some("30".into()), None, "slow down", "retry 30s HTTP 429: slow down"),
            (Plain, 429, Some("0.25".into()), None, "", "retry 250ms HTTP 429"),
            (Plain, 429, Some(date("12:00:10")), None, "", "retry 10s HTTP 429"),
            (Plain, 429, Some(date("12:00:10")), Some(date("12:00:04")), "", "retry 6s HTTP 429"),
            (Plain, 429, Some(date("11:00:00")), None, "", "retry 0s HTTP 429"),
            (Plain, 429, Some("-5".into()), None, "", "retry 0s HTTP 429"),
            (Plain, 429, Some("1e30".into()), None, "", "retry 1h HTTP 429"),
            (Plain, 429, Some("soon".into()), None, "", "retry None HTTP 429"),
            (Plain, 503, Some("7".into()), None, "", "retry 7s HTTP 503"),
            (Plain, 408, None, None, "", "retry None HTTP 408"),
            (Plain, 502, None, None, html, "retry None HTTP 502: 502 Bad Gateway"),
            (Plain, 301, None, None, "", "rejected HTTP 301"),
            (Plain, 400, None, None, "no\u{7}", "rejected HTTP 400: no"),
            (Plain, 401, None, None, "", "retry None HTTP 401"),
            (Plain, 403, Some("60".into()), None, "", "retry 1m HTTP 403"),
            (Plain, 404, None, None, "no such app", "retry None HTTP 404: no such app"),
            (Plain, 413, None, None, "", "rejected HTTP 413"),
            (Slack, 200, None, None, "ok", "delivered ok"),
            (Slack, 200, None, None, r#"{"ok":true,"channel":"C1","ts":"1.2"}"#, "delivered channel C1, ts 1.2"),
            (
                Slack,
                200,
                None,
                None,
                r#"{"ok":false,"error":"channel_not_found"}"#,
                "retry None Slack: channel_not_found",
            ),
            (Slack, 200, None, None, r#"{"ok":false,"error":"invalid_blocks"}"#, "rejected Slack: invalid_blocks"),
            (Slack, 200, None, None, "", "delivered "),
            (
                Slack,
                200,
                None,
                None,
                "invalid_payload",
                "rejected HTTP 200, but Slack's answer is not `ok`: invalid_payload",
            ),
            (Slack, 200, None, None, html, "retry None HTTP 200, but Slack's answer is not `ok`: 502 Bad Gateway"),
            (Slack, 200, None, None, r#"{"ok":false,"error":"ratelimited"}"#, "retry None Slack: ratelimited"),
            (Slack, 404, None, None, "channel_not_found", "retry None HTTP 404: channel_not_found"),
            (Slack, 500, None, None, "rollup_error", "retry None HTTP 500: rollup_error"),
        ];
        for (dialect, status, retry_after, date, body, expected) in table {
            let answer = Answer { status, retry_after, date, body: body.to_owned() };
            let said = match of_answer(dialect, &answer, at) {
                DeliveryOutcome::Delivered { receipt } => format!("delivered {receipt}"),
                DeliveryOutcome::Retry { after: None, reason } => format!("retry None {reason}"),
                DeliveryOutcome::Retry { after: Some(after), reason } => format!("retry {after} {reason}"),
                DeliveryOutcome::Rejected { reason } => format!("rejected {reason}"),
                outcome => format!("{outcome:?}"),
            };
            assert_eq!(said, expected, "{answer:?}");
        }
        let long = Answer { status: 400, body: "x".repeat(100_000), ..Answer::default() };
        let DeliveryOutcome::Rejected { reason } = of_answer(Plain, &long, at) else { panic!() };
        assert!(reason.chars().count() < 600, "{}", reason.len());
    }
}
