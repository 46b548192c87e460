//! Real expressions with the results that Prometheus gave, and all expressions of real rule collections.

use serde_json::Value as Json;
use watchfire_model::{Labels, Timestamp};
use watchfire_promql::{Features, Options, Plan, Tracked, Value, parse, parse_series, parse_with};
use watchfire_tsdb::{Point, Tsdb};

use crate::public_data;
use crate::script::almost_equal;

fn text<'j>(json: &'j Json, key: &str) -> &'j str {
    json[key].as_str().unwrap_or_else(|| panic!("{key} is missing in {json}"))
}

fn number(json: &Json) -> f64 {
    match json {
        Json::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Json::String(text) => text.parse().expect("a value is a number"),
        other => panic!("{other} is no value"),
    }
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().expect("labels are an object");
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or(""))).collect()
}

fn load(case: &Json) -> Tsdb {
    let mut db = Tsdb::default();
    let interval: watchfire_model::Duration = text(case, "interval").parse().expect("an interval");
    for series in case["input_series"].as_array().into_iter().flatten() {
        let notation = format!("{} {}", text(series, "series"), text(series, "values"));
        let parsed = parse_series(&notation).unwrap_or_else(|error| panic!("{notation}: {error}"));
        for (i, noted) in parsed.values.into_iter().enumerate() {
            let Some(value) = noted.value else { continue };
            let timestamp = Timestamp::EPOCH + interval.times(i as i64);
            db.append_point(&parsed.labels, Point { timestamp, start: None, value }).expect("the sample is in order");
        }
    }
    db
}

/// Compares one case; the reason if it differs.
fn check(case: &Json) -> Result<(), String> {
    let expr = text(case, "expr");
    let expects_error = case.get("expect_error").is_some_and(|e| e.as_bool() != Some(false));
    let answer = match parse(expr) {
        Err(_) if expects_error => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(parsed) => {
            let db = load(case);
            let at = Timestamp::from_millis(case["eval_time_ms"].as_i64().expect("a time"));
            let plan = Plan::new(&parsed, &Options::default());
            let answer = plan.instant(&db, at, &|| None);
            let tracked = plan.instant_tracked(&db, &mut Tracked::default(), at, &|| None);
            if format!("{answer:?}") != format!("{tracked:?}") {
                return Err("tracked series give another answer".to_owned());
            }
            answer
        }
    };
    let answer = match answer {
        Err(_) if expects_error => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(_) if expects_error => return Err("expected an error".to_owned()),
        Ok(answer) => answer,
    };
    let found: Vec<(Labels, f64)> = match answer.value {
        Value::Scalar(value) => vec![(Labels::empty(), value)],
        Value::Vector(samples) => {
            samples.into_iter().map(|s| (s.labels.clone(), s.float().unwrap_or(f64::NAN))).collect()
        }
        other => return Err(format!("unexpected kind of result {other:?}")),
    };
    let mut expected: Vec<(Labels, f64)> = case["expected"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|sample| (labels(&sample["labels"]), number(&sample["value"])))
        .collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let mut sorted = found;
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let same = expected.len() == sorted.len()
        && expected.iter().zip(&sorted).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1, 1e-9));
    if same { Ok(()) } else { Err(format!("expected {expected:?}\n      got {sorted:?}")) }
}

#[test]
fn real_expressions_agree_with_prometheus() {
    let Some(data) = public_data("real_expressions_agree_with_prometheus") else { return };
    let text = std::fs::read_to_string(data.join("oracle-exprs/exprs.jsonl")).expect("the cases must be readable");
    let (mut checked, mut left_out, mut wrong) = (0, 0, 0);
    for line in text.lines() {
        let case: Json = serde_json::from_str(line).expect("a case is JSON");
        // Ranges of subqueries are closed on the left in Prometheus 2 and open in Prometheus 3.
        if case["version_sensitive"].as_bool() == Some(true) {
            left_out += 1;
            continue;
        }
        checked += 1;
        if let Err(reason) = check(&case) {
            wrong += 1;
            println!("{}\n      {reason}", case["expr"]);
        }
    }
    println!("{checked} checked, {left_out} left out, {wrong} differ");
    assert!(checked > 1_600, "the cases are not complete");
    assert_eq!(wrong, 0);
}

/// The expressions of a rule file. Only as much YAML as these files use: `expr:` with a plain, quoted or block value.
fn expressions(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut out = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some(rest) = line.trim_start().trim_start_matches("- ").strip_prefix("expr:") else { continue };
        let key_indent = line.find("expr:").unwrap_or(0);
        let block: Vec<&str> = lines[i + 1..]
            .iter()
            .take_while(|next| next.trim().is_empty() || indent(next) > key_indent)
            .copied()
            .collect();
        let value = rest.trim();
        let expr = if value.is_empty() || value.starts_with(['|', '>']) {
            block.join("\n")
        } else {
            // A plain or quoted value may go on in deeper lines, which YAML folds into spaces.
            let mut whole = value.to_owned();
            for line in &block {
                let line = line.trim();
                whole.push_str(if line.is_empty() { "\n" } else { " " });
                whole.push_str(line);
            }
            let whole = whole.trim().to_owned();
            if whole.starts_with('\'') && whole.ends_with('\'') && whole.len() > 1 {
                whole[1..whole.len() - 1].replace("''", "'")
            } else if whole.starts_with('"') && whole.ends_with('"') && whole.len() > 1 {
                serde_json::from_str(&whole).unwrap_or(whole)
            } else {
                whole
            }
        };
        out.push(expr);
    }
    out
}

#[test]
fn expressions_of_real_rules_parse_and_print_what_they_mean() {
    let Some(data) = public_data("expressions_of_real_rules_parse_and_print_what_they_mean") else { return };
    let folder = data.join("alert-rules");
    let index = std::fs::read_to_string(folder.join("INDEX.jsonl")).expect("the index must be readable");
    let (mut count, mut refused, mut files) = (0, Vec::new(), 0);
    for line in index.lines() {
        let entry: Json = serde_json::from_str(line).expect("an entry is JSON");
        // Some files of other products have expressions that Prometheus refuses too.
        if entry["promtool_2_42_rc"].as_i64() != Some(0) {
            continue;
        }
        files += 1;
        let name = text(&entry, "file");
        let content = std::fs::read_to_string(folder.join(name)).expect("a rule file must be readable");
        for expr in expressions(&content) {
            count += 1;
            match parse_with(&expr, Features::default()) {
                Ok(parsed) => {
                    let canonical = parsed.to_string();
                    let again = parse(&canonical).map(|e| e.to_string());
                    assert_eq!(again.as_deref(), Ok(canonical.as_str()), "{expr}");
                }
                Err(error) => refused.push(format!("{name}: {error}: {expr}")),
            }
        }
    }
    println!("{count} expressions in {files} files, {} refused", refused.len());
    refused.iter().for_each(|r| println!("  {r}"));
    assert!(count > 2_000, "the rule collections are not complete");
    assert!(refused.is_empty());
}
