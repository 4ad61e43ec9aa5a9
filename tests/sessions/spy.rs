//! A store that counts what is asked of it, and fails when told to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use token_session::store::{
    AtomicStore, Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Page,
    Removed, Replaced, Result, Store, StoreError, StoreErrorKind, Watch, Write,
};
use token_session::{Events, Key, Owner};

#[derive(Default)]
pub struct Spy<S> {
    pub inner: S,
    calls: AtomicUsize,
    down: AtomicBool,
    /// The call from now on that fails; none: zero.
    failing: AtomicUsize,
}

impl<S> Spy<S> {
    pub fn new(inner: S) -> Self {
        let (calls, failing) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { inner, calls, down: AtomicBool::new(false), failing }
    }

    /// The calls since this was last asked.
    pub fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::SeqCst)
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Has one call fail: the next one is the first.
    pub fn fail_call(&self, nth: usize) {
        self.failing.store(nth, Ordering::SeqCst);
    }

    fn call(&self) -> Result<&S> {
        // Read first: who sees that it was called may set it for the next call.
        let one_less = |left: usize| left.checked_sub(1);
        let left = self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        let fails = left == Ok(1) || self.down.load(Ordering::SeqCst);
        self.calls.fetch_add(1, Ordering::SeqCst);
        if fails {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the spy plays dead"));
        }
        Ok(&self.inner)
    }
}

#[async_trait::async_trait]
impl<S: AtomicStore> Store for Spy<S> {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        self.call()?.insert(key, record).await
    }
    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let inner = self.call()?;
        // Whatever else the request does may come in between, as on a store that is far away.
        tokio::task::yield_now().await;
        inner.load(key, load).await
    }
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        self.call()?.replace(key, write).await
    }
    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        self.call()?.remove(key, condition, hand_out).await
    }
    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.call()?.alive(keys).await
    }
    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }
    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }
    fn watch(&self) -> Option<&dyn Watch> {
        self.inner.watch()
    }
    fn moves(&self) -> Option<&dyn Moves> {
        self.inner.moves()
    }
    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }
    fn keeps_plain_ids(&self) -> bool {
        self.inner.keeps_plain_ids()
    }
    fn attach(&self, events: &Events) {
        self.inner.attach(events);
    }
}

#[async_trait::async_trait]
impl<S: AtomicStore> Owners for Spy<S> {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        self.call()?.owned(owner, after, limit, with_data).await
    }
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.call()?.remove_owned(owner, keep).await
    }
}

#[async_trait::async_trait]
impl<S: AtomicStore> Listing for Spy<S> {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.call()?.scan(after, limit).await
    }
    async fn count(&self) -> Result<u64> {
        self.call()?.count().await
    }
    async fn clear(&self) -> Result<()> {
        self.call()?.clear().await
    }
    async fn sweep(&self, limit: usize) -> Result<usize> {
        self.call()?.sweep(limit).await
    }
}

impl<S: AtomicStore> AtomicStore for Spy<S> {}
