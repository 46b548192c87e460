//! Servers elsewhere that answer the queries of rule groups: how many queries at one time, and for how long.
//!
//! Nothing waits for them but the evaluation that asks: an evaluation that lacks an answer leaves its thread and comes
//! back with it, so that a server that is slow or gone delays the rules that ask it and no others.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::Semaphore;
use watchfire_config::{Config, Diagnostic, Level, PrometheusConfig};
use watchfire_delivery::Prometheus;
use watchfire_ingest::query::decode_answer;
use watchfire_promql::Answer;
use watchfire_rules::{GroupSource, Remote, RemoteQuery, RuleGroup};

use crate::clock::Stopwatch;
use crate::metrics::{Metrics, label};

/// Queries of one evaluation: that of the rule, and those that its templates make for each element.
const QUERIES_PER_EVALUATION_MAX: usize = 1_000;

/// A server that answers queries.
pub(crate) struct Server {
    /// What rule groups call it: its name or its address.
    name: String,
    client: Prometheus,
    /// Queries at one time.
    permits: Semaphore,
}

/// Servers by what rule groups call them.
pub(crate) type Servers = HashMap<String, Arc<Server>>;

impl Server {
    fn new(name: &str, config: &PrometheusConfig) -> Result<Server, String> {
        let permits = usize::try_from(config.queries_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Ok(Server { name: name.to_owned(), client: Prometheus::new(config)?, permits: Semaphore::new(permits) })
    }

    /// Asks everything that an evaluation wants which began with `watch`, and answers it there. What has no answer
    /// within the timeout has failed: asking again is for the next evaluation.
    pub(crate) async fn answer(&self, remote: &mut Remote, watch: &Stopwatch, metrics: &Metrics) {
        let timeout = self.client.config().timeout.to_std();
        let wanted: BTreeSet<RemoteQuery> = remote.take_wanted();
        if remote.answered() + wanted.len() > QUERIES_PER_EVALUATION_MAX {
            let reason = format!("the rule and its templates ask more than {QUERIES_PER_EVALUATION_MAX} queries");
            wanted.into_iter().for_each(|query| remote.answer(query, Err(reason.clone())));
            return;
        }
        let left = timeout.saturating_sub(watch.elapsed());
        let asked = wanted.into_iter().map(async |query| {
            let asked = Stopwatch::start();
            let answer = match tokio::time::timeout(left, self.ask(&query)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {} ms", timeout.as_millis())),
            };
            let outcome = if answer.is_ok() { "answered" } else { "failed" };
            let mut labels = label("source", &*self.name);
            metrics.source_seconds.get_or_create(&labels).observe(asked.elapsed().as_secs_f64());
            labels.push(("outcome", outcome.to_owned()));
            metrics.source_queries.get_or_create(&labels).inc();
            (query, answer.map_err(|reason| format!("{}: {reason}", self.name)))
        });
        for (query, answer) in futures::future::join_all(asked).await {
            remote.answer(query, answer);
        }
    }

    async fn ask(&self, query: &RemoteQuery) -> Result<Answer, String> {
        // The semaphore is never closed.
        let permit = self.permits.acquire().await;
        let body = self.client.query(&query.text, query.at).await;
        drop(permit);
        let body = body.map_err(|error| error.to_string())?;
        // A large body takes a while, which must not hold up what else runs on this thread.
        let decoded = tokio::task::spawn_blocking(move || decode_answer(&body)).await;
        decoded.map_err(|_| "reading the answer failed".to_owned())?.map_err(|error| error.to_string())
    }
}

/// The server that a group's `source` means, from those that are known: connections and what waits go on where nothing
/// about a server has changed.
///
/// # Errors
/// If there is none, with what to do.
pub(crate) fn resolve(
    group: &RuleGroup,
    source: &GroupSource,
    config: &Config,
    before: &Servers,
    known: &mut Servers,
) -> Result<Arc<Server>, Diagnostic> {
    let name = source.prometheus.as_str();
    if let Some(server) = known.get(name) {
        return Ok(Arc::clone(server));
    }
    let wrong = |message: String, help: &str| Diagnostic {
        file: group.file.clone(),
        line: source.position.line,
        column: source.position.column,
        severity: Level::Error,
        code: "unknown-source",
        message,
        help: Some(help.to_owned()),
    };
    let wanted = match config.sources.get(name) {
        Some(wanted) => wanted.clone(),
        None if name.contains("://") => PrometheusConfig::at(name),
        None => {
            let message = format!("there is no source {name:?}");
            return Err(wrong(message, "add it to `sources` in watchfire.yml, or write the server's address here"));
        }
    };
    let server = match before.get(name).filter(|server| *server.client.config() == wanted) {
        Some(server) => Arc::clone(server),
        None => {
            let made = Server::new(name, &wanted);
            let help = "correct its settings under `sources` in watchfire.yml";
            Arc::new(made.map_err(|reason| wrong(format!("the source {name:?} cannot be used: {reason}"), help))?)
        }
    };
    known.insert(name.to_owned(), Arc::clone(&server));
    Ok(server)
}
