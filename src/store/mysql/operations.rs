//! The operations of [`MySql`] on one record, each beside its statement.
//!
//! * A row is looked at without a lock, and [`Record`] says what the operation makes of it. The row is
//!   then written on the condition that it is still as it was seen. If not, another operation outran
//!   this one, and it begins anew.
//! * The driver counts the rows that a statement matched, whether it changed them or not.
//! * `GREATEST` keeps `last_seen` from moving back, in whatever order racing touches end.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;

use super::{MySql, administration, owners};
use crate::event::Events;
use crate::key::Key;
use crate::proof::{Claim, Proof};
use crate::record::{Lifetime, Proofs, Record, Timestamp, Version};
use crate::store::sql::{Call, fill, key, number, record, timeouts};
use crate::store::{
    AtomicStore, Condition, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Removed,
    Replaced, Result, Store, Watch, Write,
};

/// The server's clock at the beginning of the statement. Not `UNIX_TIMESTAMP(NOW(3))`, which goes
/// through the connection's time zone, and back and forth where summer ends.
const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000";

/// The columns that make a [`Record`], but for the data.
const HEAD: &str = "`version`, idle_ms, absolute_ms, created_at, last_seen, deadline, \
                    authenticated_at, CONVERT(`owner` USING utf8mb4), proof, previous_proof, \
                    confirmed_at, sealed, details, {now}";

/// The row with this number, if it lives and has the same proofs as when it was read. A row's key and
/// its owner never change.
const AS_SEEN: &str = "id = ? AND proof <=> ? AND previous_proof <=> ? AND confirmed_at <=> ? \
                       AND expires_at > {now}";

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
    load: Arc<str>,
    load_head: Arc<str>,
    touch: Arc<str>,
    write: Arc<str>,
    remove: Arc<str>,
    remove_claimed: Arc<str>,
    remove_seen: Arc<str>,
    alive: Arc<str>,
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
            lives: sql(LIVES),
            insert: sql(INSERT),
            vacate: sql(VACATE),
            lock_owner: fill(owners::LOCK_OWNER, &[("{locks}", locks)]),
            surplus: sql(owners::SURPLUS),
            oldest: sql(owners::OLDEST),
            load: with_data(LOAD),
            load_head: without_data(LOAD),
            touch: sql(TOUCH),
            write: sql(WRITE),
            remove: sql(REMOVE),
            remove_claimed: sql(REMOVE_CLAIMED),
            remove_seen: sql(REMOVE_SEEN),
            alive: sql(ALIVE),
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

const LIVES: &str = "SELECT 1 FROM {sessions} WHERE `key` = ? AND expires_at > {now}";

/// Fails where a row has the key, which with random ones happens to nobody. An expired one is then
/// removed first, and the insert run again.
const INSERT: &str = "
INSERT INTO {sessions}
    (`key`, data, details, `version`, proof, idle_ms, absolute_ms, created_at, last_seen, deadline,
     authenticated_at, `owner`)
VALUES (?, ?, ?, ?, ?, ?, ?, {now}, {now}, {now} + ?, IF(?, {now}, NULL), ?)";

const VACATE: &str = "DELETE FROM {sessions} WHERE `key` = ? AND expires_at <= {now}";

const LOAD: &str = "
SELECT id, {columns} FROM {sessions} WHERE `key` = ? AND expires_at > {now}";

/// To the moment at which the touch was found to be due. Whatever data was written meanwhile stays, as
/// if the touch had come before it. `?` says whether the load confirms the current secret.
const TOUCH: &str = "
UPDATE {sessions} SET
    last_seen = GREATEST(last_seen, ?), confirmed_at = ?, sealed = IF(?, NULL, sealed)
WHERE {as_seen}";

/// Each write changes the version or a proof, so no other one came between: all but `last_seen` is
/// still as it was seen.
const WRITE: &str = "
UPDATE {sessions} SET
    data = COALESCE(?, data),
    details = COALESCE(?, details),
    `version` = ?,
    last_seen = GREATEST(last_seen, ?),
    idle_ms = ?,
    absolute_ms = ?,
    deadline = ?,
    authenticated_at = ?,
    proof = ?,
    previous_proof = ?,
    confirmed_at = ?,
    sealed = ?
WHERE `version` = ? AND {as_seen}";

