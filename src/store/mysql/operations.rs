//! The operations of [`MySql`], each beside its statement.
//!
//! * A row is looked at without a lock, and then written on the condition that it has still the
//!   version that was seen. If not, another operation outran this one, and it begins anew.
//! * The driver counts the rows that a statement matched, whether it changed them or not.
//! * `GREATEST` keeps `last_seen` from moving back, in whatever order racing touches end.
//! * Assignments take effect from left to right: none may read a column left of it.

use std::sync::Arc;

use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Row};

use super::MySql;
use crate::event::Events;
use crate::record::{Label, Meta, Owner, Record, Version};
use crate::store::sql::{
    Call, Failure, fill, key, list, meta, number, page, record, row_limit, text, timeouts, version,
};
use crate::store::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, OwnerLimit, Page, Removed, Renamed,
    Renewal, Replaced, Result, Store, Touch, Write,
};
use crate::token::Key;

/// The server's clock at the beginning of the statement. Not `UNIX_TIMESTAMP(NOW(3))`, which goes
/// through the connection's time zone, and back and forth where summer ends.
const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000";

/// The columns that make a [`Meta`].
const META: &str = "`version`, idle_ms, absolute_ms, created_at, last_seen, deadline, \
                    authenticated_at, CONVERT(`owner` USING utf8mb4), label, {now}";

/// How many rows one transaction sweeps, so that it holds its locks for a short time.
const BATCH: usize = 1000;

/// How many rows the table of locks has at most.
const SLOTS: u16 = 1024;

/// So that rows may be read that others are writing, and none is locked that is not written.
const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

/// Fails where one of the tables is missing.
const LOOK: &str = "SELECT 1 FROM {sessions}, {locks} LIMIT 0";

/// The statements, with the names of one pair of tables in them.
#[derive(Debug)]
pub(super) struct Statements {
    look: Arc<str>,
    migrate: Arc<str>,
    lives: Arc<str>,
    insert: Arc<str>,
    vacate: Arc<str>,
    lock_owner: Arc<str>,
    surplus: Arc<str>,
    load: Arc<str>,
    load_meta: Arc<str>,
    touch: Arc<str>,
    replace: Arc<str>,
    rename: Arc<str>,
    take: Arc<str>,
    remove: Arc<str>,
    owned: Arc<str>,
    remove_owned: Arc<str>,
    scan: Arc<str>,
    count: Arc<str>,
    clear: Arc<str>,
    expired: Arc<str>,
    delete: Arc<str>,
}

impl Statements {
    pub fn new(table: &str, locks: &str) -> Self {
        let sql = |template: &str| {
            let words = [("{now}", NOW), ("{sessions}", table)];
            fill(&template.replace("{meta}", META), &words)
        };
        Self {
            look: fill(LOOK, &[("{sessions}", table), ("{locks}", locks)]),
            migrate: fill(
                include_str!("../../../migrations/mysql/0001_sessions.sql"),
                &[("`token_sessions_locks`", locks), ("`token_sessions`", table)],
            ),
            lives: sql(LIVES),
            insert: sql(INSERT),
            vacate: sql(VACATE),
            lock_owner: fill(LOCK_OWNER, &[("{locks}", locks)]),
            surplus: sql(SURPLUS),
            load: sql(&LOAD.replace("{columns}", "{meta}, data")),
            load_meta: sql(&LOAD.replace("{columns}", "{meta}")),
            touch: sql(TOUCH),
            replace: sql(REPLACE),
            rename: sql(RENAME),
            take: sql(TAKE),
            remove: sql(REMOVE),
            owned: sql(OWNED),
            remove_owned: sql(REMOVE_OWNED),
            scan: sql(SCAN),
            count: sql(COUNT),
            clear: sql(CLEAR),
            expired: sql(EXPIRED),
            delete: sql(DELETE),
        }
    }
}

/// What tells why nothing was written.
const LIVES: &str = "
SELECT `version`, CONVERT(`owner` USING utf8mb4) FROM {sessions}
WHERE `key` = ? AND expires_at > {now}";

/// Fails where a row has the key, which with random ones happens to nobody. An expired one is then
/// removed first, and the insert run again.
const INSERT: &str = "
INSERT INTO {sessions}
    (`key`, data, `version`, idle_ms, absolute_ms, created_at, last_seen, deadline,
     authenticated_at, `owner`, label)
