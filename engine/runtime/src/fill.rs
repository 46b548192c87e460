//! Filling the store at the start from a server that has the samples already, so that windows are full at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration as StdDuration;

use futures::{StreamExt, TryStreamExt, stream};
use watchfire_config::{EvaluationConfig, PrometheusConfig};
use watchfire_delivery::{Prometheus, PrometheusError};
use watchfire_ingest::query::{AnswerError, decode_answer};
use watchfire_ingest::remote_read::{decode_response, encode_request};
use watchfire_ingest::{DecodeErrorKind, Limits, UnsortedLabels};
use watchfire_model::{Duration, METRIC_NAME_LABEL, MatchOp, Matcher, Timestamp};
use watchfire_promql::{Answer, Value};
use watchfire_rules::RuleFile;
use watchfire_store::log::{Entry, LogError};
use watchfire_tsdb::Point;

use crate::Pushed;
use crate::data::{Data, Refusal, SeriesBatch, reject};

/// Requests at one time.
const REQUESTS_MAX: usize = 4;
/// What is too much for one answer is asked in halves, until they are shorter than this.
const PART_MIN: Duration = Duration::from_mins(1);
/// How often the log says how far it is.
const TELL_EVERY: StdDuration = StdDuration::from_secs(5);
/// How many bytes an answer may have decompressed for each that came over the wire.
const EXPANSION_MAX: u64 = 4;

/// What rules read through a selector.
#[derive(Clone, Debug)]
struct Wanted {
    matchers: Vec<Matcher>,
    /// How far back.
    reach: Duration,
}

/// What the store has of it before it is filled.
#[derive(Clone, Copy, Debug)]
struct Held {
    series: usize,
    /// The newest sample of the series whose newest sample is the oldest.
    oldest: Option<Timestamp>,
}

/// How far the filling is, and in the end what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Selectors to fill.
    pub(crate) selectors: usize,
    /// Those that are done.
    pub(crate) done: usize,
    /// Samples that were missing and are there now.
    pub(crate) samples: u64,
    /// Why some are not done.
    pub(crate) failures: Vec<String>,
}

/// Why a part of the samples could not be had.
enum PartError {
    /// It is too much for one answer.
    TooMuch(String),
    /// The server is gone: there is no use in asking further.
    Unreachable(String),
    /// Anything else.
    Failed(String),
}

impl From<PrometheusError> for PartError {
    fn from(error: PrometheusError) -> PartError {
        match error {
            PrometheusError::Unreachable(reason) => PartError::Unreachable(reason),
            PrometheusError::Refused { .. } => PartError::Failed(error.to_string()),
            PrometheusError::TooLarge { .. } => PartError::TooMuch(error.to_string()),
        }
    }
}

/// Everything that the rules read of the series here, each selector once. What the engine writes itself about alerts is
/// not among it.
fn wanted(files: &[RuleFile], evaluation: &EvaluationConfig) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for group in files.iter().flat_map(|file| &file.groups).filter(|group| group.source.is_none()) {
        let more = group.query_offset.unwrap_or(evaluation.query_offset) + evaluation.lookback;
        for rule in &group.rules {
            let selectors = rule.selectors().into_iter().map(|selector| (selector.matchers, selector.reach));
            let queries = rule.template_queries();
            let queried =
                queries.names.iter().map(|name| (vec![Matcher::equal(METRIC_NAME_LABEL, name)], queries.reach));
            all.extend(selectors.chain(queried).map(|(matchers, reach)| Wanted { matchers, reach: reach + more }));
        }
    }
    all.retain(|wanted| {
        !wanted.matchers.iter().any(|m| m.name() == METRIC_NAME_LABEL && m.value().starts_with("ALERTS"))
    });
    // The widest come first, so that what they cover is left out.
    all.sort_by_key(|wanted| (wanted.matchers.len(), std::cmp::Reverse(wanted.reach)));
    let mut kept: Vec<Wanted> = Vec::new();
    for wanted in all {
        let covers = |wide: &Wanted| {
            wide.reach >= wanted.reach && wide.matchers.iter().all(|matcher| wanted.matchers.contains(matcher))
        };
        if !kept.iter().any(covers) {
            kept.push(wanted);
        }
    }
    kept
}

