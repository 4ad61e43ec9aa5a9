//! [`PostgresBuilder`]: the settings of the store, and how it comes by its pool.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, raw_sql};

use super::Postgres;
use super::changes::Changes;
use super::operations::Statements;
use crate::store::sql::{Client, Quotes, UNTESTED, fill, quoted, store_error};
use crate::store::{Result, StoreError, StoreErrorKind};

/// An identifier of PostgreSQL has 63 bytes, and the longest name that is made of the table's adds
/// `_expires_at`. The server would cut a longer one off in silence.
const QUOTES: Quotes = Quotes { mark: '"', longest: 63 - "_expires_at".len() };

/// Settings of a [`Postgres`] store.
///
/// ```no_run
/// use std::time::Duration;
/// use token_session::store::Postgres;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Postgres::builder()
///     .schema("auth")
///     .table("sessions")
///     .timeout(Duration::from_secs(2))
///     .connect("postgres://app@db.example/shop")
///     .await?;
/// store.migrate().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PostgresBuilder {
    schema: Option<String>,
    table: String,
    unlogged: bool,
    tell_changes: bool,
    timeout: Duration,
    max_connections: u32,
}

impl Default for PostgresBuilder {
    fn default() -> Self {
        Self {
            schema: None,
            table: "token_sessions".to_owned(),
            unlogged: false,
            tell_changes: false,
            timeout: Duration::from_secs(5),
            max_connections: 10,
        }
    }
}

impl PostgresBuilder {
    /// The table: `token_sessions` by default. Any characters, at most 52 bytes. The names of its
    /// indexes begin with it.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// The schema of the table; by default the first one of the connection's `search_path`.
    /// [`Postgres::migrate`] does not create it.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// Whether [`Postgres::migrate`] makes the table unlogged: no by default.
    ///
    /// An unlogged table is not written to the write-ahead log. Writes cost less, and **all sessions
    /// are lost when the server crashes** (not when it is shut down in order); standby servers and
    /// backups by log shipping do not have them.
    pub fn unlogged(mut self, unlogged: bool) -> Self {
        self.unlogged = unlogged;
        self
    }

    /// Whether [`Postgres::migrate`] makes the table tell what was changed, to a
    /// [`Cached`](crate::store::Cached) store that [watches](crate::store::Watch) it: no by default.
    ///
    /// Each write and removal then ends with a `NOTIFY`. Transactions that notify commit one after
    /// the other on the whole server, which bounds their number; touches do not notify. The
    /// connection that listens goes to the server itself, or through PgBouncer in session mode.
    pub fn tell_changes(mut self, tell: bool) -> Self {
        self.tell_changes = tell;
        self
    }

    /// How long an operation may take, the wait for a free connection included: 5 seconds by
    /// default. Past that it fails as [`Unavailable`](StoreErrorKind::Unavailable), so that no
    /// request hangs. [`connect`](Self::connect) tells the server too, as `statement_timeout` and
    /// `idle_in_transaction_session_timeout`, so that it gives up by itself.
    ///
    /// Only `migrate` takes as long as it needs. `remove_owned`, `clear` and `sweep` may take this long
    /// for each 1,000 sessions. `count` looks at every row, and of very many may need more than the
    /// default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many connections [`connect`](Self::connect) opens at most: 10 by default.
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = max;
        self
    }

    /// Opens a pool of its own for a URL such as `postgres://user:password@host:5432/database`. The
    /// first connection is made at once.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a name, a URL or an account that cannot be used,
    /// [`Unavailable`](StoreErrorKind::Unavailable) when the server is out of reach.
    pub async fn connect(self, url: &str) -> Result<Postgres> {
        let pool = self.pool(url).await?;
        self.build(pool)
    }

    /// The pool that [`connect`](Self::connect) opens, for another store.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn pool(&self, url: &str) -> Result<PgPool> {
        let options = PgConnectOptions::from_str(url).map_err(|error| {
            StoreError::new(
                StoreErrorKind::Refused,
                "the URL of PostgreSQL cannot be read; \
                 write postgres://user:password@host:5432/database",
            )
            .with_source(error)
        })?;
        // Zero would mean for ever. Not in the start-up packet, where PgBouncer allows no settings.
        let patience = self.timeout.as_millis().max(1);
        let limits: Arc<str> = format!(
            "SET statement_timeout = {patience}; \
             SET idle_in_transaction_session_timeout = {patience}"
        )
        .into();
        PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.timeout)
            .after_connect(move |connection, _| {
                let limits = raw_sql(AssertSqlSafe(Arc::clone(&limits)));
                Box::pin(async move { connection.execute(limits).await.map(drop) })
            })
            // The pool's own test would double the round trips of every operation.
            .test_before_acquire(false)
            .before_acquire(|connection, idle| {
                Box::pin(async move {
                    if idle.idle_for >= UNTESTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await
            .map_err(store_error::<sqlx::Postgres>)
    }

    /// Uses a pool that is there already.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a table or schema name that cannot be used.
    pub fn build(self, pool: PgPool) -> Result<Postgres> {
        let table = quoted(&self.table, QUOTES)?;
        let longest = 63;
        let schema = match &self.schema {
            Some(schema) => quoted(schema, Quotes { longest, ..QUOTES })? + ".",
            None => String::new(),
        };
        let beside =
            |suffix| quoted(&format!("{}{suffix}", self.table), Quotes { longest, ..QUOTES });
        let qualified = format!("{schema}{table}");
        let migration = fill(
            include_str!("../../../migrations/postgres/0002_changes.sql"),
            &[
                ("'token_sessions'", &format!("'{}'", self.table.replace('\'', "''"))),
                ("\"token_sessions_changed\"", &format!("{schema}{}", beside("_changed")?)),
                ("\"token_sessions_written\"", &beside("_written")?),
                ("\"token_sessions_removed\"", &beside("_removed")?),
                ("\"token_sessions_emptied\"", &beside("_emptied")?),
                ("\"token_sessions\"", &qualified),
            ],
        );
        Ok(Postgres {
            client: Client::new(pool, self.timeout),
            sql: Arc::new(Statements::new(
                &qualified,
                [&beside("_expires_at")?, &beside("_owner")?],
                self.unlogged,
            )),
            changes: Arc::new(Changes {
                are_told: self.tell_changes,
                table: qualified,
                channel: self.table,
                migration,
            }),
            listeners: Arc::default(),
        })
    }
}
