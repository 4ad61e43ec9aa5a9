//! How a statement is run: within a deadline, again after a deadlock, and its errors as the
//! contract names them.

use std::future::Future;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Database, Execute, Executor, Pool, raw_sql};
use tokio::time::{Instant, sleep, timeout_at};

use crate::store::{Result, StoreError, StoreErrorKind};

/// How often a statement is run again that lost a deadlock.
const ATTEMPTS: u32 = 20;

/// A connection that lay idle for less is used without a test: a server that went away meanwhile
/// costs an error, and a test costs each operation a round trip.
pub(in crate::store) const UNTESTED: Duration = Duration::from_secs(1);

/// A database, and what its errors mean.
pub(in crate::store) trait Server: Database {
    /// As its makers write it.
    const TITLE: &'static str;

    /// What the error of a statement means.
    fn verdict(error: &dyn DatabaseError) -> Verdict;
}

/// What an error means.
pub(in crate::store) enum Verdict {
    /// Another transaction was in the way, and nothing took place: once more.
    Again,
    /// Of this kind; the text says what to do.
    Kind(StoreErrorKind, &'static str),
}

/// A pool, and how long an operation on it may take.
#[derive(Debug)]
pub(in crate::store) struct Client<DB: Database> {
    pub pool: Pool<DB>,
    pub timeout: Duration,
}

impl<DB: Database> Clone for Client<DB> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), timeout: self.timeout }
    }
}

impl<DB: Server> Client<DB> {
    /// Begins an operation.
    pub fn call(&self) -> Call<'_, DB> {
        Call { client: self, deadline: Some(Instant::now() + self.timeout), attempts: 0 }
    }

    /// Begins an operation that takes as long as its table is large.
    pub fn unhurried(&self) -> Call<'_, DB> {
        Call { deadline: None, ..self.call() }
    }
}

/// One operation of a store: one deadline over all that it takes.
pub(in crate::store) struct Call<'a, DB: Database> {
    client: &'a Client<DB>,
    deadline: Option<Instant>,
    attempts: u32,
}

impl<DB: Server> Call<'_, DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// The rows of a statement.
    pub async fn rows<Q: Execute<'static, DB> + 'static>(
        &mut self,
        query: impl Fn() -> Q,
    ) -> Result<Vec<DB::Row>> {
        loop {
            match self.try_rows(query()).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => self.recover(failure).await?,
            }
        }
    }

    /// The only row of a statement.
    pub async fn row<Q: Execute<'static, DB> + 'static>(
        &mut self,
        query: impl Fn() -> Q,
    ) -> Result<Option<DB::Row>> {
        Ok(self.rows(query).await?.pop())
    }

    /// What a statement without rows did.
    pub async fn done<Q: Execute<'static, DB> + 'static>(
        &mut self,
        query: impl Fn() -> Q,
    ) -> Result<DB::QueryResult> {
        loop {
            match self.try_done(query()).await {
                Ok(done) => return Ok(done),
                Err(failure) => self.recover(failure).await?,
            }
        }
    }

    /// As [`rows`](Self::rows), without a second try.
    pub async fn try_rows(
        &self,
        query: impl Execute<'static, DB> + 'static,
    ) -> Result<Vec<DB::Row>, Failure> {
        let mut lease = self.lease().await?;
        let rows = lease.rows(query).await;
        lease.settled = rows.as_ref().map_or_else(Failure::is_answer, |_| true);
        rows
    }

    /// As [`done`](Self::done), without a second try.
    pub async fn try_done(
        &self,
        query: impl Execute<'static, DB> + 'static,
    ) -> Result<DB::QueryResult, Failure> {
        let mut lease = self.lease().await?;
        let done = lease.done(query).await;
        lease.settled = done.as_ref().map_or_else(Failure::is_answer, |_| true);
        done
    }

    /// Runs statements that have no parameters, and end what they begin.
    pub async fn run(&self, sql: &str) -> Result<(), Failure> {
        let mut lease = self.lease().await?;
        lease.run(sql).await?;
        lease.settled = true;
        Ok(())
    }

    /// A connection with a transaction open on it. Unless it comes to its
    /// [`end`](Lease::end), the connection is closed, and the server rolls it back.
    pub async fn begin(&self, sql: impl Into<String>) -> Result<Lease<DB>, Failure> {
        let mut lease = self.lease().await?;
        lease.run(sql).await?;
        Ok(lease)
    }

    async fn lease(&self) -> Result<Lease<DB>, Failure> {
        // The driver's future for a new connection has ten kilobytes. Unless it is on the heap, every
        // future around it has them too, and an unoptimized service runs out of stack.
        let connection = Box::pin(self.client.pool.acquire());
        Ok(Lease {
            connection: within(self.deadline, connection).await?,
            deadline: self.deadline,
            settled: true,
        })
    }

    /// Goes on where another try may do better; else the failure as an error of the store.
    pub async fn recover(&mut self, failure: Failure) -> Result<()> {
        match failure {
            Failure::Driver(sqlx::Error::Database(error))
                if matches!(DB::verdict(&*error), Verdict::Again) && self.attempts < ATTEMPTS =>
            {
                // Those that were in the way get time to end.
                self.attempts += 1;
                sleep(Duration::from_millis(1 << self.attempts.min(5))).await;
                Ok(())
            }
            failure => Err(self.error(failure)),
        }
    }

    /// Goes on after an answer that another operation outran, within the deadline.
    pub async fn outrun(&self) -> Result<()> {
        tokio::task::yield_now().await;
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(self.error(Failure::Late)),
            _ => Ok(()),
        }
    }

    fn error(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Late => StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{} did not answer within {:?}", DB::TITLE, self.client.timeout),
            ),
            Failure::Driver(error) => store_error::<DB>(error),
            Failure::Answer(error) => error,
        }
    }
}

