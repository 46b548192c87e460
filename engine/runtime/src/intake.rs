//! The way in: what arrives is logged, stored, and announced to the owner, in that order.
//!
//! One thread does it, so that everything that arrives while it writes shares the next write.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use bytes::Bytes;
use tokio::sync::oneshot;
use watchfire_ingest::remote_write::{Message, Report};
use watchfire_model::{Event, Timestamp};
use watchfire_store::log::Entry;

use crate::clock::Clock;
use crate::data::{Data, SeriesBatch, Sifted, Touched, lock};
use crate::evaluate::Evaluators;
use crate::metrics::{Metrics, label};
use crate::{PushError, Pushed, WriteError};

/// Requests that may wait; one more is answered with 429.
const QUEUE_MAX: usize = 1024;

/// Requests that share a write.
const REQUESTS_PER_WRITE: usize = 64;

/// What arrives.
pub(crate) enum Arrival {
    Samples(SeriesBatch),
    Events(Vec<Event>),
}

/// What becomes of a remote-write request.
pub(crate) type Written = Result<(Report, Pushed), WriteError>;

enum Job {
    Arrival(Arrival, oneshot::Sender<Result<Pushed, PushError>>),
    Request(Message, Bytes, oneshot::Sender<Written>),
}

/// The way in, for callers.
#[derive(Clone)]
pub(crate) struct Intake {
    jobs: SyncSender<Job>,
    metrics: Arc<Metrics>,
}

impl Intake {
    /// Starts the thread. It ends when the last `Intake` is gone. Rules are evaluated on arrival if there are evaluators.
    pub(crate) fn start(
        data: Arc<Data>,
        clock: Arc<dyn Clock>,
        evaluators: Option<Evaluators>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Intake> {
        let (jobs, receiver) = sync_channel(QUEUE_MAX);
        std::thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || run(&receiver, &data, clock.as_ref(), evaluators.as_ref()))?;
        Ok(Intake { jobs, metrics })
    }

    /// Hands something in and waits until it is durable and stored.
    pub(crate) async fn push(&self, arrival: Arrival) -> Result<Pushed, PushError> {
        let (reply, answer) = oneshot::channel();
        self.hand_in(Job::Arrival(arrival, reply))?;
        answer.await.unwrap_or_else(|_| Err(defect()))
    }

    /// Hands a remote-write request in, as it came over the wire.
    pub(crate) async fn write(&self, message: Message, body: Bytes) -> Written {
        let (reply, answer) = oneshot::channel();
        self.hand_in(Job::Request(message, body, reply))?;
        answer.await.unwrap_or_else(|_| Err(WriteError::Push(defect())))
    }

    fn hand_in(&self, job: Job) -> Result<(), PushError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => {
                self.metrics.overloaded.get_or_create(&label("queue", "intake")).inc();
                PushError::Overloaded { retry_after: std::time::Duration::from_secs(1) }
            }
            TrySendError::Disconnected(_) => PushError::Closed,
        })
    }
}

/// What is said to whoever is left without an answer.
fn defect() -> PushError {
    PushError::Storage("a defect of the engine, which its log tells; please report it".to_owned())
}

fn run(jobs: &Receiver<Job>, data: &Data, clock: &dyn Clock, evaluators: Option<&Evaluators>) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(REQUESTS_PER_WRITE - 1));
        // What makes this thread panic would come again after every start. It costs those that share its write, and nothing
        // that comes later.
        match catch_unwind(AssertUnwindSafe(|| take(batch, data, clock.now()))) {
            Ok(touched) => {
                if let Some(evaluators) = evaluators {
                    evaluators.touched(touched.rules, &touched.series);
                }
            }
            Err(_) => {
                lock(&data.writer).discard();
                tracing::error!("taking in what arrived has panicked; this is a defect, please report it");
            }
        }
    }
}

fn take(batch: Vec<Job>, data: &Data, now: Timestamp) -> Touched {
    let mut touched = Touched::default();
    let (mut arrivals, mut requests) = (Vec::new(), Vec::new());
    for job in batch {
        match job {
            Job::Arrival(arrival, reply) => arrivals.push((arrival, reply)),
            Job::Request(message, body, reply) => requests.push((message, body, reply)),
        }
    }
    take_requests(requests, data, now, &mut touched);
    take_arrivals(arrivals, data, now, &mut touched);
    touched
}

