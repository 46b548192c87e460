//! Decide, persist, act, in that order: nothing is told to anybody before its record is durable. What is durable
//! already, because it was decided earlier and only waited for its turn, is told at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use watchfire_alerting::{Delivery, Input, Record, RecordKey, Term, Unsaved};
use watchfire_store::{Store, StoreError};

use crate::health::Health;
use crate::metrics::Metrics;
use crate::owner::Request;

/// How long to wait after a failed commit before the next try.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How long a database may take before it counts as failing. It may still do then what it was asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what nobody waits for waits for company: outcomes of attempts and histories come one by one, and a commit
/// costs far more than a record. What a crash takes of them is decided again at the next start, under the same keys.
const COMPANY: Duration = Duration::from_millis(5);

/// Records after which a commit takes no more, so that a slow database has done it in time. What one turn decided is not
/// divided, and what waits for a database that fails is tried together, so that a stop ends after a few tries.
const RECORDS_AT_ONCE: usize = 10_000;

/// What one turn of the owner decided.
#[derive(Default)]
#[expect(
    clippy::vec_box,
    reason = "the state machine boxed them, and a list of boxes grows without moving what is large"
)]
pub(crate) struct Decided {
    /// In which term.
    pub(crate) term: Term,
    /// To be durable first.
    pub(crate) records: Vec<Box<Record>>,
    /// Whether the state machine wants to know when they are.
    pub(crate) confirm: bool,
    /// Requests of other engines whose consequences these are.
    pub(crate) done: Vec<i64>,
    /// For the engine that decides, if that is another.
    pub(crate) requests: Vec<Input>,
    /// To be sent after that.
    pub(crate) deliveries: Vec<Box<Delivery>>,
    /// Callers to be answered after that.
    pub(crate) replies: Vec<oneshot::Sender<Result<(), String>>>,
}

/// What is not durable yet, all of one term.
#[derive(Default)]
struct Pending {
    term: Term,
    records: BTreeMap<RecordKey, Box<Record>>,
    confirm: bool,
    done: Vec<i64>,
}

/// What was decided and did not come into the commit before.
#[derive(Default)]
struct Waiting {
    decided: VecDeque<Decided>,
    unsaved: Unsaved,
}

/// What the persister uses.
pub(crate) struct Persister<F> {
    pub(crate) store: Arc<Store>,
    /// Sends what was decided in a term.
    pub(crate) deliver: F,
    /// Told what is durable, where it wants to know.
    pub(crate) owner: mpsc::UnboundedSender<Request>,
    /// Told when the store refused a commit because the term is over.
    pub(crate) refused: Arc<Notify>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Decided {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.done.is_empty()
            && self.requests.is_empty()
            && self.deliveries.is_empty()
            && self.replies.is_empty()
    }

    /// Whether somebody waits until it is durable.
    fn is_awaited(&self) -> bool {
        !self.requests.is_empty() || !self.deliveries.is_empty() || !self.replies.is_empty()
    }

    fn merge(&mut self, mut other: Decided) {
        self.records.append(&mut other.records);
        self.confirm |= other.confirm;
        self.done.append(&mut other.done);
        self.requests.append(&mut other.requests);
        self.deliveries.append(&mut other.deliveries);
        self.replies.append(&mut other.replies);
    }
}

