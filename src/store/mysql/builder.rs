//! [`MySqlBuilder`]: the settings of the store, and how it gets its pool.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};

use super::MySql;
use super::statements::Statements;
use crate::store::patience::patience;
use crate::store::sql::{Client, Quotes, SetUp, UNTESTED, quoted};
use crate::store::{Result, StoreError, StoreErrorKind};

/// An identifier of MySQL has at most 64 characters, and the second table adds `_locks` to the name.
const QUOTES: Quotes = Quotes { mark: '`', longest: 64 - "_locks".len() };

/// Replaces the server's modes: `ORACLE` and `EMPTY_STRING_IS_NULL` change what statements mean.
const SQL_MODE: &str = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/// Settings of a [`MySql`] store.
///
/// ```no_run
/// use std::time::Duration;
/// use token_session::store::MySql;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MySql::builder()
///     .table("sessions")
///     .timeout(Duration::from_secs(2))
///     .connect("mysql://app:password@db.example/shop")
///     .await?;
/// store.migrate().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MySqlBuilder {
    schema: Option<String>,
    table: String,
    timeout: Duration,
    max_connections: u32,
}

impl Default for MySqlBuilder {
    fn default() -> Self {
        Self {
            schema: None,
            table: "token_sessions".to_owned(),
            timeout: Duration::from_secs(5),
            max_connections: 10,
        }
    }
}

impl MySqlBuilder {
    /// The table: `token_sessions` by default. Any characters, at most 58 bytes. A small second table
    /// has this name with `_locks` appended.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// The table's schema, which MySQL also calls a database. Default: the connection's.
    /// [`MySql::migrate`] does not create it.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// How long an operation may take, including the wait for a free connection: 5 seconds by default.
    /// After that it fails as [`Unavailable`](StoreErrorKind::Unavailable), so that no request hangs.
    /// [`connect`](Self::connect) also sets it on the server as `innodb_lock_wait_timeout`, so that the
    /// server stops waiting too.
    ///
    /// `migrate` has no limit. `remove_owned`, `clear` and `sweep` may take this long for each 1,000
    /// sessions. `count` reads every row, and a very large table may need more than the default.
    ///
    /// At least a millisecond and at most 24 days; other values are clamped.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = patience(timeout);
        self
    }

    /// The most connections that [`connect`](Self::connect) opens: 10 by default.
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = max;
        self
    }

    /// Opens a pool of its own for a URL such as `mysql://user:password@host:3306/database`. Makes the
    /// first connection right away.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a name, a URL or an account that cannot be used,
    /// [`Unavailable`](StoreErrorKind::Unavailable) when the server is out of reach.
    pub async fn connect(self, url: &str) -> Result<MySql> {
        let pool = self.pool(url).await?;
        self.build(pool)
    }

    /// Opens the pool that [`connect`](Self::connect) would use, for example to share it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn pool(&self, url: &str) -> Result<MySqlPool> {
        let options = MySqlConnectOptions::from_str(url).map_err(|error| {
            StoreError::new(
                StoreErrorKind::Refused,
                "the URL of MySQL cannot be read; write mysql://user:password@host:3306/database",
            )
            .with_source(error)
        })?;
        // Whole seconds, and at least one.
        let seconds = self.timeout.as_secs().max(1);
        // The statements rely on these, and the server's defaults may differ. Without `autocommit`, or
        // with a `completion_type` of 1, a write would be answered and never committed. Without the
        // strict mode, MySQL silently truncates a value that is too long for its column.
        let set_up = SetUp::new(format!(
            "SET SESSION innodb_lock_wait_timeout = {seconds}, autocommit = 1, completion_type = 0, \
             sql_mode = '{SQL_MODE}', sql_safe_updates = 0, sql_big_selects = 1, \
             sql_select_limit = 18446744073709551615"
        ));
        let each = set_up.clone();
        let pool = MySqlPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.timeout)
            .after_connect(move |connection, _| {
                Box::pin(each.clone().run::<sqlx::MySql>(connection))
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
    pub fn build(self, pool: MySqlPool) -> Result<MySql> {
        let table = quoted(&self.table, QUOTES)?;
        let longest = 64;
        let locks = quoted(&format!("{}_locks", self.table), Quotes { longest, ..QUOTES })?;
        let qualified = match &self.schema {
            Some(schema) => {
                let schema = quoted(schema, Quotes { longest, ..QUOTES })?;
                [format!("{schema}.{table}"), format!("{schema}.{locks}")]
            }
            None => [table, locks],
        };
        Ok(MySql {
            client: Client::new(pool, self.timeout),
            sql: Arc::new(Statements::new(&qualified[0], &qualified[1])),
            listeners: Arc::default(),
        })
    }
}
