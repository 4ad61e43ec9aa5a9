//! [`SqliteBuilder`]: the settings of the store, and how it opens its file.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::time::Instant;

use super::Sqlite;
use super::operations::ReadStatements;
use super::writer::Writer;
use super::writes;
use crate::backoff::Backoff;
use crate::store::patience::patience;
use crate::store::sql::{Client, Quotes, quoted, store_error};
use crate::store::{Result, StoreError, StoreErrorKind};

/// SQLite sets no limit for a name; this one keeps error messages readable.
const QUOTES: Quotes = Quotes { mark: '"', longest: 200 };

/// Settings of a [`Sqlite`] store.
///
/// ```no_run
/// use token_session::store::Sqlite;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Sqlite::builder().full_sync(true).connect("sqlite:sessions.db").await?;
/// store.migrate().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteBuilder {
    table: String,
    full_sync: bool,
    timeout: Duration,
    readers: u32,
}

impl Default for SqliteBuilder {
    fn default() -> Self {
        Self {
            table: "token_sessions".to_owned(),
            full_sync: false,
            timeout: Duration::from_secs(5),
            readers: 4,
        }
    }
}

impl SqliteBuilder {
    /// The table: `token_sessions` by default. Any characters, at most 200 bytes. The names of its
    /// indexes begin with it.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// Whether each commit waits for the disk, so that a power cut loses nothing that was answered:
    /// no by default. All operations of a commit share this wait. Applies to
    /// [`connect`](Self::connect); a pool brings its own `synchronous`.
    pub fn full_sync(mut self, full_sync: bool) -> Self {
        self.full_sync = full_sync;
        self
    }

    /// How long an operation may take, including the wait for other writes: 5 seconds by default.
    /// After that it fails as [`Unavailable`](StoreErrorKind::Unavailable), so that no request hangs.
    /// `migrate` has no limit. `remove_owned`, `clear` and `sweep` may take this long for each 500
    /// sessions.
    ///
    /// From a millisecond to 24 days. A value outside this range becomes the nearest limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = patience(timeout);
        self
    }

    /// The most connections that [`connect`](Self::connect) opens for reading: 4 by default. Each has
    /// its own thread.
    pub fn readers(mut self, max: u32) -> Self {
        self.readers = max;
        self
    }

    /// Opens a file by a URL such as `sqlite:sessions.db` or `sqlite:///var/lib/app/sessions.db`,
    /// and creates it if it is missing. Only the account that runs the program may read the new file.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for an invalid name, URL or path, and for a database in
    /// memory, because each connection would open a database of its own.
    /// [`Unavailable`](StoreErrorKind::Unavailable) when another process keeps the file locked for
    /// longer than the [`timeout`](Self::timeout).
    pub async fn connect(self, url: &str) -> Result<Sqlite> {
        let options = self.options(url)?;
        create_private(options.get_filename()).map_err(|error| {
            refused("SQLite's file cannot be created; check its path and the rights of its folder")
                .with_source(error)
        })?;
        let pool = SqlitePoolOptions::new()
            .max_connections(self.readers)
            .acquire_timeout(self.timeout)
            .test_before_acquire(false);
        let (deadline, mut backoff) = (Instant::now() + self.timeout, Backoff::new());
        // SQLite does not wait for the lock when two processes switch to WAL mode at the same time.
        let pool = loop {
            let opened = pool.clone().connect_with(options.clone()).await;
            match opened.map_err(store_error::<sqlx::Sqlite>) {
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    backoff.wait().await;
                }
                opened => break opened?,
            }
        };
        self.build(pool)
    }

    fn options(&self, url: &str) -> Result<SqliteConnectOptions> {
        if url.contains(":memory:") || url.contains("mode=memory") {
            return Err(refused(
                "the SQLite store needs a file, not a database in memory; use a file or the memory store",
            ));
        }
        let options = SqliteConnectOptions::from_str(url).map_err(|error| {
            refused("the URL of the SQLite store is invalid; write sqlite:path/to/sessions.db")
                .with_source(error)
        })?;
        Ok(options.busy_timeout(self.timeout).journal_mode(SqliteJournalMode::Wal).synchronous(
            if self.full_sync { SqliteSynchronous::Full } else { SqliteSynchronous::Normal },
        ))
    }

    /// Reads through a pool that you have, and writes through one more connection with the pool's
    /// options. Switch the WAL mode on in these options: without it, reads wait for writes. The database
    /// must be a file. With an `acquire_timeout` of `Duration::MAX` every read is
    /// [`Refused`](StoreErrorKind::Refused), because the driver would panic; a day is enough.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for an invalid table name.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self, pool: SqlitePool) -> Result<Sqlite> {
        let name = |suffix| quoted(&format!("{}{suffix}", self.table), QUOTES);
        let (table, indexes) = (name("")?, [&*name("_expires_at")?, &*name("_owner")?]);
        let options = SqliteConnectOptions::clone(&pool.connect_options());
        Ok(Sqlite {
            writer: Writer::start(options, writes::WriteStatements::new(&table, indexes)),
            readers: Client::new(pool, self.timeout),
            sql: Arc::new(ReadStatements::new(&table)),
            listeners: Arc::default(),
        })
    }
}

/// Creates the file if it is missing. SQLite itself would let everybody read it, within the `umask`.
/// The files that SQLite puts beside it later get the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn refused(what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, what)
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions;

    use super::*;

    async fn pragma(builder: SqliteBuilder, pragma: &'static str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/sessions.db", folder.path().display());
        let options = builder.options(&url).unwrap().create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::query_scalar(pragma).fetch_one(&mut connection).await.unwrap()
    }

    #[tokio::test]
    async fn full_sync_makes_each_commit_wait_for_the_disk() {
        let level = "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous";
        assert_eq!(pragma(Sqlite::builder(), level).await, "1");
        assert_eq!(pragma(Sqlite::builder().full_sync(true), level).await, "2");
    }

    #[tokio::test]
    async fn wal_mode_is_on_so_reads_do_not_wait_for_writes() {
        let mode = "SELECT journal_mode FROM pragma_journal_mode";
        assert_eq!(pragma(Sqlite::builder(), mode).await, "wal");
    }
}
