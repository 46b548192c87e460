//! Remote-write 1.0 requests with numbers and native histograms:
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/>.

use std::ops::Range;

use watchfire_tsdb::{BucketCount, CounterResetHint, Histogram, SampleValue};

use super::series::Data;
use crate::support::Proto;

/// A `prometheus.WriteRequest` with the samples of a span of time.
pub(crate) fn request(data: &Data, span: Range<i64>) -> Vec<u8> {
    let mut message = Proto::default();
    for (labels, points) in &data.series {
        let label = |name: &str, value: &str| Proto::default().bytes(1, name.as_bytes()).bytes(2, value.as_bytes());
        let mut series = Proto::default().messages(1, labels.iter().map(|one| label(one.name, one.value)));
        let before = series.0.len();
        for point in points.iter().filter(|point| span.contains(&point.timestamp.as_millis())) {
            let at = point.timestamp.as_millis();
            series = match &point.value {
                SampleValue::Float(value) => {
                    series.message(2, &Proto::default().double(1, *value).varint(2, at.cast_unsigned()))
                }
                SampleValue::Histogram(value) => series.message(4, &histogram(value, at)),
            };
        }
        if series.0.len() > before {
            message = message.message(1, &series);
        }
    }
    message.snappy()
}

fn histogram(histogram: &Histogram, at: i64) -> Proto {
    let counts = |buckets: &[BucketCount]| buckets.iter().map(|bucket| bucket.count).collect::<Vec<_>>();
    let hint = match histogram.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    };
    Proto::default()
        .double(2, histogram.count)
        .double(3, histogram.sum)
        .zigzag(4, histogram.schema.into())
        .double(5, histogram.zero_threshold)
        .double(7, histogram.zero_count)
        .messages(8, spans(&histogram.negative))
        .doubles(10, counts(&histogram.negative))
        .messages(11, spans(&histogram.positive))
        .doubles(13, counts(&histogram.positive))
        .varint(14, hint)
        .varint(15, at.cast_unsigned())
        .doubles(16, histogram.custom_bounds.iter().copied())
}

/// Runs of neighbouring buckets as `BucketSpan` messages.
fn spans(buckets: &[BucketCount]) -> Vec<Proto> {
    let mut runs: Vec<(i32, u32)> = Vec::new();
    let mut next = 0;
    for bucket in buckets {
        match runs.last_mut() {
            Some((_, length)) if bucket.index == next => *length += 1,
            _ => runs.push((bucket.index - next, 1)),
        }
        next = bucket.index + 1;
    }
    let message = |(offset, length): (i32, u32)| Proto::default().zigzag(1, offset.into()).varint(2, length.into());
    runs.into_iter().map(message).collect()
}
