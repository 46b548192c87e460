//! The fast way in: remote-write requests from their bytes to the log and the series, without label sets in between.
//!
//! A series that was seen before is recognised by the hash of its labels as the wire spells them. Only a new one is
//! parsed, looked up and given its label set.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::PoisonError;

use watchfire_ingest::remote_write::{Decoder, Message, Report};
use watchfire_ingest::{DecodeError, KeySeed, Limits, SeriesKey, SeriesRef, Sink};
use watchfire_model::{Labels, RuleId, Sample, Timestamp};
use watchfire_store::log::{Entry, Log, LogError, SeriesNumber};
use watchfire_tsdb::{SeriesId, Tsdb};

use crate::Pushed;
use crate::data::{Data, lock, reject};

/// A key is a hash already.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Everything that is written to, behind one lock: whoever holds it is the only writer.
pub(crate) struct Writer {
    pub(crate) log: Log,
    decoder: Decoder,
    known: HashMap<SeriesKey, SeriesId, BuildHasherDefault<AlreadyHashed>>,
}

/// A request that is decoded and waits to be logged and stored.
pub(crate) struct Decoded {
    pub(crate) report: Report,
    known: Vec<(SeriesId, Sample)>,
    fresh: Vec<(SeriesKey, Labels, Vec<Sample>)>,
}

impl Writer {
    pub(crate) fn new(log: Log, limits: Limits) -> Writer {
        // The seed must not be known to senders; the standard library's hasher draws one from the system.
        let seed = RandomState::new().build_hasher().finish();
        Writer { log, decoder: Decoder::new(limits, KeySeed::new(seed)), known: HashMap::default() }
    }

    /// Other bounds of requests from now on.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.decoder.set_limits(limits);
    }

    /// Forgets keys of series that are gone.
    pub(crate) fn forget_gone(&mut self, tsdb: &Tsdb) {
        self.known.retain(|_, id| tsdb.series(*id).is_some());
    }

    fn decode(&mut self, message: Message, body: &[u8], tsdb: &Tsdb) -> Result<Decoded, DecodeError> {
        let mut taker = Taker { series: &self.known, tsdb, known: Vec::new(), fresh: Vec::new() };
        let report = self.decoder.decode(message, body, &mut taker)?;
        let Taker { known, fresh, .. } = taker;
        Ok(Decoded { report, known, fresh })
    }
}

struct Taker<'a> {
    series: &'a HashMap<SeriesKey, SeriesId, BuildHasherDefault<AlreadyHashed>>,
    tsdb: &'a Tsdb,
    known: Vec<(SeriesId, Sample)>,
    fresh: Vec<(SeriesKey, Labels, Vec<Sample>)>,
}

impl Sink for Taker<'_> {
    fn known(&mut self, key: SeriesKey, samples: &[Sample]) -> bool {
        let Some(id) = self.series.get(&key).copied().filter(|id| self.tsdb.series(*id).is_some()) else {
            return false;
        };
        self.known.extend(samples.iter().map(|sample| (id, *sample)));
        true
    }

    fn series(&mut self, series: SeriesRef<'_>) {
        self.fresh.push((series.key, series.to_labels(), series.samples.to_vec()));
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
        let decoded: Vec<_> = requests.iter().map(|(message, body)| writer.decode(*message, body, &tsdb)).collect();
        for request in decoded.iter().flatten() {
            let labels = |number: SeriesNumber| {
                let series = tsdb.series(SeriesId::from_number(number.id));
                series.map_or_else(Labels::empty, |series| series.labels().clone())
            };
            let number =
                |id: SeriesId| SeriesNumber { slot: u32::try_from(id.slot()).unwrap_or(u32::MAX), id: id.number() };
            let samples = request.known.iter().map(|(id, sample)| (number(*id), *sample));
            writer.log.stage_samples(now, samples, labels)?;
            if !request.fresh.is_empty() {
                let fresh = request.fresh.iter().map(|(_, labels, samples)| (labels.clone(), samples.clone()));
                writer.log.stage(now, &Entry::Samples(fresh.collect()))?;
            }
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
                let mut pushed = Pushed::default();
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
                for (item, (key, labels, samples)) in request.fresh.iter().enumerate() {
                    for sample in samples {
                        match tsdb.append(labels, *sample) {
                            Ok(id) => {
                                pushed.accepted += 1;
                                writer.known.insert(*key, id);
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
