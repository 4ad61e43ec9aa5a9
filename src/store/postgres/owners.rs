//! What [`Postgres`] does with all sessions of an owner.
//!
//! Each statement over them compares the owner and the beginning as one row. So the planner reads the
//! index of owners in its order and stops at the limit. The key is the last column of that index, so a
//! list can stop and go on anywhere in it. With `owner =` the planner takes a new or suddenly large owner
//! for a small one, reads all of the owner's sessions and sorts them.

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Row};

use super::Postgres;
use super::operations::{BATCH, insertion, query};
use crate::key::Key;
use crate::record::Owner;
use crate::store::sql::{Call, Failure, age_cursor, age_of, page, row_limit};
use crate::store::{Cursor, Inserted, NewRecord, OwnerLimit, Owners, Page, Result};

/// Runs while the owner is locked. `$10` is the limit. `mine` counts how many sessions are too many beside
/// a new one, up to 1,000, and reads no more than it needs for that. `$11` says whether those are evicted;
/// if not, nothing is inserted while there are any.
///
/// Both look-ups judge expiry by one moment, so they agree on which sessions live. The inner limit of
/// `oldest` tells the planner that it needs few rows. `evicted` checks the owner again: a chosen row may
/// have expired meanwhile, and hold another owner's session.
pub(super) const INSERT_LIMITED: &str = "
WITH moment AS MATERIALIZED (SELECT {now} AS now),
mine AS MATERIALIZED (
    SELECT greatest(count(*) - ($10 - 1), 0) AS surplus
    FROM (
        SELECT FROM {sessions}
        WHERE owner IS NOT NULL AND expires_at > (SELECT now FROM moment)
            AND (owner, created_at) >= ($8, '-9223372036854775808'::bigint)
            AND (owner, created_at) <= ($8, '9223372036854775807'::bigint)
        ORDER BY owner DESC, created_at DESC LIMIT $10 - 1 + 1000
    ) AS youngest
),
oldest AS MATERIALIZED (
    SELECT key
    FROM (
        SELECT key, owner, created_at FROM {sessions}
        WHERE owner IS NOT NULL AND expires_at > (SELECT now FROM moment)
            AND (owner, created_at) >= ($8, '-9223372036854775808'::bigint)
            AND (owner, created_at) <= ($8, '9223372036854775807'::bigint)
        ORDER BY owner, created_at LIMIT 1000
    ) AS older
    ORDER BY owner, created_at LIMIT (SELECT surplus FROM mine)
),
evicted AS (
    DELETE FROM {sessions}
    WHERE key = ANY (ARRAY(SELECT key FROM oldest)) AND owner IS NOT DISTINCT FROM $8 AND $11
    RETURNING key
),
inserted AS (
    INSERT INTO {sessions} AS held ({new})
    SELECT {values} FROM moment WHERE $11 OR (SELECT surplus FROM mine) = 0
    ON CONFLICT (key) DO UPDATE SET {taken_over}
    RETURNING 1
)
SELECT EXISTS (SELECT FROM inserted),
       EXISTS (SELECT FROM {sessions} WHERE key = $1 AND expires_at > {now}),
       (SELECT surplus FROM mine),
       ARRAY(SELECT key FROM evicted)
WHERE {own}";

/// The sessions after the cursor: the beginning and the key of the last one, `$2` and `$3`.
pub(super) const OWNED: &str = "
SELECT key, {columns} FROM {sessions}
WHERE owner IS NOT NULL AND expires_at > {now} AND {own}
    AND (owner, created_at) >= ($1, '-9223372036854775808'::bigint)
    AND (owner, created_at, key) < ($1, $2, $3)
ORDER BY owner DESC, created_at DESC, key DESC LIMIT $4";

