//! [`Memory`], the store of a single process.

mod clock;
mod entry;
mod insert;
mod listing;
mod owners;
mod queue;
mod records;
mod slots;
mod space;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::clock::{Clock, ManualClock, SystemClock};
use self::entry::Entry;
use self::insert::Full;
use self::queue::Place;
use self::records::Records;
use self::slots::Slot;
use super::{
    AtomicStore, Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Page,
    Removed, Replaced, Result, Store, StoreError, StoreErrorKind, Watch, Write,
};
use crate::event::Events;
use crate::key::Key;
use crate::record::Owner;

/// How many locks the owners have, and as many the expiry queue: enough that two cores rarely want the
/// same one.
const SHARDS: usize = 64;

/// How many records an operation looks at before it yields its worker, and the most that it looks at
/// under one lock.
const LOOKS: usize = 1_000;

/// Keeps sessions in this process: the default. They end with it, and another process does not see
/// them. A clone is the same store.
///
/// * **What waits?** Loading, touching and writing a live session take no lock; readers never wait
///   for each other, nor for writers. A call that begins or ends sessions waits for a moment where
///   another such call works on the same 64th of the owners or of the keys.
/// * **What grows?** Only live sessions take space for long. Each insert frees the space of a few
///   expired sessions, a load frees an expired one that it finds, and [`sweep`](Listing::sweep) frees
///   the rest. The store then tells [`Expired`](crate::Event::Expired). Call `sweep` now and then where
///   logins come in bursts. You can set [a cap](MemoryBuilder::capacity).
/// * **How long does an operation hold its worker?** It looks at 1,000 sessions at most, and then
///   lets other tasks run before it goes on. A full listing, a count, a clear and a sweep without a
///   limit look at each session once. `sweep(n)` looks at `n` and 1,000 more, so it may free less
///   than possible where most sessions were touched. [`remove_owned`](Owners::remove_owned) is one
///   write; it frees the space of 1,000 sessions, and inserts and sweeps free that of the others.
///   A list of more than 1,000 of an owner's sessions is made in several steps, and so shows what
///   changes between them.
/// * **What if two things happen at once?** It is as if one came after the other. Two operations
///   can be seen half done for a moment, and neither brings back an ended session: an insert beyond its
///   owner's limit, while the newcomer is alive and some of the oldest are not yet gone, and a
///   [`clear`](Listing::clear), record by record.
///
/// ```
/// use token_session::store::{Listing, Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Memory::new();
/// assert_eq!(store.count().await?, 0);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    records: Records,
    clock: Box<dyn Clock>,
}

impl Memory {
    /// A store without a cap, on the system's clock.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A store with options.
    pub fn builder() -> MemoryBuilder {
        MemoryBuilder { capacity: usize::MAX, when_full: WhenFull::Refuse, clock: None }
    }

    /// How many records take space now: the live ones, and the expired ones that were not swept. Meant
    /// for a gauge; it costs one atomic load.
    pub fn held(&self) -> usize {
        self.0.records.held()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("held", &self.held()).finish_non_exhaustive()
    }
}

/// Options of a [`Memory`] store.
///
/// ```
/// use token_session::store::{Memory, WhenFull};
///
/// let store = Memory::builder()
///     .capacity(1_000_000)
///     .when_full(WhenFull::EvictNearestExpiry)
///     .build();
/// ```
pub struct MemoryBuilder {
    capacity: usize,
    when_full: WhenFull,
    clock: Option<Box<dyn Clock>>,
}

impl MemoryBuilder {
    /// How many sessions it holds at most. Default: as many as the machine's memory holds. With 0 it
    /// holds none: every insert fails with [`Full`](StoreErrorKind::Full), whatever
    /// [`when_full`](Self::when_full) says.
    #[must_use]
    pub fn capacity(self, sessions: usize) -> Self {
        Self { capacity: sessions, ..self }
    }

    /// What happens to one session more. Default: [`WhenFull::Refuse`].
    #[must_use]
    pub fn when_full(self, policy: WhenFull) -> Self {
        Self { when_full: policy, ..self }
    }

    /// The clock that it uses. Default: a [`SystemClock`].
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Box::new(clock)), ..self }
    }

    /// The store.
    pub fn build(self) -> Memory {
        Memory(Arc::new(Inner {
            records: Records::new(self.capacity, self.when_full),
            clock: self.clock.unwrap_or_else(|| Box::new(SystemClock::new())),
        }))
    }
}

impl fmt::Debug for MemoryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBuilder")
            .field("capacity", &self.capacity)
            .field("when_full", &self.when_full)
            .finish_non_exhaustive()
    }
}

