use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use proptest::prelude::*;
use prost::Message as _;
use watchfire_model::{Labels, METRIC_NAME_LABEL, STALE_NAN, Timestamp};
use watchfire_tsdb::{Point, SampleValue, SamplesRef};

use super::messages::*;
use super::*;
use crate::{Decoded, KeySeed, MetricKind, SeriesKey, SeriesRef, Sink, UnsortedLabels, test_data};

fn compressed(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

fn read(message: Message, plain: &[u8]) -> (Decoded, Report) {
    decode_series(message, &compressed(plain), &Limits::STANDARD).unwrap()
}

fn series_v1(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let labels = labels.iter().map(|(n, v)| Label { name: (*n).to_owned(), value: (*v).to_owned() }).collect();
    let samples = samples.iter().map(|(timestamp, value)| SampleMessage {
        value: *value,
        timestamp: *timestamp,
        start_timestamp: 0,
    });
    TimeSeries { labels, samples: samples.collect(), ..TimeSeries::default() }
}

/// The same request in the other version.
fn to_v2(request: &WriteRequest) -> RequestV2 {
    let mut symbols = vec![String::new()];
    let mut intern = |text: &str| {
        let at = symbols.iter().position(|symbol| symbol == text).unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        });
        u32::try_from(at).unwrap()
    };
    let timeseries = request.timeseries.iter().map(|series| TimeSeriesV2 {
        labels_refs: series.labels.iter().flat_map(|label| [intern(&label.name), intern(&label.value)]).collect(),
        samples: series.samples.clone(),
        histograms: series.histograms.clone(),
        ..TimeSeriesV2::default()
    });
    let timeseries = timeseries.collect();
    RequestV2 { symbols, timeseries }
}

#[test]
fn what_prometheus_writes_is_read_whole() {
    let Some(data) = test_data::folder("what_prometheus_writes_is_read_whole") else { return };
    let text = std::fs::read_to_string(data.join("wire-captures/prometheus-2.42.json")).unwrap();
    let captures: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut bodies = 0;
    for capture in captures["captures"].as_array().unwrap() {
        if capture["path"] != "/api/v1/write" {
            continue;
        }
        let headers = &capture["headers"];
        let message = negotiate(headers["content-type"].as_str(), headers["content-encoding"].as_str()).unwrap();
        let encoded = capture["body_base64"].as_str().unwrap();
        let body = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
        let (decoded, report) = decode_series(message, &body, &Limits::STANDARD).unwrap();
        assert!(report.rejections.is_empty(), "{}", report.rejections);
        let expected = WriteRequest::decode(&uncompress(&body, &Limits::STANDARD).unwrap()[..]).unwrap();
        assert_eq!(decoded.series, from_prost(&expected, Message::V1));
        assert!(decoded.series.iter().any(|(labels, _)| labels.metric_name() == Some("ALERTS")));
        bodies += 1;
    }
    assert!(bodies >= 5, "{bodies}");
}

fn from_prost(request: &WriteRequest, message: Message) -> Vec<(Labels, Vec<Point>)> {
    let point = |sample: &SampleMessage| Point {
        timestamp: Timestamp::from_millis(sample.timestamp),
        start: (message == Message::V2 && sample.start_timestamp != 0)
            .then(|| Timestamp::from_millis(sample.start_timestamp)),
        value: SampleValue::Float(sample.value),
    };
    let series = request.timeseries.iter().filter(|series| !series.samples.is_empty()).map(|series| {
        let labels = Labels::from_pairs(series.labels.iter().map(|l| (l.name.as_str(), l.value.as_str())));
        let mut points: Vec<Point> = series.samples.iter().map(point).collect();
        if points.iter().any(|point| point.start.is_some()) {
            points.sort_by_key(|point| point.timestamp);
        }
        (labels, points)
    });
    series.collect()
}

