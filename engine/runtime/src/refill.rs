//! Windows of event rules that a reload brings or edits, filled from the log as a start fills them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use watchfire_events::{CompiledQuery, EventIndex, EventWindows};
use watchfire_model::{RuleId, Timestamp};
use watchfire_store::log::{LogError, Position, Replay, ReplayFrom, Replayed};

use crate::data::{Data, lock};
use crate::writer::Writer;

/// Windows that are not in force yet.
#[derive(Default)]
pub(crate) struct Refill {
    index: EventIndex,
    windows: HashMap<RuleId, EventWindows>,
    /// How far the log was read; nothing if there was no need to.
    until: Option<Position>,
}

impl Data {
    /// Makes windows for the queries that ask something else than what is in force, and fills them with what was logged
    /// since a time. Events go on arriving meanwhile; [`Refill::catch_up`] brings these.
    ///
    /// # Errors
    /// If the file system says no.
    pub(crate) fn refill(
        &self,
        queries: &BTreeMap<RuleId, Arc<CompiledQuery>>,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Refill, LogError> {
        let goes_on = |rule: &RuleId, query: &CompiledQuery| {
            self.windows(*rule).is_some_and(|windows| lock(&windows).query().asks_the_same(query))
        };
        let fresh: BTreeMap<_, _> = queries.iter().filter(|(rule, query)| !goes_on(rule, query)).collect();
        if fresh.is_empty() {
            return Ok(Refill::default());
        }
        let (mut replay, until) = {
            let writer = lock(&self.writer);
            (writer.events.replay(ReplayFrom::Time(since)), writer.events.end())
        };
        let mut refill = Refill {
            index: EventIndex::new(fresh.iter().map(|(rule, query)| (**rule, query.as_ref()))),
            windows: fresh.iter().map(|(rule, query)| (**rule, EventWindows::new(Arc::clone(query), since))).collect(),
            until: Some(until),
        };
        refill.read(&mut replay, Some(until), now)?;
        Ok(refill)
    }
}

impl Refill {
    /// Takes what was logged since the windows were filled; nothing more may be logged until they are in force.
    ///
    /// # Errors
    /// If the file system says no.
    pub(crate) fn catch_up(&mut self, writer: &Writer, now: Timestamp) -> Result<(), LogError> {
        let Some(until) = self.until else { return Ok(()) };
        self.read(&mut writer.events.replay(ReplayFrom::Position(until)), None, now)
    }

    /// The windows of a rule, if there was need of new ones.
    pub(crate) fn take(&mut self, rule: RuleId) -> Option<EventWindows> {
        self.windows.remove(&rule)
    }

    /// What is damaged is left out, as at a start, which tells of it.
    fn read(&mut self, replay: &mut Replay, until: Option<Position>, now: Timestamp) -> Result<(), LogError> {
        while let Some(entry) = replay.next()? {
            let Replayed::Events { at, events } = entry else { continue };
            if until.is_some_and(|until| replay.position() >= until) {
                break;
            }
            for event in &events {
                for rule in self.index.candidates(event) {
                    if let Some(windows) = self.windows.get_mut(&rule) {
                        // What it leads to is asked when the rule is evaluated.
                        let _touched = windows.push(event, at.min(now));
                    }
                }
            }
        }
        Ok(())
    }
}
