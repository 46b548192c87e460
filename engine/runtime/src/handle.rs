//! The handle that callers hold.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use watchfire_alerting::{
    AcknowledgeCommand, AcknowledgeError, Change, Engine, Input, SilenceDraft, SilenceError, SilenceId, SilenceState,
};
use watchfire_delivery::Deliverer;
use watchfire_host::{Host, Recording};
use watchfire_ingest::Metadata;
use watchfire_ingest::remote_write::{Message, Report};
use watchfire_model::{Alert, Event, Fingerprint, Labels, Timestamp};
use watchfire_tsdb::Point;

use crate::bounds::{Bound, Bounds, Place};
use crate::builder::Builder;
use crate::clock::Clock;
use crate::data::{Data, lock};
use crate::deliveries::{ATTEMPTS_KEPT, History};
use crate::evaluate::Working;
use crate::intake::{Arrival, Intake};
use crate::keys::KEYS_MAX;
use crate::load::Loaded;
use crate::metrics::{Metrics, STATUSES, Shown, label};
use crate::owner::Request;
use crate::reload::{ReloadError, ReloadReport, ReloadRequest};
use crate::{PushError, Pushed, PushedAlerts, WriteError};

/// Alerts that may wait for the owner; more are answered with 429.
pub(crate) const ALERTS_WAITING_MAX: usize = 50_000;

/// How long a stop waits for attempts that are under way.
const ATTEMPTS_FINISH: std::time::Duration = std::time::Duration::from_secs(10);
/// How long a stop waits for evaluations that have begun; longer ones are cut off, as by a crash.
const EVALUATIONS_FINISH: std::time::Duration = std::time::Duration::from_secs(10);

