//! The operations that write, as the [writer](super::writer) runs them: each is alone in the file
//! while it runs, so it may look first and write then.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row, raw_sql};

use super::operations::query;
use super::writer::Work;
use crate::key::Key;
use crate::record::{Label, Lifetime, Owner, Record, Version};
use crate::store::sql::{fill, key, meta, record, row_limit, timeouts, version};
use crate::store::{
    Condition, Inserted, NewRecord, OwnerLimit, Removed, Renamed, Renewal, Replaced, Result, Write,
};

/// The statements that write, with the name of one table in them.
#[derive(Debug)]
pub(super) struct Statements {
    migrate: Arc<str>,
    lives: Arc<str>,
    insert: Arc<str>,
    surplus: Arc<str>,
    oldest: Arc<str>,
    delete: Arc<str>,
    touch: Arc<str>,
    replace: Arc<str>,
    vacate: Arc<str>,
    rename: Arc<str>,
    take: Arc<str>,
    remove: Arc<str>,
    remove_owned: Arc<str>,
    youngest: Arc<str>,
    clear: Arc<str>,
    last: Arc<str>,
    sweep: Arc<str>,
}

impl Statements {
    pub fn new(
        table: &str,
        [expires_at, owner]: [&str; 2],
        sql: impl Fn(&str) -> Arc<str>,
    ) -> Self {
        Self {
            migrate: fill(
                include_str!("../../../migrations/sqlite/0001_sessions.sql"),
                &[
                    ("\"token_sessions_expires_at\"", expires_at),
                    ("\"token_sessions_owner\"", owner),
                    ("\"token_sessions\"", table),
                ],
            ),
            lives: sql(LIVES),
            insert: sql(INSERT),
            surplus: sql(SURPLUS),
            oldest: sql(OLDEST),
            delete: sql(DELETE),
            touch: sql(TOUCH),
            replace: sql(REPLACE),
            vacate: sql(VACATE),
            rename: sql(RENAME),
            take: sql(TAKE),
            remove: sql(REMOVE),
            remove_owned: sql(REMOVE_OWNED),
            youngest: sql(YOUNGEST),
            clear: sql(CLEAR),
            last: sql(LAST),
            sweep: sql(SWEEP),
        }
    }
}

type Outcome<T> = std::result::Result<T, sqlx::Error>;

const LIVES: &str = "SELECT version FROM {sessions} WHERE key = ?2 AND expires_at > ?1";

/// The version of the live record under a key.
async fn lives(
    sql: &Statements,
    connection: &mut SqliteConnection,
    key: &Key,
) -> Outcome<Option<SqliteRow>> {
    query(&sql.lives).bind(key.as_bytes().as_slice()).fetch_optional(connection).await
}

pub(super) struct Migrate;

impl Work for Migrate {
    type Answer = ();

    async fn run(&self, sql: &Statements, connection: &mut SqliteConnection) -> Outcome<()> {
        raw_sql(AssertSqlSafe(Arc::clone(&sql.migrate))).execute(connection).await.map(drop)
    }
}

pub(super) struct Insert {
    key: Key,
    data: Bytes,
    version: Version,
    lifetime: Lifetime,
    owner: Option<Owner>,
    label: Option<Label>,
    authenticated: bool,
    limit: Option<OwnerLimit>,
}

impl Insert {
    pub fn new(key: &Key, record: &NewRecord<'_>) -> Self {
        Self {
            key: key.clone(),
            data: record.data.clone(),
            version: record.version,
            lifetime: record.lifetime,
            owner: record.owner.cloned(),
            label: record.label.cloned(),
            authenticated: record.authenticated,
            limit: record.limit,
        }
    }

    /// The owner's sessions that are too many beside a new one, up to 1,000 of them, the oldest
    /// first.
    async fn surplus(
        &self,
        sql: &Statements,
        connection: &mut SqliteConnection,
        owner: &Owner,
        limit: OwnerLimit,
    ) -> Outcome<Vec<Vec<u8>>> {
        let surplus: i64 = query(&sql.surplus)
            .bind(owner.as_str())
            .bind(i64::from(limit.max().get()) - 1)
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        if surplus == 0 {
            return Ok(Vec::new());
        }
        query(&sql.oldest)
            .bind(owner.as_str())
            .bind(surplus)
            .fetch_all(connection)
            .await?
            .iter()
            .map(|row| row.try_get(0))
            .collect()
    }
}

