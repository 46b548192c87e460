//! What was decided about each alert, bounded in number, length and age (contract C4).
//!
//! A history is kept like everything else, but a moment later: whatever is added to it within [`KEEP_AFTER`] is written
//! once, so that a page costs one write for it and not one for each step. After a storm there are many to write: these go
//! [`KEEP_AT_ONCE`] at a time, and the next ones when these are durable, so that no page has to wait behind all of them
//! and a slow database has no more of them before it. That an alert came from outside and that nothing was decided about
//! it since is not written: its own record says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use watchfire_model::{Duration, Fingerprint, Timestamp};

use crate::timers::Timer;
use crate::{
    Engine, HistoryEntry, HistoryRecord, NotificationId, Output, Reason, Record, RecordKey, Settings, StateReason,
};

/// How long lines are collected before they are kept.
const KEEP_AFTER: Duration = Duration::from_secs(5);

/// Histories that are written at once.
const KEEP_AT_ONCE: usize = 1_000;

/// How often it is looked for histories that are too old.
const AGE_EVERY: Duration = Duration::from_hours(1);

/// The history of one alert.
#[derive(Debug)]
struct Kept {
    /// See [`HistoryRecord::since`].
    since: Timestamp,
    lines: Vec<Arc<HistoryEntry>>,
    /// Whether it has lines that are not kept yet.
    changed: bool,
}

