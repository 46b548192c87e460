//! The fast way in: remote-write requests from their bytes to the log and the series, without label sets in between.
//!
//! A series that was seen before is recognised by the hash of its labels as the wire spells them. Only a new one is
//! parsed, looked up and given its label set.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use watchfire_ingest::remote_write::{Decoder, Message, Report};
use watchfire_ingest::{DecodeError, KeySeed, Limits, Metadata, MetadataRef, SeriesKey, SeriesRef, Sink};
use watchfire_model::{Labels, Sample, SharedNames, Timestamp};
use watchfire_store::log::{Entry, Log, LogError, SeriesNumber, Snapshot};
use watchfire_tsdb::{AppendError, Point, SamplesRef, SeriesId, Tsdb};

use crate::data::{Data, Refusal, SeriesBatch, Touched, lock, reject};
use crate::keys::{Keys, Target};
use crate::touch::TouchIndex;
use crate::{PushError, Pushed};

/// Everything that is written to, behind one lock: whoever holds it is the only writer.
pub(crate) struct Writer {
    /// Samples, back to the oldest snapshot of the series that is kept.
    pub(crate) log: Log,
    /// Events, as far back as a rule reaches: their windows are in no snapshot.
    pub(crate) events: Log,
    /// The newest snapshot.
    snapshot: Option<Snapshot>,
    /// When the last attempt to write one failed.
    pub(crate) snapshot_failed_at: Option<Timestamp>,
    decoder: Decoder,
    pub(crate) keys: Keys,
    /// New series share their names from here on, so that the log's table and the store hold the same sets.
    names: SharedNames,
}

/// A request that is decoded and waits to be logged and stored.
pub(crate) struct Decoded {
    pub(crate) report: Report,
    found: Found,
}

/// What a request holds, in the order in which it is logged and stored.
#[derive(Default)]
struct Found {
    /// Numbers of series that were seen before.
    known: Vec<(SeriesId, Sample)>,
    /// What is more than a number, of series that were seen before.
    rich: Vec<(SeriesId, Point)>,
    /// New series, and the key of each.
    fresh: SeriesBatch,
    fresh_keys: Vec<SeriesKey>,
    /// Samples of series that no rule reads.
    unread: usize,
    /// Samples that are not even logged: of which series, and whether it is a histogram.
    refused: Vec<(Labels, bool, Refusal)>,
    metadata: Vec<Metadata>,
}

impl Writer {
    pub(crate) fn new(log: Log, events: Log, snapshot: Option<Snapshot>, limits: Limits) -> Writer {
        // The seed must not be known to senders; the standard library's hasher draws one from the system.
        let seed = RandomState::new().build_hasher().finish();
        Writer {
            log,
            events,
            snapshot,
            snapshot_failed_at: None,
            decoder: Decoder::new(limits, KeySeed::new(seed)),
            keys: Keys::default(),
            names: SharedNames::default(),
        }
    }

    /// Writes entries with one write to each log that is concerned. Answers which of them were written: one that is too
    /// large costs no other. After an error none of them is, nor will be: their senders send them again.
    pub(crate) fn log_entries(
        &mut self,
        at: Timestamp,
        entries: &[Entry],
    ) -> Result<Vec<Result<(), PushError>>, LogError> {
        let written = self.stage_entries(at, entries).and_then(|written| {
            self.log.commit()?;
            self.events.commit()?;
            Ok(written)
        });
        if written.is_err() {
            self.discard();
        }
        written
    }

    /// Forgets what is staged for either log.
    pub(crate) fn discard(&mut self) {
        self.log.discard();
        self.events.discard();
    }

    fn stage_entries(&mut self, at: Timestamp, entries: &[Entry]) -> Result<Vec<Result<(), PushError>>, LogError> {
        let mut written = Vec::with_capacity(entries.len());
        for entry in entries {
            let staged = match entry {
                Entry::Samples(batch) if batch.is_empty() => Ok(()),
                Entry::Events(_) => self.events.stage(at, entry),
                Entry::Samples(_) => self.log.stage(at, entry),
            };
            written.push(match staged {
                Err(error @ LogError::TooLarge { .. }) => Err(PushError::TooLarge(error.to_string())),
                other => Ok(other?),
            });
        }
        Ok(written)
    }

