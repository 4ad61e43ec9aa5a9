//! What [`Postgres::migrate`] creates, and how it sees that there is nothing to create.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row, raw_sql};
use tokio::time::Instant;

use super::Postgres;
use super::statement::{PgQuery, Sending, Statement};
use crate::backoff::Backoff;
use crate::store::Result;
use crate::store::sql::{Call, Failure, fill, store_error};

/// The advisory lock that makes concurrent migrations run one after the other. Any number that no other
/// program is likely to use: the first bytes of the crate's name.
const LOCK: i64 = i64::from_be_bytes(*b"token-se");

/// How long a change of the table waits for other transactions at a time. While it waits, all later
/// statements on the table wait behind it.
const LOCK_TIMEOUT: Duration = Duration::from_millis(100);

/// Whether there is a table, an index that begins with each of two columns, and a trigger of each
/// of three names that calls this very function. Every role may read the catalog.
const LOOK: &str = "
SELECT to_regclass($1) IS NOT NULL,
       (SELECT count(*) FROM pg_index JOIN pg_attribute
            ON attrelid = indrelid AND attnum = indkey[0] AND attname = 'expires_at'
        WHERE indrelid = to_regclass($1) AND indisvalid) > 0,
       (SELECT count(*) FROM pg_index JOIN pg_attribute
            ON attrelid = indrelid AND attnum = indkey[0] AND attname = 'owner'
        WHERE indrelid = to_regclass($1) AND indisvalid) > 0,
       (SELECT count(*) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid AND prosrc = $2
        WHERE tgrelid = to_regclass($1) AND tgname IN ($3, $4, $5)) = 3
WHERE {own}";

/// What one store needs in its database.
#[derive(Debug)]
pub(super) struct Schema {
    /// The table's name, quoted for a statement.
    pub table: String,
    /// The channel of its changes: the table's name.
    pub channel: String,
    /// Whether the table tells its changes.
    pub tells: bool,
    look: Statement,
    /// The table, and an index on each of two columns.
    parts: [String; 3],
    /// The function and the triggers.
    triggers: String,
    /// The function's text.
    function: String,
}

/// The names in the shipped files, quoted for a statement.
pub(super) struct Names<'a> {
    pub table: &'a str,
    pub expires_at: &'a str,
    pub owner: &'a str,
    pub changed: &'a str,
    pub written: &'a str,
    pub removed: &'a str,
    pub emptied: &'a str,
}

impl Schema {
    pub fn new(
        channel: String,
        names: &Names<'_>,
        (unlogged, tells): (bool, bool),
        sending: &Sending,
    ) -> Self {
        let create = if unlogged { "CREATE UNLOGGED TABLE" } else { "CREATE TABLE" };
        let words = [
            ("CREATE TABLE", create),
            ("'token_sessions'", &*format!("'{}'", channel.replace('\'', "''"))),
            ("\"token_sessions_expires_at\"", names.expires_at),
            ("\"token_sessions_owner\"", names.owner),
            ("\"token_sessions_changed\"", names.changed),
            ("\"token_sessions_written\"", names.written),
            ("\"token_sessions_removed\"", names.removed),
            ("\"token_sessions_emptied\"", names.emptied),
            ("\"token_sessions\"", names.table),
        ];
        // Each paragraph of the file creates one thing. The first one is a comment.
        let file = include_str!("../../../migrations/postgres/0001_sessions.sql");
        let mut paragraphs = file.split("\n\n").skip(1);
        let parts =
            [(); 3].map(|()| fill(paragraphs.next().unwrap_or_default(), &words).to_string());
        let triggers = include_str!("../../../migrations/postgres/0002_changes.sql");
        Self {
            table: names.table.to_owned(),
            channel,
            tells,
            look: Statement::new(LOOK, &[], sending),
            parts,
            triggers: fill(triggers, &words).to_string(),
            function: triggers.split("$$").nth(1).unwrap_or_default().to_owned(),
        }
    }

    fn look(&self) -> PgQuery {
        let trigger = |suffix| format!("{}{suffix}", self.channel);
        self.look
            .query()
            .bind(self.table.as_str())
            .bind(self.function.as_str())
            .bind(trigger("_written"))
            .bind(trigger("_removed"))
            .bind(trigger("_emptied"))
    }

    /// The SQL that creates what the look did not find.
    fn missing(&self, found: Option<PgRow>) -> Result<String, sqlx::Error> {
        let found = found.ok_or(sqlx::Error::RowNotFound)?;
        let mut missing = String::new();
        for (column, part) in self.parts.iter().enumerate() {
            if !found.try_get::<bool, _>(column)? {
                missing += part;
                missing += "\n";
            }
        }
        if self.tells && !found.try_get::<bool, _>(self.parts.len())? {
            missing += &self.triggers;
        }
        Ok(missing)
    }
}

impl Postgres {
    /// Looks first, so it needs no lock and no right to create if nothing is missing.
    pub(super) async fn create_what_is_missing(&self) -> Result<()> {
        let schema = &self.schema;
        let found = self.client.call().row(|| schema.look()).await?;
        if schema.missing(found).map_err(store_error::<sqlx::Postgres>)?.is_empty() {
            return Ok(());
        }
        let (begun, mut backoff) = (Instant::now(), Backoff::new());
        let mut call = self.client.without_deadline();
        loop {
            match self.try_create(&call).await {
                Ok(()) => return Ok(()),
                Err(failure)
                    if is_locked_out(&failure) && begun.elapsed() < self.client.timeout =>
                {
                    backoff.wait().await;
                }
                Err(failure) => call.recover(failure).await?,
            }
        }
    }

    /// Creates all of it in one transaction; concurrent migrations wait for it. An index on a large table
    /// takes long, so the only timeout here is the one for locks.
    async fn try_create(&self, call: &Call<'_, sqlx::Postgres>) -> Result<(), Failure> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; \
             SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({LOCK}); \
             SET LOCAL lock_timeout = {}",
            LOCK_TIMEOUT.as_millis()
        );
        let mut transaction = call.begin(AssertSqlSafe(begin)).await?;
        let found = transaction.rows(self.schema.look()).await?.pop();
        let missing = self.schema.missing(found)?;
        // A look that is not prepared has set the store's timeout.
        let create = format!("SET LOCAL statement_timeout = 0; {missing}");
        match transaction.done(raw_sql(AssertSqlSafe(create))).await {
            Err(failure) if is_locked_out(&failure) => {
                transaction.end("ROLLBACK").await?;
                Err(failure)
            }
            Err(failure) => Err(failure),
            Ok(_) => transaction.end("COMMIT").await,
        }
    }
}

fn is_locked_out(failure: &Failure) -> bool {
    matches!(failure, Failure::Driver(sqlx::Error::Database(error))
        if error.code().as_deref() == Some("55P03"))
}
