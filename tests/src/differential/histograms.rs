//! Native histograms as they come over the wire: both servers get the same bytes, by remote-write 2.0 and by OTLP, and
//! have to answer the same about them.

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;
use watchfire_model::STALE_NAN;

use super::http::{ask, difference, recently};
use super::prometheus::Prometheus;
use crate::support::{Engine, Proto, block_on};

const FEATURES: &str = "promql-experimental-functions,otlp-deltatocumulative";
const CONFIG: &str = "rules: {paths: [rules.yml]}\nevaluation: {keep_unread: true, experimental: true}\n\
                      route: {receiver: none}\nreceivers: [{name: none}]\n";
const RULES: &str = "groups: [{name: g, interval: 1h, rules: [{record: a:b, expr: 'count_over_time(nothing[6h])'}]}]";

/// Samples of a series, and the milliseconds between them.
const SAMPLES: i64 = 24;
const INTERVAL: i64 = 30_000;

/// A series of native histograms, of which every bucket grows by its own number.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    schema: i64,
    /// How wide the zero bucket is, `None` without one.
    zero: Option<f64>,
    /// Offset and length of the runs of neighbouring buckets.
    negative: &'static [(i64, u64)],
    positive: &'static [(i64, u64)],
    custom: &'static [f64],
    is_gauge: bool,
    is_float: bool,
    /// A number of the sample from which on something is different.
    change: Change,
}

#[derive(Clone, Copy, PartialEq)]
enum Change {
    None,
    /// It counts from nothing again.
    Reset,
    /// It has a bucket more.
    Bucket,
    /// Its buckets are half as wide.
    Schema,
    /// Its zero bucket is wider.
    Zero,
    /// It ends, and comes back two samples later.
    Stale,
    /// It observes what is no number.
    Nan,
}

const PLAIN: Shape = Shape {
    name: "",
    schema: 2,
    zero: Some(0.001),
    negative: &[(-1, 2)],
    positive: &[(-2, 3), (2, 1)],
    custom: &[],
    is_gauge: false,
    is_float: false,
    change: Change::None,
};

/// What comes by remote-write 2.0.
const WRITTEN: &[Shape] = &[
    Shape { name: "whole", ..PLAIN },
    Shape { name: "whole_reset", change: Change::Reset, ..PLAIN },
    Shape { name: "whole_bucket", change: Change::Bucket, ..PLAIN },
    Shape { name: "whole_schema", change: Change::Schema, ..PLAIN },
    Shape { name: "whole_zero", change: Change::Zero, ..PLAIN },
    Shape { name: "whole_stale", change: Change::Stale, ..PLAIN },
    Shape { name: "whole_nan", change: Change::Nan, ..PLAIN },
    Shape { name: "whole_gauge", is_gauge: true, ..PLAIN },
    Shape { name: "float", is_float: true, ..PLAIN },
    Shape { name: "float_reset", is_float: true, change: Change::Reset, ..PLAIN },
    Shape { name: "float_stale", is_float: true, change: Change::Stale, ..PLAIN },
    Shape { name: "float_gauge", is_float: true, is_gauge: true, ..PLAIN },
    Shape { name: "coarse", schema: -4, ..PLAIN },
    Shape { name: "fine", schema: 8, ..PLAIN },
    Shape { name: "finer", schema: 11, ..PLAIN },
    Shape { name: "far", positive: &[(-200, 1), (500, 2)], negative: &[], ..PLAIN },
    Shape { name: "without_zero", zero: Some(0.0), negative: &[], ..PLAIN },
    Shape {
        name: "custom",
        schema: -53,
        zero: None,
        negative: &[],
        positive: &[(0, 4)],
        custom: &[0.5, 1.0, 2.5],
        ..PLAIN
    },
    Shape {
        name: "custom_float",
        schema: -53,
        zero: None,
        negative: &[],
        positive: &[(1, 2)],
        custom: &[-1.0, 0.0, 1.0, 10.0],
        is_float: true,
        change: Change::Reset,
        ..PLAIN
    },
];

/// One moment of a series.
struct Moment {
    schema: i64,
    zero_threshold: f64,
    zero_count: u64,
    negative: Vec<(i64, u64)>,
    positive: Vec<(i64, u64)>,
    is_stale: bool,
    not_numbers: u64,
    /// How often the buckets have grown.
    rounds: u64,
}

