//! The attempts to deliver that are remembered. They are for people: the state machine does not know them, they are
//! written now and then and not before anything, and no lock is waited for on their account.

use std::sync::Arc;

use sqlx::{Connection as _, Row as _, SqliteConnection, Transaction};
use watchfire_delivery::DeliveryRecord;

use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::{Backend, Store, StoreError, failed};
use crate::twin;

/// Numbers as the databases have them.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Store {
    /// Keeps these attempts and forgets those with the numbers in `gone`, in one transaction.
    ///
    /// # Errors
    /// If the database says no, or is locked at the moment.
    pub async fn keep_attempts(&self, fresh: &[Arc<DeliveryRecord>], gone: &[u64]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(fresh.len());
        for record in fresh {
            let body = twin::encode_attempt(record).map_err(|error| StoreError::Serialise {
                key: format!("attempt {}", record.number),
                reason: error.to_string(),
            })?;
            rows.push((signed(record.number), body));
        }
        let gone: Vec<i64> = gone.iter().copied().map(signed).collect();
        let kept = match &self.backend {
            Backend::Sqlite(database) => database.keep_attempts(rows, &gone).await,
            Backend::Postgres(database) => database.keep_attempts(rows, &gone).await,
        };
        kept.map_err(failed("cannot keep attempts to deliver"))
    }

    /// The attempts that are kept with a number above this one, by number. One that cannot be read is passed over.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn attempts(&self, above: u64) -> Result<Vec<DeliveryRecord>, StoreError> {
        let rows = match &self.backend {
            Backend::Sqlite(database) => database.attempts(signed(above)).await,
            Backend::Postgres(database) => database.attempts(signed(above)).await,
        };
        let rows = rows.map_err(failed("cannot read the database"))?;
        let read = rows.into_iter().filter_map(|(number, body)| {
            let record = u64::try_from(number).map_err(|error| error.to_string());
            match record.and_then(|number| twin::decode_attempt(number, &body)) {
                Ok(record) => Some(record),
                Err(reason) => {
                    tracing::warn!(number, reason, "a remembered attempt to deliver cannot be read");
                    None
                }
            }
        });
        Ok(read.collect())
    }
}

impl Sqlite {
    /// A file that somebody else locked is not waited for: whoever commits records meanwhile needs the connection.
    async fn keep_attempts(&self, rows: Vec<(i64, Vec<u8>)>, gone: &[i64]) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *connection).await?;
        let begun = write(&mut connection, rows, gone).await;
        if let Ok(failed @ Err(_)) = begun {
            self.give_back(connection, &failed);
            return failed;
        }
        let patient = format!("PRAGMA busy_timeout = {}", self.busy_timeout.as_millis());
        sqlx::query(sqlx::AssertSqlSafe(patient)).execute(&mut *connection).await?;
        begun.map(drop)
    }

    async fn attempts(&self, above: i64) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
        let rows = sqlx::query("SELECT number, body FROM attempts WHERE number > ? ORDER BY number").bind(above);
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}

/// The outcome of a transaction, or why it could not be begun.
async fn write(
    connection: &mut SqliteConnection,
    rows: Vec<(i64, Vec<u8>)>,
    gone: &[i64],
) -> Result<Result<(), sqlx::Error>, sqlx::Error> {
    let transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    Ok(write_within(transaction, rows, gone).await)
}

async fn write_within(
    mut transaction: Transaction<'_, sqlx::Sqlite>,
    rows: Vec<(i64, Vec<u8>)>,
    gone: &[i64],
) -> Result<(), sqlx::Error> {
    for (number, body) in rows {
        let insert = sqlx::query("INSERT OR REPLACE INTO attempts (number, body) VALUES (?,?)");
        insert.bind(number).bind(body).execute(&mut *transaction).await?;
    }
    for number in gone {
        sqlx::query("DELETE FROM attempts WHERE number = ?").bind(number).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

impl Postgres {
    async fn keep_attempts(&self, rows: Vec<(i64, Vec<u8>)>, gone: &[i64]) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SET LOCAL lock_timeout = '1s'").execute(&mut *transaction).await?;
        let (numbers, bodies): (Vec<i64>, Vec<Vec<u8>>) = rows.into_iter().unzip();
        let insert = "INSERT INTO attempts (number, body) SELECT * FROM UNNEST($1::int8[], $2::bytea[]) \
                      ON CONFLICT (number) DO UPDATE SET body = excluded.body";
        sqlx::query(insert).bind(numbers).bind(bodies).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM attempts WHERE number = ANY($1)").bind(gone).execute(&mut *transaction).await?;
        transaction.commit().await
    }

    async fn attempts(&self, above: i64) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
        let rows = sqlx::query("SELECT number, body FROM attempts WHERE number > $1 ORDER BY number").bind(above);
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}
