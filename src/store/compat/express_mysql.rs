//! [`ExpressMysql`]: what express-mysql-session keeps.

mod statements;
mod sweeping;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sqlx::mysql::{MySqlArguments, MySqlPool, MySqlRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column, Row, TypeInfo};

use self::statements::{BATCH, Statements};
use super::backend::{Backend, Life, Listed, Stored};
use super::operations::{self, impl_store, refused};
use super::session::Format;
use super::shape::Shape;
use crate::record::Timestamp;
use crate::store::mysql::MySqlBuilder;
use crate::store::patience::patience;
use crate::store::sql::{Client, Quotes, quoted, store_error};
use crate::store::{Cursor, Result};

const QUOTES: Quotes = Quotes { mark: '`', longest: 64 };

/// Shares the sessions that express-mysql-session 1 to 3 keeps in a table of MySQL or MariaDB. The
/// [module's docs](super) say what it lacks that [`MySql`](crate::store::MySql) has.
///
/// * Expiry is kept in whole seconds, as in Node, and at the latest in 2106. The column is a number of any
///   width. A column of dates is [`Refused`](crate::store::StoreErrorKind::Refused), because MySQL would
///   compare a date with the seconds as another number. To see that costs the first operation a round
///   trip more.
/// * An id has at most 128 bytes; a longer one is refused.
/// * The column of the data is text. A `mediumtext` holds 16 MiB; the `text` of the package's
///   versions before 2.1.2 holds 64 KiB, cookie and all, so give the manager a
///   [`max_size`](crate::TokenSessionBuilder::max_size) below that. MySQL's type JSON spaces and orders what it is
///   given. With a column of that type, the store reads a row back after each change, which costs one
///   more round trip. MariaDB's type JSON keeps the text, and costs nothing more.
/// * A column of another charset than `utf8mb4`, as a site may have made it, refuses what it cannot
///   hold, if the connection has `STRICT_TRANS_TABLES` in its `sql_mode`, as those of
///   [`connect`](Self::connect) have. Else MySQL keeps a `?` in its place, and says nothing.
/// * Versions 1 and 2 open their connections with their option `charset`. Where that is neither
///   `utf8mb4` nor `utf8`, give [`new`](Self::new) a pool whose connections have the same one
///   ([`charset`](sqlx::mysql::MySqlConnectOptions::charset)): what such a service writes is UTF-8 that
///   the server takes for text of that charset. Version 3 takes no notice of the option.
/// * A new token is a new row: what stands in columns that a site has added is not taken along.
/// * The table is the Node service's: this store does not create it. It needs no more than this:
///   `GRANT SELECT, INSERT, UPDATE, DELETE ON shop.app_sessions TO app`.
/// * Each operation is one statement more than for Redis where the id is new and taken by an expired
///   row.
///
/// ```no_run
/// use token_session::store::compat::{ExpressMysql, Lossless, Shape};
/// use token_session::{Lifetime, TokenSession};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Account { user: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The Node service: schema: { tableName: 'app_sessions' }
/// let url = "mysql://app:password@db.example/shop";
/// let store = ExpressMysql::connect(url, Shape::express()).await?.table(None, "app_sessions")?;
/// let lifetime = Lifetime::idle_secs(86_400)?;
/// let sessions = TokenSession::<Lossless<Account>>::builder().store(store);
/// let sessions = sessions.lifetime(lifetime).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ExpressMysql {
    client: Client<sqlx::MySql>,
    table: String,
    /// Of the id, the expiry, the data.
    columns: [String; 3],
    sql: Arc<Statements>,
    /// Whether the columns are known to be as they have to be.
    is_checked: Arc<AtomicBool>,
    format: Format,
    /// Where the last sweep ended, for the next one to go on. Not a text: `Debug` would show an id.
    swept_to: Arc<Mutex<Option<Cursor>>>,
}

fn query(sql: &Arc<str>) -> Query<'static, sqlx::MySql, MySqlArguments> {
    sqlx::query(AssertSqlSafe(Arc::clone(sql)))
}

