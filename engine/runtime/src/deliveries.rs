//! What was delivered, seen by people: the history of attempts, redelivery by hand, previews and tests of receivers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use watchfire_alerting::{AlertGroupView, Delivery, GroupKey, Integration, NotificationId, NotifyReason, RouteId};
use watchfire_delivery::{Attempt, DeliveryRecord, Notification, PreviewError};
use watchfire_model::{Alert, Labels, Timestamp};
use watchfire_plugin::AlertView;
use watchfire_store::{Store, StoreError};

use crate::PushError;
use crate::clock::Clock;
use crate::compile::external_url;
use crate::data::lock;
use crate::handle::Watchfire;
use crate::load::Loaded;
use crate::metrics::Metrics;
use crate::owner::Request;

/// Attempts that are remembered, of all receivers and of each; older ones are forgotten. Each is at most two times 16 KiB
/// for each of its requests.
pub(crate) const ATTEMPTS_KEPT: usize = 1_000;
const ATTEMPTS_OF_RECEIVER_KEPT: usize = 100;

/// How often the store is told of new ones: so much of them is lost with a process that is killed, and however many
/// attempts there are, no more than [`ATTEMPTS_KEPT`] are written in this time.
const KEPT_EVERY: Duration = Duration::from_secs(5);

/// The attempts of the last time.
pub(crate) struct History {
    store: Arc<Store>,
    remembered: Mutex<Remembered>,
    /// Held while the store is told, so that it is told in order.
    keeping: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Remembered {
    records: BTreeMap<u64, Arc<DeliveryRecord>>,
    of_receiver: HashMap<Arc<str>, BTreeSet<u64>>,
    /// Those that the store has not.
    fresh: BTreeSet<u64>,
    /// Forgotten ones that the store has.
    gone: Vec<u64>,
}

impl Remembered {
    fn insert(&mut self, record: Arc<DeliveryRecord>) {
        let number = record.number;
        let of_receiver = self.of_receiver.entry(record.delivery.receiver.clone()).or_default();
        of_receiver.insert(number);
        let oldest = of_receiver.first().copied().filter(|_| of_receiver.len() > ATTEMPTS_OF_RECEIVER_KEPT);
        self.records.insert(number, record);
        let oldest = oldest.or_else(|| {
            let full = self.records.len() > ATTEMPTS_KEPT;
            self.records.keys().next().copied().filter(|_| full)
        });
        if let Some(oldest) = oldest {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some(record) = self.records.remove(&number) else { return };
        let receiver = &record.delivery.receiver;
        if let Some(of_receiver) = self.of_receiver.get_mut(receiver) {
            of_receiver.remove(&number);
            if of_receiver.is_empty() {
                self.of_receiver.remove(receiver);
            }
        }
        if !self.fresh.remove(&number) {
            self.gone.push(number);
        }
    }
}

impl History {
    /// Remembers what the store has.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn open(store: Arc<Store>) -> Result<History, StoreError> {
        let history = History { store, remembered: Mutex::default(), keeping: tokio::sync::Mutex::default() };
        history.catch_up(true).await?;
        Ok(history)
    }

    /// Remembers what other engines on the same store have kept: all of it, or what is newer than everything known.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn catch_up(&self, all: bool) -> Result<(), StoreError> {
        let newest = lock(&self.remembered).records.keys().next_back().copied().unwrap_or(0);
        let kept = self.store.attempts(if all { 0 } else { newest }).await?;
        let mut remembered = lock(&self.remembered);
        for record in kept {
            if !remembered.records.contains_key(&record.number) {
                remembered.insert(Arc::new(record));
            }
        }
        Ok(())
    }

    pub(crate) fn add(&self, at: Timestamp, delivery: Delivery, attempt: Attempt) -> Arc<DeliveryRecord> {
        let mut remembered = lock(&self.remembered);
        // With the time in it, a number is not given again by the next process, nor by an engine that takes over.
        let newest = remembered.records.keys().next_back().copied().unwrap_or(0);
        let number = u64::try_from(at.as_millis()).unwrap_or(0).max(newest + 1);
        let record = Arc::new(DeliveryRecord { number, at, alerts: delivery.alerts.len(), delivery, attempt });
        remembered.fresh.insert(number);
        remembered.insert(Arc::clone(&record));
        record
    }

