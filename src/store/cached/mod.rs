//! [`Cached`]: hot sessions in this process, in front of another store.

mod entries;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::entries::{Bucket, Entries};
use super::{
    Change, Clock, Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners,
    Page, Removed, Renamed, Renewal, Replaced, Result, Store, StoreError, StoreErrorKind,
    SystemClock, Watch, Watching, Write,
};
use crate::event::Events;
use crate::key::Key;
use crate::record::{Owner, Record};

/// The longest staleness.
const LONGEST: Duration = Duration::from_secs(60);

/// Keeps hot records of another store in this process, each for a second by default, so most requests of a
/// busy client cost no round trip. Everything else goes to the other store. A clone is the same cache.
///
/// ```
/// use token_session::TokenSession;
/// use token_session::store::{Cached, Memory};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let inner = Memory::new();
/// let sessions = TokenSession::<String>::builder().store(Cached::new(inner)).build()?;
/// # Ok(()) }
/// ```
///
/// # How stale can a record be?
/// * **Changes by this process** are seen at once: a session that was ended or written here is loaded
///   again, whatever loads were under way. A change whose caller hung up may take place later; it is
///   seen like a change by another server.
/// * **Changes by another application server** are seen within [`staleness`](CachedBuilder::staleness):
///   until then a session that was ended there may be served here.
/// * **Where the other store can tell** ([`Watch`]), changes are seen as soon as the notification arrives,
///   usually within milliseconds; see [`CachedBuilder::watch`]. The bound above still applies, including
///   while the notification connection is down.
/// * **An expired session is never served**: its end is cached with it. A touch reaches the other store as
///   soon as it is due.
/// * **A new token works at once**: a claim that does not fit the cached record goes to the other store.
///
/// So the [contract](Store) holds within a process; for changes by other processes it holds after that
/// delay. That is why this is not an [`AtomicStore`](super::AtomicStore), even in front of one: give
/// one-time codes the other store itself.
///
/// # What does an operation cost?
/// A load or touch of what is cached costs no round trip: 0.14 µs, where a load from the memory store
/// took 0.10 µs, and one from Redis over loopback 14 µs. Any other operation costs what it costs the
/// other store.
#[derive(Clone)]
pub struct Cached(Arc<Inner>);

struct Inner {
    inner: Arc<dyn Store>,
    entries: Arc<Entries>,
    /// Watches the other store as long as there is a cache.
    _watching: Option<Watching>,
}

impl Cached {
    /// A cache in front of this store, with the default settings.
    pub fn new(inner: impl Store) -> Self {
        Self::builder(inner).finish()
    }

    /// Settings other than the defaults.
    pub fn builder(inner: impl Store) -> CachedBuilder {
        CachedBuilder {
            inner: Arc::new(inner),
            staleness: Duration::from_secs(1),
            capacity: 10_000,
            clock: Box::new(SystemClock::new()),
        }
    }

    /// The store behind it.
    pub fn inner(&self) -> &Arc<dyn Store> {
        &self.0.inner
    }

    /// How many records are cached now, including those too old to be served.
    pub fn held(&self) -> usize {
        self.0.entries.held()
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
        let Inner { inner, entries, .. } = &*self.0;
        let _invalidate = entries.invalidate_around([Bucket::of(key)]);
        let inserted = inner.insert(key, record).await?;
        if let Inserted::Done { evicted } = &inserted {
            evicted.iter().for_each(|key| entries.invalidate(Bucket::of(key)));
        }
        Ok(inserted)
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let Inner { inner, entries, .. } = &*self.0;
        if let Some(record) = entries.get(key, load) {
            return Ok(Found::Current(record));
        }
        let asked = entries.ask();
        let found = inner.load(key, load).await?;
        match &found {
            Found::Current(record) if load.with_data => entries.put(key, record, asked),
            // What is cached is from before the touch or the confirmation.
            Found::Current(record) | Found::Previous(record) if is_just_changed(record) => {
                entries.invalidate(Bucket::of(key));
            }
            _ => {}
        }
        Ok(found)
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let _invalidate = self.0.entries.invalidate_around([Bucket::of(key)]);
        self.0.inner.replace(key, write).await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let _invalidate = self.0.entries.invalidate_around([Bucket::of(key)]);
        self.0.inner.remove(key, condition, hand_out).await
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.0.inner.alive(keys).await
    }

