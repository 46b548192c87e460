//! The fast way in: remote-write requests from their bytes to the log and the series, without label sets in between.
//!
//! A series that was seen before is recognised by the hash of its labels as the wire spells them. Only a new one is
//! parsed, looked up and given its label set.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::PoisonError;

use watchfire_ingest::remote_write::{Decoder, Message, Report};
use watchfire_ingest::{DecodeError, KeySeed, Limits, SeriesKey, SeriesRef, Sink};
use watchfire_model::{Labels, RuleId, Sample, SharedNames, Timestamp};
use watchfire_store::log::{Entry, Log, LogError, SeriesNumber};
use watchfire_tsdb::{SeriesId, Tsdb};

use crate::Pushed;
use crate::data::{Data, SeriesBatch, lock, reject};
use crate::keys::{Keys, Target};
use crate::touch::TouchIndex;

/// Everything that is written to, behind one lock: whoever holds it is the only writer.
pub(crate) struct Writer {
    pub(crate) log: Log,
    decoder: Decoder,
    pub(crate) keys: Keys,
    /// New series share their names from here on, so that the log's table and the store hold the same sets.
    names: SharedNames,
}

/// A request that is decoded and waits to be logged and stored.
pub(crate) struct Decoded {
    pub(crate) report: Report,
    known: Vec<(SeriesId, Sample)>,
    /// New series, and the key of each.
    fresh: SeriesBatch,
    fresh_keys: Vec<SeriesKey>,
    /// Samples of series that no rule reads.
    unread: usize,
}

impl Writer {
    pub(crate) fn new(log: Log, limits: Limits) -> Writer {
        // The seed must not be known to senders; the standard library's hasher draws one from the system.
        let seed = RandomState::new().build_hasher().finish();
        Writer {
            log,
            decoder: Decoder::new(limits, KeySeed::new(seed)),
            keys: Keys::default(),
            names: SharedNames::default(),
        }
    }

    /// Other bounds of requests from now on.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.decoder.set_limits(limits);
    }

    fn decode(
        &mut self,
        message: Message,
        body: &[u8],
        tsdb: &Tsdb,
        touch: &TouchIndex,
    ) -> Result<Decoded, DecodeError> {
        let (known, fresh, fresh_keys) = (Vec::new(), SeriesBatch::new(), Vec::new());
        let (keys, names) = (&mut self.keys, &mut self.names);
        let mut taker = Taker { keys, names, tsdb, touch, known, fresh, fresh_keys, unread: 0 };
        let report = self.decoder.decode(message, body, &mut taker)?;
        let Taker { known, fresh, fresh_keys, unread, .. } = taker;
        Ok(Decoded { report, known, fresh, fresh_keys, unread })
    }

    /// Stages a request for the log. What no rule reads is not stored and therefore not logged either.
    fn stage(&mut self, request: &mut Decoded, now: Timestamp, tsdb: &Tsdb) -> Result<(), LogError> {
        if !request.known.is_empty() {
            let labels = |number: SeriesNumber| {
                let series = tsdb.series(SeriesId::from_number(number.id));
                series.map_or_else(Labels::empty, |series| series.labels().clone())
            };
            let number =
                |id: SeriesId| SeriesNumber { slot: u32::try_from(id.slot()).unwrap_or(u32::MAX), id: id.number() };
            let samples = request.known.iter().map(|(id, sample)| (number(*id), *sample));
            self.log.stage_samples(now, samples, labels)?;
        }
        if !request.fresh.is_empty() {
            let entry = Entry::Samples(std::mem::take(&mut request.fresh));
            self.log.stage(now, &entry)?;
            if let Entry::Samples(fresh) = entry {
                request.fresh = fresh;
            }
        }
        Ok(())
    }
}

struct Taker<'a> {
    keys: &'a mut Keys,
    names: &'a mut SharedNames,
    tsdb: &'a Tsdb,
    touch: &'a TouchIndex,
    known: Vec<(SeriesId, Sample)>,
    fresh: SeriesBatch,
    fresh_keys: Vec<SeriesKey>,
    unread: usize,
}

