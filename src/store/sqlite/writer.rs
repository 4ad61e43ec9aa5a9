//! The one writer of a database file: takes what waits, and commits it together.
//!
//! SQLite has one writer at a time, and a commit costs far more than a statement. So the operations
//! that came in while the last commit was under way share the next one. None is answered before
//! it is committed.

use std::future::Future;
use std::pin::Pin;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::writes::{Statements, Work};
use crate::store::sql::store_error;
use crate::store::{Result, StoreError, StoreErrorKind};

/// How many operations a commit takes at most, and how many may wait for one.
const BATCH: usize = 256;
const WAITING: usize = 4 * BATCH;

/// Where operations wait for the writer. The writer ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer(mpsc::Sender<Box<dyn Job>>);

impl Writer {
    /// Starts the writer, as a task of the runtime that this is called in.
    pub fn start(options: SqliteConnectOptions, sql: Statements) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING);
        tokio::spawn(serve(waiting, options, sql));
        Self(sender)
    }

    /// What the operation answers, once it is committed.
    pub async fn run<W: Work>(&self, work: W, deadline: Option<Instant>) -> Result<W::Answer> {
        let answer = async {
            let (reply, answer) = oneshot::channel();
            let job = Errand { work, answer: None, reply };
            self.0.send(Box::new(job)).await.map_err(|_| ended())?;
            answer.await.map_err(|_| ended())?
        };
        match deadline {
            None => answer.await,
            Some(deadline) => timeout_at(deadline, answer).await.unwrap_or_else(|_| {
                Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    "SQLite did not come to write in time; is another process at the file?",
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

/// An operation and who waits for it.
struct Errand<W: Work> {
    work: W,
    answer: Option<Result<W::Answer, sqlx::Error>>,
    reply: oneshot::Sender<Result<W::Answer>>,
}

/// [`Errand`] in the form that a queue can hold.
trait Job: Send {
    /// Runs it, and says whether it succeeded.
    fn run<'a>(
        &'a mut self,
        sql: &'a Statements,
        connection: &'a mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

    fn is_given_up(&self) -> bool;

    /// Answers: its own error, or that of its transaction, or what it came to.
    fn answer(self: Box<Self>, transaction: Option<StoreError>);
}

impl<W: Work> Job for Errand<W> {
    fn run<'a>(
        &'a mut self,
        sql: &'a Statements,
        connection: &'a mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            let answer = self.work.run(sql, connection).await;
            let succeeded = answer.is_ok();
            self.answer = Some(answer);
            succeeded
        })
    }

    fn is_given_up(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>, transaction: Option<StoreError>) {
        let answer = match (self.answer, transaction) {
            (Some(Err(error)), _) => Err(store_error::<sqlx::Sqlite>(error)),
            (_, Some(error)) => Err(error),
            (Some(Ok(answer)), None) => Ok(answer),
            (None, None) => Err(ended()),
        };
        // The caller may have given up meanwhile.
        let _ = self.reply.send(answer);
    }
}

async fn serve(
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    options: SqliteConnectOptions,
    sql: Statements,
) {
    let mut file = File { options, sql, connection: None };
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        batch.retain(|job| !job.is_given_up());
        match file.transaction(&mut batch).await {
            Ok(()) => batch.drain(..).for_each(|job| job.answer(None)),
            // Nor would it begin for each of them.
            Err(Broken::Begin(error)) => {
                let error = store_error::<sqlx::Sqlite>(error);
                for job in batch.drain(..) {
                    let same = StoreError::new(error.kind(), error.to_string());
                    job.answer(Some(same));
                }
            }
            Err(_) => {
                for mut job in batch.drain(..) {
                    let alone = file.transaction(std::slice::from_mut(&mut job)).await;
                    job.answer(alone.err().and_then(Broken::error));
                }
            }
        }
    }
}

/// The database file, as the writer has it.
struct File {
    options: SqliteConnectOptions,
    sql: Statements,
    /// Opened when it is needed, and anew after an error that may have left a transaction open.
    connection: Option<SqliteConnection>,
}

/// Where a transaction failed. Nothing of it is left.
enum Broken {
    Begin(sqlx::Error),
    /// The job knows its own error.
    Job,
    Commit(sqlx::Error),
}

impl Broken {
    fn error(self) -> Option<StoreError> {
        match self {
            Self::Begin(error) | Self::Commit(error) => Some(store_error::<sqlx::Sqlite>(error)),
            Self::Job => None,
        }
    }
}

impl File {
    async fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Broken> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(Broken::Begin)?,
        };
        // At once, for a transaction that turns into a writing one later may find that it has read
        // what another process has changed since.
        let begun = connection.execute("BEGIN IMMEDIATE").await;
        begun.map_err(Broken::Begin)?;
        for job in jobs {
            if !job.run(&self.sql, &mut connection).await {
                // On a full disk SQLite has rolled back by itself, and says that there is nothing.
                let _ = connection.execute("ROLLBACK").await;
                self.connection = Some(connection);
                return Err(Broken::Job);
            }
        }
        let committed = connection.execute("COMMIT").await;
        committed.map_err(Broken::Commit)?;
        self.connection = Some(connection);
        Ok(())
    }
}
