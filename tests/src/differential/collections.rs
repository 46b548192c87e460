//! Real rule collections: every expression has to answer as in Prometheus, over series made for its selectors.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;
use watchfire_config::{Diagnostic, Source, load_rules};
use watchfire_model::{Labels, MatchOp, Matcher, Timestamp};
use watchfire_promql::Features;
use watchfire_promql::syntax::Expr;
use watchfire_rules::Source as RuleSource;
use watchfire_tsdb::{Point, SampleValue};

use super::answer::Answer;
use super::series::Data;
use super::{Pair, Version, When, known};
use crate::support::{Random, block_on, variable};

/// 2023-11-14T22:14:00Z
const START: i64 = 1_700_000_040_000;
/// 25 samples, one a minute.
const LENGTH: i64 = 24 * 60_000;
/// Expressions that have to find something for the comparison to mean anything, in percent.
const FOUND_MIN: usize = 50;

pub(super) fn run() -> Result<()> {
    let folder = variable("WATCHFIRE_TEST_DATA").context("WATCHFIRE_TEST_DATA is not set")?;
    let folder = std::path::Path::new(&folder).join("alert-rules");
    let index = std::fs::read_to_string(folder.join("INDEX.jsonl"))?;
    let (mut expressions, mut files, mut rules) = (BTreeSet::new(), 0, 0);
    for line in index.lines() {
        let entry: Json = serde_json::from_str(line)?;
        // Some files of other products have expressions that Prometheus refuses too.
        if entry["promtool_2_42_rc"] != 0 {
            continue;
        }
        let name = entry["file"].as_str().context("an entry names a file")?;
        let text = std::fs::read_to_string(folder.join(name))?;
        let loaded = load_rules(Source { name, text: &text });
        let errors: Vec<&Diagnostic> = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
        ensure!(errors.is_empty() && loaded.quarantined.is_empty(), "{name}: {errors:?}");
        files += 1;
        for rule in loaded.file.groups.iter().flat_map(|group| &group.rules) {
            rules += 1;
            if let RuleSource::Expr(source) = &rule.source {
                expressions.insert(source.text.clone());
            }
        }
    }
    println!("{rules} rules in {files} files, {} expressions", expressions.len());
    ensure!(rules > 2_000, "the rule collections are not complete");
    block_on(compare(expressions))
}

async fn compare(expressions: BTreeSet<String>) -> Result<()> {
    let mut random = Random::repeated("rule collections");
    let mut makers: BTreeMap<Labels, ()> = BTreeMap::new();
    for text in &expressions {
        let expr = watchfire_promql::parse_with(text, Features::ALL)?;
        let groups = grouping_labels(&expr);
        for selector in expr.selectors() {
            makers.extend(series_for(&selector.matchers, &groups).into_iter().map(|labels| (labels, ())));
        }
    }
    let mut data = Data { series: Vec::new(), start: START, end: START + LENGTH };
    data.series = makers.into_keys().map(|labels| with_samples(labels, &mut random)).collect();
    println!("{} series", data.series.len());
    let version = Version::installed()?;
    let data = version.data(data);
    let pair = Pair::new(version, &data).await?;
    let (mut found, mut differences) = (0, 0);
    for text in &expressions {
        if !version.speaks(text) {
            continue;
        }
        let when = When::At(version.time(data.end));
        let (theirs, difference) = pair.compare(text, when).await?;
        found += usize::from(matches!(theirs, Answer::Series { series, .. } if !series.is_empty()));
        if let Some(difference) = difference.filter(|_| known::difference(text).is_none()) {
            differences += 1;
            let (small, difference) = pair.shrink(text.clone(), difference, when).await?;
            println!("DIFFERS {text}\n     as {small}\n        {difference}");
        }
    }
    println!("{} expressions compared, {found} with series, {differences} differ", expressions.len());
    ensure!(found * 100 >= FOUND_MIN * expressions.len(), "too few expressions find series");
    ensure!(differences == 0, "{differences} expressions have other answers than Prometheus'");
    Ok(())
}

