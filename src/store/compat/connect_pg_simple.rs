//! [`ConnectPgSimple`]: what connect-pg-simple keeps.

mod statements;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};

use self::statements::{BATCH, Statements, Table};
use super::backend::{Backend, Life, Listed, Stored};
use super::operations::{self, impl_store};
use super::session::Format;
use super::shape::Shape;
use crate::record::Timestamp;
use crate::store::patience::patience;
use crate::store::postgres::PostgresBuilder;
use crate::store::postgres::statement::{PgQuery, Sending, Statement, keeps_no_statements};
use crate::store::sql::{Call, Client, Quotes, quoted, row_limit, store_error};
use crate::store::{Cursor, Result, StoreError};

const QUOTES: Quotes = Quotes { mark: '"', longest: 63 };

/// Shares the sessions that connect-pg-simple 6 to 10 keeps in a table of PostgreSQL. The
/// [module's docs](super) say what it lacks that [`Postgres`](crate::store::Postgres) has.
///
/// # Which time zone?
/// The package makes the column `expire` a `timestamp` without a time zone, and writes the local time
/// of its connection. In another zone than Node's, a session would live hours too long or too short. So
/// this store asks for the zone that the Node service's connections have. `SHOW TimeZone` tells it, in
/// the Node service or in `psql` with the same role and database. The zone of this store's own
/// connections does not matter. UTC is best, because none of its hours comes twice a year.
///
/// Some sites have changed the column to a `timestamptz`. This store notices it, while it runs too, and
/// the zone has no effect then. The first operation after the change costs a round trip more.
///
/// # Which columns?
/// * `expire` is a `timestamp` or a `timestamptz`, of any precision. With any other type every operation
///   is [`Refused`](crate::store::StoreErrorKind::Refused).
/// * `sess` is `json`, `jsonb` or text. `jsonb` re-spaces and re-orders what it is given, and refuses
///   `\u0000` and lone surrogates.
/// * `sid` is text of any kind. An id is compared byte by byte; the column's collation has no effect.
///
/// # What else?
/// * Expiry is kept in whole seconds, rounded up, as in Node.
/// * The table is the Node service's: this store does not create it. It needs no more than this:
///   `GRANT USAGE ON SCHEMA public TO app` and
///   `GRANT SELECT, INSERT, UPDATE, DELETE ON public.session TO app`.
///
/// ```no_run
/// use token_session::store::compat::{ConnectPgSimple, Lossless, Shape};
/// use token_session::{Lifetime, TokenSession};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Account { user: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "postgres://app:password@db.example/shop";
/// let store = ConnectPgSimple::connect(url, Shape::express(), "Europe/Berlin").await?;
/// let lifetime = Lifetime::idle_secs(86_400)?;
/// let sessions = TokenSession::<Lossless<Account>>::builder().store(store);
/// let sessions = sessions.lifetime(lifetime).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ConnectPgSimple {
    client: Client<sqlx::Postgres>,
    time_zone: String,
    table: String,
    sending: Sending,
    sql: Arc<Table>,
    format: Format,
}

impl ConnectPgSimple {
    /// Over a pool that is there already; `time_zone` is that of the Node service's connections. One
    /// that PostgreSQL does not know is an error of every call.
    pub fn new(pool: PgPool, shape: Shape, time_zone: impl Into<String>) -> Self {
        let (table, sending) = ("\"session\"".to_owned(), Sending::Prepared);
        Self {
            client: Client::new(pool, Duration::from_secs(5)),
            time_zone: time_zone.into(),
            sql: Table::new(&table, &sending),
            table,
            sending,
            format: operations::format::<Self>(shape),
        }
    }

    /// Over a pool of its own, as [`Postgres::connect`](crate::store::Postgres::connect) makes one.
    ///
    /// # Errors
    /// As there, and [`Refused`](crate::store::StoreErrorKind::Refused) for a time zone that
    /// PostgreSQL does not know.
    pub async fn connect(url: &str, shape: Shape, time_zone: impl Into<String>) -> Result<Self> {
        let pool = PostgresBuilder::default().pool(url).await;
        let pool = pool.map_err(|error| operations::advised(error, advice))?;
        let store = Self::new(pool, shape, time_zone);
        let store = store.prepared_statements(!keeps_no_statements(url));
        let local_time =
            store.client.call().row(|| store.query(&store.sql.statements[0].local_time)).await;
        operations::discreet(&store, local_time)?;
        Ok(store)
    }

    /// The table, the options `schemaName` and `tableName` of the package. Default: `session`, in the
    /// first schema of the connection's `search_path`.
    ///
    /// # Errors
    /// [`Refused`](crate::store::StoreErrorKind::Refused) for a name that none can have.
    pub fn table(mut self, schema: Option<&str>, name: &str) -> Result<Self> {
        let table = quoted(name, QUOTES)?;
        let table = match schema {
            Some(schema) => format!("{}.{table}", quoted(schema, QUOTES)?),
            None => table,
        };
        self.sql = Table::new(&table, &self.sending);
        self.table = table;
        Ok(self)
    }