#[test]
fn staleness_markers_keep_every_bit() {
    let request = WriteRequest {
        timeseries: vec![series_v1(&[("__name__", "up")], &[(1, STALE_NAN), (2, f64::NAN), (3, 0.0)])],
        ..WriteRequest::default()
    };
    for (message, plain) in [(Message::V1, request.encode_to_vec()), (Message::V2, to_v2(&request).encode_to_vec())] {
        let (decoded, report) = read(message, &plain);
        let samples = &decoded.series[0].1;
        assert!(samples[0].value.is_stale() && !samples[1].value.is_stale(), "{message:?}");
        assert_eq!(samples[2].value, SampleValue::Float(0.0));
        assert_eq!(report.written().headers()[0], ("X-Prometheus-Remote-Write-Samples-Written", 3));
    }
}

#[test]
fn a_bad_series_costs_that_series() {
    let good = series_v1(&[("__name__", "up"), ("job", "a")], &[(1, 1.0)]);
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[("job", "a")], "it has no __name__ label"),
        (&[("__name__", "up"), ("", "a")], "a label name is empty"),
        (&[("__name__", "up"), ("z", "1"), ("a", "1")], r#"its labels are not sorted: "z" comes before "a""#),
        (&[("__name__", "up"), ("a", "1"), ("a", "2")], r#"label "a" is given more than once"#),
    ];
    for (labels, reason) in table {
        let bad = series_v1(labels, &[(1, 1.0), (2, 2.0)]);
        let request = WriteRequest { timeseries: vec![good.clone(), bad, good.clone()], metadata: vec![] };
        for (message, plain) in [(Message::V1, request.encode_to_vec()), (Message::V2, to_v2(&request).encode_to_vec())]
        {
            let (decoded, report) = read(message, &plain);
            assert_eq!(decoded.series.len(), 2, "{labels:?}");
            // An empty name is also out of order; the first reason counts.
            assert_eq!(decoded.rejections.to_string(), format!("series 1: {reason}"));
            assert_eq!((report.samples, report.samples_rejected, report.written().samples), (2, 2, 2));
        }
    }
    let bad = series_v1(&[("job", "a"), ("__name__", "up")], &[(1, 1.0)]);
    let plain = WriteRequest { timeseries: vec![bad], metadata: vec![] }.encode_to_vec();
    let sorting = Limits { unsorted_labels: UnsortedLabels::Sort, ..Limits::STANDARD };
    let (decoded, _) = decode_series(Message::V1, &compressed(&plain), &sorting).unwrap();
    assert_eq!(decoded.series[0].0.to_string(), r#"{__name__="up", job="a"}"#);
}

#[test]
fn labels_that_are_no_text_cost_that_series() {
    // TimeSeries{labels: [{name: "__name__", value: 0xff}], samples: [{}]}, then a good one.
    let mut plain = vec![0x0a, 17, 0x0a, 13, 0x0a, 8];
    plain.extend(b"__name__");
    plain.extend([0x12, 1, 0xff, 0x12, 0]);
    plain.extend(
        WriteRequest { timeseries: vec![series_v1(&[("__name__", "up")], &[(1, 1.0)])], metadata: vec![] }
            .encode_to_vec(),
    );
    let (decoded, _) = read(Message::V1, &plain);
    assert_eq!(decoded.samples(), 1);
    assert_eq!(decoded.rejections.to_string(), r#"series 0: the value of label "__name__" is not valid UTF-8"#);
}

#[test]
fn references_out_of_the_table_cost_that_series() {
    let sample = SampleMessage { value: 1.0, timestamp: 1, start_timestamp: 5 };
    let series = |labels_refs: &[u32]| TimeSeriesV2 {
        labels_refs: labels_refs.to_vec(),
        samples: vec![sample.clone()],
        ..TimeSeriesV2::default()
    };
    let symbols = ["", "__name__", "up"].map(str::to_owned).to_vec();
    let request = RequestV2 {
        symbols,
        timeseries: vec![
            series(&[1, 2]),
            series(&[1]),
            series(&[1, 3]),
            series(&[0, 2]),
            series(&[]),
            TimeSeriesV2 { labels_refs: vec![1, 2], ..TimeSeriesV2::default() },
        ],
    };
    let (decoded, report) = read(Message::V2, &request.encode_to_vec());
    assert_eq!((decoded.samples(), report.samples_rejected), (1, 4));
    assert_eq!(
        decoded.rejections.to_string(),
        "series 1: it has 1 label references, an odd number\n\
         series 2: label reference 3 is outside of the symbols table of 3\n\
         series 3: a label name is empty\n\
         series 4: it has no __name__ label\n\
         series 5: it has neither samples nor histograms"
    );
}

#[test]
fn labels_that_a_table_multiplies_are_counted() {
    let symbols = ["__name__".to_owned(), "up".to_owned(), "a".to_owned(), "x".repeat(10_000), "y".repeat(1_000_000)];
    let series = |help_ref| TimeSeriesV2 {
        labels_refs: vec![0, 1, 2, 3],
        samples: vec![SampleMessage::default()],
        metadata: Some(MetadataV2 { kind: 1, help_ref, unit_ref: 9 }),
        ..TimeSeriesV2::default()
    };
    let read = |help_ref, count, labels_bytes_max| {
        let request = RequestV2 { symbols: symbols.to_vec(), timeseries: vec![series(help_ref); count] };
        let limits = Limits { labels_bytes_max, ..Limits::STANDARD };
        let decoded = decode_series(Message::V2, &compressed(&request.encode_to_vec()), &limits);
        decoded.map(|(_, report)| report.series).map_err(|error| (error.status(), error.to_string()))
    };
    let refused = |index, max| {
        Err((413, format!("series {index}: the labels of all series together have more than {max} bytes")))
    };
    assert_eq!(read(9, 100, 2_000_000), Ok(100));
    assert_eq!(read(9, 100, 500_000), refused(49, 500_000));
    // What is said about a family is a text of the table too.
    assert_eq!(read(4, 100, 2_000_000), refused(1, 2_000_000));
}

#[test]
fn exemplars_metadata_and_histograms_are_counted() {
    let mut series = series_v1(&[("__name__", "h")], &[(1, 1.0)]);
    series.exemplars = vec![Exemplar { labels: vec![], value: 1.0, timestamp: 1 }; 2];
    let empty = Histogram { timestamp: 1, ..Histogram::default() };
    let unknown = Histogram { schema: 53, ..empty.clone() };
    let only_histograms =
        TimeSeries { samples: vec![], histograms: vec![unknown.clone(), empty.clone(), unknown], ..series.clone() };
    let metadata = MetricMetadata {
        kind: 1,
        metric_family_name: "h".to_owned(),
        help: "help".to_owned(),
        unit: "seconds".to_owned(),
    };
    let request = WriteRequest { timeseries: vec![series, only_histograms], metadata: vec![metadata] };
    let (decoded, report) = read(Message::V1, &request.encode_to_vec());
    assert_eq!((report.samples, report.exemplars, report.metadata), (1, 4, 1));
    assert_eq!((report.histograms, report.histograms_rejected), (1, 2));
    assert!(report.rejections.to_string().starts_with("series 1: histogram has an invalid schema"));
    assert_eq!((decoded.metadata[0].kind, decoded.metadata[0].unit.as_str()), (MetricKind::Counter, "seconds"));
    assert_eq!(report.written(), Written { samples: 1, histograms: 1, exemplars: 4 });

    let request = RequestV2 {
        symbols: ["", "__name__", "h", "help", "seconds"].map(str::to_owned).to_vec(),
        timeseries: vec![TimeSeriesV2 {
            labels_refs: vec![1, 2],
            samples: vec![SampleMessage::default()],
            histograms: vec![empty],
            exemplars: vec![ExemplarV2::default()],
            metadata: Some(MetadataV2 { kind: 5, help_ref: 3, unit_ref: 4 }),
        }],
    };
    let (decoded, report) = read(Message::V2, &request.encode_to_vec());
    assert_eq!((report.samples, report.exemplars, report.histograms, report.metadata), (1, 1, 1, 1));
    let metadata = &decoded.metadata[0];
    assert_eq!((metadata.family.as_str(), metadata.kind, metadata.help.as_str()), ("h", MetricKind::Summary, "help"));
}

#[test]
fn what_refuses_the_whole_body() {
    let one = series_v1(&[("__name__", "up")], &[(1, 1.0), (2, 2.0)]);
    let plain = WriteRequest { timeseries: vec![one.clone(), one], metadata: vec![] }.encode_to_vec();
    let body = compressed(&plain);
    let standard = Limits::STANDARD;
    let small = Limits { body_bytes_max: plain.len() - 1, ..Limits::STANDARD };
    let few = Limits { samples_max: 3, symbols_max: 1, metadata_max: 0, ..Limits::STANDARD };
    let table = [
        (Message::V1, b"".to_vec(), &standard, 400, "not a valid snappy block: "),
        (Message::V1, b"not snappy at all".to_vec(), &standard, 400, "not a valid snappy block: "),
        (Message::V1, body[..body.len() - 1].to_vec(), &standard, 400, "not a valid snappy block: "),
        (
            Message::V1,
            vec![0x80, 0x80, 0x80, 0x08],
            &standard,
            400,
            "not a valid snappy block: 4 bytes cannot hold the 16777216",
        ),
        (Message::V1, vec![0xff, 0xff, 0xff, 0xff, 0x0f], &standard, 413, "the body has 4294967295 bytes decompressed"),
        (Message::V1, body.clone(), &small, 413, "the body has "),
        (Message::V1, body.clone(), &few, 413, "series 1: the request has more than 3 samples"),
        (
            Message::V1,
            compressed(&[0x0a, 2, 0x12]),
            &standard,
            400,
            "not a valid protobuf message: it ends inside a field",
        ),
        (
            Message::V1,
            compressed(&[0x0a, 2, 0x12, 9]),
            &standard,
            400,
            "series 0: not a valid protobuf message: it ends",
        ),
        (
            Message::V1,
            compressed(&[0x08, 1]),
            &standard,
            400,
            "not a valid protobuf message: a field has the wrong wire type",
        ),
        (Message::V1, compressed(&[0x1a, 0]), &few, 413, "metadata 0: the request has more than 0 metadata entries"),
        (
            Message::V2,
            compressed(&[0x22, 0, 0x22, 0]),
            &few,
            413,
            "symbol 1: the symbols table has more than 1 entries",
        ),
        (
            Message::V2,
            compressed(&[0x2a, 2, 0x09, 1]),
            &standard,
            400,
            "series 0: not a valid protobuf message: it ends",
        ),
    ];
    for (message, body, limits, status, text) in table {
        let error = decode_series(message, &body, limits).unwrap_err();
        assert_eq!(error.status(), status, "{error}");
        assert!(error.to_string().starts_with(text), "{error} is not {text}");
    }
    // The wrong schema yields nothing instead of nonsense, as both specifications promise.
    assert_eq!(read(Message::V2, &plain).1, Report::default());
}

#[test]
fn a_decoder_keeps_no_trace_of_the_request_before() {
    let mut decoder = Decoder::new(Limits::STANDARD, KeySeed::new(1));
    let many: Vec<_> =
        (0..50_i64).map(|i| series_v1(&[("__name__", "up"), ("i", &i.to_string())], &[(i, 1.0)])).collect();
    let big = compressed(&WriteRequest { timeseries: many.clone(), metadata: vec![] }.encode_to_vec());
    let little = compressed(&WriteRequest { timeseries: many[..1].to_vec(), metadata: vec![] }.encode_to_vec());
    for (body, count) in [(&big, 50), (&little, 1), (&b"x".to_vec(), 0), (&little, 1)] {
        let mut decoded = Decoded::default();
        let result = decoder.decode(Message::V1, body, &mut decoded);
        assert_eq!((decoded.series.len(), result.is_ok()), (count, count > 0));
    }
}

/// An integer histogram in the shape of the specification's example: runs with gaps, counts as differences.
fn integer_histogram() -> Histogram {
    Histogram {
        count_int: Some(12),
        sum: 18.4,
        schema: 1,
        zero_threshold: 0.001,
        zero_count_int: Some(2),
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }, BucketSpan { offset: 1, length: 2 }],
        positive_deltas: vec![1, 1, -1, 0],
        negative_spans: vec![BucketSpan { offset: -3, length: 2 }],
        negative_deltas: vec![2, 1],
        reset_hint: 2,
        timestamp: 7,
        start_timestamp: 3,
        ..Histogram::default()
    }
}

