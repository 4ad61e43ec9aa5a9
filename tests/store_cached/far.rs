//! A far store that application servers share: it counts what it is asked, can hold an answer back,
//! and tells of changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use token_session::store::{
    Change, Condition, Cursor, Inserted, ManualClock, Memory, NewRecord, Page, Removed, Renamed,
    Renewal, Replaced, Result, Store, Touch, Watch, Watching, Write,
};
use token_session::{Key, Lifetime, Meta, Owner, Record};
use tokio::sync::{Mutex as Gate, MutexGuard as Closed};

pub const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

type Tell = Box<dyn Fn(Change) + Send + Sync>;

/// Clones are connections to the same store.
#[derive(Clone)]
pub struct Far(Arc<Inner>);

struct Inner {
    memory: Memory,
    loads: AtomicUsize,
    answers: Gate<()>,
    told: Mutex<Vec<Tell>>,
}

impl std::fmt::Debug for Far {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Far")
    }
}

impl Far {
    pub fn new(clock: &ManualClock) -> Self {
        Self(Arc::new(Inner {
            memory: Memory::builder().clock(clock.clone()).build(),
            loads: AtomicUsize::new(0),
            answers: Gate::new(()),
            told: Mutex::default(),
        }))
    }

    /// How often it was asked for a record since the last question.
    pub fn loads(&self) -> usize {
        self.0.loads.swap(0, Ordering::SeqCst)
    }

    /// Lets loads, renames and removals be done, and not be answered before the guard is dropped.
    pub async fn hold_answers(&self) -> Closed<'_, ()> {
        self.0.answers.lock().await
    }

    /// Tells every watcher.
    pub fn tell(&self, change: &Change) {
        self.0.told.lock().unwrap().iter().for_each(|tell| tell(change.clone()));
    }
}

impl Watch for Far {
    async fn watch<F>(&self, tell: F) -> Result<Watching>
    where
        F: Fn(Change) + Send + Sync + 'static,
    {
        self.0.told.lock().unwrap().push(Box::new(tell));
        Ok(Watching::until_dropped(()))
    }
}

#[async_trait::async_trait]
impl Store for Far {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        self.0.memory.insert(key, record).await
    }

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        let found = self.0.memory.load(key, touch).await;
        let _open = self.0.answers.lock().await;
        found
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        self.0.memory.touch(key, touch).await
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        self.0.memory.replace(key, write).await
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let renamed = self.0.memory.rename(from, to, renewal).await;
        let _open = self.0.answers.lock().await;
        renamed
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        self.0.memory.take(key).await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        let removed = self.0.memory.remove(key, condition).await;
        let _open = self.0.answers.lock().await;
        removed
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        self.0.memory.owned(owner, limit).await
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.0.memory.remove_owned(owner, keep).await
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.0.memory.scan(after, limit).await
    }

    async fn count(&self) -> Result<u64> {
        self.0.memory.count().await
    }

    async fn clear(&self) -> Result<()> {
        self.0.memory.clear().await
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        self.0.memory.sweep(limit).await
    }
}

pub fn key(number: u8) -> Key {
    Key::from_bytes([number; 32])
}

pub async fn put(store: &impl Store, key: &Key, owner: Option<&Owner>) {
    let lifetime = Lifetime::idle(HOUR).unwrap();
    let record = NewRecord { owner, ..NewRecord::new("data", lifetime) };
    assert_eq!(store.insert(key, &record).await.unwrap(), Inserted::Done { evicted: vec![] });
}

pub async fn data(store: &impl Store, key: &Key) -> Option<bytes::Bytes> {
    store.load(key, Touch::No).await.unwrap().map(|record| record.data)
}
