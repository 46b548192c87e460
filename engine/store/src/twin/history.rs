//! The first version of an alert's history: each line a word with what belongs to it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use watchfire_alerting::{HistoryEntry, HistoryRecord, NotificationId, Reason};
use watchfire_model::Fingerprint;

use super::v1::Target;
use super::values::Millis;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct History {
    #[serde(default)]
    since: Millis,
    fingerprint: u64,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: Millis,
    word: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notification: Option<String>,
}

impl From<&HistoryRecord> for History {
    fn from(record: &HistoryRecord) -> History {
        let line = |entry: &HistoryEntry| Line {
            at: entry.at.into(),
            word: entry.reason.word().to_owned(),
            parts: entry.reason.parts(),
            target: entry.target.as_deref().map(Target::from),
            notification: entry.notification.map(|id| id.to_string()),
        };
        History {
            since: record.since.into(),
            fingerprint: record.fingerprint.0,
            lines: record.entries.iter().map(|entry| line(entry)).collect(),
        }
    }
}

impl TryFrom<History> for HistoryRecord {
    type Error = String;

    fn try_from(twin: History) -> Result<HistoryRecord, String> {
        let entry = |line: Line| {
            let reason = Reason::from_parts(&line.word, &line.parts);
            let id =
                |text: &String| NotificationId::parse(text).ok_or_else(|| format!("{text:?} is no notification id"));
            Ok::<_, String>(Arc::new(HistoryEntry {
                at: line.at.into(),
                reason: reason.ok_or_else(|| format!("{:?} is no reason", line.word))?,
                target: line.target.map(|target| Arc::new(target.into())),
                notification: line.notification.as_ref().map(id).transpose()?,
            }))
        };
        let entries = twin.lines.into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok(HistoryRecord { since: twin.since.into(), fingerprint: Fingerprint(twin.fingerprint), entries })
    }
}
