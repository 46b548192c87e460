//! Records in SQLite.

use std::path::Path;
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqlitePool, Transaction};
use watchfire_model::Duration;

use super::batch::{Batch, Row};
use super::{Durability, Moves, StoreError, StoreSettings, failed, migration};
use crate::twin::Found;

/// Rows per statement, from the largest down: few statements, and few different ones, so that all stay prepared.
const CHUNKS: [usize; 4] = [256, 32, 4, 1];

#[derive(Debug)]
pub(super) struct Sqlite {
    /// One connection: SQLite has one writer, and waiting here is cheaper and fairer than its busy handler.
    pub(super) pool: SqlitePool,
    /// How long a locked file is waited for.
    pub(super) busy_timeout: Duration,
    is_file: bool,
    /// The statements for each of [`CHUNKS`].
    upserts: [String; CHUNKS.len()],
    deletes: [String; CHUNKS.len()],
}

fn read_row(row: &SqliteRow) -> Result<Found, sqlx::Error> {
    Ok(Found { kind: row.try_get(0)?, key: row.try_get(1)?, version: row.try_get(2)?, body: row.try_get(3)? })
}

fn read_rows(rows: Vec<SqliteRow>) -> Result<Vec<Found>, sqlx::Error> {
    rows.iter().map(read_row).collect()
}

impl Sqlite {
    pub(super) async fn open(path: Option<&Path>, settings: &StoreSettings) -> Result<Sqlite, StoreError> {
        let synchronous = match settings.durability {
            Durability::Process => SqliteSynchronous::Normal,
            Durability::Machine => SqliteSynchronous::Full,
        };
        let options = SqliteConnectOptions::new()
            .busy_timeout(settings.busy_timeout.to_std())
            .synchronous(synchronous)
            .statement_cache_capacity(32)
            // What is written together lies together, so that large pages are fewer and not more to write. A file that is
            // there already keeps its own.
            .page_size(8192)
            // A cache for thousands of records, in KiB: what is changed was mostly written lately. And checkpoints that
            // gather several commits.
            .pragma("cache_size", "-2048")
            .pragma("wal_autocheckpoint", "4000")
            // A statement of many rows keeps the pages that it changes as they were, in case that it fails half-way. In a
            // file these are as many bytes again as the log takes.
            .pragma("temp_store", "MEMORY")
            .create_if_missing(true);
        let options = match path {
            Some(path) => options.filename(path).journal_mode(SqliteJournalMode::Wal),
            None => options.in_memory(true),
        };
        // The connection lives as long as the pool: a database in memory is gone with it.
        let pool = SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await.map_err(failed("cannot open the database"))?;
        migrate(&pool).await?;
        let row = |count: usize, row: &str| vec![row; count].join(",");
        Ok(Sqlite {
            pool,
            busy_timeout: settings.busy_timeout,
            is_file: path.is_some(),
            upserts: CHUNKS.map(|count| {
                let rows = row(count, "(?,?,?,?)");
                format!(
                    "INSERT INTO records (kind, key, version, body) VALUES {rows} \
                     ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, body = excluded.body"
                )
            }),
            deletes: CHUNKS.map(|count| {
                let keys = row(count, "?");
                format!("DELETE FROM records WHERE kind = ? AND key IN ({keys})")
            }),
        })
    }

