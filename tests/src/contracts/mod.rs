//! Contracts of the design that the whole program has to keep, each in a file of its name. What the state machine alone
//! can show stands in `engine/alerting/tests/all/c*.rs` and in the scenarios `c*.yml`; crashes are in `crash.rs` (C5),
//! reloads and broken parts in `reload.rs`, `hostile.rs` and `broken.rs` (C2, C3).

mod c1_resolved;
mod c4_explain;
mod c7_bounds;

use crate::Case;

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    [c1_resolved::CASES, c4_explain::CASES, c7_bounds::CASES].concat()
}