impl Shape {
    fn at(&self, number: i64) -> Moment {
        let changed = number >= SAMPLES / 2;
        let rounds = match self.change {
            Change::Reset if changed => number - SAMPLES / 2,
            _ => number,
        };
        let mut positive = self.positive.to_vec();
        if self.change == Change::Bucket && changed {
            positive.push((1, 1));
        }
        let zero = self.zero.unwrap_or_default();
        Moment {
            schema: self.schema + i64::from(self.change == Change::Schema && changed),
            zero_threshold: if self.change == Change::Zero && changed { 0.3 } else { zero },
            zero_count: if self.zero.is_some_and(|zero| zero > 0.0) { 3 * (1 + rounds.unsigned_abs()) } else { 0 },
            negative: self.negative.to_vec(),
            positive,
            is_stale: self.change == Change::Stale && (0..2).contains(&(number - SAMPLES / 2)),
            not_numbers: if self.change == Change::Nan && changed { 5 } else { 0 },
            rounds: 1 + rounds.unsigned_abs(),
        }
    }
}

impl Moment {
    /// What the buckets of some runs hold: each its own multiple of the rounds.
    fn counts(&self, runs: &[(i64, u64)]) -> Vec<u64> {
        let length: u64 = runs.iter().map(|(_, length)| length).sum();
        (1..=length).map(|place| place * 2 * self.rounds + place % 3).collect()
    }

    fn count(&self) -> u64 {
        let buckets = self.counts(&self.negative).into_iter().chain(self.counts(&self.positive));
        self.zero_count + buckets.sum::<u64>() + self.not_numbers
    }

    fn sum(&self) -> f64 {
        match (self.is_stale, self.not_numbers) {
            (true, _) => STALE_NAN,
            (false, 0) => self.count() as f64 * 0.75,
            _ => f64::NAN,
        }
    }
}

/// A histogram of remote-write 2.0.
fn written(shape: &Shape, number: i64, at: i64) -> Proto {
    let moment = shape.at(number);
    let span = |(offset, length): &(i64, u64)| Proto::default().zigzag(1, *offset).varint(2, *length);
    let (negative, positive) = (moment.counts(&moment.negative), moment.counts(&moment.positive));
    let out = Proto::default()
        .double(3, moment.sum())
        .zigzag(4, moment.schema)
        .double(5, moment.zero_threshold)
        .messages(8, moment.negative.iter().map(span))
        .messages(11, moment.positive.iter().map(span))
        .varint(14, if shape.is_gauge { 3 } else { 0 })
        .varint(15, at.cast_unsigned())
        .doubles(16, shape.custom.iter().copied());
    if shape.is_float {
        // Numbers between whole ones.
        let part = |count: u64| count as f64 + 0.25;
        let buckets: f64 = negative.iter().chain(&positive).map(|count| part(*count)).sum();
        let zero = if moment.zero_count > 0 { part(moment.zero_count) } else { 0.0 };
        return out
            .double(2, buckets + zero)
            .double(7, zero)
            .doubles(10, negative.into_iter().map(part))
            .doubles(13, positive.into_iter().map(part));
    }
    let deltas = |counts: &[u64]| -> Vec<i64> {
        let before = std::iter::once(0).chain(counts.iter().copied());
        counts.iter().zip(before).map(|(count, before)| count.cast_signed() - before.cast_signed()).collect()
    };
    out.varint(1, moment.count())
        .varint(6, moment.zero_count)
        .zigzags(9, deltas(&negative))
        .zigzags(12, deltas(&positive))
}

/// An `io.prometheus.write.v2.Request` with one sample of each series.
fn request(shapes: &[Shape], number: i64, at: i64) -> Proto {
    let symbols = ["", "__name__", "job", "wire"].into_iter().chain(shapes.iter().map(|shape| shape.name));
    let message = symbols.fold(Proto::default(), |message, symbol| message.bytes(4, symbol.as_bytes()));
    message.messages(
        5,
        shapes.iter().enumerate().map(|(index, shape)| {
            let labels = Proto::default().varints(1, [1, 4 + index as u64, 2, 3]);
            labels.message(3, &written(shape, number, at))
        }),
    )
}

/// How OTLP's exponential histograms are told: as what has come to be since the start, or since the last one.
const CUMULATIVE: u64 = 2;
const DELTA: u64 = 1;

