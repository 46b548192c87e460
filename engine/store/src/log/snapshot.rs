//! Snapshots of the series store: what the log held up to a position, so that its older segments can go.
//!
//! A snapshot is one file of frames as the log's segments are, each with its checksum: a head that says at which
//! position of the log it begins, blocks of series, and an end with their number. A file without its end is no
//! snapshot. Every block brings its own texts, so that neither writing nor reading needs more memory than one block.
//!
//! It is written series by series while samples go on arriving, so a series may hold more than it did at the position;
//! reading the log again from the position on adds what is missing and finds the rest there already.

mod read;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use watchfire_model::Timestamp;
use watchfire_tsdb::SeriesView;

pub use self::read::read_snapshot;
use super::codec::{put_f64, put_length, put_signed, put_text, put_varint};
use super::points::{as_whole, put_point};
use super::segment::{self, FileKind};
use super::{LogError, Position, io_error};

/// A block is written when it is this long: short enough that whoever appends does not notice that it is encoded.
const BLOCK_BYTES: usize = 256 << 10;

/// Forced to the disk after so many bytes, so that the end does not wait for all of it at once.
const SYNC_BYTES: u64 = 16 << 20;

const HEAD: u8 = 16;
const SERIES: u8 = 17;
const END: u8 = 18;

/// The times follow from the first two.
const REGULAR: u8 = 1;
/// All numbers are equal.
const CONSTANT: u8 = 2;
/// All numbers are whole.
const WHOLE: u8 = 4;

/// A snapshot that lies in the log's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Everything before this position of the log is in it.
    pub position: Position,
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Why a snapshot cannot be used. An older one and the log can.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// Bytes are missing or are not what was written.
    #[error("{}: the snapshot is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// It was written by a version that does not exist yet here, or cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What a snapshot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotSize {
    /// Series.
    pub series: u64,
    /// Their samples.
    pub samples: u64,
}

fn snapshot_path(dir: &Path, position: Position) -> PathBuf {
    dir.join(format!("{:020}.{:020}.wsnap", position.segment, position.offset))
}

/// The snapshot of a directory from which its log goes on without a gap, for a reader that does not own them.
///
/// # Errors
/// If the directory cannot be listed.
pub fn oldest_snapshot(dir: &Path) -> Result<Option<Snapshot>, LogError> {
    Ok(list_snapshots(dir).map_err(io_error("cannot list the directory", dir))?.pop())
}

/// Removes files that were being written when the process ended.
pub(super) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        if path.extension().is_some_and(|extension| extension == "part") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The snapshots of a directory, the newest first.
pub(super) fn list_snapshots(dir: &Path) -> io::Result<Vec<Snapshot>> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir)? {
        let item = item?;
        let path = item.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let numbers = name.strip_suffix(".wsnap").and_then(|name| name.split_once('.'));
        let position = numbers.and_then(|(segment, offset)| {
            Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
        });
        if let Some(position) = position {
            found.push(Snapshot { position, bytes: item.metadata()?.len(), path });
        }
    }
    found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.position));
    Ok(found)
}

/// Writes a snapshot. Series are added without any I/O, so that this can happen while the store is locked; blocks are
/// written in between.
#[derive(Debug)]
pub struct SnapshotWriter {
    file: File,
    path: PathBuf,
    part: PathBuf,
    dir: PathBuf,
    sync: bool,
    position: Position,
    written: u64,
    synced: u64,
    block: Block,
    frame: Vec<u8>,
    size: SnapshotSize,
}

/// The block that is being filled.
#[derive(Debug, Default)]
struct Block {
    numbers: HashMap<Box<str>, u32>,
    texts: Vec<u8>,
    count: u32,
    series: Vec<u8>,
    last_millis: i64,
    floats: Vec<(i64, f64)>,
}

impl SnapshotWriter {
    pub(super) fn begin(dir: &Path, position: Position, at: Timestamp, sync: bool) -> Result<SnapshotWriter, LogError> {
        let path = snapshot_path(dir, position);
        let part = path.with_extension("wsnap.part");
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(&part);
        let file = file.map_err(io_error("cannot make a snapshot", &part))?;
        let mut writer = SnapshotWriter {
            file,
            path,
            part,
            dir: dir.to_owned(),
            sync,
            position,
            written: 0,
            synced: 0,
            block: Block::default(),
            frame: Vec::new(),
            size: SnapshotSize::default(),
        };
        writer.write(&segment::file_header(FileKind::SNAPSHOT, position.segment))?;
        let mut head = Vec::new();
        put_varint(&mut head, position.segment);
        put_varint(&mut head, position.offset);
        put_signed(&mut head, at.as_millis());
        writer.frame(HEAD, |out| out.extend_from_slice(&head))?;
        Ok(writer)
    }

    /// Adds a series to the block.
    pub fn add(&mut self, series: SeriesView<'_>) {
        self.size.series += 1;
        self.size.samples += self.block.add(series);
    }

