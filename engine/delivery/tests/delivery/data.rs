//! Public test data, where it is at hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Reads a JSON file of the public test data, or says on standard output that `test` is skipped.
pub(crate) fn json(test: &str, path: &str) -> Option<Value> {
    let Some(root) = root() else {
        println!("SKIPPED {test}: WATCHFIRE_TEST_DATA is not set");
        return None;
    };
    Some(read(root.join(path)))
}

/// A published schema, for tests that have other judges too; that the schemas are used at all is said by
/// `the_published_examples_fit_their_schemas`, which is skipped without them.
pub(crate) fn schema(path: &'static str) -> Option<Value> {
    static READ: Mutex<BTreeMap<&str, Value>> = Mutex::new(BTreeMap::new());
    let root = root()?;
    let mut known = READ.lock().unwrap_or_else(PoisonError::into_inner);
    Some(known.entry(path).or_insert_with(|| read(root.join("notify-schemas").join(path))).clone())
}

fn root() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where the test data lies is told by the environment")]
    let root = std::env::var_os("WATCHFIRE_TEST_DATA");
    root.map(PathBuf::from)
}

fn read(path: PathBuf) -> Value {
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}