impl ExpressMysql {
    /// Over a pool that is there already. Its connections need `autocommit = 1` and
    /// `completion_type = 0`, or what was answered is never committed; the
    /// [MySQL store's docs](crate::store::MySql#what-must-a-pool-of-your-own-have) name all settings.
    /// They should have `STRICT_TRANS_TABLES` in their `sql_mode`: else MySQL cuts off what a column is
    /// too small for, keeps a `?` for what its charset does not have, and says nothing.
    pub fn new(pool: MySqlPool, shape: Shape) -> Self {
        let table = "`sessions`".to_owned();
        let columns = ["`session_id`", "`expires`", "`data`"].map(str::to_owned);
        Self {
            client: Client::new(pool, Duration::from_secs(5)),
            sql: Arc::new(Statements::new(&table, &columns)),
            table,
            columns,
            is_checked: Arc::default(),
            format: operations::format::<Self>(shape),
            swept_to: Arc::default(),
        }
    }

    /// Over a pool of its own, as [`MySql::connect`](crate::store::MySql::connect) makes one.
    ///
    /// # Errors
    /// As there.
    pub async fn connect(url: &str, shape: Shape) -> Result<Self> {
        let pool = MySqlBuilder::default().pool(url).await;
        let pool = pool.map_err(|error| operations::advised(error, advice))?;
        Ok(Self::new(pool, shape))
    }

    /// The table, the option `schema.tableName` of the package, where a database may stand before it.
    /// Default: `sessions`, in the connection's database.
    ///
    /// # Errors
    /// [`Refused`](crate::store::StoreErrorKind::Refused) for a name that none can have.
    pub fn table(mut self, database: Option<&str>, name: &str) -> Result<Self> {
        let table = quoted(name, QUOTES)?;
        self.table = match database {
            Some(database) => format!("{}.{table}", quoted(database, QUOTES)?),
            None => table,
        };
        self.sql = Arc::new(Statements::new(&self.table, &self.columns));
        self.is_checked = Arc::default();
        Ok(self)
    }

    /// The columns, the option `schema.columnNames` of the package. Default: `session_id`, `expires`,
    /// `data`.
    ///
    /// # Errors
    /// [`Refused`](crate::store::StoreErrorKind::Refused) for a name that none can have.
    pub fn columns(mut self, session_id: &str, expires: &str, data: &str) -> Result<Self> {
        self.columns =
            [quoted(session_id, QUOTES)?, quoted(expires, QUOTES)?, quoted(data, QUOTES)?];
        self.sql = Arc::new(Statements::new(&self.table, &self.columns));
        self.is_checked = Arc::default();
        Ok(self)
    }

    /// How long an operation may take, the wait for a connection included. Default: 5 seconds.
    ///
    /// From a millisecond to 24 days; what is outside is taken as the nearest of these.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.client.timeout = patience(timeout);
        self
    }

    /// Refuses a table whose expiry is not a number.
    async fn check(&self) -> Result<()> {
        if self.is_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let row = self.client.call().row(|| query(&self.sql.expiry)).await?;
        let kind = row.as_ref().map_or("", |row| row.column(0).type_info().name());
        if ["DATE", "DATETIME", "TIME", "TIMESTAMP", "YEAR"].contains(&kind) {
            return Err(refused(format!(
                "express-mysql-session keeps the end of a session in Unix seconds, and the column {} is \
                 a {kind}; make it an int unsigned or a bigint",
                self.columns[1]
            )));
        }
        self.is_checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn matched(
        &self,
        query: impl Fn() -> Query<'static, sqlx::MySql, MySqlArguments>,
    ) -> Result<u64> {
        Ok(self.client.call().done(query).await?.rows_affected())
    }

    /// What has become of a text that was just written, in the column where this one was read.
    ///
    /// If it is not seen, or another writer's text stands there, the next write over this one meets a
    /// conflict.
    async fn as_it_stands(&self, id: &str, text: &str, before: Option<&Bytes>) -> String {
        if before.is_some_and(|before| is_spaced(before))
            && let Ok(Some((stored, _))) = self.fetch(id).await
            && is_same_json(&stored.text, text.as_bytes())
        {
            return String::from_utf8_lossy(&stored.text).into_owned();
        }
        text.to_owned()
    }
}

