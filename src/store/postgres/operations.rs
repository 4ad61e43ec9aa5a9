//! The statements of [`Postgres`], and its shorter operations.
//!
//! Three things are alike in all operations on one record:
//!
//! * A statement that waited for another transaction's row continues with the newest version of it, and
//!   PostgreSQL checks the `WHERE` clause again (`READ COMMITTED`). So expiry is checked against `{now}`,
//!   which is evaluated again then. What is written comes from `moment.now`, which is evaluated once: so
//!   the times within a record fit together to the millisecond.
//! * The fallback `SELECT` that explains why nothing was written reads the statement's original
//!   snapshot. If the row could have been written in that snapshot, a concurrent operation changed it
//!   first. The explanation is then stale, and the statement runs again.
//! * `last_seen` never moves back, in whatever order racing touches end.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::Row;

use super::statement::{PgQuery, Sending, Statement};
use super::{Postgres, administration, load, owners, replace};
use crate::event::Events;
use crate::key::Key;
use crate::proof::Claim;
use crate::record::Owner;
use crate::store::sql::{key, millis, record, timeouts};
use crate::store::{
    AtomicStore, Condition, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Removed,
    Replaced, Result, Store, Watch, Write,
};

/// The server's clock at this point of the statement.
const NOW: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// The columns of a [`Record`](crate::Record), without its data.
const META: &str = "version, idle_ms, absolute_ms, created_at, last_seen, deadline, \
                    authenticated_at, owner, proof, previous_proof, confirmed_at, sealed, details, \
                    {now} AS answered_at";

/// Whether one of the claim's proofs, which `$2` has one after the other, is the current one. Without a
/// claim it is true. All proofs are of one length and digests, so a match elsewhere in `$2` than at the
/// beginning of one is as unlikely as a guessed secret.
const CURRENT: &str = "($2::bytea IS NULL OR position(proof IN $2) > 0)";

/// Whether the claim opens the record. `$3` is its grace.
const OPENS: &str = "($2::bytea IS NULL OR position(proof IN $2) > 0
        OR position(previous_proof IN $2) > 0
            AND (confirmed_at IS NULL OR {now} - confirmed_at < $3))";

/// How many rows one statement removes at most, so it holds its locks for a short time.
pub(super) const BATCH: usize = 1000;

/// The statements, with the names of one table in them.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) before: Arc<str>,
    insert: Statement,
    pub(super) insert_limited: Statement,
    pub(super) load: Reading,
    pub(super) load_writing: Reading,
    pub(super) replace: Statement,
    remove: Statement,
    remove_handing_out: Statement,
    alive: Statement,
    pub(super) owned: Reading,
    pub(super) remove_owned: Statement,
    pub(super) scan: Statement,
    pub(super) count: Statement,
    pub(super) clear: Statement,
    pub(super) sweep: Statement,
}

/// A statement that reads records, with their data and without.
#[derive(Debug)]
pub(super) struct Reading {
    with_data: Statement,
    without_data: Statement,
}

impl Reading {
    pub fn with_data(&self, with_data: bool) -> &Statement {
        if with_data { &self.with_data } else { &self.without_data }
    }
}

impl Statements {
    pub fn new(table: &str, sending: &Sending) -> Self {
        let sql = |template: &str| {
            let template = template
                .replace("{new}", NEW)
                .replace("{values}", VALUES)
                .replace("{taken_over}", TAKEN_OVER)
                .replace("{meta}", META)
                .replace("{current}", CURRENT)
                .replace("{opens}", OPENS)
                .replace("{knows}", load::KNOWS)
                .replace("{confirms}", load::CONFIRMS)
                .replace("{due}", load::DUE)
                .replace("{now}", NOW);
            Statement::new(&template, &[("{sessions}", table)], sending)
        };
        let reading = |template: &str| Reading {
            with_data: sql(&template.replace("{columns}", "{meta}, data")),
            without_data: sql(&template.replace("{columns}", "{meta}")),
        };
        Self {
            before: sending.before(),
            insert: sql(INSERT),
            insert_limited: sql(owners::INSERT_LIMITED),
            load: reading(load::LOAD),
            load_writing: reading(load::LOAD_WRITING),
            replace: sql(replace::REPLACE),
            remove: sql(&REMOVE.replace("{columns}", "true")),
            remove_handing_out: sql(&REMOVE.replace("{columns}", "{meta}, data")),
            alive: sql(ALIVE),
            owned: reading(owners::OWNED),
            remove_owned: sql(owners::REMOVE_OWNED),
            scan: sql(administration::SCAN),
            count: sql(administration::COUNT),
            clear: sql(administration::CLEAR),
            sweep: sql(administration::SWEEP),
        }
    }
}

/// What an insert writes.
const NEW: &str = "key, data, details, version, idle_ms, absolute_ms, created_at, last_seen, \
                   deadline, authenticated_at, owner, proof";

/// Its values, where `now` is the moment of the insert.
const VALUES: &str =
    "$1, $2, $3, $4, $5, $6, now, now, now + $6, CASE WHEN $7 THEN now END, $8, $9";

/// Makes an expired row, `held`, the new record, and leaves nothing of the old one.
const TAKEN_OVER: &str = "
    (data, details, version, idle_ms, absolute_ms, created_at, last_seen, deadline,
     authenticated_at, owner, proof, previous_proof, confirmed_at, sealed) =
    (excluded.data, excluded.details, excluded.version, excluded.idle_ms, excluded.absolute_ms,
     excluded.created_at, excluded.last_seen, excluded.deadline, excluded.authenticated_at,
     excluded.owner, excluded.proof, NULL, NULL, NULL)
