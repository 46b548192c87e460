//! A query made ready to be evaluated again and again.

use watchfire_model::{Duration, Timestamp};
use watchfire_tsdb::{Cursor, SeriesId, Tsdb};

use crate::{Answer, Expr, Options, QueryError, Selector, Stop};

/// A query made ready to be evaluated again and again.
#[derive(Clone, Debug)]
pub struct Plan {
    expr: Expr,
    options: Options,
}

/// The series that a plan's selectors match, kept up to date as series come and go, so that an evaluation need not
/// search for them. One per plan and store; the default has seen nothing yet.
#[derive(Clone, Debug, Default)]
pub struct Tracked {
    cursor: Cursor,
    selections: Vec<Vec<SeriesId>>,
}

impl Plan {
    /// Prepares a checked expression.
    pub fn new(expr: &Expr, options: &Options) -> Plan {
        Plan { expr: expr.clone(), options: *options }
    }

    /// What the query reads.
    pub fn selectors(&self) -> Vec<Selector> {
        self.expr.selectors_with(self.options.lookback)
    }

    /// Evaluates at one instant.
    pub fn instant(&self, _db: &Tsdb, _at: Timestamp, _stop: &dyn Fn() -> Option<Stop>) -> Result<Answer, QueryError> {
        Err(QueryError::Execution("evaluation is not connected yet".to_owned()))
    }

    /// Evaluates at one instant with the series that `tracked` knows, bringing it up to date first.
    pub fn instant_tracked(
        &self,
        db: &Tsdb,
        tracked: &mut Tracked,
        at: Timestamp,
        stop: &dyn Fn() -> Option<Stop>,
    ) -> Result<Answer, QueryError> {
        let created = db.new_series_since(tracked.cursor);
        tracked.cursor = created.cursor;
        tracked.selections.clear();
        self.instant(db, at, stop)
    }

    /// Evaluates at every step from `start` to `end`.
    pub fn range(
        &self,
        _db: &Tsdb,
        _start: Timestamp,
        _end: Timestamp,
        _step: Duration,
        _stop: &dyn Fn() -> Option<Stop>,
    ) -> Result<Answer, QueryError> {
        Err(QueryError::Execution("evaluation is not connected yet".to_owned()))
    }
}

/// Evaluates an expression once, at one instant.
pub fn instant(db: &Tsdb, expr: &Expr, at: Timestamp, options: &Options) -> Result<Answer, QueryError> {
    Plan::new(expr, options).instant(db, at, &|| None)
}

/// Evaluates an expression once, at every step from `start` to `end`.
pub fn range(
    db: &Tsdb,
    expr: &Expr,
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    options: &Options,
) -> Result<Answer, QueryError> {
    Plan::new(expr, options).range(db, start, end, step, &|| None)
}