/// What can be filled at the same time, each sequence in its order. To a series only newer samples can be added, so that
/// of selectors that may match one series that goes first which reaches back furthest: those of one metric, or all of
/// them if one of them names none.
fn sequences(mut wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let metric = |wanted: &Wanted| {
        let named = |m: &&Matcher| m.name() == METRIC_NAME_LABEL && m.op() == MatchOp::Equal;
        wanted.matchers.iter().find(named).map(|matcher| matcher.value().to_owned())
    };
    wanted.sort_by_key(|wanted| std::cmp::Reverse(wanted.reach));
    if wanted.iter().any(|wanted| metric(wanted).is_none()) {
        return vec![wanted];
    }
    let mut by_metric: BTreeMap<Option<String>, Vec<Wanted>> = BTreeMap::new();
    for wanted in wanted {
        by_metric.entry(metric(&wanted)).or_default().push(wanted);
    }
    by_metric.into_values().collect()
}

/// Asks for what is missing of all that the rules read, and stores it. Ends after `timeout` with what was had by then.
pub(crate) async fn fill(
    data: &Data,
    server: &PrometheusConfig,
    timeout: Duration,
    files: &[RuleFile],
    evaluation: &EvaluationConfig,
    limits: &Limits,
    now: Timestamp,
) -> Progress {
    let wanted = wanted(files, evaluation);
    let progress = RefCell::new(Progress { selectors: wanted.len(), ..Progress::default() });
    let client = match Prometheus::new(server) {
        Ok(client) => client,
        Err(reason) => return Progress { failures: vec![reason], ..progress.into_inner() },
    };
    let filler = Filler { data, client: &client, limits: lenient(limits, server), now, progress: &progress };
    let held = |wanted: Wanted| {
        let held = data.held(&wanted.matchers);
        (wanted, held)
    };
    let sequences: Vec<Vec<(Wanted, Held)>> =
        sequences(wanted).into_iter().map(|sequence| sequence.into_iter().map(held).collect()).collect();
    let all = stream::iter(sequences.iter().map(Ok)).try_for_each_concurrent(REQUESTS_MAX, async |sequence| {
        for (wanted, held) in sequence {
            filler.one(wanted, *held).await?;
        }
        Ok(())
    });
    let told = stream::unfold((), async |()| {
        tokio::time::sleep(TELL_EVERY).await;
        let Progress { selectors, done, samples, .. } = *progress.borrow();
        tracing::info!(selectors, done, samples, "filling the store");
        Some(((), ()))
    });
    let ended = tokio::select! {
        ended = tokio::time::timeout(timeout.to_std(), all) => ended,
        () = told.for_each(async |()| {}) => Ok(Ok(())),
    };
    let mut progress = progress.into_inner();
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => progress.failures.push(reason),
        Err(_) => progress.failures.push(format!("it takes longer than {timeout} (`storage.fill.timeout`)")),
    }
    progress
}

/// The bounds of one answer: that of its bytes is the source's.
fn lenient(limits: &Limits, server: &PrometheusConfig) -> Limits {
    let bytes = server.answer_bytes_max.saturating_mul(EXPANSION_MAX);
    Limits {
        body_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX),
        samples_max: usize::MAX,
        unsorted_labels: UnsortedLabels::Sort,
        ..limits.clone()
    }
}

struct Filler<'a> {
    data: &'a Data,
    client: &'a Prometheus,
    limits: Limits,
    now: Timestamp,
    progress: &'a RefCell<Progress>,
}

