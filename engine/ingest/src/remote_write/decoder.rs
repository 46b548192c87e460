//! From a compressed body to a sink.

use super::{Message, Report, v1, v2};
use crate::{DecodeError, Decoded, KeySeed, Limits, Sink};

/// Decodes write requests one after another and keeps the buffer between them.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    seed: KeySeed,
    snappy: snap::raw::Decoder,
    plain: Vec<u8>,
}

/// A buffer that one huge request has grown is given back after it.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// No snappy element makes more of its bytes than a copy: 64 bytes out of three.
const EXPANSION_MAX: usize = 22;

impl Decoder {
    /// With these bounds; `seed` makes the keys of series.
    pub fn new(limits: Limits, seed: KeySeed) -> Decoder {
        Decoder { limits, seed, snappy: snap::raw::Decoder::new(), plain: Vec::new() }
    }

    /// Other bounds from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Decodes one body into `sink`.
    ///
    /// # Errors
    /// If the body as a whole is not valid or passes a limit; `sink` must forget what it took.
    pub fn decode(&mut self, message: Message, body: &[u8], sink: &mut impl Sink) -> Result<Report, DecodeError> {
        let length = plain_length(body, &self.limits)?;
        if self.plain.len() < length {
            self.plain.resize(length, 0);
        }
        let result = self.snappy.decompress(body, &mut self.plain[..length]).map_err(not_snappy);
        let result = result.and_then(|n| decode_plain(message, &self.plain[..n], &self.limits, &self.seed, sink));
        if self.plain.len() > KEPT_BYTES_MAX {
            self.plain = Vec::new();
        }
        result
    }
}

fn not_snappy(error: snap::Error) -> DecodeError {
    DecodeError::malformed(format!("not a valid snappy block: {error}"))
}

/// The length after decompression as the header says it, checked before anything is allocated.
fn plain_length(body: &[u8], limits: &Limits) -> Result<usize, DecodeError> {
    let length = snap::raw::decompress_len(body).map_err(not_snappy)?;
    if length > limits.body_bytes_max {
        let max = limits.body_bytes_max;
        return Err(DecodeError::too_large(format!("the body has {length} bytes decompressed, the limit is {max}")));
    }
    if length > body.len().saturating_mul(EXPANSION_MAX) {
        return Err(DecodeError::malformed(format!(
            "not a valid snappy block: {} bytes cannot hold the {length} that its header promises",
            body.len()
        )));
    }
    Ok(length)
}

/// Decompresses a snappy block within the limits.
///
/// # Errors
/// If it is not one, or too large.
pub fn uncompress(body: &[u8], limits: &Limits) -> Result<Vec<u8>, DecodeError> {
    let mut plain = vec![0; plain_length(body, limits)?];
    let length = snap::raw::Decoder::new().decompress(body, &mut plain).map_err(not_snappy)?;
    plain.truncate(length);
    Ok(plain)
}

/// Decodes a message that is not compressed.
///
/// # Errors
/// If the message as a whole is not valid or passes a limit; `sink` must forget what it took.
pub fn decode_plain(
    message: Message,
    bytes: &[u8],
    limits: &Limits,
    seed: &KeySeed,
    sink: &mut impl Sink,
) -> Result<Report, DecodeError> {
    match message {
        Message::V1 => v1::decode(bytes, limits, seed, sink),
        Message::V2 => v2::decode(bytes, limits, seed, sink),
    }
}

/// Decodes a compressed body into values of their own.
///
/// # Errors
/// As [`Decoder::decode`].
pub fn decode_series(message: Message, body: &[u8], limits: &Limits) -> Result<(Decoded, Report), DecodeError> {
    let mut decoded = Decoded::default();
    let plain = uncompress(body, limits)?;
    let report = decode_plain(message, &plain, limits, &KeySeed::new(0), &mut decoded)?;
    decoded.rejections = report.rejections.clone();
    Ok((decoded, report))
}
