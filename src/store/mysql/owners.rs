//! What [`MySql`] does with all sessions of an owner.
//!
//! No write changes a row's key, `created_at` or owner, and no `id` is used twice. So an owner's sessions
//! are read first, without a lock, from the index of owners, and then removed by their `id`. This locks
//! no row of another owner, even if the owner has most of the table.

use sqlx::Row;

use super::MySql;
use super::operations::{BATCH, BEGIN, insertion};
use super::statements::{MySqlCall, query};
use crate::key::Key;
use crate::record::Owner;
use crate::store::sql::{self, Failure, age_of, number, page, row_limit};
use crate::store::{Cursor, Inserted, NewRecord, OwnerLimit, Owners, Page, Result};

/// The most rows that the table of locks can have.
const SLOTS: u16 = 1024;

/// Inserts the row, or locks it if it exists. Either way, other transactions that need it wait for the
/// commit.
pub(super) const LOCK_OWNER: &str = "
INSERT INTO {locks} (slot) VALUES (?) ON DUPLICATE KEY UPDATE slot = slot";

/// The sessions above the limit, the youngest first, up to 1,000.
pub(super) const SURPLUS: &str = "
SELECT id, `key`, created_at FROM {sessions} FORCE INDEX (`owner`)
WHERE `owner` = ? AND expires_at > {now}
ORDER BY created_at DESC, id DESC LIMIT 1000 OFFSET ?";

/// The oldest sessions, up to a given one.
pub(super) const OLDEST: &str = "
SELECT id, `key` FROM {sessions} FORCE INDEX (`owner`)
WHERE `owner` = ? AND expires_at > {now} AND (created_at < ? OR (created_at = ? AND id <= ?))
ORDER BY created_at, id LIMIT 1000";

/// The sessions older than a given position, the youngest first.
pub(super) const OWNED: &str = "
SELECT `key`, {columns}, id FROM {sessions} FORCE INDEX (`owner`)
WHERE `owner` = ? AND expires_at > {now}
    AND (created_at < ? OR (created_at = ? AND id < ?))
ORDER BY created_at DESC, id DESC LIMIT ?";

/// A batch of the owner's sessions that began after a given one, the oldest first. It sees every session
/// that was committed before the statement.
pub(super) const CHOOSE_OWNED: &str = "
SELECT id, created_at FROM {sessions} FORCE INDEX (`owner`)
WHERE `owner` = ? AND NOT (`key` <=> ?) AND id <= ?
    AND (created_at > ? OR (created_at = ? AND id > ?))
ORDER BY created_at, id LIMIT 1000";

/// The column of `created_at`: it comes after the key and three columns of the record.
const CREATED_AT: usize = 4;

/// A position in an owner's sessions, ordered by when they began.
#[derive(Clone, Copy)]
struct Position {
    created_at: i64,
    id: i64,
}

impl Position {
    /// Before all rows, and after all rows.
    const FIRST: Self = Self { created_at: i64::MIN, id: i64::MIN };
    const LAST: Self = Self { created_at: i64::MAX, id: i64::MAX };

    fn of(cursor: &Cursor) -> Result<Self> {
        let (created_at, id) = age_of(cursor)?;
        let id = id.try_into().map(i64::from_be_bytes).unwrap_or(i64::MAX);
        Ok(Self { created_at, id })
    }

    fn cursor(self) -> Cursor {
        Cursor::new([self.created_at.to_be_bytes(), self.id.to_be_bytes()].concat())
    }
}

impl MySql {
    /// Inserts while it holds the owner's lock. `None` if another operation removed a row that it was
    /// about to evict.
    pub(super) async fn try_insert_limited(
        &self,
        call: &MySqlCall<'_>,
        key: &Key,
        record: &NewRecord<'_>,
        owner: &Owner,
        limit: OwnerLimit,
    ) -> Result<Option<Inserted>, Failure> {
        let mut transaction = call.begin(BEGIN).await?;
        transaction.done(query(&self.sql.lock_owner).bind(slot(owner))).await?;
        let surplus = query(&self.sql.surplus)
            .bind(owner.as_str().as_bytes())
            .bind(i64::from(limit.max().get()) - 1);
        let mut rows = transaction.rows(surplus).await?;
        if !rows.is_empty() && !limit.evicts() {
            let lives = query(&self.sql.lives).bind(key.as_bytes().as_slice());
            let taken = !transaction.rows(lives).await?.is_empty();
            transaction.end("ROLLBACK").await?;
            return Ok(Some(if taken { Inserted::KeyTaken } else { Inserted::OwnerFull }));
        }
        if rows.len() == BATCH {
            let (id, began) = (number(&rows[0], 0)?, number(&rows[0], 2)?);
            let oldest = query(&self.sql.oldest).bind(owner.as_str().as_bytes());
            rows = transaction.rows(oldest.bind(began).bind(began).bind(id)).await?;
        }
        let ids = rows.iter().map(|row| number(row, 0)).collect::<Result<Vec<_>>>()?;
        let evicted = rows.iter().map(|row| sql::key(row, 1)).collect::<Result<Vec<_>>>()?;
        if !ids.is_empty() {
            let gone = transaction.done(self.deletion(&ids)).await?.rows_affected();
            if gone != ids.len() as u64 {
                transaction.end("ROLLBACK").await?;
                return Ok(None);
            }
        }
        transaction.done(insertion(&self.sql.insert, key, record)).await?;
        transaction.end("COMMIT").await?;
        Ok(Some(Inserted::Done { evicted }))
    }
}

#[async_trait::async_trait]
impl Owners for MySql {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        let owner = owner.as_str().as_bytes();
        let after = after.map_or(Ok(Position::LAST), Position::of)?;
        let sql = if with_data { &self.sql.owned } else { &self.sql.owned_heads };
        let owned = || {
            let owned = query(sql).bind(owner).bind(after.created_at).bind(after.created_at);
            owned.bind(after.id).bind(row_limit(limit))
        };
        let rows = self.client.call().rows(owned).await?;
        page(&rows, limit, with_data, &self.listeners, |row| {
            let (created_at, id) = (number(row, CREATED_AT)?, number(row, row.len() - 1)?);
            Ok(Position { created_at, id }.cursor())
        })
    }

    /// Each batch has a deadline of its own. From the second batch on, only rows that existed after the
    /// first one are removed, so new logins do not prolong the call.
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let owner = owner.as_str().as_bytes();
        let keep = keep.map(|key| key.as_bytes().as_slice());
        let (mut after, mut last) = (Position::FIRST, None);
        loop {
            let mut call = self.client.call();
            let choose = || {
                let choose = query(&self.sql.choose_owned).bind(owner).bind(keep);
                let choose = choose.bind(last.unwrap_or(i64::MAX));
                choose.bind(after.created_at).bind(after.created_at).bind(after.id)
            };
            let rows = call.rows(choose).await?;
            let ids = rows.iter().map(|row| number(row, 0)).collect::<Result<Vec<_>>>()?;
            let Some(row) = rows.last() else {
                return Ok(());
            };
            call.done(|| self.deletion(&ids)).await?;
            if rows.len() < BATCH {
                return Ok(());
            }
            after = Position { created_at: number(row, 1)?, id: number(row, 0)? };
            if last.is_none() {
                last = self.last_id(&mut call).await?;
            }
        }
    }
}

/// The owner's row in the table of locks. Owners that share a row wait for each other; nothing else
/// follows from it.
fn slot(owner: &Owner) -> u16 {
    owner.partition(SLOTS)
}
