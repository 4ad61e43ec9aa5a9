//! The operations that write. The [writer](super::writer) runs one at a time and holds the lock of the
//! file, so an operation may read first and write afterwards.

mod batches;
mod insert;
mod remove;
mod replace;
mod touch_and_confirm;

use std::future::Future;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, raw_sql};

pub(super) use self::batches::{Clear, RemoveOwned, Sweep};
pub(super) use self::insert::Insert;
pub(super) use self::remove::Remove;
pub(super) use self::replace::Replace;
pub(super) use self::touch_and_confirm::TouchAndConfirm;
use super::statement::{claim_query, on_table};
use crate::key::Key;
use crate::proof::Claim;
use crate::store::Result;
use crate::store::sql::fill;

/// An operation that writes.
///
/// It may run twice: if another operation of the same commit fails, all of them are rolled back and run
/// again, each in its own commit.
pub(super) trait Work: Send + Sync + 'static {
    type Answer: Send;

    /// Runs within a transaction, which is rolled back after an error.
    fn run(
        &self,
        sql: &WriteStatements,
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Result<Self::Answer, sqlx::Error>> + Send;
}

/// The statements that write, with the name of one table in them.
#[derive(Debug)]
pub(super) struct WriteStatements {
    migrate: Arc<str>,
    alive: Arc<str>,
    insert: Arc<str>,
    surplus: Arc<str>,
    oldest: Arc<str>,
    evict: Arc<str>,
    touch_and_confirm: Arc<str>,
    replace: Arc<str>,
    remove: Arc<str>,
    remove_owned: Arc<str>,
    youngest: Arc<str>,
    clear: Arc<str>,
    last: Arc<str>,
    sweep: Arc<str>,
}

impl WriteStatements {
    pub fn new(table: &str, [expires_at, owner]: [&str; 2]) -> Self {
        let sql = |template: &str| on_table(table, &template.replace("{opens}", OPENS));
        Self {
            migrate: fill(
                include_str!("../../../migrations/sqlite/0001_sessions.sql"),
                &[
                    ("\"token_sessions_expires_at\"", expires_at),
                    ("\"token_sessions_owner\"", owner),
                    ("\"token_sessions\"", table),
                ],
            ),
            alive: sql(ALIVE),
            insert: sql(insert::INSERT),
            surplus: sql(insert::SURPLUS),
            oldest: sql(insert::OLDEST),
            evict: sql(insert::EVICT),
            touch_and_confirm: sql(&touch_and_confirm::TOUCH_AND_CONFIRM
                .replace("{confirms}", touch_and_confirm::CONFIRMS)),
            replace: sql(replace::REPLACE),
            remove: sql(remove::REMOVE),
            remove_owned: sql(batches::REMOVE_OWNED),
            youngest: sql(batches::YOUNGEST),
            clear: sql(batches::CLEAR),
            last: sql(batches::LAST),
            sweep: sql(batches::SWEEP),
        }
    }
}

type Outcome<T> = std::result::Result<T, sqlx::Error>;

/// Whether the claim opens the session: there is no claim, or it is of the current secret, or of the
/// previous one in time. `?3` holds the proofs of the claim, one after the other, and `?4` the grace.
const OPENS: &str = "(
    ?3 IS NULL
    OR instr(?3, proof)
    OR (instr(?3, previous_proof) AND (confirmed_at IS NULL OR confirmed_at + ?4 > ?1))
)";

const ALIVE: &str = "SELECT 1 FROM {sessions} WHERE key = ?2 AND expires_at > ?1 AND {opens}";

/// Whether there is a live record under the key that the claim opens.
async fn is_alive(
    sql: &WriteStatements,
    connection: &mut SqliteConnection,
    key: &Key,
    claim: Option<&Claim>,
) -> Outcome<bool> {
    let row = claim_query(&sql.alive, key, claim).fetch_optional(connection).await?;
    Ok(row.is_some())
}

pub(super) struct Migrate;

impl Work for Migrate {
    type Answer = ();

    async fn run(&self, sql: &WriteStatements, connection: &mut SqliteConnection) -> Outcome<()> {
        raw_sql(AssertSqlSafe(Arc::clone(&sql.migrate))).execute(connection).await.map(drop)
    }
}
