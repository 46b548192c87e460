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

use anyhow::Context as _;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::sync::{mpsc, oneshot};
use tracing::callsite::rebuild_interest_cache;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Filtered, LevelFilter};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;
use watchfire::Watchfire;
use watchfire_config::{Credential, HeaderValues, Secret, TracingConfig};
use watchfire_ingest::otlp::{Attribute, Span, write_spans};

/// Spans that wait to be sent.
const QUEUE_MAX: usize = 8_192;
/// Spans of one request.
const BATCH_MAX: usize = 1_024;
/// How long the first span of a batch waits for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// The field of a span that says why it failed.
const ERROR: &str = "error";

/// Notes the spans that the engine makes of its own work.
pub(crate) struct Spans {
    queue: mpsc::Sender<Span>,
    dropped: Arc<AtomicU64>,
    sampling: Sampling,
}

/// Which traces are kept: those whose id, as far as it is random, is below a bound, so that all who go by the same
/// fraction keep the same ones. No span is even made while none are.
#[derive(Clone, Default)]
pub(crate) struct Sampling(Arc<AtomicU64>);

/// The collector that the command line names.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    /// It and what is said to it.
    config: TracingConfig,
    /// A file with more headers.
    headers_file: Option<PathBuf>,
}

/// Sends what [`Spans`] noted, to whom the command line names, or else to whom the configuration does.
pub(crate) struct Exporter {
    named: Option<Collector>,
    queue: mpsc::Receiver<Span>,
    dropped: Arc<AtomicU64>,
    sampling: Sampling,
    /// Whether it was said that the configuration means another collector.
    has_warned: bool,
    /// What is in force.
    config: Option<TracingConfig>,
    target: Option<watchfire_delivery::Collector>,
}

impl Collector {
    /// For what the command line says; each header is a text like `name: value`.
    ///
    /// # Errors
    /// If a header is none, or the file with headers cannot be read.
    pub(crate) fn new(url: &Url, header: &[String], headers_file: Option<PathBuf>) -> anyhow::Result<Collector> {
        let mut config = TracingConfig::new(url.as_str());
        for (name, value) in headers(header.iter().map(String::as_str)).context("--traces-header")? {
            let values: &mut HeaderValues = config.http.headers.entry(name).or_default();
            values.secrets.push(Credential::Inline(value));
        }
        let collector = Collector { config, headers_file };
        collector.more_headers()?;
        Ok(collector)
    }

    /// The headers of the file as they are now.
    fn more_headers(&self) -> anyhow::Result<Vec<(String, Secret)>> {
        let Some(file) = &self.headers_file else { return Ok(Vec::new()) };
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        headers(lines).with_context(|| file.display().to_string())
    }
}

/// Headers from texts like `name: value`.
///
/// # Errors
/// Which of them is none; what it says is not told, since it may be a secret.
fn headers<'a>(texts: impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<(String, Secret)>> {
    let read = |(index, text): (usize, &str)| {
        let read = || {
            let (name, value) = text.split_once(':')?;
            let (name, value) = (name.trim().parse::<HeaderName>().ok()?, value.trim());
            value.parse::<HeaderValue>().ok()?;
            Some((name.as_str().to_owned(), Secret::new(value)))
        };
        let help = "write it like `Authorization: Bearer ...`";
        read().with_context(|| format!("header {} cannot be read; {help}", index + 1))
    };
    texts.enumerate().map(read).collect()
}

/// Both ends. Nothing is noted before somebody is named who takes it, on the command line or by the configuration.
pub(crate) fn export<S>(named: Option<Collector>) -> (Filtered<Spans, Sampling, S>, Exporter)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let sampling = Sampling::default();
    if let Some(named) = &named {
        sampling.set(named.config.sampling_fraction);
    }
    let spans = Spans { queue: sender, dropped: Arc::clone(&dropped), sampling: sampling.clone() };
    let exporter = Exporter {
        named,
        queue: receiver,
        dropped,
        sampling: sampling.clone(),
        has_warned: false,
        config: None,
        target: None,
    };
    (spans.with_filter(sampling), exporter)
}

impl Sampling {
    /// The bound of a fraction, of the 63 bits that OpenTelemetry's samplers look at.
    fn set(&self, fraction: f64) {
        let bound = (fraction * (1_u64 << 63) as f64) as u64;
        if self.0.swap(bound, Ordering::Relaxed) != bound {
            // Whether a span is made is remembered where it would be.
            rebuild_interest_cache();
        }
    }

    fn keeps(&self, trace: [u8; 16]) -> bool {
        let random = u128::from_be_bytes(trace) as u64 >> 1;
        random < self.0.load(Ordering::Relaxed)
    }

    fn is_of_interest(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries make spans too, and that by which spans are sent would make some for itself.
        self.0.load(Ordering::Relaxed) > 0 && metadata.is_span() && metadata.target().starts_with("watchfire")
    }
}

