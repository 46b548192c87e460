//! The schema, step by step. A step that was shipped never changes; a change is a new step.

use super::StoreError;

/// One step: the statements for each database.
pub(super) struct Step {
    pub(super) sqlite: &'static [&'static str],
    pub(super) postgres: &'static [&'static str],
}

/// All steps; the schema's version is their number.
///
/// In SQLite the rows lie in the order of their creation with an index beside them: keys are hashes, and what is written
/// together is mostly changed together. Keys are bytes in PostgreSQL because they hold label values, and its texts cannot hold a zero.
pub(super) const STEPS: &[Step] = &[
    Step {
        sqlite: &[
            "CREATE TABLE records (
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            version INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (kind, key)
        )",
            "CREATE TABLE quarantined_records (
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            version INTEGER NOT NULL,
            body BLOB NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (kind, key)
        )",
        ],
        postgres: &[
            "CREATE TABLE records (
            kind TEXT NOT NULL,
            key BYTEA NOT NULL,
            version INT4 NOT NULL,
            body BYTEA NOT NULL,
            PRIMARY KEY (kind, key)
        )",
            "CREATE TABLE quarantined_records (
            kind TEXT NOT NULL,
            key BYTEA NOT NULL,
            version INT4 NOT NULL,
            body BYTEA NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (kind, key)
        )",
        ],
    },
    Step {
        // Nobody shares a file.
        sqlite: &[],
        postgres: &[
            "CREATE TABLE lease (
            engine TEXT NOT NULL,
            term INT8 NOT NULL,
            until TIMESTAMPTZ NOT NULL,
            changes INT8 NOT NULL
        )",
            "INSERT INTO lease (engine, term, until, changes) VALUES ('', 0, '-infinity', 0)",
            "CREATE TABLE requests (number BIGSERIAL PRIMARY KEY, body BYTEA NOT NULL)",
        ],
    },
    Step {
        sqlite: &["CREATE TABLE attempts (number INTEGER PRIMARY KEY, body BLOB NOT NULL)"],
        postgres: &["CREATE TABLE attempts (number INT8 PRIMARY KEY, body BYTEA NOT NULL)"],
    },
    // The tables stay as they are, and most records are packed from here on. A version that does not know that would put
    // all of them into quarantine and start without a memory; it refuses to start instead.
    Step { sqlite: &[], postgres: &[] },
];

/// The steps that a database of this schema still needs.
pub(super) fn missing(found: i64) -> Result<&'static [Step], StoreError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let done = usize::try_from(found).ok().and_then(|found| STEPS.get(found..));
    done.ok_or(StoreError::NewerSchema { found, known })
}
