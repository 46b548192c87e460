//! PromQL against a real Prometheus: both get the same generated series and the same generated queries.
//!
//! `WATCHFIRE_SEED` repeats a run; `cargo xtask fuzz promql --minutes N` makes long ones.

mod answer;
mod collections;
mod grammar;
mod histograms;
mod http;
mod known;
mod prometheus;
mod remote_write;
mod series;
mod shrink;
mod version;

use anyhow::{Result, ensure};
use watchfire_model::{Duration, Timestamp};
use watchfire_promql::{Features, Options, Plan, parse_with};
use watchfire_tsdb::Tsdb;

use crate::Case;
use crate::support::{Fuzz, Tool, block_on};
use answer::{Answer, difference};
use grammar::Grammar;
use prometheus::Prometheus;
use series::Data;
use version::Version;

pub(crate) const CASES: &[Case] = &[
    Case { name: "differential::promql_answers_as_prometheus_does", needs: &[Tool::Prometheus], run: queries },
    Case {
        name: "differential::rule_collections_answer_as_in_prometheus",
        needs: &[Tool::Prometheus, Tool::Data],
        run: collections::run,
    },
    Case {
        name: "differential::query_api_answers_as_prometheus_does",
        needs: &[Tool::Binary, Tool::Prometheus],
        run: http::run,
    },
    Case {
        name: "differential::histograms_of_every_wire_answer_as_in_prometheus",
        needs: &[Tool::Binary, Tool::Prometheus3],
        run: histograms::run,
    },
];

/// Queries of the bounded run.
const QUERIES: u64 = 2_000;
/// Queries to one set of series.
const QUERIES_PER_DATA: u64 = 1_000;
/// Differences after which a run ends.
const DIFFERENCES_MAX: usize = 40;

/// 2023-11-14T22:13:20Z; a whole minute is 20 s later.
const START: i64 = 1_700_000_000_000;

const FEATURES: &str =
    "promql-experimental-functions,promql-duration-expr,promql-extended-range-selectors,promql-binop-fill-modifiers";

/// When a query is asked.
#[derive(Clone, Copy, Debug)]
enum When {
    At(i64),
    Range(i64, i64, i64),
}

/// Both sides, with the same samples.
struct Pair {
    version: Version,
    prometheus: Prometheus,
    db: Tsdb,
}

fn queries() -> Result<()> {
    block_on(async {
        known::list_is_complete()?;
        let version = Version::installed()?;
        let (fuzz, mut random) = Fuzz::begin("differential");
        let (mut asked, mut known, mut answered, mut filled) = (0u64, 0u64, 0u64, 0u64);
        let mut differences = Vec::new();
        loop {
            let data = version.data(series::generate(&mut random, START)?);
            let pair = Pair::new(version, &data).await?;
            for _ in 0..QUERIES_PER_DATA {
                let experimental = version.is_current() && random.below(2) == 0;
                let (start, end) = (data.start, data.end);
                let mut grammar = Grammar { random: &mut random, version, start, end, experimental };
                let query = grammar.query();
                if !version.agrees(&query) {
                    continue;
                }
                let when = match grammar.random.below(3) {
                    0 => {
                        let (start, step) =
                            (grammar.time(), [15_000, 60_000, 77_000][grammar.random.below(3) as usize]);
                        When::Range(start, start + step * grammar.random.below(12) as i64, step)
                    }
                    _ => When::At(grammar.time()),
                };
                asked += 1;
                let (theirs, found) = pair.compare(&query, when).await?;
                if let Answer::Series { series, .. } = &theirs {
                    answered += 1;
                    filled += u64::from(!series.is_empty());
                }
                if let Some(found) = found {
                    if known::difference(&query).is_some() {
                        known += 1;
                        continue;
                    }
                    let (query, found) = pair.shrink(query, found, when).await?;
                    println!("DIFFERS {query}\n        {when:?}\n        {found}");
                    differences.push(query);
                }
            }
            if fuzz.is_over(asked, QUERIES) || differences.len() >= DIFFERENCES_MAX {
                break;
            }
        }
        println!(
            "{asked} queries, {answered} answered, {filled} with series, {known} differ as is known, {} otherwise",
            differences.len()
        );
        ensure!(filled > asked / 4, "the queries find too little to prove anything");
        ensure!(differences.is_empty(), "{} queries have other answers than Prometheus'", differences.len());
        Ok(())
    })
}

impl Pair {
    async fn new(version: Version, data: &Data) -> Result<Pair> {
        let prometheus = Prometheus::start(FEATURES)?;
        prometheus.fill(data).await?;
        // In the order in which Prometheus gets them: which of several equal series `topk` takes depends on which of
        // them came first.
        let mut db = Tsdb::default();
        for slice in data.slices() {
            for (labels, points) in &data.series {
                for point in points.iter().filter(|point| slice.contains(&point.timestamp.as_millis())) {
                    db.append_point(labels, point.clone())?;
                }
            }
        }
        Ok(Pair { version, prometheus, db })
    }

    /// Prometheus' answer, and the first difference.
    async fn compare(&self, query: &str, when: When) -> Result<(Answer, Option<String>)> {
        let text = |millis: i64| format!("{:.3}", millis as f64 / 1000.0);
        let json = match when {
            When::At(at) => self.prometheus.ask("/api/v1/query", &[("query", query), ("time", &text(at))]).await?,
            When::Range(start, end, step) => {
                let (start, end, step) = (text(start), text(end), text(step));
                let parameters = [("query", query), ("start", &*start), ("end", &*end), ("step", &*step)];
                self.prometheus.ask("/api/v1/query_range", &parameters).await?
            }
        };
        let theirs = Answer::of_json(&json, query)?;
        let mut own = self.own(query, when);
        if !self.version.is_current() {
            own.forget_remarks();
        }
        let found = difference(&theirs, &own, matches!(when, When::Range(..)));
        Ok((theirs, found))
    }

    fn own(&self, query: &str, when: When) -> Answer {
        let plan = match parse_with(query, Features::ALL) {
            Ok(expr) => Plan::new(&expr, &Options::default()),
            Err(error) => return Answer::Failed(error.to_string()),
        };
        let time = Timestamp::from_millis;
        let (answer, at) = match when {
            When::At(at) => (plan.instant(&self.db, time(at), &|| None), at),
            When::Range(start, end, step) => {
                (plan.range(&self.db, time(start), time(end), Duration::from_millis(step), &|| None), end)
            }
        };
        match answer {
            Ok(answer) => Answer::of_own(answer, at, query),
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    /// A smaller query that differs too, with its difference.
    async fn shrink(&self, mut query: String, mut found: String, when: When) -> Result<(String, String)> {
        'smaller: loop {
            for candidate in shrink::simpler(&query) {
                if known::difference(&candidate).is_none()
                    && self.version.agrees(&candidate)
                    && let (_, Some(difference)) = self.compare(&candidate, when).await?
                {
                    (query, found) = (candidate, difference);
                    continue 'smaller;
                }
            }
            return Ok((query, found));
        }
    }
}
