//! An append-only log of accepted input: what was acknowledged is read again after a crash.
//!
//! Entries are staged, then written together with one `write(2)`, so that the caller decides how many requests share
//! one write. They survive the end of the process as soon as [`Log::commit`] returns, and the end of the machine as far
//! as [`SyncPolicy`] says. The log lies in segments, files that are dropped as a whole by age or size. A torn tail is cut
//! off on opening; damage inside is stepped over and reported; neither is fatal.

mod codec;
mod entry;
mod numbered;
mod points;
mod replay;
mod search;
mod segment;
mod snapshot;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use watchfire_model::{Duration, Event, Labels, Timestamp};
use watchfire_tsdb::Point;

pub use entry::{Entry, SeriesNumber};
use entry::{FrameKind, WriteDictionary, put_events};
pub use replay::{Replay, ReplayFrom, Replayed};
use segment::{FILE_HEADER_BYTES, FileHeader, FileKind, SegmentReader, Step};
pub use snapshot::{Snapshot, SnapshotError, SnapshotSize, SnapshotWriter, oldest_snapshot, read_snapshot};
use snapshot::{list_snapshots, remove_unfinished};

/// When what was written is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Never: the operating system does it when it likes. Survives `kill -9`, not a power cut.
    Never,
    /// At least this often, by whoever calls [`Log::sync_is_due`]; a power cut costs at most what came since.
    Interval(Duration),
    /// On every commit.
    Always,
}

/// Where the log lies and how large it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The directory; made if it is missing.
    pub dir: PathBuf,
    /// When it is forced to the disk.
    pub sync: SyncPolicy,
    /// From this size on a new segment is begun.
    pub segment_bytes: u64,
    /// The size of all segments together from which the oldest are dropped.
    pub bytes_max: u64,
}

impl LogSettings {
    /// Segments of 64 MiB, 4 GiB in all, forced to the disk every second.
    pub fn new(dir: impl Into<PathBuf>) -> LogSettings {
        LogSettings {
            dir: dir.into(),
            sync: SyncPolicy::Interval(Duration::from_secs(1)),
            segment_bytes: 64 << 20,
            bytes_max: 4 << 30,
        }
    }
}

/// Why the log cannot be used.
#[derive(Debug, Error)]
pub enum LogError {
    /// Another process has it.
    #[error("{}: another process uses this data directory", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// It was written by a version that does not exist yet here.
    #[error("{}: written by a newer version of Watchfire (log format {version}); start that version", path.display())]
    NewerVersion {
        /// The segment.
        path: PathBuf,
        /// Its format.
        version: u16,
    },
    /// It was closed: somebody else may have it by now.
    #[error("the log is closed, since the engine has shut down")]
    Closed,
    /// One entry is longer than a frame can be.
    #[error("an entry has {bytes} bytes, the limit is {max}", max = segment::PAYLOAD_BYTES_MAX)]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// The file system says no.
    #[error("{}: {what}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { what, path, source }
}

/// A place between two entries. Later entries have greater positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the segment.
    pub segment: u64,
    /// The offset in it.
    pub offset: u64,
}

/// Bytes that hold no readable entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub at: Position,
    /// How many.
    pub bytes: u64,
    /// What is wrong with them.
    pub reason: String,
}

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Segments that hold something.
    pub segments: usize,
    /// Their size.
    pub bytes: u64,
    /// Bytes cut off the end: an entry that was being written when the process ended, and was never acknowledged.
    pub cut_bytes: u64,
    /// Files that are no segments and were put aside under the suffix `.bad`.
    pub put_aside: Vec<PathBuf>,
}

/// The figures of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Segments, the one under way included.
    pub segments: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Entries written since it was opened.
    pub entries: u64,
    /// Segments dropped because of the size limit since it was opened.
    pub dropped_for_size: u64,
}

#[derive(Clone, Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    bytes: u64,
    /// The latest time of its entries; `None` while it has none.
    newest: Option<Timestamp>,
}

