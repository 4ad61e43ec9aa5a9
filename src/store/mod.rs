//! The contract between [`TokenSession`](crate::TokenSession) and what keeps its sessions.
//!
//! A store knows no token, no type and no policy: just keys, bytes and times. These sentences hold
//! for each of its operations:
//!
//! * **An expired record does not exist**, whether it was swept or not. The store judges by its own
//!   clock, or its server's. Who sets that clock back lets all that is in the store live so much longer,
//!   and what had expired since and was not swept yet live again; what was used, spent or removed does
//!   not come back. So let it be slewed, as NTP does. The clock of [`Memory`] cannot be set back.
//! * **An operation is atomic**: all of it takes place or nothing, nobody sees half of it, and of
//!   callers that race for one record exactly one wins. Stores that cannot promise it lack the trait
//!   [`AtomicStore`]. [`remove_owned`](Store::remove_owned), [`clear`](Store::clear) and
//!   [`sweep`](Store::sweep) may work in batches: each record is removed or not.
//! * **Work is bounded.** One lock, script or statement removes at most 1,000 records.
//! * **An operation is one round trip**; a store that needs more says so in its docs.
//! * **When it returns `Err`, it says whether to retry.** After
//!   [`Unavailable`](StoreErrorKind::Unavailable) the operation may have taken place, as with any
//!   answer that is lost on the way.
//! * **A dropped future** leaves the operation done or not done, never half done. It may become done a
//!   moment after the drop. What works in batches may have removed some records.
//! * **A damaged record hides no other.** Where the bytes under a key are no record, each operation
//!   on that key is an error of kind [`Corrupt`](StoreErrorKind::Corrupt), except that
//!   [`remove`](Store::remove) in [any case](Condition::Always) removes it. A list of an owner's
//!   sessions leaves it out, a [page](Page::damaged) names it, and the store tells an
//!   [`Event::Damaged`](crate::Event::Damaged).
//!
//! The module `conformance` (feature `conformance`) holds a test for each sentence here and below, for
//! stores of your own too.

