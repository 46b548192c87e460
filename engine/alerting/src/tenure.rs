//! Which of several engines on one store decides.
//!
//! One of them holds a lease and is the only one that evaluates, decides and tells; the others show what is kept and
//! take requests, which they keep for it. When it dies its lease runs out, another one takes over from what is kept, and
//! goes on as the same engine would after a restart: with its timers, its notification log, its outbox and the same
//! idempotency keys. A commit names the term in which it was decided, and the store refuses those of a term that is
//! over, so that an engine that was stopped for a while and wakes up changes nothing and tells nobody.

use watchfire_model::{Duration, Timestamp};

/// The time of one engine as the one that decides. It grows with every change of engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl Term {
    /// Of an engine that shares its store with nobody.
    pub const ALONE: Term = Term(0);
}

/// What an engine wants of the store's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It has just started: to have the lease if it is free, or if it is this engine's own from before.
    Start,
    /// To have the lease if it is free.
    Take,
    /// To keep the lease that it has.
    Keep(Term),
}

/// What the store says to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It has the lease, for as long as it asked for from the moment at which it asked.
    Held(Term),
    /// Another engine has it.
    Taken {
        /// How often what is kept was changed, to find out whether it is worth reading again.
        changes: u64,
    },
}

/// What follows from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Read what is kept, and decide from now on.
    TakeOver(Term),
    /// Another engine decides: drop what is not kept and read what is.
    StepDown,
    /// Something was changed by the engine that decides: read it again, to show it.
    Refresh,
}

/// Whether a notification may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It may.
    Granted,
    /// The lease may have run out: wait until the store has answered or proves to be out of reach.
    Unsure,
    /// It was decided in a term that is over; whoever decides now sends it.
    Refused,
}

/// One engine's view of the lease. Its times are those of a clock that is never set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    span: Duration,
    term: Option<Term>,
    until: Timestamp,
    /// Whether the store did not answer when it was asked last.
    unreachable: bool,
    seen: Option<u64>,
}

impl Tenure {
    /// Of an engine that shares its store with nobody.
    pub fn alone() -> Tenure {
        Tenure { term: Some(Term::ALONE), until: Timestamp::MAX, ..Tenure::sharing(Duration::ZERO) }
    }

    /// Of an engine that has not asked for the lease yet, which lasts for `span`.
    pub fn sharing(span: Duration) -> Tenure {
        Tenure { span, term: None, until: Timestamp::MIN, unreachable: false, seen: None }
    }

    /// How long a lease lasts that is not renewed.
    pub fn span(&self) -> Duration {
        self.span
    }

    /// The term in which this engine decides; nothing while another does.
    pub fn term(&self) -> Option<Term> {
        self.term
    }

    /// What to ask the store for.
    pub fn wish(&self) -> Wish {
        self.term.map_or(Wish::Take, Wish::Keep)
    }

    /// The store answered what was asked at `asked_at`.
    pub fn answered(&mut self, asked_at: Timestamp, claim: Claim) -> Option<Turn> {
        self.unreachable = false;
        match claim {
            Claim::Held(term) => {
                self.until = asked_at + self.span;
                self.seen = None;
                let before = self.term.replace(term);
                (before != Some(term)).then_some(Turn::TakeOver(term))
            }
            Claim::Taken { changes } => {
                let news = self.seen.replace(changes) != Some(changes);
                match self.term.take() {
                    Some(_) => Some(Turn::StepDown),
                    None => news.then_some(Turn::Refresh),
                }
            }
        }
    }

    /// The store did not answer.
    pub fn unanswered(&mut self) {
        self.unreachable = true;
    }

    /// Whether what was decided in `term` may be sent at `now`.
    ///
    /// While the store is out of reach an engine goes on after its lease ran out: mostly the store is gone for all, and
    /// a page that two engines send is better than one that nobody sends.
    pub fn leave(&self, term: Term, now: Timestamp) -> Leave {
        match self.term {
            Some(own) if own == term && (now < self.until || self.unreachable) => Leave::Granted,
            Some(own) if own == term => Leave::Unsure,
            _ => Leave::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_sends_while_its_lease_lasts_and_after_that_only_if_nobody_can_have_it() {
        let at = Timestamp::from_secs;
        let mut tenure = Tenure::sharing(Duration::from_secs(10));
        assert_eq!(tenure.answered(at(1), Claim::Taken { changes: 7 }), Some(Turn::Refresh));
        assert_eq!(tenure.answered(at(2), Claim::Taken { changes: 7 }), None);
        assert_eq!(tenure.wish(), Wish::Take);
        assert_eq!(tenure.answered(at(3), Claim::Held(Term(4))), Some(Turn::TakeOver(Term(4))));
        assert_eq!(tenure.answered(at(6), Claim::Held(Term(4))), None);
        assert_eq!(tenure.wish(), Wish::Keep(Term(4)));
        assert_eq!(tenure.leave(Term(4), at(15)), Leave::Granted);
        assert_eq!(tenure.leave(Term(3), at(15)), Leave::Refused);
        // It was stopped for a while, and does not know whether somebody else decides by now.
        assert_eq!(tenure.leave(Term(4), at(16)), Leave::Unsure);
        tenure.unanswered();
        assert_eq!(tenure.leave(Term(4), at(16)), Leave::Granted);
        assert_eq!(tenure.answered(at(17), Claim::Taken { changes: 9 }), Some(Turn::StepDown));
        assert_eq!(tenure.leave(Term(4), at(17)), Leave::Refused);
        assert_eq!(Tenure::alone().leave(Term::ALONE, at(1_000_000)), Leave::Granted);
    }
}