impl<S> Filter<S> for Sampling {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.is_of_interest(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_of_interest(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.0.load(Ordering::Relaxed) > 0 { LevelFilter::DEBUG } else { LevelFilter::OFF })
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let (trace, parent) = match span.parent() {
            Some(parent) => match parent.extensions().get::<Span>() {
                Some(around) => (around.trace, Some(around.id)),
                // It belongs to a trace that is not kept.
                None => return,
            },
            None => ((u128::from(random()) << 64 | u128::from(random())).to_be_bytes(), None),
        };
        if parent.is_none() && !self.sampling.keeps(trace) {
            return;
        }
        let mut noted = Span {
            trace,
            id: random().to_be_bytes(),
            parent,
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
    /// Sends batch after batch until `stop`, then what waits still. A reload may change to whom.
    pub(crate) async fn run(mut self, engine: Watchfire, mut stop: oneshot::Receiver<()>) {
        let mut reloaded = engine.reloaded();
        self.follow(&engine);
        let mut failing = false;
        let mut stopping = false;
        while !stopping {
            let mut batch = Vec::new();
            tokio::select! {
                () = self.collect(&mut batch) => {}
                // An engine that is gone reloads no more, and says so at once and for ever.
                Ok(()) = reloaded.changed() => {}
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
            let answer = if batch.is_empty() { Ok(()) } else { self.send(&batch).await };
            if let Err(error) = &answer {
                self.dropped.fetch_add(count, Ordering::Relaxed);
                if !failing {
                    let error = format!("{error:#}");
                    tracing::warn!(
                        collector = self.collector(),
                        error,
                        "traces cannot be sent, and are dropped until they can"
                    );
                }
            } else if failing && count > 0 {
                tracing::info!(collector = self.collector(), "traces are sent again");
            }
            failing = answer.is_err() || failing && count == 0;
            engine.count_dropped_spans(self.dropped.swap(0, Ordering::Relaxed));
            failing &= !self.follow(&engine);
        }
    }

    /// Turns to whoever is to get traces now; answers whether that has changed.
    fn follow(&mut self, engine: &Watchfire) -> bool {
        let configured = engine.definitions().config.tracing.clone();
        if self.named.is_some() && configured.is_some() && !self.has_warned {
            tracing::warn!("`tracing` of the configuration has no effect: the command line says where traces go");
        }
        self.has_warned = self.named.is_some() && configured.is_some();
        let wanted = self.named.as_ref().map(|named| named.config.clone()).or(configured);
        if wanted == self.config {
            return false;
        }
        self.config = wanted;
        self.target = match self.config.as_ref().map(watchfire_delivery::Collector::new) {
            Some(Ok(target)) => Some(target),
            Some(Err(reason)) => {
                tracing::error!(collector = self.collector(), reason, "no traces are sent");
                None
            }
            None => None,
        };
        let config = self.config.as_ref().filter(|_| self.target.is_some());
        self.sampling.set(config.map_or(0.0, |config| config.sampling_fraction));
        match config {
            Some(config) => {
                tracing::info!(collector = self.collector(), fraction = config.sampling_fraction, "traces are sent");
            }
            None => tracing::info!("no traces are sent any more"),
        }
        true
    }

    /// Its host alone, since the whole address may have a credential in it.
    fn collector(&self) -> String {
        let url = self.config.as_ref().and_then(|config| Url::parse(&config.url).ok());
        url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    async fn send(&self, batch: &[Span]) -> anyhow::Result<()> {
        let target = self.target.as_ref().context("nobody takes them any more")?;
        let more = self.named.as_ref().map(Collector::more_headers).transpose()?.unwrap_or_default();
        let body = write_spans("watchfire", env!("CARGO_PKG_VERSION"), batch);
        target.send(body, more).await.map_err(anyhow::Error::msg)
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
    fn a_fraction_of_all_traces_is_kept() {
        for (fraction, kept) in [(0.0, [false; 3]), (0.5, [true, true, false]), (1.0, [true; 3])] {
            let sampling = Sampling::default();
            sampling.set(fraction);
            // By the last eight bytes, without their last bit, as other samplers do.
            let traces = [0, u64::MAX / 2, u64::MAX].map(|id| (u128::MAX << 64 | u128::from(id)).to_be_bytes());
            assert_eq!(traces.map(|trace| sampling.keeps(trace)), kept, "{fraction}");
        }
    }

    #[test]
    fn headers_are_read_and_never_shown() {
        let all =
            headers(["X-Scope-OrgID: ops", "authorization:Bearer a:b ", "X-Scope-OrgID: two"].into_iter()).unwrap();
        let shown: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(shown, [("x-scope-orgid", "ops"), ("authorization", "Bearer a:b"), ("x-scope-orgid", "two")]);
        assert!(!format!("{all:?}").contains("Bearer"), "{all:?}");
        for wrong in ["secret", ": secret", "a b: secret", "a: sec\u{0}ret"] {
            let error = format!("{:#}", headers(["a: b", wrong].into_iter()).unwrap_err());
            assert!(error.starts_with("header 2 cannot be read") && !error.contains("sec"), "{error}");
        }
    }
}
