//! The operations of [`MySql`] on one record, each beside its statement.
//!
//! * A row is looked at without a lock, and then written on the condition that it has still the
//!   version that was seen. If not, another operation outran this one, and it begins anew.
//! * The driver counts the rows that a statement matched, whether it changed them or not.
//! * `GREATEST` keeps `last_seen` from moving back, in whatever order racing touches end.
//! * Assignments take effect from left to right: none may read a column left of it.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;

use super::{MySql, administration, owners};
use crate::event::Events;
use crate::key::Key;
use crate::record::{Label, Meta, Owner, Record, Version};
use crate::store::sql::{Call, fill, meta, number, record, text, timeouts, version};
use crate::store::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced,
    Result, Store, Touch, Write,
};

/// The server's clock at the beginning of the statement. Not `UNIX_TIMESTAMP(NOW(3))`, which goes
/// through the connection's time zone, and back and forth where summer ends.
const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000";

/// The columns that make a [`Meta`].
const META: &str = "`version`, idle_ms, absolute_ms, created_at, last_seen, deadline, \
                    authenticated_at, CONVERT(`owner` USING utf8mb4), label, {now}";

/// How many rows are removed at once at most, so that they are locked for a short time.
pub(super) const BATCH: usize = 1000;

/// So that rows may be read that others are writing, and none is locked that is not written.
pub(super) const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

/// Fails where one of the tables is missing.
const LOOK: &str = "SELECT 1 FROM {sessions}, {locks} LIMIT 0";

/// The statements, with the names of one pair of tables in them.
#[derive(Debug)]
pub(super) struct Statements {
    look: Arc<str>,
    migrate: Arc<str>,
    pub(super) lives: Arc<str>,
    pub(super) insert: Arc<str>,
    vacate: Arc<str>,
    pub(super) lock_owner: Arc<str>,
    pub(super) surplus: Arc<str>,
    pub(super) oldest: Arc<str>,
    pub(super) evict: Arc<str>,
    load: Arc<str>,
    load_meta: Arc<str>,
    touch: Arc<str>,
    replace: Arc<str>,
    rename: Arc<str>,
    take: Arc<str>,
    remove: Arc<str>,
    pub(super) owned: Arc<str>,
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
            lock_owner: fill(owners::LOCK_OWNER, &[("{locks}", locks)]),
            surplus: sql(owners::SURPLUS),
            oldest: sql(owners::OLDEST),
            evict: sql(owners::EVICT),
            load: sql(&LOAD.replace("{columns}", "{meta}, data")),
            load_meta: sql(&LOAD.replace("{columns}", "{meta}")),
            touch: sql(TOUCH),
            replace: sql(REPLACE),
            rename: sql(RENAME),
            take: sql(TAKE),
            remove: sql(REMOVE),
            owned: sql(owners::OWNED),
            choose_owned: sql(owners::CHOOSE_OWNED),
            scan: sql(administration::SCAN),
            count: sql(administration::COUNT),
            choose: sql(administration::CHOOSE),
            last_id: sql(administration::LAST_ID),
            expired: sql(administration::EXPIRED),
            delete: sql(administration::DELETE),
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
VALUES (?, ?, ?, ?, ?, {now}, {now}, {now} + ?, IF(?, {now}, NULL), ?, ?)";

const VACATE: &str = "DELETE FROM {sessions} WHERE `key` = ? AND expires_at <= {now}";

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

pub(super) type MySqlQuery = Query<'static, sqlx::MySql, MySqlArguments>;
pub(super) type MySqlCall<'a> = Call<'a, sqlx::MySql>;

pub(super) fn query(sql: &Arc<str>) -> MySqlQuery {
    sqlx::query(AssertSqlSafe(Arc::clone(sql)))
}

pub(super) fn insertion(sql: &Arc<str>, key: &Key, record: &NewRecord<'_>) -> MySqlQuery {
    let (idle, absolute) = timeouts(&record.lifetime);
    query(sql)
        .bind(key.as_bytes().as_slice())
        .bind(&*record.data)
        .bind(record.version.get())
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
}

#[async_trait::async_trait]
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

impl AtomicStore for MySql {}