/// A connection that goes back to the pool only when nothing is left open on it.
///
/// The driver would reuse one whose statement or transaction was dropped half-way, as happens when
/// a client hangs up: it may hold locks then, or wait for a server that is gone.
pub(in crate::store) struct Lease<DB: Database> {
    connection: PoolConnection<DB>,
    deadline: Option<Instant>,
    settled: bool,
}

impl<DB: Server> Lease<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    pub async fn rows(
        &mut self,
        query: impl Execute<'static, DB> + 'static,
    ) -> Result<Vec<DB::Row>, Failure> {
        self.settled = false;
        within(self.deadline, self.connection.fetch_all(query)).await
    }

    pub async fn done(
        &mut self,
        query: impl Execute<'static, DB> + 'static,
    ) -> Result<DB::QueryResult, Failure> {
        self.settled = false;
        within(self.deadline, self.connection.execute(query)).await
    }

    /// Runs statements that have no parameters: in one round trip, and not kept prepared.
    pub async fn run(&mut self, sql: impl Into<String>) -> Result<DB::QueryResult, Failure> {
        self.settled = false;
        let sql = raw_sql(AssertSqlSafe(sql.into()));
        within(self.deadline, sql.execute(&mut *self.connection)).await
    }

    /// Ends the transaction, by `COMMIT` or `ROLLBACK`.
    pub async fn end(mut self, sql: &str) -> Result<(), Failure> {
        self.run(sql).await?;
        self.settled = true;
        Ok(())
    }
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        if !self.settled {
            self.connection.close_on_drop();
        }
    }
}

/// Why a statement did not do its work.
#[derive(Debug)]
pub(in crate::store) enum Failure {
    /// The deadline has passed.
    Late,
    /// The driver says so, or the server through it.
    Driver(sqlx::Error),
    /// What it answered is no record.
    Answer(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Answer(error)
    }
}

impl Failure {
    /// The server has answered, so nothing is left open on the connection.
    fn is_answer(&self) -> bool {
        matches!(self, Self::Driver(sqlx::Error::Database(_)))
    }

    /// A row with this key, or another unique value, is there already.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Driver(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

async fn within<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    let Some(deadline) = deadline else {
        return Ok(work.await?);
    };
    match timeout_at(deadline, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failure::Late),
    }
}

/// The driver's error, as the contract of the stores names it.
pub(in crate::store) fn store_error<DB: Server>(error: sqlx::Error) -> StoreError {
    let (kind, what) = match &error {
        sqlx::Error::Database(error) => match DB::verdict(&**error) {
            Verdict::Again => (
                StoreErrorKind::Unavailable,
                "lost to other transactions again and again; try later",
            ),
            Verdict::Kind(kind, what) => (kind, what),
        },
        sqlx::Error::PoolTimedOut => (
            StoreErrorKind::Unavailable,
            "has no connection free in time; allow the pool more of them, or ask less",
        ),
        sqlx::Error::PoolClosed => (StoreErrorKind::Unavailable, "has its pool closed"),
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => (StoreErrorKind::Unavailable, "cannot be reached"),
        sqlx::Error::Tls(_) => (
            StoreErrorKind::Refused,
            "cannot be reached over TLS; see the URL's settings and this crate's features",
        ),
        _ => (StoreErrorKind::Refused, "cannot be asked this"),
    };
    StoreError::new(kind, format!("{} {what}", DB::TITLE)).with_source(error)
}

#[cfg(all(test, feature = "mysql"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_for_a_connection_is_small() {
        let pool = sqlx::MySqlPool::connect_lazy("mysql://nobody@127.0.0.1/none").unwrap();
        let client = Client { pool, timeout: Duration::from_secs(1) };
        let call = client.call();
        assert!(size_of_val(&call.lease()) < 1024);
    }
}