impl Sink for Taker<'_> {
    fn known(&mut self, key: SeriesKey, samples: &[Sample]) -> bool {
        match self.keys.get(key) {
            None => false,
            Some(Target::Unread) => {
                self.unread += samples.len();
                true
            }
            Some(Target::Slot(slot)) => {
                let Some(id) = self.tsdb.id_at(slot) else { return false };
                self.known.extend(samples.iter().map(|sample| (id, *sample)));
                true
            }
        }
    }

    fn series(&mut self, series: SeriesRef<'_>) {
        let labels = series.to_labels();
        if self.touch.is_read(&labels) {
            self.fresh.push((self.names.share(labels), series.samples.to_vec()));
            self.fresh_keys.push(series.key);
        } else {
            // True of these labels whatever becomes of the request.
            self.keys.insert(series.key, Target::Unread);
            self.unread += series.samples.len();
        }
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
    ) -> Result<(Vec<Result<(Report, Pushed), DecodeError>>, BTreeSet<RuleId>), LogError> {
        let mut writer = lock(&self.writer);
        let tsdb = self.tsdb.read().unwrap_or_else(PoisonError::into_inner);
        let touch = lock(&self.touch);
        let mut decoded: Vec<_> =
            requests.iter().map(|(message, body)| writer.decode(*message, body, &tsdb, &touch)).collect();
        drop(touch);
        for request in decoded.iter_mut().flatten() {
            writer.stage(request, now, &tsdb)?;
        }
        drop(tsdb);
        if let Err(error) = writer.log.commit() {
            self.metrics.log_failures.inc();
            return Err(error);
        }
        let mut tsdb = self.tsdb.write().unwrap_or_else(PoisonError::into_inner);
        let mut stored = Vec::new();
        let mut answers = Vec::with_capacity(decoded.len());
        for request in decoded {
            answers.push(request.map(|request| {
                let mut pushed = Pushed { accepted: request.unread, ..Pushed::default() };
                self.metrics.samples_unread.inc_by(request.unread as u64);
                for (item, (id, sample)) in request.known.iter().enumerate() {
                    match tsdb.append_to(*id, *sample) {
                        Ok(()) => {
                            pushed.accepted += 1;
                            stored.push(*id);
                        }
                        Err(error) => {
                            let labels = tsdb.series(*id).map(|series| series.labels().to_string());
                            reject(&mut pushed, &self.metrics, item, &labels.unwrap_or_default(), &error);
                        }
                    }
                }
                for (item, ((labels, samples), key)) in request.fresh.iter().zip(&request.fresh_keys).enumerate() {
                    for sample in samples {
                        match tsdb.append(labels, *sample) {
                            Ok(id) => {
                                pushed.accepted += 1;
                                writer.keys.insert(*key, Target::Slot(id.slot()));
                                stored.push(id);
                            }
                            Err(error) => reject(&mut pushed, &self.metrics, item, &labels.to_string(), &error),
                        }
                    }
                }
                self.metrics.samples_accepted.inc_by(pushed.accepted as u64);
                (request.report, pushed)
            }));
        }
        let mut touch = lock(&self.touch);
        touch.follow(&tsdb);
        drop(tsdb);
        Ok((answers, touch.touched_by_any(&stored)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use watchfire_model::Matcher;
    use watchfire_store::log::LogSettings;

    use super::*;
    use crate::metrics::Metrics;
    use crate::touch::Reader;

    /// A remote-write 1.0 request with one sample per metric, written by hand:
    /// <https://prometheus.io/docs/specs/prw/remote_write_spec/>.
    fn request(names: &[&str], second: i64) -> Vec<u8> {
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
            sample.extend([16, u8::try_from(second).unwrap()]);
            field(&mut series, 2, &sample);
            field(&mut message, 1, &series);
        }
        snap::raw::Encoder::new().compress_vec(&message).unwrap()
    }

    fn data(folder: &std::path::Path) -> Data {
        let (log, _) = Log::open(LogSettings::new(folder)).unwrap();
        Data::new(Writer::new(log, Limits::STANDARD), Tsdb::default(), Arc::new(Metrics::new()))
    }

    fn set_rules(data: &Data, names: &[&str], keep_unread: bool) {
        let selectors = names.iter().map(|name| vec![Matcher::equal("__name__", *name)]).collect();
        let reader = Reader { rule: RuleId(1), selectors, queried: BTreeSet::new(), records: None };
        data.set_rules(vec![reader], Default::default(), keep_unread, Timestamp::EPOCH);
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
        again.replay(Timestamp::EPOCH).unwrap();
        assert_eq!(held(&again), [6, 6]);
    }
}
