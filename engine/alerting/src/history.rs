//! What was decided about each alert, bounded (contract C4).

use std::collections::{BTreeMap, VecDeque};

use watchfire_model::Fingerprint;

use crate::HistoryEntry;

/// The histories of the alerts that are in dispatch and of those that were forgotten last.
#[derive(Debug, Default)]
pub(crate) struct History {
    by_alert: BTreeMap<Fingerprint, VecDeque<HistoryEntry>>,
    /// In the order in which the histories began.
    order: VecDeque<Fingerprint>,
}

impl History {
    pub(crate) fn record(
        &mut self,
        fingerprint: Fingerprint,
        entry: HistoryEntry,
        per_alert_max: usize,
        alerts_max: usize,
        is_live: impl Fn(Fingerprint) -> bool,
    ) {
        let entries = self.by_alert.entry(fingerprint).or_insert_with(|| {
            self.order.push_back(fingerprint);
            VecDeque::new()
        });
        if entries.len() >= per_alert_max.max(1) {
            entries.pop_front();
        }
        entries.push_back(entry);
        // An alert that still lives gets a second chance, a bounded number of times, so that this stays cheap.
        let mut chances = 8;
        while self.by_alert.len() > alerts_max.max(1) {
            let Some(oldest) = self.order.pop_front() else { break };
            if chances > 0 && is_live(oldest) {
                chances -= 1;
                self.order.push_back(oldest);
            } else {
                self.by_alert.remove(&oldest);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_alert.len()
    }

    pub(crate) fn of(&self, fingerprint: Fingerprint) -> Vec<HistoryEntry> {
        self.by_alert.get(&fingerprint).map(|entries| entries.iter().cloned().collect()).unwrap_or_default()
    }
}