impl Filler<'_> {
    /// Fills what one selector reads. The error is one that concerns all others too.
    async fn one(&self, wanted: &Wanted, held: Held) -> Result<(), String> {
        let mut open = vec![(self.missing_since(wanted, held).await, self.now)];
        while let Some((start, end)) = open.pop() {
            let part = self.part(&wanted.matchers, start, end).await;
            match part {
                Ok(batch) => {
                    let stored = self.data.store_missing(batch, self.now).map_err(|error| error.to_string())?;
                    self.progress.borrow_mut().samples += stored;
                }
                Err(PartError::TooMuch(_)) if end.since(start) > PART_MIN => {
                    let middle = start + Duration::from_millis(end.since(start).as_millis() / 2);
                    // Older samples must be stored first.
                    open.extend([(middle + Duration::from_millis(1), end), (start, middle)]);
                }
                Err(PartError::Unreachable(reason)) => return Err(reason),
                Err(PartError::TooMuch(reason) | PartError::Failed(reason)) => {
                    let failure = format!("{}: {reason}", selector(&wanted.matchers));
                    self.progress.borrow_mut().failures.push(failure);
                    return Ok(());
                }
            }
        }
        self.progress.borrow_mut().done += 1;
        Ok(())
    }

    /// From when on samples are missing: since the engine was stopped if it had as many series as the server, else as
    /// far as the rules reach.
    async fn missing_since(&self, wanted: &Wanted, held: Held) -> Timestamp {
        let first = self.now - wanted.reach;
        let Some(oldest) = held.oldest else { return first };
        let text = format!("count({})", selector(&wanted.matchers));
        match self.query(&text, self.now).await.map(|answer| answer.value) {
            Ok(Value::Vector(count))
                if count.first().and_then(|one| one.float()).unwrap_or(0.0) <= held.series as f64 =>
            {
                oldest.max(first)
            }
            _ => first,
        }
    }

    /// The samples of some series between two times, both included: by remote-read, which also tells of staleness
    /// markers, native histograms and external labels; by query from servers that do not have it.
    async fn part(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<SeriesBatch, PartError> {
        let body = match self.client.read(encode_request(matchers, start, end)).await {
            Ok(body) => body,
            Err(PrometheusError::Refused { .. }) => return self.part_by_query(matchers, start, end).await,
            Err(error) => return Err(error.into()),
        };
        let limits = self.limits.clone();
        let decoded = blocking(move || decode_response(&body, &limits)).await?;
        match decoded {
            Ok(decoded) => Ok(decoded.series),
            Err(error) if error.kind == DecodeErrorKind::TooLarge => Err(PartError::TooMuch(error.to_string())),
            Err(error) => Err(PartError::Failed(error.to_string())),
        }
    }

    async fn part_by_query(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
    ) -> Result<SeriesBatch, PartError> {
        // A range leaves its beginning out.
        let millis = end.since(start).as_millis() + 1;
        let answer = self.query(&format!("{}[{millis}ms]", selector(matchers)), end).await?;
        let Value::Matrix(series) = answer.value else {
            return Err(PartError::Failed("the answer to a range of samples is something else".to_owned()));
        };
        let points = |samples: Vec<_>| {
            samples.into_iter().map(|(timestamp, value)| Point { timestamp, start: None, value }).collect()
        };
        Ok(series.into_iter().map(|series| (series.labels, points(series.samples))).collect())
    }

    async fn query(&self, text: &str, at: Timestamp) -> Result<Answer, PartError> {
        let body = self.client.query(text, at).await?;
        match blocking(move || decode_answer(&body)).await? {
            Ok(answer) => Ok(answer),
            // Most often it is too many samples, for which every server has words of its own.
            Err(error @ AnswerError::Failed { .. }) => Err(PartError::TooMuch(error.to_string())),
            Err(error) => Err(PartError::Failed(error.to_string())),
        }
    }
}

/// Runs what takes a while beside the tasks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PartError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PartError::Failed("reading the answer failed".to_owned()))
}

/// Matchers as a selector of PromQL.
fn selector(matchers: &[Matcher]) -> String {
    let name = |name: &str| match name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        true => name.to_owned(),
        false => format!("{name:?}"),
    };
    let matchers: Vec<String> = matchers
        .iter()
        .map(|matcher| format!("{}{}{:?}", name(matcher.name()), matcher.op(), matcher.value()))
        .collect();
    format!("{{{}}}", matchers.join(","))
}

impl Data {
    fn held(&self, matchers: &[Matcher]) -> Held {
        self.with_tsdb(|db| {
            let ids = db.select(matchers);
            let newest = ids.iter().filter_map(|id| Some(db.series(*id)?.newest().timestamp));
            Held { series: ids.len(), oldest: newest.min() }
        })
    }