VALUES (?, ?, 1, ?, ?, {now}, {now}, {now} + ?, IF(?, {now}, NULL), ?, ?)";

const VACATE: &str = "DELETE FROM {sessions} WHERE `key` = ? AND expires_at <= {now}";

/// Makes the row, or locks it where it is there: either way no other can until the commit.
const LOCK_OWNER: &str = "
INSERT INTO {locks} (slot) VALUES (?) ON DUPLICATE KEY UPDATE slot = slot";

/// MySQL has no `OFFSET` without a `LIMIT`; this one is the largest.
const SURPLUS: &str = "
SELECT id, `key` FROM {sessions} WHERE `owner` = ? AND expires_at > {now}
ORDER BY created_at DESC, id DESC LIMIT 9223372036854775807 OFFSET ?";

const LOAD: &str = "
SELECT id, {columns} FROM {sessions} WHERE `key` = ? AND expires_at > {now}";

/// To the moment at which the touch was found to be due. Whatever was written meanwhile stays, as if
/// the touch had come before it.
const TOUCH: &str = "
UPDATE {sessions} SET last_seen = GREATEST(last_seen, ?)
WHERE id = ? AND `key` = ? AND expires_at > {now}";

/// `LAST_INSERT_ID` hands the new version out with the answer.
const REPLACE: &str = "
UPDATE {sessions} SET
    data = ?,
    `version` = LAST_INSERT_ID(`version` + 1),
    last_seen = IF(?, GREATEST(last_seen, {now}), last_seen),
    idle_ms = IF(?, ?, idle_ms),
    absolute_ms = IF(?, ?, absolute_ms),
    deadline = IF(?, {now} + ?, deadline)
WHERE `key` = ? AND expires_at > {now} AND (? IS NULL OR `version` = ?)";

/// The row keeps its `id`, and with it its place in the index of owners, where a removal of its
/// owner's sessions finds it before and after.
const RENAME: &str = "
UPDATE {sessions} SET
    `key` = ?,
    `version` = `version` + 1,
    last_seen = GREATEST(last_seen, ?),
    authenticated_at = IF(?, ?, authenticated_at),
    deadline = IF(?, ? + absolute_ms, deadline)
WHERE id = ? AND `key` = ? AND `version` = ? AND expires_at > {now}";

/// No `id` is given twice, so it cannot be a later record of the same key and version.
const TAKE: &str = "
DELETE FROM {sessions} WHERE id = ? AND `key` = ? AND `version` = ? AND expires_at > {now}";

const REMOVE: &str = "
DELETE FROM {sessions}
WHERE `key` = ? AND expires_at > {now}
    AND (? IS NULL OR `version` = ?) AND (? IS NULL OR `owner` = ?)";

const OWNED: &str = "
SELECT `key`, {meta} FROM {sessions} WHERE `owner` = ? AND expires_at > {now}
ORDER BY created_at DESC, id DESC LIMIT ?";

/// Reads what is committed, not a snapshot, and waits for rows that others are writing.
const REMOVE_OWNED: &str = "
DELETE FROM {sessions} WHERE `owner` = ? AND NOT (`key` <=> ?)";

const SCAN: &str = "
SELECT `key`, {meta}, data FROM {sessions} WHERE `key` > ? AND expires_at > {now}
ORDER BY `key` LIMIT ?";

const COUNT: &str = "SELECT COUNT(*) FROM {sessions} WHERE expires_at > {now}";

const CLEAR: &str = "DELETE FROM {sessions}";

/// Rows that another sweeper is at are passed over. In the order of the index, for a sort would have
/// to find and lock all that are expired first.
const EXPIRED: &str = "
SELECT id, `key` FROM {sessions} FORCE INDEX (expires_at) WHERE expires_at <= {now}
ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED";

/// Goes from the numbers, in JSON, to the rows: for `IN (…)` on a small table the server would rather
/// read all rows, and wait for those that others hold.
const DELETE: &str = "
DELETE held
FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) AS chosen
STRAIGHT_JOIN {sessions} AS held ON held.id = chosen.id";

type MySqlQuery = Query<'static, sqlx::MySql, MySqlArguments>;
type MySqlCall<'a> = Call<'a, sqlx::MySql>;

