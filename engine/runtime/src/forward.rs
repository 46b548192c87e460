//! Telling Alertmanagers beside the engine: a queue and a task for each, so that one that is down holds up no other.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::{Config, Diagnostic};
use watchfire_delivery::Alertmanager;
use watchfire_model::Alert;

use crate::clock::Clock;
use crate::metrics::{Metrics, label};

/// Evaluations whose alerts may wait for one Alertmanager; what comes beyond it is dropped, and sent again later anyway.
const EVALUATIONS_WAITING_MAX: usize = 10_000;

/// Alerts in one request.
const ALERTS_PER_REQUEST_MAX: usize = 256;

/// Hands alerts to the Alertmanagers that are configured now.
#[derive(Clone)]
pub(crate) struct Forwarder {
    queues: Arc<ArcSwap<Vec<mpsc::Sender<Arc<[Alert]>>>>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Forwarder {
    pub(crate) fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Forwarder {
        Forwarder { queues: Arc::default(), clock, metrics }
    }

    /// Tells those of `config` from now on. What waits for an earlier one is still sent.
    pub(crate) fn configure(&self, config: &Config, diagnostics: &mut Vec<Diagnostic>) {
        let mut queues = Vec::new();
        for alertmanager in &config.alerting.alertmanagers {
            match Alertmanager::new(alertmanager, &config.evaluation.external_labels) {
                Ok(ready) => {
                    let (queue, waiting) = mpsc::channel(EVALUATIONS_WAITING_MAX);
                    tokio::spawn(run(ready, waiting, Arc::clone(&self.clock), Arc::clone(&self.metrics)));
                    queues.push(queue);
                }
                Err(reason) => diagnostics.push(crate::load::whole_file(&alertmanager.url, &reason)),
            }
        }
        self.queues.store(Arc::new(queues));
    }

    /// Queues alerts for everyone.
    pub(crate) fn forward(&self, alerts: Vec<Alert>) {
        let alerts: Arc<[Alert]> = alerts.into();
        for queue in self.queues.load().iter() {
            if queue.try_send(Arc::clone(&alerts)).is_err() {
                self.metrics.forwarded.get_or_create(&label("outcome", "dropped")).inc_by(alerts.len() as u64);
            }
        }
    }
}

/// Sends what waits, in order and once: what fails is sent again by the state machine after the resend delay.
async fn run(
    alertmanager: Alertmanager,
    mut waiting: mpsc::Receiver<Arc<[Alert]>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) {
    while let Some(first) = waiting.recv().await {
        let mut alerts = first.to_vec();
        while alerts.len() < ALERTS_PER_REQUEST_MAX {
            let Ok(more) = waiting.try_recv() else { break };
            alerts.extend_from_slice(&more);
        }
        for batch in alerts.chunks(ALERTS_PER_REQUEST_MAX) {
            let outcome = match alertmanager.send(batch, clock.now()).await {
                DeliveryOutcome::Delivered { .. } => "sent",
                DeliveryOutcome::Retry { reason, .. } | DeliveryOutcome::Rejected { reason } => {
                    tracing::warn!(alertmanager = alertmanager.url(), alerts = batch.len(), "not told: {reason}");
                    "failed"
                }
            };
            metrics.forwarded.get_or_create(&label("outcome", outcome)).inc_by(batch.len() as u64);
        }
    }
}
