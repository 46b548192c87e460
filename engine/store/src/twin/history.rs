//! The first version of an alert's history: each line a word with what belongs to it.

use std::sync::Arc;

use serde::Deserialize;
use watchfire_alerting::{HistoryEntry, HistoryRecord, NotificationId, Reason};
use watchfire_model::Fingerprint;

use super::target::Target;
use super::values::Millis;

#[derive(Debug, Deserialize)]
pub(super) struct History {
    #[serde(default)]
    since: Millis,
    fingerprint: u64,
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    at: Millis,
    word: String,
    #[serde(default)]
    parts: Vec<String>,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    notification: Option<String>,
    /// Target and notification are those of the line before, as those of a decision and its outcome are.
    #[serde(default)]
    as_before: bool,
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
