//! [`Visit`], what a load leaves in a record: a touch, a confirmation, or both.

use sqlx::sqlite::SqliteConnection;

use super::{Outcome, Statements, Work};
use crate::key::Key;
use crate::proof::Claim;
use crate::record::Record;
use crate::store::sql::{record, ten_intervals};
use crate::store::sqlite::statement::claim_query;
use crate::store::{Load, Result, Touch};

/// Touches a record if that is due, and confirms its handover if the claim is of the current secret and
/// nobody has confirmed it yet. Answers the record as it is then, or `None` if the claim does not open
/// it any more.
pub(in crate::store::sqlite) struct Visit {
    key: Key,
    claim: Option<Claim>,
    touch: Touch,
    with_data: bool,
}

impl Visit {
    pub fn new(key: &Key, load: &Load<'_>) -> Self {
        let Load { claim, touch, with_data } = *load;
        Self { key: key.clone(), claim: claim.copied(), touch, with_data }
    }
}

/// The touch is judged anew, for others may have written since it was found to be due. `?5` is ten touch
/// intervals; where it is NULL, or the session has no idle timeout, `min` is too and nothing is due.
pub(super) const VISIT: &str = "
UPDATE {sessions} SET
    last_seen =
        iif(?1 > last_seen AND 10 * (?1 - last_seen) >= min(?5, idle_ms), ?1, last_seen),
    confirmed_at = iif({confirms}, ?1, confirmed_at),
    sealed = iif({confirms}, NULL, sealed)
WHERE key = ?2 AND expires_at > ?1 AND {opens}
RETURNING {meta}, iif(?6, data, x'')";

/// NULL, and so no confirmation, where nothing is claimed.
pub(super) const CONFIRMS: &str =
    "previous_proof IS NOT NULL AND confirmed_at IS NULL AND instr(?3, proof)";

impl Work for Visit {
    type Answer = Result<Option<Record>>;

    async fn run(
        &self,
        sql: &Statements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let interval = match self.touch {
            Touch::No => None,
            Touch::After(interval) => Some(ten_intervals(interval)),
        };
        let rows = claim_query(&sql.visit, &self.key, self.claim.as_ref())
            .bind(interval)
            .bind(self.with_data)
            .fetch_all(connection)
            .await?;
        Ok(rows.first().map(|row| record(row, 0, &self.key, self.with_data)).transpose())
    }
}
