//! How [`Postgres`] writes over a record.

use sqlx::Row;

use super::Postgres;
use super::operations::{claimed, query};
use crate::key::Key;
use crate::store::sql::{number, time, timeouts, version};
use crate::store::{NewProof, Replaced, Result, Times, Write, Written};

/// `$4` is the expected version, `$5` the data, `$6` the details, `$7` the next proof; a `NULL` leaves the
/// column unchanged. With `$8`, the sealed secret, it is a handover, for which the claim has to be of the
/// current secret. `$9` touches. `$10` says whether there is a new lifetime, `$11` and `$12`. `$13` says
/// that the person has just proved who they are.
///
/// `stale` tells whether a row that was not written could have been, in the statement's own snapshot:
/// then another operation changed it first.
pub(super) const REPLACE: &str = "
WITH moment AS MATERIALIZED (SELECT {now} AS now),
written AS (
    UPDATE {sessions} SET
        data = coalesce($5, data),
        details = coalesce($6, details),
        version = CASE WHEN $8::bytea IS NULL THEN version + 1 ELSE version END,
        last_seen = CASE WHEN $9 OR $10 OR $13 THEN greatest(last_seen, moment.now) ELSE last_seen END,
        idle_ms = CASE WHEN $10 THEN $11 ELSE idle_ms END,
        absolute_ms = CASE WHEN $10 THEN $12 ELSE absolute_ms END,
        deadline = CASE WHEN $10 THEN greatest(last_seen, moment.now) + $12
                        WHEN $13 THEN greatest(last_seen, moment.now) + absolute_ms
                        ELSE deadline END,
        authenticated_at = CASE WHEN $13 THEN greatest(last_seen, moment.now)
                                ELSE authenticated_at END,
        proof = coalesce($7, proof),
        previous_proof = CASE WHEN $7 IS NULL THEN previous_proof
                              WHEN $8 IS NOT NULL THEN proof END,
        confirmed_at = CASE WHEN $7 IS NULL THEN confirmed_at END,
        sealed = CASE WHEN $7 IS NULL THEN sealed
                      WHEN proof IS NOT NULL THEN $8 END
    FROM moment
    WHERE key = $1 AND expires_at > {now} AND {opens}
        AND ($4::bigint IS NULL OR version = $4) AND ($8 IS NULL OR {current})
    RETURNING true AS done, false AS stale, version, moment.now, expires_at
)
SELECT * FROM written WHERE {own}
UNION ALL
SELECT false,
       (($4::bigint IS NULL OR version = $4) AND ($8 IS NULL OR {current})) IS TRUE,
       version, {now}, expires_at
FROM {sessions}
WHERE key = $1 AND expires_at > {now} AND {opens} AND NOT EXISTS (SELECT FROM written)";

impl Postgres {
    pub(super) async fn write(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let (claim, grace) = claimed(write.claim);
        let expected = write.expected.map(|expected| expected.get().cast_signed());
        let (idle, absolute) = write.lifetime.map_or((None, None), timeouts);
        let (next, sealed) = match &write.proof {
            None => (None, None),
            Some(NewProof::Regenerated(next)) => (Some(next), None),
            Some(NewProof::Rotated { next, sealed }) => (Some(next), Some(&**sealed)),
        };
        let mut call = self.client.call();
        loop {
            let row = call
                .row(|| {
                    query(&self.sql.replace)
                        .bind(key.as_bytes().as_slice())
                        .bind(claim)
                        .bind(grace)
                        .bind(expected)
                        .bind(write.data.as_deref())
                        .bind(write.details.map(|details| &**details.as_bytes()))
                        .bind(next.map(|next| next.as_bytes().as_slice()))
                        .bind(sealed)
                        .bind(write.touch)
                        .bind(write.lifetime.is_some())
                        .bind(idle)
                        .bind(absolute)
                        .bind(write.authenticated)
                })
                .await?;
            let Some(row) = row else {
                return Ok(Replaced::Missing);
            };
            match (row.get(0), row.get(1)) {
                (true, _) => {
                    let (version, now) = (version(&row, 2)?, time(number(&row, 3)?, key)?);
                    let expires_at = time(number(&row, 4)?, key)?;
                    let times = Some(Times { now, expires_at });
                    return Ok(Replaced::Done(Written { version, times }));
                }
                (false, false) => return Ok(Replaced::Conflict),
                (false, true) => call.retry_stale().await?,
            }
        }
    }
}
