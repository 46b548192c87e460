//! Tables of texts with the trees, canonical forms and errors that they give.

use watchfire_model::Duration;

use super::{Features, parse, parse_with};

#[test]
fn canonical_text_is_prometheus() {
    let table = [
        ("sum(x)by(a,b)", "sum by (a, b) (x)"),
        ("SUM WITHOUT () (x)", "sum without () (x)"),
        ("count_values(\"v\", x)", "count_values(\"v\", x)"),
        ("a+on(l)group_left(m)b", "a + on (l) group_left (m) b"),
        ("a > bool 1", "a > bool 1"),
        ("-2^2", "-2 ^ 2"),
        ("- -1", "1"),
        ("0x1F + 1_000 + 010 + 1e3", "31 + 1000 + 8 + 1000"),
        ("x[90s]", "x[1m30s]"),
        ("x[600] offset 50", "x[10m] offset 50s"),
        ("x @ 100 offset -5m", "x @ 100.000 offset -5m"),
        ("x[5m] @ end()", "x[5m] @ end()"),
        ("max_over_time(x[1h:])", "max_over_time(x[1h:])"),
        ("{a!='b',__name__=~\"x.*\"}", "{__name__=~\"x.*\",a!=\"b\"}"),
        ("{\"foo.bar\", \"l.x\"='1'}", "{\"l.x\"=\"1\",__name__=\"foo.bar\"}"),
        ("sum by (\"a.b\") (x)", "sum by (\"a.b\") (x)"),
        ("offset + on * 2", ""),
        ("sum + fill", "sum + fill"),
        ("predict_linear(x[5m], 1h)", "predict_linear(x[5m], 1h)"),
        ("`a\\b`", "\"a\\\\b\""),
        ("(a or b) unless c # why", "(a or b) unless c"),
    ];
    for (text, canonical) in table {
        match parse(text) {
            Ok(expr) => assert_eq!(expr.to_string(), canonical, "{text}"),
            Err(error) => assert_eq!("", canonical, "{text}: {error}"),
        }
    }
}

#[test]
fn errors_point_at_the_character_and_say_it_in_prometheus_words() {
    let table = [
        ("", "1:1: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        ("rate(x)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
        ("rat(x[5m])", "1:1: parse error: unknown function with name \"rat\""),
        ("x{a=b}", "1:5: parse error: unexpected identifier \"b\" in label matching, expected string"),
        ("{a=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a\n and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("x[5m", "1:5: parse error: unexpected end of input in duration expression"),
        ("x offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
        ("sum by a (x)", "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected \"(\""),
        ("x = 1", "1:3: parse error: unexpected \"=\""),
        (
            "limitk(1, x)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        ("x\n  + ü", "2:5: parse error: unexpected character: 'ü'"),
    ];
    for (text, expected) in table {
        match parse(text) {
            Ok(expr) => panic!("{text} became {expr}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
        }
    }
}

#[test]
fn hostile_depth_and_length_are_refused_and_do_no_harm() {
    let deep = "(".repeat(100_000);
    assert!(parse(&deep).is_err());
    let signs = "-".repeat(100_000) + "1";
    assert!(parse(&signs).is_err());
    let long = vec!["a"; 10_000].join(" or ");
    assert!(parse(&long).is_err());
}

#[test]
fn spans_cover_what_was_written() {
    let text = "sum by (a) (rate(x{b=\"c\"}[5m] offset 1m)) > 0.5";
    let expr = parse(text).unwrap();
    let mut seen = Vec::new();
    expr.walk(&mut |e| seen.push(&text[e.span().range()]));
    assert_eq!(
        seen,
        [
            text,
            "sum by (a) (rate(x{b=\"c\"}[5m] offset 1m))",
            "rate(x{b=\"c\"}[5m] offset 1m)",
            "x{b=\"c\"}[5m] offset 1m",
            "0.5",
        ]
    );
}

#[test]
fn reach_adds_up_everything_that_looks_back() {
    let table = [
        ("x", 5 * 60),
        ("x offset 1m", 6 * 60),
        ("x[10m]", 10 * 60),
        ("max_over_time(rate(x[10m])[1h:1m] offset 5m)", 75 * 60),
        ("x offset -1h", 0),
    ];
    for (text, seconds) in table {
        let selectors = parse(text).unwrap().selectors();
        assert_eq!(selectors[0].reach, Duration::from_secs(seconds), "{text}");
    }
}

#[test]
fn experimental_syntax_needs_its_switch() {
    for text in ["x[5m * 2]", "x[5m] anchored", "a + fill(0) b", "sort_by_label(x, \"a\")", "x offset step()"] {
        assert!(parse(text).is_err(), "{text}");
        let expr = parse_with(text, Features::ALL).unwrap();
        assert_eq!(parse_with(&expr.to_string(), Features::ALL).unwrap().to_string(), expr.to_string());
    }
}