#[test]
fn histograms_are_read_in_every_form() {
    let float = Histogram {
        count_int: None,
        count_float: Some(12.5),
        zero_count_int: None,
        zero_count_float: Some(2.5),
        positive_deltas: vec![],
        positive_counts: vec![1.0, 2.0, 1.0, 1.0],
        negative_deltas: vec![],
        negative_counts: vec![2.0, 3.0],
        reset_hint: 3,
        ..integer_histogram()
    };
    let custom = Histogram {
        count_int: Some(4),
        sum: 9.0,
        schema: -53,
        custom_values: vec![0.5, 1.0, 2.5],
        positive_spans: vec![BucketSpan { offset: 0, length: 4 }],
        positive_deltas: vec![1, 0, 0, 0],
        timestamp: 7,
        ..Histogram::default()
    };
    let stale = Histogram { sum: STALE_NAN, timestamp: 7, ..Histogram::default() };
    let table = [
        (
            integer_histogram(),
            "{count:12, sum:18.4, [-0.5,-0.3535533905932738):3, [-0.3535533905932738,-0.25):2, \
             [-0.001,0.001]:2, (0.7071067811865476,1]:1, (1,1.4142135623730951]:2, (2,2.8284271247461903]:1, \
             (2.8284271247461903,4]:1}",
        ),
        (
            float,
            "{count:12.5, sum:18.4, [-0.5,-0.3535533905932738):3, [-0.3535533905932738,-0.25):2, \
             [-0.001,0.001]:2.5, (0.7071067811865476,1]:1, (1,1.4142135623730951]:2, (2,2.8284271247461903]:1, \
             (2.8284271247461903,4]:1}",
        ),
        (custom, "{count:4, sum:9, [-Inf,0.5]:1, (0.5,1]:1, (1,2.5]:1, (2.5,+Inf]:1}"),
        (stale, "{count:0, sum:NaN}"),
    ];
    for (wire, text) in table {
        let series = TimeSeries { histograms: vec![wire.clone()], ..series_v1(&[("__name__", "h")], &[]) };
        let request = WriteRequest { timeseries: vec![series], ..WriteRequest::default() };
        let bodies = [(Message::V1, request.encode_to_vec()), (Message::V2, to_v2(&request).encode_to_vec())];
        for (message, plain) in bodies {
            let (decoded, report) = read(message, &plain);
            assert_eq!(report.rejections.to_string(), "");
            let point = &decoded.series[0].1[0];
            let SampleValue::Histogram(histogram) = &point.value else { panic!("{point:?}") };
            assert_eq!(histogram.to_string(), text);
            assert_eq!(histogram.counter_reset_hint as i32, wire.reset_hint);
            assert_eq!(point.value.is_stale(), wire.sum.is_nan());
            let start = (message == Message::V2 && wire.start_timestamp != 0).then(|| Timestamp::from_millis(3));
            assert_eq!((point.timestamp, point.start), (Timestamp::from_millis(7), start));
        }
    }
}

