//! [`Later`]: a store on which time passes without anybody waiting.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::key::Key;
use crate::record::{Lifetime, Meta, Owner, Record};
use crate::store::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced,
    Result, Store, Touch, Write,
};

/// A store that is used as it would be some time later, for the attacks that take a month.
///
/// The store below judges by its own clock, which cannot be moved. So each record is shown with so
/// much more on the clock as passed here since it was inserted, and a new lifetime is asked to be
/// longer by as much: whether a record is alive, and how old it is, still follows from the times that
/// the store keeps. For one caller at a time, and for what codes ask of a store.
pub(super) struct Later<S> {
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
impl<S: Store> Store for Later<S> {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let inserted = self.inner.insert(key, record).await?;
        if let Inserted::Done { .. } = inserted {
            let mut times = self.times.lock().expect("no test has failed under the lock");
            let passed = times.passed;
            times.inserted.insert(key.clone(), passed);
        }
        Ok(inserted)
    }

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        let Some(mut record) = self.inner.load(key, touch).await? else {
            return Ok(None);
        };
        record.meta.now = record.meta.now + self.age(key);
        if record.meta.expires_in().is_zero() {
            self.inner.take(key).await?;
            return Ok(None);
        }
        Ok(Some(record))
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        Ok(self.load(key, touch).await?.map(|record| record.meta))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let span = write.lifetime.map(|lifetime| lifetime.first() + self.age(key));
        let lifetime = span.map(|span| super::lifetime(Lifetime::absolute(span)));
        self.inner.replace(key, &Write { lifetime: lifetime.as_ref(), ..write.clone() }).await
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        self.inner.rename(from, to, renewal).await
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        self.inner.take(key).await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        self.inner.remove(key, condition).await
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        self.inner.owned(owner, limit).await
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.inner.remove_owned(owner, keep).await
    }

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

    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }
}

impl<S: AtomicStore> AtomicStore for Later<S> {}
