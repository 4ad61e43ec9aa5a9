//! What [`MySql`] does with all sessions of an owner.
//!
//! A row keeps its `id` and its `created_at` whatever is written to it, and no `id` is given twice.
//! So the sessions of an owner are looked up first, without a lock, in the index of owners, and then
//! written by their `id`: nothing is locked that is not the owner's, however large a part of the
//! table that is.

use std::fmt::Write as _;

use super::MySql;
use super::operations::{BATCH, BEGIN, MySqlCall, MySqlQuery, insertion, query};
use crate::key::Key;
use crate::record::{Meta, Owner};
use crate::store::sql::{Failure, key, list, number, row_limit};
use crate::store::{Inserted, NewRecord, OwnerLimit, Result};

/// How many rows the table of locks has at most.
const SLOTS: u16 = 1024;

/// Makes the row, or locks it where it is there: either way no other can until the commit.
pub(super) const LOCK_OWNER: &str = "
INSERT INTO {locks} (slot) VALUES (?) ON DUPLICATE KEY UPDATE slot = slot";

/// Those that are too many, the youngest first, up to 1,000.
pub(super) const SURPLUS: &str = "
SELECT id, `key`, created_at FROM {sessions} FORCE INDEX (`owner`)
WHERE `owner` = ? AND expires_at > {now}
ORDER BY created_at DESC, id DESC LIMIT 1000 OFFSET ?";

/// The oldest, none of which is younger than a given one.
pub(super) const OLDEST: &str = "
SELECT id, `key` FROM {sessions} FORCE INDEX (`owner`)
WHERE `owner` = ? AND expires_at > {now} AND (created_at < ? OR (created_at = ? AND id <= ?))
ORDER BY created_at, id LIMIT 1000";

/// Leaves a row that has another key by now.
pub(super) const EVICT: &str = "
DELETE held
FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', `key` VARCHAR(64) PATH '$[1]')) AS chosen
STRAIGHT_JOIN {sessions} AS held ON held.id = chosen.id AND held.`key` = UNHEX(chosen.`key`)";

pub(super) const OWNED: &str = "
SELECT `key`, {meta} FROM {sessions} FORCE INDEX (`owner`)
WHERE `owner` = ? AND expires_at > {now}
ORDER BY created_at DESC, id DESC LIMIT ?";

/// A batch of the owner's sessions behind a given one, in the order in which they began. It sees each
/// session that was committed before.
pub(super) const CHOOSE_OWNED: &str = "
SELECT id, created_at FROM {sessions} FORCE INDEX (`owner`)
WHERE `owner` = ? AND NOT (`key` <=> ?) AND id <= ?
    AND (created_at > ? OR (created_at = ? AND id > ?))
ORDER BY created_at, id LIMIT 1000";

/// A row of an owner's, by its place and its key.
type Place = (i64, Key);

impl MySql {
    /// Inserts with the owner locked. `None`: another operation took a row from under it, or gave it
    /// another key.
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
        let evicted = places(&rows)?;
        if !evicted.is_empty() {
            let gone = transaction.done(self.eviction(&evicted)).await?.rows_affected();
            if gone != evicted.len() as u64 {
                transaction.end("ROLLBACK").await?;
                return Ok(None);
            }
        }
        transaction.done(insertion(&self.sql.insert, key, record)).await?;
        transaction.end("COMMIT").await?;
        let evicted = evicted.into_iter().map(|(_, key)| key).collect();
        Ok(Some(Inserted::Done { evicted }))
    }

    fn eviction(&self, places: &[Place]) -> MySqlQuery {
        let mut json = String::from("[");
        for (at, (id, key)) in places.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // A string takes whatever is written to it.
            let _ = write!(json, "{comma}[{id},\"");
            for byte in key.as_bytes() {
                let _ = write!(json, "{byte:02x}");
            }
            json.push_str("\"]");
        }
        json.push(']');
        query(&self.sql.evict).bind(json)
    }

    pub(super) async fn list_owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        let owner = owner.as_str().as_bytes();
        let mut call = self.client.call();
        let rows = call.rows(|| query(&self.sql.owned).bind(owner).bind(row_limit(limit))).await?;
        list(&rows, &self.listeners)
    }

    /// Each batch has a deadline of its own. From the second one on, only rows that were there after
    /// the first: logins meanwhile do not prolong it.
    pub(super) async fn end_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let owner = owner.as_str().as_bytes();
        let keep = keep.map(|key| key.as_bytes().as_slice());
        let (mut after, mut last) = ((i64::MIN, i64::MIN), None);
        loop {
            let mut call = self.client.call();
            let choose = || {
                let choose = query(&self.sql.choose_owned).bind(owner).bind(keep);
                let choose = choose.bind(last.unwrap_or(i64::MAX));
                choose.bind(after.0).bind(after.0).bind(after.1)
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
            after = (number(row, 1)?, number(row, 0)?);
            if last.is_none() {
                last = self.last_id(&mut call).await?;
            }
        }
    }
}

fn places(rows: &[sqlx::mysql::MySqlRow]) -> Result<Vec<Place>> {
    rows.iter().map(|row| Ok((number(row, 0)?, key(row, 1)?))).collect()
}

/// The row that stands for an owner in the table of locks. Two owners that share one wait for each
/// other, and no more.
fn slot(owner: &Owner) -> u16 {
    owner.partition(SLOTS)
}
