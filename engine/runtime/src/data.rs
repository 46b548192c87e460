//! The data that rules read: the log that makes it durable, the series, the event windows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;
use watchfire_events::{CompiledQuery, EventIndex, EventWindows};
use watchfire_model::{Event, Labels, METRIC_NAME_LABEL, RuleId, Sample, Timestamp};
use watchfire_store::log::{Entry, LogError, ReplayFrom};
use watchfire_tsdb::{AppendError, Tsdb};

use crate::deadlines::Deadlines;
use crate::metrics::{Metrics, label};
use crate::touch::{Reader, TouchIndex};
use crate::writer::Writer;
use crate::{Pushed, Rejection};

/// Samples by series, as they arrive.
pub(crate) type SeriesBatch = Vec<(Labels, Vec<Sample>)>;

/// The windows of one event rule, shared between arrival and evaluation.
pub(crate) type SharedWindows = Arc<Mutex<EventWindows>>;

/// How many rejections are reported one by one; the rest is counted.
const REJECTIONS_NAMED_MAX: usize = 100;

/// Everything that rules read.
///
/// Locks are taken in the order of the fields.
pub(crate) struct Data {
    pub(crate) writer: Mutex<Writer>,
    pub(crate) tsdb: RwLock<Tsdb>,
    pub(crate) touch: Mutex<TouchIndex>,
    events: Mutex<EventRules>,
    /// Told when a deadline of event windows comes before all others.
    pub(crate) deadline_moved: Notify,
    pub(crate) metrics: Arc<Metrics>,
}

#[derive(Default)]
struct EventRules {
    index: EventIndex,
    windows: HashMap<RuleId, SharedWindows>,
    deadlines: Deadlines,
}

/// Counts a sample that the store refused, and names the first ones.
pub(crate) fn reject(pushed: &mut Pushed, metrics: &Metrics, item: usize, labels: &str, error: &AppendError) {
    let reason = match error {
        AppendError::OutOfOrder { .. } => "out_of_order",
        AppendError::DuplicateTimestamp { .. } => "duplicate",
        AppendError::Limit { .. } => "limit",
        AppendError::UnknownSeries => "unknown_series",
    };
    metrics.samples_rejected.get_or_create(&label("reason", reason)).inc();
    pushed.rejected_count += 1;
    if pushed.rejected.len() < REJECTIONS_NAMED_MAX {
        pushed.rejected.push(Rejection { item, reason: format!("{labels}: {error}") });
    }
}