    /// How much was logged since the newest snapshot, in bytes.
    pub(crate) fn snapshot_growth(&self) -> u64 {
        self.log.bytes_since(self.snapshot.as_ref().map(|snapshot| snapshot.position))
    }

    /// How long the newest snapshot is, in bytes.
    pub(crate) fn snapshot_bytes(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.bytes)
    }

    /// There is a new snapshot: what it makes superfluous goes.
    pub(crate) fn snapshot_written(&mut self, snapshot: Snapshot) -> Result<(), LogError> {
        self.snapshot = Some(snapshot);
        self.snapshot_failed_at = None;
        self.log.drop_covered()
    }

    /// Other bounds of requests from now on.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.decoder.set_limits(limits);
    }

    fn decode(
        &mut self,
        message: Message,
        body: &[u8],
        now: Timestamp,
        tsdb: &Tsdb,
        touch: &TouchIndex,
    ) -> Result<Decoded, DecodeError> {
        let (keys, names) = (&mut self.keys, &mut self.names);
        let mut taker = Taker { keys, names, now, tsdb, touch, found: Found::default() };
        let report = self.decoder.decode(message, body, &mut taker)?;
        Ok(Decoded { report, found: taker.found })
    }

    /// Stages a request for the log. What no rule reads is not stored and therefore not logged either.
    fn stage(&mut self, found: &mut Found, now: Timestamp, tsdb: &Tsdb) -> Result<(), LogError> {
        let labels = |number: SeriesNumber| {
            let series = tsdb.id_at(number.slot as usize).and_then(|id| tsdb.series(id));
            series.map_or_else(Labels::empty, |series| series.labels().clone())
        };
        let number = |id: SeriesId| SeriesNumber {
            slot: u32::try_from(id.slot()).unwrap_or(u32::MAX),
            // Four billion series do not come to life while a segment is written.
            life: id.sequence() as u32,
        };
        if !found.known.is_empty() {
            let samples = found.known.iter().map(|(id, sample)| (number(*id), *sample));
            self.log.stage_samples(now, samples, labels)?;
        }
        if !found.rich.is_empty() {
            let points = found.rich.iter().map(|(id, point)| (number(*id), point.clone()));
            self.log.stage_samples(now, points, labels)?;
        }
        if !found.fresh.is_empty() {
            let entry = Entry::Samples(std::mem::take(&mut found.fresh));
            self.log.stage(now, &entry)?;
            if let Entry::Samples(fresh) = entry {
                found.fresh = fresh;
            }
        }
        Ok(())
    }
}

struct Taker<'a> {
    keys: &'a mut Keys,
    names: &'a mut SharedNames,
    now: Timestamp,
    tsdb: &'a Tsdb,
    touch: &'a TouchIndex,
    found: Found,
}

impl Found {
    /// Whether a sample's time is one that can be; refuses it otherwise.
    fn admits(
        &mut self,
        timestamp: Timestamp,
        now: Timestamp,
        is_histogram: bool,
        labels: impl Fn() -> Labels,
    ) -> bool {
        let refusal = Refusal::if_ahead(timestamp, now);
        let admitted = refusal.is_none();
        self.refused.extend(refusal.map(|refusal| (labels(), is_histogram, refusal)));
        admitted
    }
}