    pub(super) async fn try_write(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM records WHERE false")
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed("cannot write to the database"))
    }

    pub(super) async fn commit(&self, batch: Batch<'_>) -> Result<(), StoreError> {
        let refused = || failed("cannot write to the database");
        let mut connection = self.pool.acquire().await.map_err(refused())?;
        let transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(refused())?;
        let written = self.write(transaction, batch).await;
        self.give_back(connection, &written);
        written
    }

    /// Gives a connection back after a transaction. Where that failed because the disk is full, SQLite has rolled it back
    /// itself, while sqlx takes the connection to be within it and refuses every further one. So the connection is
    /// replaced by a new one; only a database in memory would be gone with it.
    pub(super) fn give_back<E>(&self, mut connection: PoolConnection<sqlx::Sqlite>, outcome: &Result<(), E>) {
        if outcome.is_err() && self.is_file {
            connection.close_on_drop();
        }
    }

    async fn write(&self, mut transaction: Transaction<'_, sqlx::Sqlite>, batch: Batch<'_>) -> Result<(), StoreError> {
        let refused = || failed("cannot write to the database");
        let mut kind: Arc<str> = "".into();
        let mut rest = &batch.puts[..];
        while !rest.is_empty() {
            let size = chunk(rest.len());
            let (these, others) = rest.split_at(CHUNKS[size]);
            let mut query = sqlx::query(AssertSqlSafe(self.upserts[size].as_str()));
            for (key, record) in these {
                let row = Row::new(key, record)?;
                // What is shared is bound as it is, and texts that are not are copied twice.
                if row.kind != &*kind {
                    kind = row.kind.into();
                }
                query = query.bind(Arc::clone(&kind)).bind(row.key).bind(row.version).bind(row.body);
            }
            query.execute(&mut *transaction).await.map_err(refused())?;
            rest = others;
        }
        for keys in batch.deletes.chunk_by(|a, b| a.kind == b.kind) {
            let mut rest = keys;
            while let [first, ..] = rest {
                let size = chunk(rest.len());
                let mut query = sqlx::query(AssertSqlSafe(self.deletes[size].as_str())).bind(first.kind);
                let (these, others) = rest.split_at(CHUNKS[size]);
                for key in these {
                    query = query.bind(Arc::clone(&key.key));
                }
                query.execute(&mut *transaction).await.map_err(refused())?;
                rest = others;
            }
        }
        transaction.commit().await.map_err(refused())
    }

    pub(super) async fn rows(&self) -> Result<Vec<Found>, StoreError> {
        let rows = sqlx::query("SELECT kind, key, version, body FROM records ORDER BY kind, key");
        let rows = rows.fetch_all(&self.pool).await.and_then(read_rows);
        rows.map_err(failed("cannot read the database"))
    }

    pub(super) async fn quarantined(&self) -> Result<Vec<Found>, StoreError> {
        let rows = sqlx::query("SELECT kind, key, version, body FROM quarantined_records ORDER BY kind, key");
        let rows = rows.fetch_all(&self.pool).await.and_then(read_rows);
        rows.map_err(failed("cannot read the database"))
    }

    pub(super) async fn range(&self, kind: &str, from: &str, to: &str) -> Result<Vec<Found>, StoreError> {
        let rows = sqlx::query(
            "SELECT kind, key, version, body FROM records WHERE kind = ? AND key >= ? AND key < ? ORDER BY key",
        );
        let rows = rows.bind(kind).bind(from).bind(to).fetch_all(&self.pool).await.and_then(read_rows);
        rows.map_err(failed("cannot read the database"))
    }

    pub(super) async fn move_rows(&self, moves: &Moves) -> Result<(), StoreError> {
        self.try_move(moves).await.map_err(failed("cannot write to the database"))
    }

    async fn try_move(&self, moves: &Moves) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let moved = move_within(transaction, moves).await;
        self.give_back(connection, &moved);
        moved
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    #[cfg(test)]
    pub(super) async fn execute(&self, sql: &str) {
        sqlx::query(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }
}

async fn move_within(mut transaction: Transaction<'_, sqlx::Sqlite>, moves: &Moves) -> Result<(), sqlx::Error> {
    for (row, reason) in &moves.into_quarantine {
        sqlx::query("INSERT OR REPLACE INTO quarantined_records (kind, key, version, body, reason) VALUES (?,?,?,?,?)")
            .bind(&row.kind)
            .bind(&row.key)
            .bind(row.version)
            .bind(&row.body)
            .bind(reason)
            .execute(&mut *transaction)
            .await?;
        let delete = sqlx::query("DELETE FROM records WHERE kind = ? AND key = ?");
        delete.bind(&row.kind).bind(&row.key).execute(&mut *transaction).await?;
    }
    for (kind, key) in &moves.out_of_records {
        let delete = sqlx::query("DELETE FROM records WHERE kind = ? AND key = ?");
        delete.bind(kind).bind(key).execute(&mut *transaction).await?;
    }
    for row in &moves.into_records {
        sqlx::query("INSERT OR REPLACE INTO records (kind, key, version, body) VALUES (?,?,?,?)")
            .bind(&row.kind)
            .bind(&row.key)
            .bind(row.version)
            .bind(&row.body)
            .execute(&mut *transaction)
            .await?;
    }
    for (kind, key) in &moves.forgotten {
        let delete = sqlx::query("DELETE FROM quarantined_records WHERE kind = ? AND key = ?");
        delete.bind(kind).bind(key).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// The index of the largest chunk that so many rows fill.
fn chunk(rows: usize) -> usize {
    CHUNKS.iter().position(|size| *size <= rows).unwrap_or(CHUNKS.len() - 1)
}

async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let wrong = || failed("cannot prepare the database");
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(wrong())?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await.map_err(wrong())?;
    for statement in migration::missing(found)?.iter().flat_map(|step| step.sqlite) {
        sqlx::query(*statement).execute(&mut *transaction).await.map_err(wrong())?;
    }
    // A pragma takes no parameters; the number is this program's own.
    let version = format!("PRAGMA user_version = {}", migration::STEPS.len());
    sqlx::query(AssertSqlSafe(version)).execute(&mut *transaction).await.map_err(wrong())?;
    transaction.commit().await.map_err(wrong())
}
