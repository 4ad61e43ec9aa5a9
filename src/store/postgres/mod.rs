//! [`Postgres`]: sessions in PostgreSQL.

mod administration;
mod builder;
mod changes;
mod load;
mod migration;
mod operations;
mod owners;
mod replace;
pub(super) mod statement;

use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgPool, PgSeverity};

use self::changes::WatchStatements;
use self::migration::Schema;
use self::operations::Statements;
use super::sql::{Client, Server, Verdict};
use super::{Result, StoreErrorKind};
use crate::event::Listeners;

pub use self::builder::PostgresBuilder;

/// Keeps sessions in a table of PostgreSQL 12 or later, over [`sqlx`].
///
/// ```no_run
/// use token_session::TokenSession;
/// use token_session::store::Postgres;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Postgres::connect("postgres://app@db.example/shop").await?;
/// store.migrate().await?;
/// let sessions = TokenSession::<String>::builder().store(store).build();
/// # Ok(()) }
/// ```
///
/// To use a pool that your service has, call [`new`](Self::new) or [`PostgresBuilder::build`].
///
/// # What does an operation cost?
/// One round trip, of one statement that commits by itself, prepared once on each connection. These
/// calls take more:
///
/// | call | round trips |
/// |---|---|
/// | insert with an [`OwnerLimit`](super::OwnerLimit) | 3: begin and lock the owner, insert, commit |
/// | load with [`Touch::No`](super::Touch::No), at the first use of a new secret | 2: the look, the confirmation |
/// | `remove_owned`, `clear`, `sweep` | 1 for each 1,000 sessions |
/// | any other | 1 |
/// | one whose record another operation changed first | 1 more for each time |
///
/// A load with a touch writes only what is due, the touch or the confirmation of a new secret, in the
/// statement that reads. Where nothing is due it writes nothing: no row, no log, no transaction id. One
/// with [`Touch::No`](super::Touch::No) is a plain `SELECT`, and runs on a read-only standby server too,
/// except for a confirmation.
///
/// The statements compare the claim, so a record that the claim does not know is not sent.
///
/// On a pool of your own, set [`test_before_acquire(false)`], or the pool adds a round trip to each
/// operation. It always adds one afterwards, when a connection goes back; no caller waits for that.
///
/// # What happens when a client hangs up?
/// A task of the runtime finishes a statement that was sent, and its connection goes back to the pool. A
/// connection that is being opened is finished too. An open transaction is rolled back. A call that still
/// waits for a connection ends at once. Each such task holds one of the pool's connections, and the call's
/// [timeout](PostgresBuilder::timeout) limits it.
///
/// # What happens after a failover?
/// A pooled connection may lead to a server that has become read-only. The server refuses the first write,
/// and nothing is written. The store closes that connection and runs the write again on another one, until
/// a new connection is refused too. Then the call fails as
/// [`Unavailable`](StoreErrorKind::Unavailable), and clients keep their tokens. The first call after the
/// server accepts writes again succeeds.
///
/// **A load with [`Touch::No`](super::Touch::No) reads from such a server.** A session that has ended since
/// the failover may still be live there. All other operations go to a server that writes. To rule out
/// stale reads, keep the old primary from answering (fencing).
///
/// The store also replaces a connection whose prepared statements are gone (`DEALLOCATE ALL`, a pooler) or
/// out of date (a migration); the caller sees no error. A statement that a shutdown cuts off may have taken
/// place, so it is not repeated: the call fails as `Unavailable`.
///
/// # What must a pool of your own have?
/// No special settings: the statements do not depend on the connection's time zone, date style or isolation
/// level. Set `statement_timeout` and `idle_in_transaction_session_timeout` as [`connect`](Self::connect)
/// does, so the server gives up too. With an `acquire_timeout` of `Duration::MAX` the driver would panic,
/// so every call is [`Refused`](StoreErrorKind::Refused) then; a day is enough.
///
/// # What holds when operations race?
/// Each statement is atomic at any isolation level. One that had to wait for another transaction checks
/// its condition again on the newest row. If the default level is `REPEATABLE READ` or `SERIALIZABLE`, the
/// server refuses some statements that raced. The store runs those, and the losers of deadlocks, again up
/// to 20 times within the [timeout](PostgresBuilder::timeout).
///
/// `remove_owned` and `clear` remove 1,000 rows in one statement. An insert with an owner's limit reads as
/// many of the owner's sessions as the limit allows, and evicts up to 1,000.
///
/// # Which clock?
/// The server's, read within the statement, in milliseconds.
///
/// # What survives a crash?
/// Everything that was answered, with the server's defaults, `fsync` and `synchronous_commit` on. With
/// `synchronous_commit = off` the last few hundred milliseconds may be lost, which would undo a logout
/// among them. [`unlogged`](PostgresBuilder::unlogged) trades even more for cheaper writes.
///
/// # Who removes expired rows?
/// [`sweep`](super::Listing::sweep), which the manager calls in the background. Any number of servers
/// may sweep at once: each skips the rows that another one has locked (`SKIP LOCKED`).
///
/// # Which rights does it need?
/// `migrate` needs `CREATE` on the schema. All other calls need only this:
///
/// ```sql
/// GRANT USAGE ON SCHEMA auth TO app;
/// GRANT SELECT, INSERT, UPDATE, DELETE ON auth.token_sessions TO app;
/// ```
///
/// With [`tell_changes`](PostgresBuilder::tell_changes), `migrate` also needs to own the table. Listening
/// and notifying need no right. If you run your own migrations, take the SQL files in
/// `migrations/postgres/` of this crate's source.
///
/// # Does it work behind PgBouncer?
/// In session mode, yes. In transaction mode, yes, with
/// [`prepared_statements(false)`](PostgresBuilder::prepared_statements), or `connect` with a URL that ends
/// in `?statement-cache-capacity=0`. In statement mode, no: an insert with a limit needs a transaction and
/// is refused. The tests run all modes; docs/stores.md says what each costs.
///
/// [`test_before_acquire(false)`]: sqlx::pool::PoolOptions::test_before_acquire
#[derive(Clone, Debug)]
pub struct Postgres {
    client: Client<sqlx::Postgres>,
    sql: Arc<Statements>,
    schema: Arc<Schema>,
    watching: Arc<WatchStatements>,
    listeners: Arc<Listeners>,
}

