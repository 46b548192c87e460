//! Files of frames: how a frame is laid out, and how frames are found again in a damaged file.
//!
//! A frame is a magic number, the payload's length, a checksum, a kind, a time, and the payload. The checksum covers the
//! segment's number and the frame's place as well, so that bytes that look like a frame count only where one was
//! written: a sender cannot smuggle a frame in by sending its bytes.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::search::find_frame;

/// The first bytes of a file: a name and the version of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileKind {
    magic: [u8; 6],
    pub(super) version: u16,
}

impl FileKind {
    /// A segment of the log.
    pub(super) const SEGMENT: FileKind = FileKind { magic: *b"WFLOG\n", version: 1 };
    /// A snapshot of the series store.
    pub(super) const SNAPSHOT: FileKind = FileKind { magic: *b"WFSNP\n", version: 1 };
}

/// Name, version, number of the segment.
pub(super) const FILE_HEADER_BYTES: u64 = 16;
const FRAME_MAGIC: [u8; 4] = [0xf5, b'W', b'f', 0x9e];
/// Magic, length, checksum, kind, time.
pub(super) const FRAME_HEADER_BYTES: usize = 21;
/// The longest payload. A batch is far shorter; a damaged length beyond is seen at once.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 26;

pub(super) fn file_header(kind: FileKind, number: u64) -> [u8; FILE_HEADER_BYTES as usize] {
    let mut header = [0; FILE_HEADER_BYTES as usize];
    header[..6].copy_from_slice(&kind.magic);
    header[6..8].copy_from_slice(&kind.version.to_le_bytes());
    header[8..].copy_from_slice(&number.to_le_bytes());
    header
}

/// What the start of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileHeader {
    /// It is the file that its name says.
    Good,
    /// It is too short to say anything, as after a crash while it was made.
    Short,
    /// It is of a version that is not known here.
    Version(u16),
    /// It is something else.
    Foreign,
}

pub(super) fn read_file_header(path: &Path, kind: FileKind, number: u64) -> io::Result<FileHeader> {
    let mut header = [0; FILE_HEADER_BYTES as usize];
    match File::open(path)?.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(FileHeader::Short),
        Err(error) => return Err(error),
    }
    if header[..6] != kind.magic {
        return Ok(FileHeader::Foreign);
    }
    let version = u16::from_le_bytes([header[6], header[7]]);
    if version != kind.version {
        return Ok(FileHeader::Version(version));
    }
    Ok(if header == file_header(kind, number) { FileHeader::Good } else { FileHeader::Foreign })
}

/// Starts a frame in `out`; [`end_frame`] fills in what is not known yet.
pub(super) fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    start
}

/// Ends the frame that starts at `start` of `out` and will stand at `offset` of the segment; the payload's length if it
/// is too long.
pub(super) fn end_frame(
    out: &mut [u8],
    start: usize,
    (segment, offset): (u64, u64),
    kind: u8,
    millis: i64,
) -> Result<(), usize> {
    let frame = &mut out[start..];
    let length = frame.len() - FRAME_HEADER_BYTES;
    let Some(narrow) = u32::try_from(length).ok().filter(|_| length <= PAYLOAD_BYTES_MAX) else {
        return Err(length);
    };
    frame[..4].copy_from_slice(&FRAME_MAGIC);
    frame[4..8].copy_from_slice(&narrow.to_le_bytes());
    frame[12] = kind;
    frame[13..21].copy_from_slice(&millis.to_le_bytes());
    let sum = checksum(segment, offset, &frame[4..8], &frame[12..]);
    frame[8..12].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// The length of the payload behind what looks like a header; nothing if it does not look like one.
pub(super) fn payload_length(header: &[u8]) -> Option<usize> {
    let length = header[4..8].try_into().map(u32::from_le_bytes).unwrap_or(u32::MAX) as usize;
    (header[..4] == FRAME_MAGIC && length <= PAYLOAD_BYTES_MAX).then_some(length)
}

pub(super) fn checksum(segment: u64, offset: u64, length: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(length);
    hasher.update(rest);
    hasher.finalize()
}

/// A frame that was found; its payload is in the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) millis: i64,
    /// Where it begins.
    pub(super) offset: u64,
}

