//! [`Later`]: a store on which time passes without a wait.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use token_session::store::{
    AtomicStore, Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Page,
    Removed, Replaced, Result, Store, Watch, Write,
};
use token_session::{Events, Key, Lifetime, Owner};

/// A store that is used as it would be some time later, for the attacks that take a month.
///
/// The store below judges by its own clock, which cannot be moved. So each record is shown with so
/// much more on the clock as passed here since it was inserted, and a new lifetime is asked to be
/// longer by as much: whether a record is alive, and how old it is, still follows from the times that
/// the store keeps. For one caller at a time, and for what codes ask of a store.
pub struct Later<S> {
    inner: S,
    times: Mutex<Times>,
}

#[derive(Default)]
struct Times {
    /// How much has passed.
    passed: Duration,
    /// How much had passed when a record was inserted.
    inserted: HashMap<Key, Duration>,
}

impl<S> Later<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, times: Mutex::default() }
    }

    pub fn pass(&self, time: Duration) {
        self.times.lock().expect("no test has failed under the lock").passed += time;
    }

    /// How much passed since a record was inserted.
    fn age(&self, key: &Key) -> Duration {
        let times = self.times.lock().expect("no test has failed under the lock");
        times.passed - times.inserted.get(key).copied().unwrap_or(times.passed)
    }
}

#[async_trait::async_trait]
impl<S: AtomicStore> Store for Later<S> {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let inserted = self.inner.insert(key, record).await?;
        if let Inserted::Done { .. } = inserted {
            let mut times = self.times.lock().expect("no test has failed under the lock");
            let passed = times.passed;
            times.inserted.insert(key.clone(), passed);
        }
        Ok(inserted)
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let Some(mut record) = self.inner.load(key, load).await?.live() else {
            return Ok(Found::Missing);
        };
        record.meta.now = record.meta.now + self.age(key);
        if record.meta.expires_in().is_zero() {
            self.inner.remove(key, Condition::Always, false).await?;
            return Ok(Found::Missing);
        }
        Ok(Found::Current(record))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let span = write.lifetime.map(|lifetime| lifetime.first() + self.age(key));
        let lifetime = span.map(|span| Lifetime::absolute(span).expect("a month is a timeout"));
        self.inner.replace(key, &Write { lifetime: lifetime.as_ref(), ..write.clone() }).await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        self.inner.remove(key, condition, hand_out).await
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.inner.alive(keys).await
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
        self.inner.partitions()
    }

    fn keeps_plain_ids(&self) -> bool {
        false
    }

    fn attach(&self, events: &Events) {
        self.inner.attach(events);
    }
}

#[async_trait::async_trait]
impl<S: AtomicStore> Owners for Later<S> {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        self.inner.owned(owner, after, limit, with_data).await
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.inner.remove_owned(owner, keep).await
    }
}

#[async_trait::async_trait]
impl<S: AtomicStore> Listing for Later<S> {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.inner.scan(after, limit).await
    }

    async fn count(&self) -> Result<u64> {
        self.inner.count().await
    }

    async fn clear(&self) -> Result<()> {
        self.inner.clear().await
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        self.inner.sweep(limit).await
    }
}

impl<S: AtomicStore> AtomicStore for Later<S> {}
