//! The statements of [`MySql`](super::MySql) with the tables' names filled in, and the parts that they
//! share.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;

use super::{administration, operations, owners, replace};
use crate::proof::{Claim, Proof};
use crate::record::{Lifetime, Proofs, Timestamp, Version};
use crate::store::sql::{Call, fill};

/// The server's clock at the beginning of the statement. `UNIX_TIMESTAMP(NOW(3))` would convert through
/// the connection's time zone, and so repeat an hour when daylight saving time ends.
const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000";

/// The columns of a [`Record`](crate::Record) except the data.
const HEAD: &str = "`version`, idle_ms, absolute_ms, created_at, last_seen, deadline, \
                    authenticated_at, CONVERT(`owner` USING utf8mb4), proof, previous_proof, \
                    confirmed_at, sealed, details, {now}";

/// Matches the row with this number if it lives and its proofs are still the ones that were read. A row's
/// key and owner never change.
const AS_SEEN: &str = "id = ? AND proof <=> ? AND previous_proof <=> ? AND confirmed_at <=> ? \
                       AND expires_at > {now}";

/// Matches a row that the claim opens, or every row if nothing is claimed. [`bind_claim`] fills it in:
/// the proofs twice, in the number that a claim can have, and the grace.
const OPENED: &str = "(? OR proof IN (?, ?, ?, ?) OR previous_proof IN (?, ?, ?, ?) \
                      AND (confirmed_at IS NULL OR confirmed_at + ? > {now}))";

/// Fails if one of the tables is missing.
const LOOK: &str = "SELECT 1 FROM {sessions}, {locks} LIMIT 0";

/// The statements for one pair of tables.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) look: Arc<str>,
    pub(super) migrate: Arc<str>,
    pub(super) lives: Arc<str>,
    pub(super) insert: Arc<str>,
    pub(super) vacate: Arc<str>,
    pub(super) lock_owner: Arc<str>,
    pub(super) surplus: Arc<str>,
    pub(super) oldest: Arc<str>,
    pub(super) load: Arc<str>,
    pub(super) load_head: Arc<str>,
    pub(super) touch: Arc<str>,
    pub(super) replace: Arc<str>,
    pub(super) prove: Arc<str>,
    pub(super) remove: Arc<str>,
    pub(super) remove_seen: Arc<str>,
    pub(super) alive: Arc<str>,
    pub(super) owned: Arc<str>,
    pub(super) owned_heads: Arc<str>,
    pub(super) choose_owned: Arc<str>,
    pub(super) scan: Arc<str>,
    pub(super) count: Arc<str>,
    pub(super) choose: Arc<str>,
    pub(super) last_id: Arc<str>,
    pub(super) expired: Arc<str>,
    pub(super) delete: Arc<str>,
}

impl Statements {
    pub fn new(table: &str, locks: &str) -> Self {
        let sql = |template: &str| {
            let template = template.replace("{head}", HEAD).replace("{as_seen}", AS_SEEN);
            let template = template.replace("{opened}", OPENED);
            fill(&template, &[("{now}", NOW), ("{sessions}", table)])
        };
        let with_data = |template: &str| sql(&template.replace("{columns}", "{head}, data"));
        let without_data = |template: &str| sql(&template.replace("{columns}", "{head}"));
        Self {
            look: fill(LOOK, &[("{sessions}", table), ("{locks}", locks)]),
            migrate: fill(
                include_str!("../../../migrations/mysql/0001_sessions.sql"),
                &[("`token_sessions_locks`", locks), ("`token_sessions`", table)],
            ),
            lives: sql(operations::LIVES),
            insert: sql(operations::INSERT),
            vacate: sql(operations::VACATE),
            lock_owner: fill(owners::LOCK_OWNER, &[("{locks}", locks)]),
            surplus: sql(owners::SURPLUS),
            oldest: sql(owners::OLDEST),
            load: with_data(operations::LOAD),
            load_head: without_data(operations::LOAD),
            touch: sql(operations::TOUCH),
            replace: sql(replace::REPLACE),
            prove: sql(replace::PROVE),
            remove: sql(operations::REMOVE),
            remove_seen: sql(operations::REMOVE_SEEN),
            alive: sql(operations::ALIVE),
            owned: with_data(owners::OWNED),
            owned_heads: without_data(owners::OWNED),
            choose_owned: sql(owners::CHOOSE_OWNED),
            scan: with_data(administration::SCAN),
            count: sql(administration::COUNT),
            choose: sql(administration::CHOOSE),
            last_id: sql(administration::LAST_ID),
            expired: sql(administration::EXPIRED),
            delete: sql(administration::DELETE),
        }
    }
}

pub(super) type MySqlQuery = Query<'static, sqlx::MySql, MySqlArguments>;
pub(super) type MySqlCall<'a> = Call<'a, sqlx::MySql>;

pub(super) fn query(sql: &Arc<str>) -> MySqlQuery {
    sqlx::query(AssertSqlSafe(Arc::clone(sql)))
}

/// What a live row held when it was read, to write it only if it still does.
pub(super) struct SeenRow {
    pub id: i64,
    pub version: Version,
    pub proofs: Proofs,
}

impl SeenRow {
    /// Binds the parameters of [`AS_SEEN`].
    pub fn bind_to(&self, query: MySqlQuery) -> MySqlQuery {
        let previous = self.proofs.previous.as_ref();
        query
            .bind(self.id)
            .bind(self.proofs.current.as_ref().map(bytes))
            .bind(previous.map(|previous| bytes(&previous.proof)))
            .bind(previous.and_then(|previous| previous.confirmed_at).map(millis))
    }
}

/// Binds the parameters of [`OPENED`].
pub(super) fn bind_claim(query: MySqlQuery, claim: Option<&Claim>) -> MySqlQuery {
    let mut query = query.bind(claim.is_none());
    for at in (0..Claim::MOST).chain(0..Claim::MOST) {
        query = query.bind(claim.and_then(|claim| claim.proofs().nth(at)));
    }
    // No session outlives the longest lifetime. A longer grace could overflow the column's type.
    let grace = claim.map(|claim| claim.grace().min(Lifetime::MAX).as_millis());
    query.bind(grace.and_then(|millis| i64::try_from(millis).ok()))
}

pub(super) fn bytes(proof: &Proof) -> &[u8] {
    proof.as_bytes()
}

pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_millis().cast_signed()
}