    fn all(&self) -> Vec<Arc<DeliveryRecord>> {
        lock(&self.remembered).records.values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.remembered).records.len()
    }

    fn find(&self, number: u64) -> Option<Arc<DeliveryRecord>> {
        lock(&self.remembered).records.get(&number).cloned()
    }

    /// Forgets what ended before this time and says how much that was.
    fn forget(&self, before: Timestamp) -> usize {
        let mut remembered = lock(&self.remembered);
        let old = remembered.records.values().filter(|record| record.at < before).map(|record| record.number);
        let old: Vec<u64> = old.collect();
        old.iter().for_each(|number| remembered.forget(*number));
        old.len()
    }

    /// Tells the store what it has not heard of. If it fails it is told the next time.
    ///
    /// # Errors
    /// Whatever the store says.
    pub(crate) async fn keep(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.keeping.lock().await;
        let (fresh, gone) = {
            let mut remembered = lock(&self.remembered);
            let numbers = std::mem::take(&mut remembered.fresh);
            let fresh = numbers.iter().filter_map(|number| remembered.records.get(number).cloned());
            (fresh.collect::<Vec<_>>(), std::mem::take(&mut remembered.gone))
        };
        if fresh.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let kept = self.store.keep_attempts(&fresh, &gone).await;
        if kept.is_err() {
            let mut remembered = lock(&self.remembered);
            remembered.gone.extend(gone);
            let still: Vec<u64> = fresh.iter().map(|record| record.number).collect();
            let still = still.into_iter().filter(|number| remembered.records.contains_key(number)).collect::<Vec<_>>();
            remembered.fresh.extend(still);
        }
        kept
    }
}

/// Keeps the history until the engine stops, and lets go of what is older than `storage.history`.
pub(crate) async fn keep(
    history: Arc<History>,
    loaded: Arc<ArcSwap<Loaded>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    owner: mpsc::UnboundedSender<Request>,
) {
    let mut ticks = tokio::time::interval(KEPT_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = owner.closed() => return,
        }
        if metrics.store_failing.get() != 0 {
            // What pages wait for is tried first.
            continue;
        }
        history.forget(clock.now() - loaded.load().config.storage.history);
        if let Err(error) = history.keep().await {
            metrics.commit_failures.inc();
            tracing::warn!(%error, "the history of deliveries is not kept; it is tried again");
        }
    }
}

impl Watchfire {
    /// The attempts to deliver that are remembered, newest first.
    pub fn deliveries(&self) -> Vec<Arc<DeliveryRecord>> {
        let mut all = self.inner.history.all();
        all.reverse();
        all
    }

    /// Forgets all remembered attempts, over restarts too, and says how many they were. What receivers know of alerts is
    /// not touched.
    ///
    /// # Errors
    /// If the store does not take it now; they are forgotten here, and there as soon as it does.
    pub async fn forget_deliveries(&self) -> Result<usize, PushError> {
        let forgotten = self.inner.history.forget(Timestamp::MAX);
        self.inner.history.keep().await.map_err(|error| PushError::Storage(error.to_string()))?;
        Ok(forgotten)
    }

    /// Sends what an attempt sent once more, as a notification of its own: receivers that recognise repetitions take it
    /// too. The state machine is not told, since it neither asked for it nor waits for it. Nothing if the attempt is not
    /// remembered any more, or without its alerts.
    pub async fn redeliver(&self, number: u64) -> Option<Arc<DeliveryRecord>> {
        let record = self.inner.history.find(number)?;
        if record.alerts > record.delivery.alerts.len() {
            return None;
        }
        let now = self.now();
        let id = NotificationId(record.delivery.id.0 ^ (now.as_millis().unsigned_abs() as u128));
        let known = self.integrations(&record.delivery.receiver).await;
        let known = known.into_iter().find(|known| known.key == record.delivery.integration);
        let settings = known.map(|known| known.settings).unwrap_or_default();
        let delivery = Delivery { id, attempt: 1, at: now, settings, done: "".into(), ..record.delivery.clone() };
        let attempt = self.inner.deliverer.load_full().attempt(&delivery).await;
        Some(self.inner.history.add(now, delivery, attempt))
    }

