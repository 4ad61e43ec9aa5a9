//! How [`Postgres`] loads a record: plainly, or with a touch and a confirmation where they are due.

use sqlx::Row;

use super::Postgres;
use super::operations::{claimed, query};
use crate::key::Key;
use crate::store::sql::{Call, record, ten_intervals};
use crate::store::{Found, Load, Result, Touch};

/// A record is sent only if the claim knows one of its secrets. Rust code then tells which, and whether
/// it is in time.
pub(super) const LOAD: &str = "
SELECT {columns} FROM {sessions} WHERE key = $1 AND expires_at > {now} AND {knows} AND {own}";

/// Whether the claim, `$2`, is of the current secret or of the one before it.
pub(super) const KNOWS: &str = "($2::bytea IS NULL OR position(proof IN $2) > 0
        OR position(previous_proof IN $2) > 0)";

/// Whether it is the first use of the current secret.
pub(super) const CONFIRMS: &str = "(position(proof IN $2) > 0
        AND previous_proof IS NOT NULL AND confirmed_at IS NULL)";

/// Whether a touch is due. `$4` is ten times the touch interval, so that a tenth of the idle timeout
/// is compared exactly; `NULL` touches nothing.
pub(super) const DUE: &str = "($4::bigint IS NOT NULL AND idle_ms IS NOT NULL
        AND moment.now > last_seen AND 10 * (moment.now - last_seen) >= least($4, idle_ms))";

/// The `SELECT` returns the row only if the `UPDATE` did not: because nothing was due, or because another
/// operation changed the row first. `stale` tells the second case: in the statement's own snapshot,
/// something was due.
pub(super) const LOAD_WRITING: &str = "
WITH moment AS MATERIALIZED (SELECT {now} AS now),
written AS (
    UPDATE {sessions} SET
        last_seen = CASE WHEN {due} THEN moment.now ELSE last_seen END,
        confirmed_at = CASE WHEN {confirms} THEN moment.now ELSE confirmed_at END,
        sealed = CASE WHEN {confirms} THEN NULL ELSE sealed END
    FROM moment
    WHERE key = $1 AND expires_at > {now} AND ({due} AND {opens} OR {confirms})
    RETURNING false AS stale, {columns}
)
SELECT * FROM written WHERE {own}
UNION ALL
SELECT ({due} AND {opens} OR {confirms}) IS TRUE, {columns}
FROM {sessions}, moment
WHERE key = $1 AND expires_at > {now} AND {knows} AND NOT EXISTS (SELECT FROM written)";

impl Postgres {
    /// Without a touch it is a plain `SELECT`, so a read-only server can answer it. Only if the row shows
    /// the first use of the current secret does a second statement confirm that.
    pub(super) async fn find(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let mut call = self.client.call();
        let interval = match load.touch {
            Touch::After(interval) => Some(ten_intervals(interval)),
            Touch::No => {
                let (claim, _) = claimed(load.claim);
                let plain = self.sql.load.with_data(load.with_data);
                let query = || query(plain).bind(key.as_bytes().as_slice()).bind(claim);
                let Some(row) = call.row(query).await? else {
                    return Ok(Found::Missing);
                };
                let record = record(&row, 0, key, load.with_data)?;
                if !record.proofs.is_confirmed_by(load.claim) {
                    let now = record.meta.now;
                    return Ok(record.found(load, now));
                }
                None
            }
        };
        self.find_writing(&mut call, key, load, interval).await
    }

    async fn find_writing(
        &self,
        call: &mut Call<'_, sqlx::Postgres>,
        key: &Key,
        load: &Load<'_>,
        ten_intervals: Option<i64>,
    ) -> Result<Found> {
        let (claim, grace) = claimed(load.claim);
        let writing = self.sql.load_writing.with_data(load.with_data);
        loop {
            let query = || {
                let query = query(writing).bind(key.as_bytes().as_slice());
                query.bind(claim).bind(grace).bind(ten_intervals)
            };
            let Some(row) = call.row(query).await? else {
                return Ok(Found::Missing);
            };
            if row.get(0) {
                call.retry_stale().await?;
                continue;
            }
            let record = record(&row, 1, key, load.with_data)?;
            let now = record.meta.now;
            return Ok(record.found(load, now));
        }
    }
}
