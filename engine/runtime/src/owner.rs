//! The loop: one task owns the state machine, gives it inputs and does what it says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use watchfire_alerting::{Change, Engine, Input, Output};
use watchfire_model::Timestamp;

use crate::clock::Clock;
use crate::data::Data;
use crate::evaluate::Evaluators;
use crate::forward::Forwarder;
use crate::metrics::Metrics;
use crate::persist::Decided;

/// Inputs that are handled before their outputs are drained: one commit then covers them all.
const INPUTS_PER_TURN: usize = 256;

/// What can wake the owner.
pub(crate) enum Request {
    /// Something has happened.
    Input(Input),
    /// Something has happened and the caller waits until it is durable.
    Durable(Input, oneshot::Sender<Result<(), String>>),
    /// Somebody wants to look, or to act and take an answer with them; what it decides is durable before the answer
    /// to `durable` comes.
    Act(Box<dyn FnOnce(&mut Engine, Timestamp) + Send>, Option<oneshot::Sender<Result<(), String>>>),
    /// The end: the sender is dropped when everything decided before is on its way.
    Stop(oneshot::Sender<()>),
}

/// Everything that the owner uses.
pub(crate) struct Owner {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) data: Arc<Data>,
    pub(crate) evaluators: Evaluators,
    pub(crate) forwarder: Forwarder,
    pub(crate) decided: mpsc::UnboundedSender<Decided>,
    pub(crate) changes: broadcast::Sender<Arc<Change>>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether what arrives starts evaluations.
    pub(crate) on_ingest: bool,
}

impl Owner {
    /// Runs until it is told to stop or nobody is left who could tell it anything.
    pub(crate) async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        let mut replies = Vec::new();
        loop {
            let request = tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => Some(request),
                    None => return,
                },
                () = sleep_until(self.engine.next_deadline(), self.clock.now()) => None,
            };
            let now = self.clock.now();
            if self.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.engine.handle(now, Input::Tick);
            }
            let mut stop = None;
            let mut next = request;
            for _ in 0..INPUTS_PER_TURN {
                match next {
                    // In compatibility mode rules are evaluated at their interval only.
                    Some(Request::Input(Input::Touched(_))) if !self.on_ingest => {}
                    Some(Request::Input(input)) => self.engine.handle(now, input),
                    Some(Request::Durable(input, reply)) => {
                        self.engine.handle(now, input);
                        replies.push(reply);
                    }
                    Some(Request::Act(act, reply)) => {
                        act(&mut self.engine, now);
                        replies.extend(reply);
                    }
                    Some(Request::Stop(done)) => {
                        stop = Some(done);
                        break;
                    }
                    None => break,
                }
                next = requests.try_recv().ok();
            }
            self.drain(now, &mut replies);
            if let Some(done) = stop {
                // Whoever asked may have gone away.
                let _gone = done.send(());
                return;
            }
        }
    }

    /// Does what the engine says, in its order.
    fn drain(&mut self, now: Timestamp, replies: &mut Vec<oneshot::Sender<Result<(), String>>>) {
        let mut decided = Decided::default();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Evaluate(request) => self.evaluators.evaluate(request),
                Output::Route(request) => self.evaluators.route(request, now),
                Output::Append(samples) => {
                    // Written before a later evaluation of the same turn is handed out, so that it sees them.
                    let touched = self.data.append_derived(&samples, now);
                    if self.on_ingest && !touched.is_empty() {
                        self.engine.handle(now, Input::Touched(touched));
                    }
                }
                Output::Forward(alerts) => self.forwarder.forward(alerts),
                Output::Persist(record) => decided.records.push(record),
                Output::Deliver(delivery) => decided.deliveries.push(delivery),
                Output::Changed(change) => {
                    tracing::debug!(?change, "changed");
                    // Nobody may be listening.
                    drop(self.changes.send(Arc::new(change)));
                }
            }
        }
        decided.replies = std::mem::take(replies);
        if !decided.is_empty() {
            self.metrics
                .queue
                .get_or_create(&crate::metrics::label("queue", "outbox"))
                .set(decided.deliveries.len() as i64);
            // The receiver lives as long as the runtime; when it is gone the process is ending.
            drop(self.decided.send(decided));
        }
    }
}

async fn sleep_until(deadline: Option<Timestamp>, now: Timestamp) {
    match deadline {
        Some(deadline) if deadline <= now => {}
        // The clock may be set while we sleep, so that no sleep is longer than a second.
        Some(deadline) => tokio::time::sleep(deadline.since(now).to_std().min(Duration::from_secs(1))).await,
        None => std::future::pending().await,
    }
}
