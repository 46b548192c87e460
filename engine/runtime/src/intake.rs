//! The way in: what arrives is logged, stored, and announced to the owner, in that order.
//!
//! One thread does it, so that everything that arrives while it writes shares the next write.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::{mpsc, oneshot};
use watchfire_alerting::Input;
use watchfire_model::Event;
use watchfire_store::log::Entry;

use crate::clock::Clock;
use crate::data::{Data, SeriesBatch};
use crate::metrics::{Metrics, label};
use crate::owner::Request;
use crate::{PushError, Pushed};

/// Requests that may wait; one more is answered with 429.
const QUEUE_MAX: usize = 1024;

/// Requests that share a write.
const REQUESTS_PER_WRITE: usize = 64;

/// What arrives.
pub(crate) enum Arrival {
    Samples(SeriesBatch),
    Events(Vec<Event>),
}

struct Job {
    arrival: Arrival,
    reply: oneshot::Sender<Result<Pushed, PushError>>,
}

/// The way in, for callers.
#[derive(Clone)]
pub(crate) struct Intake {
    jobs: SyncSender<Job>,
    metrics: Arc<Metrics>,
}

impl Intake {
    /// Starts the thread. It ends when the last `Intake` is gone.
    pub(crate) fn start(
        data: Arc<Data>,
        clock: Arc<dyn Clock>,
        owner: mpsc::UnboundedSender<Request>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Intake> {
        let (jobs, receiver) = sync_channel(QUEUE_MAX);
        std::thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || run(&receiver, &data, clock.as_ref(), &owner))?;
        Ok(Intake { jobs, metrics })
    }

    /// Hands something in and waits until it is durable and stored.
    pub(crate) async fn push(&self, arrival: Arrival) -> Result<Pushed, PushError> {
        let (reply, answer) = oneshot::channel();
        match self.jobs.try_send(Job { arrival, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(PushError::Closed)),
            Err(TrySendError::Full(_)) => {
                self.metrics.overloaded.get_or_create(&label("queue", "intake")).inc();
                Err(PushError::Overloaded { retry_after: std::time::Duration::from_secs(1) })
            }
            Err(TrySendError::Disconnected(_)) => Err(PushError::Closed),
        }
    }
}

fn run(jobs: &Receiver<Job>, data: &Data, clock: &dyn Clock, owner: &mpsc::UnboundedSender<Request>) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(REQUESTS_PER_WRITE - 1));
        let now = clock.now();
        let mut entries = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        for job in batch {
            entries.push(match job.arrival {
                Arrival::Samples(series) => Entry::Samples(series),
                Arrival::Events(events) => Entry::Events(events),
            });
            replies.push(job.reply);
        }
        if let Err(error) = data.log(now, &entries) {
            tracing::error!(%error, "the input log cannot be written; senders are told to try again");
            for reply in replies {
                // A sender that has gone away needs no answer.
                drop(reply.send(Err(PushError::Storage(error.to_string()))));
            }
            continue;
        }
        let mut touched = std::collections::BTreeSet::new();
        let mut answers = Vec::with_capacity(replies.len());
        for entry in &entries {
            let (pushed, rules) = match entry {
                Entry::Samples(series) => data.store_samples(series),
                Entry::Events(events) => {
                    let rules = data.store_events(events, now);
                    (Pushed { accepted: events.len(), ..Pushed::default() }, rules)
                }
                // Alerts go to the owner, never through here.
                Entry::Alerts(_) => (Pushed::default(), std::collections::BTreeSet::new()),
            };
            touched.extend(rules);
            answers.push(pushed);
        }
        if !touched.is_empty() {
            // Without an owner the process is ending; the log has what it needs to go on.
            drop(owner.send(Request::Input(Input::Touched(touched.into_iter().collect()))));
        }
        for (reply, pushed) in replies.into_iter().zip(answers) {
            drop(reply.send(Ok(pushed)));
        }
    }
}
