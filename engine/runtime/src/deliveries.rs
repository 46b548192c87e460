//! What was delivered, seen by people: the history of attempts, redelivery by hand, previews and tests of receivers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use watchfire_alerting::{AlertGroupView, Delivery, GroupKey, IntegrationKey, NotificationId, NotifyReason, RouteId};
use watchfire_delivery::{Attempt, Notification, PreviewError, Request};
use watchfire_model::{Alert, Labels, Timestamp};
use watchfire_plugin::AlertView;

use crate::compile::external_url;
use crate::handle::Watchfire;

/// Attempts that are remembered; older ones are forgotten. Each is at most two times 16 KiB for each of its requests.
const ATTEMPTS_KEPT: usize = 500;

/// One attempt to deliver, as it is remembered: requests and answers without secrets and cut to a bounded size.
#[derive(Clone, Debug)]
pub struct DeliveryRecord {
    /// Its number, from 1, since the engine was started.
    pub number: u64,
    /// When it ended.
    pub at: Timestamp,
    /// What was delivered.
    pub delivery: Delivery,
    /// What happened.
    pub attempt: Attempt,
}

/// The attempts of the last time, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    kept: Mutex<(u64, VecDeque<Arc<DeliveryRecord>>)>,
}

impl History {
    pub(crate) fn add(&self, at: Timestamp, delivery: Delivery, attempt: Attempt) -> Arc<DeliveryRecord> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0 += 1;
        let record = Arc::new(DeliveryRecord { number: kept.0, at, delivery, attempt });
        if kept.1.len() == ATTEMPTS_KEPT {
            kept.1.pop_front();
        }
        kept.1.push_back(Arc::clone(&record));
        record
    }

    fn all(&self) -> Vec<Arc<DeliveryRecord>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).1.iter().cloned().collect()
    }

    fn forget(&self) -> usize {
        std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner).1).len()
    }
}

impl Watchfire {
    /// The attempts to deliver that are remembered, newest first.
    pub fn deliveries(&self) -> Vec<Arc<DeliveryRecord>> {
        let mut all = self.inner.history.all();
        all.reverse();
        all
    }

    /// Forgets all remembered attempts and says how many they were. What receivers know of alerts is not touched.
    pub fn forget_deliveries(&self) -> usize {
        self.inner.history.forget()
    }

    /// Sends what an attempt sent once more, as a notification of its own: receivers that recognise repetitions take it
    /// too. The state machine is not told, since it neither asked for it nor waits for it. Nothing if the attempt is not
    /// remembered any more.
    pub async fn redeliver(&self, number: u64) -> Option<Arc<DeliveryRecord>> {
        let record = self.inner.history.all().into_iter().find(|record| record.number == number)?;
        let now = self.now();
        let id = NotificationId(record.delivery.id.0 ^ (now.as_millis().unsigned_abs() as u128));
        let delivery = Delivery { id, attempt: 1, at: now, ..record.delivery.clone() };
        let attempt = self.inner.deliverer.load_full().attempt(&delivery).await;
        Some(self.inner.history.add(now, delivery, attempt))
    }

    /// The requests that each integration of a receiver would make of these alerts, in one group, without secrets.
    ///
    /// # Errors
    /// By integration, if nothing could be sent. An unknown receiver has no integrations.
    pub fn preview(&self, receiver: &str, alerts: &[Alert]) -> Vec<Result<Vec<Request>, PreviewError>> {
        let deliverer = self.inner.deliverer.load_full();
        let all = self.as_deliveries(receiver, alerts);
        all.iter().map(|delivery| deliverer.preview(delivery)).collect()
    }

    /// Sends a test alert to each integration of a receiver, or these alerts.
    pub async fn test_receiver(&self, receiver: &str, alerts: &[Alert]) -> Vec<Arc<DeliveryRecord>> {
        let deliverer = self.inner.deliverer.load_full();
        let mut records = Vec::new();
        for delivery in self.as_deliveries(receiver, alerts) {
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

    fn as_deliveries(&self, receiver: &str, alerts: &[Alert]) -> Vec<Delivery> {
        let loaded = self.definitions();
        let found = loaded.config.dispatch.receivers.iter().find(|known| &*known.name == receiver);
        let kinds = found.map(|receiver| receiver.integrations.iter().map(|one| Arc::clone(&one.kind)).collect());
        deliveries_of(receiver, kinds.unwrap_or_default(), alerts, self.now())
    }
}

/// What a receiver with integrations of these kinds is sent about alerts in one group, without the state machine: for
/// previews and tests.
pub fn deliveries_of(receiver: &str, kinds: Vec<Arc<str>>, alerts: &[Alert], now: Timestamp) -> Vec<Delivery> {
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
    let mut deliveries: Vec<Delivery> = Vec::new();
    for (integration, kind) in kinds.into_iter().enumerate() {
        let ordinal = deliveries.iter().filter(|earlier| earlier.integration_key.kind == kind).count();
        deliveries.push(Delivery {
            id: NotificationId(now.as_millis().unsigned_abs().into()),
            attempt: 1,
            receiver: receiver.into(),
            integration,
            integration_key: IntegrationKey { kind, ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX) },
            group_key: GroupKey(format!("test:{labels}").into()),
            group_labels: labels.clone(),
            route_labels: Arc::default(),
            folded: 0,
            unsaid_firing: 0,
            route_id: RouteId("test".into()),
            reason: if resolved { NotifyReason::AllAlertsResolved } else { NotifyReason::FirstNotification },
            alerts: Arc::clone(&alerts),
            at: now,
            receipt: "".into(),
        });
    }
    deliveries
}

fn test_alert(now: Timestamp) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", "WatchfireTest"), ("severity", "info"), ("instance", "watchfire")]),
        annotations: [("summary".to_owned(), "A test: whoever reads this can be reached by Watchfire.".to_owned())]
            .into(),
        starts_at: now,
        ends_at: None,
        updated_at: now,
        timeout: false,
        generator_url: String::new(),
        value: None,
    }
}