/// A lock that a panicking holder left behind guards plain data that is still whole: it is taken over.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Data {
    pub(crate) fn new(writer: Writer, tsdb: Tsdb, metrics: Arc<Metrics>) -> Data {
        Data {
            writer: Mutex::new(writer),
            tsdb: RwLock::new(tsdb),
            touch: Mutex::default(),
            events: Mutex::default(),
            deadline_moved: Notify::new(),
            metrics,
        }
    }

    /// Other bounds of requests from now on.
    pub(crate) fn set_ingest_limits(&self, limits: watchfire_ingest::Limits) {
        lock(&self.writer).set_limits(limits);
    }

    /// Lets `read` look at the series; nothing is written meanwhile.
    pub(crate) fn with_tsdb<R>(&self, read: impl FnOnce(&Tsdb) -> R) -> R {
        read(&self.tsdb.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over new rules. Windows of event rules whose query is unchanged go on as they are (contract C2).
    pub(crate) fn set_rules(
        &self,
        readers: Vec<Reader>,
        queries: BTreeMap<RuleId, Arc<CompiledQuery>>,
        keep_unread: bool,
        now: Timestamp,
    ) {
        let mut events = lock(&self.events);
        let mut windows = HashMap::new();
        for (rule, query) in &queries {
            let kept = events.windows.get(rule).filter(|old| lock(old).query().query() == query.query());
            let kept = kept.map(Arc::clone);
            let fresh = || Arc::new(Mutex::new(EventWindows::new(Arc::clone(query), now)));
            windows.insert(*rule, kept.unwrap_or_else(fresh));
        }
        let index = EventIndex::new(queries.iter().map(|(rule, query)| (*rule, query.as_ref())));
        let mut deadlines = Deadlines::default();
        for (rule, windows) in &windows {
            deadlines.set(*rule, lock(windows).next_deadline());
        }
        *events = EventRules { index, windows, deadlines };
        drop(events);
        self.deadline_moved.notify_one();
        let mut writer = lock(&self.writer);
        let tsdb = self.tsdb.read().unwrap_or_else(PoisonError::into_inner);
        let touch = TouchIndex::new(readers, keep_unread, &tsdb);
        let before = std::mem::replace(&mut *lock(&self.touch), touch);
        let touch = lock(&self.touch);
        writer.keys.mark_unread(|slot| touch.is_slot_read(slot));
        if !touch.reads_no_more_than(&before) {
            writer.keys.forget_unread();
        }
    }

    /// Makes windows for the event rules that a replay will fill, as if they had run since `since`.
    pub(crate) fn prepare(&self, queries: &BTreeMap<RuleId, Arc<CompiledQuery>>, since: Timestamp) {
        self.set_rules(Vec::new(), queries.clone(), false, since);
    }

    /// The windows of an event rule.
    pub(crate) fn windows(&self, rule: RuleId) -> Option<SharedWindows> {
        lock(&self.events).windows.get(&rule).map(Arc::clone)
    }

    /// Writes entries to the log with one write; they survive the death of the process when this returns.
    pub(crate) fn log(&self, at: Timestamp, entries: &[Entry]) -> Result<(), LogError> {
        let log = &mut lock(&self.writer).log;
        let mut filled = entries.iter().filter(|entry| !matches!(entry, Entry::Samples(batch) if batch.is_empty()));
        let result = filled.try_for_each(|entry| log.stage(at, entry)).and_then(|()| log.commit().map(drop));
        if result.is_err() {
            self.metrics.log_failures.inc();
        }
        result
    }

    /// Takes what no rule reads out of samples that arrived: it is neither logged nor stored. Answers how many samples
    /// went, and where the series that are left stood before.
    pub(crate) fn drop_unread(&self, batch: &mut SeriesBatch) -> (usize, Vec<usize>) {
        let tsdb = self.tsdb.read().unwrap_or_else(PoisonError::into_inner);
        let touch = lock(&self.touch);
        let (mut dropped, mut position, mut kept) = (0, 0, Vec::with_capacity(batch.len()));
        batch.retain(|(labels, samples)| {
            let read = match tsdb.resolve(labels) {
                Some(id) => touch.is_slot_read(id.slot()),
                None => touch.is_read(labels),
            };
            if read {
                kept.push(position);
            } else {
                dropped += samples.len();
            }
            position += 1;
            read
        });
        self.metrics.samples_unread.inc_by(dropped as u64);
        (dropped, kept)
    }

    /// Stores samples that are logged already. Answers what became of them and which rules read them.
    pub(crate) fn store_samples(&self, batch: &SeriesBatch) -> (Pushed, BTreeSet<RuleId>) {
        let mut pushed = Pushed::default();
        let mut stored = Vec::with_capacity(batch.len());
        let mut tsdb = self.tsdb.write().unwrap_or_else(PoisonError::into_inner);
        for (item, (labels, samples)) in batch.iter().enumerate() {
            let mut series = None;
            for sample in samples {
                match tsdb.append(labels, *sample) {
                    Ok(id) => {
                        pushed.accepted += 1;
                        series = Some(id);
                    }
                    Err(error) => reject(&mut pushed, &self.metrics, item, &labels.to_string(), &error),
                }
            }
            stored.extend(series);
        }
        let mut touch = lock(&self.touch);
        touch.follow(&tsdb);
        drop(tsdb);
        let touched = touch.touched_by_any(&stored);
        self.metrics.samples_accepted.inc_by(pushed.accepted as u64);
        (pushed, touched)
    }

    /// Logs and stores what the engine itself wrote: recorded series and `ALERTS`. Answers the rules to evaluate.
    ///
    /// A log that cannot be written does not stop the evaluation: the samples are derived and come again.
    pub(crate) fn append_derived(&self, samples: &[(Labels, Sample)], now: Timestamp) -> Vec<RuleId> {
        let batch: SeriesBatch = samples.iter().map(|(labels, sample)| (labels.clone(), vec![*sample])).collect();
        if let Err(error) = self.log(now, &[Entry::Samples(batch)]) {
            tracing::warn!(%error, "recorded samples are not logged");
        }
        let mut tsdb = self.tsdb.write().unwrap_or_else(PoisonError::into_inner);
        let mut stored = Vec::new();
        for (labels, sample) in samples {
            match tsdb.append(labels, *sample) {
                Ok(id) => stored.push((labels, id)),
                // An evaluation on arrival and one at the interval may fall into the same millisecond.
                Err(error) => tracing::debug!(%labels, %error, "a recorded sample was not stored"),
            }
        }
        let mut touch = lock(&self.touch);
        touch.follow(&tsdb);
        drop(tsdb);
        let mut touched = BTreeSet::new();
        for (labels, id) in stored {
            let name = labels.value_or_empty(METRIC_NAME_LABEL);
            // The engine's own series would start the evaluation that wrote them, over and over.
            if !name.starts_with("ALERTS") && touch.may_propagate(name) {
                touched.extend(touch.touched_by(id).iter().copied());
            }
        }
        touched.into_iter().collect()
    }

    /// Puts events that are logged already into the windows. Answers the rules whose answer may have changed.
    pub(crate) fn store_events(&self, batch: &[Event], now: Timestamp) -> BTreeSet<RuleId> {
        let mut events = lock(&self.events);
        let EventRules { index, windows, deadlines } = &mut *events;
        let first = deadlines.next();
        let mut touched = BTreeSet::new();
        for event in batch {
            for rule in index.candidates(event) {
                let Some(windows) = windows.get(&rule) else { continue };
                let mut windows = lock(windows);
                if windows.push(event, now).changed() {
                    touched.insert(rule);
                }
                deadlines.set(rule, windows.next_deadline());
            }
        }
        let earlier = deadlines.next().is_some_and(|next| first.is_none_or(|first| next < first));
        drop(events);
        if earlier {
            self.deadline_moved.notify_one();
        }
        self.metrics.events_accepted.inc_by(batch.len() as u64);
        touched
    }

    /// Lets time pass in the windows of events. Answers the rules to evaluate, and when to come back.
    pub(crate) fn pass_time(&self, now: Timestamp) -> (Vec<RuleId>, Option<Timestamp>) {
        let mut events = lock(&self.events);
        let EventRules { windows, deadlines, .. } = &mut *events;
        let mut touched = Vec::new();
        for rule in deadlines.take_due(now) {
            let Some(windows) = windows.get(&rule) else { continue };
            let mut windows = lock(windows);
            if windows.advance(now) {
                touched.push(rule);
            }
            deadlines.set(rule, windows.next_deadline());
        }
        (touched, deadlines.next())
    }

    /// Reads the log back into series and windows, without evaluating anything. Answers how many samples and events.
    ///
    /// # Errors
    /// If the file system says no. Damaged parts are left out and reported.
    pub(crate) fn replay(&self, from: Timestamp) -> Result<(u64, u64), LogError> {
        let mut replay = lock(&self.writer).log.replay(ReplayFrom::Time(from));
        let (mut samples, mut events) = (0, 0);
        while let Some(entry) = replay.next()? {
            let at = entry.at();
            match entry.to_entry() {
                Entry::Samples(batch) => {
                    let mut tsdb = self.tsdb.write().unwrap_or_else(PoisonError::into_inner);
                    for (labels, of_series) in &batch {
                        for sample in of_series {
                            // What was refused when it came is refused again, so that both runs hold the same.
                            samples += u64::from(tsdb.append(labels, *sample).is_ok());
                        }
                    }
                }
                Entry::Events(batch) => {
                    events += batch.len() as u64;
                    self.store_events(&batch, at);
                }
                // Alerts from outside are records of the state machine, which the store has.
                Entry::Alerts(_) => {}
            }
        }
        for damage in replay.damage() {
            tracing::error!(?damage, "a part of the input log is damaged and was left out");
        }
        let tsdb = self.tsdb.read().unwrap_or_else(PoisonError::into_inner);
        lock(&self.touch).follow(&tsdb);
        Ok((samples, events))
    }

    /// Lets go of what no rule can reach any more.
    pub(crate) fn truncate(&self, now: Timestamp, retention: watchfire_model::Duration) {
        // A request between its decoding and its storing must find its series alive.
        let mut writer = lock(&self.writer);
        let mut tsdb = self.tsdb.write().unwrap_or_else(PoisonError::into_inner);
        tsdb.set_retention(retention);
        let gone = tsdb.truncate(now);
        let stats = tsdb.stats();
        if !gone.series.is_empty() {
            writer.keys.forget_gone(|slot| tsdb.id_at(slot).is_some());
        }
        writer.keys.sweep(now);
        drop(tsdb);
        self.metrics.series.set(i64::try_from(stats.series).unwrap_or(i64::MAX));
        self.metrics.series_bytes.set(i64::try_from(stats.bytes).unwrap_or(i64::MAX));
        if let Err(error) = writer.log.drop_before(now - retention) {
            tracing::warn!(%error, "old parts of the input log cannot be removed");
        }
    }

    /// Forces what was logged to the disk if it is time for that; what this protects from is power loss.
    pub(crate) fn sync_if_due(&self, now: Timestamp) {
        let mut writer = lock(&self.writer);
        if writer.log.sync_is_due(now) {
            match writer.log.sync_elsewhere(now) {
                // The disk is waited for without the lock, so that nobody who logs waits with us.
                Ok(file) => {
                    drop(writer);
                    if let Err(error) = file.sync_data() {
                        tracing::error!(%error, "the input log cannot be forced to the disk");
                    }
                }
                Err(error) => tracing::error!(%error, "the input log cannot be forced to the disk"),
            }
        }
    }

    /// Forces what was logged to the disk.
    pub(crate) fn sync(&self, now: Timestamp) -> Result<(), LogError> {
        lock(&self.writer).log.sync(now)
    }
}
