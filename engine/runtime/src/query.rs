//! What users ask of the series. Arrival and rules come first: a query copies what it reads, some milliseconds at a time,
//! and is evaluated over its copies, so that nothing waits for it but its user.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration as StdDuration;

use thiserror::Error;
use watchfire_model::{Duration, Labels, METRIC_NAME_LABEL, Matcher, MatcherBudget, Timestamp};
use watchfire_promql::{Answer, Expr, Extract, Options, ParseError, Plan, QueryError, Stop, ValueType, parse_within};

use crate::Watchfire;
use crate::bounds::Bound;
use crate::clock::Stopwatch;
use crate::data::Data;
use crate::load::features;

/// Series that are copied while nothing can be stored: some milliseconds' work. A query of fewer sees all samples of a
/// request or none.
const SERIES_AT_A_TIME: usize = 20_000;

/// Why a query has no answer.
#[derive(Debug, Error)]
pub enum QueryFailure {
    /// It is not PromQL; points at the characters.
    #[error("invalid parameter \"query\": {0}")]
    Parse(#[from] ParseError),
    /// It gives no series, so that there is no range of it.
    #[error(
        "invalid parameter \"query\": invalid expression type \"{0}\" for range query, must be Scalar or instant Vector"
    )]
    NoRange(&'static str),
    /// It waited for its turn for as long as it may take.
    #[error("query timed out in query queue")]
    NoPlace,
    /// It failed while it ran.
    #[error("{0}")]
    Execution(#[from] QueryError),
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Closed,
}

/// What a caller may say about a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuerySettings {
    /// How long it may take, its turn included; never longer than `server.limits.query_timeout`.
    pub timeout: Option<Duration>,
    /// How long a sample counts, instead of `evaluation.lookback`.
    pub lookback: Option<Duration>,
}

/// The answer to a query, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// How long it waited for its turn.
    pub waited: StdDuration,
    /// How long it ran.
    pub took: StdDuration,
}

/// What is kept of the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// How many series there are.
    pub series: usize,
    /// The time of the newest sample; [`Timestamp::MIN`] if there is none.
    pub newest: Timestamp,
    /// How far back the rules read, which is how long samples are kept.
    pub retention: Duration,
}

/// What there is of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelStatistics {
    /// Its name.
    pub name: String,
    /// How many values it has.
    pub values: usize,
    /// Bytes of all its values, each counted once.
    pub bytes: usize,
}

/// Tells a query that nobody waits for it any more, when it is dropped.
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a query is run with.
struct Terms {
    data: Arc<Data>,
    options: Options,
    watch: Stopwatch,
    timeout: StdDuration,
    abandoned: Arc<AtomicBool>,
}

impl Terms {
    fn stop(&self) -> Option<Stop> {
        if self.watch.elapsed() > self.timeout {
            Some(Stop::TimedOut)
        } else {
            self.abandoned.load(Ordering::Relaxed).then_some(Stop::Canceled)
        }
    }

    fn go_on(&self) -> Result<(), QueryError> {
        match self.stop() {
            Some(Stop::TimedOut) => Err(QueryError::TimedOut),
            Some(Stop::Canceled) => Err(QueryError::Canceled),
            None => Ok(()),
        }
    }
}

impl Data {
    fn label_names(&self) -> Vec<String> {
        self.with_tsdb(|tsdb| tsdb.label_names().map(str::to_owned).collect())
    }

    /// Copies what a query reads, letting others at the series now and then, and evaluates it.
    pub(crate) fn answer(&self, mut extract: Extract, stop: &dyn Fn() -> Option<Stop>) -> Result<Answer, QueryError> {
        while self.with_tsdb(|tsdb| extract.copy_from(tsdb, SERIES_AT_A_TIME, stop))? {}
        extract.evaluate(stop)
    }
}

impl Watchfire {
    /// Evaluates an expression at a time.
    ///
    /// # Errors
    /// If it is not PromQL, or passes a limit.
    pub async fn query(&self, expr: &str, at: Timestamp, settings: &QuerySettings) -> Result<Answered, QueryFailure> {
        let parse = self.parser(expr);
        self.answered(settings, move |options| Ok(Extract::instant(Plan::new(&parse()?, options), at))).await
    }

    /// Evaluates an expression at every step from `start` to `end`, both included.
    ///
    /// # Errors
    /// If it is not PromQL, or passes a limit.
    pub async fn query_range(
        &self,
        expr: &str,
        start: Timestamp,
        end: Timestamp,
        step: Duration,
        settings: &QuerySettings,
    ) -> Result<Answered, QueryFailure> {
        let parse = self.parser(expr);
        let extract = move |options: &Options| {
            let expr = parse()?;
            let kind = expr.value_type();
            if !matches!(kind, ValueType::Scalar | ValueType::Vector) {
                return Err(QueryFailure::NoRange(kind.documented()));
            }
            Ok(Extract::range(Plan::new(&expr, options), start, end, step)?)
        };
        self.answered(settings, extract).await
    }

