//! A pooled connection with what was begun on it, and what happens to that when its caller is gone.

use std::future::Future;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::{Either, Execute, Executor, Pool, SqlSafeStr, raw_sql};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::call::{Failure, Server, Verdict};
use crate::store::to_the_end::{RunsOn, caller_is_gone, run_on};

/// The right to ask the pool for a connection, and to use it.
pub(super) struct Turn<DB: Server> {
    pub pool: Pool<DB>,
    pub permit: OwnedSemaphorePermit,
    pub deadline: Option<Instant>,
    /// How long a dropped call's statement may take to end.
    pub timeout: Duration,
}

/// The answer to a statement.
pub(super) struct Outcome<DB: Server> {
    pub rows: Vec<DB::Row>,
    pub done: DB::QueryResult,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is open on it.
    Settled,
    /// A transaction is open on it.
    Open,
    /// A statement may be under way.
    Unknown,
}

impl<DB: Server> Turn<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// Runs a statement on a connection of the pool.
    ///
    /// If the caller drops this, a connection that is being opened is still opened, for the next caller. A
    /// statement that has begun runs to its end, and one that has not is not sent.
    pub async fn first(
        self,
        query: impl Execute<'static, DB> + 'static,
        after: State,
        after_error: State,
    ) -> Result<(Transaction<DB>, Outcome<DB>), Failure> {
        // On the heap, because the driver's future for a new connection has ten kilobytes. Every future
        // around it would have them too, and an unoptimized service would run out of stack.
        RunsOn::new(self.timeout, async move {
            let Self { pool, permit, deadline, timeout } = self;
            let connection = within(deadline, pool.acquire()).await?;
            let state = State::Settled;
            let mut pooled = Pooled { connection, pool, deadline, timeout, state, _permit: permit };
            if caller_is_gone() {
                return Err(Failure::DeadlineExceeded);
            }
            let outcome = pooled.run(query, after, after_error).await;
            // If the statement failed, dropping this rolls back a transaction that it has begun.
            let transaction = Transaction::new(pooled);
            Ok((transaction, outcome?))
        })
        .await
    }
}

/// A connection of the pool. Dropping it gives the connection back, or closes it if something may be
/// under way on it.
struct Pooled<DB: Server> {
    connection: PoolConnection<DB>,
    pool: Pool<DB>,
    deadline: Option<Instant>,
    timeout: Duration,
    state: State,
    _permit: OwnedSemaphorePermit,
}

impl<DB: Server> Pooled<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// If this future is dropped half-way, the connection is closed. The driver of MySQL reads a
    /// packet's length and its content in two steps: dropped in between, it would read what a client
    /// stored as the next packet.
    async fn run(
        &mut self,
        query: impl Execute<'static, DB> + 'static,
        after: State,
        after_error: State,
    ) -> Result<Outcome<DB>, Failure> {
        self.state = State::Unknown;
        let mut answers = (&mut *self.connection).fetch_many(query);
        let answered = within(self.deadline, async {
            let mut outcome = Outcome::<DB> { rows: Vec::new(), done: Default::default() };
            while let Some(answer) = answers.try_next().await? {
                match answer {
                    Either::Left(done) => {
                        Extend::<DB::QueryResult>::extend(&mut outcome.done, [done])
                    }
                    Either::Right(row) => outcome.rows.push(row),
                }
            }
            Ok(outcome)
        })
        .await;
        drop(answers);
        match answered {
            Ok(outcome) => {
                self.state = after;
                Ok(outcome)
            }
            Err(Failure::Driver(error @ sqlx::Error::Database(_))) => {
                Err(self.refused(error, after_error))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The server has answered with an error, so the statement is not under way.
    fn refused(&mut self, error: sqlx::Error, after_error: State) -> Failure {
        if let sqlx::Error::Database(refusal) = &error
            && let Verdict::Useless { nothing_done, .. } = DB::verdict(&**refusal)
        {
            // The pool counts this one too.
            let others = self.pool.size().saturating_sub(1);
            return Failure::Useless { error, nothing_done, others };
        }
        self.state = after_error;
        Failure::Driver(error)
    }

    async fn roll_back(mut self) {
        self.deadline = Some(Instant::now() + self.timeout);
        // If that fails, the connection is closed.
        let _ = self.run(raw_sql("ROLLBACK"), State::Settled, State::Unknown).await;
    }
}

impl<DB: Server> Drop for Pooled<DB> {
    fn drop(&mut self) {
        if self.state != State::Settled {
            self.connection.close_on_drop();
        }
    }
}

/// A connection with a transaction open on it, which is rolled back unless it [ends](Self::end).
pub(in crate::store) struct Transaction<DB: Server>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// `None` while a statement runs.
    pooled: Option<Pooled<DB>>,
    /// Where an open transaction is rolled back.
    runtime: Option<Handle>,
}

impl<DB: Server> Transaction<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    fn new(pooled: Pooled<DB>) -> Self {
        let runtime = (pooled.state == State::Open).then(|| Handle::try_current().ok()).flatten();
        Self { pooled: Some(pooled), runtime }
    }

    pub async fn rows(
        &mut self,
        query: impl Execute<'static, DB> + 'static,
    ) -> Result<Vec<DB::Row>, Failure> {
        Ok(self.run(query, State::Open).await?.rows)
    }

    pub async fn done(
        &mut self,
        query: impl Execute<'static, DB> + 'static,
    ) -> Result<DB::QueryResult, Failure> {
        Ok(self.run(query, State::Open).await?.done)
    }

    /// Ends the transaction, by `COMMIT` or `ROLLBACK`.
    pub async fn end(mut self, sql: impl SqlSafeStr) -> Result<(), Failure> {
        self.run(raw_sql(sql), State::Settled).await.map(drop)
    }

    async fn run(
        &mut self,
        query: impl Execute<'static, DB> + 'static,
        after: State,
    ) -> Result<Outcome<DB>, Failure> {
        let mut transaction = Self { pooled: self.pooled.take(), runtime: self.runtime.take() };
        let limit = transaction.pooled.as_ref().map_or(Duration::ZERO, |pooled| pooled.timeout);
        let outcome;
        (*self, outcome) = RunsOn::new(limit, async move {
            let outcome = match &mut transaction.pooled {
                Some(pooled) => pooled.run(query, after, State::Open).await,
                // A dropped statement before this one still has it.
                None => Err(Failure::DeadlineExceeded),
            };
            (transaction, outcome)
        })
        .await;
        outcome
    }
}