/// Whether a column has put spaces into a text. MySQL's type JSON does, and no writer of sessions does.
fn is_spaced(text: &[u8]) -> bool {
    text.windows(3).any(|bytes| bytes == b"\": ")
}

fn is_same_json(one: &[u8], other: &[u8]) -> bool {
    let value = |text| serde_json::from_slice::<serde_json::Value>(text).ok();
    value(one).is_some_and(|one| Some(one) == value(other))
}

/// The text, the second in which it ends, the clock.
fn stored(row: &MySqlRow) -> Result<Stored> {
    let decode = || {
        let text: String = row.try_get(0)?;
        let (expires, now): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let millis = |number: i64| Timestamp::from_millis(number.try_into().unwrap_or_default());
        Ok(Stored {
            text: text.into(),
            expires: Some(millis(expires.saturating_mul(1000))),
            now: millis(now),
        })
    };
    decode().map_err(store_error::<sqlx::MySql>)
}

/// A record behind which its id stands.
fn named(row: &MySqlRow) -> Result<(String, Stored)> {
    let id = row.try_get(3).map_err(store_error::<sqlx::MySql>)?;
    Ok((id, stored(row)?))
}

/// A text that was read.
fn text_of(stored: &[u8]) -> String {
    String::from_utf8_lossy(stored).into_owned()
}

fn millis(life: Duration) -> i64 {
    i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 2)
}

fn advice(code: &str) -> Option<String> {
    let advice = match code {
        "1046" | "1049" => {
            "has no such database, or was told none; name the Node service's in the URL, or with the \
             table"
        }
        "1054" | "1146" => {
            "has no such table, or no such column in it; the Node service makes them when it starts, \
             by the names in the `schema` of express-mysql-session, and so give them here"
        }
        "1364" => {
            "has a column there that wants a value, and is not the package's; give it a default"
        }
        "1366" | "3988" => {
            "has a column whose charset cannot hold this text; convert the table to utf8mb4"
        }
        "1406" => {
            "has a column that is too small for this; widen it, `data` to a mediumtext, or give the \
             manager a smaller max_size"
        }
        "1142" | "1143" | "1227" => {
            "denies permission; grant the account SELECT, INSERT, UPDATE and DELETE on the table"
        }
        _ => return None,
    };
    Some(format!("MySQL {advice}"))
}

impl Backend for ExpressMysql {
    const PACKAGE: &'static str = "express-mysql-session";
    const TTL: Duration = Duration::from_secs(86_400);
    const LONGEST_ID: usize = 128;

    type Old = Bytes;
    type New = String;

    fn advice(&self, code: &str) -> Option<String> {
        advice(code)
    }

    async fn fetch(&self, id: &str) -> Result<Option<(Stored, Bytes)>> {
        self.check().await?;
        let fetch = || query(&self.sql.fetch).bind(id.to_owned()).bind(id.as_bytes().to_vec());
        let row = self.client.call().row(fetch).await?;
        let found = row.as_ref().map(stored).transpose()?;
        Ok(found.map(|stored| (stored.clone(), stored.text)))
    }

    async fn fetch_all(&self, ids: &[&str]) -> Result<Vec<(String, Stored)>> {
        self.check().await?;
        let mut found = Vec::new();
        for ids in ids.chunks(BATCH) {
            // One statement for each power of two: fewer ids are repeated.
            let places = ids.len().next_power_of_two();
            let sql = self.sql.fetch_all(places);
            let fetch_all = || {
                let ids = ids.iter().cycle().take(places);
                ids.fold(query(&sql), |query, id| query.bind((*id).to_owned()))
            };
            let rows = self.client.call().rows(fetch_all).await?;
            found.extend(rows.iter().map(named).collect::<Result<Vec<_>>>()?);
        }
        Ok(found)
    }