/// One step through a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Frame(Frame),
    /// These bytes are no frame, and a frame comes after them.
    Damage {
        offset: u64,
        bytes: u64,
    },
    /// No frame comes any more; so many bytes are left, zero if the file ends as it should.
    End {
        offset: u64,
        rest: u64,
    },
}

/// Steps through the frames of a segment.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: BufReader<File>,
    number: u64,
    /// Where the next frame is expected.
    offset: u64,
    length: u64,
    header: [u8; FRAME_HEADER_BYTES],
    pub(super) payload: Vec<u8>,
}

impl SegmentReader {
    /// Reads a segment whose file header is good.
    pub(super) fn open(path: &Path, number: u64) -> io::Result<SegmentReader> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 18, file);
        file.seek(SeekFrom::Start(FILE_HEADER_BYTES))?;
        let header = [0; FRAME_HEADER_BYTES];
        Ok(SegmentReader { file, number, offset: FILE_HEADER_BYTES, length, header, payload: Vec::new() })
    }

    /// The next step.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        if self.offset >= self.length {
            return Ok(Step::End { offset: self.offset, rest: 0 });
        }
        if self.frame_here(self.offset)? {
            return Ok(Step::Frame(self.accept()));
        }
        let damaged = self.offset;
        match find_frame(&mut self.file, self.length, self.number, damaged + 1)? {
            Some(found) => {
                self.offset = found;
                self.seek(found)?;
                Ok(Step::Damage { offset: damaged, bytes: found - damaged })
            }
            None => Ok(Step::End { offset: damaged, rest: self.length - damaged }),
        }
    }

    /// Like [`step`](SegmentReader::step), but believes a plausible header and skips the payload unread.
    pub(super) fn skim(&mut self) -> io::Result<Step> {
        let left = self.length.saturating_sub(self.offset);
        if left < FRAME_HEADER_BYTES as u64 {
            return self.step();
        }
        self.file.read_exact(&mut self.header)?;
        match payload_length(&self.header) {
            Some(length) if (FRAME_HEADER_BYTES + length) as u64 <= left => {
                self.file.seek_relative(length as i64)?;
                self.payload.clear();
                let frame = self.frame();
                self.offset += (FRAME_HEADER_BYTES + length) as u64;
                Ok(Step::Frame(frame))
            }
            _ => {
                self.seek(self.offset)?;
                self.step()
            }
        }
    }

    fn frame(&self) -> Frame {
        let millis = self.header[13..].try_into().map(i64::from_le_bytes).unwrap_or_default();
        Frame { kind: self.header[12], millis, offset: self.offset }
    }

    fn accept(&mut self) -> Frame {
        let frame = self.frame();
        self.offset += (FRAME_HEADER_BYTES + self.payload.len()) as u64;
        frame
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset)).map(drop)
    }

    /// Reads the frame at `offset`, where the file stands; false if there is none.
    fn frame_here(&mut self, offset: u64) -> io::Result<bool> {
        let left = self.length.saturating_sub(offset);
        if left < FRAME_HEADER_BYTES as u64 {
            return Ok(false);
        }
        self.file.read_exact(&mut self.header)?;
        let Some(length) = payload_length(&self.header) else { return Ok(false) };
        if (FRAME_HEADER_BYTES + length) as u64 > left {
            return Ok(false);
        }
        self.payload.clear();
        if (&mut self.file).take(length as u64).read_to_end(&mut self.payload)? != length {
            return Ok(false);
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.number.to_le_bytes());
        hasher.update(&offset.to_le_bytes());
        hasher.update(&self.header[4..8]);
        hasher.update(&self.header[12..]);
        hasher.update(&self.payload);
        Ok(hasher.finalize().to_le_bytes() == self.header[8..12])
    }
}
