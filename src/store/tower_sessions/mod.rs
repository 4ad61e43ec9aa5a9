//! [`TowerSessions`]: sessions in any store of the `tower-sessions` crates.

mod versions;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use self::versions::{Core014, Core015, Failure, Kept, Tower};
use super::{
    Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced, Result,
    Store, StoreError, StoreErrorKind, Touch, Write,
};
use crate::key::Key;
use crate::record::{Label, Lifetime, Meta, Owner, Record, Timestamp, Version};

/// Where in a record of `tower-sessions` this crate's is.
const FIELD: &str = "token-session";

/// Keeps sessions in any `SessionStore` of the `tower-sessions` ecosystem: moka, sqlx, Redis,
/// DynamoDB and others. A clone is the same store.
///
/// ```
/// use token_session::TokenSession;
/// use token_session::store::TowerSessions;
/// use tower_sessions_memory_store::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = TowerSessions::new(MemoryStore::default());
/// let sessions = TokenSession::<String>::builder().store(store).build()?;
/// let issued = sessions.create(&"Anna".to_owned()).await?;
/// assert!(sessions.get(&issued.token).await?.is_some());
/// # Ok(()) }
/// ```
///
/// Which constructor is the store's? The one whose version of `tower-sessions-core` it depends on:
///
/// | version | constructor | stores as of November 2026 |
/// |---|---|---|
/// | 0.15 | [`new`](Self::new) | `tower-sessions` 0.15 with its memory store, surrealdb |
/// | 0.14 | [`new_0_14`](Self::new_0_14) | sqlx, Redis, moka, DynamoDB, rorm |
///
/// # What is lost?
/// Such a store can only save, load and delete. So this one is no
/// [`AtomicStore`](super::AtomicStore), one-time codes do not compile on it, and these sentences of
/// the [contract](Store) do not hold:
///
/// * **A write may be lost**: of two that expect the same version and race, both may be told that
///   they won, and the later one stays.
/// * **What was ended may come back**: a write or a touch that races with a logout may save the
///   session after it was deleted. It does so on most stores; that of Redis saves over what is there
///   only.
/// * **A take may have two winners**, and so may an insert or a removal.
/// * **A rename may lose the session** in a crash, or when another one takes the new key between:
///   the old one is deleted first, so that the two are never alive at once. The person logs in again.
/// * **Owners are refused**: there is no list of an owner's sessions, and none could be kept in step.
///   So there is no limit for them, and no "log out everywhere".
/// * **Nothing can be listed**: scan, count and clear are refused.
/// * **The clock is the application server's.** Where several servers' clocks differ, so do their
///   verdicts.
/// * **A full store and a lost connection look alike**: what the store calls a failure of its backend
///   is [`Unavailable`](StoreErrorKind::Unavailable).
///
/// Within one request after the other, all else holds: lifetimes, versions, touches, expired records
/// that do not exist. The tests run it on the stores for Redis and moka, and on the memory store.
///
/// # What does an operation cost?
/// | call | round trips |
/// |---|---|
/// | load, touch | 1, and 1 more when the touch is due |
/// | insert, replace, take, remove | 2 |
/// | rename | 4 |
/// | insert, rename: what has expired is still under the key | 1 more |
///
/// # What is where?
/// The record's id is the first half of the key: 128 bits of a digest, which log nobody in here. Give
/// the store a table or prefix of its own, and not one that the middleware of `tower-sessions` uses:
/// there the id itself is the cookie. The data and what goes with it are under `token-session` in the
/// record's map, and its `expiry_date` is the session's end, rounded up to the second, because not
/// every store keeps more. Expired records are removed by the store's own means, such as
/// `continuously_delete_expired`; [`sweep`](Store::sweep) does nothing.
#[derive(Clone, Debug)]
pub struct TowerSessions(Arc<dyn Tower>);

impl TowerSessions {
    /// Keeps sessions in a store of `tower-sessions-core` 0.15.
    pub fn new(store: impl tower_sessions_core::SessionStore) -> Self {
        Self(Arc::new(Core015(store)))
    }

    /// Keeps sessions in a store of `tower-sessions-core` 0.14.
    pub fn new_0_14(store: impl tower_sessions_core_0_14::SessionStore) -> Self {
        Self(Arc::new(Core014(store)))
    }

    /// The session under a key, dead or alive.
    async fn find(&self, key: &Key) -> Result<Option<Record>> {
        let found = self.0.load(id(key)).await.map_err(|failure| error(key, failure))?;
        found.map(|kept| Stored::of(key, kept)?.into_record(key)).transpose()
    }

    /// The live session under a key.
    async fn read(&self, key: &Key) -> Result<Option<Record>> {
        Ok(self.find(key).await?.filter(is_live))
    }

    /// Removes what is dead under a key; whether nothing is there now.
    async fn clear_away(&self, key: &Key) -> Result<bool> {
        match self.find(key).await? {
            Some(record) if is_live(&record) => return Ok(false),
            Some(_) => self.delete(key, id(key)).await?,
            None => {}
        }
        Ok(true)
    }

