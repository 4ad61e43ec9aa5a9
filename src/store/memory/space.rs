//! How the space of dead records is freed: a bounded number at a time.
//!
//! A touch leaves a record at its place in the expiry queue, under a time that is too early. A call that
//! meets such a record there puts it under the right time. A touch does so too if the record's time in
//! the queue is over. Otherwise many touched sessions would hide the expired ones among them. A touch
//! waits for no lock: where another call holds it, the record stays where it is.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use papaya::{Compute, Operation};
use tokio::task::yield_now;

use super::owners::Listed;
use super::queue::Shard;
use super::records::Records;
use super::{LOOKS, SHARDS, lock};
use crate::event::Event;
use crate::key::Key;
use crate::record::Timestamp;

/// What a step of a sweep did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Swept {
    pub(super) freed: usize,
    pub(super) looks: usize,
}

impl Records {
    /// Frees the space of the record under `key` if it is dead, before any event tells of it: a call that
    /// read the clock earlier might still touch it.
    pub(super) fn discard(&self, key: &Key, now: Timestamp) -> bool {
        self.looked(1);
        let removed =
            self.remove_if(key, |entry| if entry.is_live(now) { Err(()) } else { Ok(()) });
        removed.is_ok_and(|gone| gone.is_some_and(|gone| !self.was_live(&gone, now)))
    }

    pub(super) fn discard_all(&self, keys: &[Key], now: Timestamp) {
        for key in keys {
            self.discard(key, now);
        }
    }

    /// Puts the record under its present expiry.
    pub(super) fn requeue(&self, key: &Key) {
        self.requeue_in(&mut self.queue.lock(key), key);
    }

    /// As [`requeue`](Self::requeue), but does nothing where that would have to wait.
    pub(super) fn requeue_if_free(&self, key: &Key) {
        if let Some(mut queue) = self.queue.try_lock(key) {
            self.requeue_in(&mut queue, key);
        }
    }

    fn requeue_in(&self, queue: &mut Shard, key: &Key) {
        let map = self.map.pin();
        let requeued = map.compute(key.clone(), |found| match found {
            Some((_, entry)) if entry.queued != entry.expires_at() => {
                Operation::Insert(entry.clone().requeued())
            }
            _ => Operation::Abort(()),
        });
        if let Compute::Updated { old: (_, old), new: (_, new) } = requeued {
            queue.put_off(new.slot, old.queued, new.queued);
        }
    }

    /// Frees the space of up to `limit` dead records, and looks at up to `looks` records to find them. It
    /// yields its worker after each thousand.
    pub(super) async fn sweep(&self, limit: usize, mut looks: usize, now: Timestamp) -> usize {
        let mut freed = 0;
        loop {
            let most = looks.min(LOOKS);
            let swept = self.sweep_some(limit - freed, most, now);
            freed += swept.freed;
            looks -= swept.looks;
            if freed == limit || swept.looks < most || looks == 0 {
                return freed;
            }
            yield_now().await;
        }
    }

    /// It takes fewer looks only where no other record may be dead. It continues where the last one ended,
    /// so no shard waits for all the expiries of another.
    pub(super) fn sweep_some(&self, limit: usize, looks: usize, now: Timestamp) -> Swept {
        let ended = self.free_ended(limit.min(looks));
        let mut swept = Swept { freed: ended, looks: ended };
        let first = self.next_swept.load(Ordering::Relaxed);
        for shard in (0..SHARDS).map(|offset| (first + offset) % SHARDS) {
            let (limit, looks) = (limit - swept.freed, looks - swept.looks);
            if limit == 0 || looks == 0 {
                self.next_swept.store(shard, Ordering::Relaxed);
                break;
            }
            let more = self.sweep_shard(shard, now, limit, looks);
            swept.freed += more.freed;
            swept.looks += more.looks;
        }
        swept
    }

    pub(super) fn sweep_shard(
        &self,
        shard: usize,
        now: Timestamp,
        limit: usize,
        looks: usize,
    ) -> Swept {
        let mut swept = Swept::default();
        while swept.looks < looks && swept.freed < limit {
            let Some((_, key)) = self.queue.first(shard).filter(|(queued, _)| *queued <= now)
            else {
                break;
            };
            swept.looks += 1;
            if self.discard(&key, now) {
                swept.freed += 1;
            } else {
                self.requeue(&key);
            }
        }
        swept
    }

    /// Leaves sessions that have ended with their epoch to the calls that free space.
    pub(super) fn leave_ended(&self, sessions: VecDeque<Listed>) {
        if !sessions.is_empty() {
            let mut ended = lock(&self.ended);
            ended.push_back(sessions);
            self.has_ended.store(true, Ordering::Relaxed);
        }
    }

    /// Frees the space of up to `limit` sessions that have ended with their epoch, and returns their
    /// number.
    pub(super) fn free_ended(&self, limit: usize) -> usize {
        if !self.has_ended.load(Ordering::Relaxed) {
            return 0;
        }
        let mut batch = Vec::new();
        let mut ended = lock(&self.ended);
        while batch.len() < limit {
            let Some(sessions) = ended.front_mut() else {
                self.has_ended.store(false, Ordering::Relaxed);
                break;
            };
            match sessions.pop_front() {
                Some(session) => batch.extend(session.key()),
                None => drop(ended.pop_front()),
            }
        }
        drop(ended);
        self.looked(batch.len());
        let is_freed = |key: &&Key| {
            let ended = self.unmap(key, |it| if it.has_ended() { Ok(()) } else { Err(()) });
            ended.is_ok_and(|entry| entry.is_some())
        };
        batch.iter().filter(is_freed).count()
    }

    /// Ends the session that expires next, if there is one. Where more than a thousand sessions that were
    /// touched since come before it in the queue, it ends the next of those thousand.
    pub(super) fn evict_nearest_expiry(&self, now: Timestamp) {
        let mut firsts: Vec<_> = (0..SHARDS).map(|shard| self.queue.first(shard)).collect();
        let mut nearest: Option<(Timestamp, Key)> = None;
        for _ in 0..LOOKS {
            let first = firsts.iter().enumerate();
            let first = first.filter_map(|(shard, first)| Some((first.as_ref()?, shard))).min();
            let Some((&(queued, ref key), shard)) = first else {
                break;
            };
            if nearest.as_ref().is_some_and(|(at, _)| *at <= queued) {
                break;
            }
            self.looked(1);
            let ends = self.map.pin().get(key).map(|entry| entry.expires_at());
            if let Some(ends) = ends
                && nearest.as_ref().is_none_or(|(at, _)| ends < *at)
            {
                nearest = Some((ends, key.clone()));
            }
            if ends == Some(queued) {
                break;
            }
            self.requeue(key);
            firsts[shard] = self.queue.first(shard);
        }
        let Some((at, key)) = nearest else {
            return;
        };
        let removed =
            self.remove_if(&key, |entry| if entry.expires_at() > at { Err(()) } else { Ok(()) });
        if let Ok(Some(gone)) = removed
            && self.was_live(&gone, now)
        {
            self.listeners.tell(|| Event::Destroyed { key: key.clone() });
        }
    }
}