#[test]
fn histograms_of_a_finer_schema_come_at_the_finest_that_is_stored() {
    let fine = Histogram {
        schema: 10,
        positive_spans: vec![BucketSpan { offset: -5, length: 2 }, BucketSpan { offset: 7, length: 1 }],
        positive_deltas: vec![1, 1, 4],
        negative_spans: vec![],
        negative_deltas: vec![],
        count_int: Some(9),
        zero_count_int: None,
        ..integer_histogram()
    };
    let finest = Histogram { schema: 52, ..fine.clone() };
    let series = TimeSeries { histograms: vec![fine, finest], ..series_v1(&[("__name__", "h")], &[]) };
    let (decoded, report) =
        read(Message::V1, &WriteRequest { timeseries: vec![series], metadata: vec![] }.encode_to_vec());
    assert_eq!((report.histograms, report.histograms_rejected), (2, 0), "{}", report.rejections);
    let buckets = |at: usize| {
        let histogram = decoded.series[0].1[at].value.histogram().unwrap();
        (histogram.schema, histogram.positive.iter().map(|bucket| (bucket.index, bucket.count)).collect::<Vec<_>>())
    };
    // Buckets -5, -4 and 4; of the first schema four make one, of the other all below zero and all above.
    assert_eq!(buckets(0), (8, vec![(-1, 3.0), (1, 6.0)]));
    assert_eq!(buckets(1), (8, vec![(0, 3.0), (1, 6.0)]));
}

