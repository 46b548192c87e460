//! The database of what the engine decided: records by kind and key, in SQLite or PostgreSQL.
//!
//! One transaction per commit, few statements per transaction, and nothing between the caller and the database: when
//! [`Store::commit`] returns, the records are there. A row that cannot be read is put into quarantine and reported, so
//! that it never stops a start (contract C3), and taken out of it by a version that can read it.

mod attempts;
mod batch;
mod lease;
mod migration;
mod postgres;
mod sqlite;

use std::collections::{BTreeMap, btree_map};
use std::path::PathBuf;

use thiserror::Error;
use watchfire_alerting::{Claim, Input, Record, RecordKey, Term, Wish};
use watchfire_model::{Duration, RuleId};

use crate::twin::{self, Found};
use batch::{Batch, Row};
pub use lease::{Requests, Watch};
use postgres::Postgres;
use sqlite::Sqlite;

/// Where the records are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// In a SQLite file; made if it is missing.
    File(PathBuf),
    /// In SQLite and nowhere else: gone with the process. For tests and embedders that want no state.
    Memory,
    /// In PostgreSQL, `postgres://...`.
    Postgres(String),
}

impl std::fmt::Debug for Database {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Database::File(path) => f.debug_tuple("File").field(path).finish(),
            Database::Memory => f.write_str("Memory"),
            Database::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, however violent. A power cut may take the last commits, but leaves no half of one.
    #[default]
    Process,
    /// A power cut as well; each commit waits for the disk.
    Machine,
}

/// How a store is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where.
    pub database: Database,
    /// What a commit survives. PostgreSQL decides this itself.
    pub durability: Durability,
    /// How long a locked database is waited for.
    pub busy_timeout: Duration,
}

impl StoreSettings {
    /// With what a commit survives by default, waiting five seconds for a lock.
    pub fn new(database: Database) -> StoreSettings {
        StoreSettings { database, durability: Durability::Process, busy_timeout: Duration::from_secs(5) }
    }

    /// From the text of the configuration: `postgres://...`, `sqlite://PATH`, `:memory:` or a bare path.
    ///
    /// # Errors
    /// If it is the URL of another database.
    pub fn parse(text: &str) -> Result<StoreSettings, StoreError> {
        let database = match text.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Database::Postgres(text.to_owned()),
            Some(("sqlite", path)) => Database::File(path.into()),
            Some((scheme, _)) => return Err(StoreError::UnknownScheme { scheme: scheme.to_owned() }),
            None if text == ":memory:" => Database::Memory,
            None => Database::File(text.into()),
        };
        Ok(StoreSettings::new(database))
    }
}

/// Why the store did not do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The URL is of a database that is not known here.
    #[error("{scheme}: no such database; use postgres://..., sqlite://PATH or a path")]
    UnknownScheme {
        /// The scheme as it was given.
        scheme: String,
    },
    /// The tables were made by a version that does not exist yet here.
    #[error("the database was written by a newer version of Watchfire (schema {found}, this one knows {known})")]
    NewerSchema {
        /// The schema found.
        found: i64,
        /// The newest schema known.
        known: i64,
    },
    /// A record cannot be serialised, which is a fault of this program.
    #[error("cannot serialise {key}: {reason}")]
    Serialise {
        /// The record's key.
        key: String,
        /// Why not.
        reason: String,
    },
    /// It did not answer in time; whether it did what it was asked for is not known.
    #[error("the database has not answered for {} s", .after.as_secs())]
    TooSlow {
        /// How long it was waited for.
        after: std::time::Duration,
    },
    /// Another engine on this database decides by now, so that nothing is written of what this one decided.
    #[error("another engine has taken over; try again")]
    TermOver,
    /// The database says no.
    #[error("{what}: {source}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: sqlx::Error,
    },
}

fn failed(what: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { what, source }
}

/// A row that cannot be read and is kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The kind of record.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// The records, by kind and key.
    pub records: Vec<Record>,
    /// The rows in quarantine.
    pub quarantined: Vec<Quarantined>,
}

#[derive(Debug)]
enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// The records of one engine. There is one writer; commits of several callers follow one another.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
}

