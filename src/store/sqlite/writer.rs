//! The one writer of a database file: it commits all waiting operations together.
//!
//! SQLite has one writer at a time, and a commit costs far more than a statement. So the operations
//! that arrive during a commit share the next one. The writer answers none of them before it is
//! committed.

use std::future::Future;
use std::pin::Pin;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::writes::{Work, WriteStatements};
use crate::store::sql::store_error;
use crate::store::{Result, StoreError, StoreErrorKind};

/// How many operations a commit takes at most, and how many may wait for one.
const BATCH: usize = 256;
const WAITING: usize = 4 * BATCH;

/// The queue of the writer. The writer ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer(mpsc::Sender<Box<dyn Job>>);

impl Writer {
    /// Starts the writer, as a task of the runtime that this is called in.
    pub fn start(options: SqliteConnectOptions, sql: WriteStatements) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING);
        tokio::spawn(serve(waiting, options, sql));
        Self(sender)
    }

    /// Returns the answer of the operation after its commit.
    pub async fn run<W: Work>(&self, work: W, deadline: Option<Instant>) -> Result<W::Answer> {
        let answer = async {
            let (reply, answer) = oneshot::channel();
            let job = Queued { work, answer: None, reply };
            self.0.send(Box::new(job)).await.map_err(|_| ended())?;
            answer.await.map_err(|_| ended())?
        };
        match deadline {
            None => answer.await,
            Some(deadline) => timeout_at(deadline, answer).await.unwrap_or_else(|_| {
                Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    "SQLite could not write in time; check whether another process locks the file",
                ))
            }),
        }
    }
}

fn ended() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "the writer of SQLite has ended with the runtime that it was started in",
    )
}

/// An operation, and the channel to its caller.
struct Queued<W: Work> {
    work: W,
    answer: Option<Result<W::Answer, sqlx::Error>>,
    reply: oneshot::Sender<Result<W::Answer>>,
}

/// [`Queued`] in the form that a queue can hold.
trait Job: Send {
    /// Runs it, and says whether it succeeded.
    fn run<'a>(
        &'a mut self,
        sql: &'a WriteStatements,
        connection: &'a mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

    fn is_abandoned(&self) -> bool;

    /// Sends its own error, the error of its transaction, or its result.
    fn answer(self: Box<Self>, transaction: Option<StoreError>);
}

impl<W: Work> Job for Queued<W> {
    fn run<'a>(
        &'a mut self,
        sql: &'a WriteStatements,
        connection: &'a mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            let answer = self.work.run(sql, connection).await;
            let succeeded = answer.is_ok();
            self.answer = Some(answer);
            succeeded
        })
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>, transaction: Option<StoreError>) {
        let answer = match (self.answer, transaction) {
            (Some(Err(error)), _) => Err(store_error::<sqlx::Sqlite>(error)),
            (_, Some(error)) => Err(error),
            (Some(Ok(answer)), None) => Ok(answer),
            (None, None) => Err(ended()),
        };
        // The caller may have stopped waiting.
        let _ = self.reply.send(answer);
    }
}

async fn serve(
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    options: SqliteConnectOptions,
    sql: WriteStatements,
) {
    let mut file = DatabaseFile { options, sql, connection: None };
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        batch.retain(|job| !job.is_abandoned());
        match file.transaction(&mut batch).await {
            Ok(()) => batch.drain(..).for_each(|job| job.answer(None)),
            // A transaction of its own could not begin either.
            Err(TransactionError::Begin(error)) => {
                let error = store_error::<sqlx::Sqlite>(error);
                for job in batch.drain(..) {
                    let same = StoreError::new(error.kind(), error.to_string());
                    job.answer(Some(same));
                }
            }
            Err(_) => {
                for mut job in batch.drain(..) {
                    let alone = file.transaction(std::slice::from_mut(&mut job)).await;
                    job.answer(alone.err().and_then(TransactionError::error));
                }
            }
        }
    }
}

/// The writer's connection to the database file.
struct DatabaseFile {
    options: SqliteConnectOptions,
    sql: WriteStatements,
    /// Opened on demand, and again after an error that may have left a transaction open.
    connection: Option<SqliteConnection>,
}

/// Where a transaction failed. It has no effect.
enum TransactionError {
    Begin(sqlx::Error),
    /// The job holds its own error.
    Job,
    Commit(sqlx::Error),
}

impl TransactionError {
    fn error(self) -> Option<StoreError> {
        match self {
            Self::Begin(error) | Self::Commit(error) => Some(store_error::<sqlx::Sqlite>(error)),
            Self::Job => None,
        }
    }
}

impl DatabaseFile {
    async fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), TransactionError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(TransactionError::Begin)?,
        };
        // IMMEDIATE takes the write lock now. A transaction that begins with a read may fail at its first
        // write, because another process has written since the read.
        let begun = connection.execute("BEGIN IMMEDIATE").await;
        begun.map_err(TransactionError::Begin)?;
        for job in jobs {
            if !job.run(&self.sql, &mut connection).await {
                // On a full disk SQLite rolls back by itself, and this statement is an error.
                let _ = connection.execute("ROLLBACK").await;
                self.connection = Some(connection);
                return Err(TransactionError::Job);
            }
        }
        let committed = connection.execute("COMMIT").await;
        committed.map_err(TransactionError::Commit)?;
        self.connection = Some(connection);
        Ok(())
    }
}
