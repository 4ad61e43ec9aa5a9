//! [`TouchAndConfirm`]: what a load writes.

use sqlx::sqlite::SqliteConnection;

use super::{Outcome, Work, WriteStatements};
use crate::key::Key;
use crate::proof::Claim;
use crate::record::Record;
use crate::store::sql::{record, ten_intervals};
use crate::store::sqlite::statement::claim_query;
use crate::store::{Load, Result, Touch};

/// Touches a record if a touch is due, and confirms its handover if this is the first claim of the current
/// secret. Answers the record after that, or `None` if the claim no longer opens it.
pub(in crate::store::sqlite) struct TouchAndConfirm {
    key: Key,
    claim: Option<Claim>,
    touch: Touch,
    with_data: bool,
}

impl TouchAndConfirm {
    pub fn new(key: &Key, load: &Load<'_>) -> Self {
        let Load { claim, touch, with_data } = *load;
        Self { key: key.clone(), claim: claim.copied(), touch, with_data }
    }
}

/// Checks again whether a touch is due, because another load may have touched since the read. `?5` is ten
/// touch intervals. If it is NULL, or the session has no idle timeout, `min` is NULL and no touch is due.
pub(super) const TOUCH_AND_CONFIRM: &str = "
UPDATE {sessions} SET
    last_seen =
        iif(?1 > last_seen AND 10 * (?1 - last_seen) >= min(?5, idle_ms), ?1, last_seen),
    confirmed_at = iif({confirms}, ?1, confirmed_at),
    sealed = iif({confirms}, NULL, sealed)
WHERE key = ?2 AND expires_at > ?1 AND {opens}
RETURNING {meta}, iif(?6, data, x'')";

/// NULL, and so no confirmation, without a claim.
pub(super) const CONFIRMS: &str =
    "previous_proof IS NOT NULL AND confirmed_at IS NULL AND instr(?3, proof)";

impl Work for TouchAndConfirm {
    type Answer = Result<Option<Record>>;

    async fn run(
        &self,
        sql: &WriteStatements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let interval = match self.touch {
            Touch::No => None,
            Touch::After(interval) => Some(ten_intervals(interval)),
        };
        let rows = claim_query(&sql.touch_and_confirm, &self.key, self.claim.as_ref())
            .bind(interval)
            .bind(self.with_data)
            .fetch_all(connection)
            .await?;
        Ok(rows.first().map(|row| record(row, 0, &self.key, self.with_data)).transpose())
    }
}
