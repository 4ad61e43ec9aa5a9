//! [`Cached`]: hot sessions in this process, in front of another store.

mod near;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::near::{Near, Part};
use super::{
    Change, Clock, Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners,
    Page, Removed, Renamed, Renewal, Replaced, Result, Store, StoreError, StoreErrorKind,
    SystemClock, Watch, Watching, Write,
};
use crate::event::Events;
use crate::key::Key;
use crate::record::{Owner, Record};

/// The longest that a record may be served.
const LONGEST: Duration = Duration::from_secs(60);

/// Keeps hot records of another store in this process, each for a second by default, so that most
/// requests of a busy client cost no round trip. All else goes to the other store, and a clone is the
/// same cache.
///
/// ```
/// use token_session::TokenSession;
/// use token_session::store::{Cached, Memory};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let far = Memory::new();
/// let sessions = TokenSession::<String>::builder().store(Cached::new(far)).build()?;
/// # Ok(()) }
/// ```
///
/// # How stale can a record be?
/// * **What this process did** is seen at once: a session that was ended or written here is asked for
///   anew, whatever loads were under way. A change whose caller hung up may take place later: it is
///   seen as another server's is.
/// * **What another application server did** is seen within [`staleness`](CachedBuilder::staleness):
///   for so long a session may be served here after it was ended there.
/// * **Where the other store can tell** ([`Watch`]), it is seen as soon as that arrives, as a rule in
///   milliseconds; [`CachedBuilder::watch`]. The bound above holds all the same, as long as the
///   connection is lost too.
/// * **An expired session is never served**: its end is part of what is cached. It is touched in the
///   other store as soon as that is due.
///
/// So the [contract](Store) holds within a process, and for what other processes do it holds so much
/// later. That is why this is no [`AtomicStore`](super::AtomicStore), even on one that is: give
/// one-time codes the other store itself.
///
/// # What does an operation cost?
/// A load or touch of what is cached costs no round trip: 0.14 µs, where a load from the memory store
/// took 0.10 µs, and one from Redis over loopback 14 µs. Any other operation costs what it costs the
/// other store.
#[derive(Clone)]
pub struct Cached(Arc<Inner>);

struct Inner {
    far: Arc<dyn Store>,
    near: Arc<Near>,
    /// Watches the other store as long as there is a cache.
    _watching: Option<Watching>,
}

impl Cached {
    /// A cache in front of this store, with the default settings.
    pub fn new(far: impl Store) -> Self {
        Self::builder(far).finish()
    }

    /// Settings other than the defaults.
    pub fn builder(far: impl Store) -> CachedBuilder {
        CachedBuilder {
            far: Arc::new(far),
            staleness: Duration::from_secs(1),
            capacity: 10_000,
            clock: Box::new(SystemClock::new()),
        }
    }

    /// The store behind it.
    pub fn far(&self) -> &Arc<dyn Store> {
        &self.0.far
    }

    /// How many records are cached now, those that are too old to be served included.
    pub fn held(&self) -> usize {
        self.0.near.held()
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("held", &self.held()).finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Store for Cached {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let Inner { far, near, .. } = &*self.0;
        let _forgetting = near.forget_after([Part::of(key)]);
        let inserted = far.insert(key, record).await?;
        if let Inserted::Done { evicted } = &inserted {
            evicted.iter().for_each(|key| near.forget(Part::of(key)));
        }
        Ok(inserted)
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let Inner { far, near, .. } = &*self.0;
        if let Some(record) = near.get(key, load) {
            return Ok(Found::Current(record));
        }
        let asked = near.ask();
        let found = far.load(key, load).await?;
        match &found {
            Found::Current(record) if load.with_data => near.put(key, record, asked),
            // What is cached is from before the touch or the confirmation.
            Found::Current(record) | Found::Previous(record) if is_just_changed(record) => {
                near.forget(Part::of(key));
            }
            _ => {}
        }
        Ok(found)
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let _forgetting = self.0.near.forget_after([Part::of(key)]);
        self.0.far.replace(key, write).await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let _forgetting = self.0.near.forget_after([Part::of(key)]);
        self.0.far.remove(key, condition, hand_out).await
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.0.far.alive(keys).await
    }

    fn owners(&self) -> Option<&dyn Owners> {
        self.0.far.owners().map(|_| self as _)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        self.0.far.listing().map(|_| self as _)
    }

    fn watch(&self) -> Option<&dyn Watch> {
        self.0.far.watch()
    }

    fn moves(&self) -> Option<&dyn Moves> {
        self.0.far.moves().map(|_| self as _)
    }

    fn partitions(&self) -> u16 {
        self.0.far.partitions()
    }

    fn keeps_plain_ids(&self) -> bool {
        self.0.far.keeps_plain_ids()
    }

    fn attach(&self, events: &Events) {
        self.0.far.attach(events);
    }
}

#[async_trait::async_trait]
impl Owners for Cached {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        known(self.0.far.owners())?.owned(owner, after, limit, with_data).await
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let _forgetting = self.0.near.forget_after([Part::of_owner(owner)]);
        known(self.0.far.owners())?.remove_owned(owner, keep).await
    }
}

