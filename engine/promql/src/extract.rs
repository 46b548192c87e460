//! What a query reads, copied out of the store.

use std::vec::IntoIter;

use watchfire_model::{Duration, Timestamp};
use watchfire_tsdb::{SeriesId, Tsdb};

use crate::eval::{self, Copies, Query, Selected};
use crate::{Answer, Plan, QueryError, Stop};

/// The series that one evaluation of a plan reads, copied out of the store bit by bit. A query may take seconds, and
/// nothing can be stored while the store is read; a copy takes some milliseconds, and a large one several short looks.
///
/// Samples that arrive between two looks are seen in those series only that are copied after them.
#[derive(Debug)]
pub struct Extract {
    plan: Plan,
    query: Query,
    /// Samples up to here are not needed.
    after: Timestamp,
    /// For each selection of the plan the series that are yet to be copied, once they are looked up.
    ids: Option<Vec<IntoIter<SeriesId>>>,
    copies: Copies,
    bytes: usize,
}

/// Copies may take as much memory as the samples that the plan's limit allows would take where windows are read.
const SAMPLE_BYTES: u64 = 16;

/// And this much in any case: a copy holds more samples than those that the query looks at.
const BYTES_FREE: u64 = 16 << 20;

impl Extract {
    /// Of what the plan reads at one instant.
    pub fn instant(plan: Plan, at: Timestamp) -> Extract {
        Extract::new(plan, Query::instant(at), at)
    }

    /// Of what the plan reads at all steps from `start` to `end`.
    ///
    /// # Errors
    /// As [`Plan::range`], if there are no such steps or the plan gives no value at a step.
    pub fn range(plan: Plan, start: Timestamp, end: Timestamp, step: Duration) -> Result<Extract, QueryError> {
        let query = plan.range_query(start, end, step)?;
        Ok(Extract::new(plan, query, start))
    }

    fn new(plan: Plan, query: Query, start: Timestamp) -> Extract {
        let reach = plan.expr().known_reach_with(plan.options.lookback);
        // A start timestamp's sample may be looked for right at the edge.
        let after = reach.map_or(Timestamp::MIN, |reach| start - reach - Duration::from_millis(1));
        Extract { plan, query, after, ids: None, copies: Copies::default(), bytes: 0 }
    }

    /// Copies the next `series_max` series; answers whether some are left. The first call finds out which they are, so
    /// that series which come to life after it are not among them.
    ///
    /// # Errors
    /// If the copies take more memory than the plan's limit on samples allows, or the caller wants it to stop.
    pub fn copy_from(
        &mut self,
        db: &Tsdb,
        series_max: usize,
        stop: &dyn Fn() -> Option<Stop>,
    ) -> Result<bool, QueryError> {
        QueryError::if_stopped(stop)?;
        let Extract { plan, after, ids, copies, bytes, .. } = self;
        let ids = ids.get_or_insert_with(|| {
            copies.has_metadata_labels = eval::has_metadata_labels(db);
            let ids = plan.select(db);
            copies.series = ids.iter().map(|ids| Vec::with_capacity(ids.len())).collect();
            ids.into_iter().map(Vec::into_iter).collect()
        });
        let mut room = series_max;
        for (ids, copies) in ids.iter_mut().zip(&mut copies.series) {
            let before = ids.len();
            for copy in ids.by_ref().take(room).filter_map(|id| db.series(id)?.copy_after(*after)) {
                *bytes += copy.bytes();
                copies.push(copy);
            }
            room -= before - ids.len();
        }
        let samples_max = plan.options.samples_max;
        if samples_max > 0 && *bytes as u64 > samples_max.saturating_mul(SAMPLE_BYTES).max(BYTES_FREE) {
            return Err(QueryError::TooManySamples);
        }
        Ok(ids.iter().any(|ids| ids.len() > 0))
    }

    /// Evaluates over what was copied.
    ///
    /// # Errors
    /// As [`Plan::instant`] and [`Plan::range`].
    pub fn evaluate(&self, stop: &dyn Fn() -> Option<Stop>) -> Result<Answer, QueryError> {
        eval::run(&self.plan, Selected::Copied(&self.copies), self.query, stop)
    }
}
