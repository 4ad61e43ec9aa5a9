//! What all statements share: the table's name, the columns of a record, the clock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::AssertSqlSafe;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use crate::key::Key;
use crate::proof::Claim;
use crate::store::sql::{fill, millis};

/// The columns of a record except its data; `?1` is the clock in every statement.
const META: &str = "version, idle_ms, absolute_ms, created_at, last_seen, deadline, \
                    authenticated_at, owner, proof, previous_proof, confirmed_at, sealed, details, \
                    ?1";

/// A statement on this table, whose name is quoted.
pub(super) fn on_table(table: &str, template: &str) -> Arc<str> {
    fill(template, &[("{meta}", META), ("{sessions}", table)])
}

/// The statement with the clock bound, as `?1`.
pub(super) fn query(sql: &Arc<str>) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    sqlx::query(AssertSqlSafe(Arc::clone(sql))).bind(now())
}

/// The statement with the clock, the key and the claim bound: its proofs as `?3`, its grace as `?4`.
pub(super) fn claim_query(
    sql: &Arc<str>,
    key: &Key,
    claim: Option<&Claim>,
) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    query(sql)
        .bind(key.as_bytes().as_slice())
        .bind(claim.map(Claim::as_bytes))
        .bind(claim.map(|claim| millis(claim.grace())))
}

/// This machine's clock, in milliseconds since the Unix epoch.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}