#[async_trait::async_trait]
impl Listing for Cached {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        known(self.0.far.listing())?.scan(after, limit).await
    }

    async fn count(&self) -> Result<u64> {
        known(self.0.far.listing())?.count().await
    }

    async fn clear(&self) -> Result<()> {
        let _forgetting = self.0.near.forget_after([Part::ALL]);
        known(self.0.far.listing())?.clear().await
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        known(self.0.far.listing())?.sweep(limit).await
    }
}

#[async_trait::async_trait]
impl Moves for Cached {
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let _forgetting = self.0.near.forget_after([Part::of(from), Part::of(to)]);
        known(self.0.far.moves())?.rename(from, to, renewal).await
    }
}

/// Whether the load that has brought this record has touched or confirmed it.
fn is_just_changed(record: &Record) -> bool {
    let confirmed_at = record.proofs.previous.as_ref().and_then(|previous| previous.confirmed_at);
    record.meta.last_seen == record.meta.now || confirmed_at == Some(record.meta.now)
}

/// What the other store can do, and so this one. Only a store that changes its mind fails here.
fn known<P: ?Sized>(part: Option<&P>) -> Result<&P> {
    part.ok_or_else(|| {
        let message = "the store behind the cache cannot do any more what it could; restart it";
        StoreError::new(StoreErrorKind::Refused, message)
    })
}

/// Settings of a [`Cached`] store.
///
/// ```
/// use std::time::Duration;
/// use token_session::store::{Cached, Memory};
///
/// let store = Cached::builder(Memory::new()).staleness(Duration::from_secs(5)).build()?;
/// # Ok::<(), token_session::store::StoreError>(())
/// ```
#[must_use = "nothing is made before `build` or `watch`"]
pub struct CachedBuilder {
    far: Arc<dyn Store>,
    staleness: Duration,
    capacity: usize,
    clock: Box<dyn Clock>,
}

impl CachedBuilder {
    /// For how long a record is served after the other store was asked for it: 1 second by default,
    /// at most a minute. So long may a session live on here that another application server has
    /// ended. Zero: every load asks the other store.
    pub fn staleness(mut self, staleness: Duration) -> Self {
        self.staleness = staleness;
        self
    }

    /// How many records are cached at most: 10,000 by default. Each takes the space of its data, and
    /// some 300 bytes. When it is full, others are not cached until some are too old. Zero: none is.
    pub fn capacity(mut self, records: usize) -> Self {
        self.capacity = records;
        self
    }

    /// What a record's age is measured by. Default: a [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// The store.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a staleness of more than a minute.
    pub fn build(self) -> Result<Cached> {
        self.check()?;
        Ok(self.finish())
    }

    /// The store, which forgets at once what the other one says was changed.
    ///
    /// # Errors
    /// As [`build`](Self::build), those of [`Watch::watch`], and
    /// [`Refused`](StoreErrorKind::Refused) for a store that cannot tell.
    pub async fn watch(self) -> Result<Cached> {
        self.check()?;
        let near = Arc::new(Near::new(self.staleness, self.capacity, self.clock));
        let told = Arc::clone(&near);
        let watch = self.far.watch().ok_or_else(|| {
            let message = "the store behind the cache cannot tell what was changed; build the cache \
                           without `watch`, and give it a short staleness";
            StoreError::new(StoreErrorKind::Refused, message)
        })?;
        let watching = watch.watch(Arc::new(move |change| match change {
            Change::Record(key) => told.forget(Part::of(&key)),
            Change::Owner(owner) => told.forget(Part::of_owner(&owner)),
            Change::Any => told.forget(Part::ALL),
        }));
        let watching = Some(watching.await?);
        Ok(Cached(Arc::new(Inner { far: self.far, near, _watching: watching })))
    }

    fn check(&self) -> Result<()> {
        if self.staleness <= LONGEST {
            return Ok(());
        }
        let (given, longest) = (self.staleness, LONGEST);
        let message = format!(
            "a session that was ended must not live on for {given:?}; give at most {longest:?}"
        );
        Err(StoreError::new(StoreErrorKind::Refused, message))
    }

    fn finish(self) -> Cached {
        let near = Arc::new(Near::new(self.staleness, self.capacity, self.clock));
        Cached(Arc::new(Inner { far: self.far, near, _watching: None }))
    }
}

impl fmt::Debug for CachedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedBuilder")
            .field("staleness", &self.staleness)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
