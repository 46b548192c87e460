//! Real alert rules on synthetic series, with the alerts that Prometheus raises for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use watchfire_model::{Duration, Labels, RuleId, STALE_NAN, Sample, Timestamp};
use watchfire_promql::Options;
use watchfire_rules::{Alerting, Evaluator, ExprSource, Outcome, Position, Rule, RuleKind, Source, evaluate};
use watchfire_template::prometheus::RuleTemplate;
use watchfire_tsdb::{Settings, Tsdb};

/// The public test data, or the line that says why the test is skipped.
#[expect(clippy::disallowed_methods, reason = "where the test data lies is a fact of the environment")]
fn test_data(test: &str, path: &str) -> Option<String> {
    let Ok(folder) = std::env::var("WATCHFIRE_TEST_DATA") else {
        println!("SKIPPED {test}: WATCHFIRE_TEST_DATA is not set");
        return None;
    };
    Some(std::fs::read_to_string(format!("{folder}/{path}")).expect("the test data is readable"))
}

/// The labels of `name{a="b"}`.
fn series_labels(text: &str) -> Labels {
    let expr = watchfire_promql::parse_selector(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Labels::from_pairs(expr.into_iter().map(|matcher| (matcher.name().to_owned(), matcher.value().to_owned())))
}

/// promtool's notation: `1 2x3 0+10x4 _ _x2 stale NaN`.
fn values(text: &str) -> Vec<Option<f64>> {
    let number = |text: &str| match text {
        "NaN" => f64::NAN,
        "Inf" | "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().unwrap_or_else(|_| panic!("not a number: {text}")),
    };
    let mut out = Vec::new();
    for part in text.split_whitespace() {
        let (base, times) = match part.rsplit_once('x') {
            Some((base, times)) => (base, times.parse::<u32>().unwrap()),
            None => (part, 0),
        };
        match base {
            "_" => out.extend(std::iter::repeat_n(None, times.max(1) as usize)),
            "stale" => out.push(Some(STALE_NAN)),
            base => {
                // The sign between start and step is neither the first character nor that of an exponent.
                let sign = base
                    .char_indices()
                    .skip(1)
                    .find(|(i, c)| matches!(c, '+' | '-') && !matches!(base.as_bytes()[i - 1], b'e' | b'E'));
                let (start, step) = match sign {
                    Some((at, _)) if part.contains('x') => (number(&base[..at]), number(&base[at..])),
                    _ => (number(base), 0.0),
                };
                let mut value = start;
                for _ in 0..=times {
                    out.push(Some(value));
                    value += step;
                }
            }
        }
    }
    out
}

fn templates(rule: &Json, key: &str, name: &str) -> Vec<(String, RuleTemplate)> {
    let texts = rule[key].as_object().into_iter().flatten();
    texts.map(|(n, text)| (n.clone(), RuleTemplate::parse(name, text.as_str().unwrap()).unwrap())).collect()
}

fn texts(json: &Json) -> BTreeMap<String, String> {
    json.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
}

/// Equal names and equal texts, where numbers inside the texts may differ in their last digits: newer versions of
/// Prometheus sum with more care.
fn same_texts(got: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) -> bool {
    let near = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-12 * b.abs(),
        _ => false,
    };
    let same = |a: &str, b: &str| {
        a == b
            || (a.split(' ').count() == b.split(' ').count()
                && words(a).zip(words(b)).all(|(a, b)| a == b || near(a, b)))
    };
    got.len() == expected.len() && got.iter().zip(expected).all(|((n, a), (m, b))| n == m && same(a, b))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

#[test]
fn alerts_are_those_of_prometheus() {
    let Some(lines) = test_data("alerts_are_those_of_prometheus", "oracle-exprs/alerts.jsonl") else {
        return;
    };
    let options = Options::default();
    let external = Labels::empty();
    let (mut failures, mut count) = (Vec::new(), 0);
    for line in lines.lines() {
        count += 1;
        let case: Json = serde_json::from_str(line).unwrap();
        let rule = &case["rule"];
        let (name, expr) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        let interval: Duration = case["interval"].as_str().unwrap().parse().unwrap();
        let mut db = Tsdb::new(Settings::default());
        for series in case["input_series"].as_array().unwrap() {
            let labels = series_labels(series["series"].as_str().unwrap());
            for (i, value) in (0..).zip(values(series["values"].as_str().unwrap())) {
                if let Some(value) = value {
                    let timestamp = Timestamp::EPOCH + interval.times(i);
                    db.append(&labels, Sample { timestamp, value }).unwrap();
                }
            }
        }
        let parsed = match watchfire_promql::parse(expr) {
            Ok(parsed) => parsed,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        let rule = Rule {
            id: RuleId(0),
            position: Position::default(),
            name: name.to_owned(),
            kind: RuleKind::Alerting(Alerting {
                annotations: templates(rule, "annotations", name),
                ..Alerting::default()
            }),
            source: Source::Expr(ExprSource {
                expr: Arc::new(parsed),
                text: expr.to_owned(),
                position: Position::default(),
            }),
            condition: None,
            labels: templates(rule, "labels", name),
        };
        let at = Timestamp::from_millis(case["eval_time_ms"].as_i64().unwrap());
        let got = match evaluate(&rule, at, &mut Evaluator::new(&db, &external, &options)) {
            Ok(Outcome::Instances { active, .. }) => active,
            other => {
                failures.push(format!("{name}: {expr}\n  {other:?}"));
                continue;
            }
        };
        let mut got: Vec<_> = got
            .into_iter()
            .map(|i| {
                (
                    i.labels.iter().map(|l| (l.name.to_owned(), l.value.to_owned())).collect(),
                    i.annotations.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
                )
            })
            .collect::<Vec<(BTreeMap<_, _>, _)>>();
        let mut expected: Vec<_> = case["expected_alerts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|alert| {
                let mut labels = texts(&alert["labels"]);
                labels.retain(|_, value| !value.is_empty());
                (labels, texts(&alert["annotations"]))
            })
            .collect();
        got.sort();
        expected.sort();
        let same = got.len() == expected.len()
            && got
                .iter()
                .zip(&expected)
                .all(|(got, expected)| same_texts(&got.0, &expected.0) && same_texts(&got.1, &expected.1));
        if !same {
            failures.push(format!("{name}: {expr}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 596, "only {count} cases");
}
