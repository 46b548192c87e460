//! Generated expressions: what is printed means what was built.

use proptest::prelude::*;
use watchfire_promql::{Features, parse_with};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_:][a-z0-9_:]{0,8}".prop_filter("a word of the language", |n| !is_word(n)),
        Just("sum".to_owned()),
        Just("fill_left".to_owned()),
        Just("offset".to_owned()),
    ]
}

fn is_word(name: &str) -> bool {
    ["inf", "nan", "bool", "on", "ignoring", "group_left", "group_right", "atan2", "by", "without"].contains(&name)
        || ["and", "or", "unless"].contains(&name)
}

fn duration() -> impl Strategy<Value = String> {
    prop_oneof![
        (1u32..100_000).prop_map(|ms| format!("{ms}ms")),
        (1u32..10_000).prop_map(|s| format!("{s}")),
        Just("1d2h".to_owned()),
        (1u32..90).prop_map(|m| format!("(step() + {m}m) * 2")),
    ]
}

fn modifiers() -> impl Strategy<Value = String> {
    let offset = prop_oneof![
        Just(String::new()),
        duration().prop_map(|d| if d.contains('(') { String::new() } else { format!(" offset -{d}") }),
    ];
    let at = prop_oneof![
        Just(String::new()),
        Just(" @ end()".to_owned()),
        (-1000i32..1000).prop_map(|t| format!(" @ {t}.25")),
    ];
    (offset, at).prop_map(|(offset, at)| format!("{offset}{at}"))
}

fn selector() -> impl Strategy<Value = String> {
    let matcher = ("[a-z]{1,3}", prop_oneof![Just("="), Just("!="), Just("=~"), Just("!~")], "[a-z.\\\\\n\"é]{0,4}")
        .prop_filter_map("an invalid pattern", |(label, op, value)| {
            let value = if op.contains('~') { value.replace(['\\', '"', '\n'], "") } else { value };
            Some(format!("{label}{op}{value:?}"))
        });
    let matchers = proptest::collection::vec(matcher, 0..3).prop_map(|m| m.join(","));
    (name(), matchers).prop_map(|(name, matchers)| format!("{name}{{{matchers}}}"))
}

fn vector() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (selector(), modifiers()).prop_map(|(s, m)| s + &m),
        (selector(), duration(), modifiers()).prop_map(|(s, d, m)| format!("rate({s}[{d}]{m})")),
        any::<f64>().prop_map(|n| format!("vector({n})")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        // `inf` and `nan` are numbers wherever they stand, even in a list of labels.
        let label = "[a-z]{1,3}".prop_filter("a number", |label| label != "inf" && label != "nan");
        let labels = proptest::collection::vec(label, 0..3).prop_map(|l| l.join(","));
        let op = prop_oneof![
            Just("+"),
            Just("-"),
            Just("*"),
            Just("^"),
            Just("atan2"),
            Just("=="),
            Just("> bool"),
            Just("and"),
            Just("or on(x)"),
            Just("unless ignoring()"),
            Just("/ on(a) group_left(b)"),
            Just("% fill(1)"),
        ];
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|e| format!("({e})")),
            inner.clone().prop_map(|e| format!("-{e}")),
            (inner.clone(), labels.clone()).prop_map(|(e, l)| format!("sum by({l}) ({e})")),
            (inner.clone(), labels).prop_map(|(e, l)| format!("topk(3, {e}) without({l})")),
            (inner.clone(), duration(), modifiers()).prop_map(|(e, d, m)| format!("max_over_time(({e})[{d}:]{m})")),
            inner.prop_map(|e| format!("label_replace({e}, \"a\", \"$1\", \"b\", `(.*)`)")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn printing_and_parsing_again_gives_the_same(text in vector()) {
        let expr = parse_with(&text, Features::ALL);
        prop_assert!(expr.is_ok(), "{text}: {expr:?}");
        let expr = expr.unwrap();
        let printed = expr.to_string();
        let again = parse_with(&printed, Features::ALL);
        prop_assert!(again.is_ok(), "{text} printed as {printed}: {again:?}");
        let again = again.unwrap();
        prop_assert_eq!(again.to_string(), printed.clone(), "{}", text);
        // The tree is the same too: printed text has its positions, so a third round must not move anything.
        prop_assert_eq!(parse_with(&again.to_string(), Features::ALL).unwrap(), again);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ -~\n]{0,40}") {
        let _ = parse_with(&text, Features::ALL);
    }
}
