//! What engines that do not decide were asked for, for the one that does.

use serde::{Deserialize, Serialize};
use watchfire_alerting::{AcknowledgeCommand, AcknowledgeWhat, GroupKey, Input, SilenceCommand};
use watchfire_model::Fingerprint;

use super::v1;
use super::values::Millis;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request<'a> {
    Alerts(Vec<v1::Alert<'a>>),
    Silences(Vec<v1::Silence>),
    Acknowledge { what: What, by: String, comment: String, until: Option<Millis>, snooze: bool },
    Withdraw { what: What },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Alert(u64),
    Group(String),
}

impl From<&AcknowledgeWhat> for What {
    fn from(what: &AcknowledgeWhat) -> What {
        match what {
            AcknowledgeWhat::Alert(fingerprint) => What::Alert(fingerprint.0),
            AcknowledgeWhat::Group(key) => What::Group(key.to_string()),
        }
    }
}

impl From<What> for AcknowledgeWhat {
    fn from(what: What) -> AcknowledgeWhat {
        match what {
            What::Alert(fingerprint) => AcknowledgeWhat::Alert(Fingerprint(fingerprint)),
            What::Group(key) => AcknowledgeWhat::Group(GroupKey::from_text(key)),
        }
    }
}

/// Serialises an input that one engine may take for another: alerts, silences as they were made, acknowledgements.
pub(crate) fn encode_request(input: &Input) -> Result<Vec<u8>, String> {
    let request = match input {
        Input::Alerts(alerts) => Request::Alerts(alerts.iter().map(v1::Alert::from).collect()),
        Input::Silence(SilenceCommand::Adopt(silences)) => {
            Request::Silences(silences.iter().map(v1::Silence::from).collect())
        }
        Input::Acknowledge(AcknowledgeCommand::Set { what, by, comment, until, snooze }) => Request::Acknowledge {
            what: what.into(),
            by: by.clone(),
            comment: comment.clone(),
            until: until.map(Millis::from),
            snooze: *snooze,
        },
        Input::Acknowledge(AcknowledgeCommand::Withdraw { what }) => Request::Withdraw { what: what.into() },
        other => return Err(format!("no engine takes this for another: {other:?}")),
    };
    serde_json::to_vec(&request).map_err(|error| error.to_string())
}

/// Reads it again.
pub(crate) fn decode_request(body: &[u8]) -> Result<Input, String> {
    let request = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(match request {
        Request::Alerts(alerts) => Input::Alerts(alerts.into_iter().map(Into::into).collect()),
        Request::Silences(silences) => {
            let silences = silences.into_iter().map(TryInto::try_into).collect::<Result<_, String>>()?;
            Input::Silence(SilenceCommand::Adopt(silences))
        }
        Request::Acknowledge { what, by, comment, until, snooze } => {
            let (what, until) = (what.into(), until.map(Into::into));
            Input::Acknowledge(AcknowledgeCommand::Set { what, by, comment, until, snooze })
        }
        Request::Withdraw { what } => Input::Acknowledge(AcknowledgeCommand::Withdraw { what: what.into() }),
    })
}