/// The log of one data directory, locked against other processes.
#[derive(Debug)]
pub struct Log {
    settings: LogSettings,
    /// Holds the lock until the log is closed, or for as long as it lives.
    lock: Option<File>,
    /// In order; the last one is being written.
    segments: Vec<Segment>,
    file: File,
    dictionary: WriteDictionary,
    staged: Vec<u8>,
    staged_entries: u64,
    staged_newest: Option<Timestamp>,
    /// A failed write left the segment in a state that is not known; the next commit begins another.
    broken: bool,
    /// What was written since the last sync, and when the last sync was.
    unsynced: bool,
    synced_at: Option<Timestamp>,
    stats: LogStats,
}

/// How many snapshots are kept; the log reaches back to the oldest of them.
const SNAPSHOTS_KEPT: usize = 2;

/// So many samples of one series go into a frame before it is asked whether it is long enough. Histograms are long.
const SAMPLES_AT_ONCE: usize = 16;

/// The buffer of staged entries keeps this much between commits.
const STAGED_KEPT_BYTES: usize = 8 << 20;

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.wlog"))
}

/// The segments of a directory in order.
fn list_segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == "wlog");
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number.filter(|_| is_segment) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

impl Log {
    /// Opens the log of a directory, or makes it.
    ///
    /// # Errors
    /// If another process has it, a newer version wrote it, or the file system says no. Damage is no error.
    pub fn open(settings: LogSettings) -> Result<(Log, Opened), LogError> {
        let dir = settings.dir.clone();
        fs::create_dir_all(&dir).map_err(io_error("cannot make the directory", &dir))?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(io_error("cannot open the lock file", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LogError::Locked { dir }),
            Err(TryLockError::Error(source)) => return Err(io_error("cannot lock", &lock_path)(source)),
        }
        let mut opened = Opened::default();
        let mut segments = Vec::new();
        let files = list_segments(&dir).map_err(io_error("cannot list the directory", &dir))?;
        let snapshots = remove_unfinished(&dir).and_then(|()| list_snapshots(&dir));
        let snapshots = snapshots.map_err(io_error("cannot list the directory", &dir))?;
        // Later than everything that a snapshot covers, even if the segments are gone.
        let covered = snapshots.first().map_or(0, |snapshot| snapshot.position.segment);
        let next = files.last().map_or(0, |(number, _)| *number).max(covered) + 1;
        let count = files.len();
        for (index, (number, path)) in files.into_iter().enumerate() {
            if let Some(segment) = survey(number, path, index + 1 == count, &mut opened)? {
                segments.push(segment);
            }
        }
        opened.segments = segments.len();
        opened.bytes = segments.iter().map(|segment| segment.bytes).sum();
        let (segment, file) = begin_segment(&settings, next)?;
        segments.push(segment);
        let log = Log {
            settings,
            lock: Some(lock),
            segments,
            file,
            dictionary: WriteDictionary::default(),
            staged: Vec::new(),
            staged_entries: 0,
            staged_newest: None,
            broken: false,
            unsynced: false,
            synced_at: None,
            stats: LogStats::default(),
        };
        Ok((log, opened))
    }

    /// Forces what was written to the disk, and lets others open the directory. Nothing is written, dropped or removed after
    /// that, however long the value lives.
    ///
    /// # Errors
    /// If the file system says no; it is closed nevertheless.
    pub fn close(&mut self, now: Timestamp) -> Result<(), LogError> {
        let synced = self.sync(now);
        self.lock = None;
        synced
    }

    fn is_own(&self) -> Result<(), LogError> {
        self.lock.as_ref().map(|_| ()).ok_or(LogError::Closed)
    }

