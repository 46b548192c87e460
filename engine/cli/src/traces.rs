//! Spans of evaluations, plugin calls and deliveries, sent to an OpenTelemetry collector.
//!
//! What `tracing` calls a span becomes one of OpenTelemetry's: [`Spans`] notes it when it ends, [`Exporter`] sends what
//! was noted in batches. Nothing waits for the collector: the queue between them is bounded, and what finds it full is
//! dropped and counted, and so is what the collector does not take.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::sync::{mpsc, oneshot};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, Filtered, LevelFilter};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use watchfire::Watchfire;
use watchfire_ingest::otlp::{Attribute, Span, write_spans};

/// Spans that wait to be sent.
const QUEUE_MAX: usize = 8_192;
/// Spans of one request.
const BATCH_MAX: usize = 1_024;
/// How long the first span of a batch waits for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The field of a span that says why it failed.
const ERROR: &str = "error";

/// Notes the spans that the engine makes of its own work.
pub(crate) struct Spans {
    queue: mpsc::Sender<Span>,
    dropped: Arc<AtomicU64>,
}

/// Who takes traces, and what is said to it beside them.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    /// Its address with the path.
    pub(crate) url: Url,
    /// Headers of each request; their values are not printed.
    pub(crate) headers: HeaderMap,
    /// A file with more of them.
    pub(crate) headers_file: Option<PathBuf>,
}

/// Sends what [`Spans`] noted.
pub(crate) struct Exporter {
    collector: Collector,
    queue: mpsc::Receiver<Span>,
    dropped: Arc<AtomicU64>,
}

impl Collector {
    /// The headers as they are now.
    ///
    /// # Errors
    /// If the file cannot be read, or a line of it is no header.
    pub(crate) fn headers(&self) -> anyhow::Result<HeaderMap> {
        let mut all = self.headers.clone();
        if let Some(file) = &self.headers_file {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            all.extend(headers(lines).with_context(|| file.display().to_string())?);
        }
        Ok(all)
    }
}

/// Headers from texts like `name: value`.
///
/// # Errors
/// Which of them is none; what it says is not told, since it may be a secret.
pub(crate) fn headers<'a>(texts: impl Iterator<Item = &'a str>) -> anyhow::Result<HeaderMap> {
    let mut all = HeaderMap::new();
    for (index, text) in texts.enumerate() {
        let read = || {
            let (name, value) = text.split_once(':')?;
            let mut value: HeaderValue = value.trim().parse().ok()?;
            value.set_sensitive(true);
            Some((name.trim().parse::<HeaderName>().ok()?, value))
        };
        let help = "write it like `Authorization: Bearer ...`";
        let (name, value) = read().with_context(|| format!("header {} cannot be read; {help}", index + 1))?;
        all.append(name, value);
    }
    Ok(all)
}