    fn record(&self, text: &str, _: Option<&Bytes>) -> Result<String> {
        Ok(text.to_owned())
    }

    fn again(old: &Bytes) -> String {
        String::from_utf8_lossy(old).into_owned()
    }

    async fn add(
        &self,
        id: &str,
        text: &String,
        life: Option<Duration>,
        like: Option<&Bytes>,
    ) -> Result<Option<String>> {
        self.check().await?;
        let life = life.map_or(i64::MAX / 2, millis);
        let mut call = self.client.call();
        loop {
            let add = query(&self.sql.add).bind(id.to_owned()).bind(life).bind(text.to_owned());
            match call.try_done(add).await {
                Ok(_) => return Ok(Some(self.as_it_stands(id, text, like).await)),
                Err(failure) if failure.is_duplicate() => {
                    let vacate = || {
                        let vacate = query(&self.sql.vacate).bind(id.to_owned());
                        vacate.bind(id.as_bytes().to_vec())
                    };
                    if call.done(vacate).await?.rows_affected() == 0 {
                        return Ok(None);
                    }
                }
                Err(failure) => call.recover(failure).await?,
            }
        }
    }

    async fn swap(&self, id: &str, old: &Bytes, text: &str, life: Life) -> Result<Option<String>> {
        let swap = || {
            let swap = match life {
                Life::Keep => query(&self.sql.swap).bind(text.to_owned()),
                Life::For(life) => {
                    query(&self.sql.swap_for).bind(text.to_owned()).bind(millis(life))
                }
            };
            swap.bind(id.to_owned()).bind(id.as_bytes().to_vec()).bind(text_of(old))
        };
        if self.matched(swap).await? == 0 {
            return Ok(None);
        }
        Ok(Some(self.as_it_stands(id, text, Some(old)).await))
    }

    async fn extend(&self, id: &str, old: &Bytes, life: Duration) -> Result<bool> {
        let extend = || {
            let extend = query(&self.sql.extend).bind(millis(life)).bind(id.to_owned());
            extend.bind(id.as_bytes().to_vec()).bind(text_of(old))
        };
        Ok(self.matched(extend).await? == 1)
    }

    async fn discard(&self, id: &str, old: &Bytes) -> Result<bool> {
        let discard = || {
            let discard = query(&self.sql.discard).bind(id.to_owned());
            discard.bind(id.as_bytes().to_vec()).bind(text_of(old))
        };
        Ok(self.matched(discard).await? == 1)
    }

    async fn clock(&self, _: &str) -> Result<Timestamp> {
        let row = self.client.call().row(|| query(&self.sql.clock)).await?;
        let now = row.map_or(Ok(0), |row| row.try_get::<i64, _>(0));
        let now = now.map_err(store_error::<sqlx::MySql>)?;
        Ok(Timestamp::from_millis(now.try_into().unwrap_or_default()))
    }

    async fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Listed> {
        self.check().await?;
        let after = after.map_or("", |after| str::from_utf8(after.as_bytes()).unwrap_or_default());
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let page = || query(&self.sql.page).bind(after.to_owned()).bind(rows);
        let rows = self.client.call().rows(page).await?;
        let records = rows.iter().map(named).collect::<Result<Vec<_>>>()?;
        Ok(Listed::by_id(records, limit))
    }

    async fn count(&self) -> Result<u64> {
        self.check().await?;
        let row = self.client.without_deadline().row(|| query(&self.sql.count)).await?;
        let count = row.map_or(Ok(0), |row| row.try_get::<i64, _>(0));
        Ok(count.map_err(store_error::<sqlx::MySql>)?.try_into().unwrap_or_default())
    }

    async fn clear(&self) -> Result<()> {
        loop {
            let gone = self.matched(|| query(&self.sql.clear)).await?;
            if gone < BATCH as u64 {
                return Ok(());
            }
        }
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        self.check().await?;
        self.free_expired(limit).await
    }
}

impl_store!(ExpressMysql);
