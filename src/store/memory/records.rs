//! [`Records`]: the map, and how records are read, written and removed.
//!
//! Reads, touches and writes take no lock: they read an entry of the map, or put a changed copy in
//! its place if no other call did meanwhile. Inserts and removals take locks in this order: the owner's,
//! if there is one, then the expiry queue's for the key.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use papaya::{Compute, Operation};

use super::WhenFull;
use super::entry::{Entry, copied};
use super::owners::{Listed, Owners};
use super::queue::Queue;
use crate::event::Listeners;
use crate::key::Key;
use crate::record::{Details, Timestamp};
use crate::store::{Condition, Found, Load, Removed, Replaced, Times, Write, Written};

pub(super) struct Records {
    pub(super) map: papaya::HashMap<Key, Entry>,
    pub(super) owners: Owners,
    pub(super) queue: Queue,
    /// The sessions that ended with their epoch and still take space.
    pub(super) ended: Mutex<VecDeque<VecDeque<Listed>>>,
    /// Whether there may be any of them. Spares a lock where there are none.
    pub(super) has_ended: AtomicBool,
    /// The shard at which the next sweep begins.
    pub(super) next_swept: AtomicUsize,
    /// How many records take space, including those that are being inserted.
    pub(super) held: AtomicUsize,
    pub(super) capacity: usize,
    pub(super) when_full: WhenFull,
    pub(super) listeners: Listeners,
    #[cfg(test)]
    pub(super) looks: AtomicUsize,
}

/// A record that was removed.
pub(super) struct Gone {
    pub(super) key: Key,
    pub(super) entry: Entry,
    /// Whether its epoch had ended already.
    had_ended: bool,
}