    /// Creates a record under a key that holds none; whether it did.
    async fn create(&self, key: &Key, record: &Record) -> Result<bool> {
        let wanted = in_tower(key, record)?;
        // The second time because a store may not show a record that has expired, and not let go of
        // its id either.
        for _ in 0..2 {
            let created = self.0.create(wanted.clone()).await;
            let id = created.map_err(|failure| error(key, failure))?;
            if id == wanted.id {
                return Ok(true);
            }
            self.delete(key, id).await?;
            if self.read(key).await?.is_some() {
                return Ok(false);
            }
            self.delete(key, wanted.id).await?;
        }
        Ok(false)
    }

    async fn save(&self, key: &Key, record: &Record) -> Result<()> {
        self.0.save(in_tower(key, record)?).await.map_err(|failure| error(key, failure))
    }

    async fn delete(&self, key: &Key, id: i128) -> Result<()> {
        self.0.delete(id).await.map_err(|failure| error(key, failure))
    }
}

#[async_trait::async_trait]
impl Store for TowerSessions {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        if record.owner.is_some() {
            return Err(no_owners());
        }
        if !self.clear_away(key).await? {
            return Ok(Inserted::KeyTaken);
        }
        let now = now();
        let meta = Meta {
            version: record.version,
            lifetime: record.lifetime,
            created_at: now,
            last_seen: now,
            deadline: record.lifetime.deadline(now),
            authenticated_at: record.authenticated.then_some(now),
            owner: None,
            label: record.label.cloned(),
            now,
        };
        let record = Record { data: record.data.clone(), meta };
        if self.create(key, &record).await? {
            Ok(Inserted::Done { evicted: Vec::new() })
        } else {
            Ok(Inserted::KeyTaken)
        }
    }

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        let Some(mut record) = self.read(key).await? else {
            return Ok(None);
        };
        let meta = &record.meta;
        if let Touch::After(interval) = touch
            && meta.lifetime.touch_due(meta.last_seen, meta.now, interval)
        {
            see(&mut record.meta);
            self.save(key, &record).await?;
        }
        Ok(Some(record))
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        Ok(self.load(key, touch).await?.map(|record| record.meta))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let Some(Record { mut meta, .. }) = self.read(key).await? else {
            return Ok(Replaced::Missing);
        };
        if write.expected.is_some_and(|expected| expected != meta.version) {
            return Ok(Replaced::Conflict);
        }
        meta.version = meta.version.next();
        if write.touch || write.lifetime.is_some() {
            see(&mut meta);
        }
        if let Some(lifetime) = write.lifetime {
            meta.lifetime = *lifetime;
            meta.deadline = lifetime.deadline(meta.last_seen);
        }
        let version = meta.version;
        self.save(key, &Record { data: write.data.clone(), meta }).await?;
        Ok(Replaced::Done(version))
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let Some(mut record) = self.read(from).await? else {
            return Ok(Renamed::Missing);
        };
        if !self.clear_away(to).await? {
            return Ok(Renamed::KeyTaken);
        }
        let meta = &mut record.meta;
        meta.version = meta.version.next();
        see(meta);
        if renewal == Renewal::Authentication {
            meta.authenticated_at = Some(meta.last_seen);
            meta.deadline = meta.lifetime.deadline(meta.last_seen);
        }
        self.delete(from, id(from)).await?;
        if self.create(to, &record).await? {
            Ok(Renamed::Done(record.meta))
        } else {
            Ok(Renamed::KeyTaken)
        }
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        let found = self.read(key).await?;
        if found.is_some() {
            self.delete(key, id(key)).await?;
        }
        Ok(found)
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        let Some(Record { meta, .. }) = self.read(key).await? else {
            return Ok(Removed::Missing);
        };
        let holds = match condition {
            Condition::Always => true,
            Condition::Version(version) => version == meta.version,
            // It has none.
            Condition::Owner(_) => false,
        };
        if !holds {
            return Ok(Removed::Conflict);
        }
        self.delete(key, id(key)).await?;
        Ok(Removed::Done)
    }

    async fn owned(&self, _owner: &Owner, _limit: usize) -> Result<Vec<(Key, Meta)>> {
        Err(no_owners())
    }

    async fn remove_owned(&self, _owner: &Owner, _keep: Option<&Key>) -> Result<()> {
        Err(no_owners())
    }

    async fn scan(&self, _after: Option<&Cursor>, _limit: usize) -> Result<Page> {
        Err(no_list())
    }

    async fn count(&self) -> Result<u64> {
        Err(no_list())
    }

    async fn clear(&self) -> Result<()> {
        Err(no_list())
    }

    async fn sweep(&self, _limit: usize) -> Result<usize> {
        Ok(0)
    }
}

