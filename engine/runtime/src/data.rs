//! The data that rules read: the log that makes it durable, the series, the event windows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use thiserror::Error;
use tokio::sync::Notify;
use watchfire_alerting::CLOCK_JITTER;
use watchfire_events::{CompiledQuery, EventIndex, EventWindows};
use watchfire_model::{Duration, Event, Labels, RuleId, Timestamp};
use watchfire_rules::dataflow::Reader;
use watchfire_store::log::{Entry, LogError};
use watchfire_tsdb::{AppendError, Point, SeriesId, Tsdb};

use crate::deadlines::Deadlines;
use crate::health::Health;
use crate::metadata::MetadataTable;
use crate::metrics::{Metrics, label};
use crate::refill::Refill;
use crate::touch::TouchIndex;
use crate::writer::Writer;
use crate::{PushError, Pushed, Rejection};

/// Samples by series, as they arrive.
pub(crate) type SeriesBatch = Vec<(Labels, Vec<Point>)>;

/// The windows of one event rule, shared between arrival and evaluation.
pub(crate) type SharedWindows = Arc<Mutex<EventWindows>>;

/// Series whose old samples go at once, while nobody reads or writes: some milliseconds.
const SWEPT_AT_ONCE: usize = 20_000;

/// In how many parts series are removed at most.
const REMOVALS_MAX: usize = 4;

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
    pub(crate) metadata: Mutex<MetadataTable>,
    /// How many keys of series the writer knows, for those who need not wait for it.
    pub(crate) series_keys: AtomicUsize,
    pub(crate) health: Health,
    pub(crate) metrics: Arc<Metrics>,
}

/// The rules whose answer may have changed, and the series through which.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) rules: BTreeSet<RuleId>,
    pub(crate) series: Vec<SeriesId>,
}

impl Touched {
    pub(crate) fn extend(&mut self, other: Touched) {
        self.rules.extend(other.rules);
        self.series.extend(other.series);
    }
}

#[derive(Default)]
struct EventRules {
    index: EventIndex,
    windows: HashMap<RuleId, SharedWindows>,
    deadlines: Deadlines,
    /// The latest time since the clock was set back last.
    clock: Option<Timestamp>,
}

impl EventRules {
    /// Lets the windows know if the clock was set back. Answers the rules whose answer may have changed.
    fn follow_clock(&mut self, now: Timestamp) -> Vec<RuleId> {
        let latest = *self.clock.get_or_insert(now);
        if latest.since(now) < CLOCK_JITTER {
            self.clock = Some(latest.max(now));
            return Vec::new();
        }
        self.clock = Some(now);
        for (rule, windows) in &self.windows {
            let mut windows = lock(windows);
            windows.clock_set_back(now);
            self.deadlines.set(*rule, windows.next_deadline());
        }
        self.windows.keys().copied().collect()
    }
}

/// How far ahead of the engine's clock a sample may be when it arrives, as with Prometheus' receiver. It is the newest of
/// its series until the clock has come to it, and what is measured meanwhile would be out of order.
const SAMPLE_AHEAD_MAX: Duration = Duration::from_mins(10);

/// Why a sample that arrived is not taken.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// Its time has not come yet.
    #[error("timestamp {timestamp} is more than {SAMPLE_AHEAD_MAX} ahead of this engine's clock")]
    TooFarAhead {
        /// The time of the sample.
        timestamp: Timestamp,
    },
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] AppendError),
}

impl Refusal {
    /// Whether a sample of this time that arrives at `now` is too far ahead.
    pub(crate) fn if_ahead(timestamp: Timestamp, now: Timestamp) -> Option<Refusal> {
        (timestamp.since(now) > SAMPLE_AHEAD_MAX).then_some(Refusal::TooFarAhead { timestamp })
    }

    fn reason(&self) -> &'static str {
        match self {
            Refusal::TooFarAhead { .. } => "too_far_ahead",
            Refusal::Store(AppendError::OutOfOrder { .. }) => "out_of_order",
            Refusal::Store(AppendError::DuplicateTimestamp { .. }) => "duplicate",
            Refusal::Store(AppendError::Limit { .. }) => "limit",
            Refusal::Store(AppendError::UnknownSeries) => "unknown_series",
        }
    }
}

/// What became of samples before they came to the log.
pub(crate) struct Sifted {
    /// How many samples no rule reads.
    pub(crate) unread: usize,
    /// Those that are refused, by the series as they were sent.
    pub(crate) refused: Pushed,
    /// Where the series that are left stood before.
    pub(crate) positions: Vec<usize>,
}

