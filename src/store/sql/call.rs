//! [`Call`]: runs a statement within a deadline, repeats it after a deadlock, and turns its errors into
//! those of the contract.

use std::sync::Arc;
use std::time::Duration;

use sqlx::database::HasStatementCache;
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Database, Execute, Executor, Pool, SqlSafeStr, raw_sql};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::pooled::{Outcome, State, Transaction, Turn};
use crate::store::patience::patience;
use crate::store::{Result, StoreError, StoreErrorKind};

/// How often a statement that lost a deadlock is run again.
const ATTEMPTS: u32 = 20;

/// A connection that was idle for less is used without a test. If its server has gone, that costs an
/// error; a test would cost each operation a round trip.
pub(in crate::store) const UNTESTED: Duration = Duration::from_secs(1);

/// A database, and what its errors mean.
pub(in crate::store) trait Server: Database + HasStatementCache {
    /// The database's name.
    const TITLE: &'static str;

    /// What the error of a statement means.
    fn verdict(error: &dyn DatabaseError) -> Verdict;
}

/// What an error means.
pub(in crate::store) enum Verdict {
    /// Another transaction was in the way, and nothing took place: run it again.
    Again,
    /// The connection is unusable and is closed.
    Useless {
        /// Whether nothing took place, so that the operation may run on another connection.
        nothing_done: bool,
        /// The kind of error if no other connection does better.
        kind: StoreErrorKind,
        /// What the message says then.
        what: &'static str,
    },
    /// An error of this kind; the text says what to do.
    Kind(StoreErrorKind, &'static str),
}

impl Verdict {
    /// The connection is unusable, and the statement may have taken place.
    pub const fn useless(kind: StoreErrorKind, what: &'static str) -> Self {
        Self::Useless { nothing_done: false, kind, what }
    }

    /// The connection is unusable, and nothing took place.
    pub const fn useless_before(kind: StoreErrorKind, what: &'static str) -> Self {
        Self::Useless { nothing_done: true, kind, what }
    }
}

/// A pool, and how long an operation on it may take.
#[derive(Debug)]
pub(in crate::store) struct Client<DB: Database> {
    pub pool: Pool<DB>,
    pub timeout: Duration,
    /// One permit for each connection that the pool may have. A call that waits for a permit can be dropped
    /// and leaves nothing behind. A call with a permit asks the pool, and if the call is dropped, a task
    /// continues that: so there are never more such tasks than connections.
    turns: Arc<Semaphore>,
    /// Whether the driver would panic when it adds the pool's `acquire_timeout` to the time of day.
    waits_too_long: bool,
}

impl<DB: Database> Clone for Client<DB> {
    fn clone(&self) -> Self {
        let (pool, turns) = (self.pool.clone(), Arc::clone(&self.turns));
        Self { pool, turns, ..*self }
    }
}

impl<DB: Database> Client<DB> {
    pub fn new(pool: Pool<DB>, timeout: Duration) -> Self {
        let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let turns = Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS));
        let wait = pool.options().get_acquire_timeout();
        let waits_too_long = Instant::now().checked_add(wait).is_none();
        Self { pool, timeout, turns: Arc::new(turns), waits_too_long }
    }
}

impl<DB: Server> Client<DB> {
    /// Begins an operation.
    pub fn call(&self) -> Call<'_, DB> {
        let deadline = Some(Instant::now() + self.timeout);
        Call { client: self, deadline, attempts: 0, tries_left: None }
    }

    /// Begins an operation whose time grows with its table.
    pub fn without_deadline(&self) -> Call<'_, DB> {
        Call { deadline: None, ..self.call() }
    }
}