#[test]
fn histograms_that_are_not_valid_are_refused_alone() {
    let good = integer_histogram();
    let table = [
        (Histogram { count_int: Some(11), ..good.clone() }, "12 observations found in buckets, but the count field"),
        (Histogram { positive_deltas: vec![1, 1, -1], ..good.clone() }, "histogram spans specify different number"),
        (
            Histogram { positive_deltas: vec![-1, 1, -1, 0], ..good.clone() },
            "histogram has a negative observation count",
        ),
        (Histogram { schema: -5, ..good.clone() }, "histogram has an invalid schema"),
        (Histogram { zero_threshold: -1.0, ..good.clone() }, "histogram has a zero threshold"),
        (
            Histogram {
                schema: -53,
                custom_values: vec![1.0, 1.0],
                negative_spans: vec![],
                negative_deltas: vec![],
                zero_threshold: 0.0,
                zero_count_int: None,
                ..good.clone()
            },
            "histogram custom bounds must be finite and in strictly increasing order",
        ),
        (
            Histogram { schema: -53, custom_values: vec![1.0, 2.0, 3.0, 4.0], ..good.clone() },
            "histogram with custom buckets must not have negative or zero buckets",
        ),
        (
            Histogram {
                positive_spans: vec![BucketSpan { offset: 0, length: 10_001 }],
                positive_deltas: vec![0; 10_001],
                ..good.clone()
            },
            "a histogram has more than 10000 buckets",
        ),
    ];
    for (bad, reason) in table {
        let series = TimeSeries { histograms: vec![bad, good.clone()], ..series_v1(&[("__name__", "h")], &[(9, 1.0)]) };
        let request = WriteRequest { timeseries: vec![series], ..WriteRequest::default() };
        let (decoded, report) = read(Message::V1, &request.encode_to_vec());
        let text = report.rejections.to_string();
        assert!(text.starts_with(&format!("series 0: {reason}")), "{text} is not {reason}");
        assert_eq!((report.samples, report.histograms, report.histograms_rejected), (1, 1, 1));
        // Numbers and histograms stand apart in the message and come in the order of time.
        let times: Vec<_> = decoded.series[0].1.iter().map(|point| point.timestamp.as_millis()).collect();
        assert_eq!(times, [7, 9]);
    }
}

