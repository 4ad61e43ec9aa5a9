//! [`MySql`]: sessions in MySQL or MariaDB.

mod administration;
mod builder;
mod operations;
mod owners;
mod replace;
mod statements;

use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlDatabaseError, MySqlPool};

use self::statements::Statements;
use super::sql::{Client, Server, Verdict};
use super::{Result, StoreErrorKind};
use crate::event::Listeners;

pub use self::builder::MySqlBuilder;

/// Keeps sessions in a table of MySQL 8.0 or MariaDB 10.6, or later, over [`sqlx`].
///
/// It uses nothing that MySQL 8.0 lacks. The tests run on MariaDB 10.11 in CI, and on MySQL 9.7 by
/// `cargo xtask test --newest`.
///
/// ```no_run
/// use token_session::TokenSession;
/// use token_session::store::MySql;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MySql::connect("mysql://app:password@db.example/shop").await?;
/// store.migrate().await?;
/// let sessions = TokenSession::<String>::builder().store(store).build();
/// # Ok(()) }
/// ```
///
/// A service that has a pool already passes it to [`new`](Self::new) or [`MySqlBuilder::build`].
///
/// # What does an operation cost?
/// MySQL cannot return what an `UPDATE` or a `DELETE` changed. So some operations read the record first,
/// and write only if it has not changed since. No transaction is open in between.
///
/// | call | round trips |
/// |---|---|
/// | load | 1 |
/// | load that writes: a touch is due, or it confirms a handover | 2 |
/// | replace, remove | 1 |
/// | replace, remove: nothing was done, and the second one asks why | 2 |
/// | replace with a new [proof](super::NewProof), remove that hands the record out | 2 |
/// | the same: nothing was done | 1 |
/// | insert, `alive`, `owned`, `scan`, `count` | 1 |
/// | `remove_owned`, `clear` | 2 for each 1,000 sessions, 1 when there are none, and 1 more after the first 1,000 |
/// | insert with an [`OwnerLimit`](super::OwnerLimit) | 5; 6 when sessions are evicted; 7 when 1,000 are |
/// | insert: an expired row has the key | 2 more |
/// | `sweep` | 4 for each 1,000 rows |
/// | an operation whose record another one changed in between | as many again |
///
/// A load that confirms a handover and is due for a touch writes both at once. A load or a list without
/// the data does not read that column. A replace without a new proof leaves
/// [`Written::times`](super::Written::times) out: an `UPDATE` returns one number, and that is the version.
///
/// Statements are prepared once on each connection. On a pool of your own, set
/// [`test_before_acquire(false)`], or the pool adds a round trip to each operation. The pool always adds
/// one when a connection is returned to it; no caller waits for that.
///
/// # What happens when a client hangs up?
/// A task of the runtime finishes a statement that was sent, and returns its connection to the pool. It
/// also finishes a connection that is being made, and rolls an open transaction back. A call that still
/// waits for a connection ends at once. Each such task holds one of the pool's connections, and the
/// call's [timeout](MySqlBuilder::timeout) bounds it.
///
/// # What happens after a failover?
/// A pooled connection may lead to a server that has become read-only. The server refuses the first
/// write, and nothing is written. The store closes that connection and runs the write again on another
/// one, until a new connection is refused too. Then the call fails as
/// [`Unavailable`](StoreErrorKind::Unavailable), and clients keep their tokens. The first call after a
/// server accepts writes again succeeds.
///
/// **A load that writes nothing reads from such a server.** It sees the sessions as that server has
/// them: a session that has ended since may still be live there, and one that began since is missing.
/// The same holds for the read that comes before a replace with a new proof, and before a remove that
/// hands the record out. All writes go to a server that accepts them, and only to a record that has not
/// changed since the read. To rule out stale reads, keep the old primary from answering (fencing). MySQL
/// does not refuse writes of an account with `SUPER` or `CONNECTION_ADMIN` unless `super_read_only` is
/// set: give the service an account without these.
///
/// A connection that has lost its prepared statements, as behind a proxy that resets connections, is
/// replaced in the same way, and the caller sees no error. A statement that a shutdown or a `KILL` cut
/// off may have taken effect, so it is not repeated: the call fails as `Unavailable`.
///
/// # What must a pool of your own have?
/// [`connect`](Self::connect) sets the variables that the statements rely on. A pool of your own has to
/// set them in its `after_connect`, unless these are the server's defaults:
///
/// ```sql
/// SET SESSION autocommit = 1, completion_type = 0, sql_safe_updates = 0, sql_big_selects = 1,
///     sql_select_limit = 18446744073709551615,
///     sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'
/// ```
///
/// **With `autocommit = 0` or `completion_type = 1`, writes are answered and never committed.** The
/// connection's character set must be `utf8mb4`, as `sqlx` sets it. The time zone and the isolation
/// level do not matter. Set `innodb_lock_wait_timeout` as well, so that the server stops waiting too.
/// An `acquire_timeout` of `Duration::MAX` is [`Refused`](StoreErrorKind::Refused) by every call, as the
/// driver panics with it; a day is enough.
///
/// # What holds when operations race?
/// Each operation takes effect in one statement, or in a transaction that sets its own isolation level;
/// the server's default level does not matter. A statement that loses a deadlock runs again, up to 20
/// times within the [timeout](MySqlBuilder::timeout).
///
/// `remove_owned`, `clear` and `sweep` remove 1,000 rows in one statement and lock no other rows. An owner
/// who has most of the sessions delays nobody else. An insert with an owner's limit reads as many of the owner's
/// sessions as the limit, and evicts up to 1,000.
///
/// # Which clock?
/// The server's, in milliseconds, read at the beginning of each statement.
///
/// # What survives a crash?
/// Every write that was answered, with `innodb_flush_log_at_trx_commit = 1`, the default (and
/// `sync_binlog = 1` if a replica may take over). With another value the last second may be lost, and a
/// logout within it would be undone.
///
/// # Who removes expired rows?
/// [`sweep`](super::Listing::sweep), which the manager calls in the background. Any number of servers may
/// sweep at once: each skips the rows that another one has locked (`SKIP LOCKED`).
///
/// # Which rights does it need?
/// `migrate` needs `CREATE`. Everything else needs these rights and no others:
///
/// ```sql
/// GRANT SELECT, INSERT, UPDATE, DELETE ON shop.token_sessions TO app;
/// GRANT SELECT, INSERT, UPDATE ON shop.token_sessions_locks TO app;
/// ```
///
/// If you run your own migrations, the tables are plain SQL in `migrations/mysql/` of this crate's source.
///
/// # Does it log in to MySQL 8?
/// Over TLS (feature `sql-rustls-ring` or `sql-rustls-aws-lc-rs`) or a Unix socket, yes. Over a plain
/// TCP connection the default `caching_sha2_password` needs RSA, which is left out for its known
/// timing weakness (RUSTSEC-2023-0071); a service that wants it enables `sqlx/mysql-rsa`.
///
/// [`test_before_acquire(false)`]: sqlx::pool::PoolOptions::test_before_acquire
#[derive(Clone, Debug)]
pub struct MySql {
    client: Client<sqlx::MySql>,
    sql: Arc<Statements>,
    listeners: Arc<Listeners>,
}

