//! [`Queue`]: which record expires next.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use super::{SHARDS, lock};
use crate::record::Timestamp;
use crate::token::Key;

/// Every record is here once, under the time when it expires or an earlier one. A record comes to
/// the map, and leaves it, under its shard's lock, so the two never differ.
///
/// Sharded by the first bits of the key: a shard is a range of keys, in whose order a scan goes.
pub(super) struct Queue([Mutex<Shard>; SHARDS]);

pub(super) type Shard = BTreeSet<(Timestamp, Key)>;

pub(super) fn shard_of(key: &Key) -> usize {
    usize::from(key.as_bytes()[0]) * SHARDS / 256
}

impl Queue {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    pub(super) fn lock(&self, key: &Key) -> MutexGuard<'_, Shard> {
        lock(&self.0[shard_of(key)])
    }

    /// Locks what belongs to two keys, in order, so that no two callers wait for each other.
    pub(super) fn lock_both(&self, a: &Key, b: &Key) -> BothShards<'_> {
        let (a, b) = (shard_of(a), shard_of(b));
        BothShards {
            low: lock(&self.0[a.min(b)]),
            high: (a != b).then(|| lock(&self.0[a.max(b)])),
            high_shard: a.max(b),
        }
    }

    /// Locks all of it, in order.
    pub(super) fn lock_all(&self) -> Vec<MutexGuard<'_, Shard>> {
        self.0.iter().map(lock).collect()
    }

    /// The record of a shard that may have expired first, if it may have by now.
    pub(super) fn first_due(&self, shard: usize, now: Timestamp) -> Option<Key> {
        let queue = lock(&self.0[shard]);
        queue.first().filter(|(queued, _)| *queued <= now).map(|(_, key)| key.clone())
    }

    /// The record that may expire next.
    pub(super) fn first(&self) -> Option<(Timestamp, Key)> {
        let firsts = self.0.iter().filter_map(|shard| lock(shard).first().cloned());
        firsts.min()
    }

    /// A shard's keys after this one, in order.
    pub(super) fn keys_after(&self, shard: usize, after: Option<&Key>) -> Vec<Key> {
        let queue = lock(&self.0[shard]);
        let keys = queue.iter().map(|(_, key)| key.clone());
        let mut keys: Vec<Key> = keys.filter(|key| Some(key) > after).collect();
        drop(queue);
        keys.sort_unstable();
        keys
    }
}

/// The locks of two keys.
pub(super) struct BothShards<'a> {
    low: MutexGuard<'a, Shard>,
    high: Option<MutexGuard<'a, Shard>>,
    high_shard: usize,
}

impl BothShards<'_> {
    pub(super) fn of(&mut self, key: &Key) -> &mut Shard {
        match &mut self.high {
            Some(high) if shard_of(key) == self.high_shard => high,
            _ => &mut self.low,
        }
    }
}
