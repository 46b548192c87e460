//! Reading a snapshot, by all cores: blocks know nothing of each other.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use watchfire_model::{Labels, Sample, Timestamp};
use watchfire_tsdb::{Point, SamplesRef};

use super::super::codec::{Reader, Unreadable};
use super::super::points::read_point;
use super::super::segment::{self, FILE_HEADER_BYTES, FileHeader, FileKind, SegmentReader, Step};
use super::super::{LogError, Position, io_error};
use super::{CONSTANT, END, HEAD, REGULAR, SERIES, Snapshot, SnapshotError, SnapshotSize, WHOLE};

/// Far more samples than a series has in memory. Equal ones take no bytes, so that their number must be bounded.
const SAMPLES_MAX: usize = 1 << 24;

/// Blocks for each thread that wait to be decoded or taken, which bounds what reading takes in memory.
const BLOCKS_AHEAD: usize = 4;

/// Reads a snapshot: `make` makes something of each series, on several threads at once, and `take` gets all of it in the
/// order in which the series were added.
///
/// # Errors
/// If it is damaged, such as one without its end; what was taken until then must be forgotten.
pub fn read_snapshot<T: Send>(
    snapshot: &Snapshot,
    make: impl Fn(Labels, SamplesRef<'_>) -> T + Sync,
    take: impl FnMut(T),
) -> Result<SnapshotSize, SnapshotError> {
    let path = &snapshot.path;
    let number = snapshot.position.segment;
    match segment::read_file_header(path, FileKind::SNAPSHOT, number).map_err(io_error("cannot read", path))? {
        FileHeader::Good => {}
        FileHeader::Version(version) if version > FileKind::SNAPSHOT.version => {
            return Err(LogError::NewerVersion { path: path.clone(), version }.into());
        }
        FileHeader::Short | FileHeader::Version(_) | FileHeader::Foreign => {
            return Err(damaged(snapshot)(Unreadable("it does not begin like one")));
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (jobs, waiting) = channel();
    let waiting = Mutex::new(waiting);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| decode(&waiting, &make));
        }
        read_blocks(snapshot, jobs, threads * BLOCKS_AHEAD, take)
    })
}

fn damaged(snapshot: &Snapshot) -> impl Fn(Unreadable) -> SnapshotError {
    let path = snapshot.path.clone();
    move |Unreadable(reason)| SnapshotError::Damaged { path: path.clone(), reason }
}

/// A block's bytes, and where to send what was made of them.
type Job<T> = (Vec<u8>, Sender<Result<Made<T>, Unreadable>>);

