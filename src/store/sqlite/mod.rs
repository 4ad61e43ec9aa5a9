//! [`Sqlite`]: sessions in a file.

mod builder;
mod operations;
mod statement;
mod writer;
mod writes;

use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqlitePool;

use self::operations::ReadStatements;
use self::writer::Writer;
use super::sql::{Client, Server, Verdict};
use super::{Result, StoreErrorKind};
use crate::event::Listeners;

pub use self::builder::SqliteBuilder;

/// Keeps sessions in an SQLite file. They survive a restart, and there is no server to run.
///
/// ```
/// use token_session::store::{Load, NewRecord, Sqlite, Store};
/// use token_session::{Key, Lifetime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("sqlite-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let url = format!("sqlite:{}/sessions.db", directory.display());
/// let store = Sqlite::connect(&url).await?; // such as "sqlite:sessions.db"
/// store.migrate().await?;
/// let key = Key::from_bytes([7; 16]);
/// store.insert(&key, &NewRecord::new("data", Lifetime::idle_secs(60)?)).await?;
/// assert!(store.load(&key, &Load::new()).await?.live().is_some());
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(()) }
/// ```
///
/// # What does an operation cost?
/// No round trip: SQLite runs in this process. Reads have a few connections of their own and never wait
/// for the writer (WAL mode). All writes go through one writer. It commits the writes that arrive
/// during a commit together, so a thousand logins cost far fewer than a thousand commits.
///
/// | operation | reads | writes |
/// |---|---|---|
/// | load | 1 | 0 |
/// | load with a due touch, the first use of a new secret after a handover, or both | 1 | 1 |
/// | insert, replace, remove | 0 | 1 |
/// | the same, where nothing is written or removed | 0 | 1, which then reads the reason |
/// | insert with an owner's limit | 0 | 1, which first reads the owner's sessions |
/// | alive, for any number of keys | 1 | 0 |
/// | list, count | 1 for each page | 0 |
/// | remove_owned, clear, sweep | 0 | 1 for each 500 sessions |
///
/// # What is in a row?
/// The key and the proofs are binary, times and timeouts are milliseconds, the owner is text, and the
/// details and the data are bytes. The data is the last column, so a load or a
/// list that does not ask for it reads none of it, however large it is. `migrations/sqlite/` in this
/// crate's source explains each column.
///
/// # What happens when a client hangs up?
/// A task of the runtime finishes a read, and its connection is used again. The writer finishes a write
/// that it has begun, and drops one that still waits.
///
/// # What survives a crash?
/// | | the process is killed | the power fails |
/// |---|---|---|
/// | default | all that was answered | the file stays intact; the last commits may be lost, including logouts |
/// | [`full_sync`](SqliteBuilder::full_sync) | all that was answered | all that was answered, if the disk writes what it confirms |
///
/// `remove_owned` and `clear` work in transactions of 500 rows. Other writes run between them. An insert with an owner's limit reads as many of the owner's sessions as the limit, and
/// evicts up to 1,000.
///
/// # Which clock?
/// This machine's, in milliseconds.
///
/// # May several processes use the file?
/// Yes, on one machine with a local disk. Each waits for the others' commits, up to the
/// [timeout](SqliteBuilder::timeout). SQLite's locks do not work on network file systems.
///
/// # Who can read the file?
/// The account that created it: [`connect`](Self::connect) creates it with mode 0600, and SQLite gives
/// the files beside it (`-wal`, `-shm`) the same.
///
/// # Who removes expired rows?
/// [`sweep`](super::Listing::sweep), which the manager calls in the background, in transactions of 500
/// rows. Other writes run between them. The file does not shrink; SQLite uses the space again.
#[derive(Clone, Debug)]
pub struct Sqlite {
    readers: Client<sqlx::Sqlite>,
    writer: Writer,
    sql: Arc<ReadStatements>,
    listeners: Arc<Listeners>,
}

impl Sqlite {
    /// Settings other than the defaults.
    pub fn builder() -> SqliteBuilder {
        SqliteBuilder::default()
    }

    /// Keeps sessions in the table `token_sessions` of a file that you have a pool for; see
    /// [`SqliteBuilder::build`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(pool: SqlitePool) -> Self {
        Self::builder().build(pool).unwrap_or_else(|_| unreachable!("the default name is a name"))
    }

    /// Opens a file by a URL such as `sqlite:sessions.db`, with the default settings; see
    /// [`SqliteBuilder::connect`].
    ///
    /// # Errors
    /// As [`SqliteBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Creates the table and its indexes if they are missing.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) when the file may not be written,
    /// [`Unavailable`](StoreErrorKind::Unavailable) when another process keeps it locked.
    pub async fn migrate(&self) -> Result<()> {
        self.create_table().await
    }
}

impl Server for sqlx::Sqlite {
    const TITLE: &'static str = "SQLite";

    /// By the codes of <https://www.sqlite.org/rescode.html>.
    fn verdict(error: &dyn DatabaseError) -> Verdict {
        let code: u32 = error.code().and_then(|code| code.parse().ok()).unwrap_or_default();
        // The low byte is the primary code. The rest refines it.
        let (kind, what) = match code & 0xff {
            5 | 6 => (
                StoreErrorKind::Unavailable,
                "found the file locked by another process; try again later",
            ),
            7 | 9 | 10 => (
                StoreErrorKind::Unavailable,
                "could not read or write the file; check the host's log",
            ),
            13 => (
                StoreErrorKind::Full,
                "found the disk full, or the file at its size limit; free space",
            ),
            11 | 26 => (
                StoreErrorKind::Corrupt,
                "found that the file is damaged or not a database; restore it from a backup",
            ),
            3 | 8 | 14 | 23 => (
                StoreErrorKind::Refused,
                "may not open or write the file; check the path and rights of the file and its folder",
            ),
            1 if error.message().starts_with("no such table") => (
                StoreErrorKind::Refused,
                "has no such table; run migrate(), or the SQL files that come with it",
            ),
            _ => (
                StoreErrorKind::Refused,
                "refused the statement; check that migrate() made the table",
            ),
        };
        Verdict::Kind(kind, what)
    }
}