    /// Stages an entry that was accepted at `at`; [`Log::commit`] writes it. Very many samples or events come back as
    /// several entries.
    ///
    /// # Errors
    /// If a part of it that cannot be split is longer than a frame can be; nothing of it is staged then, while what was
    /// staged before it still is.
    pub fn stage(&mut self, at: Timestamp, entry: &Entry) -> Result<(), LogError> {
        let start = self.begin_frame()?;
        let entries = self.staged_entries;
        let staged = match entry {
            Entry::Samples(series) => self.stage_series(start, at, series),
            Entry::Events(events) => self.stage_events(start, at, events),
        };
        if staged.is_err() {
            self.staged.truncate(start);
            self.staged_entries = entries;
        }
        staged
    }

    fn stage_series(
        &mut self,
        mut start: usize,
        at: Timestamp,
        series: &[(Labels, Vec<Point>)],
    ) -> Result<(), LogError> {
        for (labels, samples) in series {
            for part in samples.chunks(SAMPLES_AT_ONCE) {
                if self.dictionary.is_full() {
                    start = self.go_on(start, at)?;
                }
                self.dictionary.add(labels, part);
            }
        }
        self.dictionary.finish(&mut self.staged);
        self.end_frame(start, at, FrameKind::Samples)
    }

    fn stage_events(&mut self, mut start: usize, at: Timestamp, events: &[Event]) -> Result<(), LogError> {
        let mut left = events;
        loop {
            left = &left[put_events(&mut self.staged, left)..];
            self.end_frame(start, at, FrameKind::Events)?;
            if left.is_empty() {
                return Ok(());
            }
            start = self.begin_frame()?;
        }
    }

    /// Stages samples of series that the caller numbers, as the series store does: faster than [`Log::stage`], because
    /// no label set is looked at but for a series that is new to the segment. `labels` is asked for that.
    ///
    /// # Errors
    /// As [`Log::stage`].
    pub fn stage_samples(
        &mut self,
        at: Timestamp,
        samples: impl IntoIterator<Item = (SeriesNumber, impl Into<Point>)>,
        mut labels: impl FnMut(SeriesNumber) -> Labels,
    ) -> Result<(), LogError> {
        let mut start = self.begin_frame()?;
        for (number, sample) in samples {
            if self.dictionary.is_full() {
                start = self.go_on(start, at)?;
            }
            self.dictionary.add_numbered(number, &sample.into(), || labels(number));
        }
        self.dictionary.finish(&mut self.staged);
        self.end_frame(start, at, FrameKind::Samples)
    }

    /// Begins a frame, in a new segment if the dictionary of this one is not to be trusted any more.
    fn begin_frame(&mut self) -> Result<usize, LogError> {
        if self.broken {
            self.commit()?;
        }
        Ok(segment::begin_frame(&mut self.staged))
    }

    /// Ends a frame of samples that is long enough and begins the next.
    fn go_on(&mut self, start: usize, at: Timestamp) -> Result<usize, LogError> {
        self.dictionary.finish(&mut self.staged);
        self.end_frame(start, at, FrameKind::Samples)?;
        self.begin_frame()
    }

    fn end_frame(&mut self, start: usize, at: Timestamp, kind: FrameKind) -> Result<(), LogError> {
        let Some(segment) = self.segments.last() else { return Ok(()) };
        let place = (segment.number, segment.bytes + start as u64);
        if let Err(bytes) = segment::end_frame(&mut self.staged, start, place, kind as u8, at.as_millis()) {
            self.staged.truncate(start);
            // The dictionary may hold what the refused frame would have defined.
            self.broken = true;
            return Err(LogError::TooLarge { bytes });
        }
        self.staged_entries += 1;
        self.staged_newest = self.staged_newest.max(Some(at));
        Ok(())
    }

    /// Stages one entry and writes it.
    ///
    /// # Errors
    /// As [`Log::stage`] and [`Log::commit`].
    pub fn append(&mut self, at: Timestamp, entry: &Entry) -> Result<Position, LogError> {
        self.stage(at, entry)?;
        self.commit()
    }

