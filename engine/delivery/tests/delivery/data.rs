//! Public test data, where it is at hand.

use std::path::PathBuf;

/// Reads a JSON file of the public test data, or says on standard output that `test` is skipped.
pub(crate) fn json(test: &str, path: &str) -> Option<serde_json::Value> {
    #[expect(clippy::disallowed_methods, reason = "where the test data lies is told by the environment")]
    let root = std::env::var_os("WATCHFIRE_TEST_DATA");
    let Some(root) = root else {
        println!("SKIPPED {test}: WATCHFIRE_TEST_DATA is not set");
        return None;
    };
    let path = PathBuf::from(root).join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap())
}
