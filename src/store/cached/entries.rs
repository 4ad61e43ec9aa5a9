//! [`Entries`]: the records that are cached, and which of them may be served.
//!
//! The danger is a load that runs while a change takes place. One counter numbers all changes. A load
//! notes the counter before it asks the inner store. A change takes the next number after the inner store
//! has made it, and leaves that number at the bucket of the changed record. A loaded record is served as
//! long as its bucket has no higher number than the load has noted: a later change may be missing in it.
//! While a change runs, nothing of its bucket is served, because others may already see the change in the
//! inner store. No call waits for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use papaya::HashMap;

use crate::key::Key;
use crate::record::{Owner, Record, Timestamp};
use crate::store::{Clock, Load, Standing};

/// How many buckets the keys fall into, and the owners. A change invalidates one of them.
const BUCKETS: usize = 1_024;

/// Clocks show whole milliseconds, so the inner store's may have moved by one more than was measured.
const TICK: Duration = Duration::from_millis(1);

pub(super) struct Entries {
    entries: HashMap<Key, Arc<Entry>>,
    /// The number of the last change.
    changes: AtomicU64,
    buckets: Box<[Changes]>,
    clock: Box<dyn Clock>,
    staleness: Duration,
    capacity: usize,
    /// When entries are looked through for those that are too old, in milliseconds.
    next_sweep: AtomicU64,
}

/// The changes of a bucket.
#[derive(Default)]
struct Changes {
    /// How many are under way.
    under_way: AtomicUsize,
    /// The number of the last one.
    last: AtomicU64,
}

struct Entry {
    record: Record,
    asked: ReadTicket,
    answered_at: Timestamp,
}

/// When the inner store was asked.
#[derive(Clone, Copy)]
pub(super) struct ReadTicket {
    /// The number of the last change by then.
    changes: u64,
    at: Timestamp,
}

/// What a change concerns.
#[derive(Clone, Copy)]
pub(super) struct Bucket(usize);

impl Bucket {
    /// All records.
    pub(super) const ALL: Self = Self(0);

    pub(super) fn of(key: &Key) -> Self {
        let [.., a, b] = *key.as_bytes();
        Self(1 + usize::from(u16::from_be_bytes([a, b])) % BUCKETS)
    }

    pub(super) fn of_owner(owner: &Owner) -> Self {
        Self(1 + BUCKETS + usize::from(owner.partition(BUCKETS as u16)))
    }
}

impl Entries {
    pub(super) fn new(staleness: Duration, capacity: usize, clock: Box<dyn Clock>) -> Self {
        Self {
            entries: HashMap::new(),
            changes: AtomicU64::new(0),
            buckets: (0..1 + 2 * BUCKETS).map(|_| Changes::default()).collect(),
            clock,
            staleness,
            capacity,
            next_sweep: AtomicU64::new(0),
        }
    }

    pub(super) fn held(&self) -> usize {
        self.entries.len()
    }

    /// A record that is surely alive, fits the claim, and need not be touched or confirmed. Another claim
    /// may be that of a newer secret, so the inner store is to judge it.
    pub(super) fn get(&self, key: &Key, load: &Load<'_>) -> Option<Record> {
        let entries = self.entries.pin();
        let entry = entries.get(key)?;
        let now = self.clock.now();
        if !self.is_fresh(entry, now) || self.is_changed(key, entry) {
            return None;
        }
        let record = &entry.record;
        let inner_now = record.meta.now + now.since(entry.asked.at) + TICK;
        let is_current = record.standing(load.claim, inner_now) == Standing::Current;
        if !is_current || record.is_changed_by(load, inner_now) {
            return None;
        }
        let mut record = record.clone();
        record.meta.now = record.meta.now + now.since(entry.answered_at);
        if !load.with_data {
            record.data = Bytes::new();
        }
        Some(record)
    }

    /// To be called before the inner store is asked.
    pub(super) fn ask(&self) -> ReadTicket {
        ReadTicket { changes: self.changes.load(Ordering::SeqCst), at: self.clock.now() }
    }

    /// Keeps what the inner store has answered.
    pub(super) fn put(&self, key: &Key, record: &Record, asked: ReadTicket) {
        let now = self.clock.now();
        self.sweep(now);
        let entries = self.entries.pin();
        if entries.len() < self.capacity || entries.contains_key(key) {
            let entry = Entry { record: record.clone(), asked, answered_at: now };
            // Not the key itself, which may hold the token.
            entries.insert(Key::from_bytes(*key.as_bytes()), Arc::new(entry));
        }
    }

    /// A change was made. What was loaded before is not served any longer.
    pub(super) fn invalidate(&self, bucket: Bucket) {
        let number = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        self.buckets[bucket.0].last.fetch_max(number, Ordering::SeqCst);
    }

    /// Serves nothing of these buckets until the value is dropped, and invalidates them then: once the inner store
    /// has made the change, or has failed to, or the caller waits no longer.
    pub(super) fn invalidate_around<const N: usize>(
        &self,
        buckets: [Bucket; N],
    ) -> InvalidateOnDrop<'_, N> {
        for bucket in buckets {
            self.buckets[bucket.0].under_way.fetch_add(1, Ordering::SeqCst);
        }
        InvalidateOnDrop { entries: self, buckets }
    }

    fn is_changed(&self, key: &Key, entry: &Entry) -> bool {
        let owner = entry.record.meta.owner.as_ref().map(Bucket::of_owner);
        let buckets = [Some(Bucket::ALL), Some(Bucket::of(key)), owner];
        buckets.into_iter().flatten().any(|bucket| {
            let Changes { under_way, last } = &self.buckets[bucket.0];
            // In this order: a change that has just ended has left its number.
            under_way.load(Ordering::SeqCst) > 0
                || last.load(Ordering::SeqCst) > entry.asked.changes
        })
    }

    fn is_fresh(&self, entry: &Entry, now: Timestamp) -> bool {
        now.since(entry.asked.at) < self.staleness
    }

    /// Removes what is too old, once in the time in which everything becomes so.
    fn sweep(&self, now: Timestamp) {
        let due = self.next_sweep.load(Ordering::Relaxed);
        let next = (now + self.staleness).as_millis();
        let is_due = now.as_millis() >= due;
        let exchange =
            |due| self.next_sweep.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if is_due && exchange(due).is_ok() {
            self.entries.pin().retain(|_, entry| self.is_fresh(entry, now));
        }
    }
}

#[must_use = "it forgets when it is dropped"]
pub(super) struct InvalidateOnDrop<'a, const N: usize> {
    entries: &'a Entries,
    buckets: [Bucket; N],
}

impl<const N: usize> Drop for InvalidateOnDrop<'_, N> {
    fn drop(&mut self) {
        for bucket in self.buckets {
            self.entries.invalidate(bucket);
            self.entries.buckets[bucket.0].under_way.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
