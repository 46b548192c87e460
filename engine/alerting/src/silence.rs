//! Silences: somebody said not to tell certain alerts for some time.

use std::collections::BTreeMap;

use thiserror::Error;
use watchfire_model::{Duration, Labels, Matcher, Timestamp};

use crate::id::StableHash;
use crate::match_index::{MatchIndex, all_match};
use crate::{Recurrence, Settings, SilenceId};

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
    /// When it holds between these two; absent for all the time.
    pub recurrence: Option<Recurrence>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// What programs note about it.
    pub annotations: BTreeMap<String, String>,
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
    /// When it holds between these two. Absent: as the silence that is changed, or all the time for a new one.
    pub recurrence: Option<Recurrence>,
    /// Who asks.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// What programs note about it.
    pub annotations: BTreeMap<String, String>,
}

/// Where a silence is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SilenceState {
    /// Has not begun; or, of a recurring one, will hold again.
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
    /// It would be over before it begins.
    #[error("start time must be before end time")]
    EndsBeforeStart,
    /// It would be over already.
    #[error("end time can't be in the past")]
    EndsInThePast,
    /// A set has no matcher, or only matchers that demand nothing, so it would silence everything.
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
    /// It would hold for longer each time than a recurring silence may.
    #[error("an occurrence of a recurring silence may last at most {lasts_max}, not {lasts}")]
    LastsTooLong {
        /// How long each occurrence is to last.
        lasts: Duration,
        /// How long it may last.
        lasts_max: Duration,
    },
    /// Its texts are longer than those of a silence may be.
    #[error("silence has {bytes} bytes, at most {bytes_max} are allowed: give shorter matchers or a shorter comment")]
    TooLong {
        /// Bytes of its matchers, of who and why, and of its annotations.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
}

impl Silence {
    /// Whether it silences at a time, or will, or is over.
    pub fn state(&self, now: Timestamp) -> SilenceState {
        match (self.phase(now), &self.recurrence) {
            (SilenceState::Active, Some(recurrence)) if !recurrence.contains(now) => SilenceState::Pending,
            (phase, _) => phase,
        }
    }