    /// Logs and stores samples that are newer than what is there and not too far ahead, and answers how many.
    ///
    /// # Errors
    /// If the log cannot be written: nothing was taken then.
    pub(crate) fn store_missing(&self, mut batch: SeriesBatch, now: Timestamp) -> Result<u64, LogError> {
        let mut refused = Pushed::default();
        self.with_tsdb(|db| {
            for (item, (labels, points)) in batch.iter_mut().enumerate() {
                let newest = db.resolve(labels).and_then(|id| db.series(id)).map(|series| series.newest().timestamp);
                points.retain(|point| {
                    let refusal = Refusal::if_ahead(point.timestamp, now);
                    if let Some(refusal) = &refusal {
                        let is_histogram = point.value.histogram().is_some();
                        reject(&mut refused, &self.metrics, item, is_histogram, &labels.to_string(), refusal);
                    }
                    refusal.is_none() && newest.is_none_or(|newest| point.timestamp > newest)
                });
            }
        });
        if let Some(first) = refused.rejected.first() {
            tracing::warn!(refused = refused.rejected_count, reason = first.reason, "filling the store");
        }
        batch.retain(|(_, points)| !points.is_empty());
        if batch.is_empty() {
            return Ok(0);
        }
        let (pushed, _) = self.accept(&[Entry::Samples(batch)], now)?;
        Ok(pushed.iter().flatten().map(|pushed| pushed.accepted as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use watchfire_config::{Source as Text, load_rules};
    use watchfire_model::Anchoring;

    use super::*;

    #[test]
    fn what_rules_read_is_wanted_once_and_as_far_back_as_the_furthest() {
        let text = r#"groups:
          - {name: a, rules: [{alert: A, expr: 'rate(x{job="a"}[10m]) > 0'}, {alert: B, expr: 'rate(x[20m]) > 0'}]}
          - {name: b, query_offset: 1h, rules: [{record: r, expr: 'y'}, {alert: C, expr: 'ALERTS == 1'}]}
          - {name: c, source: {prometheus: 'http://p'}, rules: [{record: s, expr: z}]}
          - {name: d, rules: [{alert: D, expr: 'x{job="a"}[1d] offset 1m'}]}
          - {name: e, rules: [{alert: D, expr: 'max_over_time(x{job="a"}[1d])'}]}"#;
        let files = [load_rules(Text { name: "r", text }).file];
        let wanted = wanted(&files, &EvaluationConfig::default());
        let shown: Vec<String> =
            wanted.iter().map(|one| format!("{} {}", selector(&one.matchers), one.reach)).collect();
        assert_eq!(shown, [r#"{__name__="y"} 1h10m"#, r#"{__name__="x"} 25m"#, r#"{job="a",__name__="x"} 24h6m"#]);
    }

    #[test]
    fn who_reaches_back_furthest_is_filled_before_others_that_may_match_the_same_series() {
        let one = |text: &str, minutes: i64| {
            let matchers = text.split(',').map(|part| {
                let (name, value) = part.split_once('=').unwrap();
                Matcher::equal(name, value)
            });
            Wanted { matchers: matchers.collect(), reach: Duration::from_mins(minutes) }
        };
        let shown = |wanted: &[Wanted]| -> Vec<Vec<String>> {
            let line = |one: &Wanted| format!("{} {}", selector(&one.matchers), one.reach);
            sequences(wanted.to_vec()).iter().map(|sequence| sequence.iter().map(line).collect()).collect()
        };
        let mut wanted = vec![one("__name__=x", 25), one("__name__=y", 70), one("job=a,__name__=x", 1_440)];
        let (x, long) = (r#"{__name__="x"} 25m"#, r#"{job="a",__name__="x"} 1d"#);
        assert_eq!(shown(&wanted), [vec![long, x], vec![r#"{__name__="y"} 1h10m"#]]);
        wanted.push(one("job=a", 60));
        assert_eq!(shown(&wanted), [[long, r#"{__name__="y"} 1h10m"#, r#"{job="a"} 1h"#, x]]);
    }

    #[test]
    fn a_selector_quotes_what_needs_it() {
        let matcher = Matcher::new("a.b", MatchOp::NotRegex, "c\\d\"", Anchoring::Prometheus).unwrap();
        assert_eq!(selector(&[matcher]), r#"{"a.b"!~"c\\d\""}"#);
    }
}