impl MySql {
    /// Settings other than the defaults.
    pub fn builder() -> MySqlBuilder {
        MySqlBuilder::default()
    }

    /// Keeps sessions in the table `token_sessions`, over an existing pool.
    pub fn new(pool: MySqlPool) -> Self {
        Self::builder().build(pool).unwrap_or_else(|_| unreachable!("the default name is a name"))
    }

    /// Opens a pool for a URL, with the default settings; see [`MySqlBuilder::connect`].
    ///
    /// # Errors
    /// As [`MySqlBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Creates the tables if they do not exist. Any number of servers may do so at once. If the tables
    /// exist, it takes one round trip and no right to create.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) when the account may not create tables, or there is no
    /// such database.
    pub async fn migrate(&self) -> Result<()> {
        self.create_tables().await
    }
}

impl Server for sqlx::MySql {
    const TITLE: &'static str = "MySQL";

    /// By the numbers of <https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html>
    /// and <https://mariadb.com/kb/en/mariadb-error-code-reference/>.
    fn verdict(error: &dyn DatabaseError) -> Verdict {
        let number =
            error.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number);
        let (kind, what) = match number {
            // A deadlock, a row that changed after MariaDB's snapshot of it, and a commit that lost to
            // another member of the replication group.
            1213 | 1020 | 3101 => return Verdict::Again,
            // --read-only and --super-read-only, transaction_read_only, a table, a whole server or
            // MySQL's schema that is read-only.
            1036 | 1290 | 1792 | 1836 | 3989 => {
                return Verdict::useless_before(
                    StoreErrorKind::Unavailable,
                    "accepts no writes here: it is a replica, or read-only; retry after the failover, \
                     or connect to the primary",
                );
            }
            // The connection has lost a prepared statement that the driver knows, or one has to be prepared
            // again.
            1243 | 1615 => {
                return Verdict::useless_before(
                    StoreErrorKind::Refused,
                    "loses prepared statements even on a new connection; a proxy in between has to keep \
                     those of each connection",
                );
            }
            // A node that is not in its cluster, a server in offline mode, and a connection that was
            // idle for too long.
            1047 | 3032 | 4031 => {
                return Verdict::useless_before(StoreErrorKind::Unavailable, NOT_RUNNING);
            }
            // Shutdown, lost connections.
            1053 | 1077..=1079 | 1152 | 1158..=1161 | 1184 | 1927 | 3169 => {
                return Verdict::useless(StoreErrorKind::Unavailable, NOT_RUNNING);
            }
            // A node of a cluster may have committed it, or none.
            1180 => (StoreErrorKind::Unavailable, "failed to commit; see its log, and try later"),
            1205 => (
                StoreErrorKind::Unavailable,
                "gave up waiting for another transaction's lock; try later",
            ),
            1317 | 1969 | 3024 => (
                StoreErrorKind::Unavailable,
                "ended the statement, which ran too long or was cancelled; try later",
            ),
            1040 | 1203 | 1226 => (
                StoreErrorKind::Unavailable,
                "has too many connections; make the pool smaller, or raise max_connections",
            ),
            1461 => (
                StoreErrorKind::Unavailable,
                "has too many prepared statements; raise max_prepared_stmt_count",
            ),
            1129 => (
                StoreErrorKind::Unavailable,
                "blocks this host after too many broken connections; run FLUSH HOSTS on it",
            ),
            1021 | 1037 | 1038 | 1041 | 1114 | 1030 => {
                (StoreErrorKind::Full, "is out of disk or memory; make room on its host")
            }
            1665 => (
                StoreErrorKind::Refused,
                "cannot log the transaction; set binlog_format to ROW or MIXED",
            ),
            1046 | 1049 | 1146 => (
                StoreErrorKind::Refused,
                "has no such table or database; run migrate(), or the SQL files that come with it",
            ),
            1142 | 1143 | 1227 => (
                StoreErrorKind::Refused,
                "denies permission; grant the account SELECT, INSERT, UPDATE and DELETE on the \
                 table and on its _locks table (migrate() needs CREATE)",
            ),
            1044 | 1045 | 1698 | 1251 => (
                StoreErrorKind::Refused,
                "refuses to let this account log in; check the URL's user, password and database",
            ),
            1153 | 1301 => (
                StoreErrorKind::Refused,
                "does not accept data of this size; raise max_allowed_packet",
            ),
            1034 | 1035 | 1194 | 1195 => {
                (StoreErrorKind::Corrupt, "reports damaged data; see its log")
            }
            _ => (
                StoreErrorKind::Refused,
                "refuses the statement; check that migrate() made the table",
            ),
        };
        Verdict::Kind(kind, what)
    }
}

const NOT_RUNNING: &str = "is not running, or has closed the connection; try later";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_returns_what_it_changed_because_mysql_cannot() {
        let statements = format!("{:?}", Statements::new("sessions", "locks")).to_uppercase();
        assert!(statements.contains("DELETE FROM SESSIONS"), "{statements}");
        assert!(!statements.contains("RETURNING"), "{statements}");
    }
}
