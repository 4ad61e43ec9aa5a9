//! [`Visit`], what a load leaves in a record: a touch, a confirmation, or both.

use sqlx::sqlite::SqliteConnection;

use super::{Outcome, Statements};
use crate::key::Key;
use crate::proof::Claim;
use crate::record::Record;
use crate::store::sql::record;
use crate::store::sqlite::operations::claim_query;
use crate::store::sqlite::writer::Work;
use crate::store::{Load, Result};

/// Touches a record for which that was found to be due, and confirms its handover if the claim is of
/// the current secret and nobody has confirmed it yet. Answers the record as it is then, or `None` if
/// the claim does not open it any more.
pub(in crate::store::sqlite) struct Visit {
    key: Key,
    claim: Option<Claim>,
    touch: bool,
    with_data: bool,
}

impl Visit {
    pub fn new(key: &Key, load: &Load<'_>, touch: bool) -> Self {
        let (claim, with_data) = (load.claim.copied(), load.with_data);
        Self { key: key.clone(), claim, touch, with_data }
    }
}

/// `max`, for a clock that was set back.
pub(super) const VISIT: &str = "
UPDATE {sessions} SET
    last_seen = iif(?5, max(last_seen, ?1), last_seen),
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
        let rows = claim_query(&sql.visit, &self.key, self.claim.as_ref())
            .bind(self.touch)
            .bind(self.with_data)
            .fetch_all(connection)
            .await?;
        Ok(rows.first().map(|row| record(row, 0, &self.key, self.with_data)).transpose())
    }
}