fn take_requests(
    requests: Vec<(Message, Bytes, oneshot::Sender<Written>)>,
    data: &Data,
    now: Timestamp,
    touched: &mut Touched,
) {
    if requests.is_empty() {
        return;
    }
    let bodies: Vec<(Message, &[u8])> = requests.iter().map(|(message, body, _)| (*message, body.as_ref())).collect();
    match data.write_requests(&bodies, now) {
        Ok((answers, found)) => {
            touched.extend(found);
            for ((_, _, reply), answer) in requests.into_iter().zip(answers) {
                // A sender that has gone away needs no answer.
                drop(reply.send(answer.map_err(WriteError::Decode)));
            }
        }
        Err(error) => {
            for (_, _, reply) in requests {
                drop(reply.send(Err(WriteError::Push(PushError::Storage(error.to_string())))));
            }
        }
    }
}

fn take_arrivals(
    arrivals: Vec<(Arrival, oneshot::Sender<Result<Pushed, PushError>>)>,
    data: &Data,
    now: Timestamp,
    touched: &mut Touched,
) {
    if arrivals.is_empty() {
        return;
    }
    let mut entries = Vec::with_capacity(arrivals.len());
    let mut replies = Vec::with_capacity(arrivals.len());
    for (arrival, reply) in arrivals {
        let (entry, sifted) = match arrival {
            Arrival::Samples(mut series) => {
                let sifted = data.sift(&mut series, now);
                (Entry::Samples(series), Some(sifted))
            }
            Arrival::Events(events) => (Entry::Events(events), None),
        };
        entries.push(entry);
        replies.push((reply, sifted));
    }
    match data.accept(&entries, now) {
        Ok((answers, found)) => {
            touched.extend(found);
            for ((reply, sifted), mut answer) in replies.into_iter().zip(answers) {
                if let (Ok(pushed), Some(Sifted { unread, refused, positions })) = (&mut answer, sifted) {
                    // Taken and known not to be needed: the sender has done nothing wrong.
                    pushed.accepted += unread;
                    // The sender counts the series that it sent.
                    for rejection in &mut pushed.rejected {
                        rejection.item = positions.get(rejection.item).copied().unwrap_or(rejection.item);
                    }
                    pushed.rejected_count += refused.rejected_count;
                    pushed.histograms_rejected += refused.histograms_rejected;
                    pushed.rejected.extend(refused.rejected);
                }
                // A sender that has gone away needs no answer.
                drop(reply.send(answer));
            }
        }
        Err(error) => {
            for (reply, _) in replies {
                drop(reply.send(Err(PushError::Storage(error.to_string()))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use watchfire_config::{FixedEnvironment, Source, load_config};
    use watchfire_model::{Labels, Sample};

    use super::*;
    use crate::{SystemClock, Watchfire};

    /// A clock that panics where it is told to: within the thread that takes in what arrives.
    #[derive(Default)]
    struct Broken(AtomicBool);

    impl Clock for Broken {
        fn now(&self) -> Timestamp {
            let is_intake = std::thread::current().name() == Some("intake");
            assert!(!is_intake || !self.0.swap(false, Ordering::AcqRel), "a defect");
            SystemClock.now()
        }
    }

    #[tokio::test]
    async fn what_makes_the_intake_panic_costs_nothing_that_comes_later() {
        let text = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\nevaluation: {keep_unread: true}\n";
        let (config, diagnostics) = load_config(Source { name: "c", text }, &FixedEnvironment::default());
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(Broken::default()));
        let engine = Watchfire::builder()
            .config(config.unwrap_or_else(|| panic!("{diagnostics:?}")), Vec::new())
            .data_dir(folder.path())
            .clock(clock.clone())
            .start()
            .await
            .unwrap();
        let push = || {
            let sample = Sample { timestamp: engine.now(), value: 1.0 };
            engine.push_samples(vec![(Labels::from_pairs([("__name__", "up")]), vec![sample])])
        };
        clock.0.store(true, Ordering::Release);
        assert_eq!(push().await, Err(defect()));
        assert_eq!(push().await.map(|pushed| pushed.accepted), Ok(1));
        engine.shutdown().await;
    }
}
