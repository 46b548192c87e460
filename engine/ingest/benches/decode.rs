//! What a sample costs to decode: `cargo bench -p watchfire-ingest`. One line per case, nanoseconds per sample.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::time::Instant;

use prost::Message as _;
use watchfire_ingest::remote_write::{Decoder, Message};
use watchfire_ingest::{Decoded, KeySeed, Limits, SeriesKey, SeriesRef, Sink};
use watchfire_model::Timestamp;
use watchfire_tsdb::SamplesRef;

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Point>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Point {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestV2 {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeriesV2>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Point>,
}

const SERIES: usize = 2_000;

/// A request as Prometheus sends it: 2,000 series of ten labels with one sample each.
fn labels(series: usize) -> Vec<(String, String)> {
    let pairs = [
        ("__name__", "http_server_requests_seconds_count".to_owned()),
        ("cluster", "eu-west-1-production".to_owned()),
        ("container", "checkout".to_owned()),
        ("endpoint", "metrics".to_owned()),
        ("instance", format!("10.{}.{}.{}:8080", series % 7, series % 251, series % 13)),
        ("job", "kubernetes-pods".to_owned()),
        ("method", "GET".to_owned()),
        ("namespace", format!("team-{}", series % 20)),
        ("pod", format!("checkout-7d9f{series:06}-x2x4z")),
        ("status", format!("{}", 200 + series % 5)),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn request_v1(at: i64) -> Vec<u8> {
    let timeseries = (0..SERIES).map(|series| TimeSeries {
        labels: labels(series).into_iter().map(|(name, value)| Label { name, value }).collect(),
        samples: vec![Point { value: series as f64 * 1.5, timestamp: at }],
    });
    let plain = WriteRequest { timeseries: timeseries.collect() }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&plain).unwrap()
}

fn request_v2(at: i64) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut index = std::collections::HashMap::from([(String::new(), 0_u32)]);
    let timeseries = (0..SERIES).map(|series| {
        let texts = labels(series).into_iter().flat_map(|(name, value)| [name, value]);
        let refs = texts.map(|text| {
            *index.entry(text.clone()).or_insert_with(|| {
                symbols.push(text);
                u32::try_from(symbols.len() - 1).unwrap()
            })
        });
        let labels_refs = refs.collect();
        TimeSeriesV2 { labels_refs, samples: vec![Point { value: series as f64 * 1.5, timestamp: at }] }
    });
    let timeseries = timeseries.collect();
    let plain = RequestV2 { symbols, timeseries }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&plain).unwrap()
}

/// The key is a hash already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Recognises series as the runtime does and keeps nothing else.
#[derive(Default)]
struct Knowing {
    keys: HashSet<SeriesKey, BuildHasherDefault<Same>>,
    sum: i64,
}

impl Sink for Knowing {
    fn known(&mut self, key: SeriesKey, samples: SamplesRef<'_>) -> bool {
        let SamplesRef::Plain(samples) = samples else { return false };
        self.sum += samples.iter().map(|sample| sample.timestamp.as_millis()).sum::<i64>();
        self.keys.contains(&key)
    }

    fn series(&mut self, series: SeriesRef<'_>) {
        self.keys.insert(series.key);
    }
}

/// The best of many single rounds, each short enough to run undisturbed on a busy machine.
fn measure(name: &str, samples: usize, rounds: usize, mut body: impl FnMut()) {
    body();
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        body();
        best = best.min(start.elapsed().as_secs_f64() / samples as f64);
    }
    println!("{name:<44} {:>8.0} ns/sample", best * 1e9);
}

fn main() {
    let bodies = [(Message::V1, request_v1(1_700_000_000_000)), (Message::V2, request_v2(1_700_000_000_000))];
    let mut decoder = Decoder::new(Limits::STANDARD, KeySeed::new(1));
    for (message, body) in &bodies {
        let name = message.name();
        println!("{name}: {} bytes per sample compressed", body.len() / SERIES);
        let mut plain = vec![0; snap::raw::decompress_len(body).unwrap()];
        measure("  snappy alone", SERIES, 500, || {
            snap::raw::Decoder::new().decompress(body, &mut plain).unwrap();
        });
        let mut sink = Knowing::default();
        measure("  series known", SERIES, 500, || {
            black_box(decoder.decode(*message, body, &mut sink).unwrap());
        });
        measure("  series new, labels checked", SERIES, 200, || {
            let mut sink = Knowing::default();
            black_box(decoder.decode(*message, body, &mut sink).unwrap());
        });
        measure("  owned labels", SERIES, 200, || {
            let mut sink = Decoded::default();
            black_box(decoder.decode(*message, body, &mut sink).unwrap());
        });
    }
    let plain = snap::raw::Decoder::new().decompress_vec(&bodies[0].1).unwrap();
    measure("prost, for comparison", SERIES, 100, || {
        black_box(WriteRequest::decode(&plain[..]).unwrap());
    });
    let text: String = (0..SERIES)
        .map(|series| {
            let labels = labels(series);
            let parts: Vec<_> = labels[1..].iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            format!("{}{{{}}} {}\n", labels[0].1, parts.join(","), series as f64 * 1.5)
        })
        .collect();
    let mut sink = Knowing::default();
    measure("text format, series known", SERIES, 200, || {
        let format = watchfire_ingest::text::Format::Prometheus;
        let (limits, seed) = (Limits::STANDARD, KeySeed::new(1));
        let at = Timestamp::EPOCH;
        black_box(watchfire_ingest::text::decode(format, text.as_bytes(), at, &limits, &seed, &mut sink).unwrap());
    });
}