/// Both ends for a collector.
pub(crate) fn export<S>(collector: Collector) -> (Filtered<Spans, FilterFn, S>, Exporter)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let spans = Spans { queue: sender, dropped: Arc::clone(&dropped) };
    // Libraries make spans too, and that by which spans are sent would make some for itself.
    let own: fn(&Metadata<'_>) -> bool = |metadata| metadata.is_span() && metadata.target().starts_with("watchfire");
    let exporter = Exporter { collector, queue: receiver, dropped };
    (spans.with_filter(FilterFn::new(own).with_max_level_hint(LevelFilter::DEBUG)), exporter)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let around =
            span.parent().and_then(|parent| parent.extensions().get::<Span>().map(|span| (span.trace, span.id)));
        let mut noted = Span {
            trace: around
                .map_or_else(|| (u128::from(random()) << 64 | u128::from(random())).to_be_bytes(), |(trace, _)| trace),
            id: random().to_be_bytes(),
            parent: around.map(|(_, id)| id),
            name: attributes.metadata().name(),
            began: now(),
            ..Span::default()
        };
        attributes.record(&mut Fields(&mut noted));
        span.extensions_mut().insert(noted);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(noted) = span.extensions_mut().get_mut::<Span>() {
            values.record(&mut Fields(noted));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let noted = context.span(&id).and_then(|span| span.extensions_mut().remove::<Span>());
        let Some(mut noted) = noted else { return };
        noted.ended = now();
        if self.queue.try_send(noted).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The fields of a span as its attributes; the error as its status.
struct Fields<'a>(&'a mut Span);

impl Visit for Fields<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.attributes.push((field.name(), Attribute::Number(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            ERROR => self.0.error = Some(value.to_owned()),
            name => self.0.attributes.push((name, Attribute::Text(value.to_owned()))),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Exporter {
    /// Sends batch after batch until `stop`, then what waits still.
    pub(crate) async fn run(mut self, engine: Watchfire, mut stop: oneshot::Receiver<()>) {
        // Headers may be credentials, which are for nobody whom the collector names.
        let Ok(client) = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build() else {
            tracing::error!("no traces are sent: there are no certificates to trust");
            return;
        };
        // Not the whole address, which may have a credential in it.
        let collector = self.collector.url.host_str().unwrap_or_default().to_owned();
        let mut failing = false;
        let mut stopping = false;
        while !stopping {
            let mut batch = Vec::new();
            tokio::select! {
                () = self.collect(&mut batch) => {}
                _ = &mut stop => stopping = true,
            }
            // What came before the stop goes too, in one last request.
            while batch.len() < QUEUE_MAX
                && stopping
                && let Ok(span) = self.queue.try_recv()
            {
                batch.push(span);
            }
            let count = batch.len() as u64;
            let answer = if batch.is_empty() { Ok(()) } else { send(&client, &self.collector, batch).await };
            if let Err(error) = &answer {
                self.dropped.fetch_add(count, Ordering::Relaxed);
                if !failing {
                    let error = format!("{error:#}");
                    tracing::warn!(collector, error, "traces cannot be sent, and are dropped until they can");
                }
            } else if failing && count > 0 {
                tracing::info!(collector, "traces are sent again");
            }
            failing = answer.is_err() || failing && count == 0;
            engine.count_dropped_spans(self.dropped.swap(0, Ordering::Relaxed));
        }
    }

    /// Waits for a first span, and then a while for more.
    async fn collect(&mut self, batch: &mut Vec<Span>) {
        batch.extend(self.queue.recv().await);
        let more = async {
            while batch.len() < BATCH_MAX && self.queue.recv_many(batch, BATCH_MAX - batch.len()).await > 0 {}
        };
        drop(tokio::time::timeout(BATCH_DELAY, more).await);
    }
}

async fn send(client: &Client, collector: &Collector, batch: Vec<Span>) -> anyhow::Result<()> {
    let body = write_spans("watchfire", env!("CARGO_PKG_VERSION"), &batch);
    let mut headers = collector.headers()?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let request = client.post(collector.url.clone()).headers(headers).body(body);
    let status = request.send().await.map_err(reqwest::Error::without_url)?.status();
    ensure!(status.is_success(), "it answered {status}");
    Ok(())
}

/// A number that is not zero, as ids must not be.
fn random() -> u64 {
    RandomState::new().hash_one(0) | 1
}

#[expect(clippy::disallowed_methods, reason = "when work began and ended is told to people and decides nothing")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_never_shown() {
        let all =
            headers(["X-Scope-OrgID: ops", "authorization:Bearer a:b ", "X-Scope-OrgID: two"].into_iter()).unwrap();
        let shown: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(shown, [("x-scope-orgid", "ops"), ("x-scope-orgid", "two"), ("authorization", "Bearer a:b")]);
        assert!(!format!("{all:?}").contains("Bearer"), "{all:?}");
        for wrong in ["secret", ": secret", "a b: secret", "a: sec\u{0}ret"] {
            let error = format!("{:#}", headers(["a: b", wrong].into_iter()).unwrap_err());
            assert!(error.starts_with("header 2 cannot be read") && !error.contains("sec"), "{error}");
        }
    }
}