    /// Writes all staged entries at once and returns the position behind them.
    ///
    /// # Errors
    /// If the file system says no, such as on a full disk. None of the staged entries may be acknowledged then; the log
    /// stays usable.
    pub fn commit(&mut self) -> Result<Position, LogError> {
        self.is_own()?;
        let Some(segment) = self.segments.last_mut() else { return Ok(Position { segment: 0, offset: 0 }) };
        let end = Position { segment: segment.number, offset: segment.bytes + self.staged.len() as u64 };
        let written = self.file.write_all(&self.staged);
        let entries = std::mem::take(&mut self.staged_entries);
        let newest = self.staged_newest.take();
        let bytes = self.staged.len() as u64;
        self.staged.clear();
        // What one huge batch has grown is given back after it.
        self.staged.shrink_to(STAGED_KEPT_BYTES);
        if let Err(source) = written {
            // What was written in part would be cut as a torn tail; cutting it now keeps what follows in this run whole.
            let _ = self.file.set_len(segment.bytes);
            let path = segment.path.clone();
            self.broken = true;
            self.begin_next_segment()?;
            return Err(io_error("cannot write", &path)(source));
        }
        segment.bytes += bytes;
        segment.newest = segment.newest.max(newest);
        self.stats.entries += entries;
        self.unsynced |= bytes > 0;
        if self.settings.sync == SyncPolicy::Always && self.unsynced {
            self.sync_file()?;
        }
        // A new segment repeats the dictionary, so one that is mostly dictionary may grow to three times its size.
        let full = self.segments.last().is_some_and(|s| s.bytes >= self.segment_limit() + 2 * self.dictionary.bytes);
        if full || self.broken {
            self.begin_next_segment()?;
        }
        self.drop_for_size();
        Ok(end)
    }

    /// Forgets what is staged: it will not be written.
    pub fn discard(&mut self) {
        if !self.staged.is_empty() {
            self.staged.clear();
            self.staged_entries = 0;
            self.staged_newest = None;
            // The dictionary may hold what this would have defined.
            self.broken = true;
        }
    }

    /// A log that may hold little is cut into smaller segments, so that dropping one does not drop everything.
    fn segment_limit(&self) -> u64 {
        self.settings.segment_bytes.min(self.settings.bytes_max / 4)
    }

    fn begin_next_segment(&mut self) -> Result<(), LogError> {
        self.is_own()?;
        if self.settings.sync != SyncPolicy::Never && self.unsynced {
            self.sync_file()?;
        }
        let next = self.segments.last().map_or(1, |segment| segment.number + 1);
        let (segment, file) = begin_segment(&self.settings, next)?;
        self.segments.push(segment);
        self.file = file;
        self.dictionary = WriteDictionary::default();
        self.broken = false;
        Ok(())
    }

    fn drop_for_size(&mut self) {
        let mut total: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        while total > self.settings.bytes_max && self.segments.len() > 1 {
            let segment = self.segments.remove(0);
            // A file that cannot be removed now is tried again when the log is opened next.
            let _ = fs::remove_file(&segment.path);
            total -= segment.bytes;
            self.stats.dropped_for_size += 1;
        }
    }

    /// Whether it is time to call [`Log::sync`] at `now`.
    pub fn sync_is_due(&self, now: Timestamp) -> bool {
        match self.settings.sync {
            SyncPolicy::Interval(interval) => {
                self.unsynced && self.synced_at.is_none_or(|at| now.since(at) >= interval || now < at)
            }
            SyncPolicy::Never | SyncPolicy::Always => false,
        }
    }

    /// Forces what was written to the disk.
    ///
    /// # Errors
    /// If the file system says no.
    pub fn sync(&mut self, now: Timestamp) -> Result<(), LogError> {
        self.synced_at = Some(now);
        if self.unsynced { self.sync_file() } else { Ok(()) }
    }

