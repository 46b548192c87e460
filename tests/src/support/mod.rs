//! What the tests stand on: tools, processes, ports.

mod tool;

pub(crate) use tool::Tool;

use std::path::{Path, PathBuf};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// A variable of the environment, `None` if unset or empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the task that runs the tests says through the environment what it built"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
