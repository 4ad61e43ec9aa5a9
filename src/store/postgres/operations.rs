//! The operations of [`Postgres`] on one record, each beside its statement.
//!
//! Three things are alike in all of them:
//!
//! * A statement that had to wait for another transaction's row goes on with the newest version of
//!   it, on which PostgreSQL checks the `WHERE` clause again (`READ COMMITTED`). So life is checked
//!   against `{now}`, which is read anew then, and what is written comes from `moment.now`, which
//!   is read once: times within a record fit together to the millisecond.
//! * What the statement reads beside that, to tell why it wrote nothing, it reads as of its
//!   beginning. If the row was fit to be written by then, another operation outran this one, the
//!   reason is out of date, and the statement is run once more.
//! * `greatest` keeps `last_seen` from moving back, in whatever order racing touches end.

use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::statement::{PgQuery, Sending, Statement};
use super::{Postgres, administration, owners};
use crate::event::Events;
use crate::key::Key;
use crate::record::{Label, Meta, Owner, Record};
use crate::store::sql::{meta, record, ten_intervals, timeouts, version};
use crate::store::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced,
    Result, Store, Touch, Write,
};

/// The server's clock at this point of the statement.
const NOW: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// The columns that make a [`Meta`].
const META: &str = "version, idle_ms, absolute_ms, created_at, last_seen, deadline, \
                    authenticated_at, owner, label, {now} AS answered_at";

/// How many rows one statement removes at most, so that it holds its locks for a short time.
pub(super) const BATCH: usize = 1000;

/// The statements, with the names of one table in them.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) before: Arc<str>,
    insert: Statement,
    pub(super) insert_limited: Statement,
    load: Statement,
    load_touching: Statement,
    touch: Statement,
    touch_touching: Statement,
    replace: Statement,
    rename: Statement,
    take: Statement,
    remove: Statement,
    pub(super) owned: Statement,
    pub(super) remove_owned: Statement,
    pub(super) scan: Statement,
    pub(super) count: Statement,
    pub(super) clear: Statement,
    pub(super) sweep: Statement,
}

impl Statements {
    pub fn new(table: &str, sending: &Sending) -> Self {
        let sql = |template: &str| {
            let template = template.replace("{meta}", META).replace("{now}", NOW);
            Statement::new(&template, &[("{sessions}", table)], sending)
        };
        let with_data = |template: &str| sql(&template.replace("{columns}", "{meta}, data"));
        let without_data = |template: &str| sql(&template.replace("{columns}", "{meta}"));
        Self {
            before: sending.before(),
            insert: sql(INSERT),
            insert_limited: sql(owners::INSERT_LIMITED),
            load: with_data(LOAD),
            load_touching: with_data(LOAD_TOUCHING),
            touch: without_data(LOAD),
            touch_touching: without_data(LOAD_TOUCHING),
            replace: sql(REPLACE),
            rename: sql(RENAME),
            take: sql(TAKE),
            remove: sql(REMOVE),
            owned: sql(owners::OWNED),
            remove_owned: sql(owners::REMOVE_OWNED),
            scan: sql(administration::SCAN),
            count: sql(administration::COUNT),
            clear: sql(administration::CLEAR),
            sweep: sql(administration::SWEEP),
        }
    }
}

/// `ON CONFLICT` waits for a racing insert of the same key, and then takes the row over only if
/// that is expired.
const INSERT: &str = "
INSERT INTO {sessions} AS held
    (key, data, version, idle_ms, absolute_ms, created_at, last_seen, deadline, authenticated_at,
     owner, label)
SELECT $1, $2, $8, $3, $4, now, now, now + $4, CASE WHEN $5 THEN now END, $6, $7
FROM (SELECT {now} AS now) AS moment WHERE {own}
ON CONFLICT (key) DO UPDATE SET
    (data, version, idle_ms, absolute_ms, created_at, last_seen, deadline, authenticated_at, owner,
     label) =
    (excluded.data, excluded.version, excluded.idle_ms, excluded.absolute_ms, excluded.created_at,
     excluded.last_seen, excluded.deadline, excluded.authenticated_at, excluded.owner,
     excluded.label)
WHERE held.expires_at <= {now}";

const LOAD: &str = "
SELECT {columns} FROM {sessions} WHERE key = $1 AND expires_at > {now} AND {own}";

