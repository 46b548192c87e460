//! The language against its own scripts and, where they are at hand, against public ones and recorded results.

use std::path::PathBuf;

mod extract;
mod limits;
mod oracle;
mod round_trip;
mod script;
mod scripts;
mod tracked;

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where public data lies")]
fn public_data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WATCHFIRE_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED {test}: WATCHFIRE_TEST_DATA is not set");
    }
    folder
}