impl<F: Fn(Term, Delivery)> Persister<F> {
    /// Commits what was decided and releases what waits for it, until the owner is gone.
    ///
    /// Whatever has piled up meanwhile goes into one transaction. Of several records with one key only the newest is
    /// kept, so that a database that is away for an hour costs memory for the state and not for its history.
    ///
    /// While the database fails, callers are told so, but deliveries go on, and once it is known to fail they do not even
    /// wait for the next try: a page that is sent twice after a crash is better than one that waits for a full disk. What
    /// was decided in a term that is over is dropped: the engine that decides now has decided it too.
    pub(crate) async fn run(self, mut decided: mpsc::UnboundedReceiver<Decided>) {
        let mut pending = Pending::default();
        let mut retry = RETRY_MIN;
        let mut failing = false;
        let mut waiting = Waiting::default();
        let mut closed = false;
        loop {
            if waiting.decided.is_empty() {
                // The timeout is the wait before the next try; new decisions cut it short and are handled meanwhile.
                let next = match failing {
                    true => tokio::time::timeout(retry, decided.recv()).await.ok(),
                    false => Some(decided.recv().await),
                };
                closed = matches!(next, Some(None));
                next.flatten().into_iter().for_each(|next| self.take_in(next, failing, &mut waiting));
            }
            let mut batch = Decided { term: pending.term, ..Decided::default() };
            if let Some(first) = waiting.decided.pop_front() {
                batch = first;
                self.gather(&mut batch, failing, &mut waiting, &mut decided).await;
            }
            if failing {
                // A page need not see it fail again.
                self.release(&mut batch);
            }
            if batch.term != pending.term {
                pending = Pending { term: batch.term, ..Pending::default() };
            }
            // Put in order at once and not one by one; of equal keys the newest stays.
            let mut newer = batch.records.drain(..).map(|record| (record.key(), record)).collect();
            pending.records.append(&mut newer);
            pending.confirm |= batch.confirm;
            pending.done.append(&mut batch.done);
            let outcome = {
                let write = self.write(&mut pending, &batch.requests, failing);
                tokio::pin!(write);
                loop {
                    tokio::select! {
                        outcome = &mut write => break outcome,
                        Some(more) = decided.recv() => self.take_in(more, failing, &mut waiting),
                    }
                }
            };
            let over = matches!(outcome, Err(StoreError::TermOver));
            match &outcome {
                Ok(()) => {
                    if self.health.mend() {
                        tracing::info!("the store takes writes again; nothing was lost");
                    }
                    (failing, retry) = (false, RETRY_MIN);
                }
                Err(StoreError::TermOver) => {
                    pending = Pending::default();
                    (failing, retry) = (false, RETRY_MIN);
                    self.refused.notify_one();
                }
                Err(error) => {
                    self.metrics.commit_failures.inc();
                    if self.health.fail(error) {
                        let pending = pending.records.len();
                        match batch.requests.is_empty() {
                            true => tracing::error!(%error, pending, "the store fails; deliveries go on from memory"),
                            false => {
                                tracing::error!(%error, "the store fails; what this engine is asked for is refused")
                            }
                        }
                    }
                    (failing, retry) = (true, (retry * 2).min(RETRY_MAX));
                }
            }
            if !failing {
                waiting.unsaved.clear();
                waiting
                    .decided
                    .iter()
                    .flat_map(|decided| &decided.records)
                    .for_each(|record| waiting.unsaved.add(record));
            }
            self.metrics.store_failing.set(i64::from(failing));
            if !over {
                self.release(&mut batch);
            }
            let outcome = outcome.map_err(|error| error.to_string());
            for reply in batch.replies {
                // A caller that has gone away needs no answer.
                drop(reply.send(outcome.clone()));
            }
            if closed {
                if failing {
                    let pending = pending.records.len();
                    tracing::error!(pending, "stopped while the store failed; these records are lost");
                }
                if pending.term != Term::ALONE
                    && let Err(error) = self.store.release(pending.term).await
                {
                    tracing::warn!(%error, "other engines take over when the lease has run out");
                }
                return;
            }
        }
    }

    /// Sends what waits for nothing, and keeps the rest for a commit.
    fn take_in(&self, mut decided: Decided, failing: bool, waiting: &mut Waiting) {
        if failing {
            self.release(&mut decided);
        }
        decided.records.iter().for_each(|record| waiting.unsaved.add(record));
        let free = decided.deliveries.extract_if(.., |delivery| !waiting.unsaved.holds_up(delivery));
        free.for_each(|delivery| (self.deliver)(decided.term, *delivery));
        if !decided.is_empty() {
            waiting.decided.push_back(decided);
        }
    }

    /// Adds what has piled up of the same term, and what comes while nobody waits for any of it.
    async fn gather(
        &self,
        batch: &mut Decided,
        failing: bool,
        waiting: &mut Waiting,
        decided: &mut mpsc::UnboundedReceiver<Decided>,
    ) {
        let until = tokio::time::Instant::now() + COMPANY;
        loop {
            while let Ok(more) = decided.try_recv() {
                self.take_in(more, failing, waiting);
            }
            while (failing || batch.records.len() < RECORDS_AT_ONCE)
                && let Some(more) = waiting.decided.pop_front_if(|more| more.term == batch.term)
            {
                batch.merge(more);
            }
            // What comes of another term, or is too much, is for a commit of its own.
            if batch.is_awaited() || !waiting.decided.is_empty() {
                return;
            }
            match tokio::time::timeout_at(until, decided.recv()).await {
                Ok(Some(more)) => self.take_in(more, failing, waiting),
                _ => return,
            }
        }
    }

    /// Sends what is to be sent.
    fn release(&self, decided: &mut Decided) {
        decided.deliveries.drain(..).for_each(|delivery| (self.deliver)(decided.term, *delivery));
    }

    async fn write(&self, pending: &mut Pending, requests: &[Input], failing: bool) -> Result<(), StoreError> {
        let length = pending.records.len();
        self.metrics.records_pending.set(i64::try_from(length).unwrap_or(i64::MAX));
        if !requests.is_empty() {
            self.in_time(self.store.request(requests)).await?;
        }
        if failing && length == 0 && pending.done.is_empty() && requests.is_empty() {
            // Nothing is left to write, since who waited for it was told that it failed. Only the database knows whether it
            // takes writes again.
            self.in_time(self.store.try_write()).await?;
        }
        if length > 0 || !pending.done.is_empty() {
            let records = pending.records.iter().map(|(key, record)| (key, &**record));
            self.in_time(self.store.commit_in(pending.term, records, &pending.done)).await?;
            self.metrics.records_committed.inc_by(length as u64);
            self.metrics.records_pending.set(0);
            if pending.confirm {
                // Without an owner the process is ending.
                drop(self.owner.send(Request::Inputs(vec![Input::Confirmed])));
            }
            *pending = Pending { term: pending.term, ..Pending::default() };
        }
        Ok(())
    }

    /// A database that hangs must not hold up deliveries.
    async fn in_time(&self, work: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
        tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(StoreError::TooSlow { after: PATIENCE }))
    }
}
