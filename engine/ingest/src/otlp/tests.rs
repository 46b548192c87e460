//! Requests as OpenTelemetry's SDKs make them.

use std::io::Write as _;

use expect_test::expect;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;

use super::*;

/// OpenTelemetry's messages (opentelemetry-proto, `metrics.proto` and `common.proto`), as far as they are read.
mod message {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) resource_metrics: Vec<ResourceMetrics>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ResourceMetrics {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(super) scope_metrics: Vec<ScopeMetrics>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub(super) attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ScopeMetrics {
        #[prost(message, repeated, tag = "2")]
        pub(super) metrics: Vec<Metric>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<AnyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct AnyValue {
        #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5")]
        pub(super) value: Option<Any>,
    }
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Any {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(bool, tag = "2")]
        Bool(bool),
        #[prost(int64, tag = "3")]
        Int(i64),
        #[prost(double, tag = "4")]
        Double(f64),
        #[prost(message, tag = "5")]
        Array(Array),
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Array {
        #[prost(message, repeated, tag = "1")]
        pub(super) values: Vec<AnyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) description: String,
        #[prost(string, tag = "3")]
        pub(super) unit: String,
        #[prost(message, optional, tag = "5")]
        pub(super) gauge: Option<Numbers>,
        #[prost(message, optional, tag = "7")]
        pub(super) sum: Option<Numbers>,
        #[prost(message, optional, tag = "9")]
        pub(super) histogram: Option<Histograms>,
        #[prost(message, optional, tag = "10")]
        pub(super) exponential: Option<Exponentials>,
        #[prost(message, optional, tag = "11")]
        pub(super) summary: Option<Summaries>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Numbers {
        #[prost(message, repeated, tag = "1")]
        pub(super) points: Vec<Number>,
        #[prost(int32, tag = "2")]
        pub(super) temporality: i32,
        #[prost(bool, tag = "3")]
        pub(super) is_monotonic: bool,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Number {
        #[prost(message, repeated, tag = "7")]
        pub(super) attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")]
        pub(super) start: u64,
        #[prost(fixed64, tag = "3")]
        pub(super) time: u64,
        #[prost(double, optional, tag = "4")]
        pub(super) double: Option<f64>,
        #[prost(sfixed64, optional, tag = "6")]
        pub(super) int: Option<i64>,
        #[prost(uint32, tag = "8")]
        pub(super) flags: u32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Histograms {
        #[prost(message, repeated, tag = "1")]
        pub(super) points: Vec<HistogramPoint>,
        #[prost(int32, tag = "2")]
        pub(super) temporality: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct HistogramPoint {
        #[prost(fixed64, tag = "3")]
        pub(super) time: u64,
        #[prost(fixed64, tag = "4")]
        pub(super) count: u64,
        #[prost(double, optional, tag = "5")]
        pub(super) sum: Option<f64>,
        #[prost(fixed64, repeated, tag = "6")]
        pub(super) counts: Vec<u64>,
        #[prost(double, repeated, tag = "7")]
        pub(super) bounds: Vec<f64>,
        #[prost(message, repeated, tag = "9")]
        pub(super) attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Exponentials {
        #[prost(message, repeated, tag = "1")]
        pub(super) points: Vec<Exponential>,
        #[prost(int32, tag = "2")]
        pub(super) temporality: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Exponential {
        #[prost(fixed64, tag = "3")]
        pub(super) time: u64,
        #[prost(fixed64, tag = "4")]
        pub(super) count: u64,
        #[prost(double, optional, tag = "5")]
        pub(super) sum: Option<f64>,
        #[prost(sint32, tag = "6")]
        pub(super) scale: i32,
        #[prost(fixed64, tag = "7")]
        pub(super) zero_count: u64,
        #[prost(message, optional, tag = "8")]
        pub(super) positive: Option<Buckets>,
        #[prost(message, optional, tag = "9")]
        pub(super) negative: Option<Buckets>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Buckets {
        #[prost(sint32, tag = "1")]
        pub(super) offset: i32,
        #[prost(uint64, repeated, tag = "2")]
        pub(super) counts: Vec<u64>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Summaries {
        #[prost(message, repeated, tag = "1")]
        pub(super) points: Vec<Summary>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Summary {
        #[prost(fixed64, tag = "3")]
        pub(super) time: u64,
        #[prost(fixed64, tag = "4")]
        pub(super) count: u64,
        #[prost(double, tag = "5")]
        pub(super) sum: f64,
        #[prost(message, repeated, tag = "6")]
        pub(super) quantiles: Vec<Quantile>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Quantile {
        #[prost(double, tag = "1")]
        pub(super) quantile: f64,
        #[prost(double, tag = "2")]
        pub(super) value: f64,
    }
}

use message::{Any, AnyValue, KeyValue, Metric as Message, Number, Numbers};

const SECOND: u64 = 1_000_000_000;

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::Text(value.to_owned()))
}

fn body(resource: Vec<KeyValue>, metrics: Vec<Message>) -> Vec<u8> {
    let request = message::Request {
        resource_metrics: vec![message::ResourceMetrics {
            resource: Some(message::Resource { attributes: resource }),
            scope_metrics: vec![message::ScopeMetrics { metrics }],
        }],
    };
    request.encode_to_vec()
}

fn named(name: &str, unit: &str) -> Message {
    Message { name: name.to_owned(), unit: unit.to_owned(), description: "what".to_owned(), ..Message::default() }
}

fn numbers(points: Vec<Number>, temporality: i32, is_monotonic: bool) -> Option<Numbers> {
    Some(Numbers { points, temporality, is_monotonic })
}

/// One line per sample, then what was left out.
fn shown(body: &[u8]) -> String {
    let decoded = decode(body, &Limits::STANDARD).unwrap();
    let mut lines: Vec<String> = Vec::new();
    let totals = decoded.series.iter().map(|series| ("", series));
    let deltas = decoded.deltas.iter().map(|series| ("delta ", series));
    for (kind, (labels, points)) in totals.chain(deltas) {
        for point in points {
            let start = point.start.map_or(String::new(), |start| format!(" since {}", start.as_millis()));
            let value = match &point.value {
                SampleValue::Float(value) => value.to_string(),
                SampleValue::Histogram(histogram) => histogram.to_string(),
            };
            lines.push(format!("{kind}{labels} {value} @{}{start}", point.timestamp.as_millis()));
        }
    }
    lines.extend(decoded.rejections.to_string().lines().map(|line| format!("refused {line}")));
    lines.join("\n") + "\n"
}

#[test]
fn gauges_and_sums_become_series_of_their_resource() {
    let resource = vec![
        text("service.name", "shop"),
        text("service.namespace", "eu"),
        text("service.instance.id", "i-1"),
        text("host.name", "h"),
    ];
    let array = message::Array {
        values: vec![AnyValue { value: Some(Any::Int(1)) }, AnyValue { value: Some(Any::Bool(true)) }],
    };
    let attributes = vec![
        attribute("http.status", Any::Int(200)),
        attribute("ratio", Any::Double(0.5)),
        attribute("list", Any::Array(array)),
        text("a.b", "1"),
        text("a-b", "2"),
        text("job", "mine"),
    ];
    let number = |value: f64| Number { time: 10 * SECOND, double: Some(value), ..Number::default() };
    let counted = Number { time: 10 * SECOND, start: SECOND, int: Some(-7), attributes, ..Number::default() };
    let ended = Number { time: 11 * SECOND, flags: 1, ..Number::default() };
    let metrics = vec![
        Message { sum: numbers(vec![counted], 2, true), ..named("http.requests", "1") },
        Message { gauge: numbers(vec![number(0.25), ended], 0, false), ..named("cpu.utilization", "1") },
        Message { sum: numbers(vec![number(3.0)], 2, false), ..named("queue.size", "{item}") },
        Message { sum: numbers(vec![number(2.0)], 1, true), ..named("delta", "") },
        Message { sum: numbers(vec![number(1.0), number(2.0)], 0, true), ..named("neither", "") },
        Message { gauge: numbers(vec![number(1.0)], 0, false), ..named("???", "") },
    ];
    let bytes = body(resource, metrics);
    expect![[r#"
        {__name__="http_requests_total", a_b="2;1", http_status="200", instance="i-1", job="eu/shop", list="[1,true]", ratio="0.5"} -7 @10000 since 1000
        {__name__="cpu_utilization_ratio", instance="i-1", job="eu/shop"} 0.25 @10000
        {__name__="cpu_utilization_ratio", instance="i-1", job="eu/shop"} NaN @11000
        {__name__="queue_size", instance="i-1", job="eu/shop"} 3 @10000
        {__name__="target_info", host_name="h", instance="i-1", job="eu/shop"} 1 @10000
        {__name__="target_info", host_name="h", instance="i-1", job="eu/shop"} 1 @11000
        delta {__name__="delta_total", instance="i-1", job="eu/shop"} 2 @10000
        refused metric 4: neither: the temporality is neither cumulative nor delta
        refused metric 4: neither: the temporality is neither cumulative nor delta
        refused metric 5: nothing is left of the name "???"
    "#]]
    .assert_eq(&shown(&bytes));
    let decoded = decode(&bytes, &Limits::STANDARD).unwrap();
    let kinds: Vec<_> = decoded.metadata.iter().map(|said| (said.family.as_str(), said.kind)).collect();
    use MetricKind::{Counter, Gauge};
    let expected = [
        ("http_requests_total", Counter),
        ("cpu_utilization_ratio", Gauge),
        ("queue_size", Gauge),
        ("delta_total", Counter),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn histograms_and_summaries_become_what_prometheus_has_for_them() {
    let classic = message::HistogramPoint {
        time: SECOND,
        count: 6,
        sum: Some(12.5),
        counts: vec![1, 2, 3],
        bounds: vec![0.5, 10.0],
        attributes: Vec::new(),
    };
    let buckets = |offset, counts: &[u64]| Some(message::Buckets { offset, counts: counts.to_vec() });
    let exponential = |scale| message::Exponential {
        time: SECOND,
        count: 9,
        sum: Some(20.0),
        scale,
        zero_count: 1,
        positive: buckets(0, &[1, 0, 2, 3]),
        negative: buckets(-1, &[2]),
    };
    let quantiles = vec![message::Quantile { quantile: 0.99, value: 7.0 }];
    let summary = message::Summary { time: SECOND, count: 2, sum: 8.0, quantiles };
    let points = vec![exponential(0), message::Exponential { time: 2 * SECOND, ..exponential(9) }, exponential(-5)];
    let metrics = [
        Message {
            histogram: Some(message::Histograms { points: vec![classic], temporality: 2 }),
            ..named("latency", "s")
        },
        Message { exponential: Some(message::Exponentials { points, temporality: 2 }), ..named("size", "By") },
        Message { summary: Some(message::Summaries { points: vec![summary] }), ..named("age", "s") },
    ];
    expect![[r#"
        {__name__="latency_seconds_sum", job="a"} 12.5 @1000
        {__name__="latency_seconds_count", job="a"} 6 @1000
        {__name__="latency_seconds_bucket", job="a", le="0.5"} 1 @1000
        {__name__="latency_seconds_bucket", job="a", le="10"} 3 @1000
        {__name__="latency_seconds_bucket", job="a", le="+Inf"} 6 @1000
    "#]]
    .assert_eq(&shown(&body(vec![text("service.name", "a")], metrics[..1].to_vec())));
    let decoded = decode(&body(vec![text("service.name", "a")], metrics[1..].to_vec()), &Limits::STANDARD).unwrap();
    let histogram = |at: usize| decoded.series[0].1[at].value.histogram().unwrap().clone();
    let indexes = |buckets: &[watchfire_tsdb::BucketCount]| {
        buckets.iter().map(|bucket| (bucket.index, bucket.count)).collect::<Vec<_>>()
    };
    // The bucket behind 1 is that below 2, which has the index 1 in Prometheus.
    assert_eq!(indexes(&histogram(0).positive), [(1, 1.0), (3, 2.0), (4, 3.0)]);
    assert_eq!(indexes(&histogram(0).negative), [(0, 2.0)]);
    assert_eq!((histogram(0).schema, histogram(0).count, histogram(0).zero_count), (0, 9.0, 1.0));
    assert_eq!((histogram(1).schema, indexes(&histogram(1).positive)), (8, vec![(1, 1.0), (2, 5.0)]));
    assert_eq!(decoded.rejections.count, 1, "{}", decoded.rejections);
    let names: Vec<String> = decoded.series[1..].iter().map(|(labels, _)| labels.to_string()).collect();
    assert_eq!(
        names,
        [
            r#"{__name__="age_seconds_sum", job="a"}"#,
            r#"{__name__="age_seconds_count", job="a"}"#,
            r#"{__name__="age_seconds", job="a", quantile="0.99"}"#
        ]
    );
}

#[test]
fn what_one_point_multiplies_is_bounded() {
    let classic = |buckets: usize| message::HistogramPoint {
        time: SECOND,
        count: 1,
        bounds: (0..buckets).map(|n| n as f64).collect(),
        counts: vec![0; buckets + 1],
        attributes: vec![text("a", &"x".repeat(1_000))],
        ..message::HistogramPoint::default()
    };
    let read = |points: Vec<message::HistogramPoint>, limits: &Limits| {
        let histogram = Some(message::Histograms { points, temporality: 2 });
        decode(&body(vec![text("service.name", "s")], vec![Message { histogram, ..named("h", "") }]), limits)
            .map_err(|error| (error.status(), error.to_string()))
    };
    let few = Limits { histogram_buckets_max: 20, labels_bytes_max: 50_000, ..Limits::STANDARD };
    assert_eq!(read(vec![classic(20)], &few).unwrap().series.len(), 22);
    // Too many buckets cost the point, too many labels the body.
    let decoded = read(vec![classic(21), classic(10)], &few).unwrap();
    assert_eq!((decoded.series.len(), decoded.rejections.count), (12, 1));
    assert!(decoded.rejections.to_string().contains("more than 20 buckets or quantiles"), "{}", decoded.rejections);
    let refused = (413, "metric 0: the labels of all series together have more than 50000 bytes".to_owned());
    assert_eq!(read(vec![classic(20); 3], &few).unwrap_err(), refused);
    // A resource that is long is copied for each of its points.
    let numbers = numbers(vec![Number { time: SECOND, ..Number::default() }; 100], 0, false);
    let bytes =
        body(vec![text("service.name", &"s".repeat(1_000))], vec![Message { gauge: numbers, ..named("g", "") }]);
    assert_eq!(decode(&bytes, &few).unwrap_err().to_string(), refused.1);
    // Names that come to one label are joined without copying what is there each time.
    let many = (0..20_000).map(|n| text(&format!("a{}", ".".repeat(n % 3 + 1)), "v")).collect();
    let point = Number { time: SECOND, attributes: many, ..Number::default() };
    let gauge = self::numbers(vec![point], 0, false);
    assert_eq!(decode(&body(Vec::new(), vec![Message { gauge, ..named("g", "") }]), &few).unwrap().series.len(), 1);
}

#[test]
fn bodies_are_bounded_and_what_is_no_request_is_refused() {
    let limits = Limits { body_bytes_max: 1_000, ..Limits::STANDARD };
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let protobuf = Some("application/x-protobuf");
    let small = gzip(&[1; 1_000]);
    assert_eq!(plain(protobuf, Some("gzip"), &small, &limits).unwrap().len(), 1_000);
    for (media, encoding, bytes, status) in [
        (protobuf, Some("gzip"), gzip(&[1; 1_001]), 413),
        (protobuf, Some("gzip"), b"not gzip".to_vec(), 400),
        (protobuf, None, vec![1; 1_001], 413),
        (protobuf, Some("br"), Vec::new(), 415),
        (Some("application/json"), None, Vec::new(), 415),
        (None, None, Vec::new(), 415),
    ] {
        assert_eq!(plain(media, encoding, &bytes, &limits).unwrap_err().status(), status, "{media:?} {encoding:?}");
    }
    let points = vec![Number { time: SECOND, ..Number::default() }; 3];
    let bytes = body(Vec::new(), vec![Message { gauge: numbers(points, 0, false), ..named("x", "") }]);
    let few = Limits { samples_max: 2, ..Limits::STANDARD };
    assert_eq!(decode(&bytes, &few).unwrap_err().to_string(), "metric 0: the body has more than 2 samples");
    for end in 0..bytes.len() {
        // A message that ends early is an error, or shorter; it never panics.
        drop(decode(&bytes[..end], &Limits::STANDARD));
    }
    assert_eq!(response(0, ""), b"");
    assert_eq!(response(3, "no"), [0x0a, 6, 0x08, 3, 0x12, 2, b'n', b'o']);
}
