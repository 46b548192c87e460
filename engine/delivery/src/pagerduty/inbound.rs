//! PagerDuty's webhooks, version 3: what happened to an incident there.

use serde_json::Value;
use watchfire_model::Timestamp;

use crate::signature::is_hmac_sha256;

/// What happened to an incident in PagerDuty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// What happened.
    pub event: InboundEvent,
    /// The deduplication key under which the incident was opened.
    pub dedup_key: String,
    /// Who did it, as PagerDuty names them; empty if a rule of PagerDuty's did.
    pub by: String,
    /// When it happened, by PagerDuty's clock and perhaps without the part of the second. What is told again later, or late,
    /// says so by it.
    pub occurred_at: Option<Timestamp>,
}

/// What can happen to an incident that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundEvent {
    /// Somebody works on it.
    Acknowledged,
    /// Nobody does any more.
    Unacknowledged,
    /// It is over.
    Resolved,
}

/// Signatures of one webhook that are looked at. There is one for each secret that counts in PagerDuty, which are two
/// while one is replaced by another.
const SIGNATURES_MAX: usize = 8;

/// Whether the body was signed with `secret`. `signatures` is the value of `X-PagerDuty-Signature`: signatures with commas
/// between them, each `v1=` and hexadecimal digits.
pub fn is_signed(secret: &str, signatures: &str, body: &[u8]) -> bool {
    let given = signatures.split(',').take(SIGNATURES_MAX).filter_map(|one| one.trim().strip_prefix("v1="));
    !secret.is_empty() && is_hmac_sha256(secret.as_bytes(), body, given)
}

/// Reads a webhook; nothing if it is about something that means nothing here, such as a note or a test ping.
///
/// # Errors
/// If it is no webhook of version 3.
pub fn parse(body: &[u8]) -> Result<Option<Inbound>, String> {
    let parsed: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let event = parsed.get("event").and_then(Value::as_object).ok_or("there is no `event`")?;
    let kind = event.get("event_type").and_then(Value::as_str).ok_or("there is no `event.event_type`")?;
    let kind = match kind {
        "incident.acknowledged" => InboundEvent::Acknowledged,
        "incident.unacknowledged" => InboundEvent::Unacknowledged,
        "incident.resolved" => InboundEvent::Resolved,
        _ => return Ok(None),
    };
    let key = event.get("data").and_then(|data| data.get("incident_key")).and_then(Value::as_str);
    // An incident that a person opened there has no key, and no group here.
    let Some(key) = key.filter(|key| !key.is_empty()) else { return Ok(None) };
    let by = event.get("agent").and_then(|agent| agent.get("summary")).and_then(Value::as_str).unwrap_or("");
    let occurred_at = event.get("occurred_at").and_then(Value::as_str);
    let occurred_at = occurred_at.and_then(|time| Timestamp::parse_rfc3339(time).ok());
    Ok(Some(Inbound { event: kind, dedup_key: key.to_owned(), by: by.to_owned(), occurred_at }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::notification::hex;
    use crate::signature::hmac_sha256;

    #[test]
    fn only_what_pagerduty_signed_is_taken() {
        let body = br#"{"event":{}}"#;
        let digits = hex(&hmac_sha256(b"whsec", body));
        let other = hex(&hmac_sha256(b"older", body));
        let behind = |others: usize| format!("{}v1={digits}", format!("v1={other},").repeat(others));
        for (secret, signatures, taken) in [
            ("whsec", format!("v1={digits}"), true),
            ("whsec", format!("v1={other}, v1={digits}"), true),
            ("whsec", behind(7), true),
            ("whsec", behind(8), false),
            ("whsec", format!("v1={other}"), false),
            ("whsec", format!("v0={digits}"), false),
            ("whsec", digits.clone(), false),
            ("whsec", String::new(), false),
            ("", format!("v1={}", hex(&hmac_sha256(b"", body))), false),
        ] {
            assert_eq!(is_signed(secret, &signatures, body), taken, "{secret} {signatures}");
        }
        assert!(!is_signed("whsec", &format!("v1={digits}"), b"{}"));
    }

    #[test]
    fn events_of_incidents_are_read_and_the_rest_is_left() {
        let event = |kind: &str, data: Value| {
            json!({"event": {
                "id": "01", "event_type": kind, "resource_type": "incident", "occurred_at": "2026-11-20T21:20:00Z",
                "agent": {"id": "P1", "type": "user_reference", "summary": "Ada"}, "data": data,
            }})
        };
        let read = |value: Value| parse(value.to_string().as_bytes());
        let occurred_at = Timestamp::parse_rfc3339("2026-11-20T21:20:00Z").ok();
        let known = |event| Ok(Some(Inbound { event, dedup_key: "k".to_owned(), by: "Ada".to_owned(), occurred_at }));
        let data = || json!({"id": "Q1", "type": "incident", "status": "acknowledged", "incident_key": "k"});
        assert_eq!(read(event("incident.acknowledged", data())), known(InboundEvent::Acknowledged));
        assert_eq!(read(event("incident.unacknowledged", data())), known(InboundEvent::Unacknowledged));
        assert_eq!(read(event("incident.resolved", data())), known(InboundEvent::Resolved));
        assert_eq!(read(event("incident.annotated", data())), Ok(None));
        assert_eq!(read(event("incident.resolved", json!({"incident_key": null}))), Ok(None));
        assert_eq!(read(json!({"event": {"event_type": "pagey.ping"}})), Ok(None));
        assert!(read(json!({"messages": []})).is_err());
        assert!(parse(b"x").is_err());
    }
}
