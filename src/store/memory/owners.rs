//! [`Owners`]: which sessions each owner has, in the order in which they began.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use super::entry::{Entry, Epoch};
use super::{SHARDS, lock};
use crate::record::{Owner, Timestamp};
use crate::token::Key;

/// Locks one after the other, so that logins of different owners rarely wait for each other.
pub(super) struct Owners {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

pub(super) type Shard = HashMap<Owner, Sessions>;

/// An owner with at least one session: the map has no others, so that an owner who is gone takes
/// no space.
pub(super) struct Sessions {
    epoch: Arc<Epoch>,
    /// The oldest first. One ends near the front, or near the back, more often than in the middle.
    keys: VecDeque<(Timestamp, Key)>,
}

impl Owners {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }

    pub(super) fn lock<'a>(&'a self, owner: &'a Owner) -> Owned<'a> {
        let shard = self.hasher.hash_one(owner) as usize % SHARDS;
        Owned { shard: lock(&self.shards[shard]), owner }
    }

    /// Locks all of them, in order.
    pub(super) fn lock_all(&self) -> Vec<MutexGuard<'_, Shard>> {
        self.shards.iter().map(lock).collect()
    }
}

/// An owner's sessions. None begins, is renamed or goes while this is held.
pub(super) struct Owned<'a> {
    shard: MutexGuard<'a, Shard>,
    owner: &'a Owner,
}

impl Owned<'_> {
    pub(super) fn epoch(&self) -> Option<&Arc<Epoch>> {
        self.shard.get(self.owner).map(|sessions| &sessions.epoch)
    }

    /// The oldest first.
    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &Key> + ExactSizeIterator {
        let keys = self.shard.get(self.owner).map(|sessions| &sessions.keys);
        static NONE: VecDeque<(Timestamp, Key)> = VecDeque::new();
        keys.unwrap_or(&NONE).iter().map(|(_, key)| key)
    }

    /// Puts a session at the young end, and says in which epoch it is and when it began: now, or
    /// with the youngest if that one's clock was read later.
    pub(super) fn add(&mut self, key: &Key, now: Timestamp) -> (Arc<Epoch>, Timestamp) {
        let sessions = self.shard.entry(self.owner.clone()).or_insert_with_key(|owner| Sessions {
            epoch: Epoch::new(owner.clone()),
            keys: VecDeque::with_capacity(1),
        });
        let created_at = sessions.keys.back().map_or(now, |(at, _)| now.max(*at));
        sessions.keys.push_back((created_at, key.clone()));
        (sessions.epoch.clone(), created_at)
    }

    /// Takes a session off the list, if it is on it: one of an epoch that has ended is not.
    pub(super) fn remove(&mut self, key: &Key, entry: &Entry) {
        let Some(sessions) = self.shard.get_mut(self.owner) else {
            return;
        };
        if let Some(at) = sessions.find(key, entry.created_at) {
            sessions.keys.remove(at);
        }
        if sessions.keys.is_empty() {
            self.shard.remove(self.owner);
        }
    }

    pub(super) fn rename(&mut self, from: &Key, to: &Key, entry: &Entry) {
        if let Some(sessions) = self.shard.get_mut(self.owner)
            && let Some(at) = sessions.find(from, entry.created_at)
        {
            sessions.keys[at].1 = to.clone();
        }
    }

    /// Ends the epoch, and says which sessions were in it. What is kept must have been moved to the
    /// epoch that follows.
    pub(super) fn end_epoch(&mut self, kept: Option<(&Key, &Entry)>) -> VecDeque<(Timestamp, Key)> {
        let followed_by = kept.and_then(|(key, entry)| {
            Some(Sessions {
                epoch: entry.epoch.clone()?,
                keys: VecDeque::from([(entry.created_at, key.clone())]),
            })
        });
        let ended = match followed_by {
            Some(sessions) => self.shard.insert(self.owner.clone(), sessions),
            None => self.shard.remove(self.owner),
        };
        ended.map_or_else(VecDeque::new, |sessions| {
            sessions.epoch.end();
            sessions.keys
        })
    }
}

impl Sessions {
    fn find(&self, key: &Key, created_at: Timestamp) -> Option<usize> {
        let first = self.keys.partition_point(|(at, _)| *at < created_at);
        let same_time = self.keys.range(first..).take_while(|(at, _)| *at == created_at);
        let offset = same_time.map(|(_, listed)| listed).position(|listed| listed == key);
        offset.map(|offset| first + offset)
    }
}

#[cfg(test)]
impl Owners {
    /// Every session on a list, with the epoch of the list. No list is empty.
    pub(super) fn listed(&self) -> Vec<(Key, Arc<Epoch>)> {
        let mut listed = Vec::new();
        for shard in self.lock_all() {
            for sessions in shard.values() {
                assert!(
                    !sessions.keys.is_empty()
                        && sessions.keys.iter().is_sorted_by_key(|(at, _)| at)
                );
                listed.extend(
                    sessions.keys.iter().map(|(_, key)| (key.clone(), sessions.epoch.clone())),
                );
            }
        }
        listed
    }
}
