//! Silences: somebody said not to tell certain alerts for some time.

use thiserror::Error;
use watchfire_model::{Matcher, Timestamp};

use crate::SilenceId;

/// A silence as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The identity.
    pub id: SilenceId,
    /// An alert is silenced if it matches every matcher of any of these sets.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// When it begins.
    pub starts_at: Timestamp,
    /// When it ends; expiring it early moves this.
    pub ends_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
}

/// What somebody asks for: a new silence, or a change of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceDraft {
    /// The silence to change; `None` for a new one.
    pub id: Option<SilenceId>,
    /// See [`Silence::matcher_sets`].
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// When it begins; a time in the past means now.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Who asks.
    pub created_by: String,
    /// Why.
    pub comment: String,
}

/// Where a silence is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SilenceState {
    /// Has not begun.
    Pending,
    /// Silences now.
    Active,
    /// Is over, and kept for a while for people to look at.
    Expired,
}

/// Why a silence was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SilenceError {
    /// There is none of this id.
    #[error("silence {0} not found")]
    NotFound(SilenceId),
    /// It is over already.
    #[error("silence {0} already expired")]
    AlreadyExpired(SilenceId),
    /// It would be over before it begins.
    #[error("start time must be before end time")]
    EndsBeforeStart,
    /// It would be over already.
    #[error("end time can't be in the past")]
    EndsInThePast,
    /// A set has no matcher, or only matchers that also match an absent label, so it would silence everything.
    #[error("at least one matcher of each set must not match the empty string")]
    MatchesEverything,
    /// There are as many as may be, expired ones included.
    #[error("exceeded the maximum number of silences: {silences_max}; expired ones count until they are deleted")]
    Limit {
        /// The limit.
        silences_max: usize,
    },
    /// It is larger than a silence may be.
    #[error("silence has {matchers} matchers, at most {matchers_max} are allowed")]
    TooManyMatchers {
        /// How many it has.
        matchers: usize,
        /// How many it may have.
        matchers_max: usize,
    },
}

impl Silence {
    /// Where it is in its life at a time.
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now < self.ends_at {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }
}

impl SilenceState {
    /// The lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            SilenceState::Pending => "pending",
            SilenceState::Active => "active",
            SilenceState::Expired => "expired",
        }
    }
}
