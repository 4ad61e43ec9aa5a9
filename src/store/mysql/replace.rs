//! How [`MySql`] writes over a record.

use super::MySql;
use super::statements::{MySqlQuery, SeenRow, bind_claim, bytes, millis, query};
use crate::key::Key;
use crate::record::{Record, Version};
use crate::store::sql::timeouts;
use crate::store::{Replaced, Result, Write, Written};

/// A write without a new proof. `LAST_INSERT_ID` returns the new version with the answer.
///
/// No assignment reads a column that an earlier one sets: MySQL would read the new value, and MariaDB
/// in its mode `SIMULTANEOUS_ASSIGNMENT` the old one.
pub(super) const REPLACE: &str = "
UPDATE {sessions} SET
    data = COALESCE(?, data),
    details = COALESCE(?, details),
    `version` = LAST_INSERT_ID(`version` + 1),
    authenticated_at = IF(?, GREATEST(last_seen, {now}), authenticated_at),
    deadline = IF(?, GREATEST(last_seen, {now}) + IF(?, ?, absolute_ms), deadline),
    idle_ms = IF(?, ?, idle_ms),
    absolute_ms = IF(?, ?, absolute_ms),
    last_seen = IF(?, GREATEST(last_seen, {now}), last_seen)
WHERE `key` = ? AND expires_at > {now} AND (? IS NULL OR `version` = ?) AND {opened}";

/// A write with a new proof: sets the columns to what [`Record::write`] has computed. Every other write
/// changes the version or a proof, so if those are unchanged, only `last_seen` can differ from what was
/// read.
pub(super) const PROVE: &str = "
UPDATE {sessions} SET
    data = COALESCE(?, data),
    details = COALESCE(?, details),
    `version` = ?,
    last_seen = GREATEST(last_seen, ?),
    idle_ms = ?,
    absolute_ms = ?,
    deadline = ?,
    authenticated_at = ?,
    proof = ?,
    previous_proof = ?,
    confirmed_at = NULL,
    sealed = ?
WHERE `version` = ? AND {as_seen}";

impl MySql {
    pub(super) async fn write_over(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let mut call = self.client.call();
        loop {
            if write.proof.is_none() {
                let done = call.done(|| self.replacement(key, write)).await?;
                if done.rows_affected() > 0 {
                    let version = Version::from_u64(done.last_insert_id());
                    return Ok(Replaced::Done(Written { version, times: None }));
                }
            }
            let Some((seen, mut record)) = self.seen(&mut call, key, false).await? else {
                return Ok(Replaced::Missing);
            };
            let replaced = record.write(write, record.meta.now);
            if !matches!(replaced, Replaced::Done(_)) {
                return Ok(replaced);
            }
            if write.proof.is_some() {
                let proving = || self.proving(&seen, write, &record);
                if call.done(proving).await?.rows_affected() > 0 {
                    return Ok(replaced);
                }
            }
            call.retry_stale().await?;
        }
    }

    /// The statement for a write without a new proof.
    fn replacement(&self, key: &Key, write: &Write<'_>) -> MySqlQuery {
        let expected = write.expected.map(|expected| expected.get().cast_signed());
        let renewed = write.lifetime.is_some();
        let (idle, absolute) = write.lifetime.map_or((None, None), timeouts);
        let replacement = query(&self.sql.replace)
            .bind(write.data.as_deref())
            .bind(write.details.map(|details| &**details.as_bytes()))
            .bind(write.authenticated)
            .bind(write.restarts_absolute_timeout())
            .bind(renewed)
            .bind(absolute)
            .bind(renewed)
            .bind(idle)
            .bind(renewed)
            .bind(absolute)
            .bind(write.restarts_idle_timeout())
            .bind(key.as_bytes().as_slice())
            .bind(expected)
            .bind(expected);
        bind_claim(replacement, write.claim)
    }

    /// The statement for a write with a new proof, after which the record is `record`.
    fn proving(&self, seen: &SeenRow, write: &Write<'_>, record: &Record) -> MySqlQuery {
        let (meta, previous) = (&record.meta, record.proofs.previous.as_ref());
        let (idle, absolute) = timeouts(&meta.lifetime);
        let proving = query(&self.sql.prove)
            .bind(write.data.as_deref())
            .bind(write.details.map(|details| &**details.as_bytes()))
            .bind(meta.version.get().cast_signed())
            .bind(millis(meta.last_seen))
            .bind(idle)
            .bind(absolute)
            .bind(meta.deadline.map(millis))
            .bind(meta.authenticated_at.map(millis))
            .bind(record.proofs.current.as_ref().map(bytes))
            .bind(previous.map(|previous| bytes(&previous.proof)))
            .bind(previous.and_then(|previous| previous.sealed.as_deref()))
            .bind(seen.version.get().cast_signed());
        seen.bind_to(proving)
    }
}
