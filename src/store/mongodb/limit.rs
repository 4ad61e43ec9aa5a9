//! An insert with an owner's limit. It is atomic although each command changes one document.
//!
//! A session that is inserted with a limit of three gets one of the places 0 to 2 of its owner, which
//! a unique index guards. An insert reads the owner's sessions. Then it either takes a free place, or
//! takes over the document of the session that ends, with its place. If another insert came between,
//! the write fails and the insert reads again. So racing inserts never exceed the limit: each takes
//! the lowest free place, which is below the limit minus the number of sessions that have no place
//! below it.

use std::collections::HashSet;

use mongodb::bson::{Bson, Document, doc};

use super::MongoDb;
use super::document::key;
use super::error::{Failure, is_duplicate};
use super::expression::{is_expired, is_live};
use crate::backoff::Backoff;
use crate::key::Key;
use crate::record::Owner;
use crate::store::{Inserted, OwnerLimit};

/// The most sessions that one insert ends if an owner has more than the limit allows. Each takes a
/// command of its own.
const MOST_EVICTED: usize = 100;

impl MongoDb {
    pub(super) async fn insert_limited(
        &self,
        new_key: &Key,
        new: Document,
        owner: &Owner,
        limit: OwnerLimit,
    ) -> Result<Inserted, Failure> {
        let max = usize::try_from(limit.max().get()).unwrap_or(usize::MAX);
        let mut backoff = Backoff::new();
        loop {
            let Seen { all, alive, dead, places } = self.see(owner, max).await?;
            if alive.contains(new_key) {
                return Ok(Inserted::KeyTaken);
            }
            let hidden = !all && !dead.is_empty();
            if !dead.is_empty() {
                let partition = self.partition_of(owner);
                let ids = doc! { "$in": dead };
                let dead = doc! { "partition": partition, "_id": ids, "$expr": is_expired() };
                self.sessions.delete_many(dead).await?;
            }
            if alive.len() < max {
                if hidden {
                    // Live sessions may stand behind the dead ones, which are removed now.
                    continue;
                }
                let mut new = new.clone();
                new.insert("place", free_place(&places));
                if let Some(inserted) = self.try_insert(new_key, new).await? {
                    return Ok(inserted);
                }
            } else if limit.evicts() {
                let going = (alive.len() - max + 1).min(MOST_EVICTED);
                match self.take_over(alive[..going].to_vec(), new.clone()).await? {
                    TakenOver::Done { evicted } => return Ok(Inserted::Done { evicted }),
                    TakenOver::Gone => {}
                    TakenOver::KeyTaken if self.is_taken(new_key).await? => {
                        return Ok(Inserted::KeyTaken);
                    }
                    TakenOver::KeyTaken => {}
                }
            } else {
                return Ok(Inserted::OwnerFull);
            }
            // Without a wait, all racing inserts would read at once, and all but one would fail, again
            // and again.
            backoff.wait().await;
        }
    }

    /// Whether a live session has this key. A dead one is removed.
    async fn is_taken(&self, key: &Key) -> Result<bool, Failure> {
        if self.read(key, false).await?.is_some() {
            return Ok(true);
        }
        let mut dead = self.under(key);
        dead.insert("$expr", is_expired());
        self.sessions.delete_one(dead).await?;
        Ok(false)
    }

    /// The oldest sessions of an owner: as many as the limit allows, and [`MOST_EVICTED`] more.
    async fn see(&self, owner: &Owner, max: usize) -> Result<Seen, Failure> {
        let most = max.saturating_add(MOST_EVICTED);
        let pipeline = vec![
            doc! { "$match": self.of_owner(owner) },
            doc! { "$sort": { "created_at": 1, "_id": 1 } },
            doc! { "$limit": i64::try_from(most).unwrap_or(i64::MAX) },
            doc! { "$project": { "key": 1, "place": 1, "is_live": is_live() } },
        ];
        let documents = self.list(pipeline, most).await?;
        let mut seen = Seen { all: documents.len() < most, ..Seen::default() };
        for document in documents {
            if !document.get_bool("is_live").unwrap_or(false) {
                seen.dead.extend(document.get("_id").cloned());
                continue;
            }
            // A document without a key cannot be loaded, so it does not count. It may have a place.
            seen.alive.extend(key(&document).ok());
            seen.places.extend(document.get_i64("place").ok());
        }
        Ok(seen)
    }

    /// Puts a new session in the place of the last of these, and removes the others.
    async fn take_over(&self, mut going: Vec<Key>, new: Document) -> Result<TakenOver, Failure> {
        let Some(last) = going.pop() else {
            return Ok(TakenOver::Gone);
        };
        let in_its_place = doc! { "$mergeObjects": [new, { "place": "$place" }] };
        let update = vec![doc! { "$replaceWith": in_its_place }];
        match self.sessions.update_one(self.live(&last), update).await {
            Ok(done) if done.matched_count > 0 => {}
            Ok(_) => return Ok(TakenOver::Gone),
            Err(error) if is_duplicate(&error) => return Ok(TakenOver::KeyTaken),
            Err(error) => return Err(error.into()),
        }
        let mut evicted = vec![last];
        for key in going {
            let removed = self.sessions.delete_one(self.live(&key)).await?;
            evicted.extend((removed.deleted_count > 0).then_some(key));
        }
        Ok(TakenOver::Done { evicted })
    }
}

/// The owner's sessions that an insert has read.
#[derive(Default)]
struct Seen {
    /// Whether these are all sessions of the owner.
    all: bool,
    /// The owner's live sessions, the oldest first.
    alive: Vec<Key>,
    /// The places that the owner's live documents have.
    places: HashSet<i64>,
    /// The documents that have expired.
    dead: Vec<Bson>,
}

/// The outcome of an attempt to take over a session's document. Unless it is `Done`, nothing was
/// written.
enum TakenOver {
    Done {
        evicted: Vec<Key>,
    },
    /// The session has ended by itself.
    Gone,
    /// Another document has the new key, dead or alive.
    KeyTaken,
}

/// The lowest place that is free.
fn free_place(taken: &HashSet<i64>) -> i64 {
    (0..).find(|place| !taken.contains(place)).unwrap_or_default()
}
