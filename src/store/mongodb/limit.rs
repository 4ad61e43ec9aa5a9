//! An insert with an owner's limit, atomic though each command changes one document.
//!
//! A session that is inserted with a limit of three has one of the places 0 to 2 of its owner, which
//! a unique index guards. An insert looks, and then either takes a place that it saw free, or takes
//! over the document of the session that goes, place and all. What another one did between makes the
//! write fail, and it looks again. So no number of racing inserts gets past the limit: each of them
//! takes the lowest place that it saw free, which is below the limit less the sessions that have no
//! place below it.

use std::collections::HashSet;
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use tokio::time::sleep;

use super::MongoDb;
use super::document::key;
use super::error::{Failure, is_duplicate};
use super::expression::{is_expired, is_live};
use crate::record::Owner;
use crate::store::{Inserted, OwnerLimit};
use crate::token::Key;

impl MongoDb {
    pub(super) async fn insert_limited(
        &self,
        new_key: &Key,
        new: Document,
        owner: &Owner,
        limit: OwnerLimit,
    ) -> Result<Inserted, Failure> {
        let max = usize::try_from(limit.max().get()).unwrap_or(usize::MAX);
        let mut attempt = 0;
        loop {
            let Seen { key_is_taken, alive, dead, places } = self.see(new_key, owner).await?;
            if key_is_taken {
                return Ok(Inserted::KeyTaken);
            }
            if !dead.is_empty() {
                let partition = self.partition_of(owner);
                let ids = doc! { "$in": dead };
                let dead = doc! { "partition": partition, "_id": ids, "$expr": is_expired() };
                self.sessions.delete_many(dead).await?;
            }
            if alive.len() < max {
                let mut new = new.clone();
                new.insert("place", free_place(&places));
                if let Some(inserted) = self.try_insert(new_key, new).await? {
                    return Ok(inserted);
                }
            } else if limit.evicts() {
                let going = alive[..=alive.len() - max].to_vec();
                if let Some(evicted) = self.take_over(going, new.clone()).await? {
                    return Ok(Inserted::Done { evicted });
                }
            } else {
                return Ok(Inserted::OwnerFull);
            }
            attempt += 1;
            give_way(attempt).await;
        }
    }

    /// The sessions of an owner, and what holds a key.
    async fn see(&self, new_key: &Key, owner: &Owner) -> Result<Seen, Failure> {
        let pipeline = vec![
            doc! { "$match": { "$or": [self.of(owner), self.under(new_key)] } },
            doc! { "$sort": { "created_at": 1, "_id": 1 } },
            doc! { "$project": { "key": 1, "place": 1, "is_live": is_live() } },
        ];
        let mut seen = Seen::default();
        for document in self.list(pipeline, usize::MAX).await? {
            if !document.get_bool("is_live").unwrap_or(false) {
                seen.dead.extend(document.get("_id").cloned());
                continue;
            }
            match key(&document) {
                Ok(key) if key == *new_key => {
                    seen.key_is_taken = true;
                    continue;
                }
                Ok(key) => seen.alive.push(key),
                // Nobody can load it, so it does not count; but it may have a place.
                Err(_) => {}
            }
            seen.places.extend(document.get_i64("place").ok());
        }
        Ok(seen)
    }

    /// Puts a new session in the place of the last of some that go, and removes the others. None
    /// where that one has gone by itself, or the key is taken by now, and nothing was done.
    async fn take_over(
        &self,
        mut going: Vec<Key>,
        new: Document,
    ) -> Result<Option<Vec<Key>>, Failure> {
        let Some(last) = going.pop() else {
            return Ok(None);
        };
        let in_its_place = doc! { "$mergeObjects": [new, { "place": "$place" }] };
        let update = vec![doc! { "$replaceWith": in_its_place }];
        match self.sessions.update_one(self.live(&last), update).await {
            Ok(done) if done.matched_count > 0 => {}
            Ok(_) => return Ok(None),
            Err(error) if is_duplicate(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let mut evicted = vec![last];
        for key in going {
            let removed = self.sessions.delete_one(self.live(&key)).await?;
            evicted.extend((removed.deleted_count > 0).then_some(key));
        }
        Ok(Some(evicted))
    }
}

/// What an insert has found.
#[derive(Default)]
struct Seen {
    key_is_taken: bool,
    /// The owner's live sessions, the oldest first.
    alive: Vec<Key>,
    /// The places that the owner's live documents have.
    places: HashSet<i64>,
    /// The documents that have expired.
    dead: Vec<Bson>,
}

/// Waits for a moment after each loss, longer each time and never as long as another one: else all
/// that race would look at once, and all but one in vain, again and again.
async fn give_way(attempt: u32) {
    let most = 1 << attempt.min(7);
    let millis = getrandom::u32().unwrap_or_default() % most;
    sleep(Duration::from_millis(millis.into())).await;
}

/// The lowest one.
fn free_place(taken: &HashSet<i64>) -> i64 {
    (0..).find(|place| !taken.contains(place)).unwrap_or_default()
}
