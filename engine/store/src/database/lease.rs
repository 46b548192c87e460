//! Several engines on one PostgreSQL: who decides, and what the others were asked for.
//!
//! One row says which engine has the lease and until when, by the database's clock, which is the only one that all share.
//! Every commit changes that row too, so that it waits for a change of engine and finds itself refused after one.

use sqlx::postgres::PgListener;
use sqlx::{Postgres as Sql, Row as _, Transaction};
use watchfire_alerting::{Claim, Input, Term, Wish};
use watchfire_model::Duration;

use super::postgres::Postgres;
use super::{StoreError, failed};
use crate::twin;

/// Told when something was committed.
const RECORDS: &str = "watchfire_records";
/// Told when a request was kept.
const REQUESTS: &str = "watchfire_requests";

/// Requests that are taken at once; the rest waits until these are done.
const REQUESTS_AT_ONCE: i64 = 1_000;

/// Requests of engines that do not decide, for the one that does.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// The inputs of the state machine, each with the number under which it is kept until its consequences are.
    pub inputs: Vec<(i64, Input)>,
    /// Numbers of those that cannot be read, and why.
    pub unreadable: Vec<(i64, String)>,
}

/// Says when another engine has changed or wants something.
#[derive(Debug)]
pub struct Watch(PgListener);

impl Watch {
    /// Waits for that.
    ///
    /// # Errors
    /// If the database is gone; things may have been missed.
    pub async fn changed(&mut self) -> Result<(), StoreError> {
        self.0.recv().await.map(drop).map_err(failed("cannot follow the database"))
    }
}

fn number(term: Term) -> i64 {
    i64::try_from(term.0).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Postgres {
    pub(super) async fn claim(&self, engine: &str, wish: Wish, span: Duration) -> Result<Claim, StoreError> {
        self.try_claim(engine, wish, span).await.map_err(failed("cannot ask for the lease"))
    }

    async fn try_claim(&self, engine: &str, wish: Wish, span: Duration) -> Result<Claim, sqlx::Error> {
        // A row that is locked belongs to an engine that is writing, so that there is nothing to take. What it locks is
        // free again after a while even if that engine stopped in the middle.
        let condition = match wish {
            Wish::Start => "(engine = $1 OR until < clock_timestamp()) AND $3 = 0",
            Wish::Take => "until < clock_timestamp() AND $3 = 0 AND $1 <> ''",
            Wish::Keep(_) => "engine = $1 AND term = $3",
        };
        let lock = if matches!(wish, Wish::Keep(_)) { "FOR UPDATE" } else { "FOR UPDATE SKIP LOCKED" };
        let same = if matches!(wish, Wish::Keep(_)) { "lease.term" } else { "lease.term + 1" };
        let sql = format!(
            "WITH free AS (SELECT term FROM lease WHERE {condition} {lock}) \
             UPDATE lease SET engine = $1, term = {same}, until = clock_timestamp() + $2 * interval '1 millisecond' \
             FROM free RETURNING lease.term"
        );
        let term = if let Wish::Keep(term) = wish { number(term) } else { 0 };
        let held: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(engine)
            .bind(span.as_millis() as f64)
            .bind(term)
            .fetch_optional(&self.pool)
            .await?;
        if let Some(term) = held {
            return Ok(Claim::Held(Term(unsigned(term))));
        }
        let changes: i64 = sqlx::query_scalar("SELECT changes FROM lease").fetch_one(&self.pool).await?;
        Ok(Claim::Taken { changes: unsigned(changes) })
    }

    pub(super) async fn release(&self, term: Term) -> Result<(), StoreError> {
        let free = sqlx::query("UPDATE lease SET until = '-infinity' WHERE term = $1").bind(number(term));
        free.execute(&self.pool).await.map(drop).map_err(failed("cannot give the lease back"))
    }

    /// Makes a transaction one of this term; false if the term is over.
    pub(super) async fn fence(transaction: &mut Transaction<'_, Sql>, term: Term) -> Result<bool, sqlx::Error> {
        let fence = sqlx::query("UPDATE lease SET changes = changes + 1 WHERE term = $1").bind(number(term));
        let in_force = fence.execute(&mut **transaction).await?.rows_affected() == 1;
        sqlx::query("SELECT pg_notify($1, '')").bind(RECORDS).execute(&mut **transaction).await?;
        Ok(in_force)
    }

    pub(super) async fn forget_requests(
        transaction: &mut Transaction<'_, Sql>,
        done: &[i64],
    ) -> Result<(), sqlx::Error> {
        let delete = sqlx::query("DELETE FROM requests WHERE number = ANY($1)").bind(done);
        delete.execute(&mut **transaction).await.map(drop)
    }

    pub(super) async fn request(&self, inputs: &[Input]) -> Result<(), StoreError> {
        let mut bodies = Vec::with_capacity(inputs.len());
        for input in inputs {
            bodies.push(
                twin::encode_request(input)
                    .map_err(|reason| StoreError::Serialise { key: "a request".to_owned(), reason })?,
            );
        }
        self.try_request(bodies).await.map_err(failed("cannot keep a request"))
    }

    async fn try_request(&self, bodies: Vec<Vec<u8>>) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let insert = sqlx::query("INSERT INTO requests (body) SELECT * FROM UNNEST($1::bytea[])").bind(bodies);
        insert.execute(&mut *transaction).await?;
        sqlx::query("SELECT pg_notify($1, '')").bind(REQUESTS).execute(&mut *transaction).await?;
        transaction.commit().await
    }

    pub(super) async fn requests(&self) -> Result<Requests, StoreError> {
        let rows = sqlx::query("SELECT number, body FROM requests ORDER BY number LIMIT $1").bind(REQUESTS_AT_ONCE);
        let rows = rows.fetch_all(&self.pool).await.map_err(failed("cannot read requests"))?;
        let mut requests = Requests::default();
        for row in rows {
            let read = || Ok::<(i64, Vec<u8>), sqlx::Error>((row.try_get(0)?, row.try_get(1)?));
            let (number, body) = read().map_err(failed("cannot read requests"))?;
            match twin::decode_request(&body) {
                Ok(input) => requests.inputs.push((number, input)),
                Err(reason) => requests.unreadable.push((number, reason)),
            }
        }
        Ok(requests)
    }

    pub(super) async fn watch(&self) -> Result<Watch, StoreError> {
        let wrong = || failed("cannot follow the database");
        let mut listener = PgListener::connect_with(&self.pool).await.map_err(wrong())?;
        listener.listen_all([RECORDS, REQUESTS]).await.map_err(wrong())?;
        Ok(Watch(listener))
    }
}