const REMOVE: &str = "
DELETE FROM {sessions}
WHERE `key` = ? AND expires_at > {now}
    AND (? IS NULL OR `version` = ?) AND (? IS NULL OR `owner` = ?)";

/// With the proofs of the claim, each time all that it may have, and its grace.
const REMOVE_CLAIMED: &str = "
DELETE FROM {sessions}
WHERE `key` = ? AND expires_at > {now}
    AND (proof IN (?, ?, ?, ?)
        OR previous_proof IN (?, ?, ?, ?)
            AND (confirmed_at IS NULL OR confirmed_at + ? > {now}))";

const REMOVE_SEEN: &str = "DELETE FROM {sessions} WHERE `version` = ? AND {as_seen}";

/// Goes from the keys, in JSON, to the rows: see [`administration::DELETE`].
const ALIVE: &str = "
SELECT held.`key`
FROM JSON_TABLE(?, '$[*]' COLUMNS (`key` VARCHAR(32) PATH '$')) AS asked
STRAIGHT_JOIN {sessions} AS held ON held.`key` = UNHEX(asked.`key`)
WHERE held.expires_at > {now}";

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
        .bind(&**record.details.as_bytes())
        .bind(record.version.get().cast_signed())
        .bind(record.proof.as_ref().map(bytes))
        .bind(idle)
        .bind(absolute)
        .bind(absolute)
        .bind(record.authenticated)
        .bind(record.owner.map(|owner| owner.as_str().as_bytes()))
}

fn bytes(proof: &Proof) -> &[u8] {
    proof.as_bytes()
}

