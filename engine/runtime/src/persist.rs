//! Decide, persist, act, in that order: nothing is told to anybody before its record is durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use watchfire_alerting::{Delivery, Record, RecordKey};
use watchfire_store::Store;

use crate::metrics::Metrics;

/// How long to wait after a failed commit before the next try.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What one turn of the owner decided.
#[derive(Default)]
pub(crate) struct Decided {
    /// To be durable first.
    pub(crate) records: Vec<Record>,
    /// To be sent after that.
    pub(crate) deliveries: Vec<Delivery>,
    /// Callers to be answered after that.
    pub(crate) replies: Vec<oneshot::Sender<Result<(), String>>>,
}

impl Decided {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.deliveries.is_empty() && self.replies.is_empty()
    }
}

/// Commits what was decided and releases what waits for it, until the owner is gone.
///
/// Whatever has piled up meanwhile goes into one transaction. Of several records with one key only the newest is
/// kept, so that a database that is away for an hour costs memory for the state and not for its history.
///
/// While the database fails, callers are told so, but deliveries go on: a page that is sent twice after a crash is
/// better than one that waits for a full disk.
pub(crate) async fn run(
    mut decided: mpsc::UnboundedReceiver<Decided>,
    store: Store,
    deliver: impl Fn(Delivery),
    metrics: Arc<Metrics>,
) {
    let mut pending: BTreeMap<RecordKey, Record> = BTreeMap::new();
    let mut retry = RETRY_MIN;
    let mut failing = false;
    loop {
        let next = if failing {
            // The timeout is the wait before the next try; new decisions cut it short and are handled meanwhile.
            tokio::time::timeout(retry, decided.recv()).await.ok()
        } else {
            Some(decided.recv().await)
        };
        let mut batch = Decided::default();
        let closed = matches!(next, Some(None));
        if let Some(Some(first)) = next {
            batch.merge(first);
            while let Ok(more) = decided.try_recv() {
                batch.merge(more);
            }
        }
        for record in batch.records {
            pending.insert(record.key(), record);
        }
        let outcome = commit(&store, &mut pending, &metrics).await;
        match &outcome {
            Ok(()) => {
                if failing {
                    tracing::info!("the store takes writes again; nothing was lost");
                }
                (failing, retry) = (false, RETRY_MIN);
            }
            Err(reason) => {
                if !failing {
                    tracing::error!(%reason, pending = pending.len(), "the store fails; deliveries go on from memory");
                }
                (failing, retry) = (true, (retry * 2).min(RETRY_MAX));
            }
        }
        for delivery in batch.deliveries {
            deliver(delivery);
        }
        for reply in batch.replies {
            // A caller that has gone away needs no answer.
            drop(reply.send(outcome.clone()));
        }
        if closed {
            if failing {
                tracing::error!(pending = pending.len(), "stopped while the store failed; these records are lost");
            }
            return;
        }
    }
}

async fn commit(store: &Store, pending: &mut BTreeMap<RecordKey, Record>, metrics: &Metrics) -> Result<(), String> {
    metrics.records_pending.set(i64::try_from(pending.len()).unwrap_or(i64::MAX));
    if pending.is_empty() {
        return Ok(());
    }
    let result = store.commit(pending.values()).await;
    match result {
        Ok(()) => {
            metrics.records_committed.inc_by(pending.len() as u64);
            metrics.records_pending.set(0);
            pending.clear();
            Ok(())
        }
        Err(error) => {
            metrics.commit_failures.inc();
            Err(error.to_string())
        }
    }
}

impl Decided {
    fn merge(&mut self, mut other: Decided) {
        self.records.append(&mut other.records);
        self.deliveries.append(&mut other.deliveries);
        self.replies.append(&mut other.replies);
    }
}
