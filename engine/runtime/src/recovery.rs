//! What a start finds: the newest snapshot that can be read, and what was logged after it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use watchfire_events::CompiledQuery;
use watchfire_ingest::Limits;
use watchfire_model::{Duration, RuleId, Timestamp};
use watchfire_store::log::{
    Log, LogError, ReplayFrom, Replayed, Snapshot, SnapshotError, SnapshotWriter, read_snapshot,
};
use watchfire_tsdb::{Assembled, Cursor, SamplesRef, SeriesId, Settings, Tsdb};

use crate::data::{Data, lock};
use crate::metrics::Metrics;
use crate::writer::Writer;

/// A snapshot is due when the log has grown by half of what the last one took, but not for less than this. So the work
/// of writing snapshots follows the work of logging, and what a start has to read is bounded.
const GROWTH_BYTES_MIN: u64 = 64 << 20;

/// After a snapshot that failed, as on a full disk, the next one is not tried before this.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// What a start read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Samples that a snapshot held.
    pub(crate) from_snapshot: u64,
    /// Samples that were logged after it.
    pub(crate) samples: u64,
    /// Events.
    pub(crate) events: u64,
    /// What could not be read, in words for the operator.
    pub(crate) warnings: Vec<String>,
}

/// Reads everything back that rules can reach: what was accepted from the beginning of `reach` on. Its end is the time
/// now, and what a clock that went wrong says of later times counts as of now.
///
/// # Errors
/// If a newer version wrote it, or the file system says no.
pub(crate) fn recover(
    log: Log,
    events: Log,
    settings: Settings,
    limits: Limits,
    queries: &BTreeMap<RuleId, Arc<CompiledQuery>>,
    reach: Range<Timestamp>,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<Data>, Recovered), LogError> {
    let since = reach.start;
    let mut recovered = Recovered::default();
    let (tsdb, snapshot) = load(&log, settings, since, &mut recovered)?;
    let from = snapshot.as_ref().map_or(ReplayFrom::Time(since), |snapshot| ReplayFrom::Position(snapshot.position));
    let writer = Writer::new(log, events, snapshot, limits);
    let data = Arc::new(Data::new(writer, tsdb, Arc::clone(metrics)));
    data.prepare(queries, since);
    data.replay(from, reach, &mut recovered)?;
    Ok((data, recovered))
}

/// Fills a store from the newest snapshot that can be read, and says which that is.
///
/// A snapshot that is damaged is told as a warning; the one before it and the log hold the same.
///
/// # Errors
/// If a newer version wrote it, or the file system says no.
fn load(
    log: &Log,
    settings: Settings,
    since: Timestamp,
    recovered: &mut Recovered,
) -> Result<(Tsdb, Option<Snapshot>), LogError> {
    for snapshot in log.snapshots()? {
        let mut tsdb = Tsdb::new(settings.clone());
        let assemble = |labels, samples: SamplesRef<'_>| {
            let in_reach = samples.last_time().is_some_and(|newest| newest >= since);
            if in_reach { Assembled::new(labels, samples) } else { None }
        };
        let read =
            read_snapshot(&snapshot, assemble, |series| series.into_iter().for_each(|series| tsdb.adopt(series)));
        match read {
            Ok(size) => {
                recovered.from_snapshot = size.samples;
                return Ok((tsdb, Some(snapshot)));
            }
            Err(SnapshotError::Log(error)) => return Err(error),
            Err(error @ SnapshotError::Damaged { .. }) => {
                log.remove_snapshot(&snapshot)?;
                let instead = "it is removed; the one before it and the input log are used instead";
                recovered.warnings.push(format!("{error}; {instead}"));
            }
        }
    }
    Ok((Tsdb::new(settings), None))
}

