//! [`PostgresBuilder`]: the settings of the store, and how it gets its pool.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::Postgres;
use super::changes::WatchStatements;
use super::migration::{Names, Schema};
use super::operations::Statements;
use super::statement::{Sending, keeps_no_statements};
use crate::store::patience::patience;
use crate::store::sql::{Client, Quotes, SetUp, UNTESTED, quoted};
use crate::store::{Result, StoreError, StoreErrorKind};

/// An identifier of PostgreSQL has at most 63 bytes, and the longest name derived from the table's adds
/// `_expires_at`. The server silently cuts off a longer one.
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
    prepared_statements: bool,
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
            prepared_statements: true,
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
    /// The server does not write an unlogged table to its write-ahead log. Writes cost less, and **a crash
    /// of the server ends all sessions** (a clean shutdown does not). Standby servers and backups by log
    /// shipping do not contain them.
    pub fn unlogged(mut self, unlogged: bool) -> Self {
        self.unlogged = unlogged;
        self
    }

    /// Whether [`Postgres::migrate`] makes the table tell what was changed, and a
    /// [`Cached`](crate::store::Cached) store in front can [watch](crate::store::Store::watch) it: no
    /// by default.
    ///
    /// Each write, removal and confirmation of a new secret then ends with a `NOTIFY`; a touch does not.
    /// Transactions that notify commit one after the other on the whole server, which limits how many
    /// there can be a second. The connection that listens goes to the server itself, or through PgBouncer
    /// in session mode.
    pub fn tell_changes(mut self, tell: bool) -> Self {
        self.tell_changes = tell;
        self
    }

    /// How long an operation may take, including the wait for a free connection: 5 seconds by default.
    /// After that it fails as [`Unavailable`](StoreErrorKind::Unavailable), so no request hangs.
    /// [`connect`](Self::connect) also tells the server, as `statement_timeout` and
    /// `idle_in_transaction_session_timeout`, so the server gives up too.
    ///
    /// `migrate` has no limit. `remove_owned`, `clear` and `sweep` may take this long for each 1,000
    /// sessions. `count` looks at every row, so a very large table may need more than the default.
    ///
    /// From a millisecond to 24 days; a value outside becomes the nearest of these.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = patience(timeout);
        self
    }

    /// How many connections [`connect`](Self::connect) opens at most: 10 by default.
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = max;
        self
    }

    /// Whether statements are prepared once on each connection: yes by default. Set `false` behind
    /// PgBouncer in transaction mode, and behind every other pooler that shares server connections among
    /// its clients: a shared connection may lack the statement, or have another client's statement under
    /// its name. A statement that runs in another's place changes nothing, but the call fails.
    ///
    /// Without prepared statements, the text of each statement contains the values. An operation takes as
    /// many round trips as before. The server parses and plans each statement every time, and data takes
    /// twice its size on the way there. `statement_timeout` is then set with each statement and not on
    /// the connection, which other programs use too. A server that logs statements also logs the values.
    /// So does the driver: [`connect`](Self::connect) switches that off, and a pool of your own needs
    /// `ConnectOptions::disable_statement_logging`.
    ///
    /// For [`connect`](Self::connect), the option `statement-cache-capacity=0` in the URL does the same.
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.prepared_statements = prepared;
        self
    }

    /// Opens its own pool for a URL such as `postgres://user:password@host:5432/database`, with a first
    /// connection.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a name, a URL or an account that cannot be used,
    /// [`Unavailable`](StoreErrorKind::Unavailable) when the server cannot be reached.
    pub async fn connect(mut self, url: &str) -> Result<Postgres> {
        self.prepared_statements &= !keeps_no_statements(url);
        let pool = self.pool(url).await?;
        let settings = format!("SET LOCAL {}; ", self.limits().join("; SET LOCAL "));
        self.with(pool, &settings)
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
        // PgBouncer refuses a client that sends this setting. And a statement that is not prepared
        // contains what clients stored, which must not be logged.
        let options = options.extra_float_digits(None).disable_statement_logging();
        // Not in the start-up packet, because PgBouncer allows no settings there; and not at all where
        // another program may use the connection next.
        let set_up = if self.prepared_statements && !keeps_no_statements(url) {
            SetUp::new(format!("SET {}", self.limits().join("; SET ")))
        } else {
            SetUp::new("")
        };
        let each = set_up.clone();
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.timeout)
            .after_connect(move |connection, _| {
                Box::pin(each.clone().run::<sqlx::Postgres>(connection))
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
            .connect_with(options);
        set_up.open(pool).await
    }

    /// Uses an existing pool.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a table or schema name that cannot be used.
    pub fn build(self, pool: PgPool) -> Result<Postgres> {
        self.with(pool, "")
    }

    /// As [`build`](Self::build), with the settings that each written statement is sent with.
    fn with(self, pool: PgPool, settings: &str) -> Result<Postgres> {
        let sending =
            if self.prepared_statements { Sending::Prepared } else { Sending::written(settings) };
        let table = quoted(&self.table, QUOTES)?;
        let longest = 63;
        let schema = match &self.schema {
            Some(schema) => quoted(schema, Quotes { longest, ..QUOTES })? + ".",
            None => String::new(),
        };
        let beside =
            |suffix| quoted(&format!("{}{suffix}", self.table), Quotes { longest, ..QUOTES });
        let table = format!("{schema}{table}");
        let names = Names {
            table: &table,
            expires_at: &beside("_expires_at")?,
            owner: &beside("_owner")?,
            changed: &format!("{schema}{}", beside("_changed")?),
            written: &beside("_written")?,
            removed: &beside("_removed")?,
            emptied: &beside("_emptied")?,
        };
        let kind = (self.unlogged, self.tell_changes);
        Ok(Postgres {
            client: Client::new(pool, self.timeout),
            sql: Arc::new(Statements::new(&table, &sending)),
            schema: Arc::new(Schema::new(self.table.clone(), &names, kind, &sending)),
            watching: Arc::new(WatchStatements::new(&sending)),
            listeners: Arc::default(),
        })
    }

    /// What the server is told of the timeout, in milliseconds.
    fn limits(&self) -> [String; 2] {
        let patience = self.timeout.as_millis();
        ["statement_timeout", "idle_in_transaction_session_timeout"]
            .map(|limit| format!("{limit} = {patience}"))
    }
}
