//! What is kept between the evaluations of one plan.

use std::sync::Arc;

use watchfire_model::{METRIC_NAME_LABEL, MatchOp, Timestamp};
use watchfire_tsdb::{Cursor, SeriesId, Tsdb};

use crate::eval::{self, Layouts, Parts, Query, Selected, Windows};
use crate::{Answer, Plan, QueryError, Stop};

/// The series that a plan's selectors match, kept up to date as series come and go, and what follows from them alone:
/// which group each series belongs to, and which series meet. One per plan and store; the default has seen nothing yet.
#[derive(Clone, Debug, Default)]
pub struct Tracked {
    cursor: Cursor,
    /// How many series the store had removed when this was brought up to date.
    removed: u64,
    /// For each selection of the plan its series, by slot.
    ids: Vec<Vec<SeriesId>>,
    layouts: Layouts,
    /// What of the series has to do with what, found when it is asked for first.
    parts: Option<Option<Arc<Parts>>>,
    windows: Arc<Windows>,
}

impl Tracked {
    /// Nothing seen yet; windows over series are shared with all others that were made with the same `windows`.
    pub fn sharing(windows: &Arc<Windows>) -> Tracked {
        Tracked { windows: Arc::clone(windows), ..Tracked::default() }
    }
}

impl Plan {
    /// Evaluates at one instant with what `tracked` knows, bringing it up to date first.
    ///
    /// The answer is that of [`Plan::instant`], bit for bit.
    ///
    /// # Errors
    /// As [`Plan::instant`].
    pub fn instant_tracked(
        &self,
        db: &Tsdb,
        tracked: &mut Tracked,
        at: Timestamp,
        stop: &dyn Fn() -> Option<Stop>,
    ) -> Result<Answer, QueryError> {
        self.track(db, tracked);
        let selected = Selected::Stored { db, ids: &tracked.ids, layouts: Some(&tracked.layouts) };
        eval::run(self, selected, Query::instant(at), stop)
    }

    /// Evaluates at one instant what these series have a say in, because only they have changed. The answer may hold
    /// more of the whole one than that; what it holds is the same, bit for bit.
    ///
    /// # Errors
    /// As [`Plan::instant`].
    pub fn instant_of_changed(
        &self,
        db: &Tsdb,
        tracked: &mut Tracked,
        changed: &[SeriesId],
        at: Timestamp,
        stop: &dyn Fn() -> Option<Stop>,
    ) -> Result<Answer, QueryError> {
        self.track(db, tracked);
        let (ids, layouts) = (&tracked.ids, &tracked.layouts);
        let parts = tracked.parts.get_or_insert_with(|| Parts::new(self, layouts, ids).map(Arc::new));
        let some = parts.as_ref().and_then(|parts| parts.of(ids, changed));
        let selected = match &some {
            Some(ids) => Selected::Stored { db, ids, layouts: None },
            None => Selected::Stored { db, ids, layouts: Some(layouts) },
        };
        eval::run(self, selected, Query::instant(at), stop)
    }

    /// Whether so many series were found that [`Plan::instant_of_changed`] may look at fewer than all.
    pub fn is_worth_splitting(&self, tracked: &Tracked) -> bool {
        !matches!(tracked.parts, Some(None)) && Parts::may_help(&tracked.ids)
    }

    /// Brings what is known up to date: looks at the series that were created since, and forgets those that are gone.
    pub fn track(&self, db: &Tsdb, tracked: &mut Tracked) {
        let fresh = tracked.layouts.len() != self.nodes;
        if fresh {
            tracked.ids = self.select(db);
        }
        if !(fresh | self.drop_removed(db, tracked) | self.add_created(db, tracked)) {
            return;
        }
        tracked.layouts = Layouts::new(self, db, &tracked.ids, &tracked.windows);
        tracked.parts = None;
    }

    fn drop_removed(&self, db: &Tsdb, tracked: &mut Tracked) -> bool {
        if tracked.removed == db.removed_series() {
            return false;
        }
        tracked.removed = db.removed_series();
        let mut changed = false;
        for ids in &mut tracked.ids {
            let before = ids.len();
            ids.retain(|id| db.series(*id).is_some());
            changed |= ids.len() != before;
        }
        changed
    }

    fn add_created(&self, db: &Tsdb, tracked: &mut Tracked) -> bool {
        if db.is_newest_cursor(tracked.cursor) {
            return false;
        }
        let created = db.new_series_since(tracked.cursor);
        let before = std::mem::replace(&mut tracked.cursor, created.cursor);
        let mut changed = false;
        for (ids, selection) in tracked.ids.iter_mut().zip(&self.selections) {
            // What comes is most often of metrics that this selection does not read, such as the alerts of other rules.
            let named = selection
                .matchers
                .iter()
                .find(|m| m.name() == METRIC_NAME_LABEL && m.op() == MatchOp::Equal && !m.value().is_empty());
            if named.is_some_and(|named| !db.may_have_new(before, METRIC_NAME_LABEL, named.value())) {
                continue;
            }
            // The index finds a few series among many faster than a look at each of them.
            if created.series.len() > 64 + 4 * ids.len() {
                let selected = db.select(&selection.matchers);
                changed |= *ids != selected;
                *ids = selected;
                continue;
            }
            for id in created.series {
                let matches =
                    db.series(*id).is_some_and(|s| selection.matchers.iter().all(|m| m.matches_labels(s.labels())));
                // The order is that of a selection, as sums depend on it.
                if matches && let Err(place) = ids.binary_search_by_key(&id.slot(), |id| id.slot()) {
                    ids.insert(place, *id);
                    changed = true;
                }
            }
        }
        changed
    }
}
