//! [`Records`]: the map, and how records come to it, move in it and leave it.
//!
//! Reads, touches and writes take no lock: they read an entry of the map, or put a changed copy in
//! its place if nobody else did meanwhile. What makes a record come or go, or changes its key,
//! takes locks in this order: its owner's, where it has one, then the expiry queue's for its key,
//! or for both keys.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use papaya::{Compute, Operation};

use super::SHARDS;
use super::entry::{Entry, own};
use super::owners::{Owned, Owners};
use super::queue::{Queue, shard_of};
use crate::event::{Event, Listeners};
use crate::record::{Owner, Timestamp};
use crate::store::{
    Condition, Inserted, NewRecord, Removed, Renamed, Renewal, Replaced, Touch, Write,
};
use crate::token::Key;

/// How many due records an insert looks at: more than one for the one that it adds, so that space
/// is freed faster than it is taken; and few, so that no login waits for it.
const SWEPT_BY_INSERT: usize = 4;

pub(super) struct Records {
    map: papaya::HashMap<Key, Entry>,
    owners: Owners,
    queue: Queue,
    /// How many records take space, those on their way in included.
    held: AtomicUsize,
    capacity: usize,
    listeners: Listeners,
}

/// Why an insert did not come about, and what it can try.
enum Obstacle {
    /// Dead records: to be discarded.
    Dead(Vec<Key>),
    /// No space: to be made.
    Full,
    /// The owner's limit.
    OwnerFull,
}

/// A record that was removed.
struct Gone {
    key: Key,
    entry: Entry,
    /// Whether its epoch had ended before.
    had_ended: bool,
}

/// The store takes no further record.
pub(super) struct Full;

