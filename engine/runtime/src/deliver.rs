//! Carrying out deliveries: each attempt is a task of its own, and its outcome an input.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tracing::Instrument;
use tracing::field::Empty;
use watchfire_alerting::{Delivery, DeliveryOutcome, Input, Term};
use watchfire_delivery::Deliverer;

use crate::clock::{Clock, Stopwatch};
use crate::deliveries::History;
use crate::metrics::{Metrics, label};
use crate::owner::Request;
use crate::tenure::Standing;

/// Sends what the owner decided, with the receivers as they are configured now.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) deliverer: Arc<ArcSwap<Deliverer>>,
    pub(crate) owner: mpsc::UnboundedSender<Request>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) history: Arc<History>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) standing: Standing,
}

impl Sender {
    /// Starts an attempt and returns at once.
    pub(crate) fn send(&self, term: Term, delivery: Delivery) {
        let sender = self.clone();
        tokio::spawn(async move {
            if !sender.standing.may_send(term).await {
                return;
            }
            let watch = Stopwatch::start();
            let deliverer = sender.deliverer.load_full();
            let span = tracing::debug_span!(
                "deliver",
                receiver = &*delivery.receiver,
                integration = %delivery.integration.kind,
                id = %delivery.id,
                attempt = delivery.attempt,
                alerts = delivery.alerts.len(),
                error = Empty,
            );
            let attempt = deliverer.attempt(&delivery).instrument(span.clone()).await;
            let (outcome, stand_in) = (attempt.outcome.clone(), attempt.stand_in.clone());
            sender.metrics.attempts.count(&delivery.receiver, &attempt, watch.elapsed().as_secs_f64());
            let error = match &outcome {
                DeliveryOutcome::Delivered { .. } => None,
                DeliveryOutcome::Retry { reason, .. }
                | DeliveryOutcome::Partly { reason, .. }
                | DeliveryOutcome::Rejected { reason }
                | DeliveryOutcome::RejectedInPart { reason, .. } => Some(reason.as_str()),
            };
            span.record("error", error);
            if !attempt.notes.is_empty() {
                let mut labels = label("receiver", &*delivery.receiver);
                labels.push(("integration", delivery.integration.kind.to_string()));
                sender.metrics.notes.get_or_create(&labels).inc_by(attempt.notes.len() as u64);
            }
            let input = Input::Delivered { id: delivery.id, attempt: delivery.attempt, outcome, stand_in };
            sender.history.add(sender.clock.now(), delivery, attempt);
            // Without an owner the process is ending; the outbox has the notification for the next start.
            drop(sender.owner.send(Request::Inputs(vec![input])));
        });
    }
}
