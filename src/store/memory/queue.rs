//! [`Queue`]: which record expires next, and the place of each record in a listing.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::slots::{Slot, Slots};
use super::{SHARDS, lock};
use crate::key::Key;
use crate::record::Timestamp;

/// Every record is here once, under its expiry or an earlier time. A record enters and leaves the map
/// under its shard's lock, so the two never differ.
///
/// Sharded by the first bits of the key.
pub(super) struct Queue([Mutex<Shard>; SHARDS]);

#[derive(Default)]
pub(super) struct Shard {
    times: BTreeSet<(Timestamp, Slot)>,
    slots: Slots,
}

/// Where a listing continues. A record keeps its place until it is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) shard: usize,
    pub(super) slot: Slot,
}

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

    /// As [`lock`](Self::lock), but `None` where it would have to wait.
    pub(super) fn try_lock(&self, key: &Key) -> Option<MutexGuard<'_, Shard>> {
        match self.0[shard_of(key)].try_lock() {
            Ok(shard) => Some(shard),
            Err(TryLockError::Poisoned(error)) => Some(PoisonError::into_inner(error)),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The record of a shard that may expire first, and when.
    pub(super) fn first(&self, shard: usize) -> Option<(Timestamp, Key)> {
        lock(&self.0[shard]).first()
    }

    /// Whether a record may have expired by now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.0.iter().any(|shard| lock(shard).times.first().is_some_and(|(at, _)| *at <= now))
    }

    /// Up to `limit` keys from a place on, and where to continue; `None` at the end.
    pub(super) fn keys_from(&self, mut place: Place, limit: usize) -> (Vec<Key>, Option<Place>) {
        let mut keys = Vec::new();
        while place.shard < SHARDS {
            let left = limit - keys.len();
            let (more, next) = lock(&self.0[place.shard]).slots.keys_from(place.slot, left);
            keys.extend(more);
            if let Some(slot) = next {
                return (keys, Some(Place { slot, ..place }));
            }
            place = Place { shard: place.shard + 1, slot: Slot::default() };
        }
        (keys, None)
    }
}

impl Shard {
    pub(super) fn insert(&mut self, at: Timestamp, key: &Key) -> Slot {
        let slot = self.slots.insert(key);
        self.times.insert((at, slot));
        slot
    }

    pub(super) fn remove(&mut self, at: Timestamp, slot: Slot) {
        self.times.remove(&(at, slot));
        self.slots.remove(slot);
    }

    /// Puts a record under another time.
    pub(super) fn put_off(&mut self, slot: Slot, from: Timestamp, to: Timestamp) {
        self.times.remove(&(from, slot));
        self.times.insert((to, slot));
    }

    fn first(&self) -> Option<(Timestamp, Key)> {
        self.times.first().map(|&(at, slot)| (at, self.slots.key(slot)))
    }
}

#[cfg(test)]
impl Queue {
    /// Locks all shards, in order.
    pub(super) fn lock_all(&self) -> Vec<MutexGuard<'_, Shard>> {
        self.0.iter().map(lock).collect()
    }

    /// The time, the slot and the key of each queued record. A record is queued if it has a slot.
    pub(super) fn listed(&self) -> Vec<(Timestamp, Slot, Key)> {
        let mut listed = Vec::new();
        for shard in self.lock_all() {
            let (keys, _) = shard.slots.keys_from(Slot::default(), usize::MAX);
            assert_eq!(keys.len(), shard.times.len());
            listed.extend(shard.times.iter().map(|&(at, slot)| (at, slot, shard.slots.key(slot))));
        }
        listed
    }
}