fn query(sql: &Arc<str>) -> MySqlQuery {
    sqlx::query(AssertSqlSafe(Arc::clone(sql)))
}

/// A row of an owner's, by its place and its key.
type Place = (i64, Key);

fn places(rows: &[MySqlRow]) -> Result<Vec<Place>> {
    rows.iter().map(|row| Ok((number(row, 0)?, key(row, 1)?))).collect()
}

fn insertion(sql: &Arc<str>, key: &Key, record: &NewRecord<'_>) -> MySqlQuery {
    let (idle, absolute) = timeouts(&record.lifetime);
    query(sql)
        .bind(key.as_bytes().as_slice())
        .bind(&*record.data)
        .bind(idle)
        .bind(absolute)
        .bind(absolute)
        .bind(record.authenticated)
        .bind(record.owner.map(|owner| owner.as_str().as_bytes()))
        .bind(record.label.map(Label::as_str))
}

impl MySql {
    /// Looks first: where both tables are, it takes no right to create, and no lock.
    pub(super) async fn create_tables(&self) -> Result<()> {
        if self.client.call().try_rows(query(&self.sql.look)).await.is_ok() {
            return Ok(());
        }
        let mut call = self.client.unhurried();
        loop {
            match call.run(&self.sql.migrate).await {
                Ok(()) => return Ok(()),
                Err(failure) => call.recover(failure).await?,
            }
        }
    }

    /// The version and the owner of the live record under a key.
    async fn lives(&self, call: &mut MySqlCall<'_>, key: &Key) -> Result<Option<MySqlRow>> {
        call.row(|| query(&self.sql.lives).bind(key.as_bytes().as_slice())).await
    }

    /// After a statement that found a row under `key`: removes it if it is expired. Whether a live
    /// one stays.
    async fn is_taken(&self, call: &mut MySqlCall<'_>, key: &Key) -> Result<bool> {
        let vacate = || query(&self.sql.vacate).bind(key.as_bytes().as_slice());
        let vacated = call.done(vacate).await?.rows_affected() > 0;
        Ok(!vacated && self.lives(call, key).await?.is_some())
    }

    /// Inserts with the owner locked. `None`: another operation took a row from under it.
    async fn try_insert_limited(
        &self,
        call: &MySqlCall<'_>,
        key: &Key,
        record: &NewRecord<'_>,
        owner: &Owner,
        limit: OwnerLimit,
    ) -> Result<Option<Inserted>, Failure> {
        let mut transaction = call.begin(BEGIN).await?;
        transaction.done(query(&self.sql.lock_owner).bind(slot(owner))).await?;
        let surplus = query(&self.sql.surplus)
            .bind(owner.as_str().as_bytes())
            .bind(i64::from(limit.max().get()) - 1);
        let surplus = places(&transaction.rows(surplus).await?)?;
        if !surplus.is_empty() {
            if !limit.evicts() {
                let lives = query(&self.sql.lives).bind(key.as_bytes().as_slice());
                let taken = !transaction.rows(lives).await?.is_empty();
                transaction.end("ROLLBACK").await?;
                return Ok(Some(if taken { Inserted::KeyTaken } else { Inserted::OwnerFull }));
            }
            let gone = transaction.done(self.deletion(&surplus)).await?.rows_affected();
            if gone != surplus.len() as u64 {
                transaction.end("ROLLBACK").await?;
                return Ok(None);
            }
        }
        transaction.done(insertion(&self.sql.insert, key, record)).await?;
        transaction.end("COMMIT").await?;
        let evicted = surplus.into_iter().map(|(_, key)| key).collect();
        Ok(Some(Inserted::Done { evicted }))
    }

    fn deletion(&self, places: &[Place]) -> MySqlQuery {
        let ids: Vec<String> = places.iter().map(|(id, _)| id.to_string()).collect();
        query(&self.sql.delete).bind(format!("[{}]", ids.join(",")))
    }