impl Sink for Taker<'_> {
    fn known(&mut self, key: SeriesKey, samples: SamplesRef<'_>) -> bool {
        match self.keys.get(key) {
            None => false,
            Some(Target::Unread) => {
                self.found.unread += samples.len();
                true
            }
            Some(Target::Slot(slot)) => {
                let Some(id) = self.tsdb.id_at(slot) else { return false };
                let labels = || self.tsdb.series(id).map_or_else(Labels::empty, |series| series.labels().clone());
                match samples {
                    SamplesRef::Plain(samples) => {
                        for sample in samples {
                            if self.found.admits(sample.timestamp, self.now, false, labels) {
                                self.found.known.push((id, *sample));
                            }
                        }
                    }
                    SamplesRef::Rich(points) => {
                        for point in points {
                            let is_histogram = point.value.histogram().is_some();
                            if self.found.admits(point.timestamp, self.now, is_histogram, labels) {
                                self.found.rich.push((id, point.clone()));
                            }
                        }
                    }
                }
                true
            }
        }
    }

    fn series(&mut self, series: SeriesRef<'_>) {
        let labels = series.to_labels();
        if self.touch.is_read(&labels) {
            let labels = self.names.share(labels);
            let mut points = series.samples.to_points();
            points.retain(|point| {
                let is_histogram = point.value.histogram().is_some();
                self.found.admits(point.timestamp, self.now, is_histogram, || labels.clone())
            });
            if points.is_empty() {
                return;
            }
            // What the store has no room for would fill the log again and again.
            let full =
                self.tsdb.limit(&labels, self.found.fresh.len()).filter(|_| self.tsdb.resolve(&labels).is_none());
            match full {
                Some(limit) => self.found.refused.extend(points.iter().map(|point| {
                    let is_histogram = point.value.histogram().is_some();
                    (labels.clone(), is_histogram, AppendError::Limit { limit }.into())
                })),
                None => {
                    self.found.fresh.push((labels, points));
                    self.found.fresh_keys.push(series.key);
                }
            }
        } else {
            // True of these labels whatever becomes of the request.
            self.keys.insert(series.key, Target::Unread);
            self.found.unread += series.samples.len();
        }
    }

    fn metadata(&mut self, metadata: MetadataRef<'_>) {
        self.found.metadata.push(metadata.to_metadata());
    }
}

