//! Recorded samples and events: the log of an engine, and text files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use watchfire_ingest::{Limits, Rejections, events, text};
use watchfire_model::{Event, Labels, Timestamp};
use watchfire_store::log::{Replay, Replayed, oldest_snapshot, read_snapshot};
use watchfire_tsdb::{Point, SamplesRef};

/// A folder with recorded samples and events.
///
/// It is the data folder of an engine, whose snapshot and logs are read, or holds files in the OpenMetrics or Prometheus text format
/// with timestamps (`.om`, `.txt`, `.prom`) and events as JSON lines (`.jsonl`, `.ndjson`), or both.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The folders of the logs of samples and of events.
    logs: Vec<PathBuf>,
    /// Bytes of the logs.
    log_bytes: u64,
    /// What the text files hold, by time.
    texts: BTreeMap<Timestamp, Texts>,
    /// What of the text files could not be read.
    pub(crate) complaints: Vec<String>,
}

#[derive(Debug, Default)]
struct Texts {
    samples: Vec<(Labels, Point)>,
    events: Vec<Event>,
}

/// Something that arrived.
pub(crate) enum Arrival<'a> {
    Samples(&'a [(Labels, Point)]),
    Events(Vec<Event>),
}

impl Recording {
    /// Looks for what there is and reads the text files; the logs are read as they are played.
    pub(crate) fn open(folder: &Path) -> Result<Recording> {
        let mut recording =
            Recording { logs: Vec::new(), log_bytes: 0, texts: BTreeMap::new(), complaints: Vec::new() };
        for candidate in [folder.join("log"), folder.join("events"), folder.to_owned()] {
            let bytes: u64 = files(&candidate, &["wlog"]).iter().filter_map(|p| Some(p.metadata().ok()?.len())).sum();
            if bytes > 0 {
                recording.read_snapshot(&candidate)?;
                recording.logs.push(candidate);
                recording.log_bytes += bytes;
            }
        }
        for path in files(folder, &["om", "txt", "prom", "jsonl", "ndjson"]) {
            recording.read_text(&path).with_context(|| path.display().to_string())?;
        }
        if recording.logs.is_empty() && recording.texts.is_empty() {
            std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
            bail!(
                "{}: nothing is recorded here. It should be the data folder of an engine, or hold samples in the \
                 OpenMetrics format (.om, .txt, .prom) or events as JSON lines (.jsonl, .ndjson)",
                folder.display()
            );
        }
        Ok(recording)
    }

    /// Reads what the log no longer holds because a snapshot does. A sample of a snapshot arrived at its own time; one
    /// that the log has as well is the same sample.
    fn read_snapshot(&mut self, folder: &Path) -> Result<()> {
        let Some(snapshot) = oldest_snapshot(folder)? else { return Ok(()) };
        let points = |labels, samples: SamplesRef<'_>| (labels, samples.to_points());
        read_snapshot(&snapshot, points, |(labels, points)| {
            for point in points {
                self.texts.entry(point.timestamp).or_default().samples.push((labels.clone(), point));
            }
        })?;
        Ok(())
    }