    fn owners(&self) -> Option<&dyn Owners> {
        self.0.inner.owners().map(|_| self as _)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        self.0.inner.listing().map(|_| self as _)
    }

    fn watch(&self) -> Option<&dyn Watch> {
        self.0.inner.watch()
    }

    fn moves(&self) -> Option<&dyn Moves> {
        self.0.inner.moves().map(|_| self as _)
    }

    fn partitions(&self) -> u16 {
        self.0.inner.partitions()
    }

    fn keeps_plain_ids(&self) -> bool {
        self.0.inner.keeps_plain_ids()
    }

    fn attach(&self, events: &Events) {
        self.0.inner.attach(events);
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
        known(self.0.inner.owners())?.owned(owner, after, limit, with_data).await
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let _invalidate = self.0.entries.invalidate_around([Bucket::of_owner(owner)]);
        known(self.0.inner.owners())?.remove_owned(owner, keep).await
    }
}

#[async_trait::async_trait]
impl Listing for Cached {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        known(self.0.inner.listing())?.scan(after, limit).await
    }

    async fn count(&self) -> Result<u64> {
        known(self.0.inner.listing())?.count().await
    }

    async fn clear(&self) -> Result<()> {
        let _invalidate = self.0.entries.invalidate_around([Bucket::ALL]);
        known(self.0.inner.listing())?.clear().await
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        known(self.0.inner.listing())?.sweep(limit).await
    }
}

#[async_trait::async_trait]
impl Moves for Cached {
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let _invalidate = self.0.entries.invalidate_around([Bucket::of(from), Bucket::of(to)]);
        known(self.0.inner.moves())?.rename(from, to, renewal).await
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
    inner: Arc<dyn Store>,
    staleness: Duration,
    capacity: usize,
    clock: Box<dyn Clock>,
}

impl CachedBuilder {
    /// How long a record is served after the other store was asked for it: 1 second by default, at most a
    /// minute. A session that another application server has ended may live on here this long. Zero: every
    /// load asks the other store.
    pub fn staleness(mut self, staleness: Duration) -> Self {
        self.staleness = staleness;
        self
    }

    /// The maximum number of cached records: 10,000 by default. Each takes the space of its data and about
    /// 500 bytes. A full cache takes no others until some are too old. Zero: nothing is cached.
    pub fn capacity(mut self, records: usize) -> Self {
        self.capacity = records;
        self
    }

    /// The clock that measures a record's age. Default: a [`SystemClock`].
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

    /// The store. It forgets a record as soon as the other store tells that it changed.
    ///
    /// # Errors
    /// As [`build`](Self::build), those of [`Watch::watch`], and
    /// [`Refused`](StoreErrorKind::Refused) for a store that cannot tell.
    pub async fn watch(self) -> Result<Cached> {
        self.check()?;
        let entries = Arc::new(Entries::new(self.staleness, self.capacity, self.clock));
        let told = Arc::clone(&entries);
        let watch = self.inner.watch().ok_or_else(|| {
            let message = "the store behind the cache cannot tell what was changed; build the cache \
                           without `watch`, and give it a short staleness";
            StoreError::new(StoreErrorKind::Refused, message)
        })?;
        let watching = watch.watch(Arc::new(move |change| match change {
            Change::Record(key) => told.invalidate(Bucket::of(&key)),
            Change::Owner(owner) => told.invalidate(Bucket::of_owner(&owner)),
            Change::Any => told.invalidate(Bucket::ALL),
        }));
        let watching = Some(watching.await?);
        Ok(Cached(Arc::new(Inner { inner: self.inner, entries, _watching: watching })))
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
        let entries = Arc::new(Entries::new(self.staleness, self.capacity, self.clock));
        Cached(Arc::new(Inner { inner: self.inner, entries, _watching: None }))
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