/// One operation of a store: one deadline for all of its statements.
///
/// If the caller drops it half-way, a task runs the statement to its end. The driver cannot say how much of
/// the answer was read, and a new connection costs far more than the rest of a statement.
pub(in crate::store) struct Call<'a, DB: Database> {
    client: &'a Client<DB>,
    deadline: Option<Instant>,
    attempts: u32,
    /// How many more connections it may try, after one was unusable.
    tries_left: Option<u32>,
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

    /// The result of a statement without rows.
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
        let (_, outcome) = self.first(query, State::Settled, State::Settled).await?;
        Ok(outcome.rows)
    }

    /// As [`done`](Self::done), without a second try.
    pub async fn try_done(
        &self,
        query: impl Execute<'static, DB> + 'static,
    ) -> Result<DB::QueryResult, Failure> {
        let (_, outcome) = self.first(query, State::Settled, State::Settled).await?;
        Ok(outcome.done)
    }

    /// Runs statements without parameters, which leave no transaction open.
    pub async fn run(&self, sql: &str) -> Result<(), Failure> {
        let sql = raw_sql(AssertSqlSafe(sql.to_owned()));
        self.first(sql, State::Settled, State::Open).await.map(drop)
    }

    /// Opens a transaction. It is rolled back unless it [ends](Transaction::end).
    pub async fn begin(&self, sql: impl SqlSafeStr) -> Result<Transaction<DB>, Failure> {
        let (transaction, _) = self.first(raw_sql(sql), State::Open, State::Open).await?;
        Ok(transaction)
    }

    /// Runs the first statement on a connection. The states say how it leaves the connection: if it
    /// succeeds, and if the server refuses it.
    async fn first(
        &self,
        query: impl Execute<'static, DB> + 'static,
        after: State,
        after_error: State,
    ) -> Result<(Transaction<DB>, Outcome<DB>), Failure> {
        let turn = self.turn().await?;
        turn.first(query, after, after_error).await
    }

    async fn turn(&self) -> Result<Turn<DB>, Failure> {
        let Client { pool, timeout, turns, waits_too_long } = self.client;
        if *waits_too_long {
            return Err(Failure::Answer(StoreError::new(
                StoreErrorKind::Refused,
                "the pool's acquire_timeout is too long for the driver; a day is enough",
            )));
        }
        let wait = self.deadline.unwrap_or_else(|| {
            // As long as the pool itself lets a caller wait.
            Instant::now() + patience(pool.options().get_acquire_timeout())
        });
        match timeout_at(wait, Arc::clone(turns).acquire_owned()).await {
            Ok(Ok(permit)) => {
                Ok(Turn { pool: pool.clone(), permit, deadline: self.deadline, timeout: *timeout })
            }
            // The semaphore is never closed.
            Ok(Err(_)) => Err(sqlx::Error::PoolClosed.into()),
            Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
        }
    }

    /// Returns if another try may succeed; otherwise the failure as an error of the store.
    pub async fn recover(&mut self, failure: Failure) -> Result<()> {
        match failure {
            Failure::Driver(sqlx::Error::Database(error))
                if matches!(DB::verdict(&*error), Verdict::Again) && self.attempts < ATTEMPTS =>
            {
                // Gives the other transactions time to end.
                self.attempts += 1;
                sleep(Duration::from_millis(1 << self.attempts.min(5))).await;
                Ok(())
            }
            // After a failover, every other connection of the pool may be like the first one. Each is
            // closed after it was tried, so the last try uses a new connection. A pool does not say which
            // of its connections are new.
            Failure::Useless { nothing_done: true, others, .. } if self.tries_left != Some(0) => {
                let tries = self.tries_left.unwrap_or(others.saturating_add(1));
                self.tries_left = Some(tries - 1);
                self.in_time()
            }
            failure => Err(self.error(failure)),
        }
    }

    /// Lets the operation run again, within the deadline, after an answer that a concurrent operation has
    /// made stale.
    pub async fn retry_stale(&self) -> Result<()> {
        tokio::task::yield_now().await;
        self.in_time()
    }

    fn in_time(&self) -> Result<()> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                Err(self.error(Failure::DeadlineExceeded))
            }
            _ => Ok(()),
        }
    }

    fn error(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::DeadlineExceeded => StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{} did not answer within {:?}", DB::TITLE, self.client.timeout),
            ),
            Failure::Driver(error) | Failure::Useless { error, .. } => store_error::<DB>(error),
            Failure::Answer(error) => error,
        }
    }
}

/// Why a statement failed.
#[derive(Debug)]
pub(in crate::store) enum Failure {
    /// The deadline has passed.
    DeadlineExceeded,
    /// An error of the driver, or of the server.
    Driver(sqlx::Error),
    /// An error of the server that makes the connection unusable.
    Useless {
        error: sqlx::Error,
        /// Whether nothing was done.
        nothing_done: bool,
        /// How many other connections the pool had then.
        others: u32,
    },
    /// The answer is not a record.
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
    /// Whether another row has this key, or another unique value.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Driver(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

/// Turns the driver's error into one of the store contract.
pub(in crate::store) fn store_error<DB: Server>(error: sqlx::Error) -> StoreError {
    let (kind, what) = match &error {
        sqlx::Error::Database(error) => match DB::verdict(&**error) {
            Verdict::Again => (
                StoreErrorKind::Unavailable,
                "ended the statement again and again because of other transactions; try later",
            ),
            Verdict::Useless { kind, what, .. } | Verdict::Kind(kind, what) => (kind, what),
        },
        sqlx::Error::PoolTimedOut => (
            StoreErrorKind::Unavailable,
            "had no free connection in time; allow the pool more of them, or send fewer calls",
        ),
        sqlx::Error::PoolClosed => {
            (StoreErrorKind::Unavailable, "cannot be reached, because the pool is closed")
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => (StoreErrorKind::Unavailable, "cannot be reached"),
        sqlx::Error::Tls(_) => (
            StoreErrorKind::Refused,
            "cannot be reached over TLS; see the URL's settings and this crate's features",
        ),
        _ => (StoreErrorKind::Refused, "cannot run this statement"),
    };
    StoreError::new(kind, format!("{} {what}", DB::TITLE)).with_source(error)
}

#[cfg(all(test, feature = "mysql"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_for_a_connection_is_small() {
        let pool = sqlx::MySqlPool::connect_lazy("mysql://nobody@127.0.0.1/none").unwrap();
        let client = Client::new(pool, Duration::from_secs(1));
        let call = client.call();
        assert!(size_of_val(&call.try_rows(sqlx::query("SELECT 1"))) < 1024);
    }
}
