//! [`PostgresBuilder`]: the settings of the store, and how it comes by its pool.

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
    /// An unlogged table is not written to the write-ahead log. Writes cost less, and **all sessions
    /// are lost when the server crashes** (not when it is shut down in order); standby servers and
    /// backups by log shipping do not have them.
    pub fn unlogged(mut self, unlogged: bool) -> Self {
        self.unlogged = unlogged;
        self
    }

    /// Whether [`Postgres::migrate`] makes the table tell what was changed, and a
    /// [`Cached`](crate::store::Cached) store in front can [watch](crate::store::Store::watch) it: no
    /// by default.
    ///
    /// Each write, removal and confirmation of a new secret then ends with a `NOTIFY`. Transactions that
    /// notify commit one after the other on the whole server, which bounds their number; touches do not
    /// notify. The
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
    ///
    /// From a millisecond to 24 days; what is outside is taken as the nearest of these.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = patience(timeout);
        self
    }

    /// How many connections [`connect`](Self::connect) opens at most: 10 by default.
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = max;
        self
    }

    /// Whether statements are prepared once on each connection: yes by default. Say no behind
    /// PgBouncer in transaction mode, and behind every other pooler that lends server connections to
    /// its clients in turn: it may lend out one that lacks the statement, or has another client's
    /// under its name. A statement that runs in another's place fails and does nothing, but it fails.
    ///
    /// Without prepared statements the values stand in the text of each statement. An operation
    /// takes as many round trips as before; the server parses and plans each statement anew, and data
    /// takes twice its size on the way there. `statement_timeout` is then set with each statement
    /// and not on the connection, which other programs use too. A server that logs statements logs
    /// the values with them. The driver does so too: [`connect`](Self::connect) switches that off, and
    /// a pool of your own needs `ConnectOptions::disable_statement_logging`.
    ///
    /// For [`connect`](Self::connect), the option `statement-cache-capacity=0` in the URL says no
    /// as well.
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.prepared_statements = prepared;
        self
    }

    /// Opens a pool of its own for a URL such as `postgres://user:password@host:5432/database`. The
    /// first connection is made at once.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a name, a URL or an account that cannot be used,
    /// [`Unavailable`](StoreErrorKind::Unavailable) when the server is out of reach.
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
        // PgBouncer lets no client in that sends this one. And a statement that is not prepared holds
        // what clients stored, which belongs in no log.
        let options = options.extra_float_digits(None).disable_statement_logging();
        // Not in the start-up packet, where PgBouncer allows no settings; and not at all where the
        // connection may be another program's in a moment.
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

    /// Uses a pool that is there already.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a table or schema name that cannot be used.
    pub fn build(self, pool: PgPool) -> Result<Postgres> {
        self.with(pool, "")
    }

    /// As [`build`](Self::build), with the settings that each written statement brings along.
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