/// A sink that recognises series by their keys, as the runtime does.
#[derive(Default)]
struct Remembering {
    known: HashMap<SeriesKey, Labels>,
    taken: BTreeMap<Labels, Vec<Point>>,
    built: usize,
}

impl Sink for Remembering {
    fn known(&mut self, key: SeriesKey, samples: SamplesRef<'_>) -> bool {
        let Some(labels) = self.known.get(&key) else { return false };
        self.taken.entry(labels.clone()).or_default().extend(samples.to_points());
        true
    }

    fn series(&mut self, series: SeriesRef<'_>) {
        let labels = series.to_labels();
        self.built += 1;
        self.known.insert(series.key, labels.clone());
        self.taken.entry(labels).or_default().extend(series.samples.to_points());
    }
}

fn any_request() -> impl Strategy<Value = WriteRequest> {
    let labels = proptest::collection::btree_map("(job|[a-z]{1,3}|é[.]x)", "[a-zé]{0,20}", 0..6);
    let sample = (any::<u64>(), any::<i64>(), any::<i64>()).prop_map(|(bits, timestamp, start_timestamp)| {
        // Encoders leave out a negative zero because it equals the default.
        let value = if bits == (-0.0_f64).to_bits() { 0.0 } else { f64::from_bits(bits) };
        SampleMessage { value, timestamp, start_timestamp }
    });
    let series =
        ("[a-z_]{1,4}", labels, proptest::collection::vec(sample, 0..4)).prop_map(|(name, mut labels, samples)| {
            labels.insert(METRIC_NAME_LABEL.to_owned(), name);
            let labels = labels.into_iter().map(|(name, value)| Label { name, value }).collect();
            TimeSeries { labels, samples, exemplars: vec![Exemplar::default()], histograms: vec![] }
        });
    proptest::collection::vec(series, 0..8).prop_map(|timeseries| WriteRequest { timeseries, metadata: vec![] })
}

