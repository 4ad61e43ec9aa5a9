//! The contract between [`TokenSession`](crate::TokenSession) and what keeps its sessions.
//!
//! A store knows no token, no type and no policy: just keys, proofs, bytes and times. These sentences
//! hold for each of its operations:
//!
//! * **An expired record does not exist**, whether it was swept or not. The store judges by its own
//!   clock, or its server's. Setting that clock back by N extends every record by N, and revives records
//!   that expired in that window and were not swept yet. Used, spent or removed records stay gone. Slew
//!   the clock, as NTP does; do not step it. The clock of [`Memory`] cannot be set back.
//! * **A record does not exist for a claim that does not fit it** ([`Claim`](crate::Claim),
//!   [`Proofs::standing`]): nothing is read, touched, written or removed. Without a claim it is looked up
//!   by its key alone.
//! * **An operation is atomic**: all of it takes place or nothing, nobody sees half of it, and of
//!   callers that race for one record exactly one wins. Stores that cannot promise it lack the trait
//!   [`AtomicStore`]. [`remove_owned`](Owners::remove_owned), [`clear`](Listing::clear) and
//!   [`sweep`](Listing::sweep) may work in batches: each record is removed or not.
//! * **Work is bounded.** One lock, script or statement removes at most 1,000 records.
//! * **An operation is one round trip**; a store that needs more says so in its docs.
//! * **When it returns `Err`, it says whether to retry.** After
//!   [`Unavailable`](StoreErrorKind::Unavailable) the operation may have taken place, as with any
//!   answer that is lost on the way.
//! * **A dropped future** leaves the operation done or not done, never half done. It may become done a
//!   moment after the drop. What works in batches may have removed some records.
//! * **A damaged record hides no other.** Where the bytes under a key are no record, each operation
//!   on that key is an error of kind [`Corrupt`](StoreErrorKind::Corrupt), except that
//!   [`remove`](Store::remove) in [any case](Condition::Always) without handing it out removes it. A
//!   page of a list [names it](Page::damaged), and the store tells an
//!   [`Event::Damaged`](crate::Event::Damaged).
//!
//! What each operation answers for a record and makes of it is written once in plain Rust, as methods of
//! [`Record`]. The module `conformance` (feature `conformance`) holds a test for each sentence here and
//! below, for stores of your own too.

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

use async_trait::async_trait;

pub use self::cached::{Cached, CachedBuilder};
pub use self::connect::{connect, connect_sessions};
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
pub use self::watch::{Change, Tell, Watch, Watching};

pub use crate::error::{StoreError, StoreErrorKind};
use crate::event::Events;
use crate::key::Key;
use crate::record::Owner;
#[cfg(doc)]
use crate::record::Record;
pub use crate::record::{
    Condition, Found, Inserted, Load, NewProof, NewRecord, OwnerLimit, Previous, Proofs, Removed,
    Renamed, Renewal, Replaced, Standing, Times, Touch, Write, Written,
};