/// Counts a sample that is refused, and names the first ones.
pub(crate) fn reject(
    pushed: &mut Pushed,
    metrics: &Metrics,
    item: usize,
    is_histogram: bool,
    labels: &str,
    refusal: &Refusal,
) {
    metrics.samples_rejected.get_or_create(&label("reason", refusal.reason())).inc();
    pushed.rejected_count += 1;
    pushed.histograms_rejected += usize::from(is_histogram);
    if pushed.rejected.len() < REJECTIONS_NAMED_MAX {
        pushed.rejected.push(Rejection { item, reason: format!("{labels}: {refusal}") });
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
            metadata: Mutex::default(),
            series_keys: AtomicUsize::new(0),
            health: Health::default(),
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

    /// The series, to be written to.
    pub(crate) fn write_tsdb(&self) -> RwLockWriteGuard<'_, Tsdb> {
        self.tsdb.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over new rules. Windows of event rules whose query is unchanged go on as they are (contract C2), if need be
    /// within other bounds; the others are those of the refill.
    pub(crate) fn set_rules(
        &self,
        readers: &[Arc<Reader>],
        queries: BTreeMap<RuleId, Arc<CompiledQuery>>,
        mut refill: Refill,
        keep_unread: bool,
        now: Timestamp,
    ) {
        // Whoever has this lock finds in the windows what is in the log.
        let mut writer = lock(&self.writer);
        if let Err(error) = refill.catch_up(&writer, now) {
            tracing::error!(%error, "windows of new event rules lack what came during the reload");
        }
        let mut events = lock(&self.events);
        let mut windows = HashMap::new();
        for (rule, query) in &queries {
            let kept = events.windows.get(rule).filter(|old| lock(old).go_on_under(query)).map(Arc::clone);
            let fresh = || {
                let filled = refill.take(*rule);
                Arc::new(Mutex::new(filled.unwrap_or_else(|| EventWindows::new(Arc::clone(query), now))))
            };
            windows.insert(*rule, kept.unwrap_or_else(fresh));
        }
        let index = EventIndex::new(queries.iter().map(|(rule, query)| (*rule, query.as_ref())));
        let mut deadlines = Deadlines::default();
        for (rule, windows) in &windows {
            deadlines.set(*rule, lock(windows).next_deadline());
        }
        *events = EventRules { index, windows, deadlines, clock: events.clock };
        drop(events);
        self.deadline_moved.notify_one();
        let tsdb = self.tsdb.read().unwrap_or_else(PoisonError::into_inner);
        let mut touch = lock(&self.touch);
        let reading = touch.set_readers(readers, keep_unread, &tsdb);
        if reading.less {
            writer.keys.mark_unread(|slot| touch.is_slot_read(slot));
        }
        if reading.more {
            writer.keys.forget_unread();
        }
    }

    /// Makes windows for the event rules that a replay will fill, as if they had run since `since`.
    pub(crate) fn prepare(&self, queries: &BTreeMap<RuleId, Arc<CompiledQuery>>, since: Timestamp) {
        self.set_rules(&[], queries.clone(), Refill::default(), false, since);
    }

    /// The windows of an event rule.
    pub(crate) fn windows(&self, rule: RuleId) -> Option<SharedWindows> {
        lock(&self.events).windows.get(&rule).map(Arc::clone)
    }

    /// Logs what arrived with one write, which survives the death of the process, and stores it. Answers what became of
    /// each entry, and the rules whose answer may have changed.
    ///
    /// # Errors
    /// The outer error if the log cannot be written: nothing was taken then. The inner ones for entries that are too large.
    pub(crate) fn accept(
        &self,
        entries: &[Entry],
        now: Timestamp,
    ) -> Result<(Vec<Result<Pushed, PushError>>, Touched), LogError> {
        // Held until everything is stored: whoever has this lock finds in the store what is in the log.
        let mut writer = lock(&self.writer);
        let written = self.log(&mut writer, now, entries)?;
        let mut touched = Touched::default();
        let mut answers = Vec::with_capacity(entries.len());
        for (entry, written) in entries.iter().zip(written) {
            answers.push(written.map(|()| match entry {
                Entry::Samples(series) => {
                    let (pushed, found) = self.store_samples(series);
                    touched.extend(found);
                    pushed
                }
                Entry::Events(events) => {
                    touched.rules.extend(self.store_events(events, now));
                    Pushed { accepted: events.len(), ..Pushed::default() }
                }
            }));
        }
        Ok((answers, touched))
    }

    /// Writes entries to the log with one write; they survive the death of the process when this returns.
    fn log(
        &self,
        writer: &mut Writer,
        at: Timestamp,
        entries: &[Entry],
    ) -> Result<Vec<Result<(), PushError>>, LogError> {
        let result = writer.log_entries(at, entries);
        self.note_log(&result);
        result
    }

    /// Takes out of samples that arrived what is neither logged nor stored: what no rule reads, what is too far ahead of
    /// `now`, and new series for which there is no room.
    pub(crate) fn sift(&self, batch: &mut SeriesBatch, now: Timestamp) -> Sifted {
        let tsdb = self.tsdb.read().unwrap_or_else(PoisonError::into_inner);
        let touch = lock(&self.touch);
        let (mut unread, mut refused, mut positions) = (0, Pushed::default(), Vec::with_capacity(batch.len()));
        let (mut position, mut fresh) = (0, 0);
        batch.retain_mut(|(labels, samples)| {
            let known = tsdb.resolve(labels);
            let read = match known {
                Some(id) => touch.is_slot_read(id.slot()),
                None => touch.is_read(labels),
            };
            if read {
                // What the store has no room for would fill the log again and again.
                let full = if known.is_none() { tsdb.limit(labels, fresh) } else { None };
                samples.retain(|point| {
                    let full = full.map(|limit| AppendError::Limit { limit }.into());
                    let refusal = Refusal::if_ahead(point.timestamp, now).or(full);
                    if let Some(refusal) = &refusal {
                        let is_histogram = point.value.histogram().is_some();
                        let labels = labels.to_string();
                        reject(&mut refused, &self.metrics, position, is_histogram, &labels, refusal);
                    }
                    refusal.is_none()
                });
            } else {
                unread += samples.len();
            }
            let kept = read && !samples.is_empty();
            fresh += usize::from(kept && known.is_none());
            positions.extend(kept.then_some(position));
            position += 1;
            kept
        });
        self.metrics.samples_unread.inc_by(unread as u64);
        Sifted { unread, refused, positions }
    }

    /// Takes note of whether the logs can be written: failures are counted, the first one of a row is told, and so is
    /// its end.
    pub(crate) fn note_log<T>(&self, result: &Result<T, LogError>) {
        match result {
            Ok(_) if self.health.mend() => {
                tracing::info!("the input log can be written again; samples and events are taken");
            }
            Ok(_) => {}
            Err(error) => {
                self.metrics.log_failures.inc();
                if self.health.fail(error) {
                    tracing::error!(%error, "the input log cannot be written; senders are told to try again");
                }
            }
        }
        self.metrics.log_failing.set(i64::from(self.health.failure().is_some()));
    }

    /// Stores samples that are logged already. Answers what became of them and which rules read them.
    fn store_samples(&self, batch: &SeriesBatch) -> (Pushed, Touched) {
        let mut pushed = Pushed::default();
        let mut stored = Vec::with_capacity(batch.len());
        let mut tsdb = self.write_tsdb();
        for (item, (labels, points)) in batch.iter().enumerate() {
            let mut series = None;
            for point in points {
                match tsdb.append_point(labels, point.clone()) {
                    Ok(id) => {
                        pushed.accepted += 1;
                        series = Some(id);
                    }
                    Err(error) => {
                        let is_histogram = point.value.histogram().is_some();
                        reject(&mut pushed, &self.metrics, item, is_histogram, &labels.to_string(), &error.into());
                    }
                }
            }
            stored.extend(series);
        }
        let mut touch = lock(&self.touch);
        touch.follow(&tsdb);
        drop(tsdb);
        let rules = touch.touched_by_any(&stored);
        self.metrics.samples_accepted.inc_by(pushed.accepted as u64);
        (pushed, Touched { rules, series: stored })
    }

    /// Logs and stores what the engine itself wrote: recorded series and `ALERTS`. Answers the rules to evaluate.
    ///
    /// A log that cannot be written does not stop the evaluation: the samples are derived and come again.
    pub(crate) fn append_derived(&self, points: &[(Labels, Point)], now: Timestamp) -> Vec<RuleId> {
        let batch: SeriesBatch = points.iter().map(|(labels, point)| (labels.clone(), vec![point.clone()])).collect();
        let mut writer = lock(&self.writer);
        // What cannot be logged is counted and told there, and stored all the same.
        let _noted = self.log(&mut writer, now, &[Entry::Samples(batch)]);
        let mut tsdb = self.write_tsdb();
        let mut stored = Vec::new();
        for (labels, point) in points {
            match tsdb.append_point(labels, point.clone()) {
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
            // What leads back to the rule that wrote it would start its evaluation over and over.
            if touch.may_propagate(labels) {
                touched.extend(touch.touched_by(id).iter().copied());
            }
        }
        touched.into_iter().collect()
    }

    /// Puts events that are logged already into the windows. Answers the rules whose answer may have changed.
    pub(crate) fn store_events(&self, batch: &[Event], now: Timestamp) -> BTreeSet<RuleId> {
        let mut events = lock(&self.events);
        let first = events.deadlines.next();
        let mut touched: BTreeSet<RuleId> = events.follow_clock(now).into_iter().collect();
        let EventRules { index, windows, deadlines, .. } = &mut *events;
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
        let mut touched = events.follow_clock(now);
        let EventRules { windows, deadlines, .. } = &mut *events;
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

    /// Lets go of what no rule can reach any more, so much at a time that neither samples nor queries wait for long.
    pub(crate) fn truncate(&self, now: Timestamp, retention: Duration) {
        // Rules that are evaluated at their interval only see it then.
        lock(&self.events).follow_clock(now);
        let mut old = Vec::new();
        let mut slots = 0..SWEPT_AT_ONCE;
        loop {
            let mut tsdb = self.write_tsdb();
            tsdb.set_retention(retention);
            old.extend(tsdb.drop_old(now, slots.clone()).1);
            if slots.end >= tsdb.slots() {
                break;
            }
            slots = slots.end..slots.end + SWEPT_AT_ONCE;
            drop(tsdb);
            // Those who wait for it are let in.
            std::thread::yield_now();
        }
        // Each time all keys are looked through, so that it is done a few times at most.
        for old in old.chunks(SWEPT_AT_ONCE.max(old.len().div_ceil(REMOVALS_MAX))) {
            // A request between its decoding and its storing must find its series alive.
            let mut writer = lock(&self.writer);
            let mut tsdb = self.write_tsdb();
            if !tsdb.remove_old(now, old).series.is_empty() {
                writer.keys.forget_gone(|slot| tsdb.id_at(slot).is_some());
            }
            drop((tsdb, writer));
            std::thread::yield_now();
        }
        let stats = self.with_tsdb(Tsdb::stats);
        self.metrics.series.set(i64::try_from(stats.series).unwrap_or(i64::MAX));
        self.metrics.series_bytes.set(i64::try_from(stats.bytes).unwrap_or(i64::MAX));
        let mut writer = lock(&self.writer);
        writer.keys.sweep(now);
        let dropped = writer.log.drop_before(now - retention).and_then(|_| writer.events.drop_before(now - retention));
        if let Err(error) = dropped {
            tracing::warn!(%error, "old parts of the input log cannot be removed");
        }
    }

    /// Whether it is time to force something to the disk, as far as can be told without waiting for those who log.
    pub(crate) fn is_sync_due(&self, now: Timestamp) -> bool {
        self.writer.try_lock().map_or(true, |writer| writer.log.sync_is_due(now) || writer.events.sync_is_due(now))
    }

    /// Forces what was logged to the disk if it is time for that; what this protects from is power loss.
    pub(crate) fn sync_if_due(&self, now: Timestamp) {
        let mut files = Vec::new();
        {
            let mut writer = lock(&self.writer);
            let Writer { log, events, .. } = &mut *writer;
            files.extend(
                [log, events].into_iter().filter(|log| log.sync_is_due(now)).map(|log| log.sync_elsewhere(now)),
            );
        }
        // The disk is waited for without the lock, so that nobody who logs waits with us.
        for file in files {
            let synced =
                file.map_err(|error| error.to_string()).and_then(|file| file.sync_data().map_err(|e| e.to_string()));
            if let Err(error) = synced {
                self.metrics.log_failures.inc();
                tracing::error!(%error, "the input log cannot be forced to the disk");
            }
        }
    }

    /// Forces what was logged to the disk, and gives the logs up, so that another engine can go on with them. Whoever still
    /// has a handle is refused from now on.
    pub(crate) fn close(&self, now: Timestamp) -> Result<(), LogError> {
        let mut writer = lock(&self.writer);
        let (samples, events) = (writer.log.close(now), writer.events.close(now));
        samples.and(events)
    }
}