/// An OTLP request with one exponential histogram of some scales, and one with its own bounds.
fn export(temporality: u64, number: i64, at: i64) -> Proto {
    let name = |what: &str| format!("{}_{what}", if temporality == DELTA { "delta" } else { "total" });
    let nanos = |millis: i64| millis.unsigned_abs() * 1_000_000;
    let (start, end) = match temporality {
        DELTA => (nanos(at - INTERVAL), nanos(at)),
        _ => (nanos(at - number * INTERVAL - 1_000), nanos(at)),
    };
    let times = Proto::default().fixed(2, start).fixed(3, end);
    let rounds = if temporality == DELTA { 1 + number.unsigned_abs() % 3 } else { 1 + number.unsigned_abs() };
    let exponential = |scale: i64, threshold: f64, offsets: [i64; 2]| {
        let (positive, negative) = ([2 * rounds, 0, rounds, 5 * rounds], [rounds, 3 * rounds]);
        let count = positive.iter().chain(&negative).sum::<u64>() + 4 * rounds;
        let point = Proto(times.0.clone())
            .fixed(4, count)
            .double(5, count as f64 * 0.5)
            .zigzag(6, scale)
            .fixed(7, 4 * rounds)
            .message(8, &Proto::default().zigzag(1, offsets[0]).varints(2, positive))
            .message(9, &Proto::default().zigzag(1, offsets[1]).varints(2, negative))
            .double(14, threshold);
        Proto::default().message(1, &point).varint(2, temporality)
    };
    let bounded = {
        let counts = [rounds, 2 * rounds, 0, 4 * rounds];
        let point = Proto(times.0.clone())
            .fixed(4, counts.iter().sum())
            .double(5, 3.25 * rounds as f64)
            .fixeds(6, counts)
            .doubles(7, [0.1, 1.0 / 3.0, 101_390_447_851_464.12]);
        Proto::default().message(1, &point).varint(2, temporality)
    };
    // Attributes that are no texts: double, integer, truth value, list.
    let attribute = |(key, value): (&str, Proto)| Proto::default().bytes(1, key.as_bytes()).message(2, &value);
    let double = |value: f64| Proto::default().double(4, value);
    let attributes = [
        ("whole", double(2.0)),
        ("large", double(1e21)),
        ("small", double(1.5e-7)),
        ("tie", double(101_390_447_851_464.12)),
        ("short", double(0.000_01)),
        ("long", double(1e18)),
        ("infinite", double(f64::INFINITY)),
        ("nothing", double(f64::NAN)),
        ("integer", Proto::default().varint(3, 7)),
        ("truth", Proto::default().varint(2, 1)),
        ("list", Proto::default().message(5, &Proto::default().messages(1, [double(1.0), double(0.5)]))),
    ];
    let number = Proto(times.0.clone()).double(4, 2.5 * rounds as f64).messages(7, attributes.map(attribute));
    let sum = Proto::default().message(1, &number).varint(2, temporality).varint(3, 1);
    let metric =
        |what: &str, field: u64, data: &Proto| Proto::default().bytes(1, name(what).as_bytes()).message(field, data);
    let metrics = [
        metric("even", 10, &exponential(3, 0.0, [-2, 0])),
        metric("wide_zero", 10, &exponential(0, 0.125, [0, 1])),
        metric("coarse", 10, &exponential(-4, 1e-9, [-1, -2])),
        metric("fine", 10, &exponential(12, 1e-9, [-5_000, 3])),
        metric("bounds", 9, &bounded),
        metric("count", 7, &sum),
    ];
    let text = Proto::default().bytes(1, b"wire");
    let attribute = Proto::default().bytes(1, b"service.name").message(2, &text);
    let scope = Proto::default().messages(2, metrics);
    let resource = Proto::default().message(1, &Proto::default().message(1, &attribute)).message(2, &scope);
    Proto::default().message(1, &resource)
}

/// What is asked about all series, `H` being each of their names.
const QUERIES: &[&str] = &[
    "H",
    "H[5m]",
    "histogram_count(H)",
    "histogram_sum(H)",
    "histogram_avg(H)",
    "histogram_stddev(H)",
    "histogram_quantile(0.9, H)",
    "histogram_quantile(0.01, H)",
    "histogram_fraction(0, 1, H)",
    "rate(H[4m])",
    "increase(H[90s])",
    "delta(H[4m])",
    "histogram_quantile(0.5, rate(H[4m]))",
    "sum(increase(H[3m]))",
    "avg_over_time(H[3m])",
    "H * 2 - H",
    "resets(H[8m])",
    "changes(H[8m])",
    "count_over_time(H[8m])",
];

/// Both servers.
struct Pair {
    prometheus: Prometheus,
    engine: Engine,
}

impl Pair {
    /// Gives both the same bytes, and answers what they said.
    async fn push(&self, paths: [&str; 2], headers: &[(&str, &str)], body: Vec<u8>) -> Result<[u16; 2]> {
        let theirs = self.prometheus.post(paths[0], headers, body.clone()).await?;
        let ours = self.engine.post(paths[1], headers, body).await?;
        let status = ours.status().as_u16();
        let written = |headers: &reqwest::header::HeaderMap| {
            headers.get("x-prometheus-remote-write-histograms-written").map(|value| value.as_bytes().to_vec())
        };
        ensure!(
            written(theirs.headers()) == written(ours.headers()),
            "{:?}, Watchfire {:?}",
            theirs.headers(),
            ours.headers()
        );
        ensure!(
            theirs.status().is_success() == ours.status().is_success(),
            "{status} {}, Prometheus {}",
            ours.text().await?,
            theirs.text().await?
        );
        Ok([theirs.status().as_u16(), status])
    }