    /// The requests that each integration of a receiver would make of these alerts, in one group, without secrets.
    ///
    /// # Errors
    /// By integration, if nothing could be sent. An unknown receiver has no integrations.
    pub async fn preview(
        &self,
        receiver: &str,
        alerts: &[Alert],
    ) -> Vec<Result<Vec<watchfire_delivery::Request>, PreviewError>> {
        let deliverer = self.inner.deliverer.load_full();
        let all = self.as_deliveries(receiver, alerts).await;
        all.iter().map(|delivery| deliverer.preview(delivery)).collect()
    }

    /// Sends a test alert to each integration of a receiver, or these alerts.
    pub async fn test_receiver(&self, receiver: &str, alerts: &[Alert]) -> Vec<Arc<DeliveryRecord>> {
        let deliverer = self.inner.deliverer.load_full();
        let mut records = Vec::new();
        for delivery in self.as_deliveries(receiver, alerts).await {
            let attempt = deliverer.attempt(&delivery).await;
            records.push(self.inner.history.add(self.now(), delivery, attempt));
        }
        records
    }

    /// The labels of the route of an alert group that has these alerts, as their templates give them.
    pub fn route_labels(&self, group: &AlertGroupView, alerts: Vec<Alert>) -> BTreeMap<String, String> {
        if group.route_labels.is_empty() {
            return BTreeMap::new();
        }
        let now = self.now();
        let views = alerts.into_iter().map(|alert| AlertView::new(alert, now)).collect();
        let (key, labels) = (group.key.as_str(), group.labels.clone());
        let notification = Notification {
            at: now,
            external_url: external_url(&self.definitions().config),
            ..Notification::new(&group.receiver, key, labels, views)
        };
        self.inner.deliverer.load().route_labels(&group.route_labels, &notification).0
    }

    async fn as_deliveries(&self, receiver: &str, alerts: &[Alert]) -> Vec<Delivery> {
        deliveries_of(receiver, self.integrations(receiver).await, alerts, self.now())
    }

    /// The integrations of a receiver; none where the engine is stopping.
    async fn integrations(&self, receiver: &str) -> Vec<Integration> {
        let receiver = receiver.to_owned();
        self.view(move |engine| engine.integrations(&receiver).to_vec()).await.unwrap_or_default()
    }
}

/// What a receiver with these integrations is sent about alerts in one group, without the state machine: for previews and
/// tests.
pub fn deliveries_of(
    receiver: &str,
    integrations: Vec<Integration>,
    alerts: &[Alert],
    now: Timestamp,
) -> Vec<Delivery> {
    let test;
    let alerts = if alerts.is_empty() {
        test = [test_alert(now)];
        &test
    } else {
        alerts
    };
    // An end that has not come yet is none.
    let ended = |alert: &Alert| Alert { ends_at: alert.ends_at.filter(|end| *end <= now), ..alert.clone() };
    let mut alerts: Vec<Alert> = alerts.iter().map(ended).collect();
    alerts.sort_by_key(|alert| alert.ends_at.is_some());
    let name = alerts[0].labels.get("alertname").unwrap_or_default().to_owned();
    let same = alerts.iter().all(|alert| alert.labels.get("alertname") == Some(&name));
    let labels = if same { Labels::from_pairs([("alertname", name)]) } else { Labels::empty() };
    let resolved = alerts.iter().all(|alert| alert.ends_at.is_some());
    let alerts: Arc<[Alert]> = alerts.into();
    let deliveries = integrations.into_iter().map(|integration| Delivery {
        id: NotificationId(now.as_millis().unsigned_abs().into()),
        attempt: 1,
        receiver: receiver.into(),
        integration: integration.key,
        settings: integration.settings,
        group_key: GroupKey::from_text(format!("test:{labels}")),
        group_labels: labels.clone(),
        route_labels: Arc::default(),
        folded: 0,
        unsaid_firing: 0,
        looked_after: false,
        route_id: RouteId("test".into()),
        reason: if resolved { NotifyReason::AllAlertsResolved } else { NotifyReason::FirstNotification },
        alerts: Arc::clone(&alerts),
        at: now,
        receipt: "".into(),
        done: "".into(),
    });
    deliveries.collect()
}

fn test_alert(now: Timestamp) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", "WatchfireTest"), ("severity", "info"), ("instance", "watchfire")]),
        annotations: [("summary", "A test: whoever reads this can be reached by Watchfire.")].into(),
        starts_at: now,
        ends_at: None,
        updated_at: now,
        timeout: false,
        generator_url: "".into(),
        value: None,
    }
}