/// An expired row is taken over.
const INSERT: &str = "
INSERT INTO {sessions}
    (key, data, version, idle_ms, absolute_ms, created_at, last_seen, deadline, authenticated_at,
     owner, label)
VALUES (?2, ?3, ?9, ?4, ?5, ?1, ?1, ?1 + ?5, iif(?6, ?1, NULL), ?7, ?8)
ON CONFLICT (key) DO UPDATE SET
    (data, version, idle_ms, absolute_ms, created_at, last_seen, deadline, authenticated_at, owner,
     label) =
    (excluded.data, excluded.version, excluded.idle_ms, excluded.absolute_ms, excluded.created_at,
     excluded.last_seen, excluded.deadline, excluded.authenticated_at, excluded.owner,
     excluded.label)
WHERE expires_at <= ?1";

/// Looks at no more sessions than it has to.
const SURPLUS: &str = "
SELECT count(*) FROM (
    SELECT 1 FROM {sessions} WHERE owner = ?2 AND expires_at > ?1
    ORDER BY created_at DESC LIMIT 1000 OFFSET ?3
)";

const OLDEST: &str = "
SELECT key FROM {sessions} WHERE owner = ?2 AND expires_at > ?1 ORDER BY created_at LIMIT ?3";

const DELETE: &str = "DELETE FROM {sessions} WHERE key = ?2";

impl Work for Insert {
    type Answer = Inserted;

    async fn run(&self, sql: &Statements, connection: &mut SqliteConnection) -> Outcome<Inserted> {
        let mut evicted = Vec::new();
        if let (Some(owner), Some(limit)) = (&self.owner, self.limit) {
            if lives(sql, connection, &self.key).await?.is_some() {
                return Ok(Inserted::KeyTaken);
            }
            let surplus = self.surplus(sql, connection, owner, limit).await?;
            if !surplus.is_empty() && !limit.evicts() {
                return Ok(Inserted::OwnerFull);
            }
            for bytes in surplus {
                query(&sql.delete).bind(bytes.as_slice()).execute(&mut *connection).await?;
                evicted.extend(bytes.as_slice().try_into().ok().map(Key::from_bytes));
            }
        }
        let (idle, absolute) = timeouts(&self.lifetime);
        let done = query(&sql.insert)
            .bind(self.key.as_bytes().as_slice())
            .bind(&*self.data)
            .bind(idle)
            .bind(absolute)
            .bind(self.authenticated)
            .bind(self.owner.as_ref().map(Owner::as_str))
            .bind(self.label.as_ref().map(Label::as_str))
            .bind(self.version.get().cast_signed())
            .execute(connection)
            .await?;
        Ok(match done.rows_affected() {
            0 => Inserted::KeyTaken,
            _ => Inserted::Done { evicted },
        })
    }
}

/// Restarts the idle timeout of a record for which that was found to be due.
pub(super) struct Touch(pub Key);

/// `max`, for a clock that was set back.
const TOUCH: &str = "
UPDATE {sessions} SET last_seen = max(last_seen, ?1) WHERE key = ?2 AND expires_at > ?1
RETURNING {meta}, data";

impl Work for Touch {
    type Answer = Result<Option<Record>>;

    async fn run(
        &self,
        sql: &Statements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let rows =
            query(&sql.touch).bind(self.0.as_bytes().as_slice()).fetch_all(connection).await?;
        Ok(rows.first().map(|row| record(row, 0, &self.0)).transpose())
    }
}

pub(super) struct Replace {
    key: Key,
    data: Bytes,
    expected: Option<Version>,
    touch: bool,
    lifetime: Option<Lifetime>,
}

