//! [`Owners`]: which sessions each owner has, in the order in which they began.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use super::entry::{Entry, Epoch};
use super::{SHARDS, lock};
use crate::key::Key;
use crate::record::{Owner, Timestamp};

/// Locks one after the other, so that logins of different owners rarely wait for each other.
pub(super) struct Owners {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

type Shard = HashMap<Owner, Sessions>;

/// An owner with at least one session: the map has no others, so that an owner who is gone takes
/// no space.
struct Sessions {
    epoch: Arc<Epoch>,
    /// The oldest first. The first and the last have not gone.
    listed: VecDeque<Listed>,
    /// How many of those have gone. They stay on the list for a while, because closing each gap at
    /// once would move half of the list. They are never more than those that are there.
    gone: usize,
}

/// A session on its owner's list.
pub(super) struct Listed {
    /// Its number on the list, by which it is found: each one's is higher than the one's before.
    turn: u64,
    began: Timestamp,
    /// The bytes alone: a key may hold its token. Nothing where the session has gone.
    key: Option<[u8; Key::LEN]>,
}

impl Listed {
    /// The session's key, unless it has gone.
    pub(super) fn key(&self) -> Option<Key> {
        self.key.map(Key::from_bytes)
    }
}

/// What an entry has to know of its owner's list.
pub(super) struct Added {
    pub(super) epoch: Arc<Epoch>,
    pub(super) turn: u64,
    pub(super) began: Timestamp,
}

impl Owners {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }

    pub(super) fn lock<'a>(&'a self, owner: &'a Owner) -> Owned<'a> {
        let shard = self.hasher.hash_one(owner) as usize % SHARDS;
        Owned { shard: lock(&self.shards[shard]), owner }
    }
}

/// An owner's sessions. None begins or goes while this is held.
pub(super) struct Owned<'a> {
    shard: MutexGuard<'a, Shard>,
    owner: &'a Owner,
}

impl Owned<'_> {
    pub(super) fn epoch(&self) -> Option<&Arc<Epoch>> {
        self.shard.get(self.owner).map(|sessions| &sessions.epoch)
    }

    pub(super) fn len(&self) -> usize {
        self.shard.get(self.owner).map_or(0, Sessions::len)
    }

    /// The oldest first.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let sessions = self.shard.get(self.owner);
        sessions.into_iter().flat_map(|sessions| &sessions.listed).filter_map(Listed::key)
    }

    /// The youngest first, of those whose turn is before this one, with their turns.
    pub(super) fn keys_before(&self, turn: u64) -> impl Iterator<Item = (u64, Key)> {
        let sessions = self.shard.get(self.owner);
        let before = sessions.into_iter().flat_map(move |sessions| {
            let end = sessions.listed.partition_point(|listed| listed.turn < turn);
            sessions.listed.range(..end).rev()
        });
        before.filter_map(|listed| Some((listed.turn, listed.key()?)))
    }

    /// Puts a session at the young end. It begins now, or with the youngest if that one's clock was
    /// read later.
    pub(super) fn add(&mut self, key: &Key, now: Timestamp) -> Added {
        let sessions = self.shard.entry(self.owner.clone()).or_insert_with(|| Sessions {
            epoch: Epoch::new(),
            listed: VecDeque::with_capacity(1),
            gone: 0,
        });
        let youngest = sessions.listed.back();
        let turn = youngest.map_or(0, |youngest| youngest.turn + 1);
        let began = youngest.map_or(now, |youngest| now.max(youngest.began));
        sessions.listed.push_back(Listed { turn, began, key: Some(*key.as_bytes()) });
        Added { epoch: sessions.epoch.clone(), turn, began }
    }

    /// Takes a session off the list, if it is on it: one of an epoch that has ended is not.
    pub(super) fn remove(&mut self, key: &Key, entry: &Entry) {
        let Some(sessions) = self.shard.get_mut(self.owner) else {
            return;
        };
        if let Some(at) = sessions.find(key, entry) {
            sessions.remove(at);
        }
        if sessions.listed.is_empty() {
            self.shard.remove(self.owner);
        }
    }

    /// Ends the epoch, and says which sessions were in it. What is kept must have been moved to the
    /// epoch that follows.
    pub(super) fn end_epoch(&mut self, kept: Option<(&Key, &Entry)>) -> VecDeque<Listed> {
        let followed_by = kept.and_then(|(key, entry)| {
            let key = Some(*key.as_bytes());
            let listed = Listed { turn: entry.turn, began: entry.record.meta.created_at, key };
            let epoch = entry.epoch.clone()?;
            Some(Sessions { epoch, listed: VecDeque::from([listed]), gone: 0 })
        });
        let ended = match followed_by {
            Some(sessions) => self.shard.insert(self.owner.clone(), sessions),
            None => self.shard.remove(self.owner),
        };
        ended.map_or_else(VecDeque::new, |sessions| {
            sessions.epoch.end();
            sessions.listed
        })
    }
}

impl Sessions {
    fn len(&self) -> usize {
        self.listed.len() - self.gone
    }

    fn find(&self, key: &Key, entry: &Entry) -> Option<usize> {
        let at = self.listed.binary_search_by_key(&entry.turn, |listed| listed.turn).ok()?;
        (self.listed[at].key.as_ref() == Some(key.as_bytes())).then_some(at)
    }

    fn remove(&mut self, at: usize) {
        self.listed[at].key = None;
        self.gone += 1;
        let has_gone = |listed: Option<&Listed>| listed.is_some_and(|it| it.key.is_none());
        while has_gone(self.listed.front()) {
            self.listed.pop_front();
            self.gone -= 1;
        }
        while has_gone(self.listed.back()) {
            self.listed.pop_back();
            self.gone -= 1;
        }
        // Each removal pays for one step of this.
        if self.gone > self.len() {
            self.listed.retain(|listed| listed.key.is_some());
            self.gone = 0;
        }
    }
}

#[cfg(test)]
impl Owners {
    /// Locks all of them, in order.
    pub(super) fn lock_all(&self) -> Vec<impl Sized> {
        self.shards.iter().map(lock).collect()
    }

    /// Every session on a list, with the epoch of the list. No list is empty.
    pub(super) fn listed(&self) -> Vec<(Key, Arc<Epoch>)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            for sessions in lock(shard).values() {
                let Sessions { epoch, listed, gone } = sessions;
                assert!(listed.front().is_some_and(|listed| listed.key.is_some()));
                assert!(listed.back().is_some_and(|listed| listed.key.is_some()));
                assert!(listed.iter().is_sorted_by(|a, b| a.turn < b.turn && a.began <= b.began));
                let keys = listed.iter().filter_map(Listed::key);
                let before = all.len();
                all.extend(keys.map(|key| (key, epoch.clone())));
                assert_eq!(all.len() - before, listed.len() - gone);
            }
        }
        all
    }
}
