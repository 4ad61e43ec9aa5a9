//! [`Sqlite`]: sessions in a file.

mod builder;
mod operations;
mod writer;
mod writes;

use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqlitePool;

use self::operations::Statements;
use self::writer::Writer;
use super::sql::{Client, Server, Verdict};
use super::{Result, StoreErrorKind};
use crate::event::Listeners;

pub use self::builder::SqliteBuilder;

/// Keeps sessions in a file, over SQLite within the process: sessions that outlive a restart, with
/// no server to run.
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
/// No round trip: SQLite runs in this process. A read takes one of a few connections of its own, and
/// waits for no writer (WAL mode). Writes go through one writer, which takes all that came in during
/// the last commit and commits it at once, so that a thousand logins cost far fewer than a thousand
/// commits.
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
/// The key and the proofs in binary, times and timeouts in milliseconds, the owner as text, and the
/// details and the data as they come. The data is the last column, so a load or a
/// list that does not ask for it reads none of it, however large it is. `migrations/sqlite/` in this
/// crate's source explains each column.
///
/// # What happens when a client hangs up?
/// A read is finished in a task of the runtime, on one of the few connections for reading, and that is
/// used again. A write that the writer has begun is finished; one that still waits is left out.
///
/// # What survives a crash?
/// | | the process is killed | the power fails |
/// |---|---|---|
/// | as it is | all that was answered | the file stays sound; the last commits may be lost, a logout among them |
/// | [`full_sync`](SqliteBuilder::full_sync) | all that was answered | all that was answered, if the disk keeps its word |
///
/// `remove_owned` and `clear` work in transactions of 500 rows, between which other writes have their
/// turn. An insert with an owner's limit reads as many of the owner's sessions as the limit, and
/// evicts up to 1,000.
///
/// # Which clock?
/// This machine's, in milliseconds.
///
/// # May several processes use the file?
/// Yes, on one machine and a local disk. Each waits for the others' commits, up to the
/// [timeout](SqliteBuilder::timeout). SQLite's locks do not work on network file systems.
///
/// # Who can read the file?
/// The account that made it: [`connect`](Self::connect) creates it with mode 0600, and SQLite gives
/// the files beside it (`-wal`, `-shm`) the same.
///
/// # Who removes expired rows?
/// [`sweep`](super::Listing::sweep), which the manager calls in the background, in transactions of 500
/// rows, between which other writes have their turn. The file does not shrink: the room is used
/// again.
#[derive(Clone, Debug)]
pub struct Sqlite {
    readers: Client<sqlx::Sqlite>,
    writer: Writer,
    sql: Arc<Statements>,
    listeners: Arc<Listeners>,
}

impl Sqlite {
    /// Settings other than the defaults.
    pub fn builder() -> SqliteBuilder {
        SqliteBuilder::default()
    }

    /// Keeps sessions in the table `token_sessions` of a file whose pool is there already; see
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

    /// Creates the table and its indexes, where they are not there yet.
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
        // The low byte is the primary code, the rest says more of it.
        let (kind, what) = match code & 0xff {
            5 | 6 => {
                (StoreErrorKind::Unavailable, "finds the file locked by another process; try later")
            }
            7 | 9 | 10 => (
                StoreErrorKind::Unavailable,
                "could not read or write the file; see the host's log",
            ),
            13 => (
                StoreErrorKind::Full,
                "finds the disk full, or the file as large as it may be; make room",
            ),
            11 | 26 => (
                StoreErrorKind::Corrupt,
                "finds the file damaged, or no database; restore it from a backup",
            ),
            3 | 8 | 14 | 23 => (
                StoreErrorKind::Refused,
                "may not open or write the file; see its path and rights, and those of its folder",
            ),
            1 if error.message().starts_with("no such table") => (
                StoreErrorKind::Refused,
                "has no such table; run migrate(), or the SQL files that come with it",
            ),
            _ => (
                StoreErrorKind::Refused,
                "does not take the statement; is the table the one that migrate() made?",
            ),
        };
        Verdict::Kind(kind, what)
    }
}