/// Labels by which an expression groups or joins: every series gets them, so that the parts meet.
fn grouping_labels(expr: &Expr) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    expr.walk(&mut |part| match part {
        Expr::Aggregate(aggregate) if !aggregate.without => labels.extend(aggregate.grouping.iter().cloned()),
        Expr::Binary(binary) => {
            labels.extend(binary.matching.iter().filter(|m| m.on).flat_map(|m| m.labels.iter().cloned()));
        }
        _ => {}
    });
    labels.remove("le");
    labels.remove("__name__");
    labels
}

/// Two series that a selector matches, or all buckets of two where it reads a histogram.
fn series_for(matchers: &[Matcher], groups: &BTreeSet<String>) -> Vec<Labels> {
    let mut values: BTreeMap<&str, String> = BTreeMap::new();
    for group in groups {
        values.insert(group, "g".to_owned());
    }
    for name in matchers.iter().map(Matcher::name) {
        let all: Vec<&Matcher> = matchers.iter().filter(|matcher| matcher.name() == name).collect();
        if let Some(value) = candidates(&all).find(|value| all.iter().all(|matcher| matcher.matches(value))) {
            values.insert(name, value);
        }
    }
    let Some(metric) = values.get("__name__").filter(|name| !name.is_empty()).cloned() else { return Vec::new() };
    let bounds: &[&str] = match (metric.ends_with("_bucket"), values.get("le")) {
        (true, None) => &["0.1", "1", "5", "+Inf"],
        _ => &[""],
    };
    let mut out = Vec::new();
    for instance in ["a", "b"] {
        for bound in bounds {
            let mut all = values.clone();
            // A matcher may fix the instance; then there is one series.
            all.entry("instance").or_insert_with(|| instance.to_owned());
            if !bound.is_empty() {
                all.insert("le", (*bound).to_owned());
            }
            let filled = all.iter().filter(|(_, value)| !value.is_empty());
            out.push(Labels::from_pairs(filled.map(|(name, value)| (*name, value.as_str()))));
        }
    }
    out
}

/// Values that may satisfy the matchers of one label.
fn candidates(matchers: &[&Matcher]) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    for matcher in matchers {
        match matcher.op() {
            MatchOp::Equal => found.push(matcher.value().to_owned()),
            MatchOp::Regex => {
                // The first branch with its dots and groups taken away is a text that most patterns match.
                for branch in matcher.value().split('|') {
                    let stars = branch.replace(".*", "").replace(".+", "x").replace("[0-9]+", "5").replace("\\d+", "5");
                    found.push(stars.replace(['(', ')', '^', '$', '?', '\\'], ""));
                    found.push(stars.replace("[45]", "5").replace("[1-5]", "4").replace("..", "00"));
                }
            }
            MatchOp::NotEqual | MatchOp::NotRegex => {}
        }
    }
    found.extend(["x", "500", "4", "", "eth0", "sda", "ext4", "/", "job_name", "a_b_c", "x_bucket"].map(str::to_owned));
    found.into_iter()
}

/// Counters go up, sometimes back to zero; the rest wanders.
fn with_samples(labels: Labels, random: &mut Random) -> (Labels, Vec<Point>) {
    let name = labels.value_or_empty("__name__");
    let counts = ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
    let scale = match labels.get("le") {
        Some("+Inf") => 8,
        Some(bound) => 1 + bound.len() as u64,
        None => 1 + random.below(5),
    };
    let mut value = random.below(3) as f64;
    let points = (START..=START + LENGTH).step_by(60_000).map(|at| {
        value = match (counts, random.below(30)) {
            (true, 0) => 0.0,
            (true, _) => value + (scale * (1 + at as u64 / 60_000 % 3)) as f64,
            (false, n) => [0.0, 1.0, 1.0, value, 95.0, 0.5][n as usize % 6],
        };
        Point { timestamp: Timestamp::from_millis(at), start: None, value: SampleValue::Float(value) }
    });
    let points = points.collect();
    (labels, points)
}
