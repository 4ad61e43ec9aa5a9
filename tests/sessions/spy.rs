//! A store that counts what is asked of it, and fails when told to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use token_session::store::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced,
    Result, Store, StoreError, StoreErrorKind, Touch, Write,
};
use token_session::{Events, Key, Meta, Owner, Record};

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
impl<S: Store> Store for Spy<S> {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        self.call()?.insert(key, record).await
    }
    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        let inner = self.call()?;
        // Whatever else the request does may come in between, as on a store that is far away.
        tokio::task::yield_now().await;
        inner.load(key, touch).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        self.call()?.touch(key, touch).await
    }
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        self.call()?.replace(key, write).await
    }
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        self.call()?.rename(from, to, renewal).await
    }
    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        self.call()?.take(key).await
    }
    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        self.call()?.remove(key, condition).await
    }
    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        self.call()?.owned(owner, limit).await
    }
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.call()?.remove_owned(owner, keep).await
    }
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
    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }
    fn attach(&self, events: &Events) {
        self.inner.attach(events);
    }
}

impl<S: AtomicStore> AtomicStore for Spy<S> {}
