//! Slack's interactive buttons: a click comes back signed, and says who clicked what.

use serde_json::Value;
use watchfire_model::{Duration, Timestamp};

use crate::signature::is_hmac_sha256;

/// The id of the button that acknowledges.
pub const ACKNOWLEDGE: &str = "watchfire_acknowledge";
/// The id of the button that silences for an hour.
pub const SILENCE: &str = "watchfire_silence";
/// For how long the button silences.
pub const SILENCE_FOR: Duration = Duration::from_hours(1);
/// How old a click may be: Slack's own advice against repeated requests.
const AGE_MAX: Duration = Duration::from_mins(5);

/// A click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// What is to be done.
    pub action: ClickAction,
    /// The hash of the alert group's key ([`crate::Notification::group_hash`]).
    pub group_hash: String,
    /// Who clicked, by the name that Slack shows.
    pub by: String,
}

/// What a button does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClickAction {
    /// Somebody works on it.
    Acknowledge,
    /// Silences the group's alerts for [`SILENCE_FOR`].
    Silence,
}

/// Whether a request was signed with `secret` a short time ago. `timestamp` and `signature` are the values of
/// `X-Slack-Request-Timestamp` and `X-Slack-Signature`.
pub fn is_signed(secret: &str, timestamp: &str, signature: &str, body: &[u8], now: Timestamp) -> bool {
    let Ok(seconds) = timestamp.parse::<i64>() else { return false };
    let age = now.since(Timestamp::from_millis(seconds.saturating_mul(1000))).as_millis().saturating_abs();
    if secret.is_empty() || age > AGE_MAX.as_millis() {
        return false;
    }
    let text = [format!("v0:{timestamp}:").as_bytes(), body].concat();
    signature.strip_prefix("v0=").is_some_and(|digits| is_hmac_sha256(secret.as_bytes(), &text, [digits]))
}

/// Reads the JSON in the form field `payload`; nothing if it is a click on a button that does nothing here, such as a
/// link.
///
/// # Errors
/// If it is no interaction with a message.
pub fn parse(payload: &str) -> Result<Option<Click>, String> {
    let parsed: Value = serde_json::from_str(payload).map_err(|error| format!("the payload is not JSON: {error}"))?;
    let actions = parsed.get("actions").and_then(Value::as_array).ok_or("there are no `actions`")?;
    let click = actions.iter().find_map(|action| {
        let what = match action.get("action_id").and_then(Value::as_str)? {
            ACKNOWLEDGE => ClickAction::Acknowledge,
            SILENCE => ClickAction::Silence,
            _ => return None,
        };
        Some((what, action.get("value").and_then(Value::as_str)?))
    });
    let Some((action, group)) = click else { return Ok(None) };
    let user = parsed.get("user");
    let name = |key: &str| user.and_then(|user| user.get(key)).and_then(Value::as_str).filter(|name| !name.is_empty());
    let by = name("name").or_else(|| name("username")).or_else(|| name("id")).unwrap_or("somebody in Slack");
    Ok(Some(Click { action, group_hash: group.to_owned(), by: by.to_owned() }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::notification::hex;
    use crate::signature::hmac_sha256;

    #[test]
    fn only_what_slack_signed_lately_is_taken() {
        let now = Timestamp::from_millis(1_795_209_600_000);
        let sign = |secret: &str, seconds: i64, body: &str| {
            format!("v0={}", hex(&hmac_sha256(secret.as_bytes(), format!("v0:{seconds}:{body}").as_bytes())))
        };
        let seconds = 1_795_209_600;
        for (seconds, secret, signature, taken) in [
            (seconds, "shh", sign("shh", seconds, "a=b"), true),
            (seconds - 299, "shh", sign("shh", seconds - 299, "a=b"), true),
            (seconds - 301, "shh", sign("shh", seconds - 301, "a=b"), false),
            (seconds + 301, "shh", sign("shh", seconds + 301, "a=b"), false),
            (seconds, "shh", sign("shh", seconds - 1, "a=b"), false),
            (seconds, "shh", sign("other", seconds, "a=b"), false),
            (seconds, "shh", sign("shh", seconds, "a=c"), false),
            (seconds, "", sign("", seconds, "a=b"), false),
        ] {
            assert_eq!(is_signed(secret, &seconds.to_string(), &signature, b"a=b", now), taken, "{seconds} {secret}");
        }
        assert!(!is_signed("shh", "soon", &sign("shh", seconds, "a=b"), b"a=b", now));
    }

    #[test]
    fn clicks_say_who_wants_what() {
        let payload = |id: &str| {
            let user = json!({"id": "U1", "username": "ada", "name": "ada"});
            json!({"type": "block_actions", "user": user, "actions": [{"action_id": id, "value": "abc"}]}).to_string()
        };
        let click = |action| Ok(Some(Click { action, group_hash: "abc".to_owned(), by: "ada".to_owned() }));
        assert_eq!(parse(&payload(ACKNOWLEDGE)), click(ClickAction::Acknowledge));
        assert_eq!(parse(&payload(SILENCE)), click(ClickAction::Silence));
        assert_eq!(parse(&payload("runbook")), Ok(None));
        assert!(parse("{}").is_err() && parse("x").is_err());
    }
}