proptest! {
    #[test]
    fn both_decoders_and_both_versions_agree(request in any_request()) {
        let plain = request.encode_to_vec();
        let (v1, _) = read(Message::V1, &plain);
        prop_assert_eq!(&v1.series, &from_prost(&request, Message::V1));
        prop_assert!(v1.rejections.is_empty());
        let second = to_v2(&request).encode_to_vec();
        prop_assert_eq!(RequestV2::decode(&second[..]).unwrap().encode_to_vec(), &second[..]);
        let (v2, _) = read(Message::V2, &second);
        prop_assert_eq!(&v2.series, &from_prost(&request, Message::V2));
    }

    #[test]
    fn known_series_get_the_same_samples_without_their_labels(request in any_request()) {
        let seed = KeySeed::new(3);
        for (message, plain) in [(Message::V1, request.encode_to_vec()), (Message::V2, to_v2(&request).encode_to_vec())] {
            let mut sink = Remembering::default();
            let once = decode_plain(message, &plain, &Limits::STANDARD, &seed, &mut sink).unwrap();
            let (built, first) = (sink.built, std::mem::take(&mut sink.taken));
            let twice = decode_plain(message, &plain, &Limits::STANDARD, &seed, &mut sink).unwrap();
            prop_assert_eq!(sink.built, built);
            prop_assert_eq!(sink.taken, first);
            prop_assert_eq!((once.series, once.samples), (twice.series, twice.samples));
        }
    }

    #[test]
    fn fields_in_any_order_mean_the_same(labels in proptest::collection::btree_map("[a-z]{1,3}", "[a-z]{1,3}", 1..4)) {
        // One label, then a sample, then the other labels: legal protobuf that no encoder writes.
        let mut pairs: Vec<_> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        pairs.insert(0, ("__name__", "up"));
        let whole = series_v1(&pairs, &[(5, 5.0)]);
        let first = TimeSeries { labels: whole.labels[..1].to_vec(), ..whole.clone() };
        let rest = TimeSeries { labels: whole.labels[1..].to_vec(), samples: vec![], ..TimeSeries::default() };
        let mixed = [first.encode_to_vec(), rest.encode_to_vec()].concat();
        let mut framed = Vec::new();
        prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut framed);
        prost::encoding::encode_varint(mixed.len() as u64, &mut framed);
        framed.extend(mixed);
        let plain = WriteRequest { timeseries: vec![whole], metadata: vec![] }.encode_to_vec();
        let seed = KeySeed::new(9);
        let mut sink = Remembering::default();
        decode_plain(Message::V1, &plain, &Limits::STANDARD, &seed, &mut sink).unwrap();
        decode_plain(Message::V1, &framed, &Limits::STANDARD, &seed, &mut sink).unwrap();
        prop_assert_eq!((sink.built, sink.taken.len()), (1, 1));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<proptest::sample::Index>()) {
        for message in [Message::V1, Message::V2] {
            let mut sink = Decoded::default();
            let _ = decode_plain(message, &bytes, &Limits::STANDARD, &KeySeed::new(0), &mut sink);
            let _ = decode_series(message, &bytes, &Limits::STANDARD);
            let body = compressed(&bytes);
            let _ = decode_series(message, &body[..cut.index(body.len())], &Limits::STANDARD);
        }
    }

    #[test]
    fn no_flipped_byte_makes_it_panic(request in any_request(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        for (message, mut plain) in [(Message::V1, request.encode_to_vec()), (Message::V2, to_v2(&request).encode_to_vec())] {
            if !plain.is_empty() {
                let at = at.index(plain.len());
                plain[at] = byte;
                let mut sink = Decoded::default();
                let _ = decode_plain(message, &plain, &Limits::STANDARD, &KeySeed::new(0), &mut sink);
            }
        }
    }
}
