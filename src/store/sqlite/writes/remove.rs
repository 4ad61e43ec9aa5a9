//! [`Remove`], of one record.

use sqlx::sqlite::SqliteConnection;

use super::{Outcome, Work, WriteStatements, is_alive};
use crate::key::Key;
use crate::proof::Claim;
use crate::record::{Owner, Version};
use crate::store::sql::record;
use crate::store::sqlite::statement::claim_query;
use crate::store::{Condition, Removed, Result};

/// Removes a record if a condition holds, and may hand it out.
pub(in crate::store::sqlite) struct Remove {
    key: Key,
    claim: Option<Claim>,
    version: Option<Version>,
    owner: Option<Owner>,
    hand_out: bool,
}

impl Remove {
    pub fn new(key: &Key, condition: Condition<'_>, hand_out: bool) -> Self {
        let any = Self { key: key.clone(), claim: None, version: None, owner: None, hand_out };
        match condition {
            Condition::Always => any,
            Condition::Version(version) => Self { version: Some(version), ..any },
            Condition::Owner(owner) => Self { owner: Some(owner.clone()), ..any },
            Condition::Claim(claim) => Self { claim: Some(*claim), ..any },
        }
    }
}

pub(super) const REMOVE: &str = "
DELETE FROM {sessions}
WHERE key = ?2 AND expires_at > ?1
    AND {opens} AND (?5 IS NULL OR version = ?5) AND (?6 IS NULL OR owner = ?6)
RETURNING {meta}, iif(?7, data, x'')";

impl Work for Remove {
    type Answer = Result<Removed>;

    async fn run(
        &self,
        sql: &WriteStatements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let rows = claim_query(&sql.remove, &self.key, self.claim.as_ref())
            .bind(self.version.map(|version| version.get().cast_signed()))
            .bind(self.owner.as_ref().map(Owner::as_str))
            .bind(self.hand_out)
            .fetch_all(&mut *connection)
            .await?;
        Ok(match rows.first() {
            Some(row) if self.hand_out => {
                record(row, 0, &self.key, true).map(|record| Removed::Done(Some(record)))
            }
            // Not decoded, so that a damaged record can be removed.
            Some(_) => Ok(Removed::Done(None)),
            None if is_alive(sql, connection, &self.key, None).await? => Ok(Removed::Conflict),
            None => Ok(Removed::Missing),
        })
    }
}