    /// What parses an expression. Its patterns may take a while, so that this is done where the query is evaluated.
    fn parser(&self, expr: &str) -> impl FnOnce() -> Result<Expr, ParseError> + Send + 'static {
        let (expr, features) = (expr.to_owned(), features(&self.inner.loaded.load().config));
        let engine = self.clone();
        move || {
            let mut budget = MatcherBudget::of_request();
            let parsed = parse_within(&expr, features, &mut budget);
            if budget.is_exceeded() {
                engine.count_matchers_refused();
            }
            parsed
        }
    }

    async fn answered(
        &self,
        settings: &QuerySettings,
        extract: impl FnOnce(&Options) -> Result<Extract, QueryFailure> + Send + 'static,
    ) -> Result<Answered, QueryFailure> {
        let asked = Stopwatch::start();
        let query = move |terms: &Terms| {
            let waited = asked.elapsed();
            let answer = terms.data.answer(extract(&terms.options)?, &|| terms.stop())?;
            Ok(Answered { answer, waited, took: asked.elapsed().saturating_sub(waited) })
        };
        self.reading(settings, query).await
    }

    /// Lets a thread of its own read within the configured bounds: so many at once, so many samples, so much time.
    async fn reading<T: Send + 'static>(
        &self,
        settings: &QuerySettings,
        read: impl FnOnce(&Terms) -> Result<T, QueryFailure> + Send + 'static,
    ) -> Result<T, QueryFailure> {
        let loaded = self.inner.loaded.load_full();
        let limits = &loaded.config.server.limits;
        let timeout = settings.timeout.map_or(limits.query_timeout, |timeout| timeout.min(limits.query_timeout));
        let timeout = timeout.max(Duration::ZERO).to_std();
        let watch = Stopwatch::start();
        let places = || Bound::Queries.max(&self.inner.loaded.load().config.server.limits);
        let place = tokio::time::timeout(timeout, self.inner.bounds.take(Bound::Queries, places));
        let place = place.await.map_err(|_| QueryFailure::NoPlace)?;
        let options = Options {
            lookback: settings.lookback.unwrap_or(loaded.config.evaluation.lookback),
            samples_max: limits.query_samples_max,
            ..Options::default()
        };
        let abandoned = Arc::new(AtomicBool::new(false));
        let _until_answered = Abandoned(Arc::clone(&abandoned));
        let terms = Terms { data: Arc::clone(&self.inner.data), options, watch, timeout, abandoned };
        let read = tokio::task::spawn_blocking(move || {
            // The place is taken until the query has really ended, whether or not somebody still waits for it.
            let _place = place;
            read(&terms)
        });
        read.await.map_err(|_| QueryFailure::Closed)?
    }

    /// What is kept of the series.
    pub fn storage(&self) -> Storage {
        let loaded = self.inner.loaded.load();
        let retention = loaded.retention;
        self.inner.data.with_tsdb(|tsdb| Storage { series: tsdb.stats().series, newest: tsdb.newest_time(), retention })
    }

    /// The label sets of the series that match one of the selectors and have a sample in the time range, in order.
    ///
    /// # Errors
    /// If it passes the limits of queries.
    pub async fn series(
        &self,
        selectors: Vec<Vec<Matcher>>,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<Labels>, QueryFailure> {
        let read = move |terms: &Terms| {
            let select = |matchers: &Vec<Matcher>| terms.data.with_tsdb(|tsdb| tsdb.select(matchers));
            let ids: BTreeSet<_> = selectors.iter().flat_map(select).collect();
            let ids = Vec::from_iter(ids);
            let mut found = BTreeSet::new();
            for ids in ids.chunks(SERIES_AT_A_TIME) {
                terms.go_on()?;
                let part: Vec<Labels> = terms.data.with_tsdb(|tsdb| {
                    let series = ids.iter().filter_map(|id| tsdb.series(*id));
                    let in_time = series.filter(|s| !s.window(start - Duration::from_millis(1), end).is_empty());
                    in_time.map(|series| series.labels().clone()).collect()
                });
                found.extend(part);
            }
            Ok(found.into_iter().collect())
        };
        self.reading(&QuerySettings::default(), read).await
    }

    /// The names of all labels, in order.
    ///
    /// # Errors
    /// If it passes the limits of queries.
    pub async fn label_names(&self) -> Result<Vec<String>, QueryFailure> {
        self.reading(&QuerySettings::default(), |terms| Ok(terms.data.label_names())).await
    }

    /// The values of a label, in order.
    ///
    /// # Errors
    /// If it passes the limits of queries.
    pub async fn label_values(&self, name: String) -> Result<Vec<String>, QueryFailure> {
        let read = move |terms: &Terms| {
            let mut values: Vec<String> =
                terms.data.with_tsdb(|tsdb| tsdb.label_values(&name).map(str::to_owned).collect());
            values.sort_unstable();
            Ok(values)
        };
        self.reading(&QuerySettings::default(), read).await
    }

    /// What there is of each label, by name.
    ///
    /// # Errors
    /// If it passes the limits of queries.
    pub async fn label_statistics(&self) -> Result<Vec<LabelStatistics>, QueryFailure> {
        let read = |terms: &Terms| {
            let statistics = |name: String| {
                terms.go_on()?;
                let (values, bytes) = terms.data.with_tsdb(|tsdb| {
                    tsdb.label_values(&name).fold((0, 0), |(values, bytes), value| (values + 1, bytes + value.len()))
                });
                Ok(LabelStatistics { name, values, bytes })
            };
            terms.data.label_names().into_iter().map(statistics).collect()
        };
        self.reading(&QuerySettings::default(), read).await
    }

    /// How many series each metric has, by name.
    ///
    /// # Errors
    /// If it passes the limits of queries.
    pub async fn series_by_metric(&self) -> Result<Vec<(String, usize)>, QueryFailure> {
        let metrics = self.label_values(METRIC_NAME_LABEL.to_owned()).await?;
        let read = |terms: &Terms| {
            let count = |metric: String| {
                terms.go_on()?;
                let count = terms.data.with_tsdb(|tsdb| tsdb.series_with(METRIC_NAME_LABEL, &metric));
                Ok((metric, count))
            };
            metrics.into_iter().map(count).collect()
        };
        self.reading(&QuerySettings::default(), read).await
    }
}
