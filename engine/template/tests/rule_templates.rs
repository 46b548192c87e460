//! Rule templates against the texts that Prometheus 2.42 gives for them.

use serde_json::Value as Json;
use watchfire_model::{Labels, Timestamp};
use watchfire_template::prometheus::{RuleData, RuleTemplate};

/// The public test data, or the line that says why the test is skipped.
#[expect(clippy::disallowed_methods, reason = "where the test data lies is a fact of the environment")]
fn test_data(test: &str, path: &str) -> Option<String> {
    let Ok(folder) = std::env::var("WATCHFIRE_TEST_DATA") else {
        println!("SKIPPED {test}: WATCHFIRE_TEST_DATA is not set");
        return None;
    };
    Some(std::fs::read_to_string(format!("{folder}/{path}")).expect("the test data is readable"))
}

/// Answers the queries of the cases over three series `m` with the values 2, 1 and 3.
fn query(text: &str) -> Result<Vec<(Labels, f64)>, String> {
    let series = |k: &str, more: &[(&str, &str)], value: f64| {
        let mut pairs = vec![("__name__".to_owned(), "m".to_owned()), ("k".to_owned(), k.to_owned())];
        pairs.extend(more.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        (Labels::from_pairs(pairs), value)
    };
    match text {
        "m" => Ok(vec![series("b", &[], 2.0), series("a", &[], 1.0), series("c", &[], 3.0)]),
        "nosuch" => Ok(Vec::new()),
        "sum(m)" => Ok(vec![(Labels::empty(), 6.0)]),
        "1+1" => Ok(vec![(Labels::empty(), 2.0)]),
        "time()" => Ok(vec![(Labels::empty(), 600.0)]),
        "m{" => Err("1:3: parse error: unexpected end of input inside braces".to_owned()),
        text if text.starts_with("label_replace(m, \"__value__\"") => Ok(vec![
            series("b", &[("__value__", "sb")], 2.0),
            series("a", &[("__value__", "sa")], 1.0),
            series("c", &[("__value__", "sc")], 3.0),
        ]),
        other => panic!("the cases have a new query: {other}"),
    }
}

/// Messages that Go and Prometheus have reworded since: the old text and what replaces it.
const REWORDED: [(&str, &str); 3] = [
    ("Value float64 }>", "Value interface {} }>"),
    ("incompatible types for comparison>", "incompatible types for comparison: "),
    ("non-function of type int>", "non-function 3 of type int>"),
];

#[test]
fn texts_are_those_of_prometheus() {
    let Some(text) = test_data("texts_are_those_of_prometheus", "oracle-exprs/templates.json") else {
        return;
    };
    let cases: Json = serde_json::from_str(&text).unwrap();
    let labels = Labels::from_pairs([("__name__", "v"), ("instance", "host:9090"), ("num", "42"), ("job", "j")]);
    let external_labels = Labels::empty();
    let data = RuleData {
        labels: &labels,
        value: 12.5,
        external_labels: &external_labels,
        external_url: "",
        at: Timestamp::from_secs(600),
    };
    let (mut failures, mut count) = (Vec::new(), 0);
    for case in cases["cases"].as_array().unwrap() {
        count += 1;
        let template = case["template"].as_str().unwrap();
        let parsed = RuleTemplate::parse("A", template);
        if let Some(expected) = case["rule_load_error"].as_str() {
            let reason = expected.split_once("annotation \"t\": ").unwrap().1.trim_end();
            match parsed {
                Err(error) if error.to_string() == reason => {}
                other => failures.push(format!("{template}\n  expected {reason}\n  got      {other:?}")),
            }
            continue;
        }
        let expected = case["result"].as_str().unwrap();
        let got = match parsed {
            Ok(parsed) => parsed.expand(&data, &mut query).unwrap_or_else(|error| error.to_string()),
            Err(error) => format!("<parse error: {error}>"),
        };
        let same = got == expected
            || REWORDED
                .iter()
                .any(|(old, new)| expected.ends_with(old) && got.starts_with(&expected.replace(old, new)));
        if !same {
            failures.push(format!("{template}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 388, "only {count} cases");
}
