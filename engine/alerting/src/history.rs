//! What was decided about each alert, bounded in number, length and age (contract C4).
//!
//! A history is kept like everything else, but a moment later: whatever is added to it within [`KEEP_AFTER`] is written
//! once, so that a page costs one write for it and not one for each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use watchfire_model::{Duration, Fingerprint, Timestamp};

use crate::timers::Timer;
use crate::{Engine, HistoryEntry, HistoryRecord, Record, RecordKey, Settings};

/// How long lines are collected before they are kept.
const KEEP_AFTER: Duration = Duration::from_secs(5);

/// How often it is looked for histories that are too old.
const AGE_EVERY: Duration = Duration::from_hours(1);

/// The history of one alert.
#[derive(Debug)]
struct Kept {
    /// See [`HistoryRecord::since`].
    since: Timestamp,
    lines: VecDeque<Arc<HistoryEntry>>,
}

/// The histories of the alerts that are in dispatch and of those that were forgotten last.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// What is decided about many alerts at once is one line that they share.
    by_alert: BTreeMap<Fingerprint, Kept>,
    /// The line that was made last.
    last: Option<Arc<HistoryEntry>>,
    /// In the order in which the histories began.
    order: VecDeque<Fingerprint>,
    /// Those that have lines that are not kept yet.
    changed: BTreeSet<Fingerprint>,
}

impl History {
    /// Adds a line and gives the keys of the histories that had to make room.
    pub(crate) fn record(
        &mut self,
        fingerprint: Fingerprint,
        entry: Arc<HistoryEntry>,
        settings: &Settings,
        is_live: impl Fn(Fingerprint) -> bool,
    ) -> Vec<RecordKey> {
        let kept = self.by_alert.entry(fingerprint).or_insert_with(|| {
            self.order.push_back(fingerprint);
            Kept { since: entry.at, lines: VecDeque::new() }
        });
        if kept.lines.len() >= settings.history_per_alert_max.max(1) {
            kept.lines.pop_front();
        }
        kept.lines.push_back(entry);
        self.changed.insert(fingerprint);
        // An alert that still lives gets a second chance, a bounded number of times, so that this stays cheap.
        let mut chances = 8;
        let mut dropped = Vec::new();
        while self.by_alert.len() > settings.history_alerts_max.max(1) {
            let Some(oldest) = self.order.pop_front() else { break };
            if chances > 0 && is_live(oldest) {
                chances -= 1;
                self.order.push_back(oldest);
            } else {
                let kept = self.by_alert.remove(&oldest);
                self.changed.remove(&oldest);
                dropped.extend(kept.map(|kept| RecordKey::history(kept.since, oldest)));
            }
        }
        dropped
    }

    /// The line, shared with the one before if they say the same.
    pub(crate) fn share(&mut self, entry: HistoryEntry) -> Arc<HistoryEntry> {
        match &self.last {
            Some(last) if **last == entry => Arc::clone(last),
            _ => Arc::clone(self.last.insert(Arc::new(entry))),
        }
    }

    pub(crate) fn restore(&mut self, record: HistoryRecord) {
        self.order.push_back(record.fingerprint);
        let kept = Kept { since: record.since, lines: record.entries.into() };
        self.by_alert.insert(record.fingerprint, kept);
    }

    /// Drops the histories to which nothing was added since, and gives their keys.
    fn drop_older_than(&mut self, time: Timestamp) -> Vec<RecordKey> {
        let is_old = |kept: &mut Kept| kept.lines.back().is_none_or(|entry| entry.at < time);
        let old: BTreeMap<Fingerprint, Kept> = self.by_alert.extract_if(.., |_, kept| is_old(kept)).collect();
        self.order.retain(|fingerprint| !old.contains_key(fingerprint));
        self.changed.retain(|fingerprint| !old.contains_key(fingerprint));
        old.into_iter().map(|(fingerprint, kept)| RecordKey::history(kept.since, fingerprint)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_alert.len()
    }

    pub(crate) fn of(&self, fingerprint: Fingerprint) -> Vec<Arc<HistoryEntry>> {
        self.by_alert.get(&fingerprint).map(|kept| kept.lines.iter().cloned().collect()).unwrap_or_default()
    }
}

impl Engine {
    /// Writes a line into an alert's history.
    pub(crate) fn note(&mut self, fingerprint: Fingerprint, entry: Arc<HistoryEntry>) {
        let alerts = &self.alerts;
        let dropped = self.history.record(fingerprint, entry, &self.settings, |f| alerts.get(f).is_some());
        self.timers.set_if_unset(Timer::KeepHistory, self.now + KEEP_AFTER);
        self.timers.set_if_unset(Timer::AgeHistory, self.now + AGE_EVERY);
        dropped.into_iter().for_each(|key| self.delete(key));
    }

    pub(crate) fn keep_history_due(&mut self) {
        for fingerprint in std::mem::take(&mut self.history.changed) {
            let Some(kept) = self.history.by_alert.get(&fingerprint) else { continue };
            let entries = kept.lines.iter().cloned().collect();
            self.persist(Record::History(HistoryRecord { since: kept.since, fingerprint, entries }));
        }
    }

    pub(crate) fn age_history_due(&mut self) {
        let old = self.history.drop_older_than(self.now - self.settings.history_retention);
        old.into_iter().for_each(|key| self.delete(key));
        if self.history.len() > 0 {
            self.timers.set(Timer::AgeHistory, self.now + AGE_EVERY);
        }
    }
}
