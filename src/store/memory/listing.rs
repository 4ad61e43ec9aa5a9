//! The operations that look at many records: the lists, the count, the clearing and the end of an owner's
//! sessions. Each looks at a thousand records before it yields its worker, and at no more under one lock.

use std::collections::VecDeque;

use papaya::{Compute, Operation};
use tokio::task::yield_now;

use super::LOOKS;
use super::entry::{Entry, Epoch};
use super::owners::Listed;
use super::queue::Place;
use super::records::Records;
use crate::key::Key;
use crate::record::{Owner, Timestamp};

/// A part of an owner's list.
struct Part<T> {
    live: Vec<T>,
    dead: Vec<Key>,
    /// Where the list continues: with the sessions before this turn.
    next: Option<u64>,
}

impl Records {
    /// The owner's live sessions of a turn before this one, the youngest first, and where to continue if
    /// there may be more.
    pub(super) async fn owned<T>(
        &self,
        owner: &Owner,
        mut before: u64,
        limit: usize,
        now: Timestamp,
        view: impl Fn(&Key, &Entry) -> T,
    ) -> (Vec<T>, Option<u64>) {
        let (mut found, mut looks) = (Vec::new(), 0);
        loop {
            let part = self.owned_before(owner, before, limit - found.len(), now, &view);
            looks += part.live.len() + part.dead.len();
            if part.dead.is_empty() {
                found.extend(part.live);
                match part.next {
                    Some(next) if found.len() < limit => before = next,
                    next => return (found, next),
                }
            } else {
                // A session that was touched meanwhile is alive after all: look at this part again.
                self.discard_all(&part.dead, now);
            }
            if looks >= LOOKS {
                looks = 0;
                yield_now().await;
            }
        }
    }

    fn owned_before<T>(
        &self,
        owner: &Owner,
        before: u64,
        limit: usize,
        now: Timestamp,
        view: impl Fn(&Key, &Entry) -> T,
    ) -> Part<T> {
        let map = self.map.pin();
        let mut part = Part { live: Vec::new(), dead: Vec::new(), next: None };
        let owned = self.owners.lock(owner);
        for (turn, key) in owned.keys_before(before) {
            let looks = part.live.len() + part.dead.len();
            if part.live.len() == limit || looks == LOOKS {
                part.next = Some(turn + 1);
                break;
            }
            match map.get(&key).filter(|entry| entry.is_live(now)) {
                Some(entry) => part.live.push(view(&key, entry)),
                None => part.dead.push(key),
            }
        }
        self.looked(part.live.len() + part.dead.len());
        part
    }

    /// Ends all sessions of an owner in one write. It frees the space of the first thousand; inserts and
    /// sweeps free that of the others.
    pub(super) fn remove_owned(&self, owner: &Owner, keep: Option<&Key>, now: Timestamp) {
        self.leave_ended(self.end_epoch(owner, keep, now));
        self.free_ended(LOOKS);
    }

    fn end_epoch(&self, owner: &Owner, keep: Option<&Key>, now: Timestamp) -> VecDeque<Listed> {
        let map = self.map.pin();
        let mut owned = self.owners.lock(owner);
        let Some(epoch) = owned.epoch() else {
            return VecDeque::new();
        };
        // Moved first: it is alive in either epoch, so it is never dead.
        let next = Epoch::new();
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

    /// Up to `limit` live records from a place on, and where to continue; `None` at the end.
    pub(super) fn scan<T>(
        &self,
        from: Place,
        limit: usize,
        now: Timestamp,
        view: impl Fn(&Key, &Entry) -> T,
    ) -> (Vec<T>, Option<Place>) {
        let map = self.map.pin();
        let (mut found, mut looks, mut place) = (Vec::new(), 0, from);
        while found.len() < limit && looks < LOOKS {
            let most = (limit - found.len()).min(LOOKS - looks);
            let (keys, next) = self.queue.keys_from(place, most);
            looks += keys.len();
            self.looked(keys.len());
            for key in keys {
                // The key as it was inserted: the queue has only its bytes.
                let held = map.get_key_value(&key).filter(|(_, entry)| entry.is_live(now));
                found.extend(held.map(|(key, entry)| view(key, entry)));
            }
            let Some(next) = next else {
                return (found, None);
            };
            place = next;
        }
        (found, Some(place))
    }

    pub(super) async fn count(&self, now: Timestamp) -> usize {
        let (mut count, mut place) = (0, Place::default());
        loop {
            let (live, next) = self.scan(place, LOOKS, now, |_, _| ());
            count += live.len();
            let Some(next) = next else {
                return count;
            };
            place = next;
            yield_now().await;
        }
    }

    /// Removes all records that are there now, and those of meanwhile that it meets.
    pub(super) async fn clear(&self) {
        let mut next = Some(Place::default());
        while let Some(place) = next {
            next = self.clear_from(place);
            yield_now().await;
        }
    }

    /// Removes a thousand records from a place on, and returns where to continue.
    fn clear_from(&self, place: Place) -> Option<Place> {
        let (keys, next) = self.queue.keys_from(place, LOOKS);
        self.looked(keys.len());
        for key in keys {
            let _ = self.remove_if(&key, |_| Ok::<(), ()>(()));
        }
        next
    }
}