WHERE held.expires_at <= {now}";

/// `ON CONFLICT` waits for a racing insert of the same key, and then takes the row over only if it has
/// expired.
const INSERT: &str = "
INSERT INTO {sessions} AS held ({new})
SELECT {values} FROM (SELECT {now} AS now) AS moment WHERE {own}
ON CONFLICT (key) DO UPDATE SET {taken_over}";

/// With `$4` or `$5`, only of this version or this owner; with `$2`, only if the claim opens it. `stale`
/// tells whether a row that was not removed met the condition in the statement's own snapshot: then
/// another operation changed it first.
const REMOVE: &str = "
WITH removed AS (
    DELETE FROM {sessions}
    WHERE key = $1 AND expires_at > {now} AND {opens}
        AND ($4::bigint IS NULL OR version = $4) AND ($5::text IS NULL OR owner = $5)
    RETURNING true AS done, false AS stale, {columns}
)
SELECT * FROM removed WHERE {own}
UNION ALL
SELECT false,
       ({opens} AND ($4::bigint IS NULL OR version = $4)
        AND ($5::text IS NULL OR owner = $5)) IS TRUE,
       {columns}
FROM {sessions}
WHERE key = $1 AND expires_at > {now} AND NOT EXISTS (SELECT FROM removed)";

const ALIVE: &str = "
SELECT key FROM {sessions} WHERE key = ANY ($1) AND expires_at > {now} AND {own}";

pub(super) fn query(statement: &Statement) -> PgQuery {
    statement.query()
}

/// The proofs of a claim and its grace, for `$2` and `$3`.
pub(super) fn claimed(claim: Option<&Claim>) -> (Option<&[u8]>, Option<i64>) {
    (claim.map(Claim::as_bytes), claim.map(|claim| millis(claim.grace())))
}

pub(super) fn insertion(sql: &Statement, key: &Key, record: &NewRecord<'_>) -> PgQuery {
    let (idle, absolute) = timeouts(&record.lifetime);
    query(sql)
        .bind(key.as_bytes().as_slice())
        .bind(&*record.data)
        .bind(&**record.details.as_bytes())
        .bind(record.version.get().cast_signed())
        .bind(idle)
        .bind(absolute)
        .bind(record.authenticated)
        .bind(record.owner.map(Owner::as_str))
        .bind(record.proof.as_ref().map(|proof| proof.as_bytes().as_slice()))
}

#[async_trait::async_trait]
impl Store for Postgres {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let mut call = self.client.call();
        let (Some(owner), Some(limit)) = (record.owner, record.limit) else {
            let done = call.done(|| insertion(&self.sql.insert, key, record)).await?;
            return Ok(match done.rows_affected() {
                0 => Inserted::KeyTaken,
                _ => Inserted::Done { evicted: Vec::new() },
            });
        };
        loop {
            match self.try_insert_limited(&call, key, record, owner, limit).await {
                Ok(Some(inserted)) => return Ok(inserted),
                Ok(None) => call.retry_stale().await?,
                Err(failure) => call.recover(failure).await?,
            }
        }
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        self.find(key, load).await
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        self.write(key, write).await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let (claim, version, owner) = match condition {
            Condition::Always => (None, None, None),
            Condition::Version(version) => (None, Some(version.get().cast_signed()), None),
            Condition::Owner(owner) => (None, None, Some(owner.as_str())),
            Condition::Claim(claim) => (Some(claim), None, None),
        };
        let (claim, grace) = claimed(claim);
        let sql = if hand_out { &self.sql.remove_handing_out } else { &self.sql.remove };
        let mut call = self.client.call();
        loop {
            let row = call
                .row(|| {
                    query(sql)
                        .bind(key.as_bytes().as_slice())
                        .bind(claim)
                        .bind(grace)
                        .bind(version)
                        .bind(owner)
                })
                .await?;
            let Some(row) = row else {
                return Ok(Removed::Missing);
            };
            match (row.get(0), row.get(1)) {
                (true, _) => {
                    let handed_out = hand_out.then(|| record(&row, 2, key, true));
                    return Ok(Removed::Done(handed_out.transpose()?));
                }
                (false, false) => return Ok(Removed::Conflict),
                (false, true) => call.retry_stale().await?,
            }
        }
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<_> = keys.iter().map(|key| key.as_bytes().as_slice()).collect();
        let mut call = self.client.call();
        let rows = call.rows(|| query(&self.sql.alive).bind(&wanted[..])).await?;
        let live = rows.iter().map(|row| key(row, 0)).collect::<Result<HashSet<_>>>()?;
        Ok(keys.iter().map(|key| live.contains(key)).collect())
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }

    /// `None` unless the table is to [tell its changes](super::PostgresBuilder::tell_changes).
    fn watch(&self) -> Option<&dyn Watch> {
        self.schema.tells.then_some(self)
    }

    fn moves(&self) -> Option<&dyn Moves> {
        None
    }

    fn partitions(&self) -> u16 {
        1
    }

    fn keeps_plain_ids(&self) -> bool {
        false
    }

    fn attach(&self, events: &Events) {
        self.listeners.attach(events);
    }
}

impl AtomicStore for Postgres {}
