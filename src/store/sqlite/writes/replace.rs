//! [`Replace`], a write over a record.

use bytes::Bytes;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{Outcome, Work, WriteStatements, is_alive};
use crate::key::Key;
use crate::proof::{Claim, Proof};
use crate::record::{Details, Lifetime, Version};
use crate::store::sql::{number, time, timeouts, version};
use crate::store::sqlite::statement::claim_query;
use crate::store::{NewProof, Replaced, Result, Times, Write, Written};

/// An owned [`Write`].
pub(in crate::store::sqlite) struct Replace {
    key: Key,
    expected: Option<Version>,
    claim: Option<Claim>,
    data: Option<Bytes>,
    details: Option<Details>,
    proof: Option<NewProof>,
    lifetime: Option<Lifetime>,
    authenticated: bool,
    touch: bool,
    raises_version: bool,
}

impl Replace {
    pub fn new(key: &Key, write: &Write<'_>) -> Self {
        Self {
            key: key.clone(),
            expected: write.expected,
            claim: write.claim.copied(),
            data: write.data.clone(),
            details: write.details.cloned(),
            proof: write.proof.clone(),
            lifetime: write.lifetime.copied(),
            authenticated: write.authenticated,
            touch: write.restarts_idle_timeout(),
            raises_version: write.raises_version(),
        }
    }

    /// The proof of the new secret and, in a handover, that secret as it is sealed.
    fn new_proof(&self) -> (Option<&Proof>, Option<&Bytes>) {
        match &self.proof {
            None => (None, None),
            Some(NewProof::Regenerated(proof)) => (Some(proof), None),
            Some(NewProof::Rotated { next, sealed }) => (Some(next), Some(sealed)),
        }
    }
}

/// `?10` says whether there is a new lifetime, `?11` and `?12`. `?14` is the proof of a new secret, and
/// `?15` says whether the old secret hands over to it: then the claim must be of the current secret.
/// `SET` reads the row as it was before the write.
pub(super) const REPLACE: &str = "
UPDATE {sessions} SET
    data = ifnull(?6, data),
    details = ifnull(?7, details),
    version = version + ?8,
    last_seen = iif(?9, max(last_seen, ?1), last_seen),
    idle_ms = iif(?10, ?11, idle_ms),
    absolute_ms = iif(?10, ?12, absolute_ms),
    authenticated_at = iif(?13, max(last_seen, ?1), authenticated_at),
    deadline =
        iif(?10 OR ?13, max(last_seen, ?1) + iif(?10, ?12, absolute_ms), deadline),
    proof = ifnull(?14, proof),
    previous_proof = iif(?14 IS NULL, previous_proof, iif(?15, proof, NULL)),
    confirmed_at = iif(?14 IS NULL, confirmed_at, NULL),
    sealed = iif(?14 IS NULL, sealed, iif(proof IS NULL, NULL, ?16))
WHERE key = ?2 AND expires_at > ?1
    AND (?5 IS NULL OR version = ?5)
    AND iif(?15, ?3 IS NULL OR instr(?3, proof), {opens})
RETURNING version, ?1, expires_at";

impl Work for Replace {
    type Answer = Result<Replaced>;

    async fn run(
        &self,
        sql: &WriteStatements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let (idle, absolute) = self.lifetime.as_ref().map_or((None, None), timeouts);
        let (proof, sealed) = self.new_proof();
        let claim = self.claim.as_ref();
        let rows = claim_query(&sql.replace, &self.key, claim)
            .bind(self.expected.map(|version| version.get().cast_signed()))
            .bind(self.data.as_deref())
            .bind(self.details.as_ref().map(|details| &**details.as_bytes()))
            .bind(self.raises_version)
            .bind(self.touch)
            .bind(self.lifetime.is_some())
            .bind(idle)
            .bind(absolute)
            .bind(self.authenticated)
            .bind(proof.map(|proof| proof.as_bytes().as_slice()))
            .bind(sealed.is_some())
            .bind(sealed.map(|sealed| &**sealed))
            .fetch_all(&mut *connection)
            .await?;
        if let Some(row) = rows.first() {
            return Ok(written(row, &self.key).map(Replaced::Done));
        }
        let is_alive = is_alive(sql, connection, &self.key, claim).await?;
        Ok(Ok(if is_alive { Replaced::Conflict } else { Replaced::Missing }))
    }
}

/// The version and the times that the write returns.
fn written(row: &SqliteRow, key: &Key) -> Result<Written> {
    let times = Times { now: time(number(row, 1)?, key)?, expires_at: time(number(row, 2)?, key)? };
    Ok(Written { version: version(row, 0)?, times: Some(times) })
}
