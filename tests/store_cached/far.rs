//! A far store that application servers share: it counts what it is asked, can hold an answer back,
//! and tells of changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use token_session::store::{
    Change, Condition, Found, Inserted, Listing, Load, ManualClock, Memory, Moves, NewRecord,
    Owners, Removed, Replaced, Result, Store, Tell, Watch, Watching, Write,
};
use token_session::{Events, Key, Lifetime, Owner};
use tokio::sync::{Mutex as Gate, MutexGuard as Closed};

pub const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

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

    /// Lets loads of data and removals that hand nothing out be done, and not be answered before the guard is dropped.
    pub async fn hold_answers(&self) -> Closed<'_, ()> {
        self.0.answers.lock().await
    }

    /// Tells every watcher.
    pub fn tell(&self, change: &Change) {
        self.0.told.lock().unwrap().iter().for_each(|tell| tell(change.clone()));
    }
}

#[async_trait::async_trait]
impl Watch for Far {
    async fn watch(&self, tell: Tell) -> Result<Watching> {
        self.0.told.lock().unwrap().push(tell);
        Ok(Watching::until_dropped(()))
    }
}

#[async_trait::async_trait]
impl Store for Far {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        self.0.memory.insert(key, record).await
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        let found = self.0.memory.load(key, load).await;
        if load.with_data {
            let _open = self.0.answers.lock().await;
        }
        found
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        self.0.memory.replace(key, write).await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let removed = self.0.memory.remove(key, condition, hand_out).await;
        if !hand_out {
            let _open = self.0.answers.lock().await;
        }
        removed
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.0.memory.alive(keys).await
    }

    fn owners(&self) -> Option<&dyn Owners> {
        self.0.memory.owners()
    }

    fn listing(&self) -> Option<&dyn Listing> {
        self.0.memory.listing()
    }

    fn watch(&self) -> Option<&dyn Watch> {
        Some(self)
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
        self.0.memory.attach(events);
    }
}

pub fn key(number: u8) -> Key {
    Key::from_bytes([number; 16])
}

pub async fn put(store: &impl Store, key: &Key, owner: Option<&Owner>) {
    let lifetime = Lifetime::idle(HOUR).unwrap();
    let record = NewRecord { owner, ..NewRecord::new("data", lifetime) };
    assert_eq!(store.insert(key, &record).await.unwrap(), Inserted::Done { evicted: vec![] });
}

pub async fn data(store: &impl Store, key: &Key) -> Option<bytes::Bytes> {
    store.load(key, &Load::new()).await.unwrap().live().map(|record| record.data)
}

/// Ends the record without an answer that could be held back.
pub async fn end(far: &Far, key: &Key) {
    far.0.memory.remove(key, Condition::Always, false).await.unwrap();
}

pub async fn count(far: &Far) -> u64 {
    far.0.memory.count().await.unwrap()
}