/// The grace of a claim in milliseconds. No session lives for longer than the longest lifetime.
fn grace(claim: &Claim) -> i64 {
    let millis = claim.grace().min(Lifetime::MAX).as_millis();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// Keys in JSON, as hexadecimal digits.
fn json(keys: &[Key]) -> String {
    let mut json = String::with_capacity(2 + keys.len() * (2 * Key::LEN + 3));
    json.push('[');
    for (at, key) in keys.iter().enumerate() {
        json.push_str(if at == 0 { "\"" } else { ",\"" });
        for byte in key.as_bytes() {
            // A string takes whatever is written to it.
            let _ = write!(json, "{byte:02x}");
        }
        json.push('"');
    }
    json.push(']');
    json
}

fn millis(at: Timestamp) -> i64 {
    at.as_millis().cast_signed()
}

/// A live row, as it was read.
struct Seen {
    id: i64,
    version: Version,
    proofs: Proofs,
}

impl Seen {
    /// Fills in what `AS_SEEN` compares.
    fn bind_to(&self, query: MySqlQuery) -> MySqlQuery {
        let previous = self.proofs.previous.as_ref();
        query
            .bind(self.id)
            .bind(self.proofs.current.as_ref().map(bytes))
            .bind(previous.map(|previous| bytes(&previous.proof)))
            .bind(previous.and_then(|previous| previous.confirmed_at).map(millis))
    }
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

    /// After a statement that found a row under `key`: removes it if it is expired. Whether a live
    /// one stays.
    async fn is_taken(&self, call: &mut MySqlCall<'_>, key: &Key) -> Result<bool> {
        let bound = |sql| query(sql).bind(key.as_bytes().as_slice());
        let vacated = call.done(|| bound(&self.sql.vacate)).await?.rows_affected() > 0;
        Ok(!vacated && call.row(|| bound(&self.sql.lives)).await?.is_some())
    }

    /// The live record under a key, and its row.
    async fn seen(
        &self,
        call: &mut MySqlCall<'_>,
        key: &Key,
        with_data: bool,
    ) -> Result<Option<(Seen, Record)>> {
        let sql = if with_data { &self.sql.load } else { &self.sql.load_head };
        let row = call.row(|| query(sql).bind(key.as_bytes().as_slice())).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let (id, record) = (number(&row, 0)?, record(&row, 1, key, with_data)?);
        let (version, proofs) = (record.meta.version, record.proofs.clone());
        Ok(Some((Seen { id, version, proofs }, record)))
    }

    /// Writes the touch or the confirmation that a load has made. Whether the row was still as seen.
    async fn write_load(
        &self,
        call: &mut MySqlCall<'_>,
        seen: &Seen,
        record: &Record,
    ) -> Result<bool> {
        let previous = record.proofs.previous.as_ref();
        let confirmed_at = previous.and_then(|previous| previous.confirmed_at).map(millis);
        let touch = || {
            let touch = query(&self.sql.touch)
                .bind(millis(record.meta.last_seen))
                .bind(confirmed_at)
                .bind(record.proofs != seen.proofs);
            seen.bind_to(touch)
        };
        Ok(call.done(touch).await?.rows_affected() > 0)
    }

    /// Writes what a write has made of a record. Whether the row was still as seen.
    async fn write_over(
        &self,
        call: &mut MySqlCall<'_>,
        seen: &Seen,
        write: &Write<'_>,
        record: &Record,
    ) -> Result<bool> {
        let (meta, previous) = (&record.meta, record.proofs.previous.as_ref());
        let (idle, absolute) = timeouts(&meta.lifetime);
        let write = || {
            let write = query(&self.sql.write)
                .bind(write.data.as_deref())
                .bind(write.details.map(|details| &**details.as_bytes()))
                .bind(meta.version.get().cast_signed())
                .bind(millis(meta.last_seen))
                .bind(idle)
                .bind(absolute)
                .bind(meta.deadline.map(millis))
                .bind(meta.authenticated_at.map(millis))
                .bind(record.proofs.current.as_ref().map(bytes))
                .bind(previous.map(|previous| bytes(&previous.proof)))
                .bind(previous.and_then(|previous| previous.confirmed_at).map(millis))
                .bind(previous.and_then(|previous| previous.sealed.as_deref()))
                .bind(seen.version.get().cast_signed());
            seen.bind_to(write)
        };
        Ok(call.done(write).await?.rows_affected() > 0)
    }

    /// The statement that removes a record if the condition holds.
    fn removal(&self, key: &Key, condition: Condition<'_>) -> MySqlQuery {
        let key = key.as_bytes().as_slice();
        let (version, owner) = match condition {
            Condition::Always => (None, None),
            Condition::Version(version) => (Some(version.get().cast_signed()), None),
            Condition::Owner(owner) => (None, Some(owner.as_str().as_bytes())),
            Condition::Claim(claim) => {
                let mut removal = query(&self.sql.remove_claimed).bind(key);
                for at in (0..Claim::MOST).chain(0..Claim::MOST) {
                    removal = removal.bind(claim.proofs().nth(at));
                }
                return removal.bind(grace(claim));
            }
        };
        query(&self.sql.remove).bind(key).bind(version).bind(version).bind(owner).bind(owner)
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

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let mut call = self.client.call();
        loop {
            let Some((seen, mut record)) = self.seen(&mut call, key, load.with_data).await? else {
                return Ok(Found::Missing);
            };
            let now = record.meta.now;
            if !record.load(load, now) || self.write_load(&mut call, &seen, &record).await? {
                return Ok(record.found(load, now));
            }
            call.outrun().await?;
        }
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let mut call = self.client.call();
        loop {
            let Some((seen, mut record)) = self.seen(&mut call, key, false).await? else {
                return Ok(Replaced::Missing);
            };
            let now = record.meta.now;
            let replaced = record.write(write, now);
            if !matches!(replaced, Replaced::Done(_))
                || self.write_over(&mut call, &seen, write, &record).await?
            {
                return Ok(replaced);
            }
            call.outrun().await?;
        }
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let mut call = self.client.call();
        loop {
            if !hand_out {
                let removal = || self.removal(key, condition);
                if call.done(removal).await?.rows_affected() > 0 {
                    return Ok(Removed::Done(None));
                }
            }
            let Some((seen, record)) = self.seen(&mut call, key, hand_out).await? else {
                return Ok(Removed::Missing);
            };
            if !record.meets(condition, record.meta.now) {
                return Ok(Removed::Conflict);
            }
            if hand_out {
                let version = seen.version.get().cast_signed();
                let removal = || seen.bind_to(query(&self.sql.remove_seen).bind(version));
                if call.done(removal).await?.rows_affected() > 0 {
                    return Ok(Removed::Done(Some(record)));
                }
            }
            call.outrun().await?;
        }
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let asked = json(keys);
        let mut call = self.client.call();
        let rows = call.rows(|| query(&self.sql.alive).bind(asked.as_str())).await?;
        let live = rows.iter().map(|row| key(row, 0));
        let live = live.collect::<Result<HashSet<_>>>()?;
        Ok(keys.iter().map(|key| live.contains(key)).collect())
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }

    fn watch(&self) -> Option<&dyn Watch> {
        None
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

impl AtomicStore for MySql {}
