//! Finding the next frame behind bytes that are none.
//!
//! Any sender can fill what it sends with what looks like the beginning of a long frame. Were each of these read to its
//! end, a torn frame of a few megabytes would keep a start busy for hours. So the checksums of many are computed in one
//! pass over the bytes that they share: the checksum of a range follows from those of everything before its two ends.

use std::io::{self, Read, Seek, SeekFrom};

use super::segment::{FRAME_HEADER_BYTES, checksum, payload_length};

/// What looks like frames is checked so many at a time; at first one, because it mostly is one.
const CANDIDATES_MAX: usize = 1 << 16;

/// By how much more are checked each time that none of them was a frame.
const GROWTH: usize = 4;

/// Bytes that are read at once.
const WINDOW_BYTES: u64 = 1 << 16;

/// Where the checksummed part of a header goes on behind the checksum itself.
const CHECKED_FROM: u64 = 12;

/// What looks like the beginning of a frame.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    offset: u64,
    end: u64,
    /// What its header says.
    sum: u32,
    /// Of what the checksum covers before the bytes from [`CHECKED_FROM`] on.
    before: u32,
}

/// The first place at or after `from` where a whole frame stands, in a segment of this length and number.
pub(super) fn find_frame(
    file: &mut (impl Read + Seek),
    length: u64,
    segment: u64,
    mut from: u64,
) -> io::Result<Option<u64>> {
    let mut max = 1;
    loop {
        let mut candidates = Vec::new();
        from = collect(file, length, segment, from, max, &mut candidates)?;
        if let Some(found) = first_whole(file, &candidates)? {
            return Ok(Some(found));
        }
        if candidates.len() < max {
            return Ok(None);
        }
        max = (max * GROWTH).min(CANDIDATES_MAX);
    }
}

/// Collects so many candidates at or after `from`, fewer if the file ends, and answers where to go on.
fn collect(
    file: &mut (impl Read + Seek),
    length: u64,
    segment: u64,
    mut from: u64,
    max: usize,
    candidates: &mut Vec<Candidate>,
) -> io::Result<u64> {
    let mut window = Vec::new();
    while from + FRAME_HEADER_BYTES as u64 <= length {
        file.seek(SeekFrom::Start(from))?;
        window.clear();
        file.by_ref().take(WINDOW_BYTES).read_to_end(&mut window)?;
        for (at, header) in window.windows(FRAME_HEADER_BYTES).enumerate() {
            let Some(payload) = payload_length(header) else { continue };
            let offset = from + at as u64;
            let end = offset + (FRAME_HEADER_BYTES + payload) as u64;
            if end <= length {
                let sum = header[8..12].try_into().map(u32::from_le_bytes).unwrap_or_default();
                let before = checksum(segment, offset, &header[4..8], &[]);
                candidates.push(Candidate { offset, end, sum, before });
            }
            if candidates.len() == max {
                return Ok(offset + 1);
            }
        }
        if window.len() < FRAME_HEADER_BYTES {
            break;
        }
        // A header may lie across the edge of two windows.
        from += (window.len() - FRAME_HEADER_BYTES + 1) as u64;
    }
    Ok(from)
}

/// The first of the candidates that is a frame.
fn first_whole(file: &mut (impl Read + Seek), candidates: &[Candidate]) -> io::Result<Option<u64>> {
    let Some(first) = candidates.first() else { return Ok(None) };
    let start = first.offset + CHECKED_FROM;
    // The checksum of everything from `start` up to each place that matters, in one pass.
    let mut places: Vec<u64> = candidates.iter().flat_map(|one| [one.offset + CHECKED_FROM, one.end]).collect();
    places.sort_unstable();
    places.dedup();
    let mut sums = Vec::with_capacity(places.len());
    let (mut hasher, mut at) = (crc32fast::Hasher::new(), start);
    let mut window = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    for place in &places {
        while at < *place {
            window.clear();
            let read = file.by_ref().take((place - at).min(WINDOW_BYTES)).read_to_end(&mut window)?;
            if read == 0 {
                // It became shorter since it was measured.
                return Ok(None);
            }
            hasher.update(&window);
            at += read as u64;
        }
        sums.push(hasher.clone().finalize());
    }
    let sum_until = |place: u64| places.binary_search(&place).ok().and_then(|index| sums.get(index).copied());
    let powers = powers();
    let is_whole = |one: &&Candidate| {
        let from = one.offset + CHECKED_FROM;
        let (Some(head), Some(all)) = (sum_until(from), sum_until(one.end)) else { return false };
        // Both shift by the same length: what is not part of the range goes, what the checksum has before it comes.
        all ^ shift(&powers, head ^ one.before, one.end - from) == one.sum
    };
    Ok(candidates.iter().find(is_whole).map(|one| one.offset))
}

