//! A store that writes down what is asked of it, that may be far away, on which a process can die, and
//! on the way to which a write can be held back.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use token_session::store::{
    AtomicStore, Condition, Cursor, Found, Inserted, Listing, Load, Memory, Moves, NewRecord,
    Owners, Page, Removed, Replaced, Result, Store, StoreError, StoreErrorKind, Watch, Write,
};
use token_session::{Events, Key, Owner};
use tokio::sync::Barrier;

pub struct Watched {
    inner: Memory,
    partitions: u16,
    distance: Duration,
    calls: Mutex<Vec<String>>,
    /// How many more calls are answered.
    answered: AtomicUsize,
    /// After how many other writes over a record one is held back, and where it waits.
    held_back: Mutex<Option<(usize, Arc<Barrier>)>>,
}

impl Watched {
    pub fn new(inner: Memory) -> Self {
        Self::partitioned(inner, 1)
    }

    pub fn partitioned(inner: Memory, partitions: u16) -> Self {
        let answered = AtomicUsize::new(usize::MAX);
        let distance = Duration::ZERO;
        let (calls, held_back) = (Mutex::default(), Mutex::default());
        Self { inner, partitions, distance, calls, answered, held_back }
    }

    /// A call takes up to so long to arrive: time enough for others.
    pub fn distant(inner: Memory, distance: Duration) -> Self {
        Self { distance, ..Self::new(inner) }
    }

    /// The calls since this was last asked.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// So many calls are answered. The one after them takes place, but the process dies before the
    /// answer, and makes no other.
    pub fn die_after(&self, calls: usize) {
        self.calls();
        self.answered.store(calls, Ordering::SeqCst);
    }

    pub fn live_on(&self) {
        self.die_after(usize::MAX);
    }

    /// Runs `late`, and holds back its last write over a record, of which `others` come before,
    /// until `meanwhile` is over.
    pub async fn hold_back<R>(
        &self,
        others: usize,
        late: impl Future<Output = R>,
        meanwhile: impl Future<Output = ()>,
    ) -> R {
        let gate = Arc::new(Barrier::new(2));
        *self.held_back.lock().unwrap() = Some((others, gate.clone()));
        let both = async {
            tokio::join!(late, async {
                gate.wait().await;
                meanwhile.await;
                gate.wait().await;
            })
        };
        let reached = tokio::time::timeout(Duration::from_secs(60), both).await;
        reached.expect("there were not so many writes").0
    }

    /// Where this call waits, if it is the write that is held back.
    fn gate(&self, what: &str) -> Option<Arc<Barrier>> {
        let mut held_back = self.held_back.lock().unwrap();
        match &mut *held_back {
            Some((others, _)) if what.starts_with("replace") && *others > 0 => *others -= 1,
            Some(_) if what.starts_with("replace") => {
                return held_back.take().map(|(_, gate)| gate);
            }
            _ => {}
        }
        None
    }

    async fn call<T>(&self, what: String, work: impl Future<Output = Result<T>>) -> Result<T> {
        if let Some(gate) = self.gate(&what) {
            gate.wait().await;
            gate.wait().await;
        }
        let made = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(what);
            calls.len()
        };
        let answered = self.answered.load(Ordering::SeqCst);
        let dead = || StoreError::new(StoreErrorKind::Unavailable, "the process is dead");
        if made > answered.saturating_add(1) {
            return Err(dead());
        }
        if !self.distance.is_zero() {
            tokio::time::sleep(self.distance.mul_f64(random_part())).await;
        }
        let answer = work.await?;
        if made > answered { Err(dead()) } else { Ok(answer) }
    }

    fn same_partition(&self, key: &Key, owner: Option<&Owner>) {
        let at_home = owner
            .is_none_or(|owner| owner.partition(self.partitions) == key.partition(self.partitions));
        assert!(at_home, "{key} is not in the partition of {owner:?}");
    }
}

/// From 0 to 1.
fn random_part() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    random as f64 / u64::MAX as f64
}

#[async_trait::async_trait]
impl Store for Watched {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        self.same_partition(key, record.owner);
        let what = format!("insert {:?} {:?}", record.lifetime, record.owner.is_some());
        self.call(what, self.inner.insert(key, record)).await
    }
    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        self.call(format!("load {load:?}"), self.inner.load(key, load)).await
    }
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        // Versions are random.
        let is_conditional = write.expected.is_some();
        let what = format!("replace {is_conditional} {:?}", write.lifetime);
        self.call(what, self.inner.replace(key, write)).await
    }
    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let what = format!("remove {condition:?} {hand_out}");
        self.call(what, self.inner.remove(key, condition, hand_out)).await
    }
    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.call("alive".to_owned(), self.inner.alive(keys)).await
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
        None
    }
    fn partitions(&self) -> u16 {
        self.partitions
    }
    fn keeps_plain_ids(&self) -> bool {
        false
    }
    fn attach(&self, events: &Events) {
        self.inner.attach(events);
    }
}

#[async_trait::async_trait]
impl Owners for Watched {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        let page = self.inner.owned(owner, after, limit, with_data);
        self.call("owned".to_owned(), page).await
    }
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.call("remove_owned".to_owned(), self.inner.remove_owned(owner, keep)).await
    }
}

#[async_trait::async_trait]
impl Listing for Watched {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.call("scan".to_owned(), self.inner.scan(after, limit)).await
    }
    async fn count(&self) -> Result<u64> {
        self.call("count".to_owned(), self.inner.count()).await
    }
    async fn clear(&self) -> Result<()> {
        self.call("clear".to_owned(), self.inner.clear()).await
    }
    async fn sweep(&self, limit: usize) -> Result<usize> {
        self.call("sweep".to_owned(), self.inner.sweep(limit)).await
    }
}

impl AtomicStore for Watched {}
