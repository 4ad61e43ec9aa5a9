//! The operations of [`Sqlite`]. Those that read run here; those that write go to the writer.

use std::sync::Arc;

use sqlx::Row;
use tokio::time::Instant;

use super::Sqlite;
use super::statement::{on_table, query};
use super::writes::{self, Work};
use crate::event::Events;
use crate::key::Key;
use crate::proof::Claim;
use crate::record::{Owner, Record};
use crate::store::sql::{age_cursor, age_of, key_cursor, page, record, row_limit};
use crate::store::{
    AtomicStore, Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Page,
    Removed, Replaced, Result, Store, Watch, Write,
};

/// How many rows one transaction removes at most. Other writes run between two transactions.
const BATCH: usize = 500;

/// The statements that read, with the name of one table in them.
#[derive(Debug)]
pub(super) struct ReadStatements {
    load: Arc<str>,
    alive: Arc<str>,
    owned: Arc<str>,
    scan: Arc<str>,
    count: Arc<str>,
}

impl ReadStatements {
    pub fn new(table: &str) -> Self {
        let sql = |template| on_table(table, template);
        Self {
            load: sql(LOAD),
            alive: sql(ALIVE),
            owned: sql(OWNED),
            scan: sql(SCAN),
            count: sql(COUNT),
        }
    }
}

/// Reads no record that the claim fits in neither secret.
const LOAD: &str = "
SELECT {meta}, iif(?4, data, x'') FROM {sessions}
WHERE key = ?2 AND expires_at > ?1
    AND (?3 IS NULL OR instr(?3, proof) OR instr(?3, previous_proof))";

/// `?2` holds the keys, one after the other.
const ALIVE: &str = "
WITH RECURSIVE places (place) AS (
    SELECT 1 UNION ALL SELECT place + 16 FROM places WHERE place + 16 <= length(?2)
)
SELECT EXISTS (
    SELECT 1 FROM {sessions} WHERE key = substr(?2, place, 16) AND expires_at > ?1
)
FROM places ORDER BY place";

/// Walks the owner's index backwards.
const OWNED: &str = "
SELECT key, {meta}, iif(?6, data, x'') FROM {sessions}
WHERE owner = ?2 AND expires_at > ?1 AND (created_at, key) < (?3, ?4)
ORDER BY created_at DESC, key DESC LIMIT ?5";

const SCAN: &str = "
SELECT key, {meta}, data FROM {sessions} WHERE key > ?2 AND expires_at > ?1
ORDER BY key LIMIT ?3";

const COUNT: &str = "SELECT count(*) FROM {sessions} WHERE expires_at > ?1";

impl Sqlite {
    pub(super) async fn create_table(&self) -> Result<()> {
        self.writer.run(writes::Migrate, None).await
    }

    async fn write<W: Work>(&self, work: W) -> Result<W::Answer> {
        let deadline = Instant::now() + self.readers.timeout;
        self.writer.run(work, Some(deadline)).await
    }

    /// The live record under the key, if the claim is of one of its secrets. Writes nothing.
    async fn find(&self, key: &Key, load: &Load<'_>) -> Result<Option<Record>> {
        let mut call = self.readers.call();
        let row = call
            .row(|| {
                query(&self.sql.load)
                    .bind(key.as_bytes().as_slice())
                    .bind(load.claim.map(Claim::as_bytes))
                    .bind(load.with_data)
            })
            .await?;
        row.map(|row| record(&row, 0, key, load.with_data)).transpose()
    }
}

#[async_trait::async_trait]
impl Store for Sqlite {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        self.write(writes::Insert::new(key, record)).await
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let mut record = self.find(key, load).await?;
        if record.as_ref().is_some_and(|record| record.is_changed_by(load, record.meta.now)) {
            record = self.write(writes::TouchAndConfirm::new(key, load)).await??;
            if record.is_none() {
                // Since the read, the session has ended or got other secrets.
                record = self.find(key, load).await?;
            }
        }
        Ok(record.map_or(Found::Missing, |record| {
            let now = record.meta.now;
            record.found(load, now)
        }))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        self.write(writes::Replace::new(key, write)).await?
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        self.write(writes::Remove::new(key, condition, hand_out)).await?
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<u8> = keys.iter().flat_map(Key::as_bytes).copied().collect();
        let mut call = self.readers.call();
        let rows = call.rows(|| query(&self.sql.alive).bind(keys.clone())).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }

    fn watch(&self) -> Option<&dyn Watch> {
        None
    }

    fn moves(&self) -> Option<&dyn Moves> {
        None
    }

    fn partitions(&self) -> u16 {
        1
    }

    fn keeps_plain_ids(&self) -> bool {
        false
    }

    fn attach(&self, events: &Events) {
        self.listeners.attach(events);
    }
}

#[async_trait::async_trait]
impl Owners for Sqlite {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        let (began, key) = match after {
            Some(cursor) => age_of(cursor)?,
            None => (i64::MAX, &[][..]),
        };
        let mut call = self.readers.call();
        let rows = call
            .rows(|| {
                query(&self.sql.owned)
                    .bind(owner.as_str())
                    .bind(began)
                    .bind(key)
                    .bind(row_limit(limit))
                    .bind(with_data)
            })
            .await?;
        page(&rows, limit, with_data, &self.listeners, age_cursor)
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
            // Sessions that begin from now on do not prolong the removal.
            until = until.or(batch.until);
        }
    }
}

#[async_trait::async_trait]
impl Listing for Sqlite {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let after = after.map_or(&[][..], Cursor::as_bytes);
        let limit = limit.max(1);
        let mut call = self.readers.call();
        let rows = call.rows(|| query(&self.sql.scan).bind(after).bind(row_limit(limit))).await?;
        page(&rows, limit, true, &self.listeners, key_cursor)
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
}

impl AtomicStore for Sqlite {}
