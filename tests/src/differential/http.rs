//! The query API over HTTP: whole JSON answers of the binary beside those of a real Prometheus.

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;

use super::answer::{label_value, near};
use super::grammar::Grammar;
use super::prometheus::Prometheus;
use super::{FEATURES, Version, known, remote_write, series};
use crate::support::{Engine, Random, block_on};

/// Queries of a run.
const QUERIES: usize = 400;

/// What no rule reads is kept, and for as long as the series of the test reach.
const CONFIG: &str = "rules: {paths: [rules.yml]}\nevaluation: {keep_unread: true, experimental: true}\n\
                      route: {receiver: none}\nreceivers: [{name: none}]\n";
const RULES: &str = "groups: [{name: g, interval: 1h, rules: [{record: a:b, expr: 'count_over_time(nothing[6h])'}]}]";

pub(super) fn run() -> Result<()> {
    block_on(async {
        let mut random = Random::repeated("query API");
        let version = Version::installed()?;
        let data = version.data(series::generate(&mut random, recently())?);
        let prometheus = Prometheus::start(FEATURES)?;
        prometheus.fill(&data).await?;
        let engine = Engine::start(&[("watchfire.yml", CONFIG), ("rules.yml", RULES)]).await?;
        for slice in data.slices() {
            let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
            let answer = engine.post("/api/v1/write", &headers, remote_write::request(&data, slice)).await?;
            ensure!(answer.status().is_success(), "samples were refused: {}", answer.text().await?);
        }
        let (mut asked, mut answered, mut native, mut differences) = (0, 0, 0, Vec::new());
        for number in 0..QUERIES {
            let experimental = version.is_current() && number % 2 == 0;
            let mut grammar = Grammar { random: &mut random, version, start: data.start, end: data.end, experimental };
            let (query, at) = (grammar.query(), seconds(grammar.time()));
            // Which series have samples in some time an older server knows by the hour only.
            if !version.agrees(&query) || (!version.is_current() && number % 6 == 1) {
                continue;
            }
            let end = seconds(data.end);
            let (path, parameters) = match number % 6 {
                0 => ("/api/v1/query_range", vec![("query", &*query), ("start", &*at), ("end", &*end), ("step", "5m")]),
                1 => ("/api/v1/series", vec![("match[]", &*query), ("start", &*at), ("end", &*end)]),
                2 => ("/api/v1/labels", vec![("match[]", &*query)]),
                _ => ("/api/v1/query", vec![("query", &*query), ("time", &*at)]),
            };
            asked += 1;
            let theirs = prometheus.ask(path, &parameters).await?;
            let own = ask(&engine, path, &parameters).await?;
            answered += usize::from(theirs["status"] == "success");
            native += usize::from(theirs.to_string().contains("\"buckets\":"));
            if let Some(difference) = difference(theirs, own)
                && known::difference(&query).is_none()
            {
                println!("DIFFERS {path} {parameters:?}\n        {difference}");
                differences.push(query);
            }
        }
        for path in ["/api/v1/labels", "/api/v1/label/job/values", "/api/v1/label/__name__/values"] {
            let (theirs, own) = (prometheus.get(path).await?, engine.get(path).await?);
            if let Some(difference) = difference(theirs, own) {
                println!("DIFFERS {path}\n        {difference}");
                differences.push(path.to_owned());
            }
        }
        println!(
            "{asked} requests, {answered} answered, {native} with native histograms, {} differ",
            differences.len()
        );
        ensure!(answered > asked / 3, "too few requests are answered");
        ensure!(native > 0 || !version.is_current(), "no answer has native histograms");
        ensure!(differences.is_empty(), "{} answers differ from Prometheus'", differences.len());
        Ok(())
    })
}

/// Ninety minutes ago, at a whole minute: the engine lets go of what is too old for its rules.
#[expect(clippy::disallowed_methods, reason = "the test plays a sender, which has a clock")]
pub(super) fn recently() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_millis()).unwrap_or(0);
    (now - series::LENGTH) / 60_000 * 60_000
}

fn seconds(millis: i64) -> String {
    format!("{:.3}", millis as f64 / 1000.0)
}

pub(super) async fn ask(engine: &Engine, path: &str, parameters: &[(&str, &str)]) -> Result<Json> {
    let form = reqwest::Url::parse_with_params("http://form/", parameters)?;
    let body = form.query().unwrap_or_default().to_owned();
    let answer = engine.post(path, &[("content-type", "application/x-www-form-urlencoded")], body).await?;
    let text = answer.text().await?;
    serde_json::from_str(&text).with_context(|| format!("{path} is no JSON: {text}"))
}

/// The first difference of two answers. What is said to people and the order of series do not count.
pub(super) fn difference(mut theirs: Json, mut own: Json) -> Option<String> {
    for json in [&mut theirs, &mut own] {
        if let Some(object) = json.as_object_mut() {
            for key in ["error", "warnings", "infos"] {
                object.remove(key);
            }
        }
        for list in ["/data/result", "/data"] {
            if let Some(all) = json.pointer_mut(list).and_then(Json::as_array_mut)
                && all.iter().all(Json::is_object)
            {
                all.sort_by_cached_key(|one| one.get("metric").unwrap_or(one).to_string());
            }
        }
    }
    tree("", &theirs, &own)
}

fn tree(place: &str, theirs: &Json, own: &Json) -> Option<String> {
    let differ = || Some(format!("{place}: {theirs}, Watchfire {own}"));
    match (theirs, own) {
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (a, b))| tree(&format!("{place}[{i}]"), a, b))
        }
        (Json::Object(a), Json::Object(b)) if a.len() == b.len() && a.keys().all(|key| b.contains_key(key)) => {
            a.iter().find_map(|(key, value)| tree(&format!("{place}.{key}"), value, &b[key]))
        }
        // A histogram as the value of a label.
        (Json::String(a), Json::String(b)) if a != b && a.starts_with('{') && label_value(a) == label_value(b) => None,
        (Json::String(a), Json::String(b)) if a != b => match (a.parse::<f64>(), b.parse::<f64>()) {
            // Equal numbers have to look the same.
            (Ok(a), Ok(b)) if a != b && near(a, b) => None,
            _ => differ(),
        },
        (Json::Number(a), Json::Number(b)) => {
            if a.as_f64() == b.as_f64() {
                None
            } else {
                differ()
            }
        }
        (a, b) if a == b => None,
        _ => differ(),
    }
}
