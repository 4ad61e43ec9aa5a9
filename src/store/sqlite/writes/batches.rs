//! Removals of many rows. Each batch is one operation, so other writes run between two batches.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{Outcome, Work, WriteStatements};
use crate::key::Key;
use crate::record::Owner;
use crate::store::Result;
use crate::store::sql::{key, row_limit};
use crate::store::sqlite::statement::query;

/// Ends a batch of an owner's sessions.
pub(in crate::store::sqlite) struct RemoveOwned {
    pub owner: Owner,
    pub keep: Option<Key>,
    /// Leaves sessions that began later.
    pub until: Option<i64>,
    pub limit: usize,
}

pub(super) const REMOVE_OWNED: &str = "
DELETE FROM {sessions} WHERE rowid IN (
    SELECT rowid FROM {sessions} WHERE owner = ?2 AND key IS NOT ?3 AND created_at <= ?4
    ORDER BY created_at LIMIT ?5
)";

pub(super) const YOUNGEST: &str = "SELECT max(created_at) FROM {sessions} WHERE owner = ?2";

impl Work for RemoveOwned {
    type Answer = Batch;

    async fn run(
        &self,
        sql: &WriteStatements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Batch> {
        let done = query(&sql.remove_owned)
            .bind(self.owner.as_str())
            .bind(self.keep.as_ref().map(|key| key.as_bytes().as_slice()))
            .bind(self.until.unwrap_or(i64::MAX))
            .bind(row_limit(self.limit))
            .execute(&mut *connection)
            .await?;
        let youngest = query(&sql.youngest).bind(self.owner.as_str());
        let until = youngest.fetch_one(connection).await?.try_get(0)?;
        Ok(Batch { is_last: done.rows_affected() < self.limit as u64, until })
    }
}

/// The answer to a batch.
pub(in crate::store::sqlite) struct Batch {
    /// Whether no rows are left to remove.
    pub is_last: bool,
    /// Where the last row stands: later rows are not there yet.
    pub until: Option<i64>,
}

/// Removes a batch of all rows.
pub(in crate::store::sqlite) struct Clear {
    /// Leaves rows with a larger number.
    pub until: Option<i64>,
    pub limit: usize,
}

pub(super) const CLEAR: &str = "
DELETE FROM {sessions} WHERE rowid IN (
    SELECT rowid FROM {sessions} WHERE rowid <= ?2 ORDER BY rowid LIMIT ?3
)";

pub(super) const LAST: &str = "SELECT max(rowid) FROM {sessions}";

impl Work for Clear {
    type Answer = Batch;

    async fn run(
        &self,
        sql: &WriteStatements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Batch> {
        let clear = query(&sql.clear).bind(self.until.unwrap_or(i64::MAX));
        let done = clear.bind(row_limit(self.limit)).execute(&mut *connection).await?;
        let until = query(&sql.last).fetch_one(connection).await?.try_get(0)?;
        Ok(Batch { is_last: done.rows_affected() < self.limit as u64, until })
    }
}

/// Removes up to this many expired rows.
pub(in crate::store::sqlite) struct Sweep(pub usize);

pub(super) const SWEEP: &str = "
DELETE FROM {sessions} WHERE rowid IN (
    SELECT rowid FROM {sessions} WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
)
RETURNING key";

impl Work for Sweep {
    type Answer = Result<Vec<Key>>;

    async fn run(
        &self,
        sql: &WriteStatements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let rows = query(&sql.sweep).bind(row_limit(self.0)).fetch_all(connection).await?;
        Ok(rows.iter().map(|row| key(row, 0)).collect())
    }
}
