//! [`ConnectPgSimple`]: what connect-pg-simple keeps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};

use super::operations::{self, Backend, Listed, impl_store};
use super::session::{Format, Life, Stored};
use super::shape::Shape;
use crate::record::{Meta, Owner, Record, Timestamp};
use crate::store::patience::patience;
use crate::store::postgres::PostgresBuilder;
use crate::store::postgres::statement::{PgQuery, Sending, Statement, keeps_no_statements};
use crate::store::sql::{Client, Quotes, quoted, store_error};
use crate::store::{
    Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced, Result,
    Touch, Write,
};
use crate::token::Key;

const QUOTES: Quotes = Quotes { mark: '"', longest: 63 };

/// What the package compares with: its clock, rounded up. `$1` is the time zone of the Node
/// service's connections, in which the column is; the zone of our own does not matter then.
const SECOND: &str = "(to_timestamp(ceil(extract(epoch FROM now()))) AT TIME ZONE $1::text)";

/// So many seconds from now, rounded up as the package does; `NULL`: never.
const END: &str = "coalesce(to_timestamp(ceil(extract(epoch FROM now())::float8 + $4::float8)) \
                   AT TIME ZONE $1::text, 'infinity')";

/// The text, the milliseconds since the epoch when it ends, the clock.
const RECORD: &str = "sess::text, \
                      (extract(epoch FROM expire AT TIME ZONE $1::text) * 1000)::float8, \
                      (extract(epoch FROM now()) * 1000)::int8";

/// A live row that is as it was read.
const OLD: &str = "sid = $2 AND sess::text = $3 AND expire >= {second} AND {own}";

const FETCH: &str =
    "SELECT {record} FROM {sessions} WHERE sid = $2 AND expire >= {second} AND {own}";

/// An expired row is no hindrance. By way of text, the column may be `json` or `jsonb`.
const ADD: &str = "INSERT INTO {sessions} AS present (sid, sess, expire) \
                   SELECT $2, $3::text::json, {end} WHERE {own} \
                   ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire \
                   WHERE present.expire < {second} RETURNING sess::text";

const SWAP: &str = "UPDATE {sessions} SET sess = $4::text::json WHERE {old} RETURNING sess::text";

const SWAP_FOR: &str = "UPDATE {sessions} SET sess = $5::text::json, expire = {end} WHERE {old} \
                        RETURNING sess::text";

const EXTEND: &str = "UPDATE {sessions} SET expire = {end} WHERE {old}";

const DISCARD: &str = "DELETE FROM {sessions} WHERE {old}";

const CLOCK: &str = "SELECT (extract(epoch FROM now()) * 1000)::int8 WHERE {own}";

/// Fails where there is no such zone.
const LOCAL_TIME: &str = "SELECT now() AT TIME ZONE $1::text WHERE {own}";

const PAGE: &str = "SELECT {record}, sid FROM {sessions} WHERE sid > $2 AND expire >= {second} \
                    AND {own} ORDER BY sid LIMIT $3";

const COUNT: &str = "SELECT count(*) FROM {sessions} WHERE expire >= {second} AND {own}";

const CLEAR: &str = "DELETE FROM {sessions} WHERE {own}";

const SWEEP: &str = "DELETE FROM {sessions} WHERE expire < {second} AND {own} AND sid IN \
                     (SELECT sid FROM {sessions} WHERE expire < {second} LIMIT $2)";

/// Shares the sessions that connect-pg-simple 6 to 10 keeps in a table of PostgreSQL. What is lost
/// against [`Postgres`](crate::store::Postgres) stands in the [module's docs](super).
///
/// # Which time zone?
/// The column `expire` is a `timestamp` without a time zone: the package writes the local time of its
/// connection. In another zone than Node's, a session would live hours too long or too short. So this
/// store asks for the zone that the Node service's connections have, which is the one that
/// `SHOW TimeZone` says to it, or to `psql` with the same role and database. The zone of this store's
/// own connections does not matter. Best is UTC, which has no hour twice a year.
///
/// * Expiry is kept in whole seconds, rounded up, as in Node.
/// * Where the column `sess` was made `jsonb`, PostgreSQL re-spaces and re-orders what it is given, and
///   refuses `\u0000` and lone surrogates; both types work here.
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
    sql: Arc<Statements>,
    format: Format,
}

#[derive(Debug)]
struct Statements {
    fetch: Statement,
    add: Statement,
    swap: Statement,
    swap_for: Statement,
    extend: Statement,
    discard: Statement,
    clock: Statement,
    local_time: Statement,
    page: Statement,
    count: Statement,
    clear: Statement,
    sweep: Statement,
}

impl Statements {
    fn new(table: &str, sending: &Sending) -> Self {
        let sql = |template: &str| {
            let template = template.replace("{old}", OLD).replace("{record}", RECORD);
            let template = template.replace("{end}", END).replace("{second}", SECOND);
            Statement::new(&template, &[("{sessions}", table)], sending)
        };
        Self {
            fetch: sql(FETCH),
            add: sql(ADD),
            swap: sql(SWAP),
            swap_for: sql(SWAP_FOR),
            extend: sql(EXTEND),
            discard: sql(DISCARD),
            clock: sql(CLOCK),
            local_time: sql(LOCAL_TIME),
            page: sql(PAGE),
            count: sql(COUNT),
            clear: sql(CLEAR),
            sweep: sql(SWEEP),
        }
    }
}

