//! [`TowerSessions`]: sessions in any store of the `tower-sessions` crates.

mod versions;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;

use self::versions::{Core014, Core015, Failure, Kept, Tower};
use super::{
    Condition, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Previous, Proofs, Removed,
    Replaced, Result, Store, StoreError, StoreErrorKind, Watch, Write,
};
use crate::event::Events;
use crate::key::Key;
use crate::proof::Proof;
use crate::record::{Details, Lifetime, Meta, Record, Timestamp, Version};

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
/// Use the constructor for the version of `tower-sessions-core` that the store depends on:
///
/// | version | constructor | stores as of November 2026 |
/// |---|---|---|
/// | 0.15 | [`new`](Self::new) | `tower-sessions` 0.15 with its memory store, surrealdb |
/// | 0.14 | [`new_0_14`](Self::new_0_14) | sqlx, Redis, moka, DynamoDB, rorm |
///
/// # What does it lack?
/// Such a store can only save, load and delete. So this one is no
/// [`AtomicStore`](super::AtomicStore), one-time codes do not compile on it, and these sentences of
/// the [contract](Store) do not hold:
///
/// * **A write may be lost**: of two that expect the same version and race, both may be told that
///   they won, and the later one stays.
/// * **What was ended may come back**: a write or a touch that races with a logout may save the
///   session after it was deleted. It does so on most stores; that of Redis saves over what is there
///   only. A write or a touch that races with a new token may bring the old token back, and end the new
///   one.
/// * **A removal may have two winners**, and so may an insert or a handover of a secret.
/// * **Owners are refused**: there is no list of an owner's sessions, and none could be kept in step.
///   So there is no limit for them, and no "log out everywhere".
/// * **Nothing can be listed**, counted or cleared.
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
/// | load | 1, and 1 more when a touch is due or a new secret is used first |
/// | insert, replace, remove | 2 |
/// | insert: what has expired is still under the key | 1 more |
/// | alive | 1 for each key |
///
/// # Where is what?
/// The record's id is the session's key, which logs nobody in here. Give
/// the store a table or prefix of its own, and not one that the middleware of `tower-sessions` uses:
/// there the id itself is the cookie. The data and what goes with it are under `token-session` in the
/// record's map, and its `expiry_date` is the session's end, rounded up to the second, because not
/// every store keeps more. Expired records are removed by the store's own means, such as
/// `continuously_delete_expired`.
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
        Ok(self.find(key).await?.filter(|record| record.is_live(record.meta.now)))
    }

    /// Removes what is dead under a key; whether nothing is there now.
    async fn clear_away(&self, key: &Key) -> Result<bool> {
        match self.find(key).await? {
            Some(record) if record.is_live(record.meta.now) => return Ok(false),
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
        if self.create(key, &Record::begun(record, now())).await? {
            Ok(Inserted::Done { evicted: Vec::new() })
        } else {
            Ok(Inserted::KeyTaken)
        }
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let Some(mut record) = self.read(key).await? else {
            return Ok(Found::Missing);
        };
        let now = record.meta.now;
        if record.load(load, now) {
            self.save(key, &record).await?;
        }
        Ok(record.found(load, now))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let Some(mut record) = self.read(key).await? else {
            return Ok(Replaced::Missing);
        };
        let replaced = record.write(write, record.meta.now);
        if let Replaced::Done(_) = replaced {
            self.save(key, &record).await?;
        }
        Ok(replaced)
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let record = match self.read(key).await {
            // A damaged record goes too, so that an operator can get rid of it.
            Err(error)
                if error.kind() == StoreErrorKind::Corrupt
                    && matches!(condition, Condition::Always)
                    && !hand_out =>
            {
                None
            }
            record => match record? {
                None => return Ok(Removed::Missing),
                Some(record) if !record.meets(condition, record.meta.now) => {
                    return Ok(Removed::Conflict);
                }
                record => record,
            },
        };
        self.delete(key, id(key)).await?;
        Ok(Removed::Done(record.filter(|_| hand_out)))
    }

    /// Such a store has no batch: it looks for one after the other.
    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let mut alive = Vec::with_capacity(keys.len());
        for key in keys {
            alive.push(match self.read(key).await {
                Err(error) if error.kind() == StoreErrorKind::Corrupt => false,
                record => record?.is_some(),
            });
        }
        Ok(alive)
    }

    fn owners(&self) -> Option<&dyn Owners> {
        None
    }

    fn listing(&self) -> Option<&dyn Listing> {
        None
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

    fn attach(&self, _: &Events) {}
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
    #[serde(default, skip_serializing_if = "Blob::is_empty")]
    details: Blob,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<Blob>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_proof: Option<Blob>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Blob>,
    data: Blob,
}

/// Bytes, as base64.
#[derive(Default)]
struct Blob(Bytes);

impl Blob {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of_proof(proof: &Proof) -> Self {
        Self(Bytes::copy_from_slice(proof.as_bytes()))
    }

    fn to_proof(&self) -> Option<Proof> {
        self.0.as_ref().try_into().ok().map(Proof::from_bytes)
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(|bytes| Self(bytes.into())).map_err(serde::de::Error::custom)
    }
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
        let lifetime = Lifetime::of(timeout(self.idle_ms), timeout(self.absolute_ms));
        let at = |millis: Option<u64>| millis.map(Timestamp::from_millis);
        let proof = |blob: Option<Blob>| {
            let read = |blob: Blob| {
                blob.to_proof().ok_or_else(|| damaged(&"its proof has another length"))
            };
            blob.map(read).transpose()
        };
        let previous = proof(self.previous_proof)?.map(|proof| Previous {
            proof,
            confirmed_at: at(self.confirmed_at),
            sealed: self.sealed.map(|blob| blob.0),
        });
        let meta = Meta {
            version: Version::from_u64(self.version),
            lifetime: lifetime.map_err(|error| damaged(&error))?,
            created_at: Timestamp::from_millis(self.created_at),
            last_seen: Timestamp::from_millis(self.last_seen),
            deadline: at(self.deadline),
            authenticated_at: at(self.authenticated_at),
            owner: None,
            now: now(),
        };
        Ok(Record {
            data: self.data.0,
            details: Details::from_stored(self.details.0),
            proofs: Proofs { current: proof(self.proof)?, previous },
            meta,
        })
    }
}

fn in_tower(key: &Key, record: &Record) -> Result<Kept> {
    let Record { data, details, proofs, meta } = record;
    let previous = proofs.previous.as_ref();
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
        details: Blob(details.as_bytes().clone()),
        proof: proofs.current.as_ref().map(Blob::of_proof),
        previous_proof: previous.map(|previous| Blob::of_proof(&previous.proof)),
        confirmed_at: previous.and_then(|previous| previous.confirmed_at.map(Timestamp::as_millis)),
        sealed: previous.and_then(|previous| previous.sealed.clone().map(Blob)),
        data: Blob(data.clone()),
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

fn id(key: &Key) -> i128 {
    i128::from_be_bytes(*key.as_bytes())
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