    async fn write(&self, request: &Proto) -> Result<[u16; 2]> {
        let headers = [
            ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "2.0.0"),
        ];
        self.push(["/api/v1/write"; 2], &headers, request.snappy()).await
    }

    async fn export(&self, request: &Proto) -> Result<[u16; 2]> {
        let headers = [("content-type", "application/x-protobuf")];
        self.push(["/api/v1/otlp/v1/metrics", "/v1/metrics"], &headers, request.0.clone()).await
    }

    async fn compare(&self, path: &str, parameters: &[(&str, &str)]) -> Result<(Json, Option<String>)> {
        let theirs = self.prometheus.ask(path, parameters).await?;
        let ours = ask(&self.engine, path, parameters).await?;
        Ok((theirs.clone(), difference(theirs, ours)))
    }
}

pub(super) fn run() -> Result<()> {
    block_on(async {
        let flags = ["--web.enable-otlp-receiver"];
        let prometheus = Prometheus::start_with(FEATURES, &flags)?;
        let engine = Engine::start(&[("watchfire.yml", CONFIG), ("rules.yml", RULES)]).await?;
        let pair = Pair { prometheus, engine };
        let begin = recently() + 60 * 60_000;
        for number in 0..SAMPLES {
            let at = begin + number * INTERVAL;
            pair.write(&request(WRITTEN, number, at)).await.with_context(|| format!("request {number}"))?;
            for temporality in [CUMULATIVE, DELTA] {
                pair.export(&export(temporality, number, at)).await.with_context(|| format!("export {number}"))?;
            }
        }
        // What both refuse: more in the buckets than in all, and buckets without a schema.
        for broken in [
            Proto::default().varint(1, 1).zigzag(4, 0).message(11, &Proto::default().varint(2, 1)).zigzags(12, [7]),
            Proto::default().varint(1, 1).zigzag(4, -9).message(11, &Proto::default().varint(2, 1)).zigzags(12, [1]),
            Proto::default()
                .varint(1, 3)
                .zigzag(4, -53)
                .message(11, &Proto::default().varint(2, 3))
                .zigzags(12, [1, 0, 0]),
        ] {
            let symbols = ["", "__name__", "broken"].into_iter();
            let message = symbols.fold(Proto::default(), |message, symbol| message.bytes(4, symbol.as_bytes()));
            let broken = broken.varint(15, (begin + SAMPLES * INTERVAL).cast_unsigned());
            let series = Proto::default().varints(1, [1, 2]).message(3, &broken);
            ensure!(pair.write(&message.message(5, &series)).await?.iter().all(|status| *status == 400));
        }
        let path = "/api/v1/label/__name__/values?match[]=%7Bjob=%22wire%22%7D";
        let (names, own) = (pair.prometheus.get(path).await?, pair.engine.get(path).await?);
        ensure!(names == own, "{names}, Watchfire {own}");
        let names: Vec<String> = serde_json::from_value(names["data"].clone())?;
        ensure!(names.len() > WRITTEN.len() + 10, "{names:?}");
        let (mut compared, mut buckets, mut differences) = (0, 0, 0);
        let seconds = |millis: i64| format!("{:.3}", millis as f64 / 1000.0);
        let end = begin + SAMPLES * INTERVAL;
        for name in &names {
            for query in QUERIES {
                // A known difference: quantiles-beside-nan.
                if name == "whole_nan" && query.contains("quantile") {
                    continue;
                }
                let query = query.replace('H', name);
                let mut asked = vec![(
                    "/api/v1/query_range",
                    vec![
                        ("query", query.clone()),
                        ("start", seconds(begin)),
                        ("end", seconds(end)),
                        ("step", "45".into()),
                    ],
                )];
                // One within the samples, one where something changes, one behind the last.
                for at in [begin + 100_000, begin + SAMPLES / 2 * INTERVAL, end + 1_000] {
                    asked.push(("/api/v1/query", vec![("query", query.clone()), ("time", seconds(at))]));
                }
                for (path, parameters) in asked {
                    if path.ends_with("range") && query.ends_with("m]") && !query.contains('(') {
                        continue;
                    }
                    let parameters: Vec<(&str, &str)> =
                        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
                    let (theirs, difference) = pair.compare(path, &parameters).await?;
                    compared += 1;
                    buckets += usize::from(theirs.to_string().contains("\"buckets\":"));
                    if let Some(difference) = difference {
                        differences += 1;
                        println!("DIFFERS {path} {parameters:?}\n        {difference}");
                    }
                }
            }
        }
        println!("{} series, {compared} requests, {buckets} with native histograms, {differences} differ", names.len());
        ensure!(buckets > compared / 4, "too few answers have native histograms");
        ensure!(differences == 0, "{differences} answers differ from Prometheus'");
        Ok(())
    })
}
