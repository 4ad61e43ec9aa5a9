//! [`Records`]: the map, and how records come to it, move in it and leave it.
//!
//! Reads, touches and writes take no lock: they read an entry of the map, or put a changed copy in
//! its place if nobody else did meanwhile. What makes a record come or go, or changes its key,
//! takes locks in this order: its owner's, where it has one, then the expiry queue's for its key,
//! or for both keys.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use papaya::{Compute, Operation};

use super::WhenFull;
use super::entry::{Entry, own};
use super::owners::{Listed, Owners};
use super::queue::Queue;
use crate::event::Listeners;
use crate::record::Timestamp;
use crate::store::{Condition, Removed, Renamed, Renewal, Replaced, Touch, Write};
use crate::token::Key;

pub(super) struct Records {
    pub(super) map: papaya::HashMap<Key, Entry>,
    pub(super) owners: Owners,
    pub(super) queue: Queue,
    /// The sessions that ended with their epoch, and take space yet.
    pub(super) ended: Mutex<VecDeque<VecDeque<Listed>>>,
    /// Whether there may be any of them, for those that would rather not lock it for nothing.
    pub(super) has_ended: AtomicBool,
    /// The shard that the next sweep begins with.
    pub(super) next_swept: AtomicUsize,
    /// How many renames there were.
    pub(super) renames: AtomicU64,
    /// How many records take space, those on their way in included.
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
    /// Whether its epoch had ended before.
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
            renames: AtomicU64::new(0),
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

    /// What `view` makes of the live record under `key`, touched where that is due.
    pub(super) fn read<T>(
        &self,
        key: &Key,
        touch: Touch,
        now: Timestamp,
        view: impl Fn(&Entry) -> T,
    ) -> Option<T> {
        let map = self.map.pin();
        loop {
            let entry = map.get(key)?;
            if !entry.is_live(now) {
                self.discard(key, now);
                continue;
            }
            if !entry.is_due(touch, now) {
                return Some(view(entry));
            }
            let touched = map.compute(key.clone(), |found| match found {
                Some((_, entry)) if entry.is_live(now) && entry.is_due(touch, now) => {
                    Operation::Insert(entry.seen(now))
                }
                _ => Operation::Abort(()),
            });
            if let Compute::Updated { new: (_, entry), .. } = touched {
                if entry.queued <= now {
                    self.requeue_if_free(key);
                }
                return Some(view(entry));
            }
        }
    }

    pub(super) fn replace(&self, key: &Key, write: &Write<'_>, now: Timestamp) -> Replaced {
        let data = own(&write.data);
        let map = self.map.pin();
        loop {
            let written = map.compute(key.clone(), |found| match found {
                None => Operation::Abort(Some(Replaced::Missing)),
                Some((_, entry)) if !entry.is_live(now) => Operation::Abort(None),
                Some((_, entry))
                    if write.expected.is_some_and(|version| version != entry.version) =>
                {
                    Operation::Abort(Some(Replaced::Conflict))
                }
                Some((_, entry)) => Operation::Insert(entry.written(write, &data, now)),
            });
            match written {
                Compute::Updated { new: (_, entry), .. } => {
                    if entry.expires_at() < entry.queued {
                        self.requeue(key);
                    } else if entry.queued <= now {
                        self.requeue_if_free(key);
                    }
                    return Replaced::Done(entry.version);
                }
                Compute::Aborted(Some(answer)) => return answer,
                _ => self.discard(key, now),
            };
        }
    }

    pub(super) fn rename(&self, from: &Key, to: &Key, renewal: Renewal, now: Timestamp) -> Renamed {
        loop {
            match self.try_rename(from, to, renewal, now) {
                Ok(answer) => return answer,
                Err(key) => self.discard(&key, now),
            };
        }
    }

    /// Fails with the key of a record that is dead, or was changed by another.
    fn try_rename(
        &self,
        from: &Key,
        to: &Key,
        renewal: Renewal,
        now: Timestamp,
    ) -> Result<Renamed, Key> {
        let map = self.map.pin();
        let Some(owner) = map.get(from).map(|entry| entry.owner().cloned()) else {
            // If it is on its way to another key, it is there when this has returned.
            drop(self.queue.lock(from));
            return Ok(Renamed::Missing);
        };
        let mut owned = owner.as_ref().map(|owner| self.owners.lock(owner));
        let mut queues = self.queue.lock_both(from, to);
        if !map.get(from).is_some_and(|entry| entry.is_live(now)) {
            return Err(from.clone());
        }
        if let Some(other) = map.get(to) {
            return if other.is_live(now) { Ok(Renamed::KeyTaken) } else { Err(to.clone()) };
        }
        let removed = map.compute(from.clone(), |found| match found {
            Some((_, entry)) if entry.is_live(now) && entry.owner() == owner.as_ref() => {
                Operation::Remove
            }
            _ => Operation::Abort(()),
        });
        let Compute::Removed(_, old) = removed else {
            return Err(from.clone());
        };
        self.renames.fetch_add(1, Ordering::SeqCst);
        let mut new = old.renamed(renewal, now);
        let meta = new.meta(now);
        queues.of(from).remove(old.queued, old.slot);
        new.slot = queues.of(to).insert(new.queued, to);
        map.insert(to.clone(), new);
        if let Some(owned) = &mut owned {
            owned.rename(from, to, old);
        }
        Ok(Renamed::Done(meta))
    }

    /// Removes the record under `key` if it is live, and hands it out.
    pub(super) fn take(&self, key: &Key, now: Timestamp) -> Option<Entry> {
        let taken = self.remove_if(key, |_| Ok::<(), ()>(()));
        taken.ok().flatten().filter(|gone| self.was_live(gone, now)).map(|gone| gone.entry)
    }

    pub(super) fn remove(&self, key: &Key, condition: Condition<'_>, now: Timestamp) -> Removed {
        let removed = self.remove_if(key, |entry| {
            let holds = match condition {
                Condition::Always => true,
                Condition::Version(version) => entry.version == version,
                Condition::Owner(owner) => entry.owner() == Some(owner),
            };
            if holds || !entry.is_live(now) { Ok(()) } else { Err(()) }
        });
        match removed {
            Ok(Some(gone)) if self.was_live(&gone, now) => Removed::Done,
            Ok(_) => Removed::Missing,
            Err(()) => Removed::Conflict,
        }
    }

    /// Removes the record under `key`, live or not, from wherever it is, if `check` lets it go.
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
                    // Asked under the owner's lock: as soon as that is gone, its epoch may end.
                    let had_ended = entry.has_ended();
                    return Ok(Some(Gone { key: key.clone(), entry, had_ended }));
                }
                Err(Some(refusal)) => return Err(refusal),
                // The key went to another owner's record before its lock was held.
                Err(None) => {}
            }
        }
    }

    /// Removes the record from the map and the queue. Its owner's lock is held, or it has ended
    /// with its epoch.
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

    /// Whether it was live, and if it had expired, tells so.
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
    /// How many records were looked at since this was last asked.
    pub(super) fn take_looks(&self) -> usize {
        self.looks.swap(0, Ordering::Relaxed)
    }

    /// How many records the map, the queue and the owners' lists have.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.map.len(), self.queue.listed().len(), self.owners.listed().len())
    }

    /// Takes every lock that there is.
    pub(super) fn lock_everything(&self) -> impl Sized {
        (self.owners.lock_all(), self.queue.lock_all())
    }

    /// What the map holds is queued once and listed once, and nothing else is.
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