    /// The file under way and the word that it is being forced to the disk, for a caller that waits for the disk on
    /// another thread: it calls [`File::sync_data`] on the answer.
    ///
    /// # Errors
    /// If the file system says no.
    pub fn sync_elsewhere(&mut self, now: Timestamp) -> Result<File, LogError> {
        let path = self.segments.last().map(|segment| segment.path.clone()).unwrap_or_default();
        let file = self.file.try_clone().map_err(io_error("cannot share", &path))?;
        self.synced_at = Some(now);
        self.unsynced = false;
        Ok(file)
    }

    fn sync_file(&mut self) -> Result<(), LogError> {
        let path = self.segments.last().map(|segment| segment.path.clone()).unwrap_or_default();
        self.file.sync_data().map_err(io_error("cannot force to the disk", &path))?;
        self.unsynced = false;
        Ok(())
    }

    /// Drops the segments whose entries are all older than `at`, and answers how many. The one under way stays.
    ///
    /// # Errors
    /// If the file system says no.
    pub fn drop_before(&mut self, at: Timestamp) -> Result<usize, LogError> {
        self.drop_while(|segment| segment.newest.is_none_or(|newest| newest < at))
    }

    /// Drops the segments that end at or before `position`, such as one that a snapshot covers, and answers how many.
    ///
    /// # Errors
    /// If the file system says no.
    pub fn drop_until(&mut self, position: Position) -> Result<usize, LogError> {
        self.drop_while(|segment| (Position { segment: segment.number, offset: segment.bytes }) <= position)
    }

    fn drop_while(&mut self, mut old: impl FnMut(&Segment) -> bool) -> Result<usize, LogError> {
        self.is_own()?;
        let mut dropped = 0;
        while self.segments.len() > 1 && old(&self.segments[0]) {
            let path = &self.segments[0].path;
            match fs::remove_file(path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("cannot remove", path)(error)),
            }
            self.segments.remove(0);
            dropped += 1;
        }
        Ok(dropped)
    }

    /// The position behind the last written entry.
    pub fn end(&self) -> Position {
        let segment = self.segments.last();
        segment.map_or(Position { segment: 0, offset: 0 }, |s| Position { segment: s.number, offset: s.bytes })
    }

    /// How many bytes were written after `position`, or in all.
    pub fn bytes_since(&self, position: Option<Position>) -> u64 {
        let Some(position) = position else { return self.segments.iter().map(|segment| segment.bytes).sum() };
        let later = self.segments.iter().filter(|segment| segment.number >= position.segment);
        let before = |segment: &Segment| if segment.number == position.segment { position.offset } else { 0 };
        later.map(|segment| segment.bytes.saturating_sub(before(segment))).sum()
    }

    /// Begins a snapshot of everything that was written until now. The caller fills it.
    ///
    /// # Errors
    /// If the file system says no.
    pub fn begin_snapshot(&self, at: Timestamp) -> Result<SnapshotWriter, LogError> {
        self.is_own()?;
        SnapshotWriter::begin(&self.settings.dir, self.end(), at, self.settings.sync != SyncPolicy::Never)
    }

    /// The snapshots, the newest first.
    ///
    /// # Errors
    /// If the directory cannot be listed.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, LogError> {
        list_snapshots(&self.settings.dir).map_err(io_error("cannot list the directory", &self.settings.dir))
    }

    /// Removes a snapshot that cannot be used, so that nothing that could replace it is dropped on its account.
    ///
    /// # Errors
    /// If the file system says no.
    pub fn remove_snapshot(&self, snapshot: &Snapshot) -> Result<(), LogError> {
        self.is_own()?;
        fs::remove_file(&snapshot.path).map_err(io_error("cannot remove", &snapshot.path))
    }

    /// Drops what the snapshots make superfluous: all of them but the two newest, and the segments that the older of
    /// the two covers. With the newest one damaged, the other one and the log still hold everything.
    ///
    /// # Errors
    /// If the file system says no.
    pub fn drop_covered(&mut self) -> Result<(), LogError> {
        self.is_own()?;
        let snapshots = self.snapshots()?;
        for old in snapshots.iter().skip(SNAPSHOTS_KEPT) {
            fs::remove_file(&old.path).map_err(io_error("cannot remove", &old.path))?;
        }
        if let Some(oldest) = snapshots.get(SNAPSHOTS_KEPT - 1) {
            self.drop_until(oldest.position)?;
        }
        Ok(())
    }

    /// Reads what was written, from the oldest to the newest. Entries staged but not committed are not part of it.
    pub fn replay(&self, from: ReplayFrom) -> Replay {
        let segments = self.segments.iter().map(|s| (s.number, s.path.clone(), s.newest));
        Replay::new(segments.collect(), from)
    }

    /// The figures.
    pub fn stats(&self) -> LogStats {
        LogStats {
            segments: self.segments.len(),
            bytes: self.segments.iter().map(|segment| segment.bytes).sum(),
            ..self.stats
        }
    }
}