/// The lines that were read back last, by when they were made, the word for what happened, and the notification.
pub(crate) type ReadBack = BTreeMap<(Timestamp, &'static str, Option<NotificationId>), Arc<HistoryEntry>>;

/// The histories of the alerts that are in dispatch and of those that were forgotten last.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// What is decided about many alerts at once is one line that they share.
    by_alert: BTreeMap<Fingerprint, Kept>,
    /// The line that was made last.
    last: Option<Arc<HistoryEntry>>,
    /// In the order in which the histories began.
    order: VecDeque<Fingerprint>,
    /// Those that have lines that are not kept yet, in the order in which they came to it; some were dropped since.
    changed: VecDeque<Fingerprint>,
    /// Those before them, which have waited for long enough.
    due: VecDeque<Fingerprint>,
    /// Whether some are being written that are not known to be durable.
    unconfirmed: bool,
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
            Kept { since: entry.at, lines: Vec::new(), changed: false }
        });
        if kept.lines.len() >= settings.history_per_alert_max.max(1) {
            kept.lines.remove(0);
        }
        kept.lines.push(entry);
        if !kept.changed {
            kept.changed = true;
            self.changed.push_back(fingerprint);
        }
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
                dropped.extend(kept.map(|kept| RecordKey::history(kept.since, oldest)));
            }
        }
        // The store may be away for long while alerts come and go.
        if self.changed.len() > 2 * settings.history_alerts_max.max(1) {
            let mut seen = BTreeSet::new();
            let by_alert = &self.by_alert;
            self.changed.retain(|alert| by_alert.get(alert).is_some_and(|kept| kept.changed) && seen.insert(*alert));
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

    /// Takes a history that was kept; its lines are shared with those that were read back before.
    pub(crate) fn restore(&mut self, mut record: HistoryRecord, read_back: &mut ReadBack) {
        for line in &mut record.entries {
            let place = read_back.entry((line.at, line.reason.word(), line.notification));
            let known = place.or_insert_with(|| Arc::clone(line));
            if known == line {
                *line = Arc::clone(known);
            } else {
                *known = Arc::clone(line);
            }
        }
        self.put(record);
    }

    fn put(&mut self, record: HistoryRecord) {
        let HistoryRecord { since, fingerprint, entries: mut lines } = record;
        lines.shrink_to_fit();
        if self.by_alert.insert(fingerprint, Kept { since, lines, changed: false }).is_none() {
            self.order.push_back(fingerprint);
        }
    }

    /// Gives an alert from outside the line that is not kept because its record implies it.
    pub(crate) fn restore_received(&mut self, fingerprint: Fingerprint, since: Timestamp) {
        let entries = vec![self.share(received(since))];
        self.put(HistoryRecord { since, fingerprint, entries });
    }

    /// Drops the histories to which nothing was added since, and gives their keys.
    fn drop_older_than(&mut self, time: Timestamp) -> Vec<RecordKey> {
        let is_old = |kept: &mut Kept| kept.lines.last().is_none_or(|entry| entry.at < time);
        let old: BTreeMap<Fingerprint, Kept> = self.by_alert.extract_if(.., |_, kept| is_old(kept)).collect();
        self.order.retain(|fingerprint| !old.contains_key(fingerprint));
        old.into_iter().map(|(fingerprint, kept)| RecordKey::history(kept.since, fingerprint)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_alert.len()
    }

    /// The next of those that are due. `is_implied` says whether the only line of an alert follows from its record.
    fn next_due(&mut self, is_implied: impl Fn(Fingerprint, &HistoryEntry) -> bool) -> Option<HistoryRecord> {
        while let Some(fingerprint) = self.due.pop_front() {
            // Those that were dropped are in the queue still.
            let changed = self.by_alert.get_mut(&fingerprint).filter(|kept| kept.changed);
            if let Some(kept) = changed {
                kept.changed = false;
                if kept.lines.len() == 1 && is_implied(fingerprint, &kept.lines[0]) {
                    continue;
                }
                let entries = kept.lines.clone();
                return Some(HistoryRecord { since: kept.since, fingerprint, entries });
            }
        }
        None
    }

    pub(crate) fn of(&self, fingerprint: Fingerprint) -> Vec<Arc<HistoryEntry>> {
        self.by_alert.get(&fingerprint).map(|kept| kept.lines.clone()).unwrap_or_default()
    }
}

/// The first line about an alert from outside.
fn received(at: Timestamp) -> HistoryEntry {
    HistoryEntry { at, reason: Reason::State(StateReason::Received), target: None, notification: None }
}

impl Engine {
    /// Writes a line into an alert's history.
    pub(crate) fn note(&mut self, fingerprint: Fingerprint, entry: Arc<HistoryEntry>) {
        let alerts = &self.alerts;
        let (is_first, is_first_change) = (self.history.len() == 0, self.history.changed.is_empty());
        let dropped = self.history.record(fingerprint, entry, &self.settings, |f| alerts.get(f).is_some());
        // With others before it, the timers are set already, or set when it is known what is durable.
        if is_first_change {
            self.timers.set_if_unset(Timer::KeepHistory, self.now + KEEP_AFTER);
        }
        if is_first {
            self.timers.set_if_unset(Timer::AgeHistory, self.now + AGE_EVERY);
        }
        dropped.into_iter().for_each(|key| self.delete(key));
    }

    pub(crate) fn keep_history_due(&mut self) {
        // Otherwise those that are due follow when the ones before them are durable.
        if !self.history.unconfirmed {
            self.history.due = std::mem::take(&mut self.history.changed);
            self.keep_histories(KEEP_AT_ONCE);
        }
    }

    pub(crate) fn histories_are_durable(&mut self) {
        self.history.unconfirmed = false;
        self.keep_histories(KEEP_AT_ONCE);
        if !self.history.unconfirmed && !self.history.changed.is_empty() {
            self.timers.set_if_unset(Timer::KeepHistory, self.now + KEEP_AFTER);
        }
    }

    /// Keeps some of the histories that wait for it, and says whether there may be more. All of them are to be committed
    /// before the engine stops, each time by itself and behind everything else.
    pub fn keep_more_histories(&mut self) -> bool {
        let changed = std::mem::take(&mut self.history.changed);
        self.history.due.extend(changed);
        self.keep_histories(KEEP_AT_ONCE);
        !self.history.due.is_empty()
    }

    fn keep_histories(&mut self, max: usize) {
        for _ in 0..max {
            let implies = |fingerprint: Fingerprint, line: &HistoryEntry| {
                let stored = self.alerts.get(fingerprint).filter(|stored| stored.rules.is_empty());
                stored.is_some_and(|stored| *line == received(stored.since))
            };
            let Some(record) = self.history.next_due(implies) else { break };
            self.persist(Record::History(record));
            self.history.unconfirmed = true;
        }
        if self.history.unconfirmed {
            self.outputs.push_back(Output::Confirm);
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
