//! Several engines on one database: asks for the lease, takes over, steps down, and shows what another engine decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};
use watchfire_alerting::{Claim, Leave, Record, Tenure, Term, Turn, Wish};
use watchfire_model::{Duration, Timestamp};
use watchfire_plugin::{State, StateLimits};
use watchfire_store::{Store, StoreError, Watch};

use crate::builder::plugin_states;
use crate::clock::Stopwatch;
use crate::data::lock;
use crate::deliveries::History;
use crate::evaluate::RuleSet;
use crate::metrics::Metrics;
use crate::owner::Request;
use crate::remembered::States;

/// What is kept is read again after at least so many times the time that it took last.
const REST: u32 = 10;

/// What is kept must be read in this time, or in twice as long after each time it took too long, up to
/// [`READING_LONGEST`]. A connection that hangs must not keep an engine from deciding that has the lease.
const READING_MAX: StdDuration = StdDuration::from_secs(60);
const READING_LONGEST: StdDuration = StdDuration::from_secs(480);

/// Why what is kept was not read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It panicked, which is a defect.
    #[error("it was not read to its end: {0}")]
    Defect(#[from] tokio::task::JoinError),
}

impl ReadError {
    /// How long it may take the next time, if it might take `max` this time. Only what took too long may take longer:
    /// what fails otherwise fails as fast the next time, and would hold up who has the lease without a bound in the end.
    fn reading_max(&self, max: StdDuration) -> StdDuration {
        match self {
            ReadError::Store(StoreError::TooSlow { .. }) => (max * 2).min(READING_LONGEST),
            ReadError::Store(_) | ReadError::Defect(_) => max,
        }
    }
}

/// What everybody knows about this engine's tenure.
#[derive(Clone)]
pub(crate) struct Standing {
    tenure: watch::Receiver<Tenure>,
    /// Counts from the start of the engine; it is never set.
    since_start: Arc<Stopwatch>,
}