impl Records {
    pub(super) fn new(capacity: usize, when_full: WhenFull) -> Self {
        Self {
            map: papaya::HashMap::new(),
            owners: Owners::new(),
            queue: Queue::new(),
            ended: Mutex::default(),
            has_ended: AtomicBool::new(false),
            next_swept: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            capacity,
            when_full,
            listeners: Listeners::default(),
            #[cfg(test)]
            looks: AtomicUsize::new(0),
        }
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Counts the records that were looked at, for the tests.
    pub(super) fn looked(&self, records: usize) {
        #[cfg(test)]
        self.looks.fetch_add(records, Ordering::Relaxed);
        #[cfg(not(test))]
        let _ = records;
    }

    /// The record under `key`, touched and confirmed where that is due.
    pub(super) fn load(&self, key: &Key, load: &Load<'_>, now: Timestamp) -> Found {
        let map = self.map.pin();
        loop {
            let Some(entry) = map.get(key) else {
                return Found::Missing;
            };
            if !entry.is_live(now) {
                self.discard(key, now);
                continue;
            }
            if !entry.record.is_changed_by(load, now) {
                return entry.record.clone().found(load, now);
            }
            let loaded = map.compute(key.clone(), |found| match found {
                Some((_, entry)) if entry.is_live(now) => {
                    let mut loaded = entry.clone();
                    let is_changed = loaded.record.load(load, now);
                    if is_changed { Operation::Insert(loaded) } else { Operation::Abort(()) }
                }
                _ => Operation::Abort(()),
            });
            if let Compute::Updated { new: (_, entry), .. } = loaded {
                if entry.queued <= now {
                    self.requeue_if_free(key);
                }
                return entry.record.clone().found(load, now);
            }
        }
    }

    pub(super) fn replace(&self, key: &Key, write: &Write<'_>, now: Timestamp) -> Replaced {
        let details = write.details.map(|details| copied(details.as_bytes()));
        let details = details.map(Details::from_stored);
        let write = Write {
            data: write.data.as_ref().map(copied),
            details: details.as_ref(),
            ..write.clone()
        };
        let map = self.map.pin();
        loop {
            let written = map.compute(key.clone(), |found| match found {
                None => Operation::Abort(Some(Replaced::Missing)),
                Some((_, entry)) if !entry.is_live(now) => Operation::Abort(None),
                Some((_, entry)) => {
                    let mut written = entry.clone();
                    match written.record.write(&write, now) {
                        Replaced::Done(_) => Operation::Insert(written),
                        refused => Operation::Abort(Some(refused)),
                    }
                }
            });
            match written {
                Compute::Updated { new: (_, entry), .. } => {
                    let expires_at = entry.expires_at();
                    if expires_at < entry.queued {
                        self.requeue(key);
                    } else if entry.queued <= now {
                        self.requeue_if_free(key);
                    }
                    let times = Some(Times { now, expires_at });
                    let version = entry.record.meta.version;
                    return Replaced::Done(Written { version, times });
                }
                Compute::Aborted(Some(answer)) => return answer,
                _ => self.discard(key, now),
            };
        }
    }

    pub(super) fn remove(
        &self,
        key: &Key,
        condition: Condition<'_>,
        hand_out: bool,
        now: Timestamp,
    ) -> Removed {
        let removed = self.remove_if(key, |entry| {
            let holds = entry.record.meets(condition, now) || !entry.is_live(now);
            if holds { Ok(()) } else { Err(()) }
        });
        match removed {
            Ok(Some(gone)) if self.was_live(&gone, now) => {
                Removed::Done(hand_out.then(|| gone.entry.answered(true, now)))
            }
            Ok(_) => Removed::Missing,
            Err(()) => Removed::Conflict,
        }
    }

    pub(super) fn alive(&self, keys: &[Key], now: Timestamp) -> Vec<bool> {
        let map = self.map.pin();
        let is_live = |key| map.get(key).is_some_and(|entry: &Entry| entry.is_live(now));
        keys.iter().map(is_live).collect()
    }

    /// Removes the record under `key`, live or not, from every place that has it, if `check` agrees.
    pub(super) fn remove_if<E>(
        &self,
        key: &Key,
        check: impl Fn(&Entry) -> Result<(), E>,
    ) -> Result<Option<Gone>, E> {
        loop {
            let owner = self.map.pin().get(key).map(|entry| entry.owner().cloned());
            let Some(owner) = owner else {
                return Ok(None);
            };
            let mut owned = owner.as_ref().map(|owner| self.owners.lock(owner));
            let removed = self.unmap(key, |entry| {
                if entry.owner() == owner.as_ref() { check(entry).map_err(Some) } else { Err(None) }
            });
            match removed {
                Ok(None) => return Ok(None),
                Ok(Some(entry)) => {
                    if let Some(owned) = &mut owned {
                        owned.remove(key, &entry);
                    }
                    // Asked under the owner's lock: its epoch may end as soon as that is released.
                    let had_ended = entry.has_ended();
                    return Ok(Some(Gone { key: key.clone(), entry, had_ended }));
                }
                Err(Some(refusal)) => return Err(refusal),
                // Before the lock was held, another owner's record took the key.
                Err(None) => {}
            }
        }
    }

    /// Removes the record from the map and the queue. The caller holds its owner's lock, or the record
    /// has ended with its epoch.
    pub(super) fn unmap<E>(
        &self,
        key: &Key,
        check: impl Fn(&Entry) -> Result<(), E>,
    ) -> Result<Option<Entry>, E> {
        let mut queue = self.queue.lock(key);
        let map = self.map.pin();
        let removed =
            map.compute(key.clone(), |found| match found.map(|(_, entry)| check(entry)) {
                None => Operation::Abort(None),
                Some(Err(refusal)) => Operation::Abort(Some(refusal)),
                Some(Ok(())) => Operation::Remove,
            });
        match removed {
            Compute::Removed(_, entry) => {
                queue.remove(entry.queued, entry.slot);
                self.held.fetch_sub(1, Ordering::Relaxed);
                Ok(Some(entry.clone()))
            }
            Compute::Aborted(Some(refusal)) => Err(refusal),
            _ => Ok(None),
        }
    }

    /// Whether it was live. Tells of it if it had expired.
    pub(super) fn was_live(&self, gone: &Gone, now: Timestamp) -> bool {
        let had_expired = gone.entry.expires_at() <= now;
        if had_expired && !gone.had_ended {
            self.listeners.expired([&gone.key]);
        }
        !had_expired && !gone.had_ended
    }
}

#[cfg(test)]
impl Records {
    /// How many records were looked at since the last call.
    pub(super) fn take_looks(&self) -> usize {
        self.looks.swap(0, Ordering::Relaxed)
    }

    /// How many records the map, the queue and the owners' lists have.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.map.len(), self.queue.listed().len(), self.owners.listed().len())
    }

    /// Takes every lock.
    pub(super) fn lock_everything(&self) -> impl Sized {
        (self.owners.lock_all(), self.queue.lock_all())
    }

    /// Every record of the map is queued once and listed once, and nothing else is.
    pub(super) fn assert_whole(&self) {
        let map = self.map.pin();
        let mut queued = 0;
        for (at, slot, key) in self.queue.listed() {
            let entry = map.get(&key).expect("what is queued is in the map");
            assert_eq!((entry.queued, entry.slot), (at, slot));
            assert!(at <= entry.expires_at(), "it is queued too late");
            queued += 1;
        }
        assert_eq!(queued, map.iter().count());
        assert_eq!(queued, self.held());
        let listed = self.owners.listed();
        for (key, epoch) in &listed {
            let entry = map.get(key).expect("what is listed is in the map");
            assert!(entry.is_in(epoch) && !entry.has_ended());
        }
        assert_eq!(listed.len(), map.values().filter(|entry| entry.owner().is_some()).count());
    }
}