impl Data {
    /// Decodes, logs and stores remote-write requests with one write to the log. Answers what became of each, and the
    /// rules that read what was stored.
    ///
    /// # Errors
    /// The outer error if the log cannot be written: nothing was taken then. The inner ones for requests that are
    /// refused as a whole.
    pub(crate) fn write_requests(
        &self,
        requests: &[(Message, &[u8])],
        now: Timestamp,
    ) -> Result<(Vec<Result<(Report, Pushed), DecodeError>>, Touched), LogError> {
        let mut writer = lock(&self.writer);
        let tsdb = self.tsdb.read().unwrap_or_else(PoisonError::into_inner);
        let touch = lock(&self.touch);
        let mut decoded: Vec<_> =
            requests.iter().map(|(message, body)| writer.decode(*message, body, now, &tsdb, &touch)).collect();
        drop(touch);
        let staged = decoded.iter_mut().try_for_each(|request| {
            let Ok(Decoded { found, .. }) = request else { return Ok(()) };
            match writer.stage(found, now, &tsdb) {
                // It costs no other request that shares the write.
                Err(error @ LogError::TooLarge { .. }) => {
                    *request = Err(DecodeError::too_large(error.to_string()));
                    Ok(())
                }
                staged => staged,
            }
        });
        drop(tsdb);
        let logged = staged.and_then(|()| writer.log.commit());
        self.note_log(&logged);
        logged?;
        let mut tsdb = self.write_tsdb();
        let mut stored = Vec::new();
        let mut answers = Vec::with_capacity(decoded.len());
        for request in decoded {
            answers.push(request.map(|Decoded { report, found }| {
                let mut pushed = Pushed::default();
                for (item, (labels, is_histogram, refusal)) in found.refused.iter().enumerate() {
                    reject(&mut pushed, &self.metrics, item, *is_histogram, &labels.to_string(), refusal);
                }
                let mut refuse = |tsdb: &Tsdb, item, id, is_histogram, error: AppendError| {
                    let labels = tsdb.series(id).map(|series| series.labels().to_string());
                    reject(&mut pushed, &self.metrics, item, is_histogram, &labels.unwrap_or_default(), &error.into());
                };
                let mut accepted = 0;
                for (item, (id, sample)) in found.known.iter().enumerate() {
                    match tsdb.append_to(*id, *sample) {
                        Ok(()) => {
                            accepted += 1;
                            stored.push(*id);
                        }
                        Err(error) => refuse(&tsdb, item, *id, false, error),
                    }
                }
                for (item, (id, point)) in found.rich.into_iter().enumerate() {
                    let is_histogram = point.value.histogram().is_some();
                    match tsdb.append_point_to(id, point) {
                        Ok(()) => {
                            accepted += 1;
                            stored.push(id);
                        }
                        Err(error) => refuse(&tsdb, item, id, is_histogram, error),
                    }
                }
                for (item, ((labels, points), key)) in found.fresh.into_iter().zip(found.fresh_keys).enumerate() {
                    for point in points {
                        let is_histogram = point.value.histogram().is_some();
                        match tsdb.append_point(&labels, point) {
                            Ok(id) => {
                                accepted += 1;
                                writer.keys.insert(key, Target::Slot(id.slot()));
                                stored.push(id);
                            }
                            Err(error) => {
                                let labels = labels.to_string();
                                reject(&mut pushed, &self.metrics, item, is_histogram, &labels, &error.into());
                            }
                        }
                    }
                }
                self.metrics.samples_accepted.inc_by(accepted as u64);
                self.metrics.samples_unread.inc_by(found.unread as u64);
                pushed.accepted = accepted + found.unread;
                if !found.metadata.is_empty() {
                    lock(&self.metadata).extend(found.metadata);
                }
                (report, pushed)
            }));
        }
        self.series_keys.store(writer.keys.len(), Ordering::Relaxed);
        let mut touch = lock(&self.touch);
        touch.follow(&tsdb);
        drop(tsdb);
        let rules = touch.touched_by_any(&stored);
        Ok((answers, Touched { rules, series: stored }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use watchfire_model::{Event, Matcher, RuleId};
    use watchfire_rules::dataflow::{Reader, Written};
    use watchfire_store::log::{LogSettings, ReplayFrom};

    use super::*;
    use crate::metrics::Metrics;
    use crate::recovery;

    /// A remote-write 1.0 request with one sample per metric, written by hand:
    /// <https://prometheus.io/docs/specs/prw/remote_write_spec/>.
    fn request(names: &[&str], millis: i64) -> Vec<u8> {
        fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
            out.extend([number << 3 | 2, u8::try_from(content.len()).unwrap()]);
            out.extend(content);
        }
        let mut message = Vec::new();
        for name in names {
            let (mut series, mut label, mut sample) = (Vec::new(), Vec::new(), vec![9]);
            field(&mut label, 1, b"__name__");
            field(&mut label, 2, name.as_bytes());
            field(&mut series, 1, &label);
            sample.extend(1.0_f64.to_le_bytes());
            sample.extend([16, u8::try_from(millis).unwrap()]);
            field(&mut series, 2, &sample);
            field(&mut message, 1, &series);
        }
        snap::raw::Encoder::new().compress_vec(&message).unwrap()
    }

    fn data(folder: &std::path::Path) -> Arc<Data> {
        let open = |name: &str| Log::open(LogSettings::new(folder.join(name))).unwrap().0;
        let (settings, reach) = (Default::default(), Timestamp::EPOCH..Timestamp::MAX);
        let metrics = Arc::new(Metrics::new());
        let (log, events) = (open("log"), open("events"));
        let recovered =
            recovery::recover(log, events, settings, Limits::STANDARD, &Default::default(), reach, &metrics);
        recovered.unwrap().0
    }

    fn set_rules(data: &Data, names: &[&str], keep_unread: bool) {
        let selectors = names.iter().map(|name| [Matcher::equal("__name__", *name)].into()).collect();
        let writes = Written::Alert("A".to_owned());
        let reader = Reader::new(RuleId(1), selectors, BTreeSet::new(), writes);
        let refill = crate::refill::Refill::default();
        data.set_rules(&[Arc::new(reader)], Default::default(), refill, keep_unread, Timestamp::EPOCH);
    }

    #[test]
    fn a_sample_from_the_future_is_refused_and_blinds_no_series() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path());
        set_rules(&data, &["a"], false);
        let labels = Labels::from_pairs([("__name__", "a")]);
        let point = |second| Point::from(Sample { timestamp: Timestamp::from_secs(second), value: 1.0 });
        let newest = || data.with_tsdb(|tsdb| tsdb.newest_time());
        // The first two come as a new series, the others by the key that the second one left.
        for (millis, ahead, accepted) in [(100, 3_600, 0), (100, 30, 1), (101, 601, 0), (101, 600, 1)] {
            let now = Timestamp::from_millis(millis - ahead * 1_000);
            let body = request(&["a"], millis);
            let (answers, _) = data.write_requests(&[(Message::V1, &body)], now).unwrap();
            let pushed = answers.into_iter().next().unwrap().unwrap().1;
            assert_eq!((pushed.accepted, pushed.rejected_count), (accepted, 1 - accepted), "{now}");
            for rejection in pushed.rejected {
                assert!(
                    rejection.reason.contains("more than 10m ahead of this engine's clock"),
                    "{}",
                    rejection.reason
                );
            }
        }
        assert_eq!(newest(), Timestamp::from_millis(101));
        assert_eq!(data.series_keys.load(Ordering::Relaxed), 1);
        // The other ways in.
        let mut batch = vec![(labels.clone(), vec![point(102), point(10_000)]), (labels.clone(), vec![point(20_000)])];
        let sifted = data.sift(&mut batch, Timestamp::from_secs(102));
        assert_eq!(batch, [(labels.clone(), vec![point(102)])]);
        assert_eq!((sifted.refused.rejected_count, sifted.refused.rejected[1].item, sifted.positions), (2, 1, vec![0]));
        let batch = vec![(labels, vec![point(102), point(103), point(10_000)])];
        assert_eq!(data.store_missing(batch, Timestamp::from_secs(102)).unwrap(), 2);
        assert_eq!(newest(), Timestamp::from_secs(103));
        let rejected = data.metrics.samples_rejected.get_or_create(&crate::metrics::label("reason", "too_far_ahead"));
        assert_eq!(rejected.get(), 5);
    }