impl Replace {
    pub fn new(key: &Key, write: &Write<'_>) -> Self {
        Self {
            key: key.clone(),
            data: write.data.clone(),
            expected: write.expected,
            touch: write.touch,
            lifetime: write.lifetime.copied(),
        }
    }
}

/// `?6` says whether there is a new lifetime, `?7` and `?8`.
const REPLACE: &str = "
UPDATE {sessions} SET
    data = ?3,
    version = version + 1,
    last_seen = iif(?5 OR ?6, max(last_seen, ?1), last_seen),
    idle_ms = iif(?6, ?7, idle_ms),
    absolute_ms = iif(?6, ?8, absolute_ms),
    deadline = iif(?6, ?1 + ?8, deadline)
WHERE key = ?2 AND expires_at > ?1 AND (?4 IS NULL OR version = ?4)
RETURNING version";

impl Work for Replace {
    type Answer = Result<Replaced>;

    async fn run(
        &self,
        sql: &Statements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let (idle, absolute) = self.lifetime.as_ref().map_or((None, None), timeouts);
        let rows = query(&sql.replace)
            .bind(self.key.as_bytes().as_slice())
            .bind(&*self.data)
            .bind(self.expected.map(|version| version.get().cast_signed()))
            .bind(self.touch)
            .bind(self.lifetime.is_some())
            .bind(idle)
            .bind(absolute)
            .fetch_all(&mut *connection)
            .await?;
        if let Some(row) = rows.first() {
            return Ok(version(row, 0).map(Replaced::Done));
        }
        Ok(Ok(match lives(sql, connection, &self.key).await? {
            Some(_) => Replaced::Conflict,
            None => Replaced::Missing,
        }))
    }
}

pub(super) struct Rename {
    pub from: Key,
    pub to: Key,
    pub renewal: Renewal,
}

const VACATE: &str = "DELETE FROM {sessions} WHERE key = ?2 AND expires_at <= ?1";

/// A live record under the new key, which may be the old one, makes it pass over the row.
const RENAME: &str = "
UPDATE OR IGNORE {sessions} SET
    key = ?3,
    version = version + 1,
    last_seen = max(last_seen, ?1),
    authenticated_at = iif(?4, ?1, authenticated_at),
    deadline = iif(?4, ?1 + absolute_ms, deadline)
WHERE key = ?2 AND expires_at > ?1 AND ?2 <> ?3
RETURNING {meta}";

impl Work for Rename {
    type Answer = Result<Renamed>;

    async fn run(
        &self,
        sql: &Statements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let vacate = query(&sql.vacate).bind(self.to.as_bytes().as_slice());
        vacate.execute(&mut *connection).await?;
        let rows = query(&sql.rename)
            .bind(self.from.as_bytes().as_slice())
            .bind(self.to.as_bytes().as_slice())
            .bind(self.renewal == Renewal::Authentication)
            .fetch_all(&mut *connection)
            .await?;
        if let Some(row) = rows.first() {
            return Ok(meta(row, 0, &self.to).map(Renamed::Done));
        }
        Ok(Ok(match lives(sql, connection, &self.from).await? {
            Some(_) => Renamed::KeyTaken,
            None => Renamed::Missing,
        }))
    }
}

pub(super) struct Take(pub Key);

const TAKE: &str = "
DELETE FROM {sessions} WHERE key = ?2 AND expires_at > ?1 RETURNING {meta}, data";

impl Work for Take {
    type Answer = Result<Option<Record>>;

    async fn run(
        &self,
        sql: &Statements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let rows =
            query(&sql.take).bind(self.0.as_bytes().as_slice()).fetch_all(connection).await?;
        Ok(rows.first().map(|row| record(row, 0, &self.0)).transpose())
    }
}

pub(super) struct Remove {
    key: Key,
    version: Option<Version>,
    owner: Option<Owner>,
}

impl Remove {
    pub fn new(key: &Key, condition: Condition<'_>) -> Self {
        let (version, owner) = match condition {
            Condition::Always => (None, None),
            Condition::Version(version) => (Some(version), None),
            Condition::Owner(owner) => (None, Some(owner.clone())),
        };
        Self { key: key.clone(), version, owner }
    }
}