/// What happens to one session more than the [capacity](MemoryBuilder::capacity), when no expired one
/// is found.
///
/// An insert looks for expired sessions among the first 16,000 of the expiry queue, where a touched
/// session stays at its earlier time until it comes up. Behind that many touched ones an expired
/// session is not found at once: the insert is refused, and later ones look further.
///
/// ```
/// use token_session::store::{Memory, NewRecord, Store, StoreErrorKind};
/// use token_session::{Key, Lifetime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Memory::builder().capacity(1).build();
/// let record = NewRecord::new("data", Lifetime::idle_secs(60)?);
/// store.insert(&Key::from_bytes([1; 16]), &record).await?;
/// let refused = store.insert(&Key::from_bytes([2; 16]), &record).await.unwrap_err();
/// assert_eq!(refused.kind(), StoreErrorKind::Full);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused with an error of kind [`Full`](StoreErrorKind::Full), and no login ends another
    /// user's session. The default.
    #[default]
    Refuse,
    /// The session that would expire next ends, and the store tells
    /// [`Destroyed`](crate::Event::Destroyed). Where more than 1,000 touched sessions come
    /// before it in the queue, the next of those 1,000 ends instead.
    EvictNearestExpiry,
}

#[async_trait::async_trait]
impl Store for Memory {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let inserted = self.0.records.insert(key, record, self.0.clock.now()).await;
        inserted.map_err(|Full| {
            let message = match self.0.records.capacity {
                0 => {
                    "the memory store has a capacity of 0, so it takes no session; raise it".into()
                }
                capacity => format!(
                    "the memory store holds {capacity} sessions, its capacity; \
                     wait until some end, raise it, or have it evict the nearest expiry"
                ),
            };
            StoreError::new(StoreErrorKind::Full, message)
        })
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        Ok(self.0.records.load(key, load, self.0.clock.now()))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        Ok(self.0.records.replace(key, write, self.0.clock.now()))
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        Ok(self.0.records.remove(key, condition, hand_out, self.0.clock.now()))
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        Ok(self.0.records.alive(keys, self.0.clock.now()))
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
        self.0.records.listeners().attach(events);
    }
}

#[async_trait::async_trait]
impl Owners for Memory {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        let before = after.map_or(Ok(u64::MAX), turn_of)?;
        let now = self.0.clock.now();
        let view = |key: &Key, entry: &Entry| (key.clone(), entry.answered(with_data, now));
        let (records, next) = self.0.records.owned(owner, before, limit, now, view).await;
        let next = next.map(|turn| Cursor::new(turn.to_be_bytes()));
        Ok(Page { records, damaged: Vec::new(), next })
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.0.records.remove_owned(owner, keep, self.0.clock.now());
        Ok(())
    }
}

#[async_trait::async_trait]
impl Listing for Memory {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let from = after.map_or(Ok(Place::default()), place_of)?;
        let now = self.0.clock.now();
        let view = |key: &Key, entry: &Entry| (key.clone(), entry.answered(true, now));
        let (records, next) = self.0.records.scan(from, limit.max(1), now, view);
        Ok(Page { records, damaged: Vec::new(), next: next.map(cursor_at) })
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.0.records.count(self.0.clock.now()).await as u64)
    }

    async fn clear(&self) -> Result<()> {
        self.0.records.clear().await;
        Ok(())
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let looks = limit.saturating_add(LOOKS);
        Ok(self.0.records.sweep(limit, looks, self.0.clock.now()).await)
    }
}

fn turn_of(cursor: &Cursor) -> Result<u64> {
    let turn = <[u8; 8]>::try_from(cursor.as_bytes()).map(u64::from_be_bytes);
    turn.map_err(|_| foreign_cursor())
}

fn cursor_at(place: Place) -> Cursor {
    let [low, high] = (place.shard as u16).to_be_bytes();
    let [a, b, c, d] = place.slot.number().to_be_bytes();
    Cursor::new([low, high, a, b, c, d])
}

fn place_of(cursor: &Cursor) -> Result<Place> {
    match *cursor.as_bytes() {
        [low, high, a, b, c, d] => {
            let shard = usize::from(u16::from_be_bytes([low, high]));
            Ok(Place { shard, slot: Slot::new(u32::from_be_bytes([a, b, c, d])) })
        }
        _ => Err(foreign_cursor()),
    }
}

fn foreign_cursor() -> StoreError {
    let message = "the cursor is not one of this list of the memory store; begin without one";
    StoreError::new(StoreErrorKind::Refused, message)
}

/// No user code runs under a lock, so a panic leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AtomicStore for Memory {}