impl Data {
    /// Reads the logs back into series and windows, without evaluating anything: samples from where the snapshot ends,
    /// events as far back as a rule reaches.
    ///
    /// # Errors
    /// If the file system says no. Damaged parts are left out and told as warnings.
    fn replay(&self, from: ReplayFrom, reach: Range<Timestamp>, recovered: &mut Recovered) -> Result<(), LogError> {
        let replays = {
            let writer = lock(&self.writer);
            [writer.log.replay(from), writer.events.replay(ReplayFrom::Time(reach.start))]
        };
        for mut replay in replays {
            // Which series of a segment is which one here, found out once for each.
            let mut known: Vec<Option<SeriesId>> = Vec::new();
            let mut known_of = 0;
            while let Some(entry) = replay.next()? {
                match entry {
                    Replayed::Samples { segment, series, samples, .. } => {
                        if known_of != segment {
                            known.clear();
                            known_of = segment;
                        }
                        known.resize(series.len(), None);
                        let mut tsdb = self.write_tsdb();
                        for (index, point) in samples {
                            let (known, labels) = (&mut known[*index as usize], &series[*index as usize]);
                            // What was refused when it came is refused again, so that both runs hold the same.
                            let stored = match (*known, labels) {
                                (Some(id), _) => tsdb.append_point_to(id, point.clone()).is_ok(),
                                (None, Some(labels)) => {
                                    *known = tsdb.append_point(labels, point.clone()).ok();
                                    known.is_some()
                                }
                                (None, None) => false,
                            };
                            recovered.samples += u64::from(stored);
                        }
                    }
                    Replayed::Events { at, events } => {
                        recovered.events += events.len() as u64;
                        self.store_events(&events, at.min(reach.end));
                    }
                }
            }
            for damage in replay.damage() {
                recovered.warnings.push(format!(
                    "{} bytes at {} of segment {} of the input log are lost: {}",
                    damage.bytes, damage.at.offset, damage.at.segment, damage.reason
                ));
            }
        }
        self.with_tsdb(|tsdb| lock(&self.touch).follow(tsdb));
        Ok(())
    }

    /// Writes a snapshot if the log has grown enough since the last one.
    pub(crate) fn snapshot_if_due(&self, now: Timestamp) {
        let due = {
            let writer = lock(&self.writer);
            let waits = writer.snapshot_failed_at.is_some_and(|failed| now.since(failed) < RETRY_AFTER);
            !waits && writer.snapshot_growth() >= (writer.snapshot_bytes() / 2).max(GROWTH_BYTES_MIN)
        };
        if due && let Err(error) = self.snapshot(now) {
            self.metrics.snapshot_failures.inc();
            lock(&self.writer).snapshot_failed_at = Some(now);
            tracing::error!(%error, "no snapshot can be written; the input log grows until one can");
        }
    }

    /// Writes a snapshot of the series and drops the part of the log that is no longer needed. Samples go on arriving
    /// and rules go on being evaluated: the store is read a block at a time.
    ///
    /// # Errors
    /// If the file system says no; everything stays as it was then.
    pub(crate) fn snapshot(&self, now: Timestamp) -> Result<(), LogError> {
        let mut file = lock(&self.writer).log.begin_snapshot(now)?;
        // Series that are created from here on are in the log behind the snapshot.
        let end = self.with_tsdb(|tsdb| tsdb.new_series_since(Cursor::default()).cursor);
        let mut cursor = Cursor::default();
        while cursor < end {
            cursor = self.with_tsdb(|tsdb| fill_block(tsdb, cursor, &mut file));
            file.write_block()?;
        }
        let (snapshot, size) = file.finish()?;
        tracing::debug!(series = size.series, samples = size.samples, bytes = snapshot.bytes, "snapshot written");
        self.metrics.snapshots.inc();
        self.metrics.snapshot_bytes.set(i64::try_from(snapshot.bytes).unwrap_or(i64::MAX));
        lock(&self.writer).snapshot_written(snapshot)
    }
}

/// Adds series until the block is full, and answers where to go on.
fn fill_block(tsdb: &Tsdb, from: Cursor, file: &mut SnapshotWriter) -> Cursor {
    let created = tsdb.new_series_since(from);
    for id in created.series {
        if file.is_full() {
            return Cursor::before(*id);
        }
        if let Some(series) = tsdb.series(*id) {
            file.add(series);
        }
    }
    created.cursor
}

#[cfg(test)]
mod tests;