/// Decodes blocks until there are no more.
fn decode<T>(waiting: &Mutex<Receiver<Job<T>>>, make: &impl Fn(Labels, SamplesRef<'_>) -> T) {
    let mut scratch = Scratch::default();
    loop {
        // Only the wait for a block is under the lock.
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((payload, made)) = job else { return };
        // Nobody listens any more if an earlier block was damaged.
        drop(made.send(scratch.read(&payload, make)));
    }
}

/// Reads the blocks, hands them out, and takes what comes back, in order.
fn read_blocks<T>(
    snapshot: &Snapshot,
    jobs: Sender<Job<T>>,
    ahead: usize,
    mut take: impl FnMut(T),
) -> Result<SnapshotSize, SnapshotError> {
    let path = &snapshot.path;
    let damaged = damaged(snapshot);
    let mut reader = SegmentReader::open(path, snapshot.position.segment).map_err(io_error("cannot read", path))?;
    let mut size = SnapshotSize::default();
    let mut blocks: VecDeque<Receiver<Result<Made<T>, Unreadable>>> = VecDeque::new();
    let mut take_block = |block: Receiver<Result<Made<T>, Unreadable>>, size: &mut SnapshotSize| {
        let made = block.recv().map_err(|_| Unreadable("a block could not be decoded"))??;
        size.series += made.series.len() as u64;
        size.samples += made.samples;
        made.series.into_iter().for_each(&mut take);
        Ok(())
    };
    loop {
        let frame = match reader.step().map_err(io_error("cannot read", path))? {
            Step::Frame(frame) => frame,
            Step::Damage { .. } => return Err(damaged(Unreadable("a block is not what was written"))),
            Step::End { .. } => return Err(damaged(Unreadable("its end is missing"))),
        };
        let is_first = frame.offset == FILE_HEADER_BYTES;
        match frame.kind {
            HEAD if is_first => check_head(&reader.payload, snapshot.position).map_err(&damaged)?,
            SERIES if !is_first => {
                let (made, block) = channel();
                // The threads wait as long as there is a sender.
                drop(jobs.send((std::mem::take(&mut reader.payload), made)));
                blocks.push_back(block);
                if blocks.len() >= ahead
                    && let Some(block) = blocks.pop_front()
                {
                    take_block(block, &mut size).map_err(&damaged)?;
                }
            }
            END if !is_first => {
                blocks.into_iter().try_for_each(|block| take_block(block, &mut size)).map_err(&damaged)?;
                check_end(&reader.payload, size).map_err(&damaged)?;
                return Ok(size);
            }
            _ => return Err(damaged(Unreadable("a block is of a kind that is not known"))),
        }
    }
}

fn check_head(payload: &[u8], position: Position) -> Result<(), Unreadable> {
    let mut reader = Reader::new(payload);
    let found = Position { segment: reader.varint()?, offset: reader.varint()? };
    if found == position { Ok(()) } else { Err(Unreadable("it begins at another position than its name says")) }
}

fn check_end(payload: &[u8], size: SnapshotSize) -> Result<(), Unreadable> {
    let mut reader = Reader::new(payload);
    let said = SnapshotSize { series: reader.varint()?, samples: reader.varint()? };
    if said == size { Ok(()) } else { Err(Unreadable("it holds another number of series than it says")) }
}

/// What was made of a block's series, and how many samples they have.
pub(super) struct Made<T> {
    series: Vec<T>,
    samples: u64,
}

/// Buffers of the block that is being read.
#[derive(Default)]
pub(super) struct Scratch {
    plain: Vec<Sample>,
    rich: Vec<Point>,
}

impl Scratch {
    pub(super) fn read<T>(
        &mut self,
        payload: &[u8],
        make: &impl Fn(Labels, SamplesRef<'_>) -> T,
    ) -> Result<Made<T>, Unreadable> {
        let mut made = Made { series: Vec::new(), samples: 0 };
        let mut reader = Reader::new(payload);
        let texts = (0..reader.count()?).map(|_| reader.text()).collect::<Result<Vec<_>, _>>()?;
        let text = |number: u64| {
            let text = usize::try_from(number).ok().and_then(|number| texts.get(number)).copied();
            text.ok_or(Unreadable("a label refers to a text that is not there"))
        };
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        let mut millis = 0;
        for _ in 0..reader.count()? {
            pairs.clear();
            for _ in 0..reader.count()? {
                pairs.push((text(reader.varint()?)?, text(reader.varint()?)?));
            }
            let labels = Labels::from_ordered(&pairs);
            let head = reader.varint()?;
            let count = usize::try_from(head >> 1).ok().filter(|count| *count <= SAMPLES_MAX);
            let count = count.ok_or(Unreadable("a series is too long"))?;
            if head & 1 == 1 {
                self.rich.clear();
                for _ in 0..count {
                    millis = reader.signed()?.wrapping_add(millis);
                    self.rich.push(read_point(&mut reader, Timestamp::from_millis(millis))?);
                }
                made.series.push(make(labels, SamplesRef::Rich(&self.rich)));
            } else {
                if count > 0 {
                    self.read_plain(&mut reader, count, &mut millis)?;
                } else {
                    self.plain.clear();
                }
                made.series.push(make(labels, SamplesRef::Plain(&self.plain)));
            }
            made.samples += count as u64;
        }
        if reader.is_empty() { Ok(made) } else { Err(Unreadable("it is longer than it says")) }
    }

    fn read_plain(&mut self, reader: &mut Reader<'_>, count: usize, last: &mut i64) -> Result<(), Unreadable> {
        self.plain.clear();
        let flags = reader.byte()?;
        let mut millis = reader.signed()?.wrapping_add(*last);
        *last = millis;
        let step = reader.signed()?;
        for position in 0..count {
            if position > 0 {
                let more = if flags & REGULAR == 0 && position > 1 { reader.signed()? } else { 0 };
                millis = millis.wrapping_add(step).wrapping_add(more);
            }
            self.plain.push(Sample { timestamp: Timestamp::from_millis(millis), value: 0.0 });
        }
        let kept = if flags & CONSTANT == 0 { count } else { 1 };
        let mut whole = 0_i64;
        for sample in &mut self.plain[..kept] {
            sample.value = if flags & WHOLE == 0 {
                reader.f64()?
            } else {
                whole = whole.wrapping_add(reader.signed()?);
                whole as f64
            };
        }
        if let [first, rest @ ..] = &mut self.plain[..]
            && kept == 1
        {
            rest.iter_mut().for_each(|sample| sample.value = first.value);
        }
        Ok(())
    }
}