mod cached;
#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"))]
pub mod compat;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connect;
mod memory;
#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "mysql")]
mod mysql;
mod page;
#[cfg(any(
    feature = "mongodb",
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
mod patience;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod shared;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(
    feature = "mongodb",
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
mod to_the_end;
#[cfg(feature = "tower-sessions")]
mod tower_sessions;
mod watch;

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::cached::{Cached, CachedBuilder};
pub use self::connect::connect;
pub use self::memory::{Clock, ManualClock, Memory, MemoryBuilder, SystemClock, WhenFull};
#[cfg(feature = "mongodb")]
pub use self::mongodb::{MongoDb, MongoDbBuilder};
#[cfg(feature = "mysql")]
pub use self::mysql::{MySql, MySqlBuilder};
pub use self::page::{Cursor, Page};
#[cfg(feature = "postgres")]
pub use self::postgres::{Postgres, PostgresBuilder};
#[cfg(feature = "redis")]
pub use self::redis::{Redis, RedisBuilder, RedisConnection};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{Sqlite, SqliteBuilder};
#[cfg(feature = "tower-sessions")]
pub use self::tower_sessions::TowerSessions;
pub use self::watch::{Change, Watch, Watching};

pub use crate::error::{StoreError, StoreErrorKind};
use crate::event::Events;
use crate::record::{Label, Lifetime, Meta, Owner, Record, Version};
use crate::token::Key;

/// What a store operation answers.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Keeps records under keys; see the [module](self) for what holds throughout.
///
/// Implement it with the attribute [`async_trait`](https://docs.rs/async-trait). An `Arc` of a store
/// is a store, so a service that picks its store at run time holds an `Arc<dyn Store>`; each call
/// costs one allocation, whether the store is known or not.
///
/// ```
/// use token_session::store::{Inserted, Memory, NewRecord, Store, Touch};
/// use token_session::{Key, Lifetime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, key) = (Memory::new(), Key::from_bytes([7; 32]));
/// let record = NewRecord::new("data", Lifetime::idle_secs(60)?);
/// assert!(matches!(store.insert(&key, &record).await?, Inserted::Done { .. }));
/// assert!(matches!(store.insert(&key, &record).await?, Inserted::KeyTaken));
/// assert!(store.take(&key).await?.is_some());
/// assert!(store.load(&key, Touch::No).await?.is_none());
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Puts a new record under `key`, with its [version](NewRecord::version), created and last seen
    /// now.
    ///
    /// * The key holds a live record: [`KeyTaken`](Inserted::KeyTaken), and nothing changes. An
    ///   expired record there is no hindrance.
    /// * The owner has as many live sessions as [`NewRecord::limit`] allows: by its policy the
    ///   oldest go, and their keys are returned, or
    ///   [`OwnerFull`](Inserted::OwnerFull), and nothing changes. Of any number of racing inserts
    ///   no more than the limit live on.
    /// * An owner may have more sessions than the limit, if the limit is new or lower than before. An
    ///   insert that evicts may end 1,000 of them and leave the rest to the next inserts.
    /// * The store is full: an error of kind [`Full`](StoreErrorKind::Full).
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted>;

    /// The live record under `key`, last seen now where `touch` asks for it and it is due
    /// ([`Lifetime::touch_due`]). [`Record::meta`] is as the touch left it.
    ///
    /// * A touch moves [`last_seen`](Meta::last_seen) forward only, whatever the order in which
    ///   racing touches end, and the end of the session never past its deadline.
    /// * Missing, expired, or of an owner whose sessions were removed: `None`.
    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>>;

    /// As [`load`](Self::load), without the data.
    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>>;

    /// Writes new data, and what else [`Write`] says, over the live record under `key`.
    ///
    /// * Missing or expired: [`Missing`](Replaced::Missing), and nothing is written, so that no
    ///   write brings a removed record back.
    /// * Of another version than [`Write::expected`]: [`Conflict`](Replaced::Conflict), and nothing
    ///   is written. Of writers that expect the same version, one wins.
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced>;

    /// Moves the live record from one key to another, seen now: the data, the lifetime, the owner,
    /// the beginning and the deadline stay, unless [`Renewal`] says otherwise. The version is one
    /// more.
    ///
    /// * At no moment, not even in a crash, are both keys alive. A store that cannot move in one
    ///   step removes first.
    /// * `from` is missing or expired: [`Missing`](Renamed::Missing).
    /// * `to` holds a live record: [`KeyTaken`](Renamed::KeyTaken), and nothing changes.
    /// * Both keys fall into one partition, where the store has several.
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed>;

    /// Removes the live record under `key` and hands it out, to one caller only.
    async fn take(&self, key: &Key) -> Result<Option<Record>>;

    /// Removes the live record under `key` if the condition holds. Only one of racing callers gets
    /// [`Done`](Removed::Done).
    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed>;

    /// Up to `limit` live sessions of an owner, the youngest first.
    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>>;

    /// Ends all sessions of an owner, but the one under `keep` if that is a live one of this owner.
    ///
    /// * When it has returned, no session that the owner had when it was called can be loaded,
    ///   whatever raced with it: an insert, a rename, a write. An owner without sessions is no error.
    /// * A session that begins while it runs may end or live on. It returns although such sessions
    ///   keep coming.
    /// * After an error or a dropped future, some of the sessions may have ended. A repeat ends the
    ///   rest.
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()>;

    /// A page of all live records, in no order. `after` is the [`Page::next`] of the page before.
    ///
    /// A record that lives from the first page to the last is on one of them, and only a store that
    /// says so lists one twice; a record that comes or goes meanwhile may be missing. `limit` is a
    /// hint: a page may hold a few more, or be empty with more to come.
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// How many live records there are. May look at each of them. A damaged one may count.
    async fn count(&self) -> Result<u64>;

    /// Removes every record of this store, and nothing else that its server may hold. A record that
    /// is inserted meanwhile may be removed or stay. After an error or a dropped future, a repeat
    /// removes the rest.
    async fn clear(&self) -> Result<()>;

    /// Frees the space of up to `limit` expired records, and says of how many. Nothing but space
    /// depends on it. Where the server expires records by itself it does nothing.
    async fn sweep(&self, limit: usize) -> Result<usize>;

    /// In how many partitions the store keeps its records, where a key's place matters: all
    /// sessions of an owner, and both keys of a rename, fall into the same one
    /// ([`Key::partition`], [`Owner::partition`]). The manager draws tokens until that is so. 1 to
    /// 1024.
    fn partitions(&self) -> u16 {
        1
    }

    /// Whether the store's format keeps the token itself, rather than its digest. The manager then
    /// hands it keys that hold the token, and a [`KeyScheme`](crate::KeyScheme) has no effect. It takes no
    /// token that [anybody could guess](crate::TokenError::Guessable). Only
    /// the stores of this crate that share another program's sessions do; nobody else gets at the
    /// token in a key.
    fn keeps_plain_ids(&self) -> bool {
        false
    }

    /// Hands the store a way to tell what only it knows: an expired record, a connection that came
    /// or went. A store with nothing to tell leaves it.
    fn attach(&self, events: &Events) {
        let _ = events;
    }
}

/// A store that keeps every sentence of [`Store`], those on racing callers included: of callers that
/// race for one record exactly one wins, no write is lost, nothing that was removed comes back, and
/// an owner's limit and [`remove_owned`](Store::remove_owned) hold whatever happens at the same time.
///
/// Stores that keep somebody else's format, which has no version, implement [`Store`] alone: their
/// docs say what is lost. What depends on exactly one winner, such as one-time codes, asks for this
/// trait, so that it does not compile on such a store.
///
/// ```
/// use token_session::store::{AtomicStore, Memory};
///
/// fn needs_one_winner(_: impl AtomicStore) {}
/// needs_one_winner(Memory::new());
/// ```
pub trait AtomicStore: Store {}

