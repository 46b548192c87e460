//! How a query is evaluated, and why it may stop.

use thiserror::Error;
use watchfire_model::Duration;

use crate::eval::SUBQUERY_POINTS_MAX;

/// How queries are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How old the sample that an instant selector takes may be.
    pub lookback: Duration,
    /// How many samples may be in memory at once; 0 is no limit.
    pub samples_max: u64,
    /// The step of a subquery that names none.
    pub subquery_step: Duration,
    /// Drops metric names at the end of the query instead of in each function, as Prometheus does with its feature
    /// `promql-delayed-name-removal`.
    pub delayed_name_removal: bool,
    /// Lets `rate` and its relatives see when counters began, as Prometheus does with its feature for start timestamps.
    pub start_timestamps: bool,
    /// Treats `__type__` and `__unit__` as parts of the metric name, as Prometheus does with its feature
    /// `type-and-unit-labels`.
    pub type_and_unit_labels: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            lookback: Duration::from_mins(5),
            samples_max: 50_000_000,
            subquery_step: Duration::from_mins(1),
            delayed_name_removal: false,
            start_timestamps: false,
            type_and_unit_labels: false,
        }
    }
}

/// Why a query is to stop; the caller, who owns the clock, is asked now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nobody wants the result any more.
    Canceled,
    /// It took too long.
    TimedOut,
}

/// Why a query has no result. Texts are Prometheus', where it knows the error.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// The limit on samples was reached.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// Nobody wants the result any more.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// It took too long.
    #[error("query timed out in expression evaluation")]
    TimedOut,
    /// A subquery has more points than can be evaluated.
    #[error("subquery has {points} points, the most is {SUBQUERY_POINTS_MAX}: use a larger step or a shorter range")]
    SubqueryTooLong {
        /// How many it has.
        points: u64,
    },
    /// A range query needs a step above zero and an end that is not before its start.
    #[error("{0}")]
    Range(&'static str),
    /// The data do not fit the expression.
    #[error("{0}")]
    Execution(String),
}

impl QueryError {
    /// Asks the caller whether to go on.
    pub(crate) fn if_stopped(stop: &dyn Fn() -> Option<Stop>) -> Result<(), QueryError> {
        match stop() {
            Some(Stop::Canceled) => Err(QueryError::Canceled),
            Some(Stop::TimedOut) => Err(QueryError::TimedOut),
            None => Ok(()),
        }
    }
}