    /// Whether statements are prepared: yes by default, and no where the URL of
    /// [`connect`](Self::connect) says `statement-cache-capacity=0`. See
    /// [`PostgresBuilder::prepared_statements`](crate::store::PostgresBuilder::prepared_statements).
    #[must_use]
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.sending = if prepared { Sending::Prepared } else { Sending::written("") };
        self.sql = Table::new(&self.table, &self.sending);
        self
    }

    /// How long an operation may take, the wait for a connection included. Default: 5 seconds.
    ///
    /// From a millisecond to 24 days; what is outside is taken as the nearest of these.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.client.timeout = patience(timeout);
        self
    }

    /// A query whose first parameter is the time zone.
    fn query(&self, statement: &Statement) -> PgQuery {
        statement.query().bind(self.time_zone.as_str())
    }

    /// The rows of a statement.
    async fn rows(
        &self,
        mut call: Call<'_, sqlx::Postgres>,
        query: impl Fn(&Statements) -> PgQuery + Send + Sync,
    ) -> Result<Vec<PgRow>> {
        let (first, other) = self.in_order();
        match call.rows(|| query(&self.sql.statements[first])).await {
            Err(error) if is_of_another_type(&error) => {}
            rows => return rows,
        }
        let rows = call.rows(|| query(&self.sql.statements[other])).await?;
        self.sql.has_zone.store(other == 1, Ordering::Relaxed);
        Ok(rows)
    }

    /// How many rows a statement has written or removed.
    async fn done(
        &self,
        mut call: Call<'_, sqlx::Postgres>,
        query: impl Fn(&Statements) -> PgQuery + Send + Sync,
    ) -> Result<u64> {
        let (first, other) = self.in_order();
        match call.done(|| query(&self.sql.statements[first])).await {
            Err(error) if is_of_another_type(&error) => {}
            done => return Ok(done?.rows_affected()),
        }
        let done = call.done(|| query(&self.sql.statements[other])).await?;
        self.sql.has_zone.store(other == 1, Ordering::Relaxed);
        Ok(done.rows_affected())
    }

    /// Which statements are tried first, and which if these are for another type of column.
    fn in_order(&self) -> (usize, usize) {
        let has_zone = usize::from(self.sql.has_zone.load(Ordering::Relaxed));
        (has_zone, 1 - has_zone)
    }

    /// The text in the row that a write hands out, if it found one.
    async fn written(
        &self,
        query: impl Fn(&Statements) -> PgQuery + Send + Sync,
    ) -> Result<Option<String>> {
        let row = self.rows(self.client.call(), query).await?.pop();
        let text = row.map(|row| row.try_get(0)).transpose();
        text.map_err(store_error::<sqlx::Postgres>)
    }
}

/// Whether a statement is for another type of column. It was not run then.
fn is_of_another_type(error: &StoreError) -> bool {
    operations::server_code(error).is_some_and(|code| code == UNDEFINED_FUNCTION)
}

/// An operator, too, that is not there for these types.
const UNDEFINED_FUNCTION: &str = "42883";

/// What stands alone in a row.
fn number(row: Option<&PgRow>) -> Result<u64> {
    let number = row.map_or(Ok(0), |row| row.try_get::<i64, _>(0));
    Ok(number.map_err(store_error::<sqlx::Postgres>)?.try_into().unwrap_or_default())
}

fn stored(row: &PgRow) -> Result<Stored> {
    let decode = || {
        let text: String = row.try_get(0)?;
        let (expires, now): (f64, i64) = (row.try_get(1)?, row.try_get(2)?);
        Ok(Stored {
            text: text.into(),
            expires: expires.is_finite().then(|| Timestamp::from_millis(expires as u64)),
            now: Timestamp::from_millis(now.try_into().unwrap_or_default()),
        })
    };
    decode().map_err(store_error::<sqlx::Postgres>)
}

/// A record behind which its id stands.
fn named(row: &PgRow) -> Result<(String, Stored)> {
    let id = row.try_get(3).map_err(store_error::<sqlx::Postgres>)?;
    Ok((id, stored(row)?))
}

fn advice(code: &str) -> Option<String> {
    let advice = match code {
        "3F000" | "42703" | "42P01" => {
            "has no such table or schema, or other columns there; connect-pg-simple makes its table \
             with the option `createTableIfMissing`, or run its table.sql"
        }
        UNDEFINED_FUNCTION | "42804" => {
            "has a column there whose type this store does not know: `sid` is to be text, `sess` json, \
             jsonb or text, and `expire` timestamp or timestamptz"
        }
        "42501" => {
            "denies permission; grant the role USAGE on the schema, and SELECT, INSERT, UPDATE and \
             DELETE on the table"
        }
        "22P02" | "22P05" => {
            "has a column `sess` that does not hold this text, as jsonb holds neither \\u0000 nor a \
             lone surrogate; make it json, as table.sql of connect-pg-simple does"
        }
        "23502" => {
            "has a column there that wants a value, and is not the package's; give it a default"
        }
        _ => return None,
    };
    Some(format!("PostgreSQL {advice}"))
}