/// `$2` is ten times the touch interval, so that a tenth of the idle timeout is compared exactly.
/// The `SELECT` comes to the row only when the `UPDATE` has not: not due, or outrun, which is
/// when it was due.
const LOAD_TOUCHING: &str = "
WITH moment AS MATERIALIZED (SELECT {now} AS now),
touched AS (
    UPDATE {sessions} SET last_seen = greatest(last_seen, moment.now) FROM moment
    WHERE key = $1 AND expires_at > {now}
        AND idle_ms IS NOT NULL
        AND 10 * greatest(moment.now - last_seen, 0) >= least($2, idle_ms)
    RETURNING false AS outrun, {columns}
)
SELECT * FROM touched WHERE {own}
UNION ALL
SELECT idle_ms IS NOT NULL AND 10 * greatest(moment.now - last_seen, 0) >= least($2, idle_ms),
       {columns}
FROM {sessions}, moment
WHERE key = $1 AND expires_at > {now} AND NOT EXISTS (SELECT FROM touched)";

/// `$5` says whether there is a new lifetime, `$6` and `$7`.
const REPLACE: &str = "
WITH moment AS MATERIALIZED (SELECT {now} AS now),
written AS (
    UPDATE {sessions} SET
        data = $2,
        version = version + 1,
        last_seen = CASE WHEN $4 OR $5 THEN greatest(last_seen, moment.now) ELSE last_seen END,
        idle_ms = CASE WHEN $5 THEN $6 ELSE idle_ms END,
        absolute_ms = CASE WHEN $5 THEN $7 ELSE absolute_ms END,
        deadline = CASE WHEN $5 THEN moment.now + $7 ELSE deadline END
    FROM moment
    WHERE key = $1 AND expires_at > {now} AND ($3::bigint IS NULL OR version = $3)
    RETURNING version
)
SELECT true AS done, version FROM written WHERE {own}
UNION ALL
SELECT false, version FROM {sessions}
WHERE key = $1 AND expires_at > {now} AND NOT EXISTS (SELECT FROM written)";

/// `gone` makes room where an expired row has the new key; it is counted to have it run first. The
/// row keeps its place in the table under a new key, so that a removal of its owner's sessions that
/// waits for this statement finds it there.
const RENAME: &str = "
WITH moment AS MATERIALIZED (SELECT {now} AS now),
gone AS (DELETE FROM {sessions} WHERE key = $2 AND expires_at <= {now} RETURNING 1),
moved AS (
    UPDATE {sessions} SET
        key = $2,
        version = version + 1,
        last_seen = greatest(last_seen, moment.now),
        authenticated_at = CASE WHEN $3 THEN moment.now ELSE authenticated_at END,
        deadline = CASE WHEN $3 THEN moment.now + absolute_ms ELSE deadline END
    FROM moment
    WHERE key = $1 AND expires_at > {now} AND (SELECT count(*) FROM gone) >= 0
        AND NOT EXISTS (SELECT FROM {sessions} WHERE key = $2 AND expires_at > {now})
    RETURNING {meta}
)
SELECT EXISTS (SELECT FROM moved),
       EXISTS (SELECT FROM {sessions} WHERE key = $1 AND expires_at > {now}),
       EXISTS (SELECT FROM {sessions} WHERE key = $2 AND expires_at > {now}),
       moved.*
FROM (VALUES (1)) AS one LEFT JOIN moved ON true WHERE {own}";

const TAKE: &str = "
DELETE FROM {sessions} WHERE key = $1 AND expires_at > {now} AND {own} RETURNING {meta}, data";

/// With `$2` or `$3`, only of this version or this owner. `fit` tells whether the row that stayed
/// met that, and so was outrun.
const REMOVE: &str = "
WITH removed AS (
    DELETE FROM {sessions}
    WHERE key = $1 AND expires_at > {now}
        AND ($2::bigint IS NULL OR version = $2) AND ($3::text IS NULL OR owner = $3)
    RETURNING true
)
SELECT true AS done, true AS fit FROM removed WHERE {own}
UNION ALL
SELECT false,
       ($2::bigint IS NULL OR version = $2) AND ($3::text IS NULL OR owner IS NOT DISTINCT FROM $3)
FROM {sessions}
WHERE key = $1 AND expires_at > {now} AND NOT EXISTS (SELECT FROM removed)";

pub(super) fn query(statement: &Statement) -> PgQuery {
    statement.query()
}

pub(super) fn insertion(sql: &Statement, key: &Key, record: &NewRecord<'_>) -> PgQuery {
    let (idle, absolute) = timeouts(&record.lifetime);
    query(sql)
        .bind(key.as_bytes().as_slice())
        .bind(&*record.data)
        .bind(idle)
        .bind(absolute)
        .bind(record.authenticated)
        .bind(record.owner.map(Owner::as_str))
        .bind(record.label.map(Label::as_str))
        .bind(record.version.get().cast_signed())
}

