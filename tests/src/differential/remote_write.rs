//! Remote-write 1.0 requests with numbers and native histograms, written by hand:
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/>.

use std::ops::Range;

use watchfire_tsdb::{BucketCount, CounterResetHint, Histogram, SampleValue};

use super::series::Data;

/// A `prometheus.WriteRequest` with the samples of a span of time.
pub(crate) fn request(data: &Data, span: Range<i64>) -> Vec<u8> {
    let mut message = Vec::new();
    for (labels, points) in &data.series {
        let mut series = Vec::new();
        for label in labels.iter() {
            let mut one = Vec::new();
            bytes(&mut one, 1, label.name.as_bytes());
            bytes(&mut one, 2, label.value.as_bytes());
            bytes(&mut series, 1, &one);
        }
        let before = series.len();
        for point in points.iter().filter(|point| span.contains(&point.timestamp.as_millis())) {
            let at = point.timestamp.as_millis();
            match &point.value {
                SampleValue::Float(value) => {
                    let mut sample = Vec::new();
                    double(&mut sample, 1, *value);
                    field(&mut sample, 2, 0);
                    varint(&mut sample, at.cast_unsigned());
                    bytes(&mut series, 2, &sample);
                }
                SampleValue::Histogram(value) => bytes(&mut series, 4, &histogram(value, at)),
            }
        }
        if series.len() > before {
            bytes(&mut message, 1, &series);
        }
    }
    snappy(&message)
}

fn histogram(histogram: &Histogram, at: i64) -> Vec<u8> {
    let mut out = Vec::new();
    double(&mut out, 2, histogram.count);
    double(&mut out, 3, histogram.sum);
    field(&mut out, 4, 0);
    varint(&mut out, zigzag(histogram.schema));
    double(&mut out, 5, histogram.zero_threshold);
    double(&mut out, 7, histogram.zero_count);
    for (spans_field, counts_field, buckets) in [(8, 10, &histogram.negative), (11, 13, &histogram.positive)] {
        for span in spans(buckets) {
            bytes(&mut out, spans_field, &span);
        }
        packed(&mut out, counts_field, buckets.iter().map(|bucket| bucket.count));
    }
    field(&mut out, 14, 0);
    let hint = match histogram.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    };
    varint(&mut out, hint);
    field(&mut out, 15, 0);
    varint(&mut out, at.cast_unsigned());
    packed(&mut out, 16, histogram.custom_bounds.iter().copied());
    out
}

/// Runs of neighbouring buckets as `BucketSpan` messages.
fn spans(buckets: &[BucketCount]) -> Vec<Vec<u8>> {
    let mut runs: Vec<(i32, u32)> = Vec::new();
    let mut next = 0;
    for bucket in buckets {
        match runs.last_mut() {
            Some((_, length)) if bucket.index == next => *length += 1,
            _ => runs.push((bucket.index - next, 1)),
        }
        next = bucket.index + 1;
    }
    let message = |(offset, length): (i32, u32)| {
        let mut span = Vec::new();
        field(&mut span, 1, 0);
        varint(&mut span, zigzag(offset));
        field(&mut span, 2, 0);
        varint(&mut span, u64::from(length));
        span
    };
    runs.into_iter().map(message).collect()
}

fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)).cast_unsigned())
}

fn field(out: &mut Vec<u8>, number: u64, kind: u64) {
    varint(out, number << 3 | kind);
}

fn double(out: &mut Vec<u8>, number: u64, value: f64) {
    field(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn packed(out: &mut Vec<u8>, number: u64, values: impl Iterator<Item = f64>) {
    let content: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
    bytes(out, number, &content);
}

fn bytes(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    field(out, number, 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Snappy's block format, all of it literals.
fn snappy(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 1000 + 16);
    varint(&mut out, content.len() as u64);
    for chunk in content.chunks(1 << 16) {
        // A literal whose length less one stands in the two bytes behind the tag.
        out.push(61 << 2);
        out.extend_from_slice(&((chunk.len() - 1) as u16).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    out
}