impl Backend for ConnectPgSimple {
    const PACKAGE: &'static str = "connect-pg-simple";
    const TTL: Duration = Duration::from_secs(86_400);

    type Old = Bytes;
    type New = String;

    fn advice(&self, code: &str) -> Option<String> {
        if code == "22023" {
            let zone = &self.time_zone;
            return Some(format!(
                "PostgreSQL does not know the time zone {zone:?}; give the one that SHOW TimeZone \
                 says to the Node service"
            ));
        }
        advice(code)
    }

    async fn fetch(&self, id: &str) -> Result<Option<(Stored, Bytes)>> {
        let fetch = |sql: &Statements| self.query(&sql.fetch).bind(id);
        let row = self.rows(self.client.call(), fetch).await?.pop();
        let found = row.as_ref().map(stored).transpose()?;
        Ok(found.map(|stored| (stored.clone(), stored.text)))
    }

    async fn fetch_all(&self, ids: &[&str]) -> Result<Vec<(String, Stored)>> {
        let fetch_all = |sql: &Statements| self.query(&sql.fetch_all).bind(ids);
        let rows = self.rows(self.client.call(), fetch_all).await?;
        rows.iter().map(named).collect()
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
        _: Option<&Bytes>,
    ) -> Result<Option<String>> {
        let life = life.map(|life| life.as_secs_f64());
        let add = |sql: &Statements| self.query(&sql.add).bind(id).bind(text.as_str()).bind(life);
        self.written(add).await
    }

    async fn swap(&self, id: &str, old: &Bytes, text: &str, life: Life) -> Result<Option<String>> {
        let old = String::from_utf8_lossy(old);
        let swap = |sql: &Statements| match life {
            Life::Keep => {
                let swap = self.query(&sql.swap).bind(id);
                swap.bind(&*old).bind(text)
            }
            Life::For(life) => {
                let swap = self.query(&sql.swap_for).bind(id);
                swap.bind(&*old).bind(life.as_secs_f64()).bind(text)
            }
        };
        self.written(swap).await
    }

    async fn extend(&self, id: &str, old: &Bytes, life: Duration) -> Result<bool> {
        let old = String::from_utf8_lossy(old);
        let extend = |sql: &Statements| {
            let extend = self.query(&sql.extend).bind(id);
            extend.bind(&*old).bind(life.as_secs_f64())
        };
        Ok(self.done(self.client.call(), extend).await? == 1)
    }

    async fn discard(&self, id: &str, old: &Bytes) -> Result<bool> {
        let old = String::from_utf8_lossy(old);
        let discard = |sql: &Statements| self.query(&sql.discard).bind(id).bind(&*old);
        Ok(self.done(self.client.call(), discard).await? == 1)
    }

    async fn clock(&self, _: &str) -> Result<Timestamp> {
        let row = self.client.call().row(|| self.sql.statements[0].clock.query()).await?;
        number(row.as_ref()).map(Timestamp::from_millis)
    }

    async fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Listed> {
        let after = after.map_or("", |after| str::from_utf8(after.as_bytes()).unwrap_or_default());
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let page = |sql: &Statements| self.query(&sql.page).bind(after).bind(rows);
        let rows = self.rows(self.client.call(), page).await?;
        let records = rows.iter().map(named).collect::<Result<Vec<_>>>()?;
        Ok(Listed::by_id(records, limit))
    }

    async fn count(&self) -> Result<u64> {
        let count = |sql: &Statements| self.query(&sql.count);
        number(self.rows(self.client.without_deadline(), count).await?.first())
    }

    async fn clear(&self) -> Result<()> {
        let mut after = String::new();
        loop {
            let clear = || self.sql.statements[0].clear.query().bind(after.as_str());
            let row = self.client.call().row(clear).await?;
            let (chosen, last) = row
                .map_or(Ok((0, None)), |row| {
                    Ok((row.try_get::<i64, _>(0)?, row.try_get::<Option<String>, _>(1)?))
                })
                .map_err(store_error::<sqlx::Postgres>)?;
            if usize::try_from(chosen) == Ok(BATCH) {
                after = last.unwrap_or_default();
            } else if after.is_empty() {
                return Ok(());
            } else {
                // A session may have got an id where this has been.
                after.clear();
            }
        }
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let mut swept = 0;
        while swept < limit {
            let batch = BATCH.min(limit - swept);
            let sweep = |sql: &Statements| self.query(&sql.sweep).bind(row_limit(batch));
            let freed = self.done(self.client.call(), sweep).await?;
            let freed = usize::try_from(freed).unwrap_or(batch);
            swept += freed;
            if freed < batch {
                break;
            }
        }
        Ok(swept)
    }
}

impl_store!(ConnectPgSimple);