impl Records {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            map: papaya::HashMap::new(),
            owners: Owners::new(),
            queue: Queue::new(),
            held: AtomicUsize::new(0),
            capacity,
            listeners: Listeners::default(),
        }
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
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
                    }
                    return Replaced::Done(entry.version);
                }
                Compute::Aborted(Some(answer)) => return answer,
                _ => self.discard(key, now),
            };
        }
    }

    pub(super) fn insert(
        &self,
        key: &Key,
        record: &NewRecord<'_>,
        now: Timestamp,
        make_room: impl Fn(&Self) -> Result<(), Full>,
    ) -> Result<Inserted, Full> {
        self.sweep_shard(shard_of(key), now, SWEPT_BY_INSERT, SWEPT_BY_INSERT);
        loop {
            match self.try_insert(key, record, now) {
                Ok(answer) => return Ok(answer),
                Err(Obstacle::OwnerFull) => return Ok(Inserted::OwnerFull),
                Err(Obstacle::Dead(keys)) => self.discard_all(&keys, now),
                Err(Obstacle::Full) => make_room(self)?,
            }
        }
    }

    fn try_insert(
        &self,
        key: &Key,
        record: &NewRecord<'_>,
        now: Timestamp,
    ) -> Result<Inserted, Obstacle> {
        let mut owned = record.owner.map(|owner| self.owners.lock(owner));
        let victims = self.victims(record, owned.as_ref(), now)?;
        let mut queue = self.queue.lock(key);
        let map = self.map.pin();
        if let Some(found) = map.get(key) {
            return if found.is_live(now) {
                Ok(Inserted::KeyTaken)
            } else {
                Err(Obstacle::Dead(vec![key.clone()]))
            };
        }
        // A victim makes room for the newcomer.
        if !self.reserve(!victims.is_empty()) {
            return Err(Obstacle::Full);
        }
        let (epoch, created_at) = match &mut owned {
            Some(owned) => {
                let (epoch, created_at) = owned.add(key, now);
                (Some(epoch), created_at)
            }
            None => (None, now),
        };
        let entry = Entry::new(record, epoch, created_at);
        queue.insert((entry.queued, key.clone()));
        map.insert(key.clone(), entry);
        drop(queue);
        for victim in &victims {
            let removed = self.unmap(victim, |_| Ok::<(), ()>(()));
            if let (Some(owned), Ok(Some(entry))) = (&mut owned, removed) {
                owned.remove(victim, &entry);
            }
        }
        Ok(Inserted::Done { evicted: victims })
    }

    /// The sessions that end so that the owner's limit allows one more.
    fn victims(
        &self,
        record: &NewRecord<'_>,
        owned: Option<&Owned<'_>>,
        now: Timestamp,
    ) -> Result<Vec<Key>, Obstacle> {
        let (Some(limit), Some(owned)) = (record.limit, owned) else {
            return Ok(Vec::new());
        };
        let max = usize::try_from(limit.max().get()).unwrap_or(usize::MAX);
        if owned.keys().len() < max {
            return Ok(Vec::new());
        }
        let map = self.map.pin();
        let is_live = |key: &Key| map.get(key).is_some_and(|entry| entry.is_live(now));
        let (mut live, dead): (Vec<Key>, Vec<Key>) = owned.keys().cloned().partition(is_live);
        if !dead.is_empty() {
            return Err(Obstacle::Dead(dead));
        }
        let too_many = (live.len() + 1).saturating_sub(max);
        if too_many > 0 && !limit.evicts() {
            return Err(Obstacle::OwnerFull);
        }
        live.truncate(too_many);
        Ok(live)
    }

    fn reserve(&self, in_any_case: bool) -> bool {
        let one_more = |held| (in_any_case || held < self.capacity).then_some(held + 1);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
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
        let new = old.renamed(renewal, now);
        let meta = new.meta(now);
        queues.of(from).remove(&(old.queued, from.clone()));
        queues.of(to).insert((new.queued, to.clone()));
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

    /// The owner's live sessions, the youngest first.
    pub(super) fn owned<T>(
        &self,
        owner: &Owner,
        limit: usize,
        now: Timestamp,
        view: impl Fn(&Key, &Entry) -> T,
    ) -> Vec<T> {
        let map = self.map.pin();
        loop {
            let (mut live, mut dead) = (Vec::new(), Vec::new());
            let owned = self.owners.lock(owner);
            for key in owned.keys().rev() {
                if live.len() == limit {
                    break;
                }
                match map.get(key).filter(|entry| entry.is_live(now)) {
                    Some(entry) => live.push(view(key, entry)),
                    None => dead.push(key.clone()),
                }
            }
            drop(owned);
            if dead.is_empty() {
                return live;
            }
            self.discard_all(&dead, now);
        }
    }

    pub(super) fn remove_owned(&self, owner: &Owner, keep: Option<&Key>, now: Timestamp) {
        let ended = self.end_epoch(owner, keep, now);
        // They are dead already; this frees their space, without the owner's lock.
        for (_, key) in ended {
            let _ = self.unmap(&key, |entry| if entry.has_ended() { Ok(()) } else { Err(()) });
        }
    }

    fn end_epoch(
        &self,
        owner: &Owner,
        keep: Option<&Key>,
        now: Timestamp,
    ) -> VecDeque<(Timestamp, Key)> {
        let map = self.map.pin();
        let mut owned = self.owners.lock(owner);
        let Some(epoch) = owned.epoch() else {
            return VecDeque::new();
        };
        // Moved first: it is alive in either epoch, so it is at no moment dead.
        let next = super::entry::Epoch::new(owner.clone());
        let kept = keep.map(|key| {
            let moved = map.compute(key.clone(), |found| match found {
                Some((_, entry)) if entry.is_live(now) && entry.is_in(epoch) => {
                    Operation::Insert(entry.in_epoch(&next))
                }
                _ => Operation::Abort(()),
            });
            (key, moved)
        });
        owned.end_epoch(match kept {
            Some((key, Compute::Updated { new: (_, entry), .. })) => Some((key, entry)),
            _ => None,
        })
    }

    /// Removes the record under `key`, live or not, from wherever it is, if `check` lets it go.
    fn remove_if<E>(
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
    fn unmap<E>(
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
                queue.remove(&(entry.queued, key.clone()));
                self.held.fetch_sub(1, Ordering::Relaxed);
                Ok(Some(entry.clone()))
            }
            Compute::Aborted(Some(refusal)) => Err(refusal),
            _ => Ok(None),
        }
    }

    /// Frees the space of the record under `key` if it is dead, before anyone is told so: another
    /// whose clock was read earlier might touch it yet.
    fn discard(&self, key: &Key, now: Timestamp) -> bool {
        let removed =
            self.remove_if(key, |entry| if entry.is_live(now) { Err(()) } else { Ok(()) });
        removed.is_ok_and(|gone| gone.is_some_and(|gone| !self.was_live(&gone, now)))
    }

    fn discard_all(&self, keys: &[Key], now: Timestamp) {
        for key in keys {
            self.discard(key, now);
        }
    }

    /// Whether it was live, and if it had expired, tells so.
    fn was_live(&self, gone: &Gone, now: Timestamp) -> bool {
        let had_expired = gone.entry.expires_at() <= now;
        if had_expired && !gone.had_ended {
            self.listeners.expired([&gone.key]);
        }
        !had_expired && !gone.had_ended
    }

    /// Puts the record under the time when it expires by now.
    fn requeue(&self, key: &Key) {
        let mut queue = self.queue.lock(key);
        let map = self.map.pin();
        let requeued = map.compute(key.clone(), |found| match found {
            Some((_, entry)) if entry.queued != entry.expires_at() => {
                Operation::Insert(entry.clone().requeued())
            }
            _ => Operation::Abort(()),
        });
        if let Compute::Updated { old: (_, old), new: (_, new) } = requeued {
            queue.remove(&(old.queued, key.clone()));
            queue.insert((new.queued, key.clone()));
        }
    }

    /// Frees the space of up to `limit` dead records.
    pub(super) fn sweep(&self, limit: usize, now: Timestamp) -> usize {
        (0..SHARDS)
            .fold(0, |freed, shard| freed + self.sweep_shard(shard, now, limit - freed, usize::MAX))
    }

    fn sweep_shard(&self, shard: usize, now: Timestamp, limit: usize, looks: usize) -> usize {
        let mut freed = 0;
        for _ in 0..looks {
            if freed == limit {
                break;
            }
            let Some(key) = self.queue.first_due(shard, now) else {
                break;
            };
            if self.discard(&key, now) {
                freed += 1;
            } else {
                self.requeue(&key);
            }
        }
        freed
    }

    /// Ends the session that expires next, if there is one.
    pub(super) fn evict_nearest_expiry(&self, now: Timestamp) {
        let Some((queued, key)) = self.queue.first() else {
            return;
        };
        let removed = self
            .remove_if(&key, |entry| if entry.expires_at() > queued { Err(()) } else { Ok(()) });
        match removed {
            Ok(Some(gone)) if self.was_live(&gone, now) => {
                self.listeners.tell(|| Event::Destroyed { key: key.clone() });
            }
            Ok(_) => {}
            Err(()) => self.requeue(&key),
        }
    }

    /// Up to `limit` live records in the order of their keys, and whether there may be more.
    pub(super) fn scan<T>(
        &self,
        after: Option<Key>,
        limit: usize,
        now: Timestamp,
        view: impl Fn(&Key, &Entry) -> T,
    ) -> (Vec<T>, Option<Key>) {
        let map = self.map.pin();
        let mut found = Vec::new();
        for shard in after.as_ref().map_or(0, shard_of)..SHARDS {
            for key in self.queue.keys_after(shard, after.as_ref()) {
                if let Some(entry) = map.get(&key).filter(|entry| entry.is_live(now)) {
                    found.push(view(&key, entry));
                }
                if found.len() >= limit {
                    return (found, Some(key));
                }
            }
        }
        (found, None)
    }

    pub(super) fn count(&self, now: Timestamp) -> usize {
        let map = self.map.pin();
        map.values().filter(|entry| entry.is_live(now)).count()
    }

    pub(super) fn clear(&self) {
        let mut owners = self.owners.lock_all();
        let mut queues = self.queue.lock_all();
        self.map.pin().clear();
        self.held.store(0, Ordering::Relaxed);
        queues.iter_mut().for_each(|queue| queue.clear());
        owners.iter_mut().for_each(|owners| owners.clear());
    }
}

#[cfg(test)]
impl Records {
    /// How many records the map, the queue and the owners' lists have.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let queued = self.queue.lock_all().iter().map(|queue| queue.len()).sum();
        let listed = self.owners.listed().len();
        (self.map.len(), queued, listed)
    }

    /// Takes every lock that there is.
    pub(super) fn lock_everything(&self) -> impl Sized {
        (self.owners.lock_all(), self.queue.lock_all())
    }

    /// What the map holds is queued once and listed once, and nothing else is.
    pub(super) fn assert_whole(&self) {
        let map = self.map.pin();
        let mut queued = 0;
        for (at, key) in self.queue.lock_all().iter().flat_map(|queue| queue.iter()) {
            let entry = map.get(key).expect("what is queued is in the map");
            assert_eq!(entry.queued, *at);
            assert!(*at <= entry.expires_at(), "it is queued too late");
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
