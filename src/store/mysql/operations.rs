//! The operations of [`MySql`] on one record, each beside its statement.
//!
//! * An operation that answers more than a number reads the row first, without a lock. [`Record`] computes
//!   the result, and the row is written only if it has not changed since the read. If it has, the
//!   operation starts over.
//! * The driver counts the rows that a statement matched, whether it changed them or not.
//! * `GREATEST` keeps `last_seen` from moving back, in whatever order racing touches end.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::MySql;
#[cfg(doc)]
use super::administration;
use super::statements::{MySqlCall, MySqlQuery, SeenRow, bind_claim, bytes, millis, query};
use crate::event::Events;
use crate::key::Key;
use crate::record::Record;
use crate::store::sql::{key, number, record, timeouts};
use crate::store::{
    AtomicStore, Condition, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Removed,
    Replaced, Result, Store, Watch, Write,
};

/// The most rows that one statement removes, so that it holds its locks for a short time.
pub(super) const BATCH: usize = 1000;

/// At this isolation level a statement can read rows that another transaction is writing, and locks
/// only the rows that it writes.
pub(super) const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

pub(super) const LIVES: &str = "SELECT 1 FROM {sessions} WHERE `key` = ? AND expires_at > {now}";

/// Fails if a row has the key already; keys are random, so this is rare. If that row has expired, it is
/// removed and the insert runs again.
pub(super) const INSERT: &str = "
INSERT INTO {sessions}
    (`key`, data, details, `version`, proof, idle_ms, absolute_ms, created_at, last_seen, deadline,
     authenticated_at, `owner`)
VALUES (?, ?, ?, ?, ?, ?, ?, {now}, {now}, {now} + ?, IF(?, {now}, NULL), ?)";

pub(super) const VACATE: &str = "DELETE FROM {sessions} WHERE `key` = ? AND expires_at <= {now}";

pub(super) const LOAD: &str = "
SELECT id, {columns} FROM {sessions} WHERE `key` = ? AND expires_at > {now}";

/// Sets `last_seen` to the time of the read that found the touch due. Data that was written since stays,
/// as if the touch had come before the write. The third parameter says whether the load confirms the
/// current secret.
pub(super) const TOUCH: &str = "
UPDATE {sessions} SET
    last_seen = GREATEST(last_seen, ?), confirmed_at = ?, sealed = IF(?, NULL, sealed)
WHERE {as_seen}";

pub(super) const REMOVE: &str = "
DELETE FROM {sessions}
WHERE `key` = ? AND expires_at > {now}
    AND (? IS NULL OR `version` = ?) AND (? IS NULL OR `owner` = ?) AND {opened}";

pub(super) const REMOVE_SEEN: &str = "DELETE FROM {sessions} WHERE `version` = ? AND {as_seen}";

/// Joins from the keys, in JSON, to the rows, for the reason given at [`administration::DELETE`].
pub(super) const ALIVE: &str = "
SELECT held.`key`
FROM JSON_TABLE(?, '$[*]' COLUMNS (`key` VARCHAR(32) PATH '$')) AS asked
STRAIGHT_JOIN {sessions} AS held ON held.`key` = UNHEX(asked.`key`)
WHERE held.expires_at > {now}";

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

/// A JSON array of the keys in hexadecimal digits.
fn json(keys: &[Key]) -> String {
    let mut json = String::with_capacity(2 + keys.len() * (2 * Key::LEN + 3));
    json.push('[');
    for (at, key) in keys.iter().enumerate() {
        json.push_str(if at == 0 { "\"" } else { ",\"" });
        for byte in key.as_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(json, "{byte:02x}");
        }
        json.push('"');
    }
    json.push(']');
    json
}

impl MySql {
    /// Looks first: if both tables exist, it needs neither the right to create nor a lock.
    pub(super) async fn create_tables(&self) -> Result<()> {
        if self.client.call().try_rows(query(&self.sql.look)).await.is_ok() {
            return Ok(());
        }
        let mut call = self.client.without_deadline();
        loop {
            match call.run(&self.sql.migrate).await {
                Ok(()) => return Ok(()),
                Err(failure) => call.recover(failure).await?,
            }
        }
    }

    /// For an insert that found a row under `key`: removes the row if it has expired, and returns
    /// whether a live one stays.
    async fn is_taken(&self, call: &mut MySqlCall<'_>, key: &Key) -> Result<bool> {
        let bound = |sql| query(sql).bind(key.as_bytes().as_slice());
        let vacated = call.done(|| bound(&self.sql.vacate)).await?.rows_affected() > 0;
        Ok(!vacated && call.row(|| bound(&self.sql.lives)).await?.is_some())
    }

    /// The live record under a key, and what its row held.
    pub(super) async fn seen(
        &self,
        call: &mut MySqlCall<'_>,
        key: &Key,
        with_data: bool,
    ) -> Result<Option<(SeenRow, Record)>> {
        let sql = if with_data { &self.sql.load } else { &self.sql.load_head };
        let row = call.row(|| query(sql).bind(key.as_bytes().as_slice())).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let (id, record) = (number(&row, 0)?, record(&row, 1, key, with_data)?);
        let (version, proofs) = (record.meta.version, record.proofs.clone());
        Ok(Some((SeenRow { id, version, proofs }, record)))
    }

    /// Writes the touch or the confirmation of a load. Returns whether the row was unchanged; if it was
    /// not, nothing is written.
    async fn write_load(
        &self,
        call: &mut MySqlCall<'_>,
        seen: &SeenRow,
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

    /// The statement that removes a record if the condition holds.
    fn removal(&self, key: &Key, condition: Condition<'_>) -> MySqlQuery {
        let (version, owner, claim) = match condition {
            Condition::Always => (None, None, None),
            Condition::Version(version) => (Some(version.get().cast_signed()), None, None),
            Condition::Owner(owner) => (None, Some(owner.as_str().as_bytes()), None),
            Condition::Claim(claim) => (None, None, Some(claim)),
        };
        let removal = query(&self.sql.remove)
            .bind(key.as_bytes().as_slice())
            .bind(version)
            .bind(version)
            .bind(owner)
            .bind(owner);
        bind_claim(removal, claim)
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
                Ok(None) => call.retry_stale().await?,
                Err(failure) if failure.is_duplicate() => {
                    if self.is_taken(&mut call, key).await? {
                        return Ok(Inserted::KeyTaken);
                    }
                    call.retry_stale().await?;
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
            call.retry_stale().await?;
        }
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        self.write_over(key, write).await
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
            call.retry_stale().await?;
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
