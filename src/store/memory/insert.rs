//! How a record enters the map, and how it gets space.

use std::sync::atomic::Ordering;

use tokio::task::yield_now;

use super::entry::Entry;
use super::owners::Owned;
use super::queue::shard_of;
use super::records::Records;
use super::{LOOKS, WhenFull};
use crate::key::Key;
use crate::record::Timestamp;
use crate::store::{Inserted, NewRecord};

/// How many due records an insert looks at: more than the one that it adds, so space is freed faster
/// than it is taken, but few, so no login waits for it.
const SWEPT_BY_INSERT: usize = 4;

/// How many dead records are freed at once where space is needed.
const FREED_AT_ONCE: usize = 64;

/// How many records an insert looks at before it answers that there is no space.
const SEARCH: usize = 16 * LOOKS;

/// Why an insert was not done, and what it can try.
enum Obstacle {
    /// It met dead records. Discard them.
    Dead(Vec<Key>),
    /// The owner has too many sessions to look at each, and some may have expired.
    Unswept,
    /// There is no space. Make some.
    Full,
}

/// The store accepts no further record.
#[derive(Debug)]
pub(super) struct Full;

impl Records {
    pub(super) async fn insert(
        &self,
        key: &Key,
        record: &NewRecord<'_>,
        now: Timestamp,
    ) -> Result<Inserted, Full> {
        self.free_ended(SWEPT_BY_INSERT);
        self.sweep_shard(shard_of(key), now, SWEPT_BY_INSERT, SWEPT_BY_INSERT);
        let (mut swept, mut discarded) = (false, 0);
        loop {
            match self.try_insert(key, record, swept, now) {
                Ok(answer) => return Ok(answer),
                Err(Obstacle::Dead(keys)) => {
                    self.discard_all(&keys, now);
                    discarded += keys.len();
                    if discarded >= LOOKS {
                        discarded = 0;
                        yield_now().await;
                    }
                }
                Err(Obstacle::Unswept) => {
                    self.sweep(usize::MAX, SEARCH, now).await;
                    swept = true;
                }
                Err(Obstacle::Full) => self.make_room(now).await?,
            }
        }
    }

    /// Looks for space for one more record.
    async fn make_room(&self, now: Timestamp) -> Result<(), Full> {
        match self.when_full {
            WhenFull::EvictNearestExpiry if self.capacity > 0 => {
                if self.sweep(FREED_AT_ONCE, LOOKS, now).await == 0 {
                    self.evict_nearest_expiry(now);
                }
                Ok(())
            }
            _ if self.sweep(FREED_AT_ONCE, SEARCH, now).await > 0 => Ok(()),
            _ => Err(Full),
        }
    }

    /// `swept`: the store was swept for this insert.
    fn try_insert(
        &self,
        key: &Key,
        record: &NewRecord<'_>,
        swept: bool,
        now: Timestamp,
    ) -> Result<Inserted, Obstacle> {
        let mut owned = record.owner.map(|owner| self.owners.lock(owner));
        let Some(victims) = self.victims(record, owned.as_ref(), swept, now)? else {
            return Ok(Inserted::OwnerFull);
        };
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
        let added = owned.as_mut().map(|owned| owned.add(key, now));
        let mut entry = Entry::new(record, added, now);
        entry.slot = queue.insert(entry.queued, key);
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

    /// The sessions that end so that the owner's limit allows one more; `None` if it refuses one more.
    fn victims(
        &self,
        record: &NewRecord<'_>,
        owned: Option<&Owned<'_>>,
        swept: bool,
        now: Timestamp,
    ) -> Result<Option<Vec<Key>>, Obstacle> {
        let (Some(limit), Some(owned)) = (record.limit, owned) else {
            return Ok(Some(Vec::new()));
        };
        let max = usize::try_from(limit.max().get()).unwrap_or(usize::MAX);
        if owned.len() < max {
            return Ok(Some(Vec::new()));
        }
        let map = self.map.pin();
        let is_live = |key: &Key| map.get(key).is_some_and(|entry| entry.is_live(now));
        let (mut live, dead): (Vec<Key>, Vec<Key>) = owned.keys().take(LOOKS).partition(is_live);
        self.looked(live.len() + dead.len());
        if !dead.is_empty() {
            return Err(Obstacle::Dead(dead));
        }
        if owned.len() > LOOKS && !swept && self.queue.is_due(now) {
            return Err(Obstacle::Unswept);
        }
        if !limit.evicts() {
            return Ok(None);
        }
        // It leaves those beyond what it has looked at to the next inserts.
        live.truncate(owned.len() + 1 - max);
        Ok(Some(live))
    }

    fn reserve(&self, in_any_case: bool) -> bool {
        let one_more = |held| (in_any_case || held < self.capacity).then_some(held + 1);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}