/// A record, as JSON.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u64,
    idle_ms: Option<u64>,
    absolute_ms: Option<u64>,
    created_at: u64,
    last_seen: u64,
    deadline: Option<u64>,
    authenticated_at: Option<u64>,
    label: Option<String>,
    data: String,
}

impl Stored {
    fn of(key: &Key, mut kept: Kept) -> Result<Self> {
        let stored = kept.data.remove(FIELD).ok_or_else(|| {
            StoreError::corrupt(key, format_args!("it has no `{FIELD}`; is it of tower-sessions?"))
        })?;
        serde_json::from_value(stored).map_err(|error| StoreError::corrupt(key, error))
    }

    fn into_record(self, key: &Key) -> Result<Record> {
        let damaged = |what: &dyn std::fmt::Display| StoreError::corrupt(key, what);
        let timeout = |millis: Option<u64>| millis.map(Duration::from_millis);
        let lifetime = match (timeout(self.idle_ms), timeout(self.absolute_ms)) {
            (Some(idle), None) => Lifetime::idle(idle),
            (None, Some(absolute)) => Lifetime::absolute(absolute),
            (Some(idle), Some(absolute)) => {
                Lifetime::idle(idle).and_then(|lifetime| lifetime.and_absolute(absolute))
            }
            (None, None) => return Err(damaged(&"it has no timeout")),
        };
        let label = self.label.map(Label::new).transpose();
        let meta = Meta {
            version: Version::from_u64(self.version),
            lifetime: lifetime.map_err(|error| damaged(&error))?,
            created_at: Timestamp::from_millis(self.created_at),
            last_seen: Timestamp::from_millis(self.last_seen),
            deadline: self.deadline.map(Timestamp::from_millis),
            authenticated_at: self.authenticated_at.map(Timestamp::from_millis),
            owner: None,
            label: label.map_err(|error| damaged(&error))?,
            now: now(),
        };
        let data = STANDARD.decode(self.data).map_err(|error| damaged(&error))?;
        Ok(Record { data: data.into(), meta })
    }
}

fn in_tower(key: &Key, record: &Record) -> Result<Kept> {
    let Record { data, meta } = record;
    let millis = |timeout: Option<Duration>| {
        timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    };
    let stored = Stored {
        version: meta.version.get(),
        idle_ms: millis(meta.lifetime.idle_timeout()),
        absolute_ms: millis(meta.lifetime.absolute_timeout()),
        created_at: meta.created_at.as_millis(),
        last_seen: meta.last_seen.as_millis(),
        deadline: meta.deadline.map(Timestamp::as_millis),
        authenticated_at: meta.authenticated_at.map(Timestamp::as_millis),
        label: meta.label.as_ref().map(|label| label.as_str().to_owned()),
        data: STANDARD.encode(data),
    };
    let refused = |error: &dyn std::fmt::Display| {
        let message =
            format!("session {key} does not fit into a record of tower-sessions: {error}");
        StoreError::new(StoreErrorKind::Refused, message)
    };
    let stored = serde_json::to_value(stored).map_err(|error| refused(&error))?;
    let ends = meta.expires_at().as_millis().div_ceil(1_000);
    let ends = i64::try_from(ends).map_err(|error| refused(&error))?;
    Ok(Kept {
        id: id(key),
        data: HashMap::from([(FIELD.to_owned(), stored)]),
        expiry_date: OffsetDateTime::from_unix_timestamp(ends).map_err(|error| refused(&error))?,
    })
}

fn is_live(record: &Record) -> bool {
    record.meta.expires_at() > record.meta.now
}

/// The clocks of application servers may differ: never backward.
fn see(meta: &mut Meta) {
    meta.last_seen = meta.last_seen.max(meta.now);
}

fn id(key: &Key) -> i128 {
    let mut half = [0; 16];
    half.copy_from_slice(&key.as_bytes()[..16]);
    i128::from_be_bytes(half)
}

fn now() -> Timestamp {
    Timestamp::from_millis(0) + SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

fn error(key: &Key, failure: Failure) -> StoreError {
    let (error, source) = match failure {
        Failure::Backend(source) => {
            let message = "the store of tower-sessions failed; see what it says";
            (StoreError::new(StoreErrorKind::Unavailable, message), source)
        }
        Failure::Decode(source) => {
            (StoreError::corrupt(key, "the store of tower-sessions cannot read it"), source)
        }
        Failure::Encode(source) => {
            let message = format!("the store of tower-sessions cannot encode session {key}");
            (StoreError::new(StoreErrorKind::Refused, message), source)
        }
    };
    error.with_source(source)
}

fn no_owners() -> StoreError {
    StoreError::new(
        StoreErrorKind::Refused,
        "a store of tower-sessions cannot tell an owner's sessions; leave the owner out, or take \
         another store",
    )
}

fn no_list() -> StoreError {
    StoreError::new(
        StoreErrorKind::Refused,
        "a store of tower-sessions cannot list what it holds; use its own means",
    )
}
