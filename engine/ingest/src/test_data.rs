//! The public examples that tests read when they are at hand.

use std::path::PathBuf;

/// The folder that `WATCHFIRE_TEST_DATA` names; without it says so once and answers `None`.
#[expect(clippy::disallowed_methods, reason = "tests find the public data through the environment")]
pub(crate) fn folder(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WATCHFIRE_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED {test}: WATCHFIRE_TEST_DATA is not set");
    }
    folder
}