impl ConnectPgSimple {
    /// Over a pool that is there already; `time_zone` is that of the Node service's connections. One
    /// that PostgreSQL does not know is an error of every call.
    pub fn new(pool: PgPool, shape: Shape, time_zone: impl Into<String>) -> Self {
        let (table, sending) = ("\"session\"".to_owned(), Sending::Prepared);
        Self {
            client: Client::new(pool, Duration::from_secs(5)),
            time_zone: time_zone.into(),
            sql: Arc::new(Statements::new(&table, &sending)),
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
        let local_time = store.client.call().row(|| store.query(&store.sql.local_time)).await;
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
        self.sql = Arc::new(Statements::new(&table, &self.sending));
        self.table = table;
        Ok(self)
    }

    /// Whether statements are prepared: yes by default, and no where the URL of
    /// [`connect`](Self::connect) says `statement-cache-capacity=0`. See
    /// [`PostgresBuilder::prepared_statements`](crate::store::PostgresBuilder::prepared_statements).
    #[must_use]
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.sending = if prepared { Sending::Prepared } else { Sending::written("") };
        self.sql = Arc::new(Statements::new(&self.table, &self.sending));
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

    /// The text in the row that a write hands out, if it found one.
    async fn written(&self, query: impl Fn() -> PgQuery) -> Result<Option<String>> {
        let row = self.client.call().row(query).await?;
        let text = row.map(|row| row.try_get(0)).transpose();
        text.map_err(store_error::<sqlx::Postgres>)
    }

    async fn number(&self, query: impl Fn() -> PgQuery) -> Result<u64> {
        let row = self.client.unhurried().row(query).await?;
        let number = row.map_or(Ok(0), |row| row.try_get::<i64, _>(0));
        Ok(number.map_err(store_error::<sqlx::Postgres>)?.try_into().unwrap_or_default())
    }
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

fn advice(code: &str) -> Option<String> {
    let advice = match code {
        "3F000" | "42703" | "42P01" => {
            "has no such table or schema, or other columns there; connect-pg-simple makes its table \
             with the option `createTableIfMissing`, or run its table.sql"
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

    fn format(&self) -> &Format {
        &self.format
    }

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
        let fetch = || self.query(&self.sql.fetch).bind(id);
        let row = self.client.call().row(fetch).await?;
        let found = row.as_ref().map(stored).transpose()?;
        Ok(found.map(|stored| (stored.clone(), stored.text)))
    }

    async fn add(
        &self,
        id: &str,
        text: &str,
        life: Option<Duration>,
        _: Option<&Bytes>,
    ) -> Result<Option<String>> {
        let life = life.map(|life| life.as_secs_f64());
        let add = || self.query(&self.sql.add).bind(id).bind(text).bind(life);
        self.written(add).await
    }

    async fn swap(&self, id: &str, old: &Bytes, text: &str, life: Life) -> Result<Option<String>> {
        let old = String::from_utf8_lossy(old);
        let swap = || match life {
            Life::Keep => {
                let swap = self.query(&self.sql.swap).bind(id);
                swap.bind(&*old).bind(text)
            }
            Life::For(life) => {
                let swap = self.query(&self.sql.swap_for).bind(id);
                swap.bind(&*old).bind(life.as_secs_f64()).bind(text)
            }
        };
        self.written(swap).await
    }

    async fn extend(&self, id: &str, old: &Bytes, life: Duration) -> Result<bool> {
        let old = String::from_utf8_lossy(old);
        let extend = || {
            let extend = self.query(&self.sql.extend).bind(id);
            extend.bind(&*old).bind(life.as_secs_f64())
        };
        Ok(self.client.call().done(extend).await?.rows_affected() == 1)
    }

    async fn discard(&self, id: &str, old: &Bytes) -> Result<bool> {
        let old = String::from_utf8_lossy(old);
        let discard = || self.query(&self.sql.discard).bind(id).bind(&*old);
        Ok(self.client.call().done(discard).await?.rows_affected() == 1)
    }

    async fn clock(&self, _: &str) -> Result<Timestamp> {
        Ok(Timestamp::from_millis(self.number(|| self.sql.clock.query()).await?))
    }

    async fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Listed> {
        let after = after.map_or("", |after| str::from_utf8(after.as_bytes()).unwrap_or_default());
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let page = || self.query(&self.sql.page).bind(after).bind(rows);
        let rows = self.client.call().rows(page).await?;
        let record = |row: &PgRow| {
            let id: String = row.try_get(3).map_err(store_error::<sqlx::Postgres>)?;
            Ok((id, stored(row)?))
        };
        let records = rows.iter().map(record).collect::<Result<Vec<_>>>()?;
        Ok(Listed::by_id(records, limit))
    }

    async fn count(&self) -> Result<u64> {
        self.number(|| self.query(&self.sql.count)).await
    }

    async fn clear(&self) -> Result<()> {
        self.client.unhurried().done(|| self.sql.clear.query()).await.map(drop)
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let sweep = || self.query(&self.sql.sweep).bind(rows);
        let swept = self.client.unhurried().done(sweep).await?.rows_affected();
        Ok(swept.try_into().unwrap_or(usize::MAX))
    }
}

impl_store!(ConnectPgSimple);