impl Standing {
    /// Of an engine that asks for the lease as [`Tenant`] does, and the way to change it.
    pub(crate) fn new(tenure: Tenure) -> (Standing, watch::Sender<Tenure>) {
        let (sender, receiver) = watch::channel(tenure);
        (Standing { tenure: receiver, since_start: Arc::new(Stopwatch::start()) }, sender)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.since_start.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// Whether what was decided in a term may be sent; waits while that is not known.
    pub(crate) async fn may_send(&self, term: Term) -> bool {
        let mut tenure = self.tenure.clone();
        loop {
            match tenure.borrow_and_update().leave(term, self.now()) {
                Leave::Granted => return true,
                Leave::Refused => return false,
                Leave::Unsure => {}
            }
            if tenure.changed().await.is_err() {
                // The engine is stopping; the outbox has it for whoever decides next.
                return false;
            }
        }
    }
}

/// The name under which an engine holds a lease: the same after a restart, so that it has its own lease at once.
pub(crate) fn name(data_dir: &Path) -> std::io::Result<String> {
    let path = data_dir.join("engine-id");
    if let Ok(name) = std::fs::read_to_string(&path)
        && !name.trim().is_empty()
    {
        return Ok(name.trim().to_owned());
    }
    let random = || std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
    let name = format!("{:016x}{:016x}", random(), random());
    std::fs::write(&path, &name)?;
    Ok(name)
}

/// The task that keeps the lease, or waits for it.
pub(crate) struct Tenant {
    pub(crate) store: Arc<Store>,
    pub(crate) engine: String,
    pub(crate) standing: Standing,
    pub(crate) tenure: watch::Sender<Tenure>,
    /// Told when the store refused a commit because the term is over.
    pub(crate) refused: Arc<Notify>,
    pub(crate) owner: mpsc::UnboundedSender<Request>,
    pub(crate) rules: Arc<ArcSwap<RuleSet>>,
    pub(crate) history: Arc<History>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Tenant {
    /// Runs until the engine stops.
    pub(crate) async fn run(self) {
        let span = self.tenure.borrow().span();
        let pause = StdDuration::from_millis(span.as_millis().unsigned_abs() / 4).max(StdDuration::from_millis(50));
        // A connection that hangs must not keep it from asking over another one.
        let patience = span.to_std();
        let mut follow: Option<Watch> = None;
        // The requests that the owner has and that are not done with.
        let mut handed: BTreeSet<i64> = BTreeSet::new();
        let mut rest = Stopwatch::start();
        let (mut rest_until, mut reading_max) = (StdDuration::ZERO, READING_MAX);
        let mut answers = true;
        loop {
            if follow.is_none() {
                follow = tokio::time::timeout(patience, self.store.watch()).await.ok().and_then(Result::ok).flatten();
            }
            let asked_at = self.standing.now();
            let wish = self.tenure.borrow().wish();
            let answer = tokio::time::timeout(patience, self.store.claim(&self.engine, wish, span)).await;
            let answer = answer.unwrap_or(Err(StoreError::TooSlow { after: patience }));
            let mut turn = None;
            // Told when it begins and when it ends, since it is asked for several times a second.
            match (&answer, answers) {
                (Err(error), true) => {
                    tracing::warn!(%error, "who decides is not known while the database does not say")
                }
                (Ok(_), false) => tracing::info!("the database says again who decides"),
                _ => {}
            }
            answers = answer.is_ok();
            match answer {
                Ok(claim) => self.tenure.send_modify(|tenure| {
                    // While it rests it does not look whether there is news.
                    let holds = tenure.term().is_some();
                    let held = matches!(claim, Claim::Held(_));
                    if holds || held || rest.elapsed() >= rest_until {
                        turn = tenure.answered(asked_at, claim);
                    }
                }),
                Err(_) => self.tenure.send_modify(Tenure::unanswered),
            }
            if turn.is_some() {
                handed.clear();
                let took = Stopwatch::start();
                let mut failure = None;
                while let Some(next) = turn {
                    turn = self.follow(next, pause, reading_max).await.unwrap_or_else(|error| {
                        failure = Some(error);
                        None
                    });
                }
                (rest_until, reading_max) = match failure {
                    None => (took.elapsed() * REST, READING_MAX),
                    Some(error) => {
                        tracing::error!(%error, "what is kept cannot be read");
                        self.give_up(patience).await;
                        (StdDuration::ZERO, error.reading_max(reading_max))
                    }
                };
                rest = Stopwatch::start();
            }
            self.metrics.deciding.set(i64::from(self.tenure.borrow().term().is_some()));
            if self.tenure.borrow().term().is_some() {
                // What is not read now is read the next time.
                let _read = tokio::time::timeout(patience, self.hand_over(&mut handed)).await;
            }
            let news = async {
                match &mut follow {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.refused.notified() => {}
                result = news => if result.is_err() { follow = None },
                () = self.owner.closed() => return,
            }
        }
    }

    /// Does what follows from an answer of the store, or says what is to be done in its place.
    ///
    /// What is to be read may take longer than a lease lasts. It is kept meanwhile: two engines that lost it over their
    /// reading to each other would never decide. And who only looks takes it should it become free.
    async fn follow(
        &self,
        turn: Turn,
        pause: StdDuration,
        reading_max: StdDuration,
    ) -> Result<Option<Turn>, ReadError> {
        // In a task of its own, since much of it is computing, during which nothing else of this task goes on.
        let mut reading = tokio::task::JoinSet::new();
        reading.spawn(read(Arc::clone(&self.store), Arc::clone(&self.history), turn));
        tokio::select! {
            read = tokio::time::timeout(reading_max, reading.join_next()) => {
                let read = read.map_err(|_| StoreError::TooSlow { after: reading_max })?;
                if let Some(read) = read {
                    self.begin(turn, read??);
                }
                Ok(None)
            }
            other = self.turned(pause) => Ok(Some(other)),
            () = self.owner.closed() => Ok(None),
        }
    }

    /// Leaves the lease to an engine that can read what is kept, and asks for it again as if nothing had been answered.
    async fn give_up(&self, patience: StdDuration) {
        let mut term = None;
        self.tenure.send_modify(|tenure| {
            term = tenure.term();
            *tenure = Tenure::sharing(tenure.span());
        });
        if let Some(term) = term {
            // If this fails it runs out by itself.
            let _released = tokio::time::timeout(patience, self.store.release(term)).await;
        }
    }

    /// Asks for the lease until this engine gets or loses it.
    async fn turned(&self, pause: StdDuration) -> Turn {
        loop {
            tokio::time::sleep(pause).await;
            let (asked_at, span, wish) =
                (self.standing.now(), self.tenure.borrow().span(), self.tenure.borrow().wish());
            let claim = self.store.claim(&self.engine, wish, span);
            // Without an answer it is asked again.
            let Ok(Ok(claim)) = tokio::time::timeout(span.to_std(), claim).await else { continue };
            // Whether there is news is asked after the reading.
            if matches!((wish, claim), (Wish::Keep(_), _) | (_, Claim::Held(_))) {
                let mut turn = None;
                self.tenure.send_modify(|tenure| turn = tenure.answered(asked_at, claim));
                if let Some(turn) = turn {
                    return turn;
                }
            }
        }
    }

    fn begin(&self, turn: Turn, (states, records): Kept) {
        let term = match turn {
            Turn::TakeOver(term) => {
                tracing::warn!(term = term.0, records = records.len(), "this engine decides from now on");
                self.take_states(states);
                Some(term)
            }
            Turn::StepDown => {
                tracing::warn!("another engine decides from now on");
                None
            }
            Turn::Refresh => None,
        };
        // Without an owner the process is ending.
        drop(self.owner.send(Request::Turn { term, records }));
    }

    /// What plugins remember is what the engine before had kept.
    fn take_states(&self, mut kept: States) {
        for (rule, ready) in &self.rules.load().rules {
            let state = kept.remove(rule);
            let own = ready.state.load();
            let mut own = lock(&own);
            let limits = own.limits();
            *own = state.unwrap_or_else(|| State::new(limits, BTreeMap::new()));
            own.set_limits(limits);
        }
    }

    /// Gives the owner what other engines were asked for, each once.
    async fn hand_over(&self, handed: &mut BTreeSet<i64>) {
        let Ok(requests) = self.store.requests().await else { return };
        let kept: BTreeSet<i64> =
            requests.inputs.iter().map(|(number, _)| *number).chain(requests.unreadable.iter().map(|u| u.0)).collect();
        handed.retain(|number| kept.contains(number));
        let fresh: Vec<_> = requests.inputs.into_iter().filter(|(number, _)| handed.insert(*number)).collect();
        let mut unreadable = Vec::new();
        for (number, reason) in requests.unreadable {
            if handed.insert(number) {
                tracing::error!(number, reason, "a request of another engine cannot be read and is dropped");
                unreadable.push(number);
            }
        }
        if !fresh.is_empty() || !unreadable.is_empty() {
            drop(self.owner.send(Request::Requested { inputs: fresh, unreadable }));
        }
    }
}

/// What is kept: of plugins, and everything else.
type Kept = (States, Vec<Record>);

/// Reads what is kept for an engine whose turn it is, or is not any more.
async fn read(store: Arc<Store>, history: Arc<History>, turn: Turn) -> Result<Kept, StoreError> {
    let records = match turn {
        Turn::TakeOver(_) => store.restore().await?.records,
        Turn::StepDown | Turn::Refresh => store.look().await?.records,
    };
    history.catch_up(!matches!(turn, Turn::Refresh)).await?;
    Ok(plugin_states(records, StateLimits::STANDARD))
}

/// The records that a follower was asked to change: silences, as they came out.
pub(crate) fn silences(records: Vec<Record>) -> Vec<watchfire_alerting::Silence> {
    let silence = |record| if let Record::Silence(silence) = record { Some(silence) } else { None };
    records.into_iter().filter_map(silence).collect()
}

/// How long a lease lasts that is not renewed, at least.
pub(crate) const SPAN_MIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_took_too_long_may_take_longer_the_next_time_and_there_is_an_end_to_it() {
        let slow = || StoreError::TooSlow { after: READING_MAX };
        for (errors, expected) in [
            (Vec::new(), 60),
            (vec![slow()], 120),
            (vec![slow(), slow()], 240),
            ((0..100).map(|_| slow()).collect(), 480),
            ((0..100).map(|_| StoreError::TermOver).collect(), 60),
            (vec![slow(), StoreError::TermOver], 120),
        ] {
            let told = format!("{errors:?}");
            let max = errors.into_iter().fold(READING_MAX, |max, error| ReadError::from(error).reading_max(max));
            assert_eq!(max.as_secs(), expected, "{told}");
        }
    }
}
