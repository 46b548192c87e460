//! Event rules: which events match, and what a window of them says.
//!
//! An [`EventQuery`] is the value behind `events:` in a rule file. Compiled once, it is asked of each event;
//! [`EventWindows`] is the state of one rule, group by group; [`EventIndex`] finds the rules that an event may concern
//! without asking all of them. Time is an argument everywhere: the same events pushed at the same times give the same
//! answers, byte for byte.
//!
//! What this crate is not: it reads no wire format and no YAML, it keeps nothing on disk (after a restart the caller
//! pushes what [`CompiledQuery::reach`] says again), and it knows nothing of alerts; `for`, annotations and
//! notifications are decided by those who ask it.

mod compile;
mod condition;
mod field;
mod group;
mod index;
mod matcher;
mod query;
mod windows;

#[cfg(test)]
mod tests;

pub use compile::CompiledQuery;
pub use condition::ConditionError;
pub use index::EventIndex;
pub use query::{
    Aggregation, CompareOp, Direction, EventLimits, EventQuery, EventQueryError, FieldMatcher, FieldOp, Step,
    Threshold, Window,
};
pub use windows::{EventCounters, EventHit, EventWindows, Touched};
