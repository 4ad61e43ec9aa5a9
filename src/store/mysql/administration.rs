//! What [`MySql`] does with all sessions.

use sqlx::Row;

use super::MySql;
use super::operations::{BATCH, BEGIN};
use super::statements::{MySqlCall, MySqlQuery, query};
use crate::key::Key;
use crate::store::sql::{Failure, key, key_cursor, number, page, row_limit};
use crate::store::{Cursor, Listing, Page, Result};

pub(super) const SCAN: &str = "
SELECT `key`, {columns} FROM {sessions} WHERE `key` > ? AND expires_at > {now}
ORDER BY `key` LIMIT ?";

pub(super) const COUNT: &str = "SELECT COUNT(*) FROM {sessions} WHERE expires_at > {now}";

/// A batch of the rows after a given one, without a lock.
pub(super) const CHOOSE: &str = "
SELECT id FROM {sessions} FORCE INDEX (PRIMARY) WHERE id > ? AND id <= ? ORDER BY id LIMIT 1000";

pub(super) const LAST_ID: &str = "SELECT MAX(id) FROM {sessions}";

/// Skips rows that another sweeper has locked. Reads in the order of the index: a sort would have to
/// find and lock every expired row first.
pub(super) const EXPIRED: &str = "
SELECT id, `key` FROM {sessions} FORCE INDEX (expires_at) WHERE expires_at <= {now}
ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED";

/// Joins from the numbers, in JSON, to the rows. With `IN (…)` the server would scan a small table as a
/// whole, and wait for every row that another transaction has locked.
pub(super) const DELETE: &str = "
DELETE held
FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) AS chosen
STRAIGHT_JOIN {sessions} AS held ON held.id = chosen.id";

impl MySql {
    /// Removes the rows with these numbers.
    pub(super) fn deletion(&self, ids: &[i64]) -> MySqlQuery {
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        query(&self.sql.delete).bind(format!("[{}]", ids.join(",")))
    }

    /// The largest `id`, if there are rows. Rows that are inserted later have larger ones.
    pub(super) async fn last_id(&self, call: &mut MySqlCall<'_>) -> Result<Option<i64>> {
        let row = call.row(|| query(&self.sql.last_id)).await?;
        Ok(row.and_then(|row| row.get(0)))
    }

    async fn try_sweep(&self, call: &MySqlCall<'_>, limit: usize) -> Result<Vec<Key>, Failure> {
        let mut transaction = call.begin(BEGIN).await?;
        let expired = query(&self.sql.expired).bind(row_limit(limit));
        let rows = transaction.rows(expired).await?;
        if !rows.is_empty() {
            let ids = rows.iter().map(|row| number(row, 0)).collect::<Result<Vec<_>>>()?;
            transaction.done(self.deletion(&ids)).await?;
        }
        transaction.end("COMMIT").await?;
        Ok(rows.iter().map(|row| key(row, 1)).collect::<Result<_>>()?)
    }
}

#[async_trait::async_trait]
impl Listing for MySql {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let after = after.map_or(&[][..], Cursor::as_bytes);
        let limit = limit.max(1);
        let mut call = self.client.call();
        let rows = call.rows(|| query(&self.sql.scan).bind(after).bind(row_limit(limit))).await?;
        page(&rows, limit, true, &self.listeners, key_cursor)
    }

    async fn count(&self) -> Result<u64> {
        let mut call = self.client.call();
        let row = call.row(|| query(&self.sql.count)).await?;
        Ok(row.map_or(0, |row| row.get::<i64, _>(0).unsigned_abs()))
    }

    /// Works in batches as [`remove_owned`](crate::store::Owners::remove_owned) does, on all rows.
    async fn clear(&self) -> Result<()> {
        let (mut after, mut last) = (i64::MIN, None);
        loop {
            let mut call = self.client.call();
            let choose = || query(&self.sql.choose).bind(after).bind(last.unwrap_or(i64::MAX));
            let rows = call.rows(choose).await?;
            let ids = rows.iter().map(|row| number(row, 0)).collect::<Result<Vec<_>>>()?;
            let Some(&id) = ids.last() else {
                return Ok(());
            };
            call.done(|| self.deletion(&ids)).await?;
            if ids.len() < BATCH {
                return Ok(());
            }
            after = id;
            if last.is_none() {
                last = self.last_id(&mut call).await?;
            }
        }
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let mut swept = 0;
        while swept < limit {
            let batch = BATCH.min(limit - swept);
            let mut call = self.client.call();
            let keys = loop {
                match self.try_sweep(&call, batch).await {
                    Ok(keys) => break keys,
                    Err(failure) => call.recover(failure).await?,
                }
            };
            self.listeners.expired(&keys);
            swept += keys.len();
            if keys.len() < batch {
                break;
            }
        }
        Ok(swept)
    }
}