/// The polynomial of CRC-32, its bits reversed as they are in the checksums.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The product of two polynomials over the field of two elements, modulo [`POLYNOMIAL`].
fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    for bit in (0..32).rev() {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = (b >> 1) ^ if b & 1 == 1 { POLYNOMIAL } else { 0 };
    }
    product
}

/// What 1, 2, 4, 8, ... bytes more multiply a checksum by.
fn powers() -> [u32; 32] {
    // One byte is the eighth power of the variable.
    let mut powers = [1 << 23; 32];
    for index in 1..powers.len() {
        powers[index] = multiply(powers[index - 1], powers[index - 1]);
    }
    powers
}

/// What a checksum contributes to that of so many bytes more.
fn shift(powers: &[u32; 32], sum: u32, bytes: u64) -> u32 {
    let bits = powers.iter().enumerate().filter(|(bit, _)| bytes >> bit & 1 == 1);
    bits.fold(sum, |sum, (_, power)| multiply(sum, *power))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::segment::{begin_frame, end_frame};
    use super::*;

    const SEGMENT: u64 = 7;

    /// Counts what is read.
    struct Counted(Cursor<Vec<u8>>, u64);

    impl Read for Counted {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(out)?;
            self.1 += read as u64;
            Ok(read)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    fn put_frame(file: &mut Vec<u8>, payload: &[u8]) -> u64 {
        let start = begin_frame(file);
        file.extend_from_slice(payload);
        end_frame(file, start, (SEGMENT, start as u64), 1, 1_000).unwrap();
        start as u64
    }

    fn find(file: &[u8], from: u64) -> (Option<u64>, u64) {
        let mut counted = Counted(Cursor::new(file.to_vec()), 0);
        let found = find_frame(&mut counted, file.len() as u64, SEGMENT, from).unwrap();
        (found, counted.1)
    }

    #[test]
    fn the_first_frame_is_found_wherever_windows_end_and_whatever_looks_like_one() {
        let mut frame = Vec::new();
        put_frame(&mut frame, b"a payload");
        for before in (0..40).chain(WINDOW_BYTES as usize - 30..WINDOW_BYTES as usize + 5) {
            let mut file = vec![0x5a; before];
            // A frame that stands elsewhere than it says, and the beginning of one that does not end.
            file.extend_from_slice(&frame);
            file.extend_from_slice(&frame[..10]);
            let first = put_frame(&mut file, &vec![7; 3_000]);
            let second = put_frame(&mut file, b"another");
            assert_eq!(find(&file, 1).0, Some(first), "{before}");
            assert_eq!(find(&file, first + 1).0, Some(second), "{before}");
            assert_eq!(find(&file, second + 1).0, None, "{before}");
            let torn = file.len() - 1;
            assert_eq!(find(&file[..torn], first + 1).0, None, "{before}");
        }
    }

    #[test]
    fn samples_that_look_like_frames_cost_no_more_than_a_few_looks_at_each_byte() {
        // A number of eight bytes that is the magic and the length of a frame of a megabyte, between two bytes each.
        let mut hostile = Vec::new();
        let mut header = Vec::new();
        put_frame(&mut header, &vec![0; 1 << 20]);
        while hostile.len() < 3 << 20 {
            hostile.extend_from_slice(&[0, 2]);
            hostile.extend_from_slice(&header[..8]);
        }
        assert_eq!(find(&hostile, 0).0, None);
        let torn = hostile.len() as u64;
        let found = put_frame(&mut hostile, b"what was written next");
        let (first, read) = find(&hostile, 0);
        assert_eq!(first, Some(found));
        assert!(read < 30 * torn, "{read} bytes were read of {torn}");
    }
}