impl Postgres {
    /// The row of a load, after its `outrun` column where it touches.
    async fn load_row(
        &self,
        key: &Key,
        touch: Touch,
        plain: &Statement,
        touching: &Statement,
    ) -> Result<Option<(PgRow, usize)>> {
        let mut call = self.client.call();
        let Touch::After(interval) = touch else {
            let row = call.row(|| query(plain).bind(key.as_bytes().as_slice())).await?;
            return Ok(row.map(|row| (row, 0)));
        };
        loop {
            let row = call
                .row(|| {
                    query(touching).bind(key.as_bytes().as_slice()).bind(ten_intervals(interval))
                })
                .await?;
            match row {
                Some(row) if row.get::<bool, _>(0) => call.outrun().await?,
                row => return Ok(row.map(|row| (row, 1))),
            }
        }
    }
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
                Ok(None) => call.outrun().await?,
                Err(failure) => call.recover(failure).await?,
            }
        }
    }

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        let sql = &self.sql;
        let row = self.load_row(key, touch, &sql.load, &sql.load_touching).await?;
        row.map(|(row, first)| record(&row, first, key)).transpose()
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        let sql = &self.sql;
        let row = self.load_row(key, touch, &sql.touch, &sql.touch_touching).await?;
        row.map(|(row, first)| meta(&row, first, key)).transpose()
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let expected = write.expected.map(|expected| expected.get().cast_signed());
        let (idle, absolute) = write.lifetime.map_or((None, None), timeouts);
        let mut call = self.client.call();
        loop {
            let row = call
                .row(|| {
                    query(&self.sql.replace)
                        .bind(key.as_bytes().as_slice())
                        .bind(&*write.data)
                        .bind(expected)
                        .bind(write.touch)
                        .bind(write.lifetime.is_some())
                        .bind(idle)
                        .bind(absolute)
                })
                .await?;
            let Some(row) = row else {
                return Ok(Replaced::Missing);
            };
            let version = version(&row, 1)?;
            if row.get(0) {
                return Ok(Replaced::Done(version));
            }
            if write.expected.is_some_and(|expected| expected != version) {
                return Ok(Replaced::Conflict);
            }
            call.outrun().await?;
        }
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let mut call = self.client.call();
        loop {
            let rows = call
                .try_rows(
                    query(&self.sql.rename)
                        .bind(from.as_bytes().as_slice())
                        .bind(to.as_bytes().as_slice())
                        .bind(renewal == Renewal::Authentication),
                )
                .await;
            let row = match rows.map(|mut rows| rows.pop()) {
                Ok(row) => row,
                // An insert under the new key came between; the next try sees it.
                Err(failure) if failure.is_duplicate() => {
                    call.outrun().await?;
                    continue;
                }
                Err(failure) => {
                    call.recover(failure).await?;
                    continue;
                }
            };
            let Some(row) = row else {
                return Ok(Renamed::Missing);
            };
            let (moved, from_lives, to_lives) = (row.get(0), row.get(1), row.get(2));
            match (moved, from_lives, to_lives) {
                (true, _, _) => return Ok(Renamed::Done(meta(&row, 3, to)?)),
                (false, false, _) => return Ok(Renamed::Missing),
                (false, true, true) => return Ok(Renamed::KeyTaken),
                (false, true, false) => call.outrun().await?,
            }
        }
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        let mut call = self.client.call();
        let row = call.row(|| query(&self.sql.take).bind(key.as_bytes().as_slice())).await?;
        row.map(|row| record(&row, 0, key)).transpose()
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        let (version, owner) = match condition {
            Condition::Always => (None, None),
            Condition::Version(version) => (Some(version.get().cast_signed()), None),
            Condition::Owner(owner) => (None, Some(owner.as_str())),
        };
        let mut call = self.client.call();
        loop {
            let row = call
                .row(|| {
                    query(&self.sql.remove)
                        .bind(key.as_bytes().as_slice())
                        .bind(version)
                        .bind(owner)
                })
                .await?;
            match row.map(|row| (row.get(0), row.get(1))) {
                Some((true, _)) => return Ok(Removed::Done),
                Some((false, false)) => return Ok(Removed::Conflict),
                Some((false, true)) => call.outrun().await?,
                None => return Ok(Removed::Missing),
            }
        }
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        self.list_owned(owner, limit).await
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.end_owned(owner, keep).await
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.page(after, limit).await
    }

    async fn count(&self) -> Result<u64> {
        self.count_live().await
    }

    async fn clear(&self) -> Result<()> {
        self.remove_all().await
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        self.free_expired(limit).await
    }

    fn attach(&self, events: &Events) {
        self.listeners.attach(events);
    }
}

impl AtomicStore for Postgres {}