    /// Whether the block is long enough to be written.
    pub fn is_full(&self) -> bool {
        self.block.series.len() + self.block.texts.len() >= BLOCK_BYTES
    }

    /// Writes the block.
    ///
    /// # Errors
    /// If the file system says no; the snapshot cannot be finished then.
    pub fn write_block(&mut self) -> Result<(), LogError> {
        if self.block.count == 0 {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        self.frame(SERIES, |out| block.finish(out))?;
        self.block = block;
        if self.sync && self.written - self.synced >= SYNC_BYTES {
            self.file.sync_data().map_err(io_error("cannot force to the disk", &self.part))?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Writes the end and gives the file its name; from now on it is a snapshot.
    ///
    /// # Errors
    /// If the file system says no; there is no snapshot then.
    pub fn finish(mut self) -> Result<(Snapshot, SnapshotSize), LogError> {
        self.write_block()?;
        let size = self.size;
        self.frame(END, |out| {
            put_varint(out, size.series);
            put_varint(out, size.samples);
        })?;
        let mut done = Ok(());
        if self.sync {
            done = self.file.sync_data();
        }
        done = done.and_then(|()| fs::rename(&self.part, &self.path));
        if self.sync {
            // The name must be on the disk before what it replaces goes.
            done = done.and_then(|()| File::open(&self.dir)?.sync_all());
        }
        done.map_err(io_error("cannot finish a snapshot", &self.part))?;
        Ok((Snapshot { position: self.position, path: self.path.clone(), bytes: self.written }, size))
    }

    fn frame(&mut self, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) -> Result<(), LogError> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        let start = segment::begin_frame(&mut frame);
        payload(&mut frame);
        segment::end_frame(&mut frame, start, (self.position.segment, self.written), kind, 0)
            .map_err(|bytes| LogError::TooLarge { bytes })?;
        let result = self.write(&frame);
        self.frame = frame;
        result
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        self.file.write_all(bytes).map_err(io_error("cannot write a snapshot", &self.part))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        // What was not finished is of no use; after `finish` there is nothing under this name.
        let _ = fs::remove_file(&self.part);
    }
}

impl Block {
    fn text(&mut self, text: &str) -> u32 {
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        // A block is far smaller than four billion texts.
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.into(), number);
        put_text(&mut self.texts, text);
        number
    }

    /// Adds a series and answers how many samples it has.
    fn add(&mut self, series: SeriesView<'_>) -> u64 {
        let labels = series.labels();
        put_length(&mut self.series, labels.len());
        for label in labels.iter() {
            for part in [label.name, label.value] {
                let number = self.text(part);
                put_varint(&mut self.series, u64::from(number));
            }
        }
        self.count += 1;
        let window = series.samples();
        let count = window.len() as u64;
        let is_rich = !window.is_plain();
        put_varint(&mut self.series, (count << 1) | u64::from(is_rich));
        if is_rich {
            for point in window.iter() {
                self.put_time(point.timestamp.as_millis());
                put_point(&mut self.series, &point);
            }
        } else {
            self.floats.clear();
            window.floats_into(&mut self.floats);
            self.put_plain();
        }
        count
    }

    fn put_time(&mut self, millis: i64) {
        put_signed(&mut self.series, millis.wrapping_sub(self.last_millis));
        self.last_millis = millis;
    }

    fn put_plain(&mut self) {
        let floats = std::mem::take(&mut self.floats);
        if let Some((first, number)) = floats.first().copied() {
            let steps = || floats.windows(2).map(|pair| pair[1].0.wrapping_sub(pair[0].0));
            let step = steps().next().unwrap_or(0);
            let regular = steps().all(|other| other == step);
            let constant = floats.iter().all(|(_, other)| other.to_bits() == number.to_bits());
            let whole = floats.iter().all(|(_, number)| as_whole(*number).is_some());
            let flag = |is: bool, flag: u8| if is { flag } else { 0 };
            self.series.push(flag(regular, REGULAR) | flag(constant, CONSTANT) | flag(whole, WHOLE));
            self.put_time(first);
            let out = &mut self.series;
            put_signed(out, step);
            if !regular {
                for other in steps().skip(1) {
                    put_signed(out, other.wrapping_sub(step));
                }
            }
            let kept = if constant { 1 } else { floats.len() };
            let mut last = 0;
            for (_, number) in &floats[..kept] {
                match as_whole(*number).filter(|_| whole) {
                    Some(whole) => {
                        put_signed(out, whole - last);
                        last = whole;
                    }
                    None => put_f64(out, *number),
                }
            }
        }
        self.floats = floats;
    }

    /// Writes the payload and forgets it, but keeps the buffers.
    fn finish(&mut self, out: &mut Vec<u8>) {
        put_length(out, self.numbers.len());
        out.extend_from_slice(&self.texts);
        put_varint(out, u64::from(self.count));
        out.extend_from_slice(&self.series);
        self.numbers.clear();
        self.texts.clear();
        self.series.clear();
        (self.count, self.last_millis) = (0, 0);
    }
}

#[cfg(test)]
mod tests;