/// A batch of the owner's sessions in the order in which they began, which no write changes, from
/// `$3` on and up to `$4`.
///
/// It sees each session that was committed before. It waits for one that is being written, and removes
/// its new version. The array and the last condition make the planner look the rows up by their keys: for
/// a join it would read the whole table, and for `owner =` all of the owner's sessions.
pub(super) const REMOVE_OWNED: &str = "
WITH chosen AS MATERIALIZED (
    SELECT key, created_at FROM {sessions}
    WHERE owner IS NOT NULL AND key IS DISTINCT FROM $2
        AND (owner, created_at) >= ($1, $3) AND (owner, created_at) <= ($1, $4)
    ORDER BY owner, created_at LIMIT 1000
),
gone AS (
    DELETE FROM {sessions}
    WHERE key = ANY (ARRAY(SELECT key FROM chosen)) AND owner IS NOT DISTINCT FROM $1
)
SELECT (SELECT count(*) FROM chosen),
       (SELECT max(created_at) FROM chosen),
       (SELECT max(created_at) FROM {sessions} WHERE owner = $1)
WHERE {own}";

impl Postgres {
    /// At this isolation level each statement has its own snapshot, so the insert sees all that was
    /// committed before the lock was taken.
    pub(super) async fn try_insert_limited(
        &self,
        call: &Call<'_, sqlx::Postgres>,
        key: &Key,
        record: &NewRecord<'_>,
        owner: &Owner,
        limit: OwnerLimit,
    ) -> Result<Option<Inserted>, Failure> {
        let mut transaction = call
            .begin(AssertSqlSafe(format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; {}SELECT pg_advisory_xact_lock({})",
                self.sql.before,
                owner_lock(owner)
            )))
            .await?;
        let query = insertion(&self.sql.insert_limited, key, record)
            .bind(i64::from(limit.max().get()))
            .bind(limit.evicts());
        let rows = transaction.rows(query).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let (inserted, key_taken): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        let (surplus, evicted): (i64, Vec<Vec<u8>>) = (row.try_get(2)?, row.try_get(3)?);
        if inserted {
            transaction.end("COMMIT").await?;
            let evicted = evicted.iter().filter_map(|bytes| bytes.as_slice().try_into().ok());
            return Ok(Some(Inserted::Done { evicted: evicted.map(Key::from_bytes).collect() }));
        }
        transaction.end("ROLLBACK").await?;
        Ok(if key_taken {
            Some(Inserted::KeyTaken)
        } else if surplus > 0 && !limit.evicts() {
            Some(Inserted::OwnerFull)
        } else {
            None
        })
    }
}

#[async_trait::async_trait]
impl Owners for Postgres {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        let (began, key) = after.map_or(Ok((i64::MAX, &[][..])), age_of)?;
        let sql = self.sql.owned.with_data(with_data);
        let mut call = self.client.call();
        let rows = call
            .rows(|| {
                let query = query(sql).bind(owner.as_str()).bind(began).bind(key);
                query.bind(row_limit(limit))
            })
            .await?;
        page(&rows, limit, with_data, &self.listeners, age_cursor)
    }

    /// Each batch has its own deadline. From the second batch on, it removes only sessions that began no
    /// later than the youngest one after the first batch, so concurrent logins do not prolong it.
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let keep = keep.map(|key| key.as_bytes().as_slice());
        let (mut from, mut until) = (i64::MIN, None);
        loop {
            let mut call = self.client.call();
            let batch = || {
                let batch = query(&self.sql.remove_owned).bind(owner.as_str()).bind(keep);
                batch.bind(from).bind(until.unwrap_or(i64::MAX))
            };
            let row = call.row(batch).await?;
            let (chosen, last, youngest): (i64, Option<i64>, Option<i64>) =
                row.map_or((0, None, None), |row| (row.get(0), row.get(1), row.get(2)));
            if chosen < row_limit(BATCH) {
                return Ok(());
            }
            from = last.unwrap_or(from);
            until = until.or(youngest);
        }
    }
}

/// The number of the owner's advisory lock. Two owners that share a number only wait for each other.
fn owner_lock(owner: &Owner) -> i64 {
    let digest =
        Sha256::new().chain_update("token-session owner ").chain_update(owner.as_str()).finalize();
    digest.iter().take(8).fold(0, |number, &byte| number << 8 | i64::from(byte))
}
