//! Prometheus' remote-read: the samples of series as they were stored, staleness markers and native histograms too.

use watchfire_model::{MatchOp, Matcher, Timestamp};

use crate::remote_write::{Message, decode_plain, uncompress};
use crate::wire::{Reader, write_bytes, write_number};
use crate::{DecodeError, Decoded, KeySeed, Limits};

const RESPONSE_RESULTS: u32 = 1;

/// The body of a request for all samples from `start` to `end`, both included: a `prometheus.ReadRequest` with one
/// query, compressed.
pub fn encode_request(matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Vec<u8> {
    let mut query = Vec::new();
    write_number(&mut query, 1, start.as_millis().cast_unsigned());
    write_number(&mut query, 2, end.as_millis().cast_unsigned());
    for matcher in matchers {
        let mut message = Vec::new();
        let kind = match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        };
        write_number(&mut message, 1, kind);
        write_bytes(&mut message, 2, matcher.name().as_bytes());
        write_bytes(&mut message, 3, matcher.value().as_bytes());
        write_bytes(&mut query, 3, &message);
    }
    let mut request = Vec::new();
    write_bytes(&mut request, 1, &query);
    // Compression fails only for what is longer than four gigabytes.
    snap::raw::Encoder::new().compress_vec(&request).unwrap_or_default()
}

/// The series of an answer: a `prometheus.ReadResponse` with samples.
///
/// # Errors
/// If it is something else, or passes a limit.
pub fn decode_response(body: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    let plain = uncompress(body, limits)?;
    let mut decoded = Decoded::default();
    let mut reader = Reader::new(&plain);
    while let Some((field, value)) = reader.field()? {
        if field == RESPONSE_RESULTS {
            // The result of a query has the form of a write request: series, field 1.
            let report = decode_plain(Message::V1, value.bytes()?, limits, &KeySeed::new(0), &mut decoded)?;
            decoded.rejections.count += report.rejections.count;
            decoded.rejections.first.extend(report.rejections.first);
        }
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use watchfire_model::Anchoring;

    use super::*;

    #[test]
    fn a_request_says_which_series_and_when() {
        let matcher = Matcher::new("job", MatchOp::Regex, "a|b", Anchoring::Prometheus).unwrap();
        let body = encode_request(&[matcher], Timestamp::from_millis(300), Timestamp::from_millis(-1));
        let plain = uncompress(&body, &Limits::STANDARD).unwrap();
        let expected = [
            &[0x0a, 28, 0x08, 0xac, 0x02, 0x10][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x1a, 12, 0x08, 2, 0x12, 3, b'j', b'o', b'b', 0x1a, 3, b'a', b'|', b'b'],
        ];
        assert_eq!(plain, expected.concat());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for body in [&b"<html>"[..], b"", &[3, 8, 0x0a, 0x7f, 1]] {
            assert!(decode_response(body, &Limits::STANDARD).is_err(), "{body:?}");
        }
    }
}
