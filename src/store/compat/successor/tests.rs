//! Two stores as one, on stores in memory.

mod at_once;
mod both;
mod interrupted;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::manager::TokenSession;
use crate::record::Lifetime;
use crate::store::{ManualClock, Memory, StoreError};
use crate::token::Token;

const MINUTE: Duration = Duration::from_secs(60);

/// A store in memory, as one of Node's or as a new one, which others interrupt at every step and
/// which breaks down at one.
#[derive(Clone, Default)]
struct Fragile {
    memory: Memory,
    faults: Arc<Faults>,
}

/// Operations are counted through both stores.
#[derive(Default)]
struct Faults {
    count: AtomicUsize,
    /// The operation that fails, counted from one, and whether it has been done all the same. Zero:
    /// none.
    at: AtomicUsize,
    after: bool,
    /// Whether a failure says that nothing was done.
    is_full: bool,
    /// Whether a write that is done is denied, as by a client that has sent it twice.
    denies: AtomicBool,
}

impl Faults {
    fn heal(&self) {
        self.at.store(0, Ordering::Relaxed);
    }
}

impl Fragile {
    async fn run<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::task::yield_now().await;
        let Faults { count, at, after, is_full, .. } = &*self.faults;
        let kind = if *is_full { StoreErrorKind::Full } else { StoreErrorKind::Unavailable };
        let now = count.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = (now == at.load(Ordering::Relaxed)).then(|| StoreError::new(kind, "broken"));
        match fault {
            Some(fault) if !after => Err(fault),
            Some(fault) => operation.await.and(Err(fault)),
            None => {
                let answer = operation.await;
                tokio::task::yield_now().await;
                answer
            }
        }
    }
}

#[async_trait::async_trait]
impl Store for Fragile {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        self.run(self.memory.insert(key, record)).await
    }
    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        self.run(self.memory.load(key, touch)).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        self.run(self.memory.touch(key, touch)).await
    }
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let replaced = self.run(self.memory.replace(key, write)).await?;
        let is_denied = self.faults.denies.swap(false, Ordering::Relaxed);
        Ok(if is_denied { Replaced::Conflict } else { replaced })
    }
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        self.run(self.memory.rename(from, to, renewal)).await
    }
    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        self.run(self.memory.take(key)).await
    }
    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        self.run(self.memory.remove(key, condition)).await
    }
    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        self.run(self.memory.owned(owner, limit)).await
    }
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.run(self.memory.remove_owned(owner, keep)).await
    }
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.run(self.memory.scan(after, limit)).await
    }
    async fn count(&self) -> Result<u64> {
        self.memory.count().await
    }
    async fn clear(&self) -> Result<()> {
        self.memory.clear().await
    }
    async fn sweep(&self, limit: usize) -> Result<usize> {
        self.memory.sweep(limit).await
    }
}

impl AtomicStore for Fragile {}
impl crate::store::compat::sealed::Sealed for Fragile {
    async fn scan_for_mover(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.scan(after, limit).await
    }
}
impl NodeStore for Fragile {}

type Both = Successor<Fragile, Fragile>;

fn stores_on(clock: &ManualClock, faults: &Arc<Faults>) -> Both {
    let fragile = || Fragile {
        memory: Memory::builder().clock(clock.clone()).build(),
        faults: Arc::clone(faults),
    };
    let owner = |record: &Record| Owner::new(str::from_utf8(&record.data).ok()?).ok();
    Successor::new(fragile(), fragile()).owner(owner).unwrap()
}

fn stores() -> (ManualClock, Both) {
    let clock = ManualClock::default();
    let store = stores_on(&clock, &Arc::default());
    (clock, store)
}

fn idle() -> Lifetime {
    Lifetime::idle(MINUTE).unwrap()
}

/// The key of a session in these stores: with an id that nobody could guess.
fn key_of(name: &str) -> Key {
    Key::with_plain_id(&format!("{name}-zcM2Gl1Bi74mNZtjVhHv"))
}

async fn put(store: &Fragile, name: &str, lifetime: Lifetime) -> Key {
    put_under(store, key_of(name), lifetime).await
}

async fn put_under(store: &Fragile, key: Key, lifetime: Lifetime) -> Key {
    store.memory.insert(&key, &NewRecord::new("1", lifetime)).await.unwrap();
    key
}

async fn move_all(store: &Both) -> Moved {
    let moved = store.move_page(None, 100).await.unwrap();
    assert!(moved.next.is_none());
    moved
}

async fn data(store: &impl Store, key: &Key) -> Option<bytes::Bytes> {
    store.load(key, Touch::No).await.unwrap().map(|record| record.data)
}