/// What a store operation answers.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Keeps records under keys; see the [module](self) for what holds throughout.
///
/// Implement it with the attribute [`async_trait`](https://docs.rs/async-trait). An `Arc` of a store
/// is a store, so a service that picks its store at run time holds an `Arc<dyn Store>`; each call
/// costs one allocation, whether the store is known or not.
///
/// ```
/// use token_session::store::{Condition, Inserted, Load, Memory, NewRecord, Store};
/// use token_session::{Key, Lifetime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, key) = (Memory::new(), Key::from_bytes([7; 16]));
/// let record = NewRecord::new("data", Lifetime::idle_secs(60)?);
/// assert!(matches!(store.insert(&key, &record).await?, Inserted::Done { .. }));
/// assert!(matches!(store.insert(&key, &record).await?, Inserted::KeyTaken));
/// assert!(store.remove(&key, Condition::Always, false).await?.is_done());
/// assert!(store.load(&key, &Load::new()).await?.live().is_none());
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Puts a new record under `key`, as [`Record::begun`] says.
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

    /// The live record under `key`, as [`Record::load`] and [`Record::found`] say: touched where that is
    /// due, and confirmed at the first use of its current secret.
    ///
    /// * A touch moves [`last_seen`](crate::Meta::last_seen) forward only, whatever the order in which
    ///   racing touches end, and the end of the session never past its deadline.
    /// * A confirmation erases the [sealed secret](Previous::sealed). Of racing ones, one sets the time.
    /// * A claim of the previous secret that comes too late touches nothing, and is
    ///   [`Reused`](Found::Reused).
    /// * Missing, expired, of an owner whose sessions were removed, or of another claim:
    ///   [`Missing`](Found::Missing).
    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found>;

    /// Writes what [`Write`] says over the live record under `key`, as [`Record::write`] says.
    ///
    /// * Missing, expired, or of another claim: [`Missing`](Replaced::Missing), and nothing is written,
    ///   so that no write brings a removed record back.
    /// * Of another version than [`Write::expected`]: [`Conflict`](Replaced::Conflict), and nothing
    ///   is written. Of writers that expect the same version, one wins.
    /// * Of claims that race to hand the same secret over, one wins; the others are
    ///   [`Conflict`](Replaced::Conflict).
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced>;

    /// Removes the live record under `key` if the condition holds, as [`Record::meets`] says. Only one
    /// of racing callers gets [`Done`](Removed::Done), with the record if `hand_out` asks for it.
    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed>;

    /// Whether there is a live record under each of these keys, in their order. One batch; touches
    /// nothing.
    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>>;

    /// What it can do with the sessions of an owner. A store that answers `None` never receives an
    /// owner or a limit.
    fn owners(&self) -> Option<&dyn Owners>;

    /// How it lists its records; `None` where it cannot.
    fn listing(&self) -> Option<&dyn Listing>;

    /// How it tells changes as they happen; `None` where it cannot.
    fn watch(&self) -> Option<&dyn Watch>;

    /// How it gives a session a new token, in a format in which the id is the token. `None` where a
    /// session keeps its key: the manager then writes a new proof in place.
    fn moves(&self) -> Option<&dyn Moves>;

    /// In how many partitions the store keeps its records, where a key's place matters: all
    /// sessions of an owner fall into the same one ([`Key::partition`], [`Owner::partition`]). The
    /// manager makes keys so that they do. 1 to 1024.
    fn partitions(&self) -> u16;

    /// Whether the store's format keeps the token itself, rather than its digest. The manager then
    /// hands it keys that hold the token, and a [`ProofScheme`](crate::ProofScheme) has no effect on it.
    /// It takes no token that [anybody could guess](crate::TokenError::Guessable). Only
    /// the stores of this crate that share another program's sessions do; nobody else gets at the
    /// token in a key.
    fn keeps_plain_ids(&self) -> bool;

    /// Hands the store a way to tell what only it knows: an expired record, a connection that came
    /// or went. A store with nothing to tell ignores it.
    fn attach(&self, events: &Events);
}

/// What a store can do with the sessions of an owner.
///
/// ```
/// use token_session::Owner;
/// use token_session::store::{Memory, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Memory::new();
/// let owners = store.owners().expect("the memory store knows owners");
/// assert!(owners.owned(&Owner::new("user-17")?, None, 100, false).await?.records.is_empty());
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Owners: Send + Sync {
    /// A page of the live sessions of an owner, the youngest first. `after` is the [`Page::next`] of
    /// the page before. Without the data unless `with_data`.
    ///
    /// Up to `limit` sessions, and no fewer while there are more. Between two pages sessions may come
    /// and go; one that lives throughout is on one of the pages.
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page>;

    /// Ends all sessions of an owner, but the one under `keep` if that is a live one of this owner.
    ///
    /// * When it has returned, no session that the owner had when it was called can be loaded,
    ///   whatever raced with it: an insert, a write. An owner without sessions is no error.
    /// * A session that begins while it runs may end or live on. It returns although such sessions
    ///   keep coming.
    /// * After an error or a dropped future, some of the sessions may have ended. A repeat ends the
    ///   rest.
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()>;
}

/// How a store lists its records, counts them and frees space.
///
/// ```
/// use token_session::store::{Memory, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Memory::new();
/// assert_eq!(store.listing().expect("the memory store lists").count().await?, 0);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Listing: Send + Sync {
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
}

/// How a store whose format's id is the token gives a session a new one.
#[async_trait]
pub trait Moves: Send + Sync {
    /// Moves the live record from one key to another, seen now: the data, the lifetime, the
    /// beginning and the deadline stay, unless [`Renewal`] says otherwise. The version is another one.
    ///
    /// * At no moment, not even in a crash, are both keys alive. A store that cannot move in one
    ///   step removes first.
    /// * `from` is missing or expired: [`Missing`](Renamed::Missing).
    /// * `to` holds a live record: [`KeyTaken`](Renamed::KeyTaken), and nothing changes.
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed>;
}

/// A store that keeps every sentence of [`Store`], those on racing callers included: of callers that
/// race for one record exactly one wins, no write is lost, nothing that was removed comes back, and
/// an owner's limit and [`remove_owned`](Owners::remove_owned) hold whatever happens at the same time.
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
pub trait AtomicStore: Store + Owners + Listing {}
