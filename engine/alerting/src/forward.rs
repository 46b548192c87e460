//! Which alerts Alertmanagers beside the engine are told about after an evaluation, as Prometheus' notifier does
//! (`rules/alerting.go`, `sendAlerts` and `needsSending`).

use std::sync::Arc;

use watchfire_model::{Alert, Duration, Timestamp};

use crate::InstanceState;
use crate::rule::{LiveInstance, RuleState};

/// How many resend delays or evaluation intervals an alert stays valid that is not sent again.
const VALID_FOR: i64 = 4;

/// The paces of telling Alertmanagers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarding {
    /// An alert is sent again when more than this has passed.
    pub(crate) delay: Duration,
    /// The interval of the rule's group.
    pub(crate) interval: Duration,
}

impl RuleState {
    /// The alerts to be sent after the evaluation at `at`: those that began or ended since they were sent last, and
    /// those that were sent too long ago. A firing one ends by itself unless it is sent again in time.
    pub(crate) fn forward(&mut self, at: Timestamp, pace: Forwarding) -> Vec<Alert> {
        let valid = Duration::from_millis(VALID_FOR * pace.delay.max(pace.interval).as_millis());
        let generator_url = &self.spec.generator_url;
        let due = self.instances.values_mut().filter(|live| live.is_to_be_sent(at, pace.delay));
        due.map(|live| {
            live.sent_at = Some(at);
            let instance = &live.instance;
            Alert {
                labels: instance.labels.clone(),
                annotations: instance.annotations.clone(),
                starts_at: instance.fired_at.unwrap_or(at),
                ends_at: Some(instance.resolved_at.unwrap_or(at + valid)),
                updated_at: at,
                timeout: false,
                generator_url: Arc::clone(generator_url),
                value: Some(instance.value),
            }
        })
        .collect()
    }
}

impl LiveInstance {
    fn is_to_be_sent(&self, at: Timestamp, delay: Duration) -> bool {
        if self.instance.state == InstanceState::Pending {
            return false;
        }
        // A clock that went back must not silence an alert.
        let Some(sent_at) = self.sent_at.filter(|sent_at| *sent_at <= at) else { return true };
        self.instance.resolved_at.is_some_and(|end| end > sent_at) || at.since(sent_at) > delay
    }
}
