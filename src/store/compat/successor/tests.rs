//! Two stores as one, on stores in memory.

mod at_once;
mod both;
mod interrupted;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::landing::{reservation, staged};
use super::listing::NEW;
use super::*;
use crate::manager::TokenSession;
use crate::record::Lifetime;
use crate::store::{Cursor, ManualClock, Memory, NewProof, Page, Renamed, Renewal, StoreError};

const MINUTE: Duration = Duration::from_secs(60);

/// A store in memory, as one of Node's or as a new one, which others interrupt at every step and
/// which breaks down at one.
#[derive(Clone, Default)]
struct Fragile {
    memory: Memory,
    faults: Arc<Faults>,
    is_old: bool,
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
    /// A store of Node's takes no claim.
    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let claim = load.claim.filter(|_| !self.is_old);
        let load = Load { claim, ..*load };
        self.run(self.memory.load(key, &load)).await
    }
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let claim = write.claim.filter(|_| !self.is_old);
        assert!(!self.is_old || write.proof.is_none());
        let write = Write { claim, ..write.clone() };
        let replaced = self.run(self.memory.replace(key, &write)).await?;
        let is_denied = self.faults.denies.swap(false, Ordering::Relaxed);
        Ok(if is_denied { Replaced::Conflict } else { replaced })
    }
    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let condition = match condition {
            Condition::Claim(_) if self.is_old => Condition::Always,
            condition => condition,
        };
        self.run(self.memory.remove(key, condition, hand_out)).await
    }
    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.run(self.memory.alive(keys)).await
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
        if self.is_old { Some(self) } else { None }
    }
    fn partitions(&self) -> u16 {
        1
    }
    fn keeps_plain_ids(&self) -> bool {
        self.is_old
    }
    fn attach(&self, _: &Events) {}
}

#[async_trait::async_trait]
impl Owners for Fragile {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        self.run(self.memory.owned(owner, after, limit, with_data)).await
    }
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.run(self.memory.remove_owned(owner, keep)).await
    }
}

#[async_trait::async_trait]
impl Listing for Fragile {
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

/// As an old store does it: in two steps.
#[async_trait::async_trait]
impl Moves for Fragile {
    async fn rename(&self, from: &Key, to: &Key, _: Renewal) -> Result<Renamed> {
        let moved = async {
            let removed = self.memory.remove(from, Condition::Always, true).await?;
            let Some(record) = removed.record() else {
                return Ok(Renamed::Missing);
            };
            let again = NewRecord::new(record.data, record.meta.lifetime);
            self.memory.insert(to, &again).await?;
            let found = self.memory.load(to, &Load::new()).await?.live();
            Ok(found.map_or(Renamed::Missing, |record| Renamed::Done(record.meta)))
        };
        self.run(moved).await
    }
}

impl AtomicStore for Fragile {}
#[async_trait::async_trait]
impl crate::store::compat::sealed::Sealed for Fragile {
    async fn scan_for_mover(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.scan(after, limit).await
    }
}
impl NodeStore for Fragile {}

/// The two stores as one, and each of them.
#[derive(Clone)]
struct Both {
    both: Successor,
    new: Fragile,
    old: Fragile,
}

impl std::ops::Deref for Both {
    type Target = Successor;

    fn deref(&self) -> &Successor {
        &self.both
    }
}

impl Both {
    fn begin_in_old(self) -> Self {
        Self { both: self.both.begin_in_old(), ..self }
    }
}

fn stores_on(clock: &ManualClock, faults: &Arc<Faults>) -> Both {
    let fragile = |is_old| Fragile {
        memory: Memory::builder().clock(clock.clone()).build(),
        faults: Arc::clone(faults),
        is_old,
    };
    let owner = |record: &Record| Owner::new(str::from_utf8(&record.data).ok()?).ok();
    let (new, old) = (fragile(false), fragile(true));
    Both { both: Successor::new(new.clone(), old.clone()).owner(owner).unwrap(), new, old }
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

/// The data of a session whose token's proof follows from its id, as the holder of the token gets it.
async fn data(store: &dyn Store, key: &Key) -> Option<Bytes> {
    let claim = claim_of(key);
    let load = Load { claim: Some(&claim), ..Load::new() };
    store.load(key, &load).await.unwrap().live().map(|record| record.data)
}

/// What the token claims whose id a key holds.
fn claim_of(key: &Key) -> Claim {
    let digest: [u8; 32] = Sha256::digest(key.plain_id().unwrap()).into();
    ProofScheme::default().claim(&digest, GRACE)
}

/// A new secret, and what its token claims.
fn secret(number: u8) -> (NewProof, Claim) {
    let proof = Proof::from_bytes([number; Proof::LEN]);
    (NewProof::Regenerated(proof), Claim::new(proof, GRACE))
}
