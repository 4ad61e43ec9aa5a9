//! [`Entry`], what the map holds under a key, and [`Epoch`], by which an owner's entries end at
//! once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::owners::Added;
use super::slots::Slot;
use crate::record::{Label, Lifetime, Meta, Owner, Record, Timestamp, Version};
use crate::store::{NewRecord, Renewal, Touch, Write};

/// A record. It never changes: a writer puts a changed copy in its place, so that a reader has all
/// of a write or nothing.
#[derive(Clone)]
pub(super) struct Entry {
    data: Bytes,
    pub(super) version: Version,
    lifetime: Lifetime,
    pub(super) created_at: Timestamp,
    last_seen: Timestamp,
    deadline: Option<Timestamp>,
    authenticated_at: Option<Timestamp>,
    pub(super) epoch: Option<Arc<Epoch>>,
    label: Option<Label>,
    /// The time under which the expiry queue has it. A touch makes it end later than that.
    pub(super) queued: Timestamp,
    /// Its turn on its owner's list, if it has an owner.
    pub(super) turn: u64,
    /// Its place in the expiry queue's shard.
    pub(super) slot: Slot,
}

/// An owner's sessions from one call of `remove_owned` to the next. Ending it ends them all in one
/// write.
pub(super) struct Epoch {
    pub(super) owner: Owner,
    ended: AtomicBool,
}

impl Epoch {
    pub(super) fn new(owner: Owner) -> Arc<Self> {
        Arc::new(Self { owner, ended: AtomicBool::new(false) })
    }

    pub(super) fn end(&self) {
        // Seen by every load that starts after this call, on whatever core.
        self.ended.store(true, Ordering::SeqCst);
    }
}

impl Entry {
    /// A record that begins now, or when its owner's list says, and has no slot yet.
    pub(super) fn new(record: &NewRecord<'_>, added: Option<Added>, now: Timestamp) -> Self {
        let (now, turn, epoch) = match added {
            Some(Added { epoch, turn, began }) => (began, turn, Some(epoch)),
            None => (now, 0, None),
        };
        let deadline = record.lifetime.deadline(now);
        Self {
            data: own(&record.data),
            version: record.version,
            lifetime: record.lifetime,
            created_at: now,
            last_seen: now,
            deadline,
            authenticated_at: record.authenticated.then_some(now),
            epoch,
            label: record.label.cloned(),
            queued: record.lifetime.expiry(now, deadline),
            turn,
            slot: Slot::default(),
        }
    }

    pub(super) fn owner(&self) -> Option<&Owner> {
        self.epoch.as_ref().map(|epoch| &epoch.owner)
    }

    pub(super) fn is_in(&self, epoch: &Arc<Epoch>) -> bool {
        self.epoch.as_ref().is_some_and(|own| Arc::ptr_eq(own, epoch))
    }

    pub(super) fn expires_at(&self) -> Timestamp {
        self.lifetime.expiry(self.last_seen, self.deadline)
    }

    /// Whether all of its owner's sessions of its time were ended.
    pub(super) fn has_ended(&self) -> bool {
        self.epoch.as_ref().is_some_and(|epoch| epoch.ended.load(Ordering::SeqCst))
    }

    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at() && !self.has_ended()
    }

    /// Whether the touch is to be written.
    pub(super) fn is_due(&self, touch: Touch, now: Timestamp) -> bool {
        match touch {
            Touch::No => false,
            // Another's clock may have been read later: time never goes back.
            Touch::After(interval) => {
                now > self.last_seen && self.lifetime.touch_due(self.last_seen, now, interval)
            }
        }
    }

    pub(super) fn seen(&self, now: Timestamp) -> Self {
        Self { last_seen: self.last_seen.max(now), ..self.clone() }
    }

    pub(super) fn written(&self, write: &Write<'_>, data: &Bytes, now: Timestamp) -> Self {
        let mut entry =
            if write.touch || write.lifetime.is_some() { self.seen(now) } else { self.clone() };
        if let Some(lifetime) = write.lifetime {
            entry.lifetime = *lifetime;
            entry.deadline = lifetime.deadline(entry.last_seen);
        }
        entry.data = data.clone();
        entry.version = self.version.next();
        entry
    }

    /// As it goes on under another key.
    pub(super) fn renamed(&self, renewal: Renewal, now: Timestamp) -> Self {
        let mut entry = self.seen(now);
        entry.version = self.version.next();
        if renewal == Renewal::Authentication {
            entry.authenticated_at = Some(entry.last_seen);
            entry.deadline = entry.lifetime.deadline(entry.last_seen);
        }
        entry.requeued()
    }

    pub(super) fn requeued(self) -> Self {
        Self { queued: self.expires_at(), ..self }
    }

    pub(super) fn in_epoch(&self, epoch: &Arc<Epoch>) -> Self {
        Self { epoch: Some(epoch.clone()), ..self.clone() }
    }

    pub(super) fn meta(&self, now: Timestamp) -> Meta {
        Meta {
            version: self.version,
            lifetime: self.lifetime,
            created_at: self.created_at,
            last_seen: self.last_seen,
            deadline: self.deadline,
            authenticated_at: self.authenticated_at,
            owner: self.owner().cloned(),
            label: self.label.clone(),
            now,
        }
    }

    pub(super) fn record(&self, now: Timestamp) -> Record {
        Record { data: self.data.clone(), meta: self.meta(now) }
    }
}

/// The same bytes in a buffer of their own, so that a few bytes of a large one do not hold all of
/// it.
pub(super) fn own(data: &Bytes) -> Bytes {
    Bytes::copy_from_slice(data)
}
