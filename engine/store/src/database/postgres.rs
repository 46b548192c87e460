//! Records in PostgreSQL.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{PgPool, Row as _};

use watchfire_alerting::Term;

use super::batch::{Batch, Row};
use super::{Moves, StoreError, StoreSettings, failed, migration};
use crate::twin::Found;

/// How long a session may pause within a transaction.
const IDLE_MS: &str = "5000";

/// Rows per statement.
const ROWS_MAX: usize = 1_000;

/// Locks out other engines while the tables are made: any number that nobody else uses.
const MIGRATION_LOCK: i64 = 0x5741_5443_4846_4952;

#[derive(Debug)]
pub(super) struct Postgres {
    pub(super) pool: PgPool,
}

/// Keys were texts when they were written; what is none is made readable and will not decode.
fn read_row(row: &PgRow) -> Result<Found, sqlx::Error> {
    let key: Vec<u8> = row.try_get(1)?;
    let key = String::from_utf8_lossy(&key).into_owned();
    Ok(Found { kind: row.try_get(0)?, key, version: row.try_get(2)?, body: row.try_get(3)? })
}

fn read_rows(rows: Vec<PgRow>) -> Result<Vec<Found>, sqlx::Error> {
    rows.iter().map(read_row).collect()
}

impl Postgres {
    pub(super) async fn open(url: &str, settings: &StoreSettings) -> Result<Postgres, StoreError> {
        let wrong = || failed("cannot open the database");
        let options: PgConnectOptions = url.parse().map_err(wrong())?;
        // An engine that stops in the middle of a commit must not keep others from taking over.
        let options = options.options([("idle_in_transaction_session_timeout", IDLE_MS)]);
        let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(settings.busy_timeout.to_std());
        let pool = pool.connect_with(options).await.map_err(wrong())?;
        migrate(&pool).await?;
        Ok(Postgres { pool })
    }

    pub(super) async fn try_write(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM requests WHERE false")
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed("cannot write to the database"))
    }

    /// Nothing is written if the term is not in force any more.
    pub(super) async fn commit(&self, term: Term, batch: Batch<'_>, done: &[i64]) -> Result<(), StoreError> {
        let refused = || failed("cannot write to the database");
        let mut transaction = self.pool.begin().await.map_err(refused())?;
        for these in batch.puts.chunks(ROWS_MAX) {
            let (mut kinds, mut keys, mut versions, mut bodies) = (vec![], vec![], vec![], vec![]);
            for (key, record) in these {
                let row = Row::new(key, record)?;
                kinds.push(row.kind);
                keys.push(row.key.as_bytes().to_vec());
                versions.push(row.version);
                bodies.push(row.body);
            }
            sqlx::query(
                "INSERT INTO records (kind, key, version, body) \
                 SELECT * FROM UNNEST($1::text[], $2::bytea[], $3::int4[], $4::bytea[]) \
                 ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, body = excluded.body",
            )
            .bind(kinds)
            .bind(keys)
            .bind(versions)
            .bind(bodies)
            .execute(&mut *transaction)
            .await
            .map_err(refused())?;
        }
        if !batch.deletes.is_empty() {
            let kinds: Vec<_> = batch.deletes.iter().map(|key| key.kind).collect();
            let keys: Vec<_> = batch.deletes.iter().map(|key| key.key.as_bytes()).collect();
            sqlx::query(
                "DELETE FROM records USING UNNEST($1::text[], $2::bytea[]) AS gone (kind, key) \
                 WHERE records.kind = gone.kind AND records.key = gone.key",
            )
            .bind(kinds)
            .bind(keys)
            .execute(&mut *transaction)
            .await
            .map_err(refused())?;
        }
        if !done.is_empty() {
            Postgres::forget_requests(&mut transaction, done).await.map_err(refused())?;
        }
        // Last, because whoever wants to take over waits from here to the end.
        if term != Term::ALONE && !Postgres::fence(&mut transaction, term).await.map_err(refused())? {
            transaction.rollback().await.map_err(refused())?;
            return Err(StoreError::TermOver);
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
            "SELECT kind, key, version, body FROM records WHERE kind = $1 AND key >= $2 AND key < $3 ORDER BY key",
        );
        let rows = rows.bind(kind).bind(from.as_bytes()).bind(to.as_bytes());
        let rows = rows.fetch_all(&self.pool).await.and_then(read_rows);
        rows.map_err(failed("cannot read the database"))
    }

    pub(super) async fn move_rows(&self, moves: &Moves) -> Result<(), StoreError> {
        self.try_move(moves).await.map_err(failed("cannot write to the database"))
    }

    async fn try_move(&self, moves: &Moves) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        for (row, reason) in &moves.into_quarantine {
            sqlx::query(
                "INSERT INTO quarantined_records (kind, key, version, body, reason) VALUES ($1,$2,$3,$4,$5) \
                 ON CONFLICT (kind, key) DO UPDATE \
                 SET version = excluded.version, body = excluded.body, reason = excluded.reason",
            )
            .bind(&row.kind)
            .bind(row.key.as_bytes())
            .bind(row.version)
            .bind(&row.body)
            // Texts of PostgreSQL cannot hold a zero, and the reason may quote one.
            .bind(reason.replace('\0', "\u{fffd}"))
            .execute(&mut *transaction)
            .await?;
            let delete = sqlx::query("DELETE FROM records WHERE kind = $1 AND key = $2");
            delete.bind(&row.kind).bind(row.key.as_bytes()).execute(&mut *transaction).await?;
        }
        for (kind, key) in &moves.out_of_records {
            let delete = sqlx::query("DELETE FROM records WHERE kind = $1 AND key = $2");
            delete.bind(kind).bind(key.as_bytes()).execute(&mut *transaction).await?;
        }
        for row in &moves.into_records {
            sqlx::query(
                "INSERT INTO records (kind, key, version, body) VALUES ($1,$2,$3,$4) \
                 ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, body = excluded.body",
            )
            .bind(&row.kind)
            .bind(row.key.as_bytes())
            .bind(row.version)
            .bind(&row.body)
            .execute(&mut *transaction)
            .await?;
        }
        for (kind, key) in &moves.forgotten {
            let delete = sqlx::query("DELETE FROM quarantined_records WHERE kind = $1 AND key = $2");
            delete.bind(kind).bind(key.as_bytes()).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    #[cfg(test)]
    pub(super) async fn execute(&self, sql: &str) {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }
}

async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    let wrong = || failed("cannot prepare the database");
    let mut transaction = pool.begin().await.map_err(wrong())?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK);
    lock.execute(&mut *transaction).await.map_err(wrong())?;
    let table = sqlx::query("CREATE TABLE IF NOT EXISTS watchfire_schema (version INT8 NOT NULL)");
    table.execute(&mut *transaction).await.map_err(wrong())?;
    let found: Option<i64> = sqlx::query_scalar("SELECT version FROM watchfire_schema")
        .fetch_optional(&mut *transaction)
        .await
        .map_err(wrong())?;
    for statement in migration::missing(found.unwrap_or(0))?.iter().flat_map(|step| step.postgres) {
        sqlx::query(*statement).execute(&mut *transaction).await.map_err(wrong())?;
    }
    let version = i64::try_from(migration::STEPS.len()).unwrap_or(i64::MAX);
    let clear = sqlx::query("DELETE FROM watchfire_schema");
    clear.execute(&mut *transaction).await.map_err(wrong())?;
    let set = sqlx::query("INSERT INTO watchfire_schema (version) VALUES ($1)").bind(version);
    set.execute(&mut *transaction).await.map_err(wrong())?;
    transaction.commit().await.map_err(wrong())
}
