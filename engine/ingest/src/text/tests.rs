use proptest::prelude::*;
use watchfire_model::Labels;
use watchfire_tsdb::Point;

use super::*;

const RECEIVED: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn read(format: Format, text: &str) -> Decoded {
    decode_series(format, text.as_bytes(), RECEIVED, &Limits::STANDARD).unwrap()
}

fn printed(decoded: &Decoded) -> Vec<String> {
    let lines = decoded.series.iter().map(|(labels, samples)| {
        let at = samples[0].timestamp.since(RECEIVED).as_millis();
        format!("{labels} {} @{at}", samples[0].value.float().unwrap())
    });
    lines.collect()
}

#[test]
fn the_formats_own_example_is_read() {
    let text = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# A histogram, which has a pretty complex representation in the text format:
# HELP http_request_duration_seconds A histogram of the request duration.
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
"#;
    let decoded = read(Format::Prometheus, text);
    assert!(decoded.rejections.is_empty(), "{}", decoded.rejections);
    let mut lines = printed(&decoded);
    assert_eq!(lines.remove(0), r#"{__name__="http_requests_total", code="200", method="post"} 1027 @-304933637000"#);
    assert_eq!(
        lines[1..4],
        [
            r#"{__name__="msdos_file_access_time_seconds", error="Cannot find file:\n\"FILE.TXT\"", path="C:\\DIR\\FILE.TXT"} 1458255915 @0"#,
            r#"{__name__="metric_without_timestamp_and_labels"} 12.47 @0"#,
            r#"{__name__="something_weird", problem="division by zero"} inf @-1700003982045"#,
        ]
    );
    assert_eq!(lines.len(), 8);
    let told: Vec<_> = decoded.metadata.iter().map(|m| (m.family.as_str(), m.kind, m.help.as_str())).collect();
    assert_eq!(
        told,
        [
            ("http_requests_total", MetricKind::Counter, "The total number of HTTP requests."),
            ("http_request_duration_seconds", MetricKind::Histogram, "A histogram of the request duration."),
        ]
    );
}

#[test]
fn quoted_names_blanks_and_trailing_commas_are_read() {
    let table = [
        (r#"{"http.requests","zone.id"="eu"} 1"#, r#"{__name__="http.requests", zone.id="eu"} 1 @0"#),
        (r#"up {"zone.id" = "eu" , job="a",} 1"#, r#"{__name__="up", job="a", zone.id="eu"} 1 @0"#),
        ("\tup{ }\t2\t5", r#"{__name__="up"} 2 @-1699999999995"#),
        (r#"{__name__="up",a="1"} 3"#, r#"{__name__="up", a="1"} 3 @0"#),
        (r#"{"a\"b\\c\n"} 3"#, r#"{__name__="a\"b\\c\n"} 3 @0"#),
        (r#"up{a="\x"} 3"#, r#"{__name__="up", a="\\x"} 3 @0"#),
        (r#"up{a="é😀",b=""} 3e2"#, r#"{__name__="up", a="é😀"} 300 @0"#),
        ("up -Inf\r", r#"{__name__="up"} -inf @0"#),
    ];
    for (text, expected) in table {
        let decoded = read(Format::Prometheus, text);
        assert_eq!(printed(&decoded), [expected], "{text}: {}", decoded.rejections);
    }
}

#[test]
fn a_nan_is_never_the_staleness_marker() {
    let decoded = read(Format::Prometheus, "up NaN\nup nan\n");
    for (_, samples) in &decoded.series {
        assert!(samples[0].value.float().unwrap().is_nan() && !samples[0].value.is_stale());
    }
    assert_eq!(decoded.samples(), 2);
}

#[test]
fn a_bad_line_costs_that_line_and_says_why() {
    let table = [
        ("up", "it has no value"),
        ("up{a=\"1\"}", "it has no value"),
        ("up one", r#""one" is not a number"#),
        ("up 1_000", r#""1_000" is not a number"#),
        ("up 1 now", r#""now" is not a timestamp in milliseconds"#),
        ("up 1 1.5", r#""1.5" is not a timestamp in milliseconds"#),
        ("up 1 2 3", r#"expected the end of the line, found "3""#),
        ("up 1 # {} 1", r##"expected the end of the line, found "# {} 1""##),
        ("9up 1", r#"a metric name cannot start with a digit: "9up""#),
        ("-up 1", "expected a metric name, found '-'"),
        ("{a=\"b\"} 1", "expected a metric name, found '{'"),
        ("up{a=1} 1", r#"expected a quoted value of label "a", found '1'"#),
        ("up{a} 1", r#"expected = after label name "a", found '}'"#),
        ("up{=\"1\"} 1", "expected a label name, found '='"),
        ("up{a=\"1\" b=\"2\"} 1", "expected a comma or a closing brace, found 'b'"),
        ("up{a=\"1} 1", "a quote is not closed"),
        ("up{a=\"1\\", "a quote is not closed"),
        ("up{a=\"1\",a=\"2\"} 1", r#"label "a" is given more than once"#),
        ("up{\"down\"} 1", r#"the metric's name is given twice: "up" and "down""#),
        ("up{\"\"=\"x\"} 1", "a label name is empty"),
        ("# TYPE up thing", r#"unknown metric type "thing""#),
        ("# TYPE", "# TYPE has no metric name"),
    ];
    for (line, reason) in table {
        let decoded = read(Format::Prometheus, &format!("first 1\n{line}\nlast 2"));
        assert_eq!(decoded.samples(), 2, "{line}");
        let [rejection] = &decoded.rejections.first[..] else { panic!("{line}: {}", decoded.rejections) };
        assert_eq!((rejection.item, rejection.reason.as_str()), (Item::Line(2), reason), "{line}");
    }
}

#[test]
fn openmetrics_has_seconds_exemplars_units_and_an_end() {
    let text = r#"# TYPE foo_seconds counter
# UNIT foo_seconds seconds
# HELP foo_seconds Time\nspent
foo_seconds_total{a="b"} 17.0 1520879607.789 # {trace_id="KOO5S4vxi0o"} 0.67 1520879607.5
foo_seconds_created{a="b"} 1520430000.123
# EOF
"#;
    let decoded = read(Format::OpenMetrics, text);
    assert!(decoded.rejections.is_empty(), "{}", decoded.rejections);
    assert_eq!(decoded.series[0].1[0].timestamp, Timestamp::from_millis(1_520_879_607_789));
    let metadata = &decoded.metadata[0];
    assert_eq!((metadata.unit.as_str(), metadata.help.as_str()), ("seconds", "Time\nspent"));

    let cut = decode_series(Format::OpenMetrics, b"up 1\n", RECEIVED, &Limits::STANDARD).unwrap_err();
    assert_eq!(cut.to_string(), "the text does not end with # EOF; it may have been cut off");
    let after = read(Format::OpenMetrics, "up 1\n# EOF\nup 2\n");
    assert_eq!((after.samples(), after.rejections.to_string().as_str()), (1, "line 3: it comes after # EOF"));
    let bad = read(Format::OpenMetrics, "up 1 # x\nup 1 # {a=\"b\"}\nup 1 2 # {\"q\"} 1\n# EOF\n");
    assert_eq!((bad.samples(), bad.rejections.count), (0, 3));
}

#[test]
fn limits_refuse_the_body_or_the_line() {
    let limits = Limits { body_bytes_max: 10, ..Limits::STANDARD };
    let error = decode_series(Format::Prometheus, b"up 1\nup 2\nup 3\n", RECEIVED, &limits).unwrap_err();
    assert_eq!(error.status(), 413);
    let limits = Limits { samples_max: 2, ..Limits::STANDARD };
    let error = decode_series(Format::Prometheus, b"up 1\nup 2\nup 3\n", RECEIVED, &limits).unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (413, "line 3: the body has more than 2 samples"));
    let error = decode_series(Format::Prometheus, b"up 1\nup{a=\"\xff\"} 2\n", RECEIVED, &limits).unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (400, "line 2: not valid UTF-8"));
    let limits = Limits { rejections_max: 2, ..Limits::STANDARD };
    let decoded = decode_series(Format::Prometheus, b"a\nb\nc\nd\n", RECEIVED, &limits).unwrap();
    assert_eq!(decoded.rejections.to_string(), "line 1: it has no value\nline 2: it has no value\nand 2 more");
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(
        // str::lines drops a carriage return at the end of a line, so the values do without.
        labels in proptest::collection::btree_map("[^\r]{1,5}", "[^\r]{1,5}", 0..5),
        name in "[^\r]{1,8}",
        bits in any::<u64>(),
        millis in any::<i64>(),
    ) {
        let value = f64::from_bits(bits);
        prop_assume!(!value.is_nan() && !labels.contains_key(METRIC_NAME_LABEL));
        let parts: Vec<_> = labels.iter().map(|(n, v)| format!(",{}={}", quoted(n), quoted(v))).collect();
        let line = format!("{{{}{}}} {value:?} {millis}", quoted(&name), parts.concat());
        let decoded = read(Format::Prometheus, &line);
        prop_assert!(decoded.rejections.is_empty(), "{}: {}", line, decoded.rejections);
        let expected = Labels::from_pairs(labels.into_iter().chain([(METRIC_NAME_LABEL.to_owned(), name)]));
        let sample = Point::from(Sample { timestamp: Timestamp::from_millis(millis), value });
        prop_assert_eq!(decoded.series, [(expected, vec![sample])]);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let _ = decode_series(format, &bytes, RECEIVED, &Limits::STANDARD);
        }
    }

    #[test]
    fn no_likely_text_makes_it_panic(text in r##"([a-z_:{}",=\\#\n 0-9.+-]|# TYPE |# HELP |NaN){0,40}"##) {
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let _ = decode_series(format, text.as_bytes(), RECEIVED, &Limits::STANDARD);
        }
    }
}