    /// The row of a load, and the record's facts as a due touch left them.
    async fn load_row(
        &self,
        sql: &Arc<str>,
        key: &Key,
        touch: Touch,
    ) -> Result<Option<(MySqlRow, Meta)>> {
        let mut call = self.client.call();
        let row = call.row(|| query(sql).bind(key.as_bytes().as_slice())).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let mut meta = meta(&row, 1, key)?;
        if let Touch::After(interval) = touch
            && meta.lifetime.touch_due(meta.last_seen, meta.now, interval)
        {
            meta.last_seen = meta.last_seen.max(meta.now);
            let (id, last_seen) = (number(&row, 0)?, meta.last_seen.as_millis().cast_signed());
            let touch = || {
                let touch = query(&self.sql.touch).bind(last_seen).bind(id);
                touch.bind(key.as_bytes().as_slice())
            };
            if call.done(touch).await?.rows_affected() == 0 {
                return Ok(None);
            }
        }
        Ok(Some((row, meta)))
    }

    async fn try_sweep(&self, call: &MySqlCall<'_>, limit: usize) -> Result<Vec<Place>, Failure> {
        let mut transaction = call.begin(BEGIN).await?;
        let expired = query(&self.sql.expired).bind(row_limit(limit));
        let expired = places(&transaction.rows(expired).await?)?;
        if !expired.is_empty() {
            transaction.done(self.deletion(&expired)).await?;
        }
        transaction.end("COMMIT").await?;
        Ok(expired)
    }
}

/// The row that stands for an owner in the table of locks. Two owners that share one wait for each
/// other, and no more.
fn slot(owner: &Owner) -> u16 {
    owner.partition(SLOTS)
}