    fn read_text(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path)?;
        // A file is not a request: it may be as large as it is.
        let limits = Limits { body_bytes_max: usize::MAX, samples_max: usize::MAX, ..Limits::STANDARD };
        let limits = Limits { events_max: usize::MAX, ..limits };
        // What has no time of its own cannot be replayed, and is found by this one.
        let never = Timestamp::MIN;
        let mut untimed = 0;
        let rejections = if path.extension().is_some_and(|ending| ending == "jsonl" || ending == "ndjson") {
            let headers = [("content-type", "application/x-ndjson")];
            let decoded = events::decode(&headers, &bytes, never, &limits)?;
            for event in decoded.events {
                match event.time {
                    at if at == never => untimed += 1,
                    at => self.texts.entry(at).or_default().events.push(event),
                }
            }
            decoded.rejections
        } else {
            // Only OpenMetrics ends like this, and there times are in seconds.
            let open = bytes.trim_ascii_end().ends_with(b"# EOF");
            let format = if open { text::Format::OpenMetrics } else { text::Format::Prometheus };
            let decoded = text::decode_series(format, &bytes, never, &limits)?;
            for (labels, samples) in decoded.series {
                for sample in samples {
                    match sample.timestamp {
                        at if at == never => untimed += 1,
                        at => self.texts.entry(at).or_default().samples.push((labels.clone(), sample)),
                    }
                }
            }
            decoded.rejections
        };
        self.complain(path, &rejections, untimed);
        Ok(())
    }

    fn complain(&mut self, path: &Path, rejections: &Rejections, untimed: usize) {
        let path = path.display();
        self.complaints.extend(rejections.first.iter().map(|rejection| format!("{path}: {rejection}")));
        let more = rejections.count.saturating_sub(rejections.first.len());
        if more > 0 {
            self.complaints.push(format!("{path}: and {more} more"));
        }
        if untimed > 0 {
            self.complaints.push(format!("{path}: {untimed} without a timestamp are left out"));
        }
    }

    /// How much there is to play: bytes of the log and moments of the text files.
    pub(crate) fn size(&self) -> u64 {
        self.log_bytes + self.texts.len() as u64
    }

    /// Gives everything to `take` in the order of its arrival, with how much of [`Recording::size`] is played. What a
    /// text file holds arrived at its own time.
    pub(crate) fn play(mut self, take: &mut dyn FnMut(Timestamp, Arrival<'_>, u64) -> Result<()>) -> Result<()> {
        let mut played = 0;
        let mut replays = self.logs.iter().map(|folder| Replay::of(folder)).collect::<Result<Vec<_>, _>>()?;
        let mut waiting: Vec<Option<Logged>> = Vec::new();
        for replay in &mut replays {
            waiting.push(Logged::next(replay)?);
        }
        // Of what comes next in each log the earliest is played.
        while let Some((number, at)) = waiting
            .iter()
            .enumerate()
            .filter_map(|(number, next)| Some((number, next.as_ref()?.at)))
            .min_by_key(|n| n.1)
        {
            let read = replays.iter().map(Replay::bytes_read).sum();
            play_texts(&mut self.texts, at, read, &mut played, take)?;
            let next = Logged::next(&mut replays[number])?;
            match std::mem::replace(&mut waiting[number], next).map(|logged| logged.input) {
                Some(Input::Samples(samples)) => take(at, Arrival::Samples(&samples), read + played)?,
                Some(Input::Events(events)) => take(at, Arrival::Events(events), read + played)?,
                None => {}
            }
        }
        play_texts(&mut self.texts, Timestamp::MAX, self.log_bytes, &mut played, take)
    }
}

/// What one write of a log holds.
struct Logged {
    at: Timestamp,
    input: Input,
}

enum Input {
    Samples(Vec<(Labels, Point)>),
    Events(Vec<Event>),
}

impl Logged {
    fn next(replay: &mut Replay) -> Result<Option<Logged>> {
        let Some(entry) = replay.next()? else { return Ok(None) };
        let at = entry.at();
        let input = match entry {
            Replayed::Samples { series, samples, .. } => {
                let known = samples
                    .iter()
                    .filter_map(|(number, point)| Some((series.get(*number as usize)?.clone()?, point.clone())));
                Input::Samples(known.collect())
            }
            Replayed::Events { events, .. } => Input::Events(events),
        };
        Ok(Some(Logged { at, input }))
    }
}

/// Everything of the text files before a time.
fn play_texts(
    texts: &mut BTreeMap<Timestamp, Texts>,
    until: Timestamp,
    read: u64,
    played: &mut u64,
    take: &mut dyn FnMut(Timestamp, Arrival<'_>, u64) -> Result<()>,
) -> Result<()> {
    while let Some(entry) = texts.first_entry().filter(|entry| *entry.key() < until) {
        let (at, Texts { samples, events }) = entry.remove_entry();
        *played += 1;
        if !samples.is_empty() {
            take(at, Arrival::Samples(&samples), read + *played)?;
        }
        if !events.is_empty() {
            take(at, Arrival::Events(events), read + *played)?;
        }
    }
    Ok(())
}

/// The files of a folder with one of these endings, in order.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    // What cannot be listed has no files; whoever finds nothing at all says so.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let wanted = |path: &PathBuf| path.extension().is_some_and(|end| endings.iter().any(|ending| end == *ending));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(wanted).collect();
    found.sort();
    found
}
