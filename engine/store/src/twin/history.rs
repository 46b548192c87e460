//! The first version of an alert's history: each line a word with what belongs to it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use watchfire_alerting::{HistoryEntry, HistoryRecord, NotificationId, Reason};
use watchfire_model::Fingerprint;

use super::target::Target;
use super::values::{Millis, is_default};

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
    /// Target and notification are those of the line before, as those of a decision and its outcome are.
    #[serde(default, skip_serializing_if = "is_default")]
    as_before: bool,
}

impl From<&HistoryRecord> for History {
    fn from(record: &HistoryRecord) -> History {
        let line = |(index, entry): (usize, &Arc<HistoryEntry>)| {
            let about = |entry: &HistoryEntry| (entry.target.clone(), entry.notification);
            let before = index.checked_sub(1).and_then(|index| record.entries.get(index));
            let as_before = entry.target.is_some() && before.is_some_and(|before| about(before) == about(entry));
            Line {
                at: entry.at.into(),
                word: entry.reason.word().to_owned(),
                parts: entry.reason.parts(),
                target: entry.target.as_deref().filter(|_| !as_before).map(Target::from),
                notification: entry.notification.filter(|_| !as_before).map(|id| id.to_string()),
                as_before,
            }
        };
        let lines = record.entries.iter().enumerate().map(line).collect();
        History { since: record.since.into(), fingerprint: record.fingerprint.0, lines }
    }
}

impl TryFrom<History> for HistoryRecord {
    type Error = String;

    fn try_from(twin: History) -> Result<HistoryRecord, String> {
        let id = |text: &String| NotificationId::parse(text).ok_or_else(|| format!("{text:?} is no notification id"));
        let mut entries: Vec<Arc<HistoryEntry>> = Vec::with_capacity(twin.lines.len());
        for line in twin.lines {
            let reason = Reason::from_parts(&line.word, &line.parts);
            let reason = reason.ok_or_else(|| format!("{:?} is no reason", line.word))?;
            let (target, notification) = match entries.last().filter(|_| line.as_before) {
                Some(before) => (before.target.clone(), before.notification),
                None => {
                    let notification = line.notification.as_ref().map(id).transpose()?;
                    (line.target.map(|target| Arc::new(target.into())), notification)
                }
            };
            entries.push(Arc::new(HistoryEntry { at: line.at.into(), reason, target, notification }));
        }
        Ok(HistoryRecord { since: twin.since.into(), fingerprint: Fingerprint(twin.fingerprint), entries })
    }
}