    /// Where it is in its life, whatever its recurrence says.
    pub(crate) fn phase(&self, now: Timestamp) -> SilenceState {
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

/// All silences, those that are not over indexed by what they match.
#[derive(Debug)]
pub(crate) struct Silences {
    by_id: BTreeMap<SilenceId, Silence>,
    /// The silences that are pending or active when they are filed, and which of their matcher sets.
    index: MatchIndex<(SilenceId, usize)>,
}

/// What setting a silence comes to.
#[derive(Debug)]
pub(crate) struct SetSilence {
    /// The silence that has the content that was asked for.
    pub(crate) id: SilenceId,
    /// An older one that it replaces, which ends now.
    pub(crate) replaced: Option<SilenceId>,
}

impl Silences {
    pub(crate) fn new() -> Silences {
        Silences { by_id: BTreeMap::new(), index: MatchIndex::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many of them recur.
    pub(crate) fn recurring(&self) -> usize {
        self.by_id.values().filter(|silence| silence.recurrence.is_some()).count()
    }

    pub(crate) fn get(&self, id: &SilenceId) -> Option<&Silence> {
        self.by_id.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.by_id.values()
    }

    /// Puts a silence as it is, replacing one of the same id.
    pub(crate) fn put(&mut self, silence: Silence, now: Timestamp) {
        self.unfile(&silence.id);
        if silence.phase(now) != SilenceState::Expired {
            for (i, set) in silence.matcher_sets.iter().enumerate() {
                self.index.insert(set, (silence.id.clone(), i));
            }
        }
        self.by_id.insert(silence.id.clone(), silence);
    }

    /// Takes a silence out of the index; it stays readable.
    pub(crate) fn unfile(&mut self, id: &SilenceId) {
        if let Some(silence) = self.by_id.get(id) {
            for (i, set) in silence.matcher_sets.iter().enumerate() {
                self.index.remove(set, &(id.clone(), i));
            }
        }
    }

    pub(crate) fn delete(&mut self, id: &SilenceId) {
        self.unfile(id);
        self.by_id.remove(id);
    }

    /// The silences that silence an alert with these labels at `now`, in order of their ids.
    pub(crate) fn silencing(&self, labels: &Labels, now: Timestamp) -> Vec<SilenceId> {
        let mut found = Vec::new();
        for (id, set) in self.index.candidates(labels) {
            let Some(silence) = self.by_id.get(&id) else { continue };
            let matches = silence.matcher_sets.get(set).is_some_and(|matchers| all_match(matchers, labels));
            if matches && silence.state(now) == SilenceState::Active && found.last() != Some(&id) {
                found.push(id);
            }
        }
        found
    }

    /// Checks what is asked for and does it.
    ///
    /// A change keeps the id only if it means the same silence: equal matchers and, while it is active, the same start
    /// and an end to come, or, while it is pending, a start to come. Otherwise the old one ends and a new one is made
    /// (alertmanager `silence/silence.go`, `canUpdate`).
    pub(crate) fn set(
        &mut self,
        now: Timestamp,
        draft: SilenceDraft,
        settings: &Settings,
    ) -> Result<SetSilence, SilenceError> {
        let mut matcher_sets = draft.matcher_sets;
        for set in &mut matcher_sets {
            set.sort();
            set.dedup();
        }
        let matchers = matcher_sets.iter().map(Vec::len).sum();
        if matchers > settings.silence_matchers_max {
            return Err(SilenceError::TooManyMatchers { matchers, matchers_max: settings.silence_matchers_max });
        }
        let matcher_bytes = |matcher: &Matcher| matcher.name().len() + matcher.value().len();
        let annotations = draft.annotations.iter().map(|(name, value)| name.len() + value.len());
        let bytes = matcher_sets.iter().flatten().map(matcher_bytes).chain(annotations).sum::<usize>()
            + draft.created_by.len()
            + draft.comment.len();
        if bytes > settings.silence_bytes_max {
            return Err(SilenceError::TooLong { bytes, bytes_max: settings.silence_bytes_max });
        }
        let lasts_max = settings.silence_occurrence_max;
        if let Some(lasts) = draft.recurrence.as_ref().map(Recurrence::lasts).filter(|lasts| *lasts > lasts_max) {
            return Err(SilenceError::LastsTooLong { lasts, lasts_max });
        }
        let matches_everything = |set: &Vec<Matcher>| set.iter().all(Matcher::demands_nothing);
        if matcher_sets.is_empty() || matcher_sets.iter().any(matches_everything) {
            return Err(SilenceError::MatchesEverything);
        }
        if draft.ends_at <= draft.starts_at {
            return Err(SilenceError::EndsBeforeStart);
        }
        if draft.ends_at <= now {
            return Err(SilenceError::EndsInThePast);
        }
        let old = match &draft.id {
            None => None,
            Some(id) => Some(self.by_id.get(id).ok_or_else(|| SilenceError::NotFound(id.clone()))?),
        };
        let recurrence = draft.recurrence.or_else(|| old.and_then(|old| old.recurrence.clone()));
        let keeps_id = old.is_some_and(|old| {
            old.matcher_sets == matcher_sets
                && old.recurrence == recurrence
                && match old.phase(now) {
                    SilenceState::Pending => draft.starts_at >= now,
                    SilenceState::Active => draft.starts_at == old.starts_at,
                    SilenceState::Expired => false,
                }
        });
        let mut replaced = None;
        let (id, starts_at) = match old {
            Some(old) if keeps_id => (old.id.clone(), draft.starts_at),
            old => {
                replaced = old.filter(|old| old.phase(now) != SilenceState::Expired).map(|old| old.id.clone());
                if self.by_id.len() >= settings.silences_max {
                    return Err(SilenceError::Limit { silences_max: settings.silences_max });
                }
                (self.new_id(now, &matcher_sets, &draft.created_by, &draft.comment), draft.starts_at.max(now))
            }
        };
        let silence = Silence {
            id: id.clone(),
            matcher_sets,
            starts_at,
            ends_at: draft.ends_at,
            recurrence,
            updated_at: now,
            created_by: draft.created_by,
            comment: draft.comment,
            annotations: draft.annotations,
        };
        if let Some(replaced) = &replaced {
            self.end(replaced, now);
        }
        self.put(silence, now);
        Ok(SetSilence { id, replaced })
    }

    /// Ends a silence by hand. One that has not begun never begins, and one that is over stays so.
    pub(crate) fn expire(&mut self, now: Timestamp, id: &SilenceId) -> Result<(), SilenceError> {
        let silence = self.by_id.get(id).ok_or_else(|| SilenceError::NotFound(id.clone()))?;
        if silence.phase(now) != SilenceState::Expired {
            self.end(id, now);
        }
        Ok(())
    }

    /// The clock went back from `before` to `now`: what was over stays over. The silences that changed are returned.
    pub(crate) fn clock_stepped_back(&mut self, before: Timestamp, now: Timestamp) -> Vec<Silence> {
        let mut changed = Vec::new();
        for silence in self.by_id.values_mut().filter(|silence| silence.ends_at <= before && silence.ends_at > now) {
            silence.starts_at = silence.starts_at.min(now);
            silence.ends_at = now;
            changed.push(silence.clone());
        }
        for silence in &changed {
            self.unfile(&silence.id);
        }
        changed
    }

    fn end(&mut self, id: &SilenceId, now: Timestamp) {
        self.unfile(id);
        if let Some(silence) = self.by_id.get_mut(id) {
            silence.starts_at = silence.starts_at.min(now);
            silence.ends_at = now;
            silence.updated_at = now;
        }
    }

    /// A hash of the content and the time, counted up until it is free, because nothing random may be asked for.
    fn new_id(&self, now: Timestamp, sets: &[Vec<Matcher>], created_by: &str, comment: &str) -> SilenceId {
        let content = format!("{sets:?}");
        (0u64..)
            .map(|n| {
                let mut hash = StableHash::default();
                hash.part(&content).part(now.as_millis()).part(created_by).part(comment).part(n);
                SilenceId::from_hash(hash.finish())
            })
            .find(|id| !self.by_id.contains_key(id))
            .unwrap_or_else(|| SilenceId::from_hash(0))
    }
}