impl Store for MySql {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let mut call = self.client.call();
        loop {
            let inserted = match (record.owner, record.limit) {
                (Some(owner), Some(limit)) => {
                    self.try_insert_limited(&call, key, record, owner, limit).await
                }
                _ => call
                    .try_done(insertion(&self.sql.insert, key, record))
                    .await
                    .map(|_| Some(Inserted::Done { evicted: Vec::new() })),
            };
            match inserted {
                Ok(Some(inserted)) => return Ok(inserted),
                Ok(None) => call.outrun().await?,
                Err(failure) if failure.is_duplicate() => {
                    if self.is_taken(&mut call, key).await? {
                        return Ok(Inserted::KeyTaken);
                    }
                    call.outrun().await?;
                }
                Err(failure) => call.recover(failure).await?,
            }
        }
    }

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        let Some((row, meta)) = self.load_row(&self.sql.load, key, touch).await? else {
            return Ok(None);
        };
        let found = record(&row, 1, key)?;
        Ok(Some(Record { meta, ..found }))
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        let found = self.load_row(&self.sql.load_meta, key, touch).await?;
        Ok(found.map(|(_, meta)| meta))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let expected = write.expected.map(|expected| expected.get().cast_signed());
        let renewed = write.lifetime.is_some();
        let (idle, absolute) = write.lifetime.map_or((None, None), timeouts);
        let mut call = self.client.call();
        loop {
            let done = call
                .done(|| {
                    query(&self.sql.replace)
                        .bind(&*write.data)
                        .bind(write.touch || renewed)
                        .bind(renewed)
                        .bind(idle)
                        .bind(renewed)
                        .bind(absolute)
                        .bind(renewed)
                        .bind(absolute)
                        .bind(key.as_bytes().as_slice())
                        .bind(expected)
                        .bind(expected)
                })
                .await?;
            if done.rows_affected() > 0 {
                return Ok(Replaced::Done(Version::from_u64(done.last_insert_id())));
            }
            let Some(row) = self.lives(&mut call, key).await? else {
                return Ok(Replaced::Missing);
            };
            let found = version(&row, 0)?;
            if write.expected.is_some_and(|expected| expected != found) {
                return Ok(Replaced::Conflict);
            }
            call.outrun().await?;
        }
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let authenticated = renewal == Renewal::Authentication;
        let mut call = self.client.call();
        loop {
            let row =
                call.row(|| query(&self.sql.load_meta).bind(from.as_bytes().as_slice())).await?;
            let Some(row) = row else {
                return Ok(Renamed::Missing);
            };
            if from == to {
                return Ok(Renamed::KeyTaken);
            }
            let mut meta = meta(&row, 1, to)?;
            let (seen, now) =
                (meta.version.get().cast_signed(), meta.now.as_millis().cast_signed());
            let rename = query(&self.sql.rename)
                .bind(to.as_bytes().as_slice())
                .bind(now)
                .bind(authenticated)
                .bind(now)
                .bind(authenticated)
                .bind(now)
                .bind(number(&row, 0)?)
                .bind(from.as_bytes().as_slice())
                .bind(seen);
            match call.try_done(rename).await {
                Ok(done) if done.rows_affected() > 0 => {
                    meta.version = meta.version.next();
                    meta.last_seen = meta.last_seen.max(meta.now);
                    if authenticated {
                        meta.authenticated_at = Some(meta.now);
                        meta.deadline = meta.lifetime.deadline(meta.now);
                    }
                    return Ok(Renamed::Done(meta));
                }
                Ok(_) => call.outrun().await?,
                Err(failure) if failure.is_duplicate() => {
                    if self.is_taken(&mut call, to).await? {
                        return Ok(Renamed::KeyTaken);
                    }
                    call.outrun().await?;
                }
                Err(failure) => call.recover(failure).await?,
            }
        }
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        let mut call = self.client.call();
        loop {
            let row = call.row(|| query(&self.sql.load).bind(key.as_bytes().as_slice())).await?;
            let Some(row) = row else {
                return Ok(None);
            };
            let (id, found) = (number(&row, 0)?, record(&row, 1, key)?);
            let take = || {
                query(&self.sql.take)
                    .bind(id)
                    .bind(key.as_bytes().as_slice())
                    .bind(found.meta.version.get().cast_signed())
            };
            if call.done(take).await?.rows_affected() > 0 {
                return Ok(Some(found));
            }
            call.outrun().await?;
        }
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        let (expected, owner) = match condition {
            Condition::Always => (None, None),
            Condition::Version(expected) => (Some(expected), None),
            Condition::Owner(owner) => (None, Some(owner)),
        };
        let mut call = self.client.call();
        loop {
            let number = expected.map(|expected| expected.get().cast_signed());
            let bytes = owner.map(|owner| owner.as_str().as_bytes());
            let remove = || {
                query(&self.sql.remove)
                    .bind(key.as_bytes().as_slice())
                    .bind(number)
                    .bind(number)
                    .bind(bytes)
                    .bind(bytes)
            };
            if call.done(remove).await?.rows_affected() > 0 {
                return Ok(Removed::Done);
            }
            let Some(row) = self.lives(&mut call, key).await? else {
                return Ok(Removed::Missing);
            };
            let (version, owned_by) = (version(&row, 0)?, text(&row, 1)?);
            let other_version = expected.is_some_and(|expected| expected != version);
            let other_owner =
                owner.is_some_and(|owner| Some(owner.as_str()) != owned_by.as_deref());
            if other_version || other_owner {
                return Ok(Removed::Conflict);
            }
            call.outrun().await?;
        }
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        let owner = owner.as_str().as_bytes();
        let mut call = self.client.call();
        let rows = call.rows(|| query(&self.sql.owned).bind(owner).bind(row_limit(limit))).await?;
        list(&rows, &self.listeners)
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let owner = owner.as_str().as_bytes();
        let keep = keep.map(|key| key.as_bytes().as_slice());
        let mut call = self.client.call();
        call.done(|| query(&self.sql.remove_owned).bind(owner).bind(keep)).await.map(drop)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let after = after.map_or(&[][..], Cursor::as_bytes);
        let limit = limit.max(1);
        let mut call = self.client.call();
        let rows = call.rows(|| query(&self.sql.scan).bind(after).bind(row_limit(limit))).await?;
        page(&rows, limit, &self.listeners)
    }

    async fn count(&self) -> Result<u64> {
        let mut call = self.client.call();
        let row = call.row(|| query(&self.sql.count)).await?;
        Ok(row.map_or(0, |row| row.get::<i64, _>(0).unsigned_abs()))
    }

    async fn clear(&self) -> Result<()> {
        let mut call = self.client.unhurried();
        call.done(|| query(&self.sql.clear)).await.map(drop)
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let mut swept = 0;
        while swept < limit {
            let batch = BATCH.min(limit - swept);
            let mut call = self.client.call();
            let places = loop {
                match self.try_sweep(&call, batch).await {
                    Ok(places) => break places,
                    Err(failure) => call.recover(failure).await?,
                }
            };
            self.listeners.expired(places.iter().map(|(_, key)| key));
            swept += places.len();
            if places.len() < batch {
                break;
            }
        }
        Ok(swept)
    }

    fn attach(&self, events: &Events) {
        self.listeners.attach(events);
    }
}

impl AtomicStore for MySql {}