const REMOVE: &str = "
DELETE FROM {sessions}
WHERE key = ?2 AND expires_at > ?1
    AND (?3 IS NULL OR version = ?3) AND (?4 IS NULL OR owner = ?4)";

impl Work for Remove {
    type Answer = Removed;

    async fn run(&self, sql: &Statements, connection: &mut SqliteConnection) -> Outcome<Removed> {
        let done = query(&sql.remove)
            .bind(self.key.as_bytes().as_slice())
            .bind(self.version.map(|version| version.get().cast_signed()))
            .bind(self.owner.as_ref().map(Owner::as_str))
            .execute(&mut *connection)
            .await?;
        if done.rows_affected() > 0 {
            return Ok(Removed::Done);
        }
        Ok(match lives(sql, connection, &self.key).await? {
            Some(_) => Removed::Conflict,
            None => Removed::Missing,
        })
    }
}

/// Ends a batch of an owner's sessions.
pub(super) struct RemoveOwned {
    pub owner: Owner,
    pub keep: Option<Key>,
    /// None that began later.
    pub until: Option<i64>,
    pub limit: usize,
}

const REMOVE_OWNED: &str = "
DELETE FROM {sessions} WHERE rowid IN (
    SELECT rowid FROM {sessions} WHERE owner = ?2 AND key IS NOT ?3 AND created_at <= ?4
    ORDER BY created_at LIMIT ?5
)";

const YOUNGEST: &str = "SELECT max(created_at) FROM {sessions} WHERE owner = ?2";

impl Work for RemoveOwned {
    type Answer = Batch;

    async fn run(&self, sql: &Statements, connection: &mut SqliteConnection) -> Outcome<Batch> {
        let done = query(&sql.remove_owned)
            .bind(self.owner.as_str())
            .bind(self.keep.as_ref().map(|key| key.as_bytes().as_slice()))
            .bind(self.until.unwrap_or(i64::MAX))
            .bind(row_limit(self.limit))
            .execute(&mut *connection)
            .await?;
        let youngest = query(&sql.youngest).bind(self.owner.as_str());
        let until = youngest.fetch_one(connection).await?.try_get(0)?;
        Ok(Batch { is_last: done.rows_affected() < self.limit as u64, until })
    }
}

/// What became of a batch of a removal.
pub(super) struct Batch {
    /// There were no more rows.
    pub is_last: bool,
    /// The row after which none is there yet.
    pub until: Option<i64>,
}

/// Removes a batch of all rows.
pub(super) struct Clear {
    /// None with a larger number.
    pub until: Option<i64>,
    pub limit: usize,
}

const CLEAR: &str = "
DELETE FROM {sessions} WHERE rowid IN (
    SELECT rowid FROM {sessions} WHERE rowid <= ?2 ORDER BY rowid LIMIT ?3
)";

const LAST: &str = "SELECT max(rowid) FROM {sessions}";

impl Work for Clear {
    type Answer = Batch;

    async fn run(&self, sql: &Statements, connection: &mut SqliteConnection) -> Outcome<Batch> {
        let clear = query(&sql.clear).bind(self.until.unwrap_or(i64::MAX));
        let done = clear.bind(row_limit(self.limit)).execute(&mut *connection).await?;
        let until = query(&sql.last).fetch_one(connection).await?.try_get(0)?;
        Ok(Batch { is_last: done.rows_affected() < self.limit as u64, until })
    }
}

/// Frees up to so many expired rows.
pub(super) struct Sweep(pub usize);

const SWEEP: &str = "
DELETE FROM {sessions} WHERE rowid IN (
    SELECT rowid FROM {sessions} WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
)
RETURNING key";

impl Work for Sweep {
    type Answer = Result<Vec<Key>>;

    async fn run(
        &self,
        sql: &Statements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Self::Answer> {
        let rows = query(&sql.sweep).bind(row_limit(self.0)).fetch_all(connection).await?;
        Ok(rows.iter().map(|row| key(row, 0)).collect())
    }
}