impl Postgres {
    /// Settings other than the defaults.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// Keeps sessions in the table `token_sessions`, over an existing pool.
    pub fn new(pool: PgPool) -> Self {
        Self::builder().build(pool).unwrap_or_else(|_| unreachable!("the default name is a name"))
    }

    /// Opens a pool for a URL, with the default settings; see [`PostgresBuilder::connect`].
    ///
    /// # Errors
    /// As [`PostgresBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Creates what is missing of the table, its indexes and, with
    /// [`tell_changes`](PostgresBuilder::tell_changes), its triggers. Any number of servers may do so at
    /// once.
    ///
    /// It looks first. If nothing is missing, it takes one round trip, no lock, and no right to create.
    /// Otherwise it has no time limit, and building an index on a large table blocks writes meanwhile. If
    /// another transaction has the table locked, it waits a tenth of a second at a time, so no other
    /// statement queues behind it for longer, and gives up after the store's
    /// [timeout](PostgresBuilder::timeout).
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) when the role may not create tables in the schema, or
    /// there is no such schema. [`Unavailable`](StoreErrorKind::Unavailable) when another transaction
    /// keeps the table locked.
    pub async fn migrate(&self) -> Result<()> {
        self.create_what_is_missing().await
    }
}

/// The verdict where a connection does not have the statements that were prepared on it.
const STATEMENTS: Verdict = Verdict::useless_before(
    StoreErrorKind::Unavailable,
    "lacks statements that were prepared on this connection, or has others in their place, as behind a \
     pooler in transaction mode; see PostgresBuilder::prepared_statements",
);

/// Whether the connection stays usable after the error.
fn is_of_a_statement(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| error.severity() == PgSeverity::Error)
}

impl Server for sqlx::Postgres {
    const TITLE: &'static str = "PostgreSQL";

    /// By the codes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn verdict(error: &dyn DatabaseError) -> Verdict {
        let code = error.code().unwrap_or_default();
        let (kind, what) = match (&code[..code.len().min(2)], &*code) {
            // Serialization failure, deadlock.
            (_, "40001" | "40P01") => return Verdict::Again,
            // A read-only server refuses the statement, and so does one that is starting.
            (_, "25006") => {
                return Verdict::useless_before(
                    StoreErrorKind::Unavailable,
                    "does not write here: it is a standby, or read-only; retry after the failover, \
                     or connect to the primary",
                );
            }
            (_, "57P03") => {
                return Verdict::useless_before(StoreErrorKind::Unavailable, NOT_RUNNING);
            }
            // The connection was ended while it was idle, or in a transaction, which is rolled back.
            (_, "57P05" | "25P03") => {
                return Verdict::useless_before(StoreErrorKind::Unavailable, NOT_RUNNING);
            }
            // A statement that is missing, exists already, takes other values, or found that it is not
            // the one that was called.
            (_, "26000" | "42P05" | "22P03" | "22021" | statement::FOREIGN) => return STATEMENTS,
            // Another number of values. A pooler that closes the connection uses the same code.
            (_, "08P01") if is_of_a_statement(error) => return STATEMENTS,
            // "Cached plan must not change result type", after a migration.
            (_, "0A000") => {
                return Verdict::useless_before(StoreErrorKind::Refused, REFUSED);
            }
            // Connection trouble, an operator's intervention, and XX000, which is an error without
            // a code of its own: poolers use it when they lose their server.
            ("08", _) | (_, "25P04" | "57P01" | "57P02" | "57P04" | "XX000") => {
                return Verdict::useless(StoreErrorKind::Unavailable, NOT_RUNNING);
            }
            (_, "57014" | "55P03") => (
                StoreErrorKind::Unavailable,
                "ended the statement, which ran too long or was cancelled; try later",
            ),
            (_, "53300") => (
                StoreErrorKind::Unavailable,
                "has too many connections; make the pool smaller, or raise max_connections",
            ),
            (_, "53100" | "53200") => {
                (StoreErrorKind::Full, "is out of disk or memory; make room on its host")
            }
            (_, "42P01" | "3F000") => (
                StoreErrorKind::Refused,
                "has no such table or schema; run migrate(), or the SQL files that come with it",
            ),
            (_, "42501") => (
                StoreErrorKind::Refused,
                "denies permission; grant the role USAGE on the schema, and SELECT, INSERT, UPDATE \
                 and DELETE on the table (migrate() needs CREATE on the schema)",
            ),
            ("28" | "3D", _) => (
                StoreErrorKind::Refused,
                "does not let this role in; see the URL's user, password and database",
            ),
            // Other resources, trouble outside of the database.
            ("53" | "57" | "58", _) => (StoreErrorKind::Unavailable, NOT_RUNNING),
            ("XX", _) => (StoreErrorKind::Corrupt, "reports damaged data; see its log"),
            _ => (StoreErrorKind::Refused, REFUSED),
        };
        Verdict::Kind(kind, what)
    }
}

const NOT_RUNNING: &str = "is not running, or has closed the connection; try later";

const REFUSED: &str = "refuses the statement; is the table the one that migrate() created?";
