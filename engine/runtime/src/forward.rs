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
    queues: Arc<ArcSwap<Vec<Queue>>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// What waits for one Alertmanager, over reloads too: who is told of an end before a beginning believes the beginning.
#[derive(Clone)]
struct Queue {
    /// How it is reached now.
    alertmanager: Arc<ArcSwap<Alertmanager>>,
    alerts: mpsc::Sender<Arc<[Alert]>>,
}

impl Forwarder {
    pub(crate) fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Forwarder {
        Forwarder { queues: Arc::default(), clock, metrics }
    }

    /// Tells those of `config` from now on. What waits for one that is not among them any more is still sent.
    pub(crate) fn configure(&self, config: &Config, diagnostics: &mut Vec<Diagnostic>) {
        let mut before = Vec::clone(&self.queues.load());
        let mut queues = Vec::new();
        for alertmanager in &config.alerting.alertmanagers {
            match Alertmanager::new(alertmanager, &config.evaluation.external_labels) {
                Ok(ready) => {
                    let known = before.iter().position(|queue| queue.alertmanager.load().url() == ready.url());
                    queues.push(match known.map(|position| before.swap_remove(position)) {
                        Some(queue) => {
                            queue.alertmanager.store(Arc::new(ready));
                            queue
                        }
                        None => self.start(ready),
                    });
                }
                Err(reason) => diagnostics.push(crate::load::whole_file(&alertmanager.url, &reason)),
            }
        }
        self.queues.store(Arc::new(queues));
    }

    fn start(&self, alertmanager: Alertmanager) -> Queue {
        let alertmanager = Arc::new(ArcSwap::from_pointee(alertmanager));
        let (alerts, waiting) = mpsc::channel(EVALUATIONS_WAITING_MAX);
        let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
        tokio::spawn(run(Arc::clone(&alertmanager), waiting, clock, metrics));
        Queue { alertmanager, alerts }
    }

    /// Queues alerts for everyone.
    pub(crate) fn forward(&self, alerts: Vec<Alert>) {
        let alerts: Arc<[Alert]> = alerts.into();
        for queue in self.queues.load().iter() {
            if queue.alerts.try_send(Arc::clone(&alerts)).is_err() {
                self.metrics.forwarded.get_or_create(&label("outcome", "dropped")).inc_by(alerts.len() as u64);
            }
        }
    }
}

/// Sends what waits, in order and once: what fails is sent again by the state machine after the resend delay.
async fn run(
    alertmanager: Arc<ArcSwap<Alertmanager>>,
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
            let alertmanager = alertmanager.load_full();
            let outcome = match alertmanager.send(batch, clock.now()).await {
                DeliveryOutcome::Delivered { .. } => "sent",
                DeliveryOutcome::Retry { reason, .. }
                | DeliveryOutcome::Partly { reason, .. }
                | DeliveryOutcome::Rejected { reason }
                | DeliveryOutcome::RejectedInPart { reason, .. } => {
                    tracing::warn!(alertmanager = alertmanager.url(), alerts = batch.len(), "not told: {reason}");
                    "failed"
                }
            };
            metrics.forwarded.get_or_create(&label("outcome", outcome)).inc_by(batch.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use watchfire_config::{FixedEnvironment, Source, load_config};
    use watchfire_delivery::double::{Double, Fault};
    use watchfire_model::{Annotations, Labels, Timestamp};

    use super::*;
    use crate::clock::SystemClock;

    fn alert(name: &str) -> Vec<Alert> {
        let at = Timestamp::from_secs(0);
        vec![Alert {
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: Annotations::default(),
            starts_at: at,
            ends_at: Some(at),
            updated_at: at,
            timeout: false,
            generator_url: "".into(),
            value: None,
        }]
    }

    /// A configuration with an Alertmanager that may take so long.
    fn telling(alertmanager: &Double, timeout: &str) -> Config {
        let text = format!(
            "route: {{receiver: r}}\nreceivers: [{{name: r}}]\nalerting: {{alertmanagers: [{{timeout: {timeout}, \
             static_configs: [{{targets: ['{}']}}]}}]}}\n",
            alertmanager.address()
        );
        let source = Source { name: "watchfire.yml", text: &text };
        load_config(source, &FixedEnvironment::default()).0.expect("it is valid")
    }

    #[tokio::test]
    async fn what_waits_at_a_reload_is_told_before_what_comes_after_it() {
        let mut alertmanager = Double::echo().await.unwrap();
        alertmanager.fail_next([Fault::Hang]);
        let forwarder = Forwarder::new(Arc::new(SystemClock), Arc::new(Metrics::new()));
        let mut diagnostics = Vec::new();
        forwarder.configure(&telling(&alertmanager, "300ms"), &mut diagnostics);
        forwarder.forward(alert("hangs"));
        alertmanager.wait_for(1).await;
        forwarder.forward(alert("waits"));
        forwarder.configure(&telling(&alertmanager, "10s"), &mut diagnostics);
        forwarder.forward(alert("comes after"));
        let mut requests = 1;
        let names = loop {
            requests += 1;
            alertmanager.wait_for(requests).await;
            let bodies = alertmanager.received().into_iter().map(|received| received.json());
            let alerts = bodies.flat_map(|body| body.as_array().cloned().unwrap_or_default());
            let names: Vec<_> = alerts.map(|alert| alert["labels"]["alertname"].clone()).collect();
            if names.len() >= 3 {
                break names;
            }
        };
        assert_eq!(names, ["hangs", "waits", "comes after"]);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
    }
}
