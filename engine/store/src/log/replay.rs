//! Reading the log again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use watchfire_model::{Event, Labels, Timestamp};
use watchfire_tsdb::Point;

use super::codec::Unreadable;
use super::entry::{FrameKind, ReadDictionary, read_events};
use super::segment::{SegmentReader, Step};
use super::{Damage, Entry, LogError, Position, io_error, list_segments};

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    /// At the oldest entry.
    Start,
    /// At the first entry of this time or later.
    Time(Timestamp),
    /// At this position.
    Position(Position),
}

/// One entry as it is read, borrowed from the [`Replay`].
#[derive(Clone, Debug, PartialEq)]
pub enum Replayed<'a> {
    /// Samples with their series as indices into `series`. An index means the same series for the rest of a segment, so
    /// that a reader looks each label set up once per segment.
    Samples {
        /// The number of the segment.
        segment: u64,
        /// When they were accepted.
        at: Timestamp,
        /// The segment's label sets so far. `None` where damage took one; no sample refers to it.
        series: &'a [Option<Labels>],
        /// Which series, and what.
        samples: &'a [(u32, Point)],
    },
    /// Events.
    Events {
        /// When they were accepted.
        at: Timestamp,
        /// The events.
        events: Vec<Event>,
    },
}

impl Replayed<'_> {
    /// When it was accepted.
    pub fn at(&self) -> Timestamp {
        match self {
            Replayed::Samples { at, .. } | Replayed::Events { at, .. } => *at,
        }
    }

    /// As a value of its own; consecutive samples of a series stand together.
    pub fn to_entry(&self) -> Entry {
        match self {
            Replayed::Samples { series, samples, .. } => {
                let mut entries: Vec<(Labels, Vec<Point>)> = Vec::new();
                let mut last = None;
                for (index, sample) in *samples {
                    match entries.last_mut() {
                        Some((_, samples)) if last == Some(*index) => samples.push(sample.clone()),
                        _ => {
                            let labels = series.get(*index as usize).cloned().flatten().unwrap_or_default();
                            entries.push((labels, vec![sample.clone()]));
                        }
                    }
                    last = Some(*index);
                }
                Entry::Samples(entries)
            }
            Replayed::Events { events, .. } => Entry::Events(events.clone()),
        }
    }
}

/// Steps through the entries of a log. It reads the files as they are now and needs no lock.
#[derive(Debug)]
pub struct Replay {
    segments: VecDeque<(u64, PathBuf)>,
    from: ReplayFrom,
    reader: Option<(u64, PathBuf, SegmentReader)>,
    dictionary: ReadDictionary,
    damage: Vec<Damage>,
    damage_count: u64,
    orphans: u64,
    position: Position,
    /// Bytes of the segments before the one that is being read.
    finished_bytes: u64,
}

/// Damages that are described; the others are only counted.
const DAMAGE_KEPT_MAX: usize = 100;

enum Read {
    Samples,
    Events(Vec<Event>),
}

impl Replay {
    pub(super) fn new(segments: Vec<(u64, PathBuf, Option<Timestamp>)>, from: ReplayFrom) -> Replay {
        let wanted = |number: u64, newest: Option<Timestamp>| match from {
            ReplayFrom::Start => true,
            ReplayFrom::Time(time) => newest.is_some_and(|newest| newest >= time),
            ReplayFrom::Position(position) => number >= position.segment,
        };
        let segments = segments.into_iter().filter(|(number, _, newest)| wanted(*number, *newest));
        Replay {
            segments: segments.map(|(number, path, _)| (number, path)).collect(),
            from,
            reader: None,
            dictionary: ReadDictionary::default(),
            damage: Vec::new(),
            damage_count: 0,
            orphans: 0,
            position: Position { segment: 0, offset: 0 },
            finished_bytes: 0,
        }
    }

    /// Everything that the log of a directory holds, for a reader that does not own it: nothing is locked or changed, and
    /// an engine may go on writing.
    ///
    /// # Errors
    /// If the file system says no.
    pub fn of(dir: &Path) -> Result<Replay, LogError> {
        let segments = list_segments(dir).map_err(io_error("cannot list the directory", dir))?;
        let segments = segments.into_iter().map(|(number, path)| (number, path, None)).collect();
        Ok(Replay::new(segments, ReplayFrom::Start))
    }

    /// How many bytes were read so far, headers and damage included.
    pub fn bytes_read(&self) -> u64 {
        self.finished_bytes + self.position.offset
    }

    /// The next entry, or `None` at the end. Damaged parts are stepped over and reported by [`Replay::damage`].
    ///
    /// # Errors
    /// If the file system says no.
    #[expect(clippy::should_implement_trait, reason = "it lends its buffers, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Replayed<'_>>, LogError> {
        loop {
            let Some((number, path, reader)) = &mut self.reader else {
                let Some((number, path)) = self.segments.pop_front() else { return Ok(None) };
                let reader = SegmentReader::open(&path, number).map_err(io_error("cannot read", &path))?;
                self.dictionary = ReadDictionary::default();
                self.reader = Some((number, path, reader));
                continue;
            };
            let segment = *number;
            let frame = match reader.step().map_err(io_error("cannot read", path))? {
                Step::Frame(frame) => frame,
                Step::Damage { offset, bytes } => {
                    self.report(Position { segment, offset }, bytes, "no entry can be read here");
                    continue;
                }
                Step::End { offset, rest } => {
                    if rest > 0 {
                        self.report(Position { segment, offset }, rest, "no entry can be read here");
                    }
                    self.reader = None;
                    self.finished_bytes += offset + rest;
                    self.position.offset = 0;
                    continue;
                }
            };
            let place = Position { segment, offset: frame.offset };
            let at = Timestamp::from_millis(frame.millis);
            let length = reader.payload.len() as u64;
            let wanted = match self.from {
                ReplayFrom::Start => true,
                ReplayFrom::Time(time) => at >= time,
                ReplayFrom::Position(position) => place >= position,
            };
            let read = match FrameKind::from_byte(frame.kind) {
                // Read even if not wanted: what comes after may use what it defines.
                Some(FrameKind::Samples) => {
                    let read = self.dictionary.read(&reader.payload).map(|()| Read::Samples);
                    self.orphans += std::mem::take(&mut self.dictionary.orphans);
                    read
                }
                _ if !wanted => continue,
                Some(FrameKind::Events) => read_events(&reader.payload).map(Read::Events),
                None => Err(Unreadable("it is of a kind that is not known")),
            };
            match read {
                Err(Unreadable(reason)) => self.report(place, length, reason),
                Ok(_) if !wanted => {}
                Ok(read) => {
                    self.position = place;
                    return Ok(Some(match read {
                        Read::Samples => Replayed::Samples {
                            segment,
                            at,
                            series: &self.dictionary.series,
                            samples: &self.dictionary.samples,
                        },
                        Read::Events(events) => Replayed::Events { at, events },
                    }));
                }
            }
        }
    }

    fn report(&mut self, at: Position, bytes: u64, reason: &str) {
        self.damage_count += 1;
        if self.damage.len() < DAMAGE_KEPT_MAX {
            self.damage.push(Damage { at, bytes, reason: reason.to_owned() });
        }
    }

    /// The position of the entry that [`Replay::next`] gave last.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The damaged parts so far, at most a hundred of them.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How many parts were damaged so far.
    pub fn damage_count(&self) -> u64 {
        self.damage_count
    }

    /// Samples that could be read but not assigned, because damage took the definition of their series.
    pub fn orphans(&self) -> u64 {
        self.orphans
    }
}