/// Looks at a segment of an earlier run: cuts the tail of the last one, puts aside what is none.
fn survey(number: u64, path: PathBuf, last: bool, opened: &mut Opened) -> Result<Option<Segment>, LogError> {
    match segment::read_file_header(&path, FileKind::SEGMENT, number).map_err(io_error("cannot read", &path))? {
        FileHeader::Good => {}
        FileHeader::Version(version) if version > FileKind::SEGMENT.version => {
            return Err(LogError::NewerVersion { path, version });
        }
        FileHeader::Short if last => {
            // The process ended while it made the file; nothing was in it.
            let bytes = fs::metadata(&path).map_err(io_error("cannot read", &path))?.len();
            fs::remove_file(&path).map_err(io_error("cannot remove", &path))?;
            opened.cut_bytes += bytes;
            return Ok(None);
        }
        FileHeader::Short | FileHeader::Version(_) | FileHeader::Foreign => {
            let aside = path.with_extension("wlog.bad");
            fs::rename(&path, &aside).map_err(io_error("cannot put aside", &path))?;
            opened.put_aside.push(aside);
            return Ok(None);
        }
    }
    let mut reader = SegmentReader::open(&path, number).map_err(io_error("cannot read", &path))?;
    let mut newest = None;
    let end = loop {
        // Only the last segment can have a torn tail, so only its checksums are computed here.
        let step = if last { reader.step() } else { reader.skim() };
        match step.map_err(io_error("cannot read", &path))? {
            Step::Frame(frame) => newest = newest.max(Some(Timestamp::from_millis(frame.millis))),
            Step::Damage { .. } => {}
            Step::End { offset, rest } => break (offset, rest),
        }
    };
    let (offset, rest) = end;
    if last && rest > 0 {
        let file = OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.set_len(offset)).map_err(io_error("cannot cut the torn end", &path))?;
        opened.cut_bytes += rest;
    }
    if last && offset == FILE_HEADER_BYTES {
        fs::remove_file(&path).map_err(io_error("cannot remove", &path))?;
        return Ok(None);
    }
    let bytes = if last { offset } else { offset + rest };
    Ok(Some(Segment { number, path, bytes, newest }))
}

fn begin_segment(settings: &LogSettings, number: u64) -> Result<(Segment, File), LogError> {
    let path = segment_path(&settings.dir, number);
    let made = OpenOptions::new().create_new(true).append(true).open(&path);
    let mut file = made.map_err(io_error("cannot make a segment", &path))?;
    let mut written = file.write_all(&segment::file_header(FileKind::SEGMENT, number));
    if settings.sync != SyncPolicy::Never {
        // The name must be on the disk as well, or the file is lost with the machine.
        written = written.and_then(|()| file.sync_data()).and_then(|()| File::open(&settings.dir)?.sync_all());
    }
    if let Err(source) = written {
        // On a full disk this is tried again, and then the name must be free.
        let _ = fs::remove_file(&path);
        return Err(io_error("cannot make a segment", &path)(source));
    }
    Ok((Segment { number, path, bytes: FILE_HEADER_BYTES, newest: None }, file))
}

#[cfg(test)]
mod tests;