    #[test]
    fn what_was_not_taken_is_not_written_with_what_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path());
        let now = Timestamp::EPOCH;
        let event = |id: &str| {
            let (id, kind) = (id.to_owned(), "login".to_owned());
            Entry::Events(vec![Event { id, time: now, kind, fields: Default::default(), body: String::new() }])
        };
        // After what is too large the log of samples begins another segment, whose name is not free here.
        let labels = Labels::from_pairs([("__name__", "a".repeat(65 << 20).as_str())]);
        let too_large = Entry::Samples(vec![(labels, vec![Sample { timestamp: now, value: 1.0 }.into()])]);
        let in_its_way = folder.path().join("log").join(format!("{:020}.wlog", 2));
        std::fs::write(&in_its_way, "").unwrap();
        data.accept(&[event("refused"), too_large], now).unwrap_err();
        std::fs::remove_file(in_its_way).unwrap();
        data.accept(&[event("taken")], now).unwrap();
        let mut replay = lock(&data.writer).events.replay(ReplayFrom::Start);
        let mut ids = Vec::new();
        while let Some(entry) = replay.next().unwrap() {
            if let Entry::Events(events) = entry.to_entry() {
                ids.extend(events.into_iter().map(|event| event.id));
            }
        }
        assert_eq!(ids, ["taken"]);
    }

    #[test]
    fn what_no_rule_reads_is_taken_but_not_stored_and_a_reload_changes_what_that_is() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path());
        let held = |data: &Data| {
            data.with_tsdb(|tsdb| {
                let counts = ["a", "b"].map(|name| {
                    let id = tsdb.resolve(&Labels::from_pairs([("__name__", name)]));
                    id.and_then(|id| tsdb.series(id)).map_or(0, |series| series.samples().len())
                });
                assert_eq!(tsdb.stats().series, counts.iter().filter(|count| **count > 0).count());
                counts
            })
        };
        let mut second = 0;
        let mut expect = |expected: [usize; 2]| {
            // The second request of each kind comes by the keys that the first one left.
            for _ in 0..2 {
                second += 1;
                let body = request(&["a", "b"], second);
                let (answers, _) = data.write_requests(&[(Message::V1, &body)], Timestamp::from_secs(second)).unwrap();
                assert_eq!(answers[0].as_ref().unwrap().1, Pushed { accepted: 2, ..Pushed::default() });
            }
            assert_eq!(held(&data), expected);
        };
        set_rules(&data, &["a"], false);
        expect([2, 0]);
        set_rules(&data, &["a", "b"], false);
        expect([4, 2]);
        set_rules(&data, &["b"], false);
        expect([4, 4]);
        set_rules(&data, &[], false);
        expect([4, 4]);
        set_rules(&data, &[], true);
        expect([6, 6]);
        assert_eq!(data.metrics.samples_unread.get(), 2 + 2 + 4);
        drop(data);

        let again = self::data(folder.path());
        assert_eq!(held(&again), [6, 6]);
    }
}