/// A running engine. Clones share it; it runs until [`Watchfire::shutdown`].
#[derive(Clone)]
pub struct Watchfire {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) deliverer: Arc<ArcSwap<Deliverer>>,
    pub(crate) history: Arc<History>,
    pub(crate) owner: mpsc::UnboundedSender<Request>,
    pub(crate) intake: Intake,
    pub(crate) working: Arc<Working>,
    pub(crate) host: Host,
    pub(crate) data: Arc<Data>,
    pub(crate) loaded: Arc<ArcSwap<Loaded>>,
    pub(crate) reloads: mpsc::Sender<ReloadRequest>,
    pub(crate) reloaded: watch::Receiver<()>,
    pub(crate) changes: broadcast::Sender<Arc<Change>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ready: AtomicBool,
    pub(crate) alerts_waiting: Arc<Semaphore>,
    pub(crate) bounds: Arc<Bounds>,
    /// Whether other engines may use the same database.
    pub(crate) shares: bool,
    /// Ends when everything decided is durable.
    pub(crate) persisting: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Watchfire {
    /// Starts from here.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Takes samples, numbers or native histograms. When this returns, what was accepted is durable and visible to rules
    /// and queries.
    ///
    /// # Errors
    /// If nothing was taken: overload, stopping, or a log that cannot be written.
    pub async fn push_samples<S: Into<Point>>(&self, series: Vec<(Labels, Vec<S>)>) -> Result<Pushed, PushError> {
        self.open()?;
        let points = |(labels, samples): (Labels, Vec<S>)| (labels, samples.into_iter().map(Into::into).collect());
        self.inner.intake.push(Arrival::Samples(series.into_iter().map(points).collect())).await
    }

    /// Takes a remote-write request as it came over the wire: the fast way in, for series that come again and again.
    /// What is valid in it is taken even if the report names rejections.
    ///
    /// # Errors
    /// If nothing was taken, because it cannot be read or for the reasons of [`Watchfire::push_samples`].
    pub async fn push_remote_write(&self, message: Message, body: Bytes) -> Result<(Report, Pushed), WriteError> {
        self.open()?;
        self.inner.intake.write(message, body).await
    }

    /// Takes what a sender says about metric families. It is kept in memory, as far as there is room.
    pub fn push_metadata(&self, said: Vec<Metadata>) {
        lock(&self.inner.data.metadata).extend(said);
    }

    /// What senders said about metric families, or about one of them, by name.
    pub fn metadata(&self, family: Option<&str>) -> Vec<Metadata> {
        lock(&self.inner.data.metadata).get(family)
    }

    /// Takes events, as [`Watchfire::push_samples`] takes samples.
    ///
    /// # Errors
    /// As for samples.
    pub async fn push_events(&self, events: Vec<Event>) -> Result<Pushed, PushError> {
        self.open()?;
        self.inner.intake.push(Arrival::Events(events)).await
    }

    /// A stopped engine takes nothing, although its log could.
    fn open(&self) -> Result<(), PushError> {
        if self.is_running() { Ok(()) } else { Err(PushError::Closed) }
    }

    /// Counts spans that whoever exports traces of this engine had to drop.
    pub fn count_dropped_spans(&self, spans: u64) {
        self.inner.metrics.spans_dropped.inc_by(spans);
    }

    /// Takes alerts that another program raised. When this returns they are durable, and so is what they led to. New ones
    /// beyond `limits.alerts_max`, `alerts_bytes_max` and `alerts_per_name_max` are not taken; those that are known always
    /// are, so that their ends are.
    ///
    /// # Errors
    /// As for samples.
    pub async fn push_alerts(&self, alerts: Vec<Alert>) -> Result<PushedAlerts, PushError> {
        let received = alerts.len();
        let now = self.now();
        let firing = alerts.iter().filter(|alert| alert.ends_at.is_none_or(|ends_at| now < ends_at)).count();
        // More than may wait come in while nothing else waits: refused, they would never come in.
        let wanted = u32::try_from(received.min(ALERTS_WAITING_MAX)).unwrap_or(u32::MAX);
        let Ok(places) = Arc::clone(&self.inner.alerts_waiting).try_acquire_many_owned(wanted) else {
            self.inner.metrics.overloaded.get_or_create(&label("queue", "alerts")).inc();
            return Err(PushError::Overloaded { retry_after: std::time::Duration::from_secs(1) });
        };
        let input = self.inner.shares.then(|| Input::Alerts(alerts.clone()));
        let refused = self.act(input, move |engine, now| {
            let counted = |engine: &Engine| {
                let counters = engine.counters();
                [counters.alerts_refused, counters.alerts_refused_for_bytes, counters.alerts_refused_for_name]
            };
            let before = counted(engine);
            engine.handle(now, Input::Alerts(alerts));
            let after = counted(engine);
            // They waited until here, also where whoever sent them has gone away.
            drop(places);
            std::array::from_fn(|bound| after[bound] - before[bound])
        });
        let [refused, refused_for_bytes, refused_for_name] =
            refused.await?.map(|refused: u64| usize::try_from(refused).unwrap_or(usize::MAX));
        for (status, count) in STATUSES.into_iter().zip([firing, received - firing]) {
            self.inner.metrics.alerts_received.get_or_create(&label("status", status)).inc_by(count as u64);
        }
        let accepted = received.saturating_sub(refused + refused_for_bytes + refused_for_name);
        Ok(PushedAlerts { accepted, refused, refused_for_bytes, refused_for_name })
    }

    /// Looks at the state machine, between two inputs. `None` if the engine is stopping.
    ///
    /// # Panics
    /// If `look` does. That is the caller's affair, and the engine goes on.
    pub async fn view<R: Send + 'static>(&self, look: impl FnOnce(&Engine) -> R + Send + 'static) -> Option<R> {
        let (reply, answer) = oneshot::channel();
        let act = Box::new(move |engine: &mut Engine, _: Timestamp| {
            let looked = catch_unwind(AssertUnwindSafe(|| look(engine)));
            // A caller that has gone away needs no answer.
            drop(reply.send(looked));
        });
        self.inner.owner.send(Request::Act(act)).ok()?;
        answer.await.ok().map(|looked| looked.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Acts on the state machine and returns when what followed is durable. Where another engine decides it is asked for
    /// `input`, or for the silences that come out of the action.
    async fn act<R: Send + 'static>(
        &self,
        input: Option<Input>,
        act: impl FnOnce(&mut Engine, Timestamp) -> R + Send + 'static,
    ) -> Result<R, PushError> {
        let (reply, answer) = oneshot::channel();
        let (durable, committed) = oneshot::channel();
        let act = Box::new(move |engine: &mut Engine, now: Timestamp| {
            drop(reply.send(act(engine, now)));
        });
        self.inner.owner.send(Request::Ask(input, act, durable)).map_err(|_| PushError::Closed)?;
        let result = answer.await.map_err(|_| PushError::Closed)?;
        committed.await.map_err(|_| PushError::Closed)?.map_err(PushError::Storage)?;
        Ok(result)
    }

    /// Sets or edits a silence.
    ///
    /// # Errors
    /// The outer error if it could not be made durable, the inner one if the silence is not valid.
    pub async fn set_silence(&self, draft: SilenceDraft) -> Result<Result<SilenceId, SilenceError>, PushError> {
        self.act(None, move |engine, now| engine.set_silence(now, draft)).await
    }

    /// Acknowledges or snoozes alerts, or takes it back; durable on return. Gives the alerts concerned.
    ///
    /// # Errors
    /// The outer error if it could not be made durable, the inner one if it is refused.
    pub async fn acknowledge(
        &self,
        command: AcknowledgeCommand,
    ) -> Result<Result<Vec<Fingerprint>, AcknowledgeError>, PushError> {
        let input = Input::Acknowledge(command.clone());
        self.act(Some(input), move |engine, now| engine.acknowledge(now, command)).await
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// As for [`Watchfire::set_silence`].
    pub async fn expire_silence(&self, id: SilenceId) -> Result<Result<(), SilenceError>, PushError> {
        self.act(None, move |engine, now| engine.expire_silence(now, &id)).await
    }

    /// What is configured and loaded now.
    pub fn definitions(&self) -> Arc<Loaded> {
        self.inner.loaded.load_full()
    }

    /// A place for something that is bounded, or `None` if all are taken; counted then.
    pub fn enter(&self, bound: Bound) -> Option<Place> {
        let max = bound.max(&self.inner.loaded.load().config.server.limits);
        let place = self.inner.bounds.try_take(bound, max);
        if place.is_none() {
            self.inner.metrics.overloaded.get_or_create(&label("queue", bound.as_str())).inc();
        }
        place
    }

    /// Counts a request that was refused because of what its matchers take.
    pub fn count_matchers_refused(&self) {
        self.inner.metrics.matchers_refused.inc();
    }

    /// Counts posted alerts that were refused because they cannot be alerts.
    pub fn count_alerts_invalid(&self, alerts: usize) {
        self.inner.metrics.alerts_invalid.inc_by(alerts as u64);
    }

    /// Counts a request that was refused because of its size.
    pub fn count_too_large(&self) {
        self.inner.metrics.too_large.inc();
    }

    /// Reads configuration, rules, templates and plugins again. What is unchanged keeps its state; what is broken
    /// keeps its last good version.
    ///
    /// # Errors
    /// If the configuration itself cannot be used; everything then stays as it was.
    pub async fn reload(&self) -> Result<ReloadReport, ReloadError> {
        let (reply, answer) = oneshot::channel();
        self.inner.reloads.send(ReloadRequest { reply }).await.map_err(|_| ReloadError::Closed)?;
        answer.await.map_err(|_| ReloadError::Closed)?
    }

    /// Changes with every reload that puts something in force, once [`Watchfire::definitions`] are the new ones.
    pub fn reloaded(&self) -> watch::Receiver<()> {
        self.inner.reloaded.clone()
    }

    /// Everything that changes from now on. A subscriber that is too slow loses the oldest changes and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        self.inner.changes.subscribe()
    }

    /// The time by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn host(&self) -> &Host {
        &self.inner.host
    }

    /// Whether the state is restored and rules are evaluated.
    pub fn ready(&self) -> bool {
        self.inner.ready.load(Ordering::Acquire) && self.is_running()
    }

    /// Whether the engine evaluates and tells anything; see [`Watchfire::stopped`].
    pub fn is_running(&self) -> bool {
        !self.inner.owner.is_closed()
    }

    /// Waits until the engine has stopped: by [`Watchfire::shutdown`], or because of a defect in it. After a defect the
    /// process is best started anew, which goes on with what is durable.
    pub async fn stopped(&self) {
        self.inner.owner.closed().await;
    }

    /// The recorded calls of a plugin, the oldest first: the newest few that failed or were asked for. `None` if there
    /// never was such a plugin.
    pub fn plugin_calls(&self, plugin: &str) -> Option<Vec<Recording>> {
        self.inner.host.recordings(plugin)
    }

    /// Records the next calls of a plugin as well as those that fail. Answers whether there is such a plugin.
    pub fn record_plugin_calls(&self, plugin: &str, calls: u32) -> bool {
        self.inner.host.record(plugin, calls)
    }

    /// The engine's own metrics as OpenMetrics text: the runtime's, the state machine's and the plugins'. `others` are
    /// bounds of whoever asks: name, how much is used, and the bound.
    pub async fn metrics(&self, others: &[(&str, usize, usize)]) -> String {
        let now = self.now();
        let look = move |engine: &Engine| {
            let mut silences = [0; 3];
            for silence in engine.silences() {
                silences[match silence.state(now) {
                    SilenceState::Active => 0,
                    SilenceState::Pending => 1,
                    SilenceState::Expired => 2,
                }] += 1;
            }
            (engine.counters().list(), engine.usage(), engine.outbox_len(), silences)
        };
        let (mut counters, usage, outbox, silences) = self.view(look).await.unwrap_or_default();
        self.inner.metrics.outbox.set(i64::try_from(outbox).unwrap_or(i64::MAX));
        let mut text = self.inner.metrics.text();
        let (stats, settings) = self.inner.data.with_tsdb(|tsdb| (tsdb.stats(), tsdb.settings().clone()));
        counters.push((
            "samples_shed",
            "Old samples given up because their series had its maximum",
            stats.samples_shed,
        ));
        let store = [("series", stats.series, settings.series_max), ("samples_bytes", stats.bytes, settings.bytes_max)];
        let bounds = self.inner.bounds.usage(&self.inner.loaded.load().config.server.limits);
        let taken = |places: &Semaphore, max: usize| max - places.available_permits().min(max);
        let waiting = [
            ("alerts_waiting", taken(&self.inner.alerts_waiting, ALERTS_WAITING_MAX), ALERTS_WAITING_MAX),
            ("deliveries_remembered", self.inner.history.len(), ATTEMPTS_KEPT),
            ("series_keys", self.inner.data.series_keys.load(Ordering::Relaxed), KEYS_MAX),
        ];
        let usage = [&usage[..], &store[..], &bounds[..], &waiting[..], others].concat();
        let loaded = self.inner.loaded.load();
        let mut hasher = DefaultHasher::new();
        loaded.config_text.hash(&mut hasher);
        let shown = Shown {
            // As many bits as a sample holds exactly, which is also how many Alertmanager takes.
            config_hash: (hasher.finish() >> 16) as f64,
            silences,
            groups: usage.iter().find(|(bound, ..)| *bound == "groups").map_or(0, |(_, used, _)| *used),
            receivers: loaded.config.receivers.len(),
            integrations: loaded.config.receivers.iter().map(|receiver| receiver.integrations.len()).sum(),
            inhibition_rules: loaded.config.dispatch.inhibit_rules.len(),
        };
        let mut lines = Vec::new();
        self.inner.metrics.attempts.own(&mut lines);
        lines.extend(self.inner.metrics.alertmanagers(&shown));
        crate::metrics::append(&mut text, &counters, &usage, &self.plugins(), &self.host().counters(), lines);
        text
    }

    /// Stops: what was decided is made durable first; what is not delivered yet goes on at the next start.
    pub async fn shutdown(&self) {
        self.inner.ready.store(false, Ordering::Release);
        self.finish_attempts().await;
        // What a plugin remembers of an evaluation is kept with its answer, which the owner must have before it stops.
        let _working = tokio::time::timeout(EVALUATIONS_FINISH, self.inner.working.write()).await;
        let (done, stopped) = oneshot::channel();
        if self.inner.owner.send(Request::Stop(done)).is_ok() {
            // An owner that ended by itself has dropped the sender, which is as good.
            drop(stopped.await);
        }
        if let Some(persisting) = self.inner.persisting.lock().await.take()
            && let Err(error) = persisting.await
        {
            tracing::error!(%error, "persisting ended badly");
        }
        match tokio::time::timeout(ATTEMPTS_FINISH, self.inner.history.keep()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last attempts to deliver are not remembered"),
            Err(_) => tracing::warn!("the last attempts to deliver are not remembered: the store does not answer"),
        }
        if let Err(error) = self.inner.data.close(self.inner.clock.now()) {
            tracing::error!(%error, "the input log could not be forced to the disk");
        }
    }

    /// Waits until no attempt is under way, but not for ever: what is cut off is tried again at the next start.
    async fn finish_attempts(&self) {
        let mut changes = self.subscribe();
        let patience = tokio::time::sleep(ATTEMPTS_FINISH);
        tokio::pin!(patience);
        while self.view(|engine| engine.outbox().iter().any(|one| one.in_flight)).await == Some(true) {
            tokio::select! {
                // Losing count of changes is a reason to look again, too.
                _ = changes.recv() => {}
                () = &mut patience => return,
            }
        }
    }
}
