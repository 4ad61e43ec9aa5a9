//! What [`Postgres`] does with all sessions.

use sqlx::Row;

use super::Postgres;
use super::operations::{BATCH, query};
use crate::store::sql::{key, key_cursor, page, row_limit};
use crate::store::{Cursor, Listing, Page, Result};

pub(super) const SCAN: &str = "
SELECT key, {meta}, data FROM {sessions} WHERE key > $1 AND expires_at > {now} AND {own}
ORDER BY key LIMIT $2";

pub(super) const COUNT: &str = "SELECT count(*) FROM {sessions} WHERE expires_at > {now} AND {own}";

/// A batch of all rows, in the order of their keys.
pub(super) const CLEAR: &str = "
WITH chosen AS MATERIALIZED (
    SELECT key FROM {sessions} WHERE key > $1 ORDER BY key LIMIT 1000
),
gone AS (
    DELETE FROM {sessions} WHERE key = ANY (ARRAY(SELECT key FROM chosen))
)
SELECT (SELECT count(*) FROM chosen), (SELECT key FROM chosen ORDER BY key DESC LIMIT 1)
WHERE {own}";

/// Reads the clock at the statement's beginning: the planner uses an index only for a value that stays
/// the same within the statement. Rows that another sweeper has locked are skipped. `MATERIALIZED` keeps
/// the planner from choosing the rows twice; the second choice would be other rows.
pub(super) const SWEEP: &str = "
WITH expired AS MATERIALIZED (
    SELECT key FROM {sessions}
    WHERE expires_at <= floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint
    ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
DELETE FROM {sessions} WHERE key = ANY (ARRAY(SELECT key FROM expired)) AND {own}
RETURNING key";

#[async_trait::async_trait]
impl Listing for Postgres {
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

    async fn clear(&self) -> Result<()> {
        let mut after = Vec::new();
        loop {
            let mut call = self.client.call();
            let row = call.row(|| query(&self.sql.clear).bind(after.as_slice())).await?;
            let (chosen, last): (i64, Option<Vec<u8>>) =
                row.map_or((0, None), |row| (row.get(0), row.get(1)));
            if chosen < row_limit(BATCH) {
                return Ok(());
            }
            after = last.unwrap_or_default();
        }
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let mut swept = 0;
        while swept < limit {
            let batch = BATCH.min(limit - swept);
            let mut call = self.client.call();
            let rows = call.rows(|| query(&self.sql.sweep).bind(row_limit(batch))).await?;
            let keys = rows.iter().map(|row| key(row, 0)).collect::<Result<Vec<_>>>()?;
            self.listeners.expired(&keys);
            swept += keys.len();
            if keys.len() < batch {
                break;
            }
        }
        Ok(swept)
    }
}
