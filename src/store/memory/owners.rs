//! [`Owners`]: the sessions of each owner, in the order in which they began.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use super::entry::{Entry, Epoch};
use super::{SHARDS, lock};
use crate::key::Key;
use crate::record::{Owner, Timestamp};

/// Many locks, so logins of different owners rarely wait for each other.
pub(super) struct Owners {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

type Shard = HashMap<Owner, Sessions>;

/// An owner with at least one session. The map holds no other owner, so one without sessions takes no
/// space.
struct Sessions {
    epoch: Arc<Epoch>,
    /// The oldest first. The first and the last are still there.
    listed: VecDeque<Listed>,
    /// How many of those are gaps. A gap stays for a while, because closing each at once would move half
    /// of the list. There are never more gaps than sessions.
    gone: usize,
}

/// A session on its owner's list.
pub(super) struct Listed {
    /// Its number on the list, by which it is found. Numbers rise along the list.
    turn: u64,
    began: Timestamp,
    /// The bytes only: a key may hold its token. `None` in a gap.
    key: Option<[u8; Key::LEN]>,
}

impl Listed {
    /// The session's key; `None` in a gap.
    pub(super) fn key(&self) -> Option<Key> {
        self.key.map(Key::from_bytes)
    }
}

/// What an entry knows of its owner's list.
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

/// An owner's sessions. While this is held, no session of the owner begins or ends.
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

    /// The sessions whose turn is before this one, with their turns, the youngest first.
    pub(super) fn keys_before(&self, turn: u64) -> impl Iterator<Item = (u64, Key)> {
        let sessions = self.shard.get(self.owner);
        let before = sessions.into_iter().flat_map(move |sessions| {
            let end = sessions.listed.partition_point(|listed| listed.turn < turn);
            sessions.listed.range(..end).rev()
        });
        before.filter_map(|listed| Some((listed.turn, listed.key()?)))
    }

    /// Puts a session at the young end. It begins now, or together with the youngest where that one has
    /// read the clock later.
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

    /// Takes a session off the list. A session of an ended epoch is not on it.
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

    /// Ends the epoch, and returns the sessions that were in it. The caller has moved the kept session to
    /// the next epoch before.
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