impl<DB: Server> Drop for Transaction<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    fn drop(&mut self) {
        let is_open = self.pooled.as_ref().is_some_and(|pooled| pooled.state == State::Open);
        if let (true, Some(pooled), Some(runtime)) =
            (is_open, self.pooled.take(), self.runtime.take())
        {
            run_on(&runtime, pooled.timeout, pooled.roll_back());
        }
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
        Err(_) => Err(Failure::DeadlineExceeded),
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use std::future::poll_fn;

    use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
    use tokio::runtime::{Builder, Runtime};
    use tokio::task::yield_now;

    use super::*;
    use crate::store::sql::Client;

    /// How many allocations a call costs, and how many tasks it spawns, after the pool and the driver have
    /// warmed up.
    fn costs<F: Future>(runtime: &Runtime, pool: &PgPool, call: impl Fn() -> F) -> (u64, usize) {
        let once = |_| {
            runtime.block_on(async {
                while pool.num_idle() < 1 {
                    yield_now().await;
                }
            });
            let (tasks, mut spawned) = (runtime.metrics(), 0);
            // Before the count, or the runtime would box a large future and count for the driver alone.
            let mut call = Box::pin(call());
            let spent = allocation_counter::measure(|| {
                runtime.block_on(async {
                    // No task runs meanwhile, so each new one is seen.
                    poll_fn(|context| {
                        let before = tasks.num_alive_tasks();
                        let polled = call.as_mut().poll(context);
                        spawned += tasks.num_alive_tasks() - before;
                        polled
                    })
                    .await;
                });
            });
            (spent.count_total, spawned)
        };
        // The driver's buffers grow now and then.
        (0..50).map(once).min().unwrap()
    }

    async fn by_the_driver(pool: &PgPool) -> Vec<PgRow> {
        let mut connection = pool.acquire().await.unwrap();
        let mut answers = (&mut *connection).fetch_many(sqlx::query("SELECT 1"));
        let mut rows = Vec::new();
        while let Some(answer) = answers.try_next().await.unwrap() {
            if let Either::Right(row) = answer {
                rows.push(row);
            }
        }
        rows
    }

    #[test]
    fn an_answered_call_costs_one_allocation_more_than_the_driver_and_no_task() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let options = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
        let pool = options.connect(test_servers::postgres_url());
        let pool = runtime.block_on(pool).unwrap();
        let client = Client::new(pool.clone(), Duration::from_secs(60));
        let (allocations, tasks) = costs(&runtime, &pool, || by_the_driver(&pool));
        let call = || async { client.call().try_rows(sqlx::query("SELECT 1")).await.unwrap() };
        assert_eq!(costs(&runtime, &pool, call), (allocations + 1, tasks));
        // The driver spawns the task that gives the connection back.
        assert_eq!(tasks, 1);
    }
}