impl Store {
    /// Opens the database, and makes or updates its tables.
    ///
    /// # Errors
    /// If it cannot be reached, or a newer version made its tables.
    pub async fn open(settings: StoreSettings) -> Result<Store, StoreError> {
        let backend = match &settings.database {
            Database::File(path) => Backend::Sqlite(Sqlite::open(Some(path), &settings).await?),
            Database::Memory => Backend::Sqlite(Sqlite::open(None, &settings).await?),
            Database::Postgres(url) => Backend::Postgres(Postgres::open(url, &settings).await?),
        };
        Ok(Store { backend })
    }

    /// Makes all of these durable, or none. Of records with the same key the last one counts.
    ///
    /// # Errors
    /// If the database says no, or is locked at the moment.
    pub async fn commit<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), StoreError> {
        let last: BTreeMap<RecordKey, &Record> = records.into_iter().map(|record| (record.key(), record)).collect();
        self.commit_in(Term::ALONE, last.iter().map(|(key, record)| (key, *record)), &[]).await
    }

    /// The same for an engine that shares the database: what was decided in `term`, and the numbers of the requests whose
    /// consequences these are. The records come sorted by their keys, each key once.
    ///
    /// # Errors
    /// [`StoreError::TermOver`] if another engine decides; otherwise as for [`Store::commit`].
    pub async fn commit_in<'a>(
        &self,
        term: Term,
        records: impl IntoIterator<Item = (&'a RecordKey, &'a Record)>,
        done: &[i64],
    ) -> Result<(), StoreError> {
        let batch = Batch::new(records);
        if batch.is_empty() && done.is_empty() {
            return Ok(());
        }
        match &self.backend {
            Backend::Sqlite(database) => database.commit(batch).await,
            Backend::Postgres(database) => database.commit(term, batch, done).await,
        }
    }

    /// Writes nothing, but finds out whether the database would take it.
    ///
    /// # Errors
    /// If it would not.
    pub async fn try_write(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite(database) => database.try_write().await,
            Backend::Postgres(database) => database.try_write().await,
        }
    }

    /// Whether other engines can use the same database.
    pub fn can_be_shared(&self) -> bool {
        matches!(self.backend, Backend::Postgres(_))
    }

    /// Asks for the lease of a database that can be shared; whoever has it decides.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn claim(&self, engine: &str, wish: Wish, span: Duration) -> Result<Claim, StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(Claim::Held(Term::ALONE)),
            Backend::Postgres(database) => database.claim(engine, wish, span).await,
        }
    }

    /// Lets go of the lease, so that another engine need not wait until it runs out.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn release(&self, term: Term) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(()),
            Backend::Postgres(database) => database.release(term).await,
        }
    }

    /// Keeps inputs for the engine that decides: alerts, adopted silences, acknowledgements.
    ///
    /// # Errors
    /// If the database says no, or an input is of another kind.
    pub async fn request(&self, inputs: &[Input]) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(()),
            Backend::Postgres(database) => database.request(inputs).await,
        }
    }

    /// What other engines keep for this one, oldest first and not without bound.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn requests(&self) -> Result<Requests, StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(Requests::default()),
            Backend::Postgres(database) => database.requests().await,
        }
    }

    /// Follows what other engines commit and ask for; nothing where there can be none.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn watch(&self) -> Result<Option<Watch>, StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(None),
            Backend::Postgres(database) => database.watch().await.map(Some),
        }
    }

    /// Everything that is kept. Rows that cannot be read are moved into quarantine, rows there that can be read by now
    /// are moved back.
    ///
    /// # Errors
    /// If the database cannot be read at all.
    pub async fn restore(&self) -> Result<Restored, StoreError> {
        self.restored(true).await
    }

    /// The same for an engine that does not decide, which moves no row: that is for the one whose version wrote them.
    ///
    /// # Errors
    /// If the database cannot be read at all.
    pub async fn look(&self) -> Result<Restored, StoreError> {
        self.restored(false).await
    }

    async fn restored(&self, decides: bool) -> Result<Restored, StoreError> {
        let (rows, aside) = match &self.backend {
            Backend::Sqlite(database) => (database.rows().await?, database.quarantined().await?),
            Backend::Postgres(database) => (database.rows().await?, database.quarantined().await?),
        };
        let mut restored = Restored::default();
        let mut kept: BTreeMap<(String, String), Record> = BTreeMap::new();
        let mut moves = Moves::default();
        // Rows of records that are kept elsewhere by now.
        let mut former: BTreeMap<RecordKey, Record> = BTreeMap::new();
        for row in rows {
            match twin::decode(row.clone()) {
                Ok(record) if twin::is_current(&row.kind, &row.key, &record) => {
                    kept.insert((row.kind, row.key), record);
                }
                Ok(record) => {
                    let key = record.key();
                    let record = match former.remove(&key) {
                        Some(other) => twin::together(other, record),
                        None => record,
                    };
                    former.insert(key, record);
                    moves.out_of_records.push((row.kind, row.key));
                }
                Err(reason) => moves.into_quarantine.push((row, reason)),
            }
        }
        let mut move_in = |record: Record, kept: &mut BTreeMap<(String, String), Record>| {
            let Row { kind, key, version, body } = Row::new(&record.key(), &record)?;
            let row = Found { kind: kind.to_owned(), key: key.to_string(), version, body };
            // What is kept there already is newer.
            if let btree_map::Entry::Vacant(free) = kept.entry((row.kind.clone(), row.key.clone())) {
                free.insert(record);
                moves.into_records.push(row);
            }
            Ok::<_, StoreError>(())
        };
        for record in former.into_values() {
            move_in(record, &mut kept)?;
        }
        for row in aside {
            let key = (row.kind.clone(), row.key.clone());
            if kept.contains_key(&key) {
                // It was written anew since; the old row is of no use to anybody.
                moves.forgotten.push(key);
                continue;
            }
            match twin::decode(row.clone()) {
                Ok(record) => {
                    moves.forgotten.push(key);
                    move_in(record, &mut kept)?;
                }
                Err(reason) => restored.quarantined.push(Quarantined { kind: row.kind, key: row.key, reason }),
            }
        }
        for (row, reason) in &moves.into_quarantine {
            tracing::warn!(
                kind = row.kind,
                key = row.key,
                reason,
                "a stored record cannot be read; put into quarantine"
            );
            let (kind, key, reason) = (row.kind.clone(), row.key.clone(), reason.clone());
            restored.quarantined.push(Quarantined { kind, key, reason });
        }
        if decides && !moves.is_empty() {
            let moved = match &self.backend {
                Backend::Sqlite(database) => database.move_rows(&moves).await,
                Backend::Postgres(database) => database.move_rows(&moves).await,
            };
            match moved {
                // What is written from now on would not take the place of what is kept elsewhere.
                Err(error) if !moves.out_of_records.is_empty() => return Err(error),
                // The rows stay where they are and are reported again at the next start.
                Err(error) => tracing::warn!(%error, "cannot move rows into or out of quarantine"),
                Ok(()) => {}
            }
        }
        restored.records = kept.into_values().collect();
        Ok(restored)
    }

    /// What the plugin of a rule remembers.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn plugin_state(&self, rule: RuleId) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        // All keys that begin with the rule and a slash; the next character after the slash is a zero.
        let (from, to) = (format!("{rule}/"), format!("{rule}0"));
        let rows = match &self.backend {
            Backend::Sqlite(database) => database.range(Record::PLUGIN_STATE, &from, &to).await?,
            Backend::Postgres(database) => database.range(Record::PLUGIN_STATE, &from, &to).await?,
        };
        let own = rows.into_iter().filter_map(|row| {
            let key = row.key.strip_prefix(&from)?.to_owned();
            Some((key, row.body))
        });
        Ok(own.collect())
    }

    /// Closes the connections after what is under way.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite(database) => database.close().await,
            Backend::Postgres(database) => database.close().await,
        }
    }
}

/// Rows on their way into and out of quarantine, and to where they are kept by now.
#[derive(Debug, Default)]
struct Moves {
    into_quarantine: Vec<(Found, String)>,
    into_records: Vec<Found>,
    out_of_records: Vec<(String, String)>,
    /// Out of quarantine.
    forgotten: Vec<(String, String)>,
}

impl Moves {
    fn is_empty(&self) -> bool {
        self.into_quarantine.is_empty()
            && self.into_records.is_empty()
            && self.out_of_records.is_empty()
            && self.forgotten.is_empty()
    }
}

#[cfg(test)]
mod tests;
