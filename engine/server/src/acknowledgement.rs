//! Acknowledging and snoozing over HTTP: what Alertmanager's API has no words for.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use watchfire_alerting::{AcknowledgeCommand, AcknowledgeError, AcknowledgeWhat, GroupKey};
use watchfire_model::{Fingerprint, Timestamp};

use crate::App;
use crate::body;
use crate::receivers::refused;

/// What is acknowledged: an alert by its fingerprint, or an alert group by its key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Posted {
    fingerprint: Option<String>,
    group_key: Option<String>,
    #[serde(default)]
    by: String,
    #[serde(default)]
    comment: String,
    until: Option<String>,
    #[serde(default)]
    snooze: bool,
}

impl Posted {
    fn read(bytes: &[u8]) -> Result<Posted, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("parsing the acknowledgement failed: {error}"))
    }

    fn what(&self) -> Result<AcknowledgeWhat, String> {
        match (&self.fingerprint, &self.group_key) {
            (Some(text), None) => match Fingerprint::parse(text) {
                Some(fingerprint) => Ok(AcknowledgeWhat::Alert(fingerprint)),
                None => Err(format!("{text:?} is not a fingerprint: write its 16 hexadecimal digits")),
            },
            (None, Some(key)) => Ok(AcknowledgeWhat::Group(GroupKey::from_text(key.as_str()))),
            _ => Err("name what is acknowledged: either `fingerprint` or `groupKey`".to_owned()),
        }
    }
}

/// `POST /api/watchfire/v1/acknowledgements`: `{fingerprint | groupKey, by, comment, until, snooze}`.
pub(crate) async fn set(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let bytes = body::read(&headers, body, app.body_bytes_max()).await.map_err(IntoResponse::into_response)?;
    let command = read_set(&bytes).map_err(bad_request)?;
    carry_out(&app, command).await
}

/// `DELETE /api/watchfire/v1/acknowledgements`: `{fingerprint | groupKey}`.
pub(crate) async fn withdraw(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Response> {
    let bytes = body::read(&headers, body, app.body_bytes_max()).await.map_err(IntoResponse::into_response)?;
    let what = Posted::read(&bytes).and_then(|posted| posted.what()).map_err(bad_request)?;
    carry_out(&app, AcknowledgeCommand::Withdraw { what }).await
}

fn bad_request(message: String) -> Response {
    refused(StatusCode::BAD_REQUEST, &message)
}

fn read_set(bytes: &[u8]) -> Result<AcknowledgeCommand, String> {
    let posted = Posted::read(bytes)?;
    let what = posted.what()?;
    if posted.by.is_empty() {
        return Err("say who acknowledges, in `by`".to_owned());
    }
    let until = posted.until.as_deref().map(Timestamp::parse_rfc3339).transpose().map_err(|error| error.to_string())?;
    Ok(AcknowledgeCommand::Set { what, by: posted.by, comment: posted.comment, until, snooze: posted.snooze })
}

async fn carry_out(app: &App, command: AcknowledgeCommand) -> Result<Response, Response> {
    match app.engine.acknowledge(command).await.map_err(crate::push_refused)? {
        Ok(alerts) => {
            let alerts: Vec<String> = alerts.iter().map(ToString::to_string).collect();
            Ok(Json(json!({ "alerts": alerts })).into_response())
        }
        Err(error) => {
            let status = match error {
                AcknowledgeError::NoSuchAlert(_) | AcknowledgeError::NoSuchGroup(_) => StatusCode::NOT_FOUND,
                _ => StatusCode::BAD_REQUEST,
            };
            Err(refused(status, &error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_names_one_thing_and_somebody() {
        let table = [
            (r#"{"fingerprint": "00000000000000ff", "by": "Ada"}"#, Ok(None)),
            (
                r#"{"groupKey": "root:{}", "by": "Ada", "until": "2026-01-05T10:00:00Z", "snooze": true}"#,
                Ok(Some(true)),
            ),
            (r#"{"by": "Ada"}"#, Err("either `fingerprint` or `groupKey`")),
            (r#"{"fingerprint": "00000000000000ff", "groupKey": "g", "by": "Ada"}"#, Err("either `fingerprint`")),
            (r#"{"fingerprint": "x", "by": "Ada"}"#, Err("16 hexadecimal digits")),
            (r#"{"fingerprint": "00000000000000ff"}"#, Err("say who")),
            (r#"{"fingerprint": "00000000000000ff", "by": "Ada", "for": "1h"}"#, Err("unknown field `for`")),
        ];
        for (text, expected) in table {
            match (read_set(text.as_bytes()), expected) {
                (Ok(AcknowledgeCommand::Set { until, snooze, .. }), Ok(ends)) => {
                    assert_eq!(until.map(|_| snooze), ends, "{text}");
                }
                (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
                (read, _) => panic!("{text}: {}", read.is_ok()),
            }
        }
    }
}
