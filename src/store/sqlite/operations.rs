//! The operations of [`Sqlite`]: those that read, with their statements, and the way to the writer
//! for those that write.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use tokio::time::Instant;

use super::Sqlite;
use super::writer::Work;
use super::writes;
use crate::event::Events;
use crate::key::Key;
use crate::record::{Meta, Owner, Record};
use crate::store::sql::{fill, list, meta, page, record, row_limit};
use crate::store::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced,
    Result, Store, Touch, Write,
};

/// The columns that make a [`Meta`]; `?1` is the clock in every statement.
const META: &str = "version, idle_ms, absolute_ms, created_at, last_seen, deadline, \
                    authenticated_at, owner, label, ?1";

/// How many rows one transaction removes at most, so that other writes have their turn soon.
const BATCH: usize = 500;

/// The statements, with the name of one table in them.
#[derive(Debug)]
pub(super) struct Statements {
    load: Arc<str>,
    touch: Arc<str>,
    owned: Arc<str>,
    scan: Arc<str>,
    count: Arc<str>,
    pub writes: writes::Statements,
}

impl Statements {
    pub fn new(table: &str, indexes: [&str; 2]) -> Self {
        let sql = |template: &str| fill(template, &[("{meta}", META), ("{sessions}", table)]);
        Self {
            load: sql(&LOAD.replace("{columns}", "{meta}, data")),
            touch: sql(&LOAD.replace("{columns}", "{meta}")),
            owned: sql(OWNED),
            scan: sql(SCAN),
            count: sql(COUNT),
            writes: writes::Statements::new(table, indexes, sql),
        }
    }
}

const LOAD: &str = "SELECT {columns} FROM {sessions} WHERE key = ?2 AND expires_at > ?1";

const OWNED: &str = "
SELECT key, {meta} FROM {sessions} WHERE owner = ?2 AND expires_at > ?1
ORDER BY created_at DESC, key LIMIT ?3";

const SCAN: &str = "
SELECT key, {meta}, data FROM {sessions} WHERE key > ?2 AND expires_at > ?1
ORDER BY key LIMIT ?3";

const COUNT: &str = "SELECT count(*) FROM {sessions} WHERE expires_at > ?1";

/// The statement with the clock bound, as `?1`.
pub(super) fn query(sql: &Arc<str>) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    sqlx::query(AssertSqlSafe(Arc::clone(sql))).bind(now())
}

/// This machine's clock, in milliseconds since the Unix epoch.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}

fn key_query(sql: &Arc<str>, key: &Key) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    query(sql).bind(key.as_bytes().as_slice())
}

impl Sqlite {
    pub(super) async fn create_table(&self) -> Result<()> {
        self.writer.run(writes::Migrate, None).await
    }

    async fn write<W: Work>(&self, work: W) -> Result<W::Answer> {
        let deadline = Instant::now() + self.readers.timeout;
        self.writer.run(work, Some(deadline)).await
    }

    async fn load_row(&self, sql: &Arc<str>, key: &Key) -> Result<Option<SqliteRow>> {
        let mut call = self.readers.call();
        call.row(|| key_query(sql, key)).await
    }
}

/// Whether a record that was read just now is to be touched.
fn is_due(meta: &Meta, touch: Touch) -> bool {
    match touch {
        Touch::No => false,
        Touch::After(interval) => meta.lifetime.touch_due(meta.last_seen, meta.now, interval),
    }
}

#[async_trait::async_trait]
impl Store for Sqlite {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        self.write(writes::Insert::new(key, record)).await
    }

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        let Some(row) = self.load_row(&self.sql.load, key).await? else {
            return Ok(None);
        };
        let found = record(&row, 0, key)?;
        if is_due(&found.meta, touch) {
            self.write(writes::Touch(key.clone())).await?
        } else {
            Ok(Some(found))
        }
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        let Some(row) = self.load_row(&self.sql.touch, key).await? else {
            return Ok(None);
        };
        let found = meta(&row, 0, key)?;
        if is_due(&found, touch) {
            let touched = self.write(writes::Touch(key.clone())).await??;
            Ok(touched.map(|record| record.meta))
        } else {
            Ok(Some(found))
        }
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        self.write(writes::Replace::new(key, write)).await?
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let (from, to) = (from.clone(), to.clone());
        self.write(writes::Rename { from, to, renewal }).await?
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        self.write(writes::Take(key.clone())).await?
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        self.write(writes::Remove::new(key, condition)).await
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        let mut call = self.readers.call();
        let rows = call
            .rows(|| query(&self.sql.owned).bind(owner.as_str()).bind(row_limit(limit)))
            .await?;
        list(&rows, &self.listeners)
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let mut until = None;
        loop {
            let (owner, keep) = (owner.clone(), keep.cloned());
            let batch = writes::RemoveOwned { owner, keep, until, limit: BATCH };
            let batch = self.write(batch).await?;
            if batch.is_last {
                return Ok(());
            }
            // Logins from now on do not prolong it.
            until = until.or(batch.until);
        }
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let after = after.map_or(&[][..], Cursor::as_bytes);
        let limit = limit.max(1);
        let mut call = self.readers.call();
        let rows = call.rows(|| query(&self.sql.scan).bind(after).bind(row_limit(limit))).await?;
        page(&rows, limit, &self.listeners)
    }

    async fn count(&self) -> Result<u64> {
        let mut call = self.readers.call();
        let row = call.row(|| query(&self.sql.count)).await?;
        Ok(row.map_or(0, |row| row.get::<i64, _>(0).unsigned_abs()))
    }

    async fn clear(&self) -> Result<()> {
        let mut until = None;
        loop {
            let batch = self.write(writes::Clear { until, limit: BATCH }).await?;
            if batch.is_last {
                return Ok(());
            }
            until = until.or(batch.until);
        }
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let mut swept = 0;
        while swept < limit {
            let batch = BATCH.min(limit - swept);
            let keys = self.write(writes::Sweep(batch)).await??;
            self.listeners.expired(&keys);
            swept += keys.len();
            if keys.len() < batch {
                break;
            }
        }
        Ok(swept)
    }

    fn attach(&self, events: &Events) {
        self.listeners.attach(events);
    }
}

impl AtomicStore for Sqlite {}