/// A record to [insert](Store::insert).
///
/// ```
/// use token_session::store::NewRecord;
/// use token_session::{Lifetime, Owner};
///
/// let owner = Owner::new("user-17")?;
/// let record = NewRecord { owner: Some(&owner), ..NewRecord::new("data", Lifetime::idle_secs(60)?) };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct NewRecord<'a> {
    /// The user's data, encoded.
    pub data: Bytes,
    /// The version that it begins with. One that no earlier record under this key had, as a random one:
    /// the writes that are meant for that one then miss this one.
    pub version: Version,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// The account that it belongs to. A store reads it back with [`Owner::from_stored`].
    pub owner: Option<&'a Owner>,
    /// What a person knows it by.
    pub label: Option<&'a Label>,
    /// Whether the person has just proved who they are.
    pub authenticated: bool,
    /// How many sessions its owner may have with it.
    pub limit: Option<OwnerLimit>,
}

impl NewRecord<'_> {
    /// A record of no owner, with a random version.
    pub fn new(data: impl Into<Bytes>, lifetime: Lifetime) -> Self {
        Self {
            data: data.into(),
            version: Version::random(),
            lifetime,
            owner: None,
            label: None,
            authenticated: false,
            limit: None,
        }
    }
}

/// How many live sessions an owner may have, and what happens to one more (OWASP ASVS 5.0, 7.1.2).
///
/// ```
/// use token_session::store::OwnerLimit;
///
/// let three = OwnerLimit::evict_oldest(3.try_into()?);
/// assert_eq!(three.max().get(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerLimit {
    max: NonZeroU32,
    evicts: bool,
}

impl OwnerLimit {
    /// One more login is refused.
    pub const fn reject(max: NonZeroU32) -> Self {
        Self { max, evicts: false }
    }

    /// One more login ends the session that began first.
    pub const fn evict_oldest(max: NonZeroU32) -> Self {
        Self { max, evicts: true }
    }

    /// How many there may be.
    pub const fn max(self) -> NonZeroU32 {
        self.max
    }

    /// Whether the oldest goes, rather than the newcomer.
    pub const fn evicts(self) -> bool {
        self.evicts
    }
}

/// What became of an [insert](Store::insert).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The record is there.
    Done {
        /// The owner's sessions that went for it.
        evicted: Vec<Key>,
    },
    /// Another live record has the key.
    KeyTaken,
    /// The owner has as many sessions as the limit allows.
    OwnerFull,
}

/// Whether to restart a record's idle timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Leave it.
    No,
    /// Restart it if the last touch is so long ago, or a tenth of the idle timeout where that is
    /// shorter. Zero: always.
    After(Duration),
}

/// What to [write](Store::replace) over a record.
///
/// ```
/// use token_session::Version;
/// use token_session::store::Write;
///
/// let write = Write { expected: Some(Version::from_u64(17)), ..Write::new("new data") };
/// ```
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// The user's data, encoded.
    pub data: Bytes,
    /// Write only over this version; `None`: over any.
    pub expected: Option<Version>,
    /// Restart the idle timeout, with no regard to the touch interval.
    pub touch: bool,
    /// A new lifetime, which begins now: the record is seen now, and its deadline is counted from
    /// now.
    pub lifetime: Option<&'a Lifetime>,
}

impl Write<'_> {
    /// Writes the data over any version, and changes nothing else.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), expected: None, touch: false, lifetime: None }
    }
}

/// What became of a [write](Store::replace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It is written; the record has this version now.
    Done(Version),
    /// The record has another version than expected.
    Conflict,
    /// There is no live record.
    Missing,
}

/// What a [rename](Store::rename) renews besides the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The key alone: the deadline stays.
    Key,
    /// The person has just proved who they are: [`Meta::authenticated_at`] is now, and the absolute
    /// timeout starts anew (NIST SP 800-63B-4, section 5.2).
    Authentication,
}

/// What became of a [rename](Store::rename).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// The record is under the new key, and like this.
    Done(Meta),
    /// Another live record has the new key.
    KeyTaken,
    /// There is no live record under the old key.
    Missing,
}

/// When to [remove](Store::remove).
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    /// In any case.
    Always,
    /// If the record has this version.
    Version(Version),
    /// If the record is this owner's.
    Owner(&'a Owner),
}

/// What became of a [removal](Store::remove).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The record is gone, by this call.
    Done,
    /// There is a live record, and the condition does not hold for it.
    Conflict,
    /// There is no live record.
    Missing,
}
